//! ConsumerGroupHeartbeat: a consumer joins a group of the new protocol (KIP-848), stays in it, gets its assignment and
//! leaves it.
//!
//! Versions 0-1, all there are; Kafka 3.7 is the first with 0, Kafka 4 with 1. The client asks for both.
//!
//! - 1: topics by a regular expression; the member makes up its id itself (KIP-1082)
//!
//! A field that did not change since the last heartbeat is null or -1.

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api ConsumerGroupHeartbeat {
        ConsumerGroupHeartbeatRequest => ConsumerGroupHeartbeatResponse,
        versions 0-1, client 0-1, flexible 0+
    }

    /// What a member is, wants and has.
    struct ConsumerGroupHeartbeatRequest {
        group_id: String [0+],
        /// Empty in version 0 lets the broker make one up.
        member_id: String [0+],
        /// 0 joins, -1 leaves, -2 is a static member that leaves for a while.
        member_epoch: i32 [0+],
        instance_id: Option<String> [0+, nullable 0+] = None,
        rack_id: Option<String> [0+, nullable 0+] = None,
        /// How long the member may take to give up partitions.
        rebalance_timeout_ms: i32 [0+] = -1,
        subscribed_topic_names: Option<Vec<String>> [0+, nullable 0+] = None,
        /// In the syntax of RE2.
        subscribed_topic_regex: Option<String> [1+, nullable 1+] = None,
        server_assignor: Option<String> [0+, nullable 0+] = None,
        /// The partitions that the member owns.
        topic_partitions: Option<Vec<ConsumerGroupHeartbeatTopicPartitions>> [0+, nullable 0+] = None,
    }

    /// Partitions of one topic; Kafka's own name for it is `TopicPartitions`.
    struct ConsumerGroupHeartbeatTopicPartitions {
        topic_id: Uuid [0+],
        partitions: Vec<i32> [0+],
    }

    /// Where the member stands.
    struct ConsumerGroupHeartbeatResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+] = None,
        member_id: Option<String> [0+, nullable 0+] = None,
        member_epoch: i32 [0+],
        /// When the next heartbeat is due.
        heartbeat_interval_ms: i32 [0+],
        /// Null is the one that the member has.
        assignment: Option<ConsumerGroupHeartbeatAssignment> [0+, nullable 0+] = None,
    }

    /// What a member is to own; Kafka's own name for it is `Assignment`.
    struct ConsumerGroupHeartbeatAssignment {
        topic_partitions: Vec<ConsumerGroupHeartbeatTopicPartitions> [0+],
    }
}
