//! `lifeboat tag`

use lifeboat_format::label;
use lifeboat_policy::{PIN, pinned_until};
use lifeboat_repository::{LockMode, Snapshot, snapshots};
use serde::Serialize;

use crate::args::TagArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select;

#[derive(Serialize)]
struct Changed {
    old_snapshot_id: String,
    new_snapshot_id: Option<String>,
    tags: Vec<String>,
}

/// Changes the tags of snapshots; each gets a new id, the data stays.
pub(crate) fn run(context: &Context, arguments: &TagArguments) -> Result<u8> {
    if arguments.set.is_empty() && arguments.add.is_empty() && arguments.remove.is_empty() {
        return Err(Error::usage(
            "nothing to change: give --set, --add or --remove",
        ));
    }
    pins_are_days(arguments)?;
    let repository = context.open()?;
    let locked = context.lock(&repository, LockMode::Shared)?;
    let list = select::many(&repository, &arguments.ids, &arguments.filter)?;
    let mut changed = 0u64;
    for snapshot in &list {
        let tags = tags(arguments, snapshot);
        if tags == snapshot.file.tags {
            continue;
        }
        let mut file = snapshot.file.clone();
        file.tags.clone_from(&tags);
        let new = if arguments.dry_run {
            None
        } else {
            locked.lock()?.check()?;
            Some(snapshots::replace(&repository, snapshot, file)?)
        };
        changed += 1;
        if context.output.is_json() {
            let old_snapshot_id = snapshot.id.to_string();
            let new_snapshot_id = new.map(|id| id.to_string());
            context.output.message(
                "changed",
                &Changed {
                    old_snapshot_id,
                    new_snapshot_id,
                    tags,
                },
            )?;
        } else {
            let (old, new) = (
                snapshot.id.short(),
                new.map(|id| format!(" is now {}", id.short())),
            );
            let tags = crate::tables::shown(&tags.join(","));
            context
                .output
                .tell(format!("snapshot {old}{}: {tags}", new.unwrap_or_default()))?;
        }
    }
    if !context.output.is_json() {
        let verb = if arguments.dry_run {
            "would change"
        } else {
            "changed"
        };
        context.output.result(format!(
            "{verb} the tags of {}",
            crate::tables::count(changed, "snapshot")
        ))?;
    }
    Ok(0)
}

/// A pin that names no day would hold nothing.
fn pins_are_days(arguments: &TagArguments) -> Result<()> {
    let pins = arguments.set.iter().chain(&arguments.add);
    let mut pins = pins.filter(|tag| tag.starts_with(PIN));
    match pins.find(|pin| pinned_until(std::slice::from_ref(*pin)).is_none()) {
        None => Ok(()),
        Some(wrong) => Err(Error::usage(format!(
            "{} names no day: write it like {PIN}2027-01-31",
            crate::tables::shown(wrong)
        ))),
    }
}

/// The new tags; the mark of machines stays whatever is set or removed.
fn tags(arguments: &TagArguments, snapshot: &Snapshot) -> Vec<String> {
    let is_machine = snapshot
        .file
        .tags
        .iter()
        .any(|tag| tag == label::MACHINE_TAG);
    let base = if arguments.set.is_empty() {
        &snapshot.file.tags
    } else {
        &arguments.set
    };
    let mark = is_machine.then(|| label::MACHINE_TAG.to_owned());
    let mut tags: Vec<String> = Vec::new();
    for tag in mark.iter().chain(base).chain(&arguments.add) {
        let is_removed = arguments.remove.contains(tag) && Some(tag) != mark.as_ref();
        if !tag.is_empty() && !is_removed && !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    tags
}
