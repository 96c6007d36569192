//! Foreign clients as judges of the development broker: what they pass on Apache Kafka they must pass on it, and see the
//! same.
//!
//! Members of ours, of Java's and of librdkafka's share groups here too, and our assignors are compared with Java's.
//!
//! Not part of `cargo test`, which must need nothing. `.ci/run judges` fetches what it takes and runs this; by hand, with a
//! JDK 17:
//!
//! ```sh
//! python3 -m venv /tmp/judges && /tmp/judges/bin/pip install confluent-kafka kafka-python aiokafka
//! export JUDGES_PYTHON=/tmp/judges/bin/python
//! export KAFKA_VERSION=4.3.1 KAFKA_SCRIPT=$PWD/scripts/kafka KAFKA_DIR=/tmp/real-kafka/judges
//! scripts/kafka --port 0 up
//! KAFKA_BROKERS=$(scripts/kafka address) cargo test --test judges -- [TEXT]
//! ```
//!
//! Each check, or each with the text in its name, runs on a `krs broker` and on that Kafka. A check asserts what it can
//! know, and what it saw on one side must be what it saw on the other; `JUDGES_SHOW=1` prints it. What is missing fails,
//! nothing is skipped.

mod assignors;
mod clients;
mod groups;
mod kcat;
#[path = "../util/process.rs"]
mod process;
mod python;
mod side;
mod table;
mod topics;
mod transactions;
mod trio;

use std::process::ExitCode;

use self::side::{DevBroker, Kafka};

fn main() -> ExitCode {
    let kafka = match Kafka::from_environment() {
        Ok(kafka) => kafka,
        Err(missing) => {
            eprintln!("{missing}; see the head of tests/judges/main.rs");
            return ExitCode::FAILURE;
        }
    };
    let mut checks = kcat::checks();
    checks.extend(topics::checks());
    checks.extend(clients::checks());
    checks.extend(trio::checks());
    checks.extend(groups::checks());
    checks.extend(python::checks());
    checks.extend(assignors::checks());
    checks.extend(transactions::checks());
    let words: Vec<String> = std::env::args().skip(1).collect();
    checks.retain(|check| words.iter().all(|word| check.name.contains(word.as_str())));

    let dev = DevBroker::start(&kafka);
    let mut table = table::ask(&checks, dev.side(), kafka.side());
    table.add_dev_only("krs broker ends on SIGTERM", dev.stop());
    table.conclude()
}
