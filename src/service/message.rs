//! What travels: the JSON message and, in record headers, what the receiver needs to judge it.
//!
//! The value has exactly four fields, in this order; a reader accepts more, so that it can be extended:
//!
//! ```json
//! {"id":"550e8400-e29b-41d4-a716-446655440000","content":"Hello from Rust sender! Message #42","timestamp":"2025-07-30T10:30:45.123Z","counter":42}
//! ```
//!
//! The key is the id, as text. The headers' values are text too, so that `kcat -f '%h'` shows them:
//!
//! | header | value |
//! | --- | --- |
//! | `krs-producer` | `PRODUCER_ID` of the sender |
//! | `krs-run` | a UUID made when the sender started, so that a restart does not look like loss |
//! | `krs-sequence` | 1, 2, 3, … per run and partition, without gaps |
//! | `krs-sent-ns` | when it was handed to the producer, nanoseconds since 1970-01-01 UTC, decimal |
//!
//! Nothing here decides what a missing or odd header means; it is then as if it was not there.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::logging::timestamp;

/// Header: the producer id.
pub const HEADER_PRODUCER: &str = "krs-producer";
/// Header: the run of that producer.
pub const HEADER_RUN: &str = "krs-run";
/// Header: the number of the message within its run and partition.
pub const HEADER_SEQUENCE: &str = "krs-sequence";
/// Header: when it was sent, in nanoseconds since the epoch.
pub const HEADER_SENT: &str = "krs-sent-ns";

/// The longest producer id that is told apart from others; more is cut off by the receiver and refused by the sender.
pub const MAX_PRODUCER_ID: usize = 200;

/// A message as JSON has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message<'a> {
    /// A random (version 4) UUID.
    pub id: Uuid,
    /// `Hello from Rust sender! Message #42`
    #[serde(borrow)]
    pub content: Cow<'a, str>,
    /// When it was made: RFC 3339, UTC, milliseconds.
    #[serde(borrow)]
    pub timestamp: Cow<'a, str>,
    /// 1 for the first message of a run.
    pub counter: u64,
}

impl<'a> Message<'a> {
    /// The message with this number, made at `moment`.
    pub fn new(id: Uuid, counter: u64, moment: OffsetDateTime) -> Message<'static> {
        Message {
            id,
            content: format!("Hello from Rust sender! Message #{counter}").into(),
            timestamp: timestamp(moment).into(),
            counter,
        }
    }

    /// Replaces what is in `buffer` by the JSON text, on one line.
    pub fn write(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        // Neither the writer (a Vec) nor a value of these types can fail.
        let _ = serde_json::to_writer(buffer, self);
    }

    /// Reads a record's value.
    pub fn read(value: Option<&'a [u8]>) -> Result<Self, NotOurs> {
        let value = value.ok_or_else(|| NotOurs("it has no value (a tombstone)".into()))?;
        serde_json::from_slice(value).map_err(|error| NotOurs::new(&error, value.len()))
    }

    /// When the message says it was made, in nanoseconds since the epoch.
    pub fn made_ns(&self) -> Option<i128> {
        OffsetDateTime::parse(&self.timestamp, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp_nanos)
    }
}

/// Why a record is none of our messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOurs(String);

impl NotOurs {
    fn new(error: &serde_json::Error, length: usize) -> Self {
        // serde_json quotes what it found, which may be anything and of any length.
        let mut reason = String::new();
        for c in error.to_string().chars().take(160) {
            let _ = if c.is_control() { write!(reason, "{}", c.escape_default()) } else { reason.write_char(c) };
        }
        Self(format!("{reason} ({length} bytes)"))
    }
}

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the headers of a message say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks<'a> {
    /// Who sent it.
    pub producer: Option<&'a str>,
    /// In which run.
    pub run: Option<Uuid>,
    /// Its number within the run and partition, below 2^63.
    pub sequence: Option<u64>,
    /// When, in nanoseconds since the epoch.
    pub sent_ns: Option<u64>,
}

impl<'a> Marks<'a> {
    /// Takes note of one header. Of several with the same key the last one counts, as in Kafka's own tools.
    pub fn note(&mut self, key: &[u8], value: Option<&'a [u8]>) {
        let text = value.and_then(|value| std::str::from_utf8(value).ok());
        // A key that is not UTF-8 is none of ours either.
        match std::str::from_utf8(key).unwrap_or_default() {
            HEADER_PRODUCER => {
                self.producer = text.filter(|text| !text.is_empty()).map(|text| {
                    let end = (0..=text.len().min(MAX_PRODUCER_ID)).rev().find(|at| text.is_char_boundary(*at));
                    &text[..end.unwrap_or(0)]
                });
            }
            HEADER_RUN => self.run = text.and_then(|text| text.parse().ok()),
            HEADER_SEQUENCE => {
                self.sequence = text.and_then(|text| text.parse().ok()).filter(|number| i64::try_from(*number).is_ok());
            }
            HEADER_SENT => self.sent_ns = text.and_then(|text| text.parse().ok()),
            _ => {}
        }
    }
}

