//! How a group's leader shares partitions out, and what members tell it to go by.
//!
//! An [`Assignor`] sees every member's subscription, which carries what KIP-429's cooperative protocols and the sticky
//! ones need (owned partitions, their generation), and the partition counts; it neither knows the group's state nor
//! talks to anyone.

use std::collections::{BTreeMap, BTreeSet};

use crate::kafka::config::AssignorKind;
use crate::kafka::consumer::subscription::TopicPartition;
use crate::kafka::protocol::Bytes;
use crate::kafka::protocol::messages::ConsumerProtocolSubscription;

/// A member as the leader sees it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub id: String,
    pub instance_id: Option<String>,
    pub subscription: ConsumerProtocolSubscription,
}

/// What one member gets, by topic. A member that gets nothing has an empty one.
pub(super) type Share = BTreeMap<String, Vec<i32>>;

/// A way to share partitions out. Every member of a group must offer the one that is used.
pub(super) trait Assignor: Send + Sync {
    /// Kafka's name for it, as in `partition.assignment.strategy`.
    fn name(&self) -> &'static str;

    /// Whether members keep what they own while they rejoin (KIP-429).
    fn cooperative(&self) -> bool {
        false
    }

    /// What this member sends along for its own use in later rebalances.
    fn user_data(&self, _: &BTreeSet<String>, _: &[TopicPartition], _: i32) -> Option<Bytes> {
        None
    }

    /// Shares out every partition of every topic that has a count and that some member subscribes to. The result has
    /// one share per member, by member id.
    fn assign(&self, counts: &BTreeMap<String, i32>, members: &[Member]) -> BTreeMap<String, Share>;
}

/// The assignor that a setting names.
pub(super) fn assignor(kind: AssignorKind) -> &'static dyn Assignor {
    match kind {
        AssignorKind::Range => &Range,
    }
}

/// Topic by topic, each member a range of consecutive partitions; the first members get one more where it does not
/// divide. As Java's RangeAssignor without racks.
pub(super) struct Range;

impl Assignor for Range {
    fn name(&self) -> &'static str {
        "range"
    }

    fn assign(&self, counts: &BTreeMap<String, i32>, members: &[Member]) -> BTreeMap<String, Share> {
        let mut shares: BTreeMap<String, Share> =
            members.iter().map(|member| (member.id.clone(), Share::new())).collect();
        for (topic, members) in subscribers(members) {
            let Some(&count) = counts.get(topic).filter(|count| **count > 0) else { continue };
            let parts = members.len() as i32;
            let mut start = 0;
            for (index, member) in members.into_iter().enumerate() {
                let len = count / parts + i32::from((index as i32) < count % parts);
                if len > 0
                    && let Some(share) = shares.get_mut(&member.id)
                {
                    share.insert(topic.to_owned(), (start..start + len).collect());
                }
                start += len;
            }
        }
        shares
    }
}

