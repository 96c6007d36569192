//! The join thread: JoinGroup and SyncGroup, with whatever retries they take, on a connection of its own.
//!
//! A broker answers a join when every member has joined or the rebalance timeout is over, and reads nothing else from
//! that connection meanwhile. If this member is made the leader, the partitions are shared out here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Order;
use super::classic::{Classic, JoinReaction, Possessions};
use super::membership::{Attempt, Identity};
use crate::clock::{Backoff, Deadline};
use crate::kafka::consumer::assignor::{Member, Topics, assignor, topics};
use crate::kafka::consumer::core::{Core, Shared};
use crate::kafka::consumer::subscription::{Listed, Subscription, TopicPartition};
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::net::{Closer, Connection};
use crate::kafka::protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, ConsumerProtocolTopicPartition, JoinGroupRequest,
    JoinGroupRequestProtocol, JoinGroupResponse, SyncGroupRequest, SyncGroupRequestAssignment,
};
use crate::kafka::protocol::{ApiKey, ErrorCode};

/// The protocol type of groups of consumers.
const CONSUMER: &str = "consumer";
/// How much later than the broker must answer a join we give up waiting for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the leader waits for metadata of topics that only others subscribe to.
const METADATA_WAIT: Duration = Duration::from_secs(5);

/// Runs until the consumer closes.
pub(in crate::kafka::consumer) fn run(shared: &Shared, closer: &Closer) {
    let client = &shared.settings.client;
    loop {
        let Order { attempt, possessions } = {
            let mut core = shared.lock();
            loop {
                if core.closed {
                    return;
                }
                match core.group.as_mut().and_then(|group| group.order.take()) {
                    Some(order) => break order,
                    None => core = shared.sleep(&shared.join, core, None),
                }
            }
        };
        let backoff = Backoff::new(client.retry_backoff, client.retry_backoff_max);
        Join { shared, closer, attempt, possessions, connection: None, backoff }.run();
    }
}

struct Join<'a> {
    shared: &'a Shared,
    closer: &'a Closer,
    attempt: Attempt,
    possessions: Possessions,
    /// To the coordinator; gone with its end.
    connection: Option<(i32, Connection)>,
    backoff: Backoff,
}

/// How one round of JoinGroup and SyncGroup ended.
enum Round {
    Done,
    Refused(ApiKey, ErrorCode),
}

