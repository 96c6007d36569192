//! Consuming without a group, as a program sees it.

use std::time::{Duration, Instant};

use krs::kafka::protocol::ErrorCode;
use krs::kafka::protocol::messages::DeleteRecordsRequest;
use krs::{ErrorKind, Record, TopicPartition};

use crate::admin::delete_records;
use crate::support::{Entry, LONG, TICK, kafka, numbers, partitions, poll, read, take, unique, until, write};
use crate::wire::{Batch, Topic, Wire};

#[test]
fn partitions_chosen_by_hand_are_sought_paused_and_resumed() {
    let topic = unique("assign");
    kafka().create(&topic, 2);
    write(&topic, 0, 0..100);
    let mut consumer = kafka().consumer(&[("auto.offset.reset", "earliest"), ("max.poll.records", "10")]);
    let [zero, one] = [0, 1].map(|partition| TopicPartition::new(topic.as_str(), partition));
    assert_eq!(consumer.poll(TICK).unwrap_err().kind(), ErrorKind::State);
    consumer.assign(&[zero.clone(), one.clone()]).unwrap();
    assert_eq!(consumer.assignment(), [zero.clone(), one.clone()]);
    assert_eq!(numbers(&take(&mut consumer, 10)), Vec::from_iter(0..10));
    assert_eq!(consumer.position(&zero).unwrap(), 10);
    assert_eq!(consumer.position(&one).unwrap(), 0);

    consumer.seek(&zero, 95).unwrap();
    assert_eq!(numbers(&take(&mut consumer, 5)), Vec::from_iter(95..100));
    consumer.seek_to_beginning(std::slice::from_ref(&zero)).unwrap();
    assert_eq!(numbers(&take(&mut consumer, 10)), Vec::from_iter(0..10));
    consumer.seek_to_end(std::slice::from_ref(&zero)).unwrap();
    assert_eq!(consumer.position(&zero).unwrap(), 100);

    consumer.seek(&zero, 50).unwrap();
    consumer.pause(std::slice::from_ref(&zero)).unwrap();
    assert_eq!(consumer.paused(), std::slice::from_ref(&zero));
    write(&topic, 1, 1000..1001);
    // The other partition goes on; this one stays where it is.
    assert_eq!(numbers(&take(&mut consumer, 1)), [1000]);
    assert_eq!(consumer.position(&zero).unwrap(), 50);
    consumer.resume(std::slice::from_ref(&zero)).unwrap();
    assert_eq!(numbers(&take(&mut consumer, 50)), Vec::from_iter(50..100));

    consumer.assign(std::slice::from_ref(&one)).unwrap();
    assert_eq!(consumer.seek(&zero, 0).unwrap_err().kind(), ErrorKind::State);
    assert_eq!(consumer.position(&one).unwrap(), 1);
    assert_eq!(consumer.commit().unwrap_err().kind(), ErrorKind::Config, "there is no group to commit to");
    consumer.close(LONG).unwrap();
}

#[test]
fn without_a_position_reading_starts_where_auto_offset_reset_says() {
    let topic = unique("reset");
    kafka().create(&topic, 1);
    write(&topic, 0, 0..20);
    let zero = TopicPartition::new(topic.as_str(), 0);
    let start = |reset: &str| {
        let mut consumer = kafka().consumer(&[("auto.offset.reset", reset)]);
        consumer.assign(std::slice::from_ref(&zero)).unwrap();
        consumer
    };
    let [mut earliest, mut latest, mut none] = ["earliest", "latest", "none"].map(start);
    assert_eq!(numbers(&take(&mut earliest, 20)), Vec::from_iter(0..20));
    assert!(poll(&mut latest).is_empty());
    assert_eq!(latest.position(&zero).unwrap(), 20);
    let error = none.poll(LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange, "{error}");
    assert!(error.to_string().contains(&topic) && error.to_string().contains("auto.offset.reset"), "{error}");

    write(&topic, 0, 20..23);
    assert_eq!(numbers(&take(&mut earliest, 3)), [20, 21, 22]);
    assert_eq!(numbers(&take(&mut latest, 3)), [20, 21, 22]);
    none.seek(&zero, 21).unwrap();
    assert_eq!(numbers(&take(&mut none, 2)), [21, 22]);

    // A position that is not in the log is treated alike.
    earliest.seek(&zero, 1_000_000).unwrap();
    assert_eq!(numbers(&take(&mut earliest, 23)), Vec::from_iter(0..23));
    latest.seek(&zero, 1_000_000).unwrap();
    until("a reset to the end", || {
        assert!(poll(&mut latest).is_empty());
        (latest.position(&zero).unwrap() == 23).then_some(())
    });
    none.seek(&zero, 1_000_000).unwrap();
    let begin = Instant::now();
    let error = none.poll(LONG).unwrap_err();
    assert!(begin.elapsed() < LONG / 2, "an error ends the wait for records");
    assert_eq!((error.kind(), error.offset()), (ErrorKind::OffsetOutOfRange, Some(1_000_000)), "{error}");
    for consumer in [earliest, latest, none] {
        consumer.close(LONG).unwrap();
    }
}

