//! kcat: librdkafka, the other family of clients.

use std::time::Instant;

use serde_json::Value;

use crate::process::{Lines, Program, run, run_with};
use crate::side::{BEGIN, LONG, Side};
use crate::table::Check;

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("kcat -L: every topic, one, as JSON, unknown, bad name", lists),
        Check::new("kcat -P: idempotence, keys, headers, tombstones", produces),
        Check::new("kcat -z: gzip, snappy, lz4, zstd", compresses),
        Check::new("kcat -P: a large message, and one too large", large_messages),
        Check::new("kcat -C: from the beginning, by offset, by time, past the end", reads_ranges),
        Check::new("kcat -Q: offsets by timestamp", queries),
        Check::new("kcat -G: two members, range", |side| shares(side, "range")),
        Check::new("kcat -G: two members, cooperative-sticky", |side| shares(side, "cooperative-sticky")),
    ]
}

fn lists(side: &Side) -> String {
    let topic = side.create("kcat-list", 3);
    let all = side.masked(&run(&mut side.kcat(&["-L"]), LONG).success());
    let (brokers, topics) = all.split_once(" topics:\n").unwrap();
    let ours: Vec<&str> = topics.lines().skip_while(|line| !line.contains(&topic)).take(4).collect();
    assert_eq!(ours.len(), 4, "{all}");
    // The number of topics is another one.
    let brokers: Vec<&str> = brokers.lines().take_while(|line| line.parse::<u32>().is_err()).collect();
    let mut seen = [brokers, ours].concat().join("\n");
    let ask = |name: &str| side.masked(&run(&mut side.kcat(&["-L", "-t", name]), LONG).success());
    seen += &(ask(&topic) + &ask("kcat bad name"));
    // Asking creates it, sooner or later.
    let deadline = Instant::now() + LONG;
    let unknown = side.name("kcat-unknown");
    let created = loop {
        let answer = ask(&unknown);
        if !answer.contains("with 0 partitions") || Instant::now() > deadline {
            break answer;
        }
    };
    assert!(created.contains(&format!("topic \"{unknown}\" with 1 partitions:")), "{created}");
    seen += &created;
    let json = run(&mut side.kcat(&["-L", "-J", "-t", &topic]), LONG).success();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["topics"][0]["partitions"].as_array().map(Vec::len), Some(3), "{json}");
    seen + &side.masked(&json.to_string())
}

/// Everything in a topic, as another kcat reads it.
fn everything(side: &Side, topic: &str) -> String {
    let words =
        ["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-X", "check.crcs=true", "-f", "%p %o %K %k %S %s %h\n"];
    let text = run(&mut side.kcat(&words), LONG).success();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_by_key(|line| {
        let mut numbers = line.split(' ').map(|number| number.parse::<i64>().unwrap());
        (numbers.next(), numbers.next())
    });
    lines.join("\n")
}

fn produces(side: &Side) -> String {
    let topic = side.create("kcat-produce", 4);
    let mut input = String::new();
    for number in 0..1000 {
        // -Z makes null of what is empty.
        let value = if number % 10 == 7 { String::new() } else { "wörter ".repeat(number % 13) };
        input += &format!("key {number}:{value}\n");
    }
    input += ":without key\n";
    let words = ["-P", "-t", &topic, "-K", ":", "-Z", "-X", "enable.idempotence=true", "-X", "batch.num.messages=50"];
    let headers = ["-H", "a=1", "-H", "a=again", "-H", "nothing", "-X", "partitioner=murmur2"];
    run_with(&mut side.kcat(&[&words[..], &headers].concat()), &input, LONG).success();
    let seen = everything(side, &topic);
    let count = |text: &str| seen.matches(text).count();
    assert_eq!((seen.lines().count(), count(" -1  a="), count(" a=1,a=again,nothing=NULL")), (1001, 170, 1001));
    // Where the one without a key goes is chance.
    seen.lines().filter(|line| !line.contains("without key")).collect::<Vec<_>>().join("\n")
}

fn compresses(side: &Side) -> String {
    let topic = side.create("kcat-compress", 1);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let input: String = (0..200).map(|number| format!("{codec} {number} {}\n", "x".repeat(number))).collect();
        let words = ["-P", "-t", &topic, "-z", codec, "-X", "enable.idempotence=true"];
        run_with(&mut side.kcat(&words), &input, LONG).success();
    }
    let seen = everything(side, &topic);
    assert_eq!(seen.lines().count(), 1000);
    seen
}

fn large_messages(side: &Side) -> String {
    let topic = side.create("kcat-large", 1);
    let send = |size: usize| {
        // Without a pattern that a codec could use, there being none.
        let words = ["-P", "-t", &topic, "-X", "message.max.bytes=5000000", "-X", "compression.codec=none"];
        let ended = run_with(&mut side.kcat(&words), &"m".repeat(size), LONG);
        format!("{:?} {}\n", ended.status.code(), side.masked(&ended.stderr.join("\n")))
    };
    let seen = send(1_000_000) + &send(2_000_000);
    assert!(seen.contains("Message size too large"), "{seen}");
    let words = ["-C", "-t", &topic, "-o", "beginning", "-e", "-q", "-f", "%o %S\n"];
    let read = run(&mut side.kcat(&words), LONG).success();
    assert_eq!(read, "0 1000000\n");
    let words =
        ["-C", "-t", &topic, "-o", "beginning", "-e", "-q", "-f", "%o %S\n", "-X", "fetch.message.max.bytes=1000"];
    assert_eq!(run(&mut side.kcat(&words), LONG).success(), read, "one record goes through however small the limit");
    seen
}

