//! Storing, reading and deleting positions, each asked of the group first; and keeping them elsewhere.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::offsets::{self, Changes, Committed, Key};
use super::{Group, Groups, Kind, MAX_GROUPS, Topics};
use crate::kafka::protocol::messages::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetFetchRequestGroup};
use crate::kafka::protocol::{ErrorCode, Uuid};

/// A position of a group, for keeping it elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::devbroker) struct Position {
    pub(in crate::devbroker) group: String,
    pub(in crate::devbroker) topic: String,
    pub(in crate::devbroker) partition: i32,
    pub(in crate::devbroker) committed: Committed,
}

impl Position {
    pub(in crate::devbroker) fn key(&self) -> Key {
        (self.group.clone(), self.topic.clone(), self.partition)
    }
}

impl Groups {
    /// Whether the sender of this request may store positions; to a group that is not there yet, it is made.
    ///
    /// # Errors
    /// What it is told in place of it.
    pub(in crate::devbroker) fn check_commit(
        &mut self,
        now: Instant,
        topics: &dyn Topics,
        version: i16,
        request: &OffsetCommitRequest,
        partitions: impl IntoIterator<Item = (Uuid, i32)>,
    ) -> Result<(), ErrorCode> {
        let (id, epoch) = (&request.group_id, request.generation_id_or_member_epoch);
        if !self.by_id.contains_key(id) {
            if epoch >= 0 {
                let unknown = if version >= 9 { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::ILLEGAL_GENERATION };
                return Err(unknown);
            }
            if self.by_id.len() >= MAX_GROUPS {
                return Err(ErrorCode::UNKNOWN_SERVER_ERROR);
            }
            self.by_id.insert(id.clone(), Group::classic(now));
        }
        let instance = request.group_instance_id.as_ref();
        match self.by_id.get_mut(id).map(|group| &mut group.kind) {
            Some(Kind::Classic(classic)) => classic.check_commit(now, &request.member_id, instance, epoch)?,
            Some(Kind::Consumers(consumers)) => {
                consumers.check_commit(version, &request.member_id, epoch, partitions)?;
            }
            None => {}
        }
        self.settle(now, topics, id);
        Ok(())
    }

    /// Stores a position for a group that [`check_commit`](Self::check_commit) found in order.
    ///
    /// # Errors
    /// OFFSET_METADATA_TOO_LARGE.
    pub(in crate::devbroker) fn commit(
        &mut self,
        now: Instant,
        request: &OffsetCommitRequest,
        topic: (&str, Uuid),
        position: &OffsetCommitRequestPartition,
    ) -> Result<(), ErrorCode> {
        let metadata = position.committed_metadata.as_deref();
        if offsets::is_too_long(metadata) {
            return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
        }
        let committed = Committed {
            offset: position.committed_offset,
            leader_epoch: position.committed_leader_epoch,
            metadata: metadata.unwrap_or_default().to_owned(),
            topic_id: topic.1,
        };
        let kept = u64::try_from(request.retention_time_ms).ok().map(Duration::from_millis);
        if let Some(group) = self.by_id.get_mut(&request.group_id) {
            if let Some(changes) = &mut self.changes {
                let key = (request.group_id.clone(), topic.0.to_owned(), position.partition_index);
                changes.insert(key, Some(committed.clone()));
            }
            group.offsets.put(now, topic.0, position.partition_index, committed, kept);
        }
        Ok(())
    }

    /// Whether this member may read positions; anyone may who does not say that it is a member.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID or STALE_MEMBER_EPOCH.
    pub(in crate::devbroker) fn check_fetch(&self, request: &OffsetFetchRequestGroup) -> Result<(), ErrorCode> {
        match self.by_id.get(&request.group_id).map(|group| &group.kind) {
            Some(Kind::Classic(_)) | None => Ok(()),
            Some(Kind::Consumers(consumers)) => {
                consumers.check_fetch(request.member_id.as_deref(), request.member_epoch)
            }
        }
    }

    /// A stored position.
    pub(in crate::devbroker) fn position(
        &self,
        group: &str,
        topic: (&str, Uuid),
        partition: i32,
    ) -> Option<&Committed> {
        self.by_id.get(group)?.offsets.get(topic.0, topic.1, partition)
    }

