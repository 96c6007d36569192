//! The classic group protocol, request by request: what a coordinator answers to members that do not do as they should.

use std::collections::BTreeMap;

use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{Bytes, ErrorCode};

use crate::support::{TICK, unique, until};
use crate::wire::{Sent, Topic, Wire};

/// A member that says what a test tells it to say, on a connection of its own.
pub struct Member {
    pub wire: Wire,
    group: String,
    instance: Option<String>,
    /// Empty before it has one.
    pub id: String,
    generation: i32,
    pub protocols: Vec<(&'static str, Vec<u8>)>,
    protocol_type: &'static str,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
}

/// What a consumer that subscribes to this topic tells its leader.
pub fn wants(topic: &str) -> Vec<u8> {
    let subscription = ConsumerProtocolSubscription { topics: vec![topic.to_owned()], ..Default::default() };
    subscription.to_bytes(1).unwrap().to_vec()
}

const JOIN: i16 = 9;
const SYNC: i16 = 5;

impl Member {
    pub fn new(group: &str) -> Self {
        Self {
            wire: Wire::coordinator(group),
            group: group.to_owned(),
            instance: None,
            id: String::new(),
            generation: -1,
            protocols: vec![("range", wants("one"))],
            protocol_type: "consumer",
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
        }
    }

    /// A static one.
    pub fn fixed(group: &str, instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), ..Self::new(group) }
    }

    /// The only member of its group, with its assignment.
    pub fn alone(group: &str) -> Self {
        let mut member = Self::new(group);
        member.join();
        assert_eq!(member.sync(&[("", b"all")]), Ok(b"all".to_vec()));
        member
    }

    fn join_request(&self) -> JoinGroupRequest {
        let protocols = self.protocols.iter().map(|(name, metadata)| JoinGroupRequestProtocol {
            name: (*name).to_owned(),
            metadata: metadata[..].into(),
        });
        JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: self.protocol_type.to_owned(),
            protocols: protocols.collect(),
            ..Default::default()
        }
    }

    /// Asks to join, without waiting for the answer; a new member gets its id first.
    pub fn start_join(&mut self) -> Sent {
        if self.id.is_empty() && self.instance.is_none() {
            let told = self.wire.call(JOIN, &self.join_request());
            assert_eq!(told.error_code, ErrorCode::MEMBER_ID_REQUIRED);
            assert!(!told.member_id.is_empty());
            self.id = told.member_id;
        }
        self.wire.send(JOIN, &self.join_request())
    }

    #[track_caller]
    pub fn joined(&mut self, sent: &Sent) -> JoinGroupResponse {
        let answer = self.wire.receive::<JoinGroupRequest>(sent);
        assert_eq!(answer.error_code, ErrorCode::NONE);
        (self.id, self.generation) = (answer.member_id.clone(), answer.generation_id);
        answer
    }

    #[track_caller]
    pub fn join(&mut self) -> JoinGroupResponse {
        let sent = self.start_join();
        self.joined(&sent)
    }

    /// Asks to join, which is refused.
    fn refused(&mut self) -> ErrorCode {
        self.wire.call(JOIN, &self.join_request()).error_code
    }

    fn sync_request(&self, assignments: &[(&str, &[u8])]) -> SyncGroupRequest {
        let assignments = assignments.iter().map(|(member, assignment)| SyncGroupRequestAssignment {
            member_id: if member.is_empty() { self.id.clone() } else { (*member).to_owned() },
            assignment: (*assignment).into(),
        });
        SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            protocol_type: Some(self.protocol_type.to_owned()),
            protocol_name: Some(self.protocols[0].0.to_owned()),
            assignments: assignments.collect(),
        }
    }

    /// Asks for the assignment; the leader hands them in, its own under the name "".
    pub fn sync(&mut self, assignments: &[(&str, &[u8])]) -> Result<Vec<u8>, ErrorCode> {
        let sent = self.wire.send(SYNC, &self.sync_request(assignments));
        self.synced(&sent)
    }

    fn synced(&mut self, sent: &Sent) -> Result<Vec<u8>, ErrorCode> {
        let answer = self.wire.receive::<SyncGroupRequest>(sent);
        answer.error_code.ok().map(|()| answer.assignment.to_vec())
    }

    fn heartbeat(&mut self) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        };
        self.wire.ask(&request).error_code
    }

    /// Waits until heartbeats have this answer.
    #[track_caller]
    pub fn until_heartbeat(&mut self, code: ErrorCode) {
        until(&code.to_string(), || {
            let found = self.heartbeat();
            std::thread::sleep(TICK / 5);
            (found == code).then_some(())
        });
    }

    pub fn commit(&mut self, topic: &Topic, offset: i64) -> ErrorCode {
        let partition =
            OffsetCommitRequestPartition { partition_index: 0, committed_offset: offset, ..Default::default() };
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: topic.name.clone(),
                topic_id: topic.id,
                partitions: vec![partition],
            }],
            ..Default::default()
        };
        self.wire.ask(&request).topics[0].partitions[0].error_code
    }

    /// Leaves in the name of these members, each by id and instance id; the answer for each.
    pub fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<ErrorCode> {
        let members = members.iter().map(|(id, instance)| MemberIdentity {
            member_id: (*id).to_owned(),
            group_instance_id: instance.map(str::to_owned),
            ..Default::default()
        });
        let request =
            LeaveGroupRequest { group_id: self.group.clone(), members: members.collect(), ..Default::default() };
        let answer = self.wire.ask(&request);
        assert_eq!(answer.error_code, ErrorCode::NONE);
        answer.members.iter().map(|member| member.error_code).collect()
    }
}

