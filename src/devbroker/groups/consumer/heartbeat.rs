//! ConsumerGroupHeartbeat: all that a member of such a group ever says.

use std::collections::BTreeSet;
use std::time::Instant;

use super::super::super::partition::Refused;
use super::super::{Asker, GroupOptions, MAX_MEMBERS, Topics, assignor, millis};
use super::reconcile::{Goal, Standing, State};
use super::subscription::Change;
use super::{AWAY, Consumers, Member, unknown_member};
use crate::kafka::protocol::messages::{
    ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    ConsumerGroupHeartbeatTopicPartitions,
};
use crate::kafka::protocol::{ErrorCode, Uuid};

/// The epochs of a member that comes, that goes, and that will be back.
const JOIN: i32 = 0;
const LEAVE: i32 = -1;

/// From here on a member makes up its id itself.
const OWN_ID: i16 = 1;

/// Whether a heartbeat makes sense, whatever the group.
///
/// # Errors
/// INVALID_REQUEST or UNSUPPORTED_ASSIGNOR.
pub(in crate::devbroker) fn check(version: i16, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refused> {
    let invalid = |text: &str| Err(Refused::new(ErrorCode::INVALID_REQUEST, text));
    let blank = |text: &str| text.trim().is_empty();
    let epoch = request.member_epoch;
    if (version >= OWN_ID || epoch > JOIN || epoch == LEAVE) && blank(&request.member_id) {
        return invalid("MemberId can't be empty.");
    }
    if blank(&request.group_id) {
        return invalid("GroupId can't be empty.");
    }
    if request.instance_id.as_deref().is_some_and(blank) {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack_id.as_deref().is_some_and(blank) {
        return invalid("RackId can't be empty.");
    }
    match epoch {
        JOIN if request.rebalance_timeout_ms == -1 => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        JOIN if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        JOIN if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
            let text = "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
            return invalid(text);
        }
        AWAY if request.instance_id.is_none() => return invalid("InstanceId can't be null."),
        ..AWAY => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    match &request.server_assignor {
        Some(unknown) if !assignor::NAMES.contains(&unknown.as_str()) => {
            let known = assignor::NAMES.join(", ");
            let text = format!("ServerAssignor {unknown} is not supported. Supported assignors: {known}.");
            Err(Refused::new(ErrorCode::UNSUPPORTED_ASSIGNOR, text))
        }
        _ => Ok(()),
    }
}

impl Consumers {
    /// A member comes, is alive or goes.
    ///
    /// # Errors
    /// What it is told in place of an answer; nothing has changed then.
    pub(in super::super) fn heartbeat(
        &mut self,
        now: Instant,
        options: &GroupOptions,
        topics: &dyn Topics,
        asker: &Asker<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refused> {
        if matches!(request.member_epoch, LEAVE | AWAY) {
            return self.leave(topics, request);
        }
        let id = match request.member_id.as_str() {
            "" => super::super::super::cluster::random_uuid().to_string(),
            id => id.to_owned(),
        };
        if !self.members.contains_key(&id) && self.members.len() >= MAX_MEMBERS {
            let text = format!("The consumer group has reached its maximum capacity of {MAX_MEMBERS} members.");
            return Err(Refused::new(ErrorCode::GROUP_MAX_SIZE_REACHED, text));
        }
        let (before, replaced) = self.find(now, &id, request)?;
        let mut member = before.clone();
        member.take_over(now, options, asker, request);
        let change = self.check_expression(&before.expression, &member.expression)?;
        let renamed = member.names != before.names;
        let last_resolved = self.last_resolved();

        self.install(&id, &member, replaced);
        self.follow_topics(topics, renamed || change == Change::Known);
        if self.epoch > self.assignment_epoch && self.may_assign(now, options) {
            self.assign(now, topics);
        }
        let resubscribed = renamed || change != Change::None;
        self.reconcile(now, &id, &mut member, topics, resubscribed, request.topic_partitions.as_deref());
        self.resolve_expressions(now, topics, last_resolved);

        let full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
            && request.topic_partitions.is_some();
        let tell = request.member_epoch == JOIN || full || has_other_partitions(&before.standing, &member.standing);
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(id),
            member_epoch: member.standing.epoch,
            heartbeat_interval_ms: i32::try_from(options.consumer_heartbeat_interval.as_millis()).unwrap_or(i32::MAX),
            assignment: tell.then(|| told(&member.standing)),
            ..Default::default()
        })
    }

    /// The member that this comes from, and the id that it had if it is a static one that takes its place under
    /// another.
    fn find(
        &self,
        now: Instant,
        id: &str,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(Member, Option<String>), Refused> {
        let joins = request.member_epoch == JOIN;
        let Some(instance) = &request.instance_id else {
            let member = match self.members.get(id) {
                Some(member) => member.clone(),
                None if joins => Member::new(now),
                None => return Err(unknown_member(&request.group_id, id)),
            };
            member.standing.check_epoch(request)?;
            return Ok((member, None));
        };
        let known = self.instances.get(instance).and_then(|id| Some((id, self.members.get(id)?)));
        let Some((owner, member)) = known else {
            return match joins {
                true => Ok((self.members.get(id).cloned().unwrap_or_else(|| Member::new(now)), None)),
                false => Err(unknown_instance(instance)),
            };
        };
        if !joins {
            check_owner(owner, id, instance)?;
            member.standing.check_epoch(request)?;
            return Ok((member.clone(), None));
        }
        if member.standing.epoch != AWAY && member.voice.is_none() {
            let text = format!(
                "Static member {id} with instance id {instance} cannot join the group because the instance id is owned \
                 by {owner} member."
            );
            return Err(Refused::new(ErrorCode::UNRELEASED_INSTANCE_ID, text));
        }
        let mut member = member.clone();
        member.standing.epoch = 0;
        member.standing.previous_epoch = 0;
        member.revoke_by = None;
        Ok((member, (owner != id).then(|| owner.clone())))
    }

    /// Puts a member in its place; a static one may have had another id.
    pub(super) fn install(&mut self, id: &str, member: &Member, replaced: Option<String>) {
        if let Some(old) = replaced {
            self.members.remove(&old);
            let target = self.targets.remove(&old).unwrap_or_default();
            self.targets.insert(id.to_owned(), target);
        }
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), id.to_owned());
        }
        self.members.insert(id.to_owned(), member.clone());
        self.forget_expressions();
    }

    /// Compares the topics there are with those of the group's epoch, if there is a reason to.
    pub(super) fn follow_topics(&mut self, topics: &dyn Topics, resubscribed: bool) {
        let version = topics.version();
        if resubscribed || self.compared != Some(version) {
            let there = self.subscribed_topics(topics);
            if resubscribed || there != self.topics {
                self.epoch += 1;
                self.topics = there;
            }
            self.compared = Some(version);
        }
    }

    /// Brings a member a step towards its target.
    pub(super) fn reconcile(
        &mut self,
        now: Instant,
        id: &str,
        member: &mut Member,
        topics: &dyn Topics,
        resubscribed: bool,
        owned: Option<&[ConsumerGroupHeartbeatTopicPartitions]>,
    ) {
        let epoch = self.assignment_epoch;
        if !resubscribed && member.standing.is_reconciled_to(epoch) {
            return;
        }
        let subscribed: BTreeSet<Uuid> = self.topics_of(member, topics).into_values().map(|found| found.id).collect();
        let target = self.targets.get(id).cloned().unwrap_or_default();
        let goal = Goal { epoch, target: &target, subscribed: &subscribed, resubscribed, owned };
        let next = member.standing.next(&goal, |topic, partition| self.is_taken(topic, partition));
        if next != member.standing {
            let revokes = next.state == State::Unrevoked && member.voice.is_none();
            member.revoke_by = revokes.then(|| now + member.rebalance_timeout);
            member.standing = next;
            self.members.insert(id.to_owned(), member.clone());
        }
    }

    fn leave(
        &mut self,
        topics: &dyn Topics,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refused> {
        let id = request.member_id.as_str();
        if let Some(instance) = &request.instance_id {
            let owner = self.instances.get(instance).ok_or_else(|| unknown_instance(instance))?;
            check_owner(owner, id, instance)?;
        }
        self.member(&request.group_id, id)?;
        match self.members.get_mut(id) {
            Some(member) if request.member_epoch == AWAY => member.standing.go_away(),
            _ => self.expel(topics, id),
        }
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(id.to_owned()),
            member_epoch: request.member_epoch,
            ..Default::default()
        })
    }
}

