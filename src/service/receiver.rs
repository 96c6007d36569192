//! The receiver service: a group member that writes a line for each message and commits what it has written.
//!
//! A message is processed once its line is out, or was filtered out by `RUST_LOG`. Lines are gathered per poll and
//! written before anything of that poll is committed; if a write fails, the positions go back to the first message
//! whose line is not whole, so no commit ever covers a message that was not written. A message that is not ours is
//! logged, counted and stepped over.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::ledger::{Counts, Ledger};
use super::message::{Marks, Message, now_ns};
use super::output::Output;
use super::repeats::Repeats;
use super::{Stop, topic};
use crate::logging::{Format, timestamp};
#[cfg(feature = "devbroker")]
use crate::stats::Snapshot;
use crate::stats::{Count, Counter, Histogram, Reporter, Sample, Source};
use crate::sync::lock;
use crate::{Config, Consumer, ConsumerRecord, Error, ErrorKind, Rebalance, Records, Result, TopicPartition};

/// What the receiver is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every Kafka property, `bootstrap.servers` and `group.id` among them. What the user left open is filled in from
    /// [`DEFAULTS`].
    pub config: Config,
    /// The topic to read. Default `rust-messages`.
    pub topic: String,
    /// Ends after this many messages of ours. Default: never.
    pub count: Option<u64>,
    /// Partitions of the topic if it has to be created. Default 3.
    pub partitions: i32,
    /// Replication factor of the topic if it has to be created. Default 1.
    pub replication_factor: i16,
    /// How often the stats thread reports; `None` is never. Default 10 s.
    pub stats_interval: Option<Duration>,
    /// The form of the line that each message becomes on standard output. Default text.
    pub format: Format,
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
    /// Messages of ours, written out.
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

/// How long a poll waits, and so how long the stop may go unnoticed.
const POLL: Duration = Duration::from_millis(100);

/// How long leaving the group and closing the connections may take.
const CLOSING: Duration = Duration::from_secs(5);

/// A cause of trouble is told at once, then this often while it lasts.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Receives until the count is reached or the stop is asked for, then commits and leaves the group. A standard output
/// whose reader has gone (`| head`) ends it too, without complaint.
///
/// # Errors
/// A wrong setting, no usable broker, being refused, a log that cannot be read on, a standard output that cannot be
/// written, or, at the end, positions that could not be committed.
pub fn run(options: &Options, stop: &Stop) -> Result<Totals> {
    run_watched(options, stop, &Arc::default())
}

/// [`run`], with an account that others may look into meanwhile.
pub(super) fn run_watched(options: &Options, stop: &Stop, account: &Arc<Account>) -> Result<Totals> {
    let output = Output::stdout(stop).map_err(|error| output_error(&error))?;
    let reporter = Reporter::start(options.stats_interval)?;
    let mut config = options.config.clone();
    // With the consumer protocol these are the broker's to say, and set here they would be an error.
    let modern = config.get("group.protocol").is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"));
    for (name, value) in DEFAULTS {
        if !modern || !matches!(*name, "session.timeout.ms" | "heartbeat.interval.ms") {
            config = config.default_to(name, value)?;
        }
    }
    config.consumer()?;
    let Some(consumer) = start(config, options, stop)? else {
        log::info!(target: "receiver", "Stopped before anything was received");
        return Ok(Totals::default());
    };

    reporter.add(account);
    let mut receiver = Receiver { options, account: Arc::clone(account), consumer, output };
    let ended = receiver.receive_all(stop);
    let closed = receiver.close();
    drop(reporter);
    account.tell_totals();
    ended.and(closed).map(|()| account.totals())
}

/// Creates the topic if need be and connects; `None` if the stop was asked for meanwhile.
fn start(config: Config, options: &Options, stop: &Stop) -> Result<Option<Consumer>> {
    if !topic::ensure(&config, &options.topic, options.partitions, options.replication_factor, stop, "receiver")? {
        return Ok(None);
    }
    stop.unless_asked("connecting", move || Consumer::connect(&config))
}

struct Receiver<'a> {
    options: &'a Options,
    account: Arc<Account>,
    consumer: Consumer,
    output: Output,
}

/// How far one poll's records were processed.
struct Progress {
    /// Records whose lines are out, in the order in which they came.
    records: usize,
    /// Why it is not all of them.
    failure: Option<io::Error>,
}

