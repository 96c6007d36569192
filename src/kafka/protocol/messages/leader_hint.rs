//! What Produce 10 and Fetch 12 and above say about a new leader (KIP-595, KIP-951); the same in both.

use crate::kafka::protocol::schema::prelude::*;

schema! {
    /// Who leads a partition. The default stands for "not told" and does not travel.
    struct LeaderIdAndEpoch {
        /// -1 is unknown.
        leader_id: i32 [0+] = -1,
        /// -1 is unknown.
        leader_epoch: i32 [0+] = -1,
    }

    /// Where a broker is.
    struct NodeEndpoint {
        node_id: i32 [0+],
        host: String [0+],
        port: i32 [0+],
        rack: Option<String> [0+, nullable 0+] = None,
    }
}
