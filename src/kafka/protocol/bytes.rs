//! A slice of a shared buffer.
//!
//! A response is read into one allocation; record payloads and group metadata in it are handed on as [`Bytes`], which
//! keep that allocation alive and copy nothing. Deliberately small: no mutation, no concatenation.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, LazyLock};

static EMPTY: LazyLock<Arc<Vec<u8>>> = LazyLock::new(Arc::default);

/// A cheap-to-clone, read-only range of a shared buffer. Equality and order of bytes count, not where they lie.
#[derive(Clone)]
pub struct Bytes {
    frame: Arc<Vec<u8>>,
    /// `start <= end <= frame.len()`
    start: usize,
    end: usize,
}

impl Bytes {
    /// This range of a buffer that others share.
    ///
    /// # Panics
    /// If the range does not lie within the buffer.
    pub fn from_shared(frame: Arc<Vec<u8>>, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= frame.len(), "range {range:?} of {} bytes", frame.len());
        Self { frame, start: range.start, end: range.end }
    }

    /// A part of these bytes, counted from their start; shares the buffer.
    ///
    /// # Panics
    /// If the range does not lie within these bytes.
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len(), "range {range:?} of {} bytes", self.len());
        Self { frame: Arc::clone(&self.frame), start: self.start + range.start, end: self.start + range.end }
    }

    /// The buffer behind these bytes, for taking it back with [`Arc::try_unwrap`] when no one else holds it.
    pub fn into_shared(self) -> Arc<Vec<u8>> {
        self.frame
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self { frame: Arc::clone(&EMPTY), start: 0, end: 0 }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(buffer: Vec<u8>) -> Self {
        let end = buffer.len();
        Self { frame: Arc::new(buffer), start: 0, end }
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self::from(bytes.to_vec())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.frame[self.start..self.end]
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Bytes {}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        write!(f, "{} bytes", self.len())?;
        if !self.is_empty() {
            f.write_str(" ")?;
        }
        for byte in self.iter().take(SHOWN) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(if self.len() > SHOWN { "…" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_shares_the_buffer_and_compares_by_content() {
        let bytes = Bytes::from(b"hello world".to_vec());
        let world = bytes.slice(6..11);
        assert_eq!(&world[..], b"world");
        assert_eq!(world.slice(1..3), Bytes::from(b"or".to_vec()));
        assert!(Arc::ptr_eq(&bytes.into_shared(), &world.into_shared()));
    }

    #[test]
    fn debug_shows_the_length_and_only_the_first_bytes() {
        assert_eq!(format!("{:?}", Bytes::default()), "0 bytes");
        assert_eq!(format!("{:?}", Bytes::from(vec![1, 0xab])), "2 bytes 01ab");
        assert_eq!(format!("{:?}", Bytes::from(vec![0; 17])), format!("17 bytes {}…", "00".repeat(16)));
    }

    #[test]
    #[should_panic(expected = "range 2..9 of 5 bytes")]
    fn a_slice_cannot_reach_beyond_its_parent() {
        let _ = Bytes::from(vec![0; 10]).slice(0..5).slice(2..9);
    }
}
