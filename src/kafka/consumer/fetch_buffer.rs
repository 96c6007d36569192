//! What has been fetched and not yet been handed over.
//!
//! A queue per partition, and the order in which partitions take their turn. Only bytes that passed their checks get
//! in, so handing over cannot fail; what did fail stands in the queue where it happened and comes out in its turn,
//! after the records before it.

use std::collections::{HashMap, VecDeque};

use super::records::Run;
use super::subscription::{Assignment, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::record::batch::Batch;
use crate::kafka::record::walk::Cursor;

/// One entry of a partition's queue.
#[derive(Debug)]
pub(super) enum Item {
    /// Records: `left` of them from `cursor` on. Never 0.
    Records { batch: Batch, cursor: Cursor, left: i32 },
    /// No records here, as after compaction and around transaction markers: the position moves on to `next`.
    Gap { next: i64, leader_epoch: i32 },
    /// Nothing comes after this one.
    End(Event),
}

/// Why a partition's queue ends.
#[derive(Debug)]
pub(super) enum Event {
    /// The bytes at the position, or the broker's answer, are no good.
    Failed(Error),
    /// The log does not reach from or to this offset.
    OutOfRange(i64),
}

/// What [`FetchBuffer::take`] found.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub runs: Vec<Run>,
    pub count: usize,
    /// Only ever without records, so that these are not lost by what the caller makes of it.
    pub event: Option<(TopicPartition, Event)>,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    node: i32,
}

#[derive(Debug, Default)]
pub(super) struct FetchBuffer {
    /// None of them is empty.
    queues: HashMap<TopicPartition, Queue>,
    /// Every partition of `queues` once; the first one's turn is next.
    turns: VecDeque<TopicPartition>,
    /// Bytes handed over since [`freed`](Self::freed) last said so.
    freed: usize,
    /// The last [`take`](Self::take) left nothing but what is paused.
    drained: bool,
    /// A partition's last entry was handed over since [`freed`](Self::freed) last said so.
    emptied: bool,
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Records { batch, .. } => batch.size(),
            Self::Gap { .. } | Self::End(_) => 0,
        }
    }
}

