//! OffsetForLeaderEpoch: where the records of a leader epoch end, so that a log that was cut off is noticed (KIP-101).
//!
//! Versions 0-4, all there are; Kafka 4 serves 2 and above. The client asks for 3 and above, which consumers may use with
//! the right to describe the topic alone; Kafka 2.4 serves 3.
//!
//! - 1: the epoch that the offset belongs to (KIP-279)
//! - 2: the leader epoch, for fencing (KIP-320); throttle time
//! - 3: who asks (KIP-392)
//! - 4: flexible

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api OffsetForLeaderEpoch {
        OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse,
        versions 0-4, client 3-4, flexible 4+
    }

    /// Asks where epochs end.
    struct OffsetForLeaderEpochRequest {
        /// -1 for a consumer, -2 for one that may see beyond the high watermark.
        replica_id: i32 [3+, ignorable] = -2,
        topics: Vec<OffsetForLeaderTopic> [0+],
    }

    /// Partitions of one topic.
    struct OffsetForLeaderTopic {
        topic: String [0+],
        partitions: Vec<OffsetForLeaderPartition> [0+],
    }

    /// A partition and an epoch of it.
    struct OffsetForLeaderPartition {
        partition: i32 [0+],
        /// -1 is unknown.
        current_leader_epoch: i32 [2+, ignorable] = -1,
        leader_epoch: i32 [0+],
    }

    /// Where epochs end.
    struct OffsetForLeaderEpochResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [2+, ignorable],
        topics: Vec<OffsetForLeaderTopicResult> [0+],
    }

    /// The answers for one topic.
    struct OffsetForLeaderTopicResult {
        topic: String [0+],
        partitions: Vec<OffsetForLeaderPartitionResult> [0+],
    }

    /// The answer for one partition; Kafka's own name for it is `EpochEndOffset`.
    struct OffsetForLeaderPartitionResult {
        error_code: ErrorCode [0+],
        partition: i32 [0+],
        /// The highest epoch not above the one asked for; -1 if there is none.
        leader_epoch: i32 [1+, ignorable] = -1,
        /// The offset after its last record; -1 if there is none.
        end_offset: i64 [0+] = -1,
    }
}
