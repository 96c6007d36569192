//! The topics a producer has sent to, found without a lock.
//!
//! `send` looks a topic and a partition up for each record, so both tables are of cells that are written once and then
//! only read. Nothing is ever removed: a producer that sends to many topics keeps a few hundred bytes for each.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::accumulator::Partition;
use super::partitioner::Sticky;
use crate::kafka::cluster;

const BUCKETS: usize = 64;
/// Doubling chunks: the last one ends at the largest partition number there is.
const CHUNKS: usize = 31;

/// All topics by name.
pub(super) struct Topics {
    buckets: [OnceLock<Box<Node>>; BUCKETS],
    sticky_ms: u32,
}

struct Node {
    topic: Topic,
    next: OnceLock<Box<Node>>,
}

type Chunk = Box<[OnceLock<Arc<Partition>>]>;

/// One topic and its partitions.
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    /// Where records without a key go at present.
    pub(super) sticky: Arc<Sticky>,
    count: AtomicI32,
    turn: AtomicI32,
    /// Chunk k holds the partitions from 2^k - 1 on, 2^k of them.
    chunks: [OnceLock<Chunk>; CHUNKS],
}

impl Topics {
    /// `sticky` is how long records without a key stay with one partition.
    pub(super) fn new(sticky: Duration) -> Self {
        let sticky_ms = u32::try_from(sticky.as_millis()).unwrap_or(u32::MAX);
        Self { buckets: [const { OnceLock::new() }; BUCKETS], sticky_ms }
    }

    /// The topic, when it was added before.
    pub(super) fn find(&self, name: &str) -> Option<&Topic> {
        let mut cell = &self.buckets[bucket(name)];
        while let Some(node) = cell.get() {
            if *node.topic.name == *name {
                return Some(&node.topic);
            }
            cell = &node.next;
        }
        None
    }

    /// The topic, added when it was not there.
    pub(super) fn add(&self, name: &str) -> &Topic {
        let mut cell = &self.buckets[bucket(name)];
        loop {
            let new = || Box::new(Node { topic: Topic::new(name, self.sticky_ms), next: OnceLock::new() });
            let node = cell.get_or_init(new);
            if *node.topic.name == *name {
                return &node.topic;
            }
            cell = &node.next;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.buckets
            .iter()
            .flat_map(|bucket| std::iter::successors(bucket.get(), |node| node.next.get()).map(|node| &node.topic))
    }
}

/// Length and a few bytes tell topic names apart well enough; the names themselves are compared afterwards.
fn bucket(name: &str) -> usize {
    let bytes = name.as_bytes();
    let at = |index: usize| bytes.get(index).copied().map_or(0, usize::from);
    let mixed = bytes.len() ^ at(bytes.len().wrapping_sub(1)) ^ (at(bytes.len() / 2) << 1) ^ (at(0) << 2);
    mixed % BUCKETS
}

impl Topic {
    fn new(name: &str, sticky_ms: u32) -> Self {
        Self {
            name: name.into(),
            sticky: Arc::new(Sticky::new(sticky_ms)),
            count: AtomicI32::new(0),
            turn: AtomicI32::new(0),
            chunks: [const { OnceLock::new() }; CHUNKS],
        }
    }

    /// How many partitions it has; 0 while that is not known.
    pub(super) fn partition_count(&self) -> i32 {
        self.count.load(Ordering::Acquire)
    }

    /// Each usable partition in its turn.
    pub(super) fn next_in_turn(&self) -> i32 {
        let count = self.partition_count().max(1);
        let mut turns = (0..count).map(|_| (self.turn.fetch_add(1, Ordering::Relaxed) & i32::MAX) % count);
        turns.find(|&index| self.partition(index).is_some_and(|partition| partition.is_usable())).unwrap_or(0)
    }

    /// The partition with this number.
    pub(super) fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        if !(0..self.partition_count()).contains(&index) {
            return None;
        }
        let (chunk, offset) = place(index);
        self.chunks[chunk].get()?.get(offset)?.get()
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        (0..self.partition_count()).filter_map(|index| self.partition(index))
    }

    /// Brings the table up to date. Partitions are never taken away: Kafka cannot do so either.
    pub(super) fn update(&self, known: &cluster::Topic) {
        for (index, partition) in (0..i32::MAX).zip(&known.partitions) {
            let (chunk, offset) = place(index);
            let cells = self.chunks[chunk].get_or_init(|| (0..1usize << chunk).map(|_| OnceLock::new()).collect());
            let new = || Arc::new(Partition::new(Arc::clone(&self.name), index, Arc::clone(&self.sticky)));
            cells[offset].get_or_init(new).set_usable(partition.leader.is_some());
            self.count.fetch_max(index + 1, Ordering::AcqRel);
        }
    }
}

/// Chunk and place in it, for a number from 0 to `i32::MAX - 1`.
fn place(index: i32) -> (usize, usize) {
    let from_one = index.unsigned_abs() + 1;
    let chunk = from_one.ilog2();
    (chunk as usize, (from_one - (1 << chunk)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(leaders: &[Option<i32>]) -> cluster::Topic {
        cluster::Topic {
            id: Default::default(),
            error: crate::kafka::protocol::ErrorCode::NONE,
            internal: false,
            partitions: leaders
                .iter()
                .map(|&leader| cluster::Partition { leader, leader_epoch: 0, replicas: Box::default() })
                .collect(),
        }
    }

    #[test]
    fn topics_are_found_by_their_whole_name() {
        let topics = Topics::new(Duration::ZERO);
        let names: Vec<_> = (0..500).map(|n| format!("topic-{n}")).collect();
        for name in &names {
            assert!(topics.find(name).is_none());
            assert_eq!(&*topics.add(name).name, name);
        }
        assert!(names.iter().all(|name| &*topics.find(name).unwrap().name == name));
        assert!(std::ptr::eq(topics.add("topic-7"), topics.find("topic-7").unwrap()));
        assert_eq!(topics.iter().count(), 500);
        assert!(topics.find("").is_none());
    }

    #[test]
    fn partitions_grow_and_never_shrink() {
        let topic = Topic::new("t", 10);
        assert!(topic.partition(0).is_none());
        topic.update(&known(&[Some(1), None, Some(2)]));
        assert_eq!(topic.partitions().map(|p| p.is_usable()).collect::<Vec<_>>(), [true, false, true]);
        let first = Arc::clone(topic.partition(0).unwrap());
        topic.update(&known(&[Some(1); 1000]));
        assert_eq!(topic.partition_count(), 1000);
        assert!((0..1000).all(|n| topic.partition(n).unwrap().index == n));
        assert!(Arc::ptr_eq(&first, topic.partition(0).unwrap()));
        topic.update(&known(&[None]));
        assert_eq!(topic.partition_count(), 1000);
    }
}
