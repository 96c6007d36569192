//! From what was typed to what it means: a flag beats the environment, which beats the default.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::environment::Environment;
use crate::kafka::config::property::{self, NumberFault};
use crate::kafka::config::{Given, Scope, names};
use crate::logging::Filter;
use crate::{Config, Error, Result};

/// Reads flags and variables, and remembers which variables of ours were looked for in vain.
pub(super) struct Resolver<'a> {
    environment: &'a Environment,
    unset: RefCell<Vec<&'static str>>,
}

/// A flag that can also be given by a variable.
pub(super) struct Source<'a> {
    pub(super) flag: &'static str,
    pub(super) typed: Option<&'a OsString>,
    /// Empty if there is none.
    pub(super) variable: &'static str,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Self { environment, unset: RefCell::default() }
    }

    /// What the flag says, else the variable.
    pub(super) fn given(&self, source: &Source<'_>) -> Result<Option<Given>> {
        match flag(source.flag, source.typed)? {
            Some(given) => Ok(Some(given)),
            None => self.variable(source.variable),
        }
    }

    /// Milliseconds, 0 or more.
    pub(super) fn millis(&self, source: &Source<'_>, default: Duration) -> Result<Duration> {
        let Some(given) = self.given(source)? else { return Ok(default) };
        let example = default.as_millis().to_string();
        let ms = number(&given, " of milliseconds", (0, i64::from(i32::MAX)), &example)?;
        Ok(Duration::from_millis(ms.unsigned_abs()))
    }

    /// A number of things, 1 or more.
    pub(super) fn count(&self, source: &Source<'_>, most: i64, example: &str) -> Result<Option<u64>> {
        let Some(given) = self.given(source)? else { return Ok(None) };
        number(&given, "", (1, most), example).map(|count| Some(count.unsigned_abs()))
    }

    /// A number of bytes, 0 or more.
    #[cfg(feature = "bench")]
    pub(super) fn size(&self, source: &Source<'_>, most: i64, example: &str) -> Result<Option<usize>> {
        let Some(given) = self.given(source)? else { return Ok(None) };
        let size = number(&given, " of bytes", (0, most), example)?;
        Ok(usize::try_from(size).ok())
    }

    /// Partitions or replicas: 1 or more, or -1 for what the broker is set to.
    pub(super) fn layout<T: TryFrom<i64>>(
        &self,
        source: &Source<'_>,
        default: T,
        most: i64,
        example: &str,
    ) -> Result<T> {
        let Some(given) = self.given(source)? else { return Ok(default) };
        let impossible =
            || given.error(format!("1 to {most} is possible, or -1 for what the broker is set to"), example);
        let number = number(&given, "", (-1, most), example)?;
        if number == 0 { Err(impossible()) } else { T::try_from(number).map_err(|_| impossible()) }
    }

    /// A topic's name that Kafka allows.
    pub(super) fn topic(&self, source: &Source<'_>) -> Result<Option<String>> {
        let Some(given) = self.given(source)? else { return Ok(None) };
        match names::topic_fault(given.value()) {
            Some(why) => Err(given.error(why, crate::service::DEFAULT_TOPIC)),
            None => Ok(Some(given.value().to_owned())),
        }
    }

    /// Lets a flag or variable set a Kafka property that `-X` may have set already.
    pub(super) fn property(&self, config: Config, name: &str, source: &Source<'_>) -> Result<Config> {
        match (config.has(name), source.typed) {
            (true, Some(_)) => Err(Error::config(format!(
                "{} and -X set the same property {name}; leave one of them out",
                source.flag
            ))),
            (true, None) => Ok(config),
            (false, _) => match self.given(source)? {
                Some(given) => config.set_from(name, given.value(), &given.place()),
                None => Ok(config),
            },
        }
    }

    /// The value of `RUST_LOG`, if it is a right one.
    pub(super) fn log_filter(&self) -> Result<String> {
        let filter = self.variable("RUST_LOG")?.map(|given| given.value().to_owned()).unwrap_or_default();
        Filter::parse(&filter)?;
        Ok(filter)
    }

    /// What to tell the user before anything starts.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.environment.misspelt(&self.unset.borrow())
    }

    fn variable(&self, name: &'static str) -> Result<Option<Given>> {
        if name.is_empty() {
            return Ok(None);
        }
        let given = self.environment.variable(name)?;
        if given.is_none() {
            self.unset.borrow_mut().push(name);
        }
        Ok(given)
    }
}

/// What a flag says.
pub(super) fn flag(name: &str, typed: Option<&OsString>) -> Result<Option<Given>> {
    typed.map(|value| text(name, value).map(|value| Given::elsewhere(name, value))).transpose()
}

/// The properties that were typed with `-X`, in their order: the last one of a name counts.
pub(super) fn properties(typed: &[OsString]) -> Result<Config> {
    let mut config = Config::new();
    for property in typed {
        let property = text("-X", property)?;
        let Some((name, value)) = property.split_once('=') else {
            // What was typed may be a secret without its name.
            return Err(Error::config("-X needs name=value; for example -X linger.ms=5, and -X list names them all"));
        };
        config = config.set_from(name.trim(), value, "-X")?;
    }
    Ok(config)
}

/// Checks that no two values that the user set contradict each other, before anything starts.
pub(super) fn checked(config: Config, scope: Scope) -> Result<Config> {
    config.check(scope)?;
    Ok(config)
}

fn text<'a>(flag: &str, value: &'a OsStr) -> Result<&'a str> {
    value.to_str().ok_or_else(|| {
        let shown = if flag == "-X" { String::new() } else { format!(" {}", value.to_string_lossy().escape_debug()) };
        Error::config(format!("{flag}{shown}: the value is not UTF-8"))
    })
}

pub(super) fn number(given: &Given, unit: &str, range: (i64, i64), example: &str) -> Result<i64> {
    property::number(given.value().trim(), unit, range).map_err(|fault| match fault {
        _ if given.value().trim().is_empty() => given.error("the value is empty", example),
        NumberFault::Form(why) => given.error(why, example),
        NumberFault::Range => given.error(format!("out of range, {} to {} is possible", range.0, range.1), example),
    })
}
