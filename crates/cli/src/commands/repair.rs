//! `lifeboat repair`

use lifeboat_engine::verify::{Subset, verify};
use lifeboat_format::PackId;
use lifeboat_model::ByteCount;
use lifeboat_repository::repair::{
    LostRanges, Mended, apply_index, apply_snapshots, plan_index, plan_snapshots, repair_packs,
};
use lifeboat_repository::{Finding, LockMode, Repository, check};
use serde::Serialize;

use crate::args::RepairCommand;
use crate::context::{Context, Locked};
use crate::error::{Error, Result};
use crate::tables::{count, shown};

#[derive(Serialize)]
struct LostLine<'a> {
    snapshot: String,
    host: &'a str,
    path: &'a str,
    lost_bytes: u64,
    ranges: Vec<[u64; 2]>,
    blobs: usize,
}

#[derive(Serialize)]
struct MendedLine<'a> {
    snapshot: String,
    host: &'a str,
    path: &'a str,
    what: &'a str,
}

#[derive(Serialize)]
struct SummaryLine {
    dry_run: bool,
    done: u64,
    lost: u64,
}

/// Puts a damaged repository in order.
pub(crate) fn run(context: &Context, command: &RepairCommand) -> Result<u8> {
    let repository = context.open()?;
    let locked = context.lock_to_make_room(&repository, LockMode::Exclusive)?;
    match command {
        RepairCommand::Index {
            read_all_packs,
            dry_run,
        } => index(context, &locked, *read_all_packs, *dry_run),
        RepairCommand::Snapshots { keep, dry_run } => snapshots(context, &locked, *keep, *dry_run),
        RepairCommand::Packs { packs, dry_run } => packs_of(context, &locked, packs, *dry_run),
    }
}

fn summary(context: &Context, dry_run: bool, done: usize, lost: usize) -> Result<()> {
    let line = SummaryLine {
        dry_run,
        done: done as u64,
        lost: lost as u64,
    };
    if context.output.is_json() {
        context.output.message("summary", &line)
    } else {
        Ok(())
    }
}

fn index(context: &Context, locked: &Locked<'_>, is_thorough: bool, dry_run: bool) -> Result<u8> {
    let output = context.output;
    let display = context.show_progress()?;
    let plan = plan_index(locked.repository, is_thorough)?;
    drop(display);
    for finding in &plan.broken_files {
        output.tell(format!("unreadable {finding}"))?;
    }
    for pack in &plan.missing {
        output.tell(format!("pack {pack} is gone: its entries are dropped"))?;
    }
    for lost in &plan.unreadable {
        output.warn(format!(
            "pack {} cannot be listed: {}",
            lost.pack,
            shown(&lost.seen)
        ));
    }
    let (read, packs) = (plan.read.len(), plan.packs);
    output.tell(format!(
        "read the headers of {read} packs; the index lists {packs} packs"
    ))?;
    summary(
        context,
        dry_run,
        plan.read.len(),
        plan.missing.len() + plan.unreadable.len(),
    )?;
    let text = match (plan.is_empty(), dry_run) {
        (true, _) => "the index is right as it is",
        (false, true) => "dry run: the index was not changed",
        (false, false) => {
            apply_index(locked.repository, locked.lock()?, &plan)?;
            "the index was built anew; run 'lifeboat check' now"
        }
    };
    if output.is_json() {
        Ok(0)
    } else {
        output.result(text).map(|()| 0)
    }
}

fn snapshots(context: &Context, locked: &Locked<'_>, keep: bool, dry_run: bool) -> Result<u8> {
    let output = context.output;
    let display = context.show_progress()?;
    let plan = plan_snapshots(locked.repository)?;
    drop(display);
    plan.lost
        .iter()
        .try_for_each(|lost| show_lost(context, lost))?;
    plan.mended
        .iter()
        .try_for_each(|mended| show_mended(context, mended))?;
    if !plan.rescued.is_empty() {
        output.tell(format!(
            "{} are left in packs that a prune would remove: they are stored again",
            count(plan.rescued.len(), "chunk")
        ))?;
    }
    summary(context, dry_run, plan.snapshots.len(), plan.lost.len())?;
    if plan.is_empty() {
        return if output.is_json() {
            Ok(0)
        } else {
            output.result("no snapshot has lost data").map(|()| 0)
        };
    }
    if dry_run {
        let count = plan.snapshots.len();
        return output
            .tell(format!("dry run: {count} snapshots would be replaced"))
            .map(|()| 0);
    }
    let display = context.show_progress()?;
    let options = context.write_options(locked.repository)?;
    let replaced = apply_snapshots(locked.repository, locked.lock()?, &plan, keep, options)?;
    drop(display);
    for (old, new) in replaced {
        let (old, new) = (old.short(), new.short());
        output.tell(format!(
            "snapshot {old} is now {new}: lost ranges read as zeros"
        ))?;
    }
    Ok(0)
}

