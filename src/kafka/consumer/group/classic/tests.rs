//! A classic member, step by step: what it makes of answers, and of time.

use super::*;
use crate::kafka::config::Config;
use crate::kafka::consumer::offsets::Position;

const HEARTBEAT: Duration = Duration::from_secs(2);
const MAX_POLL: Duration = Duration::from_secs(300);

fn membership(now: Instant) -> Classic {
    let config = Config::new()
        .set("bootstrap.servers", "localhost:9092")
        .and_then(|config| config.set("group.id", "g"))
        .and_then(|config| config.set("session.timeout.ms", "6000"))
        .and_then(|config| config.set("heartbeat.interval.ms", "2000"))
        .and_then(|config| config.set("max.poll.interval.ms", "300000"));
    let mut membership = Classic::new("g", &config.unwrap().consumer().unwrap(), now);
    membership.polls.polling(true, now);
    membership
}

fn join(membership: &mut Classic, now: Instant) -> Attempt {
    match membership.step(&nothing(), &topics(), now) {
        Some(Step::Join(attempt)) => attempt,
        other => panic!("{other:?}"),
    }
}

fn partitions() -> Vec<TopicPartition> {
    vec![TopicPartition::new("t", 0)]
}

fn topics() -> BTreeSet<String> {
    ["t".to_owned()].into()
}

fn holding(partitions: &[TopicPartition]) -> Assignment {
    let mut held = Assignment::new(1);
    for partition in partitions {
        held.add(partition.clone(), Position::Committed);
    }
    held
}

fn nothing() -> Assignment {
    holding(&[])
}

fn something() -> Assignment {
    holding(&partitions())
}

fn committer(membership: &Classic) -> Identity {
    membership.identity_in(membership.committer().unwrap()).unwrap()
}

/// Through a whole join; the partitions have been taken up.
fn stable(now: Instant) -> Classic {
    let mut membership = membership(now);
    membership.subscribe(now);
    let attempt = join(&mut membership, now);
    assert!(membership.joined(attempt, 1, "m".to_owned(), now));
    assert!(membership.synced(attempt, partitions(), None));
    assert!(
        matches!(membership.step(&nothing(), &topics(), now), Some(Step::Assign(assigned)) if assigned == partitions())
    );
    assert!(membership.step(&something(), &topics(), now).is_none());
    membership
}

fn identity(generation: i32) -> Identity {
    Identity { generation, member_id: "m".to_owned() }
}

#[test]
fn heartbeats_run_from_the_answer_to_joingroup_on() {
    let now = Instant::now();
    let mut membership = membership(now);
    membership.subscribe(now);
    let attempt = join(&mut membership, now);
    assert!(membership.asking(attempt, &Identity::none(), now));
    assert_eq!(membership.named("m"), None, "it goes on as this one");
    assert_eq!(membership.identity().member_id, "m");
    assert!(membership.heartbeat(now + HEARTBEAT).is_none(), "not a member yet");
    membership.joined(attempt, 1, "m".to_owned(), now);
    assert!(membership.heartbeat(now).is_none());
    assert_eq!(membership.heartbeat(now + HEARTBEAT), Some(identity(1)), "while SyncGroup waits");
    assert!(membership.heartbeat(now + HEARTBEAT).is_none(), "one per interval");
    assert_eq!(membership.heartbeat_due(), Some(now + HEARTBEAT * 2));
    assert_eq!(membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS, now), Reaction::Nothing);
    assert!(membership.synced(attempt, partitions(), None), "SyncGroup decides");
}

/// With a coordinator that took four of the six seconds of a session to answer, a static member was out before its
/// first heartbeat.
#[test]
fn after_a_late_answer_to_joingroup_the_first_heartbeat_does_not_wait() {
    let now = Instant::now();
    let mut membership = membership(now);
    membership.subscribe(now);
    let attempt = join(&mut membership, now);
    membership.asking(attempt, &Identity::none(), now);
    membership.joined(attempt, 1, "m".to_owned(), now + HEARTBEAT / 2);
    assert_eq!(membership.heartbeat_due(), Some(now + HEARTBEAT));
    membership.joined(attempt, 1, "m".to_owned(), now + HEARTBEAT * 2);
    assert_eq!(membership.heartbeat(now + HEARTBEAT * 2), Some(identity(1)));
    assert_eq!(membership.heartbeat_due(), Some(now + HEARTBEAT * 3));
}

