//! FindCoordinator for groups, and the life of classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{Bytes, ErrorCode};

use super::{at_most, versions};
use crate::player::Player;

/// Longer than any run of the stream, so that nobody is thrown out.
const SESSION: i32 = 120_000;

pub fn play(player: &mut Player) {
    for version in versions::<FindCoordinatorRequest>() {
        player.pass(version);
        find(player, version);
    }
    for version in versions::<JoinGroupRequest>() {
        player.pass(version);
        alone(player, version);
        refused_joins(player, version);
        strangers(player, version);
        two_members(player, version);
        if version >= 5 {
            static_member(player, version);
        }
    }
}

fn find(player: &mut Player, version: i16) {
    let group = player.name("found");
    let ask = |player: &mut Player, title: &str, keys: &[&str], key_type: i8| {
        let one = version <= 3;
        let request = FindCoordinatorRequest {
            key: if one { keys[0].to_owned() } else { String::new() },
            key_type: if version >= 1 { key_type } else { 0 },
            coordinator_keys: keys.iter().filter(|_| !one).map(|&key| key.to_owned()).collect(),
        };
        player.ask(title, version, &request);
    };
    ask(player, "of a group", &[&group], 0);
    ask(player, "of an empty group id", &[""], 0);
    if version >= 1 {
        ask(player, "of a share group that names no partition", &[&group], 2);
        ask(player, "of a kind that does not exist", &[&group], 9);
        ask(player, "of a negative kind", &[&group], -1);
    }
    if version >= 4 {
        ask(player, "of two groups", &[&group, "another"], 0);
        ask(player, "of no group", &[], 0);
        ask(player, "of the same group twice", &[&group, &group], 0);
    }
}

/// What a group's requests of one version of JoinGroup are made of.
pub struct Group {
    pub id: String,
    pub version: i16,
}

impl Group {
    /// A group that is new, and whose coordinator is ready.
    pub fn new(player: &mut Player, name: &str, version: i16) -> Self {
        let id = player.name(&format!("{name}-{version}"));
        player.mask.know_text(&id, "group");
        player.until(|player| {
            let heartbeat = HeartbeatRequest { group_id: id.clone(), ..Default::default() };
            let answer = player.quietly(4, &heartbeat);
            !matches!(
                answer.error_code,
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
                    | ErrorCode::COORDINATOR_NOT_AVAILABLE
                    | ErrorCode::NOT_COORDINATOR
            )
        });
        Self { id, version }
    }

    pub fn join(&self, member: &str) -> JoinGroupRequest {
        JoinGroupRequest {
            group_id: self.id.clone(),
            session_timeout_ms: SESSION,
            rebalance_timeout_ms: SESSION,
            member_id: member.to_owned(),
            protocol_type: "consumer".to_owned(),
            protocols: protocols(&[("range", "a"), ("roundrobin", "b")]),
            ..Default::default()
        }
    }

