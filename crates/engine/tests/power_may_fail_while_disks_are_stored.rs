//! Power may fail at any system call of a backup, a copy or an import: every snapshot restores and
//! the work can be done again.

use std::sync::Arc;
use std::time::Duration;

use lifeboat_backend::{ArchiveReader, ArchiveWriter, Backend, Memory};
use lifeboat_engine::backup::Change;
use lifeboat_engine::copy::{CopyEnds, copy};
use lifeboat_engine::verify::{Subset, verify};
use lifeboat_format::SnapshotId;
use lifeboat_model::{Clock, Extent, ExtentSet};
use lifeboat_repository::{Environment, LockMode, LockWait, Repository, check, lock, snapshots};
use lifeboat_testkit::crash::{CrashState, Crashed, Look};
use lifeboat_testkit::{
    Content, DiskPattern, Effort, ManualClock, MappedDisk, Mapping, PatternDisk,
};

use crate::world::{World, environment, init_options, password, small_sizes};

/// Snapshots with the bytes of their disk.
type Stored = Vec<(SnapshotId, Vec<u8>)>;

/// One thread, so that the calls come in the same order every time.
fn alone(clock: &Arc<ManualClock>, seed: u64) -> Environment {
    let mut environment = environment(clock, seed);
    environment.threads = 1;
    environment
}

/// A process that is dead afterwards.
fn doomed(clock: &Arc<ManualClock>) -> Environment {
    let mut environment = alone(clock, 50);
    environment.owner.pid = 10_050;
    environment
}

/// The next process: at once after a kill, after half an hour and a boot where power was lost.
fn survivor(clock: &Arc<ManualClock>, state: &CrashState) -> Environment {
    let clock = Arc::new(ManualClock::new(clock.now()));
    let mut environment = alone(&clock, 60);
    environment.owner.is_alive = |pid| pid < 10_000;
    if state.is_power_loss {
        // Locks of a process of another boot are void for everybody after six and a half hours.
        clock.advance(Duration::from_secs(7 * 3600));
        environment.owner.instance = "00fe".to_owned();
    }
    environment
}

/// A world on a place, with small packs that one thread stores.
fn world(place: Arc<dyn Backend>, clock: &Arc<ManualClock>, environment: Environment) -> World {
    let repository = Repository::open(place, &password(), environment).unwrap();
    let mut world = World::of(repository, Arc::clone(clock), small_sizes());
    world.write.uploads = 1;
    world.write.pack_bytes = 24 << 10;
    world
}

/// A disk of 600 KiB, more in a long run: data, holes, zeros.
fn disk() -> PatternDisk {
    let bytes = Effort::current().pick(600 << 10, 1800 << 10);
    let mut disk = DiskPattern::new(5, bytes).disk();
    disk.write(Extent::at(40 << 10, bytes / 2).unwrap(), Content::Random(1));
    disk
}

/// What the guest writes between two backups.
fn change() -> Extent {
    let bytes = Effort::current().pick(250 << 10, 900 << 10);
    Extent::at(100 << 10, bytes).unwrap()
}

fn mapped(disk: &PatternDisk) -> Arc<MappedDisk> {
    Arc::new(MappedDisk::new(disk.clone(), Mapping::Holes))
}

/// A repository in memory with `count` snapshots of one disk.
fn stored(count: u64) -> (Arc<Memory>, Arc<ManualClock>, PatternDisk, Stored) {
    let memory = Arc::new(Memory::new());
    let first = World::on(memory.clone(), 1, small_sizes());
    let clock = Arc::clone(&first.clock);
    let world = world(memory.clone(), &clock, alone(&clock, 2));
    let mut disk = disk();
    let mut stored = Stored::new();
    for seed in 0..count {
        let area = Extent::at(seed * (60 << 10), 50 << 10).unwrap();
        disk.write(area, Content::Random(100 + seed));
        let result = world.backup(mapped(&disk), Change::Unknown).unwrap();
        stored.push((result.snapshot.unwrap(), disk.bytes()));
    }
    (memory, clock, disk, stored)
}

/// Everything in the repository restores; what is in `stored` is there.
fn assert_whole(world: &World, stored: &Stored, others: &[Vec<u8>], when: &str) {
    for (id, bytes) in stored {
        assert!(
            world.dumped(*id) == *bytes,
            "{when}: {id} gives other bytes"
        );
    }
    for snapshot in snapshots::list(&world.repository).unwrap() {
        let bytes = world.dumped(snapshot.id);
        let is_known = others.contains(&bytes) || stored.iter().any(|(_, disk)| *disk == bytes);
        assert!(is_known, "{when}: {} gives other bytes", snapshot.id);
    }
    let (checked, index) = check(&world.repository).unwrap();
    assert!(checked.is_whole(), "{when}: {:?}", checked.findings);
    let verified = verify(&world.repository, &index, Subset::All).unwrap();
    assert_eq!(verified.findings, [], "{when}");
}

