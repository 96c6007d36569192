//! `krs bench latency`: end to end, with the producer and the consumer in one process, and so by one clock.
//!
//! Record i is due at start + i / rate, and carries this moment in its value. Its latency is the time at which the
//! consumer has it in hand, less the moment it was due: not when it was sent. So whatever holds the sender up counts for
//! every record that was due meanwhile (no coordinated omission).
//!
//! The time is taken once per poll: all records of one poll are in hand at the same moment. The consumer stands at the
//! end of all partitions, and one record for each partition has come through, before the schedule begins.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::pace::{Pace, Watch};
use super::progress::Progress;
use super::report::{Latency, Report};
use super::tally::Tally;
use super::usage::Usage;
use super::values::Values;
use super::{Limit, MESSAGE_TIMEOUT, Options, STOPPED, partitions};
use crate::clock::Deadline;
use crate::service::{Stop, topic};
use crate::stats::{Counter, Histogram};
use crate::{Config, Consumer, Error, ErrorKind, Producer, Record, Result, Scope, TopicPartition};

const POLL: Duration = Duration::from_millis(50);

/// An acknowledged record that the consumer has not got so long after everything was sent is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The warm-up takes no longer than this, unless that was asked for.
const WARM_UP: Duration = Duration::from_secs(2);

/// A sender that is so late cannot keep the rate.
const TOO_LATE: Duration = Duration::from_secs(10);

const GRACE: Duration = Duration::from_millis(200);

/// Measures; `None` if the stop was asked for before anything was sent.
pub(super) fn run(options: &Options, stop: &Stop) -> Result<Option<Report>> {
    let course = Course::of(options);
    let config = options.config.clone().default_to("message.timeout.ms", MESSAGE_TIMEOUT)?;
    let patience = config.producer()?.message_timeout + GRACE;
    config.consumer()?;
    if !topic::ensure(
        &config.clone().only(Scope::Producer),
        &options.topic,
        options.partitions,
        options.replication_factor,
        stop,
        "bench",
    )? {
        return Ok(None);
    }
    let tally = Tally::new();
    let (topic, note) = (options.topic.clone(), Arc::clone(&tally));
    let connected = stop.unless_asked("connecting", move || Ends::connect(&config, &topic, patience, &note))?;
    let Some(Ends { producer, mut consumer }) = connected else { return Ok(None) };
    let first_ones = tally.warm_up.get();
    let acknowledged = || tally.warm_up.get() + tally.records.get() - first_ones;

    let measured = Arc::new(Counter::default());
    let progress = Progress::start(&measured, Limit::Count(course.total - course.warm_up));
    let sender = Sender { options, course, producer: &producer, tally: &tally, patience, stop };
    let mut receiver = Receiver::new(&course, &measured);
    let all_sent = AtomicU64::new(UNKNOWN);
    let start = Instant::now();
    let (before, trouble) = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("bench-send".into());
        let sending = thread
            .spawn_scoped(scope, || {
                let before = sender.run(start);
                all_sent.store(acknowledged(), Ordering::Release);
                before
            })
            .map_err(|error| Error::new(ErrorKind::Io, format!("cannot start a thread: {error}")))?;
        let trouble = receiver.run(&mut consumer, start, &all_sent);
        if let Err(error) = &trouble {
            // The sender sees it and ends.
            tally.fail(error.clone());
        }
        let before = sending.join().unwrap_or_else(|_| {
            tally.fail(Error::state("the thread that sends panicked"));
            None
        });
        Ok::<_, Error>((before, trouble.err()))
    })?;
    // Without a beginning nothing was used.
    let usage = Usage::now().map(|after| after.since(before.unwrap_or(after)));
    drop(progress);
    let retried = producer.counters().retried_batches;
    let closed = producer.close(GRACE);
    if let Err(error) = consumer.close(PATIENCE) {
        log::warn!(target: "bench", "{error}");
    }

    let records = measured.get();
    let failure = trouble.or_else(|| tally.failure().cloned()).or(closed.err());
    if let Some(error) = &failure
        && records == 0
    {
        return Err(error.clone());
    }
    let lost = acknowledged().saturating_sub(receiver.received);
    let ended = match failure {
        Some(error) => Some(error.to_string()),
        None if lost > 0 => Some(format!("{lost} acknowledged records did not come in {} s", PATIENCE.as_secs())),
        None => stop.is_asked().then(|| STOPPED.to_owned()),
    };
    let elapsed = receiver.latest.saturating_sub(course.pace.due(course.warm_up));
    let mut report = Report::new(options, records, receiver.bytes, elapsed, usage);
    report.end(ended);
    report.warmup_records = first_ones + receiver.received - records;
    report.failed = tally.failed.get();
    report.latency(Latency::of(&receiver.latency), "records, from due to received");
    report.batches = Some(tally.batches.get());
    report.retried_batches = Some(retried);
    report.foreign = Some(receiver.foreign).filter(|foreign| *foreign > 0);
    Ok(Some(report))
}

