//! Who is to have which partitions: the broker's own assignors (KIP-848).
//!
//! Both see subscriptions by topic id, of topics that are there. `range` gives each topic out in runs, in the order of
//! the members, and looks at nothing that was before. `uniform` evens out how many each has, and moves as little as
//! that allows.

use std::collections::{BTreeMap, BTreeSet};

use crate::kafka::protocol::Uuid;

pub(super) const UNIFORM: &str = "uniform";
pub(super) const RANGE: &str = "range";

/// The default first.
pub(super) const NAMES: [&str; 2] = [UNIFORM, RANGE];

/// Partitions by topic; no topic without any.
pub(super) type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// A member, as an assignor sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    pub(super) instance: Option<String>,
    pub(super) subscribed: BTreeSet<Uuid>,
    /// What it was to have until now.
    pub(super) before: Assignment,
}

type Members = BTreeMap<String, Member>;

/// How many partitions each topic has.
type Sizes = BTreeMap<Uuid, i32>;

/// Each topic in runs of neighbouring partitions; static members come first.
pub(super) fn range(members: &Members, sizes: &Sizes) -> BTreeMap<String, Assignment> {
    let mut order: Vec<(&String, &Member)> = members.iter().collect();
    order.sort_by_key(|(id, member)| (member.instance.is_none(), member.instance.as_ref(), *id));
    let mut targets: BTreeMap<String, Assignment> = members.keys().map(|id| (id.clone(), Assignment::new())).collect();
    for (topic, &size) in sizes {
        let subscribers: Vec<_> = order.iter().filter(|(_, member)| member.subscribed.contains(topic)).collect();
        let count = subscribers.len() as i32;
        let mut start = 0;
        for ((id, _), at) in subscribers.into_iter().zip(0..) {
            let end = start + size / count + i32::from(at < size % count);
            if start < end {
                targets.entry((*id).clone()).or_default().insert(*topic, (start..end).collect());
            }
            start = end;
        }
    }
    targets
}

/// As many for each as can be, and as few moves as can be.
pub(super) fn uniform(members: &Members, sizes: &Sizes) -> BTreeMap<String, Assignment> {
    let mut subscriptions = members.values().map(|member| &member.subscribed);
    let first = subscriptions.next();
    if subscriptions.all(|other| Some(other) == first) { even(members, sizes) } else { balanced(members, sizes) }
}

/// All are subscribed to the same: each gets the same number, or one more.
fn even(members: &Members, sizes: &Sizes) -> BTreeMap<String, Assignment> {
    let Some(subscribed) = members.values().next().map(|member| &member.subscribed) else { return BTreeMap::new() };
    let mut free = all_partitions(sizes, subscribed);
    let (share, mut extra) = (free.len() / members.len(), free.len() % members.len());
    let mut targets = BTreeMap::new();
    let mut unfilled = Vec::new();
    for ((id, member), left) in members.iter().zip((1..=members.len()).rev()) {
        let mut quota = share + usize::from(extra > 0);
        let mut gets_extra = extra > 0;
        let mut target = Assignment::new();
        for (topic, partitions) in &member.before {
            for partition in partitions {
                if quota > 0 && free.remove(&(*topic, *partition)) {
                    target.entry(*topic).or_default().insert(*partition);
                    quota -= 1;
                }
            }
        }
        // Whoever has no use for one more now leaves it to those behind, as long as there are enough of them.
        if quota > 0 && gets_extra && left > extra {
            quota -= 1;
            gets_extra = false;
        }
        extra -= usize::from(gets_extra);
        if quota > 0 {
            unfilled.push((id.clone(), quota));
        }
        targets.insert(id.clone(), target);
    }
    let mut free = free.into_iter();
    for (id, quota) in unfilled {
        let target: &mut Assignment = targets.entry(id).or_default();
        for (topic, partition) in free.by_ref().take(quota) {
            target.entry(topic).or_default().insert(partition);
        }
    }
    targets
}

