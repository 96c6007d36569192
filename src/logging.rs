//! Logs on standard error: simplelog behind a filter of our own.
//!
//! simplelog writes the lines; it knows only one level for all targets, so the filter in front of it reads `RUST_LOG`
//! as everyone does: `debug`, `receiver=debug,krs::kafka::net=trace`. With [`Format::Json`] each line is an object.
//! A failed write to standard error is ignored: there is nobody left to tell.

use std::io::{LineWriter, Stderr, Write, stderr};
use std::sync::Mutex;

use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::Serialize;
use simplelog::{ConfigBuilder, WriteLogger};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// RFC 3339 in UTC with milliseconds, as in the messages.
pub(crate) const TIMESTAMP: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: `2025-07-30T10:30:45.123Z INFO sender: …`
    #[default]
    Text,
    /// One JSON object: `{"timestamp":…,"level":"INFO","target":"sender","message":…}`
    Json,
}

/// Installs the logger of the process, once. `rust_log` is the value of `RUST_LOG`; empty means `info`.
pub fn init(rust_log: &str, format: Format) -> Result<()> {
    let filter = Filter::parse(rust_log)?;
    let sink: Box<dyn Log> = match format {
        Format::Text => {
            let config = ConfigBuilder::new()
                .set_max_level(LevelFilter::Off) // the level stands in the text, without brackets
                .set_target_level(LevelFilter::Off)
                .set_thread_level(LevelFilter::Off)
                .set_location_level(LevelFilter::Off)
                .set_time_level(LevelFilter::Error)
                .set_time_format_custom(TIMESTAMP)
                .build();
            WriteLogger::new(LevelFilter::Trace, config, LineWriter::new(stderr()))
        }
        Format::Json => Box::new(JsonLogger(Mutex::new(LineWriter::new(stderr())))),
    };
    log::set_max_level(filter.highest());
    log::set_boxed_logger(Box::new(Logger { filter, format, sink }))
        .map_err(|error| Error::new(ErrorKind::State, format!("cannot install the logger: {error}")))
}

struct Logger {
    filter: Filter,
    format: Format,
    sink: Box<dyn Log>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.filter.level(metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        match self.format {
            Format::Text => self.sink.log(
                &Record::builder()
                    .metadata(record.metadata().clone())
                    .args(format_args!("{} {}: {}", record.level(), record.target(), record.args()))
                    .build(),
            ),
            Format::Json => self.sink.log(record),
        }
    }

    fn flush(&self) {
        self.sink.flush();
    }
}

/// simplelog has no JSON.
struct JsonLogger(Mutex<LineWriter<Stderr>>);

impl Log for JsonLogger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        #[derive(Serialize)]
        struct Line<'a> {
            timestamp: &'a str,
            level: &'a str,
            target: &'a str,
            message: &'a str,
        }
        let line = serde_json::to_string(&Line {
            timestamp: &timestamp(OffsetDateTime::now_utc()),
            level: record.level().as_str(),
            target: record.target(),
            message: &record.args().to_string(),
        });
        if let Ok(mut line) = line {
            line.push('\n');
            let _ = lock(&self.0).write_all(line.as_bytes());
        }
    }

    fn flush(&self) {
        let _ = lock(&self.0).flush();
    }
}

/// A moment as RFC 3339 with milliseconds and Z.
pub(crate) fn timestamp(moment: OffsetDateTime) -> String {
    // Fails only for years beyond four digits, which a system clock does not show.
    moment.to_offset(time::UtcOffset::UTC).format(TIMESTAMP).unwrap_or_default()
}

/// Which targets are logged at which level: the value of `RUST_LOG`.
///
/// A comma-separated list of `level`, `target=level` and `target` (all its levels). A target covers everything below
/// it (`krs::kafka` covers `krs::kafka::net`); the longest one that fits decides. Without a bare level, targets that
/// nothing covers log errors only; an empty list means `info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// For targets that nothing covers.
    other: LevelFilter,
    /// Longest target first.
    targets: Vec<(String, LevelFilter)>,
}

