//! Groups with members of other kinds, and groups whose topics change.

use std::time::{Duration, Instant};

use krs::{Consumer, Producer, Record};

use crate::support::{LONG, Program, RECEIVER, SENDER, kafka, run, unique};

const TICK: Duration = Duration::from_millis(100);

fn consumer(group: &str, topic: &str) -> Consumer {
    let config = kafka().config().set("group.id", group).unwrap().set("auto.offset.reset", "earliest").unwrap();
    let config = config.set("session.timeout.ms", 6000).unwrap().set("heartbeat.interval.ms", 500).unwrap();
    let mut consumer = Consumer::connect(&config).unwrap();
    consumer.subscribe([topic]).unwrap();
    consumer
}

/// Polls until so many partitions are held.
#[track_caller]
fn hold(consumer: &mut Consumer, count: usize) {
    let deadline = Instant::now() + LONG;
    while consumer.assignment().len() != count {
        assert!(Instant::now() < deadline, "{:?}", consumer.assignment());
        consumer.poll(TICK).unwrap();
    }
}

/// The partitions that a Java member holds, by what it told last.
fn javas(lines: &[String]) -> Vec<i64> {
    let values = lines.iter().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    for value in values {
        if value["name"] == "partitions_assigned" {
            return value["partitions"].as_array().unwrap().iter().map(|p| p["partition"].as_i64().unwrap()).collect();
        }
    }
    Vec::new()
}

/// Whoever leads the group: the assignment that ours makes, Java takes, and the other way round.
#[test]
fn a_group_is_shared_with_java_members() {
    let kafka = kafka();
    let (topic, group) = (unique("mixed"), unique("mixed"));
    kafka.create(&topic, 4);
    let java = || {
        let words = ["--topic", &topic, "--group-id", &group, "--session-timeout", "6000"];
        Program::start(&mut kafka.tool("kafka-verifiable-consumer", &words))
    };
    let mut ours = consumer(&group, &topic);
    hold(&mut ours, 4);
    // It came first, so it leads and shares out.
    let theirs = java();
    hold(&mut ours, 2);
    let held = theirs.stdout.wait("two partitions", LONG, |lines| {
        ours.poll(Duration::ZERO).unwrap();
        Some(javas(lines)).filter(|held| held.len() == 2)
    });
    let all: Vec<i64> = ours.assignment().iter().map(|p| i64::from(p.partition)).chain(held).collect();
    assert!((0..4).all(|partition| all.contains(&partition)), "{all:?}");

    // Now the other leads, alone, and then shares with a new member of ours.
    ours.close(LONG).unwrap();
    theirs.stdout.wait("all partitions", LONG, |lines| (javas(lines).len() == 4).then_some(()));
    let mut ours = consumer(&group, &topic);
    hold(&mut ours, 2);
    let producer = Producer::connect(&kafka.config()).unwrap();
    for partition in 0..4 {
        producer.send(Record::to(&topic).partition(partition).value("x")).unwrap();
    }
    producer.close(LONG).unwrap();
    let (deadline, mut count) = (Instant::now() + LONG, 0);
    while count < 2 {
        assert!(Instant::now() < deadline);
        count += ours.poll(TICK).unwrap().len();
    }
    ours.close(LONG).unwrap();
}

/// librdkafka, which offers range and round robin.
#[test]
fn a_group_is_shared_with_librdkafka_members() {
    let kafka = kafka();
    let (topic, group) = (unique("mixed"), unique("mixed"));
    kafka.create(&topic, 4);
    let mut ours = consumer(&group, &topic);
    hold(&mut ours, 4);
    let theirs = Program::start(&mut kafka.kcat(&[
        "-G",
        &group,
        "-u",
        "-X",
        "auto.offset.reset=earliest",
        "-f",
        "%p %s\n",
        &topic,
    ]));
    hold(&mut ours, 2);
    let producer = Producer::connect(&kafka.config()).unwrap();
    for partition in 0..4 {
        producer.send(Record::to(&topic).partition(partition).value("x")).unwrap();
    }
    producer.close(LONG).unwrap();
    let mut held: Vec<i32> = ours.assignment().iter().map(|partition| partition.partition).collect();
    let lines = theirs.stdout.wait_count(2, LONG);
    held.extend(lines.iter().map(|line| line.split_once(' ').unwrap().0.parse::<i32>().unwrap()));
    held.sort_unstable();
    assert_eq!(held, [0, 1, 2, 3]);
    drop(theirs);
    ours.close(LONG).unwrap();
}

/// Partitions that are added later are sent to and received from, without a restart.
#[test]
fn partitions_that_are_added_take_part() {
    let kafka = kafka();
    let (topic, group) = (unique("grows"), unique("grows"));
    kafka.create(&topic, 1);
    let age = ["-X", "metadata.max.age.ms=500", "--topic", &topic];
    let sender = Program::start(&mut kafka.program(SENDER, &[&age[..], &["--interval", "20"]].concat(), &[]));
    let words = [&age[..], &["--group", &group, "--log-format", "json"]].concat();
    let receiver = Program::start(&mut kafka.program(RECEIVER, &words, &[]));
    receiver.stdout.wait_count(5, LONG);
    run(&mut kafka.tool("kafka-topics", &["--alter", "--topic", &topic, "--partitions", "3"]), LONG).success();
    receiver.stdout.wait("a message of the new partition", LONG, |lines| {
        lines.iter().any(|line| line.contains("\"partition\":2,")).then_some(())
    });
    let sender = sender.end_by("TERM", Duration::from_secs(2));
    sender.code(0);
    let count = kafka.log(&topic).len();
    receiver.stdout.wait_count(count, LONG);
    let receiver = receiver.end_by("TERM", Duration::from_secs(2));
    receiver.code(0);
    assert_eq!(receiver.stdout.len(), count, "each once");
}
