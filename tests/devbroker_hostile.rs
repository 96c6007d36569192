//! Whatever arrives at a broker's port: it answers or closes the connection, its memory stays bounded, and every other
//! client is served as if nothing had happened.
//!
//! By default this is about the development broker, in this process. `KAFKA_BROKERS=… cargo test --test devbroker_hostile`
//! aims the same tests at a real Kafka, to see that it does what is expected here; its memory is not looked at.
#![cfg(feature = "devbroker")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use krs::devbroker::{DevBroker, Options};
use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{ApiKey, Bytes, ErrorCode, Request, frame};
use krs::{Admin, Config, Consumer, NewTopic, Producer, Record, TopicPartition};

/// For what takes a moment on an idle machine; only a failure ever waits so long.
const LONG: Duration = Duration::from_secs(30);

/// The largest request that a broker reads (`socket.request.max.bytes`).
const LARGEST: i32 = 104_857_600;

/// One test at a time, so that each sees its own memory alone.
static TURN: Mutex<()> = Mutex::new(());

/// The broker under attack.
struct Victim {
    address: String,
    /// None if it is a real Kafka.
    broker: Option<DevBroker>,
    _turn: MutexGuard<'static, ()>,
}

impl Victim {
    fn start() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(brokers) = std::env::var("KAFKA_BROKERS").ok().filter(|brokers| !brokers.is_empty()) {
            let address = brokers.split(',').next().unwrap_or_default().to_owned();
            return Self { address, broker: None, _turn: turn };
        }
        let broker = DevBroker::start(Options::default()).unwrap();
        Self { address: broker.bootstrap(), broker: Some(broker), _turn: turn }
    }

    fn connect(&self) -> Wire {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream }
    }

    fn config(&self) -> Config {
        Config::new().set("bootstrap.servers", &self.address).unwrap()
    }

    /// A new topic of one partition.
    fn topic(&self, name: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let topic = format!("hostile-{name}-{now:x}");
        let admin = Admin::connect(&self.config()).unwrap();
        let new = NewTopic { name: &topic, partitions: 1, replication_factor: 1, configs: &[] };
        admin.create_topic(&new).unwrap();
        topic
    }

    /// Others are served: a client of our own writes a record and reads it again.
    fn still_serves(&self) {
        let begin = Instant::now();
        let topic = self.topic("bystander");
        let producer = Producer::connect(&self.config()).unwrap();
        producer.send(Record::to(&topic).partition(0).value("still here")).unwrap().wait().unwrap();
        producer.close(LONG).unwrap();
        assert_eq!(self.read(&topic, 1), ["still here"]);
        assert!(begin.elapsed() < LONG, "others waited for {:?}", begin.elapsed());
    }

    /// The first values of a topic.
    fn read(&self, topic: &str, count: usize) -> Vec<String> {
        let config = self.config().set("auto.offset.reset", "earliest").unwrap();
        let mut consumer = Consumer::connect(&config).unwrap();
        consumer.assign(&[TopicPartition::new(topic, 0)]).unwrap();
        let mut values = Vec::new();
        let until = Instant::now() + LONG;
        while values.len() < count && Instant::now() < until {
            for record in &consumer.poll(Duration::from_millis(100)).unwrap() {
                values.push(String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned());
            }
        }
        values
    }

    /// Does this, and checks that meanwhile neither memory in use nor address space grew by more megabytes than that.
    fn within(&self, resident: usize, space: usize, attack: impl FnOnce()) {
        // Forgets how much was in use before. The peak of the address space cannot be forgotten: if it stays where it was,
        // no more was ever asked for than others had asked for before.
        std::fs::write("/proc/self/clear_refs", "5").unwrap_or_default();
        let before = Memory::now();
        attack();
        let after = Memory::now();
        if self.broker.is_none() {
            return;
        }
        let more = after.peak_resident.saturating_sub(before.resident) >> 10;
        assert!(more <= resident, "{more} MB more in memory");
        let more = after.peak_space.saturating_sub(before.space) >> 10;
        assert!(more <= space || after.peak_space == before.peak_space, "{more} MB more of address space");
    }
}

