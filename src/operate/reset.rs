//! `krs group reset-offsets`: first shown, then, with `--execute`, done.

use std::collections::BTreeMap;

use serde::Serialize;

use super::groups::{described, plainly};
use super::table::{Table, known};
use super::{Output, json};
use crate::kafka::admin::OffsetSpec;
use crate::{Admin, Error, Result, TopicPartition};

/// Where a group is to go on reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Which group.
    pub group: String,
    /// Topics, each with some of its partitions, or all of them.
    pub topics: Vec<(String, Option<Vec<i32>>)>,
    /// Where to.
    pub target: Target,
    /// Not only shown.
    pub execute: bool,
}

/// Where a group is to go on reading in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// At the first record there is.
    Earliest,
    /// Behind the last record.
    Latest,
    /// At the first record at or after this time, in milliseconds since 1970.
    Time(i64),
    /// At this offset.
    Offset(i64),
    /// So many records further on, or back.
    Shift(i64),
}

/// What becomes of one partition.
struct Move {
    partition: TopicPartition,
    current: Option<i64>,
    new: i64,
    /// What was asked for lies outside of the log.
    clamped: Option<i64>,
}

pub(super) fn run(admin: &Admin, reset: &Reset, output: &mut Output<'_>) -> Result<()> {
    let group = &reset.group;
    if let Some(group) = described(admin, std::slice::from_ref(group))?.iter().find(|group| !group.members.is_empty()) {
        let (id, count, state) = (group.id.escape_debug(), group.members.len(), &group.state);
        let why = format!("group {id} has {count} members ({state}); stop them first, nothing was changed");
        return Err(Error::state(why));
    }
    let moves = moves(admin, reset)?;
    if reset.execute {
        let offsets: Vec<_> = moves.iter().map(|it| (it.partition.clone(), it.new)).collect();
        admin.alter_offsets(group, &offsets).map_err(|error| plainly(group, error))?;
    }
    tell(reset, &moves, output)
}

fn moves(admin: &Admin, reset: &Reset) -> Result<Vec<Move>> {
    let partitions = partitions(admin, reset)?;
    let nothing = || Err(Error::state("nothing was asked for"));
    let committed = admin.committed_offsets(&[&reset.group]).pop().unwrap_or_else(nothing)?;
    let committed: BTreeMap<TopicPartition, i64> =
        committed.into_iter().map(|committed| (committed.partition, committed.offset)).collect();
    let listed = |spec| -> Result<Vec<Option<i64>>> {
        let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
        admin.list_offsets(&asked).into_iter().collect()
    };
    let first = listed(OffsetSpec::Earliest)?;
    let end = listed(OffsetSpec::Latest)?;
    let by_time = match reset.target {
        Target::Time(time) => listed(OffsetSpec::At(time))?,
        _ => vec![None; partitions.len()],
    };
    let mut moves = Vec::with_capacity(partitions.len());
    for (at, partition) in partitions.into_iter().enumerate() {
        let place = |error: Error| error.with_partition(&*partition.topic, partition.partition);
        let (Some(first), Some(end)) = (first[at], end[at]) else {
            return Err(place(Error::state("the broker does not tell where the log begins and ends")));
        };
        let current = committed.get(&partition).copied();
        let wanted = match reset.target {
            Target::Earliest => first,
            Target::Latest => end,
            // A time behind all records is the end.
            Target::Time(_) => by_time[at].unwrap_or(end),
            Target::Offset(offset) => offset,
            Target::Shift(by) => match current {
                Some(current) => current.saturating_add(by),
                None => {
                    return Err(place(Error::state("nothing is committed that could be shifted; nothing was changed")));
                }
            },
        };
        let new = wanted.clamp(first, end.max(first));
        moves.push(Move { current, new, clamped: (new != wanted).then_some(wanted), partition });
    }
    Ok(moves)
}

/// What the topics named stand for, checked.
fn partitions(admin: &Admin, reset: &Reset) -> Result<Vec<TopicPartition>> {
    let names: Vec<&str> = reset.topics.iter().map(|(name, _)| name.as_str()).collect();
    let mut all = Vec::new();
    for (topic, (name, only)) in admin.describe_topics(&names).into_iter().zip(&reset.topics) {
        let topic = topic.map_err(|error| super::topics::plainly(name, error))?;
        let there: Vec<i32> = topic.partitions.iter().map(|partition| partition.partition).collect();
        if let Some(missing) = only.iter().flatten().find(|partition| !there.contains(partition)) {
            let why = format!("there is no such partition, the topic has {}; nothing was changed", there.len());
            return Err(Error::state(why).with_partition(name.as_str(), *missing));
        }
        let name: std::sync::Arc<str> = name.as_str().into();
        let wanted = only.clone().unwrap_or(there);
        all.extend(wanted.into_iter().map(|partition| TopicPartition { topic: name.clone(), partition }));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

#[derive(Serialize)]
struct Entry<'a> {
    topic: &'a str,
    partition: i32,
    current: Option<i64>,
    new: i64,
    clamped_from: Option<i64>,
}

impl<'a> Entry<'a> {
    fn of(it: &'a Move) -> Self {
        let (topic, partition) = (&*it.partition.topic, it.partition.partition);
        Self { topic, partition, current: it.current, new: it.new, clamped_from: it.clamped }
    }
}

fn tell(reset: &Reset, moves: &[Move], output: &mut Output<'_>) -> Result<()> {
    #[derive(Serialize)]
    struct Shape<'a> {
        group: &'a str,
        executed: bool,
        partitions: Vec<Entry<'a>>,
    }
    let shape = || {
        let partitions = moves.iter().map(Entry::of).collect();
        json::line(&Shape { group: &reset.group, executed: reset.execute, partitions })
    };
    let told = output.either(shape, || {
        let mut table = Table::new(&["TOPIC", "PARTITION#", "CURRENT#", "NEW#", "NOTE"]);
        for it in moves {
            let note = it.clamped.map(|wanted| format!("{wanted} is outside of the log")).unwrap_or_default();
            table.row(vec![
                it.partition.topic.to_string(),
                it.partition.partition.to_string(),
                known(it.current),
                it.new.to_string(),
                note,
            ]);
        }
        let end = if reset.execute { "done" } else { "nothing was changed yet; --execute does it" };
        format!("{table}{end}")
    });
    told.map(drop)
}
