//! Changes of settings, as AlterConfigs and IncrementalAlterConfigs ask for them.

use std::collections::HashMap;

use super::super::call::Call;
use super::super::cluster::{Cluster, bad_name, bad_topic_name};
use super::super::partition::Refused;
use super::super::versions::Version;
use super::TopicConfig;
use super::brokers::{self, Update};
use super::levels::{BrokerConfigs, MIN_IN_SYNC, Values};
use super::property::{Kind, Property};
use super::topics;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::AlterConfigsResourceResponse;
use crate::sync::lock;

/// Types of resources, by the numbers of DescribeConfigs.
pub(in super::super) mod resource {
    pub(in super::super::super) const TOPIC: i8 = 2;
    pub(in super::super::super) const BROKER: i8 = 4;
    pub(in super::super::super) const LOGGER: i8 = 8;
    pub(in super::super::super) const METRICS: i8 = 16;
    pub(in super::super::super) const GROUP: i8 = 32;
}

/// Changes to one resource.
#[derive(Clone, Debug)]
pub(in super::super) struct Alteration<'a> {
    pub(in super::super) resource_type: i8,
    pub(in super::super) name: &'a str,
    /// What is not named goes back to its default.
    pub(in super::super) whole: bool,
    pub(in super::super) changes: Vec<Change<'a>>,
}

/// A change to one setting.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Change<'a> {
    pub(in super::super) name: &'a str,
    pub(in super::super) operation: i8,
    pub(in super::super) value: Option<&'a str>,
}

pub(in super::super) const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Makes the changes, each resource's for itself, or only checks them.
pub(in super::super) fn alter(
    call: &Call<'_>,
    alterations: &[Alteration<'_>],
    validate_only: bool,
) -> Vec<AlterConfigsResourceResponse> {
    let mut times: HashMap<(i8, &str), usize> = HashMap::new();
    for one in alterations {
        *times.entry((one.resource_type, one.name)).or_default() += 1;
    }
    let answer = |one: &Alteration<'_>| {
        let outcome = match times.get(&(one.resource_type, one.name)) {
            Some(1) => one.run(call, validate_only),
            _ => Err(invalid("Each resource must appear at most once.")),
        };
        let (error_code, error_message) = match outcome {
            Ok(()) => (ErrorCode::NONE, None),
            Err(refused) => (refused.code, refused.message),
        };
        AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: one.resource_type,
            resource_name: one.name.to_owned(),
        }
    };
    alterations.iter().map(answer).collect()
}

impl Alteration<'_> {
    fn run(&self, call: &Call<'_>, validate_only: bool) -> Result<(), Refused> {
        let twice =
            |(at, change): (usize, &Change<'_>)| self.changes[..at].iter().any(|other| other.name == change.name);
        if self.changes.iter().enumerate().any(twice) {
            return Err(invalid("Error due to duplicate config keys"));
        }
        let null = self.changes.iter().filter(|change| change.operation != DELETE && change.value.is_none());
        let null: Vec<_> = null.map(|change| change.name).collect();
        if !null.is_empty() {
            return Err(invalid(format!("Null value not supported for : {}", null.join(", "))));
        }
        match self.resource_type {
            resource::TOPIC => self.topic(call.cluster, validate_only),
            resource::BROKER => self.broker(call, validate_only),
            resource::LOGGER if !self.whole => {
                this_broker(call, self.name)?;
                match self.changes.first() {
                    None => Ok(()),
                    Some(change) => {
                        let text = format!("Logger {} does not exist!", change.name);
                        Err(Refused::new(ErrorCode::INVALID_CONFIG, text))
                    }
                }
            }
            resource::GROUP if self.name.is_empty() => Err(invalid("Default group resources are not allowed.")),
            resource::METRICS | resource::GROUP => {
                let text = "The development broker has settings of topics and brokers only.";
                Err(Refused::new(ErrorCode::INVALID_CONFIG, text))
            }
            other => Err(invalid(format!("Unknown resource type {other}"))),
        }
    }

    fn topic(&self, cluster: &Cluster, validate_only: bool) -> Result<(), Refused> {
        // Held, so that no other change comes in between.
        let configs = lock(&cluster.configs);
        let topic = cluster.topic(self.name);
        let before = topic.as_ref().map(|topic| topic.config().overrides).unwrap_or_default();
        let after = self.applied(before, |change| {
            let row = topics::find(change.name).filter(|row| row.property.kind == Kind::List);
            row.map(|row| row.property).ok_or_else(|| {
                let verb = if change.operation == APPEND { "APPEND" } else { "SUBTRACT" };
                let text = format!("Can't {verb} to key {} because its type is not LIST.", change.name);
                Refused::new(ErrorCode::INVALID_CONFIG, text)
            })
        })?;
        if self.name.is_empty() {
            return Err(invalid("Default topic resources are not allowed."));
        }
        if let Some(why) = bad_topic_name(self.name) {
            return Err(bad_name(&why));
        }
        let config = TopicConfig::new(after)?;
        let Some(topic) = topic else {
            let text = format!("The topic '{}' does not exist.", self.name);
            return Err(Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, text));
        };
        if !validate_only {
            cluster.configure_topic(&topic, config.under(&configs.inherited(cluster.options.brokers)))?;
        }
        Ok(())
    }

    fn broker(&self, call: &Call<'_>, validate_only: bool) -> Result<(), Refused> {
        let node = if self.name.is_empty() { None } else { Some(this_broker(call, self.name)?) };
        if let Some(change) = self.changes.iter().find(|change| !(SET..=SUBTRACT).contains(&change.operation)) {
            return Err(invalid(format!("Unknown operations type {}", change.operation)));
        }
        let mut configs = lock(&call.cluster.configs);
        let after = self.applied(configs.of(node), |change| {
            let invalid = |text: String| Refused::new(ErrorCode::INVALID_CONFIG, text);
            let known = brokers::find(change.name);
            let row = known.ok_or_else(|| invalid(format!("Unknown config name: {}", change.name)))?;
            if row.property.kind == Kind::List {
                return Ok(row.property);
            }
            let verb = if change.operation == APPEND { "append" } else { "subtract" };
            Err(invalid(format!("Config value {verb} is not allowed for config key: {}", change.name)))
        })?;
        check_broker(&after)?;
        self.check_in_sync(call.cluster, node)?;
        if !validate_only {
            configs.set(node, after);
            inherit(call.cluster, &configs);
        }
        Ok(())
    }

    /// With eligible leader replicas (KIP-966), which Kafka 4 has on, the minimum is the same at all brokers.
    fn check_in_sync(&self, cluster: &Cluster, node: Option<i32>) -> Result<(), Refused> {
        if cluster.options.version != Version::V4_3 {
            return Ok(());
        }
        let change = self.changes.iter().find(|change| change.name == MIN_IN_SYNC);
        let text = match (node, change) {
            (Some(_), Some(_)) => "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
            (None, Some(change)) if change.operation == DELETE => {
                "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
            }
            (None, None) if self.whole => "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
            _ => return Ok(()),
        };
        Err(Refused::new(ErrorCode::INVALID_CONFIG, text))
    }

    /// The values with the changes made; `list` tells which settings are lists.
    fn applied(
        &self,
        before: Values,
        list: impl Fn(&Change<'_>) -> Result<Property, Refused>,
    ) -> Result<Values, Refused> {
        let mut values = if self.whole { Values::new() } else { before };
        for change in &self.changes {
            let given = change.value.unwrap_or_default();
            match change.operation {
                SET => drop(values.insert(change.name.to_owned(), given.to_owned())),
                DELETE => drop(values.remove(change.name)),
                APPEND | SUBTRACT => {
                    let property = list(change)?;
                    let old = values.get(change.name).map_or(property.default.unwrap_or_default(), String::as_str);
                    let new = merged(old, given, change.operation == APPEND);
                    values.insert(change.name.to_owned(), new);
                }
                // As Kafka, which does not expect it.
                _ => return Err(ErrorCode::UNKNOWN_SERVER_ERROR.into()),
            }
        }
        Ok(values)
    }
}

