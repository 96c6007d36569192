//! ListOffsets: offsets at the ends of a log, or for a time.

use std::collections::HashMap;

use super::super::call::{Call, Handler, Reply, Subject};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};

/// From this version on the answer has a leader epoch.
const KNOWS_EPOCH: i16 = 4;

/// Times that stand for a place.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// The log has no part elsewhere: all of it is local, nothing is tiered.
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Nothing is transactional, so they do not differ.
const ISOLATION_LEVELS: [i8; 2] = [0, 1];

impl Handler for ListOffsetsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<ListOffsetsResponse> {
        if !ISOLATION_LEVELS.contains(&self.isolation_level) {
            // As Kafka, which does not expect it.
            return Reply::Answer(self.refuse(call, ErrorCode::UNKNOWN_SERVER_ERROR));
        }
        let mut times: HashMap<(&str, i32), usize> = HashMap::new();
        for (topic, asked) in self.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one))) {
            *times.entry((&topic.name, asked.partition_index)).or_default() += 1;
        }
        let mut topics = Vec::new();
        for topic in &self.topics {
            let mut partitions = Vec::new();
            for asked in &topic.partitions {
                let index = asked.partition_index;
                let found = match times.remove(&(topic.name.as_str(), index)) {
                    // Asked for twice: refused, once.
                    None => continue,
                    Some(1) => find(call, &topic.name, asked),
                    Some(_) => Err(ErrorCode::INVALID_REQUEST),
                };
                partitions.push(found.unwrap_or_else(|code| failed(call, index, code)));
            }
            if !partitions.is_empty() {
                topics.push(ListOffsetsTopicResponse { name: topic.name.clone(), partitions });
            }
        }
        Reply::Answer(ListOffsetsResponse { topics, ..Default::default() })
    }

    fn refuse(&self, call: &Call<'_>, code: ErrorCode) -> ListOffsetsResponse {
        let topics = self.topics.iter().map(|topic| ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(|asked| failed(call, asked.partition_index, code)).collect(),
        });
        ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().map(|topic| topic.name.as_str()))
    }
}

fn find(
    call: &Call<'_>,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    if asked.timestamp < 0 && !known_place(asked.timestamp, call.version) {
        return Err(ErrorCode::UNSUPPORTED_VERSION);
    }
    let topic = call.cluster.topic(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = topic.partition(asked.partition_index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let state = partition.state();
    state.check_leader(call.node, asked.current_leader_epoch)?;
    let log = &state.log;
    let epoch = |offset: i64| if offset == log.end() { state.leader_epoch } else { log.epoch_at(offset) };
    let (offset, timestamp, leader_epoch) = match asked.timestamp {
        LATEST => (log.end(), -1, state.leader_epoch),
        EARLIEST | EARLIEST_LOCAL => (log.start(), -1, epoch(log.start())),
        MAX_TIMESTAMP => log.latest().unwrap_or((-1, -1, -1)),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => (-1, -1, -1),
        ..0 => return Err(ErrorCode::UNSUPPORTED_VERSION),
        time => log.first_at(time).unwrap_or((-1, -1, -1)),
    };
    Ok(told(call, asked.partition_index, offset, timestamp, leader_epoch))
}

/// Whether a version has this time that stands for a place.
fn known_place(time: i64, version: i16) -> bool {
    let since = match time {
        LATEST | EARLIEST => 0,
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        _ => return false,
    };
    version >= since
}

/// In the fields that the version has.
fn told(call: &Call<'_>, partition_index: i32, offset: i64, timestamp: i64, epoch: i32) -> ListOffsetsPartitionResponse {
    let answer = ListOffsetsPartitionResponse { partition_index, ..Default::default() };
    match call.version {
        0 => ListOffsetsPartitionResponse { old_style_offsets: vec![offset], ..answer },
        ..KNOWS_EPOCH => ListOffsetsPartitionResponse { offset, timestamp, ..answer },
        _ => ListOffsetsPartitionResponse { offset, timestamp, leader_epoch: epoch, ..answer },
    }
}

fn failed(call: &Call<'_>, partition_index: i32, error_code: ErrorCode) -> ListOffsetsPartitionResponse {
    let answer = ListOffsetsPartitionResponse { error_code, ..told(call, partition_index, -1, -1, -1) };
    ListOffsetsPartitionResponse { old_style_offsets: Vec::new(), ..answer }
}
