//! Scripted Kafka: brokers in the test's own process that do exactly what a test says.
//!
//! Real TCP on ephemeral loopback ports and the real protocol; topics, leaders and logs are in memory and shared by the
//! brokers of one [`Scripted`] cluster. A test's script sees each request and chooses an [`Act`]. Everything is joined
//! when the cluster is dropped.
#![allow(dead_code, reason = "each test program uses another part of it")]

mod broker;
mod log;
pub mod port;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use krs::Config;
use krs::kafka::protocol::{ApiKey, ErrorCode};

use self::broker::Broker;
pub use self::log::{Appended, Log};

/// No wait of a test that works comes near this.
pub const LONG: Duration = Duration::from_secs(30);

/// A cluster of scripted brokers, with node ids from 1.
pub struct Scripted {
    state: Arc<State>,
    brokers: Mutex<Vec<Broker>>,
}

/// One request, as a script sees it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub node: i32,
    pub api: ApiKey,
    /// How many requests of this API the cluster had handled before.
    pub nth: usize,
    /// Of a Produce request: what it carries, as topic and partition.
    pub partitions: Vec<(String, i32)>,
    /// Of a Produce request: the first bytes of its records, enough to find a text in.
    pub payload: String,
}

/// What a broker does with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// What Kafka would do.
    Usual,
    /// Answers Produce with this code for each partition, or InitProducerId or Metadata's topics; nothing is appended.
    Refuse(ErrorCode),
    /// Appends all the same.
    RefuseAfterAppend(ErrorCode),
    /// Closes the connection; nothing is appended.
    Drop,
    /// Does its work and closes the connection in place of an answer.
    DropAfter,
    /// Does its work, and answers neither this nor anything that comes after it on the connection.
    Silence,
    /// Waits for the gate, and with it everything behind this request on the connection.
    After(Gate, Box<Act>),
    /// Does its work and sends these bytes in place of the answer.
    Raw(Vec<u8>),
    /// Does its work and answers with the correlation id changed by so much.
    Miscorrelate(i32),
}

type Script = Box<dyn Fn(&Asked) -> Act + Send + Sync>;

/// What the brokers of a cluster share.
struct State {
    script: Mutex<Arc<Script>>,
    cluster: Mutex<Cluster>,
    changed: Condvar,
}

#[derive(Default)]
struct Cluster {
    /// Where each node says it is; a stopped one is not listed.
    addresses: BTreeMap<i32, (String, u16)>,
    topics: BTreeMap<String, Vec<Partition>>,
    /// By API: requests that arrived, and those whose handling began.
    received: HashMap<ApiKey, usize>,
    handled: HashMap<ApiKey, usize>,
    connections: usize,
    next_producer_id: i64,
}

#[derive(Default)]
struct Partition {
    leader: Option<i32>,
    leader_epoch: i32,
    log: Log,
}

impl Scripted {
    /// So many brokers.
    pub fn start(brokers: i32) -> Self {
        let script: Script = Box::new(|_| Act::Usual);
        let cluster = Cluster { next_producer_id: 1000, ..Cluster::default() };
        let state = Arc::new(State {
            script: Mutex::new(Arc::new(script)),
            cluster: Mutex::new(cluster),
            changed: Condvar::new(),
        });
        let brokers = (1..=brokers).map(|node| Broker::start(node, &state)).collect();
        Self { state, brokers: Mutex::new(brokers) }
    }

    /// One broker with a topic `t` of one partition.
    pub fn single() -> Self {
        let cluster = Self::start(1);
        cluster.create("t", &[Some(1)]);
        cluster
    }

    /// Creates a topic with these leaders.
    pub fn create(&self, topic: &str, leaders: &[Option<i32>]) {
        let partitions = leaders.iter().map(|&leader| Partition { leader, ..Partition::default() }).collect();
        self.state.cluster().topics.insert(topic.to_owned(), partitions);
    }

    /// Moves a partition to another leader.
    pub fn lead(&self, topic: &str, partition: usize, leader: Option<i32>) {
        let mut cluster = self.state.cluster();
        let partition = &mut cluster.topics.get_mut(topic).expect("the topic exists")[partition];
        partition.leader = leader;
        partition.leader_epoch += 1;
    }

