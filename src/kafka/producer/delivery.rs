//! What became of a record: handles, callbacks, and the one outcome that a whole batch shares.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::accumulator::Partition;
use super::batch::Batch;
use crate::clock::Deadline;
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::protocol::Bytes;
use crate::kafka::record::batch;
use crate::kafka::record::compression::Limits;
use crate::kafka::record::walk::{Headers, RawRecord};
use crate::sync::lock;

/// Where an acknowledged record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: Option<i64>,
}

impl RecordMetadata {
    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Its offset in the partition; -1 with `acks=0`, or when the broker had the record already and no longer knows where.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// When the broker appended it, in milliseconds since 1970, for a topic with `message.timestamp.type=LogAppendTime`.
    pub fn log_append_time(&self) -> Option<i64> {
        self.timestamp
    }
}

impl fmt::Display for RecordMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}@{}", self.topic, self.partition, self.offset)
    }
}

/// What a batch ended with.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Acknowledged { base_offset: i64, log_append_time: Option<i64> },
    Failed(Error),
}

/// Where the fate of a batch becomes known, once.
pub(super) struct Promise {
    topic: Arc<str>,
    partition: i32,
    fate: Mutex<Fate>,
    known: Condvar,
    /// Somebody waits, or did. Few ever do, and waking nobody costs as much as waking somebody.
    awaited: AtomicBool,
}

/// What is known of a batch.
enum Fate {
    Open,
    Settled(Outcome),
    /// It was too large for the broker and goes on as two: the records before this index, and the others.
    Split(u32, Arc<Promise>, Arc<Promise>),
}

impl Promise {
    pub(super) fn new(topic: Arc<str>, partition: i32) -> Self {
        Self { topic, partition, fate: Mutex::new(Fate::Open), known: Condvar::new(), awaited: AtomicBool::new(false) }
    }

    pub(super) fn settle(&self, outcome: Outcome) {
        self.decide(Fate::Settled(outcome));
    }

    /// The batch goes on as two, the second from the record `at` on.
    pub(super) fn split(&self, at: u32) -> (Arc<Self>, Arc<Self>) {
        let half = || Arc::new(Self::new(Arc::clone(&self.topic), self.partition));
        let halves = (half(), half());
        self.decide(Fate::Split(at, Arc::clone(&halves.0), Arc::clone(&halves.1)));
        halves
    }

    /// Whether nothing is known yet.
    pub(super) fn is_open(&self) -> bool {
        matches!(*lock(&self.fate), Fate::Open)
    }

    /// Topic and partition.
    pub(super) fn place(&self) -> (&str, i32) {
        (&self.topic, self.partition)
    }

    fn decide(&self, decided: Fate) {
        let mut fate = lock(&self.fate);
        if matches!(*fate, Fate::Open) {
            *fate = decided;
        }
        drop(fate);
        if self.awaited.load(Ordering::Relaxed) {
            self.known.notify_all();
        }
    }

    /// Waits until the fate of all its records is known; false when the deadline passed first.
    pub(super) fn wait(&self, deadline: Option<Deadline>) -> bool {
        match self.wait_decided(deadline) {
            Some(Some((_, first, second))) => first.wait(deadline) && second.wait(deadline),
            Some(None) => true,
            None => false,
        }
    }

    /// Waits until the fate of this record is known, or the deadline has passed.
    fn wait_for_record(&self, index: u32, deadline: Option<Deadline>) {
        if let Some(Some((at, first, second))) = self.wait_decided(deadline) {
            if index < at {
                first.wait_for_record(index, deadline);
            } else {
                second.wait_for_record(index - at, deadline);
            }
        }
    }

