//! Counters and latency histograms that any thread can write without a lock, and the thread that reports them.
//!
//! A loop owns what it counts and offers it as a [`Source`]; the [`Reporter`], one per process, turns the difference
//! between two [`Sample`]s into log lines of target `stats`. Totals at the end are the loops' own business.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// How often the stats thread reports unless told otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);

/// The percentiles that are reported.
const PERCENTILES: [(&str, f64); 5] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99)];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What it stands at.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is longer counts as this: 71 minutes.
const LONGEST_MICROS: u64 = (1 << 32) - 1;

/// How finely a histogram tells values apart: so many bits of a value count, that is 2^bits buckets for each doubling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Precision(u32);

impl Precision {
    /// A value is known to 1/64, below 128 µs exactly.
    const USUAL: Self = Self(6);
    /// A value is known to 1/1024, which is three significant digits, below 2 ms exactly.
    const FINE: Self = Self(10);

    fn per_doubling(self) -> usize {
        1 << self.0
    }

    fn buckets(self) -> usize {
        self.per_doubling() * (32 - self.0 as usize + 1)
    }

    fn bucket(self, micros: u64) -> usize {
        let doublings = (u64::BITS - micros.leading_zeros()).saturating_sub(self.0 + 1);
        self.per_doubling() * doublings as usize + (micros >> doublings) as usize
    }

    /// The largest value that falls into a bucket.
    fn upper_bound(self, bucket: usize) -> u64 {
        let doublings = (bucket / self.per_doubling()).saturating_sub(1);
        let first = (bucket - self.per_doubling() * doublings) as u64;
        ((first + 1) << doublings) - 1
    }
}

/// How often which latency occurred, from 1 µs to an hour, each known to 1.6 %. 14 kB whatever is recorded.
#[derive(Debug)]
pub struct Histogram {
    precision: Precision,
    buckets: Box<[AtomicU64]>,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::with(Precision::USUAL)
    }
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one that knows each latency to three significant digits, or to the microsecond where that is less.
    /// 184 kB whatever is recorded.
    pub fn fine() -> Self {
        Self::with(Precision::FINE)
    }

    fn with(precision: Precision) -> Self {
        let buckets = (0..precision.buckets()).map(|_| AtomicU64::new(0)).collect();
        Self { precision, buckets, max: AtomicU64::new(0) }
    }

    /// Records one latency.
    pub fn record(&self, latency: Duration) {
        self.record_micros(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// Records one latency in microseconds.
    pub fn record_micros(&self, micros: u64) {
        let micros = micros.min(LONGEST_MICROS);
        self.buckets[self.precision.bucket(micros)].fetch_add(1, Ordering::Relaxed);
        self.max.fetch_max(micros, Ordering::Relaxed);
    }

    /// What was recorded so far. What is recorded meanwhile may be in it or not.
    pub fn snapshot(&self) -> Snapshot {
        let buckets: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let max = self.max.load(Ordering::Relaxed);
        Snapshot { precision: self.precision, count: buckets.iter().sum(), buckets, max }
    }
}

/// What a [`Histogram`] held at one moment, or the difference or the sum of such. Those that are put together are of
/// histograms of one precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    precision: Precision,
    /// Empty, or as many as the precision has.
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { precision: Precision::USUAL, buckets: Vec::new(), count: 0, max: 0 }
    }
}

impl Snapshot {
    /// How many latencies it holds.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest in microseconds: exact in what a histogram recorded, to 1.6 % in a difference.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The value, in microseconds, that `percent` of the latencies do not exceed.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        // 99.9 % of 1000 are 999, whatever the last bit of the product.
        let exact = percent * self.count as f64 / 100.0;
        let rank = ((exact * (1.0 - 1e-12)).ceil() as u64).clamp(1, self.count.max(1));
        let mut below = 0;
        self.buckets.iter().enumerate().find_map(|(bucket, count)| {
            below += count;
            (below >= rank).then(|| self.precision.upper_bound(bucket).min(self.max))
        })
    }

    /// What was recorded after `earlier`, a snapshot of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        if earlier.buckets.is_empty() {
            return self.clone();
        }
        let buckets: Vec<u64> =
            self.buckets.iter().zip(&earlier.buckets).map(|(now, then)| now.saturating_sub(*then)).collect();
        let highest = buckets.iter().rposition(|count| *count > 0);
        let bound = highest.map_or(0, |bucket| self.precision.upper_bound(bucket));
        let max = if self.max > earlier.max { self.max } else { bound.min(self.max) };
        Self { precision: self.precision, count: buckets.iter().sum(), buckets, max }
    }

    /// Adds what another one holds.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.precision = other.precision;
            self.buckets.clone_from(&other.buckets);
        } else {
            self.buckets.iter_mut().zip(&other.buckets).for_each(|(ours, theirs)| *ours += theirs);
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }
}

