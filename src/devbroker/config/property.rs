//! A property: what it may be set to, and how Kafka says so.

use super::super::partition::Refused;
use crate::kafka::protocol::ErrorCode;

/// A property of a topic or a broker.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Property {
    pub(in super::super) name: &'static str,
    pub(in super::super) kind: Kind,
    /// As DescribeConfigs tells it; none is null.
    pub(in super::super) default: Option<&'static str>,
    pub(in super::super) allowed: Allowed,
}

/// What kind of value a property has, by the numbers of DescribeConfigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Boolean = 1,
    Text = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
}

/// Which values of its kind a property takes.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Allowed {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// A level of gzip: 1 to 9, or -1.
    Gzip,
    /// One of these, or of a list each.
    Of(&'static [&'static str]),
    /// `*`, or pairs of a partition and a broker, as `0:1,1:2`.
    Replicas,
}

impl Property {
    pub(super) const fn new(name: &'static str, kind: Kind, default: &'static str, allowed: Allowed) -> Self {
        Self { name, kind, default: Some(default), allowed }
    }

    pub(super) const fn unset(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, default: None, allowed: Allowed::Any }
    }

    /// A value in the form in which it is shown.
    ///
    /// # Errors
    /// INVALID_CONFIG, in Kafka's words.
    pub(in super::super) fn read(&self, given: &str) -> Result<String, Refused> {
        let trimmed = given.trim();
        match self.kind {
            Kind::Boolean => match trimmed.to_ascii_lowercase() {
                read if read == "true" || read == "false" => Ok(read),
                _ => Err(self.invalid(given, "Expected value to be either true or false")),
            },
            Kind::Text => self.check_word(trimmed).map(|()| trimmed.to_owned()),
            Kind::Int => self.whole(given, trimmed.parse::<i32>().ok().map(i64::from), "INT"),
            Kind::Short => self.whole(given, trimmed.parse::<i16>().ok().map(i64::from), "SHORT"),
            Kind::Long => self.whole(given, trimmed.parse::<i64>().ok(), "LONG"),
            Kind::Double => {
                let number = trimmed.parse::<f64>().ok().filter(|number| number.is_finite());
                let number = number.ok_or_else(|| self.invalid(given, "Not a number of type DOUBLE"))?;
                let shown = shown(number);
                self.check_range(number, &shown)?;
                Ok(shown)
            }
            Kind::List => self.list(trimmed),
        }
    }

    fn whole(&self, given: &str, number: Option<i64>, kind: &str) -> Result<String, Refused> {
        let number = number.ok_or_else(|| self.invalid(given, &format!("Not a number of type {kind}")))?;
        let shown = number.to_string();
        // Exact, for the bounds are small and a number that rounds to one of them is far beyond it.
        self.check_range(number as f64, &shown)?;
        Ok(shown)
    }

    fn check_range(&self, number: f64, shown: &str) -> Result<(), Refused> {
        let (low, high) = match self.allowed {
            Allowed::AtLeast(low) => (Some(low), None),
            Allowed::Between(low, high) => (Some(low), Some(high)),
            Allowed::Gzip if number == -1.0 || (1.0..=9.0).contains(&number) => (None, None),
            Allowed::Gzip => return Err(self.invalid(shown, "Value must be between 1 and 9 or equal to -1")),
            _ => (None, None),
        };
        match (low, high) {
            (Some(low), _) if number < low as f64 => Err(self.invalid(shown, &format!("Value must be at least {low}"))),
            (_, Some(high)) if number > high as f64 => {
                Err(self.invalid(shown, &format!("Value must be no more than {high}")))
            }
            _ => Ok(()),
        }
    }

    fn check_word(&self, word: &str) -> Result<(), Refused> {
        match self.allowed {
            Allowed::Of(words) if !words.contains(&word) => {
                Err(self.invalid(word, &format!("String must be one of: {}", words.join(", "))))
            }
            _ => Ok(()),
        }
    }

    fn list(&self, trimmed: &str) -> Result<String, Refused> {
        let mut parts: Vec<&str> = match trimmed {
            "" => Vec::new(),
            some => some.split(',').map(str::trim).collect(),
        };
        match self.allowed {
            Allowed::Of(_) => {
                for part in &parts {
                    if part.is_empty() {
                        let text = format!("Configuration '{}' values must not be empty.", self.name);
                        return Err(Refused::new(ErrorCode::INVALID_CONFIG, text));
                    }
                    self.check_word(part)?;
                }
                parts = distinct(&parts);
            }
            Allowed::Replicas => {
                while parts.last().is_some_and(|part| part.is_empty()) {
                    parts.pop();
                }
                let pair = |part: &&str| {
                    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                    part.split_once(':').is_some_and(|(partition, broker)| number(partition) && number(broker))
                };
                if parts != ["*"] && !parts.iter().all(pair) {
                    let text = format!(
                        "{} must be the literal '*' or a list of replicas in the following format: \
                         [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                        self.name
                    );
                    return Err(self.invalid(&format!("[{}]", parts.join(", ")), &text));
                }
            }
            _ => {}
        }
        Ok(parts.join(","))
    }

    fn invalid(&self, value: &str, why: &str) -> Refused {
        let text = format!("Invalid value {value} for configuration {}: {why}", self.name);
        Refused::new(ErrorCode::INVALID_CONFIG, text)
    }
}

