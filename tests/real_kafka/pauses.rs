//! Partitions that stay with a member are read on while the group rebalances.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use krs::Rebalance;

use crate::members::{Arrival, CONSUMER, COOPERATIVE, Group, Load, Mode, Seen};
use crate::support::{LONG, create, kafka, unique};

const PARTITIONS: i32 = 6;
/// What an idle machine keeps by far.
const PROMISED: Duration = Duration::from_millis(200);
/// The machine may have other things to do, and the brokers share it.
const FACTOR: u32 = 5;

/// The longest time without a record of a partition that was held all the while.
fn longest_gap(seen: &Seen, from: Instant, to: Instant) -> Duration {
    enum What<'a> {
        Came(&'a Arrival),
        Told(&'a Rebalance),
    }
    let came = seen.records.iter().map(|record| (record.at, What::Came(record)));
    let mut all: Vec<(Instant, What)> =
        came.chain(seen.events.iter().map(|(at, event)| (*at, What::Told(event)))).collect();
    all.sort_by_key(|(at, _)| *at);
    let mut last: BTreeMap<i32, Instant> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for (at, what) in all.into_iter().filter(|(at, _)| (from..to).contains(at)) {
        match what {
            What::Came(record) => {
                let before = last.insert(record.partition, at);
                longest = longest.max(before.map_or(Duration::ZERO, |before| at.saturating_duration_since(before)));
            }
            What::Told(Rebalance::Revoked(taken) | Rebalance::Lost(taken)) => {
                taken.iter().for_each(|partition| _ = last.remove(&partition.partition));
            }
            What::Told(Rebalance::Assigned(_)) => {}
        }
    }
    longest.max(last.values().map(|last| to.saturating_duration_since(*last)).max().unwrap_or_default())
}

/// Waits for so many records of each partition that the first member holds; when they had come.
fn read_on(group: &Group, count: usize) -> Instant {
    let begin = Instant::now();
    group.wait("records of every partition", LONG, |seen| {
        let mut counts: BTreeMap<i32, usize> = seen[0].held.iter().map(|partition| (*partition, 0)).collect();
        for record in seen[0].records.iter().rev().take_while(|record| record.at >= begin) {
            counts.entry(record.partition).and_modify(|count| *count += 1);
        }
        counts.values().all(|seen| *seen >= count).then(Instant::now)
    })
}

/// A moment in which the machine was busy is no pause of the client's: it does not come twice.
fn kept_partitions_are_read_on(mode: Mode) {
    let limit = PROMISED * FACTOR;
    assert!(longest_pause(mode) <= limit || longest_pause(mode) <= limit, "see the measured pauses above");
}

fn longest_pause(mode: Mode) -> Duration {
    let config = kafka().config();
    let topic = unique("pauses");
    create(&config, &topic, PARTITIONS, &[]);
    let mut group =
        Group::new(&config, &topic, mode, &[("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")]);
    group.join();
    group.wait_for_shares(&[PARTITIONS as usize]);
    let load = Load::start(&config, &topic, 0..PARTITIONS, Duration::from_millis(5));
    let first = read_on(&group, 100);
    let quiet = read_on(&group, 300);
    let mut shares = vec![6];
    for _ in 0..3 {
        let (second, third) = (group.join(), group.join());
        shares[0] = 2;
        shares.extend([2, 2]);
        group.wait_for_shares(&shares);
        read_on(&group, 100);
        group.leave(second);
        group.leave(third);
        (shares[0], shares[second], shares[third]) = (6, 0, 0);
        group.wait_for_shares(&shares);
        read_on(&group, 100);
    }
    let end = Instant::now();
    let (idle, busy) = {
        let seen = group.seen();
        (longest_gap(&seen[0], first, quiet), longest_gap(&seen[0], quiet, end))
    };
    println!(
        "{}: at most {busy:?} between two records of a partition that stayed, over {} rebalances; {idle:?} without any; \
         promised {PROMISED:?}",
        mode.name,
        group.seen()[0].events.len(),
    );
    load.stop();
    group.leave(0);
    busy
}

#[test]
fn cooperative_members_read_on_what_stays_with_them() {
    kept_partitions_are_read_on(COOPERATIVE);
}

#[test]
fn members_of_the_consumer_protocol_read_on_what_stays_with_them() {
    // Kafka 3.9 serves that protocol only as a preview that must be switched on.
    if !kafka().is_3() {
        kept_partitions_are_read_on(CONSUMER);
    }
}
