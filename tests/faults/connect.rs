//! What comes before writing: versions, metadata, producer ids.

use std::time::Duration;

use krs::kafka::protocol::ErrorCode;
use krs::{Admin, Consumer, Created, ErrorKind, NewTopic, Producer, Record};

use super::ledger::Promise;
use super::produce::{Trial, all_arrive};
use super::support::{BREAKS, LONG, PARTITIONS, Settings, config, each, inject, kafka, within};

const APIS: [&str; 3] = ["api-versions", "metadata", "init-producer-id"];

/// Of the first contact each broker is tried once; so its first request goes well.
const LATER: [&str; 2] = ["next=1,skip=2", "next=5,skip=2"];

#[test]
fn a_connection_cut_at_any_request_costs_nothing() {
    let mut trials = Vec::new();
    for fault in BREAKS {
        for api in ["api-versions", "metadata"] {
            trials.extend(LATER.map(|when| Trial::of(&[&format!("{api}:{fault},{when}"), "produce:drop,every=9"])));
            // One bootstrap broker that fails is not missed.
            trials.push(Trial::of(&[&format!("{api}:{fault},next=1")]));
        }
        trials.extend(["next=1", "next=6"].map(|when| Trial::of(&[&format!("init-producer-id:{fault},{when}")])));
    }
    all_arrive(&trials);
}

#[test]
fn an_answer_that_never_comes_ends_by_its_deadline() {
    let trials: Vec<_> = APIS
        .iter()
        .map(|api| format!("{api}:silence,next=1,skip={}", if *api == "init-producer-id" { 0 } else { 2 }))
        .map(|fault| Trial::of(&[&fault, "produce:drop,every=9"]).with(&[("request.timeout.ms", "300")]))
        .map(|trial| trial.with(&[("socket.connection.setup.timeout.ms", "300")]))
        .collect();
    all_arrive(&trials);
}

#[test]
fn garbled_answers_do_not_spoil_the_log() {
    let trials: Vec<_> = (1..=8)
        .map(|seed| {
            Trial::of(&[&format!("{}:garble,p=0.5,seed={seed}", APIS.join("+")), "produce:drop,every=7"]).late()
        })
        .map(|trial| trial.promising(Promise::Misled).with(&[("message.timeout.ms", "1000")]))
        .collect();
    each(&trials, |trial| drop(trial.run()));
}

#[test]
fn what_may_pass_is_asked_again_until_it_has_passed() {
    use ErrorCode as Code;
    let metadata = [
        Code::LEADER_NOT_AVAILABLE,
        Code::UNKNOWN_TOPIC_OR_PARTITION,
        Code::UNKNOWN_SERVER_ERROR,
        Code::REQUEST_TIMED_OUT,
    ];
    let mut trials = Vec::new();
    for code in metadata {
        let faults = ["next=1", "next=5"].map(|when| format!("metadata:error={code},{when}"));
        trials.extend(faults.map(|fault| Trial::of(&[&fault, "produce:drop,every=9"]).late()));
    }
    for code in [Code::UNKNOWN_SERVER_ERROR, Code::REQUEST_TIMED_OUT, Code::INVALID_REQUEST] {
        let faults = LATER.map(|when| format!("api-versions:error={code},{when}"));
        trials.extend(faults.map(|fault| Trial::of(&[&fault, "produce:drop,every=9"])));
    }
    let identity = [
        Code::COORDINATOR_LOAD_IN_PROGRESS,
        Code::COORDINATOR_NOT_AVAILABLE,
        Code::NOT_COORDINATOR,
        Code::CONCURRENT_TRANSACTIONS,
        Code::REQUEST_TIMED_OUT,
        Code::UNKNOWN_SERVER_ERROR,
    ];
    for code in identity {
        let faults = ["next=1", "next=6"].map(|when| format!("init-producer-id:error={code},{when}"));
        trials.extend(faults.map(|fault| Trial::of(&[&fault])));
    }
    all_arrive(&trials);
}

