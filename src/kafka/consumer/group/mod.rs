//! The consumer's side of its group: what is to be told to and asked of the coordinator, in which order, and what the
//! answers change.
//!
//! [`Group`] decides and remembers; it talks to nobody. The coordinator thread ([`coordinator`]) does what
//! [`Group::next`] says; it never joins, because a broker may keep a join waiting for minutes and reads nothing else
//! from that connection meanwhile. The join thread ([`join`]) does that, on a connection of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::REFUSED_RETRY;
use super::offsets::Committed;
use super::subscription::{Assignment, Epoch, TopicPartition};
use crate::clock::Deadline;
use crate::kafka::config::{ConsumerSettings, OffsetReset};
use crate::kafka::error::{Error, Result};
use crate::kafka::protocol::messages::{ConsumerGroupHeartbeatResponse, OffsetCommitResponse, OffsetFetchResponse};
use crate::kafka::protocol::{ApiKey, ErrorCode};
use classic::Possessions;
use membership::{Attempt, Beat, Counts, Identity, Membership, Reaction, Stay};

pub(super) mod classic;
pub(super) mod coordinator;
pub(super) mod join;
pub(super) mod membership;
mod modern;

/// Called with the outcome of an asynchronous commit.
pub(super) type Callback = Box<dyn FnOnce(Result<()>) + Send>;

/// Names a call of the application that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// Offsets on their way to the coordinator.
pub(super) struct Commit {
    stay: Stay,
    offsets: BTreeMap<TopicPartition, Committed>,
    /// Of the application's calls that wait for it.
    tickets: Vec<Ticket>,
    callbacks: Vec<Callback>,
    until: Deadline,
    /// Why it has not worked so far.
    obstacle: Option<Error>,
    /// It could not be sent when it was its turn, or has to be sent again.
    held_up: bool,
    /// Why some of it was taken out.
    struck: Option<Error>,
}

/// Commits that were made within this time of each other may end by one deadline.
const TOGETHER: Duration = Duration::from_secs(1);

/// For so long a broker may not know a topic that there is: it was just created, or the broker has just started.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);

impl Commit {
    fn new(stay: Stay, offsets: Vec<(TopicPartition, Committed)>, until: Deadline) -> Self {
        Self {
            stay,
            offsets: offsets.into_iter().collect(),
            tickets: Vec::new(),
            callbacks: Vec::new(),
            until,
            obstacle: None,
            held_up: false,
            struck: None,
        }
    }

    /// Whether a later commit that nobody waits for can become part of this one.
    fn takes_in(&self, later: &Self) -> bool {
        let together = later.until.at.saturating_duration_since(self.until.at) <= TOGETHER;
        self.tickets.is_empty() && self.stay == later.stay && self.struck.is_none() && together
    }

    /// Takes partitions out of it that it must not commit for any more.
    fn strike(&mut self, out: impl Fn(&TopicPartition) -> bool, why: &str) {
        let mut last = None;
        self.offsets.retain(|partition, _| {
            let stays = !out(partition);
            if !stays {
                last = Some(partition.clone());
            }
            stays
        });
        if let Some(partition) = last {
            let error = Error::state(format!("not committed: {why}"));
            self.struck = Some(error.with_partition(&*partition.topic, partition.partition));
        }
    }
}

/// A question for committed offsets.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    ticket: Ticket,
    partitions: Vec<TopicPartition>,
}

#[derive(Debug)]
struct Leaving {
    identity: Identity,
    /// By then the coordinator has noticed by itself.
    until: Instant,
    /// It was sent before.
    tried: bool,
}

/// What the join thread is told.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub attempt: Attempt,
    pub possessions: Possessions,
}

/// What the coordinator thread does next.
pub(super) enum Work {
    FindCoordinator,
    Heartbeat(Beat),
    /// As whoever the member is now.
    Commit(Commit, Identity),
    /// The committed offsets of partitions that were just assigned.
    Positions(Vec<(TopicPartition, Epoch)>),
    Lookup(Lookup),
    Leave(Identity),
    /// Nothing until this moment, or until someone calls.
    Sleep(Option<Instant>),
}