/// A leader and a follower with their assignments, in one generation.
fn two(group: &str) -> (Member, Member) {
    pair(Member::new(group), Member::new(group))
}

/// Brings two members together; the first leads.
pub fn pair(mut leader: Member, mut follower: Member) -> (Member, Member) {
    leader.join();
    assert!(leader.sync(&[("", b"all")]).is_ok());
    let sent = follower.start_join();
    leader.until_heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    let told = leader.join();
    let answer = follower.joined(&sent);
    assert_eq!((&told.leader, &answer.leader), (&leader.id, &leader.id));
    let sent = follower.wire.send(SYNC, &follower.sync_request(&[]));
    let follower_id = follower.id.clone();
    assert_eq!(leader.sync(&[("", b"one"), (&follower_id, b"two")]), Ok(b"one".to_vec()));
    assert_eq!(follower.synced(&sent), Ok(b"two".to_vec()));
    (leader, follower)
}

#[test]
fn a_new_member_is_told_its_id_and_must_come_back_with_it() {
    let versions: Vec<i16> = Wire::any().versions::<JoinGroupRequest>().filter(|version| *version >= 4).collect();
    for version in versions {
        let group = unique("new");
        let mut member = Member::new(&group);
        let answer = member.wire.call(version, &member.join_request());
        assert_eq!(answer.error_code, ErrorCode::MEMBER_ID_REQUIRED, "version {version}");
        assert_eq!(answer.generation_id, -1, "version {version}");
        let id = answer.member_id;
        assert!(id.starts_with("conformance-"), "an id begins with the client's: {id}");
        // An id that nobody has given out.
        member.id = "made-up".to_owned();
        assert_eq!(member.refused(), ErrorCode::UNKNOWN_MEMBER_ID);
        member.id = id.clone();
        let answer = member.join();
        assert_eq!((answer.generation_id, &answer.leader, &member.id), (1, &id, &id));
    }
}

