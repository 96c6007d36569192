//! Groups for which the broker assigns.

use super::*;

fn world() -> World {
    let mut world = World::new(GroupOptions::default());
    world.topics.set("t", 4);
    world
}

/// A first heartbeat that is subscribed to these topics.
fn joining(member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        rebalance_timeout_ms: 20_000,
        subscribed_topic_names: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        topic_partitions: Some(Vec::new()),
        ..beat(member, 0)
    }
}

/// A heartbeat that says nothing new.
fn beat(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: member.to_owned(),
        member_epoch: epoch,
        ..Default::default()
    }
}

fn owning(world: &World, member: &str, epoch: i32, owned: &[(&str, &[i32])]) -> ConsumerGroupHeartbeatRequest {
    let owned = owned.iter().map(|(topic, partitions)| ConsumerGroupHeartbeatTopicPartitions {
        topic_id: world.topics.find(topic).unwrap().id,
        partitions: partitions.to_vec(),
    });
    ConsumerGroupHeartbeatRequest { topic_partitions: Some(owned.collect()), ..beat(member, epoch) }
}

impl World {
    fn beat(&mut self, request: &ConsumerGroupHeartbeatRequest) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        let asker = Asker { version: 1, client: &self.client };
        let answer = self.groups.consumer_heartbeat(self.now, &self.topics, &asker, request);
        answer.map_err(|refused| refused.code)
    }

    /// The epoch that a heartbeat is answered with, and the partitions, if the answer has any, as `t0 t1 u0`.
    fn told(&mut self, request: &ConsumerGroupHeartbeatRequest) -> (i32, Option<String>) {
        let answer = self.beat(request).unwrap();
        let partitions = answer.assignment.map(|assignment| {
            let topics = assignment.topic_partitions.into_iter().flat_map(|topic| {
                let name = self.topics.name_of(topic.topic_id).unwrap_or_else(|| "?".to_owned());
                topic.partitions.into_iter().map(move |partition| format!("{name}{partition}"))
            });
            topics.collect::<Vec<_>>().join(" ")
        });
        (answer.member_epoch, partitions)
    }

    fn consumers(&self) -> DescribedConsumerGroup {
        self.groups.describe_consumers(&self.topics, "g").unwrap()
    }
}

fn told(epoch: i32, partitions: &str) -> (i32, Option<String>) {
    (epoch, Some(partitions.to_owned()))
}

#[test]
fn a_partition_is_given_to_another_only_when_its_owner_has_given_it_up() {
    let mut world = world();
    assert_eq!(world.told(&joining("a", &["t"])), told(2, "t0 t1 t2 t3"));
    assert_eq!(world.told(&beat("a", 2)), (2, None));
    world.pass(1);
    assert_eq!(world.told(&joining("b", &["t"])), told(3, ""));
    assert_eq!(world.told(&beat("a", 2)), told(2, "t0 t1"), "it is to give up two of them");
    assert_eq!(world.consumers().group_state, "Reconciling");
    let reluctant = owning(&world, "a", 2, &[("t", &[0, 1, 2, 3])]);
    assert_eq!(world.told(&reluctant), (2, None));
    let half_way = owning(&world, "a", 2, &[("t", &[0, 1, 3])]);
    assert_eq!(world.told(&half_way), (2, None));
    assert_eq!(world.told(&beat("b", 3)), (3, None));
    let done = owning(&world, "a", 2, &[("t", &[0, 1])]);
    assert_eq!(world.told(&done), (3, None));
    assert_eq!(world.told(&beat("b", 3)), told(3, "t2 t3"));
    assert_eq!(world.consumers().group_state, "Stable");
}

#[test]
fn who_does_not_give_up_in_time_is_out() {
    let mut world = world();
    world.told(&joining("a", &["t"]));
    world.pass(1);
    world.told(&joining("b", &["t"]));
    world.told(&beat("a", 2));
    world.pass(15);
    assert_eq!(world.told(&beat("a", 2)), (2, None), "alive, and still has them");
    world.pass(6);
    assert_eq!(world.beat(&beat("a", 2)).unwrap_err(), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.told(&beat("b", 3)), told(4, "t0 t1 t2 t3"));
}

