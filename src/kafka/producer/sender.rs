//! The thread that sends to one broker.
//!
//! It takes ready batches from its outbox, one per partition and request, and writes them; a completion thread per
//! connection reads the answers. It also watches every deadline: of batches that wait, and of requests in flight, which
//! it enforces by ending the connection. When a partition has another leader it hands the queue over, once nothing of it
//! is in flight here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::accumulator::{Next, Partition};
use super::batch::{Batch, Failure, timed_out};
use super::completion::Completion;
use super::idempotence::ProducerId;
use super::outbox::{Outbox, Turn};
use super::{Shared, delivery};
use crate::clock::{Backoff, Deadline};
use crate::kafka::cluster::Metadata;
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::net::{Closer, Connection, Writer};
use crate::kafka::protocol::messages::InitProducerIdRequest;
use crate::kafka::protocol::messages::{PartitionProduceData, ProduceRequest, TopicProduceData};
use crate::kafka::protocol::{ApiKey, Bytes, ErrorCode};
use crate::kafka::threads;
use crate::sync::lock;

/// For how long a broker may ask to be tried again before the log warns of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What one request carries, in the order of the request.
pub(super) type Flight = Vec<(Arc<Partition>, Batch)>;

pub(super) struct Sender {
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    closer: Closer,
    link: Option<Link>,
    /// A new producer id is needed, which the next connection begins with: nothing more is sent on this one, which ends
    /// once every answer is there, so that no batch is left in doubt.
    draining: bool,
    backoff: Backoff,
    reconnect_at: Option<Instant>,
    /// Why there is no connection, for the errors of what expires meanwhile.
    cause: Option<Error>,
    failing_since: Option<Instant>,
    /// The log tells of the trouble, and is told when it is over.
    warned: bool,
}

struct Link {
    writer: Writer<Flight>,
    completion: JoinHandle<()>,
}

/// What one look at the outbox led to.
#[derive(Default)]
struct Pass {
    flight: Flight,
    size: usize,
    /// What stays on the list: first those that had no turn, then those that had.
    keep: VecDeque<Arc<Partition>>,
    served: VecDeque<Arc<Partition>>,
    expired: Vec<(Arc<Partition>, Vec<Batch>)>,
    wake_at: Option<Instant>,
    /// There is something that only a connection is missing for.
    wants_link: bool,
    needs_producer_id: bool,
}

impl Pass {
    fn wake(&mut self, at: Option<Instant>) {
        self.wake_at = earliest(self.wake_at, at);
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, outbox: Arc<Outbox>, closer: Closer) -> Self {
        let settings = shared.cluster.settings();
        let backoff = Backoff::new(settings.reconnect_backoff, settings.reconnect_backoff_max);
        Self {
            shared,
            outbox,
            closer,
            link: None,
            draining: false,
            backoff,
            reconnect_at: None,
            cause: None,
            failing_since: None,
            warned: false,
        }
    }

    pub(super) fn run(mut self) {
        let mut wake_at = None;
        loop {
            let turn = self.outbox.wait(wake_at, self.draining);
            if turn.stopped {
                return self.stop(turn);
            }
            wake_at = self.turn(turn);
        }
    }

    /// One round: deadlines, then requests for as long as there is something to send. Returns when to look again.
    fn turn(&mut self, mut turn: Turn) -> Option<Instant> {
        let now = Instant::now();
        if turn.ended {
            self.unlink(now);
        }
        if let (Some(link), Some(deadline)) = (&self.link, turn.overdue.filter(|overdue| overdue.passed(now))) {
            link.writer.end(Error::timeout(&deadline, "waiting for the answer to Produce").with_api(ApiKey::Produce));
        }
        if turn.replied {
            self.backoff.reset();
        }
        let throttled = turn.throttled_until.filter(|&until| until > now);
        let capacity = if throttled.is_some() { 0 } else { self.shared.settings.max_in_flight };
        // With linger.ms=0 the answers set the pace; else only time, size and need end a batch.
        let eager = self.shared.limits.linger.is_zero();
        let mut everything = eager && turn.answered;
        let mut in_flight = turn.in_flight;
        let mut answer_by = turn.overdue.map(|overdue| overdue.at);
        loop {
            let may_send = in_flight < capacity
                && !self.draining
                && self.link.as_ref().is_some_and(|link| !link.writer.is_ended());
            everything |= eager && in_flight == 0 || self.shared.is_urgent();
            let mut pass = self.collect(std::mem::take(&mut turn.ready), now, may_send, everything);
            self.fail_expired(std::mem::take(&mut pass.expired));
            self.draining |= pass.needs_producer_id && self.link.is_some();
            let sent = !pass.flight.is_empty();
            if sent {
                in_flight += 1;
                answer_by = earliest(answer_by, self.send(std::mem::take(&mut pass.flight)));
            } else if self.draining
                && in_flight == 0
                && let Some(link) = &self.link
            {
                link.writer.end(Error::state("a new producer id is needed"));
            } else if pass.wants_link && self.link.is_none() && self.reconnect_at.is_none_or(|at| at <= now) {
                let until = pass.wake_at;
                self.outbox.put_back(pass.keep);
                self.link(until);
                // Connecting took its time: look afresh, at once.
                self.outbox.urge();
                return None;
            }
            if sent && in_flight < capacity && !pass.keep.is_empty() {
                // The first request took one batch of each partition; there may be more of them, full ones.
                turn.ready = pass.keep;
                everything = false;
                continue;
            }
            let mut wake_at = earliest(pass.wake_at, answer_by.filter(|&at| at > now));
            wake_at = earliest(wake_at, throttled);
            if pass.wants_link {
                wake_at = earliest(wake_at, self.reconnect_at);
            }
            self.outbox.put_back(pass.keep);
            return wake_at;
        }
    }

