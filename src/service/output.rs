//! Lines on standard output, where a line counts only when all of it was written.
//!
//! What `println!` cannot say: how much of a buffer the system took before a write failed. So standard output is
//! written through a descriptor of its own, past the standard library's buffer, and by a thread of its own, so that a
//! reader that has stopped reading does not keep the service from ending. Nothing else may print while a receiver runs.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Stop;

/// Written out when this much has gathered, at the latest.
const CHUNK: usize = 64 * 1024;

/// How long a write may go on after the stop was asked for.
const GRACE: Duration = Duration::from_secs(1);

/// Gathers lines and writes them in large pieces.
#[derive(Debug)]
pub struct Output {
    buffer: Vec<u8>,
    /// Bytes that were given to the writer, ever.
    given: u64,
    /// Bytes that the system took, ever. Only the writer adds to it.
    written: Arc<AtomicU64>,
    to_write: Sender<Vec<u8>>,
    /// One answer for each buffer: the buffer again, and whether all of it was written.
    answers: Receiver<(Vec<u8>, io::Result<()>)>,
    stop: Stop,
    /// How a write failed: nothing is written after it.
    failed: Option<ErrorKind>,
}

impl Output {
    /// Standard output, whatever it is. When `stop` is asked for, a write that does not end is given up.
    pub fn stdout(stop: &Stop) -> io::Result<Self> {
        Self::new(File::from(io::stdout().as_fd().try_clone_to_owned()?), stop)
    }

    /// Writes to `sink`, which should not buffer.
    pub fn new(mut sink: impl Write + Send + 'static, stop: &Stop) -> io::Result<Self> {
        let (to_write, buffers) = channel::<Vec<u8>>();
        let (answer, answers) = channel();
        let written = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&written);
        thread::Builder::new().name("output".into()).spawn(move || {
            for buffer in buffers {
                let result = write_all(&mut sink, &buffer, &count);
                if answer.send((buffer, result)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            buffer: Vec::with_capacity(CHUNK),
            given: 0,
            written,
            to_write,
            answers,
            stop: stop.clone(),
            failed: None,
        })
    }

    /// Where lines are added.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The position after what was added so far: the line that ends here was written once
    /// [`written`](Self::written) has reached it.
    pub fn end(&self) -> u64 {
        self.given + self.buffer.len() as u64
    }

    /// Up to where everything was written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Writes if enough has gathered.
    pub fn write_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= CHUNK { self.write_out() } else { Ok(()) }
    }

    /// Writes everything. After an error, [`written`](Self::written) tells how far it came, and nothing more can be
    /// written.
    pub fn write_out(&mut self) -> io::Result<()> {
        if let Some(kind) = self.failed {
            self.buffer.clear();
            return Err(kind.into());
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.given = self.end();
        let outcome = self.write_buffer();
        self.failed = outcome.as_ref().err().map(io::Error::kind);
        outcome
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        let ended = || io::Error::new(ErrorKind::BrokenPipe, "nothing more can be written");
        self.to_write.send(std::mem::take(&mut self.buffer)).map_err(|_| ended())?;
        loop {
            match self.answers.recv_timeout(Duration::from_millis(100)) {
                Ok((buffer, result)) => {
                    self.buffer = buffer;
                    self.buffer.clear();
                    return result;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
                Err(RecvTimeoutError::Timeout) => {
                    let now = Instant::now();
                    if self.stop.since().is_some_and(|since| now.saturating_duration_since(since) >= GRACE) {
                        return Err(io::Error::new(ErrorKind::TimedOut, "nobody reads it"));
                    }
                }
            }
        }
    }
}

fn write_all(sink: &mut impl Write, bytes: &[u8], written: &AtomicU64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match sink.write(&bytes[done..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                done += count;
                written.fetch_add(count as u64, Ordering::Release);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Somebody else made the terminal or pipe non-blocking; it will take more in a moment.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::lock;
    use std::sync::Mutex;

    /// Takes `room` bytes in pieces of at most three, then fails.
    struct Disk {
        room: usize,
        taken: Arc<Mutex<Vec<u8>>>,
        interrupted: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(ErrorKind::Interrupted.into());
            }
            let mut taken = lock(&self.taken);
            let count = bytes.len().min(3).min(self.room - taken.len());
            if count == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failed_write_tells_exactly_which_lines_are_out() {
        let lines = ["first\n", "second\n", "third\n"];
        for room in 0..=19 {
            let taken = Arc::new(Mutex::new(Vec::new()));
            let disk = Disk { room, taken: Arc::clone(&taken), interrupted: false };
            let mut output = Output::new(disk, &Stop::new()).unwrap();
            let mut ends = Vec::new();
            for line in lines {
                output.buffer().extend_from_slice(line.as_bytes());
                ends.push(output.end());
                output.write_if_full().unwrap();
            }
            let result = output.write_out();
            assert_eq!(
                result.map_err(|error| error.kind()),
                if room == 19 { Ok(()) } else { Err(ErrorKind::StorageFull) }
            );
            let whole = ends.partition_point(|end| *end <= output.written());
            assert_eq!(whole, [6, 13, 19].into_iter().filter(|end| *end <= room).count(), "{room} bytes");
            assert_eq!(*lock(&taken), lines.concat().as_bytes()[..room]);
            // With nothing left to write either.
            assert_eq!(output.write_out().is_ok(), room == 19);
        }
    }

    #[test]
    fn what_gathers_is_written_in_pieces() {
        let mut output = Output::new(io::sink(), &Stop::new()).unwrap();
        output.buffer().resize(CHUNK - 1, b'x');
        output.write_if_full().unwrap();
        assert_eq!(output.written(), 0);
        output.buffer().push(b'\n');
        output.write_if_full().unwrap();
        assert_eq!((output.written(), output.end()), (CHUNK as u64, CHUNK as u64));
        output.write_out().unwrap();
    }

    /// Takes one byte, then blocks until it is dropped.
    struct Stuck(Receiver<()>, bool);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.1, true) {
                let _ = self.0.recv();
            }
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_does_not_hold_up_the_end() {
        let (hold, held) = channel();
        let stop = Stop::new();
        let mut output = Output::new(Stuck(held, false), &stop).unwrap();
        stop.ask();
        output.buffer().extend_from_slice(b"a\nb\n");
        assert_eq!(output.write_out().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!((output.written(), output.end()), (1, 4));
        drop(hold);
    }
}
