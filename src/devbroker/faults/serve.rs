//! What a fault does to a request.

use std::time::{Duration, Instant};

use super::Deed;
use super::injected::{Act, Asked, mixed};
use crate::Result;
use crate::devbroker::call::{Call, Handler, Outcome, Reply, Subject, Woken};
use crate::kafka::protocol::frame::{self, RequestHeader};
use crate::sync::lock;

/// Bytes of an answer that say how long it is.
const SIZE: usize = 4;

/// Serves a request, or does with it what the fault that it meets says.
pub(in super::super) fn serve<R: Handler>(request: R, call: &Call<'_>, header: &RequestHeader) -> Result<Outcome> {
    let met = if call.cluster.faults.any() { meet(&request, call) } else { None };
    let Some(act) = met else { return outcome::<R>(request.serve(call), header) };
    if !pause(call, act.delay) {
        return Ok(Outcome::Close);
    }
    match act.deed {
        Deed::Error(code) => {
            let refusal = request.refuse(call, code);
            let answered =
                if act.after_work { matches!(request.serve(call), Reply::Answer(_)) } else { request.is_answered() };
            // Where no answer belongs, an error shows as a closed connection.
            let reply = if answered { Reply::Answer(refusal) } else { Reply::HangUp };
            outcome::<R>(reply, header)
        }
        Deed::Drop => Ok(Outcome::Close),
        Deed::DropAfter => {
            request.serve(call);
            Ok(Outcome::Close)
        }
        Deed::Silence => {
            if act.after_work {
                request.serve(call);
            }
            Ok(Outcome::Mute)
        }
        Deed::Starve => {
            lock(&call.cluster.sessions).starve(request.session());
            outcome::<R>(request.serve(call), header)
        }
        Deed::Truncate(_) | Deed::Garble => Ok(spoilt(outcome::<R>(request.serve(call), header)?, &act)),
        _ => outcome::<R>(request.serve(call), header),
    }
}

fn meet<R: Handler>(request: &R, call: &Call<'_>) -> Option<Act> {
    let subject = request.subject();
    let topics = names(call, request, &subject);
    let asked = Asked { node: call.node, api: R::KEY, topics: &topics, group: subject.group, client: &call.client.id };
    call.cluster.faults.meet(&asked, Instant::now())
}

/// The topics that a request is about, however it names them.
fn names<R: Handler>(call: &Call<'_>, request: &R, subject: &Subject<'_>) -> Vec<String> {
    let cluster = call.cluster;
    let known = subject.topics.iter().filter(|name| !name.is_empty()).map(|name| (*name).to_owned());
    let mut names: Vec<String> = known.collect();
    let mut ids = request.topic_ids();
    if request.session() != 0 {
        for key in lock(&cluster.sessions).followed(request.session()) {
            names.extend((!key.name.is_empty()).then(|| key.name.clone()));
            ids.push(key.id);
        }
    }
    names.extend(ids.into_iter().filter_map(|id| cluster.topic_by_id(id)).map(|topic| topic.name.clone()));
    names
}

/// Waits. `false` if the connection ends before.
fn pause(call: &Call<'_>, time: Duration) -> bool {
    let until = Instant::now() + time;
    loop {
        match call.doorbell.wait(Some(until)) {
            // Nothing that was asked for on this connection is waited for yet.
            Woken::Rung => {}
            Woken::Late => return true,
            Woken::Closed => return false,
        }
    }
}

fn outcome<R: Handler>(reply: Reply<R::Response>, header: &RequestHeader) -> Result<Outcome> {
    match reply {
        Reply::Answer(response) => {
            frame::encode_response::<R>(&response, header.api_version, header.correlation_id).map(Outcome::Answer)
        }
        Reply::Silence => Ok(Outcome::Nothing),
        Reply::HangUp => Ok(Outcome::Close),
    }
}

fn spoilt(outcome: Outcome, act: &Act) -> Outcome {
    let Outcome::Answer(answer) = outcome else { return outcome };
    let mut bytes = answer.to_vec();
    if let Deed::Truncate(to) = act.deed {
        let half = bytes.len() / 2;
        bytes.truncate(to.map_or(half, |to| (to as usize).min(bytes.len().saturating_sub(1))));
        return Outcome::Last(bytes);
    }
    garble(&mut bytes[SIZE..], act.seed);
    Outcome::Garbled(bytes)
}

/// Changes about every eighth byte, and one at least.
fn garble(bytes: &mut [u8], seed: u64) {
    let mut at = (seed % 8) as usize % bytes.len().max(1);
    let mut random = seed;
    while let Some(byte) = bytes.get_mut(at) {
        random = mixed(random);
        *byte ^= (random >> 8) as u8 | 1 << (random % 8);
        at += 1 + (random >> 32) as usize % 15;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbling_changes_something_of_anything_and_always_the_same() {
        for length in 1..200 {
            let sound = vec![7; length];
            let garbled = |seed| {
                let mut bytes = sound.clone();
                garble(&mut bytes, seed);
                bytes
            };
            for seed in 0..50 {
                assert_ne!(garbled(seed), sound, "{length} {seed}");
                assert_eq!(garbled(seed), garbled(seed));
            }
        }
        garble(&mut [], 3);
    }
}