/// The members of each topic, in the order in which they are served: static members by their instance id, then the
/// others by member id. A member that names a topic twice counts once.
fn subscribers(members: &[Member]) -> BTreeMap<&str, Vec<&Member>> {
    let mut ordered: Vec<&Member> = members.iter().collect();
    ordered.sort_by_key(|member| (member.instance_id.is_none(), member.instance_id.as_deref(), member.id.as_str()));
    let mut topics: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
    for member in ordered {
        let names: BTreeSet<&str> = member.subscription.topics.iter().map(String::as_str).collect();
        for topic in names {
            topics.entry(topic).or_default().push(member);
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(id: &str, topics: &[&str]) -> Member {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        Member {
            id: id.to_owned(),
            instance_id: None,
            subscription: ConsumerProtocolSubscription { topics, ..Default::default() },
        }
    }

    fn counts(topics: &[(&str, i32)]) -> BTreeMap<String, i32> {
        topics.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    fn share(parts: &[(&str, &[i32])]) -> Share {
        parts.iter().map(|(topic, partitions)| ((*topic).to_owned(), partitions.to_vec())).collect()
    }

    /// The example of Java's RangeAssignor documentation: C0: t0p0, t0p1, t1p0, t1p1; C1: t0p2, t1p2.
    #[test]
    fn range_as_java_documents_it() {
        let members = [member("C0", &["t0", "t1"]), member("C1", &["t0", "t1"])];
        let shares = Range.assign(&counts(&[("t0", 3), ("t1", 3)]), &members);
        assert_eq!(shares["C0"], share(&[("t0", &[0, 1]), ("t1", &[0, 1])]));
        assert_eq!(shares["C1"], share(&[("t0", &[2]), ("t1", &[2])]));
    }

    /// Cases of Java's RangeAssignorTest.
    #[test]
    fn range_as_java_tests_it() {
        let one = Range.assign(&counts(&[("t1", 3), ("t2", 3)]), &[member("a", &["t1"])]);
        assert_eq!(one["a"], share(&[("t1", &[0, 1, 2])]), "only what it subscribed to");

        let more_members = Range.assign(&counts(&[("t1", 1)]), &[member("b", &["t1"]), member("a", &["t1"])]);
        assert_eq!(more_members["a"], share(&[("t1", &[0])]));
        assert_eq!(more_members["b"], Share::new());

        let mixed = Range.assign(
            &counts(&[("t1", 3), ("t2", 2)]),
            &[member("a", &["t1"]), member("b", &["t1", "t2"]), member("c", &["t1"])],
        );
        assert_eq!(mixed["a"], share(&[("t1", &[0])]));
        assert_eq!(mixed["b"], share(&[("t1", &[1]), ("t2", &[0, 1])]));
        assert_eq!(mixed["c"], share(&[("t1", &[2])]));

        let missing = Range.assign(&counts(&[("t1", 0)]), &[member("a", &["t1", "nowhere"])]);
        assert_eq!(missing["a"], Share::new());
        assert!(Range.assign(&counts(&[("t1", 3)]), &[]).is_empty());
    }

    #[test]
    fn static_members_come_first_and_keep_their_place_when_their_member_id_changes() {
        let statics = |first: &str, second: &str| {
            let mut members = [member(first, &["t"]), member(second, &["t"]), member("a-dynamic", &["t"])];
            members[0].instance_id = Some("i1".to_owned());
            members[1].instance_id = Some("i2".to_owned());
            let shares = Range.assign(&counts(&[("t", 3)]), &members);
            (shares[first].clone(), shares[second].clone(), shares["a-dynamic"].clone())
        };
        let expected = (share(&[("t", &[0])]), share(&[("t", &[1])]), share(&[("t", &[2])]));
        assert_eq!(statics("m1", "m2"), expected);
        assert_eq!(statics("z9", "b0"), expected);
    }

    proptest! {
        #[test]
        fn every_partition_goes_to_exactly_one_subscriber_and_shares_differ_by_one_at_most(
            sizes in proptest::collection::vec(0i32..20, 1..6),
            choices in proptest::collection::vec((any::<u8>(), proptest::option::of(0u8..9)), 1..9),
        ) {
            let names: Vec<String> = (0..sizes.len()).map(|index| format!("t{index}")).collect();
            let counts: BTreeMap<String, i32> = names.iter().cloned().zip(sizes.iter().copied()).collect();
            let members: Vec<Member> = choices.iter().enumerate().map(|(index, (mask, instance))| {
                let topics: Vec<&str> =
                    names.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| &**name).collect();
                let mut member = member(&format!("m{index}"), &topics);
                member.instance_id = instance.map(|instance| format!("i{instance}-{index}"));
                member
            }).collect();
            let shares = Range.assign(&counts, &members);
            prop_assert_eq!(shares.len(), members.len());
            for (topic, count) in &counts {
                let subscribed: Vec<&Member> =
                    members.iter().filter(|member| member.subscription.topics.contains(topic)).collect();
                let given: Vec<&Vec<i32>> = shares.values().filter_map(|share| share.get(topic)).collect();
                let mut all: Vec<i32> = given.iter().copied().flatten().copied().collect();
                all.sort_unstable();
                let expected: Vec<i32> = if subscribed.is_empty() { Vec::new() } else { (0..*count).collect() };
                prop_assert_eq!(all, expected);
                let sizes = subscribed.iter().map(|member| shares[&member.id].get(topic).map_or(0, Vec::len));
                let (least, most) = sizes.fold((usize::MAX, 0), |(least, most), size| (least.min(size), most.max(size)));
                prop_assert!(subscribed.is_empty() || most - least <= 1);
                for (id, share) in &shares {
                    let member = members.iter().find(|member| member.id == *id).unwrap();
                    prop_assert!(!share.contains_key(topic) || member.subscription.topics.contains(topic));
                }
            }
        }
    }
}
