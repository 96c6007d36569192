//! Writing, while the way of each request or its answer is broken, or every code is answered that Kafka has for it.

use std::time::{Duration, Instant};

use krs::devbroker::FaultId;
use krs::kafka::protocol::ErrorCode;
use krs::{ErrorKind, Producer, Record};

use super::ledger::{Ledger, Outcomes, Promise};
use super::support::{BREAKS, LONG, PARTITIONS, Settings, config, each, inject, kafka, within};

/// The time that a record is given in most trials.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// One way to write under a fault.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    faults: Vec<String>,
    settings: Vec<(&'static str, &'static str)>,
    padding: usize,
    records: usize,
    promise: Promise,
    /// The faults begin once the producer knows the topic.
    late: bool,
}

impl Trial {
    pub fn of(faults: &[&str]) -> Self {
        let faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
        Self { faults, records: 36, ..Self::default() }
    }

    pub fn with(mut self, settings: &[(&'static str, &'static str)]) -> Self {
        self.settings.extend(settings);
        self
    }

    /// The faults begin once the producer knows the topic.
    pub fn late(self) -> Self {
        Self { late: true, ..self }
    }

    pub fn promising(self, promise: Promise) -> Self {
        Self { promise, ..self }
    }

    fn label(&self) -> String {
        format!("{} {:?}", self.faults.join(" & "), self.settings)
    }

    /// Writes under the faults, and once more after them. Each record is a request of its own.
    pub fn run(&self) -> Outcomes {
        let broker = kafka();
        let limit = MESSAGE_TIMEOUT.as_millis().to_string();
        let timeouts = [("batch.size", "1"), ("message.timeout.ms", &*limit), ("request.timeout.ms", "1000")];
        let config = config(&broker).and(&timeouts).and(&self.settings);
        let faults = || -> Vec<FaultId> { self.faults.iter().map(|fault| inject(&broker, fault)).collect() };
        let mut ids = if self.late { Vec::new() } else { faults() };
        let producer = Producer::connect(&config).unwrap_or_else(|error| panic!("{}: {error}", self.label()));
        if self.late {
            producer.partition_count("t").unwrap();
            ids = faults();
        }
        let mut ledger = Ledger::new(self.label());
        ledger.send_padded(&producer, self.records, self.padding);
        let limit = Duration::from_millis(config.get("message.timeout.ms").unwrap().parse().unwrap());
        ledger.settle(limit);
        // What is asked for in the background may be asked for later.
        let until = Instant::now() + LONG;
        while let Some(at) = ids.iter().position(|id| broker.faults_applied(*id) == 0) {
            assert!(Instant::now() < until, "{} never acted", self.faults[at]);
            ledger.send(&producer, PARTITIONS as usize);
            ledger.settle(limit);
        }
        broker.clear_faults();
        let sent = ledger.len();
        let outcomes = ledger.check(&broker, self.promise);
        assert_eq!(outcomes.acknowledged + outcomes.failed.len() + outcomes.unknown.len(), sent);
        if self.promise == Promise::Misled {
            // It may have been told anything, for instance to be silent for a week.
            return outcomes;
        }
        let mut after = Ledger::new(format!("after {}", self.label()));
        // On a busy machine one round may take longer than its records may wait.
        let until = Instant::now() + LONG;
        loop {
            let round = after.len();
            after.send(&producer, PARTITIONS as usize);
            after.settle(limit);
            if after.tally(round) == [PARTITIONS as usize, 0, 0] {
                break;
            }
            assert!(Instant::now() < until, "{}: not every partition takes records again", self.label());
        }
        let before = [outcomes.acknowledged, outcomes.failed.len(), outcomes.unknown.len()];
        let after = after.tally(0);
        let counters = producer.counters();
        let told = [counters.acknowledged, counters.failed, counters.unknown, counters.pending];
        let known = [before[0] + after[0], before[1] + after[1], before[2] + after[2], 0];
        assert_eq!(told, known.map(|count| count as u64), "{}", self.label());
        within(LONG, "closing", || producer.close(LONG)).unwrap();
        outcomes
    }
}

/// Runs trials in which every record arrives.
pub fn all_arrive(trials: &[Trial]) {
    each(trials, |trial| {
        let outcomes = trial.run();
        let lost = outcomes.failed.first().or(outcomes.unknown.first());
        assert!(lost.is_none(), "{}: {}", trial.label(), lost.unwrap());
    });
}

#[test]
fn a_connection_cut_at_any_request_costs_nothing() {
    let mut trials = Vec::new();
    for fault in BREAKS {
        trials.extend((0..8).map(|skip| Trial::of(&[&format!("produce:{fault},next=1,skip={skip}")])));
        trials.push(Trial::of(&[&format!("produce:{fault},every=2")]));
        let one = Trial::of(&[&format!("produce:{fault},every=3")]);
        trials.push(one.with(&[("max.in.flight.requests.per.connection", "1")]));
        trials.push(Trial::of(&[&format!("produce:{fault},next=8")]));
    }
    all_arrive(&trials);
}

