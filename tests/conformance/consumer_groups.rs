//! Groups for which the coordinator assigns (KIP-848), request by request.
//!
//! A broker that does not serve them says so: by the feature `group.version` in ApiVersions, and by refusing. Then that is
//! what each test here asserts.

use std::collections::{BTreeMap, BTreeSet};

use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{ApiKey, ErrorCode, Uuid};

use crate::support::{TICK, unique, until};
use crate::wire::{Topic, Wire};

/// Whether the broker serves such groups; if not, it must refuse them.
pub fn served() -> bool {
    if Wire::any().feature("group.version") >= 1 {
        return true;
    }
    let group = unique("unserved");
    let mut wire = Wire::coordinator(&group);
    if wire.offers(ApiKey::ConsumerGroupHeartbeat).is_none() {
        assert_eq!(wire.offers(ApiKey::ConsumerGroupDescribe), None);
        wire.send(0, &Member::new(&group, &[]).request());
        assert!(wire.answer().is_none(), "what is not offered ends the connection");
        return false;
    }
    for version in wire.versions::<ConsumerGroupHeartbeatRequest>() {
        let request = Member::new(&group, &[]).request();
        let answer = wire.call(version, &ConsumerGroupHeartbeatRequest { member_epoch: 0, ..request });
        assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION);
    }
    for version in wire.versions::<ConsumerGroupDescribeRequest>() {
        let request = ConsumerGroupDescribeRequest { group_ids: vec![group.clone()], ..Default::default() };
        assert_eq!(wire.call(version, &request).groups[0].error_code, ErrorCode::UNSUPPORTED_VERSION);
    }
    false
}

/// Partitions by topic id.
type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// A member that says what a test tells it to say, on a connection of its own.
struct Member {
    wire: Wire,
    group: String,
    id: String,
    instance: Option<String>,
    topics: Vec<String>,
    assignor: Option<String>,
    epoch: i32,
    /// What it was told to own.
    assigned: Partitions,
    /// What it says that it owns.
    owned: Partitions,
    rebalance_timeout_ms: i32,
}

impl Member {
    fn new(group: &str, topics: &[&Topic]) -> Self {
        Self {
            wire: Wire::coordinator(group),
            group: group.to_owned(),
            id: unique("member"),
            instance: None,
            topics: topics.iter().map(|topic| topic.name.clone()).collect(),
            assignor: None,
            epoch: 0,
            assigned: Partitions::new(),
            owned: Partitions::new(),
            rebalance_timeout_ms: 60_000,
        }
    }

    fn fixed(group: &str, instance: &str, topics: &[&Topic]) -> Self {
        Self { instance: Some(instance.to_owned()), ..Self::new(group, topics) }
    }

    /// A member that has joined and owns what the coordinator gives it, which is so many partitions.
    #[track_caller]
    fn settled(group: &str, topics: &[&Topic], count: usize) -> Self {
        let mut member = Self::new(group, topics);
        member.join();
        member.settle(count);
        member
    }

