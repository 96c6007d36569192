//! Becoming and staying a member of a classic group.

use std::time::{Duration, Instant};

use super::super::super::call::Promise;
use super::super::{Asker, GroupOptions, MAX_GROUP_BYTES, MAX_MEMBERS, new_member_id};
use super::{Classic, Member, Opening, State, copied, refused_join, timeout};
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{JoinGroupRequest, JoinGroupResponse};

/// How long a new member may wait for its first generation without a heartbeat, which it cannot send yet.
const NEW_MEMBER: Duration = Duration::from_secs(300);

/// From here on a new member is told its id first and joins again with it.
const ID_FIRST: i16 = 4;
/// From here on a leader that came back can be told that nothing is to be assigned.
const CAN_SKIP: i16 = 9;

type Answer = Promise<JoinGroupResponse>;

impl Classic {
    pub(in super::super) fn join(
        &mut self,
        now: Instant,
        options: &GroupOptions,
        asker: &Asker<'_>,
        request: &JoinGroupRequest,
        answer: Answer,
    ) {
        let id = request.member_id.as_str();
        if !self.has_room_for(id) {
            self.remove(id);
            return answer.fulfil(refused_join("", ErrorCode::GROUP_MAX_SIZE_REACHED));
        }
        if !self.supports(request) {
            return answer.fulfil(refused_join(id, ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
        }
        if !self.can_hold(id, request) {
            return answer.fulfil(refused_join(id, ErrorCode::UNKNOWN_SERVER_ERROR));
        }
        if id.is_empty() {
            return self.join_as_new(now, options, asker, request, answer);
        }
        if self.pending.contains_key(id) {
            return match request.group_instance_id {
                None => self.add(now, options, asker, request, id.to_owned(), answer),
                // Kafka fails here: a static member never gets an id to come back with.
                Some(_) => answer.fulfil(refused_join(id, ErrorCode::UNKNOWN_SERVER_ERROR)),
            };
        }
        match self.check_member(id, request.group_instance_id.as_ref()) {
            Ok(()) => self.join_again(now, options, request, answer),
            Err(code) => answer.fulfil(refused_join(id, code)),
        }
    }

    fn has_room_for(&self, id: &str) -> bool {
        self.members.contains_key(id)
            || self.pending.contains_key(id)
            || self.members.len() + self.pending.len() < MAX_MEMBERS
    }

    /// Whether the memory of the group suffices for what comes with the member.
    fn can_hold(&self, id: &str, request: &JoinGroupRequest) -> bool {
        let others = self.members.iter().filter(|(member, _)| *member != id);
        let held: usize = others.map(|(_, member)| member.size()).sum();
        let more: usize = request.protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum();
        held + more <= MAX_GROUP_BYTES
    }

    /// Whether the member speaks what the group speaks.
    fn supports(&self, request: &JoinGroupRequest) -> bool {
        match self.state {
            State::Empty => !request.protocol_type.is_empty() && !request.protocols.is_empty(),
            _ => {
                self.protocol_type.as_ref() == Some(&request.protocol_type)
                    && request.protocols.iter().any(|protocol| self.supporters(&protocol.name) == self.members.len())
            }
        }
    }

    fn join_as_new(
        &mut self,
        now: Instant,
        options: &GroupOptions,
        asker: &Asker<'_>,
        request: &JoinGroupRequest,
        answer: Answer,
    ) {
        match &request.group_instance_id {
            Some(instance) => {
                let id = new_member_id(instance);
                match self.instances.get(instance).cloned() {
                    Some(before) => self.replace(now, options, asker, request, &before, id, answer),
                    None => self.add(now, options, asker, request, id, answer),
                }
            }
            None => {
                let id = new_member_id(&asker.client.id);
                if asker.version < ID_FIRST {
                    return self.add(now, options, asker, request, id, answer);
                }
                self.pending.insert(id.clone(), now + timeout(request.session_timeout_ms));
                answer.fulfil(refused_join(&id, ErrorCode::MEMBER_ID_REQUIRED));
            }
        }
    }

    fn add(
        &mut self,
        now: Instant,
        options: &GroupOptions,
        asker: &Asker<'_>,
        request: &JoinGroupRequest,
        id: String,
        answer: Answer,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        if let State::PreparingRebalance { opening: Some(Opening { more, .. }) } = &mut self.state {
            *more = true;
        }
        if let Some(instance) = &request.group_instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.pending.remove(&id);
        self.leader.get_or_insert_with(|| id.clone());
        let member = Member {
            instance: request.group_instance_id.clone(),
            client: asker.client.clone(),
            rebalance_timeout: timeout(request.rebalance_timeout_ms),
            session_timeout: timeout(request.session_timeout_ms),
            protocols: copied(&request.protocols),
            assignment: Default::default(),
            joining: Some(answer),
            syncing: None,
            new: true,
            expires: Some(now + NEW_MEMBER),
        };
        self.members.insert(id, member);
        self.rebalance_or_complete(now, options);
    }

    /// A known member joins.
    fn join_again(&mut self, now: Instant, options: &GroupOptions, request: &JoinGroupRequest, answer: Answer) {
        let id = request.member_id.as_str();
        let protocols = copied(&request.protocols);
        let unchanged = self.members.get(id).is_some_and(|member| member.protocols == protocols);
        let leads = self.leader.as_deref() == Some(id);
        match self.state {
            State::Empty => answer.fulfil(refused_join(id, ErrorCode::UNKNOWN_MEMBER_ID)),
            // It did not see the answer; nothing has changed.
            State::CompletingRebalance if unchanged => answer.fulfil(self.joined(id)),
            // A leader that joins again wants to assign anew.
            State::Stable if unchanged && !leads => answer.fulfil(self.joined(id)),
            _ => {
                self.update(id, request, Some(answer));
                self.rebalance_or_complete(now, options);
            }
        }
    }

    fn update(&mut self, id: &str, request: &JoinGroupRequest, answer: Option<Answer>) {
        if let Some(member) = self.members.get_mut(id) {
            member.protocols = copied(&request.protocols);
            member.rebalance_timeout = timeout(request.rebalance_timeout_ms);
            member.session_timeout = timeout(request.session_timeout_ms);
            member.joining = answer;
        }
    }

    /// A static member came back and takes its place under a new id. While the group is stable and goes on with the
    /// same protocol, nobody else notices.
    #[expect(clippy::too_many_arguments, reason = "all of them belong to one request")]
    fn replace(
        &mut self,
        now: Instant,
        options: &GroupOptions,
        asker: &Asker<'_>,
        request: &JoinGroupRequest,
        before: &str,
        id: String,
        answer: Answer,
    ) {
        let Some(mut member) = self.members.remove(before) else {
            return answer.fulfil(refused_join("", ErrorCode::UNKNOWN_MEMBER_ID));
        };
        if let Some(fenced) = member.joining.take() {
            fenced.fulfil(refused_join(before, ErrorCode::FENCED_INSTANCE_ID));
        }
        if let Some(fenced) = member.syncing.take() {
            fenced.fulfil(super::refused_sync(ErrorCode::FENCED_INSTANCE_ID));
        }
        let leader_before = self.leader.clone();
        member.new = false;
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        if leader_before.as_deref() == Some(before) {
            self.leader = Some(id.clone());
        }
        if self.unsynced.remove(before) {
            self.unsynced.insert(id.clone());
        }
        self.members.insert(id.clone(), member);
        self.keep_alive(now, &id);
        match self.state {
            State::Stable => {
                self.update(&id, request, None);
                if self.elect_protocol() != self.protocol {
                    self.update(&id, request, Some(answer));
                    return self.rebalance_or_complete(now, options);
                }
                let mut joined = self.joined(&id);
                if asker.version >= CAN_SKIP {
                    joined.skip_assignment = joined.leader == id;
                } else {
                    // It must not take itself for the leader and assign in a generation that is assigned already.
                    joined.members = Vec::new();
                    joined.leader = leader_before.unwrap_or_default();
                }
                answer.fulfil(joined);
            }
            State::CompletingRebalance => {
                self.update(&id, request, Some(answer));
                self.prepare_rebalance(now, options);
            }
            _ => {
                self.update(&id, request, Some(answer));
                self.complete_if_all_joined(now);
            }
        }
    }
}
