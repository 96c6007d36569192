//! SyncGroup: the leader hands in the assignment, and each member gets its part.
//!
//! Versions 0-5, all there are. The client asks for 3 and above, the first with static members; Kafka 2.4 serves 4.
//!
//! - 1: throttle time
//! - 2: the broker answers before it throttles
//! - 3: `group_instance_id`, static members (KIP-345)
//! - 4: flexible
//! - 5: protocol type and name, which the broker compares (KIP-559)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api SyncGroup {
        SyncGroupRequest => SyncGroupResponse,
        versions 0-5, client 3-5, flexible 4+
    }

    /// Asks for the assignment; from the leader it carries all of them.
    struct SyncGroupRequest {
        group_id: String [0+],
        generation_id: i32 [0+],
        member_id: String [0+],
        group_instance_id: Option<String> [3+, nullable 3+] = None,
        protocol_type: Option<String> [5+, nullable 5+, ignorable] = None,
        protocol_name: Option<String> [5+, nullable 5+, ignorable] = None,
        /// Empty except from the leader.
        assignments: Vec<SyncGroupRequestAssignment> [0+],
    }

    /// What one member is to get.
    struct SyncGroupRequestAssignment {
        member_id: String [0+],
        /// For consumers a [`ConsumerProtocolAssignment`](super::ConsumerProtocolAssignment).
        assignment: Bytes [0+],
    }

    /// What this member gets.
    struct SyncGroupResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [1+, ignorable],
        error_code: ErrorCode [0+],
        protocol_type: Option<String> [5+, nullable 5+, ignorable] = None,
        protocol_name: Option<String> [5+, nullable 5+, ignorable] = None,
        /// As the leader sent it; may be empty.
        assignment: Bytes [0+],
    }
}
