//! Record batches against generated records, the Java client's bytes, another implementation, and broken input.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::batch::{self, Batch, Batches, HEADER_LEN, field};
use super::builder::{BatchBuilder, stamp};
use super::compression::{Compression, Limits};
use super::{Header, Record};
use crate::kafka::error::{Error, ErrorKind};
use crate::kafka::protocol::Bytes;

mod build;
#[cfg(feature = "compression")]
mod codecs;
mod hostile;
mod java;
mod oracle;

/// A record with everything owned, to compare what came back with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owned {
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

pub(super) fn owned(timestamp: i64, key: Option<&str>, value: Option<&str>) -> Owned {
    let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
    Owned { timestamp, key: bytes(key), value: bytes(value), headers: Vec::new() }
}

/// Blobs around the sizes where the encoding changes its way, null among them.
pub(super) fn blob() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::weighted(0.9, prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 60..70), vec(any::<u8>(), 250..300)])
}

pub(super) fn record(timestamp: impl Strategy<Value = i64>) -> impl Strategy<Value = Owned> {
    (timestamp, blob(), blob(), vec((".{0,9}", blob()), 0..4)).prop_map(|(timestamp, key, value, headers)| Owned {
        timestamp,
        key,
        value,
        headers,
    })
}

pub(super) fn append(builder: &mut BatchBuilder, record: &Owned) {
    let headers: Vec<_> = record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
    let expected = builder.size_after(record.key.as_deref(), record.value.as_deref(), &headers, record.timestamp);
    builder.append(record.key.as_deref(), record.value.as_deref(), &headers, record.timestamp).unwrap();
    assert_eq!(builder.len(), expected);
}

pub(super) fn build(records: &[Owned], compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Vec::new());
    for record in records {
        append(&mut builder, record);
    }
    let mut bytes = builder.close(compression).unwrap();
    stamp(&mut bytes, -1, -1, -1);
    bytes
}

pub(super) fn batches(bytes: &[u8]) -> Batches {
    batch::batches(&Bytes::from(bytes))
}

/// The one batch in `bytes`, through all checks.
pub(super) fn only(bytes: &[u8]) -> Result<Batch, Error> {
    let mut all = batches(bytes);
    let batch = all.next().expect("a whole batch")?;
    assert!(all.next().is_none());
    batch.check_crc()?;
    let batch = batch.decompress(Limits::default())?;
    batch.validate()?;
    Ok(batch)
}

pub(super) fn contents(batch: &Batch) -> Vec<(i64, Owned)> {
    let bytes = |blob: Option<&[u8]>| blob.map(<[u8]>::to_vec);
    batch
        .records()
        .map(|record| {
            let headers = record.headers.map(|header| (header.key_lossy().into_owned(), bytes(header.value))).collect();
            let (key, value) = (bytes(record.key), bytes(record.value));
            (record.offset, Owned { timestamp: record.timestamp, key, value, headers })
        })
        .collect()
}

/// Changes bytes of a batch and makes its checksum right again.
pub(super) fn patch<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    batch::put(bytes, at, value);
    let crc = batch::checksum(bytes);
    batch::put(bytes, field::CRC, crc.to_be_bytes());
}

#[track_caller]
pub(super) fn refused<T: std::fmt::Debug>(result: Result<T, Error>, words: &str) -> Error {
    let error = result.unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    error
}
