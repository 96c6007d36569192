//! Fetch: reads batches, and waits for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::call::{Call, Handler, Reply, Subject, Woken};
use super::super::cluster::Topic;
use super::super::log::Log;
use super::super::partition::{Partition, PartitionState};
use super::super::server::IDLE;
use super::super::sessions::{Key, Plan, Want};
use super::produce::leader;
use crate::kafka::protocol::messages::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, NodeEndpoint, PartitionData,
};
use crate::kafka::protocol::{Bytes, ErrorCode, Uuid};
use crate::sync::lock;

/// The most that one answer carries (`fetch.max.bytes` of a broker).
const MAX_BYTES: i32 = 57_671_680;
/// From this version on consumers may read from replicas, and are sent to one in their rack.
const FROM_REPLICAS: i16 = 11;
/// From this version on topics are known by their id only.
const BY_ID: i16 = 13;
/// From this version on an answer says who leads, if it is somebody else.
const TELLS_LEADER: i16 = 16;
/// In answers with an error.
const UNKNOWN: i64 = -1;

impl Handler for FetchRequest {
    fn serve(self, call: &Call<'_>) -> Reply<FetchResponse> {
        // No longer than an idle connection lasts: nobody tells when the client has gone.
        let wait = Duration::from_millis(u64::try_from(self.max_wait_ms).unwrap_or(0)).min(IDLE.1);
        let until = Instant::now() + wait;
        let plan = match self.plan(call) {
            Ok(plan) => plan,
            Err(error_code) => return Reply::Answer(FetchResponse { error_code, ..Default::default() }),
        };
        if lock(&call.cluster.sessions).is_starved(plan.session) {
            return starve(call, plan.session, until);
        }
        let places: Vec<Place> = plan.partitions.iter().map(|(key, want)| Place::find(call, key, *want, &self.rack_id)).collect();
        if !self.wait(call, &places, until) {
            return Reply::HangUp;
        }
        Reply::Answer(self.read(call, &plan, &places))
    }

    fn refuse(&self, call: &Call<'_>, error_code: ErrorCode) -> FetchResponse {
        let topics = self.topics.iter().map(|topic| FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partitions.iter().map(|asked| failed(asked.partition, error_code)).collect(),
        });
        // In a session there may be no partition to hang it on.
        let error_code = if self.topics.is_empty() && call.version >= 7 { error_code } else { ErrorCode::NONE };
        FetchResponse { responses: topics.collect(), error_code, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::topics(self.topics.iter().map(|topic| topic.topic.as_str()))
    }

    fn topic_ids(&self) -> Vec<Uuid> {
        self.topics.iter().map(|topic| topic.topic_id).collect()
    }

    fn session(&self) -> i32 {
        self.session_id
    }
}

