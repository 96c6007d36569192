//! The consumer's features against a real coordinator and real logs.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use krs::{Config, Consumer, ErrorKind, Producer, Rebalance, Record, TopicPartition};

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

#[test]
fn partitions_chosen_by_hand_are_sought_paused_and_resumed_without_a_group() {
    let kafka = kafka();
    let topic = unique("assign");
    kafka.create(&topic, 2);
    write(&topic, 0..100);
    let config = kafka.config().set("auto.offset.reset", "earliest").unwrap().set("max.poll.records", 10).unwrap();
    let mut consumer = Consumer::connect(&config).unwrap();
    let [zero, one] = [0, 1].map(|partition| TopicPartition::new(topic.as_str(), partition));
    assert_eq!(consumer.poll(TICK).unwrap_err().kind(), ErrorKind::State);
    consumer.assign(&[zero.clone(), one.clone()]).unwrap();
    assert_eq!(consumer.assignment(), [zero.clone(), one.clone()]);
    assert_eq!(numbers(&take(&mut consumer, 10)), Vec::from_iter(0..10));
    assert_eq!(consumer.position(&zero).unwrap(), 10);
    assert_eq!(consumer.position(&one).unwrap(), 0);

    consumer.seek(&zero, 95).unwrap();
    assert_eq!(numbers(&take(&mut consumer, 5)), Vec::from_iter(95..100));
    consumer.seek_to_beginning(std::slice::from_ref(&zero)).unwrap();
    assert_eq!(numbers(&take(&mut consumer, 10)), Vec::from_iter(0..10));
    consumer.seek_to_end(std::slice::from_ref(&zero)).unwrap();
    assert_eq!(consumer.position(&zero).unwrap(), 100);

    consumer.seek(&zero, 50).unwrap();
    consumer.pause(std::slice::from_ref(&zero)).unwrap();
    assert_eq!(consumer.paused(), std::slice::from_ref(&zero));
    let producer = Producer::connect(&kafka.config()).unwrap();
    producer.send(Record::to(&topic).partition(1).value("1000")).unwrap().wait().unwrap();
    // The other partition goes on; this one stays where it is.
    assert_eq!(numbers(&take(&mut consumer, 1)), [1000]);
    assert_eq!(consumer.position(&zero).unwrap(), 50);
    consumer.resume(std::slice::from_ref(&zero)).unwrap();
    assert_eq!(numbers(&take(&mut consumer, 50)), Vec::from_iter(50..100));

    consumer.assign(std::slice::from_ref(&one)).unwrap();
    assert_eq!(consumer.seek(&zero, 0).unwrap_err().kind(), ErrorKind::State);
    assert_eq!(consumer.position(&one).unwrap(), 1);
    assert_eq!(consumer.commit().unwrap_err().kind(), ErrorKind::Config, "there is no group to commit to");
    producer.close(LONG).unwrap();
    consumer.close(LONG).unwrap();
}

