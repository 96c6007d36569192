//! The sender service: a message every interval, round robin over the partitions, each followed to its end.
//!
//! The loop runs on the caller's thread; what became of a message is told by the producer's callback to the
//! `Account`, which counts, measures and logs. A message that fails is counted and told, and the sender goes on;
//! only what cannot get better by itself ends it: being refused, or a producer that has ended.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use uuid::Uuid;

use super::account::Account;
use super::message::{Decimal, HEADER_PRODUCER, HEADER_RUN, HEADER_SENT, HEADER_SEQUENCE, MAX_PRODUCER_ID, Message};
use super::schedule::Schedule;
use super::{Stop, together, topic};
use crate::stats::{Reporter, Source};
use crate::{Config, Error, ErrorKind, Header, Producer, Record, Result};

/// What the sender is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every Kafka property, `bootstrap.servers` among them. What the user left open is filled in from [`DEFAULTS`].
    pub config: Config,
    /// The topic to send to. Default `rust-messages`.
    pub topic: String,
    /// Time from one message of a sender to its next; zero sends as fast as it can. Default 100 ms.
    pub interval: Duration,
    /// Ends after this many messages of all senders together. Default: never.
    pub count: Option<u64>,
    /// Tells this sender from others in the receiver's totals; several get `-1`, `-2`, … behind it. Default: host name
    /// and process id.
    pub producer_id: Option<String>,
    /// Partitions of the topic if it has to be created. Default 3.
    pub partitions: i32,
    /// Replication factor of the topic if it has to be created. Default 1.
    pub replication_factor: i16,
    /// How often the stats thread reports; `None` is never. Default 10 s.
    pub stats_interval: Option<Duration>,
    /// Senders in this process, each with a thread and a producer of its own. Default 1.
    pub senders: usize,
}

impl Options {
    /// The defaults, with this configuration.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            topic: super::DEFAULT_TOPIC.to_owned(),
            interval: Duration::from_millis(100),
            count: None,
            producer_id: None,
            partitions: super::DEFAULT_PARTITIONS,
            replication_factor: super::DEFAULT_REPLICATION_FACTOR,
            stats_interval: Some(crate::stats::DEFAULT_INTERVAL),
            senders: 1,
        }
    }
}

/// Properties of the sender where the user set none.
pub const DEFAULTS: &[(&str, &str)] = &[("acks", "all"), ("retries", "3"), ("message.timeout.ms", "5000")];

/// What a sender has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages that were due: delivered, failed and unknown together.
    pub sent: u64,
    /// Messages the broker acknowledged.
    pub delivered: u64,
    /// Messages that are not in the log.
    pub failed: u64,
    /// Messages that may or may not be in the log.
    pub unknown: u64,
    /// Messages that went out a whole interval or more after they were due.
    pub late: u64,
}

impl Totals {
    /// 0, or 1 if a message was not delivered.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.failed > 0 || self.unknown > 0)
    }
}

/// How long a loop that waits may take to notice that the producer was refused.
const ATTENTION: Duration = Duration::from_millis(500);

/// How long the sender waits after a message that the producer did not take, so that it does not spin.
const PAUSE: Duration = Duration::from_millis(100);

/// How much longer than its messages the producer may live, so that each of them ends by its own timeout.
const CLOSING: Duration = Duration::from_millis(200);

/// How often the topic is asked for new partitions.
const PARTITIONS_AGE: Duration = Duration::from_secs(1);

