//! The services' topic: created when it is missing, never altered.

use super::Stop;
use crate::{Admin, Config, Created, NewTopic, Result};

/// Creates the topic unless it exists. `false` if the stop was asked for meanwhile.
pub(crate) fn ensure(
    config: &Config,
    name: &str,
    partitions: i32,
    replication_factor: i16,
    stop: &Stop,
) -> Result<bool> {
    let (config, name) = (config.clone(), name.to_owned());
    let done = stop.unless_asked("creating the topic", move || {
        let topic = NewTopic { name: &name, partitions, replication_factor, configs: &[] };
        match Admin::connect(&config)?.create_topic(&topic)? {
            Created::New => log::info!("created topic {name} with {partitions} partitions"),
            Created::Existed => log::debug!("topic {name} exists"),
        }
        Ok(())
    })?;
    Ok(done.is_some())
}
