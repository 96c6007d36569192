//! What waits to be sent: per partition one open batch that `send` fills, and the closed ones behind it.
//!
//! A partition's queue decides on its own, under its own lock, what may be sent next and what a failure means for the
//! batches after it. It knows no socket. The time is an argument of every decision.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::delivery::{Delivery, Outcome, Promise, RecordCallback};
use super::idempotence::{ANONYMOUS, Identity, Sequences};
use super::memory::Memory;
use super::outbox::Outbox;
use super::partitioner::Sticky;
use crate::clock;
use crate::kafka::error::{Error, Result};
use crate::kafka::record::Record;
use crate::kafka::record::builder::BatchBuilder;
use crate::kafka::record::compression::Compression;

/// Places in the order from one batch to the next: it can be split as often as it has halves.
const PLACES: u64 = 1 << 31;

/// The settings that a queue decides by.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) batch_size: usize,
    pub(super) max_request_size: usize,
    pub(super) linger: Duration,
    pub(super) message_timeout: Duration,
    pub(super) retries: u32,
    pub(super) retry_backoff: Duration,
    pub(super) retry_backoff_max: Duration,
    pub(super) idempotent: bool,
    pub(super) compression: Compression,
}

impl Limits {
    /// How long a batch that cannot be sent stays open. All of a batch ends with its first record's time, so records
    /// that come later get a batch of their own.
    fn patience(&self) -> Duration {
        self.linger.max(self.message_timeout / 10)
    }
}

/// One partition of a topic, as a producer knows it.
pub(super) struct Partition {
    pub(super) topic: Arc<str>,
    pub(super) index: i32,
    usable: AtomicBool,
    sticky: Arc<Sticky>,
    /// The queue, and with it the partition's sequences.
    pub(super) queue: Mutex<Queue>,
}

impl Partition {
    /// `sticky` is the topic's.
    pub(super) fn new(topic: Arc<str>, index: i32, sticky: Arc<Sticky>) -> Self {
        Self { topic, index, usable: AtomicBool::new(false), sticky, queue: Mutex::default() }
    }

    /// A batch of it was closed: records without a key move on to another partition.
    pub(super) fn batch_closed(&self) {
        self.sticky.batch_closed(self.index);
    }

    /// Whether it has a leader at present.
    pub(super) fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    pub(super) fn set_usable(&self, usable: bool) {
        self.usable.store(usable, Ordering::Relaxed);
    }
}

/// A partition's batches, oldest first: in flight, waiting, open.
#[derive(Default)]
pub(super) struct Queue {
    open: Option<Open>,
    /// Closed and not in flight. Ordered by `Batch::order`: what comes back is put where it was.
    waiting: VecDeque<Batch>,
    /// The fates of the batches that are in flight, to be waited for by `flush`, and how many records each holds.
    in_flight: VecDeque<InFlight>,
    /// The fates of batches that have left the queue and whose callbacks may still be running: `flush` waits for them.
    concluding: Vec<Arc<Promise>>,
    /// A batch came back: nothing is sent until all others in flight have come back too, so that order is kept.
    recovering: bool,
    not_before: Option<Instant>,
    failures: u32,
    sequences: Sequences,
    next_order: u64,
    /// What the broker took no longer: batches stay below this.
    too_large: Option<usize>,
    /// The outbox that has this partition on its list.
    pub(super) listed: Option<Arc<Outbox>>,
    /// The node whose list it was on last, which has what is in flight.
    pub(super) node: i32,
    /// Set when the producer has ended: nothing is taken any more.
    closed: bool,
}

/// What a queue keeps of a batch that is with the broker.
struct InFlight {
    promise: Arc<Promise>,
    count: u32,
    /// It was in the log perhaps already when it was sent.
    undecided: bool,
}

/// The batch that `send` fills.
pub(super) struct Open {
    builder: BatchBuilder,
    created: Instant,
    /// The same moment in milliseconds since 1970. No record of the batch is made out to be older.
    created_ms: i64,
    promise: Arc<Promise>,
    callbacks: Vec<(u32, RecordCallback)>,
}

/// What `append` did.
pub(super) enum Appended<T> {
    /// The record is in a batch.
    In {
        /// What `note` said.
        noted: T,
        /// It is the first of its batch.
        opened: bool,
        /// A batch became full with it, or before it.
        filled: bool,
    },
    /// The open batch had no room for it, and it is free to go to another partition.
    MoveOn,
    /// There is not enough memory for it now.
    NeedsMemory(usize),
}

/// What there is to send from a partition.
pub(super) enum Next {
    /// Send this.
    Batch(Batch),
    /// Nothing now. Something may be ready at this time.
    Wait(Option<Instant>),
    /// A producer id must be had first.
    NeedsProducerId,
}

