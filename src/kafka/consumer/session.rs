//! Fetch sessions (KIP-227): a broker is told once what to read, then only what changed, and answers only what is new.
//!
//! A session belongs to one connection. What a request leaves out is what the broker knows already; what it must no
//! longer read is forgotten by name. Within a session the broker takes partitions in turns of its own, so that a full
//! answer starves nobody. A broker that has no room for a session, or lost it, is told everything again.

use std::collections::HashMap;

use super::answers::End;
use super::fetching::Asked;
use super::subscription::TopicPartition;
use crate::kafka::protocol::messages::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic};
use crate::kafka::protocol::{ErrorCode, Uuid};

/// The first version of Fetch that names topics by their ids (KIP-516).
const BY_ID: i16 = 13;
/// The first version that says which epoch the record before the offset is of (KIP-595).
const TELLS_EPOCH: i16 = 12;

/// The version of Fetch to ask this with at the most: topics have no names in later ones.
pub(super) fn most_version(asked: &[Asked]) -> i16 {
    if asked.iter().any(|asked| asked.topic_id.is_zero()) { BY_ID - 1 } else { i16::MAX }
}

#[derive(Debug, Default)]
pub(super) struct Session {
    /// 0 without one.
    id: i32,
    /// What the next request carries; 0 opens a session.
    epoch: i32,
    by_id: bool,
    /// Whether the request under way says only what changed, so that its answer does, too.
    pub incremental: bool,
    /// What the broker knows.
    known: HashMap<TopicPartition, Known>,
    /// Counts requests, so that what the last one did not name is found.
    requests: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    topic_id: Uuid,
    offset: i64,
    leader_epoch: i32,
    last_epoch: i32,
    max_bytes: i32,
    /// The request that it was last asked for in.
    request: u64,
    /// What the broker told last: it does not repeat it.
    end: End,
}

impl Known {
    fn new(asked: &Asked, last_epoch: i32, request: u64, end: End) -> Self {
        let Asked { topic_id, offset, leader_epoch, max_bytes, .. } = *asked;
        Self { topic_id, offset, leader_epoch, last_epoch, max_bytes, request, end }
    }

    /// Whether the broker need not be told.
    fn is(&self, other: &Self) -> bool {
        let key = |known: &Self| (known.offset, known.leader_epoch, known.last_epoch, known.max_bytes);
        self.topic_id == other.topic_id && key(self) == key(other)
    }
}

impl Session {
    /// The request for these partitions, in this version of Fetch; limits are the caller's to set.
    pub fn request(&mut self, asked: &[Asked], version: i16) -> FetchRequest {
        let by_id = version >= BY_ID;
        if by_id != self.by_id {
            self.reopen();
            self.by_id = by_id;
        }
        self.requests += 1;
        self.incremental = self.epoch != 0;
        let mut request = FetchRequest { session_id: self.id, session_epoch: self.epoch, ..Default::default() };
        let mut forgotten = Vec::new();
        for asked in asked {
            let last_epoch = if version >= TELLS_EPOCH { asked.last_epoch } else { -1 };
            let now = Known::new(asked, last_epoch, self.requests, End::default());
            match self.known.get_mut(&asked.partition) {
                Some(known) => {
                    let same = known.is(&now);
                    if known.topic_id == now.topic_id {
                        *known = Known { end: known.end, ..now };
                    } else {
                        // Another topic of the same name.
                        forgotten.push((asked.partition.clone(), known.topic_id));
                        *known = now;
                    }
                    if same && self.incremental {
                        continue;
                    }
                }
                None => {
                    self.known.insert(asked.partition.clone(), now);
                }
            }
            name(&mut request.topics, asked, last_epoch);
        }
        if self.known.len() > asked.len() {
            let current = self.requests;
            let gone = self.known.extract_if(|_, known| known.request != current);
            forgotten.extend(gone.map(|(partition, known)| (partition, known.topic_id)));
        }
        if self.incremental {
            forgotten.iter().for_each(|(partition, id)| forget(&mut request.forgotten_topics_data, partition, *id));
        }
        request
    }

