//! Members that speak the classic protocol in a group for which the broker assigns, and the steps from one kind of
//! group to the other while members are there (`group.consumer.migration.policy=bidirectional`).
//!
//! JoinGroup is then what a heartbeat with subscription and owned partitions is to the others; its answer names no
//! leader, and SyncGroup asks for what the broker assigned. A member is told by its heartbeats to join again when there
//! is something to give up or to take.

use std::time::Instant;

use super::super::super::partition::Refused;
use super::super::assignor::Assignment;
use super::super::classic::{CONSUMER, Classic, Former, copied, refused_join, timeout};
use super::super::{Asker, GroupOptions, MAX_GROUP_BYTES, MAX_MEMBERS, Topics};
use super::reconcile::{Partitions, Standing, State};
use super::subscription::Change;
use super::{Consumers, Member, Voice};
use crate::kafka::protocol::messages::{
    ConsumerGroupHeartbeatTopicPartitions, ConsumerProtocolAssignment, ConsumerProtocolSubscription,
    ConsumerProtocolTopicPartition, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, MemberIdentity,
    MemberResponse, SyncGroupRequest, SyncGroupResponse,
};
use crate::kafka::protocol::{Bytes, ErrorCode};

/// From here on a new member is told its id first and joins again with it.
const ID_FIRST: i16 = 4;

impl Consumers {
    /// A classic group with its members, as a group for which the broker assigns.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND if they are not consumers, or tell each other what the broker does not understand.
    pub(in super::super) fn upgraded(
        now: Instant,
        id: &str,
        classic: &Classic,
        topics: &dyn Topics,
    ) -> Result<Self, Refused> {
        let refused = |why: &str| {
            let text = format!("Cannot upgrade classic group {id} to consumer group because {why}.");
            Refused::new(ErrorCode::GROUP_ID_NOT_FOUND, text)
        };
        if !classic.is_of_consumers() {
            return Err(refused("the group does not use the consumer embedded protocol"));
        }
        let malformed = |_| refused("the embedded consumer protocol is malformed");
        let mut group = Self::new();
        let generation = classic.generation();
        (group.epoch, group.assignment_epoch) = (generation, generation);
        for (id, former) in classic.formers() {
            let metadata = former.protocols.iter().find(|(name, _)| name == classic.protocol());
            let metadata = metadata.map(|(_, metadata)| metadata.clone()).unwrap_or_default();
            let subscription = ConsumerProtocolSubscription::from_bytes(&metadata).map_err(malformed)?;
            let assignment = ConsumerProtocolAssignment::from_bytes(&former.assignment).map_err(malformed)?;
            if assignment.user_data.is_some_and(|data| !data.is_empty()) {
                return Err(refused(
                    "an unsupported custom assignor is in use. Please refer to the documentation or switch to a \
                     default assignor before re-attempting the upgrade",
                ));
            }
            let mut assigned = Partitions::new();
            for topic in &assignment.assigned_partitions {
                if let Some(found) = topics.find(&topic.topic) {
                    assigned.entry(found.id).or_default().extend(topic.partitions.iter().map(|at| (*at, generation)));
                }
            }
            assigned.retain(|_, partitions| !partitions.is_empty());
            let target: Assignment =
                assigned.iter().map(|(topic, indexes)| (*topic, indexes.keys().copied().collect())).collect();
            let member = Member {
                instance: former.instance,
                rack: subscription.rack_id,
                client: former.client,
                rebalance_timeout: former.rebalance_timeout,
                names: subscription.topics.into_iter().collect(),
                standing: Standing { epoch: generation, previous_epoch: generation, assigned, ..Standing::new() },
                expires: now + former.session_timeout,
                voice: Some(Voice {
                    session_timeout: former.session_timeout,
                    protocols: former.protocols,
                    join_by: None,
                    sync_by: None,
                }),
                ..Member::new(now)
            };
            group.targets.insert(id.clone(), target);
            group.install(id, &member, None);
        }
        group.topics = group.subscribed_topics(topics);
        Ok(group)
    }

    /// The group as a classic one, if members have gone or changed and all that are there speak that protocol.
    pub(in super::super) fn downgraded(
        &mut self,
        now: Instant,
        options: &GroupOptions,
        topics: &dyn Topics,
    ) -> Option<Classic> {
        let generation = self.changed_from.take()?;
        if self.members.is_empty() || self.members.values().any(|member| member.voice.is_none()) {
            return None;
        }
        let formers = std::mem::take(&mut self.members).into_iter().filter_map(|(id, member)| {
            let voice = member.voice?;
            let former = Former {
                assignment: voice.assignment(&self.targets.remove(&id).unwrap_or_default(), topics),
                instance: member.instance,
                client: member.client,
                rebalance_timeout: member.rebalance_timeout,
                session_timeout: voice.session_timeout,
                protocols: voice.protocols,
            };
            Some((id, former))
        });
        Some(Classic::taking_over(now, options, generation, formers))
    }

