//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources.

use krs::kafka::protocol::messages::*;

use super::topics::CONFIGS;
use super::{topic, versions};
use crate::player::{Player, Topic};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// The settings of a broker that are compared.
const BROKER_CONFIGS: &[&str] =
    &["auto.create.topics.enable", "log.retention.ms", "message.max.bytes", "num.partitions"];

pub fn play(player: &mut Player) {
    let node = player.quietly(1, &MetadataRequest { topics: Some(vec![]), ..Default::default() }).controller_id;
    let described = topic(player, "described", 1, &[("cleanup.policy", "compact")]);
    for version in versions::<DescribeConfigsRequest>() {
        player.pass(version);
        describe(player, version, &described, node);
    }
    for version in versions::<AlterConfigsRequest>() {
        player.pass(version);
        alter(player, version, node);
    }
    for version in versions::<IncrementalAlterConfigsRequest>() {
        player.pass(version);
        alter_some(player, version, node);
    }
    for version in versions::<ListConfigResourcesRequest>() {
        player.pass(version);
        list(player, version, &described);
    }
}

fn describe(player: &mut Player, version: i16, described: &Topic, node: i32) {
    let mut ask = |title: &str, resource: (i8, &str), keys: Option<&[&str]>| {
        let request = of(&[resource], keys);
        player.ask_part(title, version, &request, |answer| only_compared(answer, node));
    };
    let name = &*described.name;
    ask("a topic", (TOPIC, name), None);
    ask("a topic, some settings", (TOPIC, name), Some(&["retention.ms", "cleanup.policy"]));
    ask("a topic, a setting that does not exist", (TOPIC, name), Some(&["no.such.config"]));
    ask("a topic, the same setting twice", (TOPIC, name), Some(&["retention.ms", "retention.ms"]));
    ask("a topic, no settings", (TOPIC, name), Some(&[]));
    ask("a topic that does not exist", (TOPIC, "unknown"), None);
    ask("a topic without a name", (TOPIC, ""), None);
    ask("a topic with an illegal name", (TOPIC, "no topic!"), None);
    let broker = node.to_string();
    ask("the broker", (BROKER, &broker), Some(BROKER_CONFIGS));
    ask("the broker, a setting that does not exist", (BROKER, &broker), Some(&["no.such.config"]));
    ask("what all brokers share", (BROKER, ""), Some(BROKER_CONFIGS));
    ask("a broker that does not exist", (BROKER, "1234"), Some(BROKER_CONFIGS));
    ask("a broker whose name is no number", (BROKER, "first"), Some(BROKER_CONFIGS));
    ask("a kind of resource that does not exist", (99, "x"), None);
    ask("an unknown kind of resource", (0, "x"), None);
    let two = of(&[(TOPIC, name), (TOPIC, "unknown")], Some(&["retention.ms"]));
    player.ask("two topics, one of which does not exist", version, &two);
    player.ask("the same topic twice", version, &of(&[(TOPIC, name), (TOPIC, name)], Some(&["retention.ms"])));
    player.ask("nothing", version, &of(&[], None));
    let synonyms = DescribeConfigsRequest { include_synonyms: true, ..of(&[(TOPIC, name)], None) };
    player.ask_part("a topic, with synonyms", version, &synonyms, |answer| only_compared(answer, node));
    if version >= 3 {
        let documented = DescribeConfigsRequest { include_documentation: true, ..of(&[(TOPIC, name)], None) };
        player.ask_part("a topic, with documentation", version, &documented, |answer| only_compared(answer, node));
    }
}