pub(super) struct Group {
    pub id: String,
    pub membership: Membership,
    /// The node that coordinates the group, as far as known.
    pub coordinator: Option<i32>,
    /// What the join thread is to work on.
    pub order: Option<Order>,
    session_timeout: Duration,
    commits: VecDeque<Commit>,
    lookups: VecDeque<Lookup>,
    leavings: VecDeque<Leaving>,
    /// A commit is on its way, and in no queue.
    committing: bool,
    /// Partitions whose topic was created anew since the last commit was sent.
    renewed: BTreeSet<TopicPartition>,
    /// Partitions that were revoked, which the coordinator does not know yet.
    revoked: Vec<TopicPartition>,
    /// Partitions that may be somebody else's by now.
    let_go: BTreeSet<TopicPartition>,
    /// No commit may take longer than this: the consumer is being closed.
    last_commit_by: Option<Deadline>,
    /// Since when the coordinator has not known a partition that was to be committed for.
    unknown: BTreeMap<TopicPartition, Instant>,
    /// Nothing but heartbeats before this moment: the broker asked for patience, or cannot answer yet.
    not_before: Option<Instant>,
    /// No commit before this moment: a rebalance got in the way. The end of that rebalance ends the wait.
    commits_not_before: Option<Instant>,
    /// No question for positions before this moment: some are not decided yet. Everything else goes on.
    positions_not_before: Option<Instant>,
    /// How many assignments of the classic protocol came, and how many had when the last commit was sent.
    assignments: u64,
    assignments_at_commit: u64,
    tickets: u64,
    /// Tickets that someone waits with.
    waiting: BTreeSet<Ticket>,
    commit_answers: HashMap<Ticket, Result<()>>,
    lookup_answers: HashMap<Ticket, Result<Vec<Option<i64>>>>,
    /// Callbacks for the application's thread to call.
    settled: Vec<(Callback, Result<()>)>,
    /// Something happened that the application may be waiting for.
    news: bool,
    /// What the join thread waits for is to be broken off.
    break_off: bool,
}