    /// Takes over what an answer says of the session itself. `false` if the session is lost, and the answer with it.
    pub fn answered(&mut self, response: &FetchResponse) -> bool {
        match response.error_code {
            ErrorCode::NONE => {}
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND => {
                *self = Self::default();
                return false;
            }
            ErrorCode::INVALID_FETCH_SESSION_EPOCH | ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR => {
                self.reopen();
                return false;
            }
            // Of whatever went wrong, the session says nothing.
            _ => {
                self.reopen();
                return true;
            }
        }
        match self.epoch {
            0 => self.id = response.session_id,
            // The broker gave it up.
            _ if response.session_id != self.id => self.id = 0,
            _ => {}
        }
        if self.id == 0 {
            self.reopen();
        } else {
            self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
        }
        true
    }

    /// What the broker told of a partition, now or earlier.
    pub fn end(&mut self, partition: &TopicPartition, told: Option<End>) -> End {
        match self.known.get_mut(partition) {
            Some(known) => {
                known.end = told.unwrap_or(known.end);
                known.end
            }
            None => told.unwrap_or_default(),
        }
    }

    /// The next request opens a new session and gives the present one up. What the broker told stays true.
    fn reopen(&mut self) {
        self.epoch = 0;
    }
}

/// Adds a partition to what is asked for.
fn name(topics: &mut Vec<FetchTopic>, asked: &Asked, last_epoch: i32) {
    let partition = FetchPartition {
        partition: asked.partition.partition,
        current_leader_epoch: asked.leader_epoch,
        fetch_offset: asked.offset,
        last_fetched_epoch: last_epoch,
        partition_max_bytes: asked.max_bytes,
        ..Default::default()
    };
    let topic = &*asked.partition.topic;
    match topics.iter_mut().find(|other| other.topic == topic && other.topic_id == asked.topic_id) {
        Some(other) => other.partitions.push(partition),
        None => {
            topics.push(FetchTopic { topic: topic.to_owned(), topic_id: asked.topic_id, partitions: vec![partition] })
        }
    }
}

