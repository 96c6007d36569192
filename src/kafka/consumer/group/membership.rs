//! What being a member of a group means to the rest of the consumer, whichever protocol the group speaks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::classic::Classic;
use super::modern::Modern;
use crate::kafka::config::{ConsumerSettings, GroupProtocol};
use crate::kafka::consumer::subscription::{Assignment, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::protocol::messages::ConsumerGroupHeartbeatRequest;
use crate::kafka::protocol::{ErrorCode, Uuid};

/// A member's name within the group, and the generation, or member epoch, that it is valid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// -1 outside of any generation.
    pub generation: i32,
    /// Empty until the coordinator gave one.
    pub member_id: String,
}

impl Identity {
    /// Of a consumer that commits without being a member.
    pub fn none() -> Self {
        Self { generation: -1, member_id: String::new() }
    }
}

/// Names one run of the join thread from JoinGroup to an assignment, with however many retries it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt(pub(super) u64);

/// Names a time through which what was held stayed with this member: what was read in it may be committed in it, in
/// whatever generation. With the eager protocol that is one generation, else the whole membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// Not a member, and not on the way: commits name no member.
    Apart,
    Member(u64),
}

/// What `poll` must do next on the application's thread.
#[derive(Debug)]
pub(crate) enum Step {
    /// Tell the application that these are about to go, then drop them.
    Revoke(Vec<TopicPartition>),
    /// The same, of all that is held, but others may own it already. Then call [`Membership::let_go`].
    Lose,
    /// Hand this to the join thread, with what is held.
    Join(Attempt),
    /// Wake the coordinator thread: there is something to tell.
    Report,
    /// Take these up, besides what is held, and tell the application.
    Assign(Vec<TopicPartition>),
    /// Tell the application; it is told again with the next poll.
    Fail(Error),
}

/// What the coordinator thread must do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    Nothing,
    /// Ask again who the coordinator is.
    FindCoordinator,
    /// Wake `poll`: the state changed.
    Wake,
}

/// A heartbeat to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Beat {
    Classic(Identity),
    Modern { request: Box<ConsumerGroupHeartbeatRequest>, stay: Stay },
}

/// Why a rebalance began, and when.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub why: String,
    pub since: Instant,
}

/// Membership in either protocol.
#[derive(Debug)]
pub(crate) enum Membership {
    Classic(Classic),
    Modern(Modern),
}

/// Calls the same method of either.
macro_rules! either {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Self::Classic(member) => member.$method($($argument),*),
            Self::Modern(member) => member.$method($($argument),*),
        }
    };
}

impl Membership {
    pub fn new(group: &str, settings: &ConsumerSettings, now: Instant) -> Self {
        match settings.group_protocol {
            GroupProtocol::Classic => Self::Classic(Classic::new(group, settings, now)),
            GroupProtocol::Consumer => Self::Modern(Modern::new(group, settings, now)),
        }
    }

    /// The subscription changed: take part with it.
    pub fn subscribe(&mut self, topics: &BTreeSet<String>, now: Instant) {
        match self {
            Self::Classic(member) => member.subscribe(now),
            Self::Modern(member) => member.subscribe(topics, now),
        }
    }

    /// Out of the group, and not wanting back. Returns as whom the coordinator must be told, if it knows us and is
    /// to be told.
    pub fn leave(&mut self) -> Option<Identity> {
        either!(self.leave())
    }

    /// What is to do now, if anything. `name` tells which topic has an id.
    pub fn step(
        &mut self,
        held: &Assignment,
        topics: &BTreeSet<String>,
        name: impl Fn(Uuid) -> Option<String>,
        now: Instant,
    ) -> Option<Step> {
        match self {
            Self::Classic(member) => member.step(held, topics, now),
            Self::Modern(member) => member.step(held, name, now),
        }
    }

    /// When [`step`](Self::step) will have something to do by itself.
    pub fn step_due(&self) -> Option<Instant> {
        either!(self.step_due())
    }

    /// What was lost has been dropped.
    pub fn let_go(&mut self) {
        either!(self.let_go())
    }

    /// Why the rebalance that has just ended began.
    pub fn take_cause(&mut self) -> Option<Cause> {
        either!(self.take_cause())
    }

    /// The generation, or member epoch.
    pub fn generation(&self) -> i32 {
        match self {
            Self::Classic(member) => member.identity().generation,
            Self::Modern(member) => member.epoch(),
        }
    }

    /// `poll` begins or ends, or goes into or comes out of the application's listener.
    pub fn polling(&mut self, inside: bool, now: Instant) {
        either!(self.polls()).polling(inside, now);
    }

    /// When the application must have called `poll` again, if it must.
    pub fn poll_due(&self) -> Option<Instant> {
        either!(self.poll_due())
    }

    /// If the application did not call `poll` in time: whom to leave the group as. The next poll joins again.
    pub fn poll_overdue(&mut self, now: Instant) -> Option<Identity> {
        either!(self.poll_overdue(now))
    }

