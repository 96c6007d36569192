//! Peers that are not Kafka, or not any more: each ends in one clear error, within its time, that names broker and cause.

mod util;

use std::time::{Duration, Instant};

use krs::kafka::protocol::frame;
use krs::kafka::protocol::messages::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use krs::kafka::protocol::{ApiKey, ErrorCode};
use krs::{Config, Error, ErrorKind, Producer, Record};
use util::port::Port;
use util::{Act, LONG, Scripted, config, with};

/// Bytes where an answer should be, and what the error must say.
fn hostile_bytes() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let sized = |size: i32, body: &[u8]| [&size.to_be_bytes()[..], body].concat();
    vec![
        ("I01 huge", sized(i32::MAX, b"abc"), &["frame of 2147483647 bytes exceeds limit 104857600"]),
        ("I02 negative", sized(-5, b"abc"), &["invalid frame length -5"]),
        ("I02 zero", sized(0, b""), &["invalid frame length 0"]),
        ("I02 too short", sized(3, b"abc"), &["invalid frame length 3"]),
        ("I03 alert", vec![0x15, 3, 3, 0, 2, 2, 40], &["TLS", "PLAINTEXT (security.protocol)"]),
        ("I03 hello", vec![0x16, 3, 3, 0, 49, 2, 0, 0], &["TLS", "PLAINTEXT (security.protocol)"]),
        ("I05 HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), &["looks like an HTTP server, not Kafka"]),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), &["frame of 1397966893 bytes exceeds limit"]),
        ("I07 correlation", sized(8, &[0, 0, 0, 99, 0, 0, 0, 0]), &["correlation id 99"]),
    ]
}

/// The one error that a first connection ends with, and that it came in time.
fn first_error(config: &Config) -> Error {
    let begun = Instant::now();
    let error = Producer::connect(config).err().expect("nothing there is Kafka");
    assert!(begun.elapsed() < Duration::from_secs(10), "{error}");
    error
}

fn check(label: &str, error: &Error, broker: &str, fragments: &[&str]) {
    let text = error.to_string();
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Unreachable, 3), "{label}: {text}");
    assert!(text.contains(broker), "{label} names the broker: {text}");
    assert!(!text.contains('\n'), "{label}: {text}");
    for fragment in fragments {
        assert!(text.contains(fragment), "{label}: {fragment:?} is not in {text}");
    }
}

/// A scripted broker that does this with the first request on every connection.
fn greets_with(act: Act) -> Scripted {
    let kafka = Scripted::single();
    kafka.script(move |asked| if asked.api == ApiKey::ApiVersions { act.clone() } else { Act::Usual });
    kafka
}

#[test]
fn bytes_that_are_not_kafkas_are_called_by_their_name() {
    for (label, bytes, fragments) in hostile_bytes() {
        let kafka = greets_with(Act::Raw(bytes));
        check(label, &first_error(&kafka.config()), &kafka.address(), fragments);
    }
}

#[test]
fn a_peer_that_closes_at_once_gets_a_hint() {
    let kafka = greets_with(Act::Drop);
    let error = first_error(&kafka.config());
    check("I06 closed", &error, &kafka.address(), &["closed the connection during ApiVersions", "TLS", "SASL"]);
}

#[test]
fn silence_ends_by_a_named_timeout() {
    let kafka = greets_with(Act::Silence);
    let config = with(
        kafka.config(),
        &[("socket.connection.setup.timeout.max.ms", "200"), ("socket.connection.setup.timeout.ms", "200")],
    );
    let error = first_error(&config);
    let named = "200 ms (socket.connection.setup.timeout.max.ms)";
    check("I06 silence", &error, &kafka.address(), &["did not answer ApiVersions", named]);

    // The same between the handshake and the first answer that matters.
    kafka.script(|asked| if asked.api == ApiKey::Metadata { Act::Silence } else { Act::Usual });
    check("silent metadata", &first_error(&config), &kafka.address(), &["Metadata", named]);
}

#[test]
fn half_an_answer_and_silence_end_by_the_same_timeout() {
    let kafka = greets_with(Act::Raw(vec![0, 0, 1, 0, 0, 0]));
    let config = with(
        kafka.config(),
        &[("socket.connection.setup.timeout.max.ms", "200"), ("socket.connection.setup.timeout.ms", "200")],
    );
    check("half", &first_error(&config), &kafka.address(), &["200 ms (socket.connection.setup.timeout.max.ms)"]);
}

