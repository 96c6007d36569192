//! `krs bench`: how fast the client is, and what it costs.
//!
//! One process, one client, the properties that the user gave and otherwise the client's own defaults, but for
//! `message.timeout.ms` (10 s, so that a run ends soon after its broker) and, of a consumer, `max.poll.records`. The
//! clock runs from the first record handed over (or the first fetch) to the last acknowledgement (or record); processor
//! time is that of the whole process in this span, peak memory that of the process since it started. What is sent to
//! warm up is acknowledged before the clock starts; only `latency` goes on without a pause.

mod compare;
mod consume;
mod latency;
mod pace;
mod produce;
mod progress;
mod report;
mod tally;
mod usage;
mod values;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

pub use pace::MAX_RATE;

use crate::service::{DEFAULT_PARTITIONS, DEFAULT_REPLICATION_FACTOR, Stop};
use crate::{Admin, Config, Error, ErrorKind, Result, TopicPartition};

/// The rate of [`Mode::Latency`] unless told otherwise.
pub const DEFAULT_LATENCY_RATE: u64 = 1000;

/// How long [`Mode::Latency`] measures unless told otherwise.
pub const DEFAULT_LATENCY_TIME: Duration = Duration::from_secs(10);

/// How many records the other modes measure unless told otherwise.
pub const DEFAULT_COUNT: u64 = 1_000_000;

/// Bytes of a value unless told otherwise.
pub const DEFAULT_SIZE: usize = 100;

/// Bytes that a value of [`Mode::Latency`] needs: the moment it was due travels in it.
pub const MIN_LATENCY_SIZE: usize = size_of::<u64>();

/// So many threads can send.
pub const MAX_PRODUCERS: u32 = 1024;

/// The most records that are handed over with one call.
pub const MAX_AT_ONCE: u32 = 1024;

/// In place of the default: a run whose broker is gone should end soon.
const MESSAGE_TIMEOUT: u64 = 10_000;

/// Why a run ended that the user stopped.
const STOPPED: &str = "stopped";

/// What to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// Measures.
    Measure(Options),
    /// Puts two reports beside each other: files, or `-` for standard input.
    Compare(PathBuf, PathBuf),
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sends records without a key, as the producer's partitioner spreads them.
    Produce,
    /// Reads records from the beginning of the topic, without a group.
    Consume,
    /// Sends records at a rate and receives them in the same process.
    Latency,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Latency => "latency",
        }
    }
}

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many records, at least 1.
    Count(u64),
    /// So long, more than nothing.
    Time(Duration),
}

/// What a measurement is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every Kafka property, `bootstrap.servers` among them.
    pub config: Config,
    /// What to measure.
    pub mode: Mode,
    /// The topic.
    pub topic: String,
    /// How much. Default 1,000,000 records; 10 s of [`Mode::Latency`].
    pub limit: Limit,
    /// Bytes of each record's value, at least 8 for [`Mode::Latency`]. Default 100.
    pub size: usize,
    /// Records a second, at most [`MAX_RATE`]. Default none, which is as fast as it can; 1000 for [`Mode::Latency`].
    pub rate: Option<u64>,
    /// Threads that send with the one producer, for [`Mode::Produce`]: 1, the default, to [`MAX_PRODUCERS`].
    pub producers: u32,
    /// Records handed over with one call, for [`Mode::Produce`] without a rate: 1, the default, to [`MAX_AT_ONCE`].
    pub at_once: u32,
    /// How long to send before it is measured. Default: a twentieth of the limit, but 1 s at most; a fifth, but 2 s at
    /// most, for [`Mode::Latency`].
    pub warm_up: Option<Duration>,
    /// Partitions of the topic if it has to be created. Default 3.
    pub partitions: i32,
    /// Replication factor of the topic if it has to be created. Default 1.
    pub replication_factor: i16,
    /// Prints the report as one JSON object instead of text. Default false.
    pub json: bool,
}

impl Options {
    /// The defaults.
    pub fn new(mode: Mode, topic: impl Into<String>) -> Self {
        let latency = mode == Mode::Latency;
        Self {
            config: Config::new(),
            mode,
            topic: topic.into(),
            limit: if latency { Limit::Time(DEFAULT_LATENCY_TIME) } else { Limit::Count(DEFAULT_COUNT) },
            size: DEFAULT_SIZE,
            rate: latency.then_some(DEFAULT_LATENCY_RATE),
            producers: 1,
            at_once: 1,
            warm_up: None,
            partitions: DEFAULT_PARTITIONS,
            replication_factor: DEFAULT_REPLICATION_FACTOR,
            json: false,
        }
    }

