//! `krs topic` and `krs group`, and what Kafka's own tools say beside them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use krs::{Admin, Consumer, Producer, Record};
use serde_json::{Value, json};

use crate::support::{Ended, KRS, LONG, kafka, run, unique};

const TICK: Duration = Duration::from_millis(100);

/// What `krs` does with these words, put apart by blanks.
fn krs(words: &str) -> Ended {
    let words: Vec<&str> = words.split_whitespace().collect();
    run(&mut kafka().program(KRS, &words, &[]), LONG)
}

/// The object it prints with `--json`.
#[track_caller]
fn object(words: &str) -> Value {
    let ended = krs(&format!("{words} --json"));
    let text = ended.success();
    assert!(ended.stderr.is_empty() && text.lines().count() == 1, "{words}: {text}{:?}", ended.stderr);
    serde_json::from_str(&text).unwrap()
}

/// The one line in which it refuses.
#[track_caller]
fn refusal(words: &str, code: i32) -> String {
    let ended = krs(words);
    ended.code(code);
    assert!(ended.stdout.is_empty() && ended.stderr.len() == 1, "{words}: {:?} {:?}", ended.stdout, ended.stderr);
    ended.stderr[0].strip_prefix("krs: ").unwrap().to_owned()
}

fn fill(topic: &str, partition: i32, count: usize) {
    let producer = Producer::connect(&kafka().config()).unwrap();
    for _ in 0..count {
        producer.send(Record::to(topic).partition(partition).value("x")).unwrap();
    }
    producer.close(LONG).unwrap();
}

/// A member that has so many partitions, and lets nobody wait: it reads nothing by itself.
fn member(group: &str, topic: &str, protocol: &str) -> Consumer {
    let config = kafka().config().set("group.id", group).unwrap().set("group.protocol", protocol).unwrap();
    let mut consumer = Consumer::connect(&config.set("auto.offset.reset", "earliest").unwrap()).unwrap();
    consumer.subscribe([topic]).unwrap();
    consumer
}

/// Polls all of them until each has so many partitions.
#[track_caller]
fn settle(members: &mut [Consumer], each: usize) {
    let deadline = Instant::now() + LONG;
    while members.iter().any(|member| member.assignment().len() != each) {
        assert!(Instant::now() < deadline, "{:?}", members.iter().map(Consumer::assignment).collect::<Vec<_>>());
        for member in members.iter_mut() {
            member.poll(TICK).unwrap();
        }
    }
}

/// What is told of a partition: committed, end, lag, and which member has it.
type Position = (Option<i64>, Option<i64>, Option<i64>, Option<String>);

/// The table of Kafka's own tool, by topic and partition.
fn javas(group: &str) -> BTreeMap<(String, i64), Position> {
    let words = ["--describe", "--group", group];
    let text = run(&mut kafka().tool("kafka-consumer-groups", &words), LONG).success();
    let number = |word: &str| (word != "-").then(|| word.parse().unwrap());
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|words| words.first() == Some(&group))
        .map(|words| {
            let member = (words[6] != "-").then(|| words[6].to_owned());
            let position = (number(words[3]), number(words[4]), number(words[5]), member);
            ((words[1].to_owned(), words[2].parse().unwrap()), position)
        })
        .collect()
}

/// The same from `krs group lag`, which must add up.
fn ours(group: &str) -> BTreeMap<(String, i64), Position> {
    let lag = object(&format!("group lag {group}"));
    assert_eq!(lag["group"], group);
    let partitions = lag["partitions"].as_array().unwrap();
    let total: i64 = partitions.iter().filter_map(|it| it["lag"].as_i64()).sum();
    assert_eq!(lag["total_lag"], total);
    let position = |it: &Value| {
        let member = it["member"].as_str().map(str::to_owned);
        let key = (it["topic"].as_str().unwrap().to_owned(), it["partition"].as_i64().unwrap());
        (key, (it["committed"].as_i64(), it["end"].as_i64(), it["lag"].as_i64(), member))
    };
    partitions.iter().map(position).collect()
}

