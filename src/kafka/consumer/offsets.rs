//! Where a consumer stands in a partition, and how it gets there: committed offset, reset policy, seek.
//!
//! Decides and remembers only; the group's thread asks for committed offsets, the leader's fetcher for the ends of
//! the log.

use std::time::Instant;

use super::subscription::{Assignment, Epoch, TopicPartition};
use crate::kafka::config::OffsetReset;
use crate::kafka::error::{Error, ErrorKind};

/// Where the next record to hand over is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Where the group last committed; the coordinator is being asked.
    Committed,
    /// At one end of the log; the leader is being asked.
    End(LogEnd),
    /// Here.
    At {
        offset: i64,
        /// Of the batch before it, as commits carry it; -1 if not known.
        leader_epoch: i32,
    },
    /// Nowhere: there is no committed offset and `auto.offset.reset` is `none`. Only a seek helps.
    Unset,
}

/// The two ends of a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogEnd {
    Beginning,
    End,
}

impl LogEnd {
    /// What ListOffsets calls it.
    pub fn timestamp(self) -> i64 {
        match self {
            Self::Beginning => -2,
            Self::End => -1,
        }
    }
}

impl Position {
    pub fn offset(&self) -> Option<i64> {
        match self {
            Self::At { offset, .. } => Some(*offset),
            _ => None,
        }
    }

    /// Of the batch before it; -1 if not known.
    pub fn leader_epoch(&self) -> i32 {
        match self {
            Self::At { leader_epoch, .. } => *leader_epoch,
            _ => -1,
        }
    }

    /// Where `auto.offset.reset` sends a consumer that has no valid position; nowhere with `none`.
    pub fn reset(policy: OffsetReset) -> Self {
        match policy {
            OffsetReset::Earliest => Self::End(LogEnd::Beginning),
            OffsetReset::Latest => Self::End(LogEnd::End),
            OffsetReset::None => Self::Unset,
        }
    }
}

/// An offset to commit, or that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    /// The next record to read.
    pub offset: i64,
    /// -1 if not known.
    pub leader_epoch: i32,
}

impl Assignment {
    /// The partitions whose committed offset is wanted.
    pub fn awaiting_committed(&self) -> Vec<(TopicPartition, Epoch)> {
        let awaiting = self.iter().filter(|(_, held)| held.position == Position::Committed);
        awaiting.map(|(partition, held)| (partition.clone(), held.epoch)).collect()
    }

    /// Takes up those again whose committed offset was refused a while ago.
    pub fn ask_again(&mut self, now: Instant) {
        for (_, held) in self.iter_mut() {
            if held.ask_again.is_some_and(|moment| moment <= now) {
                held.ask_again = None;
                if held.position == Position::Unset {
                    held.position = Position::Committed;
                }
            }
        }
    }

    /// When the next of them is due.
    pub fn asks_again(&self) -> Option<Instant> {
        self.iter().filter_map(|(_, held)| held.ask_again).min()
    }

    /// The committed offset may not be known. True if that is not told yet.
    pub fn committed_refused(&mut self, partition: &TopicPartition, epoch: Epoch, again: Instant) -> bool {
        let Some(held) = self.current(partition, epoch) else { return false };
        held.position = Position::Unset;
        held.ask_again = Some(again);
        !std::mem::replace(&mut held.reported, true)
    }

    /// The coordinator answered: start there, or where the policy says if nothing was committed. Returns true if that
    /// is nowhere.
    pub fn committed_is(
        &mut self,
        partition: &TopicPartition,
        epoch: Epoch,
        committed: Option<Committed>,
        policy: OffsetReset,
    ) -> bool {
        let Some(held) = self.current(partition, epoch).filter(|held| held.position == Position::Committed) else {
            return false;
        };
        held.position = match committed {
            Some(Committed { offset, leader_epoch }) => Position::At { offset, leader_epoch },
            None => Position::reset(policy),
        };
        held.fetch_offset = held.position.offset().unwrap_or(0);
        held.fetch_epoch = held.position.leader_epoch();
        held.proven = held.fetch_epoch;
        held.reported = false;
        held.position == Position::Unset
    }

    /// The error of a partition that has no position and gets none without a seek, unless the application knows it.
    pub fn unset(&mut self) -> Option<Error> {
        let (partition, held) = self.iter_mut().find(|(_, held)| held.position == Position::Unset && !held.reported)?;
        held.reported = true;
        Some(no_position(partition))
    }

    /// The leader answered where its log begins or ends. Returns the position that was lost before, if one was.
    pub fn end_is(
        &mut self,
        partition: &TopicPartition,
        epoch: Epoch,
        end: LogEnd,
        offset: i64,
        leader_epoch: i32,
    ) -> Option<i64> {
        let held = self.current(partition, epoch).filter(|held| held.position == Position::End(end))?;
        held.position = Position::At { offset, leader_epoch };
        held.fetch_offset = offset;
        held.fetch_epoch = leader_epoch;
        held.proven = leader_epoch;
        held.failures = 0;
        held.not_before = None;
        held.reported = false;
        held.lost_at.take()
    }

    /// Records up to `next` were handed over.
    pub fn advance(&mut self, partition: &TopicPartition, next: i64, epoch_of_batch: i32) {
        if let Some(held) = self.get_mut(partition)
            && let Position::At { offset, leader_epoch } = &mut held.position
            && next > *offset
        {
            *offset = next;
            *leader_epoch = epoch_of_batch;
        }
    }

