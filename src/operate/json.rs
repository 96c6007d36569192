//! The shapes of `--json`. Fields are added, never renamed or taken away.

use serde::Serialize;

use super::table::joined;
use crate::kafka::admin::{ConfigEntry, ConfigSource, GroupDescription, GroupLag, GroupMember, TopicDescription};

/// One line of JSON.
pub(super) fn line(value: &impl Serialize) -> String {
    // Text and numbers alone cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

#[derive(Serialize)]
pub(super) struct Topic<'a> {
    name: &'a str,
    id: Option<String>,
    internal: bool,
    partition_count: usize,
    replication_factor: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<Vec<Partition<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    configs: Option<Vec<Setting<'a>>>,
}

#[derive(Serialize)]
struct Partition<'a> {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: Option<i32>,
    replicas: &'a [i32],
    isr: &'a [i32],
}

#[derive(Serialize)]
pub(super) struct Setting<'a> {
    name: &'a str,
    value: Option<&'a str>,
    source: &'static str,
    read_only: bool,
    sensitive: bool,
}

impl<'a> Topic<'a> {
    /// A topic in the list.
    pub fn listed(topic: &'a TopicDescription) -> Self {
        Self {
            name: &topic.name,
            id: topic.id.map(|id| id.to_string()),
            internal: topic.internal,
            partition_count: topic.partitions.len(),
            replication_factor: topic.replication_factor(),
            partitions: None,
            configs: None,
        }
    }

    /// A topic with all there is to tell.
    pub fn described(topic: &'a TopicDescription, configs: &'a [ConfigEntry]) -> Self {
        let partitions = topic.partitions.iter().map(|partition| Partition {
            partition: partition.partition,
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            replicas: &partition.replicas,
            isr: &partition.isr,
        });
        Self {
            partitions: Some(partitions.collect()),
            configs: Some(configs.iter().map(Setting::of).collect()),
            ..Self::listed(topic)
        }
    }
}

impl<'a> Setting<'a> {
    pub fn of(entry: &'a ConfigEntry) -> Self {
        Self {
            name: &entry.name,
            value: entry.value.as_deref(),
            source: source(entry.source),
            read_only: entry.read_only,
            sensitive: entry.sensitive,
        }
    }
}

/// Where a value comes from, in a word.
pub(super) fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "topic",
        ConfigSource::Broker => "broker",
        ConfigSource::AllBrokers => "all-brokers",
        ConfigSource::File => "file",
        ConfigSource::Default => "default",
        ConfigSource::Group => "group",
        ConfigSource::Unknown => "unknown",
    }
}

#[derive(Serialize)]
pub(super) struct Group<'a> {
    group: &'a str,
    state: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    protocol_type: &'a str,
    assignor: &'a str,
    coordinator: Coordinator<'a>,
    members: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Coordinator<'a> {
    id: i32,
    address: &'a str,
}

#[derive(Serialize)]
struct Member<'a> {
    member: &'a str,
    instance: Option<&'a str>,
    client_id: &'a str,
    host: &'a str,
    assignment: Vec<Assigned<'a>>,
}

#[derive(Serialize)]
struct Assigned<'a> {
    topic: &'a str,
    partitions: Vec<i32>,
}

impl<'a> Group<'a> {
    pub fn of(group: &'a GroupDescription) -> Self {
        let members = group.members.iter().map(|member| Member {
            member: &member.id,
            instance: member.instance_id.as_deref(),
            client_id: &member.client_id,
            host: &member.host,
            assignment: by_topic(member).map(|(topic, partitions)| Assigned { topic, partitions }).collect(),
        });
        Self {
            group: &group.id,
            state: &group.state,
            kind: group.kind.name(),
            protocol_type: &group.protocol_type,
            assignor: &group.assignor,
            coordinator: Coordinator { id: group.coordinator, address: &group.coordinator_address },
            members: members.collect(),
        }
    }
}

/// What a member has, topic by topic.
fn by_topic(member: &GroupMember) -> impl Iterator<Item = (&str, Vec<i32>)> {
    member
        .assignment
        .chunk_by(|one, other| one.topic == other.topic)
        .map(|chunk| (&*chunk[0].topic, chunk.iter().map(|partition| partition.partition).collect()))
}

/// What a member has, in one line: `orders:0,1 payments:3`.
pub(super) fn assignment(member: &GroupMember) -> String {
    by_topic(member).map(|(topic, partitions)| format!("{topic}:{}", joined(partitions))).collect::<Vec<_>>().join(" ")
}

#[derive(Serialize)]
pub(super) struct Lag<'a> {
    group: &'a str,
    state: &'a str,
    total_lag: i64,
    topics: Vec<TopicLag<'a>>,
    partitions: Vec<PartitionLag<'a>>,
}

#[derive(Serialize)]
struct TopicLag<'a> {
    topic: &'a str,
    lag: i64,
}

#[derive(Serialize)]
struct PartitionLag<'a> {
    topic: &'a str,
    partition: i32,
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    lag_seconds: Option<f64>,
    member: Option<&'a str>,
}

impl<'a> Lag<'a> {
    pub fn of(lag: &'a GroupLag) -> Self {
        let partitions = lag.partitions.iter().map(|it| PartitionLag {
            topic: &it.partition.topic,
            partition: it.partition.partition,
            committed: it.committed,
            end: it.end,
            lag: it.lag,
            lag_seconds: it.lag_ms.map(|ms| ms as f64 / 1000.0),
            member: it.member.as_deref(),
        });
        Self {
            group: &lag.group.id,
            state: &lag.group.state,
            total_lag: lag.total(),
            topics: lag.topics().into_iter().map(|(topic, lag)| TopicLag { topic, lag }).collect(),
            partitions: partitions.collect(),
        }
    }
}
