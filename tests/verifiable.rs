//! `krs verifiable-producer` and `krs verifiable-consumer`: the lines of Apache Kafka's tools, field by field, on a
//! development broker in the test's own process.
#![cfg(all(feature = "devbroker", feature = "services"))]

#[path = "util/process.rs"]
mod process;

use std::process::Command;
use std::time::Duration;

use krs::devbroker::{DevBroker, Options};
use process::{Ended, Program, run};
use serde_json::{Map, Value};

/// No wait of a test that works comes near this.
const LONG: Duration = Duration::from_secs(60);

/// Every event, with its fields in the order in which the Java tools of Kafka 4.3.1 print them.
const FIELDS: &[(&str, &[&str])] = &[
    ("startup_complete", &[]),
    ("producer_send_success", &["key", "value", "offset", "topic", "partition"]),
    ("producer_send_error", &["topic", "key", "value", "exception", "message"]),
    ("shutdown_complete", &[]),
    ("shutdown_requested", &[]),
    ("tool_data", &["sent", "acked", "target_throughput", "avg_throughput"]),
    ("partitions_assigned", &["partitions"]),
    ("partitions_revoked", &["partitions"]),
    ("record_data", &["key", "value", "topic", "partition", "offset"]),
    ("records_consumed", &["count", "partitions"]),
    ("offsets_committed", &["offsets", "success"]),
];

fn krs(broker: &DevBroker, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_krs"));
    command.args(words.split(' ')).args(["--bootstrap-server", &broker.bootstrap()]).env_clear();
    command
}

fn producer(broker: &DevBroker, words: &str) -> Ended {
    run(&mut krs(broker, &format!("verifiable-producer {words}")), LONG)
}

fn consumer(broker: &DevBroker, words: &str) -> Ended {
    run(&mut krs(broker, &format!("verifiable-consumer {words}")), LONG)
}

/// The names of the events. Each line must have the fields of its event, no others, in their order.
fn names(lines: &[String]) -> Vec<&'static str> {
    let name = |line: &String| {
        let event: Map<String, Value> = serde_json::from_str(line).unwrap();
        let (name, fields) = FIELDS.iter().find(|(name, _)| event["name"] == *name).unwrap_or_else(|| panic!("{line}"));
        let places: Vec<_> = ["timestamp", "name"]
            .iter()
            .chain(*fields)
            .map(|field| line.find(&format!("\"{field}\":")).unwrap_or_else(|| panic!("no {field} in {line}")))
            .collect();
        assert!(places.is_sorted() && event.len() == places.len(), "{line}");
        *name
    };
    lines.iter().map(name).collect()
}

fn events(lines: &[String], name: &str) -> Vec<Value> {
    let all = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["name"] == name).collect()
}

