/// So far apart are two equal values: twice as far as LZ4 looks back.
const SPAN: usize = 128 * 1024;

/// Most distinct values, for sizes so small that more of them would be no more different.
const MOST: usize = 4096;

/// What is sent: values of one size whose first half does not compress and whose second half is zero, so that LZ4 gets
/// about 2:1. The same in every run (xorshift64). They are made beforehand; taking one costs next to nothing.
#[derive(Clone, Debug)]
pub struct Values {
    bytes: Vec<u8>,
    size: usize,
    distinct: u64,
}

impl Values {
    pub fn new(size: usize) -> Self {
        let distinct = SPAN.div_ceil(size.max(1)).min(MOST);
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut bytes = vec![0; distinct * size];
        for value in bytes.chunks_exact_mut(size.max(1)) {
            for byte in &mut value[..size.div_ceil(2)] {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = (state >> 32) as u8;
            }
        }
        Self { bytes, size, distinct: distinct as u64 }
    }

    /// The value of the record with this index.
    pub fn get(&self, index: u64) -> &[u8] {
        let place = (index % self.distinct) as usize * self.size;
        &self.bytes[place..place + self.size]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_value_is_zero_and_near_values_differ() {
        for size in [8, 100, 1024, 1_000_000] {
            let values = Values::new(size);
            let value = values.get(0);
            assert_eq!(value.len(), size);
            assert!(value[..size / 2].iter().any(|byte| *byte != 0));
            assert!(value[size / 2 + size % 2..].iter().all(|byte| *byte == 0));
            assert_eq!(values.get(values.distinct), value);
            assert!(values.distinct == 1 || values.get(1) != value);
        }
    }

    #[test]
    fn a_value_may_be_empty() {
        assert_eq!(Values::new(0).get(5), b"");
    }
}
