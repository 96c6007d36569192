//! What is known of the cluster: an immutable snapshot, made from each Metadata answer and the snapshot before it.

use std::collections::{BTreeMap, HashMap};

use crate::kafka::config::Address;
use crate::kafka::protocol::messages::{
    LeaderIdAndEpoch, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    NodeEndpoint,
};
use crate::kafka::protocol::{ErrorCode, Uuid};

/// The cluster as one Metadata answer showed it.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// Counts snapshots, from 1; 0 is the empty one before the first answer.
    pub version: u64,
    /// The cluster's own id.
    pub cluster_id: Option<String>,
    /// The node that takes administrative requests, or -1.
    pub controller_id: i32,
    /// The live brokers by node id.
    pub brokers: BTreeMap<i32, Broker>,
    /// The topics asked for, by name; one that does not exist is here with its error.
    pub topics: HashMap<String, Topic>,
}

/// One live broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Node id.
    pub id: i32,
    /// Where it says that it is to be reached (`advertised.listeners`).
    pub address: Address,
    /// Its rack, where it has one.
    pub rack: Option<String>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The topic's id (KIP-516), zero where the broker does not tell.
    pub id: Uuid,
    /// [`ErrorCode::NONE`], or why nothing else is known of it.
    pub error: ErrorCode,
    /// Whether it is one of Kafka's own.
    pub internal: bool,
    /// By partition number, without gaps.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The node that leads it, when there is one and its address is known.
    pub leader: Option<i32>,
    /// Counts leaders, or -1 where the broker does not tell.
    pub leader_epoch: i32,
    /// The nodes that have a copy, alive or not.
    pub replicas: Box<[i32]>,
}

/// What a broker that does not lead a partition says of the one that does (KIP-951).
#[derive(Clone, Debug)]
pub struct LeaderHint<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition's index.
    pub partition: i32,
    /// The node that leads it now.
    pub leader: &'a LeaderIdAndEpoch,
}

impl Metadata {
    /// The topic, when it is known to exist.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name).filter(|topic| topic.error.is_ok())
    }

    /// The name of the topic with this id.
    pub fn name_of(&self, id: Uuid) -> Option<String> {
        let (name, _) = self.topics.iter().find(|(_, topic)| topic.error.is_ok() && topic.id == id)?;
        Some(name.clone())
    }

    /// The partition, when it is known to exist.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topic(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    /// The node that leads this partition, when one does.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.partition(topic, partition)?.leader
    }

    /// The same, with those topics as missing that were wanted by name. An answer with all topics does not mention them.
    pub(super) fn with_missing(mut self, wanted: &super::Wanted) -> Self {
        if wanted.all {
            for name in &wanted.topics {
                let missing = || Topic {
                    id: Uuid::ZERO,
                    error: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    internal: false,
                    partitions: Vec::new(),
                };
                self.topics.entry(name.clone()).or_insert_with(missing);
            }
        }
        self
    }

    /// Whether brokers or leaders are others than in the snapshot before it.
    pub(super) fn tells_more_than(&self, before: &Self) -> bool {
        self.brokers != before.brokers || self.topics != before.topics
    }

    /// The snapshot with what these hints tell besides; None if that is nothing. Only a newer epoch than the one known
    /// counts, and only a leader that is known or is among `endpoints`. It keeps its version, for a hint is no answer to
    /// whoever waits for one.
    pub(super) fn hinted(&self, hints: &[LeaderHint<'_>], endpoints: &[NodeEndpoint]) -> Option<Self> {
        let mut next: Option<Self> = None;
        for hint in hints {
            let LeaderIdAndEpoch { leader_id, leader_epoch } = *hint.leader;
            let known = self.partition(hint.topic, hint.partition);
            if leader_id < 0 || known.is_none_or(|known| known.leader_epoch >= leader_epoch) {
                continue;
            }
            let endpoint = endpoints.iter().find(|endpoint| endpoint.node_id == leader_id);
            let broker = endpoint.and_then(Broker::from_endpoint);
            if broker.is_none() && !self.brokers.contains_key(&leader_id) {
                continue;
            }
            let next = next.get_or_insert_with(|| self.clone());
            next.brokers.extend(broker.map(|broker| (leader_id, broker)));
            let partitions = next.topics.get_mut(hint.topic).map(|topic| &mut topic.partitions);
            let index = usize::try_from(hint.partition).unwrap_or(usize::MAX);
            if let Some(partition) = partitions.and_then(|partitions| partitions.get_mut(index)) {
                partition.leader = Some(leader_id);
                partition.leader_epoch = leader_epoch;
            }
        }
        next
    }

    /// The snapshot after this answer.
    ///
    /// Entries that make no sense are left out, the rest is used. A topic's transient error keeps what was known of it.
    pub(super) fn next(&self, response: &MetadataResponse) -> Self {
        let mut brokers = BTreeMap::new();
        for broker in &response.brokers {
            match Broker::from_response(broker) {
                Some(usable) => {
                    brokers.entry(usable.id).or_insert(usable);
                }
                None => log::warn!(
                    "broker {} announces an unusable address: {}:{}; check its advertised.listeners",
                    broker.node_id,
                    broker.host.escape_debug(),
                    broker.port
                ),
            }
        }
        let topics = response
            .topics
            .iter()
            .filter_map(|topic| {
                let name = topic.name.as_ref()?;
                Some((name.clone(), Topic::next(self.topics.get(name), topic, &brokers)))
            })
            .collect();
        Self {
            version: self.version + 1,
            cluster_id: response.cluster_id.clone(),
            controller_id: response.controller_id,
            brokers,
            topics,
        }
    }
}

