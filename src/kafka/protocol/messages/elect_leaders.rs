//! ElectLeaders: elects the leaders of partitions anew (KIP-183).
//!
//! Versions 0-2, all there are. The client asks for 2, which Kafka 2.4 serves.
//!
//! - 1: unclean elections too; an error code for the whole answer (KIP-460)
//! - 2: flexible

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api ElectLeaders {
        ElectLeadersRequest => ElectLeadersResponse,
        versions 0-2, client 2-2, flexible 2+
    }

    /// Asks for elections.
    struct ElectLeadersRequest {
        /// 0 the preferred replica, 1 any that is alive if none is in sync.
        election_type: i8 [1+],
        /// Null is all.
        topic_partitions: Option<Vec<ElectLeadersTopicPartitions>> [0+, nullable 0+],
        /// How long the broker waits for the new leaders.
        timeout_ms: i32 [0+] = 60000,
    }

    /// Partitions of one topic; Kafka's own name for it is `TopicPartitions`.
    struct ElectLeadersTopicPartitions {
        topic: String [0+],
        partitions: Vec<i32> [0+],
    }

    /// What became of each election.
    struct ElectLeadersResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [1+],
        replica_election_results: Vec<ReplicaElectionResult> [0+],
    }

    /// The answers for one topic.
    struct ReplicaElectionResult {
        topic: String [0+],
        partition_result: Vec<ElectLeadersPartitionResult> [0+],
    }

    /// The answer for one partition; Kafka's own name for it is `PartitionResult`.
    struct ElectLeadersPartitionResult {
        partition_id: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+],
    }
}