fn alter(player: &mut Player, version: i16, node: i32) {
    let altered = topic(player, &format!("altered-{version}"), 1, &[]);
    player.mask.know_text(&altered.name, "topic");
    let name = &*altered.name;
    let broker = node.to_string();
    let request = |kind: i8, name: &str, configs: &[(&str, Option<&str>)], validate_only| AlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configs: configs
                .iter()
                .map(|&(name, value)| AlterableConfig { name: name.to_owned(), value: value.map(str::to_owned) })
                .collect(),
        }],
        validate_only,
    };
    let ask = |player: &mut Player, title: &str, request: AlterConfigsRequest| {
        player.ask_part(title, version, &request, |answer| answer.responses.iter_mut().for_each(|of| hide(of, node)));
    };
    let topic = |configs: &[(&str, Option<&str>)]| request(TOPIC, name, configs, false);

    ask(player, "checked only", request(TOPIC, name, &[("max.message.bytes", Some("4000"))], true));
    ask(player, "two settings", topic(&[("max.message.bytes", Some("5000")), ("retention.ms", Some("86400000"))]));
    await_config(player, name, "max.message.bytes", "5000");
    player.ask("after two settings were altered", 4, &of(&[(TOPIC, name)], Some(CONFIGS)));
    ask(player, "another setting, which takes the others back", topic(&[("cleanup.policy", Some("compact"))]));
    await_config(player, name, "cleanup.policy", "compact");
    player.ask("after others were taken back", 4, &of(&[(TOPIC, name)], Some(CONFIGS)));
    for (title, configs) in REFUSED {
        ask(player, title, topic(configs));
    }
    ask(player, "the same setting twice", topic(&[("retention.ms", Some("1000")), ("retention.ms", Some("2000"))]));
    ask(player, "a topic that does not exist", request(TOPIC, "unknown", &[("retention.ms", Some("1000"))], false));
    ask(player, "a topic without a name", request(TOPIC, "", &[("retention.ms", Some("1000"))], false));
    // The same topic twice is left out: Kafka never answers that.
    let mut two = topic(&[("retention.bytes", Some("1000"))]);
    two.resources.extend(request(TOPIC, "unknown", &[("retention.bytes", Some("1000"))], false).resources);
    ask(player, "two topics, one of which does not exist", two);
    ask(player, "no settings", topic(&[]));
    ask(player, "no resources", AlterConfigsRequest::default());
    ask(player, "the broker, checked only", request(BROKER, &broker, &[("message.max.bytes", Some("2000000"))], true));
    ask(
        player,
        "the broker, what cannot change while it runs",
        request(BROKER, &broker, &[("node.id", Some("9"))], true),
    );
    ask(
        player,
        "a broker that does not exist",
        request(BROKER, "1234", &[("message.max.bytes", Some("2000000"))], true),
    );
    ask(player, "a broker whose name is no number", request(BROKER, "first", &[], true));
    ask(player, "a kind of resource that does not exist", request(99, "x", &[], true));
}

/// Settings and their values.
type Settings<'a> = &'a [(&'a str, Option<&'a str>)];

