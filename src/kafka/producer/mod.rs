//! The producer: `send` encodes a record straight into its partition's open batch; a sender thread per broker ships what
//! is ready; a completion thread per connection reports what became of it.
//!
//! ```text
//!  send ─▶ topics ─▶ partitioner ─▶ accumulator (queue per partition) ─▶ outbox (per broker) ─▶ sender ══▶ broker
//!             (caller's thread, one short lock)                                                     │
//!  Delivery, callbacks ◀─ delivery ◀──────────── completion ◀═══════════════════════════════════════╛
//! ```

mod accumulator;
mod batch;
mod completion;
mod counters;
mod delivery;
mod idempotence;
mod memory;
mod outbox;
mod partitioner;
mod sender;
mod topics;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use counters::ProducerCounters;
pub use delivery::{DeliveredBatch, Delivery, RecordMetadata, SentRecord};

use self::accumulator::{Appended, Limits, Open, Partition, Queue};
use self::batch::Batch;
use self::counters::Counters;
use self::delivery::{BatchCallback, Outcome, RecordCallback};
use self::idempotence::Identity;
use self::memory::Memory;
use self::outbox::Outbox;
use self::sender::Sender;
use self::topics::{Topic, Topics};
use super::cluster::{Cluster, MetadataListener};
use super::config::{Config, PartitionerKind, ProducerSettings};
use super::error::{Error, ErrorKind, Result};
use super::net::Closer;
use super::protocol::{ApiKey, ErrorCode};
use super::record::Record;
use super::threads;
use crate::clock::{self, Deadline};
use crate::sync::lock;

/// A topic that the cluster says does not exist is believed after this many answers: news travels between brokers.
const MISSING_ANSWERS: u32 = 5;

/// So many records are appended under one lock at most: others want it too.
const LONGEST_RUN: usize = 64;

/// Why not all records were taken, from [`Producer::post_all`].
#[derive(Clone, Debug)]
pub struct Unposted {
    /// How many were taken: the index of the one that was not.
    pub taken: usize,
    /// What is wrong with that one, or with the producer.
    pub error: Error,
}

impl fmt::Display for Unposted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (after {} records were taken)", self.error, self.taken)
    }
}

impl std::error::Error for Unposted {}

impl From<Unposted> for Error {
    fn from(unposted: Unposted) -> Self {
        unposted.error
    }
}

/// Sends records. One producer serves any number of threads; share it by reference or in an `Arc`.
///
/// Dropping it without [`close`](Self::close) waits for nothing: what was not acknowledged ends as failed or unknown.
pub struct Producer {
    shared: Arc<Shared>,
}

/// What a producer's threads share.
struct Shared {
    settings: ProducerSettings,
    limits: Limits,
    cluster: Arc<Cluster>,
    topics: Topics,
    memory: Memory,
    identity: Identity,
    counters: Counters,
    on_batch: Option<BatchCallback>,
    brokers: Mutex<Brokers>,
    /// How many callers wait in `flush` or `close`: nothing lingers then.
    flushing: AtomicUsize,
    /// Why no more records are taken.
    ended: OnceLock<Error>,
    weak: Weak<Shared>,
}

#[derive(Default)]
struct Brokers {
    by_node: HashMap<i32, (Arc<Outbox>, Closer)>,
    threads: Vec<JoinHandle<()>>,
}

impl Producer {
    /// Connects to the cluster that `bootstrap.servers` names.
    ///
    /// # Errors
    /// A setting that is wrong, or no broker that can be used, within 10 s.
    pub fn connect(config: &Config) -> Result<Self> {
        Self::start(config, None)
    }

    /// Like [`connect`](Self::connect), with a callback that is told the outcome of each batch.
    ///
    /// It runs on the thread that reads the broker's answers and must not block; a `send` inside it fails with
    /// [`ErrorKind::BufferFull`] where it would wait. If it panics, the producer ends.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(
        config: &Config,
        on_delivery: impl Fn(&DeliveredBatch<'_>) + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start(config, Some(Box::new(on_delivery)))
    }

