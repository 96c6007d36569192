//! `krs bench compare`: two reports side by side, as ratios. It shows what differs and which direction is better, and
//! leaves the verdict to the reader: it cannot know how much two runs of the same differ.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Deserializer, Value};

use crate::kafka::config::given::shown;
use crate::{Error, Result};

/// A report is far smaller.
const MAX_BYTES: u64 = 1 << 20;

/// Which way a number should go.
#[derive(Clone, Copy)]
enum Better {
    More,
    Less,
    /// Neither: it says how much was measured.
    None,
}

/// Name, place in the report, in which unit of the report's own, and direction.
const METRICS: [(&str, &[&str], f64, Better); 14] = [
    ("records", &["records"], 1.0, Better::None),
    ("seconds", &["seconds"], 1.0, Better::None),
    ("records/s", &["records_per_second"], 1.0, Better::More),
    ("MB/s", &["megabytes_per_second"], 1.0, Better::More),
    ("records per CPU second", &["records_per_cpu_second"], 1.0, Better::More),
    ("CPU s per million records", &["cpu_seconds_per_million_records"], 1.0, Better::Less),
    ("peak memory, MB", &["peak_memory_bytes"], 1e6, Better::Less),
    ("latency p50, ms", &["latency_ms", "p50"], 1.0, Better::Less),
    ("latency p90, ms", &["latency_ms", "p90"], 1.0, Better::Less),
    ("latency p99, ms", &["latency_ms", "p99"], 1.0, Better::Less),
    ("latency p99.9, ms", &["latency_ms", "p99.9"], 1.0, Better::Less),
    ("latency p99.99, ms", &["latency_ms", "p99.99"], 1.0, Better::Less),
    ("latency max, ms", &["latency_ms", "max"], 1.0, Better::Less),
    ("failed records", &["failed"], 1.0, Better::Less),
];

/// Reads two reports and puts them beside each other.
///
/// # Errors
/// A file that cannot be read or holds no report, or reports of different measurements.
pub(super) fn run(a: &Path, b: &Path) -> Result<String> {
    let (a, b) = (Reported::of(a)?, Reported::of(b)?);
    if a.what() != b.what() {
        let (a, b) = (format!("{} is of {}", a.name, a.what()), format!("{} of {}", b.name, b.what()));
        return Err(Error::config(format!("{a}, {b}: they have nothing to compare; give two of the same command")));
    }
    Ok(table(&a, &b))
}

/// A report as it was read.
struct Reported {
    /// Of the file, for people.
    name: String,
    object: Value,
}

impl Reported {
    fn of(path: &Path) -> Result<Self> {
        let (name, text) = if path.as_os_str() == "-" {
            ("standard input".to_owned(), read(io::stdin().lock()))
        } else {
            (shown(&path.to_string_lossy()), File::open(path).and_then(read))
        };
        match text {
            Err(error) => Err(Error::config(format!("{name}: cannot be read: {error}"))),
            Ok(text) => Self::parse(name, &text),
        }
    }

    fn parse(name: String, text: &[u8]) -> Result<Self> {
        let no_report = |why: &str| {
            let remedy = "it needs what one krs bench … --json printed";
            Err(Error::config(format!("{name}: {why}; {remedy}")))
        };
        if text.len() as u64 > MAX_BYTES {
            return no_report("no report is so large");
        }
        let mut objects = Deserializer::from_slice(text).into_iter::<Value>();
        let object = match objects.next() {
            None => return no_report("there is nothing in it"),
            Some(Err(error)) => return no_report(&format!("not JSON: {error}")),
            Some(Ok(object)) => object,
        };
        if objects.next().is_some() {
            return no_report("there is more than one object in it");
        }
        match (object.get("version").and_then(Value::as_u64), object.get("what").and_then(Value::as_str)) {
            (Some(1), Some(_)) => Ok(Self { name, object }),
            (Some(version), Some(_)) => no_report(&format!("version {version} of the report is not known here")),
            _ => no_report("no report of a measurement"),
        }
    }

