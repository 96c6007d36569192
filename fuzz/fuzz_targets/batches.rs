//! Record batches, as a broker would return them for one partition.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    krs::kafka::record::fuzz::read_batches(data);
});
