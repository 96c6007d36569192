//! One run: a source, the levels behind it, members that come and go, and what came of it.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use krs::devbroker::{DevBroker, Options};
use krs::service::Stop;
use krs::{Admin, Config, ConfigResource, Consumer, Error, NewTopic, Producer, Record};

use super::check::{self, Checker, Tally};
use super::leftovers::Leftovers;
use super::member::Orders;
use super::members::{Launch, Members};
use super::modes::Mode;
use super::schedule::{Change, Pace, Schedule, Step};

const PARTITIONS: u32 = 12;

/// How often the run looks around.
const GLANCE: Duration = Duration::from_millis(20);

/// How often it says how far it is.
const REPORT: Duration = Duration::from_secs(10);

/// What is run.
pub struct Plan {
    pub mode: &'static Mode,
    pub kills: bool,
    pub count: u64,
    pub seed: u64,
    pub levels: usize,
    pub members: usize,
    /// Over which time the source sends.
    pub flow: Duration,
    pub pace: Pace,
    /// Silence after which a member is taken for dead.
    pub session: Duration,
    /// How often members show themselves, and so learn of changes.
    pub heartbeat: Duration,
    /// With nothing new at any level for so long, the run has failed.
    pub patience: Duration,
    /// A Kafka that is there; else a development broker is started.
    pub brokers: Option<String>,
    /// How this program is started as a member.
    pub member: Vec<String>,
    /// Where the members' logs go; removed when all is well.
    pub logs: PathBuf,
}

impl Plan {
    pub fn name(&self) -> String {
        format!("{} {}", self.mode.name, if self.kills { "kill" } else { "clean" })
    }

    /// Runs it; lines of progress go to standard output. What it leaves on a broker that it did not start goes into
    /// `leftovers`, as far as it could not be deleted yet.
    ///
    /// # Errors
    /// What went wrong, in a line.
    pub fn run(&self, stop: &Stop, leftovers: &mut Leftovers) -> Result<(), String> {
        let broker = match self.brokers {
            Some(_) => None,
            None => Some(DevBroker::start(self.broker()).map_err(text)?),
        };
        let bootstrap = broker.as_ref().map(DevBroker::bootstrap).or_else(|| self.brokers.clone()).unwrap_or_default();
        let mut chain = Chain::new(self, bootstrap)?;
        if broker.is_none() {
            leftovers.add(&chain.topics, chain.levels.iter().map(|level| level.group.clone()));
        }
        let outcome = chain.run(stop);
        if broker.is_none() {
            // What cannot go yet is tried again in the end.
            let _ = chain.config().and_then(|config| leftovers.sweep(&config));
        }
        match &outcome {
            Ok(()) => drop(std::fs::remove_dir_all(&self.logs)),
            Err(_) => println!("  logs of the members: {}", self.logs.display()),
        }
        outcome
    }

    /// The development broker that it needs.
    pub fn broker(&self) -> Options {
        let mut options = Options::default();
        options.retention_bytes = 1 << 30;
        options.groups.min_session_timeout = self.session.min(options.groups.min_session_timeout);
        options.groups.consumer_session_timeout = self.session;
        options.groups.consumer_heartbeat_interval = self.heartbeat;
        options
    }
}

fn text(error: Error) -> String {
    error.to_string()
}

struct Chain<'a> {
    plan: &'a Plan,
    bootstrap: String,
    /// The source and what each level writes.
    topics: Vec<String>,
    levels: Vec<Level>,
    checker: Checker,
    sent: AtomicU64,
}

struct Level {
    group: String,
    members: Members,
    schedule: std::iter::Peekable<Schedule>,
    /// Joins that wait for the process of the same member to be gone.
    late: Vec<usize>,
}

