//! `krs topic` and `krs group` as programs, on a development broker in the test's own process.
#![cfg(all(feature = "devbroker", feature = "services"))]

#[path = "util/process.rs"]
mod process;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use krs::devbroker::{DevBroker, Options, Version};
use krs::{Config, Consumer, Producer, Record};
use process::{Ended, Program};
use serde_json::{Value, json};

/// No wait of a test that works comes near this.
const LONG: Duration = Duration::from_secs(60);

fn broker() -> DevBroker {
    let mut options = Options::default();
    options.auto_create_topics = false;
    DevBroker::start(options).unwrap()
}

/// `krs` with these words, put apart by blanks.
fn krs(broker: &DevBroker, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_krs"));
    command.args(words.split_whitespace()).env_clear().env("KAFKA_BROKERS", broker.bootstrap());
    command
}

fn run(broker: &DevBroker, words: &str) -> Ended {
    process::run(&mut krs(broker, words), LONG)
}

/// What it prints where it works, without a word on standard error.
#[track_caller]
fn done(broker: &DevBroker, words: &str) -> String {
    let ended = run(broker, words);
    let text = ended.success();
    assert!(ended.stderr.is_empty(), "{words}: {:?}", ended.stderr);
    text
}

/// The one object it prints with `--json`.
#[track_caller]
fn object(broker: &DevBroker, words: &str) -> Value {
    let text = done(broker, &format!("{words} --json"));
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The one line in which it refuses.
#[track_caller]
fn refusal(broker: &DevBroker, words: &str, code: i32) -> String {
    let ended = run(broker, words);
    ended.code(code);
    assert!(ended.stdout.is_empty(), "{:?}", ended.stdout);
    assert_eq!(ended.stderr.len(), 1, "{:?}", ended.stderr);
    ended.stderr[0].strip_prefix("krs: ").unwrap().to_owned()
}

fn config(broker: &DevBroker) -> Config {
    Config::new().set("bootstrap.servers", broker.bootstrap()).unwrap()
}

/// A topic of two partitions with five records in each, a second apart, the last one now.
fn filled(broker: &DevBroker, topic: &str) {
    done(broker, &format!("topic create {topic} --partitions 2"));
    let producer = Producer::connect(&config(broker)).unwrap();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    for partition in 0..2 {
        for number in 0..5 {
            let record = Record::to(topic).partition(partition).value("x").timestamp(now - 1000 * (4 - number));
            producer.send(record).unwrap().wait().unwrap();
        }
    }
    producer.close(LONG).unwrap();
}

/// A consumer that has all partitions of a topic.
fn member(broker: &DevBroker, group: &str, topic: &str) -> Consumer {
    let mut consumer = Consumer::connect(&config(broker).set("group.id", group).unwrap()).unwrap();
    consumer.subscribe([topic]).unwrap();
    let until = Instant::now() + LONG;
    while consumer.assignment().is_empty() {
        assert!(Instant::now() < until, "no partitions");
        let _ = consumer.poll(Duration::from_millis(10)).unwrap();
    }
    consumer
}

/// Lets a group without members stand at this offset.
fn stand(broker: &DevBroker, group: &str, topic: &str, offset: i64) {
    let consumer = member(broker, group, topic);
    consumer.commit().unwrap();
    consumer.close(LONG).unwrap();
    done(broker, &format!("group reset-offsets {group} --topic {topic} --to-offset {offset} --execute"));
}

#[test]
fn a_topic_from_its_creation_to_its_deletion() {
    let broker = broker();
    let created =
        object(&broker, "topic create orders --partitions 3 --replication-factor 1 --config retention.ms=3600000");
    assert_eq!(created, json!({"topic": "orders", "created": true}));
    let again = refusal(&broker, "topic create orders", 1);
    assert!(again.contains("exists already") && again.contains("--if-not-exists"), "{again}");
    assert_eq!(object(&broker, "topic create orders --if-not-exists"), json!({"topic": "orders", "created": false}));

    let list = object(&broker, "topic list");
    let listed = &list["topics"][0];
    assert_eq!(
        (&listed["name"], &listed["internal"], &listed["partition_count"]),
        (&json!("orders"), &json!(false), &json!(3))
    );
    assert_eq!(done(&broker, "topic list").lines().nth(1).unwrap().split_whitespace().next(), Some("orders"));

    let described = object(&broker, "topic describe orders");
    assert_eq!(described["name"], "orders");
    assert_eq!(described["partitions"].as_array().unwrap().len(), 3);
    let first = &described["partitions"][0];
    assert_eq!((&first["partition"], &first["replicas"], &first["isr"]), (&json!(0), &json!([1]), &json!([1])));
    assert!(first["leader"] == 1 && first["leader_epoch"].is_i64(), "{first}");
    assert_eq!(described["configs"][0]["name"], "retention.ms");
    assert!(done(&broker, "topic describe orders").contains("PARTITION  LEADER"));

    let more = object(&broker, "topic add-partitions orders --partitions 5");
    assert_eq!(more, json!({"topic": "orders", "before": 3, "partitions": 5}));
    assert!(refusal(&broker, "topic add-partitions orders --partitions 5", 1).contains("has 5 partitions already"));

    assert!(refusal(&broker, "topic delete orders", 2).contains("--yes"));
    assert!(refusal(&broker, "topic delete orders absent --yes", 1).contains("there is no topic absent"));
    assert_eq!(object(&broker, "topic list")["topics"].as_array().unwrap().len(), 1, "nothing was deleted");
    assert_eq!(object(&broker, "topic delete orders --yes"), json!({"deleted": ["orders"]}));
    assert_eq!(object(&broker, "topic list"), json!({"topics": []}));
}

#[test]
fn a_configuration_is_shown_where_it_is_not_the_default() {
    let broker = broker();
    done(&broker, "topic create orders");
    let value = |answer: &Value, name: &str| {
        let configs = answer["configs"].as_array().unwrap();
        configs.iter().find(|config| config["name"] == name).map(|config| config["value"].clone())
    };
    assert_eq!(value(&object(&broker, "topic configs orders"), "cleanup.policy"), None);
    let set = object(&broker, "topic configs orders --set cleanup.policy=compact --set retention.ms=1000");
    assert_eq!(
        (value(&set, "cleanup.policy"), value(&set, "retention.ms")),
        (Some(json!("compact")), Some(json!("1000")))
    );
    let unset = object(&broker, "topic configs orders --unset retention.ms");
    assert_eq!((value(&unset, "cleanup.policy"), value(&unset, "retention.ms")), (Some(json!("compact")), None));
    assert!(value(&object(&broker, "topic configs orders --all"), "retention.ms").is_some());

    assert!(refusal(&broker, "topic configs orders --set nonsense=1", 1).contains("nonsense"));
    assert!(
        refusal(&broker, "topic configs orders --set cleanup.policy=delete --unset nonsense", 1).contains("nonsense")
    );
    let left = object(&broker, "topic configs orders");
    assert_eq!(value(&left, "cleanup.policy"), Some(json!("compact")), "all changes or none");
}

#[test]
fn a_group_with_a_member_is_described_and_left_alone() {
    let broker = broker();
    filled(&broker, "t");
    let consumer = member(&broker, "g", "t");
    consumer.commit().unwrap();

    let list = object(&broker, "group list");
    assert_eq!(
        list,
        json!({"groups": [{"group": "g", "state": "Stable", "type": "classic", "protocol_type": "consumer"}]})
    );
    let group = object(&broker, "group describe g");
    assert_eq!((&group["group"], &group["state"], &group["type"]), (&json!("g"), &json!("Stable"), &json!("classic")));
    assert!(!group["assignor"].as_str().unwrap().is_empty() && group["coordinator"]["id"] == 1, "{group}");
    let member = &group["members"][0];
    assert_eq!(member["assignment"], json!([{"topic": "t", "partitions": [0, 1]}]));
    assert_eq!(member["host"], "127.0.0.1");
    let table = done(&broker, "group describe g");
    assert!(table.contains("t:0,1") && table.contains("127.0.0.1"), "{table}");
    let lag = object(&broker, "group lag g");
    assert_eq!(lag["partitions"][0]["member"], member["member"]);

    let before = object(&broker, "group lag g")["partitions"][0]["committed"].clone();
    let reset = refusal(&broker, "group reset-offsets g --topic t --to-latest --execute", 1);
    assert!(reset.contains("group g has 1 members") && reset.contains("nothing was changed"), "{reset}");
    assert!(refusal(&broker, "group delete g --yes", 1).contains("has 1 members"));
    assert_eq!(object(&broker, "group lag g")["partitions"][0]["committed"], before);
    consumer.close(LONG).unwrap();
}

#[test]
fn lag_is_told_in_records_and_in_seconds() {
    let broker = broker();
    filled(&broker, "t");
    stand(&broker, "g", "t", 2);
    let lag = object(&broker, "group lag g");
    assert_eq!((&lag["group"], &lag["total_lag"]), (&json!("g"), &json!(6)));
    assert_eq!(lag["topics"], json!([{"topic": "t", "lag": 6}]));
    for (index, partition) in lag["partitions"].as_array().unwrap().iter().enumerate() {
        let seconds = partition["lag_seconds"].as_f64().unwrap();
        // The third of five records was sent as of two seconds before the last.
        assert!(seconds >= 2.0, "{partition}");
        let mut rest = partition.clone();
        rest.as_object_mut().unwrap().remove("lag_seconds");
        let expected = json!({"topic": "t", "partition": index, "committed": 2, "end": 5, "lag": 3, "member": null});
        assert_eq!(rest, expected);
    }
    stand(&broker, "g", "t", 5);
    let none = object(&broker, "group lag g");
    assert_eq!((&none["total_lag"], &none["partitions"][1]["lag_seconds"]), (&json!(0), &json!(0.0)));
    let table = done(&broker, "group lag g");
    assert!(table.ends_with("total lag 0\n"), "{table}");

    let mut watch = krs(&broker, "group lag g --watch 0.1 --json");
    let watch = Program::start(&mut watch);
    watch.stdout.wait_count(3, LONG);
    let ended = watch.end_by("INT", LONG);
    ended.code(0);
    assert!(ended.stderr.is_empty(), "{:?}", ended.stderr);
}

#[test]
fn offsets_are_reset_only_when_told_to() {
    let broker = broker();
    filled(&broker, "t");
    stand(&broker, "g", "t", 2);
    let offsets = |answer: &Value, field: &str| -> Vec<i64> {
        answer["partitions"].as_array().unwrap().iter().map(|entry| entry[field].as_i64().unwrap()).collect()
    };
    let reset = |words: &str| object(&broker, &format!("group reset-offsets g --topic t {words}"));
    for (words, new) in [
        ("--to-earliest", [0, 0]),
        ("--to-latest", [5, 5]),
        ("--to-offset 3", [3, 3]),
        ("--shift-by -1", [1, 1]),
        ("--shift-by 2", [4, 4]),
        ("--to-time -10m", [0, 0]),
    ] {
        let shown = reset(words);
        assert_eq!(
            (&shown["executed"], offsets(&shown, "current"), offsets(&shown, "new")),
            (&json!(false), vec![2, 2], new.to_vec()),
            "{words}"
        );
        assert_eq!(offsets(&object(&broker, "group lag g"), "committed"), [2, 2], "{words}: only shown");
    }
    let clamped = reset("--to-offset 99");
    assert_eq!((offsets(&clamped, "new"), &clamped["partitions"][0]["clamped_from"]), (vec![5, 5], &json!(99)));
    assert!(done(&broker, "group reset-offsets g --topic t --shift-by -9").contains("-7 is outside of the log"));

    assert_eq!(object(&broker, "group reset-offsets g --topic t:1 --to-offset 4 --execute")["executed"], true);
    assert_eq!(offsets(&object(&broker, "group lag g"), "committed"), [2, 4]);
    for (words, code, why) in [
        ("g --topic absent --to-latest --execute", 1, "there is no topic absent"),
        ("g --topic t:0,7 --to-latest --execute", 1, "t-7"),
        ("g --topic t:x --to-latest", 2, "orders:0,2"),
        ("absent --topic t --to-latest --execute", 1, "there is no group absent"),
        ("g --topic t --to-time 2036-01-01T00:00Z", 2, "in the future"),
        ("g --topic t --to-time 2026-02-30T00:00Z", 2, "no such time"),
        ("g --topic t --to-time soon", 2, "not a time"),
        ("g --topic t --to-offset -1", 2, "--to-offset"),
        ("g --topic t", 2, "--to-earliest, --to-latest"),
        ("g --to-latest", 2, "--topic"),
    ] {
        assert!(refusal(&broker, &format!("group reset-offsets {words}"), code).contains(why), "{words}");
    }
    assert_eq!(offsets(&object(&broker, "group lag g"), "committed"), [2, 4]);
}

#[test]
fn a_group_without_members_is_deleted_when_told_to() {
    let broker = broker();
    filled(&broker, "t");
    stand(&broker, "g", "t", 2);
    assert!(refusal(&broker, "group delete g", 2).contains("--yes"));
    assert!(refusal(&broker, "group delete g absent --yes", 1).contains("there is no group absent"));
    assert_eq!(object(&broker, "group delete g --yes"), json!({"deleted": ["g"]}));
    for words in ["describe g", "lag g", "delete g --yes"] {
        assert_eq!(refusal(&broker, &format!("group {words}"), 1), "there is no group g");
    }
    assert_eq!(object(&broker, "group list"), json!({"groups": []}));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let broker = broker();
    filled(&broker, "t");
    stand(&broker, "g", "t", 2);
    for words in ["topic list", "group lag g --json", "group lag g --watch 0.1"] {
        let mut child = krs(&broker, words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{words}");
    }
}

#[test]
fn without_a_broker_everything_ends_in_one_line() {
    for words in ["topic list", "topic delete t --yes", "group lag g", "group lag g --watch"] {
        let broker = broker();
        let mut command = krs(&broker, words);
        broker.stop_broker(1).unwrap();
        let ended = process::run(&mut command, LONG);
        ended.code(3);
        assert_eq!((ended.stdout.len(), ended.stderr.len()), (0, 1), "{words}: {:?}", ended.stderr);
    }
}

/// `krs` at a terminal of its own, on which this is typed; what the terminal showed, and how it ended.
#[cfg(target_os = "linux")]
fn typed(broker: &DevBroker, words: &str, keys: &str) -> (String, Option<i32>) {
    let line = format!("'{}' {words}", env!("CARGO_BIN_EXE_krs"));
    // Part of util-linux; it passes the end of its input on as Ctrl-D.
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env("KAFKA_BROKERS", broker.bootstrap()).env("SHELL", "/bin/sh");
    let ended = process::run_with(&mut script, keys, LONG);
    (ended.stdout.join("\n").replace('\r', ""), ended.status.code())
}

#[test]
#[cfg(target_os = "linux")]
fn at_a_terminal_only_yes_deletes() {
    let broker = broker();
    filled(&broker, "t");
    stand(&broker, "g", "t", 2);
    for (words, question) in [
        ("topic delete t", "delete t (2 partitions), with all records? [y/N] "),
        ("group delete g", "delete g, with the offsets committed? [y/N] "),
    ] {
        for keys in ["n\n", "\n", "yesterday\n", "nyes\n", ""] {
            let (shown, code) = typed(&broker, words, keys);
            assert_eq!(code, Some(1), "{words}, {keys:?}: {shown}");
            assert!(shown.contains(question), "{shown}");
            assert!(shown.contains("krs: not confirmed, nothing was changed"), "{words}, {keys:?}: {shown}");
        }
    }
    assert_eq!(object(&broker, "group lag g")["total_lag"], 6, "nothing was deleted");

    let (shown, code) = typed(&broker, "group delete g", "yes\n");
    assert!(code == Some(0) && shown.contains("deleted group g"), "{shown}");
    let (shown, code) = typed(&broker, "topic delete t", "Y\n");
    assert!(code == Some(0) && shown.contains("deleted topic t"), "{shown}");
    assert_eq!(object(&broker, "topic list"), json!({"topics": []}));
    assert_eq!(object(&broker, "group list"), json!({"groups": []}));
}

/// DeleteTopics 4 and OffsetFetch 5 carry names in other fields than later versions.
#[test]
fn older_kafkas_are_operated_alike() {
    for version in Version::ALL {
        let mut options = Options::default();
        (options.auto_create_topics, options.version) = (false, version);
        let broker = DevBroker::start(options).unwrap();
        filled(&broker, "t");
        stand(&broker, "g", "t", 2);
        assert_eq!(object(&broker, "group lag g")["total_lag"], 6);
        assert_eq!(object(&broker, "group describe g")["state"], "Empty");
        assert_eq!(object(&broker, "group list")["groups"][0]["group"], "g");
        assert_eq!(refusal(&broker, "group describe absent", 1), "there is no group absent");
        done(&broker, "topic configs t --set retention.ms=3600000");
        done(&broker, "topic add-partitions t --partitions 3");
        done(&broker, "group delete g --yes");
        done(&broker, "topic delete t --yes");
        assert_eq!(object(&broker, "topic list"), json!({"topics": []}));
    }
}
