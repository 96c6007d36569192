//! One receiver: its consumer, its loop, and what it does when partitions come and go.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::account::{Account, Commits};
use super::line::Arrival;
use super::range::{self, Ends, Reached, Starts};
use super::{Options, Shape, Share, output_error, template};
use crate::kafka::consumer::Listed;
use crate::service::Stop;
use crate::service::output::Output;
use crate::sync::lock;
use crate::{Config, Consumer, Error, Rebalance, Records, Result, TopicPartition};

/// How long a poll waits, and so how long the stop may go unnoticed.
const POLL: Duration = Duration::from_millis(100);

/// How long leaving the group and closing the connections may take.
const CLOSING: Duration = Duration::from_secs(5);

/// How often a topic that is read without a group is asked for new partitions.
const PARTITIONS_AGE: Duration = Duration::from_secs(1);

/// What was learned before anything is read; all members of a run share it.
#[derive(Debug, Default)]
pub(super) struct Range {
    /// Without a group: the partitions to read.
    partitions: Vec<TopicPartition>,
    starts: Option<Starts>,
    ends: Option<Ends>,
}

impl Range {
    /// Asks for what these options need to know.
    pub(super) fn look_up(consumer: &Consumer, options: &Options) -> Result<Self> {
        let grouped = options.share == Share::Group;
        if grouped && options.start.is_none() && !options.end.is_set() {
            return Ok(Self::default());
        }
        let mut partitions = range::partitions_of(consumer, &options.topic)?;
        if let Share::Partitions(wanted) = &options.share {
            let count = partitions.len();
            if let Some(beyond) = wanted.iter().find(|wanted| usize::try_from(**wanted).is_ok_and(|at| at >= count)) {
                let error = Error::config(format!("the topic has {count} partitions, counted from 0"));
                return Err(error.with_partition(&options.topic, *beyond));
            }
            partitions.retain(|partition| wanted.contains(&partition.partition));
        }
        let starts = options.start.map(|start| Starts::look_up(consumer, &partitions, start)).transpose()?;
        let ends = if options.end.is_set() {
            Some(Ends::look_up(consumer, &options.topic, &partitions, options.end)?)
        } else {
            None
        };
        Ok(Self { partitions: if grouped { Vec::new() } else { partitions }, starts, ends })
    }
}

/// What the loop and its listener both know.
struct Known {
    /// `#2: ` where there are several.
    label: String,
    account: Arc<Account>,
    commits: Commits,
    range: Arc<Range>,
    /// What went wrong in the listener: nothing that was read after it counts.
    failure: Mutex<Option<Error>>,
    stop: Stop,
}

impl Known {
    fn rebalanced(&self, consumer: &mut Consumer, rebalance: &Rebalance) {
        let label = &self.label;
        match rebalance {
            Rebalance::Assigned(partitions) => {
                match consumer.assignment().len() {
                    kept @ 1.. if partitions.is_empty() => {
                        log::info!(target: "receiver", "{label}Assigned: none more, {kept} kept");
                    }
                    _ => log::info!(target: "receiver", "{label}Assigned: {}", Listed(partitions)),
                }
                self.account.assigned(partitions);
                if let Some(ends) = &self.range.ends {
                    ends.assigned(partitions);
                }
                if let Err(error) = self.start(consumer, partitions) {
                    *lock(&self.failure) = Some(error);
                }
            }
            Rebalance::Revoked(partitions) => {
                log::info!(target: "receiver", "{label}Revoked: {}", Listed(partitions));
                if lock(&self.failure).is_none() {
                    // Every record that was handed over is written by now: the loop polls only when it is done with the last poll.
                    let (poll, outcome) = (self.commits.poll(), consumer.commit());
                    self.commits.concluded(&self.account, "commit on revocation", poll, outcome);
                }
            }
            Rebalance::Lost(partitions) => {
                log::warn!(
                    target: "receiver",
                    "{label}Lost: {}; what was not committed comes again, here or at another receiver",
                    Listed(partitions)
                );
            }
        }
    }

    /// Starts partitions that the group has committed nothing for where the user said; the others go on.
    fn start(&self, consumer: &Consumer, partitions: &[TopicPartition]) -> Result<()> {
        let Some(starts) = self.range.starts.as_ref().filter(|_| !partitions.is_empty()) else { return Ok(()) };
        let committed = loop {
            match consumer.committed(partitions) {
                Err(error) if error.is_retriable() && !self.stop.is_asked() => {
                    self.account.trouble("asking where the group is", &error);
                }
                answer => break answer?,
            }
        };
        let (going_on, new): (Vec<_>, Vec<_>) =
            partitions.iter().cloned().zip(committed).partition(|(_, committed)| committed.is_some());
        let names = |list: Vec<(TopicPartition, _)>| list.into_iter().map(|(place, _)| place).collect::<Vec<_>>();
        let (going_on, new) = (names(going_on), names(new));
        if !going_on.is_empty() {
            log::info!(
                target: "receiver",
                "{}The group goes on where it committed, whatever --from says: {}; krs group reset-offsets moves it",
                self.label,
                Listed(&going_on)
            );
        }
        starts.seek(consumer, &new)
    }
}

