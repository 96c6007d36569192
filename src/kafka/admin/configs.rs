//! Configurations of topics, brokers and groups: shown and changed, key by key.

use super::ask::ANY;
use super::{Admin, checked, unmentioned};
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource, IncrementalAlterableConfig,
};
use crate::kafka::protocol::{ApiKey, ErrorCode};

/// What has a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigResource<'a> {
    /// A topic, by name.
    Topic(&'a str),
    /// A broker, by node id.
    Broker(i32),
    /// A group, by id; since Kafka 3.7.
    Group(&'a str),
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// The topic itself.
    Topic,
    /// Set for this broker while it runs.
    Broker,
    /// Set for all brokers while they run.
    AllBrokers,
    /// The broker's properties file.
    File,
    /// Kafka's own default.
    Default,
    /// The group itself.
    Group,
    /// Not told.
    Unknown,
}

/// One key of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// Its value; `None` if it is not set, or sensitive.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// It cannot be changed while the broker runs.
    pub read_only: bool,
    /// Its value is never told.
    pub sensitive: bool,
}

/// A change to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigChange<'a> {
    /// Sets the key to this value.
    Set(&'a str, &'a str),
    /// Takes the key's own value away, so that the default holds again.
    Unset(&'a str),
}

impl ConfigResource<'_> {
    /// Kafka's number for its type.
    fn kind(self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) => 4,
            Self::Group(_) => 32,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Topic(name) | Self::Group(name) => name.to_owned(),
            Self::Broker(node) => node.to_string(),
        }
    }

    /// Brokers answer for themselves.
    fn node(self) -> i32 {
        match self {
            Self::Broker(node) => node,
            _ => ANY,
        }
    }

    fn place(self, error: Error) -> Error {
        match self {
            Self::Topic(name) => error.with_topic(name),
            Self::Broker(node) => error.begun(&format!("broker {node}")),
            Self::Group(name) => error.begun(&format!("group {}", name.escape_debug())),
        }
    }
}

impl ConfigSource {
    fn from_number(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::AllBrokers,
            4 => Self::File,
            5 => Self::Default,
            8 => Self::Group,
            _ => Self::Unknown,
        }
    }
}

impl From<DescribeConfigsResourceResult> for ConfigEntry {
    fn from(entry: DescribeConfigsResourceResult) -> Self {
        Self {
            name: entry.name,
            value: entry.value,
            source: ConfigSource::from_number(entry.config_source),
            read_only: entry.read_only,
            sensitive: entry.is_sensitive,
        }
    }
}

impl Admin {
    /// The whole configuration, by key.
    ///
    /// # Errors
    /// There is no such resource, it may not be seen, or `default.api.timeout.ms` passed.
    pub fn describe_configs(&self, resource: ConfigResource<'_>) -> Result<Vec<ConfigEntry>> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name(),
                configuration_keys: None,
            }],
            ..Default::default()
        };
        let entries = self.attempt(self.deadline(), |tries| {
            let step = tries.step();
            let mut response = self.talk(resource.node(), step, |connection| connection.call(&request, step))?;
            let result = response.results.pop().ok_or_else(|| unmentioned(ApiKey::DescribeConfigs, "resource"))?;
            refused(ApiKey::DescribeConfigs, result.error_code, result.error_message.as_deref())?;
            Ok(result.configs)
        });
        let mut entries: Vec<ConfigEntry> =
            entries.map_err(|error| resource.place(error))?.into_iter().map(Into::into).collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// Changes these keys and no others (KIP-339). Either all changes are made or none.
    ///
    /// # Errors
    /// A key or value that the broker does not accept, no such resource, or `default.api.timeout.ms` passed.
    pub fn alter_configs(&self, resource: ConfigResource<'_>, changes: &[ConfigChange<'_>]) -> Result<()> {
        let configs = changes.iter().map(|change| match change {
            ConfigChange::Set(name, value) => IncrementalAlterableConfig {
                name: (*name).to_owned(),
                config_operation: 0,
                value: Some((*value).to_owned()),
            },
            ConfigChange::Unset(name) => {
                IncrementalAlterableConfig { name: (*name).to_owned(), config_operation: 1, value: None }
            }
        });
        let request = IncrementalAlterConfigsRequest {
            resources: vec![IncrementalAlterConfigsResource {
                resource_type: resource.kind(),
                resource_name: resource.name(),
                configs: configs.collect(),
            }],
            validate_only: false,
        };
        self.attempt(self.deadline(), |tries| {
            // Topics and groups belong to the controller.
            let node = if resource.node() == ANY { self.controller() } else { resource.node() };
            let step = tries.step();
            let response = self.talk(node, step, |connection| connection.call(&request, step))?;
            let api = ApiKey::IncrementalAlterConfigs;
            let result = response.responses.first().ok_or_else(|| unmentioned(api, "resource"))?;
            refused(api, result.error_code, result.error_message.as_deref())
        })
        .map_err(|error| resource.place(error))
    }
}

/// A missing topic stays missing, so it is not asked for again.
fn refused(api: ApiKey, code: ErrorCode, message: Option<&str>) -> Result<()> {
    if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
        return Err(Error::broker_code(api, code, Some("the topic does not exist")).with_kind(ErrorKind::State));
    }
    checked(api, code, message)
}
