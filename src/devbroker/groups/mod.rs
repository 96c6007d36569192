//! Consumer groups: who is in them, who gets what, and how far they have come.
//!
//! A state machine without sockets, threads or a clock: each request and each tick of the timer is a call that is told
//! the time. Requests that wait for other members bring a [`Promise`], which is kept in the member that waits. Topics
//! are looked up through [`Topics`]. All of it stands behind one lock of the cluster.
//!
//! | file | holds |
//! | --- | --- |
//! | `classic/` | groups whose members assign among themselves (JoinGroup, SyncGroup, Heartbeat, LeaveGroup) |
//! | `consumer/` | groups for which the broker assigns (KIP-848: ConsumerGroupHeartbeat) |
//! | `assignor.rs` | how the broker does that |
//! | `offsets.rs` | the positions that a group has stored |
//! | `positions.rs` | who may store and read them, and how they are kept elsewhere |
//!
//! Names and metadata come from the network: there are at most [`MAX_GROUPS`] groups with [`MAX_MEMBERS`] members each,
//! whose metadata and assignments take up to [`MAX_GROUP_BYTES`]; positions are bounded by the partitions there are.

mod assignor;
mod classic;
mod consumer;
mod offsets;
mod positions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use self::classic::Classic;
use self::consumer::Consumers;
use self::offsets::Offsets;
use self::positions::noting;
use super::call::{Client, Promise};
use super::cluster::random_uuid;
use super::partition::Refused;
use crate::kafka::protocol::messages::*;
use crate::kafka::protocol::{ErrorCode, Uuid};

pub(super) use self::classic::{refused_join, refused_sync};
pub(super) use self::consumer::check as check_consumer_heartbeat;
pub(super) use self::offsets::{Changes, Committed, Key};
pub(super) use self::positions::Position;

/// Groups of a process.
const MAX_GROUPS: usize = 10_000;
/// Members of a group, those with an id that they have not yet used included.
const MAX_MEMBERS: usize = 1_000;
/// Bytes of metadata and assignments of a group.
const MAX_GROUP_BYTES: usize = 4 << 20;

/// How often stored positions are looked through for what is over (`offsets.retention.check.interval.ms`).
const CLEANING: Duration = Duration::from_secs(600);

/// How groups are run, by Kafka's names.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupOptions {
    /// How long a group that was empty waits for more members (`group.initial.rebalance.delay.ms`). Default 0; Kafka's
    /// own default is 3 s.
    pub initial_rebalance_delay: Duration,
    /// The shortest session timeout a classic member may ask for (`group.min.session.timeout.ms`). Default 6 s.
    pub min_session_timeout: Duration,
    /// The longest session timeout a classic member may ask for (`group.max.session.timeout.ms`). Default 30 min.
    pub max_session_timeout: Duration,
    /// How long a member may be silent in a group for which the broker assigns (`group.consumer.session.timeout.ms`).
    /// Default 45 s.
    pub consumer_session_timeout: Duration,
    /// How often such a member is told to show itself (`group.consumer.heartbeat.interval.ms`). Default 5 s.
    pub consumer_heartbeat_interval: Duration,
    /// The shortest time between two assignments of such a group (`group.consumer.assignment.interval.ms`). Default
    /// 1 s.
    pub consumer_assignment_interval: Duration,
    /// How long positions are kept that nobody uses (`offsets.retention.minutes`). Default 7 days.
    pub offsets_retention: Duration,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            initial_rebalance_delay: Duration::ZERO,
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(1800),
            consumer_session_timeout: Duration::from_secs(45),
            consumer_heartbeat_interval: Duration::from_secs(5),
            consumer_assignment_interval: Duration::from_secs(1),
            offsets_retention: Duration::from_secs(7 * 86_400),
        }
    }
}

/// What groups need to know of topics.
pub(super) trait Topics {
    fn find(&self, topic: &str) -> Option<Found>;
    fn name_of(&self, id: Uuid) -> Option<String>;
    fn names(&self) -> Vec<String>;
    /// Another number if there are other topics or more partitions.
    fn version(&self) -> u64;
}

/// A topic that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: Uuid,
    pub(super) partitions: i32,
}

/// Who asks, and in which version of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) version: i16,
    pub(super) client: &'a Client,
}

/// All groups.
#[derive(Debug)]
pub(super) struct Groups {
    options: GroupOptions,
    by_id: BTreeMap<String, Group>,
    /// When something ends next, as far as the timer knows; none is never.
    alarm: Option<Instant>,
    /// Something ends earlier than the timer knows.
    hurry: bool,
    cleaning: Option<Instant>,
    /// What changed since it was last kept elsewhere; none if nobody does that.
    changes: Option<Changes>,
}

