//! The receiver service: a group member that writes a line for each message and commits what it has written.
//!
//! A message is processed once its line is out, or was filtered out by `RUST_LOG`. Lines are gathered per poll and
//! written before anything of that poll is committed; if a write fails, the positions go back to the first message
//! whose line is not whole, so no commit ever covers a message that was not written. A message that is not ours is
//! logged, counted and stepped over.
//!
//! Or any records of a topic, in a form of the user's ([`Shape`]), from and to where the user says, with a group or
//! without; and by several members at once, which share one standard output and one account.

mod account;
mod line;
mod member;
mod range;
mod template;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) use account::Account;
use member::{Ended, Member};
pub use range::{End, Start};
pub use template::Template;

use super::output::Output;
use super::{Stop, together, topic};
use crate::logging::Format;
use crate::stats::Reporter;
use crate::{Config, Error, ErrorKind, Result};

/// What the receiver is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every Kafka property, `bootstrap.servers` and `group.id` among them. What the user left open is filled in from
    /// [`DEFAULTS`].
    pub config: Config,
    /// The topic to read. Default `rust-messages`.
    pub topic: String,
    /// Ends after this many messages of ours, or records where all are written. Default: never.
    pub count: Option<u64>,
    /// Partitions of the topic if it has to be created. Default 3.
    pub partitions: i32,
    /// Replication factor of the topic if it has to be created. Default 1.
    pub replication_factor: i16,
    /// How often the stats thread reports; `None` is never. Default 10 s.
    pub stats_interval: Option<Duration>,
    /// The form of the line that each message becomes on standard output. Default text.
    pub format: Format,
    /// What is written for which records. Default: a line for each message of ours.
    pub shape: Shape,
    /// Which partitions are read. Default: the group's share of them.
    pub share: Share,
    /// Where partitions without a committed offset are started. Default: as `auto.offset.reset` says.
    pub start: Option<Start>,
    /// Where reading ends. Default: nowhere.
    pub end: End,
    /// Members of the group in this process, each with a thread and a consumer of its own; several get `-1`, `-2`, …
    /// behind `group.instance.id`, if that is set. Default 1.
    pub receivers: usize,
}

/// What is written for which records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// The service's line for each message of ours; others are stepped over.
    #[default]
    Ours,
    /// Every record in a form of the user's.
    Template(Template),
    /// Every record as one JSON object a line.
    Json,
}

/// Which partitions are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// This member's share of the group `group.id`.
    #[default]
    Group,
    /// All of them, without a group; nothing is committed.
    All,
    /// These, without a group; nothing is committed.
    Partitions(Vec<i32>),
}

impl Options {
    /// The defaults, with this configuration.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            topic: super::DEFAULT_TOPIC.to_owned(),
            count: None,
            partitions: super::DEFAULT_PARTITIONS,
            replication_factor: super::DEFAULT_REPLICATION_FACTOR,
            stats_interval: Some(crate::stats::DEFAULT_INTERVAL),
            format: Format::Text,
            shape: Shape::Ours,
            share: Share::Group,
            start: None,
            end: End::default(),
            receivers: 1,
        }
    }
}

/// Properties of the receiver where the user set none. `default.api.timeout.ms` bounds the commit on revocation.
pub const DEFAULTS: &[(&str, &str)] = &[
    ("group.id", "rust-consumer-group"),
    ("auto.offset.reset", "earliest"),
    ("enable.auto.commit", "false"),
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "2000"),
    ("default.api.timeout.ms", "5000"),
];

/// What a receiver has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages of ours, or records where all are written, written out.
    pub received: u64,
    /// Messages that are not ours, stepped over.
    pub foreign: u64,
}

impl Totals {
    /// 0: what goes wrong in a receiver is an error.
    pub fn exit_code(&self) -> u8 {
        0
    }
}

