//! Where reading starts and where it ends, per partition.
//!
//! Starts are looked up once, when the run starts, so that whoever gets a partition in this run starts it at the same
//! place. An end is an offset too: the end of the log as of the start, or the first record that is late enough. Whether a
//! partition is at its end is told by the position, not by the records: the last offsets may hold none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::clock::milliseconds;
use crate::kafka::protocol::ErrorCode;
use crate::sync::lock;
use crate::{Consumer, ConsumerRecord, Error, Result, TopicPartition};

/// Where a partition is started that the group has committed nothing for, or any without a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record that there is.
    Earliest,
    /// Behind the last record that there is when the run starts.
    Latest,
    /// At the first record of this time or later, in milliseconds since 1970; behind the last if there is none.
    Time(i64),
}

/// Where reading ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// At the first record of this time or later, in milliseconds since 1970; it is not read.
    pub until: Option<i64>,
    /// Behind the last record that there is when the run starts.
    pub at_end: bool,
}

impl End {
    /// Whether reading ends by itself.
    pub fn is_set(&self) -> bool {
        self.at_end || self.until.is_some()
    }
}

/// How often the group is asked how far others are with partitions that are not held here.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How often others are told how far this member is, while it waits for them.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// After so long without a record it is looked whether the ends are still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// For so long a topic may seem to be gone, or a log too short, before that is believed: brokers that have just started
/// may not know everything yet.
const DOUBT: Duration = Duration::from_secs(5);

/// All partitions of a topic.
///
/// # Errors
/// It does not exist, or nothing was learned of it in time.
pub(super) fn partitions_of(consumer: &Consumer, topic: &str) -> Result<Vec<TopicPartition>> {
    let topic: Arc<str> = topic.into();
    let count = consumer.partition_count(&topic)?;
    Ok((0..count).map(|partition| TopicPartition::new(Arc::clone(&topic), partition)).collect())
}

/// The offsets to start at; partitions that are none of these start at their beginning.
#[derive(Debug)]
pub(super) struct Starts(BTreeMap<i32, i64>);

impl Starts {
    pub(super) fn look_up(consumer: &Consumer, partitions: &[TopicPartition], start: Start) -> Result<Self> {
        let numbers = partitions.iter().map(|partition| partition.partition);
        Ok(Self(match start {
            Start::Earliest => BTreeMap::new(),
            Start::Latest => numbers.zip(consumer.end_offsets(partitions)?).collect(),
            Start::Time(time) => numbers.zip(first_since(consumer, partitions, time)?).collect(),
        }))
    }

    /// Moves these partitions, which are held, to where they start.
    pub(super) fn seek(&self, consumer: &Consumer, partitions: &[TopicPartition]) -> Result<()> {
        for partition in partitions {
            match self.0.get(&partition.partition) {
                Some(offset) => consumer.seek(partition, *offset)?,
                None => consumer.seek_to_beginning(std::slice::from_ref(partition))?,
            }
        }
        Ok(())
    }
}

/// For each partition the first offset whose record is of this time or later; the end of the log where there is none.
fn first_since(consumer: &Consumer, partitions: &[TopicPartition], time: i64) -> Result<Vec<i64>> {
    // In this order: what is appended between the two questions lies behind the end of the first.
    let ends = consumer.end_offsets(partitions)?;
    let times: Vec<_> = partitions.iter().map(|partition| (partition.clone(), time)).collect();
    let found = consumer.offsets_for_times(&times)?;
    Ok(ends.into_iter().zip(found).map(|(end, found)| found.map_or(end, |found| found.offset)).collect())
}

/// What has come to its end since it was last looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    Nothing,
    /// Some partition. Others of the group learn that from what is committed, even if no record was left to read.
    More,
    /// The last one.
    All,
}

