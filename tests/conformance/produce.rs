//! Producing, as a program sees it.

use std::collections::BTreeSet;
use std::time::Instant;

use krs::kafka::protocol::ErrorCode;
use krs::{ErrorKind, Header, Producer, Record};

use crate::support::{LONG, kafka, numbers, partitions, read, take, unique, until};
use crate::wire::{ATTRIBUTES, Topic, Wire};

#[test]
fn each_acks_setting_writes_every_record_once_and_in_order() {
    let topic = unique("acks");
    kafka().create(&topic, 1);
    let mut reader = kafka().reader(&partitions(&topic, 1), &[]);
    for (acks, begin) in [("all", 0), ("1", 100), ("0", 200)] {
        let producer = kafka().producer(&[("acks", acks)]);
        let send = |number: i64| producer.send(Record::to(&topic).value(&number.to_string())).unwrap();
        let deliveries: Vec<_> = (begin..begin + 100).map(send).collect();
        for (delivery, offset) in deliveries.iter().zip(begin..) {
            let told = delivery.wait().unwrap().offset();
            assert_eq!(told, if acks == "0" { -1 } else { offset });
        }
        let entries = take(&mut reader, 100);
        assert_eq!(numbers(&entries), Vec::from_iter(begin..begin + 100));
        assert!(entries.iter().map(|entry| entry.offset).eq(begin..begin + 100));
        producer.close(LONG).unwrap();
    }
    reader.close(LONG).unwrap();
}

#[test]
fn records_posted_without_handles_one_by_one_or_together_keep_their_order() {
    let topic = unique("posted");
    kafka().create(&topic, 1);
    // Batches fill up in the middle of what is handed over together.
    let producer = kafka().producer(&[("batch.size", "2000"), ("linger.ms", "5")]);
    let values: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    let records: Vec<_> = values.iter().map(|value| Record::to(&topic).value(value)).collect();
    let (single, mut together) = records.split_at(100);
    single.iter().for_each(|record| producer.post(record.clone()).unwrap());
    for size in [0, 1, 2, 63, 64, 65, 66, 500, 5000] {
        let (now, later) = together.split_at(together.len().min(size));
        producer.post_all(now).unwrap();
        together = later;
    }
    assert!(together.is_empty());
    producer.flush(LONG).unwrap();
    let counters = producer.counters();
    assert_eq!((counters.acknowledged, counters.failed), (2000, 0));
    producer.close(LONG).unwrap();
    assert_eq!(numbers(&read(&topic, 1)), Vec::from_iter(0..2000));
}

#[test]
fn records_posted_together_go_each_to_its_own_place_up_to_the_first_that_cannot() {
    let topics = [unique("mixed-a"), unique("mixed-b")];
    topics.iter().for_each(|topic| kafka().create(topic, 2));
    let producer = kafka().producer(&[]);
    let values: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let mut records: Vec<_> = (0..100)
        .map(|number| Record::to(&topics[number / 3 % 2]).partition(number as i32 / 7 % 2).value(&values[number]))
        .collect();
    producer.post_all(&records).unwrap();
    records[60] = Record::to(&topics[0]).partition(2).value("nowhere");
    let refused = producer.post_all(&records).unwrap_err();
    assert_eq!((refused.taken, refused.error.kind()), (60, ErrorKind::Config));
    producer.close(LONG).unwrap();
    for (at, topic) in topics.iter().enumerate() {
        for partition in 0..2 {
            let here = |number: &i64| (number / 3 % 2, number / 7 % 2) == (at as i64, partition);
            let expected: Vec<i64> = (0..100).chain(0..60).filter(here).collect();
            let entries = read(topic, 2).into_iter().filter(|entry| i64::from(entry.partition) == partition);
            assert_eq!(numbers(&entries.collect::<Vec<_>>()), expected, "{topic}-{partition}");
        }
    }
}

#[test]
fn records_posted_together_take_their_turns_round_robin() {
    let topic = unique("turns");
    kafka().create(&topic, 3);
    let producer = kafka().producer(&[("partitioner.class", "RoundRobinPartitioner")]);
    let values: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    let records: Vec<_> = values.iter().map(|value| Record::to(&topic).value(value)).collect();
    producer.post_all(&records).unwrap();
    producer.close(LONG).unwrap();
    let entries = read(&topic, 3);
    let in_partition = |partition| entries.iter().filter(|entry| entry.partition == partition).count();
    assert_eq!([0, 1, 2].map(in_partition), [10; 3]);
}