#[test]
fn a_producer_that_may_not_write_is_told_and_may_later() {
    let code = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
    let outcomes = Trial::of(&[&format!("init-producer-id:error={code},next=1")]).run();
    assert!(!outcomes.failed.is_empty() && outcomes.unknown.is_empty());
    assert!(outcomes.failed.iter().all(|error| (error.kind(), error.code()) == (ErrorKind::Refused, Some(code))));
}

/// The refusal was remembered, and told again, until the metadata was five minutes old.
#[test]
fn a_topic_that_may_not_be_used_is_told_by_send_until_it_may() {
    for code in [ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorCode::INVALID_TOPIC_EXCEPTION] {
        let broker = kafka();
        inject(&broker, &format!("metadata:error={code},topic=t"));
        let producer = Producer::connect(&config(&broker)).unwrap();
        for _ in 0..2 {
            let error =
                within(LONG, "send", || producer.send(Record::to("t").value("x"))).expect_err("it may not be used");
            assert_eq!((error.code(), error.topic()), (Some(code), Some("t")), "{error}");
        }
        broker.clear_faults();
        producer.send(Record::to("t").value("x")).unwrap().wait().unwrap();
    }
}

/// The same of a topic that was not there.
#[test]
fn an_admin_client_asks_again_about_what_was_missing_or_refused() {
    let broker = kafka();
    let [one, other] = [(); 2].map(|()| Admin::connect(&config(&broker)).unwrap());
    let missing = one.partition_count("u").unwrap_err();
    assert_eq!(missing.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    let topic = NewTopic { name: "u", partitions: 2, replication_factor: 1, configs: &[] };
    assert_eq!(other.create_topic(&topic).unwrap(), Created::New);
    assert_eq!(one.partition_count("u").unwrap(), 2);

    inject(&broker, "metadata:error=TOPIC_AUTHORIZATION_FAILED,topic=t");
    assert_eq!(one.partition_count("t").unwrap_err().kind(), ErrorKind::Refused);
    broker.clear_faults();
    assert_eq!(one.partition_count("t").unwrap(), PARTITIONS);
}

/// A topic is made once, whatever becomes of the request and its answer.
#[test]
fn creating_a_topic_survives_what_may_pass() {
    let mut faults = Vec::new();
    for fault in BREAKS.into_iter().chain(["silence", "error=NOT_CONTROLLER", "error=REQUEST_TIMED_OUT,after-work"]) {
        faults.extend(["next=1", "next=3"].map(|when| format!("create-topics:{fault},{when}")));
    }
    each(&faults, |fault| {
        let broker = kafka();
        let admin = Admin::connect(&config(&broker).and(&[("request.timeout.ms", "200")])).unwrap();
        inject(&broker, fault);
        let topic = NewTopic { name: "u", partitions: 2, replication_factor: 1, configs: &[] };
        within(LONG, fault, || admin.create_topic(&topic)).unwrap_or_else(|error| panic!("{fault}: {error}"));
        assert_eq!(admin.partition_count("u").unwrap(), 2);
    });
}

#[test]
fn with_no_broker_to_talk_to_connecting_ends_with_one_error() {
    let faults = [
        "any:silence",
        "any:drop",
        "any:truncate=6",
        "any:delay=1h",
        "api-versions:error=-1",
        "metadata:drop",
        "metadata:silence",
        "metadata:truncate",
        "metadata:drop-inside",
    ];
    each(&faults, |fault| {
        let broker = kafka();
        let limit = Duration::from_millis(400);
        let settings = [("socket.connection.setup.timeout.max.ms", "400"), ("group.id", "g")];
        let config = config(&broker).and(&settings);
        inject(&broker, fault);
        let errors = within(3 * limit, fault, || {
            [
                Producer::connect(&config).err().map(|error| error.kind()),
                Consumer::connect(&config).err().map(|error| error.kind()),
                Admin::connect(&config).err().map(|error| error.kind()),
            ]
        });
        assert_eq!(errors, [Some(ErrorKind::Unreachable); 3], "{fault}");
    });
}