    fn start(config: &Config, on_batch: Option<BatchCallback>) -> Result<Self> {
        let settings = config.producer()?;
        let cluster = Cluster::start(Arc::clone(&settings.client))?;
        let shared = Arc::new_cyclic(|weak| Shared {
            limits: Limits::from(&settings),
            memory: Memory::new(settings.buffer_memory),
            topics: Topics::new(settings.sticky_linger),
            settings,
            cluster,
            identity: Identity::default(),
            counters: Counters::default(),
            on_batch,
            brokers: Mutex::default(),
            flushing: AtomicUsize::new(0),
            ended: OnceLock::new(),
            weak: Weak::clone(weak),
        });
        let listener: Weak<dyn MetadataListener> = Weak::<Shared>::clone(&shared.weak);
        shared.cluster.listen(listener);
        Ok(Self { shared })
    }

    /// Takes a record. Returns as soon as it is in its batch; blocks, up to `max.block.ms`, only while the topic's
    /// partitions are not known yet or the buffer is full.
    ///
    /// # Errors
    /// The topic or partition does not exist, the record is too large, the buffer stayed full
    /// ([`ErrorKind::BufferFull`]), or the producer is closed. What happens to a record that was taken is told by its
    /// [`Delivery`].
    pub fn send(&self, record: Record<'_>) -> Result<Delivery> {
        self.shared.append(&record, Open::delivery)
    }

    /// Like [`send`](Self::send), without a handle: for programs that learn outcomes from the producer's callback, or
    /// count them. It saves the two steps that sharing a handle takes, which show when a core is busy with nothing else.
    ///
    /// # Errors
    /// As [`send`](Self::send). What happens to the record is told by [`connect_with`](Self::connect_with)'s callback
    /// and [`counters`](Self::counters).
    pub fn post(&self, record: Record<'_>) -> Result<()> {
        self.shared.append(&record, |_| ())
    }

