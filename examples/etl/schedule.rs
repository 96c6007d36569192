//! Who comes and goes, and when: an endless list that the seed alone decides.

use std::collections::BTreeSet;
use std::time::Duration;

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct SplitMix(u64);

impl SplitMix {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A time from the first up to the second, to the millisecond.
    fn between(&mut self, (from, to): (Duration, Duration)) -> Duration {
        let span = to.saturating_sub(from).as_millis() as u64;
        from + Duration::from_millis(self.next() % (span + 1))
    }
}

/// How fast members come and go: shortest and longest time, each.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From one departure to the next.
    pub stays: (Duration, Duration),
    /// From a departure to the return.
    pub away: (Duration, Duration),
    /// How many of a hundred departures are kills.
    pub kills: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Join,
    Leave,
    Kill,
}

/// What happens to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub at: Duration,
    pub member: usize,
    pub change: Change,
}

/// The steps of one level, in order of time. Half of its members, or more, are always there.
pub struct Schedule {
    random: SplitMix,
    pace: Pace,
    members: usize,
    here: BTreeSet<usize>,
    returns: BTreeSet<(Duration, usize)>,
    departure: Duration,
}

impl Schedule {
    pub fn new(seed: u64, level: usize, members: usize, pace: Pace) -> Self {
        let mut random = SplitMix::new(seed ^ (level as u64).wrapping_mul(0xd1b5_4a32_d192_ed03));
        // Half of them are there from the start, the others join one by one.
        let late = (Duration::ZERO, pace.away.1);
        let first = |member| if member < members.div_ceil(2) { Duration::ZERO } else { random.between(late) };
        let returns = (0..members).map(first).zip(0..members).collect();
        let departure = random.between(pace.stays);
        Self { random, pace, members, here: BTreeSet::new(), returns, departure }
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(&(at, member)) = self.returns.first().filter(|(at, _)| *at <= self.departure) {
                self.returns.pop_first();
                self.here.insert(member);
                return Some(Step { at, member, change: Change::Join });
            }
            let at = self.departure;
            self.departure += self.random.between(self.pace.stays);
            if self.here.len() <= self.members.div_ceil(2) {
                continue;
            }
            let index = self.random.next() as usize % self.here.len();
            let member = *self.here.iter().nth(index)?;
            let change = if self.random.next() % 100 < self.pace.kills { Change::Kill } else { Change::Leave };
            self.here.remove(&member);
            self.returns.insert((at + self.random.between(self.pace.away), member));
            return Some(Step { at, member, change });
        }
    }
}
