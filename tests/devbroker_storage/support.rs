//! What the tests share: directories, brokers, and records in and out.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use krs::devbroker::{DevBroker, Options};
use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{ErrorCode, Request, Uuid, frame};
use krs::{Admin, Config, Consumer, Delivery, NewTopic, Producer, Record, TopicPartition};

/// No wait of a test that works comes near this.
pub const LONG: Duration = Duration::from_secs(60);

/// A directory of one test, deleted with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("krs-data-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Where the broker keeps its data.
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// The first segment of a partition.
    pub fn segment(&self, partition: &str) -> PathBuf {
        self.data().join(partition).join("00000000000000000000.log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn options(data: &Path) -> Options {
    let mut options = Options::default();
    options.data_dir = Some(data.to_owned());
    options
}

pub fn start(folder: &Folder) -> DevBroker {
    DevBroker::start(options(&folder.data())).unwrap()
}

pub fn config(bootstrap: &str, settings: &[(&str, &str)]) -> Config {
    let config = Config::new().set("bootstrap.servers", bootstrap).unwrap();
    settings.iter().fold(config, |config, (name, value)| config.set(name, *value).unwrap())
}

pub fn create(bootstrap: &str, topic: &str, partitions: i32) {
    create_on(bootstrap, topic, partitions, 1);
}

pub fn create_on(bootstrap: &str, topic: &str, partitions: i32, replication_factor: i16) {
    let admin = Admin::connect(&config(bootstrap, &[])).unwrap();
    admin.create_topic(&NewTopic { name: topic, partitions, replication_factor, configs: &[] }).unwrap();
}

/// Writes these values to a partition, each in a batch of its own.
pub fn write(bootstrap: &str, topic: &str, partition: i32, values: impl IntoIterator<Item = usize>) {
    let producer = Producer::connect(&config(bootstrap, &[])).unwrap();
    for value in values {
        send(&producer, topic, partition, &value.to_string()).wait().unwrap();
    }
    producer.close(LONG).unwrap();
}

pub fn send(producer: &Producer, topic: &str, partition: i32, value: &str) -> Delivery {
    producer.send(Record::to(topic).partition(partition).value(value)).unwrap()
}

/// Offsets and values in a partition, from its start to its end.
pub fn read(bootstrap: &str, topic: &str, partition: i32) -> Vec<(i64, usize)> {
    let end = offset(bootstrap, topic, partition, -1);
    let mut consumer = Consumer::connect(&config(bootstrap, &[("auto.offset.reset", "earliest")])).unwrap();
    let place = TopicPartition::new(topic, partition);
    consumer.assign(std::slice::from_ref(&place)).unwrap();
    let (mut found, until) = (Vec::new(), Instant::now() + LONG);
    while end > 0 && consumer.position(&place).unwrap_or(0) < end {
        assert!(Instant::now() < until, "{} of {end} records of {topic}-{partition}", found.len());
        for record in &consumer.poll(Duration::from_millis(200)).unwrap() {
            found.push((record.offset(), number(record.value())));
        }
    }
    found
}

pub fn number(value: Option<&[u8]>) -> usize {
    std::str::from_utf8(value.unwrap()).unwrap().parse().unwrap()
}

pub fn numbered(range: std::ops::Range<usize>) -> Vec<(i64, usize)> {
    range.map(|number| (number as i64, number)).collect()
}

/// Asks the first broker by hand.
pub fn ask<R: Request>(bootstrap: &str, version: i16, request: &R) -> R::Response {
    let mut stream = TcpStream::connect(bootstrap.split(',').next().unwrap()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(&frame::encode_request(request, version, 1, "storage").unwrap().to_vec()).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; i32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).unwrap();
    frame::decode_response::<R>(&answer.into(), version).unwrap()
}

pub fn metadata(bootstrap: &str) -> MetadataResponse {
    ask(bootstrap, 12, &MetadataRequest { topics: None, ..Default::default() })
}

pub fn topic_id(bootstrap: &str, topic: &str) -> Uuid {
    let found = metadata(bootstrap).topics.into_iter().find(|found| found.name.as_deref() == Some(topic));
    found.unwrap().topic_id
}

pub fn offset(bootstrap: &str, topic: &str, partition_index: i32, timestamp: i64) -> i64 {
    let partitions = vec![ListOffsetsPartition { partition_index, timestamp, ..Default::default() }];
    let topics = vec![ListOffsetsTopic { name: topic.to_owned(), partitions }];
    let answer = ask(bootstrap, 7, &ListOffsetsRequest { replica_id: -1, topics, ..Default::default() });
    let found = &answer.topics[0].partitions[0];
    assert_eq!(found.error_code, ErrorCode::NONE);
    found.offset
}

pub fn produce(bootstrap: &str, topic: &str, index: i32, batch: &[u8]) -> (ErrorCode, i64) {
    let partition_data = vec![PartitionProduceData { index, records: Some(batch.into()) }];
    let topic_data = vec![TopicProduceData { name: topic.to_owned(), partition_data, ..Default::default() }];
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data, ..Default::default() };
    let answer = ask(bootstrap, 9, &request);
    let answer = &answer.responses[0].partition_responses[0];
    (answer.error_code, answer.base_offset)
}

pub fn producer_id(bootstrap: &str) -> i64 {
    let answer = ask(bootstrap, 4, &InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..Default::default() });
    assert_eq!(answer.error_code, ErrorCode::NONE);
    answer.producer_id
}

/// The batches of a segment, as a producer would send them.
pub fn batches(segment: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(segment).unwrap();
    let (mut rest, mut batches) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let size = 12 + i32::from_be_bytes(rest[8..12].try_into().unwrap()) as usize;
        let mut batch = rest[..size].to_vec();
        batch[..8].fill(0);
        batches.push(batch);
        rest = &rest[size..];
    }
    batches
}

/// `krs broker` as a program, killed if the test ends first.
pub struct Program {
    pub child: Child,
    pub address: String,
}

impl Program {
    pub fn start(data: &Path, listen: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_krs"));
        command.args(["broker", "--listen", listen, "--data-dir"]).arg(data);
        Self::run(command)
    }

    pub fn run(mut command: Command) -> Self {
        let command = command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_once(" at ").and_then(|(_, rest)| rest.split_once(", speaking"));
        let Some((address, _)) = address else {
            let mut errors = String::new();
            child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            let _ = child.wait();
            panic!("it did not start: {line}{errors}");
        };
        Self { address: address.to_owned(), child }
    }

    /// Ends it at once, and returns what it said on standard error.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        errors
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
