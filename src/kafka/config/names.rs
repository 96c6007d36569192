//! What may be a topic's or a group's name, so that a wrong one is refused before the network.

use super::given::shown;
use crate::kafka::error::{Error, Result};

/// Kafka's limit for the name of a topic, so that its log's folder has a legal name too.
const MAX_TOPIC_LENGTH: usize = 249;

/// Checks a topic's name by Kafka's own rule: 1 to 249 of `a-z A-Z 0-9 . _ -`, neither `.` nor `..`.
pub(crate) fn check_topic(name: &str) -> Result<()> {
    match topic_fault(name) {
        Some(why) => Err(Error::config(format!("topic name {}: {why}; for example rust-messages", shown(name)))),
        None => Ok(()),
    }
}

/// Why this cannot be a topic's name; `None` if it can.
pub(crate) fn topic_fault(name: &str) -> Option<String> {
    let foreign = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if name.is_empty() {
        Some("a topic's name must not be empty".to_owned())
    } else if name == "." || name == ".." {
        Some("Kafka reserves this name".to_owned())
    } else if let Some(character) = name.chars().find(foreign) {
        Some(format!("{character:?} is not allowed in a topic's name, only letters a-z, A-Z, digits, '.', '_' and '-'"))
    } else if name.len() > MAX_TOPIC_LENGTH {
        Some(format!("{} characters, a topic's name has at most {MAX_TOPIC_LENGTH}", name.len()))
    } else {
        None
    }
}

/// Why this cannot be a group's name; `None` if it can. A broker takes every name but the empty one.
pub(crate) fn group_fault(name: &str) -> Option<String> {
    name.trim().is_empty().then(|| "a group's name must not be empty".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rule() {
        for good in ["a", "rust-messages", "a.b_c-D9", "...", &"x".repeat(249)] {
            assert!(check_topic(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ü", "a\n", "a:b", &"x".repeat(250)] {
            let error = check_topic(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        let text = check_topic("a/b").unwrap_err().to_string();
        assert!(text.starts_with("topic name a/b: '/' is not allowed"), "{text}");
    }

    #[test]
    fn only_an_empty_group_name_is_refused() {
        assert!(group_fault("").is_some() && group_fault("  ").is_some());
        assert_eq!(group_fault("ü / group"), None);
    }
}
