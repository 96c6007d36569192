//! IncrementalAlterConfigs: changes keys in the configuration of topics, brokers and more (KIP-339).
//!
//! Versions 0-1, all there are; Kafka 2.4 serves both, so the client asks for 1.
//!
//! - 1: flexible

use super::AlterConfigsResourceResponse;
use crate::kafka::protocol::schema::prelude::*;

schema! {
    api IncrementalAlterConfigs {
        IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse,
        versions 0-1, client 1-1, flexible 1+
    }

    /// Changes to configurations.
    struct IncrementalAlterConfigsRequest {
        resources: Vec<IncrementalAlterConfigsResource> [0+],
        /// Check only, change nothing.
        validate_only: bool [0+],
    }

    /// Changes to the configuration of one resource; Kafka's own name for it is `AlterConfigsResource`.
    struct IncrementalAlterConfigsResource {
        /// By the numbers of DescribeConfigs.
        resource_type: i8 [0+],
        resource_name: String [0+],
        configs: Vec<IncrementalAlterableConfig> [0+],
    }

    /// A change to one key; Kafka's own name for it is `AlterableConfig`.
    struct IncrementalAlterableConfig {
        name: String [0+],
        /// 0 set, 1 delete, 2 append to the list, 3 take out of the list.
        config_operation: i8 [0+],
        /// Null for delete.
        value: Option<String> [0+, nullable 0+],
    }

    /// What became of each resource.
    struct IncrementalAlterConfigsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        responses: Vec<AlterConfigsResourceResponse> [0+],
    }
}