#[test]
fn a_silent_member_is_out_after_its_session() {
    let mut world = world();
    world.told(&joining("a", &["t"]));
    world.pass(44);
    world.told(&beat("a", 2));
    world.pass(44);
    assert_eq!(world.groups.members("g").len(), 1);
    world.pass(1);
    assert_eq!(world.state(), Some("Empty"));
}

#[test]
fn targets_are_computed_at_most_once_an_interval() {
    let mut world = world();
    world.told(&joining("a", &["t"]));
    assert_eq!(world.told(&joining("b", &["t"])), told(2, ""), "it is too early for a new target");
    assert_eq!(world.consumers().group_state, "Assigning");
    world.pass(1);
    assert_eq!(world.told(&beat("b", 2)), (3, None));
    assert_eq!(world.told(&beat("a", 2)), told(2, "t0 t1"));
}

#[test]
fn an_epoch_that_is_past_is_accepted_once_from_a_member_whose_answer_was_lost() {
    let mut world = world();
    world.told(&joining("a", &["t"]));
    world.pass(1);
    world.topics.set("t", 6);
    assert_eq!(world.told(&beat("a", 2)), told(3, "t0 t1 t2 t3 t4 t5"));
    let lost = owning(&world, "a", 2, &[("t", &[0, 1, 2, 3])]);
    assert_eq!(world.told(&lost).0, 3);
    assert_eq!(world.beat(&beat("a", 2)).unwrap_err(), ErrorCode::FENCED_MEMBER_EPOCH, "it does not say what it has");
    let more = owning(&world, "a", 2, &[("t", &[0, 1, 2, 3, 9])]);
    assert_eq!(world.beat(&more).unwrap_err(), ErrorCode::FENCED_MEMBER_EPOCH);
    assert_eq!(world.beat(&beat("a", 1)).unwrap_err(), ErrorCode::FENCED_MEMBER_EPOCH);
    assert_eq!(world.beat(&beat("a", 4)).unwrap_err(), ErrorCode::FENCED_MEMBER_EPOCH);
    assert_eq!(world.told(&joining("a", &["t"])), told(3, "t0 t1 t2 t3 t4 t5"), "coming anew is always possible");
}

#[test]
fn the_group_follows_its_topics() {
    let mut world = world();
    assert_eq!(world.told(&joining("a", &["t", "u"])), told(2, "t0 t1 t2 t3"));
    world.pass(1);
    world.topics.set("unrelated", 1);
    assert_eq!(world.told(&beat("a", 2)), (2, None));
    world.topics.set("u", 1);
    assert_eq!(world.told(&beat("a", 2)), told(3, "t0 t1 t2 t3 u0"));
    world.pass(1);
    world.topics.delete("t");
    assert_eq!(world.told(&beat("a", 3)), told(3, "u0"), "the member still has to give up the others");
    let done = owning(&world, "a", 3, &[("u", &[0])]);
    assert_eq!(world.told(&done), (4, None));
}

#[test]
fn what_a_member_is_no_longer_subscribed_to_goes_first() {
    let mut world = world();
    world.topics.set("u", 1);
    world.told(&joining("a", &["t"]));
    let names = Some(vec!["u".to_owned()]);
    let request = ConsumerGroupHeartbeatRequest { subscribed_topic_names: names, ..beat("a", 2) };
    assert_eq!(world.told(&request), told(2, ""), "before there may be a new target");
    let done = owning(&world, "a", 2, &[]);
    assert_eq!(world.told(&done), (2, None));
    world.pass(1);
    assert_eq!(world.told(&done), told(3, "u0"));
}

#[test]
fn an_expression_is_matched_after_the_answer_and_again_when_there_are_other_topics() {
    let mut world = world();
    world.topics.set("x-1", 1);
    let mut request = joining("a", &[]);
    request.subscribed_topic_names = None;
    request.subscribed_topic_regex = Some("x-.*".to_owned());
    assert_eq!(world.told(&request), told(1, ""));
    world.pass(5);
    assert_eq!(world.told(&beat("a", 1)), told(2, "x-10"));
    world.topics.set("x-2", 1);
    assert_eq!(world.told(&beat("a", 2)), (2, None));
    world.pass(6);
    assert_eq!(world.told(&beat("a", 2)), (2, None), "only now it is matched again");
    world.pass(1);
    assert_eq!(world.told(&beat("a", 2)), told(3, "x-10 x-20"));
    let other = ConsumerGroupHeartbeatRequest { subscribed_topic_regex: Some("(".to_owned()), ..beat("a", 3) };
    assert_eq!(world.beat(&other).unwrap_err(), ErrorCode::INVALID_REGULAR_EXPRESSION);
    assert_eq!(world.consumers().members[0].subscribed_topic_regex.as_deref(), Some("x-.*"));
}

