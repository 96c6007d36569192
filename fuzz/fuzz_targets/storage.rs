//! Files of the development broker's data directory.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    krs::devbroker::fuzz::recover(data);
    krs::devbroker::fuzz::read(data);
});
