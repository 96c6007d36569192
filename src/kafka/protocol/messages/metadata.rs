//! Metadata: the brokers of the cluster, and who leads which partition.
//!
//! Versions 0-13, all there are. The client asks for 4 and above, the first that can keep a broker from creating topics.
//!
//! - 1: racks, controller, internal topics; a null list asks for all topics (in version 0 the empty list does)
//! - 2: cluster id
//! - 3: throttle time
//! - 4: `allow_auto_topic_creation`
//! - 5: offline replicas
//! - 6: the broker answers before it throttles
//! - 7: leader epochs (KIP-320)
//! - 8: authorized operations (KIP-430)
//! - 9: flexible
//! - 10: topic ids (KIP-516)
//! - 11: no authorized operations of the cluster any more (KIP-700)
//! - 12: topics can be asked for by id
//! - 13: an error code for the whole answer: REBOOTSTRAP_REQUIRED (KIP-1102)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api Metadata {
        MetadataRequest => MetadataResponse,
        versions 0-13, client 4-13, flexible 9+
    }

    /// Asks for the brokers and some or all topics.
    struct MetadataRequest {
        /// Null is all topics.
        topics: Option<Vec<MetadataRequestTopic>> [0+, nullable 1+],
        /// Whether the broker may create a missing topic, if its own configuration allows that.
        allow_auto_topic_creation: bool [4+] = true,
        include_cluster_authorized_operations: bool [8-10],
        include_topic_authorized_operations: bool [8+],
    }

    /// A topic that is asked for.
    struct MetadataRequestTopic {
        /// Zero asks by name.
        topic_id: Uuid [10+, ignorable],
        /// Null asks by id.
        name: Option<String> [0+, nullable 10+],
    }

    /// The cluster as one broker sees it.
    struct MetadataResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [3+, ignorable],
        brokers: Vec<MetadataResponseBroker> [0+],
        cluster_id: Option<String> [2+, nullable 2+, ignorable] = None,
        /// -1 is unknown.
        controller_id: i32 [1+, ignorable] = -1,
        topics: Vec<MetadataResponseTopic> [0+],
        /// A bit field; `i32::MIN` if it was not asked for.
        cluster_authorized_operations: i32 [8-10] = i32::MIN,
        error_code: ErrorCode [13+, ignorable],
    }

    /// A broker, as clients are to reach it.
    struct MetadataResponseBroker {
        node_id: i32 [0+],
        host: String [0+],
        port: i32 [0+],
        rack: Option<String> [1+, nullable 1+, ignorable] = None,
    }

    /// A topic.
    struct MetadataResponseTopic {
        error_code: ErrorCode [0+],
        /// Null for an unknown topic that was asked for by id.
        name: Option<String> [0+, nullable 12+],
        /// Zero for an unknown topic that was asked for by name.
        topic_id: Uuid [10+, ignorable],
        is_internal: bool [1+, ignorable],
        partitions: Vec<MetadataResponsePartition> [0+],
        /// A bit field; `i32::MIN` if it was not asked for.
        topic_authorized_operations: i32 [8+] = i32::MIN,
    }

    /// A partition.
    struct MetadataResponsePartition {
        error_code: ErrorCode [0+],
        partition_index: i32 [0+],
        /// -1 if there is no leader.
        leader_id: i32 [0+],
        /// -1 is unknown.
        leader_epoch: i32 [7+, ignorable] = -1,
        replica_nodes: Vec<i32> [0+],
        /// The replicas in sync.
        isr_nodes: Vec<i32> [0+],
        offline_replicas: Vec<i32> [5+, ignorable],
    }
}
