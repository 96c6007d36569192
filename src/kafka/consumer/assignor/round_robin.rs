//! `roundrobin`: one partition after the other to one member after the other.

use std::collections::BTreeMap;

use super::{Assignor, Member, Share, Topics, no_shares, serving_order, subscribers};

/// Deals the partitions of all topics out in turn, passing over members that do not subscribe to the topic. As Java's
/// RoundRobinAssignor.
pub(super) struct RoundRobin;

impl Assignor for RoundRobin {
    fn name(&self) -> &'static str {
        "roundrobin"
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> BTreeMap<String, Share> {
        let mut shares = no_shares(members);
        let ordered = serving_order(members);
        let subscribers = subscribers(&ordered);
        let mut turn = 0;
        for (topic, partitions) in topics {
            let Some(places) = subscribers.get(topic.as_str()) else { continue };
            for partition in 0..partitions.len() as i32 {
                let next = places.partition_point(|place| *place < turn);
                let place = places.get(next).copied().unwrap_or(places[0]);
                if let Some(share) = shares.get_mut(&ordered[place].id) {
                    share.entry(topic.clone()).or_default().push(partition);
                }
                turn = (place + 1) % ordered.len();
            }
        }
        shares
    }
}
