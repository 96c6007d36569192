//! The consumer: topics shared out by a group, or partitions of one's own choice, read from a position on.
//!
//! | file | holds |
//! | --- | --- |
//! | `subscription.rs` | what was asked for, what is held, and the epochs that tell late answers from present ones |
//! | `offsets.rs` | positions: committed, reset, advanced |
//! | `lookup.rs` | offsets that the application asks for: ends of a log, and by time |
//! | `core.rs` | what the threads share, behind one lock |
//! | `fetcher.rs`, `fetching.rs` | a thread per leader that fetches ahead; what it asks and what answers mean |
//! | `session.rs` | what a broker knows of what is asked (KIP-227) |
//! | `stall.rs` | partitions that bring nothing although their log goes on |
//! | `truncation.rs` | logs that are not the ones that were read |
//! | `answers.rs` | what an answer to a fetch holds, read in two steps |
//! | `aborted.rs` | which batches belong to aborted transactions |
//! | `fetch_buffer.rs`, `records.rs` | what was fetched; what `poll` hands over of it |
//! | `group/` | membership, heartbeats, commits (the coordinator thread), joins (the join thread) |
//! | `assignor/` | how a leader shares partitions out |
//!
//! Non-obvious: the application learns of revoked and assigned partitions inside `poll` only, on its own thread.
//! Nothing is committed that it did not ask for, by a call or by `enable.auto.commit`. A position moves when records are handed over.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use crate::clock::Deadline;
use crate::kafka::cluster::Cluster;
use crate::kafka::config::{Config, names};
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::protocol::Uuid;
use core::{Core, Shared};
use group::membership::Step;
use group::{Callback, Group, expired};
use offsets::{Committed, LogEnd, Position};
pub(crate) use subscription::Listed;
use subscription::{Pattern, Subscription};

mod aborted;
mod answers;
mod assignor;
mod core;
mod fetch_buffer;
mod fetcher;
mod fetching;
mod group;
mod lookup;
mod offsets;
mod records;
mod session;
mod stall;
mod subscription;
mod truncation;

/// A refusal that only an administrator can lift is tried again after this long.
const REFUSED_RETRY: Duration = Duration::from_secs(10);

#[doc(hidden)]
pub use assignor::judged;
pub use lookup::OffsetAndTimestamp;
pub use records::{ConsumerRecord, Records, RecordsIter};
pub use subscription::TopicPartition;

/// What a rebalance does to a consumer; told to the listener of [`Consumer::subscribe_with`] inside
/// [`poll`](Consumer::poll) and [`close`](Consumer::close).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebalance {
    /// These partitions are about to go to others. They are still held: this is the moment to commit. With the eager
    /// assignors that is everything, with the cooperative ones and `group.protocol=consumer` only what really goes.
    Revoked(Vec<TopicPartition>),
    /// These partitions were assigned, besides those that stayed; none if only others' changed. No record of them has
    /// been handed over yet: this is the moment to seek.
    Assigned(Vec<TopicPartition>),
    /// These partitions were held and may belong to others already, because membership ended: by `session.timeout.ms`,
    /// `max.poll.interval.ms`, or another member with the same `group.instance.id`. Commits for them fail.
    Lost(Vec<TopicPartition>),
}

type Listener = Box<dyn FnMut(&mut Consumer, &Rebalance) + Send>;

