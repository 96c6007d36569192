//! CreatePartitions: gives topics more partitions.

use std::collections::HashMap;

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::partition::Refused;
use super::create_topics::{MOST_PARTITIONS, check_assignment};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};

impl Handler for CreatePartitionsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<CreatePartitionsResponse> {
        let mut times: HashMap<&str, usize> = HashMap::new();
        for asked in &self.topics {
            *times.entry(&asked.name).or_default() += 1;
        }
        let mut results: Vec<CreatePartitionsTopicResult> = Vec::new();
        for asked in &self.topics {
            let outcome = match times.remove(asked.name.as_str()) {
                // Answered already.
                None => continue,
                Some(1) => grow(call, asked, self.validate_only),
                Some(_) => Err(Refused::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name.")),
            };
            results.push(told(&asked.name, outcome));
        }
        Reply::Answer(CreatePartitionsResponse { results, ..Default::default() })
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> CreatePartitionsResponse {
        let results = self.topics.iter().map(|asked| told(&asked.name, Err(code.into()))).collect();
        CreatePartitionsResponse { results, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().map(|topic| topic.name.as_str()))
    }
}

fn told(name: &str, outcome: Result<(), Refused>) -> CreatePartitionsTopicResult {
    let (error_code, error_message) = match outcome {
        Ok(()) => (ErrorCode::NONE, None),
        Err(refused) => (refused.code, refused.message),
    };
    CreatePartitionsTopicResult { name: name.to_owned(), error_code, error_message }
}

fn grow(call: &Call<'_>, asked: &CreatePartitionsTopic, validate_only: bool) -> Result<(), Refused> {
    let cluster = call.cluster;
    let topic = cluster.topic(&asked.name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let before = topic.partition_count();
    let invalid = |text: String| Err(Refused::new(ErrorCode::INVALID_PARTITIONS, text));
    let more = match usize::try_from(asked.count).ok().and_then(|count| count.checked_sub(before)) {
        Some(0) => return invalid(format!("Topic already has {before} partition(s).")),
        None => {
            return invalid(format!(
                "The topic {} currently has {before} partition(s); {} would not be an increase.",
                asked.name, asked.count
            ));
        }
        Some(more) => more,
    };
    let factor = topic.partition(0).map_or(1, |partition| partition.state().replicas.len());
    let replicas = match &asked.assignments {
        Some(assignments) if assignments.len() != more => {
            let text = format!(
                "Attempted to add {more} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err(Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, text));
        }
        // As Kafka, which has no better word for it here.
        _ if more > MOST_PARTITIONS => return Err(ErrorCode::UNKNOWN_SERVER_ERROR.into()),
        Some(assignments) => {
            for (assignment, index) in assignments.iter().zip(before..) {
                check_assignment(cluster, index as i32, &assignment.broker_ids, Some(factor))?;
            }
            assignments.iter().map(|assignment| assignment.broker_ids.clone()).collect()
        }
        None => cluster.place(more, factor)?,
    };
    if !validate_only {
        if !cluster.grow_topic(&topic, before, replicas)? {
            // Somebody else was quicker.
            return grow(call, asked, validate_only);
        }
        log::info!(target: "broker", "topic {} has {} partitions now", topic.name, asked.count);
    }
    Ok(())
}