impl FetchBuffer {
    /// Appends what the fetcher of `node` brought for a partition.
    pub fn publish(&mut self, partition: &TopicPartition, node: i32, items: impl IntoIterator<Item = Item>) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return;
        }
        let queue = match self.queues.get_mut(partition) {
            Some(queue) => queue,
            None => {
                self.turns.push_back(partition.clone());
                self.queues.entry(partition.clone()).or_default()
            }
        };
        queue.node = node;
        for item in items {
            queue.bytes += item.bytes();
            // A log may have nothing to hand over for as long as it likes; one gap stands for all of them.
            match (queue.items.back_mut(), &item) {
                (Some(gap @ Item::Gap { .. }), Item::Gap { .. }) => *gap = item,
                _ => queue.items.push_back(item),
            }
        }
    }

    /// Drops what was fetched for a partition.
    pub fn remove(&mut self, partition: &TopicPartition) {
        if self.queues.remove(partition).is_some() {
            self.turns.retain(|other| other != partition);
        }
    }

    pub fn clear(&mut self) {
        self.queues.clear();
        self.turns.clear();
    }

    /// Whether anything of this partition waits.
    pub fn holds(&self, partition: &TopicPartition) -> bool {
        self.queues.contains_key(partition)
    }

    /// Bytes that wait in one partition.
    pub fn bytes(&self, partition: &TopicPartition) -> usize {
        self.queues.get(partition).map_or(0, |queue| queue.bytes)
    }

    /// Bytes that wait and came from `node`.
    pub fn bytes_from(&self, node: i32) -> usize {
        self.queues.values().filter(|queue| queue.node == node).map(|queue| queue.bytes).sum()
    }

    /// Whether so much was handed over since it last said so that fetchers may have room again: at least `enough` bytes,
    /// all there was of a partition, or all there was that is not paused. What is paused gives way then.
    pub fn freed(&mut self, enough: usize) -> bool {
        let freed = self.freed > 0 && (self.freed >= enough || self.drained || self.emptied);
        if freed {
            self.freed = 0;
            self.emptied = false;
        }
        freed
    }

    /// The partitions that `node` brought something for.
    pub fn partitions_from(&self, node: i32) -> impl Iterator<Item = &TopicPartition> {
        self.queues.iter().filter(move |(_, queue)| queue.node == node).map(|(partition, _)| partition)
    }

    /// Hands over up to `max` records and moves the positions behind them. Partitions take turns; a paused one keeps
    /// its place. Stops before an event once there are records.
    pub fn take(&mut self, max: usize, assignment: &mut Assignment) -> Taken {
        let mut taken = Taken::default();
        let mut kept = VecDeque::new();
        while taken.count < max {
            let Some(partition) = self.turns.pop_front() else { break };
            let paused = assignment.get(&partition).is_none_or(|held| held.paused);
            let Some(queue) = self.queues.get_mut(&partition) else { continue };
            if paused {
                kept.push_back(partition);
                continue;
            }
            let before = queue.bytes;
            queue.take(&partition, max, assignment, &mut taken);
            // Also an entry without bytes may have been what kept paused partitions from giving way.
            self.freed += (before - queue.bytes).max(1);
            if queue.items.is_empty() {
                self.queues.remove(&partition);
                self.emptied = true;
            } else if taken.count < max && taken.event.is_none() {
                // It stopped before an event: that is the first thing of the next call.
                self.turns.push_front(partition);
                break;
            } else {
                self.turns.push_back(partition);
            }
            if taken.event.is_some() {
                break;
            }
        }
        self.drained = self.turns.is_empty();
        while let Some(partition) = kept.pop_back() {
            self.turns.push_front(partition);
        }
        taken
    }
}

