//! Asking before something is lost.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::{Error, Result};

/// Asks at the terminal, unless the answer was given with `--yes`.
///
/// # Errors
/// There is no terminal to ask at, or the answer is not yes.
pub(super) fn confirm(what: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::config(format!("{what}: there is no terminal to ask at, and nothing was done; add --yes")));
    }
    let mut stderr = io::stderr().lock();
    // A question that cannot be seen is not answered with yes.
    let asked = write!(stderr, "{what}? [y/N] ").and_then(|()| stderr.flush());
    drop(stderr);
    let mut answer = String::new();
    let read = asked.and_then(|()| io::stdin().lock().read_line(&mut answer));
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Error::state("not confirmed, nothing was changed")),
    }
}
