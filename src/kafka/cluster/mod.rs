//! Which brokers there are and who leads what: the metadata thread, and connections by node id.
//!
//! One thread asks, on a connection of its own; everyone else reads its latest snapshot. Requests for a refresh coalesce:
//! one is under way at most, and the next follows after a backoff.

mod metadata;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[cfg(test)]
pub use metadata::{Broker, Partition};
pub use metadata::{LeaderHint, Metadata, Topic};

use super::config::{Address, ClientSettings};
use super::error::{Error, ErrorKind, Result};
use super::net::{Closer, Connection};
use super::protocol::messages::{MetadataRequest, MetadataRequestTopic, MetadataResponse, NodeEndpoint};
use crate::clock::{Backoff, Deadline};
use crate::sync::lock;

/// A refresh that follows another within this time waits as long as the backoff says.
const CALM: Duration = Duration::from_secs(5);
/// How often a cluster that does not answer is mentioned in the log.
const REMIND: Duration = Duration::from_secs(10);

/// The cluster as one client sees it. Shared by the client's threads.
pub(crate) struct Cluster {
    settings: Arc<ClientSettings>,
    state: Mutex<State>,
    /// Signalled when `state` changes in a way that the metadata thread, or a waiter for a snapshot, wants to know.
    changed: Condvar,
    closer: Closer,
    /// Spreads the connections that any broker can serve.
    turn: AtomicUsize,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    snapshot: Arc<Metadata>,
    topics: BTreeSet<String>,
    /// Every topic there is belongs to the snapshots.
    all: bool,
    /// Whether someone asked for a refresh since the last request went out.
    wanted: bool,
    /// Why the last try failed, until one succeeds.
    failure: Option<Error>,
    listeners: Vec<Weak<dyn MetadataListener>>,
    closed: bool,
}

impl State {
    fn wants(&self) -> Wanted {
        Wanted { topics: self.topics.clone(), all: self.all }
    }
}

/// What a snapshot is to hold.
#[derive(Debug, Default)]
struct Wanted {
    topics: BTreeSet<String>,
    /// Every topic there is besides.
    all: bool,
}

/// Told of each new snapshot, on the metadata thread or that of [`Cluster::follow_hints`]: must not block.
pub(crate) trait MetadataListener: Send + Sync {
    /// A new snapshot is in place.
    fn metadata_changed(&self);
}

impl Cluster {
    /// Makes the first connection and starts the metadata thread.
    ///
    /// # Errors
    /// When none of the bootstrap brokers can be used, each with its reason, within `settings.first_connect_timeout`.
    pub(crate) fn start(settings: Arc<ClientSettings>) -> Result<Arc<Self>> {
        let closer = Closer::new();
        let deadline = Deadline::after("socket.connection.setup.timeout.max.ms", settings.first_connect_timeout);
        let (connection, snapshot) = first_contact(&settings, &closer, deadline)?;
        let cluster = Arc::new(Self {
            settings,
            state: Mutex::new(State {
                snapshot: Arc::new(snapshot),
                topics: BTreeSet::new(),
                all: false,
                wanted: false,
                failure: None,
                listeners: Vec::new(),
                closed: false,
            }),
            changed: Condvar::new(),
            closer,
            turn: AtomicUsize::new(0),
            thread: Mutex::new(None),
        });
        let shared = Arc::downgrade(&cluster);
        let thread = super::threads::spawn("krs-metadata", move || Refresher::run(&shared, connection))?;
        *lock(&cluster.thread) = Some(thread);
        Ok(cluster)
    }

    /// The settings that every connection to this cluster is made with.
    pub(crate) fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// The latest snapshot.
    pub(crate) fn snapshot(&self) -> Arc<Metadata> {
        Arc::clone(&lock(&self.state).snapshot)
    }

