//! FindCoordinator: which broker coordinates a group or a transactional id.
//!
//! Versions 0-6, all there are. The client asks for 1 and above, for the error messages.
//!
//! - 1: the type of the key; throttle time; an error message
//! - 2: the broker answers before it throttles
//! - 3: flexible
//! - 4: many keys at once, in `coordinator_keys` and `coordinators` instead of the fields beside them (KIP-699)
//! - 5: TRANSACTION_ABORTABLE may be the answer (KIP-890)
//! - 6: share groups (KIP-932)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api FindCoordinator {
        FindCoordinatorRequest => FindCoordinatorResponse,
        versions 0-6, client 1-6, flexible 3+
    }

    /// Asks for coordinators.
    struct FindCoordinatorRequest {
        /// The group or transactional id, up to version 3.
        key: String [0-3],
        /// 0 group, 1 transaction, 2 share group.
        key_type: i8 [1+],
        /// The group or transactional ids, from version 4 on.
        coordinator_keys: Vec<String> [4+],
    }

    /// Coordinators.
    struct FindCoordinatorResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [1+, ignorable],
        error_code: ErrorCode [0-3],
        error_message: Option<String> [1-3, nullable 1-3, ignorable],
        /// -1 with an error.
        node_id: i32 [0-3],
        host: String [0-3],
        port: i32 [0-3],
        coordinators: Vec<Coordinator> [4+],
    }

    /// The coordinator of one key.
    struct Coordinator {
        key: String [4+],
        /// -1 with an error.
        node_id: i32 [4+],
        host: String [4+],
        port: i32 [4+],
        error_code: ErrorCode [4+],
        error_message: Option<String> [4+, nullable 4+, ignorable],
    }
}
