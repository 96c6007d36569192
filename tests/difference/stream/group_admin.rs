//! What is done with groups from outside: ListGroups, DescribeGroups, DeleteGroups, OffsetDelete.

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;

use super::groups::{Group, know};
use super::offsets::{commit, fetch_of};
use super::{topic, versions};
use crate::player::{Player, Topic};

pub fn play(player: &mut Player) {
    let kept = topic(player, "kept", 3, &[]);
    let (stable, joined) = Group::with_one_member(player, "stable", 9);
    player.mask.know_text(&stable.id, "stable");
    let simple = Group::new(player, "simple", 9);
    player.mask.know_text(&simple.id, "simple");
    player.quietly(8, &commit(&simple.id, &kept, &[(0, 5, None)]));
    // A group whose members have left, with a position.
    let (empty, gone) = Group::with_one_member(player, "empty", 9);
    player.mask.know_text(&empty.id, "empty");
    let commits = OffsetCommitRequest {
        member_id: gone.member_id.clone(),
        generation_id_or_member_epoch: gone.generation_id,
        ..commit(&empty.id, &kept, &[(0, 7, None)])
    };
    player.quietly(8, &commits);
    player.quietly(5, &empty.leave(5, &gone.member_id, None));
    let ids = [&*stable.id, &simple.id, &empty.id];
    know(player, &joined.member_id, "member");
    for version in versions::<ListGroupsRequest>() {
        list(player, version, &ids);
    }
    for version in versions::<DescribeGroupsRequest>() {
        describe(player, version, &ids);
    }
    states(player);
    for version in versions::<DeleteGroupsRequest>() {
        player.pass(version);
        delete(player, version, &stable, &kept);
    }
    player.end_of_passes();
    delete_offsets(player, &stable, &joined, &kept);
}

fn list(player: &mut Player, version: i16, ids: &[&str]) {
    let mut ask = |title: &str, states: &[&str], types: &[&str]| {
        let request = ListGroupsRequest {
            states_filter: states.iter().map(|&state| state.to_owned()).collect(),
            types_filter: types.iter().map(|&kind| kind.to_owned()).collect(),
        };
        player.ask_part(title, version, &request, |answer| {
            answer.groups.retain(|group| ids.contains(&&*group.group_id));
        });
    };
    ask("all groups, without those of others", &[], &[]);
    if version >= 4 {
        ask("stable groups", &["Stable"], &[]);
        ask("stable groups, in small letters", &["stable"], &[]);
        ask("empty and dead groups", &["Empty", "Dead"], &[]);
        ask("groups in a state that does not exist", &["Happy"], &[]);
    }
    if version >= 5 {
        ask("classic groups", &[], &["classic"]);
        ask("classic groups, in large letters", &[], &["CLASSIC"]);
        ask("consumer groups", &[], &["consumer"]);
        ask("groups of a kind that does not exist", &[], &["happy"]);
        ask("stable groups that are classic", &["Stable"], &["classic"]);
    }
}

fn describe(player: &mut Player, version: i16, ids: &[&str]) {
    let missing = player.name("no-such-group");
    let mut ask = |title: &str, groups: &[&str]| {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        player.ask(title, version, &DescribeGroupsRequest { groups, ..Default::default() });
    };
    ask("a group with a member", &ids[..1]);
    ask("a group that only stores positions", &ids[1..2]);
    ask("a group whose members have left", &ids[2..]);
    ask("a group that does not exist", &[&missing]);
    ask("two groups, one of which does not exist", &[ids[0], &missing]);
    ask("the same group twice", &[ids[0], ids[0]]);
    ask("an empty group id", &[""]);
    ask("no group", &[]);
    if version >= 3 {
        let request = DescribeGroupsRequest { groups: vec![ids[0].to_owned()], include_authorized_operations: true };
        player.ask("what may be done with a group", version, &request);
    }
}

