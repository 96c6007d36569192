//! The sender and the receiver as their users run them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use crate::support::{LONG, Program, RECEIVER, SENDER, committed, kafka, run, run_with, total, unique};

/// A line on the receiver's standard output, which must have exactly the promised form.
#[derive(Clone, Debug)]
struct Received {
    counter: u64,
    id: String,
    total: u64,
}

fn received(line: &str) -> Received {
    let parse = || -> Option<Received> {
        let rest = line.strip_prefix("INFO receiver: Received message #")?;
        let (counter, rest) = rest.split_once(": id=")?;
        let (id, rest) = rest.split_once(", content='Hello from Rust sender! Message #")?;
        let (again, rest) = rest.split_once("', latency=")?;
        let (latency, total) = rest.split_once("ms, total_received=")?;
        let uuid = id.split('-').map(str::len).eq([8, 4, 4, 4, 12])
            && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
            && &id[14..15] == "4";
        latency.parse::<u64>().ok()?;
        (again == counter && uuid).then_some(())?;
        Some(Received { counter: counter.parse().ok()?, id: id.to_owned(), total: total.parse().ok()? })
    };
    parse().unwrap_or_else(|| panic!("not the line that was promised: {line:?}"))
}

/// What the sender logs of an acknowledged message.
#[derive(Clone, Debug)]
struct Sent {
    counter: u64,
    id: String,
    partition: i32,
    offset: i64,
}

fn sent(line: &str) -> Option<Sent> {
    let (_, rest) = line.split_once(" INFO sender: Sent message #")?;
    let (counter, rest) = rest.split_once(": id=")?;
    let (id, rest) = rest.split_once(", partition=")?;
    let (partition, rest) = rest.split_once(", offset=")?;
    let (offset, _) = rest.split_once(", latency=")?;
    Some(Sent {
        counter: counter.parse().unwrap(),
        id: id.to_owned(),
        partition: partition.parse().unwrap(),
        offset: offset.parse().unwrap(),
    })
}

/// With no setting but the brokers, as in a first try: sender and receiver meet in the default topic.
#[test]
fn every_message_arrives_in_order_and_both_end_on_one_signal_with_lag_0() {
    let kafka = kafka();
    for (ending, least) in [("INT", 60), ("TERM", 1), ("HUP", 1)] {
        let receiver = Program::start(&mut kafka.program(RECEIVER, &[], &[]));
        let sender = Program::start(&mut kafka.program(SENDER, &[], &[]));
        sender.stderr.wait("messages", LONG, |lines| {
            (lines.iter().filter(|line| sent(line).is_some()).count() >= least).then_some(())
        });
        let sender = sender.end_by(ending, Duration::from_secs(2));
        sender.code(0);
        let all: Vec<Sent> = sender.stderr.iter().filter_map(|line| sent(line)).collect();
        let totals = sender.complaint("Totals: sent=");
        assert_eq!(total(totals, "delivered"), all.len() as u64, "{totals}");
        assert_eq!(
            (total(totals, "sent"), total(totals, "failed"), total(totals, "unknown")),
            (all.len() as u64, 0, 0)
        );
        let numbers: BTreeSet<u64> = all.iter().map(|sent| sent.counter).collect();
        assert!(numbers.into_iter().eq(1..=all.len() as u64));

        let by_id: HashMap<&str, &Sent> = all.iter().map(|sent| (sent.id.as_str(), sent)).collect();
        receiver.stdout.wait("every message", LONG, |lines| {
            let ids: BTreeSet<String> = lines.iter().map(|line| received(line).id).collect();
            by_id.keys().all(|id| ids.contains(*id)).then_some(())
        });
        let receiver = receiver.end_by(ending, Duration::from_secs(2));
        receiver.code(0);
        let lines: Vec<Received> = receiver.stdout.iter().map(|line| received(line)).collect();
        assert!(lines.iter().map(|line| line.total).eq(1..=lines.len() as u64));
        // Of this run; an earlier one that failed may have left others.
        let ours: Vec<&Sent> = lines.iter().filter_map(|line| by_id.get(line.id.as_str()).copied()).collect();
        assert_eq!(ours.len(), all.len(), "each exactly once");
        assert!(lines.iter().all(|line| by_id.get(line.id.as_str()).is_none_or(|sent| sent.counter == line.counter)));
        let mut partitions: BTreeMap<i32, Vec<(i64, u64)>> = BTreeMap::new();
        for sent in ours {
            partitions.entry(sent.partition).or_default().push((sent.offset, sent.counter));
        }
        assert!(least < 3 || partitions.len() == 3, "every partition is used");
        assert!(partitions.values().all(|seen| seen.is_sorted()), "order per partition: {partitions:?}");
    }

    let described =
        run(&mut kafka.tool("kafka-consumer-groups", &["--describe", "--group", "rust-consumer-group"]), LONG)
            .success();
    let rows: Vec<Vec<&str>> = described
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(1) == Some(&"rust-messages"))
        .collect();
    assert_eq!(rows.len(), 3, "{described}");
    // Group, topic, partition, position, end, lag.
    assert!(rows.iter().all(|row| row[3] == row[4] && row[5] == "0"), "{described}");
}

