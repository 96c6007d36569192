//! The state machine by itself: time is a number, topics are a list, and an answer is there or is not.

mod classic;
mod consumer;
mod random;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::call::{Doorbell, Promised, Reply, promise};
use super::*;
use crate::kafka::protocol::Bytes;

/// Groups, a clock that is set by hand, and topics.
struct World {
    groups: Groups,
    now: Instant,
    topics: Fake,
    doorbell: Arc<Doorbell>,
    client: Client,
}

#[derive(Default)]
struct Fake {
    topics: BTreeMap<String, Found>,
    version: u64,
    made: u8,
}

impl Topics for Fake {
    fn find(&self, topic: &str) -> Option<Found> {
        self.topics.get(topic).copied()
    }

    fn name_of(&self, id: Uuid) -> Option<String> {
        self.topics.iter().find(|(_, found)| found.id == id).map(|(name, _)| name.clone())
    }

    fn names(&self) -> Vec<String> {
        self.topics.keys().cloned().collect()
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl Fake {
    /// A new topic, or one with more partitions.
    fn set(&mut self, topic: &str, partitions: i32) -> Uuid {
        self.version += 1;
        self.made += 1;
        let id = self.topics.get(topic).map_or(Uuid([self.made; 16]), |found| found.id);
        self.topics.insert(topic.to_owned(), Found { id, partitions });
        id
    }

    fn delete(&mut self, topic: &str) {
        self.version += 1;
        self.topics.remove(topic);
    }
}

impl World {
    fn new(options: GroupOptions) -> Self {
        let client = Client { id: "client".to_owned(), host: "/127.0.0.1".to_owned() };
        Self {
            groups: Groups::new(options),
            now: Instant::now(),
            topics: Fake::default(),
            doorbell: Arc::default(),
            client,
        }
    }

    /// Lets the time pass, with everything in it that happens by itself at its own time.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(next) = self.groups.tick(self.now, &self.topics).filter(|next| *next <= end) {
            self.now = self.now.max(next);
        }
        self.now = end;
        self.groups.tick(self.now, &self.topics);
    }

    fn join_as(&mut self, version: i16, request: &JoinGroupRequest) -> Waiting<JoinGroupResponse> {
        let (answer, waiting) = promise(&self.doorbell);
        self.groups.join(self.now, &self.topics, &Asker { version, client: &self.client }, request, answer);
        Waiting(waiting)
    }

    fn join(&mut self, request: &JoinGroupRequest) -> Waiting<JoinGroupResponse> {
        self.join_as(5, request)
    }

    /// A new member, with the id that it was told first; its join is waited for.
    fn join_new(&mut self, request: &JoinGroupRequest) -> (String, Waiting<JoinGroupResponse>) {
        let told = self.join(request).now();
        assert_eq!(told.error_code, ErrorCode::MEMBER_ID_REQUIRED);
        let id = told.member_id;
        let waiting = self.join(&JoinGroupRequest { member_id: id.clone(), ..request.clone() });
        (id, waiting)
    }

    fn sync(&mut self, member: &str, generation: i32, parts: &[(&str, &str)]) -> Waiting<SyncGroupResponse> {
        let (answer, waiting) = promise(&self.doorbell);
        let assignments = parts.iter().map(|(member, part)| SyncGroupRequestAssignment {
            member_id: (*member).to_owned(),
            assignment: part.as_bytes().into(),
        });
        let request = SyncGroupRequest {
            group_id: "g".to_owned(),
            generation_id: generation,
            member_id: member.to_owned(),
            assignments: assignments.collect(),
            ..Default::default()
        };
        self.groups.sync(self.now, &self.topics, &request, answer);
        Waiting(waiting)
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: "g".to_owned(),
            generation_id: generation,
            member_id: member.to_owned(),
            group_instance_id: None,
        };
        self.groups.heartbeat(self.now, &self.topics, &request)
    }

    fn leave(&mut self, member: &str) -> ErrorCode {
        let member = MemberIdentity { member_id: member.to_owned(), ..Default::default() };
        self.groups.leave(self.now, &self.topics, "g", &[member])[0].error_code
    }

    fn commit(&mut self, member: &str, epoch: i32, topic: &str, partition: i32, offset: i64) -> Result<(), ErrorCode> {
        let request = OffsetCommitRequest {
            group_id: "g".to_owned(),
            generation_id_or_member_epoch: epoch,
            member_id: member.to_owned(),
            ..Default::default()
        };
        let position =
            OffsetCommitRequestPartition { partition_index: partition, committed_offset: offset, ..Default::default() };
        let id = self.topics.find(topic).map(|found| found.id).unwrap_or_default();
        self.groups.check_commit(self.now, &self.topics, 9, &request, [(id, partition)])?;
        self.groups.commit(self.now, &request, (topic, id), &position)
    }

    fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        self.groups.position("g", (topic, Uuid::ZERO), partition).map(|committed| committed.offset)
    }

    fn state(&self) -> Option<&'static str> {
        self.groups.by_id.get("g").map(Group::state)
    }

    /// The members and their parts, as DescribeGroups shows them.
    fn parts(&self) -> Vec<(String, String)> {
        let members = self.groups.describe("g").map(|group| group.members).unwrap_or_default();
        let part = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        members.into_iter().map(|member| (member.member_id, part(&member.member_assignment))).collect()
    }
}

/// An answer that may not be there yet.
struct Waiting<T>(Promised<T>);

impl<T> Waiting<T> {
    fn is_open(&self) -> bool {
        self.0.poll().is_none()
    }

    fn now(self) -> T {
        match self.0.poll() {
            Some(Reply::Answer(answer)) => answer,
            Some(_) => panic!("the connection was ended"),
            None => panic!("there is no answer yet"),
        }
    }
}

/// A join of a consumer with a session of 10 s that rebalances within 20 s.
fn consumer() -> JoinGroupRequest {
    let subscription = ConsumerProtocolSubscription { topics: vec!["t".to_owned()], ..Default::default() };
    with_protocols(&[("range", subscription.to_bytes(1).unwrap())])
}

fn with_protocols(protocols: &[(&str, Bytes)]) -> JoinGroupRequest {
    let protocols = protocols
        .iter()
        .map(|(name, metadata)| JoinGroupRequestProtocol { name: (*name).to_owned(), metadata: metadata.clone() });
    JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: "consumer".to_owned(),
        protocols: protocols.collect(),
        ..Default::default()
    }
}
