//! OffsetCommit: stores positions of a group.

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::groups::{Found, Topics};
use super::super::versions::Version;
use crate::kafka::protocol::messages::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use crate::kafka::protocol::{ErrorCode, Uuid};

/// From here on a topic is told by its id.
const BY_ID: i16 = 10;

impl Handler for OffsetCommitRequest {
    fn serve(self, call: &Call<'_>) -> Reply<OffsetCommitResponse> {
        if is_for_zookeeper(call) {
            return Reply::Answer(self.refuse(call, ErrorCode::UNSUPPORTED_VERSION));
        }
        let answer = call.cluster.with_groups(|groups, now| {
            let named: Vec<_> = self.topics.iter().map(|topic| (topic, Named::of(call, topic))).collect();
            let there: Vec<(Uuid, i32)> = named.iter().flat_map(|(topic, named)| named.there(topic)).collect();
            // A request about nothing that is there does not get as far as the group.
            let allowed = if there.is_empty() {
                Ok(())
            } else {
                call.check_coordinator(&self.group_id)
                    .and_then(|()| groups.check_commit(now, call.cluster, call.version, &self, there))
            };
            // A topic that is there and of which nothing is said is not answered either.
            let asked = named.into_iter().filter(|(topic, named)| named.found.is_err() || !topic.partitions.is_empty());
            let topics = asked.map(|(topic, named)| {
                answered(topic, |at| {
                    let position = &topic.partitions[at];
                    named.check(position.partition_index)?;
                    allowed?;
                    groups.commit(now, &self, (&named.name, named.found?.id), position)
                })
            });
            let answer = OffsetCommitResponse { topics: topics.collect(), ..Default::default() };
            call.cluster.keep_positions(groups).map_or_else(|code| self.refuse(call, code), |()| answer)
        });
        Reply::Answer(answer)
    }

    fn refuse(&self, _: &Call<'_>, code: ErrorCode) -> OffsetCommitResponse {
        let topics = self.topics.iter().map(|topic| answered(topic, |_| Err(code))).collect();
        OffsetCommitResponse { topics, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        let topics = self.topics.iter().map(|topic| topic.name.as_str()).collect();
        Subject { topics, ..Subject::group(&self.group_id) }
    }
}

/// Version 0 was for positions in ZooKeeper, which brokers of Kafka 3 no longer have.
pub(super) fn is_for_zookeeper(call: &Call<'_>) -> bool {
    call.version == 0 && call.cluster.options.version != Version::V2_4
}

/// A topic of the request, by its name, and what is there of it.
struct Named {
    name: String,
    found: Result<Found, ErrorCode>,
}

impl Named {
    fn of(call: &Call<'_>, topic: &OffsetCommitRequestTopic) -> Self {
        let (name, missing) = match call.version {
            BY_ID.. => (call.cluster.name_of(topic.topic_id), ErrorCode::UNKNOWN_TOPIC_ID),
            _ => (Some(topic.name.clone()), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        };
        let found = name.as_deref().and_then(|name| call.cluster.find(name)).ok_or(missing);
        Self { name: name.unwrap_or_default(), found }
    }

    /// The partitions of the request that are there.
    fn there(&self, topic: &OffsetCommitRequestTopic) -> impl Iterator<Item = (Uuid, i32)> {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        indexes.filter_map(|index| self.check(index).ok().and(self.found.ok()).map(|found| (found.id, index)))
    }

    fn check(&self, partition: i32) -> Result<(), ErrorCode> {
        let there = (0..self.found?.partitions).contains(&partition);
        if there { Ok(()) } else { Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) }
    }
}

/// The answer for a topic, each partition of which went as `outcome` says.
fn answered(
    topic: &OffsetCommitRequestTopic,
    mut outcome: impl FnMut(usize) -> Result<(), ErrorCode>,
) -> OffsetCommitResponseTopic {
    let partitions = topic.partitions.iter().enumerate().map(|(at, partition)| OffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code: outcome(at).err().unwrap_or_default(),
    });
    OffsetCommitResponseTopic {
        partitions: partitions.collect(),
        name: topic.name.clone(),
        topic_id: topic.topic_id,
    }
}
