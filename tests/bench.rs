//! `krs bench` as a program, on a development broker in the test's own process.
#![cfg(all(feature = "bench", feature = "devbroker"))]

#[path = "util/port.rs"]
mod port;
#[path = "util/process.rs"]
mod process;

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use krs::devbroker::{DevBroker, Options};
use port::Port;
use process::{Ended, Program};
use serde_json::Value;

/// No wait of a test that works comes near this.
const LONG: Duration = Duration::from_secs(60);

fn broker() -> (DevBroker, String) {
    let broker = DevBroker::start(Options::default()).unwrap();
    let address = broker.bootstrap();
    (broker, address)
}

/// `krs bench` with these words, put apart by blanks, at a broker.
fn bench(broker: &str, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_krs"));
    command.arg("bench").args(words.split_whitespace()).env_clear();
    if !broker.is_empty() {
        command.env("KAFKA_BROKERS", broker);
    }
    command
}

fn run(broker: &str, words: &str) -> Ended {
    process::run(&mut bench(broker, words), LONG)
}

/// The only line on standard output, as an object.
fn report(ended: &Ended) -> Value {
    assert_eq!(ended.stdout.len(), 1, "{:?}", ended.stdout);
    let report: Value = serde_json::from_str(&ended.stdout[0]).unwrap();
    assert_eq!(report["version"], 1);
    report
}

fn complete(broker: &str, words: &str) -> Value {
    let ended = run(broker, words);
    ended.code(0);
    let report = report(&ended);
    assert!(report["complete"] == true && report["ended"].is_null(), "{report}");
    report
}

/// The one line in which it complains.
fn complaint(ended: &Ended, code: i32) -> &str {
    ended.code(code);
    assert!(ended.stdout.is_empty(), "{:?}", ended.stdout);
    assert_eq!(ended.stderr.len(), 1, "{:?}", ended.stderr);
    ended.stderr[0].strip_prefix("krs: ").unwrap()
}

fn number(report: &Value, field: &str) -> f64 {
    report[field].as_f64().unwrap_or_else(|| panic!("no {field} in {report}"))
}

/// Percentiles in order.
fn assert_latency(report: &Value, count: u64) {
    let latency = &report["latency_ms"];
    let values: Vec<_> =
        ["p50", "p90", "p99", "p99.9", "p99.99", "max"].iter().map(|name| number(latency, name)).collect();
    assert!(values.is_sorted() && values[0] > 0.0, "{latency}");
    assert_eq!(latency["count"], count);
}

/// A file for reports that goes with the test.
struct Kept(PathBuf);

