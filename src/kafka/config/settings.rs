//! The typed settings of each kind of client, and the one place that knows which settings contradict each other.
//!
//! A contradiction is only ever between values that the user set. A default that does not fit a value that was set
//! gives way.

use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::given::Given;
use super::property::{Bytes, Choice, Kibibytes, Scope, SocketBuffer, Typed, Value};
use super::{Config, names, table};
use crate::kafka::error::{Error, Result};
use crate::kafka::record::compression::Compression;

/// What every client needs to know.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    /// At least one.
    pub(crate) bootstrap: Vec<Address>,
    pub(crate) client_id: String,
    pub(crate) request_timeout: Duration,
    /// For one attempt at one address.
    pub(crate) connect_timeout: Duration,
    /// For all brokers together.
    pub(crate) first_connect_timeout: Duration,
    pub(crate) reconnect_backoff: Duration,
    pub(crate) reconnect_backoff_max: Duration,
    pub(crate) retry_backoff: Duration,
    pub(crate) retry_backoff_max: Duration,
    pub(crate) metadata_max_age: Duration,
    pub(crate) default_api_timeout: Duration,
    pub(crate) receive_max_bytes: usize,
    /// `None` leaves it to the system.
    pub(crate) send_buffer: Option<usize>,
    /// `None` leaves it to the system.
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) allow_auto_create_topics: bool,
    pub(crate) client_rack: Option<String>,
}

/// What a producer needs to know.
#[derive(Clone, Debug)]
pub(crate) struct ProducerSettings {
    pub(crate) client: Arc<ClientSettings>,
    /// -1 (all in-sync replicas), 0 or 1. -1 if `idempotence`.
    pub(crate) acks: i16,
    pub(crate) idempotence: bool,
    /// At least 1, at most 5 if `idempotence`.
    pub(crate) max_in_flight: usize,
    pub(crate) retries: u32,
    pub(crate) message_timeout: Duration,
    /// Less than `message_timeout`.
    pub(crate) linger: Duration,
    /// At least 1, at most `max_request_size` and `buffer_memory`.
    pub(crate) batch_size: usize,
    pub(crate) buffer_memory: usize,
    pub(crate) max_block: Duration,
    pub(crate) max_request_size: usize,
    pub(crate) compression: Compression,
    pub(crate) partitioner: PartitionerKind,
    /// How long messages without a key stay with one partition.
    pub(crate) sticky_linger: Duration,
}

/// What a consumer needs to know.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerSettings {
    pub(crate) client: Arc<ClientSettings>,
    pub(crate) group_id: Option<String>,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) session_timeout: Duration,
    /// Less than `session_timeout`.
    pub(crate) heartbeat_interval: Duration,
    pub(crate) max_poll_interval: Duration,
    pub(crate) max_poll_records: usize,
    pub(crate) auto_offset_reset: OffsetReset,
    pub(crate) isolation_level: IsolationLevel,
    pub(crate) fetch_min_bytes: i32,
    /// Less than the client's request timeout.
    pub(crate) fetch_max_wait: Duration,
    pub(crate) fetch_max_bytes: i32,
    pub(crate) max_partition_fetch_bytes: i32,
    pub(crate) prefetch_bytes: usize,
    /// `None` never. At least twice `fetch_max_wait`.
    pub(crate) stall_timeout: Option<Duration>,
    pub(crate) check_crcs: bool,
    /// At least one, in order of preference.
    pub(crate) assignors: Vec<AssignorKind>,
    pub(crate) group_protocol: GroupProtocol,
    /// The coordinator's assignor; its default if none.
    pub(crate) group_remote_assignor: Option<String>,
    /// How often `poll` commits; never if none.
    pub(crate) auto_commit: Option<Duration>,
}

/// Which replicas must have a message: the number in Produce requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acks(pub(crate) i16);

impl Choice for Acks {
    const NAMES: &'static [(&'static str, Self)] =
        &[("all", Self(-1)), ("0", Self(0)), ("1", Self(1)), ("-1", Self(-1))];
}