    /// The position turned out to be outside the log. A new stay begins where the policy says.
    pub fn out_of_range(&mut self, partition: &TopicPartition, offset: i64, policy: OffsetReset) -> Result<(), Error> {
        match Position::reset(policy) {
            Position::Unset => Err(out_of_range(partition, offset)),
            position => {
                self.relocate(partition, position);
                if let Some(held) = self.get_mut(partition) {
                    held.lost_at = Some(offset);
                }
                Ok(())
            }
        }
    }

    /// What `commit` commits: the position of every partition that has one.
    pub fn positions(&self) -> Vec<(TopicPartition, Committed)> {
        let known = self.iter().filter_map(|(partition, held)| match held.position {
            Position::At { offset, leader_epoch } => Some((partition.clone(), Committed { offset, leader_epoch })),
            _ => None,
        });
        known.collect()
    }
}

/// The error of a partition without a position.
pub(super) fn no_position(partition: &TopicPartition) -> Error {
    let text = "no offset is committed here and auto.offset.reset is none: \
                seek, or set auto.offset.reset to earliest or latest";
    Error::new(ErrorKind::OffsetOutOfRange, text).with_partition(&*partition.topic, partition.partition)
}

fn out_of_range(partition: &TopicPartition, offset: i64) -> Error {
    let text = "this offset is not in the log (any more) and auto.offset.reset is none: \
                seek, or set auto.offset.reset to earliest or latest";
    Error::new(ErrorKind::OffsetOutOfRange, text)
        .with_partition(&*partition.topic, partition.partition)
        .with_offset(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(position: Position) -> (Assignment, TopicPartition, Epoch) {
        let partition = TopicPartition::new("t", 0);
        let mut assignment = Assignment::new(1 << 20);
        assignment.add(partition.clone(), position);
        let epoch = assignment.get(&partition).unwrap().epoch;
        (assignment, partition, epoch)
    }

    #[test]
    fn starts_at_the_committed_offset() {
        let (mut assignment, partition, epoch) = held(Position::Committed);
        assert_eq!(assignment.awaiting_committed(), [(partition.clone(), epoch)]);
        assert!(assignment.positions().is_empty(), "an unknown position is not committed");
        let committed = Committed { offset: 42, leader_epoch: 7 };
        assert!(!assignment.committed_is(&partition, epoch, Some(committed), OffsetReset::None));
        assert_eq!(assignment.get(&partition).unwrap().fetch_offset, 42);
        assert!(assignment.awaiting_committed().is_empty());
        assert_eq!(assignment.positions(), [(partition, committed)]);
    }

    #[test]
    fn the_policy_decides_where_nothing_is_committed() {
        for (policy, end) in [(OffsetReset::Earliest, LogEnd::Beginning), (OffsetReset::Latest, LogEnd::End)] {
            let (mut assignment, partition, epoch) = held(Position::Committed);
            assert!(!assignment.committed_is(&partition, epoch, None, policy));
            assert_eq!(assignment.get(&partition).unwrap().position, Position::End(end));
            assignment.end_is(&partition, epoch, end, 17, 3);
            assert_eq!(assignment.get(&partition).unwrap().position, Position::At { offset: 17, leader_epoch: 3 });
            assert_eq!(assignment.get(&partition).unwrap().fetch_offset, 17);
        }
        let (mut assignment, partition, epoch) = held(Position::Committed);
        assert!(assignment.committed_is(&partition, epoch, None, OffsetReset::None));
        let error = assignment.unset().unwrap();
        assert!(assignment.unset().is_none(), "told once");
        assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange);
        assert!(error.to_string().contains("auto.offset.reset"), "{error}");
        assert_eq!(assignment.get(&partition).unwrap().position, Position::Unset);
    }

    #[test]
    fn an_answer_that_comes_after_a_seek_is_ignored() {
        let (mut assignment, partition, epoch) = held(Position::Committed);
        let sought = Position::At { offset: 3, leader_epoch: -1 };
        assignment.relocate(&partition, sought);
        let late = Committed { offset: 42, leader_epoch: 7 };
        assert!(!assignment.committed_is(&partition, epoch, Some(late), OffsetReset::None));
        assignment.end_is(&partition, epoch, LogEnd::End, 99, 0);
        assert_eq!(assignment.get(&partition).unwrap().position, sought);
    }

    #[test]
    fn an_answer_about_the_other_end_is_ignored() {
        let (mut assignment, partition, epoch) = held(Position::End(LogEnd::End));
        assignment.end_is(&partition, epoch, LogEnd::Beginning, 0, 0);
        assert_eq!(assignment.get(&partition).unwrap().position, Position::End(LogEnd::End));
    }

    #[test]
    fn positions_only_move_forward_when_records_are_handed_over() {
        let (mut assignment, partition, _) = held(Position::At { offset: 10, leader_epoch: -1 });
        assignment.advance(&partition, 15, 2);
        assignment.advance(&partition, 12, 9);
        assert_eq!(assignment.get(&partition).unwrap().position, Position::At { offset: 15, leader_epoch: 2 });
    }

    #[test]
    fn out_of_range_resets_or_fails_as_the_policy_says() {
        let (mut assignment, partition, epoch) = held(Position::At { offset: 10, leader_epoch: -1 });
        let error = assignment.out_of_range(&partition, 10, OffsetReset::None).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::OffsetOutOfRange, Some(10)));
        assert_eq!(assignment.get(&partition).unwrap().position.offset(), Some(10));
        assignment.out_of_range(&partition, 10, OffsetReset::Latest).unwrap();
        assert_eq!(assignment.get(&partition).unwrap().position, Position::End(LogEnd::End));
        assert!(assignment.current(&partition, epoch).is_none());
    }
}
