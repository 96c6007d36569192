//! Size, header, splices and correlation ids.

use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use kafka_protocol::messages::{RequestHeader as TheirHeader, ResponseHeader as TheirResponseHeader};
use kafka_protocol::protocol::Decodable;
use proptest::prelude::*;

use super::*;
use crate::kafka::protocol::frame::*;
use crate::kafka::protocol::{ApiKey, ErrorCode};

fn body(frame: &Frame) -> Bytes {
    let bytes = frame.to_vec();
    assert_eq!(frame.len(), bytes.len());
    let size = check_size(bytes[..4].try_into().unwrap(), usize::MAX).unwrap();
    assert_eq!(size, bytes.len() - 4);
    Bytes::from(bytes[4..].to_vec())
}

use crate::kafka::protocol::Frame;

#[test]
fn a_request_begins_as_kafka_wants_it() {
    for (version, header_version) in [(3, 1), (4, 2)] {
        let request = HeartbeatRequest { group_id: "g".into(), ..Default::default() };
        let frame = body(&encode_request(&request, version, 77, "krs").unwrap());
        let mut theirs = bytes::Bytes::copy_from_slice(&frame);
        let header = TheirHeader::decode(&mut theirs, header_version).unwrap();
        assert_eq!((header.request_api_key, header.request_api_version, header.correlation_id), (12, version, 77));
        assert_eq!(header.client_id.as_deref(), Some("krs"));
        assert_eq!(HeartbeatRequest::from_bytes(&theirs, version), Ok(request.clone()));

        let header = decode_request_header(&frame).unwrap();
        assert_eq!((header.api_key, header.api_version, header.correlation_id), (12, version, 77));
        assert_eq!(header.client_id.as_deref(), Some("krs"));
        assert_eq!(decode_request::<HeartbeatRequest>(&frame, &header).unwrap(), request);
    }
}

/// The bytes of confluent-kafka 2.16, `AdminClient.list_topics()`.
#[test]
fn what_stands_behind_a_request_is_ignored_as_in_kafka() {
    let bytes = [&[0, 3, 0, 13, 0, 0, 0, 3, 0, 7][..], b"rdkafka", &[0, 0, 0, 0, 0, 1, 0, 0]].concat();
    let frame = Bytes::from(bytes);
    let header = decode_request_header(&frame).unwrap();
    let request: MetadataRequest = decode_request(&frame, &header).unwrap();
    let asked = MetadataRequest { topics: None, allow_auto_topic_creation: false, ..Default::default() };
    assert_eq!(request, asked);
}

#[test]
fn a_response_begins_as_kafka_wants_it() {
    for (version, header_version) in [(3, 0), (4, 1)] {
        let response = HeartbeatResponse { error_code: ErrorCode::REBALANCE_IN_PROGRESS, ..Default::default() };
        let frame = body(&encode_response::<HeartbeatRequest>(&response, version, -9).unwrap());
        let mut theirs = bytes::Bytes::copy_from_slice(&frame);
        assert_eq!(TheirResponseHeader::decode(&mut theirs, header_version).unwrap().correlation_id, -9);
        assert_eq!(HeartbeatResponse::from_bytes(&theirs, version), Ok(response.clone()));
        assert_eq!(correlation_id(&frame).unwrap(), -9);
        assert_eq!(decode_response::<HeartbeatRequest>(&frame, version).unwrap(), response);
    }
}

#[test]
fn an_answer_to_api_versions_has_the_fixed_header_and_falls_back_to_version_0() {
    let response = ApiVersionsResponse {
        api_keys: vec![ApiVersion { api_key: 18, min_version: 0, max_version: 3 }],
        ..Default::default()
    };
    let frame = body(&encode_response::<ApiVersionsRequest>(&response, 4, 1).unwrap());
    assert_eq!(frame[4..], response.to_bytes(4).unwrap());
    assert_eq!(decode_response::<ApiVersionsRequest>(&frame, 4).unwrap(), response);

    let refused = ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, ..response };
    let old = body(&encode_response::<ApiVersionsRequest>(&refused, 0, 1).unwrap());
    assert_eq!(decode_response::<ApiVersionsRequest>(&old, 4).unwrap(), refused);
    let new = body(&encode_response::<ApiVersionsRequest>(&refused, 3, 1).unwrap());
    assert_eq!(decode_response::<ApiVersionsRequest>(&new, 3).unwrap(), refused);
}

#[test]
fn bytes_too_many_or_too_few_are_an_error_with_the_api() {
    let frame = body(&encode_response::<HeartbeatRequest>(&HeartbeatResponse::default(), 4, 1).unwrap());
    let told = |bytes: Vec<u8>| decode_response::<HeartbeatRequest>(&bytes.into(), 4).unwrap_err().to_string();
    let longer = told([&frame[..], &[0, 0]].concat());
    assert_eq!(longer, "unreadable response (version 4): 2 bytes too many (Heartbeat)");
    let shorter = told(frame[..frame.len() - 2].to_vec());
    assert_eq!(
        shorter,
        "unreadable response (version 4): HeartbeatResponse.error_code: ends early, 2 bytes needed and 1 left (Heartbeat)"
    );
    assert_eq!(correlation_id(&frame[..3]).unwrap_err().to_string(), "invalid frame length 3");
    assert!(decode_request_header(&frame.slice(0..3)).is_err());
}

