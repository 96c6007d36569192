//! The two Kafkas, and the clients that judge them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use krs::{Admin, Config, Created, Delivery, NewTopic, Producer, Record};

use crate::process::{Ended, Program, run};

/// For what takes a moment on an idle machine; only a failure ever waits so long.
pub const LONG: Duration = Duration::from_secs(60);

/// One of the two.
#[derive(Clone)]
pub struct Side {
    pub title: String,
    pub brokers: String,
    /// Part of every name, so that the real Kafka may be an old one; the same on both sides.
    run: String,
    script: PathBuf,
    python: PathBuf,
    /// Classes that Java need not load again.
    archive: PathBuf,
}

impl Side {
    /// The name of a topic or group of this run alone.
    pub fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.run)
    }

    pub fn config(&self) -> Config {
        Config::new().set("bootstrap.servers", &self.brokers).unwrap()
    }

    /// Creates a topic of this run; its full name. What [`Side::fill`] writes is old, and stays.
    pub fn create(&self, name: &str, partitions: i32) -> String {
        let name = self.name(name);
        let new = NewTopic { name: &name, partitions, replication_factor: 1, configs: &[("retention.ms", "-1")] };
        assert_eq!(Admin::connect(&self.config()).unwrap().create_topic(&new).unwrap(), Created::New);
        name
    }

    /// Writes `count` records with key `k…` and value `v…` to a partition, one a second by their timestamps.
    pub fn fill(&self, topic: &str, partition: i32, count: i64) {
        let producer = Producer::connect(&self.config()).unwrap();
        let send = |number: i64| {
            let (key, value) = (format!("k{number}"), format!("v{number}"));
            let record = Record::to(topic).partition(partition).timestamp(BEGIN + number * 1000);
            producer.send(record.key(&key).value(&value)).unwrap()
        };
        let sent: Vec<Delivery> = (0..count).map(send).collect();
        producer.flush(LONG).unwrap();
        for delivery in sent {
            delivery.wait().unwrap();
        }
        producer.close(LONG).unwrap();
    }

    pub fn kcat(&self, words: &[&str]) -> Command {
        let mut command = Command::new("kcat");
        command.args(["-b", &self.brokers]).args(words);
        command
    }

    /// One of Kafka's own tools, by short name or class.
    pub fn tool(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(&self.script);
        command.args(["tool", name]).env("KAFKA_OPTS", format!("-XX:SharedArchiveFile={}", self.archive.display()));
        // Subcommands stand before the options.
        let (before, after) = words.split_at(usize::from(words.first().is_some_and(|word| !word.starts_with('-'))));
        command.args(before).args(["--bootstrap-server", &self.brokers]).args(after);
        command
    }

    /// A Java program of this directory, from its source, with Kafka's classes.
    pub fn java(&self, source: &str) -> Command {
        let classes = run(Command::new(&self.script).arg("classpath"), LONG).success();
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", classes.trim()]);
        command.arg(format!("{}/tests/judges/{source}", env!("CARGO_MANIFEST_DIR")));
        command
    }

    /// What such a tool says: its output, its complaints, how it ends.
    pub fn say(&self, name: &str, words: &[&str]) -> String {
        self.said(&run(&mut self.tool(name, words), LONG))
    }

    /// The same of a program that has ended.
    pub fn said(&self, ended: &Ended) -> String {
        let text = |lines: &[String]| self.masked(&lines.join("\n"));
        let complaints = text(&ended.stderr);
        // Where in Java it came about is no matter.
        let complaints = complaints.lines().filter(|line| !line.starts_with("at ") && !line.is_empty());
        let complaints: String = complaints.map(|line| format!("{line}\n")).collect();
        format!("{}{complaints}exit code {}\n", text(&ended.stdout), ended.status.code().unwrap_or(-1))
    }

    pub fn python(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.python);
        command.args(words).env("KAFKA_BROKERS", &self.brokers).env("JUDGES_RUN", &self.run);
        command
    }

    /// Without what may differ: the broker's address, what is random, and how wide a column is.
    pub fn masked(&self, text: &str) -> String {
        let text = text.replace(&self.brokers, "BROKER");
        let (host, port) = self.brokers.rsplit_once(':').unwrap_or((&self.brokers, ""));
        let text = text.replace(&format!("{host} {port}"), "BROKER");
        let line = |line: &str| {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            for number in 1..words.len() {
                if words[number - 1].ends_with("TopicId:") || words[..number].ends_with(&["Cluster", "ID:"]) {
                    words[number] = "ID";
                }
            }
            let line = words.join(" ") + "\n";
            // librdkafka's log: `%4|1700000000.000|FAIL|…`
            match line.splitn(3, '|').collect::<Vec<_>>()[..] {
                [level, _, text] if level.starts_with('%') => format!("{level}|{text}"),
                _ => line,
            }
        };
        text.lines().map(line).collect()
    }
}

