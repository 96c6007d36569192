//! Topic ids and directory ids.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

use crate::kafka::error::{Error, Result};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Sixteen bytes that name a topic (KIP-516) or a log directory; shown as Kafka shows them, in URL-safe base 64.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Kafka's "no id".
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// One that nobody else has.
    pub fn random() -> Self {
        // Keys of hashers are random, and differ from one to the next.
        let half = || RandomState::new().build_hasher().finish().to_be_bytes();
        let (first, second) = (half(), half());
        Self(std::array::from_fn(|i| if i < 8 { first[i] } else { second[i - 8] }))
    }

    /// Whether this is [`ZERO`](Self::ZERO).
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(24);
        for group in self.0.chunks(3) {
            let bits = group.iter().enumerate().fold(0u32, |bits, (i, &byte)| bits | u32::from(byte) << (16 - 8 * i));
            for digit in 0..=group.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * digit)) as usize & 63]));
            }
        }
        f.write_str(&text)
    }
}

impl FromStr for Uuid {
    type Err = Error;

    /// Reads the form in which it is shown.
    fn from_str(text: &str) -> Result<Self> {
        let digit = |byte: u8| ALPHABET.iter().position(|known| *known == byte).map(|digit| digit as u128);
        // 128 bits in 22 digits of six: the last digit brings two.
        let id = text.as_bytes().split_last().filter(|(_, first)| first.len() == 21).and_then(|(last, first)| {
            let bits = first.iter().try_fold(0, |bits, byte| Some(bits << 6 | digit(*byte)?))?;
            let last = digit(*last).filter(|last| last & 0x0f == 0)?;
            Some(Uuid((bits << 2 | last >> 4).to_be_bytes()))
        });
        id.ok_or_else(|| Error::protocol(format!("\"{}\" is no id", text.escape_debug())))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_shown_as_kafka_shows_it() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        let id = Uuid(std::array::from_fn(|i| (i * 17) as u8));
        assert_eq!(id.to_string(), "ABEiM0RVZneImaq7zN3u_w");
    }

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        for id in [Uuid::ZERO, Uuid([0xff; 16]), Uuid(std::array::from_fn(|i| (i * 17) as u8))] {
            assert_eq!(id.to_string().parse::<Uuid>().unwrap(), id);
        }
        for wrong in
            ["", "ABEiM0RVZneImaq7zN3u_", "ABEiM0RVZneImaq7zN3u_x", "ABEiM0RVZneImaq7zN3u_ww", "ABEiM0RVZneImaq7zN3u+w"]
        {
            assert!(wrong.parse::<Uuid>().is_err(), "{wrong}");
        }
    }
}