    /// A member joins that speaks the classic protocol. It need not wait for anybody.
    ///
    /// # Errors
    /// What it is told in place of an answer; nothing has changed then.
    pub(in super::super) fn join(
        &mut self,
        now: Instant,
        options: &GroupOptions,
        topics: &dyn Topics,
        asker: &Asker<'_>,
        request: &JoinGroupRequest,
    ) -> Result<JoinGroupResponse, ErrorCode> {
        let new = request.member_id.is_empty();
        let id = if new { super::super::super::cluster::random_uuid().to_string() } else { request.member_id.clone() };
        if !self.members.contains_key(&id) && self.members.len() >= MAX_MEMBERS {
            return Err(ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        self.check_protocols(request)?;
        if new && request.group_instance_id.is_none() && asker.version >= ID_FIRST {
            return Ok(refused_join(&id, ErrorCode::MEMBER_ID_REQUIRED));
        }
        let (before, replaced) = self.find_classic(now, &id, request)?;
        let protocols = copied(&request.protocols);
        let (protocol, metadata) = protocols.first().cloned().ok_or(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)?;
        let told = ConsumerProtocolSubscription::from_bytes(&metadata).map_err(|_| ErrorCode::UNKNOWN_SERVER_ERROR)?;
        let session_timeout = timeout(request.session_timeout_ms);
        let rebalance_timeout = timeout(request.rebalance_timeout_ms);
        let mut member = Member {
            instance: request.group_instance_id.clone().or_else(|| before.instance.clone()),
            rack: told.rack_id.or_else(|| before.rack.clone()),
            client: asker.client.clone(),
            rebalance_timeout,
            names: told.topics.into_iter().collect(),
            expression: String::new(),
            expires: now + session_timeout,
            revoke_by: None,
            voice: Some(Voice { session_timeout, protocols, join_by: None, sync_by: Some(now + rebalance_timeout) }),
            ..before.clone()
        };
        let change = self.check_expression(&before.expression, "").map_err(|refused| refused.code)?;
        let resubscribed = member.names != before.names || change != Change::None;
        if before.voice.is_none() && (replaced.is_some() || self.members.contains_key(&id)) {
            self.changed_from.get_or_insert(self.epoch);
        }
        self.install(&id, &member, replaced);
        self.follow_topics(topics, resubscribed);
        if self.epoch > self.assignment_epoch && self.may_assign(now, options) {
            self.assign(now, topics);
        }
        let owned: Vec<ConsumerGroupHeartbeatTopicPartitions> = told
            .owned_partitions
            .into_iter()
            .filter_map(|topic| {
                let topic_id = topics.find(&topic.topic)?.id;
                Some(ConsumerGroupHeartbeatTopicPartitions { topic_id, partitions: topic.partitions })
            })
            .collect();
        self.reconcile(now, &id, &mut member, topics, resubscribed, Some(&owned));
        Ok(JoinGroupResponse {
            generation_id: member.standing.epoch,
            protocol_type: Some(CONSUMER.to_owned()),
            protocol_name: Some(protocol),
            member_id: id,
            ..Default::default()
        })
    }

    /// Whether the member speaks what the others of its protocol speak, and its metadata are of a bearable size.
    fn check_protocols(&self, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
        let voices: Vec<&Voice> = self.members.values().filter_map(|member| member.voice.as_ref()).collect();
        let has = |voice: &Voice, name: &str| voice.protocols.iter().any(|(own, _)| own == name);
        let all_have = |name: &str| voices.iter().all(|voice| has(voice, name));
        if request.protocol_type != CONSUMER || !request.protocols.iter().any(|protocol| all_have(&protocol.name)) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let held: usize = voices.iter().flat_map(|voice| &voice.protocols).map(|(_, metadata)| metadata.len()).sum();
        let more: usize = request.protocols.iter().map(|protocol| protocol.metadata.len()).sum();
        if held + more > MAX_GROUP_BYTES { Err(ErrorCode::UNKNOWN_SERVER_ERROR) } else { Ok(()) }
    }

    /// The member that joins, and the id that it had if it is a static one that comes back.
    fn find_classic(
        &self,
        now: Instant,
        id: &str,
        request: &JoinGroupRequest,
    ) -> Result<(Member, Option<String>), ErrorCode> {
        let by_id = || self.members.get(id).cloned().unwrap_or_else(|| Member::new(now));
        let new = request.member_id.is_empty();
        let Some(instance) = &request.group_instance_id else { return Ok((by_id(), None)) };
        match self.instances.get(instance).and_then(|owner| Some((owner, self.members.get(owner)?))) {
            None if new => Ok((by_id(), None)),
            None => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            Some((owner, member)) if new => {
                let mut member = member.clone();
                (member.standing.epoch, member.standing.previous_epoch) = (0, 0);
                Ok((member, Some(owner.clone())))
            }
            Some((owner, _)) if owner != id => Err(ErrorCode::FENCED_INSTANCE_ID),
            Some((_, member)) => Ok((member.clone(), None)),
        }
    }

    /// A member asks for what was assigned to it.
    ///
    /// # Errors
    /// What it is told in place of it.
    pub(in super::super) fn sync(
        &mut self,
        now: Instant,
        topics: &dyn Topics,
        request: &SyncGroupRequest,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let epoch = self.assignment_epoch;
        let member = self.speaker(&request.member_id, request.group_instance_id.as_ref(), request.generation_id)?;
        let (standing, rebalance_timeout) = (member.standing.clone(), member.rebalance_timeout);
        let Some(voice) = &mut member.voice else { return Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        let told = |told: &Option<String>, own: &str| told.as_deref().is_none_or(|told| told == own);
        let protocol = voice.protocols.first().map(|(name, _)| name.as_str()).unwrap_or_default();
        if !told(&request.protocol_type, CONSUMER) || !told(&request.protocol_name, protocol) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        if epoch > standing.epoch && standing.state != State::Unrevoked {
            voice.join_by.get_or_insert(now + rebalance_timeout);
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        voice.sync_by = None;
        let assigned: Assignment =
            standing.assigned.iter().map(|(topic, indexes)| (*topic, indexes.keys().copied().collect())).collect();
        let assignment = voice.assignment(&assigned, topics);
        member.expires = now + voice.session_timeout;
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment,
            ..Default::default()
        })
    }

    /// A member is alive.
    ///
    /// # Errors
    /// REBALANCE_IN_PROGRESS if it is to join again, or why it is none.
    pub(in super::super) fn classic_heartbeat(
        &mut self,
        now: Instant,
        request: &HeartbeatRequest,
    ) -> Result<(), ErrorCode> {
        let epoch = self.assignment_epoch;
        let id = request.member_id.as_str();
        let member = self.speaker(id, request.group_instance_id.as_ref(), request.generation_id)?;
        let standing = &member.standing;
        let behind = standing.epoch < epoch || standing.state == State::Unrevoked;
        let unreleased = standing.state == State::Unreleased;
        if let Some(voice) = &member.voice {
            member.expires = now + voice.session_timeout;
        }
        if !behind && (!unreleased || self.waits_for_others(id)) {
            return Ok(());
        }
        if let Some(member) = self.members.get_mut(id)
            && let Some(voice) = &mut member.voice
        {
            voice.join_by.get_or_insert(now + member.rebalance_timeout);
        }
        Err(ErrorCode::REBALANCE_IN_PROGRESS)
    }

    /// Whether something of the member's target is still with another.
    fn waits_for_others(&self, id: &str) -> bool {
        let (Some(member), Some(target)) = (self.members.get(id), self.targets.get(id)) else { return false };
        target.iter().any(|(topic, indexes)| {
            let lacks = |index: &&i32| member.standing.had_since(*topic, **index).is_none();
            indexes.iter().filter(lacks).any(|index| self.is_taken(*topic, *index))
        })
    }

    /// Takes members out, whichever protocol they speak, and says for each how it went.
    pub(in super::super) fn classic_leave(
        &mut self,
        topics: &dyn Topics,
        members: &[MemberIdentity],
    ) -> Vec<MemberResponse> {
        let found: Vec<Result<String, ErrorCode>> = members.iter().map(|member| self.find_leaving(member)).collect();
        self.expel_all(topics, found.iter().flatten().map(String::as_str));
        let answers = members.iter().zip(found).map(|(member, found)| MemberResponse {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            error_code: found.err().unwrap_or_default(),
        });
        answers.collect()
    }

    fn find_leaving(&self, member: &MemberIdentity) -> Result<String, ErrorCode> {
        let id = match &member.group_instance_id {
            None => &member.member_id,
            Some(instance) => self.instances.get(instance).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?,
        };
        if member.group_instance_id.is_some() && !member.member_id.is_empty() && member.member_id != *id {
            return Err(ErrorCode::FENCED_INSTANCE_ID);
        }
        self.members.contains_key(id).then(|| id.clone()).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    /// A member that is who it says and speaks the classic protocol.
    fn speaker(&mut self, id: &str, instance: Option<&String>, generation: i32) -> Result<&mut Member, ErrorCode> {
        if let Some(instance) = instance {
            let owner = self.instances.get(instance).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if owner != id {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
        }
        let member = self.members.get_mut(id).filter(|member| member.voice.is_some());
        let member = member.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if generation != member.standing.epoch {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        Ok(member)
    }
}

impl Voice {
    /// Partitions as this member understands them: in the version of what it sent.
    fn assignment(&self, assigned: &Assignment, topics: &dyn Topics) -> Bytes {
        let metadata: &[u8] = self.protocols.first().map(|(_, metadata)| &**metadata).unwrap_or_default();
        let version = metadata.first_chunk().map_or(0, |version| i16::from_be_bytes(*version));
        let versions = ConsumerProtocolAssignment::VERSIONS;
        let named = assigned.iter().filter_map(|(topic, partitions)| {
            let partitions = partitions.iter().copied().collect();
            Some(ConsumerProtocolTopicPartition { topic: topics.name_of(*topic)?, partitions })
        });
        let assignment = ConsumerProtocolAssignment { assigned_partitions: named.collect(), user_data: None };
        // Only a topic name that is too long for the encoding could fail, and there is none.
        assignment.to_bytes(version.clamp(versions.min, versions.max)).unwrap_or_default()
    }
}
