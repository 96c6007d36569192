//! What administrators ask besides: the cluster, records to delete, epochs, producers, sizes, rights.

use std::collections::{BTreeMap, BTreeSet};

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;

use crate::configs::TOPIC;
use crate::support::{read, write};
use crate::wire::{Batch, Topic, Wire};

#[test]
fn the_cluster_is_described_as_metadata_has_it_in_every_version() {
    let mut wire = Wire::any();
    let metadata = wire.ask(&MetadataRequest { topics: Some(Vec::new()), ..Default::default() });
    for version in wire.versions::<DescribeClusterRequest>() {
        let answer = wire.call(version, &DescribeClusterRequest::default());
        assert_eq!((answer.error_code, answer.endpoint_type), (ErrorCode::NONE, 1), "version {version}");
        assert_eq!(Some(&answer.cluster_id), metadata.cluster_id.as_ref(), "version {version}");
        assert!(metadata.brokers.iter().any(|broker| broker.node_id == answer.controller_id), "version {version}");
        let found: BTreeSet<_> =
            answer.brokers.iter().map(|broker| (broker.broker_id, &broker.host, broker.port)).collect();
        let expected = metadata.brokers.iter().map(|broker| (broker.node_id, &broker.host, broker.port)).collect();
        assert_eq!(found, expected, "version {version}");
        assert!(answer.brokers.iter().all(|broker| !broker.is_fenced), "version {version}");
        assert_eq!(answer.cluster_authorized_operations, i32::MIN, "version {version}");
        if version >= 1 {
            // Controllers are asked at an address of their own.
            let request = DescribeClusterRequest { endpoint_type: 2, ..Default::default() };
            assert_eq!(wire.call(version, &request).error_code, ErrorCode::MISMATCHED_ENDPOINT_TYPE);
        }
    }
}

pub fn delete_records(wire: &mut Wire, version: i16, topic: &Topic, partition: i32, offset: i64) -> (ErrorCode, i64) {
    let partitions = vec![DeleteRecordsPartition { partition_index: partition, offset }];
    let topics = vec![DeleteRecordsTopic { name: topic.name.clone(), partitions }];
    let answer = wire.call(version, &DeleteRecordsRequest { topics, timeout_ms: 30_000 });
    assert_eq!(answer.topics[0].name, topic.name);
    let found = &answer.topics[0].partitions[0];
    (found.error_code, found.low_watermark)
}

#[test]
fn records_are_deleted_up_to_an_offset_in_every_version() {
    let versions: Vec<i16> = Wire::any().versions::<DeleteRecordsRequest>().collect();
    for version in versions {
        let topic = Topic::create("shortened", 1);
        write(&topic.name, 0, 0..30);
        let mut wire = Wire::leader(&topic, 0);
        let mut delete = |partition, offset| delete_records(&mut wire, version, &topic, partition, offset);
        assert_eq!(delete(0, 12), (ErrorCode::NONE, 12), "version {version}");
        assert_eq!(delete(0, 5), (ErrorCode::NONE, 12), "version {version}: that is gone already");
        assert_eq!(delete(0, 31), (ErrorCode::OFFSET_OUT_OF_RANGE, -1), "version {version}");
        assert_eq!(delete(0, -2), (ErrorCode::OFFSET_OUT_OF_RANGE, -1), "version {version}");
        assert_eq!(delete(7, 0), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1), "version {version}");
        assert_eq!(wire.offset_at(&topic, 0, -2), (ErrorCode::NONE, 12));
        assert_eq!(wire.offset_at(&topic, 0, -1), (ErrorCode::NONE, 30));
        let below = wire.ask(&topic.fetch(0, 11)).responses.remove(0).partitions.remove(0);
        assert_eq!(below.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
        let there = wire.ask(&topic.fetch(0, 12)).responses.remove(0).partitions.remove(0);
        assert_eq!((there.error_code, there.log_start_offset), (ErrorCode::NONE, 12));
        assert_eq!(wire.produce(&topic, 0, &Batch::of(1).encode()).log_start_offset, 12);
        let entries = read(&topic.name, 1);
        assert!(entries.iter().map(|entry| entry.offset).eq(12..31));

        // -1 is everything there is.
        assert_eq!(delete_records(&mut wire, version, &topic, 0, -1), (ErrorCode::NONE, 31), "version {version}");
        assert!(read(&topic.name, 1).is_empty());
        write(&topic.name, 0, 31..32);
        assert!(read(&topic.name, 1).iter().map(|entry| entry.offset).eq([31]));
    }
}

