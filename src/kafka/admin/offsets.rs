//! Offsets: of partitions' logs, and those that groups have committed.

use std::collections::HashMap;

use super::{Admin, checked, unmentioned};
use crate::clock::Deadline;
use crate::kafka::consumer::TopicPartition;
use crate::kafka::error::{Error, Result};
use crate::kafka::net::Connection;
use crate::kafka::protocol::messages::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic, OffsetCommitRequest, OffsetCommitRequestPartition,
    OffsetCommitRequestTopic, OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse,
};
use crate::kafka::protocol::{ApiKey, ErrorCode};

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first record there is.
    Earliest,
    /// Behind the last record that every replica in sync has: the high watermark.
    Latest,
    /// The first record at or after this time, in milliseconds since 1970.
    At(i64),
}

/// What a group has committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Of which partition.
    pub partition: TopicPartition,
    /// The next record to read.
    pub offset: i64,
    /// The leader epoch of the record before it, where it is known.
    pub leader_epoch: Option<i32>,
    /// What the application put beside it.
    pub metadata: String,
}

impl OffsetSpec {
    /// What ListOffsets calls it.
    fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            // Negative numbers mean other things.
            Self::At(timestamp) => timestamp.max(0),
        }
    }
}

impl Admin {
    /// An offset of each of these partitions, with one request per leader. `None` where no record is as late as the
    /// time asked for.
    ///
    /// # Errors
    /// For each: no such partition, may not be read, or no leader answered within `default.api.timeout.ms`.
    pub fn list_offsets(&self, asked: &[(TopicPartition, OffsetSpec)]) -> Vec<Result<Option<i64>>> {
        self.listed(asked, self.deadline())
    }

    pub(super) fn listed(
        &self,
        asked: &[(TopicPartition, OffsetSpec)],
        deadline: Deadline,
    ) -> Vec<Result<Option<i64>>> {
        let located = |items: &[&(TopicPartition, OffsetSpec)], step: Deadline| {
            Ok(self.leaders(items.iter().map(|(partition, _)| partition), step))
        };
        self.spread(asked, deadline, located, |node, asked, _, step| {
            let mut topics: Vec<ListOffsetsTopic> = Vec::new();
            for (partition, spec) in asked {
                let entry = ListOffsetsPartition {
                    partition_index: partition.partition,
                    timestamp: spec.timestamp(),
                    ..Default::default()
                };
                match topics.last_mut().filter(|topic| topic.name == *partition.topic) {
                    Some(topic) => topic.partitions.push(entry),
                    None => {
                        topics.push(ListOffsetsTopic { name: partition.topic.to_string(), partitions: vec![entry] });
                    }
                }
            }
            let timeout_ms = i32::try_from(step.limit.as_millis()).unwrap_or(i32::MAX);
            let request = ListOffsetsRequest { replica_id: -1, topics, timeout_ms, ..Default::default() };
            let response = self.talk(node, step, |connection| connection.call(&request, step))?;
            let mut found: HashMap<(&str, i32), _> = HashMap::new();
            for topic in &response.topics {
                let entries = topic.partitions.iter();
                found.extend(entries.map(|entry| ((topic.name.as_str(), entry.partition_index), entry)));
            }
            let answer = |(partition, _): &&(TopicPartition, OffsetSpec)| {
                let place = |error: Error| error.with_partition(&*partition.topic, partition.partition);
                let entry = found.get(&(&*partition.topic, partition.partition));
                let entry = entry.ok_or_else(|| place(unmentioned(ApiKey::ListOffsets, "partition")))?;
                checked(ApiKey::ListOffsets, entry.error_code, None).map_err(place)?;
                Ok(Some(entry.offset).filter(|offset| *offset >= 0))
            };
            Ok(asked.iter().map(answer).collect())
        })
    }

