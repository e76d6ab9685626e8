//! Cut off while damage is repaired.

use std::collections::BTreeSet;

use lifeboat_backend::{Backend, FileHandle, FileKind};
use lifeboat_format::{BlobId, BlobKind};
use lifeboat_repository::repair::{
    apply_index, apply_snapshots, plan_index, plan_snapshots, repair_packs,
};
use lifeboat_repository::{
    LockMode, LockWait, Repository, Result, check, lock, snapshots, verify_pack,
};
use lifeboat_testkit::crash::Crashed;

use super::records::{snapshots_of, steps};
use super::{Trial, doomed, open, restic, scaled, survivor};
use crate::world::{Expected, World, assert_whole, blob, bytes_of, password, read, small_packs};

fn repair_index(repository: &Repository, is_thorough: bool) -> Result<()> {
    let lock = lock::acquire(repository, LockMode::Exclusive, LockWait::default())?;
    let plan = plan_index(repository, is_thorough)?;
    apply_index(repository, &lock, &plan)
}

/// Index, packs and snapshots, one after the other.
fn repair_all(repository: &Repository) -> Result<()> {
    repair_index(repository, false)?;
    let lock = lock::acquire(repository, LockMode::Exclusive, LockWait::default())?;
    let index = repository.load_index()?;
    let mut damaged = Vec::new();
    for (pack, blobs) in index.packs().iter().zip(index.by_pack()) {
        if !verify_pack(repository, pack.id, &blobs)?.is_empty() {
            damaged.push(pack.id);
        }
    }
    repair_packs(repository, &lock, &damaged, small_packs())?;
    let plan = plan_snapshots(repository)?;
    apply_snapshots(repository, &lock, &plan, false, small_packs())?;
    Ok(())
}

#[test]
fn of_a_new_index_in_a_whole_repository() {
    let (world, expected) = snapshots_of(&steps(14));
    Trial {
        name: "repair index",
        world: &world,
        expected: &expected,
        work: &|repository| repair_index(repository, true),
    }
    .run(100);
}

/// The pack that holds a blob.
fn pack_of(world: &World, seed: u64) -> FileHandle {
    let index = world.repository.load_index().unwrap();
    let id = BlobId::of(&blob(seed));
    let pack = index.find(BlobKind::Data, &id).unwrap().pack;
    FileHandle::new(FileKind::Pack, pack.into())
}

/// Runs `work` on a damaged world. What is whole stays so; done again, all of it is.
fn judge_repair(
    name: &'static str,
    world: &World,
    whole: &Expected,
    work: &dyn Fn(&Repository) -> Result<()>,
) -> BTreeSet<Vec<Vec<u8>>> {
    let (crashed, place) = Crashed::begin(name, Some(&world.memory));
    let environment = doomed(&world.clock);
    work(&Repository::open(place, &password(), environment).unwrap()).unwrap();
    let ends = std::cell::RefCell::new(BTreeSet::new());
    crashed.judge(200, |state, look| {
        let when = format!("{name}: {}", state.when);
        let repository = open(look, survivor(&world.clock, state));
        for (id, seeds) in whole {
            let bytes = read(&repository, *id).unwrap_or_else(|e| panic!("{when}: {e}"));
            assert!(bytes == bytes_of(seeds), "{when}: {id} gives other bytes");
        }
        work(&repository).unwrap_or_else(|error| panic!("{when}, done again: {error}"));
        assert_whole(&repository, whole, &when);
        restic(look, &when);
        let mut contents: Vec<Vec<u8>> = snapshots::list(&repository)
            .unwrap()
            .iter()
            .map(|snapshot| read(&repository, snapshot.id).unwrap())
            .collect();
        contents.sort_unstable();
        contents.dedup();
        ends.borrow_mut().insert(contents);
    });
    ends.into_inner()
}

#[test]
fn of_a_repair_of_a_lost_index_file() {
    let (world, mut expected) = snapshots_of(&[(0, 20), (30, 50), (60, 70)]);
    let index = world.repository.load_index().unwrap();
    let lost = FileHandle::new(FileKind::Index, index.files()[0].id());
    world.memory.remove(lost).unwrap();
    let all = expected.clone();
    expected.retain(|id, _| read(&world.other(7), *id).is_ok());
    let ends = judge_repair("repair of a lost index", &world, &expected, &|repository| {
        repair_index(repository, false)?;
        assert_whole(repository, &all, "repaired");
        Ok(())
    });
    assert_eq!(ends.len(), 1);
}

#[test]
fn of_a_repair_of_packs_and_snapshots() {
    let (world, expected) = snapshots_of(&[(0, scaled(60)), (10, scaled(80))]);
    let seeds: Vec<u64> = (2000..2010).collect();
    let whole = Expected::from([(world.backup(&seeds), seeds)]);
    let gone = pack_of(&world, 0);
    let seeds = (12..scaled(60)).step_by(10);
    let flipped: BTreeSet<FileHandle> = seeds.map(|seed| pack_of(&world, seed)).collect();
    world.memory.remove(gone).unwrap();
    for pack in flipped.iter().filter(|pack| **pack != gone) {
        let mut bytes = world.memory.load(*pack).unwrap();
        bytes[10] ^= 1;
        world.memory.overwrite(*pack, &bytes);
    }
    let ends = judge_repair(
        "repair packs and snapshots",
        &world,
        &whole,
        &|repository| {
            repair_all(repository)?;
            assert!(check(repository)?.0.is_whole());
            Ok(())
        },
    );
    assert_eq!(ends.len(), 1, "wherever it was cut off, the same is saved");
    let saved: BTreeSet<usize> = ends.iter().flatten().map(Vec::len).collect();
    let sizes: BTreeSet<usize> = expected.values().map(|s| bytes_of(s).len()).collect();
    assert!(sizes.is_subset(&saved), "every file keeps its size");
}
