//! `krs bench consume`.
//!
//! The latency is that of a poll, from the call to its records. How old a record is when it is read from the beginning
//! of a topic says nothing about the client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::report::{Latency, Report};
use super::usage::Usage;
use super::{Limit, Options, STOPPED, partitions};
use crate::service::Stop;
use crate::stats::{Counter, Histogram};
use crate::{Config, Consumer, Error, ErrorKind, Result, Scope, TopicPartition};

const POLL: Duration = Duration::from_millis(100);

/// A topic that brings nothing for so long has no more records.
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures; `None` if the stop was asked for before anything was read.
pub(super) fn run(options: &Options, stop: &Stop) -> Result<Option<Report>> {
    let config = options
        .config
        .clone()
        .only(Scope::Consumer)
        .default_to("auto.offset.reset", "earliest")?
        .default_to("max.poll.records", 100_000)?;
    config.consumer()?;
    let topic = options.topic.clone();
    let connected = stop.unless_asked("connecting", move || {
        let partitions = partitions(&config, &topic)?;
        let ends = ends(&config, &partitions)?;
        if ends.is_empty() {
            let empty = "the topic is empty: there is nothing to read; fill it with krs bench produce";
            return Err(Error::new(ErrorKind::State, empty).with_topic(topic));
        }
        Ok((Consumer::connect(&config)?, partitions, ends))
    })?;
    let Some((mut consumer, partitions, ends)) = connected else { return Ok(None) };

    let (count, time) = match options.limit {
        Limit::Count(count) => (count, Duration::MAX),
        Limit::Time(time) => (u64::MAX, time),
    };
    let done = Arc::new(Counter::default());
    let progress = Progress::start(&done, options.limit);
    let before = Usage::now();
    let start = Instant::now();
    consumer.assign(&partitions)?;
    let (mut first, mut last, mut asked) = (None, start, start);
    let (mut records, mut bytes, mut trouble) = (0, 0, None);
    let polls = Histogram::fine();
    while records < count && asked - start < time && !stop.is_asked() && asked - last < PATIENCE {
        let wait = POLL.min(time - (asked - start));
        match consumer.poll(wait) {
            Ok(polled) if polled.is_empty() => asked = Instant::now(),
            Ok(polled) => {
                polls.record(asked.elapsed());
                let left = usize::try_from(count - records).unwrap_or(usize::MAX);
                let batch = polled.iter().take(left).fold((0, 0), |(records, bytes), record| {
                    (records + 1, bytes + record.value().map_or(0, |value| value.len() as u64))
                });
                records += batch.0;
                bytes += batch.1;
                done.add(batch.0);
                last = Instant::now();
                asked = last;
                first.get_or_insert(last);
            }
            Err(error) if records == 0 => return Err(error),
            // What was measured until then counts.
            Err(error) => {
                trouble = Some(error);
                break;
            }
        }
    }
    let usage = Usage::now().zip(before).map(|(after, before)| after.since(before));
    drop(progress);

    let done = records == count || asked - start >= time;
    let ended = match trouble {
        Some(error) => Some(error.to_string()),
        None if done => None,
        None if stop.is_asked() => Some(STOPPED.to_owned()),
        None => Some(early_end(&consumer, &ends, records)),
    };
    if let Err(error) = consumer.close(Duration::from_secs(5)) {
        log::warn!(target: "bench", "{error}");
    }
    let mut report = Report::new(options, records, bytes, last.duration_since(start), usage);
    report.end(ended);
    report.latency(Latency::of(&polls), "polls");
    report.polls = Some(polls.snapshot().count());
    report.first_record_ms = first.map(|first| Latency::millis(first.duration_since(start)));
    Ok(Some(report))
}

/// Why nothing came for so long.
fn early_end(consumer: &Consumer, ends: &[(TopicPartition, i64)], records: u64) -> String {
    let patience = PATIENCE.as_secs();
    let behind =
        |(partition, end): &(TopicPartition, i64)| !matches!(consumer.position(partition), Ok(at) if at >= *end);
    // Without a record it has no position yet, and would wait for one.
    if records == 0 || ends.iter().any(behind) {
        format!("nothing came in {patience} s though the topic has more; is the broker still there?")
    } else {
        format!("the topic has no more than {records} records; no new ones came in {patience} s")
    }
}

/// The ends of those partitions that hold something.
fn ends(config: &Config, partitions: &[TopicPartition]) -> Result<Vec<(TopicPartition, i64)>> {
    let mut scout = Consumer::connect(config)?;
    scout.assign(partitions)?;
    let positions = |scout: &Consumer| partitions.iter().map(|place| scout.position(place)).collect::<Result<Vec<_>>>();
    scout.seek_to_end(&[])?;
    let ends = positions(&scout)?;
    scout.seek_to_beginning(&[])?;
    let beginnings = positions(&scout)?;
    scout.close(Duration::from_secs(5))?;
    let held = partitions.iter().zip(ends).zip(beginnings).filter(|((_, end), beginning)| end > beginning);
    Ok(held.map(|((partition, end), _)| (partition.clone(), end)).collect())
}
