//! What topics become after they were created, and what a cluster tells of itself: CreatePartitions, DeleteTopics,
//! DescribeCluster, DescribeTopicPartitions, ListPartitionReassignments, ElectLeaders, DescribeLogDirs. And ACLs, of which
//! there are none without an authorizer.

use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{ErrorCode, Uuid};

use super::{NO_TOPIC, metadata, settle, topic, versions};
use crate::player::{Player, Topic};

pub fn play(player: &mut Player) {
    let node = player.quietly(1, &MetadataRequest { topics: Some(vec![]), ..Default::default() }).controller_id;
    for version in versions::<CreatePartitionsRequest>() {
        player.pass(version);
        grow(player, version, node);
    }
    for version in versions::<DeleteTopicsRequest>() {
        player.pass(version);
        delete(player, version);
    }
    for version in versions::<DescribeClusterRequest>() {
        player.pass(version);
        cluster(player, version);
    }
    player.end_of_passes();
    pages(player);
    reassignments(player);
    for version in versions::<ElectLeadersRequest>() {
        elections(player, version);
    }
    for version in versions::<DescribeLogDirsRequest>() {
        directories(player, version);
    }
    for version in versions::<DescribeAclsRequest>() {
        acls(player, version);
    }
}

fn grow(player: &mut Player, version: i16, node: i32) {
    let grown = topic(player, &format!("grown-{version}"), 2, &[]);
    let other = topic(player, &format!("also-grown-{version}"), 2, &[]);
    player.mask.know_text(&grown.name, "topic");
    player.mask.know_text(&other.name, "other topic");
    player.mask.know_id(grown.id, "id");
    let of = |name: &str, count: i32, assignments: Option<&[&[i32]]>| CreatePartitionsTopic {
        name: name.to_owned(),
        count,
        assignments: assignments
            .map(|all| all.iter().map(|ids| CreatePartitionsAssignment { broker_ids: ids.to_vec() }).collect()),
    };
    let ask = |player: &mut Player, title: &str, topics: Vec<CreatePartitionsTopic>, validate_only: bool| {
        player.ask(title, version, &CreatePartitionsRequest { topics, timeout_ms: 20_000, validate_only });
    };
    let name = &*grown.name;
    ask(player, "checked only", vec![of(name, 3, None)], true);
    ask(player, "as many as there are", vec![of(name, 2, None)], false);
    ask(player, "fewer than there are", vec![of(name, 1, None)], false);
    ask(player, "none", vec![of(name, 0, None)], false);
    ask(player, "a negative number", vec![of(name, -1, None)], false);
    ask(player, "a topic that does not exist", vec![of("unknown", 3, None)], false);
    ask(player, "a topic without a name", vec![of("", 3, None)], false);
    ask(player, "the same topic twice", vec![of(name, 3, None), of(name, 4, None)], false);
    ask(player, "assigned to a broker that does not exist", vec![of(name, 3, Some(&[&[node + 50]]))], false);
    ask(player, "more assignments than new partitions", vec![of(name, 3, Some(&[&[node], &[node]]))], false);
    ask(player, "no assignments", vec![of(name, 3, Some(&[]))], false);
    ask(player, "assigned to the same broker twice", vec![of(name, 3, Some(&[&[node, node]]))], false);
    ask(player, "assigned to nobody", vec![of(name, 3, Some(&[&[]]))], false);
    ask(player, "no topic", vec![], false);
    ask(player, "two more", vec![of(name, 4, None)], false);
    settle(player, name, 4);
    ask(player, "one more, assigned", vec![of(name, 5, Some(&[&[node]]))], false);
    settle(player, name, 5);
    player.mask.know_id(grown.id, "id");
    ask(
        player,
        "one topic that can grow and one that does not exist",
        vec![of(&other.name, 3, None), of("unknown", 3, None)],
        false,
    );
    settle(player, &other.name, 3);
    player.ask("after partitions were added", 12, &metadata(&[name]));
}

