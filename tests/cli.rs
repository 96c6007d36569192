//! The programs as programs: what they print, where, and how they exit. Nothing here reaches a broker.
#![cfg(feature = "services")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Output, Stdio};

const KRS: &str = env!("CARGO_BIN_EXE_krs");
const SENDER: &str = env!("CARGO_BIN_EXE_sender");
const RECEIVER: &str = env!("CARGO_BIN_EXE_receiver");

/// Runs a program with these words and no variables but these.
fn run<W: AsRef<OsStr>>(program: &str, words: &[W], variables: &[(&str, &OsStr)]) -> Output {
    Command::new(program).args(words).env_clear().envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

/// The one line on standard error of a program that ends with 2, without its name.
fn complaint(program: &str, words: &[&str], variables: &[(&str, &str)]) -> String {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, OsStr::new(*value))).collect();
    one_line(&run(program, words, &variables))
}

fn one_line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(output.stdout.is_empty());
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{text}");
    let (name, complaint) = line.split_once(": ").unwrap();
    assert!(["krs", "sender", "receiver"].contains(&name), "{line}");
    complaint.to_owned()
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn help_goes_to_standard_output_and_names_flags_variables_and_defaults() {
    for (program, words) in
        [(KRS, &["send", "--help"][..]), (SENDER, &["--help"]), (SENDER, &["-h"]), (KRS, &["help", "send"])]
    {
        let help = stdout(&run(program, words, &[]));
        for part in
            ["--interval", "SEND_INTERVAL_MS", "[default: 100]", "--brokers", "KAFKA_BROKERS", "Examples:", "-X"]
        {
            assert!(help.contains(part), "{part} in {help}");
        }
    }
    let help = stdout(&run(RECEIVER, &["--help"], &[]));
    assert!(help.contains("Usage: receiver [OPTIONS]") && help.contains("CONSUMER_GROUP"), "{help}");
    let help = stdout(&run(KRS, &["--help"], &[]));
    assert!(help.contains("send") && help.contains("receive") && help.contains("Exit codes:"), "{help}");
    let list = stdout(&run(KRS, &["send", "-X", "list"], &[]));
    assert!(list.contains("linger.ms (queue.buffering.max.ms)"), "{list}");
}

#[test]
fn version_is_the_packages() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(stdout(&run(KRS, &["-V"], &[])), format!("krs {version}\n"));
    assert_eq!(stdout(&run(SENDER, &["-V"], &[])), format!("sender {version}\n"));
    assert_eq!(stdout(&run(KRS, &["send", "-V"], &[])), format!("krs {version}\n"));
    assert!(stdout(&run(RECEIVER, &["--version"], &[])).starts_with(&format!("receiver {version}\n")));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(KRS).args(["send", "-X", "list"]).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn wrong_settings_end_with_2_and_one_line() {
    assert_eq!(
        complaint(SENDER, &[], &[("SEND_INTERVAL_MS", "abc")]),
        "SEND_INTERVAL_MS=abc: not a whole number of milliseconds; for example SEND_INTERVAL_MS=100"
    );
    assert_eq!(
        complaint(RECEIVER, &[], &[("KAFKA_BROKERS", "")]),
        "KAFKA_BROKERS=\"\": the value is empty; for example KAFKA_BROKERS=localhost:9092"
    );
    assert_eq!(
        complaint(KRS, &["send", "-X", "lingr.ms=5"], &[]),
        "-X lingr.ms: no Kafka client knows this property; did you mean linger.ms?"
    );
    assert!(complaint(KRS, &["receive", "--topic", "a/b"], &[]).starts_with("--topic a/b: '/' is not allowed"));
    assert!(complaint(SENDER, &[], &[("MESSAGE_TIMEOUT_MS", "1e99")]).starts_with("MESSAGE_TIMEOUT_MS=1e99: "));
    assert!(complaint(SENDER, &["-b", "localhost:99999"], &[]).contains("ports are 1 to 65535"));
    assert!(complaint(RECEIVER, &["-b", "http://localhost:80"], &[]).contains("without http://"));
    assert!(complaint(KRS, &[], &[]).starts_with("a command is missing"));
    assert_eq!(complaint(KRS, &["sned"], &[]), "sned: no such command; did you mean send?");
    assert!(complaint(SENDER, &["--nonsense"], &[]).starts_with("--nonsense: no such flag"));
    assert!(complaint(SENDER, &[], &[("RUST_LOG", "sender=loud")]).contains("'loud'"));
}

