//! The command line, in two steps: what was typed (clap, in the files of the subcommands), then what it means together
//! with the environment and the defaults. Neither step opens a file or resolves a name; what comes out are the options
//! of a service, and only then does anything start.
//!
//! Whatever is wrong is told in one line that names the flag or variable, its value and a right value.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use serde::Serialize;

use crate::logging::{self, Format};
use crate::service::{Stop, lines, receiver, sender};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "bench")]
mod bench;
#[cfg(feature = "devbroker")]
mod broker;
mod common;
#[cfg(feature = "devbroker")]
mod demo;
mod environment;
mod group;
mod moment;
mod receive;
mod resolve;
mod send;
mod topic;
mod usage;
mod verifiable;

use environment::Environment;
use resolve::Resolver;

/// Which of the package's programs this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `krs`, with subcommands; but the sender or receiver if it is called through a link of that name.
    Krs,
    /// `sender`, which is `krs send`.
    Sender,
    /// `receiver`, which is `krs receive`.
    Receiver,
}

/// Runs a program from its arguments and environment to its exit code.
pub fn main(program: Program) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(run(program, arguments, &Environment::of_process()))
}

/// What was typed.
#[derive(Debug, Parser)]
#[command(name = "krs", args_override_self = true, propagate_version = true)]
struct Krs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(alias = "sender")]
    Send(send::Typed),
    #[command(alias = "receiver")]
    Receive(receive::Typed),
    #[cfg(feature = "devbroker")]
    Demo(demo::Typed),
    #[cfg(feature = "devbroker")]
    Broker(broker::Typed),
    #[cfg(feature = "bench")]
    Bench(bench::Typed),
    Topic(topic::Typed),
    Group(group::Typed),
    // For harnesses, not for people.
    #[command(hide = true)]
    VerifiableProducer(verifiable::TypedProducer),
    #[command(hide = true)]
    VerifiableConsumer(verifiable::TypedConsumer),
}

/// What to do, with everything that it needs.
#[derive(Debug)]
struct Plan {
    job: Job,
    /// The value of `RUST_LOG`.
    filter: String,
    format: Format,
    /// Told in the log before anything else.
    warnings: Vec<String>,
}

#[derive(Debug)]
enum Job {
    Send(sender::Options),
    SendLines(lines::Options),
    Receive(receiver::Options),
    #[cfg(feature = "devbroker")]
    Demo(crate::service::demo::Options),
    #[cfg(feature = "devbroker")]
    Broker(crate::devbroker::Options),
    #[cfg(feature = "bench")]
    Bench(crate::bench::Task),
    Operate(crate::operate::Task),
    VerifiableProducer(crate::service::verifiable::producer::Options),
    VerifiableConsumer(crate::service::verifiable::consumer::Options),
    /// Prints a text on standard output: help, the version, the list of properties.
    Print(String),
}

fn run(program: Program, arguments: Vec<OsString>, environment: &Environment) -> u8 {
    let program = acting_as(program, arguments.first().map(OsString::as_os_str));
    let command = match parse(program, arguments) {
        Ok(command) => command,
        Err(Refusal::Help(help)) => return written(program, help.print()),
        Err(Refusal::Print(text)) => return print(program, &text),
        Err(Refusal::Usage(error)) => return report(program, Format::Text, &error),
    };
    let plan = match resolve(&command, environment) {
        Ok(plan) => plan,
        Err(error) => return report(program, command.format().unwrap_or_default(), &error),
    };
    if let Job::Print(text) = &plan.job {
        return print(program, text);
    }
    match start(program, &plan) {
        Ok(code) => code,
        Err(error) => report(program, plan.format, &error),
    }
}