fn delete(player: &mut Player, version: i16) {
    let topics = ["deleted", "by-id", "both", "beside"].map(|name| {
        let topic = topic(player, &format!("{name}-{version}"), 1, &[]);
        player.mask.know_text(&topic.name, name);
        player.mask.know_id(topic.id, &format!("id of {name}"));
        topic
    });
    let [deleted, by_id, both, beside] = &topics;
    let named = |names: &[&str]| {
        let state = |name: &&str| DeleteTopicState { name: Some((*name).to_owned()), topic_id: Uuid::ZERO };
        DeleteTopicsRequest {
            topics: names.iter().filter(|_| version >= 6).map(state).collect(),
            topic_names: names.iter().filter(|_| version < 6).map(|name| (*name).to_owned()).collect(),
            timeout_ms: 20_000,
        }
    };
    let ask = |player: &mut Player, title: &str, request: DeleteTopicsRequest| player.ask(title, version, &request);
    ask(player, "a topic that does not exist", named(&["unknown"]));
    ask(player, "a topic without a name", named(&[""]));
    ask(player, "an illegal name", named(&["no topic!"]));
    ask(player, "no topic", named(&[]));
    ask(player, "the same topic twice", named(&[&both.name, &both.name]));
    if version >= 6 {
        let with = |topics: &[(Option<&str>, Uuid)]| DeleteTopicsRequest {
            topics: topics
                .iter()
                .map(|&(name, topic_id)| DeleteTopicState { name: name.map(str::to_owned), topic_id })
                .collect(),
            ..named(&[])
        };
        ask(player, "an id that does not exist", with(&[(None, NO_TOPIC)]));
        ask(player, "neither name nor id", with(&[(None, Uuid::ZERO)]));
        ask(player, "name and id", with(&[(Some(&both.name), both.id)]));
        ask(player, "by name and again by id", with(&[(Some(&both.name), Uuid::ZERO), (None, both.id)]));
        ask(player, "the same id twice", with(&[(None, both.id), (None, both.id)]));
        ask(player, "by its id", with(&[(None, by_id.id)]));
        await_gone(player, by_id);
        ask(player, "by its id, after it was deleted", with(&[(None, by_id.id)]));
        player.ask(
            "by its id, after it was deleted",
            12,
            &MetadataRequest {
                topics: Some(vec![MetadataRequestTopic { topic_id: by_id.id, name: None }]),
                ..Default::default()
            },
        );
    }
    ask(player, "a topic", named(&[&deleted.name]));
    await_gone(player, deleted);
    ask(player, "a topic that was deleted", named(&[&deleted.name]));
    ask(player, "one topic that exists and one that does not", named(&[&beside.name, "unknown"]));
    await_gone(player, beside);
    player.ask("a topic that was deleted", 12, &metadata(&[&deleted.name]));
    // A topic of the same name is another one.
    let again = topic(player, &format!("deleted-{version}"), 1, &[]);
    player.mask.know_id(again.id, "id of deleted, made anew");
    player.ask("a topic that was deleted and made anew", 12, &metadata(&[&deleted.name]));
    player.ask(
        "the old id of a topic that was made anew",
        12,
        &MetadataRequest {
            topics: Some(vec![MetadataRequestTopic { topic_id: deleted.id, name: None }]),
            ..Default::default()
        },
    );
    player.ask("the old id of a topic that was made anew", 13, &super::fetch::of(deleted, &[(0, 0)]));
}

