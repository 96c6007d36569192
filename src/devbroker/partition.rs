//! One partition: its log, who leads it, and who waits for more of it.
//!
//! All brokers of the process share it. Whether a broker may serve it is asked with each request, by leader and epoch.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::call::Doorbell;
use super::config::TopicSettings;
use super::log::Log;
use super::producers::{Producers, Verdict};
use super::storage::{Checkpoint, Files};
use crate::Error;
use crate::kafka::protocol::{Bytes, ErrorCode};
use crate::kafka::record::batch::{self, Batch, field};
use crate::kafka::record::compression::{Compression, Limits};
use crate::sync::lock;

/// A partition of a topic.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) index: i32,
    state: Mutex<PartitionState>,
}

/// What the lock of a [`Partition`] guards.
#[derive(Debug, Default)]
pub(super) struct PartitionState {
    /// None while no broker that has a replica is up.
    pub(super) leader: Option<i32>,
    pub(super) leader_epoch: i32,
    /// The preferred leader first; never empty.
    pub(super) replicas: Vec<i32>,
    /// The replicas whose brokers are up, or the last one that was.
    pub(super) in_sync: Vec<i32>,
    pub(super) log: Log,
    pub(super) producers: Producers,
    /// Where all of it is kept; none if it is in memory only.
    pub(super) files: Option<Files>,
    /// Its topic was deleted.
    pub(super) gone: bool,
    /// Connections that wait for an append; each at most once.
    waiters: Vec<Weak<Doorbell>>,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Appended {
    pub(super) base_offset: i64,
    /// Milliseconds since 1970 if the topic has LogAppendTime, else -1.
    pub(super) append_time: i64,
    pub(super) log_start: i64,
    /// Memory that the log grew by.
    pub(super) grown: usize,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: ErrorCode,
    pub(super) message: Option<String>,
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None }
    }
}

impl Refused {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }
}

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) code: ErrorCode,
    /// Why, for the broker's own log.
    pub(super) why: String,
    /// Whether clients are told why: most often Kafka tells them the code alone.
    pub(super) told: bool,
    /// The records at fault, by their place in the batch.
    pub(super) records: Vec<(i32, String)>,
    /// Whether it was the log that did not take it; the answer says then where the log starts.
    pub(super) by_log: bool,
}

impl From<ErrorCode> for Rejected {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.description())
    }
}

impl Rejected {
    pub(super) fn new(code: ErrorCode, why: impl Into<String>) -> Self {
        Self { code, why: why.into(), told: false, records: Vec::new(), by_log: false }
    }

    fn by_log(self) -> Self {
        Self { by_log: true, ..self }
    }
}

