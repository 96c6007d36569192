//! Sockets and threads: one listener per broker, one thread per connection.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::call::{Call, Client, Doorbell, Outcome};
use super::cluster::{Cluster, Node};
use super::handlers;
use crate::clock::Deadline;
use crate::kafka::net::{Closer, FrameReader, Listener, NoFrame, Stream};
use crate::kafka::protocol::{ApiKey, Bytes, frame};
use crate::kafka::threads;
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// Connections of one broker; beyond, a new one is closed at once.
const MAX_CONNECTIONS: usize = 4000;

/// The largest request (`socket.request.max.bytes`).
const MAX_REQUEST: usize = 104_857_600;

/// A connection that says nothing, or takes nothing, for so long is closed.
pub(super) const IDLE: (&str, Duration) = ("connections.max.idle.ms", Duration::from_secs(600));

/// After a failed accept (too many open files), so that it is not tried in a tight loop.
const PAUSE: Duration = Duration::from_millis(50);

/// How often the end of the listener's thread is looked for.
const GLANCE: Duration = Duration::from_millis(1);

/// A listener that is in trouble says so this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// One broker's listener and connections.
pub(super) struct Server {
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    node: i32,
    cluster: Arc<Cluster>,
    listener: Listener,
    stopping: AtomicBool,
    /// By number. A connection's thread takes its own entry away as its last act.
    connections: Mutex<HashMap<usize, Connection>>,
    next: AtomicUsize,
}

/// What ends a connection from outside.
struct Connection {
    closer: Closer,
    doorbell: Arc<Doorbell>,
    thread: Option<JoinHandle<()>>,
}

impl Connection {
    fn end(&self) {
        self.closer.close();
        self.doorbell.close();
    }
}

impl Server {
    /// Listens where the options say and serves.
    pub(super) fn start(node: i32, cluster: &Arc<Cluster>) -> Result<Self> {
        let options = &cluster.options;
        let port = match options.port {
            0 => 0,
            first => u16::try_from(i32::from(first) + node - 1)
                .map_err(|_| Error::config(format!("port {first} leaves no room for {} brokers", options.brokers)))?,
        };
        let listener = Listener::bind(&options.host, port)
            .map_err(|error| Error::new(ErrorKind::Io, format!("cannot listen at {}:{port}: {error}", options.host)))?;
        Self::listen(node, listener, cluster)
    }

