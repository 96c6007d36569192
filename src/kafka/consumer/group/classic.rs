//! Membership in a classic consumer group, as one state machine that touches neither a socket nor the clock.
//!
//! Three parties move it: `poll` takes [`Step`]s on the application's thread, the join thread reports how its
//! [`Attempt`] goes, the coordinator thread reports what heartbeats bring. Whatever they report names the attempt or
//! the generation it belongs to, so that what comes late changes nothing.
//!
//! The eager protocol gives everything up before it joins. The cooperative one (KIP-429), which is spoken when every
//! assignor on offer can, joins with what it holds, gives up only what the new assignment takes away, and then joins
//! again so that the leader can hand it on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::UNKNOWN_FOR;
use super::membership::{Attempt, Cause, Counts, Identity, Polls, Reaction, Stay, Step, fenced, not_a_member};
use crate::kafka::config::ConsumerSettings;
use crate::kafka::consumer::assignor::assignor;
use crate::kafka::consumer::subscription::{Assignment, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::protocol::{ApiKey, ErrorCode};

/// How the join thread goes on after an error code.
#[derive(Debug)]
pub(crate) enum JoinReaction {
    /// Send JoinGroup again, as whoever the membership says now.
    Again,
    /// The same after a backoff.
    Later,
    /// The same once the coordinator is found anew.
    FindCoordinator,
    /// End the attempt: what is held was lost, and `poll` must tell so before it joins anew.
    Stop,
    /// Give up; `poll` tells the application and tries again when called next.
    Fail(Error),
}

/// What a member that joins tells of what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Possessions {
    /// What it holds while it joins; nothing with the eager protocol.
    pub held: Vec<TopicPartition>,
    /// What it was last assigned.
    pub last: Vec<TopicPartition>,
    /// The generation of that assignment, or -1.
    pub generation: i32,
}

#[derive(Debug)]
enum Phase {
    /// Neither a member nor on the way.
    Out,
    /// Not a member; wants to be one.
    Wanting,
    /// The join thread is at it.
    Joining {
        attempt: Attempt,
        answered: bool,
    },
    /// The assignment is there and `poll` has not taken it up yet.
    Assigned(Vec<TopicPartition>),
    Stable,
    /// A member whose generation is ending: the next poll joins again.
    Rebalancing,
    /// Another member has this one's group.instance.id.
    Fenced,
}

#[derive(Debug)]
pub(crate) struct Classic {
    group: String,
    /// Leaving is told to the coordinator; a static member's place is kept for it instead (KIP-345).
    dynamic: bool,
    cooperative: bool,
    session_timeout: Duration,
    heartbeat_interval: Duration,
    phase: Phase,
    identity: Identity,
    attempts: u64,
    stays: u64,
    /// The stay before this one, for commits of it that are still under way.
    before: Option<(u64, Identity)>,
    /// Until then the answer to a JoinGroup that names no member is worth waiting for, whatever has become of its
    /// attempt: the coordinator makes up an id (KIP-394), and the group waits as long as a session for whoever has it.
    naming: Option<(Attempt, Instant)>,
    /// When JoinGroup was last asked.
    asked: Option<Instant>,
    /// Something is held while the join goes on.
    carrying: bool,
    possessions: Possessions,
    /// Set once membership ended without consent; what is still held was lost.
    lost: Option<String>,
    /// When the next heartbeat is due; none while there is no generation to keep alive.
    heartbeat_due: Option<Instant>,
    pub(super) polls: Polls,
    /// No join before this moment.
    not_before: Option<Instant>,
    /// Partition counts that this member, as the leader, shared out.
    counts: Option<Counts>,
    /// Since when a topic of them has been gone.
    gone: Option<Instant>,
    /// The new assignment took something away that the leader must hand on.
    gave_up: bool,
    cause: Option<Cause>,
}

impl Classic {
    pub fn new(group: &str, settings: &ConsumerSettings, now: Instant) -> Self {
        Self {
            group: group.to_owned(),
            dynamic: settings.group_instance_id.is_none(),
            cooperative: settings.assignors.iter().all(|kind| assignor(*kind).cooperative()),
            session_timeout: settings.session_timeout,
            heartbeat_interval: settings.heartbeat_interval,
            phase: Phase::Out,
            identity: Identity::none(),
            attempts: 0,
            stays: 0,
            before: None,
            naming: None,
            asked: None,
            carrying: false,
            possessions: Possessions { generation: -1, ..Possessions::default() },
            lost: None,
            heartbeat_due: None,
            polls: Polls::new(settings.max_poll_interval, now),
            not_before: None,
            counts: None,
            gone: None,
            gave_up: false,
            cause: None,
        }
    }

