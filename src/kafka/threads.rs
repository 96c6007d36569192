//! The client's threads: named, with a small stack, and joined by whoever closes.

use std::thread::{self, JoinHandle};

use super::error::{Error, ErrorKind, Result};

/// Enough for the deepest path in an unoptimised build; address space counts where memory is limited per process.
const STACK: usize = 256 << 10;

/// Starts a thread of the client.
///
/// # Errors
/// When the system refuses another thread.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(body)
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot start the thread {name}: {e}")))
}

/// Waits for a thread to end, unless it is the present one. Its panic, if it had one, was printed when it happened.
pub(crate) fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() {
        let _ = thread.join();
    }
}
