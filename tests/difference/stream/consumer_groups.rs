//! Consumer groups, whose partitions the broker assigns (KIP-848): ConsumerGroupHeartbeat, ConsumerGroupDescribe, and what
//! other requests say to such a group.
//!
//! When a broker makes a new assignment is its own affair: Kafka 4.3 does it in the background, once a second and group.
//! So between two states of a group that last, nothing is noted but what does not depend on that.

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;

use super::groups::{Group, know};
use super::offsets::{commit, fetch_of};
use super::{at_most, topic, versions};
use crate::player::{Player, Topic};

const TIMEOUT: i32 = 120_000;

pub fn play(player: &mut Player) {
    let consumed = topic(player, "consumed", 4, &[]);
    for version in versions::<ConsumerGroupHeartbeatRequest>() {
        player.pass(version);
        refused(player, version, &consumed);
        alone(player, version, &consumed);
        two_members(player, version, &consumed);
        static_member(player, version, &consumed);
        mixed(player, version, &consumed);
        growing(player, version);
        if version >= 1 {
            by_pattern(player, version, &consumed);
        }
    }
}

/// A member, and where it stands.
#[derive(Clone)]
struct Member {
    version: i16,
    group: String,
    /// Empty until the broker has given one, which it does in version 0.
    id: String,
    instance: Option<String>,
    epoch: i32,
    topic: Topic,
    owned: Vec<i32>,
}

impl Member {
    fn new(group: &Group, id: &str, topic: &Topic) -> Self {
        Self {
            version: group.version,
            group: group.id.clone(),
            id: if group.version >= 1 { id.to_owned() } else { String::new() },
            instance: None,
            epoch: 0,
            topic: topic.clone(),
            owned: Vec::new(),
        }
    }

    fn joining(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: TIMEOUT,
            subscribed_topic_names: Some(vec![self.topic.name.clone()]),
            topic_partitions: Some(vec![]),
            ..self.beat(0)
        }
    }

    fn beat(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.id.clone(),
            member_epoch: epoch,
            instance_id: self.instance.clone(),
            subscribed_topic_names: None,
            topic_partitions: None,
            ..Default::default()
        }
    }

    fn owning(&self, partitions: &[i32]) -> ConsumerGroupHeartbeatRequest {
        let owned = ConsumerGroupHeartbeatTopicPartitions { topic_id: self.topic.id, partitions: partitions.to_vec() };
        let topics = if partitions.is_empty() { vec![] } else { vec![owned] };
        ConsumerGroupHeartbeatRequest { topic_partitions: Some(topics), ..self.beat(self.epoch) }
    }

    /// Asks and goes by the answer. `who` names the id that the broker gives.
    fn ask(&mut self, player: &mut Player, who: &str, title: &str, request: &ConsumerGroupHeartbeatRequest) {
        let answer = player.ask_known(&format!("{who}, {title}"), self.version, request, |player, answer| {
            know_member(player, answer, who);
        });
        self.follow(&answer);
    }

    /// The same where the epoch depends on whether the broker has made the assignment yet: noted is whether there is one.
    fn ask_early(&mut self, player: &mut Player, who: &str, title: &str, request: &ConsumerGroupHeartbeatRequest) {
        let (mut answered, version) = (ConsumerGroupHeartbeatResponse::default(), self.version);
        player.ask_edited(&format!("{who}, {title}"), version, request, |player, answer| {
            know_member(player, answer, who);
            answered = answer.clone();
            answer.member_epoch = answer.member_epoch.min(1);
        });
        self.follow(&answered);
    }

    fn follow(&mut self, answer: &ConsumerGroupHeartbeatResponse) {
        if answer.error_code != ErrorCode::NONE {
            return;
        }
        if self.id.is_empty() {
            self.id = answer.member_id.clone().unwrap_or_default();
        }
        self.epoch = answer.member_epoch;
        if let Some(assignment) = &answer.assignment {
            let partitions = assignment.topic_partitions.iter().flat_map(|topic| &topic.partitions);
            self.owned = partitions.copied().collect();
        }
    }
}

fn know_member(player: &mut Player, answer: &ConsumerGroupHeartbeatResponse, who: &str) {
    let id = answer.member_id.as_deref().unwrap_or_default();
    // In version 0 it is what Kafka's own ids look like.
    if id.len() == 22 {
        player.mask.know_text(id, &format!("id of {who}"));
    }
}

