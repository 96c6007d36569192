//! A closed batch on its way: its bytes, its place in the order, and what is known of its fate so far.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::accumulator::Limits;
use super::delivery::{self, Promise, RecordCallback};
use super::idempotence::{ANONYMOUS, Stamp};
use super::memory::Memory;
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::protocol::Bytes;
use crate::kafka::record::builder::{self, BatchBuilder};
use crate::kafka::record::{Header, batch, compression};

/// A closed batch.
pub(super) struct Batch {
    /// Unshared except while a request holds it.
    pub(super) buffer: Arc<Vec<u8>>,
    pub(super) count: u32,
    pub(super) deadline: Instant,
    pub(super) promise: Arc<Promise>,
    pub(super) callbacks: Vec<(u32, RecordCallback)>,
    /// Why the last try failed.
    pub(super) cause: Option<Error>,
    pub(super) order: u64,
    /// How many places in the order it has, for the batches that it is split into.
    pub(super) span: u64,
    pub(super) stamp: Option<Stamp>,
    /// The log may hold it: it was sent, and no answer has said otherwise.
    pub(super) undecided: bool,
    /// It was refused because an earlier batch is missing.
    pub(super) out_of_order: bool,
    pub(super) retries: u32,
}

impl Batch {
    /// Writes the sequence it was given into its bytes, with the checksum. Done by the sender, outside any lock.
    pub(super) fn seal(&mut self) {
        let stamp = self.stamp.unwrap_or(ANONYMOUS);
        // A request that holds the bytes is dropped before its batch comes back, so this never copies.
        let bytes = Arc::make_mut(&mut self.buffer);
        builder::stamp(bytes, stamp.producer.id, stamp.producer.epoch, stamp.sequence);
    }

    /// Two batches of half the records each. Gives it back when it holds a single record, or the log may hold it.
    pub(super) fn split(mut self: Box<Self>, limits: &Limits, memory: &Memory) -> Result<(Self, Self), Box<Self>> {
        if self.count < 2 || self.undecided {
            return Err(self);
        }
        let bytes = Bytes::from_shared(Arc::clone(&self.buffer), 0..self.buffer.len());
        let sent = batch::batches(&bytes).next().and_then(Result::ok);
        let Some(sent) = sent.and_then(|sent| sent.decompress(compression::Limits::default()).ok()) else {
            return Err(self);
        };
        let middle = self.count / 2;
        let mut builders = [(); 2].map(|()| BatchBuilder::new(Vec::with_capacity(sent.size() / 2)));
        for (index, record) in (0..).zip(sent.records()) {
            // Their keys were text when they were appended.
            let text = |key| std::str::from_utf8(key).unwrap_or_default();
            let headers: Vec<_> =
                record.headers.map(|header| Header { key: text(header.key), value: header.value }).collect();
            let half = &mut builders[usize::from(index >= middle)];
            if half.append(record.key, record.value, &headers, record.timestamp).is_err() {
                return Err(self);
            }
        }
        let [first, second] = builders.map(|builder| builder.close(limits.compression));
        let (Ok(first), Ok(second)) = (first, second) else { return Err(self) };
        memory.charge(first.capacity());
        memory.charge(second.capacity());
        memory.give_back(std::mem::replace(&mut self.buffer, Arc::new(first)));
        let promises = self.promise.split(middle);
        let (early, late): (Vec<_>, Vec<_>) = self.callbacks.into_iter().partition(|(index, _)| *index < middle);
        let span = self.span / 2;
        let half = |buffer, count, promise, callbacks, order| Self {
            buffer,
            count,
            promise,
            callbacks,
            order,
            span,
            deadline: self.deadline,
            cause: None,
            stamp: None,
            undecided: false,
            // The whole was refused, so the log holds nothing of its epoch behind it: those in flight start anew too.
            out_of_order: true,
            retries: 0,
        };
        let late = late.into_iter().map(|(index, callback)| (index - middle, callback)).collect();
        let rest = half(Arc::new(second), self.count - middle, promises.1, late, self.order + span);
        let first = half(self.buffer, middle, promises.0, early, self.order);
        Ok((first, rest))
    }

    /// Notes an answer that lets it be tried again; false when `retries` is used up.
    pub(super) fn failed(&mut self, failure: &Failure, limits: &Limits) -> bool {
        self.cause = Some(failure.error.clone());
        self.undecided |= failure.undecided;
        self.out_of_order = failure.out_of_order;
        if failure.out_of_order {
            // Refused as out of order, so not in the log; had it been there, it would have been known as a duplicate.
            self.undecided = false;
        }
        if failure.counted {
            self.retries += 1;
        }
        self.retries <= limits.retries
    }

    /// The producer id that it was sent under.
    pub(super) fn producer_id(&self) -> Option<i64> {
        self.stamp.map(|stamp| stamp.producer.id)
    }

    /// What its records are told when it is given up.
    pub(super) fn give_up(&self, why: Error) -> Error {
        let (topic, partition) = self.promise.place();
        let mut why = why.with_partition(topic, partition);
        // A code is the broker's own reason, and needs no other.
        if let (Some(cause), None) = (&self.cause, why.code()) {
            why = why.after(cause);
        }
        if self.undecided { delivery::unknown(why) } else { why }
    }
}

/// A failed try that may be repeated.
pub(super) struct Failure {
    pub(super) error: Error,
    /// It counts against `retries`.
    pub(super) counted: bool,
    /// The log may hold the batch.
    pub(super) undecided: bool,
    /// The broker misses an earlier batch.
    pub(super) out_of_order: bool,
}

impl Failure {
    /// The connection ended before the answer came.
    pub(super) fn lost(error: Error) -> Self {
        Self { error, counted: false, undecided: true, out_of_order: false }
    }

    /// It never left.
    pub(super) fn unsent(error: Error) -> Self {
        Self { error, counted: false, undecided: false, out_of_order: false }
    }
}

/// The error of a record that ran out of time.
pub(super) fn timed_out(limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("not acknowledged within {} ms (message.timeout.ms)", limit.as_millis()))
}
