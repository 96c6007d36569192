//! Buffers of decompressed batches that were handed over and let go, for the next ones.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::kafka::record::batch::Batch;

/// So many are kept at most. Looking for a free one stays cheap, and what is small is quickly made.
const MOST: usize = 32;

/// The buffers handed out last, and how much they hold together. One is free when nothing else refers to it.
#[derive(Debug)]
pub(super) struct Spares {
    kept: VecDeque<Arc<Vec<u8>>>,
    bytes: usize,
    limit: usize,
}

impl Spares {
    /// Keeps up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { kept: VecDeque::new(), bytes: 0, limit }
    }

    /// A free buffer, or an empty one.
    pub fn take(&mut self) -> Vec<u8> {
        let free = self.kept.iter().position(|buffer| Arc::strong_count(buffer) == 1);
        let Some(buffer) = free.and_then(|at| self.kept.remove(at)) else { return Vec::new() };
        self.bytes -= buffer.capacity();
        Arc::try_unwrap(buffer).unwrap_or_default()
    }

    /// Frees what is free and larger than this.
    pub fn release(&mut self, largest: usize) {
        let stays = |buffer: &Arc<Vec<u8>>| buffer.capacity() <= largest || Arc::strong_count(buffer) > 1;
        self.kept.retain(stays);
        self.bytes = self.kept.iter().map(|buffer| buffer.capacity()).sum();
    }

    /// Remembers the buffer of a batch that was decompressed. The oldest are let go beyond the limits.
    pub fn keep(&mut self, batch: &Batch) {
        let buffer = batch.buffer();
        self.bytes += buffer.capacity();
        self.kept.push_back(buffer);
        while self.bytes > self.limit || self.kept.len() > MOST {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.bytes -= oldest.capacity();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::record::batch::batches;
    use crate::kafka::record::builder::BatchBuilder;
    use crate::kafka::record::compression::Compression;

    fn batch(size: usize) -> Batch {
        let mut builder = BatchBuilder::new(Vec::with_capacity(size));
        builder.append(None, Some(&vec![1; size - 100]), &[], 0).unwrap();
        batches(&builder.close(Compression::None).unwrap().into()).next().unwrap().unwrap()
    }

    #[test]
    fn a_buffer_is_given_out_again_once_its_batch_is_gone() {
        let mut spares = Spares::new(1 << 20);
        let first = batch(1000);
        spares.keep(&first);
        assert_eq!(spares.take().capacity(), 0, "the batch is still there");
        let at = first.buffer().as_ptr();
        drop(first);
        let again = spares.take();
        assert_eq!(again.as_ptr(), at);
        assert_eq!(spares.take().capacity(), 0);
        assert_eq!(spares.bytes, 0);
    }

    #[test]
    fn what_is_free_and_large_is_released_on_demand() {
        let mut spares = Spares::new(1 << 20);
        let busy = batch(5000);
        spares.keep(&busy);
        spares.keep(&batch(5000));
        spares.keep(&batch(500));
        spares.release(1000);
        assert_eq!(spares.kept.len(), 2);
        assert!(spares.bytes >= 5500 && spares.bytes < 10_000);
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_in_number() {
        let mut spares = Spares::new(10_000);
        (0..100).for_each(|_| spares.keep(&batch(1000)));
        assert!(spares.bytes <= 10_000 && spares.kept.len() >= 5);
        let mut spares = Spares::new(1 << 30);
        (0..100).for_each(|_| spares.keep(&batch(1000)));
        assert_eq!(spares.kept.len(), MOST);
        spares.keep(&batch(1 << 20));
        let mut none = Spares::new(10);
        none.keep(&batch(1000));
        assert_eq!((none.kept.len(), none.bytes), (0, 0));
    }
}