#[test]
fn a_rebalance_revokes_before_it_joins_again_under_the_same_id() {
    let now = Instant::now();
    let mut membership = stable(now);
    assert_eq!(membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS, now), Reaction::Wake);
    assert_eq!(membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS, now), Reaction::Nothing);
    assert!(matches!(membership.step(&something(), &topics(), now), Some(Step::Revoke(gone)) if gone == partitions()));
    assert_eq!(committer(&membership), identity(1), "the listener may commit");
    assert_eq!(membership.heartbeat(now + HEARTBEAT), Some(identity(1)), "alive while the listener works");
    membership.let_go();
    let attempt = join(&mut membership, now);
    assert_eq!(membership.identity(), &identity(1));
    assert!(membership.heartbeat(now + HEARTBEAT * 9).is_none(), "the join keeps it alive");
    assert!(membership.committer().is_err());
    assert!(membership.joined(attempt, 2, "m".to_owned(), now));
}

#[test]
fn a_rebalance_before_the_assignment_was_taken_up_joins_at_once() {
    let now = Instant::now();
    let mut membership = membership(now);
    membership.subscribe(now);
    let attempt = join(&mut membership, now);
    membership.joined(attempt, 1, "m".to_owned(), now);
    membership.synced(attempt, partitions(), None);
    assert_eq!(membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS, now), Reaction::Wake);
    assert_ne!(join(&mut membership, now), attempt);
}

#[test]
fn a_lost_membership_is_told_as_lost_and_joined_anew() {
    for (code, id) in [(ErrorCode::UNKNOWN_MEMBER_ID, ""), (ErrorCode::ILLEGAL_GENERATION, "m")] {
        let now = Instant::now();
        let mut membership = stable(now);
        assert_eq!(membership.heard(&identity(1), code, now), Reaction::Wake);
        assert!(membership.committer().unwrap_err().to_string().contains("no longer a member"));
        assert!(matches!(membership.step(&something(), &topics(), now), Some(Step::Lose)));
        membership.let_go();
        join(&mut membership, now);
        assert_eq!(membership.identity(), &Identity { generation: -1, member_id: id.to_owned() });
    }
}

#[test]
fn what_answers_an_earlier_generation_changes_nothing() {
    let now = Instant::now();
    let mut membership = stable(now);
    for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION, ErrorCode::REBALANCE_IN_PROGRESS] {
        assert_eq!(membership.heard(&identity(0), code, now), Reaction::Nothing);
    }
    assert!(membership.step(&something(), &topics(), now).is_none());
    assert_eq!(membership.heard(&identity(0), ErrorCode::NOT_COORDINATOR, now), Reaction::FindCoordinator);
}

#[test]
fn answers_to_an_attempt_that_was_given_up_change_nothing() {
    let now = Instant::now();
    let mut membership = membership(now);
    membership.subscribe(now);
    let old = join(&mut membership, now);
    membership.subscribe(now);
    let new = join(&mut membership, now);
    assert!(!membership.is_joining(old));
    assert!(!membership.joined(old, 1, "m".to_owned(), now));
    assert!(!membership.synced(old, partitions(), None));
    membership.join_failed(old, now);
    assert!(membership.is_joining(new));
}

