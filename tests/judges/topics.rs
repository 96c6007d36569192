//! Java's tools that manage topics, settings and offsets.

use std::fmt::Write as _;

use crate::process::run;
use crate::side::{BEGIN, LONG, Side};
use crate::table::Check;

const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
const CLUSTER: &str = "org.apache.kafka.tools.ClusterTool";
const LOG_DIRS: &str = "org.apache.kafka.tools.LogDirsCommand";

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("TopicCommand: --create, --list, --describe", create_and_describe),
        Check::new("TopicCommand: --create refused, each for its reason", refused),
        Check::new("TopicCommand: --alter --partitions", partitions),
        Check::new("TopicCommand: --delete, and the same name again", delete),
        Check::new("ConfigCommand: a topic's settings", topic_configs),
        Check::new("ConfigCommand: a broker's settings", broker_configs),
        Check::new("GetOffsetShell: latest, earliest, by time, max timestamp", offsets),
        Check::new("DeleteRecordsCommand", delete_records),
        Check::new("BrokerApiVersionsCommand", api_versions),
        Check::new("ClusterTool: cluster-id, list-endpoints", cluster),
        Check::new("LogDirsCommand", log_dirs),
    ]
}

fn topics(side: &Side, words: &[&str]) -> String {
    format!("{words:?}\n{}", side.say("kafka-topics", words))
}

fn configs(side: &Side, words: &[&str]) -> String {
    format!("{words:?}\n{}", side.say("kafka-configs", words))
}

fn get_offsets(side: &Side, words: &[&str]) -> String {
    format!("{words:?}\n{}", side.say("kafka-get-offsets", words))
}

fn create_and_describe(side: &Side) -> String {
    let (first, second) = (side.name("topics-1"), side.name("topics-2"));
    let configured = ["--config", "retention.ms=-1", "--config", "max.message.bytes=2000000"];
    let mut seen = topics(side, &[&["--create", "--topic", &first, "--partitions", "3"][..], &configured].concat());
    seen += &topics(side, &["--create", "--topic", &second, "--replica-assignment", "1,1"]);
    let list = topics(side, &["--list"]);
    let ours: Vec<&str> = list.lines().filter(|line| *line == first || *line == second).collect();
    assert_eq!(ours, [&*first, &*second], "{list}");
    seen += &topics(side, &["--describe", "--topic", &format!("{first}|{second}")]);
    seen += &topics(side, &["--describe", "--topic", &first, "--topics-with-overrides"]);
    seen += &topics(side, &["--describe", "--topic", &side.name("topics-missing")]);
    for line in ["PartitionCount: 3 ReplicationFactor: 1", "Partition: 2 Leader: 1 Replicas: 1 Isr: 1"] {
        assert!(seen.contains(line), "{seen}");
    }
    seen
}

fn refused(side: &Side) -> String {
    let (topic, new) = (side.create("topics-there", 1), side.name("topics-new"));
    let long = "x".repeat(250);
    let mut seen = String::new();
    for words in [
        &[&*topic][..],
        &[&topic, "--if-not-exists"],
        &["bad name"],
        &[".."],
        &[&long],
        &[&new, "--replication-factor", "3"],
        &[&new, "--partitions", "0"],
        &[&new, "--config", "no.such.setting=1"],
        &[&new, "--config", "retention.ms=soon"],
        &[&new, "--config", "cleanup.policy=burn"],
        &[&new, "--config", "max.message.bytes=-1"],
        &[&new, "--replica-assignment", "9"],
        &[&new, "--replica-assignment", "1:1"],
    ] {
        seen += &topics(side, &[&["--create", "--topic"], words].concat());
    }
    assert_eq!(seen.matches("exit code 1").count(), 12, "{seen}");
    seen
}

fn partitions(side: &Side) -> String {
    let topic = side.create("topics-alter", 2);
    let mut seen = String::new();
    for count in ["5", "5", "4"] {
        seen += &topics(side, &["--alter", "--topic", &topic, "--partitions", count]);
    }
    seen +=
        &topics(side, &["--alter", "--topic", &topic, "--partitions", "7", "--replica-assignment", "1,1,1,1,1,1,1"]);
    seen += &topics(side, &["--alter", "--topic", &side.name("topics-missing"), "--partitions", "2"]);
    seen += &topics(side, &["--describe", "--topic", &topic]);
    assert!(seen.contains("PartitionCount: 7"), "{seen}");
    seen
}

