//! The phases of a classic group's rebalance, and what ends by the clock.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::GroupOptions;
use super::{Classic, Opening, State, refused_join, refused_sync};
use crate::kafka::protocol::messages::SyncGroupResponse;
use crate::kafka::protocol::{Bytes, ErrorCode};

/// The least that a group waits again for members none of whom came.
const AGAIN: Duration = Duration::from_millis(100);

impl Classic {
    /// A member came or changed: a rebalance begins, or the one that is on may be complete.
    pub(super) fn rebalance_or_complete(&mut self, now: Instant, options: &GroupOptions) {
        match self.state {
            State::PreparingRebalance { .. } => self.complete_if_all_joined(now),
            _ => self.prepare_rebalance(now, options),
        }
    }

    /// Lets all members join again.
    pub(super) fn prepare_rebalance(&mut self, now: Instant, options: &GroupOptions) {
        if self.state == State::CompletingRebalance {
            self.members.values_mut().for_each(|member| member.assignment = Bytes::default());
            self.answer_syncs(now, ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.unsynced.clear();
        self.sync_by = None;
        let longest = self.longest_rebalance();
        let delay = options.initial_rebalance_delay;
        if self.state != State::Empty {
            self.enter(now, State::PreparingRebalance { opening: None });
            self.join_by = Some(now + longest);
            self.complete_if_all_joined(now);
        } else {
            let opening = Opening { remaining: longest.saturating_sub(delay), delay, more: false };
            self.enter(now, State::PreparingRebalance { opening: Some(opening) });
            self.join_by = Some(now + delay);
            if delay.is_zero() {
                self.complete_join(now);
            }
        }
    }

    pub(super) fn complete_if_all_joined(&mut self, now: Instant) {
        if self.state == (State::PreparingRebalance { opening: None }) && self.have_all_joined() {
            self.complete_join(now);
        }
    }

    /// Begins the next generation with those who have joined, and with static members in any case.
    fn complete_join(&mut self, now: Instant) {
        self.join_by = None;
        let missing = |member: &super::Member| member.joining.is_none() && member.instance.is_none();
        let missing: Vec<String> =
            self.members.iter().filter(|(_, member)| missing(member)).map(|(id, _)| id.clone()).collect();
        missing.iter().for_each(|id| self.remove(id));
        if !self.members.is_empty() && !self.elect_leader() {
            self.join_by = Some(now + self.longest_rebalance().max(AGAIN));
            return;
        }
        self.generation += 1;
        self.unsynced.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.topics = self.read_topics();
            self.enter(now, State::Empty);
            return;
        }
        self.protocol = self.elect_protocol();
        self.topics = self.read_topics();
        self.enter(now, State::CompletingRebalance);
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.new = false;
                if let Some(answer) = member.joining.take() {
                    answer.fulfil(joined);
                }
            }
            self.keep_alive(now, &id);
            self.unsynced.insert(id);
        }
        self.sync_by = Some(now + self.longest_rebalance());
    }

    /// The leader stays if it has joined, else one that has leads. False if there is none.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &String| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            let Some(next) = self.members.keys().find(|id| joined(id)).cloned() else { return false };
            self.leader = Some(next);
        }
        true
    }

    /// Ends the waiting for the leader's assignment: with the member's part of it, or with an error.
    pub(super) fn answer_syncs(&mut self, now: Instant, error_code: ErrorCode) {
        let (protocol_type, protocol_name) = match error_code {
            ErrorCode::NONE => (self.protocol_type.clone(), self.protocol.clone()),
            _ => (None, None),
        };
        for member in self.members.values_mut() {
            if let Some(answer) = member.syncing.take() {
                member.expires = Some(now + member.session_timeout);
                answer.fulfil(SyncGroupResponse {
                    error_code,
                    protocol_type: protocol_type.clone(),
                    protocol_name: protocol_name.clone(),
                    assignment: if error_code.is_ok() { member.assignment.clone() } else { Bytes::default() },
                    ..Default::default()
                });
            }
        }
    }

    /// The earliest time at which something ends.
    pub(in super::super) fn next_deadline(&self) -> Option<Instant> {
        let members = self.members.values().filter_map(|member| member.expires);
        let pending = self.pending.values().copied();
        members.chain(pending).chain(self.join_by).chain(self.sync_by).min()
    }

    /// Ends what is over by now.
    pub(in super::super) fn tick(&mut self, now: Instant, options: &GroupOptions) {
        let over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if over(self.join_by) {
            self.end_joining(now, options);
        }
        if over(self.sync_by) {
            self.end_syncing(now, options);
        }
        let pending: Vec<String> =
            self.pending.iter().filter(|(_, until)| over(Some(**until))).map(|(id, _)| id.clone()).collect();
        for id in pending {
            self.pending.remove(&id);
            self.complete_if_all_joined(now);
        }
        let late: Vec<String> =
            self.members.iter().filter(|(_, member)| over(member.expires)).map(|(id, _)| id.clone()).collect();
        for id in late {
            // An earlier one's end may have given this one a new session.
            let Some(member) = self.members.get_mut(&id).filter(|member| over(member.expires)) else { continue };
            if member.waits() {
                member.expires = None;
            } else {
                self.expel(now, options, &id);
            }
        }
    }

    /// A member's session is over.
    pub(in super::super) fn expel(&mut self, now: Instant, options: &GroupOptions, id: &str) {
        if self.members.contains_key(id) {
            self.remove(id);
            self.follow_removal(now, options);
        }
    }

    /// Members have gone: the others share out what was theirs.
    pub(super) fn follow_removal(&mut self, now: Instant, options: &GroupOptions) {
        if self.state != State::Empty {
            self.rebalance_or_complete(now, options);
        }
    }

    fn end_joining(&mut self, now: Instant, options: &GroupOptions) {
        match &mut self.state {
            State::PreparingRebalance { opening: Some(opening) } if opening.more && !opening.remaining.is_zero() => {
                let delay = options.initial_rebalance_delay.min(opening.remaining);
                let remaining = opening.remaining.saturating_sub(opening.delay);
                *opening = Opening { remaining, delay, more: false };
                self.join_by = Some(now + delay);
            }
            State::PreparingRebalance { .. } => self.complete_join(now),
            _ => self.join_by = None,
        }
    }

    fn end_syncing(&mut self, now: Instant, options: &GroupOptions) {
        self.sync_by = None;
        let missing: BTreeSet<String> = std::mem::take(&mut self.unsynced);
        if matches!(self.state, State::CompletingRebalance | State::Stable) && !missing.is_empty() {
            missing.iter().for_each(|id| self.remove(id));
            self.prepare_rebalance(now, options);
        }
    }

    /// Answers whoever waits with this.
    pub(in super::super) fn turn_away(&mut self, code: ErrorCode) {
        for (id, member) in &mut self.members {
            if let Some(answer) = member.joining.take() {
                answer.fulfil(refused_join(id, code));
            }
            if let Some(answer) = member.syncing.take() {
                answer.fulfil(refused_sync(code));
            }
        }
    }
}
