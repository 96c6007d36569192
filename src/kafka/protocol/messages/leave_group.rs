//! LeaveGroup: members leave a classic group.
//!
//! Versions 0-5, all there are. The client asks for 3 and above, where members are a list; Kafka 2.4 serves 4.
//!
//! - 1: throttle time
//! - 2: the broker answers before it throttles
//! - 3: many members at once, static ones by their instance id, in `members` (KIP-345)
//! - 4: flexible
//! - 5: the reason for leaving (KIP-800)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api LeaveGroup {
        LeaveGroupRequest => LeaveGroupResponse,
        versions 0-5, client 3-5, flexible 4+
    }

    /// Takes members out of a group.
    struct LeaveGroupRequest {
        group_id: String [0+],
        /// The member that leaves, up to version 2.
        member_id: String [0-2],
        members: Vec<MemberIdentity> [3+],
    }

    /// A member that leaves.
    struct MemberIdentity {
        member_id: String [3+],
        group_instance_id: Option<String> [3+, nullable 3+] = None,
        reason: Option<String> [5+, nullable 5+, ignorable] = None,
    }

    /// What became of each member.
    struct LeaveGroupResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [1+, ignorable],
        error_code: ErrorCode [0+],
        members: Vec<MemberResponse> [3+],
    }

    /// What became of one member.
    struct MemberResponse {
        member_id: String [3+],
        group_instance_id: Option<String> [3+, nullable 3+],
        error_code: ErrorCode [3+],
    }
}