/// Both must tell the same of these partitions: committed offset and lag.
#[track_caller]
fn agree(group: &str, topic: &str, expected: &[(Option<i64>, Option<i64>)]) -> BTreeMap<(String, i64), Position> {
    let (java, krs) = (javas(group), ours(group));
    assert_eq!(krs, java, "krs, and ConsumerGroupCommand");
    let told: Vec<_> = (0_i64..).map_while(|at| krs.get(&(topic.to_owned(), at))).map(|it| (it.0, it.2)).collect();
    assert_eq!(told, expected);
    krs
}

/// Members that have read everything and committed some of it.
fn active(protocol: &str) {
    let (topic, group) = (unique("lag"), unique("lag"));
    kafka().create(&topic, 4);
    (0..4).for_each(|partition| fill(&topic, partition, 10));
    let mut members = [member(&group, &topic, protocol), member(&group, &topic, protocol)];
    settle(&mut members, 2);
    for member in &mut members {
        let mut offsets = Vec::new();
        for partition in member.assignment() {
            // Nothing is committed for partition 3.
            if partition.partition < 3 {
                offsets.push((partition.clone(), i64::from(partition.partition) + 4));
            }
        }
        member.commit_offsets(&offsets).unwrap();
    }
    fill(&topic, 0, 5);
    let told = agree(&group, &topic, &[(Some(4), Some(11)), (Some(5), Some(5)), (Some(6), Some(4)), (None, None)]);
    assert!(told.values().all(|position| position.3.is_some()), "{told:?}");
    let described = object(&format!("group describe {group}"));
    assert_eq!((&described["state"], described["members"].as_array().unwrap().len()), (&json!("Stable"), 2));
    let listed = object("group list");
    let listed = listed["groups"].as_array().unwrap().iter().find(|it| it["group"] == group.as_str()).unwrap();
    assert_eq!((&listed["state"], &listed["type"]), (&json!("Stable"), &json!(protocol)));

    // A group with members is left alone.
    let reset = refusal(&format!("group reset-offsets {group} --topic {topic} --to-latest --execute"), 1);
    assert!(reset.contains("has 2 members") && reset.contains("nothing was changed"), "{reset}");
    assert!(refusal(&format!("group delete {group} --yes"), 1).contains("has 2 members"));
    // What the operator's command does not find is refused by Kafka too.
    let admin = Admin::connect(&kafka().config()).unwrap();
    assert!(admin.delete_groups(&[&group])[0].is_err());
    assert_eq!(ours(&group), told);
    for member in members {
        member.close(LONG).unwrap();
    }
    let left = agree(&group, &topic, &[(Some(4), Some(11)), (Some(5), Some(5)), (Some(6), Some(4))]);
    assert!(left.values().all(|position| position.3.is_none()), "{left:?}");
}

#[test]
fn the_lag_of_a_classic_group_is_what_kafkas_own_tool_tells() {
    active("classic");
}

/// KIP-848: Kafka 3.9 has it switched off.
#[test]
fn the_lag_of_a_group_of_the_new_protocol_is_what_kafkas_own_tool_tells() {
    if kafka().is_3() {
        let (topic, group) = (unique("lag"), unique("lag"));
        kafka().create(&topic, 1);
        let config = kafka().config().set("group.id", &group).unwrap().set("group.protocol", "consumer").unwrap();
        let mut consumer = Consumer::connect(&config).unwrap();
        consumer.subscribe([&*topic]).unwrap();
        let deadline = Instant::now() + LONG;
        while consumer.poll(TICK).is_ok() {
            assert!(Instant::now() < deadline, "no word of a protocol that the broker does not speak");
        }
        return;
    }
    active("consumer");
}

