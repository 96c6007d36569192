//! A log that is not the one that was read: its topic was deleted and created anew, its end was cut off by a leader that
//! knew less (KIP-320), or its beginning by retention.
//!
//! The rule is that no such thing passes in silence. Where the application said where to go on without a valid position
//! (`auto.offset.reset`), reading goes on there and the log tells why; where it said `none`, it gets an error.

use std::time::Instant;

use super::core::Core;
use super::fetch_buffer::{Event, Item};
use super::fetching::Asked;
use super::offsets::{LogEnd, Position};
use super::subscription::TopicPartition;
use crate::kafka::config::{ConsumerSettings, OffsetReset};
use crate::kafka::error::{Error, ErrorKind};
use crate::kafka::protocol::messages::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use crate::kafka::protocol::{ApiKey, ErrorCode, Uuid};

/// Asks new leaders where the records of the epochs end that were read last.
pub(super) fn check_request(asked: &[Asked]) -> OffsetForLeaderEpochRequest {
    let mut topics: Vec<OffsetForLeaderTopic> = Vec::new();
    for asked in asked {
        let partition = OffsetForLeaderPartition {
            partition: asked.partition.partition,
            current_leader_epoch: asked.leader_epoch,
            leader_epoch: asked.last_epoch,
        };
        match topics.iter_mut().find(|topic| topic.topic == *asked.partition.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => topics
                .push(OffsetForLeaderTopic { topic: asked.partition.topic.to_string(), partitions: vec![partition] }),
        }
    }
    OffsetForLeaderEpochRequest { replica_id: -1, topics }
}

impl Core {
    /// New leaders answered, or, without a response, cannot. Returns true if metadata is out of date.
    pub(super) fn checked(
        &mut self,
        node: i32,
        asked: Vec<Asked>,
        response: Option<&OffsetForLeaderEpochResponse>,
        now: Instant,
        settings: &ConsumerSettings,
    ) -> bool {
        let mut refresh = false;
        for asked in asked {
            let Some(response) = response else {
                self.proven(&asked, asked.last_epoch);
                continue;
            };
            let topic = response.topics.iter().find(|topic| topic.topic == *asked.partition.topic);
            let answer = topic
                .and_then(|topic| topic.partitions.iter().find(|answer| answer.partition == asked.partition.partition));
            let code = answer.map_or(ErrorCode::UNKNOWN_LEADER_EPOCH, |answer| answer.error_code);
            let found = answer.map(|answer| (answer.leader_epoch, answer.end_offset));
            if !code.is_ok() {
                refresh |= self.refused(ApiKey::OffsetForLeaderEpoch, &asked, code, now, settings);
                continue;
            }
            match found.filter(|(epoch, end)| *epoch >= 0 && *end >= 0) {
                Some((epoch, end)) if end >= asked.offset => self.proven(&asked, epoch),
                found => self.diverged(node, &asked, found, settings.auto_offset_reset),
            }
        }
        refresh
    }

    /// The leader's log holds what was read; the record before the offset is of this epoch there.
    fn proven(&mut self, asked: &Asked, epoch: i32) {
        let Some(held) = self.assignment.current(&asked.partition, asked.epoch) else { return };
        held.proven = held.proven.max(asked.leader_epoch);
        held.failures = 0;
        if held.fetch_epoch == asked.last_epoch {
            // A leader that wrote nothing leaves no trace of its epoch.
            held.fetch_epoch = held.fetch_epoch.min(epoch);
        }
    }

