//! Settings of topics and brokers: which there are, where their values come from, and what they mean.
//!
//! | file | holds |
//! | --- | --- |
//! | `property.rs` | one setting: its kind and the values that it takes |
//! | `topics.rs`, `brokers.rs` | the settings that there are |
//! | `levels.rs` | the sources of a value, and which of them counts |
//! | `alter.rs` | changes |

pub(super) mod alter;
pub(super) mod brokers;
pub(super) mod levels;
pub(super) mod property;
pub(super) mod topics;

use self::levels::{Levels, Values};
use super::partition::{Refused, Rejected};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::CreatableTopicConfigs;
use crate::kafka::record::batch::Batch;

/// What a topic was set to, by Kafka's names, and what that means.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicConfig {
    /// What was set for this topic, as it was given.
    pub(super) overrides: Values,
    pub(super) settings: TopicSettings,
}

/// The settings that have an effect.
#[derive(Clone, Debug)]
pub(super) struct TopicSettings {
    /// The largest batch that is taken, as it travels (`max.message.bytes`).
    pub(super) max_message_bytes: usize,
    /// Records get the time of their appending (`message.timestamp.type=LogAppendTime`).
    pub(super) append_time: bool,
    /// Every record needs a key (`cleanup.policy` with `compact`).
    pub(super) compact: bool,
    /// What is older or more than is kept goes (`cleanup.policy` with `delete`).
    pub(super) delete: bool,
    /// Milliseconds that records are kept (`retention.ms`); none is for ever.
    pub(super) retention_ms: Option<i64>,
    /// Bytes of each partition that are kept (`retention.bytes`); none is all.
    pub(super) retention_bytes: Option<usize>,
    /// How many replicas must be in sync for `acks=all` (`min.insync.replicas`).
    pub(super) min_in_sync: usize,
    /// How far in the past and in the future a record's time may lie, in milliseconds.
    pub(super) timestamp_before_max: i64,
    pub(super) timestamp_after_max: i64,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            max_message_bytes: 1_048_588,
            append_time: false,
            compact: false,
            delete: true,
            retention_ms: Some(604_800_000),
            retention_bytes: None,
            min_in_sync: 1,
            timestamp_before_max: i64::MAX,
            timestamp_after_max: 3_600_000,
        }
    }
}

impl TopicConfig {
    /// A topic with these settings.
    ///
    /// # Errors
    /// INVALID_CONFIG for a setting that is not known, or a value that it does not take.
    pub(super) fn new(overrides: Values) -> Result<Self, Refused> {
        let invalid = |text: String| Err(Refused::new(ErrorCode::INVALID_CONFIG, text));
        if let Some(name) = overrides.keys().find(|name| topics::find(name).is_none()) {
            return invalid(format!("Unknown topic config name: {name}"));
        }
        for row in topics::TABLE {
            if let Some(given) = overrides.get(row.property.name) {
                row.property.read(given)?;
            }
        }
        let config = Self { overrides, settings: TopicSettings::default() }.under(&Values::new());
        let (least, most) = (config.number(MIN_LAG, &Values::new()), config.number(MAX_LAG, &Values::new()));
        if least > most {
            return invalid(format!("conflict topic config setting {MIN_LAG} ({least}) > {MAX_LAG} ({most})"));
        }
        if config.value(REMOTE, &Values::new()) == "true" {
            return invalid(
                "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log \
                 storage."
                    .to_owned(),
            );
        }
        Ok(config)
    }

    /// Sets one more.
    ///
    /// # Errors
    /// As [`new`](Self::new); nothing is changed then.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Refused> {
        let mut overrides = self.overrides.clone();
        overrides.insert(name.to_owned(), value.to_owned());
        *self = Self::new(overrides)?;
        Ok(())
    }

    /// The same settings, with what brokers were set to behind them.
    pub(super) fn under(self, brokers: &Values) -> Self {
        let number = |name: &str| self.number(name, brokers);
        let policy = self.value("cleanup.policy", brokers);
        let has = |wanted: &str| policy.split(',').any(|part| part == wanted);
        let settings = TopicSettings {
            max_message_bytes: usize::try_from(number("max.message.bytes")).unwrap_or(0),
            append_time: self.value("message.timestamp.type", brokers) == "LogAppendTime",
            compact: has("compact"),
            delete: has("delete"),
            retention_ms: Some(number("retention.ms")).filter(|kept| *kept >= 0),
            retention_bytes: usize::try_from(number("retention.bytes")).ok(),
            min_in_sync: usize::try_from(number("min.insync.replicas")).unwrap_or(1),
            timestamp_before_max: number("message.timestamp.before.max.ms"),
            timestamp_after_max: number("message.timestamp.after.max.ms"),
        };
        Self { settings, ..self }
    }

    /// A value in force, in the form in which it is shown.
    fn value(&self, name: &str, brokers: &Values) -> String {
        let Some(row) = topics::find(name) else { return String::new() };
        let given = self.overrides.get(name).or_else(|| brokers.get(row.broker?));
        let read = given.and_then(|given| row.property.read(given).ok());
        read.unwrap_or_else(|| row.property.default.unwrap_or_default().to_owned())
    }

    fn number(&self, name: &str, brokers: &Values) -> i64 {
        self.value(name, brokers).parse().unwrap_or_default()
    }

    /// As the answer to CreateTopics tells it.
    pub(super) fn described_for_creation(&self, levels: &Levels<'_>) -> Vec<CreatableTopicConfigs> {
        let shown = topics::TABLE.iter().filter(|row| !row.internal || self.overrides.contains_key(row.property.name));
        let mut configs: Vec<_> = shown
            .map(|row| {
                let (value, source) = levels::in_force(&row.property, &levels.topic(row, &self.overrides));
                CreatableTopicConfigs {
                    name: row.property.name.to_owned(),
                    value,
                    read_only: false,
                    config_source: source as i8,
                    is_sensitive: false,
                }
            })
            .collect();
        configs.sort_by(|a, b| a.name.cmp(&b.name));
        configs
    }
}