/// `p50=0.312ms p90=… max=…`, or nothing if it is empty.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, percent) in PERCENTILES {
            if let Some(micros) = self.percentile(percent) {
                write!(f, "{name}={} ", Millis(micros))?;
            }
        }
        self.max().map_or(Ok(()), |micros| write!(f, "max={}", Millis(micros)))
    }
}

/// Microseconds, shown as milliseconds.
struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}ms", self.0 / 1000, self.0 % 1000)
    }
}

/// One count of a loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What is counted: `delivered`.
    pub name: &'static str,
    /// How many so far.
    pub value: u64,
    /// Whether its rate is reported too.
    pub rate: bool,
}

impl Count {
    /// A count that is reported with its rate.
    pub fn rate(name: &'static str, value: u64) -> Self {
        Self { name, value, rate: true }
    }

    /// A count that is reported as it stands.
    pub fn plain(name: &'static str, value: u64) -> Self {
        Self { name, value, rate: false }
    }
}

/// `sent=600, delivered=600`
pub struct Totals<'a>(pub &'a [Count]);

impl fmt::Display for Totals<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, count) in self.0.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{}={}", count.name, count.value)?;
        }
        Ok(())
    }
}

/// What a loop has counted at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The loop's counts, always the same ones in the same order.
    pub counts: Vec<Count>,
    /// What latency is measured, and its distribution: `ack latency`.
    pub latency: (&'static str, Snapshot),
    /// Counts of parts of it by name, such as the producers that a receiver hears of. Parts come and go.
    pub parts: Vec<(String, Vec<Count>)>,
}

/// A loop that counts.
pub trait Source: Send + Sync {
    /// The loop's name: `sender`.
    fn name(&self) -> &str;

    /// What it has counted so far. Called by the stats thread; must not block for long.
    fn sample(&self) -> Sample;
}

/// The lines that tell what happened between two samples. Parts in which nothing happened are left out.
pub fn report(name: &str, before: &Sample, after: &Sample, elapsed: Duration) -> Vec<String> {
    let mut line = format!("{name}: {}", rates(&before.counts, &after.counts, elapsed));
    let latency = after.latency.1.since(&before.latency.1);
    if latency.count() > 0 {
        let _ = write!(line, "; {} {latency}", after.latency.0);
    }
    let _ = write!(line, "; total: {}", Totals(&after.counts));
    let mut lines = vec![line];
    for (part, counts) in &after.parts {
        let earlier = before.parts.iter().find(|(known, _)| known == part).map_or(&[][..], |(_, counts)| counts);
        if counts.as_slice() != earlier {
            lines.push(format!("{name}: {part}: {}; total: {}", rates(earlier, counts, elapsed), Totals(counts)));
        }
    }
    lines
}

/// `10.0 sent/s, 9.9 delivered/s`
fn rates(before: &[Count], after: &[Count], elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-9);
    let mut text = String::new();
    for count in after.iter().filter(|count| count.rate) {
        let earlier = before.iter().find(|known| known.name == count.name).map_or(0, |known| known.value);
        let rate = count.value.saturating_sub(earlier) as f64 / seconds;
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{rate:.1} {}/s", count.name);
    }
    text
}

/// The stats thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Reporter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ended: bool,
    sources: Vec<Known>,
}

struct Known {
    source: Weak<dyn Source>,
    last: Sample,
    at: Instant,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("sources", &lock(&self.state).sources.len()).finish()
    }
}

