//! What became of the records that were sent: written by the threads that read the brokers' answers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::stats::{Counter, Histogram};
use crate::{DeliveredBatch, Error, RecordMetadata, Result};

const AFTER_FAILURE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Tally {
    origin: Instant,
    /// Turned on when the warm-up ends.
    measuring: AtomicBool,
    /// Acknowledged before the measurement.
    pub warm_up: Counter,
    /// Acknowledged in the measurement.
    pub records: Arc<Counter>,
    pub batches: Counter,
    /// Not acknowledged, or not known to be.
    pub failed: Counter,
    /// Of those records that were sent with [`Tally::timer`].
    pub latency: Histogram,
    /// When the latest acknowledgement came, in nanoseconds since the origin.
    latest: AtomicU64,
    first_failure: OnceLock<Error>,
}

impl Tally {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            measuring: AtomicBool::new(false),
            warm_up: Counter::default(),
            records: Arc::default(),
            batches: Counter::default(),
            failed: Counter::default(),
            latency: Histogram::fine(),
            latest: AtomicU64::new(0),
            first_failure: OnceLock::new(),
        })
    }

    /// Begins to measure. What is still under way counts as measured, so most wait for it before.
    pub fn measure(&self) {
        self.measuring.store(true, Ordering::Release);
    }

    /// Takes note of a batch.
    pub fn note(&self, batch: &DeliveredBatch<'_>) {
        let records = batch.len() as u64;
        match batch.outcome() {
            Err(error) => {
                self.failed.add(records);
                self.fail(error.clone());
            }
            Ok(_) if self.measuring.load(Ordering::Acquire) => {
                let now = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
                self.latest.fetch_max(now, Ordering::Relaxed);
                self.records.add(records);
                self.batches.add(1);
            }
            Ok(_) => self.warm_up.add(records),
        }
    }

    /// What a record is sent with whose latency, since `due`, is taken.
    pub fn timer(self: &Arc<Self>, due: Instant) -> impl FnOnce(&Result<RecordMetadata>) + Send + use<> {
        let tally = Arc::clone(self);
        move |outcome| {
            if outcome.is_ok() && tally.measuring.load(Ordering::Acquire) {
                tally.latency.record(due.elapsed());
            }
        }
    }

    /// Something failed: whoever sends sees it and ends.
    pub fn fail(&self, error: Error) {
        let _ = self.first_failure.set(error);
    }

    /// The first failure.
    pub fn failure(&self) -> Option<&Error> {
        self.first_failure.get()
    }

    /// How long to wait for what is under way. Where something failed, the rest need not fail in its own time.
    pub fn patience(&self, usual: Duration) -> Duration {
        if self.failure().is_some() { usual.min(AFTER_FAILURE) } else { usual }
    }

    /// From `start` to the latest acknowledgement.
    pub fn elapsed_since(&self, start: Instant) -> Duration {
        let latest = self.origin + Duration::from_nanos(self.latest.load(Ordering::Relaxed));
        latest.saturating_duration_since(start)
    }
}
