//! DeleteGroups: removes groups that have no members, with their positions (KIP-229).
//!
//! Versions 0-2, all there are. The client asks for 2, which Kafka 2.4 serves.
//!
//! - 1: the broker answers before it throttles
//! - 2: flexible

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api DeleteGroups {
        DeleteGroupsRequest => DeleteGroupsResponse,
        versions 0-2, client 2-2, flexible 2+
    }

    /// Asks for groups to be removed.
    struct DeleteGroupsRequest {
        groups_names: Vec<String> [0+],
    }

    /// What became of each group.
    struct DeleteGroupsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        results: Vec<DeletableGroupResult> [0+],
    }

    /// What became of one group.
    struct DeletableGroupResult {
        group_id: String [0+],
        error_code: ErrorCode [0+],
    }
}
