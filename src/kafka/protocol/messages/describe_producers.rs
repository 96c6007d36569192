//! DescribeProducers: the idempotent and transactional producers that a partition knows (KIP-664).
//!
//! Version 0, all there is, from Kafka 2.8 on.

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api DescribeProducers {
        DescribeProducersRequest => DescribeProducersResponse,
        versions 0-0, client 0-0, flexible 0+
    }

    /// Asks for producers.
    struct DescribeProducersRequest {
        topics: Vec<DescribeProducersTopic> [0+],
    }

    /// Partitions of one topic; Kafka's own name for it is `TopicRequest`.
    struct DescribeProducersTopic {
        name: String [0+],
        partition_indexes: Vec<i32> [0+],
    }

    /// Producers.
    struct DescribeProducersResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        topics: Vec<DescribeProducersTopicResponse> [0+],
    }

    /// The answers for one topic; Kafka's own name for it is `TopicResponse`.
    struct DescribeProducersTopicResponse {
        name: String [0+],
        partitions: Vec<DescribeProducersPartitionResponse> [0+],
    }

    /// The answer for one partition; Kafka's own name for it is `PartitionResponse`.
    struct DescribeProducersPartitionResponse {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+] = None,
        active_producers: Vec<ProducerState> [0+],
    }

    /// A producer.
    struct ProducerState {
        producer_id: i64 [0+],
        producer_epoch: i32 [0+],
        /// -1 is unknown.
        last_sequence: i32 [0+] = -1,
        /// In milliseconds; -1 is unknown.
        last_timestamp: i64 [0+] = -1,
        coordinator_epoch: i32 [0+],
        /// Where its open transaction begins; -1 if none is open.
        current_txn_start_offset: i64 [0+] = -1,
    }
}
