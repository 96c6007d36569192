//! Members that come and go all the time. When all of them leave in order and commit what they did before partitions are
//! taken from them, every record is handed over exactly once, and in order.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use krs::{Config, Consumer, Rebalance};

use super::reader::{TICK, member, modern, write};
use super::support::{LONG, PARTITIONS, Settings, config, kafka_with, within};

/// Records in each partition.
const EACH: usize = 300;
const MEMBERS: usize = 4;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What was handed over, by partition, in that order.
type Handed = Arc<Mutex<Vec<Vec<i64>>>>;

/// Reads until told to stop, or for some polls, and leaves in order.
fn stay(config: &Config, handed: &Handed, polls: Option<u64>, done: &AtomicBool, shared_out: &Arc<AtomicUsize>) {
    let mut consumer = Consumer::connect(config).unwrap();
    let shared_out = Arc::clone(shared_out);
    let commit_first = move |consumer: &mut Consumer, event: &Rebalance| match event {
        Rebalance::Revoked(_) => consumer.commit().unwrap(),
        Rebalance::Assigned(_) => _ = shared_out.fetch_add(1, Ordering::Relaxed),
        Rebalance::Lost(lost) => assert!(lost.is_empty(), "lost {lost:?}"),
    };
    consumer.subscribe_with(["t"], commit_first).unwrap();
    let mut left = polls;
    while !done.load(Ordering::Relaxed) && left != Some(0) {
        let records = within(LONG, "a poll", || consumer.poll(TICK)).unwrap();
        let mut handed = handed.lock().unwrap();
        for record in &records {
            handed[record.partition() as usize].push(record.offset());
        }
        if handed.iter().all(|partition| partition.len() >= EACH) {
            done.store(true, Ordering::Relaxed);
        }
        drop(handed);
        if !records.is_empty() {
            consumer.commit_async().unwrap();
            left = left.map(|left| left - 1);
        }
    }
    within(LONG, "closing", || consumer.close(LONG)).unwrap();
}

/// Members of the consumer protocol keep what they commit even if they leave at once.
#[test]
fn what_was_committed_before_leaving_arrives_before_the_leaving_does() {
    let broker = kafka_with(|_| {});
    write(&config(&broker), 0, PARTITIONS as usize * 5);
    for protocol in ["classic", "consumer"] {
        let plain = config(&broker);
        let config = if protocol == "classic" { member(plain) } else { modern(plain) }.and(&[("group.id", protocol)]);
        let mut consumer = Consumer::connect(&config).unwrap();
        consumer.subscribe(["t"]).unwrap();
        let mut seen = 0;
        while seen < PARTITIONS as usize * 5 {
            seen += within(LONG, "a poll", || consumer.poll(TICK)).unwrap().iter().count();
        }
        let all = consumer.assignment();
        consumer.commit_async().unwrap();
        consumer.unsubscribe().unwrap();
        within(LONG, "closing", || consumer.close(LONG)).unwrap();
        let reader = Consumer::connect(&config).unwrap();
        assert_eq!(reader.committed(&all).unwrap(), vec![Some(5); PARTITIONS as usize], "{protocol}");
    }
}

fn exactly_once(settings: &[(&str, &str)]) {
    let broker = kafka_with(|options| {
        options.groups.min_session_timeout = Duration::from_millis(100);
        options.groups.consumer_heartbeat_interval = Duration::from_millis(20);
        options.groups.consumer_assignment_interval = Duration::ZERO;
    });
    let plain = config(&broker);
    let classic = !settings.contains(&("group.protocol", "consumer"));
    let config = if classic { member(plain.clone()) } else { modern(plain.clone()) }.and(settings);
    let handed: Handed = Arc::new(Mutex::new(vec![Vec::new(); PARTITIONS as usize]));
    let done = AtomicBool::new(false);
    let shared_out: Arc<AtomicUsize> = Arc::default();
    // It is much work on a busy machine.
    let until = Instant::now() + 4 * LONG;
    std::thread::scope(|scope| {
        for index in 0..MEMBERS {
            let (config, handed, done, shared_out) = (&config, &handed, &done, &shared_out);
            scope.spawn(move || {
                let mut dice = Dice(0x9e37_79b9 + index as u64);
                while !done.load(Ordering::Relaxed) {
                    assert!(Instant::now() < until, "{settings:?}: {:?}", handed.lock().unwrap());
                    let polls = (index > 0).then(|| 1 + dice.below(6));
                    stay(config, handed, polls, done, shared_out);
                }
            });
        }
        for first in 0..EACH {
            write(&plain, first, PARTITIONS as usize);
        }
    });
    let expected: Vec<i64> = (0..EACH as i64).collect();
    for (index, handed) in handed.lock().unwrap().iter().enumerate() {
        assert_eq!(*handed, expected, "{settings:?}: partition {index}");
    }
    let rebalances = shared_out.load(Ordering::Relaxed);
    assert!(rebalances > 5 * MEMBERS, "{settings:?}: only {rebalances}");
}

#[test]
fn with_range_each_record_comes_once() {
    exactly_once(&[("partition.assignment.strategy", "range")]);
}

#[test]
fn with_the_default_assignors_each_record_comes_once() {
    exactly_once(&[]);
}

#[test]
fn with_sticky_each_record_comes_once() {
    exactly_once(&[("partition.assignment.strategy", "sticky")]);
}

#[test]
fn with_cooperative_sticky_each_record_comes_once() {
    exactly_once(&[("partition.assignment.strategy", "cooperative-sticky")]);
}

#[test]
fn with_the_consumer_protocol_each_record_comes_once() {
    exactly_once(&[("group.protocol", "consumer")]);
}
