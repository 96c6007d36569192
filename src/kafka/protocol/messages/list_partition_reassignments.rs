//! ListPartitionReassignments: partitions whose replicas are being moved (KIP-455).
//!
//! Version 0, all there is, from Kafka 2.4 on.

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api ListPartitionReassignments {
        ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse,
        versions 0-0, client 0-0, flexible 0+
    }

    /// Asks for partitions that are being moved.
    struct ListPartitionReassignmentsRequest {
        timeout_ms: i32 [0+] = 60000,
        /// Null is all.
        topics: Option<Vec<ListPartitionReassignmentsTopics>> [0+, nullable 0+] = None,
    }

    /// Partitions of one topic.
    struct ListPartitionReassignmentsTopics {
        name: String [0+],
        partition_indexes: Vec<i32> [0+],
    }

    /// Partitions that are being moved.
    struct ListPartitionReassignmentsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+],
        topics: Vec<OngoingTopicReassignment> [0+],
    }

    /// Partitions of one topic.
    struct OngoingTopicReassignment {
        name: String [0+],
        partitions: Vec<OngoingPartitionReassignment> [0+],
    }

    /// A partition.
    struct OngoingPartitionReassignment {
        partition_index: i32 [0+],
        /// Those that come and those that go included.
        replicas: Vec<i32> [0+],
        adding_replicas: Vec<i32> [0+],
        removing_replicas: Vec<i32> [0+],
    }
}
