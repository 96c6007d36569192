//! Membership in a classic consumer group, as one state machine that touches neither a socket nor the clock.
//!
//! Three parties move it: `poll` takes [`Step`]s on the application's thread, the join thread reports how its
//! [`Attempt`] goes, the coordinator thread reports what heartbeats bring. Whatever they report names the attempt or
//! the generation it belongs to, so that what comes late changes nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::kafka::config::ConsumerSettings;
use crate::kafka::consumer::subscription::TopicPartition;
use crate::kafka::error::{Error, ErrorKind};
use crate::kafka::protocol::{ApiKey, ErrorCode};

/// A member's name within the group, and the generation it is valid for.
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
pub(crate) struct Attempt(u64);

/// What `poll` must do next on the application's thread.
#[derive(Debug)]
pub(crate) enum Step {
    /// Tell the application that all it holds is about to go, then drop it and call [`Membership::let_go`].
    Revoke,
    /// The same, but others may own it already.
    Lose,
    /// Hand this to the join thread. Nothing is held any more.
    Join(Attempt),
    /// Take these up and tell the application.
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

/// How the join thread goes on after an error code.
#[derive(Debug)]
pub(crate) enum JoinReaction {
    /// Send JoinGroup again, as whoever the membership says now.
    Again,
    /// The same after a backoff.
    Later,
    /// The same once the coordinator is found anew.
    FindCoordinator,
    /// Give up; `poll` tells the application and tries again when called next.
    Fail(Error),
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
    /// A member whose generation is ending: the next poll lets go and joins again.
    Rebalancing,
    /// Another member has this one's group.instance.id.
    Fenced,
}

#[derive(Debug)]
pub(crate) struct Membership {
    group: String,
    session_timeout: Duration,
    heartbeat_interval: Duration,
    max_poll_interval: Duration,
    phase: Phase,
    identity: Identity,
    attempts: u64,
    /// Set once membership ended without consent; what is still held was lost.
    lost: Option<String>,
    /// When the next heartbeat is due; none while there is no generation to keep alive.
    heartbeat_due: Option<Instant>,
    /// The application is inside `poll`, and not in its own listener.
    polling: bool,
    last_poll: Instant,
    /// No join before this moment.
    not_before: Option<Instant>,
    /// Partition counts that this member, as the leader, shared out.
    counts: Option<BTreeMap<String, i32>>,
}

impl Membership {
    pub fn new(group: &str, settings: &ConsumerSettings, now: Instant) -> Self {
        Self {
            group: group.to_owned(),
            session_timeout: settings.session_timeout,
            heartbeat_interval: settings.heartbeat_interval,
            max_poll_interval: settings.max_poll_interval,
            phase: Phase::Out,
            identity: Identity::none(),
            attempts: 0,
            lost: None,
            heartbeat_due: None,
            polling: false,
            last_poll: now,
            not_before: None,
            counts: None,
        }
    }

    /// The subscription changed: join with it. What is held is revoked by the next poll.
    pub fn subscribe(&mut self) {
        match self.phase {
            Phase::Out => self.phase = Phase::Wanting,
            Phase::Joining { .. } | Phase::Assigned(_) | Phase::Stable => self.phase = Phase::Rebalancing,
            Phase::Wanting | Phase::Rebalancing | Phase::Fenced => {}
        }
    }

    /// Out of the group, and not wanting back. Returns whom the coordinator must be told has left, if it knows us.
    pub fn leave(&mut self) -> Option<Identity> {
        let known = !self.identity.member_id.is_empty() && !matches!(self.phase, Phase::Fenced);
        let left = std::mem::replace(&mut self.identity, Identity::none());
        self.phase = Phase::Out;
        self.heartbeat_due = None;
        self.counts = None;
        self.lost = None;
        known.then_some(left)
    }

