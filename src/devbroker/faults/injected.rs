//! The faults in force: which of them a request meets, counted exactly.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Deed, Fault};
use crate::kafka::protocol::ApiKey;
use crate::sync::lock;

/// Names a fault that was injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FaultId(usize);

/// All faults of a cluster, those that are over included: they can still be asked how often they acted.
#[derive(Debug, Default)]
pub(in super::super) struct Faults {
    /// How many in force a request can meet, so that without any it costs one load; and how many before it is read.
    met: AtomicUsize,
    met_inside: AtomicUsize,
    all: Mutex<Vec<Arc<Injected>>>,
}

#[derive(Debug)]
pub(super) struct Injected {
    pub(super) fault: Fault,
    pub(super) since: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Requests that it could have acted on.
    seen: u64,
    applied: u64,
    over: bool,
}

/// A request, as faults choose by it.
pub(super) struct Asked<'a> {
    pub(super) node: i32,
    pub(super) api: ApiKey,
    pub(super) topics: &'a [String],
    pub(super) group: Option<&'a str>,
    pub(super) client: &'a str,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Act {
    pub(super) delay: Duration,
    pub(super) deed: Deed,
    pub(super) after_work: bool,
    /// What garbling begins with.
    pub(super) seed: u64,
}

impl Faults {
    /// Adds a fault that does not contradict itself.
    pub(in super::super) fn add(&self, fault: Fault) -> FaultId {
        self.insert(fault).0
    }

    /// As [`add`](Self::add), and the fault itself.
    pub(super) fn insert(&self, fault: Fault) -> (FaultId, Arc<Injected>) {
        let counter = match fault.deed {
            Deed::DropInside => Some(&self.met_inside),
            deed if deed.is_timed() => None,
            _ => Some(&self.met),
        };
        let injected = Arc::new(Injected { fault, since: Instant::now(), counts: Mutex::default() });
        let mut all = lock(&self.all);
        all.push(Arc::clone(&injected));
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        (FaultId(all.len() - 1), injected)
    }

    /// Ends all faults.
    pub(in super::super) fn clear(&self) {
        let all = lock(&self.all);
        self.met.store(0, Ordering::SeqCst);
        self.met_inside.store(0, Ordering::SeqCst);
        all.iter().for_each(|injected| lock(&injected.counts).over = true);
    }

    /// How often a fault acted.
    pub(in super::super) fn applied(&self, id: FaultId) -> u64 {
        lock(&self.all).get(id.0).map_or(0, |injected| lock(&injected.counts).applied)
    }

    /// Whether there is any that a decoded request can meet.
    pub(super) fn any(&self) -> bool {
        self.met.load(Ordering::Relaxed) > 0
    }

    /// Whether a connection is to be closed before a request of this API is read.
    pub(in super::super) fn drops_inside(&self, node: i32, api: ApiKey) -> bool {
        let asked = Asked { node, api, topics: &[], group: None, client: "" };
        let now = Instant::now();
        let all = lock(&self.all);
        let mut inside = all.iter().filter(|injected| injected.fault.deed == Deed::DropInside);
        inside.any(|injected| injected.fault.concerns(&asked) && injected.fires(now).is_some())
    }

    /// Whether there is any that acts before a request is read.
    pub(in super::super) fn any_inside(&self) -> bool {
        self.met_inside.load(Ordering::Relaxed) > 0
    }

    /// What happens to this request, if anything does.
    pub(super) fn meet(&self, asked: &Asked<'_>, now: Instant) -> Option<Act> {
        let mut act = Act { delay: Duration::ZERO, deed: Deed::Nothing, after_work: false, seed: 0 };
        for injected in lock(&self.all).iter() {
            let fault = &injected.fault;
            if fault.is_timed() || fault.deed == Deed::DropInside || !fault.concerns(asked) {
                continue;
            }
            let Some(nth) = injected.fires(now) else { continue };
            injected.tell(asked, nth);
            act.delay += fault.delay;
            if fault.deed != Deed::Nothing {
                act.deed = fault.deed;
                act.after_work = fault.after_work;
                act.seed = mixed(fault.seed.unwrap_or(1).wrapping_add(nth));
                break;
            }
        }
        (act.deed != Deed::Nothing || !act.delay.is_zero()).then_some(act)
    }
}

