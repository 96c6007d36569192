//! The file of topics: one line for each topic, setting and partition.
//!
//! ```text
//! topic greetings nMn8gKbcRPWu8R0ZB4n3Hw
//! set retention.ms 60000
//! partition 1,2
//! partition 2,1
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::devbroker::cluster::bad_topic_name;
use crate::kafka::protocol::Uuid;

/// A topic as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::devbroker) struct SavedTopic {
    pub(in crate::devbroker) name: String,
    pub(in crate::devbroker) id: Uuid,
    /// Of each partition; none of them is empty.
    pub(in crate::devbroker) replicas: Vec<Vec<i32>>,
    /// By Kafka's names.
    pub(in crate::devbroker) settings: BTreeMap<String, String>,
}

pub(super) fn print(topics: &[SavedTopic]) -> String {
    let mut text = String::new();
    for topic in topics {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "topic {} {}", topic.name, topic.id);
        for (name, value) in &topic.settings {
            let _ = writeln!(text, "set {} {}", name.escape_default(), value.escape_default());
        }
        for replicas in &topic.replicas {
            let ids: Vec<String> = replicas.iter().map(i32::to_string).collect();
            let _ = writeln!(text, "partition {}", ids.join(","));
        }
    }
    text
}

/// # Errors
/// Which line is wrong.
pub(super) fn parse(text: &str) -> Result<Vec<SavedTopic>, String> {
    let mut topics: Vec<SavedTopic> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let wrong = || format!("line {number}: {}", line.chars().take(80).collect::<String>().escape_debug());
        let (kind, rest) = line.split_once(' ').ok_or_else(wrong)?;
        match (kind, topics.last_mut()) {
            ("topic", _) => {
                let topic = begin(rest).ok_or_else(wrong)?;
                if topics.iter().any(|other| other.name == topic.name || other.id == topic.id) {
                    return Err(wrong());
                }
                topics.push(topic);
            }
            ("set", Some(topic)) => {
                let (name, value) = rest.split_once(' ').ok_or_else(wrong)?;
                topic.settings.insert(unescape(name).ok_or_else(wrong)?, unescape(value).ok_or_else(wrong)?);
            }
            ("partition", Some(topic)) => {
                let ids: Result<Vec<i32>, _> = rest.split(',').map(str::parse).collect();
                topic.replicas.push(ids.map_err(|_| wrong())?);
            }
            _ => return Err(wrong()),
        }
    }
    Ok(topics)
}

fn begin(rest: &str) -> Option<SavedTopic> {
    let (name, id) = rest.split_once(' ')?;
    let id = id.parse().ok()?;
    bad_topic_name(name).is_none().then(|| SavedTopic {
        name: name.to_owned(),
        id,
        replicas: Vec::new(),
        settings: BTreeMap::new(),
    })
}

/// Takes back what `escape_default` did.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            out.push(next);
            continue;
        }
        out.push(match rest.next()? {
            't' => '\t',
            'r' => '\r',
            'n' => '\n',
            'u' => {
                let digits = rest.as_str().strip_prefix('{')?.split_once('}')?.0;
                rest = rest.as_str()[digits.len() + 2..].chars();
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            same @ ('\\' | '\'' | '"') => same,
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn saved() -> impl Strategy<Value = SavedTopic> {
        let replicas = vec(vec(0..9i32, 1..4), 0..4);
        ("[a-zA-Z0-9._-]{3,20}", any::<[u8; 16]>(), replicas, btree_map("[a-z.]{1,9}", ".{0,9}|\n\t", 0..3))
            .prop_map(|(name, id, replicas, settings)| SavedTopic { name, id: Uuid(id), replicas, settings })
    }

    proptest! {
        #[test]
        fn topics_come_back_as_they_were(mut topics in vec(saved(), 0..5)) {
            topics.sort_by(|a, b| a.name.cmp(&b.name));
            topics.dedup_by(|a, b| a.name == b.name || a.id == b.id);
            prop_assert_eq!(parse(&print(&topics)), Ok(topics));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "((topic|set|partition)? ?.{0,30}\n){0,5}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn a_line_that_is_wrong_is_named() {
        let topic = "topic a AAAAAAAAAAAAAAAAAAAAAA\n";
        for wrong in ["partition 1\n", "topic a/b AAAAAAAAAAAAAAAAAAAAAA\n", "topic a AAAA\n", "\n", "toast 1\n"] {
            assert!(parse(wrong).unwrap_err().starts_with("line 1: "), "{wrong}");
        }
        for wrong in ["partition x\n", "set a\n", "set a \\q\n", topic] {
            assert!(parse(&format!("{topic}{wrong}")).unwrap_err().starts_with("line 2: "), "{wrong}");
        }
    }
}