/// In place of a number.
const UNKNOWN: u64 = u64::MAX;

/// What is sent and when.
#[derive(Clone, Copy, Debug)]
struct Course {
    pace: Pace,
    /// The first records, which are not measured.
    warm_up: u64,
    /// All records.
    total: u64,
    /// Tells our records from those of others: moments travel xored with it.
    key: u64,
}

impl Course {
    fn of(options: &Options) -> Self {
        let pace = Pace::new(options.rate.unwrap_or(super::DEFAULT_LATENCY_RATE));
        let measured = match options.limit {
            Limit::Count(count) => count,
            Limit::Time(time) => pace.within(time),
        };
        let warm_up = options.warm_up.unwrap_or_else(|| (pace.due(measured) / 5).min(WARM_UP));
        let warm_up = pace.within(warm_up);
        Self { pace, warm_up, total: warm_up.saturating_add(measured), key: RandomState::new().hash_one("bench") }
    }
}

/// Producer and consumer, at both ends of the topic.
struct Ends {
    producer: Producer,
    consumer: Consumer,
}

impl Ends {
    /// Connects both, and sees one record through each partition, so that what comes next finds every connection open.
    fn connect(config: &Config, topic: &str, patience: Duration, tally: &Arc<Tally>) -> Result<Self> {
        let mut consumer = Consumer::connect(&config.clone().only(Scope::Consumer))?;
        let partitions = partitions(&config.clone().only(Scope::Consumer), topic)?;
        consumer.assign(&partitions)?;
        consumer.seek_to_end(&[])?;
        for partition in &partitions {
            consumer.position(partition)?;
        }
        let note = Arc::clone(tally);
        let producer = Producer::connect_with(&config.clone().only(Scope::Producer), move |batch| note.note(batch))?;
        // Nobody has another record with this value.
        let value = RandomState::new().hash_one(topic).to_le_bytes();
        for partition in &partitions {
            producer.send(Record::to(topic).partition(partition.partition).value(&value))?;
        }
        producer.flush(patience)?;
        if let Some(error) = tally.failure() {
            return Err(error.clone());
        }
        await_first_ones(&mut consumer, &partitions, &value)?;
        Ok(Self { producer, consumer })
    }
}

fn await_first_ones(consumer: &mut Consumer, partitions: &[TopicPartition], value: &[u8]) -> Result<()> {
    let deadline = Deadline::after("the patience of krs bench", PATIENCE);
    let mut missing = partitions.to_vec();
    while !missing.is_empty() {
        let now = Instant::now();
        if deadline.passed(now) {
            return Err(Error::timeout(&deadline, format_args!("receiving the first record of {}", missing[0])));
        }
        for record in &consumer.poll(deadline.left(now).min(POLL))? {
            if record.value() == Some(value) {
                missing.retain(|partition| partition != record.topic_partition());
            }
        }
    }
    Ok(())
}

struct Sender<'a> {
    options: &'a Options,
    course: Course,
    producer: &'a Producer,
    tally: &'a Tally,
    patience: Duration,
    stop: &'a Stop,
}

impl Sender<'_> {
    /// Sends until everything is sent, the stop is asked for or something fails, which the tally then knows. Returns what
    /// the process had used when the measured part began.
    fn run(&self, start: Instant) -> Option<Usage> {
        let mut before = None;
        let sent = self.send_all(start, &mut before);
        if let Err(error) = sent {
            self.tally.fail(error);
        }
        if let Err(error) = self.producer.flush(self.tally.patience(self.patience)) {
            self.tally.fail(error);
        }
        before
    }

    fn send_all(&self, start: Instant, before: &mut Option<Usage>) -> Result<()> {
        let mut values = Values::new(self.options.size);
        let mut watch = Watch::new(start);
        for index in 0..self.course.total {
            let offset = self.course.pace.due(index);
            let due = start + offset;
            let now = watch.wait_until(due, self.stop);
            if self.stop.is_asked() || self.tally.failure().is_some() {
                break;
            }
            if now.saturating_duration_since(due) > TOO_LATE {
                let rate = self.options.rate.unwrap_or(super::DEFAULT_LATENCY_RATE);
                return Err(Error::new(
                    ErrorKind::State,
                    format!("{} s behind a rate of {rate}/s: that cannot be kept here", TOO_LATE.as_secs()),
                ));
            }
            if index == self.course.warm_up {
                self.tally.measure();
                *before = Usage::now();
            }
            let value = values.nth_mut(index);
            if let Some(place) = value.first_chunk_mut() {
                *place = (nanos(offset) ^ self.course.key).to_le_bytes();
            }
            self.producer.post(Record::to(&self.options.topic).value(value))?;
        }
        Ok(())
    }
}

