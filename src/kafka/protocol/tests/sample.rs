//! Values for property tests: a message is built from random bytes, so that shrinking the bytes shrinks the message.

use crate::kafka::protocol::Bytes;

/// Random bytes that run out into zeros, which make the simplest values.
pub(in crate::kafka::protocol) struct Source {
    bytes: std::vec::IntoIter<u8>,
}

impl Source {
    pub(in crate::kafka::protocol) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into_iter() }
    }

    pub(in crate::kafka::protocol) fn byte(&mut self) -> u8 {
        self.bytes.next().unwrap_or(0)
    }

    /// Any integer, preferring the small ones and the ends of the ranges.
    pub(in crate::kafka::protocol) fn integer(&mut self) -> i64 {
        match self.byte() {
            selector @ 0..=127 => i64::from(selector),
            128..=159 => -i64::from(self.byte()),
            160..=167 => i64::MAX,
            168..=175 => i64::MIN,
            176..=183 => i64::from(i32::MAX),
            184..=191 => i64::from(i32::MIN),
            192..=223 => i64::from(i16::from_be_bytes([self.byte(), self.byte()])),
            _ => i64::from_be_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    /// The number of elements of an array: none to three.
    pub(in crate::kafka::protocol) fn count(&mut self) -> usize {
        usize::from(self.byte() % 4)
    }

    pub(in crate::kafka::protocol) fn string(&mut self) -> String {
        match self.byte() {
            length @ 0..=199 => (0..length % 12).map(|_| char::from(b' ' + self.byte() % 95)).collect(),
            length @ 200..=229 => "ä€𝄞".chars().cycle().take(usize::from(length % 7)).collect(),
            length => "long ".repeat(usize::from(length)),
        }
    }

    pub(in crate::kafka::protocol) fn bytes(&mut self) -> Bytes {
        let length = match self.byte() {
            length @ 0..=223 => usize::from(length % 40),
            length => usize::from(length) * 8,
        };
        Bytes::from((0..length).map(|_| self.byte()).collect::<Vec<_>>())
    }
}
