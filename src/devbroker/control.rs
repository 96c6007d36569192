//! What can be done to running brokers from Rust: faults, outages, and moves of leaders and coordinators.

use super::faults::Timed;
use super::{DevBroker, Fault, FaultId};
use crate::sync::lock;
use crate::{Error, Result};

/// Trouble on purpose. None of this may be called from a thread of the broker itself.
impl DevBroker {
    /// From now on this goes wrong.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a fault that contradicts itself or is about a broker that is
    /// not there.
    pub fn inject(&self, fault: Fault) -> Result<FaultId> {
        if let Some(why) = fault.contradiction() {
            return Err(Error::config(format!("fault {fault}: {why}")));
        }
        if let Some(node) = fault.node().filter(|node| self.brokers.chosen(Some(*node)).is_empty()) {
            let brokers = self.cluster.options.brokers;
            return Err(Error::config(format!("fault {fault}: there is no broker {node}: they are 1 to {brokers}")));
        }
        if !fault.is_timed() {
            return Ok(self.cluster.faults.add(fault));
        }
        let mut timed = lock(&self.timed);
        let (id, thread) = Timed::start(fault, &self.cluster.faults, &self.brokers)?;
        timed.push(thread);
        Ok(id)
    }

    /// Ends all faults. A broker that one of them had stopped is up again when this returns.
    pub fn clear_faults(&self) {
        self.cluster.faults.clear();
        std::mem::take(&mut *lock(&self.timed)).into_iter().for_each(Timed::end);
    }

    /// How often a fault acted until now, also after it was cleared.
    pub fn faults_applied(&self, id: FaultId) -> u64 {
        self.cluster.faults.applied(id)
    }

    /// Makes this broker the leader of a partition, with all that is in it. It becomes a replica if it was none.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::ErrorKind::State) if there is no such partition, or the broker is not up.
    pub fn move_leader(&self, topic: &str, partition: i32, node: i32) -> Result<()> {
        self.cluster.move_leader(topic, partition, node)
    }

    /// Makes this broker the coordinator of a group, for as long as it is up.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::ErrorKind::State) if the broker is not up.
    pub fn move_coordinator(&self, group: &str, node: i32) -> Result<()> {
        self.cluster.move_coordinator(group, node)
    }

    /// The ids of the members of a group.
    pub fn members(&self, group: &str) -> Vec<String> {
        self.cluster.with_groups(|groups, _| groups.members(group).into_iter().collect())
    }

    /// Ends the session of a member of a group, as if nothing had been heard of it for too long. `false` if the group
    /// has no such member.
    pub fn expel_member(&self, group: &str, member: &str) -> bool {
        self.cluster.with_groups(|groups, now| groups.expel(now, &*self.cluster, group, member))
    }

    /// Stops a broker: its connections end, its port refuses new ones, and what it led is led by another replica or by
    /// nobody. Does nothing if it is not up.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::ErrorKind::State) if there is no such broker.
    pub fn stop_broker(&self, node: i32) -> Result<()> {
        self.brokers.known(node)?;
        self.brokers.stop(node);
        Ok(())
    }

    /// Starts a broker that was stopped, on the port it had. Does nothing if it is up.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::ErrorKind::State) if there is no such broker, [`ErrorKind::Io`](crate::ErrorKind::Io)
    /// if its port is taken.
    pub fn start_broker(&self, node: i32) -> Result<()> {
        self.brokers.start(node)
    }

    /// Ends all connections of a broker, which takes new ones.
    ///
    /// # Errors
    /// [`ErrorKind::State`](crate::ErrorKind::State) if there is no such broker.
    pub fn cut_connections(&self, node: i32) -> Result<()> {
        self.brokers.known(node)?;
        self.brokers.cut(node);
        Ok(())
    }

