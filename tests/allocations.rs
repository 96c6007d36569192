//! Records cost no allocation each: neither sending them nor reading them, in any thread of the client.
//!
//! The measure is an allocator that counts, so this is a program of its own with a single test, and the broker is a
//! process of its own. What a batch, a request or a poll allocates is shared by many records.
#![cfg(all(feature = "services", feature = "devbroker", feature = "compression"))]

#[path = "util/process.rs"]
mod process;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use krs::kafka::admin::{Admin, NewTopic};
use krs::kafka::record::Header;
use krs::{Config, Consumer, Producer, Record, TopicPartition};
use process::Program;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is the system allocator's; only calls are counted beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: usize = 20_000;
const RECORDS: usize = 200_000;
/// A batch holds 1,300 records or more, a poll 500.
const MOST: u64 = RECORDS as u64 / 20;

/// No wait of a test that works comes near this.
const LONG: Duration = Duration::from_secs(60);

/// Allocations of the whole process meanwhile.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Relaxed);
    work();
    ALLOCATIONS.load(Relaxed) - before
}

fn bounded(what: &str, work: impl FnOnce()) {
    let count = allocations(work);
    println!("{what}: {count} allocations for {RECORDS} records");
    assert!(count < MOST, "{what}: {count} allocations for {RECORDS} records; {MOST} are too many");
}

/// What all records are made of.
struct Content<'a> {
    key: Option<&'a [u8]>,
    value: &'a [u8],
    headers: &'a [Header<'a>],
}

impl Content<'_> {
    fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len));
        self.key.map_or(0, <[u8]>::len) + self.value.len() + headers.sum::<usize>()
    }
}

/// Sends so many and waits for their acknowledgement.
fn send(producer: &Producer, topic: &str, content: &Content<'_>, count: usize, hand_over: HandOver) {
    let before = producer.counters().acknowledged;
    for _ in 0..count {
        let record = Record::to(topic).value(content.value).headers(content.headers);
        hand_over(producer, if let Some(key) = content.key { record.key(key) } else { record });
    }
    producer.flush(LONG).unwrap();
    assert_eq!(producer.counters().acknowledged - before, count as u64);
}

/// Reads at least so many, with everything that is in them.
fn read(consumer: &mut Consumer, content: &Content<'_>, count: usize) {
    let (mut records, mut bytes) = (0, 0);
    while records < count {
        let polled = consumer.poll(LONG).unwrap();
        assert!(!polled.is_empty());
        for record in &polled {
            records += 1;
            bytes += record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len);
            bytes += record.headers().map(|it| it.key.len() + it.value.map_or(0, <[u8]>::len)).sum::<usize>();
        }
    }
    assert_eq!(bytes, records * content.bytes());
}

type HandOver = fn(&Producer, Record<'_>);

fn produce(config: &Config, codec: &str, topic: &str, content: &Content<'_>) {
    // Batches close when they are full.
    let settings = [("linger.ms", "30000"), ("batch.size", "200000"), ("compression.type", codec)];
    let config = settings.iter().fold(config.clone(), |config, (name, value)| config.set(name, value).unwrap());
    let producer = Producer::connect(&config).unwrap();
    let post: HandOver = |producer, record| producer.post(record).unwrap();
    let send_and_drop: HandOver = |producer, record| drop(producer.send(record).unwrap());
    for (call, hand_over) in [("post", post), ("send", send_and_drop)] {
        send(&producer, topic, content, WARM_UP, hand_over);
        bounded(&format!("{call}, {topic}"), || send(&producer, topic, content, RECORDS, hand_over));
    }
    producer.close(LONG).unwrap();
}

fn consume(config: &Config, topic: &str, content: &Content<'_>) {
    let config = config.clone().set("auto.offset.reset", "earliest").unwrap();
    let mut consumer = Consumer::connect(&config).unwrap();
    consumer.assign(&[TopicPartition::new(topic, 0)]).unwrap();
    read(&mut consumer, content, WARM_UP);
    bounded(&format!("poll, {topic}"), || read(&mut consumer, content, RECORDS));
    consumer.close(LONG).unwrap();
}

#[test]
fn no_record_is_worth_an_allocation() {
    assert_eq!(allocations(|| drop(black_box(Box::new(black_box(1))))), 1, "the allocator counts");

    let mut broker = Command::new(env!("CARGO_BIN_EXE_krs"));
    let broker = Program::start(broker.args(["broker", "--listen", "127.0.0.1:0"]).env_clear());
    let greeting = broker.stdout.wait_for(" at ", LONG);
    let address = greeting.split_once(" at ").and_then(|(_, rest)| rest.split_once(',')).unwrap().0;
    let config = Config::new().set("bootstrap.servers", address).unwrap();
    let admin = Admin::connect(&config).unwrap();

    let value: Vec<u8> = (0..100).map(|index: u8| index.wrapping_mul(index)).collect();
    let headers = [Header::new("sequence", &value[..8]), Header { key: "empty", value: None }];
    let bare = Content { key: None, value: &value, headers: &[] };
    let adorned = Content { key: Some(&value[..16]), value: &value, headers: &headers };
    for (kind, content) in [("bare", bare), ("adorned", adorned)] {
        for codec in ["none", "lz4"] {
            let topic = format!("{kind}-{codec}");
            admin.create_topic(&NewTopic { name: &topic, partitions: 1, replication_factor: 1, configs: &[] }).unwrap();
            produce(&config, codec, &topic, &content);
            consume(&config, &topic, &content);
        }
    }
}