/// The ends of all partitions, shared by the members of one process.
///
/// The run is over when each partition was read to its end, here or, as the committed offsets tell, by another member of
/// the group: one that has just come may be given its partitions late, or none, and what a rebalance takes away on its
/// last metres is not forgotten.
#[derive(Debug)]
pub(super) struct Ends {
    topic: Arc<str>,
    until: Option<i64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// None while the time of the end lies ahead. Partitions that are none of these came later and end at once.
    stops: Option<HashMap<i32, i64>>,
    /// Ends that a record's time has shown.
    found: HashMap<i32, i64>,
    /// Partitions that were not read to their end yet.
    open: BTreeSet<i32>,
    asked: Instant,
    /// When it was last told how far this member is.
    told: Instant,
    /// When it is looked whether the ends are still there.
    look_at: Instant,
    /// Since when one of them seems to be gone.
    gone: Option<Instant>,
}

impl State {
    fn stop(&self, partition: i32) -> Option<i64> {
        let known = self.stops.as_ref().map(|stops| stops.get(&partition).copied().unwrap_or(0));
        let found = self.found.get(&partition).copied();
        known.into_iter().chain(found).min()
    }
}

impl Ends {
    /// The ends of these partitions as of now.
    pub(super) fn look_up(consumer: &Consumer, topic: &str, partitions: &[TopicPartition], end: End) -> Result<Self> {
        let numbers = || partitions.iter().map(|partition| partition.partition);
        let stops = if end.at_end {
            Some(numbers().zip(consumer.end_offsets(partitions)?).collect())
        } else {
            stops_of(consumer, partitions, end.until)?
        };
        let now = Instant::now();
        let state = State {
            stops,
            found: HashMap::new(),
            open: numbers().collect(),
            asked: now,
            told: now,
            look_at: now + LOOK_EVERY,
            gone: None,
        };
        Ok(Self { topic: topic.into(), until: end.until, state: Mutex::new(state) })
    }

    /// These partitions are read here from now on.
    pub(super) fn assigned(&self, partitions: &[TopicPartition]) {
        lock(&self.state).open.extend(partitions.iter().map(|partition| partition.partition));
    }

    /// Records have come.
    pub(super) fn moving(&self) {
        lock(&self.state).look_at = Instant::now() + LOOK_EVERY;
    }

    /// Whether this record lies behind the end of its partition.
    pub(super) fn is_past(&self, record: &ConsumerRecord<'_>) -> bool {
        let partition = record.partition();
        let mut state = lock(&self.state);
        if self.until.is_some_and(|until| record.timestamp() >= until) {
            let found = state.found.entry(partition).or_insert(record.offset());
            *found = record.offset().min(*found);
        }
        let past = state.stop(partition).is_some_and(|stop| record.offset() >= stop);
        if past {
            state.open.remove(&partition);
        }
        past
    }

    /// Looks how far this member is, and pauses what is at its end.
    pub(super) fn are_reached(&self, consumer: &Consumer, in_group: bool) -> Result<Reached> {
        self.are_still_there(consumer)?;
        self.time_has_come(consumer)?;
        let held = consumer.assignment();
        let (mut away, mut more) = (Vec::new(), false);
        {
            let mut state = lock(&self.state);
            for partition in &held {
                let stop = state.stop(partition.partition);
                let reached = consumer.known_position(partition).zip(stop).is_some_and(|(at, stop)| at >= stop);
                if reached && state.open.remove(&partition.partition) {
                    more = true;
                    consumer.pause(std::slice::from_ref(partition))?;
                }
            }
            let idle = held.iter().all(|partition| !state.open.contains(&partition.partition));
            if in_group && idle && state.asked.elapsed() >= ASK_EVERY {
                state.asked = Instant::now();
                away = self.named(&state.open);
                // What was told may not have come through.
                if state.told.elapsed() >= TELL_EVERY {
                    more = true;
                }
            }
        }
        if !away.is_empty() {
            self.ask_of_others(consumer, &away);
        }
        let mut state = lock(&self.state);
        if state.open.is_empty() {
            return Ok(Reached::All);
        }
        if more {
            state.told = Instant::now();
        }
        Ok(if more { Reached::More } else { Reached::Nothing })
    }

    fn named(&self, numbers: &BTreeSet<i32>) -> Vec<TopicPartition> {
        numbers.iter().map(|number| TopicPartition::new(Arc::clone(&self.topic), *number)).collect()
    }

