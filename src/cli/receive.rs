//! `krs receive`, which is also `receiver`.

use std::ffi::OsString;

use clap::Args;
use time::OffsetDateTime;

use super::common::{Course, Kafka, Output, Topic};
use super::moment;
use super::resolve::{self, Resolver, Source, flag};
use crate::kafka::config::Given;
use crate::kafka::config::Scope;
use crate::logging::Format;
use crate::service::receiver::{End, Options, Shape, Share, Start, Template};
use crate::{Config, Error, Result};

/// Receives as one of a group, writes a line for each message, and commits what it has written.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Typed {
    #[command(flatten)]
    pub(super) kafka: Kafka,

    #[command(flatten)]
    topic: Topic,

    /// The group whose members share the topic's partitions
    /// [env: CONSUMER_GROUP] [default: rust-consumer-group]
    #[arg(short, long, value_name = "NAME", help_heading = "Kafka", verbatim_doc_comment)]
    group: Option<OsString>,

    /// Reads all partitions without a group; commits nothing, creates no topic
    #[arg(long, help_heading = "Kafka")]
    no_group: bool,

    /// Reads these partitions, separated by commas, without a group; repeatable
    #[arg(
        long,
        value_name = "N,…",
        help_heading = "Kafka",
        allow_hyphen_values = true,
        action = clap::ArgAction::Append
    )]
    partition: Vec<OsString>,

    /// Members of the group in this process, which share its output;
    /// a group.instance.id becomes ID-1, ID-2, …
    /// [default: 1]
    #[arg(long, value_name = "N", help_heading = "Kafka", allow_negative_numbers = true, verbatim_doc_comment)]
    receivers: Option<OsString>,

    /// Where to start: earliest, latest, -10m or 2026-01-01T00:00Z;
    /// in a group only for partitions that it has committed nothing for
    /// [default: as auto.offset.reset says, earliest]
    #[arg(long, value_name = "WHERE", help_heading = "Messages", allow_hyphen_values = true, verbatim_doc_comment)]
    from: Option<OsString>,

    /// Ends before the first message of this time, in each partition: now, -5m or 2026-01-01T00:00Z
    /// [default: goes on]
    #[arg(long, value_name = "TIME", help_heading = "Messages", allow_hyphen_values = true, verbatim_doc_comment)]
    until: Option<OsString>,

    /// Ends when everything is read that was there at the start
    #[arg(long, help_heading = "Messages")]
    exit_at_end: bool,

    #[command(flatten)]
    course: Course,

    #[command(flatten)]
    pub(super) output: Output,

    /// Writes every record in this form, without a newline of its own:
    /// %t topic, %p partition, %o offset, %T timestamp in ms,
    /// %k key, %s value, %K and %S their lengths (-1: null),
    /// %R the value's as 4 bytes, %h headers as k=v,…, %%;
    /// and \n \t \r \0 \xHH \\
    #[arg(long, value_name = "FORMAT", help_heading = "Output", allow_hyphen_values = true, verbatim_doc_comment)]
    format: Option<OsString>,

    /// Writes every record as one JSON object a line; bytes that are no text as {"base64":"…"}
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// As many partitions as a list may name.
const MOST_PARTITIONS: i64 = 100_000;

/// Each is a thread with connections of its own.
const MOST_RECEIVERS: i64 = 256;

