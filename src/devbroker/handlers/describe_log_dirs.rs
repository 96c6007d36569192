//! DescribeLogDirs: what the logs hold, as if memory were a directory.

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::config::brokers::log_dir;
use super::super::partition::Partition;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};

impl Handler for DescribeLogDirsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<DescribeLogDirsResponse> {
        let cluster = call.cluster;
        let mut topics = Vec::new();
        let asked = |name: &str, index: i32| match &self.topics {
            None => true,
            Some(asked) => asked.iter().any(|topic| topic.topic == name && topic.partitions.contains(&index)),
        };
        for topic in cluster.topics() {
            let partitions: Vec<_> = topic
                .partitions()
                .iter()
                .filter(|partition| asked(&topic.name, partition.index))
                .filter_map(|partition| described(call.node, partition))
                .collect();
            if !partitions.is_empty() {
                topics.push(DescribeLogDirsTopic { name: topic.name.clone(), partitions });
            }
        }
        let limit = cluster.options.retention_bytes;
        let results = vec![DescribeLogDirsResult {
            log_dir: log_dir(&cluster.options),
            topics,
            total_bytes: limit as i64,
            usable_bytes: limit.saturating_sub(cluster.stored()) as i64,
            ..Default::default()
        }];
        Reply::Answer(DescribeLogDirsResponse { results, ..Default::default() })
    }

    fn refuse(&self, call: &Call<'_>, error_code: ErrorCode) -> DescribeLogDirsResponse {
        let results = vec![DescribeLogDirsResult {
            error_code,
            log_dir: log_dir(&call.cluster.options),
            ..Default::default()
        }];
        DescribeLogDirsResponse { error_code, results, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().flatten().map(|topic| topic.topic.as_str()))
    }
}

/// A partition as a broker that has a replica of it tells it.
fn described(node: i32, partition: &Partition) -> Option<DescribeLogDirsPartition> {
    let state = partition.state();
    state.replicas.contains(&node).then(|| DescribeLogDirsPartition {
        partition_index: partition.index,
        partition_size: state.log.batches().map(|stored| stored.bytes.len() as i64).sum(),
        offset_lag: 0,
        is_future_key: false,
    })
}
