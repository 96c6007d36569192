use std::sync::Arc;

use super::super::answers::{Unprepared, names};
use super::super::fetch_buffer::Taken;
use super::super::records::Records;
use super::super::session::Session;
use super::super::subscription::Leader;
use super::*;
use crate::kafka::cluster::Metadata;
use crate::kafka::config::{Config, IsolationLevel};
use crate::kafka::protocol::Spares;
use crate::kafka::protocol::messages::{
    AbortedTransaction, FetchResponse, FetchableTopicResponse, ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
    PartitionData,
};
use crate::kafka::record::batch::put;
use crate::kafka::record::builder::{BatchBuilder, stamp};
use crate::kafka::record::compression::Compression;

mod replicas;
mod stall;
mod truncation;

const NODE: i32 = 1;

fn settings() -> ConsumerSettings {
    Config::new().set("bootstrap.servers", "localhost:9092").unwrap().consumer().unwrap()
}

fn place(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

/// Holds partitions 0.. of topic t at offset 0, all led by `NODE`.
struct Fixture {
    core: Core,
    settings: ConsumerSettings,
    now: Instant,
}

impl Fixture {
    fn new(partitions: i32) -> Self {
        let (settings, now) = (settings(), Instant::now());
        let mut core = Core::new(&settings, Arc::new(Metadata::default()), now);
        for index in 0..partitions {
            core.assignment.add(place(index), Position::At { offset: 0, leader_epoch: -1 });
            core.assignment.get_mut(&place(index)).unwrap().leader = Some(Leader { node: NODE, epoch: 0 });
        }
        core.leaders = 1;
        Self { core, settings, now }
    }

    fn plan(&mut self) -> Plan {
        self.core.plan(NODE, 0, self.now, &self.settings)
    }

    fn fetch(&mut self) -> Vec<Asked> {
        match self.plan() {
            Plan::Do(Work::Fetch { asked, .. }) => asked,
            other => panic!("{other:?}"),
        }
    }

    /// All that follows on an answer.
    fn answer(&mut self, asked: Vec<Asked>, parts: Vec<PartitionData>) -> bool {
        let answers = scan(asked, response(parts));
        let refresh = self.core.note(NODE, &answers, self.now, &self.settings);
        self.publish(answers);
        refresh
    }

    fn publish(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            if let Some(mut rest) = Unprepared::of(answer) {
                let items = rest.prepare(true, &mut usize::MAX.clone(), &mut Spares::new(32, 0));
                self.core.publish(NODE, &rest.asked, items, rest.is_done());
            }
        }
    }

    fn take(&mut self) -> (Vec<(i32, i64)>, Option<Event>) {
        let Taken { runs, count, event } = self.core.buffer.take(1000, &mut self.core.assignment);
        let records = Records::new(runs, count);
        let seen = records.iter().map(|record| (record.partition(), record.offset())).collect();
        (seen, event.map(|(_, event)| event))
    }

    fn held(&mut self, partition: i32) -> &mut super::super::subscription::Held {
        self.core.assignment.get_mut(&place(partition)).unwrap()
    }
}

fn batch(base: i64, count: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Vec::new());
    for _ in 0..count {
        builder.append(Some(b"k"), Some(b"value"), &[], 7).unwrap();
    }
    let mut bytes = builder.close(Compression::None).unwrap();
    put(&mut bytes, 0, base.to_be_bytes());
    stamp(&mut bytes, -1, -1, -1);
    bytes
}

fn data(partition: i32, records: Vec<u8>) -> PartitionData {
    PartitionData { partition_index: partition, records: Some(records.into()), ..Default::default() }
}

fn refusal(partition: i32, code: ErrorCode) -> PartitionData {
    PartitionData { partition_index: partition, error_code: code, ..Default::default() }
}

fn response(partitions: Vec<PartitionData>) -> FetchResponse {
    let topic = FetchableTopicResponse { topic: "t".to_owned(), partitions, ..Default::default() };
    FetchResponse { responses: vec![topic], ..Default::default() }
}

