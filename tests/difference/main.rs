//! The difference test: one fixed stream of requests, valid and invalid, played to a broker, and every answer compared,
//! per API and version, with what real Kafka answered.
//!
//! ```text
//! cargo test --test difference                                         the development broker against the recording
//! KAFKA_BROKERS=… cargo test --test difference                         a real Kafka 4.3.1 against the recording
//! KAFKA_BROKERS=… UPDATE_RECORDING=1 cargo test --test difference      a real Kafka 4.3.1 makes the recording anew
//! ```
//!
//! The real one is a single node with the settings of `scripts/kafka --auto-create false`. Requests and answers pass
//! through this crate's own codec, which has tests of its own against other implementations.
//!
//! Left out is what the development broker refuses on purpose: transactions, with what belongs to them (coordinators of
//! transactional ids, Produce with such an id). Left out, too, is what Kafka itself answers never or fails of; where it would
//! stand a comment says so.
//!
//! | file | holds |
//! | --- | --- |
//! | `stream/` | the requests, in order |
//! | `player.rs` | sends them and notes what comes back |
//! | `connection.rs` | one connection |
//! | `batches.rs` | record batches, sound and broken |
//! | `mask.rs` | answers as text, without what differs from run to run |
//! | `recording.rs` | the recording as a file, and the comparison |
#![cfg(feature = "devbroker")]

use std::time::{SystemTime, UNIX_EPOCH};

mod batches;
mod connection;
mod mask;
mod player;
mod recording;
mod stream;

use krs::devbroker::{DevBroker, Options};
use player::Player;

const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/difference/kafka-4.3.1.txt");
const HEAD: &str = "\
# What Apache Kafka 4.3.1 answers to the stream of tests/difference. Written by the test; see its head for how.
# `closed` is a closed connection in place of an answer, `no answer` is silence where the protocol has no answer.
";

#[test]
fn every_answer_is_the_one_that_kafka_gives() {
    let real = std::env::var("KAFKA_BROKERS").ok().filter(|brokers| !brokers.is_empty());
    let update = std::env::var("UPDATE_RECORDING").is_ok_and(|update| !update.is_empty() && update != "0");
    let (_broker, address) = match real {
        Some(brokers) => (None, brokers.split(',').next().unwrap_or_default().to_owned()),
        None => {
            assert!(!update, "the recording is made by a real Kafka: set KAFKA_BROKERS");
            let (broker, address) = devbroker();
            (Some(broker), address)
        }
    };
    let mut player = Player::start(&address, &run());
    stream::play(&mut player);
    let in_vain = player.in_vain;
    let steps = player.into_steps();
    if update {
        assert_eq!(in_vain, 0, "Kafka did not do what was waited for; nothing is recorded");
        std::fs::write(RECORDING, recording::write(HEAD, &steps)).expect("the recording can be written");
        return;
    }
    let recorded = std::fs::read_to_string(RECORDING).expect("the recording is part of the tree");
    if let Some(difference) = recording::compare(&recording::read(&recorded), &steps) {
        panic!("answers differ from the recording\n\n{difference}");
    }
}

/// In the state in which `scripts/kafka --auto-create false` starts the real one.
fn devbroker() -> (DevBroker, String) {
    let mut options = Options::default();
    options.auto_create_topics = false;
    options.partitions = 1;
    let broker = DevBroker::start(options).expect("the development broker starts");
    let address = broker.bootstrap();
    (broker, address)
}

/// Marks the names of this run; always of the same length.
fn run() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_millis();
    format!("{:08x}", now as u32 ^ std::process::id().rotate_left(16))
}
