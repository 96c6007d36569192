//! `krs receive` and `krs send` with what others wrote and read: ranges, forms, standard input, several in one process; as
//! programs, on a development broker in the test's own process.
#![cfg(all(feature = "devbroker", feature = "services"))]

#[path = "util/process.rs"]
mod process;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use krs::devbroker::{DevBroker, Options};
use krs::{Admin, Config, Consumer, Header, NewTopic, Producer, Record, TopicPartition};
use process::{Ended, Program};
use serde_json::{Value, json};

/// No wait of a test that works comes near this.
const LONG: Duration = Duration::from_secs(60);

struct Kafka(DevBroker);

impl Kafka {
    fn start() -> Self {
        let mut options = Options::default();
        options.auto_create_topics = false;
        Self(DevBroker::start(options).unwrap())
    }

    fn config(&self) -> Config {
        Config::new().set("bootstrap.servers", self.0.bootstrap()).unwrap()
    }

    fn create(&self, name: &str, partitions: i32) {
        let topic = NewTopic { name, partitions, replication_factor: 1, configs: &[] };
        Admin::connect(&self.config()).unwrap().create_topic(&topic).unwrap();
    }

    /// Sends `0`, `1`, … with these timestamps to partition 0, or round robin if there are more.
    fn fill(&self, topic: &str, partitions: i32, timestamps: impl Iterator<Item = i64>) {
        self.create(topic, partitions);
        let producer = Producer::connect(&self.config()).unwrap();
        for (number, timestamp) in (0..).zip(timestamps) {
            let text = number.to_string();
            producer.post(Record::to(topic).partition(number % partitions).value(&text).timestamp(timestamp)).unwrap();
        }
        producer.close(LONG).unwrap();
    }

    /// `krs` with these words, put apart by blanks.
    fn krs(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_krs"));
        command.args(words.split(' ')).env_clear().env("KAFKA_BROKERS", self.0.bootstrap());
        command
    }

    fn run(&self, words: &str) -> Ended {
        process::run(&mut self.krs(words), LONG)
    }

