//! What runs leave on a broker that was there before them: it is deleted again, after a failure too.

use std::thread;
use std::time::{Duration, Instant};

use krs::kafka::protocol::ErrorCode;
use krs::{Admin, Config, Result};

/// How often a group is tried again that still has members: those that were killed, and static ones, which do not say
/// that they leave, stay until their sessions are over.
const AGAIN: Duration = Duration::from_millis(500);

/// Topics and groups that are to go.
#[derive(Debug, Default)]
pub struct Leftovers {
    topics: Vec<String>,
    groups: Vec<String>,
    deleted_topics: usize,
    deleted_groups: usize,
}

impl Leftovers {
    /// Before they are created.
    pub fn add(&mut self, topics: &[String], groups: impl Iterator<Item = String>) {
        self.topics.extend_from_slice(topics);
        self.groups.extend(groups);
    }

    /// Deletes the topics, and the groups that have no members any more. An error is the last of several.
    pub fn sweep(&mut self, config: &Config) -> Result<()> {
        if self.topics.is_empty() && self.groups.is_empty() {
            return Ok(());
        }
        let admin = Admin::connect(config)?;
        let mut wrong = Ok(());
        let mut is_gone = |outcome: Result<()>, deleted: &mut usize| match outcome {
            Ok(()) => {
                *deleted += 1;
                true
            }
            Err(error) => {
                // Its run failed before it was created, or the broker was quicker.
                let never = [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::GROUP_ID_NOT_FOUND]
                    .map(Some)
                    .contains(&error.code());
                if !never {
                    wrong = Err(error);
                }
                never
            }
        };
        let names: Vec<&str> = self.groups.iter().map(String::as_str).collect();
        let mut outcomes = admin.delete_groups(&names).into_iter();
        self.groups.retain(|_| outcomes.next().is_none_or(|outcome| !is_gone(outcome, &mut self.deleted_groups)));
        self.topics.retain(|topic| !is_gone(admin.delete_topic(topic), &mut self.deleted_topics));
        wrong
    }

    /// Deletes all of it, as soon as that is possible. Returns what was deleted.
    ///
    /// # Errors
    /// What is still there after `patience`, and why.
    pub fn remove(&mut self, config: &Config, patience: Duration) -> Result<String, String> {
        let until = Instant::now() + patience;
        loop {
            match self.sweep(config) {
                Ok(()) => return Ok(format!("{} topics and {} groups", self.deleted_topics, self.deleted_groups)),
                Err(error) if Instant::now() >= until => {
                    let left: Vec<_> = self.topics.iter().chain(&self.groups).cloned().collect();
                    return Err(format!("left on the broker: {}: {error}", left.join(", ")));
                }
                Err(_) => thread::sleep(AGAIN),
            }
        }
    }
}
