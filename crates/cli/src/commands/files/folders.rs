//! `lifeboat files ls --depth`: a folder and those below it, each by itself.

use std::collections::VecDeque;
use std::time::Duration;

use lifeboat_rescue::wire::{Entry, FileKind};
use lifeboat_rescue::{GuestPath, Rescue};
use serde::Serialize;

use super::{EntryLine, line, listed, not_text, table, volumes};
use crate::context::Context;
use crate::error::{EXIT_PARTIAL, Result};
use crate::tables::shown;

/// Limits: entries after which no further folder is listed, and how long that is gone on with.
const BELOW_MAX: usize = 20_000;
const BELOW_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct FolderLine {
    path: String,
    /// The path's bytes in digits, where they are not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    /// Else the one entry is what is at the path.
    is_folder: bool,
    entries: Vec<EntryLine>,
    faults: Vec<String>,
}

/// Lists what is at a path and the folders below, nearest first; without a path the volumes and
/// then the system's tree and each volume.
pub(super) fn list(
    context: &Context,
    rescue: &mut Rescue,
    path: Option<GuestPath>,
    depth: u32,
) -> Result<u8> {
    let clock = &context.environment.clock;
    let began = clock.monotonic();
    let (mut queue, is_asked) = match path {
        Some(path) => (VecDeque::from([(path, depth)]), true),
        None => {
            volumes(context, rescue.volumes())?;
            (roots(rescue, depth - 1), false)
        }
    };
    let (mut count, mut code) = (0, 0);
    let mut is_first = is_asked;
    while let Some((path, depth)) = queue.pop_front() {
        let found = listed(rescue, &path);
        let (entries, faults) = match found {
            Ok(found) => found,
            Err(error) if is_first || rescue.is_over() => return Err(error),
            // Folders below that cannot be read say so when they are asked for.
            Err(_) => continue,
        };
        if !faults.is_empty() {
            code = EXIT_PARTIAL;
        }
        count += entries.len();
        if depth > 0 {
            let folders = entries.iter().filter(|it| it.kind == FileKind::Folder);
            queue.extend(folders.map(|it| (path.below(&it.name), depth - 1)));
        }
        tell(context, &path, &entries, faults)?;
        is_first = false;
        if count > BELOW_MAX || clock.monotonic() - began > BELOW_PATIENCE {
            break;
        }
    }
    Ok(code)
}

fn roots(rescue: &Rescue, depth: u32) -> VecDeque<(GuestPath, u32)> {
    let readable = rescue.volumes().iter().filter(|it| it.is_readable);
    let is_system = rescue.volumes().iter().any(|it| it.mounted_at.is_some());
    let system = is_system.then(|| (GuestPath::of_system(b"/"), depth));
    let volumes = readable.map(|it| (GuestPath::on_volume(&it.name, b"/"), 0));
    system.into_iter().chain(volumes).collect()
}

fn tell(context: &Context, path: &GuestPath, entries: &[Entry], faults: Vec<String>) -> Result<()> {
    if context.output.is_json() {
        let typed = path.typed();
        return context.output.message(
            "folder",
            &FolderLine {
                path: String::from_utf8_lossy(&typed).into_owned(),
                path_bytes: not_text(&typed),
                is_folder: entries.first().is_none_or(|it| !it.name.is_empty()),
                entries: entries.iter().map(line).collect(),
                faults,
            },
        );
    }
    for fault in &faults {
        context.output.warn(shown(fault));
    }
    context
        .output
        .result(format!("{}:", shown(&path.to_string())))?;
    context.output.result(table(entries).lines().join("\n"))
}