impl Queue {
    fn take(&mut self, partition: &TopicPartition, max: usize, assignment: &mut Assignment, taken: &mut Taken) {
        while taken.count < max {
            match self.items.front_mut() {
                None => return,
                Some(Item::Gap { next, leader_epoch }) => {
                    assignment.advance(partition, *next, *leader_epoch);
                }
                Some(Item::End(_)) if taken.count > 0 => return,
                Some(Item::End(_)) => {
                    if let Some(Item::End(event)) = self.items.pop_front() {
                        taken.event = Some((partition.clone(), event));
                    }
                    return;
                }
                Some(Item::Records { batch, cursor, left }) => {
                    let room = i32::try_from(max - taken.count).unwrap_or(i32::MAX);
                    let count = room.min(*left);
                    taken.count += count as usize;
                    taken.runs.push(Run { partition: partition.clone(), batch: batch.clone(), from: *cursor, count });
                    if count < *left {
                        *cursor = batch.skip(*cursor, count);
                        *left -= count;
                        let next = batch.offset_at(*cursor).unwrap_or_else(|| batch.last_offset() + 1);
                        assignment.advance(partition, next, batch.header().leader_epoch);
                        return;
                    }
                    assignment.advance(partition, batch.last_offset() + 1, batch.header().leader_epoch);
                }
            }
            if let Some(done) = self.items.pop_front() {
                self.bytes -= done.bytes();
            }
        }
        // Gaps right behind the last record: the position passes them with it.
        while let Some(&Item::Gap { next, leader_epoch }) = self.items.front() {
            assignment.advance(partition, next, leader_epoch);
            self.items.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::offsets::Position;
    use super::super::records::Records;
    use super::*;
    use crate::kafka::record::batch::{batches, put};
    use crate::kafka::record::builder::BatchBuilder;
    use crate::kafka::record::compression::Compression;

    /// A batch of `count` records from `base` on, whose values are their offsets.
    fn item(base: i64, count: i32) -> Item {
        let mut builder = BatchBuilder::new(Vec::new());
        for index in 0..count {
            let value = (base + i64::from(index)).to_string();
            builder.append(None, Some(value.as_bytes()), &[], 0).unwrap();
        }
        let mut bytes = builder.close(Compression::None).unwrap();
        put(&mut bytes, 0, base.to_be_bytes());
        let batch = batches(&bytes.into()).next().unwrap().unwrap();
        Item::Records { batch, cursor: Cursor::default(), left: count }
    }

    struct Fixture {
        buffer: FetchBuffer,
        assignment: Assignment,
    }

    impl Fixture {
        fn new(partitions: i32) -> Self {
            let mut assignment = Assignment::new(1 << 20);
            for index in 0..partitions {
                assignment.add(place(index), Position::At { offset: 0, leader_epoch: -1 });
            }
            Self { buffer: FetchBuffer::default(), assignment }
        }

        /// What a call hands over, as `partition@offset`.
        fn take(&mut self, max: usize) -> (Vec<(i32, i64)>, Option<Event>) {
            let taken = self.buffer.take(max, &mut self.assignment);
            let records = Records::new(taken.runs, taken.count);
            assert_eq!(records.iter().len(), records.len());
            let seen: Vec<_> = records.iter().map(|record| (record.partition(), record.offset())).collect();
            for record in &records {
                assert_eq!(record.value(), Some(record.offset().to_string().as_bytes()));
            }
            assert_eq!(seen.len(), taken.count);
            (seen, taken.event.map(|(_, event)| event))
        }

        fn position(&self, partition: i32) -> i64 {
            self.assignment.get(&place(partition)).unwrap().position.offset().unwrap()
        }
    }

    fn place(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn from(partition: i32, offsets: std::ops::Range<i64>) -> Vec<(i32, i64)> {
        offsets.map(|offset| (partition, offset)).collect()
    }

    #[test]
    fn batches_are_cut_to_what_a_poll_may_take_and_the_position_follows() {
        let mut fixture = Fixture::new(1);
        fixture.buffer.publish(&place(0), 1, [item(0, 5), item(5, 2)]);
        let bytes = fixture.buffer.bytes(&place(0));
        assert_eq!(fixture.take(3).0, from(0, 0..3));
        assert_eq!(fixture.position(0), 3);
        assert_eq!(fixture.buffer.bytes(&place(0)), bytes, "a batch counts until its last record is gone");
        assert_eq!(fixture.take(3).0, from(0, 3..6));
        assert!(fixture.buffer.bytes(&place(0)) < bytes);
        assert_eq!(fixture.take(3).0, from(0, 6..7));
        assert_eq!(fixture.position(0), 7);
        assert_eq!(fixture.buffer.bytes_from(1), 0);
        assert_eq!(fixture.take(3).0, []);
    }

    #[test]
    fn partitions_take_turns() {
        let mut fixture = Fixture::new(2);
        fixture.buffer.publish(&place(0), 1, [item(0, 4)]);
        fixture.buffer.publish(&place(1), 1, [item(0, 4)]);
        assert_eq!(fixture.take(2).0, from(0, 0..2));
        assert_eq!(fixture.take(2).0, from(1, 0..2));
        assert_eq!(fixture.take(9).0, [from(0, 2..4), from(1, 2..4)].concat());
    }

    #[test]
    fn a_paused_partition_keeps_its_records_and_its_turn() {
        let mut fixture = Fixture::new(2);
        fixture.buffer.publish(&place(0), 1, [item(0, 2)]);
        fixture.buffer.publish(&place(1), 1, [item(0, 2)]);
        fixture.assignment.get_mut(&place(0)).unwrap().paused = true;
        assert_eq!(fixture.take(1).0, from(1, 0..1));
        assert_eq!(fixture.position(0), 0);
        fixture.assignment.get_mut(&place(0)).unwrap().paused = false;
        assert_eq!(fixture.take(9).0, [from(0, 0..2), from(1, 1..2)].concat());
    }

    #[test]
    fn gaps_move_the_position_without_records() {
        let mut fixture = Fixture::new(1);
        let gap = |next| Item::Gap { next, leader_epoch: 3 };
        fixture.buffer.publish(&place(0), 1, [gap(2), item(2, 1), gap(5), gap(9)]);
        assert_eq!(fixture.take(1).0, from(0, 2..3));
        assert_eq!(fixture.position(0), 9, "gaps behind the last record are passed with it");
        fixture.buffer.publish(&place(0), 1, [gap(12)]);
        assert_eq!(fixture.take(1).0, []);
        assert_eq!(fixture.position(0), 12);
    }

    #[test]
    fn gaps_in_a_row_take_the_room_of_one() {
        let mut fixture = Fixture::new(1);
        for next in 1..1000 {
            fixture.buffer.publish(&place(0), 1, [Item::Gap { next, leader_epoch: 3 }]);
        }
        assert_eq!(fixture.buffer.queues[&place(0)].items.len(), 1);
        assert_eq!(fixture.take(9).0, []);
        assert_eq!(fixture.position(0), 999);
    }

    #[test]
    fn a_failure_comes_out_once_after_the_records_before_it_and_alone() {
        let mut fixture = Fixture::new(2);
        let failed = Item::End(Event::Failed(Error::corrupt("x")));
        fixture.buffer.publish(&place(0), 1, [item(0, 2), failed]);
        fixture.buffer.publish(&place(1), 1, [item(0, 2)]);
        let (records, event) = fixture.take(9);
        assert_eq!(records, from(0, 0..2));
        assert!(event.is_none());
        let (records, event) = fixture.take(9);
        assert_eq!(records, []);
        assert!(matches!(event, Some(Event::Failed(_))));
        assert_eq!(fixture.position(0), 2);
        let (records, event) = fixture.take(9);
        assert_eq!(records, from(1, 0..2), "others flow on");
        assert!(event.is_none());
    }

    #[test]
    fn fetchers_are_told_of_room_once_there_is_enough_of_it_or_nothing_left() {
        let mut fixture = Fixture::new(1);
        fixture.buffer.publish(&place(0), 1, [item(0, 2), item(2, 2), item(4, 2)]);
        let enough = fixture.buffer.bytes(&place(0)) / 2;
        fixture.take(2);
        assert!(!fixture.buffer.freed(enough), "a third");
        fixture.take(2);
        assert!(fixture.buffer.freed(enough), "two thirds");
        assert!(!fixture.buffer.freed(enough));
        fixture.take(2);
        assert!(fixture.buffer.freed(enough), "all");
        assert!(!fixture.buffer.freed(0));
    }

    /// A full buffer of paused records gives way only when its fetcher looks again. Nobody woke it once the last record
    /// of the others was handed over, and those stood still.
    #[test]
    fn fetchers_are_told_when_only_paused_records_are_left() {
        let mut fixture = Fixture::new(2);
        fixture.buffer.publish(&place(0), 1, [item(0, 2)]);
        fixture.buffer.publish(&place(1), 1, [item(0, 2), item(2, 2)]);
        fixture.assignment.get_mut(&place(0)).unwrap().paused = true;
        assert_eq!(fixture.take(2).0, from(1, 0..2));
        assert!(!fixture.buffer.freed(1 << 20));
        assert_eq!(fixture.take(9).0, from(1, 2..4));
        assert!(fixture.buffer.freed(1 << 20));
    }

    #[test]
    fn what_is_removed_is_not_handed_over() {
        let mut fixture = Fixture::new(2);
        fixture.buffer.publish(&place(0), 1, [item(0, 2)]);
        fixture.buffer.publish(&place(1), 2, [item(0, 2)]);
        assert_eq!(fixture.buffer.partitions_from(2).collect::<Vec<_>>(), [&place(1)]);
        fixture.buffer.remove(&place(0));
        assert_eq!(fixture.take(9).0, from(1, 0..2));
    }
}
