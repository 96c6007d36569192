//! Deadlines: every record ends by `message.timeout.ms`, every call by its own, and what remains works on.

use std::time::{Duration, Instant};

use krs::kafka::protocol::{ApiKey, ErrorCode};
use krs::{Config, ErrorKind};

use super::util::{Act, LONG, Scripted, with};
use super::{connect, names, send, single_records};

fn short(kafka: &Scripted) -> Config {
    with(single_records(kafka), &[("message.timeout.ms", "300")])
}

#[test]
fn a_record_that_may_be_in_the_log_ends_as_unknown_and_its_partition_goes_on() {
    for appended in [true, false] {
        let kafka = Scripted::single();
        let producer = connect(&short(&kafka));
        send(&producer, "before").wait().unwrap();
        kafka.script(move |asked| match asked.api {
            ApiKey::Produce if appended => Act::DropAfter,
            ApiKey::Produce => Act::Drop,
            _ => Act::Usual,
        });
        let error = send(&producer, "unknown").wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)), "{error}");
        let text = error.to_string();
        assert!(text.contains("message.timeout.ms"), "{text}");
        // On a machine with much to do the last try is still under way at the end.
        let causes = ["closed the connection", "connection lost", "waiting for the answer to Produce"];
        assert!(causes.iter().any(|cause| text.contains(cause)), "{text}");
        kafka.script(|_| Act::Usual);
        let after: Vec<_> = names(0..3).iter().map(|name| send(&producer, name)).collect();
        after.iter().for_each(|delivery| drop(delivery.wait().unwrap()));
        let mut expected = vec!["before".to_owned()];
        expected.extend(appended.then(|| "unknown".to_owned()));
        expected.extend(names(0..3));
        assert_eq!(kafka.values("t", 0), expected);
        assert_eq!(kafka.log("t", 0).last().unwrap().epoch, 1);
        assert_eq!(producer.counters().unknown, 1);
    }
}

#[test]
fn several_unknown_records_do_not_hide_those_behind_them() {
    let kafka = Scripted::single();
    let producer = connect(&short(&kafka));
    send(&producer, "before").wait().unwrap();
    kafka.script_produce([Act::Silence]);
    let lost: Vec<_> = names(0..4).iter().map(|name| send(&producer, name)).collect();
    let outcomes: Vec<_> = lost.iter().map(|delivery| delivery.wait()).collect();
    send(&producer, "after").wait().unwrap();
    let values = kafka.values("t", 0);
    assert_eq!((values.first().unwrap().as_str(), values.last().unwrap().as_str()), ("before", "after"));
    for (name, outcome) in names(0..4).iter().zip(outcomes) {
        let copies = values.iter().filter(|value| *value == name).count();
        match outcome {
            Ok(sent) => assert_eq!(&values[sent.offset() as usize], name),
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => assert!(copies <= 1, "{name}: {values:?}"),
            Err(error) => assert_eq!(copies, 0, "{name}: {error}"),
        }
    }
}

#[test]
fn a_record_that_never_left_fails_with_the_cause_named() {
    let kafka = Scripted::single();
    let producer = connect(&short(&kafka));
    producer.partition_count("t").unwrap();
    kafka.stop(1);
    let error = send(&producer, "x").wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let text = error.to_string();
    assert!(text.starts_with("t-0: ") && text.contains("300 ms (message.timeout.ms)"), "{text}");
    assert!(text.contains(&format!("connection refused at {}", kafka.address())), "{text}");
    assert_eq!(producer.counters().failed, 1);
}

#[test]
fn a_record_that_was_always_refused_fails_with_the_code() {
    let kafka = Scripted::single();
    let producer = connect(&short(&kafka));
    kafka.script(|asked| match asked.api {
        ApiKey::Produce => Act::Refuse(ErrorCode::NOT_ENOUGH_REPLICAS),
        _ => Act::Usual,
    });
    let error = send(&producer, "x").wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("NOT_ENOUGH_REPLICAS"), "{error}");
}

#[test]
fn a_record_without_a_leader_says_so() {
    let kafka = Scripted::start(1);
    kafka.create("t", &[None]);
    let producer = connect(&short(&kafka));
    let error = send(&producer, "x").wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("no leader"), "{error}");
}