#[test]
fn refusals_of_a_join() {
    let now = Instant::now();
    let start = || {
        let mut membership = membership(now);
        membership.subscribe(now);
        let attempt = join(&mut membership, now);
        membership.joined(attempt, 4, "m".to_owned(), now);
        (membership, attempt)
    };
    let refuse = |code| {
        let (mut membership, attempt) = start();
        let reaction = membership.join_refused(attempt, ApiKey::JoinGroup, code);
        (membership, reaction)
    };
    let (membership, reaction) = refuse(ErrorCode::UNKNOWN_MEMBER_ID);
    assert!(matches!(reaction, JoinReaction::Again));
    assert_eq!(membership.identity(), &Identity::none());
    let (membership, reaction) = refuse(ErrorCode::REBALANCE_IN_PROGRESS);
    assert!(matches!(reaction, JoinReaction::Again));
    assert_eq!(membership.identity(), &identity(4));
    for code in [ErrorCode::NOT_COORDINATOR, ErrorCode::COORDINATOR_NOT_AVAILABLE] {
        assert!(matches!(refuse(code).1, JoinReaction::FindCoordinator));
    }
    assert!(matches!(refuse(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS).1, JoinReaction::Later));
    for (code, hint) in [
        (ErrorCode::GROUP_MAX_SIZE_REACHED, "group.max.size"),
        (ErrorCode::INCONSISTENT_GROUP_PROTOCOL, "partition.assignment.strategy"),
        (ErrorCode::INVALID_SESSION_TIMEOUT, "session.timeout.ms"),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, "right"),
        (ErrorCode(999), "unknown error 999"),
    ] {
        let JoinReaction::Fail(error) = refuse(code).1 else { panic!("{code}") };
        assert!(error.to_string().contains(hint), "{error}");
    }
}

/// The assignment was taken up all the same: no heartbeats were sent for it any more, and the consumer went on
/// reading, without a name, what others owned.
#[test]
fn an_assignment_that_comes_after_the_member_was_forgotten_does_not_count() {
    for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION] {
        let now = Instant::now();
        let mut membership = membership(now);
        membership.subscribe(now);
        let attempt = join(&mut membership, now);
        membership.joined(attempt, 1, "m".to_owned(), now);
        assert_eq!(membership.heard(&identity(1), code, now), Reaction::Nothing);
        assert!(!membership.synced(attempt, partitions(), None));
        assert_ne!(join(&mut membership, now), attempt);
    }
}

#[test]
fn a_failed_join_is_tried_again_by_a_later_poll() {
    let now = Instant::now();
    let mut membership = membership(now);
    membership.subscribe(now);
    let attempt = join(&mut membership, now);
    membership.join_failed(attempt, now + HEARTBEAT);
    assert!(membership.step(&nothing(), &topics(), now).is_none());
    assert_eq!(membership.step_due(), Some(now + HEARTBEAT));
    assert_ne!(join(&mut membership, now + HEARTBEAT), attempt);
}

#[test]
fn a_fenced_member_stays_out_and_says_so_each_time() {
    let now = Instant::now();
    let mut membership = stable(now);
    assert_eq!(membership.heard(&identity(1), ErrorCode::FENCED_INSTANCE_ID, now), Reaction::Wake);
    assert!(matches!(membership.step(&something(), &topics(), now), Some(Step::Lose)));
    for _ in 0..2 {
        let Some(Step::Fail(error)) = membership.step(&nothing(), &topics(), now) else { panic!() };
        assert!(error.to_string().contains("group.instance.id"), "{error}");
    }
    assert!(membership.committer().is_err());
    assert!(membership.heartbeat(now + HEARTBEAT).is_none());
    assert!(membership.leave().is_none(), "the other one is the member");
}

#[test]
fn an_application_that_does_not_poll_leaves_the_group_and_joins_with_the_next_poll() {
    let now = Instant::now();
    let mut membership = stable(now);
    assert!(membership.poll_overdue(now + MAX_POLL * 2).is_none(), "it is inside poll");
    membership.polls.polling(false, now);
    assert_eq!(membership.poll_due(), Some(now + MAX_POLL));
    assert!(membership.poll_overdue(now + MAX_POLL - Duration::from_millis(1)).is_none());
    assert_eq!(membership.poll_overdue(now + MAX_POLL), Some(identity(1)));
    assert!(membership.poll_overdue(now + MAX_POLL * 2).is_none(), "once");
    assert!(membership.heartbeat(now + MAX_POLL).is_none());
    let error = membership.committer().unwrap_err();
    assert!(error.to_string().contains("max.poll.interval.ms=300000"), "{error}");
    assert!(matches!(membership.step(&something(), &topics(), now + MAX_POLL), Some(Step::Lose)));
    membership.let_go();
    join(&mut membership, now + MAX_POLL);
}

