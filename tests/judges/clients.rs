//! Java's producers and consumers.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Map, Value};

use crate::process::{Program, run, run_with};
use crate::side::{LONG, Side};
use crate::table::Check;

const PRODUCER_PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";
const CONSUMER_PERFORMANCE: &str = "org.apache.kafka.tools.ConsumerPerformance";
pub const RANGE: &[&str] = &["--assignment-strategy", "org.apache.kafka.clients.consumer.RangeAssignor"];
pub const COOPERATIVE: &[&str] =
    &["--assignment-strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"];
pub const CONSUMER: &[&str] = &["--group-protocol", "consumer"];
const CONSUMER_RANGE: &[&str] = &["--group-protocol", "consumer", "--group-remote-assignor", "range"];

pub fn checks() -> Vec<Check> {
    let shares = |name: &'static str, kind: &'static [&str]| {
        Check::new(format!("VerifiableConsumer: two members, {name}"), move |side| shares(side, kind))
    };
    let mixed = |name: &'static str, kind: &'static [&str]| {
        Check::new(format!("VerifiableConsumer: Java's and ours, {name}"), move |side| mixed(side, kind))
    };
    let returns = |name: &'static str, kind: &'static [&str]| {
        Check::new(format!("VerifiableConsumer: a static member returns, {name}"), move |side| returns(side, kind))
    };
    vec![
        shares("classic, range", RANGE),
        shares("classic, cooperative-sticky", COOPERATIVE),
        shares("consumer protocol, uniform", CONSUMER),
        shares("consumer protocol, range", CONSUMER_RANGE),
        mixed("classic, range", RANGE),
        mixed("classic, cooperative-sticky", COOPERATIVE),
        mixed("consumer protocol, uniform", CONSUMER),
        returns("classic", RANGE),
        returns("consumer protocol", CONSUMER),
        Check::new("VerifiableProducer: idempotent, acks counted", verifiable_producer),
        Check::new("ConsoleProducer and ConsoleConsumer: keys, headers, every codec", console),
        Check::new("ConsoleConsumer: --group goes on where it was", console_group),
        Check::new("ProducerPerformance and ConsumerPerformance", performance),
    ]
}

/// The lines of a verifiable tool with this name.
fn events(lines: &[String], name: &str) -> Vec<Value> {
    let values = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    values.filter(|value| value["name"] == name).collect()
}

fn record(event: &Value) -> String {
    format!("{} {} {} {}", event["partition"], event["offset"], event["key"], event["value"])
}

/// A VerifiableConsumer. It commits what each poll gave.
pub struct Member(pub Program);

impl Member {
    pub fn join(side: &Side, group: &str, topic: &str, kind: &[&str]) -> Self {
        let words = ["--group-id", group, "--topic", topic, "--verbose"];
        Self(Program::start(&mut side.tool("kafka-verifiable-consumer", &[&words[..], kind].concat())))
    }

    /// The same, of this project.
    pub fn join_ours(side: &Side, group: &str, topic: &str, kind: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_krs"));
        command.args(["verifiable-consumer", "--bootstrap-server", &side.brokers, "--verbose"]);
        command.args(["--group-id", group, "--topic", topic]).args(kind);
        Self(Program::start(&mut command))
    }

    pub fn wait_for_partitions(&self, count: usize) {
        let settled = |lines: &[String]| (assigned(lines).len() == count).then_some(());
        self.0.stdout.wait(&format!("{count} partitions"), LONG, settled);
    }

    /// Waits until it has read and committed this many records in all.
    pub fn wait_for_records(&self, count: usize) -> Vec<String> {
        self.0.stdout.wait(&format!("{count} records"), LONG, |lines| {
            let (read, polls) = (events(lines, "record_data"), events(lines, "records_consumed").len());
            let commits = events(lines, "offsets_committed").len();
            (read.len() >= count && commits == polls).then(|| read.iter().map(record).collect())
        })
    }

    pub fn stop(self) -> Vec<String> {
        let ended = self.0.end_by("TERM", LONG);
        let failed = events(&ended.stdout, "offsets_committed");
        let failed = failed.iter().find(|event| event["success"] != true);
        assert!(failed.is_none(), "{failed:?}");
        assert_eq!(events(&ended.stdout, "shutdown_complete").len(), 1, "{:?}", ended.stdout);
        events(&ended.stdout, "record_data").iter().map(record).collect()
    }
}

