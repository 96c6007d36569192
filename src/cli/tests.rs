use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// What a program makes of these words and variables; the first word is the name it is called by.
fn plan(words: &[&str], variables: &[(&str, &str)]) -> Result<Plan> {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let environment = Environment::of(variables.iter().map(|(name, value)| (name.into(), value.into())));
    plan_of(words, &environment)
}

fn plan_of(words: Vec<OsString>, environment: &Environment) -> Result<Plan> {
    let program = acting_as(Program::Krs, words.first().map(OsString::as_os_str));
    match parse(program, words) {
        Ok(command) => resolve(&command, environment),
        Err(Refusal::Usage(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

fn sender(words: &[&str], variables: &[(&str, &str)]) -> sender::Options {
    match plan(&[&["sender"], words].concat(), variables).unwrap().job {
        Job::Send(options) => options,
        other => panic!("{other:?}"),
    }
}

fn receiver(words: &[&str], variables: &[(&str, &str)]) -> receiver::Options {
    match plan(&[&["receiver"], words].concat(), variables).unwrap().job {
        Job::Receive(options) => options,
        other => panic!("{other:?}"),
    }
}

fn complaint(words: &[&str], variables: &[(&str, &str)]) -> String {
    let error = plan(words, variables).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn without_a_word_everything_is_as_documented() {
    let options = sender(&[], &[]);
    assert_eq!(options.config.get("bootstrap.servers"), Some("localhost:9092"));
    assert!(!options.config.has("bootstrap.servers") && !options.config.has("message.timeout.ms"));
    assert_eq!((options.topic.as_str(), options.interval), ("rust-messages", MS(100)));
    assert_eq!((options.count, options.producer_id), (None, None));
    assert_eq!((options.partitions, options.replication_factor), (3, 1));
    assert_eq!(options.stats_interval, Some(MS(10_000)));

    let options = receiver(&[], &[]);
    assert_eq!((options.topic.as_str(), options.count), ("rust-messages", None));
    assert_eq!((options.partitions, options.replication_factor), (3, 1));
    assert_eq!((options.stats_interval, options.format), (Some(MS(10_000)), Format::Text));
    assert!(!options.config.has("group.id"));
}

#[test]
fn the_help_states_the_real_defaults() {
    let default = |words: &[&str]| {
        let words = words.iter().map(OsString::from).collect();
        let Err(Refusal::Help(help)) = parse(Program::Krs, words) else { panic!("no help") };
        help.render().to_string()
    };
    let help = default(&["krs", "send", "--help"]);
    for default in [
        "[env: KAFKA_BROKERS] [default: localhost:9092]",
        "[env: KAFKA_TOPIC] [default: rust-messages]",
        "[env: SEND_INTERVAL_MS] [default: 100]",
        "[env: STATS_INTERVAL_MS] [default: 10000]",
        "[env: PRODUCER_ID] [default: host name and process id]",
    ] {
        assert!(help.contains(default), "{default} in {help}");
    }
    let of = |defaults: &[(&str, &'static str)], name| defaults.iter().find(|(known, _)| *known == name).unwrap().1;
    let timeout = of(sender::DEFAULTS, "message.timeout.ms");
    assert!(help.contains(&format!("[env: MESSAGE_TIMEOUT_MS] [default: {timeout}]")), "{help}");
    let group = of(receiver::DEFAULTS, "group.id");
    let help = default(&["krs", "receive", "--help"]);
    assert!(help.contains(&format!("[env: CONSUMER_GROUP] [default: {group}]")), "{help}");
}

#[test]
fn the_definitions_hold_together() {
    for program in [Program::Krs, Program::Sender, Program::Receiver] {
        program.definition().debug_assert();
    }
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_default() {
    let variables = [
        ("KAFKA_BROKERS", "env:1"),
        ("KAFKA_TOPIC", "from-env"),
        ("SEND_INTERVAL_MS", "7"),
        ("MESSAGE_TIMEOUT_MS", "700"),
        ("PRODUCER_ID", " env-id "),
        ("STATS_INTERVAL_MS", "0"),
        ("CONSUMER_GROUP", "env-group"),
    ];
    let options = sender(&[], &variables);
    assert_eq!(options.config.get("bootstrap.servers"), Some("env:1"));
    assert_eq!(options.config.get("message.timeout.ms"), Some("700"));
    assert_eq!((options.topic.as_str(), options.interval), ("from-env", MS(7)));
    assert_eq!((options.producer_id.as_deref(), options.stats_interval), (Some("env-id"), None));
    assert_eq!(receiver(&[], &variables).config.get("group.id"), Some("env-group"));

    let words = "-b flag:2 -t from-flag -i 0 --message-timeout 900 --producer-id me --stats-interval 5 -n 3 --partitions -1 \
                 --replication-factor 2";
    let options = sender(&words.split(' ').collect::<Vec<_>>(), &variables);
    assert_eq!(options.config.get("bootstrap.servers"), Some("flag:2"));
    assert_eq!(options.config.get("delivery.timeout.ms"), Some("900"));
    assert_eq!((options.topic.as_str(), options.interval), ("from-flag", Duration::ZERO));
    assert_eq!((options.producer_id.as_deref(), options.stats_interval), (Some("me"), Some(MS(5))));
    assert_eq!((options.count, options.partitions, options.replication_factor), (Some(3), -1, 2));
    let options = receiver(&["--group", "flag-group", "--log-format=json"], &variables);
    assert_eq!((options.config.get("group.id"), options.format), (Some("flag-group"), Format::Json));

    // What is beaten is not even looked at.
    sender(&["--interval", "5", "-b", "a:1"], &[("SEND_INTERVAL_MS", "abc"), ("KAFKA_BROKERS", "")]);
    // Nor is what belongs to the other service.
    receiver(&[], &[("SEND_INTERVAL_MS", "abc"), ("PRODUCER_ID", "")]);
}

#[test]
fn the_last_of_a_repeated_flag_counts_and_all_properties_are_taken() {
    let options = sender(&["-t", "a", "-t", "b", "-X", "linger.ms=5", "-Xacks=1", "-X", "linger.ms = 6"], &[]);
    assert_eq!(options.topic, "b");
    assert_eq!((options.config.get("linger.ms"), options.config.get("acks")), (Some("6"), Some("1")));
}

#[test]
fn a_property_beats_the_environment_and_cannot_be_given_twice() {
    let words = ["-X", "delivery.timeout.ms=900", "-X", "bootstrap.servers=x:1"];
    let options = sender(&words, &[("MESSAGE_TIMEOUT_MS", "abc"), ("KAFKA_BROKERS", "env:1")]);
    assert_eq!(options.config.get("message.timeout.ms"), Some("900"));
    assert_eq!(options.config.get("bootstrap.servers"), Some("x:1"));
    assert_eq!(
        complaint(&["sender", "-X", "message.timeout.ms=1", "--message-timeout", "2"], &[]),
        "--message-timeout and -X set the same property message.timeout.ms; leave one of them out"
    );
}

#[test]
fn the_name_it_is_called_by_decides_what_krs_is() {
    assert_eq!(acting_as(Program::Krs, Some(OsStr::new("/usr/bin/sender"))), Program::Sender);
    assert_eq!(acting_as(Program::Krs, Some(OsStr::new("./receiver"))), Program::Receiver);
    assert_eq!(acting_as(Program::Krs, Some(OsStr::new("krs"))), Program::Krs);
    assert_eq!(acting_as(Program::Krs, Some(OsStr::new("sender-x"))), Program::Krs);
    assert_eq!(acting_as(Program::Krs, None), Program::Krs);
    assert_eq!(acting_as(Program::Receiver, Some(OsStr::new("sender"))), Program::Receiver);
    assert!(matches!(plan(&["krs", "send"], &[]).unwrap().job, Job::Send(_)));
    assert!(matches!(plan(&["krs", "receiver"], &[]).unwrap().job, Job::Receive(_)));
}

#[test]
fn what_is_wrong_is_named_with_a_right_value() {
    for (words, variables, expected) in [
        (
            &["sender"][..],
            &[("KAFKA_BROKERS", "")][..],
            "KAFKA_BROKERS=\"\": the value is empty; for example KAFKA_BROKERS=localhost:9092",
        ),
        (
            &["sender"],
            &[("SEND_INTERVAL_MS", "abc")],
            "SEND_INTERVAL_MS=abc: not a whole number of milliseconds; for example SEND_INTERVAL_MS=100",
        ),
        (
            &["sender"],
            &[("SEND_INTERVAL_MS", "")],
            "SEND_INTERVAL_MS=\"\": the value is empty; for example SEND_INTERVAL_MS=100",
        ),
        (
            &["sender"],
            &[("MESSAGE_TIMEOUT_MS", "0")],
            "MESSAGE_TIMEOUT_MS=0: out of range, 1 to 2147483647 is possible; for example MESSAGE_TIMEOUT_MS=5000",
        ),
        (
            &["sender", "-i", "-5"],
            &[],
            "--interval -5: out of range, 0 to 2147483647 is possible; for example --interval 100",
        ),
        (
            &["sender", "-i", "100ms"],
            &[],
            "--interval 100ms: not a whole number of milliseconds, written without a unit; for example --interval 100",
        ),
        (
            &["sender", "--stats-interval", "18446744073709551616"],
            &[],
            "--stats-interval 18446744073709551616: out of range, 0 to 2147483647 is possible; for example --stats-interval 10000",
        ),
        (
            &["sender", "--count", "0"],
            &[],
            "--count 0: out of range, 1 to 9223372036854775807 is possible; for example --count 100",
        ),
        (
            &["sender", "--partitions", "0"],
            &[],
            "--partitions 0: 1 to 100000 is possible, or -1 for what the broker is set to; for example --partitions 3",
        ),
        (
            &["sender", "--producer-id", " "],
            &[],
            "--producer-id \" \": the value is empty; for example --producer-id sender-1",
        ),
        (
            &["sender", "--log-format", "xml"],
            &[],
            "--log-format xml: neither text nor json; for example --log-format json",
        ),
        (
            &["receiver"],
            &[("CONSUMER_GROUP", "")],
            "CONSUMER_GROUP=\"\": a group's name must not be empty; for example CONSUMER_GROUP=rust-consumer-group",
        ),
        (
            &["receiver"],
            &[("KAFKA_TOPIC", "..")],
            "KAFKA_TOPIC=..: Kafka reserves this name; for example KAFKA_TOPIC=rust-messages",
        ),
        (
            &["receiver", "-b", "localhost"],
            &[],
            "--brokers localhost: no port after \"localhost\"; for example --brokers localhost:9092",
        ),
        (
            &["receiver", "-X", "lingr.ms=5"],
            &[],
            "-X lingr.ms: no Kafka client knows this property; did you mean linger.ms?",
        ),
        (
            &["receiver", "-X", "linger.ms"],
            &[],
            "-X needs name=value; for example -X linger.ms=5, and -X list names them all",
        ),
        (
            &["sender", "-X", "acks=1", "-X", "enable.idempotence=true"],
            &[],
            "-X enable.idempotence=true contradicts -X acks=1: an idempotent producer needs acks=all",
        ),
        (
            &["sender", "-X", "linger.ms=90"],
            &[("MESSAGE_TIMEOUT_MS", "80")],
            "-X linger.ms=90 contradicts MESSAGE_TIMEOUT_MS=80: messages would expire while they wait for company",
        ),
        (&["krs"], &[], "a command is missing; for example krs send or krs receive, and krs --help lists them all"),
        (&["krs", "sned"], &[], "sned: no such command; did you mean send?"),
        (&["krs", "send", "--tpic", "x"], &[], "--tpic: no such flag; did you mean --topic?"),
        (&["krs", "send", "--xyz"], &[], "--xyz: no such flag; krs send --help lists them all"),
        (&["krs", "send", "x"], &[], "x: an argument too many; krs send --help lists them all"),
        (&["receiver", "--topic"], &[], "--topic needs a value; for example --topic rust-messages"),
    ] {
        assert_eq!(complaint(words, variables), expected);
    }
    assert!(complaint(&["sender"], &[("KAFKA_TOPIC", "a/b")]).starts_with("KAFKA_TOPIC=a/b: '/' is not allowed"));
    assert!(complaint(&["sender"], &[("RUST_LOG", "sender=loud")]).starts_with("RUST_LOG=sender=loud: "));
}

#[test]
fn what_is_not_utf8_is_refused_by_name() {
    let odd = || OsString::from_vec(vec![b'a', 0xff]);
    let none = Environment::default();
    for words in [
        vec!["sender".into(), "--topic".into(), odd()],
        vec!["sender".into(), "-X".into(), odd()],
        vec!["sender".into(), odd()],
        vec!["krs".into(), odd()],
        vec!["krs".into(), "send".into(), OsString::from_vec(vec![b'-', b'-', 0xff])],
    ] {
        let error = plan_of(words, &none).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
    for name in ["KAFKA_BROKERS", "KAFKA_TOPIC", "SEND_INTERVAL_MS", "MESSAGE_TIMEOUT_MS", "PRODUCER_ID", "RUST_LOG"] {
        let environment = Environment::of([(name.into(), odd())]);
        let error = plan_of(vec!["sender".into()], &environment).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{name}=a\u{fffd}: ")), "{error}");
    }
    // Others' variables may be what they like.
    plan_of(vec!["sender".into()], &Environment::of([(odd(), odd()), ("HOME".into(), odd())])).unwrap();
}

#[test]
fn a_misspelt_variable_is_a_warning_unless_the_right_one_is_there() {
    let warnings = |words: &[&str], variables: &[(&str, &str)]| plan(words, variables).unwrap().warnings;
    assert_eq!(
        warnings(&["sender"], &[("KAFKA_BROKER", "a:1"), ("SEND_INTERVAL", "5"), ("HOME", "/")]),
        [
            "KAFKA_BROKER has no effect, did you mean KAFKA_BROKERS?",
            "SEND_INTERVAL has no effect, did you mean SEND_INTERVAL_MS?"
        ]
    );
    let none: [&str; 0] = [];
    assert_eq!(warnings(&["sender"], &[("KAFKA_BROKER", "a:1"), ("KAFKA_BROKERS", "b:1")]), none);
    assert_eq!(warnings(&["sender", "-b", "b:1"], &[("KAFKA_BROKER", "a:1")]), none);
    assert_eq!(warnings(&["sender", "-X", "metadata.broker.list=b:1"], &[("KAFKA_BROKER", "a:1")]), none);
    assert_eq!(warnings(&["receiver"], &[("SEND_INTERVAL", "5")]), none);
}

#[test]
fn the_list_of_properties_is_complete_and_shows_the_services_defaults() {
    let Job::Print(text) = plan(&["sender", "-X", "list"], &[]).unwrap().job else { panic!("no list") };
    for property in crate::Config::properties() {
        assert!(text.contains(property.name) && text.contains(property.meaning), "{}", property.name);
    }
    assert!(text.contains("[default: 5000] [env: MESSAGE_TIMEOUT_MS]"), "{text}");
}

#[cfg(feature = "devbroker")]
fn broker(words: &[&str]) -> crate::devbroker::Options {
    match plan(&[&["krs", "broker"], words].concat(), &[("KAFKA_BROKERS", "b:1")]).unwrap().job {
        Job::Broker(options) => options,
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "devbroker")]
#[test]
fn the_broker_listens_where_clients_look_first_unless_told_otherwise() {
    use crate::devbroker::Version;
    let options = broker(&[]);
    assert_eq!((options.host.as_str(), options.port, options.brokers, options.partitions), ("127.0.0.1", 9092, 1, 3));
    assert!(options.auto_create_topics && options.retention_bytes == 256 << 20 && options.version == Version::V4_3);
    let options = broker(&["-l", "[::1]:0", "--brokers", "3", "--partitions", "6", "--no-auto-create", "--as", "2.4"]);
    assert_eq!((options.host.as_str(), options.port, options.brokers, options.partitions), ("::1", 0, 3, 6));
    assert!(!options.auto_create_topics && options.version == Version::V2_4);
    let options = broker(&["--listen", "0.0.0.0:19092", "--advertise", "kafka.local", "--retention", "1gb"]);
    assert_eq!((options.advertised_host.as_deref(), options.retention_bytes), (Some("kafka.local"), 1 << 30));
    for (words, told) in [
        (["--listen", "9092"], "--listen 9092: not host:port; for example --listen 127.0.0.1:9092"),
        (["--listen", "a:b:1"], "--listen a:b:1: not host:port; for example --listen 127.0.0.1:9092"),
        (
            ["--listen", "localhost:65536"],
            "--listen localhost:65536: not host:port; for example --listen 127.0.0.1:9092",
        ),
        (["--as", "3.8"], "--as 3.8: no Kafka whose versions are known: 2.4, 3.9 or 4.3; for example --as 3.9"),
        (["--brokers", "0"], "--brokers 0: out of range, 1 to 100 is possible; for example --brokers 3"),
        (["--retention", "5kB"], "--retention 5kB: at least 1MB; for example --retention 256MB"),
        (
            ["--retention", "lots"],
            "--retention lots: not a size: a whole number and kB, MB or GB; for example --retention 256MB",
        ),
        (
            ["--advertise", "h:1"],
            "--advertise h:1: not a host name without a port; for example --advertise kafka.local",
        ),
    ] {
        assert_eq!(complaint(&[&["krs", "broker"], &words[..]].concat(), &[]), told);
    }
}

#[cfg(feature = "devbroker")]
#[test]
fn the_demo_needs_nothing_and_may_end_by_itself() {
    let demo = |words: &[&str], variables: &[(&str, &str)]| match plan(&[&["krs", "demo"], words].concat(), variables)
        .unwrap()
        .job
    {
        Job::Demo(options) => options,
        other => panic!("{other:?}"),
    };
    let options = demo(&[], &[("KAFKA_BROKERS", "b:1")]);
    assert_eq!((options.broker.port, options.duration, options.interval), (0, None, MS(100)));
    let options = demo(&["--for", "10s", "--brokers", "2"], &[("SEND_INTERVAL_MS", "7"), ("STATS_INTERVAL_MS", "0")]);
    assert_eq!((options.duration, options.interval, options.stats_interval), (Some(MS(10_000)), MS(7), None));
    assert_eq!(options.broker.brokers, 2);
    assert_eq!(
        complaint(&["krs", "demo", "--for", "10"], &[]),
        "--for 10: not a time: a whole number and ms, s, m or h; for example --for 10s"
    );
    assert!(complaint(&["krs", "demo", "-b", "x:1"], &[]).starts_with("-b: no such flag"));
}

#[cfg(feature = "bench")]
fn bench(words: &[&str]) -> crate::bench::Options {
    let words = [&["krs", "bench"], words].concat();
    match plan(&words, &[("KAFKA_TOPIC", "services"), ("KAFKA_BROKERS", "b:1")]).unwrap().job {
        Job::Bench(crate::bench::Task::Measure(options)) => options,
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "bench")]
#[test]
fn bench_needs_a_topic_and_takes_the_rest_from_its_defaults() {
    use crate::bench::{Limit, Mode};
    let options = bench(&["produce", "--topic", "t", "-X", "acks=1"]);
    assert_eq!((options.mode, options.topic.as_str(), options.json), (Mode::Produce, "t", false));
    assert_eq!((options.limit, options.rate, options.warm_up), (Limit::Count(1_000_000), None, None));
    assert_eq!((options.size, options.producers), (100, 1));
    assert_eq!((options.partitions, options.replication_factor), (3, 1));
    assert_eq!((options.config.get("acks"), options.config.get("bootstrap.servers")), (Some("1"), Some("b:1")));
    let options = bench(&["consume", "-t", "t", "-n", "5", "--json"]);
    assert_eq!((options.mode, options.limit, options.json), (Mode::Consume, Limit::Count(5), true));
    let options = bench(&["latency", "-t", "t"]);
    assert_eq!((options.mode, options.limit), (Mode::Latency, Limit::Time(MS(10_000))));
    assert_eq!((options.size, options.rate), (100, Some(1000)));
}

#[cfg(feature = "bench")]
#[test]
fn bench_takes_what_its_flags_say() {
    use crate::bench::{Limit, Task};
    let words = "produce -t t --for 30s -r 5000 -s 0 --producers 16 --compression lz4 --warm-up 0s --partitions 6 \
                 --log-format json";
    let options = bench(&words.split(' ').collect::<Vec<_>>());
    assert_eq!((options.limit, options.rate, options.warm_up), (Limit::Time(MS(30_000)), Some(5000), Some(MS(0))));
    assert_eq!((options.size, options.producers, options.partitions, options.json), (0, 16, 6, true));
    assert_eq!(options.config.get("compression.type"), Some("lz4"));
    assert_eq!(bench(&["latency", "-t", "t", "-s", "8", "-n", "1"]).size, 8);
    match plan(&["krs", "bench", "compare", "a.json", "-"], &[]).unwrap().job {
        Job::Bench(Task::Compare(a, b)) => assert_eq!((a.to_str(), b.to_str()), (Some("a.json"), Some("-"))),
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "bench")]
#[test]
fn bench_refuses_what_it_cannot_measure() {
    for (words, expected) in [
        ("produce", "--topic is missing; for example --topic bench"),
        ("produce -t t --rate 0", "--rate 0: out of range, 1 to 1000000000 is possible; for example --rate 1000"),
        ("latency -t t --rate 2000000000", "--rate 2000000000: out of range, 1 to 1000000000 is possible"),
        ("produce -t t --rate 10/s", "--rate 10/s: not a whole number; for example --rate 1000"),
        ("consume -t t --count 0", "--count 0: out of range, 1 to "),
        ("consume -t t --for 0s", "--for 0s: there is nothing to measure in no time; for example --for 10s"),
        ("consume -t t --for 0ms", "--for 0ms: there is nothing to measure in no time; for example --for 10s"),
        ("produce -t t --for 10", "--for 10: not a time: a whole number and ms, s, m or h; for example --for 10s"),
        ("produce -t t --for 1s -n 5", "--count and --for both say how much to measure; leave one of them out"),
        ("produce -t t --producers 0", "--producers 0: out of range, 1 to 1024 is possible; for example --producers 4"),
        ("produce -t t --at-once 0", "--at-once 0: out of range, 1 to 1024 is possible; for example --at-once 16"),
        ("produce -t t --at-once 2 --rate 5", "--at-once and --rate contradict each other"),
        ("latency -t t --at-once 2", "--at-once: no such flag"),
        ("produce -t t --producers 5000", "--producers 5000: out of range, 1 to 1024 is possible"),
        ("produce -t t --warm-up x", "--warm-up x: not a time"),
        ("produce -t t --size -1", "--size -1: out of range"),
        ("latency -t t --size 0", "--size 0: in each value travels the moment it was due, in 8 bytes; for example"),
        ("latency -t t --size 7", "--size 7: in each value travels the moment it was due, in 8 bytes; for example"),
        ("produce -t t --compression rar", "--compression rar: "),
        ("produce -t t --compression lz4 -X compression.type=zstd", "--compression and -X set the same property"),
        ("consume -t t -X group.id=g", "-X group.id: bench reads without a group; leave it out"),
        ("consume -t t -X auto.offset.reset=latest", "-X auto.offset.reset: bench knows where to begin; leave it out"),
        ("latency -t t -X group.id=g", "-X group.id: bench reads without a group; leave it out"),
        ("latency -t t -X acks=1 -X enable.idempotence=true", ""),
        ("consume -t t --size 5", "--size: no such flag"),
        ("latency -t t --producers 2", "--producers: no such flag"),
        ("compare a.json", "compare needs two files, 1 given; for example krs bench compare a.json b.json"),
        ("compare a b c", "compare needs two files, 3 given"),
        ("compare - -", "-: standard input can be one of the two files, not both"),
        ("compare -t x a b", "-t: no such flag"),
        ("prodce", "prodce: no such command; did you mean produce?"),
    ] {
        let words: Vec<_> = ["krs", "bench"].into_iter().chain(words.split(' ')).collect();
        let complaint = complaint(&words, &[]);
        assert!(complaint.starts_with(expected), "{words:?}: {complaint}");
    }
}

proptest! {
    #[test]
    fn no_word_and_no_variable_panics(
        words in proptest::collection::vec(prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..12),
            "(-b|-t|-i|-n|-X|--count|--partitions|--topic|send|receive|demo|broker|--for|--listen|--as|bench|produce|consume|latency|compare|--rate|--size|--json|[0-9]{1,20}|a=b|--log-format|json)"
                .prop_map(String::into_bytes),
        ], 0..8),
        variables in proptest::collection::vec((
            "(KAFKA_BROKERS|KAFKA_TOPIC|SEND_INTERVAL_MS|MESSAGE_TIMEOUT_MS|CONSUMER_GROUP|PRODUCER_ID|STATS_INTERVAL_MS|RUST_LOG|X)",
            proptest::collection::vec(any::<u8>(), 0..12),
        ), 0..4),
    ) {
        let environment =
            Environment::of(variables.into_iter().map(|(name, value)| (name.into(), OsString::from_vec(value))));
        let words: Vec<OsString> = words.into_iter().map(OsString::from_vec).collect();
        for name in ["krs", "sender", "receiver"] {
            let mut arguments = vec![OsString::from(name)];
            arguments.extend(words.iter().cloned());
            let program = acting_as(Program::Krs, Some(OsStr::new(name)));
            let refused = match parse(program, arguments) {
                Ok(command) => resolve(&command, &environment).err(),
                Err(Refusal::Usage(error)) => Some(error),
                Err(_) => None,
            };
            if let Some(error) = refused {
                prop_assert_eq!(error.exit_code(), 2);
                prop_assert!(!error.to_string().contains('\n'), "{}", error);
            }
        }
    }
}

#[test]
fn what_is_read_and_how_it_is_written() {
    use receiver::{End, Shape, Share, Start};

    let options = receiver(&[], &[]);
    assert_eq!((options.shape, options.share, options.start), (Shape::Ours, Share::Group, None));
    assert_eq!((options.end, options.receivers), (End::default(), 1));

    let words =
        ["--from", "2026-01-01T00:00Z", "--until", "1767225600001", "--exit-at-end", "--json", "--receivers", "3"];
    let options = receiver(&words, &[]);
    assert_eq!((options.shape, options.start), (Shape::Json, Some(Start::Time(1_767_225_600_000))));
    assert_eq!((options.end, options.receivers), (End { until: Some(1_767_225_600_001), at_end: true }, 3));

    let options = receiver(&["--partition", "2, 0,2", "--from", "latest"], &[("CONSUMER_GROUP", "ignored")]);
    assert_eq!((options.share, options.start), (Share::Partitions(vec![0, 2]), Some(Start::Latest)));
    assert!(!options.config.has("group.id"));
    assert_eq!(receiver(&["--no-group"], &[]).share, Share::All);
}

#[test]
fn lines_are_sent_as_they_were_asked_for() {
    let words = [
        "sender",
        "--stdin",
        "--key-separator",
        r"\t",
        "--delimiter",
        r"\0",
        "-H",
        "a=b=c",
        "--header",
        "n=",
        "--tombstone",
        "",
        "--partition",
        "4",
        "-n",
        "7",
    ];
    let Job::SendLines(options) = plan(&words, &[("SEND_INTERVAL_MS", "5")]).unwrap().job else { panic!() };
    assert_eq!((options.key_separator, options.delimiter), (Some(b"\t".to_vec()), b"\0".to_vec()));
    assert_eq!(options.headers, [("a".to_owned(), b"b=c".to_vec()), ("n".to_owned(), Vec::new())]);
    assert_eq!((options.tombstone, options.partition, options.count), (Some(Vec::new()), Some(4), Some(7)));
    assert_eq!(sender(&["--senders", "4"], &[]).senders, 4);
}
