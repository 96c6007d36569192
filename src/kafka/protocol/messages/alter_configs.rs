//! AlterConfigs: replaces the whole configuration of topics, brokers and more (KIP-133); what is not told falls back to
//! its default.
//!
//! Versions 0-2, all there are. The client asks for all of them; Kafka 2.4 serves 1.
//!
//! - 1: the broker answers before it throttles
//! - 2: flexible

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api AlterConfigs {
        AlterConfigsRequest => AlterConfigsResponse,
        versions 0-2, client 0-2, flexible 2+
    }

    /// New configurations.
    struct AlterConfigsRequest {
        resources: Vec<AlterConfigsResource> [0+],
        /// Check only, change nothing.
        validate_only: bool [0+],
    }

    /// The configuration of one resource.
    struct AlterConfigsResource {
        /// By the numbers of DescribeConfigs.
        resource_type: i8 [0+],
        resource_name: String [0+],
        configs: Vec<AlterableConfig> [0+],
    }

    /// One key of a configuration.
    struct AlterableConfig {
        name: String [0+],
        value: Option<String> [0+, nullable 0+],
    }

    /// What became of each resource.
    struct AlterConfigsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        responses: Vec<AlterConfigsResourceResponse> [0+],
    }

    /// What became of one resource; the same in IncrementalAlterConfigs.
    struct AlterConfigsResourceResponse {
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+],
        /// By the numbers of DescribeConfigs.
        resource_type: i8 [0+],
        resource_name: String [0+],
    }
}
