//! DeleteRecords: moves the start of a log up.

use std::collections::BTreeMap;

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::cluster::is_internal;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};

/// Stands for the end of the log.
const ALL: i64 = -1;

impl Handler for DeleteRecordsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<DeleteRecordsResponse> {
        Reply::Answer(self.answer(|topic, asked| delete(call, topic, asked)))
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> DeleteRecordsResponse {
        self.answer(|_, _| Err(code))
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().map(|topic| topic.name.as_str()))
    }
}

impl DeleteRecordsRequest {
    fn answer(
        &self,
        outcome: impl Fn(&str, &DeleteRecordsPartition) -> Result<i64, ErrorCode>,
    ) -> DeleteRecordsResponse {
        let mut topics: Vec<DeleteRecordsTopicResult> = Vec::new();
        for ((name, _), asked) in self.asked() {
            let outcome = outcome(name, asked);
            let result = DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark: *outcome.as_ref().unwrap_or(&-1),
                error_code: outcome.err().unwrap_or_default(),
            };
            match topics.last_mut().filter(|topic| topic.name == name) {
                Some(topic) => topic.partitions.push(result),
                None => topics.push(DeleteRecordsTopicResult { name: name.to_owned(), partitions: vec![result] }),
            }
        }
        DeleteRecordsResponse { topics, ..Default::default() }
    }

    /// Each partition once; the last offset counts.
    fn asked(&self) -> BTreeMap<(&str, i32), &DeleteRecordsPartition> {
        let all = self.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |asked| (topic, asked)));
        all.map(|(topic, asked)| ((topic.name.as_str(), asked.partition_index), asked)).collect()
    }
}

/// Forgets what lies before the offset, and tells where the log begins then.
fn delete(call: &Call<'_>, topic: &str, asked: &DeleteRecordsPartition) -> Result<i64, ErrorCode> {
    if is_internal(topic) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let topic = call.cluster.topic(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = topic.partition(asked.partition_index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let end = {
        let state = partition.state();
        state.check_leader(call.node, -1)?;
        state.log.end()
    };
    let settings = topic.settings();
    if settings.compact && !settings.delete {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let before = if asked.offset == ALL { end } else { asked.offset };
    if !(0..=end).contains(&before) {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    Ok(call.cluster.delete_records(&partition, before))
}
