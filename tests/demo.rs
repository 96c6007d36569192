//! `krs demo` and `krs broker` as programs.
#![cfg(all(feature = "services", feature = "devbroker"))]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KRS: &str = env!("CARGO_BIN_EXE_krs");

/// No wait of a test that works comes near this.
const LONG: Duration = Duration::from_secs(60);

/// A program that is killed if the test ends first.
struct Program(Child);

impl Program {
    fn start(words: &[&str]) -> Self {
        let child = Command::new(KRS)
            .args(words)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Its exit code, standard output and standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (self.0.stdout.take().unwrap(), self.0.stderr.take().unwrap());
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).map(|_| text)
        });
        let mut output = String::new();
        out.read_to_string(&mut output).unwrap();
        (self.exit_code(), output, errors.join().unwrap().unwrap())
    }

    fn exit_code(&mut self) -> Option<i32> {
        let until = Instant::now() + LONG;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The value of a field of the summary.
fn field<'a>(summary: &'a str, name: &str) -> &'a str {
    let prefix = format!("{name}=");
    summary.split(' ').find_map(|word| word.strip_prefix(&prefix)).unwrap_or_else(|| panic!("no {name} in {summary}"))
}

#[test]
fn the_demo_sends_receives_and_ends_with_one_line_that_says_so() {
    let (code, output, log) = Program::start(&["demo", "--for", "2s", "--interval", "20"]).end();
    assert_eq!(code, Some(0), "{log}");
    let lines: Vec<_> = output.lines().collect();
    let (summary, messages) = lines.split_last().unwrap();
    let sent: usize = field(summary, "sent").parse().unwrap();
    assert!(sent > 20, "{summary}");
    assert_eq!((field(summary, "received"), messages.len()), (field(summary, "sent"), sent), "{summary}");
    for none in ["lost", "duplicated", "out_of_order"] {
        assert_eq!(field(summary, none), "0", "{summary}");
    }
    assert!(field(summary, "max").ends_with("ms"), "{summary}");
    assert!(messages[0].starts_with("INFO receiver: Received message #1: id="), "{}", messages[0]);
    assert!(
        log.contains("INFO sender: Sent message #1: ") && log.contains("INFO demo: Development broker at "),
        "{log}"
    );
}

#[test]
fn a_signal_ends_the_demo_like_the_end_of_its_time() {
    for signal in ["INT", "TERM"] {
        let mut demo = Program::start(&["demo", "--interval", "10", "--log-format", "json"]);
        let mut out = BufReader::new(demo.0.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.starts_with('{') && line.contains("Received message"), "{line}");
        demo.signal(signal);
        let mut last = line;
        for line in out.lines() {
            last = line.unwrap();
        }
        let summary: serde_json::Value = serde_json::from_str(&last).unwrap();
        assert!(summary["sent"].as_u64() > Some(0) && summary["sent"] == summary["received"], "{summary}");
        assert_eq!(demo.exit_code(), Some(0));
    }
}

#[test]
fn a_broker_says_what_to_type_next_and_two_services_of_other_processes_meet_there() {
    let mut broker = Program::start(&["broker", "--listen", "127.0.0.1:0"]);
    let mut out = BufReader::new(broker.0.stdout.take().unwrap());
    let mut greeting = String::new();
    while !greeting.contains("Ctrl-C") {
        assert!(out.read_line(&mut greeting).unwrap() > 0, "{greeting}");
    }
    let address = greeting.split_once(" at ").and_then(|(_, rest)| rest.split_once(',')).unwrap().0;
    assert!(greeting.contains(&format!("  KAFKA_BROKERS={address} krs receive\n")), "{greeting}");
    let receiver = Program::start(&["receive", "-b", address, "--count", "5"]);
    let (code, _, log) = Program::start(&["send", "-b", address, "--count", "5", "--interval", "5"]).end();
    assert_eq!(code, Some(0), "{log}");
    let (code, output, log) = receiver.end();
    assert_eq!((code, output.lines().count()), (Some(0), 5), "{log}");
    broker.signal("TERM");
    assert_eq!(broker.exit_code(), Some(0));
}

#[test]
fn a_taken_port_is_a_clear_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, output, log) = Program::start(&["broker", "--listen", &address]).end();
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(log.contains(&format!("cannot listen at {address}")) && log.lines().count() == 1, "{log}");
}
