//! DeleteTopics: takes topics away, by name or by id.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::cluster::{Cluster, Topic};
use super::super::partition::Refused;
use crate::kafka::protocol::messages::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use crate::kafka::protocol::{ErrorCode, Uuid};

/// From this version on topics are told by name or id, in a field of its own.
const BY_ID: i16 = 6;

impl Handler for DeleteTopicsRequest {
    fn serve(self, call: &Call<'_>) -> Reply<DeleteTopicsResponse> {
        let asked = self.asked(call.version);
        let mut times: HashMap<Named<'_>, usize> = HashMap::new();
        for state in &asked {
            *times.entry(named(state)).or_default() += 1;
        }
        let (mut responses, mut answered) = (Vec::new(), HashSet::new());
        for state in &asked {
            if !answered.insert(named(state)) && *state != DeleteTopicState::default() {
                continue;
            }
            let found = find(call.cluster, state, times[&named(state)]);
            let found = found.and_then(|topic| unambiguous(&times, state, topic));
            let deleted = found.and_then(|topic| match call.cluster.delete_topic(&topic) {
                Ok(()) => Ok(topic),
                Err(refused) => Err(Refusal::Told(refused)),
            });
            match deleted {
                Ok(topic) => {
                    log::info!(target: "broker", "deleted topic {}", topic.name);
                    responses.push(DeletableTopicResult {
                        name: Some(topic.name.clone()),
                        topic_id: topic.id,
                        ..Default::default()
                    });
                }
                Err(Refusal::Told(refused)) => responses.push(failed(call.version, state, &refused)),
                Err(Refusal::ToldWithId(refused, topic_id)) => {
                    responses.push(DeletableTopicResult { topic_id, ..failed(call.version, state, &refused) });
                }
                Err(Refusal::Untold) => {}
            }
        }
        Reply::Answer(DeleteTopicsResponse { responses, ..Default::default() })
    }

    fn refuse(&self, call: &Call<'_>, code: ErrorCode) -> DeleteTopicsResponse {
        let asked = self.asked(call.version);
        let responses = asked.iter().map(|state| failed(call.version, state, &code.into())).collect();
        DeleteTopicsResponse { responses, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        let names = self.topics.iter().filter_map(|topic| topic.name.as_deref());
        Subject::topics(names.chain(self.topic_names.iter().map(String::as_str)))
    }

    fn topic_ids(&self) -> Vec<Uuid> {
        self.topics.iter().filter(|topic| topic.name.is_none()).map(|topic| topic.topic_id).collect()
    }
}

impl DeleteTopicsRequest {
    fn asked(&self, version: i16) -> Vec<DeleteTopicState> {
        if version >= BY_ID {
            return self.topics.clone();
        }
        let named = self.topic_names.iter();
        named.map(|name| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO }).collect()
    }
}

/// How a request names a topic.
type Named<'a> = (Option<&'a str>, Uuid);

fn named(state: &DeleteTopicState) -> Named<'_> {
    (state.name.as_deref(), state.topic_id)
}

type Found = Result<Arc<Topic>, Refusal>;

enum Refusal {
    Told(Refused),
    ToldWithId(Refused, Uuid),
    /// There is no answer for it.
    Untold,
}

fn find(cluster: &Cluster, asked: &DeleteTopicState, times: usize) -> Found {
    let invalid = |text: &str| Err(Refusal::Told(Refused::new(ErrorCode::INVALID_REQUEST, text)));
    let unknown = |code: ErrorCode| Refusal::Told(Refused::new(code, code.description()));
    match (&asked.name, asked.topic_id) {
        (None, Uuid::ZERO) => invalid("Neither topic name nor id were specified."),
        (Some(_), id) if id != Uuid::ZERO => invalid("You may not specify both topic name and topic id."),
        (Some(_), _) if times > 1 => invalid("Duplicate topic name."),
        (None, _) if times > 1 => invalid("Duplicate topic id."),
        (Some(name), _) => cluster.topic(name).ok_or_else(|| unknown(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
        (None, id) => cluster.topic_by_id(id).ok_or_else(|| unknown(ErrorCode::UNKNOWN_TOPIC_ID)),
    }
}

/// One topic may not be told by its name and by its id: then the name is refused, and the id not answered, as in Kafka.
fn unambiguous(times: &HashMap<Named<'_>, usize>, asked: &DeleteTopicState, topic: Arc<Topic>) -> Found {
    let (by_name, by_id) = ((Some(topic.name.as_str()), Uuid::ZERO), (None, topic.id));
    if !(times.contains_key(&by_name) && times.contains_key(&by_id)) {
        return Ok(topic);
    }
    if named(asked) == by_id {
        return Err(Refusal::Untold);
    }
    let text = "The provided topic name maps to an ID that was already supplied.";
    Err(Refusal::ToldWithId(Refused::new(ErrorCode::INVALID_REQUEST, text), topic.id))
}

fn failed(version: i16, asked: &DeleteTopicState, refused: &Refused) -> DeletableTopicResult {
    DeletableTopicResult {
        name: asked.name.clone().or_else(|| (version < BY_ID).then(String::new)),
        topic_id: asked.topic_id,
        error_code: refused.code,
        error_message: refused.message.clone(),
    }
}
