//! Looking after topics, records and configurations, request by request.

use std::collections::{BTreeMap, BTreeSet};

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;

use crate::support::{kafka, read, unique, until, write};
use crate::wire::{Batch, Topic, Wire};

#[test]
fn topics_are_deleted_by_name_or_by_id_in_every_version() {
    let mut wire = Wire::controller();
    for version in wire.versions::<DeleteTopicsRequest>() {
        let (named, known, missing) = (Topic::create("gone", 1), Topic::create("gone", 1), Topic::missing("gone"));
        let by_name = |topic: &Topic| DeleteTopicState { name: Some(topic.name.clone()), ..Default::default() };
        let by_id = |topic: &Topic| DeleteTopicState { name: None, topic_id: topic.id };
        let mut request = DeleteTopicsRequest { timeout_ms: 30_000, ..Default::default() };
        if version >= 6 {
            request.topics = vec![by_name(&named), by_id(&known), by_name(&missing), by_id(&missing)];
        } else {
            request.topic_names = [&named, &known, &missing].map(|topic| topic.name.clone()).to_vec();
        }
        let answer = wire.call(version, &request);
        let code = |topic: &Topic| {
            let found = answer.responses.iter().find(|found| found.name.as_ref() == Some(&topic.name));
            found.unwrap_or_else(|| panic!("version {version}: no answer for {topic:?}")).error_code
        };
        assert_eq!([code(&named), code(&known)], [ErrorCode::NONE; 2], "version {version}");
        assert_eq!(code(&missing), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
        if version >= 6 {
            let found = answer.responses.iter().find(|found| found.topic_id == missing.id).unwrap();
            assert_eq!((found.error_code, &found.name), (ErrorCode::UNKNOWN_TOPIC_ID, &None));
            let both = DeleteTopicState { name: Some(named.name.clone()), topic_id: named.id };
            let request = DeleteTopicsRequest { topics: vec![both], timeout_ms: 30_000, ..Default::default() };
            assert_eq!(wire.call(version, &request).responses[0].error_code, ErrorCode::INVALID_REQUEST);
        }
        until("their end", || (!Topic::exists(&named.name) && !Topic::exists(&known.name)).then_some(()));
    }
}

#[test]
fn topics_grow_and_do_not_shrink_in_every_version() {
    let mut wire = Wire::controller();
    for version in wire.versions::<CreatePartitionsRequest>() {
        let topic = Topic::create("grows", 2);
        let mut ask = |topic: &Topic, count, assignments: Option<&[&[i32]]>, validate_only| {
            let assignments = assignments.map(|assignments| {
                let assignments =
                    assignments.iter().map(|brokers| CreatePartitionsAssignment { broker_ids: brokers.to_vec() });
                assignments.collect()
            });
            let grown = CreatePartitionsTopic { name: topic.name.clone(), count, assignments };
            let request = CreatePartitionsRequest { topics: vec![grown], timeout_ms: 30_000, validate_only };
            let answer = wire.call(version, &request).results.remove(0);
            assert_eq!(answer.name, topic.name);
            assert!(answer.error_code != ErrorCode::INVALID_PARTITIONS || answer.error_message.is_some());
            answer.error_code
        };
        for count in [-1, 0, 1, 2] {
            assert_eq!(ask(&topic, count, None, false), ErrorCode::INVALID_PARTITIONS, "version {version}: {count}");
        }
        let missing = ask(&Topic::missing("grows"), 3, None, false);
        assert_eq!(missing, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
        let too_few = ask(&topic, 4, Some(&[&[1]]), false);
        assert_eq!(too_few, ErrorCode::INVALID_REPLICA_ASSIGNMENT, "version {version}");
        let nowhere = ask(&topic, 3, Some(&[&[1_000_000]]), false);
        assert_eq!(nowhere, ErrorCode::INVALID_REPLICA_ASSIGNMENT, "version {version}");
        assert_eq!(ask(&topic, 4, None, true), ErrorCode::NONE, "version {version}: only a check");
        assert_eq!(ask(&topic, 3, None, false), ErrorCode::NONE, "version {version}");
        until("three partitions", || {
            (Wire::any().ask(&topic.metadata()).topics[0].partitions.len() == 3).then_some(())
        });
    }
}

#[test]
fn a_topic_with_chosen_replicas_gets_them() {
    let mut wire = Wire::controller();
    let broker = wire.ask(&MetadataRequest { topics: Some(Vec::new()), ..Default::default() }).brokers[0].node_id;
    let create = |name: &str, assignments: &[(i32, &[i32])]| CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: assignments
                .iter()
                .map(|(partition, brokers)| CreatableReplicaAssignment {
                    partition_index: *partition,
                    broker_ids: brokers.to_vec(),
                })
                .collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let name = unique("chosen");
    for wrong in [&[(0, &[1_000_000][..])][..], &[(1, &[broker])], &[(0, &[broker, broker])], &[(0, &[])]] {
        let answer = wire.ask(&create(&name, wrong));
        assert_eq!(answer.topics[0].error_code, ErrorCode::INVALID_REPLICA_ASSIGNMENT, "{wrong:?}");
    }
    let mut both = create(&name, &[(0, &[broker])]);
    both.topics[0].num_partitions = 1;
    assert_eq!(wire.ask(&both).topics[0].error_code, ErrorCode::INVALID_REQUEST, "a number and a list");
    let answer = wire.ask(&create(&name, &[(0, &[broker]), (1, &[broker])]));
    assert_eq!(answer.topics[0].error_code, ErrorCode::NONE);
    let topic = Topic::find(&name);
    let found = Wire::any().ask(&topic.metadata()).topics.remove(0);
    assert_eq!(found.partitions.len(), 2);
    assert!(found.partitions.iter().all(|partition| partition.replica_nodes == [broker]));
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Some keys of a topic's configuration, or all.
fn describe(wire: &mut Wire, version: i16, topic: &str, keys: Option<&[&str]>) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: topic.to_owned(),
        configuration_keys: keys.map(|keys| keys.iter().map(|&key| key.to_owned()).collect()),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: version >= 1,
        include_documentation: version >= 3,
    };
    let answer = wire.call(version, &request).results.remove(0);
    assert_eq!((answer.resource_type, &*answer.resource_name), (TOPIC, topic));
    answer
}

/// The value of one key.
fn value(topic: &str, key: &str) -> Option<String> {
    let mut wire = Wire::any();
    let version = wire.latest::<DescribeConfigsRequest>();
    let found = describe(&mut wire, version, topic, Some(&[key]));
    assert_eq!((found.error_code, found.configs.len()), (ErrorCode::NONE, 1));
    found.configs[0].value.clone()
}

#[test]
fn configurations_are_described_in_every_version() {
    let topic = unique("described");
    kafka().create_with(&topic, 1, &[("retention.ms", "777000"), ("message.timestamp.type", "LogAppendTime")]);
    let mut wire = Wire::any();
    for version in wire.versions::<DescribeConfigsRequest>() {
        let all = describe(&mut wire, version, &topic, None);
        assert_eq!(all.error_code, ErrorCode::NONE, "version {version}");
        let all: BTreeMap<_, _> = all.configs.into_iter().map(|config| (config.name.clone(), config)).collect();
        for (key, value) in [
            ("retention.ms", "777000"),
            ("message.timestamp.type", "LogAppendTime"),
            ("cleanup.policy", "delete"),
            ("max.message.bytes", "1048588"),
            ("retention.bytes", "-1"),
            ("min.insync.replicas", "1"),
        ] {
            let found = &all[key];
            assert_eq!(found.value.as_deref(), Some(value), "version {version}: {key}");
            assert!(!found.is_sensitive && !found.read_only);
            let ours = matches!(key, "retention.ms" | "message.timestamp.type");
            if version >= 1 {
                assert_eq!(found.config_source == 1, ours, "version {version}: {found:?}");
                assert_eq!(found.synonyms.first().is_some_and(|first| first.source == 1), ours, "version {version}");
            }
        }
        if version >= 3 {
            assert_eq!((all["retention.ms"].config_type, all["cleanup.policy"].config_type), (5, 7));
            assert!(all["retention.ms"].documentation.as_ref().is_some_and(|text| text.len() > 20));
        }
        let some = describe(&mut wire, version, &topic, Some(&["retention.ms", "no.such.key"]));
        assert_eq!(some.configs.iter().map(|found| &*found.name).collect::<Vec<_>>(), ["retention.ms"]);

        let missing = describe(&mut wire, version, &unique("missing"), None);
        assert_eq!(missing.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
        let impossible = describe(&mut wire, version, "a/b", None);
        assert_eq!(impossible.error_code, ErrorCode::INVALID_TOPIC_EXCEPTION, "version {version}");
    }
}

#[test]
fn a_brokers_configuration_is_described_by_itself() {
    let mut wire = Wire::any();
    let brokers = wire.ask(&MetadataRequest { topics: Some(Vec::new()), ..Default::default() }).brokers;
    let mut own = 0;
    for broker in brokers {
        let resource = DescribeConfigsResource {
            resource_type: BROKER,
            resource_name: broker.node_id.to_string(),
            configuration_keys: None,
        };
        let answer = wire.ask(&DescribeConfigsRequest { resources: vec![resource], ..Default::default() });
        let found = &answer.results[0];
        if found.error_code.is_ok() {
            let keys: BTreeSet<_> = found.configs.iter().map(|config| &*config.name).collect();
            assert!(keys.contains("num.partitions") && keys.contains("auto.create.topics.enable"), "{keys:?}");
            own += 1;
        } else {
            assert_eq!(found.error_code, ErrorCode::INVALID_REQUEST, "only the broker itself knows");
        }
    }
    assert_eq!(own, 1);
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Changes single keys of a topic's configuration.
fn change(
    wire: &mut Wire,
    version: i16,
    topic: &str,
    changes: &[(&str, i8, Option<&str>)],
    validate_only: bool,
) -> ErrorCode {
    let configs = changes.iter().map(|(name, operation, value)| IncrementalAlterableConfig {
        name: (*name).to_owned(),
        config_operation: *operation,
        value: value.map(str::to_owned),
    });
    let resource = IncrementalAlterConfigsResource {
        resource_type: TOPIC,
        resource_name: topic.to_owned(),
        configs: configs.collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
    let answer = wire.call(version, &request).responses.remove(0);
    assert_eq!((answer.resource_type, &*answer.resource_name), (TOPIC, topic));
    answer.error_code
}

/// Waits until a key has this value.
#[track_caller]
fn until_value(topic: &str, key: &str, expected: &str) {
    until(expected, || (value(topic, key).as_deref() == Some(expected)).then_some(()));
}

#[test]
fn single_keys_are_changed_in_every_version() {
    let mut wire = Wire::controller();
    for version in wire.versions::<IncrementalAlterConfigsRequest>() {
        let topic = unique("altered");
        kafka().create_with(&topic, 1, &[("retention.ms", "777000")]);
        let mut change = |changes: &[_], only| change(&mut wire, version, &topic, changes, only);
        assert_eq!(change(&[("retention.bytes", SET, Some("5000000"))], false), ErrorCode::NONE, "version {version}");
        until_value(&topic, "retention.bytes", "5000000");
        until_value(&topic, "retention.ms", "777000");
        assert_eq!(change(&[("retention.ms", DELETE, None)], false), ErrorCode::NONE, "version {version}");
        until_value(&topic, "retention.ms", "604800000");
        assert_eq!(change(&[("cleanup.policy", APPEND, Some("compact"))], false), ErrorCode::NONE);
        until_value(&topic, "cleanup.policy", "delete,compact");
        assert_eq!(change(&[("cleanup.policy", SUBTRACT, Some("delete"))], false), ErrorCode::NONE);
        until_value(&topic, "cleanup.policy", "compact");

        let invalid = ErrorCode::INVALID_CONFIG;
        assert_eq!(change(&[("retention.ms", SET, Some("much"))], false), invalid, "version {version}");
        assert_eq!(change(&[("no.such.key", SET, Some("1"))], false), invalid, "version {version}");
        assert_eq!(change(&[("cleanup.policy", SET, Some("keep"))], false), invalid, "version {version}");
        assert_eq!(change(&[("retention.ms", APPEND, Some("1"))], false), invalid, "version {version}");
        assert_eq!(change(&[("retention.ms", SET, Some("1000000"))], true), ErrorCode::NONE, "only a check");
        assert_eq!(value(&topic, "retention.ms").as_deref(), Some("604800000"));
        assert_eq!(change(&[("retention.ms", SET, None)], false), ErrorCode::INVALID_REQUEST);
    }
    let version = wire.latest::<IncrementalAlterConfigsRequest>();
    let code = change(&mut wire, version, &unique("missing"), &[("retention.ms", SET, Some("1"))], false);
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[test]
fn whole_configurations_are_replaced_in_every_version() {
    let mut wire = Wire::controller();
    for version in wire.versions::<AlterConfigsRequest>() {
        let topic = unique("replaced");
        kafka().create_with(&topic, 1, &[("retention.ms", "777000"), ("retention.bytes", "5000000")]);
        let config = AlterableConfig { name: "max.message.bytes".to_owned(), value: Some("2000".to_owned()) };
        let resource =
            AlterConfigsResource { resource_type: TOPIC, resource_name: topic.clone(), configs: vec![config] };
        let answer = wire.call(version, &AlterConfigsRequest { resources: vec![resource], validate_only: false });
        assert_eq!(answer.responses[0].error_code, ErrorCode::NONE, "version {version}");
        until_value(&topic, "max.message.bytes", "2000");
        until_value(&topic, "retention.ms", "604800000");
        until_value(&topic, "retention.bytes", "-1");
    }
}

#[test]
fn a_change_of_a_topics_configuration_takes_effect() {
    let topic = Topic::create("effect", 1);
    let mut wire = Wire::leader(&topic, 0);
    assert_eq!(wire.produce(&topic, 0, &Batch::sized(3000).encode()).error_code, ErrorCode::NONE);
    let mut controller = Wire::controller();
    let version = controller.latest::<IncrementalAlterConfigsRequest>();
    let changes = [("max.message.bytes", SET, Some("2000")), ("message.timestamp.type", SET, Some("LogAppendTime"))];
    assert_eq!(change(&mut controller, version, &topic.name, &changes, false), ErrorCode::NONE);
    until("the smaller limit", || {
        let code = wire.produce(&topic, 0, &Batch::sized(3000).encode()).error_code;
        (code == ErrorCode::MESSAGE_TOO_LARGE).then_some(())
    });
    until("the broker's time", || {
        let answer = wire.produce(&topic, 0, &Batch::of(1).encode());
        assert_eq!(answer.error_code, ErrorCode::NONE);
        (answer.log_append_time_ms > 0).then_some(())
    });
}

#[test]
fn the_cluster_is_described_as_metadata_has_it_in_every_version() {
    let mut wire = Wire::any();
    let metadata = wire.ask(&MetadataRequest { topics: Some(Vec::new()), ..Default::default() });
    for version in wire.versions::<DescribeClusterRequest>() {
        let answer = wire.call(version, &DescribeClusterRequest::default());
        assert_eq!((answer.error_code, answer.endpoint_type), (ErrorCode::NONE, 1), "version {version}");
        assert_eq!(Some(&answer.cluster_id), metadata.cluster_id.as_ref(), "version {version}");
        assert!(metadata.brokers.iter().any(|broker| broker.node_id == answer.controller_id), "version {version}");
        let found: BTreeSet<_> =
            answer.brokers.iter().map(|broker| (broker.broker_id, &broker.host, broker.port)).collect();
        let expected = metadata.brokers.iter().map(|broker| (broker.node_id, &broker.host, broker.port)).collect();
        assert_eq!(found, expected, "version {version}");
        assert!(answer.brokers.iter().all(|broker| !broker.is_fenced), "version {version}");
        assert_eq!(answer.cluster_authorized_operations, i32::MIN, "version {version}");
        if version >= 1 {
            // Controllers are asked at an address of their own.
            let request = DescribeClusterRequest { endpoint_type: 2, ..Default::default() };
            assert_eq!(wire.call(version, &request).error_code, ErrorCode::MISMATCHED_ENDPOINT_TYPE);
        }
    }
}

#[test]
fn partitions_are_described_page_by_page() {
    let (one, other) = (Topic::create("pages-a", 3), Topic::create("pages-b", 2));
    let missing = Topic::missing("pages-c");
    let mut wire = Wire::any();
    let named = |topic: &Topic| DescribeTopicPartitionsTopic { name: topic.name.clone() };
    let request = DescribeTopicPartitionsRequest {
        topics: vec![named(&missing), named(&other), named(&one)],
        ..Default::default()
    };
    let answer = wire.ask(&request);
    let names: Vec<_> = answer.topics.iter().map(|topic| topic.name.as_ref().unwrap()).collect();
    assert_eq!(names, [&one.name, &other.name, &missing.name], "by name, whatever was asked first");
    let codes = [ErrorCode::NONE, ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION];
    assert!(answer.topics.iter().map(|topic| topic.error_code).eq(codes));
    assert_eq!(answer.next_cursor, None);
    for (found, topic, count) in [(&answer.topics[0], &one, 3), (&answer.topics[1], &other, 2)] {
        assert_eq!((found.topic_id, found.is_internal), (topic.id, false));
        assert!(found.partitions.iter().map(|partition| partition.partition_index).eq(0..count));
        for partition in &found.partitions {
            assert!(partition.leader_id >= 0 && partition.leader_epoch >= 0);
            assert!(partition.replica_nodes.contains(&partition.leader_id));
            assert!(partition.isr_nodes.contains(&partition.leader_id));
            assert!(partition.offline_replicas.is_empty());
        }
    }

    let mut cursor = None;
    let mut pages = Vec::new();
    loop {
        let topics = vec![named(&one), named(&other)];
        let request = DescribeTopicPartitionsRequest { topics, response_partition_limit: 2, cursor };
        let answer = wire.ask(&request);
        let found = answer.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| (topic.name.clone().unwrap(), partition.partition_index))
        });
        pages.push(found.collect::<Vec<_>>());
        cursor = answer.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let place = |topic: &Topic, partition| (topic.name.clone(), partition);
    let expected =
        [vec![place(&one, 0), place(&one, 1)], vec![place(&one, 2), place(&other, 0)], vec![place(&other, 1)]];
    assert_eq!(pages, expected);
}

fn delete_records(wire: &mut Wire, version: i16, topic: &Topic, partition: i32, offset: i64) -> (ErrorCode, i64) {
    let partitions = vec![DeleteRecordsPartition { partition_index: partition, offset }];
    let topics = vec![DeleteRecordsTopic { name: topic.name.clone(), partitions }];
    let answer = wire.call(version, &DeleteRecordsRequest { topics, timeout_ms: 30_000 });
    assert_eq!(answer.topics[0].name, topic.name);
    let found = &answer.topics[0].partitions[0];
    (found.error_code, found.low_watermark)
}

#[test]
fn records_are_deleted_up_to_an_offset_in_every_version() {
    let versions: Vec<i16> = Wire::any().versions::<DeleteRecordsRequest>().collect();
    for version in versions {
        let topic = Topic::create("shortened", 1);
        write(&topic.name, 0, 0..30);
        let mut wire = Wire::leader(&topic, 0);
        let mut delete = |partition, offset| delete_records(&mut wire, version, &topic, partition, offset);
        assert_eq!(delete(0, 12), (ErrorCode::NONE, 12), "version {version}");
        assert_eq!(delete(0, 5), (ErrorCode::NONE, 12), "version {version}: that is gone already");
        assert_eq!(delete(0, 31), (ErrorCode::OFFSET_OUT_OF_RANGE, -1), "version {version}");
        assert_eq!(delete(0, -2), (ErrorCode::OFFSET_OUT_OF_RANGE, -1), "version {version}");
        assert_eq!(delete(7, 0), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1), "version {version}");
        assert_eq!(wire.offset_at(&topic, 0, -2), (ErrorCode::NONE, 12));
        assert_eq!(wire.offset_at(&topic, 0, -1), (ErrorCode::NONE, 30));
        let below = wire.ask(&topic.fetch(0, 11)).responses.remove(0).partitions.remove(0);
        assert_eq!(below.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
        let there = wire.ask(&topic.fetch(0, 12)).responses.remove(0).partitions.remove(0);
        assert_eq!((there.error_code, there.log_start_offset), (ErrorCode::NONE, 12));
        assert_eq!(wire.produce(&topic, 0, &Batch::of(1).encode()).log_start_offset, 12);
        let entries = read(&topic.name, 1);
        assert!(entries.iter().map(|entry| entry.offset).eq(12..31));

        // -1 is everything there is.
        assert_eq!(delete_records(&mut wire, version, &topic, 0, -1), (ErrorCode::NONE, 31), "version {version}");
        assert!(read(&topic.name, 1).is_empty());
        write(&topic.name, 0, 31..32);
        assert!(read(&topic.name, 1).iter().map(|entry| entry.offset).eq([31]));
    }
}

#[test]
fn the_end_of_each_leaders_epoch_is_told_in_every_version() {
    let topic = Topic::create("epochs", 1);
    write(&topic.name, 0, 0..7);
    let mut wire = Wire::leader(&topic, 0);
    let epoch = wire.ask(&topic.metadata()).topics[0].partitions[0].leader_epoch;
    for version in wire.versions::<OffsetForLeaderEpochRequest>() {
        let mut ask = |topic: &Topic, partition, leader_epoch, current_leader_epoch| {
            let partitions = vec![OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch }];
            let topics = vec![OffsetForLeaderTopic { topic: topic.name.clone(), partitions }];
            let answer = wire.call(version, &OffsetForLeaderEpochRequest { replica_id: -1, topics });
            assert_eq!(answer.topics[0].topic, topic.name);
            let found = answer.topics[0].partitions[0].clone();
            assert_eq!(found.partition, partition);
            (found.error_code, found.leader_epoch, found.end_offset)
        };
        let told = if version >= 1 { epoch } else { -1 };
        assert_eq!(ask(&topic, 0, epoch, -1), (ErrorCode::NONE, told, 7), "version {version}");
        assert_eq!(ask(&topic, 0, epoch + 5, -1), (ErrorCode::NONE, -1, -1), "version {version}: the future");
        let unknown = (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1, -1);
        assert_eq!(ask(&topic, 9, epoch, -1), unknown, "version {version}");
        assert_eq!(ask(&Topic::missing("epochs"), 0, epoch, -1), unknown, "version {version}");
        if version >= 2 {
            let newer = ask(&topic, 0, epoch, epoch + 1);
            assert_eq!(newer, (ErrorCode::UNKNOWN_LEADER_EPOCH, -1, -1), "version {version}");
            assert_eq!(ask(&topic, 0, epoch, epoch), (ErrorCode::NONE, told, 7), "version {version}");
        }
    }
}

#[test]
fn idempotent_producers_are_described() {
    let topic = Topic::create("producers", 1);
    let mut wire = Wire::leader(&topic, 0);
    let producer = wire.producer_id();
    for sequence in [0, 3] {
        let batch = Batch::of(3).by(producer, sequence);
        assert_eq!(wire.produce(&topic, 0, &batch.encode()).error_code, ErrorCode::NONE);
    }
    let topics = vec![DescribeProducersTopic { name: topic.name.clone(), partition_indexes: vec![0, 5] }];
    let answer = wire.ask(&DescribeProducersRequest { topics });
    let found = |index| answer.topics[0].partitions.iter().find(|found| found.partition_index == index).unwrap();
    assert_eq!(found(5).error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!((found(0).error_code, found(0).active_producers.len()), (ErrorCode::NONE, 1));
    let told = &found(0).active_producers[0];
    assert_eq!((told.producer_id, told.producer_epoch), (producer.0, i32::from(producer.1)));
    assert_eq!((told.last_sequence, told.current_txn_start_offset), (5, -1));
    assert!(told.last_timestamp > 0);
}

#[test]
fn the_size_of_a_log_is_told_in_every_version() {
    let topic = Topic::create("sizes", 1);
    let mut wire = Wire::leader(&topic, 0);
    let batch = Batch::sized(1000).encode();
    for _ in 0..3 {
        assert_eq!(wire.produce(&topic, 0, &batch).error_code, ErrorCode::NONE);
    }
    for version in wire.versions::<DescribeLogDirsRequest>() {
        let topics = vec![DescribableLogDirTopic { topic: topic.name.clone(), partitions: vec![0] }];
        let answer = wire.call(version, &DescribeLogDirsRequest { topics: Some(topics) });
        assert_eq!(answer.error_code, ErrorCode::NONE, "version {version}");
        assert!(answer.results.iter().all(|dir| dir.error_code.is_ok() && !dir.log_dir.is_empty()));
        let found: Vec<_> = answer.results.iter().flat_map(|dir| &dir.topics).collect();
        assert_eq!((found.len(), &found[0].name), (1, &topic.name), "version {version}");
        let partition = &found[0].partitions[0];
        assert_eq!((partition.partition_index, partition.partition_size), (0, 3000), "version {version}");
        assert_eq!((partition.offset_lag, partition.is_future_key), (0, false), "version {version}");
    }
}

#[test]
fn an_election_where_the_leader_is_right_is_not_needed() {
    let topic = Topic::create("elected", 1);
    let mut wire = Wire::controller();
    for version in wire.versions::<ElectLeadersRequest>() {
        let asked = ElectLeadersTopicPartitions { topic: topic.name.clone(), partitions: vec![0, 9] };
        let request =
            ElectLeadersRequest { topic_partitions: Some(vec![asked]), timeout_ms: 30_000, ..Default::default() };
        let answer = wire.call(version, &request);
        assert_eq!(answer.error_code, ErrorCode::NONE, "version {version}");
        let found: BTreeMap<_, _> = answer.replica_election_results[0]
            .partition_result
            .iter()
            .map(|found| (found.partition_id, found.error_code))
            .collect();
        let expected = [(0, ErrorCode::ELECTION_NOT_NEEDED), (9, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)];
        assert_eq!(found, BTreeMap::from(expected), "version {version}");
    }
}

#[test]
fn no_partition_is_being_moved() {
    let topic = Topic::create("moved", 1);
    let topics = vec![ListPartitionReassignmentsTopics { name: topic.name, partition_indexes: vec![0] }];
    let mut wire = Wire::controller();
    let answer = wire.ask(&ListPartitionReassignmentsRequest { topics: Some(topics), ..Default::default() });
    assert_eq!((answer.error_code, answer.topics.len()), (ErrorCode::NONE, 0));
}

#[test]
fn what_can_have_a_configuration_is_listed() {
    let topic = Topic::create("listed", 1);
    let mut wire = Wire::any();
    for version in wire.versions::<ListConfigResourcesRequest>() {
        // Version 0 is about the metrics of clients alone.
        let resource_types = if version >= 1 { vec![TOPIC] } else { Vec::new() };
        let answer = wire.call(version, &ListConfigResourcesRequest { resource_types });
        assert_eq!(answer.error_code, ErrorCode::NONE, "version {version}");
        let found = answer.config_resources.iter().any(|found| found.resource_name == topic.name);
        assert_eq!(found, version >= 1, "version {version}");
    }
}

/// Without an authorizer there are no rights to look at or to give.
#[test]
fn access_rights_are_refused_where_there_are_none() {
    let mut wire = Wire::controller();
    for version in wire.versions::<DescribeAclsRequest>() {
        let request = DescribeAclsRequest {
            resource_type_filter: 1,
            resource_name_filter: None,
            principal_filter: None,
            host_filter: None,
            operation: 1,
            permission_type: 1,
            pattern_type_filter: if version >= 1 { 1 } else { 3 },
        };
        let answer = wire.call(version, &request);
        assert_eq!(answer.error_code, ErrorCode::SECURITY_DISABLED, "version {version}");
    }
    for version in wire.versions::<CreateAclsRequest>() {
        let creation = AclCreation {
            resource_type: TOPIC,
            resource_name: "topic".to_owned(),
            principal: "User:alice".to_owned(),
            host: "*".to_owned(),
            operation: 3,
            permission_type: 3,
            ..Default::default()
        };
        let answer = wire.call(version, &CreateAclsRequest { creations: vec![creation] });
        assert_eq!(answer.results[0].error_code, ErrorCode::SECURITY_DISABLED, "version {version}");
    }
    for version in wire.versions::<DeleteAclsRequest>() {
        let filter = DeleteAclsFilter {
            resource_type_filter: 1,
            resource_name_filter: None,
            principal_filter: None,
            host_filter: None,
            operation: 1,
            permission_type: 1,
            pattern_type_filter: if version >= 1 { 1 } else { 3 },
        };
        let answer = wire.call(version, &DeleteAclsRequest { filters: vec![filter] });
        assert_eq!(answer.filter_results[0].error_code, ErrorCode::SECURITY_DISABLED, "version {version}");
    }
}