/// A receiver with JSON lines, which carry partition and offset.
struct Member(Program);

/// Where a message was, and which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    partition: i64,
    offset: i64,
    counter: u64,
}

impl Member {
    fn start(topic: &str, group: &str) -> Self {
        let words = ["--log-format", "json", "--topic", topic, "--group", group];
        Self(Program::start(&mut kafka().program(RECEIVER, &words, &[])))
    }

    fn places(lines: &[String]) -> Vec<Place> {
        let place = |line: &String| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            Place {
                partition: value["partition"].as_i64().unwrap(),
                offset: value["offset"].as_i64().unwrap(),
                counter: value["counter"].as_u64().unwrap(),
            }
        };
        lines.iter().map(place).collect()
    }

    /// How many partitions it holds now, by its own log.
    fn held(lines: &[String]) -> usize {
        let told = lines.iter().rev().find_map(|line| {
            let (_, list) = line.split_once("Assigned: ")?;
            Some(if list.starts_with("none") { 0 } else { list.split(", ").count() })
        });
        told.unwrap_or(0)
    }

    fn wait_held(&self, count: usize, limit: Duration) {
        self.0.stderr.wait(&format!("{count} partitions"), limit, |lines| (Self::held(lines) == count).then_some(()));
    }

    fn seen(&self) -> Vec<Place> {
        Self::places(&self.0.stdout.now())
    }
}

