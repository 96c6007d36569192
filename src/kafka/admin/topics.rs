//! Topics: listed, described, created, deleted, given more partitions.

use super::ask::{ANY, Tries};
use super::{Admin, checked, only, unmentioned};
use crate::clock::Deadline;
use crate::kafka::config::names;
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::protocol::messages::{
    CreatableTopic, CreatableTopicConfig, CreatePartitionsRequest, CreatePartitionsTopic, CreateTopicsRequest,
    DeleteTopicState, DeleteTopicsRequest, MetadataRequest, MetadataRequestTopic, MetadataResponseTopic,
};
use crate::kafka::protocol::{ApiKey, ErrorCode, Uuid};

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

/// A topic as a broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id (KIP-516); `None` from a broker older than 2.8.
    pub id: Option<Uuid>,
    /// Whether it is one of Kafka's own, such as `__consumer_offsets`.
    pub internal: bool,
    /// By partition number.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as a broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number, from 0.
    pub partition: i32,
    /// The node that leads it; `None` while no broker does.
    pub leader: Option<i32>,
    /// Counts its leaders; `None` from a broker that does not tell.
    pub leader_epoch: Option<i32>,
    /// The nodes that keep a replica, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub isr: Vec<i32>,
    /// Those of them on brokers that are down.
    pub offline: Vec<i32>,
}

impl TopicDescription {
    /// How many replicas a partition has: those of the first.
    pub fn replication_factor(&self) -> usize {
        self.partitions.first().map_or(0, |partition| partition.replicas.len())
    }

    fn from_answer(topic: MetadataResponseTopic) -> Self {
        let partitions = topic.partitions.into_iter().map(|partition| PartitionDescription {
            partition: partition.partition_index,
            leader: Some(partition.leader_id).filter(|leader| *leader >= 0),
            leader_epoch: Some(partition.leader_epoch).filter(|epoch| *epoch >= 0),
            replicas: partition.replica_nodes,
            isr: partition.isr_nodes,
            offline: partition.offline_replicas,
        });
        let mut partitions: Vec<_> = partitions.collect();
        partitions.sort_by_key(|partition| partition.partition);
        Self {
            name: topic.name.unwrap_or_default(),
            id: Some(topic.topic_id).filter(|id| *id != Uuid::ZERO),
            internal: topic.is_internal,
            partitions,
        }
    }
}

impl Admin {
    /// All topics this client may see, by name, Kafka's internal ones marked.
    ///
    /// # Errors
    /// No broker answered within `default.api.timeout.ms`.
    pub fn list_topics(&self) -> Result<Vec<TopicDescription>> {
        let mut topics = self.attempt(self.deadline(), |tries| self.metadata(None, tries.step()))?;
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(topics.into_iter().filter(|topic| topic.name.is_some()).map(TopicDescription::from_answer).collect())
    }

    /// Describes these topics.
    ///
    /// # Errors
    /// For each: it does not exist, may not be seen, or no broker answered within `default.api.timeout.ms`.
    pub fn describe_topics(&self, names: &[&str]) -> Vec<Result<TopicDescription>> {
        self.described(names, self.deadline())
    }

    pub(super) fn described(&self, names: &[&str], deadline: Deadline) -> Vec<Result<TopicDescription>> {
        self.spread(
            names,
            deadline,
            |names, _| Ok(names.iter().map(|name| names::check_topic(name).map(|()| ANY)).collect()),
            |_, names, _, step| {
                let mut topics = self.metadata(Some(names), step)?;
                let describe = |name: &&&str| {
                    let at = topics.iter().position(|topic| topic.name.as_deref() == Some(**name));
                    let Some(at) = at else { return Err(unmentioned(ApiKey::Metadata, "topic").with_topic(**name)) };
                    let topic = topics.swap_remove(at);
                    match topic.error_code {
                        ErrorCode::NONE => Ok(TopicDescription::from_answer(topic)),
                        code => Err(no_such(code, name)),
                    }
                };
                Ok(names.iter().map(describe).collect())
            },
        )
    }

    /// What any broker says of these topics, or of all.
    fn metadata(&self, names: Option<&[&&str]>, step: Deadline) -> Result<Vec<MetadataResponseTopic>> {
        let topics = names.map(|names| {
            let topic = |name: &&&str| MetadataRequestTopic { name: Some((**name).to_owned()), ..Default::default() };
            names.iter().map(topic).collect()
        });
        let request = MetadataRequest { topics, allow_auto_topic_creation: false, ..Default::default() };
        let response = self.talk(ANY, step, |connection| connection.call(&request, step))?;
        checked(ApiKey::Metadata, response.error_code, None)?;
        Ok(response.topics)
    }