/// Each part once, where it is first.
fn distinct<'a>(parts: &[&'a str]) -> Vec<&'a str> {
    let first = parts.iter().enumerate().filter(|(at, part)| !parts[..*at].contains(part));
    first.map(|(_, part)| *part).collect()
}

/// A number as Java prints it.
fn shown(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, power)) if digits.contains('.') => format!("{digits}E{power}"),
        Some((digits, power)) => format!("{digits}.0E{power}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(property: &Property, given: &str) -> String {
        let refused = property.read(given).unwrap_err();
        assert_eq!(refused.code, ErrorCode::INVALID_CONFIG);
        refused.message.unwrap()
    }

    #[test]
    fn values_are_shown_in_one_form_however_they_were_given() {
        let long = Property::new("retention.ms", Kind::Long, "1", Allowed::AtLeast(-1));
        assert_eq!(long.read(" 7 ").unwrap(), "7");
        assert_eq!(long.read("+5").unwrap(), "5");
        assert_eq!(long.read("9223372036854775807").unwrap(), "9223372036854775807");
        let boolean = Property::new("preallocate", Kind::Boolean, "false", Allowed::Any);
        assert_eq!(boolean.read("TRUE ").unwrap(), "true");
        let double = Property::new("ratio", Kind::Double, "0.5", Allowed::Between(0, 1));
        assert_eq!(double.read("1e-1").unwrap(), "0.1");
        assert_eq!(double.read("1").unwrap(), "1.0");
        let list = Property::new("cleanup.policy", Kind::List, "delete", Allowed::Of(&["compact", "delete"]));
        assert_eq!(list.read(" delete, compact,delete").unwrap(), "delete,compact");
        assert_eq!(list.read("").unwrap(), "");
    }

    #[test]
    fn what_a_property_does_not_take_is_refused_in_the_words_of_kafka() {
        let long = Property::new("retention.ms", Kind::Long, "1", Allowed::AtLeast(-1));
        assert_eq!(refusal(&long, "x"), "Invalid value x for configuration retention.ms: Not a number of type LONG");
        assert_eq!(refusal(&long, "-2"), "Invalid value -2 for configuration retention.ms: Value must be at least -1");
        let double = Property::new("ratio", Kind::Double, "0.5", Allowed::Between(0, 1));
        assert_eq!(
            refusal(&double, "99999999999"),
            "Invalid value 9.9999999999E10 for configuration ratio: Value must be no more than 1"
        );
        let gzip = Property::new("level", Kind::Int, "-1", Allowed::Gzip);
        assert_eq!(gzip.read("-1").unwrap(), "-1");
        assert_eq!(
            refusal(&gzip, "0"),
            "Invalid value 0 for configuration level: Value must be between 1 and 9 or equal to -1"
        );
        let list = Property::new("cleanup.policy", Kind::List, "delete", Allowed::Of(&["compact", "delete"]));
        assert_eq!(
            refusal(&list, "delete,bogus"),
            "Invalid value bogus for configuration cleanup.policy: String must be one of: compact, delete"
        );
        assert_eq!(refusal(&list, "delete,"), "Configuration 'cleanup.policy' values must not be empty.");
        let boolean = Property::new("preallocate", Kind::Boolean, "false", Allowed::Any);
        assert_eq!(
            refusal(&boolean, " 7 "),
            "Invalid value  7  for configuration preallocate: Expected value to be either true or false"
        );
    }

    #[test]
    fn throttled_replicas_are_a_star_or_pairs() {
        let replicas = Property::new("throttled", Kind::List, "", Allowed::Replicas);
        for good in ["", "*", "0:1", "0:1,1:2", "0:1, 1:2", "0:1,"] {
            assert!(replicas.read(good).is_ok(), "{good}");
        }
        for bad in ["none", "*,0:1", "0:a", "0", ":", "0:1:2"] {
            assert!(replicas.read(bad).is_err(), "{bad}");
        }
        assert!(
            refusal(&replicas, "*,0:1").starts_with("Invalid value [*, 0:1] for configuration throttled: throttled")
        );
    }
}