impl Broker {
    fn from_response(broker: &MetadataResponseBroker) -> Option<Self> {
        let port = u16::try_from(broker.port).ok().filter(|&port| port != 0)?;
        if broker.host.is_empty() || broker.node_id < 0 {
            return None;
        }
        let address = Address { host: broker.host.clone(), port };
        Some(Self { id: broker.node_id, address, rack: broker.rack.clone() })
    }

    fn from_endpoint(endpoint: &NodeEndpoint) -> Option<Self> {
        let NodeEndpoint { node_id, host, port, rack } = endpoint.clone();
        Self::from_response(&MetadataResponseBroker { node_id, host, port, rack })
    }
}

impl Topic {
    fn next(before: Option<&Self>, now: &MetadataResponseTopic, brokers: &BTreeMap<i32, Broker>) -> Self {
        let error = now.error_code;
        let before = before.filter(|before| now.topic_id == Uuid::ZERO || before.id == now.topic_id);
        if let (Some(before), true) = (before, error == ErrorCode::LEADER_NOT_AVAILABLE && now.partitions.is_empty()) {
            return before.clone();
        }
        // The number of entries bounds the numbers they may carry.
        let mut partitions =
            vec![Partition { leader: None, leader_epoch: -1, replicas: Box::default() }; now.partitions.len()];
        for partition in &now.partitions {
            let index = usize::try_from(partition.partition_index).ok();
            let Some(slot) = index.and_then(|index| partitions.get_mut(index)) else {
                log::warn!("metadata names a partition {} out of order", partition.partition_index);
                continue;
            };
            *slot = Partition::from_response(partition, brokers);
            let older = before
                .and_then(|topic| topic.partitions.get(index?))
                .filter(|old| slot.leader_epoch >= 0 && old.leader_epoch > slot.leader_epoch && old.leader.is_some());
            if let Some(known) = older {
                *slot = known.clone();
            }
        }
        Self { id: now.topic_id, error, internal: now.is_internal, partitions }
    }
}