    /// Goes through the list once: expires, hands over, and takes one batch of each partition that has one ready.
    fn collect(&self, ready: VecDeque<Arc<Partition>>, now: Instant, may_send: bool, everything: bool) -> Pass {
        let limits = &self.shared.limits;
        let snapshot = self.shared.cluster.snapshot();
        let mut pass = Pass::default();
        for partition in ready {
            let mut queue = lock(&partition.queue);
            let mut expired = Vec::new();
            queue.expire(now, limits, &self.shared.memory, &mut expired);
            let leader = leader_of(&snapshot, &partition);
            let mut stays = true;
            if queue.is_empty() {
                // Whoever adds to it puts it on a list again.
                queue.listed = None;
                stays = false;
            } else if leader != self.outbox.node && queue.is_settled() {
                self.shared.list(&partition, &mut queue, leader);
                stays = false;
            } else if leader == Outbox::NOBODY {
                // Asked again with each answer that knows of none either; the metadata thread sees to the pace.
                self.shared.cluster.request_refresh();
                pass.wake(queue.deadline(limits));
            } else if leader != self.outbox.node {
                pass.wake(queue.deadline(limits));
            } else if !may_send {
                pass.wants_link = true;
                pass.wake(queue.deadline(limits));
            } else if !pass.flight.is_empty() && pass.size + queue.next_size() > self.shared.settings.max_request_size {
                pass.wake(queue.deadline(limits));
            } else {
                match queue.next(now, everything, limits, &self.shared.identity, &self.shared.memory) {
                    Next::Batch(batch) => {
                        partition.batch_closed();
                        pass.size += batch.buffer.len();
                        pass.flight.push((Arc::clone(&partition), batch));
                        stays = false;
                        if queue.is_empty() {
                            queue.listed = None;
                        } else {
                            pass.served.push_back(Arc::clone(&partition));
                        }
                    }
                    Next::Wait(at) => pass.wake(at),
                    Next::NeedsProducerId => pass.needs_producer_id = true,
                }
                pass.wake(queue.deadline(limits));
            }
            drop(queue);
            if !expired.is_empty() {
                pass.expired.push((Arc::clone(&partition), expired));
            }
            if stays {
                pass.keep.push_back(partition);
            }
        }
        pass.keep.append(&mut pass.served);
        pass
    }

    fn fail_expired(&self, expired: Vec<(Arc<Partition>, Vec<Batch>)>) {
        for (partition, batches) in expired {
            for mut batch in batches {
                if batch.cause.is_none() {
                    batch.cause =
                        self.cause.clone().or_else(|| self.shared.cluster.failure()).or_else(|| self.no_leader());
                }
                let error = batch.give_up(timed_out(self.shared.limits.message_timeout));
                self.shared.conclude(&partition, batch, delivery::Outcome::Failed(error));
            }
        }
    }

    fn no_leader(&self) -> Option<Error> {
        let text = "the partition has no leader at present";
        (self.outbox.node == Outbox::NOBODY).then(|| Error::new(ErrorKind::Unreachable, text))
    }

