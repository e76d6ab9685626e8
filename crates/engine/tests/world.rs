//! A repository in memory, and disks that go in and out of it.

use std::sync::Arc;

use lifeboat_backend::{Backend, Memory};
use lifeboat_chunker::ChunkSizes;
use lifeboat_disk::DiskReader;
use lifeboat_engine::backup::{
    BackupRequest, BackupResult, Change, DiskOutcome, DiskTask, ParentDisk, PlainFile, backup,
};
use lifeboat_engine::restore::{apply, plan};
use lifeboat_engine::{Existing, RestoreTarget, dump, place};
use lifeboat_format::{Node, ScryptCost, SnapshotFile, SnapshotId};
use lifeboat_model::{CancelToken, Clock, Extent, ExtentSet, Progress, Secret};
use lifeboat_repository::{
    BlobReader, Environment, InitOptions, LockMode, LockWait, Owner, Repository, WriteOptions,
    lock, snapshots,
};
use lifeboat_testkit::{ManualClock, MemoryTarget, SeededEntropy};

/// How many cases a property is tried with: `usual`, times what `LIFEBOAT_CASES` says.
pub(crate) fn cases(usual: u32) -> u32 {
    let factor = std::env::var("LIFEBOAT_CASES").ok();
    usual * factor.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// 16 KiB, 16 KiB, 64 KiB.
pub(crate) fn small_sizes() -> ChunkSizes {
    ChunkSizes::new(16 << 10, 16 << 10, 64 << 10).unwrap()
}

pub(crate) fn password() -> Secret {
    Secret::new(b"correct horse".to_vec())
}

pub(crate) fn environment(clock: &Arc<ManualClock>, seed: u64) -> Environment {
    Environment {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        entropy: Arc::new(SeededEntropy::new(seed)),
        cancel: CancelToken::new(),
        progress: Arc::new(Progress::new()),
        owner: Owner {
            hostname: "host".to_owned(),
            username: "root".to_owned(),
            pid: 4711,
            uid: 0,
            gid: 0,
            instance: "00ff".to_owned(),
            is_alive: |_| true,
        },
        threads: 2,
    }
}

pub(crate) fn init_options() -> InitOptions {
    InitOptions {
        cost: ScryptCost { n: 2, r: 8, p: 1 },
        ..InitOptions::default()
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) repository: Repository,
    pub(crate) write: WriteOptions,
    pub(crate) sizes: ChunkSizes,
}

impl World {
    pub(crate) fn new(seed: u64, sizes: ChunkSizes) -> Self {
        Self::on(Arc::new(Memory::new()), seed, sizes)
    }

    pub(crate) fn on(backend: Arc<dyn Backend>, seed: u64, sizes: ChunkSizes) -> Self {
        let clock = Arc::new(ManualClock::default());
        let environment = environment(&clock, seed);
        let repository =
            Repository::init(backend, &password(), &init_options(), environment).unwrap();
        Self::of(repository, clock, sizes)
    }

    pub(crate) fn of(repository: Repository, clock: Arc<ManualClock>, sizes: ChunkSizes) -> Self {
        let write = WriteOptions {
            pack_bytes: 256 << 10,
            level: Some(1),
            ..WriteOptions::default()
        };
        Self {
            clock,
            repository,
            write,
            sizes,
        }
    }

    pub(crate) fn backup(
        &self,
        source: Arc<dyn DiskReader>,
        change: Change,
    ) -> lifeboat_engine::Result<BackupResult> {
        self.backup_as(source, change, false)
    }

    pub(crate) fn backup_as(
        &self,
        source: Arc<dyn DiskReader>,
        change: Change,
        is_dry_run: bool,
    ) -> lifeboat_engine::Result<BackupResult> {
        let lock = lock::acquire(&self.repository, LockMode::Shared, LockWait::default()).unwrap();
        let index = self.repository.load_index()?;
        let describe = |disks: &[DiskOutcome]| {
            Ok(PlainFile {
                name: "lifeboat.json".to_owned(),
                content: format!("{} disks", disks.len()).into_bytes(),
            })
        };
        let request = BackupRequest {
            disks: vec![DiskTask {
                file_name: "vda.raw".to_owned(),
                source,
                change,
            }],
            files: Vec::new(),
            describe: &describe,
            label: SnapshotFile::new(self.clock.now().into()),
            sizes: self.sizes,
            write: self.write,
            is_dry_run,
        };
        backup(&self.repository, &index, &lock, request)
    }

    /// The disk's node in a snapshot.
    pub(crate) fn node(&self, snapshot: SnapshotId) -> Node {
        let index = self.repository.load_index().unwrap();
        let mut reader = BlobReader::new(&self.repository, &index);
        let root = snapshots::load(&self.repository, snapshot)
            .unwrap()
            .file
            .tree;
        let disks = reader.tree(&root).unwrap().find(b"disks").unwrap().subtree;
        let disks = reader.tree(&disks.unwrap()).unwrap();
        disks.find(b"vda.raw").unwrap().clone()
    }

    pub(crate) fn since(&self, parent: SnapshotId, changed: ExtentSet) -> Change {
        let index = self.repository.load_index().unwrap();
        let parent = ParentDisk::new(&self.node(parent), &index).unwrap();
        Change::Since { parent, changed }
    }

    pub(crate) fn dumped(&self, snapshot: SnapshotId) -> Vec<u8> {
        let node = self.node(snapshot);
        match Extent::new(0, node.size) {
            Some(whole) => self.dumped_range(snapshot, whole),
            None => Vec::new(),
        }
    }

    pub(crate) fn dumped_range(&self, snapshot: SnapshotId, range: Extent) -> Vec<u8> {
        let index = self.repository.load_index().unwrap();
        let content = place(&index, &self.node(snapshot)).unwrap();
        let mut bytes = Vec::new();
        dump(&self.repository, &index, &content, range, &mut bytes).unwrap();
        bytes
    }

    pub(crate) fn restored(&self, snapshot: SnapshotId, target: MemoryTarget) -> Vec<u8> {
        let index = self.repository.load_index().unwrap();
        let content = place(&index, &self.node(snapshot)).unwrap();
        for existing in [Existing::Ignore, Existing::Compare] {
            let to = RestoreTarget {
                writer: &target,
                existing,
            };
            let planned = plan(&self.repository, content.clone(), to).unwrap();
            if existing == Existing::Compare {
                assert_eq!(planned.write_bytes, 0, "a restored disk holds everything");
            }
            apply(&self.repository, &index, &planned, to).unwrap();
        }
        target.into_bytes()
    }
}
