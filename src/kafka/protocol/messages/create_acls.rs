//! CreateAcls: adds entries to who may do what (KIP-140).
//!
//! Versions 0-3, all there are; Kafka 4 serves 1 and above, so the client asks for those. Kafka 2.4 serves 1.
//!
//! - 1: patterns of names (KIP-290); the broker answers before it throttles
//! - 2: flexible
//! - 3: users as resources (KIP-373)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api CreateAcls {
        CreateAclsRequest => CreateAclsResponse,
        versions 0-3, client 1-3, flexible 2+
    }

    /// Entries to add.
    struct CreateAclsRequest {
        creations: Vec<AclCreation> [0+],
    }

    /// An entry; numbers as in DescribeAcls.
    struct AclCreation {
        resource_type: i8 [0+],
        resource_name: String [0+],
        resource_pattern_type: i8 [1+] = 3,
        principal: String [0+],
        host: String [0+],
        operation: i8 [0+],
        permission_type: i8 [0+],
    }

    /// What became of each entry, in the order of the request.
    struct CreateAclsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        results: Vec<AclCreationResult> [0+],
    }

    /// What became of one entry.
    struct AclCreationResult {
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+],
    }
}