fn start(program: Program, plan: &Plan) -> Result<u8> {
    logging::init(&plan.filter, plan.format)?;
    for warning in &plan.warnings {
        log::warn!(target: "krs", "{warning}");
    }
    let stop = Stop::new();
    // What an operator asks for once has nothing to flush: a signal ends it as it ends any program.
    let once = matches!(&plan.job, Job::Operate(task) if !task.is_lasting());
    if !once {
        stop.on_signals()?;
    }
    match &plan.job {
        Job::Send(options) => sender::run(options, &stop).map(|totals| totals.exit_code()),
        Job::SendLines(options) => lines::run(options, &stop).map(|totals| totals.exit_code()),
        Job::Receive(options) => receiver::run(options, &stop).map(|totals| totals.exit_code()),
        #[cfg(feature = "devbroker")]
        Job::Demo(options) => {
            let summary = crate::service::demo::run(options, &stop)?;
            let told = match plan.format {
                Format::Text => summary.to_string(),
                // Numbers alone cannot fail.
                Format::Json => serde_json::to_string(&summary).unwrap_or_default(),
            };
            Ok(print(program, &told).max(summary.exit_code()))
        }
        #[cfg(feature = "devbroker")]
        Job::Broker(options) => crate::service::broker::run(options, &stop).map(|()| 0),
        #[cfg(feature = "bench")]
        Job::Bench(task) => crate::bench::run(task, &stop),
        Job::VerifiableProducer(options) => crate::service::verifiable::producer::run(options, &stop).map(|()| 0),
        Job::VerifiableConsumer(options) => crate::service::verifiable::consumer::run(options, &stop).map(|()| 0),
        Job::Operate(task) => {
            let mut write = |text: &str| {
                let mut out = io::stdout().lock();
                writeln!(out, "{text}").and_then(|()| out.flush())
            };
            crate::operate::run(task, &stop, &mut write).map(|()| 0)
        }
        Job::Print(text) => Ok(print(program, text)),
    }
}

/// Why there is nothing to start.
#[derive(Debug)]
enum Refusal {
    Usage(Error),
    Help(clap::Error),
    Print(String),
}

impl Command {
    /// Whether it was asked for the list of properties.
    fn lists_properties(&self) -> bool {
        let kafka = match self {
            Self::Send(typed) => &typed.kafka,
            Self::Receive(typed) => &typed.kafka,
            #[cfg(feature = "devbroker")]
            Self::Demo(_) | Self::Broker(_) => return false,
            Self::VerifiableProducer(_) | Self::VerifiableConsumer(_) => return false,
            Self::Topic(typed) => typed.kafka(),
            Self::Group(typed) => typed.kafka(),
            #[cfg(feature = "bench")]
            Self::Bench(typed) => match typed.kafka() {
                Some(kafka) => kafka,
                None => return false,
            },
        };
        kafka.lists_properties()
    }

    fn format(&self) -> Result<Format> {
        match self {
            Self::Send(typed) => typed.output.format(),
            Self::Receive(typed) => typed.output.format(),
            #[cfg(feature = "devbroker")]
            Self::Demo(typed) => typed.output.format(),
            #[cfg(feature = "devbroker")]
            Self::Broker(typed) => typed.output.format(),
            #[cfg(feature = "bench")]
            Self::Bench(typed) => typed.output().map_or(Ok(Format::Text), |output| output.format()),
            Self::Topic(_) | Self::Group(_) => Ok(Format::Text),
            Self::VerifiableProducer(_) | Self::VerifiableConsumer(_) => Ok(Format::Text),
        }
    }

    /// The properties that its service sets where the user does not.
    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Send(_) => sender::DEFAULTS,
            Self::Receive(_) => receiver::DEFAULTS,
            #[cfg(feature = "devbroker")]
            Self::Demo(_) | Self::Broker(_) => &[],
            #[cfg(feature = "bench")]
            Self::Bench(_) => &[],
            Self::Topic(_) | Self::Group(_) => crate::operate::DEFAULTS,
            Self::VerifiableProducer(_) | Self::VerifiableConsumer(_) => &[],
        }
    }
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Krs => "krs",
            Self::Sender => "sender",
            Self::Receiver => "receiver",
        }
    }

    /// The command line it takes, with its help.
    fn definition(self) -> clap::Command {
        let definition = match self {
            Self::Krs => Krs::command()
                .about("Sends to and receives from Apache Kafka.")
                .after_help(usage::KRS_EXAMPLES)
                .mut_subcommand("send", |send| send.after_help(usage::send_examples("krs send")))
                .mut_subcommand("receive", |receive| receive.after_help(usage::receive_examples("krs receive"))),
            Self::Sender => usage::standalone::<send::Typed>("sender", usage::send_examples("sender")),
            Self::Receiver => usage::standalone::<receive::Typed>("receiver", usage::receive_examples("receiver")),
        };
        definition.version(env!("CARGO_PKG_VERSION")).long_version(usage::LONG_VERSION)
    }
}

