//! DescribeAcls: who may do what (KIP-140).
//!
//! Versions 0-3, all there are; Kafka 4 serves 1 and above, so the client asks for those. Kafka 2.4 serves 1.
//!
//! - 1: patterns of names (KIP-290); the broker answers before it throttles
//! - 2: flexible
//! - 3: users as resources (KIP-373)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api DescribeAcls {
        DescribeAclsRequest => DescribeAclsResponse,
        versions 0-3, client 1-3, flexible 2+
    }

    /// Asks for the entries that match.
    struct DescribeAclsRequest {
        /// 1 any, 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user.
        resource_type_filter: i8 [0+],
        /// Null is any.
        resource_name_filter: Option<String> [0+, nullable 0+],
        /// 1 any, 2 whatever matches the name, 3 literal, 4 prefixed.
        pattern_type_filter: i8 [1+] = 3,
        /// Null is any.
        principal_filter: Option<String> [0+, nullable 0+],
        /// Null is any.
        host_filter: Option<String> [0+, nullable 0+],
        /// 1 any, 2 all, 3 read, 4 write, 5 create, 6 delete, 7 alter, 8 describe and so on.
        operation: i8 [0+],
        /// 1 any, 2 deny, 3 allow.
        permission_type: i8 [0+],
    }

    /// Entries.
    struct DescribeAclsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+],
        resources: Vec<DescribeAclsResource> [0+],
    }

    /// The entries of one resource; numbers as in the request.
    struct DescribeAclsResource {
        resource_type: i8 [0+],
        resource_name: String [0+],
        pattern_type: i8 [1+] = 3,
        acls: Vec<AclDescription> [0+],
    }

    /// An entry.
    struct AclDescription {
        principal: String [0+],
        host: String [0+],
        operation: i8 [0+],
        permission_type: i8 [0+],
    }
}
