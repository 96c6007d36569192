//! Requests by hand: connections that say exactly what a test says, and record batches down to the last bit.

use std::io::{Read, Write};
use std::net::TcpStream;

use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{ApiKey, ApiVersions, Bytes, ErrorCode, Request, Uuid, VersionRange, frame};

use crate::support::{LONG, kafka, now, unique, until};

/// A connection to one broker.
pub struct Wire {
    stream: TcpStream,
    offered: ApiVersions,
    next_id: i32,
}

/// A request whose answer is still to come.
pub struct Sent {
    id: i32,
    version: i16,
}

impl Wire {
    /// To any broker.
    pub fn any() -> Self {
        let brokers: Vec<_> = kafka().bootstrap().collect();
        let found = brokers.iter().find_map(|address| TcpStream::connect(address).ok());
        Self::on(found.unwrap_or_else(|| panic!("no broker at {brokers:?}")))
    }

    /// To any broker, without having said anything yet.
    pub fn silent() -> Self {
        let found = kafka().bootstrap().find_map(|address| TcpStream::connect(address).ok()).expect("a broker");
        found.set_read_timeout(Some(LONG)).unwrap();
        Self { stream: found, offered: ApiVersions::default(), next_id: 0 }
    }

    fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut wire = Self { stream, offered: ApiVersions::default(), next_id: 0 };
        let answer = wire.call(0, &ApiVersionsRequest::default());
        wire.offered = ApiVersions::from_response(&answer).unwrap();
        wire
    }

    fn to(host: &str, port: i32) -> Self {
        Self::on(TcpStream::connect((host, u16::try_from(port).unwrap())).unwrap())
    }

    /// To each broker.
    pub fn each() -> Vec<Self> {
        let answer = Self::any().ask(&MetadataRequest { topics: Some(Vec::new()), ..Default::default() });
        answer.brokers.iter().map(|broker| Self::to(&broker.host, broker.port)).collect()
    }

    /// To the broker that may change topics.
    pub fn controller() -> Self {
        let answer = Self::any().ask(&MetadataRequest { topics: Some(Vec::new()), ..Default::default() });
        let found = answer.brokers.iter().find(|broker| broker.node_id == answer.controller_id).expect("a controller");
        Self::to(&found.host, found.port)
    }

    /// To the leader of a partition, once it knows that it leads.
    pub fn leader(topic: &Topic, partition: i32) -> Self {
        until("a leader", || {
            let answer = Self::any().ask(&topic.metadata());
            let leader = answer.topics[0].partitions.iter().find(|found| found.partition_index == partition)?.leader_id;
            let broker = answer.brokers.iter().find(|broker| broker.node_id == leader)?;
            let mut wire = Self::to(&broker.host, broker.port);
            let (code, _) = wire.offset_at(topic, partition, -1);
            code.is_ok().then_some(wire)
        })
    }

    /// To the coordinator of a group, once it is ready.
    pub fn coordinator(group: &str) -> Self {
        until("a coordinator", || {
            let request = FindCoordinatorRequest { key: group.to_owned(), ..Default::default() };
            let answer = Self::any().call(2, &request);
            if !answer.error_code.is_ok() {
                return None;
            }
            let mut wire = Self::to(&answer.host, answer.port);
            let ready = wire.call(5, &OffsetFetchRequest { group_id: group.to_owned(), ..Default::default() });
            ready.error_code.is_ok().then_some(wire)
        })
    }

    /// What the broker offers of this API.
    pub fn offers(&self, key: ApiKey) -> Option<VersionRange> {
        self.offered.range(key)
    }

    /// The level at which the cluster uses a feature; 0 if it does not.
    pub fn feature(&mut self, name: &str) -> i16 {
        let request = ApiVersionsRequest {
            client_software_name: "conformance".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let answer = self.ask(&request);
        let found = answer.finalized_features.iter().find(|feature| feature.name == name);
        found.map_or(0, |feature| feature.max_version_level)
    }

    /// Every version that both sides know.
    pub fn versions<R: Request>(&self) -> impl Iterator<Item = i16> + use<R> {
        let both = self.offers(R::KEY).and_then(|offered| offered.intersection(R::VERSIONS));
        both.unwrap_or_else(|| panic!("no version of {} in common", R::KEY)).iter()
    }

    /// The highest version that both sides know.
    pub fn latest<R: Request>(&self) -> i16 {
        self.versions::<R>().last().unwrap()
    }

    /// Asks in the highest version that both sides know.
    #[track_caller]
    pub fn ask<R: Request>(&mut self, request: &R) -> R::Response {
        self.call(self.latest::<R>(), request)
    }

    /// Asks in this version.
    #[track_caller]
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let sent = self.send(version, request);
        self.receive::<R>(&sent)
    }

    /// Asks without waiting for the answer.
    #[track_caller]
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Sent {
        let id = self.next_id;
        self.next_id += 1;
        let bytes = frame::encode_request(request, version, id, "conformance").unwrap().to_vec();
        self.stream.write_all(&bytes).unwrap();
        Sent { id, version }
    }

    /// The next answer, which must be to this request.
    #[track_caller]
    pub fn receive<R: Request>(&mut self, sent: &Sent) -> R::Response {
        let answer = self.answer().unwrap_or_else(|| panic!("{} {}: closed", R::KEY, sent.version));
        assert_eq!(frame::correlation_id(&answer).unwrap(), sent.id);
        frame::decode_response::<R>(&answer, sent.version).unwrap()
    }

    /// Sends bytes behind their length.
    pub fn send_frame(&mut self, frame: &[u8]) {
        let size = i32::try_from(frame.len()).unwrap();
        self.stream.write_all(&[&size.to_be_bytes()[..], frame].concat()).unwrap();
    }

    /// The next answer without its length; none if the broker has closed the connection.
    #[track_caller]
    pub fn answer(&mut self) -> Option<Bytes> {
        let mut size = [0; 4];
        match self.stream.read_exact(&mut size) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer within {LONG:?}"),
            Err(_) => return None,
        }
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        self.stream.read_exact(&mut frame).unwrap();
        Some(frame.into())
    }

    /// Appends to a partition with `acks=all`.
    #[track_caller]
    pub fn produce(&mut self, topic: &Topic, partition: i32, batch: &[u8]) -> PartitionProduceResponse {
        let version = self.latest::<ProduceRequest>();
        self.produce_in(version, topic, partition, batch)
    }

    /// The same in this version.
    #[track_caller]
    pub fn produce_in(
        &mut self,
        version: i16,
        topic: &Topic,
        partition: i32,
        batch: &[u8],
    ) -> PartitionProduceResponse {
        let mut answer = self.call(version, &topic.produce(-1, partition, batch));
        assert_eq!(answer.responses.len(), 1);
        let mut found = answer.responses.remove(0);
        assert!(if version >= 13 { found.topic_id == topic.id } else { found.name == topic.name }, "{found:?}");
        assert_eq!((found.partition_responses.len(), found.partition_responses[0].index), (1, partition));
        found.partition_responses.remove(0)
    }

    /// The offset for a time, or what takes its place.
    #[track_caller]
    pub fn offset_at(&mut self, topic: &Topic, partition: i32, timestamp: i64) -> (ErrorCode, i64) {
        let answer = self.ask(&topic.list_offsets(partition, timestamp));
        let found = &answer.topics[0].partitions[0];
        (found.error_code, found.offset)
    }

    /// A producer id with its epoch. A broker that has just started may need a moment for its first one.
    #[track_caller]
    pub fn producer_id(&mut self) -> (i64, i16) {
        until("a producer id", || {
            let answer = self.ask(&InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..Default::default() });
            if answer.error_code == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS {
                return None;
            }
            assert_eq!(answer.error_code, ErrorCode::NONE);
            Some((answer.producer_id, answer.producer_epoch))
        })
    }
}

