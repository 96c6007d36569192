//! The receiver service.

use std::process::ExitCode;

fn main() -> ExitCode {
    krs::cli::main(krs::cli::Program::Receiver)
}