/// In kilobytes.
struct Memory {
    resident: usize,
    peak_resident: usize,
    space: usize,
    peak_space: usize,
}

impl Memory {
    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
        };
        Self {
            resident: field("VmRSS:"),
            peak_resident: field("VmHWM:"),
            space: field("VmSize:"),
            peak_space: field("VmPeak:"),
        }
    }
}

/// A connection without manners.
struct Wire {
    stream: TcpStream,
}

/// What a broker did.
#[derive(Debug, PartialEq)]
enum Reaction {
    Answer(Bytes),
    Closed,
    Silence,
}

impl Wire {
    /// The broker may close the connection while this is being sent.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn receive(&mut self) -> Reaction {
        let mut prefix = [0; 4];
        let frame = self.stream.read_exact(&mut prefix).and_then(|()| {
            let mut frame = vec![0; usize::try_from(i32::from_be_bytes(prefix)).expect("the size of an answer")];
            self.stream.read_exact(&mut frame).map(|()| frame)
        });
        match frame {
            Ok(frame) => Reaction::Answer(Bytes::from(frame)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Reaction::Silence,
            Err(_) => Reaction::Closed,
        }
    }

    fn ask<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.send(&encoded(request, version));
        match self.receive() {
            Reaction::Answer(frame) => frame::decode_response::<R>(&frame, version).unwrap(),
            other => panic!("{other:?} in place of an answer to {:?}", R::KEY),
        }
    }
}

/// A frame with its size.
fn encoded<R: Request>(request: &R, version: i16) -> Vec<u8> {
    frame::encode_request(request, version, 1, "hostile").unwrap().to_vec()
}

fn ping(correlation: i32) -> Vec<u8> {
    frame::encode_request(&ApiVersionsRequest::default(), 0, correlation, "hostile").unwrap().to_vec()
}

#[test]
fn a_frame_of_an_impossible_length_ends_its_connection_alone() {
    let victim = Victim::start();
    victim.within(100, 500, || {
        for length in [i32::MAX, LARGEST + 1, 0, -1, -5, i32::MIN] {
            let mut wire = victim.connect();
            wire.send(&length.to_be_bytes());
            wire.send(b"and some more");
            assert_eq!(wire.receive(), Reaction::Closed, "a frame of {length} bytes");
        }
    });
    victim.still_serves();
}

/// What is believed of a length is what arrives. The broker cannot know that the rest never comes.
#[test]
fn half_a_frame_and_then_silence_costs_a_connection_and_no_memory() {
    let victim = Victim::start();
    victim.within(100, 1000, || {
        // Kafka believes the length, and would run out of memory.
        let count = if victim.broker.is_some() { 50 } else { 1 };
        let mut silent: Vec<Wire> = (0..count).map(|_| victim.connect()).collect();
        for wire in &mut silent {
            wire.send(&LARGEST.to_be_bytes());
            wire.send(&[0, 3, 0, 4, 0, 0, 0, 1]);
            // More than a buffer that is there anyway would hold.
            wire.send(&[0; 20_000]);
        }
        let mut inside_the_length = victim.connect();
        inside_the_length.send(&[0, 0]);
        let mut inside_the_header = victim.connect();
        inside_the_header.send(&ping(1)[..7]);
        victim.still_serves();
        // They were not closed meanwhile, and the rest of a frame may still come.
        inside_the_header.send(&ping(1)[7..]);
        assert!(matches!(inside_the_header.receive(), Reaction::Answer(_)));
    });
}

#[test]
fn those_who_speak_something_else_are_hung_up_on() {
    let victim = Victim::start();
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let mut noise = vec![0, 0, 1, 0];
    noise.extend((0..256u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8));
    let requests: [(&str, &[u8]); 6] = [
        ("TLS", &hello),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("Redis", b"*1\r\n$4\r\nPING\r\n"),
        ("noise", &noise),
        ("zeros", &[0, 0, 0, 1, 0]),
    ];
    for (what, bytes) in requests {
        let mut wire = victim.connect();
        wire.send(bytes);
        assert_eq!(wire.receive(), Reaction::Closed, "{what}");
    }
    victim.still_serves();
}

