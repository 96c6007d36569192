//! Reading without a group, while the way of each request or its answer is broken, or every code is answered that Kafka
//! has for it.

use std::time::{Duration, Instant};

use krs::ErrorKind;
use krs::devbroker::DevBroker;
use krs::kafka::protocol::ErrorCode;

use super::ledger::number;
use super::reader::{Reader, TICK, reading, write};
use super::support::{BREAKS, LONG, PARTITIONS, Settings, all_partitions, config, each, inject, kafka, within};

/// Records in each partition.
const EACH: usize = 20;

/// Brokers whose topic holds [`EACH`] records in each partition.
fn filled() -> DevBroker {
    let broker = kafka();
    write(&config(&broker), 0, EACH * PARTITIONS as usize);
    broker
}

/// Reads everything under a fault, then something new without it.
fn read(fault: &str) -> Reader {
    let broker = filled();
    let id = inject(&broker, fault);
    let config = reading(config(&broker));
    let mut reader = Reader::alone(fault, &config).unwrap();
    reader.read_to(EACH);
    // A fault that comes later, or lasts, meets what is fetched at the end of the log.
    let until = Instant::now() + LONG;
    while broker.faults_applied(id) == 0 {
        assert!(Instant::now() < until, "{fault} never acted");
        reader.poll();
    }
    broker.clear_faults();
    write(&config, EACH, PARTITIONS as usize);
    reader.read_to(EACH + 1);
    reader
}

/// Under each of these faults everything is read, once and without an error.
fn all_read(faults: &[String]) {
    each(faults, |fault| {
        let reader = read(fault);
        assert!(reader.errors.is_empty(), "{fault}: {:?}", reader.errors);
        reader.close().unwrap();
    });
}

#[test]
fn a_connection_cut_at_any_request_costs_nothing() {
    let mut faults = Vec::new();
    for fault in BREAKS {
        faults.extend((0..4).map(|skip| format!("fetch:{fault},next=1,skip={skip}")));
        faults.extend(["every=2", "every=3", "next=8"].map(|when| format!("fetch:{fault},{when}")));
        faults.extend(["next=1", "next=3", "next=8"].map(|when| format!("list-offsets:{fault},{when}")));
    }
    all_read(&faults);
}

#[test]
fn an_answer_that_never_comes_ends_by_its_deadline() {
    let faults = ["silence", "silence,after-work", "delay=1h"];
    let apis = ["fetch", "list-offsets", "fetch+list-offsets"];
    let all: Vec<_> = apis.iter().flat_map(|api| faults.map(|fault| format!("{api}:{fault},next=2"))).collect();
    all_read(&all);
}

#[test]
fn what_may_pass_is_asked_again_until_it_has_passed() {
    use ErrorCode as Code;
    let both = [
        Code::NOT_LEADER_OR_FOLLOWER,
        Code::UNKNOWN_TOPIC_OR_PARTITION,
        Code::FENCED_LEADER_EPOCH,
        Code::UNKNOWN_LEADER_EPOCH,
        Code::OFFSET_NOT_AVAILABLE,
        Code::KAFKA_STORAGE_ERROR,
        Code::REPLICA_NOT_AVAILABLE,
        Code::LEADER_NOT_AVAILABLE,
        Code::REQUEST_TIMED_OUT,
        Code::UNKNOWN_SERVER_ERROR,
    ];
    let fetch = [
        Code::UNKNOWN_TOPIC_ID,
        Code::INCONSISTENT_TOPIC_ID,
        Code::FETCH_SESSION_ID_NOT_FOUND,
        Code::INVALID_FETCH_SESSION_EPOCH,
        Code::THROTTLING_QUOTA_EXCEEDED,
    ];
    let of = |api: &str, codes: &[ErrorCode]| -> Vec<String> {
        codes.iter().map(|code| format!("{api}:error={code}")).collect()
    };
    let faults = [of("fetch", &both), of("list-offsets", &both), of("fetch", &fetch)].concat();
    let timed = faults.iter().flat_map(|fault| ["next=1", "next=4", "next=8"].map(|when| format!("{fault},{when}")));
    all_read(&timed.collect::<Vec<_>>());
}

