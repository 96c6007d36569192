//! No silent stop: a broker that forgets to tell a fetch session of what is appended is noticed, and read from all the same.

use std::time::{Duration, Instant};

use krs::devbroker::DevBroker;

use super::reader::{Reader, reading, write};
use super::support::{LONG, PARTITIONS, Settings, config, inject, kafka};

fn begin(label: &str, stall_timeout: &str) -> (DevBroker, Reader) {
    let broker = kafka();
    write(&config(&broker), 0, PARTITIONS as usize);
    let settings = reading(config(&broker)).and(&[("fetch.stall.timeout.ms", stall_timeout)]);
    let mut reader = Reader::alone(label, &settings).unwrap();
    reader.read_to(1);
    // Sessions are open by now, and will be starved with the next request of each broker.
    let fault = inject(&broker, "fetch:starve");
    let until = Instant::now() + LONG;
    while broker.faults_applied(fault) < 4 {
        assert!(Instant::now() < until, "nobody fetches");
        reader.poll();
    }
    broker.clear_faults();
    write(&config(&broker), 1, PARTITIONS as usize);
    (broker, reader)
}

#[test]
fn partitions_that_stall_are_asked_for_anew() {
    let (broker, mut reader) = begin("stalled", "200");
    reader.read_to(2);
    assert!(reader.consumer.stalls() > 0);
    assert!(reader.errors.is_empty(), "{:?}", reader.errors);
    // It is over then.
    write(&config(&broker), 2, PARTITIONS as usize);
    reader.read_to(3);
    let stalls = reader.consumer.stalls();
    reader.idle(Duration::from_secs(1));
    assert_eq!(reader.consumer.stalls(), stalls, "a log at whose end one stands has not stalled");
    reader.close().unwrap();
}

/// So that the test above is known to show anything.
#[test]
fn without_looking_after_them_nothing_arrives() {
    let (_broker, mut reader) = begin("unwatched", "0");
    reader.idle(Duration::from_secs(1));
    for partition in 0..PARTITIONS {
        assert_eq!(reader.consumer.position(&super::support::partition(partition)).unwrap(), 1);
    }
    assert_eq!(reader.consumer.stalls(), 0);
    reader.close().unwrap();
}
