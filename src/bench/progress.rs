//! A progress bar on standard error, if that is a terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Limit;
use crate::service::Stop;
use crate::stats::Counter;

const REDRAW: Duration = Duration::from_millis(200);
const WIDTH: u128 = 30;

/// Draws until it is dropped, then clears its line.
#[derive(Debug)]
pub(super) struct Progress {
    end: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Follows `done`, or the time, towards the limit. Draws nothing where standard error is no terminal.
    pub fn start(done: &Arc<Counter>, limit: Limit) -> Self {
        let (end, done) = (Stop::new(), Arc::clone(done));
        let drawing = stderr().is_terminal().then(|| end.clone());
        // Without a thread there is no bar, and the measurement goes on.
        let thread = drawing.and_then(|end| {
            std::thread::Builder::new().name("progress".into()).spawn(move || draw(&end, &done, limit)).ok()
        });
        Self { end, thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end.ask();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn draw(end: &Stop, done: &Counter, limit: Limit) {
    let start = Instant::now();
    while !end.wait(REDRAW) {
        let line = bar(done.get(), limit, start.elapsed());
        if stderr().write_all(format!("\r{line}\x1b[K").as_bytes()).is_err() {
            return;
        }
    }
    let _ = stderr().write_all(b"\r\x1b[K");
}

fn bar(done: u64, limit: Limit, elapsed: Duration) -> String {
    let (at, end, goal) = match limit {
        Limit::Count(count) => (u128::from(done), u128::from(count), format!("/{count} records")),
        Limit::Time(time) => {
            (elapsed.as_millis(), time.as_millis(), format!(" records in {}/{} s", elapsed.as_secs(), time.as_secs()))
        }
    };
    let part = |whole: u128| at.min(end) * whole / end.max(1);
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    let mut line = String::from("[");
    for at in 0..WIDTH {
        line.push(if at < part(WIDTH) { '=' } else { ' ' });
    }
    let _ = write!(line, "] {:3} % {done}{goal}, {rate:.0}/s", part(100));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        let second = Duration::from_secs(1);
        let bar = |done, count, elapsed| super::bar(done, Limit::Count(count), elapsed);
        assert_eq!(bar(0, 10, second), format!("[{}]   0 % 0/10 records, 0/s", " ".repeat(30)));
        assert_eq!(bar(5, 10, 2 * second), format!("[{}{}]  50 % 5/10 records, 2/s", "=".repeat(15), " ".repeat(15)));
        assert!(bar(u64::MAX, u64::MAX, Duration::ZERO).contains(&format!("[{}] 100 %", "=".repeat(30))));
        assert!(bar(11, 10, second).contains("100 %"));
    }

    #[test]
    fn with_a_time_the_bar_goes_by_the_time() {
        let second = Duration::from_secs(1);
        let line = bar(70, Limit::Time(10 * second), 7 * second);
        assert_eq!(line, format!("[{}{}]  70 % 70 records in 7/10 s, 10/s", "=".repeat(21), " ".repeat(9)));
        assert!(bar(70, Limit::Time(10 * second), 11 * second).contains("100 %"));
    }
}
