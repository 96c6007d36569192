use super::super::offsets::{LogEnd, Position};
use super::membership::Step;
use super::*;
use crate::kafka::config::Config;
use crate::kafka::error::ErrorKind;
use crate::kafka::protocol::messages::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use std::sync::mpsc;

const SECOND: Duration = Duration::from_secs(1);

fn settings(extra: &[(&str, &str)]) -> ConsumerSettings {
    let basic = [("bootstrap.servers", "localhost:9092"), ("group.id", "g"), ("heartbeat.interval.ms", "2000")];
    let mut config = Config::new();
    for (name, value) in basic.iter().chain(extra) {
        config = config.set(name, value).unwrap();
    }
    config.consumer().unwrap()
}

/// A member of generation 1 that holds t-0 and t-1, with a known coordinator.
fn member(now: Instant) -> Group {
    join(Group::new("g", &settings(&[]), now), now)
}

fn join(mut group: Group, now: Instant) -> Group {
    group.membership.polling(true, now);
    group.membership.subscribe(&topics(), now);
    let Some(Step::Join(attempt)) = group.membership.step(&nothing(), &topics(), |_| None, now) else { panic!() };
    let member = group.membership.classic().unwrap();
    member.joined(attempt, 1, "m".to_owned(), now);
    member.synced(attempt, vec![place(0), place(1)], None);
    assert!(matches!(group.membership.step(&nothing(), &topics(), |_| None, now), Some(Step::Assign(_))));
    group.coordinator_is(7);
    group
}

fn topics() -> BTreeSet<String> {
    ["t".to_owned()].into()
}

fn nothing() -> Assignment {
    Assignment::new(1)
}

fn holding() -> Assignment {
    let mut held = nothing();
    held.add(place(0), Position::Committed);
    held
}

/// Whom the commits of [`member`] name.
fn sent() -> Identity {
    Identity { generation: 1, member_id: "m".to_owned() }
}

fn place(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn offsets(list: &[(i32, i64)]) -> Vec<(TopicPartition, Committed)> {
    list.iter()
        .map(|(partition, offset)| (place(*partition), Committed { offset: *offset, leader_epoch: -1 }))
        .collect()
}

fn in_a_minute(now: Instant) -> Deadline {
    Deadline { name: "default.api.timeout.ms", at: now + SECOND * 60, limit: SECOND * 60 }
}

fn next_commit(group: &mut Group, now: Instant) -> Commit {
    match group.next(Vec::new(), now) {
        Work::Commit(commit, _) => commit,
        _ => panic!("no commit"),
    }
}

fn codes(list: &[(i32, ErrorCode)]) -> OffsetCommitResponse {
    let partitions = list.iter().map(|(partition_index, error_code)| OffsetCommitResponsePartition {
        partition_index: *partition_index,
        error_code: *error_code,
    });
    let topic =
        OffsetCommitResponseTopic { name: "t".to_owned(), partitions: partitions.collect(), ..Default::default() };
    OffsetCommitResponse { topics: vec![topic], ..Default::default() }
}

fn sleeps(work: &Work) -> bool {
    matches!(work, Work::Sleep(_))
}

#[test]
fn a_heartbeat_comes_before_everything_else_and_a_throttled_group_still_beats() {
    let now = Instant::now();
    let mut group = member(now);
    group.commit(offsets(&[(0, 5)]), in_a_minute(now)).unwrap();
    group.postpone(now + SECOND * 9);
    assert!(sleeps(&group.next(Vec::new(), now)));
    assert!(matches!(group.next(Vec::new(), now + SECOND * 2), Work::Heartbeat(_)));
    assert!(sleeps(&group.next(Vec::new(), now + SECOND * 3)));
    assert!(matches!(group.next(Vec::new(), now + SECOND * 4), Work::Heartbeat(_)));
    assert!(matches!(group.next(Vec::new(), now + SECOND * 5), Work::Sleep(Some(_))));
    assert!(matches!(group.next(Vec::new(), now + SECOND * 9), Work::Heartbeat(_)));
    assert!(matches!(group.next(Vec::new(), now + SECOND * 9), Work::Commit(..)));
}

#[test]
fn commits_leave_in_order_and_waiting_asynchronous_ones_become_one() {
    let now = Instant::now();
    let mut group = member(now);
    let (told, outcomes) = mpsc::channel();
    let callback = |name: &'static str| -> Option<Callback> {
        let told = told.clone();
        Some(Box::new(move |outcome: Result<()>| told.send((name, outcome.is_ok())).unwrap()))
    };
    group.commit_async(offsets(&[(0, 1), (1, 1)]), in_a_minute(now), callback("first"));
    let first = next_commit(&mut group, now);
    group.commit_async(offsets(&[(0, 2)]), in_a_minute(now), callback("second"));
    group.commit_async(offsets(&[(0, 3), (1, 2)]), in_a_minute(now), callback("third"));
    let ticket = group.commit(offsets(&[(0, 4)]), in_a_minute(now)).unwrap();
    group.commit_async(offsets(&[(0, 5)]), in_a_minute(now), None);
    assert!(!group.is_quiet());

    group.commit_answered(first, &sent(), &codes(&[(0, ErrorCode::NONE), (1, ErrorCode::NONE)]), now);
    let merged = next_commit(&mut group, now);
    assert_eq!(merged.offsets, offsets(&[(0, 3), (1, 2)]).into_iter().collect());
    group.commit_answered(merged, &sent(), &codes(&[(0, ErrorCode::NONE), (1, ErrorCode::NONE)]), now);
    let awaited = next_commit(&mut group, now);
    assert!(group.commit_answer(ticket).is_none());
    group.commit_answered(awaited, &sent(), &codes(&[(0, ErrorCode::NONE)]), now);
    assert!(group.commit_answer(ticket).unwrap().is_ok());
    let last = next_commit(&mut group, now);
    assert_eq!(last.offsets, offsets(&[(0, 5)]).into_iter().collect());
    group.commit_answered(last, &sent(), &codes(&[(0, ErrorCode::NONE)]), now);
    assert!(group.is_quiet());

    for (callback, outcome) in group.settled() {
        callback(outcome);
    }
    assert_eq!(outcomes.try_iter().collect::<Vec<_>>(), [("first", true), ("second", true), ("third", true)]);
}

