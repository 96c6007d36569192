//! How the groups of a run are kept: each mode is a list of properties.

use std::time::Duration;

/// Silence after which a member is taken for dead.
pub const SESSION: Duration = Duration::from_secs(6);

/// How often members show themselves.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// One way to run a group.
#[derive(Debug, PartialEq, Eq)]
pub struct Mode {
    pub name: &'static str,
    /// What its members set besides the properties that all have.
    pub properties: &'static [(&'static str, &'static str)],
    /// Whether each member keeps a `group.instance.id` over its restarts.
    pub instances: bool,
    /// Whether the member itself says how long its session is and how often it shows itself; else the broker does.
    pub own_session: bool,
}

/// All of them, in the order in which they run.
pub const MODES: &[Mode] = &[
    Mode {
        name: "range",
        properties: &[("partition.assignment.strategy", "range")],
        instances: false,
        own_session: true,
    },
    Mode {
        name: "cooperative",
        properties: &[("partition.assignment.strategy", "cooperative-sticky")],
        instances: false,
        own_session: true,
    },
    Mode {
        name: "static",
        properties: &[("partition.assignment.strategy", "range")],
        instances: true,
        own_session: true,
    },
    Mode { name: "consumer", properties: &[("group.protocol", "consumer")], instances: false, own_session: false },
];

/// The mode of that name.
pub fn named(name: &str) -> Option<&'static Mode> {
    MODES.iter().find(|mode| mode.name == name)
}
