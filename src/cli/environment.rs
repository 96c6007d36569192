//! The environment, as a value: tests bring their own.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::kafka::config::Given;
use crate::kafka::config::suggest;
use crate::{Error, Result};

/// All variables of a process.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    pub(super) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    #[cfg(test)]
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// A variable's value; an error if it is set and not UTF-8.
    pub(super) fn variable(&self, name: &str) -> Result<Option<Given>> {
        let Some(value) = self.0.get(&OsString::from(name)) else { return Ok(None) };
        match value.to_str() {
            Some(text) => Ok(Some(Given::elsewhere(name, text))),
            None => {
                Err(Error::config(format!("{name}={}: the value is not UTF-8", value.to_string_lossy().escape_debug())))
            }
        }
    }

    /// Warnings about variables that look like a misspelt one of `unset`, which are variables of ours that a user who
    /// knows their names would have set.
    pub(super) fn misspelt(&self, unset: &[&'static str]) -> Vec<String> {
        let slip = |name: &str| unset.iter().copied().find(|ours| looks_like(name, ours));
        let names = self.0.keys().filter_map(|name| name.to_str());
        names.filter_map(|name| slip(name).map(|ours| format!("{name} has no effect, did you mean {ours}?"))).collect()
    }
}

/// Whether `name` can hardly be anything but a slip for `ours`: another case or separator, up to two wrong letters, a
/// forgotten unit or a prefix too many.
///
/// Variables of other programs must not match: Kubernetes makes `KAFKA_PORT`, `KAFKA_BROKER_SERVICE_HOST` and the like
/// out of the names of services, and brokers are configured by `KAFKA_BROKER_ID`.
fn looks_like(name: &str, ours: &str) -> bool {
    let plain = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let core = plain.strip_prefix("KAFKA_").or_else(|| plain.strip_prefix("KRS_")).unwrap_or(&plain);
    let without_unit = ours.strip_suffix("_MS").unwrap_or(ours);
    let other_words = OTHER_WORDS.iter().any(|(words, meant)| *meant == ours && *words == plain);
    let near = suggest::distance(&plain.chars().collect::<Vec<_>>(), &ours.chars().collect::<Vec<_>>()) <= 2;
    name != ours && (near || core == ours || core == without_unit || other_words)
}

/// What other programs call it.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("BOOTSTRAP_SERVERS", "KAFKA_BROKERS"),
    ("BROKERS", "KAFKA_BROKERS"),
    ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BROKERS"),
    ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_BROKERS"),
    ("KAFKA_BROKER_LIST", "KAFKA_BROKERS"),
    ("KAFKA_TOPIC_NAME", "KAFKA_TOPIC"),
    ("CONSUMER_GROUP_ID", "CONSUMER_GROUP"),
    ("KAFKA_CONSUMER_GROUP_ID", "CONSUMER_GROUP"),
    ("KAFKA_GROUP", "CONSUMER_GROUP"),
    ("KAFKA_GROUP_ID", "CONSUMER_GROUP"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &[&str] = &[
        "KAFKA_BROKERS",
        "KAFKA_TOPIC",
        "SEND_INTERVAL_MS",
        "MESSAGE_TIMEOUT_MS",
        "CONSUMER_GROUP",
        "PRODUCER_ID",
        "STATS_INTERVAL_MS",
        "RUST_LOG",
    ];

    #[test]
    fn slips_are_noticed() {
        for (slip, meant) in [
            ("KAFKA_BROKER", "KAFKA_BROKERS"),
            ("KAKFA_BROKERS", "KAFKA_BROKERS"),
            ("kafka_brokers", "KAFKA_BROKERS"),
            ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_BROKERS"),
            ("KAFKA_TOPICS", "KAFKA_TOPIC"),
            ("SEND_INTERVAL", "SEND_INTERVAL_MS"),
            ("KAFKA_SEND_INTERVAL", "SEND_INTERVAL_MS"),
            ("MESSAGE_TIMEOUT", "MESSAGE_TIMEOUT_MS"),
            ("KAFKA_CONSUMER_GROUP", "CONSUMER_GROUP"),
            ("CONSUMERGROUP", "CONSUMER_GROUP"),
            ("PRODUCERID", "PRODUCER_ID"),
            ("RUSTLOG", "RUST_LOG"),
        ] {
            let found: Vec<_> = OURS.iter().filter(|ours| looks_like(slip, ours)).collect();
            assert_eq!(found, [&meant], "{slip}");
        }
    }

    #[test]
    fn variables_of_others_and_right_ones_are_not() {
        let others = [
            "KAFKA_PORT",
            "KAFKA_HOST",
            "KAFKA_HOME",
            "KAFKA_OPTS",
            "KAFKA_HEAP_OPTS",
            "KAFKA_SERVICE_HOST",
            "KAFKA_BROKER_ID",
            "KAFKA_BROKER_PORT",
            "KAFKA_BROKER_SERVICE_HOST",
            "KAFKA_NODE_ID",
            "KAFKA_CLUSTER_ID",
            "KAFKA_LISTENERS",
            "KAFKA_VERSION",
            "RUST_LOG_STYLE",
            "RUST_BACKTRACE",
            "RUSTFLAGS",
            "PATH",
            "HOME",
            "LANG",
            "TOPIC",
            "GROUP",
            "MESSAGE",
            "PRODUCER",
            "CONSUMER_ID",
            "GROUPS",
            "LOGNAME",
            "HOSTNAME",
            "TERM",
            "SHLVL",
            "PWD",
            "OLDPWD",
            "_",
            "",
        ];
        for name in others.iter().chain(OURS) {
            assert!(!OURS.iter().any(|ours| looks_like(name, ours)), "{name}");
        }
    }
}
