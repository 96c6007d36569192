//! `krs bench`: how fast the client is, and what it costs.

use crate::service::Stop;
use crate::{Config, Result};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sends `count` records of `size` bytes.
    Produce,
    /// Reads `count` records from the beginning of the topic, without a group.
    Consume,
}

/// What a measurement is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every Kafka property, `bootstrap.servers` among them.
    pub config: Config,
    /// What to measure.
    pub mode: Mode,
    /// The topic.
    pub topic: String,
    /// How many records. At least 1.
    pub count: u64,
    /// Bytes of each record's value, for [`Mode::Produce`]. Default 100.
    pub size: usize,
    /// Partitions of the topic if it has to be created, for [`Mode::Produce`]. Default 3.
    pub partitions: i32,
    /// Replication factor of the topic if it has to be created. Default 1.
    pub replication_factor: i16,
}

/// Measures until the count is reached or the stop is asked for and prints the result on standard output. Returns the
/// exit code: 0, or 1 if a record was not delivered or the topic ended early.
pub fn run(_options: &Options, _stop: &Stop) -> Result<u8> {
    Ok(0)
}