/// What was committed lies before what the log still has: the lag counts what is gone, as Kafka's tool does.
#[test]
fn the_lag_of_a_group_that_retention_overtook_is_what_kafkas_own_tool_tells() {
    let (topic, group) = (unique("gone"), unique("gone"));
    kafka().create(&topic, 1);
    fill(&topic, 0, 20);
    let mut members = [member(&group, &topic, "classic")];
    settle(&mut members, 1);
    let [consumer] = members;
    consumer.commit_offsets(&[(consumer.assignment()[0].clone(), 5)]).unwrap();
    consumer.close(LONG).unwrap();
    agree(&group, &topic, &[(Some(5), Some(15))]);

    let file = std::env::temp_dir().join(unique("delete"));
    let records = json!({"partitions": [{"topic": topic, "partition": 0, "offset": 12}], "version": 1});
    std::fs::write(&file, records.to_string()).unwrap();
    let words = ["--offset-json-file", file.to_str().unwrap()];
    let tool = "org.apache.kafka.tools.DeleteRecordsCommand";
    run(kafka().tool(tool, &words).args(["--bootstrap-server", &kafka().brokers]), LONG).success();
    std::fs::remove_file(&file).unwrap();
    agree(&group, &topic, &[(Some(5), Some(15))]);
    let reset = object(&format!("group reset-offsets {group} --topic {topic} --to-offset 3"));
    let moved = json!({"topic": topic, "partition": 0, "current": 5, "new": 12, "clamped_from": 3});
    assert_eq!((&reset["executed"], &reset["partitions"][0]), (&json!(false), &moved));
    agree(&group, &topic, &[(Some(5), Some(15))]);
}

#[test]
fn offsets_are_reset_and_a_group_deleted_as_kafkas_own_tool_sees_it() {
    let (topic, group) = (unique("reset"), unique("reset"));
    kafka().create(&topic, 2);
    (0..2).for_each(|partition| fill(&topic, partition, 10));
    let mut members = [member(&group, &topic, "classic")];
    settle(&mut members, 2);
    let [consumer] = members;
    let offsets: Vec<_> = consumer.assignment().into_iter().map(|partition| (partition, 4)).collect();
    consumer.commit_offsets(&offsets).unwrap();
    consumer.close(LONG).unwrap();
    for (target, new) in
        [("--to-earliest", 0), ("--to-latest", 10), ("--to-offset 7", 7), ("--shift-by -2", 5), ("--to-time -10m", 0)]
    {
        object(&format!("group reset-offsets {group} --topic {topic}:1 {target} --execute"));
        agree(&group, &topic, &[(Some(4), Some(6)), (Some(new), Some(10 - new))]);
    }
    let before = javas(&group);
    let absent = unique("absent");
    for (words, code, why) in [
        (format!("reset-offsets {group} --topic {absent} --to-latest --execute"), 1, "there is no topic"),
        (format!("reset-offsets {group} --topic {topic}:0,7 --to-latest --execute"), 1, "no such partition"),
        (format!("reset-offsets {group} --topic {topic} --to-time 2036-01-01T00:00Z --execute"), 2, "in the future"),
        (format!("reset-offsets {group} --topic {topic} --to-time 2026-02-30T00:00Z --execute"), 2, "no such time"),
        (format!("reset-offsets {absent} --topic {topic} --to-latest --execute"), 1, "there is no group"),
        (format!("delete {group} {absent} --yes"), 1, "there is no group"),
        (format!("describe {absent}"), 1, "there is no group"),
        (format!("lag {absent}"), 1, "there is no group"),
    ] {
        let told = refusal(&format!("group {words}"), code);
        assert!(told.contains(why), "{words}: {told}");
    }
    assert_eq!(javas(&group), before, "nothing was changed");

    assert_eq!(object(&format!("group delete {group} --yes")), json!({"deleted": [group]}));
    let left = run(&mut kafka().tool("kafka-consumer-groups", &["--list"]), LONG).success();
    assert!(left.lines().all(|line| line != group), "{left}");
    assert!(!object("group list").to_string().contains(&group));
}

/// What Kafka's own tool describes of a topic, as text.
fn described(topic: &str) -> String {
    run(&mut kafka().tool("kafka-topics", &["--describe", "--topic", topic]), LONG).success()
}

