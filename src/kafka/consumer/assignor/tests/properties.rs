//! What holds for every group.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::assignor;
use super::*;
use crate::kafka::config::AssignorKind::{self, CooperativeSticky, Range, RoundRobin, Sticky};
use crate::kafka::consumer::subscription::TopicPartition;
use crate::kafka::protocol::messages::ConsumerProtocolTopicPartition;

const ALL: [AssignorKind; 4] = [Range, RoundRobin, Sticky, CooperativeSticky];
const RACKS: [&str; 3] = ["a", "b", "c"];

/// Topics with up to 12 partitions, some with racks.
fn any_topics() -> impl Strategy<Value = Topics> {
    let racks = |mask: u8| (0..3).filter(|bit| mask & (1 << bit) != 0).map(|bit| RACKS[bit].into()).collect();
    let partitions = proptest::collection::vec((0u8..8).prop_map(racks), 0..12);
    proptest::collection::vec(partitions, 1..6).prop_map(|all| {
        all.into_iter().enumerate().map(|(index, partitions)| (format!("t{index}"), partitions)).collect()
    })
}

/// Up to 9 members: what each subscribes to (all to the same when `alike`), its instance id and its rack.
fn any_members(alike: bool) -> impl Strategy<Value = Vec<Member>> {
    let one = (1u8..64, proptest::option::of(any::<bool>()), proptest::option::of(0usize..3));
    proptest::collection::vec(one, 1..9).prop_map(move |all| {
        let first = all[0].0;
        let members = all.into_iter().enumerate().map(|(index, (mask, instance, rack))| {
            let mask = if alike { first } else { mask };
            let mut member = member(&format!("m{index}"), &[]);
            member.subscription.topics =
                (0..6).filter(|bit| mask & (1 << bit) != 0).map(|bit| format!("t{bit}")).collect();
            member.instance_id = instance.map(|first| format!("i{}-{index}", u8::from(!first)));
            member.subscription.rack_id = rack.map(|rack| RACKS[rack].to_owned());
            member
        });
        members.collect()
    })
}

/// The members as they come back: each tells what it got and when.
fn next(members: &[Member], shares: &BTreeMap<String, Share>, kind: AssignorKind, generation: i32) -> Vec<Member> {
    let mut members = members.to_vec();
    for member in &mut members {
        let Some(share) = shares.get(&member.id) else { continue };
        let owned: Vec<TopicPartition> = partitions(share);
        let topics = member.subscription.topics.iter().cloned().collect();
        member.subscription.user_data = assignor(kind).user_data(&topics, &owned, generation);
        member.subscription.generation_id = generation;
        member.subscription.owned_partitions = if assignor(kind).cooperative() { listed(share) } else { Vec::new() };
    }
    members
}

fn listed(share: &Share) -> Vec<ConsumerProtocolTopicPartition> {
    let entry = |(topic, numbers): (&String, &Vec<i32>)| ConsumerProtocolTopicPartition {
        topic: topic.clone(),
        partitions: numbers.clone(),
    };
    share.iter().map(entry).collect()
}

fn partitions(share: &Share) -> Vec<TopicPartition> {
    let all = share.iter().flat_map(|(topic, numbers)| numbers.iter().map(move |number| (topic.as_str(), *number)));
    all.map(|(topic, partition)| TopicPartition { topic: topic.into(), partition }).collect()
}

/// Who has what, in the end: with cooperation, after as many rebalances as it takes to hand everything on.
fn settle(kind: AssignorKind, topics: &Topics, members: &[Member], generation: i32) -> BTreeMap<String, Share> {
    let mut shares = assignor(kind).assign(topics, members);
    if assignor(kind).cooperative() {
        for round in 1..4 {
            shares = assignor(kind).assign(topics, &next(members, &shares, kind, generation + round));
        }
    }
    shares
}

fn owners(shares: &BTreeMap<String, Share>) -> BTreeMap<TopicPartition, &str> {
    let mut owners = BTreeMap::new();
    for (id, share) in shares {
        for partition in partitions(share) {
            assert!(owners.insert(partition, id.as_str()).is_none(), "given twice");
        }
    }
    owners
}

fn sizes(shares: &BTreeMap<String, Share>) -> Vec<usize> {
    shares.values().map(|share| share.values().map(Vec::len).sum()).collect()
}