#[test]
fn a_reader_in_the_middle_of_a_batch_gets_the_rest_of_it() {
    let topic = unique("middle");
    kafka().create(&topic, 1);
    let producer = kafka().producer(&[("linger.ms", "1000")]);
    for number in 0..100 {
        producer.send(Record::to(&topic).value(&number.to_string())).unwrap();
    }
    producer.close(LONG).unwrap();
    let all = partitions(&topic, 1);
    let mut consumer = kafka().reader(&all, &[]);
    for offset in [99, 1, 50, 0] {
        consumer.seek(&all[0], offset).unwrap();
        let entries = take(&mut consumer, 100 - offset as usize);
        assert_eq!(numbers(&entries), Vec::from_iter(offset..100));
        assert!(entries.iter().map(|entry| entry.offset).eq(offset..100));
    }
    consumer.close(LONG).unwrap();
}

/// The broker answers a waiting fetch as soon as there is a record, not when its time is over.
#[test]
fn a_fetch_that_waits_is_answered_when_a_record_arrives() {
    let topic = unique("wakes");
    kafka().create(&topic, 1);
    let mut consumer = kafka().reader(&partitions(&topic, 1), &[("fetch.max.wait.ms", "25000")]);
    for number in 0..3 {
        assert!(poll(&mut consumer).is_empty());
        let begin = Instant::now();
        write(&topic, 0, number..number + 1);
        assert_eq!(numbers(&take(&mut consumer, 1)), [number]);
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    }
    consumer.close(LONG).unwrap();
}

#[test]
fn a_fetch_waits_for_its_least_bytes_and_no_longer_than_its_time() {
    let topic = Topic::create("least", 1);
    let mut wire = Wire::leader(&topic, 0);
    wire.produce(&topic, 0, &Batch::of(1).encode());
    let mut request = topic.fetch(0, 0);
    (request.max_wait_ms, request.min_bytes) = (700, 100_000);
    let begin = Instant::now();
    let answer = wire.ask(&request);
    assert!(begin.elapsed() >= Duration::from_millis(650), "{:?}", begin.elapsed());
    let found = &answer.responses[0].partitions[0];
    assert!(found.records.as_ref().is_some_and(|records| !records.is_empty()), "what there is comes all the same");

    // Enough arrives before the time is over.
    (request.max_wait_ms, request.min_bytes) = (30_000, 1000);
    let version = wire.latest::<krs::kafka::protocol::messages::FetchRequest>();
    let begin = Instant::now();
    let waiting = wire.send(version, &request);
    let mut other = Wire::leader(&topic, 0);
    other.produce(&topic, 0, &Batch::sized(500).encode());
    other.produce(&topic, 0, &Batch::sized(800).encode());
    let answer = wire.receive::<krs::kafka::protocol::messages::FetchRequest>(&waiting);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    let records = answer.responses[0].partitions[0].records.clone().unwrap();
    assert!(records.len() >= 1000, "{} bytes", records.len());
}

/// A record larger than any limit of a fetch still comes, alone.
#[test]
fn a_record_larger_than_the_limits_of_a_fetch_is_read() {
    let topic = unique("huge");
    kafka().create(&topic, 2);
    let producer = kafka().producer(&[]);
    let huge = "x".repeat(700_000);
    for value in ["small", &huge, "small", &huge] {
        for partition in 0..2 {
            producer.send(Record::to(&topic).partition(partition).value(value)).unwrap();
        }
        producer.flush(LONG).unwrap();
    }
    producer.close(LONG).unwrap();
    let limits = [("max.partition.fetch.bytes", "1000"), ("fetch.max.bytes", "1000")];
    let mut consumer = kafka().reader(&partitions(&topic, 2), &limits);
    let entries = take(&mut consumer, 8);
    for partition in 0..2 {
        let own = entries.iter().filter(|entry| entry.partition == partition);
        assert!(own.map(|entry| entry.value.as_ref().unwrap().len()).eq([5, 700_000, 5, 700_000]));
    }
    consumer.close(LONG).unwrap();
}