/// A topic by its name and its id, so that it can be named in every version.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
}

impl Topic {
    /// A new one.
    pub fn create(name: &str, partitions: i32) -> Self {
        Self::create_with(name, partitions, &[])
    }

    /// A new one with configurations.
    pub fn create_with(name: &str, partitions: i32, configs: &[(&str, &str)]) -> Self {
        let name = unique(name);
        kafka().create_with(&name, partitions, configs);
        Self::find(&name)
    }

    /// One that was just made, once every broker knows it.
    pub fn find(name: &str) -> Self {
        let mut topic = Self { name: name.to_owned(), id: Uuid::ZERO };
        for mut broker in Wire::each() {
            topic.id = until("the topic", || topic.id_at(&mut broker));
        }
        topic
    }

    /// Whether any broker knows a topic of its name.
    pub fn exists(name: &str) -> bool {
        let topic = Self { name: name.to_owned(), id: Uuid::ZERO };
        Wire::each().iter_mut().any(|broker| topic.id_at(broker).is_some())
    }

    fn id_at(&self, broker: &mut Wire) -> Option<Uuid> {
        let found = broker.ask(&self.metadata()).topics.remove(0);
        found.error_code.is_ok().then_some(found.topic_id)
    }

    /// Gives it more partitions, so many in all.
    pub fn grow(&self, count: i32) {
        let grown = CreatePartitionsTopic { name: self.name.clone(), count, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![grown], timeout_ms: 30_000, ..Default::default() };
        assert_eq!(Wire::controller().ask(&request).results[0].error_code, ErrorCode::NONE);
    }

    /// Deletes it.
    pub fn delete(&self) {
        let request =
            DeleteTopicsRequest { topic_names: vec![self.name.clone()], timeout_ms: 30_000, ..Default::default() };
        assert_eq!(Wire::controller().call(4, &request).responses[0].error_code, ErrorCode::NONE);
    }

