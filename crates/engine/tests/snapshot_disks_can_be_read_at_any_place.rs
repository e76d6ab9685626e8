//! A disk of a snapshot gives the disk's bytes wherever and by however many threads it is read.

use std::sync::Arc;

use lifeboat_backend::{Backend, FileHandle, FileKind, Memory};
use lifeboat_disk::{DiskReader, ExtentState};
use lifeboat_engine::backup::Change;
use lifeboat_engine::{ChunkCache, SnapshotDisk, place};
use lifeboat_testkit::{DiskPattern, MappedDisk, Mapping, SeededEntropy};

use crate::world::{World, small_sizes};

const SIZE: u64 = 6 << 20;

/// A stored disk, its bytes, and the way to read it.
fn stored(seed: u64, cache_bytes: usize) -> (Arc<Memory>, Vec<u8>, SnapshotDisk) {
    let backend = Arc::new(Memory::new());
    let world = World::on(
        Arc::clone(&backend) as Arc<dyn Backend>,
        seed,
        small_sizes(),
    );
    let pattern = DiskPattern::new(seed, SIZE).disk();
    let bytes = pattern.bytes();
    let source = Arc::new(MappedDisk::new(pattern, Mapping::Holes));
    let saved = world.backup(source, Change::Unknown).unwrap();
    let index = world.repository.load_index().unwrap();
    let content = place(&index, &world.node(saved.snapshot.unwrap())).unwrap();
    let (repository, index) = (Arc::new(world.repository), Arc::new(index));
    let cache = ChunkCache::new(cache_bytes);
    let disk = SnapshotDisk::new(repository, index, content, cache, "vda");
    (backend, bytes, disk)
}

#[test]
fn reads_at_random_places_by_several_threads_are_right() {
    for cache_bytes in [0, 256 << 10, 64 << 20] {
        let (_, bytes, disk) = stored(7, cache_bytes);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (bytes, disk) = (&bytes, &disk);
                scope.spawn(move || {
                    let entropy = SeededEntropy::new(seed);
                    for _ in 0..100 {
                        let offset = entropy.below(SIZE) as usize;
                        let length = entropy.below(200_000).min(SIZE - offset as u64) as usize;
                        let mut buffer = vec![0xa5; length];
                        disk.read_at(offset as u64, &mut buffer).unwrap();
                        assert!(
                            buffer == bytes[offset..offset + length],
                            "{offset} {length}"
                        );
                    }
                });
            }
        });
    }
}

#[test]
fn a_reader_in_order_gets_everything() {
    let (_, bytes, disk) = stored(8, 1 << 20);
    let mut read = Vec::new();
    while read.len() < bytes.len() {
        let mut buffer = vec![0; (bytes.len() - read.len()).min(100_000)];
        disk.read_at(read.len() as u64, &mut buffer).unwrap();
        read.extend(buffer);
    }
    assert!(read == bytes);
    assert!(disk.read_at(SIZE - 1, &mut [0; 2]).is_err());
}

#[test]
fn what_is_called_zero_is_zero_and_the_map_covers_the_disk() {
    let (_, bytes, disk) = stored(9, 1 << 20);
    let (mut offset, mut zeros) = (0, 0);
    while offset < SIZE {
        let mapped = disk.next_extent(offset).unwrap();
        assert_eq!(mapped.extent.start(), offset);
        let range = offset as usize..mapped.extent.end() as usize;
        if mapped.state == ExtentState::Zero {
            zeros += range.len();
            assert!(bytes[range].iter().all(|byte| *byte == 0));
        }
        offset = mapped.extent.end();
    }
    assert!(zeros > 1 << 20);
    assert!(disk.next_extent(SIZE).is_err());
}

#[test]
fn damage_is_an_error_and_never_other_bytes() {
    let (backend, bytes, disk) = stored(10, 0);
    let packs = backend.list(FileKind::Pack).unwrap();
    let largest = packs.iter().max_by_key(|pack| pack.size).unwrap();
    let handle = FileHandle {
        kind: FileKind::Pack,
        id: largest.id,
    };
    backend.remove(handle).unwrap();
    let mut failed = 0;
    for offset in (0..SIZE).step_by(64 << 10) {
        let mut buffer = vec![0; 64 << 10];
        match disk.read_at(offset, &mut buffer) {
            Ok(()) => {
                let range = offset as usize..offset as usize + buffer.len();
                assert!(buffer == bytes[range], "{offset}");
            }
            Err(error) => {
                failed += 1;
                assert!(error.to_string().contains("reading vda"), "{error}");
            }
        }
    }
    assert!(failed > 0);
}
