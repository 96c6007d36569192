//! How Kafka keeps the positions of groups: the keys and values of the records of `__consumer_offsets`.
//!
//! An `i16` with the version comes first. Key versions 0-1, which are the same; value versions 0-4, of which 3 and 4 are
//! read and written here.
//!
//! - value 3: leader epochs (KIP-320); no time of expiry any more
//! - value 4: flexible; the topic's id

use crate::kafka::error::{Error, Result};
use crate::kafka::protocol::api::VersionRange;
use crate::kafka::protocol::schema::prelude::*;

schema! {
    /// Whose position it is.
    struct OffsetCommitKey {
        group: String [0+],
        topic: String [0+],
        partition: i32 [0+],
    }

    /// A position. None, as the value of a key, takes the position back.
    struct OffsetCommitValue {
        offset: i64 [0+],
        /// -1 is unknown.
        leader_epoch: i32 [3+, ignorable] = -1,
        metadata: String [0+],
        /// Milliseconds since 1970.
        commit_timestamp: i64 [0+],
        topic_id: Uuid [4+, tag 0, ignorable],
    }
}

const KEYS: VersionRange = VersionRange::new(0, 1);
const VALUES: VersionRange = VersionRange::new(3, 4);
const NEVER: i16 = i16::MAX;
const FLEXIBLE: i16 = 4;

impl OffsetCommitKey {
    /// The key of a record.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::ErrorKind::State) if a name is too long.
    pub fn to_bytes(&self) -> Result<Bytes> {
        to_bytes(self, KEYS, NEVER)
    }

    /// Reads the key of a record.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) if it is something else's.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self> {
        from_bytes(bytes, KEYS, NEVER)
    }
}

impl OffsetCommitValue {
    /// The value of a record.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::ErrorKind::State) if the metadata is too long.
    pub fn to_bytes(&self) -> Result<Bytes> {
        to_bytes(self, VALUES, FLEXIBLE)
    }

    /// Reads the value of a record.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) if it is none, or of another version.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self> {
        from_bytes(bytes, VALUES, FLEXIBLE)
    }
}

fn to_bytes(message: &impl Wire, known: VersionRange, flexible: i16) -> Result<Bytes> {
    let mut out = Encoder::new(Vec::new());
    out.put_i16(known.max);
    encode_body(message, &mut out, known.max, known, flexible);
    Ok(out.finish()?.to_vec().into())
}

fn from_bytes<T: Wire>(bytes: &Bytes, known: VersionRange, flexible: i16) -> Result<T> {
    let mut input = Decoder::new(bytes);
    let read = input.i16().and_then(|version| decode_body(&mut input, version, known, flexible));
    read.map_err(|malformed| Error::protocol(format!("unreadable record of committed offsets: {malformed}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn records_of_positions_are_as_in_kafka() {
        let key = OffsetCommitKey { group: "g".to_owned(), topic: "t".to_owned(), partition: 2 };
        let value = OffsetCommitValue {
            offset: 7,
            leader_epoch: 3,
            metadata: "m".to_owned(),
            commit_timestamp: 9,
            topic_id: Uuid::ZERO,
        };
        let bytes = key.to_bytes().unwrap();
        assert_eq!(hex(&bytes), "000100016700017400000002");
        assert_eq!(OffsetCommitKey::from_bytes(&bytes).unwrap(), key);
        let bytes = value.to_bytes().unwrap();
        assert_eq!(
            hex(&bytes),
            "00040000000000000007000000030\
            26d000000000000000900"
                .replace(' ', "")
        );
        assert_eq!(OffsetCommitValue::from_bytes(&bytes).unwrap(), value);
        let value = OffsetCommitValue { topic_id: Uuid([0xab; 16]), ..value };
        let bytes = value.to_bytes().unwrap();
        assert!(hex(&bytes).ends_with(&format!("010010{}", "ab".repeat(16))), "{}", hex(&bytes));
        assert_eq!(OffsetCommitValue::from_bytes(&bytes).unwrap(), value);
        let older = "0003000000000000000700000003".to_owned() + "00016d0000000000000009";
        let older: Vec<u8> =
            (0..older.len()).step_by(2).map(|at| u8::from_str_radix(&older[at..at + 2], 16).unwrap()).collect();
        assert_eq!(OffsetCommitValue::from_bytes(&older.into()).unwrap().metadata, "m");
    }
}