/// The broker keeps a batch as it came: the log has the codec that the producer chose.
#[test]
fn records_of_each_codec_are_stored_in_it_and_come_back() {
    let codecs: &[&str] =
        if cfg!(feature = "compression") { &["none", "gzip", "snappy", "lz4", "zstd"] } else { &["none"] };
    for (codec, id) in codecs.iter().zip(0..) {
        let topic = Topic::create(codec, 1);
        let producer = kafka().producer(&[("compression.type", codec), ("linger.ms", "1000")]);
        let filler = "filler ".repeat(20);
        for number in 0..500 {
            producer.send(Record::to(&topic.name).value(&number.to_string()).header("filler", &filler)).unwrap();
        }
        producer.close(LONG).unwrap();
        let entries = read(&topic.name, 1);
        assert_eq!(numbers(&entries), Vec::from_iter(0..500), "{codec}");
        let headers = vec![(b"filler".to_vec(), Some(filler.clone().into_bytes()))];
        assert!(entries.iter().all(|entry| entry.headers == headers), "{codec}");

        let answer = Wire::leader(&topic, 0).ask(&topic.fetch(0, 0));
        let records = answer.responses[0].partitions[0].records.clone().unwrap();
        assert_eq!(records[ATTRIBUTES + 1] & 7, id, "{codec}");
        assert_eq!(records.len() < 20_000, *codec != "none", "{codec}: {} bytes", records.len());
    }
}

#[test]
fn records_come_back_exactly_as_they_were_sent() {
    let topic = unique("exact");
    kafka().create_for_old_records(&topic, 1);
    let every_byte: Vec<u8> = (0..=255).collect();
    let headers = [
        Header::new("a", "1"),
        Header::new("a", "2"),
        Header { key: "null", value: None },
        Header::new("empty", ""),
        Header::new("", &every_byte),
        Header::new("ünicode", "ü"),
    ];
    let records = [
        Record::to(&topic).timestamp(0),
        Record::to(&topic).key("").value("").timestamp(1),
        Record::to(&topic).key("tombstone").timestamp(1_600_000_000_123),
        Record::to(&topic).value("keyless").timestamp(1_600_000_000_122),
        Record::to(&topic).key(&every_byte).value(&every_byte).timestamp(1_600_000_000_121),
        Record::to(&topic).value("with headers").headers(&headers).timestamp(1_500_000_000_000),
    ];
    let producer = kafka().producer(&[("linger.ms", "100")]);
    let deliveries: Vec<_> = records.iter().map(|record| producer.send(record.clone()).unwrap()).collect();
    for delivery in deliveries {
        assert_eq!(delivery.wait().unwrap().log_append_time(), None);
    }
    producer.close(LONG).unwrap();
    let entries = read(&topic, 1);
    assert_eq!(entries.len(), records.len());
    for (entry, record) in entries.iter().zip(&records) {
        assert_eq!(entry.key.as_deref(), record.key_bytes());
        assert_eq!(entry.value.as_deref(), record.value_bytes());
        assert_eq!(Some(entry.timestamp), record.timestamp_given());
        let sent = record.header_list().iter().map(|header| (header.key.as_bytes(), header.value));
        assert!(entry.headers.iter().map(|(key, value)| (&key[..], value.as_deref())).eq(sent), "{entry:?}");
    }
}

/// So a key is always in the partition where Java's clients expect it.
#[test]
fn keys_go_to_the_partitions_that_java_chooses() {
    const COUNT: i32 = 7;
    let topic = unique("keys");
    kafka().create(&topic, COUNT);
    // What Kafka's own `Utils.murmur2` makes of them.
    let hashes: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    let producer = kafka().producer(&[]);
    for (key, hash) in hashes {
        let place = producer.send(Record::to(&topic).key(key).value(key)).unwrap().wait().unwrap();
        assert_eq!(place.partition(), (hash & i32::MAX) % COUNT, "{key}");
    }
    producer.close(LONG).unwrap();
    for entry in read(&topic, COUNT) {
        let (_, hash) = hashes.iter().find(|(key, _)| Some(key.as_bytes()) == entry.key.as_deref()).unwrap();
        assert_eq!(entry.partition, (hash & i32::MAX) % COUNT);
    }
}

