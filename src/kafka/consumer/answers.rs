//! What an answer to a fetch holds: sorted by what was asked, its batches found by their headers and, later, checked and
//! unfolded. Knows neither the connection it came from nor the core it goes to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::aborted::Aborted;
use super::fetch_buffer::{Event, Item};
use super::fetching::Asked;
use super::session::Session;
use super::subscription::TopicPartition;
use crate::kafka::cluster::LeaderHint;
use crate::kafka::config::IsolationLevel;
use crate::kafka::error::{Error, Result};
use crate::kafka::protocol::messages::{EpochEndOffset, FetchResponse, PartitionData};
use crate::kafka::protocol::{Bytes, ErrorCode, Spares, Uuid};
use crate::kafka::record::batch::{Batch, batches};
use crate::kafka::record::compression::Limits;
use crate::kafka::record::walk::Cursor;

/// Between which offsets a log lies, as far as this consumer may read it; -1 where that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub end: i64,
    pub start: i64,
}

impl Default for End {
    fn default() -> Self {
        Self { end: -1, start: -1 }
    }
}

/// An answer for one partition, as far as headers tell.
#[derive(Debug)]
pub(super) struct Answer {
    pub asked: Asked,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// Batches up to, not including, offset `next`; the last one is of `epoch`.
    Batches {
        batches: Vec<Batch>,
        next: i64,
        bytes: usize,
        epoch: i32,
        failure: Option<Error>,
        aborted: Aborted,
        log: End,
    },
    /// The session's broker has nothing to tell of it.
    NoNews(End),
    /// A batch is there, but more than `max_bytes` long.
    TooShort,
    Refused(ErrorCode),
    /// Records are to be read from this replica (KIP-392).
    Redirected(i32),
    /// The log is not the one that was read: its records up to this epoch end at this offset (KIP-595).
    Diverged(i32, i64),
    /// The answer does not name the partition.
    Missing,
}

impl Answer {
    /// What its batches take.
    pub fn bytes(&self) -> usize {
        match &self.outcome {
            Outcome::Batches { bytes, .. } => *bytes,
            _ => 0,
        }
    }

    /// Whether it brings no batches, not even none: then there may be an error to tell of.
    pub fn is_refusal(&self) -> bool {
        !matches!(self.outcome, Outcome::Batches { .. } | Outcome::NoNews(_))
    }
}

/// The error with its place.
pub(super) fn place(error: Error, asked: &Asked) -> Error {
    error.with_partition(&*asked.partition.topic, asked.partition.partition).with_offset(asked.offset)
}

/// Sorts an answer by what was asked, and reads its batch headers. What was not asked is passed over, and a partition
/// that comes twice counts once.
pub(super) fn scan(
    asked: Vec<Asked>,
    response: FetchResponse,
    names: &HashMap<Uuid, Arc<str>>,
    isolation: IsolationLevel,
    session: &mut Session,
) -> Vec<Answer> {
    let mut parts = BTreeMap::new();
    for topic in response.responses {
        let name: Arc<str> = match names.get(&topic.topic_id) {
            Some(name) => Arc::clone(name),
            None => topic.topic.into(),
        };
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
            None if session.incremental => Outcome::NoNews(session.end(&asked.partition, None)),
            None => Outcome::Missing,
            Some(data) if !data.error_code.is_ok() => Outcome::Refused(data.error_code),
            Some(PartitionData { diverging_epoch: EpochEndOffset { epoch, end_offset }, .. })
                if epoch >= 0 || end_offset >= 0 =>
            {
                Outcome::Diverged(epoch, end_offset)
            }
            Some(data)
                if data.preferred_read_replica >= 0 && data.records.as_ref().is_none_or(|all| all.is_empty()) =>
            {
                Outcome::Redirected(data.preferred_read_replica)
            }
            Some(data) => {
                let end = match isolation {
                    IsolationLevel::ReadUncommitted => data.high_watermark,
                    IsolationLevel::ReadCommitted => data.last_stable_offset,
                };
                let log = session.end(&asked.partition, Some(End { end, start: data.log_start_offset }));
                let aborted = match isolation {
                    IsolationLevel::ReadUncommitted => None,
                    IsolationLevel::ReadCommitted => data.aborted_transactions,
                };
                let aborted = Aborted::new(aborted.unwrap_or_default());
                read_headers(&asked, &data.records.unwrap_or_default(), aborted, log)
            }
        };
        answers.push(Answer { asked, outcome });
    }
    answers
}

/// The names of the topics that an answer knows by their ids.
pub(super) fn names(asked: &[Asked], response: &FetchResponse) -> HashMap<Uuid, Arc<str>> {
    if response.responses.iter().all(|topic| topic.topic_id.is_zero()) {
        return HashMap::new();
    }
    asked.iter().map(|asked| (asked.topic_id, Arc::clone(&asked.partition.topic))).collect()
}

