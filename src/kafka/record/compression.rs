//! The codecs of record batches, and their limits.
//!
//! Decompression trusts nothing: output grows as it arrives, up to [`Limits`], and nothing beyond a block is allocated
//! because a header claims a size. What fails leaves no output behind. All codecs are pure Rust; zstd compresses with the only
//! level its library has, about Kafka's level 1. Without the feature `compression` every codec is refused by name.

use std::fmt;

use crate::kafka::error::{Error, Result};

#[cfg(feature = "compression")]
mod codecs;

/// How the records of a batch are compressed (`compression.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all; the default.
    #[default]
    None,
    /// gzip, at its usual level 6.
    Gzip,
    /// Snappy, framed as Java does.
    Snappy,
    /// An LZ4 frame of independent 64 KiB blocks.
    Lz4,
    /// Zstandard (Kafka 2.1 and later).
    Zstd,
}

impl Compression {
    /// All of them, by id.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The value of `compression.type` for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Its number in the attributes of a batch.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The one with this number.
    pub(crate) fn from_id(id: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| i16::from(codec.id()) == id)
    }

    /// Whether this build can compress and decompress with it.
    ///
    /// # Errors
    /// Names the codec and the cargo feature that brings it.
    pub fn available(self) -> Result<()> {
        if self == Self::None || cfg!(feature = "compression") {
            return Ok(());
        }
        Err(Error::config(format!("{self} is not part of this build: it needs the cargo feature `compression`")))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far a compressed batch may unfold. The lower of both limits counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes, uncompressed. Default 64 MiB.
    pub bytes: usize,
    /// Uncompressed bytes for each compressed one, once there are more than [`FREE`](Self::FREE). Default 1024, the
    /// most that gzip can reach; zstd can exceed it, on records that are next to nothing but repetition.
    pub ratio: usize,
}

impl Limits {
    /// So many bytes are allowed at any ratio.
    pub const FREE: usize = 16 << 20;

    /// The limit for this many compressed bytes.
    pub fn for_input(self, compressed: usize) -> usize {
        self.bytes.min(compressed.saturating_mul(self.ratio).max(Self::FREE))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, ratio: 1024 }
    }
}

/// Compresses `input` and appends it to `out`, which does not grow for it: false if it has not enough room, and its end
/// is then nonsense.
///
/// # Errors
/// The codec is not part of this build.
pub(crate) fn compress(codec: Compression, input: &[u8], out: &mut Vec<u8>) -> Result<bool> {
    codec.available()?;
    #[cfg(feature = "compression")]
    return codecs::compress(codec, input, out)
        .map_err(|error| Error::state(format!("compressing with {codec}: {error}")));
    #[cfg(not(feature = "compression"))]
    Ok(push_if_room(out, input))
}

/// Appends these bytes if no more memory is needed for it.
fn push_if_room(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let fits = bytes.len() <= out.capacity() - out.len();
    if fits {
        out.extend_from_slice(bytes);
    }
    fits
}

/// Decompresses `input` into `out` from `start` on, where `out` may hold anything. It ends with the output, and at
/// `start` after an error.
///
/// # Errors
/// `input` is not what the codec writes, it is cut short, it unfolds past `limits`, or the codec is not part of this
/// build.
pub(crate) fn decompress(
    codec: Compression,
    input: &[u8],
    limits: Limits,
    out: &mut Vec<u8>,
    start: usize,
) -> Result<()> {
    codec.available()?;
    let mut sink = Sink { out, start, end: start, limit: limits.for_input(input.len()), over: false };
    #[cfg(feature = "compression")]
    let done = codecs::decompress(codec, input, &mut sink);
    #[cfg(not(feature = "compression"))]
    let done = sink.push(input);
    let Sink { end, limit, over, .. } = sink;
    let Err(what) = done else {
        out.truncate(end);
        return Ok(());
    };
    out.truncate(start);
    if over {
        return Err(Error::corrupt(format!("batch of {} bytes decompresses past {limit} ({codec})", input.len())));
    }
    Err(Error::corrupt(format!("corrupt {codec} data in a batch: {what}")))
}

/// Takes output as it arrives, up to the limit.
struct Sink<'a> {
    /// What it holds behind `end` is left over: a buffer that is used again need not be zeroed again.
    out: &'a mut Vec<u8>,
    /// Where the output begins, and where it ends so far: `start <= end <= start + limit`, `end <= out.len()`.
    start: usize,
    end: usize,
    limit: usize,
    /// Whether more than the limit was offered.
    over: bool,
}

/// Why decompression ended.
type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Sink<'_> {
    /// How much more it takes.
    fn left(&self) -> usize {
        self.limit - (self.end - self.start)
    }

    /// Fails, and remembers why, if it does not take this much more.
    fn check(&mut self, more: usize) -> Result<(), Failure> {
        if more <= self.left() {
            return Ok(());
        }
        self.over = true;
        Err("past the limit".into())
    }

    /// All that there is, and room for this much more and no more than the limit. What is then put there counts once
    /// `end` moves.
    fn room(&mut self, more: usize) -> Result<(&[u8], &mut [u8]), Failure> {
        self.check(more)?;
        let needed = self.end + more;
        if needed > self.out.capacity() {
            let wanted = (self.out.capacity() * 2).max(needed).min(self.start + self.limit);
            self.out.reserve_exact(wanted - self.out.len());
        }
        if needed > self.out.len() {
            self.out.resize(needed, 0);
        }
        let (before, behind) = self.out.split_at_mut(self.end);
        Ok((&before[self.start..], &mut behind[..more]))
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.room(bytes.len())?.1.copy_from_slice(bytes);
        self.end += bytes.len();
        Ok(())
    }
}

impl std::io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.push(bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
