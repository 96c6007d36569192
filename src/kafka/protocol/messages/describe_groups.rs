//! DescribeGroups: members and state of classic groups.
//!
//! Versions 0-6, all there are. The client asks for 5 and above, which Kafka 2.4 serves.
//!
//! - 1: throttle time
//! - 2: the broker answers before it throttles
//! - 3: authorized operations (KIP-430)
//! - 4: `group_instance_id`, static members (KIP-345)
//! - 5: flexible
//! - 6: an error message; GROUP_ID_NOT_FOUND for a missing group, before that the state `Dead` (KIP-1043)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api DescribeGroups {
        DescribeGroupsRequest => DescribeGroupsResponse,
        versions 0-6, client 5-6, flexible 5+
    }

    /// Asks for groups.
    struct DescribeGroupsRequest {
        groups: Vec<String> [0+],
        include_authorized_operations: bool [3+],
    }

    /// Groups.
    struct DescribeGroupsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [1+, ignorable],
        groups: Vec<DescribedGroup> [0+],
    }

    /// A group.
    struct DescribedGroup {
        error_code: ErrorCode [0+],
        error_message: Option<String> [6+, nullable 6+] = None,
        group_id: String [0+],
        /// `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Empty` or `Dead`; empty with an error.
        group_state: String [0+],
        /// `consumer` for consumers.
        protocol_type: String [0+],
        /// The protocol that was chosen, which for consumers is the assignor; empty unless the group is stable.
        protocol_data: String [0+],
        members: Vec<DescribedGroupMember> [0+],
        /// A bit field; `i32::MIN` if it was not asked for.
        authorized_operations: i32 [3+] = i32::MIN,
    }

    /// A member of a group.
    struct DescribedGroupMember {
        member_id: String [0+],
        group_instance_id: Option<String> [4+, nullable 4+, ignorable] = None,
        client_id: String [0+],
        client_host: String [0+],
        /// What it joined with, for the chosen protocol; empty unless the group is stable.
        member_metadata: Bytes [0+],
        /// Empty unless the group is stable.
        member_assignment: Bytes [0+],
    }
}