    /// Everything about it, as on joining.
    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            subscribed_topic_names: Some(self.topics.clone()),
            server_assignor: self.assignor.clone(),
            topic_partitions: Some(self.owned.iter().map(listed).collect()),
            ..self.short_request()
        }
    }

    /// Nothing but that it lives.
    fn short_request(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance.clone(),
            ..Default::default()
        }
    }

    fn take_over(&mut self, answer: &ConsumerGroupHeartbeatResponse) {
        assert_eq!(answer.member_id.as_ref(), Some(&self.id));
        assert!(answer.heartbeat_interval_ms > 0);
        self.epoch = answer.member_epoch;
        if let Some(assignment) = &answer.assignment {
            let topics = assignment.topic_partitions.iter();
            self.assigned = topics.map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect())).collect();
        }
    }

    #[track_caller]
    fn join(&mut self) {
        self.epoch = 0;
        let request = self.request();
        let answer = self.wire.ask(&request);
        assert_eq!(answer.error_code, ErrorCode::NONE, "{answer:?}");
        assert!(answer.assignment.is_some(), "who joins is told at once: {answer:?}");
        self.take_over(&answer);
        assert!(self.epoch > 0);
    }

    /// One heartbeat; the code.
    #[track_caller]
    fn beat(&mut self) -> ErrorCode {
        let request = self.request();
        let answer = self.wire.ask(&request);
        if answer.error_code.is_ok() {
            self.take_over(&answer);
        }
        answer.error_code
    }

    /// Takes and gives up partitions as told.
    fn follow(&mut self) {
        self.owned = self.assigned.clone();
    }

    /// Heartbeats and does as it is told, until it owns so many partitions.
    #[track_caller]
    fn settle(&mut self, count: usize) {
        until("an assignment", || {
            assert_eq!(self.beat(), ErrorCode::NONE);
            let settled = self.owned == self.assigned && size(&self.owned) == count;
            self.follow();
            std::thread::sleep(TICK / 5);
            settled.then_some(())
        });
    }

    /// Says goodbye: -1 for good, -2 for a while.
    fn leave(&mut self, epoch: i32) -> ErrorCode {
        self.epoch = epoch;
        let answer = self.wire.ask(&self.short_request());
        if answer.error_code.is_ok() {
            assert_eq!(answer.member_epoch, epoch);
        }
        answer.error_code
    }

    fn commit(&mut self, topic: &Topic, offset: i64) -> ErrorCode {
        self.commit_to(topic, 0, offset)
    }

    fn commit_to(&mut self, topic: &Topic, partition_index: i32, committed_offset: i64) -> ErrorCode {
        let partition = OffsetCommitRequestPartition { partition_index, committed_offset, ..Default::default() };
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: self.epoch,
            member_id: self.id.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: topic.name.clone(),
                topic_id: topic.id,
                partitions: vec![partition],
            }],
            ..Default::default()
        };
        self.wire.ask(&request).topics[0].partitions[0].error_code
    }

    /// The committed position of partition 0, asked for as a member.
    fn committed(&mut self, topic: &Topic) -> Result<i64, ErrorCode> {
        let topics =
            vec![OffsetFetchRequestTopics { name: topic.name.clone(), topic_id: topic.id, partition_indexes: vec![0] }];
        let group = OffsetFetchRequestGroup {
            group_id: self.group.clone(),
            member_id: Some(self.id.clone()),
            member_epoch: self.epoch,
            topics: Some(topics),
        };
        let answer = self.wire.ask(&OffsetFetchRequest { groups: vec![group], ..Default::default() });
        answer.groups[0].error_code.ok().map(|()| answer.groups[0].topics[0].partitions[0].committed_offset)
    }
}

fn listed((topic_id, partitions): (&Uuid, &BTreeSet<i32>)) -> ConsumerGroupHeartbeatTopicPartitions {
    ConsumerGroupHeartbeatTopicPartitions { topic_id: *topic_id, partitions: partitions.iter().copied().collect() }
}

fn size(partitions: &Partitions) -> usize {
    partitions.values().map(BTreeSet::len).sum()
}

fn describe(group: &str) -> DescribedConsumerGroup {
    let request = ConsumerGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
    Wire::coordinator(group).ask(&request).groups.remove(0)
}

#[test]
fn a_member_alone_gets_everything_and_then_hears_only_of_changes() {
    if !served() {
        return;
    }
    let (group, topic) = (unique("alone"), Topic::create("alone", 4));
    let mut member = Member::settled(&group, &[&topic], 4);
    assert_eq!(member.owned, Partitions::from([(topic.id, BTreeSet::from([0, 1, 2, 3]))]));
    let epoch = member.epoch;
    let answer = member.wire.ask(&member.short_request());
    assert_eq!((answer.error_code, answer.member_epoch, answer.assignment), (ErrorCode::NONE, epoch, None));
    // Whoever tells everything is told everything.
    let answer = member.wire.ask(&member.request());
    let told = answer.assignment.map(|told| told.topic_partitions.len());
    assert_eq!((answer.error_code, told), (ErrorCode::NONE, Some(1)));
}