impl Partition {
    fn from_response(partition: &MetadataResponsePartition, brokers: &BTreeMap<i32, Broker>) -> Self {
        let leader = Some(partition.leader_id).filter(|id| brokers.contains_key(id));
        Self { leader, leader_epoch: partition.leader_epoch, replicas: partition.replica_nodes.as_slice().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(node_id: i32, host: &str, port: i32) -> MetadataResponseBroker {
        MetadataResponseBroker { node_id, host: host.into(), port, ..Default::default() }
    }

    fn partition(partition_index: i32, leader_id: i32, leader_epoch: i32) -> MetadataResponsePartition {
        MetadataResponsePartition { partition_index, leader_id, leader_epoch, ..Default::default() }
    }

    fn answer(partitions: Vec<MetadataResponsePartition>) -> MetadataResponse {
        let topic = MetadataResponseTopic { name: Some("t".into()), partitions, ..Default::default() };
        MetadataResponse {
            brokers: vec![broker(1, "a", 9092), broker(2, "b", 9092)],
            topics: vec![topic],
            ..Default::default()
        }
    }

    #[test]
    fn an_older_leader_epoch_never_replaces_a_newer_one() {
        let first = Metadata::default().next(&answer(vec![partition(0, 1, 7)]));
        let stale = first.next(&answer(vec![partition(0, 2, 6)]));
        assert_eq!(stale.leader("t", 0), Some(1));
        let newer = stale.next(&answer(vec![partition(0, 2, 8)]));
        assert_eq!(newer.leader("t", 0), Some(2));
        assert_eq!(newer.version, 3);
    }

    #[test]
    fn a_hint_counts_if_it_is_newer_and_its_leader_can_be_reached() {
        let known = Metadata::default().next(&answer(vec![partition(0, 1, 7), partition(1, 1, 7)]));
        let told = |partition, leader_id, leader_epoch, endpoints: &[NodeEndpoint]| {
            let leader = &LeaderIdAndEpoch { leader_id, leader_epoch };
            known.hinted(&[LeaderHint { topic: "t", partition, leader }], endpoints)
        };
        let endpoint = |node_id, host: &str| NodeEndpoint { node_id, host: host.into(), port: 9092, rack: None };
        let next = told(0, 2, 8, &[]).unwrap();
        assert_eq!((next.leader("t", 0), next.leader("t", 1)), (Some(2), Some(1)));
        assert_eq!(next.version, known.version, "it does not answer those who wait for metadata");
        let stale = next.next(&answer(vec![partition(0, 1, 7), partition(1, 1, 7)]));
        assert_eq!(stale.leader("t", 0), Some(2), "older metadata does not undo it");
        assert!(told(0, 2, 7, &[]).is_none() && told(0, 2, 6, &[]).is_none() && told(0, -1, 9, &[]).is_none());
        assert!(told(5, 2, 8, &[]).is_none() && told(-1, 2, 8, &[]).is_none());
        assert!(told(0, 3, 8, &[]).is_none() && told(0, 3, 8, &[endpoint(3, "")]).is_none(), "where is broker 3?");
        let next = told(0, 3, 8, &[endpoint(3, "c"), endpoint(4, "d")]).unwrap();
        assert_eq!((next.leader("t", 0), next.brokers[&3].address.host.as_str()), (Some(3), "c"));
        assert!(!next.brokers.contains_key(&4));
    }

    #[test]
    fn only_another_leader_or_broker_is_news() {
        let first = Metadata::default().next(&answer(vec![partition(0, 1, 7)]));
        let same = first.next(&answer(vec![partition(0, 1, 7)]));
        assert!(first.tells_more_than(&Metadata::default()) && !same.tells_more_than(&first));
        assert!(same.next(&answer(vec![partition(0, 2, 8)])).tells_more_than(&same));
        let mut fewer = answer(vec![partition(0, 1, 7)]);
        fewer.brokers.pop();
        assert!(same.next(&fewer).tells_more_than(&same));
    }

    #[test]
    fn a_recreated_topic_starts_its_epochs_anew() {
        let with_id = |id: u8, epoch| {
            let mut answer = answer(vec![partition(0, i32::from(id), epoch)]);
            answer.topics[0].topic_id = Uuid([id; 16]);
            answer
        };
        let old = Metadata::default().next(&with_id(1, 9));
        assert_eq!(old.next(&with_id(2, 0)).leader("t", 0), Some(2));
    }

    #[test]
    fn senseless_entries_are_left_out_and_the_rest_is_used() {
        let mut odd =
            answer(vec![partition(0, 1, 0), partition(-1, 1, 0), partition(i32::MAX, 1, 0), partition(3, 9, 0)]);
        odd.brokers.extend([broker(3, "", 9092), broker(4, "c", 0), broker(5, "d", 70_000), broker(1, "twin", 1)]);
        let metadata = Metadata::default().next(&odd);
        assert_eq!(metadata.brokers.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(metadata.brokers[&1].address.host, "a");
        let leaders: Vec<_> = metadata.topics["t"].partitions.iter().map(|p| p.leader).collect();
        assert_eq!(leaders, [Some(1), None, None, None], "a leader that is not listed is no leader");
    }

    #[test]
    fn a_missing_topic_is_known_with_its_error() {
        let mut missing = answer(vec![]);
        missing.topics[0].error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        let metadata = Metadata::default().next(&missing);
        assert!(metadata.topic("t").is_none());
        assert_eq!(metadata.topics["t"].error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
}