impl<'a> Chain<'a> {
    fn new(plan: &'a Plan, bootstrap: String) -> Result<Self, String> {
        let begun = Instant::now();
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let run = format!("etl-{}-{:x}", plan.name().replace(' ', "-"), since_1970.as_millis());
        let topics: Vec<_> = (0..=plan.levels).map(|level| format!("{run}-{level}")).collect();
        let levels = (1..=plan.levels).map(|level| {
            let group = format!("{run}-level{level}");
            let mut properties = vec![
                ("bootstrap.servers", bootstrap.clone()),
                ("group.id", group.clone()),
                ("auto.offset.reset", "earliest".to_owned()),
                ("enable.idempotence", "true".to_owned()),
                ("linger.ms", "5".to_owned()),
                ("buffer.memory", (4 << 20).to_string()),
                ("queued.max.messages.kbytes", "2048".to_owned()),
                ("default.api.timeout.ms", "15000".to_owned()),
            ];
            if plan.mode.own_session {
                properties.push(("session.timeout.ms", plan.session.as_millis().to_string()));
                properties.push(("heartbeat.interval.ms", plan.heartbeat.as_millis().to_string()));
            }
            properties.extend(plan.mode.properties.iter().map(|(name, value)| (*name, (*value).to_owned())));
            let properties = properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let orders = Orders { from: topics[level - 1].clone(), to: topics[level].clone(), properties };
            let (command, logs) = (plan.member.clone(), plan.logs.clone());
            let launch = Launch { command, orders, logs, instances: plan.mode.instances };
            let schedule = Schedule::new(plan.seed, level, plan.members, plan.pace).peekable();
            Level { group, members: Members::new(level, launch, begun), schedule, late: Vec::new() }
        });
        let levels = levels.collect();
        let checker = Checker::new(&topics[1..], PARTITIONS);
        Ok(Self { plan, bootstrap, topics, levels, checker, sent: AtomicU64::new(0) })
    }

    fn config(&self) -> Result<Config, Error> {
        Config::new().set("bootstrap.servers", &self.bootstrap)
    }

    fn run(&mut self, stop: &Stop) -> Result<(), String> {
        let Plan { count, seed, levels, members, .. } = self.plan;
        println!("{}: {count} records, {levels} levels of {members} members, seed {seed}", self.plan.name());
        let admin = self.config().and_then(|config| Admin::connect(&config)).map_err(text)?;
        for name in &self.topics {
            let topic = NewTopic { name, partitions: PARTITIONS as i32, replication_factor: -1, configs: &[] };
            admin.create_topic(&topic).map_err(text)?;
        }
        let patience = self.plan.patience + self.brokers_session(&admin).map_err(text)?;
        // The steps need `self` while the source and the checker look at it.
        let mut levels = std::mem::take(&mut self.levels);
        let this = &*self;
        let given_up = Stop::new();
        let outcome = thread::scope(|scope| {
            let source = scope.spawn(|| this.send(&given_up));
            let checking = scope.spawn(|| {
                let config = this.config()?.set("auto.offset.reset", "earliest")?;
                this.checker.run(&config)
            });
            let broken = || checking.is_finished() || (source.is_finished() && this.sent() < *count);
            let outcome = this.churn(&mut levels, patience, stop, broken);
            given_up.ask();
            let outcome = outcome.and_then(|()| this.leave(&mut levels));
            if outcome.is_err() {
                levels.iter().for_each(|level| println!("{}", this.stuck(level)));
                levels.iter_mut().for_each(|level| level.members.kill_all());
            }
            this.checker.end();
            let sent = source.join().map_err(|_| "the source panicked".to_owned()).and_then(|sent| sent.map_err(text));
            let checked = checking.join().map_err(|_| "the checker panicked".to_owned());
            let checked = checked.and_then(|checked| checked.map_err(text));
            sent.and(checked).and(outcome)
        });
        let verdict = this.verdict(&levels);
        outcome.and(verdict).and_then(|()| if self.plan.kills { Ok(()) } else { self.committed(&levels) })
    }