#[test]
fn two_members_come_together_in_one_generation() {
    let group = unique("two");
    let topic = Topic::create("two", 1);
    let mut leader = Member::alone(&group);
    assert_eq!((leader.generation, leader.heartbeat()), (1, ErrorCode::NONE));
    let mut follower = Member::new(&group);
    follower.protocols[0].1 = wants("other");
    let sent = follower.start_join();
    // The first one learns of it by its heartbeat, and may still commit.
    leader.until_heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(leader.commit(&topic, 5), ErrorCode::NONE);
    assert_eq!(leader.sync(&[]), Err(ErrorCode::REBALANCE_IN_PROGRESS));
    let told = leader.join();
    let answer = follower.joined(&sent);
    assert_eq!((told.generation_id, answer.generation_id), (2, 2));
    assert_eq!((&told.leader, &answer.leader), (&leader.id, &leader.id));
    assert_eq!(answer.members, [], "only the leader learns who the others are");
    let members: BTreeMap<_, _> =
        told.members.iter().map(|found| (&found.member_id, found.metadata.to_vec())).collect();
    assert_eq!(members, BTreeMap::from([(&leader.id, wants("one")), (&follower.id, wants("other"))]));
    assert!(!told.skip_assignment && !answer.skip_assignment);

    // Between joining and the assignment.
    assert_eq!(follower.heartbeat(), ErrorCode::NONE);
    assert_eq!(follower.commit(&topic, 6), ErrorCode::REBALANCE_IN_PROGRESS);
    let sent = follower.wire.send(SYNC, &follower.sync_request(&[]));
    let follower_id = follower.id.clone();
    assert_eq!(leader.sync(&[("", b"one"), (&follower_id, b"two")]), Ok(b"one".to_vec()));
    assert_eq!(follower.synced(&sent), Ok(b"two".to_vec()));
    for member in [&mut leader, &mut follower] {
        assert_eq!(member.heartbeat(), ErrorCode::NONE);
        assert_eq!(member.commit(&topic, 7), ErrorCode::NONE);
    }
    // Who asks again gets the same again.
    assert_eq!(follower.sync(&[]), Ok(b"two".to_vec()));
    assert_eq!(leader.sync(&[]), Ok(b"one".to_vec()));
}

#[test]
fn a_member_that_the_leader_forgets_gets_nothing() {
    let group = unique("forgets");
    let (mut leader, mut follower) = two(&group);
    let sent = leader.start_join();
    follower.until_heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    follower.join();
    leader.joined(&sent);
    assert_eq!(leader.sync(&[("", b"everything")]), Ok(b"everything".to_vec()));
    assert_eq!(follower.sync(&[]), Ok(Vec::new()));
}

/// The leader may have reasons of its own to share out anew; a follower that lost an answer must not disturb the others.
#[test]
fn a_leader_that_joins_again_begins_a_rebalance_and_a_follower_does_not() {
    let group = unique("again");
    let (mut leader, mut follower) = two(&group);
    let answer = follower.join();
    assert_eq!((answer.generation_id, &answer.leader), (leader.generation, &leader.id));
    assert_eq!(leader.heartbeat(), ErrorCode::NONE);
    assert_eq!(follower.sync(&[]), Ok(b"two".to_vec()));

    // With another subscription it does.
    follower.protocols[0].1 = wants("changed");
    let sent = follower.start_join();
    leader.until_heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    let generation = leader.generation;
    leader.join();
    assert_eq!(follower.joined(&sent).generation_id, generation + 1);
    let follower_id = follower.id.clone();
    assert!(leader.sync(&[("", b"one"), (&follower_id, b"two")]).is_ok());
    assert!(follower.sync(&[]).is_ok());

    let sent = leader.start_join();
    follower.until_heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    follower.join();
    assert_eq!(leader.joined(&sent).generation_id, generation + 2);
}