impl Choice for Compression {
    #[cfg(feature = "compression")]
    const NAMES: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("gzip", Self::Gzip),
        ("snappy", Self::Snappy),
        ("lz4", Self::Lz4),
        ("zstd", Self::Zstd),
    ];
    #[cfg(not(feature = "compression"))]
    const NAMES: &'static [(&'static str, Self)] = &[("none", Self::None)];
    #[cfg(not(feature = "compression"))]
    const UNBUILT: &'static [&'static str] = &["gzip", "snappy", "lz4", "zstd"];
    #[cfg(not(feature = "compression"))]
    const UNBUILT_REASON: &'static str = "this program was built without the feature \"compression\"";
}

/// Who gets a message that names no partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartitionerKind {
    /// By murmur2 of the key, as in Java; without a key sticky.
    Murmur2,
    /// Each partition in turn.
    RoundRobin,
    /// Sticky, whether there is a key or not.
    Sticky,
}

impl Choice for PartitionerKind {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("murmur2_random", Self::Murmur2),
        ("DefaultPartitioner", Self::Murmur2),
        ("RoundRobinPartitioner", Self::RoundRobin),
        ("UniformStickyPartitioner", Self::Sticky),
    ];
    const UNBUILT: &'static [&'static str] =
        &["random", "consistent", "consistent_random", "murmur2", "fnv1a", "fnv1a_random"];
}

/// Where a consumer starts without a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetReset {
    /// At the first record there is.
    Earliest,
    /// At the end.
    Latest,
    /// Nowhere: it is an error.
    None,
}

impl Choice for OffsetReset {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("earliest", Self::Earliest),
        ("latest", Self::Latest),
        ("none", Self::None),
        ("smallest", Self::Earliest),
        ("beginning", Self::Earliest),
        ("largest", Self::Latest),
        ("end", Self::Latest),
        ("error", Self::None),
    ];
    const UNBUILT: &'static [&'static str] = &["by_duration:*"];
}

/// Which records of transactions a consumer reads (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsolationLevel {
    /// All there are.
    ReadUncommitted,
    /// Those of committed ones, up to the first one that is not decided.
    ReadCommitted,
}

impl IsolationLevel {
    /// What requests call it.
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

impl Choice for IsolationLevel {
    const NAMES: &'static [(&'static str, Self)] =
        &[("read_uncommitted", Self::ReadUncommitted), ("read_committed", Self::ReadCommitted)];
}

/// How the leader of a classic group spreads partitions over members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AssignorKind {
    /// Topic by topic, neighbouring partitions together.
    Range,
    /// One partition after the other to one member after the other.
    RoundRobin,
    /// Evenly, with as few moves as possible; everyone lets go of everything first.
    Sticky,
    /// The same, where members keep what they own while they rejoin (KIP-429).
    CooperativeSticky,
}

/// Who shares a group's partitions out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupProtocol {
    /// One of the members.
    Classic,
    /// The coordinator (KIP-848).
    Consumer,
}

impl Choice for GroupProtocol {
    const NAMES: &'static [(&'static str, Self)] = &[("classic", Self::Classic), ("consumer", Self::Consumer)];
}

impl Choice for AssignorKind {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("range", Self::Range),
        ("roundrobin", Self::RoundRobin),
        ("sticky", Self::Sticky),
        ("cooperative-sticky", Self::CooperativeSticky),
        ("RangeAssignor", Self::Range),
        ("RoundRobinAssignor", Self::RoundRobin),
        ("StickyAssignor", Self::Sticky),
        ("CooperativeStickyAssignor", Self::CooperativeSticky),
    ];
}

/// The most requests in flight with which a broker can still put an idempotent producer's batches in order.
const IDEMPOTENT_IN_FLIGHT: usize = 5;
/// What an answer to Fetch has besides the records; librdkafka reckons with the same.
const FETCH_OVERHEAD: usize = 512;
const MS: Duration = Duration::from_millis(1);

