//! What the members of a group want to read: topics by name, and by regular expressions.
//!
//! An expression is matched with the whole name, as RE2 does it. It is not matched while a heartbeat is answered but
//! after it, as Kafka does it in the background: the member that brought it gets its partitions with a later heartbeat.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use regex_lite::{Regex, RegexBuilder};

use super::super::super::partition::Refused;
use super::super::{Found, Topics};
use super::{Consumers, Member};
use crate::kafka::protocol::ErrorCode;

/// Expressions are not looked at again before this time is over.
const PAUSE: Duration = Duration::from_secs(10);

/// The memory that a compiled expression may take, in bytes; and the length of its text.
const MAX_COMPILED: usize = 1 << 20;
const MAX_TEXT: usize = 4096;

/// What an expression matched.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) topics: BTreeSet<String>,
    /// The state of all topics that it was matched with.
    pub(super) version: u64,
    pub(super) at: Instant,
}

/// What a heartbeat means for the expressions of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// The member has another expression, and what it matches is not known yet.
    Open,
    /// The member has another expression or none, and what it matches is known.
    Known,
}

impl Consumers {
    /// The topics that are there of those that somebody wants.
    pub(super) fn subscribed_topics(&self, topics: &dyn Topics) -> BTreeMap<String, Found> {
        let by_name = self.members.values().flat_map(|member| &member.names);
        let by_expression = self.expressions.values().flat_map(|resolved| &resolved.topics);
        by_name.chain(by_expression).filter_map(|name| Some((name.clone(), topics.find(name)?))).collect()
    }

    /// The topics that are there of those that this member wants.
    pub(super) fn topics_of(&self, member: &Member, topics: &dyn Topics) -> BTreeMap<String, Found> {
        let by_expression = self.expressions.get(&member.expression).into_iter().flat_map(|resolved| &resolved.topics);
        member.names.iter().chain(by_expression).filter_map(|name| Some((name.clone(), topics.find(name)?))).collect()
    }

    /// What the step from one expression to the other means, before it is made.
    ///
    /// # Errors
    /// INVALID_REGULAR_EXPRESSION.
    pub(super) fn check_expression(&self, before: &str, after: &str) -> Result<Change, Refused> {
        if before == after {
            return Ok(Change::None);
        }
        if after.is_empty() || self.expressions.contains_key(after) {
            return Ok(Change::Known);
        }
        if !self.members.values().any(|member| member.expression == after) {
            compile(after).map_err(|why| {
                let text = format!("SubscribedTopicRegex `{after}` is not a valid regular expression: {why}.");
                Refused::new(ErrorCode::INVALID_REGULAR_EXPRESSION, text)
            })?;
        }
        Ok(Change::Open)
    }

    /// When expressions were last matched.
    pub(super) fn last_resolved(&self) -> Option<Instant> {
        self.expressions.values().map(|resolved| resolved.at).max()
    }

    /// Forgets what nobody asks for any more.
    pub(super) fn forget_expressions(&mut self) {
        let used: BTreeSet<&String> = self.members.values().map(|member| &member.expression).collect();
        self.expressions.retain(|expression, _| used.contains(expression));
    }

    /// Matches the expressions of the members with the topics there are, if some were never matched or there are other
    /// topics now. The group's epoch goes up if the outcome is another.
    pub(super) fn resolve_expressions(&mut self, now: Instant, topics: &dyn Topics, last: Option<Instant>) {
        let used: BTreeSet<String> =
            self.members.values().map(|member| member.expression.clone()).filter(|used| !used.is_empty()).collect();
        let version = topics.version();
        let current = |expression| self.expressions.get(expression).is_some_and(|known| known.version == version);
        if used.iter().all(current) || last.is_some_and(|last| now <= last + PAUSE) {
            return;
        }
        let names = topics.names();
        let mut changed = false;
        for expression in used {
            let matched: BTreeSet<String> = match compile(&expression) {
                Ok(compiled) => names.iter().filter(|name| compiled.is_match(name)).cloned().collect(),
                Err(_) => BTreeSet::new(),
            };
            let before = self.expressions.insert(expression, Resolved { topics: matched.clone(), version, at: now });
            changed |= before.map(|before| before.topics).unwrap_or_default() != matched;
        }
        let there = self.subscribed_topics(topics);
        if changed || there != self.topics {
            self.epoch += 1;
            self.topics = there;
            self.compared = Some(version);
        }
    }
}

/// An expression that matches whole names.
fn compile(expression: &str) -> Result<Regex, String> {
    let build =
        |text: &str| RegexBuilder::new(text).size_limit(MAX_COMPILED).build().map_err(|error| error.to_string());
    if expression.len() > MAX_TEXT {
        return Err(format!("it is longer than {MAX_TEXT} bytes"));
    }
    // On its own first: what is no expression may become one in brackets.
    build(expression)?;
    build(&format!("^(?:{expression})$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_whole_names_and_must_be_one_by_itself() {
        let matches = |expression: &str, name: &str| compile(expression).unwrap().is_match(name);
        assert!(matches("orders-.*", "orders-eu"));
        assert!(!matches("orders-.*", "all-orders-eu"));
        assert!(!matches("orders", "orders-eu"));
        assert!(matches("a|b-[0-9]+", "b-17"));
        assert!(!matches("a|b", "ab"));
        assert!(matches("(?i)ORDERS", "orders"));
        for bad in ["(", "a)(b", "[", "*", "a{2,1}"] {
            assert!(compile(bad).is_err(), "{bad}");
        }
        assert!(compile(&"x".repeat(MAX_TEXT + 1)).is_err());
        assert!(compile("((a{1000}){1000}){1000}").is_err(), "it would take too much memory");
    }
}
