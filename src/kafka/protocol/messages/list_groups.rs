//! ListGroups: the groups that a broker coordinates.
//!
//! Versions 0-5, all there are. The client asks for 3 and above, which Kafka 2.4 serves.
//!
//! - 1: throttle time
//! - 2: the broker answers before it throttles
//! - 3: flexible
//! - 4: states, and only groups in some of them (KIP-518)
//! - 5: types, and only groups of some of them (KIP-848)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api ListGroups {
        ListGroupsRequest => ListGroupsResponse,
        versions 0-5, client 3-5, flexible 3+
    }

    /// Asks for groups.
    struct ListGroupsRequest {
        /// Empty is all.
        states_filter: Vec<String> [4+],
        /// Empty is all.
        types_filter: Vec<String> [5+],
    }

    /// Groups.
    struct ListGroupsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [1+, ignorable],
        error_code: ErrorCode [0+],
        groups: Vec<ListedGroup> [0+],
    }

    /// A group.
    struct ListedGroup {
        group_id: String [0+],
        /// `consumer` for consumers; empty for a group that only stores positions.
        protocol_type: String [0+],
        group_state: String [4+, ignorable],
        /// `Classic`, `Consumer`, `Share` or `Streams`.
        group_type: String [5+, ignorable],
    }
}
