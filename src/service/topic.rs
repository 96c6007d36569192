//! The services' topic: created when it is missing, never altered.

use std::time::Duration;

use super::Stop;
use crate::{Admin, Config, Created, NewTopic, Result};

/// How long the topic's creation may take where the user set no `default.api.timeout.ms`: a cluster that has just
/// started takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Creates the topic unless it exists, and says so in the log of `target`. `false` if the stop was asked for meanwhile.
pub(crate) fn ensure(
    config: &Config,
    name: &str,
    partitions: i32,
    replication_factor: i16,
    stop: &Stop,
    target: &'static str,
) -> Result<bool> {
    let config = config.clone().default_to("default.api.timeout.ms", PATIENCE.as_millis())?;
    let name = name.to_owned();
    let done = stop.unless_asked("creating the topic", move || {
        let topic = NewTopic { name: &name, partitions, replication_factor, configs: &[] };
        match Admin::connect(&config)?.create_topic(&topic)? {
            Created::New => log::info!(target: target, "Created topic {name} with {partitions} partitions"),
            Created::Existed => log::debug!(target: target, "Topic {name} exists"),
        }
        Ok(())
    })?;
    Ok(done.is_some())
}
