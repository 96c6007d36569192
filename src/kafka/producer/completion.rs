//! The thread that reads a connection's answers, and what each answer means for its batch.
//!
//! Produce has three outcomes: acknowledged, rejected, unknown. Unknown is tried again with the old sequence, and while
//! the broker may hold a batch it is not reported as failed before its time is up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::accumulator::Partition;
use super::batch::{Batch, Failure};
use super::delivery::Outcome;
use super::outbox::Outbox;
use super::sender::Flight;
use crate::kafka::cluster::LeaderHint;
use crate::kafka::error::{Error, ErrorKind};
use crate::kafka::net::Reader;
use crate::kafka::protocol::messages::{
    LeaderIdAndEpoch, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use crate::kafka::protocol::{ApiKey, ErrorCode};
use crate::sync::lock;

/// Concludes the batches of one broker's connection.
pub(super) struct Completion {
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
}

/// What an error code means for a batch that may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It is in the log.
    InLog,
    /// The client's metadata is out of date; says nothing about the batch being refused for itself.
    Stale { undecided: bool },
    /// An earlier batch of the partition is missing.
    OutOfOrder,
    /// The broker does not know this producer, or knows a newer one: a new id or epoch is needed.
    Stranger { new_id: bool },
    /// It may work the next time; counts as a retry.
    Transient { undecided: bool },
    /// Half of it may work.
    TooLarge,
    /// It will never work.
    Rejected { undecided: bool },
}

impl Meaning {
    fn of(code: ErrorCode) -> Self {
        match code {
            // The broker had it already: an earlier try was appended and only its answer was lost.
            ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Self::InLog,
            // A leader that is deposed while it waits for its followers answers this too, with the batch in its log.
            ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => Self::Stale { undecided: true },
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::INCONSISTENT_TOPIC_ID
            | ErrorCode::REPLICA_NOT_AVAILABLE => Self::Stale { undecided: false },
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER => Self::OutOfOrder,
            ErrorCode::UNKNOWN_PRODUCER_ID => Self::Stranger { new_id: false },
            ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::INVALID_PRODUCER_ID_MAPPING | ErrorCode::PRODUCER_FENCED => {
                Self::Stranger { new_id: true }
            }
            ErrorCode::REQUEST_TIMED_OUT | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND => {
                Self::Transient { undecided: true }
            }
            ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => Self::TooLarge,
            code if code.is_retriable() => Self::Transient { undecided: false },
            // The broker does not say what failed, so it may have been anything after the append.
            ErrorCode::UNKNOWN_SERVER_ERROR => Self::Rejected { undecided: true },
            _ => Self::Rejected { undecided: false },
        }
    }
}

impl Completion {
    pub(super) fn new(shared: Arc<Shared>, outbox: Arc<Outbox>) -> Self {
        Self { shared, outbox }
    }

    /// Reads answers until the connection ends, which the sender is told once everything has come back.
    pub(super) fn run(self, mut reader: Reader<Flight>) {
        loop {
            match reader.receive::<ProduceRequest>() {
                Ok((flight, response)) => {
                    self.answered(flight, &response);
                    self.outbox.answered();
                }
                Err((cause, flights)) => {
                    for flight in flights {
                        self.returned(flight, &Failure::lost(cause.clone()));
                    }
                    self.outbox.ended();
                    return;
                }
            }
        }
    }

    /// With `acks=0` nobody answers: what was handed to the system counts as delivered, at an unknown offset.
    pub(super) fn without_answer(&self, flight: Flight) {
        for (partition, batch) in flight {
            self.land(&partition, batch, Outcome::Acknowledged { base_offset: -1, log_append_time: None });
        }
        self.outbox.answered();
    }

    /// Puts the batches of a request back into their queues.
    pub(super) fn returned(&self, flight: Flight, failure: &Failure) {
        for (partition, batch) in flight {
            self.retry(&partition, batch, failure, false);
        }
    }

    fn answered(&self, flight: Flight, response: &ProduceResponse) {
        let answers: Vec<_> = response
            .responses
            .iter()
            .flat_map(|topic| topic.partition_responses.iter().map(move |answer| (topic, answer)))
            .collect();
        if response.throttle_time_ms > 0 {
            self.shared.throttle(&self.outbox, Duration::from_millis(response.throttle_time_ms.unsigned_abs().into()));
        }
        // Before batches go back into their queues, so that they go to the new leader's outbox.
        let hints: Vec<_> = answers.iter().filter_map(|(topic, answer)| hint(topic, answer)).collect();
        self.shared.cluster.follow_hints(&hints, &response.node_endpoints);
        for (place, (partition, batch)) in flight.into_iter().enumerate() {
            let about = |(topic, answer): &&(&TopicProduceResponse, &PartitionProduceResponse)| {
                answer.index == partition.index && *topic.name == *partition.topic
            };
            // Brokers answer in the order of the request, as a rule.
            let answer = answers.get(place).filter(about).or_else(|| answers.iter().find(about));
            match answer {
                Some((_, answer)) => self.conclude(&partition, batch, answer),
                None => {
                    let error =
                        Error::protocol("the broker's answer leaves this partition out").with_api(ApiKey::Produce);
                    self.retry(&partition, batch, &Failure::lost(error), true);
                }
            }
        }
    }

