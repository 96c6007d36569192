//! One thread per leader: asks it where its logs begin and end, and for records, ahead of `poll`.
//!
//! As soon as an answer's batch headers tell where the next fetch starts, the next request goes out; only then are
//! checksums computed and records decompressed and validated, so that the broker works meanwhile. With a small answer it
//! is the other way round: its records are not to wait for a system call. What to ask is
//! decided in `fetching.rs`, and so is what an answer means.

use std::time::{Duration, Instant};

use super::REFUSED_RETRY;
use super::answers::{Answer, Unprepared, hints, names, scan};
use super::core::{Core, Shared};
use super::fetch_buffer::Item;
use super::fetching::{Asked, Plan, Work, unfolded_at_once};
use super::offsets::LogEnd;
use super::session::{Session, most_version};
use super::truncation::check_request;
use crate::clock::{Backoff, Deadline};
use crate::kafka::config::IsolationLevel;
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::net::{Closer, Connection};
use crate::kafka::protocol::messages::{
    FetchRequest, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic, OffsetForLeaderEpochRequest,
};
use crate::kafka::protocol::{ErrorCode, Spares};

/// A fetcher whose broker has led nothing of ours for this long ends.
const IDLE: Duration = Duration::from_secs(30);
/// So many buffers of decompressed batches are kept. Looking for a free one stays cheap, and small ones are quickly made.
const MOST_SPARES: usize = 32;
/// An answer of up to so many bytes is handed over within microseconds.
const SMALL: usize = 16 << 10;

/// Runs until the consumer closes or `node` has been of no use for a while.
pub(super) fn run(shared: &Shared, node: i32, closer: &Closer) {
    let client = &shared.settings.client;
    let backoff = Backoff::new(client.reconnect_backoff, client.reconnect_backoff_max);
    let failures = Failures { backoff, complained: false };
    // As much again as may wait in the buffer, for what was handed over.
    let spares = Spares::new(MOST_SPARES, shared.lock().share(&shared.settings).saturating_mul(2));
    let mut fetcher = Fetcher {
        shared,
        node,
        closer,
        connection: None,
        session: Session::default(),
        sessions_lost: 0,
        in_flight: None,
        not_before: None,
        failures,
        spares,
    };
    while let Some(work) = fetcher.wait_for_work() {
        if let Err(error) = fetcher.follow(work) {
            fetcher.give_back();
            if closer.is_closed() {
                return;
            }
            fetcher.leave_replica();
            fetcher.connection = None;
            fetcher.not_before = Some(Instant::now() + fetcher.failures.count(node, &error));
            if !error.is_retriable() && error.kind() != ErrorKind::Protocol {
                shared.lock().errors.push_back(error);
                shared.app.notify_all();
            }
            shared.cluster.request_refresh();
        }
    }
}

/// Failures in a row, and what was said about them.
struct Failures {
    backoff: Backoff,
    complained: bool,
}

impl Failures {
    fn count(&mut self, node: i32, error: &Error) -> Duration {
        let level = if self.complained { log::Level::Debug } else { log::Level::Warn };
        log::log!(level, "cannot fetch from broker {node}: {error}; still trying");
        self.complained = true;
        if error.is_retriable() { self.backoff.failed() } else { REFUSED_RETRY }
    }

    fn none(&mut self, node: i32) {
        if self.complained {
            log::info!("fetching from broker {node} works again");
            self.complained = false;
        }
        self.backoff.reset();
    }
}

struct Fetcher<'a> {
    shared: &'a Shared,
    node: i32,
    closer: &'a Closer,
    connection: Option<Connection>,
    /// Of this connection.
    session: Session,
    /// In a row.
    sessions_lost: u32,
    in_flight: Option<Vec<Asked>>,
    /// Nothing is sent before this moment.
    not_before: Option<Instant>,
    failures: Failures,
    /// For what is decompressed.
    spares: Spares,
}

