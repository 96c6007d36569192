//! Time: deadlines that know their own name, and backoff with jitter.
//!
//! Every blocking call of the client ends by a [`Deadline`]. It carries the property it came from, so that a timeout
//! says which setting to change. Decisions take the time as an argument; only the edges ask for the present.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The moment by which something must have ended, and the name of the setting that says so.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// Kafka's property name, or what else set this limit.
    pub name: &'static str,
    /// The moment itself.
    pub at: Instant,
    /// How long the whole wait was allowed to be.
    pub limit: Duration,
}

impl Deadline {
    /// A deadline `limit` from now. A limit too large for the clock counts as a day.
    pub fn after(name: &'static str, limit: Duration) -> Self {
        let now = Instant::now();
        let day = Duration::from_secs(86_400);
        Self { name, at: now.checked_add(limit).unwrap_or(now + day), limit }
    }

    /// What is left of it at `now`; zero once it has passed.
    pub fn left(&self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }

    /// Whether it has passed at `now`.
    pub fn passed(&self, now: Instant) -> bool {
        now >= self.at
    }

    /// The earlier of two deadlines, keeping its name.
    pub fn min(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }
}

impl std::fmt::Display for Deadline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ms ({})", self.limit.as_millis(), self.name)
    }
}

/// Now, in milliseconds since 1970.
pub(crate) fn milliseconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Like [`milliseconds`] as of the system's last tick, 1 to 10 ms behind, at a fraction of the cost.
#[inline]
pub(crate) fn coarse_milliseconds() -> i64 {
    #[cfg(target_os = "linux")]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        now.tv_sec.saturating_mul(1000).saturating_add((now.tv_nsec as u32 / 1_000_000).into())
    }
    #[cfg(not(target_os = "linux"))]
    milliseconds()
}

/// Reads a time as people write it: `250ms`, `10s`, `5m`, `2h`.
///
/// # Errors
/// What is wrong with it, in a few words.
#[cfg(any(feature = "devbroker", feature = "bench"))]
pub(crate) fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const MALFORMED: &str = "not a time: a whole number and ms, s, m or h";
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or(MALFORMED)?;
    let milliseconds = match &text[unit..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(MALFORMED),
    };
    if unit == 0 {
        return Err(MALFORMED);
    }
    let product = text[..unit].parse::<u64>().ok().and_then(|number| number.checked_mul(milliseconds));
    // So that it can be added to any present moment.
    let most = 366 * 24 * 3_600_000;
    product.filter(|ms| *ms <= most).map(Duration::from_millis).ok_or("longer than a year")
}

/// Exponential backoff with jitter of ±20 %, as KIP-580 has it: doubles from `initial` up to `max` with each failure.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    failures: u32,
    random: u64,
}

impl Backoff {
    /// A backoff that starts at `initial` and never exceeds `max` by more than the jitter.
    pub fn new(initial: Duration, max: Duration) -> Self {
        // RandomState is seeded by the system: good enough to keep clients from retrying in step.
        let random = RandomState::new().build_hasher().finish() | 1;
        Self { initial, max: max.max(initial), failures: 0, random }
    }

    /// Counts one more failure and returns how long to wait before the next try.
    pub fn failed(&mut self) -> Duration {
        let doubled = self.initial.saturating_mul(1u32.checked_shl(self.failures.min(20)).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.max).mul_f64(0.8 + 0.4 * self.unit())
    }

    /// Forgets past failures: something worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// A number in 0..1 (xorshift64).
    fn unit(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_its_limit_and_starts_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.failed().as_millis();
            assert!((expected * 8 / 10..=expected * 12 / 10).contains(&wait), "{wait} for {expected}");
        }
        backoff.reset();
        assert!(backoff.failed() <= Duration::from_millis(120));
        for _ in 0..100 {
            assert!(backoff.failed() <= Duration::from_millis(1200));
        }
    }

    #[cfg(any(feature = "devbroker", feature = "bench"))]
    #[test]
    fn a_time_is_read_as_people_write_it() {
        let ms = |text: &str| parse_duration(text).map(|time| time.as_millis());
        assert_eq!([ms("250ms"), ms("10s"), ms("5m"), ms("2h")], [Ok(250), Ok(10_000), Ok(300_000), Ok(7_200_000)]);
        for bad in ["", "10", "s", "-1s", "1.5s", "10 s", "10sec", "\u{662}s", "9999999999999999999999s", "9000h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_earlier_deadline_keeps_its_name() {
        let long = Deadline::after("max.block.ms", Duration::from_secs(60));
        let short = Deadline::after("request.timeout.ms", Duration::from_secs(1));
        assert_eq!(long.min(short).name, "request.timeout.ms");
        assert!(!long.passed(Instant::now()));
        assert_eq!(short.left(short.at + Duration::from_secs(1)), Duration::ZERO);
        let endless = Deadline::after("x", Duration::MAX);
        assert!(!endless.passed(Instant::now()));
    }
}