#[test]
fn both_correlation_ids_are_named() {
    let kafka = greets_with(Act::Miscorrelate(41));
    let fragments = ["correlation id 41", "0 was expected", "ApiVersions"];
    check("I07", &first_error(&kafka.config()), &kafka.address(), &fragments);
}

/// An answer to ApiVersions version 4 with correlation id 0, the first on a connection.
fn versions(code: ErrorCode, ranges: &[(i16, i16, i16)]) -> Act {
    versions_in(4, code, ranges)
}

fn versions_in(version: i16, code: ErrorCode, ranges: &[(i16, i16, i16)]) -> Act {
    let api_keys =
        ranges.iter().map(|&(api_key, min_version, max_version)| ApiVersion { api_key, min_version, max_version });
    let response = ApiVersionsResponse { error_code: code, api_keys: api_keys.collect(), ..Default::default() };
    Act::Raw(frame::encode_response::<ApiVersionsRequest>(&response, version, 0).unwrap().to_vec())
}

#[test]
fn senseless_versions_end_in_one_error() {
    let unsupported = ErrorCode::UNSUPPORTED_VERSION;
    let none = &["supports none of Metadata 4..13", "does not offer Metadata"][..];
    for (label, act, fragments) in [
        ("I13 empty", versions(ErrorCode::NONE, &[]), none),
        ("I13 reversed", versions(ErrorCode::NONE, &[(3, 13, 4)]), none),
        ("I13 old", versions(ErrorCode::NONE, &[(3, 0, 1)]), &["supports none of Metadata 4..13", "older than 2.4"]),
        ("I13 new", versions(ErrorCode::NONE, &[(3, 90, 99)]), &["supports none of Metadata 4..13", "newer"]),
        ("I13 code", versions(ErrorCode(41), &[]), &["NOT_CONTROLLER", "ApiVersions"]),
        ("I14 unknown code", versions(ErrorCode(999), &[]), &["unknown error 999", "ApiVersions"]),
    ] {
        let kafka = greets_with(act);
        check(label, &first_error(&kafka.config()), &kafka.address(), fragments);
        assert!(kafka.received(ApiKey::ApiVersions) <= 2, "{label}: asked again and again");
    }
    // A broker that refuses the version it offers itself.
    let kafka = Scripted::single();
    kafka.script(move |asked| match asked.api {
        ApiKey::ApiVersions => Act::Refuse(unsupported),
        _ => Act::Usual,
    });
    let error = first_error(&kafka.config());
    check("I13 not lower", &error, &kafka.address(), &["ApiVersions"]);
    assert!(kafka.received(ApiKey::ApiVersions) <= 3);
}