/// A member that shared out so many partitions of these topics.
fn leader(counts: [(&str, i32); 2], now: Instant) -> Classic {
    let mut leader = membership(now);
    leader.subscribe(now);
    let attempt = join(&mut leader, now);
    leader.joined(attempt, 1, "m".to_owned(), now);
    leader.synced(attempt, partitions(), Some(counts.map(|(topic, count)| (topic.to_owned(), count)).into()));
    leader
}

#[test]
fn only_a_leader_minds_partition_counts() {
    let now = Instant::now();
    let mut follower = stable(now);
    assert!(!follower.counts_changed(|_| Some(9), now));

    let mut leader = leader([("t", 3), ("missing", 0)], now);
    assert!(!leader.counts_changed(|topic| (topic == "t").then_some(3), now));
    assert!(!leader.counts_changed(|_| None, now), "nothing is known for a moment");
    let (without, with) = (|topic: &str| (topic == "t").then_some(0), |topic: &str| (topic == "t").then_some(3));
    assert!(!leader.counts_changed(without, now), "a broker may not know it yet");
    assert!(!leader.counts_changed(with, now + UNKNOWN_FOR), "and then it does");
    assert!(!leader.counts_changed(without, now + 2 * UNKNOWN_FOR));
    assert!(leader.counts_changed(|topic| Some(if topic == "t" { 3 } else { 1 }), now));
    assert!(!leader.counts_changed(|_| Some(9), now), "it is joining again already");
    join(&mut leader, now);
}

#[test]
fn a_leader_joins_again_without_a_topic_that_was_deleted() {
    let now = Instant::now();
    let mut leader = leader([("t", 3), ("u", 1)], now);
    let without = |topic: &str| Some(if topic == "t" { 3 } else { 0 });
    assert!(!leader.counts_changed(without, now));
    assert!(!leader.counts_changed(without, now + UNKNOWN_FOR - Duration::from_millis(1)));
    assert!(leader.counts_changed(without, now + UNKNOWN_FOR));
}

#[test]
fn leaving_names_the_member_only_if_the_coordinator_knows_it() {
    let now = Instant::now();
    let mut fresh = membership(now);
    fresh.subscribe(now);
    assert_eq!(fresh.leave(), None);
    let mut member = stable(now);
    assert_eq!(member.leave(), Some(identity(1)));
    assert_eq!(member.leave(), None);
    assert_eq!(member.committer().unwrap(), Stay::Apart);
    assert!(member.step(&nothing(), &topics(), now).is_none());
}

/// A member of a cooperative group that holds t-0 and t-1 in generation 1.
fn cooperative(now: Instant) -> Classic {
    let mut membership = Classic { cooperative: true, ..membership(now) };
    membership.subscribe(now);
    let attempt = join(&mut membership, now);
    membership.joined(attempt, 1, "m".to_owned(), now);
    membership.synced(attempt, two(), None);
    assert!(matches!(membership.step(&nothing(), &topics(), now), Some(Step::Assign(new)) if new == two()));
    assert!(membership.step(&holding(&two()), &topics(), now).is_none());
    membership
}

fn two() -> Vec<TopicPartition> {
    vec![TopicPartition::new("t", 0), TopicPartition::new("t", 1)]
}

