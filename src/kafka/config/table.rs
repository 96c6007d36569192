//! Every property that the client acts on. Parsing, messages, help and the README's list all come from here.

use std::time::Duration;

use super::address::Address;
use super::property::{BLANK, Bytes, Kibibytes, Property, Scope, SocketBuffer, Typed};
use super::settings::{Acks, AssignorKind, GroupProtocol, IsolationLevel, OffsetReset, PartitionerKind};
use crate::kafka::record::compression::Compression;

const INT: i64 = i32::MAX as i64;
/// What Java keeps in a long; some write its largest value for "for ever".
const LONG: i64 = i64::MAX;

macro_rules! properties {
    ($(
        $constant:ident: $type:ty = $scope:ident $name:literal
            $(, also [$($alias:literal),+])? $(, variable $variable:literal)? $(, range $least:literal..=$most:expr)?
            , default $default:literal $(, example $example:literal)?
            => $meaning:literal;
    )*) => {
        $(
            pub(crate) static $constant: Typed<$type> = Typed::new(Property {
                name: $name,
                scope: Scope::$scope,
                default: $default,
                meaning: $meaning,
                $(aliases: &[$($alias),+],)?
                $(variable: $variable,)?
                $(range: ($least, $most),)?
                $(example: $example,)?
                ..BLANK
            });
        )*

        /// All of them, in the order in which they should be listed.
        pub(super) static ALL: &[&Property] = &[$(&$constant.about),*];
    };
}

