//! Configurations, described and changed.

use std::collections::{BTreeMap, BTreeSet};

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;

use crate::support::{kafka, unique, until};
use crate::wire::{Batch, Topic, Wire};

/// Topics, as a kind of what has a configuration.
pub const TOPIC: i8 = 2;
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

/// The value of one key of the configuration of the broker that is asked.
pub fn brokers_value(wire: &mut Wire, key: &str) -> String {
    let brokers = wire.ask(&MetadataRequest { topics: Some(Vec::new()), ..Default::default() }).brokers;
    let answers = brokers.iter().map(|broker| {
        let resource = DescribeConfigsResource {
            resource_type: BROKER,
            resource_name: broker.node_id.to_string(),
            configuration_keys: Some(vec![key.to_owned()]),
        };
        wire.ask(&DescribeConfigsRequest { resources: vec![resource], ..Default::default() })
    });
    let configs: Vec<_> = answers.flat_map(|answer| answer.results).flat_map(|found| found.configs).collect();
    assert_eq!((configs.len(), &*configs[0].name), (1, key), "a broker knows its own");
    configs[0].value.clone().unwrap()
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