fn reads_ranges(side: &Side) -> String {
    let topic = side.create("kcat-range", 1);
    side.fill(&topic, 0, 20);
    let (from, to) = (format!("s@{}", BEGIN + 4500), format!("e@{}", BEGIN + 8000));
    let mut seen = String::new();
    for words in [
        &["-o", "beginning"][..],
        &["-o", "5", "-c", "3"],
        &["-o", "-3"],
        &["-o", &from, "-o", &to],
        &["-o", "1000", "-X", "topic.auto.offset.reset=error"],
        &["-o", "1000", "-X", "topic.auto.offset.reset=earliest", "-c", "2"],
    ] {
        let all = [&["-C", "-t", &topic, "-p", "0", "-e", "-f", "%o %T %k %s\n"], words].concat();
        let ended = run(&mut side.kcat(&all), LONG);
        let code = ended.status.code();
        seen += &format!("{words:?}: {code:?}\n{}\n{}", ended.stdout.join("\n"), side.masked(&ended.stderr.join("\n")));
    }
    assert!(seen.contains("5 1700000005000 k5 v5\n6 1700000006000 k6 v6\n7 1700000007000 k7 v7\n"), "{seen}");
    assert!(seen.contains("Offset out of range"), "{seen}");
    seen
}

fn queries(side: &Side) -> String {
    let topic = side.create("kcat-query", 2);
    side.fill(&topic, 0, 20);
    side.fill(&topic, 1, 5);
    let mut seen = String::new();
    for (time, expected) in
        [(-2, 0), (-1, 20), (BEGIN, 0), (BEGIN + 4001, 5), (BEGIN + 19_000, 19), (BEGIN + 19_001, -1)]
    {
        let query = format!("{topic}:0:{time}");
        let answer = run(&mut side.kcat(&["-Q", "-t", &query, "-t", &format!("{topic}:1:{time}")]), LONG).success();
        seen += &answer;
        // librdkafka says "end" with -1.
        let end = if expected == -1 { 20 } else { expected };
        let known = [expected, end].map(|offset| format!("{topic} [0] offset {offset}\n"));
        assert!(known.iter().any(|line| answer.contains(line)), "{query}: {answer}");
    }
    seen
}

/// A kcat in a group.
struct Member(Program);

impl Member {
    fn join(side: &Side, group: &str, topic: &str, strategy: &str) -> Self {
        let strategy = format!("partition.assignment.strategy={strategy}");
        let words = ["-G", group, "-u", "-f", "%p %o %s\n", "-X", &strategy, "-X", "auto.offset.reset=earliest"];
        Self(Program::start(&mut side.kcat(&[&words[..], &[topic]].concat())))
    }

    /// Waits until it has been given this many partitions in all, by the last rebalance or by several.
    fn wait_for(&self, topic: &str, count: usize) {
        self.0.stderr.wait(&format!("{count} partitions"), LONG, |lines| (owned(lines, topic) == count).then_some(()));
    }

    fn read(&self) -> &Lines {
        &self.0.stdout
    }
}

/// How many partitions its reports add up to.
fn owned(lines: &[String], topic: &str) -> usize {
    let mut owned = 0;
    for line in lines.iter().filter(|line| line.contains("rebalanced")) {
        let (what, partitions) = line.rsplit_once("): ").unwrap_or((line, ""));
        let number = partitions.matches(topic).count();
        match (what.contains("incremental assignment"), what.contains("incremental revoke")) {
            (true, _) => owned += number,
            (_, true) => owned -= number,
            _ if partitions.starts_with("assigned") => owned = number,
            _ => owned = 0,
        }
    }
    owned
}

fn shares(side: &Side, strategy: &str) -> String {
    let topic = side.create(&format!("kcat-group-{strategy}"), 4);
    for partition in 0..4 {
        side.fill(&topic, partition, 10);
    }
    let first = Member::join(side, &topic, &topic, strategy);
    first.read().wait_count(40, LONG);
    let second = Member::join(side, &topic, &topic, strategy);
    first.wait_for(&topic, 2);
    second.wait_for(&topic, 2);
    for partition in 0..4 {
        side.fill(&topic, partition, 10);
    }
    first.read().wait_count(60, LONG);
    second.read().wait_count(20, LONG);
    let ended = second.0.end_by("TERM", LONG);
    first.wait_for(&topic, 4);
    for partition in 0..4 {
        side.fill(&topic, partition, 10);
    }
    let mut all = [first.read().wait_count(100, LONG), ended.stdout].concat();
    first.0.end_by("TERM", LONG).code(0);
    all.sort();
    let mut expected: Vec<String> =
        (0..4).flat_map(|p| (0..30).map(move |offset| format!("{p} {offset} v{}", offset % 10))).collect();
    expected.sort();
    assert_eq!(all, expected, "each record once");

    // Whoever comes later starts where they left off.
    side.fill(&topic, 3, 1);
    let third = Member::join(side, &topic, &topic, strategy);
    let read = third.read().wait_count(1, LONG);
    third.0.end_by("TERM", LONG).code(0);
    assert_eq!(read, ["3 30 v0"]);
    read.concat()
}