#[test]
fn both_tell_what_their_java_twins_tell() {
    let broker = DevBroker::start(Options::default()).unwrap();
    let sent = producer(&broker, "--topic t --max-messages 6 --repeating-keys 2 --value-prefix 7 --acks 1");
    sent.code(0);
    let expected =
        [&["startup_complete"][..], &["producer_send_success"; 6], &["shutdown_complete", "tool_data"]].concat();
    assert_eq!(names(&sent.stdout), expected);
    let mut pairs: Vec<_> = events(&sent.stdout, "producer_send_success")
        .iter()
        .map(|event| (event["value"].as_str().unwrap().to_owned(), event["key"].as_str().unwrap().to_owned()))
        .collect();
    pairs.sort();
    let pair = |(value, key): (&str, &str)| (value.to_owned(), key.to_owned());
    assert_eq!(pairs, [("7.0", "0"), ("7.1", "1"), ("7.2", "0"), ("7.3", "1"), ("7.4", "0"), ("7.5", "1")].map(pair));
    let data = &events(&sent.stdout, "tool_data")[0];
    assert_eq!((&data["sent"], &data["acked"], &data["target_throughput"]), (&6.into(), &6.into(), &(-1).into()));
    assert!(data["avg_throughput"].is_f64());

    let read = consumer(&broker, "--topic t --group-id g --max-messages 5 --verbose");
    read.code(0);
    let seen = names(&read.stdout);
    assert_eq!(seen[..2], ["startup_complete", "partitions_assigned"]);
    assert_eq!(seen[seen.len() - 3..], ["partitions_revoked", "shutdown_complete", "shutdown_requested"]);
    assert_eq!(events(&read.stdout, "record_data").len(), 5);
    let committed: i64 = events(&read.stdout, "offsets_committed")
        .iter()
        .flat_map(|event| event["offsets"].as_array().unwrap().clone())
        .map(|offset| offset["offset"].as_i64().unwrap())
        .sum();
    assert!(committed >= 5, "{:?}", read.stdout);
    // The sixth is left to whoever comes next.
    let rest = consumer(&broker, "--topic t --group-id g --max-messages 1 --verbose");
    assert_eq!(events(&rest.stdout, "record_data").len(), 1);

    let words = "--topic t --group-id own --max-messages 6 --enable-autocommit --group-protocol CONSUMER";
    let by_itself = names(&consumer(&broker, words).stdout);
    assert!(!by_itself.contains(&"offsets_committed") && !by_itself.contains(&"record_data"));
    let again = Program::start(&mut krs(&broker, "verifiable-consumer --topic t --group-id own"));
    again.stdout.wait_for("partitions_assigned", LONG);
    producer(&broker, "--topic t --max-messages 1").code(0);
    again.stdout.wait_for("offsets_committed", LONG);
    let again = again.end_by("TERM", LONG);
    let consumed: u64 =
        events(&again.stdout, "records_consumed").iter().map(|event| event["count"].as_u64().unwrap()).sum();
    assert_eq!(consumed, 1, "what was committed by itself does not come again");
    let seen = names(&again.stdout);
    assert_eq!(seen[seen.len() - 3..], ["shutdown_requested", "partitions_revoked", "shutdown_complete"]);
}

#[test]
fn a_producer_that_is_ended_flushes_and_sums_up() {
    let broker = DevBroker::start(Options::default()).unwrap();
    let program = Program::start(&mut krs(&broker, "verifiable-producer --topic t --throughput 200"));
    program.stdout.wait_count(20, LONG);
    let ended = program.end_by("TERM", LONG);
    ended.code(0);
    let seen = names(&ended.stdout);
    assert_eq!(seen[seen.len() - 2..], ["shutdown_complete", "tool_data"]);
    let data = &events(&ended.stdout, "tool_data")[0];
    let acked = events(&ended.stdout, "producer_send_success").len();
    assert_eq!((&data["sent"], &data["acked"]), (&acked.into(), &acked.into()));
}

#[test]
fn a_producer_that_waits_for_its_topic_sees_the_end_and_believes_that_there_is_none() {
    let mut options = Options::default();
    options.auto_create_topics = false;
    let broker = DevBroker::start(options).unwrap();
    let none = producer(&broker, "--topic none --max-messages 1");
    none.code(0);
    let errors = events(&none.stdout, "producer_send_error");
    assert_eq!(errors[0]["exception"], "class org.apache.kafka.common.errors.UnknownTopicOrPartitionException");

    broker.inject("metadata:error=LEADER_NOT_AVAILABLE".parse().unwrap()).unwrap();
    let file = std::env::temp_dir().join(format!("krs-verifiable-{}.properties", std::process::id()));
    std::fs::write(&file, "max.block.ms=600000\n").unwrap();
    let words = format!("verifiable-producer --topic t --command-config {}", file.to_str().unwrap());
    let program = Program::start(&mut krs(&broker, &words));
    program.stdout.wait_for("startup_complete", LONG);
    let ended = program.end_by("TERM", LONG);
    std::fs::remove_file(&file).unwrap();
    ended.code(0);
    let seen = names(&ended.stdout);
    assert_eq!(seen[seen.len() - 2..], ["shutdown_complete", "tool_data"]);
    assert_eq!(events(&ended.stdout, "tool_data")[0]["acked"], 0);
}

