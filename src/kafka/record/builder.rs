//! Building a record batch in place: each record is encoded once, into the bytes that go to the broker.
//!
//! The header's 61 bytes are reserved at the start and patched when the batch closes; the producer's fields and the
//! checksum follow when it is first sent ([`stamp`]). The size on the wire is known as the batch fills. There is no
//! limit here but the format's own: how large a batch may get is the caller's decision.

use super::Header;
use super::batch::{self, HEADER_LEN, field};
use super::compression::{self, Compression};
use super::varint;
use crate::kafka::error::{Error, Result};

/// Room on the stack for all varints before a key or a value: length, attributes, timestamp, offset, two lengths.
const PREFIX: usize = 40;
/// Length, attributes, timestamp delta, offset delta, key length, value length at their longest.
const _: () = assert!(3 * varint::MAX_I32 + 1 + varint::MAX_I64 + varint::MAX_I32 <= PREFIX);

/// A batch that takes records.
#[derive(Clone, Debug)]
pub(crate) struct BatchBuilder {
    /// The header's place, zeroed, then the records so far: `HEADER_LEN <= buf.len() <= i32::MAX`.
    buf: Vec<u8>,
    count: i32,
    /// The first record's; the others are encoded relative to it.
    base_timestamp: i64,
    max_timestamp: i64,
}

/// What is known of a record before it is encoded.
struct Plan {
    /// Size of the record without its length field.
    body: usize,
    /// Zigzag form.
    timestamp_delta: u64,
    /// Zigzag form.
    offset_delta: u64,
}

impl BatchBuilder {
    /// An empty batch in `buf`, whose capacity is kept and whose content is not.
    pub fn new(mut buf: Vec<u8>) -> Self {
        buf.clear();
        buf.resize(HEADER_LEN, 0);
        Self { buf, count: 0, base_timestamp: 0, max_timestamp: i64::MIN }
    }

    /// The size of the batch on the wire, uncompressed, if this record was appended.
    pub fn size_after(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
        timestamp: i64,
    ) -> usize {
        self.end_of(&self.plan(key, value, headers, timestamp))
    }

    /// Appends a record. `timestamp` is in milliseconds since 1970.
    ///
    /// # Errors
    /// The format counts sizes and records in 31 bits; the batch is as it was if it would need more.
    #[inline]
    pub fn append(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
        timestamp: i64,
    ) -> Result<()> {
        self.try_append(i32::MAX as usize, key, value, headers, timestamp)
            .and_then(|fits| if fits { Ok(()) } else { Err(too_large()) })
    }

    /// Appends a record, unless the batch would then exceed `limit` bytes: `false`, and nothing has changed.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    #[inline]
    pub fn try_append(
        &mut self,
        limit: usize,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
        timestamp: i64,
    ) -> Result<bool> {
        let plan = self.plan(key, value, headers, timestamp);
        let end = self.end_of(&plan);
        if end > limit {
            return Ok(false);
        }
        if end > i32::MAX as usize || self.count == i32::MAX {
            return Err(too_large());
        }
        self.encode(&plan, end, key, value, headers);
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
        Ok(true)
    }

    /// Bytes on the wire so far, uncompressed.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Records so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// The first record's timestamp; `None` while empty.
    pub fn first_timestamp(&self) -> Option<i64> {
        (self.count > 0).then_some(self.base_timestamp)
    }

    /// The latest timestamp; `None` while empty.
    pub fn max_timestamp(&self) -> Option<i64> {
        (self.count > 0).then_some(self.max_timestamp)
    }

    /// How large the batch may get before the buffer moves.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Makes room for `additional` bytes without growing by more than that.
    pub fn reserve(&mut self, additional: usize) {
        self.buf.reserve_exact(additional);
    }

    /// Closes the batch, which must hold a record: compresses the records and fills in the header, all but the
    /// checksum. It cannot be sent before [`stamp`] set that. Records that a codec would make larger stay
    /// uncompressed.
    ///
    /// # Errors
    /// The codec is not part of this build.
    pub fn close(self, compression: Compression) -> Result<Vec<u8>> {
        self.close_into(compression, Vec::with_capacity).map(|(buffer, _)| buffer)
    }

