//! Apache Kafka's verifiable clients: the same flags and the same lines on standard output as
//! `org.apache.kafka.tools.VerifiableProducer` and `VerifiableConsumer` of Kafka 4.3, so that a harness that was made for
//! those drives these.
//!
//! One JSON object a line, its time and name first; what else and in which order was taken from what the Java tools print.
//! Everything that is no event goes to standard error.

pub mod consumer;
pub mod producer;
mod properties;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::Stop;
use super::output::Output;
use crate::clock::milliseconds;
use crate::sync::lock;
use crate::{Config, Error, ErrorKind, Result};

/// The largest file of properties that is read.
const LARGEST_FILE: u64 = 1 << 20;

/// Sets what a Java properties file says.
fn read_file(mut config: Config, path: &Path) -> Result<Config> {
    let place = format!("--command-config {}", path.display());
    let unreadable = |why: &dyn std::fmt::Display| Error::config(format!("{place}: {why}"));
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(|error| unreadable(&error))?.is_file() {
        return Err(unreadable(&"not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(unreadable(&format!("more than {LARGEST_FILE} bytes are no file of properties")));
    }
    for (name, value) in properties::parse(&bytes).map_err(|why| unreadable(&why))? {
        config = config.set_from(&name, &value, &place)?;
    }
    Ok(config)
}

/// Standard output, for events of several threads. The first failure is kept: nothing is written after it.
#[derive(Clone, Debug)]
struct Events(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    output: Output,
    failure: Option<io::ErrorKind>,
}

#[derive(Serialize)]
struct Event<T> {
    timestamp: i64,
    name: &'static str,
    #[serde(flatten)]
    facts: T,
}

/// Of an event that is its name.
#[derive(Serialize)]
struct Nothing {}

impl Events {
    fn start(stop: &Stop) -> Result<Self> {
        let output = Output::stdout(stop).map_err(|error| output_error(&error))?;
        Ok(Self(Arc::new(Mutex::new(State { output, failure: None }))))
    }

    /// Writes one event.
    fn tell(&self, name: &'static str, facts: impl Serialize) {
        self.tell_all(std::iter::once((name, facts)));
    }

    /// Writes events in one piece.
    fn tell_all(&self, events: impl Iterator<Item = (&'static str, impl Serialize)>) {
        let mut state = lock(&self.0);
        let mut written = Ok(());
        for (name, facts) in events {
            let event = Event { timestamp: milliseconds(), name, facts };
            // Neither a Vec nor a value of these types can fail.
            let _ = serde_json::to_writer(&mut *state.output.buffer(), &event);
            state.output.buffer().push(b'\n');
            written = state.output.write_if_full();
            if written.is_err() {
                break;
            }
        }
        if let Err(error) = written.and_then(|()| state.output.write_out()) {
            state.failure.get_or_insert(error.kind());
        }
    }

    /// Whether nobody reads it any more.
    ///
    /// # Errors
    /// It cannot be written for another reason.
    fn are_unread(&self) -> Result<bool> {
        match lock(&self.0).failure {
            None => Ok(false),
            Some(io::ErrorKind::BrokenPipe) => Ok(true),
            Some(kind) => Err(output_error(&kind.into())),
        }
    }
}

fn output_error(error: &io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot write to standard output: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full;

    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_write_that_fails_amid_many_events_is_kept() {
        for count in [1, 10_000] {
            let output = Output::new(Full, &Stop::new()).unwrap();
            let events = Events(Arc::new(Mutex::new(State { output, failure: None })));
            events.tell_all((0..count).map(|_| ("startup_complete", Nothing {})));
            let error = events.are_unread().unwrap_err().to_string();
            assert!(error.starts_with("cannot write to standard output"), "{count}: {error}");
        }
    }
}
