//! The binary: hands the process to the command line.
//!
//! Does not hold any rule or algorithm.

use std::process::ExitCode;

fn main() -> ExitCode {
    // This program is also what runs inside its rescue VM.
    if let Some(code) = lifeboat_rescue::enter() {
        return code;
    }
    lifeboat_cli::run()
}