#[test]
fn an_unknown_api_or_version_ends_the_connection_but_for_api_versions() {
    let victim = Victim::start();
    for (key, version) in
        [(-1, 0), (93, 0), (999, 0), (i16::MAX, 3), (3, 99), (3, -1), (0, 99), (0, 2), (1, 3), (11, 10)]
    {
        let mut bytes = ping(1);
        bytes[4..6].copy_from_slice(&i16::to_be_bytes(key));
        bytes[6..8].copy_from_slice(&i16::to_be_bytes(version));
        let mut wire = victim.connect();
        wire.send(&bytes);
        assert_eq!(wire.receive(), Reaction::Closed, "API {key}, version {version}");
    }
    // As a client of the future would ask: the header is the flexible one.
    let mut bytes = frame::encode_request(&ApiVersionsRequest::default(), 4, 7, "hostile").unwrap().to_vec();
    bytes[6..8].copy_from_slice(&99i16.to_be_bytes());
    let mut wire = victim.connect();
    wire.send(&bytes);
    let Reaction::Answer(answer) = wire.receive() else { panic!("no answer to ApiVersions 99") };
    assert_eq!(frame::correlation_id(&answer).unwrap(), 7);
    let answer = frame::decode_response::<ApiVersionsRequest>(&answer, 0).unwrap();
    assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION);
    let own: Vec<_> = answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    assert_eq!(own, [(ApiKey::ApiVersions.code(), 0, 4)]);
    // The connection is as good as new.
    assert!(wire.ask(&ApiVersionsRequest::default(), 0).error_code.is_ok());
    victim.still_serves();
}

/// Requests with something missing, something too much, or lengths that lie. Each is answered or ends its connection.
#[test]
fn a_request_that_is_not_what_it_claims_is_answered_or_ends_its_connection() {
    let victim = Victim::start();
    let offered = victim.connect().ask(&ApiVersionsRequest::default(), 0);
    victim.within(200, 2000, || {
        for (key, version, request) in requests() {
            let served = offered.api_keys.iter().find(|api| api.api_key == key.code());
            if served.is_none_or(|api| version < api.min_version || version > api.max_version) {
                continue;
            }
            for mutant in mutants(&request) {
                let mut wire = victim.connect();
                wire.send(&mutant);
                // Whoever answers the request, or ignores it as one that needs no answer, reads on.
                wire.send(&ping(2));
                let reaction = wire.receive();
                assert_ne!(reaction, Reaction::Silence, "{key:?}, version {version}: {mutant:02x?}");
            }
        }
    });
    victim.still_serves();
}

