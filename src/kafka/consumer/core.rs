//! Everything a consumer's threads share, behind one lock.
//!
//! The application's thread, the coordinator thread, the join thread and a fetcher per leader meet here and nowhere
//! else. Decisions are made under the lock and take moments; talking to brokers and calling the application happens
//! outside of it. Each party sleeps on a condition of its own.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::fetch_buffer::{Event, FetchBuffer, Taken};
use super::fetcher;
use super::group::membership::Cause;
use super::group::{self, Group};
use super::stall::Watch;
use super::subscription::{Assignment, Held, Leader, Listed, Pattern, Subscription, TopicPartition};
use crate::clock::Deadline;
use crate::kafka::cluster::{Cluster, Metadata, MetadataListener};
use crate::kafka::config::{ConsumerSettings, OffsetReset};
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::net::Closer;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::threads;
use crate::sync::lock;

/// How long [`Shared::join_threads`] waits for threads that have been told to end, beyond its deadline.
const GRACE: Duration = Duration::from_millis(500);

pub(super) struct Shared {
    pub settings: ConsumerSettings,
    pub cluster: Arc<Cluster>,
    core: Mutex<Core>,
    /// The application's thread sleeps here.
    pub app: Condvar,
    /// The coordinator thread sleeps here.
    pub coordinator: Condvar,
    /// The join thread sleeps here.
    pub join: Condvar,
    /// The fetchers sleep here.
    pub fetch: Condvar,
    me: Weak<Self>,
}

pub(super) struct Core {
    /// No thread goes on.
    pub closed: bool,
    pub subscription: Subscription,
    /// What the names of the topics subscribed to match, if they were not named one by one.
    pub pattern: Option<Pattern>,
    pub assignment: Assignment,
    pub buffer: FetchBuffer,
    /// What went wrong behind the application's back; `poll` tells it, one at a time.
    pub errors: VecDeque<Error>,
    /// None without `group.id`.
    pub group: Option<Group>,
    pub metadata: Arc<Metadata>,
    /// The fetchers by the node they ask.
    pub fetchers: HashMap<i32, Closer>,
    /// Nodes that records of the partitions held come from.
    pub leaders: usize,
    /// Fetch requests so far.
    pub requests: u64,
    /// Fetchers asleep for want of room or work.
    pub idle_fetchers: usize,
    /// A fetcher is done with a partition that another one is to ask for.
    pub handed_on: bool,
    /// Records of a partition are to come from another node than before.
    pub sources_changed: bool,
    /// Leaders are not told the rack before this moment, so that they send nobody to replicas.
    pub avoid_replicas: Option<Instant>,
    /// When each node last answered a fetch.
    pub heard: HashMap<i32, Instant>,
    pub watch: Watch,
    /// How often a stalled partition was asked for anew.
    pub stalls: u64,
    /// Records that were not there any more when their turn came.
    pub gone: u64,
    /// Some position may be [`Unset`](super::offsets::Position::Unset).
    pub check_unset: bool,
    /// Topics, or partitions of them, whose trouble was told already.
    told: BTreeSet<(String, Option<i32>)>,
    group_closers: Option<(Closer, Closer)>,
    threads: Vec<JoinHandle<()>>,
    /// How many of `threads` have not ended.
    running: usize,
    /// When `enable.auto.commit` is due next.
    auto_commit_at: Instant,
    /// What the rebalance under way took away.
    pub given_up: Vec<TopicPartition>,
}

impl Shared {
    pub fn new(settings: ConsumerSettings, cluster: Arc<Cluster>) -> Arc<Self> {
        let core = Core::new(&settings, cluster.snapshot(), Instant::now());
        let shared = Arc::new_cyclic(|me| Self {
            settings,
            cluster,
            core: Mutex::new(core),
            app: Condvar::new(),
            coordinator: Condvar::new(),
            join: Condvar::new(),
            fetch: Condvar::new(),
            me: me.clone(),
        });
        let listener: Weak<dyn MetadataListener> = shared.me.clone() as Weak<dyn MetadataListener>;
        shared.cluster.listen(listener);
        shared
    }

