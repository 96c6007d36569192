//! Plays the stream: sends requests in order, hands answers back for later requests, and notes every outcome.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::panic::Location;
use std::thread;
use std::time::{Duration, Instant};

use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{ApiKey, Bytes, Request, Uuid, frame};

use crate::batches;
use crate::connection::{Connection, Reply};
use crate::mask::Mask;
use crate::recording::{Key, Step, Version};

/// What the stream calls itself.
pub const CLIENT_ID: &str = "difference";
/// The connection of all requests that name none.
const MAIN: &str = "main";
/// How long something that follows from an answer may take to be seen everywhere.
const SETTLING: Duration = Duration::from_secs(30);

/// Where a request starts in a frame with its size: key and version, then the correlation id.
const CORRELATION_AT: usize = 8;

pub struct Player {
    address: String,
    run: String,
    connections: HashMap<&'static str, Connection>,
    correlation: i32,
    pub mask: Mask,
    /// How long to wait for what an answer promised.
    settling: Duration,
    /// How often that did not come.
    pub in_vain: usize,
    /// Whether a request that is not noted had no answer.
    unanswered: bool,
    /// Which version the steps are about, whatever their own is.
    pass: Option<i16>,
    steps: Vec<Step>,
    keys: BTreeSet<Key>,
}

/// A topic of the stream.
#[derive(Clone)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
}

/// A request whose answer is waited for later.
#[must_use]
pub struct Pending {
    connection: &'static str,
    title: String,
    version: i16,
    correlation: i32,
}

/// What an answer must be, to be waited for and shown.
pub trait Asked: Request<Response: Debug + Default + 'static> {}
impl<R: Request<Response: Debug + Default + 'static>> Asked for R {}

impl Player {
    /// Ready to play to the broker at this address. `run` makes names its own.
    pub fn start(address: &str, run: &str) -> Self {
        Self {
            address: address.to_owned(),
            run: run.to_owned(),
            connections: HashMap::new(),
            correlation: 0,
            mask: Mask::new(&format!("-{run}")),
            settling: SETTLING,
            in_vain: 0,
            unanswered: false,
            pass: None,
            steps: Vec::new(),
            keys: BTreeSet::new(),
        }
    }

    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// The steps to come are about this version of an API, also those that are requests of another one.
    pub fn pass(&mut self, version: i16) {
        self.pass = Some(version);
    }

    /// The steps to come are about no version in particular.
    pub fn end_of_passes(&mut self) {
        self.pass = None;
    }

