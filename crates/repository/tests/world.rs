//! A repository in memory and snapshots whose content is known.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_backend::{Backend, Memory};
use lifeboat_format::{
    BlobId, BlobKind, IndexId, Node, NodeKind, ScryptCost, SnapshotFile, SnapshotId, Tree,
};
use lifeboat_model::{CancelToken, Clock, Entropy, Progress, Secret};
use lifeboat_repository::prune::{self, PruneOptions, Pruned};
use lifeboat_repository::{
    BlobReader, BlobWriter, Environment, Error, Index, InitOptions, Lock, LockMode, LockWait,
    Owner, Repository, Result, WriteOptions, check, commit, lock, snapshots, write,
};
use lifeboat_testkit::{ManualClock, SeededEntropy};

/// How many cases a property is tried with: `usual`, times what `LIFEBOAT_CASES` says.
pub(crate) fn cases(usual: u32) -> u32 {
    let factor = std::env::var("LIFEBOAT_CASES").ok();
    usual * factor.and_then(|text| text.parse().ok()).unwrap_or(1)
}

pub(crate) fn password() -> Secret {
    Secret::new(b"correct horse".to_vec())
}

pub(crate) const COST: ScryptCost = ScryptCost { n: 2, r: 8, p: 1 };

pub(crate) fn init_options() -> InitOptions {
    InitOptions {
        cost: COST,
        ..InitOptions::default()
    }
}

/// Processes below 10,000 run, the others are dead.
pub(crate) fn owner(pid: u32) -> Owner {
    Owner {
        hostname: "host".to_owned(),
        username: "root".to_owned(),
        pid,
        uid: 0,
        gid: 0,
        instance: "00ff".to_owned(),
        is_alive: |pid| pid < 10_000,
    }
}

pub(crate) fn environment(clock: &Arc<ManualClock>, seed: u64) -> Environment {
    Environment {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        entropy: Arc::new(SeededEntropy::new(seed)),
        cancel: CancelToken::new(),
        progress: Arc::new(Progress::new()),
        owner: owner(100 + seed as u32),
        threads: 1,
    }
}

/// Small packs, so that few blobs fill several.
pub(crate) fn small_packs() -> WriteOptions {
    WriteOptions {
        pack_bytes: 8 << 10,
        level: Some(1),
        uploads: 1,
        ..WriteOptions::default()
    }
}

/// The bytes of a blob: some compress, some do not.
pub(crate) fn blob(seed: u64) -> Vec<u8> {
    let entropy = SeededEntropy::new(seed);
    let length = 500 + entropy.below(3000) as usize;
    let mut bytes = entropy.bytes(length);
    if seed.is_multiple_of(3) {
        bytes[length / 2..].fill(b'x');
    }
    bytes
}

/// A run on the way: its lock is held and its index loaded.
pub(crate) struct Run<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) lock: Lock<'a>,
    pub(crate) index: Index,
    pub(crate) options: WriteOptions,
}

/// What a run has stored and not recorded yet.
pub(crate) struct Stored {
    pub(crate) file: SnapshotFile,
    pub(crate) seen: Vec<IndexId>,
}

impl<'a> Run<'a> {
    pub(crate) fn begin(repository: &'a Repository) -> Result<Self> {
        Ok(Self {
            lock: lock::acquire(repository, LockMode::Shared, LockWait::default())?,
            index: repository.load_index()?,
            repository,
            options: small_packs(),
        })
    }

    pub(crate) fn store(&self, seeds: &[u64]) -> Result<Stored> {
        let (tree, _, written) = write(
            self.repository,
            &self.index,
            &self.lock,
            self.options,
            |writer| put_all(writer, seeds),
        )?;
        let mut file = SnapshotFile::new(self.repository.environment().clock.now().into());
        file.tree = tree;
        let seen = self.index.settled_files().chain(written).collect();
        Ok(Stored { file, seen })
    }

    pub(crate) fn commit(&self, stored: &Stored) -> Result<SnapshotId> {
        commit(self.repository, &self.lock, &stored.file, &stored.seen)
    }
}

/// Stores a folder with one file made of these blobs; gives the root tree.
pub(crate) fn put_all(writer: &BlobWriter<'_>, seeds: &[u64]) -> Result<BlobId> {
    let mut bench = writer.bench();
    let mut file = Node::new(b"file", NodeKind::File);
    let mut content = Vec::new();
    for seed in seeds {
        let bytes = blob(*seed);
        let id = BlobId::of(&bytes);
        writer.put(BlobKind::Data, &id, &bytes, &mut bench)?;
        content.push(id);
        file.size += bytes.len() as u64;
    }
    file.set_content(content);
    let mut folder = Node::new(b"folder", NodeKind::Dir);
    let mut put = |node: Node| {
        let json = Tree { nodes: vec![node] }.encode().unwrap();
        let id = BlobId::of(&json);
        writer.put(BlobKind::Tree, &id, &json, &mut bench)?;
        Ok::<BlobId, Error>(id)
    };
    folder.subtree = Some(put(file)?);
    put(folder)
}

