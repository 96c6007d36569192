//! DescribeConfigs: the settings of topics and brokers, and where they come from.

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::cluster::{bad_name, bad_topic_name};
use super::super::config::alter::resource;
use super::super::config::brokers::{self, Update};
use super::super::config::levels::{Given, Levels, Source, in_force};
use super::super::config::property::Property;
use super::super::config::topics;
use super::super::partition::Refused;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::sync::lock;

const TYPES: [i8; 5] = [resource::TOPIC, resource::BROKER, resource::LOGGER, resource::METRICS, resource::GROUP];

impl Handler for DescribeConfigsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<DescribeConfigsResponse> {
        if self.resources.iter().any(|resource| !TYPES.contains(&resource.resource_type)) {
            return Reply::Answer(self.refuse(call, ErrorCode::INVALID_REQUEST));
        }
        let results = self.resources.iter().map(|resource| {
            let (error_code, error_message, configs) = match describe(call, resource) {
                Ok(configs) => (ErrorCode::NONE, String::new(), configs),
                Err(refused) => (refused.code, refused.message.unwrap_or_default(), Vec::new()),
            };
            let wanted = |config: &DescribeConfigsResourceResult| match resource.configuration_keys.as_deref() {
                None | Some([]) => true,
                Some(names) => names.contains(&config.name),
            };
            let mut configs: Vec<_> = configs.into_iter().filter(wanted).collect();
            for config in &mut configs {
                // Version 0 knows no sources.
                config.is_default = call.version == 0 && config.config_source == Source::Default as i8;
                if !self.include_synonyms {
                    config.synonyms.clear();
                }
                if self.include_documentation && config.documentation.is_none() {
                    config.documentation = documentation(resource.resource_type, &config.name);
                }
            }
            DescribeConfigsResult {
                error_code,
                error_message: Some(error_message),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                configs,
            }
        });
        Reply::Answer(DescribeConfigsResponse { results: results.collect(), ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> DescribeConfigsResponse {
        let results = self.resources.iter().map(|resource| DescribeConfigsResult {
            error_code: code,
            error_message: Some(code.description().to_owned()),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs: Vec::new(),
        });
        DescribeConfigsResponse { results: results.collect(), ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        let topics = self.resources.iter().filter(|resource| resource.resource_type == resource::TOPIC);
        Subject::topics(topics.map(|resource| resource.resource_name.as_str()))
    }
}

/// Kafka's own documentation would be long; this is where it can be read.
fn documentation(resource_type: i8, name: &str) -> Option<String> {
    let section = match resource_type {
        resource::TOPIC => "topicconfigs",
        _ => "brokerconfigs",
    };
    Some(format!("https://kafka.apache.org/documentation/#{section}_{name}"))
}

type Described = Result<Vec<DescribeConfigsResourceResult>, Refused>;

fn describe(call: &Call<'_>, asked: &DescribeConfigsResource) -> Described {
    let invalid = |text: String| Err(Refused::new(ErrorCode::INVALID_REQUEST, text));
    let name = asked.resource_name.as_str();
    let node = || match name.parse::<i32>() {
        Err(_) => invalid(format!("Broker id must be an integer, but it is: {name}")),
        Ok(id) if id == call.node => Ok(Vec::new()),
        Ok(_) => {
            let or_empty = if asked.resource_type == resource::BROKER { " or empty string," } else { "" };
            invalid(format!("Unexpected broker id, expected {}{or_empty} but received {name}", call.node))
        }
    };
    match asked.resource_type {
        resource::TOPIC => topic(call, name),
        resource::BROKER if name.is_empty() => Ok(shared(call)),
        resource::BROKER => node().map(|_| broker(call)),
        resource::LOGGER if name.is_empty() => invalid("Broker id must not be empty".to_owned()),
        resource::LOGGER => node().map(|_| vec![logger()]),
        resource::METRICS if name.is_empty() => invalid("Client metrics subscription name must not be empty".to_owned()),
        resource::GROUP if name.is_empty() => invalid("Group name must not be empty".to_owned()),
        // Groups and metrics have no settings of their own here.
        _ => Ok(Vec::new()),
    }
}

fn topic(call: &Call<'_>, name: &str) -> Described {
    if let Some(why) = bad_topic_name(name) {
        return Err(bad_name(&why));
    }
    let topic = call.cluster.topic(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let configs = lock(&call.cluster.configs);
    let levels = configs.levels(call.cluster, call.node);
    let overrides = topic.config().overrides;
    let rows = topics::TABLE.iter().filter(|row| !row.internal || overrides.contains_key(row.property.name));
    Ok(rows.map(|row| entry(&row.property, levels.topic(row, &overrides), false)).collect())
}

fn broker(call: &Call<'_>) -> Vec<DescribeConfigsResourceResult> {
    let configs = lock(&call.cluster.configs);
    let levels = configs.levels(call.cluster, call.node);
    let known = brokers::all().map(|row| {
        let name = row.property.name;
        let read_only = row.update == Update::Never;
        entry(&Property { default: None, ..row.property }, levels.broker(name), read_only)
    });
    let set = configs.of(None).into_keys().chain(configs.of(Some(call.node)).into_keys());
    let strange = set.filter(|name| brokers::find(name).is_none()).collect::<std::collections::BTreeSet<_>>();
    known.chain(strange.iter().map(|name| unknown(name, &levels))).collect()
}

/// What all brokers share.
fn shared(call: &Call<'_>) -> Vec<DescribeConfigsResourceResult> {
    let configs = lock(&call.cluster.configs);
    let levels = configs.levels(call.cluster, call.node);
    let described = configs.of(None).into_keys().map(|name| {
        let Some(row) = brokers::find(&name) else { return unknown(&name, &levels) };
        let given = levels.broker(&name).into_iter().filter(|given| given.source == Source::Shared).collect();
        entry(&row.property, given, row.update == Update::Never)
    });
    described.collect()
}

/// One setting, as the sources in `given` have it.
fn entry(property: &Property, given: Vec<Given>, read_only: bool) -> DescribeConfigsResourceResult {
    let (value, source) = in_force(property, &given);
    // As it is shown: the source in force is read, what stands behind it is as it was given.
    let value = value.map(|value| property.read(&value).unwrap_or(value));
    let mut synonyms: Vec<_> = given
        .into_iter()
        .map(|given| DescribeConfigsSynonym { name: given.name, value: Some(given.value), source: given.source as i8 })
        .collect();
    if source == Source::Topic
        && let Some(first) = synonyms.first_mut()
    {
        first.value.clone_from(&value);
    }
    DescribeConfigsResourceResult {
        name: property.name.to_owned(),
        value,
        read_only,
        config_source: source as i8,
        synonyms,
        config_type: property.kind as i8,
        documentation: None,
        ..Default::default()
    }
}

/// A setting of a broker that is not known: it might be a secret.
fn unknown(name: &str, levels: &Levels<'_>) -> DescribeConfigsResourceResult {
    let given = levels.broker(name);
    let synonyms = given.iter().map(|given| DescribeConfigsSynonym {
        name: given.name.clone(),
        value: None,
        source: given.source as i8,
    });
    DescribeConfigsResourceResult {
        name: name.to_owned(),
        read_only: true,
        config_source: given.first().map_or(Source::Default, |given| given.source) as i8,
        is_sensitive: true,
        synonyms: synonyms.collect(),
        value: None,
        documentation: None,
        ..Default::default()
    }
}

/// The one logger that there is.
fn logger() -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: "root".to_owned(),
        value: Some(log::max_level().to_string()),
        config_source: Source::Logger as i8,
        documentation: Some(String::new()),
        ..Default::default()
    }
}
