//! `krs bench produce`.
//!
//! Latency is measured from handing over to acknowledgement, on the first record of each batch: the one that waited
//! longest. Its moment travels in the value's first 8 bytes, so there is none with a smaller `size`, and it is taken for
//! every 16th record, so that the clock does not become part of what is measured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::usage::Usage;
use super::{Options, Outcome};
use crate::service::{Stop, topic};
use crate::stats::{Counter, Histogram};
use crate::{DeliveredBatch, Error, Producer, Record, Result};

/// Records between two looks at the clock and the stop.
const STRIDE: u64 = 16;

struct Acknowledged {
    start: Instant,
    records: Arc<Counter>,
    failed: Counter,
    batches: Counter,
    latency: Histogram,
    first_failure: std::sync::OnceLock<Error>,
}

impl Acknowledged {
    fn note(&self, batch: &DeliveredBatch<'_>) {
        if let Err(error) = batch.outcome() {
            self.failed.add(batch.len() as u64);
            let _ = self.first_failure.set(error.clone());
            return;
        }
        self.records.add(batch.len() as u64);
        self.batches.add(1);
        let first = batch.records().next().and_then(|record| record.value());
        if let Some(stamp) = first.and_then(|value| value.first_chunk()) {
            let now = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.latency.record_micros(now.saturating_sub(u64::from_le_bytes(*stamp)));
        }
    }
}

/// Measures; `None` if the stop was asked for before anything was sent.
pub(super) fn run(options: &Options, stop: &Stop) -> Result<Option<Outcome>> {
    let message_timeout = options.config.producer()?.message_timeout;
    if !topic::ensure(&options.config, &options.topic, options.partitions, options.replication_factor, stop, "bench")? {
        return Ok(None);
    }
    let done = Arc::new(Counter::default());
    let acknowledged = Arc::new(Acknowledged {
        start: Instant::now(),
        records: Arc::clone(&done),
        failed: Counter::default(),
        batches: Counter::default(),
        latency: Histogram::new(),
        first_failure: std::sync::OnceLock::new(),
    });
    let (config, topic, note) = (options.config.clone(), options.topic.clone(), Arc::clone(&acknowledged));
    let producer = stop.unless_asked("connecting", move || {
        let producer = Producer::connect_with(&config, move |batch| note.note(batch))?;
        // Finding the partitions is no part of what is measured.
        producer.partition_count(&topic)?;
        Ok(producer)
    })?;
    let Some(producer) = producer else { return Ok(None) };

    let progress = Progress::start(&done, options.count);
    let before = Usage::now();
    let start = Instant::now();
    let (sent, failure) = send_all(options, &producer, &acknowledged, stop);
    let retries = producer.counters().retried_batches;
    let closed = producer.close(message_timeout + Duration::from_millis(200));
    let elapsed = start.elapsed();
    let usage = Usage::now().zip(before).map(|(after, before)| after.since(before));
    drop(progress);

    if let Some(error) = &failure
        && done.get() == 0
    {
        return Err(error.clone());
    }
    let (records, batches) = (done.get(), acknowledged.batches.get());
    let mut facts = Vec::new();
    let latency = acknowledged.latency.snapshot();
    if latency.count() > 0 && options.size >= size_of::<u64>() {
        facts.push(("acks", format!("{latency} (first record of each batch)")));
    }
    facts.push((
        "batches",
        format!("{batches}, {:.0} records each, {retries} sent again", records as f64 / batches.max(1) as f64),
    ));
    if sent < options.count {
        facts.push(("stopped", format!("after {sent} of {} records", options.count)));
    }
    let failed = acknowledged.failed.get();
    if let Some(error) = failure.or_else(|| acknowledged.first_failure.get().cloned()).or(closed.err()) {
        facts.push(("failed", format!("{failed} records; {error}")));
    }
    let complete = records == sent;
    Ok(Some(Outcome {
        what: "produced",
        topic: format!("to {}", options.topic),
        records,
        bytes: records * options.size as u64,
        elapsed,
        usage,
        facts,
        complete,
    }))
}

/// Returns how many records the producer took, and why not all of them.
fn send_all(options: &Options, producer: &Producer, acknowledged: &Acknowledged, stop: &Stop) -> (u64, Option<Error>) {
    let mut value: Vec<u8> = filler(options.size);
    for sent in 0..options.count {
        if sent % STRIDE == 0 {
            if stop.is_asked() {
                return (sent, None);
            }
            let stamp = u64::try_from(acknowledged.start.elapsed().as_micros()).unwrap_or(u64::MAX);
            if let Some(place) = value.first_chunk_mut() {
                *place = stamp.to_le_bytes();
            }
        }
        if let Err(error) = producer.post(Record::to(&options.topic).value(&value)) {
            return (sent, Some(error));
        }
    }
    (options.count, None)
}

/// Bytes that do not compress well, the same in every run (xorshift64).
fn filler(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    bytes.take(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filler_is_the_same_in_every_run_and_not_uniform() {
        assert_eq!(filler(100), filler(100));
        assert_eq!(filler(0), b"");
        let distinct: std::collections::HashSet<u8> = filler(1000).into_iter().collect();
        assert!(distinct.len() > 200);
    }
}
