//! Callbacks: who is called, with what, and what a callback may do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use krs::kafka::protocol::ErrorCode;
use krs::{ErrorKind, Producer, Record};

use super::util::{Act, Gate, LONG, Scripted, with};
use super::{connect, names, send, single_records};

#[test]
fn a_producers_callback_is_told_of_each_batch_once() {
    let kafka = Scripted::single();
    let (told, outcomes) = mpsc::channel();
    let config = with(kafka.config(), &[("linger.ms", "60000")]);
    let producer = Producer::connect_with(&config, move |batch| {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap()).into_owned();
        let values: Vec<_> = batch.records().map(|record| text(record.value())).collect();
        let outcome = batch.outcome().map_err(|error| error.code().unwrap());
        told.send((batch.topic().to_owned(), batch.partition(), batch.len(), values, outcome)).unwrap();
    })
    .unwrap();
    names(0..3).iter().for_each(|name| drop(send(&producer, name)));
    producer.flush(LONG).unwrap();
    assert_eq!(outcomes.try_iter().collect::<Vec<_>>(), [("t".to_owned(), 0, 3, names(0..3), Ok(0))]);
    kafka.script_produce([Act::Refuse(ErrorCode::INVALID_RECORD)]);
    send(&producer, "bad");
    producer.flush(LONG).unwrap();
    let refused = ("t".to_owned(), 0, 1, vec!["bad".to_owned()], Err(ErrorCode::INVALID_RECORD));
    assert_eq!(outcomes.try_iter().collect::<Vec<_>>(), [refused]);
}

#[test]
fn a_records_callback_is_told_of_that_record() {
    let kafka = Scripted::single();
    let producer = connect(&with(kafka.config(), &[("linger.ms", "60000")]));
    let (told, outcomes) = mpsc::channel();
    for n in 0..3 {
        let told = told.clone();
        let record = Record::to("t").value("x");
        producer.send_with(record, move |outcome| told.send((n, outcome.clone().unwrap().offset())).unwrap()).unwrap();
    }
    producer.flush(LONG).unwrap();
    assert_eq!(outcomes.try_iter().collect::<Vec<_>>(), [(0, 0), (1, 1), (2, 2)]);
    producer.close(LONG).unwrap();
}

#[test]
fn records_that_are_given_up_are_told_too() {
    let kafka = Scripted::single();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let producer = Producer::connect_with(&single_records(&kafka), move |batch| {
        assert!(batch.outcome().is_err());
        counted.fetch_add(batch.len(), Ordering::SeqCst);
    })
    .unwrap();
    let gate = Gate::default();
    kafka.script_produce([gate.then(Act::Usual)]);
    names(0..10).iter().for_each(|name| drop(send(&producer, name)));
    assert!(producer.close(std::time::Duration::from_millis(20)).is_err());
    assert_eq!(count.load(Ordering::SeqCst), 10);
}

#[test]
fn a_panic_in_a_callback_ends_the_producer_and_nothing_else() {
    let kafka = Scripted::single();
    let producer = connect(&single_records(&kafka));
    send(&producer, "before").wait().unwrap();
    let gate = Gate::default();
    kafka.script_produce([gate.then(Act::Usual)]);
    producer.send_with(Record::to("t").value("first"), |_| panic!("deliberate")).unwrap();
    let behind = send(&producer, "behind");
    gate.open();
    let until = Instant::now() + LONG;
    let error = loop {
        match producer.send(Record::to("t").value("later")) {
            Ok(_) => assert!(Instant::now() < until, "the producer goes on"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::State, "{error}");
    assert!(error.to_string().contains("callback panicked"), "{error}");
    // It may have made it, but it does not stay open.
    let _ = behind.wait_for(LONG).map_err(|error| assert_ne!(error.kind(), ErrorKind::Timeout, "{error}"));
    let _ = producer.close(LONG);
}

#[test]
fn a_send_in_a_callback_works_and_does_not_wait() {
    let kafka = Scripted::single();
    let config = with(kafka.config(), &[("buffer.memory", "20000"), ("batch.size", "4000")]);
    let producer = Arc::new(connect(&config));
    producer.partition_count("t").unwrap();
    let (told, outcomes) = mpsc::channel();
    let again = Arc::clone(&producer);
    producer
        .send_with(Record::to("t").value("first"), move |_| {
            told.send(again.send(Record::to("t").value("second")).map(drop)).unwrap();
            // The buffer does not empty itself while this thread is kept busy; waiting would take 60 s.
            let value = "v".repeat(1000);
            let full = loop {
                if let Err(error) = again.send(Record::to("t").value(&value)) {
                    break error;
                }
                if outrun(&again) {
                    return;
                }
            };
            told.send(Err(full)).unwrap();
            told.send(again.send(Record::to("unheard-of").value("x")).map(drop)).unwrap();
        })
        .unwrap();
    outcomes.recv_timeout(LONG).unwrap().unwrap();
    for _ in 0..2 {
        let error = outcomes.recv_timeout(LONG).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BufferFull, "{error}");
    }
    producer.flush(LONG).unwrap();
    assert_eq!(kafka.values("t", 0)[..2], ["first", "second"]);
}

/// A safeguard of the test: no buffer of 20 kB takes this much.
fn outrun(producer: &Producer) -> bool {
    producer.counters().pending > 1000
}
