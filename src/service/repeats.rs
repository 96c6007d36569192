//! A cause that repeats is told at once, then only from time to time.

use std::time::{Duration, Instant};

/// Decides which repetitions of a cause are worth a line. Kinds of causes should be few.
#[derive(Debug)]
pub struct Repeats<K> {
    every: Duration,
    known: Vec<Known<K>>,
}

#[derive(Debug)]
struct Known<K> {
    cause: K,
    told: Instant,
    held_back: u64,
}

impl<K: PartialEq> Repeats<K> {
    /// Tells each cause at most once in `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, known: Vec::new() }
    }

    /// Takes note of `count` occurrences at `now`. If they should be told: how many before them were not.
    pub fn note(&mut self, cause: K, count: u64, now: Instant) -> Option<u64> {
        match self.known.iter_mut().find(|known| known.cause == cause) {
            None => {
                self.known.push(Known { cause, told: now, held_back: 0 });
                Some(0)
            }
            Some(known) if now.saturating_duration_since(known.told) >= self.every => {
                known.told = now;
                Some(std::mem::take(&mut known.held_back))
            }
            Some(known) => {
                known.held_back += count;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_cause_is_told_and_the_rest_is_counted() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut repeats = Repeats::new(5 * second);
        assert_eq!(repeats.note("down", 1, start), Some(0));
        assert_eq!(repeats.note("down", 2, start + second), None);
        assert_eq!(repeats.note("refused", 1, start + second), Some(0));
        assert_eq!(repeats.note("down", 3, start + 4 * second), None);
        assert_eq!(repeats.note("down", 1, start + 5 * second), Some(5));
        assert_eq!(repeats.note("down", 1, start + 6 * second), None);
        assert_eq!(repeats.note("down", 1, start + 60 * second), Some(1));
    }
}