impl FetchRequest {
    fn plan(&self, call: &Call<'_>) -> Result<Plan, ErrorCode> {
        let key = |name: &String, id: Uuid, index| Key { name: name.clone(), id, index };
        let asked = self.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(move |asked| {
                let want = Want {
                    offset: asked.fetch_offset,
                    max_bytes: asked.partition_max_bytes,
                    // Any negative epoch is unknown.
                    leader_epoch: asked.current_leader_epoch.max(-1),
                    last_epoch: asked.last_fetched_epoch,
                };
                (key(&topic.topic, topic.topic_id, asked.partition), want)
            })
        });
        let forgotten = self.forgotten_topics_data.iter().flat_map(|topic| {
            topic.partitions.iter().map(move |index| key(&topic.topic, topic.topic_id, *index))
        });
        let forgotten: Vec<Key> = forgotten.collect();
        // Of a partition that is named twice the last wish counts, in the place of the first.
        let mut wanted: Vec<(Key, Want)> = Vec::new();
        let mut places = HashMap::new();
        for (key, want) in asked {
            match places.get(&key) {
                Some(place) => wanted[*place] = (key, want),
                None => {
                    places.insert(key.clone(), wanted.len());
                    wanted.push((key, want));
                }
            }
        }
        let mut sessions = lock(&call.cluster.sessions);
        sessions.plan(
            call.node,
            (self.session_id, self.session_epoch),
            call.version >= BY_ID,
            wanted,
            &forgotten,
            Instant::now(),
        )
    }

    /// Whether another broker asks, which has no replica here to fill.
    fn is_follower(&self) -> bool {
        self.replica_id >= 0 || self.replica_state.replica_id >= 0
    }

    /// Waits until there is enough to read, something is wrong, or the time is over. `false` if the connection ends.
    fn wait(&self, call: &Call<'_>, places: &[Place], until: Instant) -> bool {
        if places.is_empty() || self.is_follower() {
            return true;
        }
        let enough = usize::try_from(self.min_bytes.min(self.max_bytes).min(MAX_BYTES)).unwrap_or(0);
        loop {
            let mut available = 0;
            for place in places {
                match place.available(call, enough) {
                    Ok(bytes) => available += bytes,
                    Err(_) => return true,
                }
            }
            if available >= enough {
                return true;
            }
            match call.doorbell.wait(Some(until)) {
                Woken::Rung => {}
                Woken::Late => return true,
                Woken::Closed => return false,
            }
        }
    }

    fn read(&self, call: &Call<'_>, plan: &Plan, places: &[Place]) -> FetchResponse {
        let mut left = usize::try_from(self.max_bytes.min(MAX_BYTES)).unwrap_or(0);
        let mut endpoints: Vec<NodeEndpoint> = Vec::new();
        let mut responses: Vec<FetchableTopicResponse> = Vec::new();
        let mut empty = true;
        let mut last = None;
        for (key, place) in plan.partitions.iter().map(|(key, _)| key).zip(places) {
            let mut data = place.read(call, left, empty);
            if self.is_follower() && place.partition.is_ok() {
                data = failed(key.index, ErrorCode::NOT_LEADER_OR_FOLLOWER);
            }
            let size = data.records.as_ref().map_or(0, |records| records.len());
            if size > 0 {
                (empty, last) = (false, Some(key));
                left = left.saturating_sub(size);
            }
            // Null where it was not asked for, but for what is not there.
            if self.isolation_level == 0 && place.partition.is_ok() {
                data.aborted_transactions = None;
            }
            if call.version >= TELLS_LEADER
                && let Some(topic) = &place.topic
                && matches!(data.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH)
            {
                data.current_leader = leader(call.cluster, topic, key.index, &mut endpoints);
            }
            if plan.session != 0 {
                let mut sessions = lock(&call.cluster.sessions);
                let news = sessions.is_news(plan.session, key, data.high_watermark, data.log_start_offset);
                let elsewhere = data.diverging_epoch.epoch >= 0 || data.preferred_read_replica >= 0;
                let matters = !data.error_code.is_ok() || size > 0 || elsewhere;
                if plan.incremental && !news && !matters {
                    continue;
                }
            }
            match responses.last_mut() {
                Some(response) if response.topic == key.name && response.topic_id == key.id => {
                    response.partitions.push(data);
                }
                _ => responses.push(FetchableTopicResponse {
                    topic: key.name.clone(),
                    topic_id: key.id,
                    partitions: vec![data],
                }),
            }
        }
        if let Some(key) = last {
            lock(&call.cluster.sessions).ended_at(plan.session, key);
        }
        // Where this very broker is, the client knows.
        endpoints.retain(|node| node.node_id != call.node);
        FetchResponse { session_id: plan.session, responses, node_endpoints: endpoints, ..Default::default() }
    }
}

/// As if nothing were ever appended.
fn starve(call: &Call<'_>, session_id: i32, until: Instant) -> Reply<FetchResponse> {
    loop {
        match call.doorbell.wait(Some(until)) {
            Woken::Rung => {}
            Woken::Late => return Reply::Answer(FetchResponse { session_id, ..Default::default() }),
            Woken::Closed => return Reply::HangUp,
        }
    }
}

/// A partition that is read from.
struct Place {
    want: Want,
    index: i32,
    topic: Option<Arc<Topic>>,
    partition: Result<Arc<Partition>, ErrorCode>,
    /// Where the client is better off.
    preferred: Option<i32>,
}

