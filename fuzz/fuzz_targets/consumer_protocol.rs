//! What members of a group say to each other.
#![no_main]

use krs::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    fuzz::subscription(data);
    fuzz::assignment(data);
});