pub(super) struct Member<'a> {
    options: &'a Options,
    known: Arc<Known>,
    consumer: Consumer,
    output: &'a Mutex<Output>,
}

/// Why a member that met no failure has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It has read what it was to read.
    Done,
    /// It was asked to.
    Stopped,
    /// Nobody reads standard output any more.
    Unread,
}

/// How far one poll's records were processed.
#[derive(Default)]
struct Progress {
    /// Records whose lines are out, in the order in which they came; those behind the end of their partition have none.
    records: usize,
    /// The first record behind the end, of each partition that is there.
    past: BTreeMap<TopicPartition, i64>,
    /// Why it is not all of them.
    failure: Option<io::Error>,
}

impl<'a> Member<'a> {
    /// Connects; `None` if the stop was asked for meanwhile. The first member finds out the range for all.
    pub(super) fn start(
        number: usize,
        options: &'a Options,
        config: &Config,
        account: &Arc<Account>,
        range: &mut Option<Arc<Range>>,
        output: &'a Mutex<Output>,
        stop: &Stop,
    ) -> Result<Option<Self>> {
        let (config, asked, known) = (config.clone(), options.clone(), range.clone());
        let connected = stop.unless_asked("connecting", move || {
            let consumer = Consumer::connect(&config)?;
            let range = known.map_or_else(|| Range::look_up(&consumer, &asked).map(Arc::new), Ok)?;
            Ok((consumer, range))
        })?;
        let Some((consumer, found)) = connected else { return Ok(None) };
        let range = Arc::clone(range.insert(found));
        let label = if options.receivers > 1 { format!("#{}: ", number + 1) } else { String::new() };
        let known = Known {
            label,
            account: Arc::clone(account),
            commits: Commits::default(),
            range,
            failure: Mutex::default(),
            stop: stop.clone(),
        };
        Ok(Some(Self { options, known: Arc::new(known), consumer, output }))
    }

    /// Receives to the end, then commits and leaves the group.
    pub(super) fn run(mut self, stop: &Stop) -> Result<Ended> {
        let ended = self.receive_all(stop);
        let closed = self.close();
        let ended = ended?;
        closed.map(|()| ended)
    }

