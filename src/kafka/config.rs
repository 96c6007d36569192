//! Settings by Kafka's own property names: read from strings, checked at once, and cross-checked when a client starts.
//!
//! A name that no Kafka client knows is an error with the nearest known name; a known one that has no effect here is
//! accepted and named in the log; a known one that asks for something not built yet is refused. No message of this
//! module repeats a value that could be a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::kafka::error::{Error, Result};
use crate::sync::lock;

mod address;
mod foreign;
pub(crate) mod given;
pub(crate) mod names;
pub(crate) mod property;
mod settings;
pub(crate) mod suggest;
mod table;

pub(crate) use address::Address;
pub(crate) use given::Given;
#[cfg(feature = "devbroker")]
pub(crate) use given::shown;
pub use property::{Property, Scope};
pub(crate) use settings::{
    AssignorKind, ClientSettings, ConsumerSettings, GroupProtocol, IsolationLevel, OffsetReset, PartitionerKind,
    ProducerSettings,
};

use foreign::Treatment;
use property::{Typed, Value};

/// The settings of a client, by the names that Kafka's Java client and librdkafka give them.
///
/// One `Config` can serve producers, consumers and admin clients alike: each takes what is its own.
///
/// ```
/// # fn main() -> krs::Result<()> {
/// let config = krs::Config::new().set("bootstrap.servers", "localhost:9092")?.set("linger.ms", 5)?;
/// assert_eq!(config.get("linger.ms"), Some("5"));
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Config {
    entries: BTreeMap<&'static str, Entry>,
    /// Accepted without effect, and why.
    ignored: BTreeMap<&'static str, &'static str>,
    /// What the log named already; shared by all copies, so that it is named once.
    told: Arc<Mutex<BTreeSet<&'static str>>>,
}

#[derive(Clone)]
struct Entry {
    given: Given,
    /// The value without surrounding blanks.
    text: String,
    /// Set by the user, not by `default_to`.
    set: bool,
}

