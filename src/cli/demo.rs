//! `krs demo`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::broker::Kind;
use super::common::Output;
use super::resolve::{Resolver, Source, flag};
use crate::clock::parse_duration;
use crate::logging::Format;
use crate::service::demo::Options;
use crate::{Result, stats};

/// Everything at once, with nothing to install: a broker, the receiver and the sender, until Ctrl-C.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Typed {
    /// Ends after this long
    /// [default: goes on until Ctrl-C or SIGTERM]
    #[arg(long = "for", value_name = "TIME", help_heading = "Messages", verbatim_doc_comment)]
    duration: Option<OsString>,

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

    #[command(flatten)]
    kind: Kind,

    /// Milliseconds between two reports of rates, failures and latencies; 0 turns them off
    /// [env: STATS_INTERVAL_MS] [default: 10000]
    #[arg(long, value_name = "MS", help_heading = "Output", allow_negative_numbers = true, verbatim_doc_comment)]
    stats_interval: Option<OsString>,

    #[command(flatten)]
    pub(super) output: Output,
}

impl Typed {
    pub(super) fn resolve(&self, resolver: &Resolver<'_>, format: Format) -> Result<Options> {
        let mut options = Options { broker: self.kind.options(resolver)?, format, ..Options::default() };
        if let Some(given) = flag("--for", self.duration.as_ref())? {
            options.duration = Some(parse_duration(given.value()).map_err(|why| given.error(why, "10s"))?);
        }
        let interval = Source { flag: "--interval", typed: self.interval.as_ref(), variable: "SEND_INTERVAL_MS" };
        options.interval = resolver.millis(&interval, options.interval)?;
        let stats =
            Source { flag: "--stats-interval", typed: self.stats_interval.as_ref(), variable: "STATS_INTERVAL_MS" };
        let every = resolver.millis(&stats, stats::DEFAULT_INTERVAL)?;
        options.stats_interval = Some(every).filter(|every| *every > Duration::ZERO);
        Ok(options)
    }
}
