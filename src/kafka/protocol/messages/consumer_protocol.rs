//! What consumers tell each other inside JoinGroup and SyncGroup, where brokers see only bytes (protocol type
//! `consumer`).
//!
//! Versions 0-3, all there are; an `i16` with the version comes first, and the encoding is the fixed one. A later
//! version only ever appends fields, so it is read as version 3 and what follows is left unread. An assignment is the
//! same in all versions.
//!
//! - 1: the partitions that the member owns, for cooperative rebalances (KIP-429)
//! - 2: the generation in which it owned them (KIP-792)
//! - 3: rack (KIP-881)

use crate::kafka::error::{Error, Result};
use crate::kafka::protocol::api::VersionRange;
use crate::kafka::protocol::schema::prelude::*;

schema! {
    /// What a member wants and has: the metadata of a JoinGroup protocol.
    struct ConsumerProtocolSubscription {
        topics: Vec<String> [0+],
        /// Whatever the assignor wants to keep.
        user_data: Option<Bytes> [0+, nullable 0+] = None,
        owned_partitions: Vec<ConsumerProtocolTopicPartition> [1+, ignorable],
        /// -1 is unknown.
        generation_id: i32 [2+, ignorable] = -1,
        rack_id: Option<String> [3+, nullable 3+, ignorable] = None,
    }

    /// What a member gets: an assignment of SyncGroup.
    struct ConsumerProtocolAssignment {
        assigned_partitions: Vec<ConsumerProtocolTopicPartition> [0+],
        /// Whatever the assignor wants to tell.
        user_data: Option<Bytes> [0+, nullable 0+] = None,
    }

    /// Partitions of one topic; Kafka's own name for it is `TopicPartition`.
    struct ConsumerProtocolTopicPartition {
        topic: String [0+],
        partitions: Vec<i32> [0+],
    }
}

impl ConsumerProtocolSubscription {
    /// The versions that can be written.
    pub const VERSIONS: VersionRange = VersionRange::new(0, 3);

    /// The bytes for JoinGroup, in this version.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::ErrorKind::State) if the version is unknown or a string is too long.
    pub fn to_bytes(&self, version: i16) -> Result<Bytes> {
        to_bytes(self, version, Self::VERSIONS)
    }

    /// Reads what a member sent.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) if it is not a subscription.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self> {
        from_bytes(bytes, Self::VERSIONS).map_err(|malformed| unreadable("subscription", malformed))
    }
}

impl ConsumerProtocolAssignment {
    /// The versions that can be written.
    pub const VERSIONS: VersionRange = VersionRange::new(0, 3);

    /// The bytes for SyncGroup, in this version.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::ErrorKind::State) if the version is unknown or a string is too long.
    pub fn to_bytes(&self, version: i16) -> Result<Bytes> {
        to_bytes(self, version, Self::VERSIONS)
    }

    /// Reads what the leader sent. No bytes at all are an empty assignment, as from a broker before the leader's answer.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) if it is not an assignment.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        from_bytes(bytes, Self::VERSIONS).map_err(|malformed| unreadable("assignment", malformed))
    }
}

fn to_bytes(message: &impl Wire, version: i16, known: VersionRange) -> Result<Bytes> {
    let mut out = Encoder::new(Vec::new());
    out.put_i16(version);
    encode_body(message, &mut out, version, known, i16::MAX);
    Ok(out.finish()?.to_vec().into())
}

fn from_bytes<T: Wire>(bytes: &Bytes, known: VersionRange) -> Result<T, Malformed> {
    let mut input = Decoder::new(bytes);
    let version = input.i16()?.min(known.max);
    decode_body(&mut input, version, known, i16::MAX)
}

fn unreadable(what: &str, malformed: Malformed) -> Error {
    Error::protocol(format!("unreadable {what} of a group member: {malformed}"))
}
