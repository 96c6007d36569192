//! The demo: a development broker, the receiver and the sender in one process, and what came of it in one line.
//!
//! The services run as they do in production, over real TCP; only where Kafka is differs. The receiver comes first, so
//! that the sender's first message is received like every other one. At the end the sender stops before the receiver, which still
//! gets what was delivered.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::receiver::Account;
use super::{Stop, receiver, sender};
use crate::devbroker::{DevBroker, Options as BrokerOptions};
use crate::logging::Format;
use crate::{Config, Error, Result};

/// What the demo is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The broker it runs on; its port is a free one.
    pub broker: BrokerOptions,
    /// Ends after this long. Default: never.
    pub duration: Option<Duration>,
    /// Time from one message to the next; zero sends as fast as it can. Default 100 ms.
    pub interval: Duration,
    /// How often the stats thread reports; `None` is never. Default 10 s.
    pub stats_interval: Option<Duration>,
    /// The form of each message's line. Default text.
    pub format: Format,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            broker: BrokerOptions::default(),
            duration: None,
            interval: Duration::from_millis(100),
            stats_interval: Some(crate::stats::DEFAULT_INTERVAL),
            format: Format::Text,
        }
    }
}

/// How long the sender waits for the receiver to have its partitions.
const HEAD_START: Duration = Duration::from_secs(5);

/// How long the receiver may need for what was delivered before the end.
const LAST_MESSAGES: Duration = Duration::from_secs(5);

/// How often a wait for the receiver looks.
const GLANCE: Duration = Duration::from_millis(2);

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Messages that the sender sent.
    pub sent: u64,
    /// Messages that the receiver got, each counted once.
    pub received: u64,
    /// Messages that were acknowledged and not received.
    pub lost: u64,
    /// Times that a message was received again.
    pub duplicated: u64,
    /// Messages that came after a later one of their partition.
    pub out_of_order: u64,
    /// Messages that are not in the log, and reported as such.
    pub failed: u64,
    /// Messages that may or may not be in the log, and reported as such.
    pub unknown: u64,
    /// From sending a message to its line, in microseconds.
    pub p50_us: u64,
    /// The same, of the slowest hundredth.
    pub p99_us: u64,
    /// The same, of the slowest.
    pub max_us: u64,
}

impl Summary {
    /// 0, or 1 if a message was lost, duplicated, or not delivered.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.lost > 0 || self.duplicated > 0 || self.failed > 0 || self.unknown > 0)
    }

    /// `awaited` is how many messages the receiver was to receive.
    fn of(sent: &sender::Totals, awaited: u64, account: &Account) -> Self {
        let (ledger, latency) = (account.ledger_total(), account.latency());
        let received = ledger.received - ledger.duplicates;
        let micros = |percent| latency.percentile(percent).unwrap_or(0);
        Self {
            sent: sent.sent,
            received,
            // A gap shows in the ledger only once something comes behind it; what was not delivered leaves one too.
            lost: (ledger.lost.saturating_sub(sent.failed + sent.unknown)).max(awaited.saturating_sub(received)),
            duplicated: ledger.duplicates,
            out_of_order: ledger.out_of_order,
            failed: sent.failed,
            unknown: sent.unknown,
            p50_us: micros(50.0),
            p99_us: micros(99.0),
            max_us: latency.max().unwrap_or(0),
        }
    }
}

/// `sent=100 received=100 lost=0 duplicated=0 out_of_order=0 p50=0.4ms p99=1.2ms max=3.0ms`; what was not delivered is
/// told only if there is any.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, received, lost, duplicated, out_of_order, failed, unknown, .. } = self;
        write!(f, "sent={sent} received={received} lost={lost} duplicated={duplicated} out_of_order={out_of_order}")?;
        for (name, count) in [("failed", failed), ("unknown", unknown)] {
            if *count > 0 {
                write!(f, " {name}={count}")?;
            }
        }
        for (name, micros) in [("p50", self.p50_us), ("p99", self.p99_us), ("max", self.max_us)] {
            write!(f, " {name}={:.1}ms", micros as f64 / 1000.0)?;
        }
        Ok(())
    }
}

