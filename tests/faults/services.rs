//! The sender and the receiver as a program, while the broker beneath them fails in the way the command line says.

use std::process::{Command, Stdio};

use super::support::each;

#[test]
fn the_services_lose_and_double_nothing() {
    let faults = [
        "produce:drop-after,every=7",
        "produce:error=NOT_LEADER_OR_FOLLOWER,after-work,every=5",
        "fetch:truncate,every=5",
        "any:drop,p=0.02",
        "broker=1,down=300ms,after=500ms",
        // Both programs must have found the brokers by then.
        "down=200ms,after=1s,every=700ms",
        "move-leader,every=100ms",
        "cut,every=100ms",
        "offset-commit+heartbeat:error=NOT_COORDINATOR,p=0.4",
    ];
    each(&faults, |fault| {
        let words = ["demo", "--brokers", "2", "--for", "2s", "--interval", "5", "--fault", fault];
        let program =
            Command::new(env!("CARGO_BIN_EXE_krs")).args(words).env_clear().stdin(Stdio::null()).output().unwrap();
        let output = String::from_utf8(program.stdout).unwrap();
        let log = String::from_utf8_lossy(&program.stderr);
        let summary = output.lines().last().unwrap_or_default();
        assert_eq!(program.status.code(), Some(0), "{fault}: {summary}\n{log}");
        let field = |name: &str| {
            let prefix = format!("{name}=");
            let value = summary.split(' ').find_map(|word| word.strip_prefix(&prefix));
            value.unwrap_or_else(|| panic!("{fault}: no {name} in {summary:?}")).parse::<u64>().unwrap()
        };
        assert!(field("sent") > 50, "{fault}: {summary}");
        assert_eq!(field("received"), field("sent"), "{fault}: {summary}\n{log}");
        for none in ["lost", "duplicated", "out_of_order"] {
            assert_eq!(field(none), 0, "{fault}: {summary}\n{log}");
        }
    });
}