fn scan(asked: Vec<Asked>, response: FetchResponse) -> Vec<Answer> {
    scan_with(asked, response, IsolationLevel::ReadUncommitted)
}

fn scan_with(asked: Vec<Asked>, response: FetchResponse, isolation: IsolationLevel) -> Vec<Answer> {
    let names = names(&asked, &response);
    crate::kafka::consumer::answers::scan(asked, response, &names, isolation, &mut Session::default())
}

fn offsets(partition: i32, range: std::ops::Range<i64>) -> Vec<(i32, i64)> {
    range.map(|offset| (partition, offset)).collect()
}

#[test]
fn the_next_fetch_goes_on_before_records_are_looked_at() {
    let mut fixture = Fixture::new(1);
    let first = fixture.fetch();
    assert_eq!(first[0].offset, 0);
    let answers = scan(first, response(vec![data(0, [batch(0, 3), batch(3, 2)].concat())]));
    fixture.core.note(NODE, &answers, fixture.now, &fixture.settings);
    let second = fixture.fetch();
    assert_eq!(second[0].offset, 5);
    fixture.publish(answers);
    fixture.answer(second, vec![data(0, batch(5, 1))]);
    assert_eq!(fixture.take().0, offsets(0, 0..6));
    assert_eq!(fixture.held(0).position.offset(), Some(6));
}

#[test]
fn a_new_leaders_fetcher_waits_for_what_the_old_ones_has_not_published() {
    let mut fixture = Fixture::new(1);
    let answers = scan(fixture.fetch(), response(vec![data(0, batch(0, 3))]));
    fixture.core.note(NODE, &answers, fixture.now, &fixture.settings);
    fixture.held(0).leader = Some(Leader { node: 2, epoch: 1 });
    let (now, settings) = (fixture.now, settings());
    assert!(matches!(fixture.core.plan(2, 0, now, &settings), Plan::Wait(None)));
    assert!(matches!(fixture.plan(), Plan::Useless));
    fixture.publish(answers);
    match fixture.core.plan(2, 0, now, &settings) {
        Plan::Do(Work::Fetch { asked, .. }) => assert_eq!((asked[0].offset, asked[0].leader_epoch), (3, 1)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_arrives_for_a_position_that_was_left_is_dropped() {
    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    fixture.core.assignment.relocate(&place(0), Position::At { offset: 40, leader_epoch: -1 });
    fixture.answer(asked, vec![data(0, batch(0, 3))]);
    assert_eq!(fixture.take().0, []);
    assert_eq!(fixture.fetch()[0].offset, 40);
}

#[test]
fn records_before_the_position_and_batches_before_it_are_skipped() {
    let mut fixture = Fixture::new(1);
    fixture.core.assignment.relocate(&place(0), Position::At { offset: 7, leader_epoch: -1 });
    let asked = fixture.fetch();
    fixture.answer(asked, vec![data(0, [batch(0, 5), batch(5, 4)].concat())]);
    assert_eq!(fixture.take().0, offsets(0, 7..9));
}

#[test]
fn control_batches_and_empty_ones_are_stepped_over() {
    let mut fixture = Fixture::new(1);
    let mut control = batch(2, 1);
    put(&mut control, 21, 0x30i16.to_be_bytes());
    stamp(&mut control, 5, 0, -1);
    let asked = fixture.fetch();
    fixture.answer(asked, vec![data(0, [batch(0, 2), control].concat())]);
    assert_eq!(fixture.take().0, offsets(0, 0..2));
    assert_eq!(fixture.held(0).position.offset(), Some(3));
}

#[test]
fn a_partition_that_comes_twice_counts_once_and_one_not_asked_for_not_at_all() {
    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    fixture.answer(asked, vec![data(0, batch(0, 2)), data(0, batch(0, 2)), data(9, batch(0, 2))]);
    assert_eq!(fixture.take().0, offsets(0, 0..2));
}

#[test]
fn a_corrupt_batch_stops_its_partition_behind_the_good_ones_and_others_flow() {
    let mut fixture = Fixture::new(2);
    let mut bad = batch(2, 2);
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let asked = fixture.fetch();
    let answers = scan(asked, response(vec![data(0, [batch(0, 2), bad].concat()), data(1, batch(0, 1))]));
    fixture.core.note(NODE, &answers, fixture.now, &fixture.settings);
    let ahead = fixture.fetch();
    fixture.publish(answers);
    assert_eq!(fixture.take().0, offsets(0, 0..2), "up to the failure");
    fixture.answer(ahead, vec![data(0, batch(4, 2)), data(1, batch(1, 1))]);
    let (records, event) = fixture.take();
    assert_eq!(records, []);
    let Some(Event::Failed(error)) = event else { panic!("{event:?}") };
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some("t"), Some(0), Some(2)));
    assert_eq!(fixture.take(), (offsets(1, 0..2), None), "the other partition, and nothing from behind the failure");
    assert_eq!(fixture.held(0).position.offset(), Some(2));
    assert_eq!(fixture.fetch().len(), 1, "only the partition that is whole");
    fixture.held(1).release();

    fixture.core.assignment.relocate(&place(0), Position::At { offset: 4, leader_epoch: -1 });
    let asked = fixture.fetch();
    assert_eq!(asked.len(), 2);
    fixture.answer(asked, vec![data(0, batch(4, 1))]);
    assert_eq!(fixture.take().0, offsets(0, 4..5), "a seek takes it up again");
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OutOfRange(one), Self::OutOfRange(other)) => one == other,
            _ => false,
        }
    }
}

