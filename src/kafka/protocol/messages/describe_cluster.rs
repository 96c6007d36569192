//! DescribeCluster: the brokers of the cluster, without its topics (KIP-700).
//!
//! Versions 0-2, all there are, from Kafka 2.8 on. The client asks for all of them.
//!
//! - 1: controllers instead of brokers (KIP-919)
//! - 2: fenced brokers too (KIP-1073)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api DescribeCluster {
        DescribeClusterRequest => DescribeClusterResponse,
        versions 0-2, client 0-2, flexible 0+
    }

    /// Asks for the brokers.
    struct DescribeClusterRequest {
        include_cluster_authorized_operations: bool [0+],
        /// 1 brokers, 2 controllers.
        endpoint_type: i8 [1+] = 1,
        include_fenced_brokers: bool [2+],
    }

    /// The cluster as one broker sees it.
    struct DescribeClusterResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+] = None,
        /// 1 brokers, 2 controllers.
        endpoint_type: i8 [1+] = 1,
        cluster_id: String [0+],
        /// -1 is unknown. A broker names any broker here.
        controller_id: i32 [0+] = -1,
        brokers: Vec<DescribeClusterBroker> [0+],
        /// A bit field; `i32::MIN` if it was not asked for.
        cluster_authorized_operations: i32 [0+] = i32::MIN,
    }

    /// A broker, as clients are to reach it.
    struct DescribeClusterBroker {
        broker_id: i32 [0+],
        host: String [0+],
        port: i32 [0+],
        rack: Option<String> [0+, nullable 0+] = None,
        is_fenced: bool [2+],
    }
}
