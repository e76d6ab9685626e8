//! `lifeboat copy`

use lifeboat_engine::copy::{Copied, CopyEnds, copy, missing};
use lifeboat_format::SnapshotFile;
use lifeboat_model::ByteCount;
use lifeboat_repository::{LockMode, WriteTotals};
use serde::Serialize;

use crate::args::CopyArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select;
use crate::tables::{count, moment, shown};

#[derive(Serialize)]
struct CopiedLine {
    source_snapshot: String,
    snapshot_id: Option<String>,
}

#[derive(Serialize)]
struct SummaryLine {
    copied: usize,
    skipped: usize,
    data_added: u64,
    data_added_packed: u64,
}

/// Copies snapshots from another repository into this one.
pub(crate) fn run(context: &Context, arguments: &CopyArguments) -> Result<u8> {
    let from = &arguments.from;
    let place = from
        .from_repository
        .as_ref()
        .ok_or_else(|| Error::usage("name the repository to copy from with --from-repo"))?;
    let source = context.open_source(place, from)?;
    let target = context.open()?;
    let source_locked = context.lock(&source, LockMode::Shared)?;
    let target_locked = context.lock(&target, LockMode::Shared)?;
    let wanted = select::many(&source, &arguments.ids, &arguments.filter)?;
    if arguments.dry_run {
        let missing = missing(&target, &wanted)?;
        let records: Vec<_> = missing.iter().map(|snapshot| &snapshot.file).collect();
        return dry_run(context, "copy", &records);
    }
    let source_index = context.load_index_to_read(source_locked.repository)?;
    let ends = CopyEnds {
        source: &source,
        source_index: &source_index,
        target: &target,
        target_lock: target_locked.lock()?,
    };
    let display = context.show_progress()?;
    let (copied, totals) = copy(ends, &wanted, context.write_options(&target)?)?;
    drop(display);
    context.hold_reserve(&target);
    report(context, &copied, totals)
}

/// Says which snapshots would be copied; `export` and `import` say it alike.
pub(crate) fn dry_run(context: &Context, verb: &str, records: &[&SnapshotFile]) -> Result<u8> {
    for record in records {
        let (host, time) = (shown(&record.hostname), moment(record.time.timestamp()));
        let text = format!("would {verb} the snapshot of {host} at {time}");
        context.output.tell(text)?;
    }
    let snapshots = count(records.len(), "snapshot");
    let text = format!("dry run: would {verb} {snapshots}, nothing was written");
    context.output.result(text)?;
    Ok(0)
}

/// Says what was copied; `import` says it alike.
pub(crate) fn report(context: &Context, copied: &[Copied], totals: WriteTotals) -> Result<u8> {
    let output = context.output;
    for one in copied {
        if output.is_json() {
            let source_snapshot = one.source.to_string();
            let snapshot_id = one.target.map(|id| id.to_string());
            output.message(
                "copied",
                &CopiedLine {
                    source_snapshot,
                    snapshot_id,
                },
            )?;
            continue;
        }
        let source = one.source.short();
        match one.target {
            Some(target) => {
                output.tell(format!("snapshot {source} copied as {}", target.short()))?;
            }
            None => output.tell(format!("snapshot {source} is there already"))?,
        }
    }
    let made = copied.iter().filter(|one| one.target.is_some()).count();
    if output.is_json() {
        output.message(
            "summary",
            &SummaryLine {
                copied: made,
                skipped: copied.len() - made,
                data_added: totals.added,
                data_added_packed: totals.added_packed,
            },
        )?;
    } else {
        let (skipped, added) = (copied.len() - made, ByteCount(totals.added_packed));
        output.result(format!(
            "copied {}, {skipped} were there, {added} stored",
            count(made, "snapshot")
        ))?;
    }
    Ok(0)
}
