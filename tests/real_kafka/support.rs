//! What the tests share: the Kafka under test, programs that end with the test, and independent eyes on the log.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use krs::{Admin, Config, Consumer, ConsumerRecord, Created, NewTopic, TopicPartition};

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
    let new = NewTopic { name: topic, partitions, replication_factor: 1, configs };
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

/// The lines that a program has written so far.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Gathers what `source` gives, until it ends.
    pub fn of(source: impl std::io::Read + Send + 'static) -> Self {
        let lines = Self::default();
        let written = lines.clone();
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
                written.change(|written| written.lines.push(text));
                line.clear();
            }
            written.change(|written| written.ended = true);
        });
        lines
    }

    fn change(&self, change: impl FnOnce(&mut Written)) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }

    /// All of them so far.
    pub fn now(&self) -> Vec<String> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }

    /// Waits until the lines give an answer.
    pub fn wait<T>(&self, what: &str, limit: Duration, mut answer: impl FnMut(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        let mut written = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(answer) = answer(&written.lines) {
                return answer;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || written.ended {
                let end = if written.ended { "the program ended" } else { "it took too long" };
                panic!("waiting for {what}: {end} after\n{}", tail(&written.lines));
            }
            written = self.0.1.wait_timeout(written, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a line with this text, and returns it.
    pub fn wait_for(&self, text: &str, limit: Duration) -> String {
        self.wait(text, limit, |lines| lines.iter().find(|line| line.contains(text)).cloned())
    }

    /// Waits for so many lines.
    pub fn wait_count(&self, count: usize, limit: Duration) -> Vec<String> {
        self.wait(&format!("{count} lines"), limit, |lines| (lines.len() >= count).then(|| lines.to_vec()))
    }

    /// Waits for the end; false if it did not come in time.
    fn wait_end(&self, deadline: Instant) -> bool {
        let mut written = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !written.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            written = self.0.1.wait_timeout(written, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// A program that runs. It is killed when the value goes.
pub struct Program {
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
}

impl Program {
    /// Starts it without input.
    pub fn start(command: &mut Command) -> Self {
        Self::start_with(command, b"")
    }

    /// Starts it with this input.
    pub fn start_with(command: &mut Command, input: &[u8]) -> Self {
        Self::spawn(command.stdout(Stdio::piped()), input)
    }

    /// Starts it with a standard output of the caller's choice.
    pub fn start_into(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        Self::spawn(command.stdout(stdout), b"")
    }

    fn spawn(command: &mut Command, input: &[u8]) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program()));
        let (stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
        thread::spawn(move || {
            let mut stdin = stdin;
            // It need not read all of it.
            let _ = stdin.write_all(&input);
        });
        let stdout = child.stdout.take().map(Lines::of).unwrap_or_else(|| {
            let none = Lines::default();
            none.change(|written| written.ended = true);
            none
        });
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Sends a signal: INT, TERM, KILL, STOP, …
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits until it has ended.
    pub fn end(mut self, limit: Duration) -> Ended {
        let deadline = Instant::now() + limit;
        let in_time = self.stdout.wait_end(deadline) && self.stderr.wait_end(deadline);
        let (stdout, stderr) = (self.stdout.now(), self.stderr.now());
        assert!(in_time, "it did not end within {limit:?}, after\n{}\n{}", tail(&stdout), tail(&stderr));
        let status = self.child.wait().unwrap();
        Ended { status, stdout, stderr }
    }

    /// Sends a signal and waits until it has ended, which must not take longer than this.
    pub fn end_by(self, name: &str, limit: Duration) -> Ended {
        self.signal(name);
        self.end(limit)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -s {name} {pid}")]).status().unwrap();
    assert!(status.success(), "no process to signal");
}

/// A program that has ended.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

impl Ended {
    /// Its exit code must be this.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{:?}\n{}\n{}", self.status, tail(&self.stdout), tail(&self.stderr));
        self
    }

    /// It must have succeeded; what it wrote to standard output.
    #[track_caller]
    pub fn success(&self) -> String {
        self.code(0);
        self.stdout.iter().fold(String::new(), |text, line| text + line + "\n")
    }

    /// The line on standard error with this text.
    #[track_caller]
    pub fn complaint(&self, text: &str) -> &str {
        let found = self.stderr.iter().find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no {text:?} in\n{}", tail(&self.stderr)))
    }
}

/// The number after `name=` in a line of totals.
#[track_caller]
pub fn total(line: &str, name: &str) -> u64 {
    let (_, rest) = line.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {line}"));
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().unwrap()
}

/// Runs a program to its end.
pub fn run(command: &mut Command, limit: Duration) -> Ended {
    Program::start(command).end(limit)
}

/// The same with some input.
pub fn run_with(command: &mut Command, input: &str, limit: Duration) -> Ended {
    Program::start_with(command, input.as_bytes()).end(limit)
}

/// The path of one of our programs.
pub const SENDER: &str = env!("CARGO_BIN_EXE_sender");
/// The other one.
pub const RECEIVER: &str = env!("CARGO_BIN_EXE_receiver");
