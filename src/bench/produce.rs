//! `krs bench produce`.
//!
//! Latency is that from handing over to acknowledgement, with a rate from the moment the record was due. It is taken of
//! one record in 100 µs at most, so that the clock does not become part of what is measured; without a rate the clock,
//! the stop and failures are looked at with every 16th record.
//!
//! The run ends with the first record that is not delivered: what is measured after that is not what was asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::{Pace, Watch};
use super::progress::Progress;
use super::report::{Latency, Report};
use super::tally::Tally;
use super::usage::Usage;
use super::values::Values;
use super::{Limit, MESSAGE_TIMEOUT, Options, STOPPED};
use crate::service::{Stop, topic};
use crate::{Error, ErrorKind, Producer, Record, Result, Scope};

/// Records between two looks at the clock, the stop and failures.
const STRIDE: u64 = 16;

/// From one record whose latency is taken to the next, at least.
const SAMPLE: Duration = Duration::from_micros(100);

/// The warm-up takes no longer than this, unless that was asked for.
const WARM_UP: Duration = Duration::from_secs(1);

/// Behind what the messages may take: what `flush` itself takes.
const GRACE: Duration = Duration::from_millis(200);

/// Measures; `None` if the stop was asked for before anything was sent.
pub(super) fn run(options: &Options, stop: &Stop) -> Result<Option<Report>> {
    let config = options.config.clone().only(Scope::Producer).default_to("message.timeout.ms", MESSAGE_TIMEOUT)?;
    let patience = config.producer()?.message_timeout + GRACE;
    if !topic::ensure(&config, &options.topic, options.partitions, options.replication_factor, stop, "bench")? {
        return Ok(None);
    }
    let tally = Tally::new();
    let (topic, note) = (options.topic.clone(), Arc::clone(&tally));
    let producer = stop.unless_asked("connecting", move || {
        let producer = Producer::connect_with(&config, move |batch| note.note(batch))?;
        // Finding the partitions is no part of what is measured.
        producer.partition_count(&topic)?;
        Ok(producer)
    })?;
    let Some(producer) = producer else { return Ok(None) };
    let values = Values::new(options.size);
    let sending = Sending { options, producer: &producer, values: &values, tally: &tally, stop };

    sending.until(warm_up(options))?;
    let flushed = producer.flush(tally.patience(patience));
    if let Some(error) = tally.failure().cloned().or(flushed.err()) {
        return Err(error);
    }
    tally.measure();
    let retried = producer.counters().retried_batches;
    let progress = Progress::start(&tally.records, options.limit);
    let before = Usage::now();
    let start = Instant::now();
    sending.until(options.limit.into())?;
    let flushed = producer.flush(tally.patience(patience));
    let usage = Usage::now().zip(before).map(|(after, before)| after.since(before));
    drop(progress);
    let retried = producer.counters().retried_batches - retried;
    // What is given up now is counted as failed.
    let closed = producer.close(GRACE);

    let failure = tally.failure().cloned().or(flushed.err()).or(closed.err());
    let records = tally.records.get();
    if let Some(error) = &failure
        && records == 0
    {
        return Err(error.clone());
    }
    let ended = failure.map(|error| error.to_string()).or_else(|| stop.is_asked().then(|| STOPPED.to_owned()));
    let mut report = Report::new(options, records, records * options.size as u64, tally.elapsed_since(start), usage);
    report.end(ended);
    report.warmup_records = tally.warm_up.get();
    report.failed = tally.failed.get();
    report.latency(Latency::of(&tally.latency), "records, at most one in 0.1 ms, to their acknowledgement");
    report.batches = Some(tally.batches.get());
    report.retried_batches = Some(retried);
    Ok(Some(report))
}

/// How far to send; whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    count: u64,
    time: Option<Duration>,
}

impl From<Limit> for Bounds {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Count(count) => Self { count, time: None },
            Limit::Time(time) => Self { count: u64::MAX, time: Some(time) },
        }
    }
}

/// A twentieth of what is measured.
fn warm_up(options: &Options) -> Bounds {
    match (options.warm_up, options.limit) {
        (Some(time), _) => Bounds { count: if time.is_zero() { 0 } else { u64::MAX }, time: Some(time) },
        (None, Limit::Count(count)) => Bounds { count: count / 20, time: Some(WARM_UP) },
        (None, Limit::Time(time)) => Bounds { count: u64::MAX, time: Some((time / 20).min(WARM_UP)) },
    }
}