impl Member {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            instance: None,
            rack: None,
            client: Default::default(),
            rebalance_timeout: Default::default(),
            names: BTreeSet::new(),
            expression: String::new(),
            assignor: None,
            standing: Standing::new(),
            expires: now,
            revoke_by: None,
            voice: None,
        }
    }

    /// Takes over what the heartbeat says; what it does not say stays.
    fn take_over(
        &mut self,
        now: Instant,
        options: &GroupOptions,
        asker: &Asker<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) {
        self.client = asker.client.clone();
        self.voice = None;
        self.expires = now + options.consumer_session_timeout;
        if request.instance_id.is_some() {
            self.instance.clone_from(&request.instance_id);
        }
        if request.rack_id.is_some() {
            self.rack.clone_from(&request.rack_id);
        }
        if request.rebalance_timeout_ms != -1 {
            self.rebalance_timeout = millis(request.rebalance_timeout_ms.max(0));
        }
        if request.server_assignor.is_some() {
            self.assignor.clone_from(&request.server_assignor);
        }
        if let Some(names) = &request.subscribed_topic_names {
            self.names = names.iter().cloned().collect();
        }
        if let Some(expression) = &request.subscribed_topic_regex {
            self.expression.clone_from(expression);
        }
    }
}

impl Standing {
    /// Whether the member is where it is taken to be, or one step behind because an answer was lost.
    fn check_epoch(&self, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refused> {
        let (told, known) = (request.member_epoch, self.epoch);
        let owned = request.topic_partitions.as_deref();
        let lost_answer = told == self.previous_epoch && self.owns_no_more_than_assigned(owned);
        if told == JOIN || told == known || told < known && lost_answer {
            return Ok(());
        }
        let size = if told > known { "greater" } else { "smaller" };
        let text = format!(
            "The consumer group member has a {size} member epoch ({told}) than the one known by the group coordinator \
             ({known}). The member must abandon all its partitions and rejoin."
        );
        Err(Refused::new(ErrorCode::FENCED_MEMBER_EPOCH, text))
    }

    /// The member will be back: it keeps what it has.
    fn go_away(&mut self) {
        self.epoch = AWAY;
        self.revoking.clear();
        self.assigned.values_mut().flat_map(|partitions| partitions.values_mut()).for_each(|since| *since = 0);
    }
}

fn unknown_instance(instance: &str) -> Refused {
    Refused::new(ErrorCode::UNKNOWN_MEMBER_ID, format!("Instance id {instance} is unknown."))
}

fn check_owner(owner: &str, id: &str, instance: &str) -> Result<(), Refused> {
    if owner == id {
        return Ok(());
    }
    let text = format!("Static member {id} with instance id {instance} was fenced by member {owner}.");
    Err(Refused::new(ErrorCode::FENCED_INSTANCE_ID, text))
}

fn has_other_partitions(before: &Standing, after: &Standing) -> bool {
    let keys = |standing: &Standing| -> BTreeSet<(Uuid, i32)> {
        standing.assigned.iter().flat_map(|(topic, indexes)| indexes.keys().map(|index| (*topic, *index))).collect()
    };
    keys(before) != keys(after)
}

fn told(standing: &Standing) -> ConsumerGroupHeartbeatAssignment {
    let topics = standing.assigned.iter().map(|(topic, partitions)| ConsumerGroupHeartbeatTopicPartitions {
        topic_id: *topic,
        partitions: partitions.keys().copied().collect(),
    });
    ConsumerGroupHeartbeatAssignment { topic_partitions: topics.collect() }
}
