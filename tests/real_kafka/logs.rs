//! Logs that only a real Kafka makes: with transactions, and compacted.

use std::time::{Duration, Instant};

use krs::{Config, Consumer, Producer, Record, TopicPartition};

use crate::support::{Entry, LONG, committed, kafka, read, run, run_with, unique};

const TICK: Duration = Duration::from_millis(100);

/// Writes the numbers of a range to partition 0.
fn write(topic: &str, numbers: std::ops::Range<i64>) {
    let producer = Producer::connect(&kafka().config()).unwrap();
    for number in numbers {
        producer.send(Record::to(topic).partition(0).value(&number.to_string())).unwrap();
    }
    producer.close(LONG).unwrap();
}

/// Polls until there are so many records, and no more for a moment that the caller does not wait for.
#[track_caller]
fn take(consumer: &mut Consumer, count: usize) -> Vec<Entry> {
    let deadline = Instant::now() + LONG;
    let mut entries = Vec::new();
    while entries.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records within {LONG:?}", entries.len());
        entries.extend(consumer.poll(TICK).unwrap().iter().map(|record| Entry::of(&record)));
    }
    entries
}

fn numbers(entries: &[Entry]) -> Vec<i64> {
    entries.iter().map(|entry| entry.value.as_ref().unwrap().parse().unwrap()).collect()
}

fn group_config(group: &str) -> Config {
    let config = kafka().config().set("group.id", group).unwrap().set("auto.offset.reset", "earliest").unwrap();
    config.set("session.timeout.ms", 6000).unwrap().set("heartbeat.interval.ms", 500).unwrap()
}

/// Transactions end with control records, which are nobody's messages. Aborted ones are shown like others: the consumer
/// reads uncommitted.
#[test]
fn control_records_of_transactions_are_stepped_over() {
    let kafka = kafka();
    let (topic, group) = (unique("transactions"), unique("transactions"));
    kafka.create(&topic, 1);
    let id = format!("transactional.id={topic}");
    let words = ["-P", "-t", &topic, "-X", &id];
    write(&topic, 0..2);
    run_with(&mut kafka.kcat(&words), "2\n3\n4\n", LONG).success();
    run_with(&mut kafka.kcat(&words), "5\n", LONG).success();
    // 0 1 | 2 3 4 commit | 5 commit
    let mut consumer = Consumer::connect(&group_config(&group)).unwrap();
    consumer.subscribe([&topic]).unwrap();
    let entries = take(&mut consumer, 6);
    assert_eq!(numbers(&entries), Vec::from_iter(0..6));
    assert!(entries.iter().map(|entry| entry.offset).eq([0, 1, 2, 3, 4, 6]));
    // The last control record is behind the last record, and still the lag must become 0.
    let zero = TopicPartition::new(topic.as_str(), 0);
    let deadline = Instant::now() + LONG;
    while consumer.position(&zero).unwrap() < 8 {
        assert!(Instant::now() < deadline, "position {}", consumer.position(&zero).unwrap());
        assert!(consumer.poll(TICK).unwrap().is_empty());
    }
    consumer.commit().unwrap();
    consumer.close(LONG).unwrap();
    assert_eq!(committed(&kafka.config(), &group, &topic, 1), [Some(8)]);
    write(&topic, 6..7);
    assert_eq!(read(&kafka.config(), &topic, 1).last().unwrap().offset, 8);
}

/// Java writes transactions too, with more of them than control records fit by chance.
#[test]
fn many_transactions_of_javas_are_read_whole() {
    let kafka = kafka();
    let topic = unique("perf");
    kafka.create(&topic, 2);
    let brokers = format!("bootstrap.servers={}", kafka.brokers);
    let words = [
        "--topic",
        &topic,
        "--num-records",
        "2000",
        "--record-size",
        "50",
        "--throughput",
        "4000",
        "--transaction-duration-ms",
        "20",
        "--transactional-id",
        &topic,
        "--producer-props",
        &brokers,
    ];
    run(&mut kafka.tool("org.apache.kafka.tools.ProducerPerformance", &words), LONG).success();
    let entries = read(&kafka.config(), &topic, 2);
    assert_eq!(entries.len(), 2000);
    let last: i64 =
        (0..2).map(|p| entries.iter().filter(|e| e.partition == p).map(|e| e.offset + 1).max().unwrap_or(0)).sum();
    assert!(last > 2000, "there are control records between them");
}

/// Compaction leaves gaps, within batches and between them, and empty batches where everything is gone.
#[test]
fn what_compaction_removed_is_stepped_over() {
    let kafka = kafka();
    let cluster = kafka.cluster("compaction", 1, &["log.cleaner.backoff.ms=100"]);
    let topic = unique("compacted");
    let configs = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("segment.ms", "100"),
        ("min.compaction.lag.ms", "0"),
        ("max.compaction.lag.ms", "100"),
        ("delete.retention.ms", "0"),
    ];
    crate::support::create(&cluster.config(), &topic, 1, &configs);
    let write = |keys: &[&str], codec: &str| {
        let config = cluster.config().set("linger.ms", 50).unwrap().set("compression.type", codec).unwrap();
        let producer = Producer::connect(&config).unwrap();
        for key in keys {
            producer.send(Record::to(&topic).key(key).value(codec)).unwrap();
        }
        producer.close(LONG).unwrap();
    };
    write(&["a", "b", "a", "c", "a"], "none");
    write(&["d", "e", "d", "f"], "lz4");
    write(&["a", "b", "d"], "gzip");
    // A new segment begins with a write after the old one's time; what is in the old ones is compacted.
    let deadline = Instant::now() + LONG;
    let mut extra = 0;
    let compacted = loop {
        assert!(Instant::now() < deadline, "the log is not compacted");
        std::thread::sleep(Duration::from_millis(300));
        write(&["z"], "none");
        extra += 1;
        let log = cluster.log(&topic);
        if log.iter().filter(|entry| entry.key.as_deref() != Some("z")).count() == 6 {
            break log;
        }
    };
    assert!(compacted.len() <= 6 + extra);
    let found = read(&cluster.config(), &topic, 1);
    // The cleaner may have been at work once more in between.
    let compacted: Vec<_> = compacted.into_iter().filter(|entry| entry.key.as_deref() != Some("z")).collect();
    assert_eq!(found.into_iter().filter(|entry| entry.key.as_deref() != Some("z")).collect::<Vec<_>>(), compacted);
}