    /// How long a member that was killed keeps its partitions, if it is the broker who says so and says more.
    fn brokers_session(&self, admin: &Admin) -> Result<Duration, Error> {
        const NAME: &str = "group.consumer.session.timeout.ms";
        if self.plan.mode.own_session || !self.plan.kills {
            return Ok(Duration::ZERO);
        }
        let topic = admin.describe_topics(&[self.topics[0].as_str()]).pop();
        let topic = topic.ok_or_else(|| Error::state("no description of the first topic"))??;
        let broker = topic.partitions.iter().find_map(|partition| partition.leader).unwrap_or_default();
        let configs = admin.describe_configs(ConfigResource::Broker(broker))?;
        let value = configs.into_iter().find(|entry| entry.name == NAME).and_then(|entry| entry.value);
        let session = Duration::from_millis(value.and_then(|value| value.parse().ok()).unwrap_or_default());
        if session > self.plan.session {
            println!("  the broker has {NAME}={}: what members had who are killed waits so long", session.as_millis());
        }
        Ok(session.saturating_sub(self.plan.session))
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// The source: each partition in turn, evenly over the time of the plan.
    fn send(&self, stop: &Stop) -> Result<(), Error> {
        let producer = Producer::connect(&self.config()?.set("linger.ms", 5)?)?;
        let begun = Instant::now();
        let mut sent = 0;
        while sent < self.plan.count && !stop.is_asked() {
            let part = begun.elapsed().as_secs_f64() / self.plan.flow.as_secs_f64().max(0.001);
            let due = ((self.plan.count as f64 * part) as u64).min(self.plan.count);
            while sent < due {
                let (partition, number) = ((sent % u64::from(PARTITIONS)) as u32, sent / u64::from(PARTITIONS));
                let (key, value) = (format!("key-{partition}"), check::value(partition, number));
                producer.post(Record::to(&self.topics[0]).partition(partition as i32).key(&key).value(&value))?;
                sent += 1;
            }
            self.sent.store(sent, Ordering::Relaxed);
            stop.wait(GLANCE);
        }
        producer.flush(Duration::from_secs(30))?;
        let counters = producer.counters();
        if counters.failed + counters.unknown > 0 {
            return Err(Error::state(format!("the source could not deliver: {counters:?}")));
        }
        producer.close(Duration::from_secs(5))
    }

    /// Lets members come and go until everything has arrived at the end of the chain.
    fn churn(
        &self,
        levels: &mut [Level],
        patience: Duration,
        stop: &Stop,
        broken: impl Fn() -> bool,
    ) -> Result<(), String> {
        let begun = Instant::now();
        let (mut moved, mut moved_at, mut report) = (0, begun, begun + REPORT);
        loop {
            for level in levels.iter_mut() {
                level.members.look()?;
                level.step(begun.elapsed())?;
            }
            let now = Instant::now();
            self.checker.watch(self.sent() / u64::from(PARTITIONS), now);
            let unique = self.checker.with(|tallies| tallies.iter().map(|tally| tally.unique).collect::<Vec<_>>());
            if self.sent() == self.plan.count && unique.iter().all(|unique| *unique == self.plan.count) {
                return Ok(());
            }
            let sum = self.sent() + unique.iter().sum::<u64>();
            if sum > moved {
                (moved, moved_at) = (sum, now);
            }
            if now >= report {
                report += REPORT;
                let there: Vec<_> = levels.iter().map(|level| level.members.count()).collect();
                println!(
                    "  {:3.0} s: sent {}, arrived at each level {unique:?}, members {there:?}",
                    begun.elapsed().as_secs_f64(),
                    self.sent(),
                );
            }
            if now - moved_at > patience {
                return Err(format!("nothing moved for {} s", patience.as_secs()));
            }
            if broken() {
                return Err("the source or the checker ended too early".to_owned());
            }
            if stop.wait(GLANCE) {
                return Err("interrupted".to_owned());
            }
        }
    }

    /// All leave cleanly, and what they had under way is written.
    fn leave(&self, levels: &mut [Level]) -> Result<(), String> {
        levels.iter_mut().for_each(|level| level.members.leave_all());
        while levels.iter().any(|level| level.members.count() > 0) {
            for level in levels.iter_mut() {
                level.members.look()?;
            }
            thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// Says what each level came to.
    fn verdict(&self, levels: &[Level]) -> Result<(), String> {
        let count = self.plan.count;
        let mut wrong = Ok(());
        self.checker.with(|tallies| {
            for (index, (tally, level)) in tallies.iter().zip(levels).enumerate() {
                let Tally { unique, duplicates, faults, longest_wait, .. } = tally;
                let missing = count.saturating_sub(*unique);
                println!(
                    "  level {}: unique={unique} duplicates={duplicates} missing={missing} order_faults={faults} {} \
                     longest_wait={:.1}s slowest_leave={:.1}s",
                    index + 1,
                    level.members.with(|events| {
                        let kinds = ["joins", "leaves", "kills", "assigned", "revoked", "lost", "error", "uncommitted"];
                        kinds.map(|kind| format!("{kind}={}", events.count(kind))).join(" ")
                    }),
                    longest_wait.as_secs_f64(),
                    level.members.slowest_leave.as_secs_f64(),
                );
                for example in tally.examples.iter().chain(&level.members.with(|events| events.complaints.clone())) {
                    println!("    {example}");
                }
                if missing > 0 || *faults > 0 || (*duplicates > 0 && !self.plan.kills) {
                    wrong = Err(format!(
                        "level {}: {missing} missing, {duplicates} duplicates, {faults} order faults",
                        index + 1
                    ));
                }
            }
        });
        wrong
    }

    /// After clean leaves each group has committed all that it was given.
    fn committed(&self, levels: &[Level]) -> Result<(), String> {
        for (level, topic) in levels.iter().zip(&self.topics) {
            let partitions: Vec<_> = check::all(topic, PARTITIONS).collect();
            let ask = || -> krs::Result<_> {
                let consumer = Consumer::connect(&self.config()?.set("group.id", &level.group)?)?;
                Ok((consumer.committed(&partitions)?, consumer.end_offsets(&partitions)?))
            };
            let (committed, ends) = ask().map_err(text)?;
            for ((partition, committed), end) in partitions.iter().zip(committed).zip(ends) {
                if committed.unwrap_or(0) != end {
                    return Err(format!(
                        "{partition}: committed {committed:?}, but all members left and it ends at {end}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What is known of a level that hangs.
    fn stuck(&self, level: &Level) -> String {
        let mut text = format!("  {}: {} members", level.group, level.members.count());
        level.members.with(|events| {
            for (member, (event, at)) in &events.last {
                let there = if level.members.is_there(*member) { "is there" } else { "is gone" };
                let _ = write!(text, "\n    member {member} {there}; after {:.1} s: {event}", at.as_secs_f64());
            }
        });
        let index: Option<usize> = level.group.rsplit("level").next().and_then(|number| number.parse().ok());
        let progress = self.checker.with(|tallies| tallies[index.unwrap_or(1) - 1].progress());
        let _ = write!(text, "\n    arrived without gaps, by partition: {progress:?}");
        text
    }
}

impl Level {
    fn step(&mut self, elapsed: Duration) -> Result<(), String> {
        while let Some(Step { member, change, .. }) = self.schedule.next_if(|step| step.at <= elapsed) {
            match change {
                Change::Join => self.late.push(member),
                // It has not come back yet.
                _ if self.late.contains(&member) => self.late.retain(|late| *late != member),
                Change::Leave => self.members.leave(member),
                Change::Kill => self.members.kill(member),
            }
        }
        let (members, mut outcome) = (&mut self.members, Ok(()));
        self.late.retain(|&member| {
            let wait = members.is_there(member);
            if !wait && outcome.is_ok() {
                outcome = members.start(member).map_err(|error| format!("cannot start a member: {error}"));
            }
            wait
        });
        outcome
    }
}
