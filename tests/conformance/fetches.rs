//! What fetches carry, and fetch sessions (KIP-227).

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;

use crate::wire::{Batch, Topic, Wire};

/// A topic with so many partitions, each of which has its leader, and a connection to that of the first.
fn begin(partitions: i32) -> (Topic, Wire) {
    let topic = Topic::create("fetch", partitions);
    let mut wires: Vec<_> = (0..partitions).map(|partition| Wire::leader(&topic, partition)).collect();
    (topic, wires.swap_remove(0))
}

/// Which partitions an answer has, and how many bytes of each.
fn sizes(answer: &FetchResponse) -> Vec<(i32, usize)> {
    let found = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let mut sizes: Vec<_> =
        found.map(|found| (found.partition_index, found.records.as_ref().map_or(0, |bytes| bytes.len()))).collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn a_fetch_keeps_to_its_limits_but_always_brings_a_batch() {
    let (topic, mut wire) = begin(1);
    let batch = Batch::sized(1000).encode();
    for _ in 0..5 {
        assert_eq!(wire.produce(&topic, 0, &batch).error_code, ErrorCode::NONE);
    }
    for version in wire.versions::<FetchRequest>() {
        let mut get = |max_bytes: i32, partition_max_bytes: i32, offset: i64| {
            let mut request = topic.fetch(0, offset);
            request.max_bytes = max_bytes;
            request.topics[0].partitions[0].partition_max_bytes = partition_max_bytes;
            sizes(&wire.call(version, &request))[0].1
        };
        assert_eq!(get(i32::MAX, i32::MAX, 0), 5000, "version {version}");
        assert_eq!(get(i32::MAX, 2000, 0), 2000, "version {version}");
        assert_eq!(get(3000, i32::MAX, 1), 3000, "version {version}");
        assert_eq!(get(i32::MAX, 1, 0), 1000, "version {version}");
        assert_eq!(get(1, i32::MAX, 2), 1000, "version {version}");
        assert_eq!(get(1, 1, 4), 1000, "version {version}");
        assert_eq!(get(1, 1, 5), 0, "version {version}");
    }
}

#[test]
fn only_the_first_batch_of_an_answer_may_exceed_the_limit() {
    let (topic, mut wire) = begin(2 * brokers());
    let led = led_together(&mut wire, &topic);
    let batch = Batch::sized(1000).encode();
    let mut request = topic.fetch(led[0], 0);
    request.topics[0].partitions.clear();
    for partition in &led {
        assert_eq!(wire.produce(&topic, *partition, &batch).error_code, ErrorCode::NONE);
        request.topics[0].partitions.extend(topic.fetch(*partition, 0).topics[0].partitions.clone());
    }
    for (limit, whole) in [(1, 1), (999, 1), (1000, 1), (i32::MAX, led.len())] {
        request.max_bytes = limit;
        let found = sizes(&wire.ask(&request));
        assert_eq!(found.len(), led.len(), "all partitions are answered for");
        assert_eq!(found.iter().filter(|(_, size)| *size == 1000).count(), whole, "limit {limit}: {found:?}");
    }
}

#[test]
fn a_fetch_at_an_impossible_place_is_refused() {
    let (topic, mut wire) = begin(1);
    assert_eq!(wire.produce(&topic, 0, &Batch::of(3).encode()).error_code, ErrorCode::NONE);
    for version in wire.versions::<FetchRequest>() {
        for (offset, code) in
            [(-1, ErrorCode::OFFSET_OUT_OF_RANGE), (3, ErrorCode::NONE), (4, ErrorCode::OFFSET_OUT_OF_RANGE)]
        {
            let answer = wire.call(version, &topic.fetch(0, offset));
            assert_eq!(answer.responses[0].partitions[0].error_code, code, "version {version}, offset {offset}");
        }
        let mut newer = topic.fetch(0, 0);
        newer.topics[0].partitions[0].current_leader_epoch = 1_000_000;
        let code = wire.call(version, &newer).responses[0].partitions[0].error_code;
        assert_eq!(
            code,
            if version >= 9 { ErrorCode::UNKNOWN_LEADER_EPOCH } else { ErrorCode::NONE },
            "version {version}"
        );
    }
}

#[test]
fn a_reader_of_committed_records_learns_that_none_was_aborted() {
    let (topic, mut wire) = begin(1);
    assert_eq!(wire.produce(&topic, 0, &Batch::of(3).encode()).error_code, ErrorCode::NONE);
    for version in wire.versions::<FetchRequest>() {
        for (isolation_level, aborted) in [(0, None), (1, Some(Vec::new()))] {
            let answer = wire.call(version, &FetchRequest { isolation_level, ..topic.fetch(0, 0) });
            let found = &answer.responses[0].partitions[0];
            assert_eq!(found.aborted_transactions, aborted, "version {version}");
            assert_eq!(found.last_stable_offset, 3, "version {version}");
            assert!(found.records.as_ref().is_some_and(|records| !records.is_empty()));
        }
    }
}

/// A session, from the client's side.
struct Session<'a> {
    wire: &'a mut Wire,
    version: i16,
    id: i32,
    epoch: i32,
}

