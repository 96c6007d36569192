//! Reading from the replica in one's own rack (KIP-392), also when that broker goes away.

use std::time::Instant;

use krs::devbroker::DevBroker;
use krs::devbroker::Version;

use super::reader::{Reader, reading, write};
use super::support::{LONG, PARTITIONS, Settings, config, inject, kafka_with_replicas};

fn racks(version: Version) -> DevBroker {
    kafka_with_replicas(2, |options| {
        options.racks = vec!["a".to_owned(), "b".to_owned()];
        options.version = version;
    })
}

/// How many fetches a broker gets while so much is written and read.
fn fetches(broker: &DevBroker, node: i32, from: usize, reader: &mut Reader) -> u64 {
    // It has to do something that does no harm.
    let count = inject(broker, &format!("fetch:delay=1ms,broker={node}"));
    write(&config(broker), from, 4 * PARTITIONS as usize);
    reader.read_to(from + 4);
    let fetches = broker.faults_applied(count);
    broker.clear_faults();
    fetches
}

#[test]
fn records_come_from_the_replica_in_the_rack_and_from_leaders_while_it_is_away() {
    for version in Version::ALL {
        let broker = racks(version);
        write(&config(&broker), 0, PARTITIONS as usize);
        let settings = reading(config(&broker)).and(&[("client.rack", "b")]);
        let mut reader = Reader::alone("rack b", &settings).unwrap();
        reader.read_to(1);
        let until = Instant::now() + LONG;
        let mut number = 1;
        while fetches(&broker, 1, number, &mut reader) > 0 {
            // The last fetch at the leader may still be under way.
            assert!(Instant::now() < until, "leaders in the other rack are still read from");
            number += 4;
        }
        number += 4;
        assert!(fetches(&broker, 2, number, &mut reader) > 0);
        number += 4;

        broker.stop_broker(2).unwrap();
        assert!(fetches(&broker, 1, number, &mut reader) > 0);
        broker.start_broker(2).unwrap();
        number += 4;
        write(&config(&broker), number, PARTITIONS as usize);
        reader.read_to(number + 1);
        assert!(reader.errors.is_empty(), "{:?}", reader.errors);
        reader.close().unwrap();
    }
}

#[test]
fn whoever_names_no_rack_or_one_of_no_replica_reads_from_leaders() {
    for rack in ["", "c"] {
        let broker = racks(Version::default());
        let mut settings = reading(config(&broker));
        if !rack.is_empty() {
            settings = settings.and(&[("client.rack", rack)]);
        }
        let mut reader = Reader::alone("no rack", &settings).unwrap();
        for (node, from) in [(1, 0), (2, 4)] {
            assert!(fetches(&broker, node, from, &mut reader) > 0);
        }
        reader.close().unwrap();
    }
}
