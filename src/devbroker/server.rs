//! Sockets and threads: one listener per broker, one thread per connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::call::{Call, Client, Doorbell, Reply};
use super::cluster::{Cluster, Node};
use super::handlers;
use crate::clock::Deadline;
use crate::kafka::net::{Closer, FrameReader, Listener, NoFrame, Stream};
use crate::kafka::protocol::{Bytes, Frame, frame};
use crate::kafka::threads;
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// Connections of one broker; beyond, a new one is closed at once.
const MAX_CONNECTIONS: usize = 4000;

/// The largest request (`socket.request.max.bytes`).
const MAX_REQUEST: usize = 104_857_600;

/// A connection that says nothing, or takes nothing, for so long is closed.
const IDLE: (&str, Duration) = ("connections.max.idle.ms", Duration::from_secs(600));

/// After a failed accept (too many open files), so that it is not tried in a tight loop.
const PAUSE: Duration = Duration::from_millis(50);

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

impl Server {
    /// Listens where the options say and serves.
    pub(super) fn start(node: i32, cluster: &Arc<Cluster>) -> Result<Self> {
        let options = &cluster.options;
        let port = match options.port {
            0 => 0,
            first => u16::try_from(i32::from(first) + node - 1)
                .map_err(|_| Error::config(format!("port {first} leaves no room for {} brokers", options.brokers)))?,
        };
        Self::listen(node, port, cluster)
    }

    fn listen(node: i32, port: u16, cluster: &Arc<Cluster>) -> Result<Self> {
        let options = &cluster.options;
        let listener = Listener::bind(&options.host, port)
            .map_err(|error| Error::new(ErrorKind::Io, format!("cannot listen at {}:{port}: {error}", options.host)))?;
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

    /// Ends the listener and all connections, and waits for their threads.
    pub(super) fn stop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.cluster.node_down(self.shared.node);
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.listener.wake();
        threads::join(accepting);
        let connections = std::mem::take(&mut *lock(&self.shared.connections));
        for connection in connections.values() {
            connection.closer.close();
            connection.doorbell.close();
        }
        connections.into_values().filter_map(|connection| connection.thread).for_each(threads::join);
    }
}

impl Shared {
    fn accept(self: Arc<Self>) {
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
                    log::warn!(target: "broker", "node {}: cannot accept a connection: {error}", self.node);
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
            serving.serve();
            lock(&serving.shared.connections).remove(&number);
        })?;
        connections.insert(number, Connection { closer, doorbell, thread: Some(thread) });
        Ok(())
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
        let why = loop {
            let request = match self.frames.read(Some(Deadline::after(IDLE.0, IDLE.1))) {
                Ok(request) => request,
                Err(NoFrame::Closed { inside: false }) => break "the client closed it".to_owned(),
                Err(NoFrame::Closed { inside: true }) => break "the client closed it within a request".to_owned(),
                Err(NoFrame::Io(error)) => break error.to_string(),
                Err(NoFrame::BadSize(error)) => {
                    log::warn!(target: "broker", "node {node}: closing the connection from {}: {error}", self.client.host);
                    break "it is not Kafka's".to_owned();
                }
            };
            match self.answer(&request) {
                Ok(Reply::Answer(answer)) => {
                    let mut out = self.stream.until(Deadline::after(IDLE.0, IDLE.1));
                    if let Err(error) = answer.write_to(&mut out) {
                        break error.to_string();
                    }
                }
                Ok(Reply::Silence) => {}
                Ok(Reply::HangUp) => break "by the broker".to_owned(),
                Err(error) => {
                    log::warn!(target: "broker", "node {node}: closing the connection from {}: {error}", self.client.host);
                    break "a request was not readable".to_owned();
                }
            }
        };
        log::debug!(target: "broker", "node {node}: connection of '{}' from {} ended: {why}", self.client.id, self.client.host);
    }

    fn answer(&mut self, request: &Bytes) -> Result<Reply<Frame>> {
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