impl Config {
    /// The settings that all clients share, for a client that is neither a producer nor a consumer.
    pub(crate) fn client(&self) -> Result<ClientSettings> {
        self.check(Scope::Common)?;
        self.tell_unused(Scope::Common);
        self.common()
    }

    /// A producer's settings.
    pub(crate) fn producer(&self) -> Result<ProducerSettings> {
        self.check(Scope::Producer)?;
        self.tell_unused(Scope::Producer);
        let mut client = self.common()?;

        let mut linger = self.value(&table::LINGER)?;
        let mut message_timeout = self.value(&table::MESSAGE_TIMEOUT)?;
        let request_timeout = self.set_value(&table::REQUEST_TIMEOUT)?;
        let needed = linger.saturating_add(request_timeout.unwrap_or(MS));
        if message_timeout < needed {
            // check() saw to it that not all of them were set.
            if !self.is_set(&table::MESSAGE_TIMEOUT) {
                message_timeout = needed;
            } else if !self.is_set(&table::LINGER) {
                linger = message_timeout.saturating_sub(request_timeout.unwrap_or(MS));
            }
        }
        if request_timeout.is_none() {
            let left = message_timeout.saturating_sub(linger).max(MS);
            client.request_timeout = client.request_timeout.min(message_timeout / 2).min(left).max(MS);
        }

        let Acks(mut acks) = self.value(&table::ACKS)?;
        let mut max_in_flight = self.value(&table::MAX_IN_FLIGHT)?;
        let mut retries = self.value(&table::RETRIES)?;
        let mut idempotence = self.value(&table::IDEMPOTENCE)?;
        let obstacle = if acks != -1 {
            Some(self.describe(&table::ACKS))
        } else if max_in_flight > IDEMPOTENT_IN_FLIGHT {
            Some(self.describe(&table::MAX_IN_FLIGHT))
        } else if retries == 0 {
            Some(self.describe(&table::RETRIES))
        } else {
            None
        };
        if let (true, Some(obstacle)) = (idempotence, obstacle) {
            if self.is_set(&table::IDEMPOTENCE) {
                // Whatever stands in its way is a default, else check() had refused it.
                acks = -1;
                max_in_flight = max_in_flight.min(IDEMPOTENT_IN_FLIGHT);
                retries = retries.max(1);
            } else {
                idempotence = false;
                log::info!("enable.idempotence is off because of {obstacle}: retries may write a message twice");
            }
        }

        let Bytes(buffer_memory) = self.value(&table::BUFFER_MEMORY)?;
        let Bytes(mut batch_size) = self.value(&table::BATCH_SIZE)?;
        let Bytes(mut max_request_size) = self.value(&table::MAX_REQUEST_SIZE)?;
        if self.is_set(&table::BATCH_SIZE) && !self.is_set(&table::MAX_REQUEST_SIZE) {
            max_request_size = max_request_size.max(batch_size);
        }
        let buffer_memory =
            if self.is_set(&table::BUFFER_MEMORY) { buffer_memory } else { buffer_memory.max(batch_size) };
        batch_size = batch_size.min(max_request_size).min(buffer_memory).max(1);

        let mut partitioner = self.value(&table::PARTITIONER)?;
        if partitioner == PartitionerKind::Murmur2 && self.value(&table::PARTITIONER_IGNORE_KEYS)? {
            partitioner = PartitionerKind::Sticky;
        }
        Ok(ProducerSettings {
            client: Arc::new(client),
            acks,
            idempotence,
            max_in_flight,
            retries,
            message_timeout,
            linger,
            batch_size,
            buffer_memory,
            max_block: self.value(&table::MAX_BLOCK)?,
            max_request_size,
            compression: self.value(&table::COMPRESSION)?,
            partitioner,
            sticky_linger: self.value(&table::STICKY_LINGER)?,
        })
    }