    /// Like [`close`](Self::close). What is compressed goes into the buffer that `spare` makes, with room for so many
    /// bytes. The second of the two that are returned is the one that is not needed then.
    ///
    /// # Errors
    /// As there.
    pub fn close_into(
        mut self,
        compression: Compression,
        spare: impl FnOnce(usize) -> Vec<u8>,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
        let (mut codec, mut left) = (Compression::None, None);
        if compression != Compression::None && self.count > 0 {
            let mut packed = spare(self.buf.len());
            packed.clear();
            packed.extend_from_slice(&self.buf[..HEADER_LEN]);
            let fits = compression::compress(compression, &self.buf[HEADER_LEN..], &mut packed)?;
            if fits && packed.len() < self.buf.len() {
                std::mem::swap(&mut self.buf, &mut packed);
                codec = compression;
            }
            left = Some(packed);
        }
        let length = (self.buf.len() - field::LENGTH_END) as i32;
        let times = [self.first_timestamp().unwrap_or(-1), self.max_timestamp().unwrap_or(-1)];
        let buf = &mut self.buf[..];
        batch::put(buf, field::BASE_OFFSET, 0i64.to_be_bytes());
        batch::put(buf, field::LENGTH, length.to_be_bytes());
        batch::put(buf, field::LEADER_EPOCH, (-1i32).to_be_bytes());
        batch::put(buf, field::MAGIC, [batch::MAGIC]);
        batch::put(buf, field::ATTRIBUTES, i16::from(codec.id()).to_be_bytes());
        batch::put(buf, field::LAST_OFFSET_DELTA, (self.count - 1).to_be_bytes());
        batch::put(buf, field::BASE_TIMESTAMP, times[0].to_be_bytes());
        batch::put(buf, field::MAX_TIMESTAMP, times[1].to_be_bytes());
        batch::put(buf, field::COUNT, self.count.to_be_bytes());
        put_producer(buf, -1, -1, -1);
        Ok((self.buf, left))
    }

    #[inline]
    fn plan(&self, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>], timestamp: i64) -> Plan {
        // Wraps over the whole range of i64, as adding it again does.
        let delta = if self.count == 0 { 0 } else { timestamp.wrapping_sub(self.base_timestamp) };
        let timestamp_delta = varint::zigzag(delta);
        let offset_delta = varint::zigzag(i64::from(self.count));
        let body = (1 + varint::unsigned_len(timestamp_delta) + varint::unsigned_len(offset_delta))
            .saturating_add(blob_len(key))
            .saturating_add(blob_len(value))
            .saturating_add(headers_len(headers));
        Plan { body, timestamp_delta, offset_delta }
    }

    #[inline]
    fn end_of(&self, plan: &Plan) -> usize {
        (self.buf.len() + varint::unsigned_len((plan.body as u64) << 1)).saturating_add(plan.body)
    }

    #[inline]
    fn encode(&mut self, plan: &Plan, end: usize, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) {
        let buf = &mut self.buf;
        let mut prefix = [0; PREFIX];
        let mut at = varint::put(&mut prefix, 0, (plan.body as u64) << 1);
        // One byte of attributes, all of them unused.
        at = varint::put(&mut prefix, at + 1, plan.timestamp_delta);
        at = varint::put(&mut prefix, at, plan.offset_delta);
        at = put_len(&mut prefix, at, key);
        if let Some(key) = key {
            push_prefix(buf, &prefix, at);
            push_blob(buf, key);
            at = 0;
        }
        at = put_len(&mut prefix, at, value);
        push_prefix(buf, &prefix, at);
        if let Some(value) = value {
            push_blob(buf, value);
        }
        if headers.is_empty() {
            buf.push(0);
        } else {
            encode_headers(buf, headers);
        }
        debug_assert_eq!(buf.len(), end);
    }
}

