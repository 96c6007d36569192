//! Making topics, asking about them, growing and deleting them.

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;
use krs::{Admin, Created, ErrorKind, NewTopic};

use crate::configs::brokers_value;
use crate::support::{kafka, unique, until};
use crate::wire::{Topic, Wire};

fn new(name: &str) -> NewTopic<'_> {
    NewTopic { name, partitions: 3, replication_factor: 1, configs: &[] }
}

#[test]
fn a_topic_is_made_once_and_then_found() {
    let admin = Admin::connect(&kafka().config()).unwrap();
    let name = unique("made");
    let missing = admin.partition_count(&name).unwrap_err();
    assert_eq!(missing.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), "{missing}");
    assert_eq!(admin.create_topic(&new(&name)).unwrap(), Created::New);
    assert_eq!(admin.partition_count(&name).unwrap(), 3);
    let other = NewTopic { partitions: 5, ..new(&name) };
    assert_eq!(admin.create_topic(&other).unwrap(), Created::Existed);
    assert_eq!(admin.partition_count(&name).unwrap(), 3, "an existing topic is not altered");
}

#[test]
fn a_topic_without_numbers_of_its_own_gets_the_brokers() {
    let admin = Admin::connect(&kafka().config()).unwrap();
    let name = unique("defaults");
    let defaults = NewTopic { partitions: -1, replication_factor: -1, ..new(&name) };
    assert_eq!(admin.create_topic(&defaults).unwrap(), Created::New);
    assert!(admin.partition_count(&name).unwrap() >= 1);
}

#[test]
fn impossible_topics_are_refused_with_kafkas_own_codes() {
    let admin = Admin::connect(&kafka().config()).unwrap();
    let name = unique("impossible");
    let no_such = [("no.such.config", "1")];
    let no_number = [("max.message.bytes", "many")];
    let cases = [
        (NewTopic { partitions: 0, ..new(&name) }, ErrorCode::INVALID_PARTITIONS),
        (NewTopic { partitions: -2, ..new(&name) }, ErrorCode::INVALID_PARTITIONS),
        (NewTopic { replication_factor: 0, ..new(&name) }, ErrorCode::INVALID_REPLICATION_FACTOR),
        (NewTopic { replication_factor: 1000, ..new(&name) }, ErrorCode::INVALID_REPLICATION_FACTOR),
        (NewTopic { configs: &no_such, ..new(&name) }, ErrorCode::INVALID_CONFIG),
        (NewTopic { configs: &no_number, ..new(&name) }, ErrorCode::INVALID_CONFIG),
    ];
    for (topic, code) in cases {
        let error = admin.create_topic(&topic).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Broker, Some(code)), "{topic:?}: {error}");
        assert_eq!(error.topic(), Some(&*name));
    }
    assert!(admin.partition_count(&name).is_err(), "none of them made it");
}

#[test]
fn names_that_kafka_does_not_allow_are_refused_by_the_client_and_by_the_broker() {
    let admin = Admin::connect(&kafka().config()).unwrap();
    let mut wire = Wire::controller();
    for name in ["a/b", "", ".", "..", "a b", "ü", &"x".repeat(250)] {
        let error = admin.create_topic(&new(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{name}: {error}");
        let answer = wire.ask(&create(name, 1, 1));
        assert_eq!(answer.topics[0].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION, "{name}");
        assert_eq!(answer.topics[0].name, name);
        assert!(answer.topics[0].error_message.is_some(), "{name}");
    }
    let longest = unique(&"x".repeat(200));
    let longest = format!("{longest}{}", "y".repeat(249 - longest.len()));
    assert_eq!(admin.create_topic(&new(&longest)).unwrap(), Created::New);
}

/// Two topics whose metrics could not be told apart.
#[test]
fn a_name_that_differs_only_in_dots_and_underscores_is_refused_in_the_brokers_words() {
    let name = unique("col_lision");
    kafka().create(&name, 1);
    let other = name.replace('_', ".");
    let error = Admin::connect(&kafka().config()).unwrap().create_topic(&new(&other)).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Broker, Some(ErrorCode::INVALID_TOPIC_EXCEPTION)));
    assert!(error.to_string().contains("collide"), "{error}");
}

#[test]
fn several_topics_are_answered_one_by_one() {
    let mut wire = Wire::controller();
    let (good, bad, twice) = (unique("good"), unique("bad"), unique("twice"));
    let mut request = create(&good, 2, 1);
    for (name, partitions) in [(&bad, 0), (&twice, 1), (&twice, 1)] {
        request.topics.extend(create(name, partitions, 1).topics);
    }
    let answer = wire.ask(&request);
    let code = |name: &str| answer.topics.iter().find(|topic| topic.name == name).unwrap().error_code;
    assert_eq!(answer.topics.len(), 3);
    assert_eq!(code(&good), ErrorCode::NONE);
    assert_eq!(code(&bad), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(code(&twice), ErrorCode::INVALID_REQUEST, "a name may be asked for once");
    Topic::find(&good);
    assert!(!Topic::exists(&bad) && !Topic::exists(&twice));

    let again = wire.ask(&create(&good, 2, 1));
    assert_eq!(again.topics[0].error_code, ErrorCode::TOPIC_ALREADY_EXISTS);
}

#[test]
fn a_check_makes_nothing() {
    let mut wire = Wire::controller();
    let name = unique("checked");
    for (partitions, code) in [(1, ErrorCode::NONE), (0, ErrorCode::INVALID_PARTITIONS)] {
        let answer = wire.ask(&CreateTopicsRequest { validate_only: true, ..create(&name, partitions, 1) });
        assert_eq!(answer.topics[0].error_code, code);
    }
    assert!(!Topic::exists(&name));
}

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

#[test]
fn asking_for_a_missing_topic_makes_it_where_the_broker_and_the_client_allow_that() {
    let mut wire = Wire::any();
    let allowed = brokers_value(&mut wire, "auto.create.topics.enable") == "true";
    let count: usize = brokers_value(&mut wire, "num.partitions").parse().unwrap();
    for version in wire.versions::<MetadataRequest>() {
        let topic = Topic::missing("made-by-asking");
        if version >= 4 {
            let answer = wire.call(version, &topic.metadata());
            assert_eq!(answer.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
        }
        let request = MetadataRequest { allow_auto_topic_creation: true, ..topic.metadata() };
        let code = wire.call(version, &request).topics[0].error_code;
        if !allowed {
            assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
            continue;
        }
        let passing = [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::LEADER_NOT_AVAILABLE];
        assert!(passing.contains(&code), "version {version}: {code}");
        Topic::find(&topic.name);
        let answer = wire.call(version, &request);
        assert_eq!(answer.topics[0].partitions.len(), count, "version {version}");
        let impossible = MetadataRequestTopic { name: Some("a/b".to_owned()), ..Default::default() };
        let answer = wire.call(version, &MetadataRequest { topics: Some(vec![impossible]), ..Default::default() });
        assert_eq!(answer.topics[0].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION, "version {version}");
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

fn create(name: &str, num_partitions: i32, replication_factor: i16) -> CreateTopicsRequest {
    let topic = CreatableTopic { name: name.to_owned(), num_partitions, replication_factor, ..Default::default() };
    CreateTopicsRequest { topics: vec![topic], ..Default::default() }
}