struct Receiver<'a> {
    key: u64,
    /// When the first measured record is due.
    measured_from: u64,
    measured: &'a Counter,
    /// Of our records, the warm-up's among them.
    received: u64,
    foreign: u64,
    /// Of the values of measured records.
    bytes: u64,
    latency: Histogram,
    /// When the latest measured record came, after the start.
    latest: Duration,
}

impl<'a> Receiver<'a> {
    fn new(course: &Course, measured: &'a Counter) -> Self {
        Self {
            key: course.key,
            measured_from: nanos(course.pace.due(course.warm_up)),
            measured,
            received: 0,
            foreign: 0,
            bytes: 0,
            latency: Histogram::fine(),
            latest: Duration::ZERO,
        }
    }

    /// Receives until it has everything that was sent, or waited for it long enough.
    fn run(&mut self, consumer: &mut Consumer, start: Instant, all_sent: &AtomicU64) -> Result<()> {
        let mut waiting = None;
        loop {
            let expected = all_sent.load(Ordering::Acquire);
            if expected != UNKNOWN {
                let since = *waiting.get_or_insert_with(Instant::now);
                if self.received >= expected || since.elapsed() > PATIENCE {
                    return Ok(());
                }
            }
            let polled = consumer.poll(POLL)?;
            if polled.is_empty() {
                continue;
            }
            let now = start.elapsed();
            let before = self.measured.get();
            for record in &polled {
                self.take(record.value().unwrap_or_default(), nanos(now));
            }
            if self.measured.get() > before {
                self.latest = now;
            }
        }
    }

    fn take(&mut self, value: &[u8], now: u64) {
        // Without its key a moment is a random number, which lies in the future.
        let due = value.first_chunk().map(|stamp| u64::from_le_bytes(*stamp) ^ self.key).filter(|due| *due <= now);
        let Some(due) = due else {
            self.foreign += 1;
            return;
        };
        self.received += 1;
        if due >= self.measured_from {
            self.latency.record_micros((now - due) / 1000);
            self.bytes += value.len() as u64;
            self.measured.add(1);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver<'a>(measured: &'a Counter, key: u64, measured_from: u64) -> Receiver<'a> {
        let course = Course { pace: Pace::new(1), warm_up: 0, total: 0, key };
        Receiver { measured_from, ..Receiver::new(&course, measured) }
    }

    #[test]
    fn latency_counts_from_the_moment_a_record_was_due() {
        let (measured, key) = (Counter::default(), 0xABCD_EF01_2345_6789);
        let mut receiver = receiver(&measured, key, 5_000_000);
        let value = |due: u64| [(due ^ key).to_le_bytes(), [1; 8]].concat();
        receiver.take(&value(4_999_999), 6_000_000);
        assert_eq!((receiver.received, measured.get()), (1, 0), "the warm-up does not count");
        // Three records that were due while the sender was held up, and came together.
        for due in [5_000_000, 6_000_000, 7_000_000] {
            receiver.take(&value(due), 8_000_000);
        }
        let latency = receiver.latency.snapshot();
        assert_eq!(
            (latency.percentile(1.0), latency.percentile(50.0), latency.max()),
            (Some(1000), Some(2000), Some(3000))
        );
        assert_eq!((receiver.received, measured.get(), receiver.bytes), (4, 3, 48));
    }

    #[test]
    fn what_others_wrote_is_not_measured() {
        let measured = Counter::default();
        let mut receiver = receiver(&measured, 0xABCD_EF01_2345_6789, 0);
        receiver.take(b"", 1_000_000_000);
        receiver.take(&[0; 100], 1_000_000_000);
        assert_eq!((receiver.received, receiver.foreign, measured.get()), (0, 2, 0));
    }

    #[test]
    fn the_warm_up_is_a_fifth_but_no_more_than_two_seconds() {
        let course = |rate, limit, warm_up| {
            let options =
                Options { rate: Some(rate), limit, warm_up, ..Options::new(super::super::Mode::Latency, "t") };
            let course = Course::of(&options);
            (course.warm_up, course.total - course.warm_up)
        };
        let second = Duration::from_secs(1);
        assert_eq!(course(1000, Limit::Time(60 * second), None), (2000, 60_000));
        assert_eq!(course(1000, Limit::Time(5 * second), None), (1000, 5000));
        assert_eq!(course(1000, Limit::Count(10), None), (2, 10));
        assert_eq!(course(1000, Limit::Count(1), None), (1, 1));
        assert_eq!(course(10, Limit::Count(50), Some(3 * second)), (30, 50));
        assert_eq!(course(10, Limit::Count(50), Some(Duration::ZERO)), (0, 50));
    }
}
