//! The commands, one file each.

mod backup;
mod catalog;
mod chain;
mod check;
mod export;
mod import;
mod init;
mod restore;
mod snapshots;

use crate::args::Command;
use crate::context::Context;
use crate::error::Result;

/// Runs a command; gives its exit code.
pub(crate) fn run(context: &Context, command: &Command) -> Result<u8> {
    match command {
        Command::Init(arguments) => init::run(context, arguments),
        Command::Backup(arguments) => backup::run(context, arguments),
        Command::Snapshots(arguments) => snapshots::run(context, arguments),
        Command::Restore(arguments) => restore::run(context, arguments),
        Command::Check(arguments) => check::check(context, arguments),
        Command::Verify(arguments) => check::verify(context, arguments),
        Command::Export(arguments) => export::run(context, arguments),
        Command::Import(arguments) => import::run(context, arguments),
        Command::Catalog(command) => catalog::run(context, command),
        Command::Chain(command) => chain::run(context, command),
        _ => Err(crate::error::Error::usage("not there yet")),
    }
}
