//! The assignors for tests from outside of the crate, which compare them with other clients'; not part of the interface.

use std::collections::{BTreeMap, BTreeSet};

use super::{Member, assignor};
use crate::kafka::config::AssignorKind;
use crate::kafka::consumer::subscription::TopicPartition;
use crate::kafka::protocol::messages::{ConsumerProtocolSubscription, ConsumerProtocolTopicPartition};

/// A member, and what it tells.
#[derive(Clone, Debug)]
pub struct Subscriber {
    pub id: String,
    pub instance_id: Option<String>,
    pub topics: Vec<String>,
    /// What it was assigned last, in `generation`; -1 before the first.
    pub owned: Vec<TopicPartition>,
    pub generation: i32,
    pub rack: Option<String>,
}

/// The topics, with the racks of each partition's replicas.
pub type Racks = BTreeMap<String, Vec<BTreeSet<String>>>;

/// What the assignor of this name gives each member. None if there is no such assignor.
pub fn assign(name: &str, topics: &Racks, members: &[Subscriber]) -> Option<BTreeMap<String, Vec<TopicPartition>>> {
    use AssignorKind::{CooperativeSticky, Range, RoundRobin, Sticky};
    let assignor =
        [Range, RoundRobin, Sticky, CooperativeSticky].map(assignor).into_iter().find(|it| it.name() == name)?;
    let racks = |racks: &BTreeSet<String>| racks.iter().map(|rack| rack.as_str().into()).collect();
    let topics =
        topics.iter().map(|(topic, partitions)| (topic.clone(), partitions.iter().map(racks).collect())).collect();
    let member = |member: &Subscriber| {
        let owned = member
            .owned
            .iter()
            .map(|at| ConsumerProtocolTopicPartition { topic: at.topic.to_string(), partitions: vec![at.partition] });
        let subscribed = member.topics.iter().cloned().collect();
        let subscription = ConsumerProtocolSubscription {
            topics: member.topics.clone(),
            user_data: assignor.user_data(&subscribed, &member.owned, member.generation),
            // With the eager ones it is given up before they join.
            owned_partitions: if assignor.cooperative() { owned.collect() } else { Vec::new() },
            generation_id: member.generation,
            rack_id: member.rack.clone(),
        };
        Member { id: member.id.clone(), instance_id: member.instance_id.clone(), subscription }
    };
    let members: Vec<Member> = members.iter().map(member).collect();
    let shares = assignor.assign(&topics, &members).into_iter();
    let flat = |(id, share): (String, super::Share)| {
        let all = share
            .iter()
            .flat_map(|(topic, numbers)| numbers.iter().map(|number| TopicPartition::new(topic.as_str(), *number)));
        (id, all.collect())
    };
    Some(shares.map(flat).collect())
}
