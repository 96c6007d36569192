//! The messages, one file per API with its request and its response, as tables (see `schema.rs`).
//!
//! Structs and fields have Kafka's names. Where a client reads or writes different fields in different versions, the
//! rows say which.

macro_rules! apis {
    ($($file:ident: $request:ident;)+) => {
        $(mod $file;)+
        $(pub use $file::*;)+

        /// Runs a macro for every request type: `for_each_request!(some_macro)` is `some_macro! { ARequest, … }`.
        macro_rules! for_each_request {
            ($run:ident) => {
                $run! { $($request),+ }
            };
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

mod consumer_protocol;
mod leader_hint;
#[cfg(feature = "devbroker")]
mod offset_commit_record;

pub use consumer_protocol::*;
pub(super) use for_each_request;
pub use leader_hint::*;
#[cfg(feature = "devbroker")]
pub use offset_commit_record::*;