/// The broker closes while most of the request is still to be written.
#[test]
fn a_connection_cut_within_a_large_request_costs_nothing() {
    let trials = [0, 1, 3].map(|skip| {
        let trial = Trial::of(&[&format!("produce:drop-inside,next=2,skip={skip}")]);
        Trial { records: 9, padding: 900_000, ..trial }.with(&[("send.buffer.bytes", "8192")])
    });
    all_arrive(&trials);
}

#[test]
fn batches_of_many_records_come_through_like_single_ones() {
    let mut trials = Vec::new();
    for fault in BREAKS.into_iter().chain(["error=NOT_ENOUGH_REPLICAS", "error=MESSAGE_TOO_LARGE"]) {
        let trial = Trial::of(&[&format!("produce:{fault},next=3,skip=1")]);
        let trial = Trial { records: 600, ..trial }.with(&[("batch.size", "1000"), ("linger.ms", "1")]);
        #[cfg(feature = "compression")]
        trials.push(trial.clone().with(&[("compression.type", "lz4")]));
        trials.push(trial);
    }
    all_arrive(&trials);
}

/// An answer without a checksum may say anything after that. The log is right all the same.
#[test]
fn garbled_answers_do_not_spoil_the_log() {
    let trials: Vec<_> = (1..=12)
        .map(|seed| Trial::of(&[&format!("produce:garble,next=6,seed={seed}")]).promising(Promise::Misled))
        .map(|trial| trial.with(&[("message.timeout.ms", "1000")]))
        .collect();
    each(&trials, |trial| drop(trial.run()));
}

#[test]
fn what_may_pass_is_tried_again_until_it_has_passed() {
    use ErrorCode as Code;
    let refused = [
        Code::CORRUPT_MESSAGE,
        Code::UNKNOWN_TOPIC_OR_PARTITION,
        Code::LEADER_NOT_AVAILABLE,
        Code::NOT_LEADER_OR_FOLLOWER,
        Code::REQUEST_TIMED_OUT,
        Code::NETWORK_EXCEPTION,
        Code::NOT_ENOUGH_REPLICAS,
        Code::KAFKA_STORAGE_ERROR,
        Code::FENCED_LEADER_EPOCH,
        Code::UNKNOWN_LEADER_EPOCH,
        Code::UNKNOWN_TOPIC_ID,
        Code::THROTTLING_QUOTA_EXCEEDED,
        Code::OUT_OF_ORDER_SEQUENCE_NUMBER,
        Code::UNKNOWN_PRODUCER_ID,
        Code::INVALID_PRODUCER_EPOCH,
        Code::INVALID_PRODUCER_ID_MAPPING,
    ];
    let appended = [
        Code::REQUEST_TIMED_OUT,
        Code::NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Code::NOT_LEADER_OR_FOLLOWER,
        Code::KAFKA_STORAGE_ERROR,
        Code::DUPLICATE_SEQUENCE_NUMBER,
    ];
    let faults = refused.map(|code| format!("produce:error={code}")).into_iter();
    let faults = faults.chain(appended.map(|code| format!("produce:error={code},after-work")));
    let trials: Vec<_> = faults
        .flat_map(|fault| ["next=1", "next=3,skip=4", "next=8"].map(|when| Trial::of(&[&format!("{fault},{when}")])))
        .collect();
    all_arrive(&trials);
}

/// With answers still to come the producer cut its own connection, to ask for another id on the next one. What had been
/// in flight was in doubt then, and could not be sent again to a broker that took the producer for a stranger.
#[test]
fn a_new_producer_id_is_not_asked_for_while_answers_are_to_come() {
    let broker = kafka();
    [0, 2].iter().for_each(|index| broker.move_leader("t", *index, 1).unwrap());
    let delays = inject(&broker, "produce:delay=50ms,broker=1");
    let strangers = inject(&broker, "produce:error=INVALID_PRODUCER_EPOCH,broker=1,every=2,next=2");
    let producer = Producer::connect(&config(&broker).and(&[("batch.size", "1")])).unwrap();
    let send = |partition, value| producer.send(Record::to("t").partition(partition).value(value)).unwrap();
    send(0, "0").wait().unwrap();
    let refused = send(0, "1");
    while broker.faults_applied(delays) < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // In flight while the answer comes that asks for another id.
    let others = [send(2, "0"), send(2, "1")];
    assert_eq!(refused.wait().unwrap().offset(), 1);
    assert_eq!(others.map(|delivery| delivery.wait().unwrap().offset()), [0, 1]);
    assert_eq!(broker.faults_applied(strangers), 2);
}