impl Group {
    pub fn new(id: &str, settings: &ConsumerSettings, now: Instant) -> Self {
        Self {
            id: id.to_owned(),
            membership: Membership::new(id, settings, now),
            coordinator: None,
            order: None,
            session_timeout: settings.session_timeout,
            commits: VecDeque::new(),
            lookups: VecDeque::new(),
            leavings: VecDeque::new(),
            committing: false,
            renewed: BTreeSet::new(),
            revoked: Vec::new(),
            let_go: BTreeSet::new(),
            last_commit_by: None,
            unknown: BTreeMap::new(),
            not_before: None,
            commits_not_before: None,
            positions_not_before: None,
            assignments: 0,
            assignments_at_commit: 0,
            tickets: 0,
            waiting: BTreeSet::new(),
            commit_answers: HashMap::new(),
            lookup_answers: HashMap::new(),
            settled: Vec::new(),
            news: false,
            break_off: false,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.waiting.insert(Ticket(self.tickets));
        Ticket(self.tickets)
    }

    /// Queues a commit that the application waits for.
    pub fn commit(&mut self, offsets: Vec<(TopicPartition, Committed)>, until: Deadline) -> Result<Ticket> {
        let stay = self.membership.committer()?;
        let ticket = self.ticket();
        self.commits.push_back(Commit { tickets: vec![ticket], ..Commit::new(stay, offsets, until) });
        Ok(ticket)
    }

    /// Queues a commit that nobody waits for. One that still waits behind others takes these offsets in.
    pub fn commit_async(
        &mut self,
        offsets: Vec<(TopicPartition, Committed)>,
        until: Deadline,
        callback: Option<Callback>,
    ) {
        let (stay, refusal) = match self.membership.committer() {
            Ok(stay) => (stay, None),
            Err(error) => (Stay::Apart, Some(error)),
        };
        let commit = Commit { callbacks: callback.into_iter().collect(), ..Commit::new(stay, offsets, until) };
        if let Some(error) = refusal {
            return self.settle(commit, Err(error));
        }
        if commit.offsets.is_empty() {
            return self.settle(commit, Ok(()));
        }
        match self.commits.back_mut().filter(|last| last.takes_in(&commit)) {
            Some(last) => {
                last.offsets.extend(commit.offsets);
                last.callbacks.extend(commit.callbacks);
            }
            None => self.commits.push_back(commit),
        }
    }

    /// The outcome of a commit, once there is one.
    pub fn commit_answer(&mut self, ticket: Ticket) -> Option<Result<()>> {
        let answer = self.commit_answers.remove(&ticket)?;
        self.waiting.remove(&ticket);
        Some(answer)
    }

    /// The application no longer waits for a commit. Returns why it has not worked so far.
    pub fn forget_commit(&mut self, ticket: Ticket) -> Option<Error> {
        self.waiting.remove(&ticket);
        let obstacle = self.commits.iter().find(|commit| commit.tickets.contains(&ticket))?.obstacle.clone();
        self.commits.retain(|commit| !commit.tickets.contains(&ticket));
        obstacle
    }

    /// Queues a question for committed offsets.
    pub fn look_up(&mut self, partitions: Vec<TopicPartition>) -> Ticket {
        let ticket = self.ticket();
        self.lookups.push_back(Lookup { ticket, partitions });
        ticket
    }

    /// The committed offsets in the order of the question, once they are there.
    pub fn lookup_answer(&mut self, ticket: Ticket) -> Option<Result<Vec<Option<i64>>>> {
        let answer = self.lookup_answers.remove(&ticket)?;
        self.waiting.remove(&ticket);
        Some(answer)
    }

    /// The application no longer waits for the answer.
    pub fn forget_lookup(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
        self.lookups.retain(|lookup| lookup.ticket != ticket);
    }

    /// These partitions were revoked. The coordinator gives them to others once it hears that.
    pub fn revoked(&mut self, partitions: &[TopicPartition]) {
        self.revoked.extend_from_slice(partitions);
    }

    /// The join thread is to take up this attempt, with what is held now.
    pub fn order_join(&mut self, attempt: Attempt) {
        self.possessions_are_told();
        if let Some(member) = self.membership.classic() {
            self.order = Some(Order { attempt, possessions: member.possessions().clone() });
        }
    }

    /// The coordinator hears now what is held. Commits that are held up must not go back behind what the next owners of
    /// the rest commit: an identity says who commits, not for what it may.
    fn possessions_are_told(&mut self) {
        if !self.revoked.is_empty() {
            self.let_go.extend(self.revoked.drain(..));
            self.strike_let_go();
        }
    }

    /// These partitions are this member's (again).
    pub fn assigned(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.let_go.remove(partition);
            self.unknown.remove(partition);
        }
        self.revoked.retain(|partition| !partitions.contains(partition));
    }

    /// The topic of this partition is another one of the same name now: what was to be committed means nothing in it.
    pub fn renewed(&mut self, partition: &TopicPartition) {
        for commit in &mut self.commits {
            commit.strike(|struck| struck == partition, RENEWED);
        }
        self.renewed.insert(partition.clone());
        self.settle_struck();
    }

    fn hold_up(&mut self) {
        self.commits.iter_mut().for_each(|commit| commit.held_up = true);
        self.strike_let_go();
    }

    fn strike_let_go(&mut self) {
        // A stay that is over names nobody any more: whoever has the partitions now is safe from its commits.
        let stay = self.membership.committer().ok().filter(|stay| *stay != Stay::Apart);
        for commit in self.commits.iter_mut().filter(|commit| commit.held_up && Some(commit.stay) == stay) {
            commit.strike(|partition| self.let_go.contains(partition), LET_GO);
        }
        self.settle_struck();
    }

    /// Commits of which nothing is left have ended.
    fn settle_struck(&mut self) {
        while let Some(index) = self.commits.iter().position(|commit| commit.offsets.is_empty()) {
            if let Some(commit) = self.commits.remove(index) {
                self.settle(commit, Ok(()));
            }
        }
    }

    /// A commit that is to be sent again comes back to the front of the queue.
    fn put_back(&mut self, mut commit: Commit) {
        commit.held_up = true;
        commit.until = self.last_commit_by.map_or(commit.until, |by| commit.until.min(by));
        commit.strike(|partition| self.renewed.contains(partition), RENEWED);
        self.commits.push_front(commit);
        self.strike_let_go();
    }

