//! Members, partitions and claims as numbers.
//!
//! Members are numbered in the order of their ids, partitions through all topics in the order of their names, so that
//! numbers compare as the names do. Only topics that exist and that someone subscribes to are here.

use std::collections::{BTreeMap, BTreeSet};

use super::claims::Claim;
use crate::kafka::consumer::assignor::racks::{self, rack_of};
use crate::kafka::consumer::assignor::{Member, Racks, Topics};

pub(super) struct Board<'a> {
    members: Vec<&'a Member>,
    pub topics: Vec<Topic<'a>>,
    /// The index of each partition's topic.
    topic_of: Vec<usize>,
    /// The racks of each partition's replicas.
    racks: Vec<&'a Racks>,
    /// Whether all members subscribe to the very same topics, including those that do not exist.
    pub all_alike: bool,
    /// Whether racks count.
    pub racks_matter: bool,
    /// What each member claims and rightly so: no other does, or only one of an older generation.
    pub owned: Vec<Vec<usize>>,
    /// Claimed by several members in the newest generation that anyone claims it for, and so owned by nobody.
    pub contested: Vec<bool>,
    /// Who claims it for a generation before the newest of the group: the newest of these.
    pub earlier: Vec<Option<usize>>,
    /// All that each member claims, rightly or not, in order.
    pub claimed: Vec<Vec<usize>>,
}

pub(super) struct Topic<'a> {
    name: &'a str,
    /// The number of its partition 0.
    pub first: usize,
    pub count: usize,
    /// In order; at least one.
    pub subscribers: Vec<usize>,
}

impl<'a> Board<'a> {
    pub(super) fn new(topics: &'a Topics, members: &'a [Member], claim: impl Fn(&Member) -> Claim) -> Self {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        let mut subscribers = super::super::subscribers(&members);
        let mut wanted = members.iter().map(|member| member.subscription.topics.iter().collect::<BTreeSet<_>>());
        let first = wanted.next();
        let all_alike = wanted.all(|wanted| Some(wanted) == first);

        let mut board = Self {
            topics: Vec::new(),
            topic_of: Vec::new(),
            racks: Vec::new(),
            all_alike,
            racks_matter: false,
            owned: vec![Vec::new(); members.len()],
            contested: Vec::new(),
            earlier: Vec::new(),
            claimed: Vec::new(),
            members,
        };
        for (name, partitions) in topics {
            let Some(subscribers) = subscribers.remove(name.as_str()) else { continue };
            board.topic_of.resize(board.racks.len() + partitions.len(), board.topics.len());
            board.topics.push(Topic { name, first: board.racks.len(), count: partitions.len(), subscribers });
            board.racks.extend(partitions);
        }
        board.racks_matter = racks::matter(board.members.iter().copied(), board.racks.iter().copied());
        board.weigh(claim);
        board
    }

    /// Finds out whose claims count.
    fn weigh(&mut self, claim: impl Fn(&Member) -> Claim) {
        let places: BTreeMap<&str, usize> =
            self.topics.iter().enumerate().map(|(index, topic)| (topic.name, index)).collect();
        let mut generations = Vec::new();
        for member in &self.members {
            let claim = claim(member);
            generations.push(claim.generation.unwrap_or(-1));
            let mut claimed = Vec::new();
            for (topic, numbers) in claim.partitions {
                let Some(topic) = places.get(topic.as_str()).map(|index| &self.topics[*index]) else { continue };
                let exist = numbers.into_iter().filter_map(|number| usize::try_from(number).ok());
                claimed.extend(exist.filter(|number| *number < topic.count).map(|number| topic.first + number));
            }
            claimed.sort_unstable();
            claimed.dedup();
            self.claimed.push(claimed);
        }
        let newest = generations.iter().copied().max().unwrap_or(-1);
        // By partition: the newest generation claimed, and by whom alone.
        let mut best: Vec<Option<(i32, Option<usize>)>> = vec![None; self.racks.len()];
        let mut earlier: Vec<Option<(i32, usize)>> = vec![None; self.racks.len()];
        for (member, claimed) in self.claimed.iter().enumerate() {
            let generation = generations[member];
            for partition in claimed {
                let best = &mut best[*partition];
                match best {
                    Some((known, _)) if *known > generation => {}
                    Some((known, by)) if *known == generation => *by = None,
                    _ => *best = Some((generation, Some(member))),
                }
                let earlier = &mut earlier[*partition];
                if generation < newest && earlier.is_none_or(|(known, _)| generation > known) {
                    *earlier = Some((generation, member));
                }
            }
        }
        for (partition, best) in best.iter().enumerate() {
            if let Some((_, Some(member))) = best {
                self.owned[*member].push(partition);
            }
        }
        self.contested = best.into_iter().map(|best| matches!(best, Some((_, None)))).collect();
        self.earlier = earlier.into_iter().map(|earlier| earlier.map(|(_, member)| member)).collect();
    }

    pub(super) fn member_count(&self) -> usize {
        self.members.len()
    }

    pub(super) fn partition_count(&self) -> usize {
        self.racks.len()
    }

    pub(super) fn member_id(&self, member: usize) -> &'a str {
        &self.members[member].id
    }

    pub(super) fn topic(&self, partition: usize) -> &Topic<'a> {
        &self.topics[self.topic_of[partition]]
    }

    /// The topic and the partition's number in it.
    pub(super) fn name(&self, partition: usize) -> (&'a str, i32) {
        let topic = self.topic(partition);
        (topic.name, (partition - topic.first) as i32)
    }

    /// Whether the member can read this within its rack; yes where racks do not count.
    pub(super) fn fits(&self, member: usize, partition: usize) -> bool {
        !self.racks_matter || racks::fits(rack_of(self.members[member]), self.racks[partition])
    }

    /// Whether the member has a rack that holds a replica.
    pub(super) fn is_near(&self, member: usize, partition: usize) -> bool {
        rack_of(self.members[member]).is_some_and(|rack| self.racks[partition].contains(rack))
    }

    /// How many members each partition is near to.
    pub(super) fn near_counts(&self) -> Vec<usize> {
        let mut readers: BTreeMap<&str, usize> = BTreeMap::new();
        for rack in self.members.iter().filter_map(|member| rack_of(member)) {
            *readers.entry(rack).or_default() += 1;
        }
        self.racks.iter().map(|racks| racks.iter().filter_map(|rack| readers.get(&**rack)).sum()).collect()
    }
}