#[test]
fn a_member_gets_partitions_only_after_their_owner_gave_them_up() {
    if !served() {
        return;
    }
    let (group, topic) = (unique("gives"), Topic::create("gives", 4));
    let mut first = Member::settled(&group, &[&topic], 4);
    let mut second = Member::new(&group, &[&topic]);
    second.join();
    assert_eq!(size(&second.assigned), 0, "all of them are taken");
    until("the first is to give up two", || {
        assert_eq!(first.beat(), ErrorCode::NONE);
        assert_eq!(second.beat(), ErrorCode::NONE);
        second.follow();
        assert_eq!(size(&second.owned), 0);
        (size(&first.assigned) == 2).then_some(())
    });
    let epoch = first.epoch;
    // As long as the first says that it still has them, nothing happens.
    for _ in 0..5 {
        assert_eq!(first.beat(), ErrorCode::NONE);
        assert_eq!(second.beat(), ErrorCode::NONE);
        assert_eq!((first.epoch, size(&first.assigned), size(&second.assigned)), (epoch, 2, 0));
    }
    first.follow();
    first.settle(2);
    assert!(first.epoch > epoch, "giving up brings it into the new epoch");
    second.settle(2);
    let [one, other] = [&first.owned[&topic.id], &second.owned[&topic.id]];
    assert!(one.is_disjoint(other), "{one:?} {other:?}");

    // The second leaves, and the first gets them back.
    assert_eq!(second.leave(-1), ErrorCode::NONE);
    first.settle(4);
    second.epoch = 1;
    assert_eq!(second.beat(), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_member_that_gives_nothing_up_in_time_is_out() {
    if !served() {
        return;
    }
    let (group, topic) = (unique("stubborn"), Topic::create("stubborn", 2));
    let mut stubborn = Member { rebalance_timeout_ms: 1000, ..Member::new(&group, &[&topic]) };
    stubborn.join();
    stubborn.settle(2);
    let mut other = Member::new(&group, &[&topic]);
    other.join();
    let code = until("the coordinator's patience ends", || {
        assert_eq!(other.beat(), ErrorCode::NONE);
        other.follow();
        std::thread::sleep(TICK / 5);
        Some(stubborn.beat()).filter(|code| !code.is_ok())
    });
    assert_eq!(code, ErrorCode::UNKNOWN_MEMBER_ID);
    other.settle(2);
}

#[test]
fn epochs_and_members_that_are_not_current_are_refused() {
    if !served() {
        return;
    }
    let (group, topic) = (unique("epochs"), Topic::create("epochs", 2));
    let mut member = Member::settled(&group, &[&topic], 2);
    let epoch = member.epoch;
    assert_eq!(member.commit(&topic, 5), ErrorCode::NONE);
    assert_eq!(member.committed(&topic), Ok(5));
    for wrong in [epoch + 1, epoch + 100] {
        member.epoch = wrong;
        assert_eq!(member.beat(), ErrorCode::FENCED_MEMBER_EPOCH);
        assert_eq!(member.commit(&topic, 6), ErrorCode::STALE_MEMBER_EPOCH);
        assert_eq!(member.committed(&topic), Err(ErrorCode::STALE_MEMBER_EPOCH));
    }
    member.epoch = epoch;
    assert_eq!(member.beat(), ErrorCode::NONE, "none of this disturbed it");

    let mut nobody = Member { epoch, ..Member::new(&group, &[&topic]) };
    assert_eq!(nobody.beat(), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(nobody.commit(&topic, 6), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(nobody.committed(&topic), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(nobody.leave(-1), ErrorCode::UNKNOWN_MEMBER_ID);
    // Who is no member cannot commit where there are members, but may look.
    (nobody.id, nobody.epoch) = (String::new(), -1);
    assert_eq!(nobody.commit(&topic, 6), ErrorCode::UNKNOWN_MEMBER_ID);
    let mut lost = Member { epoch, ..Member::new(&unique("lost"), &[&topic]) };
    assert_eq!(lost.beat(), ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(member.committed(&topic), Ok(5));
}

#[test]
fn an_older_epoch_is_refused() {
    if !served() {
        return;
    }
    let (group, topic) = (unique("stale"), Topic::create("stale", 3));
    let mut first = Member::settled(&group, &[&topic], 3);
    let old = first.epoch;
    let (mut second, mut third) = (Member::new(&group, &[&topic]), Member::new(&group, &[&topic]));
    second.join();
    until("the second's share", || {
        for member in [&mut first, &mut second] {
            assert_eq!(member.beat(), ErrorCode::NONE);
            member.follow();
        }
        (size(&second.owned) == 1).then_some(())
    });
    third.join();
    third.beat();
    first.settle(1);
    assert!(first.epoch > old + 1);
    let kept = *first.owned[&topic.id].first().unwrap();
    let epoch = std::mem::replace(&mut first.epoch, old);
    // A commit that was under way when the epoch changed counts, where the partition did not change hands (KIP-1251).
    for partition in 0..3 {
        let code = if partition == kept { ErrorCode::NONE } else { ErrorCode::STALE_MEMBER_EPOCH };
        assert_eq!(first.commit_to(&topic, partition, 1), code, "partition {partition}, kept {kept}");
    }
    assert_eq!(first.committed(&topic), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(first.beat(), ErrorCode::FENCED_MEMBER_EPOCH);
    first.epoch = epoch;
    assert_eq!(first.beat(), ErrorCode::NONE);
    for partition in 0..3 {
        assert_eq!(first.commit_to(&topic, partition, 2), ErrorCode::NONE, "partition {partition}");
    }
}

#[test]
fn impossible_memberships_are_refused() {
    if !served() {
        return;
    }
    let (group, topic) = (unique("impossible"), Topic::create("impossible", 1));
    let mut member = Member::new(&group, &[&topic]);
    let good = member.request();
    let owned = vec![ConsumerGroupHeartbeatTopicPartitions { topic_id: topic.id, partitions: vec![0] }];
    let cases = [
        ("no group", ConsumerGroupHeartbeatRequest { group_id: String::new(), ..good.clone() }),
        ("a blank group", ConsumerGroupHeartbeatRequest { group_id: " ".to_owned(), ..good.clone() }),
        ("no member id", ConsumerGroupHeartbeatRequest { member_id: String::new(), ..good.clone() }),
        ("an empty instance", ConsumerGroupHeartbeatRequest { instance_id: Some(String::new()), ..good.clone() }),
        ("an empty rack", ConsumerGroupHeartbeatRequest { rack_id: Some(String::new()), ..good.clone() }),
        ("no subscription", ConsumerGroupHeartbeatRequest { subscribed_topic_names: None, ..good.clone() }),
        ("no time to rebalance", ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: -1, ..good.clone() }),
        ("partitions on joining", ConsumerGroupHeartbeatRequest { topic_partitions: Some(owned), ..good.clone() }),
        ("no list of partitions on joining", ConsumerGroupHeartbeatRequest { topic_partitions: None, ..good.clone() }),
        ("an epoch below -2", ConsumerGroupHeartbeatRequest { member_epoch: -3, ..good.clone() }),
        ("a leave for a while without an instance", ConsumerGroupHeartbeatRequest { member_epoch: -2, ..good.clone() }),
    ];
    for (what, request) in cases {
        let answer = member.wire.ask(&request);
        assert_eq!(answer.error_code, ErrorCode::INVALID_REQUEST, "{what}: {answer:?}");
        assert!(answer.error_message.is_some(), "{what}");
    }
    let unknown = ConsumerGroupHeartbeatRequest { server_assignor: Some("cleverest".to_owned()), ..good.clone() };
    assert_eq!(member.wire.ask(&unknown).error_code, ErrorCode::UNSUPPORTED_ASSIGNOR);
    assert_eq!(describe(&group).error_code, ErrorCode::GROUP_ID_NOT_FOUND, "none of them made a group");
    for assignor in ["uniform", "range"] {
        member.id = unique("member");
        member.assignor = Some(assignor.to_owned());
        member.join();
        assert_eq!(member.leave(-1), ErrorCode::NONE);
    }
}

/// Up to version 0 the coordinator makes up the member id.
#[test]
fn a_member_without_an_id_gets_one_in_version_0() {
    if !served() {
        return;
    }
    let (group, topic) = (unique("nameless"), Topic::create("nameless", 1));
    let mut member = Member { id: String::new(), ..Member::new(&group, &[&topic]) };
    let answer = member.wire.call(0, &member.request());
    assert_eq!(answer.error_code, ErrorCode::NONE, "{answer:?}");
    member.id = answer.member_id.clone().unwrap();
    assert!(!member.id.is_empty());
    member.take_over(&answer);
    member.follow();
    member.settle(1);
}

#[test]
fn a_static_member_that_comes_back_gets_its_partitions_at_once() {
    if !served() {
        return;
    }
    let (group, topic) = (unique("static"), Topic::create("static", 4));
    let mut first = Member::fixed(&group, "one", &[&topic]);
    first.join();
    first.settle(4);
    let mut second = Member::fixed(&group, "two", &[&topic]);
    second.join();
    first.settle(2);
    second.settle(2);
    let (kept, epoch) = (first.owned.clone(), first.epoch);

    let mut twin = Member::fixed(&group, "two", &[&topic]);
    let answer = twin.wire.ask(&twin.request());
    assert_eq!(answer.error_code, ErrorCode::UNRELEASED_INSTANCE_ID, "{answer:?}");
    assert_eq!(second.leave(-2), ErrorCode::NONE);
    // Nobody takes over meanwhile.
    assert_eq!(first.beat(), ErrorCode::NONE);
    assert_eq!((first.epoch, &first.assigned), (epoch, &kept));

    twin.join();
    assert_eq!(twin.assigned, second.owned);
    twin.follow();
    assert_eq!(twin.beat(), ErrorCode::NONE);
    assert_eq!(first.beat(), ErrorCode::NONE);
    assert_eq!((first.epoch, &first.assigned), (epoch, &kept));
    second.epoch = epoch;
    assert_eq!(second.beat(), ErrorCode::FENCED_INSTANCE_ID);

    // For good.
    assert_eq!(twin.leave(-1), ErrorCode::NONE);
    first.settle(4);
}

#[test]
fn a_changed_subscription_changes_the_assignment() {
    if !served() {
        return;
    }
    let group = unique("changes");
    let (one, other) = (Topic::create("changes", 2), Topic::create("changes", 3));
    let mut member = Member::settled(&group, &[&one], 2);
    member.topics.push(other.name.clone());
    member.settle(5);
    member.topics.remove(0);
    member.settle(3);
    assert_eq!(member.owned.keys().collect::<Vec<_>>(), [&other.id]);
    member.topics = vec![Topic::missing("changes").name];
    member.settle(0);
}

#[test]
fn a_topic_that_appears_and_partitions_that_are_added_are_assigned() {
    if !served() {
        return;
    }
    let group = unique("appears");
    let later = unique("appears");
    let mut member = Member { topics: vec![later.clone()], ..Member::new(&group, &[]) };
    member.join();
    member.settle(0);
    crate::support::kafka().create(&later, 2);
    member.settle(2);
    Topic::find(&later).grow(5);
    member.settle(5);
}

/// Members with a pattern get the topics that it fits, also those that come later.
#[test]
fn a_pattern_subscribes_to_every_topic_that_it_fits() {
    if !served() {
        return;
    }
    let (group, begin) = (unique("pattern"), unique("pattern"));
    let topics = ["-a", "-b"].map(|end| format!("{begin}{end}"));
    crate::support::kafka().create(&topics[0], 2);
    let mut member = Member::new(&group, &[]);
    let request = ConsumerGroupHeartbeatRequest {
        subscribed_topic_regex: Some(format!("{begin}-.*")),
        subscribed_topic_names: Some(Vec::new()),
        ..member.request()
    };
    let answer = member.wire.call(1, &request);
    assert_eq!(answer.error_code, ErrorCode::NONE, "{answer:?}");
    member.take_over(&answer);
    until("the topic", || {
        let request = ConsumerGroupHeartbeatRequest {
            topic_partitions: Some(member.owned.iter().map(listed).collect()),
            ..member.short_request()
        };
        let answer = member.wire.call(1, &request);
        assert_eq!(answer.error_code, ErrorCode::NONE);
        member.take_over(&answer);
        member.follow();
        std::thread::sleep(TICK);
        (size(&member.owned) == 2).then_some(())
    });

    let mut wrong = Member::new(&unique("pattern"), &[]);
    let request = ConsumerGroupHeartbeatRequest {
        subscribed_topic_regex: Some("(".to_owned()),
        subscribed_topic_names: Some(Vec::new()),
        ..wrong.request()
    };
    assert_eq!(wrong.wire.call(1, &request).error_code, ErrorCode::INVALID_REGULAR_EXPRESSION);
}

#[test]
fn such_a_group_is_listed_and_described_from_its_beginning_to_its_end() {
    if !served() {
        return;
    }
    let (group, topic) = (unique("described"), Topic::create("described", 2));
    let absent = describe(&group);
    assert_eq!((absent.error_code, &*absent.group_id), (ErrorCode::GROUP_ID_NOT_FOUND, &*group));
    let mut member = Member::fixed(&group, "one", &[&topic]);
    member.assignor = Some("range".to_owned());
    member.join();
    member.settle(2);
    let mut wire = Wire::coordinator(&group);
    for version in wire.versions::<ConsumerGroupDescribeRequest>() {
        let request = ConsumerGroupDescribeRequest { group_ids: vec![group.clone()], ..Default::default() };
        let found = wire.call(version, &request).groups.remove(0);
        assert_eq!((found.error_code, &*found.group_state), (ErrorCode::NONE, "Stable"), "version {version}");
        assert_eq!((found.group_epoch, found.assignment_epoch), (member.epoch, member.epoch), "version {version}");
        assert_eq!(found.assignor_name, "range", "version {version}");
        assert_eq!(found.members.len(), 1, "version {version}");
        let told = &found.members[0];
        assert_eq!((&told.member_id, told.member_epoch), (&member.id, member.epoch), "version {version}");
        assert_eq!((told.instance_id.as_deref(), &*told.client_id), (Some("one"), "conformance"), "version {version}");
        assert!(told.client_host.starts_with('/'), "version {version}: {}", told.client_host);
        assert_eq!(told.subscribed_topic_names, std::slice::from_ref(&topic.name), "version {version}");
        for assignment in [&told.assignment, &told.target_assignment] {
            assert_eq!(assignment.topic_partitions.len(), 1, "version {version}");
            let found = &assignment.topic_partitions[0];
            assert_eq!((found.topic_id, &found.topic_name), (topic.id, &topic.name), "version {version}");
            let partitions: BTreeSet<i32> = found.partitions.iter().copied().collect();
            assert_eq!(partitions, BTreeSet::from([0, 1]), "version {version}");
        }
        assert_eq!(told.member_type, if version >= 1 { 1 } else { -1 }, "version {version}");
    }
    let mut list = |states: &[&str], types: &[&str]| {
        let request = ListGroupsRequest {
            states_filter: states.iter().map(|&state| state.to_owned()).collect(),
            types_filter: types.iter().map(|&kind| kind.to_owned()).collect(),
        };
        wire.ask(&request).groups.into_iter().find(|found| found.group_id == group)
    };
    let found = list(&[], &[]).unwrap();
    assert_eq!((&*found.protocol_type, &*found.group_state), ("consumer", "Stable"));
    assert_eq!(found.group_type.to_lowercase(), "consumer");
    assert!(list(&["Stable"], &["consumer"]).is_some());
    assert!(list(&["Empty"], &[]).is_none() && list(&[], &["classic"]).is_none());
    // It is no classic group.
    let classic = wire.ask(&DescribeGroupsRequest { groups: vec![group.clone()], ..Default::default() });
    assert_eq!((&*classic.groups[0].group_state, classic.groups[0].members.len()), ("Dead", 0));

    let delete = DeleteGroupsRequest { groups_names: vec![group.clone()] };
    assert_eq!(wire.ask(&delete).results[0].error_code, ErrorCode::NON_EMPTY_GROUP);
    assert_eq!(member.leave(-1), ErrorCode::NONE);
    let empty = describe(&group);
    assert_eq!((&*empty.group_state, empty.members.len()), ("Empty", 0));
    assert_eq!(wire.ask(&delete).results[0].error_code, ErrorCode::NONE);
    assert_eq!(describe(&group).error_code, ErrorCode::GROUP_ID_NOT_FOUND);
}

#[test]
fn positions_of_a_subscribed_topic_cannot_be_deleted() {
    if !served() {
        return;
    }
    let (group, topic) = (unique("positions"), Topic::create("positions", 1));
    let mut member = Member::settled(&group, &[&topic], 1);
    assert_eq!(member.commit(&topic, 4), ErrorCode::NONE);
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
    let topics = vec![OffsetDeleteRequestTopic { name: topic.name.clone(), partitions }];
    let request = OffsetDeleteRequest { group_id: group.clone(), topics };
    let code = |answer: &OffsetDeleteResponse| (answer.error_code, answer.topics[0].partitions[0].error_code);
    let refused = (ErrorCode::NONE, ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
    assert_eq!(code(&member.wire.ask(&request)), refused);
    assert_eq!(member.committed(&topic), Ok(4));
    assert_eq!(member.leave(-1), ErrorCode::NONE);
    assert_eq!(code(&member.wire.ask(&request)), (ErrorCode::NONE, ErrorCode::NONE));
}
