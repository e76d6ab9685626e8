//! After the three repairs the repository is whole, has every sound byte, and names what is lost.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_backend::{Backend, FileHandle, FileKind};
use lifeboat_format::{BlobId, BlobKind, PackId, SnapshotId};
use lifeboat_repository::repair::{
    LostRanges, REPAIRED_TAG, apply_index, apply_snapshots, plan_index, plan_snapshots,
    repair_packs,
};
use lifeboat_repository::{
    Finding, Index, LockMode, LockWait, Repository, check, lock, snapshots, verify_pack,
};
use lifeboat_testkit::SeededEntropy;
use proptest::prelude::*;

use crate::world::{
    Expected, World, assert_whole, blob, cases, prune, prune_options, read, small_packs,
};

/// What happens to one pack.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Removed,
    /// Cut to so many thousandths.
    Cut(u64),
    /// A byte at so many thousandths is turned.
    Turned(u64),
    /// The header's length is turned: nobody can read the header.
    Headless,
}

fn harms() -> impl Strategy<Value = Harm> {
    prop_oneof![
        Just(Harm::Removed),
        (0u64..1000).prop_map(Harm::Cut),
        (0u64..1000).prop_map(Harm::Turned),
        Just(Harm::Headless),
    ]
}

fn inflict(world: &World, pack: PackId, harm: Harm) {
    let file = FileHandle::new(FileKind::Pack, pack.into());
    let mut bytes = world.memory.load(file).unwrap();
    let at = |thousandths: u64| bytes.len() * thousandths as usize / 1000;
    match harm {
        Harm::Removed => return world.memory.remove(file).unwrap(),
        Harm::Cut(thousandths) => bytes.truncate(at(thousandths)),
        Harm::Turned(thousandths) => {
            let at = at(thousandths);
            bytes[at] ^= 4;
        }
        Harm::Headless => *bytes.last_mut().unwrap() ^= 0x80,
    }
    world.memory.overwrite(file, &bytes);
}

/// Blobs whose bytes are all there.
fn sound(world: &World, index: &Index) -> BTreeSet<BlobId> {
    let mut sound = BTreeSet::new();
    let mut reader = lifeboat_repository::BlobReader::new(&world.repository, index);
    for blob in index.blobs() {
        if reader.get(blob.kind, &blob.id).is_ok() {
            sound.insert(blob.id);
        }
    }
    sound
}

/// The three repairs in their order; gives what is lost and which snapshots were replaced.
fn repair(repository: &Repository) -> (Vec<LostRanges>, BTreeMap<SnapshotId, SnapshotId>) {
    let lock = lock::acquire(repository, LockMode::Exclusive, LockWait::default()).unwrap();
    let plan = plan_index(repository, false).unwrap();
    apply_index(repository, &lock, &plan).unwrap();
    let damaged: Vec<PackId> = damaged_packs(repository);
    if !damaged.is_empty() {
        repair_packs(repository, &lock, &damaged, small_packs()).unwrap();
    }
    let plan = plan_snapshots(repository).unwrap();
    let replaced = apply_snapshots(repository, &lock, &plan, false, small_packs()).unwrap();
    (plan.lost, replaced.into_iter().collect())
}

fn damaged_packs(repository: &Repository) -> Vec<PackId> {
    let index = repository.load_index().unwrap();
    let mut damaged = Vec::new();
    for (pack, blobs) in index.packs().iter().zip(index.by_pack()) {
        if !verify_pack(repository, pack.id, &blobs).unwrap().is_empty() {
            damaged.push(pack.id);
        }
    }
    damaged
}

