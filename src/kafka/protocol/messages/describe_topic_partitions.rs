//! DescribeTopicPartitions: topics and their partitions, page by page (KIP-966).
//!
//! Version 0, all there is; Kafka 3.8 is the first with it.

use crate::kafka::protocol::schema::prelude::*;

schema! {
    api DescribeTopicPartitions {
        DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse,
        versions 0-0, client 0-0, flexible 0+
    }

    /// Asks for topics.
    struct DescribeTopicPartitionsRequest {
        /// Empty is all.
        topics: Vec<DescribeTopicPartitionsTopic> [0+],
        /// For the whole answer; a broker may have a lower limit.
        response_partition_limit: i32 [0+] = 2000,
        /// Where to begin; null is the first partition of the first topic.
        cursor: Option<DescribeTopicPartitionsCursor> [0+, nullable 0+] = None,
    }

    /// A topic that is asked for; Kafka's own name for it is `TopicRequest`.
    struct DescribeTopicPartitionsTopic {
        name: String [0+],
    }

    /// A place between two pages; Kafka's own name for it is `Cursor`.
    struct DescribeTopicPartitionsCursor {
        topic_name: String [0+],
        partition_index: i32 [0+],
    }

    /// Topics, in the order of their names.
    struct DescribeTopicPartitionsResponse {
        /// How many milliseconds the broker holds back the next answers, because of a quota.
        throttle_time_ms: i32 [0+, ignorable],
        topics: Vec<DescribeTopicPartitionsResponseTopic> [0+],
        /// Where the next page begins; null if there is none.
        next_cursor: Option<DescribeTopicPartitionsCursor> [0+, nullable 0+] = None,
    }

    /// A topic.
    struct DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode [0+],
        name: Option<String> [0+, nullable 0+],
        topic_id: Uuid [0+, ignorable],
        is_internal: bool [0+, ignorable],
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0+],
        /// A bit field.
        topic_authorized_operations: i32 [0+] = i32::MIN,
    }

    /// A partition.
    struct DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode [0+],
        partition_index: i32 [0+],
        /// -1 if there is no leader.
        leader_id: i32 [0+],
        /// -1 is unknown.
        leader_epoch: i32 [0+, ignorable] = -1,
        replica_nodes: Vec<i32> [0+],
        /// The replicas in sync.
        isr_nodes: Vec<i32> [0+],
        /// Replicas no longer in sync that may lead all the same, for they lack no acknowledged record.
        eligible_leader_replicas: Option<Vec<i32>> [0+, nullable 0+] = None,
        /// Those that were eligible before their last unclean shutdown.
        last_known_elr: Option<Vec<i32>> [0+, nullable 0+] = None,
        offline_replicas: Vec<i32> [0+, ignorable],
    }
}
