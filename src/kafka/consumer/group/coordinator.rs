//! The coordinator thread: does what [`Group::next`] says, on one connection to the group's coordinator.
//!
//! Every call ends within session.timeout.ms, so that one lost answer does not keep heartbeats back for longer than
//! the membership lasts anyway.

use std::time::{Duration, Instant};

use super::membership::{Beat, Identity};
use super::{Answered, Commit, Group, REFUSED_RETRY, Work};
use crate::clock::{Backoff, Deadline};
use crate::kafka::config::GroupProtocol;
use crate::kafka::consumer::core::{Core, Shared};
use crate::kafka::consumer::subscription::TopicPartition;
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::net::{Closer, Connection};
use crate::kafka::protocol::messages::{
    ConsumerGroupHeartbeatRequest, FindCoordinatorRequest, HeartbeatRequest, LeaveGroupRequest, MemberIdentity,
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetFetchRequest,
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use crate::kafka::protocol::{ApiKey, ErrorCode, Request};

/// Trouble that is over sooner is not worth a warning: a coordinator that starts or moves is away for a moment.
const LASTING: Duration = Duration::from_secs(2);

/// Runs until the consumer closes.
pub(in crate::kafka::consumer) fn run(shared: &Shared, closer: &Closer) {
    let client = &shared.settings.client;
    let mut link = Link {
        shared,
        closer,
        connection: None,
        backoff: Backoff::new(client.retry_backoff, client.retry_backoff_max),
        trouble: None,
        complained: false,
    };
    while let Some(work) = link.next_work() {
        link.perform(work);
    }
}

struct Link<'a> {
    shared: &'a Shared,
    closer: &'a Closer,
    /// To the node that is the coordinator.
    connection: Option<(i32, Connection)>,
    backoff: Backoff,
    /// Since when nothing works.
    trouble: Option<Instant>,
    /// It was mentioned in the log.
    complained: bool,
}

