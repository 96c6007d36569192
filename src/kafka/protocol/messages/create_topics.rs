//! CreateTopics: makes topics.
//!
//! Versions 0-7, all there are; Kafka 4 serves 2 and above, so the client asks for those.
//!
//! - 1: `validate_only`; an error message per topic
//! - 2: throttle time
//! - 3: the broker answers before it throttles
//! - 4: partitions and replication factor may be -1, the broker's defaults (KIP-464)
//! - 5: flexible; the answer has the topic's configuration (KIP-525)
//! - 6: THROTTLING_QUOTA_EXCEEDED may be the answer (KIP-599)
//! - 7: the new topic's id (KIP-516)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api CreateTopics {
        CreateTopicsRequest => CreateTopicsResponse,
        versions 0-7, client 2-7, flexible 5+
    }

    /// Asks for topics to be made.
    struct CreateTopicsRequest {
        topics: Vec<CreatableTopic> [0+],
        /// How long the broker waits for the topics to be ready.
        timeout_ms: i32 [0+] = 60000,
        /// Check only, make nothing.
        validate_only: bool [1+],
    }

    /// A topic to make.
    struct CreatableTopic {
        name: String [0+],
        /// -1 for the broker's default, or if assignments are given.
        num_partitions: i32 [0+],
        /// -1 for the broker's default, or if assignments are given.
        replication_factor: i16 [0+],
        /// Empty leaves it to the broker.
        assignments: Vec<CreatableReplicaAssignment> [0+],
        configs: Vec<CreatableTopicConfig> [0+],
    }

    /// Where the replicas of one partition go.
    struct CreatableReplicaAssignment {
        partition_index: i32 [0+],
        broker_ids: Vec<i32> [0+],
    }

    /// A configuration value that differs from the default.
    struct CreatableTopicConfig {
        name: String [0+],
        value: Option<String> [0+, nullable 0+],
    }

    /// What became of each topic.
    struct CreateTopicsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [2+, ignorable],
        topics: Vec<CreatableTopicResult> [0+],
    }

    /// What became of one topic.
    struct CreatableTopicResult {
        name: String [0+],
        topic_id: Uuid [7+, ignorable],
        error_code: ErrorCode [0+],
        error_message: Option<String> [1+, nullable 0+, ignorable],
        /// Why `configs` is missing.
        topic_config_error_code: ErrorCode [5+, tag 0, ignorable],
        /// -1 for the broker's default, or if assignments are given.
        num_partitions: i32 [5+, ignorable] = -1,
        replication_factor: i16 [5+, ignorable] = -1,
        /// Null if the client may not see them.
        configs: Option<Vec<CreatableTopicConfigs>> [5+, nullable 5+, ignorable],
    }

    /// A configuration value of a new topic.
    struct CreatableTopicConfigs {
        name: String [5+],
        value: Option<String> [5+, nullable 5+],
        read_only: bool [5+],
        /// Where the value comes from, by the numbers of DescribeConfigs.
        config_source: i8 [5+, ignorable] = -1,
        is_sensitive: bool [5+],
    }
}
