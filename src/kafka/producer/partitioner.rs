//! Which partition a record goes to: Java's hash for records with a key, [`Sticky`] for those without.
//!
//! Pure decisions: the time and what is known of the partitions come as arguments.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// How much later than it read the clock a thread may come to ask, in milliseconds.
const CLOCK_SKEW_MS: u32 = 1000;

/// The partition of a key among `partitions`, at least one: the same as every Java client chooses.
pub(crate) fn partition_for_key(key: &[u8], partitions: i32) -> i32 {
    to_positive(murmur2(key)) % partitions.max(1)
}

/// Java's `Utils.toPositive`: drops the sign, which is not the absolute value.
pub(crate) fn to_positive(number: i32) -> i32 {
    number & i32::MAX
}

/// 32-bit MurmurHash2 with Kafka's seed.
pub(crate) fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let (words, tail) = data.as_chunks::<4>();
    let mut hash = SEED ^ data.len() as u32;
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, &byte| rest << 8 | u32::from(byte));
        hash = (hash ^ rest).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ hash >> 15) as i32
}

/// Chooses partitions for the records of one topic that have no key.
///
/// They stay with a partition, so that its batch fills, until that batch is closed or for
/// `sticky.partitioning.linger.ms`. Then they move
/// on to the next usable partition; the first is random, so that many producers do not walk in step. One atomic word,
/// shared by all threads: while nothing changes, choosing is one load.
#[derive(Debug)]
pub(crate) struct Sticky {
    /// A [`State`], packed.
    state: AtomicU64,
    /// How long records stay with a partition whose batch nobody closes, in milliseconds.
    hold_ms: u32,
}

/// The partition in use, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    partition: i32,
    /// Its batch was closed: the next record moves on.
    closed: bool,
    /// The low half of a time in milliseconds; wraps around every 49 days.
    until: u32,
}

impl Sticky {
    /// Starts at a random partition.
    pub fn new(hold_ms: u32) -> Self {
        // RandomState is seeded by the system.
        Self::starting_after((RandomState::new().build_hasher().finish() as u32 as i32) & i32::MAX, hold_ms)
    }

    /// Chooses as if the batch of this partition, which need not exist, had just been closed.
    fn starting_after(partition: i32, hold_ms: u32) -> Self {
        Self { state: AtomicU64::new(State { partition, closed: true, until: 0 }.pack()), hold_ms }
    }

    /// The partition for the next record, out of `partitions`, at least one.
    ///
    /// `usable` says whether a partition has a leader that can be reached; it is asked only when a new one is chosen.
    /// If none is usable, the choice is made among all. `now_ms` counts from any moment, but for all calls the same.
    #[inline]
    pub fn choose(&self, now_ms: u64, partitions: i32, usable: impl Fn(i32) -> bool) -> i32 {
        let packed = self.state.load(Ordering::Relaxed);
        let state = State::unpack(packed);
        if state.holds(now_ms, partitions, self.hold_ms) {
            state.partition
        } else {
            self.move_on(packed, now_ms, partitions, &usable)
        }
    }