    /// Forgets all idempotent producers, as if they had written nothing for a day.
    pub fn expire_producers(&self) {
        self.cluster.expire_producers();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::devbroker::Options;
    use crate::devbroker::cluster::Wanted;
    use crate::{Config, ErrorKind, Producer, Record};

    /// No wait of a test that works comes near this.
    const LONG: Duration = Duration::from_secs(30);

    fn brokers(brokers: i32) -> DevBroker {
        DevBroker::start(Options { brokers, ..Options::default() }).unwrap()
    }

    fn address(broker: &DevBroker, node: i32) -> String {
        let node = broker.cluster.node(node).unwrap();
        format!("{}:{}", node.host, node.port)
    }

    fn await_that(what: &str, condition: impl Fn() -> bool) {
        let until = Instant::now() + LONG;
        while !condition() {
            assert!(Instant::now() < until, "{what} does not happen");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn leader(broker: &DevBroker, topic: &str) -> Option<i32> {
        broker.cluster.topic(topic).unwrap().partition(0).unwrap().state().leader
    }

    fn topic(broker: &DevBroker, replicas: &[i32]) {
        let wanted = Wanted { name: "t".to_owned(), replicas: vec![replicas.to_vec()], ..Wanted::default() };
        broker.cluster.create_topic(wanted).unwrap();
    }

    #[test]
    fn a_stopped_broker_refuses_and_comes_back_where_it_was() {
        let broker = brokers(2);
        let at = address(&broker, 2);
        topic(&broker, &[2]);
        let mut open = TcpStream::connect(&at).unwrap();
        broker.stop_broker(2).unwrap();
        broker.stop_broker(2).unwrap();
        assert!(!matches!(open.read(&mut [0]), Ok(1..)), "the connection ends");
        let refused = TcpStream::connect(&at).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!((leader(&broker, "t"), broker.bootstrap()), (None, address(&broker, 1)));

        broker.start_broker(2).unwrap();
        broker.start_broker(2).unwrap();
        assert_eq!((address(&broker, 2), leader(&broker, "t")), (at.clone(), Some(2)));
        TcpStream::connect(&at).unwrap();
        for result in [broker.start_broker(3), broker.stop_broker(0), broker.cut_connections(-1)] {
            assert!(result.unwrap_err().to_string().contains("they are 1 to 2"));
        }
    }

    #[test]
    fn cut_connections_end_and_new_ones_are_taken() {
        let broker = brokers(1);
        let at = address(&broker, 1);
        let mut open = TcpStream::connect(&at).unwrap();
        // It is noted once it was accepted.
        await_that("the end of the connection", || {
            broker.cut_connections(1).unwrap();
            open.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
            let mut reader = &open;
            !matches!(reader.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        });
        open = TcpStream::connect(&at).unwrap();
        open.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        assert_eq!(open.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn leaders_and_coordinators_move_to_brokers_that_are_up() {
        let broker = brokers(3);
        topic(&broker, &[1]);
        broker.move_leader("t", 0, 3).unwrap();
        assert_eq!(leader(&broker, "t"), Some(3));
        {
            let partition = broker.cluster.topic("t").unwrap().partition(0).unwrap();
            let state = partition.state();
            assert_eq!((&*state.replicas, &*state.in_sync, state.leader_epoch), (&[3][..], &[3][..], 1));
        }
        for wrong in [broker.move_leader("t", 1, 1), broker.move_leader("u", 0, 1), broker.move_leader("t", 0, 4)] {
            assert_eq!(wrong.unwrap_err().kind(), ErrorKind::State);
        }
        let coordinator = || broker.cluster.coordinator("g").unwrap().id;
        for node in [1, 2, 3] {
            broker.move_coordinator("g", node).unwrap();
            assert_eq!(coordinator(), node);
        }
        broker.stop_broker(3).unwrap();
        assert_ne!(coordinator(), 3);
        assert!(broker.move_coordinator("g", 3).is_err());
        broker.start_broker(3).unwrap();
        assert_eq!(coordinator(), 3);
        for _ in 0..3 {
            let before = coordinator();
            broker.cluster.move_coordinators(None);
            assert_ne!(coordinator(), before);
        }
        broker.cluster.move_coordinators(Some("g"));
        broker.cluster.move_leaders(None);
        assert_eq!(leader(&broker, "t"), Some(1));
    }

    #[test]
    fn a_broker_goes_down_by_time_and_is_up_again_after_it() {
        let broker = brokers(2);
        let fault = Fault::down(Duration::from_millis(30)).broker(2).repeated(Duration::from_millis(60)).next(2);
        let id = broker.inject(fault).unwrap();
        await_that("an outage", || broker.cluster.node(2).is_none());
        await_that("its end", || broker.cluster.node(2).is_some());
        await_that("the second", || broker.faults_applied(id) == 2);
        await_that("its end", || broker.cluster.node(2).is_some());
    }

    #[test]
    fn an_outage_that_is_cleared_is_over() {
        let options = Options { faults: vec![Fault::down(LONG)], ..Options::default() };
        let broker = DevBroker::start(options).unwrap();
        await_that("an outage", || broker.cluster.node(1).is_none());
        broker.clear_faults();
        TcpStream::connect(address(&broker, 1)).unwrap();
    }

    #[test]
    fn a_broker_ends_at_once_whatever_its_faults_are_about_to_do() {
        let begun = Instant::now();
        for pause in [0, 1, 5, 20] {
            let broker = brokers(2);
            for fault in ["down=1ms,every=2ms", "broker=1,down=1h", "down=1h,after=1h", "cut,every=1ms", "any:delay=1h"]
            {
                broker.inject(fault.parse().unwrap()).unwrap();
            }
            std::thread::sleep(Duration::from_millis(pause));
            broker.stop();
        }
        assert!(begun.elapsed() < LONG);
    }

    #[test]
    fn what_contradicts_itself_or_is_not_there_is_not_injected() {
        let broker = brokers(2);
        for (fault, why) in [
            (Fault::drop().every(0), "begin at 1"),
            (Fault::down(Duration::from_secs(1)).broker(3), "there is no broker 3: they are 1 to 2"),
            (Fault::drop().broker(0), "there is no broker 0"),
        ] {
            let error = broker.inject(fault.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(why), "{error}");
            let options = Options { brokers: 2, faults: vec![fault], ..Options::default() };
            assert_eq!(DevBroker::start(options).err().map(|error| error.kind()), Some(ErrorKind::Config));
        }
    }

    /// What each does to a request is the matter of `tests/faults`; here, that all of them come to a running broker.
    #[test]
    fn a_fault_acts_on_requests_and_is_counted() {
        let broker = brokers(1);
        let config = Config::new().set("bootstrap.servers", broker.bootstrap()).unwrap();
        let config = config.set("retry.backoff.ms", 1).unwrap().set("reconnect.backoff.ms", 1).unwrap();
        topic(&broker, &[1]);
        let mut ids = Vec::new();
        for fault in [
            "error=NOT_ENOUGH_REPLICAS,topic=t",
            "error=REQUEST_TIMED_OUT,after-work,topic=t",
            "delay=1ms,topic=t",
            "drop,topic=t",
            "drop-inside",
            "drop-after,topic=t",
            "truncate,topic=t",
            "truncate=3,topic=t",
        ] {
            ids.push(broker.inject(format!("produce:{fault},next=1").parse().unwrap()).unwrap());
        }
        let other = broker.inject("produce:drop,topic=u".parse().unwrap()).unwrap();
        let producer = Producer::connect(&config).unwrap();
        for n in 0..10 {
            let sent = producer.send(Record::to("t").partition(0).value(&n.to_string())).unwrap().wait().unwrap();
            assert_eq!(sent.offset(), n);
        }
        assert_eq!(ids.iter().map(|id| broker.faults_applied(*id)).collect::<Vec<_>>(), vec![1; ids.len()]);
        assert_eq!(broker.faults_applied(other), 0);
        producer.close(LONG).unwrap();
    }
}
