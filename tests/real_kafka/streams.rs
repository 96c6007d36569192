//! `krs receive` and `krs send` with what Kafka's own console tools write and read.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::process::Program;
use crate::support::{Entry, KRS, LONG, committed, formatter, kafka, reader, run, run_with, unique};

/// What `krs` prints with these words, put apart by blanks, and this input.
#[track_caller]
fn krs(words: &str, input: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    run_with(&mut kafka().program(KRS, &words, &[]), input, LONG).success()
}

#[test]
fn lines_that_krs_sends_are_read_by_kafkas_console_consumer_and_kcat() {
    let kafka = kafka();
    let topic = unique("lines");
    kafka.create(&topic, 1);
    let words = format!("send --stdin -t {topic} --key-separator : -H a=1 --header b= --tombstone NULL");
    krs(&words, "k:v:w\nk:NULL\n:x\nplain\n\nüñ:ß\nlast");

    let properties = ["print.key=true", "print.headers=true", "print.partition=true", "print.offset=true"];
    let mut words = vec!["--topic", &topic, "--from-beginning", "--max-messages", "7", "--timeout-ms", "30000"];
    words.extend(properties.iter().flat_map(|property| [formatter(), property]));
    let console = run(&mut kafka.tool("kafka-console-consumer", &words), LONG).success();
    let expected = ["k\tv:w", "k\tnull", "\tx", "null\tplain", "null\t", "üñ\tß", "null\tlast"];
    let expected: Vec<String> =
        (0..).zip(expected).map(|(offset, pair)| format!("Partition:0\tOffset:{offset}\ta:1,b:\t{pair}")).collect();
    assert_eq!(console.lines().collect::<Vec<_>>(), expected);

    let entry = |(offset, key, value): (i64, Option<&str>, Option<&str>)| Entry {
        partition: 0,
        offset,
        key: key.map(str::to_owned),
        value: value.map(str::to_owned),
        headers: "a=1,b=".to_owned(),
    };
    let expected = [
        (0, Some("k"), Some("v:w")),
        (1, Some("k"), None),
        (2, Some(""), Some("x")),
        (3, None, Some("plain")),
        (4, None, Some("")),
        (5, Some("üñ"), Some("ß")),
        (6, None, Some("last")),
    ];
    assert_eq!(kafka.log(&topic), expected.map(entry));
}

#[test]
fn what_kafkas_console_producer_sends_is_written_by_krs_in_every_form() {
    let kafka = kafka();
    let topic = unique("console");
    kafka.create(&topic, 1);
    let properties = ["parse.key=true", "parse.headers=true", "null.marker=NULL"];
    let mut words = vec!["--topic", &topic];
    words.extend(properties.iter().flat_map(|property| [reader(), property]));
    let input = "a:1,b:2\tk\tv\nNULL\tk\tNULL\na:ü\tNULL\t{\"x\":1}\n";
    run_with(&mut kafka.tool("kafka-console-producer", &words), input, LONG).success();

    let receive = format!("receive -t {topic} --no-group --exit-at-end");
    let formed = krs(&format!("{receive} --format %p@%o|%k|%K|%s|%S|%h\\n"), "");
    assert_eq!(formed, "0@0|k|1|v|1|a=1,b=2\n0@1|k|1||-1|\n0@2||-1|{\"x\":1}|7|a=ü\n");
    let objects: Vec<Value> =
        krs(&format!("{receive} --json"), "").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 3);
    assert!(objects.iter().all(|object| object["topic"] == *topic && object["timestamp"].is_i64()));
    assert_eq!(objects[0]["headers"], json!([{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]));
    assert_eq!((&objects[1]["key"], &objects[1]["value"]), (&json!("k"), &Value::Null));
    assert_eq!((&objects[2]["key"], &objects[2]["value"]), (&Value::Null, &json!("{\"x\":1}")));
}

/// Numbers 0, 1, … with these times, in partition 0; one in partition 1.
fn timed(topic: &str, times: &[i64]) {
    let producer = krs::Producer::connect(&kafka().config()).unwrap();
    for (number, time) in times.iter().enumerate() {
        let value = number.to_string();
        producer.send(krs::Record::to(topic).partition(0).value(&value).timestamp(*time)).unwrap();
    }
    producer.send(krs::Record::to(topic).partition(1).value("one").timestamp(times[0])).unwrap();
    producer.close(LONG).unwrap();
}

#[test]
fn times_and_partitions_bound_what_is_read() {
    let topic = unique("times");
    let begin = 1_767_225_600_000;
    // Retention would take what is so old.
    kafka().create_with(&topic, 2, &[("retention.ms", "-1")]);
    timed(&topic, &[1000, 2000, 2000, 4000, 3000, 5000].map(|ms| begin + ms));
    let read = |range: &str| krs(&format!("receive -t {topic} {range} --format %s,"), "");
    assert_eq!(read("--partition 0 --from 2026-01-01T00:00:02Z --exit-at-end"), "1,2,3,4,5,\n");
    assert_eq!(read("--partition 0 --until 2026-01-01T00:00:03Z"), "0,1,2,\n");
    assert_eq!(read("--partition 0 --from 2026-01-01T00:00:02Z --until 2026-01-01T00:00:05Z"), "1,2,3,4,\n");
    assert_eq!(read("--partition 1 --exit-at-end"), "one,\n");
    assert_eq!(read("--no-group --from latest --exit-at-end"), "");
    assert_eq!(read("--no-group --from -1h --exit-at-end"), "");
    let mut all: Vec<String> =
        read("--no-group --from earliest --exit-at-end").trim_end().split_terminator(',').map(str::to_owned).collect();
    all.sort();
    assert_eq!(all, ["0", "1", "2", "3", "4", "5", "one"]);

    // A member ends too, with what it has read committed, and goes on there.
    let group = unique("times");
    read(&format!("-g {group} --until 2026-01-01T00:00:03Z"));
    assert_eq!(committed(&kafka().config(), &group, &topic, 2), [Some(3), Some(1)]);
    assert_eq!(read(&format!("-g {group} --from earliest --exit-at-end")), "3,4,5,\n");
    assert_eq!(committed(&kafka().config(), &group, &topic, 2), [Some(6), Some(1)]);
}

/// The marks of transactions are no records: what a member has come to behind the last one must be committed too, or
/// others wait for it.
#[test]
fn members_that_end_behind_a_transaction_do_not_wait_for_each_other() {
    let kafka = kafka();
    let topic = unique("marks");
    kafka.create(&topic, 2);
    let milliseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let until = (milliseconds + 20_000).to_string();
    // One at a time, so that no commit but the last goes behind the mark.
    let words = ["receive", "-t", &topic, "-g", &topic, "--until", &until, "--json", "-X", "max.poll.records=1"];
    let members = [(); 2].map(|()| Program::start(&mut kafka.program(KRS, &words, &[])));
    let one = |line: &String| line.contains("Assigned: ") && !line.contains(", ") && !line.contains("none");
    for member in &members {
        member.stderr.wait("one partition", LONG, |lines| lines.iter().any(one).then_some(()));
    }
    let producer = format!("bootstrap.servers={}", kafka.config().get("bootstrap.servers").unwrap());
    let words = ["--topic", &topic, "--num-records", "2000", "--record-size", "1000", "--throughput", "-1"];
    let words = [&words[..], &["--producer-props", &producer, "--transactional-id", &topic]].concat();
    run(&mut kafka.tool("org.apache.kafka.tools.ProducerPerformance", &words), LONG).success();
    let lines: usize = members.into_iter().map(|member| member.end(LONG).success().lines().count()).sum();
    assert_eq!(lines, 2000);
}
