//! `krs broker`, and the flags it shares with `krs demo`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::common::Output;
use super::resolve::{Resolver, Source, flag};
use crate::devbroker::{Options, Version};
use crate::kafka::config::Given;
use crate::{Error, Result};

/// A Kafka for development in this one process: no Docker, no Java. Any client can use it.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Typed {
    /// Where to listen, host:port; port 0 is a free one, and more brokers take the ports behind it
    /// [default: 127.0.0.1:9092]
    #[arg(short, long, value_name = "ADDRESS", help_heading = "Network", verbatim_doc_comment)]
    listen: Option<OsString>,

    /// The host that clients are told to connect to
    /// [default: the host of --listen, or localhost if that is every address]
    #[arg(long, value_name = "HOST", help_heading = "Network", verbatim_doc_comment)]
    advertise: Option<OsString>,

    #[command(flatten)]
    pub(super) kind: Kind,

    /// Asking for an unknown topic does not create it, whatever the client says
    #[arg(long, help_heading = "Topics")]
    no_auto_create: bool,

    /// How much all topics together may keep; beyond, the oldest goes
    /// [default: 256MB]
    #[arg(long, value_name = "SIZE", help_heading = "Topics", verbatim_doc_comment)]
    retention: Option<OsString>,

    /// Keeps topics, messages and positions in this directory over restarts.
    /// What is acknowledged survives kill -9; a stop forces all onto the disk
    /// [default: none, all ends with the broker]
    #[arg(long, value_name = "DIR", help_heading = "Topics", verbatim_doc_comment)]
    data_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(super) output: Output,
}

/// What kind of Kafka it is.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Kind {
    /// How many brokers, all in this process
    /// [default: 1]
    #[arg(long, value_name = "N", help_heading = "Network", verbatim_doc_comment)]
    brokers: Option<OsString>,

    /// Partitions of a topic that is created without saying how many
    /// [default: 3]
    #[arg(long, value_name = "N", help_heading = "Topics", verbatim_doc_comment)]
    partitions: Option<OsString>,

    /// Offers the protocol versions of an older Kafka: 2.4, 3.9 or 4.3
    /// [default: 4.3]
    #[arg(id = "as", long = "as", value_name = "VERSION", help_heading = "Trouble", verbatim_doc_comment)]
    version: Option<OsString>,

    /// Goes wrong on purpose: WHERE:WHAT,WHEN, as in produce:error=NOT_LEADER_OR_FOLLOWER,every=50 or
    /// broker=2,down=5s,after=10s; repeatable, and the README has them all
    #[arg(
        long = "fault",
        value_name = "FAULT",
        help_heading = "Trouble",
        action = clap::ArgAction::Append,
        verbatim_doc_comment
    )]
    faults: Vec<OsString>,
}

const DEFAULT_LISTEN: &str = "127.0.0.1:9092";
const MOST_BROKERS: i64 = 100;
const MOST_PARTITIONS: i64 = 100_000;

impl Typed {
    pub(super) fn resolve(&self, resolver: &Resolver<'_>) -> Result<Options> {
        let mut options = self.kind.options(resolver)?;
        let listen = flag("--listen", self.listen.as_ref())?;
        (options.host, options.port) = match &listen {
            None => address(&Given::elsewhere("--listen", DEFAULT_LISTEN))?,
            Some(given) => address(given)?,
        };
        if let Some(given) = flag("--advertise", self.advertise.as_ref())? {
            if given.value().is_empty() || given.value().contains([':', ' ', ',']) && !given.value().starts_with('[') {
                return Err(given.error("not a host name without a port", "kafka.local"));
            }
            let bare = given.value().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            options.advertised_host = Some(bare.unwrap_or(given.value()).to_owned());
        }
        options.auto_create_topics = !self.no_auto_create;
        if let Some(given) = flag("--retention", self.retention.as_ref())? {
            options.retention_bytes = size(&given)?;
        }
        if self.data_dir.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(Error::config("--data-dir: no directory, for example krs-data"));
        }
        options.data_dir.clone_from(&self.data_dir);
        Ok(options)
    }
}

impl Kind {
    pub(super) fn options(&self, resolver: &Resolver<'_>) -> Result<Options> {
        let mut options = Options::default();
        let number = |name: &'static str, typed, most, example| {
            let given = resolver.count(&Source { flag: name, typed, variable: "" }, most, example)?;
            // `most` fits.
            Ok::<_, Error>(given.and_then(|number| i32::try_from(number).ok()))
        };
        if let Some(brokers) = number("--brokers", self.brokers.as_ref(), MOST_BROKERS, "3")? {
            options.brokers = brokers;
        }
        if let Some(partitions) = number("--partitions", self.partitions.as_ref(), MOST_PARTITIONS, "3")? {
            options.partitions = partitions;
        }
        if let Some(given) = flag("--as", self.version.as_ref())? {
            let known = Version::ALL.into_iter().find(|version| version.name() == given.value());
            options.version =
                known.ok_or_else(|| given.error("no Kafka whose versions are known: 2.4, 3.9 or 4.3", "3.9"))?;
        }
        for typed in &self.faults {
            if let Some(given) = flag("--fault", Some(typed))? {
                options.faults.push(given.value().parse()?);
            }
        }
        Ok(options)
    }
}

/// Host and port; an IPv6 address stands in brackets.
fn address(given: &Given) -> Result<(String, u16)> {
    let wrong = || given.error("not host:port", DEFAULT_LISTEN);
    let (host, port) = given.value().rsplit_once(':').ok_or_else(wrong)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(bare) => bare,
        None if host.is_empty() || host.contains([':', ' ', ',', '/']) => return Err(wrong()),
        None => host,
    };
    Ok((host.to_owned(), port.parse().map_err(|_| wrong())?))
}

/// Bytes, as people write them: `256MB`, `1GB`, `500kB`, `1000000`.
fn size(given: &Given) -> Result<usize> {
    let wrong = || given.error("not a size: a whole number and kB, MB or GB", "256MB");
    let text = given.value();
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match text[unit..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: usize = text[..unit].parse().map_err(|_| wrong())?;
    let bytes = number.checked_mul(factor).ok_or_else(wrong)?;
    if bytes < 1 << 20 { Err(given.error("at least 1MB", "256MB")) } else { Ok(bytes) }
}
