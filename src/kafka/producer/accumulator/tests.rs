//! The queue by itself, without a socket, a thread or a clock.

use super::*;
use crate::kafka::error::ErrorKind;
use crate::kafka::producer::batch::{Failure, timed_out};
use crate::kafka::producer::idempotence::ProducerId;
use crate::kafka::protocol::Bytes;
use crate::kafka::record::batch;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    partition: Arc<Partition>,
    limits: Limits,
    memory: Memory,
    identity: Identity,
    now: Instant,
}

impl Bench {
    /// Each record is a batch of its own.
    fn new() -> Self {
        let limits = Limits {
            batch_size: 1,
            max_request_size: 10_000,
            linger: Duration::ZERO,
            message_timeout: 60 * SECOND,
            retries: 5,
            retry_backoff: SECOND,
            retry_backoff_max: 3 * SECOND,
            idempotent: true,
            compression: Compression::None,
        };
        let identity = Identity::default();
        identity.adopt(ProducerId { id: 7, epoch: 0 });
        let sticky = Arc::new(Sticky::new(10));
        let partition = Arc::new(Partition::new("t".into(), 0, sticky));
        Self { partition, limits, memory: Memory::new(1 << 20), identity, now: Instant::now() }
    }

    fn append(&self, value: &str) -> Result<Appended<()>> {
        let record = Record::to("t").value(value);
        crate::sync::lock(&self.partition.queue).append(
            &self.partition,
            &record,
            0,
            true,
            &self.limits,
            &self.memory,
            &mut |_| (),
        )
    }

    fn fill(&self, records: usize) {
        for n in 0..records {
            assert!(matches!(self.append(&format!("r{n}")).unwrap(), Appended::In { .. }));
        }
    }

    fn queue<T>(&self, run: impl FnOnce(&mut Queue) -> T) -> T {
        run(&mut crate::sync::lock(&self.partition.queue))
    }

    fn next(&self) -> Option<Batch> {
        match self.queue(|queue| queue.next(self.now, true, &self.limits, &self.identity, &self.memory)) {
            Next::Batch(batch) => Some(batch),
            _ => None,
        }
    }

    /// Takes batches as long as there are any, and tells their values and stamps.
    fn take(&self, count: usize) -> Vec<Batch> {
        let taken: Vec<_> = std::iter::from_fn(|| self.next()).take(count).collect();
        assert_eq!(taken.len(), count, "so many should be ready");
        taken
    }

    fn land(&self, batch: Batch, accepted: bool) {
        self.queue(|queue| queue.landed(&batch, accepted));
    }

    fn come_back(&self, mut batch: Batch, failure: &Failure) {
        assert!(batch.failed(failure, &self.limits));
        self.queue(|queue| queue.returned(batch, false, self.now, &self.limits));
    }

    /// A queue whose first batch, `first`, was acknowledged, and four more records.
    fn running() -> Self {
        let bench = Self::new();
        assert!(matches!(bench.append("first").unwrap(), Appended::In { opened: true, .. }));
        let first = bench.next().unwrap();
        bench.land(first, true);
        bench.fill(4);
        bench
    }
}

fn lost() -> Failure {
    Failure::lost(Error::state("lost"))
}

fn refused() -> Failure {
    Failure::unsent(Error::state("refused"))
}

fn out_of_order() -> Failure {
    Failure { out_of_order: true, ..refused() }
}

fn told(batches: &[Batch]) -> Vec<(String, i16, i32)> {
    batches.iter().map(tell).collect()
}

/// Value, epoch and sequence.
fn tell(batch: &Batch) -> (String, i16, i32) {
    let bytes = Bytes::from_shared(Arc::clone(&batch.buffer), 0..batch.buffer.len());
    let read = batch::batches(&bytes).next().unwrap().unwrap();
    let value = String::from_utf8(read.records().next().unwrap().value.unwrap().to_vec()).unwrap();
    let stamp = batch.stamp.unwrap();
    (value, stamp.producer.epoch, stamp.sequence)
}

fn expected(list: &[(&str, i16, i32)]) -> Vec<(String, i16, i32)> {
    list.iter().map(|&(value, epoch, sequence)| (value.to_owned(), epoch, sequence)).collect()
}

#[test]
fn batches_leave_in_order_with_sequences_that_follow() {
    let bench = Bench::running();
    let taken = bench.take(4);
    assert_eq!(told(&taken), expected(&[("r0", 0, 1), ("r1", 0, 2), ("r2", 0, 3), ("r3", 0, 4)]));
    assert!(bench.next().is_none());
    assert_eq!(bench.queue(|queue| (queue.pending(), queue.is_empty(), queue.is_settled())), (4, true, false));
    taken.into_iter().for_each(|batch| bench.land(batch, true));
    assert!(bench.queue(|queue| queue.is_settled() && queue.pending() == 0));
}

