//! Kafka Rust Services: a sender and a receiver for Apache Kafka, on a client of their own, and a Kafka for development.
//!
//! The client is blocking and pure Rust: plain threads, no async runtime, no C. It speaks to Kafka 2.4 and newer. This
//! page is for those who use the crate as a library and for those who change it; the README is for those who run it.
//!
//! # Using it
//!
//! Settings carry Kafka's own names ([`Config`]); an [`Error`] says whose fault it is and where it happened.
//!
//! ```no_run
//! use krs::{Config, Consumer, Producer, Record};
//! use std::time::Duration;
//!
//! # fn main() -> krs::Result<()> {
//! let config = Config::new().set("bootstrap.servers", "localhost:9092")?.set("group.id", "readers")?;
//!
//! let producer = Producer::connect(&config)?;
//! let delivery = producer.send(Record::to("greetings").key("de").value("hallo"))?;
//! println!("{}", delivery.wait()?); // greetings-0@42
//! producer.close(Duration::from_secs(5))?;
//!
//! let mut consumer = Consumer::connect(&config)?;
//! consumer.subscribe(["greetings"])?;
//! loop {
//!     for record in &consumer.poll(Duration::from_millis(100))? {
//!         println!("{}-{}@{} {:?}", record.topic(), record.partition(), record.offset(), record.value());
//!     }
//!     consumer.commit()?;
//! }
//! # }
//! ```
//!
//! The client creates no topics by asking for them; [`Admin::create_topic`] does it on purpose. A client does not survive
//! `fork`.
//!
//! # Threads and data flow
//!
//! ```text
//!  caller's thread                               krs-send-N                  krs-ack-N
//!  ───────────────                               ──────────                  ─────────
//!  Producer::send ─▶ partitioner ─▶ batch ─▶ queue ─▶ stamp ══▶ broker N ══▶ outcome ─▶ Delivery, callbacks
//!     one lock, no copy but            one per partition;                       │
//!     the encoding itself              listed in its leader's outbox ◀─ retry ──┘
//!
//!  caller's thread                               krs-fetch-N
//!  ───────────────                               ───────────
//!  Consumer::poll ◀─ records ◀─ fetch buffer ◀─ check, decompress, validate ◀══ broker N
//!     │    ▲                                     krs-group
//!     │    └─ Assigned, Revoked, Lost ─────────── heartbeats, commits, offsets ⇄ group coordinator
//!     └─ commit ────────────────────────────────▶ krs-join: JoinGroup, SyncGroup ⇄ group coordinator
//!
//!  krs-metadata   one per client: asks any broker, publishes an immutable snapshot of brokers, leaders and epochs
//!  krs-resolve    one per name to resolve; the only thread that may be left behind
//!  stats          of the services: turns counters into log lines
//!  output         of the receiver: writes standard output, so that a stuck reader does not keep it from ending
//!  input          of `krs send --stdin`: reads standard input, so that a silent pipe does not keep it from ending
//!  receiver-N     and sender-N, with several of them in one process: the loop of each
//!
//! and of the development broker, in the same process or another:
//!
//!  krs-broker-N       accepts connections for broker N
//!  krs-broker-conn    one per connection: reads a request, serves it, writes the answer, then reads the next
//!  krs-broker-timer   one per process: deadlines of groups, retention, faults that are due
//! ```
//!
//! `N` is a broker's node id. Each of these threads has a connection of its own, but for `krs-send-N` and `krs-ack-N`,
//! which are the writing and the reading half of one. Threads start when they are first needed.
//!
//! # Where things are
//!
//! A path imports only from those above it; `error.rs` and `protocol/` alone know each other.
//!
//! | path | holds |
//! | --- | --- |
//! | `src/clock.rs`, `src/sync.rs` | named deadlines and backoff; locks that outlive a panic |
//! | `src/kafka/error.rs` | the one error type: whose fault, where, what to do |
//! | `src/kafka/protocol/` | messages as tables, their encoding, versions, error codes; knows no socket |
//! | `src/kafka/record/` | record batches: built in place, read in place; codecs; knows no socket |
//! | `src/kafka/config/` | every property with its default; what contradicts what |
//! | `src/kafka/net/` | one connection: dialling, handshake, what is in flight; knows no leader |
//! | `src/kafka/cluster/` | the metadata thread and its snapshot; connections by node id |
//! | `src/kafka/producer/` | partitioner, queues, senders, completion, idempotence, deliveries |
//! | `src/kafka/consumer/` | subscription, positions, fetchers, the group |
//! | `src/kafka/admin/` | topics, configurations, groups, offsets, lag; how a call finds who can answer |
//! | `src/stats.rs`, `src/logging.rs` | counters, histograms and their reports; the log and its filter |
//! | `src/devbroker/` | the development broker, over `protocol`, `record` and `net`; its own page has the files |
//! | `src/service/` | the sender, of lines too, the receiver, the demo and the verifiable clients, as loops with typed options |
//! | `src/operate/` | `krs topic` and `krs group`: what each does, tables, the shapes of `--json` |
//! | `src/bench/` | `krs bench`: what each command measures, the schedule, the report and how two compare |
//! | `src/cli/` | flags, environment, help; typed first, then resolved, then started |
//! | `bin/` | entry points of a few lines |
//! | `tests/`, `fuzz/` | conformance and faults on the development broker, programs as programs, memory bounds, the README, real Kafka; fuzz targets |
//! | `examples/etl/` | `just etl`: groups in a chain whose members come and go, every record accounted for |
//! | `scripts/`, `.ci/run` | Kafka for development and tests; everything that CI checks |
//!
//! # What is not obvious
//!
//! Bytes:
//! - Nothing a peer says is a reason to allocate: buffers grow as bytes arrive, array lengths are believed only as far as
//!   the bytes behind them go, decompression has limits. Decoders return errors; they do not panic.
//! - A response is one allocation, and whatever was decoded from it refers to that. A small part kept alive keeps all of it.
//! - An open batch is already in wire format, and its size is exact. Closing it only patches the header; the producer's id,
//!   epoch and sequence, and with them the checksum, follow when it is first sent.
//!   Records are copied again only when a buffer grows, a batch is compressed, or one that is too large is split.
//!
//! Connections:
//! - A broker reads nothing more from a connection until it has answered, and an answer to JoinGroup may take minutes. So
//!   joins, heartbeats and commits, fetches, produce requests and metadata never share a connection.
//! - A connection ends once, with one cause, and everything in flight on it ends with that cause. Whoever wants a blocked
//!   thread back shuts its socket down (`Closer` in `net/transport.rs`).
//! - A deadline carries the name of the property it came from, so that a timeout says what to change.
//!
//! Producer:
//! - A queue belongs to the partition, not to a broker. It is listed in one outbox at most; a new leader gets it only when
//!   nothing of it is in flight at the old one.
//! - Locks are taken in the order queue, outbox.
//! - Partitions without a leader are listed too, in the outbox of node -1: its thread sends nothing, but batches expire there.
//! - A batch keeps its sequence from its first sending until its outcome is known: that is what makes a retry harmless.
//!   When its time ends first, the outcome is "unknown", and the partition goes on in a new epoch.
//! - A retry is counted when a broker refused a batch for a reason that may pass. A lost connection and stale metadata cost
//!   time, not retries.
//! - With `linger.ms=0` there is no timer: a batch goes at once when nothing is in flight to its broker, else with the next
//!   answer or when it is full. So the size of batches follows the load.
//! - Callbacks run on `krs-ack-N`. One that blocks holds up that broker's answers; `send` inside of it fails where it
//!   would wait; one that panics ends the producer, which is why the release profile unwinds.
//! - `buffer.memory` counts every buffer. Compressing may overdraw it, by one batch for each thread that closes one.
//!
//! Consumer:
//! - The application learns of partitions that come and go inside `poll` and `close` only, on its own thread. That is what
//!   allows it to commit what it has done before a partition is taken away.
//! - Both group protocols end in the same steps of `poll`: give up, then take up (`group/membership.rs`). With the
//!   cooperative assignors and KIP-848 what stays is read on meanwhile.
//! - A JoinGroup that names no member yet is not broken off. The broker has made up a member by then, and no rebalance
//!   ends while it waits for that one; so whoever does not want to be it any more takes the answer and leaves.
//! - A commit belongs to a stay in the group, not to a generation: a rebalance that took nothing away only changes the name
//!   that it goes under. With the eager assignors each generation is a stay of its own. The coordinator does not ask whose a
//!   partition is; so a commit that has to be sent again leaves out what was given up meanwhile, and any commit what is of
//!   a topic that was created anew.
//! - With `enable.auto.commit` only what polls before the present one returned is committed, and at the end what all did.
//! - A position moves when records are handed over, and a commit without offsets commits positions. So all that `poll`
//!   returned should be processed before the next commit.
//! - Every stay at a partition, from an assignment or seek to the next, has an epoch, and what was fetched or asked under
//!   an older one is dropped. Nothing else keeps late answers out.
//! - A fetch session is its connection's. What an answer in it leaves out has no news, which is no failure; what a request
//!   leaves out is as it was. So every change of what is asked for must pass through `session.rs`.
//! - Records come from `Held::source`: the leader, or the replica that it named. Only one fetcher at a time has something of
//!   a partition, and the next one is woken when it is done.
//! - Nothing is skipped in silence: a position is given up in `truncation.rs`, `Core::take` and nowhere else, and says so.
//! - What lies in the fetch buffer has passed all checks, so handing it over cannot fail. A failure waits there in its
//!   turn, behind the records before it.
//! - Compressed batches may unfold to any size, so a fetcher unfolds an answer as the buffer has room, and the partitions
//!   of that answer stay its own meanwhile. It uses the buffers of decompressed batches again once all
//!   [`Records`] that refer to them are gone.
//! - `max.poll.interval.ms` is kept by the client itself: heartbeats go on without the application, so nobody else would
//!   notice that it is stuck.
//!
//! Development broker:
//! - Its measure is Apache Kafka: where the two answer differently it is wrong, and a test that runs on both says which.
//! - A connection's thread serves one request at a time and blocks where Kafka would make the client wait: a fetch for
//!   records, a join for the other members. It waits at one doorbell, which appends, groups and the end of the
//!   connection ring; nothing else wakes it.
//! - All brokers of a process share one state. Which of them may answer for a partition or a group is checked with each
//!   request, so clients see leaders and coordinators as in a cluster, and moving one is a single assignment.
//! - Logs hold batches as they travel. Only what no checksum covers is patched: base offset and leader epoch.
//!
//! Services:
//! - The receiver counts a message as processed once its line has left the process; `println!` could not tell. If a write
//!   fails, positions go back to the first message whose line is not whole.
//! - The sender's schedule is anchored at its start: what is late is counted and goes out at once, the rate holds.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "bench")]
pub mod bench;
#[cfg(feature = "services")]
pub mod cli;
pub mod clock;
#[cfg(feature = "devbroker")]
pub mod devbroker;
pub mod kafka;
#[cfg(feature = "services")]
pub mod logging;
#[cfg(feature = "services")]
pub mod operate;
#[cfg(feature = "services")]
pub mod service;
#[cfg(feature = "services")]
pub mod stats;
mod sync;

pub use kafka::config::{Config, Property, Scope};
#[doc(hidden)]
pub use kafka::protocol::fuzz;

pub use kafka::admin::{
    Admin, CommittedOffset, ConfigChange, ConfigEntry, ConfigResource, ConfigSource, Created, GroupDescription,
    GroupLag, GroupListing, GroupMember, GroupType, NewTopic, OffsetSpec, PartitionDescription, PartitionLag,
    TopicDescription,
};
pub use kafka::consumer::{Consumer, ConsumerRecord, OffsetAndTimestamp, Rebalance, Records, TopicPartition};
pub use kafka::error::{Error, ErrorKind, Result};
pub use kafka::producer::{DeliveredBatch, Delivery, Producer, ProducerCounters, RecordMetadata, SentRecord, Unposted};
pub use kafka::record::{Header, Record};

/// The examples of the README, compiled with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