    /// All stored positions of a group, by topic.
    pub(in crate::devbroker) fn positions(&self, group: &str) -> Vec<(String, Vec<(i32, Committed)>)> {
        let Some(group) = self.by_id.get(group) else { return Vec::new() };
        let topics = group.offsets.topics().map(|(topic, partitions)| {
            (topic.clone(), partitions.map(|(index, committed)| (index, committed.clone())).collect())
        });
        topics.collect()
    }

    /// Whether positions of this group may be deleted; then, whether those in a topic may be.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND or NON_EMPTY_GROUP.
    pub(in crate::devbroker) fn check_delete_positions(&self, group: &str) -> Result<(), ErrorCode> {
        match &self.by_id.get(group).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?.kind {
            Kind::Classic(classic) if !classic.is_empty() && !classic.is_of_consumers() => {
                Err(ErrorCode::NON_EMPTY_GROUP)
            }
            Kind::Classic(_) | Kind::Consumers(_) => Ok(()),
        }
    }

    /// Deletes a position, if there is one.
    ///
    /// # Errors
    /// GROUP_SUBSCRIBED_TO_TOPIC.
    pub(in crate::devbroker) fn delete_position(
        &mut self,
        id: &str,
        topic: &str,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        let Some(group) = self.by_id.get_mut(id) else { return Ok(()) };
        if group.kind.is_subscribed_to(topic) {
            return Err(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
        }
        noting(&mut self.changes, id, group, |group| group.offsets.remove(topic, partition));
        Ok(())
    }

    /// A topic is gone, and with it the positions in it.
    pub(in crate::devbroker) fn topic_deleted(&mut self, topic: &str) {
        for (id, group) in &mut self.by_id {
            noting(&mut self.changes, id, group, |group| group.offsets.remove_topic(topic));
        }
    }

    pub(in crate::devbroker) fn ids(&self) -> impl Iterator<Item = &String> {
        self.by_id.keys()
    }

    /// All stored positions of all groups.
    pub(super) fn all_positions(&self) -> Vec<Position> {
        let mut all = Vec::new();
        for (group, Group { offsets, .. }) in &self.by_id {
            for (topic, partitions) in offsets.topics() {
                all.extend(partitions.map(|(partition, committed)| Position {
                    group: group.clone(),
                    topic: topic.clone(),
                    partition,
                    committed: committed.clone(),
                }));
            }
        }
        all
    }

    /// Takes positions over that were kept elsewhere; their time begins now. From now on changes are noted.
    pub(in crate::devbroker) fn restore(&mut self, now: Instant, positions: impl IntoIterator<Item = Position>) {
        for Position { group, topic, partition, committed } in positions {
            let group = self.by_id.entry(group).or_insert_with(|| Group::classic(now));
            group.offsets.put(now, &topic, partition, committed, None);
        }
        self.changes = Some(Changes::new());
    }

    /// Has positions kept elsewhere that changed since that was last done: `keep` is given the changes, and on demand
    /// all there are. What cannot be kept now comes again.
    pub(in crate::devbroker) fn keep<E>(
        &mut self,
        keep: impl FnOnce(&Changes, &dyn Fn() -> Vec<Position>) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.changes {
            Some(changes) if !changes.is_empty() => keep(changes, &|| self.all_positions())?,
            _ => return Ok(()),
        }
        self.changes = Some(Changes::new());
        Ok(())
    }
}

/// Does something to a group, and notes the positions that it does not have afterwards.
pub(super) fn noting<T>(
    changes: &mut Option<Changes>,
    id: &str,
    group: &mut Group,
    work: impl FnOnce(&mut Group) -> T,
) -> T {
    let Some(changes) = changes else { return work(group) };
    let keys = |group: &Group| -> BTreeSet<Key> {
        let topics = group.offsets.topics();
        topics
            .flat_map(|(topic, partitions)| partitions.map(move |(index, _)| (id.to_owned(), topic.clone(), index)))
            .collect()
    };
    let before = keys(group);
    let result = work(group);
    changes.extend(before.difference(&keys(group)).map(|key| (key.clone(), None)));
    result
}
