//! Administration: what the services need before they can start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::config::{ClientSettings, Config, names};
use super::error::{Error, ErrorKind, Result};
use super::net::Closer;
use super::protocol::messages::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use super::protocol::{ApiKey, ErrorCode};
use crate::clock::{Backoff, Deadline};

/// Creates topics and asks about them. Ends with its last handle.
pub struct Admin {
    cluster: Arc<Cluster>,
    timeout: Duration,
}

/// A topic to be created.
#[derive(Clone, Debug)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions; -1 for the broker's default.
    pub partitions: i32,
    /// How many replicas of each; -1 for the broker's default.
    pub replication_factor: i16,
    /// Topic configurations, by name.
    pub configs: &'a [(&'a str, &'a str)],
}

/// Whether a topic had to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New,
    /// It was there, and was left as it is.
    Existed,
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
        Ok(Self { cluster: Cluster::start(Arc::new(settings))?, timeout })
    }

    /// Creates a topic unless it exists, and waits until each partition of the new one has a leader. An existing topic
    /// is not altered, and may have partitions without one.
    ///
    /// # Errors
    /// What the broker refused, or `default.api.timeout.ms` passed.
    pub fn create_topic(&self, topic: &NewTopic<'_>) -> Result<Created> {
        names::check_topic(topic.name)?;
        let deadline = Deadline::after("default.api.timeout.ms", self.timeout);
        self.cluster.track([topic.name]);
        if self.exists(topic.name, deadline)? {
            return Ok(Created::Existed);
        }
        let created = self.ask_controller(topic, deadline)?;
        self.await_leaders(topic.name, deadline)?;
        Ok(created)
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// The topic does not exist, or `default.api.timeout.ms` passed.
    pub fn partition_count(&self, topic: &str) -> Result<i32> {
        names::check_topic(topic)?;
        let deadline = Deadline::after("default.api.timeout.ms", self.timeout);
        self.cluster.track([topic]);
        if !self.exists(topic, deadline)? {
            let code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            return Err(Error::broker_code(ApiKey::Metadata, code, Some("the topic does not exist")).with_topic(topic));
        }
        let count = self.cluster.snapshot().topic(topic).map_or(0, |known| known.partitions.len());
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// Whether the topic is there, as one fresh answer tells.
    fn exists(&self, name: &str, deadline: Deadline) -> Result<bool> {
        let mut snapshot = self.cluster.snapshot();
        // What was missing or refused earlier may be there by now.
        let mut fresh = false;
        loop {
            match snapshot.topics.get(name).map(|topic| topic.error) {
                Some(ErrorCode::NONE) => return Ok(true),
                Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) if fresh => return Ok(false),
                Some(code) if fresh && !code.is_retriable() => {
                    return Err(Error::broker_code(ApiKey::Metadata, code, None).with_topic(name));
                }
                Some(_) => self.cluster.request_refresh(),
                None => {}
            }
            fresh = true;
            snapshot = self.cluster.wait_newer(snapshot.version, deadline).ok_or_else(|| self.late(name, deadline))?;
        }
    }

    fn ask_controller(&self, topic: &NewTopic<'_>, deadline: Deadline) -> Result<Created> {
        let settings = self.cluster.settings();
        let mut backoff = Backoff::new(settings.retry_backoff, settings.retry_backoff_max);
        // A controller that cannot be reached is told no later than bootstrap brokers that cannot.
        let patience = Deadline::after("the first connection", settings.first_connect_timeout).min(deadline);
        let mut cause: Option<Error> = None;
        loop {
            let error = match self.try_create(topic, deadline) {
                Ok(created) => return Ok(created),
                Err(error) => error,
            };
            let until = if error.kind() == ErrorKind::Unreachable { patience } else { deadline };
            if !error.is_retriable() || until.passed(Instant::now()) {
                // The last attempt may have been too short to fail for any reason but its deadline.
                let error = if error.kind() == ErrorKind::Timeout { cause.unwrap_or(error) } else { error };
                return Err(error.with_topic(topic.name));
            }
            log::debug!("{error}; trying again");
            self.cluster.request_refresh();
            std::thread::sleep(backoff.failed().min(deadline.left(Instant::now())));
            cause = Some(error);
        }
    }

    fn try_create(&self, topic: &NewTopic<'_>, deadline: Deadline) -> Result<Created> {
        let settings = self.cluster.settings();
        let step = Deadline::after("request.timeout.ms", settings.request_timeout).min(deadline);
        let controller = self.cluster.snapshot().controller_id;
        let mut connection = if controller < 0 {
            self.cluster.connect_any(&Closer::new(), step)?
        } else {
            self.cluster.connect(controller, &Closer::new(), step)?
        };
        let configs = topic
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig { name: (*name).to_owned(), value: Some((*value).to_owned()) })
            .collect();
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.name.to_owned(),
                num_partitions: topic.partitions,
                replication_factor: topic.replication_factor,
                configs,
                ..Default::default()
            }],
            timeout_ms: i32::try_from(settings.request_timeout.as_millis()).unwrap_or(i32::MAX),
            ..Default::default()
        };
        let response = connection.call(&request, step)?;
        let Some(result) = response.topics.iter().find(|result| result.name == topic.name) else {
            return Err(Error::protocol("the answer does not mention the topic").with_api(ApiKey::CreateTopics));
        };
        match result.error_code {
            ErrorCode::NONE => Ok(Created::New),
            // Someone else was faster.
            ErrorCode::TOPIC_ALREADY_EXISTS => Ok(Created::Existed),
            code => Err(Error::broker_code(ApiKey::CreateTopics, code, result.error_message.as_deref())
                .with_broker(connection.broker().to_owned())),
        }
    }

    fn await_leaders(&self, name: &str, deadline: Deadline) -> Result<()> {
        let mut snapshot = self.cluster.snapshot();
        loop {
            let topic = snapshot.topic(name).filter(|topic| !topic.partitions.is_empty());
            if topic.is_some_and(|topic| topic.partitions.iter().all(|partition| partition.leader.is_some())) {
                return Ok(());
            }
            self.cluster.request_refresh();
            snapshot = self.cluster.wait_newer(snapshot.version, deadline).ok_or_else(|| self.late(name, deadline))?;
        }
    }

    fn late(&self, name: &str, deadline: Deadline) -> Error {
        let error = Error::timeout(&deadline, "waiting for the topic's partitions to have leaders").with_topic(name);
        match self.cluster.failure() {
            Some(cause) => Error::new(ErrorKind::Timeout, format!("{error}: {cause}")),
            None => error,
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.cluster.close();
    }
}
