//! One request on its way through the broker: who asks, who answers, and how an answer is waited for.
//!
//! A connection's requests are served one after the other on its own thread, as Kafka does it: nothing more is read
//! from a connection until its request is answered. What must wait (a fetch for records, a join for the other members)
//! waits at the connection's [`Doorbell`], which whoever brings the news rings.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::groups::Asker;
use crate::kafka::protocol::{ErrorCode, Frame, Request, Uuid};
use crate::sync::lock;

/// What a handler knows of the request beside its body.
pub(super) struct Call<'a> {
    pub(super) cluster: &'a Cluster,
    /// The broker that was asked.
    pub(super) node: i32,
    pub(super) version: i16,
    pub(super) client: &'a Client,
    pub(super) doorbell: &'a Arc<Doorbell>,
}

/// The other end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Client {
    /// What it calls itself; may be empty.
    pub(super) id: String,
    /// Where it comes from, as Kafka shows it: `/127.0.0.1`.
    pub(super) host: String,
}

impl Client {
    /// Its id, for a line of the log.
    pub(super) fn shown(&self) -> String {
        const LONGEST: usize = 64;
        self.id.escape_debug().take(LONGEST).collect()
    }
}

/// An API at the broker.
pub(super) trait Handler: Request {
    /// Does what is asked.
    fn serve(self, call: &Call<'_>) -> Reply<Self::Response>;

    /// The answer that has this error in every place where this API can have one; nothing is done.
    fn refuse(&self, call: &Call<'_>, code: ErrorCode) -> Self::Response;

    /// Whether an answer belongs to it at all.
    fn is_answered(&self) -> bool {
        true
    }

    /// What the request is about, for the faults that choose by it.
    fn subject(&self) -> Subject<'_> {
        Subject::default()
    }

    /// The topics that it knows by their id only.
    fn topic_ids(&self) -> Vec<Uuid> {
        Vec::new()
    }

    /// The fetch session whose topics it does not repeat; 0 is none.
    fn session(&self) -> i32 {
        0
    }
}

/// What a request is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject<'a> {
    pub(super) topics: Vec<&'a str>,
    pub(super) group: Option<&'a str>,
}

impl<'a> Subject<'a> {
    pub(super) fn group(group: &'a str) -> Self {
        Self { topics: Vec::new(), group: Some(group) }
    }

    pub(super) fn topics(topics: impl IntoIterator<Item = &'a str>) -> Self {
        Self { topics: topics.into_iter().collect(), group: None }
    }
}

impl Call<'_> {
    /// Whether the broker that was asked has this group.
    ///
    /// # Errors
    /// INVALID_GROUP_ID or NOT_COORDINATOR.
    pub(super) fn check_group(&self, group: &str) -> Result<(), ErrorCode> {
        if group.is_empty() { Err(ErrorCode::INVALID_GROUP_ID) } else { self.check_coordinator(group) }
    }

    /// As [`check_group`](Self::check_group), where the id may be empty: for positions without a group.
    ///
    /// # Errors
    /// NOT_COORDINATOR.
    pub(super) fn check_coordinator(&self, group: &str) -> Result<(), ErrorCode> {
        match self.cluster.coordinator(group) {
            Some(node) if node.id == self.node => Ok(()),
            _ => Err(ErrorCode::NOT_COORDINATOR),
        }
    }

    pub(super) fn asker(&self) -> Asker<'_> {
        Asker { version: self.version, client: self.client }
    }
}

/// How a request ends.
#[derive(Debug)]
pub(super) enum Reply<T> {
    Answer(T),
    /// No answer belongs to it: Produce with `acks=0`.
    Silence,
    /// The connection is closed in place of an answer.
    HangUp,
}

impl<T> Reply<T> {
    /// Works over the answer, if there is one.
    pub(super) fn map<U>(self, work: impl FnOnce(T) -> U) -> Reply<U> {
        match self {
            Reply::Answer(answer) => Reply::Answer(work(answer)),
            Reply::Silence => Reply::Silence,
            Reply::HangUp => Reply::HangUp,
        }
    }
}

/// What a connection does once a request is dealt with.
#[derive(Debug)]
pub(super) enum Outcome {
    Answer(Frame),
    /// These bytes, which are no answer any more.
    Garbled(Vec<u8>),
    /// Sends these bytes and closes.
    Last(Vec<u8>),
    Nothing,
    Close,
    /// Answers nothing any more, until the client closes.
    Mute,
}

