use std::fmt::Display;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Arguments, Measure, Report, Result};

/// What became of the records that were sent, counted by the client's own callbacks or handles.
#[derive(Debug, Default)]
pub struct Outcomes {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    first_failure: OnceLock<String>,
}

impl Outcomes {
    pub const fn new() -> Self {
        Self { acknowledged: AtomicU64::new(0), failed: AtomicU64::new(0), first_failure: OnceLock::new() }
    }

    pub fn acknowledged(&self, records: u64) {
        self.acknowledged.fetch_add(records, Ordering::Relaxed);
    }

    pub fn failed(&self, records: u64, why: impl Display) {
        self.failed.fetch_add(records, Ordering::Relaxed);
        self.first_failure.get_or_init(|| why.to_string());
    }

    pub fn note<T, E: Display>(&self, outcome: Result<T, E>) {
        match outcome {
            Ok(_) => self.acknowledged(1),
            Err(error) => self.failed(1, error),
        }
    }

    pub fn count_acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends a run of produce: what was acknowledged, and what failed.
    pub fn finish(&self, measure: Measure, arguments: &Arguments, report: &mut Report) {
        let acknowledged = self.count_acknowledged();
        self.tell(report);
        report.finish(measure, acknowledged, acknowledged * arguments.size as u64, arguments.count);
    }

    /// Puts into the report what failed.
    pub fn tell(&self, report: &mut Report) {
        if let Some(why) = self.first_failure.get() {
            report.ended(format!("{} records failed, the first: {why}", self.failed.load(Ordering::Relaxed)));
        }
    }
}
