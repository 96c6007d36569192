//! How the calls reach whoever can answer: any broker, the controller, leaders, coordinators; again and again with
//! backoff until the one deadline of the call.

use std::collections::BTreeMap;
use std::time::Instant;

use super::Admin;
use crate::clock::{Backoff, Deadline};
use crate::kafka::error::{Error, ErrorKind, Result};
use crate::kafka::net::{Closer, Connection};
use crate::kafka::protocol::messages::FindCoordinatorRequest;
use crate::kafka::protocol::{ApiKey, ErrorCode};
use crate::sync::lock;

/// In place of a node id: whichever broker can be reached.
pub(super) const ANY: i32 = -1;

/// In how many rounds a topic or partition may be unknown before it counts as missing: a broker may learn of a new one
/// a moment after another.
const UNKNOWN_ROUNDS: u32 = 2;

/// What is known of one call's attempts so far.
pub(super) struct Tries<'a> {
    admin: &'a Admin,
    deadline: Deadline,
    /// Brokers that cannot be reached are told no later than bootstrap brokers that cannot.
    patience: Deadline,
    backoff: Backoff,
    cause: Option<Error>,
    /// An attempt may have been carried out although its answer never came.
    pub(super) perhaps_done: bool,
}

impl<'a> Tries<'a> {
    pub(super) fn new(admin: &'a Admin, deadline: Deadline) -> Self {
        let settings = admin.cluster.settings();
        Self {
            admin,
            deadline,
            patience: Deadline::after("the first connection", settings.first_connect_timeout).min(deadline),
            backoff: Backoff::new(settings.retry_backoff, settings.retry_backoff_max),
            cause: None,
            perhaps_done: false,
        }
    }

    /// The limit of one attempt.
    pub(super) fn step(&self) -> Deadline {
        let settings = self.admin.cluster.settings();
        Deadline::after("request.timeout.ms", settings.request_timeout).min(self.deadline)
    }

    /// Whether nothing more is to be tried after failures of this kind.
    fn is_over(&self, unreachable: bool) -> bool {
        if unreachable { self.patience } else { self.deadline }.passed(Instant::now())
    }

    /// Waits for the next attempt.
    fn pause(&mut self) {
        self.admin.cluster.request_refresh();
        std::thread::sleep(self.backoff.failed().min(self.deadline.left(Instant::now())));
    }

    /// An attempt failed: returns when it is time for the next.
    ///
    /// # Errors
    /// There is no use in another, or no time for it.
    pub(super) fn failed(&mut self, error: Error) -> Result<()> {
        if !error.is_retriable() || self.is_over(error.kind() == ErrorKind::Unreachable) {
            return Err(telling(error, self.cause.take()));
        }
        log::debug!("{error}; trying again");
        self.perhaps_done |= error.code().is_none_or(|code| code == ErrorCode::REQUEST_TIMED_OUT)
            && error.kind() != ErrorKind::Unreachable;
        self.pause();
        self.cause = Some(error);
        Ok(())
    }
}

/// The last attempt may have been too short to fail for any reason but its deadline.
fn telling(last: Error, before: Option<Error>) -> Error {
    if last.kind() == ErrorKind::Timeout { before.unwrap_or(last) } else { last }
}

