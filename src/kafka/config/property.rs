//! One property that the client acts on: its name, its type, its limits, and how a text becomes its value.

use std::marker::PhantomData;
use std::time::Duration;

use super::address::Address;

/// The kind of client that a property belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Every client.
    Common,
    /// Producers.
    Producer,
    /// Consumers.
    Consumer,
}

/// What there is to know of a property: one row of the list of all properties.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Property {
    /// Kafka's name of it.
    pub name: &'static str,
    /// Other names that mean the same, most of them librdkafka's.
    pub aliases: &'static [&'static str],
    /// The kind of client that it belongs to.
    pub scope: Scope,
    /// The default; empty if there is none.
    pub default: &'static str,
    /// The environment variable that sets it for the services; empty if there is none.
    pub variable: &'static str,
    /// What it does, in one line.
    pub meaning: &'static str,
    pub(super) example: &'static str,
    pub(super) range: (i64, i64),
    pub(super) values: fn(&Property) -> String,
    pub(super) check: fn(&Property, &str) -> Result<(), String>,
}

impl Property {
    /// What it can be set to: a unit and a range, or the list of values.
    pub fn values(&self) -> String {
        (self.values)(self)
    }

    /// A right value, for messages.
    pub(super) fn example(&self) -> &'static str {
        if self.example.is_empty() { self.default } else { self.example }
    }

    fn limits(&self) -> String {
        let (least, most) = self.range;
        if most == i64::MAX { format!("{least} or more") } else { format!("{least} to {most}") }
    }

    /// A whole number within the limits; `unit` completes "a whole number".
    fn number(&self, text: &str, unit: &str) -> Result<i64, String> {
        number(text, unit, self.range).map_err(|fault| match fault {
            NumberFault::Form(why) => why,
            NumberFault::Range => format!("out of range, {} is possible", self.limits()),
        })
    }
}

/// Why a text is not the number it should be.
pub(crate) enum NumberFault {
    /// It is no whole number.
    Form(String),
    /// It is too large or too small.
    Range,
}

/// A whole number within `range` (inclusive); `unit` (" of milliseconds" or nothing) completes "a whole number".
pub(crate) fn number(text: &str, unit: &str, (least, most): (i64, i64)) -> Result<i64, NumberFault> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        let with_unit = digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').chars().all(char::is_alphabetic);
        let hint = if with_unit && !unit.is_empty() { ", written without a unit" } else { "" };
        return Err(NumberFault::Form(format!("not a whole number{unit}{hint}")));
    }
    match text.parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(NumberFault::Range),
    }
}

/// A property together with the type of its value.
pub(crate) struct Typed<T> {
    pub(super) about: Property,
    value: PhantomData<fn() -> T>,
}

impl<T: Value> Typed<T> {
    pub(super) const fn new(mut about: Property) -> Self {
        about.values = T::values;
        about.check = |about, text| T::parse(about, text).map(drop);
        Self { about, value: PhantomData }
    }
}

/// The row that a table entry completes.
pub(super) const BLANK: Property = Property {
    name: "",
    aliases: &[],
    scope: Scope::Common,
    default: "",
    variable: "",
    meaning: "",
    example: "",
    range: (i64::MIN, i64::MAX),
    values: |_| String::new(),
    check: |_, _| Ok(()),
};

/// What a property's text is read as. Errors say why the text is wrong, without the text.
pub(crate) trait Value: Sized {
    fn parse(about: &Property, text: &str) -> Result<Self, String>;
    fn values(about: &Property) -> String;
}

/// A year: longer durations could overflow the clock.
const FOR_EVER: Duration = Duration::from_secs(366 * 86_400);

impl Value for Duration {
    fn parse(about: &Property, text: &str) -> Result<Self, String> {
        // No range of a duration admits negative numbers; the table's tests make sure of it.
        about.number(text, " of milliseconds").map(|ms| Self::from_millis(ms.unsigned_abs()).min(FOR_EVER))
    }

    fn values(about: &Property) -> String {
        format!("milliseconds, {}", about.limits())
    }
}

macro_rules! integer_value {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn parse(about: &Property, text: &str) -> Result<Self, String> {
                let number = about.number(text, if about.name.contains("bytes") { " of bytes" } else { "" })?;
                Self::try_from(number).map_err(|_| "too large for this machine".to_owned())
            }

            fn values(about: &Property) -> String {
                format!("{}, {}", if about.name.contains("bytes") { "bytes" } else { "number" }, about.limits())
            }
        }
    )*};
}

integer_value!(i32, u32, usize);

/// A size in bytes whose property has no "bytes" in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) usize);

impl Value for Bytes {
    fn parse(about: &Property, text: &str) -> Result<Self, String> {
        let number = about.number(text, " of bytes")?;
        usize::try_from(number).map(Self).map_err(|_| "too large for this machine".to_owned())
    }

