//! How a group's leader shares partitions out, and what members tell it to go by.
//!
//! | file | holds |
//! | --- | --- |
//! | `range.rs` | `range`: topic by topic, neighbouring partitions together |
//! | `round_robin.rs` | `roundrobin`: one partition after the other to one member after the other |
//! | `sticky/` | `sticky` and `cooperative-sticky`: evenly, with as few moves as that takes |
//! | `judged.rs` | the assignors for tests that compare them with other clients' |
//! | `racks.rs` | when racks count, and who shares one with a replica (KIP-881) |
//!
//! An [`Assignor`] sees every member's subscription, which carries what KIP-429's cooperative protocols and the sticky
//! ones need (owned partitions, their generation), and the partitions there are; it neither knows the group's state
//! nor talks to anyone. The same input gives the same result, whatever the order of the members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::subscription::TopicPartition;
use crate::kafka::cluster::Metadata;
use crate::kafka::config::AssignorKind;
use crate::kafka::protocol::Bytes;
use crate::kafka::protocol::messages::ConsumerProtocolSubscription;

#[expect(missing_docs, reason = "not part of the interface")]
pub mod judged;
mod racks;
mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

/// A member as the leader sees it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub id: String,
    pub instance_id: Option<String>,
    pub subscription: ConsumerProtocolSubscription,
}

/// What one member gets, by topic. A member that gets nothing has an empty one.
pub(super) type Share = BTreeMap<String, Vec<i32>>;

/// The racks that hold a replica of a partition, alive or not.
pub(super) type Racks = BTreeSet<Arc<str>>;

/// The topics that exist, each with the racks of each of its partitions, by partition number.
pub(super) type Topics = BTreeMap<String, Vec<Racks>>;

/// A way to share partitions out. Every member of a group must offer the one that is used.
pub(super) trait Assignor: Send + Sync {
    /// Kafka's name for it, as in `partition.assignment.strategy`.
    fn name(&self) -> &'static str;

    /// Whether members keep what they own while they rejoin (KIP-429).
    fn cooperative(&self) -> bool {
        false
    }

    /// What this member sends along for its own use in later rebalances.
    ///
    /// `owned` is what it was assigned last, even if an eager rebalance has taken that away since, and `generation` the
    /// one in which it was; -1 and nothing before the first.
    fn user_data(&self, _topics: &BTreeSet<String>, _owned: &[TopicPartition], _generation: i32) -> Option<Bytes> {
        None
    }

    /// Shares out every partition of every one of these topics that some member subscribes to. The result has one
    /// share per member, by member id.
    ///
    /// A [cooperative](Self::cooperative) one leaves out partitions that go to another member than the one that owns
    /// them: their owner is to give them up first, and the rebalance after that hands them on.
    fn assign(&self, topics: &Topics, members: &[Member]) -> BTreeMap<String, Share>;
}

/// The assignor that a setting names.
pub(super) fn assignor(kind: AssignorKind) -> &'static dyn Assignor {
    match kind {
        AssignorKind::Range => &range::Range,
        AssignorKind::RoundRobin => &round_robin::RoundRobin,
        AssignorKind::Sticky => &sticky::Sticky,
        AssignorKind::CooperativeSticky => &sticky::CooperativeSticky,
    }
}

/// What assignors go by of these topics. A topic that is not known to exist is left out.
pub(super) fn topics<'a>(metadata: &Metadata, names: impl IntoIterator<Item = &'a str>) -> Topics {
    let racks: BTreeMap<i32, Arc<str>> =
        metadata.brokers.values().filter_map(|broker| Some((broker.id, broker.rack.as_deref()?.into()))).collect();
    let known = |name: &'a str| {
        let partitions = metadata.topic(name)?.partitions.iter();
        let racks =
            partitions.map(|partition| partition.replicas.iter().filter_map(|id| racks.get(id).cloned()).collect());
        Some((name.to_owned(), racks.collect()))
    };
    names.into_iter().filter_map(known).collect()
}

/// The members in the order in which they are served: static members by their instance id, then the others by member
/// id.
fn serving_order(members: &[Member]) -> Vec<&Member> {
    let mut ordered: Vec<&Member> = members.iter().collect();
    ordered.sort_by_key(|member| (member.instance_id.is_none(), member.instance_id.as_deref(), member.id.as_str()));
    ordered
}

/// Who subscribes to each topic, by place in `members`, in that order. A member that names a topic twice counts once.
fn subscribers<'a>(members: &[&'a Member]) -> BTreeMap<&'a str, Vec<usize>> {
    let mut topics: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, member) in members.iter().enumerate() {
        for topic in &member.subscription.topics {
            let places = topics.entry(topic).or_default();
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }
    topics
}

/// Nothing yet for each member.
fn no_shares(members: &[Member]) -> BTreeMap<String, Share> {
    members.iter().map(|member| (member.id.clone(), Share::new())).collect()
}
