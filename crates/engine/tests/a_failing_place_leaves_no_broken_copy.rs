//! Whichever call of a copy or an import fails, at either end: success or a clear error, every
//! snapshot of the target restores, and the same again completes it.

use std::sync::Arc;

use lifeboat_backend::{
    ArchiveReader, ArchiveWriter, Backend, Call, Fault, FaultRule, Faulty, FileKind, Memory,
};
use lifeboat_engine::backup::Change;
use lifeboat_engine::copy::{CopyEnds, CopyItem, MadeBlob, copy_items};
use lifeboat_engine::verify::{Subset, verify};
use lifeboat_format::{BlobKind, SnapshotId, Tree};
use lifeboat_model::{ErrorKind, Extent};
use lifeboat_repository::{
    BlobReader, LockMode, LockWait, Repository, WriteOptions, check, lock, snapshots,
};
use lifeboat_testkit::{Content, DiskPattern, Effort, MappedDisk, Mapping, figure};

use crate::world::{World, environment, password, small_sizes};

/// Failures that the place tells, and transfers that end early.
///
/// To a caller a sync or a rename that failed is a save that failed, with or without its effect.
const TOLD: [(Option<Call>, Fault); 6] = [
    (None, Fault::Error(ErrorKind::Io)),
    (None, Fault::AnswerLost(ErrorKind::Io)),
    (None, Fault::Error(ErrorKind::Full)),
    (None, Fault::AnswerLost(ErrorKind::Full)),
    (Some(Call::Load), Fault::TruncatedRead(20)),
    (Some(Call::Read), Fault::TruncatedRead(20)),
];

/// Packs that are cut off or lost, by a target that breaks its promise.
const LOST: [Fault; 3] = [
    Fault::ShortWrite(100),
    Fault::TruncatedWrite(100),
    Fault::LyingSuccess,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Source,
    Target,
}

/// Where snapshots come from, where they go, and what their disks held.
struct Scene {
    source: Arc<dyn Backend>,
    empty: Memory,
    stored: Vec<(SnapshotId, Vec<u8>)>,
    is_import: bool,
    _folder: tempfile::TempDir,
}

fn write_options() -> WriteOptions {
    WriteOptions {
        pack_bytes: 64 << 10,
        level: Some(1),
        uploads: 1,
        ..WriteOptions::default()
    }
}

fn open(place: Arc<dyn Backend>, seed: u64) -> lifeboat_repository::Result<Repository> {
    let mut environment = environment(&Arc::default(), seed);
    environment.threads = 1;
    Repository::open(place, &password(), environment)
}

impl Scene {
    fn new(is_import: bool) -> Self {
        let memory = Arc::new(Memory::new());
        let mut world = World::on(memory.clone(), 1, small_sizes());
        world.write = write_options();
        let mut disk = DiskPattern::new(5, 200 << 10).disk();
        let mut stored = Vec::new();
        for seed in 0..2 {
            let area = Extent::at(seed * 60_000, 50_000).unwrap();
            disk.write(area, Content::Random(seed));
            let reader = Arc::new(MappedDisk::new(disk.clone(), Mapping::Holes));
            let result = world.backup(reader, Change::Unknown).unwrap();
            stored.push((result.snapshot.unwrap(), disk.bytes()));
        }
        let empty = Arc::new(Memory::new());
        drop(World::on(empty.clone(), 2, small_sizes()));
        let folder = tempfile::tempdir().unwrap();
        let source: Arc<dyn Backend> = match is_import {
            false => memory,
            true => {
                let path = folder.path().join("a.tar");
                let writer = ArchiveWriter::create(&path, &*world.clock).unwrap();
                writer.create().unwrap();
                for (file, content) in memory.files() {
                    writer.save(file, &content).unwrap();
                }
                writer.finish().unwrap();
                Arc::new(ArchiveReader::open(&path).unwrap())
            }
        };
        Self {
            source,
            empty: empty.duplicate(),
            stored,
            is_import,
            _folder: folder,
        }
    }

    /// What the commands `copy` and `import` do.
    fn bring(&self, source: Arc<dyn Backend>, target: Arc<dyn Backend>) -> Result<(), ErrorKind> {
        let told = |error: lifeboat_repository::Error| error.kind();
        let source = open(source, 3).map_err(told)?;
        let target = open(target, 4).map_err(told)?;
        let target_lock =
            lock::acquire(&target, LockMode::Shared, LockWait::default()).map_err(told)?;
        let source_index = source.load_index().map_err(told)?;
        let listed = snapshots::list(&source).map_err(told)?;
        let mut items: Vec<CopyItem> = listed.iter().map(CopyItem::whole).collect();
        if self.is_import {
            let mut reader = BlobReader::new(&source, &source_index);
            for item in &mut items {
                adopt(item, &mut reader).map_err(told)?;
            }
        }
        let ends = CopyEnds {
            source: &source,
            source_index: &source_index,
            target: &target,
            target_lock: &target_lock,
        };
        let copied = copy_items(ends, &items, write_options());
        copied.map(drop).map_err(|error| error.kind())
    }

    /// Every snapshot of the target gives a disk of the source.
    fn reads(&self, target: &Arc<Memory>) -> Result<usize, String> {
        let repository = open(target.clone(), 5).map_err(|e| e.to_string())?;
        let listed = snapshots::list(&repository).map_err(|e| e.to_string())?;
        let index = repository.load_index().map_err(|e| e.to_string())?;
        for snapshot in &listed {
            let origin = snapshot.file.original.unwrap();
            let (_, bytes) = self.stored.iter().find(|(id, _)| *id == origin).unwrap();
            let mut reader = BlobReader::new(&repository, &index);
            let read = disk(&mut reader, snapshot).map_err(|e| e.to_string())?;
            if read != *bytes {
                return Err(format!("{} gives other bytes", snapshot.id));
            }
        }
        Ok(listed.len())
    }