impl Kept {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("krs-bench-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn what_is_produced_is_consumed_and_measured() {
    let (_broker, address) = broker();
    let produced =
        complete(&address, "produce --topic t --count 20000 --size 50 --compression lz4 -X linger.ms=2 --json");
    assert_eq!((&produced["what"], &produced["topic"]), (&"produce".into(), &"t".into()));
    assert_eq!((number(&produced, "records"), number(&produced, "bytes")), (20_000.0, 1e6));
    assert_eq!((number(&produced, "failed"), number(&produced, "producers")), (0.0, 1.0));
    let warm_up = number(&produced, "warmup_records");
    assert!(warm_up > 0.0 && warm_up <= 1000.0, "a twentieth, unless it took a second");
    assert!(number(&produced, "seconds") > 0.0 && number(&produced, "batches") >= 1.0);
    assert!(number(&produced["latency_ms"], "count") >= 1.0);
    let rate = number(&produced, "records") / number(&produced, "seconds");
    assert!((number(&produced, "records_per_second") / rate - 1.0).abs() < 0.01, "{produced}");
    let settings = &produced["settings"];
    assert_eq!(
        (&settings["size"], &settings["linger.ms"], &settings["count"]),
        (&50.into(), &2.into(), &20_000.into())
    );
    assert_eq!(settings["compression.type"], "lz4");
    if cfg!(target_os = "linux") {
        assert!(number(&produced, "peak_memory_bytes") > 1e6 && produced["cpu_seconds"].is_number());
    }

    // The warm-up's records are in the topic too.
    let all = 20_000.0 + warm_up;
    let consumed = complete(&address, &format!("consume --topic t --count {all} --json"));
    assert_eq!((&consumed["what"], number(&consumed, "records")), (&"consume".into(), all));
    assert_eq!((number(&consumed, "bytes"), number(&consumed, "warmup_records")), (50.0 * all, 0.0));
    assert!(number(&consumed, "polls") >= 1.0 && number(&consumed, "first_record_ms") > 0.0);

    let text = run(&address, "consume --topic t --count 100").success();
    assert!(text.starts_with("consumed 100 records, 5000 bytes of values, from t in "), "{text}");

    let few = run(&address, &format!("consume --topic t --count {} --json", all + 5.0));
    few.code(1);
    let few = report(&few);
    assert_eq!((number(&few, "records"), &few["complete"]), (all, &false.into()));
    assert!(few["ended"].as_str().unwrap().starts_with("the topic has no more than "), "{few}");
}

#[test]
fn one_record_and_a_few_are_enough() {
    let (_broker, address) = broker();
    let produced = complete(&address, "produce --topic t --count 1 --json");
    assert_eq!((number(&produced, "records"), number(&produced, "warmup_records")), (1.0, 0.0));
    assert_latency(&produced, 1);
    let consumed = complete(&address, "consume --topic t --count 1 --json");
    assert_eq!(number(&consumed, "records"), 1.0);
    let latency = complete(&address, "latency --topic t --count 10 --size 8 --json");
    assert_eq!((number(&latency, "records"), number(&latency, "bytes")), (10.0, 80.0));
    assert_latency(&latency, 10);
    assert!(latency.get("foreign").is_none(), "{latency}");
}

#[test]
fn latency_measures_every_record_that_is_due() {
    let (_broker, address) = broker();
    let latency = complete(&address, "latency --topic t --rate 500 --for 400ms --partitions 2 --json");
    assert_eq!((&latency["what"], number(&latency, "records")), (&"latency".into(), 200.0));
    assert_latency(&latency, 200);
    // A fifth of the time, and one record for each partition.
    assert_eq!(number(&latency, "warmup_records"), 42.0);
    assert_eq!(latency["settings"]["rate"], 500);
    let text = run(&address, "latency --topic t --rate 100 --count 5 --warm-up 0s").success();
    assert!(text.starts_with("received 5 records, 500 bytes of values, through t in "), "{text}");
    assert!(text.contains("\n  warm-up  2 records before"), "{text}");
}

#[test]
fn a_rate_and_a_time_are_kept_by_several_threads() {
    let (_broker, address) = broker();
    let produced = complete(&address, "produce --topic t --rate 1000 --for 300ms --producers 3 --warm-up 0s --json");
    let records = number(&produced, "records");
    // On a slow machine the time may end before the last ones went out; none goes out early.
    assert!(records > 0.0 && records <= 300.0, "{produced}");
    assert_eq!((number(&produced, "producers"), number(&produced, "warmup_records")), (3.0, 0.0));
    let shared = complete(&address, "produce --topic t --count 1001 --producers 7 --at-once 9 --warm-up 0s --json");
    assert_eq!(number(&shared, "records"), 1001.0, "no share is lost to rounding");
    let counted = complete(&address, "produce --topic t --count 11 --rate 1000 --producers 4 --json");
    assert_eq!(number(&counted, "records"), 11.0);
    let timed = complete(&address, "produce --topic t --for 200ms --json");
    assert!(number(&timed, "records") > 0.0);
    let read = complete(&address, "consume --topic t --for 100ms --json");
    assert!(number(&read, "records") > 0.0);
}

#[test]
fn a_signal_ends_a_run_with_what_it_measured() {
    let (_broker, address) = broker();
    run(&address, "produce --topic t --count 1 --warm-up 0s").code(0);
    for (signal, words) in [
        ("INT", "produce --topic t --rate 200 --warm-up 0s --json"),
        ("TERM", "latency --topic t --rate 200 --for 1h --warm-up 0s --json"),
    ] {
        let program = Program::start(&mut bench(&address, words));
        await_more(&address);
        assert_stopped(&program.end_by(signal, LONG));
    }
}

#[test]
fn a_signal_ends_consume_with_what_it_measured() {
    let (_broker, address) = broker();
    let _feeder = Program::start(&mut bench(&address, "produce --topic t --rate 200 --for 1h"));
    await_topic(&address);
    await_more(&address);
    // It tells nothing while it measures: give it longer until it has begun.
    let stopped_after = |wait: u64| {
        let program = Program::start(&mut bench(&address, "consume --topic t --for 1h --json"));
        std::thread::sleep(Duration::from_millis(wait));
        Some(program.end_by("INT", LONG))
            .filter(|ended| !ended.stdout.is_empty() && number(&report(ended), "records") > 0.0)
    };
    let waits = (0..6).map(|doubled| 500 << doubled);
    assert_stopped(&waits.into_iter().find_map(stopped_after).expect("it has read something in half a minute"));
}

fn assert_stopped(ended: &Ended) {
    ended.code(0);
    let report = report(ended);
    assert_eq!((&report["complete"], &report["ended"]), (&false.into(), &"stopped".into()), "{report}");
    assert!(number(&report, "records") > 0.0 && number(&report, "failed") == 0.0, "{report}");
}

fn config(address: &str) -> krs::Config {
    krs::Config::new().set("bootstrap.servers", address).unwrap()
}

/// Waits until there is the topic.
fn await_topic(address: &str) {
    let (admin, until) = (krs::Admin::connect(&config(address)).unwrap(), Instant::now() + LONG);
    while admin.partition_count("t").is_err() {
        assert!(Instant::now() < until, "the topic does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the topic has grown by a few records.
fn await_more(address: &str) {
    let mut watcher = krs::Consumer::connect(&config(address)).unwrap();
    let partitions: Vec<_> = (0..3).map(|index| krs::TopicPartition::new("t", index)).collect();
    watcher.assign(&partitions).unwrap();
    watcher.seek_to_end(&[]).unwrap();
    let (mut seen, until) = (0, Instant::now() + LONG);
    while seen < 10 {
        assert!(Instant::now() < until, "nothing comes");
        seen += watcher.poll(Duration::from_millis(100)).unwrap().len();
    }
}

#[test]
fn a_broker_that_goes_away_ends_a_run_with_what_it_measured() {
    for words in ["produce --topic t --rate 200 --warm-up 0s", "latency --topic t --rate 200 --for 1h --warm-up 0s"] {
        let (broker, address) = broker();
        run(&address, "produce --topic t --count 1 --warm-up 0s").code(0);
        let words = format!("{words} --json -X message.timeout.ms=1000 -X request.timeout.ms=1000");
        let program = Program::start(&mut bench(&address, &words));
        await_more(&address);
        broker.stop_broker(1).unwrap();
        let ended = program.end(LONG);
        ended.code(1);
        let report = report(&ended);
        assert!(number(&report, "records") > 0.0 && number(&report, "failed") > 0.0, "{report}");
        assert!(report["complete"] == false && report["ended"].as_str().unwrap().contains("t"), "{report}");
    }
}

#[test]
fn a_topic_without_records_is_told_at_once() {
    let (_broker, address) = broker();
    let missing = run(&address, "consume --topic t --count 5 --json");
    assert!(complaint(&missing, 1).starts_with("topic t: UNKNOWN_TOPIC_OR_PARTITION"), "{:?}", missing.stderr);
    let topic = krs::NewTopic { name: "t", partitions: 2, replication_factor: 1, configs: &[] };
    krs::Admin::connect(&config(&address)).unwrap().create_topic(&topic).unwrap();
    let empty = run(&address, "consume --topic t --for 5s");
    assert_eq!(
        complaint(&empty, 1),
        "topic t: the topic is empty: there is nothing to read; fill it with krs bench produce"
    );
}

#[test]
fn without_a_broker_the_exit_code_says_so() {
    let nobody = Port::free();
    for mode in ["produce", "consume", "latency"] {
        let ended = run(&nobody.address(), &format!("{mode} --topic t -X default.api.timeout.ms=500"));
        assert!(ended.stdout.is_empty());
        assert_eq!(ended.status.code(), Some(3), "{:?}", ended.stderr);
    }
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_unless_nobody_reads_it() {
    let (_broker, address) = broker();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Program::start_into(&mut bench(&address, "produce --topic t --count 5 --json"), writer).end(LONG).code(0);
    if cfg!(target_os = "linux") {
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let a = Kept::new("full", r#"{"version":1,"what":"produce"}"#);
        for words in ["produce --topic t --count 5 --json", &format!("compare {0} {0}", a.path())] {
            let ended = Program::start_into(&mut bench(&address, words), full()).end(LONG);
            ended.code(1).complaint("cannot write to standard output");
        }
    }
}

#[test]
fn reports_are_compared_from_files_and_from_standard_input() {
    let (_broker, address) = broker();
    let produce = |words: &str| {
        let ended = run(&address, &format!("produce --topic t --count 500 --json {words}"));
        ended.success()
    };
    let (a, b) = (Kept::new("a", &produce("--size 10")), Kept::new("b", &produce("--size 20 -X linger.ms=1")));
    let table = run("", &format!("compare {} {}", a.path(), b.path())).success();
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{table}"));
    assert!(line("records/s").ends_with("  more is better") && line("latency p99.99").ends_with("  less is better"));
    let settings = table.split_once("settings that differ:\n").unwrap().1;
    let settings: Vec<Vec<_>> = settings.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(settings, [["linger.ms", "-", "1"], ["size", "10", "20"]]);

    let text = std::fs::read_to_string(&b.0).unwrap();
    let piped = process::run_with(&mut bench("", &format!("compare {} -", a.path())), &text, LONG).success();
    assert!(piped.contains("\nb: standard input, produce of t\n"), "{piped}");
}

#[test]
fn what_cannot_be_compared_is_told_in_one_line() {
    let good = Kept::new("good", r#"{"version":1,"what":"produce"}"#);
    let other = Kept::new("other", r#"{"version":1,"what":"latency"}"#);
    let broken = Kept::new("broken", r#"{"version":1,"what":"#);
    let compare = |other: &str| run("", &format!("compare {} {other}", good.path()));
    for (file, expected) in [
        (other.path(), "they have nothing to compare"),
        (broken.path(), "not JSON"),
        ("/nonexistent/x.json", "cannot be read: No such file"),
        ("/dev/null", "there is nothing in it"),
        ("/", "cannot be read: "),
    ] {
        let ended = compare(file);
        assert!(complaint(&ended, 2).contains(expected), "{:?}", ended.stderr);
    }
}
