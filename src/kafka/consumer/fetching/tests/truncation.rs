//! Logs that are not the ones that were read.

use super::*;
use crate::kafka::config::OffsetReset;
use crate::kafka::protocol::messages::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderPartitionResult, OffsetForLeaderTopicResult,
};

/// Reads records 0 to 4 of epoch 0, of which `taken` are handed over; then there is a new leader.
fn under_a_new_leader(taken: usize) -> Fixture {
    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    let first = if taken == 5 { vec![batch(0, 5)] } else { vec![batch(0, 3), batch(3, 2)] };
    fixture
        .answer(asked, vec![data(0, first.into_iter().map(|bytes| of_epoch(bytes, 0)).collect::<Vec<_>>().concat())]);
    let Taken { count, .. } = fixture.core.buffer.take(taken, &mut fixture.core.assignment);
    assert_eq!(count, taken);
    fixture.held(0).leader = Some(Leader { node: NODE, epoch: 3 });
    fixture
}

/// The checksum does not cover the leader epoch.
fn of_epoch(mut bytes: Vec<u8>, epoch: i32) -> Vec<u8> {
    put(&mut bytes, 12, epoch.to_be_bytes());
    bytes
}

fn check(fixture: &mut Fixture) -> Vec<Asked> {
    match fixture.plan() {
        Plan::Do(Work::Check(asked)) => asked,
        other => panic!("{other:?}"),
    }
}

/// A new leader says where the epoch asked for ends.
fn ends(fixture: &mut Fixture, asked: Vec<Asked>, code: ErrorCode, epoch: i32, end: i64) -> bool {
    let result =
        OffsetForLeaderPartitionResult { error_code: code, partition: 0, leader_epoch: epoch, end_offset: end };
    let topic = OffsetForLeaderTopicResult { topic: "t".to_owned(), partitions: vec![result] };
    let response = OffsetForLeaderEpochResponse { topics: vec![topic], ..Default::default() };
    fixture.core.checked(NODE, asked, Some(&response), fixture.now, &fixture.settings)
}

#[test]
fn a_new_leader_confirms_what_was_read_before_it_is_fetched_from() {
    let mut fixture = under_a_new_leader(5);
    let asked = check(&mut fixture);
    assert_eq!((asked[0].offset, asked[0].last_epoch, asked[0].leader_epoch), (5, 0, 3));
    assert!(ends(&mut fixture, asked, ErrorCode::FENCED_LEADER_EPOCH, -1, -1), "metadata is out of date");
    assert!(matches!(fixture.plan(), Plan::Wait(Some(_))));
    fixture.now += Duration::from_secs(1);
    let asked = check(&mut fixture);
    assert!(!ends(&mut fixture, asked, ErrorCode::NONE, 0, 7));
    let asked = fixture.fetch();
    assert_eq!((asked[0].offset, asked[0].last_epoch), (5, 0));
    fixture.answer(asked, vec![data(0, of_epoch(batch(5, 1), 3))]);
    assert_eq!(fixture.fetch()[0].last_epoch, 3);
    assert_eq!(fixture.take().0, offsets(0, 5..6));
}

/// No batch tells of an epoch in which nothing was written, but an empty log's end does.
#[test]
fn an_epoch_that_left_no_trace_is_no_truncation() {
    let mut fixture = under_a_new_leader(5);
    fixture.core.assignment.relocate(&place(0), Position::At { offset: 5, leader_epoch: 2 });
    let asked = check(&mut fixture);
    ends(&mut fixture, asked, ErrorCode::NONE, 0, 5);
    let asked = fixture.fetch();
    assert_eq!((asked[0].offset, asked[0].last_epoch), (5, 0));
}

#[test]
fn a_log_that_was_cut_off_is_gone_on_with_where_it_parted() {
    let mut fixture = under_a_new_leader(5);
    let asked = check(&mut fixture);
    ends(&mut fixture, asked, ErrorCode::NONE, 0, 2);
    assert_eq!(fixture.held(0).position, Position::At { offset: 2, leader_epoch: 0 });
    // The leader is asked about that, too, before it is fetched from.
    let asked = check(&mut fixture);
    ends(&mut fixture, asked, ErrorCode::NONE, 0, 2);
    assert_eq!(fixture.fetch()[0].offset, 2);

    // The leader knows nothing of the epoch: the policy decides where to.
    let mut fixture = under_a_new_leader(5);
    let asked = check(&mut fixture);
    ends(&mut fixture, asked, ErrorCode::NONE, -1, -1);
    assert_eq!(fixture.held(0).position, Position::End(LogEnd::End));
}

