//! What the process used, as Linux tells it under `/proc`.

use std::fs;
use std::time::Duration;

/// The unit of `/proc/self/stat`, which is part of Linux's interface to programs whatever the kernel's own clock.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time and memory of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    /// User and system time of all threads, those that ended included. Known to 10 ms.
    pub cpu: Duration,
    /// The most memory that was resident at any time, in bytes.
    pub peak_memory: u64,
}

impl Usage {
    /// As it stands now; `None` where there is no `/proc`.
    pub fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        Some(Self { cpu: cpu_time(&stat)?, peak_memory: peak_memory(&status)? })
    }

    /// What was used since `earlier`; the peak stays that of the process.
    pub fn since(self, earlier: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(earlier.cpu), ..self }
    }
}

/// Fields 14 and 15. The second field, the program's name in brackets, may hold anything, brackets included.
fn cpu_time(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(14 - 3);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

fn peak_memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_program_name() {
        let stat = "4242 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 123 45 0 0 20 0 7 0 99";
        assert_eq!(cpu_time(stat), Some(Duration::from_millis(1680)));
        assert_eq!(cpu_time("4242 (x"), None);
        assert_eq!(cpu_time("4242 (x) R 1 2"), None);
        let status = "Name:\tkrs\nVmPeak:\t  999 kB\nVmHWM:\t   23536 kB\nThreads:\t1\n";
        assert_eq!(peak_memory(status), Some(24_100_864));
        assert_eq!(peak_memory("VmHWM:\t12 pages\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_something() {
        let usage = Usage::now().unwrap();
        assert!(usage.peak_memory > 100_000);
        assert_eq!(usage.since(usage).cpu, Duration::ZERO);
    }
}
