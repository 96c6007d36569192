//! Random members that do random things: what must hold at all times holds.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn classic_members_all_get_answers_and_what_the_leader_of_their_generation_gave(
        steps in proptest::collection::vec((0usize..5, 0u8..12), 1..150),
    ) {
        let mut group = ClassicGroup::new();
        for (member, what) in steps {
            group.step(member, what);
            group.check()?;
        }
        group.world.pass(600);
        group.collect();
        for member in &group.members {
            prop_assert!(member.joining.is_none() && member.syncing.is_none(), "somebody waits for ever");
        }
        prop_assert_eq!(group.world.state().unwrap_or("Empty"), "Empty", "nobody was heard of for ten minutes");
    }

    #[test]
    fn no_partition_ever_has_two_owners_where_the_broker_assigns(
        steps in proptest::collection::vec((0usize..5, 0u8..12), 1..200),
    ) {
        let mut group = ConsumerGroup::new();
        for (member, what) in steps {
            group.step(member, what);
            group.check()?;
        }
        group.settle();
        group.check()?;
        let alive: Vec<&Consumer> = group.members.iter().filter(|member| member.epoch > 0).collect();
        let owned: usize = alive.iter().map(|member| member.owned.len()).sum();
        let all: i32 = group.world.topics.topics.values().map(|found| found.partitions).sum();
        prop_assert_eq!(owned, if alive.is_empty() { 0 } else { all as usize }, "in the end everything has an owner");
    }
}

/// A group as its members see it, and the groups under test.
struct ClassicGroup {
    world: World,
    members: Vec<Classical>,
    /// The highest generation that anybody was told.
    generation: i32,
}

#[derive(Default)]
struct Classical {
    id: String,
    generation: i32,
    leads: Vec<String>,
    joining: Option<Waiting<JoinGroupResponse>>,
    syncing: Option<Waiting<SyncGroupResponse>>,
    part: Option<String>,
}

impl ClassicGroup {
    fn new() -> Self {
        let members = (0..5).map(|_| Classical::default()).collect();
        Self { world: World::new(GroupOptions::default()), members, generation: 0 }
    }

    fn step(&mut self, at: usize, what: u8) {
        let Self { world, members, .. } = self;
        let member = &mut members[at];
        let waits = member.joining.is_some() || member.syncing.is_some();
        match what {
            0..=3 if !waits => {
                let request = JoinGroupRequest { member_id: member.id.clone(), ..consumer() };
                member.part = None;
                member.joining = Some(world.join(&request));
            }
            4..=6 if !waits && member.generation > 0 => {
                let parts: Vec<(String, String)> =
                    member.leads.iter().map(|id| (id.clone(), format!("{} {id}", member.generation))).collect();
                let parts: Vec<(&str, &str)> = parts.iter().map(|(id, part)| (id.as_str(), part.as_str())).collect();
                member.syncing = Some(world.sync(&member.id, member.generation, &parts));
            }
            7 | 8 if !waits => match world.heartbeat(&member.id, member.generation) {
                ErrorCode::NONE => {}
                ErrorCode::REBALANCE_IN_PROGRESS => member.part = None,
                _ => *member = Classical::default(),
            },
            9 if !member.id.is_empty() => {
                world.leave(&member.id);
                member.part = None;
            }
            10 => world.pass(3),
            11 => world.pass(11),
            _ => {}
        }
        self.collect();
    }

    /// Takes the answers that have come.
    fn collect(&mut self) {
        for member in &mut self.members {
            match member.joining.as_ref().and_then(|joining| joining.0.poll()) {
                None => {}
                Some(Reply::Answer(joined)) => {
                    member.joining = None;
                    match joined.error_code {
                        ErrorCode::NONE => {
                            member.id = joined.member_id;
                            member.generation = joined.generation_id;
                            member.leads = joined.members.into_iter().map(|member| member.member_id).collect();
                            self.generation = self.generation.max(joined.generation_id);
                        }
                        ErrorCode::MEMBER_ID_REQUIRED => member.id = joined.member_id,
                        _ => *member = Classical::default(),
                    }
                }
                Some(_) => panic!("a join ended without an answer"),
            }
            match member.syncing.as_ref().and_then(|syncing| syncing.0.poll()) {
                None => {}
                Some(Reply::Answer(synced)) => {
                    member.syncing = None;
                    match synced.error_code {
                        ErrorCode::NONE => {
                            member.part = Some(String::from_utf8_lossy(&synced.assignment).into_owned());
                        }
                        ErrorCode::REBALANCE_IN_PROGRESS => member.part = None,
                        _ => *member = Classical::default(),
                    }
                }
                Some(_) => panic!("a sync ended without an answer"),
            }
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for member in &self.members {
            prop_assert!(member.generation <= self.generation);
            if let Some(part) = &member.part {
                // The leader's sync may have come without a list of members, if it did not lead any more.
                let own = format!("{} {}", member.generation, member.id);
                prop_assert!(*part == own || part.is_empty(), "{part} instead of {own}");
            }
        }
        if self.world.state() == Some("Stable") {
            let parts = self.world.parts();
            let generations: BTreeSet<&str> =
                parts.iter().filter_map(|(_, part)| part.split(' ').next()).filter(|part| !part.is_empty()).collect();
            prop_assert!(generations.len() <= 1, "parts of several generations: {parts:?}");
        }
        Ok(())
    }
}

/// Consumers that do as they are told, each in its own time.
struct ConsumerGroup {
    world: World,
    members: Vec<Consumer>,
}

#[derive(Default)]
struct Consumer {
    /// 0 is outside of the group.
    epoch: i32,
    /// What it reads from.
    owned: BTreeSet<(Uuid, i32)>,
    /// What it was last told to read from.
    target: BTreeSet<(Uuid, i32)>,
    /// In which life it is; each has another id.
    life: usize,
}

impl ConsumerGroup {
    fn new() -> Self {
        let mut world = World::new(GroupOptions::default());
        world.topics.set("t", 3);
        Self { world, members: (0..5).map(|_| Consumer::default()).collect() }
    }

