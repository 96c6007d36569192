//! `krs send`, which is also `sender`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::common::{Course, Kafka, Output, Topic};
use super::resolve::{self, Resolver, Source, flag};
use crate::kafka::config::Scope;
use crate::kafka::config::given::shown;
use crate::service::escapes::unescape;
use crate::service::lines;
use crate::service::message::MAX_PRODUCER_ID;
use crate::service::sender::Options;
use crate::{Config, Error, Result};

/// Sends a JSON message at a fixed rate until Ctrl-C, then waits for what is under way.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Typed {
    #[command(flatten)]
    pub(super) kafka: Kafka,

    #[command(flatten)]
    topic: Topic,

    /// Milliseconds from one message to the next; 0 sends as fast as it can
    /// [env: SEND_INTERVAL_MS] [default: 100]
    #[arg(
        short,
        long,
        value_name = "MS",
        help_heading = "Messages",
        allow_negative_numbers = true,
        verbatim_doc_comment
    )]
    interval: Option<OsString>,

    /// Milliseconds after which a message that was not acknowledged is
    /// given up; a line of --stdin has 120000 unless it is set
    /// [env: MESSAGE_TIMEOUT_MS] [default: 5000]
    #[arg(long, value_name = "MS", help_heading = "Messages", allow_negative_numbers = true, verbatim_doc_comment)]
    message_timeout: Option<OsString>,

    /// Tells this sender from others in a receiver's totals
    /// [env: PRODUCER_ID] [default: host name and process id]
    #[arg(long, value_name = "ID", help_heading = "Messages", verbatim_doc_comment)]
    producer_id: Option<OsString>,

    /// Senders in this process; PRODUCER_ID-1, PRODUCER_ID-2, … tell them apart
    /// [default: 1]
    #[arg(long, value_name = "N", help_heading = "Messages", allow_negative_numbers = true, verbatim_doc_comment)]
    senders: Option<OsString>,

    #[command(flatten)]
    lines: Lines,

    #[command(flatten)]
    course: Course,

    #[command(flatten)]
    pub(super) output: Output,
}

/// Messages that others made.
#[derive(Args, Clone, Debug, Default)]
struct Lines {
    /// Sends each line of standard input instead of messages of its own
    #[arg(long, help_heading = "Standard input")]
    stdin: bool,

    /// What ends a line, with \n \t \r \0 \xHH \\
    /// [default: \n]
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = "Standard input",
        allow_hyphen_values = true,
        verbatim_doc_comment
    )]
    delimiter: Option<OsString>,

    /// What is between key and value, where it occurs first: the same escapes; a line without it has no key
    #[arg(long, value_name = "TEXT", help_heading = "Standard input", allow_hyphen_values = true)]
    key_separator: Option<OsString>,

    /// The key of every message
    #[arg(long, value_name = "KEY", help_heading = "Standard input", allow_hyphen_values = true)]
    key: Option<OsString>,

    /// The partition of every message
    /// [default: chosen by the key]
    #[arg(
        long,
        value_name = "N",
        help_heading = "Standard input",
        allow_negative_numbers = true,
        verbatim_doc_comment
    )]
    partition: Option<OsString>,

    /// A header of every message; repeatable
    #[arg(
        short = 'H',
        long = "header",
        value_name = "NAME=VALUE",
        help_heading = "Standard input",
        action = clap::ArgAction::Append,
        allow_hyphen_values = true
    )]
    headers: Vec<OsString>,

    /// A value that is this text becomes null, a tombstone; "" makes one of every empty value
    #[arg(
        long,
        alias = "null-value",
        value_name = "TEXT",
        help_heading = "Standard input",
        allow_hyphen_values = true
    )]
    tombstone: Option<OsString>,
}

/// A thread and connections each.
const MOST_SENDERS: i64 = 256;

impl Typed {
    /// Whether standard input is sent.
    pub(super) fn sends_lines(&self) -> bool {
        self.lines.stdin
    }

