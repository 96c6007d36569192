//! The sender of lines: each line of standard input becomes a message.
//!
//! Input is read by a thread of its own, so that a pipe in which nothing comes does not keep the sender from ending; that
//! thread is left behind in its read then. Whatever a read brought is sent at once: with `linger.ms=0` batches grow while
//! the broker is busy, and only then.

mod lost;
mod split;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::account::Account;
use super::sender::Totals;
use super::{Stop, topic};
use crate::stats::{Reporter, Source};
use crate::{Config, Error, ErrorKind, Header, Producer, Record, Result};
use lost::Lost;
use split::{Lines, find};

/// What the sender of lines is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every Kafka property, `bootstrap.servers` among them. What the user left open is filled in from [`DEFAULTS`].
    pub config: Config,
    /// The topic to send to. Default `rust-messages`.
    pub topic: String,
    /// Ends after this many lines. Default: with the input.
    pub count: Option<u64>,
    /// What ends a line. Default: a newline.
    pub delimiter: Vec<u8>,
    /// What is between key and value, where it occurs first; a line without it has no key. Default: there are no keys.
    pub key_separator: Option<Vec<u8>>,
    /// The key of every message. Default: none.
    pub key: Option<Vec<u8>>,
    /// The partition of every message. Default: by the key.
    pub partition: Option<i32>,
    /// The headers of every message.
    pub headers: Vec<(String, Vec<u8>)>,
    /// A value that is this becomes null. Default: none does.
    pub tombstone: Option<Vec<u8>>,
    /// Partitions of the topic if it has to be created. Default 3.
    pub partitions: i32,
    /// Replication factor of the topic if it has to be created. Default 1.
    pub replication_factor: i16,
    /// How often the stats thread reports; `None` is never. Default 10 s.
    pub stats_interval: Option<Duration>,
}

impl Options {
    /// The defaults, with this configuration.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            topic: super::DEFAULT_TOPIC.to_owned(),
            count: None,
            delimiter: vec![b'\n'],
            key_separator: None,
            key: None,
            partition: None,
            headers: Vec::new(),
            tombstone: None,
            partitions: super::DEFAULT_PARTITIONS,
            replication_factor: super::DEFAULT_REPLICATION_FACTOR,
            stats_interval: Some(crate::stats::DEFAULT_INTERVAL),
        }
    }
}

/// Properties of the sender of lines where the user set none. A line waits for a slow broker, or for one that comes back,
/// for as long as the client's own `message.timeout.ms` says: nobody makes it a second time.
pub const DEFAULTS: &[(&str, &str)] = &[("acks", "all")];

/// Read at once, at most; a pipe holds as much.
const CHUNK: usize = 64 * 1024;

/// Read ahead, at most, in chunks.
const AHEAD: usize = 4;

/// How long the loop may take to notice the stop.
const ATTENTION: Duration = Duration::from_millis(100);

/// How much longer than its messages the producer may live, so that each of them ends by its own timeout.
const CLOSING: Duration = Duration::from_millis(200);

/// Sends the lines of standard input until it ends, the count is reached or the stop is asked for, then waits for what is
/// under way, for `message.timeout.ms` at most. The last line needs no end; but when the stop is asked for, what was read
/// of a line that is not whole is not sent. After a line that was not delivered none is read.
///
/// # Errors
/// A wrong setting, no usable broker, being refused, input that cannot be read, a line that was not delivered, or one that
/// is no message, such as one that is too long; lines before it are sent.
pub fn run(options: &Options, stop: &Stop) -> Result<Totals> {
    let reporter = Reporter::start(options.stats_interval)?;
    let mut config = options.config.clone();
    for (name, value) in DEFAULTS {
        config = config.default_to(name, value)?;
    }
    let settings = config.producer()?;
    let account = Arc::new(Account::of_lines());
    let Some(producer) = start(&config, options, &account, stop)? else {
        log::info!(target: "sender", "Stopped before anything was sent");
        return Ok(Totals::default());
    };
    reporter.add(&account);
    stop.last_words({
        let account = Arc::clone(&account);
        move || Some(format!("sender: stopped at once, {} messages undelivered", account.undelivered()))
    });
    log::info!(target: "sender", "Sending the lines of standard input to {}", options.topic);
    let lost = Arc::new(Lost::default());
    let sender = Sender { options, account: &account, lost: &lost, producer, headers: options.headers() };
    let ended = Input::read().and_then(|input| sender.send_all(&input, settings.max_request_size, stop));

    let spent = stop.since().map_or(Duration::ZERO, |since| since.elapsed());
    // Messages that it gave up are told and counted one by one.
    if let Err(error) = sender.producer.close((settings.message_timeout + CLOSING).saturating_sub(spent)) {
        log::debug!(target: "sender", "{error}");
    }
    drop(reporter);
    account.conclude();
    log::info!(target: "sender", "Totals: {}", crate::stats::Totals(&account.sample().counts));
    match lost.first() {
        Some((number, why)) => Err(not_delivered(number, &why, account.refusal().is_some())),
        None => ended.map(|()| account.totals()),
    }
}

impl Options {
    fn headers(&self) -> Vec<Header<'_>> {
        self.headers.iter().map(|(key, value)| Header::new(key, value)).collect()
    }
}