impl<'a> Session<'a> {
    /// A new one for these partitions, and the first answer.
    fn open(wire: &'a mut Wire, version: i16, first: FetchRequest) -> (Self, FetchResponse) {
        let answer = wire.call(version, &FetchRequest { session_id: 0, session_epoch: 0, ..first });
        assert_eq!(answer.error_code, ErrorCode::NONE);
        assert_ne!(answer.session_id, 0, "version {version}");
        (Self { wire, version, id: answer.session_id, epoch: 1 }, answer)
    }

    /// The next request of the session, which says only what changed.
    #[track_caller]
    fn next(&mut self, change: FetchRequest) -> FetchResponse {
        let request = FetchRequest { session_id: self.id, session_epoch: self.epoch, ..change };
        let answer = self.wire.call(self.version, &request);
        assert_eq!((answer.error_code, answer.session_id), (ErrorCode::NONE, self.id), "version {}", self.version);
        self.epoch += 1;
        answer
    }
}

fn nothing() -> FetchRequest {
    FetchRequest { min_bytes: 1, ..Default::default() }
}

fn session_versions(wire: &Wire) -> impl Iterator<Item = i16> + use<> {
    wire.versions::<FetchRequest>().filter(|version| *version >= 7)
}

/// Partitions of a topic that are led by the same broker as partition 0.
fn led_together(wire: &mut Wire, topic: &Topic) -> Vec<i32> {
    let partitions = wire.ask(&topic.metadata()).topics[0].partitions.clone();
    let leader = partitions.iter().find(|found| found.partition_index == 0).unwrap().leader_id;
    let mut led: Vec<i32> =
        partitions.iter().filter(|found| found.leader_id == leader).map(|found| found.partition_index).collect();
    led.sort_unstable();
    led
}

#[test]
fn a_session_tells_only_what_is_new() {
    // Enough partitions that one broker leads at least two.
    let (topic, mut wire) = begin(2 * brokers());
    let led = led_together(&mut wire, &topic);
    let (zero, other) = (led[0], led[1]);
    let mut end = 0;
    let batch = Batch::of(1).encode();
    for version in session_versions(&wire) {
        let mut both = topic.fetch(zero, end);
        both.topics[0].partitions.extend(topic.fetch(other, 0).topics[0].partitions.clone());
        let (mut session, answer) = Session::open(&mut wire, version, both);
        assert_eq!(sizes(&answer), [(zero, 0), (other, 0)], "version {version}: the first answer has all of them");
        let answer = session.next(nothing());
        assert_eq!(sizes(&answer), [], "version {version}: nothing is new");

        assert_eq!(session.wire.produce(&topic, zero, &batch).base_offset, end);
        let answer = session.next(nothing());
        assert_eq!(sizes(&answer), [(zero, batch.len())], "version {version}");
        // The reader has it now and says so.
        end += 1;
        let answer = session.next(topic.fetch(zero, end));
        assert!(sizes(&answer).iter().all(|(_, size)| *size == 0), "version {version}");
        assert_eq!(sizes(&session.next(nothing())), [], "version {version}");

        // A partition that is forgotten is not told of any more.
        let forgotten = ForgottenTopic { topic: topic.name.clone(), topic_id: topic.id, partitions: vec![zero] };
        let answer = session.next(FetchRequest { forgotten_topics_data: vec![forgotten], ..nothing() });
        assert_eq!(sizes(&answer), [], "version {version}");
        assert_eq!(session.wire.produce(&topic, zero, &batch).base_offset, end);
        end += 1;
        assert_eq!(sizes(&session.next(nothing())), [], "version {version}");
        // Until it is taken up again.
        assert_eq!(sizes(&session.next(topic.fetch(zero, end - 1))), [(zero, batch.len())], "version {version}");
    }
}