    /// Every byte that it writes.
    fn bytes(&self, words: &str) -> Vec<u8> {
        let output: Output = self.krs(words).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The values that it prints, one a line, sorted as numbers.
    fn numbers(&self, words: &str) -> Vec<u32> {
        sorted(&self.run(&format!("{words} --format %s\\n")).success())
    }

    fn records(&self, topic: &str) -> Vec<Value> {
        let text = self.run(&format!("receive -t {topic} --no-group --exit-at-end --json")).success();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let consumer = Consumer::connect(&self.config().set("group.id", group).unwrap()).unwrap();
        consumer.committed(&[TopicPartition::new(topic, partition)]).unwrap()[0]
    }
}

fn sorted(text: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

fn all(count: u32) -> Vec<u32> {
    (0..count).collect()
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn a_record_is_written_byte_for_byte_in_the_form_of_the_user() {
    let kafka = Kafka::start();
    kafka.create("t", 1);
    let producer = Producer::connect(&kafka.config()).unwrap();
    let headers = [Header::new("a", b"\xff,"), Header { key: "n", value: None }];
    producer.post(Record::to("t").key(b"k\0").value(b"\n\xfe%s").headers(&headers).timestamp(7)).unwrap();
    producer.post(Record::to("t").timestamp(8)).unwrap();
    producer.close(LONG).unwrap();

    let bytes = kafka.bytes(r"receive -t t --no-group --exit-at-end --format %t-%p@%o|%T|%k|%K|%s|%S|%R|%h|%%\x00\n");
    let expected: &[u8] =
        b"t-0@0|7|k\0|2|\n\xfe%s|4|\0\0\0\x04|a=\xff,,n=NULL|%\0\nt-0@1|8||-1||-1|\xff\xff\xff\xff||%\0\n";
    assert_eq!(bytes, expected, "{}", bytes.escape_ascii());

    assert_eq!(
        kafka.records("t"),
        [
            json!({"topic": "t", "partition": 0, "offset": 0, "timestamp": 7, "key": "k\0", "value": {"base64": "Cv4lcw=="},
                "headers": [{"key": "a", "value": {"base64": "/yw="}}, {"key": "n", "value": null}]}),
            json!({"topic": "t", "partition": 0, "offset": 1, "timestamp": 8, "key": null, "value": null, "headers": []}),
        ]
    );
}

#[test]
fn times_bound_what_is_read() {
    let kafka = Kafka::start();
    kafka.fill("t", 1, [1000, 2000, 2000, 4000, 3000, 5000].into_iter().map(|ms| 1_767_225_600_000 + ms));
    let read = |range: &str| kafka.numbers(&format!("receive -t t --no-group {range}"));
    assert_eq!(read("--from 2026-01-01T00:00:02Z --exit-at-end"), [1, 2, 3, 4, 5]);
    assert_eq!(read("--until 2026-01-01T00:00:02Z"), [0]);
    assert_eq!(read("--until 2026-01-01T00:00:03Z"), [0, 1, 2], "the first that reaches it ends the partition");
    assert_eq!(read("--from 2026-01-01T00:00:02Z --until 2026-01-01T00:00:05Z"), [1, 2, 3, 4]);
    assert_eq!(read("--from earliest --until now"), [0, 1, 2, 3, 4, 5]);
    assert_eq!(read("--until -1h --exit-at-end").len(), 6, "no record reaches it");
    assert_eq!(read("--from latest --exit-at-end"), [0; 0]);
    assert_eq!(read("--from -1h --exit-at-end"), [0; 0]);
    assert_eq!(read("--exit-at-end --count 2"), [0, 1]);
}

#[test]
fn an_end_that_lies_ahead_comes_without_another_record() {
    let kafka = Kafka::start();
    let now = now_ms();
    kafka.fill("t", 2, [now, now, now + 3_600_000].into_iter());
    let until = now + 1500;
    assert_eq!(kafka.numbers(&format!("receive -t t --no-group --until {until}")), [0, 1]);
    assert_eq!(kafka.numbers(&format!("receive -t t -g g --until {}", now_ms() + 1500)), [0, 1]);
    assert_eq!((kafka.committed("g", "t", 0), kafka.committed("g", "t", 1)), (Some(1), Some(1)));
}

#[test]
fn some_partitions_or_all_are_read_without_a_group() {
    let kafka = Kafka::start();
    kafka.fill("t", 3, (0..30).map(|_| now_ms()));
    assert_eq!(kafka.numbers("receive -t t --partition 2,0 --exit-at-end").len(), 20);
    assert_eq!(kafka.numbers("receive -t t --partition 2 --partition 0 --exit-at-end").len(), 20);
    assert_eq!(kafka.numbers("receive -t t --no-group --exit-at-end"), all(30));
    let beyond = kafka.run("receive -t t --partition 0,3 --exit-at-end");
    assert_eq!(beyond.code(2).complaint("t-3"), "krs: t-3: the topic has 3 partitions, counted from 0");
    let missing = kafka.run("receive -t missing --no-group");
    missing.code(1).complaint("topic missing: UNKNOWN_TOPIC_OR_PARTITION");
    assert_eq!(kafka.run("topic list --json").success().matches("missing").count(), 0, "it was not created");
}

#[test]
fn a_group_ends_at_the_end_with_everything_committed() {
    let kafka = Kafka::start();
    for (number, more) in
        ["", "--receivers 3", "--receivers 5", "--receivers 3 -X group.protocol=consumer"].iter().enumerate()
    {
        let topic = format!("t{number}");
        kafka.fill(&topic, 4, (0..3000).map(|_| now_ms()));
        let words = format!("receive -t {topic} -g {topic} --exit-at-end {more}");
        let words = words.trim_end();
        assert_eq!(kafka.numbers(words), all(3000), "{words}");
        for partition in 0..4 {
            assert_eq!(kafka.committed(&topic, &topic, partition), Some(750), "{words}");
        }
        assert_eq!(kafka.numbers(words), [0; 0], "{words}");
    }
}

/// A member that is done must not leave partitions behind that a rebalance is just bringing to it.
#[test]
fn members_that_come_together_and_end_by_themselves_read_everything() {
    let kafka = Kafka::start();
    for round in 0..3 {
        let topic = format!("t{round}");
        kafka.fill(&topic, 6, (0..600).map(|_| now_ms()));
        let words = format!("receive -t {topic} -g g{round} --exit-at-end --format %s\\n");
        let members: Vec<_> = (0..3).map(|_| Program::start(&mut kafka.krs(&words))).collect();
        let texts: Vec<String> = members.into_iter().map(|member| member.end(LONG).success()).collect();
        assert_eq!(sorted(&texts.concat()), all(600), "round {round}");
    }
}

/// Nothing is given to a member as long as the group waits for one that is dead, or for one that has to let go first.
#[test]
fn a_member_without_partitions_is_not_at_the_end() {
    let kafka = Kafka::start();
    kafka.fill("t", 2, (0..40).map(|_| now_ms()));
    for (number, more) in
        ["-X group.protocol=consumer", "-X partition.assignment.strategy=cooperative-sticky"].iter().enumerate()
    {
        let group = format!("g{number}");
        let words = format!("receive -t t -g {group} --format %p-%o\\n {more}");
        // One holds everything, and can commit nothing.
        kafka.0.inject(format!("offset-commit:error=NOT_COORDINATOR,group={group}").parse().unwrap()).unwrap();
        let first = Program::start(&mut kafka.krs(&words));
        first.stderr.wait_for("Assigned: t-0, t-1", LONG);
        let second = Program::start(&mut kafka.krs(&format!("{words} --exit-at-end")));
        second.stderr.wait_for("Assigned: none", LONG);
        // Longer than a member without partitions took to say that it was at the end.
        std::thread::sleep(Duration::from_millis(700));
        assert!(!second.stderr.now().iter().any(|line| line.contains("At the end")), "{more}");
        kafka.0.clear_faults();
        second.end(LONG).success();
        first.end_by("TERM", LONG).code(0);
        assert_eq!((0..2).map(|at| kafka.committed(&group, "t", at)).collect::<Vec<_>>(), [Some(20); 2], "{more}");
    }
}

/// They learn from what is committed how far the other is, and neither has read anything.
#[test]
fn members_with_nothing_to_read_do_not_wait_for_each_other() {
    let kafka = Kafka::start();
    kafka.fill("t", 2, (0..40).map(|_| now_ms()));
    let until = now_ms() + 5000;
    let words = format!("receive -t t -g g --from latest --until {until} --format %s\\n");
    let members = [(); 2].map(|()| Program::start(&mut kafka.krs(&words)));
    let one = |line: &String| line.contains("Assigned: t-") && !line.contains(", ");
    for member in &members {
        member.stderr.wait("one partition", LONG, |lines| lines.iter().any(one).then_some(()));
    }
    for member in members {
        assert_eq!(member.end(LONG).success(), "");
    }
}

#[test]
fn an_end_that_is_gone_is_an_error() {
    let kafka = Kafka::start();
    let admin = Admin::connect(&kafka.config()).unwrap();
    // Nothing is handed over meanwhile, so the end is not reached.
    for (topic, words) in [("a", "--no-group"), ("b", "-g b"), ("c", "--no-group")] {
        kafka.fill(topic, 2, (0..20).map(|_| now_ms()));
        let held =
            kafka.0.inject(format!("fetch:error=NOT_LEADER_OR_FOLLOWER,topic={topic}").parse().unwrap()).unwrap();
        let program = Program::start(&mut kafka.krs(&format!("receive -t {topic} {words} --exit-at-end --json")));
        program.stderr.wait_for("Receiving", LONG);
        while kafka.0.faults_applied(held) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        admin.delete_topic(topic).unwrap();
        if topic == "c" {
            kafka.create(topic, 2);
        }
        kafka.0.clear_faults();
        let ended = program.end(LONG);
        let why = if topic == "c" { "the log ends at 0 now" } else { "it was deleted before its end was reached" };
        ended.code(1).complaint(why);
        assert!(ended.stdout.is_empty(), "{topic}");
    }
}

#[test]
fn a_stop_before_the_end_is_not_success() {
    let kafka = Kafka::start();
    kafka.fill("t", 1, (0..10).map(|_| now_ms()));
    for words in ["--no-group", "-g g", "-g h --receivers 2"] {
        let until = now_ms() + 600_000;
        let program = Program::start(&mut kafka.krs(&format!("receive -t t {words} --until {until} --json")));
        program.stdout.wait_count(10, LONG);
        let ended = program.end_by("TERM", Duration::from_secs(10));
        ended.code(1).complaint("stopped before the end was reached");
    }
}

#[test]
fn in_a_group_from_counts_only_where_nothing_is_committed() {
    let kafka = Kafka::start();
    kafka.fill("t", 1, (0..10).map(|_| now_ms()));
    assert_eq!(kafka.numbers("receive -t t -g g --from earliest --count 4"), [0, 1, 2, 3]);
    let rest = kafka.run("receive -t t -g g --from earliest --exit-at-end --format %s\\n");
    assert_eq!(sorted(&rest.success()), [4, 5, 6, 7, 8, 9]);
    rest.complaint("The group goes on where it committed, whatever --from says: t-0");
    assert_eq!(kafka.numbers("receive -t t -g other --from latest --exit-at-end"), [0; 0]);
}

/// An open transaction of another member has undecided offsets, or the group has no coordinator for a while.
#[test]
fn where_the_group_is_may_take_time_to_learn() {
    let kafka = Kafka::start();
    kafka.fill("t", 1, (0..10).map(|_| now_ms()));
    for error in ["UNSTABLE_OFFSET_COMMIT", "COORDINATOR_LOAD_IN_PROGRESS"] {
        kafka.0.inject(format!("offset-fetch:error={error}").parse().unwrap()).unwrap();
        let words = format!("receive -t t -g {error} --from earliest -X default.api.timeout.ms=200 --json");
        let wait = |words: &str| {
            let program = Program::start(&mut kafka.krs(words));
            program.stderr.wait_for("asking where the group is", LONG);
            program
        };
        let ended = wait(&words).end_by("TERM", Duration::from_secs(10));
        assert_eq!(ended.code(0).stdout.len(), 0, "{error}");
        let program = wait(&format!("{words} --exit-at-end"));
        kafka.0.clear_faults();
        assert_eq!(program.end(LONG).success().lines().count(), 10, "{error}");
        assert_eq!(kafka.committed(error, "t", 0), Some(10));
    }
}

/// The end of what is read lies ahead, and nobody answers when it comes.
#[test]
fn a_broker_that_is_away_when_the_end_comes_is_waited_for() {
    let kafka = Kafka::start();
    kafka.fill("t", 1, (0..10).map(|_| now_ms()));
    let fault = "list-offsets:error=NOT_LEADER_OR_FOLLOWER".parse().unwrap();
    let soon = now_ms() + 5000;
    let words = format!("receive -t t --no-group --until {soon} -X default.api.timeout.ms=200 --json");
    let program = Program::start(&mut kafka.krs(&words));
    program.stdout.wait_count(10, LONG);
    kafka.0.inject(fault).unwrap();
    program.stderr.wait_for("asking for partitions and their ends", LONG);
    kafka.0.clear_faults();
    assert_eq!(program.end(LONG).success().lines().count(), 10);
}

#[test]
fn what_was_not_written_is_not_committed() {
    let kafka = Kafka::start();
    kafka.create("t", 1);
    let producer = Producer::connect(&kafka.config()).unwrap();
    let value = [b'x'; 1000];
    (0..2000).for_each(|_| producer.post(Record::to("t").value(&value)).unwrap());
    producer.close(LONG).unwrap();
    for (number, form) in ["--json", "--format %s\\n", "--format %s\\n --receivers 2"].iter().enumerate() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let words = format!("receive -t t -g full{number} {form}");
        let ended = Program::start_into(&mut kafka.krs(&words), full).end(LONG);
        ended.code(1).complaint("cannot write to standard output");
        assert_eq!(kafka.committed(&format!("full{number}"), "t", 0).unwrap_or(0), 0, "{words}");

        // A reader that leaves is no failure. A pipe holds 64 KiB, and a line is longer than 1000 bytes.
        let (mut reader, writer) = std::io::pipe().unwrap();
        let words = format!("receive -t t -g pipe{number} {form}");
        let program = Program::start_into(&mut kafka.krs(&words), writer);
        let mut some = [0; 100_000];
        reader.read_exact(&mut some).unwrap();
        drop(reader);
        program.end(LONG).code(0);
        let committed = kafka.committed(&format!("pipe{number}"), "t", 0).unwrap_or(0);
        assert!(committed <= 166, "{words}: {committed}");
    }
}

/// Sends this input, which need not be text.
fn send(kafka: &Kafka, words: &str, input: &[u8]) -> Ended {
    Program::start_with(&mut kafka.krs(words), input).end(LONG)
}

#[test]
fn lines_become_messages() {
    let kafka = Kafka::start();
    let words = "send --stdin -t t --partitions 1 --key-separator : -H a=1 --header b= --tombstone NULL";
    send(&kafka, words, b"k:v:w\nk:NULL\n:x\nplain\n\n\xff:\xfe\r\nlast").code(0).complaint("delivered=7");
    let pairs: Vec<_> =
        kafka.records("t").iter().map(|record| (record["key"].clone(), record["value"].clone())).collect();
    let expected = [
        (json!("k"), json!("v:w")),
        (json!("k"), Value::Null),
        (json!(""), json!("x")),
        (Value::Null, json!("plain")),
        (Value::Null, json!("")),
        (json!({"base64": "/w=="}), json!({"base64": "/g0="})),
        (Value::Null, json!("last")),
    ];
    assert_eq!(pairs, expected);
    let headers = json!([{"key": "a", "value": "1"}, {"key": "b", "value": ""}]);
    assert!(kafka.records("t").iter().all(|record| record["headers"] == headers));

    send(&kafka, r"send --stdin -t u --key same --partition 2 --delimiter \0\n --count 2", b"a\nb\0\nc\0\nd").code(0);
    let records = kafka.records("u");
    let values: Vec<_> = records.iter().map(|record| record["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["a\nb", "c"]);
    assert!(records.iter().all(|record| record["key"] == "same" && record["partition"] == 2));

    send(&kafka, "send --stdin -t v", b"").code(0).complaint("sent=0");
    let beyond = send(&kafka, "send --stdin -t v --partition 3", b"a\n");
    assert_eq!(beyond.code(2).complaint("v-3"), "krs: v-3: the topic has 3 partitions, counted from 0");
}

#[test]
fn many_lines_keep_their_order() {
    let kafka = Kafka::start();
    let input: String = (0..100_000).map(|number| format!("{number}\n")).collect();
    send(&kafka, "send --stdin -t t --partitions 1", input.as_bytes()).code(0);
    assert_eq!(kafka.bytes("receive -t t --no-group --exit-at-end --format %s\\n"), input.as_bytes());
}

#[test]
fn a_line_that_is_too_long_is_named_and_those_before_it_are_sent() {
    let kafka = Kafka::start();
    let input = [&b"one\n"[..], &[b'x'; 3_000_000], b"\nthree\n"].concat();
    let ended = send(&kafka, "send --stdin -t t", &input);
    let complaint = ended.code(1).complaint("line 2");
    assert!(complaint.contains("message.max.bytes=1048576"), "{complaint}");
    assert_eq!(kafka.records("t").len(), 1);
    send(&kafka, "send --stdin -t u -X message.max.bytes=5000000", &input).code(1).complaint("failed=1");
    // What is around the value makes it too long.
    let ended = send(&kafka, "send --stdin -t v", &[b'x'; 1_048_576]);
    ended.code(1).complaint("line 1 of standard input: ");
}

#[test]
fn a_message_that_was_not_delivered_shows_in_the_exit_code() {
    let kafka = Kafka::start();
    kafka.create("t", 1);
    kafka.0.inject("produce:error=INVALID_RECORD".parse().unwrap()).unwrap();
    send(&kafka, "send --stdin -t t", b"a\nb\n").code(1).complaint("krs: line 1 of standard input is the first that");

    kafka.0.clear_faults();
    kafka.0.inject("produce:error=TOPIC_AUTHORIZATION_FAILED".parse().unwrap()).unwrap();
    send(&kafka, "send --stdin -t t", b"a\nb\n").code(4).complaint("krs: line 1 of standard input is the first that");
}

/// What waits in the full buffer is under way for longer than a message of `krs send` alone may be.
#[test]
fn a_broker_that_is_slower_than_the_input_loses_no_line() {
    let kafka = Kafka::start();
    kafka.create("t", 1);
    kafka.0.inject("produce:delay=400ms".parse().unwrap()).unwrap();
    let input: String = (0..400).map(|number| format!("{number:0200}\n")).collect();
    let words = "send --stdin -t t -X buffer.memory=65536 -X batch.size=4096 -X max.block.ms=200 \
                 -X max.in.flight.requests.per.connection=1";
    send(&kafka, words, input.as_bytes()).code(0).complaint("delivered=400, failed=0");
    assert_eq!(kafka.bytes("receive -t t --no-group --exit-at-end --format %s\\n"), input.as_bytes());

    // Who says how long a line may take is obeyed.
    kafka.0.clear_faults();
    kafka.0.inject("produce:silence".parse().unwrap()).unwrap();
    let ended = send(&kafka, "send --stdin -t t --message-timeout 300", b"a\n");
    ended.code(1).complaint("krs: line 1 of standard input is the first that was not delivered");
}

#[test]
fn the_first_line_that_was_not_delivered_is_named_and_ends_the_reading() {
    let kafka = Kafka::start();
    kafka.create("t", 1);
    let (input, mut pipe) = std::io::pipe().unwrap();
    let sender =
        kafka.krs("send --stdin -t t").stdin(input).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    pipe.write_all(b"one\ntwo\n").unwrap();
    assert_eq!(kafka.run("receive -t t --no-group --count 2 --format %s\\n").success(), "one\ntwo\n");
    kafka.0.inject("produce:error=INVALID_RECORD".parse().unwrap()).unwrap();
    pipe.write_all(b"three\nfour\n").unwrap();
    // The pipe stays open: it does not wait for more.
    let ended = sender.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("krs: line 3 of standard input is the first that was not delivered"), "{told}");
    drop(pipe);
}

#[test]
fn a_slow_pipe_is_sent_at_once_and_ctrl_c_sends_what_was_whole() {
    let kafka = Kafka::start();
    kafka.create("t", 1);
    let (input, mut pipe) = std::io::pipe().unwrap();
    let sender =
        kafka.krs("send --stdin -t t").stdin(input).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    pipe.write_all(b"one\n").unwrap();
    let first = "receive -t t --no-group --count 1 --format %s\\n";
    assert_eq!(kafka.run(first).success(), "one\n");
    pipe.write_all(b"two\nthr").unwrap();
    assert_eq!(kafka.run(&first.replace("--count 1", "--count 2")).success(), "one\ntwo\n");
    let killed = Command::new("kill").args(["-s", "INT", &sender.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let ended = sender.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("sent=2, delivered=2"));
    drop(pipe);
    assert_eq!(kafka.records("t").len(), 2);
}

/// A reader that is ahead once took thousands of lines with it.
#[test]
fn no_line_that_was_taken_from_the_input_is_lost_when_the_stop_comes() {
    const LINE: usize = 8;
    let kafka = Kafka::start();
    kafka.create("t", 1);
    let (mut input, mut pipe) = std::io::pipe().unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                pipe.write_all(format!("{number:07}\n").as_bytes()).unwrap();
                number += 1;
            }
            drop(pipe);
            number * LINE
        });
        let mut command = kafka.krs("send --stdin -t t");
        command.stdin(input.try_clone().unwrap()).stdout(Stdio::null()).stderr(Stdio::piped());
        let sender = command.spawn().unwrap();
        drop(command);
        assert_eq!(kafka.run("receive -t t --no-group --count 1 --format %s\\n").success(), "0000000\n");
        let killed = Command::new("kill").args(["-s", "TERM", &sender.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let ended = sender.wait_with_output().unwrap();
        over.store(true, Ordering::Relaxed);
        let mut left = Vec::new();
        input.read_to_end(&mut left).unwrap();
        let taken = writing.join().unwrap() - left.len();
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{told}");
        let lines = taken / LINE;
        assert!(told.contains(&format!("delivered={lines}, failed=0")), "{taken} bytes, {told}");
        let word = if taken % LINE == 0 { "behind line" } else { "in the middle of line" };
        assert!(told.contains(&format!("Stopped {word}")), "{taken} bytes, {told}");
        assert_eq!(kafka.numbers("receive -t t --no-group --exit-at-end").len(), lines);
    });
}

#[test]
fn several_senders_and_receivers_share_a_process() {
    let kafka = Kafka::start();
    let sent = kafka.run("send -t t --senders 3 --interval 0 --count 100 --producer-id x");
    sent.code(0).complaint("sent=100, delivered=100");
    let received = kafka.run("receive -t t -g g --receivers 3 --count 100");
    let lines: Vec<String> = received.success().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 100);
    for (number, line) in (1..).zip(&lines) {
        assert!(line.starts_with("INFO receiver: Received message #"), "{line}");
        assert!(line.ends_with(&format!(", total_received={number}")), "{line}");
    }
    for part in
        ["producer x-1: received=34, lost=0", "producer x-2: received=33, lost=0", "producer x-3: received=33, lost=0"]
    {
        received.complaint(part);
    }
    let ids: BTreeSet<_> = lines.iter().filter_map(|line| line.split("id=").nth(1)?.split(',').next()).collect();
    assert_eq!(ids.len(), 100);
}

