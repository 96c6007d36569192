//! Memory, topics and partitions: what `send` itself refuses, and when it waits.

use std::time::Instant;

use krs::kafka::protocol::{ApiKey, ErrorCode};
use krs::{ErrorKind, Record};

use super::util::{Act, Gate, LONG, Scripted, with};
use super::{connect, send};

#[test]
fn a_full_buffer_is_an_error_after_max_block_ms_and_passes() {
    let kafka = Scripted::single();
    let small = [("buffer.memory", "20000"), ("batch.size", "4000"), ("max.block.ms", "60")];
    let producer = connect(&with(kafka.config(), &small));
    producer.partition_count("t").unwrap();
    let gate = Gate::default();
    kafka.script_produce([gate.then(Act::Usual)]);
    let value = "v".repeat(1000);
    let mut taken = 0;
    let error = loop {
        match producer.send(Record::to("t").value(&value)) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::BufferFull, "{error}");
    let text = error.to_string();
    assert!(text.contains("20000 bytes (buffer.memory)") && text.contains("60 ms (max.block.ms)"), "{text}");
    assert!((10..20).contains(&taken), "{taken} records of 1 kB in 20 kB");
    gate.open();
    producer.flush(LONG).unwrap();
    producer.send(Record::to("t").value(&value)).unwrap().wait().unwrap();
    assert_eq!(kafka.values("t", 0).len(), taken + 1);
}

#[test]
fn a_send_that_waits_for_memory_goes_on_when_it_comes_back() {
    let kafka = Scripted::single();
    let producer = connect(&with(kafka.config(), &[("buffer.memory", "20000"), ("batch.size", "4000")]));
    let gate = Gate::default();
    kafka.script_produce([gate.then(Act::Usual)]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            kafka.await_received(ApiKey::Produce, 1);
            gate.open();
        });
        for n in 0..200 {
            producer.send(Record::to("t").value(&format!("{n:01000}"))).unwrap();
        }
    });
    producer.flush(LONG).unwrap();
    let expected: Vec<_> = (0..200).map(|n| format!("{n:01000}")).collect();
    assert!(kafka.values("t", 0) == expected);
}

#[test]
fn a_record_that_can_never_fit_is_refused_at_once() {
    let kafka = Scripted::single();
    let producer = connect(&with(kafka.config(), &[("buffer.memory", "20000")]));
    for (size, setting) in [(30_000, "buffer.memory=20000"), (2_000_000, "max.request.size=1048576")] {
        let begun = Instant::now();
        let error = producer.send(Record::to("t").value(&vec![0; size])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(setting), "{error}");
        assert!(begun.elapsed().as_secs() < 30, "max.block.ms is 60 s");
    }
}

#[test]
fn an_unknown_topic_is_an_error_that_names_topic_and_cluster() {
    let kafka = Scripted::single();
    let producer = connect(&kafka.config());
    let error = producer.send(Record::to("nowhere").value("x")).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), "{error}");
    let text = error.to_string();
    assert!(text.contains("topic nowhere") && text.contains("does not exist on cluster scripted"), "{text}");
    kafka.create("nowhere", &[Some(1)]);
    producer.send(Record::to("nowhere").value("x")).unwrap().wait().unwrap();
}

#[test]
fn a_topic_that_may_not_be_used_is_refused() {
    let kafka = Scripted::single();
    let producer = connect(&kafka.config());
    kafka.script(|asked| match asked.api {
        ApiKey::Metadata => Act::Refuse(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
        _ => Act::Usual,
    });
    let error = producer.send(Record::to("t").value("x")).unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::Refused, Some("t")), "{error}");
}

#[test]
fn a_partition_out_of_range_is_an_error_until_it_exists() {
    let kafka = Scripted::single();
    let producer = connect(&kafka.config());
    for asked in [1, 7, -1] {
        let error = producer.send(Record::to("t").partition(asked).value("x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(&format!("no partition {asked}")), "{error}");
    }
    kafka.create("t", &[Some(1), Some(1)]);
    let until = Instant::now() + LONG;
    let delivery = loop {
        match producer.send(Record::to("t").partition(1).value("x")) {
            Ok(delivery) => break delivery,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    };
    assert_eq!(delivery.wait().unwrap().to_string(), "t-1@0");
}

#[test]
fn metadata_that_does_not_come_ends_with_max_block_ms() {
    let kafka = Scripted::single();
    let producer = connect(&with(kafka.config(), &[("max.block.ms", "100")]));
    kafka.script(|asked| if asked.api == ApiKey::Metadata { Act::Silence } else { Act::Usual });
    let error = producer.send(Record::to("t").value("x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("max.block.ms"), "{error}");
}

#[test]
fn many_threads_share_a_producer() {
    const THREADS: usize = 8;
    const EACH: usize = 500;
    let kafka = Scripted::start(2);
    kafka.create("t", &[Some(1), Some(2), Some(1), Some(2)]);
    let producer = connect(&with(kafka.config(), &[("batch.size", "500"), ("buffer.memory", "50000")]));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let producer = &producer;
            scope.spawn(move || {
                for n in 0..EACH {
                    let value = format!("{thread} {n}");
                    producer.send(Record::to("t").key(&thread.to_string()).value(&value)).unwrap();
                }
            });
        }
    });
    producer.flush(LONG).unwrap();
    let mut next = [0; THREADS];
    for partition in 0..4 {
        for value in kafka.values("t", partition) {
            let (thread, n) = value.split_once(' ').unwrap();
            let next = &mut next[thread.parse::<usize>().unwrap()];
            assert_eq!(n.parse::<usize>().unwrap(), *next, "thread {thread}");
            *next += 1;
        }
    }
    assert_eq!(next, [EACH; THREADS]);
    assert_eq!(producer.counters().acknowledged, (THREADS * EACH) as u64);
    producer.close(LONG).unwrap();
}

#[test]
fn records_without_a_key_avoid_partitions_without_a_leader() {
    let kafka = Scripted::start(1);
    kafka.create("t", &[None, Some(1), None]);
    let producer = connect(&kafka.config());
    for _ in 0..20 {
        let sent = producer.send(Record::to("t").value("x")).unwrap().wait().unwrap();
        assert_eq!(sent.partition(), 1);
    }
    drop(send(&producer, "waits"));
}