impl Config {
    /// No settings but the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every property that has an effect, in the order of common, producer's and consumer's.
    pub fn properties() -> &'static [&'static Property] {
        table::ALL
    }

    /// Sets a property. Surrounding blanks do not count.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if no Kafka client knows the name, if it asks for something that
    /// is not built yet, or if the value is not possible. Values that contradict each other are found when a client
    /// starts.
    pub fn set(self, name: &str, value: impl ToString) -> Result<Self> {
        self.set_from(name, value, "")
    }

    /// As [`set`](Self::set), for a value from `origin`, by which errors then name it: `-X`, a flag (`--brokers`) or an
    /// environment variable (`KAFKA_BROKERS`).
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_from(mut self, name: &str, value: impl ToString, origin: &str) -> Result<Self> {
        self.insert(Given::new(origin, name, &value.to_string()), name, true)?;
        Ok(self)
    }

    /// Another default for a property: what the user sets, before or after, beats it, and it contradicts nothing.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn default_to(mut self, name: &str, value: impl ToString) -> Result<Self> {
        self.insert(Given::new("", name, &value.to_string()), name, false)?;
        Ok(self)
    }

    /// The value in force, by any of the property's names: what was set, or the default. `None` if there is neither, or
    /// if the property has no effect.
    pub fn get(&self, name: &str) -> Option<&str> {
        let property = find(name)?;
        let text = self.entries.get(property.name).map_or(property.default, |entry| &entry.text);
        Some(text).filter(|text| !text.is_empty())
    }

    /// Whether the user set this property, by any of its names.
    pub(crate) fn has(&self, name: &str) -> bool {
        find(name).and_then(|property| self.entries.get(property.name)).is_some_and(|entry| entry.set)
    }

    /// What the user set, by Kafka's own names, in the order of these.
    #[cfg(feature = "bench")]
    pub(crate) fn set_by_user(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.entries.iter().filter(|(_, entry)| entry.set).map(|(name, entry)| (*name, &*entry.text))
    }

    /// Without what belongs to the other kind of client.
    #[cfg(feature = "bench")]
    pub(crate) fn only(mut self, scope: Scope) -> Self {
        self.entries.retain(|name, _| find(name).is_some_and(|own| [Scope::Common, scope].contains(&own.scope)));
        self
    }

    fn insert(&mut self, given: Given, name: &str, set: bool) -> Result<()> {
        let text = given.value().trim().to_owned();
        if let Some(property) = find(name) {
            if text.contains('\0') {
                return Err(given.error("a NUL character is not possible", property.example()));
            }
            if text.is_empty() && !property.default.is_empty()
                || property.name == table::BOOTSTRAP_SERVERS.about.name && text.is_empty()
            {
                return Err(given.error("the value is empty", property.example()));
            }
            (property.check)(property, &text).map_err(|why| given.error(why, property.example()))?;
            let beaten = !set && self.entries.get(property.name).is_some_and(|entry| entry.set);
            if !beaten {
                self.entries.insert(property.name, Entry { given, text, set });
            }
            return Ok(());
        }
        match foreign::treatment(name) {
            Some((name, Treatment::Ignored(why))) => {
                self.ignored.insert(name, why);
                Ok(())
            }
            Some((_, Treatment::Only(values))) => {
                if values.iter().any(|value| value.eq_ignore_ascii_case(&text)) {
                    return Ok(());
                }
                Err(given.error(format!("not built yet, {} is possible", values.join(" or ")), values[0]))
            }
            Some((_, Treatment::Refused(what))) => {
                Err(Error::config(format!("{}: {what}: not built yet", given.place())))
            }
            Some((_, Treatment::Instead(what))) => Err(Error::config(format!("{}: here it is {what}", given.place()))),
            None => Err(unknown(&given, name)),
        }
    }

    /// The typed value in force.
    fn value<T: Value>(&self, property: &Typed<T>) -> Result<T> {
        let about = &property.about;
        let entry = self.entries.get(about.name);
        T::parse(about, entry.map_or(about.default, |entry| &entry.text)).map_err(|why| match entry {
            Some(entry) => entry.given.error(why, about.example()),
            None => Error::config(format!("{}: {why}", about.name)),
        })
    }

    fn is_set<T>(&self, property: &Typed<T>) -> bool {
        self.entries.get(property.about.name).is_some_and(|entry| entry.set)
    }

    /// What the user set it to, and where.
    fn given<T>(&self, property: &Typed<T>) -> Option<&Given> {
        self.entries.get(property.about.name).filter(|entry| entry.set).map(|entry| &entry.given)
    }

    /// Names in the log, once, what was set and has no effect on a client of this kind. A client that is neither producer
    /// nor consumer stands beside one of them, whose settings it carries, and leaves that to it.
    fn tell_unused(&self, scope: Scope) {
        let mut told = lock(&self.told);
        for (name, why) in &self.ignored {
            if told.insert(name) {
                log::warn!("{name} has no effect here: {why}");
            }
        }
        for property in table::ALL {
            let strange = ![property.scope, scope].contains(&Scope::Common) && property.scope != scope;
            if strange && self.has(property.name) && told.insert(property.name) {
                let kind = if property.scope == Scope::Producer { "producers" } else { "consumers" };
                log::info!("{} has no effect here: it belongs to {kind}", property.name);
            }
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries.iter().map(|(name, entry)| (name, given::shown(&entry.text)))).finish()
    }
}

fn find(name: &str) -> Option<&'static Property> {
    table::ALL.iter().copied().find(|property| property.name == name || property.aliases.contains(&name))
}

/// The value stays out of it: a misspelt `sasl.password` must not show what it was.
fn unknown(given: &Given, name: &str) -> Error {
    let own =
        table::ALL.iter().flat_map(|property| std::iter::once(property.name).chain(property.aliases.iter().copied()));
    let place = given.place();
    let hint = match suggest::nearest(name, own.chain(foreign::names())) {
        Some(nearest) => format!("; did you mean {nearest}?"),
        None if place.starts_with("-X") => "; -X list names those that have an effect".to_owned(),
        None => "; README.md lists those that have an effect".to_owned(),
    };
    Error::config(format!("{place}: no Kafka client knows this property{hint}"))
}

#[cfg(test)]
mod tests;
