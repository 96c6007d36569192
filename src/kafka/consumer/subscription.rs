//! What a consumer is subscribed to, what it holds, and where it stands in each partition it holds.
//!
//! Everything that reaches the core from another thread carries the [`Epoch`] it was made for. A partition gets a new
//! one whenever its past stops counting: when it is assigned, and with each seek or reset. What comes late then names
//! an epoch that no longer exists, and is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::offsets::Position;
use super::stall::Quiet;
use crate::kafka::error::{Error, Result};
use crate::kafka::protocol::Uuid;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's index, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic.escape_debug(), self.partition)
    }
}

/// Partitions in one line, as logs show them: `a-0, a-1, b-0`, or `none`. Of many that follow each other only the ends.
pub(crate) struct Listed<'a>(pub &'a [TopicPartition]);

/// So many in a row are still named one by one.
const IN_A_ROW: usize = 10;

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let follows = |a: &TopicPartition, b: &TopicPartition| {
            a.topic == b.topic && a.partition.checked_add(1) == Some(b.partition)
        };
        let mut comma = "";
        for row in self.0.chunk_by(follows) {
            match row {
                [first, .., last] if row.len() > IN_A_ROW => write!(f, "{comma}{first} to {last}")?,
                _ => {
                    for partition in row {
                        write!(f, "{comma}{partition}")?;
                        comma = ", ";
                    }
                }
            }
            comma = ", ";
        }
        if self.0.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// What the application asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Subscription {
    /// Nothing.
    #[default]
    Nothing,
    /// Topics, whose partitions the group shares out.
    Topics(BTreeSet<String>),
    /// Partitions chosen by the application itself.
    Partitions,
}

/// A regular expression that the whole name of a topic must match.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    whole: regex_lite::Regex,
}

impl Pattern {
    /// # Errors
    /// It is no regular expression.
    pub fn new(text: &str) -> Result<Self> {
        let whole = regex_lite::Regex::new(&format!("^(?:{text})$")).map_err(|error| {
            let text = text.escape_debug();
            Error::config(format!("\"{text}\" is no regular expression for topics: {error}; for example orders-.*"))
        })?;
        Ok(Self { text: text.to_owned(), whole })
    }

    pub fn is_match(&self, topic: &str) -> bool {
        self.whole.is_match(topic)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text.escape_debug())
    }
}

/// Names one stay at a partition: from an assignment, seek or reset to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Epoch(u64);

#[cfg(test)]
impl Epoch {
    pub fn for_tests(epoch: u64) -> Self {
        Self(epoch)
    }
}

/// The partition's leader as metadata last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leader {
    pub node: i32,
    pub epoch: i32,
}

/// A partition that this consumer holds.
#[derive(Debug)]
pub(super) struct Held {
    pub epoch: Epoch,
    pub position: Position,
    pub paused: bool,
    pub leader: Option<Leader>,
    /// Which topic of that name it is, zero while that is not known; positions count in this one only.
    pub topic_id: Uuid,
    /// The topic that had this name before, zero if none is known.
    pub former_topic_id: Uuid,
    /// Where the next fetch starts. Never below the position.
    pub fetch_offset: i64,
    /// The epoch of the batch before that; -1 if not known.
    pub fetch_epoch: i32,
    /// The leader epoch up to which it is certain that what was read is what the log holds (KIP-320).
    pub proven: i32,
    /// The replica that the leader sent this consumer to for records (KIP-392), and until when that holds.
    pub replica: Option<(i32, Instant)>,
    /// The position that turned out to be outside of the log, while the end to go on at is being asked for.
    pub lost_at: Option<i64>,
    /// When something new was last heard of its log.
    pub heard: Option<Instant>,
    /// Since when it has brought nothing although its log goes on.
    pub quiet: Option<Quiet>,
    /// The end of the log that this consumer may read, as the last answer told.
    pub log_end: Option<i64>,
    /// A failure ended fetching; a seek takes it up again.
    pub stopped: bool,
    /// A failure is on its way to the application; whatever was fetched behind it does not follow.
    pub ended: bool,
    /// The fetcher (by node) that has something of this epoch in flight or not yet published, and how many answers
    /// that concerns. While it does, no other fetcher touches the partition: order would be lost.
    pub holder: Option<(i32, u32)>,
    /// The request, counted by the core, that last brought records.
    pub asked_at: u64,
    /// Nothing is asked before this moment.
    pub not_before: Option<Instant>,
    /// When it is asked once more what the group has committed: that was refused.
    pub ask_again: Option<Instant>,
    /// Failed requests in a row, for the backoff.
    pub failures: u32,
    /// Grows beyond `max.partition.fetch.bytes` while a single batch does not fit.
    pub max_bytes: i32,
    /// The application was already told about the failure that is being retried.
    pub reported: bool,
}