    /// Whether a commit that a rebalance got in the way of can succeed once that is over: what was held is still, and it
    /// is not `poll` that must join first.
    pub fn outlasts_rebalances(&self) -> bool {
        self.cooperative && !matches!(self.phase, Phase::Rebalancing | Phase::Wanting)
    }

    pub(super) fn polls(&mut self) -> &mut Polls {
        &mut self.polls
    }

    pub(super) fn heartbeat_due(&self) -> Option<Instant> {
        self.heartbeat_due
    }

    /// Notes why a rebalance begins, unless one is under way.
    fn because(&mut self, why: impl Into<String>, now: Instant) {
        self.cause.get_or_insert_with(|| Cause { why: why.into(), since: now });
    }

    pub fn take_cause(&mut self) -> Option<Cause> {
        self.cause.take()
    }

    /// The subscription changed: join with it. What is held is revoked by the next poll.
    pub fn subscribe(&mut self, now: Instant) {
        match self.phase {
            Phase::Out => {
                self.phase = Phase::Wanting;
                self.because("this consumer joins", now);
            }
            Phase::Joining { .. } | Phase::Assigned(_) | Phase::Stable => {
                self.phase = Phase::Rebalancing;
                self.because("the subscription changed", now);
            }
            Phase::Wanting | Phase::Rebalancing | Phase::Fenced => {}
        }
    }

    /// Out of the group, and not wanting back. Returns whom the coordinator must be told has left, if it knows us and
    /// is to be told.
    pub fn leave(&mut self) -> Option<Identity> {
        let known = !self.identity.member_id.is_empty() && !matches!(self.phase, Phase::Fenced);
        let left = std::mem::replace(&mut self.identity, Identity::none());
        self.phase = Phase::Out;
        if known {
            self.before = Some((self.stays, left.clone()));
        }
        self.stays += 1;
        self.heartbeat_due = None;
        self.counts = None;
        self.lost = None;
        self.cause = None;
        (known && self.dynamic).then_some(left)
    }

    /// What is to do now, if anything.
    pub fn step(&mut self, held: &Assignment, topics: &BTreeSet<String>, now: Instant) -> Option<Step> {
        match self.phase {
            Phase::Out | Phase::Joining { .. } | Phase::Stable => None,
            Phase::Fenced if !held.is_empty() => Some(Step::Lose),
            Phase::Fenced => Some(Step::Fail(fenced(&self.group))),
            Phase::Wanting | Phase::Rebalancing => {
                if !held.is_empty() {
                    if self.lost.is_some() {
                        return Some(Step::Lose);
                    }
                    let unwanted =
                        |partition: &TopicPartition| !self.cooperative || !topics.contains(&*partition.topic);
                    let gone: Vec<_> = held.list().into_iter().filter(unwanted).collect();
                    if !gone.is_empty() {
                        return Some(Step::Revoke(gone));
                    }
                }
                if self.not_before.is_some_and(|moment| now < moment) {
                    return None;
                }
                Some(Step::Join(self.join(held)))
            }
            Phase::Assigned(_) => self.take_up(held, now),
        }
    }

    fn join(&mut self, held: &Assignment) -> Attempt {
        self.attempts += 1;
        let attempt = Attempt(self.attempts);
        self.phase = Phase::Joining { attempt, answered: false };
        self.carrying = !held.is_empty();
        self.possessions.held = held.list();
        if !self.carrying {
            self.before = Some((self.stays, self.identity.clone()));
            self.stays += 1;
        }
        self.heartbeat_due = None;
        self.not_before = None;
        self.counts = None;
        self.lost = None;
        self.gave_up = false;
        attempt
    }

    fn take_up(&mut self, held: &Assignment, now: Instant) -> Option<Step> {
        let Phase::Assigned(target) = &self.phase else { return None };
        let gone: Vec<_> = held.list().into_iter().filter(|partition| !target.contains(partition)).collect();
        if !gone.is_empty() {
            self.gave_up = true;
            return Some(Step::Revoke(gone));
        }
        let Phase::Assigned(target) = std::mem::replace(&mut self.phase, Phase::Stable) else { return None };
        self.possessions.last.clone_from(&target);
        self.possessions.generation = self.identity.generation;
        self.carrying = false;
        if self.gave_up {
            self.phase = Phase::Rebalancing;
            self.gave_up = false;
        }
        let new = target.into_iter().filter(|partition| held.get(partition).is_none());
        let step = Step::Assign(new.collect());
        if matches!(self.phase, Phase::Rebalancing) {
            log::debug!("group {}: joining again, so that what was given up is handed on", self.group);
            self.because("what was given up is handed on", now);
        }
        Some(step)
    }

