//! Where logs begin and end, and where groups stand.

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::*;

use crate::support::{now, unique};
use crate::wire::{Batch, Topic, Wire};

/// The answer for one time, in this version: code, offset and timestamp.
#[track_caller]
fn look_up(wire: &mut Wire, version: i16, topic: &Topic, timestamp: i64) -> (ErrorCode, i64, i64) {
    let answer = wire.call(version, &topic.list_offsets(0, timestamp));
    let found = &answer.topics[0].partitions[0];
    (found.error_code, found.offset, found.timestamp)
}

/// Versions from 1 on: version 0 answers in another way, and only Kafka 3 knows it.
fn versions(wire: &Wire) -> impl Iterator<Item = i16> + use<> {
    wire.versions::<ListOffsetsRequest>().filter(|version| *version >= 1)
}

#[test]
fn a_time_leads_to_the_first_record_that_is_not_older() {
    let topic = Topic::create("times", 1);
    let mut wire = Wire::leader(&topic, 0);
    let begin = now() - 1000;
    for times in [&[0, 10, 20][..], &[100, 50], &[30]] {
        let mut batch = Batch::of(times.len());
        for (record, time) in batch.records.iter_mut().zip(times) {
            record.timestamp = begin + time;
        }
        assert_eq!(wire.produce(&topic, 0, &batch.encode()).error_code, ErrorCode::NONE);
    }
    for version in versions(&wire) {
        let mut at = |time: i64| look_up(&mut wire, version, &topic, time);
        let found = |offset, time: i64| (ErrorCode::NONE, offset, begin + time);
        let none = |offset| (ErrorCode::NONE, offset, -1);
        assert_eq!(at(begin - 100_000), found(0, 0), "version {version}");
        assert_eq!(at(0), found(0, 0), "version {version}");
        assert_eq!(at(begin), found(0, 0), "version {version}");
        assert_eq!(at(begin + 5), found(1, 10), "version {version}");
        assert_eq!(at(begin + 20), found(2, 20), "version {version}");
        assert_eq!(at(begin + 25), found(3, 100), "version {version}");
        assert_eq!(at(begin + 100), found(3, 100), "version {version}");
        assert_eq!(at(begin + 101), none(-1), "version {version}");
        assert_eq!(at(-1), none(6), "version {version}");
        assert_eq!(at(-2), none(0), "version {version}");
        // Each later question has a version in which it was first possible.
        let since = |first, answer| if version >= first { answer } else { (ErrorCode::UNSUPPORTED_VERSION, -1, -1) };
        assert_eq!(at(-3), since(7, found(3, 100)), "version {version}");
        assert_eq!(at(-4), since(8, none(0)), "version {version}");
        assert_eq!(at(-5), since(9, none(-1)), "version {version}");
        assert_eq!(at(-6), since(11, none(-1)), "version {version}");
        assert_eq!(at(-7), (ErrorCode::UNSUPPORTED_VERSION, -1, -1), "version {version}");
    }
}

#[test]
fn an_empty_log_begins_and_ends_at_0_and_has_no_times() {
    let topic = Topic::create("empty", 1);
    let mut wire = Wire::leader(&topic, 0);
    for version in versions(&wire) {
        for (timestamp, offset) in [(-1, 0), (-2, 0), (now(), -1), (0, -1)] {
            let answer = look_up(&mut wire, version, &topic, timestamp);
            assert_eq!(answer, (ErrorCode::NONE, offset, -1), "version {version}, time {timestamp}");
        }
        if version >= 7 {
            assert_eq!(look_up(&mut wire, version, &topic, -3), (ErrorCode::NONE, -1, -1));
        }
    }
}

#[test]
fn offsets_of_what_is_not_there_are_refused() {
    let topic = Topic::create("absent", 1);
    let mut wire = Wire::leader(&topic, 0);
    for version in versions(&wire) {
        let missing = look_up(&mut wire, version, &Topic::missing("absent"), -1);
        assert_eq!(missing, (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1, -1), "version {version}");
        let answer = wire.call(version, &topic.list_offsets(5, -1));
        assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);

        // A partition that is asked for twice cannot be answered.
        let mut twice = topic.list_offsets(0, -1);
        twice.topics[0].partitions.extend(topic.list_offsets(0, -2).topics[0].partitions.clone());
        let answer = wire.call(version, &twice);
        assert!(answer.topics[0].partitions.iter().all(|found| found.error_code == ErrorCode::INVALID_REQUEST));

        // A client that knows a newer leader is told to come back.
        let mut newer = topic.list_offsets(0, -1);
        newer.topics[0].partitions[0].current_leader_epoch = 1_000_000;
        let code = wire.call(version, &newer).topics[0].partitions[0].error_code;
        let expected = if version >= 4 { ErrorCode::UNKNOWN_LEADER_EPOCH } else { ErrorCode::NONE };
        assert_eq!(code, expected, "version {version}");
    }
}

