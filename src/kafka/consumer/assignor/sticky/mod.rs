//! `sticky` and `cooperative-sticky`: evenly, with as few moves as that takes.
//!
//! | file | holds |
//! | --- | --- |
//! | `claims.rs` | what members tell of their earlier shares, in bytes (user data) and as claims |
//! | `board.rs` | members, partitions and claims as numbers; whose claim counts |
//! | `constrained.rs` | everybody subscribes to the same: quotas, filled in one pass |
//! | `general.rs` | subscriptions differ: to the least loaded, then moves while they help |
//!
//! Racks (KIP-881) decide where to go with what nobody has, not whether somebody keeps what it has: a member that gives up
//! what is not in its rack may get it back, and the group would rebalance for ever.
//!
//! Both assignors decide alike. They differ in where members tell what they own, and in that the cooperative one keeps
//! partitions from their next owner until the present one has given them up.

use std::collections::{BTreeMap, BTreeSet};

use super::{Assignor, Member, Share, Topics};
use crate::kafka::consumer::subscription::TopicPartition;
use crate::kafka::protocol::Bytes;
use board::Board;
use claims::Claim;

mod board;
mod claims;
mod constrained;
mod general;

/// Everyone lets go of everything before a rebalance and tells in its user data what that was. Java's StickyAssignor on the
/// wire.
pub(super) struct Sticky;

impl Assignor for Sticky {
    fn name(&self) -> &'static str {
        "sticky"
    }

    fn user_data(&self, _topics: &BTreeSet<String>, owned: &[TopicPartition], generation: i32) -> Option<Bytes> {
        (generation >= 0).then(|| claims::write(owned, generation))
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> BTreeMap<String, Share> {
        share_out(topics, members, Claim::of_user_data, false)
    }
}

/// Everyone keeps what stays with it through a rebalance (KIP-429). Java's CooperativeStickyAssignor on the wire.
pub(super) struct CooperativeSticky;

impl Assignor for CooperativeSticky {
    fn name(&self) -> &'static str {
        "cooperative-sticky"
    }

    fn cooperative(&self) -> bool {
        true
    }

    fn user_data(&self, _topics: &BTreeSet<String>, _owned: &[TopicPartition], generation: i32) -> Option<Bytes> {
        Some(claims::write_generation(generation))
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> BTreeMap<String, Share> {
        share_out(topics, members, Claim::of_subscription, true)
    }
}

/// What an algorithm decides, by member and by partition of a [`Board`].
struct Decision {
    shares: Vec<Vec<usize>>,
    /// Whether someone else must give it up before its new owner may have it.
    in_transfer: Vec<bool>,
}

fn share_out(
    topics: &Topics,
    members: &[Member],
    claim: impl Fn(&Member) -> Claim,
    cooperative: bool,
) -> BTreeMap<String, Share> {
    let mut shares = super::no_shares(members);
    if members.is_empty() {
        return shares;
    }
    let board = Board::new(topics, members, claim);
    let decision = if board.all_alike { constrained::decide(&board) } else { general::decide(&board) };
    for (place, mut partitions) in decision.shares.into_iter().enumerate() {
        partitions.sort_unstable();
        let Some(share) = shares.get_mut(board.member_id(place)) else { continue };
        for partition in partitions.into_iter().filter(|at| !(cooperative && decision.in_transfer[*at])) {
            let (topic, number) = board.name(partition);
            match share.get_mut(topic) {
                Some(numbers) => numbers.push(number),
                None => _ = share.insert(topic.to_owned(), vec![number]),
            }
        }
    }
    shares
}
