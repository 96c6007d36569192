//! The brokers of a process, each of which can be stopped and started again while the others run.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::server::Server;
use crate::kafka::net::Reserved;
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

/// How long a broker tries to get its port back, and the pause between two tries.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// How long a port may take to come free after its listener is gone.
const LETTING_GO: Duration = Duration::from_secs(1);

/// All brokers, by node id from 1.
pub(super) struct Brokers {
    cluster: Arc<Cluster>,
    /// Each lock is held while its broker starts or stops.
    slots: Vec<Mutex<Slot>>,
    /// Nothing starts any more.
    closing: AtomicBool,
}

enum Slot {
    /// It was never up.
    Empty,
    Up(Server),
    /// Its port is kept for it, unless somebody else was quicker.
    Down(SocketAddr, Option<Reserved>),
}

/// Takes a port that the last of its connections' threads is about to let go of.
fn reserve(address: SocketAddr) -> Option<Reserved> {
    let until = Instant::now() + LETTING_GO;
    loop {
        match Reserved::at(address) {
            Ok(reserved) => return Some(reserved),
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => return None,
        }
    }
}

impl Brokers {
    /// Brokers, none of which is up.
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        let slots = (0..cluster.options.brokers).map(|_| Mutex::new(Slot::Empty)).collect();
        Self { cluster, slots, closing: AtomicBool::new(false) }
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The broker with this id, or all.
    pub(super) fn chosen(&self, node: Option<i32>) -> Vec<i32> {
        let all = 1..=self.cluster.options.brokers;
        all.filter(|id| node.is_none_or(|node| node == *id)).collect()
    }

    /// Starts a broker, where it was before if it was up before. Does nothing if it is up.
    ///
    /// # Errors
    /// The node is not one of these, its port is taken, or all brokers end.
    pub(super) fn start(&self, node: i32) -> Result<()> {
        let mut slot = lock(self.slot(node)?);
        if self.closing.load(Ordering::SeqCst) {
            return Err(Error::state("the broker ends"));
        }
        let server = match std::mem::replace(&mut *slot, Slot::Empty) {
            Slot::Up(server) => Ok(server),
            Slot::Empty => Server::start(node, &self.cluster),
            Slot::Down(address, reserved) => {
                let again = self.again(node, address, reserved);
                again.inspect_err(|_| *slot = Slot::Down(address, None))
            }
        };
        *slot = Slot::Up(server?);
        Ok(())
    }

    fn again(&self, node: i32, address: SocketAddr, mut reserved: Option<Reserved>) -> Result<Server> {
        let until = Instant::now() + PATIENCE;
        loop {
            let listener = reserved.take().map_or_else(|| Reserved::at(address), Ok).and_then(Reserved::listen);
            match listener {
                Ok(listener) => return Server::listen(node, listener, &self.cluster),
                Err(error) if Instant::now() >= until || self.closing.load(Ordering::SeqCst) => {
                    return Err(Error::new(ErrorKind::Io, format!("cannot listen at {address} again: {error}")));
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Stops a broker: its connections end, and its port refuses new ones. Does nothing if it is not up.
    pub(super) fn stop(&self, node: i32) {
        let Ok(slot) = self.slot(node) else { return };
        let mut slot = lock(slot);
        if let Slot::Up(server) = &mut *slot {
            server.stop();
            let address = server.address();
            // The port must be let go before it can be taken again.
            *slot = Slot::Down(address, None);
            if !self.closing.load(Ordering::SeqCst) {
                *slot = Slot::Down(address, reserve(address));
            }
        }
    }

    /// # Errors
    /// There is no such node.
    pub(super) fn known(&self, node: i32) -> Result<()> {
        self.slot(node).map(drop)
    }

    /// Ends all connections of a broker; it takes new ones.
    pub(super) fn cut(&self, node: i32) {
        if let Ok(slot) = self.slot(node)
            && let Slot::Up(server) = &*lock(slot)
        {
            server.cut();
        }
    }

    /// Stops all brokers for good.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.chosen(None).into_iter().for_each(|node| self.stop(node));
    }

    /// # Errors
    /// There is no such node.
    fn slot(&self, node: i32) -> Result<&Mutex<Slot>> {
        let slot = usize::try_from(node).ok().and_then(|node| self.slots.get(node.checked_sub(1)?));
        slot.ok_or_else(|| Error::state(format!("there is no broker {node}: they are 1 to {}", self.slots.len())))
    }
}
