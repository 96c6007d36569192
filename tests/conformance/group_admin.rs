//! Classic groups from outside: listed, described, deleted, with the positions they have.

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;

use crate::classic::{Member, pair, wants};
use crate::support::{LONG, kafka, partitions, unique};
use crate::wire::{Topic, Wire};

fn describe(group: &str) -> DescribedGroup {
    let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
    Wire::coordinator(group).ask(&request).groups.remove(0)
}

fn delete(group: &str) -> ErrorCode {
    let request = DeleteGroupsRequest { groups_names: vec![group.to_owned()] };
    Wire::coordinator(group).ask(&request).results[0].error_code
}

/// The state that the list of groups has for one.
fn listed(group: &str, states: &[&str], types: &[&str]) -> Option<ListedGroup> {
    let request = ListGroupsRequest {
        states_filter: states.iter().map(|&state| state.to_owned()).collect(),
        types_filter: types.iter().map(|&kind| kind.to_owned()).collect(),
    };
    let answer = Wire::coordinator(group).ask(&request);
    assert_eq!(answer.error_code, ErrorCode::NONE);
    answer.groups.into_iter().find(|found| found.group_id == group)
}

#[test]
fn a_group_is_listed_and_described_from_its_beginning_to_its_end() {
    let group = unique("described");
    let absent = describe(&group);
    assert_eq!((&*absent.group_id, &*absent.group_state, absent.members.len()), (&*group, "Dead", 0));
    assert_eq!(listed(&group, &[], &[]), None);

    let (leader, follower) = pair(Member::fixed(&group, "one"), Member::new(&group));
    let stable = describe(&group);
    assert_eq!(stable.error_code, ErrorCode::NONE);
    let told = (&*stable.group_state, &*stable.protocol_type, &*stable.protocol_data);
    assert_eq!(told, ("Stable", "consumer", "range"));
    assert_eq!(stable.members.len(), 2);
    let member = |id: &str| stable.members.iter().find(|member| member.member_id == id).unwrap();
    let (first, second) = (member(&leader.id), member(&follower.id));
    assert_eq!((&first.member_metadata[..], &first.member_assignment[..]), (&wants("one")[..], &b"one"[..]));
    assert_eq!((&second.member_metadata[..], &second.member_assignment[..]), (&wants("one")[..], &b"two"[..]));
    assert_eq!((first.group_instance_id.as_deref(), second.group_instance_id.as_deref()), (Some("one"), None));
    assert_eq!((&*first.client_id, first.client_host.starts_with('/')), ("conformance", true));

    let found = listed(&group, &[], &[]).unwrap();
    assert_eq!((&*found.protocol_type, &*found.group_state), ("consumer", "Stable"));
    assert_eq!(found.group_type.to_lowercase(), "classic");
    assert!(listed(&group, &["Stable"], &[]).is_some() && listed(&group, &["Empty"], &[]).is_none());
    assert!(listed(&group, &["stable", "Empty"], &["classic"]).is_some());
    assert!(listed(&group, &[], &["consumer"]).is_none());
    assert_eq!(delete(&group), ErrorCode::NON_EMPTY_GROUP);

    let mut follower = follower;
    let (leader_id, follower_id) = (leader.id, follower.id.clone());
    assert_eq!(follower.leave(&[(&leader_id, Some("one")), (&follower_id, None)]), [ErrorCode::NONE; 2]);
    let empty = describe(&group);
    assert_eq!((&*empty.group_state, &*empty.protocol_type, empty.members.len()), ("Empty", "consumer", 0));
    assert_eq!(listed(&group, &["Empty"], &[]).unwrap().protocol_type, "consumer");
    assert_eq!(delete(&group), ErrorCode::NONE);
    assert_eq!(describe(&group).group_state, "Dead");
    assert_eq!(listed(&group, &[], &[]), None);
    assert_eq!(delete(&group), ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(delete(""), ErrorCode::GROUP_ID_NOT_FOUND);
}

#[test]
fn groups_are_listed_described_and_deleted_in_every_version() {
    let topic = Topic::create("every", 1);
    let versions: Vec<i16> = Wire::any().versions::<DescribeGroupsRequest>().collect();
    for version in versions {
        let (group, absent) = (unique("every"), unique("absent"));
        let mut member = Member::fixed(&group, "one");
        member.join();
        assert!(member.sync(&[("", b"all")]).is_ok());
        assert_eq!(member.commit(&topic, 1), ErrorCode::NONE);
        let describe = |wire: &mut Wire, group: &str| {
            let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
            wire.call(version, &request).groups.remove(0)
        };
        let found = describe(&mut member.wire, &group);
        assert_eq!(
            (found.error_code, &*found.group_state, &*found.protocol_data),
            (ErrorCode::NONE, "Stable", "range")
        );
        assert_eq!(found.members[0].member_id, member.id, "version {version}");
        let instance = found.members[0].group_instance_id.as_deref();
        assert_eq!(instance, (version >= 4).then_some("one"), "version {version}");
        let code = if version >= 6 { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::NONE };
        let found = describe(&mut Wire::coordinator(&absent), &absent);
        assert_eq!((found.error_code, &*found.group_state), (code, "Dead"), "version {version}");

        for version in member.wire.versions::<ListGroupsRequest>() {
            let answer = member.wire.call(version, &ListGroupsRequest::default());
            let found = answer.groups.iter().find(|found| found.group_id == group).unwrap();
            assert_eq!((answer.error_code, &*found.protocol_type), (ErrorCode::NONE, "consumer"), "version {version}");
            assert_eq!(&*found.group_state, if version >= 4 { "Stable" } else { "" }, "version {version}");
            assert_eq!(found.group_type.to_lowercase(), if version >= 5 { "classic" } else { "" }, "version {version}");
        }

        let range: Vec<i16> = member.wire.versions::<DeleteGroupsRequest>().collect();
        let version = version.clamp(range[0], range[range.len() - 1]);
        let delete = |wire: &mut Wire, group: &str| {
            let answer = wire.call(version, &DeleteGroupsRequest { groups_names: vec![group.to_owned()] });
            assert_eq!((answer.results.len(), &*answer.results[0].group_id), (1, group));
            answer.results[0].error_code
        };
        assert_eq!(delete(&mut member.wire, &group), ErrorCode::NON_EMPTY_GROUP, "version {version}");
        assert_eq!(member.leave(&[("", Some("one"))]), [ErrorCode::NONE]);
        assert_eq!(delete(&mut member.wire, &group), ErrorCode::NONE, "version {version}");
        let code = delete(&mut Wire::coordinator(&absent), &absent);
        assert_eq!(code, ErrorCode::GROUP_ID_NOT_FOUND, "version {version}");
    }
}

#[test]
fn a_group_between_two_generations_is_described_as_that() {
    let group = unique("between");
    let mut leader = Member::new(&group);
    leader.join();
    assert_eq!(describe(&group).group_state, "CompletingRebalance");
    assert!(leader.sync(&[("", b"all")]).is_ok());
    let mut follower = Member::new(&group);
    let sent = follower.start_join();
    leader.until_heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    let between = describe(&group);
    assert_eq!((&*between.group_state, &*between.protocol_data), ("PreparingRebalance", ""));
    assert_eq!(between.members.len(), 2);
    assert!(between.members.iter().all(|member| member.member_metadata.is_empty()));
    leader.join();
    follower.joined(&sent);
}

#[test]
fn with_a_group_its_positions_go() {
    let group = unique("gone");
    let topic = Topic::create("gone", 1);
    let mut member = Member::alone(&group);
    assert_eq!(member.commit(&topic, 3), ErrorCode::NONE);
    let id = member.id.clone();
    assert_eq!(member.leave(&[(&id, None)]), [ErrorCode::NONE]);
    let consumer = kafka().consumer(&[("group.id", &group)]);
    let zero = partitions(&topic.name, 1);
    assert_eq!(consumer.committed(&zero).unwrap(), [Some(3)]);
    assert_eq!(delete(&group), ErrorCode::NONE);
    assert_eq!(consumer.committed(&zero).unwrap(), [None]);
    consumer.close(LONG).unwrap();
}

fn delete_offset(group: &str, topic: &Topic, partition: i32) -> (ErrorCode, Option<ErrorCode>) {
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: partition }];
    let topics = vec![OffsetDeleteRequestTopic { name: topic.name.clone(), partitions }];
    let answer = Wire::coordinator(group).ask(&OffsetDeleteRequest { group_id: group.to_owned(), topics });
    (answer.error_code, answer.topics.first().map(|topic| topic.partitions[0].error_code))
}

