//! Buffers that were handed out, for use again: of answers that were read and of batches that were decompressed.

use std::collections::VecDeque;
use std::sync::Arc;

/// The buffers handed out last, and how much they hold together. One is free when nothing else refers to it.
#[derive(Debug)]
pub(crate) struct Spares {
    kept: VecDeque<Arc<Vec<u8>>>,
    bytes: usize,
    most: usize,
    limit: usize,
}

impl Spares {
    /// Keeps up to `most` buffers of up to `limit` bytes together.
    pub fn new(most: usize, limit: usize) -> Self {
        Self { kept: VecDeque::new(), bytes: 0, most, limit }
    }

    /// The largest that is free, for what took much once will take much again; an empty one if none is. Nobody else has
    /// it, and it may hold anything.
    pub fn take(&mut self) -> Arc<Vec<u8>> {
        let free = (0..self.kept.len()).filter(|&at| Arc::strong_count(&self.kept[at]) == 1);
        let largest = free.max_by_key(|&at| self.kept[at].capacity());
        let Some(buffer) = largest.and_then(|at| self.kept.remove(at)) else { return Arc::default() };
        self.bytes -= buffer.capacity();
        buffer
    }

    /// Frees what is free and larger than this.
    pub fn release(&mut self, largest: usize) {
        let stays = |buffer: &Arc<Vec<u8>>| buffer.capacity() <= largest || Arc::strong_count(buffer) > 1;
        self.kept.retain(stays);
        self.bytes = self.kept.iter().map(|buffer| buffer.capacity()).sum();
    }

    /// Remembers a buffer. The oldest are let go beyond the limits: whoever still holds one frees it.
    pub fn keep(&mut self, buffer: Arc<Vec<u8>>) {
        self.bytes += buffer.capacity();
        self.kept.push_back(buffer);
        while self.bytes > self.limit || self.kept.len() > self.most {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.bytes -= oldest.capacity();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(size: usize) -> Arc<Vec<u8>> {
        Arc::new(vec![1; size])
    }

    #[test]
    fn a_buffer_is_given_out_again_once_its_holder_is_gone() {
        let mut spares = Spares::new(32, 1 << 20);
        let first = buffer(1000);
        spares.keep(Arc::clone(&first));
        assert_eq!(spares.take().capacity(), 0, "somebody still has it");
        let at = first.as_ptr();
        drop(first);
        let again = spares.take();
        assert_eq!(again.as_ptr(), at);
        assert_eq!(spares.take().capacity(), 0);
        assert_eq!(spares.bytes, 0);
    }

    #[test]
    fn the_largest_is_given_out_first() {
        let mut spares = Spares::new(32, 1 << 20);
        [500, 5000, 50].into_iter().for_each(|size| spares.keep(buffer(size)));
        assert_eq!([(); 3].map(|()| spares.take().capacity()), [5000, 500, 50]);
    }

    #[test]
    fn what_is_free_and_large_is_released_on_demand() {
        let mut spares = Spares::new(32, 1 << 20);
        let busy = buffer(5000);
        spares.keep(Arc::clone(&busy));
        spares.keep(buffer(5000));
        spares.keep(buffer(500));
        spares.release(1000);
        assert_eq!(spares.kept.len(), 2);
        assert!(spares.bytes >= 5500 && spares.bytes < 10_000);
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_in_number() {
        let mut spares = Spares::new(32, 10_000);
        (0..100).for_each(|_| spares.keep(buffer(1000)));
        assert!(spares.bytes <= 10_000 && spares.kept.len() >= 5);
        let mut spares = Spares::new(32, 1 << 30);
        (0..100).for_each(|_| spares.keep(buffer(1000)));
        assert_eq!(spares.kept.len(), 32);
        let mut none = Spares::new(32, 10);
        none.keep(buffer(1000));
        assert_eq!((none.kept.len(), none.bytes), (0, 0));
    }
}
