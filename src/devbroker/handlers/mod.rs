//! The APIs, one file each, and the way to them.

use super::call::{Call, Handler, Reply};
use crate::kafka::protocol::frame::{self, RequestHeader};
use crate::kafka::protocol::messages::*;
use crate::kafka::protocol::{ApiKey, Bytes, Frame, Request, VersionRange};
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

        fn dispatch(key: ApiKey, call: &Call<'_>, header: &RequestHeader, frame: &Bytes) -> Result<Reply<Frame>> {
            match key {
                $(key if key == $request::KEY => serve::<$request>(call, header, frame),)+
                _ => Err(not_served(header)),
            }
        }
    };
}

apis! {
    alter_configs: AlterConfigsRequest;
    api_versions: ApiVersionsRequest;
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
pub(super) fn answer(call: &Call<'_>, header: &RequestHeader, frame: &Bytes) -> Result<Reply<Frame>> {
    let Some(key) = ApiKey::from_code(header.api_key) else { return Err(not_served(header)) };
    if !call.cluster.offered.serves(key, header.api_version) {
        // Only here a client cannot know better (KIP-511).
        if key == ApiKey::ApiVersions {
            let refusal = api_versions::unsupported(call);
            return frame::encode_response::<ApiVersionsRequest>(&refusal, 0, header.correlation_id).map(Reply::Answer);
        }
        return Err(not_served(header));
    }
    dispatch(key, call, header, frame)
}

fn serve<R: Handler>(call: &Call<'_>, header: &RequestHeader, frame: &Bytes) -> Result<Reply<Frame>> {
    let request: R = frame::decode_request(frame, header)?;
    match request.serve(call) {
        Reply::Answer(response) => {
            frame::encode_response::<R>(&response, header.api_version, header.correlation_id).map(Reply::Answer)
        }
        Reply::Silence => Ok(Reply::Silence),
        Reply::HangUp => Ok(Reply::HangUp),
    }
}

fn not_served(header: &RequestHeader) -> Error {
    let api = match ApiKey::from_code(header.api_key) {
        Some(key) => key.to_string(),
        None => format!("the API with number {}", header.api_key),
    };
    Error::protocol(format!("version {} of {api} is not offered", header.api_version))
}