    /// From now on requests are handled by this script. It runs without any lock held.
    pub fn script(&self, script: impl Fn(&Asked) -> Act + Send + Sync + 'static) {
        *lock(&self.state.script) = Arc::new(Box::new(script));
    }

    /// Acts in this order on the Produce requests to come, and as usual on all others.
    pub fn script_produce(&self, acts: impl IntoIterator<Item = Act, IntoIter: Send + 'static>) {
        let acts = Mutex::new(acts.into_iter());
        self.script(move |asked| match asked.api {
            ApiKey::Produce => lock(&acts).next().unwrap_or(Act::Usual),
            _ => Act::Usual,
        });
    }

    /// Settings for a client of this cluster: all brokers, and short backoffs.
    pub fn config(&self) -> Config {
        let brokers = lock(&self.brokers);
        let bootstrap: Vec<_> = brokers.iter().map(Broker::address).collect();
        config(&bootstrap.join(","))
    }

    /// Where the first broker listens.
    pub fn address(&self) -> String {
        lock(&self.brokers)[0].address()
    }

    /// Has a node announce another address than its own.
    pub fn advertise(&self, node: i32, host: &str, port: u16) {
        self.state.cluster().addresses.insert(node, (host.to_owned(), port));
    }

    /// Ends a broker: its listener and its connections. The others no longer list it.
    pub fn stop(&self, node: i32) {
        lock(&self.brokers).iter_mut().find(|broker| broker.node() == node).expect("the node exists").stop();
    }

    /// Starts a stopped broker on its old port.
    pub fn restart(&self, node: i32) {
        let mut brokers = lock(&self.brokers);
        let broker = brokers.iter_mut().find(|broker| broker.node() == node).expect("the node exists");
        *broker = broker.again();
    }

    /// The values in a partition's log, in order.
    pub fn values(&self, topic: &str, partition: usize) -> Vec<String> {
        self.log(topic, partition).into_iter().map(|record| record.value).collect()
    }

    /// The records in a partition's log, in order.
    pub fn log(&self, topic: &str, partition: usize) -> Vec<Appended> {
        self.state.cluster().topics[topic][partition].log.records.clone()
    }

    /// How many requests of this API have arrived.
    pub fn received(&self, api: ApiKey) -> usize {
        self.state.cluster().received.get(&api).copied().unwrap_or_default()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.state.cluster().connections
    }

    /// Waits until so many requests of this API have arrived, handled or not.
    pub fn await_received(&self, api: ApiKey, count: usize) {
        self.state.await_that(|cluster| cluster.received.get(&api).copied().unwrap_or_default() >= count);
    }

    /// Waits until a partition's log holds so many records.
    pub fn await_records(&self, topic: &str, partition: usize, count: usize) {
        self.state.await_that(|cluster| cluster.topics[topic][partition].log.records.len() >= count);
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        lock(&self.brokers).iter_mut().for_each(Broker::stop);
    }
}

impl State {
    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        lock(&self.cluster)
    }

    fn await_that(&self, condition: impl Fn(&Cluster) -> bool) {
        let until = Instant::now() + LONG;
        let mut cluster = self.cluster();
        while !condition(&cluster) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "what the test waits for does not happen");
            cluster = self.changed.wait_timeout(cluster, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Holds requests back until it is opened.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// What is done once it is open.
    pub fn then(&self, act: Act) -> Act {
        Act::After(self.clone(), Box::new(act))
    }

    pub fn open(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open, or the broker stops.
    fn pass(&self, stopping: &AtomicBool) {
        let mut open = lock(&self.0.0);
        while !*open && !stopping.load(Ordering::SeqCst) {
            open = self.0.1.wait_timeout(open, Duration::from_millis(10)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Settings for a client of these brokers, with short backoffs.
pub fn config(bootstrap: &str) -> Config {
    [
        ("retry.backoff.ms", 2),
        ("retry.backoff.max.ms", 20),
        ("reconnect.backoff.ms", 2),
        ("reconnect.backoff.max.ms", 20),
    ]
    .into_iter()
    .try_fold(Config::new(), |config, (name, value)| config.set(name, value))
    .and_then(|config| config.set("bootstrap.servers", bootstrap))
    .expect("these settings are possible")
}

/// Adds settings.
pub fn with(config: Config, settings: &[(&str, &str)]) -> Config {
    settings
        .iter()
        .try_fold(config, |config, (name, value)| config.set(name, value))
        .expect("the test's settings are possible")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
