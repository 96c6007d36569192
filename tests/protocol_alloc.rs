//! A peer cannot make a decoder reserve memory by claiming it: whatever a message says about its lengths, reading it
//! takes a small multiple of the bytes that really came.
//!
//! The measure is an allocator that counts, so this is a program of its own with a single test.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use krs::fuzz::{self, Api};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(bytes: usize) {
    let now = NOW.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(now, Relaxed);
}

// SAFETY: everything is the system allocator's; only sizes are counted beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may exist for a moment.
        grow(size);
        let moved = unsafe { System.realloc(memory, layout, size) };
        NOW.fetch_sub(layout.size(), Relaxed);
        moved
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What grows the most is a group in the answer to ListGroups 3: two empty strings and no tags are three bytes on the wire
/// and 96 in memory, for later versions have two strings more, and three times that while a vector of them grows.
const TIMES: usize = 100;

/// Errors have a text, and an empty message has its structs.
const CONSTANT: usize = 4096;

fn bounded(what: std::fmt::Arguments<'_>, length: usize, read: impl FnOnce()) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    read();
    let peak = PEAK.load(Relaxed) - before;
    assert!(peak <= TIMES * length + CONSTANT, "{what}: {peak} bytes reserved for {length}");
}

const API_VERSIONS: i16 = 18;

/// The body as a request and as a response of this API, in frames of their own.
fn read(api: Api, version: i16, body: &[u8]) {
    let key = api.key;
    let tags: &[u8] = if version >= api.flexible { &[0] } else { &[] };
    let request = [&key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 1, 0xff, 0xff], tags, body].concat();
    bounded(format_args!("request {key} version {version}"), request.len(), || {
        fuzz::request_frame(&request);
    });
    let tags: &[u8] = if key == API_VERSIONS { &[] } else { tags };
    let response = [&[0, 0, 0, 1][..], tags, body].concat();
    bounded(format_args!("response {key} version {version}"), response.len(), || {
        fuzz::response_frame(key, version, &response);
    });
}

const LIES: [&[u8]; 4] = [&[0x7f, 0xff, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0, 0, 0x20, 0], &[0x80, 0x40]];

/// What claims are followed by: nothing much, or what many elements could be. The last are structs of two empty strings.
const FILLS: [(&[u8], usize); 5] = [(&[0], 16), (&[0], 9000), (&[1], 9000), (&[2], 9000), (&[1, 1, 0], 3000)];

/// Claims at every depth that a short body can reach, before nothing and before much that looks like elements.
fn claims(api: Api) {
    let fills = FILLS.map(|(fill, times)| fill.repeat(times));
    for version in api.min..=api.max {
        for prefix in 0..24 {
            for count in LIES {
                for fill in &fills {
                    read(api, version, &[&vec![0; prefix], count, &fill[..]].concat());
                }
            }
        }
    }
}

/// A real message with a lie at every place.
fn lies(name: &str, message: &[u8], apis: &[Api]) {
    let (name, version) = name.split_once(' ').unwrap();
    let api = apis.iter().find(|api| api.request == name.replace("Response", "Request"));
    for at in 0..message.len() {
        for lie in LIES {
            let mut wrong = message.to_vec();
            wrong.splice(at..message.len().min(at + lie.len()), lie.iter().copied());
            match api {
                Some(&api) => read(api, version.parse().unwrap(), &wrong),
                None => bounded(format_args!("consumer protocol"), wrong.len(), || {
                    fuzz::subscription(&wrong);
                    fuzz::assignment(&wrong);
                }),
            }
        }
    }
}

#[test]
fn no_length_makes_a_decoder_reserve_what_it_has_not_received() {
    let apis = fuzz::apis();
    apis.iter().for_each(|&api| claims(api));

    let text = include_str!("../src/kafka/protocol/tests/kafka.txt");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let unhex =
        |text: &str| (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect();
    for message in lines.chunks_exact(3) {
        let body: Vec<u8> = unhex(message[2]);
        match message[0].starts_with("ConsumerProtocol") {
            true => lies(message[0], &[&[0, 3], &body[..]].concat(), &apis),
            false => lies(message[0], &body, &apis),
        }
    }
}
