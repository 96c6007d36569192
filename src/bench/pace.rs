//! When the records of a run with `--rate` are due: record i at start + i / rate, whatever happened to those before it.

use std::time::{Duration, Instant};

use crate::service::Stop;

/// The highest rate that can be scheduled: one record in a nanosecond, which is what the clock tells apart.
pub const MAX_RATE: u64 = 1_000_000_000;

const NANOS: u64 = 1_000_000_000;

/// So many records a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// 1..=[`MAX_RATE`], so that nothing below overflows.
    rate: u64,
}

impl Pace {
    pub fn new(rate: u64) -> Self {
        Self { rate: rate.clamp(1, MAX_RATE) }
    }

    /// How long after the start a record is due.
    pub fn due(self, index: u64) -> Duration {
        Duration::from_secs(index / self.rate) + Duration::from_nanos(index % self.rate * NANOS / self.rate)
    }

    /// How many records are due before this time.
    pub fn within(self, time: Duration) -> u64 {
        let records = (time.as_nanos() * u128::from(self.rate)).div_ceil(u128::from(NANOS));
        u64::try_from(records).unwrap_or(u64::MAX)
    }
}

/// The time, asked for no more often than it takes: what is due already goes out without asking each time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    now: Instant,
    /// Since it was asked for.
    calls: u32,
}

impl Watch {
    /// So many records may go out by the same look at the clock.
    const STRIDE: u32 = 16;

    pub fn new(now: Instant) -> Self {
        Self { now, calls: 0 }
    }

    /// Waits until a moment has come or the stop is asked for, and returns the time.
    pub fn wait_until(&mut self, moment: Instant, stop: &Stop) -> Instant {
        self.calls += 1;
        if moment > self.now || self.calls >= Self::STRIDE {
            *self = Self::new(Instant::now());
        }
        if moment > self.now {
            stop.wait_until(moment);
            *self = Self::new(Instant::now());
        }
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_are_spread_evenly_from_the_start() {
        let due = |rate, index| Pace::new(rate).due(index).as_nanos();
        assert_eq!([due(10, 0), due(10, 1), due(10, 25)], [0, 100_000_000, 2_500_000_000]);
        assert_eq!([due(3, 1), due(3, 3)], [333_333_333, 1_000_000_000], "no error adds up");
        assert_eq!(due(MAX_RATE, u64::MAX), u128::from(u64::MAX));
        assert_eq!(Pace::new(1).due(u64::MAX).as_secs(), u64::MAX);
    }

    #[test]
    fn nothing_goes_out_early_and_the_time_does_not_stand_still() {
        let (start, stop) = (Instant::now(), Stop::new());
        let mut watch = Watch::new(start);
        let soon = start + Duration::from_millis(5);
        assert!(watch.wait_until(soon, &stop) >= soon);
        let mut later = watch.now;
        for _ in 0..Watch::STRIDE {
            later = watch.wait_until(start, &stop);
        }
        assert!(later > soon, "though everything was due");
        stop.ask();
        assert!(watch.wait_until(start + Duration::from_secs(3600), &stop) < start + Duration::from_secs(3600));
    }

    proptest! {
        #[test]
        fn exactly_those_are_within_a_time_that_are_due_before_it(rate in 1..=MAX_RATE, millis in 0u64..100_000_000) {
            let (pace, time) = (Pace::new(rate), Duration::from_millis(millis));
            let count = pace.within(time);
            prop_assert!(pace.due(count) >= time);
            prop_assert!(count == 0 || pace.due(count - 1) < time);
        }
    }
}
