//! DescribeConfigs: the configuration of topics, brokers and more (KIP-133).
//!
//! Versions 0-4, all there are; Kafka 4 serves 1 and above, so the client asks for those. Kafka 2.4 serves 2.
//!
//! - 1: where a value comes from, and what would stand behind it, instead of `is_default` (KIP-226)
//! - 2: the broker answers before it throttles
//! - 3: types and documentation (KIP-569)
//! - 4: flexible

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api DescribeConfigs {
        DescribeConfigsRequest => DescribeConfigsResponse,
        versions 0-4, client 1-4, flexible 4+
    }

    /// Asks for configurations.
    struct DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource> [0+],
        include_synonyms: bool [1+],
        include_documentation: bool [3+],
    }

    /// What has a configuration.
    struct DescribeConfigsResource {
        /// 2 topic, 4 broker, 8 a broker's loggers, 16 client metrics, 32 group.
        resource_type: i8 [0+],
        /// Empty with type broker is the configuration that all brokers share.
        resource_name: String [0+],
        /// Null is all of them.
        configuration_keys: Option<Vec<String>> [0+, nullable 0+],
    }

    /// Configurations.
    struct DescribeConfigsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        results: Vec<DescribeConfigsResult> [0+],
    }

    /// The configuration of one resource.
    struct DescribeConfigsResult {
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+],
        resource_type: i8 [0+],
        resource_name: String [0+],
        configs: Vec<DescribeConfigsResourceResult> [0+],
    }

    /// One key of a configuration.
    struct DescribeConfigsResourceResult {
        name: String [0+],
        /// Null if it is sensitive, or not set.
        value: Option<String> [0+, nullable 0+],
        read_only: bool [0+],
        is_default: bool [0],
        /// 1 the topic, 2 the broker, 3 what all brokers share, 4 the broker's properties file, 5 default, 6 a broker's
        /// loggers, 7 client metrics, 8 the group; 0 and -1 are unknown.
        config_source: i8 [1+, ignorable] = -1,
        is_sensitive: bool [0+],
        /// The value and what would stand behind it, the one in force first.
        synonyms: Vec<DescribeConfigsSynonym> [1+, ignorable],
        /// 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password; 0 is unknown.
        config_type: i8 [3+, ignorable],
        documentation: Option<String> [3+, nullable 0+, ignorable],
    }

    /// A value from one source.
    struct DescribeConfigsSynonym {
        name: String [1+],
        value: Option<String> [1+, nullable 0+],
        /// By the numbers of `config_source`.
        source: i8 [1+],
    }
}