impl Typed {
    pub(super) fn resolve(&self, resolver: &Resolver<'_>, format: Format) -> Result<Options> {
        let share = self.share()?;
        let config = self.config(resolver, &share)?;
        let mut options = Options::new(resolve::checked(config, Scope::Consumer)?);
        options.share = share;
        options.topic = self.topic.name(resolver)?;
        options.count = self.course.count(resolver)?;
        options.partitions = self.topic.layout.partitions(resolver)?;
        options.replication_factor = self.topic.layout.replication_factor(resolver)?;
        options.stats_interval = self.course.stats_interval(resolver)?;
        options.format = format;
        options.shape = self.shape()?;
        let now = OffsetDateTime::now_utc();
        options.start = self.start(now)?;
        options.end = End { until: self.until(now)?, at_end: self.exit_at_end };
        if let (Some(Start::Time(start)), Some(until)) = (options.start, options.end.until)
            && start >= until
        {
            return Err(Error::config("--from is not before --until: there is nothing between them"));
        }
        let receivers = Source { flag: "--receivers", typed: self.receivers.as_ref(), variable: "" };
        if let Some(receivers) = resolver.count(&receivers, MOST_RECEIVERS, "3")? {
            if options.share != Share::Group {
                return Err(Error::config(format!(
                    "--receivers are members of a group, and {} reads without one; leave one of them out",
                    self.ungrouped()
                )));
            }
            options.receivers = usize::try_from(receivers).unwrap_or(1);
        }
        if (options.share != Share::Group || options.end.is_set()) && self.topic.layout.is_typed() {
            return Err(Error::config(format!(
                "--partitions and --replication-factor are for a topic that is created, and with {} none is; leave them \
                 out",
                if options.share == Share::Group { "an end" } else { self.ungrouped() }
            )));
        }
        Ok(options)
    }

    /// The flag that says to read without a group.
    fn ungrouped(&self) -> &'static str {
        if self.partition.is_empty() { "--no-group" } else { "--partition" }
    }

    fn config(&self, resolver: &Resolver<'_>, share: &Share) -> Result<Config> {
        let config = self.kafka.config(resolver)?;
        let group = Source { flag: "--group", typed: self.group.as_ref(), variable: "CONSUMER_GROUP" };
        if *share == Share::Group {
            return resolver.property(config, "group.id", &group);
        }
        let typed =
            if self.group.is_some() { Some("--group") } else { config.has("group.id").then_some("-X group.id") };
        match typed {
            Some(typed) => {
                let flag = self.ungrouped();
                Err(Error::config(format!(
                    "{typed} names a group, and {flag} reads without one; leave one of them out"
                )))
            }
            None => Ok(config),
        }
    }

    fn share(&self) -> Result<Share> {
        if self.partition.is_empty() {
            return Ok(if self.no_group { Share::All } else { Share::Group });
        }
        let mut partitions = Vec::new();
        for list in &self.partition {
            let Some(given) = flag("--partition", Some(list))? else { continue };
            for number in given.value().split(',') {
                let partition = number.trim().parse().ok().filter(|partition| (0..MOST_PARTITIONS).contains(partition));
                let partition = partition.and_then(|partition| i32::try_from(partition).ok());
                partitions
                    .push(partition.ok_or_else(|| given.error("not a list of partitions, which count from 0", "0,2"))?);
            }
        }
        partitions.sort_unstable();
        partitions.dedup();
        Ok(Share::Partitions(partitions))
    }

    fn shape(&self) -> Result<Shape> {
        match flag("--format", self.format.as_ref())? {
            Some(_) if self.json => Err(Error::config("--format and --json are two forms; leave one of them out")),
            Some(given) => {
                Template::parse(given.value()).map(Shape::Template).map_err(|why| given.error(why, r"'%p@%o %s\n'"))
            }
            None => Ok(if self.json { Shape::Json } else { Shape::Ours }),
        }
    }

    fn start(&self, now: OffsetDateTime) -> Result<Option<Start>> {
        let Some(given) = flag("--from", self.from.as_ref())? else { return Ok(None) };
        Ok(Some(match given.value() {
            "earliest" | "beginning" => Start::Earliest,
            "latest" | "end" => Start::Latest,
            _ => {
                let time = time(&given, now, "neither earliest nor latest nor a time")?;
                if time > now {
                    return Err(given.error("it lies in the future; latest starts behind what is there", ""));
                }
                Start::Time(milliseconds(time))
            }
        }))
    }

    fn until(&self, now: OffsetDateTime) -> Result<Option<i64>> {
        let Some(given) = flag("--until", self.until.as_ref())? else { return Ok(None) };
        let time = if given.value() == "now" { now } else { time(&given, now, "neither now nor a time")? };
        Ok(Some(milliseconds(time)))
    }
}

fn time(given: &Given, now: OffsetDateTime, neither: &str) -> Result<OffsetDateTime> {
    moment::parse(given.value(), now).map_err(|why| given.error(why.replacen("not a time", neither, 1), ""))
}

fn milliseconds(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX).max(0)
}