#[test]
fn foreign_generations_and_foreign_members_are_refused() {
    let group = unique("foreign");
    let topic = Topic::create("foreign", 1);
    let mut member = Member::alone(&group);
    for generation in [0, 2, 100] {
        member.generation = generation;
        assert_eq!(member.heartbeat(), ErrorCode::ILLEGAL_GENERATION);
        assert_eq!(member.sync(&[]), Err(ErrorCode::ILLEGAL_GENERATION));
        assert_eq!(member.commit(&topic, 1), ErrorCode::ILLEGAL_GENERATION);
    }
    let mut nobody = Member::new(&group);
    (nobody.id, nobody.generation) = ("nobody".to_owned(), 1);
    assert_eq!(nobody.heartbeat(), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(nobody.sync(&[]), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(nobody.commit(&topic, 1), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(nobody.leave(&[("nobody", None)]), [ErrorCode::UNKNOWN_MEMBER_ID]);
    // Somebody without a membership cannot commit where there are members.
    (nobody.id, nobody.generation) = (String::new(), -1);
    assert_eq!(nobody.commit(&topic, 1), ErrorCode::UNKNOWN_MEMBER_ID);

    // In a group that nobody has heard of.
    let mut lost = Member::new(&unique("lost"));
    (lost.id, lost.generation) = ("lost".to_owned(), 1);
    assert_eq!(lost.heartbeat(), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(lost.sync(&[]), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(lost.refused(), ErrorCode::UNKNOWN_MEMBER_ID);

    member.generation = 1;
    assert_eq!(member.heartbeat(), ErrorCode::NONE, "none of this disturbed it");
}

#[test]
fn members_without_a_common_protocol_do_not_come_together() {
    let group = unique("protocols");
    let mut member = Member::alone(&group);
    let mut other = Member::new(&group);
    other.protocols[0].0 = "roundrobin";
    assert_eq!(other.refused(), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    other.protocols.clear();
    assert_eq!(other.refused(), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    other = Member { protocol_type: "connect", ..Member::new(&group) };
    assert_eq!(other.refused(), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let mut first = Member { protocols: Vec::new(), ..Member::new(&unique("protocols")) };
    assert_eq!(first.refused(), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);

    // A member that takes the group for another kind.
    for (protocol_type, protocol_name) in [("connect", "range"), ("consumer", "roundrobin")] {
        let mut request = member.sync_request(&[]);
        request.protocol_type = Some(protocol_type.to_owned());
        request.protocol_name = Some(protocol_name.to_owned());
        assert_eq!(member.wire.call(SYNC, &request).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
    assert_eq!(member.heartbeat(), ErrorCode::NONE);
}

/// Each member votes for the first of its protocols that all have in common.
#[test]
fn the_protocol_that_most_members_like_best_is_chosen() {
    let group = unique("votes");
    let with = |names: [&'static str; 3]| {
        let protocols = names.iter().map(|name| (*name, wants(name))).collect();
        Member { protocols, ..Member::new(&group) }
    };
    let mut members = [with(["a", "b", "c"]), with(["x", "b", "c"]), with(["c", "b", "y"])];
    let answer = members[0].join();
    assert_eq!(answer.protocol_name.as_deref(), Some("a"));
    assert_eq!(answer.members[0].metadata, Bytes::from(wants("a")));
    let [first, second, third] = &mut members;
    let second_sent = second.start_join();
    let third_sent = third.start_join();
    first.until_heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    // Whoever has been told an id is waited for.
    let answer = first.join();
    let answers = [second.joined(&second_sent), third.joined(&third_sent)];
    assert_eq!(answer.members.len(), 3);
    assert!(answers.iter().chain([&answer]).all(|answer| answer.protocol_name.as_deref() == Some("b")));
    assert!(answer.members.iter().all(|member| member.metadata == Bytes::from(wants("b"))));
}

#[test]
fn impossible_memberships_are_refused() {
    let group = unique("impossible");
    for session_timeout_ms in [0, 1, i32::MAX] {
        let mut member = Member { session_timeout_ms, ..Member::new(&group) };
        assert_eq!(member.refused(), ErrorCode::INVALID_SESSION_TIMEOUT, "{session_timeout_ms} ms");
    }
    let mut nameless = Member { group: String::new(), ..Member::new(&group) };
    assert_eq!(nameless.refused(), ErrorCode::INVALID_GROUP_ID);
    assert_eq!(nameless.heartbeat(), ErrorCode::INVALID_GROUP_ID);
    assert_eq!(nameless.sync(&[]), Err(ErrorCode::INVALID_GROUP_ID));
}

#[test]
fn a_member_that_does_not_join_again_in_time_is_out() {
    let group = unique("late");
    let mut slow = Member { rebalance_timeout_ms: 1000, ..Member::new(&group) };
    slow.join();
    assert!(slow.sync(&[("", b"all")]).is_ok());
    let mut quick = Member { rebalance_timeout_ms: 1000, ..Member::new(&group) };
    let answer = quick.join();
    assert_eq!((answer.members.len(), &answer.leader), (1, &quick.id));
    assert!(quick.sync(&[("", b"all")]).is_ok());
    assert_eq!(slow.heartbeat(), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(slow.refused(), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(quick.heartbeat(), ErrorCode::NONE);
}

#[test]
fn a_member_that_says_nothing_is_out_after_its_session() {
    let group = unique("silent");
    let mut silent = Member { session_timeout_ms: 6000, ..Member::new(&group) };
    silent.join();
    assert!(silent.sync(&[("", b"all")]).is_ok());
    let mut other = Member::new(&group);
    let sent = other.start_join();
    silent.until_heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    // From now on it is silent; it neither heartbeats nor joins, long before the rebalance timeout.
    let answer = other.joined(&sent);
    assert_eq!(answer.members.len(), 1);
    assert_eq!(silent.heartbeat(), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_member_that_leaves_makes_the_others_share_anew() {
    let group = unique("leaves");
    let (mut leader, mut follower) = two(&group);
    let (leader_id, follower_id) = (leader.id.clone(), follower.id.clone());
    let codes = leader.leave(&[(&leader_id, None), ("nobody", None)]);
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID]);
    assert_eq!(leader.heartbeat(), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(follower.heartbeat(), ErrorCode::REBALANCE_IN_PROGRESS);
    let answer = follower.join();
    assert_eq!((&answer.leader, answer.members.len()), (&follower_id, 1));
    assert_eq!(follower.leave(&[(&follower_id, None)]), [ErrorCode::NONE]);
    // The group goes on counting.
    let mut next = Member::new(&group);
    assert!(next.join().generation_id > answer.generation_id);
}

#[test]
fn a_static_member_that_comes_back_takes_the_place_of_its_former_self() {
    let group = unique("static");
    let topic = Topic::create("static", 1);
    let mut first = Member::fixed(&group, "one");
    let answer = first.join();
    assert_eq!((answer.generation_id, answer.members[0].group_instance_id.as_deref()), (1, Some("one")));
    assert!(first.sync(&[("", b"all")]).is_ok());

    // The same instance without a member id: a restart. No rebalance, another id.
    let mut again = Member::fixed(&group, "one");
    let answer = again.join();
    assert_eq!(answer.generation_id, 1);
    assert_ne!(again.id, first.id);
    assert!(answer.skip_assignment, "the group has its assignment already");
    assert_eq!(again.sync(&[]), Ok(b"all".to_vec()));
    assert_eq!(again.heartbeat(), ErrorCode::NONE);

    // The former self is shut out, whatever it does.
    let fenced = ErrorCode::FENCED_INSTANCE_ID;
    assert_eq!(first.heartbeat(), fenced);
    assert_eq!(first.sync(&[]), Err(fenced));
    assert_eq!(first.commit(&topic, 1), fenced);
    assert_eq!(first.refused(), fenced);
    let first_id = first.id.clone();
    assert_eq!(first.leave(&[(&first_id, Some("one"))]), [fenced]);
    assert_eq!(again.heartbeat(), ErrorCode::NONE);

    // An instance that nobody has.
    again.instance = Some("two".to_owned());
    assert_eq!(again.heartbeat(), ErrorCode::UNKNOWN_MEMBER_ID);
    again.instance = Some("one".to_owned());

    // An administrator takes it out by its name alone.
    let mut admin = Member::new(&group);
    let codes = admin.leave(&[("", Some("one")), ("", Some("two"))]);
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID]);
    assert_eq!(again.heartbeat(), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_static_follower_that_restarts_does_not_disturb_the_leader() {
    let group = unique("restart");
    let (mut leader, follower) = pair(Member::fixed(&group, "one"), Member::fixed(&group, "two"));
    drop(follower);
    let mut again = Member::fixed(&group, "two");
    let answer = again.join();
    assert_eq!((answer.generation_id, &answer.leader), (leader.generation, &leader.id));
    assert_eq!(answer.members, []);
    assert_eq!(again.sync(&[]), Ok(b"two".to_vec()));
    assert_eq!(leader.heartbeat(), ErrorCode::NONE);

    // Another subscription counts once it joins as the member that it is.
    let mut changed = Member::fixed(&group, "two");
    changed.protocols[0].1 = wants("changed");
    assert_eq!(changed.join().generation_id, 2);
    assert_eq!(leader.heartbeat(), ErrorCode::NONE);
    changed.protocols[0].1 = wants("changed again");
    let sent = changed.start_join();
    leader.until_heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    let told = leader.join();
    let answer = changed.joined(&sent);
    assert_eq!((told.generation_id, answer.generation_id), (3, 3));
    let members: Vec<_> = told.members.iter().map(|found| found.metadata.to_vec()).collect();
    assert!(members.contains(&wants("one")) && members.contains(&wants("changed again")));
}