    /// Like [`send`](Self::send), with a callback for this record's outcome, on the terms of
    /// [`connect_with`](Self::connect_with). It is not called when this returns an error.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with(
        &self,
        record: Record<'_>,
        on_delivery: impl FnOnce(&Result<RecordMetadata>) + Send + 'static,
    ) -> Result<()> {
        let mut callback: Option<RecordCallback> = Some(Box::new(on_delivery));
        self.shared.append(&record, |open| open.call_back(callback.take()))
    }

    /// Posts records in their order, like [`post`](Self::post) for each of them but with less to do for each: those that
    /// follow each other into one batch share a lock and a look at the clock.
    ///
    /// # Errors
    /// As [`post`](Self::post), for the first record that was not taken. Those before it were.
    pub fn post_all(&self, records: &[Record<'_>]) -> std::result::Result<(), Unposted> {
        let mut taken = 0;
        while let Some(record) = records.get(taken) {
            self.shared.append(record, |_| ()).map_err(|error| Unposted { taken, error })?;
            taken += 1;
            taken += self.shared.append_run(&records[taken..]);
        }
        Ok(())
    }

    /// How many partitions a topic has; blocks up to `max.block.ms` while that is not known.
    ///
    /// # Errors
    /// The topic does not exist, or nothing was learned of it in time.
    pub fn partition_count(&self, topic: &str) -> Result<i32> {
        Ok(self.shared.topic(topic)?.partition_count())
    }

    /// Waits until everything that was sent before this call is acknowledged or has failed. Nothing lingers meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] when some of it is still under way by then; [`ErrorKind::State`] in a delivery callback,
    /// which would wait for itself.
    pub fn flush(&self, limit: Duration) -> Result<()> {
        delivery::must_not_wait("flush")?;
        self.shared.flush(Deadline::after("flush", limit))
    }

    /// Counts since the producer was made.
    pub fn counters(&self) -> ProducerCounters {
        self.shared.counters.snapshot(self.shared.pending())
    }

    /// Takes no more records, waits up to `limit` for those that are under way, and ends all threads.
    ///
    /// Returns by then, give or take a moment, also when every broker is gone.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] when records had to be given up, and how many.
    pub fn close(self, limit: Duration) -> Result<()> {
        let shared = &self.shared;
        let deadline = Deadline::after("close", limit);
        let flushed = shared.flush(deadline);
        let left = shared.pending();
        shared.end(&Error::timeout(&deadline, "closing the producer"));
        let threads = std::mem::take(&mut lock(&shared.brokers).threads);
        threads.into_iter().for_each(threads::join);
        shared.cluster.close();
        match flushed {
            Ok(()) => Ok(()),
            Err(_) => {
                Err(Error::timeout(&deadline, format_args!("closing the producer with {left} records under way")))
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.end(&Error::state("the producer was dropped"));
    }
}

impl From<&ProducerSettings> for Limits {
    fn from(settings: &ProducerSettings) -> Self {
        Self {
            batch_size: settings.batch_size,
            max_request_size: settings.max_request_size,
            linger: settings.linger,
            message_timeout: settings.message_timeout,
            retries: settings.retries,
            retry_backoff: settings.client.retry_backoff,
            retry_backoff_max: settings.client.retry_backoff_max,
            idempotent: settings.idempotence,
            compression: settings.compression,
        }
    }
}

impl Shared {
    /// Puts the record into its batch. `note` is called once it is in there, before anybody else sees the batch.
    fn append<T>(&self, record: &Record<'_>, mut note: impl FnMut(&mut Open) -> T) -> Result<T> {
        if let Some(why) = self.ended.get() {
            return Err(why.clone());
        }
        let topic = self.topic(record.topic())?;
        let now = clock::coarse_milliseconds();
        let mut deadline = None;
        loop {
            let (partition, bound) = self.choose(topic, record, now)?;
            let mut queue = lock(&partition.queue);
            let appended = queue.append(partition, record, now, bound, &self.limits, &self.memory, &mut note);
            let needed = match appended.map_err(|error| self.ended.get().cloned().unwrap_or(error))? {
                Appended::MoveOn => {
                    partition.batch_closed();
                    self.announce(partition, &mut queue, true);
                    continue;
                }
                Appended::In { noted, opened, filled } => {
                    if opened || filled {
                        self.announce(partition, &mut queue, filled);
                    }
                    return Ok(noted);
                }
                Appended::NeedsMemory(needed) => needed,
            };
            drop(queue);
            let deadline = *deadline.get_or_insert_with(|| self.max_block());
            if delivery::in_callback() || !self.memory.wait(needed, deadline, || self.urge_all()) {
                return Err(self.buffer_full(&deadline));
            }
        }
    }

    /// Appends from the front what goes to one open batch, under one lock. Returns how many records that were: what
    /// takes more than appending is left to [`append`](Self::append).
    fn append_run(&self, records: &[Record<'_>]) -> usize {
        // Whoever is asked for the next partition in turn must not be asked twice.
        if self.settings.partitioner == PartitionerKind::RoundRobin {
            return 0;
        }
        let Some((first, others)) = records.split_first() else { return 0 };
        let Some(topic) = self.topics.find(first.topic()).filter(|topic| topic.partition_count() > 0) else { return 0 };
        let now = clock::coarse_milliseconds();
        let Ok((partition, _)) = self.choose(topic, first, now) else { return 0 };
        let mut queue = lock(&partition.queue);
        let follows = |record: &&Record<'_>| {
            record.topic() == first.topic()
                && self.choose(topic, record, now).is_ok_and(|(other, _)| Arc::ptr_eq(other, partition))
        };
        let run = std::iter::once(first).chain(others.iter().take(LONGEST_RUN - 1).take_while(follows));
        run.take_while(|record| queue.append_open(record, now, &self.limits, &self.memory)).count()
    }

    fn max_block(&self) -> Deadline {
        Deadline::after("max.block.ms", self.settings.max_block)
    }

    #[cold]
    fn buffer_full(&self, deadline: &Deadline) -> Error {
        if let Some(why) = self.ended.get() {
            return why.clone();
        }
        let full = format!("the buffer of {} bytes (buffer.memory) is full", self.settings.buffer_memory);
        if delivery::in_callback() {
            return Error::new(ErrorKind::BufferFull, full);
        }
        let why = self.cluster.failure().map(|cause| format!(": {cause}")).unwrap_or_default();
        Error::new(ErrorKind::BufferFull, format!("{full} and nothing was sent within {deadline}{why}"))
    }

    /// Has the partition's new or full batch noticed by its sender.
    fn announce(&self, partition: &Arc<Partition>, queue: &mut Queue, filled: bool) {
        match &queue.listed {
            None => {
                // What follows a batch in flight waits where that is: the sender hands the queue over in order.
                let leader = || self.cluster.snapshot().leader(&partition.topic, partition.index);
                let node = if queue.is_settled() { leader().unwrap_or(Outbox::NOBODY) } else { queue.node };
                self.list(partition, queue, node);
            }
            Some(outbox) if filled => outbox.urge_below(self.settings.max_in_flight),
            Some(_) => {}
        }
    }

    /// Puts a partition on the list of a node, whose sender is started when it is the first.
    fn list(&self, partition: &Arc<Partition>, queue: &mut Queue, node: i32) {
        match self.outbox(node) {
            Ok(outbox) => {
                outbox.push(Arc::clone(partition), self.settings.max_in_flight);
                queue.listed = Some(outbox);
                queue.led_by(node);
            }
            Err(error) => {
                log::error!("{error}");
                for batch in queue.drain(&self.limits, &self.memory) {
                    batch.promise.settle(Outcome::Failed(error.clone()));
                }
            }
        }
    }

    /// Puts a partition back on a list, if it has something to send and is on none.
    fn relist(&self, partition: &Arc<Partition>, queue: &mut Queue, node: i32) {
        if queue.listed.is_none() && !queue.is_empty() {
            self.list(partition, queue, node);
        }
    }

    fn outbox(&self, node: i32) -> Result<Arc<Outbox>> {
        let mut brokers = lock(&self.brokers);
        if let Some((outbox, _)) = brokers.by_node.get(&node) {
            return Ok(Arc::clone(outbox));
        }
        let (Some(shared), None) = (self.weak.upgrade(), self.ended.get()) else {
            return Err(Error::state("the producer is closed"));
        };
        let (outbox, closer) = (Arc::new(Outbox::new(node)), Closer::new());
        let sender = Sender::new(shared, Arc::clone(&outbox), closer.clone());
        let thread = threads::spawn(&format!("krs-send-{node}"), move || sender.run())?;
        brokers.threads.push(thread);
        brokers.by_node.insert(node, (Arc::clone(&outbox), closer));
        Ok(outbox)
    }

    fn outboxes(&self) -> Vec<Arc<Outbox>> {
        lock(&self.brokers).by_node.values().map(|(outbox, _)| Arc::clone(outbox)).collect()
    }

    fn urge_all(&self) {
        self.outboxes().iter().for_each(|outbox| outbox.urge());
    }

    /// Whether everything that is there should be sent, however little.
    fn is_urgent(&self) -> bool {
        self.flushing.load(Ordering::Relaxed) > 0 || self.memory.is_short()
    }

    fn throttle(&self, outbox: &Outbox, time: Duration) {
        log::debug!("broker {} throttles this producer for {} ms", outbox.node, time.as_millis());
        outbox.throttle(Instant::now() + time);
    }

    /// The record's partition, and whether it is bound to go there.
    #[inline]
    fn choose<'a>(&self, topic: &'a Topic, record: &Record<'_>, now: i64) -> Result<(&'a Arc<Partition>, bool)> {
        let count = topic.partition_count();
        let (index, bound) = match (record.partition_asked(), record.key_bytes(), self.settings.partitioner) {
            (Some(asked), _, _) => (asked, true),
            (None, Some(key), PartitionerKind::Murmur2) => (partitioner::partition_for_key(key, count), true),
            (None, _, PartitionerKind::RoundRobin) => (topic.next_in_turn(), true),
            (None, _, _) => {
                let usable = |index| topic.partition(index).is_some_and(|partition| partition.is_usable());
                (topic.sticky.choose(now.unsigned_abs(), count, usable), false)
            }
        };
        match topic.partition(index) {
            Some(partition) => Ok((partition, bound)),
            None => Err(self.no_partition(topic, index)),
        }
    }

    #[cold]
    fn no_partition(&self, topic: &Topic, asked: i32) -> Error {
        // It may have been added a moment ago.
        self.cluster.request_refresh();
        let count = topic.partition_count();
        let text = format!("there is no partition {asked}: the topic has {count}, numbered from 0");
        Error::config(text).with_topic(&*topic.name)
    }

    /// The topic, with its partitions known.
    fn topic(&self, name: &str) -> Result<&Topic> {
        match self.topics.find(name) {
            Some(topic) if topic.partition_count() > 0 => Ok(topic),
            _ => self.learn_topic(name),
        }
    }

    #[cold]
    fn learn_topic(&self, name: &str) -> Result<&Topic> {
        super::config::names::check_topic(name)?;
        let deadline = self.max_block();
        let topic = self.topics.add(name);
        self.cluster.track([name]);
        let mut snapshot = self.cluster.snapshot();
        // What was refused earlier may be allowed by now: only a fresh answer counts.
        let (mut missing, mut fresh) = (0, false);
        loop {
            if let Some(known) = snapshot.topic(name).filter(|known| !known.partitions.is_empty()) {
                topic.update(known);
                return Ok(topic);
            }
            match snapshot.topics.get(name).map(|topic| topic.error) {
                Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => missing += 1,
                Some(code) if fresh && !code.is_ok() && !code.is_retriable() => {
                    return Err(Error::broker_code(ApiKey::Metadata, code, None).with_topic(name));
                }
                _ => {}
            }
            if missing == MISSING_ANSWERS {
                let cluster = snapshot.cluster_id.as_deref().unwrap_or("this cluster").escape_debug().to_string();
                return Err(Error::broker_code(
                    ApiKey::Metadata,
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    Some(&format!("the topic does not exist on cluster {cluster}; create it first")),
                )
                .with_topic(name));
            }
            self.cluster.request_refresh();
            if delivery::in_callback() {
                return Err(Error::new(ErrorKind::BufferFull, "the topic is not known yet").with_topic(name));
            }
            snapshot = self.cluster.wait_newer(snapshot.version, deadline).ok_or_else(|| {
                let error = Error::timeout(&deadline, "learning the topic's partitions").with_topic(name);
                self.ended.get().cloned().or_else(|| self.cluster.failure()).unwrap_or(error)
            })?;
            fresh = true;
        }
    }

    fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.topics.iter().flat_map(Topic::partitions)
    }

    /// Records that were taken and whose outcome is not known.
    fn pending(&self) -> u64 {
        self.partitions().map(|partition| lock(&partition.queue).pending()).sum()
    }

    fn flush(&self, deadline: Deadline) -> Result<()> {
        let mut promises = Vec::new();
        for partition in self.partitions() {
            lock(&partition.queue).promises(&mut promises);
        }
        self.flushing.fetch_add(1, Ordering::Relaxed);
        self.urge_all();
        let late = promises.iter().filter(|promise| !promise.wait(Some(deadline))).count();
        self.flushing.fetch_sub(1, Ordering::Relaxed);
        match late {
            0 => Ok(()),
            late => Err(Error::timeout(&deadline, format_args!("flushing, {late} batches still under way"))),
        }
    }

    /// A batch has met its end: tells whoever waits, and takes its memory back.
    fn conclude(&self, partition: &Partition, mut batch: Batch, outcome: Outcome) {
        self.counters.concluded(&outcome, batch.count);
        let callbacks = std::mem::take(&mut batch.callbacks);
        let survived = delivery::announce(&batch.promise, outcome, callbacks, |outcome| {
            if let Some(on_batch) = &self.on_batch {
                on_batch(&DeliveredBatch::new(partition, &batch, outcome));
            }
        });
        self.memory.give_back(batch.buffer);
        if !survived {
            self.end(&Error::state("a delivery callback panicked, which ends the producer"));
        }
    }

    /// Takes no more records, ends every connection and gives up what is not acknowledged. Only the first call counts.
    fn end(&self, why: &Error) {
        if self.ended.set(Error::state(format!("the producer has ended: {why}"))).is_err() {
            return;
        }
        self.memory.close();
        for (outbox, closer) in lock(&self.brokers).by_node.values() {
            outbox.stop();
            closer.close();
        }
        for partition in self.partitions() {
            let batches = lock(&partition.queue).close(&self.limits, &self.memory);
            for batch in batches {
                let error = batch.give_up(why.clone());
                self.conclude(partition, batch, Outcome::Failed(error));
            }
        }
    }
}

impl MetadataListener for Shared {
    fn metadata_changed(&self) {
        let snapshot = self.cluster.snapshot();
        for topic in self.topics.iter() {
            if let Some(known) = snapshot.topic(&topic.name) {
                topic.update(known);
            }
        }
        self.urge_all();
    }
}
