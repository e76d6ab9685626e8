//! The binary: hands the process to the command line, or to the watch over a frozen guest.
//!
//! Does not hold any rule or algorithm.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let first = env::args_os().nth(1);
    if first.is_some_and(|it| it == lifeboat_libvirt::GUARD_ARGUMENT) {
        return lifeboat_libvirt::guard_a_frozen_guest();
    }
    lifeboat_cli::run()
}
