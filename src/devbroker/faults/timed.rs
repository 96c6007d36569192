//! Faults that fall due by time, each on a thread of its own: a broker that stops waits for its connections, and nothing
//! else shall wait for that.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::injected::Injected;
use super::{Deed, Fault, FaultId, Faults};
use crate::Result;
use crate::devbroker::brokers::Brokers;
use crate::devbroker::call::{Doorbell, Woken};
use crate::kafka::threads;

/// A fault that falls due by time, until it is ended.
pub(in super::super) struct Timed {
    /// Closed when the fault is to end.
    bell: Arc<Doorbell>,
    thread: JoinHandle<()>,
}

impl Timed {
    /// Injects a fault and waits, elsewhere, for it to fall due.
    pub(in super::super) fn start(fault: Fault, faults: &Faults, brokers: &Arc<Brokers>) -> Result<(FaultId, Self)> {
        let (id, injected) = faults.insert(fault);
        let (bell, brokers) = (Arc::new(Doorbell::default()), Arc::clone(brokers));
        let waiting = Arc::clone(&bell);
        let thread = threads::spawn("krs-broker-fault", move || run(&injected, &brokers, &waiting))?;
        Ok((id, Self { bell, thread }))
    }

    /// Ends it, with all that it began: a broker that it stopped is up again, unless all brokers end.
    pub(in super::super) fn end(self) {
        self.bell.close();
        threads::join(self.thread);
    }
}

fn run(injected: &Injected, brokers: &Brokers, bell: &Doorbell) {
    let fault = &injected.fault;
    let mut due = injected.since + fault.after;
    while bell.wait(Some(due)) == Woken::Late && injected.falls_due() {
        log::info!(target: "broker", "fault {fault} begins");
        carry_out(fault, brokers, bell);
        let Some(again) = fault.again else { return };
        due = (due + again).max(Instant::now());
    }
}

fn carry_out(fault: &Fault, brokers: &Brokers, bell: &Doorbell) {
    let cluster = brokers.cluster();
    match fault.deed {
        Deed::Down(time) => down(&brokers.chosen(fault.broker), time, brokers, bell),
        Deed::Cut => brokers.chosen(fault.broker).into_iter().for_each(|node| brokers.cut(node)),
        Deed::MoveLeader => cluster.move_leaders(fault.topic.as_deref()),
        Deed::MoveCoordinator => cluster.move_coordinators(fault.group.as_deref()),
        Deed::ExpireProducers => cluster.expire_producers(),
        // Of requests.
        _ => {}
    }
}

fn down(nodes: &[i32], time: Duration, brokers: &Brokers, bell: &Doorbell) {
    let until = Instant::now() + time;
    nodes.iter().for_each(|node| brokers.stop(*node));
    bell.wait(Some(until));
    for node in nodes {
        match brokers.start(*node) {
            Ok(()) => log::info!(target: "broker", "node {node} is up again"),
            Err(error) => log::warn!(target: "broker", "node {node} stays down: {error}"),
        }
    }
}
