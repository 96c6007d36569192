//! What `poll` returns: records that borrow from the buffers they were fetched into.

use std::collections::BTreeSet;
use std::iter::FusedIterator;

use super::subscription::TopicPartition;
use crate::kafka::record::Headers;
use crate::kafka::record::batch::Batch;
use crate::kafka::record::walk::{Cursor, RawRecord, RecordIter};

/// Consecutive records of one batch.
#[derive(Debug)]
pub(super) struct Run {
    pub partition: TopicPartition,
    /// Validated, so that walking through it cannot fail.
    pub batch: Batch,
    pub from: Cursor,
    pub count: i32,
}

/// The records that one [`Consumer::poll`](super::Consumer::poll) handed over: in order per partition, partitions one
/// after the other. It owns its buffers; iterate over a reference to it.
#[derive(Debug, Default)]
pub struct Records {
    runs: Vec<Run>,
    count: usize,
}

impl Records {
    pub(super) fn new(runs: Vec<Run>, count: usize) -> Self {
        Self { runs, count }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The partitions that records came from, each once.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        let distinct: BTreeSet<&TopicPartition> = self.runs.iter().map(|run| &run.partition).collect();
        distinct.into_iter().cloned().collect()
    }

    /// The records.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter { runs: self.runs.iter(), place: None, records: RecordIter::default(), left: self.count }
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = ConsumerRecord<'a>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Records`].
#[derive(Clone, Debug)]
pub struct RecordsIter<'a> {
    runs: std::slice::Iter<'a, Run>,
    /// Where `records` are from; `None` before the first run.
    place: Option<&'a TopicPartition>,
    records: RecordIter<'a>,
    left: usize,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = ConsumerRecord<'a>;

    #[inline]
    fn next(&mut self) -> Option<ConsumerRecord<'a>> {
        loop {
            if let (Some(place), Some(record)) = (self.place, self.records.next()) {
                self.left -= 1;
                return Some(ConsumerRecord { place, record });
            }
            let run = self.runs.next()?;
            self.place = Some(&run.partition);
            self.records = run.batch.records_from(run.from, run.count);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RecordsIter<'_> {}
impl FusedIterator for RecordsIter<'_> {}

/// One record, borrowed from the [`Records`] it came in.
#[derive(Clone, Debug)]
pub struct ConsumerRecord<'a> {
    place: &'a TopicPartition,
    record: RawRecord<'a>,
}

impl<'a> ConsumerRecord<'a> {
    /// The topic it was read from.
    #[inline]
    pub fn topic(&self) -> &'a str {
        &self.place.topic
    }

    /// The partition it was read from.
    #[inline]
    pub fn partition(&self) -> i32 {
        self.place.partition
    }

    /// Both.
    #[inline]
    pub fn topic_partition(&self) -> &'a TopicPartition {
        self.place
    }

    /// Its offset in the partition.
    #[inline]
    pub fn offset(&self) -> i64 {
        self.record.offset
    }

    /// Milliseconds since 1970: when the producer made it, or, where `message.timestamp.type=LogAppendTime`, when the
    /// broker stored it. -1 if there is none.
    #[inline]
    pub fn timestamp(&self) -> i64 {
        self.record.timestamp
    }

    /// Its key, if it has one.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.record.key
    }

    /// Its value; none in a tombstone.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.record.value
    }

    /// Its headers, in order.
    pub fn headers(&self) -> Headers<'a> {
        self.record.headers.clone()
    }

    /// The value of the last header of this name.
    pub fn header(&self, key: &str) -> Option<&'a [u8]> {
        self.headers().filter(|header| header.key == key.as_bytes()).last().and_then(|header| header.value)
    }
}