fn delete(side: &Side) -> String {
    let topic = side.create("topics-delete", 1);
    side.fill(&topic, 0, 5);
    let id = || {
        let text = run(&mut side.tool("kafka-topics", &["--describe", "--topic", &topic]), LONG).success();
        let words: Vec<&str> = text.split_whitespace().collect();
        words.windows(2).find(|pair| pair[0] == "TopicId:").map(|pair| pair[1].to_owned()).unwrap()
    };
    let before = id();
    let mut seen = topics(side, &["--delete", "--topic", &topic]);
    seen += &topics(side, &["--delete", "--topic", &topic]);
    seen += &topics(side, &["--delete", "--topic", &topic, "--if-exists"]);
    seen += &topics(side, &["--create", "--topic", &topic]);
    assert_ne!(id(), before, "another topic");
    let offsets = get_offsets(side, &["--topic", &topic]);
    assert!(offsets.contains(&format!("{topic}:0:0\n")), "{offsets}");
    seen + &offsets
}

fn topic_configs(side: &Side) -> String {
    let topic = side.create("configs", 1);
    let topic = ["--entity-type", "topics", "--entity-name", &topic];
    let missing = side.name("configs-missing");
    let missing = ["--entity-type", "topics", "--entity-name", &missing];
    let mut seen = String::new();
    for (topic, words) in [
        (topic, &["--describe"][..]),
        (topic, &["--describe", "--all"]),
        (topic, &["--alter", "--add-config", "retention.ms=5000000,message.timestamp.type=LogAppendTime"]),
        (topic, &["--alter", "--add-config", "cleanup.policy=[compact,delete]", "--delete-config", "retention.ms"]),
        (topic, &["--describe"]),
        (topic, &["--alter", "--delete-config", "message.timestamp.type"]),
        (topic, &["--alter", "--delete-config", "message.timestamp.type"]),
        (topic, &["--alter", "--add-config", "no.such.setting=1"]),
        (topic, &["--alter", "--add-config", "retention.ms=soon"]),
        (topic, &["--describe"]),
        (missing, &["--describe"]),
        (missing, &["--alter", "--add-config", "retention.ms=1"]),
    ] {
        seen += &configs(side, &[words, &topic].concat());
    }
    assert!(seen.contains("cleanup.policy=compact,delete sensitive=false"), "{seen}");
    assert!(seen.contains("message.timestamp.type=LogAppendTime sensitive=false"), "{seen}");
    seen
}

fn broker_configs(side: &Side) -> String {
    let broker = ["--entity-type", "brokers", "--entity-name", "1"];
    let mut seen = configs(side, &[&["--describe"][..], &broker].concat());
    // Most of what a broker is set to is its own affair.
    let all = configs(side, &[&["--describe", "--all"][..], &broker].concat());
    for name in ["auto.create.topics.enable=true", "num.partitions=1", "message.max.bytes=1048588", "node.id=1"] {
        let found = all.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {all}"));
        // The real one may have it from its file.
        let _ = writeln!(seen, "{}", found.split(' ').next().unwrap_or_default());
    }
    seen + &configs(side, &["--describe", "--entity-type", "brokers", "--entity-name", "9"])
}

fn offsets(side: &Side) -> String {
    let topic = side.create("offsets", 3);
    side.fill(&topic, 0, 20);
    side.fill(&topic, 2, 5);
    let mut seen = String::new();
    let (at, after) = ((BEGIN + 4500).to_string(), (BEGIN + 30_000).to_string());
    for time in ["latest", "earliest", "max-timestamp", "-4", "latest-tiered", &at, &after] {
        seen += &get_offsets(side, &["--topic", &topic, "--time", time]);
    }
    seen += &get_offsets(side, &["--topic-partitions", &format!("{topic}:1-3")]);
    seen += &get_offsets(side, &["--topic", &topic, "--partitions", "7"]);
    seen += &get_offsets(side, &["--topic", &side.name("offsets-missing")]);
    for (count, line) in [(2, "0:20"), (2, "2:5"), (2, "0:0"), (1, "0:19"), (2, "2:4"), (1, "0:5")] {
        let found = seen.lines().filter(|shown| *shown == format!("{topic}:{line}")).count();
        assert!(found >= count - 1, "{found} times {line} in\n{seen}");
    }
    seen
}

