//! What the brokers of one process share: who they are, the topics, and where everything is led.
//!
//! Locks are taken in the order groups, configs, nodes, topics, a partition's state; none of them while another partition's is held.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::Options;
use super::call::Doorbell;
use super::config::levels::BrokerConfigs;
use super::config::{TopicConfig, TopicSettings};
use super::groups::{self, Found, Groups};
use super::partition::{Partition, Refused};
use super::sessions::Sessions;
use super::versions::Offered;
use crate::kafka::protocol::{ErrorCode, Uuid};
use crate::sync::{lock, read, write};

/// The shared state of all brokers.
pub(super) struct Cluster {
    pub(super) options: Options,
    /// The versions of each API that are offered.
    pub(super) offered: Offered,
    pub(super) id: String,
    /// Changed through [`with_groups`](Self::with_groups).
    pub(super) groups: Mutex<Groups>,
    /// What brokers were set to while they run. Held over every change of a topic's settings too.
    pub(super) configs: Mutex<BrokerConfigs>,
    nodes: Mutex<BTreeMap<i32, Node>>,
    topics: RwLock<Topics>,
    pub(super) sessions: Mutex<Sessions>,
    /// Wakes the thread that does what falls due.
    pub(super) timer: Doorbell,
    next_producer_id: AtomicI64,
    /// Memory that all logs hold, in bytes.
    stored: AtomicUsize,
    /// Spreads the leaders of the next topic.
    spread: AtomicU32,
}

/// A broker, as clients are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: i32,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) up: bool,
}

#[derive(Default)]
struct Topics {
    by_name: BTreeMap<String, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
}

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) id: Uuid,
    /// By index; only ever grows.
    partitions: RwLock<Vec<Arc<Partition>>>,
    config: RwLock<TopicConfig>,
}

/// A topic to be made, as a request describes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// The replicas of each partition, the first of which leads.
    pub(super) replicas: Vec<Vec<i32>>,
    pub(super) config: TopicConfig,
}

impl Topic {
    pub(super) fn partitions(&self) -> Vec<Arc<Partition>> {
        read(&self.partitions).clone()
    }

    pub(super) fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        read(&self.partitions).get(usize::try_from(index).ok()?).cloned()
    }

    pub(super) fn partition_count(&self) -> usize {
        read(&self.partitions).len()
    }

    /// Adds partitions with these replicas, of which those at the brokers that are down are not in sync. Nothing
    /// happens if there are not as many as `before` any more.
    pub(super) fn grow(&self, before: usize, replicas: Vec<Vec<i32>>, down: &[i32]) -> bool {
        let mut partitions = write(&self.partitions);
        if partitions.len() != before {
            return false;
        }
        for (replicas, index) in replicas.into_iter().zip(before as i32..) {
            partitions.push(Arc::new(Partition::new(index, replicas, down)));
        }
        true
    }

    pub(super) fn settings(&self) -> TopicSettings {
        read(&self.config).settings.clone()
    }

    pub(super) fn config(&self) -> TopicConfig {
        read(&self.config).clone()
    }

    pub(super) fn configure(&self, config: TopicConfig) {
        *write(&self.config) = config;
    }
}

impl Cluster {
    pub(super) fn new(options: Options) -> Self {
        let offered = Offered::by(options.version);
        let groups = Mutex::new(Groups::new(options.groups.clone()));
        let configs = Mutex::new(BrokerConfigs::new(options.version));
        Self {
            options,
            groups,
            offered,
            id: random_uuid().to_string(),
            configs,
            nodes: Mutex::default(),
            topics: RwLock::default(),
            sessions: Mutex::default(),
            timer: Doorbell::default(),
            next_producer_id: AtomicI64::new(0),
            stored: AtomicUsize::new(0),
            spread: AtomicU32::new(0),
        }
    }

    /// A broker came up at this address, for the first time or again: it takes part, and leads what has no leader.
    pub(super) fn node_up(&self, node: Node) {
        let id = node.id;
        lock(&self.nodes).insert(id, node);
        self.for_each_partition(|partition| {
            let mut state = partition.state();
            if state.replicas.contains(&id) {
                if state.leader.is_none() {
                    state.in_sync = vec![id];
                    state.lead(Some(id));
                } else if !state.in_sync.contains(&id) {
                    state.in_sync.push(id);
                }
            }
        });
    }

    /// A broker went down: another replica leads in its place, where there is one.
    pub(super) fn node_down(&self, id: i32) {
        if let Some(node) = lock(&self.nodes).get_mut(&id) {
            node.up = false;
        }
        self.for_each_partition(|partition| {
            let mut state = partition.state();
            if state.in_sync.len() > 1 {
                state.in_sync.retain(|node| *node != id);
            }
            if state.leader == Some(id) {
                let next = state.in_sync.iter().copied().find(|node| *node != id);
                state.lead(next);
            }
        });
    }

    /// The brokers that are up, by id.
    pub(super) fn nodes(&self) -> Vec<Node> {
        lock(&self.nodes).values().filter(|node| node.up).cloned().collect()
    }

