//! A group of the classic protocol: members join, one of them assigns, all of them fetch what they got.
//!
//! A rebalance has two phases. In `PreparingRebalance` all members must join again; who does not within the longest of
//! their rebalance timeouts is out. Then the generation is one higher, and in `CompletingRebalance` each member asks
//! for its part, which is there when the leader has handed it in. What is assigned are bytes that only the members
//! understand. A static member keeps its place, under a new member id, when it comes back.
//!
//! Time is an argument of all that decides. Whoever has to wait is answered through a promise, which is kept in the
//! member and answered before the member goes.

mod join;
mod rebalance;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::call::{Client, Promise};
use super::{GroupOptions, millis};
use crate::kafka::protocol::messages::{
    ConsumerProtocolSubscription, DescribedGroup, DescribedGroupMember, JoinGroupRequestProtocol, JoinGroupResponse,
    JoinGroupResponseMember, SyncGroupResponse,
};
use crate::kafka::protocol::{Bytes, ErrorCode};

/// The protocol type of consumers, whose metadata brokers can read.
pub(super) const CONSUMER: &str = "consumer";

/// A group of the classic protocol.
#[derive(Debug)]
pub(in crate::devbroker) struct Classic {
    state: State,
    /// When it came into its state.
    since: Instant,
    generation: i32,
    /// None until the first member has joined.
    protocol_type: Option<String>,
    /// What the members of this generation agree on.
    protocol: Option<String>,
    /// A key of `members`; none without members.
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// The member of each instance id.
    instances: BTreeMap<String, String>,
    /// Ids that were given out and not yet used to join, and when they expire.
    pending: BTreeMap<String, Instant>,
    /// Members that have not yet asked for their part in this generation; keys of `members`.
    unsynced: BTreeSet<String>,
    /// When the joining ends.
    join_by: Option<Instant>,
    /// When members that have not asked for their part are out.
    sync_by: Option<Instant>,
    /// What the members are subscribed to, if they are consumers and it can be read.
    topics: Option<BTreeSet<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    PreparingRebalance {
        /// Set while a group that was empty is given time for more members to come.
        opening: Option<Opening>,
    },
    CompletingRebalance,
    Stable,
}

/// The first rebalance of a group, which does not end as soon as all have joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// What is left of the time that it may take.
    remaining: Duration,
    delay: Duration,
    /// Somebody came since the time was last set.
    more: bool,
}

#[derive(Debug)]
struct Member {
    instance: Option<String>,
    client: Client,
    rebalance_timeout: Duration,
    session_timeout: Duration,
    /// In order of preference.
    protocols: Vec<(String, Bytes)>,
    assignment: Bytes,
    /// Its JoinGroup, while it waits for the others.
    joining: Option<Promise<JoinGroupResponse>>,
    /// Its SyncGroup, while it waits for the leader.
    syncing: Option<Promise<SyncGroupResponse>>,
    /// In its first rebalance, in which waiting does not keep it alive for ever.
    new: bool,
    /// When it is out unless it shows a sign of life; none if it was waiting when the time came.
    expires: Option<Instant>,
}

/// A member, for a group of the other kind that takes it over.
#[derive(Clone, Debug)]
pub(super) struct Former {
    pub(super) instance: Option<String>,
    pub(super) client: Client,
    pub(super) rebalance_timeout: Duration,
    pub(super) session_timeout: Duration,
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) assignment: Bytes,
}

impl Member {
    fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }

    /// Memory that it holds, roughly.
    fn size(&self) -> usize {
        let protocols: usize = self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum();
        protocols + self.assignment.len()
    }

    /// Whether a rebalance that it waits for keeps it alive.
    fn waits(&self) -> bool {
        !self.new && (self.joining.is_some() || self.syncing.is_some())
    }
}

