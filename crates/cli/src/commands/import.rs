//! `lifeboat import`

mod adopt;

use std::sync::Arc;

use lifeboat_backend::ArchiveReader;
use lifeboat_engine::copy::{Copied, CopyEnds, CopyItem, copy_items, missing_items};
use lifeboat_model::{ByteCount, ErrorKind, VmName};
use lifeboat_repository::{LockMode, Repository, Snapshot, WriteTotals};
use serde::Serialize;

use crate::args::ArchiveImportArguments;
use crate::context::{Context, Password};
use crate::error::{Error, Result};
use crate::select;
use crate::tables::{Table, moment};
use adopt::Adopter;

#[derive(Serialize)]
struct ImportedLine {
    archive_snapshot_id: String,
    snapshot_id: Option<String>,
    time: String,
    machine: String,
    /// `imported` or `already there`.
    state: &'static str,
}

#[derive(Serialize)]
struct SummaryLine {
    archive: String,
    imported: usize,
    already_there: usize,
    data_blobs: u64,
    data_added: u64,
    data_added_packed: u64,
}

/// Reads snapshots from an archive.
pub(crate) fn run(context: &Context, arguments: &ArchiveImportArguments) -> Result<u8> {
    let machine = arguments
        .as_machine
        .as_deref()
        .map(str::parse)
        .transpose()?;
    let archive = ArchiveReader::open(&arguments.archive)?;
    let password = context.password()?;
    let target = context.open_at(&context.place()?, &password)?;
    let archive_password = match &arguments.archive_password_file {
        Some(path) => Password::in_file(path.clone()),
        None => password,
    };
    let source = context.open_backend(Arc::new(archive), &archive_password)?;
    let chosen = select::many(&source, &arguments.ids, &arguments.filter)?;
    if chosen.is_empty() {
        let message = "no snapshot of the archive matches";
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let locked = context.lock(&target, LockMode::Shared)?;
    let source_index = context.load_index_to_read(&source)?;
    let adopter = Adopter::new(&source, &source_index);
    let items = items(&adopter, machine.as_ref(), &chosen)?;
    if arguments.dry_run {
        let missing = missing_items(&target, &items)?;
        let records: Vec<_> = missing.iter().map(|item| &item.record).collect();
        return super::copy::dry_run(context, "import", &records);
    }
    let ends = CopyEnds {
        source: &source,
        source_index: &source_index,
        target: &target,
        target_lock: locked.lock()?,
    };
    let (copied, totals) = copy(context, &target, ends, &items)?;
    context.hold_reserve(&target);
    report(context, arguments, &items, &copied, totals)
}

fn items(
    adopter: &Adopter<'_>,
    machine: Option<&VmName>,
    chosen: &[Snapshot],
) -> Result<Vec<CopyItem>> {
    let item = |snapshot: &Snapshot| {
        if !super::export::bare::is_bare(snapshot) {
            return Ok(CopyItem::whole(snapshot));
        }
        let machine = machine.ok_or_else(|| {
            Error::usage(format!(
                "snapshot {} was exported without metadata: say whose disks it holds with \
                 --as-machine NAME",
                snapshot.id.short()
            ))
        })?;
        adopter.adopt(snapshot, machine)
    };
    chosen.iter().map(item).collect()
}

fn copy(
    context: &Context,
    target: &Repository,
    ends: CopyEnds<'_>,
    items: &[CopyItem],
) -> Result<(Vec<Copied>, WriteTotals)> {
    let options = context.write_options(target)?;
    let _display = context.show_progress()?;
    Ok(copy_items(ends, items, options)?)
}

fn report(
    context: &Context,
    arguments: &ArchiveImportArguments,
    items: &[CopyItem],
    copied: &[Copied],
    totals: WriteTotals,
) -> Result<u8> {
    let output = context.output;
    let imported = copied.iter().filter(|one| one.target.is_some()).count();
    let lines = items.iter().zip(copied).map(|(item, one)| ImportedLine {
        archive_snapshot_id: one.source.to_string(),
        snapshot_id: one.target.map(|id| id.to_string()),
        time: item.record.time.to_string(),
        machine: item.record.hostname.clone(),
        state: state(one),
    });
    if output.is_json() {
        for line in lines {
            output.message("imported", &line)?;
        }
        output.message(
            "summary",
            &SummaryLine {
                archive: arguments.archive.display().to_string(),
                imported,
                already_there: copied.len() - imported,
                data_blobs: totals.data_blobs,
                data_added: totals.added,
                data_added_packed: totals.added_packed,
            },
        )?;
        return Ok(0);
    }
    let mut table = Table::new(&["In archive", "ID", "Time", "Machine", "State"]);
    for (item, one) in items.iter().zip(copied) {
        table.row([
            one.source.short(),
            one.target.map(|id| id.short()).unwrap_or_default(),
            moment(item.record.time.timestamp()),
            item.record.hostname.clone(),
            state(one).to_owned(),
        ]);
    }
    table
        .lines()
        .iter()
        .try_for_each(|line| output.tell(line))?;
    output.result(format!(
        "imported {imported} of {} snapshots, added {}",
        copied.len(),
        ByteCount(totals.added)
    ))?;
    Ok(0)
}

fn state(copied: &Copied) -> &'static str {
    match copied.target {
        Some(_) => "imported",
        None => "already there",
    }
}