#[test]
fn the_first_batch_under_a_producer_id_goes_alone() {
    let bench = Bench::new();
    bench.fill(3);
    let first = bench.next().unwrap();
    assert!(bench.next().is_none());
    bench.land(first, true);
    assert_eq!(bench.take(2).len(), 2);
}

#[test]
fn what_comes_back_waits_for_the_rest_and_goes_out_in_its_old_order() {
    let bench = Bench::running();
    let mut taken = bench.take(4);
    let last = taken.pop().unwrap();
    for batch in taken.into_iter().rev() {
        bench.come_back(batch, &refused());
        assert!(bench.next().is_none(), "one is still in flight");
    }
    bench.land(last, true);
    assert_eq!(told(&bench.take(3)), expected(&[("r0", 0, 1), ("r1", 0, 2), ("r2", 0, 3)]));
}

#[test]
fn behind_a_rejected_batch_all_is_stamped_anew() {
    let bench = Bench::running();
    let mut taken = bench.take(4).into_iter();
    bench.land(taken.next().unwrap(), false);
    taken.for_each(|batch| bench.come_back(batch, &out_of_order()));
    let first = bench.next().unwrap();
    assert_eq!(tell(&first), ("r1".to_owned(), 1, 0));
    assert!(bench.next().is_none(), "nobody knows the new epoch yet");
    bench.land(first, true);
    assert_eq!(told(&bench.take(2)), expected(&[("r2", 1, 1), ("r3", 1, 2)]));
}

/// A lost answer and a later rejection: the one that may be in the log is asked about first, under its old sequence.
#[test]
fn an_undecided_batch_keeps_its_sequence_and_holds_up_the_new_epoch() {
    let bench = Bench::running();
    let mut taken = bench.take(3).into_iter();
    bench.land(taken.next().unwrap(), false);
    taken.for_each(|batch| bench.come_back(batch, &lost()));
    for undecided in [("r1", 0, 2), ("r2", 0, 3)] {
        let again = bench.take(1);
        assert_eq!(told(&again), expected(&[undecided]));
        assert!(bench.next().is_none(), "r3 belongs to the next epoch");
        again.into_iter().for_each(|batch| bench.land(batch, true));
    }
    assert_eq!(told(&bench.take(1)), expected(&[("r3", 1, 0)]));
}

#[test]
fn nothing_new_goes_out_behind_an_undecided_batch() {
    let bench = Bench::running();
    let batch = bench.next().unwrap();
    bench.come_back(batch, &lost());
    let again = bench.next().unwrap();
    assert_eq!(tell(&again), ("r0".to_owned(), 0, 1));
    assert!(bench.next().is_none());
    bench.land(again, true);
    assert_eq!(bench.take(3).len(), 3);
}

#[test]
fn out_of_order_at_the_front_settles_what_was_undecided_behind_it() {
    let bench = Bench::running();
    let mut taken = bench.take(2).into_iter();
    bench.come_back(taken.next().unwrap(), &out_of_order());
    bench.come_back(taken.next().unwrap(), &lost());
    let first = bench.next().unwrap();
    assert_eq!((tell(&first), first.undecided), (("r0".to_owned(), 1, 0), false));
    bench.land(first, true);
    assert_eq!(told(&bench.take(2)), expected(&[("r1", 1, 1), ("r2", 1, 2)]));
}

#[test]
fn expiry_takes_the_oldest_first_and_breaks_the_sequence_of_what_was_sent() {
    let mut bench = Bench::running();
    let batch = bench.next().unwrap();
    bench.come_back(batch, &lost());
    let mut expired = Vec::new();
    let early = bench.now;
    bench.queue(|queue| queue.expire(early, &bench.limits, &bench.memory, &mut expired));
    assert!(expired.is_empty());
    let late = bench.queue(|queue| queue.waiting[0].deadline);
    bench.queue(|queue| queue.expire(late, &bench.limits, &bench.memory, &mut expired));
    assert_eq!((tell(&expired[0]).0.as_str(), expired[0].undecided), ("r0", true));
    let error = expired[0].give_up(timed_out(bench.limits.message_timeout));
    assert_eq!((error.kind(), error.topic(), error.partition()), (ErrorKind::OutcomeUnknown, Some("t"), Some(0)));
    bench.now = late;
    assert_eq!(tell(&bench.next().unwrap()).1, 1, "the hole it may have left is not waited for");

    let all = late + 60 * SECOND;
    bench.queue(|queue| queue.expire(all, &bench.limits, &bench.memory, &mut expired));
    assert!(bench.queue(|queue| queue.is_empty()), "the open batch expires like the others");
}

