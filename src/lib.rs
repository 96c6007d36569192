//! Kafka Rust Services: a Kafka sender and receiver, on a blocking client of their own in pure Rust.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "bench")]
pub mod bench;
#[cfg(feature = "services")]
pub mod cli;
pub mod clock;
pub mod kafka;
#[cfg(feature = "services")]
pub mod logging;
#[cfg(feature = "services")]
pub mod service;
#[cfg(feature = "services")]
pub mod stats;
mod sync;

pub use kafka::config::{Config, Property, Scope};
#[doc(hidden)]
pub use kafka::protocol::fuzz;

pub use kafka::admin::{Admin, Created, NewTopic};
pub use kafka::consumer::{Consumer, ConsumerRecord, Rebalance, Records, TopicPartition};
pub use kafka::error::{Error, ErrorKind, Result};
pub use kafka::producer::{DeliveredBatch, Delivery, Producer, ProducerCounters, RecordMetadata, SentRecord};
pub use kafka::record::{Header, Record};