    /// One that does not exist.
    pub fn missing(name: &str) -> Self {
        Self { name: unique(name), id: Uuid([7; 16]) }
    }

    pub fn metadata(&self) -> MetadataRequest {
        let topic = MetadataRequestTopic { name: Some(self.name.clone()), ..Default::default() };
        MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: false, ..Default::default() }
    }

    pub fn produce(&self, acks: i16, partition: i32, batch: &[u8]) -> ProduceRequest {
        ProduceRequest {
            acks,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: self.name.clone(),
                topic_id: self.id,
                partition_data: vec![PartitionProduceData { index: partition, records: Some(batch.into()) }],
            }],
            ..Default::default()
        }
    }

    /// Asks for what is there, without a session and without waiting.
    pub fn fetch(&self, partition: i32, offset: i64) -> FetchRequest {
        FetchRequest {
            min_bytes: 1,
            topics: vec![FetchTopic {
                topic: self.name.clone(),
                topic_id: self.id,
                partitions: vec![FetchPartition {
                    partition,
                    fetch_offset: offset,
                    partition_max_bytes: 1_000_000,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        }
    }

    pub fn list_offsets(&self, partition: i32, timestamp: i64) -> ListOffsetsRequest {
        ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: self.name.clone(),
                partitions: vec![ListOffsetsPartition { partition_index: partition, timestamp, ..Default::default() }],
            }],
            timeout_ms: 30_000,
            ..Default::default()
        }
    }
}

/// A record batch (message format 2).
#[derive(Clone, Debug)]
pub struct Batch {
    pub producer: (i64, i16),
    pub sequence: i32,
    pub attributes: i16,
    pub records: Vec<Plain>,
}

/// A record without headers.
#[derive(Clone, Debug)]
pub struct Plain {
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// Where in a batch its checksum stands.
pub const CRC: usize = 17;
/// Where in a batch its attributes stand; the checksum is of everything from here on.
pub const ATTRIBUTES: usize = 21;

impl Batch {
    /// So many small records of no idempotent producer, made a millisecond after each other.
    pub fn of(count: usize) -> Self {
        let now = now();
        let record = |number: usize| Plain {
            timestamp: now + number as i64,
            key: None,
            value: Some(number.to_string().into_bytes()),
        };
        Self { producer: (-1, -1), sequence: -1, attributes: 0, records: (0..count).map(record).collect() }
    }

    /// The same from an idempotent producer.
    pub fn by(self, producer: (i64, i16), sequence: i32) -> Self {
        Self { producer, sequence, ..self }
    }

    /// One record, of such a size that the batch has exactly this one.
    pub fn sized(size: usize) -> Self {
        let mut batch = Self::of(1);
        let empty = |batch: &mut Self, length| batch.records[0].value = Some(vec![b'x'; length]);
        let mut length = size - 80;
        loop {
            empty(&mut batch, length);
            match size.cmp(&batch.encode().len()) {
                std::cmp::Ordering::Equal => return batch,
                std::cmp::Ordering::Greater => length += 1,
                std::cmp::Ordering::Less => panic!("no batch has {size} bytes"),
            }
        }
    }

    /// The bytes, with a correct checksum.
    pub fn encode(&self) -> Vec<u8> {
        let base = self.records.first().map_or(-1, |record| record.timestamp);
        let latest = self.records.iter().map(|record| record.timestamp).max().unwrap_or(-1);
        let count = i32::try_from(self.records.len()).unwrap();
        let mut behind = Vec::new();
        behind.extend(self.attributes.to_be_bytes());
        behind.extend((count - 1).to_be_bytes());
        behind.extend(base.to_be_bytes());
        behind.extend(latest.to_be_bytes());
        behind.extend(self.producer.0.to_be_bytes());
        behind.extend(self.producer.1.to_be_bytes());
        behind.extend(self.sequence.to_be_bytes());
        behind.extend(count.to_be_bytes());
        for (record, index) in self.records.iter().zip(0..) {
            let mut body = vec![0];
            put_varint(&mut body, record.timestamp - base);
            put_varint(&mut body, index);
            for blob in [&record.key, &record.value] {
                put_varint(&mut body, blob.as_ref().map_or(-1, |blob| blob.len() as i64));
                body.extend(blob.iter().flatten());
            }
            put_varint(&mut body, 0);
            put_varint(&mut behind, body.len() as i64);
            behind.extend(body);
        }
        let mut bytes = Vec::new();
        bytes.extend(0i64.to_be_bytes());
        bytes.extend(i32::try_from(behind.len() + ATTRIBUTES - 12).unwrap().to_be_bytes());
        bytes.extend((-1i32).to_be_bytes());
        bytes.push(2);
        bytes.extend([0; 4]);
        bytes.extend(behind);
        sign(&mut bytes);
        bytes
    }
}

/// Sets the checksum of a batch.
pub fn sign(batch: &mut [u8]) {
    let crc = crc_fast::crc32_iscsi(&batch[ATTRIBUTES..]);
    batch[CRC..ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
