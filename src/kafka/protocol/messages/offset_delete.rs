//! OffsetDelete: removes positions of a group (KIP-496).
//!
//! Version 0, all there is, from Kafka 2.4 on, and in the fixed encoding.

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api OffsetDelete {
        OffsetDeleteRequest => OffsetDeleteResponse,
        versions 0-0, client 0-0, never flexible
    }

    /// Asks for positions to be removed.
    struct OffsetDeleteRequest {
        group_id: String [0+],
        topics: Vec<OffsetDeleteRequestTopic> [0+],
    }

    /// Positions in one topic.
    struct OffsetDeleteRequestTopic {
        name: String [0+],
        partitions: Vec<OffsetDeleteRequestPartition> [0+],
    }

    /// The position in one partition.
    struct OffsetDeleteRequestPartition {
        partition_index: i32 [0+],
    }

    /// What became of each position.
    struct OffsetDeleteResponse {
        error_code: ErrorCode [0+],
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+, ignorable],
        topics: Vec<OffsetDeleteResponseTopic> [0+],
    }

    /// The answers for one topic.
    struct OffsetDeleteResponseTopic {
        name: String [0+],
        partitions: Vec<OffsetDeleteResponsePartition> [0+],
    }

    /// The answer for one partition.
    struct OffsetDeleteResponsePartition {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
    }
}
