//! The recording as a file, and what differs from it.
//!
//! A block is a line `Api v4 v5 v5@6: title` and below it, indented, the outcome; versions with one outcome share a
//! block. `v5@6` is version 5 in the pass of the stream for version 6 of another API.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::num::ParseIntError;
use std::str::FromStr;

const INDENT: &str = "    ";
/// How many lines are shown before and after one that differs.
const AROUND: usize = 3;

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

/// What differs, as a text for people; nothing if nothing does. Versions that differ in the same way are told together.
pub fn compare(expected: &[Step], got: &[Step]) -> Option<String> {
    let by_key = |steps: &[Step]| -> BTreeMap<Key, String> {
        steps.iter().map(|step| (step.key.clone(), step.outcome.trim_end().to_owned())).collect()
    };
    let (recorded, answered) = (by_key(expected), by_key(got));
    let mut differences = Vec::new();
    for Step { key, .. } in got {
        match recorded.get(key) {
            Some(expected) if *expected == answered[key] => {}
            Some(expected) => differences.push((key, lines_that_differ(expected, &answered[key]))),
            None => differences.push((key, format!("{INDENT}not in the recording\n"))),
        }
    }
    for key in recorded.keys().filter(|key| !answered.contains_key(key)) {
        differences.push((key, format!("{INDENT}in the recording alone\n")));
    }
    let mut alike: Vec<(&Key, String, &str)> = Vec::new();
    let mut apis = BTreeMap::<&str, usize>::new();
    for (key, difference) in &differences {
        *apis.entry(&key.api).or_default() += 1;
        let known = alike
            .iter_mut()
            .find(|(other, _, text)| (&other.api, &other.title, *text) == (&key.api, &key.title, difference));
        match known {
            Some((_, versions, _)) => write!(versions, " {}", key.version).expect("a string takes everything"),
            None => alike.push((key, key.version.to_string(), difference)),
        }
    }
    let mut text = String::new();
    for (key, versions, difference) in alike {
        write!(text, "{} {versions}: {}\n{difference}", key.api, key.title).expect("a string takes everything");
    }
    let apis: Vec<_> = apis.iter().map(|(api, count)| format!("{api} {count}")).collect();
    let (count, all) = (differences.len(), got.len());
    (count > 0).then(|| format!("{text}\n{count} of {all} steps differ (- recorded, + now): {}\n", apis.join(", ")))
}

/// Both texts line by line; what only the first has is marked `-`, what only the second has `+`, with a little of what is
/// around it.
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
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    let mut text = String::new();
    for (at, (mark, line)) in lines.iter().enumerate() {
        let around = &lines[at.saturating_sub(AROUND)..lines.len().min(at + AROUND + 1)];
        if around.iter().any(|(mark, _)| *mark != ' ') {
            writeln!(text, "  {mark} {line}").expect("a string takes everything");
        } else if !text.ends_with("…\n") {
            writeln!(text, "    …").expect("a string takes everything");
        }
    }
    text
}
