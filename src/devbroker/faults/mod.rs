//! Faults: what a broker does wrong, for whom and when.
//!
//! A fault of requests is met by each request between its decoding and its work; one that falls due by time is carried
//! out by a thread of its own (`timed.rs`). Here is what both are and which request meets which; what it costs a request
//! is written in `serve.rs`, how a fault is written on a command line in `spec.rs`.

mod injected;
mod serve;
mod spec;
mod timed;

use std::time::Duration;

pub use self::injected::FaultId;
pub(super) use self::injected::Faults;
pub(super) use self::serve::serve;
pub(super) use self::timed::Timed;

use super::handlers;
use crate::kafka::protocol::{ApiKey, ErrorCode};

/// The longest time that a fault can speak of.
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

/// Something that goes wrong at a broker.
///
/// It is made by saying what goes wrong, and narrowed down by for whom and when:
///
/// ```
/// use krs::devbroker::Fault;
/// use krs::kafka::protocol::{ApiKey, ErrorCode};
///
/// let stale = Fault::error(ErrorCode::NOT_LEADER_OR_FOLLOWER).on(ApiKey::Produce).every(50);
/// assert_eq!(stale.to_string(), "produce:error=NOT_LEADER_OR_FOLLOWER,every=50");
/// assert_eq!("produce:error=6,every=50".parse::<Fault>()?, stale);
/// # Ok::<(), krs::Error>(())
/// ```
///
/// If a request meets several faults, their delays add up, and of the others the one that was injected first acts; those
/// behind it do not see the request.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    deed: Deed,
    /// Any, if there is none.
    apis: Vec<ApiKey>,
    topic: Option<String>,
    group: Option<String>,
    /// The client id of who asks.
    client: Option<String>,
    broker: Option<i32>,
    after_work: bool,
    delay: Duration,
    every: Option<u64>,
    /// Of a fault that falls due by time: how often it comes back.
    again: Option<Duration>,
    next: Option<u64>,
    skip: u64,
    probability: Option<f64>,
    seed: Option<u64>,
    after: Duration,
    lasting: Option<Duration>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Only the delay, if there is one.
    Nothing,
    Error(ErrorCode),
    Drop,
    DropInside,
    DropAfter,
    /// After so many bytes of the answer; half of it without.
    Truncate(Option<u32>),
    Garble,
    Silence,
    Starve,
    Down(Duration),
    Cut,
    MoveLeader,
    MoveCoordinator,
    ExpireProducers,
}

impl Deed {
    /// Whether it falls due by time, whatever is asked.
    fn is_timed(self) -> bool {
        matches!(self, Self::Down(_) | Self::Cut | Self::MoveLeader | Self::MoveCoordinator | Self::ExpireProducers)
    }
}

/// What goes wrong.
impl Fault {
    fn new(deed: Deed) -> Self {
        Self {
            deed,
            apis: Vec::new(),
            topic: None,
            group: None,
            client: None,
            broker: None,
            after_work: false,
            delay: Duration::ZERO,
            every: None,
            again: None,
            next: None,
            skip: 0,
            probability: None,
            seed: None,
            after: Duration::ZERO,
            lasting: None,
        }
    }

    /// This error is the answer, in every place of it that can have one. Nothing is done, unless
    /// [`after_work`](Self::after_work) says otherwise.
    pub fn error(code: ErrorCode) -> Self {
        Self::new(Deed::Error(code))
    }

    /// The request waits so long before anything is done with it, and so does everything behind it on its connection.
    pub fn delay(time: Duration) -> Self {
        Self { delay: whole(time), ..Self::new(Deed::Nothing) }
    }

    /// The connection is closed. Nothing is done.
    pub fn drop() -> Self {
        Self::new(Deed::Drop)
    }

    /// The connection is closed while the request is still being read: only its first bytes are seen.
    pub fn drop_inside() -> Self {
        Self::new(Deed::DropInside)
    }

    /// The work is done and the connection closed in place of an answer.
    pub fn drop_after() -> Self {
        Self::new(Deed::DropAfter)
    }

    /// The work is done, half of the answer is sent and the connection closed.
    pub fn truncate() -> Self {
        Self::new(Deed::Truncate(None))
    }

    /// The work is done, so many bytes of the answer are sent and the connection is closed. The first four bytes of an
    /// answer are its size, the next four repeat the number of the request.
    pub fn truncate_to(bytes: u32) -> Self {
        Self::new(Deed::Truncate(Some(bytes)))
    }

    /// The work is done; of the bytes of the answer, its size excepted, about every eighth is another. Which ones, and
    /// how, depends on the seed and on how often the fault acted.
    pub fn garble() -> Self {
        Self::new(Deed::Garble)
    }

    /// Neither this nor anything that comes after it on the connection is answered; the connection stays open until the
    /// client closes it. Nothing is done, unless [`after_work`](Self::after_work) says otherwise.
    pub fn silence() -> Self {
        Self::new(Deed::Silence)
    }

    /// The fetch session of this request is told of nothing any more, as if nothing were ever appended. Requests that are
    /// not in a session are served as ever.
    pub fn starve() -> Self {
        Self::new(Deed::Starve)
    }

    /// A broker stops and starts again after this time, on the same port.
    pub fn down(time: Duration) -> Self {
        Self::new(Deed::Down(whole(time)))
    }

    /// The connections of a broker are cut.
    pub fn cut() -> Self {
        Self::new(Deed::Cut)
    }

    /// Each partition is led by the next broker. There must be several.
    pub fn move_leader() -> Self {
        Self::new(Deed::MoveLeader)
    }

    /// Each group that is known gets the next broker as its coordinator. There must be several.
    pub fn move_coordinator() -> Self {
        Self::new(Deed::MoveCoordinator)
    }

