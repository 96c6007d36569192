//! The administrative APIs at a cluster without sockets, and what they say of brokers that are down.

use std::sync::Arc;

use super::super::Options;
use super::super::call::{Call, Client, Doorbell, Handler, Reply};
use super::super::cluster::{Cluster, Node};
use super::super::config::alter::resource;
use crate::kafka::protocol::messages::*;
use crate::kafka::protocol::{ErrorCode, Uuid};

/// A cluster of so many brokers, all of which are up.
fn cluster(brokers: i32) -> Cluster {
    let cluster = Cluster::new(Options { brokers, ..Options::default() }).unwrap();
    for id in 1..=brokers {
        cluster.node_up(Node { id, host: "localhost".to_owned(), port: 9092, up: true });
    }
    cluster
}

/// Asks the first broker, in the newest version.
fn ask<R: Handler>(cluster: &Cluster, request: R) -> R::Response {
    let (client, doorbell) = (Client::default(), Arc::new(Doorbell::default()));
    let call = Call { cluster, node: 1, version: R::VERSIONS.max, client: &client, doorbell: &doorbell };
    match request.serve(&call) {
        Reply::Answer(answer) => answer,
        Reply::Silence | Reply::HangUp => panic!("no answer"),
    }
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.to_owned(), num_partitions, replication_factor, ..Default::default() }
}

fn create(cluster: &Cluster, topics: Vec<CreatableTopic>) -> Vec<CreatableTopicResult> {
    ask(cluster, CreateTopicsRequest { topics, ..Default::default() }).topics
}

fn describe(cluster: &Cluster, limit: i32, cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsResponse {
    let cursor = cursor.map(|(topic, partition_index)| DescribeTopicPartitionsCursor {
        topic_name: topic.to_owned(),
        partition_index,
    });
    let request = DescribeTopicPartitionsRequest { response_partition_limit: limit, cursor, ..Default::default() };
    ask(cluster, request)
}

/// The value of a setting and the number of its source.
fn setting(cluster: &Cluster, resource_type: i8, resource: &str, name: &str) -> (Option<String>, i8) {
    let resources = vec![DescribeConfigsResource {
        resource_type,
        resource_name: resource.to_owned(),
        configuration_keys: Some(vec![name.to_owned()]),
    }];
    let mut answer = ask(cluster, DescribeConfigsRequest { resources, ..Default::default() });
    let config = answer.results.pop().unwrap().configs.pop().unwrap();
    (config.value, config.config_source)
}

fn set(cluster: &Cluster, resource_type: i8, resource: &str, name: &str, value: Option<&str>) -> ErrorCode {
    let resources = vec![IncrementalAlterConfigsResource {
        resource_type,
        resource_name: resource.to_owned(),
        configs: vec![IncrementalAlterableConfig {
            name: name.to_owned(),
            config_operation: if value.is_some() { 0 } else { 1 },
            value: value.map(str::to_owned),
        }],
    }];
    ask(cluster, IncrementalAlterConfigsRequest { resources, ..Default::default() }).responses[0].error_code
}

#[test]
fn a_broker_that_is_down_holds_replicas_but_does_not_lead_and_is_told_as_offline() {
    let cluster = cluster(3);
    cluster.node_down(2);
    assert_eq!(create(&cluster, vec![topic("wide", 3, 3), topic("wider", 1, 4)])[0].error_code, ErrorCode::NONE);
    let described = describe(&cluster, 100, None);
    assert_eq!(described.topics.len(), 1);
    for partition in &described.topics[0].partitions {
        assert_eq!(partition.replica_nodes.len(), 3);
        assert_eq!(partition.offline_replicas, [2]);
        assert!(partition.leader_id != 2 && !partition.isr_nodes.contains(&2));
    }
    let brokers = |include_fenced_brokers| {
        let request = DescribeClusterRequest { include_fenced_brokers, ..Default::default() };
        ask(&cluster, request).brokers.iter().map(|broker| (broker.broker_id, broker.is_fenced)).collect::<Vec<_>>()
    };
    assert_eq!(brokers(false), [(1, false), (3, false)]);
    assert_eq!(brokers(true), [(1, false), (2, true), (3, false)]);
}

#[test]
fn the_preferred_replica_leads_again_once_it_is_elected() {
    let cluster = cluster(2);
    let assignments = vec![CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![2, 1] }];
    let asked = CreatableTopic { assignments, ..topic("pair", -1, -1) };
    assert_eq!(create(&cluster, vec![asked])[0].error_code, ErrorCode::NONE);
    let elect = || {
        let topics = vec![ElectLeadersTopicPartitions { topic: "pair".to_owned(), partitions: vec![0] }];
        let request = ElectLeadersRequest { topic_partitions: Some(topics), ..Default::default() };
        ask(&cluster, request).replica_election_results[0].partition_result[0].error_code
    };
    assert_eq!(elect(), ErrorCode::ELECTION_NOT_NEEDED);
    cluster.node_down(2);
    assert_eq!(elect(), ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE);
    cluster.node_up(Node { id: 2, host: "localhost".to_owned(), port: 9092, up: true });
    assert_eq!(elect(), ErrorCode::NONE);
    let partition = &describe(&cluster, 1, None).topics[0].partitions[0];
    assert_eq!((partition.leader_id, partition.leader_epoch), (2, 2));
}

