//! What members of a classic group do between two rebalances: take their part, stay alive, leave.

use std::time::Instant;

use super::super::super::call::Promise;
use super::super::{GroupOptions, MAX_GROUP_BYTES};
use super::{Classic, State, refused_sync};
use crate::kafka::protocol::messages::{
    HeartbeatRequest, MemberIdentity, MemberResponse, SyncGroupRequest, SyncGroupResponse,
};
use crate::kafka::protocol::{Bytes, ErrorCode};

impl Classic {
    pub(in super::super) fn sync(
        &mut self,
        now: Instant,
        options: &GroupOptions,
        request: &SyncGroupRequest,
        answer: Promise<SyncGroupResponse>,
    ) {
        if let Err(code) = self.check_sync(request) {
            return answer.fulfil(refused_sync(code));
        }
        let id = &request.member_id;
        match self.state {
            State::Empty => answer.fulfil(refused_sync(ErrorCode::UNKNOWN_MEMBER_ID)),
            State::PreparingRebalance { .. } => answer.fulfil(refused_sync(ErrorCode::REBALANCE_IN_PROGRESS)),
            State::CompletingRebalance => {
                self.has_synced(id);
                if let Some(member) = self.members.get_mut(id) {
                    member.syncing = Some(answer);
                }
                if self.leader.as_ref() == Some(id) {
                    self.assign(now, options, request);
                }
            }
            State::Stable => {
                self.has_synced(id);
                answer.fulfil(SyncGroupResponse {
                    protocol_type: self.protocol_type.clone(),
                    protocol_name: self.protocol.clone(),
                    assignment: self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default(),
                    ..Default::default()
                });
            }
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.check_member(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs = |told: &Option<String>, own: &Option<String>| told.is_some() && own.is_some() && told != own;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol_name, &self.protocol) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        Ok(())
    }

    fn has_synced(&mut self, id: &str) {
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.sync_by = None;
        }
    }

    /// The leader has handed in what everyone gets.
    fn assign(&mut self, now: Instant, options: &GroupOptions, request: &SyncGroupRequest) {
        let metadata: usize = self.members.values().map(super::Member::size).sum();
        let assigned: usize = request.assignments.iter().map(|given| given.assignment.len()).sum();
        if metadata + assigned > MAX_GROUP_BYTES {
            self.answer_syncs(now, ErrorCode::UNKNOWN_SERVER_ERROR);
            return self.prepare_rebalance(now, options);
        }
        self.members.values_mut().for_each(|member| member.assignment = Bytes::default());
        for given in &request.assignments {
            if let Some(member) = self.members.get_mut(&given.member_id) {
                member.assignment = given.assignment.to_vec().into();
            }
        }
        self.enter(now, State::Stable);
        self.answer_syncs(now, ErrorCode::NONE);
    }

    pub(in super::super) fn heartbeat(&mut self, now: Instant, request: &HeartbeatRequest) -> ErrorCode {
        if let Err(code) = self.check_member(&request.member_id, request.group_instance_id.as_ref()) {
            return code;
        }
        if request.generation_id != self.generation {
            return ErrorCode::ILLEGAL_GENERATION;
        }
        self.keep_alive(now, &request.member_id);
        match self.state {
            State::Empty => ErrorCode::UNKNOWN_MEMBER_ID,
            State::PreparingRebalance { .. } => ErrorCode::REBALANCE_IN_PROGRESS,
            State::CompletingRebalance | State::Stable => ErrorCode::NONE,
        }
    }

    pub(in super::super) fn leave(
        &mut self,
        now: Instant,
        options: &GroupOptions,
        members: &[MemberIdentity],
    ) -> Vec<MemberResponse> {
        let mut gone = false;
        let mut answers = Vec::with_capacity(members.len());
        for member in members {
            let left = self.leave_one(member);
            gone |= left.is_ok();
            answers.push(MemberResponse {
                member_id: member.member_id.clone(),
                group_instance_id: member.group_instance_id.clone(),
                error_code: left.err().unwrap_or_default(),
            });
        }
        if gone {
            self.follow_removal(now, options);
        }
        answers
    }

    fn leave_one(&mut self, member: &MemberIdentity) -> Result<(), ErrorCode> {
        let id = match &member.group_instance_id {
            // Somebody else takes a static member out, and need not know its id.
            Some(instance) if member.member_id.is_empty() => {
                self.instances.get(instance).cloned().ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?
            }
            _ => member.member_id.clone(),
        };
        if !self.pending.contains_key(&id) {
            let instance = member.group_instance_id.as_ref();
            self.check_member(&id, instance)?;
        }
        self.remove(&id);
        Ok(())
    }
}
