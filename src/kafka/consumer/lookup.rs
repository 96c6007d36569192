//! Offsets that partitions have, asked of their leaders by the application's own thread.
//!
//! Any partitions, whether held or not. A leader that is dead or no longer leads costs time, not the answer: metadata is
//! asked again, and so is the next leader, until the call's deadline.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::fetching::passes;
use super::subscription::TopicPartition;
use crate::clock::{Backoff, Deadline};
use crate::kafka::cluster::{Cluster, Metadata};
use crate::kafka::config::{IsolationLevel, names};
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::net::{Closer, Connection};
use crate::kafka::protocol::messages::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use crate::kafka::protocol::{ApiKey, ErrorCode};

/// An offset that was looked up by time; see [`Consumer::offsets_for_times`](super::Consumer::offsets_for_times).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// The record's offset.
    pub offset: i64,
    /// The record's own timestamp, in milliseconds since 1970.
    pub timestamp: i64,
}

/// For [`list`]: the partition, and the time in milliseconds or what ListOffsets takes for one.
pub(in crate::kafka) type Wanted = (TopicPartition, i64);

/// Asks the leaders of these partitions for the offsets of these times; what they answered, in the order of the question.
///
/// # Errors
/// A topic or partition that does not exist, or what a broker refused for good; [`ErrorKind::Timeout`] with the last
/// obstacle.
pub(in crate::kafka) fn list(
    cluster: &Cluster,
    wanted: &[Wanted],
    isolation: IsolationLevel,
    deadline: Deadline,
) -> Result<Vec<OffsetAndTimestamp>> {
    for (partition, _) in wanted {
        names::check_topic(&partition.topic)?;
        if partition.partition < 0 {
            return Err(Error::config(format!("{partition} is not a partition: they count from 0")));
        }
    }
    let topics: BTreeSet<&str> = wanted.iter().map(|(partition, _)| &*partition.topic).collect();
    cluster.track(topics.iter().copied());
    for topic in topics {
        let count = partition_count(cluster, topic, deadline)?;
        let beyond = wanted.iter().find(|(partition, _)| *partition.topic == *topic && partition.partition >= count);
        if let Some((partition, _)) = beyond {
            let text = format!("the topic has {count} partitions, counted from 0");
            let error = Error::broker_code(ApiKey::Metadata, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, Some(&text));
            return Err(error.with_partition(topic, partition.partition));
        }
    }
    Lookup { cluster, isolation, deadline, connections: HashMap::new(), cause: None }.run(wanted)
}

/// How many partitions a topic has.
///
/// # Errors
/// The topic does not exist, or the deadline passed.
pub(in crate::kafka) fn partition_count(cluster: &Cluster, topic: &str, deadline: Deadline) -> Result<i32> {
    names::check_topic(topic)?;
    cluster.track([topic]);
    let mut snapshot = cluster.snapshot();
    // What was missing or refused earlier may be there by now.
    let mut fresh = false;
    loop {
        match snapshot.topics.get(topic) {
            Some(known) if known.error.is_ok() => return Ok(i32::try_from(known.partitions.len()).unwrap_or(i32::MAX)),
            Some(known) if fresh && known.error == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                let error = Error::broker_code(ApiKey::Metadata, known.error, Some("the topic does not exist"));
                return Err(error.with_topic(topic));
            }
            Some(known) if fresh && !known.error.is_retriable() => {
                return Err(Error::broker_code(ApiKey::Metadata, known.error, None).with_topic(topic));
            }
            Some(_) => cluster.request_refresh(),
            None => {}
        }
        fresh = true;
        snapshot = cluster.wait_newer(snapshot.version, deadline).ok_or_else(|| {
            let error = Error::timeout(&deadline, "waiting for the topic's metadata").with_topic(topic);
            cluster.failure().map_or(error.clone(), |cause| error.after(&cause))
        })?;
    }
}

struct Lookup<'a> {
    cluster: &'a Cluster,
    isolation: IsolationLevel,
    deadline: Deadline,
    connections: HashMap<i32, Connection>,
    /// What stood in the way last.
    cause: Option<Error>,
}

