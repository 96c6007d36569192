//! Membership in a group of the consumer protocol (KIP-848), as one state machine that touches neither a socket nor the
//! clock.
//!
//! The coordinator shares the partitions out; a member learns of its share with the heartbeats. It gives up what is no
//! longer its own, takes up what is new, and tells so with the next heartbeat; the coordinator hands a partition on only
//! when it was given up. `poll` takes [`Step`]s on the application's thread, the coordinator thread sends what
//! [`Modern::heartbeat`] says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::membership::{Beat, Cause, Identity, Polls, Reaction, Stay, Step, fenced, not_a_member};
use crate::kafka::config::ConsumerSettings;
use crate::kafka::consumer::subscription::{Assignment, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, ConsumerGroupHeartbeatTopicPartitions,
};
use crate::kafka::protocol::{ApiKey, ErrorCode, Uuid};

/// A member epoch that says: I join.
const JOINS: i32 = 0;
/// I leave.
const LEAVES: i32 = -1;
/// I am a static member and leave, but come back.
const LEAVES_FOR_A_WHILE: i32 = -2;
/// How long a member waits whose instance id another one still has.
const UNRELEASED_RETRY: Duration = Duration::from_secs(1);

/// How often it says so.
const COMPLAIN_AGAIN: Duration = Duration::from_secs(30);
/// When a coordinator that is still loading is asked again.
const LOADING_RETRY: Duration = Duration::from_millis(200);

type Partitions = BTreeSet<(Uuid, i32)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Neither a member nor on the way.
    Out,
    /// Not a member; wants to be one.
    Wanting,
    /// A heartbeat that joins is due or under way.
    Joining,
    Member,
    /// Another member has this one's group.instance.id.
    Fenced,
}

#[derive(Debug)]
pub(crate) struct Modern {
    group: String,
    instance_id: Option<String>,
    rack: Option<String>,
    assignor: Option<String>,
    phase: Phase,
    /// Made up here, and anew after leaving: a join under the old one might overtake the leaving, which would then end the
    /// new membership. A broker of the first version gives another one.
    member_id: String,
    epoch: i32,
    stays: u64,
    /// The stay before this one if it ended by leaving, for commits of it that go before the leaving does.
    before: Option<(u64, Identity)>,
    topics: BTreeSet<String>,
    /// What the coordinator said is to be held, until it is.
    target: Option<Partitions>,
    /// The names of the topics in it, also while metadata lacks them for a moment.
    names: BTreeMap<Uuid, String>,
    /// What is held, as the coordinator is to be told.
    owned: Partitions,
    /// The next heartbeat tells the topics, what is owned, and everything else.
    tell_all: bool,
    tell_topics: bool,
    tell_owned: bool,
    /// What the partitions of the target that cannot be named yet were last told of.
    unnamed: bool,
    lost: Option<String>,
    interval: Duration,
    heartbeat_due: Option<Instant>,
    pub(super) polls: Polls,
    not_before: Option<Instant>,
    cause: Option<Cause>,
    /// When the refusal that is being waited out was last told.
    complained: Option<Instant>,
}

impl Modern {
    pub fn new(group: &str, settings: &ConsumerSettings, now: Instant) -> Self {
        Self {
            group: group.to_owned(),
            instance_id: settings.group_instance_id.clone(),
            rack: settings.client.client_rack.clone(),
            assignor: settings.group_remote_assignor.clone(),
            phase: Phase::Out,
            member_id: Uuid::random().to_string(),
            epoch: JOINS,
            stays: 0,
            before: None,
            topics: BTreeSet::new(),
            target: None,
            names: BTreeMap::new(),
            owned: Partitions::new(),
            tell_all: true,
            tell_topics: false,
            tell_owned: false,
            unnamed: false,
            lost: None,
            // Until the coordinator names one.
            interval: Duration::from_secs(3),
            heartbeat_due: None,
            polls: Polls::new(settings.max_poll_interval, now),
            not_before: None,
            cause: None,
            complained: None,
        }
    }

    pub(super) fn polls(&mut self) -> &mut Polls {
        &mut self.polls
    }

    pub(super) fn heartbeat_due(&self) -> Option<Instant> {
        self.heartbeat_due
    }

