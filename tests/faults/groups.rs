//! Reading as a member of a group, while anything on the way to the coordinator goes wrong.

use std::time::{Duration, Instant};

use krs::devbroker::DevBroker;
use krs::kafka::protocol::ErrorCode;
use krs::{Admin, Config, Consumer, ErrorKind, NewTopic};

use super::reader::{Progress, Reader, TICK, committed, member, modern, write};
use super::support::{
    BREAKS, LONG, PARTITIONS, Settings, all_partitions, config, each, inject, kafka_with, partition, within,
};

/// Records in each partition.
const EACH: usize = 10;

/// On the way of a member, from the first to the last.
const APIS: [&str; 7] =
    ["find-coordinator", "join-group", "sync-group", "offset-fetch", "heartbeat", "offset-commit", "leave-group"];

/// Brokers whose topic holds [`EACH`] records in each partition, and which are quick to give up a member.
fn filled() -> DevBroker {
    let broker = kafka_with(|options| {
        options.groups.min_session_timeout = Duration::from_millis(100);
        options.groups.consumer_heartbeat_interval = Duration::from_millis(10);
        options.groups.consumer_assignment_interval = Duration::ZERO;
    });
    write(&config(&broker), 0, EACH * PARTITIONS as usize);
    broker
}

/// A member of the protocol that `settings` name.
fn member_with(config: Config, settings: &[(&str, &str)]) -> Config {
    if settings.contains(&CONSUMER) { modern(config).and(settings) } else { member(config).and(settings) }
}

const CONSUMER: (&str, &str) = ("group.protocol", "consumer");

/// What a fault may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    /// Nothing that the application notices.
    Nothing,
    /// The membership: commits may fail, and what was not committed comes again.
    Membership,
}

/// Reads and commits everything under a fault, and something new without it.
fn read(fault: &str, settings: &[(&str, &str)], cost: Cost) {
    let broker = filled();
    let id = inject(&broker, fault);
    let config = member_with(config(&broker), settings);
    let progress = Progress::default();
    let mut reader = Reader::join(fault, &config, &progress).unwrap();
    reader.commit_to(EACH);
    let leaving = fault.starts_with("leave-group");
    let until = Instant::now() + LONG;
    while broker.faults_applied(id) == 0 && !leaving {
        assert!(Instant::now() < until, "{fault} never acted");
        reader.poll();
        reader.commit();
    }
    if !leaving {
        broker.clear_faults();
    }
    write(&config, EACH, PARTITIONS as usize);
    reader.commit_to(EACH + 1);
    let told = |errors: &[krs::Error]| -> Vec<String> { errors.iter().map(ToString::to_string).collect() };
    if cost == Cost::Nothing {
        assert!(reader.errors.is_empty(), "{fault}: {:?}", told(&reader.errors));
        assert_eq!((progress.now().repeated, reader.lost), (0, false), "{fault}");
    } else {
        let about_membership = |error: &krs::Error| {
            error.kind() == ErrorKind::State && error.to_string().contains("cannot commit")
                || error.kind() == ErrorKind::Broker && error.to_string().contains("cannot commit: group")
        };
        assert!(reader.errors.iter().all(about_membership), "{fault}: {:?}", told(&reader.errors));
    }
    reader.close().unwrap();
    assert!(!leaving || broker.faults_applied(id) > 0, "{fault} never acted");
    broker.clear_faults();
    let end = Some(EACH as i64 + 1);
    assert_eq!(committed(&config), vec![end; PARTITIONS as usize], "{fault}");
}

fn all_read(faults: &[String], settings: &[(&str, &str)], cost: Cost) {
    each(faults, |fault| read(fault, settings, cost));
}

#[test]
fn a_connection_cut_at_any_request_costs_nothing() {
    let mut faults = Vec::new();
    for api in APIS {
        for fault in BREAKS {
            faults.extend(["next=1", "next=3"].map(|when| format!("{api}:{fault},{when}")));
        }
        faults.push(format!("{api}:drop,next=8"));
    }
    for fault in BREAKS {
        faults.extend(["heartbeat", "offset-commit"].map(|api| format!("{api}:{fault},next=2,skip=2")));
        faults.push(format!("join-group:{fault},next=1,skip=1"));
    }
    all_read(&faults, &[], Cost::Nothing);
}

