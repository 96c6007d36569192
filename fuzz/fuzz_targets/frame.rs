//! Whole frames, without their size: as a request, and as the response to the API and version in the first two bytes.
#![no_main]

use krs::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    fuzz::request_frame(data);
    if let [api, version, frame @ ..] = data {
        fuzz::response_frame(i16::from(*api), i16::from(*version), frame);
    }
});