#[test]
fn an_error_is_told_in_every_answer_of_a_session() {
    let (topic, mut wire) = begin(1);
    for version in session_versions(&wire) {
        let (mut session, answer) = Session::open(&mut wire, version, topic.fetch(9, 0));
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(answer.responses[0].partitions[0].error_code, unknown, "version {version}");
        for _ in 0..2 {
            let answer = session.next(nothing());
            assert_eq!(answer.responses[0].partitions[0].error_code, unknown, "version {version}");
        }
    }
}

#[test]
fn a_session_that_waits_is_answered_when_a_record_arrives() {
    let (topic, mut wire) = begin(1);
    let mut other = Wire::leader(&topic, 0);
    let version = wire.latest::<FetchRequest>();
    let (session, _) = Session::open(&mut wire, version, topic.fetch(0, 0));
    let request = FetchRequest {
        session_id: session.id,
        session_epoch: 1,
        max_wait_ms: 30_000,
        min_bytes: 1,
        ..Default::default()
    };
    let begin = std::time::Instant::now();
    let sent = session.wire.send(version, &request);
    let batch = Batch::of(1).encode();
    assert_eq!(other.produce(&topic, 0, &batch).error_code, ErrorCode::NONE);
    let answer = session.wire.receive::<FetchRequest>(&sent);
    assert_eq!(sizes(&answer), [(0, batch.len())]);
    assert!(begin.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn a_session_that_is_not_there_or_out_of_step_is_refused() {
    let (topic, mut wire) = begin(1);
    for version in session_versions(&wire) {
        let mut ask = |session_id: i32, session_epoch: i32| {
            let request = FetchRequest { session_id, session_epoch, ..topic.fetch(0, 0) };
            let answer = wire.call(version, &request);
            if !answer.error_code.is_ok() {
                assert!(answer.responses.is_empty() && answer.session_id == 0, "version {version}: {answer:?}");
            }
            (answer.error_code, answer.session_id)
        };
        let (not_found, invalid) = (ErrorCode::FETCH_SESSION_ID_NOT_FOUND, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        assert_eq!(ask(0, -1), (ErrorCode::NONE, 0), "version {version}: without a session");
        assert_eq!(ask(123_456_789, 1).0, not_found, "version {version}");
        assert_eq!(ask(0, 1).0, not_found, "version {version}: a session that was never opened");
        let (code, id) = ask(0, 0);
        assert_eq!(code, ErrorCode::NONE);
        assert_eq!(ask(id, 7).0, invalid, "version {version}");
        assert_eq!(ask(id, 1), (ErrorCode::NONE, id), "version {version}: it is still there");
        assert_eq!(ask(id, 1).0, invalid, "version {version}: the same again");
        assert_eq!(ask(id, 2), (ErrorCode::NONE, id), "version {version}");
        // A full request with the id of a session opens another in its place.
        let (code, next) = ask(id, 0);
        assert_eq!(code, ErrorCode::NONE);
        assert_ne!(next, id);
        assert_eq!(ask(id, 3).0, not_found, "version {version}");
        // The last epoch ends it.
        assert_eq!(ask(next, -1), (ErrorCode::NONE, 0), "version {version}");
        assert_eq!(ask(next, 1).0, not_found, "version {version}");
    }
}

/// The names of a session's topics are either names or ids.
#[test]
fn a_session_of_names_takes_no_ids() {
    let (topic, mut wire) = begin(1);
    let (session, _) = Session::open(&mut wire, 12, topic.fetch(0, 0));
    let request = FetchRequest { session_id: session.id, session_epoch: 1, ..topic.fetch(0, 0) };
    let answer = session.wire.call(13, &request);
    assert_eq!(answer.error_code, ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
}

/// How many brokers there are.
fn brokers() -> i32 {
    let answer = Wire::any().ask(&MetadataRequest { topics: Some(Vec::new()), ..Default::default() });
    i32::try_from(answer.brokers.len()).unwrap()
}
