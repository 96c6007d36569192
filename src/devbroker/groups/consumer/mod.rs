//! A group of the protocol in which the broker assigns (KIP-848).
//!
//! Three epochs follow each other. The group's goes up with every change of members, subscriptions or topics; the
//! assignment's is the group's epoch that the targets were computed for, which is done with a member's heartbeat and at
//! most once an interval; a member's is the one whose target it has been brought to. A member first gives up what it is
//! not to have, and says so by not naming it any more among what it owns; only then is that assigned to another
//! (`reconcile.rs`). So at no time two members have the same partition.
//!
//! Members may speak the classic protocol as well (`classic.rs`): so an application changes from one protocol to the
//! other while it runs.

mod classic;
mod heartbeat;
mod reconcile;
mod subscription;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use self::reconcile::Standing;
use self::subscription::Resolved;
use super::super::call::Client;
use super::super::partition::Refused;
use super::assignor::{self, Assignment};
use super::{Found, GroupOptions, Topics};
use crate::kafka::protocol::messages::{
    ConsumerGroupDescribeAssignment, ConsumerGroupDescribeTopicPartitions, DescribedConsumerGroup,
    DescribedConsumerGroupMember,
};
use crate::kafka::protocol::{Bytes, ErrorCode, Uuid};

pub(in crate::devbroker) use self::heartbeat::check;

/// The epoch that a static member has while it is away.
const AWAY: i32 = -2;

/// A group of the protocol in which the broker assigns.
#[derive(Debug)]
pub(in crate::devbroker) struct Consumers {
    epoch: i32,
    /// The group's epoch that `targets` were computed for; 0 is never.
    assignment_epoch: i32,
    assigned_at: Option<Instant>,
    members: BTreeMap<String, Member>,
    /// The member of each instance id.
    instances: BTreeMap<String, String>,
    /// What each member is to have; keys of `members`.
    targets: BTreeMap<String, Assignment>,
    /// The topics that were subscribed to and there when the epoch last went up.
    topics: BTreeMap<String, Found>,
    /// The state of all topics that `topics` was compared with; none if it must be compared again.
    compared: Option<u64>,
    /// What the expressions of the members matched when they were last looked at.
    expressions: BTreeMap<String, Resolved>,
    /// The epoch from before members went or changed to the classic protocol, until it has been looked at whether the
    /// group is to follow them.
    changed_from: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    instance: Option<String>,
    rack: Option<String>,
    client: Client,
    rebalance_timeout: Duration,
    names: BTreeSet<String>,
    /// Empty for none.
    expression: String,
    assignor: Option<String>,
    standing: Standing,
    /// When its session ends.
    expires: Instant,
    /// When it must have given up what it is to give up.
    revoke_by: Option<Instant>,
    /// Set if it speaks the classic protocol.
    voice: Option<Voice>,
}

/// What a member has more that speaks the classic protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Voice {
    session_timeout: Duration,
    /// In order of preference; the first is the one that it is told to use. Never empty.
    protocols: Vec<(String, Bytes)>,
    /// When it must have joined again, if it was told to.
    join_by: Option<Instant>,
    /// When it must have asked for its part.
    sync_by: Option<Instant>,
}

impl Member {
    /// Everything that ends its membership, unless it does something before.
    fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let voice = self.voice.iter().flat_map(|voice| voice.join_by.into_iter().chain(voice.sync_by));
        self.revoke_by.into_iter().chain(voice).chain([self.expires])
    }

    /// The error of a member whose epoch, or generation, is not the one it tells.
    fn is_late(&self) -> ErrorCode {
        if self.voice.is_some() { ErrorCode::ILLEGAL_GENERATION } else { ErrorCode::STALE_MEMBER_EPOCH }
    }
}