impl Fault {
    fn concerns(&self, asked: &Asked<'_>) -> bool {
        (self.apis.is_empty() || self.apis.contains(&asked.api))
            && self.broker.is_none_or(|node| node == asked.node)
            && self.topic.as_ref().is_none_or(|topic| asked.topics.contains(topic))
            && self.group.as_deref().is_none_or(|group| asked.group == Some(group))
            && self.client.as_deref().is_none_or(|client| asked.client == client)
    }
}

impl Injected {
    /// Counts a request that the fault concerns. How often it acted, this time included, if it is to act.
    fn fires(&self, now: Instant) -> Option<u64> {
        let fault = &self.fault;
        let age = now.saturating_duration_since(self.since);
        let early = age < fault.after;
        let late = fault.lasting.is_some_and(|lasting| age >= fault.after + lasting);
        let mut counts = lock(&self.counts);
        if early || late || counts.over {
            return None;
        }
        counts.seen += 1;
        let nth = counts.seen.checked_sub(fault.skip).filter(|nth| *nth > 0)?;
        let due = fault.every.is_none_or(|every| nth.is_multiple_of(every))
            && fault.probability.is_none_or(|p| unit(fault.seed.unwrap_or(1), nth) < p)
            && fault.next.is_none_or(|next| counts.applied < next);
        due.then(|| {
            counts.applied += 1;
            counts.applied
        })
    }

    /// Counts an occurrence of a fault that falls due by time. `false` if there is to be none any more.
    pub(super) fn falls_due(&self) -> bool {
        let mut counts = lock(&self.counts);
        let due = !counts.over && self.fault.next.is_none_or(|next| counts.applied < next);
        counts.applied += u64::from(due);
        due
    }

    fn tell(&self, asked: &Asked<'_>, nth: u64) {
        let level = if nth == 1 { log::Level::Info } else { log::Level::Debug };
        let (api, node) = (asked.api, asked.node);
        log::log!(target: "broker", level, "node {node}: fault {} acts on {api:?}, for the {nth}. time", self.fault);
    }
}

