//! The recording as a file, and what differs from it.
//!
//! A block is a line `Api v4 v5 v5@6: title` and below it, indented, the outcome; versions with one outcome share a
//! block. `v5@6` is version 5 in the pass of the stream for version 6 of another API.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::num::ParseIntError;
use std::str::FromStr;

const INDENT: &str = "    ";

/// One request of the stream and what came of it.
#[derive(Clone)]
pub struct Step {
    pub key: Key,
    pub outcome: String,
}

/// Names a step; no two have the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub api: String,
    pub title: String,
    pub version: Version,
}

/// The version of a request, and of which version the pass of the stream is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub pass: i16,
    pub own: i16,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.api, self.version, self.title)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pass, own } = self;
        if pass == own { write!(f, "v{own}") } else { write!(f, "v{own}@{pass}") }
    }
}

impl FromStr for Version {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (own, pass) = text.split_once('@').unwrap_or((text, text));
        Ok(Self { pass: pass.parse()?, own: own.parse()? })
    }
}

/// The recording of these steps.
pub fn write(head: &str, steps: &[Step]) -> String {
    let mut out = head.to_owned();
    let mut written = BTreeSet::new();
    for step in steps {
        if written.contains(&step.key) {
            continue;
        }
        let same = steps.iter().filter(|other| {
            (&other.key.api, &other.key.title, &other.outcome) == (&step.key.api, &step.key.title, &step.outcome)
        });
        write!(out, "\n{}", step.key.api).expect("a string takes everything");
        for other in same {
            write!(out, " {}", other.key.version).expect("a string takes everything");
            written.insert(other.key.clone());
        }
        writeln!(out, ": {}", step.key.title).expect("a string takes everything");
        for line in step.outcome.lines() {
            writeln!(out, "{INDENT}{line}").expect("a string takes everything");
        }
    }
    out
}

/// The steps of a recording, not in order.
pub fn read(recording: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut block = 0;
    for line in recording.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(line) = line.strip_prefix(INDENT) {
            for step in &mut steps[block..] {
                step.outcome.push_str(line);
                step.outcome.push('\n');
            }
            continue;
        }
        block = steps.len();
        let (head, title) = line.split_once(": ").unwrap_or_else(|| panic!("no heading of a step: {line}"));
        let (api, versions) = head.split_once(" v").unwrap_or_else(|| panic!("no heading of a step: {line}"));
        for version in versions.split(" v") {
            let version = version.parse().unwrap_or_else(|_| panic!("no version: {line}"));
            let key = Key { api: api.to_owned(), title: title.to_owned(), version };
            steps.push(Step { key, outcome: String::new() });
        }
    }
    steps
}

/// What differs, as a text for people; nothing if nothing does.
pub fn compare(expected: &[Step], got: &[Step]) -> Option<String> {
    let by_key = |steps: &[Step]| -> BTreeMap<Key, String> {
        steps.iter().map(|step| (step.key.clone(), step.outcome.trim_end().to_owned())).collect()
    };
    let (expected, got_by_key) = (by_key(expected), by_key(got));
    let mut text = String::new();
    let mut apis: BTreeMap<&str, usize> = BTreeMap::new();
    for Step { key, .. } in got {
        let got = &got_by_key[key];
        let difference = match expected.get(key) {
            Some(expected) if expected == got => continue,
            Some(expected) => lines_that_differ(expected, got),
            None => format!("{INDENT}not in the recording\n"),
        };
        *apis.entry(&key.api).or_default() += 1;
        write!(text, "{key}\n{difference}").expect("a string takes everything");
    }
    for key in expected.keys().filter(|key| !got_by_key.contains_key(key)) {
        *apis.entry(&key.api).or_default() += 1;
        writeln!(text, "{key}\n{INDENT}in the recording alone").expect("a string takes everything");
    }
    let count: usize = apis.values().sum();
    let apis: Vec<_> = apis.iter().map(|(api, count)| format!("{api} {count}")).collect();
    (count > 0)
        .then(|| format!("{text}\n{count} of {} steps differ (- recorded, + now): {}\n", got.len(), apis.join(", ")))
}

/// Both texts line by line; what only the first has is marked `-`, what only the second has `+`.
fn lines_that_differ(expected: &str, got: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), got.lines().collect());
    // `common[i][j]`: how many lines `old[i..]` and `new[j..]` share, in order.
    let mut common = vec![vec![0usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        let (mark, line) = if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            (' ', old[i - 1])
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ('-', old[i - 1])
        } else {
            j += 1;
            ('+', new[j - 1])
        };
        writeln!(text, "  {mark} {line}").expect("a string takes everything");
    }
    text
}