#[test]
fn a_broker_that_never_answers_loses_its_connection() {
    let kafka = Scripted::single();
    let producer = connect(&with(kafka.config(), &[("request.timeout.ms", "100")]));
    kafka.script_produce([Act::Silence]);
    assert_eq!(send(&producer, "x").wait().unwrap().offset(), 0);
    assert_eq!(kafka.values("t", 0), ["x"]);
    assert_eq!(kafka.received(ApiKey::Produce), 2);
}

#[test]
fn waiting_has_its_own_end_and_loses_nothing() {
    let kafka = Scripted::single();
    let producer = connect(&kafka.config());
    let gate = super::Gate::default();
    kafka.script_produce([gate.then(Act::Usual)]);
    let delivery = send(&producer, "x");
    assert_eq!(delivery.wait_for(Duration::from_millis(5)).unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(producer.flush(Duration::from_millis(5)).unwrap_err().kind(), ErrorKind::Timeout);
    assert!(delivery.poll().is_none());
    assert_eq!(producer.counters().pending, 1);
    gate.open();
    producer.flush(LONG).unwrap();
    assert_eq!(delivery.poll().unwrap().unwrap().offset(), 0);
    producer.flush(Duration::ZERO).unwrap();
}

#[test]
fn closing_is_bounded_with_every_broker_gone() {
    let kafka = Scripted::single();
    let producer = connect(&single_records(&kafka));
    producer.partition_count("t").unwrap();
    kafka.stop(1);
    let deliveries: Vec<_> = names(0..3).iter().map(|name| send(&producer, name)).collect();
    let begun = Instant::now();
    let error = producer.close(Duration::from_millis(100)).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("3 records"), "{error}");
    for delivery in deliveries {
        let error = delivery.poll().expect("close leaves nothing open").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
}

#[test]
fn closing_is_bounded_with_a_silent_broker() {
    let kafka = Scripted::single();
    let producer = connect(&single_records(&kafka));
    kafka.script_produce([Act::Silence]);
    let delivery = send(&producer, "x");
    kafka.await_received(ApiKey::Produce, 1);
    assert_eq!(producer.close(Duration::from_millis(50)).unwrap_err().kind(), ErrorKind::Timeout);
    let error = delivery.poll().expect("close leaves nothing open").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
}

#[test]
fn closing_sends_what_lingers() {
    let kafka = Scripted::single();
    let producer = connect(&with(kafka.config(), &[("linger.ms", "60000")]));
    send(&producer, "first");
    producer.flush(LONG).unwrap();
    for name in names(0..10) {
        send(&producer, &name);
        // Time enough for a sender that does not wait.
        std::thread::sleep(Duration::from_millis(2));
    }
    producer.close(LONG).unwrap();
    assert_eq!(kafka.values("t", 0)[1..], names(0..10));
    assert_eq!(kafka.received(ApiKey::Produce), 2, "all ten were to wait for company");
}

#[test]
fn lingering_ends_by_itself() {
    let kafka = Scripted::single();
    let producer = connect(&with(kafka.config(), &[("linger.ms", "40")]));
    producer.partition_count("t").unwrap();
    let deliveries: Vec<_> = names(0..10).iter().map(|name| send(&producer, name)).collect();
    deliveries.iter().for_each(|delivery| drop(delivery.wait().unwrap()));
    assert_eq!(kafka.values("t", 0), names(0..10));
}

#[test]
fn dropping_ends_open_deliveries() {
    let kafka = Scripted::single();
    let producer = connect(&single_records(&kafka));
    send(&producer, "before").wait().unwrap();
    let gate = super::Gate::default();
    kafka.script_produce([gate.then(Act::Usual)]);
    let deliveries: Vec<_> = names(0..8).iter().map(|name| send(&producer, name)).collect();
    kafka.await_received(ApiKey::Produce, 2);
    drop(producer);
    let errors: Vec<_> = deliveries.iter().map(|delivery| delivery.wait().unwrap_err()).collect();
    assert_eq!(errors[0].kind(), ErrorKind::OutcomeUnknown, "{}", errors[0]);
    assert_eq!(errors[7].kind(), ErrorKind::State, "{}", errors[7]);
    assert!(errors[7].to_string().contains("dropped"), "{}", errors[7]);
}