/// The chance of a request, from 0 to 1.
fn unit(seed: u64, nth: u64) -> f64 {
    let random = mixed(mixed(seed).wrapping_add(nth));
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// A number that has nothing to do with this one, as far as one can see (splitmix64).
pub(super) fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::protocol::ErrorCode;

    fn produce<'a>(topics: &'a [String]) -> Asked<'a> {
        Asked { node: 1, api: ApiKey::Produce, topics, group: None, client: "" }
    }

    /// On which of so many requests a fault acts.
    fn hits(fault: Fault, requests: u64) -> Vec<u64> {
        let faults = Faults::default();
        faults.add(fault);
        let now = Instant::now();
        (1..=requests).filter(|_| faults.meet(&produce(&[]), now).is_some()).collect()
    }

    #[test]
    fn requests_are_counted_as_the_fault_says() {
        assert_eq!(hits(Fault::drop().every(3), 10), [3, 6, 9]);
        assert_eq!(hits(Fault::drop().next(2), 10), [1, 2]);
        assert_eq!(hits(Fault::drop().skip(4).next(3), 10), [5, 6, 7]);
        assert_eq!(hits(Fault::drop().skip(1).every(2).next(2), 10), [3, 5]);
        assert_eq!(hits(Fault::drop().probability(1.0), 3), [1, 2, 3]);
        let some = hits(Fault::drop().probability(0.1), 10_000);
        assert!((800..1200).contains(&some.len()), "{}", some.len());
        assert_eq!(some, hits(Fault::drop().probability(0.1), 10_000));
        assert_ne!(some, hits(Fault::drop().probability(0.1).seed(2), 10_000));
    }

    #[test]
    fn a_fault_has_a_beginning_and_an_end() {
        let faults = Faults::default();
        let seconds = Duration::from_secs;
        faults.add(Fault::drop().after(seconds(10)).lasting(seconds(5)));
        let begun = lock(&faults.all)[0].since;
        let acts = |age| faults.meet(&produce(&[]), begun + seconds(age)).is_some();
        assert_eq!([0, 9, 10, 14, 15, 100].map(acts), [false, false, true, true, false, false]);
    }

    #[test]
    fn only_those_concerned_meet_it() {
        let faults = Faults::default();
        let now = Instant::now();
        let fault = Fault::drop().on(ApiKey::Produce).on(ApiKey::Fetch).topic("t").broker(1);
        let id = faults.add(fault);
        let (t, u) = (["u".to_owned(), "t".to_owned()], ["u".to_owned()]);
        assert!(faults.meet(&produce(&t), now).is_some());
        assert!(faults.meet(&produce(&u), now).is_none());
        assert!(faults.meet(&Asked { api: ApiKey::Metadata, ..produce(&t) }, now).is_none());
        assert!(faults.meet(&Asked { node: 2, ..produce(&t) }, now).is_none());
        assert_eq!(faults.applied(id), 1);

        let group = faults.add(Fault::silence().group("g"));
        let asked = Asked { api: ApiKey::JoinGroup, group: Some("g"), ..produce(&u) };
        assert_eq!(faults.meet(&asked, now).unwrap().deed, Deed::Silence);
        assert!(faults.meet(&Asked { group: Some("h"), ..asked }, now).is_none());
        faults.add(Fault::garble().client("c"));
        assert!(faults.meet(&Asked { client: "c", ..produce(&u) }, now).is_some());
        assert!(faults.meet(&Asked { client: "d", ..produce(&u) }, now).is_none());
        assert_eq!(faults.applied(group), 1);
    }

    #[test]
    fn delays_add_up_and_the_first_of_the_others_acts_alone() {
        let faults = Faults::default();
        let ms = Duration::from_millis;
        faults.add(Fault::delay(ms(5)));
        faults.add(Fault::error(ErrorCode::CORRUPT_MESSAGE).delayed(ms(2)).after_work());
        let behind = faults.add(Fault::drop());
        let act = faults.meet(&produce(&[]), Instant::now()).unwrap();
        assert_eq!((act.delay, act.deed, act.after_work), (ms(7), Deed::Error(ErrorCode::CORRUPT_MESSAGE), true));
        assert_eq!(faults.applied(behind), 0);
    }

    #[test]
    fn what_is_cleared_is_over_and_keeps_its_count() {
        let faults = Faults::default();
        let ids = [faults.add(Fault::drop()), faults.add(Fault::drop_inside())];
        assert!(faults.any() && faults.any_inside());
        assert!(faults.meet(&produce(&[]), Instant::now()).is_some());
        assert!(faults.drops_inside(1, ApiKey::Produce));
        faults.clear();
        assert!(!faults.any() && !faults.any_inside());
        assert!(faults.meet(&produce(&[]), Instant::now()).is_none());
        assert!(!faults.drops_inside(1, ApiKey::Produce));
        assert_eq!(ids.map(|id| faults.applied(id)), [1, 1]);
    }

    #[test]
    fn many_threads_at_once_are_counted_exactly() {
        let faults = Faults::default();
        let every = faults.add(Fault::delay(Duration::from_millis(1)).every(7));
        let next = faults.add(Fault::drop().next(100));
        let now = Instant::now();
        let dropped: usize = std::thread::scope(|scope| {
            let meet =
                || (0..1000).filter(|_| matches!(faults.meet(&produce(&[]), now), Some(act) if act.deed == Deed::Drop));
            let threads: Vec<_> = (0..7).map(|_| scope.spawn(move || meet().count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((faults.applied(every), faults.applied(next), dropped), (1000, 100, 100));
    }
}
