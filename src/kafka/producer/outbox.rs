//! A broker's list of partitions that have something to send, and how its sender is woken.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::accumulator::Partition;
use crate::clock::Deadline;
use crate::sync::lock;

/// Shared by those who fill it (`send`, completion), and the one sender that empties it.
///
/// A partition is on one list at most; its queue knows which. Locks are taken in the order queue, outbox.
pub(super) struct Outbox {
    /// The broker's node id, or [`NOBODY`](Self::NOBODY).
    pub(super) node: i32,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Arc<Partition>>,
    /// By when each request in flight must be answered, oldest first.
    in_flight: VecDeque<Deadline>,
    /// Something happened since the sender last looked.
    news: bool,
    /// An answer came, and whatever has gathered meanwhile may go.
    answered: bool,
    /// An answer came, also to a sender that sleeps on with nothing to send.
    replied: bool,
    /// The sender waits for answers, also with nothing to send.
    wants_answers: bool,
    /// The connection has met its end, and everything that was in flight on it has come back.
    ended: bool,
    throttled_until: Option<Instant>,
    sleeping: bool,
    stopped: bool,
}

/// What the sender finds when it wakes.
pub(super) struct Turn {
    pub(super) ready: VecDeque<Arc<Partition>>,
    pub(super) in_flight: usize,
    pub(super) answered: bool,
    /// The broker works: it answered since the last turn.
    pub(super) replied: bool,
    pub(super) ended: bool,
    pub(super) stopped: bool,
    /// When the first of the requests in flight is overdue.
    pub(super) overdue: Option<Deadline>,
    /// The broker asked for silence until then.
    pub(super) throttled_until: Option<Instant>,
}

impl Outbox {
    /// The list of partitions without a leader: they wait, and expire, here.
    pub(super) const NOBODY: i32 = -1;

    pub(super) fn new(node: i32) -> Self {
        Self { node, state: Mutex::default(), wake: Condvar::new() }
    }

    /// Puts a partition on the list and wakes the sender, if that can do anything about it.
    pub(super) fn push(&self, partition: Arc<Partition>, capacity: usize) {
        let mut state = lock(&self.state);
        state.ready.push_back(partition);
        // With requests in flight and none to spare, the next answer is soon enough.
        let wake = state.in_flight.len() < capacity;
        self.notify(state, wake);
    }

    /// Wakes the sender: a batch is full, memory is short, someone flushes, or the metadata changed.
    pub(super) fn urge(&self) {
        self.notify(lock(&self.state), true);
    }

    /// Like [`urge`](Self::urge), unless so many requests are in flight that the next answer is soon enough.
    pub(super) fn urge_below(&self, capacity: usize) {
        let state = lock(&self.state);
        let wake = state.in_flight.len() < capacity;
        self.notify(state, wake);
    }

    /// Nothing is to be sent before this time: the broker asks for it (KIP-219).
    pub(super) fn throttle(&self, until: Instant) {
        let mut state = lock(&self.state);
        state.throttled_until = state.throttled_until.max(Some(until));
    }

    /// An answer came. The oldest request is not in flight any more.
    pub(super) fn answered(&self) {
        let mut state = lock(&self.state);
        state.in_flight.pop_front();
        state.replied = true;
        let idle = state.sleeping && state.ready.is_empty() && !state.wants_answers;
        if !idle {
            state.answered = true;
            self.notify(state, true);
        }
    }

    /// The connection has met its end.
    pub(super) fn ended(&self) {
        let mut state = lock(&self.state);
        state.in_flight.clear();
        state.ended = true;
        self.notify(state, true);
    }

    pub(super) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        self.notify(state, true);
    }

    fn notify(&self, mut state: std::sync::MutexGuard<'_, State>, wake: bool) {
        if wake {
            state.news = true;
            if state.sleeping {
                state.sleeping = false;
                drop(state);
                self.wake.notify_one();
            }
        }
    }

    /// A request is about to be written; its answer is due by then.
    pub(super) fn sending(&self, answer_by: Deadline) {
        lock(&self.state).in_flight.push_back(answer_by);
    }

    /// It could not be written, and no answer will come. Forgotten already if the connection's end was faster.
    pub(super) fn unsent(&self) {
        lock(&self.state).in_flight.pop_back();
    }

    /// Puts back, in front, what the sender took and could not send completely.
    pub(super) fn put_back(&self, mut partitions: VecDeque<Arc<Partition>>) {
        let mut state = lock(&self.state);
        partitions.append(&mut state.ready);
        state.ready = partitions;
    }

    /// Sleeps until something happened, or until `at`; then takes the list. With nothing on it, an answer is something
    /// only to a sender that `wants_answers`.
    pub(super) fn wait(&self, at: Option<Instant>, wants_answers: bool) -> Turn {
        let mut state = lock(&self.state);
        state.wants_answers = wants_answers;
        while !state.news && !state.stopped {
            state.sleeping = true;
            state = match at {
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.sleeping = false;
        state.news = false;
        Turn {
            ready: std::mem::take(&mut state.ready),
            in_flight: state.in_flight.len(),
            answered: std::mem::take(&mut state.answered),
            replied: std::mem::take(&mut state.replied),
            ended: std::mem::take(&mut state.ended),
            stopped: state.stopped,
            overdue: state.in_flight.iter().min_by_key(|deadline| deadline.at).copied(),
            throttled_until: state.throttled_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A connection that ended between a look at it and the next request left that request in flight for ever: the new
    /// connection sent nothing by itself, and was ended for an answer that nobody owed.
    #[test]
    fn a_request_that_was_never_written_is_not_in_flight() {
        let outbox = Outbox::new(1);
        let deadline = Deadline::after("request.timeout.ms", Duration::from_secs(1));
        outbox.sending(deadline);
        outbox.ended();
        outbox.sending(deadline);
        outbox.unsent();
        let turn = outbox.wait(Some(Instant::now()), false);
        assert!(turn.ended && turn.in_flight == 0 && turn.overdue.is_none());

        outbox.sending(deadline);
        outbox.ended();
        outbox.unsent();
        assert_eq!(outbox.wait(Some(Instant::now()), false).in_flight, 0);
    }
}
