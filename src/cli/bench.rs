//! `krs bench produce` and `krs bench consume`.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::common::{Kafka, Layout, Output};
use super::resolve::{self, Resolver, Source};
use super::usage;
use crate::bench::{Mode, Options};
use crate::kafka::config::Scope;
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
    /// Sends records to a topic as fast as it can.
    #[command(after_help = usage::BENCH_EXAMPLES)]
    Produce(Produce),
    /// Reads records from the beginning of a topic, without a group; fill it with produce first.
    #[command(after_help = usage::BENCH_EXAMPLES)]
    Consume(Consume),
}

#[derive(Args, Clone, Debug, Default)]
struct Produce {
    #[command(flatten)]
    common: Common,

    /// Bytes of each record's value
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

    #[command(flatten)]
    layout: Layout,

    #[command(flatten)]
    output: Output,
}

#[derive(Args, Clone, Debug, Default)]
struct Consume {
    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    output: Output,
}

#[derive(Args, Clone, Debug, Default)]
struct Common {
    #[command(flatten)]
    kafka: Kafka,

    /// The topic; produce creates it if it does not exist. No default: keep it apart from the services' topic
    #[arg(short, long, value_name = "NAME", help_heading = "Kafka")]
    topic: Option<OsString>,

    /// How many records
    /// [default: 1000000]
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        help_heading = "Records",
        allow_negative_numbers = true,
        verbatim_doc_comment
    )]
    count: Option<OsString>,
}

const DEFAULT_COUNT: u64 = 1_000_000;
const DEFAULT_SIZE: u64 = 100;
/// The largest message a broker can be set to take is far below.
const MAX_SIZE: i64 = 1 << 30;

impl Typed {
    pub(super) fn kafka(&self) -> &Kafka {
        &self.common().kafka
    }

    pub(super) fn output(&self) -> &Output {
        match &self.mode {
            Typing::Produce(produce) => &produce.output,
            Typing::Consume(consume) => &consume.output,
        }
    }

    pub(super) fn resolve(&self, resolver: &Resolver<'_>) -> Result<Options> {
        let common = self.common();
        let (mode, scope) = match self.mode {
            Typing::Produce(_) => (Mode::Produce, Scope::Producer),
            Typing::Consume(_) => (Mode::Consume, Scope::Consumer),
        };
        let config = resolve::checked(common.kafka.config(resolver)?, scope)?;
        let topic = Source { flag: "--topic", typed: common.topic.as_ref(), variable: "" };
        let topic =
            resolver.topic(&topic)?.ok_or_else(|| Error::config("--topic is missing; for example --topic bench"))?;
        let count = Source { flag: "--count", typed: common.count.as_ref(), variable: "" };
        let layout = match &self.mode {
            Typing::Produce(produce) => produce.layout.clone(),
            Typing::Consume(_) => Layout::default(),
        };
        Ok(Options {
            config,
            mode,
            topic,
            count: resolver.count(&count, i64::MAX, "1000000")?.unwrap_or(DEFAULT_COUNT),
            size: self.size(resolver)?,
            partitions: layout.partitions(resolver)?,
            replication_factor: layout.replication_factor(resolver)?,
        })
    }

    fn size(&self, resolver: &Resolver<'_>) -> Result<usize> {
        let typed = match &self.mode {
            Typing::Produce(produce) => produce.size.as_ref(),
            Typing::Consume(_) => None,
        };
        let source = Source { flag: "--size", typed, variable: "" };
        let size = resolver.count(&source, MAX_SIZE, "100")?.unwrap_or(DEFAULT_SIZE);
        // MAX_SIZE fits into every usize there is.
        Ok(usize::try_from(size).unwrap_or(usize::MAX))
    }

    fn common(&self) -> &Common {
        match &self.mode {
            Typing::Produce(produce) => &produce.common,
            Typing::Consume(consume) => &consume.common,
        }
    }
}