    /// What is to do now, if anything; `holding` says whether any partition is held.
    pub fn step(&mut self, holding: bool, now: Instant) -> Option<Step> {
        match self.phase {
            Phase::Out | Phase::Joining { .. } | Phase::Stable => None,
            Phase::Fenced if holding => Some(Step::Lose),
            Phase::Fenced => Some(Step::Fail(self.fenced())),
            Phase::Wanting | Phase::Rebalancing if holding => {
                Some(if self.lost.is_some() { Step::Lose } else { Step::Revoke })
            }
            Phase::Wanting | Phase::Rebalancing => {
                if self.not_before.is_some_and(|moment| now < moment) {
                    return None;
                }
                self.attempts += 1;
                let attempt = Attempt(self.attempts);
                self.phase = Phase::Joining { attempt, answered: false };
                self.heartbeat_due = None;
                self.not_before = None;
                self.counts = None;
                self.lost = None;
                Some(Step::Join(attempt))
            }
            Phase::Assigned(_) => match std::mem::replace(&mut self.phase, Phase::Stable) {
                Phase::Assigned(partitions) => Some(Step::Assign(partitions)),
                _ => None,
            },
        }
    }

    /// When [`step`](Self::step) will have something to do by itself.
    pub fn step_due(&self) -> Option<Instant> {
        matches!(self.phase, Phase::Wanting | Phase::Rebalancing).then_some(self.not_before).flatten()
    }

    /// What was held has been revoked or lost, and dropped.
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

    /// JoinGroup wants to be asked again under this id (KIP-394).
    pub fn member_id_given(&mut self, attempt: Attempt, member_id: String) {
        if self.is_joining(attempt) {
            self.identity.member_id = member_id;
        }
    }

    /// JoinGroup was answered: from here on the generation is kept alive. Returns false if nobody waits for it.
    pub fn joined(&mut self, attempt: Attempt, generation: i32, member_id: String, now: Instant) -> bool {
        match &mut self.phase {
            Phase::Joining { attempt: current, answered } if *current == attempt => {
                *answered = true;
                self.identity = Identity { generation, member_id };
                self.heartbeat_due = Some(now + self.heartbeat_interval);
                true
            }
            _ => false,
        }
    }

    /// SyncGroup was answered. `counts` are the partition counts that were shared out, if this member did it. Returns
    /// whether the assignment counts.
    pub fn synced(
        &mut self,
        attempt: Attempt,
        partitions: Vec<TopicPartition>,
        counts: Option<BTreeMap<String, i32>>,
    ) -> bool {
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
            ErrorCode::UNKNOWN_MEMBER_ID => {
                self.identity = Identity::none();
                JoinReaction::Again
            }
            ErrorCode::ILLEGAL_GENERATION => {
                // The broker may still know the member id; it says so otherwise.
                self.identity.generation = -1;
                JoinReaction::Again
            }
            ErrorCode::REBALANCE_IN_PROGRESS => JoinReaction::Again,
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => JoinReaction::FindCoordinator,
            ErrorCode::FENCED_INSTANCE_ID => {
                self.identity = Identity::none();
                self.phase = Phase::Fenced;
                JoinReaction::Fail(self.fenced())
            }
            ErrorCode::GROUP_MAX_SIZE_REACHED
            | ErrorCode::INCONSISTENT_GROUP_PROTOCOL
            | ErrorCode::INVALID_SESSION_TIMEOUT => JoinReaction::Fail(self.refusal(api, code)),
            code if code.is_retriable() => JoinReaction::Later,
            code => JoinReaction::Fail(self.refusal(api, code)),
        }
    }

    /// The join thread gave up on `attempt`. The next poll from `retry_at` on starts another one.
    pub fn join_failed(&mut self, attempt: Attempt, retry_at: Instant) {
        if self.is_joining(attempt) {
            self.phase = Phase::Wanting;
            self.heartbeat_due = None;
            self.not_before = Some(retry_at);
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
    pub fn heard(&mut self, sent: &Identity, code: ErrorCode) -> Reaction {
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
                Phase::Stable => {
                    log::debug!("group {}: a rebalance is under way, joining again", self.group);
                    self.phase = Phase::Rebalancing;
                    Reaction::Wake
                }
                Phase::Assigned(_) => {
                    self.phase = Phase::Rebalancing;
                    Reaction::Wake
                }
                // While joining, SyncGroup tells.
                _ => Reaction::Nothing,
            },
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => {
                let why = if code == ErrorCode::UNKNOWN_MEMBER_ID {
                    format!("no heartbeat came through within session.timeout.ms={}", self.session_timeout.as_millis())
                } else {
                    "the group went on without this consumer".to_owned()
                };
                if code == ErrorCode::UNKNOWN_MEMBER_ID {
                    self.identity = Identity::none();
                } else {
                    self.identity.generation = -1;
                }
                self.drop_out(why)
            }
            ErrorCode::FENCED_INSTANCE_ID => {
                self.identity = Identity::none();
                self.heartbeat_due = None;
                self.phase = Phase::Fenced;
                log::error!("{}", self.fenced());
                Reaction::Wake
            }
            _ => Reaction::Nothing,
        }
    }