/// Has the members heartbeat, each owning what it is told to own, until nothing changes any more.
fn settle(player: &mut Player, members: &mut [&mut Member]) {
    player.until(|player| {
        for member in &mut *members {
            let answer = player.quietly(member.version, &member.owning(&member.owned));
            member.follow(&answer);
        }
        let group = members[0].group.clone();
        let described =
            player.quietly(1, &ConsumerGroupDescribeRequest { group_ids: vec![group], ..Default::default() });
        described.groups.first().is_some_and(|group| {
            group.group_state == "Stable"
                && group.assignment_epoch == group.group_epoch
                && group.members.iter().all(|member| member.member_epoch == group.group_epoch)
        })
    });
}

/// Has Kafka assign without waiting. A broker that assigns at once need not know the setting.
fn assign_at_once(player: &mut Player, group: &Group) {
    let config = IncrementalAlterableConfig {
        name: "consumer.assignment.interval.ms".to_owned(),
        config_operation: 0,
        value: Some("0".to_owned()),
    };
    let resources = vec![IncrementalAlterConfigsResource {
        resource_type: 32,
        resource_name: group.id.clone(),
        configs: vec![config],
    }];
    player.quietly(1, &IncrementalAlterConfigsRequest { resources, ..Default::default() });
}

fn describe(player: &mut Player, title: &str, version: i16, groups: &[&str]) {
    let group_ids = groups.iter().map(|&group| group.to_owned()).collect();
    player.ask(title, version, &ConsumerGroupDescribeRequest { group_ids, ..Default::default() });
}

fn refused(player: &mut Player, version: i16, consumed: &Topic) {
    let group = Group::new(player, "consumer-refused", version);
    // Also in version 0 a member may choose its id.
    let member = Member { id: "somebody".to_owned(), ..Member::new(&group, "", consumed) };
    let sound = || member.joining();
    let mut ask = |title: &str, request: ConsumerGroupHeartbeatRequest| {
        player.ask(&format!("refused, {title}"), version, &request);
    };
    ask("an empty group id", ConsumerGroupHeartbeatRequest { group_id: String::new(), ..sound() });
    ask("a blank group id", ConsumerGroupHeartbeatRequest { group_id: " ".to_owned(), ..sound() });
    if version >= 1 {
        ask("no member id", ConsumerGroupHeartbeatRequest { member_id: String::new(), ..sound() });
    }
    ask("no rebalance timeout", ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: -1, ..sound() });
    ask("no subscription", ConsumerGroupHeartbeatRequest { subscribed_topic_names: None, ..sound() });
    ask("owned partitions not told", ConsumerGroupHeartbeatRequest { topic_partitions: None, ..sound() });
    ask(
        "owns partitions before it is a member",
        ConsumerGroupHeartbeatRequest { topic_partitions: member.owning(&[0]).topic_partitions, ..sound() },
    );
    ask(
        "an assignor that does not exist",
        ConsumerGroupHeartbeatRequest { server_assignor: Some("magic".to_owned()), ..sound() },
    );
    ask("an empty instance id", ConsumerGroupHeartbeatRequest { instance_id: Some(String::new()), ..sound() });
    ask("an empty rack", ConsumerGroupHeartbeatRequest { rack_id: Some(String::new()), ..sound() });
    ask("an epoch of -3", ConsumerGroupHeartbeatRequest { member_epoch: -3, ..sound() });
    ask("an epoch of a group that does not exist", member.beat(1));
    ask("leaves a group that does not exist", member.beat(-1));
    ask("an epoch of -2 without an instance id", member.beat(-2));
    if version >= 1 {
        ask(
            "a regular expression that is none",
            ConsumerGroupHeartbeatRequest {
                subscribed_topic_regex: Some("(".to_owned()),
                subscribed_topic_names: None,
                ..sound()
            },
        );
    }
    for (title, groups) in
        [("a group that does not exist", vec![&*group.id]), ("an empty group id", vec![""]), ("no group", vec![])]
    {
        describe(player, title, version, &groups);
    }
    // Not refused: a member that subscribes to nothing.
    let group = Group::new(player, "consumer-idle", version);
    let mut idle = Member::new(&group, "idle", consumed);
    let request = ConsumerGroupHeartbeatRequest { subscribed_topic_names: Some(vec![]), ..idle.joining() };
    idle.ask(player, "idle", "subscribes to nothing", &request);
    idle.ask(player, "idle", "leaves", &idle.beat(-1));
}

