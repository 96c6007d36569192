//! One program for each path that is taken once per record, for counting its instructions: `scripts/instructions`.
//!
//! `cargo bench --bench instructions -- append` runs one; without a name it lists them.

use std::hint::black_box;

use krs::kafka::record::guard;

const RECORDS: usize = 200_000;
/// Nearer to what is sent by default than the smallest batches, and many of them.
const BATCH: usize = 200_000;

const PROGRAMS: &[(&str, fn())] = &[
    ("append", || drop(black_box(guard::append(RECORDS, 100, BATCH, false)))),
    ("append-headers", || drop(black_box(guard::append(RECORDS, 100, BATCH, true)))),
    ("read", || read(false)),
    ("read-headers", || read(true)),
];

fn read(adorned: bool) {
    let batch = guard::append(4 * BATCH / 100, 100, BATCH, adorned);
    let (records, _) = black_box(guard::read(&batch, 100));
    assert!(records > 100_000, "the batch holds {records} records only");
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    for name in &asked {
        match PROGRAMS.iter().find(|(known, _)| known == name) {
            Some((_, program)) => program(),
            None => panic!("{name} is none of the programs"),
        }
    }
    if asked.is_empty() {
        PROGRAMS.iter().for_each(|(name, _)| println!("{name}"));
    }
}
