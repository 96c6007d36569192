//! Runs the checks on both sides at once, and shows what came of it.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use crate::side::Side;

/// One question to a Kafka. It panics where the answer is wrong, and returns what it saw, without what may differ.
pub struct Check {
    pub name: String,
    ask: Box<dyn Fn(&Side) -> String + Send + Sync>,
    /// Asked of the development broker alone: how it refuses what it does not have, or what no broker has a part in.
    dev_only: bool,
}

impl Check {
    pub fn new(name: impl Into<String>, ask: impl Fn(&Side) -> String + Send + Sync + 'static) -> Self {
        Self { name: name.into(), ask: Box::new(ask), dev_only: false }
    }

    pub fn dev_only(name: impl Into<String>, ask: impl Fn(&Side) -> String + Send + Sync + 'static) -> Self {
        Self { dev_only: true, ..Self::new(name, ask) }
    }

    fn run(&self, side: &Side) -> Answer {
        catch_unwind(AssertUnwindSafe(|| (self.ask)(side)))
            .map_err(|_| PANIC.take().unwrap_or_else(|| "it panicked".to_owned()))
    }
}

/// What was seen, or what went wrong.
type Answer = Result<String, String>;

thread_local! {
    /// What the last panic of this thread said.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Much of a check is waiting, for Java to start and for groups to settle.
const AT_ONCE: usize = 4;
const NAME_WIDTH: usize = 68;
const CELL_WIDTH: usize = 12;
const MOST_LINES: usize = 30;

/// The rows printed so far.
#[derive(Default)]
pub struct Table {
    passed: usize,
    failed: usize,
}

/// Runs all checks. Rows are printed as soon as they, and all before them, are complete.
pub fn ask(checks: &[Check], dev: &Side, real: &Side) -> Table {
    set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("it panicked");
        let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
        PANIC.set(Some(format!("{text}{place}")));
    }));
    let begin = Instant::now();
    let next = AtomicUsize::new(0);
    let (done, answers) = mpsc::channel();
    let mut table = Table::default();
    table.line("check", &dev.title, &real.title);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (done, next) = (done.clone(), &next);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(check) = checks.get(number / 2) else { return };
                    let side = if number.is_multiple_of(2) { dev } else { real };
                    if !check.dev_only || number.is_multiple_of(2) {
                        // The receiver stays until all is done.
                        let _ = done.send((number, check.run(side)));
                    }
                }
            });
        }
        drop(done);
        let mut seen: Vec<[Option<Answer>; 2]> = checks.iter().map(|_| [None, None]).collect();
        let mut shown = 0;
        for (number, answer) in answers {
            seen[number / 2][number % 2] = Some(answer);
            while let Some(check) = checks.get(shown) {
                match &mut seen[shown] {
                    [Some(dev), Some(real)] => table.add(&check.name, dev, real),
                    [Some(dev), None] if check.dev_only => table.add_dev_only(&check.name, dev.clone().map(drop)),
                    _ => break,
                }
                shown += 1;
            }
        }
    });
    println!("{} s", begin.elapsed().as_secs());
    table
}

impl Table {
    fn line(&mut self, name: &str, dev: &str, real: &str) {
        println!("{name:NAME_WIDTH$} {dev:CELL_WIDTH$} {real}");
    }

    fn add(&mut self, name: &str, dev: &Answer, real: &Answer) {
        let cell = |answer: &Answer| if answer.is_ok() { "ok" } else { "FAILED" };
        if std::env::var_os("JUDGES_SHOW").is_some() {
            indented("seen", real.as_ref().map_or("", String::as_str));
        }
        match (dev, real) {
            (Ok(dev), Ok(real)) if dev == real => {
                self.passed += 1;
                self.line(name, "ok", "ok");
            }
            (Ok(dev), Ok(real)) => {
                self.failed += 1;
                self.line(name, "DIFFERENT", "ok");
                difference(dev, real);
            }
            _ => {
                self.failed += 1;
                self.line(name, cell(dev), cell(real));
                for (what, answer) in [("dev broker", dev), ("real Kafka", real)] {
                    if let Err(error) = answer {
                        indented(what, error);
                    }
                }
            }
        }
    }

    /// A row of what only the development broker was asked.
    pub fn add_dev_only(&mut self, name: &str, answer: Result<(), String>) {
        match answer {
            Ok(()) => {
                self.passed += 1;
                self.line(name, "ok", "(not asked)");
            }
            Err(error) => {
                self.failed += 1;
                self.line(name, "FAILED", "(not asked)");
                indented("dev broker", &error);
            }
        }
    }

    /// Prints the totals.
    pub fn conclude(self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        ExitCode::from(u8::from(self.failed > 0 || self.passed == 0))
    }
}

/// Not the whole of a long text, and nothing of where in Java it came about.
fn indented(what: &str, text: &str) {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("at ")).collect();
    for line in lines.iter().take(MOST_LINES) {
        println!("    {what}: {line}");
    }
    if lines.len() > MOST_LINES {
        println!("    {what}: … {} more lines", lines.len() - MOST_LINES);
    }
}

/// The lines that stand on one side alone.
fn difference(dev: &str, real: &str) {
    let (dev, real): (Vec<&str>, Vec<&str>) = (dev.lines().collect(), real.lines().collect());
    let only = |here: &[&str], there: &[&str]| -> Vec<String> {
        here.iter().filter(|line| !there.contains(line)).map(|line| (*line).to_owned()).collect()
    };
    let (here, there) = (only(&dev, &real), only(&real, &dev));
    if here.is_empty() && there.is_empty() {
        indented("dev broker", &dev.join("\n"));
        indented("real Kafka", &real.join("\n"));
    }
    indented("dev broker", &here.join("\n"));
    indented("real Kafka", &there.join("\n"));
}
