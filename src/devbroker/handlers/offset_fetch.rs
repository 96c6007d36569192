//! OffsetFetch: reads positions of groups.

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::groups::{Committed, Groups, Topics};
use super::offset_commit::is_for_zookeeper;
use crate::kafka::protocol::messages::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use crate::kafka::protocol::{ErrorCode, Uuid};

/// From here on the answer has an error code for the group.
const GROUP_ERROR: i16 = 2;
/// From here on many groups may be asked for.
const MANY: i16 = 8;
/// From here on a topic is told by its id.
const BY_ID: i16 = 10;

impl Handler for OffsetFetchRequest {
    fn serve(self, call: &Call<'_>) -> Reply<OffsetFetchResponse> {
        let asked = self.asked(call.version);
        let answers = call.cluster.with_groups(|groups, _| {
            let answer = |group: &OffsetFetchRequestGroup| match check(call, groups, group) {
                Ok(()) => read(call, groups, group),
                Err(code) => refused(call.version, group, code),
            };
            asked.iter().map(answer).collect()
        });
        Reply::Answer(for_version(call.version, answers))
    }

    fn refuse(&self, call: &Call<'_>, code: ErrorCode) -> OffsetFetchResponse {
        let asked = self.asked(call.version);
        for_version(call.version, asked.iter().map(|group| refused(call.version, group, code)).collect())
    }

    fn subject(&self) -> Subject<'_> {
        let group = self.groups.first().map_or(&self.group_id, |group| &group.group_id);
        Subject::group(group)
    }
}

impl OffsetFetchRequest {
    /// What is asked for, as in the versions with many groups.
    fn asked(&self, version: i16) -> Vec<OffsetFetchRequestGroup> {
        if version >= MANY {
            return self.groups.clone();
        }
        let topics = self.topics.as_ref().map(|topics| {
            let topics = topics.iter().map(|topic| OffsetFetchRequestTopics {
                name: topic.name.clone(),
                partition_indexes: topic.partition_indexes.clone(),
                ..Default::default()
            });
            topics.collect()
        });
        vec![OffsetFetchRequestGroup { group_id: self.group_id.clone(), topics, ..Default::default() }]
    }
}

fn check(call: &Call<'_>, groups: &Groups, group: &OffsetFetchRequestGroup) -> Result<(), ErrorCode> {
    if is_for_zookeeper(call) {
        return Err(ErrorCode::UNSUPPORTED_VERSION);
    }
    call.check_coordinator(&group.group_id)?;
    groups.check_fetch(group)
}

fn read(call: &Call<'_>, groups: &Groups, asked: &OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let topics = match &asked.topics {
        Some(topics) => topics.iter().map(|topic| read_topic(call, groups, &asked.group_id, topic)).collect(),
        None => read_all(call, groups, &asked.group_id),
    };
    OffsetFetchResponseGroup { group_id: asked.group_id.clone(), topics, ..Default::default() }
}

fn read_topic(
    call: &Call<'_>,
    groups: &Groups,
    group: &str,
    asked: &OffsetFetchRequestTopics,
) -> OffsetFetchResponseTopics {
    let by_id = call.version >= BY_ID;
    let name = if by_id { call.cluster.name_of(asked.topic_id) } else { Some(asked.name.clone()) };
    let partitions = asked.partition_indexes.iter().map(|&index| {
        let Some(name) = &name else { return missing(index, ErrorCode::UNKNOWN_TOPIC_ID) };
        match groups.position(group, (name, asked.topic_id), index) {
            Some(committed) => found(index, committed),
            // So ZooKeeper's positions were answered.
            None if call.version == 0 => missing(index, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            None => missing(index, ErrorCode::NONE),
        }
    });
    OffsetFetchResponseTopics {
        partitions: partitions.collect(),
        name: asked.name.clone(),
        topic_id: asked.topic_id,
    }
}

fn read_all(call: &Call<'_>, groups: &Groups, group: &str) -> Vec<OffsetFetchResponseTopics> {
    let topics = groups.positions(group).into_iter().filter_map(|(name, positions)| {
        let topic_id = match call.version {
            BY_ID.. => call.cluster.find(&name)?.id,
            _ => Uuid::ZERO,
        };
        let partitions = positions.iter().map(|(index, committed)| found(*index, committed)).collect();
        Some(OffsetFetchResponseTopics { name, topic_id, partitions })
    });
    topics.collect()
}

fn found(partition_index: i32, committed: &Committed) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: committed.offset,
        committed_leader_epoch: committed.leader_epoch,
        metadata: Some(committed.metadata.clone()),
        error_code: ErrorCode::NONE,
    }
}

fn missing(partition_index: i32, error_code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code,
    }
}

fn refused(version: i16, group: &OffsetFetchRequestGroup, error_code: ErrorCode) -> OffsetFetchResponseGroup {
    let group_id = group.group_id.clone();
    if version >= GROUP_ERROR {
        return OffsetFetchResponseGroup { group_id, error_code, ..Default::default() };
    }
    let topics = group.topics.iter().flatten().map(|topic| OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.iter().map(|&index| missing(index, error_code)).collect(),
    });
    OffsetFetchResponseGroup { group_id, topics: topics.collect(), ..Default::default() }
}

fn for_version(version: i16, mut groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    if version >= MANY {
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let OffsetFetchResponseGroup { topics, error_code, .. } = groups.pop().unwrap_or_default();
    let topics = topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(single).collect(),
    });
    OffsetFetchResponse { topics: topics.collect(), error_code, ..Default::default() }
}

fn single(partition: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    }
}
