//! Reading what Java's producer wrote in transactions (KIP-98), some of which were aborted or are not decided yet.

use std::time::{Duration, Instant};

use krs::{Config, Consumer, TopicPartition};

use super::support::{LONG, Program, kafka, run, unique};

const PRODUCER_PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";
/// Record sizes tell the transactions apart.
const ABORTED: usize = 11;
const COMMITTED: usize = 22;

fn words<'a>(topic: &'a str, records: &'a str, size: &'a str, rate: &'a str, brokers: &'a str) -> [&'a str; 16] {
    [
        "--topic",
        topic,
        "--num-records",
        records,
        "--record-size",
        size,
        "--throughput",
        rate,
        "--transactional-id",
        topic,
        "--transaction-duration-ms",
        "600000",
        "--producer-props",
        brokers,
        "linger.ms=0",
        "transaction.timeout.ms=600000",
    ]
}

fn reader(isolation: &str, partition: &TopicPartition) -> Consumer {
    let config: Config = kafka().config().set("isolation.level", isolation).unwrap();
    let config = config.set("auto.offset.reset", "earliest").unwrap();
    let mut consumer = Consumer::connect(&config).unwrap();
    consumer.assign(std::slice::from_ref(partition)).unwrap();
    consumer
}

/// The sizes of the values up to the end of what this consumer may read.
fn read(consumer: &mut Consumer, partition: &TopicPartition) -> Vec<usize> {
    let end = consumer.end_offsets(std::slice::from_ref(partition)).unwrap()[0];
    let mut sizes = Vec::new();
    until("the end of the log", || {
        let records = consumer.poll(Duration::from_millis(50)).unwrap();
        sizes.extend(records.iter().map(|record| record.value().unwrap().len()));
        (consumer.position(partition).unwrap() >= end).then_some(())
    });
    sizes
}

fn until(what: &str, mut answer: impl FnMut() -> Option<()>) {
    let deadline = Instant::now() + LONG;
    while answer().is_none() {
        assert!(Instant::now() < deadline, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn aborted_and_undecided_transactions_are_not_read_with_read_committed() {
    let kafka = kafka();
    let topic = unique("transactions");
    kafka.create(&topic, 1);
    let zero = TopicPartition::new(topic.as_str(), 0);
    let servers = format!("bootstrap.servers={}", kafka.brokers);
    let mut committed = reader("read_committed", &zero);
    let mut uncommitted = reader("read_uncommitted", &zero);
    let end = |consumer: &Consumer| consumer.end_offsets(std::slice::from_ref(&zero)).unwrap()[0];

    let mut aborted = 0;
    for round in 1..=2 {
        // A producer that dies inside of its transaction.
        let size = ABORTED.to_string();
        let before = end(&uncommitted);
        let begun =
            Program::start(&mut kafka.tool(PRODUCER_PERFORMANCE, &words(&topic, "100000", &size, "300", &servers)));
        until("an open transaction", || (end(&uncommitted) >= before + 500).then_some(()));
        assert_eq!(end(&committed), before, "nothing of it is decided");
        assert_eq!(read(&mut committed, &zero).len(), if round == 1 { 0 } else { 50 });
        begun.signal("KILL");
        begun.end(LONG);

        // Its successor aborts that, and commits its own.
        let size = COMMITTED.to_string();
        run(&mut kafka.tool(PRODUCER_PERFORMANCE, &words(&topic, "50", &size, "-1", &servers)), LONG).success();
        let sizes = read(&mut uncommitted, &zero);
        let torn = sizes.iter().filter(|size| **size == ABORTED).count();
        assert!(torn >= 500, "{torn}");
        assert_eq!(sizes.len() - torn, 50);
        aborted += torn as i64;
        // Besides the records there is a marker for each of the two.
        assert_eq!(end(&committed), aborted + 52 * round);
    }
    assert_eq!(read(&mut committed, &zero), [COMMITTED; 50], "the first 50 it had before");
    assert_eq!(committed.position(&zero).unwrap(), end(&uncommitted), "also past the last marker");
    assert_eq!(committed.lag(&zero), Some(0));

    // From any offset inside of the aborted ranges on.
    for start in (0..end(&committed)).step_by(97) {
        committed.seek(&zero, start).unwrap();
        assert!(read(&mut committed, &zero).iter().all(|size| *size == COMMITTED), "from {start} on");
    }
    for consumer in [committed, uncommitted] {
        consumer.close(LONG).unwrap();
    }
}