fn commit(group: &str, topic: &Topic, partition: i32, offset: i64, metadata: Option<&str>) -> OffsetCommitRequest {
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.name.clone(),
            topic_id: topic.id,
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                committed_metadata: metadata.map(str::to_owned),
                ..Default::default()
            }],
        }],
        ..Default::default()
    }
}

/// Commits outside of any membership.
#[track_caller]
fn committed(wire: &mut Wire, version: i16, request: &OffsetCommitRequest) -> ErrorCode {
    wire.call(version, request).topics[0].partitions[0].error_code
}

fn fetch(group: &str, topics: Option<&[(&Topic, &[i32])]>) -> OffsetFetchRequestGroup {
    let topics = topics.map(|topics| {
        let topics = topics.iter().map(|(topic, partitions)| OffsetFetchRequestTopics {
            name: topic.name.clone(),
            topic_id: topic.id,
            partition_indexes: partitions.to_vec(),
        });
        topics.collect()
    });
    OffsetFetchRequestGroup { group_id: group.to_owned(), topics, ..Default::default() }
}

/// What a group has committed, as `(partition, offset, leader epoch, metadata, code)`, in any version's shape.
type Position = (i32, i64, i32, Option<String>, ErrorCode);

#[track_caller]
fn positions(wire: &mut Wire, version: i16, asked: &OffsetFetchRequestGroup) -> Vec<Position> {
    let mut positions: Vec<Position> = if version >= 8 {
        let answer = wire.call(version, &OffsetFetchRequest { groups: vec![asked.clone()], ..Default::default() });
        assert_eq!(answer.groups.len(), 1);
        assert_eq!((&answer.groups[0].group_id, answer.groups[0].error_code), (&asked.group_id, ErrorCode::NONE));
        let found = answer.groups[0].topics.iter().flat_map(|topic| &topic.partitions);
        found
            .map(|found| {
                let epoch = found.committed_leader_epoch;
                (found.partition_index, found.committed_offset, epoch, found.metadata.clone(), found.error_code)
            })
            .collect()
    } else {
        let topics = asked.topics.as_ref().map(|topics| {
            let topics = topics.iter().map(|topic| OffsetFetchRequestTopic {
                name: topic.name.clone(),
                partition_indexes: topic.partition_indexes.clone(),
            });
            topics.collect()
        });
        let request = OffsetFetchRequest { group_id: asked.group_id.clone(), topics, ..Default::default() };
        let answer = wire.call(version, &request);
        assert_eq!(answer.error_code, ErrorCode::NONE);
        let found = answer.topics.iter().flat_map(|topic| &topic.partitions);
        found
            .map(|found| {
                let epoch = found.committed_leader_epoch;
                (found.partition_index, found.committed_offset, epoch, found.metadata.clone(), found.error_code)
            })
            .collect()
    };
    positions.sort_by_key(|position| (position.0, position.1));
    positions
}

/// Version 0 was about offsets in ZooKeeper.
fn fetch_versions(wire: &Wire) -> impl Iterator<Item = i16> + use<> {
    wire.versions::<OffsetFetchRequest>().filter(|version| *version >= 1)
}

#[test]
fn positions_are_told_for_some_partitions_or_for_all_that_have_one() {
    let group = unique("positions");
    let (one, other) = (Topic::create("positions", 3), Topic::create("positions", 3));
    let mut wire = Wire::coordinator(&group);
    let text = |text: &str| Some(text.to_owned());
    let latest = wire.latest::<OffsetCommitRequest>();
    assert_eq!(committed(&mut wire, latest, &commit(&group, &one, 0, 10, Some("note"))), ErrorCode::NONE);
    assert_eq!(committed(&mut wire, latest, &commit(&group, &one, 2, 11, None)), ErrorCode::NONE);
    let mut with_epoch = commit(&group, &other, 1, 12, Some(""));
    with_epoch.topics[0].partitions[0].committed_leader_epoch = 0;
    assert_eq!(committed(&mut wire, latest, &with_epoch), ErrorCode::NONE);

    for version in fetch_versions(&wire) {
        let epoch = if version >= 5 { 0 } else { -1 };
        let some = fetch(&group, Some(&[(&one, &[0, 1, 2])]));
        let expected = [
            (0, 10, -1, text("note"), ErrorCode::NONE),
            (1, -1, -1, text(""), ErrorCode::NONE),
            (2, 11, -1, text(""), ErrorCode::NONE),
        ];
        assert_eq!(positions(&mut wire, version, &some), expected, "version {version}");
        let both = fetch(&group, Some(&[(&one, &[0]), (&other, &[1, 2])]));
        let expected = [
            (0, 10, -1, text("note"), ErrorCode::NONE),
            (1, 12, epoch, text(""), ErrorCode::NONE),
            (2, -1, -1, text(""), ErrorCode::NONE),
        ];
        assert_eq!(positions(&mut wire, version, &both), expected, "version {version}");
        if version >= 2 {
            let expected = [
                (0, 10, -1, text("note"), ErrorCode::NONE),
                (1, 12, epoch, text(""), ErrorCode::NONE),
                (2, 11, -1, text(""), ErrorCode::NONE),
            ];
            assert_eq!(positions(&mut wire, version, &fetch(&group, None)), expected, "version {version}");
        }
        assert_eq!(positions(&mut wire, version, &fetch(&group, Some(&[]))), [], "version {version}");
        // A group that nobody has heard of stands nowhere, which is no error.
        let unknown = unique("unknown");
        let asked = fetch(&unknown, Some(&[(&one, &[0])]));
        let none = (0, -1, -1, text(""), ErrorCode::NONE);
        assert_eq!(positions(&mut Wire::coordinator(&unknown), version, &asked), [none], "version {version}");
    }
}

