//! CreateTopics: makes topics.

use std::collections::HashMap;

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::cluster::{Cluster, Wanted, already_exists, bad_name, bad_topic_name, is_internal, random_uuid};
use super::super::config::TopicConfig;
use super::super::config::levels::Values;
use super::super::partition::Refused;
use crate::kafka::protocol::messages::{
    CreatableTopic, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use crate::kafka::protocol::{ErrorCode, Uuid};
use crate::sync::lock;

/// What one request may add, topics and settings counted in; a limit of Kafka's controller.
pub(super) const MOST_PARTITIONS: usize = 10_000;

/// Kafka's own topic, which is none.
pub(super) const METADATA: &str = "__cluster_metadata";

impl Handler for CreateTopicsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<CreateTopicsResponse> {
        let mut times: HashMap<&str, usize> = HashMap::new();
        for topic in &self.topics {
            *times.entry(&topic.name).or_default() += 1;
        }
        let mut planned = Vec::new();
        for topic in &self.topics {
            match times.remove(topic.name.as_str()) {
                // Answered already.
                None => {}
                Some(1) => planned.push((&topic.name, plan(call.cluster, topic))),
                Some(_) => {
                    let refused = Refused::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name.");
                    planned.push((&topic.name, Err(refused)));
                }
            }
        }
        let size = |wanted: &Wanted| 1 + wanted.replicas.len() + wanted.config.overrides.len();
        if planned.iter().filter_map(|(_, plan)| plan.as_ref().ok()).map(size).sum::<usize>() > MOST_PARTITIONS {
            let text = "Excessively large number of partitions per request.";
            let refused = Refused::new(ErrorCode::POLICY_VIOLATION, text);
            let topics = self.topics.iter().map(|topic| failed(&topic.name, &refused)).collect();
            return Reply::Answer(CreateTopicsResponse { topics, ..Default::default() });
        }
        let results = planned.into_iter().map(|(name, plan)| {
            let made = plan.and_then(|wanted| make(call, wanted, self.validate_only));
            made.unwrap_or_else(|refused| failed(name, &refused))
        });
        Reply::Answer(CreateTopicsResponse { topics: results.collect(), ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> CreateTopicsResponse {
        let topics = self.topics.iter().map(|topic| failed(&topic.name, &code.into())).collect();
        CreateTopicsResponse { topics, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().map(|topic| topic.name.as_str()))
    }
}

/// What is to be made, if it can be.
fn plan(cluster: &Cluster, asked: &CreatableTopic) -> Result<Wanted, Refused> {
    if asked.name == METADATA {
        let text = format!("Creation of internal topic {METADATA} is prohibited.");
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, text));
    }
    // Kafka's own topics come to be with the first group or transaction; here they are never seen.
    if cluster.topic(&asked.name).is_some() || is_internal(&asked.name) {
        return Err(already_exists(&asked.name));
    }
    if let Some(other) = cluster.colliding(&asked.name) {
        let text = format!("Topic '{}' collides with existing topic: {other}", asked.name);
        return Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, text));
    }
    if let Some(why) = bad_topic_name(&asked.name) {
        return Err(bad_name(&why));
    }
    let null: Vec<_> =
        asked.configs.iter().filter(|config| config.value.is_none()).map(|config| config.name.as_str()).collect();
    if !null.is_empty() {
        let text = format!("Null value not supported for topic configs: {}", null.join(","));
        return Err(Refused::new(ErrorCode::INVALID_CONFIG, text));
    }
    let overrides: Values =
        asked.configs.iter().filter_map(|config| Some((config.name.clone(), config.value.clone()?))).collect();
    let config = TopicConfig::new(overrides)?;
    Ok(Wanted { name: asked.name.clone(), replicas: replicas(cluster, asked)?, config })
}

