//! Administration with brokers, leaders and coordinators that do not answer: every call ends by its deadline, and what
//! may pass is waited for.

use std::time::Duration;

use krs::kafka::protocol::ErrorCode;
use krs::{Admin, ConfigChange, ConfigResource, Error, ErrorKind, NewTopic, OffsetSpec};

use crate::support::{BREAKS, LONG, SLACK, Settings, config, each, inject, kafka, partition, within};

/// What one call may take here.
const LIMIT: Duration = Duration::from_millis(400);

type Call = (&'static str, fn(&Admin) -> Result<(), Error>);

/// Every call, each with the API that it cannot do without.
const CALLS: [Call; 13] = [
    ("metadata", |admin| admin.list_topics().map(drop)),
    ("metadata", |admin| first(admin.describe_topics(&["t"]))),
    ("create-topics", |admin| {
        admin.create_topic(&NewTopic { name: "u", partitions: 1, replication_factor: 1, configs: &[] }).map(drop)
    }),
    ("create-partitions", |admin| admin.create_partitions("t", 9)),
    ("describe-configs", |admin| admin.describe_configs(ConfigResource::Topic("t")).map(drop)),
    ("incremental-alter-configs", |admin| {
        admin.alter_configs(ConfigResource::Topic("t"), &[ConfigChange::Set("retention.ms", "1000")])
    }),
    ("list-offsets", |admin| first(admin.list_offsets(&[(partition(0), OffsetSpec::Latest)]))),
    ("list-groups", |admin| admin.list_groups().map(drop)),
    ("offset-commit", |admin| admin.alter_offsets("g", &[(partition(0), 0)])),
    ("offset-fetch", |admin| first(admin.committed_offsets(&["g"]))),
    ("find-coordinator", |admin| first(admin.lag(&["g"]))),
    ("delete-groups", |admin| first(admin.delete_groups(&["g"]))),
    ("delete-topics", |admin| admin.delete_topic("t")),
];

fn first<T>(mut results: Vec<Result<T, Error>>) -> Result<(), Error> {
    results.remove(0).map(drop)
}

#[test]
fn every_call_ends_by_its_deadline_when_nothing_is_answered() {
    for silent in [true, false] {
        each(&CALLS, |(api, call)| {
            let broker = kafka();
            let settings = [("default.api.timeout.ms", "400"), ("request.timeout.ms", "200")];
            let admin = Admin::connect(&config(&broker).and(&settings)).unwrap();
            inject(&broker, &if silent { "any:silence".to_owned() } else { format!("{api}:drop") });
            let error = within(LIMIT + SLACK, api, || call(&admin)).expect_err("nobody answers");
            assert!(
                matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Disconnected | ErrorKind::Unreachable),
                "{api}: {error}"
            );
            assert!(!error.to_string().contains('\n'));
        });
    }
}

#[test]
fn every_call_ends_when_all_brokers_are_dead() {
    each(&CALLS, |(api, call)| {
        let broker = kafka();
        let settings = [("default.api.timeout.ms", "400"), ("request.timeout.ms", "200")];
        let admin = Admin::connect(&config(&broker).and(&settings)).unwrap();
        broker.stop();
        let error = within(LIMIT + SLACK, api, || call(&admin)).expect_err("there is no broker");
        assert!(error.is_retriable(), "{api}: {error}");
    });
}

#[test]
fn every_call_survives_what_may_pass() {
    let trials: Vec<(&Call, &str)> = CALLS.iter().flat_map(|call| BREAKS.map(|fault| (call, fault))).collect();
    each(&trials, |((api, call), fault)| {
        let broker = kafka();
        let admin = Admin::connect(&config(&broker).and(&[("request.timeout.ms", "5000")])).unwrap();
        admin.alter_offsets("g", &[(partition(0), 0)]).unwrap();
        inject(&broker, &format!("{api}:{fault},next=1"));
        within(LONG, api, || call(&admin)).unwrap_or_else(|error| panic!("{api}:{fault}: {error}"));
    });
}

#[test]
fn what_does_not_exist_is_not_waited_for() {
    let broker = kafka();
    let admin = Admin::connect(&config(&broker)).unwrap();
    let code = |error: Error| error.code();
    let missing = Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    within(LONG, "missing things", || {
        assert_eq!(first(admin.describe_topics(&["u"])).map_err(code), Err(missing));
        assert_eq!(admin.delete_topic("u").map_err(code), Err(missing));
        assert_eq!(admin.create_partitions("u", 3).map_err(code), Err(missing));
        assert_eq!(first(admin.list_offsets(&[(partition(99), OffsetSpec::Latest)])).map_err(code), Err(missing));
        let absent = Some(ErrorCode::GROUP_ID_NOT_FOUND);
        assert_eq!(first(admin.describe_groups(&["g"])).map_err(code), Err(absent));
        assert_eq!(first(admin.delete_groups(&["g"])).map_err(code), Err(absent));
    });
}