#[test]
fn what_is_only_checked_is_not_made() {
    let cluster = cluster(1);
    let request = CreateTopicsRequest { topics: vec![topic("a", 1, 1)], validate_only: true, ..Default::default() };
    assert_eq!(ask(&cluster, request).topics[0].error_code, ErrorCode::NONE);
    assert!(cluster.topic("a").is_none());
    create(&cluster, vec![topic("a", 1, 1)]);
    let grow = |validate_only| {
        let topics = vec![CreatePartitionsTopic { name: "a".to_owned(), count: 3, assignments: None }];
        let answer = ask(&cluster, CreatePartitionsRequest { topics, validate_only, ..Default::default() });
        (answer.results[0].error_code, cluster.topic("a").unwrap().partition_count())
    };
    assert_eq!(grow(true), (ErrorCode::NONE, 1));
    assert_eq!(grow(false), (ErrorCode::NONE, 3));
    assert_eq!(grow(false), (ErrorCode::INVALID_PARTITIONS, 3));
}

#[test]
fn a_request_for_too_many_partitions_makes_none_of_its_topics() {
    let cluster = cluster(1);
    let results = create(&cluster, vec![topic("small", 1, 1), topic("large", i32::MAX, 1)]);
    assert!(results.iter().all(|result| result.error_code == ErrorCode::POLICY_VIOLATION));
    assert!(cluster.topics().is_empty());
}

#[test]
fn topics_come_page_by_page_and_every_partition_once() {
    let cluster = cluster(1);
    create(&cluster, vec![topic("a", 3, 1), topic("b", 2, 1), topic("c", 1, 1)]);
    for limit in 1..8 {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let start = cursor
                .as_ref()
                .map(|cursor: &DescribeTopicPartitionsCursor| (cursor.topic_name.clone(), cursor.partition_index));
            let page = describe(&cluster, limit, start.as_ref().map(|(topic, index)| (topic.as_str(), *index)));
            let on_page = seen.len();
            for topic in &page.topics {
                let name = topic.name.clone().unwrap();
                seen.extend(topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index)));
            }
            assert!((1..=limit as usize).contains(&(seen.len() - on_page)));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let all = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("c", 0)];
        assert_eq!(seen, all.map(|(name, index)| (name.to_owned(), index)), "limit {limit}");
    }
}

#[test]
fn a_topic_that_is_told_by_name_and_by_id_stays() {
    let cluster = cluster(1);
    let id = create(&cluster, vec![topic("a", 1, 1)])[0].topic_id;
    let by_name = || DeleteTopicState { name: Some("a".to_owned()), topic_id: Uuid::ZERO };
    let by_id = || DeleteTopicState { name: None, topic_id: id };
    let delete = |topics: Vec<DeleteTopicState>| {
        let answer = ask(&cluster, DeleteTopicsRequest { topics, ..Default::default() });
        answer.responses.into_iter().map(|response| (response.name, response.error_code)).collect::<Vec<_>>()
    };
    let named = || Some("a".to_owned());
    assert_eq!(delete(vec![by_id(), by_name()]), [(named(), ErrorCode::INVALID_REQUEST)]);
    assert_eq!(delete(vec![by_name(), by_name()]), [(named(), ErrorCode::INVALID_REQUEST)]);
    assert!(cluster.topic("a").is_some());
    assert_eq!(delete(vec![by_id()]), [(named(), ErrorCode::NONE)]);
    assert_eq!(delete(vec![by_id()]), [(None, ErrorCode::UNKNOWN_TOPIC_ID)]);
}

#[test]
fn a_setting_of_brokers_reaches_the_topics_that_do_not_have_their_own() {
    let cluster = cluster(1);
    create(&cluster, vec![topic("own", 1, 1), topic("inherits", 1, 1)]);
    let kept = |topic: &str| cluster.topic(topic).unwrap().settings().retention_ms;
    assert_eq!(set(&cluster, resource::TOPIC, "own", "retention.ms", Some("7")), ErrorCode::NONE);
    assert_eq!(set(&cluster, resource::BROKER, "", "log.retention.ms", Some("9")), ErrorCode::NONE);
    create(&cluster, vec![topic("later", 1, 1)]);
    assert_eq!((kept("own"), kept("inherits"), kept("later")), (Some(7), Some(9), Some(9)));
    assert_eq!(setting(&cluster, resource::TOPIC, "own", "retention.ms"), (Some("7".to_owned()), 1));
    assert_eq!(setting(&cluster, resource::TOPIC, "inherits", "retention.ms"), (Some("9".to_owned()), 3));
    assert_eq!(set(&cluster, resource::BROKER, "1", "log.retention.ms", Some("8")), ErrorCode::NONE);
    assert_eq!(setting(&cluster, resource::TOPIC, "inherits", "retention.ms"), (Some("8".to_owned()), 2));
    assert_eq!(kept("inherits"), Some(8));
    for broker in ["", "1"] {
        assert_eq!(set(&cluster, resource::BROKER, broker, "log.retention.ms", None), ErrorCode::NONE);
    }
    assert_eq!(set(&cluster, resource::TOPIC, "own", "retention.ms", None), ErrorCode::NONE);
    assert_eq!((kept("own"), kept("inherits")), (Some(604_800_000), Some(604_800_000)));
    assert_eq!(setting(&cluster, resource::TOPIC, "own", "retention.ms"), (Some("604800000".to_owned()), 5));
}

#[test]
fn what_a_broker_was_started_with_is_told() {
    let cluster = cluster(2);
    assert_eq!(setting(&cluster, resource::BROKER, "1", "num.partitions"), (Some("3".to_owned()), 4));
    assert_eq!(setting(&cluster, resource::BROKER, "1", "node.id"), (Some("1".to_owned()), 4));
    assert_eq!(setting(&cluster, resource::BROKER, "1", "log.retention.hours"), (Some("168".to_owned()), 5));
    assert_eq!(setting(&cluster, resource::BROKER, "1", "log.retention.ms"), (None, 5));
    assert_eq!(set(&cluster, resource::BROKER, "2", "log.retention.ms", Some("1")), ErrorCode::INVALID_REQUEST);
}