/// Subscriptions differ: what is free goes to whoever has least, those topics first for which there are fewest takers;
/// then partitions move from who has more to who has less until nothing is gained by it.
fn balanced(members: &Members, sizes: &Sizes) -> BTreeMap<String, Assignment> {
    /// Each round about halves the imbalance; it need not be perfect.
    const ROUNDS: usize = 16;
    let ids: Vec<&String> = members.keys().collect();
    let mut owners: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
    let mut loads = vec![0usize; ids.len()];
    let mut topics: Vec<(Uuid, i32, Vec<usize>)> = Vec::new();
    for (&topic, &size) in sizes {
        let subscribers = members.values().enumerate().filter(|(_, member)| member.subscribed.contains(&topic));
        let subscribers: Vec<usize> = subscribers.map(|(at, _)| at).collect();
        if !subscribers.is_empty() {
            topics.push((topic, size, subscribers));
        }
    }
    // size / subscribers, most first; no fractions needed to compare them.
    topics.sort_by(|(a, a_size, a_subscribers), (b, b_size, b_subscribers)| {
        let (left, right) = (*b_size as usize * a_subscribers.len(), *a_size as usize * b_subscribers.len());
        left.cmp(&right).then(a_subscribers.len().cmp(&b_subscribers.len())).then(a.cmp(b))
    });
    for (at, member) in members.values().enumerate() {
        for (topic, partitions) in member.before.iter().filter(|(topic, _)| member.subscribed.contains(topic)) {
            let size = sizes.get(topic).copied().unwrap_or_default();
            for partition in partitions.iter().filter(|partition| **partition < size) {
                if owners.insert((*topic, *partition), at).is_none() {
                    loads[at] += 1;
                }
            }
        }
    }
    for (topic, size, subscribers) in &topics {
        for partition in 0..*size {
            owners.entry((*topic, partition)).or_insert_with(|| {
                let least = subscribers.iter().copied().min_by_key(|at| loads[*at]).unwrap_or(subscribers[0]);
                loads[least] += 1;
                least
            });
        }
    }
    for _ in 0..ROUNDS {
        let mut moved = false;
        for (topic, size, subscribers) in &topics {
            for partition in 0..*size {
                let Some(owner) = owners.get_mut(&(*topic, partition)) else { continue };
                let least = subscribers.iter().copied().min_by_key(|at| loads[*at]).unwrap_or(*owner);
                if loads[least] + 1 < loads[*owner] {
                    loads[*owner] -= 1;
                    loads[least] += 1;
                    *owner = least;
                    moved = true;
                }
            }
        }
        if !moved {
            break;
        }
    }
    let mut targets: BTreeMap<String, Assignment> = ids.iter().map(|id| ((*id).clone(), Assignment::new())).collect();
    for ((topic, partition), at) in owners {
        targets.entry(ids[at].clone()).or_default().entry(topic).or_default().insert(partition);
    }
    targets
}

