//! The APIs, one file each, and the way to them.

use super::call::{Call, Outcome};
use super::faults;
use crate::kafka::protocol::frame::{self, RequestHeader};
use crate::kafka::protocol::messages::*;
use crate::kafka::protocol::{ApiKey, Bytes, Request, VersionRange};
use crate::{Error, Result};

macro_rules! apis {
    ($($file:ident: $request:ident;)+) => {
        $(mod $file;)+

        /// The versions of this API that can be read and answered; none if it is not built.
        pub(super) fn versions(key: ApiKey) -> Option<VersionRange> {
            match key {
                $(key if key == $request::KEY => Some($request::VERSIONS),)+
                _ => None,
            }
        }

        fn dispatch(key: ApiKey, call: &Call<'_>, header: &RequestHeader, frame: &Bytes) -> Result<Outcome> {
            match key {
                $(key if key == $request::KEY => {
                    let request: $request = frame::decode_request(frame, header)?;
                    faults::serve(request, call, header)
                })+
                _ => Err(not_served(header)),
            }
        }
    };
}

apis! {
    alter_configs: AlterConfigsRequest;
    api_versions: ApiVersionsRequest;
    consumer_group_describe: ConsumerGroupDescribeRequest;
    consumer_group_heartbeat: ConsumerGroupHeartbeatRequest;
    create_acls: CreateAclsRequest;
    create_partitions: CreatePartitionsRequest;
    create_topics: CreateTopicsRequest;
    delete_acls: DeleteAclsRequest;
    delete_groups: DeleteGroupsRequest;
    delete_records: DeleteRecordsRequest;
    delete_topics: DeleteTopicsRequest;
    describe_acls: DescribeAclsRequest;
    describe_cluster: DescribeClusterRequest;
    describe_configs: DescribeConfigsRequest;
    describe_groups: DescribeGroupsRequest;
    describe_log_dirs: DescribeLogDirsRequest;
    describe_producers: DescribeProducersRequest;
    describe_topic_partitions: DescribeTopicPartitionsRequest;
    elect_leaders: ElectLeadersRequest;
    fetch: FetchRequest;
    find_coordinator: FindCoordinatorRequest;
    heartbeat: HeartbeatRequest;
    incremental_alter_configs: IncrementalAlterConfigsRequest;
    init_producer_id: InitProducerIdRequest;
    join_group: JoinGroupRequest;
    leave_group: LeaveGroupRequest;
    list_config_resources: ListConfigResourcesRequest;
    list_groups: ListGroupsRequest;
    list_offsets: ListOffsetsRequest;
    list_partition_reassignments: ListPartitionReassignmentsRequest;
    metadata: MetadataRequest;
    offset_commit: OffsetCommitRequest;
    offset_delete: OffsetDeleteRequest;
    offset_fetch: OffsetFetchRequest;
    offset_for_leader_epoch: OffsetForLeaderEpochRequest;
    produce: ProduceRequest;
    sync_group: SyncGroupRequest;
}

/// Answers one request.
///
/// # Errors
/// The request is not readable, or not of an API and version that is offered: the connection is to be closed, as Kafka
/// does it.
pub(super) fn answer(call: &Call<'_>, header: &RequestHeader, frame: &Bytes) -> Result<Outcome> {
    let Some(key) = ApiKey::from_code(header.api_key) else { return Err(not_served(header)) };
    if !call.cluster.offered.serves(key, header.api_version) {
        // Only here a client cannot know better (KIP-511).
        if key == ApiKey::ApiVersions {
            let refusal = api_versions::unsupported(call);
            return frame::encode_response::<ApiVersionsRequest>(&refusal, 0, header.correlation_id)
                .map(Outcome::Answer);
        }
        return Err(not_served(header));
    }
    dispatch(key, call, header, frame)
}

fn not_served(header: &RequestHeader) -> Error {
    let api = match ApiKey::from_code(header.api_key) {
        Some(key) => key.to_string(),
        None => format!("the API with number {}", header.api_key),
    };
    Error::protocol(format!("version {} of {api} is not offered", header.api_version))
}

#[cfg(test)]
mod tests;