    fn what(&self) -> String {
        shown(self.object["what"].as_str().unwrap_or_default())
    }

    fn number(&self, place: &[&str]) -> Option<f64> {
        place.iter().try_fold(&self.object, |value, name| value.get(name))?.as_f64()
    }

    /// A setting as a word; "-" if it is not set.
    fn setting(&self, name: &str) -> String {
        match self.object["settings"].get(name) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => shown(text),
            Some(other) => shown(&other.to_string()),
        }
    }

    /// Why it ended early, if it did.
    fn ended(&self) -> Option<String> {
        match (self.object["complete"].as_bool(), self.object["ended"].as_str()) {
            (_, Some(why)) => Some(why.escape_debug().to_string()),
            (Some(false), None) => Some("it is not complete".to_owned()),
            _ => None,
        }
    }
}

fn read(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    Ok(text)
}

fn table(a: &Reported, b: &Reported) -> String {
    let mut lines = Lines::default();
    for (letter, report) in [('a', a), ('b', b)] {
        lines.add(format_args!("{letter}: {}, {} of {}", report.name, report.what(), topic(report)));
        if let Some(why) = report.ended() {
            lines.add(format_args!("   ended early: {why}"));
        }
    }
    lines.add(format_args!(""));
    lines.add(format_args!("{:26} {:>14} {:>14} {:>8}", "", "a", "b", "b/a"));
    for (name, place, unit, better) in METRICS {
        let (one, other) = (a.number(place).map(|number| number / unit), b.number(place).map(|number| number / unit));
        if one.is_none() && other.is_none() {
            continue;
        }
        let (ratio, direction) = match better {
            Better::More => (ratio(one, other), "more is better"),
            Better::Less => (ratio(one, other), "less is better"),
            Better::None => (String::new(), ""),
        };
        lines.add(format_args!("{name:26} {:>14} {:>14} {ratio:>8}  {direction}", figure(one), figure(other)));
    }
    let names: BTreeSet<&str> = [a, b]
        .into_iter()
        .flat_map(|report| report.object["settings"].as_object())
        .flat_map(|set| set.keys())
        .map(|name| &**name)
        .collect();
    let differing: Vec<_> = names.into_iter().filter(|name| a.setting(name) != b.setting(name)).collect();
    lines.add(format_args!(""));
    if differing.is_empty() {
        lines.add(format_args!("settings: the same"));
    } else {
        lines.add(format_args!("settings that differ:"));
    }
    for name in differing {
        lines.add(format_args!("{:26} {:>14} {:>14}", shown(name), a.setting(name), b.setting(name)));
    }
    let of = |report: &Reported| shown(report.object["latency_of"].as_str().unwrap_or_default());
    if of(a) != of(b) && [a, b].iter().all(|report| report.object["latency_ms"].is_object()) {
        lines.add(format_args!("the latencies are not of the same: a of {}, b of {}", of(a), of(b)));
    }
    lines.0
}

fn topic(report: &Reported) -> String {
    shown(report.object["topic"].as_str().unwrap_or("?"))
}

/// b/a
fn ratio(a: Option<f64>, b: Option<f64>) -> String {
    match (a, b) {
        (Some(a), Some(b)) if a > 0.0 => format!("{:.2}", b / a),
        _ => "-".to_owned(),
    }
}

/// With so many digits as can be of interest.
fn figure(number: Option<f64>) -> String {
    match number {
        None => "-".to_owned(),
        Some(number) if number.fract() == 0.0 || number >= 1000.0 => format!("{number:.0}"),
        Some(number) if number >= 10.0 => format!("{number:.2}"),
        Some(number) => format!("{number:.4}"),
    }
}

