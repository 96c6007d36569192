//! Our assignors beside those of Java's client: range and round robin share out alike. The sticky ones need not give
//! everyone the same, where either choice is as good: then as evenly, and with as many partitions left where they were.

use std::collections::{BTreeMap, BTreeSet};

use krs::TopicPartition;
use krs::kafka::consumer::judged::{self, Racks, Subscriber};
use serde_json::{Value, json};

use crate::process::run_with;
use crate::side::{LONG, Side};
use crate::table::Check;

/// How many groups of each kind.
const COUNT: usize = 150;
const SEED: u64 = 0x5eed;

pub fn checks() -> Vec<Check> {
    vec![
        Check::dev_only("assignors: everyone subscribes to the same", |side| {
            compare(side, Kind { alike: true, ..PLAIN })
        }),
        Check::dev_only("assignors: everyone subscribes to something else", |side| compare(side, PLAIN)),
        Check::dev_only("assignors: members that come back from an earlier generation", |side| {
            compare(side, Kind { claims: true, ..PLAIN })
        }),
        Check::dev_only("assignors: racks", |side| compare(side, Kind { racks: true, ..PLAIN })),
        Check::dev_only("assignors: racks, everyone subscribes to the same", |side| {
            compare(side, Kind { racks: true, alike: true, ..PLAIN })
        }),
    ]
}

/// What kind of groups.
#[derive(Clone, Copy)]
struct Kind {
    /// Everyone subscribes to the same topics.
    alike: bool,
    /// Members and replicas are in racks.
    racks: bool,
    /// Claims are arbitrary, in place of what comes of members and partitions that come and go.
    claims: bool,
}

const PLAIN: Kind = Kind { alike: false, racks: false, claims: false };

struct Group {
    topics: Racks,
    members: Vec<Subscriber>,
}

type Shares = BTreeMap<String, Vec<TopicPartition>>;

/// Xorshift: the same groups in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn some(&mut self, all: &[String]) -> Vec<String> {
        let mut some: Vec<String> = all.iter().filter(|_| self.chance(60)).cloned().collect();
        if some.is_empty() {
            some.push(all[self.below(all.len())].clone());
        }
        some
    }

    fn rack(&mut self) -> String {
        ["a", "b", "c"][self.below(3)].to_owned()
    }

    fn group(&mut self, kind: Kind) -> Group {
        let names: Vec<String> = (0..1 + self.below(5)).map(|number| format!("t{number}")).collect();
        let mut topics = Racks::new();
        for name in &names {
            let racks = |random: &mut Self| -> BTreeSet<String> {
                let count = if kind.racks { 1 + random.below(2) } else { 0 };
                (0..count).map(|_| random.rack()).collect()
            };
            topics.insert(name.clone(), (0..self.below(11)).map(|_| racks(self)).collect());
        }
        let common = self.some(&names);
        let members = (0..1 + self.below(9)).map(|number| Subscriber {
            id: format!("m{number}"),
            instance_id: self.chance(20).then(|| format!("i{}", 9 - number)),
            topics: if kind.alike { common.clone() } else { self.some(&names) },
            owned: Vec::new(),
            generation: -1,
            rack: (kind.racks && self.chance(80)).then(|| self.rack()),
        });
        let members = members.collect();
        let mut group = Group { topics, members };
        if kind.claims {
            self.claim(&mut group);
        } else if self.chance(80) {
            self.go_on(&mut group, kind);
        }
        group
    }

    /// Each says that it has something, of the last generation or of one before. What two of the same generation claim,
    /// or what does not exist, is left out: there Java's fail, give a partition twice, or give one that is not there.
    fn claim(&mut self, group: &mut Group) {
        let mut claimed: BTreeSet<(i32, TopicPartition)> = BTreeSet::new();
        for member in &mut group.members {
            member.generation = [5, 5, 5, 4, -1][self.below(5)];
            for topic in member.topics.iter().filter(|_| member.generation >= 0) {
                for number in 0..group.topics[topic].len() as i32 {
                    let at = TopicPartition::new(topic.as_str(), number);
                    if self.chance(30) && claimed.insert((member.generation, at.clone())) {
                        member.owned.push(at);
                    }
                }
            }
        }
    }

    /// They have what an assignment gave them; then some leave, some join, some change their minds, topics grow.
    fn go_on(&mut self, group: &mut Group, kind: Kind) {
        let shares = ours("sticky", group);
        for member in &mut group.members {
            member.owned = shares[&member.id].clone();
            member.generation = 7;
        }
        if self.chance(40) && group.members.len() > 1 {
            let leaver = self.below(group.members.len());
            group.members.remove(leaver);
        }
        for _ in 0..[0, 0, 1, 2][self.below(4)] {
            if group.members.len() < 9 {
                let free = (0..10).map(|number| format!("m{number}"));
                let id = free.clone().find(|id| group.members.iter().all(|member| member.id != *id));
                let like = group.members[self.below(group.members.len())].clone();
                let id = id.unwrap_or_default();
                group.members.push(Subscriber { id, instance_id: None, owned: Vec::new(), generation: -1, ..like });
            }
        }
        if self.chance(30) && !kind.alike {
            let (names, changing) = (group.topics.keys().cloned().collect::<Vec<_>>(), self.below(group.members.len()));
            group.members[changing].topics = self.some(&names);
        }
        if self.chance(20) && !kind.racks {
            group.topics.values_mut().for_each(|partitions| partitions.push(BTreeSet::new()));
        }
    }
}