/// Reads records from Kafka.
///
/// With [`subscribe`](Self::subscribe) the members of a group (`group.id`) share the partitions of the topics; with
/// [`assign`](Self::assign) a consumer reads the partitions it names. Either way [`poll`](Self::poll) hands over
/// records, which threads of the consumer fetch ahead, and must be called again within `max.poll.interval.ms`. Offsets
/// are committed by the commit calls, and by `poll` and `close` only if `enable.auto.commit` says so.
///
/// ```no_run
/// use std::time::Duration;
/// # use krs::kafka::consumer::Consumer;
/// # fn main() -> krs::Result<()> {
/// let config = krs::Config::new().set("bootstrap.servers", "localhost:9092")?.set("group.id", "readers")?;
/// let mut consumer = Consumer::connect(&config)?;
/// consumer.subscribe(["greetings"])?;
/// loop {
///     for record in &consumer.poll(Duration::from_millis(100))? {
///         println!("{}-{}@{} {:?}", record.topic(), record.partition(), record.offset(), record.value());
///     }
///     consumer.commit()?;
/// }
/// # }
/// ```
///
/// Dropping it without [`close`](Self::close) waits for nothing and tells the group nothing: its partitions are free
/// after `session.timeout.ms`.
pub struct Consumer {
    shared: Arc<Shared>,
    /// Out while it is being called.
    listener: Option<Listener>,
    in_listener: bool,
    /// While closing: what calls of the listener must keep to.
    limit: Option<Deadline>,
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.shared.lock();
        f.debug_struct("Consumer")
            .field("group", &self.shared.settings.group_id)
            .field("subscription", &core.subscription)
            .field("assignment", &core.assignment.list())
            .finish_non_exhaustive()
    }
}

impl Consumer {
    /// A consumer with these properties, once a broker was reached.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for wrong properties; [`ErrorKind::Unreachable`] or [`ErrorKind::Refused`] if no broker
    /// could be used, with what happened at each.
    pub fn connect(config: &Config) -> Result<Self> {
        let settings = config.consumer()?;
        let cluster = Cluster::start(Arc::clone(&settings.client))?;
        let shared = Shared::new(settings, cluster);
        Ok(Self { shared, listener: None, in_listener: false, limit: None })
    }

