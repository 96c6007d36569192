//! Leaders and coordinators that move, brokers that stop, hang or forget, and all of it at once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use krs::Producer;
use krs::devbroker::DevBroker;

use super::ledger::{Ledger, Outcomes, Promise};
use super::reader::{Progress, Reader, committed, member, reading};
use super::support::{LONG, PARTITIONS, Settings, config, each, inject, kafka_replicated, within};

/// Records that are written while the cluster is in motion.
const RECORDS: usize = 240;

/// Writes and reads at once, while something happens to the brokers again and again, and checks both in the end.
///
/// The reader is alone, or a member of a group that commits as it goes.
fn in_motion(
    label: &str,
    broker: &DevBroker,
    as_member: bool,
    settings: &[(&str, &str)],
    happens: impl Fn(usize) + Sync,
) -> Outcomes {
    let timeouts = [("request.timeout.ms", "1000"), ("message.timeout.ms", "20000")];
    let config = config(broker).and(&timeouts).and(settings);
    let over = AtomicBool::new(false);
    // Of the first contact each broker is tried once.
    let producer = Producer::connect(&config.clone().and(&[("batch.size", "100")])).unwrap();
    let reader = if as_member {
        Reader::join(label, &member(config.clone()), &Progress::default()).unwrap()
    } else {
        Reader::alone(label, &reading(config.clone())).unwrap()
    };
    std::thread::scope(|scope| {
        let moving = scope.spawn(|| {
            let mut turn = 0;
            while turn < 3 || !over.load(Ordering::Relaxed) {
                happens(turn);
                turn += 1;
                std::thread::sleep(Duration::from_millis(15));
            }
        });
        let reading_along = scope.spawn(|| read_along(label, reader, as_member));
        let ledger = write_along(label, &producer, &over);
        moving.join().unwrap();
        broker.clear_faults();
        (1..=2).for_each(|node| broker.start_broker(node).unwrap());
        within(LONG, "closing", || producer.close(LONG)).unwrap();
        reading_along.join().unwrap();
        if as_member {
            let end = Some((RECORDS / PARTITIONS as usize) as i64);
            assert_eq!(committed(&member(config)), vec![end; PARTITIONS as usize], "{label}");
        }
        ledger.check(broker, Promise::ExactlyOnce)
    })
}

/// Says that it is over, also when a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn write_along(label: &str, producer: &Producer, over: &AtomicBool) -> Ledger {
    let _ends = Ends(over);
    let mut ledger = Ledger::new(label);
    while ledger.len() < RECORDS {
        ledger.send(producer, PARTITIONS as usize);
        std::thread::sleep(Duration::from_millis(2));
    }
    ledger.settle(Duration::from_secs(20));
    ledger
}

/// Reads until everything that is written has come.
fn read_along(label: &str, mut reader: Reader, as_member: bool) {
    let each = RECORDS / PARTITIONS as usize;
    if as_member {
        reader.commit_to(each);
    } else {
        reader.read_to(each);
        assert!(reader.errors.is_empty(), "{label}: {:?}", reader.errors);
    }
    reader.close().unwrap();
}

fn all_acknowledged(label: &str, outcomes: &Outcomes) {
    let lost = outcomes.failed.first().or(outcomes.unknown.first());
    assert!(lost.is_none(), "{label}: {}", lost.unwrap());
    assert_eq!(outcomes.acknowledged, RECORDS);
}

/// What happens to the brokers.
type Motion = fn(&DevBroker, usize);

fn node(turn: usize) -> i32 {
    turn as i32 % 2 + 1
}

fn leaders_move(broker: &DevBroker, turn: usize) {
    broker.move_leader("t", turn as i32 % PARTITIONS, node(turn / 3)).unwrap();
}

fn coordinators_move(broker: &DevBroker, turn: usize) {
    broker.move_coordinator("g", node(turn)).unwrap();
}

fn connections_are_cut(broker: &DevBroker, turn: usize) {
    broker.cut_connections(node(turn)).unwrap();
}

fn brokers_restart(broker: &DevBroker, turn: usize) {
    let node = node(turn / 4);
    if turn.is_multiple_of(4) {
        broker.stop_broker(node).unwrap();
    } else if turn % 4 == 2 {
        broker.start_broker(node).unwrap();
    }
}

const MOTIONS: [(&str, Motion); 4] = [
    ("leaders move", leaders_move),
    ("coordinators move", coordinators_move),
    ("connections are cut", connections_are_cut),
    ("brokers restart", brokers_restart),
];

#[test]
fn whatever_moves_everything_arrives_once_and_in_order() {
    // With one replica each restart leaves partitions without a leader.
    let rows: Vec<_> = MOTIONS.iter().flat_map(|motion| [1, 2].map(|replicas| (*motion, replicas))).collect();
    each(&rows, |((name, motion), replicas)| {
        let broker = kafka_replicated(*replicas);
        let outcomes = in_motion(name, &broker, false, &[], |turn| motion(&broker, turn));
        all_acknowledged(name, &outcomes);
    });
}

