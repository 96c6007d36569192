//! `krs`: everything in one program.

use std::process::ExitCode;

fn main() -> ExitCode {
    krs::cli::main(krs::cli::Program::Krs)
}
