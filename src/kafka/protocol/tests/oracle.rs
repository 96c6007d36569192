//! Each message in each version that `kafka-protocol` knows: our bytes are read by it, and the bytes that it makes of
//! what it read are ours and are read by us as the value we started from.

use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes};
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;
use crate::kafka::protocol::{ErrorCode, Uuid};

const CASES: u32 = 48;

fn agrees<Ours: Body, Theirs: Message + Decodable + Encodable>(seed: &[u8]) -> Result<(), TestCaseError> {
    for version in
        Ours::VERSIONS.iter().filter(|version| (Theirs::VERSIONS.min..=Theirs::VERSIONS.max).contains(version))
    {
        let message = Ours::sample_from(seed.to_vec(), version);
        let bytes = message.to_bytes(version).unwrap();
        let mut unread = bytes::Bytes::from(bytes.clone());
        let read = Theirs::decode(&mut unread, version)
            .map_err(|error| TestCaseError::fail(format!("version {version} of {message:?}: {error}")))?;
        prop_assert!(unread.is_empty(), "version {} of {:?}: {} bytes unread", version, message, unread.len());
        let mut again = bytes::BytesMut::new();
        read.encode(&mut again, version).unwrap();
        prop_assert_eq!(hex(&again), hex(&bytes), "version {} of {:?}", version, message);
        prop_assert_eq!(Ours::from_bytes(&again, version), Ok(message));
    }
    Ok(())
}

macro_rules! oracle {
    ($($name:ident: $request:ident, $response:ident;)+) => {
        proptest! {
            #![proptest_config(Config::with_cases(CASES))]
            $(
                #[test]
                fn $name(seed in seeds()) {
                    agrees::<$request, theirs::$request>(&seed)?;
                    agrees::<$response, theirs::$response>(&seed)?;
                }
            )+
        }
    };
}
for_each_api!(oracle);

/// The consumer protocol's messages carry their version themselves.
fn consumer_protocol_agrees<Ours: Wire, Theirs: Decodable + Encodable>(
    seed: &[u8],
    to_bytes: impl Fn(&Ours, i16) -> Bytes,
    from_bytes: impl Fn(&Bytes) -> Ours,
) -> Result<(), TestCaseError> {
    for version in 0..=3 {
        let message = Ours::sample(&mut Source::new(seed.to_vec()), version, ANY_FIELD);
        let bytes = to_bytes(&message, version);
        prop_assert_eq!(&bytes[..2], version.to_be_bytes());
        let mut unread = bytes::Bytes::copy_from_slice(&bytes[2..]);
        let read = Theirs::decode(&mut unread, version).unwrap();
        prop_assert!(unread.is_empty());
        let mut again = bytes::BytesMut::from(&bytes[..2]);
        read.encode(&mut again, version).unwrap();
        prop_assert_eq!(hex(&again), hex(&bytes));
        prop_assert!(from_bytes(&again[..].into()) == message);
    }
    Ok(())
}

proptest! {
    #![proptest_config(Config::with_cases(CASES))]
    #[test]
    fn consumer_protocol(seed in seeds()) {
        consumer_protocol_agrees::<_, theirs::ConsumerProtocolSubscription>(
            &seed,
            |ours: &ConsumerProtocolSubscription, version| ours.to_bytes(version).unwrap(),
            |bytes| ConsumerProtocolSubscription::from_bytes(bytes).unwrap(),
        )?;
        consumer_protocol_agrees::<_, theirs::ConsumerProtocolAssignment>(
            &seed,
            |ours: &ConsumerProtocolAssignment, version| ours.to_bytes(version).unwrap(),
            |bytes| ConsumerProtocolAssignment::from_bytes(bytes).unwrap(),
        )?;
    }
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

/// Round trips would not notice two fields of one type that changed places; names would.
#[test]
fn fields_keep_their_names() {
    let partition = theirs::produce_request::PartitionProduceData::default()
        .with_index(7)
        .with_records(Some(bytes::Bytes::from_static(b"batch")));
    let topic = theirs::produce_request::TopicProduceData::default()
        .with_name(theirs::TopicName(text("t")))
        .with_partition_data(vec![partition]);
    let request = theirs::ProduceRequest::default().with_acks(-1).with_timeout_ms(1500).with_topic_data(vec![topic]);
    let mut bytes = bytes::BytesMut::new();
    request.encode(&mut bytes, 9).unwrap();
    let partition = PartitionProduceData { index: 7, records: Some(Bytes::from(b"batch".to_vec())) };
    let topic = TopicProduceData { name: "t".into(), topic_id: Uuid::ZERO, partition_data: vec![partition] };
    let ours = ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 1500, topic_data: vec![topic] };
    assert_eq!(ProduceRequest::from_bytes(&bytes, 9), Ok(ours));

    let partition = theirs::fetch_response::PartitionData::default()
        .with_partition_index(1)
        .with_error_code(3)
        .with_high_watermark(10)
        .with_last_stable_offset(9)
        .with_log_start_offset(2)
        .with_preferred_read_replica(5.into())
        .with_current_leader(
            theirs::fetch_response::LeaderIdAndEpoch::default().with_leader_id(4.into()).with_leader_epoch(6),
        );
    let topic = theirs::fetch_response::FetchableTopicResponse::default()
        .with_topic(theirs::TopicName(text("t")))
        .with_partitions(vec![partition]);
    let response = theirs::FetchResponse::default().with_session_id(8).with_responses(vec![topic]);
    let mut bytes = bytes::BytesMut::new();
    response.encode(&mut bytes, 12).unwrap();
    let read = FetchResponse::from_bytes(&bytes, 12).unwrap();
    let partition = &read.responses[0].partitions[0];
    assert_eq!((read.session_id, read.responses[0].topic.as_str(), partition.partition_index), (8, "t", 1));
    assert_eq!(partition.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!((partition.high_watermark, partition.last_stable_offset, partition.log_start_offset), (10, 9, 2));
    assert_eq!(partition.preferred_read_replica, 5);
    assert_eq!(partition.current_leader, LeaderIdAndEpoch { leader_id: 4, leader_epoch: 6 });
}