#[test]
fn positions_of_several_groups_are_told_at_once() {
    let (one, other) = (unique("several"), unique("several"));
    let topic = Topic::create("several", 1);
    for (group, offset) in [(&one, 1), (&other, 2)] {
        let mut wire = Wire::coordinator(group);
        let version = wire.latest::<OffsetCommitRequest>();
        assert_eq!(committed(&mut wire, version, &commit(group, &topic, 0, offset, None)), ErrorCode::NONE);
    }
    // Their coordinators may be different brokers; each answers for its own.
    for (group, offset) in [(&one, 1), (&other, 2)] {
        let mut wire = Wire::coordinator(group);
        for version in wire.versions::<OffsetFetchRequest>().filter(|version| *version >= 8) {
            let groups = vec![fetch(&one, None), fetch(&other, Some(&[(&topic, &[0])]))];
            let answer = wire.call(version, &OffsetFetchRequest { groups, ..Default::default() });
            assert_eq!(answer.groups.len(), 2, "version {version}");
            let found = answer.groups.iter().find(|found| found.group_id == **group).unwrap();
            assert_eq!(found.topics[0].partitions[0].committed_offset, offset, "version {version}");
            assert_eq!(found.topics[0].name == topic.name, version < 10, "version {version}");
            assert_eq!(found.topics[0].topic_id == topic.id, version >= 10, "version {version}");
        }
    }
}

#[test]
fn commits_that_cannot_be_are_refused_one_by_one() {
    let group = unique("refused");
    let topic = Topic::create("refused", 1);
    let mut wire = Wire::coordinator(&group);
    for version in wire.versions::<OffsetCommitRequest>().filter(|version| *version >= 1) {
        let code = committed(&mut wire, version, &commit(&group, &topic, 0, 3, Some(&"x".repeat(4096))));
        assert_eq!(code, ErrorCode::NONE, "version {version}");
        let code = committed(&mut wire, version, &commit(&group, &topic, 0, 4, Some(&"x".repeat(4097))));
        assert_eq!(code, ErrorCode::OFFSET_METADATA_TOO_LARGE, "version {version}");
        let code = committed(&mut wire, version, &commit(&group, &topic, 7, 4, None));
        assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
        let code = committed(&mut wire, version, &commit(&group, &Topic::missing("refused"), 0, 4, None));
        let expected = if version >= 10 { ErrorCode::UNKNOWN_TOPIC_ID } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
        assert_eq!(code, expected, "version {version}");
        let position = positions(&mut wire, 5, &fetch(&group, Some(&[(&topic, &[0])])));
        assert_eq!(position[0].1, 3, "version {version}");

        // A member of a group that is not there.
        let unknown = unique("unknown");
        let mut foreign = commit(&unknown, &topic, 0, 5, None);
        (foreign.generation_id_or_member_epoch, foreign.member_id) = (3, "nobody".to_owned());
        let code = committed(&mut Wire::coordinator(&unknown), version, &foreign);
        let accepted: &[_] = if version >= 9 {
            &[ErrorCode::ILLEGAL_GENERATION, ErrorCode::GROUP_ID_NOT_FOUND]
        } else {
            &[ErrorCode::ILLEGAL_GENERATION]
        };
        assert!(accepted.contains(&code), "version {version}: {code}");
    }
    for version in wire.versions::<OffsetFetchRequest>().filter(|version| *version >= 10) {
        let asked = fetch(&group, Some(&[(&Topic::missing("refused"), &[0])]));
        let found = positions(&mut wire, version, &asked);
        assert_eq!((found[0].1, found[0].4), (-1, ErrorCode::UNKNOWN_TOPIC_ID), "version {version}");
    }
}