    /// Membership ended without our consent.
    fn drop_out(&mut self, why: String) -> Reaction {
        if matches!(self.phase, Phase::Joining { .. }) {
            // SyncGroup gets the same answer and joins again.
            self.heartbeat_due = None;
            return Reaction::Nothing;
        }
        log::warn!("group {}: this consumer is no longer a member: {why}; joining again", self.group);
        self.phase = Phase::Wanting;
        self.heartbeat_due = None;
        self.counts = None;
        self.lost = Some(why);
        Reaction::Wake
    }

    /// `poll` begins or ends, or goes into or comes out of the application's listener.
    pub fn polling(&mut self, inside: bool, now: Instant) {
        self.polling = inside;
        self.last_poll = now;
    }

    /// When the application must have called `poll` again, if it must.
    pub fn poll_due(&self) -> Option<Instant> {
        let member = match self.phase {
            Phase::Joining { .. } | Phase::Assigned(_) | Phase::Stable => true,
            // It wants to rejoin, but is known to the coordinator only if it has an id.
            Phase::Rebalancing => !self.identity.member_id.is_empty(),
            Phase::Out | Phase::Wanting | Phase::Fenced => false,
        };
        if member && !self.polling { self.last_poll.checked_add(self.max_poll_interval) } else { None }
    }

    /// If the application did not call `poll` in time: whom to leave the group as. The next poll joins again.
    pub fn poll_overdue(&mut self, now: Instant) -> Option<Identity> {
        if self.poll_due().is_none_or(|due| now < due) {
            return None;
        }
        let limit = self.max_poll_interval.as_millis();
        log::warn!(
            "group {}: leaving it, because poll was not called for max.poll.interval.ms={limit}: the processing of \
             records takes too long; raise max.poll.interval.ms or lower max.poll.records",
            self.group
        );
        let left = self.leave();
        self.phase = Phase::Wanting;
        self.lost = Some(format!("poll was not called for max.poll.interval.ms={limit}"));
        left
    }

    /// Whether the coordinator is needed to become or stay a member.
    pub fn wants_coordinator(&self) -> bool {
        matches!(self.phase, Phase::Joining { .. }) || self.heartbeat_due.is_some()
    }

    /// The next moment at which something is due by itself.
    pub fn next_due(&self) -> Option<Instant> {
        [self.heartbeat_due, self.poll_due()].into_iter().flatten().min()
    }

    /// Whether the partition counts differ from those this member, as the leader, shared out: then it joins again.
    pub fn counts_changed(&mut self, now: impl Fn(&str) -> Option<i32>) -> bool {
        if !matches!(self.phase, Phase::Assigned(_) | Phase::Stable) {
            return false;
        }
        let Some(shared) = &self.counts else { return false };
        // A topic that is gone for a moment, or cannot be seen, does not change what was shared out.
        let Some((topic, old, new)) = shared.iter().find_map(|(topic, old)| {
            let new = now(topic).filter(|new| new != old)?;
            Some((topic, old, new))
        }) else {
            return false;
        };
        let topic = topic.escape_debug();
        log::info!("group {}: topic {topic} has {new} partitions now, not {old}: joining again", self.group);
        self.phase = Phase::Rebalancing;
        true
    }

    /// As whom to commit.
    ///
    /// # Errors
    /// Not a member (any more), or between two generations: the group may have given the partitions to others.
    pub fn committer(&self) -> Result<Identity, Error> {
        match &self.phase {
            Phase::Out => Ok(Identity::none()),
            Phase::Stable | Phase::Assigned(_) => Ok(self.identity.clone()),
            Phase::Rebalancing if self.lost.is_none() => Ok(self.identity.clone()),
            Phase::Fenced => Err(self.fenced()),
            Phase::Joining { .. } | Phase::Rebalancing | Phase::Wanting => Err(match &self.lost {
                Some(why) => Error::state(format!(
                    "cannot commit: this consumer is no longer a member of group {}, because {why}; its partitions \
                     may belong to others now, poll to join again",
                    self.group
                )),
                None => Error::state(format!(
                    "cannot commit: group {} is rebalancing and this consumer holds nothing in it; poll until \
                     partitions are assigned",
                    self.group
                )),
            }),
        }
    }

