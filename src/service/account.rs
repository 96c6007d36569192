//! What became of a sender's messages: counted, measured and logged as the producer tells it.

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::message::{HEADER_SENT, now_ns};
use super::repeats::Repeats;
use super::sender::Totals;
use crate::kafka::protocol::ErrorCode;
use crate::stats::{Count, Counter, Histogram, Sample, Source};
use crate::sync::lock;
use crate::{DeliveredBatch, Error, ErrorKind};

/// A cause of failure is told at once, then this often while it lasts.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Below this interval a line per message is no help to anyone; it is then written at DEBUG.
const LINE_INTERVAL: Duration = Duration::from_millis(1);

/// The account of one sender. The loop writes `sent` and `late`, the producer's threads the rest.
#[derive(Debug)]
pub struct Account {
    sent: Counter,
    late: Counter,
    delivered: Counter,
    failed: Counter,
    unknown: Counter,
    latency: Histogram,
    line_level: log::Level,
    /// Whether the messages are the sender's own, which have a number and the time of their sending.
    ours: bool,
    failures: Mutex<Repeats<(ErrorKind, Option<ErrorCode>)>>,
    refusal: OnceLock<Error>,
}

impl Account {
    /// An empty account of a sender with this interval.
    pub fn new(interval: Duration) -> Self {
        Self {
            sent: Counter::default(),
            late: Counter::default(),
            delivered: Counter::default(),
            failed: Counter::default(),
            unknown: Counter::default(),
            latency: Histogram::new(),
            line_level: if interval >= LINE_INTERVAL { log::Level::Info } else { log::Level::Debug },
            ours: true,
            failures: Mutex::new(Repeats::new(TELL_EVERY)),
            refusal: OnceLock::new(),
        }
    }

    /// An empty account of a sender of other people's messages.
    pub fn of_lines() -> Self {
        Self { ours: false, ..Self::new(Duration::ZERO) }
    }

    /// A message is about to be handed to the producer.
    pub fn handing_over(&self, late: Option<Duration>) {
        self.sent.add(1);
        if let Some(behind) = late {
            self.late.add(1);
            log::debug!(target: "sender", "a message goes out {} ms after it was due", behind.as_millis());
        }
    }

    /// The producer did not take it.
    pub fn not_taken(&self, error: &Error) {
        self.failed_with(error, 1, || "a message was not sent".to_owned());
    }

    /// The fate of a batch is known.
    pub fn concluded(&self, batch: &DeliveredBatch<'_>) {
        let base_offset = match batch.outcome() {
            Ok(base_offset) => base_offset,
            Err(error) => {
                let number = |record: Option<&[u8]>| record.and_then(counter_of).unwrap_or(0);
                self.failed_with(error, batch.len() as u64, || {
                    if !self.ours {
                        return format!("{} messages were not delivered", batch.len());
                    }
                    let (first, last) = (batch.records().next(), batch.records().last());
                    let numbers = (number(first.and_then(|r| r.value())), number(last.and_then(|r| r.value())));
                    match numbers {
                        (first, last) if first == last => format!("message #{first} was not delivered"),
                        (first, last) => format!("{} messages, #{first} to #{last}, were not delivered", batch.len()),
                    }
                });
                return;
            }
        };
        self.delivered.add(batch.len() as u64);
        if !self.ours {
            return;
        }
        let now = now_ns();
        let tell = log::log_enabled!(target: "sender", self.line_level);
        for (offset, record) in (base_offset..).zip(batch.records()) {
            let sent = record.headers().find(|header| header.key == HEADER_SENT.as_bytes());
            let sent: Option<u64> = sent.and_then(|h| std::str::from_utf8(h.value?).ok()?.parse().ok());
            let latency = Duration::from_nanos(sent.map_or(0, |sent| now.saturating_sub(sent)));
            self.latency.record(latency);
            if tell {
                log::log!(
                    target: "sender", self.line_level,
                    "Sent message #{}: id={}, partition={}, offset={}, latency={}ms",
                    record.value().and_then(counter_of).unwrap_or(0),
                    String::from_utf8_lossy(record.key().unwrap_or_default()),
                    batch.partition(),
                    if base_offset < 0 { "unknown".to_owned() } else { offset.to_string() },
                    latency.as_millis()
                );
            }
        }
    }