#[test]
fn what_is_not_delivered_is_told_with_javas_exception() {
    let broker = DevBroker::start(Options::default()).unwrap();
    broker.inject("produce:error=INVALID_RECORD".parse().unwrap()).unwrap();
    let ended = producer(&broker, "--topic t --max-messages 2");
    ended.code(0);
    let errors = events(&ended.stdout, "producer_send_error");
    assert_eq!(errors.len(), 2);
    assert_eq!(errors[0]["exception"], "class org.apache.kafka.common.errors.InvalidRecordException");
    assert_eq!(names(&ended.stdout).last(), Some(&"tool_data"));
    assert_eq!(events(&ended.stdout, "tool_data")[0]["acked"], 0);
}

#[test]
fn a_file_of_properties_beats_the_producers_flags_and_yields_to_the_consumers() {
    let broker = DevBroker::start(Options::default()).unwrap();
    let folder = std::env::temp_dir().join(format!("krs-verifiable-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("client.properties");
    let name = file.to_str().unwrap();
    std::fs::write(&file, "! a comment\nacks : 0\nlinger.ms = 1\n").unwrap();
    let sent = producer(&broker, &format!("--topic t --max-messages 2 --acks -1 --command-config {name}"));
    sent.code(0);
    assert!(
        events(&sent.stdout, "producer_send_success").iter().all(|event| event["offset"] == -1),
        "{:?}",
        sent.stdout
    );

    std::fs::write(&file, "auto.offset.reset=none\nmax.poll.records=1\ngroup.id=other\n").unwrap();
    let read = consumer(&broker, &format!("--topic t --group-id g --max-messages 2 --consumer.config {name}"));
    read.code(0);
    assert_eq!(events(&read.stdout, "records_consumed").len(), 2, "{:?}", read.stdout);

    std::fs::write(&file, "a=1\nb=\\u12\n").unwrap();
    let wrong = producer(&broker, &format!("--topic t --producer.config {name}"));
    assert!(wrong.code(2).complaint("line 2").contains("client.properties: line 2: \\u needs four"));
    std::fs::write(&file, "linger.mss=1\n").unwrap();
    producer(&broker, &format!("--topic t --command-config {name}")).code(2).complaint("did you mean linger.ms?");
    std::fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    producer(&broker, &format!("--topic t --command-config {name}")).code(2).complaint("more than 1048576 bytes");
    for (what, device) in [("producer", "/dev/zero"), ("consumer --group-id g", "/dev/zero"), ("producer", "/tmp")] {
        let ended = run(&mut krs(&broker, &format!("verifiable-{what} --topic t --command-config {device}")), LONG);
        ended.code(2);
        assert_eq!(ended.stderr, [format!("krs: --command-config {device}: not a regular file")]);
    }
    std::fs::remove_dir_all(&folder).unwrap();
    producer(&broker, &format!("--topic t --command-config {name}")).code(2).complaint("No such file");
}

#[test]
fn strategies_are_javas_classes() {
    let broker = DevBroker::start(Options::default()).unwrap();
    producer(&broker, "--topic t --max-messages 1").code(0);
    for (number, name) in
        ["RangeAssignor", "RoundRobinAssignor", "StickyAssignor", "CooperativeStickyAssignor"].iter().enumerate()
    {
        let class = format!("org.apache.kafka.clients.consumer.{name}");
        let words = format!("--topic t --group-id g{number} --max-messages 1 --assignment-strategy {class} --verbose");
        assert_eq!(events(&consumer(&broker, &words).stdout, "record_data").len(), 1, "{name}");
    }
    for (words, expected) in [
        ("verifiable-consumer --topic t", "krs: --group-id is missing"),
        ("verifiable-producer", "krs: --topic is missing"),
        ("verifiable-producer --topic t --acks 2", "krs: --acks 2: not one of all, 0 or 1"),
        ("verifiable-producer --topic t --max-messages x", "krs: --max-messages x: not a whole number"),
    ] {
        let ended = run(&mut krs(&broker, words), LONG);
        ended.code(2);
        assert!(ended.stderr[0].starts_with(expected), "{words}: {:?}", ended.stderr);
    }
    let help = Command::new(env!("CARGO_BIN_EXE_krs")).arg("--help").output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("verifiable"), "it is for harnesses");
}
