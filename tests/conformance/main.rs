//! What a user of Kafka relies on, over real TCP: one suite for the development broker and for Apache Kafka.
//!
//! `cargo test` runs it on a development broker of its own. On any other Kafka, with any number of brokers:
//!
//! ```sh
//! KAFKA_BROKERS=localhost:9092 cargo test --test conformance
//! ```
//!
//! Every expectation is what Apache Kafka 4.3.1 and 3.9.2 do; where the development broker differs, it is wrong. Nothing
//! is skipped: what a broker's version lacks it must refuse, and say so in ApiVersions. Each test has topics and groups of
//! its own, so the tests run side by side, also on a Kafka that is in use.
//!
//! `produce`, `consume`, `groups`, `modern` and the first half of `topics` see Kafka as a program does, through the client. The other
//! files say single requests, with `wire`: in every version that both sides know, and such as no good client says.
#![cfg(feature = "devbroker")]

mod admin;
mod classic;
mod configs;
mod consume;
mod consumer_groups;
mod fetches;
mod group_admin;
mod groups;
mod idempotence;
mod lookup;
mod modern;
mod offsets;
mod produce;
mod support;
mod topics;
mod versions;
mod wire;
