//! `krs send`, which is also `sender`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::common::{Course, Kafka, Output, Topic};
use super::resolve::{self, Resolver, Source};
use crate::Result;
use crate::kafka::config::Scope;
use crate::kafka::config::given::shown;
use crate::service::message::MAX_PRODUCER_ID;
use crate::service::sender::Options;

/// Sends a JSON message at a fixed rate until Ctrl-C, then waits for what is under way.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Typed {
    #[command(flatten)]
    pub(super) kafka: Kafka,

    #[command(flatten)]
    topic: Topic,

    /// Milliseconds from one message to the next; 0 sends as fast as it can
    /// [env: SEND_INTERVAL_MS] [default: 100]
    #[arg(
        short,
        long,
        value_name = "MS",
        help_heading = "Messages",
        allow_negative_numbers = true,
        verbatim_doc_comment
    )]
    interval: Option<OsString>,

    /// Milliseconds after which a message that was not acknowledged is given up
    /// [env: MESSAGE_TIMEOUT_MS] [default: 5000]
    #[arg(long, value_name = "MS", help_heading = "Messages", allow_negative_numbers = true, verbatim_doc_comment)]
    message_timeout: Option<OsString>,

    /// Tells this sender from others in a receiver's totals
    /// [env: PRODUCER_ID] [default: host name and process id]
    #[arg(long, value_name = "ID", help_heading = "Messages", verbatim_doc_comment)]
    producer_id: Option<OsString>,

    #[command(flatten)]
    course: Course,

    #[command(flatten)]
    pub(super) output: Output,
}

impl Typed {
    pub(super) fn resolve(&self, resolver: &Resolver<'_>) -> Result<Options> {
        let timeout =
            Source { flag: "--message-timeout", typed: self.message_timeout.as_ref(), variable: "MESSAGE_TIMEOUT_MS" };
        let config = resolver.property(self.kafka.config(resolver)?, "message.timeout.ms", &timeout)?;
        let interval = Source { flag: "--interval", typed: self.interval.as_ref(), variable: "SEND_INTERVAL_MS" };
        let mut options = Options::new(resolve::checked(config, Scope::Producer)?);
        options.topic = self.topic.name(resolver)?;
        options.interval = resolver.millis(&interval, Duration::from_millis(100))?;
        options.count = self.course.count(resolver)?;
        options.producer_id = self.producer_id(resolver)?;
        options.partitions = self.topic.layout.partitions(resolver)?;
        options.replication_factor = self.topic.layout.replication_factor(resolver)?;
        options.stats_interval = self.course.stats_interval(resolver)?;
        Ok(options)
    }

    fn producer_id(&self, resolver: &Resolver<'_>) -> Result<Option<String>> {
        let source = Source { flag: "--producer-id", typed: self.producer_id.as_ref(), variable: "PRODUCER_ID" };
        let Some(given) = resolver.given(&source)? else { return Ok(None) };
        let id = given.value().trim();
        if id.is_empty() {
            return Err(given.error("the value is empty", "sender-1"));
        }
        if let Some(character) = id.chars().find(|c| c.is_control()) {
            return Err(given.error(format!("{} is not possible in it", shown(&character.to_string())), "sender-1"));
        }
        if id.len() > MAX_PRODUCER_ID {
            return Err(given.error(format!("{} bytes, at most {MAX_PRODUCER_ID} are possible", id.len()), "sender-1"));
        }
        Ok(Some(id.to_owned()))
    }
}