fn assert_nothing_is_left_to_repair(repository: &Repository) {
    let (checked, index) = check(repository).unwrap();
    let errors: Vec<&Finding> = checked.findings.iter().filter(|f| !f.is_note()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(damaged_packs(repository).is_empty());
    assert!(plan_snapshots(repository).unwrap().lost.is_empty());
    let again = plan_index(repository, false).unwrap();
    assert!(
        again.missing.is_empty() && again.broken_files.is_empty(),
        "{again:?}"
    );
    assert!(again.packs >= index.packs().len());
}

/// The bytes of a snapshot with zeros for what is lost.
fn with_zeros(seeds: &[u64], sound: &BTreeSet<BlobId>) -> Vec<u8> {
    let parts = seeds.iter().map(|seed| {
        let bytes = blob(*seed);
        if sound.contains(&BlobId::of(&bytes)) {
            bytes
        } else {
            vec![0; bytes.len()]
        }
    });
    parts.flatten().collect()
}

fn backups(world: &World, seed: u64) -> Expected {
    let entropy = SeededEntropy::new(seed);
    let mut expected = Expected::new();
    for start in [0, 15, 30] {
        let count = 5 + entropy.below(25);
        let seeds: Vec<u64> = (0..count).map(|_| start + entropy.below(25)).collect();
        expected.insert(world.backup(&seeds), seeds);
        world.hours(1);
    }
    expected
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(80), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_to_packs_of_data(
        seed in any::<u64>(), harms in prop::collection::vec((any::<u64>(), harms()), 1..4),
    ) {
        let world = World::new();
        let expected = backups(&world, seed);
        let index = world.repository.load_index().unwrap();
        let is_data = |blobs: &Vec<lifeboat_format::PackEntry>| blobs[0].kind == BlobKind::Data;
        let packs: Vec<PackId> = index.packs().iter().zip(index.by_pack())
            .filter(|(_, blobs)| is_data(blobs)).map(|(pack, _)| pack.id).collect();
        let mut hit = BTreeSet::new();
        for (number, harm) in harms {
            let pack = packs[(number % packs.len() as u64) as usize];
            if hit.insert(pack) {
                inflict(&world, pack, harm);
            }
        }
        let sound = sound(&world, &index);
        let (lost, replaced) = repair(&world.repository);
        assert_nothing_is_left_to_repair(&world.repository);
        for (snapshot, seeds) in &expected {
            let now = replaced.get(snapshot).unwrap_or(snapshot);
            let bytes = with_zeros(seeds, &sound);
            prop_assert!(read(&world.repository, *now).unwrap() == bytes);
            let is_hurt = seeds.iter().any(|seed| !sound.contains(&BlobId::of(&blob(*seed))));
            prop_assert_eq!(is_hurt, replaced.contains_key(snapshot));
            let told = lost.iter().find(|lost| lost.snapshot == *snapshot);
            let zeros: u64 = seeds.iter().map(|seed| blob(*seed))
                .filter(|bytes| !sound.contains(&BlobId::of(bytes)))
                .map(|bytes| bytes.len() as u64).sum();
            prop_assert_eq!(told.map_or(0, |lost| lost.ranges.byte_count()), zeros);
        }
        let (lost, replaced) = repair(&world.repository);
        prop_assert!(lost.is_empty() && replaced.is_empty(), "the second repair does nothing");
        world.hours(48);
        prune(&world.repository, prune_options(24)).unwrap();
        assert_nothing_is_left_to_repair(&world.repository);
    }

    #[test]
    fn whatever_happens_to_any_file(
        seed in any::<u64>(), harms in prop::collection::vec((any::<u64>(), harms()), 1..4),
    ) {
        let world = World::new();
        let expected = backups(&world, seed);
        let files: Vec<FileHandle> = world.memory.files().into_iter().map(|(file, _)| file)
            .filter(|file| matches!(file.kind, FileKind::Pack | FileKind::Index)).collect();
        for (number, harm) in harms {
            let file = files[(number % files.len() as u64) as usize];
            match file.kind {
                FileKind::Pack if world.memory.size(file).is_ok_and(|size| size > 0) => {
                    inflict(&world, PackId::from(file.id), harm);
                }
                FileKind::Pack => {}
                _ => world.memory.overwrite(file, b"rubbish"),
            }
        }
        let (lost, replaced) = repair(&world.repository);
        assert_nothing_is_left_to_repair(&world.repository);
        for (snapshot, seeds) in &expected {
            let now = replaced.get(snapshot).unwrap_or(snapshot);
            let bytes = read(&world.repository, *now).unwrap();
            if replaced.contains_key(snapshot) {
                prop_assert!(lost.iter().any(|lost| lost.snapshot == *snapshot));
                let file = &snapshots::load(&world.repository, *now).unwrap().file;
                prop_assert!(file.tags.iter().any(|tag| tag == REPAIRED_TAG));
                prop_assert_eq!(file.original, Some(*snapshot));
            } else {
                prop_assert!(bytes == crate::world::bytes_of(seeds));
            }
        }
    }
}

#[test]
fn an_index_that_is_gone_is_built_anew() {
    for is_thorough in [false, true] {
        let world = World::new();
        let expected = backups(&world, 5);
        if !is_thorough {
            for (file, _) in world.memory.files() {
                if file.kind == FileKind::Index {
                    world.memory.remove(file).unwrap();
                }
            }
        }
        let plan = plan_index(&world.repository, is_thorough).unwrap();
        let lock = lock::acquire(&world.repository, LockMode::Exclusive, LockWait::default());
        apply_index(&world.repository, &lock.unwrap(), &plan).unwrap();
        assert_whole(&world.repository, &expected, "built anew");
    }
}

#[test]
fn marks_survive_an_index_repair() {
    let world = World::new();
    let expected = backups(&world, 5);
    let gone = world.backup(&[100, 101, 102]);
    world.forget(gone);
    prune(&world.repository, prune_options(24)).unwrap();
    let marked = world.repository.load_index().unwrap().marked().len();
    assert!(marked > 0);
    let plan = plan_index(&world.repository, true).unwrap();
    let lock = lock::acquire(&world.repository, LockMode::Exclusive, LockWait::default()).unwrap();
    apply_index(&world.repository, &lock, &plan).unwrap();
    assert_eq!(
        world.repository.load_index().unwrap().marked().len(),
        marked
    );
    assert_whole(&world.repository, &expected, "with marks");
}

#[test]
fn what_is_only_out_of_reach_is_not_given_up() {
    use lifeboat_backend::{Call, Fault, FaultRule, Faulty};
    use lifeboat_model::ErrorKind;
    let world = World::new();
    backups(&world, 5);
    for kind in [ErrorKind::Denied, ErrorKind::Unreachable, ErrorKind::Io] {
        for call in [Call::Read, Call::Load, Call::Size, Call::List] {
            for file in [FileKind::Pack, FileKind::Index, FileKind::Snapshot] {
                let faulty = std::sync::Arc::new(Faulty::new(world.memory.clone()));
                let repository = world.through(faulty.clone(), 4);
                faulty.add(FaultRule::every(call, Fault::Error(kind)).of(file));
                let plan = plan_snapshots(&repository);
                let is_safe = plan.as_ref().map_or(true, |plan| plan.lost.is_empty());
                assert!(is_safe, "{call:?} of {file}: {kind}");
                let checked = check(&repository);
                let is_safe = checked.map_or(true, |(checked, _)| checked.is_whole());
                assert!(is_safe, "{call:?} of {file}: {kind}");
                let plan = plan_index(&repository, true);
                let is_safe = plan.map_or(true, |plan| {
                    plan.broken_files.is_empty()
                        && plan.missing.is_empty()
                        && plan.unreadable.is_empty()
                });
                assert!(is_safe, "{call:?} of {file}: {kind}");
            }
        }
    }
}
