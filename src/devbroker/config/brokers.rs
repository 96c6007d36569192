//! The settings of brokers that clients and tools ask for: a part of those that Kafka 4.3 has.

use std::time::Duration;

use super::super::Options;
use super::super::cluster::Node;
use super::property::Allowed::{Any, AtLeast};
use super::property::Kind::{self, Boolean, Int, List, Long, Short, Text};
use super::property::Property;
use super::topics;

/// A setting of brokers.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct BrokerProperty {
    pub(in super::super) property: Property,
    pub(in super::super) update: Update,
}

/// Whether a setting can be changed while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Update {
    Never,
    /// In Kafka, but not here.
    Elsewhere,
    Dynamic,
}

/// Where the logs are, or are said to be if they are in memory.
pub(in super::super) fn log_dir(options: &Options) -> String {
    options.data_dir.as_ref().map_or_else(|| "/memory".to_owned(), |path| path.display().to_string())
}

/// Every setting that is known.
pub(in super::super) fn all() -> impl Iterator<Item = BrokerProperty> {
    // What topics inherit takes the same values at a broker.
    let inherited = topics::TABLE.iter().filter_map(|row| {
        let name = row.broker?;
        let default = if stand_ins(name).len() > 1 { None } else { row.property.default };
        Some(BrokerProperty { property: Property { name, default, ..row.property }, update: Update::Dynamic })
    });
    TABLE.iter().copied().chain(inherited)
}

/// What is known of the setting of this name.
pub(in super::super) fn find(name: &str) -> Option<BrokerProperty> {
    all().find(|row| row.property.name == name)
}

/// All names of what this name sets, the one that counts most first.
pub(super) fn stand_ins(name: &str) -> Vec<&str> {
    let groups: [&'static [&'static str]; 4] = [
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
    ];
    // The last one has an interval of its own, which it does not take from the other.
    let group = groups.into_iter().find(|group| group.contains(&name) && name != "log.flush.scheduler.interval.ms");
    group.map_or_else(|| vec![name], <[&str]>::to_vec)
}

/// What a broker was started with, where that is not the default of Kafka.
pub(super) fn started_with(options: &Options, node: &Node, name: &str) -> Option<String> {
    let groups = &options.groups;
    let ms = |time: Duration| time.as_millis().to_string();
    let value = match name {
        "node.id" | "broker.id" => node.id.to_string(),
        "process.roles" => "broker,controller".to_owned(),
        "log.dirs" => log_dir(options),
        "num.partitions" => options.partitions.to_string(),
        "auto.create.topics.enable" if !options.auto_create_topics => "false".to_owned(),
        "listeners" => format!("PLAINTEXT://{}:{}", options.host, node.port),
        "advertised.listeners" => format!("PLAINTEXT://{}:{}", node.host, node.port),
        "listener.security.protocol.map" => "PLAINTEXT:PLAINTEXT".to_owned(),
        "inter.broker.listener.name" => "PLAINTEXT".to_owned(),
        "offsets.topic.replication.factor"
        | "transaction.state.log.replication.factor"
        | "transaction.state.log.min.isr" => "1".to_owned(),
        "group.initial.rebalance.delay.ms" => ms(groups.initial_rebalance_delay),
        "group.min.session.timeout.ms" => ms(groups.min_session_timeout),
        "group.max.session.timeout.ms" => ms(groups.max_session_timeout),
        "group.consumer.session.timeout.ms" => ms(groups.consumer_session_timeout),
        "group.consumer.heartbeat.interval.ms" => ms(groups.consumer_heartbeat_interval),
        "group.consumer.assignment.interval.ms" => ms(groups.consumer_assignment_interval),
        "offsets.retention.minutes" => (groups.offsets_retention.as_secs() / 60).to_string(),
        _ => return None,
    };
    let default = find(name).and_then(|row| row.property.default);
    Some(value).filter(|value| default != Some(value.as_str()))
}

const fn fixed(name: &'static str, kind: Kind, default: &'static str) -> BrokerProperty {
    BrokerProperty { property: Property::new(name, kind, default, Any), update: Update::Never }
}

const fn unset(name: &'static str, kind: Kind) -> BrokerProperty {
    BrokerProperty { property: Property::unset(name, kind), update: Update::Never }
}

const fn elsewhere(name: &'static str, kind: Kind, default: &'static str) -> BrokerProperty {
    BrokerProperty { update: Update::Elsewhere, ..fixed(name, kind, default) }
}

const fn limit(name: &'static str, default: &'static str) -> BrokerProperty {
    BrokerProperty { property: Property::new(name, Int, default, AtLeast(0)), update: Update::Dynamic }
}

