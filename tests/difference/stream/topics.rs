//! CreateTopics and Metadata.

use krs::kafka::protocol::Uuid;
use krs::kafka::protocol::messages::*;

use super::{NO_TOPIC, config, metadata, settle, topic, versions};
use crate::player::Player;

/// The settings that are compared where Kafka lists all of a topic's.
pub const CONFIGS: &[&str] = &[
    "retention.ms",
    "retention.bytes",
    "cleanup.policy",
    "max.message.bytes",
    "message.timestamp.type",
    "segment.bytes",
    "min.insync.replicas",
];

pub fn play(player: &mut Player) {
    for version in versions::<CreateTopicsRequest>() {
        player.pass(version);
        create(player, version);
    }
    let orders = topic(player, "orders", 3, &[]);
    let (name, unknown) = (&*orders.name, player.name("unknown"));
    for version in versions::<MetadataRequest>() {
        player.pass(version);
        let mut ask = |title: &str, request: &MetadataRequest| player.ask(title, version, request);
        // Before version 4 a broker decides alone whether it creates a topic.
        let by_name = |names: &[&str]| MetadataRequest { allow_auto_topic_creation: version < 4, ..metadata(names) };
        ask("one topic", &by_name(&[name]));
        ask("a topic that does not exist", &by_name(&[&unknown]));
        ask("two topics, one of which does not exist", &by_name(&[name, &unknown]));
        ask("the same topic twice", &by_name(&[name, name]));
        ask("an empty name", &by_name(&[""]));
        ask("an illegal name", &by_name(&["no topic!"]));
        ask("a name of 250 letters", &by_name(&[&"x".repeat(250)]));
        if version >= 1 {
            ask("no topic", &by_name(&[]));
        }
        if version >= 4 {
            ask(
                "a topic that may be created, by a broker that creates none",
                &MetadataRequest { allow_auto_topic_creation: true, ..metadata(&[&unknown]) },
            );
        }
        if version >= 8 {
            ask(
                "what may be done with a topic",
                &MetadataRequest {
                    include_topic_authorized_operations: true,
                    include_cluster_authorized_operations: version <= 10,
                    ..metadata(&[name])
                },
            );
        }
        if version >= 10 {
            let by_id = |topic_id: Uuid, name: Option<&str>| MetadataRequest {
                topics: Some(vec![MetadataRequestTopic { topic_id, name: name.map(str::to_owned) }]),
                allow_auto_topic_creation: false,
                ..Default::default()
            };
            ask("a topic by its id", &by_id(orders.id, None));
            ask("an id that does not exist", &by_id(NO_TOPIC, None));
            ask("neither name nor id", &by_id(Uuid::ZERO, None));
            ask("a topic by name and id", &by_id(orders.id, Some(name)));
            ask(
                "names and ids mixed",
                &MetadataRequest {
                    topics: Some(vec![
                        MetadataRequestTopic { topic_id: orders.id, name: None },
                        MetadataRequestTopic { topic_id: Uuid::ZERO, name: Some(name.to_owned()) },
                    ]),
                    ..Default::default()
                },
            );
        }
        // An empty list meant all in version 0.
        let all = MetadataRequest { topics: (version == 0).then(Vec::new), ..Default::default() };
        player.ask_part("all topics, without those of others", version, &all, |answer| {
            answer.topics.retain(|topic| topic.name.as_deref() == Some(&*orders.name));
        });
    }
}

