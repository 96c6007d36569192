//! Subscriptions differ: how large each share will be shows only in the end. Everyone keeps what it may, what is left
//! goes to the least loaded, and then partitions move from larger shares to smaller ones while that helps.

use std::collections::{BTreeMap, BTreeSet};

use super::Decision;
use super::board::{Board, Topic};

pub(super) fn decide(board: &Board) -> Decision {
    let mut balance = Balance::new(board);
    let all_kept = balance.keep_owned();
    // Those that few can have first.
    let mut topics: Vec<&Topic> = board.topics.iter().collect();
    topics.sort_by_key(|topic| (topic.subscribers.len(), topic.first));
    let order: Vec<usize> = topics.iter().flat_map(|topic| topic.first..topic.first + topic.count).collect();
    let open: Vec<usize> = order.iter().copied().filter(|partition| balance.owner[*partition].is_none()).collect();
    if board.racks_matter {
        open.iter().for_each(|partition| balance.place(*partition, true));
    }
    open.iter().for_each(|partition| balance.place(*partition, false));
    // What nobody had may move without a pause in reading it; where something must be given up anyway, so may all.
    if all_kept {
        balance.even_out(&open);
    }
    balance.even_out(&order);
    balance.decision()
}

struct Balance<'a> {
    board: &'a Board<'a>,
    owner: Vec<Option<usize>>,
    /// By member: how many partitions it has.
    sizes: Vec<usize>,
    moves: Moves,
}

impl<'a> Balance<'a> {
    fn new(board: &'a Board<'a>) -> Self {
        Self {
            board,
            owner: vec![None; board.partition_count()],
            sizes: vec![0; board.member_count()],
            moves: Moves::default(),
        }
    }

    fn subscribes(&self, member: usize, partition: usize) -> bool {
        self.board.topic(partition).subscribers.binary_search(&member).is_ok()
    }

    /// Leaves partitions with their owners that still subscribe to them. Returns whether that were all.
    fn keep_owned(&mut self) -> bool {
        let mut all = true;
        for (member, owned) in self.board.owned.iter().enumerate() {
            for partition in owned {
                if self.subscribes(member, *partition) {
                    self.owner[*partition] = Some(member);
                    self.sizes[member] += 1;
                } else {
                    all = false;
                }
            }
        }
        all
    }

    /// Gives it to the subscriber with the smallest share, of those that can read it within their rack if wanted.
    fn place(&mut self, partition: usize, within_rack: bool) {
        if self.owner[partition].is_some() {
            return;
        }
        let subscribers = self.board.topic(partition).subscribers.iter();
        let may = |member: &&usize| !within_rack || self.board.fits(**member, partition);
        if let Some(member) = subscribers.filter(may).min_by_key(|member| self.sizes[**member]) {
            self.owner[partition] = Some(*member);
            self.sizes[*member] += 1;
        }
    }

    /// Moves partitions, looked at in this order, while a share is larger by more than one than another that could have
    /// one of its partitions. Each move makes the sum of the squares of the sizes smaller, so this ends.
    fn even_out(&mut self, order: &[usize]) {
        let mut moved = true;
        while moved {
            moved = false;
            // The subscriber of the topic at hand with the smallest share, while no size has changed.
            let mut smallest: Option<(usize, usize)> = None;
            for partition in order {
                let topic = self.board.topic(*partition);
                let Some(owner) = self.owner[*partition] else { continue };
                let before = self.board.earlier[*partition].filter(|before| {
                    self.sizes[owner] > self.sizes[*before] + 1 && self.subscribes(*before, *partition)
                });
                let target = before.or_else(|| {
                    let known = smallest.filter(|(first, _)| *first == topic.first).map(|(_, member)| member);
                    let member =
                        known.or_else(|| topic.subscribers.iter().copied().min_by_key(|member| self.sizes[*member]))?;
                    smallest = Some((topic.first, member));
                    (self.sizes[owner] > self.sizes[member] + 1).then_some(member)
                });
                if let Some(target) = target {
                    self.move_one(*partition, owner, target);
                    smallest = None;
                    moved = true;
                }
            }
        }
    }

    /// Moves this partition to the target, or in its place another of the topic that has come from there.
    fn move_one(&mut self, partition: usize, owner: usize, target: usize) {
        let topic = self.board.topic(partition).first;
        let back = self.moves.one_back(topic, partition, owner, target).and_then(|back| {
            let owner = self.owner[back]?;
            (self.sizes[owner] > self.sizes[target] + 1).then_some((back, owner))
        });
        let (partition, owner) = back.unwrap_or((partition, owner));
        self.moves.record(topic, partition, owner, target);
        self.owner[partition] = Some(target);
        self.sizes[owner] -= 1;
        self.sizes[target] += 1;
    }

    fn decision(self) -> Decision {
        let board = self.board;
        let mut shares = vec![Vec::new(); board.member_count()];
        for (partition, owner) in self.owner.iter().enumerate() {
            if let Some(owner) = owner {
                shares[*owner].push(partition);
            }
        }
        // Whoever says that it has something is believed here, even if its generation has passed.
        let mut in_transfer = vec![false; board.partition_count()];
        for partition in board.claimed.iter().flatten() {
            in_transfer[*partition] = true;
        }
        for (member, claimed) in board.claimed.iter().enumerate() {
            for partition in claimed.iter().filter(|partition| self.owner[**partition] == Some(member)) {
                in_transfer[*partition] = false;
            }
        }
        Decision { shares, in_transfer }
    }
}

/// What has moved so far, from where it was first to where it is now. Moving one partition of a topic there and another
/// one back is two moves for nothing.
#[derive(Default)]
struct Moves {
    of_partition: BTreeMap<usize, (usize, usize)>,
    /// By topic, from whom and to whom.
    by_way: BTreeMap<(usize, usize, usize), BTreeSet<usize>>,
}

impl Moves {
    /// A partition of the topic that has moved the other way.
    fn one_back(&self, topic: usize, partition: usize, owner: usize, target: usize) -> Option<usize> {
        let first = self.of_partition.get(&partition).map_or(owner, |(from, _)| *from);
        // Any would do.
        self.by_way.get(&(topic, target, first))?.last().copied()
    }

    fn record(&mut self, topic: usize, partition: usize, owner: usize, target: usize) {
        let mut from = owner;
        if let Some((first, to)) = self.of_partition.remove(&partition) {
            if let Some(partitions) = self.by_way.get_mut(&(topic, first, to)) {
                partitions.remove(&partition);
            }
            from = first;
        }
        if from != target {
            self.of_partition.insert(partition, (from, target));
            self.by_way.entry((topic, from, target)).or_default().insert(partition);
        }
    }
}