    /// Joins the group of `group.id` and reads its share of these topics, in place of those before. A topic that does
    /// not exist yet is waited for. Joining happens in the calls of [`poll`](Self::poll) that follow.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without `group.id` or for an impossible name; [`ErrorKind::State`] while partitions are
    /// [assigned](Self::assign) by hand.
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item = impl AsRef<str>>) -> Result<()> {
        self.set_topics(topics)?;
        self.listener = None;
        Ok(())
    }

    /// The same, with a listener that is told of every rebalance, on the thread that calls [`poll`](Self::poll) or
    /// [`close`](Self::close). It may commit and seek, but not poll. The time it takes counts against
    /// `max.poll.interval.ms`.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_with(
        &mut self,
        topics: impl IntoIterator<Item = impl AsRef<str>>,
        listener: impl FnMut(&mut Consumer, &Rebalance) + Send + 'static,
    ) -> Result<()> {
        self.set_topics(topics)?;
        self.listener = Some(Box::new(listener));
        Ok(())
    }

    /// Joins the group of `group.id` and reads its share of all topics whose whole name matches this regular expression,
    /// but for Kafka's internal ones. Topics that come later join in when metadata is next refreshed, after
    /// `metadata.max.age.ms` at the latest. The syntax is that of the crate `regex-lite`, matching takes linear time.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is no regular expression; as [`subscribe`](Self::subscribe) otherwise.
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<()> {
        self.set_pattern(pattern)?;
        self.listener = None;
        Ok(())
    }

    /// The same, with a listener as [`subscribe_with`](Self::subscribe_with) has.
    ///
    /// # Errors
    /// As [`subscribe_pattern`](Self::subscribe_pattern).
    pub fn subscribe_pattern_with(
        &mut self,
        pattern: &str,
        listener: impl FnMut(&mut Consumer, &Rebalance) + Send + 'static,
    ) -> Result<()> {
        self.set_pattern(pattern)?;
        self.listener = Some(Box::new(listener));
        Ok(())
    }

    fn set_pattern(&mut self, pattern: &str) -> Result<()> {
        let pattern = Pattern::new(pattern)?;
        let shared = Arc::clone(&self.shared);
        let mut core = subscribable(&shared)?;
        core.pattern = Some(pattern);
        if !matches!(core.subscription, Subscription::Topics(_)) {
            core.subscription = Subscription::Topics(BTreeSet::new());
        }
        group(&mut core)?.membership.polling(false, Instant::now());
        shared.cluster.track_all(true);
        shared.follow_metadata(&mut core);
        Ok(())
    }

    fn set_topics(&mut self, topics: impl IntoIterator<Item = impl AsRef<str>>) -> Result<()> {
        let topics: BTreeSet<String> = topics.into_iter().map(|topic| topic.as_ref().to_owned()).collect();
        for topic in &topics {
            names::check_topic(topic)?;
        }
        if topics.is_empty() {
            return Err(Error::config("subscribe needs at least one topic; unsubscribe ends a subscription"));
        }
        let shared = Arc::clone(&self.shared);
        let mut core = subscribable(&shared)?;
        if core.pattern.take().is_some() {
            shared.cluster.track_all(false);
        }
        shared.cluster.track(topics.iter().map(String::as_str));
        let subscription = Subscription::Topics(topics);
        if core.subscription != subscription {
            core.subscription = subscription;
            let Core { subscription: Subscription::Topics(topics), group: Some(group), .. } = &mut *core else {
                return Ok(());
            };
            group.membership.polling(false, Instant::now());
            group.membership.subscribe(topics, Instant::now());
            shared.interrupt_join(&core);
        }
        shared.follow_metadata(&mut core);
        Ok(())
    }

    /// Reads exactly these partitions, without sharing. Partitions that were assigned before keep their position; new
    /// ones start where the group (`group.id`) last committed, or where `auto.offset.reset` says. An empty list is
    /// [`unsubscribe`](Self::unsubscribe).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an impossible name; [`ErrorKind::State`] while subscribed to topics.
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        for partition in partitions {
            names::check_topic(&partition.topic)?;
            if partition.partition < 0 {
                return Err(Error::config(format!("{partition} is not a partition: they count from 0")));
            }
        }
        if partitions.is_empty() {
            return self.unsubscribe();
        }
        let shared = Arc::clone(&self.shared);
        let mut core = usable(&shared)?;
        if matches!(core.subscription, Subscription::Topics(_)) {
            return Err(Error::state("subscribed to topics: unsubscribe before assigning partitions by hand"));
        }
        core.subscription = Subscription::Partitions;
        core.commit_all_soon(&shared);
        for gone in core.assignment.list().iter().filter(|held| !partitions.contains(held)) {
            core.assignment.remove(gone);
            core.buffer.remove(gone);
        }
        let start = if core.group.is_some() {
            shared.start_group(&mut core)?;
            Position::Committed
        } else {
            core.check_unset = true;
            Position::reset(shared.settings.auto_offset_reset)
        };
        for partition in partitions {
            core.assignment.add(partition.clone(), start);
        }
        if let Some(group) = &mut core.group {
            group.assigned(partitions);
        }
        shared.cluster.track(partitions.iter().map(|partition| &*partition.topic));
        shared.follow_metadata(&mut core);
        Ok(())
    }

    /// Ends the subscription or assignment and leaves the group. Partitions held are let go without telling the
    /// listener.
    ///
    /// # Errors
    /// [`ErrorKind::State`] once the consumer is closed.
    pub fn unsubscribe(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        drop(usable(&shared)?);
        self.commit_finished();
        let mut core = shared.lock();
        core.subscription = Subscription::Nothing;
        if core.pattern.take().is_some() {
            shared.cluster.track_all(false);
        }
        core.drop_partitions();
        if let Some(group) = &mut core.group {
            group.leave(Instant::now());
        }
        shared.interrupt_join(&core);
        drop(core);
        shared.wake_all();
        if !self.in_listener {
            self.listener = None;
        }
        Ok(())
    }

    /// Hands over records: as soon as there are any, and after `timeout` without any at the latest. At most
    /// `max.poll.records`. Never waits for a broker longer than that, but for the commit of what is given up with
    /// `enable.auto.commit`; a zero timeout only looks.
    ///
    /// Joining the group and rebalances happen in here, so the listener of
    /// [`subscribe_with`](Self::subscribe_with) is called in here, and takes the time it takes.
    ///
    /// # Errors
    /// What needs the application's attention, each once; the next call goes on. Among them:
    /// [`ErrorKind::Corrupt`], with the partition and the offset where it stopped, while others go on;
    /// [`ErrorKind::OffsetOutOfRange`] and [`ErrorKind::LogTruncation`] with `auto.offset.reset=none`;
    /// [`ErrorKind::Refused`] for missing rights;
    /// [`ErrorKind::State`] without subscription.
    pub fn poll(&mut self, timeout: Duration) -> Result<Records> {
        if self.in_listener {
            return Err(Error::state("poll cannot be called by the listener of a rebalance"));
        }
        let started = Instant::now();
        let deadline = started.checked_add(timeout);
        let shared = Arc::clone(&self.shared);
        let mut core = usable(&shared)?;
        if core.subscription == Subscription::Nothing {
            return Err(Error::state("nothing to poll: subscribe to topics or assign partitions first"));
        }
        enter(&mut core, true, started);
        // What earlier polls returned is finished: the application is back for more.
        core.commit_now_and_then(&shared, started);
        let mut now = started;
        let outcome = loop {
            if let Some(error) = core.errors.pop_front() {
                break Err(error);
            }
            if let Some(group) = &mut core.group {
                let settled = group.settled();
                if !settled.is_empty() {
                    drop(core);
                    answer(settled);
                    core = shared.lock();
                    continue;
                }
            }
            match step(&mut core, now) {
                None => {}
                Some(Step::Fail(error)) => break Err(error),
                Some(step) => {
                    enter(&mut core, false, now);
                    drop(core);
                    let followed = self.follow(step);
                    core = shared.lock();
                    now = Instant::now();
                    enter(&mut core, true, now);
                    if let Err(error) = followed {
                        break Err(error);
                    }
                    continue;
                }
            }
            shared.watch(&mut core, now);
            match core.take(&shared, shared.settings.max_poll_records) {
                Err(error) => break Err(error),
                Ok(taken) if taken.count > 0 => break Ok(Records::new(taken.runs, taken.count)),
                Ok(_) => {}
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                break Ok(Records::default());
            }
            let due = core.group.as_ref().and_then(|group| group.membership.step_due());
            core = shared.sleep(&shared.app, core, deadline.into_iter().chain(due).min());
            now = Instant::now();
        };
        enter(&mut core, false, now);
        outcome
    }

    /// Does what membership asks for, without the lock.
    fn follow(&mut self, step: Step) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        match step {
            Step::Revoke(partitions) => {
                log::debug!("group {}: giving up {}", self.group_id(), Listed(&partitions));
                self.commit_finished();
                self.tell(&Rebalance::Revoked(partitions.clone()));
                let mut core = shared.lock();
                for partition in &partitions {
                    core.assignment.remove(partition);
                    core.buffer.remove(partition);
                }
                if let Some(group) = &mut core.group {
                    group.revoked(&partitions);
                }
                core.given_up.extend(partitions);
                shared.follow_metadata(&mut core);
            }
            Step::Lose => {
                let partitions = shared.lock().assignment.list();
                log::warn!("group {}: lost {}", self.group_id(), Listed(&partitions));
                self.tell(&Rebalance::Lost(partitions));
                let mut core = shared.lock();
                core.given_up = core.assignment.list();
                core.drop_partitions();
                if let Some(group) = &mut core.group {
                    group.membership.let_go();
                }
            }
            Step::Report => {
                // A topic without a name is one that the metadata at hand does not have yet.
                shared.cluster.request_refresh();
                shared.coordinator.notify_all();
            }
            Step::Join(attempt) => {
                let mut core = shared.lock();
                if let Some(group) = &mut core.group {
                    group.order_join(attempt);
                }
                drop(core);
                shared.coordinator.notify_all();
                shared.join.notify_all();
            }
            Step::Assign(partitions) => {
                let mut core = shared.lock();
                for partition in &partitions {
                    core.assignment.add(partition.clone(), Position::Committed);
                }
                if let Some(group) = &mut core.group {
                    group.assigned(&partitions);
                }
                shared.cluster.track(partitions.iter().map(|partition| &*partition.topic));
                shared.follow_metadata(&mut core);
                core.tell_rebalanced(self.group_id(), &partitions);
                drop(core);
                shared.coordinator.notify_all();
                self.tell(&Rebalance::Assigned(partitions));
            }
            Step::Fail(error) => return Err(error),
        }
        Ok(())
    }

    fn group_id(&self) -> &str {
        self.shared.settings.group_id.as_deref().unwrap_or_default()
    }

    /// With `enable.auto.commit`: commits what `poll` returned before, if anything is held, because it is let go now.
    fn commit_finished(&self) {
        if self.shared.settings.auto_commit.is_some()
            && !self.shared.lock().assignment.is_empty()
            && let Err(error) = self.commit()
        {
            log::warn!("group {}: what was read last is not committed: {error}", self.group_id());
        }
    }

    /// Calls the listener, if there is one. It may replace itself by subscribing anew.
    fn tell(&mut self, event: &Rebalance) {
        let Some(mut listener) = self.listener.take() else { return };
        self.in_listener = true;
        listener(self, event);
        self.in_listener = false;
        self.listener.get_or_insert(listener);
    }

    /// Commits the positions of all partitions held, and waits until the group has them: everything that was handed
    /// over counts as processed. Waits up to `default.api.timeout.ms`.
    ///
    /// # Errors
    /// [`ErrorKind::State`] or [`ErrorKind::Broker`] if this consumer is no longer the one to commit: membership was
    /// lost, or the group is rebalancing. [`ErrorKind::Timeout`] with the last obstacle. [`ErrorKind::Config`] without
    /// `group.id`.
    pub fn commit(&self) -> Result<()> {
        let offsets = self.shared.lock().assignment.positions();
        self.commit_and_wait(offsets)
    }

    /// Commits these offsets, each the next one to read, and waits as [`commit`](Self::commit) does.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); [`ErrorKind::Config`] for a negative offset.
    pub fn commit_offsets(&self, offsets: &[(TopicPartition, i64)]) -> Result<()> {
        let mut commit = Vec::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            check_offset(partition, *offset)?;
            commit.push((partition.clone(), Committed { offset: *offset, leader_epoch: -1 }));
        }
        self.commit_and_wait(commit)
    }

    fn commit_and_wait(&self, offsets: Vec<(TopicPartition, Committed)>) -> Result<()> {
        let until = self.api_deadline();
        let mut core = usable(&self.shared)?;
        let group = group(&mut core)?;
        if offsets.is_empty() {
            return group.membership.committer().map(|_| ());
        }
        let ticket = group.commit(offsets, until)?;
        self.shared.start_group(&mut core)?;
        self.shared.coordinator.notify_all();
        let outcome = loop {
            let Some(group) = &mut core.group else { break Ok(()) };
            if let Some(outcome) = group.commit_answer(ticket) {
                break outcome;
            }
            if until.passed(Instant::now()) {
                let obstacle = group.forget_commit(ticket);
                break Err(expired(&until, obstacle.as_ref()));
            }
            core = self.shared.sleep(&self.shared.app, core, Some(until.at));
        };
        drop(core);
        self.answer_callbacks();
        outcome
    }

    /// Commits the positions of all partitions held, without waiting. Commits arrive in the order in which they were
    /// made; while one is under way, those made meanwhile become one. A failure is logged.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without `group.id`; [`ErrorKind::State`] once the consumer is closed.
    pub fn commit_async(&self) -> Result<()> {
        self.commit_later(None)
    }

    /// The same, with a callback for the outcome. It is called by a later [`poll`](Self::poll),
    /// [`commit`](Self::commit) or [`close`](Self::close), on the thread that makes that call.
    ///
    /// # Errors
    /// As [`commit_async`](Self::commit_async); the callback is not called then.
    pub fn commit_async_with(&self, callback: impl FnOnce(Result<()>) + Send + 'static) -> Result<()> {
        self.commit_later(Some(Box::new(callback)))
    }

    fn commit_later(&self, callback: Option<Callback>) -> Result<()> {
        let until = self.api_deadline();
        let mut core = usable(&self.shared)?;
        let offsets = core.assignment.positions();
        group(&mut core)?.commit_async(offsets, until, callback);
        self.shared.start_group(&mut core)?;
        drop(core);
        self.shared.coordinator.notify_all();
        Ok(())
    }

    /// Reads on at `offset` in this partition, which must be held. What was fetched of it before is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if the partition is not held; [`ErrorKind::Config`] for a negative offset.
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<()> {
        check_offset(partition, offset)?;
        self.relocate(std::slice::from_ref(partition), Position::At { offset, leader_epoch: -1 })
    }

    /// Reads on at the first record that there is in each of these partitions; all that are held if none is named.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if one of them is not held.
    pub fn seek_to_beginning(&self, partitions: &[TopicPartition]) -> Result<()> {
        self.relocate(partitions, Position::End(LogEnd::Beginning))
    }

    /// Reads on behind the last record that there is in each of these partitions; all that are held if none is named.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if one of them is not held.
    pub fn seek_to_end(&self, partitions: &[TopicPartition]) -> Result<()> {
        self.relocate(partitions, Position::End(LogEnd::End))
    }

    fn relocate(&self, partitions: &[TopicPartition], position: Position) -> Result<()> {
        let mut core = usable(&self.shared)?;
        for partition in partitions {
            core.must_hold(partition)?;
        }
        let all = if partitions.is_empty() { core.assignment.list() } else { partitions.to_vec() };
        for partition in &all {
            core.assignment.relocate(partition, position);
            core.buffer.remove(partition);
        }
        drop(core);
        self.shared.fetch.notify_all();
        Ok(())
    }

    /// Hands over no more records of these partitions until they are [resumed](Self::resume) or revoked.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if one of them is not held.
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, true)
    }

    /// Takes up paused partitions again, where they were.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if one of them is not held.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, false)
    }

    fn set_paused(&self, partitions: &[TopicPartition], paused: bool) -> Result<()> {
        let mut core = usable(&self.shared)?;
        for partition in partitions {
            core.must_hold(partition)?;
        }
        for partition in partitions {
            if let Some(held) = core.assignment.get_mut(partition) {
                held.paused = paused;
            }
        }
        drop(core);
        self.shared.fetch.notify_all();
        Ok(())
    }

    /// The partitions that are paused.
    pub fn paused(&self) -> Vec<TopicPartition> {
        let core = self.shared.lock();
        core.assignment.iter().filter(|(_, held)| held.paused).map(|(partition, _)| partition.clone()).collect()
    }

    /// The partitions held, in order.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.lock().assignment.list()
    }

    /// The offset of the next record to be handed over. Waits up to `default.api.timeout.ms` while it is still being
    /// asked for.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if the partition is not held; [`ErrorKind::OffsetOutOfRange`] if it has no position;
    /// [`ErrorKind::Timeout`].
    pub fn position(&self, partition: &TopicPartition) -> Result<i64> {
        let until = self.api_deadline();
        let mut core = usable(&self.shared)?;
        loop {
            core.must_hold(partition)?;
            match core.assignment.get(partition).map(|held| held.position) {
                Some(Position::At { offset, .. }) => return Ok(offset),
                Some(Position::Unset) => return Err(offsets::no_position(partition)),
                _ if until.passed(Instant::now()) => {
                    return Err(Error::timeout(&until, format_args!("looking up the position in {partition}")));
                }
                _ => core = self.shared.sleep(&self.shared.app, core, Some(until.at)),
            }
        }
    }

    /// The offset of the next record to be handed over, if it is known. Asks nobody.
    #[cfg(feature = "services")]
    pub(crate) fn known_position(&self, partition: &TopicPartition) -> Option<i64> {
        match self.shared.lock().assignment.get(partition)?.position {
            Position::At { offset, .. } => Some(offset),
            _ => None,
        }
    }

    /// What the group has committed for these partitions, in their order; none where nothing is committed. Asks the
    /// coordinator, for up to `default.api.timeout.ms`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without `group.id`; [`ErrorKind::Timeout`]; whatever the coordinator refuses.
    pub fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>> {
        let until = self.api_deadline();
        let mut core = usable(&self.shared)?;
        let ticket = group(&mut core)?.look_up(partitions.to_vec());
        self.shared.start_group(&mut core)?;
        self.shared.coordinator.notify_all();
        loop {
            let group = group(&mut core)?;
            if let Some(answer) = group.lookup_answer(ticket) {
                return answer;
            }
            if until.passed(Instant::now()) {
                group.forget_lookup(ticket);
                return Err(Error::timeout(&until, "asking for committed offsets"));
            }
            core = self.shared.sleep(&self.shared.app, core, Some(until.at));
        }
    }

    /// The first offset that there is in each of these partitions, in their order. They need not be held. Asks their
    /// leaders, for up to `default.api.timeout.ms`.
    ///
    /// # Errors
    /// [`ErrorKind::Broker`] if one does not exist; [`ErrorKind::Refused`] without the right to describe it;
    /// [`ErrorKind::Timeout`] with the last obstacle.
    pub fn beginning_offsets(&self, partitions: &[TopicPartition]) -> Result<Vec<i64>> {
        self.end_of_each(partitions, LogEnd::Beginning)
    }

    /// The offset behind the last record of each of these partitions, in their order: the high watermark, or, with
    /// `isolation.level=read_committed`, the last stable offset. Otherwise as
    /// [`beginning_offsets`](Self::beginning_offsets).
    ///
    /// # Errors
    /// As [`beginning_offsets`](Self::beginning_offsets).
    pub fn end_offsets(&self, partitions: &[TopicPartition]) -> Result<Vec<i64>> {
        self.end_of_each(partitions, LogEnd::End)
    }

    fn end_of_each(&self, partitions: &[TopicPartition], end: LogEnd) -> Result<Vec<i64>> {
        let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), end.timestamp())).collect();
        Ok(self.list_offsets(&wanted)?.into_iter().map(|found| found.offset).collect())
    }

    /// For each of these partitions and times, in milliseconds since 1970, the first record whose timestamp is at least
    /// that; none if there is no such record. Otherwise as [`beginning_offsets`](Self::beginning_offsets).
    ///
    /// # Errors
    /// As [`beginning_offsets`](Self::beginning_offsets); [`ErrorKind::Config`] for a negative time.
    pub fn offsets_for_times(&self, times: &[(TopicPartition, i64)]) -> Result<Vec<Option<OffsetAndTimestamp>>> {
        if let Some((partition, time)) = times.iter().find(|(_, time)| *time < 0) {
            let error = Error::config(format!("{time} is not a time: they count from 0, in milliseconds since 1970"));
            return Err(error.with_partition(&*partition.topic, partition.partition));
        }
        let found = self.list_offsets(times)?;
        Ok(found.into_iter().map(|found| Some(found).filter(|found| found.offset >= 0)).collect())
    }

    fn list_offsets(&self, wanted: &[lookup::Wanted]) -> Result<Vec<OffsetAndTimestamp>> {
        drop(usable(&self.shared)?);
        lookup::list(&self.shared.cluster, wanted, self.shared.settings.isolation_level, self.api_deadline())
    }

    /// How many records lie between the position and the end of this partition, as the last fetch saw it: the high
    /// watermark, or, with `isolation.level=read_committed`, the last stable offset. Offsets are counted, so gaps count
    /// too. None while the partition is not held, has no position yet, or was not fetched yet. Asks nobody.
    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.lock().assignment.get(partition)?.lag()
    }

    /// How many records were no longer there when their turn came, because retention or a deletion had cut them off: what
    /// the log of this program calls gone. Offsets are counted.
    pub fn records_gone(&self) -> u64 {
        self.shared.lock().gone
    }

    /// How often a partition brought nothing although its log went on, and was asked for anew; see
    /// `fetch.stall.timeout.ms`.
    pub fn stalls(&self) -> u64 {
        self.shared.lock().stalls
    }

    /// How many partitions a topic has, held or not. Waits for its metadata, up to `default.api.timeout.ms`.
    ///
    /// # Errors
    /// [`ErrorKind::Broker`] if it does not exist; [`ErrorKind::Refused`]; [`ErrorKind::Timeout`].
    pub fn partition_count(&self, topic: &str) -> Result<i32> {
        drop(usable(&self.shared)?);
        lookup::partition_count(&self.shared.cluster, topic, self.api_deadline())
    }

    /// Ends the consumer within about `timeout`, whatever the brokers do: revokes what it holds, so that the listener
    /// can commit, finishes commits that are under way, leaves the group, and ends all threads.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if the group could not be told in time; the consumer is closed all the same, and its
    /// partitions are free after `session.timeout.ms`.
    pub fn close(mut self, timeout: Duration) -> Result<()> {
        let until = Deadline::after("the time given to close", timeout);
        // Commits that do not get through must not keep this member from leaving.
        let commits =
            Deadline::after("the time given to close, without what leaving takes", timeout - leaving(timeout));
        self.limit = Some(commits);
        let shared = Arc::clone(&self.shared);
        let now = Instant::now();
        let mut core = shared.lock();
        let holds = matches!(core.subscription, Subscription::Topics(_)) && !core.assignment.is_empty();
        let lost = core.group.as_ref().is_some_and(|group| group.membership.committer().is_err());
        drop(core);
        if holds && !self.in_listener {
            let held = self.assignment();
            self.follow(if lost { Step::Lose } else { Step::Revoke(held) })?;
        } else if !lost {
            self.commit_finished();
        }
        core = shared.lock();
        core.drop_partitions();
        core.subscription = Subscription::Nothing;
        if let Some(group) = &mut core.group {
            group.commit_by(commits);
            group.leave(now);
        }
        shared.interrupt_join(&core);
        shared.coordinator.notify_all();
        let mut told = Ok(());
        while core.group.as_ref().is_some_and(|group| !group.is_quiet()) {
            if until.passed(Instant::now()) {
                told = Err(Error::timeout(&until, "telling the group that this consumer leaves"));
                break;
            }
            core = shared.sleep(&shared.app, core, Some(until.at));
        }
        drop(core);
        self.answer_callbacks();
        shared.shut();
        shared.join_threads(until.at);
        shared.cluster.close();
        told
    }

    /// Calls the callbacks of commits that have ended.
    fn answer_callbacks(&self) {
        let settled = self.shared.lock().group.as_mut().map(Group::settled);
        answer(settled.unwrap_or_default());
    }

    /// By when a call of the application must be answered.
    fn api_deadline(&self) -> Deadline {
        let usual = Deadline::after("default.api.timeout.ms", self.shared.settings.client.default_api_timeout);
        self.limit.map_or(usual, |limit| usual.min(limit))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.shut();
    }
}