/// One ends in order, one is killed: its partition moves in time, nothing is lost, and only what the killed one had not
/// committed comes twice.
#[test]
fn three_receivers_share_the_partitions_and_take_over_from_each_other() {
    let kafka = kafka();
    let (topic, group) = (unique("takeover"), unique("takeover"));
    let words = ["--topic", &topic, "--interval", "20"];
    let sender = Program::start(&mut kafka.program(SENDER, &words, &[]));
    sender.stderr.wait_for("Sent message", LONG);
    let [leaving, killed, staying] = [(); 3].map(|()| Member::start(&topic, &group));
    for member in [&leaving, &killed, &staying] {
        member.wait_held(1, LONG);
    }
    // They may have shared the partitions out in several rounds; now each reads its own.
    for member in [&leaving, &killed, &staying] {
        let seen = member.seen().len();
        member.0.stdout.wait_count(seen + 5, LONG);
    }

    let begin = Instant::now();
    let left = leaving.0.end_by("TERM", Duration::from_secs(2));
    left.code(0);
    let moved = |members: &[&Member], limit: Duration, begin: Instant| {
        loop {
            let held: usize = members.iter().map(|member| Member::held(&member.0.stderr.now())).sum();
            if held == 3 {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < limit, "the partition did not move within {limit:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let after_term = moved(&[&killed, &staying], Duration::from_secs(3), begin);
    for member in [&killed, &staying] {
        let seen = member.seen().len();
        member.0.stdout.wait_count(seen + 5, LONG);
    }
    let before: Vec<Place> = [&killed.seen()[..], &staying.seen(), &Member::places(&left.stdout)].concat();
    let distinct: BTreeSet<Place> = before.iter().copied().collect();
    assert_eq!(distinct.len(), before.len(), "a receiver that ends in order leaves no duplicates");

    let begin = Instant::now();
    killed.0.signal("KILL");
    let known = committed(&kafka.config(), &group, &topic, 3);
    let after_kill = moved(&[&staying], Duration::from_secs(6 + 3), begin);
    let sender = sender.end_by("TERM", Duration::from_secs(2));
    sender.code(0);
    let totals = sender.complaint("Totals: sent=");
    let count = total(totals, "delivered");

    let (first, second) = (Member::places(&left.stdout), killed.seen());
    staying.0.stdout.wait("all messages", LONG, |lines| {
        let mut all: BTreeSet<u64> = Member::places(lines).iter().map(|place| place.counter).collect();
        all.extend(first.iter().chain(&second).map(|place| place.counter));
        all.into_iter().eq(1..=count).then_some(())
    });
    let last = staying.0.end_by("INT", Duration::from_secs(2));
    last.code(0);
    let third = Member::places(&last.stdout);
    assert!(first.iter().all(|place| !second.contains(place) && !third.contains(place)));
    let twice: Vec<&Place> = second.iter().filter(|place| third.contains(place)).collect();
    for place in &twice {
        let committed = known[usize::try_from(place.partition).unwrap()].unwrap_or(0);
        assert!(place.offset >= committed, "{place:?} came twice although it was committed ({committed})");
    }
    assert_eq!(first.len() + second.len() + third.len(), count as usize + twice.len());
    for seen in [&first, &second, &third] {
        let mut next = HashMap::new();
        for place in seen {
            let before = next.insert(place.partition, place.offset);
            assert!(before.is_none_or(|before| before < place.offset), "order in partition {}", place.partition);
        }
    }
    println!("moved {after_term:?} after SIGTERM, {after_kill:?} after SIGKILL; {} of {count} twice", twice.len());
}

#[test]
fn two_senders_are_told_apart_in_the_receivers_totals() {
    let kafka = kafka();
    let (topic, group) = (unique("apart"), unique("apart"));
    let send = |id: &str, count: &str| {
        let words = ["--topic", &topic, "--interval", "5", "--count", count];
        Program::start(&mut kafka.program(SENDER, &words, &[("PRODUCER_ID", id)]))
    };
    let receiver = Program::start(&mut kafka.program(RECEIVER, &["--topic", &topic, "--group", &group], &[]));
    let senders = [send("Köln 1", "40"), send("sender-2", "25")];
    for sender in senders {
        sender.end(LONG).code(0);
    }
    receiver.stdout.wait_count(65, LONG);
    let receiver = receiver.end_by("INT", Duration::from_secs(2));
    for (id, count) in [("Köln 1", 40), ("sender-2", 25)] {
        let line = receiver.complaint(&format!("Totals of producer {id}: "));
        assert_eq!(
            ["received", "lost", "duplicates", "out_of_order"].map(|name| total(line, name)),
            [count, 0, 0, 0],
            "{line}"
        );
    }
    assert_eq!(total(receiver.complaint("Totals: received="), "received"), 65);
}

#[test]
fn what_is_not_ours_is_named_counted_and_stepped_over() {
    let kafka = kafka();
    let (topic, group) = (unique("foreign"), unique("foreign"));
    kafka.create(&topic, 1);
    let send = || {
        run(&mut kafka.program(SENDER, &["--topic", &topic, "--interval", "0", "--count", "5"], &[]), LONG).code(0);
    };
    send();
    let odd = "no JSON at all\n{\"id\":1}\n\u{fffd}\n";
    run_with(&mut kafka.kcat(&["-P", "-t", &topic]), odd, LONG).success();
    run_with(&mut kafka.kcat(&["-P", "-t", &topic, "-K", ":", "-Z"]), "k:\n", LONG).success();
    send();
    let receiver =
        run(&mut kafka.program(RECEIVER, &["--topic", &topic, "--group", &group, "--count", "10"], &[]), LONG);
    receiver.code(0);
    assert!(receiver.stdout.iter().map(|line| received(line).counter).eq((1..=5).chain(1..=5)));
    for offset in 5..9 {
        let line = receiver.complaint(&format!(" WARN receiver: Not our message at {topic}-0@{offset}: "));
        assert!(offset != 8 || line.contains("tombstone"), "{line}");
    }
    let totals = receiver.complaint("Totals: received=");
    assert_eq!((total(totals, "received"), total(totals, "foreign")), (10, 4));
    assert_eq!(committed(&kafka.config(), &group, &topic, 1), [Some(14)]);
}

/// `receiver | head -1`: nothing that the reader could not take counts as processed.
#[test]
fn a_reader_that_leaves_ends_the_receiver_quietly_and_the_rest_comes_again() {
    let kafka = kafka();
    let (topic, group) = (unique("head"), unique("head"));
    let words = ["--topic", &topic, "--group", &group];
    let send = || {
        run(&mut kafka.program(SENDER, &["--topic", &topic, "--interval", "0", "--count", "30"], &[]), LONG).code(0);
    };
    send();
    let (reader, writer) = std::io::pipe().unwrap();
    let receiver = Program::start_into(&mut kafka.program(RECEIVER, &words, &[]), writer);
    let read = {
        let mut lines = BufReader::new(reader).lines();
        let mut read = Vec::new();
        while read.len() < 30 {
            read.push(received(&lines.next().unwrap().unwrap()).id);
        }
        read
    };
    // The reader is gone now.
    send();
    let receiver = receiver.end(LONG);
    receiver.code(0);
    assert!(!receiver.stderr.iter().any(|line| line.contains("ERROR") || line.contains("receiver: cannot")));

    let again = run(&mut kafka.program(RECEIVER, &[&words[..], &["--count", "30"]].concat(), &[]), LONG);
    again.code(0);
    let ids: BTreeSet<String> = again.stdout.iter().map(|line| received(line).id).collect();
    assert!(ids.len() == 30 && read.iter().all(|id| !ids.contains(id)), "all that was not written, and only that");
}

#[test]
fn a_full_disk_ends_the_receiver_with_1_and_commits_nothing() {
    let kafka = kafka();
    let (topic, group) = (unique("full"), unique("full"));
    let words = ["--topic", &topic, "--group", &group];
    run(&mut kafka.program(SENDER, &["--topic", &topic, "--interval", "0", "--count", "30"], &[]), LONG).code(0);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let receiver = Program::start_into(&mut kafka.program(RECEIVER, &words, &[]), full).end(LONG);
    receiver.code(1);
    receiver.complaint("receiver: cannot write to standard output: No space left on device");
    let known = committed(&kafka.config(), &group, &topic, 3);
    assert!(known.iter().all(|offset| offset.unwrap_or(0) == 0), "{known:?}");

    let again = run(&mut kafka.program(RECEIVER, &[&words[..], &["--count", "30"]].concat(), &[]), LONG);
    again.code(0);
    let counters: BTreeSet<u64> = again.stdout.iter().map(|line| received(line).counter).collect();
    assert!(counters.into_iter().eq(1..=30));
}

/// The partitions of a topic, as `kcat` sees them.
fn partition_count(topic: &str) -> usize {
    let listed = run(&mut kafka().kcat(&["-L", "-t", topic]), LONG).success();
    listed.lines().filter(|line| line.trim_start().starts_with("partition ")).count()
}

/// Also where brokers create no topics by themselves, as the Kafka 3.9 under test.
#[test]
fn a_missing_topic_is_created_with_three_partitions_and_an_existing_one_is_left_alone() {
    let kafka = kafka();
    for program in [SENDER, RECEIVER] {
        let missing = unique("missing");
        let words = ["--topic", &missing, "--count", "1"];
        let running = Program::start(&mut kafka.program(program, &words, &[("CONSUMER_GROUP", &missing)]));
        running.stderr.wait_for(&format!("Created topic {missing} with 3 partitions"), LONG);
        if program == RECEIVER {
            run(&mut kafka.program(SENDER, &words, &[]), LONG).code(0);
        }
        running.end(LONG).code(0);
        assert_eq!(partition_count(&missing), 3);
    }
    let existing = unique("existing");
    kafka.create(&existing, 1);
    run(&mut kafka.program(SENDER, &["--topic", &existing, "--interval", "0", "--count", "9"], &[]), LONG).code(0);
    let receiver =
        run(&mut kafka.program(RECEIVER, &["--topic", &existing, "--group", &existing, "--count", "9"], &[]), LONG);
    receiver.code(0);
    assert!(receiver.stdout.iter().map(|line| received(line).counter).eq(1..=9), "one partition keeps their order");
    assert_eq!(partition_count(&existing), 1);
    assert_eq!(kafka.log(&existing).len(), 9);
}
