//! Fetching without a connection: what to ask a broker, what its answers change, and what gets into the buffer.
//!
//! A fetch passes through here three times: [`Core::plan`] chooses partitions and remembers that they are asked for;
//! [`scan`](super::answers::scan) and [`Core::note`] read batch headers and take over where to go on, so that the next request can leave;
//! [`Unprepared::prepare`](super::answers::Unprepared::prepare) does the expensive checks without the lock, and [`Core::publish`] hands the records to `poll`.
//! Compressed batches unfold to any size, so they wait in between for room in the buffer ([`Core::room`]).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::REFUSED_RETRY;
use super::answers::{Answer, Outcome, place};
use super::core::Core;
use super::fetch_buffer::{Event, Item};
use super::offsets::{LogEnd, Position};
use super::subscription::{Epoch, TopicPartition};
use crate::kafka::config::ConsumerSettings;
use crate::kafka::error::{Error, ErrorKind};
use crate::kafka::protocol::messages::ListOffsetsResponse;
use crate::kafka::protocol::{ApiKey, ErrorCode, Uuid};

/// A consumer whose replica cannot be reached reads from leaders for this long.
const AVOID_REPLICAS: Duration = Duration::from_secs(30);

/// So much is decompressed, give or take a batch, before it is asked again whether there is room.
pub(super) fn unfolded_at_once(settings: &ConsumerSettings) -> usize {
    settings.prefetch_bytes.min(1 << 20)
}

/// A partition as it stood when the broker was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub partition: TopicPartition,
    pub epoch: Epoch,
    /// Zero if not known.
    pub topic_id: Uuid,
    pub leader_epoch: i32,
    /// Where the fetch starts; not used when an end of the log is asked for.
    pub offset: i64,
    /// The epoch of the batch before it; -1 if not known.
    pub last_epoch: i32,
    pub max_bytes: i32,
}

/// What a fetcher is to do.
#[derive(Debug)]
pub(super) enum Work {
    /// Ask for ends of the log.
    List(Vec<(Asked, LogEnd)>),
    /// Ask whether the log holds what was read (KIP-320).
    Check(Vec<Asked>),
    /// Ask where logs end of which nothing was heard for long.
    Probe(Vec<Asked>),
    /// Ask for records, not many more than `max_bytes` in all.
    Fetch { asked: Vec<Asked>, max_bytes: i32 },
}

/// What a fetcher finds when it looks for work.
#[derive(Debug)]
pub(super) enum Plan {
    Do(Work),
    /// Nothing before this moment, or until something changes.
    Wait(Option<Instant>),
    /// This node is not asked for anything that is held.
    Useless,
}

impl Core {
    /// How many bytes may wait from each leader.
    pub fn share(&self, settings: &ConsumerSettings) -> usize {
        settings.prefetch_bytes / self.leaders.max(1)
    }

    /// What the fetcher of `node`, which has `pending` bytes that are not yet in the buffer, does next.
    pub fn plan(&mut self, node: i32, pending: usize, now: Instant, settings: &ConsumerSettings) -> Plan {
        let mut leads = false;
        let mut wake: Option<Instant> = None;
        let mut lists = Vec::new();
        let mut checks = Vec::new();
        let (mut probes, mut probe) = (Vec::new(), false);
        let mut fetches = Vec::new();
        for (partition, held) in self.assignment.iter() {
            let Some(leader) = held.leader else { continue };
            let asked = |offset| Asked {
                partition: partition.clone(),
                epoch: held.epoch,
                topic_id: held.topic_id,
                leader_epoch: leader.epoch,
                offset,
                last_epoch: held.fetch_epoch,
                max_bytes: held.max_bytes,
            };
            // Whoever is due takes along those that soon will be, so that it is one question every so often.
            if leader.node == node && held.is_silent(now, settings.stall_timeout.map(|limit| limit / 2)) {
                probe |= held.is_silent(now, settings.stall_timeout);
                probes.push(asked(-1));
            }
            if held.source(now) != Some(node) {
                if let Some((_, until)) = held.replica.filter(|_| leader.node == node) {
                    leads = true;
                    wake = Some(wake.map_or(until, |wake| wake.min(until)));
                }
                continue;
            }
            leads = true;
            if !held.askable(node, now) {
                // One that has passed is no time to wake up at: whoever holds the partition calls when it lets go.
                if let Some(moment) = held.not_before.filter(|moment| !held.stopped && now < *moment) {
                    wake = Some(wake.map_or(moment, |wake| wake.min(moment)));
                }
                continue;
            }
            match held.position {
                Position::End(end) => lists.push((asked(-1), end)),
                Position::At { .. } if !held.paused && held.is_doubtful() => checks.push(asked(held.fetch_offset)),
                Position::At { .. } if !held.paused => {
                    fetches.push((self.buffer.bytes(partition), held.asked_at, asked(held.fetch_offset)));
                }
                _ => {}
            }
        }
        if !leads {
            return Plan::Useless;
        }
        if !lists.is_empty() {
            return Plan::Do(Work::List(lists));
        }
        if !checks.is_empty() {
            return Plan::Do(Work::Check(checks));
        }
        if probe {
            return Plan::Do(Work::Probe(probes));
        }
        if fetches.is_empty() {
            return Plan::Wait(wake);
        }
        let share = self.share(settings);
        let request = share.div_ceil(2).clamp(1, settings.fetch_max_bytes.max(1) as usize);
        if self.buffer.bytes_from(node) + pending + request > share.max(request) && !self.drop_paused(node, pending) {
            return Plan::Wait(wake);
        }
        // A broker fills its answer in the order of the request: the emptiest first, and those that waited longest.
        fetches.sort_by_key(|(buffered, asked_at, _)| (*buffered, *asked_at));
        self.requests += 1;
        let asked: Vec<Asked> = fetches.into_iter().map(|(_, _, asked)| asked).collect();
        for asked in &asked {
            if let Some(held) = self.assignment.get_mut(&asked.partition) {
                held.hold(node);
            }
        }
        Plan::Do(Work::Fetch { asked, max_bytes: i32::try_from(request).unwrap_or(i32::MAX) })
    }

