//! FindCoordinator: which broker has a group. There are no transactions and no share groups here.

use super::super::call::{Call, Handler, Reply, Subject};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

impl Handler for FindCoordinatorRequest {
    fn serve(self, call: &Call<'_>) -> Reply<FindCoordinatorResponse> {
        let find = |key: &String| match self.key_type {
            GROUP => match call.cluster.coordinator(key) {
                Some(node) => Coordinator {
                    key: key.clone(),
                    node_id: node.id,
                    host: node.host,
                    port: i32::from(node.port),
                    error_message: Some(words(call, GROUP, ErrorCode::NONE)),
                    ..Default::default()
                },
                None => unavailable(call, self.key_type, key, ErrorCode::COORDINATOR_NOT_AVAILABLE),
            },
            TRANSACTION => unavailable(call, self.key_type, key, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
            _ => unavailable(call, self.key_type, key, ErrorCode::INVALID_REQUEST),
        };
        Reply::Answer(answer(call, self.keys(call).map(find).collect()))
    }

    fn refuse(&self, call: &Call<'_>, code: ErrorCode) -> FindCoordinatorResponse {
        answer(call, self.keys(call).map(|key| unavailable(call, self.key_type, key, code)).collect())
    }

    fn subject(&self) -> Subject<'_> {
        match self.key_type {
            GROUP if self.coordinator_keys.is_empty() => Subject::group(&self.key),
            GROUP => Subject { topics: Vec::new(), group: self.coordinator_keys.first().map(String::as_str) },
            _ => Subject::default(),
        }
    }
}

/// Up to version 3 there is one key, in a field of its own.
const LAST_SINGLE: i16 = 3;

impl FindCoordinatorRequest {
    fn keys(&self, call: &Call<'_>) -> impl Iterator<Item = &String> {
        let single = (call.version <= LAST_SINGLE).then_some(&self.key);
        single.into_iter().chain(&self.coordinator_keys)
    }
}

/// From version 4 on Kafka says nothing with a code, unless the kind of the key is none.
fn words(call: &Call<'_>, key_type: i8, code: ErrorCode) -> String {
    let known = (GROUP..=SHARE).contains(&key_type);
    match code {
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED => "the development broker has no transactions".to_owned(),
        _ if call.version > LAST_SINGLE && known => String::new(),
        ErrorCode::NONE => code.to_string(),
        code => code.description().to_owned(),
    }
}

fn unavailable(call: &Call<'_>, key_type: i8, key: &str, error_code: ErrorCode) -> Coordinator {
    Coordinator {
        key: key.to_owned(),
        node_id: -1,
        port: -1,
        error_code,
        error_message: Some(words(call, key_type, error_code)),
        ..Default::default()
    }
}

fn answer(call: &Call<'_>, mut coordinators: Vec<Coordinator>) -> FindCoordinatorResponse {
    if call.version > LAST_SINGLE {
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = coordinators.pop().unwrap_or_default();
    FindCoordinatorResponse { node_id, host, port, error_code, error_message, ..Default::default() }
}
