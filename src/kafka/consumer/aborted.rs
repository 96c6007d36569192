//! Which batches of an answer belong to aborted transactions (KIP-98).
//!
//! With `isolation.level=read_committed` an answer names the aborted transactions that it contains records of, by
//! producer and first offset. From there on what this producer wrote as part of a transaction is dropped, until its
//! marker says that the transaction has ended. An answer is complete in itself: nothing is kept from one to the next.

use std::collections::BTreeSet;

use crate::kafka::protocol::messages::AbortedTransaction;
use crate::kafka::record::batch::Batch;

#[derive(Debug, Default)]
pub(super) struct Aborted {
    /// Those that have not begun yet, the next one last.
    ahead: Vec<AbortedTransaction>,
    /// The producers whose present transaction is aborted.
    within: BTreeSet<i64>,
}

impl Aborted {
    pub fn new(mut transactions: Vec<AbortedTransaction>) -> Self {
        transactions.sort_unstable_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        Self { ahead: transactions, within: BTreeSet::new() }
    }

    /// Goes on to this batch, which must be the next one. Returns whether its records are to be dropped.
    pub fn pass(&mut self, batch: &Batch) -> bool {
        while let Some(begun) = self.ahead.pop_if(|next| next.first_offset <= batch.last_offset()) {
            self.within.insert(begun.producer_id);
        }
        if self.within.is_empty() {
            return false;
        }
        let producer = batch.header().producer_id;
        if batch.is_abort_marker() {
            self.within.remove(&producer);
        }
        batch.is_transactional() && self.within.contains(&producer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::record::batch::{batches, put};
    use crate::kafka::record::builder::{BatchBuilder, stamp};
    use crate::kafka::record::compression::Compression;

    const TRANSACTIONAL: u16 = 0x10;
    const CONTROL: u16 = 0x20;

    fn batch(base: i64, producer: i64, attributes: u16, key: &[u8]) -> Batch {
        let mut builder = BatchBuilder::new(Vec::new());
        builder.append(Some(key), Some(b"v"), &[], 0).unwrap();
        let mut bytes = builder.close(Compression::None).unwrap();
        put(&mut bytes, 0, base.to_be_bytes());
        put(&mut bytes, 21, attributes.to_be_bytes());
        stamp(&mut bytes, producer, 0, 0);
        batches(&bytes.into()).next().unwrap().unwrap()
    }

    fn data(base: i64, producer: i64) -> Batch {
        batch(base, producer, TRANSACTIONAL, b"k")
    }

    fn marker(base: i64, producer: i64, kind: u8) -> Batch {
        batch(base, producer, TRANSACTIONAL | CONTROL, &[0, 0, 0, kind])
    }

    fn aborted(transactions: &[(i64, i64)]) -> Aborted {
        let transactions =
            transactions.iter().map(|&(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset });
        Aborted::new(transactions.collect())
    }

    /// The base offsets of those that are kept; markers aside.
    fn kept(mut aborted: Aborted, batches: &[Batch]) -> Vec<i64> {
        batches.iter().filter(|batch| !aborted.pass(batch) && !batch.is_control()).map(Batch::base_offset).collect()
    }

    #[test]
    fn an_aborted_transaction_lasts_from_its_first_offset_to_its_marker() {
        let log = [
            data(0, 1),
            marker(1, 1, 1),
            data(2, 1),
            data(3, 2),
            batch(4, 1, 0, b"k"),
            data(5, 1),
            marker(6, 1, 0),
            data(7, 1),
            marker(8, 2, 1),
        ];
        assert_eq!(kept(aborted(&[(1, 2)]), &log), [0, 3, 4, 7], "what is not part of a transaction is kept");
        assert_eq!(kept(aborted(&[]), &log), [0, 2, 3, 4, 5, 7]);
        assert_eq!(kept(aborted(&[(2, 3), (1, 2)]), &log), [0, 4, 7], "their order does not matter");
        assert_eq!(kept(aborted(&[(1, 2), (1, 7)]), &log), [0, 3, 4], "a producer may abort twice");
        assert_eq!(kept(aborted(&[(9, 0), (-1, -5), (1, i64::MAX)]), &log), [0, 2, 3, 4, 5, 7]);
    }

    #[test]
    fn a_commit_marker_and_a_marker_of_another_producer_end_nothing() {
        let log = [data(0, 1), marker(1, 2, 0), data(2, 1), marker(3, 1, 1), data(4, 1)];
        assert!(kept(aborted(&[(1, 0)]), &log).is_empty());
    }

    #[test]
    fn keys_that_are_no_marker_are_not_taken_for_one() {
        for key in [&b""[..], &[0, 0, 0], &[0, 0, 0, 2], &[0, 1, 0, 1]] {
            assert!(!batch(0, 1, CONTROL, key).is_abort_marker(), "{key:?}");
        }
        assert!(!data(0, 1).is_abort_marker() && !batch(0, 1, 0, &[0, 0, 0, 0]).is_abort_marker());
        assert!(batch(0, 1, CONTROL, &[0, 1, 0, 0, 9]).is_abort_marker(), "later versions may have more fields");
    }
}
