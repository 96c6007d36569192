//! Groups of the consumer protocol (KIP-848), as their members see them. A broker that does not serve them refuses, and
//! then that is what is asserted.

use std::sync::mpsc::{Receiver, channel};

use krs::{Consumer, Error, Rebalance, Record};

use crate::consumer_groups::served;
use crate::support::{LONG, TICK, kafka, numbers, partitions, poll, share, take, unique, until, write};

const MEMBER: [(&str, &str); 2] = [("auto.offset.reset", "earliest"), ("group.protocol", "consumer")];

fn member_with(group: &str, topics: &[&str], settings: &[(&str, &str)]) -> (Consumer, Receiver<Rebalance>) {
    let (told, events) = channel();
    let mut consumer = kafka().consumer(&[&MEMBER[..], &[("group.id", group)], settings].concat());
    consumer
        .subscribe_with(topics, move |consumer, event| {
            if matches!(event, Rebalance::Revoked(_)) {
                consumer.commit().unwrap();
            }
            let _ = told.send(event.clone());
        })
        .unwrap();
    (consumer, events)
}

fn member(group: &str, topic: &str) -> Consumer {
    member_with(group, &[topic], &[]).0
}

/// Whether there are such groups; if not, a member must be told so.
fn joinable(topic: &str, group: &str) -> bool {
    let served = served();
    if !served {
        let mut consumer = member(group, topic);
        let error: Error = until("the refusal", || consumer.poll(TICK).err());
        assert!(error.to_string().contains("group.protocol=classic"), "{error}");
        consumer.close(LONG).unwrap();
    }
    served
}

#[test]
fn members_share_the_partitions_and_every_record_is_handed_over_once() {
    let (topic, group) = (unique("modern"), unique("modern"));
    kafka().create(&topic, 6);
    if !joinable(&topic, &group) {
        return;
    }
    let producer = kafka().producer(&[]);
    let mut sent = 0;
    let mut send = |count: i32| {
        for _ in 0..count {
            producer.send(Record::to(&topic).partition(sent % 6).value(&sent.to_string())).unwrap();
            sent += 1;
        }
        producer.flush(LONG).unwrap();
    };
    let mut first = member(&group, &topic);
    send(300);
    let mut seen = take(&mut first, 50);
    let mut second = member(&group, &topic);
    seen.extend(share(&mut [&mut first, &mut second], &[3, 3]));
    send(300);
    seen.extend(take(&mut second, 50));
    first.close(LONG).unwrap();
    seen.extend(share(&mut [&mut second], &[6]));
    send(300);
    seen.extend(take(&mut second, 900 - seen.len()));
    second.close(LONG).unwrap();
    let mut numbers = numbers(&seen);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..900).collect::<Vec<i64>>());
}

/// A rolling restart that takes the group from the classic protocol to this one, and another that takes it back: each
/// step replaces one of two members while records go on coming.
fn change_the_protocol(strategy: &str) {
    let (topic, group) = (unique("migrates"), unique("migrates"));
    kafka().create(&topic, 6);
    if !joinable(&topic, &unique("migrates")) {
        return;
    }
    let producer = kafka().producer(&[]);
    let mut sent = 0;
    let mut send = || {
        for _ in 0..120 {
            producer.send(Record::to(&topic).partition(sent % 6).value(&sent.to_string())).unwrap();
            sent += 1;
        }
        producer.flush(LONG).unwrap();
        sent as usize
    };
    let classic = || {
        let strategy = ("partition.assignment.strategy", strategy);
        let settings = [("group.protocol", "classic"), strategy, ("heartbeat.interval.ms", "100")];
        member_with(&group, &[&topic], &settings).0
    };
    let modern = || member(&group, &topic);
    let (mut old, mut kept) = (classic(), classic());
    let mut seen = share(&mut [&mut old, &mut kept], &[3, 3]);
    let steps: [&dyn Fn() -> Consumer; 4] = [&modern, &modern, &classic, &classic];
    for start in steps {
        send();
        old.close(LONG).unwrap();
        let mut new = start();
        seen.extend(share(&mut [&mut kept, &mut new], &[3, 3]));
        let total = send();
        until("every record so far", || {
            seen.extend(poll(&mut kept));
            seen.extend(poll(&mut new));
            (seen.len() >= total).then_some(())
        });
        (old, kept) = (kept, new);
    }
    old.close(LONG).unwrap();
    kept.close(LONG).unwrap();
    let mut numbers = numbers(&seen);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..960).collect::<Vec<i64>>(), "each record once");
}

#[test]
fn an_eager_group_changes_its_protocol_member_by_member_and_back() {
    change_the_protocol("range");
}

#[test]
fn a_cooperative_group_changes_its_protocol_member_by_member_and_back() {
    change_the_protocol("cooperative-sticky");
}

#[test]
fn what_stays_is_not_revoked_and_a_new_topic_is_taken_up() {
    let (topic, other, group) = (unique("stays"), unique("later"), unique("stays"));
    kafka().create(&topic, 2);
    if !joinable(&topic, &group) {
        return;
    }
    let (mut consumer, events) = member_with(&group, &[&topic, &other], &[]);
    share(&mut [&mut consumer], &[2]);
    kafka().create(&other, 1);
    share(&mut [&mut consumer], &[3]);
    write(&other, 0, 0..3);
    assert_eq!(numbers(&take(&mut consumer, 3)), [0, 1, 2]);
    consumer.subscribe([&other]).unwrap();
    share(&mut [&mut consumer], &[1]);
    consumer.close(LONG).unwrap();
    let events: Vec<_> = events.try_iter().filter(|event| *event != Rebalance::Assigned(Vec::new())).collect();
    assert_eq!(events, [Rebalance::Assigned(partitions(&topic, 2)), Rebalance::Assigned(partitions(&other, 1))]);
}

#[test]
fn a_static_member_comes_back_to_what_it_held() {
    let (topic, group) = (unique("static"), unique("static"));
    kafka().create(&topic, 4);
    if !joinable(&topic, &group) {
        return;
    }
    let instance = |name| member_with(&group, &[&topic], &[("group.instance.id", name)]).0;
    let (mut first, mut second) = (instance("one"), instance("two"));
    share(&mut [&mut first, &mut second], &[2, 2]);
    let held = first.assignment();
    first.close(LONG).unwrap();
    let mut first = instance("one");
    share(&mut [&mut first, &mut second], &[2, 2]);
    assert_eq!(first.assignment(), held);
    first.close(LONG).unwrap();
    second.close(LONG).unwrap();
}

#[test]
fn an_assignor_that_the_broker_does_not_have_is_told() {
    let (topic, group) = (unique("assignor"), unique("assignor"));
    kafka().create(&topic, 1);
    if !joinable(&topic, &group) {
        return;
    }
    let mut consumer = member_with(&group, &[&topic], &[("group.remote.assignor", "no-such")]).0;
    let error: Error = until("the refusal", || consumer.poll(TICK).err());
    assert!(error.to_string().contains("group.remote.assignor"), "{error}");
    consumer.close(LONG).unwrap();
}