    /// When nothing but paused partitions fills the buffer, their records give way; they are fetched again later.
    fn drop_paused(&mut self, node: i32, pending: usize) -> bool {
        let from_node: Vec<TopicPartition> = self.buffer.partitions_from(node).cloned().collect();
        let paused =
            |core: &Self, partition: &TopicPartition| core.assignment.get(partition).is_none_or(|held| held.paused);
        if pending > 0 || from_node.is_empty() || !from_node.iter().all(|partition| paused(self, partition)) {
            return false;
        }
        from_node.iter().for_each(|partition| self.give_way(partition));
        true
    }

    /// Drops what is buffered of a partition, and fetches it again when its turn comes.
    pub(super) fn give_way(&mut self, partition: &TopicPartition) {
        self.buffer.remove(partition);
        if let Some(position) = self.assignment.get(partition).map(|held| held.position) {
            self.assignment.relocate(partition, position);
        }
    }

    /// Takes over from answers where to fetch on, before their records are looked at. Returns true if metadata is out
    /// of date.
    pub fn note(&mut self, node: i32, answers: &[Answer], now: Instant, settings: &ConsumerSettings) -> bool {
        let mut refresh = false;
        let requests = self.requests;
        self.heard.insert(node, now);
        for Answer { asked, outcome } in answers {
            let Some(held) = self.assignment.current(&asked.partition, asked.epoch) else { continue };
            match outcome {
                Outcome::Batches { next, epoch, failure, bytes, log, .. } => {
                    held.fetch_offset = *next;
                    held.fetch_epoch = *epoch;
                    held.proven = held.proven.max(asked.leader_epoch);
                    held.heard = Some(now);
                    held.log_end = Some(log.end).filter(|end| *end >= 0).or(held.log_end);
                    held.stopped |= failure.is_some();
                    held.failures = 0;
                    held.reported = false;
                    if *bytes > 0 {
                        held.asked_at = requests;
                    }
                    // It is released when the records are published.
                    continue;
                }
                Outcome::NoNews(log) => {
                    self.handed_on |= held.release();
                    held.heard.get_or_insert(now);
                    // The leader itself may have told of more meanwhile.
                    held.log_end = Some(log.end).filter(|end| *end >= 0).max(held.log_end);
                    held.failures = 0;
                    held.reported = false;
                }
                Outcome::TooShort => {
                    self.handed_on |= held.release();
                    let limit = i32::try_from(settings.client.receive_max_bytes / 2).unwrap_or(i32::MAX);
                    if held.max_bytes < limit {
                        held.max_bytes = held.max_bytes.saturating_mul(2).clamp(1, limit);
                        continue;
                    }
                    held.stopped = true;
                    held.ended = true;
                    let text =
                        format!("a record batch here is larger than {limit} bytes; raise receive.message.max.bytes");
                    let error = place(Error::new(ErrorKind::Config, text), asked);
                    self.buffer.publish(&asked.partition, node, [Item::End(Event::Failed(error))]);
                }
                Outcome::Missing => {
                    self.handed_on |= held.release();
                    held.not_before = Some(now + settings.client.retry_backoff);
                }
                Outcome::Redirected(replica) => {
                    self.handed_on |= held.release();
                    refresh |= self.redirected(asked, *replica, now, settings);
                }
                Outcome::Diverged(epoch, end) => {
                    self.handed_on |= held.release();
                    self.diverged(node, asked, Some((*epoch, *end)), settings.auto_offset_reset);
                }
                Outcome::Refused(ErrorCode::OFFSET_OUT_OF_RANGE) if held.is_read_from_replica(node) => {
                    held.release();
                    // It may be behind, so the leader decides.
                    log::debug!("{}: offset {} is not at replica {node}", asked.partition, asked.offset);
                    held.replica = None;
                    self.handed_on = true;
                }
                Outcome::Refused(ErrorCode::OFFSET_OUT_OF_RANGE) if asked.last_epoch >= 0 => {
                    self.handed_on |= held.release();
                    // Also the answer to an epoch that the broker knows nothing of: only the offset shall decide.
                    held.fetch_epoch = -1;
                }
                Outcome::Refused(ErrorCode::OFFSET_OUT_OF_RANGE) => {
                    self.handed_on |= held.release();
                    held.stopped = true;
                    held.ended = true;
                    let event = Event::OutOfRange(asked.offset);
                    self.buffer.publish(&asked.partition, node, [Item::End(event)]);
                }
                Outcome::Refused(code) => {
                    self.handed_on |= held.release();
                    if held.is_read_from_replica(node) {
                        held.replica = None;
                        self.handed_on = true;
                    }
                    refresh |= self.refused(ApiKey::Fetch, asked, *code, now, settings);
                }
            }
        }
        refresh
    }

