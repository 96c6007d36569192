//! Looking offsets up while leaders are gone or answer nonsense: it is found once it can be, or the call ends by its
//! deadline.

use std::time::Duration;

use krs::{Consumer, ErrorKind};

use super::reader::write;
use super::support::{
    BREAKS, PARTITIONS, Settings, all_partitions, config, each, inject, kafka, kafka_replicated, partition, stop_all,
    within,
};

#[test]
fn what_passes_delays_a_lookup_and_no_more() {
    let breaks = BREAKS.map(|fault| fault.to_owned());
    let codes = ["NOT_LEADER_OR_FOLLOWER", "UNKNOWN_LEADER_EPOCH", "OFFSET_NOT_AVAILABLE", "UNKNOWN_SERVER_ERROR"];
    let others = ["silence".to_owned(), "delay=1h".to_owned()];
    let faults: Vec<_> = breaks.into_iter().chain(codes.map(|code| format!("error={code}"))).chain(others).collect();
    each(&faults, |fault| {
        let broker = kafka();
        write(&config(&broker), 0, 4 * PARTITIONS as usize);
        let settings = config(&broker).and(&[("request.timeout.ms", "300"), ("fetch.max.wait.ms", "50")]);
        let consumer = Consumer::connect(&settings).unwrap();
        for ask in [Consumer::beginning_offsets, Consumer::end_offsets] {
            let id = inject(&broker, &format!("list-offsets:{fault},next=3"));
            let offsets = ask(&consumer, &all_partitions()).unwrap();
            assert!(offsets == [0, 0, 0] || offsets == [4, 4, 4], "{fault}: {offsets:?}");
            assert!(broker.faults_applied(id) > 0, "{fault} never acted");
            broker.clear_faults();
        }
        consumer.close(Duration::from_secs(5)).unwrap();
    });
}

#[test]
fn a_lookup_ends_by_its_deadline_and_says_what_stood_in_the_way() {
    for fault in ["silence", "drop", "error=LEADER_NOT_AVAILABLE"] {
        let broker = kafka();
        let limit = Duration::from_secs(2);
        let settings = config(&broker).and(&[
            ("request.timeout.ms", "200"),
            ("default.api.timeout.ms", "2000"),
            ("fetch.max.wait.ms", "50"),
        ]);
        let consumer = Consumer::connect(&settings).unwrap();
        assert_eq!(consumer.partition_count("t").unwrap(), PARTITIONS);
        inject(&broker, &format!("list-offsets:{fault}"));
        let error = within(limit, "end_offsets", || consumer.end_offsets(&all_partitions()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        let text = error.to_string();
        assert!(text.contains("default.api.timeout.ms") && text.contains("last failure"), "{fault}: {text}");
        let error =
            within(limit, "offsets_for_times", || consumer.offsets_for_times(&[(partition(0), 0)]).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        within(Duration::from_secs(5), "close", || consumer.close(Duration::from_secs(5))).unwrap();
    }
}

#[test]
fn the_next_leader_is_asked_when_one_dies() {
    let broker = kafka_replicated(2);
    write(&config(&broker), 0, 4 * PARTITIONS as usize);
    let consumer = Consumer::connect(&config(&broker).and(&[("request.timeout.ms", "1000")])).unwrap();
    assert_eq!(consumer.end_offsets(&all_partitions()).unwrap(), [4, 4, 4]);
    for node in [1, 2] {
        broker.stop_broker(node).unwrap();
        assert_eq!(consumer.end_offsets(&all_partitions()).unwrap(), [4, 4, 4]);
        assert_eq!(consumer.partition_count("t").unwrap(), PARTITIONS);
        broker.start_broker(node).unwrap();
    }
    consumer.close(Duration::from_secs(5)).unwrap();
}

#[test]
fn with_every_broker_dead_a_lookup_still_ends() {
    let broker = kafka();
    let limit = Duration::from_millis(700);
    let consumer =
        Consumer::connect(&config(&broker).and(&[("default.api.timeout.ms", "700"), ("request.timeout.ms", "600")]))
            .unwrap();
    stop_all(&broker);
    for _ in 0..2 {
        let error = within(limit, "end_offsets", || consumer.end_offsets(&all_partitions()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        let error = within(limit, "partition_count", || consumer.partition_count("t").unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    within(Duration::from_secs(5), "close", || consumer.close(Duration::from_secs(5))).unwrap();
}
