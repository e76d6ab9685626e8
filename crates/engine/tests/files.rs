//! Restoring files: what a hostile repository, damage and interruptions may do.

mod damage_is_told_and_the_rest_restored;
mod interrupted_restores_go_on;
mod nothing_is_written_outside_the_target;
mod one_restore_at_a_time_in_a_folder;

use std::path::Path;
use std::sync::Arc;

use lifeboat_backend::{Backend, Faulty, Memory};
use lifeboat_engine::files::{
    ExistingFiles, FilesOptions, FilesPlan, FilesResult, FindingKind, Findings, apply, plan,
};
use lifeboat_format::{BlobId, BlobKind, Node, NodeKind, ScryptCost, Tree};
use lifeboat_model::{CancelToken, Progress, Secret};
use lifeboat_repository::{
    Environment, Index, InitOptions, LockMode, LockWait, Owner, Put, Repository, WriteOptions,
    lock, write,
};
use lifeboat_testkit::{ManualClock, SeededEntropy};

/// A repository in memory whose trees are made by hand.
struct World {
    faulty: Arc<Faulty>,
    memory: Arc<Memory>,
    repository: Repository,
    cancel: CancelToken,
}

impl World {
    fn new() -> Self {
        let memory = Arc::new(Memory::new());
        let faulty = Arc::new(Faulty::new(Arc::clone(&memory) as Arc<dyn Backend>));
        let cancel = CancelToken::new();
        let environment = Environment {
            clock: Arc::new(ManualClock::default()),
            entropy: Arc::new(SeededEntropy::new(59)),
            cancel: cancel.clone(),
            progress: Arc::new(Progress::new()),
            owner: Owner {
                hostname: "test".to_owned(),
                username: "test".to_owned(),
                pid: 1,
                uid: 0,
                gid: 0,
                instance: String::new(),
                is_alive: |_| true,
            },
            threads: 2,
        };
        let options = InitOptions {
            cost: ScryptCost { n: 16, r: 8, p: 1 },
            ..InitOptions::default()
        };
        let password = Secret::new(b"secret".to_vec());
        let backend = Arc::clone(&faulty) as Arc<dyn Backend>;
        let repository = Repository::init(backend, &password, &options, environment).unwrap();
        Self {
            faulty,
            memory,
            repository,
            cancel,
        }
    }

    fn index(&self) -> Index {
        self.repository.load_index().unwrap()
    }

    /// Stores blobs.
    fn put(&self, kind: BlobKind, blobs: &[Vec<u8>]) -> Vec<BlobId> {
        let index = self.index();
        let locked =
            lock::acquire(&self.repository, LockMode::Shared, LockWait::default()).unwrap();
        let options = WriteOptions::default();
        let ids = blobs.iter().map(|blob| BlobId::of(blob)).collect();
        write(&self.repository, &index, &locked, options, |writer| {
            let mut bench = writer.bench();
            for blob in blobs {
                let _: Put = writer.put(kind, &BlobId::of(blob), blob, &mut bench)?;
            }
            Ok::<_, lifeboat_repository::Error>(())
        })
        .unwrap();
        ids
    }

    /// Stores a tree whatever its nodes are.
    fn tree(&self, nodes: &[Node]) -> BlobId {
        self.put(BlobKind::Tree, &[json(nodes)])[0]
    }

    fn file(&self, name: &[u8], blobs: &[Vec<u8>]) -> Node {
        let content = self.put(BlobKind::Data, blobs);
        Node {
            mode: 0o644,
            size: blobs.iter().map(|blob| blob.len() as u64).sum(),
            content: Some(content),
            ..Node::new(name, NodeKind::File)
        }
    }

    fn folder(&self, name: &[u8], nodes: &[Node]) -> Node {
        Node {
            mode: 1 << 31 | 0o755,
            subtree: Some(self.tree(nodes)),
            ..Node::new(name, NodeKind::Dir)
        }
    }

    fn plan(&self, root: &BlobId, target: &Path, existing: ExistingFiles) -> FilesPlan {
        let options = FilesOptions {
            existing,
            ..FilesOptions::default()
        };
        plan(&self.repository, &self.index(), root, target, &options).unwrap()
    }

    fn apply(&self, plan: &FilesPlan) -> lifeboat_engine::Result<FilesResult> {
        apply(&self.repository, &self.index(), plan)
    }

    fn restore(&self, root: &BlobId, target: &Path, existing: ExistingFiles) -> FilesResult {
        self.apply(&self.plan(root, target, existing)).unwrap()
    }
}

/// The JSON of a tree whose nodes may be unsorted or there twice.
fn json(nodes: &[Node]) -> Vec<u8> {
    let mut json = b"{\"nodes\":[".to_vec();
    for (number, node) in nodes.iter().enumerate() {
        let nodes = vec![node.clone()];
        let one = Tree { nodes }.encode().unwrap();
        let inner = &one[b"{\"nodes\":[".len()..one.len() - b"]}\n".len()];
        json.extend_from_slice(if number == 0 { b"" } else { b"," });
        json.extend_from_slice(inner);
    }
    json.extend_from_slice(b"]}\n");
    json
}

fn symlink(name: &[u8], target: &str) -> Node {
    Node {
        mode: 1 << 27 | 0o777,
        linktarget: target.to_owned(),
        ..Node::new(name, NodeKind::Symlink)
    }
}

fn count(findings: &Findings, kind: FindingKind) -> u64 {
    findings.count(kind)
}

/// Bytes that do not repeat.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    SeededEntropy::new(seed).bytes(length)
}