impl Receiver<'_> {
    fn receive_all(&mut self, stop: &Stop) -> Result<()> {
        let account = Arc::clone(&self.account);
        self.consumer.subscribe_with([&self.options.topic], move |consumer, rebalance| {
            account.rebalanced(consumer, rebalance)
        })?;
        log::info!(target: "receiver", "Receiving from {}", self.options.topic);
        while !stop.is_asked() && !self.has_enough() {
            let records = match self.consumer.poll(POLL) {
                Ok(records) => records,
                Err(error) if error.is_retriable() => {
                    self.account.trouble("poll", &error);
                    stop.wait(POLL);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if records.is_empty() {
                continue;
            }
            let progress = self.process(&records);
            self.account.polls.fetch_add(1, Ordering::Relaxed);
            if progress.records < records.len() {
                self.rewind(&records, progress.records)?;
            }
            match progress.failure {
                None => self.commit_soon(),
                Some(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Some(error) => return Err(output_error(&error)),
            }
        }
        Ok(())
    }

    fn has_enough(&self) -> bool {
        self.options.count.is_some_and(|count| self.account.received.get() >= count)
    }

    /// Writes the lines of these records, until there are enough or a write fails.
    fn process(&mut self, records: &Records) -> Progress {
        let before = self.account.received.get();
        let wanted = self.options.count.unwrap_or(u64::MAX);
        let tell = log::log_enabled!(target: "receiver", log::Level::Info);
        let (mut received, mut ends, mut failure) = (before, Vec::with_capacity(records.len()), None);
        for record in records {
            if received >= wanted {
                break;
            }
            if let Some(arrival) = Arrival::of(&record, &self.account) {
                received += 1;
                if tell {
                    arrival.write_line(self.options.format, received, self.output.buffer());
                }
            }
            ends.push((self.output.end(), received));
            if let Err(error) = self.output.write_if_full() {
                failure = Some(error);
                break;
            }
        }
        if failure.is_none() {
            failure = self.output.write_out().err();
        }
        let written = self.output.written();
        let whole = ends.partition_point(|(end, _)| *end <= written);
        let received = whole.checked_sub(1).map_or(before, |last| ends[last].1);
        self.account.received.add(received - before);
        Progress { records: whole, failure }
    }

    /// Moves each partition back to its first record that was not processed.
    fn rewind(&mut self, records: &Records, processed: usize) -> Result<()> {
        let mut first = BTreeMap::new();
        for record in records.iter().skip(processed) {
            first.entry(record.partition()).or_insert_with(|| (record.topic_partition().clone(), record.offset()));
        }
        // All of them, whatever comes of one: what stays ahead would be committed at the end.
        let mut outcome = Ok(());
        for (partition, offset) in first.into_values() {
            outcome = outcome.and(self.consumer.seek(&partition, offset));
        }
        outcome
    }

    fn commit_soon(&mut self) {
        let (account, poll) = (Arc::clone(&self.account), self.account.polls.load(Ordering::Relaxed));
        let asked = self.consumer.commit_async_with(move |outcome| account.committed("commit", poll, outcome));
        if let Err(error) = asked {
            self.account.trouble("commit", &error);
        }
    }

    /// Commits all positions, as the listener of the revocation that this is, and leaves the group.
    fn close(self) -> Result<()> {
        if let Err(error) = self.consumer.close(CLOSING) {
            log::warn!(target: "receiver", "{error}");
        }
        // What an earlier commit covered need not be committed again.
        if self.account.committed_polls.load(Ordering::Relaxed) >= self.account.polls.load(Ordering::Relaxed) {
            return Ok(());
        }
        let cause = lock(&self.account.last_failed_commit).take();
        Err(cause.unwrap_or_else(|| Error::state("the last positions were not committed: they were lost to the group")))
    }
}

/// A message of ours, as it arrived.
struct Arrival<'a> {
    message: Message<'a>,
    partition: i32,
    offset: i64,
    latency: Duration,
}

impl<'a> Arrival<'a> {
    /// Reads a record and takes note of it; `None` if it is not ours.
    fn of(record: &ConsumerRecord<'a>, account: &Account) -> Option<Self> {
        let (partition, offset) = (record.partition(), record.offset());
        let message = match Message::read(record.value()) {
            Ok(message) => message,
            Err(why) => {
                account.foreign.add(1);
                log::warn!(target: "receiver", "Not our message at {}-{partition}@{offset}: {why}", record.topic());
                return None;
            }
        };
        let mut marks = Marks::default();
        for header in record.headers() {
            marks.note(header.key, header.value);
        }
        lock(&account.ledger).note(partition, offset, &marks);
        let sent_ns = marks.sent_ns.map(i128::from).or_else(|| message.made_ns());
        let latency = sent_ns.map_or(0, |sent| (i128::from(now_ns()) - sent).max(0));
        let latency = Duration::from_nanos(u64::try_from(latency).unwrap_or(u64::MAX));
        account.latency.record(latency);
        Some(Self { message, partition, offset, latency })
    }

    /// Adds its line; `total` counts the messages of this receiver, this one included.
    fn write_line(&self, format: Format, total: u64, buffer: &mut Vec<u8>) {
        match format {
            Format::Text => self.write_text(total, buffer),
            Format::Json => self.write_json(total, buffer),
        }
        buffer.push(b'\n');
    }

    fn write_text(&self, total: u64, buffer: &mut Vec<u8>) {
        // A Vec takes everything.
        let _ = write!(
            buffer,
            "INFO receiver: Received message #{}: id={}, content='{}', latency={}ms, total_received={total}",
            self.message.counter,
            self.message.id,
            OneLine(&self.message.content),
            self.latency.as_millis()
        );
    }

    fn write_json(&self, total: u64, buffer: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Line<'a> {
            timestamp: &'a str,
            level: &'a str,
            target: &'a str,
            message: &'a str,
            counter: u64,
            id: uuid::Uuid,
            content: &'a str,
            latency_ms: u64,
            total_received: u64,
            partition: i32,
            offset: i64,
        }
        let line = Line {
            timestamp: &timestamp(OffsetDateTime::now_utc()),
            level: "INFO",
            target: "receiver",
            message: &format!("Received message #{}", self.message.counter),
            counter: self.message.counter,
            id: self.message.id,
            content: &self.message.content,
            latency_ms: u64::try_from(self.latency.as_millis()).unwrap_or(u64::MAX),
            total_received: total,
            partition: self.partition,
            offset: self.offset,
        };
        // Neither a Vec nor a value of these types can fail.
        let _ = serde_json::to_writer(buffer, &line);
    }
}

