//! One scripted broker: a listener, and two threads per connection. One reads requests, so that a test can wait for
//! what has arrived; the other handles them one after the other, as Kafka does.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use krs::kafka::protocol::frame::{self, RequestHeader};
use krs::kafka::protocol::messages::*;
use krs::kafka::protocol::{ApiKey, Bytes, ErrorCode, Request};

use super::port::Port;
use super::{Act, Asked, State, lock};

pub(super) struct Broker {
    node: i32,
    port: Arc<Port>,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    node: i32,
    state: Arc<State>,
    stopping: AtomicBool,
    /// Each connection, to be shut down, and its threads.
    connections: Mutex<Vec<(TcpStream, [JoinHandle<()>; 2])>>,
}

enum Answer {
    Bytes(Vec<u8>),
    Silence,
    Close,
}

impl Broker {
    pub(super) fn start(node: i32, state: &Arc<State>) -> Self {
        Self::listen(node, Arc::new(Port::free()), state)
    }

    /// Starts once more where it was.
    pub(super) fn again(&self) -> Self {
        Self::listen(self.node, Arc::clone(&self.port), &self.shared.state)
    }

    fn listen(node: i32, port: Arc<Port>, state: &Arc<State>) -> Self {
        let listener = port.listen();
        state.cluster().addresses.insert(node, ("127.0.0.1".to_owned(), port.number()));
        let shared = Arc::new(Shared {
            node,
            state: Arc::clone(state),
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        let listener = thread::spawn(move || accepting.accept(&listener));
        Self { node, port, shared, listener: Some(listener) }
    }

    pub(super) fn node(&self) -> i32 {
        self.node
    }

    pub(super) fn address(&self) -> String {
        self.port.address()
    }

    /// Closes everything and joins all threads. The port refuses connections from then on.
    pub(super) fn stop(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.state.cluster().addresses.remove(&self.node);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address());
        listener.join().expect("the listener does not panic");
        for (stream, threads) in std::mem::take(&mut *lock(&self.shared.connections)) {
            let _ = stream.shutdown(Shutdown::Both);
            for thread in threads {
                if thread.join().is_err() && !thread::panicking() {
                    panic!("a scripted broker failed, see above");
                }
            }
        }
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            self.state.cluster().connections += 1;
            let copy = || stream.try_clone().expect("a socket can be copied");
            let (arrived, arrivals) = mpsc::channel();
            let (input, output, reader, handler) = (copy(), copy(), Arc::clone(&self), Arc::clone(&self));
            let hung_up = Arc::new(AtomicBool::new(false));
            let noticed = Arc::clone(&hung_up);
            let threads = [
                thread::spawn(move || {
                    reader.read(input, &arrived);
                    hung_up.store(true, Ordering::SeqCst);
                }),
                thread::spawn(move || handler.handle(output, &arrivals, &noticed)),
            ];
            lock(&self.connections).push((stream, threads));
        }
    }

    fn read(&self, mut stream: TcpStream, arrived: &mpsc::Sender<(RequestHeader, Bytes)>) {
        let mut prefix = [0; 4];
        while stream.read_exact(&mut prefix).is_ok() {
            let size = frame::check_size(prefix, 100 << 20).expect("the client sends sound frames");
            let mut body = vec![0; size];
            if stream.read_exact(&mut body).is_err() {
                return;
            }
            let body = Bytes::from(body);
            let header = frame::decode_request_header(&body).expect("the client sends sound headers");
            if let Some(api) = ApiKey::from_code(header.api_key) {
                *self.state.cluster().received.entry(api).or_default() += 1;
            }
            if arrived.send((header, body)).is_err() {
                return;
            }
            self.state.changed.notify_all();
        }
    }