#[test]
fn a_static_member_keeps_what_it_has_while_it_is_away() {
    let mut world = world();
    let with = |request: ConsumerGroupHeartbeatRequest| ConsumerGroupHeartbeatRequest {
        instance_id: Some("i".to_owned()),
        ..request
    };
    world.told(&with(joining("a", &["t"])));
    assert_eq!(world.beat(&with(joining("b", &["t"]))).unwrap_err(), ErrorCode::UNRELEASED_INSTANCE_ID);
    assert_eq!(world.beat(&with(beat("b", 2))).unwrap_err(), ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(world.told(&with(beat("a", -2))), (-2, None));
    world.pass(5);
    world.told(&joining("c", &["t"]));
    assert_eq!(world.told(&beat("c", 3)), (3, None), "nothing is free");
    assert_eq!(
        world.told(&with(joining("b", &["t"]))),
        told(3, "t0 t1"),
        "it comes without any, so nothing to give up"
    );
    assert_eq!(world.told(&beat("c", 3)), told(3, "t2 t3"));
    assert_eq!(world.beat(&with(beat("a", 2))).unwrap_err(), ErrorCode::FENCED_INSTANCE_ID);
    world.told(&with(beat("b", -1)));
    assert_eq!(world.groups.members("g"), BTreeSet::from(["c".to_owned()]));
}

#[test]
fn a_static_member_that_stays_away_is_out_after_its_session() {
    let mut world = world();
    let instance_id = Some("i".to_owned());
    world.told(&ConsumerGroupHeartbeatRequest { instance_id: instance_id.clone(), ..joining("a", &["t"]) });
    world.told(&ConsumerGroupHeartbeatRequest { instance_id, ..beat("a", -2) });
    world.pass(44);
    assert_eq!(world.groups.members("g").len(), 1);
    world.pass(1);
    assert_eq!(world.state(), Some("Empty"));
}

#[test]
fn positions_are_taken_for_partitions_that_the_member_has_had_since_the_epoch_it_tells() {
    let mut world = world();
    world.told(&joining("a", &["t"]));
    assert_eq!(world.commit("a", 2, "t", 0, 1), Ok(()));
    assert_eq!(world.commit("a", 1, "t", 0, 1), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(world.commit("a", 3, "t", 0, 1), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(world.commit("b", 2, "t", 0, 1), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    world.pass(1);
    world.topics.set("t", 5);
    assert_eq!(world.told(&beat("a", 2)).0, 3);
    assert_eq!(world.commit("a", 2, "t", 0, 7), Ok(()), "had since 2");
    assert_eq!(world.commit("a", 2, "t", 4, 7), Err(ErrorCode::STALE_MEMBER_EPOCH), "had since 3");
    let fetch = |member: Option<&str>, epoch| OffsetFetchRequestGroup {
        group_id: "g".to_owned(),
        member_id: member.map(str::to_owned),
        member_epoch: epoch,
        topics: None,
    };
    assert_eq!(world.groups.check_fetch(&fetch(None, -1)), Ok(()));
    assert_eq!(world.groups.check_fetch(&fetch(Some("a"), 3)), Ok(()));
    assert_eq!(world.groups.check_fetch(&fetch(Some("a"), 2)), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(world.groups.check_fetch(&fetch(Some("b"), 3)), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(world.groups.delete_position("g", "t", 0), Err(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC));
}

#[test]
fn a_group_without_members_takes_members_of_either_protocol_and_keeps_its_positions() {
    let mut world = world();
    world.commit("", -1, "t", 0, 5).unwrap();
    let mut bad = joining("a", &["t"]);
    bad.subscribed_topic_regex = Some("(".to_owned());
    assert!(world.beat(&bad).is_err());
    assert!(world.groups.describe("g").is_ok(), "a refused heartbeat changes nothing");
    world.told(&joining("a", &["t"]));
    assert!(world.groups.describe("g").is_err());
    assert_eq!(world.told(&beat("a", -1)), (-1, None));
    let (a, joined) = world.join_new(&super::consumer());
    assert_eq!(joined.now().generation_id, 1);
    assert_eq!(world.position("t", 0), Some(5));
    world.leave(&a);
    world.told(&joining("a", &["t"]));
    assert_eq!(world.position("t", 0), Some(5));
}

#[test]
fn the_members_choose_the_assignor() {
    let mut world = world();
    world.topics.set("u", 2);
    let range = |request: ConsumerGroupHeartbeatRequest| ConsumerGroupHeartbeatRequest {
        server_assignor: Some("range".to_owned()),
        ..request
    };
    world.told(&range(joining("a", &["t", "u"])));
    world.pass(1);
    world.told(&range(joining("b", &["t", "u"])));
    assert_eq!(world.told(&beat("a", 2)), told(2, "t0 t1 u0"));
    assert_eq!(world.consumers().assignor_name, "range");
}

#[test]
fn a_heartbeat_must_make_sense() {
    let refused = |version, request: &ConsumerGroupHeartbeatRequest| {
        check_consumer_heartbeat(version, request).map_err(|refused| refused.code)
    };
    let invalid = Err(ErrorCode::INVALID_REQUEST);
    let good = joining("a", &["t"]);
    assert_eq!(refused(1, &good), Ok(()));
    assert_eq!(refused(0, &ConsumerGroupHeartbeatRequest { member_id: String::new(), ..good.clone() }), Ok(()));
    assert_eq!(refused(1, &ConsumerGroupHeartbeatRequest { member_id: String::new(), ..good.clone() }), invalid);
    assert_eq!(refused(0, &beat("", 3)), invalid);
    assert_eq!(refused(1, &ConsumerGroupHeartbeatRequest { group_id: " ".to_owned(), ..good.clone() }), invalid);
    assert_eq!(refused(1, &ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: -1, ..good.clone() }), invalid);
    assert_eq!(refused(1, &ConsumerGroupHeartbeatRequest { topic_partitions: None, ..good.clone() }), invalid);
    assert_eq!(refused(1, &ConsumerGroupHeartbeatRequest { subscribed_topic_names: None, ..good.clone() }), invalid);
    assert_eq!(refused(1, &beat("a", -2)), invalid);
    assert_eq!(refused(1, &beat("a", -3)), invalid);
    let unknown = ConsumerGroupHeartbeatRequest { server_assignor: Some("x".to_owned()), ..good };
    assert_eq!(refused(1, &unknown), Err(ErrorCode::UNSUPPORTED_ASSIGNOR));
}

/// A consumer of the classic protocol that owns these partitions of the topic.
fn classical(member: &str, owned: &[i32]) -> JoinGroupRequest {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["t".to_owned()],
        owned_partitions: vec![ConsumerProtocolTopicPartition { topic: "t".to_owned(), partitions: owned.to_vec() }],
        ..Default::default()
    };
    let request = with_protocols(&[("range", subscription.to_bytes(1).unwrap())]);
    JoinGroupRequest { member_id: member.to_owned(), ..request }
}

fn part(partitions: &[i32]) -> Bytes {
    let topic = ConsumerProtocolTopicPartition { topic: "t".to_owned(), partitions: partitions.to_vec() };
    ConsumerProtocolAssignment { assigned_partitions: vec![topic], user_data: None }.to_bytes(1).unwrap()
}

fn partitions(bytes: &Bytes) -> Vec<i32> {
    let assignment = ConsumerProtocolAssignment::from_bytes(bytes).unwrap();
    assignment.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
}

/// A stable group of one classic member that has all of the topic.
fn classic_group(world: &mut World) -> String {
    let (a, joined) = world.join_new(&classical("", &[]));
    joined.now();
    let (answer, waiting) = promise(&world.doorbell);
    let request = SyncGroupRequest {
        group_id: "g".to_owned(),
        generation_id: 1,
        member_id: a.clone(),
        assignments: vec![SyncGroupRequestAssignment { member_id: a.clone(), assignment: part(&[0, 1, 2, 3]) }],
        ..Default::default()
    };
    world.groups.sync(world.now, &world.topics, &request, answer);
    assert_eq!(partitions(&Waiting(waiting).now().assignment), [0, 1, 2, 3]);
    a
}

#[test]
fn a_running_group_changes_to_the_new_protocol_and_back_without_two_owners_of_anything() {
    let mut world = world();
    let a = classic_group(&mut world);
    world.commit(&a, 1, "t", 0, 5).unwrap();
    assert_eq!(world.told(&joining("b", &["t"])), told(2, ""));
    let types: Vec<i8> = world.consumers().members.iter().map(|member| member.member_type).collect();
    assert_eq!(types.iter().sum::<i8>(), 1, "one of either protocol: {types:?}");
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.commit(&a, 1, "t", 0, 6), Ok(()));
    assert_eq!(world.commit(&a, 7, "t", 0, 6), Err(ErrorCode::ILLEGAL_GENERATION));

    let first = world.join(&classical(&a, &[0, 1, 2, 3])).now();
    assert_eq!((first.generation_id, first.leader.as_str(), first.members.len()), (1, "", 0));
    let kept = partitions(&world.sync(&a, 1, &[]).now().assignment);
    assert_eq!(kept.len(), 2, "half of them are to be given up");
    assert_eq!(world.told(&beat("b", 2)), (2, None), "they are not free yet");
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.join(&classical(&a, &kept)).now().generation_id, 2);
    assert_eq!(partitions(&world.sync(&a, 2, &[]).now().assignment), kept);
    assert_eq!(world.heartbeat(&a, 2), ErrorCode::NONE);
    assert_eq!(world.told(&beat("b", 2)).1.unwrap().split(' ').count(), 2);

    world.told(&beat("b", -1));
    assert_eq!(world.groups.describe("g").unwrap().group_state, "PreparingRebalance", "only classic members are left");
    assert_eq!(world.position("t", 0), Some(6));
    let joined = world.join(&classical(&a, &kept)).now();
    assert_eq!((joined.generation_id, joined.leader), (3, a));
}

#[test]
fn a_classic_member_that_neither_joins_nor_asks_for_its_part_in_time_is_out() {
    for joins in [false, true] {
        let mut world = world();
        let a = classic_group(&mut world);
        world.told(&joining("b", &["t"]));
        let mut generation = 1;
        if joins {
            generation = world.join(&classical(&a, &[])).now().generation_id;
        }
        for seconds in (3..=24).step_by(3) {
            world.pass(3);
            let known = world.heartbeat(&a, generation) != ErrorCode::UNKNOWN_MEMBER_ID;
            assert_eq!(known, seconds < if joins { 20 } else { 3 + 20 }, "after {seconds} s");
        }
    }
}

#[test]
fn a_running_group_whose_members_the_broker_does_not_understand_stays_classic() {
    let mut world = world();
    let connect = JoinGroupRequest { protocol_type: "connect".to_owned(), ..super::consumer() };
    let (_, joined) = world.join_new(&connect);
    joined.now();
    assert_eq!(world.beat(&joining("b", &["t"])).unwrap_err(), ErrorCode::GROUP_ID_NOT_FOUND);
    assert!(world.groups.describe("g").is_ok());

    let mut world = super::consumer::world();
    world.told(&joining("b", &["t"]));
    assert_eq!(world.join(&connect).now().error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(world.heartbeat("b", 2), ErrorCode::UNKNOWN_MEMBER_ID, "it does not speak that protocol");
}

#[test]
fn a_static_member_that_comes_back_with_the_classic_protocol_takes_the_group_along() {
    let mut world = world();
    let instance_id = Some("i".to_owned());
    world.told(&ConsumerGroupHeartbeatRequest { instance_id: instance_id.clone(), ..joining("a", &["t"]) });
    let back = JoinGroupRequest { group_instance_id: instance_id.clone(), ..classical("", &[]) };
    let joined = world.join(&back).now();
    assert_eq!(joined.error_code, ErrorCode::NONE);
    assert_eq!(world.state(), Some("PreparingRebalance"));
    let again = JoinGroupRequest { member_id: joined.member_id, ..back };
    assert_eq!(world.join(&again).now().members.len(), 1);
}
