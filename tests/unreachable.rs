//! The programs, pointed at what is no Kafka: one line that names the address, what is there and what to do, in time.
#![cfg(feature = "services")]

mod util;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use krs::kafka::protocol::ApiKey;
use util::port::Port;

const SENDER: &str = env!("CARGO_BIN_EXE_sender");
const RECEIVER: &str = env!("CARGO_BIN_EXE_receiver");

/// For the first connection, by default.
const FIRST_CONNECTION: Duration = Duration::from_secs(10);

/// Starting a program, on a machine that is busy with something else.
const SLACK: Duration = Duration::from_secs(5);

/// A server that does this with every connection, for as long as the test runs; its address.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = std::sync::Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    address
}

/// Waits for a request and answers it with these bytes, whatever was asked.
fn answers(bytes: &'static [u8]) -> String {
    server(move |mut stream| {
        let mut request = [0; 512];
        if stream.read(&mut request).is_ok_and(|count| count > 0) {
            let _ = stream.write_all(bytes);
        }
    })
}

/// The one line that both services must end with, after their name, and exit code 3.
fn complaint(brokers: &str, words: &[&str]) -> String {
    let mut complaints = [SENDER, RECEIVER].map(|program| {
        let begin = Instant::now();
        let mut command = Command::new(program);
        command.args(words).env_clear().env("KAFKA_BROKERS", brokers).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(begin.elapsed() < FIRST_CONNECTION + SLACK, "{:?}: {text}", begin.elapsed());
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(output.stdout.is_empty());
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        text.trim_end().split_once(": ").unwrap().1.to_owned()
    });
    assert_eq!(complaints[0], complaints[1]);
    std::mem::take(&mut complaints[0])
}

#[test]
fn nobody_listens() {
    let ports = [Port::free(), Port::free()];
    let [one, other] = ports.each_ref().map(Port::address);
    let text = complaint(&one, &[]);
    assert!(text.contains(&format!("connection refused at {one}")), "{text}");
    assert!(text.contains("is Kafka running?") && text.contains("just up"), "{text}");
    let text = complaint(&format!("{one},{other}"), &[]);
    assert!(text.contains(&one) && text.contains(&other), "each is named: {text}");
}

#[test]
fn a_host_that_does_not_exist() {
    let text = complaint("no-such-host.invalid:9092", &[]);
    assert!(text.contains("no-such-host.invalid:9092") && text.contains("spelling"), "{text}");
}

#[test]
fn an_http_server() {
    let address = answers(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let text = complaint(&address, &[]);
    assert!(text.contains(&address) && text.contains("HTTP"), "{text}");
}

#[test]
fn a_tls_server() {
    // The alert that a TLS server sends to who does not speak TLS: fatal, unexpected message.
    let address = answers(&[0x15, 3, 3, 0, 2, 2, 10]);
    let text = complaint(&address, &[]);
    assert!(text.contains(&address) && text.contains("TLS"), "{text}");
}

#[test]
fn a_server_that_hangs_up() {
    let address = server(drop);
    let text = complaint(&address, &["-X", "socket.connection.setup.timeout.max.ms=3000"]);
    assert!(text.contains(&address), "{text}");
}

#[test]
fn a_server_that_says_nothing() {
    let address = server(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let text = complaint(&address, &["-X", "socket.connection.setup.timeout.max.ms=2000"]);
    assert!(text.contains(&address) && text.contains("did not answer"), "{text}");
}

#[test]
fn a_server_of_another_kind() {
    // What an SSH server says.
    let address = answers(b"SSH-2.0-OpenSSH_9.9\r\n");
    let text = complaint(&address, &["-X", "socket.connection.setup.timeout.max.ms=3000"]);
    assert!(text.contains(&address), "{text}");
}

/// The address of the bootstrap broker is right; the one that it tells clients to use is not.
#[test]
fn a_broker_that_advertises_an_impossible_address() {
    let kafka = util::Scripted::single();
    let address = kafka.address();
    kafka.advertise(1, "no-such-broker.invalid", 9092);
    let text = complaint(&address, &["-X", "socket.connection.setup.timeout.max.ms=1500"]);
    assert!(text.contains("no-such-broker.invalid:9092") && text.contains("advertised.listeners"), "{text}");
}

/// The sender knew no partitions and waited for them for `max.block.ms`, a minute, without an eye for signals.
#[test]
fn a_signal_ends_a_sender_that_waits_for_the_topics_partitions() {
    let kafka = util::Scripted::start(1);
    kafka.create("t", &[]);
    let mut command = Command::new(SENDER);
    command.args(["--topic", "t"]).env_clear().env("KAFKA_BROKERS", kafka.address());
    let mut sender = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // More than are needed to find that the topic exists and to connect.
    kafka.await_received(ApiKey::Metadata, 6);
    assert_eq!(sender.try_wait().unwrap(), None);
    let begin = Instant::now();
    assert!(Command::new("kill").args(["-s", "TERM", &sender.id().to_string()]).status().unwrap().success());
    let status = sender.wait().unwrap();
    assert!(begin.elapsed() < SLACK, "it took {:?}", begin.elapsed());
    assert_eq!(status.code(), Some(0));
}