fn alone(player: &mut Player, version: i16, consumed: &Topic) {
    let group = Group::new(player, "consumer-alone", version);
    assign_at_once(player, &group);
    let mut member = Member::new(&group, "somebody", consumed);
    member.ask(player, "alone", "joins", &member.joining());
    describe(player, "alone, after joining", version, &[&group.id]);
    settle(player, &mut [&mut member]);
    describe(player, "alone, when it owns all", version, &[&group.id]);
    let request = ConsumerGroupDescribeRequest {
        group_ids: vec![group.id.clone(), "no-such-group".to_owned()],
        include_authorized_operations: true,
    };
    player.ask("alone, what may be done, and a group that does not exist", version, &request);
    let epoch = member.epoch;
    let ask = |player: &mut Player, title: &str, request: ConsumerGroupHeartbeatRequest| {
        member.clone().ask(player, "alone", title, &request);
    };
    ask(player, "nothing new", member.beat(epoch));
    ask(player, "an epoch that was", member.beat(epoch - 1));
    ask(player, "an epoch to come", member.beat(epoch + 1));
    ask(player, "an old epoch and what it owns", member.clone().at(epoch - 1).owning(&[0, 1, 2, 3]));
    let other = ConsumerGroupHeartbeatRequest { member_id: "nobody".to_owned(), ..member.beat(epoch) };
    ask(player, "another member's id", other);
    ask(player, "joins once more with the same id", member.joining());
    ask(player, "owns what it was not given", member.owning(&[0, 7]));
    let missing = format!("no-{}", consumed.name);
    let more = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec![consumed.name.clone(), missing]),
        ..member.owning(&[0, 1, 2, 3])
    };
    member.ask_early(player, "alone", "subscribes to what does not exist as well", &more);
    settle(player, &mut [&mut member]);
    describe(player, "alone, after it subscribed to more", version, &[&group.id]);
    positions(player, &group, &member);
    others(player, &group, &member.id);
    let epoch = member.epoch;
    member.ask(player, "alone", "leaves", &member.beat(-1));
    describe(player, "alone, after leaving", version, &[&group.id]);
    member.ask(player, "alone", "after leaving", &member.beat(epoch));
    let list = |player: &mut Player, title: &str| {
        player.ask_part(title, 5, &ListGroupsRequest::default(), |answer| {
            answer.groups.retain(|listed| listed.group_id == group.id);
        });
    };
    list(player, "a consumer group without members");
    player.ask("a consumer group without members", 2, &DeleteGroupsRequest { groups_names: vec![group.id.clone()] });
    list(player, "a consumer group that was deleted");
}

impl Member {
    fn at(self, epoch: i32) -> Self {
        Self { epoch, ..self }
    }
}

/// Positions of a member: its epoch counts in place of a generation.
fn positions(player: &mut Player, group: &Group, member: &Member) {
    let epoch = member.epoch;
    let of = |id: &str, epoch: i32| OffsetCommitRequest {
        member_id: id.to_owned(),
        generation_id_or_member_epoch: epoch,
        ..commit(&group.id, &member.topic, &[(0, 5, None)])
    };
    for version in [8, 9, 10] {
        for (title, request) in [
            ("of a member", of(&member.id, epoch)),
            ("of a member, an epoch that was", of(&member.id, epoch - 1)),
            ("of a member, an epoch to come", of(&member.id, epoch + 1)),
            ("of a member, epoch -1", of(&member.id, -1)),
            ("of a member that does not exist", of("nobody", epoch)),
            ("of no member", of("", -1)),
        ] {
            player.ask(&format!("consumer group: {title}"), version, &request);
        }
        let mut request = fetch_of(version, &group.id, Some((&member.topic, &[0])));
        player.ask("consumer group: of no member", version, &request);
        for (title, id, epoch) in [
            ("as a member", Some(&*member.id), epoch),
            ("as a member, an epoch that was", Some(&member.id), epoch - 1),
            ("as a member, an epoch to come", Some(&member.id), epoch + 1),
            ("as a member that does not exist", Some("nobody"), epoch),
            ("an epoch without a member", None, epoch),
        ] {
            request.groups[0].member_id = id.map(str::to_owned);
            request.groups[0].member_epoch = epoch;
            player.ask(&format!("consumer group: {title}"), version, &request);
        }
    }
}

