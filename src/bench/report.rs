//! What a measurement found: as text for people, and as one JSON object that other programs' measurements can be put
//! beside.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::usage::Usage;
use super::{Mode, Options, STOPPED};
use crate::stats::{Histogram, Snapshot};

/// The object's fields; numbers that are not known are null.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// Of the object. Fields may be added without a new one.
    version: u32,
    what: &'static str,
    topic: String,
    /// Everything that was asked for was done.
    pub complete: bool,
    /// Why not.
    pub ended: Option<String>,
    /// Everything that was set.
    settings: Map<String, Value>,
    /// That were measured.
    pub records: u64,
    /// Of their values.
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    megabytes_per_second: f64,
    /// User and system time of the process while it was measured.
    cpu_seconds: Option<f64>,
    cpu_seconds_per_million_records: Option<f64>,
    records_per_cpu_second: Option<f64>,
    /// Since the process started.
    peak_memory_bytes: Option<u64>,
    latency_ms: Option<Latency>,
    /// Whose latency it is.
    latency_of: &'static str,
    /// Sent before, and not measured.
    pub warmup_records: u64,
    /// Not acknowledged, or not known to be.
    pub failed: u64,
    pub batches: Option<u64>,
    pub retried_batches: Option<u64>,
    /// Threads that send.
    producers: Option<u32>,
    pub polls: Option<u64>,
    pub first_record_ms: Option<f64>,
    /// Records of others that came between ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<u64>,
}

impl Report {
    pub fn new(options: &Options, records: u64, bytes: u64, elapsed: Duration, usage: Option<Usage>) -> Self {
        let seconds = elapsed.as_secs_f64();
        let per_second = |many: f64| if seconds > 0.0 { many / seconds } else { 0.0 };
        let cpu = usage.map(|usage| usage.cpu.as_secs_f64());
        let ratio = |above: f64, below: f64| (below > 0.0).then(|| above / below);
        Self {
            version: 1,
            what: options.mode.name(),
            topic: options.topic.clone(),
            complete: true,
            ended: None,
            settings: options.settings(),
            records,
            bytes,
            seconds: rounded(seconds, 6),
            records_per_second: rounded(per_second(records as f64), 1),
            megabytes_per_second: rounded(per_second(bytes as f64 / 1e6), 3),
            cpu_seconds: cpu.map(|cpu| rounded(cpu, 3)),
            cpu_seconds_per_million_records: cpu
                .and_then(|cpu| ratio(cpu, records as f64 / 1e6))
                .map(|s| rounded(s, 4)),
            records_per_cpu_second: cpu.and_then(|cpu| ratio(records as f64, cpu)).map(f64::round),
            peak_memory_bytes: usage.map(|usage| usage.peak_memory),
            latency_ms: None,
            latency_of: "",
            warmup_records: 0,
            failed: 0,
            batches: None,
            retried_batches: None,
            producers: matches!(options.mode, Mode::Produce).then_some(options.producers),
            polls: None,
            first_record_ms: None,
            foreign: None,
        }
    }

    /// Says why it ended before everything was done, if it did.
    pub fn end(&mut self, why: Option<String>) {
        self.complete = why.is_none();
        self.ended = why;
    }

    pub fn latency(&mut self, latency: Option<Latency>, of: &'static str) {
        self.latency_ms = latency;
        self.latency_of = of;
    }

    /// Stopped by the user is no failure, as with the services.
    pub fn exit_code(&self) -> u8 {
        u8::from(!(self.complete || self.ended.as_deref() == Some(STOPPED)))
    }

    /// The object, in one line.
    pub fn json(&self) -> String {
        // Numbers and texts alone cannot fail.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

fn per(records: u64, groups: u64) -> f64 {
    records as f64 / groups.max(1) as f64
}

fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}

/// Percentiles in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p99_9: f64,
    #[serde(rename = "p99.99")]
    p99_99: f64,
    max: f64,
    count: u64,
    #[serde(skip)]
    text: String,
}

impl Latency {
    /// `None` if nothing was recorded.
    pub fn of(histogram: &Histogram) -> Option<Self> {
        let snapshot = histogram.snapshot();
        let max = snapshot.max()? as f64 / 1e3;
        let at = |percent| millis(&snapshot, percent);
        let (p50, p90, p99, p99_9, p99_99) = (at(50.0), at(90.0), at(99.0), at(99.9), at(99.99));
        Some(Self { p50, p90, p99, p99_9, p99_99, max, count: snapshot.count(), text: snapshot.to_string() })
    }

    pub fn millis(time: Duration) -> f64 {
        rounded(time.as_secs_f64() * 1e3, 3)
    }
}