    /// Handles requests for as long as the client is there: what it had sent before it hung up is not done later.
    fn handle(&self, mut stream: TcpStream, arrivals: &mpsc::Receiver<(RequestHeader, Bytes)>, hung_up: &AtomicBool) {
        for (header, body) in arrivals {
            if hung_up.load(Ordering::SeqCst) {
                break;
            }
            match self.answer(&header, &body) {
                Answer::Bytes(answer) => {
                    if stream.write_all(&answer).is_err() {
                        break;
                    }
                }
                // Until the client hangs up, or the broker stops.
                Answer::Silence => arrivals.iter().for_each(drop),
                Answer::Close => break,
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn answer(&self, header: &RequestHeader, body: &Bytes) -> Answer {
        let Some(api) = ApiKey::from_code(header.api_key) else { return Answer::Close };
        let produce = (api == ApiKey::Produce).then(|| decode::<ProduceRequest>(header, body));
        let asked = self.asked(api, produce.as_ref());
        let script = Arc::clone(&lock(&self.state.script));
        let mut act = script(&asked);
        while let Act::After(gate, then) = act {
            gate.pass(&self.stopping);
            act = *then;
        }
        let mut header = header.clone();
        let refused = match act {
            Act::Drop => return Answer::Close,
            Act::Refuse(code) => Some((code, false)),
            Act::RefuseAfterAppend(code) => Some((code, true)),
            _ => None,
        };
        if let Act::Miscorrelate(by) = act {
            header.correlation_id = header.correlation_id.wrapping_add(by);
        }
        let answer = self.work(&header, body, produce, refused);
        match act {
            Act::DropAfter => Answer::Close,
            Act::Silence => Answer::Silence,
            Act::Raw(bytes) => Answer::Bytes(bytes),
            _ => Answer::Bytes(answer),
        }
    }

    fn asked(&self, api: ApiKey, produce: Option<&ProduceRequest>) -> Asked {
        let mut cluster = self.state.cluster();
        let handled = cluster.handled.entry(api).or_default();
        let nth = *handled;
        *handled += 1;
        let mut asked = Asked { node: self.node, api, nth, partitions: Vec::new(), payload: String::new() };
        for topic in produce.iter().flat_map(|request| &request.topic_data) {
            for data in &topic.partition_data {
                asked.partitions.push((topic.name.clone(), data.index));
                let records = data.records.as_deref().unwrap_or_default();
                asked.payload.push_str(&String::from_utf8_lossy(&records[..records.len().min(4096)]));
            }
        }
        asked
    }

    /// Does what was asked and encodes the answer; there is none to Produce with `acks=0`. `refused` is the code to
    /// answer with, and whether the batches are appended all the same.
    fn work(
        &self,
        header: &RequestHeader,
        body: &Bytes,
        produce: Option<ProduceRequest>,
        refused: Option<(ErrorCode, bool)>,
    ) -> Vec<u8> {
        let code = refused.map_or(ErrorCode::NONE, |(code, _)| code);
        match (ApiKey::from_code(header.api_key), produce) {
            (_, Some(request)) => {
                let response = self.produce(&request, refused);
                self.state.changed.notify_all();
                if request.acks == 0 { Vec::new() } else { encode::<ProduceRequest>(header, &response) }
            }
            (Some(ApiKey::ApiVersions), _) => {
                let _: ApiVersionsRequest = decode(header, body);
                encode::<ApiVersionsRequest>(header, &api_versions(code))
            }
            (Some(ApiKey::Metadata), _) => {
                let response = self.metadata(&decode(header, body), header.api_version, code);
                encode::<MetadataRequest>(header, &response)
            }
            (Some(ApiKey::InitProducerId), _) => {
                let _: InitProducerIdRequest = decode(header, body);
                encode::<InitProducerIdRequest>(header, &self.init_producer_id(code))
            }
            (api, _) => panic!("{api:?} is not scripted"),
        }
    }

    fn metadata(&self, request: &MetadataRequest, version: i16, code: ErrorCode) -> MetadataResponse {
        let cluster = self.state.cluster();
        let brokers = cluster.addresses.iter().map(|(&node_id, (host, port))| MetadataResponseBroker {
            node_id,
            host: host.clone(),
            port: i32::from(*port),
            rack: None,
        });
        let topic = |name: &String| {
            let known = cluster.topics.get(name).filter(|_| code.is_ok());
            let partitions = known.into_iter().flatten().enumerate().map(|(index, partition)| {
                let leader = partition.leader.filter(|node| cluster.addresses.contains_key(node));
                MetadataResponsePartition {
                    error_code: if leader.is_some() { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
                    partition_index: index as i32,
                    leader_id: leader.unwrap_or(-1),
                    leader_epoch: if version >= 7 { partition.leader_epoch } else { -1 },
                    ..Default::default()
                }
            });
            let missing = if code.is_ok() { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { code };
            MetadataResponseTopic {
                error_code: if known.is_some() { ErrorCode::NONE } else { missing },
                name: Some(name.clone()),
                partitions: partitions.collect(),
                ..Default::default()
            }
        };
        let asked = request.topics.iter().flatten().filter_map(|topic| topic.name.as_ref());
        MetadataResponse {
            brokers: brokers.collect(),
            cluster_id: Some("scripted".into()),
            controller_id: 1,
            topics: asked.map(topic).collect(),
            ..Default::default()
        }
    }

    fn init_producer_id(&self, code: ErrorCode) -> InitProducerIdResponse {
        if !code.is_ok() {
            return InitProducerIdResponse { error_code: code, producer_epoch: -1, ..Default::default() };
        }
        let mut cluster = self.state.cluster();
        cluster.next_producer_id += 1;
        InitProducerIdResponse { producer_id: cluster.next_producer_id, producer_epoch: 0, ..Default::default() }
    }

    fn produce(&self, request: &ProduceRequest, refused: Option<(ErrorCode, bool)>) -> ProduceResponse {
        let mut cluster = self.state.cluster();
        let mut responses = Vec::new();
        for topic in &request.topic_data {
            let mut answers = Vec::new();
            for data in &topic.partition_data {
                let partition =
                    cluster.topics.get_mut(&topic.name).and_then(|partitions| partitions.get_mut(data.index as usize));
                let outcome = match (refused, partition) {
                    (Some((code, false)), _) => Err(code),
                    (_, None) => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                    (_, Some(partition)) if partition.leader != Some(self.node) => {
                        Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)
                    }
                    (_, Some(partition)) => partition.log.append(data.records.as_deref().unwrap_or_default()),
                };
                let outcome = match (refused, outcome) {
                    (Some((code, true)), Ok(_)) => Err(code),
                    (_, outcome) => outcome,
                };
                answers.push(PartitionProduceResponse {
                    index: data.index,
                    error_code: outcome.err().unwrap_or_default(),
                    base_offset: outcome.unwrap_or(-1),
                    ..Default::default()
                });
            }
            responses.push(TopicProduceResponse {
                name: topic.name.clone(),
                partition_responses: answers,
                ..Default::default()
            });
        }
        ProduceResponse { responses, ..Default::default() }
    }
}

fn api_versions(code: ErrorCode) -> ApiVersionsResponse {
    fn range<R: Request>() -> ApiVersion {
        ApiVersion { api_key: R::KEY.code(), min_version: R::CLIENT_VERSIONS.min, max_version: R::CLIENT_VERSIONS.max }
    }
    let api_keys = vec![
        range::<ProduceRequest>(),
        range::<MetadataRequest>(),
        range::<ApiVersionsRequest>(),
        range::<InitProducerIdRequest>(),
    ];
    ApiVersionsResponse { error_code: code, api_keys, ..Default::default() }
}

fn decode<R: Request>(header: &RequestHeader, body: &Bytes) -> R {
    frame::decode_request(body, header).expect("the client sends sound requests")
}

fn encode<R: Request>(header: &RequestHeader, response: &R::Response) -> Vec<u8> {
    frame::encode_response::<R>(response, header.api_version, header.correlation_id)
        .expect("the answer fits its version")
        .to_vec()
}