    /// The brokers forget all idempotent producers.
    pub fn expire_producers() -> Self {
        Self::new(Deed::ExpireProducers)
    }
}

/// For whom.
impl Fault {
    /// Only requests of this API; called more than once, of any of these APIs.
    #[must_use]
    pub fn on(mut self, api: ApiKey) -> Self {
        if !self.apis.contains(&api) {
            self.apis.push(api);
        }
        self
    }

    /// Only requests that name this topic.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..self }
    }

    /// Only requests that name this group.
    #[must_use]
    pub fn group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// Only requests of clients that call themselves so (`client.id`).
    #[must_use]
    pub fn client(self, id: impl Into<String>) -> Self {
        Self { client: Some(id.into()), ..self }
    }

    /// Only at the broker with this node id.
    #[must_use]
    pub fn broker(self, node: i32) -> Self {
        Self { broker: Some(node), ..self }
    }

    /// The work is done before the error is answered, or the silence begins.
    #[must_use]
    pub fn after_work(self) -> Self {
        Self { after_work: true, ..self }
    }

    /// Waits so long before anything else happens.
    #[must_use]
    pub fn delayed(self, time: Duration) -> Self {
        Self { delay: whole(time), ..self }
    }
}

/// When.
impl Fault {
    /// Only every so manieth request: the n-th, the 2n-th and so on.
    #[must_use]
    pub fn every(self, nth: u64) -> Self {
        Self { every: Some(nth), ..self }
    }

    /// Of a fault that falls due by time: again and again, with so much time from one beginning to the next.
    #[must_use]
    pub fn repeated(self, time: Duration) -> Self {
        Self { again: Some(whole(time)), ..self }
    }

    /// So often, and then never again.
    #[must_use]
    pub fn next(self, times: u64) -> Self {
        Self { next: Some(times), ..self }
    }

    /// Not the first so many requests.
    #[must_use]
    pub fn skip(self, requests: u64) -> Self {
        Self { skip: requests, ..self }
    }

    /// Each request with this probability.
    #[must_use]
    pub fn probability(self, p: f64) -> Self {
        Self { probability: Some(p), ..self }
    }

    /// What chance begins with, where there is some: the same seed has the same effect on the same requests. Default 1.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Not before so much time has passed since it was injected.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self { after: whole(time), ..self }
    }

    /// For so long, from its beginning.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Self {
        Self { lasting: Some(whole(time)), ..self }
    }
}

impl Fault {
    /// Whether it falls due by time, whatever is asked.
    pub(super) fn is_timed(&self) -> bool {
        self.deed.is_timed()
    }

    /// The one broker that it is about, if it is about one.
    pub(super) fn node(&self) -> Option<i32> {
        self.broker
    }

    /// Why it cannot be, if it cannot.
    pub(super) fn contradiction(&self) -> Option<String> {
        let no = |text: &str| Some(text.to_owned());
        if let Some(api) = self.apis.iter().find(|api| handlers::versions(**api).is_none()) {
            return Some(format!("the development broker does not serve {api:?}"));
        }
        if [&self.topic, &self.group, &self.client].into_iter().any(|name| name.as_deref() == Some("")) {
            return no("a name is empty");
        }
        if self.next == Some(0) || self.every == Some(0) || self.again == Some(Duration::ZERO) {
            return no("next and every begin at 1");
        }
        if self.is_timed() {
            return self.contradiction_of_timed();
        }
        if self.again.is_some() {
            return no("every counts requests here: every=50");
        }
        if self.probability.is_some_and(|p| !(p > 0.0 && p <= 1.0)) {
            return no("a probability is above 0 and at most 1");
        }
        match self.deed {
            Deed::Nothing if self.delay.is_zero() => no("it does nothing"),
            Deed::Error(ErrorCode::NONE) => no("0 is no error"),
            Deed::DropInside if self.topic.is_some() || self.group.is_some() || self.client.is_some() => {
                no("drop-inside closes before topic, group or client is read")
            }
            Deed::DropInside if !self.delay.is_zero() => no("drop-inside has no delay"),
            Deed::Error(_) | Deed::Silence => None,
            _ if self.after_work => no("after-work goes with error and silence only"),
            _ => None,
        }
    }

    fn contradiction_of_timed(&self) -> Option<String> {
        let counted = self.every.is_some() || self.skip > 0 || self.probability.is_some() || self.seed.is_some();
        let of_requests = !self.apis.is_empty() || self.after_work || !self.delay.is_zero() || self.client.is_some();
        let text = if of_requests {
            "it has to do with no request, so it takes no API, client, delay or after-work"
        } else if counted || self.lasting.is_some() {
            "it falls due by time, so it takes after=10s, every=30s and next=3 only"
        } else if self.broker.is_some() && !matches!(self.deed, Deed::Down(_) | Deed::Cut) {
            "broker goes with down and cut, and with faults of requests"
        } else if self.topic.is_some() && self.deed != Deed::MoveLeader {
            "topic goes with move-leader, and with faults of requests"
        } else if self.group.is_some() && self.deed != Deed::MoveCoordinator {
            "group goes with move-coordinator, and with faults of requests"
        } else {
            match (self.deed, self.again) {
                (Deed::Down(down), Some(again)) if again <= down => "the broker would not be up in between",
                (Deed::Down(Duration::ZERO), _) => "0 is no time",
                _ => return None,
            }
        };
        Some(text.to_owned())
    }
}

/// In whole milliseconds, as it is written.
fn whole(time: Duration) -> Duration {
    // A year fits.
    Duration::from_millis(time.min(YEAR).as_millis() as u64)
}