#[test]
fn a_batch_that_cannot_be_sent_does_not_take_younger_records_with_it() {
    let mut bench = Bench::new();
    bench.limits.batch_size = 1000;
    bench.fill(2);
    let opened = bench.queue(|queue| queue.open.as_ref().unwrap().created);
    let closing = bench.queue(|queue| queue.deadline(&bench.limits)).unwrap();
    assert_eq!(closing, opened + 6 * SECOND, "a tenth of message.timeout.ms");
    let mut expired = Vec::new();
    bench.queue(|queue| queue.expire(closing, &bench.limits, &bench.memory, &mut expired));
    assert!(expired.is_empty());
    assert!(matches!(bench.append("younger").unwrap(), Appended::In { opened: true, .. }));
    bench.queue(|queue| queue.waiting[0].deadline = opened);
    bench.queue(|queue| queue.expire(opened, &bench.limits, &bench.memory, &mut expired));
    assert_eq!(expired.iter().map(|batch| batch.count).collect::<Vec<_>>(), [2]);
    assert!(!bench.queue(|queue| queue.is_empty()), "the younger record has its own time");
}

#[test]
fn backoff_grows_holds_everything_up_and_ends_with_a_success() {
    let mut bench = Bench::running();
    for wait in [1, 2, 3, 3] {
        let mut batch = bench.next().unwrap();
        batch.failed(&refused(), &bench.limits);
        bench.queue(|queue| queue.returned(batch, true, bench.now, &bench.limits));
        let until = bench.now + wait * SECOND;
        let next = bench.queue(|queue| queue.next(bench.now, true, &bench.limits, &bench.identity, &bench.memory));
        assert!(matches!(next, Next::Wait(Some(at)) if at == until));
        bench.now = until;
    }
    let batch = bench.next().unwrap();
    bench.land(batch, true);
    assert_eq!(bench.queue(|queue| queue.failures), 0);
}

#[test]
fn retries_are_counted_only_where_the_failure_says_so() {
    let bench = Bench::running();
    let mut batch = bench.next().unwrap();
    for _ in 0..100 {
        assert!(batch.failed(&lost(), &bench.limits));
    }
    let counted = Failure { counted: true, ..refused() };
    for _ in 0..bench.limits.retries {
        assert!(batch.failed(&counted, &bench.limits));
    }
    assert!(!batch.failed(&counted, &bench.limits));
    assert!(batch.undecided, "a later refusal does not say what became of the first try");
}

#[test]
fn a_batch_lingers_until_its_time_or_until_everything_goes() {
    let mut bench = Bench::new();
    bench.limits.linger = SECOND;
    bench.limits.batch_size = 1000;
    bench.fill(3);
    let created = bench.queue(|queue| queue.open.as_ref().unwrap().created);
    let at = |now, everything| {
        bench.queue(|queue| queue.next(now, everything, &bench.limits, &bench.identity, &bench.memory))
    };
    assert!(matches!(at(created, false), Next::Wait(Some(ready)) if ready == created + SECOND));
    let Next::Batch(batch) = at(created + SECOND, false) else { panic!("it has lingered") };
    assert_eq!(batch.count, 3);
    bench.land(batch, true);
    bench.fill(1);
    let Next::Batch(batch) =
        bench.queue(|queue| queue.next(bench.now, true, &bench.limits, &bench.identity, &bench.memory))
    else {
        panic!("everything is to go")
    };
    assert_eq!(batch.count, 1);
}

#[test]
fn without_a_producer_id_nothing_is_stamped() {
    let bench = Bench { identity: Identity::default(), ..Bench::new() };
    bench.fill(1);
    let next =
        |bench: &Bench| bench.queue(|queue| queue.next(bench.now, true, &bench.limits, &bench.identity, &bench.memory));
    assert!(matches!(next(&bench), Next::NeedsProducerId));
    bench.identity.adopt(ProducerId { id: 8, epoch: 0 });
    assert!(matches!(next(&bench), Next::Batch(_)));
}

#[test]
fn halves_take_the_place_of_the_whole_and_those_behind_start_anew() {
    let mut bench = Bench::running();
    let mut taken = bench.take(4).into_iter();
    bench.limits.batch_size = 1000;
    taken.by_ref().for_each(|batch| bench.land(batch, true));
    for value in ["a", "b", "c"] {
        bench.append(value).unwrap();
    }
    let whole = bench.next().unwrap();
    bench.append("d").unwrap();
    let behind = bench.next().unwrap();
    assert!(bench.queue(|queue| queue.split(Box::new(whole), &bench.limits, &bench.memory)).is_ok());
    bench.come_back(behind, &lost());
    let first = bench.next().unwrap();
    assert_eq!((tell(&first), first.count), (("a".to_owned(), 1, 0), 1));
    bench.land(first, true);
    assert_eq!(told(&bench.take(2)), expected(&[("b", 1, 1), ("d", 1, 3)]));
}