    /// Creates a topic unless it exists, and waits until each partition of the new one has a leader. An existing topic
    /// is not altered, and may have partitions without one.
    ///
    /// # Errors
    /// What the broker refused, or `default.api.timeout.ms` passed.
    pub fn create_topic(&self, topic: &NewTopic<'_>) -> Result<Created> {
        names::check_topic(topic.name)?;
        let deadline = self.deadline();
        self.cluster.track([topic.name]);
        if self.exists(topic.name, deadline)? {
            return Ok(Created::Existed);
        }
        let created =
            self.attempt(deadline, |tries| self.create(topic, tries)).map_err(|e| e.with_topic(topic.name))?;
        self.await_leaders(topic.name, deadline)?;
        Ok(created)
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// The topic does not exist, or `default.api.timeout.ms` passed.
    pub fn partition_count(&self, topic: &str) -> Result<i32> {
        names::check_topic(topic)?;
        let deadline = self.deadline();
        self.cluster.track([topic]);
        if !self.exists(topic, deadline)? {
            return Err(no_such(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, topic));
        }
        let count = self.cluster.snapshot().topic(topic).map_or(0, |known| known.partitions.len());
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// Deletes a topic with all its records. Brokers forget it a moment later.
    ///
    /// # Errors
    /// It does not exist, the cluster refuses, or `default.api.timeout.ms` passed.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        names::check_topic(name)?;
        let state = DeleteTopicState { name: Some(name.to_owned()), ..Default::default() };
        let timeout_ms = self.patience_of_brokers();
        self.attempt(self.deadline(), |tries| {
            let step = tries.step();
            let response = self.talk(self.controller(), step, |connection| {
                let request = match connection.versions().negotiate::<DeleteTopicsRequest>()? {
                    6.. => DeleteTopicsRequest { topics: vec![state.clone()], timeout_ms, ..Default::default() },
                    _ => DeleteTopicsRequest { topic_names: vec![name.to_owned()], timeout_ms, ..Default::default() },
                };
                connection.call(&request, step)
            })?;
            let result = response.responses.first().ok_or_else(|| unmentioned(ApiKey::DeleteTopics, "topic"))?;
            match result.error_code {
                // An earlier attempt was carried out, its answer lost.
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION if tries.perhaps_done => Ok(()),
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                    Err(no_such(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, name).with_kind(ErrorKind::State))
                }
                code => checked(ApiKey::DeleteTopics, code, result.error_message.as_deref()),
            }
        })
        .map_err(|error| error.with_topic(name))
    }

    /// Gives a topic more partitions: `count` is how many it is to have, old and new. What a record's key is hashed to
    /// changes with that.
    ///
    /// # Errors
    /// It has as many or more already, it does not exist, the cluster refuses, or `default.api.timeout.ms` passed.
    pub fn create_partitions(&self, topic: &str, count: i32) -> Result<()> {
        names::check_topic(topic)?;
        let deadline = self.deadline();
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic { name: topic.to_owned(), count, assignments: None }],
            timeout_ms: self.patience_of_brokers(),
            validate_only: false,
        };
        self.attempt(deadline, |tries| {
            let response =
                self.talk(self.controller(), tries.step(), |connection| connection.call(&request, tries.step()))?;
            let result = response.results.first().ok_or_else(|| unmentioned(ApiKey::CreatePartitions, "topic"))?;
            match result.error_code {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                    Err(no_such(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, topic).with_kind(ErrorKind::State))
                }
                // An earlier attempt was carried out, its answer lost.
                ErrorCode::INVALID_PARTITIONS
                    if tries.perhaps_done
                        && only(self.described(&[topic], deadline))
                            .is_ok_and(|now| i32::try_from(now.partitions.len()) == Ok(count)) =>
                {
                    Ok(())
                }
                code => checked(ApiKey::CreatePartitions, code, result.error_message.as_deref()),
            }
        })
        .map_err(|error| error.with_topic(topic))
    }

    fn patience_of_brokers(&self) -> i32 {
        i32::try_from(self.cluster.settings().request_timeout.as_millis()).unwrap_or(i32::MAX)
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

    fn create(&self, topic: &NewTopic<'_>, tries: &Tries<'_>) -> Result<Created> {
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
            timeout_ms: self.patience_of_brokers(),
            ..Default::default()
        };
        let step = tries.step();
        self.talk(self.controller(), step, |connection| {
            let response = connection.call(&request, step)?;
            let result = response.topics.iter().find(|result| result.name == topic.name);
            let result = result.ok_or_else(|| unmentioned(ApiKey::CreateTopics, "topic"))?;
            match result.error_code {
                // It was not there before: an earlier attempt was carried out, its answer lost.
                ErrorCode::TOPIC_ALREADY_EXISTS if tries.perhaps_done => Ok(Created::New),
                // Someone else was faster.
                ErrorCode::TOPIC_ALREADY_EXISTS => Ok(Created::Existed),
                code => checked(ApiKey::CreateTopics, code, result.error_message.as_deref()).map(|()| Created::New),
            }
        })
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

/// A topic that cannot be described.
fn no_such(code: ErrorCode, name: &str) -> Error {
    let words = (code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION).then_some("the topic does not exist");
    Error::broker_code(ApiKey::Metadata, code, words).with_topic(name)
}