#[test]
fn a_claimed_array_is_not_believed() {
    // Correlation id, error code, then a compact array of 2^32-2 entries in a 20-byte body (I09).
    let mut body = vec![0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
    body.resize(20, 0);
    let kafka = greets_with(Act::Raw([&20i32.to_be_bytes()[..], &body].concat()));
    check("I09", &first_error(&kafka.config()), &kafka.address(), &["unreadable response", "ApiVersions"]);
}

#[test]
fn every_refused_address_is_listed() {
    let ports = [Port::free(), Port::free()];
    let [one, other] = ports.each_ref().map(Port::address);
    let error = first_error(&config(&one));
    check("I43 one", &error, &one, &["connection refused", "is Kafka running?"]);
    let error = first_error(&config(&format!("{one},{other}")));
    check("I43 both", &error, &other, &[&one, "connection refused", "none of 2 brokers"]);
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    // A label of 64 characters is no name, so no resolver is asked.
    let name = format!("{}.invalid:9092", "a".repeat(64));
    check("I35", &first_error(&config(&name)), &name, &["cannot resolve"]);
}

#[test]
fn a_bad_bootstrap_broker_does_not_hide_a_good_one() {
    let kafka = Scripted::single();
    for act in [Act::Drop, Act::Raw(b"HTTP/1.1 400".to_vec()), versions(ErrorCode::NONE, &[])] {
        let bad = greets_with(act);
        let both = format!("{},{}", bad.address(), kafka.address());
        let producer = Producer::connect(&config(&both)).unwrap();
        producer.send(Record::to("t").value("x")).unwrap().wait().unwrap();
    }
    let bad = Scripted::single();
    bad.script(|asked| if asked.api == ApiKey::Metadata { Act::Drop } else { Act::Usual });
    Producer::connect(&config(&format!("{},{}", bad.address(), kafka.address()))).unwrap();
}

#[test]
fn an_advertised_host_that_does_not_resolve_is_named() {
    let kafka = Scripted::single();
    let host = format!("{}.invalid", "b".repeat(64));
    kafka.advertise(1, &host, 9092);
    let producer = Producer::connect(&with(kafka.config(), &[("message.timeout.ms", "300")])).unwrap();
    let error = producer.send(Record::to("t").value("x")).unwrap().wait().unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{text}");
    for fragment in ["t-0", "message.timeout.ms", "cannot resolve", &host, "advertised.listeners"] {
        assert!(text.contains(fragment), "{fragment:?} is not in {text}");
    }
}

/// The one broker that is known announces an address where nobody listens any more. Only the bootstrap address leads back.
#[test]
fn when_every_known_broker_is_gone_the_bootstrap_addresses_are_asked_again() {
    let kafka = Scripted::single();
    let (host, port) = ("127.0.0.1", kafka.address().rsplit(':').next().unwrap().parse().unwrap());
    let gone = Port::free();
    kafka.advertise(1, host, gone.number());
    let producer = Producer::connect(&with(kafka.config(), &[("message.timeout.ms", "60000")])).unwrap();
    let delivery = producer.send(Record::to("t").value("x")).unwrap();
    kafka.stop(1);
    kafka.advertise(1, host, port);
    kafka.restart(1);
    delivery.wait_for(LONG).unwrap();
}

#[test]
fn the_same_bytes_in_the_middle_of_producing_are_survived() {
    for (label, bytes, _) in hostile_bytes() {
        let kafka = Scripted::single();
        let producer = Producer::connect(&kafka.config()).unwrap();
        producer.send(Record::to("t").value("before")).unwrap().wait().unwrap();
        kafka.script_produce([Act::Raw(bytes)]);
        let sent = producer.send(Record::to("t").value("during")).unwrap().wait();
        assert_eq!(sent.unwrap_or_else(|error| panic!("{label}: {error}")).offset(), 1);
        assert_eq!(kafka.values("t", 0), ["before", "during"], "{label}");
        producer.close(LONG).unwrap();
    }
}

#[test]
fn the_same_bytes_for_good_end_a_record_with_their_name() {
    for (label, bytes, fragments) in hostile_bytes() {
        let kafka = Scripted::single();
        let producer = Producer::connect(&with(kafka.config(), &[("message.timeout.ms", "150")])).unwrap();
        producer.partition_count("t").unwrap();
        kafka.script(move |asked| match asked.api {
            ApiKey::Produce => Act::Raw(bytes.clone()),
            _ => Act::Usual,
        });
        let error = producer.send(Record::to("t").value("x")).unwrap().wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{label}: {error}");
        let text = error.to_string();
        assert!(text.contains("message.timeout.ms") && text.contains(&kafka.address()), "{label}: {text}");
        for fragment in fragments {
            assert!(text.contains(fragment), "{label}: {fragment:?} is not in {text}");
        }
    }
}

#[test]
fn a_broker_that_speaks_no_produce_is_named() {
    let kafka = Scripted::single();
    let producer = Producer::connect(&with(kafka.config(), &[("message.timeout.ms", "300")])).unwrap();
    producer.partition_count("t").unwrap();
    let old = versions(ErrorCode::NONE, &[(0, 0, 2), (3, 0, 13), (18, 0, 4), (22, 0, 5)]);
    kafka.script(move |asked| if asked.api == ApiKey::ApiVersions { old.clone() } else { Act::Usual });
    let error = producer.send(Record::to("t").value("x")).unwrap().wait().unwrap_err();
    assert!(error.to_string().contains("supports none of Produce 3..12"), "{error}");
    assert_eq!(kafka.received(ApiKey::Produce), 0);
}