    /// The leader sends this consumer to a replica. Returns true if metadata does not know it.
    fn redirected(&mut self, asked: &Asked, replica: i32, now: Instant, settings: &ConsumerSettings) -> bool {
        let known = self.metadata.brokers.contains_key(&replica);
        let Some(held) = self.assignment.current(&asked.partition, asked.epoch) else { return false };
        if !known || held.leader.is_none_or(|leader| leader.node == replica) {
            held.not_before = Some(now + settings.client.retry_backoff);
            return !known;
        }
        log::debug!("{}: reading from replica {replica}", asked.partition);
        held.replica = Some((replica, now + settings.client.metadata_max_age));
        self.handed_on = true;
        self.sources_changed = true;
        false
    }

    /// A broker cannot be reached: what it serves as a replica is asked of leaders again.
    pub fn leave_replica(&mut self, node: i32, now: Instant) {
        for (partition, held) in self.assignment.iter_mut().filter(|(_, held)| held.is_read_from_replica(node)) {
            log::debug!("{partition}: replica {node} cannot be reached; reading from the leader");
            held.replica = None;
            // Leaders do not know yet. As long as they are not told the rack, they answer themselves.
            self.avoid_replicas = Some(now + AVOID_REPLICAS);
            self.handed_on = true;
            self.sources_changed = true;
        }
    }

    /// What this partition was asked for is not coming.
    pub fn release(&mut self, asked: &Asked) {
        if let Some(held) = self.assignment.current(&asked.partition, asked.epoch) {
            self.handed_on |= held.release();
        }
    }

    /// The broker answered for this partition with an error code. Returns true if metadata is out of date.
    pub(super) fn refused(
        &mut self,
        api: ApiKey,
        asked: &Asked,
        code: ErrorCode,
        now: Instant,
        settings: &ConsumerSettings,
    ) -> bool {
        let Some(held) = self.assignment.current(&asked.partition, asked.epoch) else { return false };
        let error = || {
            let error = Error::broker_code(api, code, None);
            error.with_partition(&*asked.partition.topic, asked.partition.partition)
        };
        if code.is_refusal() {
            held.not_before = Some(now + REFUSED_RETRY);
            if !held.reported {
                held.reported = true;
                let error = error();
                self.errors.push_back(error);
            }
            return false;
        }
        if is_stale(code) && held.leader.is_some_and(|leader| leader.epoch > asked.leader_epoch) {
            // Metadata, or the answer itself, told meanwhile who leads now.
            log::debug!("{}: {api} was answered with {code}; asking the new leader", asked.partition);
            return true;
        }
        if passes(code) {
            let level = if held.failures == 0 { log::Level::Info } else { log::Level::Debug };
            log::log!(level, "{}: {api} was answered with {code}; trying again", asked.partition);
            let client = &settings.client;
            let doubled = client.retry_backoff.saturating_mul(1 << held.failures.min(16));
            held.not_before = Some(now + doubled.min(client.retry_backoff_max));
            held.failures += 1;
            return true;
        }
        held.stopped = true;
        held.ended = true;
        let error = error().with_offset(asked.offset.max(0));
        let node = held.leader.map_or(-1, |leader| leader.node);
        self.buffer.publish(&asked.partition, node, [Item::End(Event::Failed(error))]);
        true
    }