#[test]
fn an_answer_that_never_comes_ends_by_its_deadline() {
    let apis = ["find-coordinator", "offset-fetch", "heartbeat", "offset-commit", "leave-group"];
    let faults =
        apis.iter().flat_map(|api| ["silence", "silence,after-work"].map(|fault| format!("{api}:{fault},next=1")));
    all_read(&faults.collect::<Vec<_>>(), &[], Cost::Nothing);
}

/// A broker may keep a join waiting for as long as members may stay away from `poll`, so that is when it is given up.
#[test]
fn a_join_that_is_never_answered_is_given_up() {
    let faults = ["join-group:silence,next=1", "sync-group:silence,next=1"].map(str::to_owned);
    all_read(&faults, &[("max.poll.interval.ms", "500"), ("session.timeout.ms", "500")], Cost::Membership);
}

#[test]
fn what_may_pass_is_asked_again_until_it_has_passed() {
    use ErrorCode as Code;
    let coordinator = [
        Code::COORDINATOR_NOT_AVAILABLE,
        Code::COORDINATOR_LOAD_IN_PROGRESS,
        Code::NOT_COORDINATOR,
        Code::REQUEST_TIMED_OUT,
    ];
    let of = |api: &str, codes: &[ErrorCode]| -> Vec<String> {
        codes.iter().map(|code| format!("{api}:error={code}")).collect()
    };
    let mut faults: Vec<_> = APIS.iter().flat_map(|api| of(api, &coordinator)).collect();
    faults.extend(of("join-group", &[Code::REBALANCE_IN_PROGRESS]));
    faults.extend(of("sync-group", &[Code::REBALANCE_IN_PROGRESS, Code::ILLEGAL_GENERATION]));
    faults.extend(of("join-group", &[Code::UNKNOWN_MEMBER_ID, Code::ILLEGAL_GENERATION]));
    faults.extend(of("offset-commit", &[Code::UNKNOWN_TOPIC_OR_PARTITION]));
    faults.extend(of("offset-fetch", &[Code::UNSTABLE_OFFSET_COMMIT, Code::UNKNOWN_TOPIC_OR_PARTITION]));
    let timed = faults.iter().flat_map(|fault| ["next=1", "next=3", "next=8"].map(|when| format!("{fault},{when}")));
    all_read(&timed.collect::<Vec<_>>(), &[], Cost::Nothing);
}

/// What was handed over and not committed comes again; what was committed does not.
#[test]
fn a_membership_that_is_lost_is_taken_up_again() {
    let codes = ["UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS"];
    let mut faults = vec!["sync-group:error=UNKNOWN_MEMBER_ID,next=2".to_owned()];
    for api in ["heartbeat", "offset-commit"] {
        for code in codes {
            faults.extend(["next=1", "next=3,skip=2"].map(|when| format!("{api}:error={code},{when}")));
        }
    }
    // Under another id it waits for who it was before.
    all_read(&faults, &[("session.timeout.ms", "400")], Cost::Membership);
}

