//! Whole frames from a stream, each in one reusable buffer that the decoded fields share.

use std::io;
use std::sync::Arc;

use super::transport::Stream;
use crate::clock::Deadline;
use crate::kafka::protocol::{Bytes, Spares, frame};

/// A frame's claimed size is believed in steps of this: memory grows as bytes really arrive.
const STEP: usize = 1 << 20;

/// Bytes before a frame that say how long it is.
const PREFIX: usize = 4;

/// How much memory a connection takes.
struct Sizes {
    /// Room for most frames; a buffer never starts smaller.
    small: usize,
    /// How many buffers are kept for reuse, and the largest that is.
    kept: usize,
    largest_kept: usize,
}

/// A client has few connections; `small` is room for every answer but a fetch.
const ANSWERS: Sizes = Sizes { small: 16 << 10, kept: 6, largest_kept: 16 << 20 };
/// A broker has many, most of them idle.
#[cfg(feature = "devbroker")]
const REQUESTS: Sizes = Sizes { small: 1 << 10, kept: 1, largest_kept: 2 << 20 };

/// Why no frame came.
pub(crate) enum NoFrame {
    /// The peer closed; the flag says whether in the middle of a frame.
    Closed { inside: bool },
    /// The system's error, a timeout among them.
    Io(io::Error),
    /// The size prefix is not one of Kafka's.
    BadSize(crate::kafka::error::Error),
}

/// Cuts the stream into frames.
///
/// One `read` usually brings a whole small answer. Bytes beyond the frame at hand are carried into the next buffer.
pub(crate) struct FrameReader {
    stream: Stream,
    limit: usize,
    sizes: &'static Sizes,
    /// The buffer being filled. Never shared: its frame has not been handed out.
    /// All of its length is initialised; `filled` says how much of that was read.
    buffer: Arc<Vec<u8>>,
    filled: usize,
    /// Buffers handed out before.
    spares: Spares,
}

impl FrameReader {
    /// For a client, which reads answers of up to `limit` bytes.
    pub(super) fn new(stream: Stream, limit: usize) -> Self {
        Self::with(stream, limit, &ANSWERS)
    }

    /// For a broker, which reads requests of up to `limit` bytes.
    #[cfg(feature = "devbroker")]
    pub(crate) fn of_requests(stream: Stream, limit: usize) -> Self {
        Self::with(stream, limit, &REQUESTS)
    }

    fn with(stream: Stream, limit: usize, sizes: &'static Sizes) -> Self {
        Self { stream, limit, sizes, buffer: Arc::default(), filled: 0, spares: Spares::new(sizes.kept, usize::MAX) }
    }

    /// The next frame, without its size prefix.
    pub(crate) fn read(&mut self, deadline: Option<Deadline>) -> Result<Bytes, NoFrame> {
        let end = PREFIX + self.size(deadline)?;
        // A little more than the frame may be read, so that the next answer may come with it.
        self.fill(end, end, deadline)?;
        let (excess, next) = (self.filled - end, self.take_buffer(self.filled - end));
        let done = std::mem::replace(&mut self.buffer, next);
        if excess > 0 {
            unshared(&mut self.buffer)[..excess].copy_from_slice(&done[end..self.filled]);
        }
        self.filled = excess;
        if done.len() <= self.sizes.largest_kept {
            self.spares.keep(Arc::clone(&done));
        }
        Ok(Bytes::from_shared(done, PREFIX..end))
    }

    /// The first bytes of the next frame, which stays to be read; no frame is shorter.
    #[cfg(feature = "devbroker")]
    pub(crate) fn begin(&mut self, deadline: Option<Deadline>) -> Result<[u8; 4], NoFrame> {
        self.size(deadline)?;
        let mut first = [0; 4];
        let end = PREFIX + first.len();
        self.fill(end, self.sizes.small, deadline)?;
        first.copy_from_slice(&self.buffer[PREFIX..end]);
        Ok(first)
    }

    /// The size of the next frame, without its prefix.
    fn size(&mut self, deadline: Option<Deadline>) -> Result<usize, NoFrame> {
        self.fill(PREFIX, self.sizes.small, deadline)?;
        let mut prefix = [0; PREFIX];
        prefix.copy_from_slice(&self.buffer[..PREFIX]);
        frame::check_size(prefix, self.limit).map_err(NoFrame::BadSize)
    }

    /// Reads until at least `needed` bytes are there; `room` is how large the buffer should be for that.
    fn fill(&mut self, needed: usize, room: usize, deadline: Option<Deadline>) -> Result<(), NoFrame> {
        let small = self.sizes.small;
        while self.filled < needed {
            let buffer = unshared(&mut self.buffer);
            if buffer.len() < room && (self.filled == buffer.len() || buffer.len() < small) {
                let step = room.min(self.filled + (buffer.len()).max(STEP)).max(small);
                buffer.resize(step, 0);
            }
            let until = buffer.len().min(room + small);
            match self.stream.read(&mut buffer[self.filled..until], deadline) {
                Ok(0) => return Err(NoFrame::Closed { inside: self.filled > 0 }),
                Ok(read) => self.filled += read,
                Err(error) => return Err(NoFrame::Io(error)),
            }
        }
        Ok(())
    }

    /// A free buffer of at least `room`, or a new one.
    fn take_buffer(&mut self, room: usize) -> Arc<Vec<u8>> {
        let mut buffer = self.spares.take();
        let bytes = unshared(&mut buffer);
        let room = room.max(self.sizes.small);
        if bytes.len() < room {
            bytes.resize(room, 0);
        }
        buffer
    }
}

/// The one owner's view. Only buffers without another owner are ever filled.
fn unshared(buffer: &mut Arc<Vec<u8>>) -> &mut Vec<u8> {
    Arc::make_mut(buffer)
}
