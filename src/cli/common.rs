//! Flags that several subcommands share.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::resolve::{self, Resolver, Source};
use crate::logging::Format;
use crate::service::{DEFAULT_PARTITIONS, DEFAULT_REPLICATION_FACTOR, DEFAULT_TOPIC};
use crate::{Config, Result, stats};

/// Which Kafka, and how to speak to it.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Kafka {
    /// Brokers to ask first, host:port, several separated by commas
    /// [env: KAFKA_BROKERS] [default: localhost:9092]
    #[arg(short, long, value_name = "BROKERS", help_heading = "Kafka", verbatim_doc_comment)]
    brokers: Option<OsString>,

    /// Any Kafka property; repeatable, beats the environment; -X list shows them all
    #[arg(short = 'X', value_name = "NAME=VALUE", help_heading = "Kafka", action = clap::ArgAction::Append)]
    properties: Vec<OsString>,
}

impl Kafka {
    /// `-X list`.
    pub(super) fn lists_properties(&self) -> bool {
        self.properties.iter().any(|property| property == "list")
    }

    /// The properties of `-X` and the brokers.
    pub(super) fn config(&self, resolver: &Resolver<'_>) -> Result<Config> {
        let config = resolve::properties(&self.properties)?;
        let source = Source { flag: "--brokers", typed: self.brokers.as_ref(), variable: "KAFKA_BROKERS" };
        resolver.property(config, "bootstrap.servers", &source)?.default_to("bootstrap.servers", "localhost:9092")
    }
}

/// The topic of a service.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Topic {
    /// The topic; it is created if it does not exist
    /// [env: KAFKA_TOPIC] [default: rust-messages]
    #[arg(short, long, value_name = "NAME", help_heading = "Kafka", verbatim_doc_comment)]
    topic: Option<OsString>,

    #[command(flatten)]
    pub(super) layout: Layout,
}

impl Topic {
    pub(super) fn name(&self, resolver: &Resolver<'_>) -> Result<String> {
        let source = Source { flag: "--topic", typed: self.topic.as_ref(), variable: "KAFKA_TOPIC" };
        Ok(resolver.topic(&source)?.unwrap_or_else(|| DEFAULT_TOPIC.to_owned()))
    }
}

/// What a topic is created with.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Layout {
    /// Partitions of the topic if it is created; -1 is what the broker is set to
    /// [default: 3]
    #[arg(long, value_name = "N", help_heading = "Kafka", allow_negative_numbers = true, verbatim_doc_comment)]
    partitions: Option<OsString>,

    /// Replicas of each partition if it is created; -1 is what the broker is set to
    /// [default: 1]
    #[arg(long, value_name = "N", help_heading = "Kafka", allow_negative_numbers = true, verbatim_doc_comment)]
    replication_factor: Option<OsString>,
}

impl Layout {
    /// Whether the user said anything of it.
    pub(super) fn is_typed(&self) -> bool {
        self.partitions.is_some() || self.replication_factor.is_some()
    }

    pub(super) fn partitions(&self, resolver: &Resolver<'_>) -> Result<i32> {
        let source = Source { flag: "--partitions", typed: self.partitions.as_ref(), variable: "" };
        resolver.layout(&source, DEFAULT_PARTITIONS, 100_000, "3")
    }

    pub(super) fn replication_factor(&self, resolver: &Resolver<'_>) -> Result<i16> {
        let source = Source { flag: "--replication-factor", typed: self.replication_factor.as_ref(), variable: "" };
        resolver.layout(&source, DEFAULT_REPLICATION_FACTOR, i64::from(i16::MAX), "1")
    }
}

/// When a service ends, and what it tells meanwhile.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Course {
    /// Ends after this many messages
    /// [default: goes on until Ctrl-C or SIGTERM]
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        help_heading = "Messages",
        allow_negative_numbers = true,
        verbatim_doc_comment
    )]
    count: Option<OsString>,

    /// Milliseconds between two reports of rates, failures and latencies; 0 turns them off
    /// [env: STATS_INTERVAL_MS] [default: 10000]
    #[arg(long, value_name = "MS", help_heading = "Output", allow_negative_numbers = true, verbatim_doc_comment)]
    stats_interval: Option<OsString>,
}

impl Course {
    pub(super) fn count(&self, resolver: &Resolver<'_>) -> Result<Option<u64>> {
        let source = Source { flag: "--count", typed: self.count.as_ref(), variable: "" };
        resolver.count(&source, i64::MAX, "100")
    }

    pub(super) fn stats_interval(&self, resolver: &Resolver<'_>) -> Result<Option<Duration>> {
        let source =
            Source { flag: "--stats-interval", typed: self.stats_interval.as_ref(), variable: "STATS_INTERVAL_MS" };
        let interval = resolver.millis(&source, stats::DEFAULT_INTERVAL)?;
        Ok(Some(interval).filter(|interval| !interval.is_zero()))
    }
}

/// The form of what is written.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Output {
    /// The form of all output: text for people or json, one object a line
    /// [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = "Output", verbatim_doc_comment)]
    log_format: Option<OsString>,
}

impl Output {
    pub(super) fn format(&self) -> Result<Format> {
        match resolve::flag("--log-format", self.log_format.as_ref())? {
            None => Ok(Format::Text),
            Some(given) => match given.value() {
                "text" => Ok(Format::Text),
                "json" => Ok(Format::Json),
                _ => Err(given.error("neither text nor json", "json")),
            },
        }
    }
}