impl Fetcher<'_> {
    /// None ends the thread.
    fn wait_for_work(&mut self) -> Option<Work> {
        let mut core = self.shared.lock();
        let idle_since = Instant::now();
        loop {
            if core.closed {
                return None;
            }
            let now = Instant::now();
            let until = match self.not_before.filter(|moment| now < *moment) {
                Some(moment) => Some(moment),
                None => match core.plan(self.node, 0, now, &self.shared.settings) {
                    Plan::Do(work) => return Some(work),
                    Plan::Wait(until) => until,
                    Plan::Useless if now >= idle_since + IDLE => {
                        core.fetchers.remove(&self.node);
                        return None;
                    }
                    Plan::Useless => Some(idle_since + IDLE),
                },
            };
            core.idle_fetchers += 1;
            core = self.shared.sleep(&self.shared.fetch, core, until);
            core.idle_fetchers -= 1;
        }
    }

    /// Does this work, and fetching on from it as long as there is something to fetch.
    fn follow(&mut self, work: Work) -> Result<()> {
        match work {
            Work::List(asked) => self.list(asked),
            Work::Check(asked) => self.check(asked),
            Work::Probe(asked) => self.probe(asked),
            Work::Fetch { asked, max_bytes } => {
                self.send(asked, max_bytes)?;
                while let Some(asked) = self.in_flight.clone() {
                    self.receive(asked)?;
                }
                Ok(())
            }
        }
    }

    fn connection(&mut self) -> Result<&mut Connection> {
        if self.connection.as_ref().is_none_or(Connection::is_ended) {
            self.connection = None;
            self.session = Session::default();
            let limit = self.shared.settings.client.request_timeout;
            let deadline = Deadline::after("request.timeout.ms", limit);
            self.connection = Some(self.shared.cluster.connect(self.node, self.closer, deadline)?);
        }
        self.connection.as_mut().ok_or_else(Closer::error)
    }

    fn deadline(&self) -> Deadline {
        Deadline::after("request.timeout.ms", self.shared.settings.client.request_timeout)
    }

    fn send(&mut self, asked: Vec<Asked>, max_bytes: i32) -> Result<()> {
        let most = most_version(&asked);
        self.in_flight = Some(asked);
        let version = self.connection()?.versions().negotiate_up_to::<FetchRequest>(most)?;
        let settings = &self.shared.settings;
        let avoid = self.shared.lock().avoid_replicas.is_some_and(|until| Instant::now() < until);
        let rack = settings.client.client_rack.clone().filter(|_| !avoid);
        let request = FetchRequest {
            max_wait_ms: i32::try_from(settings.fetch_max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: settings.fetch_min_bytes,
            max_bytes,
            isolation_level: settings.isolation_level.code(),
            rack_id: rack.unwrap_or_default(),
            ..self.session.request(self.in_flight.as_deref().unwrap_or_default(), version)
        };
        let deadline = self.deadline();
        self.connection()?.send_version(&request, version, deadline)
    }

    fn receive(&mut self, asked: Vec<Asked>) -> Result<()> {
        let deadline = self.deadline();
        let response = self.connection()?.receive::<FetchRequest>(deadline)?;
        self.failures.none(self.node);
        self.throttle(response.throttle_time_ms);
        let now = Instant::now();
        if !self.session.answered(&response) {
            return self.session_lost(response.error_code, now);
        }
        self.in_flight = None;
        self.sessions_lost = 0;
        let names = names(&asked, &response);
        // First, so that whoever is refused for it need not wait.
        self.shared.cluster.follow_hints(&hints(&response, &names), &response.node_endpoints);
        let answers = scan(asked, response, &names, self.shared.settings.isolation_level, &mut self.session);
        let pending = answers.iter().map(Answer::bytes).sum();

        let mut core = self.shared.lock();
        let refresh = core.note(self.node, &answers, now, &self.shared.settings);
        // Few records are handed over before the next request takes its time, many while the broker works on it.
        let small = pending <= SMALL;
        let next = if small { None } else { self.next_fetch(&mut core, pending, now) };
        self.let_others(&mut core);
        drop(core);
        if answers.iter().any(Answer::is_refusal) {
            self.shared.app.notify_all();
        }
        if refresh {
            self.shared.cluster.request_refresh();
        }
        if small {
            // The log is nearly read up: large buffers have had their time.
            self.spares.release(SMALL);
            self.publish(answers);
            let next = self.next_fetch(&mut self.shared.lock(), 0, now);
            return self.send_next(next);
        }
        let sent = self.send_next(next);
        if sent.is_err() {
            // Handing over may have to wait; others need not wait for it.
            self.give_back();
        }
        self.publish(answers);
        sent
    }

    /// A session that is lost is no failure, unless it happens again at once.
    fn session_lost(&mut self, code: ErrorCode, now: Instant) -> Result<()> {
        log::debug!("broker {} has no such fetch session any more: {code}", self.node);
        self.give_back();
        if self.sessions_lost > 0 {
            self.not_before = Some(now + self.shared.settings.client.retry_backoff);
        }
        self.sessions_lost = self.sessions_lost.saturating_add(1);
        let next = self.next_fetch(&mut self.shared.lock(), 0, now);
        self.send_next(next)
    }

    /// What to ask for next, if anything; `pending` bytes are not in the buffer yet.
    fn next_fetch(&self, core: &mut Core, pending: usize, now: Instant) -> Option<(Vec<Asked>, i32)> {
        if self.not_before.is_some_and(|moment| now < moment) {
            return None;
        }
        match core.plan(self.node, pending, now, &self.shared.settings) {
            Plan::Do(Work::Fetch { asked, max_bytes }) => Some((asked, max_bytes)),
            _ => None,
        }
    }

    fn send_next(&mut self, next: Option<(Vec<Asked>, i32)>) -> Result<()> {
        next.map_or(Ok(()), |(asked, max_bytes)| self.send(asked, max_bytes))
    }

    fn publish(&mut self, answers: Vec<Answer>) {
        let check_crcs = self.shared.settings.check_crcs;
        let mut prepared = Vec::with_capacity(answers.len());
        let at_once = unfolded_at_once(&self.shared.settings);
        let mut room = at_once;
        for mut rest in answers.into_iter().filter_map(Unprepared::of) {
            loop {
                let items = rest.prepare(check_crcs, &mut room, &mut self.spares);
                let done = rest.is_done();
                prepared.push((rest.asked.clone(), items, done));
                if done {
                    break;
                }
                self.hand_over(&mut prepared);
                if !self.wait_for_room(&rest.asked) {
                    break;
                }
                room = at_once;
            }
        }
        self.hand_over(&mut prepared);
    }

    fn hand_over(&self, prepared: &mut Vec<(Asked, Vec<Item>, bool)>) {
        if prepared.is_empty() {
            return;
        }
        let mut core = self.shared.lock();
        let mut news = false;
        for (asked, items, last) in prepared.drain(..) {
            news |= core.publish(self.node, &asked, items, last);
        }
        self.let_others(&mut core);
        drop(core);
        if news {
            self.shared.app.notify_all();
        }
    }

    /// Waits until more may be decompressed; false when nobody wants it any more.
    fn wait_for_room(&self, asked: &Asked) -> bool {
        let mut core = self.shared.lock();
        while !core.closed {
            match core.room(self.node, asked, Instant::now(), &self.shared.settings) {
                None => return false,
                Some(true) => return true,
                Some(false) => {
                    core.idle_fetchers += 1;
                    core = self.shared.sleep(&self.shared.fetch, core, None);
                    core.idle_fetchers -= 1;
                }
            }
        }
        false
    }

    fn list(&mut self, asked: Vec<(Asked, LogEnd)>) -> Result<()> {
        let deadline = self.deadline();
        let request = list_request(&asked, self.shared.settings.isolation_level);
        let response = self.connection()?.call(&request, deadline)?;
        self.failures.none(self.node);
        self.throttle(response.throttle_time_ms);
        let mut core = self.shared.lock();
        let refresh = core.listed(asked, &response, Instant::now(), &self.shared.settings);
        drop(core);
        self.shared.app.notify_all();
        if refresh {
            self.shared.cluster.request_refresh();
        }
        Ok(())
    }

    fn probe(&mut self, asked: Vec<Asked>) -> Result<()> {
        let deadline = self.deadline();
        let asked: Vec<_> = asked.into_iter().map(|asked| (asked, LogEnd::End)).collect();
        let request = list_request(&asked, self.shared.settings.isolation_level);
        let response = self.connection()?.call(&request, deadline)?;
        self.throttle(response.throttle_time_ms);
        let refresh = self.shared.lock().probed(&asked, &response, Instant::now());
        if refresh {
            self.shared.cluster.request_refresh();
        }
        Ok(())
    }

    fn check(&mut self, asked: Vec<Asked>) -> Result<()> {
        let deadline = self.deadline();
        let connection = self.connection()?;
        let response = match connection.versions().negotiate::<OffsetForLeaderEpochRequest>() {
            Ok(_) => Some(connection.call(&check_request(&asked), deadline)?),
            Err(_) => None,
        };
        self.failures.none(self.node);
        self.throttle(response.as_ref().map_or(0, |response| response.throttle_time_ms));
        let mut core = self.shared.lock();
        let refresh = core.checked(self.node, asked, response.as_ref(), Instant::now(), &self.shared.settings);
        drop(core);
        self.shared.app.notify_all();
        if refresh {
            self.shared.cluster.request_refresh();
        }
        Ok(())
    }

    /// What was in flight is not coming.
    fn give_back(&mut self) {
        let Some(asked) = self.in_flight.take() else { return };
        let mut core = self.shared.lock();
        for asked in asked {
            core.release(&asked);
        }
        self.let_others(&mut core);
    }

    /// What is read from this broker because its rack is near is read from leaders again.
    fn leave_replica(&self) {
        let mut core = self.shared.lock();
        core.leave_replica(self.node, Instant::now());
        self.let_others(&mut core);
    }

    /// Wakes the other fetchers if one of them may take over from this one.
    fn let_others(&self, core: &mut Core) {
        if std::mem::take(&mut core.sources_changed) {
            self.shared.start_fetchers(core);
        }
        if std::mem::take(&mut core.handed_on) {
            self.shared.fetch.notify_all();
        }
    }

    /// A broker that wants to be left alone for a while is.
    fn throttle(&mut self, throttle_time_ms: i32) {
        self.not_before = match u64::try_from(throttle_time_ms) {
            Ok(ms @ 1..) => Some(Instant::now() + Duration::from_millis(ms)),
            _ => None,
        };
    }
}

fn list_request(asked: &[(Asked, LogEnd)], isolation: IsolationLevel) -> ListOffsetsRequest {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (asked, end) in asked {
        let partition = ListOffsetsPartition {
            partition_index: asked.partition.partition,
            current_leader_epoch: asked.leader_epoch,
            timestamp: end.timestamp(),
            ..Default::default()
        };
        match topics.iter_mut().find(|topic| topic.name == *asked.partition.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => {
                topics.push(ListOffsetsTopic { name: asked.partition.topic.to_string(), partitions: vec![partition] })
            }
        }
    }
    ListOffsetsRequest { replica_id: -1, isolation_level: isolation.code(), topics, ..Default::default() }
}
