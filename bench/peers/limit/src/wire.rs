//! Frames, and the connection they go over.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_protocol::messages::{BrokerId, ListOffsetsResponse, MetadataResponse, RequestHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};
use kafka_protocol::records::{self, Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use peer_common::{Arguments, PATIENCE, Result};

// The last versions before tagged fields: where things are in an answer is plain arithmetic.
pub(crate) const PRODUCE_VERSION: i16 = 8;
pub(crate) const FETCH_VERSION: i16 = 11;
const LIST_OFFSETS_VERSION: i16 = 5;
const METADATA_VERSION: i16 = 8;

/// Bytes of a batch before its records.
const BATCH_HEAD: usize = 61;

#[derive(Clone, Copy)]
pub(crate) enum Place {
    Beginning,
    End,
}

pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects to the first of the brokers.
    pub fn dial(brokers: &str) -> Result<Self> {
        let stream = TcpStream::connect(brokers.split(',').next().unwrap_or(brokers))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(3 * PATIENCE))?;
        Ok(Self { stream, answer: Vec::new() })
    }

    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self { stream: self.stream.try_clone()?, answer: Vec::new() })
    }

    pub fn write(&mut self, frame: &[u8]) -> Result {
        Ok(self.stream.write_all(frame)?)
    }

    /// The next answer, from its correlation id on.
    pub fn read(&mut self) -> Result<&[u8]> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = usize::try_from(i32::from_be_bytes(size))?;
        if self.answer.len() < size {
            self.answer.resize(size, 0);
        }
        self.stream.read_exact(&mut self.answer[..size])?;
        Ok(&self.answer[..size])
    }

    /// All partitions of a topic, which are all on this broker.
    pub fn partitions(&mut self, topic: &str) -> Result<Vec<i32>> {
        let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        let metadata: MetadataResponse = self.ask(&request, METADATA_VERSION)?;
        if metadata.brokers.len() != 1 {
            return Err(format!("cannot: it knows one broker, and there are {}", metadata.brokers.len()).into());
        }
        let topic = metadata.topics.first().filter(|topic| topic.error_code == 0).ok_or("there is no such topic")?;
        let mut partitions: Vec<_> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    pub fn offsets(&mut self, topic: &str, partitions: &[i32], place: Place) -> Result<Vec<i64>> {
        let timestamp = match place {
            Place::Beginning => -2,
            Place::End => -1,
        };
        let asked = partitions
            .iter()
            .map(|&index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(timestamp));
        let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(asked.collect());
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let response: ListOffsetsResponse = self.ask(&request, LIST_OFFSETS_VERSION)?;
        let found = &response.topics.first().ok_or("no offsets")?.partitions;
        let offset_of = |index: &i32| {
            let found = found.iter().find(|found| found.partition_index == *index && found.error_code == 0);
            found.map(|found| found.offset).ok_or_else(|| "no offset of a partition".into())
        };
        partitions.iter().map(offset_of).collect()
    }

    fn ask<Q: Request, A: Decodable>(&mut self, request: &Q, version: i16) -> Result<A> {
        self.write(&frame(request, version)?)?;
        let mut answer = self.read()?;
        Ok(A::decode(&mut Bytes::copy_from_slice(body(&mut answer)?), version)?)
    }
}

/// What follows the correlation id.
pub(crate) fn body<'a>(answer: &mut &'a [u8]) -> Result<&'a [u8]> {
    answer.split_off(4..).ok_or_else(|| "an answer without correlation id".into())
}

/// One batch for one partition. Its sequence is -1: it is not idempotent.
pub(crate) fn produce<'a>(
    arguments: &Arguments,
    partition: i32,
    values: impl Iterator<Item = &'a [u8]>,
) -> Result<Bytes> {
    let timestamp = i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?;
    let records: Vec<_> = values
        .zip(0..)
        .map(|(value, offset)| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: records::NO_PARTITION_LEADER_EPOCH,
            producer_id: records::NO_PRODUCER_ID,
            producer_epoch: records::NO_PRODUCER_EPOCH,
            timestamp_type: TimestampType::Creation,
            offset,
            // The encoder begins a new batch where sequence and offset do not go on side by side.
            sequence: records::NO_SEQUENCE.wrapping_add(offset as i32),
            timestamp,
            key: None,
            value: Some(Bytes::copy_from_slice(value)),
            headers: Default::default(),
        })
        .collect();
    let compression = match arguments.compression {
        peer_common::Compression::None => Compression::None,
        peer_common::Compression::Lz4 => Compression::Lz4,
    };
    let mut batch = BytesMut::new();
    RecordBatchEncoder::encode(&mut batch, &records, &RecordEncodeOptions { version: 2, compression })?;
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch.freeze()));
    let topic = TopicProduceData::default().with_name(name(&arguments.topic)).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    frame(&request, PRODUCE_VERSION)
}

pub(crate) fn fetch(topic: &str, positions: &[(i32, i64)], most: i32, wait: i32) -> Result<Bytes> {
    let partitions = positions.iter().map(|&(index, offset)| {
        let partition = FetchPartition::default().with_partition(index).with_fetch_offset(offset);
        partition.with_partition_max_bytes(most)
    });
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(partitions.collect());
    let request = FetchRequest::default().with_max_wait_ms(wait).with_min_bytes(1).with_max_bytes(most);
    // Epoch -1: no fetch session.
    let request = request.with_session_epoch(-1).with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    frame(&request, FETCH_VERSION)
}

/// How many records are in the answer to a fetch of one partition, and the offset after them.
pub(crate) fn count_records(answer: &[u8], topic: &str) -> Result<(u64, i64)> {
    // Correlation id, throttle time, error, session, count of topics, name, count of partitions, partition.
    let error = 4 + 4 + 2 + 4 + 4 + (2 + topic.len()) + 4 + 4;
    // High watermark, last stable offset, start of the log, no aborted transactions, preferred replica, size.
    let mut at = error + 2 + 8 + 8 + 8 + 4 + 4 + 4;
    let head = answer.get(..at).ok_or("a fetch's answer is too short")?;
    match i16_at(head, error) {
        0 => {}
        code => return Err(format!("a fetch's answer: error {code}").into()),
    }
    let (mut records, mut next) = (0, 0);
    while let Some(batch) = answer.get(at..).filter(|rest| is_whole_batch(rest)) {
        records += u64::try_from(i32_at(batch, 57))?;
        next = i64::from_be_bytes(batch[..8].try_into()?) + i64::from(i32_at(batch, 23)) + 1;
        at += batch_size(batch);
    }
    Ok((records, next))
}

/// The last batch of a fetch may be cut off, even in its head.
pub(crate) fn is_whole_batch(bytes: &[u8]) -> bool {
    bytes.len() >= BATCH_HEAD && bytes.len() >= batch_size(bytes)
}

fn batch_size(batch: &[u8]) -> usize {
    12 + usize::try_from(i32_at(batch, 8)).unwrap_or(usize::MAX - 12)
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A request as it goes over the wire. Answers come in the order of the requests, so all have the same correlation id.
fn frame<Q: Request>(request: &Q, version: i16) -> Result<Bytes> {
    let header = RequestHeader::default()
        .with_request_api_key(Q::KEY)
        .with_request_api_version(version)
        .with_client_id(Some(StrBytes::from_static_str("peer-limit")));
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header.encode(&mut frame, Q::header_version(version))?;
    request.encode(&mut frame, version)?;
    let size = i32::try_from(frame.len() - 4)?;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    Ok(frame.freeze())
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}
