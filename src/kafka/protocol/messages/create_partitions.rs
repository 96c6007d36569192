//! CreatePartitions: gives topics more partitions (KIP-195).
//!
//! Versions 0-3, all there are. The client asks for all of them; Kafka 2.4 serves 1.
//!
//! - 1: the broker answers before it throttles
//! - 2: flexible
//! - 3: THROTTLING_QUOTA_EXCEEDED may be the answer (KIP-599)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api CreatePartitions {
        CreatePartitionsRequest => CreatePartitionsResponse,
        versions 0-3, client 0-3, flexible 2+
    }

    /// Asks for partitions.
    struct CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic> [0+],
        /// How long the broker waits for the partitions to be ready.
        timeout_ms: i32 [0+],
        /// Check only, make nothing.
        validate_only: bool [0+],
    }

    /// A topic that is to grow.
    struct CreatePartitionsTopic {
        name: String [0+],
        /// How many partitions it is to have, old and new.
        count: i32 [0+],
        /// One for each new partition; null leaves it to the broker.
        assignments: Option<Vec<CreatePartitionsAssignment>> [0+, nullable 0+],
    }

    /// Where the replicas of one new partition go.
    struct CreatePartitionsAssignment {
        broker_ids: Vec<i32> [0+],
    }

    /// What became of each topic.
    struct CreatePartitionsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        results: Vec<CreatePartitionsTopicResult> [0+],
    }

    /// What became of one topic.
    struct CreatePartitionsTopicResult {
        name: String [0+],
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+] = None,
    }
}
