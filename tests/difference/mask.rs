//! Decoded answers as text, without what differs from run to run: ids, times, hosts, and the suffix that makes the
//! stream's names its own. An id that the stream knows by name is shown by that name, so that it is still compared whether
//! it is the same one.
//!
//! It works on the `Debug` form, which every message has.

use std::collections::HashMap;
use std::fmt::{Debug, Write};

use krs::kafka::protocol::Uuid;

/// Text no longer than this stays on one line.
const WIDTH: usize = 110;
/// Strings longer than this are shown by their length.
const LONG: usize = 200;

/// Fields that are shown only where they tell something: tagged fields, which most answers do without.
const TELLING: &[&str] = &["diverging_epoch", "current_leader", "snapshot_id", "node_endpoints"];

pub struct Mask {
    /// Text and what stands for it; the longest first.
    texts: Vec<(String, String)>,
    /// Number of a field by name and value, and what stands for it.
    numbers: HashMap<(&'static str, i64), String>,
    node: i64,
}

enum Value {
    /// Fields in order.
    Struct(Vec<(String, Value)>),
    List(Vec<Value>),
    Text(String),
    Atom(String),
}

impl Mask {
    /// Of the stream whose names end with `suffix`.
    pub fn new(suffix: &str) -> Self {
        Self { texts: vec![(suffix.to_owned(), String::new())], numbers: HashMap::new(), node: i64::MIN }
    }

    /// The one broker's number.
    pub fn know_node(&mut self, node: i32) {
        self.node = node.into();
    }

    /// A text that differs from run to run. The last name counts.
    pub fn know_text(&mut self, text: &str, name: &str) {
        if !text.is_empty() {
            self.texts.retain(|(known, _)| known != text);
            self.texts.push((text.to_owned(), format!("<{name}>")));
            self.texts.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        }
    }

    pub fn know_id(&mut self, id: Uuid, name: &str) {
        if !id.is_zero() {
            self.know_text(&id.to_string(), name);
        }
    }

    /// A number in fields of this name.
    pub fn know_number(&mut self, field: &'static str, number: i64, name: &str) {
        if number > 0 {
            self.numbers.insert((field, number), format!("<{name}>"));
        }
    }

    /// The answer as text. `records` describes the fields `records` that are not null, in order.
    pub fn show(&self, answer: &impl Debug, records: &[String]) -> String {
        let text = format!("{answer:?}");
        let mut value = Parser { rest: &text, records: records.iter() }.value();
        self.mask("", &mut value);
        let mut out = String::new();
        render(&value, 0, &mut out);
        out
    }

    fn mask(&self, name: &str, value: &mut Value) {
        match value {
            Value::Struct(fields) => {
                fields.retain(|(name, value)| {
                    name != "throttle_time_ms" && !(TELLING.contains(&&**name) && is_untold(value))
                });
                fields.iter_mut().for_each(|(name, value)| self.mask(name, value));
            }
            Value::List(values) => {
                values.iter_mut().for_each(|value| self.mask(name, value));
                // Kafka keeps these in hash tables, so their order says nothing.
                if values.iter().any(|value| matches!(value, Value::Struct(_) | Value::Text(_))) {
                    values.sort_by_cached_key(one_line);
                }
            }
            Value::Text(text) => match name {
                "error_message"
                | "batch_index_error_message"
                | "documentation"
                | "host"
                | "client_host"
                | "cluster_id"
                    if !text.is_empty() =>
                {
                    *value = Value::Atom(
                        if name.ends_with("host") {
                            "<host>"
                        } else if name == "cluster_id" {
                            "<cluster>"
                        } else {
                            "<message>"
                        }
                        .to_owned(),
                    );
                }
                _ => *text = self.text(text),
            },
            Value::Atom(atom) => *atom = self.atom(name, atom),
        }
    }

    fn text(&self, text: &str) -> String {
        let named = self.texts.iter().fold(text.to_owned(), |text, (known, name)| text.replace(known, name));
        if named.len() > LONG {
            return format!("{}… {} bytes", named.chars().take(8).collect::<String>(), named.len());
        }
        match (0..named.len()).find(|&start| named.get(start..start + 36).is_some_and(is_uuid)) {
            Some(start) => format!("{}<uuid>{}", &named[..start], &named[start + 36..]),
            None => named,
        }
    }

