//! What arrived of what was sent: received, lost, duplicate and out of order, per producer.
//!
//! Messages carry a sequence per (producer, run, partition). A number that was skipped counts as lost until it shows up
//! after all; a number seen before is a duplicate; one that comes after a higher one is out of order. The first number
//! seen is where the account of a sequence starts: what came before was somebody else's to receive. The ledger knows
//! no clock and no socket, and its memory is bounded whatever arrives.

use std::collections::HashMap;

use uuid::Uuid;

use super::message::Marks;

/// Producers told apart; beyond, the one silent for the longest is folded into [`Ledger::others`].
const MAX_PRODUCERS: usize = 256;

/// Sequences followed at once; beyond, the one silent for the longest is forgotten (its counts stay).
const MAX_SEQUENCES: usize = 4096;

/// Separate gaps remembered per sequence. Beyond, the oldest stays counted as lost for good.
const MAX_GAPS: usize = 64;

/// The counts of one producer, or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that arrived, duplicates included.
    pub received: u64,
    /// Numbers skipped and not seen since.
    pub lost: u64,
    /// Messages seen before.
    pub duplicates: u64,
    /// Messages that arrived after a later one, for the first time.
    pub out_of_order: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.lost = self.lost.saturating_add(other.lost);
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
    }
}

/// The account of one topic's messages in one receiver.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Never more than [`MAX_PRODUCERS`].
    producers: HashMap<String, Producer>,
    /// Never more than [`MAX_SEQUENCES`].
    sequences: HashMap<(u64, Uuid, i32), Sequence>,
    partitions: HashMap<i32, Partition>,
    unmarked: u64,
    others: Counts,
    next_producer: u64,
    /// Counts messages: the ledger's only notion of time.
    tick: u64,
}

#[derive(Debug, Default)]
struct Producer {
    id: u64,
    counts: Counts,
    last_tick: u64,
}

#[derive(Debug)]
struct Partition {
    next_offset: i64,
    /// Which stay of the partition with this receiver it is; sequences of an earlier one that cannot be continued are
    /// started afresh.
    era: u64,
    /// It was just assigned: whether it continues where it was left shows with its next message.
    reassigned: bool,
}

#[derive(Debug)]
struct Sequence {
    era: u64,
    last_tick: u64,
    /// The highest number seen, plus one; numbers are below 2^63, see [`Marks`].
    next: u64,
    /// Where the account starts: what is missing below is not counted as lost.
    start: u64,
    /// Numbers not seen, as half-open ranges, ascending, apart from each other; never more than [`MAX_GAPS`].
    missing: Vec<(u64, u64)>,
    /// Below this it is not known any more what was seen.
    forgotten: u64,
}

/// What a number turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The next one, or with so many skipped before it.
    New { skipped: u64 },
    /// A missing one after all; `was_lost` if it had been counted as lost.
    Late { was_lost: bool },
    /// Seen before.
    Duplicate,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a message. Without all of producer, run and sequence it is only counted.
    pub fn note(&mut self, partition: i32, offset: i64, marks: &Marks<'_>) {
        self.tick += 1;
        let era = self.era(partition, offset);
        let (Some(producer), Some(run), Some(sequence)) = (marks.producer, marks.run, marks.sequence) else {
            self.unmarked += 1;
            return;
        };
        if !self.producers.contains_key(producer) {
            self.add_producer(producer);
        }
        let tick = self.tick;
        let Some(producer) = self.producers.get_mut(producer) else { return };
        producer.last_tick = tick;
        producer.counts.received += 1;
        let key = (producer.id, run, partition);
        let known = match self.sequences.get_mut(&key) {
            Some(known) if known.era == era => known,
            _ => {
                self.sequences.insert(key, Sequence::starting(sequence, era, tick));
                self.forget_sequences();
                return;
            }
        };
        known.last_tick = tick;
        match known.note(sequence) {
            Verdict::New { skipped } => producer.counts.lost = producer.counts.lost.saturating_add(skipped),
            Verdict::Duplicate => producer.counts.duplicates += 1,
            Verdict::Late { was_lost } => {
                producer.counts.out_of_order += 1;
                producer.counts.lost = producer.counts.lost.saturating_sub(u64::from(was_lost));
            }
        }
    }

    /// Tells that a partition was assigned, perhaps after others had it. If its next message follows on what was seen
    /// last, or repeats some of it, the account goes on; if there is a step in the offsets, somebody else received
    /// what is between, and it starts afresh.
    pub fn assigned(&mut self, partition: i32) {
        if let Some(known) = self.partitions.get_mut(&partition) {
            known.reassigned = true;
        }
    }

    /// The producers by name, with their counts; the name comes from the network.
    pub fn producers(&self) -> Vec<(&str, Counts)> {
        let mut all: Vec<_> = self.producers.iter().map(|(name, known)| (name.as_str(), known.counts)).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all
    }

    /// The counts of producers that are no longer told apart, if there were that many.
    pub fn others(&self) -> Option<Counts> {
        (self.others != Counts::default()).then_some(self.others)
    }

    /// The counts of all producers together.
    pub fn total(&self) -> Counts {
        let mut total = self.others;
        for producer in self.producers.values() {
            total.add(&producer.counts);
        }
        total
    }

    /// Messages that carried no usable producer, run and sequence.
    pub fn unmarked(&self) -> u64 {
        self.unmarked
    }

    fn era(&mut self, partition: i32, offset: i64) -> u64 {
        let next_offset = offset.saturating_add(1);
        let known = self.partitions.entry(partition).or_insert(Partition { next_offset, era: 0, reassigned: false });
        if known.reassigned && offset > known.next_offset {
            known.era += 1;
        }
        known.reassigned = false;
        known.next_offset = next_offset;
        known.era
    }

    fn add_producer(&mut self, name: &str) {
        if self.producers.len() >= MAX_PRODUCERS {
            let silent = self.producers.iter().min_by_key(|(_, known)| known.last_tick).map(|(name, _)| name.clone());
            if let Some(known) = silent.and_then(|name| self.producers.remove(&name)) {
                self.others.add(&known.counts);
                self.sequences.retain(|(producer, ..), _| *producer != known.id);
            }
        }
        self.next_producer += 1;
        self.producers.insert(name.to_owned(), Producer { id: self.next_producer, ..Producer::default() });
    }

    /// Drops the older half when there are too many, so that its cost is spread over as many insertions.
    fn forget_sequences(&mut self) {
        if self.sequences.len() > MAX_SEQUENCES {
            let mut ticks: Vec<u64> = self.sequences.values().map(|known| known.last_tick).collect();
            let middle = ticks.len() / 2;
            let (_, median, _) = ticks.select_nth_unstable(middle);
            let median = *median;
            self.sequences.retain(|_, known| known.last_tick > median);
        }
    }
}

