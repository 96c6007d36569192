//! The client's one error type.

use std::fmt;

use super::protocol::{ApiKey, ErrorCode};
use crate::clock::Deadline;

/// The result of everything in the client that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an [`Error`] is, which decides what a caller can do about it and the exit code of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting or an argument is wrong or contradicts another. Nothing was sent. Exit code 2.
    Config,
    /// No broker could be reached or none of them speaks Kafka. Exit code 3.
    Unreachable,
    /// TLS, authentication or authorisation was refused. Exit code 4.
    Refused,
    /// A connection ended while something was in flight on it.
    Disconnected,
    /// A named deadline passed.
    Timeout,
    /// A peer sent bytes that are not what the protocol says.
    Protocol,
    /// Record bytes that fail their checksum or their structure.
    Corrupt,
    /// The broker answered with an error code; see [`Error::code`].
    Broker,
    /// A message may or may not be in the log: it was sent and its answer never came.
    OutcomeUnknown,
    /// The producer's buffer is full and the caller must not or would not wait.
    BufferFull,
    /// The position asked for is not in the log, and `auto.offset.reset` is `none`.
    OffsetOutOfRange,
    /// The log was cut off behind what was read of it, and `auto.offset.reset` is `none` (KIP-320).
    LogTruncation,
    /// The client is closed, or the call is not possible in its present state.
    State,
    /// Reading or writing a local file, or a standard stream, failed.
    Io,
}

/// What failed, where, and what to do about it.
///
/// The place is kept as fields; [`Display`](fmt::Display) puts them into one line.
#[derive(Clone, Debug)]
pub struct Error(Box<Fields>);

#[derive(Clone, Debug)]
struct Fields {
    kind: ErrorKind,
    text: String,
    broker: Option<String>,
    api: Option<ApiKey>,
    code: Option<ErrorCode>,
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
}