    /// No commit takes longer than this, whatever it was given.
    pub fn commit_by(&mut self, until: Deadline) {
        self.commits.iter_mut().for_each(|commit| commit.until = commit.until.min(until));
        self.last_commit_by = Some(until);
    }

    /// Ends the membership.
    pub fn leave(&mut self, now: Instant) {
        // What it held goes to others only when the coordinator hears of that.
        self.revoked.clear();
        let left = self.membership.leave();
        self.tell_left(left, now);
    }

    /// Tells the coordinator, behind what is queued, that this member is gone.
    pub fn tell_left(&mut self, left: Option<Identity>, now: Instant) {
        if let Some(identity) = left {
            self.leavings.push_back(Leaving { identity, until: now + self.session_timeout, tried: false });
        }
    }

    /// Whether nothing is left to tell the coordinator.
    pub fn is_quiet(&self) -> bool {
        let naming = self.membership.naming_due().is_some();
        self.commits.is_empty() && self.leavings.is_empty() && !self.committing && !naming
    }

    /// The callbacks of commits that have ended since it was last asked.
    pub fn settled(&mut self) -> Vec<(Callback, Result<()>)> {
        std::mem::take(&mut self.settled)
    }

    /// Whether something happened since it was last asked that the application may be waiting for.
    pub fn news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Whether the join thread has waited too long for something that is not wanted any more.
    pub fn breaks_off_join(&mut self) -> bool {
        std::mem::take(&mut self.break_off)
    }

    /// What to do now. `awaiting` are the partitions whose position is to be the committed offset.
    pub fn next(&mut self, awaiting: Vec<(TopicPartition, Epoch)>, now: Instant) -> Work {
        let overdue = self.membership.poll_overdue(now);
        self.tell_left(overdue, now);
        let leaving = self.leavings.len();
        self.leavings.retain(|leaving| now < leaving.until);
        self.news |= self.leavings.len() < leaving;
        self.expire_commits(now);
        if self.membership.classic().is_some_and(|member| member.naming_overdue(now)) {
            (self.news, self.break_off) = (true, true);
        }

        let patient = self.not_before.filter(|moment| now < *moment);
        let queued = !(self.commits.is_empty() && self.lookups.is_empty() && self.leavings.is_empty());
        if self.coordinator.is_none() {
            let wanted = queued || self.membership.wants_coordinator() || !awaiting.is_empty();
            return if wanted && patient.is_none() {
                Work::FindCoordinator
            } else {
                self.sleep([patient, self.membership.poll_due()])
            };
        }
        if let Some(beat) = self.membership.heartbeat(now) {
            if matches!(&beat, Beat::Modern { request, .. } if request.topic_partitions.is_some()) {
                self.possessions_are_told();
            }
            return Work::Heartbeat(beat);
        }
        if patient.is_some() {
            // What others wait for is no reason to keep partitions from the group.
            let leaves = self.commits.is_empty() && self.leavings.front().is_some_and(|leaving| !leaving.tried);
            let leave = if leaves { self.next_leave() } else { None };
            return leave.unwrap_or_else(|| self.sleep([patient, self.membership.next_due()]));
        }
        // A commit that has failed before must not keep partitions from their positions.
        let held_back = self.commits_not_before.filter(|moment| now < *moment && !self.commits.is_empty());
        if held_back.is_none()
            && self.commits.front().is_some_and(|commit| commit.obstacle.is_none())
            && let Some(work) = self.next_commit()
        {
            return work;
        }
        let undecided = self.positions_not_before.filter(|moment| now < *moment && !awaiting.is_empty());
        if !awaiting.is_empty() && undecided.is_none() {
            return Work::Positions(awaiting);
        }
        if let Some(lookup) = self.lookups.pop_front() {
            return Work::Lookup(lookup);
        }
        if held_back.is_some() {
            return self.sleep([held_back, undecided, self.membership.next_due()]);
        }
        if let Some(work) = self.next_commit() {
            return work;
        }
        self.next_leave().unwrap_or_else(|| self.sleep([undecided, self.membership.next_due()]))
    }