fn await_gone(player: &mut Player, topic: &Topic) {
    player.until(|player| {
        let answer = player.quietly(12, &metadata(&[&topic.name]));
        answer.topics.first().is_some_and(|topic| topic.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    });
}

fn cluster(player: &mut Player, version: i16) {
    let mut ask = |title: &str, request: DescribeClusterRequest| {
        player.ask(title, version, &request);
    };
    ask("brokers", DescribeClusterRequest::default());
    ask(
        "what may be done",
        DescribeClusterRequest { include_cluster_authorized_operations: true, ..Default::default() },
    );
    if version >= 1 {
        ask("controllers", DescribeClusterRequest { endpoint_type: 2, ..Default::default() });
        ask(
            "a kind of endpoint that does not exist",
            DescribeClusterRequest { endpoint_type: 9, ..Default::default() },
        );
    }
    if version >= 2 {
        ask("with fenced brokers", DescribeClusterRequest { include_fenced_brokers: true, ..Default::default() });
    }
}

fn pages(player: &mut Player) {
    let first = topic(player, "page-a", 3, &[]);
    let second = topic(player, "page-b", 2, &[]);
    let (a, b) = (&*first.name, &*second.name);
    let missing = player.name("page-aa");
    let of = |names: &[&str], limit: i32, cursor: Option<(&str, i32)>| DescribeTopicPartitionsRequest {
        topics: names.iter().map(|&name| DescribeTopicPartitionsTopic { name: name.to_owned() }).collect(),
        response_partition_limit: limit,
        cursor: cursor.map(|(name, partition_index)| DescribeTopicPartitionsCursor {
            topic_name: name.to_owned(),
            partition_index,
        }),
    };
    for (title, request) in [
        ("two topics", of(&[a, b], 2000, None)),
        ("in another order", of(&[b, a], 2000, None)),
        ("the same topic twice", of(&[a, a], 2000, None)),
        ("a topic that does not exist", of(&[&missing], 2000, None)),
        ("two topics and one that does not exist", of(&[a, &missing, b], 2000, None)),
        ("an empty name", of(&[""], 2000, None)),
        ("an illegal name", of(&["no topic!"], 2000, None)),
        ("at most 2 partitions", of(&[a, b], 2, None)),
        ("at most 3 partitions", of(&[a, b], 3, None)),
        ("at most 4 partitions", of(&[a, b], 4, None)),
        ("at most 0 partitions", of(&[a, b], 0, None)),
        ("at most -1 partitions", of(&[a, b], -1, None)),
        ("from a partition on", of(&[a, b], 2000, Some((a, 1)))),
        ("from a partition on, at most 2", of(&[a, b], 2, Some((a, 1)))),
        ("from the second topic on", of(&[a, b], 2000, Some((b, 0)))),
        ("from a partition on that does not exist", of(&[a, b], 2000, Some((a, 9)))),
        ("from a negative partition on", of(&[a, b], 2000, Some((a, -1)))),
        ("from a topic on that does not exist", of(&[a, b], 2000, Some((&missing, 0)))),
        ("from behind all topics on", of(&[a, b], 2000, Some(("zzzz", 0)))),
    ] {
        player.ask(title, 0, &request);
    }
    player.ask_part("all topics from one on, without those of others", 0, &of(&[], 2000, Some((a, 1))), |answer| {
        answer.topics.retain(|topic| [Some(a), Some(b)].contains(&topic.name.as_deref()));
        // Where the page ends is up to what else is there.
        answer.next_cursor = None;
    });
}

fn reassignments(player: &mut Player) {
    let settled = topic(player, "settled", 2, &[]);
    let of = |name: &str, partition_indexes: Vec<i32>| ListPartitionReassignmentsRequest {
        topics: Some(vec![ListPartitionReassignmentsTopics { name: name.to_owned(), partition_indexes }]),
        ..Default::default()
    };
    player.ask("of all topics", 0, &ListPartitionReassignmentsRequest::default());
    player.ask("of a topic", 0, &of(&settled.name, vec![0, 1]));
    player.ask("of a partition that does not exist", 0, &of(&settled.name, vec![9]));
    player.ask("of a topic that does not exist", 0, &of("unknown", vec![0]));
    let none = ListPartitionReassignmentsRequest { topics: Some(vec![]), ..Default::default() };
    player.ask("of no topic", 0, &none);
}

fn elections(player: &mut Player, version: i16) {
    let elected = topic(player, &format!("elected-{version}"), 2, &[]);
    player.mask.know_text(&elected.name, "topic");
    let of = |name: &str, partitions: Vec<i32>, election_type: i8| ElectLeadersRequest {
        election_type,
        topic_partitions: Some(vec![ElectLeadersTopicPartitions { topic: name.to_owned(), partitions }]),
        timeout_ms: 10_000,
    };
    let mut ask = |title: &str, request: ElectLeadersRequest| {
        player.ask(title, version, &request);
    };
    ask("where the leader is the preferred one", of(&elected.name, vec![0, 1], 0));
    ask("a partition that does not exist", of(&elected.name, vec![9], 0));
    ask("a topic that does not exist", of("unknown", vec![0], 0));
    if version >= 1 {
        ask("unclean, where there is a leader", of(&elected.name, vec![0], 1));
        ask("a kind of election that does not exist", of(&elected.name, vec![0], 9));
    }
}

fn directories(player: &mut Player, version: i16) {
    let name = player.name("settled");
    let request =
        DescribeLogDirsRequest { topics: Some(vec![DescribableLogDirTopic { topic: name, partitions: vec![0, 1] }]) };
    player.ask_part("a topic", version, &request, |answer| {
        for of in &mut answer.results {
            of.log_dir = if of.log_dir.is_empty() { String::new() } else { "a directory".to_owned() };
            of.total_bytes = of.total_bytes.min(1);
            of.usable_bytes = of.usable_bytes.min(1);
        }
    });
}

fn acls(player: &mut Player, version: i16) {
    let any = DescribeAclsRequest {
        resource_type_filter: 1,
        resource_name_filter: None,
        pattern_type_filter: 1,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
    };
    player.ask("all", version, &any);
    let creation = AclCreation {
        resource_type: 2,
        resource_name: "settled".to_owned(),
        principal: "User:somebody".to_owned(),
        host: "*".to_owned(),
        operation: 3,
        permission_type: 3,
        ..Default::default()
    };
    player.ask("one", version, &CreateAclsRequest { creations: vec![creation] });
    let filter = DeleteAclsFilter {
        resource_type_filter: 2,
        resource_name_filter: None,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
        ..Default::default()
    };
    player.ask("all of topics", version, &DeleteAclsRequest { filters: vec![filter] });
}