#[test]
fn with_no_policy_a_log_that_was_cut_off_is_an_error_that_names_both_offsets() {
    let mut fixture = under_a_new_leader(5);
    fixture.settings.auto_offset_reset = OffsetReset::None;
    let asked = check(&mut fixture);
    ends(&mut fixture, asked, ErrorCode::NONE, 0, 2);
    let (records, Some(Event::Failed(error))) = fixture.take() else { panic!("no error") };
    assert_eq!((records.len(), error.kind(), error.offset()), (0, ErrorKind::LogTruncation, Some(5)));
    assert!(error.to_string().contains("offset 5") && error.to_string().contains("offset 2"), "{error}");
    assert!(matches!(fixture.plan(), Plan::Wait(None)), "nothing more without a seek");
    fixture.core.assignment.relocate(&place(0), Position::At { offset: 2, leader_epoch: -1 });
    assert_eq!(fixture.fetch()[0].offset, 2);
}

#[test]
fn what_was_only_fetched_ahead_of_a_cut_is_fetched_again_and_nothing_else_happens() {
    let mut fixture = under_a_new_leader(3);
    let asked = check(&mut fixture);
    assert_eq!(asked[0].offset, 5);
    ends(&mut fixture, asked, ErrorCode::NONE, 0, 4);
    assert_eq!(fixture.take().0, [], "what is not in the log any more is not handed over");
    let asked = check(&mut fixture);
    assert_eq!(asked[0].offset, 3, "now the position itself is looked at");
    ends(&mut fixture, asked, ErrorCode::NONE, 0, 4);
    let asked = fixture.fetch();
    fixture.answer(asked, vec![data(0, [of_epoch(batch(3, 1), 0), of_epoch(batch(4, 2), 3)].concat())]);
    assert_eq!(fixture.take().0, offsets(0, 3..6));
}

#[test]
fn a_fetch_that_is_answered_with_a_diverging_epoch_is_treated_alike() {
    let mut fixture = under_a_new_leader(5);
    fixture.held(0).proven = 3;
    let asked = fixture.fetch();
    let diverging = EpochEndOffset { epoch: 0, end_offset: 4 };
    fixture.answer(asked, vec![PartitionData { diverging_epoch: diverging, ..data(0, Vec::new()) }]);
    assert_eq!(fixture.held(0).position, Position::At { offset: 4, leader_epoch: 0 });
}

#[test]
fn what_cannot_be_checked_is_taken_as_it_is() {
    let mut fixture = under_a_new_leader(5);
    let asked = check(&mut fixture);
    fixture.core.checked(NODE, asked, None, fixture.now, &fixture.settings);
    assert_eq!(fixture.fetch()[0].offset, 5);
}

#[test]
fn retention_that_overtook_the_position_is_counted() {
    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    fixture.answer(asked, vec![refusal(0, ErrorCode::OFFSET_OUT_OF_RANGE)]);
    let (_, Some(Event::OutOfRange(0))) = fixture.take() else { panic!("no event") };
    fixture.core.assignment.out_of_range(&place(0), 0, OffsetReset::Earliest).unwrap();
    let Plan::Do(Work::List(asked)) = fixture.plan() else { panic!("no question") };
    let answer = ListOffsetsPartitionResponse { offset: 42, leader_epoch: 1, ..Default::default() };
    let topic = ListOffsetsTopicResponse { name: "t".to_owned(), partitions: vec![answer] };
    let response = ListOffsetsResponse { topics: vec![topic], ..Default::default() };
    fixture.core.listed(asked, &response, fixture.now, &fixture.settings);
    assert_eq!((fixture.held(0).position.offset(), fixture.core.gone), (Some(42), 42));
}

#[test]
fn a_topic_made_anew_is_noticed_once_also_if_some_broker_is_behind() {
    let mut fixture = Fixture::new(1);
    let metadata = |id: u8| {
        let partitions =
            vec![crate::kafka::cluster::Partition { leader: Some(NODE), leader_epoch: 0, replicas: Box::default() }];
        let topic =
            crate::kafka::cluster::Topic { id: Uuid([id; 16]), error: ErrorCode::NONE, internal: false, partitions };
        Arc::new(Metadata { topics: [("t".to_owned(), topic)].into(), ..Metadata::default() })
    };
    let mut positions = Vec::new();
    for id in [1, 1, 2, 1, 2] {
        fixture.core.metadata = metadata(id);
        fixture.core.apply_metadata(OffsetReset::Earliest);
        positions.push(fixture.held(0).position.offset());
        if fixture.held(0).position.offset().is_none() {
            fixture.core.assignment.relocate(&place(0), Position::At { offset: 7, leader_epoch: 0 });
        }
    }
    assert_eq!(positions, [Some(0), Some(0), None, Some(7), Some(7)]);
    assert_eq!(fixture.fetch()[0].topic_id, Uuid([2; 16]));
}