#[test]
fn batches_that_go_backwards_are_corrupt() {
    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    fixture.answer(asked, vec![data(0, [batch(0, 3), batch(1, 9)].concat())]);
    assert_eq!(fixture.take().0, offsets(0, 0..3));
    assert!(matches!(fixture.take().1, Some(Event::Failed(error)) if error.kind() == ErrorKind::Corrupt));
}

#[test]
fn a_batch_that_was_cut_off_is_asked_for_with_more_room() {
    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    let room = asked[0].max_bytes;
    let mut cut = batch(0, 9);
    cut.truncate(70);
    fixture.answer(asked, vec![data(0, cut.clone())]);
    let asked = fixture.fetch();
    assert_eq!((asked[0].offset, asked[0].max_bytes), (0, room * 2));
    fixture.answer(asked, vec![data(0, cut.clone())]);
    for _ in 0..32 {
        let Plan::Do(Work::Fetch { asked, .. }) = fixture.plan() else { break };
        fixture.answer(asked, vec![data(0, cut.clone())]);
    }
    let (_, event) = fixture.take();
    assert!(matches!(event, Some(Event::Failed(error)) if error.to_string().contains("receive.message.max.bytes")));
}

#[test]
fn stale_leadership_refreshes_metadata_and_backs_off_only_that_partition() {
    for code in [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::FENCED_LEADER_EPOCH,
        ErrorCode::UNKNOWN_LEADER_EPOCH,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    ] {
        let mut fixture = Fixture::new(2);
        let asked = fixture.fetch();
        assert!(fixture.answer(asked, vec![refusal(0, code), data(1, batch(0, 1))]));
        let asked = fixture.fetch();
        assert_eq!(asked.iter().map(|asked| asked.partition.partition).collect::<Vec<_>>(), [1]);
        fixture.answer(asked, vec![data(1, vec![])]);
        fixture.now += fixture.settings.client.retry_backoff;
        assert_eq!(fixture.fetch().len(), 2);
        assert_eq!(fixture.take(), (offsets(1, 0..1), None));
    }
}

#[test]
fn an_offset_out_of_range_comes_out_behind_what_was_fetched_before() {
    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    fixture.answer(asked, vec![data(0, batch(0, 2))]);
    let asked = fixture.fetch();
    fixture.answer(asked, vec![refusal(0, ErrorCode::OFFSET_OUT_OF_RANGE)]);
    assert_eq!(fixture.take(), (offsets(0, 0..2), None));
    assert_eq!(fixture.take(), (vec![], Some(Event::OutOfRange(2))));
    assert!(matches!(fixture.plan(), Plan::Wait(None)), "nothing is fetched until the policy was applied");
}

