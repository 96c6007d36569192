//! Words for people: examples for the help, clap's complaints in one line, the list of properties.

use std::ffi::OsString;
use std::fmt::Write;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command};

use super::{Program, Refusal};
use crate::kafka::config::given::shown;
use crate::{Config, Error, Property, Scope};

pub(super) const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nA sender and a receiver for Apache Kafka 2.4 to 4.x, on a blocking client in pure Rust.",
    "\nhelp: krs --help, properties: krs send -X list",
);

pub(super) const KRS_EXAMPLES: &str = "\
Examples:
  krs demo --for 10s                          all of it at once, on a broker of its own
  krs broker                                  a Kafka to try things on, at 127.0.0.1:9092
  krs receive                                 read rust-messages from localhost:9092
  krs send --interval 0 --count 100000        send as fast as it can, then stop
  krs send -b broker-1:9092,broker-2:9092 -X compression.type=lz4
  krs send -X list                            every Kafka property, with its default
  krs topic list                              topics; krs topic --help for more
  krs group lag rust-consumer-group           how far the receivers are behind
A link named sender or receiver to this program acts as that service.

Exit codes:
  0 done   1 failed while running   2 wrong usage or configuration
  3 no broker reached   4 refused by TLS, authentication or authorisation
  130 ended at once by a second Ctrl-C";

/// What follows the flags of the sender, as it is called here: `sender` or `krs send`.
pub(super) fn send_examples(name: &str) -> String {
    let lines = [
        (name.to_owned(), "ten messages a second to rust-messages"),
        (format!("{name} --interval 0 --count 100000"), "as fast as it can, then stop"),
        (format!("{name} --topic orders --interval 1000"), ""),
        (format!("{name} --stdin --key-separator : <orders.txt"), "each line a message, its key before the colon"),
        (format!("KAFKA_BROKERS=broker-1:9092 {name} -X compression.type=lz4 -X linger.ms=5"), ""),
    ];
    format!(
        "A flag beats its environment variable, which beats the default. RUST_LOG filters the log (debug, sender=warn).\n\n\
        {}\
        Exit code 1 means that some message was not delivered; krs --help lists all.",
        examples(&lines)
    )
}

/// What follows the flags of the receiver.
pub(super) fn receive_examples(name: &str) -> String {
    let lines = [
        (name.to_owned(), "read rust-messages from localhost:9092"),
        (format!("{name} --group audit --count 10"), "ten messages for another group, then stop"),
        (format!("{name} --log-format json | jq ."), "standard output has the messages alone"),
        (format!("{name} --no-group --exit-at-end --json"), "every record that there is, as JSON"),
        (format!("{name} --partition 0 --from -10m --format '%o %s\\n'"), "like kcat, from ten minutes ago"),
    ];
    format!(
        "A flag beats its environment variable, which beats the default. RUST_LOG filters the log and the lines \
        (receiver=warn).\n\n\
        {}\
        Start several with the same group and they share the partitions. krs --help lists the exit codes.",
        examples(&lines)
    )
}

pub(super) const TOPIC_EXAMPLES: &str = "\
Examples:
  krs topic list
  krs topic describe orders --json | jq .partitions
  krs topic create orders --partitions 6 --config retention.ms=3600000
  krs topic add-partitions orders --partitions 12
  krs topic configs orders --set cleanup.policy=compact --unset retention.ms
  krs topic delete orders --yes";

pub(super) const GROUP_EXAMPLES: &str = "\
Examples:
  krs group list
  krs group describe rust-consumer-group
  krs group lag rust-consumer-group --watch 5
  krs group lag rust-consumer-group --json | jq .total_lag
  krs group reset-offsets rust-consumer-group --topic rust-messages --to-time -10m
  krs group reset-offsets rust-consumer-group --topic rust-messages:0,2 --to-earliest --execute
  krs group delete old-group --yes";

fn examples(lines: &[(String, &str)]) -> String {
    let mut text = String::from("Examples:\n");
    for (command, meaning) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", format!("  {command:<42}  {meaning}").trim_end());
    }
    text
}

#[cfg(feature = "bench")]
pub(super) const BENCH_EXAMPLES: &str = "\
Examples:
  krs bench produce --topic bench --count 1000000 --size 100
  krs bench consume --topic bench --count 1000000
  krs bench latency --topic latency --rate 1000 --for 10s
  krs bench produce --topic bench --for 30s --producers 4 --compression lz4 --json >a.json
  krs bench compare a.json b.json
Kafka properties count as everywhere: -X batch.size=16384, -X acks=1. What was sent to warm up is not measured.
Ctrl-C ends it early, and what was measured until then is told. Exit code 1 means that it ended early by itself.";

/// The command line of a service that is a program of its own.
pub(super) fn standalone<T: Args>(name: &'static str, after_help: String) -> Command {
    T::augment_args(Command::new(name)).args_override_self(true).after_help(after_help)
}

/// Where the flags and commands are listed that could have been meant: "krs send --help".
pub(super) fn where_to_ask(program: Program, arguments: &[OsString]) -> String {
    let commands = [
        "send",
        "receive",
        "demo",
        "broker",
        "bench",
        "produce",
        "consume",
        "latency",
        "compare",
        "topic",
        "group",
        "list",
        "describe",
        "create",
        "delete",
        "add-partitions",
        "configs",
        "lag",
        "reset-offsets",
    ];
    let typed = arguments.iter().skip(1).map_while(|argument| commands.iter().find(|command| argument == **command));
    let mut words = vec![program.name()];
    words.extend(typed.filter(|_| program == Program::Krs));
    words.push("--help");
    words.join(" ")
}

