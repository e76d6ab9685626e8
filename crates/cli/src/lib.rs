//! The command line of lifeboat: arguments, progress, tables, exit codes.
//!
//! Takes the process's arguments and environment and gives an exit code.
//! Does not move data itself: every command parses, calls `engine` or `repository`, and renders.
//!
//! Verbs, flags and exit codes are restic's where the meaning is the same.
//!
//! Source: reference ecosystem, section 3.

mod args;
mod commands;
mod configuration;
mod context;
mod error;
mod output;
mod progress;
mod select;
mod service;
mod tables;
mod whole_file;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use lifeboat_model::ByteCount;
use lifeboat_platform::{Platform, SnapshotRules};

use args::Arguments;
use context::Context;

/// Opens a platform.
///
/// Errors: `Invalid` for rules about snapshots where the platform takes none.
pub type OpenPlatform =
    fn(&str, Option<SnapshotRules>) -> lifeboat_platform::Result<Arc<dyn Platform>>;

/// What the wiring row gives to the commands: how to reach what they must not know.
#[derive(Clone, Copy, Debug)]
pub struct Wiring {
    /// Opens a platform by its URI, with what was decided about snapshots of volumes.
    pub open_platform: OpenPlatform,
}

/// Runs the command that the process's arguments ask for.
pub fn run(wiring: Wiring) -> ExitCode {
    let arguments = Arguments::parse();
    let output = arguments.global.output();
    let done = Context::new(&arguments.global, wiring)
        .and_then(|context| commands::run(&context, &arguments.command));
    if let Some(bytes) = peak_memory() {
        output.detail_aside(format!("memory: {} at its peak", ByteCount(bytes)));
    }
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output.fail(&error);
            ExitCode::from(error.code())
        }
    }
}

/// The most memory that this process has had, in bytes; nothing where the system does not tell.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