    /// None when the deadline passed first, else how the batch was split, if it was.
    #[expect(clippy::type_complexity, reason = "one private answer, taken apart at once")]
    fn wait_decided(&self, deadline: Option<Deadline>) -> Option<Option<(u32, Arc<Self>, Arc<Self>)>> {
        let mut fate = lock(&self.fate);
        // Under the lock that decides: whoever decides later sees it.
        self.awaited.store(true, Ordering::Relaxed);
        loop {
            match &*fate {
                Fate::Open => {}
                Fate::Settled(_) => return Some(None),
                Fate::Split(at, first, second) => return Some(Some((*at, Arc::clone(first), Arc::clone(second)))),
            }
            fate = match deadline {
                None => self.known.wait(fate).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.left(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    self.known.wait_timeout(fate, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn of(&self, index: u32) -> Option<Result<RecordMetadata>> {
        match &*lock(&self.fate) {
            Fate::Open => None,
            Fate::Settled(outcome) => Some(self.record(outcome, index)),
            Fate::Split(at, first, _) if index < *at => first.of(index),
            Fate::Split(at, _, second) => second.of(index - at),
        }
    }

    fn record(&self, outcome: &Outcome, index: u32) -> Result<RecordMetadata> {
        match outcome {
            Outcome::Failed(error) => Err(error.clone()),
            Outcome::Acknowledged { base_offset, log_append_time } => Ok(RecordMetadata {
                topic: Arc::clone(&self.topic),
                partition: self.partition,
                offset: if *base_offset < 0 { -1 } else { base_offset.saturating_add(i64::from(index)) },
                timestamp: *log_append_time,
            }),
        }
    }
}

/// A record on its way. Dropping it cancels nothing.
pub struct Delivery {
    promise: Arc<Promise>,
    index: u32,
}

impl Delivery {
    pub(super) fn new(promise: Arc<Promise>, index: u32) -> Self {
        Self { promise, index }
    }

    /// Waits until the record is acknowledged or has failed; `message.timeout.ms` ends every record.
    ///
    /// # Errors
    /// Why it failed; [`ErrorKind::OutcomeUnknown`] when the log may hold it all the same. [`ErrorKind::State`] in a delivery
    /// callback, where it would wait for itself.
    pub fn wait(&self) -> Result<RecordMetadata> {
        if self.poll().is_none() {
            must_not_wait("wait")?;
        }
        self.promise.wait_for_record(self.index, None);
        self.poll().unwrap_or_else(|| Err(Error::state("the producer ended without an outcome")))
    }

    /// Like [`wait`](Self::wait), for no longer than this.
    ///
    /// # Errors
    /// Also [`ErrorKind::Timeout`] when nothing is known by then; the record goes on and can be waited for again.
    pub fn wait_for(&self, limit: Duration) -> Result<RecordMetadata> {
        let deadline = Deadline::after("wait_for", limit);
        self.promise.wait_for_record(self.index, Some(deadline));
        self.poll().unwrap_or_else(|| Err(Error::timeout(&deadline, "waiting for a record's delivery")))
    }

    /// The outcome, when it is known already.
    pub fn poll(&self) -> Option<Result<RecordMetadata>> {
        self.promise.of(self.index)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("index", &self.index).field("outcome", &self.poll()).finish()
    }
}

/// A batch whose outcome is known, as the producer's callback sees it: once per batch, for all its records.
pub struct DeliveredBatch<'a> {
    partition: &'a Partition,
    outcome: &'a Outcome,
    buffer: &'a Arc<Vec<u8>>,
    len: usize,
    /// Decompressed, once somebody asks for them.
    records: OnceLock<Option<batch::Batch>>,
}

/// A record as it was sent, in a delivery callback.
pub struct SentRecord<'a>(RawRecord<'a>);

impl<'a> SentRecord<'a> {
    /// Its place in the batch, from 0: add it to the offset of the first record.
    pub fn index(&self) -> i64 {
        self.0.offset
    }

    /// Its time in milliseconds since 1970.
    pub fn timestamp(&self) -> i64 {
        self.0.timestamp
    }

    /// Its key, if it has one.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.0.key
    }

    /// Its value, if it has one.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.0.value
    }

    /// Its headers, in order.
    pub fn headers(&self) -> Headers<'a> {
        self.0.headers.clone()
    }
}

impl<'a> DeliveredBatch<'a> {
    pub(super) fn new(partition: &'a Partition, batch: &'a Batch, outcome: &'a Outcome) -> Self {
        Self { partition, outcome, buffer: &batch.buffer, len: batch.count as usize, records: OnceLock::new() }
    }

    /// The topic.
    pub fn topic(&self) -> &'a str {
        &self.partition.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition.index
    }

    /// How many records it holds.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The offset of its first record (-1 when not known, see [`RecordMetadata::offset`]), or why all of them failed.
    pub fn outcome(&self) -> Result<i64, &'a Error> {
        match self.outcome {
            Outcome::Acknowledged { base_offset, .. } => Ok(*base_offset),
            Outcome::Failed(error) => Err(error),
        }
    }

    /// The records as they were sent, in order.
    pub fn records(&self) -> impl Iterator<Item = SentRecord<'_>> {
        // What we built can be read; a codec's own failure leaves the callback without records, not without outcome.
        let read = || {
            let bytes = Bytes::from_shared(Arc::clone(self.buffer), 0..self.buffer.len());
            batch::batches(&bytes).next()?.ok()?.decompress(Limits::default()).ok()
        };
        self.records.get_or_init(read).iter().flat_map(|batch| batch.records()).map(SentRecord)
    }
}