    fn atom(&self, name: &str, atom: &str) -> String {
        let number = atom.parse::<i64>();
        match (name, number) {
            ("topic_id" | "member_id" | "directory_id", _) => match atom {
                "AAAAAAAAAAAAAAAAAAAAAA" => "<zero>".to_owned(),
                _ => {
                    self.texts.iter().find(|(text, _)| text == atom).map_or("<id>".to_owned(), |(_, name)| name.clone())
                }
            },
            ("port", Ok(1..)) => "<port>".to_owned(),
            ("log_append_time_ms" | "last_timestamp", Ok(0..)) => "<time>".to_owned(),
            ("finalized_features_epoch", Ok(0..)) => "<epoch>".to_owned(),
            (
                "node_id"
                | "leader_id"
                | "controller_id"
                | "broker_id"
                | "replica_nodes"
                | "isr_nodes"
                | "offline_replicas"
                | "eligible_leader_replicas"
                | "replicas",
                Ok(number),
            ) if number == self.node => "<node>".to_owned(),
            (_, Ok(number)) => self
                .numbers
                .iter()
                .find(|((field, known), _)| *field == name && *known == number)
                .map_or_else(|| atom.to_owned(), |(_, name)| name.clone()),
            _ => atom.to_owned(),
        }
    }
}

/// What such a field has when it does not travel.
fn is_untold(value: &Value) -> bool {
    match value {
        Value::Struct(fields) => fields.iter().all(|(_, value)| matches!(value, Value::Atom(atom) if atom == "-1")),
        Value::List(values) => values.is_empty(),
        Value::Text(_) | Value::Atom(_) => false,
    }
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

struct Parser<'a, 'r> {
    rest: &'a str,
    records: std::slice::Iter<'r, String>,
}

impl<'a> Parser<'a, '_> {
    fn value(&mut self) -> Value {
        if self.take("[") {
            let mut values = Vec::new();
            while !self.take("]") {
                values.push(self.value());
                self.take(", ");
            }
            return Value::List(values);
        }
        if self.take("Some(") {
            let value = self.value();
            assert!(self.take(")"), "at {}", self.rest);
            return value;
        }
        if self.rest.starts_with('"') {
            return Value::Text(self.text());
        }
        let atom = self.until(&[',', '}', ']', ')', '{']);
        if self.take("{ ") {
            let mut fields = Vec::new();
            while !self.take(" }") {
                let name = self.until(&[':']).to_owned();
                assert!(self.take(": "), "at {}", self.rest);
                let value = self.value();
                let value = match (&*name, value) {
                    ("records", Value::Atom(atom)) if atom != "null" => {
                        Value::Atom(self.records.next().cloned().unwrap_or(atom))
                    }
                    (_, value) => value,
                };
                fields.push((name, value));
                self.take(", ");
            }
            return Value::Struct(fields);
        }
        Value::Atom(if atom == "None" { "null".to_owned() } else { atom.to_owned() })
    }

    /// A string with its escapes as they are.
    fn text(&mut self) -> String {
        let mut escaped = false;
        let end = self.rest[1..].find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let (text, rest) = self.rest[1..].split_at(end.expect("a string ends"));
        self.rest = &rest[1..];
        text.to_owned()
    }

    /// What comes before one of these characters, without the space before it. Atoms may contain spaces.
    fn until(&mut self, ends: &[char]) -> &'a str {
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let atom = self.rest[..end].trim_end();
        let at = if self.rest[end..].starts_with('{') { end } else { atom.len() };
        self.rest = &self.rest[at..];
        atom
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

fn render(value: &Value, indent: usize, out: &mut String) {
    let line = one_line(value);
    if indent + line.len() <= WIDTH {
        out.push_str(&line);
        return;
    }
    let margin = " ".repeat(indent + 2);
    let (open, close) = match value {
        Value::Struct(_) => ('{', '}'),
        Value::List(_) => ('[', ']'),
        Value::Text(_) | Value::Atom(_) => return out.push_str(&line),
    };
    out.push(open);
    match value {
        Value::Struct(fields) => {
            for (name, value) in fields {
                write!(out, "\n{margin}{name}: ").expect("a string takes everything");
                render(value, indent + 2, out);
            }
        }
        Value::List(values) => {
            for value in values {
                write!(out, "\n{margin}").expect("a string takes everything");
                render(value, indent + 2, out);
            }
        }
        Value::Text(_) | Value::Atom(_) => {}
    }
    write!(out, "\n{}{close}", " ".repeat(indent)).expect("a string takes everything");
}

fn one_line(value: &Value) -> String {
    match value {
        Value::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {}", one_line(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::List(values) => format!("[{}]", values.iter().map(one_line).collect::<Vec<_>>().join(", ")),
        Value::Text(text) => format!("\"{text}\""),
        Value::Atom(atom) => atom.clone(),
    }
}