const TABLE: &[BrokerProperty] = &[
    unset("advertised.listeners", List),
    fixed("authorizer.class.name", Text, ""),
    fixed("auto.create.topics.enable", Boolean, "true"),
    fixed("auto.leader.rebalance.enable", Boolean, "true"),
    fixed("broker.id", Int, "-1"),
    unset("broker.rack", Text),
    fixed("connections.max.idle.ms", Long, "600000"),
    fixed("default.replication.factor", Int, "1"),
    fixed("delete.topic.enable", Boolean, "true"),
    fixed("fetch.max.bytes", Int, "57671680"),
    elsewhere("group.consumer.assignment.interval.ms", Int, "1000"),
    fixed("group.consumer.assignors", List, "uniform,range"),
    fixed("group.consumer.heartbeat.interval.ms", Int, "5000"),
    fixed("group.consumer.max.heartbeat.interval.ms", Int, "15000"),
    fixed("group.consumer.max.session.timeout.ms", Int, "60000"),
    fixed("group.consumer.max.size", Int, "2147483647"),
    fixed("group.consumer.migration.policy", Text, "bidirectional"),
    fixed("group.consumer.min.heartbeat.interval.ms", Int, "5000"),
    fixed("group.consumer.min.session.timeout.ms", Int, "45000"),
    fixed("group.consumer.session.timeout.ms", Int, "45000"),
    fixed("group.coordinator.rebalance.protocols", List, "classic,consumer,streams"),
    fixed("group.initial.rebalance.delay.ms", Int, "3000"),
    fixed("group.max.session.timeout.ms", Int, "1800000"),
    fixed("group.max.size", Int, "2147483647"),
    fixed("group.min.session.timeout.ms", Int, "6000"),
    unset("inter.broker.listener.name", Text),
    elsewhere(
        "listener.security.protocol.map",
        Text,
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
    ),
    elsewhere("listeners", List, "PLAINTEXT://:9092"),
    fixed("log.cleaner.enable", Boolean, "true"),
    fixed("log.dir", List, "/tmp/kafka-logs"),
    unset("log.dirs", List),
    fixed("log.flush.scheduler.interval.ms", Long, "9223372036854775807"),
    fixed("log.retention.check.interval.ms", Long, "300000"),
    fixed("log.retention.hours", Int, "168"),
    unset("log.retention.minutes", Int),
    fixed("log.roll.hours", Int, "168"),
    fixed("log.roll.jitter.hours", Int, "0"),
    limit("max.connection.creation.rate", "2147483647"),
    limit("max.connections", "2147483647"),
    limit("max.connections.per.ip", "2147483647"),
    fixed("max.incremental.fetch.session.cache.slots", Int, "1000"),
    fixed("max.request.partition.size.limit", Int, "2000"),
    unset("node.id", Int),
    limit("num.io.threads", "8"),
    limit("num.network.threads", "3"),
    fixed("num.partitions", Int, "1"),
    fixed("offset.metadata.max.bytes", Int, "4096"),
    fixed("offsets.commit.timeout.ms", Int, "5000"),
    fixed("offsets.retention.check.interval.ms", Long, "600000"),
    fixed("offsets.retention.minutes", Int, "10080"),
    fixed("offsets.topic.compression.codec", Int, "0"),
    fixed("offsets.topic.num.partitions", Int, "50"),
    fixed("offsets.topic.replication.factor", Short, "3"),
    fixed("offsets.topic.segment.bytes", Int, "104857600"),
    unset("process.roles", List),
    limit("producer.id.expiration.ms", "86400000"),
    fixed("replica.lag.time.max.ms", Long, "30000"),
    fixed("request.timeout.ms", Int, "30000"),
    fixed("security.inter.broker.protocol", Text, "PLAINTEXT"),
    fixed("socket.request.max.bytes", Int, "104857600"),
    fixed("transaction.max.timeout.ms", Int, "900000"),
    fixed("transaction.state.log.min.isr", Int, "2"),
    fixed("transaction.state.log.num.partitions", Int, "50"),
    fixed("transaction.state.log.replication.factor", Short, "3"),
    fixed("transactional.id.expiration.ms", Int, "604800000"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_listed_once_and_has_a_default_of_its_own_kind() {
        let mut names: Vec<_> = all().map(|row| row.property.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for row in all() {
            if let Some(default) = row.property.default {
                assert_eq!(row.property.read(default).unwrap(), default, "{}", row.property.name);
            }
        }
    }

    #[test]
    fn every_setting_that_a_topic_inherits_is_one_of_brokers() {
        for row in topics::TABLE {
            if let Some(name) = row.broker {
                assert!(find(name).is_some_and(|row| row.update == Update::Dynamic), "{name}");
            }
        }
    }
}
