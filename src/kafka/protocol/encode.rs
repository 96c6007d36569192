//! Values to bytes.
//!
//! An [`Encoder`] never fails in the middle: the first value that the wire cannot carry is remembered, and
//! [`finish`](Encoder::finish) reports it. So a schema's encode is plain code without error paths.

use super::bytes::Bytes;
use super::frame::Frame;
use super::schema::Field;
use crate::kafka::error::{Error, Result};

/// Byte fields from this size on are spliced into a frame by reference; copying less is cheaper than one more slice in
/// a vectored write.
const SPLICE_FROM: usize = 512;

/// Kafka's limit for strings, in both encodings.
pub(super) const MAX_STRING: usize = i16::MAX as usize;

/// Appends to a buffer that the caller hands in and gets back.
#[derive(Debug)]
pub struct Encoder {
    head: Vec<u8>,
    /// Where in `head` bytes are to be inserted when the frame is written; ascending.
    splices: Vec<(usize, Bytes)>,
    version: i16,
    flexible: bool,
    /// Tagged fields are preceded by their size, so they are encoded contiguously.
    in_tagged_field: bool,
    failure: Option<String>,
}

impl Encoder {
    /// Encodes behind what `head` holds already.
    pub fn new(head: Vec<u8>) -> Self {
        Self { head, splices: Vec::new(), version: 0, flexible: false, in_tagged_field: false, failure: None }
    }

    /// What follows is encoded for this version, in the flexible encoding (KIP-482) or the fixed one.
    pub fn begin(&mut self, version: i16, flexible: bool) {
        self.version = version;
        self.flexible = flexible;
    }

    /// The version that is being encoded.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether lengths are varints and structures end with tagged fields.
    pub fn is_flexible(&self) -> bool {
        self.flexible
    }

    /// Remembers why this message cannot be encoded, unless an earlier reason is known.
    pub fn fail(&mut self, reason: impl FnOnce() -> String) {
        self.failure.get_or_insert_with(reason);
    }

    /// The encoded bytes with their splices, or why the message cannot be encoded.
    pub fn finish(self) -> Result<Frame> {
        match self.failure {
            None => Ok(Frame::new(self.head, self.splices)),
            Some(reason) => Err(Error::state(format!("cannot be sent: {reason}"))),
        }
    }

    /// Appends one byte, `1` for true.
    pub fn put_bool(&mut self, value: bool) {
        self.head.push(u8::from(value));
    }

    /// Appends one byte.
    pub fn put_i8(&mut self, value: i8) {
        self.put_raw(&value.to_be_bytes());
    }

    /// Appends two bytes, big endian like all integers of the protocol.
    pub fn put_i16(&mut self, value: i16) {
        self.put_raw(&value.to_be_bytes());
    }

    /// Appends four bytes.
    pub fn put_i32(&mut self, value: i32) {
        self.put_raw(&value.to_be_bytes());
    }

    /// Appends eight bytes.
    pub fn put_i64(&mut self, value: i64) {
        self.put_raw(&value.to_be_bytes());
    }

    /// Appends bytes as they are.
    pub fn put_raw(&mut self, bytes: &[u8]) {
        self.head.extend_from_slice(bytes);
    }

    /// Appends an unsigned varint of one to five bytes.
    pub fn put_uvarint(&mut self, value: u32) {
        put_uvarint(&mut self.head, value);
    }

    /// Appends a string with its length, or null; whether null is legal here is the caller's business.
    #[inline(never)]
    pub fn put_string(&mut self, value: Option<&str>, field: &Field) {
        let length = value.map(str::len);
        match length {
            Some(length) if length > MAX_STRING => {
                self.fail(|| format!("{field}: string of {length} bytes, the limit is {MAX_STRING}"));
            }
            _ if self.flexible => self.put_compact_length(length),
            // Not larger than i16::MAX: checked above.
            _ => self.put_i16(length.map_or(-1, |length| length as i16)),
        }
        self.put_raw(value.unwrap_or_default().as_bytes());
    }

    /// Appends bytes with their length, or null. Large ones are spliced in by reference.
    #[inline(never)]
    pub fn put_bytes(&mut self, value: Option<&Bytes>, field: &Field) {
        self.put_length(value.map(|bytes| bytes.len()), field);
        let Some(bytes) = value else { return };
        if bytes.len() < SPLICE_FROM || self.in_tagged_field {
            self.put_raw(bytes);
        } else {
            self.splices.push((self.head.len(), bytes.clone()));
        }
    }

    /// Appends the length of an array or of bytes, or null.
    #[inline(never)]
    pub fn put_length(&mut self, length: Option<usize>, field: &Field) {
        match length.map(i32::try_from) {
            Some(Err(_)) => self.fail(|| format!("{field}: more than {} elements or bytes", i32::MAX)),
            _ if self.flexible => self.put_compact_length(length),
            Some(Ok(length)) => self.put_i32(length),
            None => self.put_i32(-1),
        }
    }

    /// Appends tag, size and content of one tagged field.
    pub fn put_tagged(&mut self, tag: u32, content: impl FnOnce(&mut Self)) {
        self.put_uvarint(tag);
        let start = self.head.len();
        let outer = std::mem::replace(&mut self.in_tagged_field, true);
        content(self);
        self.in_tagged_field = outer;
        let size = self.head.len() - start;
        match u32::try_from(size) {
            Ok(size) => self.put_uvarint(size),
            Err(_) => self.fail(|| format!("tagged field {tag} of {size} bytes")),
        }
        self.head[start..].rotate_left(size);
    }

    /// The compact form: one more than the length, zero for null. Only lengths that fit an `i32` reach it.
    fn put_compact_length(&mut self, length: Option<usize>) {
        self.put_uvarint(length.map_or(0, |length| length as u32 + 1));
    }
}

/// Appends an unsigned varint: seven bits a byte, lowest first.
pub(super) fn put_uvarint(buffer: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}
