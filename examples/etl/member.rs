//! One member of a level, as a process of its own: it moves each record to the same partition of the next topic.
//!
//! What it is to do stands in the first lines of its standard input; when that ends, the member leaves cleanly, so none
//! outlives the process that started it. What happens to it it tells on standard output, a line for each event; its log
//! goes to standard error.
//!
//! What it commits it has delivered: before each commit, and before partitions go to another member, it flushes its
//! producer. That is what makes every record arrive exactly once as long as members leave cleanly.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use krs::logging::{self, Format};
use krs::{Config, Consumer, ErrorKind, Producer, Rebalance, Record, Result};

const POLL: Duration = Duration::from_millis(100);
const FLUSH: Duration = Duration::from_secs(20);
const CLOSE: Duration = Duration::from_secs(10);

/// From one commit to the next, while there is something to commit.
const COMMIT: Duration = Duration::from_millis(500);

/// What a member is told.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    pub from: String,
    pub to: String,
    pub properties: Vec<(String, String)>,
}

impl Orders {
    /// The lines that say so.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut text = format!("from={}\nto={}\n", self.from, self.to);
        for (name, value) in &self.properties {
            text += &format!("{name}={value}\n");
        }
        to.write_all((text + "\n").as_bytes())?;
        to.flush()
    }

    fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let mut orders = Self::default();
        for line in from.lines() {
            let line = line?;
            match line.split_once('=') {
                None => break,
                Some(("from", topic)) => orders.from = topic.to_owned(),
                Some(("to", topic)) => orders.to = topic.to_owned(),
                Some((name, value)) => orders.properties.push((name.to_owned(), value.to_owned())),
            }
        }
        Ok(orders)
    }
}

/// The process: runs until standard input ends.
pub fn main() -> ExitCode {
    let outcome = logging::init(&std::env::var("RUST_LOG").unwrap_or_default(), Format::Text).and_then(|()| run());
    match outcome {
        Ok(()) => {
            tell(format_args!("left"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell(format_args!("failed {error}"));
            ExitCode::FAILURE
        }
    }
}

/// With nobody to listen, the run was killed, and its broker perhaps with it: nothing is worth waiting for any more.
fn tell(event: fmt::Arguments<'_>) {
    log::info!("etl: {event}");
    if writeln!(io::stdout(), "{event}").is_err() {
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let orders =
        Orders::read(&mut io::stdin().lock()).map_err(|error| krs::Error::state(format!("no orders: {error}")))?;
    let leave = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&leave);
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        tell(format_args!("leaving"));
        asked.store(true, Ordering::Relaxed);
    });

    let mut config = Config::new();
    for (name, value) in &orders.properties {
        config = config.set(name, value)?;
    }
    let work = Arc::new(Work::new(Producer::connect(&config)?));
    let mut consumer = Consumer::connect(&config)?;
    let listener = Arc::clone(&work);
    consumer.subscribe_with([&orders.from], move |consumer, event| listener.follow(consumer, event))?;
    tell(format_args!("started"));

    let mut last = Instant::now();
    while !leave.load(Ordering::Relaxed) {
        match consumer.poll(POLL) {
            Ok(records) => {
                for record in &records {
                    let mut copy = Record::to(&orders.to).partition(record.partition());
                    if let Some(key) = record.key() {
                        copy = copy.key(key);
                    }
                    if let Some(value) = record.value() {
                        copy = copy.value(value);
                    }
                    work.producer.post(copy)?;
                }
                work.moved.fetch_add(records.len() as u64, Ordering::Relaxed);
            }
            // What it cannot do at all it should not go on with.
            Err(error) if error.kind() == ErrorKind::Config => return Err(error),
            Err(error) => tell(format_args!("error {error}")),
        }
        if last.elapsed() >= COMMIT && work.is_uncommitted() {
            work.commit(&consumer);
            last = Instant::now();
        }
    }
    consumer.close(CLOSE)?;
    let work = Arc::into_inner(work).ok_or_else(|| krs::Error::state("the listener outlives its consumer"))?;
    work.producer.close(CLOSE)
}

struct Work {
    producer: Producer,
    /// Records since the start.
    moved: AtomicU64,
    /// How many of them need no commit any more: it is done, or others have the partitions.
    settled: AtomicU64,
}

impl Work {
    fn new(producer: Producer) -> Self {
        Self { producer, moved: AtomicU64::new(0), settled: AtomicU64::new(0) }
    }

    fn is_uncommitted(&self) -> bool {
        self.moved.load(Ordering::Relaxed) > self.settled.load(Ordering::Relaxed)
    }

    fn follow(&self, consumer: &Consumer, event: &Rebalance) {
        let moved = self.moved.load(Ordering::Relaxed);
        match event {
            Rebalance::Assigned(partitions) => tell(format_args!("assigned {}", partitions.len())),
            Rebalance::Revoked(partitions) => {
                let done = self.commit(consumer);
                tell(format_args!("revoked {} {done} moved {moved}", partitions.len()));
            }
            Rebalance::Lost(partitions) => {
                self.settled.store(moved, Ordering::Relaxed);
                tell(format_args!("lost {} moved {moved}", partitions.len()));
            }
        }
    }

    /// Delivers, then commits. What was not delivered must not be committed, so a member that cannot deliver ends.
    fn commit(&self, consumer: &Consumer) -> bool {
        let flushed = self.producer.flush(FLUSH);
        let counters = self.producer.counters();
        if flushed.is_err() || counters.failed + counters.unknown > 0 {
            tell(format_args!("failed to deliver: {flushed:?}, {counters:?}"));
            std::process::exit(1);
        }
        match consumer.commit() {
            Ok(()) => {
                self.settled.store(self.moved.load(Ordering::Relaxed), Ordering::Relaxed);
                true
            }
            Err(error) => {
                tell(format_args!("uncommitted {error}"));
                false
            }
        }
    }
}
