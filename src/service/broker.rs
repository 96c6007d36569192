//! `krs broker`: the development broker until it is told to end.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::Stop;
use crate::Result;
use crate::devbroker::{DevBroker, Options};

/// Runs a broker until the stop is asked for, and says on standard output what to type next.
///
/// # Errors
/// It cannot start: an impossible option, a taken port, a data directory that cannot be used.
pub fn run(options: &Options, stop: &Stop) -> Result<()> {
    let broker = DevBroker::start(options.clone())?;
    greet(&greeting(&broker.bootstrap(), options));
    while !stop.wait(std::time::Duration::from_secs(3600)) {}
    log::info!(target: "broker", "Stopping");
    broker.stop();
    Ok(())
}

/// The broker serves, whoever reads this.
fn greet(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        log::debug!(target: "broker", "cannot write to standard output: {error}");
    }
}

fn greeting(bootstrap: &str, options: &Options) -> String {
    let (first, defaults) = (bootstrap.split(',').next().unwrap_or_default(), ["localhost:9092", "127.0.0.1:9092"]);
    let prefix = if defaults.contains(&bootstrap) { String::new() } else { format!("KAFKA_BROKERS={bootstrap} ") };
    let number = match options.brokers {
        1 => "A development broker".to_owned(),
        more => format!("{more} development brokers"),
    };
    let mut text = format!(
        "{number} at {bootstrap}, speaking Kafka {}'s protocol. {}\n\nNext, each in a terminal of its own:\n",
        options.version.name(),
        where_kept(options),
    );
    for command in [format!("{prefix}krs receive"), format!("{prefix}krs send"), format!("kcat -b {first} -L")] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {command}");
    }
    text.push_str(
        "\nFor development only: one process, no replication, no security. The same commands run unchanged against an\n\
         Apache Kafka cluster: KAFKA_BROKERS=broker-1:9092,broker-2:9092 krs send. Ctrl-C ends it.\n",
    );
    text
}

fn where_kept(options: &Options) -> String {
    let most = options.retention_bytes >> 20;
    match &options.data_dir {
        None => format!("It keeps up to {most} MiB in memory."),
        Some(directory) => format!("It keeps up to {most} MiB, in memory and in {}.", directory.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_type_next_can_be_typed() {
        let text = greeting("127.0.0.1:9092", &Options::default());
        assert!(text.contains("\n  krs receive\n  krs send\n  kcat -b 127.0.0.1:9092 -L\n"), "{text}");
        let text = greeting("127.0.0.1:7001,127.0.0.1:7002", &Options::default());
        assert!(text.contains("\n  KAFKA_BROKERS=127.0.0.1:7001,127.0.0.1:7002 krs send\n"), "{text}");
    }
}
