//! `krs group list`, `describe`, `lag`, `reset-offsets` and `delete`.

use std::ffi::OsString;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use time::OffsetDateTime;

use super::common::Kafka;
use super::moment;
use super::resolve::Resolver;
use super::topic::{Common, word};
use super::usage;
use crate::kafka::config::property;
use crate::kafka::config::{Given, names};
use crate::operate::{GroupTask, Reset, Target, Task, WATCH, Work};
use crate::{Error, Result};

/// Lists and describes groups, tells how far they are behind, and moves or deletes what they have committed.
#[derive(Args, Clone, Debug)]
#[command(after_help = usage::GROUP_EXAMPLES, disable_help_subcommand = true)]
pub(super) struct Typed {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Lists the groups.
    List(List),
    /// Describes groups: state, protocol, coordinator, and members with hosts and partitions.
    Describe(Describe),
    /// Tells how far a group is behind, in records and seconds.
    Lag(Lag),
    /// Shows where a group without members would go on reading, and with --execute makes it so.
    ResetOffsets(ResetOffsets),
    /// Deletes groups without members, with what they have committed; asks first.
    Delete(Delete),
}

#[derive(Args, Clone, Debug, Default)]
struct List {
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Clone, Debug, Default)]
struct Describe {
    #[command(flatten)]
    common: Common,

    /// Groups
    #[arg(value_name = "GROUP", required = true)]
    groups: Vec<OsString>,
}

#[derive(Args, Clone, Debug, Default)]
struct Lag {
    #[command(flatten)]
    common: Common,

    /// The group
    #[arg(value_name = "GROUP", required = true)]
    group: OsString,

    /// Again every so many seconds, 2 unless told otherwise, until Ctrl-C
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1)]
    watch: Option<Option<OsString>>,
}

#[derive(Args, Clone, Debug, Default)]
#[command(group = ArgGroup::new("target").required(true)
    .args(["to_earliest", "to_latest", "to_time", "to_offset", "shift_by"]))]
struct ResetOffsets {
    #[command(flatten)]
    common: Common,

    /// The group
    #[arg(value_name = "GROUP", required = true)]
    group: OsString,

    /// A topic, or some of its partitions: orders or orders:0,2; repeatable
    #[arg(short, long, value_name = "TOPIC[:N,N]", required = true)]
    topic: Vec<OsString>,

    /// To the first record there is
    #[arg(long)]
    to_earliest: bool,

    /// Behind the last record
    #[arg(long)]
    to_latest: bool,

    /// To the first record of a time or later: -10m, 2026-01-01T00:00Z, or milliseconds since 1970
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to_time: Option<OsString>,

    /// To this offset
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    to_offset: Option<OsString>,

    /// So many records on, or back: 100, -100
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<OsString>,

    /// Does it; otherwise it is only shown
    #[arg(long)]
    execute: bool,
}

#[derive(Args, Clone, Debug, Default)]
struct Delete {
    #[command(flatten)]
    common: Common,

    /// Groups
    #[arg(value_name = "GROUP", required = true)]
    groups: Vec<OsString>,

    /// Does not ask
    #[arg(short, long)]
    yes: bool,
}

impl Typed {
    pub(super) fn kafka(&self) -> &Kafka {
        &self.common().kafka
    }

    fn common(&self) -> &Common {
        match &self.action {
            Action::List(typed) => &typed.common,
            Action::Describe(typed) => &typed.common,
            Action::Lag(typed) => &typed.common,
            Action::ResetOffsets(typed) => &typed.common,
            Action::Delete(typed) => &typed.common,
        }
    }

