//! The positions that groups have stored.
//!
//! They belong to a group and go with it, and with the topic they are in. Whether somebody may store them is the
//! group's decision, not made here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::kafka::protocol::Uuid;

/// The longest text that is stored with a position, in UTF-16 units as Kafka counts it (`offset.metadata.max.bytes`).
const MAX_METADATA: usize = 4096;

/// A stored position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::devbroker) struct Committed {
    pub(in crate::devbroker) offset: i64,
    /// -1 is unknown.
    pub(in crate::devbroker) leader_epoch: i32,
    pub(in crate::devbroker) metadata: String,
    /// The topic it was stored for; zero if only its name was told.
    pub(in crate::devbroker) topic_id: Uuid,
}

/// Whose position: group, topic, partition.
pub(in crate::devbroker) type Key = (String, String, i32);

/// Positions that changed; none is gone.
pub(in crate::devbroker) type Changes = BTreeMap<Key, Option<Committed>>;

/// The positions of one group.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    by_topic: BTreeMap<String, BTreeMap<i32, Stored>>,
}

#[derive(Debug)]
struct Stored {
    committed: Committed,
    at: Instant,
    /// The request said how long it is to be kept.
    until: Option<Instant>,
}

/// Whether this text is too long to be stored with a position.
pub(super) fn is_too_long(metadata: Option<&str>) -> bool {
    // No encoding needs more units than UTF-8 needs bytes.
    metadata.is_some_and(|text| text.len() > MAX_METADATA && text.encode_utf16().count() > MAX_METADATA)
}

impl Offsets {
    pub(super) fn put(
        &mut self,
        now: Instant,
        topic: &str,
        partition: i32,
        committed: Committed,
        kept: Option<Duration>,
    ) {
        let stored = Stored { committed, at: now, until: kept.and_then(|kept| now.checked_add(kept)) };
        self.by_topic.entry(topic.to_owned()).or_default().insert(partition, stored);
    }

    /// The position in a partition of this topic, unless it was stored for an older topic of the same name.
    pub(super) fn get(&self, topic: &str, id: Uuid, partition: i32) -> Option<&Committed> {
        let committed = &self.by_topic.get(topic)?.get(&partition)?.committed;
        let other = !id.is_zero() && !committed.topic_id.is_zero() && id != committed.topic_id;
        (!other).then_some(committed)
    }

    /// All positions, by topic and partition.
    pub(super) fn topics(&self) -> impl Iterator<Item = (&String, impl Iterator<Item = (i32, &Committed)>)> {
        self.by_topic
            .iter()
            .map(|(topic, partitions)| (topic, partitions.iter().map(|(index, stored)| (*index, &stored.committed))))
    }

    pub(super) fn remove(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.by_topic.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.by_topic.remove(topic);
            }
        }
    }

    pub(super) fn remove_topic(&mut self, topic: &str) {
        self.by_topic.remove(topic);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    /// Forgets what is over, except in topics in use. The time begins when the group became idle, if that is said, else
    /// when the position was stored.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        retention: Duration,
        idle: Option<Instant>,
        in_use: impl Fn(&str) -> bool,
    ) {
        self.by_topic.retain(|topic, partitions| {
            if !in_use(topic) {
                partitions.retain(|_, stored| match stored.until {
                    Some(until) => now < until,
                    None => now.saturating_duration_since(idle.unwrap_or(stored.at)) < retention,
                });
            }
            !partitions.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64, topic_id: Uuid) -> Committed {
        Committed { offset, leader_epoch: -1, metadata: String::new(), topic_id }
    }

    #[test]
    fn a_position_of_a_topic_that_was_made_anew_is_not_found() {
        let mut offsets = Offsets::default();
        let (old, new) = (Uuid([1; 16]), Uuid([2; 16]));
        offsets.put(Instant::now(), "t", 0, at(7, old), None);
        assert_eq!(offsets.get("t", new, 0), None);
        assert_eq!(offsets.get("t", old, 0).map(|found| found.offset), Some(7));
        assert_eq!(offsets.get("t", Uuid::ZERO, 0).map(|found| found.offset), Some(7));
        offsets.put(Instant::now(), "t", 0, at(8, Uuid::ZERO), None);
        assert_eq!(offsets.get("t", new, 0).map(|found| found.offset), Some(8));
    }

    #[test]
    fn positions_expire_except_in_topics_in_use_and_at_their_own_time_if_they_have_one() {
        let week = Duration::from_secs(7 * 86_400);
        let now = Instant::now();
        let mut offsets = Offsets::default();
        offsets.put(now, "used", 0, at(1, Uuid::ZERO), None);
        offsets.put(now, "idle", 0, at(1, Uuid::ZERO), None);
        offsets.put(now, "idle", 1, at(1, Uuid::ZERO), Some(Duration::from_secs(60)));
        let used = |topic: &str| topic == "used";
        offsets.expire(now + Duration::from_secs(59), week, None, used);
        assert!(offsets.get("idle", Uuid::ZERO, 1).is_some());
        offsets.expire(now + Duration::from_secs(60), week, None, used);
        assert!(offsets.get("idle", Uuid::ZERO, 1).is_none());
        assert!(offsets.get("idle", Uuid::ZERO, 0).is_some());
        offsets.expire(now + week, week, Some(now + week), used);
        assert!(offsets.get("idle", Uuid::ZERO, 0).is_some(), "the group has just become idle");
        offsets.expire(now + week, week, None, used);
        assert!(offsets.get("idle", Uuid::ZERO, 0).is_none());
        assert!(offsets.get("used", Uuid::ZERO, 0).is_some());
        offsets.expire(now + week, week, None, |_| false);
        assert!(offsets.is_empty());
    }

    #[test]
    fn the_length_of_a_text_counts_as_in_java() {
        assert!(!is_too_long(None));
        assert!(!is_too_long(Some(&"x".repeat(4096))));
        assert!(is_too_long(Some(&"x".repeat(4097))));
        assert!(!is_too_long(Some(&"ä".repeat(4096))));
        assert!(is_too_long(Some(&"😀".repeat(2049))));
    }
}
