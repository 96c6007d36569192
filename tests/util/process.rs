//! Programs that end with the test: what they write, and how they end.
#![allow(dead_code, reason = "each test program uses another part of it")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The lines that a program has written so far.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Gathers what `source` gives, until it ends.
    pub fn of(source: impl std::io::Read + Send + 'static) -> Self {
        let lines = Self::default();
        let written = lines.clone();
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
                written.change(|written| written.lines.push(text));
                line.clear();
            }
            written.change(|written| written.ended = true);
        });
        lines
    }

    fn change(&self, change: impl FnOnce(&mut Written)) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }

    /// All of them so far.
    pub fn now(&self) -> Vec<String> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }

    /// Waits until the lines give an answer.
    pub fn wait<T>(&self, what: &str, limit: Duration, mut answer: impl FnMut(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        let mut written = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(answer) = answer(&written.lines) {
                return answer;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || written.ended {
                let end = if written.ended { "the program ended" } else { "it took too long" };
                panic!("waiting for {what}: {end} after\n{}", tail(&written.lines));
            }
            written = self.0.1.wait_timeout(written, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a line with this text, and returns it.
    pub fn wait_for(&self, text: &str, limit: Duration) -> String {
        self.wait(text, limit, |lines| lines.iter().find(|line| line.contains(text)).cloned())
    }

    /// Waits for so many lines.
    pub fn wait_count(&self, count: usize, limit: Duration) -> Vec<String> {
        self.wait(&format!("{count} lines"), limit, |lines| (lines.len() >= count).then(|| lines.to_vec()))
    }

    /// Waits for the end; false if it did not come in time.
    fn wait_end(&self, deadline: Instant) -> bool {
        let mut written = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !written.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            written = self.0.1.wait_timeout(written, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// A program that runs. It is killed when the value goes.
pub struct Program {
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
}

impl Program {
    /// Starts it without input.
    pub fn start(command: &mut Command) -> Self {
        Self::start_with(command, b"")
    }

    /// Starts it with this input.
    pub fn start_with(command: &mut Command, input: &[u8]) -> Self {
        Self::spawn(command.stdout(Stdio::piped()), input)
    }

    /// Starts it with a standard output of the caller's choice.
    pub fn start_into(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        Self::spawn(command.stdout(stdout), b"")
    }

    fn spawn(command: &mut Command, input: &[u8]) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program()));
        let (stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
        thread::spawn(move || {
            let mut stdin = stdin;
            // It need not read all of it.
            let _ = stdin.write_all(&input);
        });
        let stdout = child.stdout.take().map(Lines::of).unwrap_or_else(|| {
            let none = Lines::default();
            none.change(|written| written.ended = true);
            none
        });
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Sends a signal: INT, TERM, KILL, STOP, …
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits until it has ended.
    pub fn end(mut self, limit: Duration) -> Ended {
        let deadline = Instant::now() + limit;
        let in_time = self.stdout.wait_end(deadline) && self.stderr.wait_end(deadline);
        let (stdout, stderr) = (self.stdout.now(), self.stderr.now());
        assert!(in_time, "it did not end within {limit:?}, after\n{}\n{}", tail(&stdout), tail(&stderr));
        let status = self.child.wait().unwrap();
        Ended { status, stdout, stderr }
    }

    /// Sends a signal and waits until it has ended, which must not take longer than this.
    pub fn end_by(self, name: &str, limit: Duration) -> Ended {
        self.signal(name);
        self.end(limit)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -s {name} {pid}")]).status().unwrap();
    assert!(status.success(), "no process to signal");
}

/// A program that has ended.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

impl Ended {
    /// Its exit code must be this.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{:?}\n{}\n{}", self.status, tail(&self.stdout), tail(&self.stderr));
        self
    }

    /// It must have succeeded; what it wrote to standard output.
    #[track_caller]
    pub fn success(&self) -> String {
        self.code(0);
        self.stdout.iter().fold(String::new(), |text, line| text + line + "\n")
    }

    /// The line on standard error with this text.
    #[track_caller]
    pub fn complaint(&self, text: &str) -> &str {
        let found = self.stderr.iter().find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no {text:?} in\n{}", tail(&self.stderr)))
    }
}

/// Runs a program to its end.
pub fn run(command: &mut Command, limit: Duration) -> Ended {
    Program::start(command).end(limit)
}

/// The same with some input.
pub fn run_with(command: &mut Command, input: &str, limit: Duration) -> Ended {
    Program::start_with(command, input.as_bytes()).end(limit)
}
