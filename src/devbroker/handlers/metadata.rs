//! Metadata: the brokers, and who leads what.

use std::collections::HashSet;

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::cluster::{Cluster, Topic, Wanted, bad_topic_name, is_internal};
use super::super::config::TopicConfig;
use super::create_topics::METADATA;
use crate::kafka::protocol::messages::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use crate::kafka::protocol::{ErrorCode, Uuid};

/// What one may do where nobody is refused anything: each operation that Kafka knows for the resource, as a bit.
pub(super) const TOPIC_OPERATIONS: i32 = 0b0000_1101_1111_1000;
pub(super) const CLUSTER_OPERATIONS: i32 = 0b0001_1111_1010_0000;

/// From this version on topics can be asked for by id.
const BY_ID: i16 = 12;

impl Handler for MetadataRequest {
    fn serve(self, call: &Call<'_>) -> Reply<MetadataResponse> {
        let topics = match self.asked(call) {
            Ok(topics) => topics,
            Err(code) => {
                let MetadataResponse { topics, .. } = self.refuse(call, code);
                return Reply::Answer(MetadataResponse { topics, error_code: code, ..Default::default() });
            }
        };
        let mut response = MetadataResponse { topics, ..empty(call.cluster) };
        if self.include_topic_authorized_operations {
            for topic in response.topics.iter_mut().filter(|topic| topic.error_code != ErrorCode::UNKNOWN_TOPIC_ID) {
                topic.topic_authorized_operations = TOPIC_OPERATIONS;
            }
        }
        if self.include_cluster_authorized_operations {
            response.cluster_authorized_operations = CLUSTER_OPERATIONS;
        }
        Reply::Answer(response)
    }

    fn refuse(&self, call: &Call<'_>, error_code: ErrorCode) -> MetadataResponse {
        let refused = |topic: &MetadataRequestTopic| MetadataResponseTopic {
            error_code,
            name: Some(topic.name.clone().unwrap_or_default()),
            topic_id: topic.topic_id,
            ..Default::default()
        };
        let topics = self.topics.iter().flatten().map(refused).collect();
        MetadataResponse { topics, error_code, ..empty(call.cluster) }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().flatten().filter_map(|topic| topic.name.as_deref()))
    }

    fn topic_ids(&self) -> Vec<Uuid> {
        self.topics.iter().flatten().map(|topic| topic.topic_id).collect()
    }
}

impl MetadataRequest {
    /// What is to be told of topics.
    fn asked(&self, call: &Call<'_>) -> Result<Vec<MetadataResponseTopic>, ErrorCode> {
        let cluster = call.cluster;
        let asked = match self.topics.as_deref() {
            // In version 0 there is no null.
            Some([]) if call.version == 0 => None,
            other => other,
        };
        let Some(asked) = asked else {
            return Ok(cluster.topics().iter().map(|topic| described(cluster, topic)).collect());
        };
        let (mut ids, mut names) = (Vec::new(), Vec::new());
        let (mut ids_seen, mut names_seen) = (HashSet::new(), HashSet::new());
        for topic in asked {
            if call.version < BY_ID && (topic.topic_id != Uuid::ZERO || topic.name.is_none()) {
                return Err(ErrorCode::INVALID_REQUEST);
            }
            if topic.topic_id != Uuid::ZERO && ids_seen.insert(topic.topic_id) {
                ids.push(topic.topic_id);
            }
            if let Some(name) = topic.name.as_deref().filter(|name| names_seen.insert(*name)) {
                names.push(name);
            }
        }
        // Where there is an id, names do not count.
        if !ids.is_empty() {
            return Ok(self.by_id(cluster, &ids));
        }
        if asked.iter().any(|topic| topic.name.is_none()) {
            // As Kafka, which did not expect it.
            return Err(ErrorCode::UNKNOWN_SERVER_ERROR);
        }
        let (existing, missing): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| cluster.topic(name).is_some());
        let existing = existing.into_iter().filter_map(|name| Some(described(cluster, &*cluster.topic(name)?)));
        Ok(existing.chain(missing.into_iter().map(|name| self.missing(cluster, name))).collect())
    }

    fn by_id(&self, cluster: &Cluster, ids: &[Uuid]) -> Vec<MetadataResponseTopic> {
        let (known, unknown): (Vec<Uuid>, Vec<Uuid>) = ids.iter().partition(|id| cluster.topic_by_id(**id).is_some());
        let unknown = unknown.into_iter().map(|topic_id| MetadataResponseTopic {
            error_code: ErrorCode::UNKNOWN_TOPIC_ID,
            name: None,
            topic_id,
            ..Default::default()
        });
        let known = known.into_iter().filter_map(|id| Some(described(cluster, &*cluster.topic_by_id(id)?)));
        unknown.chain(known).collect()
    }

    /// A topic that does not exist. If it may, it comes to be, but that shows only when it is asked for again, as in
    /// Kafka.
    fn missing(&self, cluster: &Cluster, name: &str) -> MetadataResponseTopic {
        let error_code = match bad_topic_name(name) {
            Some(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        let own = name == METADATA || is_internal(name);
        let may_be = bad_topic_name(name).is_none() && !own && cluster.colliding(name).is_none();
        if may_be && self.allow_auto_topic_creation && cluster.options.auto_create_topics {
            create(cluster, name);
        }
        MetadataResponseTopic {
            error_code,
            name: Some(name.to_owned()),
            is_internal: is_internal(name),
            ..Default::default()
        }
    }
}

fn create(cluster: &Cluster, name: &str) {
    let placed = cluster.place(cluster.options.partitions as usize, 1);
    let wanted = placed.map(|replicas| Wanted { name: name.to_owned(), replicas, config: TopicConfig::default() });
    match wanted.and_then(|wanted| cluster.create_topic(wanted)) {
        Ok(topic) => {
            let partitions = topic.partition_count();
            log::info!(target: "broker", "created topic {name} with {partitions} partitions, because it was asked for");
        }
        Err(refused) => log::debug!(target: "broker", "topic {name} is not created: {}", refused.code),
    }
}

/// The brokers, and no topic.
fn empty(cluster: &Cluster) -> MetadataResponse {
    let brokers = cluster.nodes().into_iter().map(|node| MetadataResponseBroker {
        node_id: node.id,
        host: node.host,
        port: i32::from(node.port),
        rack: cluster.rack(node.id).map(str::to_owned),
    });
    MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some(cluster.id.clone()),
        controller_id: cluster.controller(),
        ..Default::default()
    }
}

fn described(cluster: &Cluster, topic: &Topic) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions(cluster, topic),
        ..Default::default()
    }
}

/// A topic's partitions, as clients are told of them.
pub(super) fn partitions(cluster: &Cluster, topic: &Topic) -> Vec<MetadataResponsePartition> {
    let (up, _) = cluster.ids();
    let described = topic.partitions().into_iter().map(|partition| {
        let state = partition.state();
        MetadataResponsePartition {
            error_code: if state.leader.is_some() { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
            partition_index: partition.index,
            leader_id: state.leader.unwrap_or(-1),
            leader_epoch: state.leader_epoch,
            replica_nodes: state.replicas.clone(),
            isr_nodes: state.in_sync.clone(),
            offline_replicas: state.replicas.iter().copied().filter(|node| !up.contains(node)).collect(),
        }
    });
    described.collect()
}