/// A sound request of each API, in its lowest and its highest version, that changes nothing where it is understood.
fn requests() -> Vec<(ApiKey, i16, Vec<u8>)> {
    let mut requests = Vec::new();
    macro_rules! add {
        ($($request:expr),+ $(,)?) => {$(
            add(&mut requests, &$request);
        )+};
    }
    fn add<R: Request>(requests: &mut Vec<(ApiKey, i16, Vec<u8>)>, request: &R) {
        for version in R::VERSIONS.iter() {
            // What a version cannot carry is no request of it.
            if let Ok(frame) = frame::encode_request(request, version, 1, "hostile") {
                requests.push((R::KEY, version, frame.to_vec()));
            }
        }
    }
    // No topic can be called so, whatever a broker creates by itself.
    let topic = || "no/such/topic".to_owned();
    add!(
        ApiVersionsRequest { client_software_name: "hostile".to_owned(), client_software_version: "1".to_owned() },
        MetadataRequest {
            topics: Some(vec![MetadataRequestTopic { name: Some(topic()), ..Default::default() }]),
            allow_auto_topic_creation: false,
            ..Default::default()
        },
        MetadataRequest { topics: Some(vec![]), ..Default::default() },
        ProduceRequest {
            acks: -1,
            timeout_ms: 1000,
            topic_data: vec![TopicProduceData {
                name: topic(),
                partition_data: vec![PartitionProduceData { index: 0, records: Some(Bytes::from(batch(0))) }],
                ..Default::default()
            }],
            ..Default::default()
        },
        FetchRequest {
            topics: vec![FetchTopic {
                topic: topic(),
                partitions: vec![FetchPartition { partition_max_bytes: 1000, ..Default::default() }],
                ..Default::default()
            }],
            ..Default::default()
        },
        ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic { name: topic(), partitions: vec![ListOffsetsPartition::default()] }],
            ..Default::default()
        },
        CreateTopicsRequest {
            topics: vec![CreatableTopic { name: "?".to_owned(), num_partitions: 1, ..Default::default() }],
            ..Default::default()
        },
        DeleteTopicsRequest { topic_names: vec![topic()], ..Default::default() },
        FindCoordinatorRequest { key: "group".to_owned(), ..Default::default() },
        FindCoordinatorRequest { coordinator_keys: vec!["group".to_owned()], ..Default::default() },
        JoinGroupRequest {
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::default() }],
            ..Default::default()
        },
        SyncGroupRequest {
            assignments: vec![SyncGroupRequestAssignment { member_id: "nobody".to_owned(), ..Default::default() }],
            ..Default::default()
        },
        HeartbeatRequest { group_id: "group".to_owned(), ..Default::default() },
        LeaveGroupRequest { members: vec![MemberIdentity::default()], ..Default::default() },
        OffsetCommitRequest {
            topics: vec![OffsetCommitRequestTopic {
                name: topic(),
                partitions: vec![OffsetCommitRequestPartition::default()],
                ..Default::default()
            }],
            ..Default::default()
        },
        OffsetFetchRequest {
            topics: Some(vec![OffsetFetchRequestTopic { name: topic(), partition_indexes: vec![0] }]),
            ..Default::default()
        },
        OffsetFetchRequest { groups: vec![OffsetFetchRequestGroup::default()], ..Default::default() },
        InitProducerIdRequest::default(),
        DescribeGroupsRequest { groups: vec!["group".to_owned()], ..Default::default() },
        ListGroupsRequest { states_filter: vec!["Dead".to_owned()], ..Default::default() },
        ListGroupsRequest::default(),
        DeleteGroupsRequest { groups_names: vec!["no-such-group".to_owned()] },
        OffsetDeleteRequest { group_id: "no-such-group".to_owned(), ..Default::default() },
        ConsumerGroupHeartbeatRequest { member_id: "nobody".to_owned(), ..Default::default() },
        ConsumerGroupDescribeRequest { group_ids: vec!["group".to_owned()], ..Default::default() },
        CreatePartitionsRequest { validate_only: true, ..Default::default() },
        DescribeConfigsRequest::default(),
        AlterConfigsRequest { validate_only: true, ..Default::default() },
        IncrementalAlterConfigsRequest { validate_only: true, ..Default::default() },
        DescribeClusterRequest::default(),
        DescribeTopicPartitionsRequest {
            topics: vec![DescribeTopicPartitionsTopic { name: topic() }],
            ..Default::default()
        },
        OffsetForLeaderEpochRequest::default(),
        DeleteRecordsRequest::default(),
        ListPartitionReassignmentsRequest { topics: Some(vec![]), ..Default::default() },
        DescribeLogDirsRequest { topics: Some(vec![]) },
        DescribeProducersRequest::default(),
        ElectLeadersRequest { topic_partitions: Some(vec![]), ..Default::default() },
        ListConfigResourcesRequest::default(),
    );
    requests
}

