//! Produce: appends batches.

use std::sync::Arc;

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::cluster::{Cluster, Topic, now_ms};
use super::super::partition::{Appended, Partition, Refused, Sound};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceData, PartitionProduceResponse,
    ProduceRequest, ProduceResponse, TopicProduceData, TopicProduceResponse,
};

const ALL: i16 = -1;
/// From this version on topics are known by their id only.
const BY_ID: i16 = 13;
/// From this version on an answer says who leads, if it is somebody else.
const TELLS_LEADER: i16 = 10;

impl Handler for ProduceRequest {
    fn serve(self, call: &Call<'_>) -> Reply<ProduceResponse> {
        if self.transactional_id.is_some() {
            return self.finish(self.refuse(call, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
        }
        let mut leaders = Vec::new();
        let mut responses = Vec::new();
        for asked in &self.topic_data {
            let topic = find(call, asked);
            let partitions = asked.partition_data.iter().map(|data| {
                let outcome = topic.clone().map_err(Refused::from).and_then(|topic| self.append(call, &topic, data));
                let mut answer = answer(data.index, outcome);
                if call.version >= TELLS_LEADER
                    && answer.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER
                    && let Ok(topic) = &topic
                {
                    answer.current_leader = leader(call.cluster, topic, data.index, &mut leaders);
                }
                answer
            });
            let partition_responses = partitions.collect();
            responses.push(TopicProduceResponse {
                name: asked.name.clone(),
                topic_id: asked.topic_id,
                partition_responses,
            });
        }
        let response = ProduceResponse { responses, node_endpoints: leaders, ..Default::default() };
        self.finish(response)
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> ProduceResponse {
        let responses = self.topic_data.iter().map(|topic| TopicProduceResponse {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partition_responses: topic.partition_data.iter().map(|data| answer(data.index, Err(code.into()))).collect(),
        });
        ProduceResponse { responses: responses.collect(), ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        let topics = self.topic_data.iter();
        let ids = topics.clone().map(|topic| topic.topic_id).collect();
        Subject { ids, ..Subject::topics(topics.map(|topic| topic.name.as_str())) }
    }

    fn is_answered(&self) -> bool {
        self.acks != 0
    }
}

impl ProduceRequest {
    fn append(&self, call: &Call<'_>, topic: &Topic, data: &PartitionProduceData) -> Result<Appended, Refused> {
        let partition = topic.partition(data.index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if !(-1..=1).contains(&self.acks) {
            return Err(ErrorCode::INVALID_REQUIRED_ACKS.into());
        }
        let records = data.records.as_ref().ok_or(ErrorCode::INVALID_RECORD)?;
        let (settings, now) = (topic.settings(), now_ms());
        let batch = Sound::check(records, call.version, &settings, now)?;
        let mut state = partition.state();
        if state.gone {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into());
        }
        state.check_leader(call.node, -1)?;
        if self.acks == ALL && state.in_sync.len() < settings.min_in_sync {
            return Err(ErrorCode::NOT_ENOUGH_REPLICAS.into());
        }
        let appended = state.append(&batch, now)?;
        drop(state);
        call.cluster.grown(appended.grown);
        Ok(appended)
    }

    /// With `acks=0` nobody waits for an answer; what went wrong shows as a closed connection.
    fn finish(&self, response: ProduceResponse) -> Reply<ProduceResponse> {
        let failed = |topic: &TopicProduceResponse| topic.partition_responses.iter().any(|one| !one.error_code.is_ok());
        match self.acks {
            0 if response.responses.iter().any(failed) => Reply::HangUp,
            0 => Reply::Silence,
            _ => Reply::Answer(response),
        }
    }
}

fn find(call: &Call<'_>, asked: &TopicProduceData) -> Result<Arc<Topic>, ErrorCode> {
    if call.version >= BY_ID {
        call.cluster.topic_by_id(asked.topic_id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)
    } else {
        call.cluster.topic(&asked.name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    }
}

fn answer(index: i32, outcome: Result<Appended, Refused>) -> PartitionProduceResponse {
    match outcome {
        Ok(appended) => PartitionProduceResponse {
            index,
            base_offset: appended.base_offset,
            log_append_time_ms: appended.append_time,
            log_start_offset: appended.log_start,
            ..Default::default()
        },
        Err(refused) => {
            let record_errors = refused.record.into_iter().map(|(batch_index, text)| BatchIndexAndErrorMessage {
                batch_index,
                batch_index_error_message: Some(text),
            });
            PartitionProduceResponse {
                index,
                error_code: refused.code,
                base_offset: -1,
                record_errors: record_errors.collect(),
                error_message: refused.message,
                ..Default::default()
            }
        }
    }
}

/// Who leads a partition, and where that broker is (KIP-951).
pub(super) fn leader(
    cluster: &Cluster,
    topic: &Topic,
    index: i32,
    endpoints: &mut Vec<NodeEndpoint>,
) -> LeaderIdAndEpoch {
    let known = topic.partition(index).and_then(|partition: Arc<Partition>| {
        let state = partition.state();
        Some((state.leader?, state.leader_epoch))
    });
    let Some((leader_id, leader_epoch)) = known else { return LeaderIdAndEpoch::default() };
    if let Some(node) = cluster.node(leader_id)
        && endpoints.iter().all(|known| known.node_id != leader_id)
    {
        endpoints.push(NodeEndpoint { node_id: node.id, host: node.host, port: i32::from(node.port), rack: None });
    }
    LeaderIdAndEpoch { leader_id, leader_epoch }
}
