//! Walking through the records of one batch, borrowed and lazily.
//!
//! [`validate`] goes through all of them once and knows every rule of the format; the iterators after it check only
//! what memory safety asks for and end where bytes make no sense.

use std::borrow::Cow;
use std::iter::FusedIterator;

use super::batch::Header as BatchHeader;
use super::varint;

/// The smallest record: length, attributes, two deltas, null key, null value, no headers.
pub(crate) const MIN_RECORD: usize = 7;
/// The smallest header: an empty key and a null value.
const MIN_HEADER: usize = 2;

/// A record as it was fetched.
#[derive(Clone, Debug)]
pub(crate) struct RawRecord<'a> {
    pub offset: i64,
    /// Milliseconds since 1970; the broker's time if the topic says so. -1 if the producer gave none.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// The headers of a fetched record, in order.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: i32,
}

/// A header of a fetched record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawHeader<'a> {
    /// Meant to be UTF-8; nobody checks that.
    pub key: &'a [u8],
    /// Its value, if it is not null.
    pub value: Option<&'a [u8]>,
}

/// The records of a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordIter<'a> {
    rest: &'a [u8],
    left: i32,
    base_offset: i64,
    base_timestamp: i64,
    append_time: Option<i64>,
}

/// A place between two records of one batch, from which to walk on later. The default is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Bytes of records before it.
    at: usize,
    /// Records before it.
    taken: i32,
}

impl Cursor {
    /// How many records lie before it.
    pub fn taken(self) -> i32 {
        self.taken
    }

    /// The place `count` records further on, by nothing but their lengths.
    pub(super) fn skip(mut self, records: &[u8], count: i32) -> Self {
        let mut rest = records.get(self.at..).unwrap_or_default();
        let before = rest.len();
        for _ in 0..count {
            let Some(tail) = varint::take_i32(&mut rest).and_then(|size| rest.get(usize::try_from(size).ok()?..))
            else {
                break;
            };
            rest = tail;
            self.taken += 1;
        }
        self.at += before - rest.len();
        self
    }
}

/// Checks every record of an uncompressed batch; the error says what is wrong with which.
pub(crate) fn validate(header: &BatchHeader, records: &[u8]) -> Result<(), String> {
    let mut rest = records;
    let mut previous = -1;
    for index in 0..header.count {
        let delta = Parts::take(&mut rest)
            .and_then(|record| record.headers.check().map(|()| record.offset_delta))
            .map_err(|what| format!("record {index} of {}: {what}", header.count))?;
        if delta <= previous || delta > header.last_offset_delta {
            let last = header.last_offset_delta;
            return Err(format!(
                "record {index} of {}: offset delta {delta} after {previous}, of {last}",
                header.count
            ));
        }
        previous = delta;
    }
    if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes behind the last record", rest.len())) }
}

impl<'a> RecordIter<'a> {
    pub(super) fn new(header: &BatchHeader, append_time: Option<i64>, records: &'a [u8]) -> Self {
        Self {
            rest: records,
            left: header.count,
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time,
        }
    }

    /// From `cursor` on, `count` records at the most.
    pub(super) fn between(mut self, cursor: Cursor, count: i32) -> Self {
        self.rest = self.rest.get(cursor.at..).unwrap_or_default();
        self.left = (self.left - cursor.taken).min(count);
        self
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = RawRecord<'a>;

    // Part of the loop that asks for records: moving one out of a function costs as much as finding it.
    #[inline(always)]
    fn next(&mut self) -> Option<RawRecord<'a>> {
        if self.left <= 0 {
            return None;
        }
        let Ok(record) = Parts::take(&mut self.rest) else {
            self.left = 0;
            return None;
        };
        self.left -= 1;
        Some(RawRecord {
            offset: self.base_offset.wrapping_add(i64::from(record.offset_delta)),
            timestamp: self.append_time.unwrap_or(self.base_timestamp.wrapping_add(record.timestamp_delta)),
            key: record.key,
            value: record.value,
            headers: record.headers,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left as usize))
    }
}

impl FusedIterator for RecordIter<'_> {}

impl Headers<'_> {
    /// How many headers are left.
    pub fn len(&self) -> usize {
        self.left as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Whether they are what the format says and fill their place.
    #[inline]
    fn check(&self) -> Result<(), &'static str> {
        if self.left == 0 {
            return if self.rest.is_empty() { Ok(()) } else { Err("bytes behind its end") };
        }
        self.check_all()
    }

    fn check_all(&self) -> Result<(), &'static str> {
        let mut rest = self.rest;
        for _ in 0..self.left {
            take_blob(&mut rest).ok_or("a broken header key")?.ok_or("a header without a key")?;
            take_blob(&mut rest).ok_or("a broken header value")?;
        }
        if rest.is_empty() { Ok(()) } else { Err("bytes behind its end") }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = RawHeader<'a>;

    fn next(&mut self) -> Option<RawHeader<'a>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let header = take_blob(&mut self.rest).flatten().zip(take_blob(&mut self.rest));
        if header.is_none() {
            self.left = 0;
        }
        header.map(|(key, value)| RawHeader { key, value })
    }
}

impl FusedIterator for Headers<'_> {}

impl<'a> RawHeader<'a> {
    /// The key as text; what is not UTF-8 shows as U+FFFD.
    pub fn key_lossy(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// A record relative to its batch.
struct Parts<'a> {
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> Parts<'a> {
    /// Takes a record from the front of `rest`. Its headers are counted, not yet looked at.
    #[inline(always)]
    fn take(rest: &mut &'a [u8]) -> Result<Self, &'static str> {
        let size = varint::take_i32(rest).ok_or("a broken length")?;
        let size = usize::try_from(size).map_err(|_| "a negative length")?;
        let (mut body, tail) = rest.split_at_checked(size).ok_or("longer than the batch")?;
        *rest = tail;
        // One byte of attributes, all of them unused.
        body = body.get(1..).ok_or("an empty record")?;
        let timestamp_delta = varint::take_i64(&mut body).ok_or("a broken timestamp")?;
        let offset_delta = varint::take_i32(&mut body).ok_or("a broken offset delta")?;
        let key = take_blob(&mut body).ok_or("a broken key")?;
        let value = take_blob(&mut body).ok_or("a broken value")?;
        let left = varint::take_i32(&mut body).ok_or("a broken header count")?;
        if left < 0 || left as usize > body.len() / MIN_HEADER {
            return Err("an impossible header count");
        }
        Ok(Self { timestamp_delta, offset_delta, key, value, headers: Headers { rest: body, left } })
    }
}

/// Takes a length and so many bytes; -1 is null and anything below broken.
#[inline(always)]
fn take_blob<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let size = varint::take_i32(rest)?;
    if size < 0 {
        return (size == -1).then_some(None);
    }
    let (blob, tail) = rest.split_at_checked(size as usize)?;
    *rest = tail;
    Some(Some(blob))
}
