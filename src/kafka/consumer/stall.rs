//! No silent stop: partitions that bring nothing although their log goes on are noticed, named in the log, and asked for
//! anew.
//!
//! Whatever the cause (a fetch session of which a broker lost a part, a fetcher that waits for what never comes, a leader
//! that nobody told of), the sign is the same: the end of the log is beyond the position, nothing of the partition is in
//! the buffer, and it stays like this. The end is known from fetches, and where those are silent from ListOffsets, which
//! the leader is asked every so often. The cure is the same, too: a new stay at the partition, so that nothing of the past
//! counts; a new connection to its leader, and with it a new session; new metadata.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::core::{Core, Shared};
use super::fetching::Asked;
use super::offsets::LogEnd;
use super::subscription::{Held, TopicPartition};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::ListOffsetsResponse;

/// A partition that stays silent is asked for anew less and less often, up to this much.
const LONGEST: Duration = Duration::from_secs(3600);

/// When the application's thread looks after stalled partitions.
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Option<Instant>,
}

/// A partition that brings nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quiet {
    position: i64,
    since: Instant,
    /// How often it was asked for anew.
    tries: u32,
}

impl Quiet {
    fn limit(&self, limit: Duration) -> Duration {
        limit.saturating_mul(1 << self.tries.min(16)).min(LONGEST.max(limit))
    }
}

impl Shared {
    /// Looks after partitions that have stalled; costs a comparison as long as it is too early for that.
    pub fn watch(&self, core: &mut Core, now: Instant) {
        let Some(limit) = self.settings.stall_timeout else { return };
        let pause = (limit / 8).min(Duration::from_secs(1));
        let last = core.watch.last.unwrap_or(now);
        if core.watch.last.is_some() && now < last + pause {
            return;
        }
        core.watch.last = Some(now);
        // After a time without polls nothing is known of what would have come meanwhile.
        let away = now.saturating_duration_since(last) > pause.saturating_mul(4);
        let stalled = core.stalled(now, limit, self.settings.prefetch_bytes, away);
        if stalled.is_empty() {
            return;
        }
        for node in core.start_anew(&stalled, now) {
            if let Some(fetcher) = core.fetchers.get(&node) {
                fetcher.interrupt();
            }
        }
        self.start_fetchers(core);
        self.fetch.notify_all();
        self.cluster.request_refresh();
    }
}

impl Core {
    /// The partitions that have brought nothing for too long.
    pub(super) fn stalled(
        &mut self,
        now: Instant,
        limit: Duration,
        prefetch: usize,
        away: bool,
    ) -> Vec<TopicPartition> {
        let share = prefetch / self.leaders.max(1);
        let mut stalled = Vec::new();
        for (partition, held) in self.assignment.iter_mut() {
            let position = held.position.offset().filter(|_| !held.paused && !held.stopped && !away);
            let in_trouble = held.failures > 0 || held.reported;
            let behind = |position: i64| match held.log_end {
                Some(end) => held.leader.is_none() || end > position,
                // Nothing was ever heard of it, not even an error.
                None => !in_trouble,
            };
            let room = || {
                let source = held.source(now);
                source.is_none_or(|node| self.buffer.bytes_from(node) < share)
            };
            let Some(position) = position.filter(|at| behind(*at) && !self.buffer.holds(partition) && room()) else {
                held.quiet = None;
                continue;
            };
            let quiet = held.quiet.filter(|quiet| quiet.position == position);
            let quiet = held.quiet.insert(quiet.unwrap_or(Quiet { position, since: now, tries: 0 }));
            if now.saturating_duration_since(quiet.since) >= quiet.limit(limit) {
                stalled.push(partition.clone());
            }
        }
        stalled
    }

    /// Begins a new stay at these partitions. Returns the nodes that were asked for them.
    pub(super) fn start_anew(&mut self, stalled: &[TopicPartition], now: Instant) -> BTreeSet<i32> {
        let mut nodes = BTreeSet::new();
        for partition in stalled {
            let Some(held) = self.assignment.get(partition) else { continue };
            let Some(quiet) = held.quiet else { continue };
            log::warn!("{partition}: {}", self.seen(held, quiet, now));
            self.stalls += 1;
            nodes.extend(held.source(now).into_iter().chain(held.holder.map(|(node, _)| node)));
            let position = held.position;
            self.assignment.relocate(partition, position);
            if let Some(held) = self.assignment.get_mut(partition) {
                held.replica = None;
                held.quiet = Some(Quiet { since: now, tries: quiet.tries + 1, ..quiet });
            }
        }
        nodes
    }

    /// What there is to see of a stalled partition.
    fn seen(&self, held: &Held, quiet: Quiet, now: Instant) -> String {
        let age = |moment: Instant| format!("{} ms", now.saturating_duration_since(moment).as_millis());
        let since = age(quiet.since);
        let position = quiet.position;
        let Some(leader) = held.leader else {
            return format!("nothing arrives for {since}: it has no leader; position {position}");
        };
        let end = held.log_end.map_or_else(|| "unknown".to_owned(), |end| end.to_string());
        let source = held.source(now).unwrap_or(leader.node);
        let fetcher = match held.holder {
            _ if !self.fetchers.contains_key(&source) => "nobody fetches from it".to_owned(),
            Some((node, owed)) => format!("broker {node} owes {owed} answers"),
            None => "no fetch is under way".to_owned(),
        };
        let heard = match self.heard.get(&source) {
            Some(moment) => format!("its last answer came {} ago", age(*moment)),
            None => "it never answered".to_owned(),
        };
        let again = if quiet.tries == 0 { "" } else { ", again" };
        format!(
            "nothing arrives for {since} although the log goes on: position {position}, end {end}, leader {} in epoch {}, \
             read from broker {source}; {fetcher}, {heard}; connecting anew{again}",
            leader.node, leader.epoch
        )
    }

    /// The leader answered where the logs of silent partitions end.
    pub(super) fn probed(&mut self, asked: &[(Asked, LogEnd)], response: &ListOffsetsResponse, now: Instant) -> bool {
        let mut refresh = false;
        for (asked, _) in asked {
            let Some(held) = self.assignment.current(&asked.partition, asked.epoch) else { continue };
            held.heard = Some(now);
            let topic = response.topics.iter().find(|topic| topic.name == *asked.partition.topic);
            let index = asked.partition.partition;
            let answer = topic.and_then(|topic| topic.partitions.iter().find(|found| found.partition_index == index));
            match answer.map(|answer| (answer.error_code, answer.offset)) {
                Some((ErrorCode::NONE, end @ 0..)) => held.log_end = held.log_end.max(Some(end)),
                // Fetching meets the same error, and deals with it.
                _ => refresh = true,
            }
        }
        refresh
    }
}

impl Held {
    /// Whether nothing was heard of its log for so long that its leader is to be asked where it ends.
    pub fn is_silent(&self, now: Instant, limit: Option<Duration>) -> bool {
        let reads = self.position.offset().is_some() && !self.paused && !self.stopped && !self.is_doubtful();
        let heard = self.heard.zip(limit).filter(|_| reads);
        heard.is_some_and(|(heard, limit)| now.saturating_duration_since(heard) >= limit)
    }
}