impl Partition {
    /// An empty partition with these replicas, the first of which leads that is not at a broker that is down.
    pub(super) fn new(index: i32, replicas: Vec<i32>, down: &[i32], files: Option<Files>) -> Self {
        let in_sync: Vec<i32> = replicas.iter().copied().filter(|node| !down.contains(node)).collect();
        let state =
            PartitionState { leader: in_sync.first().copied(), in_sync, replicas, files, ..PartitionState::default() };
        Self { index, state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, PartitionState> {
        lock(&self.state)
    }
}

impl PartitionState {
    /// Whether this broker may serve the partition to somebody who believes in this leader epoch; -1 does not care.
    ///
    /// # Errors
    /// What Kafka answers otherwise (KIP-320).
    pub(super) fn check_leader(&self, node: i32, epoch: i32) -> Result<(), ErrorCode> {
        if self.leader != Some(node) {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        match epoch {
            -1 => Ok(()),
            epoch if epoch < self.leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
            epoch if epoch > self.leader_epoch => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            _ => Ok(()),
        }
    }

    /// Whether `node` may be read from: the leader, and, from version 11 of Fetch on, each replica in sync (KIP-392).
    ///
    /// # Errors
    /// As [`check_leader`](Self::check_leader).
    pub(super) fn check_replica(&self, node: i32, epoch: i32) -> Result<(), ErrorCode> {
        match self.leader {
            Some(leader) if self.in_sync.contains(&node) => self.check_leader(leader, epoch),
            _ => self.check_leader(node, epoch),
        }
    }

    /// Appends a checked batch, unless its producer's sequence says that it is there already, and wakes who waits.
    ///
    /// # Errors
    /// The sequence is out of order, or the batch cannot be kept on disk.
    pub(super) fn append(&mut self, batch: &Sound, now: i64) -> Result<Appended, Rejected> {
        let header = *batch.checked.header();
        let append_time = batch.append_time.unwrap_or(-1);
        let verdict = self.producers.check(&header).map_err(|code| Rejected::from(code).by_log())?;
        if let Verdict::Duplicate { base_offset, timestamp } = verdict {
            // Kafka has its time in place of one of appending.
            return Ok(Appended { base_offset, append_time: timestamp, log_start: self.log.start(), grown: 0 });
        }
        let before = self.log.size();
        let offsets = header.last_offset_delta + 1;
        let stored = self.log.place(&batch.bytes, offsets, self.leader_epoch, now);
        let base_offset = stored.base_offset;
        let checkpoint = || checkpoint(self.leader_epoch, &self.log);
        if let Some(files) = &mut self.files
            && let Err(error) = files.append(&stored.bytes, base_offset, checkpoint)
        {
            let text = format!("Error while appending records to {}: {error}", files.directory().display());
            return Err(Rejected::new(ErrorCode::KAFKA_STORAGE_ERROR, text));
        }
        self.log.push(stored);
        self.producers.note(&header, base_offset, now);
        self.wake();
        Ok(Appended { base_offset, append_time, log_start: self.log.start(), grown: self.log.size() - before })
    }

    /// Moves the start of the log up to `offset`; returns the memory that came free.
    pub(super) fn delete_before(&mut self, offset: i64) -> usize {
        let before = self.log.size();
        self.log.delete_before(offset);
        self.trim();
        self.keep();
        before - self.log.size()
    }

    /// Takes the oldest batch away; returns the memory that came free. Where the log starts then is not kept before
    /// [`keep`](Self::keep): the batch may be back after a crash.
    pub(super) fn drop_oldest(&mut self) -> usize {
        let before = self.log.size();
        self.log.drop_oldest();
        self.trim();
        before - self.log.size()
    }

    /// Deletes files of which the log holds nothing any more.
    pub(super) fn trim(&mut self) {
        if let Some(files) = &mut self.files {
            files.trim(self.log.start(), self.log.end());
        }
    }

    /// Keeps on disk what the log's batches do not say: epoch and start. What fails is said in the log and comes again
    /// with the next change or cleaning.
    pub(super) fn keep(&mut self) {
        if let Some(files) = &mut self.files {
            // It is noted there.
            let _ = files.keep(checkpoint(self.leader_epoch, &self.log));
        }
    }

    /// Ends the partition with all that is in it; returns the memory that came free.
    pub(super) fn end(&mut self) -> usize {
        self.gone = true;
        if let Some(files) = self.files.take() {
            files.erase();
        }
        let freed = self.delete_before(self.log.end());
        self.wake();
        freed
    }

    /// Goes on after a restart: led by the first of its replicas that is among this many brokers, in a new epoch.
    ///
    /// # Errors
    /// The new epoch cannot be kept on disk.
    pub(super) fn resume(&mut self, brokers: i32) -> std::io::Result<()> {
        let in_sync: Vec<i32> = self.replicas.iter().copied().filter(|id| (1..=brokers).contains(id)).collect();
        self.leader = in_sync.first().copied();
        if self.leader.is_some() {
            self.in_sync = in_sync;
        }
        self.leader_epoch += 1;
        match &mut self.files {
            Some(files) => files.keep(checkpoint(self.leader_epoch, &self.log)),
            None => Ok(()),
        }
    }

    /// Lets this connection know of the next append or change of leader.
    pub(super) fn tell(&mut self, doorbell: &Arc<Doorbell>) {
        self.waiters.retain(|waiter| waiter.strong_count() > 0);
        if !self.waiters.iter().any(|waiter| std::ptr::eq(waiter.as_ptr(), Arc::as_ptr(doorbell))) {
            self.waiters.push(Arc::downgrade(doorbell));
        }
    }

    /// Wakes everybody who waits for something to change here.
    pub(super) fn wake(&mut self) {
        for waiter in self.waiters.drain(..) {
            if let Some(doorbell) = waiter.upgrade() {
                doorbell.ring();
            }
        }
    }

    /// Makes a broker that is up the leader. If it is no replica yet, it takes the old leader's place.
    pub(super) fn move_to(&mut self, node: i32) {
        if !self.replicas.contains(&node) {
            let old = self.leader;
            for replica in self.replicas.iter_mut().chain(&mut self.in_sync).filter(|replica| Some(**replica) == old) {
                *replica = node;
            }
            if !self.replicas.contains(&node) {
                // It had no leader.
                self.replicas.insert(0, node);
            }
        }
        if !self.in_sync.contains(&node) {
            self.in_sync.push(node);
        }
        self.lead(Some(node));
    }

    /// Makes another replica the leader, or none.
    pub(super) fn lead(&mut self, leader: Option<i32>) {
        if self.leader != leader {
            self.leader = leader;
            self.leader_epoch += 1;
            self.keep();
            self.wake();
        }
    }
}

fn checkpoint(leader_epoch: i32, log: &Log) -> Checkpoint {
    Checkpoint { leader_epoch, log_start: log.start(), epochs: log.epochs().to_vec() }
}

/// The version of Produce from which on batches may be compressed with zstd (KIP-110).
const KNOWS_ZSTD: i16 = 7;
/// Where a batch's attributes name its codec, in their lower byte.
const CODEC: u8 = 0x07;

/// A batch that passed all checks of its own; only its sequence is not judged yet.
#[derive(Debug)]
pub(super) struct Sound {
    /// As it is to be stored.
    bytes: Bytes,
    checked: Batch,
    append_time: Option<i64>,
}

impl Sound {
    /// Checks what a client sent for one partition, by Kafka's rules and in its order. A batch that is cut off behind a
    /// whole one does not count.
    ///
    /// # Errors
    /// The code that Kafka answers with.
    pub(super) fn check(records: &Bytes, version: i16, settings: &TopicSettings, now: i64) -> Result<Self, Rejected> {
        let mut batches = batch::batches(records);
        let batch = match batches.next() {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => return Err(unreadable(records, version, &error)),
            None => return Err(one_batch(version)),
        };
        let whole = records.slice(0..records.len() - batches.rest());
        if batches.next().is_some() {
            return Err(one_batch(version));
        }
        let header = *batch.header();
        if header.compression == Compression::Zstd && version < KNOWS_ZSTD {
            return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE.into());
        }
        if batch.size() > settings.max_message_bytes {
            let text = format!("{} bytes, and max.message.bytes is {}", batch.size(), settings.max_message_bytes);
            return Err(Rejected::new(ErrorCode::MESSAGE_TOO_LARGE, text));
        }
        batch.check_crc().map_err(|error| Rejected::new(ErrorCode::CORRUPT_MESSAGE, error.to_string()))?;
        let invalid = |text: String| Rejected::new(ErrorCode::INVALID_RECORD, text).by_log();
        if header.base_offset != 0 {
            return Err(invalid(format!("the base offset of the batch is {}, not 0", header.base_offset)));
        }
        let offsets = i64::from(header.last_offset_delta) + 1;
        if i64::from(header.count) != offsets {
            return Err(invalid(format!("{} records in {offsets} offsets", header.count)));
        }
        if batch.is_control() {
            return Err(invalid("control batches are not for clients to write".to_owned()));
        }
        if header.producer_id >= 0 && header.base_sequence < 0 {
            return Err(invalid(format!("sequence {} of a producer with an id", header.base_sequence)));
        }
        let opened = batch
            .decompress(Limits::default())
            .map_err(|error| Rejected::new(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string()).by_log())?;
        opened.validate().map_err(|error| invalid(error.to_string()))?;
        settings.check_records(&opened, now).map_err(Rejected::by_log)?;
        let append_time = settings.append_time.then_some(now);
        let latest = opened.records().map(|record| record.timestamp).max().unwrap_or(-1);
        let bytes = match append_time {
            Some(time) => changed(&whole, |bytes| batch::set_append_time(bytes, time)),
            // Times are looked up by what the header says.
            None if latest != header.max_timestamp => changed(&whole, |bytes| batch::set_max_timestamp(bytes, latest)),
            None => whole,
        };
        Ok(Self { bytes, checked: batch, append_time })
    }
}

fn changed(whole: &Bytes, change: impl FnOnce(&mut [u8])) -> Bytes {
    let mut bytes = whole.to_vec();
    change(&mut bytes);
    bytes.into()
}

/// What a batch is refused for whose header makes no sense: what the client wrote on purpose is invalid, what changed on
/// the way is corrupt.
fn unreadable(records: &Bytes, version: i16, error: &Error) -> Rejected {
    let (magic, attributes) = (records.get(field::MAGIC), records.get(field::ATTRIBUTES + 1));
    let meant = batch::is_intact(records);
    let unknown_codec = attributes.is_some_and(|low| Compression::from_id(i16::from(low & CODEC)).is_none());
    match magic {
        Some(0 | 1) => Rejected::new(ErrorCode::INVALID_RECORD, error.to_string()),
        Some(&batch::MAGIC) if meant && unknown_codec => {
            let rejected = Rejected::new(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string());
            // Before that version the request itself is looked at for zstd, and Kafka stumbles there.
            if version >= KNOWS_ZSTD { rejected.by_log() } else { rejected }
        }
        Some(&batch::MAGIC) if meant => Rejected::new(ErrorCode::INVALID_RECORD, error.to_string()).by_log(),
        _ => Rejected { told: true, ..Rejected::new(ErrorCode::CORRUPT_MESSAGE, error.to_string()) },
    }
}

fn one_batch(version: i16) -> Rejected {
    Rejected::new(ErrorCode::INVALID_RECORD, format!("version {version} carries exactly one batch for each partition"))
}
