//! Consumer groups, as their members see them.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};

use krs::kafka::protocol::messages::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use krs::{Consumer, ErrorKind, Rebalance, Record, TopicPartition};

use crate::support::{LONG, kafka, numbers, partitions, poll, read, share, take, unique, until, write};
use crate::wire::{Topic, Wire};

/// What members have in common.
const MEMBER: [(&str, &str); 3] =
    [("auto.offset.reset", "earliest"), ("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "200")];

/// A member of a group, with its rebalances as its listener is told of them.
fn member_with(group: &str, topics: &[&str], settings: &[(&str, &str)]) -> (Consumer, Receiver<Rebalance>) {
    let (told, events) = channel();
    let mut consumer = kafka().consumer(&[&MEMBER[..], &[("group.id", group)], settings].concat());
    consumer
        .subscribe_with(topics, move |_, event| {
            let _ = told.send(event.clone());
        })
        .unwrap();
    (consumer, events)
}

fn member(group: &str, topic: &str) -> Consumer {
    member_with(group, &[topic], &[]).0
}

/// What a group has committed.
fn committed(group: &str, topic: &str, count: i32) -> Vec<Option<i64>> {
    let consumer = kafka().consumer(&[("group.id", group)]);
    let offsets = consumer.committed(&partitions(topic, count)).unwrap();
    consumer.close(LONG).unwrap();
    offsets
}

#[test]
fn members_share_the_partitions_and_take_over_from_those_that_leave() {
    let (topic, group) = (unique("shared"), unique("shared"));
    kafka().create(&topic, 4);
    let mut first = member(&group, &topic);
    share(&mut [&mut first], &[4]);
    let mut second = member(&group, &topic);
    share(&mut [&mut first, &mut second], &[2, 2]);
    let mut third = member(&group, &topic);
    until("the third has its share", || {
        for member in [&mut first, &mut second, &mut third] {
            poll(member);
        }
        let mut held = [&first, &second, &third].map(|member| member.assignment().len());
        held.sort_unstable();
        (held == [1, 1, 2]).then_some(())
    });
    first.close(LONG).unwrap();
    share(&mut [&mut second, &mut third], &[2, 2]);
    second.close(LONG).unwrap();
    share(&mut [&mut third], &[4]);
    third.close(LONG).unwrap();
}

#[test]
fn a_member_more_than_partitions_waits_until_one_leaves() {
    let (topic, group) = (unique("spare"), unique("spare"));
    kafka().create(&topic, 1);
    let mut first = member(&group, &topic);
    share(&mut [&mut first], &[1]);
    let (mut spare, events) = member_with(&group, &[&topic], &[]);
    until("the spare member belongs to the group", || {
        poll(&mut first);
        poll(&mut spare);
        events.try_recv().is_ok().then_some(())
    });
    until("one of them holds the partition", || {
        poll(&mut first);
        poll(&mut spare);
        (first.assignment().len() + spare.assignment().len() == 1).then_some(())
    });
    let (holder, mut other) = if first.assignment().len() == 1 { (first, spare) } else { (spare, first) };
    holder.close(LONG).unwrap();
    share(&mut [&mut other], &[1]);
    other.close(LONG).unwrap();
}

/// Whoever holds a partition commits what it has done before it gives the partition up.
#[test]
fn with_commits_on_revocation_every_record_is_handed_over_once() {
    let (topic, group) = (unique("once"), unique("once"));
    kafka().create(&topic, 6);
    let join = || {
        let mut consumer =
            kafka().consumer(&[&MEMBER[..], &[("group.id", &group), ("max.poll.records", "7")]].concat());
        consumer
            .subscribe_with([&topic], |consumer, event| {
                if matches!(event, Rebalance::Revoked(_)) {
                    consumer.commit().unwrap();
                }
            })
            .unwrap();
        consumer
    };
    let producer = kafka().producer(&[]);
    let mut sent = 0;
    let mut send = |count: i32| {
        for _ in 0..count {
            producer.send(Record::to(&topic).partition(sent % 6).value(&sent.to_string())).unwrap();
            sent += 1;
        }
        producer.flush(LONG).unwrap();
    };
    let mut first = join();
    send(300);
    let mut seen = take(&mut first, 50);
    let mut second = join();
    seen.extend(share(&mut [&mut first, &mut second], &[3, 3]));
    send(300);
    seen.extend(take(&mut second, 50));
    first.close(LONG).unwrap();
    seen.extend(share(&mut [&mut second], &[6]));
    send(300);
    seen.extend(take(&mut second, 900 - seen.len()));
    second.close(LONG).unwrap();
    producer.close(LONG).unwrap();
    let mut all = numbers(&seen);
    all.sort_unstable();
    assert_eq!(all, Vec::from_iter(0..900));
    assert_eq!(committed(&group, &topic, 6), [Some(150); 6]);
}

#[test]
fn what_is_committed_in_each_way_is_where_the_next_member_starts() {
    let (topic, group) = (unique("commit"), unique("commit"));
    kafka().create(&topic, 1);
    write(&topic, 0, 0..40);
    let zero = TopicPartition::new(topic.as_str(), 0);
    let join = || member_with(&group, &[&topic], &[("max.poll.records", "10")]).0;
    let mut consumer = join();
    assert_eq!(consumer.committed(std::slice::from_ref(&zero)).unwrap(), [None]);
    take(&mut consumer, 10);
    consumer.commit().unwrap();
    assert_eq!(consumer.committed(std::slice::from_ref(&zero)).unwrap(), [Some(10)]);

    take(&mut consumer, 10);
    let (told, outcome) = channel();
    consumer.commit_async_with(move |result| told.send(result).unwrap()).unwrap();
    consumer.pause(std::slice::from_ref(&zero)).unwrap();
    let outcome = until("the outcome of a commit", || {
        assert!(poll(&mut consumer).is_empty());
        outcome.try_recv().ok()
    });
    outcome.unwrap();
    assert_eq!(committed(&group, &topic, 1), [Some(20)]);

    consumer.commit_offsets(&[(zero.clone(), 7)]).unwrap();
    assert_eq!(committed(&group, &topic, 1), [Some(7)]);
    // Nothing is committed that was not asked for: neither by close nor by drop.
    consumer.resume(std::slice::from_ref(&zero)).unwrap();
    take(&mut consumer, 10);
    consumer.close(LONG).unwrap();
    let mut next = join();
    assert_eq!(numbers(&take(&mut next, 10)), Vec::from_iter(7..17));
    next.commit_async().unwrap();
    next.close(LONG).unwrap();
    assert_eq!(committed(&group, &topic, 1), [Some(17)], "close finishes what is under way");
}

#[test]
fn a_group_without_commits_starts_where_it_is_told() {
    let topic = unique("reset");
    kafka().create(&topic, 1);
    write(&topic, 0, 0..20);
    let zero = TopicPartition::new(topic.as_str(), 0);
    let start = |reset: &str| member_with(&unique("reset"), &[&topic], &[("auto.offset.reset", reset)]).0;
    let mut earliest = start("earliest");
    assert_eq!(numbers(&take(&mut earliest, 20)), Vec::from_iter(0..20));

    let mut latest = start("latest");
    until("a position", || {
        assert!(poll(&mut latest).is_empty());
        (!latest.assignment().is_empty()).then(|| latest.position(&zero).ok()).flatten()
    });
    assert_eq!(latest.position(&zero).unwrap(), 20);
    write(&topic, 0, 20..23);
    assert_eq!(numbers(&take(&mut latest, 3)), [20, 21, 22]);

    let mut none = start("none");
    let error = until("an error", || none.poll(LONG).err());
    assert_eq!(error.kind(), ErrorKind::OffsetOutOfRange, "{error}");
    none.seek(&zero, 21).unwrap();
    assert_eq!(numbers(&take(&mut none, 2)), [21, 22]);
    for consumer in [earliest, latest, none] {
        consumer.close(LONG).unwrap();
    }
}

#[test]
fn groups_do_not_disturb_each_other() {
    let topic = unique("apart");
    kafka().create(&topic, 2);
    write(&topic, 0, 0..10);
    let groups = [unique("apart"), unique("apart")];
    let [mut one, mut other] = [0, 1].map(|index: usize| member(&groups[index], &topic));
    for consumer in [&mut one, &mut other] {
        assert_eq!(numbers(&take(consumer, 10)), Vec::from_iter(0..10));
        assert_eq!(consumer.assignment().len(), 2);
    }
    one.commit().unwrap();
    assert_eq!(committed(&groups[0], &topic, 1), [Some(10)]);
    assert_eq!(committed(&groups[1], &topic, 1), [None]);
    one.close(LONG).unwrap();
    other.close(LONG).unwrap();
}

#[test]
fn a_group_shares_the_partitions_of_two_topics() {
    let (group, wide, narrow) = (unique("two"), unique("wide"), unique("narrow"));
    kafka().create(&wide, 6);
    kafka().create(&narrow, 2);
    write(&wide, 5, 0..5);
    write(&narrow, 1, 5..10);
    let both = [&*wide, &*narrow];
    let mut first = member_with(&group, &both, &[]).0;
    let mut seen = share(&mut [&mut first], &[8]);
    seen.extend(take(&mut first, 10 - seen.len()));
    let mut all = numbers(&seen);
    all.sort_unstable();
    assert_eq!(all, Vec::from_iter(0..10));
    let mut second = member_with(&group, &both, &[]).0;
    share(&mut [&mut first, &mut second], &[4, 4]);
    for member in [&first, &second] {
        let of_narrow = member.assignment().iter().filter(|partition| *partition.topic == *narrow).count();
        assert_eq!(of_narrow, 1, "each topic is spread by itself");
    }
    // A member may also want only one of the topics.
    let mut third = member(&group, &wide);
    share(&mut [&mut first, &mut second, &mut third], &[3, 3, 2]);
    assert!(third.assignment().iter().all(|partition| *partition.topic == *wide));
    for member in [first, second, third] {
        member.close(LONG).unwrap();
    }
}

#[test]
fn a_member_that_changes_its_subscription_gets_what_it_wants_now() {
    let (group, one, other) = (unique("changes"), unique("changes"), unique("changes"));
    for topic in [&one, &other] {
        kafka().create(topic, 2);
        write(topic, 0, 0..3);
    }
    let mut consumer = member(&group, &one);
    assert_eq!(take(&mut consumer, 3).len(), 3);
    consumer.commit().unwrap();
    consumer.subscribe([&other]).unwrap();
    let entries = take(&mut consumer, 3);
    assert!(entries.iter().all(|entry| entry.topic == other));
    assert_eq!(consumer.assignment(), partitions(&other, 2));
    consumer.unsubscribe().unwrap();
    assert!(consumer.assignment().is_empty());
    assert_eq!(consumer.poll(crate::support::TICK).unwrap_err().kind(), ErrorKind::State);
    // It has left, and its position of before is known.
    consumer.subscribe([&one]).unwrap();
    share(&mut [&mut consumer], &[2]);
    write(&one, 0, 3..4);
    assert_eq!(numbers(&take(&mut consumer, 1)), [3]);
    consumer.close(LONG).unwrap();
}

#[test]
fn nothing_is_committed_by_reading() {
    let (topic, group) = (unique("nothing"), unique("nothing"));
    kafka().create(&topic, 3);
    write(&topic, 0, 0..3);
    let mut consumer = member(&group, &topic);
    take(&mut consumer, 3);
    consumer.close(LONG).unwrap();
    assert_eq!(committed(&group, &topic, 3), [None; 3]);
    let error = kafka().consumer(&[]).committed(&partitions(&topic, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

/// The committed positions of partitions assigned by hand are the group's too, without any membership.
#[test]
fn commits_need_no_membership_where_partitions_are_assigned_by_hand() {
    let (topic, group) = (unique("simple"), unique("simple"));
    kafka().create(&topic, 2);
    write(&topic, 1, 0..10);
    let settings = [("group.id", &*group), ("auto.offset.reset", "earliest"), ("max.poll.records", "4")];
    let mut consumer = kafka().consumer(&settings);
    consumer.assign(&partitions(&topic, 2)).unwrap();
    assert_eq!(numbers(&take(&mut consumer, 4)), [0, 1, 2, 3]);
    consumer.commit().unwrap();
    consumer.close(LONG).unwrap();
    assert_eq!(committed(&group, &topic, 2)[1], Some(4));
    let mut next = kafka().consumer(&settings);
    next.assign(&partitions(&topic, 2)).unwrap();
    assert_eq!(numbers(&take(&mut next, 6)), [4, 5, 6, 7, 8, 9]);
    next.close(LONG).unwrap();
}

#[test]
fn a_member_that_does_not_poll_loses_its_partitions_and_comes_back_with_the_next_poll() {
    let (topic, group) = (unique("slow"), unique("slow"));
    kafka().create(&topic, 2);
    let (mut slow, events) = member_with(&group, &[&topic], &[("max.poll.interval.ms", "1500")]);
    share(&mut [&mut slow], &[2]);
    assert!(matches!(events.try_recv(), Ok(Rebalance::Assigned(all)) if all.len() == 2));
    let both = slow.assignment();

    // It does nothing from now on, and the other one gets everything: nobody but max.poll.interval.ms can bring that
    // about, for its heartbeats go on.
    let mut quick = member(&group, &topic);
    share(&mut [&mut quick], &[2]);
    let error = slow.commit_offsets(&[(both[0].clone(), 0)]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::State | ErrorKind::Broker), "{error}");

    share(&mut [&mut slow, &mut quick], &[1, 1]);
    assert_eq!(events.try_recv().unwrap(), Rebalance::Lost(both));
    assert!(matches!(events.try_recv(), Ok(Rebalance::Assigned(all)) if all.len() == 1));
    slow.close(LONG).unwrap();
    quick.close(LONG).unwrap();
}

/// A consumer that is dropped says nothing to anybody, as one whose machine lost its power.
#[test]
fn a_member_that_vanishes_is_replaced_when_its_session_ends() {
    let (topic, group) = (unique("vanishes"), unique("vanishes"));
    kafka().create(&topic, 2);
    write(&topic, 0, 0..5);
    write(&topic, 1, 0..5);
    let (mut first, mut second) = (member(&group, &topic), member(&group, &topic));
    share(&mut [&mut first, &mut second], &[1, 1]);
    drop(first);
    share(&mut [&mut second], &[2]);
    let ends = BTreeMap::from_iter(second.assignment().into_iter().map(|partition| (partition, 5)));
    until("the end of both", || {
        poll(&mut second);
        ends.iter().all(|(partition, end)| second.position(partition).unwrap() == *end).then_some(())
    });
    second.close(LONG).unwrap();
}

/// A static member (KIP-345) that restarts within its session moves no partition.
#[test]
fn a_static_member_that_restarts_gets_its_partitions_back_and_nobody_else_notices() {
    let (topic, group) = (unique("static"), unique("static"));
    kafka().create(&topic, 4);
    let instance = |id| [("group.instance.id", id), ("session.timeout.ms", "30000")];
    let (mut first, events) = member_with(&group, &[&topic], &instance("one"));
    share(&mut [&mut first], &[4]);
    let (mut second, _) = member_with(&group, &[&topic], &instance("two"));
    share(&mut [&mut first, &mut second], &[2, 2]);
    while events.try_recv().is_ok() {}
    let (kept, held) = (first.assignment(), second.assignment());
    second.close(LONG).unwrap();
    let (mut again, _) = member_with(&group, &[&topic], &instance("two"));
    share(&mut [&mut first, &mut again], &[2, 2]);
    assert_eq!(again.assignment(), held);
    // Also when it ended without a word.
    drop(again);
    let (mut again, _) = member_with(&group, &[&topic], &instance("two"));
    share(&mut [&mut first, &mut again], &[2, 2]);
    assert_eq!((again.assignment(), first.assignment()), (held, kept));
    assert!(events.try_recv().is_err(), "the other one was not told of any rebalance");

    // Two at once under one name: the older one is shut out.
    let (mut twin, _) = member_with(&group, &[&topic], &instance("two"));
    share(&mut [&mut first, &mut twin], &[2, 2]);
    let error = until("an error", || again.poll(crate::support::TICK).err());
    assert!(error.to_string().contains("group.instance.id"), "{error}");
    for member in [first, twin, again] {
        let _ = member.close(LONG);
    }
}

#[test]
fn a_subscribed_topic_that_appears_later_is_read_from_its_first_record() {
    let topic = unique("later");
    let mut consumer = member(&topic, &topic);
    for _ in 0..5 {
        assert!(poll(&mut consumer).is_empty());
    }
    kafka().create(&topic, 3);
    write(&topic, 2, 0..10);
    assert_eq!(numbers(&take(&mut consumer, 10)), Vec::from_iter(0..10));
    assert_eq!(read(&topic, 3).len(), 10);
    consumer.close(LONG).unwrap();
}

#[test]
fn partitions_that_are_added_take_part() {
    let topic = Topic::create("grows", 1);
    let fresh = ("metadata.max.age.ms", "200");
    let mut consumer = member_with(&unique("grows"), &[&topic.name], &[fresh]).0;
    share(&mut [&mut consumer], &[1]);
    let producer = kafka().producer(&[fresh]);
    let send = |partition| producer.send(Record::to(&topic.name).partition(partition).value(&partition.to_string()));
    assert!(send(2).is_err());
    topic.grow(3);
    share(&mut [&mut consumer], &[3]);
    let place = until("the producer's view of the new partition", || send(2).ok()).wait().unwrap();
    assert_eq!((place.partition(), place.offset()), (2, 0));
    assert_eq!(numbers(&take(&mut consumer, 1)), [2]);
    producer.close(LONG).unwrap();
    consumer.close(LONG).unwrap();
}

/// A topic that is deleted and made anew under the same name has other offsets, and nothing of the old one.
#[test]
fn a_topic_that_is_made_anew_is_read_and_written_from_its_beginning() {
    let topic = Topic::create("anew", 1);
    let fresh = ("metadata.max.age.ms", "200");
    let producer = kafka().producer(&[fresh]);
    let mut consumer = member_with(&unique("anew"), &[&topic.name], &[fresh]).0;
    for number in 0..50 {
        producer.send(Record::to(&topic.name).value(&number.to_string())).unwrap();
    }
    producer.flush(LONG).unwrap();
    assert_eq!(numbers(&take(&mut consumer, 50)), Vec::from_iter(0..50));
    topic.delete();
    until("the topic's end", || (!Topic::exists(&topic.name)).then_some(()));
    kafka().create(&topic.name, 1);
    assert_ne!(Topic::find(&topic.name).id, topic.id);
    let place = producer.send(Record::to(&topic.name).value("1000")).unwrap().wait().unwrap();
    assert_eq!(place.offset(), 0);
    let entries = take(&mut consumer, 1);
    assert_eq!((entries[0].offset, entries[0].number()), (0, 1000));
    producer.close(LONG).unwrap();
    consumer.close(LONG).unwrap();
}

/// The log's beginning moves on while a consumer stands before it.
#[test]
fn a_group_that_is_behind_the_logs_beginning_goes_on_there() {
    let topic = Topic::create("deleted", 1);
    write(&topic.name, 0, 0..30);
    let before = vec![DeleteRecordsPartition { partition_index: 0, offset: 12 }];
    let topics = vec![DeleteRecordsTopic { name: topic.name.clone(), partitions: before }];
    let answer = Wire::leader(&topic, 0).ask(&DeleteRecordsRequest { topics, timeout_ms: 30_000 });
    assert!(answer.topics[0].partitions[0].error_code.is_ok());
    let mut consumer = member(&unique("deleted"), &topic.name);
    share(&mut [&mut consumer], &[1]);
    consumer.seek(&TopicPartition::new(topic.name.as_str(), 0), 3).unwrap();
    assert_eq!(numbers(&take(&mut consumer, 18)), Vec::from_iter(12..30));
    consumer.close(LONG).unwrap();
}

/// Members of either protocol.
fn follow_a_pattern(protocol: &[(&str, &str)]) {
    let group = unique("pattern");
    let (first, later, other) = (format!("{group}-a.1"), format!("{group}-b"), format!("not-{group}-c"));
    kafka().create(&first, 2);
    kafka().create(&other, 1);
    let settings = [("group.id", &*group), ("auto.offset.reset", "earliest"), ("metadata.max.age.ms", "300")];
    let mut consumer = kafka().consumer(&[&settings[..], protocol].concat());
    let error = consumer.subscribe_pattern("a(").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    consumer.subscribe_pattern(&format!("{group}-.*")).unwrap();
    share(&mut [&mut consumer], &[2]);
    kafka().create(&later, 1);
    write(&later, 0, 0..3);
    let mut seen = share(&mut [&mut consumer], &[3]);
    seen.extend(take(&mut consumer, 3 - seen.len()));
    assert_eq!(numbers(&seen), [0, 1, 2]);
    consumer.subscribe([&other]).unwrap();
    until("the topic that does not match", || {
        poll(&mut consumer);
        (consumer.assignment() == partitions(&other, 1)).then_some(())
    });
    consumer.close(LONG).unwrap();
}

#[test]
fn topics_that_match_a_pattern_are_read_also_those_that_come_later() {
    follow_a_pattern(&[("heartbeat.interval.ms", "200")]);
}

#[test]
fn the_same_in_the_consumer_protocol() {
    if crate::consumer_groups::served() {
        follow_a_pattern(&[("group.protocol", "consumer")]);
    }
}

#[test]
fn with_auto_commit_what_earlier_polls_returned_is_committed_and_nothing_else() {
    let (topic, group) = (unique("auto"), unique("auto"));
    kafka().create(&topic, 1);
    write(&topic, 0, 0..30);
    let settings = [("enable.auto.commit", "true"), ("auto.commit.interval.ms", "1"), ("max.poll.records", "10")];
    let (mut first, _events) = member_with(&group, &[&topic], &settings);
    assert_eq!(numbers(&take(&mut first, 10)), Vec::from_iter(0..10));
    assert_eq!(committed(&group, &topic, 1), [None], "the application may still be at it");
    assert_eq!(numbers(&take(&mut first, 10)), Vec::from_iter(10..20));
    until("what the first poll returned is committed", || (committed(&group, &topic, 1) == [Some(10)]).then_some(()));
    first.close(LONG).unwrap();
    assert_eq!(committed(&group, &topic, 1), [Some(20)], "closing says that all is done");
}
