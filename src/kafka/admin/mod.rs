//! Administration: topics, their configurations, consumer groups and their offsets.
//!
//! Every call ends by `default.api.timeout.ms`, whatever the brokers do. Calls about several things give one result for
//! each, in the order asked, so that one partition without a leader does not hide the others.

mod ask;
mod configs;
mod groups;
mod lag;
mod offsets;
mod timestamps;
mod topics;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource};
pub use groups::{GroupDescription, GroupListing, GroupMember, GroupType};
pub use lag::{GroupLag, PartitionLag};
pub use offsets::{CommittedOffset, OffsetSpec};
pub use topics::{Created, NewTopic, PartitionDescription, TopicDescription};

use super::cluster::Cluster;
use super::config::{ClientSettings, Config};
use super::error::{Error, Result};
use super::net::Connection;
use super::protocol::{ApiKey, ErrorCode};
use crate::clock::Deadline;

/// Asks about topics and groups and changes them. Ends with its last handle.
///
/// ```no_run
/// # fn main() -> krs::Result<()> {
/// use krs::{Admin, Config};
///
/// let admin = Admin::connect(&Config::new().set("bootstrap.servers", "localhost:9092")?)?;
/// for topic in admin.list_topics()? {
///     println!("{} has {} partitions", topic.name, topic.partitions.len());
/// }
/// for lag in admin.lag(&["readers"]) {
///     println!("{} records behind", lag?.total());
/// }
/// # Ok(()) }
/// ```
pub struct Admin {
    cluster: Arc<Cluster>,
    timeout: Duration,
    /// Connections that no call uses at present, by node id; that of [`ask::ANY`] is to any broker.
    idle: Mutex<HashMap<i32, Connection>>,
}

impl Admin {
    /// Connects to the cluster that `bootstrap.servers` names.
    ///
    /// # Errors
    /// A setting that is wrong, or no broker that can be used, within 10 s.
    pub fn connect(config: &Config) -> Result<Self> {
        // Looking whether a topic exists must not create it.
        let settings = ClientSettings { allow_auto_create_topics: false, ..config.client()? };
        let timeout = settings.default_api_timeout;
        Ok(Self { cluster: Cluster::start(Arc::new(settings))?, timeout, idle: Mutex::default() })
    }

    /// The limit of one call.
    fn deadline(&self) -> Deadline {
        Deadline::after("default.api.timeout.ms", self.timeout)
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.cluster.close();
    }
}

/// What a broker leaves out of its answer.
fn unmentioned(api: ApiKey, what: &str) -> Error {
    Error::protocol(format!("the answer does not mention the {what}")).with_api(api)
}

/// `Ok` for no error, else the code as an error of that API.
fn checked(api: ApiKey, code: ErrorCode, message: Option<&str>) -> Result<()> {
    code.ok().map_err(|code| Error::broker_code(api, code, message))
}

/// The only result of a call about one thing.
fn only<T>(mut results: Vec<Result<T>>) -> Result<T> {
    results.pop().unwrap_or_else(|| Err(Error::state("nothing was asked for")))
}
