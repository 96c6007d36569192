//! `krs bench produce`, `consume`, `latency` and `compare`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::common::{Kafka, Layout, Output};
use super::resolve::{Resolver, Source, flag};
use super::usage;
use crate::bench::{Limit, MAX_AT_ONCE, MAX_PRODUCERS, MAX_RATE, MIN_LATENCY_SIZE, Mode, Options, Task};
use crate::clock::parse_duration;
use crate::kafka::config::Scope;
use crate::logging::Format;
use crate::{Error, Result};

/// Measures how fast the client is and what it costs: records/s, MB/s, latencies, CPU time and memory.
#[derive(Args, Clone, Debug)]
#[command(after_help = usage::BENCH_EXAMPLES, disable_help_subcommand = true)]
pub(super) struct Typed {
    #[command(subcommand)]
    mode: Typing,
}

#[derive(Clone, Debug, Subcommand)]
enum Typing {
    /// Sends records to a topic, as fast as it can or at a rate.
    #[command(after_help = usage::BENCH_EXAMPLES)]
    Produce(Produce),
    /// Reads records from the beginning of a topic, without a group; fill it with produce first.
    #[command(after_help = usage::BENCH_EXAMPLES)]
    Consume(Consume),
    /// Sends records at a rate, receives them, and measures how long they take from the moment they are due.
    #[command(after_help = usage::BENCH_EXAMPLES)]
    Latency(Latency),
    /// Puts two reports of --json beside each other, with ratios and the settings that differ.
    #[command(after_help = usage::BENCH_EXAMPLES, override_usage = "krs bench compare FILE FILE")]
    Compare(Compare),
}

#[derive(Args, Clone, Debug, Default)]
struct Produce {
    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    sending: Sending,

    /// Threads that send with the one producer; they share the count and the rate
    /// [default: 1]
    #[arg(long, value_name = "N", help_heading = "Records", allow_negative_numbers = true, verbatim_doc_comment)]
    producers: Option<OsString>,

    /// Records handed over with one call
    /// [default: 1]
    #[arg(long, value_name = "N", help_heading = "Records", allow_negative_numbers = true, verbatim_doc_comment)]
    at_once: Option<OsString>,
}

#[derive(Args, Clone, Debug, Default)]
struct Consume {
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Clone, Debug, Default)]
struct Latency {
    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    sending: Sending,
}

#[derive(Args, Clone, Debug, Default)]
struct Compare {
    /// Two files with what --json printed; - is standard input
    #[arg(value_name = "FILE")]
    files: Vec<OsString>,
}

#[derive(Args, Clone, Debug, Default)]
struct Common {
    #[command(flatten)]
    kafka: Kafka,

    /// The topic; it is created if it does not exist, but for consume. No default: keep it apart from the services' topic
    #[arg(short, long, value_name = "NAME", help_heading = "Kafka")]
    topic: Option<OsString>,

    /// How many records are measured
    /// [default: 1000000; latency: what is due in 10s]
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        help_heading = "Records",
        allow_negative_numbers = true,
        verbatim_doc_comment
    )]
    count: Option<OsString>,

    /// How long it is measured, in place of --count: 500ms, 10s, 5m
    #[arg(long = "for", value_name = "TIME", help_heading = "Records")]
    duration: Option<OsString>,

    /// Prints the result as one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,

    #[command(flatten)]
    output: Output,
}

/// What `produce` and `latency` send.
#[derive(Args, Clone, Debug, Default)]
struct Sending {
    /// Records a second; latency counts from the moment each is due
    /// [default: as fast as it can; latency: 1000]
    #[arg(
        short,
        long,
        value_name = "N",
        help_heading = "Records",
        allow_negative_numbers = true,
        verbatim_doc_comment
    )]
    rate: Option<OsString>,

    /// Bytes of each record's value; latency needs 8
    /// [default: 100]
    #[arg(
        short,
        long,
        value_name = "BYTES",
        help_heading = "Records",
        allow_negative_numbers = true,
        verbatim_doc_comment
    )]
    size: Option<OsString>,

    /// none, gzip, snappy, lz4 or zstd; the same as -X compression.type=
    /// [default: none]
    #[arg(long, value_name = "CODEC", help_heading = "Records", verbatim_doc_comment)]
    compression: Option<OsString>,

    /// How long it sends before it measures; 0s starts cold
    /// [default: a twentieth of what is measured, at most 1s; latency: a fifth, at most 2s]
    #[arg(long, value_name = "TIME", help_heading = "Records", verbatim_doc_comment)]
    warm_up: Option<OsString>,

    #[command(flatten)]
    layout: Layout,
}

/// The largest message a broker can be set to take is far below.
const MAX_SIZE: i64 = 1 << 30;

impl Typed {
    pub(super) fn kafka(&self) -> Option<&Kafka> {
        self.common().map(|common| &common.kafka)
    }

    pub(super) fn output(&self) -> Option<&Output> {
        self.common().map(|common| &common.output)
    }

    fn common(&self) -> Option<&Common> {
        match &self.mode {
            Typing::Produce(typed) => Some(&typed.common),
            Typing::Consume(typed) => Some(&typed.common),
            Typing::Latency(typed) => Some(&typed.common),
            Typing::Compare(_) => None,
        }
    }