    fn next_leave(&mut self) -> Option<Work> {
        let leaving = self.leavings.front_mut()?;
        leaving.tried = true;
        Some(Work::Leave(leaving.identity.clone()))
    }

    fn next_commit(&mut self) -> Option<Work> {
        while let Some(commit) = self.commits.pop_front() {
            if let Some(identity) = self.membership.identity_in(commit.stay) {
                self.committing = true;
                self.renewed.clear();
                self.assignments_at_commit = self.assignments;
                return Some(Work::Commit(commit, identity));
            }
            // The membership knows better than a code how it ended.
            let left = self.membership.committer().err();
            let error = left.unwrap_or_else(|| commit_too_late(&self.id, ErrorCode::ILLEGAL_GENERATION));
            self.settle(commit, Err(error));
        }
        None
    }

    fn sleep<const N: usize>(&self, dues: [Option<Instant>; N]) -> Work {
        let commits = self.commits.iter().map(|commit| commit.until.at);
        let leavings = self.leavings.iter().map(|leaving| leaving.until);
        let naming = self.membership.naming_due();
        Work::Sleep(commits.chain(leavings).chain(naming).chain(dues.into_iter().flatten()).min())
    }

    fn expire_commits(&mut self, now: Instant) {
        for index in (0..self.commits.len()).rev() {
            if self.commits[index].until.passed(now)
                && let Some(commit) = self.commits.remove(index)
            {
                let error = expired(&commit.until, commit.obstacle.as_ref());
                self.settle(commit, Err(error));
            }
        }
    }

    /// Tells everyone who waits for this commit how it ended.
    fn settle(&mut self, commit: Commit, outcome: Result<()>) {
        let outcome = outcome.and(commit.struck.map_or(Ok(()), Err));
        if let (Err(error), true) = (&outcome, commit.tickets.is_empty()) {
            log::warn!("group {}: an asynchronous commit failed: {error}", self.id);
        }
        for ticket in commit.tickets.into_iter().filter(|ticket| self.waiting.contains(ticket)) {
            self.commit_answers.insert(ticket, outcome.clone());
        }
        self.settled.extend(commit.callbacks.into_iter().map(|callback| (callback, outcome.clone())));
        self.news = true;
    }

    /// The coordinator was found.
    pub fn coordinator_is(&mut self, node: i32) {
        self.coordinator = Some(node);
        self.not_before = None;
    }

    /// The coordinator is not there, or not the coordinator (any more). Work that was not done comes back to the front.
    pub fn coordinator_lost(&mut self, undone: Option<Work>, error: Option<&Error>, retry_at: Instant) {
        self.coordinator = None;
        self.postpone(retry_at);
        self.membership.heartbeat_failed(retry_at);
        match undone {
            Some(Work::Commit(mut commit, _)) => {
                self.committing = false;
                commit.obstacle = error.cloned().or(commit.obstacle);
                self.put_back(commit);
            }
            Some(Work::Lookup(lookup)) => self.lookups.push_front(lookup),
            _ => {}
        }
    }

    /// Nothing but heartbeats before this moment.
    pub fn postpone(&mut self, until: Instant) {
        self.not_before = Some(self.not_before.map_or(until, |moment| moment.max(until)));
        self.hold_up();
    }

    /// No commit before this moment, or before the rebalance that is under way has ended.
    pub fn hold_commits_back(&mut self, until: Instant) {
        if self.assignments == self.assignments_at_commit {
            self.commits_not_before = Some(until);
            self.hold_up();
        }
    }

    /// No question for positions before this moment, or before there is another assignment.
    pub fn hold_positions_back(&mut self, until: Instant) {
        self.positions_not_before = Some(until);
    }

    /// SyncGroup was answered; see [`Classic::synced`](classic::Classic::synced).
    pub fn synced(&mut self, attempt: Attempt, partitions: Vec<TopicPartition>, counts: Option<Counts>) {
        if self.membership.classic().is_some_and(|member| member.synced(attempt, partitions, counts)) {
            self.assignments += 1;
            (self.commits_not_before, self.positions_not_before) = (None, None);
        }
    }

