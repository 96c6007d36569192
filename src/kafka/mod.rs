//! The client: everything a program needs to speak to Apache Kafka.

pub mod error;
mod producer;
pub mod protocol;
pub mod record;