/// A decimal number as header bytes, without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    /// The digits of `number`.
    pub fn new(mut number: u64) -> Self {
        let (mut digits, mut start) = ([0; 20], 20);
        loop {
            start -= 1;
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { digits, start };
            }
        }
    }

    /// Them as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// The wall clock in nanoseconds since the epoch; 0 if it stands before that.
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "550e8400-e29b-41d4-a716-446655440000";
    const VALUE: &str = r#"{"id":"550e8400-e29b-41d4-a716-446655440000","content":"Hello from Rust sender! Message #42","timestamp":"2025-07-30T10:30:45.123Z","counter":42}"#;

    fn moment() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(1_753_871_445_123_000_000).unwrap()
    }

    #[test]
    fn the_value_has_exactly_its_four_fields_in_order() {
        let mut buffer = b"left over".to_vec();
        Message::new(ID.parse().unwrap(), 42, moment()).write(&mut buffer);
        assert_eq!(std::str::from_utf8(&buffer).unwrap(), VALUE);
        let read = Message::read(Some(VALUE.as_bytes())).unwrap();
        assert_eq!(read, Message::new(ID.parse().unwrap(), 42, moment()));
        assert_eq!(read.made_ns(), Some(1_753_871_445_123_000_000));
        assert!(matches!(read.content, Cow::Borrowed(_)));
    }

    #[test]
    fn more_fields_and_another_order_are_read() {
        let value = format!(r#" {{"counter":1,"extra":[{{}}],"timestamp":"soon","content":"a\nb","id":"{ID}"}} "#);
        let message = Message::read(Some(value.as_bytes())).unwrap();
        assert_eq!((message.counter, &*message.content, message.made_ns()), (1, "a\nb", None));
    }

    #[test]
    fn what_is_not_ours_says_why_in_one_line_of_bounded_length() {
        let long = format!(r#"{{"id":"{}"}}"#, "\\u001b[31m".repeat(10_000));
        for value in [
            None,
            Some(&b""[..]),
            Some(b"hello"),
            Some(b"\xff\xfe"),
            Some(b"[]"),
            Some(b"{}"),
            Some(VALUE.replace("42}", "-1}").as_bytes()),
            Some(VALUE.replace("42}", "\"42\"}").as_bytes()),
            Some(VALUE.replace("550e8400", "x").as_bytes()),
            Some(format!("{VALUE}{VALUE}").as_bytes()),
            Some("[".repeat(100_000).as_bytes()),
            Some(long.as_bytes()),
        ] {
            let reason = Message::read(value).unwrap_err().to_string();
            assert!(!reason.is_empty() && reason.len() < 1200 && !reason.contains(char::is_control), "{reason:?}");
        }
    }

    #[test]
    fn headers_are_read_and_odd_ones_are_as_if_absent() {
        let mut marks = Marks::default();
        marks.note(HEADER_PRODUCER.as_bytes(), Some(b"host-1"));
        marks.note(HEADER_RUN.as_bytes(), Some(ID.as_bytes()));
        marks.note(HEADER_SEQUENCE.as_bytes(), Some(b"7"));
        marks.note(HEADER_SENT.as_bytes(), Some(b"1753871445123000000"));
        marks.note(b"other", Some(b"x"));
        let expected = Marks {
            producer: Some("host-1"),
            run: Some(ID.parse().unwrap()),
            sequence: Some(7),
            sent_ns: Some(1_753_871_445_123_000_000),
        };
        assert_eq!(marks, expected);
        for odd in [None, Some(&b""[..]), Some(b"-1"), Some(b"99999999999999999999999"), Some(b"+"), Some(b"\xff")] {
            for key in [HEADER_RUN, HEADER_SEQUENCE, HEADER_SENT] {
                marks.note(key.as_bytes(), odd);
            }
        }
        marks.note(HEADER_PRODUCER.as_bytes(), None);
        assert_eq!(marks, Marks::default());
    }

    #[test]
    fn a_long_producer_id_is_cut_between_characters() {
        let id = "é".repeat(MAX_PRODUCER_ID);
        let id = format!("x{id}");
        let mut marks = Marks::default();
        marks.note(HEADER_PRODUCER.as_bytes(), Some(id.as_bytes()));
        assert_eq!(marks.producer.map(str::len), Some(MAX_PRODUCER_ID - 1));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::read(Some(&value));
            let mut marks = Marks::default();
            for key in [HEADER_PRODUCER, HEADER_RUN, HEADER_SEQUENCE, HEADER_SENT] {
                marks.note(key.as_bytes(), Some(&value));
                marks.note(&value, Some(&value));
            }
        }

        #[test]
        fn decimals_are_those_of_the_standard_library(number: u64) {
            let decimal = Decimal::new(number);
            prop_assert_eq!(std::str::from_utf8(decimal.as_bytes()).unwrap(), number.to_string());
        }
    }
}
