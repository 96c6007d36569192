//! `krs bench`: how fast the client is, and what it costs.
//!
//! One process, one client, the properties that the user gave and otherwise the client's own defaults. The clock runs
//! from the first record handed over (or the first fetch) to the last acknowledgement (or record); processor time is
//! that of the whole process in this span, peak memory that of the process since it started.

mod consume;
mod produce;
mod progress;
mod usage;

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use crate::service::Stop;
use crate::{Config, Error, ErrorKind, Result};
use usage::Usage;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sends `count` records of `size` bytes, without a key, as the producer's partitioner spreads them.
    Produce,
    /// Reads `count` records from the beginning of the topic, without a group.
    Consume,
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
    /// How many records. At least 1.
    pub count: u64,
    /// Bytes of each record's value, for [`Mode::Produce`]. Default 100.
    pub size: usize,
    /// Partitions of the topic if it has to be created, for [`Mode::Produce`]. Default 3.
    pub partitions: i32,
    /// Replication factor of the topic if it has to be created. Default 1.
    pub replication_factor: i16,
}

/// Measures until the count is reached or the stop is asked for and prints the result on standard output. Returns the
/// exit code: 0, or 1 if a record was not delivered or the topic ended early.
///
/// # Errors
/// Options that make no sense, no usable broker, or what ended the measurement before its first record.
pub fn run(options: &Options, stop: &Stop) -> Result<u8> {
    if options.count == 0 {
        return Err(Error::config("count 0: there is nothing to measure; give at least 1"));
    }
    let outcome = match options.mode {
        Mode::Produce => produce::run(options, stop)?,
        Mode::Consume => consume::run(options, stop)?,
    };
    let Some(outcome) = outcome else { return Ok(0) };
    match io::stdout().lock().write_all(outcome.to_string().as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(u8::from(!outcome.complete)),
    }
}

/// The result of a measurement.
#[derive(Debug)]
struct Outcome {
    /// `produced`
    what: &'static str,
    topic: String,
    records: u64,
    /// Of the values.
    bytes: u64,
    elapsed: Duration,
    /// What the process used in this time, where that is known.
    usage: Option<Usage>,
    /// More facts, as name and text.
    facts: Vec<(&'static str, String)>,
    /// Everything that was asked for was done.
    complete: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64().max(1e-9);
        let (rate, megabytes) = (self.records as f64 / seconds, self.bytes as f64 / seconds / 1e6);
        writeln!(
            f,
            "{} {} records, {} bytes of values, {} in {seconds:.3} s",
            self.what, self.records, self.bytes, self.topic
        )?;
        writeln!(f, "  rate     {rate:.0} records/s, {megabytes:.1} MB/s")?;
        for (name, text) in &self.facts {
            writeln!(f, "  {name:8} {text}")?;
        }
        match &self.usage {
            Some(usage) => {
                let cpu = usage.cpu.as_secs_f64();
                write!(f, "  client   {cpu:.2} s of CPU (user and system)")?;
                if cpu > 0.0 {
                    write!(f, ", {:.0} records per CPU second", self.records as f64 / cpu)?;
                }
                writeln!(f)?;
                writeln!(f, "  memory   {:.1} MB at the peak", usage.peak_memory as f64 / 1e6)
            }
            None => writeln!(f, "  client   CPU time and memory are not known on this system"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_readable() {
        let outcome = Outcome {
            what: "produced",
            topic: "to bench".into(),
            records: 1_000_000,
            bytes: 100_000_000,
            elapsed: Duration::from_millis(500),
            usage: Some(Usage { cpu: Duration::from_millis(250), peak_memory: 24_100_000 }),
            facts: vec![("acks", "p50=1.000ms".into())],
            complete: true,
        };
        let expected = "produced 1000000 records, 100000000 bytes of values, to bench in 0.500 s\n\
            \x20 rate     2000000 records/s, 200.0 MB/s\n\
            \x20 acks     p50=1.000ms\n\
            \x20 client   0.25 s of CPU (user and system), 4000000 records per CPU second\n\
            \x20 memory   24.1 MB at the peak\n";
        assert_eq!(outcome.to_string(), expected);
    }

    #[test]
    fn nothing_to_measure_is_said_before_anything_is_opened() {
        let options = Options {
            config: Config::new(),
            mode: Mode::Produce,
            topic: "t".into(),
            count: 0,
            size: 100,
            partitions: 3,
            replication_factor: 1,
        };
        assert_eq!(run(&options, &Stop::new()).unwrap_err().exit_code(), 2);
    }
}
