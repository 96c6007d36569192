//! Lines out of a stream of bytes, whatever pieces it comes in.

use super::at_line;
use crate::{Error, Result};

/// Gathers bytes until a line is whole. It holds no more than the longest line and what came last.
#[derive(Debug)]
pub(super) struct Lines {
    /// Not empty.
    delimiter: Vec<u8>,
    longest: usize,
    /// The number of the last line that was whole.
    number: u64,
    most: u64,
    /// The beginning of the next line.
    rest: Vec<u8>,
}

impl Lines {
    /// Lines of at most so many bytes without what ends them; at most so many of them.
    pub(super) fn new(delimiter: Vec<u8>, longest: usize, count: Option<u64>) -> Self {
        Self { delimiter, longest, number: 0, most: count.unwrap_or(u64::MAX), rest: Vec::new() }
    }

    /// Whether there were as many as were asked for.
    pub(super) fn are_enough(&self) -> bool {
        self.number >= self.most
    }

    /// The number of the last line that was whole; 0 before the first.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether there is the beginning of a line that is wanted.
    pub(super) fn are_broken_off(&self) -> bool {
        !self.rest.is_empty() && !self.are_enough()
    }

    /// Takes what comes next, and hands over each line that is whole with it, with its number.
    ///
    /// # Errors
    /// A line is too long; or what the call returned.
    pub(super) fn feed(&mut self, bytes: &[u8], mut line: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        // What ends a line may come in two pieces.
        let mut from = self.rest.len().saturating_sub(self.delimiter.len() - 1);
        let mut begin = 0;
        self.rest.extend_from_slice(bytes);
        while self.number < self.most {
            let Some(found) = find(&self.rest[from..], &self.delimiter) else { break };
            self.number += 1;
            let whole = &self.rest[begin..from + found];
            if whole.len() > self.longest {
                return Err(self.too_long(self.number));
            }
            line(self.number, whole)?;
            begin = from + found + self.delimiter.len();
            from = begin;
        }
        self.rest.drain(..begin);
        if self.rest.len() > self.longest + self.delimiter.len() && !self.are_enough() {
            return Err(self.too_long(self.number + 1));
        }
        Ok(())
    }

    /// The input ended: what is left is the last line.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub(super) fn finish(&mut self, mut line: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        if self.rest.is_empty() || self.are_enough() {
            return Ok(());
        }
        self.number += 1;
        if self.rest.len() > self.longest {
            return Err(self.too_long(self.number));
        }
        line(self.number, &self.rest)
    }

    fn too_long(&self, number: u64) -> Error {
        let longest = self.longest;
        at_line(number, &format!("longer than message.max.bytes={longest}, which -X message.max.bytes=… raises"))
    }
}

/// Where `part`, which is not empty, first occurs.
pub(super) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    let first = *part.first()?;
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(part) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]], delimiter: &[u8], longest: usize, count: Option<u64>) -> Result<Vec<Vec<u8>>> {
        let mut split = Lines::new(delimiter.to_vec(), longest, count);
        let mut found = Vec::new();
        let mut take = |number: u64, line: &[u8]| {
            found.push(line.to_vec());
            assert_eq!(number, found.len() as u64);
            Ok(())
        };
        for piece in pieces {
            split.feed(piece, &mut take)?;
        }
        split.finish(&mut take)?;
        Ok(found)
    }

    #[test]
    fn the_last_line_needs_no_end_and_an_empty_line_is_a_line() {
        assert_eq!(lines(&[b"a\n\nb"], b"\n", 9, None).unwrap(), [&b"a"[..], b"", b"b"]);
        assert_eq!(lines(&[b"a\n", b"\n"], b"\n", 9, None).unwrap(), [&b"a"[..], b""]);
        assert_eq!(lines(&[b""], b"\n", 9, None).unwrap(), [b""; 0]);
        assert_eq!(lines(&[b"a\r\n\xff\0"], b"\n", 9, None).unwrap(), [&b"a\r"[..], b"\xff\0"]);
    }

    #[test]
    fn no_more_than_were_asked_for() {
        assert_eq!(lines(&[b"a\nb\nc\n"], b"\n", 9, Some(2)).unwrap(), [b"a", b"b"]);
        assert_eq!(lines(&[b"a\nb"], b"\n", 9, Some(1)).unwrap(), [b"a"]);
        assert_eq!(lines(&[b"a\nmuch too long"], b"\n", 3, Some(1)).unwrap(), [b"a"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_named() {
        for pieces in [&[&b"abc\nabcd\n"[..]][..], &[b"abc\nab", b"cd"], &[b"abc\n", b"abcdefgh", b"\n"]] {
            let error = lines(pieces, b"\n", 3, None).unwrap_err().to_string();
            assert!(error.starts_with("line 2 of standard input: longer than message.max.bytes=3"), "{error}");
        }
        assert_eq!(lines(&[b"abc\r\n"], b"\r\n", 3, None).unwrap(), [b"abc"]);
    }

    proptest! {
        #[test]
        fn the_pieces_make_no_difference(
            text in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'-'), Just(b'>')], 0..60),
            delimiter in prop_oneof![Just(&b"-"[..]), Just(&b"->"[..]), Just(&b"-->"[..])],
            size in 1usize..10,
        ) {
            let whole = lines(&[&text], delimiter, 60, None).unwrap();
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            prop_assert_eq!(&lines(&pieces, delimiter, 60, None).unwrap(), &whole);
            let mut joined = whole.join(delimiter);
            if text.ends_with(delimiter) && !whole.is_empty() {
                joined.extend_from_slice(delimiter);
            }
            prop_assert_eq!(joined, text);
        }
    }
}
