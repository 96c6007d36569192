//! Fetch: reads record batches from partitions.
//!
//! Versions 4-18, all that Kafka 4 serves. From 13 on topics are known by their id only, so the client asks for those once
//! it has the ids of all topics.
//!
//! - 4: message format 2 (KIP-98), isolation level, aborted transactions
//! - 5: start of the log
//! - 7: fetch sessions (KIP-227)
//! - 8: the broker answers before it throttles
//! - 9: the leader epoch, for fencing (KIP-320)
//! - 10: batches may be compressed with zstd (KIP-110)
//! - 11: rack, and a nearer replica to read from (KIP-392)
//! - 12: flexible; divergence by epoch (KIP-595)
//! - 13: topic ids instead of names (KIP-516)
//! - 14: OFFSET_MOVED_TO_TIERED_STORAGE may be the answer (KIP-405)
//! - 15: a replica's state instead of its id (KIP-903)
//! - 16: where the new leaders are (KIP-951)
//! - 17: a replica's directory (KIP-853)
//! - 18: a replica's high watermark (KIP-1166)

use super::{LeaderIdAndEpoch, NodeEndpoint};
use crate::kafka::protocol::schema::prelude::*;

schema! {
    api Fetch {
        FetchRequest => FetchResponse,
        versions 4-18, client 4-18, flexible 12+
    }

    /// Asks for batches from some offsets on.
    struct FetchRequest {
        /// Checked if it is set.
        cluster_id: Option<String> [12+, nullable 12+, tag 0, ignorable] = None,
        /// -1 for a consumer.
        replica_id: i32 [0-14] = -1,
        replica_state: ReplicaState [15+, tag 1],
        /// How long the broker may wait for `min_bytes`.
        max_wait_ms: i32 [0+],
        min_bytes: i32 [0+],
        /// For the whole answer; the first batch may be larger.
        max_bytes: i32 [3+, ignorable] = i32::MAX,
        /// 0 read_uncommitted, 1 read_committed.
        isolation_level: i8 [4+, ignorable],
        /// 0 without a session (KIP-227).
        session_id: i32 [7+, ignorable],
        /// 0 opens a session, -1 closes it or does without.
        session_epoch: i32 [7+, ignorable] = -1,
        /// In a session only what changed.
        topics: Vec<FetchTopic> [0+],
        forgotten_topics_data: Vec<ForgottenTopic> [7+],
        /// Empty if there is none.
        rack_id: String [11+, ignorable],
    }

    /// Which follower asks; a consumer sends the default.
    struct ReplicaState {
        replica_id: i32 [15+] = -1,
        replica_epoch: i64 [15+] = -1,
    }

    /// Partitions of one topic to read.
    struct FetchTopic {
        topic: String [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partitions: Vec<FetchPartition> [0+],
    }

    /// A partition to read.
    struct FetchPartition {
        partition: i32 [0+],
        /// -1 is unknown.
        current_leader_epoch: i32 [9+, ignorable] = -1,
        fetch_offset: i64 [0+],
        /// -1 is unknown.
        last_fetched_epoch: i32 [12+] = -1,
        /// -1 for a consumer.
        log_start_offset: i64 [5+, ignorable] = -1,
        /// The first batch of an answer may be larger.
        partition_max_bytes: i32 [0+],
        /// For followers.
        replica_directory_id: Uuid [17+, tag 0, ignorable],
        /// For followers.
        high_watermark: i64 [18+, tag 1, ignorable] = i64::MAX,
    }

    /// Partitions to take out of the fetch session.
    struct ForgottenTopic {
        topic: String [7-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partitions: Vec<i32> [7+],
    }

    /// Batches.
    struct FetchResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [1+, ignorable],
        error_code: ErrorCode [7+, ignorable],
        /// 0 if there is no session.
        session_id: i32 [7+],
        responses: Vec<FetchableTopicResponse> [0+],
        /// Where the leaders named in `current_leader` are.
        node_endpoints: Vec<NodeEndpoint> [16+, tag 0],
    }

    /// The answers for one topic.
    struct FetchableTopicResponse {
        topic: String [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partitions: Vec<PartitionData> [0+],
    }

    /// The answer for one partition.
    struct PartitionData {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
        high_watermark: i64 [0+],
        /// Before it all transactions are decided; -1 if unknown.
        last_stable_offset: i64 [4+, ignorable] = -1,
        /// -1 is unknown.
        log_start_offset: i64 [5+, ignorable] = -1,
        /// Set if the position is on a branch that was cut off.
        diverging_epoch: EpochEndOffset [12+, tag 0],
        /// Who leads now, along with an error about the leader.
        current_leader: LeaderIdAndEpoch [12+, tag 1],
        snapshot_id: SnapshotId [12+, tag 2],
        /// Null for `read_uncommitted`.
        aborted_transactions: Option<Vec<AbortedTransaction>> [4+, nullable 4+, ignorable],
        /// Where to read on; -1 here.
        preferred_read_replica: i32 [11+] = -1,
        /// Batches one after the other, the last one possibly cut off; they share the response's buffer.
        records: Option<Bytes> [0+, nullable 0+] = None,
    }

    /// Where the logs part.
    struct EpochEndOffset {
        epoch: i32 [12+] = -1,
        end_offset: i64 [12+] = -1,
    }

    /// A snapshot to read instead; for followers of the metadata log.
    struct SnapshotId {
        end_offset: i64 [0+] = -1,
        epoch: i32 [0+] = -1,
    }

    /// A transaction whose records a `read_committed` consumer skips.
    struct AbortedTransaction {
        producer_id: i64 [4+],
        first_offset: i64 [4+],
    }
}
