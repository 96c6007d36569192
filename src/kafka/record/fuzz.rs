//! Entry points for fuzzing: anything goes in, nothing may panic, hang or take memory without bounds.

use super::batch;
use super::compression::{self, Compression, Limits};
use crate::kafka::protocol::Bytes;

const LIMITS: Limits = Limits { bytes: 1 << 20, ratio: 1024 };

/// Reads whatever batches there are, without asking their checksums; returns the number of records.
pub fn read_batches(bytes: &[u8]) -> usize {
    let mut count = 0;
    for batch in batch::batches(&Bytes::from(bytes.to_vec())) {
        let Ok(batch) = batch.and_then(|batch| batch.decompress(LIMITS)) else { continue };
        let valid = batch.validate().is_ok();
        let mut records = 0;
        for record in batch.records() {
            records += 1;
            let announced = record.headers.len();
            let headers = record.headers.inspect(|header| drop(header.key_lossy())).count();
            assert!(!valid || headers == announced, "a header got lost in a valid batch");
        }
        assert!(!valid || records == batch.count() as usize, "a record got lost in a valid batch");
        count += records;
    }
    count
}

/// Decompresses with each codec; returns the number of bytes.
pub fn decompress(input: &[u8]) -> usize {
    Compression::ALL
        .into_iter()
        .map(|codec| {
            let mut out = Vec::new();
            let done = compression::decompress(codec, input, LIMITS, &mut out, 0);
            assert!(out.len() <= LIMITS.bytes && (done.is_ok() || out.is_empty()));
            // Nothing that a buffer held before may show.
            let mut used = vec![0xaa; 5000];
            let again = compression::decompress(codec, input, LIMITS, &mut used, 3);
            assert!(again.is_ok() == done.is_ok() && used[..3] == [0xaa; 3] && used[3..] == out[..]);
            out.len()
        })
        .sum()
}
