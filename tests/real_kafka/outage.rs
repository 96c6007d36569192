//! A broker that is killed while we talk to it, and comes back or does not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use krs::{Consumer, ErrorKind, Producer, Record};

use crate::support::{Cluster, Entry, LONG, Program, RECEIVER, SENDER, create, kafka, run, total, unique};

/// How often each value is in the log.
fn times(log: &[Entry]) -> BTreeMap<&str, u32> {
    let mut times = BTreeMap::new();
    for entry in log {
        *times.entry(entry.value.as_deref().unwrap()).or_default() += 1;
    }
    times
}

/// The ids that a sender has logged as acknowledged.
fn acknowledged(lines: &[String]) -> BTreeSet<String> {
    let id = |line: &String| {
        let (_, rest) = line.split_once("Sent message #")?;
        Some(rest.split_once(": id=")?.1.split_once(',')?.0.to_owned())
    };
    lines.iter().filter_map(id).collect()
}

/// The numbers of the messages in each partition of a log.
fn counters(log: &[Entry]) -> BTreeMap<i32, Vec<u64>> {
    let mut counters: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
    for entry in log {
        let value: serde_json::Value = serde_json::from_str(entry.value.as_deref().unwrap()).unwrap();
        counters.entry(entry.partition).or_default().push(value["counter"].as_u64().unwrap());
    }
    counters
}

/// Ends a sender and the receiver of its messages; everything that was sent must be in the log once and in order, and
/// have arrived.
fn settle(cluster: &Cluster, topic: &str, sender: Program, receiver: Program) {
    let sender = sender.end_by("TERM", LONG);
    sender.code(0);
    let totals = sender.complaint("Totals: sent=");
    assert_eq!((total(totals, "failed"), total(totals, "unknown")), (0, 0), "{totals}");
    let log = cluster.log(topic);
    assert_eq!(log.len() as u64, total(totals, "delivered"));
    assert!(times(&log).values().all(|times| *times == 1));
    let counters = counters(&log);
    assert!(counters.len() == 3 && counters.values().all(|numbers| numbers.is_sorted()), "order in each partition");
    let ids: BTreeSet<&str> = log.iter().map(|entry| entry.key.as_deref().unwrap()).collect();
    receiver.stdout.wait("all messages", LONG, |lines| {
        let seen = lines.iter().filter_map(|line| line.split_once(": id=")).map(|(_, rest)| &rest[..36]);
        let seen: BTreeSet<&str> = seen.collect();
        ids.is_subset(&seen).then_some(())
    });
    receiver.end_by("INT", LONG).code(0);
}