    /// Makes these topics part of every snapshot from now on; asks at once for those that are not in the present one.
    pub(crate) fn track<'a>(&self, topics: impl IntoIterator<Item = &'a str>) {
        let mut state = lock(&self.state);
        for topic in topics {
            if state.topics.insert(topic.to_owned()) {
                state.wanted = true;
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Makes every topic there is part of the snapshots, or only those tracked.
    pub(crate) fn track_all(&self, all: bool) {
        let mut state = lock(&self.state);
        state.wanted |= all && !state.all;
        state.all = all;
        drop(state);
        self.changed.notify_all();
    }

    /// Asks for a new snapshot, soon.
    pub(crate) fn request_refresh(&self) {
        lock(&self.state).wanted = true;
        self.changed.notify_all();
    }

    /// Takes over who leads what from a broker that does not (KIP-951). Listeners are told, on this thread.
    pub(crate) fn follow_hints(&self, hints: &[LeaderHint<'_>], endpoints: &[NodeEndpoint]) {
        if hints.is_empty() {
            return;
        }
        let mut state = lock(&self.state);
        let Some(next) = state.snapshot.hinted(hints, endpoints) else { return };
        state.snapshot = Arc::new(next);
        let listeners: Vec<_> = state.listeners.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        listeners.iter().for_each(|listener| listener.metadata_changed());
    }

    /// Why the last refresh failed, when it did.
    pub(crate) fn failure(&self) -> Option<Error> {
        lock(&self.state).failure.clone()
    }

    /// Waits for a snapshot newer than version `than`. None when the deadline passes or the client closes first.
    pub(crate) fn wait_newer(&self, than: u64, deadline: Deadline) -> Option<Arc<Metadata>> {
        let mut state = lock(&self.state);
        loop {
            if state.snapshot.version > than {
                return Some(Arc::clone(&state.snapshot));
            }
            let left = deadline.left(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Registers someone who is told of each new snapshot for as long as they live.
    pub(crate) fn listen(&self, listener: Weak<dyn MetadataListener>) {
        lock(&self.state).listeners.push(listener);
    }

    /// A new connection to this node.
    pub(crate) fn connect(&self, node: i32, closer: &Closer, deadline: Deadline) -> Result<Connection> {
        let snapshot = self.snapshot();
        let Some(broker) = snapshot.brokers.get(&node) else {
            self.request_refresh();
            return Err(Error::new(ErrorKind::Unreachable, format!("broker {node} is not in the cluster at present")));
        };
        Connection::open(&broker.address, &self.settings, closer, deadline)
    }

    /// A new connection to any broker: those known first, in an order that differs from call to call, then the
    /// bootstrap ones.
    pub(crate) fn connect_any(&self, closer: &Closer, deadline: Deadline) -> Result<Connection> {
        first_of(&self.candidates(), closer, deadline, |address, turn| {
            Connection::open(address, &self.settings, closer, turn)
        })
    }

    fn candidates(&self) -> Vec<Address> {
        let snapshot = self.snapshot();
        let mut known: Vec<_> = snapshot.brokers.values().map(|broker| broker.address.clone()).collect();
        if !known.is_empty() {
            let first = self.turn.fetch_add(1, Ordering::Relaxed) % known.len();
            known.rotate_left(first);
        }
        for address in &self.settings.bootstrap {
            if !known.contains(address) {
                known.push(address.clone());
            }
        }
        known
    }

    /// Ends the metadata thread.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
        self.closer.close();
        if let Some(thread) = lock(&self.thread).take() {
            super::threads::join(thread);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
        self.closer.close();
    }
}

/// Tries one address after the other until `contact` succeeds; the error tells what happened at each.
fn first_of<T>(
    addresses: &[Address],
    closer: &Closer,
    deadline: Deadline,
    contact: impl Fn(&Address, Deadline) -> Result<T>,
) -> Result<T> {
    let mut failures: Vec<Error> = Vec::new();
    for (tried, address) in addresses.iter().enumerate() {
        // A broker that does not answer leaves time for those after it.
        let turn = match u32::try_from(addresses.len() - tried) {
            Ok(others @ 2..) => {
                let now = Instant::now();
                let share = deadline.left(now) / others;
                Deadline { name: deadline.name, at: now + share, limit: share }
            }
            _ => deadline,
        };
        match contact(address, turn) {
            Ok(contact) => return Ok(contact),
            Err(error) if closer.is_closed() => return Err(error),
            Err(error) => failures.push(error),
        }
    }
    Err(no_broker(failures))
}

/// One failure speaks for itself; several are listed broker by broker.
fn no_broker(mut failures: Vec<Error>) -> Error {
    if failures.len() == 1 {
        return failures.remove(0);
    }
    let kind = match failures.iter().find(|error| error.kind() == ErrorKind::Refused) {
        Some(_) => ErrorKind::Refused,
        None => ErrorKind::Unreachable,
    };
    let each = failures.iter().map(Error::to_string).collect::<Vec<_>>().join("; ");
    Error::new(kind, format!("none of {} brokers can be used: {each}", failures.len()))
}

fn first_contact(settings: &ClientSettings, closer: &Closer, deadline: Deadline) -> Result<(Connection, Metadata)> {
    let contact = first_of(&settings.bootstrap, closer, deadline, |address, turn| {
        let mut connection = Connection::open(address, settings, closer, turn)?;
        let answer = connection.call(&request_for(&Wanted::default(), settings), turn)?;
        Ok((connection, Metadata::default().next(&answer)))
    });
    contact.map_err(|error| match error.kind() {
        ErrorKind::Timeout | ErrorKind::Disconnected | ErrorKind::Protocol | ErrorKind::Broker => {
            error.with_kind(ErrorKind::Unreachable)
        }
        _ => error,
    })
}

fn request_for(wanted: &Wanted, settings: &ClientSettings) -> MetadataRequest {
    let named = || {
        let topic = |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
        wanted.topics.iter().map(topic).collect()
    };
    MetadataRequest {
        topics: (!wanted.all).then(named),
        allow_auto_topic_creation: settings.allow_auto_create_topics,
        ..Default::default()
    }
}

/// The metadata thread. It holds the cluster weakly, so that a forgotten client ends it.
struct Refresher {
    connection: Option<Connection>,
    backoff: Backoff,
    last: Instant,
    reminded: Option<Instant>,
}

impl Refresher {
    fn run(cluster: &Weak<Cluster>, connection: Connection) {
        let Some(first) = cluster.upgrade() else { return };
        let backoff = Backoff::new(first.settings.retry_backoff, first.settings.retry_backoff_max);
        drop(first);
        let mut refresher = Self { connection: Some(connection), backoff, last: Instant::now(), reminded: None };
        while let Some(cluster) = cluster.upgrade() {
            match refresher.wait(&cluster) {
                Turn::Refresh(topics) => refresher.refresh(&cluster, &topics),
                Turn::Idle => {}
                Turn::Closed => return,
            }
        }
    }

    /// Sleeps until a refresh is due. Returns from time to time, so that the cluster can be dropped.
    fn wait(&mut self, cluster: &Cluster) -> Turn {
        const GLANCE: Duration = Duration::from_secs(1);
        let mut state = lock(&cluster.state);
        let now = Instant::now();
        if state.closed {
            return Turn::Closed;
        }
        let age = now.saturating_duration_since(self.last);
        if state.wanted || state.failure.is_some() || age >= cluster.settings.metadata_max_age {
            state.wanted = false;
            return Turn::Refresh(state.wants());
        }
        let left = (cluster.settings.metadata_max_age - age).min(GLANCE);
        drop(cluster.changed.wait_timeout(state, left));
        Turn::Idle
    }

    fn refresh(&mut self, cluster: &Cluster, topics: &Wanted) {
        let outcome = self.ask(cluster, topics);
        let now = Instant::now();
        let mut state = lock(&cluster.state);
        let calm = now.saturating_duration_since(self.last) > CALM;
        self.last = now;
        match outcome {
            Ok(answer) => {
                // With what was hinted while it was on its way.
                let snapshot = state.snapshot.next(&answer).with_missing(topics);
                if calm || snapshot.tells_more_than(&state.snapshot) {
                    self.backoff.reset();
                }
                if state.failure.take().is_some() {
                    log::info!("cluster metadata is available again");
                }
                self.reminded = None;
                state.snapshot = Arc::new(snapshot);
                state.listeners.retain(|listener| listener.strong_count() > 0);
                let listeners: Vec<_> = state.listeners.iter().filter_map(Weak::upgrade).collect();
                drop(state);
                cluster.changed.notify_all();
                listeners.iter().for_each(|listener| listener.metadata_changed());
            }
            Err(_) if state.closed => return,
            Err(error) => {
                if self.reminded.is_none_or(|at| now.saturating_duration_since(at) >= REMIND) {
                    log::warn!("no metadata: {error}; still trying");
                    self.reminded = Some(now);
                }
                state.failure = Some(error);
                drop(state);
            }
        }
        self.pause(cluster);
    }

    /// The backoff between two refreshes. Whatever is asked for meanwhile is answered by the next one.
    fn pause(&mut self, cluster: &Cluster) {
        let until = Instant::now() + self.backoff.failed();
        let mut state = lock(&cluster.state);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return;
            }
            state = cluster.changed.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    fn ask(&mut self, cluster: &Cluster, topics: &Wanted) -> Result<MetadataResponse> {
        let settings = &cluster.settings;
        let deadline = Deadline::after("request.timeout.ms", settings.request_timeout);
        let request = request_for(topics, settings);
        // A connection that stood idle may have been closed by the broker: that is no failure, a new one is made.
        if let Some(connection) = self.connection.as_mut().filter(|connection| !connection.is_ended()) {
            match connection.call(&request, deadline) {
                Ok(answer) => return Ok(answer),
                Err(error) => log::debug!("metadata connection: {error}"),
            }
        }
        self.connection = None;
        // The old connection may have used its time up.
        let deadline = Deadline::after("request.timeout.ms", settings.request_timeout);
        let mut connection = cluster.connect_any(&cluster.closer, deadline)?;
        let answer = connection.call(&request, deadline)?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

enum Turn {
    Refresh(Wanted),
    Idle,
    Closed,
}
