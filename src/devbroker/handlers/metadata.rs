//! Metadata: the brokers, and who leads what.

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::cluster::{Cluster, Topic, Wanted, bad_topic_name};
use super::super::config::TopicConfig;
use crate::kafka::protocol::messages::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use crate::kafka::protocol::{ErrorCode, Uuid};

/// What one may do where nobody is refused anything: each operation that Kafka knows for the resource, as a bit.
pub(super) const TOPIC_OPERATIONS: i32 = 0b0000_1101_1111_1000;
pub(super) const CLUSTER_OPERATIONS: i32 = 0b0001_1111_1010_0100;

impl Handler for MetadataRequest {
    fn serve(self, call: &Call<'_>) -> Reply<MetadataResponse> {
        let cluster = call.cluster;
        let asked = self.asked(call).map(|topics| {
            topics.iter().map(|topic| self.describe(call, topic)).collect::<Vec<_>>()
        });
        let mut topics =
            asked.unwrap_or_else(|| cluster.topics().iter().map(|topic| described(topic)).collect::<Vec<_>>());
        if self.include_topic_authorized_operations {
            for topic in topics.iter_mut().filter(|topic| topic.error_code.is_ok()) {
                topic.topic_authorized_operations = TOPIC_OPERATIONS;
            }
        }
        let mut response = MetadataResponse { topics, ..empty(cluster) };
        if self.include_cluster_authorized_operations {
            response.cluster_authorized_operations = CLUSTER_OPERATIONS;
        }
        Reply::Answer(response)
    }

    fn refuse(&self, call: &Call<'_>, error_code: ErrorCode) -> MetadataResponse {
        let refused = |topic: &MetadataRequestTopic| MetadataResponseTopic {
            error_code,
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            ..Default::default()
        };
        let topics = self.topics.iter().flatten().map(refused).collect();
        MetadataResponse { topics, error_code, ..empty(call.cluster) }
    }

    fn subject(&self) -> Subject<'_> {
        let topics = || self.topics.iter().flatten();
        let ids = topics().filter(|topic| topic.name.is_none()).map(|topic| topic.topic_id).collect();
        Subject { ids, ..Subject::topics(topics().filter_map(|topic| topic.name.as_deref())) }
    }
}

impl MetadataRequest {
    /// The topics that are asked for; none for all of them.
    fn asked(&self, call: &Call<'_>) -> Option<&[MetadataRequestTopic]> {
        match self.topics.as_deref() {
            // In version 0 there is no null.
            Some([]) if call.version == 0 => None,
            other => other,
        }
    }

    fn describe(&self, call: &Call<'_>, asked: &MetadataRequestTopic) -> MetadataResponseTopic {
        let cluster = call.cluster;
        let Some(name) = &asked.name else {
            return match cluster.topic_by_id(asked.topic_id) {
                Some(topic) => described(&topic),
                None => MetadataResponseTopic {
                    error_code: ErrorCode::UNKNOWN_TOPIC_ID,
                    name: None,
                    topic_id: asked.topic_id,
                    ..Default::default()
                },
            };
        };
        let topic = cluster.topic(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        let topic = topic.or_else(|missing| match bad_topic_name(name) {
            Some(_) => Err(ErrorCode::INVALID_TOPIC_EXCEPTION),
            None if self.allow_auto_topic_creation && cluster.options.auto_create_topics => create(cluster, name),
            None => Err(missing),
        });
        match topic {
            Ok(topic) => described(&topic),
            Err(error_code) => MetadataResponseTopic {
                error_code,
                name: Some(name.clone()),
                topic_id: Uuid::ZERO,
                ..Default::default()
            },
        }
    }
}

fn create(cluster: &Cluster, name: &str) -> Result<std::sync::Arc<Topic>, ErrorCode> {
    let wanted = cluster.place(cluster.options.partitions, 1).map(|replicas| Wanted {
        name: name.to_owned(),
        replicas,
        config: TopicConfig::default(),
    });
    match wanted.and_then(|wanted| cluster.create_topic(wanted)) {
        Ok(topic) => {
            log::info!(target: "broker", "created topic {name} with {} partitions, because it was asked for", topic.partition_count());
            Ok(topic)
        }
        // Somebody else was quicker.
        Err(refused) => cluster.topic(name).ok_or(refused.code),
    }
}

/// The brokers, and no topic.
fn empty(cluster: &Cluster) -> MetadataResponse {
    let brokers = cluster.nodes().into_iter().map(|node| MetadataResponseBroker {
        node_id: node.id,
        host: node.host,
        port: i32::from(node.port),
        rack: None,
    });
    MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some(cluster.id.clone()),
        controller_id: cluster.controller(),
        ..Default::default()
    }
}

fn described(topic: &Topic) -> MetadataResponseTopic {
    let partitions = topic.partitions().into_iter().map(|partition| {
        let state = partition.state();
        MetadataResponsePartition {
            error_code: if state.leader.is_some() { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
            partition_index: partition.index,
            leader_id: state.leader.unwrap_or(-1),
            leader_epoch: state.leader_epoch,
            replica_nodes: state.replicas.clone(),
            isr_nodes: state.in_sync.clone(),
            offline_replicas: state.replicas.iter().copied().filter(|node| !state.in_sync.contains(node)).collect(),
        }
    });
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        partitions: partitions.collect(),
        ..Default::default()
    }
}