#[test]
fn the_header_of_an_unknown_api_is_read_as_far_as_it_is_known() {
    let header = decode_request_header(&Bytes::from(vec![0x7d, 0, 0, 1, 0, 0, 0, 5, 0xff])).unwrap();
    assert_eq!((header.api_key, header.api_version, header.correlation_id), (32000, 1, 5));
    assert_eq!((header.client_id, ApiKey::from_code(32000)), (None, None));
}

#[test]
fn a_wrong_size_is_refused_and_tls_and_http_are_recognised() {
    let refused = |prefix: &[u8; 4]| check_size(*prefix, 104_857_600).unwrap_err().to_string();
    assert_eq!(refused(&[0x7f, 0xff, 0xff, 0xff]), "frame of 2147483647 bytes exceeds limit 104857600");
    assert_eq!(refused(&(-5i32).to_be_bytes()), "invalid frame length -5");
    assert_eq!(refused(&[0; 4]), "invalid frame length 0");
    assert_eq!(refused(&[0, 0, 0, 3]), "invalid frame length 3");
    for tls in [[0x15, 3, 3, 0], [0x16, 3, 1, 2]] {
        assert_eq!(refused(&tls), "the other side speaks TLS; this side is set to PLAINTEXT (security.protocol)");
    }
    assert_eq!(refused(b"HTTP"), "looks like an HTTP server, not Kafka");
    assert_eq!(refused(b"GET "), "looks like an HTTP client, not Kafka");
    assert_eq!(check_size([0, 0, 0, 4], 100).unwrap(), 4);
    assert_eq!(check_size([0, 0, 0, 100], 100).unwrap(), 100);
    assert!(check_size([0, 0, 0, 101], 100).is_err());
}

fn produce(batches: &[Bytes]) -> ProduceRequest {
    let partitions = batches.iter().map(|batch| PartitionProduceData { index: 0, records: Some(batch.clone()) });
    let topic = TopicProduceData { name: "t".into(), partition_data: partitions.collect(), ..Default::default() };
    ProduceRequest { topic_data: vec![topic], ..Default::default() }
}

#[test]
fn record_bytes_are_neither_copied_out_nor_in() {
    let batch = Bytes::from(vec![7; 10_000]);
    let shared = batch.clone().into_shared();
    let held = Arc::strong_count(&shared);
    let frame = encode_request(&produce(std::slice::from_ref(&batch)), 9, 1, "krs").unwrap();
    assert_eq!(Arc::strong_count(&shared), held + 1);
    assert!(frame.clone().into_buffer().len() < 100);

    let bytes = body(&frame);
    let header = decode_request_header(&bytes).unwrap();
    let read: ProduceRequest = decode_request(&bytes, &header).unwrap();
    let records = read.topic_data[0].partition_data[0].records.clone().unwrap();
    assert_eq!(records, batch);
    assert!(Arc::ptr_eq(&records.into_shared(), &bytes.into_shared()));
}

#[test]
fn a_used_buffer_is_used_again() {
    let buffer = Vec::with_capacity(4096);
    let at = buffer.as_ptr();
    let frame = encode_request_into(buffer, &HeartbeatRequest::default(), 4, 1, "krs").unwrap();
    let again = encode_request_into(frame.into_buffer(), &HeartbeatRequest::default(), 4, 2, "krs").unwrap();
    assert_eq!(body(&again), body(&encode_request(&HeartbeatRequest::default(), 4, 2, "krs").unwrap()));
    let buffer = again.into_buffer();
    assert_eq!(buffer.as_ptr(), at);
}

/// Takes a few bytes at a time and is interrupted in between.
struct Trickle {
    taken: Vec<u8>,
    step: usize,
    calls: usize,
}

impl Write for Trickle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let before = self.taken.len();
        self.taken.extend(slices.iter().flat_map(|slice| slice.iter()).take(self.step));
        Ok(self.taken.len() - before)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_frame_survives_partial_and_interrupted_writes(
        sizes in prop::collection::vec(0usize..2000, 0..5), step in 1usize..700,
    ) {
        let batches: Vec<_> = sizes.iter().zip(1u8..).map(|(&size, fill)| Bytes::from(vec![fill; size])).collect();
        let frame = encode_request(&produce(&batches), 9, 1, "krs").unwrap();
        let mut writer = Trickle { taken: Vec::new(), step, calls: 0 };
        frame.write_to(&mut writer).unwrap();
        prop_assert!(writer.taken == frame.to_vec());
        let bytes = body(&frame);
        let header = decode_request_header(&bytes).unwrap();
        prop_assert_eq!(decode_request::<ProduceRequest>(&bytes, &header).unwrap(), produce(&batches));
    }
}

#[test]
fn a_writer_that_takes_nothing_ends_the_write() {
    let frame = encode_request(&produce(&[Bytes::from(vec![1; 5000])]), 9, 1, "krs").unwrap();
    let mut full = Trickle { taken: Vec::new(), step: 0, calls: 0 };
    assert_eq!(frame.write_to(&mut full).unwrap_err().kind(), io::ErrorKind::WriteZero);
}
