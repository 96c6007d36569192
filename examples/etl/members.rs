//! The members of one level: processes that are started, asked to leave, and killed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::member::Orders;

/// A member that was asked to leave is gone by then.
const LEAVE: Duration = Duration::from_secs(20);

/// So many of what members complained about are told in words.
const EXAMPLES: usize = 5;

/// What happened at a level.
#[derive(Debug, Default)]
pub struct Events {
    /// How many there were of each kind.
    pub counts: BTreeMap<String, u64>,
    /// The last thing each member said, and when.
    pub last: BTreeMap<usize, (String, Duration)>,
    pub complaints: Vec<String>,
}

impl Events {
    pub fn count(&self, kind: &str) -> u64 {
        self.counts.get(kind).copied().unwrap_or(0)
    }

    fn add(&mut self, member: usize, event: &str, at: Duration) {
        let kind = event.split(' ').next().unwrap_or(event);
        if !matches!(kind, "started" | "leaving" | "left" | "assigned" | "revoked" | "lost")
            && !matches!(kind, "error" | "uncommitted" | "failed" | "joins" | "leaves" | "kills")
        {
            return;
        }
        *self.counts.entry(kind.to_owned()).or_default() += 1;
        if matches!(kind, "error" | "uncommitted" | "failed") && self.complaints.len() < EXAMPLES {
            self.complaints.push(format!("member {member} after {:.1} s: {event}", at.as_secs_f64()));
        }
        self.last.insert(member, (event.to_owned(), at));
    }
}

/// How a member is started and where it writes.
pub struct Launch {
    /// The program and its arguments.
    pub command: Vec<String>,
    pub orders: Orders,
    pub logs: PathBuf,
    /// Whether each member has a `group.instance.id`.
    pub instances: bool,
}

struct Process {
    child: Child,
    /// Open until the member is to leave.
    orders: Option<ChildStdin>,
    asked: Option<Instant>,
    listener: Option<thread::JoinHandle<()>>,
}

/// All members of a level. Dropping it kills those that are left.
pub struct Members {
    launch: Launch,
    level: usize,
    begun: Instant,
    processes: BTreeMap<usize, Process>,
    starts: u64,
    events: Arc<Mutex<Events>>,
    /// The longest time that one took to leave.
    pub slowest_leave: Duration,
}

impl Members {
    pub fn new(level: usize, launch: Launch, begun: Instant) -> Self {
        let (processes, events) = (BTreeMap::new(), Arc::default());
        Self { launch, level, begun, processes, starts: 0, events, slowest_leave: Duration::ZERO }
    }

    /// Whether this member's process is still there.
    pub fn is_there(&self, member: usize) -> bool {
        self.processes.contains_key(&member)
    }

    pub fn count(&self) -> usize {
        self.processes.len()
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Events) -> T) -> T {
        look(&mut self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, member: usize, event: &str) {
        let at = self.begun.elapsed();
        self.with(|events| events.add(member, event, at));
    }

    pub fn start(&mut self, member: usize) -> io::Result<()> {
        self.starts += 1;
        fs::create_dir_all(&self.launch.logs)?;
        let name = format!("level{}-member{member}-{}.log", self.level, self.starts);
        let log = File::create(self.launch.logs.join(name))?;
        let mut child = Command::new(&self.launch.command[0])
            .args(&self.launch.command[1..])
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "debug".to_owned()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut orders = self.launch.orders.clone();
        let client = format!("level{}-member{member}", self.level);
        if self.launch.instances {
            orders.properties.push(("group.instance.id".to_owned(), client.clone()));
        }
        orders.properties.push(("client.id".to_owned(), client));
        let (events, begun) = (Arc::clone(&self.events), self.begun);
        let listener = thread::spawn(move || {
            for line in stdout.map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
                let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
                events.add(member, &line, begun.elapsed());
            }
        });
        // If it is gone already, its exit code is what counts.
        let _ = stdin.as_mut().map(|stdin| orders.write(stdin));
        self.processes.insert(member, Process { child, orders: stdin, asked: None, listener: Some(listener) });
        self.note(member, "joins");
        Ok(())
    }

    pub fn leave(&mut self, member: usize) {
        let Some(process) = self.processes.get_mut(&member).filter(|process| process.asked.is_none()) else { return };
        process.orders = None;
        process.asked = Some(Instant::now());
        self.note(member, "leaves");
    }

    pub fn leave_all(&mut self) {
        let all: Vec<_> = self.processes.keys().copied().collect();
        all.into_iter().for_each(|member| self.leave(member));
    }

    pub fn kill(&mut self, member: usize) {
        let Some(mut process) = self.processes.remove(&member) else { return };
        process.end();
        self.note(member, "kills");
    }

    pub fn kill_all(&mut self) {
        let all: Vec<_> = self.processes.keys().copied().collect();
        all.into_iter().for_each(|member| self.kill(member));
    }

    /// Sees who is gone.
    ///
    /// # Errors
    /// A member ended without being asked, with an error, or not in time.
    pub fn look(&mut self) -> Result<(), String> {
        let (level, slowest) = (self.level, &mut self.slowest_leave);
        let mut wrong = Ok(());
        let mut gone = Vec::new();
        for (&member, process) in &mut self.processes {
            let asked = process.asked.map(|asked| asked.elapsed());
            match process.child.try_wait() {
                Ok(None) if asked.is_some_and(|asked| asked > LEAVE) => {
                    wrong = Err(format!("level {level}, member {member} was asked to leave and is still there"));
                }
                Ok(None) => {}
                Ok(Some(status)) => {
                    gone.push(member);
                    *slowest = (*slowest).max(asked.unwrap_or_default());
                    if asked.is_none() || !status.success() {
                        wrong =
                            Err(format!("level {level}, member {member} ended by itself or with an error: {status}"));
                    }
                }
                Err(error) => wrong = Err(format!("level {level}, member {member}: {error}")),
            }
        }
        for member in gone {
            if let Some(mut process) = self.processes.remove(&member) {
                process.end();
            }
        }
        wrong
    }
}

impl Process {
    /// Ends it if it has not yet, and waits for all that it said.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for process in self.processes.values_mut() {
            let _ = process.child.kill();
        }
        for process in self.processes.values_mut() {
            process.end();
        }
    }
}
