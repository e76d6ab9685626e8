//! What comes out of a repository is what went in: dumped, in part, restored, compared.

use std::sync::Arc;

use lifeboat_engine::backup::Change;
use lifeboat_engine::{Existing, RestoreTarget, compare, place, restore};
use lifeboat_model::Extent;
use lifeboat_testkit::{Content, DiskPattern, MappedDisk, Mapping, MemoryTarget, SeededEntropy};

use crate::world::{World, small_sizes};

#[test]
fn every_range_is_dumped_alike() {
    let world = World::new(1, small_sizes());
    let disk = DiskPattern::new(5, (2 << 20) + 77).disk();
    let bytes = disk.bytes();
    let source = Arc::new(MappedDisk::new(disk, Mapping::Holes));
    let snapshot = world
        .backup(source, Change::Unknown)
        .unwrap()
        .snapshot
        .unwrap();
    let entropy = SeededEntropy::new(2);
    for _ in 0..60 {
        let start = entropy.below(bytes.len() as u64);
        let range = Extent::at(start, 1 + entropy.below(300_000)).unwrap();
        let end = bytes.len().min(range.end() as usize);
        let expected = &bytes[start as usize..end];
        assert!(world.dumped_range(snapshot, range) == expected, "{range:?}");
    }
}

#[test]
fn only_what_differs_is_written_to_a_disk_that_is_there() {
    let world = World::new(1, small_sizes());
    let disk = DiskPattern::new(6, 4 << 20).disk();
    let bytes = disk.bytes();
    let source = Arc::new(MappedDisk::new(disk, Mapping::Holes));
    let snapshot = world
        .backup(source, Change::Unknown)
        .unwrap()
        .snapshot
        .unwrap();
    let mut there = bytes.clone();
    there[1_000_000] ^= 1;
    there[3_000_000..3_000_100].fill(0x77);
    let target = MemoryTarget::holding(there);
    let index = world.repository.load_index().unwrap();
    let content = place(&index, &world.node(snapshot)).unwrap();
    let to = RestoreTarget {
        writer: &target,
        existing: Existing::Compare,
    };
    let plan = restore::plan(&world.repository, content, to).unwrap();
    assert!(
        plan.write_bytes <= 3 * u64::from(small_sizes().max()),
        "{}",
        plan.write_bytes
    );
    restore::apply(&world.repository, &index, &plan, to).unwrap();
    assert!(target.into_bytes() == bytes);
}

#[test]
fn a_comparison_finds_exactly_the_chunks_that_differ() {
    let world = World::new(1, small_sizes());
    let mut disk = DiskPattern::new(7, 3 << 20).disk();
    let source = |disk: &lifeboat_testkit::PatternDisk| {
        Arc::new(MappedDisk::new(disk.clone(), Mapping::Holes))
    };
    let snapshot = world
        .backup(source(&disk), Change::Unknown)
        .unwrap()
        .snapshot
        .unwrap();
    let index = world.repository.load_index().unwrap();
    let content = place(&index, &world.node(snapshot)).unwrap();
    let environment = world.repository.environment();
    assert!(
        compare(environment, &content, &*source(&disk))
            .unwrap()
            .is_empty()
    );
    let area = Extent::at(1 << 20, 10).unwrap();
    disk.write(area, Content::Random(99));
    let differing = compare(environment, &content, &*source(&disk)).unwrap();
    assert!(differing.touches(area));
    assert!(differing.byte_count() <= 1 << 20);
    disk.resize(1 << 19);
    let shorter = compare(environment, &content, &*source(&disk)).unwrap();
    assert!(shorter.touches(Extent::new(1 << 19, 3 << 20).unwrap()));
    assert_eq!(shorter.iter().last().unwrap().end(), 3 << 20);
}

/// Data of just more than the buffer of a worker, then a hole, then data again.
#[test]
fn holes_may_begin_where_a_worker_ends() {
    for blocks in 250..275 {
        let mut disk = lifeboat_testkit::PatternDisk::empty((4 << 20) + 99);
        let (front, back) = (blocks * 4096, 3 << 20);
        disk.write(Extent::new(0, front).unwrap(), Content::Random(blocks));
        disk.write(
            Extent::new(back, disk.size()).unwrap(),
            Content::Random(1000 + blocks),
        );
        for mapping in [Mapping::Holes, Mapping::AllData] {
            let world = World::new(blocks, small_sizes());
            let source = Arc::new(MappedDisk::new(disk.clone(), mapping));
            let snapshot = world
                .backup(source, Change::Unknown)
                .unwrap()
                .snapshot
                .unwrap();
            assert!(
                world.dumped(snapshot) == disk.bytes(),
                "{blocks} blocks, {mapping:?}"
            );
        }
    }
}
