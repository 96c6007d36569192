//! `krs group`: list, describe, delete; lag and reset-offsets are in files of their own.

use std::time::Duration;

use serde::Serialize;

use super::confirm::confirm;
use super::reset::{self, Reset};
use super::table::{Table, printable};
use super::{Output, json, lag};
use crate::kafka::admin::{GroupDescription, GroupListing};
use crate::kafka::protocol::ErrorCode;
use crate::{Admin, Error, ErrorKind, Result};

/// What to do with groups.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a subcommand, its fields are the flags")]
pub enum GroupTask {
    List,
    Describe { groups: Vec<String> },
    Lag { group: String, watch: Option<Duration> },
    ResetOffsets(Reset),
    Delete { groups: Vec<String>, yes: bool },
}

pub(super) fn run(admin: &Admin, task: &GroupTask, output: &mut Output<'_>) -> Result<()> {
    match task {
        GroupTask::List => list(admin, output),
        GroupTask::Describe { groups } => describe(admin, groups, output),
        GroupTask::Lag { group, .. } => {
            let lag = lag::of(admin, group)?;
            lag::tell(&lag, output).map(drop)
        }
        GroupTask::ResetOffsets(reset) => reset::run(admin, reset, output),
        GroupTask::Delete { groups, yes } => delete(admin, groups, *yes, output),
    }
}

/// What a missing group is told with.
pub(super) fn plainly(group: &str, error: Error) -> Error {
    let group = group.escape_debug();
    match error.code() {
        Some(ErrorCode::GROUP_ID_NOT_FOUND) => Error::state(format!("there is no group {group}")),
        Some(ErrorCode::NON_EMPTY_GROUP) => {
            Error::state(format!("group {group} has members; stop them first, nothing was changed"))
        }
        // What a coordinator says to a commit that comes from none of the members.
        Some(ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::STALE_MEMBER_EPOCH) => {
            Error::state(format!("group {group} has members; stop them first, its offsets were not changed"))
        }
        _ => error,
    }
}

/// All of them, or the first one's error.
pub(super) fn described(admin: &Admin, groups: &[String]) -> Result<Vec<GroupDescription>> {
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let described = admin.describe_groups(&names).into_iter().zip(&names);
    described.map(|(group, name)| group.map_err(|error| plainly(name, error))).collect()
}

#[derive(Serialize)]
struct Listed<'a> {
    group: &'a str,
    state: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    protocol_type: &'a str,
}

impl<'a> Listed<'a> {
    fn of(group: &'a GroupListing) -> Self {
        Self { group: &group.id, state: &group.state, kind: group.kind.name(), protocol_type: &group.protocol_type }
    }
}

fn list(admin: &Admin, output: &mut Output<'_>) -> Result<()> {
    #[derive(Serialize)]
    struct Shape<'a> {
        groups: Vec<Listed<'a>>,
    }
    let groups = admin.list_groups()?;
    let told = output.either(
        || json::line(&Shape { groups: groups.iter().map(Listed::of).collect() }),
        || {
            let mut table = Table::new(&["GROUP", "STATE", "TYPE", "PROTOCOL"]);
            for group in &groups {
                let kind = group.kind.name().to_owned();
                table.row(vec![group.id.clone(), group.state.clone(), kind, group.protocol_type.clone()]);
            }
            table.to_string()
        },
    );
    told.map(drop)
}

fn describe(admin: &Admin, groups: &[String], output: &mut Output<'_>) -> Result<()> {
    for group in &described(admin, groups)? {
        let told = output.either(
            || json::line(&json::Group::of(group)),
            || {
                let mut text = format!(
                    "group {}, {}, {} protocol, coordinator {} ({}), {} members",
                    printable(group.id.clone()),
                    group.state,
                    group.kind,
                    group.coordinator,
                    group.coordinator_address,
                    group.members.len()
                );
                if !group.assignor.is_empty() {
                    text = format!("{text}, assignor {}", printable(group.assignor.clone()));
                }
                if group.members.is_empty() {
                    return text;
                }
                let mut table = Table::new(&["MEMBER", "INSTANCE", "CLIENT-ID", "HOST", "ASSIGNMENT"]);
                for member in &group.members {
                    table.row(vec![
                        member.id.clone(),
                        member.instance_id.clone().unwrap_or_default(),
                        member.client_id.clone(),
                        member.host.clone(),
                        json::assignment(member),
                    ]);
                }
                format!("{text}\n{table}")
            },
        )?;
        if !told {
            break;
        }
    }
    Ok(())
}

fn delete(admin: &Admin, groups: &[String], yes: bool, output: &mut Output<'_>) -> Result<()> {
    #[derive(Serialize)]
    struct Shape<'a> {
        deleted: &'a [String],
    }
    // One that is missing or has members keeps the others from being deleted.
    if let Some(group) = described(admin, groups)?.iter().find(|group| !group.members.is_empty()) {
        let (id, count) = (group.id.escape_debug(), group.members.len());
        return Err(Error::state(format!("group {id} has {count} members; stop them first, nothing was deleted")));
    }
    let words = groups.iter().map(|group| group.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    confirm(&format!("delete {words}, with the offsets committed"), yes)?;
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let outcomes: Vec<(&str, Result<()>)> = names.iter().copied().zip(admin.delete_groups(&names)).collect();
    let gone: Vec<&str> = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(name, _)| *name).collect();
    for (name, outcome) in &outcomes {
        if let Err(error) = outcome {
            let error = plainly(name, error.clone());
            return Err(match gone.is_empty() {
                true => error,
                false => {
                    let gone = gone.join(", ");
                    Error::new(ErrorKind::State, format!("{error}; deleted: {}", gone.escape_debug()))
                }
            });
        }
    }
    let told = output.either(
        || json::line(&Shape { deleted: groups }),
        || groups.iter().map(|group| format!("deleted group {}\n", printable(group.clone()))).collect(),
    );
    told.map(drop)
}