    pub(super) fn resolve(&self, resolver: &Resolver<'_>) -> Result<Task> {
        let work = match &self.action {
            Action::List(_) => GroupTask::List,
            Action::Describe(typed) => GroupTask::Describe { groups: groups(&typed.groups)? },
            Action::Lag(typed) => {
                let watch = match &typed.watch {
                    None => None,
                    Some(None) => Some(WATCH),
                    Some(Some(seconds)) => Some(interval(seconds)?),
                };
                GroupTask::Lag { group: group(&typed.group)?, watch }
            }
            Action::ResetOffsets(typed) => GroupTask::ResetOffsets(typed.reset(OffsetDateTime::now_utc())?),
            Action::Delete(typed) => GroupTask::Delete { groups: groups(&typed.groups)?, yes: typed.yes },
        };
        self.common().task(resolver, Work::Group(work))
    }
}

impl ResetOffsets {
    fn reset(&self, now: OffsetDateTime) -> Result<Reset> {
        let topics = self.topic.iter().map(partitions).collect::<Result<_>>()?;
        let target = if let Some(time) = &self.to_time {
            let text = word("--to-time", time)?;
            let wrong = |why: &str| Given::elsewhere("--to-time", &text).error(why, "");
            let time = moment::parse(&text, now).map_err(|why| wrong(&why))?;
            if time > now {
                return Err(wrong("it lies in the future, where no record is; --to-latest goes behind the last one"));
            }
            let milliseconds = i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok().filter(|ms| *ms >= 0);
            Target::Time(milliseconds.ok_or_else(|| wrong("it was before 1970, where Kafka's times begin"))?)
        } else if let Some(offset) = &self.to_offset {
            Target::Offset(number("--to-offset", offset, (0, i64::MAX), "42")?)
        } else if let Some(by) = &self.shift_by {
            Target::Shift(number("--shift-by", by, (-i64::MAX, i64::MAX), "-100")?)
        } else if self.to_latest {
            Target::Latest
        } else {
            Target::Earliest
        };
        Ok(Reset { group: group(&self.group)?, topics, target, execute: self.execute })
    }
}

fn groups(typed: &[OsString]) -> Result<Vec<String>> {
    let mut groups: Vec<String> = typed.iter().map(group).collect::<Result<_>>()?;
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

fn group(typed: &OsString) -> Result<String> {
    let name = word("GROUP", typed)?;
    match names::group_fault(&name) {
        Some(why) => Err(Error::config(format!("{why}; for example rust-consumer-group"))),
        None => Ok(name),
    }
}

/// `orders`, or `orders:0,2`.
fn partitions(typed: &OsString) -> Result<(String, Option<Vec<i32>>)> {
    let text = word("--topic", typed)?;
    let (name, partitions) = match text.split_once(':') {
        Some((name, partitions)) => (name, Some(partitions)),
        None => (&*text, None),
    };
    names::check_topic(name)?;
    let wrong = || Given::elsewhere("--topic", &text).error("behind the : stand numbers with commas", "orders:0,2");
    let number = |digits: &str| match digits.bytes().all(|digit| digit.is_ascii_digit()) {
        true => digits.parse::<i32>().map_err(|_| wrong()),
        false => Err(wrong()),
    };
    let partitions = partitions.map(|partitions| partitions.split(',').map(number).collect::<Result<_>>());
    Ok((name.to_owned(), partitions.transpose()?))
}

fn number(flag: &str, typed: &OsString, range: (i64, i64), example: &str) -> Result<i64> {
    let text = word(flag, typed)?;
    let wrong = |why: &str| Given::elsewhere(flag, &text).error(why, example);
    property::number(text.trim(), "", range).map_err(|fault| match fault {
        property::NumberFault::Form(why) => wrong(&why.to_string()),
        property::NumberFault::Range => wrong("out of range"),
    })
}

fn interval(typed: &OsString) -> Result<Duration> {
    let text = word("--watch", typed)?;
    let seconds = text.trim().parse::<f64>().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    let wrong = || Given::elsewhere("--watch", &text).error("not a number of seconds from 0.1 to 86400", "5");
    seconds.map(Duration::from_secs_f64).ok_or_else(wrong)
}
