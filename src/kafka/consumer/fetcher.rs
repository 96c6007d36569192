//! One thread per leader: asks it where its logs begin and end, and for records, ahead of `poll`.
//!
//! As soon as an answer's batch headers tell where the next fetch starts, the next request goes out; only then are
//! checksums computed and records decompressed and validated, so that the broker works meanwhile. What to ask is
//! decided by [`Core::plan`], what an answer means by [`scan`] and [`prepare`]; none of them knows the connection.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::core::{Core, Shared};
use super::fetch_buffer::{Event, Item};
use super::offsets::{LogEnd, Position};
use super::subscription::{Epoch, TopicPartition};
use crate::clock::{Backoff, Deadline};
use crate::kafka::config::ConsumerSettings;
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::net::{Closer, Connection};
use crate::kafka::protocol::messages::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ListOffsetsPartition, ListOffsetsRequest,
    ListOffsetsResponse, ListOffsetsTopic,
};
use crate::kafka::protocol::{ApiKey, ErrorCode};
use crate::kafka::record::batch::{Batch, batches};
use crate::kafka::record::compression::Limits;
use crate::kafka::record::walk::Cursor;

/// A fetcher whose broker has led nothing of ours for this long ends.
const IDLE: Duration = Duration::from_secs(30);
/// A refusal that only an administrator can lift is tried again after this long.
const REFUSED_RETRY: Duration = Duration::from_secs(10);

/// Runs until the consumer closes or `node` has been of no use for a while.
pub(super) fn run(shared: &Shared, node: i32, closer: &Closer) {
    let client = &shared.settings.client;
    let backoff = Backoff::new(client.reconnect_backoff, client.reconnect_backoff_max);
    let failures = Failures { backoff, complained: false };
    let mut fetcher = Fetcher { shared, node, closer, connection: None, in_flight: None, not_before: None, failures };
    while let Some(work) = fetcher.wait_for_work() {
        if let Err(error) = fetcher.follow(work) {
            fetcher.give_back();
            if closer.is_closed() {
                return;
            }
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
        if error.is_retriable() { self.backoff.next() } else { REFUSED_RETRY }
    }

    fn none(&mut self, node: i32) {
        if self.complained {
            log::info!("fetching from broker {node} works again");
            self.complained = false;
        }
        self.backoff.reset();
    }
}

/// A partition as it stood when the broker was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub partition: TopicPartition,
    pub epoch: Epoch,
    pub leader_epoch: i32,
    /// Where the fetch starts; not used when an end of the log is asked for.
    pub offset: i64,
    pub max_bytes: i32,
}

/// What a fetcher is to do.
#[derive(Debug)]
pub(super) enum Work {
    /// Ask for ends of the log.
    List(Vec<(Asked, LogEnd)>),
    /// Ask for records, not many more than `max_bytes` in all.
    Fetch { asked: Vec<Asked>, max_bytes: i32 },
}

/// What a fetcher finds when it looks for work.
#[derive(Debug)]
pub(super) enum Plan {
    Do(Work),
    /// Nothing before this moment, or until something changes.
    Wait(Option<Instant>),
    /// This node leads nothing that is held.
    Useless,
}

/// An answer for one partition, as far as headers tell.
#[derive(Debug)]
struct Answer {
    asked: Asked,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// Batches up to, not including, offset `next`.
    Batches {
        batches: Vec<Batch>,
        next: i64,
        bytes: usize,
        failure: Option<Error>,
    },
    /// A batch is there, but more than `max_bytes` long.
    TooShort,
    Refused(ErrorCode),
    /// The answer does not name the partition.
    Missing,
}