pub(crate) fn backup(repository: &Repository, seeds: &[u64]) -> Result<SnapshotId> {
    let run = Run::begin(repository)?;
    let stored = run.store(seeds)?;
    run.commit(&stored)
}

/// The bytes of a snapshot's file.
pub(crate) fn read(repository: &Repository, snapshot: SnapshotId) -> Result<Vec<u8>> {
    read_by(repository, &repository.load_index()?, snapshot)
}

pub(crate) fn read_by(
    repository: &Repository,
    index: &Index,
    snapshot: SnapshotId,
) -> Result<Vec<u8>> {
    let root = snapshots::load(repository, snapshot)?.file.tree;
    let mut reader = BlobReader::new(repository, index);
    let folder = reader.tree(&root)?;
    let Some(subtree) = folder.find(b"folder").and_then(|node| node.subtree) else {
        return Ok(Vec::new());
    };
    let tree = reader.tree(&subtree)?;
    let mut bytes = Vec::new();
    for id in tree
        .find(b"file")
        .iter()
        .flat_map(|file| file.content_ids())
    {
        bytes.extend(reader.get(BlobKind::Data, id)?);
    }
    Ok(bytes)
}

/// What every snapshot must give back.
pub(crate) type Expected = BTreeMap<SnapshotId, Vec<u64>>;

pub(crate) fn bytes_of(seeds: &[u64]) -> Vec<u8> {
    seeds.iter().flat_map(|seed| blob(*seed)).collect()
}

/// Every snapshot gives its bytes and the repository is whole.
pub(crate) fn assert_whole(repository: &Repository, expected: &Expected, when: &str) {
    for (snapshot, seeds) in expected {
        let bytes = read(repository, *snapshot);
        let bytes = bytes.unwrap_or_else(|error| panic!("{when}: {snapshot}: {error}"));
        assert!(
            bytes == bytes_of(seeds),
            "{when}: {snapshot} gives other bytes"
        );
    }
    let (checked, _) = check(repository).unwrap();
    assert!(checked.is_whole(), "{when}: {:?}", checked.findings);
}

pub(crate) fn prune_options(grace_hours: u64) -> PruneOptions {
    PruneOptions {
        grace: Duration::from_secs(grace_hours * 3600),
        write: small_packs(),
        ..PruneOptions::default()
    }
}

pub(crate) fn prune(repository: &Repository, options: PruneOptions) -> Result<Pruned> {
    let mode = match options.is_instant {
        true => LockMode::Exclusive,
        false => LockMode::Prune,
    };
    let lock = lock::acquire(repository, mode, LockWait::default())?;
    let plan = prune::plan(repository, &lock, options)?;
    prune::apply(repository, &lock, &plan)
}

pub(crate) struct World {
    pub(crate) memory: Arc<Memory>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) repository: Repository,
}

impl World {
    pub(crate) fn new() -> Self {
        let (memory, clock) = (Arc::new(Memory::new()), Arc::new(ManualClock::default()));
        let backend = Arc::clone(&memory) as Arc<dyn Backend>;
        let environment = environment(&clock, 1);
        let repository = Repository::init(backend, &password(), &init_options(), environment);
        Self {
            memory,
            clock,
            repository: repository.unwrap(),
        }
    }

    /// The same repository seen through `backend` by another process.
    pub(crate) fn through(&self, backend: Arc<dyn Backend>, seed: u64) -> Repository {
        Repository::open(backend, &password(), environment(&self.clock, seed)).unwrap()
    }

    /// Another process at the same repository.
    pub(crate) fn other(&self, seed: u64) -> Repository {
        self.through(self.memory.clone(), seed)
    }

    pub(crate) fn hours(&self, hours: u64) {
        self.clock.advance(Duration::from_secs(hours * 3600));
    }

    pub(crate) fn backup(&self, seeds: &[u64]) -> SnapshotId {
        backup(&self.repository, seeds).unwrap()
    }

    pub(crate) fn forget(&self, snapshot: SnapshotId) {
        snapshots::remove(&self.repository, snapshot).unwrap();
    }

    /// Bytes of all packs.
    pub(crate) fn pack_bytes(&self) -> u64 {
        let packs = self.repository.list(lifeboat_backend::FileKind::Pack);
        packs.unwrap().iter().map(|pack| pack.size).sum()
    }
}

/// Random bytes from a seed, for whoever needs some.
pub(crate) fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededEntropy::new(seed).fill(&mut bytes);
    bytes
}