    /// What was read is not what the leader's log holds, which ends in the epoch and at the offset told, if they are.
    pub(super) fn diverged(&mut self, node: i32, asked: &Asked, found: Option<(i32, i64)>, policy: OffsetReset) {
        let partition = &asked.partition;
        if let Some((epoch, _)) = found.filter(|(_, end)| *end >= asked.offset) {
            return self.proven(asked, epoch);
        }
        let Some(held) = self.assignment.current(partition, asked.epoch) else { return };
        let Some(offset) = held.position.offset() else { return };
        if held.fetch_offset > offset {
            // What was fetched ahead may be all that is wrong: it is dropped, and the position itself is looked at.
            log::info!("{partition}: the log was cut off below offset {}; fetching from {offset} again", asked.offset);
            return self.give_way(partition);
        }
        let epoch = asked.last_epoch;
        let found = found.filter(|(epoch, end)| *epoch >= 0 && *end >= 0);
        let what = match found {
            Some((at, end)) => format!(
                "the log was cut off behind what was read: offset {offset} (leader epoch {epoch}) is beyond offset {end} \
                 (leader epoch {at}), where the new leader's log parted from the old one's"
            ),
            None => format!(
                "the log was cut off behind what was read: its leader knows nothing of leader epoch {epoch}, of which \
                 the record before offset {offset} was"
            ),
        };
        match (policy, found) {
            (OffsetReset::None, _) => {
                held.stopped = true;
                held.ended = true;
                let text = format!("{what}, and auto.offset.reset is none: seek to go on");
                let error = Error::new(ErrorKind::LogTruncation, text)
                    .with_partition(&*partition.topic, partition.partition)
                    .with_offset(offset);
                self.buffer.publish(partition, node, [Item::End(Event::Failed(error))]);
            }
            (_, Some((leader_epoch, end))) => {
                log::warn!("{partition}: {what}; going on there");
                self.assignment.relocate(partition, Position::At { offset: end, leader_epoch });
            }
            (policy, None) => {
                log::warn!("{partition}: {what}; going on at {policy:?}");
                self.assignment.relocate(partition, Position::reset(policy));
            }
        }
    }

    /// Reading goes on after a position that was not in the log.
    pub(super) fn resumed(&mut self, partition: &TopicPartition, lost: i64, end: LogEnd, offset: i64) {
        let passed = offset - lost;
        if passed <= 0 {
            log::warn!("{partition}: offset {lost} was behind the end of the log; going on at {offset}");
            return;
        }
        self.gone = self.gone.saturating_add(passed.unsigned_abs());
        let last = offset - 1;
        match end {
            LogEnd::Beginning => log::warn!("{partition}: {passed} records from {lost} to {last} are gone (retention)"),
            LogEnd::End => log::warn!(
                "{partition}: offset {lost} is gone (retention); with auto.offset.reset=latest the {passed} records from \
                 there to {last} are passed over"
            ),
        }
    }

    /// The topic of this name is another one now (KIP-516): a position in the old one means nothing in it.
    pub(super) fn recreated(&mut self, partition: &TopicPartition, new: Uuid, policy: OffsetReset) {
        let Some(held) = self.assignment.get_mut(partition) else { return };
        let old = std::mem::replace(&mut held.topic_id, new);
        held.former_topic_id = old;
        held.log_end = None;
        let position = held.position;
        let Some(offset) = position.offset() else {
            // Whatever is being asked for is asked of the new topic.
            self.assignment.relocate(partition, position);
            return;
        };
        self.buffer.remove(partition);
        self.assignment.relocate(partition, Position::reset(policy));
        if let Some(group) = &mut self.group {
            group.renewed(partition);
        }
        let what = format!("the topic was deleted and created anew (id {old}, now {new})");
        if policy != OffsetReset::None {
            log::warn!("{partition}: {what}: offset {offset} was one of the old topic; going on at {policy:?}");
            return;
        }
        if let Some(held) = self.assignment.get_mut(partition) {
            held.reported = true;
        }
        let text = format!(
            "{what}: this offset was one of the old topic, and auto.offset.reset is none: seek, or set auto.offset.reset \
             to earliest or latest"
        );
        let error = Error::new(ErrorKind::OffsetOutOfRange, text);
        self.errors.push_back(error.with_partition(&*partition.topic, partition.partition).with_offset(offset));
    }
}