/// A list with these parts, or without them.
fn merged(old: &str, given: &str, append: bool) -> String {
    let mut parts: Vec<&str> = old.split(',').filter(|part| !part.is_empty()).collect();
    for part in given.split(',') {
        match parts.iter().position(|known| *known == part) {
            None if append => parts.push(part),
            Some(at) if !append => drop(parts.remove(at)),
            _ => {}
        }
    }
    parts.join(",")
}

/// Whether brokers can be set to these values while they run. Names that are not known are taken, as in Kafka, for they
/// may be those of a plugin.
fn check_broker(values: &Values) -> Result<(), Refused> {
    let rows = values.iter().filter_map(|(name, value)| Some((brokers::find(name)?, value)));
    let (changeable, fixed): (Vec<_>, Vec<_>) = rows.partition(|(row, _)| row.update == Update::Dynamic);
    if !fixed.is_empty() {
        let names: Vec<_> = fixed.iter().map(|(row, _)| row.property.name).collect();
        return Err(invalid(format!("Cannot update these configs dynamically: [{}]", names.join(", "))));
    }
    for (row, value) in changeable {
        row.property.read(value).map_err(|refused| Refused { code: ErrorCode::INVALID_REQUEST, ..refused })?;
    }
    Ok(())
}

/// Lets the topics know of what brokers were set to.
fn inherit(cluster: &Cluster, configs: &BrokerConfigs) {
    let values = configs.inherited(cluster.options.brokers);
    for topic in cluster.topics() {
        topic.configure(topic.config().under(&values));
    }
}

/// The id in a resource's name, which must be that of the broker that was asked.
fn this_broker(call: &Call<'_>, name: &str) -> Result<i32, Refused> {
    match name.parse::<i32>() {
        Err(_) => Err(invalid(format!("Node id must be an integer, but it is: {name}"))),
        Ok(id) if id != call.node => {
            Err(invalid(format!("Unexpected broker id, expected {}, but received {name}", call.node)))
        }
        Ok(id) => Ok(id),
    }
}

fn invalid(text: impl Into<String>) -> Refused {
    Refused::new(ErrorCode::INVALID_REQUEST, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_and_shrink_by_parts() {
        assert_eq!(merged("delete", "compact", true), "delete,compact");
        assert_eq!(merged("delete,compact", "compact,delete", true), "delete,compact");
        assert_eq!(merged("delete,compact", "delete", false), "compact");
        assert_eq!(merged("delete", "delete,compact", false), "");
        assert_eq!(merged("", "compact", true), "compact");
    }

    #[test]
    fn a_broker_is_not_set_to_what_cannot_change_while_it_runs() {
        let values = |name: &str, value: &str| Values::from([(name.to_owned(), value.to_owned())]);
        assert!(check_broker(&values("log.retention.ms", "5")).is_ok());
        assert!(check_broker(&values("of.a.plugin", "5")).is_ok());
        let refused = check_broker(&values("num.partitions", "5")).unwrap_err();
        assert_eq!(refused.message.unwrap(), "Cannot update these configs dynamically: [num.partitions]");
        let refused = check_broker(&values("message.max.bytes", "x")).unwrap_err();
        assert_eq!(refused.code, ErrorCode::INVALID_REQUEST);
        assert_eq!(
            refused.message.unwrap(),
            "Invalid value x for configuration message.max.bytes: Not a number of type INT"
        );
    }
}
