//! Groups of three kinds at once: one member of ours, one of Java's, one of librdkafka's.

use std::process::Command;

use crate::clients::{CONSUMER, COOPERATIVE, Member, RANGE, fill_all};
use crate::process::Program;
use crate::side::Side;
use crate::table::Check;

const PARTITIONS: i32 = 6;
const ROUND: usize = 10 * PARTITIONS as usize;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Ours,
    Java,
    Confluent,
}

use Client::{Confluent, Java, Ours};

/// How the group shares its partitions out, as the settings of each kind.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    java: &'static [&'static str],
    confluent: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind { name: "classic, range", java: RANGE, confluent: "partition.assignment.strategy=range" },
    Kind {
        name: "classic, cooperative-sticky",
        java: COOPERATIVE,
        confluent: "partition.assignment.strategy=cooperative-sticky",
    },
    Kind { name: "consumer protocol", java: CONSUMER, confluent: "group.protocol=consumer" },
];

/// With the classic protocol the first to join leads, and each kind does so once.
pub fn checks() -> Vec<Check> {
    let orders =
        [("ours", [Ours, Java, Confluent]), ("Java", [Java, Confluent, Ours]), ("confluent", [Confluent, Ours, Java])];
    let mut checks = Vec::new();
    for kind in KINDS {
        for (first, order) in orders {
            let name = format!("three clients in one group: {}, {first} first", kind.name);
            checks.push(Check::new(name, move |side| share(side, kind, order)));
        }
    }
    checks
}

fn join(side: &Side, group: &str, kind: Kind, client: Client) -> Member {
    match client {
        Ours => Member::join_ours(side, group, group, kind.java),
        Java => Member::join(side, group, group, kind.java),
        Confluent => {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/judges/confluent_judge.py");
            let mut command: Command = side.python(&[script, "member", group, group, kind.confluent]);
            Member(Program::start(&mut command))
        }
    }
}

/// They come one after the other and go in the same order. Every record is read once, by one of them.
fn share(side: &Side, kind: Kind, order: [Client; 3]) -> String {
    let place = |client| order.iter().position(|one| *one == client).unwrap_or_default();
    let name = format!("trio-{}-{}", kind.java.concat(), place(Ours));
    let topic = side.create(&name, PARTITIONS);
    let settle = |members: &[&Member]| {
        members.iter().for_each(|member| member.wait_for_partitions(PARTITIONS as usize / members.len()));
    };
    fill_all(side, &topic, PARTITIONS);
    let first = join(side, &topic, kind, order[0]);
    first.wait_for_records(ROUND);
    let second = join(side, &topic, kind, order[1]);
    settle(&[&first, &second]);
    let third = join(side, &topic, kind, order[2]);
    settle(&[&first, &second, &third]);

    fill_all(side, &topic, PARTITIONS);
    first.wait_for_records(ROUND + ROUND / 3);
    second.wait_for_records(ROUND / 3);
    third.wait_for_records(ROUND / 3);
    let mut all = first.stop();
    settle(&[&second, &third]);
    fill_all(side, &topic, PARTITIONS);
    second.wait_for_records(ROUND / 3 + ROUND / 2);
    third.wait_for_records(ROUND / 3 + ROUND / 2);
    all.extend(second.stop());
    settle(&[&third]);
    fill_all(side, &topic, PARTITIONS);
    third.wait_for_records(ROUND / 3 + ROUND / 2 + ROUND);
    all.extend(third.stop());
    all.sort();
    assert_eq!(all.len(), 4 * ROUND, "{all:?}");
    all.dedup();
    assert_eq!(all.len(), 4 * ROUND, "a record came twice");
    all.join("\n")
}