/// Nothing but a change at the broker helps: the application is told, and may end.
#[test]
fn what_does_not_pass_is_told_and_closing_does_not_wait_for_it() {
    let refused = ErrorCode::GROUP_AUTHORIZATION_FAILED;
    let mut rows: Vec<_> = APIS[..5].iter().map(|api| (*api, refused)).collect();
    rows.extend([
        ("find-coordinator", ErrorCode::INVALID_GROUP_ID),
        ("join-group", ErrorCode::GROUP_MAX_SIZE_REACHED),
        ("join-group", ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
        ("join-group", ErrorCode::INVALID_SESSION_TIMEOUT),
        ("join-group", ErrorCode::INVALID_GROUP_ID),
        ("join-group", ErrorCode::UNSUPPORTED_VERSION),
        ("join-group", ErrorCode(999)),
        ("sync-group", ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
        ("offset-fetch", ErrorCode::TOPIC_AUTHORIZATION_FAILED),
    ]);
    each(&rows, |(api, code)| {
        let broker = filled();
        let fault = format!("{api}:error={}", code.0);
        inject(&broker, &fault);
        let mut reader = Reader::join(&fault, &member(config(&broker)), &Progress::default()).unwrap();
        let until = Instant::now() + LONG;
        while reader.errors.is_empty() {
            assert!(Instant::now() < until, "{fault} is not told");
            reader.poll();
        }
        assert!(reader.errors.iter().all(|error| error.code() == Some(*code)), "{fault}: {:?}", reader.errors);
        let short = Duration::from_millis(100);
        // What cannot be told to the group is said, and the consumer is closed all the same.
        let _ = within(short, &fault, || reader.consumer.close(short));
    });
}

#[test]
fn a_commit_that_is_refused_for_good_is_told_with_its_code() {
    let codes = [
        ErrorCode::GROUP_AUTHORIZATION_FAILED,
        ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        ErrorCode::OFFSET_METADATA_TOO_LARGE,
        ErrorCode::INVALID_COMMIT_OFFSET_SIZE,
        ErrorCode(999),
    ];
    each(&codes, |code| {
        let broker = filled();
        let fault = format!("offset-commit:error={},next=1", code.0);
        inject(&broker, &fault);
        let mut reader = Reader::join(&fault, &member(config(&broker)), &Progress::default()).unwrap();
        // The first commit fails; all that was handed over is committed with the next.
        reader.commit_to(EACH);
        let codes: Vec<_> = reader.errors.iter().map(krs::Error::code).collect();
        assert_eq!(codes, [Some(*code)], "{fault}: {:?}", reader.errors);
        reader.close().unwrap();
    });
}

#[test]
fn a_member_shut_out_by_another_with_its_name_stays_out() {
    each(&["heartbeat", "join-group", "sync-group", "offset-commit"], |api| {
        let broker = filled();
        inject(&broker, &format!("{api}:error=FENCED_INSTANCE_ID,next=1"));
        let config = member(config(&broker)).and(&[("group.instance.id", "one")]);
        let mut reader = Reader::join(api, &config, &Progress::default()).unwrap();
        let until = Instant::now() + LONG;
        while reader.errors.len() < 2 {
            assert!(Instant::now() < until, "{api}: it is not told");
            if reader.poll() > 0 {
                reader.commit();
            }
        }
        assert!(
            reader.errors.iter().all(|error| error.to_string().contains("group.instance.id")),
            "{:?}",
            reader.errors
        );
        reader.close().unwrap();
    });
}

/// One of two members is heard of no more: the other takes over what it had, from where it had committed.
#[test]
fn a_member_that_falls_silent_is_replaced() {
    each(&["silence", "drop", "expelled", "dropped consumer"], |how| {
        let broker = filled();
        // Short, unless something else than its end tells.
        let session = if *how == "expelled" { "30000" } else { "500" };
        let config = member(config(&broker)).and(&[("session.timeout.ms", session)]);
        let progress = Progress::default();
        let mut first = Reader::join("first", &config.clone().and(&[("client.id", "first")]), &progress).unwrap();
        while first.consumer.assignment().len() < PARTITIONS as usize {
            first.poll();
        }
        let mut second = Reader::join("second", &config, &progress).unwrap();
        let until = Instant::now() + LONG;
        while first.consumer.assignment().is_empty() || second.consumer.assignment().is_empty() {
            assert!(Instant::now() < until, "{how}: no share for both");
            first.poll();
            second.poll();
            first.commit();
            second.commit();
        }
        match *how {
            "expelled" => {
                let firsts = broker.members("g").into_iter().find(|id| id.starts_with("first")).unwrap();
                assert!(broker.expel_member("g", &firsts));
                assert!(!broker.expel_member("g", "nobody"));
            }
            "dropped consumer" => {}
            fault => drop(inject(&broker, &format!("heartbeat:{fault},group=g,client=first"))),
        }
        // What is left of the first is not polled any more, so it does not come back.
        let first = (*how != "dropped consumer").then_some(first);
        second.commit_to(EACH);
        second.close().unwrap();
        assert_eq!(committed(&config), vec![Some(EACH as i64); PARTITIONS as usize], "{how}");
        drop(first);
    });
}

/// Commits that do not get through once took all of the time that closing may take, and the partitions stayed without
/// anybody for a session.
#[test]
fn whoever_cannot_commit_leaves_all_the_same() {
    let protocols = [("group.protocol", "classic"), CONSUMER];
    let rows: Vec<_> = protocols.iter().flat_map(|protocol| ["true", "false"].map(|auto| (*protocol, auto))).collect();
    each(&rows, |(protocol, auto)| {
        let broker = filled();
        let config = member_with(config(&broker), &[*protocol, ("enable.auto.commit", auto)]);
        let mut consumer = Consumer::connect(&config).unwrap();
        consumer.subscribe(["t"]).unwrap();
        while within(LONG, "a poll", || consumer.poll(TICK)).unwrap().is_empty() {}
        inject(&broker, "offset-commit:error=REQUEST_TIMED_OUT");
        if *auto == "false" {
            consumer.commit_async().unwrap();
        }
        let limit = Duration::from_secs(4);
        within(limit, "closing", || consumer.close(limit)).unwrap();
        assert!(broker.members("g").is_empty(), "{protocol:?}, auto commit {auto}");
    });
}

/// A deleted topic leaves the assignment, and what is left of it holds nobody up.
#[test]
fn a_topic_of_several_that_is_deleted_goes_and_the_others_go_on() {
    each(&[("group.protocol", "classic"), CONSUMER], |protocol| {
        let broker = filled();
        let config = member_with(config(&broker), &[*protocol, ("default.api.timeout.ms", "60000")]);
        let admin = Admin::connect(&config).unwrap();
        let topic = NewTopic { name: "u", partitions: 1, replication_factor: 1, configs: &[] };
        admin.create_topic(&topic).unwrap();
        let mut consumer = Consumer::connect(&config).unwrap();
        consumer.subscribe(["t", "u"]).unwrap();
        let until = Instant::now() + LONG;
        let poll = |consumer: &mut Consumer, count: usize| {
            while consumer.assignment().len() != count {
                assert!(Instant::now() < until, "{protocol:?}: {:?}", consumer.assignment());
                // The topic that is gone may be told.
                let _ = within(LONG, "a poll", || consumer.poll(TICK));
            }
        };
        poll(&mut consumer, PARTITIONS as usize + 1);
        within(LONG, "a commit", || consumer.commit()).unwrap();
        admin.delete_topic("u").unwrap();
        poll(&mut consumer, PARTITIONS as usize);
        within(LONG, "a commit", || consumer.commit()).unwrap();
        within(LONG, "closing", || consumer.close(LONG)).unwrap();
    });
}

/// The broker makes up a member id for whoever joins without one, and ends no rebalance while it waits for that member:
/// as long as a session, unless it is told.
#[test]
fn whoever_goes_before_it_knows_its_member_id_holds_nobody_up() {
    each(&["close", "unsubscribe"], |how| {
        let broker = filled();
        let config = member(config(&broker)).and(&[("session.timeout.ms", "90000")]);
        let id = inject(&broker, "join-group:delay=200ms,next=1");
        let mut hasty = Reader::join("hasty", &config, &Progress::default()).unwrap();
        while broker.faults_applied(id) == 0 {
            hasty.poll();
        }
        let mut left = None;
        match *how {
            "close" => hasty.close().unwrap(),
            _ => {
                hasty.consumer.unsubscribe().unwrap();
                left = Some(hasty);
            }
        }
        let mut reader = Reader::join(how, &config, &Progress::default()).unwrap();
        reader.commit_to(EACH);
        reader.close().unwrap();
        drop(left);
    });
}

/// Whatever the bytes say then, every call ends, and afterwards the group can be used.
#[test]
fn garbled_answers_are_noticed_and_survived() {
    let seeds: Vec<u64> = (1..=10).collect();
    each(&seeds, |seed| {
        let broker = filled();
        let id = inject(&broker, &format!("{}:garble,p=0.4,seed={seed}", APIS.join("+")));
        let config = member(config(&broker)).and(&[("default.api.timeout.ms", "200")]);
        let mut consumer = Consumer::connect(&config).unwrap();
        consumer.subscribe(["t"]).unwrap();
        let until = Instant::now() + Duration::from_millis(400);
        while Instant::now() < until || broker.faults_applied(id) == 0 {
            // What is read from where, and committed, may be anything now.
            let _ = within(TICK, "poll", || consumer.poll(TICK));
            let _ = within(Duration::from_millis(200), "commit", || consumer.commit());
        }
        let short = Duration::from_millis(100);
        let _ = within(short, "close", || consumer.close(short));
        broker.clear_faults();
        let config = config.and(&[("group.id", "another"), ("default.api.timeout.ms", "10000")]);
        let mut reader = Reader::join("afterwards", &config, &Progress::default()).unwrap();
        reader.commit_to(EACH);
        reader.close().unwrap();
    });
}

#[test]
fn every_call_ends_by_its_deadline_whatever_the_broker_does() {
    let faults = ["any:silence", "any:drop", "any:delay=1h", "any:truncate", "any:error=COORDINATOR_LOAD_IN_PROGRESS"];
    let classic = ("group.protocol", "classic");
    let rows: Vec<_> = faults.iter().flat_map(|fault| [classic, CONSUMER].map(|protocol| (fault, protocol))).collect();
    each(&rows, |&(fault, protocol)| {
        let broker = filled();
        let config = member_with(config(&broker), &[protocol, ("default.api.timeout.ms", "300")]);
        let mut reader = Reader::join(fault, &config, &Progress::default()).unwrap();
        while reader.poll() == 0 {}
        inject(&broker, fault);
        let consumer = &mut reader.consumer;
        let limit = Duration::from_millis(300);
        let error = within(limit, "commit", || consumer.commit()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{fault}: {error}");
        let error = within(limit, "committed", || consumer.committed(&all_partitions())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{fault}: {error}");
        consumer.seek_to_end(&[]).unwrap();
        let error = within(limit, "position", || consumer.position(&partition(0))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{fault}: {error}");
        within(limit, "unsubscribe", || consumer.unsubscribe()).unwrap();
        let error = within(limit, "close", || reader.consumer.close(limit)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{fault}: {error}");
    });
}

const MODERN_APIS: [&str; 4] = ["find-coordinator", "consumer-group-heartbeat", "offset-fetch", "offset-commit"];

#[test]
fn in_the_consumer_protocol_a_connection_cut_at_any_request_costs_nothing() {
    let mut faults = Vec::new();
    for api in MODERN_APIS {
        for fault in BREAKS {
            faults.extend(["next=1", "next=3"].map(|when| format!("{api}:{fault},{when}")));
        }
        faults.push(format!("{api}:drop-after,next=8"));
        faults.extend(["silence", "silence,after-work"].map(|fault| format!("{api}:{fault},next=1")));
    }
    for api in ["consumer-group-heartbeat", "offset-commit"] {
        faults.extend(["next=1,skip=1", "next=2,skip=2"].map(|when| format!("{api}:drop-after,{when}")));
    }
    all_read(&faults, &[CONSUMER], Cost::Nothing);
}

#[test]
fn in_the_consumer_protocol_what_may_pass_is_asked_again_until_it_has_passed() {
    let mut faults = Vec::new();
    for when in ["next=1", "next=3", "next=8"] {
        for code in ["COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR"] {
            faults.extend(MODERN_APIS.map(|api| format!("{api}:error={code},{when}")));
        }
        faults.push(format!("offset-commit:error=STALE_MEMBER_EPOCH,{when}"));
        faults.push(format!("offset-fetch:error=UNSTABLE_OFFSET_COMMIT,{when}"));
    }
    faults.push("consumer-group-heartbeat:error=UNRELEASED_INSTANCE_ID,next=1".to_owned());
    all_read(&faults, &[CONSUMER], Cost::Nothing);
}

#[test]
fn in_the_consumer_protocol_a_membership_that_is_lost_is_taken_up_again() {
    let faults = ["UNKNOWN_MEMBER_ID", "FENCED_MEMBER_EPOCH"]
        .iter()
        .flat_map(|code| ["", ",skip=3"].map(|when| format!("consumer-group-heartbeat:error={code},next=1{when}")));
    all_read(&faults.collect::<Vec<_>>(), &[CONSUMER], Cost::Membership);
}