/// The timestamp of the first record that [`Side::fill`] writes.
pub const BEGIN: i64 = 1_700_000_000_000;

/// The Kafka that the environment names.
pub struct Kafka(Side);

impl Kafka {
    /// # Errors
    /// The variables that are missing.
    pub fn from_environment() -> Result<Self, String> {
        let mut missing = Vec::new();
        let mut variable = |name: &'static str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            value.unwrap_or_else(|| {
                missing.push(name);
                String::new()
            })
        };
        let (brokers, version) = (variable("KAFKA_BROKERS"), variable("KAFKA_VERSION"));
        let (script, python) = (variable("KAFKA_SCRIPT").into(), variable("JUDGES_PYTHON").into());
        if !missing.is_empty() {
            return Err(format!("not set: {}", missing.join(", ")));
        }
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let run = format!("{begin}-{}", std::process::id());
        let archive = std::env::temp_dir().join(format!("judges-{run}.jsa"));
        let kafka = Self(Side { title: format!("Kafka {version}"), brokers, run, script, python, archive });
        kafka.archive_classes();
        Ok(kafka)
    }

    /// One run of a tool leaves its classes for the others, which then start in half the time. Without, they work too.
    fn archive_classes(&self) {
        let options = format!("-Xlog:disable -XX:ArchiveClassesAtExit={}", self.0.archive.display());
        run(self.0.tool("kafka-topics", &["--list"]).env("KAFKA_OPTS", options), LONG).success();
    }

    pub fn side(&self) -> &Side {
        &self.0
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // There may be none.
        let _ = std::fs::remove_file(&self.0.archive);
    }
}

/// `krs broker`, as a user starts it.
pub struct DevBroker {
    program: Program,
    side: Side,
}

impl DevBroker {
    /// With as many partitions for a topic that nobody described as the real one has.
    pub fn start(kafka: &Kafka) -> Self {
        let words = ["broker", "--listen", "127.0.0.1:0", "--partitions", "1"];
        let program = Program::start(Command::new(env!("CARGO_BIN_EXE_krs")).args(words).env_clear());
        let address = program.stdout.wait("the address", LONG, |lines| {
            let (_, rest) = lines.first()?.split_once(" at ")?;
            rest.split_once(',').map(|(address, _)| address.to_owned())
        });
        let side = Side { title: "dev broker".into(), brokers: address, ..kafka.0.clone() };
        Self { program, side }
    }

    pub fn side(&self) -> &Side {
        &self.side
    }

    /// SIGTERM: it ends in time, and well.
    ///
    /// # Errors
    /// It does not.
    pub fn stop(self) -> Result<(), String> {
        let end = AssertUnwindSafe(|| self.program.end_by("TERM", LONG));
        let ended = catch_unwind(end).map_err(|_| "it does not end".to_owned())?;
        if ended.status.success() { Ok(()) } else { Err(format!("{:?}: {}", ended.status, ended.stderr.join("\n"))) }
    }
}