    /// A batch of this partition was closed, because it was full or is to be sent.
    pub fn batch_closed(&self, partition: i32) {
        let packed = self.state.load(Ordering::Relaxed);
        let state = State::unpack(packed);
        if state.partition == partition && !state.closed {
            // If it fails, another thread has moved on or closed it.
            let closed = State { closed: true, ..state }.pack();
            let _ = self.state.compare_exchange(packed, closed, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    #[cold]
    fn move_on(&self, mut packed: u64, now_ms: u64, partitions: i32, usable: &dyn Fn(i32) -> bool) -> i32 {
        loop {
            let partition = next_partition(State::unpack(packed).partition, partitions.max(1), usable);
            let until = (now_ms as u32).wrapping_add(self.hold_ms);
            let next = State { partition, closed: false, until };
            match self.state.compare_exchange(packed, next.pack(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return partition,
                Err(other) if State::unpack(other).holds(now_ms, partitions, self.hold_ms) => {
                    return State::unpack(other).partition;
                }
                Err(other) => packed = other,
            }
        }
    }
}

impl State {
    const CLOSED: u64 = 1 << 31;

    fn pack(self) -> u64 {
        let closed = if self.closed { Self::CLOSED } else { 0 };
        u64::from(self.until) << 32 | closed | self.partition as u64
    }

    #[inline]
    fn unpack(packed: u64) -> Self {
        let partition = (packed & (Self::CLOSED - 1)) as i32;
        Self { partition, closed: packed & Self::CLOSED != 0, until: (packed >> 32) as u32 }
    }

    /// Whether it is still to be used. Threads may read the clock in another order than they come here, so what is
    /// left may seem a little more than was given; if it seems far more, the time has wrapped around since.
    #[inline]
    fn holds(self, now_ms: u64, partitions: i32, hold_ms: u32) -> bool {
        let left = self.until.wrapping_sub(now_ms as u32);
        !self.closed && self.partition < partitions && (1..=hold_ms.saturating_add(CLOCK_SKEW_MS)).contains(&left)
    }
}

/// The next usable partition after `previous`, round and round; `previous` itself only if there is no other.
fn next_partition(previous: i32, partitions: i32, usable: &dyn Fn(i32) -> bool) -> i32 {
    let start = previous % partitions;
    let after = |step: i32| ((i64::from(start) + i64::from(step)) % i64::from(partitions)) as i32;
    (1..=partitions).map(after).find(|&partition| usable(partition)).unwrap_or_else(|| after(1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// From `org.apache.kafka.common.utils.Utils.murmur2` of the Java client 4.3.1, and the partition of 50.
    const JAVA: &[(&[u8], i32, i32)] = &[
        (b"", 275646681, 31),
        (b"a", -1563381124, 24),
        (b"ab", 316155434, 34),
        (b"abc", 479470107, 7),
        (b"abcd", -1323649548, 0),
        (b"abcde", 461995741, 41),
        (b"abcdef", 1870650108, 8),
        (b"abcdefg", -346467175, 23),
        (b"abcdefgh", -955427363, 35),
        (b"21", -973932308, 40),
        (b"foobar", -790332482, 16),
        (b"a-little-bit-long-string", -985981536, 12),
        (b"a-little-bit-longer-string", -1486304829, 19),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971, 27),
        ("grüße".as_bytes(), 1943707148, 48),
        ("мир".as_bytes(), -1307906802, 46),
        ("日本語".as_bytes(), 1431860170, 20),
        ("🦀".as_bytes(), 1309741855, 5),
        (b"kafka", -798503068, 30),
        (b"0123456789abcdef", 1438427052, 2),
        (&[0], 375494588, 38),
        (&[0xff], -311467685, 13),
        (&[0x80, 0xfe], 1316928818, 18),
        (&[0xff, 0xff, 0xff], 1548199422, 22),
        (&[0, 0, 0, 0], 850957120, 20),
        (&[0xff, 0xff, 0xff, 0xff, 0x80], -1702406959, 39),
    ];

    #[test]
    fn keys_go_where_the_java_client_sends_them() {
        for &(key, hash, partition) in JAVA {
            assert_eq!(murmur2(key), hash, "{key:?}");
            assert_eq!(partition_for_key(key, 50), partition, "{key:?}");
        }
        assert_eq!(to_positive(i32::MIN), 0);
        assert_eq!(to_positive(-1), i32::MAX);
    }

    #[test]
    fn records_stay_until_the_batch_closes() {
        let sticky = Sticky::starting_after(2, 10);
        assert_eq!(sticky.choose(1000, 3, |_| true), 0);
        assert_eq!(sticky.choose(1009, 3, |_| panic!("only asked when moving on")), 0);
        sticky.batch_closed(1);
        assert_eq!(sticky.choose(1009, 3, |_| true), 0, "another partition's batch");
        sticky.batch_closed(0);
        assert_eq!(sticky.choose(1009, 3, |_| true), 1);
        assert_eq!(sticky.choose(1010, 3, |_| true), 1, "its ten milliseconds are its own");
    }

    #[test]
    fn records_move_on_after_ten_milliseconds() {
        let sticky = Sticky::starting_after(0, 10);
        assert_eq!(sticky.choose(0, 3, |_| true), 1);
        assert_eq!(sticky.choose(9, 3, |_| true), 1);
        assert_eq!(sticky.choose(10, 3, |_| true), 2);
        assert_eq!(sticky.choose(10_000, 3, |_| true), 0);
    }

    #[test]
    fn a_thread_that_comes_late_with_an_older_time_moves_nothing() {
        let sticky = Sticky::starting_after(0, 10);
        assert_eq!(sticky.choose(500, 3, |_| true), 1);
        assert_eq!(sticky.choose(497, 3, |_| true), 1);
        assert_eq!(sticky.choose(509, 3, |_| true), 1);
    }

    #[test]
    fn time_may_wrap_around_its_low_half() {
        let wrap = 1 << 32;
        let sticky = Sticky::starting_after(0, 10);
        assert_eq!(sticky.choose(wrap - 5, 3, |_| true), 1);
        assert_eq!(sticky.choose(wrap + 4, 3, |_| true), 1);
        assert_eq!(sticky.choose(wrap + 5, 3, |_| true), 2);
        assert_eq!(sticky.choose(wrap + wrap / 2, 3, |_| true), 0, "idle for 25 days");
    }

    #[test]
    fn partitions_without_a_leader_are_passed_over_and_the_others_share_alike() {
        let sticky = Sticky::starting_after(0, 10);
        let mut times = [0; 4];
        for round in 0..30 {
            times[sticky.choose(round * 100, 4, |partition| partition != 2) as usize] += 1;
        }
        assert_eq!(times, [10, 10, 0, 10]);
    }

    #[test]
    fn with_one_usable_partition_or_none_it_still_chooses() {
        let sticky = Sticky::starting_after(0, 10);
        assert_eq!(sticky.choose(0, 3, |partition| partition == 0), 0);
        assert_eq!(sticky.choose(100, 3, |partition| partition == 0), 0);
        let chosen: BTreeSet<_> = (2..10).map(|round| sticky.choose(round * 100, 3, |_| false)).collect();
        assert_eq!(chosen, BTreeSet::from([0, 1, 2]));
        assert_eq!(Sticky::new(10).choose(0, 1, |_| true), 0);
        assert_eq!(sticky.choose(2000, 0, |_| true), 0, "no partitions at all");
    }

    #[test]
    fn fewer_partitions_than_before_end_a_choice() {
        let sticky = Sticky::starting_after(4, 10);
        assert_eq!(sticky.choose(0, 7, |_| true), 5);
        assert_eq!(sticky.choose(1, 5, |_| true), 1);
    }

    #[test]
    fn the_first_partition_is_random() {
        let first: BTreeSet<_> = (0..200).map(|_| Sticky::new(10).choose(0, 3, |_| true)).collect();
        assert_eq!(first, BTreeSet::from([0, 1, 2]));
    }

    #[test]
    fn threads_agree_on_one_partition_at_a_time() {
        let sticky = Sticky::starting_after(0, 10);
        for round in 0..50 {
            let chosen: BTreeSet<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| sticky.choose(round * 100, 8, |_| true))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(chosen, BTreeSet::from([((round + 1) % 8) as i32]));
        }
    }
}
