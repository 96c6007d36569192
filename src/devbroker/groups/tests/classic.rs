//! Groups whose members assign among themselves.

use super::*;

/// Two members in a stable group of generation 2, the first of which leads.
fn pair(world: &mut World) -> (String, String) {
    let (a, joined) = world.join_new(&consumer());
    assert_eq!(joined.now().generation_id, 1);
    assert_eq!(world.sync(&a, 1, &[(&a, "all")]).now().assignment, Bytes::from("all".as_bytes()));
    let (b, joined) = world.join_new(&consumer());
    let again = world.join(&JoinGroupRequest { member_id: a.clone(), ..consumer() });
    assert_eq!((again.now().generation_id, joined.now().generation_id), (2, 2));
    let waiting = world.sync(&b, 2, &[]);
    assert!(waiting.is_open());
    world.sync(&a, 2, &[(&a, "left"), (&b, "right")]).now();
    assert_eq!(waiting.now().assignment, Bytes::from("right".as_bytes()));
    (a, b)
}

fn world() -> World {
    World::new(GroupOptions::default())
}

#[test]
fn a_new_member_is_told_its_id_which_it_must_use_within_its_session() {
    let mut world = world();
    let told = world.join(&consumer()).now();
    assert_eq!(told.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    assert!(told.member_id.starts_with("client-") && told.member_id.len() == "client-".len() + 36);
    world.pass(9);
    let late = JoinGroupRequest { member_id: told.member_id, ..consumer() };
    world.pass(1);
    assert_eq!(world.join(&late).now().error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.join_as(3, &consumer()).now().error_code, ErrorCode::NONE, "older clients join at once");
}

#[test]
fn only_the_leader_is_told_who_the_members_are() {
    let mut world = world();
    let (a, joined) = world.join_new(&consumer());
    let joined = joined.now();
    assert_eq!((joined.leader.as_str(), joined.members.len()), (a.as_str(), 1));
    let (b, waiting) = world.join_new(&consumer());
    assert!(waiting.is_open());
    let leader = world.join(&JoinGroupRequest { member_id: a.clone(), ..consumer() }).now();
    let follower = waiting.now();
    let mut members: Vec<&String> = leader.members.iter().map(|member| &member.member_id).collect();
    members.sort();
    let mut both = vec![&a, &b];
    both.sort();
    assert_eq!(members, both);
    assert_eq!((follower.leader.as_str(), follower.members.len()), (a.as_str(), 0));
    assert_eq!(follower.protocol_name.as_deref(), Some("range"));
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut world = world();
    let (a, b) = pair(&mut world);
    let again = world.join(&JoinGroupRequest { member_id: a.clone(), ..consumer() });
    assert_eq!(world.heartbeat(&b, 2), ErrorCode::REBALANCE_IN_PROGRESS);
    for _ in 0..2 {
        world.pass(9);
        assert_eq!(world.heartbeat(&b, 2), ErrorCode::REBALANCE_IN_PROGRESS);
        assert!(again.is_open());
    }
    world.pass(2);
    let joined = again.now();
    assert_eq!((joined.generation_id, joined.members.len()), (3, 1));
    assert_eq!(world.heartbeat(&b, 2), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn another_leads_if_the_leader_does_not_come_back() {
    let mut world = world();
    let (_, b) = pair(&mut world);
    let changed = with_protocols(&[("range", Bytes::from("other".as_bytes()))]);
    let again = world.join(&JoinGroupRequest { member_id: b.clone(), ..changed });
    world.pass(20);
    let joined = again.now();
    assert_eq!((joined.leader.as_str(), joined.members.len()), (b.as_str(), 1));
}

#[test]
fn a_silent_member_is_out_after_its_session_and_the_others_rebalance() {
    let mut world = world();
    let (a, b) = pair(&mut world);
    world.pass(6);
    assert_eq!(world.heartbeat(&a, 2), ErrorCode::NONE);
    world.pass(6);
    assert_eq!(world.heartbeat(&b, 2), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.heartbeat(&a, 2), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.join(&JoinGroupRequest { member_id: a.clone(), ..consumer() }).now().generation_id, 3);
    world.pass(20);
    assert_eq!(world.state(), Some("Empty"));
}

#[test]
fn waiting_for_the_others_keeps_a_member_alive() {
    let mut world = world();
    let (a, b) = pair(&mut world);
    let slow = JoinGroupRequest { member_id: a.clone(), rebalance_timeout_ms: 60_000, ..consumer() };
    let again = world.join(&slow);
    for _ in 0..6 {
        world.pass(9);
        world.heartbeat(&b, 2);
    }
    assert!(again.is_open(), "54 s without a heartbeat of its own");
    world.join(&JoinGroupRequest { member_id: b.clone(), ..consumer() });
    assert_eq!(again.now().members.len(), 2);
}

#[test]
fn a_follower_that_joins_again_unchanged_gets_the_generation_it_is_in() {
    let mut world = world();
    let (a, b) = pair(&mut world);
    let again = world.join(&JoinGroupRequest { member_id: b.clone(), ..consumer() }).now();
    assert_eq!((again.generation_id, again.leader.as_str()), (2, a.as_str()));
    let changed = with_protocols(&[("range", Bytes::from("other".as_bytes()))]);
    assert!(world.join(&JoinGroupRequest { member_id: b, ..changed }).is_open());
}

#[test]
fn a_leader_that_does_not_assign_is_out() {
    let mut world = world();
    let (a, joined) = world.join_new(&consumer());
    joined.now();
    let (b, joined) = world.join_new(&consumer());
    world.join(&JoinGroupRequest { member_id: a.clone(), ..consumer() }).now();
    joined.now();
    let waiting = world.sync(&b, 2, &[]);
    for _ in 0..2 {
        world.pass(9);
        assert_eq!(world.heartbeat(&a, 2), ErrorCode::NONE);
        assert!(waiting.is_open());
    }
    world.pass(2);
    assert_eq!(waiting.now().error_code, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.heartbeat(&a, 2), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.join(&JoinGroupRequest { member_id: b.clone(), ..consumer() }).now().leader, b);
}

#[test]
fn whoever_leaves_is_answered_what_it_still_waits_for() {
    let mut world = world();
    let (a, b) = pair(&mut world);
    let waiting = world.join(&JoinGroupRequest { member_id: a.clone(), ..consumer() });
    assert_eq!(world.leave(&a), ErrorCode::NONE);
    assert_eq!(waiting.now().error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.leave(&a), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.leave(&b), ErrorCode::NONE);
    assert_eq!(world.state(), Some("Empty"));
}

#[test]
fn a_static_member_that_comes_back_takes_its_place_without_a_rebalance() {
    let mut world = world();
    let request = |instance: &str| JoinGroupRequest { group_instance_id: Some(instance.to_owned()), ..consumer() };
    let a = world.join(&request("i")).now().member_id;
    assert!(a.starts_with("i-"));
    world.sync(&a, 1, &[(&a, "all")]).now();
    let back = world.join_as(9, &request("i")).now();
    assert_ne!(back.member_id, a);
    assert_eq!((back.generation_id, back.skip_assignment, back.members.len()), (1, true, 1));
    assert_eq!(world.parts(), [(back.member_id.clone(), "all".to_owned())]);
    let old = HeartbeatRequest {
        group_id: "g".to_owned(),
        generation_id: 1,
        member_id: a.clone(),
        group_instance_id: Some("i".to_owned()),
    };
    assert_eq!(world.groups.heartbeat(world.now, &world.topics, &old), ErrorCode::FENCED_INSTANCE_ID);
    let older_client = world.join_as(8, &request("i")).now();
    assert_eq!((older_client.leader, older_client.members.len()), (back.member_id, 0), "it must not assign again");
    world.pass(9);
    let gone = MemberIdentity { group_instance_id: Some("i".to_owned()), ..Default::default() };
    assert_eq!(world.groups.leave(world.now, &world.topics, "g", &[gone])[0].error_code, ErrorCode::NONE);
    assert_eq!(world.state(), Some("Empty"));
}

#[test]
fn a_static_member_that_does_not_come_back_keeps_its_place_until_its_session_ends() {
    let mut world = world();
    let request = |instance: &str| JoinGroupRequest {
        group_instance_id: Some(instance.to_owned()),
        session_timeout_ms: 60_000,
        ..consumer()
    };
    let a = world.join(&request("a")).now().member_id;
    world.sync(&a, 1, &[(&a, "all")]).now();
    let waiting = world.join(&request("b"));
    world.pass(20);
    let joined = waiting.now();
    assert_eq!((joined.generation_id, joined.leader.as_str(), joined.members.len()), (2, joined.member_id.as_str(), 2));
    assert_eq!(world.heartbeat(&joined.member_id, 2), ErrorCode::NONE);
}

#[test]
fn the_first_generation_waits_for_more_members_as_long_as_some_come() {
    let delay = GroupOptions { initial_rebalance_delay: Duration::from_secs(3), ..Default::default() };
    let mut world = World::new(delay);
    let (_, first) = world.join_new(&consumer());
    world.pass(2);
    let (_, second) = world.join_new(&consumer());
    world.pass(2);
    assert!(first.is_open(), "somebody came since");
    world.pass(2);
    assert_eq!((first.now().generation_id, second.now().generation_id), (1, 1));

    let mut world = World::new(GroupOptions { initial_rebalance_delay: Duration::from_secs(3), ..Default::default() });
    let (_, first) = world.join_new(&consumer());
    let mut later = Vec::new();
    for _ in 0..9 {
        world.pass(2);
        later.push(world.join_new(&consumer()).1);
    }
    assert!(first.is_open());
    world.pass(4);
    let joined = first.now();
    assert_eq!((joined.generation_id, joined.members.len()), (1, 10), "no longer than the rebalance timeout");
}

#[test]
fn the_protocol_that_all_support_and_most_prefer_is_chosen() {
    let mut world = world();
    let metadata = || Bytes::from("m".as_bytes());
    let lists: [&[&str]; 3] = [&["x", "y", "z"], &["z", "y"], &["y", "z"]];
    let requests = lists.map(|names| with_protocols(&names.iter().map(|name| (*name, metadata())).collect::<Vec<_>>()));
    let (a, joined) = world.join_new(&requests[0]);
    assert_eq!(joined.now().protocol_name.as_deref(), Some("x"));
    let (_, b) = world.join_new(&requests[1]);
    let (_, c) = world.join_new(&requests[2]);
    world.join(&JoinGroupRequest { member_id: a, ..requests[0].clone() });
    assert_eq!(b.now().protocol_name.as_deref(), Some("y"));
    assert_eq!(c.now().protocol_name.as_deref(), Some("y"));
    let stranger = with_protocols(&[("x", metadata())]);
    assert_eq!(world.join(&stranger).now().error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let other = JoinGroupRequest { protocol_type: "connect".to_owned(), ..requests[1].clone() };
    assert_eq!(world.join(&other).now().error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[test]
fn positions_are_taken_from_members_of_the_generation_and_from_anyone_if_there_are_none() {
    let mut world = world();
    assert_eq!(world.commit("m", 3, "t", 0, 1), Err(ErrorCode::GROUP_ID_NOT_FOUND));
    assert_eq!(world.commit("", -1, "t", 0, 1), Ok(()));
    let (a, joined) = world.join_new(&consumer());
    joined.now();
    assert_eq!(world.commit(&a, 1, "t", 0, 2), Err(ErrorCode::REBALANCE_IN_PROGRESS));
    world.sync(&a, 1, &[]).now();
    assert_eq!(world.commit(&a, 1, "t", 0, 2), Ok(()));
    assert_eq!(world.commit(&a, 2, "t", 0, 3), Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(world.commit("x", 1, "t", 0, 3), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(world.commit("", -1, "t", 0, 3), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(world.position("t", 0), Some(2));
    world.pass(6);
    world.commit(&a, 1, "t", 0, 4).unwrap();
    world.pass(6);
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::NONE, "a commit is a sign of life");
    assert_eq!(world.groups.delete("g"), Err(ErrorCode::NON_EMPTY_GROUP));
    assert_eq!(world.groups.delete_position("g", "t", 0), Err(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC));
    assert_eq!(world.groups.delete_position("g", "other", 0), Ok(()));
    world.leave(&a);
    assert_eq!(world.groups.delete_position("g", "t", 0), Ok(()));
    assert_eq!(world.position("t", 0), None);
    assert_eq!(world.groups.delete("g"), Ok(()));
    assert_eq!(world.groups.delete("g"), Err(ErrorCode::GROUP_ID_NOT_FOUND));
}

#[test]
fn a_group_without_members_is_forgotten_with_its_positions() {
    let week = 7 * 86_400;
    let mut world = world();
    let (a, joined) = world.join_new(&consumer());
    joined.now();
    world.sync(&a, 1, &[]).now();
    world.commit(&a, 1, "t", 0, 2).unwrap();
    world.pass(5);
    world.leave(&a);
    world.pass(week - 1200);
    assert_eq!(world.position("t", 0), Some(2));
    world.pass(2400);
    assert_eq!(world.state(), None);

    let (_, joined) = world.join_new(&consumer());
    joined.now();
    world.pass(3600);
    assert_eq!(world.state(), None, "without positions it goes with the next look");
}

#[test]
fn a_deleted_topic_takes_its_positions_along() {
    let mut world = world();
    world.commit("", -1, "t", 0, 1).unwrap();
    world.commit("", -1, "u", 0, 1).unwrap();
    world.groups.topic_deleted("t");
    assert_eq!((world.position("t", 0), world.position("u", 0)), (None, Some(1)));
}

#[test]
fn positions_survive_being_kept_elsewhere() {
    let mut world = world();
    world.commit("", -1, "t", 3, 17).unwrap();
    let kept = world.groups.all_positions();
    assert_eq!(kept.len(), 1);
    let mut other = World::new(GroupOptions::default());
    other.groups.restore(other.now, kept.clone());
    assert_eq!(other.groups.all_positions(), kept);
    assert_eq!((other.state(), other.position("t", 3)), (Some("Empty"), Some(17)));
}

#[test]
fn the_timer_is_told_of_an_earlier_end_and_not_of_heartbeats() {
    let mut world = world();
    assert!(!world.groups.hurries());
    world.pass(0);
    let (a, joined) = world.join_new(&consumer());
    joined.now();
    assert!(world.groups.hurries(), "its session ends before the next look at the positions");
    world.sync(&a, 1, &[]).now();
    world.groups.hurries();
    world.pass(5);
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::NONE);
    assert!(!world.groups.hurries());
}

#[test]
fn who_waits_is_sent_on_when_the_coordinator_moves() {
    let mut world = world();
    let (a, b) = pair(&mut world);
    let waiting = world.join(&JoinGroupRequest { member_id: a.clone(), ..consumer() });
    world.groups.moved("g");
    assert_eq!(waiting.now().error_code, ErrorCode::NOT_COORDINATOR);
    let again = world.join(&JoinGroupRequest { member_id: a, ..consumer() });
    world.join(&JoinGroupRequest { member_id: b, ..consumer() });
    assert_eq!(again.now().generation_id, 3);
}

#[test]
fn a_member_can_be_expelled() {
    let mut world = world();
    let (a, b) = pair(&mut world);
    assert_eq!(world.groups.members("g"), BTreeSet::from([a.clone(), b.clone()]));
    assert!(world.groups.expel(world.now, &world.topics, "g", &b));
    assert!(!world.groups.expel(world.now, &world.topics, "g", &b));
    assert_eq!(world.heartbeat(&b, 2), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.heartbeat(&a, 2), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_group_holds_no_more_than_it_may() {
    let mut world = world();
    let big = with_protocols(&[("range", vec![0; MAX_GROUP_BYTES + 1].into())]);
    assert_eq!(world.join(&big).now().error_code, ErrorCode::UNKNOWN_SERVER_ERROR);
    let half = with_protocols(&[("range", vec![0; MAX_GROUP_BYTES - 100].into())]);
    let (a, joined) = world.join_new(&half);
    joined.now();
    assert_eq!(world.join(&consumer()).now().error_code, ErrorCode::MEMBER_ID_REQUIRED);
    let too_much = "x".repeat(200);
    assert_eq!(world.sync(&a, 1, &[(&a, &too_much)]).now().error_code, ErrorCode::UNKNOWN_SERVER_ERROR);

    let mut world = World::new(GroupOptions::default());
    for _ in 0..MAX_MEMBERS {
        assert_eq!(world.join(&consumer()).now().error_code, ErrorCode::MEMBER_ID_REQUIRED);
    }
    assert_eq!(world.join(&consumer()).now().error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
}
