//! Everybody subscribes to the same topics: shares differ by one partition at most, so how large each may be is known
//! before, and what is owned beyond that is all that moves.

use std::collections::VecDeque;

use super::Decision;
use super::board::Board;

pub(super) fn decide(board: &Board) -> Decision {
    let mut deal = Deal::new(board);
    deal.keep_owned();
    let mut open: Vec<usize> = (0..board.partition_count()).filter(|partition| !deal.taken[*partition]).collect();
    if board.racks_matter {
        // Those that few can read within their rack first.
        let counts = board.near_counts();
        open.sort_by_key(|partition| counts[*partition]);
        open.retain(|partition| !deal.give_near(*partition));
        deal.turn = 0;
    }
    for partition in open {
        deal.give(partition);
    }
    Decision { shares: deal.shares, in_transfer: deal.in_transfer }
}

struct Deal<'a> {
    board: &'a Board<'a>,
    /// The size of every share; some have one more.
    least: usize,
    /// How many more may get one more.
    larger: usize,
    /// Members with fewer than `least`, in order.
    under: Vec<usize>,
    /// Where in `under` the round goes on.
    turn: usize,
    /// Members with `least` that may get one more.
    exact: VecDeque<usize>,
    shares: Vec<Vec<usize>>,
    taken: Vec<bool>,
    /// Who must give it up if it does not get it back.
    released_by: Vec<Option<usize>>,
    in_transfer: Vec<bool>,
}

impl<'a> Deal<'a> {
    fn new(board: &'a Board<'a>) -> Self {
        let (members, partitions) = (board.member_count(), board.partition_count());
        Self {
            board,
            least: partitions / members,
            larger: partitions % members,
            under: Vec::new(),
            turn: 0,
            exact: VecDeque::new(),
            shares: vec![Vec::new(); members],
            taken: vec![false; partitions],
            released_by: vec![None; partitions],
            in_transfer: vec![false; partitions],
        }
    }

    /// Everyone keeps what it owns, up to the size of a share; of more the partitions with the lowest numbers.
    fn keep_owned(&mut self) {
        for member in 0..self.board.member_count() {
            let mut owned = self.board.owned[member].clone();
            owned.sort_by_key(|partition| (partition - self.board.topic(*partition).first, *partition));
            let kept = if owned.len() < self.least {
                self.under.push(member);
                owned.len()
            } else if owned.len() > self.least && self.larger > 0 {
                self.grow_one();
                self.least + 1
            } else {
                if self.larger > 0 {
                    self.exact.push_back(member);
                }
                self.least
            };
            let released = owned.split_off(kept);
            for partition in released {
                self.released_by[partition] = Some(member);
            }
            for partition in &owned {
                self.taken[*partition] = true;
            }
            self.shares[member] = owned;
        }
    }

    fn grow_one(&mut self) {
        self.larger -= 1;
        if self.larger == 0 {
            self.exact.clear();
        }
    }

    /// Gives it to a member that can read it within its rack, if one has room.
    fn give_near(&mut self, partition: usize) -> bool {
        let near = |member: &usize| self.board.is_near(*member, partition);
        let (later, sooner) = self.under.split_at(self.turn);
        let place = sooner.iter().position(near).map(|place| place + self.turn).or_else(|| later.iter().position(near));
        let member = if let Some(place) = place {
            let member = self.under[place];
            self.turn = place;
            if self.shares[member].len() + 1 >= self.least {
                self.under.remove(place);
                if self.larger > 0 {
                    self.exact.push_back(member);
                }
            } else {
                self.turn += 1;
            }
            self.turn %= self.under.len().max(1);
            member
        } else if let Some(place) = self.exact.iter().position(near) {
            let Some(member) = self.exact.remove(place) else { return false };
            self.grow_one();
            member
        } else {
            return false;
        };
        self.hand_over(partition, member);
        true
    }

    /// Gives it to the next member with room.
    fn give(&mut self, partition: usize) {
        if self.turn >= self.under.len() {
            self.turn = 0;
        }
        let member = if let Some(member) = self.under.get(self.turn).copied() {
            if self.shares[member].len() + 1 >= self.least {
                self.under.remove(self.turn);
                self.exact.push_back(member);
            } else {
                self.turn += 1;
            }
            member
        } else {
            // The sizes of the shares add up, so that there is always one.
            let Some(member) = self.exact.pop_front() else { return };
            member
        };
        self.hand_over(partition, member);
    }

    fn hand_over(&mut self, partition: usize, member: usize) {
        let others = self.released_by[partition].is_some_and(|owner| owner != member);
        self.in_transfer[partition] = others || self.board.contested[partition];
        self.shares[member].push(partition);
    }
}