    /// Whether there is room to unfold more of an answer from `node`; None when nobody wants it any more.
    pub fn room(&mut self, node: i32, asked: &Asked, now: Instant, settings: &ConsumerSettings) -> Option<bool> {
        let paused = self.assignment.current(&asked.partition, asked.epoch)?.paused;
        let share = self.share(settings);
        let buffered = self.buffer.bytes_from(node);
        if buffered == 0 || buffered + unfolded_at_once(settings) <= share {
            return Some(true);
        }
        let askable = || self.assignment.iter().filter(|(_, held)| held.askable(node, now));
        // Somebody waits for an end of the log, which this fetcher is to ask for.
        if askable().any(|(_, held)| matches!(held.position, Position::End(_))) {
            return Some(true);
        }
        if !paused {
            return Some(self.drop_paused(node, 0));
        }
        // What is paused gives way only to those that have nothing left.
        if askable().any(|(partition, held)| !held.paused && self.buffer.bytes(partition) == 0) {
            self.give_way(&asked.partition);
            return None;
        }
        Some(false)
    }

    /// Puts records into the buffer, unless their time is over; `last` are the last ones of the answer. Returns whether
    /// `poll` has something to see.
    pub fn publish(&mut self, node: i32, asked: &Asked, items: Vec<Item>, last: bool) -> bool {
        let Some(held) = self.assignment.current(&asked.partition, asked.epoch) else { return false };
        if last {
            self.handed_on |= held.release();
        }
        if held.ended || items.is_empty() {
            return false;
        }
        if matches!(items.last(), Some(Item::End(_))) {
            held.stopped = true;
            held.ended = true;
        }
        self.buffer.publish(&asked.partition, node, items);
        true
    }

    /// The leader answered where its logs begin or end. Returns true if metadata is out of date.
    pub fn listed(
        &mut self,
        asked: Vec<(Asked, LogEnd)>,
        response: &ListOffsetsResponse,
        now: Instant,
        settings: &ConsumerSettings,
    ) -> bool {
        let mut answers = BTreeMap::new();
        for topic in &response.topics {
            for partition in &topic.partitions {
                answers.entry((topic.name.as_str(), partition.partition_index)).or_insert(partition);
            }
        }
        let mut refresh = false;
        for (asked, end) in asked {
            let answer = answers.get(&(&*asked.partition.topic, asked.partition.partition));
            match answer.map(|answer| (answer.error_code, answer.offset)) {
                Some((ErrorCode::NONE, offset @ 0..)) => {
                    let leader_epoch = answer.map_or(-1, |answer| answer.leader_epoch);
                    log::debug!("{}: starting at offset {offset}", asked.partition);
                    let lost = self.assignment.end_is(&asked.partition, asked.epoch, end, offset, leader_epoch);
                    if let Some(lost) = lost {
                        self.resumed(&asked.partition, lost, end, offset);
                    }
                }
                Some((ErrorCode::NONE, _)) | None => {
                    let code = ErrorCode::OFFSET_NOT_AVAILABLE;
                    refresh |= self.refused(ApiKey::ListOffsets, &asked, code, now, settings);
                }
                Some((code, _)) => {
                    refresh |= self.refused(ApiKey::ListOffsets, &asked, code, now, settings);
                }
            }
        }
        refresh
    }
}

/// Whether asking again makes sense. Kafka counts CORRUPT_MESSAGE as retriable, for producers; a log that is broken stays
/// so. An unknown server error passes more often than not.
pub(super) fn passes(code: ErrorCode) -> bool {
    let retriable = code.is_retriable() && code != ErrorCode::CORRUPT_MESSAGE;
    retriable || code == ErrorCode::UNKNOWN_SERVER_ERROR || is_stale(code)
}

/// Codes that only say that the leader, or what is known of it, changed.
fn is_stale(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
            | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::INCONSISTENT_TOPIC_ID
            | ErrorCode::REPLICA_NOT_AVAILABLE
    )
}

#[cfg(test)]
mod tests;
