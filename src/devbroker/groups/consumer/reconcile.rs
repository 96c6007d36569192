//! Bringing one member to its target, one heartbeat at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::super::assignor::Assignment;
use crate::kafka::protocol::Uuid;
use crate::kafka::protocol::messages::ConsumerGroupHeartbeatTopicPartitions;

/// Partitions, each with the member's epoch in which it got it.
pub(super) type Partitions = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// Where a member stands. No partition is in two places of all members of a group together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: State,
    /// 0 for a member that has just come.
    pub(super) epoch: i32,
    /// The one before, which a member whose answer was lost still has.
    pub(super) previous_epoch: i32,
    pub(super) assigned: Partitions,
    /// What it is to give up and has not given up.
    pub(super) revoking: Partitions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has its target of its epoch.
    Stable,
    /// It must give up partitions before it gets to the next epoch.
    Unrevoked,
    /// It waits for partitions that another has not given up.
    Unreleased,
}

/// What a member is to be brought to.
pub(super) struct Goal<'a> {
    pub(super) epoch: i32,
    pub(super) target: &'a Assignment,
    /// The topics that it is subscribed to now, which may be others than when the target was made.
    pub(super) subscribed: &'a BTreeSet<Uuid>,
    /// That subscription came with this heartbeat.
    pub(super) resubscribed: bool,
    /// What it says that it owns; none if it does not say.
    pub(super) owned: Option<&'a [ConsumerGroupHeartbeatTopicPartitions]>,
}

impl Standing {
    pub(super) fn new() -> Self {
        Self {
            state: State::Stable,
            epoch: 0,
            previous_epoch: -1,
            assigned: Partitions::new(),
            revoking: Partitions::new(),
        }
    }

    pub(super) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == State::Stable && self.epoch == epoch
    }

    /// Since which epoch it has this partition; none if it does not have it.
    pub(super) fn had_since(&self, topic: Uuid, partition: i32) -> Option<i32> {
        let places = [&self.assigned, &self.revoking];
        places.iter().find_map(|place| place.get(&topic)?.get(&partition).copied())
    }

    /// Whether it owns nothing but what is assigned to it.
    pub(super) fn owns_no_more_than_assigned(&self, owned: Option<&[ConsumerGroupHeartbeatTopicPartitions]>) -> bool {
        owned.is_some_and(|owned| {
            owned.iter().all(|topic| {
                let assigned = self.assigned.get(&topic.topic_id);
                topic.partitions.iter().all(|index| assigned.is_some_and(|assigned| assigned.contains_key(index)))
            })
        })
    }

    /// The next step towards the goal; `taken` tells whether any member of the group has a partition.
    pub(super) fn next(&self, goal: &Goal<'_>, taken: impl Fn(Uuid, i32) -> bool) -> Self {
        match self.state {
            State::Stable if self.epoch != goal.epoch => self.advance(goal, taken),
            State::Unrevoked if !still_owns(goal.owned, &self.revoking) => self.advance(goal, taken),
            State::Unreleased => self.advance(goal, taken),
            State::Stable | State::Unrevoked if goal.resubscribed => self.shrink(goal),
            State::Stable | State::Unrevoked => self.clone(),
        }
    }

    fn advance(&self, goal: &Goal<'_>, taken: impl Fn(Uuid, i32) -> bool) -> Self {
        let is_goal = |topic: &Uuid, index: &i32| {
            goal.subscribed.contains(topic) && goal.target.get(topic).is_some_and(|target| target.contains(index))
        };
        let (mut assigned, revoking) = split(&self.assigned, is_goal);
        if still_owns(goal.owned, &revoking) {
            return Self { state: State::Unrevoked, epoch: self.epoch, previous_epoch: self.epoch, assigned, revoking };
        }
        let mut unreleased = false;
        for (topic, target) in goal.target.iter().filter(|(topic, _)| goal.subscribed.contains(topic)) {
            for index in target {
                let has = assigned.get(topic).is_some_and(|assigned| assigned.contains_key(index));
                let revoked = self.revoking.get(topic).is_some_and(|revoking| revoking.contains_key(index));
                if has {
                } else if !revoked && taken(*topic, *index) {
                    unreleased = true;
                } else {
                    assigned.entry(*topic).or_default().insert(*index, goal.epoch);
                }
            }
        }
        Self {
            state: if unreleased { State::Unreleased } else { State::Stable },
            epoch: goal.epoch,
            previous_epoch: self.epoch,
            assigned,
            revoking: Partitions::new(),
        }
    }

    /// Gives up what it is no longer subscribed to, before there is a new target.
    fn shrink(&self, goal: &Goal<'_>) -> Self {
        let (assigned, dropped) = split(&self.assigned, |topic, _| goal.subscribed.contains(topic));
        if dropped.is_empty() {
            return self.clone();
        }
        let mut revoking = self.revoking.clone();
        for (topic, partitions) in dropped {
            revoking.entry(topic).or_default().extend(partitions);
        }
        if still_owns(goal.owned, &revoking) {
            Self { state: State::Unrevoked, previous_epoch: self.epoch, assigned, revoking, ..self.clone() }
        } else {
            Self { previous_epoch: self.epoch, assigned, ..self.clone() }
        }
    }
}

/// Those for which it is true, and the others.
fn split(partitions: &Partitions, stays: impl Fn(&Uuid, &i32) -> bool) -> (Partitions, Partitions) {
    let (mut staying, mut going) = (Partitions::new(), Partitions::new());
    for (topic, indexes) in partitions {
        for (index, since) in indexes {
            let side = if stays(topic, index) { &mut staying } else { &mut going };
            side.entry(*topic).or_default().insert(*index, *since);
        }
    }
    (staying, going)
}

/// Whether a member may still own some of these partitions. One that does not say what it owns may.
fn still_owns(owned: Option<&[ConsumerGroupHeartbeatTopicPartitions]>, partitions: &Partitions) -> bool {
    if partitions.is_empty() {
        return false;
    }
    owned.is_none_or(|owned| {
        owned.iter().any(|topic| {
            let these = partitions.get(&topic.topic_id);
            these.is_some_and(|these| topic.partitions.iter().any(|index| these.contains_key(index)))
        })
    })
}
