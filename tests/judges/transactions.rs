//! The development broker has no transactions. Who wants one must hear so at once, not wait for what will not come.

use std::time::{Duration, Instant};

use crate::process::{run, run_with};
use crate::python;
use crate::side::{LONG, Side};
use crate::table::Check;

const PRODUCER_PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";
/// A client that waits gives up after a minute or later.
const AT_ONCE: Duration = Duration::from_secs(30);

pub fn checks() -> Vec<Check> {
    let check = |client: &str, ask: fn(&Side) -> String| {
        let timed = move |side: &Side| {
            let begin = Instant::now();
            let said = ask(side);
            assert!(begin.elapsed() < AT_ONCE, "it took {:?}", begin.elapsed());
            said
        };
        Check::dev_only(format!("{client}: a transaction is refused at once"), timed)
    };
    vec![check("kcat", kcat), check("Java", java), check("confluent-kafka", confluent)]
}

fn kcat(side: &Side) -> String {
    let topic = side.create("transaction-kcat", 1);
    let words = ["-P", "-t", &topic, "-X", &format!("transactional.id={topic}")];
    let ended = run_with(&mut side.kcat(&words), "in vain\n", LONG);
    ended.code(1).complaint("Transactional Id authorization failed").to_owned()
}

fn java(side: &Side) -> String {
    let topic = side.create("transaction-java", 1);
    let words = ["--topic", &topic, "--num-records", "1", "--record-size", "1", "--throughput", "-1"];
    let words = [&words[..], &["--transactional-id", &topic]].concat();
    let ended = run(&mut side.tool(PRODUCER_PERFORMANCE, &words), LONG);
    ended.code(1).complaint("TransactionalIdAuthorizationException").to_owned()
}

fn confluent(side: &Side) -> String {
    let said = python::ask(side, "confluent_judge.py", "transactions");
    assert!(said.contains("TRANSACTIONAL_ID_AUTHORIZATION_FAILED"), "{said}");
    said
}
