//! Brokers that are restarted one after the other, as for an upgrade.

use std::time::{Duration, Instant};

use krs::Admin;

use crate::members::{CONSUMER, COOPERATIVE, Group, Load, RANGE};
use crate::support::{Cluster, LONG, create_replicated, kafka, run, unique};

/// What a restart needs replicas of: the topic, and the coordinators' memory.
fn wait_for_replicas(cluster: &Cluster, topics: &[&str]) {
    let admin = Admin::connect(&cluster.config()).unwrap();
    let deadline = Instant::now() + LONG;
    loop {
        let described = admin.describe_topics(topics);
        let whole = |topic: &krs::Result<krs::TopicDescription>| {
            topic.as_ref().is_ok_and(|topic| topic.partitions.iter().all(|partition| partition.isr.len() == 3))
        };
        if described.iter().all(whole) {
            return;
        }
        assert!(Instant::now() < deadline, "replicas are not in sync: {described:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The members of a group as Java's tool sees them: their ids, epochs and partitions, in the order of the ids.
fn members(cluster: &Cluster, group: &Group) -> Vec<String> {
    let words = ["--describe", "--group", &group.id, "--members", "--verbose"];
    let said = run(&mut cluster.tool("kafka-consumer-groups", &words), LONG).success();
    let lines = said.lines().filter(|line| line.starts_with(&group.id));
    let mut lines: Vec<String> = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    assert_eq!(lines.len(), 3, "{said}");
    lines
}

/// A coordinator that moves, or is away for a moment, is no reason to rebalance: members go on under the generation or
/// epoch that they have, and commit under it.
#[test]
fn a_rolling_restart_of_three_brokers_rebalances_no_group() {
    const PARTITIONS: i32 = 6;
    let cluster = kafka().cluster("rolling", 3, &[]);
    let topic = unique("rolling");
    create_replicated(&cluster.config(), &topic, PARTITIONS, 3, &[]);
    let modes = [RANGE, COOPERATIVE, CONSUMER];
    let modes = modes.into_iter().filter(|mode| mode.is_classic() || !kafka().is_3());
    let session = [("session.timeout.ms", "30000"), ("heartbeat.interval.ms", "3000")];
    let mut groups: Vec<Group> = modes.map(|mode| Group::new(&cluster.config(), &topic, mode, &session)).collect();
    for group in &mut groups {
        (0..3).for_each(|_| _ = group.join());
    }
    groups.iter().for_each(|group| group.wait_for_shares(&[2, 2, 2]));
    let events: Vec<(usize, Vec<String>)> =
        groups.iter().map(|group| (group.events(), members(&cluster, group))).collect();
    let load = Load::start(&cluster.config(), &topic, 0..PARTITIONS, Duration::from_millis(20));

    let admin = Admin::connect(&cluster.config()).unwrap();
    let coordinators = || -> Vec<i32> {
        let ids: Vec<&str> = groups.iter().map(|group| group.id.as_str()).collect();
        admin.describe_groups(&ids).into_iter().map(|group| group.unwrap().coordinator).collect()
    };
    let mut moves = vec![coordinators()];
    for broker in 1..=3 {
        wait_for_replicas(&cluster, &[&topic, "__consumer_offsets"]);
        cluster.stop(broker);
        moves.push(coordinators());
        cluster.start(broker);
    }
    wait_for_replicas(&cluster, &[&topic, "__consumer_offsets"]);
    println!("coordinators of the groups, before and after each broker went: {moves:?}");
    let sent = load.stop();
    for (group, (before, members_before)) in groups.iter_mut().zip(events) {
        let all = sent as usize * PARTITIONS as usize;
        group.wait(&format!("{all} records"), LONG, |seen| {
            (seen.iter().map(|seen| seen.records.len()).sum::<usize>() >= all).then_some(())
        });
        println!("{}: {} records, rebalances {before} and then {}", group.mode.name, all, group.events());
        assert_eq!(
            group.events(),
            before,
            "{}: {:?}",
            group.mode.name,
            group.seen().iter().map(|seen| &seen.events).collect::<Vec<_>>()
        );
        assert_eq!(members(&cluster, group), members_before, "{}", group.mode.name);
        let offsets = group.offsets();
        assert!(offsets.len() == 6 && offsets.values().all(|offsets| offsets.iter().copied().eq(0..sent)));
        // Each compares what it has read, its positions, and what is committed.
        (0..3).for_each(|member| _ = group.leave(member));
    }
}
