//! What an operator reaches for: the work behind `krs topic` and `krs group`.
//!
//! A task is done completely, and then its result written: a table for people, or with `--json` one object on one line.
//! Nothing is changed before everything that can be checked has been. What was typed is the command line's business.

mod confirm;
mod groups;
mod json;
mod lag;
mod reset;
mod table;
mod topics;

use std::io;
use std::time::Duration;

use crate::service::Stop;
use crate::{Admin, Config, Error, ErrorKind, Result};

pub use groups::GroupTask;
pub use reset::{Reset, Target};
pub use topics::TopicTask;

/// What to do, and where.
#[derive(Clone, Debug)]
pub struct Task {
    /// Of the client.
    pub config: Config,
    /// One JSON object in place of a table.
    pub json: bool,
    /// The work.
    pub work: Work,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Work {
    /// `krs topic`.
    Topic(TopicTask),
    /// `krs group`.
    Group(GroupTask),
}

impl Task {
    /// Whether it goes on until it is asked to stop.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(&self.work, Work::Group(GroupTask::Lag { watch: Some(_), .. }))
    }
}

/// The properties that these commands set where the user does not: somebody waits for the answer.
pub const DEFAULTS: &[(&str, &str)] = &[("default.api.timeout.ms", "10000"), ("request.timeout.ms", "5000")];

/// The time between two looks of `--watch` that names none.
pub const WATCH: Duration = Duration::from_secs(2);

/// Where results go: standard output, and whoever reads it may have gone.
pub(crate) struct Output<'a> {
    json: bool,
    write: &'a mut dyn FnMut(&str) -> io::Result<()>,
}

impl Output<'_> {
    /// Writes a result; `false` if nobody reads it any more.
    fn tell(&mut self, text: &str) -> Result<bool> {
        match (self.write)(text.trim_end()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Error::new(ErrorKind::Io, format!("cannot write to standard output: {error}"))),
        }
    }

    /// Writes one of the two.
    fn either(&mut self, json: impl FnOnce() -> String, text: impl FnOnce() -> String) -> Result<bool> {
        let text = if self.json { json() } else { text() };
        self.tell(&text)
    }
}

/// Does it. `write` writes its argument as a line or lines, and flushes.
///
/// # Errors
/// What was refused, is missing or did not answer; nothing was changed unless the text says so.
pub fn run(task: &Task, stop: &Stop, write: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<()> {
    let mut config = task.config.clone();
    for (name, value) in DEFAULTS {
        config = config.default_to(name, value)?;
    }
    let mut output = Output { json: task.json, write };
    if let Work::Group(GroupTask::Lag { group, watch: Some(interval) }) = &task.work {
        return lag::watch(&config, group, *interval, stop, &mut output);
    }
    let admin = Admin::connect(&config)?;
    match &task.work {
        Work::Topic(task) => topics::run(&admin, task, &mut output),
        Work::Group(task) => groups::run(&admin, task, &mut output),
    }
}
