//! A chain of three groups under constant change: what each record becomes when members join, leave and are killed.
//!
//! ```text
//! source ─▶ topic 0 ─▶ level 1 ─▶ topic 1 ─▶ level 2 ─▶ topic 2 ─▶ level 3 ─▶ topic 3
//! ```
//!
//! Each level is a group of six members, and each member a process: this program, started again. A member moves records
//! to the same partition of the next topic; it delivers before it commits, and commits before partitions go to another.
//! So with clean leaves each record is to arrive exactly once at each level, with kills at least once, and in either
//! case in order.
//!
//! `etl [MODE [COUNT [SEED]]]`: MODE is `range`, `cooperative`, `static`, `consumer` or `all`. Each runs twice, with clean
//! leaves and with kills. On the Kafka of `KAFKA_BROKERS`, else on a development broker. The last line is the verdict.
//!
//! | file | holds |
//! | --- | --- |
//! | `modes.rs` | what a mode sets |
//! | `schedule.rs` | who comes and goes when, by the seed |
//! | `members.rs` | the processes of a level |
//! | `member.rs` | what such a process does |
//! | `check.rs` | what has arrived |
//! | `leftovers.rs` | what is deleted in the end |
//! | `chain.rs` | one run of all that, and its verdict |

mod chain;
mod check;
mod leftovers;
mod member;
mod members;
mod modes;
mod schedule;

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use chain::Plan;
use krs::service::Stop;
use krs::{Admin, Config};
use leftovers::Leftovers;
use modes::{MODES, Mode};
use schedule::Pace;

const COUNT: u64 = 500_000;

/// The source sends so many records a second, within these limits of its time.
const RATE: u64 = 20_000;
const FLOW: (Duration, Duration) = (Duration::from_secs(12), Duration::from_secs(25));

/// Beyond the sessions of the last members, which hold their groups back.
const REMOVAL: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "member") {
        return member::main();
    }
    match run(&arguments) {
        Ok(verdict) => {
            println!("etl: ok: {verdict}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("etl: FAILED: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<String, String> {
    let wrong = |what: &str| format!("{what}; usage: etl [MODE [COUNT [SEED]]]");
    let modes: Vec<&'static Mode> = match arguments.first().map(String::as_str) {
        None | Some("all") => MODES.iter().collect(),
        Some(name) => {
            let known = || MODES.iter().map(|mode| mode.name).collect::<Vec<_>>().join(", ");
            vec![modes::named(name).ok_or_else(|| wrong(&format!("no mode {name:?}: there are {}, all", known())))?]
        }
    };
    let number = |index: usize, default: u64| match arguments.get(index) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| wrong(&format!("{text:?} is not a number"))),
    };
    let count = number(1, COUNT)?.max(1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = number(2, now.as_millis() as u64 % 1_000_000)?;

    let program = env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let program = program.to_str().ok_or("this program is at a path that is not text")?.to_owned();
    let stop = Stop::new();
    stop.on_signals().map_err(|error| error.to_string())?;
    let brokers = env::var("KAFKA_BROKERS").ok().filter(|brokers| !brokers.is_empty());
    let config = brokers.as_ref().map(|brokers| Config::new().set("bootstrap.servers", brokers)).transpose();
    let config = config.map_err(|error| error.to_string())?;
    // Whoever is not there is not asked again for each run.
    config.as_ref().map(Admin::connect).transpose().map_err(|error| error.to_string())?;
    let (begun, mut problems, mut leftovers) = (Instant::now(), Vec::new(), Leftovers::default());
    'runs: for mode in &modes {
        for kills in [false, true] {
            let plan = Plan {
                mode,
                kills,
                count,
                seed,
                levels: 3,
                members: 6,
                flow: Duration::from_secs(count / RATE).clamp(FLOW.0, FLOW.1),
                pace: pace(mode, kills),
                session: modes::SESSION,
                heartbeat: modes::HEARTBEAT,
                patience: Duration::from_secs(60),
                brokers: brokers.clone(),
                member: vec![program.clone(), "member".to_owned()],
                logs: logs(mode.name, kills, seed),
            };
            let from = Instant::now();
            let outcome = plan.run(&stop, &mut leftovers);
            let took = from.elapsed().as_secs_f64();
            match outcome {
                Ok(()) => println!("{} ok, {took:.0} s", plan.name()),
                Err(problem) => {
                    println!("{} FAILED after {took:.0} s: {problem}", plan.name());
                    problems.push(format!("{}: {problem}", plan.name()));
                }
            }
            if stop.is_asked() {
                break 'runs;
            }
        }
    }
    if stop.is_asked() && problems.is_empty() {
        problems.push("interrupted".to_owned());
    }
    if let Some(config) = &config {
        match leftovers.remove(config, REMOVAL) {
            Ok(what) => println!("deleted from the broker: {what}"),
            Err(problem) => problems.push(problem),
        }
    }
    let names = modes.iter().map(|mode| mode.name).collect::<Vec<_>>().join(", ");
    let what = format!("{names}; {count} records, seed {seed}, {:.0} s", begun.elapsed().as_secs_f64());
    if problems.is_empty() { Ok(what) } else { Err(format!("{} ({what})", problems.join("; "))) }
}

/// Each death holds up a group for the length of a session, so there must be time between two of them.
fn pace(mode: &Mode, kills: bool) -> Pace {
    let seconds = |from: f64, to: f64| (Duration::from_secs_f64(from), Duration::from_secs_f64(to));
    let stays = match kills {
        false => seconds(1.5, 4.5),
        // A rebalance of the classic protocol waits for the dead, unless they come back under their names.
        true if mode.own_session && !mode.instances => seconds(3.0, 6.0),
        true => seconds(2.0, 5.0),
    };
    // A static member that is back within its session takes up where it was.
    let away = if mode.instances { seconds(0.5, 3.0) } else { seconds(0.5, 5.0) };
    Pace { stays, away, kills: if kills { 70 } else { 0 } }
}

fn logs(mode: &str, kills: bool, seed: u64) -> std::path::PathBuf {
    let kind = if kills { "kill" } else { "clean" };
    Path::new("target/etl").join(format!("{mode}-{kind}-{seed}-{}", std::process::id()))
}
