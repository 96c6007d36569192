//! What the development broker keeps in its data directory: over a stop, over a kill, and when the disk is full.
#![cfg(all(feature = "services", feature = "devbroker"))]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use krs::devbroker::{DevBroker, Options};
use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{ErrorCode, Request, Uuid, frame};
use krs::{Admin, Config, Consumer, Delivery, ErrorKind, NewTopic, Producer, Record, TopicPartition};

/// No wait of a test that works comes near this.
const LONG: Duration = Duration::from_secs(60);

/// A directory of one test, deleted with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("krs-data-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Where the broker keeps its data.
    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// The first segment of a partition.
    fn segment(&self, partition: &str) -> PathBuf {
        self.data().join(partition).join("00000000000000000000.log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn options(data: &Path) -> Options {
    let mut options = Options::default();
    options.data_dir = Some(data.to_owned());
    options
}

fn start(folder: &Folder) -> DevBroker {
    DevBroker::start(options(&folder.data())).unwrap()
}

fn config(bootstrap: &str, settings: &[(&str, &str)]) -> Config {
    let config = Config::new().set("bootstrap.servers", bootstrap).unwrap();
    settings.iter().fold(config, |config, (name, value)| config.set(name, *value).unwrap())
}

fn create(bootstrap: &str, topic: &str, partitions: i32) {
    create_on(bootstrap, topic, partitions, 1);
}

fn create_on(bootstrap: &str, topic: &str, partitions: i32, replication_factor: i16) {
    let admin = Admin::connect(&config(bootstrap, &[])).unwrap();
    admin.create_topic(&NewTopic { name: topic, partitions, replication_factor, configs: &[] }).unwrap();
}

/// Writes these values to a partition, each in a batch of its own.
fn write(bootstrap: &str, topic: &str, partition: i32, values: impl IntoIterator<Item = usize>) {
    let producer = Producer::connect(&config(bootstrap, &[])).unwrap();
    for value in values {
        send(&producer, topic, partition, &value.to_string()).wait().unwrap();
    }
    producer.close(LONG).unwrap();
}

fn send(producer: &Producer, topic: &str, partition: i32, value: &str) -> Delivery {
    producer.send(Record::to(topic).partition(partition).value(value)).unwrap()
}

/// Offsets and values in a partition, from its start to its end.
fn read(bootstrap: &str, topic: &str, partition: i32) -> Vec<(i64, usize)> {
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

fn number(value: Option<&[u8]>) -> usize {
    std::str::from_utf8(value.unwrap()).unwrap().parse().unwrap()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<(i64, usize)> {
    range.map(|number| (number as i64, number)).collect()
}

/// Asks the first broker by hand.
fn ask<R: Request>(bootstrap: &str, version: i16, request: &R) -> R::Response {
    let mut stream = TcpStream::connect(bootstrap.split(',').next().unwrap()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(&frame::encode_request(request, version, 1, "storage").unwrap().to_vec()).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; i32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).unwrap();
    frame::decode_response::<R>(&answer.into(), version).unwrap()
}

fn metadata(bootstrap: &str) -> MetadataResponse {
    ask(bootstrap, 12, &MetadataRequest { topics: None, ..Default::default() })
}

fn topic_id(bootstrap: &str, topic: &str) -> Uuid {
    let found = metadata(bootstrap).topics.into_iter().find(|found| found.name.as_deref() == Some(topic));
    found.unwrap().topic_id
}

fn offset(bootstrap: &str, topic: &str, partition_index: i32, timestamp: i64) -> i64 {
    let partitions = vec![ListOffsetsPartition { partition_index, timestamp, ..Default::default() }];
    let topics = vec![ListOffsetsTopic { name: topic.to_owned(), partitions }];
    let answer = ask(bootstrap, 7, &ListOffsetsRequest { replica_id: -1, topics, ..Default::default() });
    let found = &answer.topics[0].partitions[0];
    assert_eq!(found.error_code, ErrorCode::NONE);
    found.offset
}

fn produce(bootstrap: &str, topic: &str, index: i32, batch: &[u8]) -> (ErrorCode, i64) {
    let partition_data = vec![PartitionProduceData { index, records: Some(batch.into()) }];
    let topic_data = vec![TopicProduceData { name: topic.to_owned(), partition_data, ..Default::default() }];
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data, ..Default::default() };
    let answer = ask(bootstrap, 9, &request);
    let answer = &answer.responses[0].partition_responses[0];
    (answer.error_code, answer.base_offset)
}

fn producer_id(bootstrap: &str) -> i64 {
    let answer = ask(bootstrap, 4, &InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..Default::default() });
    assert_eq!(answer.error_code, ErrorCode::NONE);
    answer.producer_id
}

/// The batches of a segment, as a producer would send them.
fn batches(segment: &Path) -> Vec<Vec<u8>> {
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
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(data: &Path, listen: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_krs"));
        command.args(["broker", "--listen", listen, "--data-dir"]).arg(data);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
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
    fn kill(mut self) -> String {
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

#[test]
fn topics_messages_and_positions_are_there_after_a_stop() {
    let folder = Folder::new();
    let broker = start(&folder);
    let at = broker.bootstrap();
    create(&at, "one", 1);
    create(&at, "three", 3);
    write(&at, "one", 0, 0..10);
    write(&at, "three", 2, 0..5);
    let group = config(&at, &[("group.id", "readers"), ("auto.offset.reset", "earliest")]);
    let mut consumer = Consumer::connect(&group).unwrap();
    consumer.subscribe(["one"]).unwrap();
    let (until, mut seen) = (Instant::now() + LONG, 0);
    while seen < 10 {
        assert!(Instant::now() < until);
        seen += consumer.poll(Duration::from_millis(200)).unwrap().into_iter().count();
    }
    consumer.commit_offsets(&[(TopicPartition::new("one", 0), 7)]).unwrap();
    consumer.close(LONG).unwrap();
    let before = metadata(&at);
    broker.stop();

    let broker = start(&folder);
    let at = broker.bootstrap();
    let after = metadata(&at);
    assert_eq!(after.cluster_id, before.cluster_id);
    assert_eq!(after.topics.len(), 2);
    for (after, before) in after.topics.iter().zip(&before.topics) {
        assert_eq!((&after.name, after.topic_id), (&before.name, before.topic_id));
        assert_eq!(after.partitions.len(), before.partitions.len());
        for (after, before) in after.partitions.iter().zip(&before.partitions) {
            assert_eq!((after.leader_id, &after.replica_nodes), (1, &before.replica_nodes));
            assert!(after.leader_epoch > before.leader_epoch, "a restart is a new epoch");
        }
    }
    assert_eq!(read(&at, "one", 0), numbered(0..10));
    assert_eq!(read(&at, "three", 0), []);
    assert_eq!(read(&at, "three", 2), numbered(0..5));
    let consumer = Consumer::connect(&config(&at, &[("group.id", "readers")])).unwrap();
    let places = [TopicPartition::new("one", 0), TopicPartition::new("three", 0)];
    assert_eq!(consumer.committed(&places).unwrap(), [Some(7), None]);
    write(&at, "one", 0, 10..12);
    assert_eq!(read(&at, "one", 0), numbered(0..12));
}

#[test]
fn a_batch_that_comes_again_after_a_restart_is_acknowledged_and_not_written() {
    let folder = Folder::new();
    let broker = start(&folder);
    create(&broker.bootstrap(), "topic", 1);
    write(&broker.bootstrap(), "topic", 0, 0..6);
    broker.stop();
    let batches = batches(&folder.segment("topic-0"));
    assert_eq!(batches.len(), 6);

    let broker = start(&folder);
    let at = broker.bootstrap();
    // The last five are remembered, and nothing but the next one follows.
    for (batch, offset) in batches.iter().zip(0..).skip(1) {
        assert_eq!(produce(&at, "topic", 0, batch), (ErrorCode::NONE, offset));
    }
    let (code, _) = produce(&at, "topic", 0, &batches[0]);
    assert!(code == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER || code == ErrorCode::DUPLICATE_SEQUENCE_NUMBER, "{code}");
    assert_eq!(read(&at, "topic", 0), numbered(0..6));
}

#[test]
fn a_producer_id_is_given_out_once() {
    let folder = Folder::new();
    let mut last = -1;
    for _ in 0..3 {
        let program = Program::start(&folder.data(), "127.0.0.1:0");
        for _ in 0..2 {
            let id = producer_id(&program.address);
            assert!(id > last, "{id} after {last}");
            last = id;
        }
        program.kill();
    }
}

/// The whole of it at once: an idempotent producer at work while the broker is killed and comes back, twice.
#[test]
fn what_was_acknowledged_before_a_kill_is_there_and_a_producer_goes_on_without_duplicates() {
    const COUNT: usize = 6000;
    let folder = Folder::new();
    let mut program = Program::start(&folder.data(), "127.0.0.1:0");
    let at = program.address.clone();
    create(&at, "topic", 1);
    let settings = [("message.timeout.ms", "60000"), ("request.timeout.ms", "5000"), ("batch.size", "2000")];
    let producer = Producer::connect(&config(&at, &settings)).unwrap();
    let (acknowledged, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (sent, deliveries) = std::sync::mpsc::channel();
        scope.spawn(move || {
            for value in 0..COUNT {
                sent.send(send(&producer, "topic", 0, &value.to_string())).unwrap();
            }
            producer.close(LONG).unwrap();
        });
        scope.spawn(|| {
            for delivery in deliveries {
                acknowledged.lock().unwrap().push(delivery.wait().unwrap().offset());
            }
            over.store(true, Ordering::SeqCst);
        });
        for so_far in [100, 2000] {
            while acknowledged.lock().unwrap().len() < so_far && !over.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            program.child.kill().unwrap();
            program.child.wait().unwrap();
            program = Program::start(&folder.data(), &at);
        }
    });
    let offsets = acknowledged.into_inner().unwrap();
    assert_eq!(offsets, (0..COUNT as i64).collect::<Vec<_>>());
    assert_eq!(read(&at, "topic", 0), numbered(0..COUNT));
}

#[test]
fn a_log_that_is_cut_anywhere_has_its_whole_batches_and_goes_on_behind_them() {
    let folder = Folder::new();
    let broker = start(&folder);
    create(&broker.bootstrap(), "topic", 1);
    write(&broker.bootstrap(), "topic", 0, 0..3);
    broker.stop();
    let segment = folder.segment("topic-0");
    let whole = fs::read(&segment).unwrap();
    let sizes: Vec<usize> = batches(&segment).iter().map(Vec::len).collect();
    let third = sizes[0] + sizes[1];
    for cut in third..whole.len() {
        fs::write(&segment, &whole[..cut]).unwrap();
        let broker = start(&folder);
        let at = broker.bootstrap();
        assert_eq!(offset(&at, "topic", 0, -1), 2, "cut at {cut}");
        assert_eq!(fs::metadata(&segment).unwrap().len(), third as u64, "cut at {cut}");
        if cut % 16 == 0 {
            write(&at, "topic", 0, 2..4);
            broker.stop();
            let broker = start(&folder);
            assert_eq!(read(&broker.bootstrap(), "topic", 0), numbered(0..4), "cut at {cut}");
        }
    }
}

#[test]
fn a_log_that_is_broken_in_the_middle_ends_there_and_a_warning_says_where() {
    let folder = Folder::new();
    let program = Program::start(&folder.data(), "127.0.0.1:0");
    create(&program.address, "topic", 1);
    write(&program.address, "topic", 0, 0..3);
    program.kill();
    let segment = folder.segment("topic-0");
    let first = batches(&segment)[0].len();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[first + 65] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let program = Program::start(&folder.data(), "127.0.0.1:0");
    assert_eq!(read(&program.address, "topic", 0), numbered(0..1));
    write(&program.address, "topic", 0, 1..3);
    assert_eq!(read(&program.address, "topic", 0), numbered(0..3));
    let errors = program.kill();
    let warning = format!("{} is cut off at byte {first}, offset 1: ", segment.display());
    assert!(errors.contains(&warning) && errors.contains("CRC-32C"), "{errors}");
}

#[test]
fn what_is_beyond_the_limit_of_the_process_leaves_the_disk_and_stays_away() {
    let folder = Folder::new();
    let mut options = options(&folder.data());
    options.retention_bytes = 4 << 20;
    let broker = DevBroker::start(options.clone()).unwrap();
    let at = broker.bootstrap();
    create(&at, "old", 1);
    create(&at, "new", 1);
    write(&at, "old", 0, 0..3);
    let producer = Producer::connect(&config(&at, &[("batch.size", "900000")])).unwrap();
    let large = "x".repeat(800_000);
    // More than one segment, 16 MiB, and more than the limit many times over.
    for _ in 0..50 {
        send(&producer, "new", 0, &large).wait().unwrap();
    }
    drop(producer);
    let size = |partition: &str| -> u64 {
        let files = fs::read_dir(folder.data().join(partition)).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    assert!(size("new-0") < 33 << 20, "{}", size("new-0"));
    let (start, end) = (offset(&at, "new", 0, -2), offset(&at, "new", 0, -1));
    assert!(start > 40, "{start}");
    assert_eq!((offset(&at, "old", 0, -2), offset(&at, "old", 0, -1), end), (3, 3, 50));
    broker.stop();

    let broker = DevBroker::start(options.clone()).unwrap();
    let at = broker.bootstrap();
    assert_eq!((offset(&at, "new", 0, -2), offset(&at, "new", 0, -1)), (start, end));
    assert_eq!((offset(&at, "old", 0, -2), offset(&at, "old", 0, -1)), (3, 3));
    assert!(size("old-0") < 200, "its batches are gone: {}", size("old-0"));
    write(&at, "old", 0, 3..4);
    broker.stop();

    options.retention_bytes = 2 << 20;
    let broker = DevBroker::start(options).unwrap();
    let at = broker.bootstrap();
    assert!(offset(&at, "new", 0, -2) > start, "a smaller limit holds for what is read back, too");
    assert_eq!(offset(&at, "new", 0, -1), end);
}

#[test]
fn more_partitions_than_files_stay_open_are_all_kept() {
    let folder = Folder::new();
    let broker = start(&folder);
    create(&broker.bootstrap(), "wide", 300);
    for round in 0..2 {
        let producer = Producer::connect(&config(&broker.bootstrap(), &[])).unwrap();
        let sent: Vec<_> = (0..300).map(|partition| send(&producer, "wide", partition, &round.to_string())).collect();
        sent.iter().for_each(|delivery| assert_eq!(delivery.wait().unwrap().offset(), round));
    }
    broker.stop();
    let broker = start(&folder);
    for partition in [0, 100, 299] {
        assert_eq!(read(&broker.bootstrap(), "wide", partition), numbered(0..2));
    }
}

#[test]
fn several_brokers_lead_after_a_restart_as_before() {
    let folder = Folder::new();
    let mut options = options(&folder.data());
    options.brokers = 3;
    let broker = DevBroker::start(options.clone()).unwrap();
    create_on(&broker.bootstrap(), "topic", 6, 2);
    let leaders = |broker: &DevBroker| -> Vec<(i32, usize)> {
        let metadata = metadata(&broker.bootstrap());
        let partitions = metadata.topics[0].partitions.iter();
        partitions.map(|partition| (partition.leader_id, partition.isr_nodes.len())).collect()
    };
    let before = leaders(&broker);
    for id in 1..=3 {
        assert_eq!(before.iter().filter(|(leader, _)| *leader == id).count(), 2, "{before:?}");
    }
    broker.stop();
    let broker = DevBroker::start(options.clone()).unwrap();
    assert_eq!(leaders(&broker), before);
    broker.stop();
    // Brokers that are not there any more lead nothing.
    options.brokers = 1;
    let broker = DevBroker::start(options).unwrap();
    assert!(leaders(&broker).iter().all(|(leader, _)| [1, -1].contains(leader)), "{:?}", leaders(&broker));
}

/// Starts where it cannot be done, and returns what is said.
fn refused(data: &Path) -> String {
    let error = DevBroker::start(options(data)).err().expect("refused");
    let text = error.to_string();
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Config, 2), "{text}");
    assert!(text.contains(&data.display().to_string()) && !text.contains('\n'), "{text}");
    text
}

#[test]
fn a_directory_in_use_is_refused_until_the_other_broker_has_ended() {
    let folder = Folder::new();
    let program = Program::start(&folder.data(), "127.0.0.1:0");
    let text = refused(&folder.data());
    assert!(text.contains("is used by another broker; stop that one or use another data directory"), "{text}");
    program.kill();
    let broker = start(&folder);
    refused(&folder.data());
    broker.stop();
    start(&folder).stop();
}

#[test]
fn a_directory_that_is_not_a_brokers_is_refused_and_left_alone() {
    let folder = Folder::new();
    fs::write(folder.0.join("thesis.txt"), "dear").unwrap();
    let text = refused(&folder.0);
    assert!(text.contains("holds other things than a broker's data (thesis.txt)"), "{text}");
    let names: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.txt"]);
    let text = refused(&folder.0.join("thesis.txt"));
    assert!(text.contains("is a file; use another"), "{text}");
    let text = refused(&folder.0.join("thesis.txt").join("below"));
    assert!(text.contains("cannot create the data directory") && text.contains("use another"), "{text}");
    assert_eq!(fs::read(folder.0.join("thesis.txt")).unwrap(), b"dear");
}

#[test]
fn a_directory_of_a_newer_version_or_with_unknown_contents_is_refused_by_name() {
    let folder = Folder::new();
    start(&folder).stop();
    let marker = folder.data().join("krs-broker.txt");
    let text = fs::read_to_string(&marker).unwrap();
    fs::write(&marker, text.replace("format=1", "format=2")).unwrap();
    let said = refused(&folder.data());
    assert!(said.contains("krs-broker.txt says format 2") && said.contains("a newer version"), "{said}");
    fs::write(&marker, "something else\n").unwrap();
    assert!(refused(&folder.data()).contains("krs-broker.txt is not as it was written"));
    fs::write(&marker, text).unwrap();
    for (name, content) in [("topics.txt", "topic\n"), ("producer-ids.txt", "next=-1\n")] {
        let path = folder.data().join(name);
        let before = fs::read(&path).ok();
        fs::write(&path, content).unwrap();
        let said = refused(&folder.data());
        assert!(said.contains(&format!("{name} is not as it was written: ")), "{said}");
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    start(&folder).stop();
    fs::remove_file(folder.data().join("topics.txt")).unwrap();
    assert!(refused(&folder.data()).contains("topics.txt: "));
}

/// A file cannot grow beyond a limit of the process, which fails as a full disk does: in the middle of a write.
#[test]
fn a_write_that_fails_is_not_acknowledged_and_leaves_the_log_readable() {
    let folder = Folder::new();
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_krs")]);
    limited.args(["broker", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.data());
    let program = Program::run(limited);
    let at = program.address.clone();
    create(&at, "topic", 2);
    let settings = [("message.timeout.ms", "2000"), ("retry.backoff.ms", "50")];
    let producer = Producer::connect(&config(&at, &settings)).unwrap();
    let padding = "0".repeat(2000);
    let (mut acknowledged, until) = (0, Instant::now() + LONG);
    let error = loop {
        assert!(Instant::now() < until);
        let value = format!("{padding}{acknowledged}");
        match send(&producer, "topic", 0, &value).wait() {
            Ok(place) => assert_eq!(place.offset(), acknowledged),
            Err(error) => break error,
        }
        acknowledged += 1;
    };
    assert!(error.to_string().contains("KAFKA_STORAGE_ERROR"), "{error}");
    assert!(acknowledged > 10, "{acknowledged}");
    drop(producer);
    // The rest of the broker goes on.
    let count = acknowledged as usize;
    assert_eq!(read(&at, "topic", 0), numbered(0..count));
    write(&at, "topic", 1, 0..2);
    // What was half written has not taken the room of what is smaller.
    write(&at, "topic", 0, count..count + 1);
    let count = count + 1;
    assert_eq!(read(&at, "topic", 0), numbered(0..count));
    let errors = program.kill();
    let said = errors.lines().filter(|line| line.contains("ERROR") && line.contains("cannot write")).count();
    assert_eq!(said, 1, "{errors}");

    // With room again, it goes on where it was.
    let broker = start(&folder);
    let at = broker.bootstrap();
    assert_eq!(read(&at, "topic", 0), numbered(0..count));
    write(&at, "topic", 0, count..count + 2);
    assert_eq!(read(&at, "topic", 0), numbered(0..count + 2));
    assert_eq!(read(&at, "topic", 1), numbered(0..2));
    assert_ne!(topic_id(&at, "topic"), Uuid::ZERO);
}
