//! Against the `kafka-protocol` crate, in both directions.

use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{self as theirs, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions};

use super::*;

/// Timestamps whose differences `kafka-protocol` can hold.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![0i64..100, 1_700_000_000_000i64..1_800_000_000_000]
}

/// It keeps headers in a map, so their keys have to differ.
fn with_distinct_headers(mut record: Owned) -> Owned {
    for (index, header) in record.headers.iter_mut().enumerate() {
        header.0.push_str(&index.to_string());
    }
    record
}

fn to_theirs(offset: i64, record: &Owned) -> theirs::Record {
    let bytes = |blob: &Option<Vec<u8>>| blob.clone().map(bytes::Bytes::from);
    theirs::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: theirs::TimestampType::Creation,
        offset,
        sequence: offset as i32 - 1,
        timestamp: record.timestamp,
        key: bytes(&record.key),
        value: bytes(&record.value),
        headers: record.headers.iter().map(|(key, value)| (StrBytes::from(key.clone()), bytes(value))).collect(),
    }
}

proptest! {
    #[test]
    fn it_reads_what_we_write(records in vec(record(time()).prop_map(with_distinct_headers), 1..20)) {
        let ours = build(&records, Compression::None);
        let read = RecordBatchDecoder::decode(&mut bytes::Bytes::from(ours)).unwrap();
        let expected: Vec<_> = (0..).zip(&records).map(|(offset, record)| to_theirs(offset, record)).collect();
        prop_assert_eq!(read.records, expected);
    }

    #[test]
    fn we_read_what_it_writes(records in vec(record(time()).prop_map(with_distinct_headers), 1..20)) {
        let given: Vec<_> = (0..).zip(&records).map(|(offset, record)| to_theirs(offset, record)).collect();
        let mut written = bytes::BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: theirs::Compression::None };
        RecordBatchEncoder::encode(&mut written, &given, &options).unwrap();
        let expected: Vec<_> = (0..).zip(records).collect();
        prop_assert_eq!(contents(&only(&written).unwrap()), expected);
    }
}