    pub fn lock(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    /// Sleeps on `condition` until it is signalled or `until` has come.
    pub fn sleep<'a>(
        &self,
        condition: &Condvar,
        core: MutexGuard<'a, Core>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, Core> {
        match until {
            None => condition.wait(core).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                condition.wait_timeout(core, left).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// Wakes everyone: something changed that concerns more than one.
    pub fn wake_all(&self) {
        self.app.notify_all();
        self.coordinator.notify_all();
        self.join.notify_all();
        self.fetch.notify_all();
    }

    /// Starts the threads that talk to the group's coordinator, once.
    pub fn start_group(&self, core: &mut Core) -> Result<()> {
        if core.group_closers.is_some() {
            return Ok(());
        }
        let (coordinator, join) = (Closer::new(), Closer::new());
        core.group_closers = Some((coordinator.clone(), join.clone()));
        self.spawn(core, "krs-group", move |shared| group::coordinator::run(shared, &coordinator))?;
        self.spawn(core, "krs-join", move |shared| group::join::run(shared, &join))
    }

    /// Breaks off what the join thread is waiting for, but for the answer that brings a member id: that comes at once.
    pub fn interrupt_join(&self, core: &Core) {
        let naming = core.group.as_ref().and_then(|group| group.membership.naming_due());
        if let Some((_, join)) = core.group_closers.as_ref().filter(|_| naming.is_none()) {
            join.interrupt();
        }
        self.join.notify_all();
    }

    /// Brings what depends on metadata in line with the present snapshot and the present assignment: leaders,
    /// fetchers, the group's view of partition counts, and what must be said about topics.
    pub fn follow_metadata(&self, core: &mut Core) {
        if core.closed {
            return;
        }
        core.metadata = self.cluster.snapshot();
        if core.apply_metadata(self.settings.auto_offset_reset) {
            self.cluster.request_refresh();
        }
        if core.follow_pattern() {
            self.interrupt_join(core);
        }
        self.start_fetchers(core);
        self.wake_all();
    }

    /// Sees to it that there is a fetcher for each node that is asked for something.
    pub fn start_fetchers(&self, core: &mut Core) {
        let leader = |held: &Held| held.leader.map(|leader| leader.node);
        let replica = |held: &Held| held.replica.map(|(node, _)| node);
        let (mut nodes, mut sources) = (BTreeSet::new(), BTreeSet::new());
        for (_, held) in core.assignment.iter() {
            nodes.extend(leader(held).into_iter().chain(replica(held)));
            sources.extend(replica(held).or(leader(held)));
        }
        core.leaders = sources.len();
        for node in nodes {
            if core.fetchers.contains_key(&node) {
                continue;
            }
            let closer = Closer::new();
            core.fetchers.insert(node, closer.clone());
            let name = format!("krs-fetch-{node}");
            if let Err(error) = self.spawn(core, &name, move |shared| fetcher::run(shared, node, &closer)) {
                core.fetchers.remove(&node);
                core.errors.push_back(error);
            }
        }
    }

    fn spawn(&self, core: &mut Core, name: &str, body: impl FnOnce(&Shared) + Send + 'static) -> Result<()> {
        let Some(shared) = self.me.upgrade() else { return Err(Closer::error()) };
        core.threads.retain(|thread| !thread.is_finished());
        core.running += 1;
        let started = threads::spawn(name, move || {
            let ending = Ending(shared);
            body(&ending.0);
        });
        match started {
            Ok(thread) => core.threads.push(thread),
            Err(error) => {
                core.running -= 1;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Tells every thread to end and shuts their sockets.
    pub fn shut(&self) {
        let mut core = self.lock();
        core.closed = true;
        for closer in core.fetchers.values() {
            closer.close();
        }
        if let Some((coordinator, join)) = &core.group_closers {
            coordinator.close();
            join.close();
        }
        drop(core);
        self.wake_all();
    }

    /// Waits until all threads have ended, or a little longer than `deadline`.
    pub fn join_threads(&self, deadline: Instant) {
        let until = deadline.max(Instant::now() + GRACE);
        let mut core = self.lock();
        while core.running > 0 && Instant::now() < until {
            core = self.sleep(&self.app, core, Some(until));
        }
        let threads = std::mem::take(&mut core.threads);
        let all_ended = core.running == 0;
        drop(core);
        if all_ended {
            threads.into_iter().for_each(threads::join);
        } else {
            log::warn!("some threads of the consumer have not ended in time and are left behind");
        }
    }
}

impl MetadataListener for Shared {
    fn metadata_changed(&self) {
        self.follow_metadata(&mut self.lock());
    }
}

/// Counts a thread as ended, however it ends.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut core = self.0.lock();
        core.running -= 1;
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or("a thread").to_owned();
            core.errors.push_back(Error::state(format!("internal error: the consumer's thread {name} panicked")));
        }
        drop(core);
        self.0.app.notify_all();
    }
}

impl Core {
    pub fn new(settings: &ConsumerSettings, metadata: Arc<Metadata>, now: Instant) -> Self {
        Self {
            closed: false,
            subscription: Subscription::Nothing,
            pattern: None,
            assignment: Assignment::new(settings.max_partition_fetch_bytes),
            buffer: FetchBuffer::default(),
            errors: VecDeque::new(),
            group: settings.group_id.as_deref().map(|id| Group::new(id, settings, now)),
            metadata,
            fetchers: HashMap::new(),
            leaders: 0,
            requests: 0,
            idle_fetchers: 0,
            handed_on: false,
            sources_changed: false,
            avoid_replicas: None,
            heard: HashMap::new(),
            watch: Watch::default(),
            stalls: 0,
            gone: 0,
            check_unset: false,
            told: BTreeSet::new(),
            group_closers: None,
            threads: Vec::new(),
            running: 0,
            auto_commit_at: now + settings.auto_commit.unwrap_or_default(),
            given_up: Vec::new(),
        }
    }

    /// Takes over leaders and topic errors from the snapshot. Returns true if something that is wanted is missing in
    /// it, so that it must be asked for again.
    pub(super) fn apply_metadata(&mut self, policy: OffsetReset) -> bool {
        let metadata = Arc::clone(&self.metadata);
        let mut missing = false;
        let mut recreated = Vec::new();
        for (partition, held) in self.assignment.iter_mut() {
            let topic = metadata.topic(&partition.topic);
            if topic.is_some_and(|topic| partition.partition as usize >= topic.partitions.len())
                && self.told.insert((partition.topic.to_string(), Some(partition.partition)))
            {
                log::warn!("partition {partition} does not exist: waiting for the topic to get it");
            }
            let known = metadata.partition(&partition.topic, partition.partition);
            let leader = known.and_then(|known| Some(Leader { node: known.leader?, epoch: known.leader_epoch }));
            missing |= leader.is_none();
            match topic.map(|topic| topic.id) {
                Some(id) if held.topic_id.is_zero() => held.topic_id = id,
                // A broker that is behind may still tell of the one before.
                Some(id) if id != held.topic_id && id != held.former_topic_id && !id.is_zero() => {
                    recreated.push((partition.clone(), id))
                }
                _ => {}
            }
            if held.replica.is_some_and(|(node, _)| !metadata.brokers.contains_key(&node)) {
                held.replica = None;
            }
            if leader != held.leader {
                held.leader = leader;
                held.replica = None;
                held.not_before = None;
            }
        }
        for (partition, id) in recreated {
            self.recreated(&partition, id, policy);
        }
        let wanted: Vec<String> = match &self.subscription {
            Subscription::Nothing => Vec::new(),
            Subscription::Topics(topics) => topics.iter().cloned().collect(),
            Subscription::Partitions => {
                let topics: BTreeSet<&str> = self.assignment.iter().map(|(partition, _)| &*partition.topic).collect();
                topics.into_iter().map(str::to_owned).collect()
            }
        };
        for topic in wanted {
            missing |= self.look_at(&topic, &metadata);
        }
        if let Some(group) = &mut self.group {
            let count = |topic: &str| match metadata.topics.get(topic)?.error {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Some(0),
                _ => Some(metadata.topic(topic)?.partitions.len() as i32),
            };
            group.membership.counts_changed(count, Instant::now());
            missing |= group.membership.modern().is_some_and(|member| member.misses_names());
        }
        missing
    }

    /// Brings the subscription in line with the topics there are. Returns whether it changed.
    fn follow_pattern(&mut self) -> bool {
        let (Some(pattern), Subscription::Topics(topics)) = (&self.pattern, &mut self.subscription) else {
            return false;
        };
        let there = self.metadata.topics.iter().filter(|(_, topic)| topic.error.is_ok() && !topic.internal);
        let matching: BTreeSet<String> =
            there.map(|(name, _)| name).filter(|name| pattern.is_match(name)).cloned().collect();
        if *topics == matching {
            return false;
        }
        let list = matching.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        log::info!("topics that match {pattern} now: {}", if list.is_empty() { "none" } else { &list });
        *topics = matching;
        if let Some(group) = &mut self.group {
            group.membership.subscribe(topics, Instant::now());
        }
        true
    }

    /// Says, once, what is wrong with a topic. Returns true if it must be asked for again.
    fn look_at(&mut self, name: &str, metadata: &Metadata) -> bool {
        let Some(topic) = metadata.topics.get(name) else { return false };
        let key = (name.to_owned(), None);
        match topic.error {
            ErrorCode::NONE => {
                if self.told.remove(&key) {
                    log::info!("topic {} is there now", name.escape_debug());
                }
                false
            }
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::LEADER_NOT_AVAILABLE => {
                if topic.error == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION && self.told.insert(key) {
                    let cluster = metadata.cluster_id.as_deref().unwrap_or("without an id");
                    log::warn!(
                        "topic {} does not exist in the cluster {}: waiting for it to be created",
                        name.escape_debug(),
                        cluster.escape_debug()
                    );
                }
                true
            }
            code => {
                if self.told.insert(key) {
                    let error = Error::broker_code(crate::kafka::protocol::ApiKey::Metadata, code, None);
                    self.errors.push_back(error.with_topic(name));
                }
                // An access right may be granted; a wrong name stays wrong.
                code != ErrorCode::INVALID_TOPIC_EXCEPTION
            }
        }
    }

    /// Up to `max` records, or the next failure among the positions and partitions.
    pub fn take(&mut self, shared: &Shared, max: usize) -> Result<Taken> {
        loop {
            if self.check_unset {
                match self.assignment.unset() {
                    Some(error) => return Err(error),
                    None => self.check_unset = false,
                }
            }
            let mut taken = self.buffer.take(max, &mut self.assignment);
            // A fetcher that waits for room has more than half of its share in the buffer, see `plan`, or waits until
            // there is nothing left of what it brought, see `room`.
            let enough = shared.settings.prefetch_bytes / (16 * self.leaders.max(1));
            if self.idle_fetchers > 0 && self.buffer.freed(enough) {
                shared.fetch.notify_all();
            }
            match taken.event.take() {
                None => return Ok(taken),
                Some((_, Event::Failed(error))) => return Err(error),
                Some((partition, Event::OutOfRange(offset))) => {
                    let policy = shared.settings.auto_offset_reset;
                    self.assignment.out_of_range(&partition, offset, policy)?;
                    self.buffer.remove(&partition);
                    log::warn!("{partition}: offset {offset} is not in the log (any more); going on at {policy:?}");
                    shared.fetch.notify_all();
                }
            }
        }
    }

    /// With `enable.auto.commit`: commits what `poll` returned so far, if it is time.
    pub fn commit_now_and_then(&mut self, shared: &Shared, now: Instant) {
        let Some(interval) = shared.settings.auto_commit else { return };
        let Some(group) = self.group.as_mut().filter(|_| now >= self.auto_commit_at) else { return };
        if group.membership.committer().is_ok() {
            self.auto_commit_at = now + interval;
            self.commit_all_soon(shared);
        }
    }

    /// With `enable.auto.commit`: commits what `poll` returned so far.
    pub fn commit_all_soon(&mut self, shared: &Shared) {
        let Some(group) = self.group.as_mut() else { return };
        if shared.settings.auto_commit.is_none() || self.assignment.is_empty() {
            return;
        }
        let until = Deadline::after("default.api.timeout.ms", shared.settings.client.default_api_timeout);
        group.commit_async(self.assignment.positions(), until, None);
        shared.coordinator.notify_all();
    }

    /// Says what a rebalance changed, why it was and how long it took. `new` has been taken up.
    pub fn tell_rebalanced(&mut self, id: &str, new: &[TopicPartition]) {
        let held = self.assignment.list().len();
        let Some(group) = &mut self.group else { return };
        let generation = group.membership.generation();
        let gone = std::mem::take(&mut self.given_up);
        if let Some(Cause { why, since }) = group.membership.take_cause() {
            log::info!(
                "group {id}: rebalanced in {} ms, because {why}: generation {generation}, {held} partitions held; new: \
                 {}; given up: {}",
                since.elapsed().as_millis(),
                Listed(new),
                Listed(&gone)
            );
        }
    }

    /// Lets go of every partition, and of what was fetched for them.
    pub fn drop_partitions(&mut self) {
        self.assignment.clear();
        self.buffer.clear();
        self.leaders = 0;
    }

    /// Whether the partition is held.
    ///
    /// # Errors
    /// If not.
    pub fn must_hold(&self, partition: &TopicPartition) -> Result<()> {
        match self.assignment.get(partition) {
            Some(_) => Ok(()),
            None => {
                let error = Error::new(ErrorKind::State, "this consumer does not hold this partition");
                Err(error.with_partition(&*partition.topic, partition.partition))
            }
        }
    }
}