/// What a consumer has, after all that it was given and that was taken from it.
fn assigned(lines: &[String]) -> BTreeSet<i64> {
    let mut owned = BTreeSet::new();
    for event in lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let numbers = event["partitions"].as_array().into_iter().flatten().filter_map(|one| one["partition"].as_i64());
        match event["name"].as_str() {
            Some("partitions_assigned") => owned.extend(numbers),
            Some("partitions_revoked") => numbers.for_each(|number| {
                owned.remove(&number);
            }),
            _ => {}
        }
    }
    owned
}

pub fn fill_all(side: &Side, topic: &str, partitions: i32) {
    (0..partitions).for_each(|partition| side.fill(topic, partition, 10));
}

fn shares(side: &Side, kind: &[&str]) -> String {
    let topic = side.create(&format!("verifiable-{}", kind.concat()), 4);
    fill_all(side, &topic, 4);
    let first = Member::join(side, &topic, &topic, kind);
    first.wait_for_records(40);
    let second = Member::join(side, &topic, &topic, kind);
    second.wait_for_partitions(2);
    first.wait_for_partitions(2);
    fill_all(side, &topic, 4);
    first.wait_for_records(60);
    second.wait_for_records(20);
    let mut all = first.stop();
    second.wait_for_partitions(4);
    fill_all(side, &topic, 4);
    second.wait_for_records(60);
    all.extend(second.stop());
    all.sort();
    assert_eq!(all.len(), 120, "{all:?}");
    all.dedup();
    assert_eq!(all.len(), 120, "a record came twice");
    all.join("\n")
}

/// A member of Java's and one of ours take over from each other, in both directions.
fn mixed(side: &Side, kind: &[&str]) -> String {
    let topic = side.create(&format!("mixed-{}", kind.concat()), 4);
    fill_all(side, &topic, 4);
    let java = Member::join(side, &topic, &topic, kind);
    java.wait_for_records(40);
    let ours = Member::join_ours(side, &topic, &topic, kind);
    ours.wait_for_partitions(2);
    java.wait_for_partitions(2);
    fill_all(side, &topic, 4);
    java.wait_for_records(60);
    ours.wait_for_records(20);
    let shapes = |lines: &[String]| -> BTreeMap<String, Vec<String>> {
        let objects = lines.iter().filter_map(|line| serde_json::from_str::<Map<String, Value>>(line).ok());
        objects.map(|event| (event["name"].to_string(), event.keys().cloned().collect())).collect()
    };
    let javas = shapes(&java.0.stdout.now());
    let mut all = java.stop();
    ours.wait_for_partitions(4);
    fill_all(side, &topic, 4);
    ours.wait_for_records(60);
    let java = Member::join(side, &topic, &topic, kind);
    java.wait_for_partitions(2);
    assert_eq!(shapes(&ours.0.stdout.now()), javas, "the fields of every event, of a revocation too");
    all.extend(ours.stop());
    java.wait_for_partitions(4);
    fill_all(side, &topic, 4);
    java.wait_for_records(40);
    all.extend(java.stop());
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 160, "each record, by whichever");
    all.join("\n")
}

/// It stays a member while it is away, and nobody else is bothered.
fn returns(side: &Side, kind: &[&str]) -> String {
    let topic = side.create(&format!("static-{}", kind.concat()), 4);
    let join = |instance: &'static str| {
        Member::join(side, &topic, &topic, &[kind, &["--group-instance-id", instance]].concat())
    };
    let (first, second) = (join("one"), join("two"));
    first.wait_for_partitions(2);
    second.wait_for_partitions(2);
    let before = (assigned(&first.0.stdout.now()), assigned(&second.0.stdout.now()));
    let undisturbed = events(&second.0.stdout.now(), "partitions_revoked").len();
    first.stop();
    fill_all(side, &topic, 4);
    second.wait_for_records(20);
    let first = join("one");
    first.wait_for_records(20);
    let after = (assigned(&first.0.stdout.now()), assigned(&second.0.stdout.now()));
    assert_eq!(after, before, "the same partitions");
    assert_eq!(events(&second.0.stdout.now(), "partitions_revoked").len(), undisturbed, "a rebalance");
    let mut all = [first.stop(), second.stop()].concat();
    all.sort();
    assert_eq!(all.len(), 40);
    all.join("\n")
}