    pub(super) fn resolve(&self, resolver: &Resolver<'_>, format: Format) -> Result<Task> {
        let options = match &self.mode {
            Typing::Compare(typed) => return typed.resolve(),
            Typing::Produce(typed) => {
                let options = typed.sending.resolve(resolver, typed.common.resolve(resolver, Mode::Produce)?)?;
                let number = |flag, typed: &Option<OsString>, most: u32, example| {
                    let count =
                        resolver.count(&Source { flag, typed: typed.as_ref(), variable: "" }, most.into(), example)?;
                    Ok::<_, Error>(count.and_then(|count| u32::try_from(count).ok()))
                };
                let producers = number("--producers", &typed.producers, MAX_PRODUCERS, "4")?;
                let at_once = number("--at-once", &typed.at_once, MAX_AT_ONCE, "16")?;
                if at_once.is_some() && options.rate.is_some() {
                    let why =
                        "--at-once and --rate contradict each other: with a rate each record is sent when it is due";
                    return Err(Error::config(format!("{why}; leave one of them out")));
                }
                Options {
                    producers: producers.unwrap_or(options.producers),
                    at_once: at_once.unwrap_or(options.at_once),
                    ..options
                }
            }
            Typing::Consume(typed) => typed.common.resolve(resolver, Mode::Consume)?,
            Typing::Latency(typed) => {
                let options = typed.sending.resolve(resolver, typed.common.resolve(resolver, Mode::Latency)?)?;
                if options.size < MIN_LATENCY_SIZE {
                    let why = "in each value travels the moment it was due, in 8 bytes";
                    return Err(Error::config(format!("--size {}: {why}; for example --size 100", options.size)));
                }
                options
            }
        };
        for scope in match options.mode {
            Mode::Produce => &[Scope::Producer][..],
            Mode::Consume => &[Scope::Consumer],
            Mode::Latency => &[Scope::Producer, Scope::Consumer],
        } {
            options.config.check(*scope)?;
        }
        if options.mode != Mode::Produce && options.config.has("group.id") {
            return Err(Error::config("-X group.id: bench reads without a group; leave it out"));
        }
        if options.mode != Mode::Produce && options.config.has("auto.offset.reset") {
            return Err(Error::config("-X auto.offset.reset: bench knows where to begin; leave it out"));
        }
        let json = options.json || format == Format::Json;
        Ok(Task::Measure(Options { json, ..options }))
    }
}

impl Common {
    fn resolve(&self, resolver: &Resolver<'_>, mode: Mode) -> Result<Options> {
        let config = self.kafka.config(resolver)?;
        let topic = Source { flag: "--topic", typed: self.topic.as_ref(), variable: "" };
        let topic =
            resolver.topic(&topic)?.ok_or_else(|| Error::config("--topic is missing; for example --topic bench"))?;
        let options = Options { config, json: self.json, ..Options::new(mode, topic) };
        let count = Source { flag: "--count", typed: self.count.as_ref(), variable: "" };
        let count = resolver.count(&count, i64::MAX, "1000000")?;
        let time = time("--for", self.duration.as_ref(), "10s")?;
        let limit = match (count, time) {
            (Some(_), Some(_)) => {
                return Err(Error::config("--count and --for both say how much to measure; leave one of them out"));
            }
            (_, Some(Duration::ZERO)) => {
                let typed = self.duration.as_deref().unwrap_or_default().to_string_lossy();
                let why = "there is nothing to measure in no time; for example --for 10s";
                return Err(Error::config(format!("--for {typed}: {why}")));
            }
            (Some(count), None) => Limit::Count(count),
            (None, Some(time)) => Limit::Time(time),
            (None, None) => options.limit,
        };
        Ok(Options { limit, ..options })
    }
}

impl Sending {
    fn resolve(&self, resolver: &Resolver<'_>, options: Options) -> Result<Options> {
        let compression = Source { flag: "--compression", typed: self.compression.as_ref(), variable: "" };
        let config = resolver.property(options.config, "compression.type", &compression)?;
        let rate = Source { flag: "--rate", typed: self.rate.as_ref(), variable: "" };
        let rate = resolver.count(&rate, i64::try_from(MAX_RATE).unwrap_or(i64::MAX), "1000")?;
        let size = Source { flag: "--size", typed: self.size.as_ref(), variable: "" };
        let size = resolver.size(&size, MAX_SIZE, "100")?;
        Ok(Options {
            config,
            rate: rate.or(options.rate),
            size: size.unwrap_or(options.size),
            warm_up: time("--warm-up", self.warm_up.as_ref(), "1s")?,
            partitions: self.layout.partitions(resolver)?,
            replication_factor: self.layout.replication_factor(resolver)?,
            ..options
        })
    }
}

impl Compare {
    fn resolve(&self) -> Result<Task> {
        let [a, b] = &self.files[..] else {
            let (given, example) = (self.files.len(), "for example krs bench compare a.json b.json");
            return Err(Error::config(format!("compare needs two files, {given} given; {example}")));
        };
        if a == "-" && b == "-" {
            return Err(Error::config("-: standard input can be one of the two files, not both"));
        }
        Ok(Task::Compare(PathBuf::from(a), PathBuf::from(b)))
    }
}

fn time(name: &str, typed: Option<&OsString>, example: &str) -> Result<Option<Duration>> {
    let Some(given) = flag(name, typed)? else { return Ok(None) };
    parse_duration(given.value()).map(Some).map_err(|why| given.error(why, example))
}