    fn step(&mut self, at: usize, what: u8) {
        match what {
            0..=5 => self.beat(at, true),
            // Says nothing of what it owns, and gives nothing up.
            6 => self.beat(at, false),
            7 => {
                let request = ConsumerGroupHeartbeatRequest { member_epoch: -1, ..self.request(at) };
                let _ = self.send(&request);
                let life = self.members[at].life + 1;
                self.members[at] = Consumer { life, ..Consumer::default() };
            }
            8 => self.pass(1),
            9 => self.pass(21),
            10 => {
                let partitions = self.world.topics.find("t").map_or(0, |found| found.partitions);
                self.world.topics.set("t", (partitions + 1).min(12));
            }
            _ => self.pass(46),
        }
    }

    /// Time in which sessions end: a member that was not heard of stops reading, as clients do.
    fn pass(&mut self, seconds: u64) {
        self.world.pass(seconds);
        let known = self.world.groups.members("g");
        for at in 0..self.members.len() {
            if !known.contains(&self.request(at).member_id) {
                let life = self.members[at].life + 1;
                self.members[at] = Consumer { life, ..Consumer::default() };
            }
        }
    }

    fn request(&self, at: usize) -> ConsumerGroupHeartbeatRequest {
        let member = &self.members[at];
        ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: format!("m{at}.{}", member.life),
            member_epoch: member.epoch,
            ..Default::default()
        }
    }

    fn send(&mut self, request: &ConsumerGroupHeartbeatRequest) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        let asker = Asker { version: 1, client: &self.world.client };
        let answer = self.world.groups.consumer_heartbeat(self.world.now, &self.world.topics, &asker, request);
        answer.map_err(|refused| refused.code)
    }

    fn beat(&mut self, at: usize, tells: bool) {
        let mut request = self.request(at);
        let member = &mut self.members[at];
        if request.member_epoch == 0 {
            request.rebalance_timeout_ms = 20_000;
            request.subscribed_topic_names = Some(vec!["t".to_owned()]);
            request.topic_partitions = Some(Vec::new());
        } else if tells {
            member.owned = member.owned.intersection(&member.target).copied().collect();
            let id = self.world.topics.find("t").unwrap().id;
            let partitions: Vec<i32> = member.owned.iter().map(|(_, partition)| *partition).collect();
            request.topic_partitions = Some(vec![ConsumerGroupHeartbeatTopicPartitions { topic_id: id, partitions }]);
        }
        let answer = self.send(&request);
        let member = &mut self.members[at];
        match answer {
            Ok(answer) => {
                assert!(answer.member_epoch >= member.epoch, "an epoch never goes back");
                member.epoch = answer.member_epoch;
                if let Some(assignment) = answer.assignment {
                    let partitions = assignment.topic_partitions.into_iter();
                    member.target = partitions
                        .flat_map(|topic| topic.partitions.into_iter().map(move |index| (topic.topic_id, index)))
                        .collect();
                    // It begins to read at once, and stops to read what it must give up at its own time.
                    member.owned.extend(&member.target);
                }
            }
            Err(_) => {
                let life = member.life + 1;
                *member = Consumer { life, ..Consumer::default() };
            }
        }
    }

    /// Heartbeats until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..20 {
            for at in 0..self.members.len() {
                if self.members[at].epoch > 0 {
                    self.beat(at, true);
                }
            }
            self.pass(1);
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let mut owned = BTreeSet::new();
        for member in &self.members {
            for partition in &member.owned {
                prop_assert!(owned.insert(*partition), "two read from {partition:?}");
            }
        }
        Ok(())
    }
}