    /// Serves at this listener.
    pub(super) fn listen(node: i32, listener: Listener, cluster: &Arc<Cluster>) -> Result<Self> {
        let options = &cluster.options;
        let host = match &options.advertised_host {
            Some(host) => host.clone(),
            None if listener.address().ip().is_unspecified() => "localhost".to_owned(),
            None => options.host.clone(),
        };
        cluster.node_up(Node { id: node, host, port: listener.address().port(), up: true });
        let shared = Arc::new(Shared {
            node,
            cluster: Arc::clone(cluster),
            listener,
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
            next: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        let accepting = threads::spawn(&format!("krs-broker-{node}"), move || accepting.accept())?;
        Ok(Self { shared, accepting: Some(accepting) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.shared.listener.address()
    }

    /// Ends all connections.
    pub(super) fn cut(&self) {
        lock(&self.shared.connections).values().for_each(Connection::end);
    }

    /// Ends the listener and all connections, and waits for their threads.
    pub(super) fn stop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.cluster.node_down(self.shared.node);
        self.shared.stopping.store(true, Ordering::SeqCst);
        while !accepting.is_finished() {
            // Without a file descriptor left nothing can be woken: ended connections give theirs back.
            self.cut();
            self.shared.listener.wake();
            std::thread::sleep(GLANCE);
        }
        threads::join(accepting);
        let connections = std::mem::take(&mut *lock(&self.shared.connections));
        connections.values().for_each(Connection::end);
        connections.into_values().filter_map(|connection| connection.thread).for_each(threads::join);
    }
}

impl Shared {
    fn accept(self: Arc<Self>) {
        let mut told: Option<Instant> = None;
        loop {
            let accepted = self.listener.accept();
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            match accepted {
                Ok((stream, closer, peer)) => {
                    let client = Client { id: String::new(), host: format!("/{}", peer.ip()) };
                    if let Err(error) = self.admit(stream, closer, client) {
                        log::warn!(target: "broker", "node {}: a connection from {peer} is closed: {error}", self.node);
                    }
                }
                Err(error) => {
                    if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                        told = Some(Instant::now());
                        log::warn!(target: "broker", "node {}: cannot accept connections: {error}", self.node);
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: Stream, closer: Closer, client: Client) -> Result<()> {
        // Held until the thread is noted, so that it does not take its entry away before.
        let mut connections = lock(&self.connections);
        if connections.len() >= MAX_CONNECTIONS {
            return Err(Error::state(format!("there are {MAX_CONNECTIONS} already")));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let doorbell = Arc::new(Doorbell::default());
        let frames = FrameReader::of_requests(stream.twin()?, MAX_REQUEST);
        let mut serving = Serving { shared: Arc::clone(self), stream, frames, client, doorbell: Arc::clone(&doorbell) };
        let thread = threads::spawn("krs-broker-conn", move || {
            let _entry = Entry { shared: Arc::clone(&serving.shared), number };
            serving.serve();
        })?;
        connections.insert(number, Connection { closer, doorbell, thread: Some(thread) });
        Ok(())
    }
}

/// A connection's place among all; it ends with the thread, also with one that panics.
struct Entry {
    shared: Arc<Shared>,
    number: usize,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let connection = lock(&self.shared.connections).remove(&self.number);
        if let Some(connection) = connection {
            connection.end();
        }
    }
}

/// A connection, as its thread has it.
struct Serving {
    shared: Arc<Shared>,
    stream: Stream,
    frames: FrameReader,
    client: Client,
    doorbell: Arc<Doorbell>,
}

impl Serving {
    fn serve(&mut self) {
        let node = self.shared.node;
        let mut mute = false;
        let why = loop {
            let request = match self.read() {
                Ok(Some(request)) => request,
                Ok(None) => break "by a fault, within a request".to_owned(),
                Err(NoFrame::Closed { inside: false }) => break "the client closed it".to_owned(),
                Err(NoFrame::Closed { inside: true }) => break "the client closed it within a request".to_owned(),
                Err(NoFrame::Io(error)) => break error.to_string(),
                Err(NoFrame::BadSize(error)) => {
                    log::warn!(target: "broker", "node {node}: closing the connection from {}: {error}", self.client.host);
                    break "it is not Kafka's".to_owned();
                }
            };
            if mute {
                continue;
            }
            let written = match self.answer(&request) {
                Ok(Outcome::Answer(answer)) => answer.write_to(&mut self.out()),
                Ok(Outcome::Garbled(bytes)) => self.out().write_all(&bytes),
                Ok(Outcome::Last(bytes)) => {
                    // It is closed either way.
                    let _ = self.out().write_all(&bytes);
                    break "by a fault, within an answer".to_owned();
                }
                Ok(Outcome::Nothing) => Ok(()),
                Ok(Outcome::Mute) => {
                    mute = true;
                    Ok(())
                }
                Ok(Outcome::Close) => break "by the broker".to_owned(),
                Err(error) => {
                    log::warn!(target: "broker", "node {node}: closing the connection from {}: {error}", self.client.host);
                    break "a request was not readable".to_owned();
                }
            };
            if let Err(error) = written {
                break error.to_string();
            }
        };
        log::debug!(target: "broker", "node {node}: connection of '{}' from {} ended: {why}", self.client.shown(), self.client.host);
    }

    /// The next request; none if a fault closes the connection before it is read.
    fn read(&mut self) -> Result<Option<Bytes>, NoFrame> {
        let deadline = Some(Deadline::after(IDLE.0, IDLE.1));
        let faults = &self.shared.cluster.faults;
        if faults.any_inside() {
            let [high, low, ..] = self.frames.begin(deadline)?;
            let api = ApiKey::from_code(i16::from_be_bytes([high, low]));
            if api.is_some_and(|api| faults.drops_inside(self.shared.node, api)) {
                return Ok(None);
            }
        }
        self.frames.read(deadline).map(Some)
    }

    fn out(&mut self) -> impl Write + '_ {
        self.stream.until(Deadline::after(IDLE.0, IDLE.1))
    }

    fn answer(&mut self, request: &Bytes) -> Result<Outcome> {
        let header = frame::decode_request_header(request)?;
        if let Some(id) = &header.client_id
            && *id != self.client.id
        {
            self.client.id.clone_from(id);
        }
        let call = Call {
            cluster: &self.shared.cluster,
            node: self.shared.node,
            version: header.api_version,
            client: &self.client,
            doorbell: &self.doorbell,
        };
        handlers::answer(&call, &header, request)
    }
}
