//! DeleteRecords: removes the records of a partition before an offset (KIP-107).
//!
//! Versions 0-2, all there are. The client asks for all of them; Kafka 2.4 serves 1.
//!
//! - 1: the broker answers before it throttles
//! - 2: flexible

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api DeleteRecords {
        DeleteRecordsRequest => DeleteRecordsResponse,
        versions 0-2, client 0-2, flexible 2+
    }

    /// Asks for records to be removed.
    struct DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic> [0+],
        /// How long the broker waits for the replicas.
        timeout_ms: i32 [0+],
    }

    /// Partitions of one topic.
    struct DeleteRecordsTopic {
        name: String [0+],
        partitions: Vec<DeleteRecordsPartition> [0+],
    }

    /// A partition and its new start.
    struct DeleteRecordsPartition {
        partition_index: i32 [0+],
        /// The first offset to keep; -1 is the high watermark.
        offset: i64 [0+],
    }

    /// What became of each partition.
    struct DeleteRecordsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        topics: Vec<DeleteRecordsTopicResult> [0+],
    }

    /// The answers for one topic.
    struct DeleteRecordsTopicResult {
        name: String [0+],
        partitions: Vec<DeleteRecordsPartitionResult> [0+],
    }

    /// The answer for one partition.
    struct DeleteRecordsPartitionResult {
        partition_index: i32 [0+],
        /// The lowest start of the log among the replicas; -1 with an error.
        low_watermark: i64 [0+],
        error_code: ErrorCode [0+],
    }
}