    /// Who leads each of these partitions, as any broker knows it now.
    pub(super) fn leaders<'p>(
        &self,
        partitions: impl Iterator<Item = &'p TopicPartition> + Clone,
        step: Deadline,
    ) -> Vec<Result<i32>> {
        let mut names: Vec<&str> = partitions.clone().map(|partition| &*partition.topic).collect();
        names.sort_unstable();
        names.dedup();
        let topics: HashMap<&str, Result<HashMap<i32, Option<i32>>>> = names
            .iter()
            .copied()
            .zip(self.described(&names, step))
            .map(|(name, topic)| {
                let leaders = topic.map(|topic| topic.partitions.iter().map(|p| (p.partition, p.leader)).collect());
                (name, leaders)
            })
            .collect();
        let leader = |partition: &TopicPartition| {
            let place = |code| {
                Error::broker_code(ApiKey::Metadata, code, None).with_partition(&*partition.topic, partition.partition)
            };
            match topics.get(&*partition.topic) {
                Some(Ok(leaders)) => match leaders.get(&partition.partition) {
                    Some(Some(leader)) => Ok(*leader),
                    Some(None) => Err(place(ErrorCode::LEADER_NOT_AVAILABLE)),
                    None => Err(place(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
                },
                Some(Err(error)) => Err(error.clone()),
                None => Err(place(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
            }
        };
        partitions.map(leader).collect()
    }

    /// All that these groups have committed, by topic and partition; nothing for a group that does not exist. One
    /// request per coordinator where it speaks OffsetFetch 8 (Kafka 3.0), else one per group.
    ///
    /// # Errors
    /// For each: it may not be seen, or no coordinator answered within `default.api.timeout.ms`.
    pub fn committed_offsets(&self, groups: &[&str]) -> Vec<Result<Vec<CommittedOffset>>> {
        self.committed(groups, self.deadline())
    }

    pub(super) fn committed(&self, groups: &[&str], deadline: Deadline) -> Vec<Result<Vec<CommittedOffset>>> {
        let located = |groups: &[&&str], step: Deadline| self.coordinators(groups, step);
        self.spread(groups, deadline, located, |node, groups, _, step| {
            self.talk(node, step, |connection| {
                if connection.versions().negotiate::<OffsetFetchRequest>()? < 8 {
                    return groups.iter().map(|group| fetch_one(connection, group, step)).collect();
                }
                fetch_many(connection, groups, step)
            })
        })
    }

    /// Sets what a group without members has committed for these partitions: all of them, or, when it fails, perhaps
    /// some.
    ///
    /// # Errors
    /// The group has members (`UNKNOWN_MEMBER_ID`), no such partition, may not be changed, or no coordinator answered
    /// within `default.api.timeout.ms`.
    pub fn alter_offsets(&self, group: &str, offsets: &[(TopicPartition, i64)]) -> Result<()> {
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for (partition, offset) in offsets {
            let entry = OffsetCommitRequestPartition {
                partition_index: partition.partition,
                committed_offset: *offset,
                committed_metadata: Some(String::new()),
                ..Default::default()
            };
            match topics.iter_mut().find(|topic| topic.name == *partition.topic) {
                Some(topic) => topic.partitions.push(entry),
                None => topics.push(OffsetCommitRequestTopic {
                    name: partition.topic.to_string(),
                    partitions: vec![entry],
                    ..Default::default()
                }),
            }
        }
        let request = OffsetCommitRequest { group_id: group.to_owned(), topics, ..Default::default() };
        let located = |groups: &[&&str], step: Deadline| self.coordinators(groups, step);
        let outcome = self.spread(&[group], self.deadline(), located, |node, _, _, step| {
            let response = self.talk(node, step, |connection| connection.call(&request, step))?;
            let outcome = |(partition, _): &(TopicPartition, i64)| {
                let topic = response.topics.iter().find(|topic| topic.name == *partition.topic);
                let mut entries = topic.iter().flat_map(|topic| &topic.partitions);
                let entry = entries.find(|entry| entry.partition_index == partition.partition);
                answered(ApiKey::OffsetCommit, partition, entry.map(|entry| entry.error_code))
            };
            let outcomes: Vec<Result<()>> = offsets.iter().map(outcome).collect();
            let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            match outcomes.into_iter().find_map(Result::err) {
                Some(error) if done > 0 => {
                    Err(error.begun(&format!("{done} of {} partitions were set, not all", offsets.len())))
                }
                Some(error) => Err(error),
                None => Ok(vec![Ok(())]),
            }
        });
        super::only(outcome).map_err(|error| about(group, error))
    }

    /// Forgets what a group has committed for these partitions, which none of its members may be subscribed to (KIP-496).
    ///
    /// # Errors
    /// For each: a member is subscribed to its topic (`GROUP_SUBSCRIBED_TO_TOPIC`), no such group or partition, may not
    /// be changed, or no coordinator answered within `default.api.timeout.ms`.
    pub fn delete_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Vec<Result<()>> {
        let coordinator = |partitions: &[&TopicPartition], step: Deadline| {
            let node = super::only(self.coordinators(&[&group], step)?);
            Ok(partitions.iter().map(|_| node.clone()).collect())
        };
        self.spread(partitions, self.deadline(), coordinator, |node, partitions, _, step| {
            let mut topics: Vec<OffsetDeleteRequestTopic> = Vec::new();
            for partition in partitions {
                let entry = OffsetDeleteRequestPartition { partition_index: partition.partition };
                match topics.iter_mut().find(|topic| topic.name == *partition.topic) {
                    Some(topic) => topic.partitions.push(entry),
                    None => topics
                        .push(OffsetDeleteRequestTopic { name: partition.topic.to_string(), partitions: vec![entry] }),
                }
            }
            let request = OffsetDeleteRequest { group_id: group.to_owned(), topics };
            let response = self.talk(node, step, |connection| connection.call(&request, step))?;
            checked(ApiKey::OffsetDelete, response.error_code, None).map_err(|error| about(group, error))?;
            let answer = |partition: &&TopicPartition| {
                let topic = response.topics.iter().find(|topic| topic.name == *partition.topic);
                let mut entries = topic.iter().flat_map(|topic| &topic.partitions);
                let entry = entries.find(|entry| entry.partition_index == partition.partition);
                answered(ApiKey::OffsetDelete, partition, entry.map(|entry| entry.error_code))
            };
            Ok(partitions.iter().map(answer).collect())
        })
    }
}

/// What an answer says of a partition, which it may leave out.
fn answered(api: ApiKey, partition: &TopicPartition, code: Option<ErrorCode>) -> Result<()> {
    code.ok_or_else(|| unmentioned(api, "partition"))
        .and_then(|code| checked(api, code, None))
        .map_err(|error| error.with_partition(&*partition.topic, partition.partition))
}

/// Names the group in an error.
pub(super) fn about(group: &str, error: Error) -> Error {
    error.begun(&format!("group {}", group.escape_debug()))
}

fn fetch_one(connection: &mut Connection, group: &str, step: Deadline) -> Result<Result<Vec<CommittedOffset>>> {
    let request = OffsetFetchRequest { group_id: group.to_owned(), topics: None, ..Default::default() };
    let response = connection.call(&request, step)?;
    Ok(of_one(group, response))
}

fn of_one(group: &str, response: OffsetFetchResponse) -> Result<Vec<CommittedOffset>> {
    checked(ApiKey::OffsetFetch, response.error_code, None).map_err(|error| about(group, error))?;
    let mut offsets = Vec::new();
    for topic in response.topics {
        for entry in topic.partitions {
            let told = (entry.committed_offset, entry.committed_leader_epoch, entry.metadata);
            offsets.extend(committed(&topic.name, entry.partition_index, told, entry.error_code)?);
        }
    }
    Ok(sorted(offsets))
}

fn fetch_many(
    connection: &mut Connection,
    groups: &[&&str],
    step: Deadline,
) -> Result<Vec<Result<Vec<CommittedOffset>>>> {
    let asked = groups.iter().map(|group| OffsetFetchRequestGroup {
        group_id: (**group).to_owned(),
        topics: None,
        ..Default::default()
    });
    let request = OffsetFetchRequest { groups: asked.collect(), ..Default::default() };
    let response = connection.call(&request, step)?;
    let mut answers: HashMap<String, _> =
        response.groups.into_iter().map(|answer| (answer.group_id.clone(), answer)).collect();
    let answer = |group: &&&str| {
        let answer = answers.remove(**group).ok_or_else(|| unmentioned(ApiKey::OffsetFetch, "group"))?;
        checked(ApiKey::OffsetFetch, answer.error_code, None).map_err(|error| about(group, error))?;
        let mut offsets = Vec::new();
        for topic in answer.topics {
            for entry in topic.partitions {
                let told = (entry.committed_offset, entry.committed_leader_epoch, entry.metadata);
                offsets.extend(committed(&topic.name, entry.partition_index, told, entry.error_code)?);
            }
        }
        Ok(sorted(offsets))
    };
    Ok(groups.iter().map(answer).collect())
}

/// -1 is no offset at all.
fn committed(
    topic: &str,
    partition: i32,
    (offset, epoch, metadata): (i64, i32, Option<String>),
    code: ErrorCode,
) -> Result<Option<CommittedOffset>> {
    checked(ApiKey::OffsetFetch, code, None).map_err(|error| error.with_partition(topic, partition))?;
    Ok((offset >= 0).then(|| CommittedOffset {
        partition: TopicPartition::new(topic, partition),
        offset,
        leader_epoch: Some(epoch).filter(|epoch| *epoch >= 0),
        metadata: metadata.unwrap_or_default(),
    }))
}

fn sorted(mut offsets: Vec<CommittedOffset>) -> Vec<CommittedOffset> {
    offsets.sort_by(|one, other| one.partition.cmp(&other.partition));
    offsets
}