    fn values(about: &Property) -> String {
        format!("bytes, {}", about.limits())
    }
}

/// A size given in units of 1024 bytes, kept in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kibibytes(pub(crate) usize);

impl Value for Kibibytes {
    fn parse(about: &Property, text: &str) -> Result<Self, String> {
        let number = about.number(text, " of kilobytes")?;
        let bytes = usize::try_from(number).ok().and_then(|number| number.checked_mul(1024));
        bytes.map(Self).ok_or_else(|| "too large for this machine".to_owned())
    }

    fn values(about: &Property) -> String {
        format!("kilobytes, {}", about.limits())
    }
}

/// The size of a socket's buffer; `None` leaves it to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketBuffer(pub(crate) Option<usize>);

impl Value for SocketBuffer {
    fn parse(about: &Property, text: &str) -> Result<Self, String> {
        let number = about.number(text, " of bytes")?;
        Ok(Self(usize::try_from(number).ok().filter(|&size| size > 0)))
    }

    fn values(about: &Property) -> String {
        format!("bytes, {}, -1 and 0 leave it to the system", about.limits())
    }
}

impl Value for bool {
    fn parse(_: &Property, text: &str) -> Result<Self, String> {
        match text {
            _ if text.eq_ignore_ascii_case("true") => Ok(true),
            _ if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err("neither true nor false".to_owned()),
        }
    }

    fn values(_: &Property) -> String {
        "true or false".to_owned()
    }
}

impl Value for String {
    fn parse(_: &Property, text: &str) -> Result<Self, String> {
        if text.len() > i16::MAX as usize {
            Err("longer than the protocol allows".to_owned())
        } else {
            Ok(text.to_owned())
        }
    }

    fn values(_: &Property) -> String {
        "text".to_owned()
    }
}

/// `None` stands for the empty text, which is the default of properties of this type.
impl Value for Option<String> {
    fn parse(about: &Property, text: &str) -> Result<Self, String> {
        String::parse(about, text).map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    fn values(about: &Property) -> String {
        String::values(about)
    }
}

impl Value for Vec<Address> {
    fn parse(_: &Property, text: &str) -> Result<Self, String> {
        Address::parse_list(text)
    }

    fn values(_: &Property) -> String {
        "host:port, several separated by commas".to_owned()
    }
}

/// A value out of a fixed set. Names are compared without regard to case, class names without their package.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// What stands for what; the first name of a value is the one to show.
    const NAMES: &'static [(&'static str, Self)];
    /// Values that other clients know and this one does not provide yet.
    const UNBUILT: &'static [&'static str] = &[];
    /// What the refusal of such a value says besides.
    const UNBUILT_REASON: &'static str = "not built yet";

    fn choose(text: &str) -> Result<Self, String> {
        let is = |name: &str| {
            let class =
                if text.starts_with("org.apache.kafka.") { text.rsplit('.').next().unwrap_or(text) } else { text };
            name.eq_ignore_ascii_case(class)
        };
        if let Some(&(_, value)) = Self::NAMES.iter().find(|(name, _)| is(name)) {
            return Ok(value);
        }
        if Self::UNBUILT
            .iter()
            .any(|name| is(name) || name.strip_suffix('*').is_some_and(|start| text.starts_with(start)))
        {
            return Err(format!("{}, {} is possible", Self::UNBUILT_REASON, Self::listed()));
        }
        Err(format!("not one of {}", Self::listed()))
    }

    /// Every value by its first name: "a, b or c".
    fn listed() -> String {
        let mut names: Vec<&str> = Vec::new();
        for (i, (name, value)) in Self::NAMES.iter().enumerate() {
            if Self::NAMES[..i].iter().all(|(_, earlier)| earlier != value) {
                names.push(name);
            }
        }
        match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => names.concat(),
        }
    }
}

impl<T: Choice> Value for T {
    fn parse(_: &Property, text: &str) -> Result<Self, String> {
        T::choose(text)
    }

    fn values(_: &Property) -> String {
        T::listed()
    }
}

/// Several choices in order of preference, separated by commas.
impl<T: Choice> Value for Vec<T> {
    fn parse(_: &Property, text: &str) -> Result<Self, String> {
        let mut choices = Vec::new();
        for place in text.split(',').map(str::trim).filter(|place| !place.is_empty()) {
            let choice = T::choose(place).map_err(|why| format!("{}: {why}", super::given::shown(place)))?;
            if !choices.contains(&choice) {
                choices.push(choice);
            }
        }
        if choices.is_empty() { Err("names none".to_owned()) } else { Ok(choices) }
    }

    fn values(_: &Property) -> String {
        format!("{}; several separated by commas", T::listed())
    }
}