#[test]
fn without_a_committed_offset_a_group_starts_where_it_is_told() {
    let kafka = kafka();
    let topic = unique("reset");
    kafka.create(&topic, 1);
    write(&topic, 0..20);
    let zero = TopicPartition::new(topic.as_str(), 0);
    let start = |reset: &str| {
        let config = group_config(&unique("reset")).set("auto.offset.reset", reset).unwrap();
        let mut consumer = Consumer::connect(&config).unwrap();
        consumer.subscribe([&topic]).unwrap();
        consumer
    };
    let mut earliest = start("earliest");
    assert_eq!(numbers(&take(&mut earliest, 20)), Vec::from_iter(0..20));

    let mut latest = start("latest");
    let deadline = Instant::now() + LONG;
    while latest.assignment().is_empty() || latest.position(&zero).is_err() {
        assert!(Instant::now() < deadline);
        assert!(latest.poll(TICK).unwrap().is_empty());
    }
    assert_eq!(latest.position(&zero).unwrap(), 20);
    write(&topic, 20..23);
    assert_eq!(numbers(&take(&mut latest, 3)), [20, 21, 22]);

    let mut none = start("none");
    let error = loop {
        assert!(Instant::now() < deadline);
        match none.poll(TICK) {
            Ok(records) => assert!(records.is_empty()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange, "{error}");
    assert!(error.to_string().contains(&topic) && error.to_string().contains("auto.offset.reset"), "{error}");
    none.seek(&zero, 21).unwrap();
    assert_eq!(numbers(&take(&mut none, 2)), [21, 22]);

    // A position that is not in the log is treated alike.
    earliest.seek(&zero, 1_000_000).unwrap();
    assert_eq!(numbers(&take(&mut earliest, 23)), Vec::from_iter(0..23));
    none.seek(&zero, 1_000_000).unwrap();
    let error = loop {
        assert!(Instant::now() < deadline + LONG);
        match none.poll(TICK) {
            Ok(records) => assert!(records.is_empty()),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.offset()), (ErrorKind::OffsetOutOfRange, Some(1_000_000)), "{error}");
    for consumer in [earliest, latest, none] {
        consumer.close(LONG).unwrap();
    }
}

#[test]
fn what_is_committed_in_each_way_is_where_the_next_member_starts() {
    let kafka = kafka();
    let (topic, group) = (unique("commit"), unique("commit"));
    kafka.create(&topic, 1);
    write(&topic, 0..40);
    let zero = TopicPartition::new(topic.as_str(), 0);
    let config = group_config(&group).set("max.poll.records", 10).unwrap();
    let join = || {
        let mut consumer = Consumer::connect(&config).unwrap();
        consumer.subscribe([&topic]).unwrap();
        consumer
    };
    let mut consumer = join();
    assert_eq!(consumer.committed(std::slice::from_ref(&zero)).unwrap(), [None]);
    take(&mut consumer, 10);
    consumer.commit().unwrap();
    assert_eq!(consumer.committed(std::slice::from_ref(&zero)).unwrap(), [Some(10)]);

    take(&mut consumer, 10);
    let (told, outcome) = channel();
    consumer.commit_async_with(move |result| told.send(result).unwrap()).unwrap();
    let deadline = Instant::now() + LONG;
    consumer.pause(std::slice::from_ref(&zero)).unwrap();
    let outcome = loop {
        assert!(Instant::now() < deadline);
        consumer.poll(TICK).unwrap();
        if let Ok(outcome) = outcome.try_recv() {
            break outcome;
        }
    };
    outcome.unwrap();
    assert_eq!(committed(&kafka.config(), &group, &topic, 1), [Some(20)]);

    consumer.commit_offsets(&[(zero.clone(), 7)]).unwrap();
    assert_eq!(committed(&kafka.config(), &group, &topic, 1), [Some(7)]);
    // Nothing is committed that was not asked for: neither by close nor by drop.
    consumer.resume(std::slice::from_ref(&zero)).unwrap();
    take(&mut consumer, 10);
    consumer.close(LONG).unwrap();
    let mut next = join();
    assert_eq!(numbers(&take(&mut next, 10)), Vec::from_iter(7..17));
    next.commit_async().unwrap();
    next.close(LONG).unwrap();
    assert_eq!(committed(&kafka.config(), &group, &topic, 1), [Some(17)], "close finishes what is under way");
}

/// A member with its rebalances, as its listener is told of them.
fn member(config: &Config, topic: &str) -> (Consumer, Receiver<Rebalance>) {
    let (told, events) = channel();
    let mut consumer = Consumer::connect(config).unwrap();
    consumer
        .subscribe_with([topic], move |_, event| {
            let _ = told.send(event.clone());
        })
        .unwrap();
    (consumer, events)
}

#[test]
fn a_member_that_does_not_poll_loses_its_partitions_and_comes_back_with_the_next_poll() {
    let kafka = kafka();
    let (topic, group) = (unique("slow"), unique("slow"));
    kafka.create(&topic, 2);
    let config = group_config(&group).set("max.poll.interval.ms", 2000).unwrap();
    let (mut slow, events) = member(&config, &topic);
    let deadline = Instant::now() + LONG;
    while slow.assignment().len() < 2 {
        assert!(Instant::now() < deadline);
        slow.poll(TICK).unwrap();
    }
    assert!(matches!(events.try_recv(), Ok(Rebalance::Assigned(all)) if all.len() == 2));
    let both = slow.assignment();

    // It does nothing from now on, and the other one gets everything: nobody but max.poll.interval.ms can bring that
    // about, for its heartbeats go on.
    let (mut quick, _) = member(&config.clone().set("max.poll.interval.ms", 60_000).unwrap(), &topic);
    while quick.assignment().len() < 2 {
        assert!(Instant::now() < deadline);
        quick.poll(TICK).unwrap();
    }
    let error = slow.commit_offsets(&[(both[0].clone(), 0)]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::State | ErrorKind::Broker), "{error}");

    while slow.assignment().len() != 1 || quick.assignment().len() != 1 {
        assert!(Instant::now() < deadline);
        slow.poll(TICK).unwrap();
        quick.poll(TICK).unwrap();
    }
    assert_eq!(events.try_recv().unwrap(), Rebalance::Lost(both));
    assert!(matches!(events.try_recv(), Ok(Rebalance::Assigned(all)) if all.len() == 1));
    slow.close(LONG).unwrap();
    quick.close(LONG).unwrap();
}

#[test]
fn a_topic_that_appears_later_is_read_from_its_first_record() {
    let kafka = kafka();
    let topic = unique("later");
    let mut consumer = Consumer::connect(&group_config(&topic)).unwrap();
    consumer.subscribe([&topic]).unwrap();
    for _ in 0..5 {
        assert!(consumer.poll(TICK).unwrap().is_empty());
    }
    kafka.create(&topic, 3);
    write(&topic, 0..10);
    assert_eq!(numbers(&take(&mut consumer, 10)), Vec::from_iter(0..10));
    consumer.close(LONG).unwrap();
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

/// The log's beginning moves on while a consumer stands before it.
#[test]
fn a_group_that_is_behind_the_logs_beginning_goes_on_there() {
    let kafka = kafka();
    let (topic, group) = (unique("deleted"), unique("deleted"));
    kafka.create(&topic, 1);
    write(&topic, 0..30);
    let file = std::env::temp_dir().join(format!("{topic}.json"));
    std::fs::write(&file, format!(r#"{{"partitions":[{{"topic":"{topic}","partition":0,"offset":12}}],"version":1}}"#))
        .unwrap();
    let words = ["--bootstrap-server", &kafka.brokers, "--offset-json-file", file.to_str().unwrap()];
    run(&mut kafka.tool("org.apache.kafka.tools.DeleteRecordsCommand", &words), LONG).success();
    std::fs::remove_file(&file).unwrap();
    let mut consumer = Consumer::connect(&group_config(&group)).unwrap();
    let zero = TopicPartition::new(topic.as_str(), 0);
    consumer.assign(std::slice::from_ref(&zero)).unwrap();
    consumer.seek(&zero, 3).unwrap();
    assert_eq!(numbers(&take(&mut consumer, 18)), Vec::from_iter(12..30));
    consumer.close(LONG).unwrap();
}

/// A record larger than any limit of a fetch still comes, alone.
#[test]
fn a_record_larger_than_the_limits_of_a_fetch_is_read() {
    let kafka = kafka();
    let topic = unique("huge");
    kafka.create(&topic, 1);
    let producer = Producer::connect(&kafka.config()).unwrap();
    let huge = "x".repeat(700_000);
    for value in ["small", &huge, "small", &huge] {
        producer.send(Record::to(&topic).value(value)).unwrap();
        producer.flush(LONG).unwrap();
    }
    producer.close(LONG).unwrap();
    let config = kafka.config().set("max.partition.fetch.bytes", 1000).unwrap().set("fetch.max.bytes", 1000).unwrap();
    let lengths = read(&config, &topic, 1).into_iter().map(|entry| entry.value.unwrap().len());
    assert!(lengths.eq([5, 700_000, 5, 700_000]));
}

#[test]
fn times_are_the_producers_or_the_brokers_as_the_topic_says() {
    let kafka = kafka();
    for (kind, brokers) in [("CreateTime", false), ("LogAppendTime", true)] {
        let topic = unique("time");
        kafka.create_with(&topic, 1, &[("message.timestamp.type", kind)]);
        let producer = Producer::connect(&kafka.config()).unwrap();
        let given = 1_600_000_000_123;
        let place = producer.send(Record::to(&topic).value("x").timestamp(given)).unwrap().wait().unwrap();
        producer.close(LONG).unwrap();
        assert_eq!(place.log_append_time().is_some(), brokers);
        let mut consumer = Consumer::connect(&kafka.config().set("auto.offset.reset", "earliest").unwrap()).unwrap();
        consumer.assign(&[TopicPartition::new(topic.as_str(), 0)]).unwrap();
        let records = loop {
            let records = consumer.poll(LONG).unwrap();
            if !records.is_empty() {
                break records;
            }
        };
        let found = records.iter().next().unwrap().timestamp();
        assert_eq!(found, place.log_append_time().unwrap_or(given));
        consumer.close(LONG).unwrap();
    }
}
