//! JoinGroup: becomes a member of a classic group; the answer comes when all members have joined.
//!
//! Versions 0-9, all there are. The client asks for 5 and above, the first with static members; Kafka 2.4 serves 6.
//!
//! - 1: a rebalance timeout of its own
//! - 2: throttle time
//! - 3: the broker answers before it throttles
//! - 4: a new member is told its id with MEMBER_ID_REQUIRED and joins again (KIP-394)
//! - 5: `group_instance_id`, static members (KIP-345)
//! - 6: flexible
//! - 7: the protocol type in the answer (KIP-559)
//! - 8: the reason for joining (KIP-800)
//! - 9: the leader may be told not to assign (KIP-814)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api JoinGroup {
        JoinGroupRequest => JoinGroupResponse,
        versions 0-9, client 5-9, flexible 6+
    }

    /// Asks to become or stay a member.
    struct JoinGroupRequest {
        group_id: String [0+],
        session_timeout_ms: i32 [0+],
        /// How long the members have to join again; -1 is the session timeout.
        rebalance_timeout_ms: i32 [1+, ignorable] = -1,
        /// Empty for a new member.
        member_id: String [0+],
        group_instance_id: Option<String> [5+, nullable 5+] = None,
        /// `consumer` for consumers.
        protocol_type: String [0+],
        /// In order of preference.
        protocols: Vec<JoinGroupRequestProtocol> [0+],
        reason: Option<String> [8+, nullable 8+, ignorable] = None,
    }

    /// An assignor that the member supports.
    struct JoinGroupRequestProtocol {
        name: String [0+],
        /// For consumers a [`ConsumerProtocolSubscription`](super::ConsumerProtocolSubscription).
        metadata: Bytes [0+],
    }

    /// The member's place in the new generation.
    struct JoinGroupResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [2+, ignorable],
        error_code: ErrorCode [0+],
        /// -1 with an error.
        generation_id: i32 [0+] = -1,
        protocol_type: Option<String> [7+, nullable 7+, ignorable] = None,
        /// The assignor that was chosen.
        protocol_name: Option<String> [0+, nullable 7+],
        /// The member id of the leader.
        leader: String [0+],
        /// A leader that came back need not assign again.
        skip_assignment: bool [9+],
        member_id: String [0+],
        members: Vec<JoinGroupResponseMember> [0+],
    }

    /// A member, as only the leader is told.
    struct JoinGroupResponseMember {
        member_id: String [0+],
        group_instance_id: Option<String> [5+, nullable 5+, ignorable] = None,
        /// What the member sent for the chosen protocol.
        metadata: Bytes [0+],
    }
}