/// Runs until the time is over, the stop is asked for, or one of the services ends.
///
/// # Errors
/// The broker cannot start, or one of the services fails.
pub fn run(options: &Options, stop: &Stop) -> Result<Summary> {
    let broker = DevBroker::start(options.broker.clone())?;
    log::info!(target: "demo", "Development broker at {}", broker.bootstrap());
    let summary = Demo::new(options, &broker)?.play(options.duration, stop);
    broker.stop();
    summary
}

struct Demo {
    sending: sender::Options,
    receiving: receiver::Options,
    stop_sending: Stop,
    stop_receiving: Stop,
    account: Arc<Account>,
}

impl Demo {
    fn new(options: &Options, broker: &DevBroker) -> Result<Self> {
        let config = Config::new().set("bootstrap.servers", broker.bootstrap())?;
        let partitions = options.broker.partitions;
        let stats_interval = options.stats_interval;
        let (interval, format) = (options.interval, options.format);
        Ok(Self {
            sending: sender::Options { interval, partitions, stats_interval, ..sender::Options::new(config.clone()) },
            receiving: receiver::Options { partitions, stats_interval, format, ..receiver::Options::new(config) },
            stop_sending: Stop::new(),
            stop_receiving: Stop::new(),
            account: Arc::default(),
        })
    }

    fn play(&self, duration: Option<Duration>, stop: &Stop) -> Result<Summary> {
        thread::scope(|scope| {
            let receiving = spawn(scope, "receiver", || {
                let outcome = receiver::run_watched(&self.receiving, &self.stop_receiving, &self.account);
                stop.ask();
                outcome
            })?;
            self.wait_for(HEAD_START, stop, |account| account.is_assigned());
            let sending = spawn(scope, "sender", || {
                let outcome = sender::run(&self.sending, &self.stop_sending);
                stop.ask();
                outcome
            });
            match duration {
                _ if sending.is_err() => {}
                Some(duration) => drop(stop.wait(duration)),
                None => while !stop.wait(Duration::from_secs(3600)) {},
            }
            // Whose reader has gone (`| head`) has seen enough.
            let ended_early = receiving.is_finished();
            self.stop_sending.ask();
            let sent = sending.and_then(join);
            if let Ok(sent) = &sent {
                let all = |account: &Account| {
                    let ledger = account.ledger_total();
                    receiving.is_finished() || ledger.received - ledger.duplicates >= sent.delivered
                };
                self.wait_for(LAST_MESSAGES, &Stop::new(), all);
            }
            self.stop_receiving.ask();
            let received = join(receiving);
            let sent = sent?;
            let awaited = if ended_early { 0 } else { sent.delivered };
            received.map(|_| Summary::of(&sent, awaited, &self.account))
        })
    }

    /// Waits until the receiver has come so far; at most `limit`, and not beyond the stop.
    fn wait_for(&self, limit: Duration, stop: &Stop, reached: impl Fn(&Account) -> bool) {
        let until = Instant::now() + limit;
        while !reached(&self.account) && Instant::now() < until && !stop.wait(GLANCE) {}
    }
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<thread::ScopedJoinHandle<'scope, T>> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, work)
        .map_err(|error| Error::new(crate::ErrorKind::Io, format!("cannot start the thread of the {name}: {error}")))
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    let name = thread.thread().name().unwrap_or("a thread").to_owned();
    thread.join().unwrap_or_else(|_| Err(Error::state(format!("the {name} panicked"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_one_line_and_tells_trouble_only_where_there_is_any() {
        let mut summary = Summary { sent: 100, received: 100, p50_us: 412, p99_us: 1234, ..Summary::default() };
        summary.max_us = 3000;
        let line = "sent=100 received=100 lost=0 duplicated=0 out_of_order=0 p50=0.4ms p99=1.2ms max=3.0ms";
        assert_eq!((summary.to_string().as_str(), summary.exit_code()), (line, 0));
        summary.failed = 2;
        assert!(summary.to_string().contains(" out_of_order=0 failed=2 p50="), "{summary}");
        assert_eq!(summary.exit_code(), 1);
        assert_eq!(Summary { lost: 1, ..Summary::default() }.exit_code(), 1);
    }
}
