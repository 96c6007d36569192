//! The time of a record at a known offset. Kafka has no request for that, so the record is fetched: with requests so
//! small that little more than its batch comes along.

use super::{Admin, checked, unmentioned};
use crate::clock::Deadline;
use crate::kafka::consumer::TopicPartition;
use crate::kafka::error::{Error, Result};
use crate::kafka::protocol::messages::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use crate::kafka::protocol::{ApiKey, Bytes, ErrorCode};
use crate::kafka::record::batch::{self, Batch};
use crate::kafka::record::compression::Limits;

/// So many partitions are asked for with one request.
const AT_ONCE: usize = 100;
/// Bytes of a partition that fit into an answer with others. The first of an answer comes whole at any size.
const PARTITION_BYTES: i32 = 16 << 10;
/// Bytes of an answer.
const ANSWER_BYTES: i32 = 512 << 10;

/// The last version of Fetch that knows topics by their names.
const BY_NAME: i16 = 12;

/// A batch header's attribute: its base timestamp means something else, set by compaction (KIP-534).
const DELETE_HORIZON: i16 = 0x40;

/// What a partition's answer tells.
enum Told {
    /// The record's time, in milliseconds since 1970, or that there is none.
    Time(Option<i64>),
    /// The record is in a later batch, from this offset on.
    Further(i64),
    /// The batch did not fit: ask again.
    TooLarge,
}

impl Admin {
    /// The time, in milliseconds since 1970, of the first record at or behind each of these offsets. `None` if there is
    /// no such record (any more), or it has no time.
    ///
    /// # Errors
    /// For each: no such partition, may not be read, damaged, or no leader answered within `default.api.timeout.ms`.
    pub fn record_timestamps(&self, records: &[(TopicPartition, i64)]) -> Vec<Result<Option<i64>>> {
        self.timestamps(records, self.deadline())
    }

    pub(super) fn timestamps(&self, records: &[(TopicPartition, i64)], deadline: Deadline) -> Vec<Result<Option<i64>>> {
        let located = |items: &[&(TopicPartition, i64)], step: Deadline| {
            Ok(self.leaders(items.iter().map(|(partition, _)| partition), step))
        };
        self.spread(records, deadline, located, |node, records, _, step| {
            let mut told: Vec<Option<Result<Option<i64>>>> = records.iter().map(|_| None).collect();
            // The places in `records` of what is still to be asked for, from which offset on.
            let mut pending: Vec<(usize, i64)> =
                records.iter().enumerate().map(|(index, (_, offset))| (index, *offset)).collect();
            let mut at_once = AT_ONCE;
            while !pending.is_empty() {
                let rest = pending.split_off(pending.len().min(at_once));
                let asked: Vec<(&TopicPartition, i64)> =
                    pending.iter().map(|&(index, offset)| (&records[index].0, offset)).collect();
                let request = request(&asked);
                let response = self.talk(node, step, |connection| {
                    let version = connection.versions().negotiate_up_to::<FetchRequest>(BY_NAME)?;
                    connection.send_version(&request, version, step)?;
                    connection.receive::<FetchRequest>(step)
                })?;
                checked(ApiKey::Fetch, response.error_code, None)?;
                let mut again = Vec::new();
                for (&(index, offset), (partition, _)) in pending.iter().zip(&asked) {
                    let answer = response
                        .responses
                        .iter()
                        .filter(|topic| topic.topic == *partition.topic)
                        .flat_map(|topic| &topic.partitions)
                        .find(|answer| answer.partition_index == partition.partition);
                    let answer = answer.ok_or_else(|| unmentioned(ApiKey::Fetch, "partition"));
                    match answer.and_then(|answer| read(answer, offset)) {
                        Ok(Told::Time(time)) => told[index] = Some(Ok(time)),
                        Ok(Told::Further(next)) => again.push((index, next)),
                        Ok(Told::TooLarge) => again.push((index, offset)),
                        Err(error) => {
                            told[index] = Some(Err(error.with_partition(&*partition.topic, partition.partition)));
                        }
                    }
                }
                // One alone must be answered; a broker that does not is asked no more.
                let stuck = again.iter().all(|left| pending.contains(left)) && again.len() == pending.len();
                if stuck && at_once == 1 {
                    for (index, _) in again.drain(..) {
                        told[index] = Some(Ok(None));
                    }
                }
                at_once = if stuck { 1 } else { AT_ONCE };
                // Those that were not asked yet come first, so that another one heads the next request.
                pending = rest;
                pending.extend(again);
            }
            let late = || Err(Error::timeout(&step, "reading the records' times"));
            Ok(told.into_iter().map(|told| told.unwrap_or_else(late)).collect())
        })
    }
}

fn request(asked: &[(&TopicPartition, i64)]) -> FetchRequest {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (partition, offset) in asked {
        let entry = FetchPartition {
            partition: partition.partition,
            fetch_offset: *offset,
            partition_max_bytes: PARTITION_BYTES,
            ..Default::default()
        };
        match topics.last_mut().filter(|topic| topic.topic == *partition.topic) {
            Some(topic) => topic.partitions.push(entry),
            None => topics.push(FetchTopic {
                topic: partition.topic.to_string(),
                partitions: vec![entry],
                ..Default::default()
            }),
        }
    }
    FetchRequest { max_bytes: ANSWER_BYTES, topics, ..Default::default() }
}

fn read(answer: &PartitionData, offset: i64) -> Result<Told> {
    match answer.error_code {
        // Retention has taken it, or it is not written yet.
        ErrorCode::OFFSET_OUT_OF_RANGE => return Ok(Told::Time(None)),
        code => checked(ApiKey::Fetch, code, None)?,
    }
    let bytes: Bytes = answer.records.clone().unwrap_or_default();
    let mut next = offset;
    for batch in batch::batches(&bytes) {
        let batch = batch?;
        if batch.last_offset() < offset {
            continue;
        }
        if !batch.is_control()
            && let Some(time) = time_in(&batch, offset)?
        {
            return Ok(Told::Time(Some(time).filter(|time| *time >= 0)));
        }
        next = batch.last_offset() + 1;
    }
    Ok(match next {
        next if next >= answer.high_watermark => Told::Time(None),
        next if next > offset => Told::Further(next),
        _ => Told::TooLarge,
    })
}

/// The time of the first record of the batch that is not before `offset`.
fn time_in(batch: &Batch, offset: i64) -> Result<Option<i64>> {
    batch.check_crc()?;
    let header = batch.header();
    if let Some(time) = batch.append_time() {
        return Ok(Some(time));
    }
    // The first record's time is the batch's, so that nothing has to be decompressed for it.
    let whole = header.count == header.last_offset_delta.saturating_add(1) && header.attributes & DELETE_HORIZON == 0;
    if whole && offset <= header.base_offset {
        return Ok(Some(header.base_timestamp));
    }
    let batch = batch.decompress(Limits::default())?;
    batch.validate()?;
    let time = batch.records().find(|record| record.offset >= offset).map(|record| record.timestamp);
    Ok(time)
}
