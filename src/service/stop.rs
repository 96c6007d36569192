//! The request to end: one flag for every loop of the process, fed by signals.
//!
//! The first SIGINT, SIGTERM or SIGHUP asks; what to flush or commit is the loops' business. The second one ends the
//! process at once with exit code 130, after the last words of whoever has something to say.

use std::fmt;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// Signals closer together than this are one request: `timeout` and a closing terminal signal a process twice.
const ONE_GESTURE: Duration = Duration::from_millis(50);

/// How long last words may take: standard error may be a pipe that nobody reads.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The exit code after a second signal: 128 + SIGINT.
const EXIT_AT_ONCE: i32 = 130;

/// A request to end that any number of loops can see and wait for. Clones share it.
#[derive(Clone, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    asked: AtomicBool,
    /// When it was asked for; set before `asked`, under the lock, so that a waiter cannot miss it.
    since: Mutex<Option<Instant>>,
    changed: Condvar,
    last_words: Mutex<Vec<LastWords>>,
}

type LastWords = Box<dyn Fn() -> Option<String> + Send>;

impl Stop {
    /// A stop that nobody has asked for yet. It does not listen to signals; see [`Stop::on_signals`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets SIGINT, SIGTERM and SIGHUP ask for it. Once per process; fails if something else handles signals already.
    ///
    /// A SIGHUP that was ignored when the process started (`nohup`) is handled all the same: the process ends cleanly
    /// with its terminal instead of outliving it.
    pub fn on_signals(&self) -> Result<()> {
        let stop = self.clone();
        ctrlc::set_handler(move || stop.signal(Instant::now()))
            .map_err(|error| Error::new(ErrorKind::Io, format!("cannot listen for signals: {error}")))
    }

    /// Asks every loop to end.
    pub fn ask(&self) {
        self.ask_at(Instant::now());
    }

    /// Whether it was asked for. Costs one load.
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }

    /// When it was asked for.
    pub fn since(&self) -> Option<Instant> {
        *lock(&self.0.since)
    }

    /// Waits until `moment`; returns early, and true, when it is asked for.
    pub fn wait_until(&self, moment: Instant) -> bool {
        let mut since = lock(&self.0.since);
        loop {
            if since.is_some() {
                return true;
            }
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            since = self.0.changed.wait_timeout(since, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for `duration`; returns early, and true, when it is asked for.
    pub fn wait(&self, duration: Duration) -> bool {
        let now = Instant::now();
        self.wait_until(now.checked_add(duration).unwrap_or(now + Duration::from_secs(86_400)))
    }

    /// Runs something that may block for long on a thread of its own, and gives up waiting for it when the stop is
    /// asked for: `None`. The thread is then left behind, so this is for starting up, when there is nothing to lose.
    pub fn unless_asked<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let result = Arc::new(Mutex::new(None));
        let (slot, stop, name) = (Arc::clone(&result), self.clone(), doing.to_owned());
        thread::Builder::new()
            .name(format!("start {doing}"))
            .spawn(move || {
                let outcome = panic::catch_unwind(AssertUnwindSafe(work))
                    .unwrap_or_else(|_| Err(Error::state(format!("{name} panicked"))));
                *lock(&slot) = Some(outcome);
                drop(lock(&stop.0.since));
                stop.0.changed.notify_all();
            })
            .map_err(|error| Error::new(ErrorKind::Io, format!("cannot start a thread: {error}")))?;
        let mut since = lock(&self.0.since);
        loop {
            if let Some(outcome) = lock(&result).take() {
                return outcome.map(Some);
            }
            if since.is_some() {
                return Ok(None);
            }
            since = self.0.changed.wait(since).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Has `words` printed to standard error when a second signal ends the process at once. It must not block.
    pub fn last_words(&self, words: impl Fn() -> Option<String> + Send + 'static) {
        lock(&self.0.last_words).push(Box::new(words));
    }

    fn ask_at(&self, now: Instant) {
        let mut since = lock(&self.0.since);
        since.get_or_insert(now);
        self.0.asked.store(true, Ordering::Release);
        drop(since);
        self.0.changed.notify_all();
    }

    fn signal(&self, now: Instant) {
        if self.is_second(now) {
            self.say_last_words();
            std::process::exit(EXIT_AT_ONCE);
        }
    }

    /// Takes note of a signal at `now`; true if it is a second one.
    fn is_second(&self, now: Instant) -> bool {
        match self.since() {
            None => {
                self.ask_at(now);
                false
            }
            Some(first) => now.saturating_duration_since(first) >= ONE_GESTURE,
        }
    }

    fn say_last_words(&self) {
        let (done, wait) = mpsc::channel::<()>();
        let stop = self.clone();
        let thread = thread::Builder::new().name("last words".into()).spawn(move || {
            let words: Vec<String> = lock(&stop.0.last_words).iter().filter_map(|words| words()).collect();
            for words in words {
                // Nowhere to report to if even this fails.
                let _ = writeln!(std::io::stderr(), "{words}");
            }
            drop(done);
        });
        if thread.is_ok() {
            let _ = wait.recv_timeout(LAST_WORDS);
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("since", &self.since()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_wakes_when_asked_and_only_then() {
        let stop = Stop::new();
        assert!(!stop.wait_until(Instant::now()));
        let waiter = {
            let stop = stop.clone();
            thread::spawn(move || stop.wait(Duration::from_secs(600)))
        };
        stop.ask();
        assert!(waiter.join().unwrap());
        assert!(stop.is_asked());
        assert!(stop.wait_until(Instant::now()));
    }

    #[test]
    fn the_first_signal_asks_its_echo_is_ignored_and_a_second_one_is_told() {
        let (stop, first) = (Stop::new(), Instant::now());
        assert!(!stop.is_second(first));
        assert!(stop.is_asked());
        assert!(!stop.is_second(first + Duration::from_millis(1)));
        assert!(stop.is_second(first + Duration::from_millis(60)));
        assert_eq!(stop.since(), Some(first));
    }

    #[test]
    fn starting_up_ends_with_its_result_or_with_the_stop() {
        let stop = Stop::new();
        assert_eq!(stop.unless_asked("a sum", || Ok(1 + 1)).unwrap(), Some(2));
        assert!(stop.unless_asked("a failure", || Err::<(), _>(Error::state("x"))).is_err());
        let error = stop.unless_asked("a panic", || -> Result<()> { panic!("on purpose") }).unwrap_err();
        assert!(error.to_string().contains("a panic"), "{error}");

        let (hold, held) = mpsc::channel::<()>();
        let asker = stop.clone();
        let outcome = stop.unless_asked("a wait", move || {
            asker.ask();
            let _ = held.recv();
            Ok(())
        });
        assert_eq!(outcome.unwrap(), None);
        drop(hold);
    }
}
