//! Producer id, epochs and sequences (KIP-98, KIP-360). Nothing else in the client knows them.
//!
//! A broker accepts a batch once per producer id, epoch, partition and sequence, and only in order. So a batch keeps the
//! sequence of its first sending until its outcome is known. When a sequence cannot be used any more (a batch was
//! rejected, or failed with an unknown outcome) the partition goes on under a new epoch, from sequence 0. As in the Java
//! client, an idempotent producer raises its epoch by itself: nobody else uses its id. A new epoch is taken only once no
//! earlier batch of the partition may still be in the log undecided.

use std::sync::Mutex;

use crate::sync::lock;

/// Who the records are from, as the broker counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProducerId {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// What marks a batch of a producer that is not idempotent.
pub(super) const ANONYMOUS: Stamp = Stamp { producer: ProducerId { id: -1, epoch: -1 }, sequence: -1 };

/// What a batch is stamped with when it is first sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) producer: ProducerId,
    pub(super) sequence: i32,
}

/// The client's producer id and newest epoch, behind the lock it is named for.
#[derive(Debug, Default)]
pub(super) struct Identity {
    current: Mutex<Option<ProducerId>>,
}

impl Identity {
    /// The id, once a broker has given one.
    pub(super) fn current(&self) -> Option<ProducerId> {
        *lock(&self.current)
    }

    /// Takes the id that a broker gave, unless another connection was faster.
    pub(super) fn adopt(&self, given: ProducerId) {
        lock(&self.current).get_or_insert(given);
    }

    /// An epoch newer than `than`; None when a new producer id is needed first.
    fn newer(&self, than: ProducerId) -> Option<ProducerId> {
        let mut current = lock(&self.current);
        let newest = (*current)?;
        if newest.id == than.id && newest.epoch <= than.epoch {
            *current = than.epoch.checked_add(1).map(|epoch| ProducerId { epoch, ..than });
        }
        *current
    }

    /// The broker does not know this id any more: the next connection asks for another.
    pub(super) fn forget(&self, id: i64) {
        let mut current = lock(&self.current);
        if current.is_some_and(|producer| producer.id == id) {
            *current = None;
        }
    }
}

/// One partition's sequences. Guarded by the partition's lock.
#[derive(Debug, Default)]
pub(super) struct Sequences {
    producer: Option<ProducerId>,
    next: i32,
    /// The sequences given so far cannot be continued: take a new epoch before the next batch is stamped.
    broken: bool,
    /// The broker has acknowledged a batch of this producer id and epoch, so that from now on it insists on the order.
    established: bool,
}

impl Sequences {
    /// The stamp of a batch of `count` records that is sent for the first time; None when no producer id is there.
    pub(super) fn stamp(&mut self, identity: &Identity, count: i32) -> Option<Stamp> {
        let producer = match self.producer {
            Some(producer) if !self.broken => producer,
            Some(old) => self.start(identity.newer(old)?),
            None => self.start(identity.current()?),
        };
        let sequence = self.next;
        self.next = after(sequence, count);
        Some(Stamp { producer, sequence })
    }

    fn start(&mut self, producer: ProducerId) -> ProducerId {
        self.producer = Some(producer);
        self.next = 0;
        self.broken = false;
        self.established = false;
        producer
    }

    /// A batch left a hole, or may have: the next new stamp comes from a new epoch.
    pub(super) fn break_off(&mut self) {
        self.broken = self.producer.is_some();
    }

    /// A batch with this stamp was acknowledged.
    pub(super) fn acknowledged(&mut self, stamp: Stamp) {
        self.established |= self.producer == Some(stamp.producer);
    }

    /// Whether a batch may follow one that is in flight. A partition that knows nothing of a producer takes its first batch
    /// whatever the sequence (Kafka's `ProducerAppendInfo`): were the very first one refused and the second one, already
    /// under way, accepted, their order would be lost.
    pub(super) fn may_pipeline(&self) -> bool {
        self.established && !self.broken
    }

    /// Whether batches that were stamped but certainly not appended need a new stamp.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }
}

/// The sequence after `count` more records; sequences wrap at 2^31.
fn after(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(epoch: i16) -> Identity {
        let identity = Identity::default();
        identity.adopt(ProducerId { id: 7, epoch });
        identity
    }

    #[test]
    fn sequences_follow_each_other_and_wrap() {
        let identity = identity(0);
        let mut sequences = Sequences::default();
        assert_eq!(sequences.stamp(&identity, 10).unwrap().sequence, 0);
        assert_eq!(sequences.stamp(&identity, 5).unwrap().sequence, 10);
        assert_eq!(sequences.stamp(&identity, 1).unwrap().sequence, 15);
        assert_eq!(after(i32::MAX, 1), 0);
        assert_eq!(after(i32::MAX - 1, 3), 1);
    }

    #[test]
    fn the_first_batch_of_an_epoch_goes_alone() {
        let identity = identity(0);
        let mut sequences = Sequences::default();
        let first = sequences.stamp(&identity, 4).unwrap();
        assert!(!sequences.may_pipeline());
        sequences.acknowledged(first);
        assert!(sequences.may_pipeline());
        sequences.break_off();
        assert!(!sequences.may_pipeline());
        let second = sequences.stamp(&identity, 4).unwrap();
        sequences.acknowledged(first);
        assert!(!sequences.may_pipeline(), "an answer to the old epoch says nothing of the new one");
        sequences.acknowledged(second);
        assert!(sequences.may_pipeline());
    }

    #[test]
    fn a_broken_partition_takes_a_new_epoch_and_others_keep_theirs() {
        let identity = identity(3);
        let (mut one, mut other) = (Sequences::default(), Sequences::default());
        one.stamp(&identity, 4);
        other.stamp(&identity, 4);
        one.break_off();
        let stamp = one.stamp(&identity, 2).unwrap();
        assert_eq!(stamp, Stamp { producer: ProducerId { id: 7, epoch: 4 }, sequence: 0 });
        assert_eq!(other.stamp(&identity, 1).unwrap().producer.epoch, 3);
        other.break_off();
        assert_eq!(other.stamp(&identity, 1).unwrap().producer.epoch, 4, "the client's epoch is raised once for both");
    }

    #[test]
    fn after_the_last_epoch_a_new_id_is_needed() {
        let identity = identity(i16::MAX);
        let mut sequences = Sequences::default();
        sequences.stamp(&identity, 1);
        sequences.break_off();
        assert_eq!(sequences.stamp(&identity, 1), None);
        assert_eq!(identity.current(), None);
        identity.adopt(ProducerId { id: 8, epoch: 0 });
        assert_eq!(sequences.stamp(&identity, 1).unwrap().producer, ProducerId { id: 8, epoch: 0 });
    }

    #[test]
    fn a_forgotten_id_is_replaced() {
        let identity = identity(0);
        let mut sequences = Sequences::default();
        sequences.stamp(&identity, 1);
        identity.forget(7);
        identity.adopt(ProducerId { id: 9, epoch: 0 });
        sequences.break_off();
        assert_eq!(sequences.stamp(&identity, 1).unwrap().producer.id, 9);
    }
}
