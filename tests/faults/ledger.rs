//! The checker: numbered records are sent, and what became of each is held against what is in the log in the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use krs::devbroker::DevBroker;
use krs::{Config, Consumer, Delivery, Error, ErrorKind, Producer, Record};

use super::support::{LONG, PARTITIONS, SLACK, Settings, all_partitions, config, partition};

/// Records sent to the partitions of `t` in turn, each numbered within its partition.
pub struct Ledger {
    label: String,
    sent: Vec<Entry>,
}

struct Entry {
    partition: i32,
    number: usize,
    at: Instant,
    delivery: Delivery,
}

/// What became of the records.
#[derive(Default)]
pub struct Outcomes {
    pub acknowledged: usize,
    /// The log does not hold them.
    pub failed: Vec<Error>,
    /// The log may hold them.
    pub unknown: Vec<Error>,
}

/// What a trial may come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Promise {
    /// Each record is written once, in order.
    #[default]
    ExactlyOnce,
    /// Nothing acknowledged is lost, but there may be copies: without idempotence.
    AtLeastOnce,
    /// As exactly once, but an answer may have said anything: what it said is not believed.
    Misled,
}

impl Ledger {
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), sent: Vec::new() }
    }

    /// Sends so many more records, the partitions in turn.
    pub fn send(&mut self, producer: &Producer, records: usize) {
        self.send_padded(producer, records, 0);
    }

    /// The same, each with so many bytes behind its number.
    pub fn send_padded(&mut self, producer: &Producer, records: usize, padding: usize) {
        for _ in 0..records {
            let place = self.sent.len();
            let (partition, number) = (place as i32 % PARTITIONS, place / PARTITIONS as usize);
            let value = format!("{number:06}{}", " ".repeat(padding));
            let record = Record::to("t").partition(partition).value(&value);
            let delivery = producer.send(record).unwrap_or_else(|error| panic!("{}: {error}", self.label));
            self.sent.push(Entry { partition, number, at: Instant::now(), delivery });
        }
    }

    /// Waits until every record has ended, which each does within `limit`.
    pub fn settle(&self, limit: Duration) {
        for entry in &self.sent {
            let by = entry.at + limit + SLACK;
            let outcome = entry.delivery.wait_for(by.saturating_duration_since(Instant::now()));
            let late = outcome.is_err() && entry.delivery.poll().is_none();
            assert!(!late, "{}: {}-{} has not ended in time", self.label, entry.partition, entry.number);
        }
    }

    /// Holds all outcomes against the log.
    pub fn check(&self, broker: &DevBroker, promise: Promise) -> Outcomes {
        let logs = read_all(&config(broker), &self.label);
        for (partition, log) in logs.iter().enumerate() {
            self.check_order(partition, log, promise);
        }
        let mut outcomes = Outcomes::default();
        for entry in &self.sent {
            let place = format!("{}: {}-{}", self.label, entry.partition, entry.number);
            let log = &logs[entry.partition as usize];
            let found = log.iter().position(|number| *number == entry.number);
            match entry.delivery.poll().unwrap_or_else(|| panic!("{place} has not ended")) {
                Ok(sent) => {
                    outcomes.acknowledged += 1;
                    assert!(found.is_some(), "{place} was acknowledged and is lost");
                    if promise != Promise::Misled && sent.offset() >= 0 {
                        let there = log.get(sent.offset() as usize);
                        assert_eq!(there, Some(&entry.number), "{place} is not at its offset {}", sent.offset());
                    }
                }
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => outcomes.unknown.push(error),
                Err(error) => {
                    let told = promise == Promise::ExactlyOnce && found.is_some();
                    assert!(!told, "{place} failed and is in the log: {error}");
                    outcomes.failed.push(error);
                }
            }
        }
        outcomes
    }

    fn check_order(&self, partition: usize, log: &[usize], promise: Promise) {
        if promise == Promise::AtLeastOnce {
            // The first copies of all are in order.
            let mut firsts = Vec::new();
            for number in log {
                if !firsts.contains(number) {
                    firsts.push(*number);
                }
            }
            assert!(firsts.is_sorted(), "{}: out of order in t-{partition}: {firsts:?}", self.label);
        } else {
            let rising = log.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(rising, "{}: twice or out of order in t-{partition}: {log:?}", self.label);
        }
    }

    /// How many of the records from this one on were acknowledged, failed, and are of unknown outcome.
    pub fn tally(&self, from: usize) -> [usize; 3] {
        let mut tally = [0; 3];
        for entry in &self.sent[from..] {
            match entry.delivery.poll().expect("it was settled") {
                Ok(_) => tally[0] += 1,
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => tally[2] += 1,
                Err(_) => tally[1] += 1,
            }
        }
        tally
    }

    /// How many records were sent.
    pub fn len(&self) -> usize {
        self.sent.len()
    }
}

/// The numbers in each partition of `t`, in the order of the log.
pub fn read_all(config: &Config, label: &str) -> Vec<Vec<usize>> {
    let mut consumer = Consumer::connect(&config.clone().and(&[("auto.offset.reset", "earliest")])).unwrap();
    consumer.assign(&all_partitions()).unwrap();
    consumer.seek_to_end(&[]).unwrap();
    let ends: BTreeMap<i32, i64> =
        (0..PARTITIONS).map(|index| (index, consumer.position(&partition(index)).unwrap())).collect();
    consumer.seek_to_beginning(&[]).unwrap();
    let mut logs = vec![Vec::new(); PARTITIONS as usize];
    let until = Instant::now() + LONG;
    while logs.iter().map(|log| log.len() as i64).sum::<i64>() < ends.values().sum() {
        assert!(Instant::now() < until, "{label}: the log cannot be read to its end");
        for record in &consumer.poll(Duration::from_millis(100)).unwrap() {
            let log = &mut logs[record.partition() as usize];
            assert_eq!(record.offset(), log.len() as i64, "{label}: an offset is missing");
            log.push(number(record.value()));
        }
    }
    consumer.close(LONG).unwrap();
    logs
}

/// The number in a record's value.
pub fn number(value: Option<&[u8]>) -> usize {
    let text = std::str::from_utf8(value.expect("a value")).expect("a number");
    text.trim_end().parse().unwrap_or_else(|_| panic!("{text:?} was never sent"))
}