fn all_partitions(sizes: &Sizes, topics: &BTreeSet<Uuid>) -> BTreeSet<(Uuid, i32)> {
    let sizes = sizes.iter().filter(|(topic, _)| topics.contains(topic));
    sizes.flat_map(|(topic, size)| (0..*size).map(|partition| (*topic, partition))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topic(number: u8) -> Uuid {
        Uuid([number; 16])
    }

    fn sizes(of: &[(u8, i32)]) -> Sizes {
        of.iter().map(|(number, size)| (topic(*number), *size)).collect()
    }

    fn members(of: &[(&str, &[u8])]) -> Members {
        let member = |topics: &[u8]| Member {
            subscribed: topics.iter().map(|number| topic(*number)).collect(),
            ..Default::default()
        };
        of.iter().map(|(id, topics)| ((*id).to_owned(), member(topics))).collect()
    }

    fn shown(targets: &BTreeMap<String, Assignment>) -> String {
        let show = |(id, assignment): (&String, &Assignment)| {
            let topics = assignment.iter().map(|(topic, partitions)| format!("{}{:?}", topic.0[0], partitions));
            format!("{id}: {}", topics.collect::<Vec<_>>().join(" "))
        };
        targets.iter().map(show).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn range_gives_runs_of_each_topic_with_static_members_first() {
        let mut members = members(&[("a", &[1, 2]), ("b", &[1, 2]), ("c", &[2])]);
        let targets = range(&members, &sizes(&[(1, 3), (2, 4)]));
        assert_eq!(shown(&targets), "a: 1{0, 1} 2{0, 1}, b: 1{2} 2{2}, c: 2{3}");
        members.get_mut("c").unwrap().instance = Some("z".to_owned());
        let targets = range(&members, &sizes(&[(1, 3), (2, 4)]));
        assert_eq!(shown(&targets), "a: 1{0, 1} 2{2}, b: 1{2} 2{3}, c: 2{0, 1}");
        assert_eq!(shown(&range(&members, &sizes(&[]))), "a: , b: , c: ");
    }

    #[test]
    fn uniform_moves_no_more_than_it_must() {
        let mut group = members(&[("a", &[1])]);
        let targets = uniform(&group, &sizes(&[(1, 5)]));
        assert_eq!(shown(&targets), "a: 1{0, 1, 2, 3, 4}");
        group.get_mut("a").unwrap().before = targets["a"].clone();
        group.extend(members(&[("b", &[1])]));
        let targets = uniform(&group, &sizes(&[(1, 5)]));
        assert_eq!(shown(&targets), "a: 1{0, 1, 2}, b: 1{3, 4}");
        group.get_mut("a").unwrap().before = targets["a"].clone();
        group.get_mut("b").unwrap().before = targets["b"].clone();
        let targets = uniform(&group, &sizes(&[(1, 6), (2, 1)]));
        assert_eq!(shown(&targets), "a: 1{0, 1, 2}, b: 1{3, 4, 5}", "nobody is subscribed to 2");
    }

    #[test]
    fn uniform_with_different_subscriptions_favours_who_can_have_little() {
        let targets = uniform(&members(&[("a", &[1]), ("b", &[1, 2])]), &sizes(&[(1, 2), (2, 2)]));
        assert_eq!(shown(&targets), "a: 1{0, 1}, b: 2{0, 1}");
    }

    type Made = (Vec<i32>, Vec<(BTreeSet<u8>, bool)>);

    fn group() -> impl Strategy<Value = Made> {
        let subscription = (proptest::collection::btree_set(0u8..4, 0..4), any::<bool>());
        (proptest::collection::vec(1i32..9, 4), proptest::collection::vec(subscription, 1..7))
    }

    proptest! {
        #[test]
        fn each_partition_that_is_subscribed_to_has_one_owner_who_is_subscribed((counts, subscriptions) in group()) {
            let sizes: Sizes = counts.iter().zip(0u8..).map(|(size, number)| (topic(number), *size)).collect();
            let mut group = Members::new();
            for (at, (topics, is_static)) in subscriptions.iter().enumerate() {
                let subscribed = topics.iter().map(|number| topic(*number)).collect();
                let instance = is_static.then(|| format!("i{at}"));
                group.insert(format!("m{at}"), Member { instance, subscribed, before: Assignment::new() });
            }
            // A second time with what the first brought, and one member less.
            for round in 0..2 {
                for assign in [range, uniform] {
                    let targets = assign(&group, &sizes);
                    let mut owned = BTreeSet::new();
                    for (id, assignment) in &targets {
                        for (topic, partitions) in assignment {
                            prop_assert!(group[id].subscribed.contains(topic));
                            prop_assert!(!partitions.is_empty());
                            for partition in partitions {
                                prop_assert!(owned.insert((*topic, *partition)), "two have {topic} {partition}");
                            }
                        }
                    }
                    let wanted = group.values().flat_map(|member| &member.subscribed).copied().collect();
                    prop_assert_eq!(owned, all_partitions(&sizes, &wanted));
                }
                let targets = uniform(&group, &sizes);
                let same = group.values().all(|member| Some(&member.subscribed) == group.values().next().map(|first| &first.subscribed));
                let count = |assignment: &Assignment| assignment.values().map(BTreeSet::len).sum::<usize>();
                if same {
                    let most = targets.values().map(count).max().unwrap_or(0);
                    let least = targets.values().map(count).min().unwrap_or(0);
                    prop_assert!(most - least <= 1);
                }
                if round == 0 {
                    for (id, member) in &mut group {
                        member.before = targets[id].clone();
                    }
                    prop_assert_eq!(&uniform(&group, &sizes), &targets, "nothing moves without a reason");
                    if group.len() > 1 {
                        group.pop_first();
                    }
                }
            }
        }
    }
}
