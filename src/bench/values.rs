//! What is sent: values of one size whose first half does not compress and whose second half is zero, so that LZ4 makes
//! them about half as long. They are the same in every run, and made before the clock starts.

/// Equal values are so far apart at least, twice as far as LZ4 looks back, unless they are very small or very large.
const SPAN: usize = 128 * 1024;

const MAX_DISTINCT: usize = 4096;

#[derive(Clone, Debug)]
pub(super) struct Values {
    bytes: Vec<u8>,
    size: usize,
    distinct: usize,
}

impl Values {
    pub fn new(size: usize) -> Self {
        let distinct = SPAN.div_ceil(size.max(1)).min(MAX_DISTINCT);
        let mut bytes = vec![0; distinct * size];
        // xorshift64.
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        for value in bytes.chunks_exact_mut(size.max(1)) {
            for byte in &mut value[..size.div_ceil(2)] {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = (state >> 32) as u8;
            }
        }
        Self { bytes, size, distinct }
    }

    /// All of them again and again, beginning at one that is different for each of several threads.
    pub fn from(&self, nth: usize) -> impl Iterator<Item = &[u8]> {
        let value = |at: usize| &self.bytes[at * self.size..(at + 1) * self.size];
        (0..self.distinct).cycle().skip(nth % self.distinct).map(value)
    }

    /// One of them, to be written to.
    pub fn nth_mut(&mut self, nth: u64) -> &mut [u8] {
        let at = (nth % self.distinct as u64) as usize * self.size;
        &mut self.bytes[at..at + self.size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_value_is_zero_and_near_values_differ() {
        for size in [8, 100, 1024, 1_000_000] {
            let values = Values::new(size);
            let some: Vec<_> = values.from(0).take(values.distinct + 1).collect();
            assert!(some[0].len() == size && some[0][size.div_ceil(2)..].iter().all(|byte| *byte == 0));
            assert_eq!(some[0], some[values.distinct]);
            assert!(values.distinct == 1 || some[0] != some[1]);
            let distinct: std::collections::HashSet<_> = some[0].iter().collect();
            assert!(distinct.len() > size.min(200) / 3, "{size}");
            assert_eq!(values.from(values.distinct + 1).next(), values.from(1).next());
        }
        assert_eq!(Values::new(100).bytes, Values::new(100).bytes, "the same in every run");
    }

    #[test]
    fn values_may_be_empty() {
        assert!(Values::new(0).from(3).take(5).all(<[u8]>::is_empty));
    }
}