/// What classic requests and those from outside hear of a consumer group with a member.
fn others(player: &mut Player, group: &Group, member: &str) {
    player.ask("consumer group: a classic heartbeat", 4, &group.heartbeat(member, 1));
    player.ask("consumer group: a classic sync", 5, &group.sync(member, 1, &[]));
    player.ask("consumer group: of a member that does not exist", 5, &group.leave(5, "nobody", None));
    let groups = vec![group.id.clone()];
    for version in [5, 6] {
        let request = DescribeGroupsRequest { groups: groups.clone(), ..Default::default() };
        player.ask("consumer group", version, &request);
    }
    player.ask("consumer group with a member", 2, &DeleteGroupsRequest { groups_names: groups });
    for (title, states, types) in [
        ("consumer groups", vec![], vec!["consumer"]),
        ("classic groups", vec![], vec!["classic"]),
        ("stable groups", vec!["Stable"], vec![]),
        ("reconciling groups", vec!["Reconciling"], vec![]),
    ] {
        let request = ListGroupsRequest {
            states_filter: states.into_iter().map(str::to_owned).collect(),
            types_filter: types.into_iter().map(str::to_owned).collect(),
        };
        player.ask_part(&format!("consumer group: {title}"), 5, &request, |answer| {
            answer.groups.retain(|listed| listed.group_id == group.id);
        });
    }
}

fn two_members(player: &mut Player, version: i16, consumed: &Topic) {
    // Assignments go by the order of the ids, so these are chosen in version 0, too.
    let named = |group: &Group, id: &str| Member { id: id.to_owned(), ..Member::new(group, id, consumed) };
    let group = Group::new(player, "consumer-two", version);
    assign_at_once(player, &group);
    let mut first = named(&group, "first");
    first.ask(player, "first", "joins", &first.joining());
    settle(player, &mut [&mut first]);
    let mut second = named(&group, "second");
    second.ask_early(player, "second", "joins", &second.joining());
    settle(player, &mut [&mut first, &mut second]);
    describe(player, "two members, each with its partitions", version, &[&group.id]);
    first.ask(player, "first", "leaves", &first.beat(-1));
    settle(player, &mut [&mut second]);
    describe(player, "two members, one of which has left", version, &[&group.id]);
    second.ask(player, "second", "leaves", &second.beat(-1));

    // Each assigns in its own way, as far as the members agree on it.
    let group = Group::new(player, "consumer-range", version);
    assign_at_once(player, &group);
    let mut first = named(&group, "first");
    let with_range = |member: &Member| ConsumerGroupHeartbeatRequest {
        server_assignor: Some("range".to_owned()),
        ..member.joining()
    };
    first.ask(player, "first of range", "joins", &with_range(&first));
    let mut second = named(&group, "second");
    second.ask_early(player, "second of range", "joins", &with_range(&second));
    settle(player, &mut [&mut first, &mut second]);
    describe(player, "two members that want ranges", version, &[&group.id]);
    first.ask(player, "first of range", "leaves", &first.beat(-1));
    second.ask(player, "second of range", "leaves", &second.beat(-1));
}

fn static_member(player: &mut Player, version: i16, consumed: &Topic) {
    let group = Group::new(player, "consumer-static", version);
    assign_at_once(player, &group);
    let with_instance = |id: &str| Member { instance: Some("i1".to_owned()), ..Member::new(&group, id, consumed) };
    let mut first = with_instance("first");
    first.ask(player, "static 1", "joins", &first.joining());
    settle(player, &mut [&mut first]);
    let mut second = with_instance("second");
    second.ask(player, "static 2", "joins while the first one is there", &second.joining());
    let other = Member { instance: Some("i2".to_owned()), ..first.clone() };
    other.clone().ask(player, "static 1", "another instance id", &other.beat(first.epoch));
    let epoch = first.epoch;
    first.ask(player, "static 1", "leaves for a while", &first.beat(-2));
    describe(player, "a static member that has left for a while", version, &[&group.id]);
    second.ask(player, "static 2", "comes in its place", &second.joining());
    describe(player, "a static member that was replaced", version, &[&group.id]);
    first.ask(player, "static 1", "after it was replaced", &first.beat(epoch));
    second.ask(player, "static 2", "leaves for good", &second.beat(-1));
    describe(player, "a static member that has left for good", version, &[&group.id]);
}