impl Classic {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: State::Empty,
            since: now,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            join_by: None,
            sync_by: None,
            topics: None,
        }
    }

    /// A group that members come to from one for which the broker assigned. They have their parts, and share out anew.
    pub(super) fn taking_over(
        now: Instant,
        options: &GroupOptions,
        generation: i32,
        formers: impl IntoIterator<Item = (String, Former)>,
    ) -> Self {
        let mut group = Self::new(now);
        group.generation = generation;
        group.protocol_type = Some(CONSUMER.to_owned());
        for (id, former) in formers {
            if let Some(instance) = &former.instance {
                group.instances.insert(instance.clone(), id.clone());
            }
            let member = Member {
                instance: former.instance,
                client: former.client,
                rebalance_timeout: former.rebalance_timeout,
                session_timeout: former.session_timeout,
                protocols: former.protocols,
                assignment: former.assignment,
                joining: None,
                syncing: None,
                new: false,
                expires: Some(now + former.session_timeout),
            };
            group.members.insert(id, member);
        }
        group.leader = group.members.keys().next().cloned();
        group.protocol = group.elect_protocol();
        group.topics = group.read_topics();
        group.enter(now, State::Stable);
        group.prepare_rebalance(now, options);
        group
    }

    /// The members, for a group that takes them over.
    pub(super) fn formers(&self) -> impl Iterator<Item = (&String, Former)> {
        self.members.iter().map(|(id, member)| {
            let former = Former {
                instance: member.instance.clone(),
                client: member.client.clone(),
                rebalance_timeout: member.rebalance_timeout,
                session_timeout: member.session_timeout,
                protocols: member.protocols.clone(),
                assignment: member.assignment.clone(),
            };
            (id, former)
        })
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    /// What the members of this generation agree on; empty if there is nothing.
    pub(super) fn protocol(&self) -> &str {
        self.protocol.as_deref().unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// `Stable`, as Kafka shows it.
    pub(super) fn state_name(&self) -> &'static str {
        match self.state {
            State::Empty => "Empty",
            State::PreparingRebalance { .. } => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Empty while nobody has ever joined.
    pub(super) fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    pub(super) fn is_of_consumers(&self) -> bool {
        self.protocol_type() == CONSUMER
    }

    pub(super) fn is_stable(&self) -> bool {
        self.state == State::Stable
    }

    pub(super) fn member_ids(&self) -> impl Iterator<Item = &String> {
        self.members.keys()
    }

    /// Whether positions in this topic are in use.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.topics {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// Whether it is known what the group is subscribed to.
    pub(super) fn knows_its_topics(&self) -> bool {
        self.topics.is_some()
    }

    /// Whether this member is who it says; an instance id belongs to the member that used it last.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID.
    fn check_member(&self, id: &str, instance: Option<&String>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(owner) if owner != id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    /// Whether positions may be stored in the name of this member; such a commit is a sign of life.
    ///
    /// # Errors
    /// What the member is told.
    pub(super) fn check_commit(
        &mut self,
        now: Instant,
        member: &str,
        instance: Option<&String>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation >= 0 || !member.is_empty() || instance.is_some() {
            self.check_member(member, instance)?;
            if generation != self.generation {
                return Err(ErrorCode::ILLEGAL_GENERATION);
            }
        } else if self.state != State::Empty {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.keep_alive(now, member);
        Ok(())
    }

    /// Starts a member's session anew.
    fn keep_alive(&mut self, now: Instant, member: &str) {
        if let Some(member) = self.members.get_mut(member) {
            member.expires = Some(now + member.session_timeout);
        }
    }

    /// Takes a member out. What it waits for is answered; nothing else follows from it here.
    fn remove(&mut self, id: &str) {
        if let Some(member) = self.members.remove(id) {
            if let Some(instance) = &member.instance {
                self.instances.remove(instance);
            }
            if let Some(answer) = member.joining {
                answer.fulfil(refused_join("", ErrorCode::UNKNOWN_MEMBER_ID));
            }
            if let Some(answer) = member.syncing {
                answer.fulfil(refused_sync(ErrorCode::UNKNOWN_MEMBER_ID));
            }
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending.remove(id);
        self.unsynced.remove(id);
    }

    /// How many members support this protocol.
    fn supporters(&self, protocol: &str) -> usize {
        self.members.values().filter(|member| member.protocols.iter().any(|(name, _)| name == protocol)).count()
    }

    /// The protocol that all support and most prefer; of several such the first by name.
    fn elect_protocol(&self) -> Option<String> {
        let mut supporters: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, _) in self.members.values().flat_map(|member| &member.protocols) {
            *supporters.entry(name).or_default() += 1;
        }
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let mut names = member.protocols.iter().map(|(name, _)| name.as_str());
            if let Some(vote) = names.find(|name| supporters.get(name) == Some(&self.members.len())) {
                *votes.entry(vote).or_default() += 1;
            }
        }
        votes.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned())
    }

    /// What the members want to consume, from their metadata for the chosen protocol.
    fn read_topics(&self) -> Option<BTreeSet<String>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(ConsumerProtocolSubscription::from_bytes(&member.metadata(protocol)).ok()?.topics);
        }
        Some(topics)
    }

    fn longest_rebalance(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn have_all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    fn enter(&mut self, now: Instant, state: State) {
        self.state = state;
        self.since = now;
    }

    /// The answer to a member that is in this generation.
    fn joined(&self, id: &str) -> JoinGroupResponse {
        let leads = self.leader.as_deref() == Some(id);
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: id.to_owned(),
            members: if leads { self.described_to_leader() } else { Vec::new() },
            ..Default::default()
        }
    }

    fn described_to_leader(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let describe = |(id, member): (&String, &Member)| JoinGroupResponseMember {
            member_id: id.clone(),
            group_instance_id: member.instance.clone(),
            metadata: member.metadata(protocol),
        };
        self.members.iter().map(describe).collect()
    }

    /// As DescribeGroups shows it.
    pub(super) fn describe(&self, id: &str) -> DescribedGroup {
        let stable = self.state == State::Stable;
        let protocol = self.protocol.as_deref().filter(|_| stable);
        let describe = |(id, member): (&String, &Member)| DescribedGroupMember {
            member_id: id.clone(),
            group_instance_id: member.instance.clone(),
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            member_metadata: protocol.map(|protocol| member.metadata(protocol)).unwrap_or_default(),
            member_assignment: member.assignment.clone(),
        };
        DescribedGroup {
            group_id: id.to_owned(),
            group_state: self.state_name().to_owned(),
            protocol_type: self.protocol_type().to_owned(),
            protocol_data: protocol.unwrap_or_default().to_owned(),
            members: self.members.iter().map(describe).collect(),
            ..Default::default()
        }
    }
}

/// The answer to a join that is not let in.
pub(in crate::devbroker) fn refused_join(member_id: &str, error_code: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse { error_code, protocol_name: None, member_id: member_id.to_owned(), ..Default::default() }
}

pub(in crate::devbroker) fn refused_sync(error_code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code, ..Default::default() }
}

/// The protocols of a join, copied out of its request, so that they do not keep all of it.
pub(super) fn copied(protocols: &[JoinGroupRequestProtocol]) -> Vec<(String, Bytes)> {
    let mut copies: Vec<(String, Bytes)> = Vec::with_capacity(protocols.len());
    for protocol in protocols {
        if copies.iter().all(|(name, _)| *name != protocol.name) {
            copies.push((protocol.name.clone(), protocol.metadata.to_vec().into()));
        }
    }
    copies
}

/// A timeout from a request; what is negative is none.
pub(super) fn timeout(ms: i32) -> Duration {
    millis(ms.max(0))
}
