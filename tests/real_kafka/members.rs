//! A group of our consumers, each on a thread of its own, and what each of them sees.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use krs::{Admin, Config, Consumer, Producer, Rebalance, Record};

use crate::support::{LONG, unique};

/// How a group shares its partitions out: settings of its members.
#[derive(Clone, Copy)]
pub struct Mode {
    pub name: &'static str,
    pub settings: &'static [(&'static str, &'static str)],
}

pub const RANGE: Mode = Mode { name: "range", settings: &[("partition.assignment.strategy", "range")] };
pub const COOPERATIVE: Mode =
    Mode { name: "cooperative-sticky", settings: &[("partition.assignment.strategy", "cooperative-sticky")] };
pub const CONSUMER: Mode = Mode { name: "KIP-848", settings: &[("group.protocol", "consumer")] };

impl Mode {
    /// Whether the settings of the classic protocol apply.
    pub fn is_classic(&self) -> bool {
        self.name != CONSUMER.name
    }
}

/// A record that came: when, from where.
#[derive(Clone, Copy)]
pub struct Arrival {
    pub at: Instant,
    pub partition: i32,
    pub offset: i64,
}

/// What a member has seen.
#[derive(Default)]
pub struct Seen {
    pub held: BTreeSet<i32>,
    /// Every rebalance that it was told of.
    pub events: Vec<(Instant, Rebalance)>,
    pub records: Vec<Arrival>,
}

type Shared = Arc<(Mutex<Vec<Seen>>, Condvar)>;

/// A group of one topic, and its members in this process. They commit what they have read.
pub struct Group {
    pub id: String,
    pub mode: Mode,
    config: Config,
    admin: Admin,
    topic: String,
    members: Vec<(Arc<AtomicBool>, Option<JoinHandle<Instant>>)>,
    seen: Shared,
}

impl Group {
    pub fn new(config: &Config, topic: &str, mode: Mode, classic: &[(&str, &str)]) -> Self {
        let id = unique(mode.name);
        let admin = Admin::connect(config).unwrap();
        let classic = if mode.is_classic() { classic } else { &[] };
        let settings = [&[("group.id", id.as_str()), ("auto.offset.reset", "earliest")], mode.settings, classic];
        let settings = settings.concat();
        let config =
            settings.into_iter().fold(config.clone(), |config, (name, value)| config.set(name, value).unwrap());
        Self { id, mode, config, admin, topic: topic.to_owned(), members: Vec::new(), seen: Shared::default() }
    }

    /// A further member; its number.
    pub fn join(&mut self) -> usize {
        let number = self.members.len();
        lock(&self.seen).push(Seen::default());
        let leaving = Arc::new(AtomicBool::new(false));
        let (stop, seen) = (Arc::clone(&leaving), Arc::clone(&self.seen));
        let (config, topic) = (self.config.clone(), self.topic.clone());
        let member = thread::Builder::new().name(format!("{}-{number}", self.mode.name));
        let member = member.spawn(move || take_part(&config, &topic, number, &seen, &stop)).unwrap();
        self.members.push((leaving, Some(member)));
        number
    }

    /// Has a member leave, and waits for that; when it began to.
    pub fn leave(&mut self, number: usize) -> Instant {
        let (leaving, thread) = &mut self.members[number];
        leaving.store(true, Ordering::Relaxed);
        let left = thread.take().unwrap().join();
        lock(&self.seen)[number].held.clear();
        left.unwrap_or_else(|_| panic!("member {number} of {} failed", self.mode.name))
    }