#[test]
fn a_missing_right_is_told_once_and_tried_again_later() {
    let mut fixture = Fixture::new(1);
    for _ in 0..2 {
        let asked = fixture.fetch();
        fixture.answer(asked, vec![refusal(0, ErrorCode::TOPIC_AUTHORIZATION_FAILED)]);
        assert!(matches!(fixture.plan(), Plan::Wait(Some(_))));
        fixture.now += REFUSED_RETRY;
    }
    assert_eq!(fixture.core.errors.len(), 1);
    assert_eq!(fixture.core.errors[0].kind(), ErrorKind::Refused);
}

/// A fetcher once went round and round for one that another fetcher held.
#[test]
fn a_backoff_that_is_over_wakes_nobody_up() {
    let mut fixture = Fixture::new(1);
    let (now, place) = (fixture.now, place(0));
    let held = fixture.core.assignment.get_mut(&place).unwrap();
    held.not_before = Some(now);
    held.holder = Some((NODE + 1, 1));
    assert!(matches!(fixture.plan(), Plan::Wait(None)));
    let held = fixture.core.assignment.get_mut(&place).unwrap();
    held.not_before = Some(now + REFUSED_RETRY);
    assert!(matches!(fixture.plan(), Plan::Wait(Some(until)) if until == now + REFUSED_RETRY));
}

#[test]
fn an_unknown_error_code_ends_the_partition_with_an_error() {
    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    fixture.answer(asked, vec![refusal(0, ErrorCode(999))]);
    assert!(matches!(fixture.take().1, Some(Event::Failed(error)) if error.to_string().contains("unknown error 999")));
    assert!(matches!(fixture.plan(), Plan::Wait(None)));
}

#[test]
fn prefetching_stops_at_its_bound_and_goes_on_when_records_are_taken() {
    let mut fixture = Fixture::new(1);
    fixture.settings.prefetch_bytes = 1000;
    let mut next = 0;
    while let Plan::Do(Work::Fetch { asked, max_bytes }) = fixture.plan() {
        assert_eq!(max_bytes, 500);
        fixture.answer(asked, vec![data(0, batch(next, 10))]);
        next += 10;
        assert!(next < 1000, "no end");
    }
    assert!(fixture.core.buffer.bytes_from(NODE) > 500);
    assert_eq!(fixture.take().0.len() as i64, next);
    assert_eq!(fixture.fetch()[0].offset, next);
}

#[test]
fn undecoded_bytes_count_against_the_bound() {
    let mut fixture = Fixture::new(1);
    fixture.settings.prefetch_bytes = 1000;
    let (now, settings) = (fixture.now, fixture.settings.clone());
    assert!(matches!(fixture.core.plan(NODE, 501, now, &settings), Plan::Wait(None)));
    assert!(matches!(fixture.core.plan(NODE, 500, now, &settings), Plan::Do(_)));
}

#[test]
fn paused_partitions_are_not_fetched_and_give_way_when_they_fill_the_buffer() {
    let mut fixture = Fixture::new(2);
    fixture.settings.prefetch_bytes = 1000;
    let asked = fixture.fetch();
    fixture.answer(asked, vec![data(0, batch(0, 60)), data(1, vec![])]);
    fixture.held(1).paused = true;
    assert!(matches!(fixture.plan(), Plan::Wait(None)), "full, and someone may take it");
    fixture.held(1).paused = false;
    fixture.held(0).paused = true;
    let asked = fixture.fetch();
    assert_eq!(asked.iter().map(|asked| asked.partition.partition).collect::<Vec<_>>(), [1]);
    fixture.answer(asked, vec![]);
    fixture.held(0).paused = false;
    let asked = fixture.fetch();
    let again = asked.iter().find(|asked| asked.partition == place(0)).unwrap();
    assert_eq!(again.offset, 0, "from where the application is");
}

