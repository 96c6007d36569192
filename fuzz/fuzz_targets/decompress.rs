//! Compressed records, for each codec.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    krs::kafka::record::fuzz::decompress(data);
});
