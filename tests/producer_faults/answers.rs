//! What becomes of batches whose answers are errors, or never come.

use krs::ErrorKind;
use krs::kafka::protocol::{ApiKey, ErrorCode};

use super::util::{Act, LONG, Scripted, with};
use super::{connect, five_in_flight, names, send, single_records};

#[test]
fn a_record_arrives() {
    let kafka = Scripted::single();
    let producer = connect(&kafka.config());
    assert_eq!(send(&producer, "hello").wait().unwrap().to_string(), "t-0@0");
    assert_eq!(kafka.values("t", 0), ["hello"]);
    producer.close(LONG).unwrap();
}

/// The one failure that idempotence is for: appended, and the answer lost with the connection.
#[test]
fn an_answer_lost_after_the_append_leaves_one_copy() {
    let kafka = Scripted::single();
    let producer = connect(&kafka.config());
    kafka.script_produce([Act::DropAfter]);
    assert_eq!(send(&producer, "once").wait().unwrap().offset(), 0);
    assert_eq!(send(&producer, "next").wait().unwrap().offset(), 1);
    assert_eq!(kafka.values("t", 0), ["once", "next"]);
    assert!(producer.counters().retried_batches >= 1);
}

#[test]
fn what_comes_back_keeps_its_order_whatever_the_reason() {
    use ErrorCode as Code;
    let mut acts = vec![Act::Drop, Act::DropAfter];
    acts.extend(
        [
            Code::CORRUPT_MESSAGE,
            Code::UNKNOWN_TOPIC_OR_PARTITION,
            Code::LEADER_NOT_AVAILABLE,
            Code::NOT_LEADER_OR_FOLLOWER,
            Code::REQUEST_TIMED_OUT,
            Code::NETWORK_EXCEPTION,
            Code::NOT_ENOUGH_REPLICAS,
            Code::KAFKA_STORAGE_ERROR,
            Code::FENCED_LEADER_EPOCH,
            Code::OUT_OF_ORDER_SEQUENCE_NUMBER,
            Code::UNKNOWN_PRODUCER_ID,
            Code::INVALID_PRODUCER_EPOCH,
            Code::INVALID_PRODUCER_ID_MAPPING,
        ]
        .map(Act::Refuse),
    );
    acts.extend(
        [
            Code::REQUEST_TIMED_OUT,
            Code::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            Code::NOT_LEADER_OR_FOLLOWER,
            Code::KAFKA_STORAGE_ERROR,
        ]
        .map(Act::RefuseAfterAppend),
    );
    for act in acts {
        let kafka = Scripted::single();
        let producer = connect(&single_records(&kafka));
        let label = format!("{act:?}");
        for (offset, delivery) in five_in_flight(&kafka, &producer, act).iter().enumerate() {
            let sent = delivery.wait().unwrap_or_else(|error| panic!("{label}: {error}"));
            assert_eq!(sent.offset(), offset as i64, "{label}");
        }
        assert_eq!(kafka.values("t", 0), names(0..6), "{label}");
    }
}

/// A broker that has never heard of a producer takes any first sequence from it. So if the first batch of all is
/// refused, one behind it in flight would be appended before it.
#[test]
fn the_first_batch_of_all_is_not_overtaken() {
    for code in [ErrorCode::NOT_ENOUGH_REPLICAS, ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::REQUEST_TIMED_OUT] {
        let kafka = Scripted::single();
        let producer = connect(&single_records(&kafka));
        producer.partition_count("t").unwrap();
        kafka.script_produce([Act::Refuse(code)]);
        let deliveries: Vec<_> = names(0..5).iter().map(|name| send(&producer, name)).collect();
        producer.flush(LONG).unwrap();
        deliveries.iter().for_each(|delivery| drop(delivery.wait().unwrap()));
        assert_eq!(kafka.values("t", 0), names(0..5), "{code}");
    }
}

#[test]
fn a_rejected_batch_fails_alone_and_the_rest_goes_on_under_a_new_epoch() {
    for code in [ErrorCode::MESSAGE_TOO_LARGE, ErrorCode::INVALID_RECORD, ErrorCode(999)] {
        let kafka = Scripted::single();
        let producer = connect(&single_records(&kafka));
        let deliveries = five_in_flight(&kafka, &producer, Act::Refuse(code));
        let error = deliveries[1].wait().unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Broker, Some(code)), "{error}");
        assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)), "{error}");
        for (place, delivery) in deliveries.iter().enumerate().filter(|(place, _)| *place != 1) {
            delivery.wait().unwrap_or_else(|error| panic!("{code}, record {place}: {error}"));
        }
        assert_eq!(kafka.values("t", 0), ["r0.", "r2.", "r3.", "r4.", "r5."], "{code}");
        let epochs: Vec<_> = kafka.log("t", 0).iter().map(|record| record.epoch).collect();
        assert_eq!(epochs, [0, 1, 1, 1, 1], "{code}");
        let counters = producer.counters();
        assert_eq!((counters.acknowledged, counters.failed, counters.unknown, counters.pending), (5, 1, 0, 0));
    }
}