/// The application decides what then: here it goes on where it was.
#[test]
fn what_does_not_pass_is_told_with_its_place_and_the_application_may_go_on() {
    use ErrorCode as Code;
    let codes = [
        Code::CORRUPT_MESSAGE,
        Code::UNSUPPORTED_COMPRESSION_TYPE,
        Code::INVALID_REQUEST,
        Code::UNSUPPORTED_VERSION,
        Code(999),
    ];
    let rows: Vec<_> = codes.iter().flat_map(|code| [0, 3].map(|skip| (*code, skip))).collect();
    each(&rows, |(code, skip)| {
        let broker = filled();
        let fault = format!("fetch:error={},next=1,skip={skip}", code.0);
        inject(&broker, &fault);
        let mut reader = Reader::alone(&fault, &reading(config(&broker))).unwrap();
        let until = Instant::now() + LONG;
        while reader.errors.is_empty() {
            assert!(Instant::now() < until, "{fault} is not told");
            reader.poll();
        }
        // One answer is about the partitions of one leader, two at most.
        reader.idle(TICK * 5);
        assert!((1..=2).contains(&reader.errors.len()), "{fault}: {:?}", reader.errors);
        for error in std::mem::take(&mut reader.errors) {
            assert_eq!((error.code(), error.topic()), (Some(*code), Some("t")), "{error}");
            let place = all_partitions().remove(error.partition().unwrap() as usize);
            let position = reader.consumer.position(&place).unwrap();
            assert_eq!(error.offset(), Some(position), "{error}");
            reader.consumer.seek(&place, position).unwrap();
        }
        reader.read_to(EACH);
        assert!(reader.errors.is_empty(), "{fault}: {:?}", reader.errors);
        reader.close().unwrap();
    });
}

#[test]
fn a_missing_right_is_told_once_and_closing_does_not_wait_for_it() {
    let faults = ["fetch", "list-offsets"].map(|api| format!("{api}:error=TOPIC_AUTHORIZATION_FAILED"));
    each(&faults, |fault| {
        let broker = filled();
        inject(&broker, fault);
        let mut reader = Reader::alone(fault, &reading(config(&broker))).unwrap();
        reader.idle(Duration::from_millis(300));
        assert_eq!(reader.errors.len(), PARTITIONS as usize, "{fault}: {:?}", reader.errors);
        assert!(reader.errors.iter().all(|error| error.kind() == ErrorKind::Refused && error.topic() == Some("t")));
        let short = Duration::from_millis(100);
        within(short, fault, || reader.consumer.close(short)).unwrap();
    });
}

/// A broker says so, too, of an epoch that it knows nothing of: without the epoch it is asked once more.
#[test]
fn an_offset_is_out_of_range_only_if_it_still_is_without_its_epoch() {
    all_read(&["fetch:error=OFFSET_OUT_OF_RANGE,next=1,skip=2,broker=1".to_owned()]);
}

#[test]
fn an_offset_out_of_range_is_settled_by_the_policy() {
    each(&["earliest", "latest", "none"], |policy| {
        let broker = filled();
        let id = inject(&broker, "fetch:error=OFFSET_OUT_OF_RANGE,next=2,skip=2,broker=1");
        let settings = [("auto.offset.reset", *policy)];
        let mut reader = Reader::alone(policy, &reading(config(&broker)).and(&settings)).unwrap();
        reader.consumer.seek_to_beginning(&[]).unwrap();
        reader.starts_over = *policy == "earliest";
        let until = Instant::now() + LONG;
        while broker.faults_applied(id) == 0 {
            assert!(Instant::now() < until);
            reader.poll();
        }
        match *policy {
            "none" => {
                while reader.errors.is_empty() {
                    assert!(Instant::now() < until);
                    reader.poll();
                }
                assert!(reader.errors.iter().all(|error| error.kind() == ErrorKind::OffsetOutOfRange));
            }
            "earliest" => {
                reader.read_to(EACH);
                assert!(reader.errors.is_empty(), "{:?}", reader.errors);
            }
            // What is skipped then is what was asked for.
            _ => assert!(reader.errors.is_empty(), "{:?}", reader.errors),
        }
        reader.consumer.close(LONG).unwrap();
    });
}

/// Whatever the bytes say then, nothing comes of them that was never written, and every call ends.
#[test]
fn garbled_answers_are_noticed_and_survived() {
    let seeds: Vec<u64> = (1..=12).collect();
    each(&seeds, |seed| {
        let broker = filled();
        let id = inject(&broker, &format!("fetch+list-offsets:garble,p=0.5,seed={seed}"));
        let mut reader = Reader::alone("garbled", &reading(config(&broker))).unwrap();
        let until = Instant::now() + Duration::from_millis(400);
        while Instant::now() < until || broker.faults_applied(id) == 0 {
            match within(TICK, "poll", || reader.consumer.poll(TICK)) {
                Ok(records) => {
                    for record in &records {
                        assert!(number(record.value()) < EACH);
                    }
                }
                Err(error) => assert_ne!(error.kind(), ErrorKind::State, "{error}"),
            }
        }
        broker.clear_faults();
        // It may have been told to be silent for a week.
        reader.close().unwrap();
        let mut reader = Reader::alone("afterwards", &reading(config(&broker))).unwrap();
        reader.read_to(EACH);
        reader.close().unwrap();
    });
}