const MIN_LAG: &str = "min.compaction.lag.ms";
const MAX_LAG: &str = "max.compaction.lag.ms";
const REMOTE: &str = "remote.storage.enable";

/// So many records at fault are named of one batch.
const MOST_FAULTS: usize = 10_000;

impl TopicSettings {
    /// Whether the topic takes these records.
    ///
    /// # Errors
    /// INVALID_RECORD for a missing key, INVALID_TIMESTAMP for a time out of bounds; names the records at fault.
    pub(super) fn check_records(&self, batch: &Batch, now: i64) -> Result<(), Rejected> {
        let earliest = now.saturating_sub(self.timestamp_before_max);
        let latest = now.saturating_add(self.timestamp_after_max);
        let mut faults = Vec::new();
        let mut code = ErrorCode::INVALID_RECORD;
        for (record, at) in batch.records().zip(0..) {
            if faults.len() >= MOST_FAULTS {
                break;
            }
            if self.compact && record.key.is_none() {
                faults.push((at, "Compacted topic cannot accept message without key.".to_owned()));
            }
            if !self.append_time && record.timestamp != -1 && !(earliest..=latest).contains(&record.timestamp) {
                faults.push((at, format!("Timestamp {} of message is out of range.", record.timestamp)));
                code = ErrorCode::INVALID_TIMESTAMP;
            }
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(Rejected { records: faults, told: true, ..Rejected::new(code, "One or more records have been rejected") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const N: usize>(values: [(&str, &str); N]) -> Values {
        values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn refusal<const N: usize>(given: [(&str, &str); N]) -> String {
        let refused = TopicConfig::new(values(given)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::INVALID_CONFIG);
        refused.message.unwrap()
    }

    #[test]
    fn a_topic_without_settings_has_the_defaults_of_the_table() {
        let (default, empty) = (TopicSettings::default(), TopicConfig::new(Values::new()).unwrap().settings);
        assert_eq!(format!("{default:?}"), format!("{empty:?}"));
    }

    #[test]
    fn settings_have_their_effect() {
        let config = TopicConfig::new(values([
            ("retention.ms", " 7 "),
            ("retention.bytes", "1000"),
            ("max.message.bytes", "10"),
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.before.max.ms", "1"),
            ("message.timestamp.after.max.ms", "2"),
            ("cleanup.policy", "compact"),
            ("min.insync.replicas", "2"),
        ]));
        let settings = config.unwrap().settings;
        assert_eq!(settings.retention_ms, Some(7));
        assert_eq!(settings.retention_bytes, Some(1000));
        assert_eq!(settings.max_message_bytes, 10);
        assert_eq!((settings.timestamp_before_max, settings.timestamp_after_max), (1, 2));
        assert!(settings.append_time && settings.compact && !settings.delete);
        assert_eq!(settings.min_in_sync, 2);
        let forever = TopicConfig::new(values([("retention.ms", "-1"), ("retention.bytes", "-100")])).unwrap();
        assert_eq!((forever.settings.retention_ms, forever.settings.retention_bytes), (None, None));
    }

    #[test]
    fn a_broker_sets_what_the_topic_does_not() {
        let brokers = values([("log.retention.ms", "5"), ("message.max.bytes", "6")]);
        let config = TopicConfig::new(values([("retention.ms", "7")])).unwrap().under(&brokers);
        assert_eq!(config.settings.retention_ms, Some(7));
        assert_eq!(config.settings.max_message_bytes, 6);
    }

    #[test]
    fn what_is_wrong_is_found_in_the_order_of_kafka() {
        assert_eq!(refusal([("zzz", "1"), ("aaa", "1"), ("retention.ms", "x")]), "Unknown topic config name: aaa");
        assert_eq!(
            refusal([("cleanup.policy", "bogus"), ("retention.ms", "-5"), ("segment.ms", "x")]),
            "Invalid value x for configuration segment.ms: Not a number of type LONG"
        );
        assert_eq!(
            refusal([("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")]),
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"
        );
        assert!(refusal([("remote.storage.enable", "true")]).starts_with("Tiered Storage functionality is disabled"));
    }
}
