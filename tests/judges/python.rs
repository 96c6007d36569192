//! Python's clients: confluent-kafka, which is a newer librdkafka than kcat's, kafka-python and aiokafka. Each check is a
//! function of a script beside this file.

use crate::process::run;
use crate::side::{LONG, Side};
use crate::table::Check;

/// Client, script, function, what it is about.
const CHECKS: [(&str, &str, &str, &str); 12] = [
    ("confluent-kafka", "confluent_judge.py", "topics", "topics and the cluster"),
    ("confluent-kafka", "confluent_judge.py", "configs", "settings"),
    ("confluent-kafka", "confluent_judge.py", "produce", "idempotent, delivery reports"),
    ("confluent-kafka", "confluent_judge.py", "share_range", "two members, classic, range"),
    ("confluent-kafka", "confluent_judge.py", "share_cooperative", "two members, classic, cooperative-sticky"),
    ("confluent-kafka", "confluent_judge.py", "share_consumer", "two members, consumer protocol"),
    ("confluent-kafka", "confluent_judge.py", "offsets", "offsets_for_times, list_offsets, delete_records"),
    ("confluent-kafka", "confluent_judge.py", "groups", "groups listed, described, altered, deleted"),
    ("kafka-python", "kafka_python_judge.py", "round_trip", "round trip"),
    ("kafka-python", "kafka_python_judge.py", "group", "two members"),
    ("aiokafka", "aiokafka_judge.py", "round_trip", "round trip"),
    ("aiokafka", "aiokafka_judge.py", "group", "two members"),
];

pub fn checks() -> Vec<Check> {
    let check = |(client, script, function, about): (_, &'static str, &'static str, _)| {
        Check::new(format!("{client}: {about}"), move |side| ask(side, script, function))
    };
    CHECKS.map(check).into()
}

/// What a function of a script prints.
pub fn ask(side: &Side, script: &str, function: &str) -> String {
    let script = format!("{}/tests/judges/{script}", env!("CARGO_MANIFEST_DIR"));
    side.masked(&run(&mut side.python(&[&script, function]), LONG * 2).success())
}