#[test]
fn several_receivers_are_static_members_of_different_names() {
    let kafka = Kafka::start();
    kafka.fill("t", 6, (0..600).map(|_| now_ms()));
    for protocol in ["classic", "consumer"] {
        let words = format!("receive -t t -g {protocol} -X group.protocol={protocol} -X group.instance.id=left");
        let words = format!("{words} --receivers 3 --format %s\\n");
        let program = Program::start(&mut kafka.krs(&words));
        program.stdout.wait_count(600, LONG);
        let admin = Admin::connect(&kafka.config()).unwrap();
        // The first of them may have read everything before the others are there.
        let until = Instant::now() + LONG;
        loop {
            let group = admin.describe_groups(&[protocol]).remove(0).unwrap();
            let names: BTreeSet<_> = group.members.iter().filter_map(|member| member.instance_id.as_deref()).collect();
            if names.len() == 3 {
                assert_eq!(names, BTreeSet::from(["left-1", "left-2", "left-3"]), "{protocol}");
                break;
            }
            assert!(Instant::now() < until, "{protocol}: {names:?}");
        }
        let ended = program.end_by("TERM", LONG);
        ended.code(0);
        assert_eq!(sorted(&ended.stdout.join("\n")), all(600), "{protocol}");
    }
}

#[test]
fn several_receivers_end_by_one_signal() {
    let kafka = Kafka::start();
    kafka.fill("t", 3, (0..9).map(|_| now_ms()));
    let program = Program::start(&mut kafka.krs("receive -t t -g g --receivers 3 --json"));
    program.stdout.wait_count(9, LONG);
    program.end_by("TERM", Duration::from_secs(10)).code(0);
    assert_eq!((0..3).map(|partition| kafka.committed("g", "t", partition)).collect::<Vec<_>>(), [Some(3); 3]);
}
