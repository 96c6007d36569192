//! Variable-length integers of the record format: protobuf's base 128, zigzag for signs (KIP-98).
//!
//! Reading takes at most five bytes for an `i32` and ten for an `i64` and, like Kafka, ignores bits beyond the type.
//! It never reads outside the slice and refuses what does not end in it.

/// The longest encoding of an `i32`.
pub(crate) const MAX_I32: usize = 5;
/// The longest encoding of an `i64`.
pub(crate) const MAX_I64: usize = 10;

/// Maps signed to unsigned so that small magnitudes stay small.
#[inline]
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// How many bytes `unsigned` takes, one for zero.
#[inline]
pub(crate) const fn unsigned_len(unsigned: u64) -> usize {
    // Every seven bits begin a byte: (bits * 9 + 64) / 64 is ceil(bits / 7) for 1..=64 bits.
    let bits = 64 - (unsigned | 1).leading_zeros() as usize;
    (bits * 9 + 64) / 64
}

/// Writes `unsigned` into `target` at `at` and returns where it ends.
#[inline]
pub(crate) fn put<const N: usize>(target: &mut [u8; N], mut at: usize, mut unsigned: u64) -> usize {
    while unsigned >= 0x80 {
        target[at] = unsigned as u8 | 0x80;
        unsigned >>= 7;
        at += 1;
    }
    target[at] = unsigned as u8;
    at + 1
}

/// Takes an `i32` from the front of `rest`; `None` if it does not end within five bytes or within the slice.
#[inline(always)]
pub(crate) fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    take(rest, MAX_I32).map(|unsigned| {
        let unsigned = unsigned as u32;
        (unsigned >> 1) as i32 ^ -((unsigned & 1) as i32)
    })
}

/// Takes an `i64` from the front of `rest`; `None` if it does not end within ten bytes or within the slice.
#[inline(always)]
pub(crate) fn take_i64(rest: &mut &[u8]) -> Option<i64> {
    take(rest, MAX_I64).map(|unsigned| (unsigned >> 1) as i64 ^ -((unsigned & 1) as i64))
}

/// Nearly all of them take one byte or two: these cost a few instructions in place of a call and a loop.
#[inline(always)]
fn take(rest: &mut &[u8], max: usize) -> Option<u64> {
    match *rest {
        [first @ ..0x80, tail @ ..] => {
            *rest = tail;
            Some(u64::from(*first))
        }
        [first, second @ ..0x80, tail @ ..] => {
            *rest = tail;
            Some(u64::from(*first & 0x7f) | u64::from(*second) << 7)
        }
        bytes => {
            let (unsigned, size) = long(bytes, max)?;
            *rest = bytes.get(size..)?;
            Some(unsigned)
        }
    }
}

/// A number and how many bytes it took. By value, so that what is read from can stay in registers.
#[cold]
fn long(bytes: &[u8], max: usize) -> Option<(u64, usize)> {
    let mut unsigned = 0;
    for (index, &byte) in bytes.iter().take(max).enumerate() {
        unsigned |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((unsigned, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: i64) -> Vec<u8> {
        let mut bytes = [0; MAX_I64];
        let end = put(&mut bytes, 0, zigzag(value));
        bytes[..end].to_vec()
    }

    #[test]
    fn known_encodings() {
        for (value, bytes) in [(0, &[0][..]), (-1, &[1]), (63, &[0x7e]), (-64, &[0x7f]), (64, &[0x80, 1])] {
            assert_eq!(encoded(value), bytes, "{value}");
        }
        assert_eq!(encoded(i64::from(i32::MAX)).len(), MAX_I32);
        assert_eq!(encoded(i64::MIN).len(), MAX_I64);
    }

    #[test]
    fn unending_and_cut_integers_are_refused() {
        assert_eq!(take_i32(&mut &[0x80; 5][..]), None);
        assert_eq!(take_i32(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0][..]), None);
        assert_eq!(take_i32(&mut &[0x80, 0x80, 0x80, 0x80, 0][..]), Some(0));
        assert_eq!(take_i64(&mut &[0x80; 10][..]), None);
        assert_eq!(take_i32(&mut &[][..]), None);
        assert_eq!(take_i64(&mut &[0xff][..]), None);
    }

    /// What the bytes begin with, by the definition alone: the number and how many bytes it took.
    fn defined(bytes: &[u8], max: usize, bits: u32) -> Option<(i128, usize)> {
        let last = bytes.iter().take(max).position(|&byte| byte < 0x80)?;
        let unsigned = bytes[..=last].iter().rev().fold(0u128, |sum, &byte| sum * 128 + u128::from(byte % 128));
        let unsigned = (unsigned % (1 << bits)) as i128;
        Some((if unsigned % 2 == 0 { unsigned / 2 } else { -(unsigned + 1) / 2 }, last + 1))
    }

    /// Both readers do as defined, and leave what is behind the number.
    fn as_defined(bytes: &[u8]) {
        let mut rest = bytes;
        let taken = take_i32(&mut rest).map(|value| (i128::from(value), bytes.len() - rest.len()));
        assert_eq!(taken, defined(bytes, MAX_I32, 32), "i32 of {bytes:02x?}");
        let mut rest = bytes;
        let taken = take_i64(&mut rest).map(|value| (i128::from(value), bytes.len() - rest.len()));
        assert_eq!(taken, defined(bytes, MAX_I64, 64), "i64 of {bytes:02x?}");
    }

    /// Lengths on both sides of what is allowed; with digits of 0 at the end it is longer than it need be.
    #[test]
    fn integers_of_every_length_cut_anywhere() {
        for length in 1..=MAX_I64 + 2 {
            for digit in 0..0x80 {
                for last in [0, 1, 0x0f, 0x7f] {
                    let mut bytes = vec![digit | 0x80; length - 1];
                    bytes.extend([last, 0xff, 0]);
                    (0..=bytes.len()).for_each(|cut| as_defined(&bytes[..cut]));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn integers_are_read_as_defined(mut bytes: [u8; MAX_I64 + 2], length in 1..MAX_I64 + 3, cut in 0..MAX_I64 + 3) {
            bytes[..length - 1].iter_mut().for_each(|byte| *byte |= 0x80);
            bytes[length - 1] &= 0x7f;
            as_defined(&bytes[..cut.max(length)]);
            as_defined(&bytes[..cut]);
        }

        #[test]
        fn integers_survive(value: i64, shift in 0u32..64) {
            let value = value >> shift;
            let bytes = encoded(value);
            prop_assert_eq!(bytes.len(), unsigned_len(zigzag(value)));
            let mut rest = &bytes[..];
            prop_assert_eq!(take_i64(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
            if let Ok(small) = i32::try_from(value) {
                prop_assert_eq!(take_i32(&mut &bytes[..]), Some(small));
            }
        }
    }
}
