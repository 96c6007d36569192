//! `krs verifiable-producer` and `krs verifiable-consumer`: flags as Apache Kafka's tools have them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::resolve::{Resolver, Source, flag};
use crate::kafka::config::Scope;
use crate::service::verifiable::{consumer, producer};
use crate::{Config, Error, Result};

/// Sends increasing numbers and tells what became of each, as Apache Kafka's VerifiableProducer does.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct TypedProducer {
    /// Brokers to ask first, host:port, several separated by commas
    #[arg(long, alias = "broker-list", value_name = "BROKERS")]
    bootstrap_server: Option<OsString>,

    /// The topic to send to
    #[arg(long, value_name = "TOPIC")]
    topic: Option<OsString>,

    /// Sends this many messages; -1: goes on until it is ended
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_messages: Option<OsString>,

    /// Messages a second, on average; -1: as many as it can
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    throughput: Option<OsString>,

    /// Acknowledgements that each message needs: 0, 1 or -1 for all
    #[arg(long, value_name = "ACKS", allow_negative_numbers = true)]
    acks: Option<OsString>,

    /// Put before each value, with a dot
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    value_prefix: Option<OsString>,

    /// Keys from 0 to below this number, over and over
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    repeating_keys: Option<OsString>,

    /// Where timestamps begin, in milliseconds since 1970; -1: now
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    message_create_time: Option<OsString>,

    /// A Java properties file, which beats the flags
    #[arg(long, alias = "producer.config", value_name = "FILE")]
    command_config: Option<OsString>,
}

/// Reads as one of a group and tells of every rebalance, poll and commit, as Apache Kafka's VerifiableConsumer does.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct TypedConsumer {
    /// Brokers to ask first, host:port, several separated by commas
    #[arg(long, alias = "broker-list", value_name = "BROKERS")]
    bootstrap_server: Option<OsString>,

    /// The topic to read
    #[arg(long, value_name = "TOPIC")]
    topic: Option<OsString>,

    /// The group
    #[arg(long, value_name = "GROUP")]
    group_id: Option<OsString>,

    /// classic or consumer
    #[arg(long, value_name = "PROTOCOL")]
    group_protocol: Option<OsString>,

    /// The broker's assignor, with the consumer protocol alone
    #[arg(long, value_name = "NAME")]
    group_remote_assignor: Option<OsString>,

    /// Makes a static member
    #[arg(long, value_name = "ID")]
    group_instance_id: Option<OsString>,

    /// Reads this many messages; -1: goes on until it is ended
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_messages: Option<OsString>,

    /// Milliseconds after which a silent member is given up, with the classic protocol alone
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    session_timeout: Option<OsString>,

    /// Tells every record
    #[arg(long)]
    verbose: bool,

    /// Commits by itself instead of after each poll
    #[arg(long)]
    enable_autocommit: bool,

    /// Where to start without a committed offset: earliest, latest or none
    #[arg(long, value_name = "POLICY")]
    reset_policy: Option<OsString>,

    /// Assignors by name or Java class, with the classic protocol alone
    #[arg(long, value_name = "CLASSES")]
    assignment_strategy: Option<OsString>,

    /// A Java properties file, which the flags beat
    #[arg(long, alias = "consumer.config", value_name = "FILE")]
    command_config: Option<OsString>,
}

impl TypedProducer {
    pub(super) fn resolve(&self, resolver: &Resolver<'_>) -> Result<producer::Options> {
        let mut config = Config::new();
        for (name, flag, typed, default) in [
            ("bootstrap.servers", "--bootstrap-server", &self.bootstrap_server, ""),
            ("acks", "--acks", &self.acks, "-1"),
        ] {
            let value = text(flag, typed.as_ref())?.unwrap_or_else(|| default.to_owned());
            if value.is_empty() {
                return Err(missing(flag, "localhost:9092"));
            }
            config = config.set_from(name, &value, flag)?;
        }
        // Whoever verifies wants to see what failed, not what went well the second time.
        config = config.set("retries", 0)?;
        if self.command_config.is_none() {
            config.check(Scope::Producer)?;
        }
        let keys = number("--repeating-keys", self.repeating_keys.as_ref(), (1, i64::from(i32::MAX)), "10")?;
        let prefix = number("--value-prefix", self.value_prefix.as_ref(), (i32::MIN.into(), i32::MAX.into()), "1")?;
        let throughput = number("--throughput", self.throughput.as_ref(), (-1, i64::from(i32::MAX)), "1000")?;
        let time = number("--message-create-time", self.message_create_time.as_ref(), (-1, i64::MAX / 2), "1000")?;
        Ok(producer::Options {
            config,
            file: self.command_config.as_ref().map(PathBuf::from),
            topic: topic(resolver, self.topic.as_ref())?,
            max_messages: most(self.max_messages.as_ref())?,
            throughput: throughput.and_then(|rate| u32::try_from(rate).ok()),
            value_prefix: prefix.and_then(|prefix| i32::try_from(prefix).ok()),
            repeating_keys: keys.and_then(|keys| u32::try_from(keys).ok()),
            create_time: time.filter(|time| *time >= 0),
        })
    }
}