#[test]
fn a_cooperative_member_keeps_what_it_holds_gives_up_what_is_taken_and_joins_again() {
    let now = Instant::now();
    let mut membership = cooperative(now);
    membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS, now);
    let Some(Step::Join(attempt)) = membership.step(&holding(&two()), &topics(), now) else { panic!() };
    let possessions = Possessions { held: two(), last: two(), generation: 1 };
    assert_eq!(membership.possessions(), &possessions);
    let stay = membership.committer().unwrap();
    assert_eq!(membership.identity_in(stay), Some(identity(1)), "commits go on while the group rebalances");
    membership.joined(attempt, 2, "m".to_owned(), now);
    assert_eq!(membership.identity_in(stay), Some(identity(2)), "the same stay under its new generation");

    let (kept, taken) = (two().remove(0), two().remove(1));
    membership.synced(attempt, vec![kept.clone()], None);
    let step = membership.step(&holding(&two()), &topics(), now);
    assert!(matches!(step, Some(Step::Revoke(gone)) if gone == [taken]));
    let held = holding(std::slice::from_ref(&kept));
    let step = membership.step(&held, &topics(), now);
    assert!(matches!(step, Some(Step::Assign(new)) if new.is_empty()));
    assert!(matches!(membership.step(&held, &topics(), now), Some(Step::Join(_))), "so that it is handed on");
    let possessions = Possessions { held: vec![kept.clone()], last: vec![kept], generation: 2 };
    assert_eq!(membership.possessions(), &possessions);
}

#[test]
fn a_cooperative_member_that_loses_nothing_joins_once() {
    let now = Instant::now();
    let mut membership = cooperative(now);
    membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS, now);
    let Some(Step::Join(attempt)) = membership.step(&holding(&two()), &topics(), now) else { panic!() };
    membership.joined(attempt, 2, "m".to_owned(), now);
    let third = TopicPartition::new("t", 2);
    membership.synced(attempt, [two(), vec![third.clone()]].concat(), None);
    let step = membership.step(&holding(&two()), &topics(), now);
    assert!(matches!(step, Some(Step::Assign(new)) if new == [third]));
    assert!(membership.step(&holding(&two()), &topics(), now).is_none());
}

#[test]
fn a_cooperative_member_that_may_not_join_again_loses_what_it_carried() {
    let now = Instant::now();
    let mut membership = cooperative(now);
    membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS, now);
    let Some(Step::Join(attempt)) = membership.step(&holding(&two()), &topics(), now) else { panic!() };
    membership.join_failed(attempt, now + HEARTBEAT);
    assert!(membership.committer().unwrap_err().to_string().contains("refused"));
    assert!(matches!(membership.step(&holding(&two()), &topics(), now), Some(Step::Lose)));
    membership.let_go();
    assert!(membership.step(&nothing(), &topics(), now).is_none());
    assert_eq!(membership.step_due(), Some(now + HEARTBEAT));
}

#[test]
fn a_cooperative_member_gives_up_topics_that_it_no_longer_wants_before_it_joins() {
    let now = Instant::now();
    let mut membership = cooperative(now);
    membership.subscribe(now);
    let step = membership.step(&holding(&two()), &["other".to_owned()].into(), now);
    assert!(matches!(step, Some(Step::Revoke(gone)) if gone == two()));
}

#[test]
fn a_cooperative_member_that_was_forgotten_while_it_joined_loses_what_it_carried() {
    for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION] {
        let now = Instant::now();
        let mut membership = cooperative(now);
        let stay = membership.committer().unwrap();
        membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS, now);
        let Some(Step::Join(attempt)) = membership.step(&holding(&two()), &topics(), now) else { panic!() };
        assert!(matches!(membership.join_refused(attempt, ApiKey::JoinGroup, code), JoinReaction::Stop));
        assert!(membership.committer().is_err());
        assert_eq!(membership.identity_in(stay), None);
        assert!(matches!(membership.step(&holding(&two()), &topics(), now), Some(Step::Lose)));
        membership.let_go();
        let Some(Step::Join(_)) = membership.step(&nothing(), &topics(), now) else { panic!() };
        assert!(membership.possessions().held.is_empty());
    }
}