#[derive(Debug)]
struct Group {
    kind: Kind,
    offsets: Offsets,
}

#[derive(Debug)]
enum Kind {
    Classic(Classic),
    Consumers(Consumers),
}

impl Group {
    fn classic(now: Instant) -> Self {
        Self { kind: Kind::Classic(Classic::new(now)), offsets: Offsets::default() }
    }

    fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Classic(classic) => classic.is_empty(),
            Kind::Consumers(consumers) => consumers.is_empty(),
        }
    }

    fn state(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(classic) => classic.state_name(),
            Kind::Consumers(consumers) => consumers.state_name(),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Classic(classic) => classic.next_deadline(),
            Kind::Consumers(consumers) => consumers.next_deadline(),
        }
    }

    /// Forgets positions that are over. True if nothing is left that the group should be kept for.
    fn clean(&mut self, now: Instant, retention: Duration) -> bool {
        let idle = match &self.kind {
            Kind::Classic(classic) if classic.protocol_type().is_empty() => None,
            Kind::Classic(classic) if classic.is_empty() => Some(classic.since()),
            Kind::Classic(classic) if classic.is_stable() && classic.knows_its_topics() => None,
            Kind::Classic(_) => return false,
            Kind::Consumers(_) => None,
        };
        let Self { kind, offsets } = self;
        offsets.expire(now, retention, idle, |topic| kind.is_subscribed_to(topic));
        self.offsets.is_empty() && self.is_empty()
    }
}

impl Kind {
    /// The group as one for which the broker assigns, with the members that it has.
    fn upgrade(&self, now: Instant, id: &str, topics: &dyn Topics) -> Result<Consumers, Refused> {
        match self {
            Kind::Classic(classic) if !classic.is_empty() => Consumers::upgraded(now, id, classic, topics),
            _ => Ok(Consumers::new()),
        }
    }

    /// Whether positions in this topic are in use.
    fn is_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Kind::Classic(classic) => classic.is_subscribed_to(topic),
            Kind::Consumers(consumers) => consumers.is_subscribed_to(topic),
        }
    }
}

impl Groups {
    pub(super) fn new(options: GroupOptions) -> Self {
        Self { options, by_id: BTreeMap::new(), alarm: None, hurry: false, cleaning: None, changes: None }
    }

    /// Whether the timer must be told of an earlier end; asked after each call.
    pub(super) fn hurries(&mut self) -> bool {
        std::mem::take(&mut self.hurry)
    }

    /// Ends what is over by now, and says when to come again; none is only when the groups hurry.
    pub(super) fn tick(&mut self, now: Instant, topics: &dyn Topics) -> Option<Instant> {
        for group in self.by_id.values_mut() {
            if group.next_deadline().is_some_and(|deadline| deadline <= now) {
                match &mut group.kind {
                    Kind::Classic(classic) => classic.tick(now, &self.options),
                    Kind::Consumers(consumers) => {
                        consumers.tick(now, topics);
                        if let Some(classic) = consumers.downgraded(now, &self.options, topics) {
                            group.kind = Kind::Classic(classic);
                        }
                    }
                }
            }
        }
        let cleaning = *self.cleaning.get_or_insert(now + CLEANING);
        if cleaning <= now {
            self.cleaning = Some(now + CLEANING);
            let retention = self.options.offsets_retention;
            let changes = &mut self.changes;
            self.by_id.retain(|id, group| !noting(changes, id, group, |group| group.clean(now, retention)));
        }
        self.alarm = self.by_id.values().filter_map(Group::next_deadline).chain(self.cleaning).min();
        self.hurry = false;
        self.alarm
    }

    /// Sees to what follows from a call: the group's members may have changed its protocol, and its next deadline may
    /// be earlier than the timer knows.
    fn settle(&mut self, now: Instant, topics: &dyn Topics, id: &str) {
        if let Some(Kind::Consumers(consumers)) = self.by_id.get_mut(id).map(|group| &mut group.kind)
            && let Some(classic) = consumers.downgraded(now, &self.options, topics)
        {
            self.by_id.entry(id.to_owned()).and_modify(|group| group.kind = Kind::Classic(classic));
        }
        let next = self.by_id.get(id).and_then(Group::next_deadline);
        if next.is_some_and(|next| self.alarm.is_none_or(|alarm| next < alarm)) {
            self.alarm = next;
            self.hurry = true;
        }
    }

