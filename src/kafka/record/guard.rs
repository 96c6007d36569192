//! Entry points for counting instructions: the work per record that `send` and `poll` cannot do without, on one thread
//! and the same in every run. `benches/instructions.rs` runs them.
//!
//! Checksums are left out: their kernel depends on the processor.

use super::Header;
use super::batch;
use super::builder::BatchBuilder;
use super::compression::Compression;
use crate::kafka::protocol::Bytes;

/// Fills a batch of `limit` bytes again and again with records of `size` bytes, without keys, or with a key and two
/// headers, until it took `count`. Returns the last batch that was full.
pub fn append(count: usize, size: usize, limit: usize, adorned: bool) -> Vec<u8> {
    let value = filler(size);
    let headers = [Header { key: "sequence", value: Some(&value[..8]) }, Header { key: "empty", value: None }];
    let (key, headers) = if adorned { (Some(&value[..16]), &headers[..]) } else { (None, &[][..]) };
    let mut builder = BatchBuilder::new(Vec::with_capacity(limit));
    let (mut full, mut timestamp) = (Vec::with_capacity(limit), 1_700_000_000_000);
    for index in 0..count {
        timestamp += i64::from(index % 64 == 0);
        let taken = builder.try_append(limit, key, Some(&value), headers, timestamp);
        if !taken.is_ok_and(|taken| taken) {
            let closed = std::mem::replace(&mut builder, BatchBuilder::new(std::mem::take(&mut full)));
            full = closed.close(Compression::None).unwrap_or_default();
        }
    }
    full
}

/// Validates the batches and walks through their records, `times` over; returns the number of records and of the bytes
/// in their keys, values and headers.
pub fn read(bytes: &[u8], times: usize) -> (usize, usize) {
    let (mut records, mut sum) = (0, 0);
    let bytes = Bytes::from(bytes.to_vec());
    for batch in (0..times).flat_map(|_| batch::batches(&bytes)) {
        let Ok(batch) = batch else { break };
        if batch.validate().is_err() {
            break;
        }
        for record in batch.records() {
            records += 1;
            sum += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            sum += record.headers.map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len)).sum::<usize>();
        }
    }
    (records, sum)
}

/// The same bytes in every run (xorshift64).
fn filler(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    bytes.flatten().take(size.max(16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_the_work_that_it_is_said_to_be() {
        let batch = append(1_000, 100, 10_000, false);
        let each = 1 + 2 + 1 + 1 + 1 + 2 + 100 + 1;
        let (records, bytes) = read(&batch, 3);
        assert!(batch.len() <= 10_000 && batch.len() > 10_000 - 2 * each, "{}", batch.len());
        assert_eq!(bytes, records * 100);
        assert_eq!(records % 3, 0);
        assert!(records / 3 * each >= batch.len() - 200);
        let (records, bytes) = read(&append(1_000, 100, 10_000, true), 1);
        assert_eq!(bytes, records * (16 + 100 + 8 + 8 + 5));
        assert!(records > 50);
    }
}