    /// When [`step`](Self::step) will have something to do by itself.
    pub fn step_due(&self) -> Option<Instant> {
        matches!(self.phase, Phase::Wanting | Phase::Rebalancing).then_some(self.not_before).flatten()
    }

    /// What was lost has been dropped.
    pub fn let_go(&mut self) {
        self.lost = None;
    }

    /// Whether the join thread should go on with `attempt`.
    pub fn is_joining(&self, attempt: Attempt) -> bool {
        matches!(self.phase, Phase::Joining { attempt: current, .. } if current == attempt)
    }

    /// Who JoinGroup must introduce itself as.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What JoinGroup tells of what this member has.
    pub fn possessions(&self) -> &Possessions {
        &self.possessions
    }

    /// JoinGroup is about to be asked. Returns false if nobody wants this attempt any more.
    pub fn asking(&mut self, attempt: Attempt, sent: &Identity, now: Instant) -> bool {
        let wanted = self.is_joining(attempt);
        self.asked = Some(now);
        // A static member gets its name with the answer to the join itself, and keeps its place when it leaves.
        if wanted && self.dynamic && sent.member_id.is_empty() {
            self.naming = Some((attempt, now + self.session_timeout));
        }
        wanted
    }

    /// Until when an answer is to be waited for that brings a member id and nothing else that is wanted.
    pub fn naming_due(&self) -> Option<Instant> {
        self.naming.filter(|(attempt, _)| !self.is_joining(*attempt)).map(|(_, until)| until)
    }

    /// Whether it has been waited for long enough.
    pub fn naming_overdue(&mut self, now: Instant) -> bool {
        let overdue = self.naming_due().is_some_and(|until| now >= until);
        if overdue {
            self.naming = None;
        }
        overdue
    }

    /// A JoinGroup was answered, with this member id or in vain. If it is one that brings an id, and membership has
    /// ended meanwhile: returns whom the coordinator must be told has left.
    pub fn named(&mut self, member_id: &str) -> Option<Identity> {
        self.naming.take()?;
        if member_id.is_empty() {
            return None;
        }
        let member = Identity { generation: -1, member_id: member_id.to_owned() };
        if matches!(self.phase, Phase::Out) || self.lost.is_some() {
            return Some(member);
        }
        self.identity = member;
        None
    }

    /// JoinGroup was answered: from here on the generation is kept alive. Returns false if nobody waits for it.
    ///
    /// The session of a static member that takes its place again runs from its asking on, and the answer may be late,
    /// because the coordinator writes the change down first; so the first heartbeat counts from there.
    pub fn joined(&mut self, attempt: Attempt, generation: i32, member_id: String, now: Instant) -> bool {
        match &mut self.phase {
            Phase::Joining { attempt: current, answered } if *current == attempt => {
                *answered = true;
                self.identity = Identity { generation, member_id };
                let asked = self.asked.unwrap_or(now);
                self.heartbeat_due = Some(now.max(asked + self.heartbeat_interval));
                true
            }
            _ => false,
        }
    }

    /// SyncGroup was answered. `counts` are the partition counts that were shared out, if this member did it. Returns
    /// whether the assignment counts.
    pub fn synced(&mut self, attempt: Attempt, partitions: Vec<TopicPartition>, counts: Option<Counts>) -> bool {
        if !self.is_joining(attempt) {
            return false;
        }
        if self.heartbeat_due.is_none() {
            // A heartbeat was told meanwhile that this generation is over.
            self.phase = Phase::Wanting;
            return false;
        }
        self.phase = Phase::Assigned(partitions);
        self.counts = counts;
        true
    }