impl Admin {
    /// Tries until it works, there is no use in trying, or the deadline passed.
    pub(super) fn attempt<T>(&self, deadline: Deadline, mut once: impl FnMut(&Tries<'_>) -> Result<T>) -> Result<T> {
        let mut tries = Tries::new(self, deadline);
        loop {
            match once(&tries) {
                Ok(done) => return Ok(done),
                Err(error) => tries.failed(error)?,
            }
        }
    }

    /// The node that takes changes to the cluster. Since KRaft any broker passes them on.
    pub(super) fn controller(&self) -> i32 {
        self.cluster.snapshot().controller_id.max(ANY)
    }

    /// Talks to this node, on the connection of the call before if there is one.
    pub(super) fn talk<T>(
        &self,
        node: i32,
        step: Deadline,
        talk: impl FnOnce(&mut Connection) -> Result<T>,
    ) -> Result<T> {
        let idle = lock(&self.idle).remove(&node);
        let mut connection = match idle {
            Some(connection) => connection,
            None if node == ANY => self.cluster.connect_any(&Closer::new(), step)?,
            None => self.cluster.connect(node, &Closer::new(), step)?,
        };
        let outcome = talk(&mut connection).map_err(|error| error.with_broker(connection.broker()));
        if !connection.is_ended() {
            lock(&self.idle).insert(node, connection);
        }
        outcome
    }

    /// Asks about many things, each at the node responsible for it, and again about those that failed for a reason that
    /// may pass. One result for each, in their order.
    ///
    /// `locate` says where to ask about each, `ask` gives one result for each of those it is told.
    pub(super) fn spread<K, T>(
        &self,
        items: &[K],
        deadline: Deadline,
        mut locate: impl FnMut(&[&K], Deadline) -> Result<Vec<Result<i32>>>,
        mut ask: impl FnMut(i32, &[&K], &Tries<'_>, Deadline) -> Result<Vec<Result<T>>>,
    ) -> Vec<Result<T>> {
        let mut outcomes: Vec<Option<Result<T>>> = items.iter().map(|_| None).collect();
        let mut failures: Vec<Option<Error>> = items.iter().map(|_| None).collect();
        let mut pending: Vec<usize> = (0..items.len()).collect();
        let mut tries = Tries::new(self, deadline);
        let mut rounds = 0;
        while !pending.is_empty() {
            rounds += 1;
            let round = round(items, &pending, &tries, &mut locate, &mut ask);
            pending.clear();
            for (index, outcome) in round {
                let missing = |error: &Error| error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                match outcome {
                    Err(error) if error.is_retriable() && !(missing(&error) && rounds >= UNKNOWN_ROUNDS) => {
                        tries.perhaps_done |= error.kind() != ErrorKind::Unreachable && error.code().is_none();
                        failures[index] = Some(telling(error, failures[index].take()));
                        pending.push(index);
                    }
                    outcome => outcomes[index] = Some(outcome),
                }
            }
            let unreachable =
                |index: &usize| failures[*index].as_ref().is_some_and(|error| error.kind() == ErrorKind::Unreachable);
            if pending.is_empty() || tries.is_over(pending.iter().all(unreachable)) {
                break;
            }
            tries.pause();
        }
        let late = || Error::timeout(&deadline, "asking the cluster");
        outcomes
            .into_iter()
            .zip(failures)
            .map(|(outcome, failure)| outcome.unwrap_or_else(|| Err(failure.unwrap_or_else(late))))
            .collect()
    }

    /// The coordinators of these groups.
    pub(super) fn coordinators(&self, groups: &[&&str], step: Deadline) -> Result<Vec<Result<i32>>> {
        self.talk(ANY, step, |connection| {
            if connection.versions().negotiate::<FindCoordinatorRequest>()? < 4 {
                return groups.iter().map(|group| coordinator(connection, group, step)).collect();
            }
            let coordinator_keys = groups.iter().map(|group| (**group).to_owned()).collect();
            let response = connection.call(&FindCoordinatorRequest { coordinator_keys, ..Default::default() }, step)?;
            let found: BTreeMap<&str, _> =
                response.coordinators.iter().map(|found| (found.key.as_str(), found)).collect();
            let node = |group: &&&str| {
                let found = found.get(**group).ok_or_else(|| super::unmentioned(ApiKey::FindCoordinator, "group"))?;
                super::checked(ApiKey::FindCoordinator, found.error_code, found.error_message.as_deref())?;
                Ok(found.node_id)
            };
            Ok(groups.iter().map(node).collect())
        })
    }
}

/// One coordinator, as brokers before version 4 tell it. The outer failure is the connection's.
fn coordinator(connection: &mut Connection, group: &str, step: Deadline) -> Result<Result<i32>> {
    let response = connection.call(&FindCoordinatorRequest { key: group.to_owned(), ..Default::default() }, step)?;
    let checked = super::checked(ApiKey::FindCoordinator, response.error_code, response.error_message.as_deref());
    Ok(checked.map(|()| response.node_id))
}

fn round<K, T>(
    items: &[K],
    pending: &[usize],
    tries: &Tries<'_>,
    locate: &mut impl FnMut(&[&K], Deadline) -> Result<Vec<Result<i32>>>,
    ask: &mut impl FnMut(i32, &[&K], &Tries<'_>, Deadline) -> Result<Vec<Result<T>>>,
) -> Vec<(usize, Result<T>)> {
    let all: Vec<&K> = pending.iter().map(|&index| &items[index]).collect();
    let located = match locate(&all, tries.step()) {
        Ok(located) => located,
        Err(error) => return pending.iter().map(|&index| (index, Err(error.clone()))).collect(),
    };
    let mut outcomes = Vec::with_capacity(pending.len());
    let mut nodes: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (&index, node) in pending.iter().zip(located) {
        match node {
            Ok(node) => nodes.entry(node).or_default().push(index),
            Err(error) => outcomes.push((index, Err(error))),
        }
    }
    let mut left = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    for (node, indexes) in nodes {
        // A node that does not answer leaves time for those after it.
        let step = tries.step();
        let share = step.left(Instant::now()) / left.max(1);
        let step = if left > 1 { Deadline::after(step.name, share) } else { step };
        left -= 1;
        let keys: Vec<&K> = indexes.iter().map(|&index| &items[index]).collect();
        match ask(node, &keys, tries, step) {
            Ok(results) => outcomes.extend(indexes.into_iter().zip(results)),
            Err(error) => outcomes.extend(indexes.into_iter().map(|index| (index, Err(error.clone())))),
        }
    }
    outcomes
}