impl Link<'_> {
    fn next_work(&self) -> Option<Work> {
        let mut core = self.shared.lock();
        loop {
            if core.closed {
                return None;
            }
            let now = Instant::now();
            core.assignment.ask_again(now);
            let (awaiting, again) = (core.assignment.awaiting_committed(), core.assignment.asks_again());
            let group = core.group.as_mut()?;
            let work = group.next(awaiting, now);
            if group.news() {
                self.shared.app.notify_all();
            }
            if group.breaks_off_join() {
                self.shared.interrupt_join(&core);
            }
            match work {
                Work::Sleep(until) => {
                    let until = until.into_iter().chain(again).min();
                    core = self.shared.sleep(&self.shared.coordinator, core, until);
                }
                work => return Some(work),
            }
        }
    }

    fn perform(&mut self, work: Work) {
        let outcome = match work {
            // What it is worth shows when it is talked to.
            Work::FindCoordinator => match self.find() {
                Ok(()) => return,
                Err(error) => Err((None, error)),
            },
            Work::Heartbeat(beat) => self.heartbeat(beat).map_err(|error| (None, error)),
            Work::Commit(commit, identity) => {
                let request = self.commit_request(&commit, &identity);
                match self.call(|_| request) {
                    Ok(response) => {
                        self.obey(response.throttle_time_ms);
                        let now = Instant::now();
                        Ok(self.group(|group| group.commit_answered(commit, &identity, &response, now)))
                    }
                    Err(error) => Err((Some(Work::Commit(commit, identity)), error)),
                }
            }
            Work::Positions(asked) => self.positions(&asked).map_err(|error| (None, error)),
            Work::Lookup(lookup) => match self.fetch_offsets(lookup.partitions.iter()) {
                Ok(response) => Ok(self.group(|group| group.lookup_answered(lookup, &response))),
                Err(error) => Err((Some(Work::Lookup(lookup)), error)),
            },
            Work::Leave(identity) => self.leave(&identity).map_err(|error| (None, error)),
            Work::Sleep(_) => Ok(Answered::Done),
        };
        match outcome {
            Ok(answered) => self.follow(answered),
            Err((undone, error)) => self.fail(undone, error),
        }
        self.shared.app.notify_all();
    }

    fn group_id(&self) -> String {
        self.shared.settings.group_id.clone().unwrap_or_default()
    }

    /// Works on the group under the lock.
    fn group<T: Default>(&self, change: impl FnOnce(&mut Group) -> T) -> T {
        self.shared.lock().group.as_mut().map(change).unwrap_or_default()
    }

    fn follow(&mut self, answered: Answered) {
        match answered {
            Answered::Done => {
                self.backoff.reset();
                self.trouble = None;
                self.complained = false;
            }
            Answered::Later => {
                let until = Instant::now() + self.backoff.failed();
                self.group(|group| group.postpone(until));
            }
            Answered::Rebalancing => {
                let until = Instant::now() + self.backoff.failed();
                self.group(|group| group.hold_commits_back(until));
            }
            Answered::Undecided => {
                let until = Instant::now() + self.backoff.failed();
                self.group(|group| group.hold_positions_back(until));
            }
            Answered::FindCoordinator => {
                self.connection = None;
                let until = Instant::now() + self.backoff.failed();
                self.group(|group| group.coordinator_lost(None, None, until));
            }
            Answered::Refused(error) => self.refuse(error),
        }
    }

    /// The connection failed, or nobody knows the coordinator.
    fn fail(&mut self, undone: Option<Work>, error: Error) {
        self.connection = None;
        if self.closer.is_closed() {
            return;
        }
        let passing = error.is_retriable() || error.kind() == ErrorKind::Protocol;
        let until = Instant::now() + if passing { self.backoff.failed() } else { REFUSED_RETRY };
        self.group(|group| group.coordinator_lost(undone, Some(&error), until));
        if passing {
            let group = self.shared.settings.group_id.as_deref().unwrap_or_default();
            let now = Instant::now();
            let lasting = now >= *self.trouble.get_or_insert(now) + LASTING;
            let level = if lasting && !self.complained { log::Level::Warn } else { log::Level::Debug };
            log::log!(level, "group {group}: no coordinator: {error}; still trying");
            self.complained |= lasting;
            self.shared.cluster.request_refresh();
        } else {
            self.refuse(error);
        }
    }

    /// Only a change on the broker's side can help: everyone is told, and it is tried again much later.
    fn refuse(&self, error: Error) {
        let mut core = self.shared.lock();
        if let Some(group) = &mut core.group {
            group.refused(&error, Instant::now() + REFUSED_RETRY);
        }
        core.errors.push_back(error);
    }

    /// No call may hold back heartbeats for longer than the membership would survive.
    fn deadline(&self) -> Deadline {
        let settings = &self.shared.settings;
        let request = Deadline::after("request.timeout.ms", settings.client.request_timeout);
        request.min(Deadline::after("session.timeout.ms", settings.session_timeout))
    }

    fn call<R: Request>(&mut self, request: impl FnOnce(&Connection) -> R) -> Result<R::Response> {
        let deadline = self.deadline();
        let node = self.shared.lock().group.as_ref().and_then(|group| group.coordinator);
        let node = node.ok_or_else(|| Error::new(ErrorKind::Unreachable, "the group's coordinator is not known"))?;
        if !matches!(&self.connection, Some((known, connection)) if *known == node && !connection.is_ended()) {
            self.connection = None;
            let connection = self.shared.cluster.connect(node, self.closer, deadline)?;
            self.connection = Some((node, connection));
        }
        match &mut self.connection {
            Some((_, connection)) => {
                let request = request(connection);
                connection.call(&request, deadline)
            }
            None => Err(Closer::error()),
        }
    }

    fn find(&mut self) -> Result<()> {
        // The closer reaches the newest connection only.
        self.connection = None;
        let deadline = self.deadline();
        let group = self.group_id();
        let mut connection = self.shared.cluster.connect_any(self.closer, deadline)?;
        let version = connection.versions().negotiate::<FindCoordinatorRequest>()?;
        let request = if version < 4 {
            FindCoordinatorRequest { key: group.clone(), ..Default::default() }
        } else {
            FindCoordinatorRequest { coordinator_keys: vec![group.clone()], ..Default::default() }
        };
        let response = connection.call(&request, deadline)?;
        let (code, message, node) = match response.coordinators.into_iter().next() {
            Some(found) => (found.error_code, found.error_message, found.node_id),
            None if version < 4 => (response.error_code, response.error_message, response.node_id),
            None => return Err(Error::protocol("no coordinator in the answer").with_api(ApiKey::FindCoordinator)),
        };
        if !code.is_ok() {
            let error = Error::broker_code(ApiKey::FindCoordinator, code, message.as_deref());
            return Err(error.with_broker(connection.broker()));
        }
        log::debug!("group {group}: its coordinator is broker {node}");
        let mut core = self.shared.lock();
        if let Some(group) = &mut core.group {
            group.coordinator_is(node);
        }
        drop(core);
        self.shared.join.notify_all();
        Ok(())
    }

    fn heartbeat(&mut self, beat: Beat) -> Result<Answered> {
        let identity = match beat {
            Beat::Classic(identity) => identity,
            Beat::Modern { request, stay } => {
                let mut served = true;
                let response = self.call(|connection| {
                    served = connection.versions().negotiate::<ConsumerGroupHeartbeatRequest>().is_ok();
                    *request
                });
                if !served {
                    let now = Instant::now();
                    return Ok(self.group(|group| group.modern_unserved(now)));
                }
                let response = response?;
                self.obey(response.throttle_time_ms);
                let now = Instant::now();
                return Ok(self.group(|group| group.modern_heartbeat_answered(stay, &response, now)));
            }
        };
        let settings = &self.shared.settings;
        let request = HeartbeatRequest {
            group_id: self.group_id(),
            generation_id: identity.generation,
            member_id: identity.member_id.clone(),
            group_instance_id: settings.group_instance_id.clone(),
        };
        let response = self.call(|_| request)?;
        self.obey(response.throttle_time_ms);
        let now = Instant::now();
        Ok(self.group(|group| group.heartbeat_answered(&identity, response.error_code, now)))
    }

    fn commit_request(&self, commit: &Commit, identity: &Identity) -> OffsetCommitRequest {
        let settings = &self.shared.settings;
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for (partition, committed) in &commit.offsets {
            let entry = OffsetCommitRequestPartition {
                partition_index: partition.partition,
                committed_offset: committed.offset,
                committed_leader_epoch: committed.leader_epoch,
                ..Default::default()
            };
            match topics.last_mut().filter(|topic| topic.name == *partition.topic) {
                Some(topic) => topic.partitions.push(entry),
                None => topics.push(OffsetCommitRequestTopic {
                    name: partition.topic.to_string(),
                    partitions: vec![entry],
                    ..Default::default()
                }),
            }
        }
        OffsetCommitRequest {
            group_id: self.group_id(),
            generation_id_or_member_epoch: identity.generation,
            member_id: identity.member_id.clone(),
            group_instance_id: settings.group_instance_id.clone(),
            topics,
            ..Default::default()
        }
    }

    fn positions(&mut self, asked: &[(TopicPartition, super::Epoch)]) -> Result<Answered> {
        let response = self.fetch_offsets(asked.iter().map(|(partition, _)| partition))?;
        let mut core = self.shared.lock();
        let Core { group, assignment, errors, check_unset, .. } = &mut *core;
        let Some(group) = group else { return Ok(Answered::Done) };
        let policy = self.shared.settings.auto_offset_reset;
        let now = Instant::now();
        let (answered, failures) = group.positions_answered(asked, &response, policy, assignment, now);
        errors.extend(failures);
        *check_unset = true;
        drop(core);
        self.shared.fetch.notify_all();
        Ok(answered)
    }

    /// Asks for stable offsets, so as not to go on in front of what an open transaction is about to commit (KIP-447).
    fn fetch_offsets<'p>(
        &mut self,
        partitions: impl Iterator<Item = &'p TopicPartition>,
    ) -> Result<OffsetFetchResponse> {
        let group_id = self.group_id();
        let mut topics: Vec<(String, Vec<i32>)> = Vec::new();
        for partition in partitions {
            match topics.iter_mut().find(|(name, _)| **name == *partition.topic) {
                Some((_, indexes)) => indexes.push(partition.partition),
                None => topics.push((partition.topic.to_string(), vec![partition.partition])),
            }
        }
        let response = self.call(|connection| {
            // An unknown version fails in the call.
            let version = connection.versions().negotiate::<OffsetFetchRequest>().unwrap_or_default();
            if version < 8 {
                let topics = topics
                    .into_iter()
                    .map(|(name, partition_indexes)| OffsetFetchRequestTopic { name, partition_indexes });
                let topics = Some(topics.collect());
                return OffsetFetchRequest { group_id, topics, require_stable: version >= 7, ..Default::default() };
            }
            let topics = topics.into_iter().map(|(name, partition_indexes)| OffsetFetchRequestTopics {
                name,
                partition_indexes,
                ..Default::default()
            });
            let group = OffsetFetchRequestGroup { group_id, topics: Some(topics.collect()), ..Default::default() };
            OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() }
        })?;
        self.obey(response.throttle_time_ms);
        Ok(response)
    }

    fn leave(&mut self, identity: &Identity) -> Result<Answered> {
        let settings = &self.shared.settings;
        let code = if settings.group_protocol == GroupProtocol::Consumer {
            let request = ConsumerGroupHeartbeatRequest {
                group_id: self.group_id(),
                member_id: identity.member_id.clone(),
                member_epoch: identity.generation,
                instance_id: settings.group_instance_id.clone(),
                ..Default::default()
            };
            self.call(|_| request)?.error_code
        } else {
            self.leave_classic(identity)?
        };
        Ok(self.group(|group| match code {
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => Answered::FindCoordinator,
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => Answered::Later,
            code => {
                if !code.is_ok() {
                    log::debug!("group {}: leaving it was answered with {code}", group.id);
                }
                group.left(identity);
                Answered::Done
            }
        }))
    }

    fn leave_classic(&mut self, identity: &Identity) -> Result<ErrorCode> {
        let settings = &self.shared.settings;
        let member = MemberIdentity {
            member_id: identity.member_id.clone(),
            group_instance_id: settings.group_instance_id.clone(),
            reason: Some("the consumer is being closed, unsubscribed or is too slow to poll".to_owned()),
        };
        let group_id = self.group_id();
        let request = LeaveGroupRequest { group_id, members: vec![member], ..Default::default() };
        Ok(self.call(|_| request)?.error_code)
    }

    /// A broker that wants to be left alone for a while is.
    fn obey(&self, throttle_time_ms: i32) {
        if let Ok(ms @ 1..) = u64::try_from(throttle_time_ms) {
            let until = Instant::now() + Duration::from_millis(ms);
            self.group(|group| group.postpone(until));
        }
    }
}
