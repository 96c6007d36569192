//! The service's own line for each message of ours.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::account::Account;
use crate::ConsumerRecord;
use crate::logging::{Format, timestamp};
use crate::service::message::{Marks, Message, now_ns};
use crate::sync::lock;

/// A message of ours, as it arrived.
pub(super) struct Arrival<'a> {
    message: Message<'a>,
    partition: i32,
    offset: i64,
    latency: Duration,
}

impl<'a> Arrival<'a> {
    /// Reads a record and takes note of it; `None` if it is not ours.
    pub(super) fn of(record: &ConsumerRecord<'a>, account: &Account) -> Option<Self> {
        let (partition, offset) = (record.partition(), record.offset());
        let message = match Message::read(record.value()) {
            Ok(message) => message,
            Err(why) => {
                account.foreign.add(1);
                log::warn!(target: "receiver", "Not our message at {}-{partition}@{offset}: {why}", record.topic());
                return None;
            }
        };
        let mut marks = Marks::default();
        for header in record.headers() {
            marks.note(header.key, header.value);
        }
        lock(&account.ledger).note(partition, offset, &marks);
        let sent_ns = marks.sent_ns.map(i128::from).or_else(|| message.made_ns());
        let latency = sent_ns.map_or(0, |sent| (i128::from(now_ns()) - sent).max(0));
        let latency = Duration::from_nanos(u64::try_from(latency).unwrap_or(u64::MAX));
        account.latency.record(latency);
        Some(Self { message, partition, offset, latency })
    }

    /// Adds its line; `total` counts the messages of this receiver, this one included.
    pub(super) fn write_line(&self, format: Format, total: u64, buffer: &mut Vec<u8>) {
        match format {
            Format::Text => self.write_text(total, buffer),
            Format::Json => self.write_json(total, buffer),
        }
        buffer.push(b'\n');
    }

    fn write_text(&self, total: u64, buffer: &mut Vec<u8>) {
        // A Vec takes everything.
        let _ = write!(
            buffer,
            "INFO receiver: Received message #{}: id={}, content='{}', latency={}ms, total_received={total}",
            self.message.counter,
            self.message.id,
            OneLine(&self.message.content),
            self.latency.as_millis()
        );
    }

    fn write_json(&self, total: u64, buffer: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Line<'a> {
            timestamp: &'a str,
            level: &'a str,
            target: &'a str,
            message: &'a str,
            counter: u64,
            id: uuid::Uuid,
            content: &'a str,
            latency_ms: u64,
            total_received: u64,
            partition: i32,
            offset: i64,
        }
        let line = Line {
            timestamp: &timestamp(OffsetDateTime::now_utc()),
            level: "INFO",
            target: "receiver",
            message: &format!("Received message #{}", self.message.counter),
            counter: self.message.counter,
            id: self.message.id,
            content: &self.message.content,
            latency_ms: u64::try_from(self.latency.as_millis()).unwrap_or(u64::MAX),
            total_received: total,
            partition: self.partition,
            offset: self.offset,
        };
        // Neither a Vec nor a value of these types can fail.
        let _ = serde_json::to_writer(buffer, &line);
    }
}

/// Text from the network that must stay within its line, and must not command a terminal.
pub(super) struct OneLine<'a>(pub(super) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.split_inclusive(char::is_control) {
            match piece.chars().next_back() {
                Some(last) if last.is_control() => {
                    f.write_str(&piece[..piece.len() - last.len_utf8()])?;
                    write!(f, "{}", last.escape_default())?;
                }
                _ => f.write_str(piece)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(content: &str, latency: Duration) -> Arrival<'_> {
        let message = Message {
            id: "550e8400-e29b-41d4-a716-446655440000".parse().unwrap(),
            content: content.into(),
            timestamp: "2025-07-30T10:30:45.123Z".into(),
            counter: 42,
        };
        Arrival { message, partition: 1, offset: 17, latency }
    }

    fn line(content: &str, latency: Duration, format: Format) -> String {
        let mut buffer = Vec::new();
        arrival(content, latency).write_line(format, 42, &mut buffer);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn the_line_is_exactly_as_promised() {
        assert_eq!(
            line("Hello from Rust sender! Message #42", Duration::from_micros(15_999), Format::Text),
            "INFO receiver: Received message #42: id=550e8400-e29b-41d4-a716-446655440000, \
             content='Hello from Rust sender! Message #42', latency=15ms, total_received=42\n"
        );
    }

    #[test]
    fn a_message_stays_one_line_whatever_it_says() {
        let content = "a\nINFO receiver: forged\r\u{1b}[2J\u{9b}1m é'\0";
        let text = line(content, Duration::ZERO, Format::Text);
        assert!(text.contains(r"content='a\nINFO receiver: forged\r\u{1b}[2J\u{9b}1m é'\u{0}'"), "{text}");
        for format in [Format::Text, Format::Json] {
            let text = line(content, Duration::ZERO, format);
            assert_eq!(text.matches('\n').count(), 1);
            assert!(!text.trim_end().contains(|c: char| c.is_ascii_control()), "{text:?}");
        }
    }

    #[test]
    fn the_json_line_carries_each_fact_as_a_field() {
        let text = line("x\"y", Duration::from_millis(15), Format::Json);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (name, expected) in [
            ("level", "INFO".into()),
            ("target", "receiver".into()),
            ("message", "Received message #42".into()),
            ("counter", 42.into()),
            ("content", "x\"y".into()),
            ("latency_ms", 15.into()),
            ("total_received", 42.into()),
            ("partition", 1.into()),
            ("offset", serde_json::Value::from(17)),
        ] {
            assert_eq!(value[name], expected, "{name}");
        }
        assert!(value["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