/// What no topic can be set to.
const REFUSED: &[(&str, Settings<'_>)] = &[
    ("a setting that does not exist", &[("no.such.config", Some("1"))]),
    ("a setting that is no number", &[("retention.ms", Some("long"))]),
    ("a setting out of range", &[("max.message.bytes", Some("-7"))]),
    ("a cleanup policy that does not exist", &[("cleanup.policy", Some("burn"))]),
    ("a timestamp type that does not exist", &[("message.timestamp.type", Some("Never"))]),
    ("a setting that is null", &[("retention.ms", None)]),
    ("one good setting and one bad", &[("retention.ms", Some("1000")), ("retention.bytes", Some("many"))]),
];

fn alter_some(player: &mut Player, version: i16, node: i32) {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;
    let altered = topic(player, &format!("altered-some-{version}"), 1, &[]);
    player.mask.know_text(&altered.name, "topic");
    let name = &*altered.name;
    let broker = node.to_string();
    type Change<'a> = (&'a str, i8, Option<&'a str>);
    let request = |kind: i8, name: &str, changes: &[Change<'_>], validate_only| IncrementalAlterConfigsRequest {
        resources: vec![IncrementalAlterConfigsResource {
            resource_type: kind,
            resource_name: name.to_owned(),
            configs: changes
                .iter()
                .map(|&(name, config_operation, value)| IncrementalAlterableConfig {
                    name: name.to_owned(),
                    config_operation,
                    value: value.map(str::to_owned),
                })
                .collect(),
        }],
        validate_only,
    };
    let ask = |player: &mut Player, title: &str, request: IncrementalAlterConfigsRequest| {
        player.ask_part(title, version, &request, |answer| answer.responses.iter_mut().for_each(|of| hide(of, node)));
    };
    let topic = |changes: &[Change<'_>]| request(TOPIC, name, changes, false);

    ask(player, "checked only", request(TOPIC, name, &[("max.message.bytes", SET, Some("4000"))], true));
    ask(player, "one set", topic(&[("max.message.bytes", SET, Some("5000"))]));
    await_config(player, name, "max.message.bytes", "5000");
    ask(
        player,
        "one set, one deleted",
        topic(&[("retention.ms", DELETE, None), ("retention.bytes", SET, Some("70000"))]),
    );
    await_config(player, name, "retention.bytes", "70000");
    player.ask("after settings were altered one by one", 4, &of(&[(TOPIC, name)], Some(CONFIGS)));
    ask(player, "appended to a list", topic(&[("cleanup.policy", APPEND, Some("compact"))]));
    await_config(player, name, "cleanup.policy", "delete,compact");
    ask(player, "appended once more", topic(&[("cleanup.policy", APPEND, Some("compact"))]));
    ask(player, "taken out of a list", topic(&[("cleanup.policy", SUBTRACT, Some("delete"))]));
    await_config(player, name, "cleanup.policy", "compact");
    player.ask("after a list was altered", 4, &of(&[(TOPIC, name)], Some(CONFIGS)));
    ask(player, "appended to what is no list", topic(&[("retention.ms", APPEND, Some("5"))]));
    ask(player, "deleted although it was not set", topic(&[("segment.bytes", DELETE, None)]));
    ask(player, "deleted, with a value", topic(&[("segment.bytes", DELETE, Some("5"))]));
    // An operation that does not exist is left out: it makes Kafka's controller resign.
    ask(player, "a setting that does not exist, deleted", topic(&[("no.such.config", DELETE, None)]));
    ask(
        player,
        "the same setting twice",
        topic(&[("retention.ms", SET, Some("1000")), ("retention.ms", DELETE, None)]),
    );
    for (title, configs) in REFUSED {
        let changes: Vec<_> = configs.iter().map(|&(name, value)| (name, SET, value)).collect();
        ask(player, title, topic(&changes));
    }
    ask(player, "a topic that does not exist", request(TOPIC, "unknown", &[("retention.ms", SET, Some("1"))], false));
    let mut twice = topic(&[("retention.ms", SET, Some("1000"))]);
    twice.resources.extend(twice.resources.clone());
    ask(player, "the same topic twice", twice);
    ask(player, "no settings", topic(&[]));
    ask(player, "no resources", IncrementalAlterConfigsRequest::default());
    ask(
        player,
        "the broker, checked only",
        request(BROKER, &broker, &[("message.max.bytes", SET, Some("2000000"))], true),
    );
    ask(player, "all brokers, checked only", request(BROKER, "", &[("message.max.bytes", SET, Some("2000000"))], true));
    ask(
        player,
        "the broker, what cannot change while it runs",
        request(BROKER, &broker, &[("node.id", SET, Some("9"))], true),
    );
    ask(
        player,
        "a broker that does not exist",
        request(BROKER, "1234", &[("message.max.bytes", SET, Some("2000000"))], true),
    );
    ask(player, "a kind of resource that does not exist", request(99, "x", &[], true));
}

fn list(player: &mut Player, version: i16, described: &Topic) {
    let mut ask = |title: &str, resource_types: Vec<i8>| {
        player.ask_part(title, version, &ListConfigResourcesRequest { resource_types }, |answer| {
            answer.config_resources.retain(|resource| resource.resource_name == described.name);
        });
    };
    ask("all kinds", vec![]);
    if version >= 1 {
        ask("topics", vec![TOPIC]);
        ask("brokers", vec![BROKER]);
        ask("a kind of resource that does not exist", vec![99]);
    }
}

/// Waits until a topic's setting has this value.
fn await_config(player: &mut Player, topic: &str, key: &str, value: &str) {
    player.until(|player| {
        let answer = player.quietly(4, &of(&[(TOPIC, topic)], Some(&[key])));
        answer.results.iter().flat_map(|of| &of.configs).any(|config| config.value.as_deref() == Some(value))
    });
}

fn of(resources: &[(i8, &str)], keys: Option<&[&str]>) -> DescribeConfigsRequest {
    let resources = resources
        .iter()
        .map(|&(resource_type, name)| DescribeConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: keys.map(|keys| keys.iter().map(|&key| key.to_owned()).collect()),
        })
        .collect();
    DescribeConfigsRequest { resources, ..Default::default() }
}

fn only_compared(answer: &mut DescribeConfigsResponse, node: i32) {
    for of in &mut answer.results {
        of.configs.retain(|config| CONFIGS.contains(&&*config.name) || BROKER_CONFIGS.contains(&&*config.name));
        if of.resource_type == BROKER && of.resource_name == node.to_string() {
            "node".clone_into(&mut of.resource_name);
        }
    }
}

fn hide(of: &mut AlterConfigsResourceResponse, node: i32) {
    if of.resource_type == BROKER && of.resource_name == node.to_string() {
        "node".clone_into(&mut of.resource_name);
    }
}
