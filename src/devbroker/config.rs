//! Settings of topics.

use std::collections::BTreeMap;

use super::partition::Refused;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::CreatableTopicConfigs;
use crate::kafka::record::batch::Batch;

/// What a topic was set to, by Kafka's names, and what that means.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicConfig {
    /// Only what differs from the default.
    pub(super) overrides: BTreeMap<String, String>,
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
            retention_ms: Some(604_800_000),
            retention_bytes: None,
            min_in_sync: 1,
            timestamp_before_max: i64::MAX,
            timestamp_after_max: 3_600_000,
        }
    }
}

impl TopicConfig {
    /// Sets a property; none takes the setting back.
    ///
    /// # Errors
    /// INVALID_CONFIG.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), Refused> {
        let _ = (name, value);
        Err(Refused::new(ErrorCode::INVALID_CONFIG, format!("Unknown topic config name: {name}")))
    }

    /// As the answer to CreateTopics tells it.
    pub(super) fn described_for_creation(&self) -> Vec<CreatableTopicConfigs> {
        Vec::new()
    }
}

impl TopicSettings {
    /// Whether the topic takes these records.
    ///
    /// # Errors
    /// INVALID_RECORD for a missing key, INVALID_TIMESTAMP for a time out of bounds; names the first record at fault.
    pub(super) fn check_records(&self, batch: &Batch, now: i64) -> Result<(), Refused> {
        let earliest = now.saturating_sub(self.timestamp_before_max);
        let latest = now.saturating_add(self.timestamp_after_max);
        for (record, at) in batch.records().zip(0..) {
            if self.compact && record.key.is_none() {
                let text = "Compacted topic cannot accept message without key in the topic.".to_owned();
                return Err(fault(ErrorCode::INVALID_RECORD, at, text));
            }
            if !self.append_time && record.timestamp != -1 && !(earliest..=latest).contains(&record.timestamp) {
                let text = format!("Timestamp {} of the message is out of range.", record.timestamp);
                return Err(fault(ErrorCode::INVALID_TIMESTAMP, at, text));
            }
        }
        Ok(())
    }
}

fn fault(code: ErrorCode, record: i32, text: String) -> Refused {
    Refused { code, message: Some("One or more records have been rejected".to_owned()), record: Some((record, text)) }
}