    fn fenced(&self) -> Error {
        Error::new(
            ErrorKind::State,
            format!(
                "another member of group {} uses the same group.instance.id, so this one is shut out: give each \
                 consumer its own",
                self.group
            ),
        )
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
mod tests {
    use super::*;
    use crate::kafka::config::Config;

    const HEARTBEAT: Duration = Duration::from_secs(2);
    const MAX_POLL: Duration = Duration::from_secs(300);

    fn membership(now: Instant) -> Membership {
        let config = Config::new()
            .set("bootstrap.servers", "localhost:9092")
            .and_then(|config| config.set("group.id", "g"))
            .and_then(|config| config.set("session.timeout.ms", "6000"))
            .and_then(|config| config.set("heartbeat.interval.ms", "2000"))
            .and_then(|config| config.set("max.poll.interval.ms", "300000"));
        let mut membership = Membership::new("g", &config.unwrap().consumer().unwrap(), now);
        membership.polling(true, now);
        membership
    }

    fn join(membership: &mut Membership, now: Instant) -> Attempt {
        match membership.step(false, now) {
            Some(Step::Join(attempt)) => attempt,
            other => panic!("{other:?}"),
        }
    }

    fn partitions() -> Vec<TopicPartition> {
        vec![TopicPartition::new("t", 0)]
    }

    /// Through a whole join; the partitions have been taken up.
    fn stable(now: Instant) -> Membership {
        let mut membership = membership(now);
        membership.subscribe();
        let attempt = join(&mut membership, now);
        assert!(membership.joined(attempt, 1, "m".to_owned(), now));
        assert!(membership.synced(attempt, partitions(), None));
        assert!(matches!(membership.step(false, now), Some(Step::Assign(assigned)) if assigned == partitions()));
        assert!(membership.step(true, now).is_none());
        membership
    }

    fn identity(generation: i32) -> Identity {
        Identity { generation, member_id: "m".to_owned() }
    }

    #[test]
    fn heartbeats_run_from_the_answer_to_joingroup_on() {
        let now = Instant::now();
        let mut membership = membership(now);
        membership.subscribe();
        let attempt = join(&mut membership, now);
        membership.member_id_given(attempt, "m".to_owned());
        assert_eq!(membership.identity().member_id, "m");
        assert!(membership.heartbeat(now + HEARTBEAT).is_none(), "not a member yet");
        membership.joined(attempt, 1, "m".to_owned(), now);
        assert!(membership.heartbeat(now).is_none());
        assert_eq!(membership.heartbeat(now + HEARTBEAT), Some(identity(1)), "while SyncGroup waits");
        assert!(membership.heartbeat(now + HEARTBEAT).is_none(), "one per interval");
        assert_eq!(membership.next_due(), Some(now + HEARTBEAT * 2));
        assert_eq!(membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS), Reaction::Nothing);
        assert!(membership.synced(attempt, partitions(), None), "SyncGroup decides");
    }

    #[test]
    fn a_rebalance_revokes_before_it_joins_again_under_the_same_id() {
        let now = Instant::now();
        let mut membership = stable(now);
        assert_eq!(membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS), Reaction::Wake);
        assert_eq!(membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS), Reaction::Nothing);
        assert!(matches!(membership.step(true, now), Some(Step::Revoke)));
        assert_eq!(membership.committer().unwrap(), identity(1), "the listener may commit");
        assert_eq!(membership.heartbeat(now + HEARTBEAT), Some(identity(1)), "alive while the listener works");
        membership.let_go();
        let attempt = join(&mut membership, now);
        assert_eq!(membership.identity(), &identity(1));
        assert!(membership.heartbeat(now + HEARTBEAT * 9).is_none(), "the join keeps it alive");
        assert!(membership.committer().is_err());
        assert!(membership.joined(attempt, 2, "m".to_owned(), now));
    }

    #[test]
    fn a_rebalance_before_the_assignment_was_taken_up_joins_at_once() {
        let now = Instant::now();
        let mut membership = membership(now);
        membership.subscribe();
        let attempt = join(&mut membership, now);
        membership.joined(attempt, 1, "m".to_owned(), now);
        membership.synced(attempt, partitions(), None);
        assert_eq!(membership.heard(&identity(1), ErrorCode::REBALANCE_IN_PROGRESS), Reaction::Wake);
        assert_ne!(join(&mut membership, now), attempt);
    }

    #[test]
    fn a_lost_membership_is_told_as_lost_and_joined_anew() {
        for (code, id) in [(ErrorCode::UNKNOWN_MEMBER_ID, ""), (ErrorCode::ILLEGAL_GENERATION, "m")] {
            let now = Instant::now();
            let mut membership = stable(now);
            assert_eq!(membership.heard(&identity(1), code), Reaction::Wake);
            assert!(membership.committer().unwrap_err().to_string().contains("no longer a member"));
            assert!(matches!(membership.step(true, now), Some(Step::Lose)));
            membership.let_go();
            join(&mut membership, now);
            assert_eq!(membership.identity(), &Identity { generation: -1, member_id: id.to_owned() });
        }
    }

    #[test]
    fn what_answers_an_earlier_generation_changes_nothing() {
        let now = Instant::now();
        let mut membership = stable(now);
        for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION, ErrorCode::REBALANCE_IN_PROGRESS] {
            assert_eq!(membership.heard(&identity(0), code), Reaction::Nothing);
        }
        assert!(membership.step(true, now).is_none());
        assert_eq!(membership.heard(&identity(0), ErrorCode::NOT_COORDINATOR), Reaction::FindCoordinator);
    }

    #[test]
    fn answers_to_an_attempt_that_was_given_up_change_nothing() {
        let now = Instant::now();
        let mut membership = membership(now);
        membership.subscribe();
        let old = join(&mut membership, now);
        membership.subscribe();
        let new = join(&mut membership, now);
        assert!(!membership.is_joining(old));
        assert!(!membership.joined(old, 1, "m".to_owned(), now));
        assert!(!membership.synced(old, partitions(), None));
        membership.join_failed(old, now);
        assert!(membership.is_joining(new));
    }

    #[test]
    fn refusals_of_a_join() {
        let now = Instant::now();
        let start = || {
            let mut membership = membership(now);
            membership.subscribe();
            let attempt = join(&mut membership, now);
            membership.joined(attempt, 4, "m".to_owned(), now);
            (membership, attempt)
        };
        let refuse = |code| {
            let (mut membership, attempt) = start();
            let reaction = membership.join_refused(attempt, ApiKey::JoinGroup, code);
            (membership, reaction)
        };
        let (membership, reaction) = refuse(ErrorCode::UNKNOWN_MEMBER_ID);
        assert!(matches!(reaction, JoinReaction::Again));
        assert_eq!(membership.identity(), &Identity::none());
        let (membership, reaction) = refuse(ErrorCode::REBALANCE_IN_PROGRESS);
        assert!(matches!(reaction, JoinReaction::Again));
        assert_eq!(membership.identity(), &identity(4));
        for code in [ErrorCode::NOT_COORDINATOR, ErrorCode::COORDINATOR_NOT_AVAILABLE] {
            assert!(matches!(refuse(code).1, JoinReaction::FindCoordinator));
        }
        assert!(matches!(refuse(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS).1, JoinReaction::Later));
        for (code, hint) in [
            (ErrorCode::GROUP_MAX_SIZE_REACHED, "group.max.size"),
            (ErrorCode::INCONSISTENT_GROUP_PROTOCOL, "partition.assignment.strategy"),
            (ErrorCode::INVALID_SESSION_TIMEOUT, "session.timeout.ms"),
            (ErrorCode::GROUP_AUTHORIZATION_FAILED, "right"),
            (ErrorCode(999), "unknown error 999"),
        ] {
            let JoinReaction::Fail(error) = refuse(code).1 else { panic!("{code}") };
            assert!(error.to_string().contains(hint), "{error}");
        }
    }

    /// The assignment was taken up all the same: no heartbeats were sent for it any more, and the consumer went on
    /// reading, without a name, what others owned.
    #[test]
    fn an_assignment_that_comes_after_the_member_was_forgotten_does_not_count() {
        for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::ILLEGAL_GENERATION] {
            let now = Instant::now();
            let mut membership = membership(now);
            membership.subscribe();
            let attempt = join(&mut membership, now);
            membership.joined(attempt, 1, "m".to_owned(), now);
            assert_eq!(membership.heard(&identity(1), code), Reaction::Nothing);
            assert!(!membership.synced(attempt, partitions(), None));
            assert_ne!(join(&mut membership, now), attempt);
        }
    }

    #[test]
    fn a_failed_join_is_tried_again_by_a_later_poll() {
        let now = Instant::now();
        let mut membership = membership(now);
        membership.subscribe();
        let attempt = join(&mut membership, now);
        membership.join_failed(attempt, now + HEARTBEAT);
        assert!(membership.step(false, now).is_none());
        assert_eq!(membership.step_due(), Some(now + HEARTBEAT));
        assert_ne!(join(&mut membership, now + HEARTBEAT), attempt);
    }

    #[test]
    fn a_fenced_member_stays_out_and_says_so_each_time() {
        let now = Instant::now();
        let mut membership = stable(now);
        assert_eq!(membership.heard(&identity(1), ErrorCode::FENCED_INSTANCE_ID), Reaction::Wake);
        assert!(matches!(membership.step(true, now), Some(Step::Lose)));
        for _ in 0..2 {
            let Some(Step::Fail(error)) = membership.step(false, now) else { panic!() };
            assert!(error.to_string().contains("group.instance.id"), "{error}");
        }
        assert!(membership.committer().is_err());
        assert!(membership.heartbeat(now + HEARTBEAT).is_none());
        assert!(membership.leave().is_none(), "the other one is the member");
    }

    #[test]
    fn an_application_that_does_not_poll_leaves_the_group_and_joins_with_the_next_poll() {
        let now = Instant::now();
        let mut membership = stable(now);
        assert!(membership.poll_overdue(now + MAX_POLL * 2).is_none(), "it is inside poll");
        membership.polling(false, now);
        assert_eq!(membership.poll_due(), Some(now + MAX_POLL));
        assert!(membership.poll_overdue(now + MAX_POLL - Duration::from_millis(1)).is_none());
        assert_eq!(membership.poll_overdue(now + MAX_POLL), Some(identity(1)));
        assert!(membership.poll_overdue(now + MAX_POLL * 2).is_none(), "once");
        assert!(membership.heartbeat(now + MAX_POLL).is_none());
        let error = membership.committer().unwrap_err();
        assert!(error.to_string().contains("max.poll.interval.ms=300000"), "{error}");
        assert!(matches!(membership.step(true, now + MAX_POLL), Some(Step::Lose)));
        membership.let_go();
        join(&mut membership, now + MAX_POLL);
    }

    #[test]
    fn only_a_leader_minds_partition_counts() {
        let now = Instant::now();
        let mut follower = stable(now);
        assert!(!follower.counts_changed(|_| Some(9)));

        let mut leader = membership(now);
        leader.subscribe();
        let attempt = join(&mut leader, now);
        leader.joined(attempt, 1, "m".to_owned(), now);
        let counts = [("t".to_owned(), 3), ("missing".to_owned(), 0)].into();
        leader.synced(attempt, partitions(), Some(counts));
        assert!(!leader.counts_changed(|topic| (topic == "t").then_some(3)));
        assert!(!leader.counts_changed(|_| None), "nothing is known for a moment");
        assert!(leader.counts_changed(|topic| Some(if topic == "t" { 3 } else { 1 })));
        assert!(!leader.counts_changed(|_| Some(9)), "it is joining again already");
        join(&mut leader, now);
    }

    #[test]
    fn leaving_names_the_member_only_if_the_coordinator_knows_it() {
        let now = Instant::now();
        let mut fresh = membership(now);
        fresh.subscribe();
        assert_eq!(fresh.leave(), None);
        let mut member = stable(now);
        assert_eq!(member.leave(), Some(identity(1)));
        assert_eq!(member.leave(), None);
        assert_eq!(member.committer().unwrap(), Identity::none());
        assert!(member.step(false, now).is_none());
    }
}