#[test]
fn many_partitions_are_read_together() {
    const COUNT: i32 = 60;
    let topic = unique("wide");
    kafka().create(&topic, COUNT);
    let producer = kafka().producer(&[]);
    for number in 0..600 {
        producer.send(Record::to(&topic).partition(number % COUNT).value(&number.to_string())).unwrap();
    }
    producer.close(LONG).unwrap();
    let entries = read(&topic, COUNT);
    assert_eq!(entries.len(), 600);
    assert!(entries.iter().all(|entry| entry.number() == entry.offset * i64::from(COUNT) + i64::from(entry.partition)));
}

#[test]
fn readers_do_not_disturb_each_other() {
    let topic = unique("readers");
    kafka().create(&topic, 1);
    let mut readers: Vec<_> = (0..3).map(|_| kafka().reader(&partitions(&topic, 1), &[])).collect();
    write(&topic, 0, 0..50);
    for reader in &mut readers {
        assert_eq!(numbers(&take(reader, 50)), Vec::from_iter(0..50));
    }
    for reader in readers {
        reader.close(LONG).unwrap();
    }
}

#[test]
fn a_topic_that_appears_later_is_read_from_its_first_record() {
    let topic = unique("later");
    let mut consumer = kafka().reader(&partitions(&topic, 3), &[]);
    for _ in 0..5 {
        assert!(poll(&mut consumer).is_empty());
    }
    kafka().create(&topic, 3);
    for partition in 0..3 {
        write(&topic, partition, 0..10);
    }
    let entries = take(&mut consumer, 30);
    for partition in 0..3 {
        let own = entries.iter().filter(|entry| entry.partition == partition);
        assert!(own.map(|entry| entry.number()).eq(0..10));
    }
    consumer.close(LONG).unwrap();
}

/// Ten megabytes that travel as next to nothing, where half a megabyte may wait: a fetcher unfolds them as they are taken,
/// and nothing that happens meanwhile makes it stand still, skip or repeat.
#[test]
#[cfg(feature = "compression")]
fn a_backlog_that_unfolds_to_far_more_than_the_buffer_is_read_whole() {
    let topic = unique("unfolds");
    kafka().create(&topic, 2);
    let producer = kafka().producer(&[("compression.type", "lz4"), ("batch.size", "200000"), ("linger.ms", "50")]);
    let filler = "x".repeat(20_000);
    for number in 0..500 {
        let record = Record::to(&topic).partition(number % 2).key(&filler);
        producer.post(record.value(&number.to_string())).unwrap();
    }
    producer.close(LONG).unwrap();

    let both = partitions(&topic, 2);
    let bounds = [("queued.max.messages.kbytes", "500"), ("max.poll.records", "7")];
    let mut consumer = kafka().reader(&both, &bounds);
    let of = |entries: &[Entry], partition: i32| {
        numbers(&entries.iter().filter(|entry| entry.partition == partition).cloned().collect::<Vec<_>>())
    };
    let all = |partition: i32| Vec::from_iter((i64::from(partition)..500).step_by(2));

    let mut entries = take(&mut consumer, 30);
    // What is paused must not keep the other from coming.
    consumer.pause(&both[..1]).unwrap();
    until("the other partition", || {
        entries.extend(poll(&mut consumer));
        (of(&entries, 1).len() == 250).then_some(())
    });
    consumer.resume(&both[..1]).unwrap();
    until("the rest", || {
        // A pause of everything is no reason to lose anything either.
        consumer.pause(&both).unwrap();
        consumer.resume(&both).unwrap();
        entries.extend(poll(&mut consumer));
        (entries.len() >= 500).then_some(())
    });
    assert_eq!([of(&entries, 0), of(&entries, 1)], [all(0), all(1)]);

    consumer.seek_to_beginning(&[]).unwrap();
    take(&mut consumer, 30);
    consumer.seek(&both[1], 100).unwrap();
    consumer.seek_to_end(&both[..1]).unwrap();
    assert_eq!(consumer.position(&both[0]).unwrap(), 250, "an end is asked for while the fetcher waits");
    let again = take(&mut consumer, 150);
    assert_eq!(of(&again, 1), all(1)[100..]);

    consumer.seek_to_beginning(&[]).unwrap();
    take(&mut consumer, 30);
    consumer.close(LONG).unwrap();
}

