use serde_json::{Map, Value, json};

use crate::measure::{Measure, peak_memory};
use crate::{Arguments, Mode};

/// The one line of JSON that a run prints.
#[derive(Debug)]
pub struct Report {
    what: &'static str,
    topic: String,
    begun: Measure,
    settings: Map<String, Value>,
    ended: Option<String>,
    results: Option<Results>,
    /// Nanoseconds.
    latencies: Option<Vec<u64>>,
}

#[derive(Debug)]
struct Results {
    records: u64,
    bytes: u64,
    seconds: f64,
    cpu_seconds: f64,
    peak_memory: Option<u64>,
}

impl Report {
    pub fn new(arguments: &Arguments) -> Self {
        let what = match arguments.mode {
            Mode::Produce => "produce",
            Mode::Consume => "consume",
            Mode::Latency => "latency",
            Mode::Idle => "idle",
            Mode::First => "first",
        };
        let mut report = Self {
            what,
            topic: arguments.topic.clone(),
            begun: Measure::of_process(),
            settings: Map::new(),
            ended: None,
            results: None,
            latencies: None,
        };
        report.set("tuned", arguments.tuned);
        report.set("size", arguments.size);
        if arguments.mode == Mode::Latency {
            report.set("rate", arguments.rate);
        }
        report
    }

    /// Adds to the settings.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.settings.insert(name.to_owned(), value.into());
    }

    /// Adds a property whose value is known as text.
    pub fn set_property(&mut self, name: &str, text: &str) {
        self.set(name, serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)));
    }

    /// Says why the run ended before everything was done. The first reason stays.
    pub fn ended(&mut self, why: impl Into<String>) {
        self.ended.get_or_insert(why.into());
    }

    /// Ends what was measured. The run is complete if it got to `expected` records.
    pub fn finish(&mut self, measure: Measure, records: u64, bytes: u64, expected: u64) {
        let (elapsed, cpu) = measure.elapsed();
        if records != expected {
            self.ended(format!("{records} of {expected} records"));
        }
        self.results = Some(Results {
            records,
            bytes,
            seconds: elapsed.as_secs_f64(),
            cpu_seconds: cpu.as_secs_f64(),
            peak_memory: peak_memory(),
        });
    }

    /// [`finish`](Self::finish), measured from the start of the process.
    pub fn finish_process(&mut self, records: u64, bytes: u64, expected: u64) {
        self.finish(self.begun, records, bytes, expected);
    }

    /// All latencies, in nanoseconds and any order.
    pub fn latencies(&mut self, mut nanos: Vec<u64>) {
        nanos.sort_unstable();
        self.latencies = Some(nanos);
    }

    pub fn line(&self) -> Value {
        let results = self.results.as_ref();
        let records = results.map_or(0, |results| results.records);
        let bytes = results.map_or(0, |results| results.bytes);
        let seconds = results.map(|results| results.seconds);
        let cpu = results.map(|results| results.cpu_seconds);
        let per = |amount: u64, seconds: Option<f64>| {
            seconds.filter(|seconds| *seconds > 0.0 && records > 0).map(|seconds| amount as f64 / seconds)
        };
        json!({
            "version": 1,
            "what": self.what,
            "topic": self.topic,
            "complete": self.ended.is_none() && results.is_some(),
            "ended": self.ended,
            "settings": self.settings,
            "records": records,
            "bytes": bytes,
            "seconds": seconds,
            "records_per_second": per(records, seconds),
            "megabytes_per_second": per(bytes, seconds).map(|bytes| bytes / 1e6),
            "cpu_seconds": cpu,
            "cpu_seconds_per_million_records": cpu.filter(|_| records > 0).map(|cpu| cpu / records as f64 * 1e6),
            "records_per_cpu_second": per(records, cpu),
            "peak_memory_bytes": results.and_then(|results| results.peak_memory),
            "latency_ms": self.latencies.as_deref().filter(|sorted| !sorted.is_empty()).map(percentiles),
        })
    }
}

fn percentiles(sorted: &[u64]) -> Value {
    let millis = |nanos: u64| nanos as f64 / 1e6;
    let at = |per_ten_thousand| millis(sorted[rank(sorted.len(), per_ten_thousand)]);
    json!({
        "p50": at(5_000),
        "p90": at(9_000),
        "p99": at(9_900),
        "p99.9": at(9_990),
        "p99.99": at(9_999),
        "max": at(10_000),
        "count": sorted.len(),
    })
}

/// The place of the smallest of `count` values that so many of them do not exceed.
fn rank(count: usize, per_ten_thousand: usize) -> usize {
    (count * per_ten_thousand).div_ceil(10_000).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let words = "produce --brokers a --topic t".split(' ').map(str::to_owned);
        Report::new(&Arguments::parse(words).unwrap())
    }

    #[test]
    fn ranks_are_exact() {
        assert_eq!((rank(1, 5_000), rank(1, 10_000)), (0, 0));
        assert_eq!((rank(2, 5_000), rank(3, 5_000), rank(4, 5_000)), (0, 1, 1));
        assert_eq!((rank(100, 9_900), rank(101, 9_900), rank(100, 9_990)), (98, 99, 99));
        assert_eq!((rank(10_000, 9_999), rank(10_000, 10_000)), (9_998, 9_999));
    }

    #[test]
    fn a_run_that_never_began_is_not_complete() {
        let line = report().line();
        assert_eq!((&line["complete"], &line["records"], &line["seconds"]), (&json!(false), &json!(0), &Value::Null));
    }

    #[test]
    fn a_run_is_complete_with_all_its_records() {
        let mut all = report();
        all.finish_process(5, 500, 5);
        assert_eq!((&all.line()["complete"], &all.line()["ended"]), (&json!(true), &Value::Null));
        let mut few = report();
        few.finish_process(4, 400, 5);
        assert_eq!((&few.line()["complete"], &few.line()["ended"]), (&json!(false), &json!("4 of 5 records")));
    }

    #[test]
    fn latencies_are_in_milliseconds() {
        let mut report = report();
        report.latencies(vec![3_000_000, 1_000_000, 2_000_000]);
        let latency = &report.line()["latency_ms"];
        assert_eq!((&latency["p50"], &latency["max"], &latency["count"]), (&json!(2.0), &json!(3.0), &json!(3)));
    }
}