fn forget(topics: &mut Vec<ForgottenTopic>, partition: &TopicPartition, topic_id: Uuid) {
    let (topic, index) = (&*partition.topic, partition.partition);
    match topics.iter_mut().find(|other| other.topic == topic && other.topic_id == topic_id) {
        Some(other) => other.partitions.push(index),
        None => topics.push(ForgottenTopic { topic: topic.to_owned(), topic_id, partitions: vec![index] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::consumer::subscription::Epoch;

    fn asked(partition: i32, offset: i64) -> Asked {
        Asked {
            partition: TopicPartition::new("t", partition),
            epoch: Epoch::for_tests(1),
            topic_id: Uuid([7; 16]),
            leader_epoch: 3,
            offset,
            last_epoch: 2,
            max_bytes: 100,
        }
    }

    fn all(count: i32) -> Vec<Asked> {
        (0..count).map(|partition| asked(partition, 0)).collect()
    }

    /// Session, epoch, the partitions named with their offsets, those forgotten.
    fn shape(request: &FetchRequest) -> (i32, i32, Vec<(i32, i64)>, Vec<i32>) {
        let named = request.topics.iter().flat_map(|topic| &topic.partitions);
        let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| topic.partitions.iter().copied());
        (
            request.session_id,
            request.session_epoch,
            named.map(|partition| (partition.partition, partition.fetch_offset)).collect(),
            forgotten.collect(),
        )
    }

    fn answer(session_id: i32) -> FetchResponse {
        FetchResponse { session_id, ..Default::default() }
    }

    fn refusal(error_code: ErrorCode) -> FetchResponse {
        FetchResponse { error_code, ..Default::default() }
    }

    #[test]
    fn only_what_changed_is_said() {
        let mut session = Session::default();
        assert_eq!(shape(&session.request(&all(1000), 18)).2.len(), 1000);
        assert!(session.answered(&answer(5)) && !session.incremental);
        assert_eq!(shape(&session.request(&all(1000), 18)), (5, 1, vec![], vec![]));
        assert!(session.answered(&answer(5)) && session.incremental);
        let mut some = all(1000);
        some[3].offset = 9;
        some[7].leader_epoch = 4;
        some[8].max_bytes = 200;
        some[9].last_epoch = 3;
        some.remove(1);
        some.push(asked(1000, 4));
        let expected = (5, 2, vec![(3, 9), (7, 0), (8, 0), (9, 0), (1000, 4)], vec![1]);
        assert_eq!(shape(&session.request(&some, 18)), expected);
        assert!(session.answered(&answer(5)));
        assert_eq!(shape(&session.request(&some, 18)), (5, 3, vec![], vec![]));
    }

    #[test]
    fn a_seek_back_to_where_the_session_stands_is_asked_for_again_by_the_next_request() {
        // The broker answers from the offset that it was told last: data that was dropped comes once more.
        let mut session = Session::default();
        session.request(&[asked(0, 5)], 18);
        session.answered(&answer(1));
        session.request(&[asked(0, 8)], 18);
        session.answered(&answer(1));
        assert_eq!(shape(&session.request(&[asked(0, 5)], 18)).2, [(0, 5)]);
    }

    #[test]
    fn a_broker_without_room_is_told_everything_each_time() {
        let mut session = Session::default();
        for _ in 0..3 {
            assert_eq!(shape(&session.request(&all(2), 18)), (0, 0, vec![(0, 0), (1, 0)], vec![]));
            assert!(session.answered(&answer(0)) && !session.incremental);
        }
    }

    #[test]
    fn a_lost_session_is_opened_anew() {
        for (code, id) in [
            (ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0),
            (ErrorCode::INVALID_FETCH_SESSION_EPOCH, 5),
            (ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR, 5),
        ] {
            let mut session = Session::default();
            session.request(&all(2), 18);
            session.answered(&answer(5));
            session.request(&all(2), 18);
            assert!(!session.answered(&refusal(code)), "{code}");
            assert_eq!(shape(&session.request(&all(2), 18)), (id, 0, vec![(0, 0), (1, 0)], vec![]), "{code}");
        }
        // The broker gave it up by itself, and answered all the same.
        let mut session = Session::default();
        session.request(&all(2), 18);
        session.answered(&answer(5));
        session.request(&all(2), 18);
        assert!(session.answered(&answer(0)));
        assert_eq!(shape(&session.request(&all(2), 18)), (0, 0, vec![(0, 0), (1, 0)], vec![]));
    }

    #[test]
    fn an_error_of_another_kind_leaves_open_what_the_broker_took_over() {
        let mut session = Session::default();
        session.request(&all(1), 18);
        session.answered(&answer(5));
        session.request(&all(1), 18);
        assert!(session.answered(&refusal(ErrorCode::UNKNOWN_SERVER_ERROR)), "partitions are refused with it");
        assert_eq!(shape(&session.request(&all(1), 18)), (5, 0, vec![(0, 0)], vec![]));
    }

    #[test]
    fn names_and_ids_are_not_mixed_in_a_session() {
        let mut session = Session::default();
        session.request(&all(1), 18);
        session.answered(&answer(5));
        let mut both = all(2);
        both[1].topic_id = Uuid::ZERO;
        assert_eq!((most_version(&all(2)), most_version(&both)), (i16::MAX, 12));
        assert_eq!(shape(&session.request(&both, 12)), (5, 0, vec![(0, 0), (1, 0)], vec![]));
    }

    #[test]
    fn a_topic_made_anew_replaces_the_one_that_was_there() {
        let mut session = Session::default();
        session.request(&all(1), 18);
        session.answered(&answer(5));
        let mut anew = all(1);
        anew[0].topic_id = Uuid([8; 16]);
        let request = session.request(&anew, 18);
        assert_eq!(request.topics[0].topic_id, Uuid([8; 16]));
        assert_eq!(request.forgotten_topics_data[0].topic_id, Uuid([7; 16]));
    }

    #[test]
    fn old_versions_do_not_carry_what_they_have_no_field_for() {
        let mut session = Session::default();
        assert_eq!(session.request(&all(1), 11).topics[0].partitions[0].last_fetched_epoch, -1);
        session.answered(&answer(5));
        assert_eq!(session.request(&all(1), 11).topics.len(), 0, "what is not carried has not changed either");
    }

    #[test]
    fn the_end_of_a_log_is_known_from_earlier_answers() {
        let mut session = Session::default();
        session.request(&all(1), 18);
        let place = TopicPartition::new("t", 0);
        assert_eq!(session.end(&place, None), End::default());
        let told = End { end: 9, start: 1 };
        assert_eq!(session.end(&place, Some(told)), told);
        session.answered(&answer(5));
        session.request(&all(1), 18);
        assert_eq!(session.end(&place, None), told);
    }

    #[test]
    fn epochs_go_round_without_meeting_zero() {
        let mut session = Session { id: 5, epoch: i32::MAX, ..Default::default() };
        session.answered(&answer(5));
        assert_eq!(session.epoch, 1);
    }
}
