//! The body of any request: one byte chooses the API, one the version, the rest is the body.
#![no_main]

use krs::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let [api, version, body @ ..] = data {
        let apis = fuzz::apis();
        let fuzz::Api { key, min, max, .. } = apis[usize::from(*api) % apis.len()];
        fuzz::request(key, min + i16::from(*version) % (max - min + 1), body);
    }
});
