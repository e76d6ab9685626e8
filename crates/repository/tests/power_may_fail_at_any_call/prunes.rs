//! Cut off while data goes.

use std::ops::Range;

use lifeboat_backend::{Backend, FileHandle, FileKind};
use lifeboat_repository::Repository;
use lifeboat_repository::prune::{PruneOptions, UnusedLimit};
use lifeboat_testkit::crash::Crashed;

use super::records::snapshots_of;
use super::{Trial, doomed, open, restic, scaled, survivor};
use crate::world::{Expected, World, assert_whole, password, prune, prune_options, random};

/// A world in which a prune has packs to mark, to repack and to remove.
fn to_be_pruned() -> (World, Expected) {
    let world = World::new();
    let marked = world.backup(&(2000..2000 + scaled(50)).collect::<Vec<u64>>());
    world.forget(marked);
    prune(&world.repository, prune_options(24)).unwrap();
    world.hours(30);
    let gone = world.backup(&(0..scaled(260)).collect::<Vec<u64>>());
    let half: Vec<u64> = (0..scaled(260)).step_by(3).collect();
    let kept = world.backup(&half);
    world.forget(gone);
    world.hours(30);
    (world, Expected::from([(kept, half)]))
}

fn instant() -> PruneOptions {
    PruneOptions {
        is_instant: true,
        unused: UnusedLimit::Share(0.0),
        ..prune_options(0)
    }
}

/// Packs that a killed backup has stored and no index lists.
pub(super) fn leave_unlisted_packs(world: &World, seeds: Range<u64>) {
    let before = world.repository.list(FileKind::Index).unwrap();
    let stored = world.backup(&seeds.collect::<Vec<_>>());
    world.forget(stored);
    for index in world.repository.list(FileKind::Index).unwrap() {
        if !before.contains(&index) {
            let file = FileHandle::new(FileKind::Index, index.id);
            world.memory.remove(file).unwrap();
        }
    }
}

#[test]
fn of_a_prune_that_marks_repacks_and_removes() {
    let (world, expected) = to_be_pruned();
    Trial {
        name: "prune with repack",
        world: &world,
        expected: &expected,
        work: &|repository| prune(repository, prune_options(24)).map(drop),
    }
    .run(250);
}

#[test]
fn of_an_instant_prune() {
    let (world, expected) = to_be_pruned();
    Trial {
        name: "instant prune",
        world: &world,
        expected: &expected,
        work: &|repository| prune(repository, instant()).map(drop),
    }
    .run(250);
}

#[test]
fn of_a_prune_of_packs_that_no_index_lists() {
    let (world, expected) = snapshots_of(&[(0, 20), (10, 30)]);
    leave_unlisted_packs(&world, 1000..1000 + scaled(80));
    // What other programs leave when they are killed: no sound pack at all.
    let torn = FileHandle::new(FileKind::Pack, lifeboat_model::Id([0xab; 32]));
    world.memory.overwrite(torn, &random(1, 300));
    Trial {
        name: "instant prune of unlisted packs",
        world: &world,
        expected: &expected,
        work: &|repository| prune(repository, instant()).map(drop),
    }
    .run(100);
    Trial {
        name: "prune of unlisted packs",
        world: &world,
        expected: &expected,
        work: &|repository| prune(repository, prune_options(24)).map(drop),
    }
    .run(100);
    prune(&world.repository, prune_options(24)).unwrap();
    world.hours(30);
    Trial {
        name: "prune of packs marked as unlisted",
        world: &world,
        expected: &expected,
        work: &|repository| prune(repository, prune_options(24)).map(drop),
    }
    .run(100);
}

/// A forgotten record comes back while its packs are marked.
#[test]
fn of_a_prune_that_brings_packs_back() {
    let (world, mut expected) = snapshots_of(&[(0, 20), (10, 40)]);
    let (gone, seeds) = expected.pop_first().unwrap();
    let file = FileHandle::new(FileKind::Snapshot, gone.into());
    let record = world.memory.load(file).unwrap();
    world.forget(gone);
    prune(&world.repository, prune_options(24)).unwrap();
    world.memory.save(file, &record).unwrap();
    let wanted = Expected::from([(gone, seeds)]);
    let (crashed, place) = Crashed::begin("prune that brings packs back", Some(&world.memory));
    let repository = Repository::open(place, &password(), doomed(&world.clock)).unwrap();
    prune(&repository, prune_options(24)).unwrap();
    crashed.judge(100, |state, look| {
        let repository = open(look, survivor(&world.clock, state));
        prune(&repository, prune_options(24)).unwrap();
        for all in [&wanted, &expected] {
            assert_whole(&repository, all, &state.when);
        }
        restic(look, &state.when);
    });
}