#[test]
fn what_is_refused_for_good_fails_alone_and_with_its_code() {
    use ErrorCode as Code;
    let codes = [
        Code::MESSAGE_TOO_LARGE,
        Code::RECORD_LIST_TOO_LARGE,
        Code::INVALID_RECORD,
        Code::INVALID_TIMESTAMP,
        Code::INVALID_TOPIC_EXCEPTION,
        Code::TOPIC_AUTHORIZATION_FAILED,
        Code::CLUSTER_AUTHORIZATION_FAILED,
        Code::INVALID_REQUIRED_ACKS,
        Code::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        Code::UNSUPPORTED_COMPRESSION_TYPE,
        Code::UNSUPPORTED_VERSION,
        Code::POLICY_VIOLATION,
        Code::INVALID_REQUEST,
        Code(999),
    ];
    let rows: Vec<_> = codes.iter().flat_map(|code| [0, 5].map(|skip| (*code, skip))).collect();
    each(&rows, |(code, skip)| {
        let fault = format!("produce:error={},next=1,skip={skip}", code.0);
        let outcomes = Trial::of(&[&fault]).run();
        // One request carries a batch of each partition that its broker leads, two at most.
        assert!((1..=2).contains(&outcomes.failed.len()) && outcomes.unknown.is_empty(), "{code}");
        for error in &outcomes.failed {
            assert_eq!((error.code(), error.topic()), (Some(*code), Some("t")), "{error}");
            let kind = if code.is_refusal() { ErrorKind::Refused } else { ErrorKind::Broker };
            assert_eq!(error.kind(), kind, "{error}");
        }
    });
}

/// The broker itself does not know what went wrong; the records may be in its log.
#[test]
fn an_unknown_server_error_leaves_the_outcome_unknown() {
    let rows = ["produce:error=-1,next=1,skip=3", "produce:error=-1,after-work,next=1,skip=3"];
    each(&rows, |fault| {
        let outcomes = Trial::of(&[fault]).run();
        assert!((1..=2).contains(&outcomes.unknown.len()) && outcomes.failed.is_empty());
        assert!(outcomes.unknown.iter().all(|error| error.code() == Some(ErrorCode::UNKNOWN_SERVER_ERROR)));
    });
}

#[test]
fn without_idempotence_nothing_acknowledged_is_lost() {
    let settings = [("enable.idempotence", "false"), ("acks", "1"), ("max.in.flight.requests.per.connection", "1")];
    let mut trials = Vec::new();
    for fault in BREAKS.into_iter().chain(["error=REQUEST_TIMED_OUT,after-work", "error=NOT_ENOUGH_REPLICAS"]) {
        let trial = Trial::of(&[&format!("produce:{fault},every=3")]).with(&settings);
        trials.push(trial.promising(Promise::AtLeastOnce));
    }
    all_arrive(&trials);
}

/// What never ends is ended by `message.timeout.ms`, and nothing is called failed that may be in the log.
#[test]
fn every_record_ends_by_its_deadline_whatever_the_broker_does() {
    let endless = [
        "produce:silence",
        "produce:silence,after-work",
        "produce:drop",
        "produce:drop-inside",
        "produce:drop-after",
        "produce:truncate",
        "produce:delay=1h",
        "produce:error=NOT_LEADER_OR_FOLLOWER",
        "produce:error=NOT_ENOUGH_REPLICAS",
        "produce:error=REQUEST_TIMED_OUT,after-work",
        "produce:error=OUT_OF_ORDER_SEQUENCE_NUMBER",
        "produce:error=UNKNOWN_PRODUCER_ID",
        "produce:error=INVALID_PRODUCER_EPOCH",
        "any:silence",
        "any:drop",
        "any:error=UNKNOWN_SERVER_ERROR",
    ];
    each(&endless, |fault| {
        let trial = Trial { records: 12, ..Trial::of(&[fault]).late() };
        let outcomes = trial.with(&[("message.timeout.ms", "500"), ("request.timeout.ms", "200")]).run();
        assert_eq!(outcomes.acknowledged, 0, "{fault}");
        for error in outcomes.failed.iter().chain(&outcomes.unknown) {
            assert!(error.to_string().contains("500 ms (message.timeout.ms)"), "{fault}: {error}");
        }
    });
}

#[test]
fn flush_and_close_end_by_their_own_time() {
    let faults = ["produce:silence", "produce:delay=1h", "produce:drop", "any:silence", "any:drop"];
    each(&faults, |fault| {
        let broker = kafka();
        let producer = Producer::connect(&config(&broker)).unwrap();
        producer.partition_count("t").unwrap();
        inject(&broker, fault);
        let mut ledger = Ledger::new(*fault);
        ledger.send(&producer, 9);
        let short = Duration::from_millis(100);
        let error = within(short, "flush", || producer.flush(short)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        let error = within(short, "close", || producer.close(short)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        // Closing gave them up.
        ledger.settle(Duration::ZERO);
        broker.clear_faults();
        let outcomes = ledger.check(&broker, Promise::ExactlyOnce);
        assert_eq!(outcomes.acknowledged, 0, "{fault}");
    });
}
