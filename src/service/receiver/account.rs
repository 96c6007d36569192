//! What receivers count, and what each of them knows of its commits.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Totals;
use super::line::OneLine;
use crate::service::ledger::{Counts, Ledger};
use crate::service::repeats::Repeats;
#[cfg(feature = "devbroker")]
use crate::stats::Snapshot;
use crate::stats::{Count, Counter, Histogram, Sample, Source};
use crate::sync::lock;
use crate::{Error, Result, TopicPartition};

/// A cause of trouble is told at once, then this often while it lasts.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What the receivers of a run count together. Their loops write it, the commits' callbacks included; the stats thread
/// reads it.
pub(in crate::service) struct Account {
    pub(super) received: Counter,
    pub(super) foreign: Counter,
    commits: Counter,
    failed_commits: Counter,
    rebalances: Counter,
    pub(super) latency: Histogram,
    pub(super) ledger: Mutex<Ledger>,
    troubles: Mutex<Repeats<&'static str>>,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            received: Counter::default(),
            foreign: Counter::default(),
            commits: Counter::default(),
            failed_commits: Counter::default(),
            rebalances: Counter::default(),
            latency: Histogram::new(),
            ledger: Mutex::default(),
            troubles: Mutex::new(Repeats::new(TELL_EVERY)),
        }
    }
}

impl Account {
    /// Whether it was ever given its partitions.
    #[cfg(feature = "devbroker")]
    pub(in crate::service) fn is_assigned(&self) -> bool {
        self.rebalances.get() > 0
    }

    /// The account of all senders together.
    #[cfg(feature = "devbroker")]
    pub(in crate::service) fn ledger_total(&self) -> Counts {
        lock(&self.ledger).total()
    }

    /// From the sending of each message to its line.
    #[cfg(feature = "devbroker")]
    pub(in crate::service) fn latency(&self) -> Snapshot {
        self.latency.snapshot()
    }

    /// A receiver was given these partitions.
    pub(super) fn assigned(&self, partitions: &[TopicPartition]) {
        self.rebalances.add(1);
        let mut ledger = lock(&self.ledger);
        partitions.iter().for_each(|partition| ledger.assigned(partition.partition));
    }

    pub(super) fn trouble(&self, what: &'static str, error: &Error) {
        match lock(&self.troubles).note(what, 1, std::time::Instant::now()) {
            Some(0) => log::warn!(target: "receiver", "{what}: {error}"),
            Some(more) => log::warn!(target: "receiver", "{what}, after {more} more: {error}"),
            None => log::debug!(target: "receiver", "{what}: {error}"),
        }
    }

    pub(super) fn totals(&self) -> Totals {
        Totals { received: self.received.get(), foreign: self.foreign.get() }
    }

    pub(super) fn tell_totals(&self) {
        let sample = self.sample();
        log::info!(target: "receiver", "Totals: {}", crate::stats::Totals(&sample.counts));
        if sample.latency.1.count() > 0 {
            log::info!(target: "receiver", "{} {}", sample.latency.0, sample.latency.1);
        }
        for (name, counts) in &sample.parts {
            log::info!(target: "receiver", "Totals of {name}: {}", crate::stats::Totals(counts));
        }
    }
}

/// What one receiver knows of its commits.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// Polls that brought records.
    polls: AtomicU64,
    /// The last of them whose positions are known to be committed.
    committed: AtomicU64,
    last_failure: Mutex<Option<Error>>,
}

impl Commits {
    /// A poll brought records.
    pub(super) fn polled(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
    }

    /// The last poll that did.
    pub(super) fn poll(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    /// What became of a commit that covers everything up to this poll.
    pub(super) fn concluded(&self, account: &Account, what: &'static str, poll: u64, outcome: Result<()>) {
        match outcome {
            Ok(()) => {
                account.commits.add(1);
                self.committed.fetch_max(poll, Ordering::Relaxed);
            }
            Err(error) => {
                account.failed_commits.add(1);
                account.trouble(what, &error);
                *lock(&self.last_failure) = Some(error);
            }
        }
    }

    /// Whether everything was committed in the end. What an earlier commit covered need not be committed again.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn are_complete(&self) -> Result<()> {
        if self.committed.load(Ordering::Relaxed) >= self.poll() {
            return Ok(());
        }
        let cause = lock(&self.last_failure).take();
        Err(cause.unwrap_or_else(|| Error::state("the last positions were not committed: they were lost to the group")))
    }
}

impl Source for Account {
    fn name(&self) -> &str {
        "receiver"
    }

    fn sample(&self) -> Sample {
        let counts = |counts: &Counts| {
            vec![
                Count::rate("received", counts.received),
                Count::plain("lost", counts.lost),
                Count::plain("duplicates", counts.duplicates),
                Count::plain("out_of_order", counts.out_of_order),
            ]
        };
        let ledger = lock(&self.ledger);
        let mut parts: Vec<_> = ledger
            .producers()
            .into_iter()
            .map(|(name, known)| (format!("producer {}", OneLine(name)), counts(&known)))
            .collect();
        parts.extend(ledger.others().map(|others| ("other producers".to_owned(), counts(&others))));
        drop(ledger);
        Sample {
            counts: vec![
                Count::rate("received", self.received.get()),
                Count::rate("foreign", self.foreign.get()),
                Count::plain("commits", self.commits.get()),
                Count::plain("failed_commits", self.failed_commits.get()),
                Count::plain("rebalances", self.rebalances.get()),
            ],
            latency: ("latency", self.latency.snapshot()),
            parts,
        }
    }
}