#[test]
fn a_topic_is_made_changed_and_deleted_as_kafkas_own_tool_sees_it() {
    let topic = unique("topic");
    let created = object(&format!("topic create {topic} --partitions 2 --config retention.ms=3600000"));
    assert_eq!(created, json!({"topic": topic, "created": true}));
    let java = described(&topic);
    assert!(java.contains("PartitionCount: 2") && java.contains("retention.ms=3600000"), "{java}");
    let shown = object(&format!("topic describe {topic}"));
    assert!(java.contains(&format!("TopicId: {}", shown["id"].as_str().unwrap())), "{java}");
    for partition in shown["partitions"].as_array().unwrap() {
        let (number, leader) = (&partition["partition"], &partition["leader"]);
        let row = java.lines().find(|line| line.contains(&format!("Partition: {number}\t"))).unwrap();
        assert!(row.contains(&format!("Leader: {leader}\t")) && row.contains(&format!("Isr: {leader}")), "{row}");
    }
    let listed = object("topic list --internal");
    let mut ours: Vec<String> =
        listed["topics"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    let list = run(&mut kafka().tool("kafka-topics", &["--list"]), LONG).success();
    let mut java: Vec<String> = list.lines().map(str::to_owned).collect();
    ours.sort();
    java.sort();
    assert_eq!(ours, java);

    object(&format!("topic add-partitions {topic} --partitions 5"));
    assert!(described(&topic).contains("PartitionCount: 5"));
    object(&format!("topic configs {topic} --set cleanup.policy=compact --unset retention.ms"));
    let java = described(&topic);
    assert!(java.contains("cleanup.policy=compact") && !java.contains("retention.ms"), "{java}");

    let (absent, internal) = (unique("absent"), "__consumer_offsets");
    for (words, why) in [
        (format!("create {topic}"), "exists already"),
        (format!("create {absent} --replication-factor 3"), "INVALID_REPLICATION_FACTOR"),
        (format!("create {absent} --config nonsense=1"), "INVALID_CONFIG"),
        (format!("add-partitions {topic} --partitions 5"), "has 5 partitions already"),
        (format!("add-partitions {absent} --partitions 5"), "there is no topic"),
        (format!("configs {topic} --set retention.ms=abc"), "INVALID_CONFIG"),
        (format!("configs {topic} --set cleanup.policy=delete --unset nonsense"), "nonsense"),
        (format!("configs {absent}"), "there is no topic"),
        (format!("describe {absent}"), "there is no topic"),
        (format!("delete {topic} {absent} --yes"), "there is no topic"),
        (format!("delete {topic} {internal} --yes"), "Kafka needs this topic itself"),
    ] {
        let told = refusal(&format!("topic {words}"), 1);
        assert!(told.contains(why), "{words}: {told}");
    }
    assert_eq!(described(&topic), java, "nothing was changed");
    assert!(!object("topic list").to_string().contains(&absent));

    assert_eq!(object(&format!("topic delete {topic} --yes")), json!({"deleted": [topic]}));
    let list = run(&mut kafka().tool("kafka-topics", &["--list"]), LONG).success();
    assert!(list.lines().all(|line| line != topic), "{list}");
}

/// Three brokers, on which nobody may delete a topic.
#[test]
fn three_brokers_keep_three_replicas_and_may_refuse_a_deletion() {
    let cluster = kafka().cluster("operate", 3, &["delete.topic.enable=false"]);
    let krs = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        run(&mut cluster.program(KRS, &words, &[]), LONG)
    };
    krs("topic create t --partitions 4 --replication-factor 3").success();
    let shown: Value = serde_json::from_str(&krs("topic describe t --json").success()).unwrap();
    assert_eq!((&shown["partition_count"], &shown["replication_factor"]), (&json!(4), &json!(3)));
    for partition in shown["partitions"].as_array().unwrap() {
        for field in ["replicas", "isr"] {
            let mut nodes: Vec<i64> =
                partition[field].as_array().unwrap().iter().map(|node| node.as_i64().unwrap()).collect();
            nodes.sort_unstable();
            assert_eq!(nodes, [1, 2, 3], "{partition}");
        }
        assert_eq!(partition["leader"], partition["replicas"][0], "{partition}");
    }
    let refused = krs("topic delete t --yes");
    refused.code(1);
    assert_eq!((refused.stdout.len(), refused.stderr.len()), (0, 1), "{:?}", refused.stderr);
    refused.complaint("TOPIC_DELETION_DISABLED");
    krs("topic describe t").success();
    let larger = krs("topic create u --replication-factor 4");
    larger.code(1).complaint("INVALID_REPLICATION_FACTOR");
    assert!(!krs("topic list").success().contains('u'), "it was not created");
}
