//! What the brokers of one process share: who they are, the topics, and where everything is led.
//!
//! Locks are taken in the order configs, changing, groups, nodes, topics, a partition's state; none of them while another
//! partition's is held.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::Options;
use super::call::Doorbell;
use super::config::levels::BrokerConfigs;
use super::config::{TopicConfig, TopicSettings};
use super::faults::Faults;
use super::groups::{self, Found, Groups};
use super::log::{Log, Stored};
use super::moves::Coordinators;
use super::partition::{Partition, Refused};
use super::sessions::Sessions;
use super::storage::{self, SavedTopic, Storage};
use super::versions::Offered;
use crate::Result;
use crate::kafka::protocol::{ErrorCode, Uuid};
use crate::sync::{lock, read, write};

/// So many producer ids are kept as given out at once.
const PRODUCER_IDS: i64 = 1000;

/// The shared state of all brokers.
pub(super) struct Cluster {
    pub(super) options: Options,
    /// The versions of each API that are offered.
    pub(super) offered: Offered,
    pub(super) id: String,
    /// Changed through [`with_groups`](Self::with_groups).
    groups: Mutex<Groups>,
    /// What brokers were set to while they run. Held over every change of a topic's settings too.
    pub(super) configs: Mutex<BrokerConfigs>,
    nodes: Mutex<BTreeMap<i32, Node>>,
    topics: RwLock<Topics>,
    pub(super) sessions: Mutex<Sessions>,
    pub(super) faults: Faults,
    pub(super) coordinators: Mutex<Coordinators>,
    /// Wakes the thread that does what falls due.
    pub(super) timer: Doorbell,
    producer_ids: Mutex<ProducerIds>,
    /// Where everything is kept; none if it is in memory only.
    storage: Option<Arc<Storage>>,
    /// Held from before a change of topics is kept until after it is made.
    changing: Mutex<()>,
    /// Memory that all logs hold, in bytes.
    stored: AtomicUsize,
    /// Held while the oldest batches of the process are dropped.
    dropping: Mutex<()>,
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

/// Which producer ids are to be given out.
#[derive(Debug, Default)]
struct ProducerIds {
    next: i64,
    /// Those below are kept as given out: `next <= reserved`.
    reserved: i64,
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
    storage: Option<Arc<Storage>>,
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

    /// Adds partitions with these replicas, of which those at the brokers that are down are not in sync.
    fn grow(&self, replicas: Vec<Vec<i32>>, down: &[i32]) {
        let mut partitions = write(&self.partitions);
        for replicas in replicas {
            let index = partitions.len() as i32;
            let files = self.storage.as_ref().map(|storage| storage.partition(&self.name, self.id, index));
            partitions.push(Arc::new(Partition::new(index, replicas, down, files)));
        }
    }

    pub(super) fn settings(&self) -> TopicSettings {
        read(&self.config).settings.clone()
    }

    pub(super) fn config(&self) -> TopicConfig {
        read(&self.config).clone()
    }

    /// Gives it settings that need not be kept on disk.
    pub(super) fn configure(&self, config: TopicConfig) {
        *write(&self.config) = config;
    }

    fn saved(&self) -> SavedTopic {
        SavedTopic {
            name: self.name.clone(),
            id: self.id,
            replicas: self.partitions().iter().map(|partition| partition.state().replicas.clone()).collect(),
            settings: self.config().overrides,
        }
    }
}

impl Cluster {
    /// The rack of a broker, where it has one.
    pub(super) fn rack(&self, node: i32) -> Option<&str> {
        let index = usize::try_from(node - 1).ok()?;
        self.options.racks.get(index).map(String::as_str)
    }

