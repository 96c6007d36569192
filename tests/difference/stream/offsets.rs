//! OffsetCommit and OffsetFetch.

use krs::kafka::protocol::messages::*;

use super::groups::Group;
use super::{NO_TOPIC, at_most, topic, versions};
use crate::player::{Player, Topic};

pub fn play(player: &mut Player) {
    let stored = topic(player, "stored", 3, &[]);
    for version in versions::<OffsetCommitRequest>() {
        player.pass(version);
        simple_commits(player, version, &stored);
        member_commits(player, version, &stored);
    }
    for version in versions::<OffsetFetchRequest>() {
        player.pass(version);
        fetches(player, version, &stored);
    }
}

/// Commits of a consumer that is in no group's membership.
fn simple_commits(player: &mut Player, version: i16, stored: &Topic) {
    let group = Group::new(player, "committing", version);
    let sound = commit(&group.id, stored, &[(0, 5, Some("note"))]);
    let mut ask = |title: &str, request: &OffsetCommitRequest| {
        player.ask(title, version, request);
    };
    ask("of no member", &sound);
    ask("two partitions", &commit(&group.id, stored, &[(0, 6, None), (2, 7, Some(""))]));
    ask("the same partition twice", &commit(&group.id, stored, &[(1, 6, None), (1, 7, None)]));
    ask("a partition that does not exist", &commit(&group.id, stored, &[(0, 6, None), (9, 7, None)]));
    ask("a negative partition", &commit(&group.id, stored, &[(-1, 7, None)]));
    ask("a negative offset", &commit(&group.id, stored, &[(0, -1, None)]));
    ask("an offset of -7", &commit(&group.id, stored, &[(0, -7, None)]));
    ask("an offset beyond the end", &commit(&group.id, stored, &[(0, 1 << 40, None)]));
    let unknown = Topic { name: "unknown".to_owned(), id: NO_TOPIC };
    ask("a topic that does not exist", &commit(&group.id, &unknown, &[(0, 5, None)]));
    let mut mixed = sound.clone();
    mixed.topics.extend(commit(&group.id, &unknown, &[(0, 5, None)]).topics);
    ask("two topics, one of which does not exist", &mixed);
    let long = "x".repeat(5000);
    ask("metadata above the limit", &commit(&group.id, stored, &[(0, 5, Some(&long)), (1, 5, None)]));
    ask("metadata at the limit", &commit(&group.id, stored, &[(0, 5, Some(&long[..4096]))]));
    ask("no topic", &OffsetCommitRequest { topics: vec![], ..sound.clone() });
    ask("no partition", &commit(&group.id, stored, &[]));
    ask("an empty group id", &commit("", stored, &[(0, 5, None)]));
    ask(
        "a member of a group that does not exist",
        &OffsetCommitRequest {
            group_id: player_group(&group, "no-such"),
            member_id: "nobody".to_owned(),
            generation_id_or_member_epoch: 1,
            ..sound.clone()
        },
    );
    ask(
        "a generation of a group that does not exist",
        &OffsetCommitRequest {
            group_id: player_group(&group, "no-such"),
            generation_id_or_member_epoch: 1,
            ..sound.clone()
        },
    );
    ask(
        "a member of a group without members",
        &OffsetCommitRequest { member_id: "nobody".to_owned(), generation_id_or_member_epoch: 1, ..sound.clone() },
    );
    if version <= 4 {
        ask("a retention time", &OffsetCommitRequest { retention_time_ms: 1 << 30, ..sound.clone() });
    }
    let fetch = at_most::<OffsetFetchRequest>(version);
    player.ask("what was committed", fetch, &fetch_of(fetch, &group.id, Some((stored, &[0, 1, 2]))));
}

/// Commits of a member, and of others to a group that has members.
fn member_commits(player: &mut Player, version: i16, stored: &Topic) {
    let (group, joined) = Group::with_one_member(player, "member-committing", version.min(9));
    let (member, generation) = (&*joined.member_id, joined.generation_id);
    let of = |member: &str, generation: i32| OffsetCommitRequest {
        member_id: member.to_owned(),
        generation_id_or_member_epoch: generation,
        ..commit(&group.id, stored, &[(0, 5, Some("note"))])
    };
    let mut ask = |title: &str, request: &OffsetCommitRequest| {
        player.ask(title, version, request);
    };
    ask("of a member", &of(member, generation));
    ask("of a member, an old generation", &of(member, generation - 1));
    ask("of a member, a generation to come", &of(member, generation + 1));
    ask("of a member, no generation", &of(member, -1));
    ask("of a member that does not exist", &of("nobody", generation));
    ask("of no member, to a group with members", &of("", -1));
    ask("of no member, with the generation", &of("", generation));
    if version >= 7 {
        let instance = |instance: &str| OffsetCommitRequest {
            group_instance_id: Some(instance.to_owned()),
            ..of(member, generation)
        };
        ask("of a member, with an instance id that does not exist", &instance("i1"));
    }
    let leave = at_most::<LeaveGroupRequest>(group.version);
    player.quietly(leave, &group.leave(leave, member, None));
}