impl Join<'_> {
    fn run(&mut self) {
        while let Some((node, identity, topics)) = self.start() {
            match self.round(node, &identity, &topics) {
                Ok(Round::Done) => return,
                Ok(Round::Refused(api, code)) => {
                    if !self.refused(node, api, code) {
                        return;
                    }
                }
                Err(error) => {
                    self.connection = None;
                    if self.closer.is_closed() {
                        return;
                    }
                    if !error.is_retriable() && error.kind() != ErrorKind::Protocol {
                        return self.give_up(error);
                    }
                    log::debug!("group {}: joining failed: {error}", self.group());
                    self.lose_coordinator(node);
                    self.pause();
                }
            }
        }
    }

    fn group(&self) -> &str {
        self.shared.settings.group_id.as_deref().unwrap_or_default()
    }

    /// Waits until the coordinator is known. None when nobody wants this attempt any more.
    fn start(&self) -> Option<(i32, Identity, BTreeSet<String>)> {
        let mut core = self.shared.lock();
        loop {
            if core.closed {
                return None;
            }
            let Core { group, subscription, .. } = &mut *core;
            let group = group.as_mut()?;
            let node = group.coordinator;
            let member = group.membership.classic().filter(|member| member.is_joining(self.attempt))?;
            let Subscription::Topics(topics) = subscription else { return None };
            if let Some(node) = node {
                return Some((node, member.identity().clone(), topics.clone()));
            }
            core = self.shared.sleep(&self.shared.join, core, None);
        }
    }

    fn connection(&mut self, node: i32) -> Result<&mut Connection> {
        let usable = matches!(&self.connection, Some((known, open)) if *known == node && !open.is_ended());
        if !usable {
            self.connection = None;
            let limit = self.shared.settings.client.request_timeout;
            let deadline = Deadline::after("request.timeout.ms", limit);
            self.connection = Some((node, self.shared.cluster.connect(node, self.closer, deadline)?));
        }
        match &mut self.connection {
            Some((_, connection)) => Ok(connection),
            None => Err(Closer::error()),
        }
    }

    fn round(&mut self, node: i32, identity: &Identity, topics: &BTreeSet<String>) -> Result<Round> {
        let settings = &self.shared.settings;
        let mut protocols = Vec::new();
        for kind in &settings.assignors {
            let assignor = assignor(*kind);
            let subscription = ConsumerProtocolSubscription {
                topics: topics.iter().cloned().collect(),
                user_data: assignor.user_data(topics, &self.possessions.last, self.possessions.generation),
                owned_partitions: by_topic(&self.possessions.held),
                generation_id: self.possessions.generation,
                rack_id: settings.client.client_rack.clone(),
            };
            let version = ConsumerProtocolSubscription::VERSIONS.max;
            let metadata = subscription.to_bytes(version)?;
            protocols.push(JoinGroupRequestProtocol { name: assignor.name().to_owned(), metadata });
        }
        let request = JoinGroupRequest {
            group_id: self.group().to_owned(),
            session_timeout_ms: millis(settings.session_timeout),
            rebalance_timeout_ms: millis(settings.max_poll_interval),
            member_id: identity.member_id.clone(),
            group_instance_id: settings.group_instance_id.clone(),
            protocol_type: CONSUMER.to_owned(),
            protocols,
            reason: None,
        };
        let limit = settings.max_poll_interval.saturating_add(PATIENCE);
        self.connection(node)?;
        let now = Instant::now();
        if self.membership(|membership| membership.asking(self.attempt, identity, now)) != Some(true) {
            return Ok(Round::Done);
        }
        let until = Deadline::after("max.poll.interval.ms", limit);
        let joined = self.connection(node).and_then(|connection| connection.call(&request, until));
        let given = joined.as_ref().map_or("", |joined| &joined.member_id);
        self.named(given);
        let joined = joined?;
        if !joined.error_code.is_ok() {
            return Ok(Round::Refused(ApiKey::JoinGroup, joined.error_code));
        }
        let (generation, member_id) = (joined.generation_id, joined.member_id.clone());
        let wanted = self
            .membership(|membership| membership.joined(self.attempt, generation, member_id.clone(), Instant::now()));
        if wanted != Some(true) {
            return Ok(Round::Done);
        }
        self.shared.coordinator.notify_all();

        let (assignments, counts) = if joined.leader == member_id {
            let (assignments, counts) = self.share_out(&joined)?;
            (assignments, Some(counts))
        } else {
            (Vec::new(), None)
        };
        let request = SyncGroupRequest {
            group_id: self.group().to_owned(),
            generation_id: generation,
            member_id,
            group_instance_id: settings.group_instance_id.clone(),
            protocol_type: Some(CONSUMER.to_owned()),
            protocol_name: joined.protocol_name.clone(),
            assignments,
        };
        let synced = self.connection(node)?.call(&request, Deadline::after("max.poll.interval.ms", limit))?;
        if !synced.error_code.is_ok() {
            return Ok(Round::Refused(ApiKey::SyncGroup, synced.error_code));
        }
        let assignment = ConsumerProtocolAssignment::from_bytes(&synced.assignment)?;
        let partitions = partitions_of(assignment);
        log::debug!("group {}: joined generation {generation}, got {}", self.group(), Listed(&partitions));
        if let Some(group) = &mut self.shared.lock().group {
            group.synced(self.attempt, partitions, counts);
        }
        self.shared.coordinator.notify_all();
        self.shared.app.notify_all();
        Ok(Round::Done)
    }

    /// JoinGroup was answered, perhaps with the name of a member that nobody wants to be any more.
    fn named(&self, member_id: &str) {
        let mut core = self.shared.lock();
        let Some(group) = &mut core.group else { return };
        let left = group.membership.classic().and_then(|member| member.named(member_id));
        group.tell_left(left, Instant::now());
        drop(core);
        self.shared.coordinator.notify_all();
        self.shared.app.notify_all();
    }

    /// As the leader: everyone's share, and the partition counts that it was computed from.
    fn share_out(
        &self,
        joined: &JoinGroupResponse,
    ) -> Result<(Vec<SyncGroupRequestAssignment>, BTreeMap<String, i32>)> {
        let mut members = Vec::new();
        for member in &joined.members {
            // One that cannot be read is a member all the same, and the others need not suffer for it.
            let subscription = ConsumerProtocolSubscription::from_bytes(&member.metadata).unwrap_or_else(|error| {
                let (group, id) = (self.group(), member.member_id.escape_debug());
                log::warn!(
                    "group {group}: nothing is assigned to member {id}, whose subscription cannot be read: {error}"
                );
                ConsumerProtocolSubscription::default()
            });
            members.push(Member {
                id: member.member_id.clone(),
                instance_id: member.group_instance_id.clone(),
                subscription,
            });
        }
        let names: BTreeSet<&str> =
            members.iter().flat_map(|member| member.subscription.topics.iter().map(String::as_str)).collect();
        let topics = self.partitions(&names);
        let count = |name: &str| topics.get(name).map_or(0, |partitions| partitions.len() as i32);
        let counts = names.iter().map(|name| ((*name).to_owned(), count(name))).collect();
        if joined.skip_assignment {
            return Ok((Vec::new(), counts));
        }
        let chosen = joined.protocol_name.as_deref().unwrap_or_default();
        let mut offered = self.shared.settings.assignors.iter().map(|kind| assignor(*kind));
        let assignor = offered.find(|assignor| assignor.name() == chosen).ok_or_else(|| {
            let text = format!("the coordinator chose {}, which was not offered", chosen.escape_debug());
            Error::protocol(text).with_api(ApiKey::JoinGroup)
        })?;
        let shares = assignor.assign(&topics, &members);
        log::debug!("group {}: leading {} members, {} shares {shares:?}", self.group(), members.len(), assignor.name());
        let mut assignments = Vec::new();
        for (member_id, share) in shares {
            let assigned_partitions = share
                .into_iter()
                .map(|(topic, partitions)| ConsumerProtocolTopicPartition { topic, partitions })
                .collect();
            let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
            let assignment = assignment.to_bytes(ConsumerProtocolAssignment::VERSIONS.max)?;
            assignments.push(SyncGroupRequestAssignment { member_id, assignment });
        }
        Ok((assignments, counts))
    }

    /// The partitions of these topics, as far as they are known.
    fn partitions(&self, names: &BTreeSet<&str>) -> Topics {
        let cluster = &self.shared.cluster;
        cluster.track(names.iter().copied());
        let deadline = Deadline::after("metadata of the group's topics", METADATA_WAIT);
        let mut metadata = cluster.snapshot();
        while !names.iter().all(|name| metadata.topics.contains_key(*name)) {
            match cluster.wait_newer(metadata.version, deadline) {
                Some(newer) => metadata = newer,
                None => break,
            }
        }
        topics(&metadata, names.iter().copied())
    }

    /// Returns whether to go on.
    fn refused(&mut self, node: i32, api: ApiKey, code: ErrorCode) -> bool {
        if code == ErrorCode::MEMBER_ID_REQUIRED {
            return true;
        }
        log::debug!("group {}: {api} was answered with {code}", self.group());
        match self.membership(|membership| membership.join_refused(self.attempt, api, code)) {
            None => false,
            Some(JoinReaction::Again) => {
                // A broker that always says so must not be asked without end and without pause.
                if (api, code) != (ApiKey::SyncGroup, ErrorCode::REBALANCE_IN_PROGRESS) {
                    self.pause();
                }
                true
            }
            Some(JoinReaction::Stop) => {
                self.shared.app.notify_all();
                false
            }
            Some(JoinReaction::Later) => {
                self.pause();
                true
            }
            Some(JoinReaction::FindCoordinator) => {
                self.connection = None;
                self.lose_coordinator(node);
                self.pause();
                true
            }
            Some(JoinReaction::Fail(error)) => {
                self.give_up(error);
                false
            }
        }
    }

    fn give_up(&self, error: Error) {
        let retry_at = Instant::now() + self.shared.settings.client.retry_backoff_max;
        let mut core = self.shared.lock();
        let member = core.group.as_mut().and_then(|group| group.membership.classic());
        if let Some(member) = member.filter(|member| member.is_joining(self.attempt)) {
            member.join_failed(self.attempt, retry_at);
            core.errors.push_back(error);
        }
        drop(core);
        self.shared.app.notify_all();
    }

    /// Has the coordinator looked up again, unless that has happened already.
    fn lose_coordinator(&self, node: i32) {
        let mut core = self.shared.lock();
        // An attempt that was broken off says nothing about the coordinator.
        if self.is_wanted(&mut core)
            && let Some(group) = core.group.as_mut().filter(|group| group.coordinator == Some(node))
        {
            group.coordinator_lost(None, None, Instant::now());
        }
        drop(core);
        self.shared.coordinator.notify_all();
    }

    /// Waits for the backoff, or until this attempt is not wanted any more.
    fn pause(&mut self) {
        let until = Instant::now() + self.backoff.failed();
        let mut core = self.shared.lock();
        while Instant::now() < until && !core.closed && self.is_wanted(&mut core) {
            core = self.shared.sleep(&self.shared.join, core, Some(until));
        }
    }

    fn is_wanted(&self, core: &mut Core) -> bool {
        let member = core.group.as_mut().and_then(|group| group.membership.classic());
        member.is_some_and(|member| member.is_joining(self.attempt))
    }

    fn membership<T>(&self, change: impl FnOnce(&mut Classic) -> T) -> Option<T> {
        self.shared.lock().group.as_mut().and_then(|group| group.membership.classic()).map(change)
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn by_topic(partitions: &[TopicPartition]) -> Vec<ConsumerProtocolTopicPartition> {
    let mut topics: Vec<ConsumerProtocolTopicPartition> = Vec::new();
    for held in partitions {
        match topics.last_mut().filter(|topic| *topic.topic == *held.topic) {
            Some(topic) => topic.partitions.push(held.partition),
            None => topics.push(ConsumerProtocolTopicPartition {
                topic: held.topic.to_string(),
                partitions: vec![held.partition],
            }),
        }
    }
    topics
}

/// The partitions of an assignment, in order and each once. What makes no sense is left out.
fn partitions_of(assignment: ConsumerProtocolAssignment) -> Vec<TopicPartition> {
    let mut partitions = BTreeSet::new();
    for entry in assignment.assigned_partitions {
        let topic: std::sync::Arc<str> = entry.topic.into();
        let valid = entry.partitions.into_iter().filter(|partition| *partition >= 0);
        partitions.extend(valid.map(|partition| TopicPartition { topic: topic.clone(), partition }));
    }
    partitions.into_iter().collect()
}
