//! What a user of Kafka relies on, over real TCP: one suite for the development broker and for Apache Kafka.
//!
//! `cargo test` runs it on a development broker of its own. On any other Kafka, with any number of brokers:
//!
//! ```sh
//! KAFKA_BROKERS=localhost:9092 cargo test --test conformance
//! ```
//!
//! Every expectation is what Apache Kafka 4.3 and 3.9 do; where the development broker differs, it is wrong. Nothing is
//! skipped: what a broker's version lacks it must refuse, and say so in ApiVersions. Each test has topics and groups of
//! its own, so the broker may be an old one and the tests run side by side.

mod admin;
mod classic;
mod configs;
mod consume;
mod consumer_groups;
mod fetches;
mod group_admin;
mod groups;
mod idempotence;
mod offsets;
mod produce;
mod support;
mod topics;
mod versions;
mod wire;