/// What is done to a request: each keeps its size right, so that only its content is wrong.
fn mutants(request: &[u8]) -> Vec<Vec<u8>> {
    const HEADER: usize = 4 + 8 + 2 + "hostile".len();
    let sized = |mut bytes: Vec<u8>| {
        let size = (bytes.len() - 4) as i32;
        bytes[..4].copy_from_slice(&size.to_be_bytes());
        bytes
    };
    let mut mutants = vec![
        sized([request, &[0]].concat()),
        sized([request, &[0xff; 40]].concat()),
        sized([request, request].concat()),
    ];
    // Cut off anywhere behind the first four bytes, the least that a frame can be.
    mutants.extend((8..request.len()).step_by(3).map(|end| sized(request[..end].to_vec())));
    // Lengths in the fixed encoding, of arrays and of strings, and in the flexible one. Not everywhere, for time's sake:
    // where depends on the request's length, so that versions differ in it.
    let places = (HEADER..request.len()).skip(request.len() % 3).step_by(3);
    for at in places {
        for lie in [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0x7f, 0xff], &[0x80, 0, 0, 1]] {
            let mut mutant = request.to_vec();
            let end = request.len().min(at + lie.len());
            mutant[at..end].copy_from_slice(&lie[..end - at]);
            mutants.push(mutant);
        }
    }
    mutants
}

#[test]
fn ten_thousand_requests_sent_ahead_are_answered_in_order() {
    const COUNT: i32 = 10_000;
    let victim = Victim::start();
    let mut wire = victim.connect();
    let request = HeartbeatRequest { group_id: "no-such-group".to_owned(), ..Default::default() };
    victim.within(100, 500, || {
        let mut writing = Wire { stream: wire.stream.try_clone().unwrap() };
        let writer = thread::spawn(move || {
            for correlation in 0..COUNT {
                writing.send(&frame::encode_request(&request, 4, correlation, "hostile").unwrap().to_vec());
            }
        });
        // A broker that stops reading until somebody reads its answers has to be read from, some time.
        let until = Instant::now() + Duration::from_secs(5);
        while !writer.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
        for expected in 0..COUNT {
            let Reaction::Answer(answer) = wire.receive() else { panic!("no answer to request {expected}") };
            assert_eq!(frame::correlation_id(&answer).unwrap(), expected);
        }
        writer.join().unwrap();
    });
    victim.still_serves();
}