    /// A cluster without brokers yet, with what its data directory holds, if it has one.
    ///
    /// # Errors
    /// The data directory cannot be used.
    pub(super) fn new(options: Options) -> Result<Self> {
        let storage = options.data_dir.as_deref().map(Storage::open).transpose()?.map(Arc::new);
        let offered = Offered::by(options.version);
        let groups = Mutex::new(Groups::new(options.groups.clone()));
        let configs = Mutex::new(BrokerConfigs::new(options.version));
        let cluster = Self {
            options,
            groups,
            configs,
            offered,
            id: storage.as_ref().map_or_else(|| random_uuid().to_string(), |storage| storage.cluster_id().to_owned()),
            nodes: Mutex::default(),
            topics: RwLock::default(),
            sessions: Mutex::default(),
            faults: Faults::default(),
            coordinators: Mutex::default(),
            timer: Doorbell::default(),
            producer_ids: Mutex::default(),
            storage,
            changing: Mutex::default(),
            stored: AtomicUsize::new(0),
            dropping: Mutex::default(),
            spread: AtomicU32::new(0),
        };
        if let Some(storage) = &cluster.storage {
            cluster.restore(storage)?;
        }
        Ok(cluster)
    }

    /// Takes over what an earlier run left.
    fn restore(&self, storage: &Arc<Storage>) -> Result<()> {
        let saved = storage.topics()?;
        storage.sweep(&saved);
        // Kept before any of them is given out. What stands in the logs may be anybody's invention.
        let next_producer_id = storage.next_producer_id()?;
        for topic in saved {
            let mut config = TopicConfig::default();
            for (name, value) in &topic.settings {
                if let Err(refused) = config.set(name, value) {
                    let why = refused.message.unwrap_or_default();
                    log::warn!("topic {}: {name}={value} has no effect any more: {why}", topic.name);
                }
            }
            let topic = self.insert(topic.id, Wanted { name: topic.name, replicas: topic.replicas, config });
            for partition in topic.partitions() {
                let files = storage.partition(&topic.name, topic.id, partition.index);
                storage::restore(&partition, files, |bytes| {
                    self.grown(bytes);
                    self.make_room();
                })?;
                partition.state().resume(self.options.brokers).map_err(|error| storage.failed(&error))?;
            }
        }
        *lock(&self.producer_ids) = ProducerIds { next: next_producer_id, reserved: next_producer_id };
        let positions = storage.take_positions();
        let topics: BTreeSet<String> = positions.iter().map(|position| position.topic.clone()).collect();
        self.with_groups(|groups, now| {
            groups.restore(now, positions);
            let gone = topics.iter().filter(|topic| self.topic(topic).is_none());
            gone.for_each(|topic| groups.topic_deleted(topic));
        });
        Ok(())
    }

    /// All brokers have ended: forces onto the disk what is kept there, and lets go of it.
    pub(super) fn close(&self) {
        if let Some(storage) = &self.storage {
            self.for_each_partition(|partition| {
                let mut state = partition.state();
                state.keep();
                if let Some(files) = &mut state.files {
                    files.sync();
                }
            });
            storage.close();
        }
    }

