//! What must hold at every moment, and after everybody has gone.

use std::time::Duration;

use lifeboat_backend::FileKind;
use lifeboat_format::{SnapshotFile, SnapshotId};
use lifeboat_repository::lock::{self, Unlock};
use lifeboat_repository::prune::{self, PruneOptions};
use lifeboat_repository::repair::{apply_index, plan_index};
use lifeboat_repository::{
    Error, LockMode, LockWait, Repository, Result, check, commit, snapshots, write,
};

use super::content::{bytes_of, put_blobs, put_trees, read, trees};
use super::operations::{prune_options, write_options};
use super::world::World;

/// Every snapshot that is visible gives its bytes; who was told that it is there finds it.
pub(crate) fn look(world: &World) {
    let (repository, _) = world.outside(3);
    if let Err(what) = every_snapshot(world, &repository) {
        world.schedule.violated(what);
    }
}

fn every_snapshot(world: &World, repository: &Repository) -> std::result::Result<(), String> {
    let listed = snapshots::list(repository).map_err(|error| format!("snapshots: {error}"))?;
    let (mut doomed, mut visible) = (0, Vec::new());
    for snapshot in &listed {
        visible.push(snapshot.id);
        let seeds = world.records().contents.get(&snapshot.file.tree).cloned();
        let seeds = seeds.ok_or(format!("{} was never asked for", snapshot.id))?;
        let found = read(repository, snapshot.id);
        if matches!(&found, Ok((_, bytes)) if *bytes == bytes_of(&seeds)) {
            continue;
        }
        let records = world.records();
        let label = &snapshot.file.hostname;
        // A record that is not confirmed yet may be taken back.
        if records.recording.contains(label) || records.forgotten.contains(&snapshot.id) {
            continue;
        }
        if records.late_deaths.contains(label) && !records.committed.contains(&snapshot.id) {
            doomed += 1;
            continue;
        }
        let why = found
            .map(|_| "other bytes")
            .map_err(|error| error.to_string());
        return Err(format!("snapshot {} ({label}) gives {why:?}", snapshot.id));
    }
    let records = world.records();
    let mut missing = records.committed.difference(&records.forgotten);
    let missing = missing.find(|id| !visible.contains(id));
    if let Some(id) = missing {
        return Err(format!("snapshot {id} is gone and nobody asked for that"));
    }
    drop(records);
    if doomed > 0 {
        world.count("records of runs that were killed too late");
    }
    Ok(())
}

/// After everybody has gone every operation succeeds, and nothing is left over.
pub(crate) fn after_all(world: &World) -> std::result::Result<(), String> {
    world.schedule.state().time += Duration::from_secs(8 * 24 * 3600);
    let (repository, clock) = world.outside(4);
    every_snapshot(world, &repository)?;
    forget_doomed(world, &repository).map_err(|e| format!("forget: {e}"))?;
    let step =
        |name: &str, result: Result<()>| result.map_err(|e| format!("{name} after all: {e}"));
    step("backup", again(world, &repository, &[1, 2, 3, 200]))?;
    for round in 0..4 {
        step("prune", prune_once(&repository, prune_options(false)))?;
        whole(&repository, "prune")?;
        every_snapshot(world, &repository).map_err(|e| format!("prune {round}: {e}"))?;
        clock.advance(Duration::from_secs(25 * 3600));
    }
    nothing_left(&repository)?;
    step("repair index", repair(&repository))?;
    whole(&repository, "repair")?;
    step(
        "instant prune",
        prune_once(&repository, prune_options(true)),
    )?;
    whole(&repository, "instant prune")?;
    step(
        "unlock",
        lock::unlock(&repository, Unlock::Stale).map(|_| ()),
    )?;
    let locks = repository.list(FileKind::Lock).map_err(|e| e.to_string())?;
    if !locks.is_empty() {
        return Err(format!("{} locks are left", locks.len()));
    }
    every_snapshot(world, &repository)
}

/// A past: snapshots that stay, and one that was forgotten.
pub(crate) fn prepare(world: &World, kept: &[&[u64]], gone: &[u64]) {
    let (repository, _) = world.outside(5);
    for seeds in kept.iter().chain([&gone]) {
        again(world, &repository, seeds).expect("a sound place");
    }
    let root = trees(gone)[1].0;
    let listed = snapshots::list(&repository).expect("a sound place");
    for snapshot in listed.iter().filter(|one| one.file.tree == root) {
        world.records().forgotten.insert(snapshot.id);
        snapshots::remove(&repository, snapshot.id).expect("a sound place");
    }
    world.schedule.state().time += Duration::from_secs(30 * 3600);
}

/// Records of runs that were killed between storing and taking back: told, and dealt with.
fn forget_doomed(world: &World, repository: &Repository) -> Result<()> {
    for snapshot in snapshots::list(repository)? {
        if read(repository, snapshot.id).is_err() {
            world.records().forgotten.insert(snapshot.id);
            snapshots::remove(repository, snapshot.id)?;
        }
    }
    Ok(())
}

fn again(world: &World, repository: &Repository, seeds: &[u64]) -> Result<()> {
    world.expect(seeds);
    let lock = lock::acquire(repository, LockMode::Shared, LockWait::default())?;
    let index = repository.load_index()?;
    let options = write_options(2 << 10);
    let (tree, _, files) = write::<_, Error>(repository, &index, &lock, options, |writer| {
        put_blobs(writer, seeds)?;
        put_trees(writer, seeds)
    })?;
    let mut file = SnapshotFile::new(repository.environment().clock.now().into());
    (file.tree, file.hostname) = (tree, "after".to_owned());
    let seen: Vec<_> = index.settled_files().chain(files).collect();
    let id: SnapshotId = commit(repository, &lock, &file, &seen)?;
    world.records().committed.insert(id);
    Ok(())
}

fn prune_once(repository: &Repository, options: PruneOptions) -> Result<()> {
    let mode = match options.is_instant {
        true => LockMode::Exclusive,
        false => LockMode::Prune,
    };
    let lock = lock::acquire(repository, mode, LockWait::default())?;
    let plan = prune::plan(repository, &lock, options)?;
    prune::apply(repository, &lock, &plan).map(|_| ())
}

fn repair(repository: &Repository) -> Result<()> {
    let lock = lock::acquire(repository, LockMode::Exclusive, LockWait::default())?;
    apply_index(repository, &lock, &plan_index(repository, false)?)
}

fn whole(repository: &Repository, after: &str) -> std::result::Result<(), String> {
    let (checked, _) = check(repository).map_err(|error| format!("check: {error}"))?;
    match checked.is_whole() {
        true => Ok(()),
        false => Err(format!("check after {after}: {:?}", checked.findings)),
    }
}

/// Marks are gone, and unused data is below what the rules allow.
fn nothing_left(repository: &Repository) -> std::result::Result<(), String> {
    let failed = |error: Error| format!("planning a prune after all: {error}");
    let lock = lock::acquire(repository, LockMode::Prune, LockWait::default()).map_err(failed)?;
    let plan = prune::plan(repository, &lock, prune_options(false)).map_err(failed)?;
    let is_clean = plan.marked.is_empty() && plan.is_empty() && plan.young.is_empty();
    let allowed = plan.live_bytes / 20;
    if is_clean && plan.dead_bytes <= allowed {
        return Ok(());
    }
    let (dead, live) = (plan.dead_bytes, plan.live_bytes);
    Err(format!(
        "{dead} unused bytes beside {live} used ones are left, plan {plan:?}"
    ))
}
