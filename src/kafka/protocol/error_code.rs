//! Kafka's error codes: one table of number, name, whether the same request may succeed later, and what it means.
//!
//! Whether a code is retriable is Kafka's own judgement (its `RetriableException`s as of 4.3); what to do about it is
//! decided where the request was made. A number that is not in the table is kept and shown.

use std::fmt;

/// An error code as it stands in an answer; [`NONE`](Self::NONE) is success.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i16);

impl ErrorCode {
    /// Whether this is success.
    pub fn is_ok(self) -> bool {
        self == Self::NONE
    }

    /// Kafka's name for it; `None` for a number that is not known.
    pub fn name(self) -> Option<&'static str> {
        self.entry().map(|entry| entry.name)
    }

    /// Whether Kafka says that the same request may succeed later. A number that is not known is not.
    pub fn is_retriable(self) -> bool {
        self.entry().is_some_and(|entry| entry.retriable)
    }

    /// What it means, in a few words; empty for success and for a number that is not known.
    pub fn description(self) -> &'static str {
        self.entry().map_or("", |entry| entry.description)
    }

    /// Whether it says that the credentials or the rights are not sufficient.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::TOPIC_AUTHORIZATION_FAILED
                | Self::GROUP_AUTHORIZATION_FAILED
                | Self::CLUSTER_AUTHORIZATION_FAILED
                | Self::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
                | Self::DELEGATION_TOKEN_AUTHORIZATION_FAILED
                | Self::UNSUPPORTED_SASL_MECHANISM
                | Self::ILLEGAL_SASL_STATE
                | Self::SASL_AUTHENTICATION_FAILED
        )
    }

    /// This code as an error, [`Ok`] for success.
    ///
    /// # Errors
    /// The code itself.
    pub fn ok(self) -> Result<(), Self> {
        if self.is_ok() { Ok(()) } else { Err(self) }
    }
}