    /// A name that belongs to this run.
    pub fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.run)
    }

    /// Sends a request and notes what comes back. Without an answer that can be read the default is handed on.
    pub fn ask<R: Asked>(&mut self, title: &str, version: i16, request: &R) -> R::Response {
        self.ask_on(MAIN, title, version, request)
    }

    /// On a connection of its own.
    pub fn ask_on<R: Asked>(
        &mut self,
        connection: &'static str,
        title: &str,
        version: i16,
        request: &R,
    ) -> R::Response {
        let pending = self.send_on(connection, title, version, request);
        self.receive::<R>(pending)
    }

    /// Notes only what the edit leaves of the answer.
    pub fn ask_part<R: Asked>(
        &mut self,
        title: &str,
        version: i16,
        request: &R,
        edit: impl FnOnce(&mut R::Response),
    ) -> R::Response {
        let pending = self.send_on(MAIN, title, version, request);
        self.receive_part::<R>(pending, edit)
    }

    /// Learns from the answer before it is noted.
    pub fn ask_known<R: Asked>(
        &mut self,
        title: &str,
        version: i16,
        request: &R,
        learn: impl FnOnce(&mut Self, &R::Response),
    ) -> R::Response {
        let pending = self.send_on(MAIN, title, version, request);
        self.receive_known::<R>(pending, learn)
    }

    /// Learns from the answer, and notes what the edit leaves of it.
    pub fn ask_edited<R: Asked>(
        &mut self,
        title: &str,
        version: i16,
        request: &R,
        edit: impl FnOnce(&mut Self, &mut R::Response),
    ) {
        let pending = self.send_on(MAIN, title, version, request);
        self.receive_noting::<R>(pending, edit);
    }

    /// Sends a request whose answer comes later.
    pub fn send_on<R: Asked>(&mut self, connection: &'static str, title: &str, version: i16, request: &R) -> Pending {
        self.send_bytes_on(connection, title, version, &Self::frame(request, version))
    }

    /// Waits for that answer and notes it.
    pub fn receive<R: Asked>(&mut self, pending: Pending) -> R::Response {
        self.receive_part::<R>(pending, |_| {})
    }

    /// As [`receive`](Self::receive), and as [`ask_known`](Self::ask_known).
    pub fn receive_known<R: Asked>(
        &mut self,
        pending: Pending,
        learn: impl FnOnce(&mut Self, &R::Response),
    ) -> R::Response {
        self.receive_noting::<R>(pending, |player, answer| learn(player, answer))
    }

    /// Sends these bytes, a frame with its size, as if they were an `R`, and notes what the edit leaves of the answer.
    pub fn ask_bytes_part<R: Asked>(
        &mut self,
        title: &str,
        version: i16,
        bytes: &[u8],
        edit: impl FnOnce(&mut R::Response),
    ) -> R::Response {
        let pending = self.send_bytes_on(MAIN, title, version, bytes);
        self.receive_part::<R>(pending, edit)
    }

    /// Sends the header of a request, of any API and version, and notes whether the connection is closed.
    pub fn ask_foreign(&mut self, title: &str, api: i16, version: i16) {
        let mut bytes = Self::frame(&ApiVersionsRequest::default(), 0);
        bytes[4..6].copy_from_slice(&api.to_be_bytes());
        bytes[6..8].copy_from_slice(&version.to_be_bytes());
        let _ = self.send_bytes_on(MAIN, title, version, &bytes);
        let outcome = match self.connection(MAIN).receive() {
            Reply::Frame(_) => "an answer".to_owned(),
            reply => Self::no_answer(&reply),
        };
        self.connections.remove(MAIN);
        let api = ApiKey::from_code(api).map_or(format!("API {api}"), |key| key.to_string());
        let version = Version { own: version, pass: version };
        self.note(Key { api, title: title.to_owned(), version }, outcome);
    }

    /// Sends a request that is not answered; the answer to another one behind it shows that.
    pub fn ask_without_answer<R: Asked>(&mut self, title: &str, version: i16, request: &R) {
        let key = self.key::<R>(title, version);
        let asked = self.send_on(MAIN, title, version, request).correlation;
        let ping = self.send_on(MAIN, "", 0, &ApiVersionsRequest::default()).correlation;
        let outcome = match self.connection(MAIN).receive() {
            Reply::Frame(frame) if frame::correlation_id(&frame).is_ok_and(|id| id == ping) => "no answer".to_owned(),
            Reply::Frame(frame) if frame::correlation_id(&frame).is_ok_and(|id| id == asked) => "an answer".to_owned(),
            reply => Self::no_answer(&reply),
        };
        if outcome != "no answer" {
            self.connections.remove(MAIN);
        }
        self.note(key, outcome);
    }

    /// An answer that is not noted.
    pub fn quietly<R: Asked>(&mut self, version: i16, request: &R) -> R::Response {
        let pending = self.send_on(MAIN, "", version, request);
        let answer = self.reply::<R>(&pending);
        self.unanswered |= answer.is_err();
        answer.unwrap_or_default()
    }

    /// Waits until what an answer promised can be seen. If that never happens, the steps to come will show it, and the
    /// next such wait is shorter.
    #[track_caller]
    pub fn until(&mut self, mut seen: impl FnMut(&mut Self) -> bool) {
        let until = Instant::now() + self.settling;
        self.unanswered = false;
        while !seen(self) {
            if self.unanswered || Instant::now() > until {
                let why = if self.unanswered { "an answer was missing" } else { "time was up" };
                eprintln!("{}: what was waited for did not come, {why}", Location::caller());
                self.settling /= 4;
                self.in_vain += 1;
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The frame of a request, its size included.
    pub fn frame<R: Request>(request: &R, version: i16) -> Vec<u8> {
        let frame = frame::encode_request(request, version, 0, CLIENT_ID);
        frame.unwrap_or_else(|error| panic!("not a request of the stream: {error}")).to_vec()
    }

    fn send_bytes_on(&mut self, connection: &'static str, title: &str, version: i16, bytes: &[u8]) -> Pending {
        self.correlation += 1;
        let correlation = self.correlation;
        let mut bytes = bytes.to_vec();
        bytes[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&correlation.to_be_bytes());
        self.connection(connection).send(&bytes);
        Pending { connection, title: title.to_owned(), version, correlation }
    }

    fn receive_part<R: Asked>(&mut self, pending: Pending, edit: impl FnOnce(&mut R::Response)) -> R::Response {
        self.receive_noting::<R>(pending, |_, answer| edit(answer))
    }

    fn receive_noting<R: Asked>(
        &mut self,
        pending: Pending,
        before: impl FnOnce(&mut Self, &mut R::Response),
    ) -> R::Response {
        let key = self.key::<R>(&pending.title, pending.version);
        let (answer, outcome) = match self.reply::<R>(&pending) {
            Ok(mut answer) => {
                before(self, &mut answer);
                gather(&mut answer);
                let outcome = self.mask.show(&answer, &records(&answer));
                (answer, outcome)
            }
            Err(outcome) => (R::Response::default(), outcome),
        };
        self.note(key, outcome);
        answer
    }

    /// The answer, or what came in its place. A connection that is of no more use is opened anew when next needed.
    fn reply<R: Asked>(&mut self, pending: &Pending) -> Result<R::Response, String> {
        let answer = match self.connection(pending.connection).receive() {
            Reply::Frame(frame) => match frame::correlation_id(&frame) {
                Ok(id) if id == pending.correlation => {
                    frame::decode_response::<R>(&frame, pending.version).map_err(|error| error.to_string())
                }
                _ => Err("an answer to another request".to_owned()),
            },
            reply => Err(Self::no_answer(&reply)),
        };
        if answer.is_err() {
            self.connections.remove(pending.connection);
        }
        answer
    }

    fn no_answer(reply: &Reply) -> String {
        match reply {
            Reply::Frame(_) => "an answer to another request",
            Reply::Closed => "closed",
            Reply::Silence => "silence",
        }
        .to_owned()
    }

    fn key<R: Request>(&self, title: &str, version: i16) -> Key {
        let version = Version { own: version, pass: self.pass.unwrap_or(version) };
        Key { api: R::KEY.to_string(), title: title.to_owned(), version }
    }

    fn note(&mut self, key: Key, outcome: String) {
        assert!(self.keys.insert(key.clone()), "two steps are called {key}");
        self.steps.push(Step { key, outcome });
    }

    fn connection(&mut self, name: &'static str) -> &mut Connection {
        self.connections.entry(name).or_insert_with(|| Connection::open(&self.address))
    }
}

/// Where Kafka tells of a topic in several places, as it does in fetch sessions, makes one of them.
fn gather(answer: &mut dyn Any) {
    let Some(fetched) = answer.downcast_mut::<FetchResponse>() else { return };
    let mut topics: Vec<FetchableTopicResponse> = Vec::new();
    for topic in fetched.responses.drain(..) {
        match topics.iter_mut().find(|other| (&other.topic, other.topic_id) == (&topic.topic, topic.topic_id)) {
            Some(other) => other.partitions.extend(topic.partitions),
            None => topics.push(topic),
        }
    }
    fetched.responses = topics;
}

/// What the fields `records` of an answer hold, as far as they are not null.
fn records(answer: &dyn Any) -> Vec<String> {
    let Some(fetched) = answer.downcast_ref::<FetchResponse>() else { return Vec::new() };
    let partitions = fetched.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .filter_map(|partition| partition.records.as_ref())
        .map(|records: &Bytes| batches::describe(records))
        .collect()
}
