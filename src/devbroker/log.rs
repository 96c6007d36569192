//! The log of one partition: batches as they travel, in memory, oldest first.
//!
//! Batches come in checked and go out as they are; only base offset and leader epoch are patched, which no checksum
//! covers. The log knows no leader, no producer and no clock.

use std::collections::VecDeque;

use crate::kafka::protocol::Bytes;
use crate::kafka::record::batch::{self, Batch, field};

/// What a stored batch costs beside its bytes.
const OVERHEAD: usize = 128;

/// Batches at consecutive offsets, of which the oldest may be gone.
#[derive(Debug, Default)]
pub(super) struct Log {
    batches: VecDeque<Stored>,
    /// The first offset that may be read: `first batch's base <= start <= end`, past its records by DeleteRecords.
    start: i64,
    /// The offset that the next record gets; all of the log is committed, so it is the high watermark too.
    end: i64,
    /// Memory held.
    size: usize,
    /// Where each leader epoch began, ascending in both. An epoch in which nothing was appended is not listed.
    epochs: Vec<(i32, i64)>,
}

/// A batch in its place.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) bytes: Bytes,
    pub(super) base_offset: i64,
    pub(super) last_offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) max_timestamp: i64,
    /// Milliseconds since 1970.
    pub(super) appended_at: i64,
}

impl Log {
    /// A sound batch as it will be when it is pushed next.
    pub(super) fn place(&self, batch: &[u8], offsets: i32, leader_epoch: i32, now: i64) -> Stored {
        let mut bytes = batch.to_vec();
        batch::put(&mut bytes, field::BASE_OFFSET, self.end.to_be_bytes());
        batch::put(&mut bytes, field::LEADER_EPOCH, leader_epoch.to_be_bytes());
        let max_timestamp = batch::max_timestamp(&bytes);
        let base_offset = self.end;
        let last_offset = base_offset + i64::from(offsets) - 1;
        Stored { bytes: bytes.into(), base_offset, last_offset, leader_epoch, max_timestamp, appended_at: now }
    }

    /// Adds a batch: one that was placed at the end, or read back from a file.
    pub(super) fn push(&mut self, stored: Stored) {
        if self.batches.is_empty() && self.start == self.end {
            self.start = self.start.max(stored.base_offset);
        }
        self.end = stored.last_offset + 1;
        self.size += stored.bytes.len() + OVERHEAD;
        if self.epochs.last().is_none_or(|(epoch, _)| *epoch < stored.leader_epoch) {
            self.epochs.push((stored.leader_epoch, stored.base_offset));
        }
        self.batches.push_back(stored);
    }

    /// Makes an empty log one whose next offset is this, after these leader epochs.
    pub(super) fn begin_at(&mut self, offset: i64, epochs: &[(i32, i64)]) {
        (self.start, self.end) = (offset, offset);
        epochs.clone_into(&mut self.epochs);
    }

    /// Goes on at a later offset; those in between have no records.
    pub(super) fn skip_to(&mut self, offset: i64) {
        self.end = self.end.max(offset);
        if self.batches.is_empty() {
            self.start = self.end;
        }
    }

    /// All batches are there: the log starts at `start`, and epochs beyond its end are forgotten.
    pub(super) fn settle(&mut self, start: i64) {
        self.delete_before(start);
        let end = self.end;
        self.epochs.retain(|(_, begin)| *begin <= end);
        self.trim_epochs();
    }

    pub(super) fn start(&self) -> i64 {
        self.start
    }

    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// The bytes of all batches.
    pub(super) fn bytes(&self) -> usize {
        self.size - self.batches.len() * OVERHEAD
    }