    /// Writes one request. Returns by when its answer is due.
    fn send(&mut self, mut flight: Flight) -> Option<Instant> {
        let link = self.link.as_mut()?;
        let settings = &self.shared.settings;
        let mut deadline = Deadline::after("request.timeout.ms", settings.client.request_timeout);
        let mut topics: Vec<TopicProduceData> = Vec::new();
        for (partition, batch) in &mut flight {
            batch.seal();
            let limit = self.shared.limits.message_timeout;
            deadline = deadline.min(Deadline { name: "message.timeout.ms", at: batch.deadline, limit });
            let data = PartitionProduceData {
                index: partition.index,
                records: Some(Bytes::from_shared(Arc::clone(&batch.buffer), 0..batch.buffer.len())),
            };
            match topics.iter_mut().find(|topic| *topic.name == *partition.topic) {
                Some(topic) => topic.partition_data.push(data),
                None => topics.push(TopicProduceData {
                    name: partition.topic.to_string(),
                    partition_data: vec![data],
                    ..Default::default()
                }),
            }
        }
        let request = ProduceRequest {
            acks: settings.acks,
            timeout_ms: i32::try_from(settings.client.request_timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data: topics,
            ..Default::default()
        };
        if settings.acks == 0 {
            let sent = link.writer.send_unanswered(&request, deadline);
            drop(request);
            let completion = Completion::new(Arc::clone(&self.shared), Arc::clone(&self.outbox));
            match sent {
                Ok(()) => completion.without_answer(flight),
                Err(error) => completion.returned(flight, &Failure::lost(error)),
            }
            return None;
        }
        self.outbox.sending(deadline);
        if let Err((error, flight)) = link.writer.send(&request, flight, deadline) {
            drop(request);
            self.outbox.unsent();
            let completion = Completion::new(Arc::clone(&self.shared), Arc::clone(&self.outbox));
            completion.returned(flight, &Failure::unsent(error.clone()));
            link.writer.end(error);
        }
        Some(deadline.at)
    }

    /// Connects, as far as the time until the next deadline allows.
    fn link(&mut self, until: Option<Instant>) {
        match self.connect(until) {
            Ok(link) => {
                self.cause = None;
                self.failing_since = None;
                if std::mem::take(&mut self.warned) {
                    log::info!("connected to broker {} at {} again", self.outbox.node, link.writer.broker());
                }
                self.link = Some(link);
                self.reconnect_at = None;
            }
            Err(_) if self.closer.is_closed() => {}
            Err(error) => self.failed(error),
        }
    }

    fn connect(&self, until: Option<Instant>) -> Result<Link> {
        let settings = self.shared.cluster.settings();
        let mut deadline = Deadline::after("request.timeout.ms", settings.request_timeout);
        if let Some(at) = until.filter(|&at| at < deadline.at) {
            deadline = Deadline { name: "message.timeout.ms", at, limit: self.shared.limits.message_timeout };
        }
        let mut connection = self.shared.cluster.connect(self.outbox.node, &self.closer, deadline)?;
        if self.shared.limits.idempotent && self.shared.identity.current().is_none() {
            self.shared.identity.adopt(init_producer_id(&mut connection, deadline)?);
        }
        let (writer, reader) = connection.split(self.closer.clone());
        let completion = Completion::new(Arc::clone(&self.shared), Arc::clone(&self.outbox));
        let name = format!("krs-ack-{}", self.outbox.node);
        let completion = threads::spawn(&name, move || completion.run(reader))?;
        Ok(Link { writer, completion })
    }

    /// The connection has ended and everything in flight has come back.
    fn unlink(&mut self, now: Instant) {
        let Some(link) = self.link.take() else { return };
        self.draining = false;
        let cause = link.writer.cause();
        threads::join(link.completion);
        if let Some(cause) = cause.filter(|cause| cause.kind() != ErrorKind::State) {
            log::debug!("produce connection to broker {}: {cause}", self.outbox.node);
            self.cause = Some(cause);
            self.shared.cluster.request_refresh();
            self.reconnect_at = Some(now + self.backoff.failed());
        }
    }

    /// A connection could not be made.
    fn failed(&mut self, error: Error) {
        let now = Instant::now();
        let since = *self.failing_since.get_or_insert(now);
        // A broker that has just started asks for a little patience; only what lasts is worth a warning.
        let passing = error.code().is_some_and(ErrorCode::is_retriable) && now - since < PATIENCE;
        if !passing && !std::mem::replace(&mut self.warned, true) {
            log::warn!("cannot send to broker {}: {error}; still trying", self.outbox.node);
        }
        self.shared.cluster.request_refresh();
        self.reconnect_at = Some(now + self.backoff.failed());
        if error.kind() == ErrorKind::Refused {
            // Trying again would be refused again: tell the records now.
            self.give_up_all(&error);
        }
        self.cause = Some(error);
    }

    fn give_up_all(&self, error: &Error) {
        for partition in self.outbox.wait(Some(Instant::now()), false).ready {
            let mut queue = lock(&partition.queue);
            let batches = queue.drain(&self.shared.limits, &self.shared.memory);
            queue.listed = None;
            drop(queue);
            for batch in batches {
                let why = batch.give_up(error.clone());
                self.shared.conclude(&partition, batch, delivery::Outcome::Failed(why));
            }
        }
    }

    /// The producer has ended: no more is sent, and whatever is left is given up by it.
    fn stop(mut self, turn: Turn) {
        if let Some(link) = self.link.take() {
            link.writer.end(Closer::error());
            threads::join(link.completion);
        }
        drop(turn);
    }
}

fn leader_of(snapshot: &Metadata, partition: &Partition) -> i32 {
    snapshot.leader(&partition.topic, partition.index).unwrap_or(Outbox::NOBODY)
}

/// Asks for a producer id (KIP-98). Any broker gives one.
fn init_producer_id(connection: &mut Connection, deadline: Deadline) -> Result<ProducerId> {
    let request = InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..Default::default() };
    let response = connection.call(&request, deadline)?;
    match response.error_code {
        ErrorCode::NONE => Ok(ProducerId { id: response.producer_id, epoch: response.producer_epoch }),
        code => Err(Error::broker_code(ApiKey::InitProducerId, code, None).with_broker(connection.broker().to_owned())),
    }
}