    /// A consumer's settings.
    pub(crate) fn consumer(&self) -> Result<ConsumerSettings> {
        self.check(Scope::Consumer)?;
        self.tell_unused(Scope::Consumer);
        let mut client = self.common()?;

        let mut session_timeout = self.value(&table::SESSION_TIMEOUT)?;
        let mut heartbeat_interval = self.value(&table::HEARTBEAT_INTERVAL)?;
        if heartbeat_interval >= session_timeout {
            if self.is_set(&table::SESSION_TIMEOUT) {
                heartbeat_interval = (session_timeout / 3).max(MS);
            } else {
                session_timeout = heartbeat_interval.saturating_mul(3);
            }
        }

        let mut fetch_max_wait = self.value(&table::FETCH_MAX_WAIT)?;
        if fetch_max_wait >= client.request_timeout {
            if self.is_set(&table::REQUEST_TIMEOUT) {
                fetch_max_wait = client.request_timeout / 2;
            } else {
                client.request_timeout = fetch_max_wait.saturating_mul(2);
            }
        }

        // A broker may wait for more bytes although there are some.
        let stall_timeout = self.value(&table::STALL_TIMEOUT)?;
        let mut fetch_max_bytes = self.value(&table::FETCH_MAX_BYTES)?;
        let most = client.receive_max_bytes.saturating_sub(FETCH_OVERHEAD);
        if fetch_max_bytes.unsigned_abs() as usize > most {
            if self.is_set(&table::RECEIVE_MAX_BYTES) {
                fetch_max_bytes = i32::try_from(most).unwrap_or(i32::MAX);
            } else {
                client.receive_max_bytes = fetch_max_bytes.unsigned_abs() as usize + FETCH_OVERHEAD;
            }
        }
        if self.value(&table::AUTO_COMMIT)? && self.value(&table::GROUP_ID)?.is_none() {
            let set = self.describe(&table::AUTO_COMMIT);
            return Err(Error::config(format!("{set} needs group.id: there is no group to commit to")));
        }
        let Kibibytes(prefetch_bytes) = self.value(&table::PREFETCH)?;
        Ok(ConsumerSettings {
            client: Arc::new(client),
            group_id: self.value(&table::GROUP_ID)?,
            group_instance_id: self.value(&table::GROUP_INSTANCE_ID)?,
            session_timeout,
            heartbeat_interval,
            max_poll_interval: self.value(&table::MAX_POLL_INTERVAL)?,
            max_poll_records: self.value(&table::MAX_POLL_RECORDS)?,
            auto_offset_reset: self.value(&table::AUTO_OFFSET_RESET)?,
            isolation_level: self.value(&table::ISOLATION_LEVEL)?,
            fetch_min_bytes: self.value(&table::FETCH_MIN_BYTES)?,
            fetch_max_wait,
            fetch_max_bytes,
            max_partition_fetch_bytes: self.value(&table::MAX_PARTITION_FETCH_BYTES)?,
            prefetch_bytes,
            stall_timeout: Some(stall_timeout)
                .filter(|limit| !limit.is_zero())
                .map(|limit| limit.max(fetch_max_wait * 2)),
            check_crcs: self.value(&table::CHECK_CRCS)?,
            assignors: self.value(&table::ASSIGNORS)?,
            group_protocol: self.value(&table::GROUP_PROTOCOL)?,
            group_remote_assignor: self.value(&table::REMOTE_ASSIGNOR)?,
            auto_commit: if self.value(&table::AUTO_COMMIT)? {
                Some(self.value(&table::AUTO_COMMIT_INTERVAL)?)
            } else {
                None
            },
        })
    }