#[test]
fn a_rejection_after_a_retry_still_carries_its_code() {
    let kafka = Scripted::single();
    let producer = connect(&kafka.config());
    kafka.script_produce([Act::Refuse(ErrorCode::NOT_ENOUGH_REPLICAS), Act::Refuse(ErrorCode::MESSAGE_TOO_LARGE)]);
    let error = send(&producer, "large").wait().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::MESSAGE_TOO_LARGE), "{error}");
    assert_eq!((error.topic(), error.partition()), (Some("t"), Some(0)), "{error}");
}

/// A broker tells a repetition from a gap only among a producer's last five batches. Batches behind one that may be in
/// the log went on being sent, and when it was out of sight, "out of order" was taken to mean that it was not there.
#[test]
fn a_batch_that_may_be_in_the_log_does_not_get_out_of_the_brokers_sight() {
    let kafka = Scripted::single();
    let producer = connect(&single_records(&kafka));
    send(&producer, "r0.").wait().unwrap();
    let mut tries = 0;
    let tries = std::sync::Mutex::new(move || {
        tries += 1;
        tries
    });
    kafka.script(move |asked| {
        if asked.api != ApiKey::Produce || !asked.payload.contains("r1.") {
            return Act::Usual;
        }
        match (tries.lock().unwrap())() {
            1 => Act::RefuseAfterAppend(ErrorCode::REQUEST_TIMED_OUT),
            2..6 => Act::Refuse(ErrorCode::NOT_ENOUGH_REPLICAS),
            _ => Act::Usual,
        }
    });
    let deliveries: Vec<_> = names(1..40).iter().map(|name| send(&producer, name)).collect();
    producer.flush(LONG).unwrap();
    deliveries.iter().for_each(|delivery| drop(delivery.wait().unwrap()));
    assert_eq!(kafka.values("t", 0), names(0..40));
}

/// It was appended and its answer lost; then the broker forgot the producer. Under a new epoch it would be there twice.
#[test]
fn what_may_be_in_the_log_is_not_sent_again_to_a_broker_that_forgot_the_producer() {
    for code in [ErrorCode::UNKNOWN_PRODUCER_ID, ErrorCode::INVALID_PRODUCER_ID_MAPPING] {
        let kafka = Scripted::single();
        let producer = connect(&kafka.config());
        kafka.script_produce([Act::DropAfter, Act::Refuse(code)]);
        let error = send(&producer, "once").wait().unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::OutcomeUnknown, Some(code)), "{error}");
        assert_eq!(send(&producer, "next").wait().unwrap().offset(), 1);
        assert_eq!(kafka.values("t", 0), ["once", "next"]);
    }
}

#[test]
fn a_known_duplicate_counts_as_acknowledged() {
    let kafka = Scripted::single();
    let producer = connect(&kafka.config());
    kafka.script_produce([Act::RefuseAfterAppend(ErrorCode::DUPLICATE_SEQUENCE_NUMBER)]);
    assert_eq!(send(&producer, "again").wait().unwrap().offset(), -1, "where it is, nobody knows");
    assert_eq!(kafka.values("t", 0), ["again"]);
}

#[test]
fn a_new_leader_gets_what_was_in_flight_to_the_old_one() {
    let kafka = Scripted::start(2);
    kafka.create("t", &[Some(1)]);
    let producer = connect(&single_records(&kafka));
    send(&producer, "r0.").wait().unwrap();
    let gate = super::Gate::default();
    kafka.script_produce([gate.then(Act::Usual)]);
    let deliveries: Vec<_> = names(1..6).iter().map(|name| send(&producer, name)).collect();
    kafka.await_received(ApiKey::Produce, 2);
    kafka.lead("t", 0, Some(2));
    gate.open();
    producer.flush(LONG).unwrap();
    deliveries.iter().for_each(|delivery| drop(delivery.wait().unwrap()));
    assert_eq!(kafka.values("t", 0), names(0..6));
}

#[test]
fn a_broker_that_goes_away_leaves_its_partitions_to_another() {
    let kafka = Scripted::start(2);
    kafka.create("t", &[Some(1)]);
    let producer = connect(&single_records(&kafka));
    let first = send(&producer, "r0.");
    first.wait().unwrap();
    kafka.stop(1);
    let deliveries: Vec<_> = names(1..6).iter().map(|name| send(&producer, name)).collect();
    kafka.lead("t", 0, Some(2));
    deliveries.iter().for_each(|delivery| drop(delivery.wait().unwrap()));
    assert_eq!(kafka.values("t", 0), names(0..6));
}

#[test]
fn a_restarted_broker_is_found_again() {
    let kafka = Scripted::single();
    let producer = connect(&single_records(&kafka));
    send(&producer, "r0.").wait().unwrap();
    kafka.stop(1);
    let deliveries: Vec<_> = names(1..6).iter().map(|name| send(&producer, name)).collect();
    kafka.restart(1);
    deliveries.iter().for_each(|delivery| drop(delivery.wait().unwrap()));
    assert_eq!(kafka.values("t", 0), names(0..6));
}