    /// Waits until what the members have seen gives an answer.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, limit: Duration, mut answer: impl FnMut(&[Seen]) -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        let mut seen = lock(&self.seen);
        loop {
            if let Some(answer) = answer(&seen) {
                return answer;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero()
                || self.members.iter().any(|(_, thread)| thread.as_ref().is_some_and(|it| it.is_finished()))
            {
                let held: Vec<_> = seen.iter().map(|seen| (&seen.held, seen.records.len(), &seen.events)).collect();
                panic!("{}: waiting for {what} in vain: {held:?}", self.mode.name);
            }
            seen = self.seen.1.wait_timeout(seen, left.min(POLL)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the members hold these numbers of partitions, those that left included.
    #[track_caller]
    pub fn wait_for_shares(&self, shares: &[usize]) {
        self.wait(&format!("shares of {shares:?}"), LONG, |seen| {
            seen.iter().map(|seen| seen.held.len()).eq(shares.iter().copied()).then_some(())
        });
        self.wait_until_stable();
    }

    /// Waits until the coordinator calls the group stable, with everyone told of it.
    #[track_caller]
    pub fn wait_until_stable(&self) {
        self.wait("a stable group", LONG, |_| {
            let group = self.admin.describe_groups(&[&self.id]).remove(0);
            group.is_ok_and(|group| group.state == "Stable").then_some(())
        });
    }

    /// When the members together came to hold all of so many partitions; the last that was told of any.
    #[track_caller]
    pub fn wait_until_all_are_held(&self, partitions: usize, limit: Duration) -> Instant {
        self.wait("all partitions", limit, |seen| {
            let held: BTreeSet<i32> = seen.iter().flat_map(|seen| seen.held.iter().copied()).collect();
            let last = seen.iter().flat_map(|seen| seen.events.iter().map(|(at, _)| *at)).max();
            last.filter(|_| held.len() == partitions)
        })
    }

    /// How many rebalances the members were told of, together.
    pub fn events(&self) -> usize {
        lock(&self.seen).iter().map(|seen| seen.events.len()).sum()
    }

    /// The offsets that the members have read, by partition, in the order in which each member read them.
    pub fn offsets(&self) -> BTreeMap<i32, Vec<i64>> {
        let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for record in lock(&self.seen).iter().flat_map(|seen| &seen.records) {
            offsets.entry(record.partition).or_default().push(record.offset);
        }
        offsets
    }

    pub fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        lock(&self.seen)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for (leaving, thread) in &mut self.members {
            leaving.store(true, Ordering::Relaxed);
            if let Some(thread) = thread.take() {
                // Its failure is told already, or a test fails for another reason.
                let _ = thread.join();
            }
        }
    }
}

const POLL: Duration = Duration::from_millis(50);

/// One member, until it is to leave; when that began. In the end it must have read up to its positions, and have committed
/// those.
fn take_part(config: &Config, topic: &str, number: usize, seen: &Shared, leaving: &AtomicBool) -> Instant {
    let mut consumer = Consumer::connect(config).unwrap();
    let told = Arc::clone(seen);
    let listener = move |consumer: &mut Consumer, rebalance: &Rebalance| {
        if let Rebalance::Revoked(_) = rebalance {
            consumer.commit().unwrap();
        }
        let mut seen = lock(&told);
        let seen = &mut seen[number];
        match rebalance {
            Rebalance::Assigned(given) => seen.held.extend(given.iter().map(|at| at.partition)),
            Rebalance::Revoked(taken) | Rebalance::Lost(taken) => {
                taken.iter().for_each(|at| _ = seen.held.remove(&at.partition));
            }
        }
        seen.events.push((Instant::now(), rebalance.clone()));
        told.1.notify_all();
    };
    consumer.subscribe_with([topic], listener).unwrap();
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    while !leaving.load(Ordering::Relaxed) {
        let records = consumer.poll(POLL).unwrap();
        if records.is_empty() {
            continue;
        }
        let at = Instant::now();
        next.extend(records.iter().map(|record| (record.partition(), record.offset() + 1)));
        lock(seen)[number].records.extend(records.iter().map(|record| Arrival {
            at,
            partition: record.partition(),
            offset: record.offset(),
        }));
        seen.1.notify_all();
        drop(records);
        consumer.commit_async().unwrap();
    }
    let held = consumer.assignment();
    // Of a partition that has just come it is still to be learned, and before that there is nothing to commit.
    let positions: Vec<i64> = held.iter().map(|partition| consumer.position(partition).unwrap()).collect();
    consumer.commit().unwrap();
    let committed = consumer.committed(&held).unwrap();
    for ((partition, position), committed) in held.iter().zip(positions).zip(committed) {
        if let Some(next) = next.get(&partition.partition) {
            assert!(position >= *next, "{partition}: consumed to {next}, at {position}");
        }
        assert_eq!(committed, Some(position), "{partition}: what is committed");
    }
    let begin = Instant::now();
    consumer.close(LONG).unwrap();
    begin
}

fn lock(seen: &Shared) -> MutexGuard<'_, Vec<Seen>> {
    seen.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records for each partition of a topic, steadily.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<i64>>,
}

impl Load {
    /// One record for each partition per interval. None may be lost.
    pub fn start(config: &Config, topic: &str, partitions: Range<i32>, interval: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let producer = Producer::connect(&config.clone().set("message.timeout.ms", 60_000).unwrap()).unwrap();
        let (topic, stopping) = (topic.to_owned(), Arc::clone(&stop));
        let send = move || {
            let mut sent = 0;
            while !stopping.load(Ordering::Relaxed) {
                for partition in partitions.clone() {
                    producer.send(Record::to(&topic).partition(partition).value(b"0123456789")).unwrap();
                }
                sent += 1;
                thread::sleep(interval);
            }
            producer.flush(LONG * 2).unwrap();
            let counters = producer.counters();
            assert_eq!((counters.failed, counters.unknown), (0, 0), "of {sent} records for each partition");
            producer.close(LONG).unwrap();
            sent
        };
        Self { stop, thread: Some(thread::spawn(send)) }
    }

    /// How many records each partition was sent.
    pub fn stop(mut self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().expect("a load")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
