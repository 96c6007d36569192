use std::thread;
use std::time::{Duration, Instant};

use crate::{Arguments, Measure, Report, Result, Values};

/// Records before those that count.
const WARM_UP_SECONDS: u64 = 2;

/// When each record of a latency run is due. It is kept by the clock: what became due during a stall follows at once, and
/// its latency counts from when it was due.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: Instant,
    rate: u64,
    warm_up: u64,
    total: u64,
}

impl Schedule {
    /// Starts now.
    pub fn start(arguments: &Arguments) -> Self {
        let warm_up = WARM_UP_SECONDS * arguments.rate;
        let total = warm_up + arguments.seconds * arguments.rate;
        Self { start: Instant::now(), rate: arguments.rate, warm_up, total }
    }

    /// Warm-up included.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many records count.
    pub fn measured(&self) -> u64 {
        self.total - self.warm_up
    }

    /// Whether it is the first one that counts.
    pub fn begins_measuring(&self, index: u64) -> bool {
        index == self.warm_up
    }

    /// When a record is due.
    pub fn due(&self, index: u64) -> Instant {
        self.start + self.after(index)
    }

    /// Writes into a value when it is due.
    pub fn stamp(&self, index: u64, value: &mut [u8]) {
        value[..size_of::<u64>()].copy_from_slice(&nanos(self.after(index)).to_le_bytes());
    }

    /// Hands all records over to `send`, each with its index and when it is due, and returns what began with the first
    /// that counts.
    pub fn run(&self, size: usize, mut send: impl FnMut(u64, &[u8]) -> Result) -> Result<Measure> {
        let values = Values::new(size);
        let (mut measure, mut value) = (Measure::start(), Vec::new());
        for index in 0..self.total {
            if let Some(early) = self.due(index).checked_duration_since(Instant::now()) {
                thread::sleep(early);
            }
            if self.begins_measuring(index) {
                measure = Measure::start();
            }
            value.clear();
            value.extend_from_slice(values.get(index));
            self.stamp(index, &mut value);
            send(index, &value)?;
        }
        Ok(measure)
    }

    fn after(&self, index: u64) -> Duration {
        Duration::from_nanos(
            u64::try_from(u128::from(index) * 1_000_000_000 / u128::from(self.rate)).unwrap_or(u64::MAX),
        )
    }
}

/// What the consumer of a latency run received.
#[derive(Debug)]
pub struct Arrivals {
    schedule: Schedule,
    /// Warm-up included.
    received: u64,
    /// Nanoseconds, of those that count.
    latencies: Vec<u64>,
}

impl Arrivals {
    pub fn new(schedule: Schedule) -> Self {
        let room = usize::try_from(schedule.measured()).unwrap_or(0);
        Self { schedule, received: 0, latencies: Vec::with_capacity(room) }
    }

    /// Notes a value that is in hand now.
    pub fn note(&mut self, value: &[u8]) {
        let now = nanos(self.schedule.start.elapsed());
        let Some(stamp) = value.first_chunk() else { return };
        let due = u64::from_le_bytes(*stamp);
        self.received += 1;
        if due >= nanos(self.schedule.after(self.schedule.warm_up)) {
            self.latencies.push(now.saturating_sub(due));
        }
    }

    pub fn all_here(&self) -> bool {
        self.received >= self.schedule.total
    }

    /// Ends the run: what arrived, and how late.
    pub fn finish(self, measure: Measure, arguments: &Arguments, report: &mut Report) {
        let received = self.latencies.len() as u64;
        report.finish(measure, received, received * arguments.size as u64, self.schedule.measured());
        report.latencies(self.latencies);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_is_not_measured() {
        let words = "latency --brokers a --topic t --rate 3 --seconds 4 --size 8".split(' ').map(str::to_owned);
        let schedule = Schedule::start(&Arguments::parse(words).unwrap());
        assert_eq!((schedule.total(), schedule.measured()), (18, 12));
        let mut arrivals = Arrivals::new(schedule);
        for index in 0..schedule.total() {
            assert!(!arrivals.all_here());
            let mut value = [0; 8];
            schedule.stamp(index, &mut value);
            arrivals.note(&value);
        }
        assert!(arrivals.all_here());
        assert_eq!(arrivals.latencies.len(), 12);
    }
}