impl Reporter {
    /// Starts the thread; with `None` or zero there is none, and nothing is reported.
    pub fn start(interval: Option<Duration>) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread =
            match interval.filter(|interval| !interval.is_zero()) {
                None => None,
                Some(interval) => {
                    let shared = Arc::clone(&shared);
                    let started = thread::Builder::new().name("stats".into()).spawn(move || shared.run(interval));
                    Some(started.map_err(|error| {
                        Error::new(ErrorKind::Io, format!("cannot start the stats thread: {error}"))
                    })?)
                }
            };
        Ok(Self { shared, thread })
    }

    /// Reports on a loop from now on, until it is dropped.
    pub fn add<S: Source + 'static>(&self, source: &Arc<S>) {
        let known = Known {
            last: source.sample(),
            at: Instant::now(),
            source: Arc::downgrade(&(Arc::clone(source) as Arc<dyn Source>)),
        };
        lock(&self.shared.state).sources.push(known);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        lock(&self.shared.state).ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Reports at start + n × interval; what was missed (a stopped process, a slow terminal) is left out.
    fn run(&self, interval: Duration) {
        let mut next = Instant::now();
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            while next <= now {
                next += interval.max(Duration::from_millis(1));
            }
            while !state.ended && Instant::now() < next {
                let left = next.saturating_duration_since(Instant::now());
                state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.ended {
                return;
            }
            let lines = state.report(Instant::now());
            drop(state);
            for line in lines {
                log::info!(target: "stats", "{line}");
            }
            state = lock(&self.state);
        }
    }
}