/// Receives until the count or the end is reached or the stop is asked for, then commits and leaves the group. A
/// standard output whose reader has gone (`| head`) ends it too, without complaint.
///
/// # Errors
/// A wrong setting, no usable broker, being refused, a log that cannot be read on, a standard output that cannot be
/// written, a stop before the end that the options set, or positions that could not be committed at the end. Of several
/// receivers one that fails ends all.
pub fn run(options: &Options, stop: &Stop) -> Result<Totals> {
    run_watched(options, stop, &Arc::default())
}

/// [`run`], with an account that others may look into meanwhile.
pub(super) fn run_watched(options: &Options, stop: &Stop, account: &Arc<Account>) -> Result<Totals> {
    let output = Mutex::new(Output::stdout(stop).map_err(|error| output_error(&error))?);
    let reporter = Reporter::start(options.stats_interval)?;
    let config = with_defaults(options)?;
    config.consumer()?;
    let Some(members) = start(&config, options, account, &output, stop)? else {
        log::info!(target: "receiver", "Stopped before anything was received");
        return if options.end.is_set() { Err(cut_short()) } else { Ok(Totals::default()) };
    };

    reporter.add(account);
    let (stopped, unread) = (AtomicBool::new(false), AtomicBool::new(false));
    let outcome = together::run("receiver", members, stop, |member| {
        match member.run(stop)? {
            Ended::Done => {}
            Ended::Stopped => stopped.store(true, Ordering::Relaxed),
            Ended::Unread => {
                unread.store(true, Ordering::Relaxed);
                if options.receivers > 1 {
                    // Nobody reads what the others write.
                    stop.ask();
                }
            }
        }
        Ok(())
    });
    drop(reporter);
    account.tell_totals();
    outcome?;
    if options.end.is_set() && stopped.into_inner() && !unread.into_inner() {
        return Err(cut_short());
    }
    Ok(account.totals())
}

/// Who asked for everything up to an end must not take a part for it.
fn cut_short() -> Error {
    Error::state("stopped before the end was reached: what was written is not all")
}

fn with_defaults(options: &Options) -> Result<Config> {
    let mut config = options.config.clone();
    // With the consumer protocol these are the broker's to say, and set here they would be an error.
    let modern = config.get("group.protocol").is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"));
    for (name, value) in DEFAULTS {
        let of_session = matches!(*name, "session.timeout.ms" | "heartbeat.interval.ms");
        let of_group = of_session || *name == "group.id";
        if !(modern && of_session || options.share != Share::Group && of_group) {
            config = config.default_to(name, value)?;
        }
    }
    Ok(config)
}

/// Creates the topic if need be and connects; `None` if the stop was asked for meanwhile.
///
/// Who waits for messages to come creates the topic; who wants to read what is there would not thank for an empty one.
fn start<'a>(
    config: &Config,
    options: &'a Options,
    account: &Arc<Account>,
    output: &'a Mutex<Output>,
    stop: &Stop,
) -> Result<Option<Vec<Member<'a>>>> {
    let creates = options.share == Share::Group && !options.end.is_set();
    if creates
        && !topic::ensure(config, &options.topic, options.partitions, options.replication_factor, stop, "receiver")?
    {
        return Ok(None);
    }
    let (mut members, mut range) = (Vec::new(), None);
    for number in 0..options.receivers.max(1) {
        let config = member_config(config, number, options.receivers)?;
        match Member::start(number, options, &config, account, &mut range, output, stop)? {
            Some(member) => members.push(member),
            None => return Ok(None),
        }
    }
    Ok(Some(members))
}

/// Static members of one name would fence each other: each of several has a number behind it.
fn member_config(config: &Config, number: usize, several: usize) -> Result<Config> {
    match config.get("group.instance.id") {
        Some(id) if several > 1 => config.clone().set("group.instance.id", format!("{id}-{}", number + 1)),
        _ => Ok(config.clone()),
    }
}

fn output_error(error: &io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("cannot write to standard output: {error}; what was not written is not committed"),
    )
}
