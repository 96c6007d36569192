use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What runs from the first record to the last: the clock on the wall, and the processor time of the whole process.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    start: Instant,
    cpu: Duration,
}

impl Measure {
    pub fn start() -> Self {
        Self { start: Instant::now(), cpu: cpu() }
    }

    /// From the start of the process, or nearly: there is no clock before `main`.
    pub(crate) fn of_process() -> Self {
        Self { start: Instant::now(), cpu: Duration::ZERO }
    }

    pub(crate) fn elapsed(self) -> (Duration, Duration) {
        (self.start.elapsed(), cpu().saturating_sub(self.cpu))
    }
}

/// User and system time of all threads, those that ended included.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// The most memory that was resident at any time, in bytes; `None` where there is no `/proc`.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
