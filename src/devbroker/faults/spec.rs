//! Faults as they are written: `produce:error=NOT_LEADER_OR_FOLLOWER,every=50`.
//!
//! APIs and a colon, then items with commas between them. In names a comma or a backslash has a backslash before it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Deed, Fault};
use crate::Error;
use crate::clock::parse_duration;
use crate::kafka::config::shown;
use crate::kafka::config::suggest::nearest;
use crate::kafka::protocol::{ApiKey, ErrorCode};

const EXAMPLES: &str = "produce:error=NOT_LEADER_OR_FOLLOWER,every=50 or broker=2,down=5s,after=10s";

/// Items that say what goes wrong, and the others.
const DEEDS: [&str; 14] = [
    "error",
    "delay",
    "drop",
    "drop-inside",
    "drop-after",
    "truncate",
    "garble",
    "silence",
    "starve",
    "down",
    "cut",
    "move-leader",
    "move-coordinator",
    "expire-producers",
];
const LIMITS: [&str; 12] =
    ["after-work", "topic", "group", "client", "broker", "every", "next", "skip", "p", "seed", "after", "for"];

/// Every API at once.
const ANY: &str = "any";

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = parse(text).and_then(|fault| match fault.contradiction() {
            Some(why) => Err(why),
            None => Ok(fault),
        });
        parsed.map_err(|why| Error::config(format!("fault {}: {why}; for example {EXAMPLES}", shown(text))))
    }
}

fn parse(text: &str) -> Result<Fault, String> {
    let (apis, items) = match text.find([':', ',', '=']) {
        Some(at) if text[at..].starts_with(':') => (Some(&text[..at]), &text[at + 1..]),
        _ => (None, text),
    };
    let mut fault = Fault::new(Deed::Nothing);
    if let Some(apis) = apis.filter(|apis| !apis.trim().eq_ignore_ascii_case(ANY)) {
        for name in apis.split('+') {
            fault = fault.on(api(name.trim())?);
        }
    }
    let mut seen: Vec<String> = Vec::new();
    for item in split(items)? {
        let (key, value) = match item.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value)),
            None => (item.trim(), None),
        };
        if seen.iter().any(|other| other == key) {
            return Err(format!("{key} stands there twice"));
        }
        set(&mut fault, key, value)?;
        seen.push(key.to_owned());
    }
    if fault.deed == Deed::Nothing && fault.delay.is_zero() && !seen.iter().any(|key| key == "delay") {
        return Err(format!("it does not say what goes wrong: {}", DEEDS.join(", ")));
    }
    Ok(fault)
}

fn set(fault: &mut Fault, key: &str, value: Option<&str>) -> Result<(), String> {
    if let Some(deed) = deed(key, value)? {
        if fault.deed != Deed::Nothing {
            return Err(format!("{} and {key} cannot both go wrong; give two faults", Item(fault.deed)));
        }
        fault.deed = deed;
        return Ok(());
    }
    match key {
        "after-work" => fault.after_work = bare(key, value, true)?,
        "delay" => fault.delay = duration(key, value)?,
        "topic" => fault.topic = Some(given(key, value)?.to_owned()),
        "group" => fault.group = Some(given(key, value)?.to_owned()),
        "client" => fault.client = Some(given(key, value)?.to_owned()),
        "broker" => fault.broker = Some(number(key, value)?),
        "every" if given(key, value)?.trim().bytes().all(|byte| byte.is_ascii_digit()) => {
            fault.every = Some(number(key, value)?);
        }
        "every" => fault.again = Some(duration(key, value)?),
        "next" => fault.next = Some(number(key, value)?),
        "skip" => fault.skip = number(key, value)?,
        "p" => fault.probability = Some(number(key, value)?),
        "seed" => fault.seed = Some(number(key, value)?),
        "after" => fault.after = duration(key, value)?,
        "for" => fault.lasting = Some(duration(key, value)?),
        other => return Err(unknown("item", other, DEEDS.into_iter().chain(LIMITS))),
    }
    Ok(())
}

/// What goes wrong, if this item says it. A delay alone is none: it goes with all of them.
fn deed(key: &str, value: Option<&str>) -> Result<Option<Deed>, String> {
    let deed = match key {
        "error" => Deed::Error(code(given(key, value)?.trim())?),
        "down" => Deed::Down(duration(key, value)?),
        "truncate" if value.is_some() => Deed::Truncate(Some(number(key, value)?)),
        "truncate" => Deed::Truncate(None),
        "drop" => bare(key, value, Deed::Drop)?,
        "drop-inside" => bare(key, value, Deed::DropInside)?,
        "drop-after" => bare(key, value, Deed::DropAfter)?,
        "garble" => bare(key, value, Deed::Garble)?,
        "silence" => bare(key, value, Deed::Silence)?,
        "starve" => bare(key, value, Deed::Starve)?,
        "cut" => bare(key, value, Deed::Cut)?,
        "move-leader" => bare(key, value, Deed::MoveLeader)?,
        "move-coordinator" => bare(key, value, Deed::MoveCoordinator)?,
        "expire-producers" => bare(key, value, Deed::ExpireProducers)?,
        _ => return Ok(None),
    };
    Ok(Some(deed))
}