    fn check(&self) -> Result<()> {
        if [Limit::Count(0), Limit::Time(Duration::ZERO)].contains(&self.limit) {
            return Err(Error::config("there is nothing to measure in no records or no time"));
        }
        if self.mode == Mode::Latency && self.size < MIN_LATENCY_SIZE {
            let (size, least) = (self.size, MIN_LATENCY_SIZE);
            return Err(Error::config(format!("size {size}: a value needs {least} bytes to carry its moment")));
        }
        if self.rate.is_some_and(|rate| !(1..=MAX_RATE).contains(&rate)) {
            return Err(Error::config(format!("rates of 1 to {MAX_RATE} are possible")));
        }
        if !(1..=MAX_PRODUCERS).contains(&self.producers) {
            return Err(Error::config(format!("1 to {MAX_PRODUCERS} producers are possible")));
        }
        if !(1..=MAX_AT_ONCE).contains(&self.at_once) {
            return Err(Error::config(format!("1 to {MAX_AT_ONCE} records at once are possible")));
        }
        if self.at_once > 1 && self.rate.is_some() {
            return Err(Error::config("with a rate each record is sent when it is due, not several at once"));
        }
        Ok(())
    }

    /// What was set, by the names of flags and properties.
    fn settings(&self) -> Map<String, Value> {
        let property = |(name, text): (&str, &str)| {
            // What only looks like a number stays text: an id of 007.
            let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
            (name.to_owned(), number.map_or_else(|| crate::kafka::config::given::shown(text).into(), Value::from))
        };
        let mut settings: Map<_, _> = self.config.set_by_user().map(property).collect();
        let mut set = |name: &str, value: Value| settings.insert(name.to_owned(), value);
        match self.limit {
            Limit::Count(count) => set("count", count.into()),
            Limit::Time(time) => set("for-seconds", time.as_secs_f64().into()),
        };
        if self.mode != Mode::Consume {
            set("size", self.size.into());
            set("rate", self.rate.into());
            set("partitions", self.partitions.into());
            set("replication-factor", self.replication_factor.into());
            set("compression.type", self.config.get("compression.type").into());
        }
        if let Some(time) = self.warm_up {
            set("warm-up-seconds", time.as_secs_f64().into());
        }
        if self.mode == Mode::Produce {
            set("producers", self.producers.into());
            set("at-once", self.at_once.into());
        }
        settings
    }
}

/// Does it, and prints what comes of it on standard output. Returns the exit code: 0, or 1 if a measurement did not get
/// as far as it should and was not stopped.
///
/// # Errors
/// Options that make no sense, no usable broker, or what ended the measurement before its first record; reports that
/// cannot be read or compared; a standard output that cannot be written.
pub fn run(task: &Task, stop: &Stop) -> Result<u8> {
    let (text, code) = match task {
        Task::Compare(a, b) => {
            let (a, b) = (a.clone(), b.clone());
            // Standard input may be a terminal.
            match stop.unless_asked("reading the reports", move || compare::run(&a, &b))? {
                Some(table) => (table, 0),
                None => return Ok(0),
            }
        }
        Task::Measure(options) => {
            options.check()?;
            let report = match options.mode {
                Mode::Produce => produce::run(options, stop)?,
                Mode::Consume => consume::run(options, stop)?,
                Mode::Latency => latency::run(options, stop)?,
            };
            // Stopped before there was anything to measure.
            let report = report.unwrap_or_else(|| {
                let mut report = report::Report::new(options, 0, 0, Duration::ZERO, None);
                report.end(Some(STOPPED.to_owned()));
                report
            });
            (if options.json { report.json() } else { report.to_string() }, report.exit_code())
        }
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(code),
    }
}

/// All partitions of a topic that exists.
fn partitions(config: &Config, topic: &str) -> Result<Vec<TopicPartition>> {
    let count = Admin::connect(config)?.partition_count(topic)?;
    let topic: Arc<str> = topic.into();
    Ok((0..count).map(|index| TopicPartition::new(Arc::clone(&topic), index)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_cannot_be_measured_is_begun() {
        let refused = |options: Options| {
            let error = run(&Task::Measure(options), &Stop::new()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
        };
        let new = Options::new;
        refused(Options { limit: Limit::Count(0), ..new(Mode::Produce, "t") });
        refused(Options { limit: Limit::Time(Duration::ZERO), ..new(Mode::Consume, "t") });
        refused(Options { size: 7, ..new(Mode::Latency, "t") });
        refused(Options { rate: Some(0), ..new(Mode::Latency, "t") });
        refused(Options { rate: Some(MAX_RATE + 1), ..new(Mode::Produce, "t") });
        refused(Options { producers: 0, ..new(Mode::Produce, "t") });
        refused(Options { at_once: 0, ..new(Mode::Produce, "t") });
        refused(Options { at_once: MAX_AT_ONCE + 1, ..new(Mode::Produce, "t") });
        refused(Options { at_once: 2, rate: Some(10), ..new(Mode::Produce, "t") });
        refused(Options { producers: MAX_PRODUCERS + 1, ..new(Mode::Produce, "t") });
    }
}
