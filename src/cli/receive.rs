//! `krs receive`, which is also `receiver`.

use std::ffi::OsString;

use clap::Args;

use super::common::{Course, Kafka, Output, Topic};
use super::resolve::{self, Resolver, Source};
use crate::Result;
use crate::kafka::config::Scope;
use crate::logging::Format;
use crate::service::receiver::Options;

/// Receives as one of a group, writes a line for each message, and commits what it has written.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Typed {
    #[command(flatten)]
    pub(super) kafka: Kafka,

    #[command(flatten)]
    topic: Topic,

    /// The group whose members share the topic's partitions
    /// [env: CONSUMER_GROUP] [default: rust-consumer-group]
    #[arg(short, long, value_name = "NAME", help_heading = "Kafka", verbatim_doc_comment)]
    group: Option<OsString>,

    #[command(flatten)]
    course: Course,

    #[command(flatten)]
    pub(super) output: Output,
}

impl Typed {
    pub(super) fn resolve(&self, resolver: &Resolver<'_>, format: Format) -> Result<Options> {
        let group = Source { flag: "--group", typed: self.group.as_ref(), variable: "CONSUMER_GROUP" };
        let config = resolver.property(self.kafka.config(resolver)?, "group.id", &group)?;
        let mut options = Options::new(resolve::checked(config, Scope::Consumer)?);
        options.topic = self.topic.name(resolver)?;
        options.count = self.course.count(resolver)?;
        options.partitions = self.topic.layout.partitions(resolver)?;
        options.replication_factor = self.topic.layout.replication_factor(resolver)?;
        options.stats_interval = self.course.stats_interval(resolver)?;
        options.format = format;
        Ok(options)
    }
}
