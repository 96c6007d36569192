//! ListOffsets: the offset for a time, or at the start or end of a partition.
//!
//! Versions 0-11, all there are; Kafka 4 serves 1 and above, so the client asks for those.
//!
//! - 1: one offset, with its timestamp, instead of a list
//! - 2: isolation level; throttle time
//! - 3: the broker answers before it throttles
//! - 4: leader epochs (KIP-320)
//! - 5: OFFSET_NOT_AVAILABLE may be the answer
//! - 6: flexible
//! - 7: -3 asks for the record with the highest timestamp (KIP-734)
//! - 8: -4 asks for the start of the local log (KIP-405)
//! - 9: -5 asks for the end of tiered storage (KIP-1005)
//! - 10: a timeout for tiered storage (KIP-1075)
//! - 11: -6 asks for the first offset not in tiered storage yet (KIP-1023)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api ListOffsets {
        ListOffsetsRequest => ListOffsetsResponse,
        versions 0-11, client 1-11, flexible 6+
    }

    /// Asks for offsets.
    struct ListOffsetsRequest {
        /// A consumer must set it to -1; the default is 0, as in Kafka's schema.
        replica_id: i32 [0+],
        /// 0 read_uncommitted, 1 read_committed.
        isolation_level: i8 [2+],
        topics: Vec<ListOffsetsTopic> [0+],
        timeout_ms: i32 [10+, ignorable],
    }

    /// Partitions of one topic.
    struct ListOffsetsTopic {
        name: String [0+],
        partitions: Vec<ListOffsetsPartition> [0+],
    }

    /// A partition and the time to look for.
    struct ListOffsetsPartition {
        partition_index: i32 [0+],
        /// -1 is unknown.
        current_leader_epoch: i32 [4+, ignorable] = -1,
        /// In milliseconds; -1 is the end of the log, -2 its start.
        timestamp: i64 [0+],
        /// How many offsets to list at the most.
        max_num_offsets: i32 [0] = 1,
    }

    /// Offsets.
    struct ListOffsetsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [2+, ignorable],
        topics: Vec<ListOffsetsTopicResponse> [0+],
    }

    /// The answers for one topic.
    struct ListOffsetsTopicResponse {
        name: String [0+],
        partitions: Vec<ListOffsetsPartitionResponse> [0+],
    }

    /// The answer for one partition.
    struct ListOffsetsPartitionResponse {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
        /// Descending.
        old_style_offsets: Vec<i64> [0],
        /// Of the record at the offset; -1 at the start and the end.
        timestamp: i64 [1+] = -1,
        /// -1 if there is none.
        offset: i64 [1+] = -1,
        /// -1 is unknown.
        leader_epoch: i32 [4+] = -1,
    }
}