impl Error {
    /// An error of this kind; `text` says what was tried, what happened and what to do.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self(Box::new(Fields {
            kind,
            text: text.into(),
            broker: None,
            api: None,
            code: None,
            topic: None,
            partition: None,
            offset: None,
        }))
    }

    /// A wrong setting or argument.
    pub fn config(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, text)
    }

    /// Bytes from a peer that break the protocol.
    pub fn protocol(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, text)
    }

    /// Record bytes that fail their checksum or structure.
    pub fn corrupt(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, text)
    }

    /// A call that the client's present state does not allow.
    pub fn state(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::State, text)
    }

    /// A deadline that passed while `doing` something: "no answer within 5000 ms (request.timeout.ms) while …".
    pub fn timeout(deadline: &Deadline, doing: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Timeout, format!("{doing}: not done within {deadline}"))
    }

    /// An error code in a broker's answer, with the broker's own words where it sent some.
    pub fn broker_code(api: ApiKey, code: ErrorCode, message: Option<&str>) -> Self {
        let mut text = format!("{code}");
        match message.filter(|words| !words.is_empty()) {
            Some(words) => text = format!("{text}: {}", printable(words)),
            None if !code.description().is_empty() => text = format!("{text}: {}", code.description()),
            None => {}
        }
        let kind = if code.is_refusal() { ErrorKind::Refused } else { ErrorKind::Broker };
        let mut error = Self::new(kind, text).with_api(api);
        error.0.code = Some(code);
        error
    }

    /// Names the broker (`host:port`) it happened at, unless one is named already.
    #[must_use]
    pub fn with_broker(mut self, broker: impl Into<String>) -> Self {
        self.0.broker.get_or_insert_with(|| broker.into());
        self
    }

    /// Names the API that was called, unless one is named already.
    #[must_use]
    pub fn with_api(mut self, api: ApiKey) -> Self {
        self.0.api.get_or_insert(api);
        self
    }

    /// Names the topic it is about.
    #[must_use]
    pub fn with_topic(mut self, topic: impl Into<String>) -> Self {
        self.0.topic.get_or_insert_with(|| topic.into());
        self
    }

    /// Names the topic and partition it is about.
    #[must_use]
    pub fn with_partition(mut self, topic: impl Into<String>, partition: i32) -> Self {
        self.0.topic.get_or_insert_with(|| topic.into());
        self.0.partition.get_or_insert(partition);
        self
    }

    /// Names the offset it is about.
    #[must_use]
    pub fn with_offset(mut self, offset: i64) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// The same failure seen as another kind, for instance a lost connection as an unknown outcome.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same error with what had gone wrong before it, and that one's code.
    #[must_use]
    pub(crate) fn after(mut self, cause: &Self) -> Self {
        let mut cause = cause.clone();
        if (&cause.0.topic, cause.0.partition) == (&self.0.topic, self.0.partition) {
            // The place is told once.
            (cause.0.topic, cause.0.partition) = (None, None);
        }
        self.0.text = format!("{}; last failure: {cause}", self.0.text);
        self.0.code = self.0.code.or(cause.0.code);
        self
    }

    /// The same error, begun with these words.
    #[must_use]
    pub(crate) fn begun(mut self, words: &str) -> Self {
        self.0.text = format!("{words}: {}", self.0.text);
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The error code that a broker answered with.
    pub fn code(&self) -> Option<ErrorCode> {
        self.0.code
    }

    /// The broker it happened at, as `host:port`.
    pub fn broker(&self) -> Option<&str> {
        self.0.broker.as_deref()
    }

    /// The API that was called.
    pub fn api(&self) -> Option<ApiKey> {
        self.0.api
    }

    /// The topic it is about.
    pub fn topic(&self) -> Option<&str> {
        self.0.topic.as_deref()
    }

    /// The partition it is about.
    pub fn partition(&self) -> Option<i32> {
        self.0.partition
    }

    /// The offset it is about.
    pub fn offset(&self) -> Option<i64> {
        self.0.offset
    }

    /// Whether the same call may succeed when it is tried again as it is.
    pub fn is_retriable(&self) -> bool {
        match self.0.kind {
            ErrorKind::Disconnected | ErrorKind::Timeout | ErrorKind::Unreachable | ErrorKind::BufferFull => true,
            ErrorKind::Broker => self.0.code.is_some_and(ErrorCode::is_retriable),
            _ => false,
        }
    }

    /// The exit code of a program that ends with this error: 2 configuration, 3 unreachable, 4 refused, else 1.
    pub fn exit_code(&self) -> u8 {
        match self.0.kind {
            ErrorKind::Config => 2,
            ErrorKind::Unreachable => 3,
            ErrorKind::Refused => 4,
            _ => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = &self.0;
        match (&fields.topic, fields.partition) {
            (Some(topic), Some(partition)) => write!(f, "{}-{partition}", topic.escape_debug())?,
            (Some(topic), None) => write!(f, "topic {}", topic.escape_debug())?,
            _ => {}
        }
        if let Some(offset) = fields.offset {
            write!(f, "@{offset}")?;
        }
        if fields.topic.is_some() || fields.offset.is_some() {
            f.write_str(": ")?;
        }
        f.write_str(&fields.text)?;
        match (fields.api, &fields.broker) {
            (Some(api), Some(broker)) => write!(f, " ({api:?} at {broker})"),
            (Some(api), None) => write!(f, " ({api:?})"),
            (None, Some(broker)) if !fields.text.contains(broker.as_str()) => write!(f, " (at {broker})"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Words of a broker on one line, with nothing in them that a terminal obeys. Quotes stay what they are.
fn printable(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for character in words.chars() {
        match character {
            '\'' | '"' => text.push(character),
            _ => text.extend(character.escape_debug()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_says_is_shown_on_one_line_and_obeyed_by_no_terminal() {
        let words = "the group's \"name\"\n\u{1b}[2J \u{202e}";
        let text = Error::broker_code(ApiKey::Produce, ErrorCode(42), Some(words)).to_string();
        assert!(text.contains(r#": the group's "name"\n\u{1b}[2J \u{202e}"#), "{text}");
    }

    #[test]
    fn the_place_is_told_once() {
        let error = Error::broker_code(ApiKey::Produce, ErrorCode(3), None)
            .with_partition("t", 1)
            .with_broker("b:9092")
            .with_broker("other:1");
        let text = error.to_string();
        assert!(text.starts_with("t-1: UNKNOWN_TOPIC_OR_PARTITION"), "{text}");
        assert!(text.ends_with("(Produce at b:9092)"), "{text}");
    }

    #[test]
    fn a_kind_decides_the_exit_code() {
        assert_eq!(Error::config("x").exit_code(), 2);
        assert_eq!(Error::new(ErrorKind::Unreachable, "x").exit_code(), 3);
        assert_eq!(Error::broker_code(ApiKey::Produce, ErrorCode(29), None).exit_code(), 4);
        assert_eq!(Error::state("x").exit_code(), 1);
    }
}