impl Sequence {
    fn starting(first: u64, era: u64, tick: u64) -> Self {
        let missing = if first > 0 { vec![(0, first)] } else { Vec::new() };
        Self { era, last_tick: tick, next: first + 1, start: first, missing, forgotten: 0 }
    }

    fn note(&mut self, number: u64) -> Verdict {
        if number >= self.next {
            let skipped = number - self.next;
            if skipped > 0 {
                self.missing.push((self.next, number));
                if self.missing.len() > MAX_GAPS {
                    self.forgotten = self.missing.remove(0).1;
                }
            }
            self.next = number + 1;
            return Verdict::New { skipped };
        }
        let at = self.missing.partition_point(|(_, end)| *end <= number);
        match self.missing.get(at).copied() {
            Some((from, end)) if from <= number => {
                let parts = [(from, number), (number + 1, end)].into_iter().filter(|(from, end)| from < end);
                self.missing.splice(at..=at, parts);
                if self.missing.len() > MAX_GAPS {
                    self.forgotten = self.missing.remove(0).1;
                }
                Verdict::Late { was_lost: number >= self.start }
            }
            _ if number < self.forgotten => Verdict::Late { was_lost: false },
            _ => Verdict::Duplicate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// The highest number there is.
    const TOP: u64 = i64::MAX as u64;

    fn marks(producer: &str, run: u128, sequence: u64) -> Marks<'_> {
        Marks { producer: Some(producer), run: Some(Uuid::from_u128(run)), sequence: Some(sequence), sent_ns: None }
    }

    /// A ledger that saw these numbers of one producer in one partition.
    fn after(numbers: &[u64]) -> Counts {
        let mut ledger = Ledger::new();
        for (offset, number) in (0..).zip(numbers) {
            ledger.note(0, offset, &marks("p", 1, *number));
        }
        ledger.total()
    }

    fn counts(received: u64, lost: u64, duplicates: u64, out_of_order: u64) -> Counts {
        Counts { received, lost, duplicates, out_of_order }
    }

    #[test]
    fn each_kind_is_told_apart() {
        assert_eq!(after(&[]), counts(0, 0, 0, 0));
        assert_eq!(after(&[1, 2, 3]), counts(3, 0, 0, 0));
        assert_eq!(after(&[7, 8]), counts(2, 0, 0, 0), "what came before the first is not lost");
        assert_eq!(after(&[1, 2, 5]), counts(3, 2, 0, 0));
        assert_eq!(after(&[1, 2, 2, 1, 3]), counts(5, 0, 2, 0));
        assert_eq!(after(&[1, 3, 2, 4]), counts(4, 0, 0, 1), "what came late is not lost");
        assert_eq!(after(&[1, 3, 2, 2]), counts(4, 0, 1, 1));
        assert_eq!(after(&[5, 3, 4, 5, 6]), counts(5, 0, 1, 2), "read again from further back");
        assert_eq!(after(&[TOP, TOP, 0]), counts(3, 0, 1, 1), "no number overflows");
    }

    #[test]
    fn runs_partitions_and_producers_have_sequences_of_their_own() {
        let mut ledger = Ledger::new();
        for (partition, offset, producer, run, number) in [
            (0, 0, "a", 1, 1),
            (1, 0, "a", 1, 1),
            (0, 1, "b", 1, 1),
            (0, 2, "a", 1, 2),
            (0, 3, "a", 2, 1), // restarted
            (1, 1, "a", 1, 4),
        ] {
            ledger.note(partition, offset, &marks(producer, run, number));
        }
        ledger.note(0, 4, &Marks::default());
        assert_eq!(ledger.producers(), [("a", counts(5, 2, 0, 0)), ("b", counts(1, 0, 0, 0))]);
        assert_eq!((ledger.others(), ledger.unmarked()), (None, 1));
    }

    #[test]
    fn what_another_receiver_got_meanwhile_is_not_lost() {
        let mut ledger = Ledger::new();
        ledger.note(0, 0, &marks("a", 1, 1));
        ledger.assigned(0);
        ledger.note(0, 10, &marks("a", 1, 11));
        ledger.note(0, 11, &marks("a", 1, 12));
        assert_eq!(ledger.total(), counts(3, 0, 0, 0));
    }

    #[test]
    fn loss_and_repetition_across_a_rebalance_are_seen() {
        let mut ledger = Ledger::new();
        ledger.assigned(0);
        ledger.note(0, 0, &marks("a", 1, 1));
        ledger.note(0, 1, &marks("a", 1, 2));
        ledger.assigned(0);
        ledger.note(0, 1, &marks("a", 1, 2)); // not committed in time
        ledger.note(0, 2, &marks("a", 1, 3));
        ledger.assigned(0);
        ledger.note(0, 3, &marks("a", 1, 5)); // the broker's next offset, but a number is gone
        assert_eq!(ledger.total(), counts(5, 1, 1, 0));
    }

    #[test]
    fn memory_is_bounded_and_no_count_is_dropped() {
        let mut ledger = Ledger::new();
        let names: Vec<String> = (0..MAX_PRODUCERS as u128 + 50).map(|n| format!("p{n}")).collect();
        for (offset, name) in (0..).zip(&names) {
            ledger.note(0, offset, &marks(name, 1, 1));
            ledger.note(1, offset, &marks("steady", 1, offset as u64));
        }
        assert_eq!(ledger.producers.len(), MAX_PRODUCERS);
        assert_eq!(ledger.others(), Some(counts(51, 0, 0, 0)));
        assert_eq!(ledger.total().received, 2 * names.len() as u64);
        assert_eq!(ledger.producers().iter().find(|(name, _)| *name == "steady").unwrap().1, counts(306, 0, 0, 0));
        for run in 0..3 * MAX_SEQUENCES as u128 {
            ledger.note(0, run as i64, &marks("steady", run, 1));
            assert!(ledger.sequences.len() <= MAX_SEQUENCES);
        }

        let every_other: Vec<u64> = (0..1000).map(|n| 2 * n).collect();
        assert_eq!(after(&every_other), counts(1000, 999, 0, 0));
        let mut sequence = Sequence::starting(0, 0, 0);
        for number in &every_other {
            sequence.note(*number);
        }
        assert_eq!(sequence.missing.len(), MAX_GAPS);
        assert_eq!(sequence.note(1), Verdict::Late { was_lost: false }, "too long ago to take it back");
    }

    proptest! {
        /// Compared with a ledger that remembers everything.
        #[test]
        fn counts_are_those_of_an_unbounded_ledger(numbers in proptest::collection::vec(0u64..60, 1..200)) {
            let (start, mut seen, mut highest) = (numbers[0], HashSet::new(), None);
            let mut expected = Counts::default();
            for number in &numbers {
                expected.received += 1;
                if !seen.insert(*number) {
                    expected.duplicates += 1;
                } else if highest.is_some_and(|highest| *number < highest) {
                    expected.out_of_order += 1;
                }
                highest = highest.max(Some(*number));
            }
            expected.lost = (start..highest.unwrap()).filter(|number| !seen.contains(number)).count() as u64;
            prop_assert_eq!(after(&numbers), expected);
        }

        #[test]
        fn whatever_arrives_nothing_overflows_and_everything_is_counted(
            messages in proptest::collection::vec((0i32..3, -2i64..50, 0u8..3, 0u128..2, 0..=TOP, any::<bool>()), 0..300)
        ) {
            let mut ledger = Ledger::new();
            for (partition, offset, producer, run, number, assigned) in &messages {
                if *assigned {
                    ledger.assigned(*partition);
                }
                ledger.note(*partition, *offset, &marks(&producer.to_string(), *run, *number));
            }
            prop_assert_eq!(ledger.total().received, messages.len() as u64);
        }
    }
}