#[test]
fn batches_for_many_partitions_travel_together_and_each_partition_counts_its_own() {
    let topic = unique("many");
    kafka().create(&topic, 12);
    let producer = kafka().producer(&[("linger.ms", "20")]);
    assert_eq!(producer.partition_count(&topic).unwrap(), 12);
    let send =
        |number: i32| producer.send(Record::to(&topic).partition(number % 12).value(&number.to_string())).unwrap();
    let deliveries: Vec<_> = (0..1200).map(send).collect();
    for (delivery, number) in deliveries.iter().zip(0..) {
        let place = delivery.wait().unwrap();
        assert_eq!((place.partition(), place.offset()), (number % 12, i64::from(number / 12)));
    }
    producer.close(LONG).unwrap();
    let entries = read(&topic, 12);
    assert_eq!(entries.len(), 1200);
    assert!(entries.iter().all(|entry| entry.number() == entry.offset * 12 + i64::from(entry.partition)));
}

#[test]
fn keyless_records_find_a_partition_by_themselves() {
    let topic = unique("keyless");
    kafka().create(&topic, 3);
    let producer = kafka().producer(&[("partitioner.class", "RoundRobinPartitioner")]);
    for number in 0..30 {
        producer.send(Record::to(&topic).value(&number.to_string())).unwrap();
    }
    producer.close(LONG).unwrap();
    let entries = read(&topic, 3);
    let each = |partition| entries.iter().filter(|entry| entry.partition == partition).count();
    assert_eq!([each(0), each(1), each(2)], [10; 3]);
}

#[test]
fn a_record_and_a_batch_of_nearly_a_megabyte_pass() {
    let topic = unique("big");
    kafka().create(&topic, 1);
    let producer = kafka().producer(&[("linger.ms", "500"), ("batch.size", "1000000")]);
    let big = "x".repeat(1_000_000);
    let thousand = "y".repeat(1000);
    producer.send(Record::to(&topic).value(&big)).unwrap();
    for _ in 0..900 {
        producer.send(Record::to(&topic).value(&thousand)).unwrap();
    }
    producer.close(LONG).unwrap();
    let lengths: Vec<_> = read(&topic, 1).iter().map(|entry| entry.value.as_ref().unwrap().len()).collect();
    assert_eq!(lengths[0], 1_000_000);
    assert_eq!(lengths[1..], [1000; 900]);
}

/// The broker refuses one batch; those before and after it arrive.
#[test]
fn a_record_that_is_too_large_for_the_topic_fails_alone() {
    let topic = unique("large");
    kafka().create_with(&topic, 1, &[("max.message.bytes", "2000")]);
    let producer = kafka().producer(&[]);
    let large = "x".repeat(5000);
    let send = |value: &str| producer.send(Record::to(&topic).value(value)).unwrap();
    let before: Vec<_> = (0..10).map(|number| send(&number.to_string())).collect();
    let refused = send(&large);
    let after: Vec<_> = (10..20).map(|number| send(&number.to_string())).collect();
    let error = refused.wait().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Broker, Some(ErrorCode::MESSAGE_TOO_LARGE)), "{error}");
    assert_eq!((error.topic(), error.partition()), (Some(&*topic), Some(0)));
    let offsets = before.iter().chain(&after).map(|delivery| delivery.wait().unwrap().offset());
    assert!(offsets.eq(0..20));
    producer.close(LONG).unwrap();
    assert_eq!(numbers(&read(&topic, 1)), Vec::from_iter(0..20));
}

/// Also where brokers would create the topic: a client that only sends must not make one by a typing error.
#[test]
fn a_missing_topic_and_a_missing_partition_are_told() {
    let (missing, small) = (unique("missing"), unique("small"));
    let producer = kafka().producer(&[]);
    let begin = Instant::now();
    let error = producer.send(Record::to(&missing).value("x")).unwrap_err();
    assert!(error.to_string().contains(&missing) && error.to_string().contains("does not exist"), "{error}");
    kafka().create(&small, 2);
    let error = producer.send(Record::to(&small).partition(99).value("x")).unwrap_err();
    assert!(error.to_string().contains(&format!("{small}: there is no partition 99")), "{error}");
    assert!(begin.elapsed() < LONG / 2, "told before any time limit: {:?}", begin.elapsed());
    producer.send(Record::to(&small).partition(1).value("x")).unwrap().wait().unwrap();
    producer.close(LONG).unwrap();
}

/// Order and sequences on a topic made a moment ago, with five requests in flight and small batches.
#[test]
fn an_idempotent_producer_at_full_speed_writes_every_record_once_and_in_order() {
    let topic = unique("order");
    kafka().create(&topic, 3);
    let producer = kafka().producer(&[("batch.size", "2000"), ("max.in.flight.requests.per.connection", "5")]);
    for number in 0..6000 {
        producer.send(Record::to(&topic).partition(number % 3).value(&number.to_string())).unwrap();
    }
    producer.close(LONG).unwrap();
    let entries = read(&topic, 3);
    assert_eq!(entries.len(), 6000);
    assert!(entries.iter().all(|entry| entry.number() == entry.offset * 3 + i64::from(entry.partition)));
}

