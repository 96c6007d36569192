//! ListConfigResources: what has a configuration of its own.
//!
//! Versions 0-1, all there are; Kafka 3.7 is the first with 0, under the name ListClientMetricsResources (KIP-1000), and
//! Kafka 4.1 with 1. The client asks for both.
//!
//! - 1: any type of resource, not client metrics alone (KIP-1142)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api ListConfigResources {
        ListConfigResourcesRequest => ListConfigResourcesResponse,
        versions 0-1, client 0-1, flexible 0+
    }

    /// Asks for resources.
    struct ListConfigResourcesRequest {
        /// By the numbers of DescribeConfigs; empty is all.
        resource_types: Vec<i8> [1+],
    }

    /// Resources.
    struct ListConfigResourcesResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        config_resources: Vec<ConfigResource> [0+],
    }

    /// A resource.
    struct ConfigResource {
        resource_name: String [0+],
        /// By the numbers of DescribeConfigs; 16 is client metrics.
        resource_type: i8 [1+, ignorable] = 16,
    }
}