    /// The group cannot be used before `retry_at`. Everything that waits is told so.
    pub fn refused(&mut self, error: &Error, retry_at: Instant) {
        self.postpone(retry_at);
        for commit in std::mem::take(&mut self.commits) {
            self.settle(commit, Err(error.clone()));
        }
        for lookup in std::mem::take(&mut self.lookups) {
            self.answer_lookup(lookup.ticket, Err(error.clone()));
        }
        self.leavings.clear();
        self.news = true;
    }

    /// A heartbeat of the classic protocol was answered.
    pub fn heartbeat_answered(&mut self, sent: &Identity, code: ErrorCode, now: Instant) -> Answered {
        let Some(member) = self.membership.classic() else { return Answered::Done };
        match member.heard(sent, code, now) {
            Reaction::FindCoordinator => Answered::FindCoordinator,
            Reaction::Wake => {
                self.news = true;
                Answered::Done
            }
            // About a generation that is over already, or one whose SyncGroup tells the same.
            Reaction::Nothing if is_about_membership(code) => Answered::Done,
            Reaction::Nothing if code.is_ok() || code.is_retriable() => Answered::Done,
            Reaction::Nothing => Answered::Refused(Error::broker_code(ApiKey::Heartbeat, code, None)),
        }
    }

    /// A heartbeat of the consumer protocol was answered.
    pub fn modern_heartbeat_answered(
        &mut self,
        stay: Stay,
        response: &ConsumerGroupHeartbeatResponse,
        now: Instant,
    ) -> Answered {
        let Some(member) = self.membership.modern() else { return Answered::Done };
        match member.heard(stay, response, now) {
            Ok(Reaction::FindCoordinator) => Answered::FindCoordinator,
            Ok(Reaction::Wake) => {
                self.news = true;
                Answered::Done
            }
            Ok(Reaction::Nothing) if response.error_code.is_retriable() => Answered::Later,
            Ok(Reaction::Nothing) => Answered::Done,
            Err(error) => {
                member.refused(now + REFUSED_RETRY);
                Answered::Refused(error)
            }
        }
    }

    /// The broker does not know heartbeats of the consumer protocol.
    pub fn modern_unserved(&mut self, now: Instant) -> Answered {
        if let Some(member) = self.membership.modern() {
            member.refused(now + REFUSED_RETRY);
        }
        Answered::Refused(modern::unserved(&self.id))
    }

    /// The coordinator left.
    pub fn left(&mut self, identity: &Identity) {
        self.leavings.retain(|leaving| leaving.identity != *identity);
        self.news = true;
    }

    /// A commit was answered, partition by partition. What may succeed later goes back to the front of the queue.
    pub fn commit_answered(
        &mut self,
        mut commit: Commit,
        sent: &Identity,
        response: &OffsetCommitResponse,
        now: Instant,
    ) -> Answered {
        self.committing = false;
        let (mut answer, mut unknown) = (Answered::Done, None);
        for (partition, code) in commit_codes(response) {
            let Some((partition, _)) = commit.offsets.get_key_value(&partition) else { continue };
            let partition = partition.clone();
            match code {
                ErrorCode::NONE => {
                    commit.offsets.remove(&partition);
                    self.unknown.remove(&partition);
                }
                // A topic that was deleted is not waited for again by each commit of a partition that is still held.
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                    if now >= *self.unknown.entry(partition.clone()).or_insert(now) + UNKNOWN_FOR =>
                {
                    commit.offsets.remove(&partition);
                    let error = Error::broker_code(ApiKey::OffsetCommit, code, None);
                    unknown = Some(error.with_partition(&*partition.topic, partition.partition));
                }
                code if is_about_membership(code) => {
                    self.membership.commit_refused(sent, code, now);
                    // A rebalance that takes nothing away only changes the generation. The commit may go again as
                    // whoever this member is by then.
                    let passes = code != ErrorCode::UNKNOWN_MEMBER_ID && code != ErrorCode::FENCED_INSTANCE_ID;
                    let goes_on = commit.stay != Stay::Apart
                        && self.membership.outlasts_rebalances()
                        && self.membership.committer().is_ok_and(|stay| stay == commit.stay);
                    if passes && goes_on {
                        commit.obstacle = Some(commit_too_late(&self.id, code));
                        self.put_back(commit);
                        return Answered::Rebalancing;
                    }
                    let error = commit_too_late(&self.id, code);
                    self.settle(commit, Err(error));
                    return Answered::Done;
                }
                code if code.is_retriable() => {
                    let error = Error::broker_code(ApiKey::OffsetCommit, code, None);
                    commit.obstacle = Some(error.with_partition(&*partition.topic, partition.partition));
                    let lost = matches!(code, ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE);
                    answer = if lost { Answered::FindCoordinator } else { Answered::Later };
                }
                code => {
                    let error = Error::broker_code(ApiKey::OffsetCommit, code, None);
                    let error = error.with_partition(&*partition.topic, partition.partition);
                    self.settle(commit, Err(error));
                    return Answered::Done;
                }
            }
        }
        commit.struck = commit.struck.or(unknown);
        match answer {
            Answered::Done if commit.offsets.is_empty() => self.settle(commit, Ok(())),
            Answered::Done => {
                let missing = commit.offsets.keys().next().map(ToString::to_string).unwrap_or_default();
                let error = Error::protocol(format!("the answer to a commit says nothing of {missing}"));
                self.settle(commit, Err(error.with_api(ApiKey::OffsetCommit)));
            }
            _ => self.put_back(commit),
        }
        answer
    }

