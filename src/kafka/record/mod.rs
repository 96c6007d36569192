//! Records: what an application hands over, and the batches they travel in (message format v2, KIP-98).
//!
//! `builder` encodes records once, straight into the bytes that go to the broker; `batch` and `walk` read them
//! in place. Nothing here knows a socket, a topic's leader or a clock. The message formats v0 and v1, which Kafka 4
//! no longer stores, are refused by name.

use std::borrow::Cow;

pub use walk::{Headers, RawHeader};

pub(crate) mod batch;
pub(crate) mod builder;
pub(crate) mod compression;
pub(crate) mod varint;
pub(crate) mod walk;

#[doc(hidden)]
pub mod fuzz;
#[doc(hidden)]
pub mod guard;
#[cfg(test)]
mod tests;

/// A record to be sent: a topic, and what else the application says about it.
///
/// It borrows everything; only [`header`](Self::header) allocates. A record without a value is a tombstone, which
/// deletes its key from a compacted topic.
///
/// ```
/// use krs::kafka::record::Record;
///
/// let record = Record::to("greetings").key("de").value("hallo").header("origin", "docs");
/// assert_eq!(record.value_bytes(), Some(&b"hallo"[..]));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Record<'a> {
    topic: &'a str,
    partition: Option<i32>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Cow<'a, [Header<'a>]>,
    timestamp: Option<i64>,
}

/// A header of a record to be sent (KIP-82): its key need not be unique, its value may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name.
    pub key: &'a str,
    /// The value, if it is not null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header with a value.
    pub fn new<V: AsRef<[u8]> + ?Sized>(key: &'a str, value: &'a V) -> Self {
        Self { key, value: Some(value.as_ref()) }
    }
}

impl<'a> Record<'a> {
    /// An empty record for `topic`: without key, value and headers; the producer chooses partition and timestamp.
    pub fn to(topic: &'a str) -> Self {
        Self { topic, partition: None, key: None, value: None, headers: Cow::Borrowed(&[]), timestamp: None }
    }

    /// Sends it to this partition. Default: chosen by the key's hash, or, without a key, by the producer.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Its key. Records of one key go to one partition, in order.
    pub fn key<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// Its value.
    pub fn value<V: AsRef<[u8]> + ?Sized>(mut self, value: &'a V) -> Self {
        self.value = Some(value.as_ref());
        self
    }

    /// Adds one header; several headers are cheaper to give at once, see [`headers`](Self::headers).
    pub fn header<V: AsRef<[u8]> + ?Sized>(mut self, key: &'a str, value: &'a V) -> Self {
        self.headers.to_mut().push(Header::new(key, value));
        self
    }

    /// Its headers, in place of those given before. Does not allocate.
    pub fn headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.headers = Cow::Borrowed(headers);
        self
    }

    /// Its time in milliseconds since 1970. Default: the moment it is sent, by a clock that under load, when it joins a
    /// batch that is open already, may be up to 10 ms behind.
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.timestamp = Some(milliseconds);
        self
    }

    /// The topic it goes to.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// The partition that was asked for.
    pub fn partition_asked(&self) -> Option<i32> {
        self.partition
    }

    /// The key, if it has one.
    pub fn key_bytes(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value, if it has one.
    pub fn value_bytes(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The headers, in order.
    pub fn header_list(&self) -> &[Header<'a>] {
        &self.headers
    }

    /// The time that was given, in milliseconds since 1970.
    pub fn timestamp_given(&self) -> Option<i64> {
        self.timestamp
    }
}