    pub(super) fn join(
        &mut self,
        now: Instant,
        topics: &dyn Topics,
        asker: &Asker<'_>,
        request: &JoinGroupRequest,
        answer: Promise<JoinGroupResponse>,
    ) {
        let (id, options) = (&request.group_id, &self.options);
        let session = millis(request.session_timeout_ms.max(0));
        if session < options.min_session_timeout || session > options.max_session_timeout {
            return answer.fulfil(refused_join(&request.member_id, ErrorCode::INVALID_SESSION_TIMEOUT));
        }
        if !self.by_id.contains_key(id) {
            if !request.member_id.is_empty() {
                return answer.fulfil(refused_join(&request.member_id, ErrorCode::UNKNOWN_MEMBER_ID));
            }
            if self.by_id.len() >= MAX_GROUPS {
                return answer.fulfil(refused_join("", ErrorCode::GROUP_MAX_SIZE_REACHED));
            }
        }
        let group = self.by_id.entry(id.clone()).or_insert_with(|| Group::classic(now));
        if matches!(&group.kind, Kind::Consumers(consumers) if consumers.is_empty()) {
            if !request.member_id.is_empty() {
                return answer.fulfil(refused_join(&request.member_id, ErrorCode::UNKNOWN_MEMBER_ID));
            }
            group.kind = Kind::Classic(Classic::new(now));
        }
        match &mut group.kind {
            Kind::Classic(classic) => classic.join(now, &self.options, asker, request, answer),
            Kind::Consumers(consumers) => {
                let joined = consumers.join(now, &self.options, topics, asker, request);
                answer.fulfil(joined.unwrap_or_else(|code| refused_join("", code)));
            }
        }
        self.settle(now, topics, id);
    }

    pub(super) fn sync(
        &mut self,
        now: Instant,
        topics: &dyn Topics,
        request: &SyncGroupRequest,
        answer: Promise<SyncGroupResponse>,
    ) {
        match self.by_id.get_mut(&request.group_id).map(|group| &mut group.kind) {
            Some(Kind::Classic(classic)) => classic.sync(now, &self.options, request, answer),
            Some(Kind::Consumers(consumers)) => {
                answer.fulfil(consumers.sync(now, topics, request).unwrap_or_else(refused_sync));
            }
            None => answer.fulfil(refused_sync(ErrorCode::UNKNOWN_MEMBER_ID)),
        }
        self.settle(now, topics, &request.group_id);
    }

    pub(super) fn heartbeat(&mut self, now: Instant, topics: &dyn Topics, request: &HeartbeatRequest) -> ErrorCode {
        let code = match self.by_id.get_mut(&request.group_id).map(|group| &mut group.kind) {
            Some(Kind::Classic(classic)) => classic.heartbeat(now, request),
            Some(Kind::Consumers(consumers)) => consumers.classic_heartbeat(now, request).err().unwrap_or_default(),
            None => ErrorCode::UNKNOWN_MEMBER_ID,
        };
        self.settle(now, topics, &request.group_id);
        code
    }