#[test]
fn producers_that_share_a_partition_keep_their_own_order() {
    let topic = unique("shared");
    kafka().create(&topic, 1);
    let offsets: Vec<Vec<i64>> = std::thread::scope(|scope| {
        let produce = |origin: &'static str| {
            let topic = &topic;
            move || {
                let producer: Producer = kafka().producer(&[("batch.size", "500")]);
                let send =
                    |number: i32| producer.send(Record::to(topic).key(origin).value(&number.to_string())).unwrap();
                let deliveries: Vec<_> = (0..500).map(send).collect();
                deliveries.iter().map(|delivery| delivery.wait().unwrap().offset()).collect()
            }
        };
        let threads = ["a", "b", "c"].map(|origin| scope.spawn(produce(origin)));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let all: BTreeSet<i64> = offsets.iter().flatten().copied().collect();
    assert!(all.into_iter().eq(0..1500));
    let entries = read(&topic, 1);
    for (origin, offsets) in ["a", "b", "c"].iter().zip(&offsets) {
        let own: Vec<_> = entries.iter().filter(|entry| entry.key.as_deref() == Some(origin.as_bytes())).collect();
        assert!(own.iter().map(|entry| entry.number()).eq(0..500));
        assert!(own.iter().map(|entry| entry.offset).eq(offsets.iter().copied()));
    }
}

#[test]
fn times_are_the_producers_or_the_brokers_as_the_topic_says() {
    for (kind, brokers) in [("CreateTime", false), ("LogAppendTime", true)] {
        let topic = unique("time");
        kafka().create_with(&topic, 1, &[("message.timestamp.type", kind), ("retention.ms", "-1")]);
        let producer = kafka().producer(&[]);
        let given = 1_600_000_000_123;
        let place = producer.send(Record::to(&topic).value("x").timestamp(given)).unwrap().wait().unwrap();
        producer.close(LONG).unwrap();
        assert_eq!(place.log_append_time().is_some(), brokers);
        assert!(place.log_append_time().is_none_or(|time| time > given));
        let entries = read(&topic, 1);
        assert_eq!(entries[0].timestamp, place.log_append_time().unwrap_or(given));
    }
}

#[test]
fn a_time_too_far_ahead_is_refused_where_the_topic_says_so() {
    let topic = unique("ahead");
    kafka().create_with(&topic, 1, &[("message.timestamp.after.max.ms", "3600000")]);
    let producer = kafka().producer(&[]);
    let error = producer.send(Record::to(&topic).value("x").timestamp(i64::MAX / 2)).unwrap().wait().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Broker, Some(ErrorCode::INVALID_TIMESTAMP)), "{error}");
    producer.send(Record::to(&topic).value("x")).unwrap().wait().unwrap();
    producer.close(LONG).unwrap();
}

#[test]
fn a_compacted_topic_takes_no_record_without_a_key() {
    let topic = unique("compacted");
    kafka().create_with(&topic, 1, &[("cleanup.policy", "compact")]);
    let producer = kafka().producer(&[]);
    let error = producer.send(Record::to(&topic).value("x")).unwrap().wait().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Broker, Some(ErrorCode::INVALID_RECORD)), "{error}");
    producer.send(Record::to(&topic).key("k").value("x")).unwrap().wait().unwrap();
    producer.send(Record::to(&topic).key("k")).unwrap().wait().unwrap();
    producer.close(LONG).unwrap();
}

#[test]
fn callbacks_are_told_what_handles_are_told() {
    let topic = unique("callbacks");
    kafka().create(&topic, 1);
    let (told, places) = std::sync::mpsc::channel();
    let producer = kafka().producer(&[]);
    for number in 0..50 {
        let told = told.clone();
        let record = Record::to(&topic).value("x");
        producer.send_with(record, move |place| told.send((number, place.clone())).unwrap()).unwrap();
    }
    producer.flush(LONG).unwrap();
    for expected in 0..50 {
        let (number, place) = until("a callback", || places.try_recv().ok());
        assert_eq!((number, place.unwrap().offset()), (expected, expected));
    }
    let counters = producer.counters();
    assert_eq!((counters.acknowledged, counters.pending, counters.failed), (50, 0, 0));
    producer.close(LONG).unwrap();
}