    /// JoinGroup or SyncGroup was refused.
    pub fn join_refused(&mut self, attempt: Attempt, api: ApiKey, code: ErrorCode) -> JoinReaction {
        if !self.is_joining(attempt) {
            return JoinReaction::Later;
        }
        self.heartbeat_due = None;
        match code {
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => {
                self.forget_identity(code);
                if self.carrying {
                    self.lose(self.expulsion(code));
                    return JoinReaction::Stop;
                }
                JoinReaction::Again
            }
            ErrorCode::REBALANCE_IN_PROGRESS => JoinReaction::Again,
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => JoinReaction::FindCoordinator,
            ErrorCode::FENCED_INSTANCE_ID => {
                self.identity = Identity::none();
                self.stays += 1;
                self.phase = Phase::Fenced;
                JoinReaction::Fail(fenced(&self.group))
            }
            ErrorCode::GROUP_MAX_SIZE_REACHED
            | ErrorCode::INCONSISTENT_GROUP_PROTOCOL
            | ErrorCode::INVALID_SESSION_TIMEOUT => JoinReaction::Fail(self.refusal(api, code)),
            code if code.is_retriable() => JoinReaction::Later,
            code => JoinReaction::Fail(self.refusal(api, code)),
        }
    }

    /// The coordinator may still know the member id after ILLEGAL_GENERATION; it says so otherwise.
    fn forget_identity(&mut self, code: ErrorCode) {
        if code == ErrorCode::UNKNOWN_MEMBER_ID {
            self.identity = Identity::none();
        } else {
            self.identity.generation = -1;
        }
    }

    fn expulsion(&self, code: ErrorCode) -> String {
        if code == ErrorCode::UNKNOWN_MEMBER_ID {
            format!("no heartbeat came through within session.timeout.ms={}", self.session_timeout.as_millis())
        } else {
            "the group went on without this consumer".to_owned()
        }
    }

    /// The join thread gave up on `attempt`. The next poll from `retry_at` on starts another one.
    pub fn join_failed(&mut self, attempt: Attempt, retry_at: Instant) {
        if self.is_joining(attempt) {
            self.phase = Phase::Wanting;
            self.heartbeat_due = None;
            self.not_before = Some(retry_at);
            if self.carrying {
                // Nothing keeps alive what is held.
                self.lose("joining again was refused".to_owned());
            }
        }
    }

    /// The generation to send a heartbeat for, if one is due.
    pub fn heartbeat(&mut self, now: Instant) -> Option<Identity> {
        if self.heartbeat_due.is_none_or(|due| now < due) {
            return None;
        }
        self.heartbeat_due = Some(now + self.heartbeat_interval);
        Some(self.identity.clone())
    }

    /// A heartbeat could not be sent or was not answered: the next one comes at `retry_at`, unless one is due earlier.
    pub fn heartbeat_failed(&mut self, retry_at: Instant) {
        self.heartbeat_due = self.heartbeat_due.map(|due| due.min(retry_at));
    }

    /// The coordinator answered a heartbeat, or a commit, of `sent` with this code.
    pub fn heard(&mut self, sent: &Identity, code: ErrorCode, now: Instant) -> Reaction {
        if self.heartbeat_due.is_none() || *sent != self.identity {
            // Of an earlier generation; or a join is under way and brings a new one.
            return match code {
                ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => Reaction::FindCoordinator,
                _ => Reaction::Nothing,
            };
        }
        match code {
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => Reaction::FindCoordinator,
            ErrorCode::REBALANCE_IN_PROGRESS => match self.phase {
                Phase::Stable | Phase::Assigned(_) => {
                    log::debug!("group {}: a rebalance is under way, joining again", self.group);
                    self.phase = Phase::Rebalancing;
                    self.because("the coordinator calls for it: a member came or went, or wants other topics", now);
                    Reaction::Wake
                }
                // While joining, SyncGroup tells.
                _ => Reaction::Nothing,
            },
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => {
                self.forget_identity(code);
                if matches!(self.phase, Phase::Joining { .. }) && !self.carrying {
                    // SyncGroup gets the same answer and joins again.
                    self.heartbeat_due = None;
                    return Reaction::Nothing;
                }
                let why = self.expulsion(code);
                log::warn!("group {}: this consumer is no longer a member: {why}; joining again", self.group);
                self.because(why.clone(), now);
                self.lose(why);
                Reaction::Wake
            }
            ErrorCode::FENCED_INSTANCE_ID => {
                self.identity = Identity::none();
                self.stays += 1;
                self.heartbeat_due = None;
                self.phase = Phase::Fenced;
                log::error!("{}", fenced(&self.group));
                Reaction::Wake
            }
            _ => Reaction::Nothing,
        }
    }

    /// Membership ended without our consent.
    fn lose(&mut self, why: String) {
        self.phase = Phase::Wanting;
        self.stays += 1;
        self.heartbeat_due = None;
        self.counts = None;
        self.possessions.held.clear();
        self.lost = Some(why);
    }