    fn is_whole(&self, target: &Arc<Memory>, when: &str) -> bool {
        let repository = open(target.clone(), 6).unwrap();
        let (checked, index) = check(&repository).unwrap_or_else(|e| panic!("{when}: {e}"));
        let verified = verify(&repository, &index, Subset::All).unwrap();
        checked.is_whole() && verified.findings.is_empty()
    }

    /// One run with a fault; gives the target, how it ended, and how often the fault struck.
    fn broken(&self, end: End, rule: FaultRule) -> (Arc<Memory>, Result<(), ErrorKind>, u64) {
        let target = Arc::new(self.empty.duplicate());
        let place: Arc<dyn Backend> = match end {
            End::Source => self.source.clone(),
            End::Target => target.clone(),
        };
        let faulty = Arc::new(Faulty::new(place));
        faulty.add(rule);
        let result = match end {
            End::Source => self.bring(faulty.clone(), target.clone()),
            End::Target => self.bring(self.source.clone(), faulty.clone()),
        };
        (target, result, faulty.fired())
    }
}

/// As an import does it that knows only the disks: another root over the same folder.
fn adopt(item: &mut CopyItem, reader: &mut BlobReader<'_>) -> lifeboat_repository::Result<()> {
    let mut root = reader.tree(&item.roots[0])?;
    root.nodes.retain(|node| node.subtree.is_some());
    let roots = root.nodes.iter().filter_map(|node| node.subtree).collect();
    let made = MadeBlob::new(BlobKind::Tree, Tree { nodes: root.nodes }.encode().unwrap());
    item.record.tree = made.id;
    (item.roots, item.made) = (roots, vec![made]);
    Ok(())
}

fn disk(
    reader: &mut BlobReader<'_>,
    snapshot: &lifeboat_repository::Snapshot,
) -> lifeboat_repository::Result<Vec<u8>> {
    let root = reader.tree(&snapshot.file.tree)?;
    let disks = root.find(b"disks").and_then(|node| node.subtree).unwrap();
    let disks = reader.tree(&disks)?;
    let mut bytes = Vec::new();
    for id in disks.find(b"vda.raw").unwrap().content_ids() {
        bytes.extend(reader.get(BlobKind::Data, id)?);
    }
    Ok(bytes)
}

/// Fails the n-th call for every n, in a sample for every fifth one; once, and from there on.
fn fail_anywhere(name: &str, scene: &Scene) {
    let kinds = [
        ErrorKind::Io,
        ErrorKind::Full,
        ErrorKind::Corrupt,
        ErrorKind::NotFound,
        ErrorKind::Denied,
    ];
    let mut states = 0;
    for (number, (call, fault)) in TOLD.into_iter().enumerate() {
        for (end, fail) in [
            (End::Source, 1),
            (End::Source, u64::MAX),
            (End::Target, 1),
            (End::Target, u64::MAX),
        ] {
            let step = Effort::current().pick(5, 1);
            for pass in (number as u64 % step..).step_by(step as usize) {
                let rule = FaultRule {
                    call,
                    kind: None,
                    pass,
                    fail,
                    fault,
                };
                let when = format!("{name}: {fault:?} at the {end:?}, {fail} calls from {pass} on");
                let (target, result, fired) = scene.broken(end, rule);
                if let Err(kind) = result {
                    assert!(kinds.contains(&kind), "{when}: {kind:?}");
                }
                let count = scene
                    .reads(&target)
                    .unwrap_or_else(|e| panic!("{when}: {e}"));
                let is_done = count == scene.stored.len();
                assert!(is_done || result.is_err(), "{when}: {count} snapshots");
                assert!(scene.is_whole(&target, &when), "{when}");
                let again = scene.bring(scene.source.clone(), target.clone());
                assert_eq!(again, Ok(()), "{when}, done again");
                assert_eq!(scene.reads(&target), Ok(scene.stored.len()), "{when}");
                states += 1;
                if fired == 0 {
                    assert_eq!(result, Ok(()), "{when}");
                    break;
                }
            }
        }
    }
    figure("backend faults", &format!("{name}: states"), states);
}

/// What a lying target has lost is found.
fn lose_any_pack(name: &str, scene: &Scene) {
    let mut states = 0;
    for fault in LOST {
        for pass in 0.. {
            let rule = FaultRule {
                call: Some(Call::Save),
                kind: Some(FileKind::Pack),
                pass,
                fail: 1,
                fault,
            };
            let when = format!("{name}: {fault:?} of pack {pass}");
            let (target, _, fired) = scene.broken(End::Target, rule);
            let is_lost = scene.reads(&target).is_err();
            let is_found = !scene.is_whole(&target, &when);
            assert!(!is_lost || is_found, "{when}: lost without a word");
            states += 1;
            if fired == 0 {
                break;
            }
        }
    }
    figure("backend faults", &format!("{name}: lost packs"), states);
}

#[test]
fn of_a_copy() {
    let scene = Scene::new(false);
    fail_anywhere("copy", &scene);
    lose_any_pack("copy", &scene);
}

#[test]
fn of_an_import() {
    let scene = Scene::new(true);
    fail_anywhere("import", &scene);
    lose_any_pack("import", &scene);
}
