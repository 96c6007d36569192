//! How soon the others hold what a member had that left or died.

use std::time::{Duration, Instant};

use krs::Config;

use crate::members::{CONSUMER, COOPERATIVE, Group, Mode, RANGE};
use crate::support::{Program, RECEIVER, create, kafka, unique};

const PARTITIONS: i32 = 6;
/// The limits are promises for a machine that has time. This is added for one that has not.
const ALLOWANCE: Duration = Duration::from_secs(2);
const CLASSIC: [(&str, &str); 2] = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "2000")];
const SESSION: Duration = Duration::from_secs(6);

/// How long it may take after a leave, or after the end of a session.
fn limit(mode: Mode) -> Duration {
    Duration::from_secs(if mode.is_classic() { 3 } else { 6 })
}

/// Two members stay; a third leaves, several times, and at last one is killed.
fn hand_over(config: &Config, mode: Mode, receiver: impl Fn(&[&str]) -> Program) {
    let topic = unique("hand-over");
    create(config, &topic, PARTITIONS, &[]);
    let mut group = Group::new(config, &topic, mode, &CLASSIC);
    group.join();
    group.join();
    let mut shares = vec![3, 3];
    let mut took = Vec::new();
    for _ in 0..3 {
        let leaver = group.join();
        (shares[0], shares[1]) = (2, 2);
        shares.push(2);
        group.wait_for_shares(&shares);
        let begin = group.leave(leaver);
        shares[leaver] = 0;
        let held = group.wait_until_all_are_held(PARTITIONS as usize, limit(mode) + ALLOWANCE);
        took.push(held.saturating_duration_since(begin));
    }
    println!("{}: the others hold all after a clean leave within {took:?}, promised {:?}", mode.name, limit(mode));

    (shares[0], shares[1]) = (2, 2);
    let property = |(name, value): &(&str, &str)| ["-X".to_owned(), format!("{name}={value}")];
    let settings: Vec<String> = mode.settings.iter().flat_map(property).collect();
    let mut words = vec!["--topic", &topic, "--group", &group.id];
    words.extend(settings.iter().map(String::as_str));
    let victim = receiver(&words);
    group.wait_for_shares(&shares);
    victim.signal("KILL");
    let begin = Instant::now();
    let held = group.wait_until_all_are_held(PARTITIONS as usize, SESSION + limit(mode) + ALLOWANCE);
    let took = held.saturating_duration_since(begin);
    println!("{}: after kill -9 within {took:?}, promised {:?}", mode.name, SESSION + limit(mode));
    drop(victim);
    (0..2).for_each(|member| _ = group.leave(member));
}

#[test]
fn classic_members_hand_over_within_a_heartbeat() {
    for mode in [RANGE, COOPERATIVE] {
        hand_over(&kafka().config(), mode, |words| Program::start(&mut kafka().program(RECEIVER, words, &[])));
    }
}

#[test]
fn members_of_the_consumer_protocol_hand_over_within_a_heartbeat() {
    if kafka().is_3() {
        // It serves that protocol only as a preview that must be switched on.
        return;
    }
    let settings = ["group.consumer.session.timeout.ms=6000", "group.consumer.min.session.timeout.ms=6000"];
    let cluster = kafka().cluster("hand-over", 1, &settings);
    hand_over(&cluster.config(), CONSUMER, |words| Program::start(&mut cluster.program(RECEIVER, words, &[])));
}
