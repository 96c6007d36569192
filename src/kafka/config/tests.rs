use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::kafka::error::ErrorKind;
use crate::kafka::record::compression::Compression;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A config with a broker and these properties.
fn with(properties: &[(&str, &str)]) -> Config {
    try_with(properties).unwrap()
}

fn try_with(properties: &[(&str, &str)]) -> Result<Config> {
    let start = Config::new().set("bootstrap.servers", "localhost:9092")?;
    properties.iter().try_fold(start, |config, (name, value)| config.set(name, value))
}

/// The message with which one of these is refused when it is set.
fn refusal(name: &str, value: &str) -> String {
    one_line(Config::new().set(name, value).unwrap_err())
}

fn one_line(error: Error) -> String {
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

/// What Kafka clients know; from the Java client's `configNames()` (4.3.1 and 3.9.2) and librdkafka's list (2.0, 2.12).
const KNOWN: &str = include_str!("known_names.txt");
/// What no other client has.
const OURS: [&str; 1] = ["fetch.stall.timeout.ms"];

#[test]
fn every_name_that_a_kafka_client_knows_is_in_exactly_one_place() {
    for name in KNOWN.lines() {
        let own = table::ALL.iter().filter(|p| p.name == name || p.aliases.contains(&name)).count();
        let foreign = foreign::names().filter(|foreign| *foreign == name).count();
        assert_eq!(own + foreign, 1, "{name}");
    }
    let known: BTreeSet<&str> = KNOWN.lines().collect();
    let own = table::ALL.iter().flat_map(|p| std::iter::once(p.name).chain(p.aliases.iter().copied()));
    for name in own.chain(foreign::names()) {
        assert!(known.contains(name) != OURS.contains(&name), "{name} is no client's property");
    }
}

#[test]
fn defaults_and_examples_are_right_values() {
    for property in Config::properties() {
        if !property.default.is_empty() {
            assert_eq!((property.check)(property, property.default), Ok(()), "default of {}", property.name);
        }
        assert!(!property.example().is_empty(), "example of {}", property.name);
        assert_eq!((property.check)(property, property.example()), Ok(()), "example of {}", property.name);
        assert!(property.meaning.ends_with('.') && !property.values().is_empty(), "{}", property.name);
    }
}

#[test]
fn no_duration_can_be_negative_or_overflow_the_clock() {
    for property in Config::properties().iter().filter(|property| property.name.ends_with(".ms")) {
        assert!(property.range.0 >= 0, "{}", property.name);
    }
    let endless = with(&[("max.block.ms", &i64::MAX.to_string())]).producer().unwrap().max_block;
    assert_eq!(endless, Duration::from_secs(366 * 86_400));
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let producer = with(&[]).producer().unwrap();
    assert_eq!((producer.acks, producer.idempotence, producer.max_in_flight), (-1, true, 5));
    assert_eq!((producer.linger, producer.batch_size, producer.buffer_memory), (ms(0), 1_000_000, 16 << 20));
    assert_eq!((producer.message_timeout, producer.client.request_timeout), (ms(120_000), ms(30_000)));
    assert_eq!(producer.compression, Compression::None);
    assert_eq!(producer.partitioner, PartitionerKind::Murmur2);
    assert_eq!(producer.client.bootstrap, [Address::new("localhost", 9092)]);
    assert_eq!(producer.client.first_connect_timeout, ms(10_000));
    assert_eq!((producer.client.send_buffer, producer.client.receive_max_bytes), (None, 100 << 20));

    let consumer = with(&[]).consumer().unwrap();
    assert_eq!((consumer.session_timeout, consumer.heartbeat_interval), (ms(45_000), ms(3_000)));
    assert_eq!((consumer.fetch_max_bytes, consumer.prefetch_bytes), (4 << 20, 8 << 20));
    assert_eq!((consumer.group_id, consumer.auto_offset_reset), (None, OffsetReset::Latest));
    assert_eq!(consumer.assignors, [AssignorKind::Range, AssignorKind::CooperativeSticky]);
    assert!(consumer.check_crcs);
}

#[test]
fn aliases_and_class_names_mean_the_same() {
    let config = with(&[
        ("delivery.timeout.ms", "7000"),
        ("queue.buffering.max.ms", " 5 "),
        ("request.required.acks", "-1"),
        ("partitioner", "murmur2_random"),
        ("message.send.max.retries", "3"),
    ]);
    let producer = config.producer().unwrap();
    assert_eq!((producer.message_timeout, producer.linger, producer.retries), (ms(7000), ms(5), 3));
    assert_eq!(config.get("message.timeout.ms"), Some("7000"));
    assert_eq!(config.get("linger.ms"), Some("5"));

    let class = "org.apache.kafka.clients.producer.RoundRobinPartitioner";
    assert_eq!(with(&[("partitioner.class", class)]).producer().unwrap().partitioner, PartitionerKind::RoundRobin);
    assert_eq!(with(&[("partitioner.ignore.keys", "TRUE")]).producer().unwrap().partitioner, PartitionerKind::Sticky);
    let assignors = |names| with(&[("partition.assignment.strategy", names)]).consumer().unwrap().assignors;
    assert_eq!(assignors("org.apache.kafka.clients.consumer.RangeAssignor"), [AssignorKind::Range]);
    assert_eq!(assignors("StickyAssignor, roundrobin"), [AssignorKind::Sticky, AssignorKind::RoundRobin]);
    let class = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    assert_eq!(assignors(class), assignors("cooperative-sticky"));
    assert_eq!(assignors("RoundRobinAssignor,sticky"), [AssignorKind::RoundRobin, AssignorKind::Sticky]);
    assert_eq!(with(&[("auto.offset.reset", "smallest")]).consumer().unwrap().auto_offset_reset, OffsetReset::Earliest);
    assert_eq!(with(&[("queued.max.messages.kbytes", "2")]).consumer().unwrap().prefetch_bytes, 2048);
    let client = with(&[("metadata.broker.list", "a:1,[::1]:2,"), ("send.buffer.bytes", "4096")]).client().unwrap();
    assert_eq!(client.bootstrap, [Address::new("a", 1), Address::new("::1", 2)]);
    assert_eq!(client.send_buffer, Some(4096));
}

#[test]
fn a_wrong_value_is_named_with_its_reason_and_an_example() {
    for (name, value, expected) in [
        ("linger.ms", "abc", "linger.ms=abc: not a whole number of milliseconds; for example linger.ms=5"),
        ("linger.ms", "", "linger.ms=\"\": the value is empty; for example linger.ms=5"),
        ("linger.ms", "-1", "linger.ms=-1: out of range, 0 to 2147483647 is possible; for example linger.ms=5"),
        (
            "linger.ms",
            "5ms",
            "linger.ms=5ms: not a whole number of milliseconds, written without a unit; for example linger.ms=5",
        ),
        ("linger.ms", "0.5", "linger.ms=0.5: not a whole number of milliseconds; for example linger.ms=5"),
        ("linger.ms", "1e99", "linger.ms=1e99: not a whole number of milliseconds; for example linger.ms=5"),
        (
            "batch.size",
            "18446744073709551616",
            "batch.size=18446744073709551616: out of range, 0 to 2147483647 is possible; for example batch.size=1000000",
        ),
        (
            "batch.size",
            "1 MB",
            "batch.size=\"1 MB\": not a whole number of bytes, written without a unit; for example batch.size=1000000",
        ),
        ("acks", "2", "acks=2: not one of all, 0 or 1; for example acks=all"),
        ("check.crcs", "maybe", "check.crcs=maybe: neither true nor false; for example check.crcs=true"),
        (
            "auto.offset.reset",
            "by_duration:PT1H",
            "auto.offset.reset=by_duration:PT1H: not built yet, earliest, latest or none is possible; for example auto.offset.reset=earliest",
        ),
        (
            "partition.assignment.strategy",
            "range,stickier",
            "partition.assignment.strategy=range,stickier: stickier: not one of range, roundrobin, sticky or cooperative-sticky; for example partition.assignment.strategy=range,cooperative-sticky",
        ),
        (
            "bootstrap.servers",
            "localhost",
            "bootstrap.servers=localhost: no port after \"localhost\"; for example bootstrap.servers=localhost:9092",
        ),
    ] {
        assert_eq!(refusal(name, value), expected);
    }
    let error = |name, value, origin| one_line(Config::new().set_from(name, value, origin).unwrap_err());
    assert_eq!(
        error("bootstrap.servers", "", "KAFKA_BROKERS"),
        "KAFKA_BROKERS=\"\": the value is empty; for example KAFKA_BROKERS=localhost:9092"
    );
    assert_eq!(
        error("message.timeout.ms", "abc", "--message-timeout"),
        "--message-timeout abc: not a whole number of milliseconds; for example --message-timeout 5000"
    );
    assert!(error("linger.ms", "x", "-X").starts_with("-X linger.ms=x: "));
}

#[test]
fn a_broker_is_required() {
    let error = one_line(Config::new().producer().unwrap_err());
    assert_eq!(error, "bootstrap.servers is not set; for example bootstrap.servers=localhost:9092");
}

#[test]
fn an_unknown_name_gets_the_nearest_known_one() {
    assert_eq!(refusal("lingr.ms", "5"), "lingr.ms: no Kafka client knows this property; did you mean linger.ms?");
    assert!(refusal("LINGER_MS", "5").ends_with("did you mean linger.ms?"));
    assert!(refusal("bootstrap.server", "a:1").ends_with("did you mean bootstrap.servers?"));
    assert!(refusal("colour", "red").contains("README.md"));
    let error = one_line(Config::new().set_from("lingr.ms", "5", "-X").unwrap_err());
    assert!(error.starts_with("-X lingr.ms: "), "{error}");
}

#[test]
fn what_is_not_built_yet_is_refused_by_name_unless_it_asks_for_what_happens_anyway() {
    for (name, value) in [
        ("transactional.id", "t"),
        ("ssl.ca.location", "/ca.pem"),
        ("sasl.mechanism", "PLAIN"),
        ("security.protocol", "SASL_SSL"),
        ("enable.partition.eof", "true"),
        ("share.acquire.mode", "batch_optimized"),
    ] {
        let text = refusal(name, value);
        assert!(text.starts_with(name) && text.contains("not built yet"), "{text}");
    }
    with(&[("security.protocol", "plaintext"), ("group.protocol", "CLASSIC")]);
    assert!(refusal("queue.buffering.max.kbytes", "1").contains("buffer.memory"));
}

#[test]
fn secrets_are_never_repeated() {
    for name in ["sasl.password", "sasl.jaas.config", "ssl.key.password", "ssl.key.pem", "sasl.pasword", "ssl_keey"] {
        for origin in ["", "-X", "SASL_PASSWORD", "--password"] {
            let error = Config::new().set_from(name, "hunter2", origin).unwrap_err();
            assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{error}");
        }
    }
    let error = Config::new().set("bootstrap.servers", "kafka://me:hunter2@host:9092/x").unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn what_has_no_effect_is_accepted_and_told_once() {
    let config = with(&[
        ("key.serializer", "org.apache.kafka.common.serialization.StringSerializer"),
        ("interceptor.classes", ""),
        ("group.id", "g"),
    ]);
    config.producer().unwrap();
    let told = || lock(&config.told).iter().copied().collect::<Vec<_>>();
    assert_eq!(told(), ["group.id", "interceptor.classes", "key.serializer"]);
    config.clone().producer().unwrap();
    assert_eq!(told().len(), 3);
    let consumer = with(&[("group.id", "g")]);
    consumer.consumer().unwrap();
    assert!(lock(&consumer.told).is_empty());
}

#[test]
fn contradictions_between_values_the_user_set_name_both() {
    type Make = fn(&Config) -> Option<Error>;
    let producer: Make = |config| config.producer().err();
    let consumer: Make = |config| config.consumer().err();
    for (make, a, b) in [
        (producer, ("enable.idempotence", "true"), ("acks", "1")),
        (producer, ("enable.idempotence", "true"), ("max.in.flight.requests.per.connection", "6")),
        (producer, ("enable.idempotence", "true"), ("retries", "0")),
        (producer, ("linger.ms", "5000"), ("message.timeout.ms", "5000")),
        (producer, ("request.timeout.ms", "5001"), ("message.timeout.ms", "5000")),
        (producer, ("batch.size", "2000000"), ("max.request.size", "1000000")),
        (producer, ("batch.size", "2000000"), ("buffer.memory", "1000000")),
        (producer, ("socket.connection.setup.timeout.ms", "2000"), ("socket.connection.setup.timeout.max.ms", "1000")),
        (consumer, ("heartbeat.interval.ms", "6000"), ("session.timeout.ms", "6000")),
        (consumer, ("fetch.max.wait.ms", "500"), ("request.timeout.ms", "500")),
        (consumer, ("fetch.max.bytes", "10000"), ("receive.message.max.bytes", "10000")),
    ] {
        let error = one_line(make(&with(&[a, b])).unwrap_or_else(|| panic!("{a:?} and {b:?} should contradict")));
        assert!(error.contains(&format!("{}={}", a.0, a.1)) && error.contains(&format!("{}={}", b.0, b.1)), "{error}");

        // The same values contradict nothing as long as one of them is a default.
        for (set, default) in [(a, b), (b, a)] {
            let config = with(&[set]).default_to(default.0, default.1).unwrap();
            assert!(make(&config).is_none(), "{set:?} with the default {default:?}");
        }
    }
    let triple = with(&[("linger.ms", "3000"), ("request.timeout.ms", "3000"), ("message.timeout.ms", "5000")]);
    let error = one_line(triple.producer().unwrap_err());
    assert!(
        error.contains("message.timeout.ms=5000 contradicts linger.ms=3000 and request.timeout.ms=3000"),
        "{error}"
    );

    let error = one_line(with(&[("group.id", " ")]).consumer().unwrap_err());
    assert!(error.starts_with("group.id=\" \": a group's name must not be empty"), "{error}");
}

#[test]
fn a_contradiction_is_told_in_the_words_of_the_user() {
    let config = with(&[]).set_from("message.timeout.ms", "100", "MESSAGE_TIMEOUT_MS").unwrap();
    let error = one_line(config.set_from("queue.buffering.max.ms", "100", "-X").unwrap().producer().unwrap_err());
    assert!(error.starts_with("-X queue.buffering.max.ms=100 contradicts MESSAGE_TIMEOUT_MS=100: "), "{error}");
}

#[test]
fn defaults_give_way_to_what_was_set() {
    let services = |properties: &[(&str, &str)]| {
        let config = with(properties).default_to("message.timeout.ms", "5000").unwrap();
        config.default_to("session.timeout.ms", 6000).unwrap().default_to("heartbeat.interval.ms", 2000).unwrap()
    };
    assert_eq!(services(&[]).producer().unwrap().client.request_timeout, ms(2500));
    assert_eq!(services(&[("message.timeout.ms", "1")]).producer().unwrap().client.request_timeout, ms(1));

    let raised = services(&[("request.timeout.ms", "8000"), ("linger.ms", "10")]).producer().unwrap();
    assert_eq!((raised.message_timeout, raised.client.request_timeout), (ms(8010), ms(8000)));

    let off = services(&[("acks", "1")]).producer().unwrap();
    assert_eq!((off.acks, off.idempotence), (1, false));
    assert!(!services(&[("max.in.flight.requests.per.connection", "6")]).producer().unwrap().idempotence);

    let small = services(&[("buffer.memory", "65536")]).producer().unwrap();
    assert_eq!((small.batch_size, small.buffer_memory), (65536, 65536));
    let large = services(&[("batch.size", "20000000")]).producer().unwrap();
    assert_eq!((large.batch_size, large.max_request_size, large.buffer_memory), (20_000_000, 20_000_000, 20_000_000));

    let short = services(&[("session.timeout.ms", "1500")]).consumer().unwrap();
    assert_eq!(short.heartbeat_interval, ms(500));
    let rare = services(&[("heartbeat.interval.ms", "6000")]).consumer().unwrap();
    assert_eq!(rare.session_timeout, ms(18_000));
    let patient = services(&[("fetch.max.wait.ms", "60000")]).consumer().unwrap();
    assert_eq!(patient.client.request_timeout, ms(120_000));

    let brief = services(&[]).default_to("default.api.timeout.ms", 5000).unwrap().consumer().unwrap().client;
    assert_eq!((brief.default_api_timeout, brief.request_timeout), (ms(5000), ms(30_000)));
    let long = services(&[("request.timeout.ms", "90000")]).consumer().unwrap().client;
    assert_eq!(long.default_api_timeout, ms(90_000));
}

#[test]
fn a_default_never_beats_what_was_set_before_or_after() {
    let config = with(&[("retries", "7")]).default_to("retries", 3).unwrap();
    assert_eq!(config.get("retries"), Some("7"));
    let config = with(&[]).default_to("retries", 3).unwrap();
    assert_eq!(config.get("retries"), Some("3"));
    assert!(!config.has("retries"));
    let config = config.set("message.send.max.retries", 7).unwrap();
    assert_eq!((config.get("retries"), config.has("retries")), (Some("7"), true));
}

#[test]
fn debug_shows_what_was_set_on_one_line_each() {
    assert_eq!(
        format!("{:?}", with(&[("client.id", "a b")])),
        r#"{"bootstrap.servers": "localhost:9092", "client.id": "\"a b\""}"#
    );
}

proptest! {
    #[test]
    fn no_name_and_no_value_panics(name in any::<String>(), value in any::<String>(), origin in any::<String>()) {
        let _ = Config::new().set_from(&name, &value, &origin).map_err(|error| error.to_string());
        let _ = names::check_topic(&name);
    }

    #[test]
    fn no_value_of_a_known_name_panics_even_when_it_is_used(
        properties in proptest::collection::vec(
            (0..table::ALL.len(), prop_oneof![
                any::<String>(),
                any::<i64>().prop_map(|number| number.to_string()),
                (0..100_000_i32).prop_map(|number| number.to_string()),
                "[a-z\\[\\]:,.%/@0-9 -]{0,30}",
                Just("true".to_owned()), Just("0".to_owned()), Just("1".to_owned()), Just(i32::MAX.to_string()),
            ], any::<bool>()),
            0..8,
        )
    ) {
        let mut config = with(&[]);
        for (index, value, set) in properties {
            let name = table::ALL[index].name;
            let copy = config.clone();
            let changed = if set { copy.set(name, value) } else { copy.default_to(name, value) };
            match changed {
                Ok(changed) => config = changed,
                Err(error) => prop_assert!(!error.to_string().contains('\n')),
            }
        }
        let _ = config.client();
        if let Ok(producer) = config.producer() {
            prop_assert!(producer.linger < producer.message_timeout);
            prop_assert!(producer.batch_size >= 1 && producer.batch_size <= producer.buffer_memory);
            prop_assert!(producer.client.request_timeout >= ms(1));
            prop_assert!(!producer.idempotence || (producer.acks == -1 && producer.max_in_flight <= 5 && producer.retries > 0));
        }
        if let Ok(consumer) = config.consumer() {
            prop_assert!(consumer.heartbeat_interval < consumer.session_timeout || consumer.session_timeout == ms(1));
            prop_assert!(consumer.fetch_max_wait < consumer.client.request_timeout);
        }
    }
}

#[test]
fn each_group_protocol_refuses_the_properties_of_the_other() {
    let check =
        |set: &[(&str, &str)]| with(&[&[("bootstrap.servers", "h:1"), ("group.id", "g")], set].concat()).consumer();
    for (name, value, instead) in [
        ("session.timeout.ms", "6000", "group.consumer.session.timeout.ms"),
        ("heartbeat.interval.ms", "2000", "group.consumer.heartbeat.interval.ms"),
        ("partition.assignment.strategy", "range", "group.remote.assignor"),
    ] {
        let text = check(&[("group.protocol", "consumer"), (name, value)]).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains("group.protocol") && text.contains(instead), "{text}");
        check(&[(name, value)]).unwrap();
    }
    let text = check(&[("group.remote.assignor", "uniform")]).unwrap_err().to_string();
    assert!(text.contains("group.remote.assignor") && text.contains("partition.assignment.strategy"), "{text}");
    check(&[("group.protocol", "consumer"), ("group.remote.assignor", "uniform")]).unwrap();
}