    pub fn sync(&self, member: &str, generation: i32, assignments: &[(&str, &[u8])]) -> SyncGroupRequest {
        SyncGroupRequest {
            group_id: self.id.clone(),
            generation_id: generation,
            member_id: member.to_owned(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
            assignments: assignments
                .iter()
                .map(|&(member, assignment)| SyncGroupRequestAssignment {
                    member_id: member.to_owned(),
                    assignment: Bytes::from(assignment),
                })
                .collect(),
            ..Default::default()
        }
    }

    pub fn heartbeat(&self, member: &str, generation: i32) -> HeartbeatRequest {
        HeartbeatRequest {
            group_id: self.id.clone(),
            generation_id: generation,
            member_id: member.to_owned(),
            ..Default::default()
        }
    }

    /// In either form, one member or several.
    pub fn leave(&self, version: i16, member: &str, instance: Option<&str>) -> LeaveGroupRequest {
        let several = version >= 3;
        LeaveGroupRequest {
            group_id: self.id.clone(),
            member_id: if several { String::new() } else { member.to_owned() },
            members: if several { vec![identity(member, instance)] } else { vec![] },
        }
    }

    /// Joins as a new member, in the one or two steps that this takes, and notes them.
    pub fn enter(&self, player: &mut Player, who: &str) -> JoinGroupResponse {
        let mut member = String::new();
        let known = |player: &mut Player, answer: &JoinGroupResponse| know(player, &answer.member_id, who);
        let title = format!("{who} joins");
        let version = self.version;
        let answer = player.ask_known(&title, version, &self.join(""), known);
        if answer.error_code == ErrorCode::MEMBER_ID_REQUIRED {
            member.clone_from(&answer.member_id);
            return player.ask(&format!("{who} joins with its id"), version, &self.join(&member));
        }
        answer
    }

    /// A group with one member, in the state Stable; nothing of it is noted.
    pub fn with_one_member(player: &mut Player, name: &str, version: i16) -> (Self, JoinGroupResponse) {
        let group = Self::new(player, name, version);
        let first = player.quietly(version, &group.join(""));
        let mut joined = first;
        if joined.error_code == ErrorCode::MEMBER_ID_REQUIRED {
            joined = player.quietly(version, &group.join(&joined.member_id));
        }
        know(player, &joined.member_id, "member");
        let sync = group.sync(&joined.member_id, joined.generation_id, &[(&joined.member_id, b"all")]);
        player.quietly(at_most::<SyncGroupRequest>(version), &sync);
        (group, joined)
    }
}

/// Protocols, each with the one topic that the member subscribes to with it. The group coordinator reads them; a member
/// whose subscription is no such thing would be left without an answer for good.
pub fn protocols(protocols: &[(&str, &str)]) -> Vec<JoinGroupRequestProtocol> {
    let protocol = |&(name, topic): &(&str, &str)| {
        let topics = vec![topic.to_owned()];
        let metadata = ConsumerProtocolSubscription { topics, ..Default::default() }.to_bytes(0);
        JoinGroupRequestProtocol { name: name.to_owned(), metadata: metadata.expect("a short topic") }
    };
    protocols.iter().map(protocol).collect()
}

pub fn identity(member: &str, instance: Option<&str>) -> MemberIdentity {
    MemberIdentity {
        member_id: member.to_owned(),
        group_instance_id: instance.map(str::to_owned),
        reason: Some("done".to_owned()),
    }
}

/// Names the part of a member id that the broker chose.
pub fn know(player: &mut Player, member: &str, who: &str) {
    if let Some(random) = member.len().checked_sub(36).and_then(|start| member.get(start..)) {
        player.mask.know_text(random, &format!("id of {who}"));
    }
}

/// One member from joining to leaving.
fn alone(player: &mut Player, version: i16) {
    let group = Group::new(player, "alone", version);
    let sync = at_most::<SyncGroupRequest>(version);
    let heartbeat = at_most::<HeartbeatRequest>(version);
    let leave = at_most::<LeaveGroupRequest>(version);
    let joined = group.enter(player, "alone");
    let (member, generation) = (&*joined.member_id, joined.generation_id);

    player.ask("alone, before SyncGroup", heartbeat, &group.heartbeat(member, generation));
    player.ask("alone, joins again before SyncGroup", version, &group.join(member));
    player.ask("alone, an old generation", sync, &group.sync(member, generation - 1, &[(member, b"all")]));
    if sync >= 5 {
        let mut request = group.sync(member, generation, &[(member, b"all")]);
        request.protocol_type = Some("other".to_owned());
        player.ask("alone, another protocol type", sync, &request);
        request.protocol_type = Some("consumer".to_owned());
        request.protocol_name = Some("other".to_owned());
        player.ask("alone, another protocol", sync, &request);
        request.protocol_type = None;
        request.protocol_name = None;
        player.ask("alone, neither protocol type nor protocol", sync, &request);
    }
    player.ask("alone, the leader assigns", sync, &group.sync(member, generation, &[(member, b"all")]));
    player.ask("alone, asks for its assignment again", sync, &group.sync(member, generation, &[]));
    player.ask("alone", heartbeat, &group.heartbeat(member, generation));
    player.ask("alone, an old generation", heartbeat, &group.heartbeat(member, generation - 1));
    player.ask("alone, a generation to come", heartbeat, &group.heartbeat(member, generation + 1));
    player.ask("alone, a member that does not exist", heartbeat, &group.heartbeat("nobody", generation));
    player.ask("alone, no member id", heartbeat, &group.heartbeat("", generation));
    let generation = player.ask("alone, the leader joins again", version, &group.join(member)).generation_id;
    player.ask("alone, no assignment for itself", sync, &group.sync(member, generation, &[]));
    let mut changed = group.join(member);
    changed.protocols = protocols(&[("roundrobin", "d")]);
    let generation = player.ask("alone, with other protocols", version, &changed).generation_id;
    player.ask("alone, a member that does not exist", leave, &group.leave(leave, "nobody", None));
    player.ask("alone, no member id", leave, &group.leave(leave, "", None));
    if leave >= 3 {
        let request = LeaveGroupRequest { group_id: group.id.clone(), ..Default::default() };
        player.ask("alone, nobody", leave, &request);
        let members = vec![identity("nobody", None), identity(member, None), identity(member, None)];
        player.ask(
            "alone, leaves twice, with one that does not exist",
            leave,
            &LeaveGroupRequest { members, ..request },
        );
    } else {
        player.ask("alone, leaves", leave, &group.leave(leave, member, None));
    }
    player.ask("alone, after leaving", heartbeat, &group.heartbeat(member, generation));
    player.ask("alone, after leaving", sync, &group.sync(member, generation, &[]));
    player.ask("alone, after leaving", leave, &group.leave(leave, member, None));
    player.ask("alone, joins with its old id after leaving", version, &group.join(member));
}

fn refused_joins(player: &mut Player, version: i16) {
    let group = Group::new(player, "refused", version);
    let sound = group.join("");
    let mut ask = |title: &str, request: JoinGroupRequest| {
        player.ask_known(title, version, &request, |player, answer| know(player, &answer.member_id, "refused"));
    };
    ask("an empty group id", JoinGroupRequest { group_id: String::new(), ..sound.clone() });
    ask("a session timeout below the lowest", JoinGroupRequest { session_timeout_ms: 10, ..sound.clone() });
    ask("a session timeout above the highest", JoinGroupRequest { session_timeout_ms: i32::MAX, ..sound.clone() });
    ask("a negative session timeout", JoinGroupRequest { session_timeout_ms: -1, ..sound.clone() });
    ask("no protocol", JoinGroupRequest { protocols: vec![], ..sound.clone() });
    ask("no protocol type", JoinGroupRequest { protocol_type: String::new(), ..sound.clone() });
    ask("a member id that the broker did not give", group.join("nobody"));
    if version >= 5 {
        let long = "x".repeat(250);
        for (title, instance) in [
            ("an empty instance id", ""),
            ("an illegal instance id", "no instance!"),
            ("an instance id of 250 letters", &long),
        ] {
            let group = Group::new(player, "strange-instance", version);
            let request = JoinGroupRequest { group_instance_id: Some(instance.to_owned()), ..group.join("") };
            let joined = player.ask_known(title, version, &request, |player, answer| {
                know(player, &answer.member_id, "strange");
            });
            let leave = at_most::<LeaveGroupRequest>(version);
            player.quietly(leave, &group.leave(leave, &joined.member_id, None));
        }
    }

    let (group, joined) = Group::with_one_member(player, "refusing", version);
    let mut ask = |title: &str, request: JoinGroupRequest| {
        player.ask_known(title, version, &request, |player, answer| know(player, &answer.member_id, "refused"));
    };
    let sound = group.join("");
    ask(
        "another protocol type than the group's",
        JoinGroupRequest { protocol_type: "connect".to_owned(), ..sound.clone() },
    );
    ask("no protocol in common with the group", JoinGroupRequest { protocols: protocols(&[("sticky", "a")]), ..sound });
    ask("a member id that a group with members does not know", group.join("nobody"));
    let leave = at_most::<LeaveGroupRequest>(version);
    player.quietly(leave, &group.leave(leave, &joined.member_id, None));
}

/// Requests about groups that do not exist, or to groups without an id.
fn strangers(player: &mut Player, version: i16) {
    let group = Group::new(player, "strange", version);
    for (title, group) in
        [("a group that does not exist", &group), ("an empty group id", &Group { id: String::new(), version })]
    {
        // Each version of these once.
        if versions::<SyncGroupRequest>().contains(&version) {
            player.ask(title, version, &group.sync("nobody", 1, &[]));
        }
        if versions::<HeartbeatRequest>().contains(&version) {
            player.ask(title, version, &group.heartbeat("nobody", 1));
        }
        if versions::<LeaveGroupRequest>().contains(&version) {
            player.ask(title, version, &group.leave(version, "nobody", None));
        }
    }
}

/// A second member comes, both rebalance, the leader leaves.
fn two_members(player: &mut Player, version: i16) {
    let (group, first) = Group::with_one_member(player, "two", version);
    let sync = at_most::<SyncGroupRequest>(version);
    let heartbeat = at_most::<HeartbeatRequest>(version);
    let leave = at_most::<LeaveGroupRequest>(version);
    let (leader, generation) = (&*first.member_id, first.generation_id);
    know(player, leader, "leader");

    // The second one gets its id first where the version has that step, so that it can wait with a known id.
    let mut second = group.join("");
    // What both have in common is not what either prefers.
    second.protocols = protocols(&[("sticky", "c"), ("roundrobin", "d")]);
    if version >= 4 {
        let required = player.ask_known("a second member asks for an id", version, &second, |player, answer| {
            know(player, &answer.member_id, "second");
        });
        second.member_id = required.member_id;
    }
    let waiting = player.send_on("second", "a second member joins", version, &second);
    player.until(|player| {
        player.quietly(heartbeat, &group.heartbeat(leader, generation)).error_code == ErrorCode::REBALANCE_IN_PROGRESS
    });
    player.ask("the leader, while a second member joins", heartbeat, &group.heartbeat(leader, generation));
    player.ask("the leader, while a second member joins", sync, &group.sync(leader, generation, &[]));
    player.ask("the leader joins again, for the second member", version, &group.join(leader));
    let second =
        player.receive_known::<JoinGroupRequest>(waiting, |player, answer| know(player, &answer.member_id, "second"));
    let (member, generation) = (&*second.member_id, second.generation_id);
    player.ask("the second member, before the leader has assigned", heartbeat, &group.heartbeat(member, generation));
    let synced = |member: &str, assignments: &[(&str, &[u8])]| SyncGroupRequest {
        protocol_name: Some("roundrobin".to_owned()),
        ..group.sync(member, generation, assignments)
    };
    let waiting = player.send_on("second", "the second member", sync, &synced(member, &[]));
    player.ask("the leader assigns for two", sync, &synced(leader, &[(leader, b"one"), (member, b"two")]));
    player.receive::<SyncGroupRequest>(waiting);
    player.ask("the second member", heartbeat, &group.heartbeat(member, generation));
    player.ask(
        "the second member joins again, unchanged",
        version,
        &JoinGroupRequest { protocols: protocols(&[("sticky", "c"), ("roundrobin", "d")]), ..group.join(member) },
    );
    let other = JoinGroupRequest { protocols: protocols(&[("range", "e")]), ..group.join(member) };
    player.ask("the second member joins again, with what only the leader had before", version, &other);
    // The leader is waited for now, and leaves instead.
    let waiting = player.send_on(
        "second",
        "the second member joins again, changed",
        version,
        &JoinGroupRequest { protocols: protocols(&[("roundrobin", "e")]), ..group.join(member) },
    );
    player.until(|player| {
        player.quietly(heartbeat, &group.heartbeat(leader, generation)).error_code == ErrorCode::REBALANCE_IN_PROGRESS
    });
    player.ask("the leader leaves", leave, &group.leave(leave, leader, None));
    let joined = player.receive::<JoinGroupRequest>(waiting);
    player.ask("the member that is left", heartbeat, &group.heartbeat(member, joined.generation_id));
    player.quietly(leave, &group.leave(leave, member, None));
}

/// A static member comes, is replaced under its instance id, and is taken out by it.
fn static_member(player: &mut Player, version: i16) {
    let group = Group::new(player, "static", version);
    let sync = at_most::<SyncGroupRequest>(version);
    let heartbeat = at_most::<HeartbeatRequest>(version);
    let leave = at_most::<LeaveGroupRequest>(version);
    let instance = Some("i1".to_owned());
    let join = |member: &str| JoinGroupRequest { group_instance_id: instance.clone(), ..group.join(member) };
    let first = player.ask_known("static, joins", version, &join(""), |player, answer| {
        know(player, &answer.member_id, "first");
    });
    let member = &*first.member_id;
    let generation = first.generation_id;
    let mut assign = group.sync(member, generation, &[(member, b"all")]);
    assign.group_instance_id.clone_from(&instance);
    player.ask("static, the leader assigns", sync, &assign);
    let beat = |member: &str, instance: Option<&str>, generation| HeartbeatRequest {
        group_instance_id: instance.map(str::to_owned),
        ..group.heartbeat(member, generation)
    };
    player.ask("static", heartbeat, &beat(member, Some("i1"), generation));
    player.ask("static, without its instance id", heartbeat, &beat(member, None, generation));
    player.ask("static, another instance id", heartbeat, &beat(member, Some("i2"), generation));
    player.ask("static, another member id", heartbeat, &beat("nobody", Some("i1"), generation));

    let second = player.ask_known("static, joins anew under its instance id", version, &join(""), |player, answer| {
        know(player, &answer.member_id, "second");
    });
    let (old, member, generation) = (member, &*second.member_id, second.generation_id);
    player.ask("static, the replaced one", heartbeat, &beat(old, Some("i1"), generation));
    player.ask("static, the replacing one", heartbeat, &beat(member, Some("i1"), generation));
    let mut fenced = group.sync(old, generation, &[]);
    fenced.group_instance_id.clone_from(&instance);
    player.ask("static, the replaced one", sync, &fenced);
    fenced.member_id = member.to_owned();
    player.ask("static, the replacing one", sync, &fenced);
    player.ask("static, the replaced one joins with its old id", version, &join(old));
    player.ask("static, joins with its id, unchanged", version, &join(member));
    let changed = JoinGroupRequest { protocols: protocols(&[("range", "f")]), ..join("") };
    let third = player.ask_known("static, joins anew with other metadata", version, &changed, |player, answer| {
        know(player, &answer.member_id, "third");
    });
    player.ask("static, an instance id that does not exist", leave, &group.leave(leave, "", Some("i9")));
    player.ask("static, the replaced one", leave, &group.leave(leave, old, Some("i1")));
    player.ask("static, by the instance id alone", leave, &group.leave(leave, "", Some("i1")));
    player.ask("static, after it was taken out", heartbeat, &beat(&third.member_id, Some("i1"), third.generation_id));
}