impl Filter {
    /// Reads a value of `RUST_LOG`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut other = None;
        let mut targets: Vec<(String, LevelFilter)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (target, level) = match part.split_once('=') {
                Some((target, level)) => {
                    let level = level.trim();
                    let parsed = level.parse().map_err(|_| {
                        Error::config(format!(
                            "RUST_LOG={}: '{}' is no level; use off, error, warn, info, debug or trace",
                            text.escape_debug(),
                            level.escape_debug()
                        ))
                    })?;
                    (target.trim(), parsed)
                }
                None => match part.parse() {
                    Ok(level) => {
                        other = Some(level);
                        continue;
                    }
                    Err(_) => (part, LevelFilter::Trace),
                },
            };
            if target.is_empty()
                || target.contains(|c: char| c.is_whitespace() || c.is_control() || "/[]{}".contains(c))
            {
                return Err(Error::config(format!(
                    "RUST_LOG={}: '{}' is no target; write level or target=level, separated by commas",
                    text.escape_debug(),
                    part.escape_debug()
                )));
            }
            targets.retain(|(known, _)| known != target);
            targets.push((target.to_owned(), level));
        }
        targets.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        let default = if targets.is_empty() { LevelFilter::Info } else { LevelFilter::Error };
        Ok(Self { other: other.unwrap_or(default), targets })
    }

    /// Whether a line of this target and level is written.
    pub fn allows(&self, target: &str, level: Level) -> bool {
        level <= self.level(target)
    }

    fn level(&self, target: &str) -> LevelFilter {
        let covers =
            |known: &str| target.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        self.targets.iter().find(|(known, _)| covers(known)).map_or(self.other, |(_, level)| *level)
    }

    fn highest(&self) -> LevelFilter {
        self.targets.iter().map(|(_, level)| *level).chain([self.other]).max().unwrap_or(self.other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    #[test]
    fn nothing_means_info() {
        for text in ["", " ", ",", "info", "INFO"] {
            let filter = filter(text);
            assert!(filter.allows("sender", Level::Info), "{text:?}");
            assert!(!filter.allows("sender", Level::Debug), "{text:?}");
        }
        assert!(!filter("off").allows("sender", Level::Error));
        assert_eq!(filter("off").highest(), LevelFilter::Off);
    }

    #[test]
    fn the_longest_target_decides_and_the_rest_shows_errors() {
        let f = filter("krs::kafka=debug, krs::kafka::net = trace ,receiver=warn");
        assert!(f.allows("krs::kafka::net::connection", Level::Trace));
        assert!(f.allows("krs::kafka::producer", Level::Debug));
        assert!(!f.allows("krs::kafka::producer", Level::Trace));
        assert!(!f.allows("receiver", Level::Info));
        assert!(!f.allows("sender", Level::Warn));
        assert!(f.allows("sender", Level::Error));
        assert_eq!(f.highest(), LevelFilter::Trace);
        let f = filter("receiver=off,warn");
        assert!(!f.allows("receiver", Level::Error));
        assert!(f.allows("receivers", Level::Warn), "a target is no mere prefix");
    }

    #[test]
    fn a_bare_target_means_all_its_levels_and_the_last_word_counts() {
        assert!(filter("stats").allows("stats", Level::Trace));
        let f = filter("stats=debug,stats=error,debug,info");
        assert!(!f.allows("stats", Level::Warn));
        assert!(f.allows("sender", Level::Info));
        assert!(!f.allows("sender", Level::Debug));
    }

    #[test]
    fn nonsense_is_named() {
        for (text, word) in [
            ("receiver=loud", "'loud'"),
            ("=info", "'=info'"),
            ("a b", "'a b'"),
            ("info/regex", "/regex"),
            ("x=", "''"),
        ] {
            let error = Filter::parse(text).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(word) && error.to_string().contains("RUST_LOG"), "{error}");
        }
    }

    #[test]
    fn timestamps_have_milliseconds_and_z() {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(1_753_871_445_123_999_999).unwrap();
        assert_eq!(timestamp(moment), "2025-07-30T10:30:45.123Z");
    }
}