    /// The committed offsets of assigned partitions were answered. Returns what comes next, and errors to tell.
    pub fn positions_answered(
        &mut self,
        asked: &[(TopicPartition, Epoch)],
        response: &OffsetFetchResponse,
        policy: OffsetReset,
        assignment: &mut Assignment,
        now: Instant,
    ) -> (Answered, Vec<Error>) {
        let (group_code, mut offsets) = fetched_offsets(response);
        if let Some(answer) = self.lookup_refused(group_code) {
            return (answer, Vec::new());
        }
        let (mut answer, mut errors) = (Answered::Done, Vec::new());
        for (partition, epoch) in asked {
            match offsets.remove(partition) {
                Some(Ok(committed)) => {
                    if let Some(Committed { offset, .. }) = committed {
                        log::debug!("{partition}: starting at the committed offset {offset}");
                    }
                    assignment.committed_is(partition, *epoch, committed, policy);
                }
                Some(Err(code)) if !code.is_retriable() => {
                    // A right that is granted later takes it up again.
                    if assignment.committed_refused(partition, *epoch, now + REFUSED_RETRY) {
                        let error = Error::broker_code(ApiKey::OffsetFetch, code, None);
                        errors.push(error.with_partition(&*partition.topic, partition.partition));
                    }
                }
                Some(Err(_)) | None => answer = Answered::Undecided,
            }
        }
        self.news = true;
        (answer, errors)
    }

    /// A question of the application was answered.
    pub fn lookup_answered(&mut self, lookup: Lookup, response: &OffsetFetchResponse) -> Answered {
        let (group_code, mut offsets) = fetched_offsets(response);
        if let Some(answer) = self.lookup_refused(group_code) {
            self.lookups.push_front(lookup);
            return answer;
        }
        let answers = lookup.partitions.iter().map(|partition| match offsets.remove(partition) {
            Some(Ok(committed)) => Ok(committed.map(|committed| committed.offset)),
            Some(Err(code)) => {
                let error = Error::broker_code(ApiKey::OffsetFetch, code, None);
                Err(error.with_partition(&*partition.topic, partition.partition))
            }
            None => Ok(None),
        });
        let outcome: Result<Vec<_>> = answers.collect();
        if outcome.as_ref().is_err_and(Error::is_retriable) {
            self.lookups.push_front(lookup);
            return Answered::Later;
        }
        self.answer_lookup(lookup.ticket, outcome);
        Answered::Done
    }

    fn answer_lookup(&mut self, ticket: Ticket, outcome: Result<Vec<Option<i64>>>) {
        if self.waiting.contains(&ticket) {
            self.lookup_answers.insert(ticket, outcome);
        }
        self.news = true;
    }