/// A broker remembers what it was asked (KIP-227) and keeps to itself what it told already: what a reader comes back to it
/// must be told of again.
#[test]
fn going_back_and_forth_while_others_are_idle_misses_and_repeats_nothing() {
    let topic = unique("back-and-forth");
    kafka().create(&topic, 30);
    for partition in [0, 7] {
        write(&topic, partition, 0..40);
    }
    let all = partitions(&topic, 30);
    let mut consumer = kafka().reader(&all, &[("max.poll.records", "10")]);
    let of = |entries: Vec<Entry>, partition: i32| -> Vec<i64> {
        numbers(&entries.into_iter().filter(|entry| entry.partition == partition).collect::<Vec<_>>())
    };
    assert_eq!(take(&mut consumer, 80).len(), 80);
    for from in [0, 39, 20, 20, 5] {
        consumer.seek(&all[0], from).unwrap();
        assert_eq!(of(take(&mut consumer, (40 - from) as usize), 0), Vec::from_iter(from..40), "from {from}");
    }
    // Taken out and taken up again, where it was and elsewhere.
    consumer.pause(&all[7..8]).unwrap();
    write(&topic, 7, 40..45);
    write(&topic, 0, 40..41);
    assert_eq!(of(take(&mut consumer, 1), 0), [40]);
    consumer.resume(&all[7..8]).unwrap();
    assert_eq!(of(take(&mut consumer, 5), 7), Vec::from_iter(40..45));
    consumer.assign(&all[8..]).unwrap();
    write(&topic, 8, 0..1);
    assert_eq!(of(take(&mut consumer, 1), 8), [0]);
    consumer.assign(&all).unwrap();
    assert_eq!(take(&mut consumer, 41 + 45).len(), 86, "those that come back begin where auto.offset.reset says");
    assert_eq!(poll(&mut consumer), []);
    assert_eq!(consumer.lag(&all[29]), Some(0), "also of what nothing was ever read from");
    consumer.close(LONG).unwrap();
}

/// A name is not a topic (KIP-516). By the name alone the reader would go on at its old offset, in the middle of a log that
/// it has never seen.
#[test]
fn a_topic_that_is_deleted_and_created_anew_is_read_from_its_beginning() {
    let topic = Topic::create("anew", 1);
    if topic.id.is_zero() {
        // A Kafka that gives topics no ids cannot tell.
        return;
    }
    write(&topic.name, 0, 0..10);
    let zero = partitions(&topic.name, 1);
    let mut earliest = kafka().reader(&zero, &[]);
    let mut none = kafka().reader(&zero, &[("auto.offset.reset", "none")]);
    none.seek(&zero[0], 0).unwrap();
    for reader in [&mut earliest, &mut none] {
        assert_eq!(numbers(&take(reader, 10)), Vec::from_iter(0..10));
    }

    topic.delete();
    until("the topic is gone", || {
        let gone = Wire::any().ask(&topic.metadata()).topics[0].error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        gone.then_some(())
    });
    kafka().create(&topic.name, 1);
    let anew = Topic::find(&topic.name);
    assert_ne!(anew.id, topic.id);
    write(&topic.name, 0, 100..120);
    assert_eq!(numbers(&take(&mut earliest, 20)), Vec::from_iter(100..120));
    let error = until("an error", || none.poll(TICK).err());
    assert_eq!((error.kind(), error.offset()), (ErrorKind::OffsetOutOfRange, Some(10)), "{error}");
    for id in [topic.id, anew.id] {
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
    none.seek(&zero[0], 15).unwrap();
    assert_eq!(numbers(&take(&mut none, 5)), Vec::from_iter(115..120));
    for reader in [earliest, none] {
        reader.close(LONG).unwrap();
    }
}

/// A gap that was cut by a deletion is counted; one within the log, as compaction leaves them, is none.
#[test]
fn records_that_are_gone_before_they_are_read_are_counted() {
    let topic = Topic::create("gone", 1);
    write(&topic.name, 0, 0..30);
    let zero = partitions(&topic.name, 1);
    let mut earliest = kafka().reader(&zero, &[]);
    let mut latest = kafka().reader(&zero, &[("auto.offset.reset", "latest")]);
    for reader in [&mut earliest, &mut latest] {
        reader.seek(&zero[0], 0).unwrap();
        assert_eq!(numbers(&take(reader, 30)), Vec::from_iter(0..30));
        assert_eq!(reader.records_gone(), 0);
    }
    let mut wire = Wire::leader(&topic, 0);
    let version = wire.latest::<DeleteRecordsRequest>();
    assert_eq!(delete_records(&mut wire, version, &topic, 0, 20), (ErrorCode::NONE, 20));
    assert_eq!(earliest.beginning_offsets(&zero).unwrap(), [20]);
    for reader in [&mut earliest, &mut latest] {
        reader.seek(&zero[0], 5).unwrap();
    }
    assert_eq!(numbers(&take(&mut earliest, 10)), Vec::from_iter(20..30));
    assert_eq!(earliest.records_gone(), 15);
    until("the end", || {
        assert_eq!(poll(&mut latest), []);
        (latest.position(&zero[0]).unwrap() == 30).then_some(())
    });
    assert_eq!(latest.records_gone(), 25);
    for reader in [earliest, latest] {
        reader.close(LONG).unwrap();
    }
}