/// Text from the network that must stay within its line, and must not command a terminal.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.split_inclusive(char::is_control) {
            match piece.chars().next_back() {
                Some(last) if last.is_control() => {
                    f.write_str(&piece[..piece.len() - last.len_utf8()])?;
                    write!(f, "{}", last.escape_default())?;
                }
                _ => f.write_str(piece)?,
            }
        }
        Ok(())
    }
}

/// What a receiver counts. The loop's thread writes it, the commits' callbacks included; the stats thread reads it.
pub(super) struct Account {
    received: Counter,
    foreign: Counter,
    commits: Counter,
    failed_commits: Counter,
    rebalances: Counter,
    latency: Histogram,
    ledger: Mutex<Ledger>,
    /// Polls that brought messages.
    polls: AtomicU64,
    /// The last of them whose positions are known to be committed.
    committed_polls: AtomicU64,
    last_failed_commit: Mutex<Option<Error>>,
    troubles: Mutex<Repeats<&'static str>>,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            received: Counter::default(),
            foreign: Counter::default(),
            commits: Counter::default(),
            failed_commits: Counter::default(),
            rebalances: Counter::default(),
            latency: Histogram::new(),
            ledger: Mutex::default(),
            polls: AtomicU64::new(0),
            committed_polls: AtomicU64::new(0),
            last_failed_commit: Mutex::new(None),
            troubles: Mutex::new(Repeats::new(TELL_EVERY)),
        }
    }
}

impl Account {
    /// Whether it was ever given its partitions.
    #[cfg(feature = "devbroker")]
    pub(super) fn is_assigned(&self) -> bool {
        self.rebalances.get() > 0
    }

    /// The account of all senders together.
    #[cfg(feature = "devbroker")]
    pub(super) fn ledger_total(&self) -> Counts {
        lock(&self.ledger).total()
    }

    /// From the sending of each message to its line.
    #[cfg(feature = "devbroker")]
    pub(super) fn latency(&self) -> Snapshot {
        self.latency.snapshot()
    }

    fn rebalanced(&self, consumer: &mut Consumer, rebalance: &Rebalance) {
        match rebalance {
            Rebalance::Assigned(partitions) => {
                self.rebalances.add(1);
                log::info!(target: "receiver", "Assigned: {}", Names(partitions));
                let mut ledger = lock(&self.ledger);
                partitions.iter().for_each(|partition| ledger.assigned(partition.partition));
            }
            Rebalance::Revoked(partitions) => {
                log::info!(target: "receiver", "Revoked: {}", Names(partitions));
                // Every record that was handed over is written by now: the loop polls only when it is done with the last poll.
                self.committed("commit on revocation", self.polls.load(Ordering::Relaxed), consumer.commit());
            }
            Rebalance::Lost(partitions) => {
                log::warn!(
                    target: "receiver",
                    "Lost: {}; what was not committed comes again, here or at another receiver",
                    Names(partitions)
                );
            }
        }
    }

    fn committed(&self, what: &'static str, poll: u64, outcome: Result<()>) {
        match outcome {
            Ok(()) => {
                self.commits.add(1);
                self.committed_polls.fetch_max(poll, Ordering::Relaxed);
            }
            Err(error) => {
                self.failed_commits.add(1);
                self.trouble(what, &error);
                *lock(&self.last_failed_commit) = Some(error);
            }
        }
    }

