//! Reading record batches out of fetched bytes, in place (message format v2, KIP-98).
//!
//! A batch passes three gates before its records are seen: its header makes sense ([`Batches`]), its checksum is right
//! ([`Batch::check_crc`]), and every record lies within it ([`Batch::validate`], after [`Batch::decompress`]). Nothing
//! is allocated by what a length field claims. Transactions are told by their marks; what was aborted is for the consumer to
//! know.

use std::sync::Arc;

use super::compression::{self, Compression, Limits};
use super::walk::{self, Cursor, RecordIter};
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::protocol::Bytes;

/// Size of a batch without its records.
pub(crate) const HEADER_LEN: usize = 61;
/// The version of the message format that is read and written.
pub(crate) const MAGIC: u8 = 2;

/// Where the fields of a batch stand. Integers are big-endian.
pub(crate) mod field {
    pub(crate) const BASE_OFFSET: usize = 0;
    /// Counts the bytes behind itself.
    pub(crate) const LENGTH: usize = 8;
    pub(crate) const LENGTH_END: usize = 12;
    pub(crate) const LEADER_EPOCH: usize = 12;
    pub(crate) const MAGIC: usize = 16;
    /// CRC-32C of everything behind itself.
    pub(crate) const CRC: usize = 17;
    pub(crate) const ATTRIBUTES: usize = 21;
    pub(crate) const LAST_OFFSET_DELTA: usize = 23;
    pub(crate) const BASE_TIMESTAMP: usize = 27;
    pub(crate) const MAX_TIMESTAMP: usize = 35;
    pub(crate) const PRODUCER_ID: usize = 43;
    pub(crate) const PRODUCER_EPOCH: usize = 51;
    pub(crate) const BASE_SEQUENCE: usize = 53;
    pub(crate) const COUNT: usize = 57;
}

const CODEC: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
/// How the key of a marker ends a transaction: two bytes that count versions, then this.
const ABORT: [u8; 2] = [0, 0];

/// The batches in the bytes that a broker returned for one partition.
///
/// Ends at the last whole batch: a broker may cut the last one anywhere. Ends after an error, too.
#[derive(Debug)]
pub(crate) struct Batches {
    bytes: Bytes,
    /// Where the next batch starts: `at <= bytes.len()`.
    at: usize,
    failed: bool,
}

/// A whole batch whose header makes sense.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// This batch alone, at least `HEADER_LEN` bytes.
    bytes: Bytes,
    header: Header,
}

/// The fields of a batch header that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Not negative; neither is `base_offset + last_offset_delta`.
    pub base_offset: i64,
    /// -1 if the broker does not tell.
    pub leader_epoch: i32,
    pub attributes: i16,
    /// Offset of the last record the batch was written with, relative to `base_offset`; not negative.
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    /// -1 without idempotence, as the next two.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// `0 <= count <= last_offset_delta + 1`; less after compaction.
    pub count: i32,
    pub compression: Compression,
}

/// All batches in `bytes`; see [`Batches`].
pub(crate) fn batches(bytes: &Bytes) -> Batches {
    Batches { bytes: bytes.clone(), at: 0, failed: false }
}

impl Batches {
    /// Bytes behind the batches handed out so far; once the iterator has ended, the size of what was cut off.
    pub fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn read(&mut self) -> Result<Option<Batch>> {
        let rest = &self.bytes[self.at..];
        let Some(size) = batch_size(rest)? else { return Ok(None) };
        let header = Header::read(&rest[..size])?;
        let batch = Batch { bytes: self.bytes.slice(self.at..self.at + size), header };
        self.at += size;
        Ok(Some(batch))
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.failed {
            return None;
        }
        let read = self.read();
        self.failed = read.is_err();
        read.transpose()
    }
}

impl Batch {
    /// Its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The offset of the first record it was written with.
    pub fn base_offset(&self) -> i64 {
        self.header.base_offset
    }

    /// The offset of the last record it was written with. The next batch starts behind it, also when compaction took
    /// that record, or all.
    pub fn last_offset(&self) -> i64 {
        self.header.base_offset + i64::from(self.header.last_offset_delta)
    }

    /// How many records it holds.
    pub fn count(&self) -> i32 {
        self.header.count
    }

    /// Whether it holds markers of transactions in place of an application's records.
    pub fn is_control(&self) -> bool {
        self.header.attributes & CONTROL != 0
    }