struct Fetcher<'a> {
    shared: &'a Shared,
    node: i32,
    closer: &'a Closer,
    connection: Option<Connection>,
    in_flight: Option<Vec<Asked>>,
    /// Nothing is sent before this moment.
    not_before: Option<Instant>,
    failures: Failures,
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
        let request = fetch_request(&asked, max_bytes, &self.shared.settings);
        let deadline = self.deadline();
        self.in_flight = Some(asked);
        self.connection()?.send(&request, deadline)
    }

    fn receive(&mut self, asked: Vec<Asked>) -> Result<()> {
        let deadline = self.deadline();
        let response = self.connection()?.receive::<FetchRequest>(deadline)?;
        self.in_flight = None;
        self.failures.none(self.node);
        self.throttle(response.throttle_time_ms);
        let answers = scan(asked, response);
        let now = Instant::now();
        let pending = answers.iter().map(Answer::bytes).sum();

        let mut core = self.shared.lock();
        let refresh = core.note(self.node, &answers, now, &self.shared.settings);
        let next = if self.not_before.is_some_and(|moment| now < moment) {
            None
        } else {
            match core.plan(self.node, pending, now, &self.shared.settings) {
                Plan::Do(Work::Fetch { asked, max_bytes }) => Some((asked, max_bytes)),
                _ => None,
            }
        };
        drop(core);
        if refresh {
            self.shared.cluster.request_refresh();
        }
        let sent = next.map_or(Ok(()), |(asked, max_bytes)| self.send(asked, max_bytes));
        self.publish(answers);
        sent
    }

    fn publish(&self, answers: Vec<Answer>) {
        let settings = &self.shared.settings;
        let mut prepared = Vec::with_capacity(answers.len());
        for Answer { asked, outcome } in answers {
            if let Outcome::Batches { batches, failure, .. } = outcome {
                let items = prepare(&asked, batches, failure, settings.check_crcs);
                prepared.push((asked, items));
            }
        }
        if prepared.is_empty() {
            return;
        }
        let mut core = self.shared.lock();
        let mut news = false;
        for (asked, items) in prepared {
            news |= core.publish(self.node, &asked, items);
        }
        drop(core);
        if news {
            self.shared.app.notify_all();
        }
    }

    fn list(&mut self, asked: Vec<(Asked, LogEnd)>) -> Result<()> {
        let deadline = self.deadline();
        let request = list_request(&asked);
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

    /// What was in flight is not coming.
    fn give_back(&mut self) {
        let Some(asked) = self.in_flight.take() else { return };
        let mut core = self.shared.lock();
        for asked in asked {
            if let Some(held) = core.assignment.current(&asked.partition, asked.epoch) {
                held.release();
            }
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

impl Answer {
    fn bytes(&self) -> usize {
        match &self.outcome {
            Outcome::Batches { bytes, .. } => *bytes,
            _ => 0,
        }
    }
}

impl Core {
    /// What the fetcher of `node`, which has `pending` bytes that are not yet in the buffer, does next.
    pub fn plan(&mut self, node: i32, pending: usize, now: Instant, settings: &ConsumerSettings) -> Plan {
        let mut leads = false;
        let mut wake: Option<Instant> = None;
        let mut lists = Vec::new();
        let mut fetches = Vec::new();
        for (partition, held) in self.assignment.iter() {
            let Some(leader) = held.leader.filter(|leader| leader.node == node) else { continue };
            leads = true;
            if !held.askable(node, now) {
                if let Some(moment) = held.not_before.filter(|_| !held.stopped) {
                    wake = Some(wake.map_or(moment, |wake| wake.min(moment)));
                }
                continue;
            }
            let asked = |offset| Asked {
                partition: partition.clone(),
                epoch: held.epoch,
                leader_epoch: leader.epoch,
                offset,
                max_bytes: held.max_bytes,
            };
            match held.position {
                Position::End(end) => lists.push((asked(-1), end)),
                Position::At { .. } if !held.paused => {
                    fetches.push((self.buffer.bytes(partition), held.asked_at, asked(held.fetch_offset)));
                }
                _ => {}
            }
        }
        if !leads {
            return Plan::Useless;
        }
        if !lists.is_empty() {
            return Plan::Do(Work::List(lists));
        }
        if fetches.is_empty() {
            return Plan::Wait(wake);
        }
        let share = settings.prefetch_bytes / self.leaders.max(1);
        let request = share.div_ceil(2).clamp(1, settings.fetch_max_bytes.max(1) as usize);
        if self.buffer.bytes_from(node) + pending + request > share.max(request) && !self.drop_paused(node, pending) {
            return Plan::Wait(wake);
        }
        // A broker fills its answer in the order of the request: the emptiest first, and those that waited longest.
        fetches.sort_by_key(|(buffered, asked_at, _)| (*buffered, *asked_at));
        self.requests += 1;
        let asked: Vec<Asked> = fetches.into_iter().map(|(_, _, asked)| asked).collect();
        for asked in &asked {
            if let Some(held) = self.assignment.get_mut(&asked.partition) {
                held.hold(node);
            }
        }
        Plan::Do(Work::Fetch { asked, max_bytes: i32::try_from(request).unwrap_or(i32::MAX) })
    }

    /// When nothing but paused partitions fills the buffer, their records give way; they are fetched again later.
    fn drop_paused(&mut self, node: i32, pending: usize) -> bool {
        let from_node: Vec<TopicPartition> = self.buffer.partitions_from(node).cloned().collect();
        let paused =
            |core: &Self, partition: &TopicPartition| core.assignment.get(partition).is_none_or(|held| held.paused);
        if pending > 0 || from_node.is_empty() || !from_node.iter().all(|partition| paused(self, partition)) {
            return false;
        }
        for partition in from_node {
            self.buffer.remove(&partition);
            if let Some(position) = self.assignment.get(&partition).map(|held| held.position) {
                self.assignment.relocate(&partition, position);
            }
        }
        true
    }

    /// Takes over from answers where to fetch on, before their records are looked at. Returns true if metadata is out
    /// of date.
    fn note(&mut self, node: i32, answers: &[Answer], now: Instant, settings: &ConsumerSettings) -> bool {
        let mut refresh = false;
        let requests = self.requests;
        for Answer { asked, outcome } in answers {
            let Some(held) = self.assignment.current(&asked.partition, asked.epoch) else { continue };
            match outcome {
                Outcome::Batches { next, failure, bytes, .. } => {
                    held.fetch_offset = *next;
                    held.stopped = failure.is_some();
                    held.failures = 0;
                    held.reported = false;
                    if *bytes > 0 {
                        held.asked_at = requests;
                    }
                    // It is released when the records are published.
                    continue;
                }
                Outcome::TooShort => {
                    held.release();
                    let limit = i32::try_from(settings.client.receive_max_bytes / 2).unwrap_or(i32::MAX);
                    if held.max_bytes < limit {
                        held.max_bytes = held.max_bytes.saturating_mul(2).clamp(1, limit);
                        continue;
                    }
                    held.stopped = true;
                    held.ended = true;
                    let text =
                        format!("a record batch here is larger than {limit} bytes; raise receive.message.max.bytes");
                    let error = place(Error::new(ErrorKind::Config, text), asked);
                    self.buffer.publish(&asked.partition, node, [Item::End(Event::Failed(error))]);
                }
                Outcome::Missing => {
                    held.release();
                    held.not_before = Some(now + settings.client.retry_backoff);
                }
                Outcome::Refused(ErrorCode::OFFSET_OUT_OF_RANGE) => {
                    held.release();
                    held.stopped = true;
                    held.ended = true;
                    let event = Event::OutOfRange(asked.offset);
                    self.buffer.publish(&asked.partition, node, [Item::End(event)]);
                }
                Outcome::Refused(code) => {
                    held.release();
                    refresh |= self.refused(ApiKey::Fetch, asked, *code, now, settings);
                }
            }
        }
        refresh
    }

    /// The broker answered for this partition with an error code. Returns true if metadata is out of date.
    fn refused(
        &mut self,
        api: ApiKey,
        asked: &Asked,
        code: ErrorCode,
        now: Instant,
        settings: &ConsumerSettings,
    ) -> bool {
        let Some(held) = self.assignment.current(&asked.partition, asked.epoch) else { return false };
        let error = || {
            let error = Error::broker_code(api, code, None);
            error.with_partition(&*asked.partition.topic, asked.partition.partition)
        };
        if code.is_refusal() {
            held.not_before = Some(now + REFUSED_RETRY);
            if !held.reported {
                held.reported = true;
                let error = error();
                self.errors.push_back(error);
            }
            return false;
        }
        // Kafka counts CORRUPT_MESSAGE as retriable, for producers; a log that is broken stays so. An unknown server
        // error passes more often than not.
        let passing = code.is_retriable() && code != ErrorCode::CORRUPT_MESSAGE;
        if passing || code == ErrorCode::UNKNOWN_SERVER_ERROR || is_stale(code) {
            let level = if held.failures == 0 { log::Level::Info } else { log::Level::Debug };
            log::log!(level, "{}: {api} was answered with {code}; trying again", asked.partition);
            let client = &settings.client;
            let doubled = client.retry_backoff.saturating_mul(1 << held.failures.min(16));
            held.not_before = Some(now + doubled.min(client.retry_backoff_max));
            held.failures += 1;
            return true;
        }
        held.stopped = true;
        held.ended = true;
        let error = error().with_offset(asked.offset.max(0));
        let node = held.leader.map_or(-1, |leader| leader.node);
        self.buffer.publish(&asked.partition, node, [Item::End(Event::Failed(error))]);
        true
    }

    /// Puts records into the buffer, unless their time is over. Returns whether `poll` has something to see.
    fn publish(&mut self, node: i32, asked: &Asked, items: Vec<Item>) -> bool {
        let Some(held) = self.assignment.current(&asked.partition, asked.epoch) else { return false };
        held.release();
        if held.ended || items.is_empty() {
            return false;
        }
        if matches!(items.last(), Some(Item::End(_))) {
            held.stopped = true;
            held.ended = true;
        }
        self.buffer.publish(&asked.partition, node, items);
        true
    }

    /// The leader answered where its logs begin or end. Returns true if metadata is out of date.
    fn listed(
        &mut self,
        asked: Vec<(Asked, LogEnd)>,
        response: &ListOffsetsResponse,
        now: Instant,
        settings: &ConsumerSettings,
    ) -> bool {
        let mut answers = BTreeMap::new();
        for topic in &response.topics {
            for partition in &topic.partitions {
                answers.entry((topic.name.as_str(), partition.partition_index)).or_insert(partition);
            }
        }
        let mut refresh = false;
        for (asked, end) in asked {
            let answer = answers.get(&(&*asked.partition.topic, asked.partition.partition));
            match answer.map(|answer| (answer.error_code, answer.offset)) {
                Some((ErrorCode::NONE, offset @ 0..)) => {
                    let leader_epoch = answer.map_or(-1, |answer| answer.leader_epoch);
                    log::debug!("{}: starting at offset {offset}", asked.partition);
                    self.assignment.end_is(&asked.partition, asked.epoch, end, offset, leader_epoch);
                }
                Some((ErrorCode::NONE, _)) | None => {
                    let code = ErrorCode::OFFSET_NOT_AVAILABLE;
                    refresh |= self.refused(ApiKey::ListOffsets, &asked, code, now, settings);
                }
                Some((code, _)) => {
                    refresh |= self.refused(ApiKey::ListOffsets, &asked, code, now, settings);
                }
            }
        }
        refresh
    }
}

/// Codes that only say that the leader, or what is known of it, changed.
fn is_stale(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
            | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::INCONSISTENT_TOPIC_ID
            | ErrorCode::REPLICA_NOT_AVAILABLE
    )
}

fn place(error: Error, asked: &Asked) -> Error {
    error.with_partition(&*asked.partition.topic, asked.partition.partition).with_offset(asked.offset)
}

fn fetch_request(asked: &[Asked], max_bytes: i32, settings: &ConsumerSettings) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for asked in asked {
        let partition = FetchPartition {
            partition: asked.partition.partition,
            current_leader_epoch: asked.leader_epoch,
            fetch_offset: asked.offset,
            partition_max_bytes: asked.max_bytes,
            ..Default::default()
        };
        match topics.iter_mut().find(|topic| topic.topic == *asked.partition.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(FetchTopic {
                topic: asked.partition.topic.to_string(),
                partitions: vec![partition],
                ..Default::default()
            }),
        }
    }
    FetchRequest {
        max_wait_ms: i32::try_from(settings.fetch_max_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: settings.fetch_min_bytes,
        max_bytes,
        topics,
        ..Default::default()
    }
}

fn list_request(asked: &[(Asked, LogEnd)]) -> ListOffsetsRequest {
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
    ListOffsetsRequest { replica_id: -1, topics, ..Default::default() }
}

/// Sorts an answer by what was asked, and reads its batch headers. What was not asked is passed over, and a partition
/// that comes twice counts once.
fn scan(asked: Vec<Asked>, response: FetchResponse) -> Vec<Answer> {
    let mut parts = BTreeMap::new();
    for topic in response.responses {
        let name: std::sync::Arc<str> = topic.topic.into();
        for partition in topic.partitions {
            parts
                .entry(TopicPartition { topic: name.clone(), partition: partition.partition_index })
                .or_insert(partition);
        }
    }
    let mut answers = Vec::with_capacity(asked.len());
    for asked in asked {
        let outcome = match parts.remove(&asked.partition) {
            _ if !response.error_code.is_ok() => Outcome::Refused(response.error_code),
            None => Outcome::Missing,
            Some(data) if !data.error_code.is_ok() => Outcome::Refused(data.error_code),
            Some(data) => read_headers(&asked, &data.records.unwrap_or_default()),
        };
        answers.push(Answer { asked, outcome });
    }
    answers
}

/// Where the next fetch starts, and which batches to look into.
fn read_headers(asked: &Asked, records: &crate::kafka::protocol::Bytes) -> Outcome {
    let mut found = Vec::new();
    let (mut next, mut bytes, mut failure) = (asked.offset, 0, None);
    let mut iterator = batches(records);
    for batch in iterator.by_ref() {
        match batch {
            // The broker's index is coarser than offsets: batches before the one asked for are no news.
            Ok(batch) if batch.last_offset() < asked.offset => {}
            Ok(batch) if batch.last_offset() < next || (batch.base_offset() < next && !found.is_empty()) => {
                let text =
                    format!("record batch at offset {} after one that ends at {}", batch.base_offset(), next - 1);
                failure = Some(Error::corrupt(text).with_offset(batch.base_offset()));
                break;
            }
            Ok(batch) => {
                next = batch.last_offset() + 1;
                bytes += batch.size();
                found.push(batch);
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    if found.is_empty() && failure.is_none() && iterator.rest() > 0 {
        return Outcome::TooShort;
    }
    Outcome::Batches { batches: found, next, bytes, failure }
}

/// Checks batches, decompresses and validates them. What is wrong comes last, behind what is right.
fn prepare(asked: &Asked, batches: Vec<Batch>, failure: Option<Error>, check_crcs: bool) -> Vec<Item> {
    let mut items = Vec::with_capacity(batches.len() + 1);
    for batch in batches {
        match prepare_batch(asked, batch, check_crcs) {
            Ok(item) => items.push(item),
            Err(error) => {
                items.push(failed(asked, error));
                return items;
            }
        }
    }
    items.extend(failure.map(|error| failed(asked, error)));
    items
}

fn failed(asked: &Asked, error: Error) -> Item {
    Item::End(Event::Failed(place(error, asked)))
}

fn prepare_batch(asked: &Asked, batch: Batch, check_crcs: bool) -> Result<Item> {
    if check_crcs {
        batch.check_crc()?;
    }
    let gap = Item::Gap { next: batch.last_offset() + 1, leader_epoch: batch.header().leader_epoch };
    if batch.is_control() || batch.count() == 0 {
        return Ok(gap);
    }
    let batch = batch.decompress(Limits::default())?;
    batch.validate()?;
    let cursor = if batch.base_offset() < asked.offset { batch.seek(asked.offset) } else { Cursor::default() };
    match batch.count() - cursor.taken() {
        0 => Ok(gap),
        left => Ok(Item::Records { batch, cursor, left }),
    }
}