/// The outage is shorter than the messages' time: nobody notices but by the delay.
#[test]
fn a_broker_killed_for_three_seconds_costs_no_message_and_makes_none_twice() {
    let cluster = kafka().cluster("outage-3", 1, &[]);
    let (mine, theirs) = (unique("killed"), unique("killed"));
    create(&cluster.config(), &mine, 3, &[]);
    let words = ["--topic", &theirs, "--message-timeout", "60000", "--interval", "10"];
    let sender = Program::start(&mut cluster.program(SENDER, &words, &[]));
    let receiver = Program::start(&mut cluster.program(RECEIVER, &["--topic", &theirs], &[("RUST_LOG", "info")]));
    receiver.stdout.wait_count(20, LONG);

    let config = cluster.config().set("message.timeout.ms", 60_000).unwrap();
    let producer = Producer::connect(&config).unwrap();
    let mut deliveries = Vec::new();
    let send_for = |time: Duration, deliveries: &mut Vec<(String, krs::Delivery)>| {
        let begin = Instant::now();
        while begin.elapsed() < time {
            let value = deliveries.len().to_string();
            let delivery = producer.send(Record::to(&mine).value(&value)).unwrap();
            deliveries.push((value, delivery));
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    send_for(Duration::from_secs(1), &mut deliveries);
    let sent_before = sender.stderr.now().len();
    cluster.kill(1);
    send_for(Duration::from_secs(3), &mut deliveries);
    cluster.start(1);
    send_for(Duration::from_millis(500), &mut deliveries);
    producer.flush(LONG).unwrap();
    for (value, delivery) in &deliveries {
        delivery.wait().unwrap_or_else(|error| panic!("{value}: {error}"));
    }
    let counters = producer.counters();
    assert_eq!((counters.acknowledged, counters.failed, counters.unknown), (deliveries.len() as u64, 0, 0));
    producer.close(LONG).unwrap();
    let log = cluster.log(&mine);
    assert_eq!(log.len(), deliveries.len());
    assert!(times(&log).values().all(|times| *times == 1));

    sender.stderr.wait_count(sent_before + 400, LONG);
    settle(&cluster, &theirs, sender, receiver);
}

/// Requests time out while the broker hangs, and it takes them all the same when it goes on: what is sent again must not
/// be in the log twice.
#[test]
fn a_broker_that_hangs_costs_no_message_and_makes_none_twice() {
    let cluster = kafka().cluster("hanging", 1, &[]);
    let topic = unique("hanging");
    let words = ["--topic", &topic, "--message-timeout", "60000", "--interval", "5", "-X", "request.timeout.ms=700"];
    let sender = Program::start(&mut cluster.program(SENDER, &words, &[("RUST_LOG", "info,krs=debug")]));
    let receiver = Program::start(&mut cluster.program(RECEIVER, &["--topic", &topic], &[]));
    receiver.stdout.wait_count(20, LONG);
    for _ in 0..2 {
        cluster.pause(1);
        let producer =
            Producer::connect(&cluster.config().set("socket.connection.setup.timeout.max.ms", 1000).unwrap());
        assert_eq!(producer.err().map(|error| error.kind()), Some(ErrorKind::Unreachable));
        std::thread::sleep(Duration::from_millis(1500));
        cluster.resume(1);
        let before = receiver.stdout.now().len();
        receiver.stdout.wait_count(before + 300, LONG);
    }
    let timeouts = sender.stderr.now().iter().filter(|line| line.contains("request.timeout.ms")).count();
    assert!(timeouts > 0, "no request timed out, so nothing was proven");
    settle(&cluster, &topic, sender, receiver);
}

/// Leaders and coordinators move from broker to broker.
#[test]
fn three_brokers_killed_one_after_the_other_cost_no_message_and_make_none_twice() {
    let cluster = kafka().cluster("three", 3, &[]);
    let topic = unique("three");
    let words = ["--topic", &topic, "--replication-factor", "3", "--message-timeout", "60000", "--interval", "5"];
    let sender = Program::start(&mut cluster.program(SENDER, &words, &[]));
    let receiver = Program::start(&mut cluster.program(RECEIVER, &["--topic", &topic], &[]));
    receiver.stdout.wait_count(20, LONG);
    for broker in 1..=3 {
        cluster.kill(broker);
        let before = receiver.stdout.now().len();
        receiver.stdout.wait_count(before + 300, LONG);
        cluster.start(broker);
        let before = receiver.stdout.now().len();
        receiver.stdout.wait_count(before + 300, LONG);
    }
    settle(&cluster, &topic, sender, receiver);
}

/// The outage is longer than the messages' time, and long enough to see how everything behaves without a broker.
#[test]
fn a_broker_killed_for_thirty_seconds_is_reported_and_survived() {
    let cluster = kafka().cluster("outage-30", 1, &[]);
    let topic = unique("killed");
    create(&cluster.config(), &topic, 3, &[]);
    let send =
        |words: &[&str]| Program::start(&mut cluster.program(SENDER, &[&["--topic", &topic][..], words].concat(), &[]));
    // The one that must survive, one that is stopped once, and one that is stopped twice.
    let [sender, once, twice] = [send(&[]), send(&[]), send(&["--message-timeout", "60000"])];
    let receiver = Program::start(&mut cluster.program(RECEIVER, &["--topic", &topic], &[]));
    for program in [&sender, &once, &twice] {
        program.stderr.wait_for("Sent message #5:", LONG);
    }
    receiver.stdout.wait_count(15, LONG);
    let producer = Producer::connect(&cluster.config()).unwrap();
    producer.send(Record::to(&topic).value("from the library")).unwrap().wait().unwrap();
    let config = cluster.config().set("group.id", "library").unwrap().set("auto.offset.reset", "earliest").unwrap();
    let mut consumer = Consumer::connect(&config).unwrap();
    consumer.subscribe([&topic]).unwrap();
    while consumer.poll(Duration::from_secs(1)).unwrap().is_empty() {}

    cluster.kill(1);
    let killed = Instant::now();

    let delivery = producer.send(Record::to(&topic).value("in vain")).unwrap();
    let begin = Instant::now();
    let error = producer.close(Duration::from_secs(2)).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(4), "close took {:?}", begin.elapsed());
    assert!(error.kind() == ErrorKind::Timeout && error.to_string().contains("1 record"), "{error}");
    let error = delivery.wait().unwrap_err();
    println!("a record without a broker: {error}");

    let begin = Instant::now();
    let error = consumer.close(Duration::from_secs(2)).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(4), "close took {:?}", begin.elapsed());
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");

    twice.stderr.wait("undelivered messages", LONG, |_| (killed.elapsed() > Duration::from_secs(1)).then_some(()));
    twice.signal("INT");
    // Two signals within 50 ms are one.
    std::thread::sleep(Duration::from_millis(200));
    let twice = twice.end_by("INT", Duration::from_secs(2));
    twice.code(130);
    let words = twice.complaint("sender: stopped at once, ");
    assert!(words.ends_with(" messages undelivered") && !words.contains(" 0 messages"), "{words}");

    // message.timeout.ms is 5 s, and nothing that was sent can wait for longer.
    let once = once.end_by("INT", Duration::from_secs(5 + 2));
    once.code(1);
    let totals = once.complaint("Totals: sent=");
    assert!(total(totals, "failed") + total(totals, "unknown") > 0, "{totals}");

    let asked = Instant::now();
    receiver.signal("TERM");
    let late = run(&mut cluster.program(SENDER, &["--topic", &topic], &[]), Duration::from_secs(10 + 2));
    late.code(3);
    assert!(late.complaint("connection refused at").contains("is Kafka running?"));
    // Its last commit may take 5 s, and leaving the group 5 s more.
    let receiver = receiver.end(Duration::from_secs(10 + 2));
    println!("the receiver without a broker ended after {:?} with {:?}", asked.elapsed(), receiver.status.code());
    assert!(matches!(receiver.status.code(), Some(0 | 1)));

    sender.stderr.wait_for("not delivered", LONG);
    std::thread::sleep(Duration::from_secs(30).saturating_sub(killed.elapsed()));
    let before = acknowledged(&sender.stderr.now()).len();
    cluster.start(1);
    sender.stderr.wait("new acknowledgements", LONG, |lines| (acknowledged(lines).len() > before + 10).then_some(()));
    let sender = sender.end_by("TERM", Duration::from_secs(5 + 2));
    sender.code(1);
    let totals = sender.complaint("Totals: sent=");
    let [sent, delivered, failed, unknown] = ["sent", "delivered", "failed", "unknown"].map(|name| total(totals, name));
    assert_eq!(delivered + failed + unknown, sent, "{totals}");
    // About 300 became due meanwhile; those of the last five seconds still had time.
    assert!(failed + unknown >= 100, "{totals}");
    let ids = acknowledged(&sender.stderr);
    assert_eq!(ids.len() as u64, delivered);

    let log = cluster.log(&topic);
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for id in log.iter().filter_map(|entry| entry.key.as_deref()) {
        *times.entry(id).or_default() += 1;
    }
    assert!(times.values().all(|times| *times == 1), "nothing is in the log twice");
    assert!(ids.iter().all(|id| times.contains_key(id.as_str())), "everything acknowledged is in the log");
    println!("{totals}");
}