fn ours(assignor: &str, group: &Group) -> Shares {
    judged::assign(assignor, &group.topics, &group.members).expect("there is such an assignor")
}

/// What Java's decide for each group, by assignor.
fn javas(side: &Side, groups: &[Group]) -> Vec<BTreeMap<String, Shares>> {
    let mut input = String::new();
    for group in groups {
        let member = |member: &Subscriber| {
            let owned: Vec<Value> = member.owned.iter().map(|at| json!([*at.topic, at.partition])).collect();
            json!({
                "id": member.id, "instance": member.instance_id, "topics": member.topics, "owned": owned,
                "generation": member.generation, "rack": member.rack,
            })
        };
        let members: Vec<Value> = group.members.iter().map(member).collect();
        input += &format!("{}\n", json!({"topics": group.topics, "members": members}));
    }
    let ended = run_with(&mut side.java("Assignors.java"), &input, LONG);
    ended.code(0);
    assert_eq!(ended.stdout.len(), groups.len());
    let read = |line: &String| {
        let answer: BTreeMap<String, BTreeMap<String, Vec<(String, i32)>>> = serde_json::from_str(line).unwrap();
        let share = |share: Vec<(String, i32)>| {
            let mut share: Vec<_> =
                share.iter().map(|(topic, number)| TopicPartition::new(topic.as_str(), *number)).collect();
            share.sort();
            share
        };
        let shares = |shares: BTreeMap<String, Vec<_>>| shares.into_iter().map(|(id, one)| (id, share(one))).collect();
        answer.into_iter().map(|(name, one)| (name, shares(one))).collect()
    };
    ended.stdout.iter().map(read).collect()
}

fn sizes(shares: &Shares) -> Vec<usize> {
    let mut sizes: Vec<usize> = shares.values().map(Vec::len).collect();
    sizes.sort_unstable();
    sizes
}

/// How many partitions are with a member that has said that it has them.
fn kept(group: &Group, shares: &Shares) -> usize {
    let has = |member: &Subscriber| shares[&member.id].iter().filter(|at| member.owned.contains(at)).count();
    group.members.iter().map(has).sum()
}

/// How many partitions are with a member that can read them within its rack.
fn within_racks(group: &Group, shares: &Shares) -> usize {
    let fits = |member: &Subscriber, at: &TopicPartition| {
        member.rack.as_ref().is_none_or(|rack| group.topics[&*at.topic][at.partition as usize].contains(rack))
    };
    let within = |member: &Subscriber| shares[&member.id].iter().filter(|at| fits(member, at)).count();
    group.members.iter().map(within).sum()
}

/// Whether a choice of ours that is not Java's is as good.
///
/// Java's sticky assignors take a partition from a member in another rack, and give it back or to the next one in another
/// rack; ours leave it. So they go on from different places there, and where subscriptions differ, both by rules of thumb:
/// only over many groups ours keep more.
fn as_good(group: &Group, kind: Kind, name: &str, ours: &Shares, java: &Shares) -> bool {
    let fresh = group.members.iter().all(|member| member.owned.is_empty());
    if !kind.racks || fresh {
        let [ours, java] = [ours, java].map(|all| (sizes(all), kept(group, all), within_racks(group, all)));
        return ours == java;
    }
    // What is on its way to another member is in nobody's share yet.
    let even = name == "cooperative-sticky" || is_even(group, ours);
    even && (!kind.alike || kept(group, ours) >= kept(group, java))
}

/// Whether no partition could go from a larger share to one smaller by more than one. Where subscriptions differ neither
/// client promises more.
fn is_even(group: &Group, shares: &Shares) -> bool {
    let smallest = |topic: &str| {
        let subscribers = group.members.iter().filter(|member| member.topics.iter().any(|one| one == topic));
        subscribers.map(|member| shares[&member.id].len()).min().unwrap_or_default()
    };
    shares.values().all(|share| share.iter().all(|at| share.len() <= smallest(&at.topic) + 1))
}

fn compare(side: &Side, kind: Kind) -> String {
    let mut random = Random(SEED);
    let groups: Vec<Group> = (0..COUNT).map(|_| random.group(kind)).collect();
    let (mut differences, mut equal, mut stayed) = (Vec::new(), BTreeMap::new(), [0, 0]);
    for (group, javas) in groups.iter().zip(javas(side, &groups)) {
        for (name, java) in javas {
            let ours = ours(&name, group);
            *equal.entry(name.clone()).or_insert(0) += usize::from(ours == java);
            if name.contains("sticky") {
                stayed[0] += kept(group, &ours);
                stayed[1] += kept(group, &java);
            }
            let as_good = name.contains("sticky") && as_good(group, kind, &name, &ours, &java);
            if ours != java && !as_good {
                let all = [("ours", &ours), ("Java's", &java)].map(|(whose, shares)| {
                    format!("{whose}: {:?}, {} kept: {shares:?}", sizes(shares), kept(group, shares))
                });
                differences.push(format!("{name}\n{}\nof {:?}\n{:#?}", all.join("\n"), group.topics, group.members));
            }
        }
    }
    println!(
        "    of {COUNT} groups the same to everyone: {equal:?}; left by ours and by Java's where they were: {stayed:?}"
    );
    assert!(differences.is_empty(), "{} differences, the first: {}", differences.len(), differences[0]);
    assert!(stayed[0] >= stayed[1], "ours leave less where it was: {stayed:?}");
    String::new()
}