impl TypedConsumer {
    pub(super) fn resolve(&self, resolver: &Resolver<'_>) -> Result<consumer::Options> {
        let protocol = text("--group-protocol", self.group_protocol.as_ref())?.unwrap_or_else(|| "classic".to_owned());
        let protocol = protocol.to_ascii_lowercase();
        let classic = protocol != "consumer";
        let strategy = text("--assignment-strategy", self.assignment_strategy.as_ref())?;
        let brokers = text("--bootstrap-server", self.bootstrap_server.as_ref())?;
        let group = text("--group-id", self.group_id.as_ref())?;
        let session = number("--session-timeout", self.session_timeout.as_ref(), (1, i64::from(i32::MAX)), "30000")?;
        let flags = [
            ("bootstrap.servers", Some(brokers.ok_or_else(|| missing("--bootstrap-server", "localhost:9092"))?)),
            ("group.id", Some(group.ok_or_else(|| missing("--group-id", "my-group"))?)),
            ("group.protocol", Some(protocol)),
            (
                "partition.assignment.strategy",
                classic
                    .then(|| strategy.unwrap_or_else(|| "org.apache.kafka.clients.consumer.RangeAssignor".to_owned())),
            ),
            (
                "group.remote.assignor",
                text("--group-remote-assignor", self.group_remote_assignor.as_ref())?.filter(|_| !classic),
            ),
            ("group.instance.id", text("--group-instance-id", self.group_instance_id.as_ref())?),
            ("session.timeout.ms", session.map(|session| session.to_string())),
            (
                "auto.offset.reset",
                Some(text("--reset-policy", self.reset_policy.as_ref())?.unwrap_or_else(|| "earliest".to_owned())),
            ),
        ];
        let config: Vec<(&'static str, String)> =
            flags.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect();
        let mut checked = Config::new();
        for (name, value) in &config {
            checked = checked.set(name, value)?;
        }
        if self.command_config.is_none() {
            checked.check(Scope::Consumer)?;
        }
        Ok(consumer::Options {
            config,
            file: self.command_config.as_ref().map(PathBuf::from),
            topic: topic(resolver, self.topic.as_ref())?,
            max_messages: most(self.max_messages.as_ref())?,
            auto_commit: self.enable_autocommit,
            verbose: self.verbose,
        })
    }
}

fn missing(flag: &str, example: &str) -> Error {
    Error::config(format!("{flag} is missing; for example {flag} {example}"))
}

fn text(name: &'static str, typed: Option<&OsString>) -> Result<Option<String>> {
    Ok(flag(name, typed)?.map(|given| given.value().to_owned()))
}

fn topic(resolver: &Resolver<'_>, typed: Option<&OsString>) -> Result<String> {
    resolver.topic(&Source { flag: "--topic", typed, variable: "" })?.ok_or_else(|| missing("--topic", "my-topic"))
}

fn number(name: &'static str, typed: Option<&OsString>, range: (i64, i64), example: &str) -> Result<Option<i64>> {
    let Some(given) = flag(name, typed)? else { return Ok(None) };
    super::resolve::number(&given, "", range, example).map(Some)
}

/// How many messages; none below 0.
fn most(typed: Option<&OsString>) -> Result<Option<u64>> {
    let number = number("--max-messages", typed, (i32::MIN.into(), i32::MAX.into()), "1000")?;
    Ok(number.and_then(|number| u64::try_from(number).ok()))
}