/// Classic members and others in one group.
fn mixed(player: &mut Player, version: i16, consumed: &Topic) {
    let group = Group::new(player, "consumer-mixed", version);
    assign_at_once(player, &group);
    let mut member = Member::new(&group, "somebody", consumed);
    member.ask(player, "mixed", "joins", &member.joining());
    settle(player, &mut [&mut member]);
    let classic = Group { id: group.id.clone(), version: 9 };
    let join = classic.join("");
    player.ask("into a consumer group, without a protocol", 9, &JoinGroupRequest { protocols: vec![], ..join.clone() });
    let connect = JoinGroupRequest { protocol_type: "connect".to_owned(), ..join };
    player.ask("into a consumer group, another protocol type", 9, &connect);
    member.ask(player, "mixed", "leaves", &member.beat(-1));

    // A classic group into which another member comes.
    let (classic, joined) = Group::with_one_member(player, "classic-mixed", 9);
    know(player, &joined.member_id, "classic");
    let group = Group { id: classic.id.clone(), version };
    assign_at_once(player, &group);
    let mut member = Member::new(&group, "somebody", consumed);
    member.ask(player, "mixed", "joins a classic group whose assignment cannot be read", &member.joining());
    let leave = at_most::<LeaveGroupRequest>(9);
    player.quietly(leave, &classic.leave(leave, &joined.member_id, None));
    member.ask(player, "mixed", "joins a classic group without members", &member.joining());
    member.ask(player, "mixed", "leaves what was a classic group", &member.beat(-1));
}

/// The topic gets more partitions, and nobody has to say so.
fn growing(player: &mut Player, version: i16) {
    let topic = topic(player, &format!("growing-{version}"), 1, &[]);
    player.mask.know_text(&topic.name, "topic");
    player.mask.know_id(topic.id, "id");
    let group = Group::new(player, "consumer-growing", version);
    assign_at_once(player, &group);
    let mut member = Member::new(&group, "somebody", &topic);
    member.ask(player, "growing", "joins", &member.joining());
    settle(player, &mut [&mut member]);
    let more = CreatePartitionsTopic { name: topic.name.clone(), count: 3, assignments: None };
    player.quietly(3, &CreatePartitionsRequest { topics: vec![more], timeout_ms: 20_000, validate_only: false });
    await_partitions(player, &mut member, 3);
    describe(player, "growing, with all the partitions", version, &[&group.id]);
    member.ask(player, "growing", "leaves", &member.beat(-1));
}

/// A member that subscribes by a regular expression.
fn by_pattern(player: &mut Player, version: i16, consumed: &Topic) {
    let group = Group::new(player, "consumer-pattern", version);
    assign_at_once(player, &group);
    let mut member = Member::new(&group, "somebody", consumed);
    let joining = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(format!("cons.*{}", &consumed.name["consumed".len()..])),
        ..member.joining()
    };
    member.ask_early(player, "pattern", "joins", &joining);
    await_partitions(player, &mut member, 4);
    // How many epochs that took depends on when the broker has looked for topics.
    let request = ConsumerGroupDescribeRequest { group_ids: vec![group.id.clone()], ..Default::default() };
    player.ask_part("pattern, with all the partitions", version, &request, |answer| {
        for group in &mut answer.groups {
            group.group_epoch = group.group_epoch.min(1);
            group.assignment_epoch = group.assignment_epoch.min(1);
            group.members.iter_mut().for_each(|member| member.member_epoch = member.member_epoch.min(1));
        }
    });
    member.ask(player, "pattern", "leaves", &member.beat(-1));
}

/// Has the member heartbeat until it owns so many partitions and nothing changes any more.
fn await_partitions(player: &mut Player, member: &mut Member, count: usize) {
    player.until(|player| {
        let answer = player.quietly(member.version, &member.owning(&member.owned));
        member.follow(&answer);
        member.owned.len() == count
    });
    settle(player, &mut [member]);
}
