//! The binary: hands the process to the command line.
//!
//! Does not hold any rule or algorithm.

use std::process::ExitCode;

fn main() -> ExitCode {
    lifeboat_cli::run()
}
