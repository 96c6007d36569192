//! The other checker: a consumer whose every record is looked at. Within a partition the numbers follow each other; after
//! an assignment reading goes on at, or before, what was handed over and not committed, and never behind it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use krs::{Config, Consumer, Error, Producer, Rebalance, Record, Result};

use super::ledger::number;
use super::support::{LONG, PARTITIONS, Settings, all_partitions, partition, within};

/// How long one poll is given.
pub const TICK: Duration = Duration::from_millis(20);

/// How far the members of a group have come, all together; by partition.
#[derive(Clone, Default)]
pub struct Progress(Arc<Mutex<Come>>);

pub struct Come {
    /// So many records from the first on were handed over.
    pub seen: Vec<usize>,
    /// The group has acknowledged a commit of this offset.
    pub committed: Vec<usize>,
    /// Records that were handed over once more.
    pub repeated: usize,
}

impl Default for Come {
    fn default() -> Self {
        let none = vec![0; PARTITIONS as usize];
        Self { seen: none.clone(), committed: none, repeated: 0 }
    }
}

impl Progress {
    pub fn now(&self) -> MutexGuard<'_, Come> {
        self.0.lock().unwrap()
    }
}

/// A consumer of `t`.
pub struct Reader {
    label: String,
    pub consumer: Consumer,
    progress: Progress,
    /// The offset that must come next, by partition; none after an assignment.
    next: Vec<Option<usize>>,
    events: Arc<Mutex<Vec<Rebalance>>>,
    /// Reading may begin again at the first record at any time.
    pub starts_over: bool,
    /// Whether membership was lost.
    pub lost: bool,
    /// What polls and commits ended with.
    pub errors: Vec<Error>,
}

/// Settings for reading in small steps from the beginning.
pub fn reading(config: Config) -> Config {
    config.and(&[
        ("auto.offset.reset", "earliest"),
        ("fetch.max.wait.ms", "20"),
        ("max.partition.fetch.bytes", "250"),
        ("request.timeout.ms", "400"),
    ])
}

/// The same as a member of a group that is quick to notice everything.
pub fn member(config: Config) -> Config {
    reading(config).and(&[
        ("group.id", "g"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "10"),
        ("max.poll.records", "5"),
        ("default.api.timeout.ms", "10000"),
    ])
}

/// The same in the consumer protocol, where the broker says how quick a member is.
pub fn modern(config: Config) -> Config {
    reading(config).and(&[
        ("group.id", "g"),
        ("group.protocol", "consumer"),
        ("max.poll.records", "5"),
        ("default.api.timeout.ms", "10000"),
    ])
}

/// Writes so many records to `t`, each in a batch of its own, numbered from `first` on in each partition.
pub fn write(config: &Config, first: usize, records: usize) {
    let producer = Producer::connect(&config.clone().and(&[("batch.size", "1")])).unwrap();
    for place in first * PARTITIONS as usize..first * PARTITIONS as usize + records {
        let (index, number) = (place as i32 % PARTITIONS, place / PARTITIONS as usize);
        producer.send(Record::to("t").partition(index).value(&format!("{number:06}"))).unwrap();
    }
    producer.flush(LONG).unwrap();
    assert_eq!(producer.counters().acknowledged, records as u64);
}

impl Reader {
    /// Reads all partitions by itself.
    pub fn alone(label: &str, config: &Config) -> Result<Self> {
        let mut consumer = Consumer::connect(config)?;
        consumer.assign(&all_partitions())?;
        Ok(Self::new(label, consumer, Progress::default()))
    }

    /// Reads its share as a member of the group.
    pub fn join(label: &str, config: &Config, progress: &Progress) -> Result<Self> {
        let mut consumer = Consumer::connect(config)?;
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&events);
        consumer.subscribe_with(["t"], move |_, event| told.lock().unwrap().push(event.clone()))?;
        Ok(Self { events, ..Self::new(label, consumer, progress.clone()) })
    }

    fn new(label: &str, consumer: Consumer, progress: Progress) -> Self {
        let next = vec![None; PARTITIONS as usize];
        let (label, events) = (label.to_owned(), Arc::default());
        Self { label, consumer, progress, next, events, starts_over: false, lost: false, errors: Vec::new() }
    }

    /// One poll, whose records are checked. Its error is kept.
    pub fn poll(&mut self) -> usize {
        let polled = within(TICK, &self.label, || self.consumer.poll(TICK));
        for event in std::mem::take(&mut *self.events.lock().unwrap()) {
            self.lost |= matches!(event, Rebalance::Lost(_));
            // All of an eager member's partitions come and go at once.
            self.next.fill(None);
        }
        let records = match polled {
            Ok(records) => records,
            Err(error) => {
                self.errors.push(error);
                return 0;
            }
        };
        let mut come = self.progress.now();
        for record in &records {
            let (index, offset) = (record.partition() as usize, record.offset() as usize);
            let place = format!("{}: t-{index}@{offset}", self.label);
            assert_eq!(number(record.value()), offset, "{place} is another record");
            match self.next[index] {
                Some(_) if offset == 0 && self.starts_over => {}
                Some(next) => assert_eq!(offset, next, "{place} does not follow"),
                None => {
                    let (committed, seen) = (come.committed[index], come.seen[index]);
                    assert!((committed..=seen).contains(&offset), "{place} where {committed} to {seen} were due");
                }
            }
            self.next[index] = Some(offset + 1);
            if offset < come.seen[index] {
                come.repeated += 1;
            } else {
                come.seen[index] = offset + 1;
            }
        }
        records.len()
    }

    /// Commits what was handed over. Returns whether the group has it.
    pub fn commit(&mut self) -> bool {
        let positions = self.next.clone();
        match self.consumer.commit() {
            Ok(()) => {
                let mut come = self.progress.now();
                for (committed, position) in come.committed.iter_mut().zip(positions) {
                    *committed = position.unwrap_or(0).max(*committed);
                }
                true
            }
            Err(error) => {
                self.errors.push(error);
                false
            }
        }
    }

    /// Polls until so many records of each partition were handed over.
    pub fn read_to(&mut self, each: usize) {
        self.drive("the end of the log", |come| come.seen.iter().all(|seen| *seen >= each), false);
    }

    /// Polls and commits until so many records of each partition were handed over and committed.
    pub fn commit_to(&mut self, each: usize) {
        self.drive("the last commit", |come| come.committed.iter().all(|committed| *committed >= each), true);
    }

    fn drive(&mut self, what: &str, done: impl Fn(&Come) -> bool, commits: bool) {
        let until = Instant::now() + LONG;
        while !done(&self.progress.now()) {
            let (label, errors) = (&self.label, &self.errors);
            assert!(Instant::now() < until, "{label}: {what} is not reached; {errors:?}");
            // A commit that failed is made again with the next poll.
            if self.poll() > 0 || commits && self.next.iter().any(Option::is_some) {
                let _ = commits && self.commit();
            }
        }
    }

    /// Polls for so long.
    pub fn idle(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.poll();
        }
    }

    /// Closes, which ends in time.
    pub fn close(self) -> Result<()> {
        within(LONG, "close", || self.consumer.close(LONG))
    }
}

/// What the group has committed for each partition.
pub fn committed(config: &Config) -> Vec<Option<i64>> {
    let mut consumer = Consumer::connect(config).unwrap();
    consumer.assign(&[partition(0)]).unwrap();
    let committed = consumer.committed(&all_partitions()).unwrap();
    consumer.close(LONG).unwrap();
    committed
}
