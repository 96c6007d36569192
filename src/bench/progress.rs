//! A progress bar on standard error, if that is a terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::service::Stop;
use crate::stats::Counter;

const REDRAW: Duration = Duration::from_millis(200);
const WIDTH: u64 = 30;

/// Draws until it is dropped, then clears its line.
#[derive(Debug)]
pub(super) struct Progress {
    end: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Follows `done` towards `count`. Draws nothing where standard error is no terminal.
    pub fn start(done: &Arc<Counter>, count: u64) -> Self {
        let (end, done) = (Stop::new(), Arc::clone(done));
        let drawing = stderr().is_terminal().then(|| end.clone());
        // Without a thread there is no bar, and the measurement goes on.
        let thread = drawing.and_then(|end| {
            std::thread::Builder::new().name("progress".into()).spawn(move || draw(&end, &done, count)).ok()
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

fn draw(end: &Stop, done: &Counter, count: u64) {
    let start = Instant::now();
    while !end.wait(REDRAW) {
        let line = bar(done.get(), count, start.elapsed());
        if stderr().write_all(format!("\r{line}\x1b[K").as_bytes()).is_err() {
            return;
        }
    }
    let _ = stderr().write_all(b"\r\x1b[K");
}

fn bar(done: u64, count: u64, elapsed: Duration) -> String {
    let part = |whole: u64| (u128::from(done.min(count)) * u128::from(whole) / u128::from(count.max(1))) as u64;
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    let mut line = String::from("[");
    for at in 0..WIDTH {
        line.push(if at < part(WIDTH) { '=' } else { ' ' });
    }
    let _ = write!(line, "] {:3} % {done}/{count} records, {rate:.0}/s", part(100));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        let second = Duration::from_secs(1);
        assert_eq!(bar(0, 10, second), format!("[{}]   0 % 0/10 records, 0/s", " ".repeat(30)));
        assert_eq!(bar(5, 10, 2 * second), format!("[{}{}]  50 % 5/10 records, 2/s", "=".repeat(15), " ".repeat(15)));
        assert!(bar(u64::MAX, u64::MAX, Duration::ZERO).contains(&format!("[{}] 100 %", "=".repeat(30))));
        assert!(bar(11, 10, second).contains("100 %"));
    }
}