    /// When the application must have called `poll` again, if it must.
    pub fn poll_due(&self) -> Option<Instant> {
        let member = match self.phase {
            Phase::Joining { .. } | Phase::Assigned(_) | Phase::Stable => true,
            // It wants to rejoin, but is known to the coordinator only if it has an id.
            Phase::Rebalancing => !self.identity.member_id.is_empty(),
            Phase::Out | Phase::Wanting | Phase::Fenced => false,
        };
        if member { self.polls.due() } else { None }
    }

    /// If the application did not call `poll` in time: whom to leave the group as. The next poll joins again.
    pub fn poll_overdue(&mut self, now: Instant) -> Option<Identity> {
        if self.poll_due().is_none_or(|due| now < due) {
            return None;
        }
        let why = self.polls.overdue(&self.group);
        let left = self.leave();
        self.phase = Phase::Wanting;
        self.because(why.clone(), now);
        self.lost = Some(why);
        left
    }

    /// Whether the coordinator is needed to become or stay a member.
    pub fn wants_coordinator(&self) -> bool {
        matches!(self.phase, Phase::Joining { .. }) || self.heartbeat_due.is_some()
    }

    /// Whether the partition counts differ from those this member, as the leader, shared out: then it joins again. 0 is
    /// that of a topic that was deleted, unless a broker only does not know it yet.
    pub fn counts_changed(&mut self, counts: impl Fn(&str) -> Option<i32>, now: Instant) -> bool {
        if !matches!(self.phase, Phase::Assigned(_) | Phase::Stable) {
            return false;
        }
        let Some(shared) = &self.counts else { return false };
        // A topic that is gone for a moment, or cannot be seen, does not change what was shared out.
        let changed = || {
            shared.iter().filter_map(|(topic, old)| {
                let new = counts(topic).filter(|new| new != old)?;
                Some((topic, *old, new))
            })
        };
        let since = self.gone;
        let gone = changed().any(|(_, _, new)| new == 0).then(|| since.unwrap_or(now));
        let lasting = gone.is_some_and(|since| now >= since + UNKNOWN_FOR);
        let Some((topic, old, new)) = changed().find(|(_, _, new)| *new > 0 || lasting) else {
            self.gone = gone;
            return false;
        };
        self.gone = None;
        let why = format!("topic {} has {new} partitions now, not {old}", topic.escape_debug());
        log::info!("group {}: {why}: joining again", self.group);
        self.phase = Phase::Rebalancing;
        self.because(why, now);
        true
    }

    /// As whom to commit.
    ///
    /// # Errors
    /// Not a member (any more), or between two generations: the group may have given the partitions to others.
    pub fn committer(&self) -> Result<Stay, Error> {
        match &self.phase {
            Phase::Out => Ok(Stay::Apart),
            Phase::Fenced => Err(fenced(&self.group)),
            _ if self.lost.is_some() => Err(not_a_member(&self.group, self.lost.as_deref())),
            Phase::Stable | Phase::Assigned(_) | Phase::Rebalancing => Ok(Stay::Member(self.stays)),
            Phase::Joining { .. } if self.carrying => Ok(Stay::Member(self.stays)),
            Phase::Joining { .. } | Phase::Wanting => Err(not_a_member(&self.group, None)),
        }
    }

    /// Who is to commit now what was read in `stay`; nobody if that is over.
    pub fn identity_in(&self, stay: Stay) -> Option<Identity> {
        match &self.before {
            _ if stay == Stay::Member(self.stays) => Some(self.identity.clone()),
            Some((before, identity)) if stay == Stay::Member(*before) => Some(identity.clone()),
            _ => None,
        }
    }

    fn refusal(&self, api: ApiKey, code: ErrorCode) -> Error {
        let hint = match code {
            ErrorCode::GROUP_MAX_SIZE_REACHED => "the group is full: see the broker's group.max.size",
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL => {
                "the group's other members share no partition.assignment.strategy with this one, or the group is not \
                 a consumer group of the classic protocol"
            }
            ErrorCode::INVALID_SESSION_TIMEOUT => {
                "session.timeout.ms is outside the broker's group.min.session.timeout.ms and \
                 group.max.session.timeout.ms"
            }
            ErrorCode::GROUP_AUTHORIZATION_FAILED => "the right to READ this group is missing",
            _ => "",
        };
        let text = match hint {
            "" => format!("cannot join group {}", self.group),
            hint => format!("cannot join group {}: {hint}", self.group),
        };
        Error::broker_code(api, code, Some(&text))
    }
}

#[cfg(test)]
mod tests;
