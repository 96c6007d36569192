//! Several of a service in one process: a thread for each, and one end for all.

use std::thread;

use super::Stop;
use crate::{Error, ErrorKind, Result};

/// Runs one here, or several on threads named `receiver-1` and so on, until all have ended. One that fails or panics asks
/// the others to end; the first failure is told.
pub(super) fn run<T: Send>(
    name: &str,
    mut all: Vec<T>,
    stop: &Stop,
    work: impl Fn(T) -> Result<()> + Send + Sync,
) -> Result<()> {
    if all.len() == 1 {
        return work(all.remove(0));
    }
    thread::scope(|scope| {
        let (mut threads, mut outcome) = (Vec::new(), Ok(()));
        for (number, one) in (1..).zip(all) {
            let work = &work;
            let started = thread::Builder::new().name(format!("{name}-{number}")).spawn_scoped(scope, move || {
                let mut failure = Failure { stop, happened: true };
                let outcome = work(one);
                failure.happened = outcome.is_err();
                outcome
            });
            match started {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    stop.ask();
                    outcome = Err(Error::new(ErrorKind::Io, format!("cannot start a thread of the {name}: {error}")));
                    break;
                }
            }
        }
        for thread in threads {
            let ended = thread.join().unwrap_or_else(|_| Err(Error::state(format!("a {name} panicked"))));
            outcome = outcome.and(ended);
        }
        outcome
    })
}

/// Asks all to end unless it is known that nothing happened.
struct Failure<'a> {
    stop: &'a Stop,
    happened: bool,
}

impl Drop for Failure<'_> {
    fn drop(&mut self) {
        if self.happened {
            self.stop.ask();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_fails_ends_all_and_its_error_is_told() {
        let stop = Stop::new();
        let outcome = run("tester", vec![1, 2, 3], &stop, |number| {
            if number == 2 {
                return Err(Error::state("two is odd"));
            }
            while !stop.wait(std::time::Duration::from_secs(60)) {}
            Ok(())
        });
        assert_eq!(outcome.unwrap_err().to_string(), "two is odd");

        let stop = Stop::new();
        let outcome = run("tester", vec![1, 2], &stop, |number| {
            assert_ne!(number, 1, "on purpose");
            while !stop.wait(std::time::Duration::from_secs(60)) {}
            Ok(())
        });
        assert_eq!(outcome.unwrap_err().to_string(), "a tester panicked");
    }

    #[test]
    fn those_that_end_by_themselves_end_nobody_else() {
        let stop = Stop::new();
        let names = std::sync::Mutex::new(Vec::new());
        let note = |_: i32| {
            names.lock().unwrap().push(thread::current().name().unwrap_or_default().to_owned());
            Ok(())
        };
        run("tester", vec![1, 2], &stop, note).unwrap();
        assert!(!stop.is_asked());
        let mut names = names.into_inner().unwrap();
        names.sort();
        assert_eq!(names, ["tester-1", "tester-2"]);
    }
}
