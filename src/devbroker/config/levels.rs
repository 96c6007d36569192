//! Where a setting comes from: the topic, a broker, what all brokers share, what they were started with, or a default.

use std::collections::BTreeMap;

use super::super::cluster::{Cluster, Node};
use super::super::versions::Version;
use super::brokers;
use super::property::Property;
use super::topics::TopicProperty;

/// Names and values, as they were given.
pub(in super::super) type Values = BTreeMap<String, String>;

/// What brokers were set to while they run.
#[derive(Debug, Default)]
pub(in super::super) struct BrokerConfigs {
    shared: Values,
    own: BTreeMap<i32, Values>,
}

/// A source of settings, by the numbers of DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Source {
    Topic = 1,
    Broker = 2,
    Shared = 3,
    Started = 4,
    Default = 5,
    Logger = 6,
}

/// A value from one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Given {
    pub(in super::super) name: String,
    pub(in super::super) value: String,
    pub(in super::super) source: Source,
}

impl BrokerConfigs {
    pub(in super::super) fn new(version: Version) -> Self {
        // A new cluster of Kafka 4 sets this, for the sake of eligible leader replicas (KIP-966).
        let shared = match version {
            Version::V4_3 => Values::from([(MIN_IN_SYNC.to_owned(), "1".to_owned())]),
            _ => Values::new(),
        };
        Self { shared, own: BTreeMap::new() }
    }

    /// What one broker was set to; none asks for what all of them share.
    pub(in super::super) fn of(&self, node: Option<i32>) -> Values {
        match node {
            None => self.shared.clone(),
            Some(node) => self.own.get(&node).cloned().unwrap_or_default(),
        }
    }

    pub(super) fn set(&mut self, node: Option<i32>, values: Values) {
        match node {
            None => self.shared = values,
            Some(node) => drop(self.own.insert(node, values)),
        }
    }

    /// What topics inherit. A partition is one for all brokers here, so what a single broker was set to counts only
    /// where there is no other.
    pub(in super::super) fn inherited(&self, brokers: i32) -> Values {
        let mut values = self.shared.clone();
        if brokers == 1 {
            values.extend(self.own.values().next().cloned().unwrap_or_default());
        }
        values
    }

    /// The sources of a broker's settings.
    pub(in super::super) fn levels<'a>(&'a self, cluster: &'a Cluster, node: i32) -> Levels<'a> {
        Levels { configs: self, cluster, node: cluster.node(node) }
    }
}

pub(super) const MIN_IN_SYNC: &str = "min.insync.replicas";

/// The sources of one broker's settings.
pub(in super::super) struct Levels<'a> {
    configs: &'a BrokerConfigs,
    cluster: &'a Cluster,
    /// None while the broker is down.
    node: Option<Node>,
}

impl Levels<'_> {
    /// What a setting of the broker is and would be, the value in force first. Empty if it is not set.
    pub(in super::super) fn broker(&self, name: &str) -> Vec<Given> {
        let names = brokers::stand_ins(name);
        let own = self.node.as_ref().and_then(|node| self.configs.own.get(&node.id));
        let started = |name: &str| brokers::started_with(&self.cluster.options, self.node.as_ref()?, name);
        let default = |name: &str| Some(brokers::find(name)?.property.default?.to_owned());
        let mut given = Vec::new();
        let mut add = |source: Source, value: &dyn Fn(&str) -> Option<String>| {
            given.extend(
                names.iter().filter_map(|name| Some(Given { name: (*name).to_owned(), value: value(name)?, source })),
            );
        };
        add(Source::Broker, &|name| own?.get(name).cloned());
        add(Source::Shared, &|name| self.configs.shared.get(name).cloned());
        add(Source::Started, &started);
        add(Source::Default, &default);
        given.into_iter().skip_while(|given| given.name != name).collect()
    }

    /// What a setting of a topic is and would be, the value in force first. Empty if it is the default.
    pub(in super::super) fn topic(&self, row: &TopicProperty, overrides: &Values) -> Vec<Given> {
        let name = row.property.name;
        let set = overrides.get(name).map(|value| Given {
            name: name.to_owned(),
            value: value.clone(),
            source: Source::Topic,
        });
        set.into_iter().chain(row.broker.map(|name| self.broker(name)).unwrap_or_default()).collect()
    }
}

/// The value in force, as it was given, and where it comes from.
pub(in super::super) fn in_force(property: &Property, given: &[Given]) -> (Option<String>, Source) {
    match given.first() {
        Some(given) => (Some(given.value.clone()), given.source),
        None => (property.default.map(str::to_owned), Source::Default),
    }
}
