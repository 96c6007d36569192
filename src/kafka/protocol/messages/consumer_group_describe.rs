//! ConsumerGroupDescribe: members and state of groups of the new protocol (KIP-848).
//!
//! Versions 0-1, all there are; Kafka 3.7 is the first with 0, Kafka 4 with 1. The client asks for both.
//!
//! - 1: whether a member speaks the classic protocol (KIP-1099)

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api ConsumerGroupDescribe {
        ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse,
        versions 0-1, client 0-1, flexible 0+
    }

    /// Asks for groups.
    struct ConsumerGroupDescribeRequest {
        group_ids: Vec<String> [0+],
        include_authorized_operations: bool [0+],
    }

    /// Groups.
    struct ConsumerGroupDescribeResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+],
        groups: Vec<DescribedConsumerGroup> [0+],
    }

    /// A group; Kafka's own name for it is `DescribedGroup`.
    struct DescribedConsumerGroup {
        error_code: ErrorCode [0+],
        error_message: Option<String> [0+, nullable 0+] = None,
        group_id: String [0+],
        /// `Empty`, `Assigning`, `Reconciling`, `Stable` or `Dead`; empty with an error.
        group_state: String [0+],
        group_epoch: i32 [0+],
        /// The group's epoch that the target assignments were made for.
        assignment_epoch: i32 [0+],
        assignor_name: String [0+],
        members: Vec<DescribedConsumerGroupMember> [0+],
        /// A bit field; `i32::MIN` if it was not asked for.
        authorized_operations: i32 [0+] = i32::MIN,
    }

    /// A member of a group; Kafka's own name for it is `Member`.
    struct DescribedConsumerGroupMember {
        member_id: String [0+],
        instance_id: Option<String> [0+, nullable 0+] = None,
        rack_id: Option<String> [0+, nullable 0+] = None,
        member_epoch: i32 [0+],
        client_id: String [0+],
        client_host: String [0+],
        subscribed_topic_names: Vec<String> [0+],
        subscribed_topic_regex: Option<String> [0+, nullable 0+] = None,
        /// What the member owns.
        assignment: ConsumerGroupDescribeAssignment [0+],
        /// What it is to own.
        target_assignment: ConsumerGroupDescribeAssignment [0+],
        /// 0 speaks the classic protocol, 1 the new one, -1 is unknown.
        member_type: i8 [1+, ignorable] = -1,
    }

    /// Partitions of a member; Kafka's own name for it is `Assignment`.
    struct ConsumerGroupDescribeAssignment {
        topic_partitions: Vec<ConsumerGroupDescribeTopicPartitions> [0+],
    }

    /// Partitions of one topic; Kafka's own name for it is `TopicPartitions`.
    struct ConsumerGroupDescribeTopicPartitions {
        topic_id: Uuid [0+],
        topic_name: String [0+],
        partitions: Vec<i32> [0+],
    }
}