/// Wakes the thread of one connection.
#[derive(Debug, Default)]
pub(super) struct Doorbell {
    state: Mutex<Ring>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Ring {
    rung: bool,
    closed: bool,
}

/// Why a wait at a [`Doorbell`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Somebody rang since the last wait.
    Rung,
    /// The time is over.
    Late,
    /// The connection ends.
    Closed,
}

impl Doorbell {
    /// Wakes the thread now or at its next wait.
    pub(super) fn ring(&self) {
        lock(&self.state).rung = true;
        self.changed.notify_all();
    }

    /// Ends every wait, now and later.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    /// Waits until it is rung, at the latest until `until`; for ever without it.
    pub(super) fn wait(&self, until: Option<Instant>) -> Woken {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return Woken::Closed;
            }
            if std::mem::take(&mut state.rung) {
                return Woken::Rung;
            }
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Woken::Late,
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}

/// An answer that another thread will give. Dropped unfulfilled, it ends the connection.
#[derive(Debug)]
pub(super) struct Promise<T> {
    place: Arc<Mutex<Place<T>>>,
    doorbell: Arc<Doorbell>,
}

/// Where a [`Promise`] is waited for.
#[derive(Debug)]
pub(super) struct Promised<T> {
    place: Arc<Mutex<Place<T>>>,
    doorbell: Arc<Doorbell>,
}

#[derive(Debug)]
enum Place<T> {
    Open,
    Full(T),
    Broken,
}

/// A promise to the connection with this doorbell, and where to wait for it.
pub(super) fn promise<T>(doorbell: &Arc<Doorbell>) -> (Promise<T>, Promised<T>) {
    let place = Arc::new(Mutex::new(Place::Open));
    let promise = Promise { place: Arc::clone(&place), doorbell: Arc::clone(doorbell) };
    (promise, Promised { place, doorbell: Arc::clone(doorbell) })
}

impl<T> Promise<T> {
    /// Gives the answer. Nothing happens if nobody waits any more.
    pub(super) fn fulfil(self, answer: T) {
        *lock(&self.place) = Place::Full(answer);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let mut place = lock(&self.place);
        if matches!(*place, Place::Open) {
            *place = Place::Broken;
        }
        drop(place);
        self.doorbell.ring();
    }
}

impl<T> Promised<T> {
    /// Waits for the answer; whoever promised it sees to it that it comes.
    pub(super) fn wait(self) -> Reply<T> {
        loop {
            match std::mem::replace(&mut *lock(&self.place), Place::Open) {
                Place::Full(answer) => return Reply::Answer(answer),
                Place::Broken => return Reply::HangUp,
                Place::Open => {}
            }
            if self.doorbell.wait(None) == Woken::Closed {
                return Reply::HangUp;
            }
        }
    }

    /// The answer, if it is there by now; with it the promise is over.
    #[cfg(test)]
    pub(super) fn poll(&self) -> Option<Reply<T>> {
        match std::mem::replace(&mut *lock(&self.place), Place::Open) {
            Place::Full(answer) => Some(Reply::Answer(answer)),
            Place::Broken => Some(Reply::HangUp),
            Place::Open => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_kept_across_threads_or_ends_the_connection() {
        let doorbell = Arc::new(Doorbell::default());
        let (giver, taker) = promise(&doorbell);
        let thread = std::thread::spawn(move || giver.fulfil(7));
        assert!(matches!(taker.wait(), Reply::Answer(7)));
        thread.join().unwrap();

        let (giver, taker) = promise::<i32>(&doorbell);
        drop(giver);
        assert!(matches!(taker.wait(), Reply::HangUp));

        let (giver, taker) = promise::<i32>(&doorbell);
        doorbell.close();
        assert!(matches!(taker.wait(), Reply::HangUp));
        giver.fulfil(1);
    }

    #[test]
    fn a_ring_before_the_wait_is_not_lost_and_counts_once() {
        let doorbell = Doorbell::default();
        doorbell.ring();
        assert_eq!(doorbell.wait(None), Woken::Rung);
        assert_eq!(doorbell.wait(Some(Instant::now())), Woken::Late);
    }
}