fn verifiable_producer(side: &Side) -> String {
    const COUNT: usize = 3000;
    let topic = side.create("verifiable-producer", 3);
    let words = ["--topic", &topic, "--max-messages", "3000", "--repeating-keys", "50", "--acks", "-1"];
    let ended = run(&mut side.tool("kafka-verifiable-producer", &words), LONG);
    ended.code(0);
    let mut sent: Vec<String> = events(&ended.stdout, "producer_send_success").iter().map(record).collect();
    let totals = &events(&ended.stdout, "tool_data")[0];
    assert_eq!((sent.len(), &totals["sent"], &totals["acked"]), (COUNT, &COUNT.into(), &COUNT.into()), "{totals}");
    let words = ["-C", "-t", &topic, "-o", "beginning", "-e", "-q", "-f", "%p %o \"%k\" \"%s\"\n"];
    let mut read = run(&mut side.kcat(&words), LONG).stdout;
    sent.sort();
    read.sort();
    assert_eq!(read, sent);
    sent.join("\n")
}

fn console(side: &Side) -> String {
    let topic = side.create("console", 2);
    let mut expected = BTreeSet::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let mut input = String::new();
        for number in 0..30 {
            let (key, value) = (format!("{codec}-{number}"), format!("Wert {number} {}", "x".repeat(number * 7)));
            input += &format!("codec:{codec},n:{number}\t{key}\t{value}\n");
            expected.insert(format!("codec:{codec},n:{number}\t{key}\t{value}"));
        }
        input += &format!("VOID\t{codec}-gone\tVOID\n");
        expected.insert(format!("NO_HEADERS\t{codec}-gone\tnull"));
        let words = ["--topic", &topic, "--compression-codec", codec];
        let properties = ["parse.key=true", "parse.headers=true", "null.marker=VOID"];
        let words = [&words[..], &properties.map(|property| ["--reader-property", property]).concat()].concat();
        run_with(&mut side.tool("kafka-console-producer", &words), &input, LONG).success();
    }
    let words = ["--topic", &topic, "--from-beginning", "--max-messages", "155", "--timeout-ms", "30000"];
    let properties = ["print.key=true", "print.headers=true", "print.partition=true", "print.offset=true"];
    let words = [&words[..], &properties.map(|property| ["--formatter-property", property]).concat()].concat();
    let mut read = run(&mut side.tool("kafka-console-consumer", &words), LONG).stdout;
    let content: BTreeSet<String> =
        read.iter().map(|line| line.splitn(3, '\t').last().unwrap_or_default().to_owned()).collect();
    assert_eq!(content, expected);
    read.sort();
    read.join("\n")
}

fn console_group(side: &Side) -> String {
    let topic = side.create("console-group", 1);
    side.fill(&topic, 0, 10);
    let mut seen = String::new();
    for (protocol, isolation) in [("classic", "read_uncommitted"), ("consumer", "read_committed")] {
        let group = side.name(&format!("console-group-{protocol}"));
        let property = format!("group.protocol={protocol}");
        for count in ["6", "4"] {
            let words = ["--topic", &topic, "--from-beginning", "--group", &group, "--max-messages", count];
            let more = ["--command-property", &property, "--timeout-ms", "30000", "--isolation-level", isolation];
            let ended = run(&mut side.tool("kafka-console-consumer", &[&words[..], &more].concat()), LONG);
            seen += &ended.success();
        }
    }
    let once: String = (0..10).map(|number| format!("v{number}\n")).collect();
    assert_eq!(seen, once.repeat(2));
    seen
}

fn performance(side: &Side) -> String {
    let topic = side.create("performance", 2);
    let words = ["--topic", &topic, "--num-records", "20000", "--record-size", "100", "--throughput", "-1"];
    let more = ["--command-property", "compression.type=lz4"];
    let said = run(&mut side.tool(PRODUCER_PERFORMANCE, &[&words[..], &more].concat()), LONG).success();
    assert!(said.starts_with("20000 records sent, "), "{said}");
    let words = ["--topic", &topic, "--num-records", "20000", "--timeout", "30000", "--hide-header"];
    let said = run(&mut side.tool(CONSUMER_PERFORMANCE, &words), LONG).success();
    // start, end, MB, MB/s, records, …
    let fields: Vec<&str> = said.trim().split(", ").collect();
    assert_eq!((fields[2], fields[4]), ("1.9073", "20000"), "{said}");
    String::new()
}