    fn lookup_refused(&self, code: ErrorCode) -> Option<Answered> {
        match code {
            ErrorCode::NONE => None,
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => Some(Answered::FindCoordinator),
            code if code.is_retriable() => Some(Answered::Later),
            code => Some(Answered::Refused(Error::broker_code(ApiKey::OffsetFetch, code, None))),
        }
    }
}

/// Why a part of a commit is not sent any more.
const RENEWED: &str = "the topic was deleted and created anew, so the offset means nothing in it";
const LET_GO: &str =
    "it was given up before the commit could be sent again; whoever has it now goes on from the last commit";

/// What the coordinator thread makes of an answer.
#[derive(Debug, Default)]
pub(super) enum Answered {
    #[default]
    Done,
    /// Go on after a backoff.
    Later,
    /// Commit again once the rebalance is over, or after a backoff.
    Rebalancing,
    /// Some positions are not decided yet, by a transaction that is open. Ask again after a backoff; the rest goes on.
    Undecided,
    /// The same, once the coordinator is found anew.
    FindCoordinator,
    /// This client may not do it.
    Refused(Error),
}

/// Codes that say that a member or its generation is not, or no longer, what it takes itself for.
fn is_about_membership(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::FENCED_INSTANCE_ID
            | ErrorCode::REBALANCE_IN_PROGRESS
            | ErrorCode::STALE_MEMBER_EPOCH
            | ErrorCode::FENCED_MEMBER_EPOCH
    )
}

/// A deadline passed before what the application asked for was done; `obstacle` is why.
pub(super) fn expired(deadline: &Deadline, obstacle: Option<&Error>) -> Error {
    match obstacle {
        Some(obstacle) => Error::timeout(deadline, format_args!("committing offsets (last failure: {obstacle})")),
        None => Error::timeout(deadline, "committing offsets"),
    }
}

fn commit_too_late(group: &str, code: ErrorCode) -> Error {
    let why = match code {
        ErrorCode::REBALANCE_IN_PROGRESS => "is rebalancing: poll, and commit what was processed when it is over",
        ErrorCode::FENCED_INSTANCE_ID => "has another member with the same group.instance.id: give each its own",
        _ => {
            "has gone on without this consumer, whose partitions may belong to others now: the time between two polls \
             was longer than max.poll.interval.ms, or no heartbeat came through within session.timeout.ms"
        }
    };
    Error::broker_code(ApiKey::OffsetCommit, code, Some(&format!("cannot commit: group {group} {why}")))
}

/// What became of each partition of a commit. A partition named twice counts once.
fn commit_codes(response: &OffsetCommitResponse) -> BTreeMap<TopicPartition, ErrorCode> {
    let mut codes = BTreeMap::new();
    for topic in &response.topics {
        for partition in &topic.partitions {
            let key = TopicPartition::new(&*topic.name, partition.partition_index);
            codes.entry(key).or_insert(partition.error_code);
        }
    }
    codes
}

type FetchedOffsets = BTreeMap<TopicPartition, Result<Option<Committed>, ErrorCode>>;

/// The answer in both its shapes: for one group, and for many of which only one was asked.
fn fetched_offsets(response: &OffsetFetchResponse) -> (ErrorCode, FetchedOffsets) {
    let mut offsets = FetchedOffsets::new();
    let mut put = |topic: &str, partition: i32, offset: i64, leader_epoch: i32, code: ErrorCode| {
        let committed = (offset >= 0).then_some(Committed { offset, leader_epoch });
        let entry = offsets.entry(TopicPartition::new(topic, partition));
        entry.or_insert(if code.is_ok() { Ok(committed) } else { Err(code) });
    };
    for topic in &response.topics {
        for p in &topic.partitions {
            put(&topic.name, p.partition_index, p.committed_offset, p.committed_leader_epoch, p.error_code);
        }
    }
    let mut code = response.error_code;
    if let Some(group) = response.groups.first() {
        code = group.error_code;
        for topic in &group.topics {
            for p in &topic.partitions {
                put(&topic.name, p.partition_index, p.committed_offset, p.committed_leader_epoch, p.error_code);
            }
        }
    }
    (code, offsets)
}

#[cfg(test)]
mod tests;