/// Called with the outcome of one record.
pub(super) type RecordCallback = Box<dyn FnOnce(&Result<RecordMetadata>) + Send>;
/// Called with the outcome of each batch.
pub(super) type BatchCallback = Box<dyn Fn(&DeliveredBatch<'_>) + Send + Sync>;

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a delivery callback, where nothing may block.
pub(super) fn in_callback() -> bool {
    IN_CALLBACK.get()
}

/// # Errors
/// In a delivery callback, where waiting for deliveries would be waiting for itself.
pub(super) fn must_not_wait(call: &str) -> Result<()> {
    if in_callback() { Err(Error::state(format!("{call} cannot be called in a delivery callback"))) } else { Ok(()) }
}

/// Runs a callback; false when it panicked.
pub(super) fn run_callback(callback: impl FnOnce()) -> bool {
    let outer = IN_CALLBACK.replace(true);
    let survived = catch_unwind(AssertUnwindSafe(callback)).is_ok();
    IN_CALLBACK.set(outer);
    survived
}

/// Tells the promise and the callbacks of a batch; false when a callback panicked.
pub(super) fn announce(
    promise: &Promise,
    outcome: Outcome,
    callbacks: Vec<(u32, RecordCallback)>,
    on_batch: impl FnOnce(&Outcome),
) -> bool {
    let mut survived = run_callback(|| on_batch(&outcome));
    for (index, callback) in callbacks {
        let record = promise.record(&outcome, index);
        survived &= run_callback(|| callback(&record));
    }
    promise.settle(outcome);
    survived
}

/// The failure of a record that may be in the log all the same.
pub(super) fn unknown(why: Error) -> Error {
    why.with_kind(ErrorKind::OutcomeUnknown).begun("outcome unknown, the log may hold it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise() -> Arc<Promise> {
        Arc::new(Promise::new("t".into(), 2))
    }

    /// A callback may hand what it is given to threads of its own.
    #[test]
    fn what_a_callback_sees_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<DeliveredBatch<'_>>();
        shared::<Delivery>();
    }

    #[test]
    fn a_delivery_knows_its_offset_in_the_batch() {
        let promise = promise();
        let delivery = Delivery::new(Arc::clone(&promise), 3);
        assert!(delivery.poll().is_none());
        promise.settle(Outcome::Acknowledged { base_offset: 40, log_append_time: None });
        assert_eq!(delivery.wait().unwrap().to_string(), "t-2@43");
    }

    #[test]
    fn the_first_outcome_stays() {
        let promise = promise();
        promise.settle(Outcome::Failed(Error::state("first")));
        promise.settle(Outcome::Acknowledged { base_offset: 0, log_append_time: None });
        assert!(Delivery::new(promise, 0).wait().is_err());
    }

    #[test]
    fn the_records_of_a_split_batch_keep_their_places() {
        let whole = promise();
        let deliveries: Vec<_> = (0..5).map(|index| Delivery::new(Arc::clone(&whole), index)).collect();
        let (first, rest) = whole.split(2);
        let (second, third) = rest.split(1);
        assert!(deliveries.iter().all(|delivery| delivery.poll().is_none()));
        assert!(!whole.wait(Some(Deadline::after("test", Duration::ZERO))));
        for (promise, base_offset) in [(first, 10), (second, 20), (third, 30)] {
            promise.settle(Outcome::Acknowledged { base_offset, log_append_time: None });
        }
        assert!(whole.wait(None));
        let offsets: Vec<_> = deliveries.iter().map(|delivery| delivery.wait().unwrap().offset()).collect();
        assert_eq!(offsets, [10, 11, 20, 30, 31]);
    }

    #[test]
    fn a_callback_cannot_wait_for_deliveries() {
        let (delivery, (told, kind)) = (Delivery::new(promise(), 0), std::sync::mpsc::channel());
        assert!(run_callback(|| told.send(delivery.wait().unwrap_err().kind()).unwrap()));
        assert_eq!(kind.recv().unwrap(), ErrorKind::State);
        assert!(must_not_wait("flush").is_ok(), "outside of one it can");
    }

    #[test]
    fn waiting_has_an_end() {
        let delivery = Delivery::new(promise(), 0);
        assert_eq!(delivery.wait_for(Duration::from_millis(1)).unwrap_err().kind(), ErrorKind::Timeout);
    }

    #[test]
    fn a_panicking_callback_is_noticed_and_the_others_still_run() {
        let promise = promise();
        let (told, ran) = std::sync::mpsc::channel();
        let callbacks: Vec<(u32, RecordCallback)> = vec![
            (0, Box::new(|_| panic!("deliberate"))),
            (1, Box::new(move |record| told.send((in_callback(), record.clone().unwrap().offset())).unwrap())),
        ];
        let outcome = Outcome::Acknowledged { base_offset: 7, log_append_time: None };
        assert!(!announce(&promise, outcome, callbacks, |_| {}));
        assert_eq!(ran.recv().unwrap(), (true, 8));
        assert!(!in_callback());
        assert!(Delivery::new(promise, 0).wait().is_ok());
    }
}
