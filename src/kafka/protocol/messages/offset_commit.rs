//! OffsetCommit: stores the positions of a group.
//!
//! Versions 0-10, all there are; Kafka 4 serves 2 and above. The client asks for 7 to 9: 7 is the first with static members
//! (Kafka 2.4 serves 8), and 10 knows topics by their id only.
//!
//! - 1: generation and member; a timestamp per partition, in this version alone
//! - 2: retention time
//! - 3: throttle time
//! - 4: the broker answers before it throttles
//! - 5: no retention time any more (KIP-211)
//! - 6: leader epochs (KIP-320)
//! - 7: `group_instance_id`, static members (KIP-345)
//! - 8: flexible
//! - 9: consumer groups: the member's epoch stands for the generation (KIP-848)
//! - 10: topic ids instead of names (KIP-848)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api OffsetCommit {
        OffsetCommitRequest => OffsetCommitResponse,
        versions 0-10, client 7-9, flexible 8+
    }

    /// Asks to store positions.
    struct OffsetCommitRequest {
        group_id: String [0+],
        /// -1 outside of a group's membership.
        generation_id_or_member_epoch: i32 [1+, ignorable] = -1,
        /// Empty outside of a group's membership.
        member_id: String [1+, ignorable],
        group_instance_id: Option<String> [7+, nullable 7+] = None,
        /// -1 is the broker's own.
        retention_time_ms: i64 [2-4, ignorable] = -1,
        topics: Vec<OffsetCommitRequestTopic> [0+],
    }

    /// Positions in one topic.
    struct OffsetCommitRequestTopic {
        name: String [0-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partitions: Vec<OffsetCommitRequestPartition> [0+],
    }

    /// The position in one partition.
    struct OffsetCommitRequestPartition {
        partition_index: i32 [0+],
        /// The next offset to read.
        committed_offset: i64 [0+],
        /// Of the last record read; -1 is unknown.
        committed_leader_epoch: i32 [6+, ignorable] = -1,
        /// -1 is the time of the request.
        commit_timestamp: i64 [1] = -1,
        /// Free text, kept with the offset.
        committed_metadata: Option<String> [0+, nullable 0+],
    }

    /// What became of each position.
    struct OffsetCommitResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [3+, ignorable],
        topics: Vec<OffsetCommitResponseTopic> [0+],
    }

    /// The answers for one topic.
    struct OffsetCommitResponseTopic {
        name: String [0-9, ignorable],
        topic_id: Uuid [10+, ignorable],
        partitions: Vec<OffsetCommitResponsePartition> [0+],
    }

    /// The answer for one partition.
    struct OffsetCommitResponsePartition {
        partition_index: i32 [0+],
        error_code: ErrorCode [0+],
    }
}
