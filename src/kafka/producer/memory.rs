//! `buffer.memory`: the one account of everything a producer holds, and the pool that saves allocations.
//!
//! Bytes are counted from the moment a buffer is made until it is freed, whether it is being filled, in flight or pooled.
//! When nothing is left, pooled buffers are freed first; then `send` waits, and the senders are asked for partly filled
//! batches, whose buffers come back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::clock::Deadline;
use crate::sync::lock;

/// A batch's buffer starts with this and grows as it fills.
const FIRST: usize = 4 << 10;

/// A spare buffer of four times this is not too large for any batch.
const SMALL_SPARE: usize = 16 << 10;

/// The account and the pool.
pub(super) struct Memory {
    total: usize,
    account: Mutex<Account>,
    freed: Condvar,
    /// Whether someone waits for memory: the senders then send whatever there is.
    short: AtomicBool,
}

struct Account {
    /// Bytes not given out. Below zero for as long as a batch that was split or compressed holds more than its own.
    free: isize,
    /// A buffer can come back while the request that carried it is still being dropped; it is free when unshared.
    pool: Vec<Arc<Vec<u8>>>,
    /// To compress the next batch into.
    spare: Option<Vec<u8>>,
    waiting: usize,
    closed: bool,
}

impl Memory {
    /// An account of this many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let free = isize::try_from(bytes).unwrap_or(isize::MAX);
        let account = Account { free, pool: Vec::new(), spare: None, waiting: 0, closed: false };
        Self { total: bytes, account: Mutex::new(account), freed: Condvar::new(), short: AtomicBool::new(false) }
    }

    /// All that there is.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// A buffer with room for `needed` bytes at least, or None when memory is short.
    pub(super) fn take(&self, needed: usize) -> Option<Vec<u8>> {
        let mut account = lock(&self.account);
        // The last one back is the warmest in the processor's cache.
        let fits = |buffer: &Arc<Vec<u8>>| buffer.capacity() >= needed && Arc::strong_count(buffer) == 1;
        if let Some(at) = account.pool.iter().rposition(fits)
            && let Ok(buffer) = Arc::try_unwrap(account.pool.swap_remove(at))
        {
            return Some(buffer);
        }
        let size = [needed.max(FIRST), needed].into_iter().find(|&size| account.claim(size))?;
        drop(account);
        let mut buffer = Vec::new();
        buffer.reserve_exact(size);
        Some(buffer)
    }

    /// A buffer of at least `needed` bytes to compress a batch into. When memory is short there is one all the same, so
    /// that batches can leave; the batch's own comes back for it by [`give_spare`](Self::give_spare).
    pub(super) fn take_spare(&self, needed: usize) -> Vec<u8> {
        let mut account = lock(&self.account);
        if let Some(spare) = account.spare.take() {
            // A batch in flight holds what it is given: no large buffer for a small one.
            if (needed..=needed.max(SMALL_SPARE) * 4).contains(&spare.capacity()) {
                return spare;
            }
            account.free += spare.capacity().cast_signed();
        }
        account.free -= needed.cast_signed();
        drop(account);
        let mut buffer = Vec::new();
        buffer.reserve_exact(needed);
        buffer
    }

    /// Takes back the buffer that was not needed after compressing. It is the next spare one.
    pub(super) fn give_spare(&self, buffer: Vec<u8>) {
        let mut account = lock(&self.account);
        if account.spare.is_none() && account.waiting == 0 {
            account.spare = Some(buffer);
        } else {
            drop(account);
            self.give_back(Arc::new(buffer));
        }
    }

    /// How large a buffer of `capacity` bytes may become to hold `needed`: doubled, up to `limit` unless more is needed.
    /// None when memory is short.
    pub(super) fn grow(&self, capacity: usize, needed: usize, limit: usize) -> Option<usize> {
        let wanted = (capacity * 2).min(limit).max(needed);
        let mut account = lock(&self.account);
        // While it moves, the old and the new allocation exist side by side, but only for the time of a copy.
        [wanted, needed].into_iter().find(|size| account.claim(size - capacity))
    }

    /// Takes a buffer back.
    pub(super) fn give_back(&self, buffer: Arc<Vec<u8>>) {
        let mut account = lock(&self.account);
        if account.free < 0 {
            // More was given out than there is.
            account.free += buffer.capacity().cast_signed();
        } else {
            account.pool.push(buffer);
        }
        if account.waiting > 0 {
            drop(account);
            self.freed.notify_all();
        }
    }

    /// Counts a buffer that was made without asking.
    pub(super) fn charge(&self, capacity: usize) {
        lock(&self.account).free -= capacity.cast_signed();
    }

    /// Waits until `needed` bytes could be taken; false when the deadline passed or the producer closed first.
    /// `urge` is called once the need is known to the senders.
    pub(super) fn wait(&self, needed: usize, deadline: Deadline, urge: impl FnOnce()) -> bool {
        lock(&self.account).waiting += 1;
        self.short.store(true, Ordering::SeqCst);
        urge();
        let mut account = lock(&self.account);
        let enough = loop {
            if account.closed {
                break false;
            }
            if account.available() >= needed.cast_signed() {
                break true;
            }
            let left = deadline.left(Instant::now());
            if left.is_zero() {
                break false;
            }
            account = self.freed.wait_timeout(account, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        account.waiting -= 1;
        if account.waiting == 0 {
            self.short.store(false, Ordering::SeqCst);
        }
        enough
    }

    /// Whether someone waits for memory.
    pub(super) fn is_short(&self) -> bool {
        self.short.load(Ordering::SeqCst)
    }

    /// Ends every wait.
    pub(super) fn close(&self) {
        lock(&self.account).closed = true;
        self.freed.notify_all();
    }
}

impl Account {
    /// What could be given out.
    fn available(&self) -> isize {
        let idle = self.pool.iter().map(|buffer| buffer.capacity()).sum::<usize>()
            + self.spare.as_ref().map_or(0, |spare| spare.capacity());
        self.free + idle.cast_signed()
    }

    /// Takes bytes out of the account, freeing pooled buffers for it where that helps.
    fn claim(&mut self, bytes: usize) -> bool {
        let bytes = bytes.cast_signed();
        while self.free < bytes {
            let idle = match self.pool.pop() {
                Some(buffer) => buffer.capacity(),
                None => match self.spare.take() {
                    Some(spare) => spare.capacity(),
                    None => return false,
                },
            };
            self.free += idle.cast_signed();
        }
        self.free -= bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_buffer_that_came_back_is_used_again() {
        let memory = Memory::new(1 << 20);
        let mut buffer = memory.take(100).unwrap();
        buffer.reserve_exact(memory.grow(buffer.capacity(), 300_000, 1_000_000).unwrap());
        let (at, capacity) = (buffer.as_ptr(), buffer.capacity());
        memory.give_back(Arc::new(buffer));
        let again = memory.take(50_000).unwrap();
        assert_eq!((again.as_ptr(), again.capacity()), (at, capacity));
    }

    #[test]
    fn pooled_buffers_are_freed_before_memory_counts_as_short() {
        let memory = Memory::new(10_000);
        let small = memory.take(4_000).unwrap();
        assert!(memory.take(8_000).is_none());
        memory.give_back(Arc::new(small));
        assert!(memory.take(8_000).is_some());
        assert!(memory.take(8_000).is_none());
    }

    #[test]
    fn compressing_takes_one_buffer_more_however_short_memory_is() {
        let memory = Memory::new(30_000);
        let batches: Vec<_> = (0..3).map(|_| memory.take(10_000).unwrap()).collect();
        assert!(memory.take(1).is_none());
        for batch in batches {
            let packed = memory.take_spare(10_000);
            memory.give_spare(batch);
            memory.give_back(Arc::new(packed));
        }
        assert_eq!(lock(&memory.account).pool.len(), 2, "the first that came back paid for the spare one");
        assert!(lock(&memory.account).spare.is_some());
        assert_eq!(lock(&memory.account).free, 0);
        let larger = memory.take_spare(20_000);
        assert!(larger.capacity() >= 20_000 && lock(&memory.account).spare.is_none());
    }

    /// The spare buffer took all of a small `buffer.memory`, and nobody could take it back.
    #[test]
    fn the_spare_buffer_gives_way_to_records() {
        let memory = Memory::new(10_000);
        let batch = memory.take(10_000).unwrap();
        let packed = memory.take_spare(9_000);
        memory.give_spare(batch);
        memory.give_back(Arc::new(packed));
        let deadline = Deadline::after("max.block.ms", Duration::from_millis(1));
        assert!(memory.wait(10_000, deadline, || {}));
        assert_eq!(memory.take(10_000).unwrap().capacity(), 10_000);
        assert!(lock(&memory.account).spare.is_none());
    }

    #[test]
    fn a_small_batch_does_not_take_a_large_spare_buffer() {
        let memory = Memory::new(10 << 20);
        let large = memory.take(1 << 20).unwrap();
        memory.give_spare(large);
        assert!(memory.take_spare(500).capacity() < 1 << 20);
        let account = lock(&memory.account);
        assert_eq!((account.spare.is_none(), account.free), (true, (10 << 20) - 500));
    }

    #[test]
    fn growing_stops_at_the_limit_and_at_the_end_of_memory() {
        let memory = Memory::new(99_999);
        assert_eq!(memory.take(1).unwrap().capacity(), FIRST);
        assert_eq!(memory.grow(FIRST, FIRST + 1, 6_000), Some(6_000));
        assert_eq!(memory.grow(6_000, 90_000, 6_000), Some(90_000), "a record larger than a batch gets what it needs");
        assert_eq!(
            memory.grow(90_000, 99_999, 100_000),
            Some(99_999),
            "if doubling is too much, what is needed will do"
        );
        assert_eq!(memory.grow(99_999, 200_000, 6_000), None);
    }

    #[test]
    fn waiting_ends_with_memory_with_the_deadline_and_with_the_close() {
        let memory = Memory::new(8_000);
        let buffer = memory.take(8_000).unwrap();
        let deadline = |ms| Deadline::after("max.block.ms", Duration::from_millis(ms));
        assert!(!memory.wait(8_000, deadline(1), || {}));
        assert!(!memory.is_short());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| memory.wait(8_000, deadline(60_000), || memory.give_back(Arc::new(buffer))));
            assert!(waiter.join().unwrap());
        });
        memory.close();
        assert!(!memory.wait(100_000, deadline(60_000), || {}));
    }
}
