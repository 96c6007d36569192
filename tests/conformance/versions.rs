//! Every version of every API that both sides know: asked for something sensible, answered in that version.
//!
//! A client uses one version of each API with one broker, the highest. These tests use all of them, so that a broker that
//! gets the encoding of an older one wrong is found here and not by an older client.

use std::collections::BTreeSet;

use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{ApiKey, ErrorCode, Request, Uuid, VersionRange};

use crate::support::unique;
use crate::wire::{Batch, Topic, Wire};

#[test]
fn the_versions_are_the_same_in_every_version_of_the_question() {
    let request = ApiVersionsRequest {
        client_software_name: "conformance".to_owned(),
        client_software_version: "1.0".to_owned(),
    };
    let mut told = Vec::new();
    for version in 0..=4 {
        // On a connection of its own, as its first request.
        let answer = Wire::silent().call(version, &request);
        if Wire::any().offers(ApiKey::ApiVersions).unwrap().contains(version) {
            assert_eq!(answer.error_code, ErrorCode::NONE);
            let ranges: BTreeSet<_> =
                answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
            assert_eq!(ranges.len(), answer.api_keys.len(), "each API once");
            told.push(ranges);
        } else {
            assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION);
        }
    }
    assert!(told.len() >= 4 && told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    for key in [ApiKey::Produce, ApiKey::Fetch, ApiKey::Metadata, ApiKey::JoinGroup, ApiKey::InitProducerId] {
        assert!(told[0].iter().any(|(found, ..)| *found == key.code()), "{key}");
    }
}

/// KIP-511: a client that is newer than the broker learns in version 0 with what it may come back, on the same
/// connection.
#[test]
fn a_version_of_the_future_is_answered_in_version_0_with_what_there_is() {
    let mut wire = Wire::silent();
    // Key, version 99, correlation id, client id; what follows is of a shape that the broker does not know.
    let mut frame = vec![0, 18, 0, 99, 0, 0, 0, 7, 0, 4];
    frame.extend(b"test");
    frame.extend([0, 1, 2, 3, 4, 5]);
    wire.send_frame(&frame);
    let answer = wire.answer().unwrap();
    let offered = Wire::any().offers(ApiKey::ApiVersions).unwrap();
    let mut expected = vec![0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18];
    expected.extend(offered.min.to_be_bytes());
    expected.extend(offered.max.to_be_bytes());
    assert_eq!(&answer[..], &expected[..]);
    assert_eq!(wire.call(0, &ApiVersionsRequest::default()).error_code, ErrorCode::NONE);
}

/// From version 3 on the client says what it is; what no software is called is refused.
#[test]
fn a_client_with_an_impossible_name_is_refused() {
    for (name, version) in [("", "1.0"), ("conformance", ""), ("con formance", "1.0"), ("-x-", "1.0")] {
        let request =
            ApiVersionsRequest { client_software_name: name.to_owned(), client_software_version: version.to_owned() };
        let answer = Wire::silent().call(3, &request);
        assert_eq!(answer.error_code, ErrorCode::INVALID_REQUEST, "{name:?} {version:?}");
    }
}

