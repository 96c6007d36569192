//! `VerifiableConsumer`: reads as one of a group, and tells of every rebalance, poll and commit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{Events, Nothing, read_file};
use crate::kafka::protocol::ErrorCode;
use crate::service::Stop;
use crate::{Config, Consumer, ConsumerRecord, Rebalance, Records, Result, TopicPartition};

/// What the verifiable consumer is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the flags say of properties. They beat the file, as in Java.
    pub config: Vec<(&'static str, String)>,
    /// A file of properties.
    pub file: Option<PathBuf>,
    /// The topic to read.
    pub topic: String,
    /// Ends after this many messages.
    pub max_messages: Option<u64>,
    /// Commits by itself instead of after each poll.
    pub auto_commit: bool,
    /// Tells every record.
    pub verbose: bool,
}

/// Properties where neither the file nor a flag says anything.
pub const DEFAULTS: &[(&str, &str)] = &[("allow.auto.create.topics", "true")];

const POLL: Duration = Duration::from_millis(100);

/// How long leaving the group and closing the connections may take.
const CLOSING: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Place<'a> {
    topic: &'a str,
    partition: i32,
}

#[derive(Serialize)]
struct Places<'a> {
    partitions: Vec<Place<'a>>,
}

impl<'a> Places<'a> {
    fn of(partitions: &'a [TopicPartition]) -> Self {
        let place = |place: &'a TopicPartition| Place { topic: &place.topic, partition: place.partition };
        Self { partitions: partitions.iter().map(place).collect() }
    }
}

#[derive(Serialize)]
struct RecordData<'a> {
    key: Option<String>,
    value: Option<String>,
    topic: &'a str,
    partition: i32,
    offset: i64,
}

#[derive(Serialize)]
struct Consumed<'a> {
    count: usize,
    partitions: &'a [Summary<'a>],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    topic: &'a str,
    partition: i32,
    count: u64,
    min_offset: i64,
    max_offset: i64,
}

#[derive(Serialize)]
struct Committed<'a> {
    offsets: Vec<Offset<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    success: bool,
}

#[derive(Serialize)]
struct Offset<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
}

/// Reads until there were enough or the stop is asked for, and leaves the group.
///
/// # Errors
/// A wrong setting, no usable broker, being refused or fenced, a log that cannot be read on, or a standard output that
/// cannot be written.
pub fn run(options: &Options, stop: &Stop) -> Result<()> {
    let mut config = Config::new();
    if let Some(file) = &options.file {
        config = read_file(config, file)?;
    }
    for (name, value) in &options.config {
        config = config.set(name, value)?;
    }
    config = config.set("enable.auto.commit", options.auto_commit)?;
    for (name, value) in DEFAULTS {
        config = config.default_to(name, value)?;
    }
    config.consumer()?;
    let events = Events::start(stop)?;
    let Some(mut consumer) = stop.unless_asked("connecting", move || Consumer::connect(&config))? else {
        return Ok(());
    };
    events.tell("startup_complete", Nothing {});
    let told = events.clone();
    consumer.subscribe_with([&options.topic], move |_, rebalance| match rebalance {
        Rebalance::Assigned(partitions) => told.tell("partitions_assigned", Places::of(partitions)),
        // Java's listeners have one for both unless they say otherwise.
        Rebalance::Revoked(partitions) | Rebalance::Lost(partitions) if partitions.is_empty() => {}
        Rebalance::Revoked(partitions) | Rebalance::Lost(partitions) => {
            told.tell("partitions_revoked", Places::of(partitions));
        }
    })?;
    let ended = Reader { options, events: &events, consumer: &mut consumer, consumed: 0 }.read_all(stop);
    if stop.is_asked() {
        events.tell("shutdown_requested", Nothing {});
    }
    if let Err(error) = consumer.close(CLOSING) {
        log::warn!(target: "receiver", "{error}");
    }
    events.tell("shutdown_complete", Nothing {});
    if !stop.is_asked() {
        // A program that ends by itself is asked too, in Java, by the hook of its end.
        events.tell("shutdown_requested", Nothing {});
    }
    ended?;
    events.are_unread().map(drop)
}

struct Reader<'a> {
    options: &'a Options,
    events: &'a Events,
    consumer: &'a mut Consumer,
    consumed: u64,
}

impl Reader<'_> {
    fn left(&self) -> u64 {
        self.options.max_messages.map_or(u64::MAX, |most| most.saturating_sub(self.consumed))
    }

    fn read_all(mut self, stop: &Stop) -> Result<()> {
        while !stop.is_asked() && self.left() > 0 && !self.events.are_unread()? {
            let records = match self.consumer.poll(POLL) {
                Ok(records) => records,
                Err(error) if error.is_retriable() => {
                    log::warn!(target: "receiver", "poll: {error}");
                    stop.wait(POLL);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if records.is_empty() {
                continue;
            }
            let offsets = self.consume(&records)?;
            // What nobody was told of is not committed.
            if !self.options.auto_commit && !self.events.are_unread()? {
                self.commit(&offsets)?;
            }
        }
        Ok(())
    }

    /// Tells of these records, of as many as are still wanted. The next offset of each partition.
    fn consume(&mut self, records: &Records) -> Result<Vec<(TopicPartition, i64)>> {
        let mut order: Vec<(&TopicPartition, Vec<ConsumerRecord<'_>>)> = Vec::new();
        let mut known: BTreeMap<&TopicPartition, usize> = BTreeMap::new();
        for record in records {
            let at = *known.entry(record.topic_partition()).or_insert_with(|| {
                order.push((record.topic_partition(), Vec::new()));
                order.len() - 1
            });
            order[at].1.push(record);
        }
        let (mut summaries, mut offsets) = (Vec::new(), Vec::new());
        for (place, records) in &order {
            let wanted = usize::try_from(self.left()).unwrap_or(usize::MAX).min(records.len());
            let (wanted, more) = records.split_at(wanted);
            if let Some(next) = more.first() {
                self.consumer.seek(place, next.offset())?;
            }
            let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { continue };
            if self.options.verbose {
                self.events.tell_all(wanted.iter().map(|record| ("record_data", data(record))));
            }
            offsets.push(((*place).clone(), last.offset() + 1));
            summaries.push(Summary {
                topic: &place.topic,
                partition: place.partition,
                count: wanted.len() as u64,
                min_offset: first.offset(),
                max_offset: last.offset(),
            });
            self.consumed += wanted.len() as u64;
        }
        self.events.tell("records_consumed", Consumed { count: records.len(), partitions: &summaries });
        Ok(offsets)
    }

    /// A commit that fails is told, and the reading goes on; being fenced ends it.
    fn commit<'a>(&self, offsets: &'a [(TopicPartition, i64)]) -> Result<()> {
        let outcome = self.consumer.commit_offsets(offsets);
        if let Err(error) = &outcome
            && error.code() == Some(ErrorCode::FENCED_INSTANCE_ID)
        {
            return outcome;
        }
        let offset = |(place, offset): &'a (TopicPartition, i64)| Offset {
            topic: &place.topic,
            partition: place.partition,
            offset: *offset,
        };
        let offsets = offsets.iter().map(offset).collect();
        let error = outcome.err().map(|error| error.to_string());
        let success = error.is_none();
        self.events.tell("offsets_committed", Committed { offsets, error, success });
        Ok(())
    }
}

fn data<'a>(record: &ConsumerRecord<'a>) -> RecordData<'a> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    RecordData {
        key: record.key().map(text),
        value: record.value().map(text),
        topic: record.topic(),
        partition: record.partition(),
        offset: record.offset(),
    }
}
