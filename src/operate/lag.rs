//! `krs group lag`: how far a group is behind, once or again and again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::groups::plainly;
use super::table::{Table, known, printable};
use super::{Output, json};
use crate::kafka::admin::GroupLag;
use crate::service::Stop;
use crate::sync::lock;
use crate::{Admin, Config, Error, Result};

pub(super) fn of(admin: &Admin, group: &str) -> Result<GroupLag> {
    let nothing = || Err(Error::state("nothing was asked for"));
    admin.lag(&[group]).pop().unwrap_or_else(nothing).map_err(|error| plainly(group, error))
}

pub(super) fn tell(lag: &GroupLag, output: &mut Output<'_>) -> Result<bool> {
    output.either(|| json::line(&json::Lag::of(lag)), || table(lag))
}

fn table(lag: &GroupLag) -> String {
    let mut table = Table::new(&["TOPIC", "PARTITION#", "COMMITTED#", "END#", "LAG#", "SECONDS#", "MEMBER"]);
    for it in &lag.partitions {
        table.row(vec![
            it.partition.topic.to_string(),
            it.partition.partition.to_string(),
            known(it.committed),
            known(it.end),
            known(it.lag),
            known(it.lag_ms.map(|ms| format!("{:.1}", ms as f64 / 1000.0))),
            it.member.clone().unwrap_or_default(),
        ]);
    }
    let mut text = format!("group {}, {}\n{table}", printable(lag.group.id.clone()), lag.group.state);
    let topics = lag.topics();
    if topics.len() > 1 {
        let mut table = Table::new(&["TOPIC", "LAG#"]);
        topics.iter().for_each(|(topic, lag)| table.row(vec![(*topic).to_owned(), lag.to_string()]));
        text = format!("{text}\n{table}");
    }
    format!("{text}\ntotal lag {}", lag.total())
}

/// Tells it every so often until the stop is asked for or nobody reads it any more. A look that fails after one that did
/// not is told in the log, and the next one may work.
pub(super) fn watch(
    config: &Config,
    group: &str,
    interval: Duration,
    stop: &Stop,
    output: &mut Output<'_>,
) -> Result<()> {
    let admin: Arc<Mutex<Option<Admin>>> = Arc::default();
    let mut worked = false;
    while !stop.is_asked() {
        let (shared, config, name) = (Arc::clone(&admin), config.clone(), group.to_owned());
        // A broker that does not answer keeps nobody from ending this.
        let look = stop.unless_asked("looking at the lag", move || {
            let mut admin = lock(&shared);
            let connected = match admin.take() {
                Some(connected) => connected,
                None => Admin::connect(&config)?,
            };
            of(admin.insert(connected), &name)
        });
        match look {
            Ok(None) => break,
            Ok(Some(lag)) => {
                if !tell(&lag, output)? {
                    break;
                }
                worked = true;
            }
            Err(error) if worked && error.is_retriable() => log::error!("{error}"),
            Err(error) => return Err(error),
        }
        if stop.wait(interval) {
            break;
        }
    }
    Ok(())
}
