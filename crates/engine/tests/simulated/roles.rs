//! Who takes part, and what each of them does with its days.

use std::sync::Arc;
use std::time::Duration;

use lifeboat_backend::Memory;
use lifeboat_format::{ScryptCost, SnapshotFile};
use lifeboat_model::ErrorKind;
use lifeboat_repository::{InitOptions, LockMode, LockWait, Repository, commit, lock, write};
use lifeboat_testkit::{ManualClock, SeededEntropy};

use super::chooser::{self, Weather};
use super::content::{put_blobs, put_trees};
use super::operations as does;
use super::process::{Outcome, Process, environment_of};
use super::schedule::Life;
use super::world::{World, password};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Pruner,
    /// Prunes at once, under an exclusive lock.
    InstantPruner,
    Forgetter,
    Tagger,
    Checker,
    Restorer,
    Copier,
    Repairer,
    Unlocker,
    Foreigner,
}

/// The blobs that snapshots are made of; few, so that snapshots share them.
const BLOBS: u64 = 24;

/// The snapshots that a copier brings.
pub(crate) const COPIED: [[u64; 4]; 2] = [[1, 5, 100, 101], [7, 100, 102, 103]];

pub(crate) fn lives(cast: &[Role], entropy: &SeededEntropy, weather: Weather) -> Vec<Life> {
    let life = |(number, role): (usize, &Role)| Life {
        name: format!("{role:?}{number}"),
        skew: chooser::skew(entropy, weather.skew),
        ..Life::default()
    };
    cast.iter().enumerate().map(life).collect()
}

/// Another repository, with two snapshots.
pub(crate) fn copy_source(world: &World) -> Arc<Repository> {
    let environment = environment_of(Arc::new(ManualClock::default()), world.seed ^ 77, 2);
    let options = InitOptions {
        cost: ScryptCost { n: 2, r: 8, p: 1 },
        ..InitOptions::default()
    };
    let memory = Arc::new(Memory::new());
    let made = Repository::init(memory, &password(), &options, environment);
    let source = made.expect("an empty place");
    let lock = lock::acquire(&source, LockMode::Shared, LockWait::default()).expect("free");
    for seeds in &COPIED {
        world.expect(seeds);
        let index = source.load_index().expect("an index");
        let options = does::write_options(4 << 20);
        let stored = write::<_, lifeboat_repository::Error>(&source, &index, &lock, options, |w| {
            put_blobs(w, seeds)?;
            put_trees(w, seeds)
        });
        let (tree, _, files) = stored.expect("a sound place");
        let mut file = SnapshotFile::new(source.environment().clock.now().into());
        (file.tree, file.hostname) = (tree, "copied".to_owned());
        let seen: Vec<_> = index.files().iter().chain(&files).copied().collect();
        commit(&source, &lock, &file, &seen).expect("a sound place");
    }
    drop(lock);
    Arc::new(source)
}

/// How often each role does its work.
pub(crate) fn days(role: Role, process: &Process, source: &Arc<Repository>) {
    let rounds = 2 + process.entropy.below(3);
    for _ in 0..rounds {
        let minutes = process.entropy.below(600) + process.entropy.below(2) * 1500;
        process.sleep(Duration::from_secs(60 * minutes));
        for _ in 0..4 {
            let outcome = once(role, process, source);
            if process.is_over() {
                return;
            }
            match outcome {
                None => {}
                Some(Err(failure)) if is_allowed(failure.kind) => {}
                Some(Ok(())) => break,
                Some(Err(failure)) => {
                    let is_late = process.longest_stop() >= does::VOID_AFTER;
                    let is_lagging = !process.world.laxity.list_lag.is_zero();
                    // What a late list does not show is missing: it is told, and nothing goes.
                    let is_told = match failure.kind {
                        ErrorKind::NotFound => is_late || is_lagging,
                        ErrorKind::Corrupt => is_lagging,
                        _ => false,
                    };
                    if !is_told {
                        let what = format!("{role:?} fails: {:?}: {}", failure.kind, failure.text);
                        process.world.schedule.violated(what);
                        return;
                    }
                }
            }
            process.sleep(Duration::from_secs(60 + process.entropy.below(3600)));
        }
    }
}

/// Being in each other's way, being killed, and a network that is down.
fn is_allowed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Busy | ErrorKind::Cancelled | ErrorKind::Unreachable
    )
}

fn once(role: Role, process: &Process, source: &Arc<Repository>) -> Option<Outcome<()>> {
    match role {
        Role::Writer => Some(one_backup(process)),
        Role::Pruner => does::prune(process, false),
        Role::InstantPruner => does::prune(process, true),
        Role::Forgetter => does::forget(process, false),
        Role::Tagger => does::forget(process, true),
        Role::Checker => does::check_all(process),
        Role::Restorer => does::restore(process),
        Role::Copier => does::bring(process, source),
        Role::Repairer => does::repair_index(process),
        Role::Unlocker => does::unlock(process),
        Role::Foreigner => {
            let minutes = 1 + process.entropy.below(60);
            let exclusive = process.entropy.below(4) == 0 && process.world.laxity.foreign_exclusive;
            does::hold_foreign_lock(process, exclusive, Duration::from_secs(60 * minutes));
            Some(Ok(()))
        }
    }
}

fn one_backup(process: &Process) -> Outcome<()> {
    let entropy = &process.entropy;
    let count = 2 + entropy.below(8);
    let mut seeds: Vec<u64> = Vec::new();
    for _ in 0..count {
        let seed = entropy.below(BLOBS);
        if !seeds.contains(&seed) {
            seeds.push(seed);
        }
    }
    let half = seeds.len() / 2;
    let minutes = match entropy.below(10) {
        0..5 => 0,
        5..8 => entropy.below(60),
        _ => entropy.below(3000),
    };
    let pause = Duration::from_secs(60 * minutes);
    does::backup(process, &[&seeds[..half], &seeds[half..]], pause).map(|_| ())
}