impl Queue {
    /// Appends a record to the open batch, opening and closing batches as needed. One that is not `bound` to this
    /// partition does not begin a new batch behind a full one.
    ///
    /// A record that brings no time of its own gets the time it opens a batch, or `now`, which may be a coarse clock's.
    ///
    /// # Errors
    /// The record is larger than a request may be, or the producer has ended.
    #[expect(clippy::too_many_arguments, reason = "one call site, and what it gives is not one thing")]
    pub(super) fn append<T>(
        &mut self,
        partition: &Partition,
        record: &Record<'_>,
        now: i64,
        bound: bool,
        limits: &Limits,
        memory: &Memory,
        note: &mut impl FnMut(&mut Open) -> T,
    ) -> Result<Appended<T>> {
        if self.closed {
            return Err(Error::state("the producer is closed"));
        }
        let mut filled = false;
        let most = self.most(limits);
        if let Some(open) = &mut self.open {
            if open.append(record, now, most, memory)? {
                return Ok(Appended::In { noted: note(open), opened: false, filled: false });
            }
            self.close_open(limits, memory);
            if !bound {
                return Ok(Appended::MoveOn);
            }
            filled = true;
        }
        let (key, value, headers) = (record.key_bytes(), record.value_bytes(), record.header_list());
        let (created, created_ms) = (Instant::now(), clock::milliseconds());
        let timestamp = record.timestamp_given().unwrap_or(created_ms);
        let mut builder = BatchBuilder::new(Vec::new());
        let size = builder.size_after(key, value, headers, timestamp);
        if size > limits.max_request_size {
            return Err(Error::config(format!(
                "a record of {size} bytes exceeds max.request.size={}; raise it, and max.message.bytes of the topic",
                limits.max_request_size
            ))
            .with_partition(&*partition.topic, partition.index));
        }
        if size > memory.total() {
            return Err(Error::config(format!(
                "a record of {size} bytes can never fit into buffer.memory={}",
                memory.total()
            ))
            .with_partition(&*partition.topic, partition.index));
        }
        let Some(buffer) = memory.take(size) else { return Ok(Appended::NeedsMemory(size)) };
        builder = BatchBuilder::new(buffer);
        builder.append(key, value, headers, timestamp)?;
        let promise = Arc::new(Promise::new(Arc::clone(&partition.topic), partition.index));
        let open = Open { builder, created, created_ms, promise, callbacks: Vec::new() };
        Ok(Appended::In { noted: note(self.open.insert(open)), opened: true, filled })
    }

    /// Appends a record to the open batch if there is one with room for it, or memory to make room.
    pub(super) fn append_open(&mut self, record: &Record<'_>, now: i64, limits: &Limits, memory: &Memory) -> bool {
        let most = self.most(limits);
        // What is wrong with the record is found out again by `append`.
        self.open.as_mut().is_some_and(|open| open.append(record, now, most, memory).unwrap_or(false))
    }

    /// How large a batch may get.
    fn most(&self, limits: &Limits) -> usize {
        self.too_large.map_or(limits.batch_size, |size| size.min(limits.batch_size))
    }

    fn close_open(&mut self, limits: &Limits, memory: &Memory) {
        let Some(open) = self.open.take() else { return };
        let count = open.builder.count().unsigned_abs();
        let buffer = match open.builder.close_into(limits.compression, |size| memory.take_spare(size)) {
            Ok((buffer, left)) => {
                left.into_iter().for_each(|left| memory.give_spare(left));
                buffer
            }
            // The codec was checked when the producer was made; should it fail all the same, nobody waits in vain.
            Err(error) => return open.promise.settle(Outcome::Failed(error)),
        };
        self.waiting.push_back(Batch {
            buffer: Arc::new(buffer),
            count,
            deadline: open.created + limits.message_timeout,
            promise: open.promise,
            callbacks: open.callbacks,
            cause: None,
            order: self.next_order,
            span: PLACES,
            stamp: None,
            undecided: false,
            out_of_order: false,
            retries: 0,
        });
        self.next_order += PLACES;
    }

