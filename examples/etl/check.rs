//! What has arrived: reads the topics of all levels while they grow, and keeps a record of every sequence number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use krs::{Config, Consumer, Result, TopicPartition};

/// So many faults are told in words.
const EXAMPLES: usize = 5;

/// A record's source partition and its number there, from 0.
pub fn value(partition: u32, sequence: u64) -> [u8; 12] {
    let mut value = [0; 12];
    value[..4].copy_from_slice(&partition.to_be_bytes());
    value[4..].copy_from_slice(&sequence.to_be_bytes());
    value
}

fn parse(value: &[u8]) -> Option<(u32, u64)> {
    let (partition, sequence) = value.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*partition), u64::from_be_bytes(sequence.try_into().ok()?)))
}

/// What a topic holds.
#[derive(Debug, Default)]
pub struct Tally {
    pub unique: u64,
    pub duplicates: u64,
    /// First occurrences that came before an earlier number of their partition, and records in a wrong partition.
    pub faults: u64,
    pub examples: Vec<String>,
    partitions: Vec<Seen>,
    /// The longest time in which a partition got nothing new although there was something to come.
    pub longest_wait: Duration,
}

#[derive(Debug, Default)]
struct Seen {
    numbers: Vec<bool>,
    /// All below it were seen.
    next: usize,
    /// None from here on was seen.
    first_unseen: usize,
    /// Where to read on.
    position: i64,
    /// `next` when it last grew, and when that was.
    watched: usize,
    grew: Option<Instant>,
}

impl Tally {
    pub fn new(partitions: u32) -> Self {
        Self { partitions: (0..partitions).map(|_| Seen::default()).collect(), ..Self::default() }
    }

    pub fn add(&mut self, partition: usize, offset: i64, value: Option<&[u8]>) {
        self.partitions[partition].position = offset + 1;
        let Some((source, number)) = value.and_then(parse) else {
            return self.fault(format!("{partition}@{offset}: not a record of the source"));
        };
        if source as usize != partition {
            return self.fault(format!("{partition}@{offset}: it is of partition {source}"));
        }
        let (seen, number) = (&mut self.partitions[partition], number as usize);
        if seen.numbers.len() <= number {
            seen.numbers.resize(number + 1, false);
        }
        if std::mem::replace(&mut seen.numbers[number], true) {
            self.duplicates += 1;
            return;
        }
        self.unique += 1;
        let expected = seen.first_unseen;
        seen.first_unseen = expected.max(number + 1);
        while seen.numbers.get(seen.next) == Some(&true) {
            seen.next += 1;
        }
        if number != expected {
            self.fault(format!("{partition}@{offset}: number {number} where {expected} was to come"));
        }
    }

    fn fault(&mut self, example: String) {
        self.faults += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example);
        }
    }

    /// How far each partition is, without gaps.
    pub fn progress(&self) -> Vec<usize> {
        self.partitions.iter().map(|seen| seen.next).collect()
    }
}

/// Reads some topics; one tally each.
pub struct Checker {
    topics: Vec<String>,
    partitions: u32,
    tallies: Mutex<Vec<Tally>>,
    end: AtomicBool,
}

impl Checker {
    pub fn new(topics: &[String], partitions: u32) -> Self {
        let tallies = topics.iter().map(|_| Tally::new(partitions)).collect();
        Self { topics: topics.to_vec(), partitions, tallies: Mutex::new(tallies), end: AtomicBool::new(false) }
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut [Tally]) -> T) -> T {
        look(&mut self.tallies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nobody writes any more: [`run`](Self::run) returns once all is read.
    pub fn end(&self) {
        self.end.store(true, Ordering::Relaxed);
    }

    /// Reads until [`end`](Self::end).
    pub fn run(&self, config: &Config) -> Result<()> {
        let partitions: Vec<_> = self.topics.iter().flat_map(|topic| all(topic, self.partitions)).collect();
        let index: HashMap<&str, usize> = self.topics.iter().map(String::as_str).zip(0..).collect();
        let mut consumer = Consumer::connect(config)?;
        consumer.assign(&partitions)?;
        loop {
            let ended = self.end.load(Ordering::Relaxed);
            let records = consumer.poll(Duration::from_millis(100))?;
            self.with(|tallies| {
                for record in &records {
                    tallies[index[record.topic()]].add(record.partition() as usize, record.offset(), record.value());
                }
            });
            if ended && records.is_empty() && self.behind(&consumer, &partitions)? == 0 {
                return consumer.close(Duration::from_secs(5));
            }
        }
    }

    fn behind(&self, consumer: &Consumer, partitions: &[TopicPartition]) -> Result<i64> {
        let ends = consumer.end_offsets(partitions)?;
        let positions = self.with(|tallies| {
            let seen = tallies.iter().flat_map(|tally| &tally.partitions);
            seen.map(|seen| seen.position).collect::<Vec<_>>()
        });
        Ok(ends.iter().zip(positions).map(|(end, position)| end - position).sum())
    }

    /// Notes how long each partition has been without progress. `sent` is what there is to move in each at least.
    pub fn watch(&self, sent: u64, now: Instant) {
        self.with(|tallies| {
            let mut before = vec![sent as usize; self.partitions as usize];
            for tally in tallies {
                for (seen, before) in tally.partitions.iter_mut().zip(&mut before) {
                    if seen.next > seen.watched || seen.next >= *before {
                        (seen.watched, seen.grew) = (seen.next, Some(now));
                    }
                    let waited = now.duration_since(*seen.grew.get_or_insert(now));
                    tally.longest_wait = tally.longest_wait.max(waited);
                    *before = seen.next;
                }
            }
        });
    }
}

/// All partitions of a topic.
pub fn all(topic: &str, partitions: u32) -> impl Iterator<Item = TopicPartition> {
    (0..partitions as i32).map(move |partition| TopicPartition::new(topic, partition))
}
