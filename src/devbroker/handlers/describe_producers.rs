//! DescribeProducers: the idempotent producers that a partition knows.

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::cluster::{bad_name, bad_topic_name};
use super::super::partition::Refused;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    DescribeProducersPartitionResponse, DescribeProducersRequest, DescribeProducersResponse,
    DescribeProducersTopicResponse, ProducerState,
};

impl Handler for DescribeProducersRequest {
    fn serve(self, call: &Call<'_>) -> Reply<DescribeProducersResponse> {
        Reply::Answer(self.answer(|topic, partition| find(call, topic, partition)))
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> DescribeProducersResponse {
        self.answer(|_, _| Err(code.into()))
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().map(|topic| topic.name.as_str()))
    }
}

impl DescribeProducersRequest {
    fn answer(&self, outcome: impl Fn(&str, i32) -> Result<Vec<ProducerState>, Refused>) -> DescribeProducersResponse {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|&partition_index| {
                let answer = DescribeProducersPartitionResponse { partition_index, ..Default::default() };
                match outcome(&topic.name, partition_index) {
                    Ok(active_producers) => DescribeProducersPartitionResponse { active_producers, ..answer },
                    Err(Refused { code: error_code, message: error_message, .. }) => {
                        DescribeProducersPartitionResponse { error_code, error_message, ..answer }
                    }
                }
            });
            DescribeProducersTopicResponse { name: topic.name.clone(), partitions: partitions.collect() }
        });
        DescribeProducersResponse { topics: topics.collect(), ..Default::default() }
    }
}

fn find(call: &Call<'_>, name: &str, partition: i32) -> Result<Vec<ProducerState>, Refused> {
    if let Some(why) = bad_topic_name(name) {
        return Err(bad_name(&why));
    }
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let topic = call.cluster.topic(name).ok_or_else(|| Refused::new(unknown, unknown.description()))?;
    let partition = topic.partition(partition).ok_or(unknown)?;
    let state = partition.state();
    state.check_leader(call.node, -1)?;
    let producers = state.producers.list().into_iter().map(|(id, epoch, last_sequence, last_at)| ProducerState {
        producer_id: id,
        producer_epoch: i32::from(epoch),
        last_sequence,
        last_timestamp: last_at,
        coordinator_epoch: -1,
        current_txn_start_offset: -1,
    });
    Ok(producers.collect())
}