/// What the threads that send share.
#[derive(Clone, Copy)]
struct Sending<'a> {
    options: &'a Options,
    producer: &'a Producer,
    values: &'a Values,
    tally: &'a Arc<Tally>,
    stop: &'a Stop,
}

impl Sending<'_> {
    /// Sends until a bound is reached, the stop is asked for or something fails, which the tally then knows.
    fn until(&self, bounds: Bounds) -> Result<()> {
        let start = Instant::now();
        if self.options.producers == 1 {
            self.part(0, start, bounds);
            return Ok(());
        }
        std::thread::scope(|scope| {
            for nth in 0..self.options.producers {
                let thread = std::thread::Builder::new().name(format!("bench-{nth}"));
                let spawned = thread.spawn_scoped(scope, move || self.part(nth, start, bounds));
                if let Err(error) = spawned {
                    let error = Error::new(ErrorKind::Io, format!("cannot start {} threads: {error}", nth + 1));
                    // The threads that run see it and end.
                    self.tally.fail(error.clone());
                    return Err(error);
                }
            }
            Ok(())
        })
    }

    /// What one thread sends: every nth record, so that they take turns.
    fn part(&self, nth: u32, start: Instant, bounds: Bounds) {
        let step = u64::from(self.options.producers);
        let until = bounds.time.and_then(|time| start.checked_add(time));
        let sent = match self.options.rate {
            None => {
                let count = (bounds.count.saturating_sub(u64::from(nth))).div_ceil(step);
                self.as_fast_as_it_can(nth, count, until)
            }
            Some(rate) => {
                let pace = Pace::new(rate);
                let count = bounds.time.map_or(bounds.count, |time| bounds.count.min(pace.within(time)));
                self.paced(nth, pace, start, count, until)
            }
        };
        if let Err(error) = sent {
            self.tally.fail(error);
        }
    }

    fn as_fast_as_it_can(&self, nth: u32, count: u64, until: Option<Instant>) -> Result<()> {
        let at_once = u64::from(self.options.at_once);
        let mut records = self.values.from(nth as usize).map(|value| Record::to(&self.options.topic).value(value));
        let mut together = Vec::with_capacity(self.options.at_once as usize);
        let (mut left, mut sample) = (count, None);
        while left > 0 {
            if self.stop.is_asked() || self.tally.failure().is_some() {
                break;
            }
            let now = Instant::now();
            if until.is_some_and(|until| now >= until) {
                break;
            }
            let mut stride = left.min(at_once.max(STRIDE)) as usize;
            left -= stride as u64;
            if sample.is_none_or(|sample| now >= sample)
                && let Some(record) = records.next()
            {
                sample = Some(now + SAMPLE);
                self.producer.send_with(record, self.tally.timer(now))?;
                stride -= 1;
            }
            let mut stride = records.by_ref().take(stride);
            if at_once == 1 {
                stride.try_for_each(|record| self.producer.post(record))?;
                continue;
            }
            loop {
                together.clear();
                together.extend(stride.by_ref().take(at_once as usize));
                if together.is_empty() {
                    break;
                }
                self.producer.post_all(&together)?;
            }
        }
        Ok(())
    }

    fn paced(&self, nth: u32, pace: Pace, start: Instant, count: u64, until: Option<Instant>) -> Result<()> {
        let mut sample = start;
        let mut watch = Watch::new(start);
        let indexes = (u64::from(nth)..count).step_by(self.options.producers as usize);
        for (index, value) in indexes.zip(self.values.from(nth as usize)) {
            let due = start + pace.due(index);
            let now = watch.wait_until(due, self.stop);
            let late = until.is_some_and(|until| now >= until);
            if late || self.stop.is_asked() || self.tally.failure().is_some() {
                break;
            }
            let record = Record::to(&self.options.topic).value(value);
            if due >= sample {
                sample = due + SAMPLE;
                self.producer.send_with(record, self.tally.timer(due))?;
            } else {
                self.producer.post(record)?;
            }
        }
        Ok(())
    }
}
