//! Produce: appends record batches to partitions.
//!
//! Versions 3-13, all that Kafka 4 serves (it lists 0-2 for the sake of a client's bug, KAFKA-18659, and refuses them).
//! The client asks for 3 to 12: 13 knows topics by their id only.
//!
//! - 3: message format 2 (KIP-98), transactional ids
//! - 4: KAFKA_STORAGE_ERROR may be the answer (KIP-112)
//! - 5: the answer has the start of the log
//! - 7: batches may be compressed with zstd (KIP-110)
//! - 8: which records a batch was refused for (KIP-467)
//! - 9: flexible
//! - 10: the new leader along with NOT_LEADER_OR_FOLLOWER (KIP-951)
//! - 11, 12: TRANSACTION_ABORTABLE may be the answer; partitions join a transaction by themselves (KIP-890)
//! - 13: topic ids instead of names (KIP-516)
//!
//! With `acks=0` there is no answer at all.

use super::{LeaderIdAndEpoch, NodeEndpoint};
use crate::kafka::protocol::schema::prelude::*;

schema! {
    api Produce {
        ProduceRequest => ProduceResponse,
        versions 3-13, client 3-12, flexible 9+
    }

    /// Appends batches.
    struct ProduceRequest {
        transactional_id: Option<String> [3+, nullable 3+] = None,
        /// 0, 1, or -1 for all replicas in sync.
        acks: i16 [0+],
        /// How long the leader waits for the replicas.
        timeout_ms: i32 [0+],
        topic_data: Vec<TopicProduceData> [0+],
    }

    /// Batches for one topic.
    struct TopicProduceData {
        name: String [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partition_data: Vec<PartitionProduceData> [0+],
    }

    /// A batch for one partition.
    struct PartitionProduceData {
        index: i32 [0+],
        /// One record batch; spliced into the frame by reference.
        records: Option<Bytes> [0+, nullable 0+] = None,
    }

    /// What became of each batch.
    struct ProduceResponse {
        responses: Vec<TopicProduceResponse> [0+],
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [1+, ignorable],
        /// Where the leaders named in `current_leader` are.
        node_endpoints: Vec<NodeEndpoint> [10+, tag 0],
    }

    /// The answers for one topic.
    struct TopicProduceResponse {
        name: String [0-12, ignorable],
        topic_id: Uuid [13+, ignorable],
        partition_responses: Vec<PartitionProduceResponse> [0+],
    }

    /// The answer for one partition.
    struct PartitionProduceResponse {
        index: i32 [0+],
        error_code: ErrorCode [0+],
        /// The offset of the first record; -1 with an error.
        base_offset: i64 [0+],
        /// When the broker appended it, if the topic is set to LogAppendTime; else -1.
        log_append_time_ms: i64 [2+, ignorable] = -1,
        /// -1 is unknown.
        log_start_offset: i64 [5+, ignorable] = -1,
        record_errors: Vec<BatchIndexAndErrorMessage> [8+, ignorable],
        error_message: Option<String> [8+, nullable 8+, ignorable] = None,
        /// Who leads now, along with an error about the leader.
        current_leader: LeaderIdAndEpoch [10+, tag 0],
    }

    /// A record that the batch was refused for.
    struct BatchIndexAndErrorMessage {
        batch_index: i32 [8+],
        batch_index_error_message: Option<String> [8+, nullable 8+] = None,
    }
}
