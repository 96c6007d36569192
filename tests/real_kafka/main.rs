//! The promises that only a real Apache Kafka can confirm, tested on one: whatever needs other clients, Kafka's own tools, or
//! brokers that are killed. What every Kafka must do is in `tests/conformance`.
//!
//! Not part of `cargo test`, which must need nothing: `.ci/run kafka-4.3.1` starts a broker and runs this, and so does
//!
//! ```sh
//! export KAFKA_VERSION=4.3.1 KAFKA_SCRIPT=$PWD/scripts/kafka KAFKA_DIR=/tmp/real-kafka/main
//! scripts/kafka --port 0 up
//! KAFKA_BROKERS=$(scripts/kafka address) cargo test --test real_kafka -- --test-threads=1
//! ```
//!
//! Without `KAFKA_BROKERS` every test fails; none is ever skipped. Java's own tools, reached through `KAFKA_SCRIPT`, and
//! `kcat` are the other side. Each test has topics and groups of its own, so the broker may be an old one.

mod groups;
mod handover;
mod interop;
mod logs;
mod members;
mod operate;
mod outage;
mod pauses;
#[path = "../util/process.rs"]
mod process;
mod rolling;
mod services;
mod streams;
mod support;
mod transactions;