#[test]
fn the_emptiest_partition_is_asked_for_first() {
    let mut fixture = Fixture::new(3);
    let asked = fixture.fetch();
    fixture.answer(asked, vec![data(0, batch(0, 5)), data(1, batch(0, 2)), data(2, vec![])]);
    let order = |asked: &[Asked]| asked.iter().map(|asked| asked.partition.partition).collect::<Vec<_>>();
    let asked = fixture.fetch();
    assert_eq!(order(&asked), [2, 1, 0]);
}

#[test]
fn ends_of_the_log_are_asked_for_before_records() {
    let mut fixture = Fixture::new(2);
    fixture.core.assignment.relocate(&place(0), Position::End(LogEnd::End));
    let Plan::Do(Work::List(asked)) = fixture.plan() else { panic!() };
    assert_eq!(asked.len(), 1);
    let answer = |error_code, offset| ListOffsetsResponse {
        topics: vec![ListOffsetsTopicResponse {
            name: "t".to_owned(),
            partitions: vec![ListOffsetsPartitionResponse {
                partition_index: 0,
                error_code,
                offset,
                leader_epoch: 4,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let (now, settings) = (fixture.now, settings());
    assert!(fixture.core.listed(asked.clone(), &answer(ErrorCode::NOT_LEADER_OR_FOLLOWER, -1), now, &settings));
    assert!(matches!(fixture.plan(), Plan::Do(Work::Fetch { .. })), "the other one meanwhile");
    fixture.now += settings.client.retry_backoff;
    assert!(matches!(fixture.plan(), Plan::Do(Work::List(_))));
    assert!(!fixture.core.listed(asked, &answer(ErrorCode::NONE, 17), now, &settings));
    assert_eq!(fixture.held(0).position, Position::At { offset: 17, leader_epoch: 4 });
}

#[test]
fn a_partition_that_the_answer_forgets_is_asked_for_again() {
    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    fixture.answer(asked, vec![]);
    assert!(matches!(fixture.plan(), Plan::Wait(Some(_))));
    fixture.now += fixture.settings.client.retry_backoff;
    assert_eq!(fixture.fetch()[0].offset, 0);
}

/// One record of so many equal bytes: next to nothing when it travels.
#[cfg(feature = "compression")]
fn packed(base: i64, size: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Vec::new());
    builder.append(None, Some(&vec![7; size]), &[], 7).unwrap();
    let mut bytes = builder.close(Compression::Lz4).unwrap();
    assert!(bytes.len() < size / 50);
    put(&mut bytes, 0, base.to_be_bytes());
    stamp(&mut bytes, -1, -1, -1);
    bytes
}

/// Fetches `partition`, whose answer is four batches that unfold to 300 kB each where 400 kB may wait, and publishes the
/// first two, which is as much as is unfolded at once.
#[cfg(feature = "compression")]
fn half_unfolded(partitions: i32) -> (Fixture, Unprepared, Spares) {
    let mut fixture = Fixture::new(partitions);
    fixture.settings.prefetch_bytes = 400_000;
    let asked = fixture.fetch().into_iter().filter(|asked| asked.partition == place(0)).collect();
    let records = (0..4).flat_map(|base| packed(base, 300_000)).collect();
    let mut answers = scan(asked, response(vec![data(0, records)]));
    fixture.core.note(NODE, &answers, fixture.now, &fixture.settings);
    let (mut rest, mut spares) = (Unprepared::of(answers.remove(0)).unwrap(), Spares::new(32, 1 << 20));
    let items = rest.prepare(true, &mut unfolded_at_once(&fixture.settings), &mut spares);
    assert!(items.len() == 2 && !rest.is_done());
    assert!(fixture.core.publish(NODE, &rest.asked, items, false));
    (fixture, rest, spares)
}

#[cfg(feature = "compression")]
impl Fixture {
    fn room(&mut self, rest: &Unprepared) -> Option<bool> {
        self.core.room(NODE, &rest.asked, self.now, &self.settings)
    }
}

#[test]
#[cfg(feature = "compression")]
fn what_unfolds_beyond_the_buffer_waits_until_that_is_handed_over() {
    let (mut fixture, mut rest, mut spares) = half_unfolded(1);
    assert!(fixture.held(0).holder.is_some(), "the answer is not dealt with yet");
    assert_eq!(fixture.room(&rest), Some(false));
    assert_eq!(fixture.take().0, offsets(0, 0..2));
    assert!(fixture.core.buffer.freed(usize::MAX), "the fetcher must be told");
    assert_eq!(fixture.room(&rest), Some(true));
    let items = rest.prepare(true, &mut unfolded_at_once(&fixture.settings), &mut spares);
    assert!(items.len() == 2 && rest.is_done());
    fixture.core.publish(NODE, &rest.asked, items, true);
    assert!(fixture.held(0).holder.is_none());
    assert_eq!(fixture.take().0, offsets(0, 2..4));
}

#[test]
#[cfg(feature = "compression")]
fn a_broken_batch_comes_behind_the_parts_before_it() {
    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    let mut broken = packed(2, 300_000);
    *broken.last_mut().unwrap() ^= 1;
    let records = [packed(0, 300_000), packed(1, 300_000), broken, packed(3, 300_000)].concat();
    let mut answers = scan(asked, response(vec![data(0, records)]));
    fixture.core.note(NODE, &answers, fixture.now, &fixture.settings);
    let mut rest = Unprepared::of(answers.remove(0)).unwrap();
    let mut spares = Spares::new(32, 0);
    for step in 0.. {
        let items = rest.prepare(true, &mut 1, &mut spares);
        fixture.core.publish(NODE, &rest.asked, items, rest.is_done());
        if rest.is_done() {
            assert_eq!(step, 2);
            break;
        }
    }
    let (records, event) = fixture.take();
    assert_eq!((records, event.is_none()), (offsets(0, 0..2), true));
    assert!(matches!(fixture.take().1, Some(Event::Failed(_))));
    assert!(fixture.held(0).stopped);
}

#[test]
#[cfg(feature = "compression")]
fn nobody_waits_for_room_for_what_is_not_wanted_any_more() {
    let (mut fixture, rest, _) = half_unfolded(1);
    fixture.core.assignment.relocate(&place(0), Position::At { offset: 3, leader_epoch: -1 });
    assert_eq!(fixture.room(&rest), None);
    let (mut fixture, rest, _) = half_unfolded(1);
    fixture.core.assignment.remove(&place(0));
    assert_eq!(fixture.room(&rest), None);
}

#[test]
#[cfg(feature = "compression")]
fn an_end_of_the_log_is_not_asked_for_after_a_wait_for_room() {
    let (mut fixture, rest, _) = half_unfolded(2);
    fixture.held(1).release();
    fixture.core.assignment.relocate(&place(1), Position::End(LogEnd::End));
    assert_eq!(fixture.room(&rest), Some(true));
    fixture.held(1).not_before = Some(fixture.now + Duration::from_secs(1));
    assert_eq!(fixture.room(&rest), Some(false), "it cannot be asked for now");
}

/// An application may pause everything after each poll and go on a moment later.
#[test]
#[cfg(feature = "compression")]
fn what_is_paused_keeps_its_records_unless_another_partition_has_none() {
    let (mut fixture, rest, _) = half_unfolded(2);
    fixture.held(1).release();
    fixture.held(0).paused = true;
    fixture.held(1).paused = true;
    assert_eq!(fixture.room(&rest), Some(false));
    fixture.held(0).paused = false;
    assert_eq!(fixture.take().0, offsets(0, 0..2));

    let (mut fixture, rest, _) = half_unfolded(2);
    fixture.held(1).release();
    fixture.held(0).paused = true;
    assert_eq!(fixture.room(&rest), None, "partition 1 would wait for ever");
    assert_eq!(fixture.take().0, []);
    assert_eq!(fixture.held(0).position.offset(), Some(0));
    assert!(fixture.room(&rest).is_none(), "and what comes behind is dropped, too");
    fixture.held(0).paused = false;
    assert!(fixture.fetch().iter().any(|asked| asked.partition == place(0) && asked.offset == 0));
}

/// Blocks of 4 MiB, as franz-go writes them, of which a small batch fills next to nothing.
#[test]
#[cfg(feature = "compression")]
fn a_small_batch_holds_no_large_buffer() {
    use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
    let plain = batch(0, 2000);
    let mut encoder = FrameEncoder::with_frame_info(FrameInfo::new().block_size(BlockSize::Max4MB), Vec::new());
    std::io::Write::write_all(&mut encoder, &plain[61..]).unwrap();
    let mut bytes = [&plain[..61], &encoder.finish().unwrap()].concat();
    let length = bytes.len() as i32 - 12;
    put(&mut bytes, 8, length.to_be_bytes());
    put(&mut bytes, 21, 3i16.to_be_bytes());
    stamp(&mut bytes, -1, -1, -1);

    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    let answer = scan(asked, response(vec![data(0, bytes)])).remove(0);
    let mut spares = Spares::new(32, 1 << 30);
    let items = Unprepared::of(answer).unwrap().prepare(true, &mut usize::MAX.clone(), &mut spares);
    let [Item::Records { batch, left: 2000, .. }] = &items[..] else { panic!("{items:?}") };
    assert!(batch.buffer().capacity() <= 2 * batch.size(), "{} for {}", batch.buffer().capacity(), batch.size());
    assert!(spares.take().capacity() > 2 * batch.size(), "the large one is for the next batch");
}

/// Java, too, sees a fetch that starts behind an abort marker in the same answer as one that starts before it.
#[test]
fn records_of_aborted_transactions_are_passed_over() {
    let transactional = |base, count, attributes: u16| {
        let mut bytes = batch(base, count);
        put(&mut bytes, 21, attributes.to_be_bytes());
        stamp(&mut bytes, 9, 0, 0);
        bytes
    };
    let marker = {
        let mut builder = BatchBuilder::new(Vec::new());
        builder.append(Some(&[0, 0, 0, 0]), Some(&[0, 0, 0, 0, 0, 0]), &[], 7).unwrap();
        let mut bytes = builder.close(Compression::None).unwrap();
        put(&mut bytes, 0, 4i64.to_be_bytes());
        put(&mut bytes, 21, 0x30u16.to_be_bytes());
        stamp(&mut bytes, 9, 0, -1);
        bytes
    };
    let log = [batch(0, 2), transactional(2, 2, 0x10), marker, transactional(5, 1, 0x10), transactional(6, 3, 0x10)];
    let answered = |isolation, from: i64| {
        let mut fixture = Fixture::new(1);
        fixture.core.assignment.relocate(&place(0), Position::At { offset: from, leader_epoch: -1 });
        let aborted = |first_offset| AbortedTransaction { producer_id: 9, first_offset };
        let data = PartitionData {
            high_watermark: 9,
            last_stable_offset: 9,
            aborted_transactions: Some(vec![aborted(2), aborted(6)]),
            ..data(0, log.concat())
        };
        let answers = scan_with(fixture.fetch(), response(vec![data]), isolation);
        fixture.core.note(NODE, &answers, fixture.now, &fixture.settings);
        fixture.publish(answers);
        let taken = fixture.take().0;
        assert_eq!(fixture.held(0).position.offset(), Some(9));
        taken
    };
    assert_eq!(answered(IsolationLevel::ReadCommitted, 0), [offsets(0, 0..2), offsets(0, 5..6)].concat());
    assert_eq!(answered(IsolationLevel::ReadCommitted, 5), offsets(0, 5..6));
    assert_eq!(answered(IsolationLevel::ReadCommitted, 3), offsets(0, 5..6));
    assert_eq!(answered(IsolationLevel::ReadUncommitted, 0), [offsets(0, 0..4), offsets(0, 5..9)].concat());
}