    /// A member of a group for which the broker assigns comes, is alive or goes.
    ///
    /// # Errors
    /// What it is told in place of an answer.
    pub(super) fn consumer_heartbeat(
        &mut self,
        now: Instant,
        topics: &dyn Topics,
        asker: &Asker<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refused> {
        let (id, options) = (&request.group_id, &self.options);
        let joins = request.member_epoch == 0;
        let full = self.by_id.len() >= MAX_GROUPS;
        let answer = match self.by_id.get_mut(id).map(|group| &mut group.kind) {
            Some(Kind::Consumers(consumers)) => consumers.heartbeat(now, options, topics, asker, request),
            Some(Kind::Classic(_)) if !joins => {
                let text = format!("Group {id} is not a consumer group.");
                Err(Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, text))
            }
            Some(kind @ Kind::Classic(_)) => kind.upgrade(now, id, topics).and_then(|mut consumers| {
                let answer = consumers.heartbeat(now, options, topics, asker, request)?;
                if let Kind::Classic(classic) = kind {
                    classic.turn_away(ErrorCode::REBALANCE_IN_PROGRESS);
                }
                *kind = Kind::Consumers(consumers);
                Ok(answer)
            }),
            None if !joins => {
                let leaves = request.member_epoch < 0;
                let text =
                    if leaves { format!("Group {id} not found.") } else { format!("Consumer group {id} not found.") };
                Err(Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, text))
            }
            None if full => Err(ErrorCode::GROUP_MAX_SIZE_REACHED.into()),
            None => {
                let mut consumers = Consumers::new();
                consumers.heartbeat(now, options, topics, asker, request).inspect(|_| {
                    let group = Group { kind: Kind::Consumers(consumers), offsets: Offsets::default() };
                    self.by_id.insert(id.clone(), group);
                })
            }
        };
        self.settle(now, topics, id);
        answer
    }

    /// Takes these members out, and says for each how it went.
    pub(super) fn leave(
        &mut self,
        now: Instant,
        topics: &dyn Topics,
        group: &str,
        members: &[MemberIdentity],
    ) -> Vec<MemberResponse> {
        let unknown = |member: &MemberIdentity| MemberResponse {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            error_code: ErrorCode::UNKNOWN_MEMBER_ID,
        };
        let answers = match self.by_id.get_mut(group).map(|group| &mut group.kind) {
            Some(Kind::Classic(classic)) => classic.leave(now, &self.options, members),
            Some(Kind::Consumers(consumers)) => consumers.classic_leave(topics, members),
            None => members.iter().map(unknown).collect(),
        };
        self.settle(now, topics, group);
        answers
    }

    /// Groups in one of these states and of one of these types; an empty list is all.
    pub(super) fn list(&self, states: &[String], types: &[String]) -> Vec<ListedGroup> {
        let wanted = |list: &[String], has: &str| {
            list.is_empty() || list.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(has))
        };
        let listed = self.by_id.iter().map(|(id, group)| {
            let (protocol_type, group_type) = match &group.kind {
                Kind::Classic(classic) => (classic.protocol_type(), "classic"),
                Kind::Consumers(_) => (classic::CONSUMER, "consumer"),
            };
            ListedGroup {
                group_id: id.clone(),
                protocol_type: protocol_type.to_owned(),
                group_state: group.state().to_owned(),
                group_type: group_type.to_owned(),
            }
        });
        listed.filter(|group| wanted(states, &group.group_state) && wanted(types, &group.group_type)).collect()
    }

    /// A classic group; none if there is none of this id.
    ///
    /// # Errors
    /// The text that says why not.
    pub(super) fn describe(&self, id: &str) -> Result<DescribedGroup, String> {
        match self.by_id.get(id).map(|group| &group.kind) {
            Some(Kind::Classic(classic)) => Ok(classic.describe(id)),
            Some(Kind::Consumers(_)) => Err(format!("Group {id} is not a classic group.")),
            None => Err(format!("Group {id} not found.")),
        }
    }

    /// A group for which the broker assigns.
    ///
    /// # Errors
    /// The text that says why there is none.
    pub(super) fn describe_consumers(&self, topics: &dyn Topics, id: &str) -> Result<DescribedConsumerGroup, String> {
        match self.by_id.get(id).map(|group| &group.kind) {
            Some(Kind::Consumers(consumers)) => Ok(consumers.describe(id, topics)),
            Some(Kind::Classic(_)) => Err(format!("Group {id} is not a consumer group.")),
            None => Err(format!("Group {id} not found.")),
        }
    }

    /// Removes a group that has no members.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND or NON_EMPTY_GROUP.
    pub(super) fn delete(&mut self, id: &str) -> Result<(), ErrorCode> {
        let group = self.by_id.get_mut(id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        if !group.is_empty() {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        noting(&mut self.changes, id, group, |group| group.offsets = Offsets::default());
        self.by_id.remove(id);
        Ok(())
    }

    /// The members of a group, by id.
    pub(super) fn members(&self, group: &str) -> BTreeSet<String> {
        match self.by_id.get(group).map(|group| &group.kind) {
            Some(Kind::Classic(classic)) => classic.member_ids().cloned().collect(),
            Some(Kind::Consumers(consumers)) => consumers.member_ids().cloned().collect(),
            None => BTreeSet::new(),
        }
    }

    /// Ends the session of a member now. False if there is none of this id.
    pub(super) fn expel(&mut self, now: Instant, topics: &dyn Topics, group: &str, member: &str) -> bool {
        let known = self.members(group).contains(member);
        match self.by_id.get_mut(group).map(|group| &mut group.kind) {
            Some(Kind::Classic(classic)) => classic.expel(now, &self.options, member),
            Some(Kind::Consumers(consumers)) => consumers.expel(topics, member),
            None => {}
        }
        self.settle(now, topics, group);
        known
    }

    /// The coordinator of this group is another broker now: members that wait here are sent there.
    pub(super) fn moved(&mut self, group: &str) {
        match self.by_id.get_mut(group).map(|group| &mut group.kind) {
            Some(Kind::Classic(classic)) => classic.turn_away(ErrorCode::NOT_COORDINATOR),
            // Nobody waits there.
            Some(Kind::Consumers(_)) | None => {}
        }
    }
}

/// An id for a member that calls itself so.
fn new_member_id(prefix: &str) -> String {
    let hex: String = random_uuid().0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::from(ms.unsigned_abs()))
}

#[cfg(test)]
mod tests;