/// Creates the topic if need be and connects; `None` if the stop was asked for meanwhile.
fn start(config: &Config, options: &Options, account: &Arc<Account>, stop: &Stop) -> Result<Option<Producer>> {
    if !topic::ensure(config, &options.topic, options.partitions, options.replication_factor, stop, "sender")? {
        return Ok(None);
    }
    let (config, topic, account) = (config.clone(), options.topic.clone(), Arc::clone(account));
    let wanted = options.partition;
    stop.unless_asked("connecting", move || {
        let producer = Producer::connect_with(&config, move |batch| account.concluded(batch))?;
        let count = producer.partition_count(&topic)?;
        match wanted.filter(|wanted| *wanted >= count) {
            Some(beyond) => {
                let error = Error::config(format!("the topic has {count} partitions, counted from 0"));
                Err(error.with_partition(&topic, beyond))
            }
            None => Ok(producer),
        }
    })
}

/// What a read brought, or why there is no more.
type Chunk = io::Result<Vec<u8>>;

/// Standard input, read on a thread of its own.
struct Input {
    /// It ends with the input.
    chunks: Receiver<Chunk>,
    /// Nothing more is to be read.
    ends: Arc<AtomicBool>,
}

impl Input {
    fn read() -> Result<Self> {
        let input = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(unreadable)?);
        let ((sender, chunks), ends) = (sync_channel(AHEAD), Arc::new(AtomicBool::new(false)));
        let ended = Arc::clone(&ends);
        let reading = move || read_all(input, &sender, &ended);
        thread::Builder::new().name("input".into()).spawn(reading).map_err(unreadable)?;
        Ok(Self { chunks, ends })
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot read standard input: {error}"))
}

fn read_all(mut input: impl Read, chunks: &SyncSender<Chunk>, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let mut chunk = vec![0; CHUNK];
        let chunk = match input.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                chunk.truncate(count);
                Ok(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Somebody else made the terminal or pipe non-blocking.
                thread::sleep(Duration::from_millis(5));
                continue;
            }
            Err(error) => Err(error),
        };
        let failed = chunk.is_err();
        if chunks.send(chunk).is_err() || failed {
            return;
        }
    }
}

struct Sender<'a> {
    options: &'a Options,
    account: &'a Account,
    lost: &'a Arc<Lost>,
    producer: Producer,
    headers: Vec<Header<'a>>,
}

impl Sender<'_> {
    fn send_all(&self, input: &Input, longest: usize, stop: &Stop) -> Result<()> {
        let mut lines = Lines::new(self.options.delimiter.clone(), longest, self.options.count);
        while !lines.are_enough() {
            if let Some(error) = self.account.refusal() {
                return Err(error);
            }
            if self.lost.any() {
                // Told once all that is under way has ended: a line before it may be lost too.
                return Ok(());
            }
            if stop.is_asked() {
                return self.send_what_was_read(input, &mut lines, stop);
            }
            match input.chunks.recv_timeout(ATTENTION) {
                Ok(chunk) => lines.feed(&chunk.map_err(unreadable)?, |number, line| self.send(number, line, stop))?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return lines.finish(|number, line| self.send(number, line, stop));
                }
            }
        }
        Ok(())
    }

    /// Of what was taken from the input only a line that is not whole is lost, and that is told.
    fn send_what_was_read(&self, input: &Input, lines: &mut Lines, stop: &Stop) -> Result<()> {
        input.ends.store(true, Ordering::Relaxed);
        // The channel ends behind the read that is under way. If that waits, it has taken nothing.
        while let Ok(chunk) = input.chunks.recv_timeout(ATTENTION) {
            lines.feed(&chunk.map_err(unreadable)?, |number, line| self.send(number, line, stop))?;
        }
        let number = lines.number();
        if lines.are_broken_off() {
            log::warn!(
                target: "sender",
                "Stopped in the middle of line {} of standard input, which is not sent", number + 1
            );
        } else {
            log::info!(target: "sender", "Stopped behind line {number} of standard input");
        }
        Ok(())
    }

    fn send(&self, number: u64, line: &[u8], stop: &Stop) -> Result<()> {
        let options = self.options;
        let (key, value) = match &options.key_separator {
            Some(separator) => match find(line, separator) {
                Some(at) => (Some(&line[..at]), &line[at + separator.len()..]),
                None => (None, line),
            },
            None => (options.key.as_deref(), line),
        };
        if self.lost.any() {
            return Ok(());
        }
        self.account.handing_over(None);
        loop {
            let mut record = Record::to(&options.topic).headers(&self.headers);
            if let Some(key) = key {
                record = record.key(key);
            }
            if let Some(partition) = options.partition {
                record = record.partition(partition);
            }
            if options.tombstone.as_deref() != Some(value) {
                record = record.value(value);
            }
            match self.producer.send_with(record, self.lost.told(number)) {
                Ok(()) => return Ok(()),
                // The broker is slower than the input: that is no reason to lose a line.
                Err(error) if error.kind() == ErrorKind::BufferFull && !stop.is_asked() && !self.lost.any() => {}
                Err(error) => {
                    self.account.not_taken(&error);
                    return Err(self.account.refusal().unwrap_or_else(|| at_line(number, &error)));
                }
            }
        }
    }
}

/// What was sent of the lines behind it is not known, as that may have gone to other partitions.
fn not_delivered(number: u64, why: &Error, refused: bool) -> Error {
    Error::new(
        if refused { ErrorKind::Refused } else { ErrorKind::Io },
        format!(
            "line {number} of standard input is the first that was not delivered; some after it may have been: {why}"
        ),
    )
}

/// A line that is no message, or that was not taken.
fn at_line(number: u64, why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("line {number} of standard input: {why}"))
}