/// How far the sizes are from one another; the least that is possible is 0, or 1 where it does not divide.
fn spread(shares: &BTreeMap<String, Share>) -> usize {
    let sizes = sizes(shares);
    sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0)
}

/// How many partitions have another owner than before, of those that had one.
fn moved(before: &BTreeMap<String, Share>, after: &BTreeMap<String, Share>) -> usize {
    let now = owners(after);
    owners(before).iter().filter(|(partition, owner)| now.get(*partition).is_some_and(|now| now != *owner)).count()
}

/// Every partition of a topic with subscribers exactly once, only to subscribers, and a share for everyone.
fn check(topics: &Topics, members: &[Member], shares: &BTreeMap<String, Share>) {
    assert_eq!(shares.len(), members.len());
    let owners = owners(shares);
    for (topic, partitions) in topics {
        let subscribers: Vec<&str> = members
            .iter()
            .filter(|member| member.subscription.topics.contains(topic))
            .map(|member| member.id.as_str())
            .collect();
        for partition in 0..partitions.len() as i32 {
            let owner = owners.get(&TopicPartition { topic: topic.as_str().into(), partition });
            match owner {
                Some(owner) => assert!(subscribers.contains(owner), "{topic}-{partition} to {owner}"),
                None => assert!(subscribers.is_empty(), "{topic}-{partition} to nobody"),
            }
        }
    }
    let count: usize = sizes(shares).iter().sum();
    assert_eq!(count, owners.len());
    assert!(owners.keys().all(|partition| (partition.partition as usize) < topics[&*partition.topic].len()));
    assert!(shares.values().flatten().all(|(_, numbers)| !numbers.is_empty() && numbers.is_sorted()));
}

/// No partition could go from a larger share to one smaller by more than one.
fn check_even(members: &[Member], shares: &BTreeMap<String, Share>) {
    let size = |id: &str| shares[id].values().map(Vec::len).sum::<usize>();
    for (partition, owner) in owners(shares) {
        for member in members.iter().filter(|member| member.subscription.topics.iter().any(|t| **t == *partition.topic))
        {
            assert!(size(owner) <= size(&member.id) + 1, "{partition} could go from {owner} to {}", member.id);
        }
    }
}

