//! A copy brings whole snapshots, once, and may be killed between any two effects.

use std::sync::Arc;

use lifeboat_backend::{Backend, Memory, Recording};
use lifeboat_engine::backup::Change;
use lifeboat_engine::copy::{Copied, CopyEnds, copy};
use lifeboat_engine::verify::{Subset, verify};
use lifeboat_format::SnapshotId;
use lifeboat_repository::{LockMode, LockWait, Repository, check, lock, snapshots};
use lifeboat_testkit::{Content, DiskPattern, MappedDisk, Mapping};

use crate::world::{World, environment, password, small_sizes};

/// A source with two snapshots of a disk, and what the disk held.
fn source() -> (World, Vec<(SnapshotId, Vec<u8>)>) {
    let world = World::new(1, small_sizes());
    let mut disk = DiskPattern::new(5, 1 << 20).disk();
    let mut stored = Vec::new();
    for seed in 0..2 {
        let area = lifeboat_model::Extent::at(seed * 300_000, 100_000).unwrap();
        disk.write(area, Content::Random(seed));
        let source = Arc::new(MappedDisk::new(disk.clone(), Mapping::Holes));
        let result = world.backup(source, Change::Unknown).unwrap();
        stored.push((result.snapshot.unwrap(), disk.bytes()));
    }
    (world, stored)
}

fn copy_all(source: &World, target: &Repository) -> Vec<Copied> {
    let index = source.repository.load_index().unwrap();
    let lock = lock::acquire(target, LockMode::Shared, LockWait::default()).unwrap();
    let ends = CopyEnds {
        source: &source.repository,
        source_index: &index,
        target,
        target_lock: &lock,
    };
    let wanted = snapshots::list(&source.repository).unwrap();
    copy(ends, &wanted, source.write).unwrap().0
}

fn assert_copied(source: &World, target: Repository, stored: &[(SnapshotId, Vec<u8>)]) {
    let world = World::of(target, Arc::clone(&source.clock), small_sizes());
    let (checked, index) = check(&world.repository).unwrap();
    assert!(checked.is_whole(), "{:?}", checked.findings);
    assert_eq!(
        verify(&world.repository, &index, Subset::All)
            .unwrap()
            .findings,
        []
    );
    for snapshot in snapshots::list(&world.repository).unwrap() {
        let origin = snapshot.file.original.unwrap();
        let (_, bytes) = stored.iter().find(|(id, _)| *id == origin).unwrap();
        assert!(world.dumped(snapshot.id) == *bytes);
    }
}

#[test]
fn whenever_it_is_killed() {
    let (source, stored) = source();
    let empty = Arc::new(Memory::new());
    let target = World::on(empty.clone(), 2, small_sizes());
    drop(target);
    let open = |backend: Arc<dyn Backend>, seed| {
        Repository::open(backend, &password(), environment(&source.clock, seed)).unwrap()
    };
    let recording = Arc::new(Recording::new(Arc::new(empty.duplicate())));
    let copied = copy_all(&source, &open(recording.clone(), 3));
    assert!(copied.iter().all(|copied| copied.target.is_some()));
    let effects = recording.effects();
    assert!(effects.len() > 6);
    for count in 0..=effects.len() {
        let place = Arc::new(empty.duplicate());
        place.replay(&effects[..count]).unwrap();
        assert_copied(&source, open(place.clone(), 4), &stored);
        copy_all(&source, &open(place.clone(), 5));
        let target = open(place.clone(), 6);
        assert_eq!(snapshots::list(&target).unwrap().len(), stored.len());
        let again = copy_all(&source, &target);
        assert!(
            again.iter().all(|copied| copied.target.is_none()),
            "nothing comes twice"
        );
        assert_copied(&source, target, &stored);
    }
}
