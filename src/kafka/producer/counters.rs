//! What a producer has done so far.

use std::sync::atomic::{AtomicU64, Ordering};

use super::delivery::Outcome;
use crate::kafka::error::ErrorKind;

/// Counts of records since the producer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerCounters {
    /// Taken by `send` whose outcome is not known yet.
    pub pending: u64,
    /// In the log.
    pub acknowledged: u64,
    /// Certainly not in the log.
    pub failed: u64,
    /// Given up without knowing whether the log holds them.
    pub unknown: u64,
    /// Batches that were sent again, whatever the reason.
    pub retried_batches: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
    retried_batches: AtomicU64,
}

impl Counters {
    pub(super) fn concluded(&self, outcome: &Outcome, records: u32) {
        let counter = match outcome {
            Outcome::Acknowledged { .. } => &self.acknowledged,
            Outcome::Failed(error) if error.kind() == ErrorKind::OutcomeUnknown => &self.unknown,
            Outcome::Failed(_) => &self.failed,
        };
        counter.fetch_add(u64::from(records), Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retried_batches.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self, pending: u64) -> ProducerCounters {
        ProducerCounters {
            pending,
            acknowledged: self.acknowledged.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            unknown: self.unknown.load(Ordering::Relaxed),
            retried_batches: self.retried_batches.load(Ordering::Relaxed),
        }
    }
}