/// Text line by line, without blanks at the ends of lines.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, line: fmt::Arguments<'_>) {
        let line = line.to_string();
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str, text: &str) -> Reported {
        Reported::parse(name.to_owned(), text.as_bytes()).map_err(|error| error.to_string()).unwrap()
    }

    #[test]
    fn two_reports_stand_side_by_side() {
        let ours = r#"{"version":1,"what":"produce","topic":"bench","complete":true,"ended":null,
            "settings":{"batch.size":1000000,"size":100,"rate":null,"compression.type":"lz4"},"records":1000000,
            "seconds":0.5,"records_per_second":2000000.0,"cpu_seconds_per_million_records":0.25,
            "peak_memory_bytes":24100000,"latency_ms":{"p50":1.5,"max":20.25},"failed":0,"latency_of":"x"}"#;
        let theirs = r#"{"version":1,"what":"produce","topic":"bench","complete":false,"ended":"stopped",
            "settings":{"batch.size":16384,"size":100,"linger.ms":5,"compression.type":"lz4"},"records":500000,
            "seconds":1.5,"records_per_second":333333.3,"cpu_seconds_per_million_records":1.0,
            "peak_memory_bytes":null,"latency_ms":{"p50":3.0,"max":10.125},"latency_of":"y"}"#;
        let expected = "\
a: a.json, produce of bench
b: b.json, produce of bench
   ended early: stopped

                                        a              b      b/a
records                           1000000         500000
seconds                            0.5000         1.5000
records/s                         2000000         333333     0.17  more is better
CPU s per million records          0.2500              1     4.00  less is better
peak memory, MB                     24.10              -        -  less is better
latency p50, ms                    1.5000              3     2.00  less is better
latency max, ms                     20.25          10.12     0.50  less is better
failed records                          0              -        -  less is better

settings that differ:
batch.size                        1000000          16384
linger.ms                               -              5
the latencies are not of the same: a of x, b of y
";
        assert_eq!(table(&report("a.json", ours), &report("b.json", theirs)), expected);
        assert!(table(&report("a", ours), &report("a", ours)).ends_with("\nsettings: the same\n"));
    }

    #[test]
    fn what_is_no_report_is_refused_in_one_line() {
        for (text, expected) in [
            ("", "f: there is nothing in it; it needs what one krs bench … --json printed"),
            ("\n \n", "f: there is nothing in it; "),
            ("{\"version\":1,", "f: not JSON: EOF while parsing"),
            ("produced 5 records", "f: not JSON: "),
            ("{\"version\":1,\"what\":\"produce\"}\n{\"version\":1}", "f: there is more than one object in it; "),
            ("{\"version\":1,\"what\":\"produce\"} x", "f: there is more than one object in it; "),
            ("{\"version\":2,\"what\":\"produce\"}", "f: version 2 of the report is not known here; "),
            ("{\"version\":1}", "f: no report of a measurement; "),
            ("[1]", "f: no report of a measurement; "),
            ("5", "f: no report of a measurement; "),
        ] {
            let error = Reported::parse("f".into(), text.as_bytes()).err().unwrap();
            assert!(error.to_string().starts_with(expected), "{text}: {error}");
            assert!(error.exit_code() == 2 && !error.to_string().contains('\n'));
        }
        assert!(Reported::parse("f".into(), &vec![b' '; MAX_BYTES as usize + 1]).is_err());
    }

    #[test]
    fn strange_values_stay_in_their_lines() {
        let odd = r#"{"version":1,"what":"a\nb","topic":5,"ended":"x\ny","settings":{"q\nr":"s\nt","u":[1,"\n"]},"records":"5"}"#;
        let other = r#"{"version":1,"what":"a\nb","settings":7}"#;
        let table = table(&report("f", odd), &report("g", other));
        assert!(table.contains("ended early: x\\ny\n") && table.contains("\"q\\nr\""), "{table}");
        assert_eq!(table.lines().count(), 9, "{table}");
    }
}
