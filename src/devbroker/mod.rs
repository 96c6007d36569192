//! The development broker: Kafka's protocol served from within this process.
//!
//! For trying things out and for tests. It answers as Apache Kafka answers, over real TCP, to any client; what it keeps
//! is in memory, and on disk too if it is given a directory for that. It is no replacement for Kafka: one process, no replication, no security.
//!
//! ```
//! use krs::devbroker::{DevBroker, Options};
//!
//! # fn main() -> krs::Result<()> {
//! let broker = DevBroker::start(Options::default())?; // a free port of 127.0.0.1
//! let config = krs::Config::new().set("bootstrap.servers", broker.bootstrap())?;
//! let producer = krs::Producer::connect(&config)?;
//! # drop(producer);
//! broker.stop();
//! # Ok(()) }
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `server.rs` | listeners, connections and their threads |
//! | `call.rs` | a request on its way: who asks, how an answer is waited for |
//! | `handlers/` | one file per API, over the same messages as the client's |
//! | `cluster.rs` | what all brokers of the process share: nodes, topics, leaders |
//! | `partition.rs`, `log.rs`, `producers.rs` | one partition: who may write, what is there, whose sequence is next |
//! | `brokers.rs` | which of the brokers are up; stopping and starting them |
//! | `faults/`, `control.rs` | what goes wrong on purpose; what can be done to running brokers |
//! | `moves.rs` | which broker coordinates which group; moving leaders and coordinators |
//! | `sessions.rs` | fetch sessions (KIP-227) |
//! | `groups/` | consumer groups and their positions |
//! | `storage/` | what is kept on disk, and how it comes back |
//! | `config/`, `versions.rs` | settings of topics and brokers; which versions are offered |
//!
//! It uses the layers `protocol`, `record` and `net`, the words of `config` for what is wrongly written, and nothing else of
//! the client.

mod brokers;
mod call;
mod cluster;
mod config;
mod control;
mod faults;
mod groups;
mod handlers;
mod log;
mod moves;
mod partition;
mod producers;
mod server;
mod sessions;
mod storage;
mod versions;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use self::faults::{Fault, FaultId};
pub use self::groups::GroupOptions;
#[doc(hidden)]
pub use self::storage::fuzz;
pub use self::versions::Version;

use self::brokers::Brokers;
use self::call::Woken;
use self::cluster::Cluster;
use self::faults::Timed;
use crate::Result;
use crate::kafka::threads;
use crate::sync::lock;

/// How often the logs are looked through for what their topics no longer keep (`log.retention.check.interval.ms`).
const CLEANING: Duration = Duration::from_secs(300);

/// What a broker is started with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The address to listen at, a name or a number. Default `127.0.0.1`.
    pub host: String,
    /// The first broker's port; the others take the ones behind it. 0, the default, gives each a free one.
    pub port: u16,
    /// What clients are told to connect to in place of `host`. Default: `host`, or `localhost` if that is every address.
    pub advertised_host: Option<String>,
    /// Brokers in this process, with node ids from 1. Default 1.
    pub brokers: i32,
    /// The racks of the brokers, the first one's first (`broker.rack`). With any, consumers that say which rack they are in
    /// are sent to a replica there, as by Kafka's `RackAwareReplicaSelector` (KIP-392). Default none.
    pub racks: Vec<String>,
    /// Partitions of a topic that is created without saying how many (`num.partitions`). Default 3.
    pub partitions: i32,
    /// Whether asking for an unknown topic creates it, if the client allows that too (`auto.create.topics.enable`).
    /// Default true, as in Kafka.
    pub auto_create_topics: bool,
    /// Bytes that all logs together may hold; beyond, the oldest batches go. Default 256 MiB.
    pub retention_bytes: usize,
    /// Where topics, logs, committed offsets and producers are kept, to be there again at the next start: a directory
    /// that is missing or empty, or that an earlier broker wrote; one broker uses it at a time. Default none: everything
    /// is gone when the broker ends.
    ///
    /// What is acknowledged has been handed to the operating system, as in Kafka: it survives the end of the process,
    /// kill -9 included, but not always a loss of power. Everything is forced onto the disk when the broker is stopped,
    /// and changes of topics at once.
    pub data_dir: Option<PathBuf>,
    /// The Kafka whose versions are offered. Default 4.3.
    pub version: Version,
    /// How consumer groups are run.
    pub groups: GroupOptions,
    /// What goes wrong from the start on.
    pub faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
            advertised_host: None,
            brokers: 1,
            racks: Vec::new(),
            partitions: 3,
            auto_create_topics: true,
            retention_bytes: 256 << 20,
            data_dir: None,
            version: Version::default(),
            groups: GroupOptions::default(),
            faults: Vec::new(),
        }
    }
}

/// One or more running brokers. They end when this is dropped.
pub struct DevBroker {
    cluster: Arc<Cluster>,
    brokers: Arc<Brokers>,
    /// Faults that fall due by time.
    timed: Mutex<Vec<Timed>>,
    timer: Option<std::thread::JoinHandle<()>>,
}

impl DevBroker {
    /// Starts the brokers; they accept connections when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for an impossible option, [`ErrorKind::Io`](crate::ErrorKind::Io)
    /// for an address that cannot be listened at; either of them for a data directory that cannot be used.
    pub fn start(options: Options) -> Result<Self> {
        if !(1..=100).contains(&options.brokers) {
            return Err(crate::Error::config(format!("{} brokers: 1 to 100 are possible", options.brokers)));
        }
        if options.partitions < 1 {
            return Err(crate::Error::config(format!("{} partitions: 1 or more are possible", options.partitions)));
        }
        let faults = options.faults.clone();
        let cluster = Arc::new(Cluster::new(options)?);
        let brokers = Arc::new(Brokers::new(Arc::clone(&cluster)));
        let mut broker = Self { brokers, timed: Mutex::default(), timer: None, cluster };
        for node in broker.brokers.chosen(None) {
            broker.brokers.start(node)?;
        }
        for fault in faults {
            broker.inject(fault)?;
        }
        let cluster = Arc::clone(&broker.cluster);
        broker.timer = Some(threads::spawn("krs-broker-timer", move || keep_time(&cluster))?);
        Ok(broker)
    }

    /// The addresses of all brokers, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        let nodes = self.cluster.nodes();
        let address =
            |host: &str, port| if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        nodes.iter().map(|node| address(&node.host, node.port)).collect::<Vec<_>>().join(",")
    }

    /// Ends all connections and waits for their threads; what is kept on disk is forced onto it.
    pub fn stop(self) {}
}

impl Drop for DevBroker {
    fn drop(&mut self) {
        self.cluster.timer.close();
        self.brokers.close();
        std::mem::take(&mut *lock(&self.timed)).into_iter().for_each(Timed::end);
        if let Some(timer) = self.timer.take() {
            threads::join(timer);
        }
        self.cluster.close();
    }
}

impl std::fmt::Debug for DevBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevBroker").field("bootstrap", &self.bootstrap()).finish()
    }
}

/// Does what falls due without anybody asking.
fn keep_time(cluster: &Cluster) {
    let mut cleaning = Instant::now() + CLEANING;
    loop {
        let groups = cluster.with_groups(|groups, now| groups.tick(now, cluster));
        let next = groups.map_or(cleaning, |groups| groups.min(cleaning));
        if cluster.timer.wait(Some(next)) == Woken::Closed {
            return;
        }
        if Instant::now() >= cleaning {
            cleaning = Instant::now() + CLEANING;
            cluster.clean(cluster::now_ms());
        }
    }
}