fn millis(snapshot: &Snapshot, percent: f64) -> f64 {
    snapshot.percentile(percent).unwrap_or_default() as f64 / 1e3
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, way) = match self.what {
            "produce" => ("produced", "to"),
            "consume" => ("consumed", "from"),
            _ => ("received", "through"),
        };
        let (records, bytes, topic, seconds) = (self.records, self.bytes, &self.topic, self.seconds);
        writeln!(f, "{done} {records} records, {bytes} bytes of values, {way} {topic} in {seconds:.3} s")?;
        writeln!(f, "  rate     {:.0} records/s, {:.1} MB/s", self.records_per_second, self.megabytes_per_second)?;
        if let Some(latency) = &self.latency_ms {
            writeln!(f, "  latency  {} (of {} {})", latency.text, latency.count, self.latency_of)?;
        }
        if let Some(batches) = self.batches {
            let retried = self.retried_batches.unwrap_or_default();
            writeln!(f, "  batches  {batches}, {:.0} records each, {retried} sent again", per(records, batches))?;
        }
        if let Some(polls) = self.polls {
            writeln!(f, "  polls    {polls}, {:.0} records each", per(records, polls))?;
        }
        if let Some(first) = self.first_record_ms {
            writeln!(f, "  first    after {first:.1} ms")?;
        }
        if self.warmup_records > 0 {
            writeln!(f, "  warm-up  {} records before, not measured", self.warmup_records)?;
        }
        match (self.cpu_seconds, self.peak_memory_bytes) {
            (Some(cpu), Some(memory)) => {
                write!(f, "  client   {cpu:.2} s of CPU (user and system)")?;
                if let Some(per_cpu) = self.records_per_cpu_second {
                    write!(f, ", {per_cpu:.0} records per CPU second")?;
                }
                writeln!(f, "\n  memory   {:.1} MB at the peak", memory as f64 / 1e6)?;
            }
            _ => writeln!(f, "  client   CPU time and memory are not known on this system")?,
        }
        if let Some(foreign) = self.foreign {
            writeln!(f, "  foreign  {foreign} records of others came between")?;
        }
        if self.failed > 0 {
            writeln!(f, "  failed   {} records", self.failed)?;
        }
        match &self.ended {
            Some(why) => writeln!(f, "  ended    early: {why}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Limit;

    fn report() -> Report {
        let config = crate::Config::new().set("batch.size", 16_384).unwrap().set("acks", "all").unwrap();
        let options = Options { config, rate: Some(7), ..Options::new(Mode::Produce, "bench") };
        let usage = Usage { cpu: Duration::from_millis(250), peak_memory: 24_100_000 };
        let mut report = Report::new(&options, 1_000_000, 100_000_000, Duration::from_millis(500), Some(usage));
        let latency = Histogram::fine();
        (1..=1000).for_each(|millis| latency.record_micros(millis * 1000));
        report.latency(Latency::of(&latency), "records, at most one in 0.1 ms, to their acknowledgement");
        (report.batches, report.retried_batches, report.warmup_records) = (Some(1000), Some(2), 50_000);
        report
    }

    #[test]
    fn the_result_is_readable() {
        let expected = "produced 1000000 records, 100000000 bytes of values, to bench in 0.500 s\n\
            \x20 rate     2000000 records/s, 200.0 MB/s\n\
            \x20 latency  p50=500.223ms p90=900.095ms p99=990.207ms p99.9=999.423ms p99.99=1000.000ms max=1000.000ms \
            (of 1000 records, at most one in 0.1 ms, to their acknowledgement)\n\
            \x20 batches  1000, 1000 records each, 2 sent again\n\
            \x20 warm-up  50000 records before, not measured\n\
            \x20 client   0.25 s of CPU (user and system), 4000000 records per CPU second\n\
            \x20 memory   24.1 MB at the peak\n";
        assert_eq!(report().to_string(), expected);
        let mut report = report();
        (report.failed, report.foreign) = (3, Some(4));
        report.end(Some("why".into()));
        let text = report.to_string();
        let end = "  foreign  4 records of others came between\n  failed   3 records\n  ended    early: why\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn the_object_has_what_others_measurements_have() {
        let mut report = report();
        let line = report.json();
        assert!(line.starts_with(r#"{"version":1,"what":"produce","topic":"bench","complete":true,"ended":null,"#));
        assert!(line.ends_with("}\n") && line.lines().count() == 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        for (field, expected) in [
            ("records", 1_000_000.0),
            ("bytes", 1e8),
            ("seconds", 0.5),
            ("records_per_second", 2e6),
            ("megabytes_per_second", 200.0),
            ("cpu_seconds", 0.25),
            ("cpu_seconds_per_million_records", 0.25),
            ("records_per_cpu_second", 4e6),
            ("peak_memory_bytes", 24_100_000.0),
            ("warmup_records", 50_000.0),
            ("failed", 0.0),
            ("batches", 1000.0),
            ("retried_batches", 2.0),
            ("producers", 1.0),
        ] {
            assert_eq!(object[field].as_f64(), Some(expected), "{field}");
        }
        let latency = &object["latency_ms"];
        for (name, least) in [("p50", 500.0), ("p90", 900.0), ("p99", 990.0), ("p99.9", 999.0), ("p99.99", 1000.0)] {
            let shown = latency[name].as_f64().unwrap();
            assert!(shown >= least && shown <= least * 1.001, "{name}: {shown}");
        }
        assert_eq!((latency["max"].as_f64(), latency["count"].as_u64()), (Some(1000.0), Some(1000)));
        let settings = &object["settings"];
        assert_eq!((settings["batch.size"].as_u64(), settings["acks"].as_str()), (Some(16_384), Some("all")));
        assert_eq!((settings["rate"].as_u64(), settings["count"].as_u64()), (Some(7), Some(1_000_000)));

        assert_eq!(report.exit_code(), 0);
        report.end(Some(STOPPED.into()));
        assert_eq!((report.complete, report.exit_code()), (false, 0));
        report.end(Some("the broker is gone".into()));
        assert_eq!(report.exit_code(), 1);
    }

    #[test]
    fn what_is_not_known_is_null() {
        let options = Options { limit: Limit::Time(Duration::from_millis(1500)), ..Options::new(Mode::Consume, "t") };
        let report = Report::new(&options, 0, 0, Duration::ZERO, None);
        let object: Value = serde_json::from_str(&report.json()).unwrap();
        for field in ["cpu_seconds", "records_per_cpu_second", "peak_memory_bytes", "latency_ms", "batches", "ended"] {
            assert!(object[field].is_null(), "{field}");
        }
        assert_eq!(object["records_per_second"].as_f64(), Some(0.0));
        assert_eq!(object["settings"]["for-seconds"].as_f64(), Some(1.5));
        assert!(report.to_string().contains("not known on this system"));
    }
}
