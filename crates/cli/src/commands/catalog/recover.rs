//! `lifeboat catalog import`: lost snapshot records, stored again.

use std::collections::HashSet;
use std::path::Path;

use lifeboat_backend::FileKind;
use lifeboat_format::{IndexId, PackId, SnapshotFile, SnapshotId};
use lifeboat_repository::{Index, LockMode, Repository, commit, walk, with_marked};
use serde::Serialize;

use super::compare::Present;
use super::document::{self, Catalog, Entry};
use crate::args::FilterArguments;
use crate::context::Context;
use crate::error::{EXIT_PARTIAL, Result};
use crate::tables::{Table, moment};

/// What can be done for a snapshot of the catalog.
enum Step {
    /// Its record is stored again.
    Restore,
    /// It cannot be brought back; says why.
    Lost(String),
}

#[derive(Serialize)]
struct PlanLine<'a> {
    snapshot_id: String,
    time: String,
    machine: &'a str,
    /// `restore` or `lost`.
    action: &'static str,
    reason: Option<&'a str>,
    new_snapshot_id: Option<String>,
}

#[derive(Serialize)]
struct SummaryLine {
    present: usize,
    restored: usize,
    lost: usize,
    dry_run: bool,
}

/// Brings back the records that the repository lacks and whose content is complete.
pub(super) fn run(context: &Context, path: &Path, is_dry_run: bool) -> Result<u8> {
    let catalog = document::read(path)?;
    let repository = context.open()?;
    let here = super::of_repository(context, &repository, &FilterArguments::default())?;
    let locked = context.lock(&repository, LockMode::Shared)?;
    let steps = plan(context, &repository, &catalog, &here)?;
    show(context, &steps)?;
    let mut made = Vec::new();
    if !is_dry_run {
        for (entry, _) in steps.iter().filter(|(_, step)| is_restore(step)) {
            // Order: an index file that does not exist makes commit look for marked packs.
            let seen = [IndexId::default()];
            let id = commit(&repository, locked.lock()?, &record(entry), &seen)?;
            made.push((*entry, id));
        }
    }
    let lost = steps.iter().filter(|(_, step)| !is_restore(step)).count();
    let summary = SummaryLine {
        present: catalog.snapshots.len() - steps.len(),
        restored: steps.len() - lost,
        lost,
        dry_run: is_dry_run,
    };
    report(context, &made, &summary)?;
    Ok(if lost == 0 { 0 } else { EXIT_PARTIAL })
}

fn is_restore(step: &Step) -> bool {
    matches!(step, Step::Restore)
}

/// The record under which the snapshot comes back; its first id stays known.
fn record(entry: &Entry) -> SnapshotFile {
    let mut record = entry.record.clone();
    record.original = Some(entry.origin());
    record
}

fn plan<'a>(
    context: &Context,
    repository: &Repository,
    catalog: &'a Catalog,
    here: &Catalog,
) -> Result<Vec<(&'a Entry, Step)>> {
    let present = Present::new(here);
    let absent = catalog.snapshots.iter().filter(|entry| {
        present
            .find(entry)
            .is_none_or(|found| found.root != entry.root)
    });
    let mut absent: Vec<&Entry> = absent.collect();
    absent.sort_by_key(|entry| entry.time);
    if absent.is_empty() {
        return Ok(Vec::new());
    }
    let _display = context.show_progress()?;
    let index = with_marked(&repository.load_index()?);
    let gone = gone_packs(repository, &index)?;
    let step = |entry: &'a Entry| Ok((entry, judge(repository, &index, &gone, entry)?));
    absent.into_iter().map(step).collect()
}

/// Packs that are listed and are no longer there.
fn gone_packs(repository: &Repository, index: &Index) -> Result<HashSet<PackId>> {
    let listed = repository.list(FileKind::Pack)?;
    let is_there = |id: PackId| {
        listed
            .binary_search_by_key(&id.id(), |file| file.id)
            .is_ok()
    };
    let packs = index.packs().iter().map(|pack| pack.id);
    Ok(packs.filter(|id| !is_there(*id)).collect())
}

fn judge(
    repository: &Repository,
    index: &Index,
    gone: &HashSet<PackId>,
    entry: &Entry,
) -> Result<Step> {
    let (used, missing) = walk::used(repository, index, [entry.root])?;
    if let Some(first) = missing.first() {
        let reason = format!(
            "{} of its chunks are missing, the first is {} {}: {}",
            missing.len(),
            first.kind,
            first.id.short(),
            first.seen
        );
        return Ok(Step::Lost(reason));
    }
    let lost = gone.iter().next().and_then(|_| {
        let mut blobs = index.blobs().enumerate();
        blobs.find(|(row, blob)| used.is_used(*row) && gone.contains(&blob.location.pack))
    });
    Ok(match lost {
        None => Step::Restore,
        Some((_, blob)) => Step::Lost(format!("pack {} is gone", blob.location.pack)),
    })
}

fn show(context: &Context, steps: &[(&Entry, Step)]) -> Result<()> {
    let output = context.output;
    let mut table = Table::new(&["ID", "Time", "Machine", "Action", "Reason"]);
    for (entry, step) in steps {
        let machine = entry.machine.as_ref().unwrap_or(&entry.host);
        let (action, reason) = match step {
            Step::Restore => ("restore", None),
            Step::Lost(reason) => ("lost", Some(reason.as_str())),
        };
        if output.is_json() {
            output.message(
                "plan",
                &PlanLine {
                    snapshot_id: entry.id.to_string(),
                    time: entry.time.to_string(),
                    machine,
                    action,
                    reason,
                    new_snapshot_id: None,
                },
            )?;
        }
        table.row([
            entry.id.short(),
            moment(entry.time.timestamp()),
            machine.clone(),
            action.to_owned(),
            reason.unwrap_or_default().to_owned(),
        ]);
    }
    if !steps.is_empty() && !output.is_json() {
        table
            .lines()
            .iter()
            .try_for_each(|line| output.result(line))?;
    }
    Ok(())
}

fn report(context: &Context, made: &[(&Entry, SnapshotId)], summary: &SummaryLine) -> Result<()> {
    let output = context.output;
    for (entry, id) in made {
        if output.is_json() {
            output.message(
                "restored",
                &PlanLine {
                    snapshot_id: entry.id.to_string(),
                    time: entry.time.to_string(),
                    machine: entry.machine.as_ref().unwrap_or(&entry.host),
                    action: "restore",
                    reason: None,
                    new_snapshot_id: Some(id.to_string()),
                },
            )?;
        } else {
            output.tell(format!("{} is back as {}", entry.id.short(), id.short()))?;
        }
    }
    if output.is_json() {
        return output.message("summary", summary);
    }
    let verb = if summary.dry_run {
        "would bring back"
    } else {
        "brought back"
    };
    output.result(format!(
        "{verb} {} snapshots, {} cannot be brought back, {} were there",
        summary.restored, summary.lost, summary.present
    ))
}
