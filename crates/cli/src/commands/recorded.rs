//! What people do by commands goes into the audit log of the service whose configuration they use.
//!
//! A restore on the day of the disaster needs no catalog: where there is none, nothing is written,
//! and where it cannot be written that is a warning.

use lifeboat_scheduler::command;

use crate::args::{
    CatalogCommand, Command, InstantCommand, KeyCommand, MachineCommand, RepairCommand,
};
use crate::context::Context;
use crate::error::{EXIT_WRONG, Result};
use crate::service::{HELD_UNTIL, Service};

/// Limit: letters of a command that an entry keeps.
const DETAILS_MAX: usize = 1000;

/// Carries a command out, and writes down that somebody did it, if it changes anything.
pub(super) fn carry_out(
    context: &Context,
    command: &Command,
    work: impl FnOnce() -> Result<u8>,
) -> Result<u8> {
    // What the service itself begins is in its runs.
    let is_child = std::env::var_os(HELD_UNTIL).is_some();
    let action = action(command).filter(|_| !is_child);
    let done = work();
    let is_done = !matches!(done, Err(_) | Ok(EXIT_WRONG));
    if let Some((action, subject)) = action
        && let Err(error) = write(context, (action, subject), is_done)
    {
        let text = format!("this is not in the audit log: {error}");
        context.output.warn(text);
    }
    done
}

/// What a command that changes something does, and to what unless it is the repository.
fn action(command: &Command) -> Option<(&'static str, Option<&str>)> {
    let (action, subject, is_dry) = match command {
        Command::Init(_) => ("init", None, false),
        Command::Run(it) => ("run", Some(it.job.as_str()), false),
        Command::Backup(it) => ("backup", None, it.dry_run),
        Command::Tag(it) => ("tag", None, it.dry_run),
        Command::Forget(it) => ("forget", None, it.prune_arguments.dry_run),
        Command::Prune(it) => ("prune", None, it.dry_run),
        Command::Restore(it) => ("restore", None, it.dry_run),
        Command::Copy(it) => ("copy", None, it.dry_run),
        Command::Import(it) => ("import", None, it.dry_run),
        Command::Unlock(_) => ("unlock", None, false),
        Command::Machine(MachineCommand::Backup(it)) => ("machine backup", None, it.dry_run),
        Command::Machine(MachineCommand::Recover(it)) => {
            ("machine recover", Some(it.machine.as_str()), it.dry_run)
        }
        Command::Instant(command) => {
            let (action, name) = instant(command)?;
            (action, Some(name), false)
        }
        Command::Key(KeyCommand::List) => return None,
        Command::Key(_) => ("key", None, false),
        Command::Repair(
            RepairCommand::Index { dry_run, .. }
            | RepairCommand::Snapshots { dry_run, .. }
            | RepairCommand::Packs { dry_run, .. },
        ) => ("repair", None, *dry_run),
        Command::Catalog(CatalogCommand::Import { dry_run, .. }) => {
            ("catalog import", None, *dry_run)
        }
        _ => return None,
    };
    (!is_dry).then_some((action, subject))
}

fn instant(command: &InstantCommand) -> Option<(&'static str, &str)> {
    match command {
        InstantCommand::Start(it) => Some(("instant start", &it.machine)),
        InstantCommand::Promote(it) => Some(("instant promote", &it.name)),
        InstantCommand::Discard(it) => Some(("instant discard", &it.name)),
        InstantCommand::List(_) | InstantCommand::Resume(_) | InstantCommand::Serve(_) => None,
    }
}

fn write(context: &Context, (action, subject): (&str, Option<&str>), is_done: bool) -> Result<()> {
    let Some(service) = Service::open_if_there(context)? else {
        return Ok(());
    };
    let place = || context.written_place().unwrap_or_default();
    let subject = subject.map_or_else(place, str::to_owned);
    service.write_down(context, (action, &subject, &typed()), is_done)
}

/// The command as it was typed: secrets have no place in one.
fn typed() -> String {
    let words = std::env::args_os().skip(1);
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    command(&words).chars().take(DETAILS_MAX).collect()
}
