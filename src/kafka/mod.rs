//! The client: everything a program needs to speak to Apache Kafka.

#[allow(dead_code, unused_imports)] // until producer, consumer and admin read their settings
pub(crate) mod config;
pub mod error;
pub mod protocol;