impl Consumers {
    pub(super) fn new() -> Self {
        Self {
            epoch: 1,
            assignment_epoch: 0,
            assigned_at: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            targets: BTreeMap::new(),
            topics: BTreeMap::new(),
            compared: None,
            expressions: BTreeMap::new(),
            changed_from: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// `Stable`, as Kafka shows it.
    pub(super) fn state_name(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().all(|member| member.standing.is_reconciled_to(self.assignment_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub(super) fn member_ids(&self) -> impl Iterator<Item = &String> {
        self.members.keys()
    }

    /// Whether positions in this topic are in use.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        let by_name = self.members.values().any(|member| member.names.contains(topic));
        by_name || self.expressions.values().any(|resolved| resolved.topics.contains(topic))
    }

    fn member(&self, group: &str, id: &str) -> Result<&Member, Refused> {
        self.members.get(id).ok_or_else(|| unknown_member(group, id))
    }

    /// Whether positions may be stored in the name of this member in these partitions. An epoch that is past still
    /// counts for partitions that it has had since then (KIP-1251).
    ///
    /// # Errors
    /// What the member is told.
    pub(super) fn check_commit(
        &self,
        version: i16,
        member: &str,
        epoch: i32,
        partitions: impl IntoIterator<Item = (Uuid, i32)>,
    ) -> Result<(), ErrorCode> {
        /// The first version in which such a group is thought of.
        const EPOCHS: i16 = 9;
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(member).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if version < EPOCHS && member.voice.is_none() {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        let standing = &member.standing;
        let fine = match epoch.cmp(&standing.epoch) {
            Ordering::Equal => true,
            Ordering::Greater => false,
            Ordering::Less => partitions
                .into_iter()
                .all(|(topic, partition)| standing.had_since(topic, partition).is_some_and(|since| since <= epoch)),
        };
        if fine { Ok(()) } else { Err(member.is_late()) }
    }

    /// Whether positions may be read in the name of this member.
    ///
    /// # Errors
    /// What it is told.
    pub(super) fn check_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        let Some(member) = member else {
            // Kafka fails on an epoch of nobody.
            return if epoch < 0 { Ok(()) } else { Err(ErrorCode::UNKNOWN_SERVER_ERROR) };
        };
        let known = self.members.get(member).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if known.standing.epoch == epoch { Ok(()) } else { Err(known.is_late()) }
    }

    /// The earliest time at which something ends.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.members.values().flat_map(Member::deadlines).min()
    }

    /// Ends what is over by now.
    pub(super) fn tick(&mut self, now: Instant, topics: &dyn Topics) {
        let late = |member: &Member| member.deadlines().any(|deadline| deadline <= now);
        let late: Vec<String> =
            self.members.iter().filter(|(_, member)| late(member)).map(|(id, _)| id.clone()).collect();
        late.iter().for_each(|id| self.expel(topics, id));
    }

    /// Takes a member out; what it had is free.
    pub(super) fn expel(&mut self, topics: &dyn Topics, id: &str) {
        self.expel_all(topics, [id]);
    }

    /// Takes members out at once.
    fn expel_all<'a>(&mut self, topics: &dyn Topics, ids: impl IntoIterator<Item = &'a str>) {
        let before = self.members.len();
        for id in ids {
            let Some(member) = self.members.remove(id) else { continue };
            if let Some(instance) = &member.instance
                && self.instances.get(instance).is_some_and(|owner| owner == id)
            {
                self.instances.remove(instance);
            }
            self.targets.remove(id);
        }
        if self.members.len() < before {
            self.forget_expressions();
            self.topics = self.subscribed_topics(topics);
            self.changed_from.get_or_insert(self.epoch);
            self.epoch += 1;
        }
    }

    /// Computes who is to have what, for the current epoch.
    fn assign(&mut self, now: Instant, topics: &dyn Topics) {
        let members = self.members.iter().map(|(id, member)| {
            let subscribed = self.topics_of(member, topics).into_values().map(|found| found.id).collect();
            let before = self.targets.get(id).cloned().unwrap_or_default();
            (id.clone(), assignor::Member { instance: member.instance.clone(), subscribed, before })
        });
        let members: BTreeMap<String, assignor::Member> = members.collect();
        let partitions = self.topics.values().map(|found| (found.id, found.partitions)).collect();
        self.targets = match self.assignor() {
            assignor::RANGE => assignor::range(&members, &partitions),
            _ => assignor::uniform(&members, &partitions),
        };
        self.assignment_epoch = self.epoch;
        self.assigned_at = Some(now);
    }

    /// The assignor that most members ask for.
    fn assignor(&self) -> &str {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for assignor in self.members.values().filter_map(|member| member.assignor.as_deref()) {
            *votes.entry(assignor).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map_or(assignor::UNIFORM, |(name, _)| name)
    }

    /// Whether targets may be computed again already.
    fn may_assign(&self, now: Instant, options: &GroupOptions) -> bool {
        self.assigned_at.is_none_or(|last| now >= last + options.consumer_assignment_interval)
    }

    /// Whether a member has this partition, or has not yet given it up.
    fn is_taken(&self, topic: Uuid, partition: i32) -> bool {
        self.members.values().any(|member| member.standing.had_since(topic, partition).is_some())
    }

    /// As ConsumerGroupDescribe shows it.
    pub(super) fn describe(&self, id: &str, topics: &dyn Topics) -> DescribedConsumerGroup {
        let members = self.members.iter().map(|(id, member)| {
            let standing = &member.standing;
            let mut owned: Assignment = Assignment::new();
            for (topic, partitions) in standing.assigned.iter().chain(&standing.revoking) {
                owned.entry(*topic).or_default().extend(partitions.keys());
            }
            let target = self.targets.get(id).cloned().unwrap_or_default();
            DescribedConsumerGroupMember {
                member_id: id.clone(),
                instance_id: member.instance.clone(),
                rack_id: member.rack.clone(),
                member_epoch: standing.epoch,
                client_id: member.client.id.clone(),
                client_host: member.client.host.clone(),
                subscribed_topic_names: member.names.iter().cloned().collect(),
                subscribed_topic_regex: Some(member.expression.clone()),
                assignment: described(&owned, topics),
                target_assignment: described(&target, topics),
                member_type: i8::from(member.voice.is_none()),
            }
        });
        DescribedConsumerGroup {
            group_id: id.to_owned(),
            group_state: self.state_name().to_owned(),
            group_epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor_name: self.assignor().to_owned(),
            members: members.collect(),
            ..Default::default()
        }
    }
}

fn described(assignment: &Assignment, topics: &dyn Topics) -> ConsumerGroupDescribeAssignment {
    let topics = assignment.iter().filter_map(|(id, partitions)| {
        Some(ConsumerGroupDescribeTopicPartitions {
            topic_id: *id,
            topic_name: topics.name_of(*id)?,
            partitions: partitions.iter().copied().collect(),
        })
    });
    ConsumerGroupDescribeAssignment { topic_partitions: topics.collect() }
}

fn unknown_member(group: &str, id: &str) -> Refused {
    Refused::new(ErrorCode::UNKNOWN_MEMBER_ID, format!("Member {id} is not a member of group {group}."))
}