fn fetches(player: &mut Player, version: i16, stored: &Topic) {
    let group = Group::new(player, "fetching", version);
    let written = commit(&group.id, stored, &[(0, 5, Some("note")), (1, 6, None)]);
    player.quietly(8, &written);
    let id = &*group.id;
    let mut ask = |title: &str, request: &OffsetFetchRequest| {
        player.ask(title, version, request);
    };
    ask("two partitions", &fetch_of(version, id, Some((stored, &[0, 1]))));
    ask("a partition without an offset", &fetch_of(version, id, Some((stored, &[1, 2]))));
    ask("a partition that does not exist", &fetch_of(version, id, Some((stored, &[0, 9]))));
    ask("the same partition twice", &fetch_of(version, id, Some((stored, &[0, 0]))));
    ask("no partition", &fetch_of(version, id, Some((stored, &[]))));
    let unknown = Topic { name: "unknown".to_owned(), id: NO_TOPIC };
    ask("a topic that does not exist", &fetch_of(version, id, Some((&unknown, &[0]))));
    ask("a group that does not exist", &fetch_of(version, &player_group(&group, "no-such"), Some((stored, &[0]))));
    ask("an empty group id", &fetch_of(version, "", Some((stored, &[0]))));
    if version >= 2 {
        ask("all topics", &fetch_of(version, id, None));
        ask("all topics of a group that does not exist", &fetch_of(version, &player_group(&group, "no-such"), None));
    }
    let mut none = fetch_of(version, id, Some((stored, &[0])));
    match none.groups.first_mut() {
        Some(group) => group.topics = Some(vec![]),
        None => none.topics = Some(vec![]),
    }
    ask("no topic", &none);
    if version >= 7 {
        let stable = OffsetFetchRequest { require_stable: true, ..fetch_of(version, id, Some((stored, &[0]))) };
        ask("only what is stable", &stable);
    }
    if version >= 8 {
        let mut two = fetch_of(version, id, Some((stored, &[0])));
        two.groups.extend(fetch_of(version, &player_group(&group, "no-such"), None).groups);
        ask("two groups", &two);
        ask("no group", &OffsetFetchRequest { groups: vec![], ..two.clone() });
        two.groups.truncate(1);
        two.groups.extend(two.groups.clone());
        ask("the same group twice", &two);
    }
    if version >= 9 {
        let mut of_member = fetch_of(version, id, Some((stored, &[0])));
        of_member.groups[0].member_id = Some("nobody".to_owned());
        of_member.groups[0].member_epoch = 1;
        ask("as a member that does not exist", &of_member);
        of_member.groups[0].member_id = None;
        ask("with an epoch, but no member", &of_member);
    }
}

/// Another group's id beside this one's.
fn player_group(group: &Group, name: &str) -> String {
    format!("{name}-{}", group.id)
}

/// Commits offset and metadata of partitions.
pub fn commit(group: &str, topic: &Topic, partitions: &[(i32, i64, Option<&str>)]) -> OffsetCommitRequest {
    let partitions = partitions
        .iter()
        .map(|&(partition_index, committed_offset, metadata)| OffsetCommitRequestPartition {
            partition_index,
            committed_offset,
            committed_metadata: metadata.map(str::to_owned),
            ..Default::default()
        })
        .collect();
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetCommitRequestTopic { name: topic.name.clone(), topic_id: topic.id, partitions }],
        ..Default::default()
    }
}

/// Asks for partitions of a topic, or for all there are, in the form of this version.
pub fn fetch_of(version: i16, group: &str, partitions: Option<(&Topic, &[i32])>) -> OffsetFetchRequest {
    let group_id = group.to_owned();
    if version <= 7 {
        let topics = partitions.map(|(topic, indexes)| {
            vec![OffsetFetchRequestTopic { name: topic.name.clone(), partition_indexes: indexes.to_vec() }]
        });
        return OffsetFetchRequest { group_id, topics, ..Default::default() };
    }
    let topics = partitions.map(|(topic, indexes)| {
        vec![OffsetFetchRequestTopics {
            name: topic.name.clone(),
            topic_id: topic.id,
            partition_indexes: indexes.to_vec(),
        }]
    });
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup { group_id, topics, ..Default::default() }],
        ..Default::default()
    }
}
