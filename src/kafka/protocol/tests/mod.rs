//! Tests over all messages: against another implementation, against Kafka itself, and against hostile bytes.

mod frames;
mod hostile;
mod kafka;
mod oracle;
mod sample;

pub(super) use sample::Source;

use proptest::prelude::*;

use super::messages::*;
use super::schema::{Field, Wire};
use super::{Bytes, Decoder, Encoder, Malformed, Request, Response, VersionRange};

const ANY_FIELD: &Field = &Field::new("test", "field", VersionRange::new(0, i16::MAX));

/// A request or a response, and how it is encoded.
trait Body: Wire + Clone + std::fmt::Debug {
    const VERSIONS: VersionRange;
    fn encode_body(&self, out: &mut Encoder, version: i16);
    fn decode_body(input: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed>;

    fn to_bytes(&self, version: i16) -> Result<Vec<u8>, crate::Error> {
        let mut out = Encoder::new(Vec::new());
        self.encode_body(&mut out, version);
        Ok(out.finish()?.to_vec())
    }

    fn from_bytes(bytes: &[u8], version: i16) -> Result<Self, Malformed> {
        let frame = Bytes::from(bytes);
        let mut input = Decoder::new(&frame);
        let message = Self::decode_body(&mut input, version)?;
        input.expect_end().map(|()| message)
    }

    /// A value that this version can carry, made from these bytes.
    fn sample_from(seed: Vec<u8>, version: i16) -> Self {
        Self::sample(&mut Source::new(seed), version, ANY_FIELD)
    }
}

/// Runs a macro with the name, the request type and the response type of every API.
macro_rules! for_each_api {
    ($run:ident) => {
        $run! {
            alter_configs: AlterConfigsRequest, AlterConfigsResponse;
            api_versions: ApiVersionsRequest, ApiVersionsResponse;
            consumer_group_describe: ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
            consumer_group_heartbeat: ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
            create_acls: CreateAclsRequest, CreateAclsResponse;
            create_partitions: CreatePartitionsRequest, CreatePartitionsResponse;
            create_topics: CreateTopicsRequest, CreateTopicsResponse;
            delete_acls: DeleteAclsRequest, DeleteAclsResponse;
            delete_groups: DeleteGroupsRequest, DeleteGroupsResponse;
            delete_records: DeleteRecordsRequest, DeleteRecordsResponse;
            delete_topics: DeleteTopicsRequest, DeleteTopicsResponse;
            describe_acls: DescribeAclsRequest, DescribeAclsResponse;
            describe_cluster: DescribeClusterRequest, DescribeClusterResponse;
            describe_configs: DescribeConfigsRequest, DescribeConfigsResponse;
            describe_groups: DescribeGroupsRequest, DescribeGroupsResponse;
            describe_log_dirs: DescribeLogDirsRequest, DescribeLogDirsResponse;
            describe_producers: DescribeProducersRequest, DescribeProducersResponse;
            describe_topic_partitions: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
            elect_leaders: ElectLeadersRequest, ElectLeadersResponse;
            fetch: FetchRequest, FetchResponse;
            find_coordinator: FindCoordinatorRequest, FindCoordinatorResponse;
            heartbeat: HeartbeatRequest, HeartbeatResponse;
            incremental_alter_configs: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
            init_producer_id: InitProducerIdRequest, InitProducerIdResponse;
            join_group: JoinGroupRequest, JoinGroupResponse;
            leave_group: LeaveGroupRequest, LeaveGroupResponse;
            list_config_resources: ListConfigResourcesRequest, ListConfigResourcesResponse;
            list_groups: ListGroupsRequest, ListGroupsResponse;
            list_offsets: ListOffsetsRequest, ListOffsetsResponse;
            list_partition_reassignments: ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
            metadata: MetadataRequest, MetadataResponse;
            offset_commit: OffsetCommitRequest, OffsetCommitResponse;
            offset_delete: OffsetDeleteRequest, OffsetDeleteResponse;
            offset_fetch: OffsetFetchRequest, OffsetFetchResponse;
            offset_for_leader_epoch: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
            produce: ProduceRequest, ProduceResponse;
            sync_group: SyncGroupRequest, SyncGroupResponse;
        }
    };
}
use for_each_api;

macro_rules! bodies {
    ($($name:ident: $request:ident, $response:ident;)+) => {$(
        impl Body for $request {
            const VERSIONS: VersionRange = <$request as Request>::VERSIONS;
            fn encode_body(&self, out: &mut Encoder, version: i16) {
                Request::encode(self, out, version);
            }
            fn decode_body(input: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
                Request::decode(input, version)
            }
        }
        impl Body for $response {
            const VERSIONS: VersionRange = <$request as Request>::VERSIONS;
            fn encode_body(&self, out: &mut Encoder, version: i16) {
                Response::encode(self, out, version);
            }
            fn decode_body(input: &mut Decoder<'_>, version: i16) -> Result<Self, Malformed> {
                Response::decode(input, version)
            }
        }
    )+};
}
for_each_api!(bodies);

/// Bytes to make a message from; long enough for most to be filled, short enough for some to end in defaults.
fn seeds() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn every_request_stands_in_the_table_of_apis_as_in_its_schema() {
    macro_rules! check {
        ($($name:ident: $request:ident, $response:ident;)+) => {$(
            let key = <$request as Request>::KEY;
            assert_eq!(format!("{key:?}Request"), stringify!($request));
            assert_eq!(key.first_flexible().unwrap_or(i16::MAX), <$request as Request>::FLEXIBLE, "{key}");
            let both = <$request as Request>::CLIENT_VERSIONS.intersection(<$request as Request>::VERSIONS);
            assert_eq!(both, Some(<$request as Request>::CLIENT_VERSIONS), "{key}");
        )+};
    }
    for_each_api!(check);
}

#[test]
fn a_value_that_the_version_cannot_carry_is_an_error_unless_it_may_be_dropped() {
    let refused = |request: &JoinGroupRequest, version| request.to_bytes(version).unwrap_err().to_string();
    let member = JoinGroupRequest { group_instance_id: Some("a".into()), ..Default::default() };
    assert_eq!(
        refused(&member, 4),
        "cannot be sent: JoinGroupRequest.group_instance_id is set, but version 4 cannot carry it"
    );
    assert!(member.to_bytes(5).is_ok());
    assert_eq!(refused(&member, 10), "cannot be sent: version 10 is not among 0..9");
    let reason = JoinGroupRequest { reason: Some("ignorable".into()), ..Default::default() };
    assert_eq!(JoinGroupRequest::from_bytes(&reason.to_bytes(7).unwrap(), 7), Ok(JoinGroupRequest::default()));
    let named = JoinGroupRequest { group_id: "g".repeat(32768), ..Default::default() };
    assert_eq!(
        refused(&named, 5),
        "cannot be sent: JoinGroupRequest.group_id: string of 32768 bytes, the limit is 32767"
    );
}

#[test]
fn null_is_an_error_where_the_version_has_none() {
    let all_topics = MetadataRequest { topics: None, ..Default::default() };
    let refused = all_topics.to_bytes(0).unwrap_err().to_string();
    assert_eq!(refused, "cannot be sent: MetadataRequest.topics is null, which version 0 does not allow");
    assert_eq!(MetadataRequest::from_bytes(&all_topics.to_bytes(1).unwrap(), 1), Ok(all_topics));
    let null = MetadataRequest::from_bytes(&[0xff; 4], 0).unwrap_err();
    assert_eq!(null.to_string(), "MetadataRequest.topics: null is not allowed here");
}

#[test]
fn a_field_that_is_not_there_has_kafkas_default() {
    let response = MetadataResponse::from_bytes(&[0; 8], 0).unwrap();
    assert_eq!(response, MetadataResponse::default());
    assert_eq!((response.controller_id, response.cluster_authorized_operations), (-1, i32::MIN));
    assert_eq!(MetadataRequest::default().topics, Some(Vec::new()));
}