    fn common(&self) -> Result<ClientSettings> {
        if self.get(table::BOOTSTRAP_SERVERS.about.name).is_none() {
            return Err(Error::config("bootstrap.servers is not set; for example bootstrap.servers=localhost:9092"));
        }
        let request_timeout = self.value(&table::REQUEST_TIMEOUT)?;
        let mut default_api_timeout = self.value(&table::DEFAULT_API_TIMEOUT)?;
        // A default of a program stands: it knows what its calls may take.
        if !self.entries.contains_key(table::DEFAULT_API_TIMEOUT.about.name) {
            default_api_timeout = default_api_timeout.max(request_timeout);
        }
        let mut first_connect_timeout = self.value(&table::FIRST_CONNECT_TIMEOUT)?;
        let mut connect_timeout = self.value(&table::CONNECT_TIMEOUT)?;
        if connect_timeout > first_connect_timeout {
            if self.is_set(&table::FIRST_CONNECT_TIMEOUT) {
                connect_timeout = first_connect_timeout;
            } else {
                first_connect_timeout = connect_timeout;
            }
        }
        let reconnect_backoff = self.value(&table::RECONNECT_BACKOFF)?;
        let retry_backoff = self.value(&table::RETRY_BACKOFF)?;
        let SocketBuffer(send_buffer) = self.value(&table::SEND_BUFFER)?;
        let SocketBuffer(receive_buffer) = self.value(&table::RECEIVE_BUFFER)?;
        Ok(ClientSettings {
            bootstrap: self.value(&table::BOOTSTRAP_SERVERS)?,
            client_id: self.value(&table::CLIENT_ID)?,
            request_timeout,
            connect_timeout,
            first_connect_timeout,
            reconnect_backoff,
            reconnect_backoff_max: self.value(&table::RECONNECT_BACKOFF_MAX)?.max(reconnect_backoff),
            retry_backoff,
            retry_backoff_max: self.value(&table::RETRY_BACKOFF_MAX)?.max(retry_backoff),
            metadata_max_age: self.value(&table::METADATA_MAX_AGE)?,
            default_api_timeout,
            receive_max_bytes: self.value(&table::RECEIVE_MAX_BYTES)?,
            send_buffer,
            receive_buffer,
            allow_auto_create_topics: self.value(&table::ALLOW_AUTO_CREATE)?,
            client_rack: self.value(&table::CLIENT_RACK)?,
        })
    }

    /// Refuses values that the user set and that cannot both be. Only what this kind of client uses counts.
    pub(crate) fn check(&self, scope: Scope) -> Result<()> {
        self.compare(&table::CONNECT_TIMEOUT, &table::FIRST_CONNECT_TIMEOUT, |one, all| {
            (one > all).then_some("one attempt cannot take longer than all of them")
        })?;
        match scope {
            Scope::Producer => {
                self.compare(&table::IDEMPOTENCE, &table::ACKS, |on, Acks(acks)| {
                    (*on && *acks != -1).then_some("an idempotent producer needs acks=all")
                })?;
                self.compare(&table::IDEMPOTENCE, &table::MAX_IN_FLIGHT, |on, count| {
                    (*on && *count > IDEMPOTENT_IN_FLIGHT)
                        .then_some("an idempotent producer has at most 5 requests in flight")
                })?;
                self.compare(&table::IDEMPOTENCE, &table::RETRIES, |on, retries| {
                    (*on && *retries == 0).then_some("an idempotent producer must be allowed to retry")
                })?;
                self.compare(&table::LINGER, &table::MESSAGE_TIMEOUT, |linger, timeout| {
                    (linger >= timeout).then_some("messages would expire while they wait for company")
                })?;
                self.compare(&table::REQUEST_TIMEOUT, &table::MESSAGE_TIMEOUT, |request, message| {
                    (request > message).then_some("a message cannot expire before its first request does")
                })?;
                if let (Some(linger), Some(request), Some(message)) = (
                    self.set_value(&table::LINGER)?,
                    self.set_value(&table::REQUEST_TIMEOUT)?,
                    self.set_value(&table::MESSAGE_TIMEOUT)?,
                ) && message < linger.saturating_add(request)
                {
                    return Err(Error::config(format!(
                        "{} contradicts {} and {}: it must be at least the sum of the two",
                        self.describe(&table::MESSAGE_TIMEOUT),
                        self.describe(&table::LINGER),
                        self.describe(&table::REQUEST_TIMEOUT),
                    )));
                }
                self.compare(&table::BATCH_SIZE, &table::MAX_REQUEST_SIZE, |batch, request| {
                    (batch.0 > request.0).then_some("a batch must fit into a request")
                })?;
                self.compare(&table::BATCH_SIZE, &table::BUFFER_MEMORY, |batch, memory| {
                    (batch.0 > memory.0).then_some("a batch must fit into the buffer")
                })
            }
            Scope::Consumer => {
                if let Some(given) = self.given(&table::GROUP_ID)
                    && let Some(why) = names::group_fault(given.value())
                {
                    return Err(given.error(why, table::GROUP_ID.about.example()));
                }
                self.check_protocol()?;
                self.compare(&table::HEARTBEAT_INTERVAL, &table::SESSION_TIMEOUT, |heartbeat, session| {
                    (heartbeat >= session)
                        .then_some("the session would end between two heartbeats; a third of it is usual")
                })?;
                self.compare(&table::FETCH_MAX_WAIT, &table::REQUEST_TIMEOUT, |wait, timeout| {
                    (wait >= timeout).then_some("every fetch without news would time out")
                })?;
                self.compare(&table::FETCH_MAX_BYTES, &table::RECEIVE_MAX_BYTES, |fetch, receive| {
                    (fetch.unsigned_abs() as usize > receive.saturating_sub(FETCH_OVERHEAD))
                        .then_some("an answer must be allowed to be 512 bytes larger than the records in it")
                })
            }
            Scope::Common => Ok(()),
        }
    }

