//! The binary: builds the adapters and hands the process to the command line, to the watch over
//! a frozen guest, or to the rescue VM that it runs in.
//!
//! Does not hold any rule or algorithm.

mod platforms;
mod service;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    // This program is also what runs inside its rescue VM.
    if let Some(code) = lifeboat_rescue::enter() {
        return code;
    }
    let first = env::args_os().nth(1);
    if first.is_some_and(|it| it == lifeboat_libvirt::GUARD_ARGUMENT) {
        return lifeboat_libvirt::guard_a_frozen_guest();
    }
    lifeboat_cli::run(lifeboat_cli::Wiring {
        open_platform: platforms::open,
        check_platform: platforms::check,
        serve: service::serve,
        metrics: service::metrics,
        accounts: lifeboat_cli::Accounts {
            new_user: service::new_user,
            new_token: service::new_token,
        },
    })
}