    /// Where nothing comes any more, sees to it that something can: nobody reaches the end of a topic that was deleted,
    /// or of a log that was cut off before it.
    fn are_still_there(&self, consumer: &Consumer) -> Result<()> {
        let stops: BTreeMap<TopicPartition, i64> = {
            let state = lock(&self.state);
            if Instant::now() < state.look_at {
                return Ok(());
            }
            let stops = state.stops.as_ref();
            let stop = |partition: &TopicPartition| stops?.get(&partition.partition).copied();
            self.named(&state.open).into_iter().filter_map(|at| Some((at.clone(), stop(&at)?))).collect()
        };
        let seen = self.problem(consumer, stops);
        let mut state = lock(&self.state);
        state.look_at = Instant::now() + if seen.is_ok() { LOOK_EVERY } else { DOUBT * 2 };
        match seen {
            Ok(Some(error)) if state.gone.get_or_insert_with(Instant::now).elapsed() >= DOUBT => return Err(error),
            Ok(Some(_)) => {}
            Ok(None) => state.gone = None,
            // Poll tells what is wrong with the brokers.
            Err(error) => log::debug!(target: "receiver", "looking for the ends: {error}"),
        }
        Ok(())
    }

    /// Why one of these ends cannot be reached, as far as the brokers tell now.
    fn problem(&self, consumer: &Consumer, stops: BTreeMap<TopicPartition, i64>) -> Result<Option<Error>> {
        let there = match partitions_of(consumer, &self.topic) {
            Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {
                let text = format!("topic {}: it was deleted before its end was reached", self.topic);
                return Ok(Some(Error::state(text)));
            }
            there => there?,
        };
        if let Some(partition) = stops.keys().find(|partition| !there.contains(partition)) {
            let error = Error::state("there is no such partition any more");
            return Ok(Some(error.with_partition(&*partition.topic, partition.partition)));
        }
        if stops.is_empty() {
            return Ok(None);
        }
        let open: Vec<_> = stops.keys().cloned().collect();
        let ends = consumer.end_offsets(&open)?;
        let mut short = stops.iter().zip(ends).filter(|((_, stop), end)| end < *stop);
        Ok(short.next().map(|((partition, stop), end)| {
            let what = format!("the log ends at {end} now; where it was to be read to, {stop}, is gone");
            Error::state(what).with_partition(&*partition.topic, partition.partition)
        }))
    }

    /// Asks the group how far those are that have these partitions now.
    fn ask_of_others(&self, consumer: &Consumer, away: &[TopicPartition]) {
        // Who finds nothing to read commits nothing either.
        let come = consumer.committed(away).and_then(|committed| Ok((committed, consumer.beginning_offsets(away)?)));
        match come {
            Ok((committed, beginnings)) => {
                let mut state = lock(&self.state);
                for ((partition, committed), beginning) in away.iter().zip(committed).zip(beginnings) {
                    let at = committed.map_or(beginning, |at| at.max(beginning));
                    if state.stop(partition.partition).is_some_and(|stop| at >= stop) {
                        state.open.remove(&partition.partition);
                    }
                }
            }
            // Poll tells what is wrong with the group.
            Err(error) => log::debug!(target: "receiver", "asking how far other members are: {error}"),
        }
    }

    /// Looks the ends up once the time of the end has come: partitions that get no more records end too.
    fn time_has_come(&self, consumer: &Consumer) -> Result<()> {
        if lock(&self.state).stops.is_some() || self.until.is_none_or(|until| until > milliseconds()) {
            return Ok(());
        }
        let stops = stops_of(consumer, &partitions_of(consumer, &self.topic)?, self.until)?;
        lock(&self.state).stops = stops;
        Ok(())
    }
}

fn stops_of(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    until: Option<i64>,
) -> Result<Option<HashMap<i32, i64>>> {
    let Some(until) = until.filter(|until| *until <= milliseconds()) else { return Ok(None) };
    let numbers = partitions.iter().map(|partition| partition.partition);
    Ok(Some(numbers.zip(first_since(consumer, partitions, until)?).collect()))
}
