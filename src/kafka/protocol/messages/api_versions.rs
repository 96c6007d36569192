//! ApiVersions: which versions of which APIs a broker serves.
//!
//! Versions 0-4, all there are. The client starts with 4; a broker that does not know it answers in version 0 with
//! UNSUPPORTED_VERSION and, from Kafka 2.4 on, the versions it does know (KIP-511), which `frame` and `ApiVersions` take
//! care of.
//!
//! - 1: throttle time
//! - 2: the broker answers before it throttles
//! - 3: flexible; name and version of the client's software; features
//! - 4: a feature's lowest version may be 0 (KAFKA-17011)
//!
//! The header of the response is the fixed one in every version.

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api ApiVersions {
        ApiVersionsRequest => ApiVersionsResponse,
        versions 0-4, client 0-4, flexible 3+
    }

    /// Asks for the versions that a broker serves.
    struct ApiVersionsRequest {
        /// Letters, digits, `-` and `.`; brokers refuse anything else from version 3 on.
        client_software_name: String [3+, ignorable],
        /// As the name.
        client_software_version: String [3+, ignorable],
    }

    /// The versions that a broker serves.
    struct ApiVersionsResponse {
        error_code: ErrorCode [0+],
        api_keys: Vec<ApiVersion> [0+],
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [1+, ignorable],
        supported_features: Vec<SupportedFeatureKey> [3+, tag 0, ignorable],
        /// -1 is unknown.
        finalized_features_epoch: i64 [3+, tag 1, ignorable] = -1,
        finalized_features: Vec<FinalizedFeatureKey> [3+, tag 2, ignorable],
        zk_migration_ready: bool [3+, tag 3, ignorable],
    }

    /// The versions of one API.
    struct ApiVersion {
        /// A number, for it may be one that this client does not know.
        api_key: i16 [0+],
        min_version: i16 [0+],
        max_version: i16 [0+],
    }

    /// A feature that the broker could use.
    struct SupportedFeatureKey {
        name: String [3+],
        min_version: i16 [3+],
        max_version: i16 [3+],
    }

    /// A feature that the cluster uses.
    struct FinalizedFeatureKey {
        name: String [3+],
        max_version_level: i16 [3+],
        min_version_level: i16 [3+],
    }
}
