//! What only a real broker's answers can tell of the producer.

use std::time::{Duration, Instant};

use krs::{ErrorKind, Producer, Record};

use crate::support::{LONG, kafka, unique};

/// Also where brokers would create the topic: a client that only sends must not make one by a typing error.
#[test]
fn a_missing_topic_and_a_missing_partition_are_told_within_ten_seconds() {
    let kafka = kafka();
    let producer = Producer::connect(&kafka.config()).unwrap();
    let (missing, small) = (unique("missing"), unique("small"));
    let begin = Instant::now();
    let error = producer.send(Record::to(&missing).value("x")).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(error.to_string().contains(&missing), "{error}");
    assert!(error.to_string().contains("does not exist"), "{error}");

    kafka.create(&small, 2);
    let begin = Instant::now();
    let error = producer.send(Record::to(&small).partition(99).value("x")).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(error.to_string().contains(&format!("{small}: there is no partition 99")), "{error}");
    producer.send(Record::to(&small).partition(1).value("x")).unwrap().wait().unwrap();
    producer.close(LONG).unwrap();
}

/// The broker refuses one batch; those before and after it arrive.
#[test]
fn a_record_that_is_too_large_for_the_topic_fails_alone() {
    let kafka = kafka();
    let topic = unique("large");
    kafka.create_with(&topic, 1, &[("max.message.bytes", "2000")]);
    let producer = Producer::connect(&kafka.config()).unwrap();
    let large = "x".repeat(5000);
    let before: Vec<_> = (0..10).map(|_| producer.send(Record::to(&topic).value("before")).unwrap()).collect();
    let refused = producer.send(Record::to(&topic).value(&large)).unwrap();
    let after: Vec<_> = (0..10).map(|_| producer.send(Record::to(&topic).value("after")).unwrap()).collect();
    let error = refused.wait().unwrap_err();
    assert!(error.to_string().contains("MESSAGE_TOO_LARGE"), "{error}");
    let places: Vec<_> = before.iter().chain(&after).map(|delivery| delivery.wait().unwrap().offset()).collect();
    assert!(places.iter().copied().eq(0..20), "{places:?}");
    assert_eq!(kafka.log(&topic).len(), 20);
    producer.close(LONG).unwrap();
}

#[test]
fn acks_0_and_1_need_no_idempotence() {
    let kafka = kafka();
    let topic = unique("acks");
    kafka.create(&topic, 1);
    for acks in ["0", "1"] {
        let producer = Producer::connect(&kafka.config().set("acks", acks).unwrap()).unwrap();
        let deliveries: Vec<_> = (0..100).map(|_| producer.send(Record::to(&topic).value(acks)).unwrap()).collect();
        producer.flush(LONG).unwrap();
        for delivery in deliveries {
            let offset = delivery.wait().unwrap().offset();
            assert_eq!(offset < 0, acks == "0");
        }
        producer.close(LONG).unwrap();
    }
    assert_eq!(kafka.log(&topic).len(), 200);
}

/// Order and sequences on a topic made a moment ago, with five requests in flight and small batches.
#[test]
fn order_is_kept_on_a_new_topic_at_full_speed() {
    let kafka = kafka();
    for _ in 0..3 {
        let topic = unique("order");
        kafka.create(&topic, 3);
        let producer = Producer::connect(&kafka.config().set("batch.size", 2000).unwrap()).unwrap();
        for number in 0..6000 {
            let value = number.to_string();
            producer.send(Record::to(&topic).partition(number % 3).value(&value)).unwrap();
        }
        producer.close(LONG).unwrap();
        let log = kafka.log(&topic);
        assert_eq!(log.len(), 6000);
        for partition in 0..3 {
            let values =
                log.iter().filter(|entry| entry.partition == partition).map(|entry| entry.value.clone().unwrap());
            assert!(values.eq((0..2000).map(|n| (n * 3 + partition).to_string())), "partition {partition}");
        }
    }
}

/// A name that differs from an existing one only in `.` and `_` is refused in the broker's words.
#[test]
fn a_colliding_topic_name_is_refused_in_the_brokers_words() {
    let kafka = kafka();
    let name = unique("col_lision");
    kafka.create(&name, 1);
    let other = name.replace('_', ".");
    let new = krs::NewTopic { name: &other, partitions: 1, replication_factor: 1, configs: &[] };
    let error = krs::Admin::connect(&kafka.config()).unwrap().create_topic(&new).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Broker);
    assert!(error.to_string().contains("collide"), "{error}");
}