    /// What the sender of lines is told.
    pub(super) fn resolve_lines(&self, resolver: &Resolver<'_>) -> Result<lines::Options> {
        let makes = [
            ("--interval", self.interval.is_some()),
            ("--producer-id", self.producer_id.is_some()),
            ("--senders", self.senders.is_some()),
        ];
        if let Some((flag, _)) = makes.iter().find(|(_, typed)| *typed) {
            return Err(Error::config(format!(
                "{flag} is about messages that the sender makes, and --stdin sends those that it reads; leave one of them \
                 out"
            )));
        }
        let typed = &self.lines;
        if typed.key.is_some() && typed.key_separator.is_some() {
            return Err(Error::config("--key and --key-separator both give the key; leave one of them out"));
        }
        let mut options = lines::Options::new(self.config(resolver)?);
        options.topic = self.topic.name(resolver)?;
        options.count = self.course.count(resolver)?;
        if let Some(delimiter) = escaped("--delimiter", typed.delimiter.as_ref(), r"\n")? {
            options.delimiter = delimiter;
        }
        options.key_separator = escaped("--key-separator", typed.key_separator.as_ref(), ":")?;
        options.key = flag("--key", typed.key.as_ref())?.map(|given| given.value().as_bytes().to_vec());
        options.partition = partition(typed.partition.as_ref())?;
        options.headers = typed.headers.iter().map(header).collect::<Result<_>>()?;
        options.tombstone =
            flag("--tombstone", typed.tombstone.as_ref())?.map(|given| given.value().as_bytes().to_vec());
        options.partitions = self.topic.layout.partitions(resolver)?;
        options.replication_factor = self.topic.layout.replication_factor(resolver)?;
        options.stats_interval = self.course.stats_interval(resolver)?;
        Ok(options)
    }

    fn config(&self, resolver: &Resolver<'_>) -> Result<Config> {
        let timeout =
            Source { flag: "--message-timeout", typed: self.message_timeout.as_ref(), variable: "MESSAGE_TIMEOUT_MS" };
        let config = resolver.property(self.kafka.config(resolver)?, "message.timeout.ms", &timeout)?;
        resolve::checked(config, Scope::Producer)
    }

    pub(super) fn resolve(&self, resolver: &Resolver<'_>) -> Result<Options> {
        let typed = &self.lines;
        let of_lines = [
            ("--delimiter", typed.delimiter.is_some()),
            ("--key-separator", typed.key_separator.is_some()),
            ("--key", typed.key.is_some()),
            ("--partition", typed.partition.is_some()),
            ("--header", !typed.headers.is_empty()),
            ("--tombstone", typed.tombstone.is_some()),
        ];
        if let Some((flag, _)) = of_lines.iter().find(|(_, typed)| *typed) {
            return Err(Error::config(format!("{flag} is for messages that are read: add --stdin")));
        }
        let interval = Source { flag: "--interval", typed: self.interval.as_ref(), variable: "SEND_INTERVAL_MS" };
        let mut options = Options::new(self.config(resolver)?);
        options.topic = self.topic.name(resolver)?;
        options.interval = resolver.millis(&interval, Duration::from_millis(100))?;
        options.count = self.course.count(resolver)?;
        options.producer_id = self.producer_id(resolver)?;
        options.partitions = self.topic.layout.partitions(resolver)?;
        options.replication_factor = self.topic.layout.replication_factor(resolver)?;
        options.stats_interval = self.course.stats_interval(resolver)?;
        let senders = Source { flag: "--senders", typed: self.senders.as_ref(), variable: "" };
        let senders = resolver.count(&senders, MOST_SENDERS, "3")?.unwrap_or(1);
        options.senders = usize::try_from(senders).unwrap_or(1);
        Ok(options)
    }

    fn producer_id(&self, resolver: &Resolver<'_>) -> Result<Option<String>> {
        let source = Source { flag: "--producer-id", typed: self.producer_id.as_ref(), variable: "PRODUCER_ID" };
        let Some(given) = resolver.given(&source)? else { return Ok(None) };
        let id = given.value().trim();
        if id.is_empty() {
            return Err(given.error("the value is empty", "sender-1"));
        }
        if let Some(character) = id.chars().find(|c| c.is_control()) {
            return Err(given.error(format!("{} is not possible in it", shown(&character.to_string())), "sender-1"));
        }
        if id.len() > MAX_PRODUCER_ID {
            return Err(given.error(format!("{} bytes, at most {MAX_PRODUCER_ID} are possible", id.len()), "sender-1"));
        }
        Ok(Some(id.to_owned()))
    }
}

/// The bytes that a text with escapes stands for; there must be some.
fn escaped(name: &str, typed: Option<&OsString>, example: &str) -> Result<Option<Vec<u8>>> {
    let Some(given) = flag(name, typed)? else { return Ok(None) };
    let bytes = unescape(given.value()).map_err(|why| given.error(why, example))?;
    if bytes.is_empty() { Err(given.error("the value is empty", example)) } else { Ok(Some(bytes)) }
}

fn partition(typed: Option<&OsString>) -> Result<Option<i32>> {
    let Some(given) = flag("--partition", typed)? else { return Ok(None) };
    let number = given.value().trim().parse().ok().filter(|partition: &i32| *partition >= 0);
    number.map(Some).ok_or_else(|| given.error("not a partition, which count from 0", "0"))
}

fn header(typed: &OsString) -> Result<(String, Vec<u8>)> {
    let Some(given) = flag("--header", Some(typed))? else { return Ok(Default::default()) };
    match given.value().split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.as_bytes().to_vec())),
        _ => Err(given.error("not a name and a value", "source=import")),
    }
}