proptest! {
    #[test]
    fn every_partition_goes_to_exactly_one_subscriber(topics in any_topics(), members in any_members(false)) {
        for kind in ALL {
            let shares = assignor(kind).assign(&topics, &members);
            check(&topics, &members, &shares);
            let mut other_order = members.clone();
            other_order.reverse();
            prop_assert_eq!(assignor(kind).assign(&topics, &other_order), shares, "the order of the members counts");
        }
    }

    #[test]
    fn equal_subscriptions_get_equal_shares(topics in any_topics(), members in any_members(true)) {
        for kind in [RoundRobin, Sticky, CooperativeSticky] {
            prop_assert!(spread(&assignor(kind).assign(&topics, &members)) <= 1);
        }
        let shares = assignor(Range).assign(&topics, &members);
        for topic in topics.keys() {
            let sizes = shares.values().map(|share| share.get(topic).map_or(0, Vec::len));
            let (least, most) = sizes.fold((usize::MAX, 0), |(least, most), size| (least.min(size), most.max(size)));
            prop_assert!(most - least <= 1);
        }
    }

    #[test]
    fn different_subscriptions_get_shares_as_even_as_can_be(topics in any_topics(), members in any_members(false)) {
        for kind in [Sticky, CooperativeSticky] {
            check_even(&members, &assignor(kind).assign(&topics, &members));
        }
    }

    #[test]
    fn nothing_moves_without_a_reason(topics in any_topics(), members in any_members(false)) {
        for kind in [Sticky, CooperativeSticky] {
            let first = assignor(kind).assign(&topics, &members);
            prop_assert_eq!(assignor(kind).assign(&topics, &next(&members, &first, kind, 1)), first);
        }
    }

    /// A newcomer takes its share from the others, and nobody else gets anything.
    #[test]
    fn a_join_moves_only_what_the_newcomer_gets(topics in any_topics(), members in any_members(true)) {
        for kind in [Sticky, CooperativeSticky] {
            let before = assignor(kind).assign(&topics, &members);
            let mut joined = next(&members, &before, kind, 1);
            joined.push(member("new", &[]));
            let last = joined.len() - 1;
            joined[last].subscription.topics = members[0].subscription.topics.clone();
            let after = settle(kind, &topics, &joined, 1);
            check(&topics, &joined, &after);
            prop_assert!(spread(&after) <= 1);
            let gained: usize = after["new"].values().map(Vec::len).sum();
            prop_assert_eq!(moved(&before, &after), gained);
        }
    }

    /// Those who stay keep everything, and get what is left behind.
    #[test]
    fn a_leave_moves_only_what_the_leaver_had(
        topics in any_topics(), members in any_members(true), leaver in any::<Index>(),
    ) {
        prop_assume!(members.len() > 1);
        for kind in [Sticky, CooperativeSticky] {
            let before = assignor(kind).assign(&topics, &members);
            let mut left = next(&members, &before, kind, 1);
            let gone = left.remove(leaver.index(left.len()));
            let after = settle(kind, &topics, &left, 1);
            check(&topics, &left, &after);
            prop_assert!(spread(&after) <= 1);
            let lost: usize = before[&gone.id].values().map(Vec::len).sum();
            prop_assert_eq!(moved(&before, &after), lost);
        }
    }

    /// New partitions go where there is room; what moves besides is no more than evenness takes.
    #[test]
    fn a_topic_that_grows_moves_nothing_that_need_not(
        topics in any_topics(), members in any_members(true), more in 1usize..20,
    ) {
        for kind in [Sticky, CooperativeSticky] {
            let before = assignor(kind).assign(&topics, &members);
            let mut grown = topics.clone();
            let grows = grown.entry("t0".to_owned()).or_default();
            grows.resize(grows.len() + more, BTreeSet::new());
            let members = next(&members, &before, kind, 1);
            let after = settle(kind, &grown, &members, 1);
            check(&grown, &members, &after);
            prop_assert!(spread(&after) <= 1);
            prop_assert_eq!(moved(&before, &after), 0);
        }
    }

    /// Whatever changes and whatever the members claim: nobody gets what another still holds.
    #[test]
    fn cooperation_gives_nobody_what_another_still_owns(
        topics in any_topics(), before in any_members(false), after in any_members(false), alike in any_members(true),
    ) {
        for after in [after, alike] {
            let first = settle(CooperativeSticky, &topics, &before, 1);
            let mut members = next(&after, &first, CooperativeSticky, 3);
            let holders = owners(&first);
            for _ in 0..3 {
                let shares = assignor(CooperativeSticky).assign(&topics, &members);
                for (partition, owner) in owners(&shares) {
                    // A member that is gone holds nothing any more.
                    let holder = holders.get(&partition).filter(|id| members.iter().any(|member| member.id == **id));
                    let told = members.iter().find(|member| {
                        let mut owned = member.subscription.owned_partitions.iter();
                        owned.any(|entry| *entry.topic == *partition.topic && entry.partitions.contains(&partition.partition))
                    });
                    if let Some(told) = told {
                        prop_assert_eq!(&*told.id, owner, "{} was not given up, first of {:?}", partition, holder);
                    }
                }
                members = next(&members, &shares, CooperativeSticky, 4);
            }
            check(&topics, &members, &assignor(CooperativeSticky).assign(&topics, &members));
        }
    }

    #[test]
    fn nonsense_that_members_tell_is_harmless(
        topics in any_topics(), mut members in any_members(false), data in proptest::collection::vec(any::<u8>(), 0..40),
        numbers in proptest::collection::vec(any::<i32>(), 0..9), generation in -2i32..3,
    ) {
        for (index, member) in members.iter_mut().enumerate() {
            member.subscription.user_data = Some(data.clone().into());
            member.subscription.generation_id = generation + index as i32 % 2;
            let names = ["t0", "t0", "nowhere"].map(str::to_owned);
            member.subscription.owned_partitions = names
                .map(|topic| ConsumerProtocolTopicPartition { topic, partitions: numbers.clone() })
                .to_vec();
        }
        for kind in ALL {
            check(&topics, &members, &settle(kind, &topics, &members, 5));
        }
    }
}