    /// The member epoch.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn take_cause(&mut self) -> Option<Cause> {
        self.cause.take()
    }

    fn because(&mut self, why: impl Into<String>, now: Instant) {
        self.cause.get_or_insert_with(|| Cause { why: why.into(), since: now });
    }

    /// The subscription changed: the coordinator is told with the next heartbeat, which is due now.
    pub fn subscribe(&mut self, topics: &BTreeSet<String>, now: Instant) {
        self.topics.clone_from(topics);
        match self.phase {
            Phase::Out => {
                self.phase = Phase::Wanting;
                self.because("this consumer joins", now);
            }
            Phase::Joining | Phase::Member => {
                self.tell_topics = true;
                self.heartbeat_due = Some(now);
                self.because("the subscription changed", now);
            }
            Phase::Wanting | Phase::Fenced => {}
        }
    }

    /// Out of the group, and not wanting back. Returns as whom the coordinator must be told, if it may know us.
    pub fn leave(&mut self) -> Option<Identity> {
        let known = matches!(self.phase, Phase::Joining | Phase::Member);
        let generation = if self.instance_id.is_some() { LEAVES_FOR_A_WHILE } else { LEAVES };
        let member = Identity { generation: self.epoch, member_id: self.member_id.clone() };
        let left = Identity { generation, ..member.clone() };
        if known {
            self.before = Some((self.stays, member));
        }
        self.phase = Phase::Out;
        self.start_over();
        self.member_id = Uuid::random().to_string();
        self.lost = None;
        self.cause = None;
        known.then_some(left)
    }

    /// Nothing of what was holds any more.
    fn start_over(&mut self) {
        self.stays += 1;
        self.epoch = JOINS;
        self.target = None;
        self.owned.clear();
        self.tell_all = true;
        self.heartbeat_due = None;
    }

    /// What is to do now, if anything.
    pub fn step(&mut self, held: &Assignment, name: impl Fn(Uuid) -> Option<String>, now: Instant) -> Option<Step> {
        match self.phase {
            Phase::Out | Phase::Joining => None,
            Phase::Fenced if !held.is_empty() => Some(Step::Lose),
            Phase::Fenced => Some(Step::Fail(fenced(&self.group))),
            Phase::Wanting if !held.is_empty() => Some(Step::Lose),
            Phase::Wanting => {
                if self.not_before.is_some_and(|moment| now < moment) {
                    return None;
                }
                self.phase = Phase::Joining;
                self.not_before = None;
                self.lost = None;
                self.heartbeat_due = Some(now);
                Some(Step::Report)
            }
            Phase::Member => self.reconcile(held, name, now),
        }
    }

    /// Brings what is held in line with the target, first giving up, then taking up.
    fn reconcile(&mut self, held: &Assignment, name: impl Fn(Uuid) -> Option<String>, now: Instant) -> Option<Step> {
        let target = self.target.as_ref()?;
        let ids: BTreeSet<Uuid> = target.iter().map(|(id, _)| *id).collect();
        let known = |id: &Uuid| name(*id).or_else(|| self.names.get(id).cloned());
        let names: BTreeMap<Uuid, String> = ids.iter().filter_map(|id| Some((*id, known(id)?))).collect();
        // A topic may be too new for the metadata at hand. It is taken up once it has a name.
        let unnamed = names.len() < ids.len();
        let named = || target.iter().filter_map(|(id, partition)| Some((names.get(id)?.as_str(), *partition)));
        let wanted: BTreeSet<TopicPartition> =
            named().map(|(topic, index)| TopicPartition::new(topic, index)).collect();
        let gone: Vec<_> = held.list().into_iter().filter(|partition| !wanted.contains(partition)).collect();
        if !gone.is_empty() {
            return Some(Step::Revoke(gone));
        }
        let owned: Partitions = target.iter().filter(|(id, _)| names.contains_key(id)).copied().collect();
        if unnamed && owned == self.owned {
            let news = !std::mem::replace(&mut self.unnamed, true);
            return news.then_some(Step::Report);
        }
        self.unnamed = false;
        if !unnamed {
            self.target = None;
        }
        self.owned = owned;
        self.names = names;
        self.tell_owned = true;
        self.heartbeat_due = Some(now);
        Some(Step::Assign(wanted.into_iter().filter(|partition| held.get(partition).is_none()).collect()))
    }

    /// Whether topics are assigned whose names are not known.
    pub fn misses_names(&self) -> bool {
        self.unnamed
    }

    /// When [`step`](Self::step) will have something to do by itself.
    pub fn step_due(&self) -> Option<Instant> {
        (self.phase == Phase::Wanting).then_some(self.not_before).flatten()
    }

    /// What was lost has been dropped.
    pub fn let_go(&mut self) {
        self.lost = None;
    }

    /// The heartbeat to send, if one is due.
    pub fn heartbeat(&mut self, now: Instant) -> Option<Beat> {
        if self.heartbeat_due.is_none_or(|due| now < due) {
            return None;
        }
        self.heartbeat_due = Some(now + self.interval);
        let joins = self.epoch == JOINS;
        let all = self.tell_all || joins;
        let (topics, owned) = (all || self.tell_topics, all || self.tell_owned);
        self.tell_all = false;
        self.tell_topics = false;
        self.tell_owned = false;
        let rebalance_timeout_ms = i32::try_from(self.polls.limit.as_millis()).unwrap_or(i32::MAX);
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rack_id: self.rack.clone().filter(|_| all),
            rebalance_timeout_ms: if all { rebalance_timeout_ms } else { -1 },
            subscribed_topic_names: topics.then(|| self.topics.iter().cloned().collect()),
            subscribed_topic_regex: None,
            server_assignor: self.assignor.clone().filter(|_| all),
            topic_partitions: owned.then(|| by_topic(&self.owned)),
        };
        Some(Beat::Modern { request: Box::new(request), stay: Stay::Member(self.stays) })
    }

    /// A heartbeat could not be sent or was not answered: nobody knows what of it has arrived, so the next one, at
    /// `retry_at` unless it is due earlier, tells everything again.
    pub fn heartbeat_failed(&mut self, retry_at: Instant) {
        if self.heartbeat_due.is_some() {
            self.tell_all = true;
        }
        self.heartbeat_due = self.heartbeat_due.map(|due| due.min(retry_at));
    }

    /// The coordinator answered a heartbeat that was sent in `stay`.
    ///
    /// # Errors
    /// The coordinator refuses this member for good.
    pub fn heard(
        &mut self,
        stay: Stay,
        response: &ConsumerGroupHeartbeatResponse,
        now: Instant,
    ) -> Result<Reaction, Error> {
        let code = response.error_code;
        if matches!(code, ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE) {
            return Ok(Reaction::FindCoordinator);
        }
        if stay != Stay::Member(self.stays) || !matches!(self.phase, Phase::Joining | Phase::Member) {
            return Ok(Reaction::Nothing);
        }
        match code {
            ErrorCode::NONE => Ok(self.accepted(response, now)),
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => {
                self.tell_all = true;
                self.heartbeat_due = Some(now + LOADING_RETRY);
                Ok(Reaction::Nothing)
            }
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH => {
                let why = if code == ErrorCode::UNKNOWN_MEMBER_ID {
                    "no heartbeat came through within the broker's group.consumer.session.timeout.ms"
                } else {
                    "the group went on without this consumer"
                };
                log::warn!("group {}: this consumer is no longer a member: {why}; joining again", self.group);
                self.start_over();
                self.phase = Phase::Wanting;
                self.lost = Some(why.to_owned());
                self.because(why, now);
                Ok(Reaction::Wake)
            }
            ErrorCode::UNRELEASED_INSTANCE_ID => {
                if self.complained.is_none_or(|told| now >= told + COMPLAIN_AGAIN) {
                    self.complained = Some(now);
                    log::warn!(
                        "group {}: group.instance.id={} is still taken, by another member or by this one's own session; \
                         waiting until that has left or is over",
                        self.group,
                        self.instance_id.as_deref().unwrap_or_default().escape_debug()
                    );
                }
                self.tell_all = true;
                self.heartbeat_due = Some(now + UNRELEASED_RETRY);
                Ok(Reaction::Nothing)
            }
            ErrorCode::FENCED_INSTANCE_ID => {
                self.start_over();
                self.phase = Phase::Fenced;
                log::error!("{}", fenced(&self.group));
                Ok(Reaction::Wake)
            }
            code if code.is_retriable() => {
                self.tell_all = true;
                Ok(Reaction::Nothing)
            }
            code => Err(self.refusal(code, response.error_message.as_deref())),
        }
    }

    fn accepted(&mut self, response: &ConsumerGroupHeartbeatResponse, now: Instant) -> Reaction {
        self.complained = None;
        if let Some(member_id) = response.member_id.as_ref().filter(|id| !id.is_empty()) {
            self.member_id.clone_from(member_id);
        }
        if let Ok(ms @ 1..) = u64::try_from(response.heartbeat_interval_ms) {
            let interval = Duration::from_millis(ms);
            if interval != self.interval {
                self.interval = interval;
                let due = now + interval;
                self.heartbeat_due = self.heartbeat_due.map(|earlier| earlier.min(due));
            }
        }
        let joined = self.phase == Phase::Joining;
        if response.member_epoch != self.epoch {
            log::debug!("group {}: member epoch {}", self.group, response.member_epoch);
            self.epoch = response.member_epoch;
        }
        self.phase = Phase::Member;
        let Some(assignment) = &response.assignment else {
            return if joined { Reaction::Wake } else { Reaction::Nothing };
        };
        let target: Partitions = assignment
            .topic_partitions
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic_id, *index)))
            .filter(|(_, index)| *index >= 0)
            .collect();
        if target == self.owned && self.target.is_none() && !joined {
            return Reaction::Nothing;
        }
        self.because("the coordinator shares the partitions out anew", now);
        self.unnamed = false;
        self.target = Some(target);
        Reaction::Wake
    }

    /// Membership ended for a reason that only a human can remove; `poll` tries again when called from `retry_at` on.
    pub fn refused(&mut self, retry_at: Instant) {
        if matches!(self.phase, Phase::Joining | Phase::Member) {
            self.start_over();
            self.phase = Phase::Wanting;
            self.lost = Some("the coordinator refused it".to_owned());
            self.not_before = Some(retry_at);
        }
    }

    /// When the application must have called `poll` again, if it must.
    pub fn poll_due(&self) -> Option<Instant> {
        let member = matches!(self.phase, Phase::Joining | Phase::Member);
        if member { self.polls.due() } else { None }
    }

    /// If the application did not call `poll` in time: whom to leave the group as. The next poll joins again.
    pub fn poll_overdue(&mut self, now: Instant) -> Option<Identity> {
        if self.poll_due().is_none_or(|due| now < due) {
            return None;
        }
        let why = self.polls.overdue(&self.group);
        let left = self.leave();
        self.phase = Phase::Wanting;
        self.because(why.clone(), now);
        self.lost = Some(why);
        left
    }

    /// Whether the coordinator is needed to become or stay a member.
    pub fn wants_coordinator(&self) -> bool {
        self.heartbeat_due.is_some()
    }

    /// As whom to commit.
    ///
    /// # Errors
    /// Not a member (any more).
    pub fn committer(&self) -> Result<Stay, Error> {
        match self.phase {
            Phase::Out => Ok(Stay::Apart),
            Phase::Fenced => Err(fenced(&self.group)),
            Phase::Member => Ok(Stay::Member(self.stays)),
            Phase::Wanting | Phase::Joining => Err(not_a_member(&self.group, self.lost.as_deref())),
        }
    }

    /// Who is to commit now what was read in `stay`; nobody if that is over.
    pub fn identity_in(&self, stay: Stay) -> Option<Identity> {
        let identity = || Identity { generation: self.epoch, member_id: self.member_id.clone() };
        match &self.before {
            _ if stay == Stay::Member(self.stays) => Some(identity()),
            Some((before, member)) if stay == Stay::Member(*before) => Some(member.clone()),
            _ => None,
        }
    }

    fn refusal(&self, code: ErrorCode, message: Option<&str>) -> Error {
        let hint = match code {
            ErrorCode::GROUP_MAX_SIZE_REACHED => "the group is full: see the broker's group.consumer.max.size",
            ErrorCode::UNSUPPORTED_ASSIGNOR => "the broker does not have the assignor of group.remote.assignor",
            ErrorCode::GROUP_AUTHORIZATION_FAILED => "the right to READ this group is missing",
            ErrorCode::TOPIC_AUTHORIZATION_FAILED => "the right to DESCRIBE its topics is missing",
            ErrorCode::UNSUPPORTED_VERSION => UNSERVED,
            _ => message.unwrap_or_default(),
        };
        let text = match hint {
            "" => format!("cannot join group {}", self.group),
            hint => format!("cannot join group {}: {hint}", self.group),
        };
        Error::broker_code(ApiKey::ConsumerGroupHeartbeat, code, Some(&text))
    }
}