    pub(super) fn node(&self, id: i32) -> Option<Node> {
        lock(&self.nodes).get(&id).filter(|node| node.up).cloned()
    }

    /// Who answers for the cluster as a whole; -1 if nobody is up.
    pub(super) fn controller(&self) -> i32 {
        self.nodes().first().map_or(-1, |node| node.id)
    }

    /// Who coordinates this group.
    pub(super) fn coordinator(&self, group: &str) -> Option<Node> {
        let nodes = self.nodes();
        let hash = group.bytes().fold(0u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let at = hash as usize % nodes.len().max(1);
        nodes.into_iter().nth(at)
    }

    /// Works on the groups, now, and sees to it that the timer knows when something there ends.
    pub(super) fn with_groups<T>(&self, work: impl FnOnce(&mut Groups, Instant) -> T) -> T {
        let mut groups = lock(&self.groups);
        let result = work(&mut groups, Instant::now());
        if groups.hurries() {
            self.timer.ring();
        }
        result
    }

    pub(super) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        read(&self.topics).by_name.get(name).cloned()
    }

    pub(super) fn topic_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        read(&self.topics).by_id.get(&id).cloned()
    }

    /// By name.
    pub(super) fn topics(&self) -> Vec<Arc<Topic>> {
        read(&self.topics).by_name.values().cloned().collect()
    }

    /// The replicas of `partitions` more partitions, spread over the brokers; those that are up come first.
    ///
    /// # Errors
    /// INVALID_REPLICATION_FACTOR: there are not so many brokers.
    pub(super) fn place(&self, partitions: usize, replicas: usize) -> Result<Vec<Vec<i32>>, Refused> {
        let (up, down) = self.ids();
        let registered = up.len() + down.len();
        if replicas > registered || up.is_empty() {
            let text = format!(
                "The target replication factor of {replicas} cannot be reached because only {registered} broker(s) are \
                 registered or some brokers have all their log directories cordoned."
            );
            return Err(Refused::new(ErrorCode::INVALID_REPLICATION_FACTOR, text));
        }
        let first = self.spread.fetch_add(1, Ordering::Relaxed) as usize;
        let place = |index: usize| {
            let up = (0..up.len()).map(|n| up[(first + index + n) % up.len()]);
            up.chain(down.iter().copied()).take(replicas).collect()
        };
        Ok((0..partitions).map(place).collect())
    }

    /// The ids of the brokers that are up, and of those that were.
    pub(super) fn ids(&self) -> (Vec<i32>, Vec<i32>) {
        let nodes = lock(&self.nodes);
        let (up, down): (Vec<&Node>, Vec<&Node>) = nodes.values().partition(|node| node.up);
        let ids = |nodes: Vec<&Node>| nodes.into_iter().map(|node| node.id).collect();
        (ids(up), ids(down))
    }

    /// All brokers that ever were up, by id.
    pub(super) fn registered(&self) -> Vec<Node> {
        lock(&self.nodes).values().cloned().collect()
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// TOPIC_ALREADY_EXISTS.
    pub(super) fn create_topic(&self, wanted: Wanted) -> Result<Arc<Topic>, Refused> {
        self.add_topic(random_uuid(), wanted)
    }

    fn add_topic(&self, id: Uuid, wanted: Wanted) -> Result<Arc<Topic>, Refused> {
        let configs = lock(&self.configs);
        let (_, down) = self.ids();
        let mut topics = write(&self.topics);
        if topics.by_name.contains_key(&wanted.name) {
            return Err(already_exists(&wanted.name));
        }
        let topic = Arc::new(Topic {
            name: wanted.name,
            id,
            partitions: RwLock::default(),
            config: RwLock::new(wanted.config.under(&configs.inherited(self.options.brokers))),
        });
        topic.grow(0, wanted.replicas, &down);
        topics.by_name.insert(topic.name.clone(), Arc::clone(&topic));
        topics.by_id.insert(id, Arc::clone(&topic));
        Ok(topic)
    }

    /// Takes a topic away, with all that is in it and all positions in it; whoever waits for its records is woken.
    pub(super) fn delete_topic(&self, topic: &Topic) {
        {
            let mut topics = write(&self.topics);
            topics.by_name.remove(&topic.name);
            topics.by_id.remove(&topic.id);
        }
        for partition in topic.partitions() {
            let mut state = partition.state();
            state.gone = true;
            let size = state.log.size();
            let end = state.log.end();
            state.log.delete_before(end);
            let left = state.log.size();
            state.wake();
            drop(state);
            self.shrunk(size - left);
        }
        lock(&self.groups).topic_deleted(&topic.name);
    }

    /// An id that no producer has.
    pub(super) fn new_producer_id(&self) -> i64 {
        self.next_producer_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Logs grew by so many bytes: beyond the limit of the process the oldest batches go.
    pub(super) fn grown(&self, bytes: usize) {
        let stored = self.stored.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let limit = self.options.retention_bytes;
        if stored > limit {
            // A little more than necessary, so that it need not be done again at once.
            self.drop_oldest(stored - limit + limit / 16);
        }
    }

    /// Memory that all logs hold, in bytes.
    pub(super) fn stored(&self) -> usize {
        self.stored.load(Ordering::Relaxed)
    }

    /// A topic whose name cannot be told from this one where dots become underscores, as in the names of metrics.
    pub(super) fn colliding(&self, name: &str) -> Option<String> {
        let plain = |name: &str| name.replace('.', "_");
        if !name.contains(['.', '_']) {
            return None;
        }
        read(&self.topics).by_name.keys().find(|other| plain(other) == plain(name)).cloned()
    }

    fn shrunk(&self, bytes: usize) {
        self.stored.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes away the oldest batches of the process until so many bytes are free.
    fn drop_oldest(&self, mut excess: usize) {
        let mut partitions = Vec::new();
        self.for_each_partition(|partition| partitions.push(Arc::clone(partition)));
        let oldest = |partition: &Partition| partition.state().log.oldest().map(|stored| stored.appended_at);
        let mut heap: BinaryHeap<Reverse<(i64, usize)>> = partitions
            .iter()
            .enumerate()
            .filter_map(|(at, partition)| oldest(partition).map(|age| Reverse((age, at))))
            .collect();
        while let Some(Reverse((_, at))) = heap.pop()
            && excess > 0
        {
            let mut state = partitions[at].state();
            let before = state.log.size();
            state.log.drop_oldest();
            let freed = before - state.log.size();
            let next = state.log.oldest().map(|stored| stored.appended_at);
            drop(state);
            self.shrunk(freed);
            excess = excess.saturating_sub(freed);
            heap.extend(next.map(|age| Reverse((age, at))));
        }
    }

    /// Forgets what is older than its topic keeps it, or more than its topic keeps, and producers that have gone.
    pub(super) fn clean(&self, now: i64) {
        for topic in self.topics() {
            let settings = topic.settings();
            for partition in topic.partitions() {
                let mut state = partition.state();
                state.producers.expire(now);
                let before = state.log.size();
                let too_old = |time: i64| settings.retention_ms.is_some_and(|kept| time < now.saturating_sub(kept));
                while state.log.oldest().is_some_and(|oldest| {
                    settings.delete
                        && (too_old(oldest.max_timestamp)
                            || settings.retention_bytes.is_some_and(|kept| state.log.size() > kept))
                }) {
                    state.log.drop_oldest();
                }
                let freed = before - state.log.size();
                drop(state);
                self.shrunk(freed);
            }
        }
    }

    /// Moves the start of a partition's log up, and tells where it is then.
    pub(super) fn delete_records(&self, partition: &Partition, before: i64) -> i64 {
        let mut state = partition.state();
        let size = state.log.size();
        state.log.delete_before(before);
        let (freed, start) = (size - state.log.size(), state.log.start());
        drop(state);
        self.shrunk(freed);
        start
    }

    fn for_each_partition(&self, mut visit: impl FnMut(&Arc<Partition>)) {
        for topic in self.topics() {
            topic.partitions().iter().for_each(&mut visit);
        }
    }
}

impl groups::Topics for Cluster {
    fn find(&self, topic: &str) -> Option<Found> {
        let topic = self.topic(topic)?;
        Some(Found { id: topic.id, partitions: topic.partition_count() as i32 })
    }

    fn name_of(&self, id: Uuid) -> Option<String> {
        self.topic_by_id(id).map(|topic| topic.name.clone())
    }
}

/// Kafka's own topics.
pub(super) fn is_internal(name: &str) -> bool {
    ["__consumer_offsets", "__transaction_state", "__share_group_state"].contains(&name)
}

pub(super) fn already_exists(name: &str) -> Refused {
    Refused::new(ErrorCode::TOPIC_ALREADY_EXISTS, format!("Topic '{name}' already exists."))
}

/// The refusal of a name, for the reason that [`bad_topic_name`] tells.
pub(super) fn bad_name(why: &str) -> Refused {
    Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, format!("Topic name is invalid: {why}"))
}

/// Why a name is no topic's, if it is not.
pub(super) fn bad_topic_name(name: &str) -> Option<String> {
    const LONGEST: usize = 249;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() {
        Some("the empty string is not allowed".to_owned())
    } else if name == "." || name == ".." {
        Some(format!("'{name}' is not allowed"))
    } else if name.len() > LONGEST {
        Some(format!("the length of '{name}' is longer than the max allowed length {LONGEST}"))
    } else if !name.bytes().all(legal) {
        Some(format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"))
    } else {
        None
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// An id like those that Kafka makes: random, and not beginning with a dash in its text form.
pub(super) fn random_uuid() -> Uuid {
    use std::hash::{BuildHasher, Hasher, RandomState};
    loop {
        // RandomState is seeded by the system, and two of them in one thread differ.
        let half = || RandomState::new().build_hasher().finish().to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&half());
        bytes[8..].copy_from_slice(&half());
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let id = Uuid(bytes);
        if !id.to_string().starts_with('-') {
            return id;
        }
    }
}
