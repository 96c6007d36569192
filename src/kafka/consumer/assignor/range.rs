//! `range`: topic by topic, neighbouring partitions together.

use std::collections::BTreeMap;

use super::racks::{self, fits, rack_of};
use super::{Assignor, Member, Racks, Share, Topics, no_shares, serving_order, subscribers};

/// Topic by topic, each member a range of consecutive partitions; the first members get one more where it does not
/// divide. Where racks matter, first whatever a member can read within its rack, up to the same sizes (KIP-881). As
/// Java's RangeAssignor.
pub(super) struct Range;

impl Assignor for Range {
    fn name(&self) -> &'static str {
        "range"
    }

    fn assign(&self, topics: &Topics, members: &[Member]) -> BTreeMap<String, Share> {
        let mut shares = no_shares(members);
        let ordered = serving_order(members);
        let subscribers = subscribers(&ordered);
        let mut works: Vec<Work> = topics
            .iter()
            .filter(|(_, partitions)| !partitions.is_empty())
            .filter_map(|(topic, partitions)| {
                let members = subscribers.get(topic.as_str())?.iter().map(|place| ordered[*place]).collect();
                Some(Work::new(topic, partitions, members))
            })
            .collect();
        if works.iter().any(|work| work.racks_matter) {
            within_racks(&mut works);
        }
        for work in &mut works {
            work.share_out(|_, _| true);
        }
        for work in works {
            for (member, mut partitions) in work.members.iter().zip(work.given) {
                partitions.sort_unstable();
                if let Some(share) = shares.get_mut(&member.id).filter(|_| !partitions.is_empty()) {
                    share.insert(work.topic.to_owned(), partitions);
                }
            }
        }
        shares
    }
}

/// Topics with the same subscribers and as many partitions keep partitions of one number together, as those who join
/// such topics rely on: there a number is given away only as a whole.
fn within_racks(works: &mut [Work]) {
    let mut alike: BTreeMap<(Vec<&str>, usize), Vec<&mut Work>> = BTreeMap::new();
    for work in works.iter_mut().filter(|work| work.members.iter().any(|member| rack_of(member).is_some())) {
        let ids = work.members.iter().map(|member| member.id.as_str()).collect();
        alike.entry((ids, work.partitions.len())).or_default().push(work);
    }
    for mut works in alike.into_values() {
        match works.as_mut_slice() {
            [work] if work.racks_matter => work.share_out(fits),
            [_] => {}
            works => together(works),
        }
    }
}

/// Each number, as far as possible, to the first member that can read all partitions of that number within its rack.
fn together(works: &mut [&mut Work]) {
    let Some(first) = works.first() else { return };
    let racks: Vec<Option<&str>> = first.members.iter().map(|member| rack_of(member)).collect();
    let mut open: Vec<usize> = (0..racks.len()).collect();
    for number in 0..first.partitions.len() {
        let fitting = open.iter().position(|place| {
            works.iter().all(|work| work.room(*place) > 0 && fits(racks[*place], &work.partitions[number]))
        });
        let Some(index) = fitting else { continue };
        let place = open[index];
        for work in works.iter_mut() {
            work.give(place, &[number]);
        }
        if works.iter().all(|work| work.room(place) == 0) {
            open.remove(index);
        }
    }
}

/// One topic while it is being shared out.
struct Work<'a> {
    topic: &'a str,
    partitions: &'a [Racks],
    /// In the order in which they are served.
    members: Vec<&'a Member>,
    racks_matter: bool,
    /// Whether nobody has it yet, by partition.
    free: Vec<bool>,
    /// By place in `members`.
    given: Vec<Vec<i32>>,
    /// How many members may still get one more than the others.
    larger: usize,
}

impl<'a> Work<'a> {
    /// `members` must not be empty.
    fn new(topic: &'a str, partitions: &'a [Racks], members: Vec<&'a Member>) -> Self {
        Self {
            topic,
            partitions,
            racks_matter: racks::matter(members.iter().copied(), partitions.iter()),
            free: vec![true; partitions.len()],
            given: vec![Vec::new(); members.len()],
            larger: partitions.len() % members.len(),
            members,
        }
    }

    /// How many more this member may get.
    fn room(&self, place: usize) -> usize {
        let most = self.partitions.len() / self.members.len() + usize::from(self.larger > 0);
        most.saturating_sub(self.given[place].len())
    }

    /// To each member as many of the first partitions that it may have as it has room for.
    fn share_out(&mut self, may: impl Fn(Option<&str>, &Racks) -> bool) {
        let mut left: Vec<usize> = (0..self.free.len()).filter(|partition| self.free[*partition]).collect();
        for place in 0..self.members.len() {
            let rack = rack_of(self.members[place]);
            let may = |partition: &&usize| may(rack, &self.partitions[**partition]);
            let taken: Vec<usize> = left.iter().filter(may).take(self.room(place)).copied().collect();
            self.give(place, &taken);
            left.retain(|partition| self.free[*partition]);
        }
    }

    fn give(&mut self, place: usize, partitions: &[usize]) {
        let equal = self.partitions.len() / self.members.len();
        let given = &mut self.given[place];
        if given.len() <= equal && given.len() + partitions.len() > equal {
            self.larger -= 1;
        }
        for partition in partitions {
            self.free[*partition] = false;
            given.push(*partition as i32);
        }
    }
}