fn create(player: &mut Player, version: i16) {
    let named = |name: &str, partitions: i32| CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let fresh = |player: &Player, name: &str| named(&player.name(&format!("{name}-{version}")), 2);
    let assigned = |topic: CreatableTopic, assignments: &[(i32, &[i32])]| CreatableTopic {
        num_partitions: -1,
        replication_factor: -1,
        assignments: assignments
            .iter()
            .map(|&(partition_index, ids)| CreatableReplicaAssignment { partition_index, broker_ids: ids.to_vec() })
            .collect(),
        ..topic
    };
    let node = player.quietly(1, &MetadataRequest { topics: Some(vec![]), ..Default::default() }).controller_id;
    let ask = |player: &mut Player, title: &str, topics: Vec<CreatableTopic>, validate_only: bool| {
        for topic in &topics {
            player.mask.know_text(&topic.name, "topic");
        }
        let request = CreateTopicsRequest { topics, validate_only, timeout_ms: 20_000 };
        player.ask_part(title, version, &request, |answer| {
            for topic in &mut answer.topics {
                if let Some(configs) = &mut topic.configs {
                    configs.retain(|config| CONFIGS.contains(&&*config.name));
                }
            }
        })
    };

    let plain = fresh(player, "created");
    ask(player, "a topic", vec![plain.clone()], false);
    settle(player, &plain.name, 2);
    ask(player, "a topic that exists", vec![plain.clone()], false);
    ask(player, "a topic that exists, checked only", vec![plain.clone()], true);

    let checked = fresh(player, "checked");
    ask(player, "a topic, checked only", vec![checked.clone()], true);
    ask(player, "a topic that was only checked before", vec![checked], false);

    let with_configs = |name: &str, configs: &[(&str, Option<&str>)], player: &Player| CreatableTopic {
        configs: configs.iter().map(|&(name, value)| config(name, value)).collect(),
        ..fresh(player, name)
    };
    let topic = with_configs(
        "configured",
        &[("retention.ms", Some("86400000")), ("cleanup.policy", Some("compact")), ("max.message.bytes", Some("5000"))],
        player,
    );
    ask(player, "a topic with settings", vec![topic], false);
    let topic = with_configs("null-config", &[("retention.ms", None)], player);
    ask(player, "a setting that is null", vec![topic], false);
    let topic = with_configs("strange-config", &[("no.such.config", Some("1"))], player);
    ask(player, "a setting that does not exist", vec![topic], false);
    for (title, name, value) in [
        ("a setting that is no number", "retention.ms", "long"),
        ("a setting out of range", "max.message.bytes", "-7"),
        ("a cleanup policy that does not exist", "cleanup.policy", "burn"),
        ("a timestamp type that does not exist", "message.timestamp.type", "Never"),
        ("more replicas in sync than there are", "min.insync.replicas", "3"),
        ("a segment size below the lowest", "segment.bytes", "10"),
    ] {
        let topic = with_configs("wrong-config", &[(name, Some(value))], player);
        ask(player, title, vec![topic], true);
    }
    let topic = with_configs("twice-config", &[("retention.ms", Some("1000")), ("retention.ms", Some("2000"))], player);
    ask(player, "the same setting twice", vec![topic], true);

    let default = CreatableTopic { num_partitions: -1, replication_factor: -1, ..fresh(player, "default") };
    if version >= 4 {
        ask(player, "the broker's defaults", vec![default], false);
    } else {
        ask(player, "the broker's defaults, which this version does not have", vec![default], false);
    }

    for (title, partitions) in [("no partition", 0), ("a negative number of partitions", -2)] {
        let topic = CreatableTopic { num_partitions: partitions, ..fresh(player, "partitions") };
        ask(player, title, vec![topic], false);
    }
    for (title, factor) in [("no replica", 0), ("more replicas than brokers", 2), ("a negative number of replicas", -2)]
    {
        let topic = CreatableTopic { replication_factor: factor, ..fresh(player, "replicas") };
        ask(player, title, vec![topic], false);
    }
    for (title, name) in [
        ("an empty name", String::new()),
        ("an illegal name", "no topic!".to_owned()),
        ("the name .", ".".to_owned()),
        ("a name of 250 letters", "x".repeat(250)),
        ("the name of an internal topic", "__consumer_offsets".to_owned()),
    ] {
        let topic = named(&name, 1);
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        player.ask(title, version, &request);
    }
    // Names that would have the same name in metrics.
    let dotted = named(&player.name(&format!("a.b-{version}")), 1);
    ask(player, "a name with a dot", vec![dotted], false);
    let scored = named(&player.name(&format!("a_b-{version}")), 1);
    ask(player, "a name that differs from another one only by _ for .", vec![scored], false);

    let base = fresh(player, "assigned");
    ask(player, "assigned by hand", vec![assigned(base, &[(0, &[node]), (1, &[node])])], false);
    let base = fresh(player, "misassigned");
    let misassigned = |player: &mut Player, title: &str, assignments: &[(i32, &[i32])]| {
        ask(player, title, vec![assigned(base.clone(), assignments)], false);
    };
    misassigned(player, "assigned to a broker that does not exist", &[(0, &[node + 50])]);
    misassigned(player, "assigned with a gap", &[(0, &[node]), (2, &[node])]);
    misassigned(player, "assigned twice", &[(0, &[node]), (0, &[node])]);
    misassigned(player, "assigned to the same broker twice", &[(0, &[node, node])]);
    misassigned(player, "assigned to nobody", &[(0, &[])]);
    let both = assigned(fresh(player, "misassigned"), &[(0, &[node])]);
    ask(
        player,
        "a number of partitions and an assignment",
        vec![CreatableTopic { num_partitions: 1, ..both.clone() }],
        false,
    );
    ask(
        player,
        "a number of replicas and an assignment",
        vec![CreatableTopic { replication_factor: 1, ..both }],
        false,
    );

    let twice = fresh(player, "twice");
    ask(player, "the same topic twice", vec![twice.clone(), twice.clone()], false);
    let other = fresh(player, "good");
    ask(player, "the same topic twice and another one", vec![twice.clone(), other, twice], false);
    let good = fresh(player, "also-good");
    let bad = CreatableTopic { num_partitions: 0, ..fresh(player, "bad") };
    ask(player, "one topic that can be and one that cannot", vec![good, bad], false);
    ask(player, "no topic", vec![], false);
}
