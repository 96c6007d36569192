//! OffsetDelete: removes positions of a group, in topics that its members do not use.

use super::super::call::{Call, Handler, Reply, Subject};
use super::super::groups::Topics;
use crate::kafka::protocol::ErrorCode;
use crate::kafka::protocol::messages::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

impl Handler for OffsetDeleteRequest {
    fn serve(self, call: &Call<'_>) -> Reply<OffsetDeleteResponse> {
        if let Err(code) = call.check_group(&self.group_id) {
            return Reply::Answer(self.refuse(call, code));
        }
        Reply::Answer(call.cluster.with_groups(|groups, _| {
            if let Err(code) = groups.check_delete_positions(&self.group_id) {
                return self.refuse(call, code);
            }
            let found = self.topics.iter().map(|topic| (topic, call.cluster.find(&topic.name)));
            // A topic that is there and of which nothing is said is not answered either.
            let asked = found.filter(|(topic, found)| found.is_none() || !topic.partitions.is_empty());
            let topics = asked.map(|(topic, found)| {
                let there = found.map_or(0, |found| found.partitions);
                let partitions = topic.partitions.iter().map(|partition| {
                    let partition_index = partition.partition_index;
                    let outcome = if (0..there).contains(&partition_index) {
                        groups.delete_position(&self.group_id, &topic.name, partition_index)
                    } else {
                        Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
                    };
                    OffsetDeleteResponsePartition { partition_index, error_code: outcome.err().unwrap_or_default() }
                });
                OffsetDeleteResponseTopic { name: topic.name.clone(), partitions: partitions.collect() }
            });
            OffsetDeleteResponse { topics: topics.collect(), ..Default::default() }
        }))
    }

    fn refuse(&self, _: &Call<'_>, error_code: ErrorCode) -> OffsetDeleteResponse {
        OffsetDeleteResponse { error_code, ..Default::default() }
    }

    fn subject(&self) -> Subject<'_> {
        let topics = self.topics.iter().map(|topic| topic.name.as_str()).collect();
        Subject { topics, ..Subject::group(&self.group_id) }
    }
}
