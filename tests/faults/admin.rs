//! Administration: whatever the brokers do, each call does what it says or ends by its deadline.

use std::time::{Duration, Instant};

use krs::devbroker::DevBroker;
use krs::kafka::protocol::ErrorCode;
use krs::{
    Admin, ConfigChange, ConfigResource, Consumer, Created, ErrorKind, NewTopic, OffsetSpec, Producer, Record, Result,
    TopicPartition,
};

use super::support::{
    BREAKS, LONG, PARTITIONS, Settings, all_partitions, config, each, inject, kafka, partition, stop_all, within,
};

type Call = fn(&Admin) -> Result<()>;

fn only<T>(mut results: Vec<Result<T>>) -> Result<()> {
    results.pop().expect("one result for each").map(drop)
}

/// Each call of the client that only looks.
const LOOKS: [(&str, Call); 8] = [
    ("list_topics", |admin| admin.list_topics().map(drop)),
    ("describe_topics", |admin| only(admin.describe_topics(&["t"]))),
    ("describe_configs", |admin| admin.describe_configs(ConfigResource::Topic("t")).map(drop)),
    ("list_groups", |admin| admin.list_groups().map(drop)),
    ("describe_groups", |admin| only(admin.describe_groups(&["g"]))),
    ("committed_offsets", |admin| only(admin.committed_offsets(&["g"]))),
    ("list_offsets", |admin| only(admin.list_offsets(&[(partition(0), OffsetSpec::Latest)]))),
    ("lag", |admin| only(admin.lag(&["g"]))),
];

/// Each call that changes something.
const CHANGES: [(&str, Call); 6] = [
    ("delete_topic", |admin| admin.delete_topic("t")),
    ("create_partitions", |admin| admin.create_partitions("t", PARTITIONS + 1)),
    ("alter_configs", |admin| {
        admin.alter_configs(ConfigResource::Topic("t"), &[ConfigChange::Set("retention.ms", "60000")])
    }),
    ("delete_groups", |admin| only(admin.delete_groups(&["g"]))),
    ("delete_offsets", |admin| only(admin.delete_offsets("g", &[partition(0)]))),
    ("alter_offsets", |admin| admin.alter_offsets("g", &[(partition(0), 1)])),
];

fn calls() -> Vec<(&'static str, Call)> {
    LOOKS.into_iter().chain(CHANGES).collect()
}

/// Brokers with two records in each partition of `t`, and the group `g`, which has read the first of each.
fn with_group() -> DevBroker {
    let broker = kafka();
    let producer = Producer::connect(&config(&broker)).unwrap();
    for index in 0..PARTITIONS {
        for value in ["one", "two"] {
            producer.send(Record::to("t").partition(index).value(value)).unwrap().wait().unwrap();
        }
    }
    let offsets: Vec<(TopicPartition, i64)> = all_partitions().into_iter().map(|partition| (partition, 1)).collect();
    Admin::connect(&config(&broker)).unwrap().alter_offsets("g", &offsets).unwrap();
    broker
}

#[test]
fn each_call_survives_one_request_that_fails() {
    let mut rows = Vec::new();
    for (name, call) in calls() {
        rows.extend(BREAKS.map(|fault| (name, call, format!("any:{fault},next=1"))));
        rows.push((name, call, "any:silence,next=1".to_owned()));
        // The answer is lost, the work done.
        rows.push((name, call, "any:drop-after,next=1,skip=1".to_owned()));
    }
    each(&rows, |(name, call, fault)| {
        let broker = with_group();
        let admin = Admin::connect(&config(&broker).and(&[("request.timeout.ms", "300")])).unwrap();
        inject(&broker, fault);
        within(LONG, name, || call(&admin)).unwrap_or_else(|error| panic!("{name} with {fault}: {error}"));
    });
}

#[test]
fn a_topic_whose_creation_was_answered_in_vain_is_new() {
    let broker = kafka();
    let admin = Admin::connect(&config(&broker)).unwrap();
    let topic = NewTopic { name: "u", partitions: 1, replication_factor: 1, configs: &[] };
    let id = inject(&broker, "create-topics:drop-after,next=1");
    assert_eq!(admin.create_topic(&topic).unwrap(), Created::New);
    assert_eq!((broker.faults_applied(id), admin.create_topic(&topic).unwrap()), (1, Created::Existed));
}

/// Instead of a fault.
const STOPPED: &str = "no broker";

#[test]
fn each_call_ends_by_its_deadline_with_brokers_that_say_nothing() {
    let mut rows = Vec::new();
    for (name, call) in calls() {
        for fault in ["any:silence", "any:drop", "any:delay=1h", STOPPED] {
            rows.push((name, call, fault));
        }
    }
    let fail = |name: &str, call: &Call, fault: &str| {
        let broker = with_group();
        let limit = Duration::from_millis(700);
        let settings = [("default.api.timeout.ms", "700"), ("request.timeout.ms", "300")];
        let admin = Admin::connect(&config(&broker).and(&settings)).unwrap();
        if fault == STOPPED {
            stop_all(&broker);
        } else {
            inject(&broker, fault);
        }
        within(limit, name, || call(&admin)).err()
    };
    each(&rows, |(name, call, fault)| {
        let error = fail(name, call, fault).expect("nobody answers");
        let expected = [ErrorKind::Timeout, ErrorKind::Disconnected, ErrorKind::Unreachable];
        assert!(expected.contains(&error.kind()), "{name} with {fault}: {error}");
    });
}