#[test]
fn the_end_of_each_leaders_epoch_is_told_in_every_version() {
    let topic = Topic::create("epochs", 1);
    write(&topic.name, 0, 0..7);
    let mut wire = Wire::leader(&topic, 0);
    let epoch = wire.ask(&topic.metadata()).topics[0].partitions[0].leader_epoch;
    for version in wire.versions::<OffsetForLeaderEpochRequest>() {
        let mut ask = |topic: &Topic, partition, leader_epoch, current_leader_epoch| {
            let partitions = vec![OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch }];
            let topics = vec![OffsetForLeaderTopic { topic: topic.name.clone(), partitions }];
            let answer = wire.call(version, &OffsetForLeaderEpochRequest { replica_id: -1, topics });
            assert_eq!(answer.topics[0].topic, topic.name);
            let found = answer.topics[0].partitions[0].clone();
            assert_eq!(found.partition, partition);
            (found.error_code, found.leader_epoch, found.end_offset)
        };
        let told = if version >= 1 { epoch } else { -1 };
        assert_eq!(ask(&topic, 0, epoch, -1), (ErrorCode::NONE, told, 7), "version {version}");
        assert_eq!(ask(&topic, 0, epoch + 5, -1), (ErrorCode::NONE, -1, -1), "version {version}: the future");
        let unknown = (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1, -1);
        assert_eq!(ask(&topic, 9, epoch, -1), unknown, "version {version}");
        assert_eq!(ask(&Topic::missing("epochs"), 0, epoch, -1), unknown, "version {version}");
        if version >= 2 {
            let newer = ask(&topic, 0, epoch, epoch + 1);
            assert_eq!(newer, (ErrorCode::UNKNOWN_LEADER_EPOCH, -1, -1), "version {version}");
            assert_eq!(ask(&topic, 0, epoch, epoch), (ErrorCode::NONE, told, 7), "version {version}");
        }
    }
}

