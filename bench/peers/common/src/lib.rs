//! What the Rust peers share: their command line, the one line of JSON each prints, the values that are sent, the
//! schedule of a latency run. No peer does these on its own, so that they differ in nothing but the client.

mod arguments;
mod measure;
mod outcomes;
mod report;
mod schedule;
mod values;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub use arguments::{Arguments, Compression, Mode};
pub use measure::Measure;
pub use outcomes::Outcomes;
pub use report::Report;
pub use schedule::{Arrivals, Schedule};
pub use values::Values;

/// A client that brings nothing for so long is given up.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Polls until everything is here, or nothing came for [`PATIENCE`]. `poll` says whether anything came.
pub fn poll_until<S>(
    state: &mut S,
    all_here: impl Fn(&S) -> bool,
    mut poll: impl FnMut(&mut S) -> Result<bool>,
) -> Result {
    let mut last = Instant::now();
    while !all_here(state) && last.elapsed() < PATIENCE {
        if poll(state)? {
            last = Instant::now();
        }
    }
    Ok(())
}

/// Does the work that the command line asks for and prints its report. Exit code 0 whenever there is a report, however
/// the work ended: that is said in it.
pub fn run(work: impl FnOnce(&Arguments, &mut Report) -> Result) -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    let mut report = Report::new(&arguments);
    match catch_unwind(AssertUnwindSafe(|| work(&arguments, &mut report))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => report.ended(error.to_string()),
        Err(_) => report.ended("the client panicked"),
    }
    println!("{}", report.line());
    ExitCode::SUCCESS
}
