//! The README's tables against the code, so that neither changes without the other.
//!
//! `UPDATE_README=1 cargo test --test readme` writes the table of properties anew.
#![cfg(all(feature = "bench", feature = "compression", feature = "services"))]

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use krs::service::{receiver, sender};
use krs::{Config, Property, Scope};

const BEGIN: &str = "<!-- properties -->\n";
const END: &str = "<!-- /properties -->";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// The property tables as the README should have them.
fn properties() -> String {
    let mut text = String::new();
    for (scope, title) in
        [(Scope::Common, "All clients"), (Scope::Producer, "Producers"), (Scope::Consumer, "Consumers")]
    {
        write!(text, "\n**{title}**\n\n| property | default | values | meaning |\n| --- | --- | --- | --- |\n")
            .unwrap();
        for property in Config::properties().iter().filter(|property| property.scope == scope) {
            let mut names = format!("`{}`", property.name);
            for alias in property.aliases {
                write!(names, "<br>`{alias}`").unwrap();
            }
            let (default, values) = (default(property), property.values().replace('|', "\\|"));
            writeln!(text, "| {names} | {default} | {values} | {} |", property.meaning.replace('|', "\\|")).unwrap();
        }
    }
    text.push('\n');
    text
}

/// The client's default, and those of the services where they differ.
fn default(property: &Property) -> String {
    let mut text = match property.default {
        "" => "none".to_owned(),
        default => format!("`{default}`"),
    };
    for (service, defaults) in [("sender", sender::DEFAULTS), ("receiver", receiver::DEFAULTS)] {
        match defaults.iter().find(|(name, _)| *name == property.name) {
            Some((_, value)) if *value != property.default => write!(text, "<br>{service}: `{value}`").unwrap(),
            _ => {}
        }
    }
    if property.name == "bootstrap.servers" {
        text.push_str("<br>programs: `localhost:9092`");
    }
    text
}

#[test]
fn the_readme_lists_every_property_with_its_defaults() {
    let readme = read("README.md");
    let begin = readme.find(BEGIN).expect("the README marks where the properties begin") + BEGIN.len();
    let end = readme.find(END).expect("the README marks where the properties end");
    let expected = properties();
    if env::var_os("UPDATE_README").is_some() {
        fs::write(path("README.md"), format!("{}{expected}{}", &readme[..begin], &readme[end..])).unwrap();
        return;
    }
    assert_eq!(readme[begin..end], expected, "UPDATE_README=1 cargo test --test readme writes the table anew");
}

/// The cells of every row below this heading, up to the next one.
fn rows(readme: &str, heading: &str) -> Vec<Vec<String>> {
    let begin = readme.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = &readme[begin + heading.len() + 2..];
    let level = heading.split(' ').next().unwrap();
    let end = section.find(&format!("\n{level} ")).unwrap_or(section.len());
    let rows = section[..end].lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    rows.map(|row| cells(row)[1..].to_vec())
        .map(|mut row| {
            row.pop();
            row
        })
        .collect()
}

/// The words in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_readme_lists_every_flag_and_variable_with_its_default() {
    let readme = read("README.md");
    let rows = rows(&readme, "### Settings");
    for service in ["send", "receive"] {
        let output = Command::new(env!("CARGO_BIN_EXE_krs"))
            .args([service, "--help"])
            .env_clear()
            .env("COLUMNS", "300")
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let mut flags = 0;
        // A flag's paragraph begins with the flag and ends before the next.
        let mut paragraph = String::new();
        for line in help.lines().chain(["  --end"]) {
            let starts = line.trim_start().starts_with('-');
            if !starts {
                write!(paragraph, " {}", line.trim()).unwrap();
                continue;
            }
            let flag = paragraph.split([' ', ',']).find(|word| word.starts_with("--") || *word == "-X");
            if let Some(flag) = flag.filter(|flag| !["--help", "--version"].contains(flag)) {
                flags += 1;
                let of_service = |row: &&Vec<String>| {
                    row[2] == "both" || row[2] == if service == "send" { "sender" } else { "receiver" }
                };
                let row = rows
                    .iter()
                    .filter(of_service)
                    .find(|row| quoted(&row[1]).any(|word| word.split(' ').next() == Some(flag)))
                    .unwrap_or_else(|| panic!("{flag} of krs {service} is not in the README"));
                assert_eq!(quoted(&row[0]).next(), bracketed(&paragraph, "env"), "the variable of {flag}");
                let default = bracketed(&paragraph, "default").filter(|default| !default.starts_with("goes on"));
                let shown = quoted(&row[3]).next().or(Some(&*row[3])).filter(|cell| !["", "none"].contains(cell));
                assert_eq!(shown, default, "the default of {flag}");
            }
            paragraph = line.trim().to_owned();
        }
        assert!(flags >= 8, "only {flags} flags were found in {help}");
    }
}

/// The value of `[name: value]`.
fn bracketed<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("[{name}: "))?;
    rest.split(']').next()
}

#[test]
fn the_readme_gives_a_reason_for_every_direct_dependency() {
    let manifest = read("Cargo.toml");
    let mut dependencies = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside && !line.starts_with('#')) {
            dependencies.insert(name.trim().to_owned());
        }
    }
    let readme = read("README.md");
    let rows = rows(&readme, "## Dependencies");
    let listed: BTreeSet<_> = rows.iter().flat_map(|row| quoted(&row[0]).map(str::to_owned)).collect();
    assert_eq!(listed, dependencies);
    assert!(rows.iter().all(|row| !row.last().unwrap().is_empty()));
}

#[test]
fn the_readme_names_the_rust_version_that_is_tested() {
    let manifest = read("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(read("README.md").contains(&format!("**Rust {version}** or newer")));
}