    /// Takes the next batch to send, if one is ready: waiting ones first, then the open one when `everything` is to go
    /// or it has lingered long enough.
    pub(super) fn next(
        &mut self,
        now: Instant,
        everything: bool,
        limits: &Limits,
        identity: &Identity,
        memory: &Memory,
    ) -> Next {
        if self.recovering {
            return Next::Wait(None);
        }
        if let Some(at) = self.not_before.filter(|&at| at > now) {
            return Next::Wait(Some(at));
        }
        if limits.idempotent && !self.in_flight.is_empty() && !self.sequences.may_pipeline() {
            // An epoch begins once the fate of everything under the old one is known, and with a single batch.
            return Next::Wait(None);
        }
        if self.waiting.is_empty() {
            let Some(open) = &self.open else { return Next::Wait(None) };
            let ready = open.created + limits.linger;
            if !everything && (limits.linger.is_zero() || ready > now) {
                return Next::Wait((!limits.linger.is_zero()).then_some(ready));
            }
            self.close_open(limits, memory);
        }
        let Some(batch) = self.waiting.front_mut() else { return Next::Wait(None) };
        if batch.stamp.is_none() {
            let stamp = if !limits.idempotent {
                ANONYMOUS
            } else if self.in_flight.iter().any(|batch| batch.undecided) {
                // A broker knows a repetition only among the last five batches. New ones would push it out of there.
                return Next::Wait(None);
            } else {
                match self.sequences.stamp(identity, batch.count.cast_signed()) {
                    Some(stamp) => stamp,
                    None => return Next::NeedsProducerId,
                }
            };
            batch.stamp = Some(stamp);
        }
        match self.waiting.pop_front() {
            Some(batch) => {
                let (promise, count, undecided) = (Arc::clone(&batch.promise), batch.count, batch.undecided);
                self.in_flight.push_back(InFlight { promise, count, undecided });
                Next::Batch(batch)
            }
            None => Next::Wait(None),
        }
    }

    /// The size of the batch that [`next`](Self::next) would give, as far as it is known.
    pub(super) fn next_size(&self) -> usize {
        match (self.waiting.front(), &self.open) {
            (Some(batch), _) => batch.buffer.len(),
            (None, Some(open)) => open.builder.len(),
            (None, None) => 0,
        }
    }

    /// This node leads now. What another one answered is no reason to wait any more.
    pub(super) fn led_by(&mut self, node: i32) {
        if std::mem::replace(&mut self.node, node) != node {
            self.not_before = None;
        }
    }

    /// A batch in flight has met its end: acknowledged, or rejected for good.
    pub(super) fn landed(&mut self, batch: &Batch, accepted: bool) {
        self.left_flight(&batch.promise);
        self.concludes(&batch.promise);
        if accepted {
            self.failures = 0;
            if let Some(stamp) = batch.stamp {
                self.sequences.acknowledged(stamp);
            }
        } else {
            self.sequences.break_off();
        }
        self.recovered();
    }

    /// A batch in flight comes back to be sent again; `backoff` says whether to wait first, longer each time in a row.
    pub(super) fn returned(&mut self, batch: Batch, backoff: bool, now: Instant, limits: &Limits) {
        self.left_flight(&batch.promise);
        // Those behind the first that came back do not lengthen the wait.
        if backoff && !self.recovering {
            let doubled = limits.retry_backoff.saturating_mul(1 << self.failures.min(16));
            self.failures = self.failures.saturating_add(1);
            self.not_before = Some(now + doubled.min(limits.retry_backoff_max));
        }
        self.recovering = true;
        let place = self.waiting.partition_point(|other| other.order < batch.order);
        self.waiting.insert(place, batch);
        self.recovered();
    }

    /// A batch in flight was too large for the broker: its halves go out in its place, and later batches stay smaller.
    /// Gives the batch back when it cannot be split.
    pub(super) fn split(&mut self, batch: Box<Batch>, limits: &Limits, memory: &Memory) -> Result<(), Box<Batch>> {
        if self.closed {
            return Err(batch);
        }
        let size = batch.buffer.len();
        let whole = Arc::clone(&batch.promise);
        let (first, second) = batch.split(limits, memory)?;
        self.too_large = Some(self.too_large.map_or(size / 2, |known| known.min(size / 2)));
        self.left_flight(&whole);
        self.recovering = true;
        self.sequences.break_off();
        let place = self.waiting.partition_point(|other| other.order < first.order);
        self.waiting.insert(place, second);
        self.waiting.insert(place, first);
        self.recovered();
        Ok(())
    }

    /// Once nothing is in flight, what came back can go out again, in its old order.
    fn recovered(&mut self) {
        if !self.in_flight.is_empty() {
            return;
        }
        self.recovering = false;
        // The oldest batch was refused because one before it is missing for good. Then those after it are not in the
        // log either, and all of them need new sequences.
        if self.waiting.front().is_some_and(|batch| batch.out_of_order) {
            self.sequences.break_off();
            for batch in &mut self.waiting {
                batch.undecided = false;
            }
        }
        // A batch that may be in the log keeps its sequence, and so do those after it, until that is known.
        if self.sequences.is_broken() && !self.waiting.iter().any(|batch| batch.undecided) {
            for batch in &mut self.waiting {
                batch.stamp = None;
                batch.out_of_order = false;
            }
        }
    }

    fn left_flight(&mut self, promise: &Arc<Promise>) {
        if let Some(at) = self.in_flight.iter().position(|batch| Arc::ptr_eq(&batch.promise, promise)) {
            self.in_flight.remove(at);
        }
    }