    /// Each group protocol has properties that the other one does not know.
    fn check_protocol(&self) -> Result<()> {
        let protocol = self.value(&table::GROUP_PROTOCOL)?;
        let refuse = |stranger: String, why: &str| Err(Error::config(format!("{stranger} contradicts {why}")));
        match protocol {
            GroupProtocol::Classic if self.is_set(&table::REMOTE_ASSIGNOR) => refuse(
                self.describe(&table::REMOTE_ASSIGNOR),
                "group.protocol=classic: partition.assignment.strategy is what it goes by",
            ),
            GroupProtocol::Classic => Ok(()),
            GroupProtocol::Consumer => {
                let protocol = self.describe(&table::GROUP_PROTOCOL);
                let told = [
                    (&table::SESSION_TIMEOUT, "the broker's group.consumer.session.timeout.ms"),
                    (&table::HEARTBEAT_INTERVAL, "the broker's group.consumer.heartbeat.interval.ms"),
                ];
                for (property, instead) in told {
                    if self.is_set(property) {
                        return refuse(self.describe(property), &format!("{protocol}: {instead} counts instead"));
                    }
                }
                if self.is_set(&table::ASSIGNORS) {
                    let why = format!("{protocol}: group.remote.assignor is what it goes by");
                    return refuse(self.describe(&table::ASSIGNORS), &why);
                }
                Ok(())
            }
        }
    }

    /// Refuses two values that the user set if `contradiction` finds one.
    fn compare<A: Value, B: Value>(
        &self,
        one: &Typed<A>,
        other: &Typed<B>,
        contradiction: impl FnOnce(&A, &B) -> Option<&'static str>,
    ) -> Result<()> {
        if let (Some(a), Some(b)) = (self.set_value(one)?, self.set_value(other)?)
            && let Some(why) = contradiction(&a, &b)
        {
            return Err(Error::config(format!("{} contradicts {}: {why}", self.describe(one), self.describe(other))));
        }
        Ok(())
    }

    fn set_value<T: Value>(&self, property: &Typed<T>) -> Result<Option<T>> {
        if self.is_set(property) { self.value(property).map(Some) } else { Ok(None) }
    }

    fn describe<T>(&self, property: &Typed<T>) -> String {
        self.given(property).map_or_else(|| property.about.name.to_owned(), Given::to_string)
    }
}
