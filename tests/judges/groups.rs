//! Java's tool that looks after groups.

use crate::clients::Member;
use crate::side::Side;
use crate::table::Check;

pub fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for protocol in ["classic", "consumer"] {
        checks.extend([
            Check::new(format!("ConsumerGroupCommand: a group at work, {protocol}"), move |side| {
                at_work(side, protocol)
            }),
            Check::new(format!("ConsumerGroupCommand: --reset-offsets, {protocol}"), move |side| reset(side, protocol)),
            Check::new(format!("ConsumerGroupCommand: --delete-offsets, --delete, {protocol}"), move |side| {
                delete(side, protocol)
            }),
        ]);
    }
    checks.push(Check::new("ConsumerGroupCommand: groups that are not there", missing));
    checks
}

/// What the tool says, without the ids of members and in an order that does not depend on chance.
fn groups(side: &Side, words: &[&str]) -> String {
    let said = side.say("kafka-consumer-groups", words);
    let line = |line: &str| {
        let mut fields: Vec<&str> = line.split(' ').collect();
        // A member's id stands before its host.
        if let Some(host) = fields.iter().position(|field| *field == "/127.0.0.1").filter(|host| *host > 0) {
            fields[host - 1] = "MEMBER";
        }
        fields.join(" ")
    };
    let mut lines: Vec<String> = said.lines().filter(|line| !line.is_empty()).map(line).collect();
    lines.sort();
    format!("{words:?}\n{}\n", lines.join("\n"))
}

/// A group with one member that has read three partitions of ten records.
fn start(side: &Side, name: &str, protocol: &str) -> (String, Member) {
    let topic = side.create(&format!("{name}-{protocol}"), 3);
    (0..3).for_each(|partition| side.fill(&topic, partition, 10));
    let member = Member::join(side, &topic, &topic, &["--group-protocol", protocol]);
    member.wait_for_records(30);
    (topic, member)
}

fn at_work(side: &Side, protocol: &str) -> String {
    let (group, member) = start(side, "groups-at-work", protocol);
    side.fill(&group, 1, 5);
    member.wait_for_records(35);
    let ours = |words: &[&str]| {
        let list = groups(side, words);
        let line = list.lines().find(|line| line.starts_with(&group));
        format!("{words:?}: {}\n", line.unwrap_or_else(|| panic!("{list}")))
    };
    let mut seen = ours(&["--list"]) + &ours(&["--list", "--state"]) + &ours(&["--list", "--type"]);
    seen += &ours(&["--list", "--state", "stable"]);
    seen += &ours(&["--list", "--type", protocol]);
    for more in
        [&[][..], &["--verbose"], &["--members"], &["--members", "--verbose"], &["--state"], &["--state", "--verbose"]]
    {
        seen += &groups(side, &[&["--describe", "--group", &group], more].concat());
    }
    let reset = ["--reset-offsets", "--group", &group, "--topic", &group, "--to-earliest", "--execute"];
    seen += &groups(side, &reset);
    seen += &groups(side, &["--delete", "--group", &group]);
    seen += &groups(side, &["--delete-offsets", "--group", &group, "--topic", &group]);
    assert!(seen.contains(&format!("{group} {group} 1 15 15 0 MEMBER")), "{seen}");
    member.stop();
    seen
}

fn reset(side: &Side, protocol: &str) -> String {
    let (group, member) = start(side, "groups-reset", protocol);
    member.stop();
    let mut seen = groups(side, &["--describe", "--group", &group]);
    seen += &groups(side, &["--describe", "--group", &group, "--members"]);
    seen += &groups(side, &["--describe", "--group", &group, "--state"]);
    let (two, three) = (format!("{group}:2"), format!("{group}:0,1"));
    // BEGIN and five seconds.
    let time = "2023-11-14T22:13:25.000+0000";
    for words in [
        &["--topic", &group, "--to-earliest", "--dry-run"][..],
        &["--topic", &two, "--to-earliest", "--execute"],
        &["--topic", &three, "--shift-by", "-3", "--execute"],
        &["--topic", &three, "--to-offset", "99", "--execute"],
        &["--all-topics", "--to-datetime", time, "--execute"],
        &["--topic", &two, "--to-latest", "--execute"],
        &["--all-topics", "--to-current", "--dry-run", "--export"],
    ] {
        seen += &groups(side, &[&["--reset-offsets", "--group", &group], words].concat());
        if words.contains(&"--execute") {
            seen += &groups(side, &["--describe", "--group", &group, "--offsets"]);
        }
    }
    for line in ["2 0 10 10", "0 7 10 3", "1 10 10 0", "1 5 10 5", "2 10 10 0"] {
        assert!(seen.contains(&format!("{group} {group} {line} - - -")), "no {line} in\n{seen}");
    }
    // The next member starts there.
    let member = Member::join(side, &group, &group, &["--group-protocol", protocol]);
    let mut read = member.wait_for_records(10);
    read.sort();
    member.stop();
    seen + &read.join("\n")
}

fn delete(side: &Side, protocol: &str) -> String {
    let (group, member) = start(side, "groups-delete", protocol);
    member.stop();
    let mut seen = groups(side, &["--delete-offsets", "--group", &group, "--topic", &format!("{group}:1")]);
    seen += &groups(side, &["--describe", "--group", &group]);
    seen += &groups(side, &["--delete", "--group", &group]);
    seen += &groups(side, &["--describe", "--group", &group]);
    let list = groups(side, &["--list"]);
    assert!(!list.lines().any(|line| line == group), "{list}");
    let back = Member::join(side, &group, &group, &["--group-protocol", protocol]);
    let read = back.wait_for_records(30).len();
    back.stop();
    assert_eq!(read, 30, "from the start again");
    seen
}

fn missing(side: &Side) -> String {
    let group = side.name("groups-missing");
    let topic = side.create("groups-none", 1);
    side.fill(&topic, 0, 10);
    let mut seen = String::new();
    for more in [&[][..], &["--members"], &["--state"]] {
        seen += &groups(side, &[&["--describe", "--group", &group], more].concat());
    }
    seen += &groups(side, &["--delete", "--group", &group]);
    seen += &groups(side, &["--delete-offsets", "--group", &group, "--topic", &topic]);
    // Offsets can be set for a group that nobody has joined.
    let (all, missing) = (["--reset-offsets", "--group", &group, "--execute"], side.name("groups-no-topic"));
    seen += &groups(side, &[&all[..], &["--topic", &missing, "--to-latest"]].concat());
    seen += &groups(side, &[&all[..], &["--topic", &topic, "--to-offset", "4"]].concat());
    seen += &groups(side, &["--describe", "--group", &group]);
    seen += &groups(side, &["--describe", "--group", &group, "--state"]);
    assert!(seen.contains(&format!("{group} {topic} 0 4 10 6 - - -")), "{seen}");
    seen
}