#[test]
fn flags_that_contradict_each_other_end_with_2_and_one_line() {
    for (words, expected) in [
        ("receive --no-group -g x", "--group names a group, and --no-group reads without one; leave one of them out"),
        ("receive --partition 0 -X group.id=x", "-X group.id names a group, and --partition reads without one"),
        ("receive --no-group --receivers 2", "--receivers are members of a group, and --no-group reads without one"),
        ("receive --format %s --json", "--format and --json are two forms"),
        ("receive --format %q", "--format %q: %q is no letter"),
        ("receive --from -1m --until -5m", "--from is not before --until"),
        ("receive --from 2099-01-01T00:00Z", "--from 2099-01-01T00:00Z: it lies in the future"),
        ("receive --from soon", "--from soon: neither earliest nor latest nor a time; -10m, "),
        ("receive --until soon", "--until soon: neither now nor a time; -10m, "),
        ("receive --partition 1,x", "--partition 1,x: not a list of partitions"),
        (
            "receive --exit-at-end --partitions 6",
            "--partitions and --replication-factor are for a topic that is created",
        ),
        ("receive --receivers 0", "--receivers 0: out of range, 1 to 256 is possible"),
        ("send --key k", "--key is for messages that are read: add --stdin"),
        ("send --stdin --key k --key-separator :", "--key and --key-separator both give the key"),
        ("send --stdin --interval 5", "--interval is about messages that the sender makes"),
        ("send --stdin --senders 2", "--senders is about messages that the sender makes"),
        ("send --stdin --header x", "--header x: not a name and a value"),
        ("send --stdin --delimiter \\q", "--delimiter \"\\\\q\": \\q is no escape"),
        ("send --stdin --partition -1", "--partition -1: not a partition"),
        ("send --senders x", "--senders x: not a whole number"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let complaint = complaint(KRS, &words, &[]);
        assert!(complaint.starts_with(expected), "{words:?}: {complaint}");
    }
    assert!(complaint(KRS, &["send", "--stdin", "--key-separator", ""], &[]).contains("the value is empty"));
}

#[test]
fn a_password_given_by_mistake_is_not_printed() {
    for property in ["sasl.password=hunter2", "sasl.pasword=hunter2", "ssl.key.password=hunter2"] {
        let text = complaint(SENDER, &["-X", property], &[("RUST_LOG", "trace")]);
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn what_is_not_utf8_ends_with_2() {
    let odd = OsString::from_vec(vec![b'x', 0xff]);
    assert!(one_line(&run::<&str>(SENDER, &[], &[("KAFKA_TOPIC", &odd)])).contains("not UTF-8"));
    assert!(one_line(&run(SENDER, &[OsStr::new("--topic"), &odd], &[])).contains("not UTF-8"));
    one_line(&run(KRS, &[&odd], &[]));
}

#[test]
fn with_the_json_format_the_complaint_is_an_object() {
    let output = run(SENDER, &["--log-format", "json", "--interval", "abc"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stderr.starts_with(b"{\"timestamp\":\"20"), "the fields stand in the log's order");
    let object: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((object["level"].as_str(), object["target"].as_str()), (Some("ERROR"), Some("sender")));
    assert!(object["message"].as_str().unwrap().starts_with("--interval abc: "), "{object}");
}

#[test]
fn a_link_to_krs_acts_as_the_service_it_is_named_after() {
    let folder = std::env::temp_dir().join(format!("krs-link-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["sender", "receiver"] {
        let link = folder.join(name);
        std::os::unix::fs::symlink(KRS, &link).unwrap();
        let help = stdout(&run(link.to_str().unwrap(), &["--help"], &[]));
        assert!(help.contains(&format!("Usage: {name} [OPTIONS]")), "{help}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