impl State {
    fn report(&mut self, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        self.sources.retain_mut(|known| {
            let Some(source) = known.source.upgrade() else { return false };
            let sample = source.sample();
            lines.append(&mut report(source.name(), &known.last, &sample, now.saturating_duration_since(known.at)));
            (known.last, known.at) = (sample, now);
            true
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_latencies_are_exact_and_percentiles_are_ranks() {
        let histogram = Histogram::new();
        assert_eq!(histogram.snapshot().percentile(50.0), None);
        assert_eq!(histogram.snapshot().to_string(), "");
        for micros in 1..=100 {
            histogram.record(Duration::from_micros(micros));
        }
        let thousand = Histogram::fine();
        (1..=1000).for_each(|micros| thousand.record_micros(micros));
        assert_eq!(thousand.snapshot().percentile(99.9), Some(999));
        let snapshot = histogram.snapshot();
        for (percent, expected) in [(0.0, 1), (1.0, 1), (50.0, 50), (99.0, 99), (99.01, 100), (100.0, 100)] {
            assert_eq!(snapshot.percentile(percent), Some(expected), "{percent}");
        }
        assert_eq!(
            snapshot.to_string(),
            "p50=0.050ms p90=0.090ms p99=0.099ms p99.9=0.100ms p99.99=0.100ms max=0.100ms"
        );
    }

    #[test]
    fn buckets_are_contiguous() {
        for precision in [Precision::USUAL, Precision::FINE] {
            assert_eq!(precision.bucket(0), 0);
            assert_eq!(precision.bucket(LONGEST_MICROS), precision.buckets() - 1);
            for at in 0..precision.buckets() - 1 {
                assert_eq!(precision.bucket(precision.upper_bound(at)), at);
                assert_eq!(precision.bucket(precision.upper_bound(at) + 1), at + 1);
            }
        }
    }

    #[test]
    fn a_latency_beyond_the_range_counts_as_the_longest() {
        let histogram = Histogram::new();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.snapshot().max(), Some(LONGEST_MICROS));
        assert_eq!(histogram.snapshot().percentile(50.0), Some(LONGEST_MICROS));
    }

    #[test]
    fn a_difference_holds_only_what_came_after() {
        let histogram = Histogram::new();
        histogram.record_micros(90_000);
        let before = histogram.snapshot();
        assert_eq!(before.since(&before).max(), None);
        histogram.record_micros(100);
        let difference = histogram.snapshot().since(&before);
        assert_eq!((difference.count(), difference.percentile(99.0), difference.max()), (1, Some(100), Some(100)));
        histogram.record_micros(500_000);
        assert_eq!(histogram.snapshot().since(&before).max(), Some(500_000), "a new maximum is exact");

        let mut sum = Snapshot::default();
        sum.merge(&before);
        sum.merge(&difference);
        assert_eq!((sum.count(), sum.percentile(50.0), sum.max()), (2, Some(100), Some(90_000)));
    }

    #[test]
    fn a_report_tells_rates_of_the_interval_and_totals() {
        let histogram = Histogram::new();
        histogram.record_micros(1_234_567);
        let part = |name: &str, n| (name.to_owned(), vec![Count::rate("received", n), Count::plain("lost", 0)]);
        let before = Sample {
            counts: vec![Count::rate("received", 100), Count::plain("foreign", 1)],
            latency: ("latency", histogram.snapshot()),
            parts: vec![part("producer a", 60), part("producer b", 40)],
        };
        histogram.record_micros(2_000);
        let after = Sample {
            counts: vec![Count::rate("received", 125), Count::plain("foreign", 1)],
            latency: ("latency", histogram.snapshot()),
            parts: vec![part("producer a", 80), part("producer b", 40), part("producer c", 5)],
        };
        let lines = report("receiver", &before, &after, Duration::from_secs(10));
        assert_eq!(lines.len(), 3, "nothing happened in b: {lines:?}");
        assert!(lines[0].starts_with("receiver: 2.5 received/s; latency p50=2.0"), "{}", lines[0]);
        assert!(lines[0].ends_with("; total: received=125, foreign=1"), "{}", lines[0]);
        assert_eq!(lines[1], "receiver: producer a: 2.0 received/s; total: received=80, lost=0");
        assert_eq!(lines[2], "receiver: producer c: 0.5 received/s; total: received=5, lost=0");
        assert_eq!(
            report("receiver", &after, &after, Duration::ZERO),
            ["receiver: 0.0 received/s; total: received=125, foreign=1"],
            "a stall shows"
        );
    }

    struct Loop;

    impl Source for Loop {
        fn name(&self) -> &str {
            "loop"
        }

        fn sample(&self) -> Sample {
            Sample { counts: vec![Count::rate("done", 7)], ..Sample::default() }
        }
    }

    #[test]
    fn a_loop_is_reported_on_until_it_is_gone() {
        let reporter = Reporter::start(None).unwrap();
        let source = Arc::new(Loop);
        reporter.add(&source);
        let now = Instant::now();
        assert_eq!(lock(&reporter.shared.state).report(now), ["loop: 0.0 done/s; total: done=7"]);
        drop(source);
        assert_eq!(lock(&reporter.shared.state).report(now), [""; 0]);
    }

    #[test]
    fn the_thread_ends_with_its_handle() {
        drop(Reporter::start(Some(Duration::from_secs(3600))).unwrap());
        drop(Reporter::start(Some(Duration::from_nanos(1))).unwrap());
    }

    proptest! {
        #[test]
        fn every_value_is_known_to_a_64th_or_finely_to_a_1024th(micros in 0..=LONGEST_MICROS) {
            for (precision, part) in [(Precision::USUAL, 64), (Precision::FINE, 1024)] {
                let shown = precision.upper_bound(precision.bucket(micros));
                prop_assert!(shown >= micros && (shown - micros) * part <= micros, "{} for {}", shown, micros);
            }
        }

        #[test]
        fn percentiles_are_those_of_the_sorted_values(
            mut values in proptest::collection::vec(0u64..10_000_000, 1..200), percent in 0.0f64..100.0
        ) {
            let histogram = Histogram::new();
            values.iter().for_each(|micros| histogram.record_micros(*micros));
            values.sort_unstable();
            let rank = ((percent / 100.0 * values.len() as f64).ceil() as usize).max(1);
            let (exact, shown) = (values[rank - 1], histogram.snapshot().percentile(percent).unwrap());
            prop_assert!(shown >= exact && (shown - exact) * 64 <= exact, "{} for {}", shown, exact);
        }
    }
}
