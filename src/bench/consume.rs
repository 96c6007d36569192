//! `krs bench consume`.
//!
//! The latency is that of a poll, from the call to its records. How old a record is when it is read from the beginning
//! of a topic says nothing about the client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::usage::Usage;
use super::{Options, Outcome};
use crate::service::Stop;
use crate::stats::{Counter, Histogram};
use crate::{Admin, Consumer, Result, TopicPartition};

const POLL: Duration = Duration::from_millis(100);

/// A topic that brings nothing for so long has no more records.
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures; `None` if the stop was asked for before anything was read.
pub(super) fn run(options: &Options, stop: &Stop) -> Result<Option<Outcome>> {
    let config =
        options.config.clone().default_to("auto.offset.reset", "earliest")?.default_to("max.poll.records", 100_000)?;
    config.consumer()?;
    let topic = options.topic.clone();
    let connected = stop.unless_asked("connecting", move || {
        let partitions = Admin::connect(&config)?.partition_count(&topic)?;
        let topic: Arc<str> = topic.into();
        let partitions: Vec<_> = (0..partitions).map(|index| TopicPartition::new(Arc::clone(&topic), index)).collect();
        Ok((Consumer::connect(&config)?, partitions))
    })?;
    let Some((mut consumer, partitions)) = connected else { return Ok(None) };

    let done = Arc::new(Counter::default());
    let progress = Progress::start(&done, options.count);
    let before = Usage::now();
    let start = Instant::now();
    consumer.assign(&partitions)?;
    let (mut first, mut last) = (None, start);
    let (mut records, mut bytes, mut trouble) = (0, 0, None);
    let polls = Histogram::new();
    while records < options.count && !stop.is_asked() && last.elapsed() < PATIENCE {
        let asked = Instant::now();
        let polled = match consumer.poll(POLL) {
            Ok(polled) => polled,
            Err(error) if records == 0 => return Err(error),
            // What was measured until then counts.
            Err(error) => {
                trouble = Some(error);
                break;
            }
        };
        if polled.is_empty() {
            continue;
        }
        polls.record(asked.elapsed());
        let left = usize::try_from(options.count - records).unwrap_or(usize::MAX);
        let batch = polled.iter().take(left).fold((0, 0), |(records, bytes), record| {
            (records + 1, bytes + record.value().map_or(0, |value| value.len() as u64))
        });
        records += batch.0;
        bytes += batch.1;
        last = Instant::now();
        first.get_or_insert(last);
        done.add(batch.0);
    }
    let usage = Usage::now().zip(before).map(|(after, before)| after.since(before));
    drop(progress);
    if let Err(error) = consumer.close(Duration::from_secs(5)) {
        log::warn!(target: "bench", "{error}");
    }

    let mut facts = Vec::new();
    if let Some(first) = first {
        facts.push(("first", format!("after {:.1} ms", first.duration_since(start).as_secs_f64() * 1e3)));
        let polls = polls.snapshot();
        facts.push(("latency", format!("{polls} (of a poll)")));
        let each = records as f64 / polls.count().max(1) as f64;
        facts.push(("polls", format!("{}, {each:.0} records each", polls.count())));
    }
    let complete = records == options.count || stop.is_asked();
    if records < options.count {
        let why = match trouble {
            Some(error) => error.to_string(),
            None if stop.is_asked() => "stopped".to_owned(),
            None => "no more came in 5 s".to_owned(),
        };
        facts.push(("ended", format!("after {records} of {} records: {why}", options.count)));
    }
    Ok(Some(Outcome {
        what: "consumed",
        topic: format!("from {}", options.topic),
        records,
        bytes,
        elapsed: last.duration_since(start),
        usage,
        facts,
        complete,
    }))
}