/// A group in the states between two that last.
fn states(player: &mut Player) {
    let group = Group::new(player, "changing", 9);
    let first = player.quietly(9, &group.join(""));
    let joined = player.quietly(9, &group.join(&first.member_id));
    let leader = &*joined.member_id;
    know(player, leader, "leader");
    let request = DescribeGroupsRequest { groups: vec![group.id.clone()], ..Default::default() };
    player.ask("a group that waits for its leader", 6, &request);
    player.quietly(5, &group.sync(leader, joined.generation_id, &[(leader, b"all")]));
    let second = player.quietly(9, &group.join("")).member_id;
    know(player, &second, "second");
    let waiting = player.send_on("second", "the second member of a group that is described", 9, &group.join(&second));
    player.until(|player| {
        let beat = group.heartbeat(leader, joined.generation_id);
        player.quietly(4, &beat).error_code == ErrorCode::REBALANCE_IN_PROGRESS
    });
    player.ask("a group that waits for its members", 6, &request);
    let leave = DeleteGroupsRequest { groups_names: vec![group.id.clone()] };
    player.ask("a group that waits for its members", 2, &leave);
    player.quietly(5, &group.leave(5, leader, None));
    player.receive::<JoinGroupRequest>(waiting);
    player.quietly(5, &group.leave(5, &second, None));
}

fn delete(player: &mut Player, version: i16, stable: &Group, kept: &Topic) {
    let stored = Group::new(player, "deleted", version);
    player.quietly(8, &commit(&stored.id, kept, &[(0, 5, None)]));
    let other = player.name(&format!("also-deleted-{version}"));
    player.mask.know_text(&other, "other group");
    player.quietly(8, &commit(&other, kept, &[(0, 5, None)]));
    let missing = player.name("no-such-group");
    let mut ask = |title: &str, groups: &[&str]| {
        let groups_names = groups.iter().map(|&group| group.to_owned()).collect();
        player.ask(title, version, &DeleteGroupsRequest { groups_names });
    };
    ask("a group with a member", &[&stable.id]);
    ask("a group that does not exist", &[&missing]);
    ask("an empty group id", &[""]);
    ask("a blank group id", &[" "]);
    ask("a group without members", &[&stored.id]);
    ask("a group that was deleted", &[&stored.id]);
    ask("two groups, one of which does not exist", &[&other, &missing]);
    ask("the same group twice", &[&stable.id, &stable.id]);
    ask("no group", &[]);
    player.ask("of a group that was deleted", 8, &fetch_of(8, &stored.id, Some((kept, &[0]))));
}

fn delete_offsets(player: &mut Player, stable: &Group, joined: &JoinGroupResponse, kept: &Topic) {
    // The member subscribes to `a` alone, so positions in other topics may go.
    let commits = OffsetCommitRequest {
        member_id: joined.member_id.clone(),
        generation_id_or_member_epoch: joined.generation_id,
        ..commit(&stable.id, kept, &[(0, 5, None), (1, 6, None)])
    };
    player.quietly(8, &commits);
    let simple = Group::new(player, "positions", 9);
    player.quietly(8, &commit(&simple.id, kept, &[(0, 5, None), (1, 6, None), (2, 7, None)]));
    let of = |group: &str, topic: &str, partitions: &[i32]| OffsetDeleteRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetDeleteRequestTopic {
            name: topic.to_owned(),
            partitions: partitions
                .iter()
                .map(|&partition_index| OffsetDeleteRequestPartition { partition_index })
                .collect(),
        }],
    };
    let missing = player.name("no-such-group");
    let name = &*kept.name;
    for (title, request) in [
        ("a position", of(&simple.id, name, &[0])),
        ("a position that was deleted", of(&simple.id, name, &[0])),
        ("a partition that does not exist", of(&simple.id, name, &[1, 9])),
        ("a topic that does not exist", of(&simple.id, "unknown", &[0])),
        ("no partition", of(&simple.id, name, &[])),
        ("no topic", OffsetDeleteRequest { topics: vec![], ..of(&simple.id, name, &[]) }),
        ("of a group that does not exist", of(&missing, name, &[0])),
        ("of an empty group id", of("", name, &[9])),
        ("of a group with members that do not subscribe to the topic", of(&stable.id, name, &[0])),
    ] {
        player.ask(title, 0, &request);
    }
    player.ask("after positions were deleted", 8, &fetch_of(8, &simple.id, Some((kept, &[0, 1, 2]))));
    // Now one that does.
    let subscriber = Group::new(player, "subscriber", 9);
    let mut join = subscriber.join("");
    join.protocols = super::groups::protocols(&[("range", name)]);
    join.member_id = player.quietly(9, &join).member_id;
    let joined = player.quietly(9, &join);
    let member = &*joined.member_id;
    player.quietly(5, &subscriber.sync(member, joined.generation_id, &[(member, b"all")]));
    player.ask("of a group with a member that subscribes to the topic", 0, &of(&subscriber.id, name, &[0]));
    player.quietly(5, &subscriber.leave(5, member, None));
    player.quietly(5, &stable.leave(5, &join.member_id, None));
}