#[test]
fn a_group_follows_whatever_moves() {
    let rows: Vec<_> = MOTIONS.iter().flat_map(|motion| [1, 2].map(|replicas| (*motion, replicas))).collect();
    each(&rows, |((name, motion), replicas)| {
        let broker = kafka_replicated(*replicas);
        let outcomes = in_motion(name, &broker, true, &[], |turn| motion(&broker, turn));
        all_acknowledged(name, &outcomes);
    });
}

/// As they are written on a command line.
#[test]
fn faults_that_fall_due_by_time_cost_nothing() {
    let faults = [
        "broker=2,down=100ms,after=50ms",
        "down=50ms,every=150ms,next=3",
        "cut,every=20ms",
        "move-leader,every=20ms",
        "move-coordinator,every=20ms",
        "topic=t,move-leader,every=30ms",
        "group=g,move-coordinator,every=30ms",
    ];
    each(&faults, |fault| {
        let broker = kafka_replicated(1);
        let id = OnceLock::new();
        let outcomes = in_motion(fault, &broker, true, &[], |_| {
            let id = id.get_or_init(|| inject(&broker, fault));
            let until = Instant::now() + LONG;
            while broker.faults_applied(*id) == 0 {
                assert!(Instant::now() < until, "{fault} never acted");
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        all_acknowledged(fault, &outcomes);
    });
}

/// It accepts and says nothing: whoever waits for it gives up by `request.timeout.ms`, and goes where the leaders went.
#[test]
fn a_broker_that_hangs_is_left_for_another() {
    each(&[false, true], |as_member| {
        let broker = kafka_replicated(2);
        inject(&broker, "any:silence,broker=1,after=50ms");
        let leave = |turn: usize| {
            if turn > 10 {
                (0..PARTITIONS).for_each(|index| broker.move_leader("t", index, 2).unwrap());
                broker.move_coordinator("g", 2).unwrap();
            }
        };
        let short = [("request.timeout.ms", "300"), ("socket.connection.setup.timeout.ms", "300")];
        let outcomes = in_motion("hanging", &broker, *as_member, &short, leave);
        all_acknowledged("hanging", &outcomes);
    });
}

/// Nothing is in doubt when the brokers forget the producer, so nothing need be.
#[test]
fn a_producer_that_was_forgotten_goes_on() {
    let broker = kafka_replicated(1);
    let outcomes = in_motion("forgotten", &broker, false, &[], |_| broker.expire_producers());
    all_acknowledged("forgotten", &outcomes);
}

/// Everything at once, at random, with a fixed seed.
#[test]
fn chaos_costs_nothing() {
    let seeds = std::env::var("KRS_CHAOS_SEEDS").unwrap_or_else(|_| "1,2,3,4".to_owned());
    let seeds: Vec<u64> =
        seeds.split(',').map(|seed| seed.parse().expect("KRS_CHAOS_SEEDS is a list of numbers")).collect();
    let faults = [
        "any:drop,p=0.01",
        "any:drop-after,p=0.01",
        "any:truncate,p=0.01",
        "any:drop-inside,p=0.01",
        "any:delay=10ms,p=0.05",
        "produce:error=NOT_ENOUGH_REPLICAS,p=0.03",
        "produce:error=REQUEST_TIMED_OUT,after-work,p=0.03",
        "produce+fetch+list-offsets:error=NOT_LEADER_OR_FOLLOWER,p=0.03",
        "produce:error=NOT_LEADER_OR_FOLLOWER,after-work,p=0.02",
        "fetch:error=UNKNOWN_SERVER_ERROR,p=0.02",
        "metadata:error=LEADER_NOT_AVAILABLE,p=0.05",
        "find-coordinator+join-group+sync-group+heartbeat+offset-commit+offset-fetch:error=NOT_COORDINATOR,p=0.03",
        "offset-commit+offset-fetch:error=COORDINATOR_LOAD_IN_PROGRESS,p=0.03",
        "heartbeat:error=REBALANCE_IN_PROGRESS,p=0.01",
    ];
    each(&seeds, |seed| {
        let broker = kafka_replicated(1);
        let label = format!("seed {seed}");
        let outcomes = in_motion(&label, &broker, true, &[], |turn| {
            if turn == 0 {
                for (fault, place) in faults.iter().zip(0..) {
                    inject(&broker, &format!("{fault},seed={}", seed * 100 + place));
                }
            }
            // What is down cannot lead.
            let (round, node) = (turn / 16, node(turn / 16 + *seed as usize));
            match turn % 16 {
                1 | 5 | 14 => drop(broker.move_leader("t", round as i32 % PARTITIONS, node)),
                3 => drop(broker.move_coordinator("g", node)),
                7 => broker.cut_connections(node).unwrap(),
                9 => broker.stop_broker(node).unwrap(),
                12 => broker.start_broker(node).unwrap(),
                _ => {}
            }
        });
        all_acknowledged(&label, &outcomes);
    });
}