properties! {
    BOOTSTRAP_SERVERS: Vec<Address> = Common "bootstrap.servers", also ["metadata.broker.list"],
        variable "KAFKA_BROKERS", default "", example "localhost:9092"
        => "Brokers to ask first; any of them tells of all others.";
    CLIENT_ID: String = Common "client.id", default "krs"
        => "The name under which brokers log this client and count its quotas.";
    CLIENT_RACK: Option<String> = Common "client.rack", default "", example "rack-1"
        => "The rack this client is in: records are read from a replica there, where brokers offer one, and whoever shares out the group's partitions may know.";
    REQUEST_TIMEOUT: Duration = Common "request.timeout.ms", also ["socket.timeout.ms"], range 1..=INT, default "30000"
        => "How long one request may wait for its answer. A producer's is, unless set, at most half of message.timeout.ms.";
    DEFAULT_API_TIMEOUT: Duration = Common "default.api.timeout.ms", range 1..=INT, default "60000"
        => "How long a call that names no time of its own may take.";
    CONNECT_TIMEOUT: Duration = Common "socket.connection.setup.timeout.ms", range 1..=INT, default "3000"
        => "How long one attempt to connect to one address may take.";
    FIRST_CONNECT_TIMEOUT: Duration = Common "socket.connection.setup.timeout.max.ms", range 1..=INT, default "10000"
        => "How long a client tries all its brokers in turn for its first connection.";
    RECONNECT_BACKOFF: Duration = Common "reconnect.backoff.ms", range 0..=LONG, default "50"
        => "Wait before a lost connection is opened again; doubles with each failure.";
    RECONNECT_BACKOFF_MAX: Duration = Common "reconnect.backoff.max.ms", range 0..=LONG, default "1000"
        => "The longest such wait.";
    RETRY_BACKOFF: Duration = Common "retry.backoff.ms", range 0..=LONG, default "100"
        => "Wait before a request that a broker answered with an error is sent again; doubles with each failure.";
    RETRY_BACKOFF_MAX: Duration = Common "retry.backoff.max.ms", range 0..=LONG, default "1000"
        => "The longest such wait.";
    METADATA_MAX_AGE: Duration = Common "metadata.max.age.ms", also ["topic.metadata.refresh.interval.ms"],
        range 1..=LONG, default "300000"
        => "How old the knowledge of topics and leaders may get before it is asked for again.";
    ALLOW_AUTO_CREATE: bool = Common "allow.auto.create.topics", default "false"
        => "Whether asking for an unknown topic lets the broker create it, where the broker does that.";
    RECEIVE_MAX_BYTES: usize = Common "receive.message.max.bytes", range 1000..=INT, default "104857600"
        => "The largest answer that is taken from a broker.";
    SEND_BUFFER: SocketBuffer = Common "send.buffer.bytes", also ["socket.send.buffer.bytes"], range -1..=INT,
        default "-1", example "131072"
        => "The send buffer of each socket.";
    RECEIVE_BUFFER: SocketBuffer = Common "receive.buffer.bytes", also ["socket.receive.buffer.bytes"], range -1..=INT,
        default "-1", example "65536"
        => "The receive buffer of each socket.";

    ACKS: Acks = Producer "acks", also ["request.required.acks"], default "all"
        => "Who must have a message before it counts as sent: all in-sync replicas, the leader alone (1), or nobody (0).";
    IDEMPOTENCE: bool = Producer "enable.idempotence", default "true"
        => "Writes each message exactly once and in order per partition. Off by itself where acks, retries or in-flight rule it out.";
    MAX_IN_FLIGHT: usize = Producer "max.in.flight.requests.per.connection", also ["max.in.flight"], range 1..=1_000_000,
        default "5"
        => "Requests sent to one broker before its answer to the first is awaited.";
    RETRIES: u32 = Producer "retries", also ["message.send.max.retries"], range 0..=INT, default "2147483647"
        => "How often a message is sent again after a broker answered with an error that may pass.";
    MESSAGE_TIMEOUT: Duration = Producer "message.timeout.ms", also ["delivery.timeout.ms"],
        variable "MESSAGE_TIMEOUT_MS", range 1..=INT, default "120000", example "5000"
        => "How long after send() a message is given up at the latest. The same as delivery.timeout.ms.";
    LINGER: Duration = Producer "linger.ms", also ["queue.buffering.max.ms"], range 0..=INT, default "0", example "5"
        => "How long a batch waits for more messages. At 0 it goes at once, or with the next answer if requests are in flight.";
    BATCH_SIZE: Bytes = Producer "batch.size", range 0..=INT, default "1000000"
        => "The size at which a batch is sent without further waiting.";
    BUFFER_MEMORY: Bytes = Producer "buffer.memory", range 1024..=LONG, default "16777216"
        => "Memory for messages not yet acknowledged; send() waits while it is full.";
    MAX_BLOCK: Duration = Producer "max.block.ms", range 0..=LONG, default "60000"
        => "How long send() waits for a topic's metadata or for room in the buffer.";
    MAX_REQUEST_SIZE: Bytes = Producer "max.request.size", also ["message.max.bytes"], range 1..=INT, default "1048576"
        => "The largest request, and so the largest message, that is sent.";
    COMPRESSION: Compression = Producer "compression.type", also ["compression.codec"], default "none", example "lz4"
        => "How batches are compressed.";
    PARTITIONER: PartitionerKind = Producer "partitioner.class", also ["partitioner"], default "murmur2_random"
        => "Who gets a message that names no partition: by key as Java does it, else sticky; or in turn; or always sticky.";
    PARTITIONER_IGNORE_KEYS: bool = Producer "partitioner.ignore.keys", default "false"
        => "Whether messages with a key are spread like those without one.";
    STICKY_LINGER: Duration = Producer "sticky.partitioning.linger.ms", range 0..=900_000, default "10"
        => "How long messages without a key stay with one partition if its batch does not end earlier.";

    GROUP_ID: Option<String> = Consumer "group.id", variable "CONSUMER_GROUP", default "", example "rust-consumer-group"
        => "The group that shares the partitions of the topics it subscribes to.";
    GROUP_INSTANCE_ID: Option<String> = Consumer "group.instance.id", default "", example "receiver-1"
        => "Makes this a static member (KIP-345): a restart within the session timeout moves no partition.";
    SESSION_TIMEOUT: Duration = Consumer "session.timeout.ms", range 1..=INT, default "45000"
        => "How long a member may be silent before its partitions go to others.";
    HEARTBEAT_INTERVAL: Duration = Consumer "heartbeat.interval.ms", range 1..=INT, default "3000"
        => "How often a member shows that it lives; at most a third of the session timeout is wise.";
    MAX_POLL_INTERVAL: Duration = Consumer "max.poll.interval.ms", range 1..=INT, default "300000"
        => "How long the application may stay away from poll() before its partitions go to others.";
    MAX_POLL_RECORDS: usize = Consumer "max.poll.records", range 1..=INT, default "500"
        => "The most records that one poll() returns.";
    AUTO_OFFSET_RESET: OffsetReset = Consumer "auto.offset.reset", default "latest", example "earliest"
        => "Where to start without a committed position, or with one that is no longer in the log; none is an error then.";
    ISOLATION_LEVEL: IsolationLevel = Consumer "isolation.level", default "read_uncommitted", example "read_committed"
        => "Whether records of transactions that were aborted, or are not decided yet, are read; read_committed reads neither.";
    FETCH_MIN_BYTES: i32 = Consumer "fetch.min.bytes", range 0..=INT, default "1"
        => "How much a broker collects before it answers.";
    FETCH_MAX_WAIT: Duration = Consumer "fetch.max.wait.ms", also ["fetch.wait.max.ms"], range 0..=INT, default "500"
        => "How long a broker collects at most.";
    FETCH_MAX_BYTES: i32 = Consumer "fetch.max.bytes", range 0..=INT, default "4194304"
        => "How much a broker puts into one answer; a larger batch still comes, alone.";
    MAX_PARTITION_FETCH_BYTES: i32 = Consumer "max.partition.fetch.bytes", also ["fetch.message.max.bytes"],
        range 0..=INT, default "1048576"
        => "How much of it may be from one partition.";
    PREFETCH: Kibibytes = Consumer "queued.max.messages.kbytes", range 1..=2_097_151, default "8192"
        => "How much is fetched ahead of poll(), in units of 1024 bytes.";
    STALL_TIMEOUT: Duration = Consumer "fetch.stall.timeout.ms", range 0..=INT, default "30000"
        => "How long a partition may bring nothing although its log goes on, before the log says so and its leader is connected to anew; 0 never. Of this client alone.";
    CHECK_CRCS: bool = Consumer "check.crcs", default "true"
        => "Whether the checksum of each batch is verified.";
    ASSIGNORS: Vec<AssignorKind> = Consumer "partition.assignment.strategy", default "range,cooperative-sticky"
        => "How a group's leader spreads partitions over its members, in order of preference.";
    GROUP_PROTOCOL: GroupProtocol = Consumer "group.protocol", default "classic", example "consumer"
        => "Who shares partitions out: one of the members, or (KIP-848, from Kafka 4 on) the coordinator.";
    REMOTE_ASSIGNOR: Option<String> = Consumer "group.remote.assignor", default "", example "uniform"
        => "How the coordinator spreads partitions with group.protocol=consumer; its own default if not set.";
    AUTO_COMMIT: bool = Consumer "enable.auto.commit", also ["auto.commit.enable"], default "false"
        => "Whether poll() and close() commit what earlier polls returned.";
    AUTO_COMMIT_INTERVAL: Duration = Consumer "auto.commit.interval.ms", range 1..=INT, default "5000"
        => "How often poll() does.";
}
