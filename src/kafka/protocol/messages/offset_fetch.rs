//! OffsetFetch: reads the stored positions of groups.
//!
//! Versions 0-10, all there are; Kafka 4 serves 1 and above. The client asks for 2 to 9: 2 is the first with an error code
//! for the group, and 10 knows topics by their id only.
//!
//! - 1: offsets from Kafka itself, no longer from ZooKeeper
//! - 2: a null list asks for all topics; an error code for the group
//! - 3: throttle time
//! - 4: the broker answers before it throttles
//! - 5: leader epochs (KIP-320)
//! - 6: flexible
//! - 7: `require_stable`: not while a transaction's offsets are undecided (KIP-447)
//! - 8: many groups at once, in `groups` instead of the fields beside it (KIP-709)
//! - 9: consumer groups: member id and epoch are checked (KIP-848)
//! - 10: topic ids instead of names (KIP-848)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api OffsetFetch {
        OffsetFetchRequest => OffsetFetchResponse,
        versions 0-10, client 2-9, flexible 6+
    }

    /// Asks for positions.
    struct OffsetFetchRequest {
        group_id: String [0-7],
        /// Null is all topics. Must be left empty from version 8 on.
        topics: Option<Vec<OffsetFetchRequestTopic>> [0-7, nullable 2-7],
        groups: Vec<OffsetFetchRequestGroup> [8+],
        require_stable: bool [7+],
    }

    /// Partitions of one topic, up to version 7.
    struct OffsetFetchRequestTopic {
        name: String [0-7],
        partition_indexes: Vec<i32> [0-7],
    }

    /// A group, from version 8 on.
    struct OffsetFetchRequestGroup {
        group_id: String [8+],
        /// Null for a classic group.
        member_id: Option<String> [9+, nullable 9+, ignorable] = None,
        /// -1 for a classic group.
        member_epoch: i32 [9+, ignorable] = -1,
        /// Null is all topics.
        topics: Option<Vec<OffsetFetchRequestTopics>> [8+, nullable 8+],
    }

    /// Partitions of one topic, from version 8 on.
    struct OffsetFetchRequestTopics {
        name: String [8-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partition_indexes: Vec<i32> [8+],
    }

    /// Positions.
    struct OffsetFetchResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [3+, ignorable],
        topics: Vec<OffsetFetchResponseTopic> [0-7],
        error_code: ErrorCode [2-7, ignorable],
        groups: Vec<OffsetFetchResponseGroup> [8+],
    }

    /// Positions in one topic, up to version 7.
    struct OffsetFetchResponseTopic {
        name: String [0-7],
        partitions: Vec<OffsetFetchResponsePartition> [0-7],
    }

    /// The position in one partition, up to version 7.
    struct OffsetFetchResponsePartition {
        partition_index: i32 [0-7],
        /// -1 if there is none.
        committed_offset: i64 [0-7],
        /// -1 is unknown.
        committed_leader_epoch: i32 [5-7, ignorable] = -1,
        metadata: Option<String> [0-7, nullable 0-7],
        error_code: ErrorCode [0-7],
    }

    /// The positions of one group, from version 8 on.
    struct OffsetFetchResponseGroup {
        group_id: String [8+],
        topics: Vec<OffsetFetchResponseTopics> [8+],
        error_code: ErrorCode [8+],
    }

    /// Positions in one topic, from version 8 on.
    struct OffsetFetchResponseTopics {
        name: String [8-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partitions: Vec<OffsetFetchResponsePartitions> [8+],
    }

    /// The position in one partition, from version 8 on.
    struct OffsetFetchResponsePartitions {
        partition_index: i32 [8+],
        /// -1 if there is none.
        committed_offset: i64 [8+],
        /// -1 is unknown.
        committed_leader_epoch: i32 [8+, ignorable] = -1,
        metadata: Option<String> [8+, nullable 8+],
        error_code: ErrorCode [8+],
    }
}