fn show_mended(context: &Context, mended: &Mended) -> Result<()> {
    let line = MendedLine {
        snapshot: mended.snapshot.to_string(),
        host: &mended.host,
        path: &mended.path,
        what: &mended.what,
    };
    if context.output.is_json() {
        return context.output.message("mended", &line);
    }
    let (id, host, path) = (
        mended.snapshot.short(),
        shown(&mended.host),
        shown(&mended.path),
    );
    context
        .output
        .result(format!("snapshot {id} of {host}: {path}: {}", mended.what))
}

/// Says which machine, which disk and which bytes.
fn show_lost(context: &Context, lost: &LostRanges) -> Result<()> {
    let output = context.output;
    if output.is_json() {
        return output.message(
            "lost",
            &LostLine {
                snapshot: lost.snapshot.to_string(),
                host: &lost.host,
                path: &lost.path,
                lost_bytes: lost.ranges.byte_count(),
                ranges: lost
                    .ranges
                    .iter()
                    .map(|extent| [extent.start(), extent.len()])
                    .collect(),
                blobs: lost.blobs.len(),
            },
        );
    }
    let (id, host, path) = (lost.snapshot.short(), shown(&lost.host), shown(&lost.path));
    if lost.ranges.is_empty() {
        return output.result(format!("snapshot {id} of {host}: {path} is lost"));
    }
    let amount = ByteCount(lost.ranges.byte_count());
    output.result(format!(
        "snapshot {id} of {host}: {path} has lost {amount}:"
    ))?;
    for extent in lost.ranges.iter() {
        let (start, end) = (extent.start(), extent.end());
        output.result(format!(
            "  bytes {start} to {end} ({})",
            ByteCount(extent.len())
        ))?;
    }
    Ok(())
}

fn packs_of(context: &Context, locked: &Locked<'_>, ids: &[String], dry_run: bool) -> Result<u8> {
    let output = context.output;
    let packs = if ids.is_empty() {
        damaged_packs(context, locked.repository)?
    } else {
        ids.iter()
            .map(|id| id.parse().map_err(Error::from))
            .collect::<Result<Vec<PackId>>>()?
    };
    if packs.is_empty() || dry_run {
        for pack in &packs {
            output.tell(format!("pack {pack} is damaged"))?;
        }
        summary(context, dry_run, packs.len(), 0)?;
        let count = packs.len();
        return output
            .tell(format!("{count} packs are damaged, nothing was changed"))
            .map(|()| 0);
    }
    let display = context.show_progress()?;
    let options = context.write_options(locked.repository)?;
    let repair = repair_packs(locked.repository, locked.lock()?, &packs, options)?;
    drop(display);
    summary(context, dry_run, packs.len(), repair.lost.len())?;
    let (saved, lost) = (repair.saved, repair.lost.len());
    output.tell(format!(
        "{saved} chunks were saved into new packs, {lost} are lost"
    ))?;
    if lost > 0 {
        output.tell("run 'lifeboat repair snapshots' to see which machines and disks that hits")?;
    }
    Ok(0)
}

/// Reads everything and gives the packs that are not sound.
fn damaged_packs(context: &Context, repository: &Repository) -> Result<Vec<PackId>> {
    let _display = context.show_progress()?;
    let (checked, index) = check(repository)?;
    let verified = verify(repository, &index, Subset::All)?;
    let findings = checked.findings.iter().chain(&verified.findings);
    let mut packs: Vec<PackId> = findings
        .filter_map(|finding| match finding {
            Finding::PackDamaged(pack, _) | Finding::PackSize { pack, .. } => Some(*pack),
            _ => None,
        })
        .collect();
    packs.sort_unstable();
    packs.dedup();
    Ok(packs)
}