    fn trouble(&self, what: &'static str, error: &Error) {
        match lock(&self.troubles).note(what, 1, std::time::Instant::now()) {
            Some(0) => log::warn!(target: "receiver", "{what}: {error}"),
            Some(more) => log::warn!(target: "receiver", "{what}, after {more} more: {error}"),
            None => log::debug!(target: "receiver", "{what}: {error}"),
        }
    }

    fn totals(&self) -> Totals {
        Totals { received: self.received.get(), foreign: self.foreign.get() }
    }

    fn tell_totals(&self) {
        let sample = self.sample();
        log::info!(target: "receiver", "Totals: {}", crate::stats::Totals(&sample.counts));
        if sample.latency.1.count() > 0 {
            log::info!(target: "receiver", "{} {}", sample.latency.0, sample.latency.1);
        }
        for (name, counts) in &sample.parts {
            log::info!(target: "receiver", "Totals of {name}: {}", crate::stats::Totals(counts));
        }
    }
}

impl Source for Account {
    fn name(&self) -> &str {
        "receiver"
    }

    fn sample(&self) -> Sample {
        let counts = |counts: &Counts| {
            vec![
                Count::rate("received", counts.received),
                Count::plain("lost", counts.lost),
                Count::plain("duplicates", counts.duplicates),
                Count::plain("out_of_order", counts.out_of_order),
            ]
        };
        let ledger = lock(&self.ledger);
        let mut parts: Vec<_> = ledger
            .producers()
            .into_iter()
            .map(|(name, known)| (format!("producer {}", OneLine(name)), counts(&known)))
            .collect();
        parts.extend(ledger.others().map(|others| ("other producers".to_owned(), counts(&others))));
        drop(ledger);
        Sample {
            counts: vec![
                Count::rate("received", self.received.get()),
                Count::rate("foreign", self.foreign.get()),
                Count::plain("commits", self.commits.get()),
                Count::plain("failed_commits", self.failed_commits.get()),
                Count::plain("rebalances", self.rebalances.get()),
            ],
            latency: ("latency", self.latency.snapshot()),
            parts,
        }
    }
}

/// `rust-messages-0, rust-messages-1`
struct Names<'a>(&'a [TopicPartition]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (at, partition) in self.0.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{}-{}", partition.topic, partition.partition)?;
        }
        Ok(())
    }
}

fn output_error(error: &io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("cannot write to standard output: {error}; what was not written is not committed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(content: &str, latency: Duration) -> Arrival<'_> {
        let message = Message {
            id: "550e8400-e29b-41d4-a716-446655440000".parse().unwrap(),
            content: content.into(),
            timestamp: "2025-07-30T10:30:45.123Z".into(),
            counter: 42,
        };
        Arrival { message, partition: 1, offset: 17, latency }
    }

    fn line(content: &str, latency: Duration, format: Format) -> String {
        let mut buffer = Vec::new();
        arrival(content, latency).write_line(format, 42, &mut buffer);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn the_line_is_exactly_as_promised() {
        assert_eq!(
            line("Hello from Rust sender! Message #42", Duration::from_micros(15_999), Format::Text),
            "INFO receiver: Received message #42: id=550e8400-e29b-41d4-a716-446655440000, \
             content='Hello from Rust sender! Message #42', latency=15ms, total_received=42\n"
        );
    }

    #[test]
    fn a_message_stays_one_line_whatever_it_says() {
        let content = "a\nINFO receiver: forged\r\u{1b}[2J\u{9b}1m é'\0";
        let text = line(content, Duration::ZERO, Format::Text);
        assert!(text.contains(r"content='a\nINFO receiver: forged\r\u{1b}[2J\u{9b}1m é'\u{0}'"), "{text}");
        for format in [Format::Text, Format::Json] {
            let text = line(content, Duration::ZERO, format);
            assert_eq!(text.matches('\n').count(), 1);
            assert!(!text.trim_end().contains(|c: char| c.is_ascii_control()), "{text:?}");
        }
    }

    #[test]
    fn the_json_line_carries_each_fact_as_a_field() {
        let text = line("x\"y", Duration::from_millis(15), Format::Json);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (name, expected) in [
            ("level", "INFO".into()),
            ("target", "receiver".into()),
            ("message", "Received message #42".into()),
            ("counter", 42.into()),
            ("content", "x\"y".into()),
            ("latency_ms", 15.into()),
            ("total_received", 42.into()),
            ("partition", 1.into()),
            ("offset", serde_json::Value::from(17)),
        ] {
            assert_eq!(value[name], expected, "{name}");
        }
        assert!(value["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn partitions_are_named_in_one_line() {
        assert_eq!(Names(&[]).to_string(), "nothing");
        let partitions = [TopicPartition::new("t", 0), TopicPartition::new("t", 2)];
        assert_eq!(Names(&partitions).to_string(), "t-0, t-2");
    }
}
