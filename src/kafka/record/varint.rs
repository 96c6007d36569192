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
#[inline]
pub(crate) fn take_i32(rest: &mut &[u8]) -> Option<i32> {
    let (&first, tail) = rest.split_first()?;
    if first < 0x80 {
        *rest = tail;
        return Some(unzigzag(u64::from(first)) as i32);
    }
    let unsigned = take_long(rest, MAX_I32)? as u32;
    Some((unsigned >> 1) as i32 ^ -((unsigned & 1) as i32))
}

/// Takes an `i64` from the front of `rest`; `None` if it does not end within ten bytes or within the slice.
#[inline]
pub(crate) fn take_i64(rest: &mut &[u8]) -> Option<i64> {
    let (&first, tail) = rest.split_first()?;
    if first < 0x80 {
        *rest = tail;
        return Some(unzigzag(u64::from(first)));
    }
    take_long(rest, MAX_I64).map(unzigzag)
}

#[inline]
const fn unzigzag(unsigned: u64) -> i64 {
    (unsigned >> 1) as i64 ^ -((unsigned & 1) as i64)
}

fn take_long(rest: &mut &[u8], max: usize) -> Option<u64> {
    let mut unsigned = 0;
    for (index, &byte) in rest.iter().take(max).enumerate() {
        unsigned |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *rest = &rest[index + 1..];
            return Some(unsigned);
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

    proptest! {
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