fn delete_records(side: &Side) -> String {
    let topic = side.create("delete-records", 2);
    side.fill(&topic, 0, 20);
    side.fill(&topic, 1, 5);
    let delete = |offsets: &[(i32, i64)]| {
        let partition = |(partition, offset): &(i32, i64)| {
            format!("{{\"topic\":\"{topic}\",\"partition\":{partition},\"offset\":{offset}}}")
        };
        let partitions = offsets.iter().map(partition).collect::<Vec<_>>().join(",");
        let file = std::env::temp_dir().join(format!("{topic}-{}.json", side.title.replace(' ', "-")));
        std::fs::write(&file, format!("{{\"partitions\":[{partitions}],\"version\":1}}")).unwrap();
        let said = side.say(DELETE_RECORDS, &["--offset-json-file", file.to_str().unwrap()]);
        std::fs::remove_file(&file).unwrap();
        // In no certain order.
        let mut lines: Vec<&str> = said.lines().collect();
        lines.sort_unstable();
        lines.join("\n") + "\n"
    };
    let mut seen = delete(&[(0, 12), (1, -1)]);
    seen += &get_offsets(side, &["--topic", &topic, "--time", "earliest"]);
    assert!(seen.contains(&format!("{topic}:0:12\n{topic}:1:5\n")), "{seen}");
    seen += &delete(&[(0, 3), (1, 99)]);
    let words = ["-C", "-t", &topic, "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%o %s\n"];
    let read = run(&mut side.kcat(&words), LONG).success();
    assert!(read.starts_with("12 v12\n") && read.lines().count() == 8, "{read}");
    seen + &read
}

/// Everything that clients use for their main job and for what the tools above do.
const APIS: [&str; 30] = [
    "Produce",
    "Fetch",
    "ListOffsets",
    "Metadata",
    "OffsetCommit",
    "OffsetFetch",
    "FindCoordinator",
    "JoinGroup",
    "Heartbeat",
    "LeaveGroup",
    "SyncGroup",
    "DescribeGroups",
    "ListGroups",
    "ApiVersions",
    "CreateTopics",
    "DeleteTopics",
    "DeleteRecords",
    "InitProducerId",
    "OffsetForLeaderEpoch",
    "DescribeConfigs",
    "AlterConfigs",
    "CreatePartitions",
    "DeleteGroups",
    "IncrementalAlterConfigs",
    "OffsetDelete",
    "DescribeCluster",
    "ConsumerGroupHeartbeat",
    "ConsumerGroupDescribe",
    "DescribeTopicPartitions",
    "DescribeLogDirs",
];

fn api_versions(side: &Side) -> String {
    // The tool gives its first request less time than the JVM may take on a busy machine.
    let tries = || (0..3).map(|_| side.say("kafka-broker-api-versions", &[]));
    let in_time = tries().find(|said| !said.contains("Request METADATA failed"));
    let said = in_time.expect("one of three is in time");
    assert!(said.starts_with("BROKER (id: 1 rack: null isFenced: false) -> ("), "{said}");
    // `Produce(0): 0 to 13 [usable: 13],`
    let line = |api: &&str| said.lines().find(|line| line.starts_with(&format!("{api}("))).unwrap_or("missing");
    APIS.iter().map(|api| format!("{api}: {}\n", line(api))).collect()
}

fn cluster(side: &Side) -> String {
    let id = run(&mut side.tool(CLUSTER, &["cluster-id"]), LONG).success();
    let id = id.trim().strip_prefix("Cluster ID: ").unwrap_or_else(|| panic!("{id}"));
    assert_eq!(id.len(), 22, "{id}");
    side.say(CLUSTER, &["list-endpoints"]) + &side.say(CLUSTER, &["list-endpoints", "--include-fenced-brokers"])
}

fn log_dirs(side: &Side) -> String {
    let topic = side.create("log-dirs", 2);
    side.fill(&topic, 0, 20);
    let said = run(&mut side.tool(LOG_DIRS, &["--describe", "--topic-list", &topic]), LONG).success();
    let json = said.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{said}"));
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let mut partitions = json["brokers"][0]["logDirs"][0]["partitions"].as_array().unwrap().clone();
    partitions.sort_by_key(|partition| partition["partition"].as_str().map(str::to_owned));
    let sizes: Vec<Option<i64>> = partitions.iter().map(|partition| partition["size"].as_i64()).collect();
    assert!(matches!(sizes[..], [Some(100..), Some(0)]), "{json}");
    format!("{partitions:?}")
}