    /// Whether it is part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.header.attributes & TRANSACTIONAL != 0
    }

    /// Whether it says that its producer's transaction was aborted.
    pub fn is_abort_marker(&self) -> bool {
        let key = || self.records().next().and_then(|record| record.key);
        self.is_control() && !self.is_compressed() && key().and_then(|key| key.get(2..4)) == Some(&ABORT)
    }

    /// The time the broker appended it, if the topic is configured to replace the producer's times with that.
    pub fn append_time(&self) -> Option<i64> {
        (self.header.attributes & LOG_APPEND_TIME != 0).then_some(self.header.max_timestamp)
    }

    /// Size on the wire, or, of a decompressed batch, in memory.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Compares the checksum with the bytes. Meant for a batch as it was fetched, not for a decompressed one.
    pub fn check_crc(&self) -> Result<()> {
        let said = u32::from_be_bytes(array(&self.bytes, field::CRC));
        let found = checksum(&self.bytes);
        if said == found {
            return Ok(());
        }
        Err(self.corrupt(format!("CRC-32C says {said:08x}, the bytes give {found:08x}")))
    }

    /// Whether its records have to be decompressed before they can be read.
    pub fn is_compressed(&self) -> bool {
        self.header.compression != Compression::None && !(self.header.count == 0 && self.bytes.len() == HEADER_LEN)
    }

    /// The same batch in a buffer of its own size, if the one it lies in is more than twice as large. Meant for a batch
    /// that was decompressed, which shares its buffer with no other.
    pub fn trimmed(self) -> Self {
        let (buffer, bytes) = (self.buffer(), &self.bytes[..]);
        if buffer.capacity() / 2 <= bytes.len() {
            return self;
        }
        Self { bytes: Bytes::from(bytes.to_vec()), header: self.header }
    }

    /// The buffer it lies in, which other batches may share.
    pub fn buffer(&self) -> Arc<Vec<u8>> {
        self.bytes.clone().into_shared()
    }

    /// The same batch with its records decompressed, or a copy that shares the bytes if they are not compressed.
    ///
    /// # Errors
    /// The compressed bytes are broken, they exceed `limits`, or the codec is not part of this build.
    pub fn decompress(&self, limits: Limits) -> Result<Self> {
        self.decompress_into(limits, Vec::new)
    }

    /// Like [`decompress`](Self::decompress), into a buffer that is asked for when one is needed, and may
    /// hold anything.
    ///
    /// # Errors
    /// As there.
    pub fn decompress_into(&self, limits: Limits, buffer: impl FnOnce() -> Vec<u8>) -> Result<Self> {
        let codec = self.header.compression;
        let packed = &self.bytes[HEADER_LEN..];
        if !self.is_compressed() {
            return Ok(self.clone());
        }
        let mut bytes = buffer();
        if bytes.len() < HEADER_LEN {
            bytes.resize(HEADER_LEN, 0);
        }
        bytes[..HEADER_LEN].copy_from_slice(&self.bytes[..HEADER_LEN]);
        compression::decompress(codec, packed, limits, &mut bytes, HEADER_LEN)
            .map_err(|error| error.with_offset(self.header.base_offset))?;
        let mut header = self.header;
        header.compression = Compression::None;
        header.attributes &= !CODEC;
        put(&mut bytes, field::ATTRIBUTES, header.attributes.to_be_bytes());
        header.check_count(bytes.len() - HEADER_LEN)?;
        Ok(Self { bytes: Bytes::from(bytes), header })
    }

    /// Walks all records once, by all rules of the format. Afterwards [`records`](Self::records) cannot fail.
    pub fn validate(&self) -> Result<()> {
        if self.header.compression != Compression::None {
            return Err(self.corrupt(format!("records are still compressed with {}", self.header.compression)));
        }
        walk::validate(&self.header, &self.bytes[HEADER_LEN..]).map_err(|what| self.corrupt(what))
    }

    /// The records, borrowed. Those of a batch that does not pass [`validate`](Self::validate) end at its first
    /// broken one, or are nonsense.
    pub fn records(&self) -> RecordIter<'_> {
        RecordIter::new(&self.header, self.append_time(), &self.bytes[HEADER_LEN..])
    }

    /// The records from `cursor` on, `count` of them at the most.
    pub fn records_from(&self, cursor: Cursor, count: i32) -> RecordIter<'_> {
        self.records().between(cursor, count)
    }

    /// The place `count` records behind `cursor`. Cheap: no record is looked into.
    pub fn skip(&self, cursor: Cursor, count: i32) -> Cursor {
        cursor.skip(&self.bytes[HEADER_LEN..], count)
    }

    /// The place before the first record whose offset is not below `offset`.
    pub fn seek(&self, offset: i64) -> Cursor {
        let below = self.records().take_while(|record| record.offset < offset).count();
        self.skip(Cursor::default(), below as i32)
    }

    /// The offset of the record at `cursor`; none at the end.
    pub fn offset_at(&self, cursor: Cursor) -> Option<i64> {
        self.records_from(cursor, 1).next().map(|record| record.offset)
    }

    fn corrupt(&self, what: impl std::fmt::Display) -> Error {
        corrupt(self.header.base_offset, what)
    }
}

