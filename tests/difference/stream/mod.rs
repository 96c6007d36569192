//! The requests, in order. What differs between two Kafkas or two runs (the time, the order of threads) is kept out of
//! them: record times are fixed, and what an answer promises is waited for before it is relied on.

use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{ApiKey, Bytes, ErrorCode, Request, Uuid};

use crate::batches::Batch;
use crate::player::{Player, Topic};

mod cluster;
mod configs;
mod consumer_groups;
mod fetch;
mod group_admin;
mod groups;
mod handshake;
mod list_offsets;
mod offsets;
mod produce;
mod records;
mod topics;

/// An id that no topic has.
const NO_TOPIC: Uuid = Uuid([0xab; 16]);

pub fn play(player: &mut Player) {
    prepare(player);
    let parts = [
        handshake::play,
        topics::play,
        produce::play,
        fetch::play,
        list_offsets::play,
        groups::play,
        offsets::play,
        records::play,
        cluster::play,
        configs::play,
        group_admin::play,
        consumer_groups::play,
    ];
    for part in parts {
        part(player);
        player.end_of_passes();
    }
}

/// The versions that Kafka 4.3.1 serves of this API.
fn versions<R: Request>() -> std::ops::RangeInclusive<i16> {
    let first = match R::KEY {
        ApiKey::Produce => 3,
        ApiKey::Fetch => 4,
        ApiKey::ListOffsets
        | ApiKey::OffsetFetch
        | ApiKey::DeleteTopics
        | ApiKey::DescribeConfigs
        | ApiKey::DescribeLogDirs
        | ApiKey::DescribeAcls => 1,
        ApiKey::OffsetCommit | ApiKey::CreateTopics | ApiKey::OffsetForLeaderEpoch => 2,
        _ => 0,
    };
    let last = if R::KEY == ApiKey::InitProducerId { 5 } else { R::VERSIONS.max };
    first.max(R::VERSIONS.min)..=last
}

/// The highest version of an API that is not above this one, for steps beside the one that a loop is about.
fn at_most<R: Request>(version: i16) -> i16 {
    version.clamp(*versions::<R>().start(), *versions::<R>().end())
}

/// Learns the broker's number, and has it start its group coordinator and fetch producer ids, which takes a moment on a new
/// Kafka.
fn prepare(player: &mut Player) {
    let metadata = player.quietly(1, &MetadataRequest { topics: Some(vec![]), ..Default::default() });
    player.mask.know_node(metadata.controller_id);
    let key = player.name("any");
    player.until(|player| {
        let request = FindCoordinatorRequest { key: key.clone(), ..Default::default() };
        player.quietly(1, &request).error_code.is_ok()
    });
    player.until(|player| player.quietly(4, &InitProducerIdRequest::default()).error_code.is_ok());
}

/// A topic of the stream with one replica, created without being noted. Its records never expire, for they are old.
fn topic(player: &mut Player, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic {
    let configs = [("retention.ms", "-1")].iter().chain(configs);
    let configs = configs.map(|(name, value)| config(name, Some(value))).collect();
    let name = player.name(name);
    let topic = CreatableTopic {
        name: name.clone(),
        num_partitions: partitions,
        replication_factor: 1,
        configs,
        ..Default::default()
    };
    player.quietly(7, &CreateTopicsRequest { topics: vec![topic], ..Default::default() });
    settle(player, &name, partitions)
}

/// Waits until a new topic can be used.
fn settle(player: &mut Player, name: &str, partitions: i32) -> Topic {
    let mut id = Uuid::ZERO;
    player.until(|player| {
        let answer = player.quietly(12, &metadata(&[name]));
        let Some(topic) = answer.topics.first() else { return false };
        id = topic.topic_id;
        topic.error_code.is_ok()
            && topic.partitions.len() == partitions as usize
            && topic.partitions.iter().all(|partition| partition.leader_id >= 0 && partition.error_code.is_ok())
    });
    player.until(|player| {
        let ends = (0..partitions).map(|partition| (partition, -1)).collect::<Vec<_>>();
        let answer = player.quietly(1, &list_offsets::of(name, &ends));
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.all(|partition| partition.error_code.is_ok())
    });
    player.mask.know_id(id, &format!("id of {}", name.rsplit_once('-').map_or(name, |(name, _)| name)));
    Topic { name: name.to_owned(), id }
}

fn metadata(topics: &[&str]) -> MetadataRequest {
    let topics = topics
        .iter()
        .map(|name| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() })
        .collect();
    MetadataRequest { topics: Some(topics), allow_auto_topic_creation: false, ..Default::default() }
}

fn config(name: &str, value: Option<&str>) -> CreatableTopicConfig {
    CreatableTopicConfig { name: name.to_owned(), value: value.map(str::to_owned) }
}

/// A Produce request for some partitions of one topic.
fn produce(topic: &Topic, acks: i16, batches: Vec<(i32, Option<Vec<u8>>)>) -> ProduceRequest {
    let partition_data = batches
        .into_iter()
        .map(|(index, records)| PartitionProduceData { index, records: records.map(Bytes::from) })
        .collect();
    let topic = TopicProduceData { name: topic.name.clone(), topic_id: topic.id, partition_data };
    ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() }
}

/// Appends a batch without noting it.
fn append(player: &mut Player, topic: &Topic, partition: i32, batch: &Batch) {
    let answer = player.quietly(9, &produce(topic, -1, vec![(partition, Some(batch.bytes()))]));
    let error = answer.responses.first().and_then(|topic| topic.partition_responses.first());
    if error.is_none_or(|partition| partition.error_code != ErrorCode::NONE) {
        eprintln!("{}-{partition} takes no records", topic.name);
    }
}
