//! What a partition remembers of idempotent producers (KIP-98), and Kafka's rules for their sequences.
//!
//! The last five batches of each producer are remembered: a batch among them that comes again is acknowledged again and
//! not written. A producer that is not known may begin with any sequence, as in Kafka since 2.5.

use std::collections::{HashMap, VecDeque};

use crate::kafka::protocol::ErrorCode;
use crate::kafka::record::batch::Header;

/// Batches remembered of each producer, and so the most that may be in flight.
const REMEMBERED: usize = 5;

/// A producer that wrote nothing for so many milliseconds is forgotten (`producer.id.expiration.ms`).
const EXPIRATION: i64 = 86_400_000;

/// The producers of one partition, by producer id.
#[derive(Debug, Default)]
pub(super) struct Producers(HashMap<i64, Producer>);

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// Oldest first, never empty, at most [`REMEMBERED`].
    batches: VecDeque<Written>,
    last_at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    first: i32,
    last: i32,
    base_offset: i64,
    timestamp: i64,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Append,
    /// It is in the log already, from this offset on; `timestamp` is its latest.
    Duplicate {
        base_offset: i64,
        timestamp: i64,
    },
}

impl Producers {
    /// Judges a batch that a client sent. One without a producer is always appended.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH for a producer that was replaced, OUT_OF_ORDER_SEQUENCE_NUMBER for a gap or a repetition
    /// of something too old to be remembered.
    pub(super) fn check(&self, header: &Header) -> Result<Verdict, ErrorCode> {
        let Some(producer) = self.0.get(&header.producer_id).filter(|_| header.producer_id >= 0) else {
            return Ok(Verdict::Append);
        };
        let (first, last) = sequences(header);
        if header.producer_epoch < producer.epoch {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if header.producer_epoch > producer.epoch {
            return if first == 0 { Ok(Verdict::Append) } else { Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) };
        }
        if let Some(known) = producer.batches.iter().find(|known| (known.first, known.last) == (first, last)) {
            return Ok(Verdict::Duplicate { base_offset: known.base_offset, timestamp: known.timestamp });
        }
        let expected = producer.batches.back().map_or(0, |newest| following(newest.last, 1));
        if first == expected { Ok(Verdict::Append) } else { Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) }
    }

    /// Takes note of a batch that was appended at `base_offset`.
    pub(super) fn note(&mut self, header: &Header, base_offset: i64, now: i64) {
        if header.producer_id < 0 {
            return;
        }
        let (first, last) = sequences(header);
        let producer = self.0.entry(header.producer_id).or_insert_with(|| Producer {
            epoch: header.producer_epoch,
            batches: VecDeque::new(),
            last_at: now,
        });
        if producer.epoch != header.producer_epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        producer.last_at = now;
        if producer.batches.len() == REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Written { first, last, base_offset, timestamp: header.max_timestamp });
    }

    /// All of them, by id: epoch, last sequence, and when they last wrote.
    pub(super) fn list(&self) -> Vec<(i64, i16, i32, i64)> {
        let last = |producer: &Producer| producer.batches.back().map_or(-1, |batch| batch.last);
        let mut all: Vec<_> =
            self.0.iter().map(|(id, producer)| (*id, producer.epoch, last(producer), producer.last_at)).collect();
        all.sort_unstable();
        all
    }

    /// Forgets those who wrote nothing for a day.
    pub(super) fn expire(&mut self, now: i64) {
        self.0.retain(|_, producer| now - producer.last_at < EXPIRATION);
    }

    /// Forgets all of them.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

fn sequences(header: &Header) -> (i32, i32) {
    (header.base_sequence, following(header.base_sequence, header.last_offset_delta))
}

/// The sequence so many behind this one; after the largest comes 0.
fn following(sequence: i32, by: i32) -> i32 {
    ((i64::from(sequence) + i64::from(by)) % (i64::from(i32::MAX) + 1)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::record::compression::Compression;

    fn header(producer_epoch: i16, base_sequence: i32, count: i32) -> Header {
        Header {
            base_offset: 0,
            leader_epoch: -1,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: 7,
            producer_epoch,
            base_sequence,
            count,
            compression: Compression::None,
        }
    }

    fn written(batches: &[(i16, i32, i32)]) -> Producers {
        let mut producers = Producers::default();
        for (at, &(epoch, first, count)) in batches.iter().enumerate() {
            producers.note(&header(epoch, first, count), at as i64 * 100, 0);
        }
        producers
    }

    #[test]
    fn a_batch_follows_repeats_or_is_out_of_order() {
        let producers = written(&[(0, 0, 3), (0, 3, 2)]);
        assert_eq!(producers.check(&header(0, 5, 1)), Ok(Verdict::Append));
        assert_eq!(producers.check(&header(0, 0, 3)), Ok(Verdict::Duplicate { base_offset: 0, timestamp: 0 }));
        assert_eq!(producers.check(&header(0, 3, 2)), Ok(Verdict::Duplicate { base_offset: 100, timestamp: 0 }));
        for (first, count) in [(6, 1), (4, 1), (0, 2), (3, 3)] {
            assert_eq!(producers.check(&header(0, first, count)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        }
        assert_eq!(Producers::default().check(&header(3, 42, 1)), Ok(Verdict::Append));
    }

    #[test]
    fn only_five_batches_are_remembered() {
        let producers = written(&[(0, 0, 1), (0, 1, 1), (0, 2, 1), (0, 3, 1), (0, 4, 1), (0, 5, 1)]);
        assert_eq!(producers.check(&header(0, 0, 1)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(producers.check(&header(0, 1, 1)), Ok(Verdict::Duplicate { base_offset: 100, timestamp: 0 }));
    }

    #[test]
    fn a_new_epoch_begins_at_zero_and_ends_the_old_one() {
        let mut producers = written(&[(0, 0, 3)]);
        assert_eq!(producers.check(&header(1, 3, 1)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(producers.check(&header(1, 0, 1)), Ok(Verdict::Append));
        producers.note(&header(1, 0, 1), 300, 0);
        assert_eq!(producers.check(&header(0, 3, 1)), Err(ErrorCode::INVALID_PRODUCER_EPOCH));
        producers.expire(EXPIRATION - 1);
        assert!(producers.check(&header(0, 3, 1)).is_err());
        producers.expire(EXPIRATION);
        assert_eq!(producers.check(&header(0, 3, 1)), Ok(Verdict::Append));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let producers = written(&[(0, i32::MAX - 1, 3)]);
        assert_eq!(producers.check(&header(0, 1, 1)), Ok(Verdict::Append));
        assert_eq!(
            producers.check(&header(0, i32::MAX - 1, 3)),
            Ok(Verdict::Duplicate { base_offset: 0, timestamp: 0 })
        );
    }
}
