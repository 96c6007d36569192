//! `VerifiableProducer`: increasing numbers, and a line for what became of each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Events, Nothing, read_file};
use crate::clock::milliseconds;
use crate::kafka::protocol::ErrorCode;
use crate::service::Stop;
use crate::stats::Counter;
use crate::{Config, DeliveredBatch, Error, ErrorKind, Producer, Record, Result};

/// What the verifiable producer is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the flags say of properties. The file beats them, as in Java.
    pub config: Config,
    /// A file of properties.
    pub file: Option<PathBuf>,
    /// The topic to send to.
    pub topic: String,
    /// Ends after this many messages.
    pub max_messages: Option<u64>,
    /// Messages a second, on average; `None` is as many as it can, 0 is none after the first.
    pub throughput: Option<u32>,
    /// Put before each number, with a dot.
    pub value_prefix: Option<i32>,
    /// Keys are the numbers below this one, over and over; `None` is no keys.
    pub repeating_keys: Option<u32>,
    /// Timestamps begin here instead of now, in milliseconds since 1970.
    pub create_time: Option<i64>,
}

/// How long the loop may take to notice the stop while the producer takes no records. The producer needs a part of it to
/// believe that a topic does not exist, and begins anew each time.
const ATTENTION: Duration = Duration::from_secs(3);

/// Properties where neither the file nor a flag says anything.
pub const DEFAULTS: &[(&str, &str)] = &[("allow.auto.create.topics", "true")];

#[derive(Serialize)]
struct Success<'a> {
    key: Option<&'a str>,
    value: &'a str,
    offset: i64,
    topic: &'a str,
    partition: i32,
}

#[derive(Serialize)]
struct Failure<'a> {
    topic: &'a str,
    key: Option<&'a str>,
    value: &'a str,
    exception: String,
    message: String,
}

#[derive(Serialize)]
struct Data {
    sent: u64,
    acked: u64,
    target_throughput: i64,
    avg_throughput: f64,
}

/// Sends until there were enough or the stop is asked for, flushes, and sums up. A message that was not delivered is a
/// line, not an error.
///
/// # Errors
/// A wrong setting, no usable broker, or a standard output that cannot be written.
pub fn run(options: &Options, stop: &Stop) -> Result<()> {
    let mut config = options.config.clone();
    if let Some(file) = &options.file {
        config = read_file(config, file)?;
    }
    for (name, value) in DEFAULTS {
        config = config.default_to(name, value)?;
    }
    let settings = config.producer()?;
    // A record that the producer does not take is handed over again until its time is up or the stop is asked for.
    config = config.set("max.block.ms", settings.max_block.min(ATTENTION).as_millis())?;
    let events = Events::start(stop)?;
    let (begin, acked) = (milliseconds(), Arc::new(Counter::default()));
    let told = (events.clone(), Arc::clone(&acked), options.topic.clone());
    let connected = stop.unless_asked("connecting", move || {
        Producer::connect_with(&config, move |batch| tell(batch, &told.0, &told.1, &told.2))
    })?;
    let Some(producer) = connected else { return Ok(()) };

    events.tell("startup_complete", Nothing {});
    let sender = Sender { options, producer: &producer, max_block: settings.max_block, stop };
    let (sent, ended) = sender.send_all(&events);
    let spent = stop.since().map_or(Duration::ZERO, |since| since.elapsed());
    if let Err(error) = producer.close(settings.message_timeout.saturating_sub(spent)) {
        log::warn!(target: "sender", "{error}");
    }
    events.tell("shutdown_complete", Nothing {});
    let elapsed = (milliseconds() - begin).max(1) as f64;
    let acked = acked.get();
    events.tell(
        "tool_data",
        Data {
            sent,
            acked,
            target_throughput: options.throughput.map_or(-1, i64::from),
            avg_throughput: 1000.0 * acked as f64 / elapsed,
        },
    );
    ended?;
    events.are_unread().map(drop)
}

struct Sender<'a> {
    options: &'a Options,
    producer: &'a Producer,
    max_block: Duration,
    stop: &'a Stop,
}

