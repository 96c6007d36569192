//! The Kafka under test, names of a test's own, and what tests do with clients over and over.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use krs::devbroker::{DevBroker, Options};
use krs::{Admin, Config, Consumer, ConsumerRecord, Created, NewTopic, Producer, Record, TopicPartition};

use crate::wire::Topic;

/// For what takes a moment on an idle machine; only a failure ever waits so long.
pub const LONG: Duration = Duration::from_secs(60);

/// One look at what has arrived.
pub const TICK: Duration = Duration::from_millis(50);

/// The Kafka under test.
pub struct Kafka {
    bootstrap: String,
    /// Runs as long as this is kept.
    _ours: Option<DevBroker>,
}

/// The Kafka that `KAFKA_BROKERS` names, else a development broker that lives as long as this program.
pub fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Kafka> = OnceLock::new();
    KAFKA.get_or_init(|| match std::env::var("KAFKA_BROKERS").ok().filter(|brokers| !brokers.is_empty()) {
        Some(bootstrap) => Kafka { bootstrap, _ours: None },
        None => {
            let broker = DevBroker::start(Options::default()).unwrap();
            Kafka { bootstrap: broker.bootstrap(), _ours: Some(broker) }
        }
    })
}

impl Kafka {
    /// `host:port` of the brokers to ask first.
    pub fn bootstrap(&self) -> impl Iterator<Item = &str> {
        self.bootstrap.split(',').map(str::trim)
    }

    /// Settings for a client of this Kafka, with short backoffs.
    pub fn config(&self) -> Config {
        let backoffs = [
            ("retry.backoff.ms", "20"),
            ("retry.backoff.max.ms", "200"),
            ("reconnect.backoff.ms", "20"),
            ("reconnect.backoff.max.ms", "200"),
        ];
        with(&Config::new().set("bootstrap.servers", &self.bootstrap).unwrap(), &backoffs)
    }

    /// Creates a topic, which must be new.
    pub fn create(&self, topic: &str, partitions: i32) {
        self.create_with(topic, partitions, &[]);
    }

    /// Creates a topic whose records may be of any age.
    pub fn create_for_old_records(&self, topic: &str, partitions: i32) {
        self.create_with(topic, partitions, &[("retention.ms", "-1")]);
    }

    /// Creates a topic with configurations. Every broker knows it when this returns.
    pub fn create_with(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        let new = NewTopic { name: topic, partitions, replication_factor: 1, configs };
        assert_eq!(Admin::connect(&self.config()).unwrap().create_topic(&new).unwrap(), Created::New);
        Topic::find(topic);
    }

    /// A producer with these settings besides.
    pub fn producer(&self, settings: &[(&str, &str)]) -> Producer {
        Producer::connect(&with(&self.config(), settings)).unwrap()
    }

    /// A consumer with these settings besides. Its fetches at the end of a log are short, for a seek waits for them.
    pub fn consumer(&self, settings: &[(&str, &str)]) -> Consumer {
        let config = with(&self.config(), &[("fetch.max.wait.ms", "50")]);
        Consumer::connect(&with(&config, settings)).unwrap()
    }

    /// A consumer without a group that stands at the first record of these partitions.
    pub fn reader(&self, partitions: &[TopicPartition], settings: &[(&str, &str)]) -> Consumer {
        let mut consumer = self.consumer(&[&[("auto.offset.reset", "earliest")], settings].concat());
        consumer.assign(partitions).unwrap();
        consumer
    }
}

/// These settings and others besides.
pub fn with(config: &Config, settings: &[(&str, &str)]) -> Config {
    settings.iter().fold(config.clone(), |config, (name, value)| config.set(name, value).unwrap())
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A name that no other test and no earlier run has used.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static BEGIN: OnceLock<i64> = OnceLock::new();
    let begin = BEGIN.get_or_init(now);
    format!("{name}-{begin}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The first partitions of a topic.
pub fn partitions(topic: &str, count: i32) -> Vec<TopicPartition> {
    (0..count).map(|partition| TopicPartition::new(topic, partition)).collect()
}

/// Appends the numbers of a range to a partition, and waits until they are in the log.
pub fn write(topic: &str, partition: i32, numbers: Range<i64>) {
    let producer = kafka().producer(&[]);
    let deliveries: Vec<_> = numbers
        .map(|number| producer.send(Record::to(topic).partition(partition).value(&number.to_string())).unwrap())
        .collect();
    for delivery in deliveries {
        delivery.wait().unwrap();
    }
    producer.close(LONG).unwrap();
}

/// A record that was read, with everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Entry {
    fn of(record: &ConsumerRecord<'_>) -> Self {
        Self {
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: record.headers().map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec))).collect(),
        }
    }

    /// The value, where it is a number.
    pub fn number(&self) -> i64 {
        std::str::from_utf8(self.value.as_deref().unwrap()).unwrap().parse().unwrap()
    }
}

/// The values of numbered records.
pub fn numbers(entries: &[Entry]) -> Vec<i64> {
    entries.iter().map(Entry::number).collect()
}

/// What has arrived by now, or arrives within a moment.
#[track_caller]
pub fn poll(consumer: &mut Consumer) -> Vec<Entry> {
    consumer.poll(TICK).unwrap().iter().map(|record| Entry::of(&record)).collect()
}

/// Polls until there are at least so many records.
#[track_caller]
pub fn take(consumer: &mut Consumer, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    until("records", || {
        entries.extend(poll(consumer));
        (entries.len() >= count).then_some(())
    });
    entries
}

/// Reads all partitions of a topic from the first offset to the last, in order of partition and offset.
#[track_caller]
pub fn read(topic: &str, count: i32) -> Vec<Entry> {
    let all = partitions(topic, count);
    let mut consumer = kafka().reader(&all, &[]);
    consumer.seek_to_end(&[]).unwrap();
    let ends: Vec<i64> = all.iter().map(|partition| consumer.position(partition).unwrap()).collect();
    consumer.seek_to_beginning(&[]).unwrap();
    let mut entries = Vec::new();
    until("the end of the log", || {
        let at_end = all.iter().zip(&ends).all(|(partition, end)| consumer.position(partition).unwrap() >= *end);
        if !at_end {
            entries.extend(poll(&mut consumer));
        }
        at_end.then_some(())
    });
    consumer.close(LONG).unwrap();
    entries.sort_by_key(|entry| (entry.partition, entry.offset));
    entries
}

/// Asks again and again, until there is an answer.
#[track_caller]
pub fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Polls all members until each holds so many partitions; what they read meanwhile.
#[track_caller]
pub fn share(members: &mut [&mut Consumer], counts: &[usize]) -> Vec<Entry> {
    let mut entries = Vec::new();
    until("the partitions are shared", || {
        for member in &mut *members {
            entries.extend(poll(member));
        }
        let held: Vec<_> = members.iter().map(|member| member.assignment().len()).collect();
        (held == counts).then_some(())
    });
    let all: Vec<_> = members.iter().flat_map(|member| member.assignment()).collect();
    assert_eq!(BTreeSet::from_iter(&all).len(), all.len(), "no partition is held twice");
    entries
}
