//! `lifeboat prune`

use lifeboat_model::{ByteCount, ParseError, parse_span};
use lifeboat_repository::prune::{
    PruneOptions, PrunePlan, Pruned, SizedPack, UnusedLimit, apply, plan,
};
use lifeboat_repository::{LockMode, Repository};
use serde::Serialize;

use crate::args::PruneArguments;
use crate::context::{Context, Locked};
use crate::error::{Error, Result};
use crate::tables::{Table, count};

#[derive(Serialize)]
struct PlanLine {
    dry_run: bool,
    live_blobs: u64,
    live_bytes: u64,
    dead_bytes: u64,
    remove_packs: usize,
    mark_packs: usize,
    unlisted_packs: usize,
    repack_packs: usize,
    repack_bytes: u64,
    waiting_packs: usize,
    unmark_packs: usize,
    young_packs: usize,
    freed_bytes: u64,
    marked_bytes: u64,
}

#[derive(Serialize)]
struct DoneLine {
    removed_packs: u64,
    marked_packs: u64,
    repacked_bytes: u64,
    rescued_packs: u64,
}

/// Removes data that no snapshot needs.
pub(crate) fn run(context: &Context, arguments: &PruneArguments) -> Result<u8> {
    let repository = context.open()?;
    prune(context, &repository, arguments)
}

/// Plans, shows, and applies, under a lock of its own.
pub(crate) fn prune(
    context: &Context,
    repository: &Repository,
    arguments: &PruneArguments,
) -> Result<u8> {
    let options = PruneOptions {
        grace: parse_span(&arguments.grace)?,
        is_instant: arguments.instant,
        unused: parse_limit(&arguments.max_unused)?,
        write: context.write_options(repository)?,
    };
    let mode = if arguments.instant {
        LockMode::Exclusive
    } else {
        LockMode::Prune
    };
    let locked = context.lock_to_make_room(repository, mode)?;
    let display = context.show_progress()?;
    let plan = plan(repository, locked.lock()?, options)?;
    drop(display);
    show(context, &plan, arguments.dry_run)?;
    if arguments.dry_run {
        return Ok(0);
    }
    match execute(context, &locked, &plan) {
        Err(error) if error.is_full() => make_room(context, &locked, options, error)?,
        done => report(context, &plan, done?)?,
    }
    context.hold_reserve(repository);
    Ok(0)
}

fn execute(context: &Context, locked: &Locked<'_>, plan: &PrunePlan) -> Result<Pruned> {
    let _display = context.show_progress()?;
    Ok(apply(locked.repository, locked.lock()?, plan)?)
}

/// Goes on where there was no space: packs that nobody needs go first, then there is room to
/// repack the others.
fn make_room(
    context: &Context,
    locked: &Locked<'_>,
    options: PruneOptions,
    full: Error,
) -> Result<()> {
    let first = plan(locked.repository, locked.lock()?, options)?.without_repacking();
    let pruned = match execute(context, locked, &first) {
        // The index itself had no room.
        Err(again) if again.is_full() => {
            context.give_up_reserve(locked.repository, full)?;
            execute(context, locked, &first)?
        }
        done => done?,
    };
    report(context, &first, pruned)?;
    let rest = plan(locked.repository, locked.lock()?, options)?;
    report(context, &rest, execute(context, locked, &rest)?)
}

fn show(context: &Context, plan: &PrunePlan, is_dry_run: bool) -> Result<()> {
    if context.output.is_json() {
        return context.output.message("plan", &plan_line(plan, is_dry_run));
    }
    let mut table = Table::new(&["", ">Packs", ">Size", ""]);
    for (what, packs, size, why) in rows(plan).into_iter().filter(|row| row.1 > 0) {
        table.row([what.to_owned(), packs.to_string(), size, why.to_owned()]);
    }
    for line in table.lines().iter().skip(1) {
        context.output.tell(line)?;
    }
    let (live, dead) = (ByteCount(plan.live_bytes), ByteCount(plan.dead_bytes));
    let chunks = count(plan.live_blobs, "chunk");
    context
        .output
        .tell(format!("needed: {live} in {chunks}; not needed: {dead}"))?;
    if is_dry_run {
        let (freed, later) = (
            ByteCount(plan.freed_bytes()),
            ByteCount(plan.marked_bytes()),
        );
        let text = format!("dry run: would free {freed} now and {later} after the grace period");
        context.output.result(text)?;
    }
    Ok(())
}