#[test]
fn each_call_about_a_group_ends_by_its_deadline_without_a_coordinator() {
    let codes =
        [ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorCode::NOT_COORDINATOR];
    let about_groups =
        ["describe_groups", "committed_offsets", "lag", "delete_groups", "delete_offsets", "alter_offsets"];
    let mut rows = Vec::new();
    for (name, call) in calls().into_iter().filter(|(name, _)| about_groups.contains(name)) {
        rows.extend(codes.map(|code| (name, call, code)));
    }
    each(&rows, |(name, call, code)| {
        let broker = with_group();
        let admin = Admin::connect(&config(&broker).and(&[("default.api.timeout.ms", "500")])).unwrap();
        inject(&broker, &format!("find-coordinator:error={code}"));
        let error = within(Duration::from_millis(500), name, || call(&admin)).expect_err("there is no coordinator");
        assert_eq!(error.code(), Some(*code), "{name}: {error}");
        broker.clear_faults();
        // Half a second may be too short on a busy machine.
        let until = Instant::now() + LONG;
        while let Err(error) = call(&admin) {
            let late = [ErrorKind::Timeout, ErrorKind::Unreachable].contains(&error.kind());
            assert!(late && Instant::now() < until, "{name} once there is one: {error}");
        }
    });
}

/// Committed first, ends second: and the time is that of the record to be read next.
#[test]
fn lag_is_what_was_not_read() {
    let broker = with_group();
    let admin = Admin::connect(&config(&broker)).unwrap();
    let lag = admin.lag(&["g"]).remove(0).unwrap();
    assert_eq!((lag.total(), lag.partitions.len()), (i64::from(PARTITIONS), PARTITIONS as usize));
    for partition in &lag.partitions {
        assert_eq!((partition.committed, partition.end, partition.lag), (Some(1), Some(2), Some(1)));
        assert!(partition.lag_ms.is_some_and(|ms| ms < 60_000) && partition.member.is_none());
    }
    admin.delete_offsets("g", &[partition(0)]).remove(0).unwrap();
    assert_eq!(admin.committed_offsets(&["g"]).remove(0).unwrap().len(), PARTITIONS as usize - 1);
    let ends: Vec<_> = all_partitions().into_iter().map(|partition| (partition, 2)).collect();
    admin.alter_offsets("g", &ends).unwrap();
    let lag = admin.lag(&["g"]).remove(0).unwrap();
    assert!(lag.partitions.iter().all(|partition| (partition.lag, partition.lag_ms) == (Some(0), Some(0))));
}

#[test]
fn a_group_with_members_is_neither_moved_nor_deleted() {
    let broker = with_group();
    let admin = Admin::connect(&config(&broker)).unwrap();
    let mut consumer = Consumer::connect(&config(&broker).and(&[("group.id", "g")])).unwrap();
    consumer.subscribe(["t"]).unwrap();
    while consumer.poll(Duration::from_millis(100)).unwrap().is_empty() {}
    let moved = admin.alter_offsets("g", &[(partition(0), 0)]).unwrap_err();
    assert_eq!(moved.code(), Some(ErrorCode::UNKNOWN_MEMBER_ID), "{moved}");
    let deleted = admin.delete_groups(&["g"]).remove(0).unwrap_err();
    assert_eq!(deleted.code(), Some(ErrorCode::NON_EMPTY_GROUP), "{deleted}");
    let forgotten = admin.delete_offsets("g", &[partition(0)]).remove(0).unwrap_err();
    assert_eq!(forgotten.code(), Some(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC), "{forgotten}");
    let group = admin.describe_groups(&["g"]).remove(0).unwrap();
    assert_eq!((group.state.as_str(), group.members.len()), ("Stable", 1));
    assert_eq!(group.members[0].assignment, all_partitions());
    let committed = admin.committed_offsets(&["g"]).remove(0).unwrap();
    assert!(committed.iter().all(|committed| committed.offset == 1));
}

#[test]
fn what_is_not_there_is_told_as_such() {
    let broker = with_group();
    let admin = Admin::connect(&config(&broker)).unwrap();
    let missing = [
        only(admin.describe_topics(&["u"])),
        admin.delete_topic("u"),
        admin.create_partitions("u", 4),
        admin.describe_configs(ConfigResource::Topic("u")).map(drop),
        only(admin.list_offsets(&[(partition(PARTITIONS), OffsetSpec::Latest)])),
        only(admin.list_offsets(&[(TopicPartition::new("u", 0), OffsetSpec::Earliest)])),
    ];
    for outcome in missing {
        assert_eq!(outcome.unwrap_err().code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    }
    for outcome in [only(admin.describe_groups(&["h"])), only(admin.delete_groups(&["h"])), only(admin.lag(&["h"]))] {
        assert_eq!(outcome.unwrap_err().code(), Some(ErrorCode::GROUP_ID_NOT_FOUND));
    }
}