/// Sends until the count is reached or the stop is asked for, then flushes, for `message.timeout.ms` at most.
///
/// # Errors
/// A wrong setting, no usable broker, being refused, or a producer that ended by itself. A message that was not
/// delivered is no error but part of the totals.
pub fn run(options: &Options, stop: &Stop) -> Result<Totals> {
    let reporter = Reporter::start(options.stats_interval)?;
    let mut config = options.config.clone();
    for (name, value) in DEFAULTS {
        config = config.default_to(name, value)?;
    }
    let message_timeout = config.producer()?.message_timeout;
    let producer_id = match &options.producer_id {
        Some(id) => checked_producer_id(id)?,
        None => default_producer_id(),
    };

    let account = Arc::new(Account::new(options.interval));
    let Some(senders) = start(&config, options, &producer_id, &account, stop)? else {
        log::info!(target: "sender", "Stopped before anything was sent");
        return Ok(Totals::default());
    };
    reporter.add(&account);
    stop.last_words({
        let account = Arc::clone(&account);
        move || Some(format!("sender: stopped at once, {} messages undelivered", account.undelivered()))
    });
    let ended = together::run("sender", senders, stop, |sender| sender.run(message_timeout + CLOSING, stop));
    drop(reporter);
    account.conclude();
    let sample = account.sample();
    log::info!(target: "sender", "Totals: {}", crate::stats::Totals(&sample.counts));
    if sample.latency.1.count() > 0 {
        log::info!(target: "sender", "{} {}", sample.latency.0, sample.latency.1);
    }
    ended.map(|()| account.totals())
}

/// Creates the topic if need be and connects every sender; `None` if the stop was asked for meanwhile.
fn start<'a>(
    config: &Config,
    options: &'a Options,
    producer_id: &str,
    account: &Arc<Account>,
    stop: &Stop,
) -> Result<Option<Vec<Sender<'a>>>> {
    if !topic::ensure(config, &options.topic, options.partitions, options.replication_factor, stop, "sender")? {
        return Ok(None);
    }
    let mut senders = Vec::new();
    let several = options.senders.max(1) as u64;
    for number in 1..=several {
        let header =
            if several > 1 { checked_producer_id(&format!("{producer_id}-{number}"))? } else { producer_id.to_owned() };
        // The first ones send what does not divide evenly.
        let count = options.count.map(|count| count / several + u64::from(number <= count % several));
        let account = Arc::clone(account);
        let Some(producer) = connect(config, options, &account, stop)? else { return Ok(None) };
        senders.push(Sender { options, account, producer, header, count, sequences: Vec::new() });
    }
    Ok(Some(senders))
}

/// Connects; `None` if the stop was asked for meanwhile.
fn connect(config: &Config, options: &Options, account: &Arc<Account>, stop: &Stop) -> Result<Option<Producer>> {
    let (config, topic, account) = (config.clone(), options.topic.clone(), Arc::clone(account));
    stop.unless_asked("connecting", move || {
        let producer = Producer::connect_with(&config, move |batch| account.concluded(batch))?;
        // Waits until the partitions are known, so that the loop need not.
        producer.partition_count(&topic)?;
        Ok(producer)
    })
}

struct Sender<'a> {
    options: &'a Options,
    account: Arc<Account>,
    producer: Producer,
    header: String,
    /// Its part of the count.
    count: Option<u64>,
    /// By partition: the number of the last message that the producer took.
    sequences: Vec<u64>,
}