const UNSERVED: &str = "the broker does not serve the consumer protocol: group.protocol=classic works everywhere";

/// The broker does not even know the request.
pub(super) fn unserved(group: &str) -> Error {
    let text = format!("cannot join group {group}: {UNSERVED}");
    Error::broker_code(ApiKey::ConsumerGroupHeartbeat, ErrorCode::UNSUPPORTED_VERSION, Some(&text))
}

fn by_topic(partitions: &Partitions) -> Vec<ConsumerGroupHeartbeatTopicPartitions> {
    let mut topics: Vec<ConsumerGroupHeartbeatTopicPartitions> = Vec::new();
    for (topic_id, index) in partitions {
        match topics.last_mut().filter(|topic| topic.topic_id == *topic_id) {
            Some(topic) => topic.partitions.push(*index),
            None => {
                topics.push(ConsumerGroupHeartbeatTopicPartitions { topic_id: *topic_id, partitions: vec![*index] })
            }
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::config::Config;
    use crate::kafka::consumer::offsets::Position;
    use crate::kafka::protocol::messages::ConsumerGroupHeartbeatAssignment;

    const T: Uuid = Uuid([1; 16]);
    const NEW: Uuid = Uuid([2; 16]);
    const INTERVAL: Duration = Duration::from_secs(5);

    fn topics() -> BTreeSet<String> {
        ["t".to_owned()].into()
    }

    fn name(id: Uuid) -> Option<String> {
        (id == T).then(|| "t".to_owned())
    }

    fn place(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn holding(partitions: &[i32]) -> Assignment {
        let mut held = Assignment::new(1);
        for partition in partitions {
            held.add(place(*partition), Position::Committed);
        }
        held
    }

    fn answer(epoch: i32, assigned: Option<&[(Uuid, i32)]>) -> ConsumerGroupHeartbeatResponse {
        let partitions = |list: &[(Uuid, i32)]| by_topic(&list.iter().copied().collect());
        ConsumerGroupHeartbeatResponse {
            member_epoch: epoch,
            heartbeat_interval_ms: 5000,
            assignment: assigned.map(|list| ConsumerGroupHeartbeatAssignment { topic_partitions: partitions(list) }),
            ..Default::default()
        }
    }

    fn refused(code: ErrorCode) -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse { error_code: code, ..Default::default() }
    }

    fn beat(member: &mut Modern, now: Instant) -> (ConsumerGroupHeartbeatRequest, Stay) {
        match member.heartbeat(now) {
            Some(Beat::Modern { request, stay }) => (*request, stay),
            other => panic!("{other:?}"),
        }
    }

    fn wanting(extra: &[(&str, &str)], now: Instant) -> Modern {
        let mut config = Config::new();
        let basic = [("bootstrap.servers", "localhost:9092"), ("group.id", "g"), ("group.protocol", "consumer")];
        for (name, value) in basic.iter().chain(extra) {
            config = config.set(name, value).unwrap();
        }
        let mut member = Modern::new("g", &config.consumer().unwrap(), now);
        member.polls.polling(true, now);
        member.subscribe(&topics(), now);
        assert!(matches!(member.step(&holding(&[]), name, now), Some(Step::Report)));
        member
    }

    /// A member of epoch 1 that holds t-0 and t-1, and has told so.
    fn settled(now: Instant) -> (Modern, Stay) {
        let mut member = wanting(&[], now);
        let (request, stay) = beat(&mut member, now);
        assert_eq!((request.member_epoch, request.topic_partitions), (0, Some(Vec::new())));
        assert_eq!(request.subscribed_topic_names, Some(vec!["t".to_owned()]));
        assert_eq!(member.heard(stay, &answer(1, Some(&[(T, 0), (T, 1)])), now).unwrap(), Reaction::Wake);
        let step = member.step(&holding(&[]), name, now);
        assert!(matches!(step, Some(Step::Assign(new)) if new == [place(0), place(1)]));
        let (request, stay) = beat(&mut member, now);
        assert_eq!(request.topic_partitions, Some(by_topic(&[(T, 0), (T, 1)].into())));
        assert_eq!((request.member_epoch, request.subscribed_topic_names), (1, None));
        assert_eq!(member.heard(stay, &answer(1, None), now).unwrap(), Reaction::Nothing);
        (member, stay)
    }

    #[test]
    fn what_goes_is_given_up_before_what_comes_is_taken_up_and_then_it_is_told() {
        let now = Instant::now();
        let (mut member, stay) = settled(now);
        assert!(member.heartbeat(now + INTERVAL / 2).is_none());
        let (request, _) = beat(&mut member, now + INTERVAL);
        assert_eq!((request.topic_partitions, request.rebalance_timeout_ms), (None, -1), "only what is new is told");
        member.heard(stay, &answer(2, Some(&[(T, 1), (T, 2)])), now).unwrap();
        let step = member.step(&holding(&[0, 1]), name, now);
        assert!(matches!(step, Some(Step::Revoke(gone)) if gone == [place(0)]));
        assert_eq!(member.identity_in(stay).unwrap().generation, 2, "the listener commits with the present epoch");
        let step = member.step(&holding(&[1]), name, now);
        assert!(matches!(step, Some(Step::Assign(new)) if new == [place(2)]));
        let (request, _) = beat(&mut member, now);
        assert_eq!(request.topic_partitions, Some(by_topic(&[(T, 1), (T, 2)].into())));
        assert!(member.step(&holding(&[1, 2]), name, now).is_none());
    }

    #[test]
    fn a_topic_without_a_name_is_waited_for_and_the_rest_is_taken_up() {
        let now = Instant::now();
        let (mut member, stay) = settled(now);
        member.heard(stay, &answer(2, Some(&[(T, 0), (T, 1), (T, 2), (NEW, 0)])), now).unwrap();
        let step = member.step(&holding(&[0, 1]), name, now);
        assert!(matches!(step, Some(Step::Assign(new)) if new == [place(2)]));
        assert!(matches!(member.step(&holding(&[0, 1, 2]), name, now), Some(Step::Report)), "metadata is asked for");
        assert!(member.misses_names());
        assert!(member.step(&holding(&[0, 1, 2]), name, now).is_none(), "once");
        let both = |id| name(id).or_else(|| Some("new".to_owned()));
        let step = member.step(&holding(&[0, 1, 2]), both, now);
        assert!(matches!(step, Some(Step::Assign(new)) if new == [TopicPartition::new("new", 0)]));
        assert!(!member.misses_names());
    }

    #[test]
    fn a_member_that_was_put_out_loses_everything_and_joins_anew() {
        for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::FENCED_MEMBER_EPOCH] {
            let now = Instant::now();
            let (mut member, stay) = settled(now);
            assert_eq!(member.heard(stay, &refused(code), now).unwrap(), Reaction::Wake);
            assert!(member.committer().unwrap_err().to_string().contains("no longer a member"));
            assert_eq!(member.identity_in(stay), None);
            assert!(member.heartbeat(now + INTERVAL * 2).is_none(), "not before poll knows");
            assert!(matches!(member.step(&holding(&[0, 1]), name, now), Some(Step::Lose)));
            member.let_go();
            assert!(matches!(member.step(&holding(&[]), name, now), Some(Step::Report)));
            let (request, _) = beat(&mut member, now);
            assert_eq!((request.member_epoch, request.topic_partitions), (0, Some(Vec::new())));
            assert_eq!(member.heard(stay, &answer(7, Some(&[(T, 0)])), now).unwrap(), Reaction::Nothing, "of the past");
        }
    }

    #[test]
    fn after_a_heartbeat_that_failed_everything_is_told_again() {
        let now = Instant::now();
        let (mut member, _) = settled(now);
        beat(&mut member, now + INTERVAL);
        member.heartbeat_failed(now + INTERVAL);
        let (request, _) = beat(&mut member, now + INTERVAL);
        assert_eq!(request.member_epoch, 1);
        assert_eq!(request.topic_partitions, Some(by_topic(&[(T, 0), (T, 1)].into())));
        assert!(request.subscribed_topic_names.is_some() && request.rebalance_timeout_ms > 0);
    }

    #[test]
    fn a_changed_subscription_is_told_at_once() {
        let now = Instant::now();
        let (mut member, _) = settled(now);
        member.subscribe(&["u".to_owned()].into(), now);
        let (request, _) = beat(&mut member, now);
        assert_eq!(request.subscribed_topic_names, Some(vec!["u".to_owned()]));
    }

    #[test]
    fn an_instance_id_that_is_not_free_is_waited_for_and_one_that_was_taken_is_final() {
        let now = Instant::now();
        let mut member = wanting(&[("group.instance.id", "i")], now);
        let (_, stay) = beat(&mut member, now);
        let answered = member.heard(stay, &refused(ErrorCode::UNRELEASED_INSTANCE_ID), now);
        assert_eq!(answered.unwrap(), Reaction::Nothing);
        let (request, _) = beat(&mut member, now + UNRELEASED_RETRY);
        assert_eq!((request.member_epoch, request.instance_id.as_deref()), (0, Some("i")));
        assert_eq!(member.leave().unwrap().generation, LEAVES_FOR_A_WHILE);

        let mut member = wanting(&[("group.instance.id", "i")], now);
        let (_, stay) = beat(&mut member, now);
        member.heard(stay, &refused(ErrorCode::FENCED_INSTANCE_ID), now).unwrap();
        assert!(matches!(member.step(&holding(&[]), name, now), Some(Step::Fail(_))));
        assert!(member.leave().is_none(), "the other one is the member");
    }

    #[test]
    fn what_does_not_pass_is_told_and_tried_again_later() {
        for (code, hint) in [
            (ErrorCode::UNSUPPORTED_ASSIGNOR, "group.remote.assignor"),
            (ErrorCode::GROUP_MAX_SIZE_REACHED, "group.consumer.max.size"),
            (ErrorCode::GROUP_AUTHORIZATION_FAILED, "right"),
            (ErrorCode::UNSUPPORTED_VERSION, "group.protocol=classic"),
        ] {
            let now = Instant::now();
            let mut member = wanting(&[], now);
            let (_, stay) = beat(&mut member, now);
            let error = member.heard(stay, &refused(code), now).unwrap_err();
            assert!(error.to_string().contains(hint), "{error}");
            member.refused(now + INTERVAL);
            assert!(member.step(&holding(&[]), name, now).is_none());
            assert_eq!(member.step_due(), Some(now + INTERVAL));
            assert!(matches!(member.step(&holding(&[]), name, now + INTERVAL), Some(Step::Report)));
        }
    }

    #[test]
    fn what_is_held_stays_while_metadata_lacks_its_topic() {
        let now = Instant::now();
        let (mut member, stay) = settled(now);
        member.heard(stay, &answer(2, Some(&[(T, 0), (T, 1), (T, 2)])), now).unwrap();
        let step = member.step(&holding(&[0, 1]), |_| None, now);
        assert!(matches!(step, Some(Step::Assign(new)) if new == [place(2)]), "the name is remembered");
    }

    #[test]
    fn commits_go_under_the_old_name_until_it_has_left_and_a_new_membership_has_another() {
        let now = Instant::now();
        let (mut member, stay) = settled(now);
        let old = member.identity_in(stay).unwrap();
        let left = member.leave().unwrap();
        assert_eq!(left.member_id, old.member_id);
        assert_eq!(member.identity_in(stay), Some(old.clone()));
        member.subscribe(&topics(), now);
        assert!(matches!(member.step(&holding(&[]), name, now), Some(Step::Report)));
        let (request, _) = beat(&mut member, now);
        assert_ne!(request.member_id, old.member_id);
    }

    #[test]
    fn leaving_names_the_member_only_if_the_coordinator_may_know_it() {
        let now = Instant::now();
        let (mut member, _) = settled(now);
        assert_eq!(member.leave().unwrap().generation, LEAVES);
        assert_eq!(member.leave(), None);
        assert_eq!(member.committer().unwrap(), Stay::Apart);
    }
}
