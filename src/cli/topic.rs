//! `krs topic list`, `describe`, `create`, `delete`, `add-partitions` and `configs`.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::common::Kafka;
use super::resolve::{self, Resolver, Source};
use super::usage;
use crate::kafka::config::{Given, Scope, names};
use crate::operate::{Task, TopicTask, Work};
use crate::{Error, Result};

/// Lists, describes, creates, deletes and changes topics.
#[derive(Args, Clone, Debug)]
#[command(after_help = usage::TOPIC_EXAMPLES, disable_help_subcommand = true)]
pub(super) struct Typed {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Lists the topics.
    List(List),
    /// Describes topics: id, partitions, leaders, replicas, what is configured.
    Describe(Describe),
    /// Creates a topic.
    Create(Create),
    /// Deletes topics with all their records; asks first.
    Delete(Delete),
    /// Gives a topic more partitions.
    AddPartitions(AddPartitions),
    /// Shows a topic's configuration where it is not the default, and changes it.
    Configs(Configs),
}

/// Which Kafka, and in what form the answer comes.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) kafka: Kafka,

    /// Prints the result as JSON, one object on one line
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
}

#[derive(Args, Clone, Debug, Default)]
struct List {
    #[command(flatten)]
    common: Common,

    /// Kafka's own topics too
    #[arg(long)]
    internal: bool,
}

#[derive(Args, Clone, Debug, Default)]
struct Describe {
    #[command(flatten)]
    common: Common,

    /// Topics
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<OsString>,
}

#[derive(Args, Clone, Debug, Default)]
struct Create {
    #[command(flatten)]
    common: Common,

    /// The topic
    #[arg(value_name = "TOPIC", required = true)]
    topic: OsString,

    /// Its partitions
    /// [default: -1, what the broker is set to]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, verbatim_doc_comment)]
    partitions: Option<OsString>,

    /// Replicas of each partition
    /// [default: -1, what the broker is set to]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, verbatim_doc_comment)]
    replication_factor: Option<OsString>,

    /// A configuration of the topic; repeatable
    #[arg(short, long, value_name = "NAME=VALUE")]
    config: Vec<OsString>,

    /// A topic that exists is success, and left as it is
    #[arg(long)]
    if_not_exists: bool,
}

#[derive(Args, Clone, Debug, Default)]
struct Delete {
    #[command(flatten)]
    common: Common,

    /// Topics
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<OsString>,

    /// Does not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(Args, Clone, Debug, Default)]
struct AddPartitions {
    #[command(flatten)]
    common: Common,

    /// The topic
    #[arg(value_name = "TOPIC", required = true)]
    topic: OsString,

    /// How many partitions it is to have, old and new
    #[arg(short, long, value_name = "N", required = true, allow_negative_numbers = true)]
    partitions: OsString,
}

#[derive(Args, Clone, Debug, Default)]
struct Configs {
    #[command(flatten)]
    common: Common,

    /// The topic
    #[arg(value_name = "TOPIC", required = true)]
    topic: OsString,

    /// Sets a value; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<OsString>,

    /// Takes a value away, so that the default holds again; repeatable
    #[arg(long, value_name = "NAME")]
    unset: Vec<OsString>,

    /// Defaults too
    #[arg(short, long)]
    all: bool,
}

impl Typed {
    pub(super) fn kafka(&self) -> &Kafka {
        &self.common().kafka
    }

    fn common(&self) -> &Common {
        match &self.action {
            Action::List(typed) => &typed.common,
            Action::Describe(typed) => &typed.common,
            Action::Create(typed) => &typed.common,
            Action::Delete(typed) => &typed.common,
            Action::AddPartitions(typed) => &typed.common,
            Action::Configs(typed) => &typed.common,
        }
    }

    pub(super) fn resolve(&self, resolver: &Resolver<'_>) -> Result<Task> {
        let work = match &self.action {
            Action::List(typed) => TopicTask::List { internal: typed.internal },
            Action::Describe(typed) => TopicTask::Describe { topics: topics(&typed.topics)? },
            Action::Create(typed) => {
                let partitions = Source { flag: "--partitions", typed: typed.partitions.as_ref(), variable: "" };
                let replicas =
                    Source { flag: "--replication-factor", typed: typed.replication_factor.as_ref(), variable: "" };
                TopicTask::Create {
                    topic: topic(&typed.topic)?,
                    partitions: resolver.layout(&partitions, -1, 100_000, "3")?,
                    replication_factor: resolver.layout(&replicas, -1, i64::from(i16::MAX), "1")?,
                    configs: pairs("--config", &typed.config)?,
                    if_not_exists: typed.if_not_exists,
                }
            }
            Action::Delete(typed) => TopicTask::Delete { topics: topics(&typed.topics)?, yes: typed.yes },
            Action::AddPartitions(typed) => {
                let source = Source { flag: "--partitions", typed: Some(&typed.partitions), variable: "" };
                let partitions = resolver.count(&source, 100_000, "6")?.unwrap_or_default();
                let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
                TopicTask::AddPartitions { topic: topic(&typed.topic)?, partitions }
            }
            Action::Configs(typed) => TopicTask::Configs {
                topic: topic(&typed.topic)?,
                set: pairs("--set", &typed.set)?,
                unset: typed.unset.iter().map(|name| word("--unset", name)).collect::<Result<_>>()?,
                all: typed.all,
            },
        };
        self.common().task(resolver, Work::Topic(work))
    }
}

impl Common {
    pub(super) fn task(&self, resolver: &Resolver<'_>, work: Work) -> Result<Task> {
        let config = resolve::checked(self.kafka.config(resolver)?, Scope::Common)?;
        Ok(Task { config, json: self.json, work })
    }
}

fn topics(typed: &[OsString]) -> Result<Vec<String>> {
    let mut topics: Vec<String> = typed.iter().map(topic).collect::<Result<_>>()?;
    topics.sort_unstable();
    topics.dedup();
    Ok(topics)
}

pub(super) fn topic(typed: &OsString) -> Result<String> {
    let name = word("TOPIC", typed)?;
    names::check_topic(&name)?;
    Ok(name)
}

/// A flag's value, or an argument.
pub(super) fn word(flag: &str, typed: &OsString) -> Result<String> {
    Ok(resolve::flag(flag, Some(typed))?.map(|given| given.value().to_owned()).unwrap_or_default())
}

fn pairs(flag: &str, typed: &[OsString]) -> Result<Vec<(String, String)>> {
    let pair = |typed| {
        let text = word(flag, typed)?;
        let pair = text.split_once('=').filter(|(name, _)| !name.trim().is_empty());
        let wrong = || Given::elsewhere(flag, &text).error("not NAME=VALUE", "retention.ms=3600000");
        pair.map(|(name, value)| (name.trim().to_owned(), value.to_owned())).ok_or_else(wrong)
    };
    let pairs: Vec<(String, String)> = typed.iter().map(pair).collect::<Result<_>>()?;
    for (at, (name, _)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|(other, _)| other == name) {
            return Err(Error::config(format!("{flag} {}: given twice; leave one of them out", name.escape_debug())));
        }
    }
    Ok(pairs)
}