/// What happens, to how many packs, of what size, and why.
fn rows(plan: &PrunePlan) -> Vec<(&'static str, usize, String, &'static str)> {
    let size =
        |packs: &[SizedPack]| ByteCount(packs.iter().map(|pack| pack.size).sum()).to_string();
    let is_instant = plan.options().is_instant;
    let (gone, over) = if is_instant {
        ("remove", "marked before")
    } else {
        ("mark", "marked before, the grace period is over")
    };
    let moved = ByteCount(plan.repack_bytes()).to_string();
    let none = String::new;
    vec![
        ("remove", plan.remove.len(), none(), over),
        (
            "list again",
            plan.unmark.len(),
            none(),
            "marked before, needed again",
        ),
        (
            gone,
            plan.mark.len(),
            size(&plan.mark),
            "no snapshot needs them",
        ),
        (
            gone,
            plan.unlisted.len(),
            size(&plan.unlisted),
            "left by an interrupted run",
        ),
        (
            "repack",
            plan.repack.len(),
            moved,
            "little of them is needed",
        ),
        (
            "wait",
            plan.marked.len(),
            none(),
            "marked before, in their grace period",
        ),
        (
            "wait",
            plan.young.len(),
            size(&plan.young),
            "may belong to a running backup",
        ),
        (
            "drop",
            plan.vanished.len(),
            none(),
            "listed, but gone and not needed",
        ),
    ]
}

fn plan_line(plan: &PrunePlan, dry_run: bool) -> PlanLine {
    PlanLine {
        dry_run,
        live_blobs: plan.live_blobs,
        live_bytes: plan.live_bytes,
        dead_bytes: plan.dead_bytes,
        remove_packs: plan.remove.len(),
        mark_packs: plan.mark.len(),
        unlisted_packs: plan.unlisted.len(),
        repack_packs: plan.repack.len(),
        repack_bytes: plan.repack_bytes(),
        waiting_packs: plan.marked.len(),
        unmark_packs: plan.unmark.len(),
        young_packs: plan.young.len(),
        freed_bytes: plan.freed_bytes(),
        marked_bytes: plan.marked_bytes(),
    }
}

fn report(context: &Context, plan: &PrunePlan, pruned: Pruned) -> Result<()> {
    if context.output.is_json() {
        let line = DoneLine {
            removed_packs: pruned.removed_packs,
            marked_packs: pruned.marked_packs,
            repacked_bytes: pruned.repacked_bytes,
            rescued_packs: pruned.rescued_packs,
        };
        context.output.message("summary", &line)?;
        return Ok(());
    }
    if plan.is_empty() {
        context.output.result("nothing to remove")?;
        return Ok(());
    }
    let freed = ByteCount(plan.freed_bytes().saturating_sub(pruned.repacked_bytes));
    let removed = pruned.removed_packs;
    context
        .output
        .result(format!("removed {}, {freed} freed", count(removed, "pack")))?;
    if pruned.marked_packs > 0 {
        let (packs, bytes) = (pruned.marked_packs, ByteCount(plan.marked_bytes()));
        let hours = plan.options().grace.as_secs_f64() / 3600.0;
        context.output.result(format!(
            "marked {} with {bytes}: a prune in {hours:.0} hours or later removes them",
            count(packs, "pack")
        ))?;
    }
    if pruned.rescued_packs > 0 {
        let packs = pruned.rescued_packs;
        context
            .output
            .tell(format!("{packs} packs were needed after all and stay"))?;
    }
    Ok(())
}

/// Reads `5%`, `2G`, `unlimited`.
fn parse_limit(text: &str) -> Result<UnusedLimit> {
    let rule = "write a percentage of the needed data below 100%, a size, or unlimited";
    let wrong = || Error::from(ParseError::new("limit", text, rule));
    if text == "unlimited" {
        return Ok(UnusedLimit::Unlimited);
    }
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.parse().map_err(|_| wrong())?;
        let is_sound = (0.0..100.0).contains(&percent);
        // As restic counts: a share of what is there, not of what is needed.
        let share = percent / (100.0 - percent);
        return if is_sound {
            Ok(UnusedLimit::Share(share))
        } else {
            Err(wrong())
        };
    }
    let bytes: ByteCount = text.parse().map_err(|_| wrong())?;
    Ok(UnusedLimit::Bytes(bytes.0))
}
