//! `just etl` in small: two levels of four members each under constant change, on the development broker.
//!
//! Times are shorter here, so that more happens in less of it; what is expected is the same.
#![cfg(all(feature = "services", feature = "devbroker"))]

#[path = "../examples/etl/chain.rs"]
mod chain;
#[path = "../examples/etl/check.rs"]
mod check;
#[path = "../examples/etl/leftovers.rs"]
mod leftovers;
#[path = "../examples/etl/member.rs"]
mod member;
#[path = "../examples/etl/members.rs"]
mod members;
#[path = "../examples/etl/modes.rs"]
#[allow(dead_code)]
mod modes;
#[path = "../examples/etl/schedule.rs"]
mod schedule;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use chain::Plan;
use check::{Tally, value};
use krs::devbroker::DevBroker;
use krs::service::Stop;
use krs::{Admin, Config};
use leftovers::Leftovers;
use schedule::{Change, Pace, Schedule};

const fn between(from: u64, to: u64) -> (Duration, Duration) {
    (Duration::from_millis(from), Duration::from_millis(to))
}

const PACE: Pace = Pace { stays: between(400, 1200), away: between(200, 1000), kills: 0 };

/// To the test `member` it says that it is a member: no test has this name.
const AS_MEMBER: &str = "as-a-member";

/// What starts a member: this program too, with `member` below as the only test that runs in it.
fn command() -> [String; 5] {
    let program = std::env::current_exe().unwrap();
    [program.to_str().unwrap(), "member", AS_MEMBER, "--exact", "--nocapture"].map(str::to_owned)
}

fn plan(mode: &str, kills: bool) -> Plan {
    Plan {
        mode: modes::named(mode).unwrap(),
        kills,
        count: 5_000,
        seed: 7,
        levels: 2,
        members: 4,
        flow: Duration::from_secs(4),
        pace: if kills { Pace { kills: 50, stays: between(1000, 3000), ..PACE } } else { PACE },
        // A busy machine must not make a live member look dead where that would count.
        session: Duration::from_millis(if kills { 1500 } else { 20_000 }),
        heartbeat: Duration::from_millis(300),
        patience: Duration::from_secs(30),
        brokers: None,
        member: command().to_vec(),
        logs: Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("etl-{mode}-{kills}-{}", std::process::id())),
    }
}

fn run(mode: &str, kills: bool) {
    let (plan, mut leftovers) = (plan(mode, kills), Leftovers::default());
    plan.run(&Stop::new(), &mut leftovers).unwrap_or_else(|problem| panic!("{}: {problem}", plan.name()));
}

/// In a process of the others it is what that process does. By itself it starts one, and tells it nothing.
#[test]
fn member() {
    if std::env::args().any(|argument| argument == AS_MEMBER) {
        assert_eq!(member::main(), ExitCode::SUCCESS);
        return;
    }
    let [program, words @ ..] = command();
    let ended = Command::new(program).args(words).stdin(Stdio::null()).output().unwrap();
    assert!(!ended.status.success());
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(told.contains("failed bootstrap.servers"), "{told}");
}

#[test]
fn range_clean() {
    run("range", false);
}

#[test]
fn range_kill() {
    run("range", true);
}

#[test]
fn static_clean() {
    run("static", false);
}

#[test]
fn static_kill() {
    run("static", true);
}

#[test]
fn cooperative_clean() {
    run("cooperative", false);
}

#[test]
fn cooperative_kill() {
    run("cooperative", true);
}

#[test]
fn consumer_clean() {
    run("consumer", false);
}

#[test]
fn consumer_kill() {
    run("consumer", true);
}

#[test]
fn what_a_run_left_on_a_broker_is_deleted_after_a_failure_too() {
    // Its members are killed at the end, and static ones keep their places until their sessions are over.
    let plan = Plan { count: 1_000_000, ..plan("static", true) };
    let broker = DevBroker::start(plan.broker()).unwrap();
    let config = Config::new().set("bootstrap.servers", broker.bootstrap()).unwrap();
    let plan = Plan { brokers: Some(broker.bootstrap()), logs: plan.logs.with_extension("interrupted"), ..plan };
    let (admin, stop, mut leftovers) = (Admin::connect(&config).unwrap(), Stop::new(), Leftovers::default());
    std::thread::scope(|scope| {
        let run = scope.spawn(|| plan.run(&stop, &mut leftovers));
        while admin.list_groups().unwrap().len() < plan.levels && !run.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.ask();
        assert_eq!(run.join().unwrap(), Err("interrupted".to_owned()));
    });
    // An interrupted run keeps them.
    std::fs::remove_dir_all(&plan.logs).unwrap();
    assert_eq!(leftovers.remove(&config, Duration::from_secs(30)).as_deref(), Ok("3 topics and 2 groups"));
    assert!(admin.list_topics().unwrap().is_empty());
    assert!(admin.list_groups().unwrap().is_empty());
}

#[test]
fn the_seed_alone_decides_who_comes_and_goes() {
    let pace = Pace { kills: 50, ..PACE };
    let steps = |seed, level| Schedule::new(seed, level, 6, pace).take(500).collect::<Vec<_>>();
    assert_eq!(steps(1, 1), steps(1, 1));
    assert_ne!(steps(1, 1), steps(2, 1));
    assert_ne!(steps(1, 1), steps(1, 2));

    let mut here = [false; 6];
    let mut before = Duration::ZERO;
    for step in steps(1, 1) {
        assert!(step.at >= before, "{step:?} is before {before:?}");
        before = step.at;
        let joins = step.change == Change::Join;
        assert_ne!(std::mem::replace(&mut here[step.member], joins), joins, "{step:?}");
        assert!(joins || here.iter().filter(|here| **here).count() >= 3, "{step:?} leaves too few");
    }
    assert!(steps(1, 1).iter().any(|step| step.change == Change::Kill));
}

#[test]
fn what_is_missing_twice_or_out_of_order_is_seen() {
    let tally = |numbers: &[u64]| {
        let mut tally = Tally::new(2);
        for (offset, number) in numbers.iter().enumerate() {
            tally.add(1, offset as i64, Some(&value(1, *number)));
        }
        (tally.unique, tally.duplicates, tally.faults)
    };
    assert_eq!(tally(&[0, 1, 2, 3]), (4, 0, 0));
    assert_eq!(tally(&[0, 1, 2, 1, 2, 3]), (4, 2, 0), "what is delivered again is older");
    assert_eq!(tally(&[0, 2, 3]), (3, 0, 1), "1 is missing");
    assert_eq!(tally(&[0, 2, 1, 3]), (4, 0, 2), "1 comes behind 2");

    let mut misplaced = Tally::new(2);
    misplaced.add(1, 0, Some(&value(0, 0)));
    misplaced.add(0, 0, Some(b"something"));
    misplaced.add(0, 1, None);
    assert_eq!((misplaced.unique, misplaced.faults), (0, 3));
}