#[test]
fn single_positions_are_deleted_unless_their_topic_is_subscribed_to() {
    let group = unique("positions");
    let (subscribed, other) = (Topic::create("subscribed", 1), Topic::create("other", 1));
    assert_eq!(delete_offset(&group, &other, 0), (ErrorCode::GROUP_ID_NOT_FOUND, None));
    let mut member = Member::new(&group);
    member.protocols[0].1 = wants(&subscribed.name);
    member.join();
    assert!(member.sync(&[("", b"all")]).is_ok());
    assert_eq!(member.commit(&subscribed, 3), ErrorCode::NONE);
    assert_eq!(member.commit(&other, 4), ErrorCode::NONE);
    let refused = delete_offset(&group, &subscribed, 0);
    assert_eq!(refused, (ErrorCode::NONE, Some(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC)));
    assert_eq!(delete_offset(&group, &other, 0), (ErrorCode::NONE, Some(ErrorCode::NONE)));
    let consumer = kafka().consumer(&[("group.id", &group)]);
    let positions = [&subscribed, &other].map(|topic| partitions(&topic.name, 1).remove(0));
    assert_eq!(consumer.committed(&positions).unwrap(), [Some(3), None]);
    // Nobody is left to mind.
    let id = member.id.clone();
    assert_eq!(member.leave(&[(&id, None)]), [ErrorCode::NONE]);
    assert_eq!(delete_offset(&group, &subscribed, 0), (ErrorCode::NONE, Some(ErrorCode::NONE)));
    assert_eq!(consumer.committed(&positions).unwrap(), [None, None]);
    consumer.close(LONG).unwrap();
}