/// What of the time given to close is kept for leaving the group.
fn leaving(timeout: Duration) -> Duration {
    (timeout / 4).min(Duration::from_secs(1))
}

/// The core, if the consumer is still open.
fn usable(shared: &Shared) -> Result<MutexGuard<'_, Core>> {
    let core = shared.lock();
    if core.closed { Err(Error::state("the consumer is closed")) } else { Ok(core) }
}

/// The core, if it may be subscribed; the group's threads run.
fn subscribable(shared: &Shared) -> Result<MutexGuard<'_, Core>> {
    let mut core = usable(shared)?;
    if core.subscription == Subscription::Partitions {
        return Err(Error::state("partitions are assigned by hand: unsubscribe before subscribing to topics"));
    }
    group(&mut core)?;
    shared.start_group(&mut core)?;
    Ok(core)
}

fn group(core: &mut Core) -> Result<&mut Group> {
    core.group.as_mut().ok_or_else(|| Error::config("group.id is not set: subscribing and committing need one"))
}

/// What membership wants done next.
fn step(core: &mut Core, now: Instant) -> Option<Step> {
    let Core { group, assignment, subscription, metadata, .. } = core;
    let Subscription::Topics(topics) = subscription else { return None };
    let name = |id: Uuid| metadata.name_of(id);
    group.as_mut()?.membership.step(assignment, topics, name, now)
}

/// Notes that the application is inside `poll`, or not.
fn enter(core: &mut Core, inside: bool, now: Instant) {
    if let Some(group) = &mut core.group {
        group.membership.polling(inside, now);
    }
}

fn answer(settled: Vec<(Callback, Result<()>)>) {
    for (callback, outcome) in settled {
        callback(outcome);
    }
}

fn check_offset(partition: &TopicPartition, offset: i64) -> Result<()> {
    if offset >= 0 {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Config, format!("{offset} is not an offset: they count from 0"));
    Err(error.with_partition(&*partition.topic, partition.partition))
}