    fn concludes(&mut self, promise: &Arc<Promise>) {
        self.concluding.retain(|other| other.is_open());
        self.concluding.push(Arc::clone(promise));
    }

    /// Takes out every batch that is past its deadline and not in flight, and closes the open one when it has waited
    /// for long.
    pub(super) fn expire(&mut self, now: Instant, limits: &Limits, memory: &Memory, expired: &mut Vec<Batch>) {
        if self.open.as_ref().is_some_and(|open| open.created + limits.patience() <= now) {
            self.close_open(limits, memory);
        }
        let before = expired.len();
        while self.waiting.front().is_some_and(|batch| batch.deadline <= now) {
            expired.extend(self.waiting.pop_front());
        }
        expired[before..].iter().for_each(|batch| self.concludes(&batch.promise));
        if expired[before..].iter().any(|batch| batch.stamp.is_some()) {
            self.sequences.break_off();
            self.recovered();
        }
    }

    /// When [`expire`](Self::expire) will next find something: a batch past its deadline, or one to close.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let open = self.open.as_ref().map(|open| open.created + limits.patience());
        self.waiting.front().map(|batch| batch.deadline).into_iter().chain(open).min()
    }

    /// Nothing is left that could be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none() && self.waiting.is_empty()
    }

    /// Nothing is with a broker whose answer is still to come.
    pub(super) fn is_settled(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// The fates of everything that was appended and is not known yet.
    pub(super) fn promises(&self, into: &mut Vec<Arc<Promise>>) {
        into.extend(self.concluding.iter().filter(|promise| promise.is_open()).cloned());
        into.extend(self.in_flight.iter().map(|batch| Arc::clone(&batch.promise)));
        into.extend(self.waiting.iter().map(|batch| Arc::clone(&batch.promise)));
        into.extend(self.open.iter().map(|open| Arc::clone(&open.promise)));
    }

    /// How many records have no outcome yet.
    pub(super) fn pending(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |open| open.builder.count().unsigned_abs());
        let in_flight = self.in_flight.iter().map(|batch| &batch.count);
        in_flight
            .chain(self.waiting.iter().map(|batch| &batch.count))
            .chain([&open])
            .map(|&count| u64::from(count))
            .sum()
    }

    /// Gives up everything that is not in flight.
    pub(super) fn drain(&mut self, limits: &Limits, memory: &Memory) -> VecDeque<Batch> {
        self.close_open(limits, memory);
        if self.waiting.iter().any(|batch| batch.stamp.is_some()) {
            self.sequences.break_off();
        }
        let batches = std::mem::take(&mut self.waiting);
        batches.iter().for_each(|batch| self.concludes(&batch.promise));
        batches
    }

    /// Like [`drain`](Self::drain), for good: no more records are taken.
    pub(super) fn close(&mut self, limits: &Limits, memory: &Memory) -> VecDeque<Batch> {
        self.closed = true;
        self.drain(limits, memory)
    }

    /// Whether the producer has ended, so that nothing is to be sent again.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }
}

impl Open {
    /// Appends a record unless the batch would exceed `most`, or memory what there is of it.
    fn append(&mut self, record: &Record<'_>, now: i64, most: usize, memory: &Memory) -> Result<bool> {
        let (key, value, headers) = (record.key_bytes(), record.value_bytes(), record.header_list());
        let timestamp = record.timestamp_given().unwrap_or(now.max(self.created_ms));
        let room = self.builder.capacity().min(most);
        Ok(self.builder.try_append(room, key, value, headers, timestamp)?
            || self.grow(record, timestamp, most, memory)?)
    }

    /// Appends after making the buffer larger, when the batch may become that large and memory is there.
    fn grow(&mut self, record: &Record<'_>, timestamp: i64, most: usize, memory: &Memory) -> Result<bool> {
        let (key, value, headers) = (record.key_bytes(), record.value_bytes(), record.header_list());
        let needed = self.builder.size_after(key, value, headers, timestamp);
        if needed > most {
            return Ok(false);
        }
        let Some(capacity) = memory.grow(self.builder.capacity(), needed, most) else {
            return Ok(false);
        };
        self.builder.reserve(capacity - self.builder.len());
        self.builder.append(key, value, headers, timestamp)?;
        Ok(true)
    }

    /// A handle on the record appended last.
    pub(super) fn delivery(&mut self) -> Delivery {
        Delivery::new(Arc::clone(&self.promise), self.last())
    }

    /// Has `callback` called with the outcome of the record appended last.
    pub(super) fn call_back(&mut self, callback: Option<RecordCallback>) {
        let last = self.last();
        self.callbacks.extend(callback.map(|callback| (last, callback)));
    }

    /// The place of the record appended last.
    fn last(&self) -> u32 {
        self.builder.count().unsigned_abs() - 1
    }
}

#[cfg(test)]
mod tests;