#[test]
fn idempotent_producers_are_described() {
    let topic = Topic::create("producers", 1);
    let mut wire = Wire::leader(&topic, 0);
    let producer = wire.producer_id();
    for sequence in [0, 3] {
        let batch = Batch::of(3).by(producer, sequence);
        assert_eq!(wire.produce(&topic, 0, &batch.encode()).error_code, ErrorCode::NONE);
    }
    let topics = vec![DescribeProducersTopic { name: topic.name.clone(), partition_indexes: vec![0, 5] }];
    let answer = wire.ask(&DescribeProducersRequest { topics });
    let found = |index| answer.topics[0].partitions.iter().find(|found| found.partition_index == index).unwrap();
    assert_eq!(found(5).error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!((found(0).error_code, found(0).active_producers.len()), (ErrorCode::NONE, 1));
    let told = &found(0).active_producers[0];
    assert_eq!((told.producer_id, told.producer_epoch), (producer.0, i32::from(producer.1)));
    assert_eq!((told.last_sequence, told.current_txn_start_offset), (5, -1));
    assert!(told.last_timestamp > 0);
}

#[test]
fn the_size_of_a_log_is_told_in_every_version() {
    let topic = Topic::create("sizes", 1);
    let mut wire = Wire::leader(&topic, 0);
    let batch = Batch::sized(1000).encode();
    for _ in 0..3 {
        assert_eq!(wire.produce(&topic, 0, &batch).error_code, ErrorCode::NONE);
    }
    for version in wire.versions::<DescribeLogDirsRequest>() {
        let topics = vec![DescribableLogDirTopic { topic: topic.name.clone(), partitions: vec![0] }];
        let answer = wire.call(version, &DescribeLogDirsRequest { topics: Some(topics) });
        assert_eq!(answer.error_code, ErrorCode::NONE, "version {version}");
        assert!(answer.results.iter().all(|dir| dir.error_code.is_ok() && !dir.log_dir.is_empty()));
        let found: Vec<_> = answer.results.iter().flat_map(|dir| &dir.topics).collect();
        assert_eq!((found.len(), &found[0].name), (1, &topic.name), "version {version}");
        let partition = &found[0].partitions[0];
        assert_eq!((partition.partition_index, partition.partition_size), (0, 3000), "version {version}");
        assert_eq!((partition.offset_lag, partition.is_future_key), (0, false), "version {version}");
    }
}

#[test]
fn an_election_where_the_leader_is_right_is_not_needed() {
    let topic = Topic::create("elected", 1);
    let mut wire = Wire::controller();
    for version in wire.versions::<ElectLeadersRequest>() {
        let asked = ElectLeadersTopicPartitions { topic: topic.name.clone(), partitions: vec![0, 9] };
        let request =
            ElectLeadersRequest { topic_partitions: Some(vec![asked]), timeout_ms: 30_000, ..Default::default() };
        let answer = wire.call(version, &request);
        assert_eq!(answer.error_code, ErrorCode::NONE, "version {version}");
        let found: BTreeMap<_, _> = answer.replica_election_results[0]
            .partition_result
            .iter()
            .map(|found| (found.partition_id, found.error_code))
            .collect();
        let expected = [(0, ErrorCode::ELECTION_NOT_NEEDED), (9, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)];
        assert_eq!(found, BTreeMap::from(expected), "version {version}");
    }
}

#[test]
fn no_partition_is_being_moved() {
    let topic = Topic::create("moved", 1);
    let topics = vec![ListPartitionReassignmentsTopics { name: topic.name, partition_indexes: vec![0] }];
    let mut wire = Wire::controller();
    let answer = wire.ask(&ListPartitionReassignmentsRequest { topics: Some(topics), ..Default::default() });
    assert_eq!((answer.error_code, answer.topics.len()), (ErrorCode::NONE, 0));
}

/// Without an authorizer there are no rights to look at or to give.
#[test]
fn access_rights_are_refused_where_there_are_none() {
    let mut wire = Wire::controller();
    for version in wire.versions::<DescribeAclsRequest>() {
        let request = DescribeAclsRequest {
            resource_type_filter: 1,
            resource_name_filter: None,
            principal_filter: None,
            host_filter: None,
            operation: 1,
            permission_type: 1,
            pattern_type_filter: if version >= 1 { 1 } else { 3 },
        };
        let answer = wire.call(version, &request);
        assert_eq!(answer.error_code, ErrorCode::SECURITY_DISABLED, "version {version}");
    }
    for version in wire.versions::<CreateAclsRequest>() {
        let creation = AclCreation {
            resource_type: TOPIC,
            resource_name: "topic".to_owned(),
            principal: "User:alice".to_owned(),
            host: "*".to_owned(),
            operation: 3,
            permission_type: 3,
            ..Default::default()
        };
        let answer = wire.call(version, &CreateAclsRequest { creations: vec![creation] });
        assert_eq!(answer.results[0].error_code, ErrorCode::SECURITY_DISABLED, "version {version}");
    }
    for version in wire.versions::<DeleteAclsRequest>() {
        let filter = DeleteAclsFilter {
            resource_type_filter: 1,
            resource_name_filter: None,
            principal_filter: None,
            host_filter: None,
            operation: 1,
            permission_type: 1,
            pattern_type_filter: if version >= 1 { 1 } else { 3 },
        };
        let answer = wire.call(version, &DeleteAclsRequest { filters: vec![filter] });
        assert_eq!(answer.filter_results[0].error_code, ErrorCode::SECURITY_DISABLED, "version {version}");
    }
}
