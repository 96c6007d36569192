//! CreateTopics: makes topics.

use std::collections::HashMap;

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::cluster::{Cluster, Wanted, already_exists, bad_topic_name};
use super::super::config::TopicConfig;
use super::super::partition::Refused;
use crate::kafka::protocol::messages::{
    CreatableTopic, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use crate::kafka::protocol::{ErrorCode, Uuid};

impl Handler for CreateTopicsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<CreateTopicsResponse> {
        let mut times: HashMap<&str, usize> = HashMap::new();
        for topic in &self.topics {
            *times.entry(&topic.name).or_default() += 1;
        }
        let mut results = Vec::new();
        for topic in &self.topics {
            let made = match times.remove(topic.name.as_str()) {
                // Answered already.
                None => continue,
                Some(1) => make(call.cluster, topic, self.validate_only),
                Some(_) => Err(Refused::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name.")),
            };
            results.push(made.unwrap_or_else(|refused| failed(&topic.name, &refused)));
        }
        Reply::Answer(CreateTopicsResponse { topics: results, ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> CreateTopicsResponse {
        let topics = self.topics.iter().map(|topic| failed(&topic.name, &code.into())).collect();
        CreateTopicsResponse { topics, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().map(|topic| topic.name.as_str()))
    }
}

fn make(cluster: &Cluster, asked: &CreatableTopic, validate_only: bool) -> Result<CreatableTopicResult, Refused> {
    if let Some(why) = bad_topic_name(&asked.name) {
        return Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, format!("Topic name is invalid: {why}")));
    }
    if cluster.topic(&asked.name).is_some() {
        return Err(already_exists(&asked.name));
    }
    let replicas = replicas(cluster, asked)?;
    let mut config = TopicConfig::default();
    for given in &asked.configs {
        config.set(&given.name, given.value.as_deref())?;
    }
    let mut result = CreatableTopicResult {
        name: asked.name.clone(),
        num_partitions: replicas.len() as i32,
        replication_factor: replicas.first().map_or(0, Vec::len) as i16,
        ..Default::default()
    };
    result.configs = Some(config.described_for_creation());
    if !validate_only {
        let topic = cluster.create_topic(Wanted { name: asked.name.clone(), replicas, config })?;
        log::info!(target: "broker", "created topic {} with {} partitions", topic.name, topic.partition_count());
        result.topic_id = topic.id;
    }
    Ok(result)
}

/// Where the replicas of each partition go.
fn replicas(cluster: &Cluster, asked: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refused> {
    if asked.assignments.is_empty() {
        let partitions = if asked.num_partitions == -1 { cluster.options.partitions } else { asked.num_partitions };
        let factor = if asked.replication_factor == -1 { 1 } else { asked.replication_factor };
        return cluster.place(partitions, factor);
    }
    let invalid = |text: String| Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, text);
    if asked.num_partitions != -1 || asked.replication_factor != -1 {
        let text = "A manual partition assignment was specified, but number of partitions or replication factor too.";
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, text));
    }
    let mut by_index: Vec<_> = asked.assignments.iter().collect();
    by_index.sort_by_key(|assignment| assignment.partition_index);
    for (assignment, index) in by_index.iter().zip(0..) {
        if assignment.partition_index != index {
            return Err(invalid("partitions should be a consecutive 0-based integer sequence".to_owned()));
        }
        check_assignment(cluster, &assignment.broker_ids)?;
    }
    Ok(by_index.into_iter().map(|assignment| assignment.broker_ids.clone()).collect())
}

/// Whether these brokers can hold the replicas of one partition.
pub(super) fn check_assignment(cluster: &Cluster, brokers: &[i32]) -> Result<(), Refused> {
    let invalid = |text: String| Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, text));
    if brokers.is_empty() {
        return invalid("The manual partition assignment includes an empty replica list.".to_owned());
    }
    for (at, broker) in brokers.iter().enumerate() {
        if brokers[..at].contains(broker) {
            return invalid(format!("The manual partition assignment includes the broker {broker} more than once."));
        }
        if cluster.node(*broker).is_none() {
            return invalid(format!("The manual partition assignment includes broker {broker}, which is not there."));
        }
    }
    Ok(())
}

fn failed(name: &str, refused: &Refused) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.to_owned(),
        topic_id: Uuid::ZERO,
        error_code: refused.code,
        error_message: refused.message.clone(),
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..Default::default()
    }
}
