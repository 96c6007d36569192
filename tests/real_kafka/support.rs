//! What the tests share: the Kafka under test, and independent eyes on the log.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use krs::{Admin, Config, Consumer, ConsumerRecord, Created, NewTopic, TopicPartition};

pub use crate::process::{Ended, Program, run, run_with};

/// For what takes a moment on an idle machine; only a failure ever waits so long.
pub const LONG: Duration = Duration::from_secs(60);

/// The Kafka under test.
pub struct Kafka {
    pub brokers: String,
    pub version: String,
    script: PathBuf,
    /// Holds the files of the cluster, where it is one that `KAFKA_SCRIPT` started.
    dir: PathBuf,
}

/// The Kafka that the environment names; without one the test fails.
pub fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Kafka> = OnceLock::new();
    let variable = |name: &str| {
        std::env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| {
            panic!(
                "{name} is not set: these tests need a real Kafka. `.ci/run kafka-4.3.1` starts one and runs them; see \
                 the head of tests/real_kafka/main.rs"
            )
        })
    };
    KAFKA.get_or_init(|| Kafka {
        brokers: variable("KAFKA_BROKERS"),
        version: variable("KAFKA_VERSION"),
        script: variable("KAFKA_SCRIPT").into(),
        dir: variable("KAFKA_DIR").into(),
    })
}

impl Kafka {
    /// Whether it still speaks the protocol of the years before Kafka 4.
    pub fn is_3(&self) -> bool {
        self.version.starts_with("3.")
    }

    pub fn config(&self) -> Config {
        Config::new().set("bootstrap.servers", &self.brokers).unwrap()
    }

    /// Creates a topic, which must be new.
    pub fn create(&self, topic: &str, partitions: i32) {
        self.create_with(topic, partitions, &[]);
    }

    pub fn create_with(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        create(&self.config(), topic, partitions, configs);
    }

    /// One of Kafka's own tools.
    pub fn tool(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(&self.script);
        command.args(["tool", name]).args(words);
        command
    }

    /// `kcat` on this Kafka.
    pub fn kcat(&self, words: &[&str]) -> Command {
        kcat(&self.brokers, words)
    }

    /// Everything in a topic, in order of partition and offset, as `kcat` reads it: a reader that shares no line with ours.
    pub fn log(&self, topic: &str) -> Vec<Entry> {
        log(&self.brokers, topic)
    }

    /// One of our programs, with these variables alone.
    pub fn program(&self, program: &str, words: &[&str], variables: &[(&str, &str)]) -> Command {
        self::program(&self.brokers, program, words, variables)
    }

    /// A cluster of one broker or three for one test alone, which may be killed. It ends with the value.
    pub fn cluster(&self, name: &str, brokers: u32, settings: &[&str]) -> Cluster {
        let dir = self.dir.with_file_name(unique(name));
        let mut cluster = Cluster { dir, script: self.script.clone(), brokers: String::new() };
        let mut up = cluster.script(&["--version", &self.version, "--port", "0"]);
        for setting in settings {
            up.args(["--set", setting]);
        }
        run(up.args(["up", &brokers.to_string()]), LONG * 3).success();
        cluster.brokers = run(&mut cluster.script(&["address"]), LONG).success().trim().to_owned();
        cluster
    }
}

/// Brokers of a test's own, numbered from 1.
pub struct Cluster {
    dir: PathBuf,
    script: PathBuf,
    pub brokers: String,
}

impl Cluster {
    pub fn config(&self) -> Config {
        Config::new().set("bootstrap.servers", &self.brokers).unwrap()
    }

    /// SIGKILL.
    pub fn kill(&self, broker: u32) {
        run(&mut self.script(&["kill", &broker.to_string()]), LONG).success();
    }

    /// SIGTERM: it hands its partitions over before it ends.
    pub fn stop(&self, broker: u32) {
        run(&mut self.script(&["stop", &broker.to_string()]), LONG).success();
    }

    /// Starts a broker again and waits until it answers.
    pub fn start(&self, broker: u32) {
        run(&mut self.script(&["start", &broker.to_string()]), LONG * 2).success();
    }

    /// SIGSTOP: its sockets stay open, and it says nothing.
    pub fn pause(&self, broker: u32) {
        run(&mut self.script(&["pause", &broker.to_string()]), LONG).success();
    }

    /// SIGCONT.
    pub fn resume(&self, broker: u32) {
        run(&mut self.script(&["resume", &broker.to_string()]), LONG).success();
    }

    pub fn log(&self, topic: &str) -> Vec<Entry> {
        log(&self.brokers, topic)
    }

    /// One of Kafka's own tools.
    pub fn tool(&self, name: &str, words: &[&str]) -> Command {
        let mut command = self.script(&["tool", name]);
        command.args(words);
        command
    }

    /// One of our programs, with these variables alone.
    pub fn program(&self, program: &str, words: &[&str], variables: &[(&str, &str)]) -> Command {
        self::program(&self.brokers, program, words, variables)
    }

