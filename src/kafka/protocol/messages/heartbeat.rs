//! Heartbeat: a member is alive; the answer says whether it must join again.
//!
//! Versions 0-4, all there are. The client asks for 3 and above, the first with static members; Kafka 2.4 serves 4.
//!
//! - 1: throttle time
//! - 2: the broker answers before it throttles
//! - 3: `group_instance_id`, static members (KIP-345)
//! - 4: flexible

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api Heartbeat {
        HeartbeatRequest => HeartbeatResponse,
        versions 0-4, client 3-4, flexible 4+
    }

    /// Tells that a member is alive.
    struct HeartbeatRequest {
        group_id: String [0+],
        generation_id: i32 [0+],
        member_id: String [0+],
        group_instance_id: Option<String> [3+, nullable 3+] = None,
    }

    /// Whether it still is one.
    struct HeartbeatResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// REBALANCE_IN_PROGRESS if the member is to join again.
        error_code: ErrorCode [0+],
    }
}
