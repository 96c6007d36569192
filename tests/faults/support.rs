//! Brokers, settings, and tables of faults that are worked through side by side.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use krs::devbroker::{DevBroker, Fault, FaultId, Options};
use krs::{Admin, Config, NewTopic, TopicPartition};

/// So many brokers there are unless a test changes it.
const BROKERS: i32 = 2;

/// No wait of a test that works comes near this.
pub const LONG: Duration = Duration::from_secs(30);

/// What a call may take beyond its own limit before it counts as late. The machine may be busy.
pub const SLACK: Duration = Duration::from_secs(10);

/// Partitions of the topic `t`.
pub const PARTITIONS: i32 = 3;

/// So many trials of a table run at once: they wait more than they work.
const AT_ONCE: usize = 12;

/// What breaks the way of a request or of its answer.
pub const BREAKS: [&str; 6] = ["drop", "drop-inside", "drop-after", "truncate", "truncate=2", "truncate=6"];

/// Two brokers with the topic `t`, whose partitions they lead in turn.
pub fn kafka() -> DevBroker {
    kafka_with(|_| {})
}

/// The same with other options.
pub fn kafka_with(change: impl FnOnce(&mut Options)) -> DevBroker {
    start(1, change)
}

/// The same with so many replicas of each partition.
pub fn kafka_replicated(replicas: i16) -> DevBroker {
    start(replicas, |_| {})
}

/// Both.
pub fn kafka_with_replicas(replicas: i16, change: impl FnOnce(&mut Options)) -> DevBroker {
    start(replicas, change)
}

fn start(replication_factor: i16, change: impl FnOnce(&mut Options)) -> DevBroker {
    let mut options = Options::default();
    options.brokers = BROKERS;
    options.auto_create_topics = false;
    change(&mut options);
    let broker = DevBroker::start(options).unwrap();
    let topic = NewTopic { name: "t", partitions: PARTITIONS, replication_factor, configs: &[] };
    Admin::connect(&config(&broker)).unwrap().create_topic(&topic).unwrap();
    broker
}

/// Stops all brokers. Their ports refuse connections for as long as `broker` is there, and belong to nobody else.
pub fn stop_all(broker: &DevBroker) {
    (1..=BROKERS).for_each(|node| broker.stop_broker(node).unwrap());
}

/// Settings for a client of these brokers, with short backoffs.
pub fn config(broker: &DevBroker) -> Config {
    let short = [
        ("retry.backoff.ms", "2"),
        ("retry.backoff.max.ms", "20"),
        ("reconnect.backoff.ms", "2"),
        ("reconnect.backoff.max.ms", "20"),
    ];
    with(Config::new(), &[("bootstrap.servers", &broker.bootstrap())]).and(&short)
}

/// Adds settings.
pub fn with(config: Config, settings: &[(&str, &str)]) -> Config {
    settings
        .iter()
        .try_fold(config, |config, (name, value)| config.set(name, value))
        .expect("the test's settings are possible")
}

pub trait Settings {
    /// Adds settings.
    fn and(self, settings: &[(&str, &str)]) -> Config;
}

impl Settings for Config {
    fn and(self, settings: &[(&str, &str)]) -> Config {
        with(self, settings)
    }
}

pub fn inject(broker: &DevBroker, fault: &str) -> FaultId {
    broker.inject(fault.parse::<Fault>().unwrap()).unwrap()
}

pub fn partition(index: i32) -> TopicPartition {
    TopicPartition::new("t", index)
}

pub fn all_partitions() -> Vec<TopicPartition> {
    (0..PARTITIONS).map(partition).collect()
}

/// Runs a trial for each row of a table, several at a time. Tells of every row that failed, not only the first.
pub fn each<R: Sync + Debug>(rows: &[R], trial: impl Fn(&R) + Sync) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(rows.len()) {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if catch_unwind(AssertUnwindSafe(|| trial(row))).is_err() {
                        failed.lock().unwrap().push(format!("{row:?}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} rows failed, see above:\n{}", failed.len(), rows.len(), failed.join("\n"));
}

/// Does something that has a limit of its own, and sees to it that the limit is kept.
pub fn within<T>(limit: Duration, what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    assert!(begun.elapsed() < limit + SLACK, "{what} took {:?} where {limit:?} were given", begun.elapsed());
    done
}
