//! The commands, one file each.

mod account;
mod alert;
mod audit;
mod backup;
mod catalog;
mod chain;
mod check;
mod config;
mod copy;
mod diff;
mod doctor;
mod dump;
mod export;
mod files;
mod find;
mod forget;
mod front;
mod import;
mod init;
mod instant;
mod key;
mod list;
mod ls;
mod machine;
mod nbd;
mod notify;
mod pages;
mod prune;
mod recorded;
mod repair;
mod report;
mod restore;
mod run;
mod runs;
mod schedule;
mod serve;
mod snapshots;
mod stats;
mod status;
mod tag;
mod top;
mod unlock;

use crate::args::Command;
use crate::context::Context;
use crate::error::Result;

/// Runs a command; gives its exit code.
pub(crate) fn run(context: &Context, command: &Command) -> Result<u8> {
    recorded::carry_out(context, command, || carry_out(context, command))
}

fn carry_out(context: &Context, command: &Command) -> Result<u8> {
    match command {
        Command::Init(arguments) => init::run(context, arguments),
        Command::Backup(arguments) => backup::run(context, arguments),
        Command::Machine(command) => machine::run(context, command),
        Command::Run(arguments) => run::run(context, arguments),
        Command::Runs(arguments) => runs::run(context, arguments),
        Command::Serve(arguments) => serve::run(context, arguments),
        Command::Status => status::run(context),
        Command::Top => top::run(context),
        Command::Doctor => doctor::run(context),
        Command::Report(arguments) => report::run(context, arguments),
        Command::User(command) => account::user(context, command),
        Command::Token(command) => account::token(context, command),
        Command::Audit(command) => audit::run(context, command),
        Command::Alert(command) => alert::run(context, command),
        Command::Notify(command) => notify::run(context, command),
        Command::Instant(command) => instant::run(context, command),
        Command::Nbd(arguments) => nbd::run(context, arguments),
        Command::Files(command) => files::run(context, command),
        Command::Snapshots(arguments) => snapshots::run(context, arguments),
        Command::Ls(arguments) => ls::run(context, arguments),
        Command::Dump(arguments) => dump::run(context, arguments),
        Command::Restore(arguments) => restore::run(context, arguments),
        Command::Diff(arguments) => diff::run(context, arguments),
        Command::Find(arguments) => find::run(context, arguments),
        Command::Stats(arguments) => stats::run(context, arguments),
        Command::Tag(arguments) => tag::run(context, arguments),
        Command::Forget(arguments) => forget::run(context, arguments),
        Command::Prune(arguments) => prune::run(context, arguments),
        Command::Check(arguments) => check::check(context, arguments),
        Command::Verify(arguments) => check::verify(context, arguments),
        Command::Repair(command) => repair::run(context, command),
        Command::Copy(arguments) => copy::run(context, arguments),
        Command::Key(command) => key::run(context, command),
        Command::Config(command) => config::run(context, command),
        Command::Schedule(command) => schedule::run(context, command),
        Command::Unlock(arguments) => unlock::run(context, arguments),
        Command::List(arguments) => list::list(context, arguments),
        Command::Cat(arguments) => list::cat(context, arguments),
        Command::Completions(arguments) => pages::completions(arguments),
        Command::Man(arguments) => pages::man(context, arguments),
        Command::Export(arguments) => export::run(context, arguments),
        Command::Import(arguments) => import::run(context, arguments),
        Command::Catalog(command) => catalog::run(context, command),
        Command::Chain(command) => chain::run(context, command),
    }
}
