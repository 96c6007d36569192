//! What a user gave, and where: the words in which every complaint about a setting begins and ends.

use std::fmt;

use crate::kafka::error::Error;

/// Longer values are cut in messages.
const SHOWN_CHARACTERS: usize = 100;

/// One value as it was given: by a property, `-X`, a flag or an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    origin: Origin,
    value: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// A property set by a program.
    Property(String),
    /// `-X name=value`.
    Option(String),
    /// `--brokers value`.
    Flag(String),
    /// `KAFKA_BROKERS=value`.
    Variable(String),
}

impl Given {
    /// A value that `origin` gave to the property `name`: `-X`, a flag (`--brokers`), an environment variable
    /// (`KAFKA_BROKERS`), or the empty string for a property set by a program.
    pub(crate) fn new(origin: &str, name: &str, value: &str) -> Self {
        let origin = match origin {
            "" => Origin::Property(name.to_owned()),
            "-X" => Origin::Option(name.to_owned()),
            flag if flag.starts_with('-') => Origin::Flag(flag.to_owned()),
            variable => Origin::Variable(variable.to_owned()),
        };
        Self { origin, value: value.to_owned() }
    }

    /// A value that does not belong to a Kafka property: of a flag or an environment variable.
    #[cfg(feature = "services")]
    pub(crate) fn elsewhere(origin: &str, value: &str) -> Self {
        Self::new(origin, origin, value)
    }

    /// The value as given.
    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    /// "KAFKA_BROKERS=x: <why>; for example KAFKA_BROKERS=<example>".
    pub(crate) fn error(&self, why: impl fmt::Display, example: &str) -> Error {
        if example.is_empty() {
            return Error::config(format!("{self}: {why}"));
        }
        Error::config(format!("{self}: {why}; for example {}", self.with(example)))
    }

    /// The place alone, without the value: for values that may be secret.
    pub(crate) fn place(&self) -> String {
        match &self.origin {
            Origin::Property(name) => shown(name),
            Origin::Option(name) => format!("-X {}", shown(name)),
            Origin::Flag(flag) => flag.clone(),
            Origin::Variable(variable) => variable.clone(),
        }
    }

    /// Another value in the same place.
    fn with(&self, value: &str) -> String {
        let separator = if matches!(self.origin, Origin::Flag(_)) { ' ' } else { '=' };
        format!("{}{separator}{value}", self.place())
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with(&shown(&self.value)))
    }
}

/// A value fit for one line of text: quoted if it is empty or has blanks, escaped if it has control characters, cut if
/// it is long, and without the password if it is a URL that has one.
pub(crate) fn shown(value: &str) -> String {
    if let (Some(scheme), Some(at)) = (value.find("://"), value.rfind('@'))
        && scheme < at
    {
        return shown(&format!(
            "{}://***{}",
            &value[..scheme],
            value[at..].replacen("://", ":", 1).replacen('@', "", 1)
        ));
    }
    let cut: String = value.chars().take(SHOWN_CHARACTERS).collect();
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '\\';
    let mut text = if !cut.is_empty() && cut.chars().all(plain) { cut.clone() } else { format!("{cut:?}") };
    if cut.len() < value.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_origin_shows_the_value_and_the_example_in_its_own_form() {
        let error = |origin| Given::new(origin, "linger.ms", "abc").error("no number", "5").to_string();
        assert_eq!(error(""), "linger.ms=abc: no number; for example linger.ms=5");
        assert_eq!(error("-X"), "-X linger.ms=abc: no number; for example -X linger.ms=5");
        assert_eq!(error("--linger"), "--linger abc: no number; for example --linger 5");
        assert_eq!(error("LINGER_MS"), "LINGER_MS=abc: no number; for example LINGER_MS=5");
    }

    #[test]
    fn a_value_never_breaks_the_line() {
        assert_eq!(shown(""), "\"\"");
        assert_eq!(shown("a b"), "\"a b\"");
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert_eq!(shown(&"x".repeat(101)), format!("{}…", "x".repeat(100)));
    }
}