impl Sender<'_> {
    fn send_all(&self, events: &Events) -> (u64, Result<()>) {
        let Self { options, stop, .. } = self;
        let (begin, begin_ms) = (Instant::now(), milliseconds());
        let mut create_time = options.create_time;
        for number in 0..options.max_messages.unwrap_or(u64::MAX) {
            let due = match options.throughput {
                None => None,
                Some(0) if number == 0 => None,
                Some(0) => begin.checked_add(Duration::from_secs(365 * 86_400)),
                Some(rate) => begin.checked_add(Duration::from_secs_f64(number as f64 / f64::from(rate))),
            };
            let waited = due.is_some_and(|due| stop.wait_until(due));
            if waited || stop.is_asked() {
                return (number, Ok(()));
            }
            match events.are_unread() {
                Ok(false) => {}
                Ok(true) => return (number, Ok(())),
                Err(error) => return (number, Err(error)),
            }
            let value = options.value_prefix.map_or_else(|| number.to_string(), |prefix| format!("{prefix}.{number}"));
            let key = options.repeating_keys.map(|keys| (number % u64::from(keys.max(1))).to_string());
            let mut record = Record::to(&options.topic).value(&value);
            if let Some(key) = &key {
                record = record.key(key);
            }
            if let Some(time) = &mut create_time {
                record = record.timestamp(*time);
                // Java's tool moves it on by all the time since its start, with each message.
                *time += milliseconds() - begin_ms;
            }
            if let Err(error) = self.post(&record) {
                let over = error.kind() == ErrorKind::State;
                events.tell("producer_send_error", failure(&options.topic, key.as_deref(), &value, &error));
                if over {
                    return (number + 1, Err(error));
                }
            }
        }
        (options.max_messages.unwrap_or(u64::MAX), Ok(()))
    }

    /// Hands a record over, for `max.block.ms` at most, and not for much longer than until the stop.
    fn post(&self, record: &Record<'_>) -> Result<()> {
        let begin = Instant::now();
        loop {
            match self.producer.post(record.clone()) {
                Err(error) if may_pass(error.kind()) && begin.elapsed() < self.max_block && !self.stop.is_asked() => {}
                outcome => return outcome,
            }
        }
    }
}

/// Whether it is about the time that passed while the buffer was full or nothing was learned of the topic.
fn may_pass(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BufferFull | ErrorKind::Timeout | ErrorKind::Unreachable | ErrorKind::Disconnected)
}

/// Tells what became of each message of a batch.
fn tell(batch: &DeliveredBatch<'_>, events: &Events, acked: &Counter, topic: &str) {
    // What the records hold was text when it was sent.
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    match batch.outcome() {
        Ok(base) => {
            acked.add(batch.len() as u64);
            events.tell_all((base..).zip(batch.records()).map(|(offset, record)| {
                let success = Success {
                    key: record.key().map(text),
                    value: record.value().map(text).unwrap_or_default(),
                    // Without acknowledgements there is none, which Java tells as -1.
                    offset: if base < 0 { -1 } else { offset },
                    topic,
                    partition: batch.partition(),
                };
                ("producer_send_success", success)
            }));
        }
        Err(error) => events.tell_all(batch.records().map(|record| {
            let value = record.value().map(text).unwrap_or_default();
            ("producer_send_error", failure(topic, record.key().map(text), value, error))
        })),
    }
}

fn failure<'a>(topic: &'a str, key: Option<&'a str>, value: &'a str, error: &Error) -> Failure<'a> {
    Failure { topic, key, value, exception: exception(error), message: error.to_string() }
}

/// The class that Java's client has for it.
fn exception(error: &Error) -> String {
    let name = match error.code() {
        Some(ErrorCode::MESSAGE_TOO_LARGE) => "RecordTooLargeException".to_owned(),
        Some(ErrorCode::REQUEST_TIMED_OUT) => "TimeoutException".to_owned(),
        Some(ErrorCode::INVALID_TOPIC_EXCEPTION) => "InvalidTopicException".to_owned(),
        Some(code) => {
            let name = code.to_string();
            let name = name.strip_suffix("_FAILED").unwrap_or(&name);
            let words = name.split('_').map(|word| {
                let (first, rest) = word.split_at(word.len().min(1));
                format!("{first}{}", rest.to_ascii_lowercase())
            });
            format!("{}Exception", words.collect::<String>())
        }
        None => match error.kind() {
            ErrorKind::Timeout | ErrorKind::OutcomeUnknown => "TimeoutException",
            ErrorKind::Disconnected | ErrorKind::Unreachable => "NetworkException",
            ErrorKind::Refused => "AuthorizationException",
            ErrorKind::BufferFull => {
                return "class org.apache.kafka.clients.producer.BufferExhaustedException".to_owned();
            }
            ErrorKind::State => return "class java.lang.IllegalStateException".to_owned(),
            _ => return "class org.apache.kafka.common.KafkaException".to_owned(),
        }
        .to_owned(),
    };
    format!("class org.apache.kafka.common.errors.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::protocol::ApiKey;

    #[test]
    fn an_error_has_the_name_of_its_java_class() {
        for (code, expected) in [
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, "TopicAuthorizationException"),
            (ErrorCode::NOT_ENOUGH_REPLICAS, "NotEnoughReplicasException"),
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "UnknownTopicOrPartitionException"),
            (ErrorCode::INVALID_TOPIC_EXCEPTION, "InvalidTopicException"),
            (ErrorCode::MESSAGE_TOO_LARGE, "RecordTooLargeException"),
        ] {
            let name = exception(&Error::broker_code(ApiKey::Produce, code, None));
            assert_eq!(name, format!("class org.apache.kafka.common.errors.{expected}"));
        }
        let late = Error::new(ErrorKind::OutcomeUnknown, "x");
        assert_eq!(exception(&late), "class org.apache.kafka.common.errors.TimeoutException");
    }
}