/// Sets the producer's fields of a closed batch, and its checksum: when it is first sent, and again if its sequence
/// changes. Without idempotence all three are -1. `buf` must come from [`BatchBuilder::close`].
pub(crate) fn stamp(buf: &mut [u8], producer_id: i64, epoch: i16, base_sequence: i32) {
    put_producer(buf, producer_id, epoch, base_sequence);
    let crc = batch::checksum(buf);
    batch::put(buf, field::CRC, crc.to_be_bytes());
}

fn put_producer(buf: &mut [u8], producer_id: i64, epoch: i16, base_sequence: i32) {
    batch::put(buf, field::PRODUCER_ID, producer_id.to_be_bytes());
    batch::put(buf, field::PRODUCER_EPOCH, epoch.to_be_bytes());
    batch::put(buf, field::BASE_SEQUENCE, base_sequence.to_be_bytes());
}

#[inline]
fn blob_len(blob: Option<&[u8]>) -> usize {
    match blob {
        Some(blob) => varint::unsigned_len((blob.len() as u64) << 1) + blob.len(),
        None => 1,
    }
}

#[inline]
fn headers_len(headers: &[Header<'_>]) -> usize {
    if headers.is_empty() {
        return 1;
    }
    let count = varint::unsigned_len((headers.len() as u64) << 1);
    headers.iter().fold(count, |sum, header| {
        sum.saturating_add(blob_len(Some(header.key.as_bytes()))).saturating_add(blob_len(header.value))
    })
}

/// The length of a blob, -1 for null, which is 1 in zigzag form.
#[inline]
fn put_len(prefix: &mut [u8; PREFIX], at: usize, blob: Option<&[u8]>) -> usize {
    varint::put(prefix, at, blob.map_or(1, |blob| (blob.len() as u64) << 1))
}

/// Where there is room, copies the whole array and cuts it: a copy of constant size needs no call.
#[inline]
fn push_prefix(buf: &mut Vec<u8>, prefix: &[u8; PREFIX], len: usize) {
    if buf.capacity() - buf.len() >= PREFIX {
        let end = buf.len() + len;
        buf.extend_from_slice(prefix);
        buf.truncate(end);
    } else {
        push_call(buf, &prefix[..len]);
    }
}

/// Appends a blob, a short one in pieces of constant size: the memcpy of musl takes some 20 ns to begin.
#[inline(always)]
fn push_blob(buf: &mut Vec<u8>, blob: &[u8]) {
    match blob.len() {
        32..=256 => push_pieces::<32>(buf, blob),
        16..32 => push_pieces::<16>(buf, blob),
        8..16 => push_pieces::<8>(buf, blob),
        4..8 => push_pieces::<4>(buf, blob),
        0..4 => blob.iter().for_each(|&byte| buf.push(byte)),
        _ => push_call(buf, blob),
    }
}

/// Kept apart, or the compiler joins it with the copies of constant size and calls memcpy for all of them.
#[inline(never)]
fn push_call(buf: &mut Vec<u8>, bytes: &[u8]) {
    buf.extend_from_slice(bytes);
}

/// Appends at least `N` bytes; the last piece overlaps the one before it, on the same bytes.
#[inline]
fn push_pieces<const N: usize>(buf: &mut Vec<u8>, blob: &[u8]) {
    let (pieces, tail) = blob.as_chunks::<N>();
    for piece in pieces {
        buf.extend_from_slice(piece);
    }
    if let Some(last) = blob.last_chunk::<N>()
        && !tail.is_empty()
    {
        buf.truncate(buf.len() + tail.len() - N);
        buf.extend_from_slice(last);
    }
}

fn encode_headers(buf: &mut Vec<u8>, headers: &[Header<'_>]) {
    let mut prefix = [0; PREFIX];
    let at = varint::put(&mut prefix, 0, (headers.len() as u64) << 1);
    buf.extend_from_slice(&prefix[..at]);
    for header in headers {
        for blob in [Some(header.key.as_bytes()), header.value] {
            let at = put_len(&mut prefix, 0, blob);
            buf.extend_from_slice(&prefix[..at]);
            buf.extend_from_slice(blob.unwrap_or_default());
        }
    }
}

#[cold]
fn too_large() -> Error {
    Error::config("the record does not fit into a record batch, which holds at most 2 GiB and 2147483647 records")
}
