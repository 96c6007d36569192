//! Who coordinates which group, and how leaders and coordinators are moved from one broker to another.

use std::collections::HashMap;

use super::cluster::{Cluster, Node};
use super::partition::Partition;
use crate::sync::lock;
use crate::{Error, Result};

/// Where groups are coordinated: at the broker that their name chooses, or the next one that is up, unless they were
/// moved.
#[derive(Debug, Default)]
pub(super) struct Coordinators {
    /// By group; holds while that broker is up.
    moved: HashMap<String, i32>,
    /// By how many brokers all the others were moved on.
    turned: usize,
}

impl Coordinators {
    fn of<'a>(&self, group: &str, nodes: &'a [Node]) -> Option<&'a Node> {
        let moved = self.moved.get(group).and_then(|id| nodes.iter().find(|node| node.up && node.id == *id));
        let hash = group.bytes().fold(0u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let at = (hash as usize).wrapping_add(self.turned) % nodes.len().max(1);
        moved.or_else(|| nodes[at..].iter().chain(&nodes[..at]).find(|node| node.up))
    }
}

impl Cluster {
    /// Who coordinates this group.
    pub(super) fn coordinator(&self, group: &str) -> Option<Node> {
        let nodes = self.every_node();
        lock(&self.coordinators).of(group, &nodes).cloned()
    }

    /// Makes a change after which groups may be coordinated elsewhere: members that wait for an answer are sent there.
    pub(super) fn moving_coordinators(&self, change: impl FnOnce()) {
        let at = |group: &String| self.coordinator(group).map(|node| node.id);
        self.with_groups(|groups, _| {
            let before: Vec<_> = groups.ids().map(|group| (group.clone(), at(group))).collect();
            change();
            for (group, _) in before.iter().filter(|(group, before)| at(group) != *before) {
                groups.moved(group);
            }
        });
    }

    /// Makes this broker the coordinator of a group.
    ///
    /// # Errors
    /// It is not up.
    pub(super) fn move_coordinator(&self, group: &str, node: i32) -> Result<()> {
        self.up(node)?;
        self.moving_coordinators(|| {
            lock(&self.coordinators).moved.insert(group.to_owned(), node);
        });
        Ok(())
    }

    /// Moves the coordinator of this group, or of every group, to the next broker.
    pub(super) fn move_coordinators(&self, group: Option<&str>) {
        let next = |node: i32| self.next_up(node).unwrap_or(node);
        self.moving_coordinators(|| match group {
            Some(group) => {
                if let Some(node) = self.coordinator(group) {
                    lock(&self.coordinators).moved.insert(group.to_owned(), next(node.id));
                }
            }
            None => {
                let mut coordinators = lock(&self.coordinators);
                coordinators.turned = coordinators.turned.wrapping_add(1);
                coordinators.moved.values_mut().for_each(|node| *node = next(*node));
            }
        });
    }

    /// Makes this broker the leader of a partition.
    ///
    /// # Errors
    /// It is not up, or there is no such partition.
    pub(super) fn move_leader(&self, topic: &str, partition: i32, node: i32) -> Result<()> {
        self.up(node)?;
        let found = self.topic(topic).and_then(|topic| topic.partition(partition));
        let found = found.ok_or_else(|| Error::state(format!("there is no partition {topic}-{partition}")))?;
        self.move_up(&found, node);
        Ok(())
    }

    /// Moves the leader of each partition, of this topic or of all, to the next broker.
    pub(super) fn move_leaders(&self, topic: Option<&str>) {
        for topic in self.topics().iter().filter(|known| topic.is_none_or(|name| name == known.name)) {
            for partition in topic.partitions() {
                let leader = partition.state().leader;
                if let Some(next) = leader.and_then(|leader| self.next_up(leader)) {
                    self.move_up(&partition, next);
                }
            }
        }
    }

    /// Makes this broker the leader, unless it went down meanwhile.
    fn move_up(&self, partition: &Partition, node: i32) {
        self.while_up(node, || partition.state().move_to(node));
    }

    /// # Errors
    /// There is no such broker, or it is not up.
    fn up(&self, node: i32) -> Result<()> {
        self.node(node).map(drop).ok_or_else(|| Error::state(format!("there is no broker {node} that is up")))
    }

    /// The next broker that is up; none if there is no other.
    fn next_up(&self, node: i32) -> Option<i32> {
        let ids: Vec<i32> = self.nodes().iter().map(|node| node.id).collect();
        let next = ids.iter().copied().find(|id| *id > node).or(ids.first().copied());
        next.filter(|next| *next != node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(up: [bool; 3]) -> Vec<Node> {
        (1..).zip(up).map(|(id, up)| Node { id, host: String::new(), port: 1, up }).collect()
    }

    #[test]
    fn only_the_groups_of_a_broker_that_goes_down_move_and_they_come_back() {
        let coordinators = Coordinators::default();
        let names: Vec<String> = (0..50).map(|n| format!("group {n}")).collect();
        let at = |up| -> Vec<i32> { names.iter().map(|name| coordinators.of(name, &nodes(up)).unwrap().id).collect() };
        let (all, without) = (at([true; 3]), at([true, false, true]));
        for (before, after) in all.iter().zip(&without) {
            assert!(if *before == 2 { *after == 3 } else { after == before });
        }
        assert!((1..=3).all(|id| all.contains(&id)));
        assert!(coordinators.of("g", &nodes([false; 3])).is_none() && coordinators.of("g", &[]).is_none());
    }
}