impl Header {
    /// Reads the header of a whole batch of magic 2, which `bytes` is.
    fn read(bytes: &[u8]) -> Result<Self> {
        let base_offset = i64::from_be_bytes(array(bytes, field::BASE_OFFSET));
        let attributes = i16::from_be_bytes(array(bytes, field::ATTRIBUTES));
        let compression = Compression::from_id(attributes & CODEC)
            .ok_or_else(|| corrupt(base_offset, format!("unknown compression codec {}", attributes & CODEC)))?;
        let header = Self {
            base_offset,
            leader_epoch: i32::from_be_bytes(array(bytes, field::LEADER_EPOCH)),
            attributes,
            last_offset_delta: i32::from_be_bytes(array(bytes, field::LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(array(bytes, field::BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(array(bytes, field::MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(array(bytes, field::PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(array(bytes, field::PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(array(bytes, field::BASE_SEQUENCE)),
            count: i32::from_be_bytes(array(bytes, field::COUNT)),
            compression,
        };
        let delta = header.last_offset_delta;
        // A position is one more than an offset, so the largest i64 is no offset.
        if base_offset < 0 || delta < 0 || base_offset.checked_add(i64::from(delta) + 1).is_none() {
            return Err(corrupt(base_offset, format!("offsets from {base_offset} and {delta} on")));
        }
        let count = header.count;
        if count < 0 || i64::from(count) > i64::from(delta) + 1 {
            return Err(corrupt(base_offset, format!("{count} records in {} offsets", i64::from(delta) + 1)));
        }
        if compression == Compression::None {
            header.check_count(bytes.len() - HEADER_LEN)?;
        }
        Ok(header)
    }

    /// Whether so many records can lie in `size` bytes, uncompressed.
    fn check_count(&self, size: usize) -> Result<()> {
        if self.count as usize > size / walk::MIN_RECORD {
            return Err(corrupt(self.base_offset, format!("{} records in {size} bytes", self.count)));
        }
        Ok(())
    }
}

/// The size of the batch that starts `rest`, if all of it is there and its magic is known.
fn batch_size(rest: &[u8]) -> Result<Option<usize>> {
    let Some(length) = rest.get(field::LENGTH..field::LENGTH_END) else { return Ok(None) };
    let base_offset = i64::from_be_bytes(array(rest, field::BASE_OFFSET));
    let length = i32::from_be_bytes(array(length, 0));
    match rest.get(field::MAGIC) {
        Some(&MAGIC) | None => {}
        Some(magic @ 0..MAGIC) => {
            let text = format!("message format v{magic} not supported, only v2 (Kafka 0.11 and later)");
            return Err(Error::new(ErrorKind::Protocol, text).with_offset(base_offset));
        }
        Some(magic) => return Err(corrupt(base_offset, format!("unknown message format v{magic}"))),
    }
    let size = usize::try_from(length).ok().and_then(|length| length.checked_add(field::LENGTH_END));
    match size {
        Some(size) if size >= HEADER_LEN => Ok((size <= rest.len()).then_some(size)),
        _ => Err(corrupt(base_offset, format!("its length is {length}"))),
    }
}

/// CRC-32C of a whole batch.
pub(crate) fn checksum(batch: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(&batch[field::ATTRIBUTES..])
}

/// Whether these bytes are one batch with a right checksum, whatever its fields say.
#[cfg(feature = "devbroker")]
pub(crate) fn is_intact(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_LEN
        && usize::try_from(i32::from_be_bytes(array(bytes, field::LENGTH))) == Ok(bytes.len() - field::LENGTH_END)
        && u32::from_be_bytes(array(bytes, field::CRC)) == checksum(bytes)
}

/// The latest timestamp of a whole batch.
#[cfg(feature = "devbroker")]
pub(crate) fn max_timestamp(batch: &[u8]) -> i64 {
    i64::from_be_bytes(array(batch, field::MAX_TIMESTAMP))
}

/// Sets the latest timestamp of a whole batch, and its checksum.
#[cfg(feature = "devbroker")]
pub(crate) fn set_max_timestamp(batch: &mut [u8], timestamp: i64) {
    put(batch, field::MAX_TIMESTAMP, timestamp.to_be_bytes());
    let crc = checksum(batch);
    put(batch, field::CRC, crc.to_be_bytes());
}

/// Replaces the timestamps of a whole batch by the time of its appending, as its checksum then says too.
#[cfg(feature = "devbroker")]
pub(crate) fn set_append_time(batch: &mut [u8], timestamp: i64) {
    let attributes = i16::from_be_bytes(array(batch, field::ATTRIBUTES)) | LOG_APPEND_TIME;
    put(batch, field::ATTRIBUTES, attributes.to_be_bytes());
    set_max_timestamp(batch, timestamp);
}

/// Writes a field of a batch that is at least `HEADER_LEN` long.
pub(crate) fn put<const N: usize>(batch: &mut [u8], at: usize, value: [u8; N]) {
    batch[at..at + N].copy_from_slice(&value);
}

/// Reads a field; the caller knows that the bytes reach that far.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

#[cold]
fn corrupt(base_offset: i64, what: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("corrupt record batch: {what}")).with_offset(base_offset)
}