impl Place {
    fn find(call: &Call<'_>, key: &Key, want: Want, rack: &str) -> Self {
        let (topic, missing) = if call.version >= BY_ID {
            (call.cluster.topic_by_id(key.id), ErrorCode::UNKNOWN_TOPIC_ID)
        } else {
            (call.cluster.topic(&key.name), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        };
        let partition = match &topic {
            None => Err(missing),
            Some(topic) => topic.partition(key.index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        };
        let preferred = partition.as_ref().ok().and_then(|partition| preferred(call, partition, rack));
        Self { want, index: key.index, topic, partition, preferred }
    }

    fn check(&self, call: &Call<'_>, state: &PartitionState) -> Result<(), ErrorCode> {
        if call.version >= FROM_REPLICAS {
            state.check_replica(call.node, self.want.leader_epoch)
        } else {
            state.check_leader(call.node, self.want.leader_epoch)
        }
    }

    /// How much could be read, counted up to `enough`; lets the connection know of more.
    fn available(&self, call: &Call<'_>, enough: usize) -> Result<usize, ErrorCode> {
        let partition = self.partition.as_ref().map_err(|code| *code)?;
        let mut state = partition.state();
        self.check(call, &state)?;
        if state.gone {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        if self.preferred.is_some() {
            // There is something to tell at once.
            return Err(ErrorCode::NONE);
        }
        if !(state.log.start()..=state.log.end()).contains(&self.want.offset) {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        if self.diverging(&state.log, state.leader_epoch)?.is_some() {
            // There is something to tell at once.
            return Err(ErrorCode::NONE);
        }
        let limit = usize::try_from(self.want.max_bytes).unwrap_or(0);
        let bytes = state.log.available(self.want.offset, enough).min(limit);
        state.tell(call.doorbell);
        Ok(bytes)
    }

    fn read(&self, call: &Call<'_>, left: usize, first: bool) -> PartitionData {
        let partition = match &self.partition {
            Ok(partition) => partition,
            Err(code) => return failed(self.index, *code),
        };
        let state = partition.state();
        if let Err(code) = self.check(call, &state) {
            return failed(self.index, code);
        }
        if state.gone {
            return failed(self.index, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        if self.want.max_bytes < 0 {
            return failed(self.index, ErrorCode::UNKNOWN_SERVER_ERROR);
        }
        let log = &state.log;
        if !(log.start()..=log.end()).contains(&self.want.offset) {
            return failed(self.index, ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        let mut data = PartitionData {
            partition_index: self.index,
            high_watermark: log.end(),
            last_stable_offset: log.end(),
            log_start_offset: log.start(),
            aborted_transactions: Some(Vec::new()),
            records: Some(Bytes::default()),
            ..Default::default()
        };
        match self.diverging(log, state.leader_epoch) {
            Ok(None) => {}
            Ok(Some(diverging)) => {
                data.diverging_epoch = diverging;
                return data;
            }
            Err(code) => return failed(self.index, code),
        }
        if let Some(replica) = self.preferred {
            data.preferred_read_replica = replica;
            return data;
        }
        let limit = usize::try_from(self.want.max_bytes).unwrap_or(0).min(left);
        // Its first batch comes whole, however large, if nothing else came before it.
        let batches = log.read(self.want.offset, limit, first);
        drop(state);
        data.records = Some(joined(batches));
        data
    }

    /// Whether the client's log has parted from this one, and where (KIP-595).
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE for an epoch that never was.
    fn diverging(&self, log: &Log, current: i32) -> Result<Option<EpochEndOffset>, ErrorCode> {
        let last = self.want.last_epoch;
        if last < 0 {
            return Ok(None);
        }
        let (epoch, end_offset) = log.end_of_epoch(last, current).ok_or(ErrorCode::OFFSET_OUT_OF_RANGE)?;
        Ok((epoch < last || end_offset < self.want.offset).then_some(EpochEndOffset { epoch, end_offset }))
    }
}

/// The replica in sync that is in the client's rack, if the leader is asked and is in another.
fn preferred(call: &Call<'_>, partition: &Partition, rack: &str) -> Option<i32> {
    let cluster = call.cluster;
    if call.version < FROM_REPLICAS || rack.is_empty() || cluster.rack(call.node) == Some(rack) {
        return None;
    }
    let state = partition.state();
    let near = |node: &&i32| cluster.rack(**node) == Some(rack);
    state.in_sync.iter().find(near).copied().filter(|_| state.leader == Some(call.node))
}

fn failed(index: i32, error_code: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index: index,
        error_code,
        high_watermark: UNKNOWN,
        last_stable_offset: UNKNOWN,
        log_start_offset: UNKNOWN,
        aborted_transactions: Some(Vec::new()),
        records: Some(Bytes::default()),
        ..Default::default()
    }
}

/// Batches one after the other; a single one is not copied.
fn joined(mut batches: Vec<Bytes>) -> Bytes {
    match batches.len() {
        0 => Bytes::default(),
        1 => batches.swap_remove(0),
        _ => {
            let mut all = Vec::with_capacity(batches.iter().map(|batch| batch.len()).sum());
            batches.iter().for_each(|batch| all.extend_from_slice(batch));
            all.into()
        }
    }
}