    /// A broker came up at this address, for the first time or again: it takes part, and leads what has no leader.
    pub(super) fn node_up(&self, node: Node) {
        let id = node.id;
        self.moving_coordinators(|| drop(lock(&self.nodes).insert(id, node)));
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
        self.moving_coordinators(|| {
            if let Some(node) = lock(&self.nodes).get_mut(&id) {
                node.up = false;
            }
        });
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

    /// All brokers, by id, also those that are down.
    pub(super) fn every_node(&self) -> Vec<Node> {
        lock(&self.nodes).values().cloned().collect()
    }

    pub(super) fn node(&self, id: i32) -> Option<Node> {
        lock(&self.nodes).get(&id).filter(|node| node.up).cloned()
    }

    /// Does something that only a broker can have that is up, and keeps it from going down meanwhile.
    pub(super) fn while_up(&self, id: i32, work: impl FnOnce()) {
        let nodes = lock(&self.nodes);
        if nodes.get(&id).is_some_and(|node| node.up) {
            work();
        }
    }

    /// Who answers for the cluster as a whole; -1 if nobody is up.
    pub(super) fn controller(&self) -> i32 {
        self.nodes().first().map_or(-1, |node| node.id)
    }

    /// Forgets all idempotent producers.
    pub(super) fn expire_producers(&self) {
        self.for_each_partition(|partition| partition.state().producers.forget());
    }

    /// Works on the groups, now, and sees to it that the timer knows when something there ends and that changed
    /// positions are kept.
    pub(super) fn with_groups<T>(&self, work: impl FnOnce(&mut Groups, Instant) -> T) -> T {
        let mut groups = lock(&self.groups);
        let result = work(&mut groups, Instant::now());
        // What fails is tried again the next time.
        let _ = self.keep_positions(&mut groups);
        if groups.hurries() {
            self.timer.ring();
        }
        result
    }

    /// Keeps changed positions on disk, which must be before they are acknowledged.
    ///
    /// # Errors
    /// NOT_COORDINATOR, as Kafka answers: the member tries again.
    pub(super) fn keep_positions(&self, groups: &mut Groups) -> Result<(), ErrorCode> {
        let Some(storage) = &self.storage else { return Ok(()) };
        groups.keep(|changes, all| storage.keep_positions(changes, all)).map_err(|_| ErrorCode::NOT_COORDINATOR)
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
    /// TOPIC_ALREADY_EXISTS, or it cannot be kept on disk.
    pub(super) fn create_topic(&self, wanted: Wanted) -> Result<Arc<Topic>, Refused> {
        let configs = lock(&self.configs);
        let _changing = lock(&self.changing);
        if self.topic(&wanted.name).is_some() {
            return Err(already_exists(&wanted.name));
        }
        let id = random_uuid();
        self.keep_topics(|topics| {
            topics.push(SavedTopic {
                name: wanted.name.clone(),
                id,
                replicas: wanted.replicas.clone(),
                settings: wanted.config.overrides.clone(),
            });
        })?;
        let config = wanted.config.under(&configs.inherited(self.options.brokers));
        Ok(self.insert(id, Wanted { config, ..wanted }))
    }

    fn insert(&self, id: Uuid, wanted: Wanted) -> Arc<Topic> {
        let topic = Arc::new(Topic {
            name: wanted.name,
            id,
            partitions: RwLock::default(),
            config: RwLock::new(wanted.config),
            storage: self.storage.clone(),
        });
        // Held until everybody can see the topic: a broker that goes down then finds what it leads.
        let nodes = lock(&self.nodes);
        topic.grow(wanted.replicas, &down(&nodes));
        let mut topics = write(&self.topics);
        topics.by_name.insert(topic.name.clone(), Arc::clone(&topic));
        topics.by_id.insert(id, Arc::clone(&topic));
        topic
    }

    /// Adds partitions with these replicas to the `before` that there are; tells whether there are so many.
    ///
    /// # Errors
    /// They cannot be kept on disk.
    pub(super) fn grow_topic(&self, topic: &Topic, before: usize, replicas: Vec<Vec<i32>>) -> Result<bool, Refused> {
        let _changing = lock(&self.changing);
        if topic.partition_count() != before {
            return Ok(false);
        }
        self.keep_topics(|topics| {
            if let Some(saved) = topics.iter_mut().find(|saved| saved.id == topic.id) {
                saved.replicas.extend_from_slice(&replicas);
            }
        })?;
        let nodes = lock(&self.nodes);
        topic.grow(replicas, &down(&nodes));
        Ok(true)
    }

    /// Gives a topic other settings. To be called with the lock of `configs`.
    ///
    /// # Errors
    /// They cannot be kept on disk.
    pub(super) fn configure_topic(&self, topic: &Topic, config: TopicConfig) -> Result<(), Refused> {
        let _changing = lock(&self.changing);
        self.keep_topics(|topics| {
            if let Some(saved) = topics.iter_mut().find(|saved| saved.id == topic.id) {
                saved.settings.clone_from(&config.overrides);
            }
        })?;
        topic.configure(config);
        Ok(())
    }

    /// Takes a topic away, with all that is in it and all positions in it; whoever waits for its records is woken.
    ///
    /// # Errors
    /// That cannot be kept on disk; the topic is still there.
    pub(super) fn delete_topic(&self, topic: &Topic) -> Result<(), Refused> {
        let _changing = lock(&self.changing);
        if self.topic_by_id(topic.id).is_none() {
            // Somebody else was quicker; what has its name now is another topic.
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into());
        }
        self.keep_topics(|topics| topics.retain(|saved| saved.id != topic.id))?;
        {
            let mut topics = write(&self.topics);
            topics.by_name.remove(&topic.name);
            topics.by_id.remove(&topic.id);
        }
        for partition in topic.partitions() {
            let freed = partition.state().end();
            self.shrunk(freed);
        }
        self.with_groups(|groups, _| groups.topic_deleted(&topic.name));
        Ok(())
    }

    /// Keeps the topics on disk as they will be after a change.
    fn keep_topics(&self, change: impl FnOnce(&mut Vec<SavedTopic>)) -> Result<(), Refused> {
        let Some(storage) = &self.storage else { return Ok(()) };
        let mut topics: Vec<SavedTopic> = self.topics().iter().map(|topic| topic.saved()).collect();
        change(&mut topics);
        let kept = storage.save_topics(&topics);
        kept.map_err(|error| Refused::new(ErrorCode::KAFKA_STORAGE_ERROR, storage.failed(&error).to_string()))
    }

    /// An id that no producer has.
    ///
    /// # Errors
    /// That it is given out cannot be kept on disk.
    pub(super) fn new_producer_id(&self) -> Result<i64, ErrorCode> {
        let mut ids = lock(&self.producer_ids);
        if let Some(storage) = &self.storage
            && ids.next == ids.reserved
        {
            let reserved = ids.next.saturating_add(PRODUCER_IDS);
            storage.reserve_producer_ids(reserved).map_err(|_| ErrorCode::KAFKA_STORAGE_ERROR)?;
            ids.reserved = reserved;
        }
        let id = ids.next;
        ids.next = id.saturating_add(1);
        Ok(id)
    }

    /// A log grew by so many bytes. To be called with its lock, so that nobody counts them out before they are in.
    pub(super) fn grown(&self, bytes: usize) {
        self.stored.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Beyond the limit of the process the oldest batches go. To be called without the lock of any log.
    pub(super) fn make_room(&self) {
        let limit = self.options.retention_bytes;
        // Whoever is at it already does it for all.
        if self.stored() > limit
            && let Ok(_dropping) = self.dropping.try_lock()
        {
            // A little more than necessary, so that it need not be done again at once.
            self.drop_oldest((self.stored() + limit / 16).saturating_sub(limit));
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
            let freed = state.drop_oldest();
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
                let mut freed = 0;
                let too_old = |time: i64| settings.retention_ms.is_some_and(|kept| time < now.saturating_sub(kept));
                // Records without a time are as old as their place in the log.
                let age = |oldest: &Stored| {
                    if oldest.max_timestamp < 0 { oldest.appended_at } else { oldest.max_timestamp }
                };
                // What remains must not be less than what is to be kept.
                let too_many = |log: &Log, oldest: &Stored| {
                    settings.retention_bytes.is_some_and(|kept| log.bytes() - oldest.bytes.len() >= kept)
                };
                while state
                    .log
                    .oldest()
                    .is_some_and(|oldest| settings.delete && (too_old(age(oldest)) || too_many(&state.log, oldest)))
                {
                    freed += state.drop_oldest();
                }
                state.keep();
                drop(state);
                self.shrunk(freed);
            }
        }
    }

    /// Moves the start of a partition's log up, and tells where it is then.
    pub(super) fn delete_records(&self, partition: &Partition, before: i64) -> i64 {
        let mut state = partition.state();
        let (freed, start) = (state.delete_before(before), state.log.start());
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

    fn names(&self) -> Vec<String> {
        read(&self.topics).by_name.keys().cloned().collect()
    }

    fn version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for topic in read(&self.topics).by_name.values() {
            (topic.id, topic.partition_count()).hash(&mut hasher);
        }
        hasher.finish()
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

/// The brokers that are down.
fn down(nodes: &BTreeMap<i32, Node>) -> Vec<i32> {
    nodes.values().filter(|node| !node.up).map(|node| node.id).collect()
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    ms(SystemTime::now())
}

/// A time in milliseconds since 1970.
pub(super) fn ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// An id like those that Kafka makes: random, and not beginning with a dash in its text form.
pub(super) fn random_uuid() -> Uuid {
    use std::hash::{BuildHasher, RandomState};
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
