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
pub use kafka::error::{Error, ErrorKind, Result};