impl Sender<'_> {
    /// Sends to the end, then waits for what is under way, for so long after the stop at most.
    fn run(mut self, closing: Duration, stop: &Stop) -> Result<()> {
        let ended = self.send_all(stop);
        let spent = stop.since().map_or(Duration::ZERO, |since| since.elapsed());
        // Messages that it gave up are told and counted one by one.
        if let Err(error) = self.producer.close(closing.saturating_sub(spent)) {
            log::debug!(target: "sender", "{error}");
        }
        ended
    }

    fn send_all(&mut self, stop: &Stop) -> Result<()> {
        let run = Uuid::new_v4().to_string();
        let mut value = Vec::new();
        let mut partitions_at = Instant::now();
        self.learn_partitions()?;
        log::info!(
            target: "sender",
            "Sending to {} ({} partitions) as {}, {}",
            self.options.topic,
            self.sequences.len(),
            self.header,
            match self.options.interval {
                Duration::ZERO => "as fast as possible".to_owned(),
                interval => format!("every {interval:?}"),
            }
        );
        let mut schedule = Schedule::new(Instant::now(), self.options.interval);
        for counter in 1..=self.count.unwrap_or(u64::MAX) {
            let now = loop {
                if let Some(error) = self.account.refusal() {
                    return Err(error);
                }
                let now = Instant::now();
                let due = schedule.due();
                if stop.is_asked() || (due > now && stop.wait_until(due.min(now + ATTENTION))) {
                    return Ok(());
                }
                if due <= now {
                    break now;
                }
            };
            let late = schedule.advance(now);
            if now.saturating_duration_since(partitions_at) >= PARTITIONS_AGE {
                partitions_at = now;
                self.learn_partitions()?;
            }
            self.account.handing_over(late);
            if let Err(error) = self.send(counter, &run, &mut value) {
                self.account.not_taken(&error);
                if matches!(error.kind(), ErrorKind::Refused | ErrorKind::State) {
                    return Err(self.account.refusal().unwrap_or(error));
                }
                stop.wait(PAUSE);
            }
        }
        Ok(())
    }

    fn send(&mut self, counter: u64, run: &str, value: &mut Vec<u8>) -> Result<()> {
        let partition = ((counter - 1) % self.sequences.len() as u64) as usize;
        let now = OffsetDateTime::now_utc();
        let id = Uuid::new_v4();
        Message::new(id, counter, now).write(value);
        let sequence = Decimal::new(self.sequences[partition] + 1);
        let sent_ns = Decimal::new(u64::try_from(now.unix_timestamp_nanos()).unwrap_or(0));
        let headers = [
            Header::new(HEADER_PRODUCER, &self.header),
            Header::new(HEADER_RUN, run),
            Header::new(HEADER_SEQUENCE, sequence.as_bytes()),
            Header::new(HEADER_SENT, sent_ns.as_bytes()),
        ];
        let mut key = [0; uuid::fmt::Hyphenated::LENGTH];
        let record = Record::to(&self.options.topic)
            .partition(partition as i32)
            .key(id.as_hyphenated().encode_lower(&mut key).as_bytes())
            .value(value)
            .headers(&headers)
            .timestamp((now.unix_timestamp_nanos() / 1_000_000) as i64);
        self.producer.send(record)?;
        self.sequences[partition] += 1;
        Ok(())
    }

    /// New partitions take part as soon as they are known.
    fn learn_partitions(&mut self) -> Result<()> {
        let count = self.producer.partition_count(&self.options.topic)?;
        self.sequences.resize(usize::try_from(count).unwrap_or(0).max(1), 0);
        Ok(())
    }
}

fn checked_producer_id(id: &str) -> Result<String> {
    if id.is_empty() || id.len() > MAX_PRODUCER_ID || id.contains(char::is_control) {
        return Err(Error::config(format!(
            "PRODUCER_ID={}: it must have 1 to {MAX_PRODUCER_ID} bytes and no control characters",
            id.escape_debug().take(200).collect::<String>()
        )));
    }
    Ok(id.to_owned())
}

/// Host name and process id.
fn default_producer_id() -> String {
    let host = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|name| name.trim().to_owned())
        .find(|name| checked_producer_id(name).is_ok() && name.len() < MAX_PRODUCER_ID - 12);
    format!("{}-{}", host.as_deref().unwrap_or("host"), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_id_is_one_short_word_or_phrase() {
        assert!(checked_producer_id(&default_producer_id()).is_ok());
        assert!(checked_producer_id("Sender in Köln").is_ok());
        for bad in ["", "a\nb", "\u{1b}[31m", &"x".repeat(MAX_PRODUCER_ID + 1)] {
            let error = checked_producer_id(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
    }

    #[test]
    fn a_message_that_was_not_delivered_shows_in_the_exit_code() {
        assert_eq!(Totals { sent: 3, delivered: 3, late: 1, ..Totals::default() }.exit_code(), 0);
        assert_eq!(Totals { failed: 1, ..Totals::default() }.exit_code(), 1);
        assert_eq!(Totals { unknown: 1, ..Totals::default() }.exit_code(), 1);
    }
}
