use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::Result;

pub(crate) const USAGE: &str = "usage: PEER produce|consume|latency|idle|first --brokers A --topic T [--count N] \
    [--size BYTES] [--rate R] [--seconds S] [--tuned] [--compression none|lz4]";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `count` records, from the first handed over to the last acknowledged.
    Produce,
    /// `count` records, from the beginning of the topic.
    Consume,
    /// From when a record was due until the consumer has it.
    Latency,
    /// Connected, and nothing to do.
    Idle,
    /// From the start of the process to the first acknowledgement.
    First,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Lz4,
}

impl Compression {
    /// As `compression.type` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
        }
    }
}

/// The command line.
#[derive(Clone, Debug)]
pub struct Arguments {
    pub mode: Mode,
    /// `host:port`, several separated by commas.
    pub brokers: String,
    pub topic: String,
    pub count: u64,
    /// Bytes of a value.
    pub size: usize,
    /// Records per second of a latency run.
    pub rate: u64,
    /// How long a latency run measures, and how long an idle one idles.
    pub seconds: u64,
    pub tuned: bool,
    pub compression: Compression,
}

impl Arguments {
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut words = words.into_iter();
        let mode = match words.next().as_deref() {
            Some("produce") => Mode::Produce,
            Some("consume") => Mode::Consume,
            Some("latency") => Mode::Latency,
            Some("idle") => Mode::Idle,
            Some("first") => Mode::First,
            Some(other) => return Err(format!("no mode {other}").into()),
            None => return Err("no mode given".into()),
        };
        let mut arguments = Self {
            mode,
            brokers: String::new(),
            topic: String::new(),
            count: 1_000_000,
            size: 100,
            rate: 1_000,
            seconds: 10,
            tuned: false,
            compression: Compression::None,
        };
        while let Some(flag) = words.next() {
            if flag == "--tuned" {
                arguments.tuned = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{flag}: no value, or no such flag"))?;
            match flag.as_str() {
                "--brokers" => arguments.brokers = value,
                "--topic" => arguments.topic = value,
                "--count" => arguments.count = number(&flag, &value)?,
                "--size" => arguments.size = number(&flag, &value)?,
                "--rate" => arguments.rate = number(&flag, &value)?,
                "--seconds" => arguments.seconds = number(&flag, &value)?,
                "--compression" => {
                    arguments.compression = match value.as_str() {
                        "none" => Compression::None,
                        "lz4" => Compression::Lz4,
                        _ => return Err(format!("--compression {value}: none or lz4").into()),
                    }
                }
                _ => return Err(format!("no flag {flag}").into()),
            }
        }
        if arguments.brokers.is_empty() || arguments.topic.is_empty() {
            return Err("--brokers and --topic are needed".into());
        }
        if arguments.count == 0 || arguments.rate == 0 || arguments.seconds == 0 {
            return Err("--count, --rate and --seconds are at least 1".into());
        }
        if mode == Mode::Latency && arguments.size < size_of::<u64>() {
            return Err("--size: a latency run has the time a record was due in its first 8 bytes".into());
        }
        Ok(arguments)
    }

    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn number<T: FromStr<Err: Display>>(flag: &str, value: &str) -> Result<T> {
    value.parse().map_err(|error| format!("{flag} {value}: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_read_in_any_order() {
        let read = parse("latency --tuned --rate 10 --topic t --size 8 --compression lz4 --brokers a:1,b:2").unwrap();
        assert_eq!((read.mode, read.rate, read.size, read.tuned), (Mode::Latency, 10, 8, true));
        assert_eq!((read.brokers.as_str(), read.topic.as_str(), read.compression.name()), ("a:1,b:2", "t", "lz4"));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "",
            "send --brokers a --topic t",
            "produce --topic t",
            "produce --brokers a --topic t --count",
            "produce --brokers a --topic t --count 0",
            "produce --brokers a --topic t --count x",
            "produce --brokers a --topic t --fast",
            "produce --brokers a --topic t --compression gzip",
            "latency --brokers a --topic t --size 7",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