    fn receive_all(&mut self, stop: &Stop) -> Result<Ended> {
        self.begin()?;
        let grouped = self.options.share == Share::Group;
        let mut partitions_at = Instant::now();
        while !self.has_enough() {
            if stop.is_asked() {
                return Ok(Ended::Stopped);
            }
            let asked = if let Some(ends) = &self.known.range.ends {
                ends.are_reached(&self.consumer, grouped)
            } else if self.options.share == Share::All && partitions_at.elapsed() >= PARTITIONS_AGE {
                partitions_at = Instant::now();
                self.learn_partitions().map(|()| Reached::Nothing)
            } else {
                Ok(Reached::Nothing)
            };
            match asked {
                Ok(Reached::All) => {
                    log::info!(target: "receiver", "{}At the end", self.known.label);
                    return Ok(Ended::Done);
                }
                Ok(Reached::More) if grouped => self.commit_soon(),
                Ok(_) => {}
                Err(error) if error.is_retriable() => {
                    self.known.account.trouble("asking for partitions and their ends", &error)
                }
                Err(error) => return Err(error),
            }
            let records = match self.consumer.poll(POLL) {
                Ok(records) => records,
                Err(error) if error.is_retriable() => {
                    self.known.account.trouble("poll", &error);
                    stop.wait(POLL);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let failure = lock(&self.known.failure).clone();
            if let Some(error) = failure {
                // Nothing of them is written, so nothing of them may be committed on the way out.
                self.rewind(&records, &Progress::default())?;
                return if stop.is_asked() && error.is_retriable() { Ok(Ended::Stopped) } else { Err(error) };
            }
            if records.is_empty() {
                continue;
            }
            if let Some(ends) = &self.known.range.ends {
                ends.moving();
            }
            let progress = self.process(&records);
            self.known.commits.polled();
            if progress.records < records.len() || !progress.past.is_empty() {
                self.rewind(&records, &progress)?;
            }
            match progress.failure {
                None if grouped => self.commit_soon(),
                None => {}
                Some(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Ended::Unread),
                Some(error) => return Err(output_error(&error)),
            }
        }
        Ok(Ended::Done)
    }

    /// Joins the group, or takes its partitions.
    fn begin(&mut self) -> Result<()> {
        let (known, told) = (Arc::clone(&self.known), Arc::clone(&self.known));
        if self.options.share == Share::Group {
            self.consumer.subscribe_with([&self.options.topic], move |consumer, rebalance| {
                told.rebalanced(consumer, rebalance);
            })?;
            log::info!(target: "receiver", "{}Receiving from {}", known.label, self.options.topic);
        } else {
            let partitions = &known.range.partitions;
            self.consumer.assign(partitions)?;
            if let Some(starts) = &known.range.starts {
                starts.seek(&self.consumer, partitions)?;
            }
            log::info!(target: "receiver", "Receiving without a group from {}", Listed(partitions));
        }
        Ok(())
    }

    /// Partitions that a topic got meanwhile are read from their beginning.
    fn learn_partitions(&mut self) -> Result<()> {
        let held = self.consumer.assignment();
        let now = range::partitions_of(&self.consumer, &self.options.topic)?;
        if now.len() > held.len() {
            let new: Vec<_> = now.iter().filter(|partition| !held.contains(partition)).cloned().collect();
            log::info!(target: "receiver", "New partitions: {}", Listed(&new));
            self.consumer.assign(&now)?;
            self.consumer.seek_to_beginning(&new)?;
        }
        Ok(())
    }

    fn has_enough(&self) -> bool {
        self.options.count.is_some_and(|count| self.known.account.received.get() >= count)
    }

    /// Writes these records, until there are enough or a write fails. No other member writes meanwhile.
    fn process(&mut self, records: &Records) -> Progress {
        let (options, account) = (self.options, &self.known.account);
        let mut output = lock(self.output);
        let before = account.received.get();
        let wanted = options.count.unwrap_or(u64::MAX);
        let tell = log::log_enabled!(target: "receiver", log::Level::Info);
        let (mut received, mut ends, mut failure) = (before, Vec::with_capacity(records.len()), None);
        let mut past = BTreeMap::new();
        for record in records {
            if self.known.range.ends.as_ref().is_some_and(|ends| ends.is_past(&record)) {
                past.entry(record.topic_partition().clone()).or_insert(record.offset());
                ends.push((output.end(), received));
                continue;
            }
            if received >= wanted {
                break;
            }
            match &options.shape {
                Shape::Ours => {
                    if let Some(arrival) = Arrival::of(&record, account) {
                        received += 1;
                        if tell {
                            arrival.write_line(options.format, received, output.buffer());
                        }
                    }
                }
                Shape::Template(template) => {
                    received += 1;
                    template.write(&record, output.buffer());
                }
                Shape::Json => {
                    received += 1;
                    template::write_json(&record, output.buffer());
                }
            }
            ends.push((output.end(), received));
            if let Err(error) = output.write_if_full() {
                failure = Some(error);
                break;
            }
        }
        if failure.is_none() {
            failure = output.write_out().err();
        }
        let written = output.written();
        let whole = ends.partition_point(|(end, _)| *end <= written);
        let received = whole.checked_sub(1).map_or(before, |last| ends[last].1);
        account.received.add(received - before);
        Progress { records: whole, past, failure }
    }

    /// Moves each partition back to its first record that was not processed, and pauses those that are at their end.
    fn rewind(&mut self, records: &Records, progress: &Progress) -> Result<()> {
        let mut first = BTreeMap::new();
        for (at, record) in records.iter().enumerate() {
            let partition = record.topic_partition();
            if at >= progress.records || progress.past.get(partition).is_some_and(|past| record.offset() >= *past) {
                first.entry(partition.clone()).or_insert(record.offset());
            }
        }
        // All of them, whatever comes of one: what stays ahead would be committed at the end.
        let mut outcome = Ok(());
        for (partition, offset) in first {
            outcome = outcome.and(self.consumer.seek(&partition, offset));
        }
        let past: Vec<_> = progress.past.keys().cloned().collect();
        outcome.and(self.consumer.pause(&past))
    }

    fn commit_soon(&mut self) {
        let (known, poll) = (Arc::clone(&self.known), self.known.commits.poll());
        let asked = self.consumer.commit_async_with(move |outcome| {
            known.commits.concluded(&known.account, "commit", poll, outcome);
        });
        if let Err(error) = asked {
            self.known.account.trouble("commit", &error);
        }
    }

    /// Commits all positions, as the listener of the revocation that this is, and leaves the group.
    fn close(self) -> Result<()> {
        if let Err(error) = self.consumer.close(CLOSING) {
            log::warn!(target: "receiver", "{}{error}", self.known.label);
        }
        if self.options.share == Share::Group { self.known.commits.are_complete() } else { Ok(()) }
    }
}