/// clap's complaint in one line, or the help or version that it was asked for.
pub(super) fn refusal(program: Program, help: &str, error: clap::Error) -> Refusal {
    match error.kind() {
        ErrorKind::DisplayHelp => Refusal::Help(error),
        ErrorKind::DisplayVersion => {
            let text = error.render().to_string();
            // clap calls it krs-send.
            let version = text.split_once(' ').map_or(text.as_str(), |(_, version)| version);
            Refusal::Print(format!("{} {version}", program.name()))
        }
        _ => Refusal::Usage(Error::config(complaint(help, &error))),
    }
}

fn complaint(help: &str, error: &clap::Error) -> String {
    let argument = value(error, ContextKind::InvalidArg).map(|argument| {
        // "--topic <NAME>": the flag alone.
        argument.split([' ', '=']).next().unwrap_or_default().to_owned()
    });
    let given = value(error, ContextKind::InvalidValue).unwrap_or_default();
    match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let examples = match help {
                "krs topic --help" => "krs topic list",
                "krs group --help" => "krs group list",
                _ => "krs send or krs receive",
            };
            format!("a command is missing; for example {examples}, and {help} lists them all")
        }
        ErrorKind::InvalidSubcommand => {
            let name = value(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("{}: no such command{}", shown(&name), meant(error, ContextKind::SuggestedSubcommand, help))
        }
        ErrorKind::UnknownArgument => {
            let name = argument.unwrap_or_default();
            let what = if name.starts_with('-') { "no such flag" } else { "an argument too many" };
            format!("{}: {what}{}", shown(&name), meant(error, ContextKind::SuggestedArg, help))
        }
        ErrorKind::InvalidValue if given.is_empty() => {
            let name = argument.unwrap_or_default();
            format!(
                "{name} needs a value; {}",
                example(&name).map_or_else(|| format!("{help} tells more"), |e| format!("for example {name} {e}"))
            )
        }
        ErrorKind::MissingRequiredArgument if argument.is_some() => {
            let missing = value(error, ContextKind::InvalidArg).unwrap_or_default();
            match missing.strip_prefix("<--") {
                // "<--to-earliest|--to-offset <N>>": flags of which one is needed.
                Some(choice) => {
                    let flags = choice.split('|').map(|flag| flag.split([' ', '>']).next().unwrap_or_default());
                    let flags = flags.map(|flag| format!("--{}", flag.trim_start_matches('-'))).collect::<Vec<_>>();
                    format!("one of {} is missing; {help} tells more", flags.join(", "))
                }
                None => format!("{} is missing; {help} tells more", argument.unwrap_or_default()),
            }
        }
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default();
            format!("{}; {help} tells more", first.trim_start_matches("error: "))
        }
    }
}

fn meant(error: &clap::Error, kind: ContextKind, help: &str) -> String {
    match value(error, kind) {
        // The other names of the commands are for links and habits, not for suggestions.
        Some(name) if name == "sender" => "; did you mean send?".to_owned(),
        Some(name) if name == "receiver" => "; did you mean receive?".to_owned(),
        Some(name) => format!("; did you mean {name}?"),
        None => format!("; {help} lists them all"),
    }
}

fn value(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

/// A right value for a flag.
fn example(flag: &str) -> Option<&'static str> {
    Some(match flag {
        "--brokers" | "-b" => "localhost:9092",
        "--topic" | "-t" => "rust-messages",
        "--group" | "-g" => "rust-consumer-group",
        "--interval" | "-i" => "100",
        "--message-timeout" => "5000",
        "--producer-id" => "sender-1",
        "--count" | "-n" => "1000",
        "--size" | "-s" => "100",
        "--partitions" => "3",
        "--replication-factor" => "1",
        "--stats-interval" => "10000",
        "--log-format" => "json",
        "--for" => "10s",
        "--from" | "--until" => "-10m",
        "--partition" => "0",
        "--format" => r"'%p@%o %s\n'",
        "--receivers" | "--senders" => "3",
        "--key" => "order-1",
        "--key-separator" => ":",
        "--delimiter" => r"'\n'",
        "--header" | "-H" => "source=import",
        "--tombstone" => "NULL",
        "--rate" | "-r" => "1000",
        "--producers" => "4",
        "--compression" => "lz4",
        "--warm-up" => "1s",
        "--listen" | "-l" => "127.0.0.1:9092",
        "--advertise" => "kafka.local",
        "--as" => "3.9",
        "--retention" => "256MB",
        "--data-dir" => "/var/tmp/kafka",
        "--fault" => "produce:drop-after,every=20",
        "-X" => "linger.ms=5",
        _ => return None,
    })
}

/// Every property that has an effect, for people; `defaults` are those of the service.
pub(super) fn properties(defaults: &[(&str, &str)]) -> String {
    let mut text = String::from("Kafka properties for -X name=value; other names of the same in brackets.\n");
    for (scope, title) in
        [(Scope::Common, "All clients"), (Scope::Producer, "Producers"), (Scope::Consumer, "Consumers")]
    {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{title}:\n");
        for property in Config::properties().iter().filter(|property| property.scope == scope) {
            describe(&mut text, property, defaults);
        }
    }
    text
}

fn describe(text: &mut String, property: &Property, defaults: &[(&str, &str)]) {
    let default = defaults.iter().find(|(name, _)| *name == property.name).map_or(property.default, |(_, value)| value);
    let aliases =
        if property.aliases.is_empty() { String::new() } else { format!(" ({})", property.aliases.join(", ")) };
    let default = if default.is_empty() { "none" } else { default };
    let variable = if property.variable.is_empty() { String::new() } else { format!(" [env: {}]", property.variable) };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {}{aliases}\n      {}", property.name, property.meaning);
    let _ = writeln!(text, "      {} [default: {default}]{variable}", property.values());
}