impl Lookup<'_> {
    fn run(mut self, wanted: &[Wanted]) -> Result<Vec<OffsetAndTimestamp>> {
        let settings = self.cluster.settings();
        let mut backoff = Backoff::new(settings.retry_backoff, settings.retry_backoff_max);
        let mut found: Vec<Option<OffsetAndTimestamp>> = vec![None; wanted.len()];
        loop {
            let snapshot = self.cluster.snapshot();
            let (questions, repeated) = share_out(&snapshot, wanted, &found);
            let mut progress = false;
            for (node, indices) in &questions {
                progress |= self.ask(*node, &snapshot, wanted, indices, &mut found)?;
            }
            if found.iter().all(Option::is_some) {
                return Ok(found.into_iter().flatten().collect());
            }
            if progress && repeated {
                // A request names a partition once, so that its other times have to wait for the next one.
                continue;
            }
            let left = self.deadline.left(Instant::now());
            if left.is_zero() {
                return Err(self.late(wanted, &found));
            }
            self.cluster.request_refresh();
            std::thread::sleep(backoff.failed().min(left));
        }
    }

    /// Asks one leader. Returns whether anything was found.
    fn ask(
        &mut self,
        node: i32,
        snapshot: &Metadata,
        wanted: &[Wanted],
        indices: &[usize],
        found: &mut [Option<OffsetAndTimestamp>],
    ) -> Result<bool> {
        let request = request(snapshot, wanted, indices, self.isolation);
        let response = match self.call(node, &request) {
            Ok(response) => response,
            Err(error) if error.is_retriable() => {
                log::debug!("asking broker {node} for offsets: {error}; trying again");
                self.connections.remove(&node);
                self.cause = Some(error);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let mut answers: BTreeMap<(&str, i32), &ListOffsetsPartitionResponse> = BTreeMap::new();
        for topic in &response.topics {
            for answer in &topic.partitions {
                answers.entry((&topic.name, answer.partition_index)).or_insert(answer);
            }
        }
        let mut progress = false;
        for index in indices {
            let (partition, time) = &wanted[*index];
            let Some(answer) = answers.get(&(&*partition.topic, partition.partition)) else {
                let error = Error::protocol("the answer does not mention the partition").with_api(ApiKey::ListOffsets);
                self.cause = Some(error.with_partition(&*partition.topic, partition.partition));
                continue;
            };
            let code = match answer.error_code {
                // An end of the log is there, if not yet.
                ErrorCode::NONE if answer.offset < 0 && *time < 0 => ErrorCode::OFFSET_NOT_AVAILABLE,
                code => code,
            };
            if code.is_ok() {
                found[*index] = Some(OffsetAndTimestamp { offset: answer.offset, timestamp: answer.timestamp });
                progress = true;
                continue;
            }
            let error = Error::broker_code(ApiKey::ListOffsets, code, None)
                .with_partition(&*partition.topic, partition.partition);
            if !passes(code) {
                return Err(error);
            }
            self.cause = Some(error);
        }
        Ok(progress)
    }

    fn call(&mut self, node: i32, request: &ListOffsetsRequest) -> Result<ListOffsetsResponse> {
        let limit = Deadline::after("request.timeout.ms", self.cluster.settings().request_timeout).min(self.deadline);
        let connection = match self.connections.remove(&node) {
            Some(connection) => connection,
            None => self.cluster.connect(node, &Closer::new(), limit)?,
        };
        self.connections.entry(node).or_insert(connection).call(request, limit)
    }

    fn late(&self, wanted: &[Wanted], found: &[Option<OffsetAndTimestamp>]) -> Error {
        let missing: Vec<_> = wanted.iter().zip(found).filter(|(_, found)| found.is_none()).collect();
        let error = Error::timeout(&self.deadline, "asking leaders for offsets");
        let error = match missing.first() {
            Some(((partition, _), _)) => error.with_partition(&*partition.topic, partition.partition),
            None => error,
        };
        match self.cause.clone().or_else(|| self.cluster.failure()) {
            Some(cause) => error.after(&cause),
            None => error.after(&Error::new(ErrorKind::Unreachable, "there is no leader")),
        }
    }
}

/// What each leader is still to be asked, as indices, and whether a partition must be asked for once more after that.
fn share_out(
    snapshot: &Metadata,
    wanted: &[Wanted],
    found: &[Option<OffsetAndTimestamp>],
) -> (BTreeMap<i32, Vec<usize>>, bool) {
    let mut questions: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut repeated = false;
    for (index, (partition, _)) in wanted.iter().enumerate().filter(|(index, _)| found[*index].is_none()) {
        if !seen.insert(partition) {
            repeated = true;
        } else if let Some(leader) = snapshot.leader(&partition.topic, partition.partition) {
            questions.entry(leader).or_default().push(index);
        }
    }
    (questions, repeated)
}

fn request(snapshot: &Metadata, wanted: &[Wanted], indices: &[usize], isolation: IsolationLevel) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (partition, time) in indices.iter().map(|index| &wanted[*index]) {
        let known = snapshot.partition(&partition.topic, partition.partition);
        topics.entry(&partition.topic).or_default().push(ListOffsetsPartition {
            partition_index: partition.partition,
            current_leader_epoch: known.map_or(-1, |known| known.leader_epoch),
            timestamp: *time,
            ..Default::default()
        });
    }
    let topics =
        topics.into_iter().map(|(name, partitions)| ListOffsetsTopic { name: name.to_owned(), partitions }).collect();
    ListOffsetsRequest { replica_id: -1, isolation_level: isolation.code(), topics, ..Default::default() }
}