#[test]
fn a_passing_refusal_is_tried_again_for_what_is_left_and_before_later_commits() {
    let now = Instant::now();
    let mut group = member(now);
    let ticket = group.commit(offsets(&[(0, 5), (1, 6)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    group.commit(offsets(&[(0, 9)]), in_a_minute(now)).unwrap();
    let answer = group.commit_answered(
        commit,
        &sent(),
        &codes(&[(0, ErrorCode::NONE), (1, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)]),
        now,
    );
    assert!(matches!(answer, Answered::Later));
    let again = next_commit(&mut group, now);
    assert_eq!(again.offsets, offsets(&[(1, 6)]).into_iter().collect());

    let answer = group.commit_answered(again, &sent(), &codes(&[(1, ErrorCode::NOT_COORDINATOR)]), now);
    assert!(matches!(answer, Answered::FindCoordinator));
    group.coordinator_lost(None, None, now + SECOND);
    assert!(sleeps(&group.next(Vec::new(), now)));
    assert!(matches!(group.next(Vec::new(), now + SECOND), Work::FindCoordinator));
    group.coordinator_is(8);
    assert!(matches!(group.next(Vec::new(), now + SECOND), Work::Heartbeat(_)), "the new coordinator hears of us");
    let again = next_commit(&mut group, now + SECOND);
    group.commit_answered(again, &sent(), &codes(&[(1, ErrorCode::NONE)]), now);
    assert!(group.commit_answer(ticket).unwrap().is_ok());
}

#[test]
fn a_commit_ends_with_its_deadline_and_the_last_obstacle() {
    let now = Instant::now();
    let mut group = member(now);
    let ticket = group.commit(offsets(&[(0, 5)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    let lost = Error::new(ErrorKind::Disconnected, "connection lost");
    group.coordinator_lost(Some(Work::Commit(commit, sent())), Some(&lost), now + SECOND);
    assert!(group.commit_answer(ticket).is_none());
    group.next(Vec::new(), now + SECOND * 60);
    let error = group.commit_answer(ticket).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("default.api.timeout.ms"), "{error}");
    assert!(error.to_string().contains("connection lost"), "{error}");
}

#[test]
fn a_commit_of_a_past_generation_fails_clearly_and_counts_as_news_of_the_group() {
    for code in [ErrorCode::ILLEGAL_GENERATION, ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::REBALANCE_IN_PROGRESS] {
        let now = Instant::now();
        let mut group = member(now);
        let ticket = group.commit(offsets(&[(0, 5)]), in_a_minute(now)).unwrap();
        let commit = next_commit(&mut group, now);
        group.commit_answered(commit, &sent(), &codes(&[(0, code)]), now);
        let error = group.commit_answer(ticket).unwrap().unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert!(error.to_string().contains("cannot commit"), "{error}");
        let step = group.membership.step(&holding(), &topics(), |_| None, now);
        let revokes = code == ErrorCode::REBALANCE_IN_PROGRESS;
        assert!(if revokes { matches!(step, Some(Step::Revoke(_))) } else { matches!(step, Some(Step::Lose)) });
    }
}

/// It once waited for the backoff of 100 ms and more, and with it the listener that commits before partitions go, and
/// all the partitions that stay.
#[test]
fn a_commit_that_met_a_rebalance_goes_again_as_soon_as_that_is_over() {
    let now = Instant::now();
    let cooperative = settings(&[("partition.assignment.strategy", "cooperative-sticky")]);
    let mut group = join(Group::new("g", &cooperative, now), now);
    let ticket = group.commit(offsets(&[(0, 5)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    group.heartbeat_answered(&sent(), ErrorCode::REBALANCE_IN_PROGRESS, now);
    let Some(Step::Join(attempt)) = group.membership.step(&holding(), &topics(), |_| None, now) else { panic!() };
    let refused = codes(&[(0, ErrorCode::REBALANCE_IN_PROGRESS)]);
    assert!(matches!(group.commit_answered(commit, &sent(), &refused, now), Answered::Rebalancing));
    group.hold_commits_back(now + SECOND);
    assert!(sleeps(&group.next(Vec::new(), now)));
    let position = (place(1), Epoch::for_tests(1));
    assert!(matches!(group.next(vec![position], now), Work::Positions(_)), "nothing else waits");

    group.membership.classic().unwrap().joined(attempt, 2, "m".to_owned(), now);
    assert!(sleeps(&group.next(Vec::new(), now)), "the leader has not shared out yet");
    group.synced(attempt, vec![place(0)], None);
    let Work::Commit(commit, identity) = group.next(Vec::new(), now) else { panic!("no commit") };
    assert_eq!(identity.generation, 2);
    group.commit_answered(commit, &identity, &codes(&[(0, ErrorCode::NONE)]), now);
    assert!(group.commit_answer(ticket).unwrap().is_ok());

    // The refusal comes late: the rebalance is over already.
    group.commit(offsets(&[(0, 6)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    assert!(matches!(group.membership.step(&holding(), &topics(), |_| None, now), Some(Step::Assign(_))));
    group.heartbeat_answered(&identity, ErrorCode::REBALANCE_IN_PROGRESS, now);
    let Some(Step::Join(attempt)) = group.membership.step(&holding(), &topics(), |_| None, now) else { panic!() };
    group.membership.classic().unwrap().joined(attempt, 3, "m".to_owned(), now);
    group.synced(attempt, vec![place(0)], None);
    let refused = codes(&[(0, ErrorCode::ILLEGAL_GENERATION)]);
    assert!(matches!(group.commit_answered(commit, &identity, &refused, now), Answered::Rebalancing));
    group.hold_commits_back(now + SECOND);
    assert!(matches!(group.next(Vec::new(), now), Work::Commit(..)));
}

/// A callback, and where its outcome comes.
fn told() -> (Option<Callback>, mpsc::Receiver<Result<()>>) {
    let (tell, told) = mpsc::channel();
    (Some(Box::new(move |outcome| drop(tell.send(outcome)))), told)
}

fn call_back(group: &mut Group) {
    group.settled().into_iter().for_each(|(callback, outcome)| callback(outcome));
}

fn cooperative(now: Instant) -> Group {
    join(Group::new("g", &settings(&[("partition.assignment.strategy", "cooperative-sticky")]), now), now)
}

/// It once went out under the generation in which another member had the partition, and took that one's offset back.
#[test]
fn a_commit_that_is_sent_again_leaves_out_what_was_given_up() {
    let now = Instant::now();
    for lost in [true, false] {
        let mut group = cooperative(now);
        let (callback, outcome) = told();
        group.commit_async(offsets(&[(0, 5), (1, 7)]), in_a_minute(now), callback);
        let commit = next_commit(&mut group, now);
        group.revoked(&[place(0)]);
        if lost {
            group.coordinator_lost(Some(Work::Commit(commit, sent())), None, now);
            group.coordinator_is(7);
            assert!(matches!(group.next(Vec::new(), now), Work::Heartbeat(_)));
            group.possessions_are_told();
        } else {
            group.possessions_are_told();
            let later = codes(&[(0, ErrorCode::NOT_COORDINATOR), (1, ErrorCode::NOT_COORDINATOR)]);
            group.commit_answered(commit, &sent(), &later, now);
        }
        let again = next_commit(&mut group, now);
        assert_eq!(again.offsets, offsets(&[(1, 7)]).into_iter().collect());
        group.commit_answered(again, &sent(), &codes(&[(1, ErrorCode::NONE)]), now);
        call_back(&mut group);
        let error = outcome.try_recv().unwrap().unwrap_err();
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)), "{error}");
        assert!(error.to_string().contains("given up"), "{error}");
    }
}

#[test]
fn a_commit_whose_turn_has_not_come_is_not_held_up_by_what_is_given_up() {
    let now = Instant::now();
    let mut group = cooperative(now);
    group.commit_async(offsets(&[(0, 5)]), in_a_minute(now), None);
    group.revoked(&[place(0)]);
    group.possessions_are_told();
    assert_eq!(next_commit(&mut group, now).offsets.len(), 1, "it goes before anybody else can have the partition");

    // Whoever leaves gives everything up only behind its commits.
    let mut group = cooperative(now);
    let ticket = group.commit(offsets(&[(0, 5)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    group.revoked(&[place(0)]);
    group.leave(now);
    group.commit_answered(commit, &sent(), &codes(&[(0, ErrorCode::REQUEST_TIMED_OUT)]), now);
    group.possessions_are_told();
    let commit = next_commit(&mut group, now);
    group.commit_answered(commit, &sent(), &codes(&[(0, ErrorCode::NONE)]), now);
    assert!(group.commit_answer(ticket).unwrap().is_ok());
}

/// A commit for t-0 that is refused once goes again as it was.
fn commits_again(group: &mut Group, now: Instant) {
    let ticket = group.commit(offsets(&[(0, 5)]), in_a_minute(now)).unwrap();
    let commit = next_commit(group, now);
    group.commit_answered(commit, &sent(), &codes(&[(0, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)]), now);
    let commit = next_commit(group, now);
    group.commit_answered(commit, &sent(), &codes(&[(0, ErrorCode::NONE)]), now);
    assert!(group.commit_answer(ticket).unwrap().is_ok());
}

#[test]
fn a_partition_that_was_given_up_may_be_assigned_by_hand() {
    let now = Instant::now();
    let mut group = cooperative(now);
    group.revoked(&[place(0)]);
    group.possessions_are_told();
    group.leave(now);
    let Work::Leave(identity) = group.next(Vec::new(), now) else { panic!() };
    group.left(&identity);
    commits_again(&mut group, now);
}

#[test]
fn what_is_this_members_again_is_committed_for_again() {
    let now = Instant::now();
    let mut group = cooperative(now);
    group.revoked(&[place(0)]);
    group.possessions_are_told();
    group.assigned(&[place(0)]);
    commits_again(&mut group, now);
}

/// The old topic's offset was once committed in the new one, and what lay before it there was skipped.
#[test]
fn no_offset_of_a_topic_is_committed_in_the_one_that_replaces_it() {
    let now = Instant::now();
    let mut group = member(now);
    let first = group.commit(offsets(&[(0, 1000), (1, 7)]), in_a_minute(now)).unwrap();
    let second = group.commit(offsets(&[(0, 1001)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    group.renewed(&place(0));
    assert!(group.commit_answer(second).unwrap().unwrap_err().to_string().contains("created anew"));
    let unknown = codes(&[(0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), (1, ErrorCode::NONE)]);
    group.commit_answered(commit, &sent(), &unknown, now);
    assert!(group.commit_answer(first).unwrap().unwrap_err().to_string().contains("created anew"));
    assert!(sleeps(&group.next(Vec::new(), now)), "nothing is sent again");
    // One of the new topic.
    commits_again(&mut group, now);
}

#[test]
fn a_topic_that_is_gone_for_good_is_not_waited_for_by_every_commit() {
    let mut now = Instant::now();
    let mut group = member(now);
    let unknown = codes(&[(0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), (1, ErrorCode::NONE)]);
    let ticket = group.commit(offsets(&[(0, 5), (1, 5)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    group.commit_answered(commit, &sent(), &unknown, now);
    assert!(group.commit_answer(ticket).is_none(), "a new topic is not known everywhere at once");
    now += UNKNOWN_FOR;
    assert!(matches!(group.next(Vec::new(), now), Work::Heartbeat(_)));
    let commit = next_commit(&mut group, now);
    group.commit_answered(commit, &sent(), &unknown, now);
    assert!(group.commit_answer(ticket).unwrap().is_err());
    let next = group.commit(offsets(&[(0, 6), (1, 6)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    group.commit_answered(commit, &sent(), &unknown, now);
    let error = group.commit_answer(next).unwrap().unwrap_err();
    assert_eq!((error.code(), error.partition()), (Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), Some(0)));
}

/// They once became one without end, and none of them was ever told.
#[test]
fn asynchronous_commits_end_by_their_own_deadlines_while_the_coordinator_is_away() {
    let start = Instant::now();
    let mut group = Group::new("g", &settings(&[]), start);
    let outcomes: Vec<_> = (0..100u32)
        .map(|turn| {
            let now = start + SECOND * turn;
            group.next(Vec::new(), now);
            let (callback, outcome) = told();
            group.commit_async(offsets(&[(0, i64::from(turn))]), in_a_minute(now), callback);
            call_back(&mut group);
            outcome
        })
        .collect();
    let ended = outcomes.iter().filter(|outcome| outcome.try_recv().is_ok_and(|told| told.is_err())).count();
    assert!((39..=40).contains(&ended), "{ended}");
    assert!(group.commits.len() <= 61, "{}", group.commits.len());
}

#[test]
fn an_answer_nobody_waits_for_any_more_is_not_kept() {
    let now = Instant::now();
    let mut group = member(now);
    let ticket = group.commit(offsets(&[(0, 5)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    group.forget_commit(ticket);
    group.commit_answered(commit, &sent(), &codes(&[(0, ErrorCode::NONE)]), now);
    assert!(group.commit_answers.is_empty());
}

#[test]
fn an_answer_that_leaves_a_partition_out_is_no_success() {
    let now = Instant::now();
    let mut group = member(now);
    let ticket = group.commit(offsets(&[(0, 5), (1, 5)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    group.commit_answered(commit, &sent(), &codes(&[(0, ErrorCode::NONE)]), now);
    assert_eq!(group.commit_answer(ticket).unwrap().unwrap_err().kind(), ErrorKind::Protocol);
}

/// Offsets of an open transaction may stay undecided for minutes.
#[test]
fn undecided_positions_hold_nothing_else_up() {
    let now = Instant::now();
    let mut group = member(now);
    let awaiting = || vec![(place(1), Epoch::for_tests(1))];
    group.commit(offsets(&[(0, 5)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    group.commit_answered(commit, &sent(), &codes(&[(0, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)]), now);
    group.look_up(vec![place(0)]);
    group.hold_positions_back(now + SECOND);
    assert!(matches!(group.next(awaiting(), now), Work::Lookup(_)));
    assert!(matches!(group.next(awaiting(), now), Work::Commit(..)), "one that has failed before");
    let Work::Sleep(Some(until)) = group.next(awaiting(), now) else { panic!("it asks again at once") };
    assert!(until <= now + SECOND);
    assert!(matches!(group.next(awaiting(), now + SECOND), Work::Positions(_)));
}

#[test]
fn a_refused_right_fails_everything_that_waits() {
    let now = Instant::now();
    let mut group = member(now);
    let ticket = group.commit(offsets(&[(0, 5)]), in_a_minute(now)).unwrap();
    let question = group.look_up(vec![place(0)]);
    let error = Error::broker_code(ApiKey::FindCoordinator, ErrorCode::GROUP_AUTHORIZATION_FAILED, None);
    group.refused(&error, now);
    assert_eq!(group.commit_answer(ticket).unwrap().unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(group.lookup_answer(question).unwrap().unwrap_err().kind(), ErrorKind::Refused);
}

/// A heartbeat that crossed a join was answered with ILLEGAL_GENERATION, and that was taken for a refusal: `poll` failed,
/// commits were thrown away, and the group was left alone for ten seconds.
#[test]
fn a_heartbeat_answered_for_a_generation_that_is_over_is_no_refusal() {
    let codes = [
        ErrorCode::ILLEGAL_GENERATION,
        ErrorCode::UNKNOWN_MEMBER_ID,
        ErrorCode::REBALANCE_IN_PROGRESS,
        ErrorCode::FENCED_INSTANCE_ID,
    ];
    for code in codes {
        let now = Instant::now();
        let mut group = member(now);
        let Work::Heartbeat(Beat::Classic(sent)) = group.next(Vec::new(), now + SECOND * 2) else { panic!() };
        group.membership.subscribe(&topics(), now);
        assert!(matches!(group.membership.step(&nothing(), &topics(), |_| None, now), Some(Step::Join(_))));
        assert!(matches!(group.heartbeat_answered(&sent, code, now), Answered::Done), "{code}");
    }
    let now = Instant::now();
    let mut group = member(now);
    let Work::Heartbeat(Beat::Classic(sent)) = group.next(Vec::new(), now + SECOND * 2) else { panic!() };
    let refused = group.heartbeat_answered(&sent, ErrorCode::GROUP_AUTHORIZATION_FAILED, now);
    assert!(matches!(refused, Answered::Refused(_)));
}

#[test]
fn leaving_comes_after_the_commits_and_is_given_up_once_the_session_is_over() {
    let now = Instant::now();
    let mut group = member(now);
    group.commit(offsets(&[(0, 5)]), in_a_minute(now)).unwrap();
    group.leave(now);
    let commit = next_commit(&mut group, now);
    group.commit_answered(commit, &sent(), &codes(&[(0, ErrorCode::NONE)]), now);
    let Work::Leave(identity) = group.next(Vec::new(), now) else { panic!() };
    assert_eq!(identity.member_id, "m");
    assert!(!group.is_quiet());
    assert!(matches!(group.next(Vec::new(), now), Work::Leave(_)), "until it is answered");
    group.left(&identity);
    assert!(group.is_quiet());

    // A commit that did not get through holds it up as long as it is wanted, and no backoff does longer than that.
    let mut group = member(now);
    group.commit(offsets(&[(0, 5)]), in_a_minute(now)).unwrap();
    let commit = next_commit(&mut group, now);
    group.commit_answered(commit, &sent(), &codes(&[(0, ErrorCode::REQUEST_TIMED_OUT)]), now);
    group.postpone(now + SECOND * 9);
    group.leave(now);
    assert!(sleeps(&group.next(Vec::new(), now)));
    group.commit_by(Deadline { name: "the time given to close", at: now + SECOND, limit: SECOND });
    assert!(matches!(group.next(Vec::new(), now + SECOND), Work::Leave(_)));
    assert!(sleeps(&group.next(Vec::new(), now + SECOND)), "it was told to wait");
    assert!(matches!(group.next(Vec::new(), now + SECOND * 9), Work::Leave(_)));

    let mut group = member(now);
    group.leave(now);
    assert!(sleeps(&group.next(Vec::new(), now + SECOND * 3600)));
    assert!(group.is_quiet());
    assert!(group.news(), "close waits for this");
}

/// A new member, whose JoinGroup is under way and names nobody.
fn nameless(now: Instant) -> (Group, Attempt) {
    let mut group = Group::new("g", &settings(&[]), now);
    group.coordinator_is(7);
    group.membership.polling(true, now);
    group.membership.subscribe(&topics(), now);
    let Some(Step::Join(attempt)) = group.membership.step(&nothing(), &topics(), |_| None, now) else { panic!() };
    assert!(group.membership.classic().unwrap().asking(attempt, &Identity::none(), now));
    (group, attempt)
}

/// What the join thread does with an answer.
fn named(group: &mut Group, member_id: &str, now: Instant) {
    let left = group.membership.classic().unwrap().named(member_id);
    group.tell_left(left, now);
}

#[test]
fn whoever_goes_before_it_knows_its_member_id_leaves_by_the_one_that_comes() {
    let now = Instant::now();
    let (mut group, attempt) = nameless(now);
    group.leave(now);
    assert!(!group.is_quiet(), "close waits for the answer");
    assert!(!group.membership.classic().unwrap().asking(attempt, &Identity::none(), now), "nobody asks again");
    named(&mut group, "m", now);
    let Work::Leave(identity) = group.next(Vec::new(), now) else { panic!() };
    assert_eq!(identity, Identity { generation: -1, member_id: "m".to_owned() });
    group.left(&identity);
    assert!(group.is_quiet());

    let (mut group, _) = nameless(now);
    group.membership.leave();
    named(&mut group, "", now);
    assert!(group.is_quiet(), "the answer brought no id, or there was none");
}

#[test]
fn whoever_wants_back_before_it_knows_its_member_id_joins_by_the_one_that_comes() {
    let now = Instant::now();
    let (mut group, first) = nameless(now);
    group.membership.leave();
    group.membership.subscribe(&topics(), now);
    named(&mut group, "m", now);
    let Some(Step::Join(second)) = group.membership.step(&nothing(), &topics(), |_| None, now) else { panic!() };
    let member = group.membership.classic().unwrap();
    assert_eq!(member.identity().member_id, "m");
    assert!(!member.is_joining(first) && member.is_joining(second));
    assert!(sleeps(&group.next(Vec::new(), now)), "nobody leaves");
}

#[test]
fn a_member_id_is_waited_for_as_long_as_a_session() {
    let now = Instant::now();
    let over = now + SECOND * 3600;
    let (mut group, _) = nameless(now);
    assert!(sleeps(&group.next(Vec::new(), over)));
    named(&mut group, "m", over);
    assert!(!group.breaks_off_join(), "whoever wants to be a member waits on");
    assert_eq!(group.membership.classic().unwrap().identity().member_id, "m");

    let (mut group, _) = nameless(now);
    group.membership.leave();
    let Work::Sleep(Some(until)) = group.next(Vec::new(), now) else { panic!() };
    assert!(!group.breaks_off_join());
    group.next(Vec::new(), until);
    assert!(group.breaks_off_join() && group.news() && group.is_quiet());
}

#[test]
fn a_static_member_does_not_tell_that_it_leaves() {
    let now = Instant::now();
    let mut group = join(Group::new("g", &settings(&[("group.instance.id", "i")]), now), now);
    group.leave(now);
    assert!(group.is_quiet());
}

#[test]
fn nothing_is_asked_without_need() {
    let now = Instant::now();
    let mut group = Group::new("g", &settings(&[]), now);
    assert!(matches!(group.next(Vec::new(), now), Work::Sleep(None)));
    group.look_up(vec![place(0)]);
    assert!(matches!(group.next(Vec::new(), now), Work::FindCoordinator));
}

/// The same answer in the shape of versions up to 7 and from 8 on.
fn fetched(list: &[(i32, i64, ErrorCode)], code: ErrorCode) -> [OffsetFetchResponse; 2] {
    let old = list.iter().map(|(partition_index, committed_offset, error_code)| OffsetFetchResponsePartition {
        partition_index: *partition_index,
        committed_offset: *committed_offset,
        committed_leader_epoch: 2,
        error_code: *error_code,
        ..Default::default()
    });
    let new = list.iter().map(|(partition_index, committed_offset, error_code)| OffsetFetchResponsePartitions {
        partition_index: *partition_index,
        committed_offset: *committed_offset,
        committed_leader_epoch: 2,
        error_code: *error_code,
        ..Default::default()
    });
    let topics = vec![OffsetFetchResponseTopic { name: "t".to_owned(), partitions: old.collect() }];
    let group_topics =
        vec![OffsetFetchResponseTopics { name: "t".to_owned(), partitions: new.collect(), ..Default::default() }];
    let group = OffsetFetchResponseGroup { group_id: "g".to_owned(), topics: group_topics, error_code: code };
    [
        OffsetFetchResponse { topics, error_code: code, ..Default::default() },
        OffsetFetchResponse { groups: vec![group], ..Default::default() },
    ]
}

#[test]
fn committed_offsets_become_positions_in_either_shape_of_the_answer() {
    let now = Instant::now();
    let list = [
        (0, 42, ErrorCode::NONE),
        (0, 43, ErrorCode::NONE),
        (1, -1, ErrorCode::NONE),
        (2, -1, ErrorCode::UNSTABLE_OFFSET_COMMIT),
        (3, -1, ErrorCode::TOPIC_AUTHORIZATION_FAILED),
    ];
    for response in fetched(&list, ErrorCode::NONE) {
        let mut group = member(now);
        let mut assignment = Assignment::new(1 << 20);
        for partition in 0..4 {
            assignment.add(place(partition), Position::Committed);
        }
        let awaiting = assignment.awaiting_committed();
        let Work::Positions(asked) = group.next(awaiting, now) else { panic!() };
        let (answered, errors) =
            group.positions_answered(&asked, &response, OffsetReset::Earliest, &mut assignment, now);
        assert!(matches!(answered, Answered::Undecided), "one of them is not decided yet");
        let position = |partition| assignment.get(&place(partition)).unwrap().position;
        assert_eq!(position(0), Position::At { offset: 42, leader_epoch: 2 }, "named twice, the first counts");
        assert_eq!(position(1), Position::End(LogEnd::Beginning));
        assert_eq!(position(2), Position::Committed);
        assert_eq!(errors.len(), 1);
        assert_eq!((errors[0].kind(), errors[0].partition()), (ErrorKind::Refused, Some(3)));
    }
}

#[test]
fn a_committed_offset_that_was_refused_is_asked_for_again() {
    let now = Instant::now();
    let [refused, _] = fetched(&[(0, -1, ErrorCode::TOPIC_AUTHORIZATION_FAILED)], ErrorCode::NONE);
    let [granted, _] = fetched(&[(0, 42, ErrorCode::NONE)], ErrorCode::NONE);
    let mut group = member(now);
    let mut assignment = holding();
    let mut errors = 0;
    for turn in 0..2 {
        let now = now + REFUSED_RETRY * turn;
        assignment.ask_again(now);
        let asked = assignment.awaiting_committed();
        assert_eq!(asked.len(), 1);
        errors += group.positions_answered(&asked, &refused, OffsetReset::Earliest, &mut assignment, now).1.len();
        assert_eq!(assignment.asks_again(), Some(now + REFUSED_RETRY));
        assignment.ask_again(now + REFUSED_RETRY / 2);
        assert!(assignment.awaiting_committed().is_empty());
    }
    assert_eq!(errors, 1, "it is told once");
    let now = now + REFUSED_RETRY * 2;
    assignment.ask_again(now);
    let asked = assignment.awaiting_committed();
    group.positions_answered(&asked, &granted, OffsetReset::Earliest, &mut assignment, now);
    assert_eq!(assignment.get(&place(0)).unwrap().position.offset(), Some(42));
}

#[test]
fn an_error_of_the_whole_group_changes_no_position() {
    let now = Instant::now();
    for response in fetched(&[], ErrorCode::NOT_COORDINATOR) {
        let mut group = member(now);
        let mut assignment = Assignment::new(1 << 20);
        assignment.add(place(0), Position::Committed);
        let asked = assignment.awaiting_committed();
        let (answered, errors) = group.positions_answered(&asked, &response, OffsetReset::Latest, &mut assignment, now);
        assert!(matches!(answered, Answered::FindCoordinator) && errors.is_empty());
        assert_eq!(assignment.awaiting_committed().len(), 1);
    }
}

#[test]
fn a_question_for_committed_offsets_is_answered_in_its_order() {
    let now = Instant::now();
    for response in fetched(&[(0, 42, ErrorCode::NONE), (1, -1, ErrorCode::NONE)], ErrorCode::NONE) {
        let mut group = member(now);
        let ticket = group.look_up(vec![place(1), place(0), place(9)]);
        let Work::Lookup(lookup) = group.next(Vec::new(), now) else { panic!() };
        group.lookup_answered(lookup, &response);
        assert_eq!(group.lookup_answer(ticket).unwrap().unwrap(), [None, Some(42), None]);
    }
}