/// A piece of work and what it must never harm.
struct Trial<'a> {
    name: &'static str,
    memory: &'a Memory,
    clock: &'a Arc<ManualClock>,
    /// There before.
    stored: &'a Stored,
    /// What the work may add.
    added: &'a [Vec<u8>],
    work: &'a dyn Fn(&World),
}

impl Trial<'_> {
    fn run(&self, limit: usize) {
        let (crashed, place) = Crashed::begin(self.name, Some(self.memory));
        (self.work)(&world(place, self.clock, doomed(self.clock)));
        crashed.judge(limit, |state, look| self.judge(state, look));
    }

    fn judge(&self, state: &CrashState, look: &Look<'_>) {
        let when = format!("{}: {}", self.name, state.when);
        let world = world(look.place(), self.clock, survivor(self.clock, state));
        assert_whole(&world, self.stored, self.added, &when);
        look.restic("correct horse", &when);
        (self.work)(&world);
        let when = format!("{when}, done again");
        assert_whole(&world, self.stored, self.added, &when);
        let listed = snapshots::list(&world.repository).unwrap();
        let found: Vec<_> = listed.iter().map(|s| world.dumped(s.id)).collect();
        assert!(self.added.iter().all(|disk| found.contains(disk)), "{when}");
        look.restic("correct horse", &when);
    }
}

#[test]
fn of_a_first_backup() {
    let (memory, clock, mut disk, none) = stored(0);
    disk.write(change(), Content::Random(7));
    Trial {
        name: "first backup of a disk",
        memory: &memory,
        clock: &clock,
        stored: &none,
        added: &[disk.bytes()],
        work: &|world| drop(world.backup(mapped(&disk), Change::Unknown).unwrap()),
    }
    .run(150);
}

#[test]
fn of_an_incremental_backup() {
    let (memory, clock, mut disk, stored) = stored(2);
    disk.write(change(), Content::Random(7));
    let parent = stored[1].0;
    let changed: ExtentSet = [change()].into_iter().collect();
    Trial {
        name: "incremental backup of a disk",
        memory: &memory,
        clock: &clock,
        stored: &stored,
        added: &[disk.bytes()],
        work: &|world| {
            let since = world.since(parent, changed.clone());
            world.backup(mapped(&disk), since).unwrap();
        },
    }
    .run(150);
}

fn copy_all(source: &Repository, target: &World) {
    let index = source.load_index().unwrap();
    let lock = lock::acquire(&target.repository, LockMode::Shared, LockWait::default()).unwrap();
    let ends = CopyEnds {
        source,
        source_index: &index,
        target: &target.repository,
        target_lock: &lock,
    };
    copy(ends, &snapshots::list(source).unwrap(), target.write).unwrap();
}

/// A repository with a snapshot of its own, into which others are carried.
fn judge_copy(name: &'static str, source: &Repository, added: &Stored) {
    let (memory, clock, _, stored) = stored(1);
    let mut disks: Vec<Vec<u8>> = added.iter().map(|(_, bytes)| bytes.clone()).collect();
    disks.dedup();
    Trial {
        name,
        memory: &memory,
        clock: &clock,
        stored: &stored,
        added: &disks,
        work: &|world| copy_all(source, world),
    }
    .run(150);
}

#[test]
fn of_a_copy() {
    let (memory, clock, _, stored) = stored(4);
    let source = world(memory, &clock, alone(&clock, 8));
    judge_copy("copy", &source.repository, &stored);
}

#[test]
fn of_an_import() {
    let (memory, clock, _, stored) = stored(4);
    let source = world(memory, &clock, alone(&clock, 8));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.tar");
    let writer = Arc::new(ArchiveWriter::create(&path, &*clock).unwrap());
    let inside = Repository::init(
        writer.clone(),
        &password(),
        &init_options(),
        alone(&clock, 9),
    );
    let inside = World::of(inside.unwrap(), Arc::clone(&clock), small_sizes());
    copy_all(&source.repository, &inside);
    drop(inside);
    writer.finish().unwrap();
    let archive: Arc<dyn Backend> = Arc::new(ArchiveReader::open(&path).unwrap());
    let archive = Repository::open(archive, &password(), alone(&clock, 10)).unwrap();
    judge_copy("import of an archive", &archive, &stored);
}
