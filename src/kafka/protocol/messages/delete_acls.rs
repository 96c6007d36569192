//! DeleteAcls: removes entries from who may do what (KIP-140).
//!
//! Versions 0-3, all there are; Kafka 4 serves 1 and above, so the client asks for those. Kafka 2.4 serves 1.
//!
//! - 1: patterns of names (KIP-290); the broker answers before it throttles
//! - 2: flexible
//! - 3: users as resources (KIP-373)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api DeleteAcls {
        DeleteAclsRequest => DeleteAclsResponse,
        versions 0-3, client 1-3, flexible 2+
    }

    /// Which entries to remove.
    struct DeleteAclsRequest {
        filters: Vec<DeleteAclsFilter> [0+],
    }

    /// What entries have to match; fields and numbers as in DescribeAcls.
    struct DeleteAclsFilter {
        resource_type_filter: i8 [0+],
        /// Null is any.
        resource_name_filter: Option<String> [0+, nullable 0+],
        pattern_type_filter: i8 [1+] = 3,
        /// Null is any.
        principal_filter: Option<String> [0+, nullable 0+],
        /// Null is any.
        host_filter: Option<String> [0+, nullable 0+],
        operation: i8 [0+],
        permission_type: i8 [0+],
    }

    /// What each filter removed, in the order of the request.
    struct DeleteAclsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        filter_results: Vec<DeleteAclsFilterResult> [0+],
    }

    /// What one filter removed.
    struct DeleteAclsFilterResult {
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+],
        matching_acls: Vec<DeleteAclsMatchingAcl> [0+],
    }

    /// An entry that matched.
    struct DeleteAclsMatchingAcl {
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+],
        resource_type: i8 [0+],
        resource_name: String [0+],
        pattern_type: i8 [1+] = 3,
        principal: String [0+],
        host: String [0+],
        operation: i8 [0+],
        permission_type: i8 [0+],
    }
}