/// What an answer says about who leads partitions instead of the broker that was asked.
pub(super) fn hints<'a>(response: &'a FetchResponse, names: &'a HashMap<Uuid, Arc<str>>) -> Vec<LeaderHint<'a>> {
    let mut hints = Vec::new();
    for topic in &response.responses {
        let name = names.get(&topic.topic_id).map_or(&*topic.topic, |name| &**name);
        for PartitionData { partition_index, error_code, current_leader, .. } in &topic.partitions {
            let moved = matches!(*error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH);
            if moved && current_leader.leader_id >= 0 {
                hints.push(LeaderHint { topic: name, partition: *partition_index, leader: current_leader });
            }
        }
    }
    hints
}

/// Where the next fetch starts, and which batches to look into.
fn read_headers(asked: &Asked, records: &Bytes, mut aborted: Aborted, log: End) -> Outcome {
    let mut found = Vec::new();
    let (mut next, mut epoch, mut bytes, mut failure) = (asked.offset, asked.last_epoch, 0, None);
    let mut iterator = batches(records);
    for batch in iterator.by_ref() {
        match batch {
            // The broker's index is coarser than offsets: batches before the one asked for are no news.
            Ok(batch) if batch.last_offset() < asked.offset => {
                aborted.pass(&batch);
            }
            Ok(batch) if batch.last_offset() < next || (batch.base_offset() < next && !found.is_empty()) => {
                let text =
                    format!("record batch at offset {} after one that ends at {}", batch.base_offset(), next - 1);
                failure = Some(Error::corrupt(text).with_offset(batch.base_offset()));
                break;
            }
            Ok(batch) => {
                next = batch.last_offset() + 1;
                epoch = batch.header().leader_epoch;
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
    Outcome::Batches { batches: found, next, epoch, bytes, failure, aborted, log }
}

/// The batches of an answer that nobody has looked into.
#[derive(Debug)]
pub(super) struct Unprepared {
    pub asked: Asked,
    batches: std::vec::IntoIter<Batch>,
    aborted: Aborted,
    /// What is wrong behind them.
    failure: Option<Error>,
}

impl Unprepared {
    /// None for an answer that brings no batches.
    pub fn of(answer: Answer) -> Option<Self> {
        let Outcome::Batches { batches, failure, aborted, .. } = answer.outcome else { return None };
        Some(Self { asked: answer.asked, batches: batches.into_iter(), aborted, failure })
    }

    /// Checks batches, decompresses and validates them, all of them or until what was compressed takes more than
    /// `room`, which shrinks by it. What is wrong comes last, behind what is right.
    pub fn prepare(&mut self, check_crcs: bool, room: &mut usize, spares: &mut Spares) -> Vec<Item> {
        let mut items = Vec::with_capacity(self.batches.len() + 1);
        while let Some(batch) = self.batches.as_slice().first() {
            if batch.is_compressed() && *room == 0 {
                return items;
            }
            let Some(batch) = self.batches.next() else { break };
            match prepare_batch(&self.asked, batch, &mut self.aborted, check_crcs, room, spares) {
                Ok(item) => items.push(item),
                Err(error) => {
                    self.batches = Vec::new().into_iter();
                    self.failure = None;
                    items.push(failed(&self.asked, error));
                    return items;
                }
            }
        }
        items.extend(self.failure.take().map(|error| failed(&self.asked, error)));
        items
    }

    /// Whether nothing is left of it.
    pub fn is_done(&self) -> bool {
        self.batches.as_slice().is_empty()
    }
}

fn failed(asked: &Asked, error: Error) -> Item {
    Item::End(Event::Failed(place(error, asked)))
}

fn prepare_batch(
    asked: &Asked,
    batch: Batch,
    aborted: &mut Aborted,
    check_crcs: bool,
    room: &mut usize,
    spares: &mut Spares,
) -> Result<Item> {
    if check_crcs {
        batch.check_crc()?;
    }
    let gap = Item::Gap { next: batch.last_offset() + 1, leader_epoch: batch.header().leader_epoch };
    if aborted.pass(&batch) || batch.is_control() || batch.count() == 0 {
        return Ok(gap);
    }
    let batch = if batch.is_compressed() {
        let unfolded = batch.decompress_into(Limits::default(), || Arc::unwrap_or_clone(spares.take()))?;
        spares.keep(unfolded.buffer());
        *room = room.saturating_sub(unfolded.size());
        // What a codec asked room for may be far more than it then took.
        unfolded.trimmed()
    } else {
        batch
    };
    batch.validate()?;
    let cursor = if batch.base_offset() < asked.offset { batch.seek(asked.offset) } else { Cursor::default() };
    match batch.count() - cursor.taken() {
        0 => Ok(gap),
        left => Ok(Item::Records { batch, cursor, left }),
    }
}