/// Nobody reads the answers, which are large: what the broker keeps of them does not grow with their number.
#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    let victim = Victim::start();
    let topic = victim.topic("unread");
    fill(&victim, &topic, 8);
    let fetch = encoded(&fetch(&topic, 8 << 20), 12);
    victim.within(200, 1000, || {
        let mut wires: Vec<_> = (0..10).map(|_| victim.connect()).collect();
        for wire in &mut wires {
            wire.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
            (0..100).for_each(|_| wire.send(&fetch));
        }
        victim.still_serves();
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_of_an_answer_leaves_nothing_behind() {
    let victim = Victim::start();
    let topic = victim.topic("left");
    fill(&victim, &topic, 8);
    let fetch = encoded(&fetch(&topic, 8 << 20), 12);
    victim.within(200, 1000, || {
        for i in 0..100 {
            let mut wire = victim.connect();
            wire.send(&fetch);
            let mut some = [0; 1000];
            wire.stream.read_exact(&mut some).unwrap();
            if i % 2 == 0 {
                wire.stream.shutdown(Shutdown::Write).unwrap();
            }
        }
    });
    victim.still_serves();
}

#[test]
fn records_with_a_wrong_checksum_do_not_reach_the_log() {
    let victim = Victim::start();
    let topic = victim.topic("checksum");
    let mut wire = victim.connect();
    let mut produce = |records: Vec<u8>| {
        let partition = PartitionProduceData { index: 0, records: Some(Bytes::from(records)) };
        let topic = TopicProduceData { name: topic.clone(), partition_data: vec![partition], ..Default::default() };
        let request = ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() };
        let answer = wire.ask(&request, 9);
        let partition = &answer.responses[0].partition_responses[0];
        (partition.error_code, partition.base_offset)
    };
    assert_eq!(produce(batch(0)), (ErrorCode::NONE, 0));
    // Every bit counts that the checksum covers, and those of the checksum itself.
    for at in [17, 20, 24, 30, 45, 60, 61, 66] {
        let mut broken = batch(0);
        broken[at] ^= 0x10;
        assert_eq!(produce(broken), (ErrorCode::CORRUPT_MESSAGE, -1), "byte {at}");
    }
    assert_eq!(produce(batch(0)), (ErrorCode::NONE, 1));
    assert_eq!(victim.read(&topic, 2), ["value", "value"]);
}

#[test]
fn a_thousand_idle_connections_do_not_disturb_those_who_work() {
    // Each has an end in this process at either side, and the broker's end may be known under several numbers.
    if !allows_files(6000) {
        return again_with_files("a_thousand_idle_connections_do_not_disturb_those_who_work");
    }
    let victim = Victim::start();
    victim.within(200, 4000, || {
        let mut idle: Vec<_> = (0..1000).map(|_| victim.connect()).collect();
        // Half of them have said something before they fell silent.
        for wire in idle.iter_mut().step_by(2) {
            wire.send(&ping(1));
            assert!(matches!(wire.receive(), Reaction::Answer(_)));
        }
        let topic = victim.topic("busy");
        let producer = Producer::connect(&victim.config()).unwrap();
        let deliveries: Vec<_> =
            (0..1000).map(|i| producer.send(Record::to(&topic).partition(0).value(&format!("{i}"))).unwrap()).collect();
        deliveries.into_iter().for_each(|delivery| drop(delivery.wait().unwrap()));
        producer.close(LONG).unwrap();
        let values = victim.read(&topic, 1000);
        assert!((0..1000).map(|i| i.to_string()).eq(values), "the records, in order");
        for wire in &mut idle {
            wire.send(&ping(2));
            assert!(matches!(wire.receive(), Reaction::Answer(_)), "an idle connection was given up");
        }
    });
    victim.still_serves();
}

/// Whether this process may have so many files open.
fn allows_files(count: u64) -> bool {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = soft.and_then(|rest| rest.split_whitespace().next().map(str::to_owned));
    soft.is_none_or(|soft| soft == "unlimited" || soft.parse().is_ok_and(|soft: u64| soft >= count))
}

/// Runs one test in a process that may have as many files open as its user may ask for.
fn again_with_files(test: &str) {
    assert!(std::env::var_os("HOSTILE_AGAIN").is_none(), "the system allows too few open files for this test");
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n \"$(ulimit -Hn)\" && exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(program)
        .arg(test)
        .env("HOSTILE_AGAIN", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Writes so many records of a megabyte.
fn fill(victim: &Victim, topic: &str, count: usize) {
    let producer = Producer::connect(&victim.config().set("max.request.size", "1000000").unwrap()).unwrap();
    let value = vec![b'x'; 900_000];
    for _ in 0..count {
        producer.send(Record::to(topic).partition(0).value(&value)).unwrap().wait().unwrap();
    }
    producer.close(LONG).unwrap();
}

fn fetch(topic: &str, bytes: i32) -> FetchRequest {
    let partition = FetchPartition { partition_max_bytes: bytes, ..Default::default() };
    FetchRequest {
        max_wait_ms: 0,
        max_bytes: bytes,
        topics: vec![FetchTopic { topic: topic.to_owned(), partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    }
}

/// A sound batch of one record.
fn batch(base_offset: i64) -> Vec<u8> {
    const VALUE: &[u8] = b"value";
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut out = base_offset.to_be_bytes().to_vec();
    out.extend(0i32.to_be_bytes());
    out.extend((-1i32).to_be_bytes());
    out.push(2);
    out.extend(0u32.to_be_bytes());
    out.extend(0i16.to_be_bytes());
    out.extend(0i32.to_be_bytes());
    out.extend(time.to_be_bytes());
    out.extend(time.to_be_bytes());
    out.extend((-1i64).to_be_bytes());
    out.extend((-1i16).to_be_bytes());
    out.extend((-1i32).to_be_bytes());
    out.extend(1i32.to_be_bytes());
    // Zigzag: the record's length, attributes, time, offset, no key, the value's length, the value, no headers.
    out.extend([(6 + VALUE.len() as u8) * 2, 0, 0, 0, 1, VALUE.len() as u8 * 2]);
    out.extend(VALUE);
    out.push(0);
    let length = out.len() as i32 - 12;
    out[8..12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc_fast::crc32_iscsi(&out[21..]);
    out[17..21].copy_from_slice(&checksum.to_be_bytes());
    out
}