    /// Whether the coordinator is needed to become or stay a member.
    pub fn wants_coordinator(&self) -> bool {
        either!(self.wants_coordinator())
    }

    /// The next moment at which something is due by itself.
    pub fn next_due(&self) -> Option<Instant> {
        [either!(self.heartbeat_due()), self.poll_due()].into_iter().flatten().min()
    }

    /// Until when a member id is waited for that the coordinator makes up, and that is good for leaving only.
    pub fn naming_due(&self) -> Option<Instant> {
        match self {
            Self::Classic(member) => member.naming_due(),
            Self::Modern(_) => None,
        }
    }

    /// The heartbeat to send, if one is due.
    pub fn heartbeat(&mut self, now: Instant) -> Option<Beat> {
        match self {
            Self::Classic(member) => member.heartbeat(now).map(Beat::Classic),
            Self::Modern(member) => member.heartbeat(now),
        }
    }

    /// A heartbeat could not be sent or was not answered: the next one comes at `retry_at`, unless one is due earlier.
    pub fn heartbeat_failed(&mut self, retry_at: Instant) {
        either!(self.heartbeat_failed(retry_at))
    }

    /// A commit as `sent` was answered with this code, which concerns membership.
    pub fn commit_refused(&mut self, sent: &Identity, code: ErrorCode, now: Instant) -> Reaction {
        match self {
            Self::Classic(member) => member.heard(sent, code, now),
            // Heartbeats find out by themselves.
            Self::Modern(_) => Reaction::Nothing,
        }
    }

    /// Partition counts may have changed; see [`Classic::counts_changed`].
    pub fn counts_changed(&mut self, counts: impl Fn(&str) -> Option<i32>, now: Instant) {
        if let Self::Classic(member) = self {
            member.counts_changed(counts, now);
        }
    }

    /// As whom to commit.
    ///
    /// # Errors
    /// Not a member (any more), or between two generations: the group may have given the partitions to others.
    pub fn committer(&self) -> Result<Stay, Error> {
        either!(self.committer())
    }

    /// Who is to commit now what was read in `stay`; nobody if that is over.
    pub fn identity_in(&self, stay: Stay) -> Option<Identity> {
        match stay {
            Stay::Apart => Some(Identity::none()),
            Stay::Member(_) => either!(self.identity_in(stay)),
        }
    }

    /// Whether a commit that a rebalance got in the way of may succeed under the identity that comes next.
    pub fn outlasts_rebalances(&self) -> bool {
        match self {
            Self::Classic(member) => member.outlasts_rebalances(),
            Self::Modern(_) => true,
        }
    }

    /// The classic protocol's state.
    pub fn classic(&mut self) -> Option<&mut Classic> {
        match self {
            Self::Classic(member) => Some(member),
            Self::Modern(_) => None,
        }
    }

    /// The same of the protocol of KIP-848.
    pub fn modern(&mut self) -> Option<&mut Modern> {
        match self {
            Self::Classic(_) => None,
            Self::Modern(member) => Some(member),
        }
    }
}

/// Whether the application calls `poll` often enough.
#[derive(Debug)]
pub(super) struct Polls {
    /// `max.poll.interval.ms`
    pub limit: Duration,
    /// The application is inside `poll`, and not in its own listener.
    inside: bool,
    last: Instant,
}

impl Polls {
    pub fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, inside: false, last: now }
    }

    pub fn polling(&mut self, inside: bool, now: Instant) {
        self.inside = inside;
        self.last = now;
    }

    /// When the next one is due.
    pub fn due(&self) -> Option<Instant> {
        if self.inside { None } else { self.last.checked_add(self.limit) }
    }

    /// Tells that it is overdue. Returns why what is held was lost.
    pub fn overdue(&self, group: &str) -> String {
        let limit = self.limit.as_millis();
        log::warn!(
            "group {group}: leaving it, because poll was not called for max.poll.interval.ms={limit}: the processing \
             of records takes too long; raise max.poll.interval.ms or lower max.poll.records"
        );
        format!("poll was not called for max.poll.interval.ms={limit}")
    }
}

/// Why a commit is not possible.
pub(super) fn not_a_member(group: &str, lost: Option<&str>) -> Error {
    Error::state(match lost {
        Some(why) => format!(
            "cannot commit: this consumer is no longer a member of group {group}, because {why}; its partitions may \
             belong to others now, poll to join again"
        ),
        None => format!(
            "cannot commit: group {group} is rebalancing and this consumer holds nothing in it; poll until partitions \
             are assigned"
        ),
    })
}

/// Why another member's instance id ends this one's membership.
pub(super) fn fenced(group: &str) -> Error {
    Error::state(format!(
        "another member of group {group} uses the same group.instance.id, so this one is shut out: give each consumer \
         its own"
    ))
}

/// How many partitions topics have, by name.
pub(super) type Counts = BTreeMap<String, i32>;