    fn script(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.script);
        command.arg("--dir").arg(&self.dir).args(words);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.script(&["down", "--wipe"]).stdin(Stdio::null()).stdout(Stdio::null()).status();
    }
}

/// A name that no other test and no earlier run has used.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static BEGIN: OnceLock<u64> = OnceLock::new();
    let begin = BEGIN.get_or_init(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    format!("{name}-{begin}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub fn create(config: &Config, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    create_replicated(config, topic, partitions, 1, configs);
}

pub fn create_replicated(config: &Config, topic: &str, partitions: i32, replicas: i16, configs: &[(&str, &str)]) {
    let new = NewTopic { name: topic, partitions, replication_factor: replicas, configs };
    assert_eq!(Admin::connect(config).unwrap().create_topic(&new).unwrap(), Created::New);
}

/// The offsets that a group has committed in the first partitions of a topic.
pub fn committed(config: &Config, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let consumer = Consumer::connect(&config.clone().set("group.id", group).unwrap()).unwrap();
    let partitions: Vec<_> = (0..partitions).map(|partition| TopicPartition::new(topic, partition)).collect();
    let offsets = consumer.committed(&partitions).unwrap();
    consumer.close(LONG).unwrap();
    offsets
}

/// Reads all partitions of a topic from the first offset to the last, as our consumer does, in order of partition and
/// offset.
pub fn read(config: &Config, topic: &str, partitions: i32) -> Vec<Entry> {
    let mut consumer = Consumer::connect(config).unwrap();
    let all: Vec<_> = (0..partitions).map(|partition| TopicPartition::new(topic, partition)).collect();
    consumer.assign(&all).unwrap();
    consumer.seek_to_end(&[]).unwrap();
    let ends: Vec<i64> = all.iter().map(|partition| consumer.position(partition).unwrap()).collect();
    consumer.seek_to_beginning(&[]).unwrap();
    let mut entries = Vec::new();
    let deadline = Instant::now() + LONG;
    while all.iter().zip(&ends).any(|(partition, end)| consumer.position(partition).unwrap() < *end) {
        assert!(Instant::now() < deadline, "not at the end {ends:?} after {LONG:?}: {} records", entries.len());
        entries.extend(consumer.poll(Duration::from_millis(100)).unwrap().iter().map(|record| Entry::of(&record)));
    }
    consumer.close(LONG).unwrap();
    entries.sort_by_key(|entry| (entry.partition, entry.offset));
    entries
}

/// A record as `kcat` shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    pub value: Option<String>,
    /// `a=b,c=NULL`
    pub headers: String,
}

impl Entry {
    /// The same of a record that our consumer has read.
    pub fn of(record: &ConsumerRecord<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = record
            .headers()
            .map(|header| format!("{}={}", text(header.key), header.value.map_or_else(|| "NULL".to_owned(), text)));
        Self {
            partition: record.partition(),
            offset: record.offset(),
            key: record.key().map(text),
            value: record.value().map(text),
            headers: headers.collect::<Vec<_>>().join(","),
        }
    }
}

fn program(brokers: &str, program: &str, words: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.args(words).env_clear().env("KAFKA_BROKERS", brokers).envs(variables.iter().copied());
    command
}

fn kcat(brokers: &str, words: &[&str]) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-b", brokers, "-X", "log_level=3"]).args(words);
    command
}

fn log(brokers: &str, topic: &str) -> Vec<Entry> {
    let words = ["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p\t%o\t%K\t%k\t%S\t%s\t%h\n"];
    let text = run(&mut kcat(brokers, &words), LONG).success();
    let entry = |line: &str| -> Entry {
        let fields: Vec<&str> = line.split('\t').collect();
        let [partition, offset, key_length, key, length, value, headers] = fields[..] else { panic!("{line:?}") };
        let text = |length: &str, text: &str| (length != "-1").then(|| text.to_owned());
        Entry {
            partition: partition.parse().unwrap(),
            offset: offset.parse().unwrap(),
            key: text(key_length, key),
            value: text(length, value),
            headers: headers.to_owned(),
        }
    };
    let mut entries: Vec<Entry> = text.lines().map(entry).collect();
    entries.sort_by_key(|entry| (entry.partition, entry.offset));
    entries
}

/// The number after `name=` in a line of totals.
#[track_caller]
pub fn total(line: &str, name: &str) -> u64 {
    let (_, rest) = line.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {line}"));
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().unwrap()
}

/// The path of one of our programs.
pub const SENDER: &str = env!("CARGO_BIN_EXE_sender");
/// The other one.
pub const RECEIVER: &str = env!("CARGO_BIN_EXE_receiver");
/// The one that is all of them.
pub const KRS: &str = env!("CARGO_BIN_EXE_krs");

/// The properties of ConsoleConsumer have another flag in Kafka 4.
pub fn formatter() -> &'static str {
    if kafka().is_3() { "--property" } else { "--formatter-property" }
}

/// The same of what ConsoleProducer reads.
pub fn reader() -> &'static str {
    if kafka().is_3() { "--property" } else { "--reader-property" }
}