#[test]
fn a_closed_queue_takes_nothing_and_splits_nothing() {
    let bench = Bench::running();
    let batch = bench.next().unwrap();
    assert_eq!(bench.queue(|queue| queue.close(&bench.limits, &bench.memory)).len(), 3);
    assert!(bench.append("late").is_err());
    assert!(bench.queue(|queue| queue.split(Box::new(batch), &bench.limits, &bench.memory)).is_err());
    assert_eq!(bench.queue(|queue| queue.pending()), 1, "what is in flight comes back by itself");
}

#[test]
fn records_larger_than_a_request_or_the_memory_are_refused_and_a_free_one_moves_on() {
    let mut bench = Bench::new();
    assert_eq!(bench.append(&"x".repeat(10_001)).err().unwrap().kind(), ErrorKind::Config);
    bench.memory = Memory::new(5_000);
    assert_eq!(bench.append(&"x".repeat(6_000)).err().unwrap().kind(), ErrorKind::Config);
    bench.fill(1);
    assert!(matches!(bench.append(&"x".repeat(2_000)).unwrap(), Appended::NeedsMemory(_)));
    bench.fill(1);
    let record = Record::to("t").value("free");
    let appended = bench
        .queue(|queue| queue.append(&bench.partition, &record, 0, false, &bench.limits, &bench.memory, &mut |_| ()));
    assert!(matches!(appended.unwrap(), Appended::MoveOn));
}

/// `flush` returned while the callbacks of the last batch were still running, and its `Delivery` knew nothing yet.
#[test]
fn a_batch_is_flushed_once_its_fate_is_known_and_not_when_it_leaves_the_queue() {
    let bench = Bench::running();
    let promises = || {
        let mut promises = Vec::new();
        bench.queue(|queue| queue.promises(&mut promises));
        promises.len()
    };
    // The very first one has landed, and nobody settles it here.
    assert_eq!(promises(), 5);
    let mut taken = bench.take(4).into_iter();
    for left in (0..4).rev() {
        let batch = taken.next().unwrap();
        let promise = Arc::clone(&batch.promise);
        bench.land(batch, true);
        assert_eq!(promises(), left + 2, "not concluded yet");
        promise.settle(Outcome::Acknowledged { base_offset: 0, log_append_time: None });
        assert_eq!(promises(), left + 1);
    }
}

/// With leaders that moved every 50 ms, everything waited for seconds: by the end of the wait the leader was another.
#[test]
fn a_new_leader_is_asked_at_once_whatever_the_old_one_answered() {
    let bench = Bench::running();
    bench.queue(|queue| queue.led_by(1));
    for (leader, waits) in [(1, true), (2, false), (1, false)] {
        let mut batch = bench.next().unwrap();
        batch.failed(&refused(), &bench.limits);
        bench.queue(|queue| {
            queue.returned(batch, true, bench.now, &bench.limits);
            queue.led_by(leader);
            assert_eq!(queue.not_before.is_some(), waits);
            queue.not_before = None;
        });
    }
}

/// The clock that `send` reads is coarse. Records without a time of their own never seem older than their batch, so times
/// do not go back from one batch to the next.
#[test]
fn times_are_those_of_the_clock_but_never_before_the_batch() {
    let mut bench = Bench::new();
    bench.limits.batch_size = 1000;
    let append = |now: i64, given: Option<i64>| {
        let record = Record::to("t").value("v");
        let record = given.into_iter().fold(record, Record::timestamp);
        let (limits, memory) = (&bench.limits, &bench.memory);
        let appended =
            bench.queue(|queue| queue.append(&bench.partition, &record, now, true, limits, memory, &mut |_| ()));
        assert!(matches!(appended.unwrap(), Appended::In { .. }));
    };
    let before = clock::milliseconds();
    append(0, None);
    append(0, None);
    append(before + 3_600_000, None);
    append(0, Some(5));
    let after = clock::milliseconds();
    let batch = bench.next().unwrap();
    let bytes = Bytes::from_shared(Arc::clone(&batch.buffer), 0..batch.buffer.len());
    let read = batch::batches(&bytes).next().unwrap().unwrap();
    let times: Vec<_> = read.records().map(|record| record.timestamp).collect();
    assert!((before..=after).contains(&times[0]), "the first is exact: {times:?}");
    assert_eq!(times[1..], [times[0], before + 3_600_000, 5]);
}