    /// Memory held, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn batches(&self) -> impl DoubleEndedIterator<Item = &Stored> {
        self.batches.iter()
    }

    /// The oldest batch.
    pub(super) fn oldest(&self) -> Option<&Stored> {
        self.batches.front()
    }

    /// Batches from the one that holds `offset` on, `max_bytes` of them: the last one may be cut off, the first is not.
    /// If that is larger, it comes alone where `one` says so. Empty at the end of the log.
    pub(super) fn read(&self, offset: i64, max_bytes: usize, one: bool) -> Vec<Bytes> {
        let first = self.batches.partition_point(|stored| stored.last_offset < offset);
        let (mut taken, mut left) = (Vec::new(), max_bytes);
        for stored in self.batches.iter().skip(first) {
            let size = stored.bytes.len();
            if size > left {
                if taken.is_empty() && one {
                    taken.push(stored.bytes.clone());
                } else if !taken.is_empty() && left > 0 {
                    taken.push(stored.bytes.slice(0..left));
                }
                break;
            }
            left -= size;
            taken.push(stored.bytes.clone());
        }
        taken
    }

    /// How many bytes a reader at `offset` would find, counted up to `enough`.
    pub(super) fn available(&self, offset: i64, enough: usize) -> usize {
        let first = self.batches.partition_point(|stored| stored.last_offset < offset);
        let mut bytes = 0;
        for stored in self.batches.iter().skip(first) {
            bytes += stored.bytes.len();
            if bytes >= enough {
                break;
            }
        }
        bytes
    }

    /// Moves the start up to `offset`, which is at most the end, and forgets the batches that lie wholly before it.
    pub(super) fn delete_before(&mut self, offset: i64) {
        self.start = self.start.max(offset.min(self.end));
        while self.batches.front().is_some_and(|stored| stored.last_offset < self.start) {
            self.forget();
        }
    }

    /// Takes the oldest batch away, and moves the start behind it.
    pub(super) fn drop_oldest(&mut self) {
        if let Some(oldest) = self.batches.front() {
            self.start = self.start.max(oldest.last_offset + 1);
            self.forget();
        }
    }

    fn forget(&mut self) {
        if let Some(oldest) = self.batches.pop_front() {
            self.size -= oldest.bytes.len() + OVERHEAD;
        }
        self.trim_epochs();
    }

    fn trim_epochs(&mut self) {
        let start = self.start;
        while self.epochs.get(1).is_some_and(|(_, begin)| *begin <= start) {
            self.epochs.remove(0);
        }
        if let Some(first) = self.epochs.first_mut() {
            first.1 = first.1.max(start);
        }
    }

    /// The first record at or after `timestamp`, in milliseconds since 1970: its offset, time and leader epoch.
    pub(super) fn first_at(&self, timestamp: i64) -> Option<(i64, i64, i32)> {
        for stored in self.batches.iter().filter(|stored| stored.max_timestamp >= timestamp) {
            if let Some((offset, time)) = stored.find(self.start, |time| time >= timestamp) {
                return Some((offset, time, stored.leader_epoch));
            }
        }
        None
    }

    /// The record with the highest timestamp, the first of them if there are several.
    pub(super) fn latest(&self) -> Option<(i64, i64, i32)> {
        let highest = self.batches.iter().map(|stored| stored.max_timestamp).max()?;
        self.first_at(highest)
    }

    /// Where the records of `epoch`, or of the last epoch before it, end, and that epoch (KIP-101, KIP-320). `current`
    /// is the leader's epoch, which has no end yet. `None` if no such epoch is known.
    pub(super) fn end_of_epoch(&self, epoch: i32, current: i32) -> Option<(i32, i64)> {
        const UNKNOWN: i32 = -1;
        if epoch > current || epoch == UNKNOWN {
            return None;
        }
        if epoch == current {
            return Some((epoch, self.end));
        }
        let next = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let before = next.checked_sub(1).map_or(epoch, |at| self.epochs[at].0);
        // The current epoch begins at the end, as long as nothing was appended in it.
        Some((before, self.epochs.get(next).map_or(self.end, |(_, begin)| *begin)))
    }

    /// Where each leader epoch began, ascending in both.
    pub(super) fn epochs(&self) -> &[(i32, i64)] {
        &self.epochs
    }

    /// The last epoch in which something was written; 0 if none is known.
    pub(super) fn last_epoch(&self) -> i32 {
        self.epochs.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// The epoch in which the record at `offset` was written; -1 if it is before all that is known.
    pub(super) fn epoch_at(&self, offset: i64) -> i32 {
        let next = self.epochs.partition_point(|(_, begin)| *begin <= offset);
        next.checked_sub(1).map_or(-1, |at| self.epochs[at].0)
    }
}

impl Stored {
    /// The stored batch in the form in which records are read.
    pub(super) fn batch(&self) -> Option<Batch> {
        let batch = batch::batches(&self.bytes).next()?.ok()?;
        batch.decompress(crate::kafka::record::compression::Limits::default()).ok()
    }

    /// The first record at or behind `from` whose time is `wanted`.
    fn find(&self, from: i64, wanted: impl Fn(i64) -> bool) -> Option<(i64, i64)> {
        let batch = self.batch()?;
        let found = batch.records().find(|record| record.offset >= from && wanted(record.timestamp));
        found.map(|record| (record.offset, record.timestamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log with ten offsets in each of these epochs.
    fn log(epochs: &[i32]) -> Log {
        let mut log = Log::default();
        for (&leader_epoch, base_offset) in epochs.iter().zip((0..).step_by(10)) {
            let last_offset = base_offset + 9;
            let bytes = Vec::new().into();
            log.push(Stored { bytes, base_offset, last_offset, leader_epoch, max_timestamp: 0, appended_at: 0 });
        }
        log
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let log = log(&[0, 2, 3]);
        assert_eq!(log.end_of_epoch(0, 5), Some((0, 10)));
        assert_eq!(log.end_of_epoch(1, 5), Some((0, 10)));
        assert_eq!(log.end_of_epoch(2, 5), Some((2, 20)));
        // Nothing was appended in the epochs behind it yet.
        assert_eq!(log.end_of_epoch(3, 5), Some((3, 30)));
        assert_eq!(log.end_of_epoch(4, 5), Some((3, 30)));
        assert_eq!(log.end_of_epoch(5, 5), Some((5, 30)));
        assert_eq!(log.end_of_epoch(6, 5), None);
        assert_eq!(log.end_of_epoch(-1, 5), None);
    }

    #[test]
    fn epochs_whose_records_are_gone_end_at_the_start() {
        let mut log = log(&[1, 2]);
        log.delete_before(10);
        assert_eq!(log.end_of_epoch(0, 2), Some((0, 10)));
        assert_eq!(log.end_of_epoch(1, 2), Some((1, 10)));
        assert_eq!(Log::default().end_of_epoch(0, 0), Some((0, 0)));
    }
}