    fn conclude(&self, partition: &Arc<Partition>, mut batch: Batch, answer: &PartitionProduceResponse) {
        let code = answer.error_code;
        let mut failure =
            Failure { error: error(partition, answer), counted: false, undecided: false, out_of_order: false };
        let mut backoff = true;
        let meaning = Meaning::of(code);
        if meaning == Meaning::TooLarge {
            let mut queue = lock(&partition.queue);
            match queue.split(Box::new(batch), &self.shared.limits, &self.shared.memory) {
                Ok(()) => return self.shared.relist(partition, &mut queue, self.outbox.node),
                Err(whole) => batch = *whole,
            }
        }
        match meaning {
            Meaning::InLog => {
                let log_append_time = Some(answer.log_append_time_ms).filter(|&time| time >= 0);
                let outcome = Outcome::Acknowledged { base_offset: answer.base_offset, log_append_time };
                return self.land(partition, batch, outcome);
            }
            Meaning::TooLarge | Meaning::Rejected { .. } => {
                batch.undecided |= meaning == Meaning::Rejected { undecided: true };
                let error = batch.give_up(failure.error);
                return self.land(partition, batch, Outcome::Failed(error));
            }
            Meaning::Stale { undecided } => {
                failure.undecided = undecided;
                self.shared.cluster.request_refresh();
                // Where another leader is known, as by the answer itself, there is nothing to wait for.
                let leader = self.shared.cluster.snapshot().leader(&partition.topic, partition.index);
                backoff = leader.is_none_or(|leader| leader == self.outbox.node);
            }
            Meaning::OutOfOrder => {
                failure.out_of_order = true;
                backoff = false;
            }
            Meaning::Stranger { new_id } => {
                failure.out_of_order = true;
                if let Some(id) = batch.producer_id().filter(|_| new_id) {
                    self.shared.identity.forget(id);
                }
                if batch.undecided {
                    // Whoever does not know the producer cannot tell a repetition either.
                    let error = batch.give_up(failure.error);
                    return self.land(partition, batch, Outcome::Failed(error));
                }
            }
            Meaning::Transient { undecided } => {
                failure.undecided = undecided;
                failure.counted = true;
            }
        }
        log::debug!("{}; sending it again", failure.error);
        self.retry(partition, batch, &failure, backoff);
    }

    fn land(&self, partition: &Arc<Partition>, batch: Batch, outcome: Outcome) {
        let mut queue = lock(&partition.queue);
        queue.landed(&batch, matches!(outcome, Outcome::Acknowledged { .. }));
        self.shared.relist(partition, &mut queue, self.outbox.node);
        drop(queue);
        self.shared.conclude(partition, batch, outcome);
    }

    fn retry(&self, partition: &Arc<Partition>, mut batch: Batch, failure: &Failure, backoff: bool) {
        let limits = &self.shared.limits;
        let now = Instant::now();
        let mut queue = lock(&partition.queue);
        let retries_left = batch.failed(failure, limits);
        let why = if queue.is_closed() {
            Some(Error::new(ErrorKind::State, "the producer was closed before it was acknowledged"))
        } else if !retries_left {
            Some(Error::new(failure.error.kind(), format!("given up after {} retries", limits.retries)))
        } else {
            None
        };
        if let Some(why) = why {
            queue.landed(&batch, false);
            self.shared.relist(partition, &mut queue, self.outbox.node);
            drop(queue);
            let error = batch.give_up(why);
            return self.shared.conclude(partition, batch, Outcome::Failed(error));
        }
        self.shared.counters.retried();
        queue.returned(batch, backoff, now, limits);
        self.shared.relist(partition, &mut queue, self.outbox.node);
    }
}

/// What the answer says about who leads the partition instead.
fn hint<'a>(topic: &'a TopicProduceResponse, answer: &'a PartitionProduceResponse) -> Option<LeaderHint<'a>> {
    let LeaderIdAndEpoch { leader_id, .. } = answer.current_leader;
    let told = leader_id >= 0 && answer.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER;
    told.then(|| LeaderHint { topic: &topic.name, partition: answer.index, leader: &answer.current_leader })
}

fn error(partition: &Partition, answer: &PartitionProduceResponse) -> Error {
    let mut words = answer.error_message.clone();
    if let Some(record) = answer.record_errors.first() {
        let more = record.batch_index_error_message.as_deref().unwrap_or_default();
        words = Some(format!("{} (record {}: {more})", words.unwrap_or_default(), record.batch_index));
    }
    Error::broker_code(ApiKey::Produce, answer.error_code, words.as_deref())
        .with_partition(&*partition.topic, partition.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_about_the_batch_itself_count_as_retries() {
        assert_eq!(Meaning::of(ErrorCode::DUPLICATE_SEQUENCE_NUMBER), Meaning::InLog);
        assert_eq!(Meaning::of(ErrorCode::NOT_LEADER_OR_FOLLOWER), Meaning::Stale { undecided: true });
        assert_eq!(Meaning::of(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), Meaning::Stale { undecided: false });
        assert_eq!(Meaning::of(ErrorCode::REQUEST_TIMED_OUT), Meaning::Transient { undecided: true });
        assert_eq!(Meaning::of(ErrorCode::NOT_ENOUGH_REPLICAS), Meaning::Transient { undecided: false });
        assert_eq!(Meaning::of(ErrorCode::INVALID_RECORD), Meaning::Rejected { undecided: false });
        assert_eq!(Meaning::of(ErrorCode::UNKNOWN_SERVER_ERROR), Meaning::Rejected { undecided: true });
        assert_eq!(
            Meaning::of(ErrorCode(999)),
            Meaning::Rejected { undecided: false },
            "an unknown code is not tried for ever"
        );
    }
}