/// `krs` called through a link named `sender` or `receiver` is that service.
fn acting_as(program: Program, called: Option<&OsStr>) -> Program {
    let name = called.and_then(|called| Path::new(called).file_stem()).and_then(OsStr::to_str);
    match (program, name) {
        (Program::Krs, Some("sender")) => Program::Sender,
        (Program::Krs, Some("receiver")) => Program::Receiver,
        _ => program,
    }
}

/// The first step: what was typed.
fn parse(program: Program, arguments: Vec<OsString>) -> Result<Command, Refusal> {
    let help = usage::where_to_ask(program, &arguments);
    let refusal = |error| usage::refusal(program, &help, error);
    let matches = program.definition().try_get_matches_from(arguments).map_err(refusal)?;
    match program {
        Program::Krs => Krs::from_arg_matches(&matches).map(|krs| krs.command),
        Program::Sender => send::Typed::from_arg_matches(&matches).map(Command::Send),
        Program::Receiver => receive::Typed::from_arg_matches(&matches).map(Command::Receive),
    }
    .map_err(refusal)
}

/// The second step: what it means.
fn resolve(command: &Command, environment: &Environment) -> Result<Plan> {
    let resolver = Resolver::new(environment);
    let format = command.format()?;
    let mut filter = resolver.log_filter()?;
    let job = if command.lists_properties() {
        Job::Print(usage::properties(command.defaults()))
    } else {
        match command {
            Command::Send(typed) if typed.sends_lines() => Job::SendLines(typed.resolve_lines(&resolver)?),
            Command::Send(typed) => Job::Send(typed.resolve(&resolver)?),
            Command::Receive(typed) => Job::Receive(typed.resolve(&resolver, format)?),
            #[cfg(feature = "devbroker")]
            Command::Demo(typed) => Job::Demo(typed.resolve(&resolver, format)?),
            #[cfg(feature = "devbroker")]
            Command::Broker(typed) => Job::Broker(typed.resolve(&resolver)?),
            #[cfg(feature = "bench")]
            Command::Bench(typed) => Job::Bench(typed.resolve(&resolver, format)?),
            Command::VerifiableProducer(typed) => Job::VerifiableProducer(typed.resolve(&resolver)?),
            Command::VerifiableConsumer(typed) => Job::VerifiableConsumer(typed.resolve(&resolver)?),
            Command::Topic(typed) => Job::Operate(typed.resolve(&resolver)?),
            Command::Group(typed) => Job::Operate(typed.resolve(&resolver)?),
        }
    };
    // What goes wrong on the way to a result is no news if the result comes, and part of the error if it does not.
    if matches!(job, Job::Operate(_)) && filter.is_empty() {
        filter = "error".to_owned();
    }
    Ok(Plan { job, filter, format, warnings: resolver.warnings() })
}

/// Tells an error on standard error, in one line, and returns the exit code that goes with it.
fn report(program: Program, format: Format, error: &Error) -> u8 {
    /// As the log has it.
    #[derive(Serialize)]
    struct Object<'a> {
        timestamp: &'a str,
        level: &'a str,
        target: &'a str,
        message: &'a str,
    }
    let plain = format!("{}: {error}", program.name());
    let line = match format {
        Format::Text => plain,
        Format::Json => serde_json::to_string(&Object {
            timestamp: &logging::timestamp(time::OffsetDateTime::now_utc()),
            level: "ERROR",
            target: program.name(),
            message: &error.to_string(),
        })
        .unwrap_or(plain),
    };
    // Nowhere to report to if even this fails.
    let _ = writeln!(io::stderr().lock(), "{line}");
    error.exit_code()
}

fn print(program: Program, text: &str) -> u8 {
    let mut out = io::stdout().lock();
    written(program, writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()))
}

/// A reader that has seen enough (`| head`) is no failure.
fn written(program: Program, outcome: io::Result<()>) -> u8 {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let error = Error::new(ErrorKind::Io, format!("cannot write to standard output: {error}"));
            report(program, Format::Text, &error)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
