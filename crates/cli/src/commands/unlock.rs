//! `lifeboat unlock`

use lifeboat_repository::lock::{self, Unlock};

use crate::args::UnlockArguments;
use crate::context::Context;
use crate::error::Result;
use crate::tables::{moment, shown};

/// Removes locks; says whose locks stay.
pub(crate) fn run(context: &Context, arguments: &UnlockArguments) -> Result<u8> {
    let repository = context.open()?;
    let which = if arguments.remove_all {
        Unlock::All
    } else {
        Unlock::Stale
    };
    let removed = lock::unlock(&repository, which)?;
    for left in lock::list(&repository)? {
        let Some(file) = left.file else {
            context.output.tell(format!(
                "lock {} cannot be read: --remove-all removes it",
                left.id.short()
            ))?;
            continue;
        };
        let kind = if file.exclusive {
            "exclusive"
        } else {
            "shared"
        };
        let time = moment(file.time.timestamp());
        let host = shown(&file.hostname);
        context.output.tell(format!(
            "{kind} lock of process {} on {host} stays, seen {time}",
            file.pid
        ))?;
    }
    context
        .output
        .result(format!("removed {}", crate::tables::count(removed, "lock")))?;
    Ok(0)
}