/// A broker cannot answer what it does not understand, not even with an error.
#[test]
fn a_version_that_is_not_offered_ends_the_connection() {
    let offered = Wire::any().offers(ApiKey::Metadata).unwrap();
    let mut wire = Wire::any();
    let mut frame = vec![0, 3];
    frame.extend((offered.max + 1).to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 1, b'x', 0, 1, 1, 0, 0, 0]);
    wire.send_frame(&frame);
    assert!(wire.answer().is_none());
    let mut wire = Wire::any();
    wire.send_frame(&[0x7f, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert!(wire.answer().is_none(), "an API that nobody knows");
}

#[test]
fn answers_come_in_the_order_of_the_questions() {
    let mut wire = Wire::any();
    let sent: Vec<_> = (0..200)
        .map(|number| {
            if number % 2 == 0 {
                wire.send(1, &ApiVersionsRequest::default())
            } else {
                wire.send(4, &MetadataRequest { topics: Some(Vec::new()), ..Default::default() })
            }
        })
        .collect();
    for (sent, number) in sent.iter().zip(0..) {
        if number % 2 == 0 {
            wire.receive::<ApiVersionsRequest>(sent);
        } else {
            wire.receive::<MetadataRequest>(sent);
        }
    }
}

#[test]
fn metadata_says_the_same_in_every_version() {
    let topic = Topic::create("metadata", 3);
    let mut wire = Wire::any();
    let newest = wire.ask(&topic.metadata());
    assert!(!topic.id.is_zero());
    assert_eq!(newest.topics[0].partitions.len(), 3);
    assert!(newest.cluster_id.as_ref().is_some_and(|id| !id.is_empty()));
    assert!(newest.brokers.iter().any(|broker| broker.node_id == newest.controller_id));
    for version in wire.versions::<MetadataRequest>() {
        let mut request = topic.metadata();
        // What version 3 and below cannot say is left at its default.
        request.allow_auto_topic_creation = version < 4;
        let answer = wire.call(version, &request);
        assert_eq!(answer.brokers, newest.brokers, "version {version}");
        assert_eq!(answer.cluster_id, newest.cluster_id.clone().filter(|_| version >= 2), "version {version}");
        if version >= 1 {
            assert!(answer.brokers.iter().any(|broker| broker.node_id == answer.controller_id));
        }
        assert_eq!(answer.topics.len(), 1);
        let found = &answer.topics[0];
        assert_eq!((found.error_code, found.name.as_ref()), (ErrorCode::NONE, Some(&topic.name)));
        assert!(!found.is_internal);
        assert_eq!(found.topic_id, if version >= 10 { topic.id } else { Uuid::ZERO }, "version {version}");
        let mut partitions = found.partitions.clone();
        partitions.sort_by_key(|partition| partition.partition_index);
        for (partition, index) in partitions.iter().zip(0..) {
            assert_eq!((partition.partition_index, partition.error_code), (index, ErrorCode::NONE));
            assert!(answer.brokers.iter().any(|broker| broker.node_id == partition.leader_id));
            assert!(partition.replica_nodes.contains(&partition.leader_id));
            assert!(partition.isr_nodes.contains(&partition.leader_id));
            assert_eq!(partition.leader_epoch >= 0, version >= 7, "version {version}");
            assert!(partition.offline_replicas.is_empty());
        }
    }
}

#[test]
fn metadata_can_be_asked_for_all_topics_for_none_and_for_one_by_id() {
    let topic = Topic::create("metadata", 1);
    let mut wire = Wire::any();
    for version in wire.versions::<MetadataRequest>() {
        // In version 0 it is the empty list that asks for all.
        let all = MetadataRequest { topics: if version == 0 { Some(Vec::new()) } else { None }, ..Default::default() };
        let answer = wire.call(version, &all);
        assert!(answer.topics.iter().any(|found| found.name.as_ref() == Some(&topic.name)), "version {version}");
        if version >= 1 {
            let none = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
            assert_eq!(wire.call(version, &none).topics, [], "version {version}");
        }
        if version >= 12 {
            let by_id = |topic_id| MetadataRequest {
                topics: Some(vec![MetadataRequestTopic { topic_id, name: None }]),
                allow_auto_topic_creation: false,
                ..Default::default()
            };
            let answer = wire.call(version, &by_id(topic.id));
            assert_eq!(answer.topics[0].error_code, ErrorCode::NONE);
            assert_eq!(answer.topics[0].name.as_ref(), Some(&topic.name));
            let unknown = Uuid([9; 16]);
            let answer = wire.call(version, &by_id(unknown));
            assert_eq!(answer.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
            assert_eq!((&answer.topics[0].name, answer.topics[0].topic_id), (&None, unknown));
        }
        if version >= 4 {
            let answer = wire.call(version, &Topic::missing("metadata").metadata());
            assert_eq!(answer.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
            let impossible = Topic { name: "a/b".to_owned(), id: Uuid::ZERO };
            let answer = wire.call(version, &impossible.metadata());
            assert_eq!(answer.topics[0].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION, "version {version}");
        }
    }
}

#[test]
fn produce_fetch_and_list_offsets_agree_in_every_version() {
    let topic = Topic::create("data", 1);
    let mut wire = Wire::leader(&topic, 0);
    let mut end = 0;
    for version in wire.versions::<ProduceRequest>() {
        let answer = wire.produce_in(version, &topic, 0, &Batch::of(2).encode());
        assert_eq!((answer.error_code, answer.base_offset), (ErrorCode::NONE, end), "version {version}");
        end += 2;
    }
    let size = Batch::of(2).encode().len() * end as usize / 2;
    for version in wire.versions::<FetchRequest>() {
        let answer = wire.call(version, &topic.fetch(0, 0));
        assert_eq!((answer.error_code, answer.session_id), (ErrorCode::NONE, 0), "version {version}");
        let found = &answer.responses[0];
        assert!(if version >= 13 { found.topic_id == topic.id } else { found.topic == topic.name });
        let found = &found.partitions[0];
        assert_eq!((found.partition_index, found.error_code), (0, ErrorCode::NONE), "version {version}");
        assert_eq!((found.high_watermark, found.last_stable_offset), (end, end), "version {version}");
        assert_eq!(found.log_start_offset, if version >= 5 { 0 } else { -1 }, "version {version}");
        assert!(found.aborted_transactions.as_ref().is_none_or(Vec::is_empty), "version {version}");
        assert_eq!(found.preferred_read_replica, -1);
        assert_eq!(found.records.as_ref().unwrap().len(), size, "version {version}");

        let beyond = wire.call(version, &topic.fetch(0, end + 1));
        let found = &beyond.responses[0].partitions[0];
        assert_eq!(found.error_code, ErrorCode::OFFSET_OUT_OF_RANGE, "version {version}");
        assert_eq!(found.high_watermark, -1, "version {version}");
        assert!(found.records.as_ref().is_none_or(|records| records.is_empty()));

        let missing = wire.call(version, &topic.fetch(9, 0));
        let found = &missing.responses[0].partitions[0];
        assert_eq!(found.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
        let missing = wire.call(version, &Topic::missing("data").fetch(0, 0));
        let code = if version >= 13 { ErrorCode::UNKNOWN_TOPIC_ID } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
        assert_eq!(missing.responses[0].partitions[0].error_code, code, "version {version}");
    }
    for version in wire.versions::<ListOffsetsRequest>() {
        for (timestamp, offset) in [(-1, end), (-2, 0)] {
            let request = topic.list_offsets(0, timestamp);
            let answer = wire.call(version, &request);
            assert_eq!(answer.topics[0].name, topic.name);
            let found = &answer.topics[0].partitions[0];
            assert_eq!((found.partition_index, found.error_code), (0, ErrorCode::NONE), "version {version}");
            if version == 0 {
                assert_eq!(found.old_style_offsets, [offset]);
            } else {
                assert_eq!((found.offset, found.timestamp), (offset, -1), "version {version}");
                assert_eq!(found.leader_epoch >= 0, version >= 4, "version {version}");
            }
        }
    }
}

#[test]
fn topics_are_made_in_every_version() {
    let mut wire = Wire::controller();
    for version in wire.versions::<CreateTopicsRequest>() {
        let name = unique("made");
        let configs = vec![CreatableTopicConfig { name: "retention.ms".to_owned(), value: Some("1234567".to_owned()) }];
        let topic = CreatableTopic {
            name: name.clone(),
            num_partitions: 2,
            replication_factor: 1,
            configs,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        let answer = wire.call(version, &request);
        let found = &answer.topics[0];
        assert_eq!((&found.name, found.error_code), (&name, ErrorCode::NONE), "version {version}");
        assert_eq!(!found.topic_id.is_zero(), version >= 7, "version {version}");
        if version >= 5 {
            assert_eq!((found.num_partitions, found.replication_factor), (2, 1), "version {version}");
            let configs = found.configs.as_ref().unwrap();
            let retention = configs.iter().find(|config| config.name == "retention.ms").unwrap();
            assert_eq!((retention.value.as_deref(), retention.read_only), (Some("1234567"), false));
            assert!(configs.iter().any(|config| config.name == "max.message.bytes" && config.config_source == 5));
        }
        let again = wire.call(version, &request);
        assert_eq!(again.topics[0].error_code, ErrorCode::TOPIC_ALREADY_EXISTS, "version {version}");
        let message = again.topics[0].error_message.clone().unwrap_or_default();
        assert_eq!(message.contains("exists"), version >= 1, "version {version}: {message}");
    }
}

#[test]
fn coordinators_and_producer_ids_are_told_in_every_version() {
    let group = unique("found");
    drop(Wire::coordinator(&group));
    let mut wire = Wire::any();
    let brokers = wire.ask(&MetadataRequest { topics: Some(Vec::new()), ..Default::default() }).brokers;
    for version in wire.versions::<FindCoordinatorRequest>() {
        let request = if version >= 4 {
            FindCoordinatorRequest { coordinator_keys: vec![group.clone(), unique("other")], ..Default::default() }
        } else {
            FindCoordinatorRequest { key: group.clone(), ..Default::default() }
        };
        let answer = wire.call(version, &request);
        let (code, node, host, port) = if version >= 4 {
            assert_eq!(answer.coordinators.len(), 2);
            let found = answer.coordinators.iter().find(|found| found.key == group).unwrap();
            (found.error_code, found.node_id, &found.host, found.port)
        } else {
            (answer.error_code, answer.node_id, &answer.host, answer.port)
        };
        assert_eq!(code, ErrorCode::NONE, "version {version}");
        let broker = brokers.iter().find(|broker| broker.node_id == node).unwrap();
        assert_eq!((host, port), (&broker.host, broker.port), "version {version}");
    }
    let mut ids = BTreeSet::new();
    for version in wire.versions::<InitProducerIdRequest>() {
        let request = InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..Default::default() };
        let answer = wire.call(version, &request);
        assert_eq!((answer.error_code, answer.producer_epoch), (ErrorCode::NONE, 0), "version {version}");
        assert!(ids.insert(answer.producer_id));
    }
}

/// One member joins, gets its assignment, says that it lives, commits, looks that up, and leaves: with the oldest
/// version of each API, the next ones, and so on.
#[test]
fn a_group_lives_in_every_version() {
    let topic = Topic::create("lives", 1);
    let group = unique("lives");
    let mut wire = Wire::coordinator(&group);
    let ranges = [
        both::<JoinGroupRequest>(&wire),
        both::<SyncGroupRequest>(&wire),
        both::<HeartbeatRequest>(&wire),
        both::<OffsetCommitRequest>(&wire),
        both::<OffsetFetchRequest>(&wire),
        both::<LeaveGroupRequest>(&wire),
    ];
    let steps = ranges.iter().map(|range| range.max - range.min).max().unwrap();
    for step in 0..=steps {
        let [join, sync, heartbeat, commit, fetch, leave] = ranges.map(|range| (range.min + step).min(range.max));
        let subscription = ConsumerProtocolSubscription { topics: vec![topic.name.clone()], ..Default::default() };
        let metadata = subscription.to_bytes(0).unwrap();
        let mut request = JoinGroupRequest {
            group_id: group.clone(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: metadata.clone() }],
            ..Default::default()
        };
        let mut joined = wire.call(join, &request);
        if join >= 4 {
            assert_eq!(joined.error_code, ErrorCode::MEMBER_ID_REQUIRED, "JoinGroup {join}");
            request.member_id = joined.member_id;
            joined = wire.call(join, &request);
        }
        assert_eq!(joined.error_code, ErrorCode::NONE, "JoinGroup {join}");
        assert_eq!((&joined.leader, joined.protocol_name.as_deref()), (&joined.member_id, Some("range")));
        assert_eq!(joined.protocol_type.as_deref(), (join >= 7).then_some("consumer"), "JoinGroup {join}");
        assert_eq!((joined.members.len(), &joined.members[0].metadata), (1, &metadata));
        let (member, generation) = (joined.member_id, joined.generation_id);

        let assignment = SyncGroupRequestAssignment { member_id: member.clone(), assignment: metadata.clone() };
        let request = SyncGroupRequest {
            group_id: group.clone(),
            generation_id: generation,
            member_id: member.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
            assignments: vec![assignment],
            ..Default::default()
        };
        let synced = wire.call(sync, &request);
        assert_eq!((synced.error_code, &synced.assignment), (ErrorCode::NONE, &metadata), "SyncGroup {sync}");
        assert_eq!(synced.protocol_name.as_deref(), (sync >= 5).then_some("range"), "SyncGroup {sync}");

        let request = HeartbeatRequest {
            group_id: group.clone(),
            generation_id: generation,
            member_id: member.clone(),
            ..Default::default()
        };
        assert_eq!(wire.call(heartbeat, &request).error_code, ErrorCode::NONE, "Heartbeat {heartbeat}");

        let request = OffsetCommitRequest {
            group_id: group.clone(),
            generation_id_or_member_epoch: generation,
            member_id: member.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: topic.name.clone(),
                topic_id: topic.id,
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset: 1000 + i64::from(step),
                    committed_leader_epoch: if commit >= 6 { 0 } else { -1 },
                    committed_metadata: Some(format!("step {step}")),
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let committed = wire.call(commit, &request);
        let answer = &committed.topics[0];
        assert!(if commit >= 10 { answer.topic_id == topic.id } else { answer.name == topic.name });
        // Version 0 was about offsets in ZooKeeper.
        let code = if commit == 0 { ErrorCode::UNSUPPORTED_VERSION } else { ErrorCode::NONE };
        assert_eq!(answer.partitions[0].error_code, code, "OffsetCommit {commit}");

        let told = if fetch == 0 {
            Err(ErrorCode::UNSUPPORTED_VERSION)
        } else {
            Ok((1000 + i64::from(step), Some(format!("step {step}"))))
        };
        assert_eq!(fetched(&mut wire, fetch, &group, &topic), told, "OffsetFetch {fetch}");

        let mut request = LeaveGroupRequest { group_id: group.clone(), ..Default::default() };
        if leave >= 3 {
            request.members = vec![MemberIdentity { member_id: member.clone(), ..Default::default() }];
        } else {
            request.member_id = member.clone();
        }
        let left = wire.call(leave, &request);
        assert_eq!(left.error_code, ErrorCode::NONE, "LeaveGroup {leave}");
        assert!(left.members.iter().all(|left| left.error_code.is_ok()));
        assert_eq!(left.members.len(), usize::from(leave >= 3));

        let request = HeartbeatRequest {
            group_id: group.clone(),
            generation_id: generation,
            member_id: member,
            ..Default::default()
        };
        let gone = wire.call(heartbeat, &request).error_code;
        assert_eq!(gone, ErrorCode::UNKNOWN_MEMBER_ID, "Heartbeat {heartbeat}");
    }
}

/// The committed offset and metadata of partition 0, in any version's shape.
fn fetched(wire: &mut Wire, version: i16, group: &str, topic: &Topic) -> Result<(i64, Option<String>), ErrorCode> {
    if version >= 8 {
        let topics =
            vec![OffsetFetchRequestTopics { name: topic.name.clone(), topic_id: topic.id, partition_indexes: vec![0] }];
        let asked = OffsetFetchRequestGroup { group_id: group.to_owned(), topics: Some(topics), ..Default::default() };
        let answer = wire.call(version, &OffsetFetchRequest { groups: vec![asked], ..Default::default() });
        let found = &answer.groups[0];
        assert_eq!((&*found.group_id, found.error_code), (group, ErrorCode::NONE));
        let found = &found.topics[0].partitions[0];
        assert_eq!(found.committed_leader_epoch, 0);
        return found.error_code.ok().map(|()| (found.committed_offset, found.metadata.clone()));
    }
    let topics = vec![OffsetFetchRequestTopic { name: topic.name.clone(), partition_indexes: vec![0] }];
    let request = OffsetFetchRequest { group_id: group.to_owned(), topics: Some(topics), ..Default::default() };
    let answer = wire.call(version, &request);
    assert_eq!(answer.error_code, ErrorCode::NONE);
    let found = &answer.topics[0].partitions[0];
    found.error_code.ok().map(|()| (found.committed_offset, found.metadata.clone()))
}

/// The versions that both sides know.
fn both<R: Request>(wire: &Wire) -> VersionRange {
    let versions: Vec<i16> = wire.versions::<R>().collect();
    VersionRange::new(versions[0], versions[versions.len() - 1])
}
