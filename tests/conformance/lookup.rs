//! Offsets that a consumer looks up: the ends of logs, and by time.

use krs::{ErrorKind, OffsetAndTimestamp, Record, TopicPartition};

use crate::support::{LONG, kafka, partitions, poll, take, unique, until, write};

#[test]
fn the_ends_of_any_partitions_are_told_in_the_order_of_the_question() {
    let topic = unique("ends");
    kafka().create(&topic, 3);
    write(&topic, 0, 0..5);
    write(&topic, 2, 0..7);
    let consumer = kafka().consumer(&[]);
    let mut asked = partitions(&topic, 3);
    asked.reverse();
    assert_eq!(consumer.end_offsets(&asked).unwrap(), [7, 0, 5]);
    assert_eq!(consumer.beginning_offsets(&asked).unwrap(), [0, 0, 0]);
    let twice = [asked[0].clone(), asked[2].clone(), asked[0].clone()];
    assert_eq!(consumer.end_offsets(&twice).unwrap(), [7, 5, 7], "the same partition may be asked for twice");
    assert!(consumer.end_offsets(&[]).unwrap().is_empty());
    assert_eq!(consumer.partition_count(&topic).unwrap(), 3);
    assert!(consumer.assignment().is_empty(), "asking takes nothing up");
    consumer.close(LONG).unwrap();
}

#[test]
fn offsets_are_found_by_time() {
    let topic = unique("times");
    kafka().create_for_old_records(&topic, 2);
    let producer = kafka().producer(&[]);
    for time in [1000, 2000, 2000, 4000] {
        producer.send(Record::to(&topic).partition(0).timestamp(time).value("x")).unwrap().wait().unwrap();
    }
    producer.close(LONG).unwrap();
    let consumer = kafka().consumer(&[]);
    let [zero, one] = [0, 1].map(|partition| TopicPartition::new(topic.as_str(), partition));
    let times = [0, 1000, 1001, 2001, 4001];
    let asked: Vec<_> = times.iter().map(|time| (zero.clone(), *time)).chain([(one, 0)]).collect();
    let found = |offset, timestamp| Some(OffsetAndTimestamp { offset, timestamp });
    let expected = [found(0, 1000), found(0, 1000), found(1, 2000), found(3, 4000), None, None];
    assert_eq!(consumer.offsets_for_times(&asked).unwrap(), expected);
    let error = consumer.offsets_for_times(&[(zero, -1)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    consumer.close(LONG).unwrap();
}

#[test]
fn what_does_not_exist_is_named() {
    let topic = unique("one");
    kafka().create(&topic, 1);
    let consumer = kafka().consumer(&[]);
    let beyond = TopicPartition::new(topic.as_str(), 1);
    let error = consumer.end_offsets(&[beyond]).unwrap_err();
    assert_eq!((error.kind(), error.topic(), error.partition()), (ErrorKind::Broker, Some(topic.as_str()), Some(1)));
    let missing = unique("missing");
    let error = consumer.beginning_offsets(&partitions(&missing, 1)).unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::Broker, Some(missing.as_str())), "{error}");
    assert_eq!(consumer.partition_count(&missing).unwrap_err().topic(), Some(missing.as_str()));
    assert_eq!(consumer.partition_count("a/b").unwrap_err().kind(), ErrorKind::Config);
    let negative = TopicPartition::new(topic.as_str(), -1);
    assert_eq!(consumer.end_offsets(&[negative]).unwrap_err().kind(), ErrorKind::Config);
    consumer.close(LONG).unwrap();
}

#[test]
fn lag_is_what_lies_between_the_position_and_the_end() {
    let topic = unique("lag");
    kafka().create(&topic, 1);
    write(&topic, 0, 0..10);
    let zero = TopicPartition::new(topic.as_str(), 0);
    let mut consumer = kafka().reader(std::slice::from_ref(&zero), &[("max.poll.records", "4")]);
    assert_eq!(consumer.lag(&TopicPartition::new(topic.as_str(), 1)), None, "it is not held");
    assert_eq!(take(&mut consumer, 4).len(), 4);
    assert_eq!(consumer.lag(&zero), Some(6));
    take(&mut consumer, 6);
    assert_eq!(consumer.lag(&zero), Some(0));
    consumer.pause(std::slice::from_ref(&zero)).unwrap();
    consumer.seek(&zero, 7).unwrap();
    assert_eq!(consumer.lag(&zero), Some(3));
    consumer.resume(std::slice::from_ref(&zero)).unwrap();
    take(&mut consumer, 3);
    write(&topic, 0, 10..12);
    until("the end moves", || {
        poll(&mut consumer);
        (consumer.position(&zero).unwrap() == 12).then_some(())
    });
    assert_eq!(consumer.lag(&zero), Some(0));
    consumer.close(LONG).unwrap();
}