    /// The first refusal by TLS, authentication or authorisation: it will not get better by itself.
    pub fn refusal(&self) -> Option<Error> {
        self.refusal.get().cloned()
    }

    /// Messages without an acknowledgement so far.
    pub fn undelivered(&self) -> u64 {
        // Read in this order, a message acknowledged meanwhile cannot make it negative.
        let delivered = self.delivered.get();
        self.sent.get().saturating_sub(delivered)
    }

    /// After the producer's end: what it never told of is unknown.
    pub fn conclude(&self) {
        let known = self.delivered.get() + self.failed.get() + self.unknown.get();
        self.unknown.add(self.sent.get().saturating_sub(known));
    }

    /// What it stands at.
    pub fn totals(&self) -> Totals {
        Totals {
            sent: self.sent.get(),
            delivered: self.delivered.get(),
            failed: self.failed.get(),
            unknown: self.unknown.get(),
            late: self.late.get(),
        }
    }

    fn failed_with(&self, error: &Error, count: u64, what: impl FnOnce() -> String) {
        match error.kind() {
            ErrorKind::OutcomeUnknown => self.unknown.add(count),
            _ => self.failed.add(count),
        }
        if error.kind() == ErrorKind::Refused {
            let _ = self.refusal.set(error.clone());
        }
        let held_back = lock(&self.failures).note((error.kind(), error.code()), count, Instant::now());
        match held_back {
            Some(0) => log::error!(target: "sender", "{}: {error}", what()),
            Some(more) => log::error!(target: "sender", "{}, after {more} more: {error}", what()),
            None => log::debug!(target: "sender", "{}: {error}", what()),
        }
    }
}

impl Source for Account {
    fn name(&self) -> &str {
        "sender"
    }

    fn sample(&self) -> Sample {
        let totals = self.totals();
        Sample {
            counts: vec![
                Count::rate("sent", totals.sent),
                Count::rate("delivered", totals.delivered),
                Count::rate("failed", totals.failed),
                Count::plain("unknown", totals.unknown),
                Count::plain("late", totals.late),
            ],
            latency: ("ack latency", self.latency.snapshot()),
            parts: Vec::new(),
        }
    }
}

/// The counter of one of our own messages: the number before the last brace.
fn counter_of(value: &[u8]) -> Option<u64> {
    let digits = value.strip_suffix(b"}")?;
    let start = digits.iter().rposition(|byte| !byte.is_ascii_digit())? + 1;
    std::str::from_utf8(&digits[start..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::message::Message;

    #[test]
    fn a_messages_number_is_found_in_its_text() {
        let mut value = Vec::new();
        Message::new(uuid::Uuid::nil(), 42, time::OffsetDateTime::UNIX_EPOCH).write(&mut value);
        assert_eq!(counter_of(&value), Some(42));
        for odd in [&b""[..], b"}", b"42}", b"x}", b"{\"counter\":99999999999999999999}"] {
            assert_eq!(counter_of(odd), None);
        }
    }

    #[test]
    fn failures_and_unknown_outcomes_are_counted_apart_and_a_refusal_is_kept() {
        let account = Account::new(Duration::ZERO);
        for late in [None, Some(Duration::from_millis(7)), None, None] {
            account.handing_over(late);
        }
        assert_eq!((account.undelivered(), account.totals().late), (4, 1));
        account.not_taken(&Error::new(ErrorKind::BufferFull, "full"));
        account.not_taken(&Error::new(ErrorKind::OutcomeUnknown, "who knows"));
        assert!(account.refusal().is_none());
        account.not_taken(&Error::new(ErrorKind::Refused, "no"));
        assert_eq!(account.refusal().unwrap().to_string(), "no");
        account.conclude();
        let expected = Totals { sent: 4, delivered: 0, failed: 2, unknown: 2, late: 1 };
        assert_eq!(account.totals(), expected);
        let sample = account.sample();
        assert_eq!(
            crate::stats::Totals(&sample.counts).to_string(),
            "sent=4, delivered=0, failed=2, unknown=2, late=1"
        );
    }
}
