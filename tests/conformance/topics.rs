//! Making topics.

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;
use krs::{Admin, Created, ErrorKind, NewTopic};

use crate::support::{kafka, unique};
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

fn create(name: &str, num_partitions: i32, replication_factor: i16) -> CreateTopicsRequest {
    let topic = CreatableTopic { name: name.to_owned(), num_partitions, replication_factor, ..Default::default() };
    CreateTopicsRequest { topics: vec![topic], ..Default::default() }
}
