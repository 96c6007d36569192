//! Leaders that move while nobody tells metadata: the broker that was asked says who leads instead (KIP-951).

use std::time::Duration;

use krs::devbroker::DevBroker;
use krs::{Producer, Record};

use super::reader::{Reader, reading};
use super::support::{LONG, PARTITIONS, Settings, config, inject, kafka_replicated, within};

fn write(producer: &Producer, number: usize) {
    let value = format!("{number:06}");
    for index in 0..PARTITIONS {
        let record = Record::to("t").partition(index).value(&value);
        within(LONG, "send", || producer.send(record).unwrap().wait_for(LONG).unwrap());
    }
}

fn move_all(broker: &DevBroker, turn: usize) {
    for index in 0..PARTITIONS {
        broker.move_leader("t", index, 1 + ((turn + index as usize) % 2) as i32).unwrap();
    }
}

#[test]
fn a_new_leader_is_found_without_metadata() {
    let broker = kafka_replicated(2);
    let patient = config(&broker).and(&[("request.timeout.ms", "600000"), ("message.timeout.ms", "600000")]);
    let producer = Producer::connect(&patient).unwrap();
    let mut reader =
        Reader::alone("hints", &reading(config(&broker)).and(&[("request.timeout.ms", "600000")])).unwrap();
    // Both know both brokers before metadata falls silent.
    for number in 0..2 {
        move_all(&broker, number);
        write(&producer, number);
        reader.read_to(number + 1);
    }
    inject(&broker, "metadata:silence");
    for number in 2..8 {
        move_all(&broker, number);
        write(&producer, number);
        reader.read_to(number + 1);
    }
    assert!(reader.errors.is_empty(), "{:?}", reader.errors);
    reader.close().unwrap();
    within(Duration::from_secs(5), "close", || producer.close(Duration::from_secs(5))).unwrap();
}