fn make(call: &Call<'_>, wanted: Wanted, validate_only: bool) -> Result<CreatableTopicResult, Refused> {
    let configs = {
        let configs = lock(&call.cluster.configs);
        wanted.config.described_for_creation(&configs.levels(call.cluster, call.node))
    };
    let mut result = CreatableTopicResult {
        name: wanted.name.clone(),
        num_partitions: wanted.replicas.len() as i32,
        replication_factor: wanted.replicas.first().map_or(0, Vec::len) as i16,
        error_message: None,
        configs: Some(configs),
        ..Default::default()
    };
    result.topic_id = if validate_only {
        // As Kafka, which had one ready.
        random_uuid()
    } else {
        let topic = call.cluster.create_topic(wanted)?;
        log::info!(target: "broker", "created topic {} with {} partitions", topic.name, topic.partition_count());
        topic.id
    };
    Ok(result)
}

/// Where the replicas of each partition go.
fn replicas(cluster: &Cluster, asked: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refused> {
    let refused = |code: ErrorCode, text: &str| Err(Refused::new(code, text));
    if asked.assignments.is_empty() {
        let factor = match asked.replication_factor {
            -1 => 1,
            ..=0 => {
                let text = "Replication factor must be larger than 0, or -1 to use the default value.";
                return refused(ErrorCode::INVALID_REPLICATION_FACTOR, text);
            }
            factor => factor as usize,
        };
        let partitions = match asked.num_partitions {
            -1 => cluster.options.partitions as usize,
            ..=0 => {
                let text = "Number of partitions was set to an invalid non-positive value.";
                return refused(ErrorCode::INVALID_PARTITIONS, text);
            }
            partitions => partitions as usize,
        };
        // What is too much is not written out before it is refused.
        return cluster.place(partitions.min(MOST_PARTITIONS + 1), factor).map_err(|refused| Refused {
            message: refused.message.map(|why| format!("Unable to replicate the partition {factor} time(s): {why}")),
            ..refused
        });
    }
    if asked.replication_factor != -1 {
        let text = "A manual partition assignment was specified, but replication factor was not set to -1.";
        return refused(ErrorCode::INVALID_REQUEST, text);
    }
    if asked.num_partitions != -1 {
        let text = "A manual partition assignment was specified, but numPartitions was not set to -1.";
        return refused(ErrorCode::INVALID_REQUEST, text);
    }
    let mut factor = None;
    for (at, assignment) in asked.assignments.iter().enumerate() {
        let index = assignment.partition_index;
        if asked.assignments[..at].iter().any(|other| other.partition_index == index) {
            let text = format!("Found multiple manual partition assignments for partition {index}");
            return refused(ErrorCode::INVALID_REPLICA_ASSIGNMENT, &text);
        }
        check_assignment(cluster, index, &assignment.broker_ids, factor)?;
        factor = Some(assignment.broker_ids.len());
    }
    let mut by_index: Vec<_> = asked.assignments.iter().collect();
    by_index.sort_by_key(|assignment| assignment.partition_index);
    if by_index.iter().zip(0..).any(|(assignment, index)| assignment.partition_index != index) {
        let text = "partitions should be a consecutive 0-based integer sequence";
        return refused(ErrorCode::INVALID_REPLICA_ASSIGNMENT, text);
    }
    Ok(by_index.into_iter().map(|assignment| assignment.broker_ids.clone()).collect())
}

/// Whether these brokers can hold the replicas of one partition, which must be as many as those of others.
pub(super) fn check_assignment(
    cluster: &Cluster,
    partition: i32,
    brokers: &[i32],
    factor: Option<usize>,
) -> Result<(), Refused> {
    let invalid = |text: String| Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, text));
    if brokers.is_empty() {
        return invalid("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let (up, down) = cluster.ids();
    let mut sorted = brokers.to_vec();
    sorted.sort_unstable();
    for (at, broker) in sorted.iter().enumerate() {
        if !up.contains(broker) && !down.contains(broker) {
            return invalid(format!(
                "The manual partition assignment includes broker {broker}, but no such broker is registered."
            ));
        }
        if at > 0 && sorted[at - 1] == *broker {
            return invalid(format!("The manual partition assignment includes the broker {broker} more than once."));
        }
    }
    if let Some(factor) = factor.filter(|factor| *factor != brokers.len()) {
        return invalid(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent with \
             previous partitions, which have {factor} replica(s).",
            brokers.len()
        ));
    }
    if !brokers.iter().any(|broker| up.contains(broker)) {
        return invalid(format!(
            "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
             controlled shutdown."
        ));
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
