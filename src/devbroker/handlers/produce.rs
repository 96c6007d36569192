//! Produce: appends batches.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::cluster::{Cluster, Topic, now_ms};
use super::super::partition::{Appended, Partition, Rejected, Sound};
use crate::kafka::protocol::messages::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceData, PartitionProduceResponse,
    ProduceRequest, ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use crate::kafka::protocol::{ErrorCode, Uuid};
use crate::kafka::record::batch::{self, field};

const ALL: i16 = -1;
/// Where the log starts, if that is not told.
const UNKNOWN: i64 = -1;
/// From this version on topics are known by their id only.
const BY_ID: i16 = 13;
/// From this version on an answer says who leads, if it is somebody else.
const TELLS_LEADER: i16 = 10;

impl Handler for ProduceRequest {
    fn serve(self, call: &Call<'_>) -> Reply<ProduceResponse> {
        // There are no transactions. Who names a transactional id and writes without one is served, as in Kafka.
        if self.partitions().any(is_transactional) {
            return self.finish(self.refuse(call, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
        }
        let mut leaders = Vec::new();
        let mut responses = Vec::new();
        for (asked, partitions) in self.merged() {
            let topic = find(call, asked);
            let partitions = partitions.into_iter().map(|data| {
                let outcome = match &topic {
                    Ok(topic) => self.append(call, topic, data),
                    Err(code) => Err((Rejected::from(*code), UNKNOWN)),
                };
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
            partition_responses: topic.partition_data.iter().map(|data| answer(data.index, Err((code.into(), UNKNOWN)))).collect(),
        });
        ProduceResponse { responses: responses.collect(), ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topic_data.iter().map(|topic| topic.name.as_str()))
    }

    fn topic_ids(&self) -> Vec<Uuid> {
        self.topic_data.iter().map(|topic| topic.topic_id).collect()
    }

    fn is_answered(&self) -> bool {
        self.acks != 0
    }
}

impl ProduceRequest {
    /// All partitions, as often as they are named.
    fn partitions(&self) -> impl Iterator<Item = &PartitionProduceData> {
        self.topic_data.iter().flat_map(|topic| &topic.partition_data)
    }

    /// Each topic once, with each of its partitions once: of several batches for one partition the last counts.
    fn merged(&self) -> Vec<(&TopicProduceData, Vec<&PartitionProduceData>)> {
        let mut topics: Vec<(&TopicProduceData, Vec<&PartitionProduceData>)> = Vec::new();
        let mut places = HashMap::new();
        for topic in self.topic_data.iter().filter(|topic| !topic.partition_data.is_empty()) {
            for data in &topic.partition_data {
                let at = *places.entry((&topic.name, topic.topic_id, None)).or_insert_with(|| {
                    topics.push((topic, Vec::new()));
                    topics.len() - 1
                });
                let partitions = &mut topics[at].1;
                match places.get(&(&topic.name, topic.topic_id, Some(data.index))) {
                    Some(place) => partitions[*place] = data,
                    None => {
                        places.insert((&topic.name, topic.topic_id, Some(data.index)), partitions.len());
                        partitions.push(data);
                    }
                }
            }
        }
        topics
    }

    /// Appends one batch. A rejection comes with the start of the log, if it was the log that rejected it.
    fn append(&self, call: &Call<'_>, topic: &Topic, data: &PartitionProduceData) -> Result<Appended, (Rejected, i64)> {
        let partition = topic.partition(data.index);
        let partition = partition.ok_or((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into(), UNKNOWN))?;
        self.append_to(call, topic, &partition, data).map_err(|rejected| {
            log::debug!(target: "broker", "refused a batch for {}-{}: {}", topic.name, data.index, rejected.why);
            let log_start = if rejected.by_log { partition.state().log.start() } else { UNKNOWN };
            (rejected, log_start)
        })
    }

    fn append_to(
        &self,
        call: &Call<'_>,
        topic: &Topic,
        partition: &Partition,
        data: &PartitionProduceData,
    ) -> Result<Appended, Rejected> {
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
        call.cluster.grown(appended.grown);
        drop(state);
        call.cluster.make_room();
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

/// Whether a batch belongs to a transaction.
fn is_transactional(data: &PartitionProduceData) -> bool {
    const TRANSACTIONAL: u8 = 0x10;
    let records = data.records.as_deref().unwrap_or_default();
    records.get(field::MAGIC) == Some(&batch::MAGIC)
        && records.get(field::ATTRIBUTES + 1).is_some_and(|low| low & TRANSACTIONAL != 0)
}

fn answer(index: i32, outcome: Result<Appended, (Rejected, i64)>) -> PartitionProduceResponse {
    match outcome {
        Ok(appended) => PartitionProduceResponse {
            index,
            base_offset: appended.base_offset,
            log_append_time_ms: appended.append_time,
            log_start_offset: appended.log_start,
            ..Default::default()
        },
        Err((rejected, log_start_offset)) => {
            let error_message = rejected.told.then_some(rejected.why);
            let record_errors = rejected.records.into_iter().map(|(batch_index, text)| BatchIndexAndErrorMessage {
                batch_index,
                batch_index_error_message: Some(text),
            });
            PartitionProduceResponse {
                index,
                error_code: rejected.code,
                base_offset: -1,
                log_start_offset,
                record_errors: record_errors.collect(),
                error_message,
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
        let rack = cluster.rack(node.id).map(str::to_owned);
        endpoints.push(NodeEndpoint { node_id: node.id, host: node.host, port: i32::from(node.port), rack });
    }
    LeaderIdAndEpoch { leader_id, leader_epoch }
}