/// Nobody else asks for metadata here: a partition without a leader must be asked about until it has one.
#[test]
fn a_partition_without_a_leader_waits_for_one() {
    let kafka = Scripted::start(1);
    kafka.create("t", &[None]);
    let producer = connect(&kafka.config());
    let delivery = send(&producer, "patience");
    let asked = kafka.received(ApiKey::Metadata);
    kafka.await_received(ApiKey::Metadata, asked + 2);
    kafka.lead("t", 0, Some(1));
    assert_eq!(delivery.wait().unwrap().offset(), 0);

    kafka.lead("t", 0, None);
    let delivery = send(&producer, "again");
    let asked = kafka.received(ApiKey::Metadata);
    kafka.await_received(ApiKey::Metadata, asked + 2);
    kafka.lead("t", 0, Some(1));
    assert_eq!(delivery.wait().unwrap().offset(), 1);
}

#[test]
fn retries_are_counted_for_answers_and_then_used_up() {
    let kafka = Scripted::single();
    let producer = connect(&with(kafka.config(), &[("retries", "3")]));
    kafka.script_produce(vec![Act::Refuse(ErrorCode::NOT_ENOUGH_REPLICAS); 4]);
    let error = send(&producer, "no").wait().unwrap_err();
    assert_eq!(kafka.received(ApiKey::Produce), 4);
    assert_eq!((error.kind(), error.code()), (ErrorKind::Broker, Some(ErrorCode::NOT_ENOUGH_REPLICAS)), "{error}");
    let text = error.to_string();
    assert!(text.contains("3 retries") && text.contains("NOT_ENOUGH_REPLICAS"), "{text}");
    assert_eq!(send(&producer, "yes").wait().unwrap().offset(), 0);
}

#[test]
fn stale_metadata_and_lost_connections_use_up_no_retries() {
    let kafka = Scripted::single();
    let producer = connect(&with(kafka.config(), &[("retries", "1")]));
    let stale = [ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION].map(Act::Refuse);
    kafka.script_produce(stale.into_iter().cycle().take(6).chain([Act::Drop, Act::Drop]));
    assert_eq!(send(&producer, "at last").wait().unwrap().offset(), 0);
    assert_eq!(kafka.received(ApiKey::Produce), 9);
}

#[test]
fn retries_that_end_unknown_say_so() {
    let kafka = Scripted::single();
    let producer = connect(&with(kafka.config(), &[("retries", "1")]));
    kafka.script_produce(vec![Act::RefuseAfterAppend(ErrorCode::REQUEST_TIMED_OUT); 2]);
    let error = send(&producer, "perhaps").wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert_eq!(send(&producer, "next").wait().unwrap().offset(), 1);
    assert_eq!(kafka.values("t", 0), ["perhaps", "next"]);
    assert_eq!(producer.counters().unknown, 1);
}

#[test]
fn a_producer_id_is_asked_for_until_there_is_one() {
    let kafka = Scripted::single();
    kafka.script(|asked| match asked.api {
        ApiKey::InitProducerId if asked.nth == 0 => Act::Refuse(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
        ApiKey::InitProducerId if asked.nth == 1 => Act::DropAfter,
        _ => Act::Usual,
    });
    let producer = connect(&kafka.config());
    assert_eq!(send(&producer, "x").wait().unwrap().offset(), 0);
}

#[test]
fn a_producer_that_may_not_write_is_told_at_once() {
    let kafka = Scripted::single();
    kafka.script(|asked| match asked.api {
        ApiKey::InitProducerId => Act::Refuse(ErrorCode::CLUSTER_AUTHORIZATION_FAILED),
        _ => Act::Usual,
    });
    let producer = connect(&kafka.config());
    let error = send(&producer, "x").wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    kafka.script_produce([Act::Refuse(ErrorCode::TOPIC_AUTHORIZATION_FAILED)]);
    let error = send(&producer, "y").wait().unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::Refused, Some("t")), "{error}");
}

#[test]
fn without_idempotence_nothing_is_lost() {
    let kafka = Scripted::single();
    let producer = connect(&with(single_records(&kafka), &[("acks", "1")]));
    let deliveries = five_in_flight(&kafka, &producer, Act::Drop);
    deliveries.iter().for_each(|delivery| drop(delivery.wait().unwrap()));
    assert_eq!(kafka.values("t", 0), names(0..6));
    assert!(kafka.log("t", 0).iter().all(|record| record.producer_id == -1));
    assert_eq!(kafka.received(ApiKey::InitProducerId), 0);
}

#[test]
fn with_acks_0_nobody_answers() {
    let kafka = Scripted::single();
    let producer = connect(&with(single_records(&kafka), &[("acks", "0")]));
    let deliveries: Vec<_> = names(0..20).iter().map(|name| send(&producer, name)).collect();
    assert!(deliveries.iter().all(|delivery| delivery.wait().unwrap().offset() == -1));
    kafka.await_records("t", 0, 20);
    assert_eq!(kafka.values("t", 0), names(0..20));
    kafka.stop(1);
    kafka.restart(1);
    // What is sent into a connection that nobody serves any more is lost, and counts as sent: that is acks=0.
    while kafka.values("t", 0).last().is_none_or(|last| last != "back") {
        send(&producer, "back").wait().unwrap();
    }
}
