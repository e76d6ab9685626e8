//! A dry run counts what a backup would add and leaves the repository as it is.

use std::sync::Arc;

use lifeboat_backend::Memory;
use lifeboat_engine::backup::Change;
use lifeboat_testkit::{DiskPattern, MappedDisk, Mapping};

use crate::world::{World, small_sizes};

#[test]
fn the_repository_has_the_same_files() {
    let memory = Arc::new(Memory::new());
    let world = World::on(memory.clone(), 1, small_sizes());
    let disk = DiskPattern::new(3, 4 << 20).disk();
    let source = || Arc::new(MappedDisk::new(disk.clone(), Mapping::Holes));
    let before = memory.files();
    let trial = world.backup_as(source(), Change::Unknown, true).unwrap();
    assert_eq!(memory.files(), before);
    assert_eq!(trial.snapshot, None);
    let real = world.backup(source(), Change::Unknown).unwrap();
    assert_eq!(trial.disks[0].root, real.disks[0].root);
    assert_eq!(trial.totals.data_blobs, real.totals.data_blobs);
    assert_eq!(trial.totals.added, real.totals.added);
}