/// The partitions held, by name.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    partitions: BTreeMap<TopicPartition, Held>,
    epochs: u64,
    max_bytes: i32,
}

impl Assignment {
    pub fn new(max_partition_fetch_bytes: i32) -> Self {
        Self { partitions: BTreeMap::new(), epochs: 0, max_bytes: max_partition_fetch_bytes }
    }

    fn next_epoch(&mut self) -> Epoch {
        self.epochs += 1;
        Epoch(self.epochs)
    }

    /// Takes up a partition; one that is held already keeps its state.
    pub fn add(&mut self, partition: TopicPartition, position: Position) {
        let epoch = self.next_epoch();
        let max_bytes = self.max_bytes;
        self.partitions.entry(partition).or_insert_with(|| Held {
            epoch,
            fetch_offset: position.offset().unwrap_or(0),
            position,
            paused: false,
            leader: None,
            topic_id: Uuid::ZERO,
            former_topic_id: Uuid::ZERO,
            fetch_epoch: position.leader_epoch(),
            proven: position.leader_epoch(),
            replica: None,
            lost_at: None,
            heard: None,
            quiet: None,
            log_end: None,
            stopped: false,
            ended: false,
            holder: None,
            asked_at: 0,
            not_before: None,
            ask_again: None,
            failures: 0,
            max_bytes,
            reported: false,
        });
    }

    pub fn remove(&mut self, partition: &TopicPartition) -> Option<Held> {
        self.partitions.remove(partition)
    }

    pub fn clear(&mut self) {
        self.partitions.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    pub fn get(&self, partition: &TopicPartition) -> Option<&Held> {
        self.partitions.get(partition)
    }

    pub fn get_mut(&mut self, partition: &TopicPartition) -> Option<&mut Held> {
        self.partitions.get_mut(partition)
    }

    /// The partition, if it is still in the stay that `epoch` names.
    pub fn current(&mut self, partition: &TopicPartition, epoch: Epoch) -> Option<&mut Held> {
        self.partitions.get_mut(partition).filter(|held| held.epoch == epoch)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Held)> {
        self.partitions.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&TopicPartition, &mut Held)> {
        self.partitions.iter_mut()
    }

    /// Every partition held, in order.
    pub fn list(&self) -> Vec<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    /// Sends a partition elsewhere: a new stay begins and what was fetched for the old one no longer counts. Returns
    /// false if the partition is not held.
    pub fn relocate(&mut self, partition: &TopicPartition, position: Position) -> bool {
        let epoch = self.next_epoch();
        let Some(held) = self.partitions.get_mut(partition) else { return false };
        held.epoch = epoch;
        held.fetch_offset = position.offset().unwrap_or(0);
        held.fetch_epoch = position.leader_epoch();
        held.proven = held.fetch_epoch;
        held.lost_at = None;
        held.heard = None;
        held.position = position;
        held.stopped = false;
        held.ended = false;
        held.holder = None;
        held.not_before = None;
        held.ask_again = None;
        held.failures = 0;
        held.reported = false;
        true
    }
}

impl Held {
    /// Which node is asked next for this partition: its leader, or, for records, the replica that it named.
    pub fn source(&self, now: Instant) -> Option<i32> {
        let leader = self.leader?;
        let replica = self.replica.filter(|(_, until)| now < *until && !self.is_doubtful());
        Some(replica.filter(|_| self.position.offset().is_some()).map_or(leader.node, |(node, _)| node))
    }

    /// Whether records come from this node, and it is not the leader.
    pub fn is_read_from_replica(&self, node: i32) -> bool {
        self.replica.is_some_and(|(replica, _)| replica == node)
    }

    /// Whether there is a new leader, which has to confirm first that its log holds what was read (KIP-320).
    pub fn is_doubtful(&self) -> bool {
        self.fetch_epoch >= 0 && self.leader.is_some_and(|leader| leader.epoch > self.proven)
    }

    /// Whether the fetcher of `node` may ask something for this partition now.
    pub fn askable(&self, node: i32, now: Instant) -> bool {
        self.source(now) == Some(node)
            && !self.stopped
            && self.holder.is_none_or(|(holder, _)| holder == node)
            && self.not_before.is_none_or(|moment| moment <= now)
    }