/// At the commas that have no backslash before them.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut items = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ',' => items.push(String::new()),
            '\\' => match characters.next() {
                Some(plain @ (',' | '\\')) => items.last_mut().expect("never empty").push(plain),
                _ => return Err("a backslash stands before a comma or another backslash".to_owned()),
            },
            plain => items.last_mut().expect("never empty").push(plain),
        }
    }
    items.retain(|item| !item.trim().is_empty());
    Ok(items)
}

fn api(name: &str) -> Result<ApiKey, String> {
    let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    let wanted = plain(name);
    let found = ApiKey::ALL.iter().copied().find(|api| plain(&format!("{api:?}")) == wanted);
    found.ok_or_else(|| {
        let names: Vec<_> = ApiKey::ALL.iter().map(|api| kebab(*api)).collect();
        unknown("API of Kafka", name, names.iter().map(String::as_str).chain([ANY]))
    })
}

fn code(name: &str) -> Result<ErrorCode, String> {
    if let Ok(number) = name.parse::<i16>() {
        return Ok(ErrorCode(number));
    }
    let wanted = name.replace('-', "_").to_ascii_uppercase();
    let names = || ErrorCode::ALL.iter().filter_map(|code| code.name());
    let found = ErrorCode::ALL.iter().find(|code| code.name() == Some(wanted.as_str()));
    found.copied().ok_or_else(|| {
        let part = names().find(|name| wanted.len() > 3 && name.contains(&wanted));
        match nearest(&wanted, names()).or(part) {
            Some(nearest) => format!("no error code of Kafka: {}; did you mean {nearest}?", shown(name)),
            None => format!("no error code of Kafka: {}: a name of its table or a number is possible", shown(name)),
        }
    })
}

fn unknown<'a>(what: &str, name: &str, possible: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(name, possible.clone()) {
        Some(nearest) => format!("no {what}: {}; did you mean {nearest}?", shown(name)),
        None if what == "item" => {
            format!("no {what}: {}; possible are {}", shown(name), possible.collect::<Vec<_>>().join(", "))
        }
        None => format!("no {what}: {}; possible are produce, fetch, metadata, join-group …, or {ANY}", shown(name)),
    }
}

fn given<'a>(key: &str, value: Option<&'a str>) -> Result<&'a str, String> {
    value.ok_or_else(|| format!("{key} needs a value: {key}={}", example(key)))
}

fn bare<T>(key: &str, value: Option<&str>, meaning: T) -> Result<T, String> {
    if value.is_some() { Err(format!("{key} takes no value")) } else { Ok(meaning) }
}

fn number<T: FromStr>(key: &str, value: Option<&str>) -> Result<T, String> {
    let value = given(key, value)?;
    value.trim().parse().map_err(|_| format!("{key}={} is not possible: {key}={}", shown(value), example(key)))
}

fn duration(key: &str, value: Option<&str>) -> Result<Duration, String> {
    let value = given(key, value)?;
    parse_duration(value.trim()).map_err(|why| format!("{key}={}: {why}", shown(value)))
}

fn example(key: &str) -> &'static str {
    match key {
        "error" => "NOT_LEADER_OR_FOLLOWER",
        "delay" => "200ms",
        "topic" | "group" | "client" => "NAME",
        "broker" => "1",
        "p" => "0.1",
        "truncate" => "6",
        "down" | "after" | "for" => "5s",
        _ => "3",
    }
}

/// As it is written in a fault: `find-coordinator`.
fn kebab(api: ApiKey) -> String {
    let mut name = String::new();
    for (at, letter) in format!("{api:?}").char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// A deed as an item.
struct Item(Deed);

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Deed::Nothing => Ok(()),
            Deed::Error(code) => match code.name() {
                Some(name) => write!(f, "error={name}"),
                None => write!(f, "error={}", code.0),
            },
            Deed::Drop => f.write_str("drop"),
            Deed::DropInside => f.write_str("drop-inside"),
            Deed::DropAfter => f.write_str("drop-after"),
            Deed::Truncate(None) => f.write_str("truncate"),
            Deed::Truncate(Some(bytes)) => write!(f, "truncate={bytes}"),
            Deed::Garble => f.write_str("garble"),
            Deed::Silence => f.write_str("silence"),
            Deed::Down(time) => write!(f, "down={}", Time(time)),
            Deed::Starve => f.write_str("starve"),
            Deed::Cut => f.write_str("cut"),
            Deed::MoveLeader => f.write_str("move-leader"),
            Deed::MoveCoordinator => f.write_str("move-coordinator"),
            Deed::ExpireProducers => f.write_str("expire-producers"),
        }
    }
}

struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms.is_multiple_of(1000) => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// As it is written on a command line.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_timed() || !self.apis.is_empty() {
            let names: Vec<_> = self.apis.iter().map(|api| kebab(*api)).collect();
            write!(f, "{}:", if names.is_empty() { ANY.to_owned() } else { names.join("+") })?;
        }
        let mut items: Vec<String> = Vec::new();
        if self.deed != Deed::Nothing {
            items.push(Item(self.deed).to_string());
        }
        let escaped = |name: &String| name.replace('\\', "\\\\").replace(',', "\\,");
        let positive = |time: Duration| Some(time).filter(|time| !time.is_zero());
        items.extend(self.after_work.then(|| "after-work".to_owned()));
        items.extend(positive(self.delay).map(|time| format!("delay={}", Time(time))));
        items.extend(self.topic.as_ref().map(|name| format!("topic={}", escaped(name))));
        items.extend(self.group.as_ref().map(|name| format!("group={}", escaped(name))));
        items.extend(self.client.as_ref().map(|name| format!("client={}", escaped(name))));
        items.extend(self.broker.map(|node| format!("broker={node}")));
        items.extend(self.every.map(|nth| format!("every={nth}")));
        items.extend(self.again.map(|time| format!("every={}", Time(time))));
        items.extend(self.next.map(|times| format!("next={times}")));
        items.extend((self.skip > 0).then(|| format!("skip={}", self.skip)));
        items.extend(self.probability.map(|p| format!("p={p}")));
        items.extend(self.seed.map(|seed| format!("seed={seed}")));
        items.extend(positive(self.after).map(|time| format!("after={}", Time(time))));
        items.extend(self.lasting.map(|time| format!("for={}", Time(time))));
        f.write_str(&items.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(text: &str) -> Fault {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(text: &str) -> String {
        text.parse::<Fault>().expect_err(text).to_string()
    }

    #[test]
    fn what_is_written_on_a_command_line_is_what_is_made_in_rust() {
        let (ms, seconds) = (Duration::from_millis, Duration::from_secs);
        let stale = ErrorCode::NOT_LEADER_OR_FOLLOWER;
        for (text, meant) in [
            ("produce:error=NOT_LEADER_OR_FOLLOWER,every=50", Fault::error(stale).on(ApiKey::Produce).every(50)),
            ("Produce:error=6", Fault::error(stale).on(ApiKey::Produce)),
            ("broker=2,down=5s,after=10s", Fault::down(seconds(5)).broker(2).after(seconds(10))),
            ("down=5s,every=30s,next=2", Fault::down(seconds(5)).repeated(seconds(30)).next(2)),
            ("fetch:delay=200ms,p=0.1", Fault::delay(ms(200)).on(ApiKey::Fetch).probability(0.1)),
            ("produce:drop-after,next=3", Fault::drop_after().on(ApiKey::Produce).next(3)),
            ("any:drop,broker=1,every=100", Fault::drop().broker(1).every(100)),
            ("drop", Fault::drop()),
            (
                "init-producer-id+FindCoordinator:silence",
                Fault::silence().on(ApiKey::InitProducerId).on(ApiKey::FindCoordinator),
            ),
            ("fetch:truncate=6,skip=2,for=1m", Fault::truncate_to(6).on(ApiKey::Fetch).skip(2).lasting(seconds(60))),
            ("any:garble,seed=7,group=a:b=c", Fault::garble().seed(7).group("a:b=c")),
            ("topic=t,move-leader,every=5s", Fault::move_leader().topic("t").repeated(seconds(5))),
            (
                "produce:error=corrupt-message,after-work,delay=1s",
                Fault::error(ErrorCode::CORRUPT_MESSAGE).on(ApiKey::Produce).after_work().delayed(seconds(1)),
            ),
        ] {
            assert_eq!(fault(text), meant, "{text}");
        }
    }

    #[test]
    fn a_wrong_fault_is_one_error_that_names_the_part_and_what_was_meant() {
        for (text, part) in [
            ("", "what goes wrong: error, delay, drop"),
            ("produce", "no item: produce; possible are error, delay"),
            ("produce:", "what goes wrong"),
            ("prodce:drop", "no API of Kafka: prodce; did you mean produce?"),
            ("frobnicate:drop", "possible are produce, fetch"),
            ("produce:eror=6", "no item: eror; did you mean error?"),
            ("produce:error", "error needs a value: error=NOT_LEADER_OR_FOLLOWER"),
            ("produce:error=NOT_LEADER_OR_FOLOWER", "did you mean NOT_LEADER_OR_FOLLOWER?"),
            ("produce:error=NOT_LEADER", "did you mean NOT_LEADER_OR_FOLLOWER?"),
            ("produce:error=gibberish", "a name of its table or a number"),
            ("produce:error=0", "0 is no error"),
            ("produce:drop=1", "drop takes no value"),
            ("produce:drop,garble", "drop and garble cannot both go wrong"),
            ("produce:drop,drop", "drop stands there twice"),
            ("produce:drop,every=0", "begin at 1"),
            ("produce:drop,every=5s", "every counts requests"),
            ("produce:drop,every=-1", "every=-1: not a time"),
            ("produce:drop,p=2", "a probability"),
            ("produce:drop,p=nan", "a probability"),
            ("produce:drop,broker=x", "broker=x is not possible: broker=1"),
            ("produce:drop,after=10", "after=10: not a time"),
            ("produce:drop,after-work", "after-work goes with"),
            ("produce:drop,topic=", "a name is empty"),
            ("produce:drop,topic=a\\b", "a backslash"),
            ("produce:drop-inside,topic=t", "drop-inside closes before"),
            ("produce:drop-inside,client=c", "drop-inside closes before"),
            ("down=5s,client=c", "it has to do with no request"),
            ("fetch:delay=0s", "it does nothing"),
            ("produce:down=5s", "it has to do with no request"),
            ("down=5s,every=50", "it falls due by time"),
            ("down=5s,every=5s", "would not be up in between"),
            ("down=0s", "0 is no time"),
            ("cut,topic=t", "topic goes with"),
            ("move-leader,broker=1", "broker goes with"),
            ("end-txn:drop", "does not serve EndTxn"),
        ] {
            let error = refused(text);
            assert!(error.contains(part), "{text}: {error}");
            assert!(error.starts_with("fault ") && error.contains("; for example produce:"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    /// Any fault that does not contradict itself.
    fn faults() -> impl Strategy<Value = Fault> {
        let time = || (1..100_000_000u64).prop_map(Duration::from_millis);
        let name = || proptest::option::of("\\PC{1,8}");
        let deed = prop_oneof![
            Just(Deed::Nothing),
            any::<i16>().prop_map(|code| Deed::Error(ErrorCode(code))),
            (0..140i16).prop_map(|code| Deed::Error(ErrorCode(code))),
            Just(Deed::Drop),
            Just(Deed::DropInside),
            Just(Deed::DropAfter),
            proptest::option::of(any::<u32>()).prop_map(Deed::Truncate),
            Just(Deed::Garble),
            Just(Deed::Silence),
            time().prop_map(Deed::Down),
            Just(Deed::Cut),
            Just(Deed::MoveLeader),
            Just(Deed::MoveCoordinator),
            Just(Deed::ExpireProducers),
        ];
        let what = (deed, any::<bool>(), proptest::option::of(time()));
        let apis = proptest::collection::vec(proptest::sample::select(ApiKey::ALL), 0..3);
        let whom = (apis, [name(), name(), name()], proptest::option::of(any::<i32>()));
        let count = || proptest::option::of(1..u64::MAX);
        let chance = (proptest::option::of(0.0..=1.0f64), proptest::option::of(any::<u64>()));
        let when = (count(), count(), any::<u64>(), chance, time(), proptest::option::of(time()));
        (what, whom, when, any::<bool>()).prop_map(|((deed, after_work, delay), whom, when, few)| {
            let mut fault = Fault { after_work, delay: delay.unwrap_or_default(), ..Fault::new(deed) };
            // Most combinations contradict themselves; with few parts more do not.
            let (apis, [topic, group, client], broker) = if few { Default::default() } else { whom };
            let (every, next, skip, (probability, seed), after, span) = when;
            fault = Fault { apis: Vec::new(), topic, group, client, broker, next, after, ..fault };
            fault = apis.into_iter().fold(fault, Fault::on);
            if deed.is_timed() {
                Fault { again: span, ..fault }
            } else {
                Fault { every, skip, probability, seed, lasting: span, ..fault }
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { max_global_rejects: 1_000_000, ..ProptestConfig::default() })]

        #[test]
        fn what_is_printed_reads_back_as_the_same(fault in faults()) {
            prop_assume!(fault.contradiction().is_none());
            let text = fault.to_string();
            prop_assert_eq!(text.parse::<Fault>().map_err(|error| error.to_string()), Ok(fault), "{}", text);
        }

        #[test]
        fn nothing_that_is_written_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Fault>();
            let _ = format!("produce:{text}").parse::<Fault>();
        }
    }
}
