//! Entry points for fuzzing: any file may be found in a data directory.

use super::{offsets, recovery, topics};

/// Reads the bytes as a log; returns the number of records that are taken.
///
/// # Panics
/// If what was taken is not taken again.
pub fn recover(bytes: &[u8]) -> i64 {
    // Reading from memory cannot fail.
    let Ok(done) = recovery::recover(bytes, 0, |_, _| {}) else { return 0 };
    let Ok(again) = recovery::recover(&bytes[..done.size as usize], 0, |_, _| {}) else { return 0 };
    assert_eq!((again.size, again.end, again.wrong), (done.size, done.end, None));
    done.end
}

/// Reads the bytes as a file of topics and as an entry of committed offsets.
pub fn read(bytes: &[u8]) {
    let _ = topics::parse(&String::from_utf8_lossy(bytes));
    let (key, value) = bytes.split_at(bytes.len() / 2);
    let _ = offsets::read_entry(key, Some(value));
}