    /// How far the position is from the end, where both are known.
    pub fn lag(&self) -> Option<i64> {
        Some((self.log_end? - self.position.offset()?).max(0))
    }

    /// Counts one more answer that the fetcher of `node` owes.
    pub fn hold(&mut self, node: i32) {
        let owed = self.holder.map_or(0, |(_, owed)| owed);
        self.holder = Some((node, owed + 1));
    }

    /// Counts one of them as dealt with. Returns whether another fetcher may take over now.
    pub fn release(&mut self) -> bool {
        let Some((node, owed)) = self.holder else { return false };
        self.holder = Some((node, owed - 1)).filter(|_| owed > 1);
        let other = |next: i32| next != node;
        self.holder.is_none()
            && (self.leader.is_some_and(|leader| other(leader.node))
                || self.replica.is_some_and(|(next, _)| other(next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(offset: i64) -> Position {
        Position::At { offset, leader_epoch: -1 }
    }

    #[test]
    fn what_was_fetched_before_a_seek_or_a_reassignment_is_not_current() {
        let partition = TopicPartition::new("t", 0);
        let mut assignment = Assignment::new(1 << 20);
        assignment.add(partition.clone(), at(5));
        let first = assignment.get(&partition).unwrap().epoch;
        assert!(assignment.current(&partition, first).is_some());

        assert!(assignment.relocate(&partition, at(9)));
        assert!(assignment.current(&partition, first).is_none());
        let second = assignment.get(&partition).unwrap().epoch;
        assert_eq!(assignment.get(&partition).unwrap().fetch_offset, 9);

        assignment.remove(&partition);
        assignment.add(partition.clone(), at(9));
        assert!(assignment.current(&partition, second).is_none());
        assert!(!assignment.relocate(&TopicPartition::new("t", 1), at(0)));
    }

    #[test]
    fn adding_a_held_partition_again_changes_nothing() {
        let partition = TopicPartition::new("t", 0);
        let mut assignment = Assignment::new(1 << 20);
        assignment.add(partition.clone(), at(5));
        let epoch = assignment.get(&partition).unwrap().epoch;
        assignment.add(partition.clone(), at(0));
        assert_eq!(assignment.get(&partition).unwrap().epoch, epoch);
        assert_eq!(assignment.get(&partition).unwrap().position, at(5));
    }

    #[test]
    fn a_new_leader_waits_until_the_old_ones_fetcher_has_published() {
        let partition = TopicPartition::new("t", 0);
        let now = Instant::now();
        let mut assignment = Assignment::new(1 << 20);
        assignment.add(partition.clone(), at(0));
        let held = assignment.get_mut(&partition).unwrap();
        assert!(!held.askable(1, now), "no leader is known yet");
        held.leader = Some(Leader { node: 1, epoch: 0 });
        assert!(held.askable(1, now));
        held.hold(1);
        held.hold(1);
        held.leader = Some(Leader { node: 2, epoch: 1 });
        assert!(!held.askable(2, now) && !held.askable(1, now));
        assert!(!held.release());
        assert!(!held.askable(2, now));
        assert!(held.release(), "the other one is to be told");
        assert!(held.askable(2, now));
        held.not_before = Some(now + Duration::from_millis(1));
        assert!(!held.askable(2, now));
    }

    #[test]
    fn a_pattern_matches_whole_names_or_says_what_is_wrong() {
        let pattern = Pattern::new("orders-.*|bills").unwrap();
        assert!(pattern.is_match("orders-eu") && pattern.is_match("bills"));
        assert!(!pattern.is_match("my-orders-eu") && !pattern.is_match("bills2"));
        let error = Pattern::new("orders-(").unwrap_err().to_string();
        assert!(error.contains("orders-(") && error.contains("no regular expression"), "{error}");
    }

    #[test]
    fn partitions_are_shown_in_one_line() {
        let list = [TopicPartition::new("a", 0), TopicPartition::new("b\n", 1)];
        assert_eq!(Listed(&list).to_string(), "a-0, b\\n-1");
        assert_eq!(Listed(&[]).to_string(), "none");
        let mut many: Vec<_> = (0..1000).filter(|p| *p != 3).map(|p| TopicPartition::new("a", p)).collect();
        many.push(TopicPartition::new("b", 1000));
        assert_eq!(Listed(&many).to_string(), "a-0, a-1, a-2, a-4 to a-999, b-1000");
    }
}
