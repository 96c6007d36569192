//! DescribeTopicPartitions: topics and their partitions, page by page.

use std::collections::BTreeSet;

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::cluster::{Topic, bad_topic_name, is_internal};
use super::metadata::{self, TOPIC_OPERATIONS};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    DescribeTopicPartitionsCursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};

/// The most partitions of one answer (`max.request.partition.size.limit`).
const MOST: i32 = 2000;

impl Handler for DescribeTopicPartitionsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<DescribeTopicPartitionsResponse> {
        if self.topics.iter().any(|topic| topic.name.is_empty()) {
            // As Kafka, which does not expect it.
            return Reply::Answer(self.refuse(call, ErrorCode::UNKNOWN_SERVER_ERROR));
        }
        let (start, first) = match &self.cursor {
            Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index),
            None => ("", 0),
        };
        let all = self.topics.is_empty();
        let existing = call.cluster.topics();
        let names: BTreeSet<&str> = match all {
            true => existing.iter().map(|topic| topic.name.as_str()).collect(),
            false => self.topics.iter().map(|topic| topic.name.as_str()).collect(),
        };
        if self.cursor.is_some() && (first < 0 || !all && !names.contains(start)) {
            return Reply::Answer(self.refuse(call, ErrorCode::INVALID_REQUEST));
        }
        let mut left = self.response_partition_limit.clamp(1, MOST) as usize;
        let mut response = DescribeTopicPartitionsResponse::default();
        for name in names.range(start..) {
            if left == 0 {
                response.next_cursor = Some(cursor(name, 0));
                break;
            }
            let Some(topic) = call.cluster.topic(name) else {
                response.topics.push(missing(name));
                continue;
            };
            let from = if *name == start { first as usize } else { 0 };
            let described = page(call, &topic, from, left);
            left -= described.partitions.len();
            let next = from + described.partitions.len();
            response.topics.push(described);
            if left == 0 && next < topic.partition_count() {
                response.next_cursor = Some(cursor(name, next as i32));
                break;
            }
        }
        Reply::Answer(response)
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> DescribeTopicPartitionsResponse {
        let topics = self.topics.iter().map(|topic| DescribeTopicPartitionsResponseTopic {
            error_code,
            name: Some(topic.name.clone()),
            ..Default::default()
        });
        DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().map(|topic| topic.name.as_str()))
    }
}

fn cursor(topic: &str, partition_index: i32) -> DescribeTopicPartitionsCursor {
    DescribeTopicPartitionsCursor { topic_name: topic.to_owned(), partition_index }
}

fn missing(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error_code = match bad_topic_name(name) {
        Some(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    };
    DescribeTopicPartitionsResponseTopic {
        error_code,
        name: Some(name.to_owned()),
        is_internal: is_internal(name),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..Default::default()
    }
}

/// At most so many partitions of a topic.
fn page(call: &Call<'_>, topic: &Topic, from: usize, most: usize) -> DescribeTopicPartitionsResponseTopic {
    let partitions = metadata::partitions(call.cluster, topic).into_iter().skip(from).take(most);
    let partitions = partitions.map(|partition| DescribeTopicPartitionsResponsePartition {
        error_code: partition.error_code,
        partition_index: partition.partition_index,
        leader_id: partition.leader_id,
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replica_nodes,
        isr_nodes: partition.isr_nodes,
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: partition.offline_replicas,
    });
    DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..Default::default()
    }
}
