//! When the next message is due.
//!
//! The schedule is anchored: message n is due at start + n × interval, however long the ones before took. What is due
//! goes out at once, so after a delay the messages that became due meanwhile follow in a burst, and the long-run rate
//! holds. A message that goes out a whole interval or more after it was due, when the next one was due already, is
//! late. With an interval of zero everything is due at once and nothing is ever late.

use std::time::{Duration, Instant};

/// The schedule of a sender. It only computes; the loop waits.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    interval: Duration,
    due: Instant,
}

impl Schedule {
    /// The first message is due at `start`.
    pub fn new(start: Instant, interval: Duration) -> Self {
        Self { interval, due: start }
    }

    /// When the next message is due; in the past if it already was.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Moves on to the message after this one, which goes out at `now`. Returns how late it is, if it is late.
    pub fn advance(&mut self, now: Instant) -> Option<Duration> {
        if self.interval.is_zero() {
            return None;
        }
        let behind = now.saturating_duration_since(self.due);
        // An interval beyond the clock's range means: never again.
        self.due = self.due.checked_add(self.interval).unwrap_or(self.due + Duration::from_secs(86_400 * 366));
        (behind >= self.interval).then_some(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_delay_is_made_up_for_and_counted() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 100 * MS);
        assert_eq!(schedule.advance(start), None);
        assert_eq!(schedule.advance(start + 199 * MS), None, "less than an interval");
        assert_eq!(schedule.advance(start + 450 * MS), Some(250 * MS));
        assert_eq!(schedule.advance(start + 451 * MS), Some(151 * MS));
        assert_eq!(schedule.advance(start + 452 * MS), None);
        assert_eq!(schedule.due(), start + 500 * MS, "the rhythm is that of the start");
    }

    #[test]
    fn without_an_interval_everything_is_due() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Duration::ZERO);
        assert_eq!(schedule.advance(start + 1000 * MS), None);
        assert_eq!(schedule.due(), start);
    }

    #[test]
    fn an_endless_interval_does_not_overflow() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, Duration::MAX);
        assert_eq!(schedule.advance(start), None);
        assert!(schedule.due() > start + Duration::from_secs(86_400));
    }

    proptest! {
        /// Whatever the delays: sent as soon as due, n messages are out by the time the last one is due, none is early.
        #[test]
        fn the_rate_never_drifts(interval in 1u32..1000, delays in proptest::collection::vec(0u32..5000, 1..100)) {
            let (start, interval) = (Instant::now(), interval * Duration::from_micros(1));
            let (mut schedule, mut now) = (Schedule::new(start, interval), start);
            for (n, delay) in (0u32..).zip(&delays) {
                prop_assert_eq!(schedule.due(), start + n * interval);
                now = now.max(schedule.due()) + *delay * Duration::from_micros(1);
                let behind = now - schedule.due();
                prop_assert_eq!(schedule.advance(now), (behind >= interval).then_some(behind));
            }
        }
    }
}
