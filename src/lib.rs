//! Kafka Rust Services: a Kafka sender and receiver, on a blocking client of their own in pure Rust.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod clock;
pub mod kafka;
mod sync;

pub use kafka::config::{Config, Property, Scope};
#[doc(hidden)]
pub use kafka::protocol::fuzz;

pub use kafka::admin::{Admin, Created, NewTopic};
pub use kafka::consumer::{Consumer, ConsumerRecord, Rebalance, Records, TopicPartition};
pub use kafka::error::{Error, ErrorKind, Result};
pub use kafka::producer::{DeliveredBatch, Delivery, Producer, ProducerCounters, RecordMetadata, SentRecord};
pub use kafka::record::{Header, Record};
