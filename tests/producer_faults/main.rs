//! The producer against brokers that fail in every way they can.

mod answers;
mod callbacks;
mod chaos;
mod limits;
mod time;
#[path = "../util/mod.rs"]
mod util;

use krs::kafka::protocol::ApiKey;
use krs::{Config, Delivery, Producer, Record};

use self::util::{Act, Gate, LONG, Scripted, with};

/// Each record becomes a batch, and so a request, of its own.
fn single_records(kafka: &Scripted) -> Config {
    with(kafka.config(), &[("batch.size", "1")])
}

fn connect(config: &Config) -> Producer {
    Producer::connect(config).unwrap()
}

fn send(producer: &Producer, value: &str) -> Delivery {
    producer.send(Record::to("t").partition(0).value(value)).unwrap()
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("r{n}.")).collect()
}

/// One acknowledged record, then five requests in flight, the first of which meets with `act` once all have arrived.
fn five_in_flight(kafka: &Scripted, producer: &Producer, act: Act) -> Vec<Delivery> {
    let names = names(0..6);
    let mut deliveries = vec![send(producer, &names[0])];
    deliveries[0].wait().unwrap();
    let before = kafka.received(ApiKey::Produce);
    let gate = Gate::default();
    kafka.script_produce([gate.then(act)]);
    deliveries.extend(names[1..].iter().map(|name| send(producer, name)));
    // A batch is closed by the next record, the last one by another partition's or a flush.
    std::thread::scope(|scope| {
        let flushing = scope.spawn(|| producer.flush(LONG));
        kafka.await_received(ApiKey::Produce, before + 5);
        gate.open();
        flushing.join().unwrap().unwrap();
    });
    deliveries
}