impl From<i16> for ErrorCode {
    fn from(code: i16) -> Self {
        Self(code)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown error {}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Entry {
    name: &'static str,
    retriable: bool,
    description: &'static str,
}

macro_rules! error_codes {
    ($($code:literal $name:ident $retriable:ident $description:literal;)+) => {
        impl ErrorCode {
            $(
                #[doc = concat!("Code ", stringify!($code), ": ", $description)]
                pub const $name: ErrorCode = ErrorCode($code);
            )+

            /// All that are known, by number.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode($code)),+];

            fn entry(self) -> Option<&'static Entry> {
                match self.0 {
                    $($code => Some(&Entry {
                        name: stringify!($name),
                        retriable: error_codes!(@ $retriable),
                        description: $description,
                    }),)+
                    _ => None,
                }
            }
        }
    };
    (@ retriable) => {
        true
    };
    (@ final) => {
        false
    };
}

error_codes! {
    -1 UNKNOWN_SERVER_ERROR final "the broker failed for a reason it does not tell; its log says more";
    0 NONE final "";
    1 OFFSET_OUT_OF_RANGE final "the offset is not in the log: deleted already or not written yet";
    2 CORRUPT_MESSAGE retriable "the broker found the records damaged, too large, or without a key on a compacted topic";
    3 UNKNOWN_TOPIC_OR_PARTITION retriable "the broker does not know the topic or partition; it may not exist or be very new";
    4 INVALID_FETCH_SIZE final "the number of bytes to fetch makes no sense";
    5 LEADER_NOT_AVAILABLE retriable "the partition has no leader at the moment, an election is on";
    6 NOT_LEADER_OR_FOLLOWER retriable "the partition's leader or replica is another broker now";
    7 REQUEST_TIMED_OUT retriable "the broker could not finish in the time the request allowed";
    8 BROKER_NOT_AVAILABLE final "the broker is not up";
    9 REPLICA_NOT_AVAILABLE retriable "the replica is not up or not caught up";
    10 MESSAGE_TOO_LARGE final "a record or batch is larger than the topic's max.message.bytes";
    11 STALE_CONTROLLER_EPOCH final "the controller has moved";
    12 OFFSET_METADATA_TOO_LARGE final "the metadata committed with an offset is longer than offset.metadata.max.bytes";
    13 NETWORK_EXCEPTION retriable "the connection broke before the answer came";
    14 COORDINATOR_LOAD_IN_PROGRESS retriable "the coordinator is still loading the group or transaction";
    15 COORDINATOR_NOT_AVAILABLE retriable "the group or transaction has no coordinator at the moment; internal topics may just be starting";
    16 NOT_COORDINATOR retriable "the group's or transaction's coordinator is another broker now";
    17 INVALID_TOPIC_EXCEPTION final "the topic's name is not legal, or the topic is internal";
    18 RECORD_LIST_TOO_LARGE final "the batch is larger than the topic's segment.bytes";
    19 NOT_ENOUGH_REPLICAS retriable "fewer replicas are in sync than min.insync.replicas asks for; nothing was written";
    20 NOT_ENOUGH_REPLICAS_AFTER_APPEND retriable "written, but to fewer replicas in sync than min.insync.replicas asks for";
    21 INVALID_REQUIRED_ACKS final "acks must be 0, 1 or all";
    22 ILLEGAL_GENERATION final "the group has moved on to another generation";
    23 INCONSISTENT_GROUP_PROTOCOL final "no protocol or assignor of this member is common to all members of the group";
    24 INVALID_GROUP_ID final "the group id is empty or not legal";
    25 UNKNOWN_MEMBER_ID final "the coordinator does not know this member; its session may have expired";
    26 INVALID_SESSION_TIMEOUT final "session.timeout.ms is outside of the broker's group.min.session.timeout.ms and group.max.session.timeout.ms";
    27 REBALANCE_IN_PROGRESS final "the group is rebalancing, members must join again";
    28 INVALID_COMMIT_OFFSET_SIZE final "the offsets to commit are too large for one batch";
    29 TOPIC_AUTHORIZATION_FAILED final "no right to use the topic in this way";
    30 GROUP_AUTHORIZATION_FAILED final "no right to use the group in this way";
    31 CLUSTER_AUTHORIZATION_FAILED final "no right to do this on the cluster";
    32 INVALID_TIMESTAMP final "a record's timestamp is outside of what the topic accepts";
    33 UNSUPPORTED_SASL_MECHANISM final "the broker does not offer this SASL mechanism";
    34 ILLEGAL_SASL_STATE final "the request does not fit the state of the authentication";
    35 UNSUPPORTED_VERSION final "the broker does not serve this version of the request";
    36 TOPIC_ALREADY_EXISTS final "a topic of this name exists already";
    37 INVALID_PARTITIONS final "the number of partitions is not legal";
    38 INVALID_REPLICATION_FACTOR final "the replication factor is below 1 or above the number of brokers";
    39 INVALID_REPLICA_ASSIGNMENT final "the assignment of replicas is not legal";
    40 INVALID_CONFIG final "a configuration value is not legal";
    41 NOT_CONTROLLER retriable "the controller is another broker now";
    42 INVALID_REQUEST final "the request contradicts itself or the protocol; the broker's log says more";
    43 UNSUPPORTED_FOR_MESSAGE_FORMAT final "the topic's message format is too old for this request";
    44 POLICY_VIOLATION final "a policy of the cluster forbids it";
    45 OUT_OF_ORDER_SEQUENCE_NUMBER final "a batch before this one is missing in the producer's sequence";
    46 DUPLICATE_SEQUENCE_NUMBER final "the batch is in the log already";
    47 INVALID_PRODUCER_EPOCH final "a producer with the same id and a newer epoch exists";
    48 INVALID_TXN_STATE final "the transaction's state does not allow this";
    49 INVALID_PRODUCER_ID_MAPPING final "the producer id does not belong to the transactional id";
    50 INVALID_TRANSACTION_TIMEOUT final "the transaction timeout is above the broker's transaction.max.timeout.ms";
    51 CONCURRENT_TRANSACTIONS retriable "another operation of the same transaction is still on";
    52 TRANSACTION_COORDINATOR_FENCED final "the transaction's coordinator has been replaced";
    53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED final "no right to use the transactional id";
    54 SECURITY_DISABLED final "the broker has no authorizer configured";
    55 OPERATION_NOT_ATTEMPTED final "not tried, because another part of the request failed";
    56 KAFKA_STORAGE_ERROR retriable "the broker cannot use the disk with the partition's log";
    57 LOG_DIR_NOT_FOUND final "the broker has no such log directory";
    58 SASL_AUTHENTICATION_FAILED final "the credentials were refused";
    59 UNKNOWN_PRODUCER_ID final "the broker has forgotten this producer, its records may have expired";
    60 REASSIGNMENT_IN_PROGRESS final "the partition is being moved";
    61 DELEGATION_TOKEN_AUTH_DISABLED final "delegation tokens are not enabled on the broker";
    62 DELEGATION_TOKEN_NOT_FOUND final "the broker does not know the delegation token";
    63 DELEGATION_TOKEN_OWNER_MISMATCH final "the principal may not use or renew the delegation token";
    64 DELEGATION_TOKEN_REQUEST_NOT_ALLOWED final "delegation tokens cannot be managed over this kind of connection";
    65 DELEGATION_TOKEN_AUTHORIZATION_FAILED final "no right to use the delegation token";
    66 DELEGATION_TOKEN_EXPIRED final "the delegation token has expired";
    67 INVALID_PRINCIPAL_TYPE final "this type of principal is not supported";
    68 NON_EMPTY_GROUP final "the group still has members";
    69 GROUP_ID_NOT_FOUND final "the group does not exist";
    70 FETCH_SESSION_ID_NOT_FOUND retriable "the broker has forgotten the fetch session";
    71 INVALID_FETCH_SESSION_EPOCH retriable "the fetch session is out of step";
    72 LISTENER_NOT_FOUND retriable "the leader has no listener of the name this connection uses";
    73 TOPIC_DELETION_DISABLED final "deleting topics is switched off on the broker";
    74 FENCED_LEADER_EPOCH retriable "the client's leader epoch is older than the partition's";
    75 UNKNOWN_LEADER_EPOCH retriable "the client's leader epoch is newer than the broker's";
    76 UNSUPPORTED_COMPRESSION_TYPE final "the client cannot read the compression of this partition";
    77 STALE_BROKER_EPOCH final "the broker was registered anew in the meantime";
    78 OFFSET_NOT_AVAILABLE retriable "the new leader does not know the high watermark yet";
    79 MEMBER_ID_REQUIRED final "the coordinator has assigned a member id to join with";
    80 PREFERRED_LEADER_NOT_AVAILABLE retriable "the preferred leader is not up";
    81 GROUP_MAX_SIZE_REACHED final "the group has group.max.size members already";
    82 FENCED_INSTANCE_ID final "another member with the same group.instance.id has taken over";
    83 ELIGIBLE_LEADERS_NOT_AVAILABLE retriable "no replica that may lead is up";
    84 ELECTION_NOT_NEEDED retriable "the partition has the leader it should have";
    85 NO_REASSIGNMENT_IN_PROGRESS final "the partition is not being moved";
    86 GROUP_SUBSCRIBED_TO_TOPIC final "a group's offsets of a topic it subscribes to cannot be deleted";
    87 INVALID_RECORD final "the broker's checks refused a record";
    88 UNSTABLE_OFFSET_COMMIT retriable "a transaction's offsets are not decided yet";
    89 THROTTLING_QUOTA_EXCEEDED retriable "a quota of the broker is used up";
    90 PRODUCER_FENCED final "a newer producer with the same transactional id has taken over";
    91 RESOURCE_NOT_FOUND final "something that the request names does not exist";
    92 DUPLICATE_RESOURCE final "the request names the same thing twice";
    93 UNACCEPTABLE_CREDENTIAL final "the credential is too weak or not legal";
    94 INCONSISTENT_VOTER_SET final "the voters of the quorum disagree";
    95 INVALID_UPDATE_VERSION final "the version of the feature update is not legal";
    96 FEATURE_UPDATE_FAILED final "the controller could not update the features";
    97 PRINCIPAL_DESERIALIZATION_FAILURE final "a broker could not read the principal of a forwarded request";
    98 SNAPSHOT_NOT_FOUND final "the snapshot does not exist";
    99 POSITION_OUT_OF_RANGE final "the position is outside of the snapshot";
    100 UNKNOWN_TOPIC_ID retriable "the broker does not know the topic id; the topic may have been created anew";
    101 DUPLICATE_BROKER_REGISTRATION final "another broker with this id is registered";
    102 BROKER_ID_NOT_REGISTERED final "no broker with this id is registered";
    103 INCONSISTENT_TOPIC_ID retriable "the log belongs to another topic id";
    104 INCONSISTENT_CLUSTER_ID final "the broker belongs to another cluster";
    105 TRANSACTIONAL_ID_NOT_FOUND final "the transactional id does not exist";
    106 FETCH_SESSION_TOPIC_ID_ERROR retriable "the fetch session mixes topics with and without ids";
    107 INELIGIBLE_REPLICA final "a replica may not join the in-sync set";
    108 NEW_LEADER_ELECTED final "the leader changed while the partition was altered";
    109 OFFSET_MOVED_TO_TIERED_STORAGE final "the offset is in tiered storage only";
    110 FENCED_MEMBER_EPOCH final "the coordinator fenced this member's epoch; it must give up its partitions and join again";
    111 UNRELEASED_INSTANCE_ID final "another member still holds this group.instance.id";
    112 UNSUPPORTED_ASSIGNOR final "the group's coordinator does not offer this assignor";
    113 STALE_MEMBER_EPOCH final "this member's epoch is old; the next heartbeat brings the new one";
    114 MISMATCHED_ENDPOINT_TYPE final "this listener does not serve such requests";
    115 UNSUPPORTED_ENDPOINT_TYPE final "this type of endpoint is not supported";
    116 UNKNOWN_CONTROLLER_ID final "the controller id is not known";
    117 UNKNOWN_SUBSCRIPTION_ID final "the telemetry subscription is out of date";
    118 TELEMETRY_TOO_LARGE final "the telemetry is larger than the broker accepts";
    119 INVALID_REGISTRATION final "the controller refused the broker's registration";
    120 TRANSACTION_ABORTABLE final "the transaction failed and must be aborted";
    121 INVALID_RECORD_STATE final "the record is not in a state in which it can be acknowledged";
    122 SHARE_SESSION_NOT_FOUND retriable "the broker has forgotten the share session";
    123 INVALID_SHARE_SESSION_EPOCH retriable "the share session is out of step";
    124 FENCED_STATE_EPOCH final "the state epoch of the share group has moved on";
    125 INVALID_VOTER_KEY final "the voter's key does not match";
    126 DUPLICATE_VOTER final "the voter is in the quorum already";
    127 VOTER_NOT_FOUND final "the voter is not in the quorum";
    128 INVALID_REGULAR_EXPRESSION final "the regular expression is not legal";
    129 REBOOTSTRAP_REQUIRED final "the client must start anew from its bootstrap servers";
    130 STREAMS_INVALID_TOPOLOGY final "the streams topology is not legal";
    131 STREAMS_INVALID_TOPOLOGY_EPOCH final "the epoch of the streams topology is not legal";
    132 STREAMS_TOPOLOGY_FENCED final "the streams topology is out of date";
    133 SHARE_SESSION_LIMIT_REACHED retriable "the broker serves as many share sessions as it may";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_dense_and_each_code_says_what_it_means() {
        assert_eq!(ErrorCode::ALL.len(), 135);
        for (code, number) in ErrorCode::ALL.iter().zip(-1..) {
            assert_eq!(code.0, number);
            assert_eq!(code.is_ok(), code.description().is_empty(), "{code}");
        }
    }

    #[test]
    fn an_unknown_code_is_kept_and_shown() {
        let code = ErrorCode(999);
        assert_eq!(code.to_string(), "unknown error 999");
        assert_eq!((code.name(), code.is_retriable(), code.description()), (None, false, ""));
        assert_eq!(code.ok(), Err(code));
    }

    #[test]
    fn retriable_is_what_kafka_calls_retriable() {
        for code in [ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::CORRUPT_MESSAGE, ErrorCode::UNKNOWN_TOPIC_ID] {
            assert!(code.is_retriable(), "{code}");
        }
        for code in [ErrorCode::NONE, ErrorCode::REBALANCE_IN_PROGRESS, ErrorCode::MESSAGE_TOO_LARGE, ErrorCode(999)] {
            assert!(!code.is_retriable(), "{code}");
        }
        assert_eq!(ErrorCode::ALL.iter().filter(|code| code.is_retriable()).count(), RETRIABLE_IN_KAFKA_4_3);
    }

    const RETRIABLE_IN_KAFKA_4_3: usize = 32;
}
