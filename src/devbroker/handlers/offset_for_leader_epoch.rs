//! OffsetForLeaderEpoch: where the records of a leader epoch end.

use super::super::call::{Call, Handler, Reply, Subject};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderPartitionResult,
    OffsetForLeaderTopicResult,
};

const UNKNOWN: (i32, i64) = (-1, -1);

impl Handler for OffsetForLeaderEpochRequest {
    fn serve(self, call: &Call<'_>) -> Reply<OffsetForLeaderEpochResponse> {
        Reply::Answer(self.answer(|topic, asked| find(call, topic, asked)))
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> OffsetForLeaderEpochResponse {
        self.answer(|_, _| Err(code))
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().map(|topic| topic.topic.as_str()))
    }
}

impl OffsetForLeaderEpochRequest {
    fn answer(
        &self,
        outcome: impl Fn(&str, &OffsetForLeaderPartition) -> Result<(i32, i64), ErrorCode>,
    ) -> OffsetForLeaderEpochResponse {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let outcome = outcome(&topic.topic, asked);
                let (leader_epoch, end_offset) = *outcome.as_ref().unwrap_or(&UNKNOWN);
                OffsetForLeaderPartitionResult {
                    error_code: outcome.err().unwrap_or_default(),
                    partition: asked.partition,
                    leader_epoch,
                    end_offset,
                }
            });
            OffsetForLeaderTopicResult { topic: topic.topic.clone(), partitions: partitions.collect() }
        });
        OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
    }
}

fn find(call: &Call<'_>, topic: &str, asked: &OffsetForLeaderPartition) -> Result<(i32, i64), ErrorCode> {
    let topic = call.cluster.topic(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = topic.partition(asked.partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let state = partition.state();
    state.check_leader(call.node, asked.current_leader_epoch)?;
    Ok(state.log.end_of_epoch(asked.leader_epoch, state.leader_epoch).unwrap_or(UNKNOWN))
}
