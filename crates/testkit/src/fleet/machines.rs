//! The machines: a tree each, and snapshots that lead to it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use jiff::{SignedDuration, Timestamp};
use lifeboat_backend::FileKind;
use lifeboat_chunker::ChunkSizes;
use lifeboat_format::{
    BlobId, BlobKind, Chunking, DiskManifest, MANIFEST_NAME, MachineIdentity, MachineManifest,
    Node, NodeKind, SnapshotFile, Summary, Tree, label,
};
use sha2::{Digest, Sha256};

use super::chunks::Chunks;
use super::vault::{Vault, on_all_cores};
use super::{Fleet, SNAPSHOTS_EACH};

/// The last snapshots are of this moment: 2026-01-01T00:00:00Z.
const LAST: i64 = 1_767_225_600;

/// Go's bit for a folder.
const GO_DIR: u32 = 1 << 31;

const SITES: [&str; 4] = ["db", "web", "mail", "build"];
const TAGS: [&[&str]; 4] = [
    &["hourly"],
    &["nightly", "production"],
    &["weekly"],
    &["before-upgrade", "production"],
];

/// All machines of a fleet.
pub(super) struct Machines<'a> {
    pub(super) count: usize,
    pub(super) fleet: &'a Fleet,
    pub(super) chunks: &'a Chunks,
    pub(super) vault: &'a Vault,
}

impl Machines<'_> {
    /// Bytes of each machine's disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.disk_chunks() * u64::from(self.chunks.mean_bytes())
    }

    /// Even, so that every disk is made of whole pairs.
    fn disk_chunks(&self) -> u64 {
        self.fleet.disk_chunks.min(self.chunks.count()) & !1
    }

    /// Machines take their chunks in turn; small fleets share them.
    fn content(&self, machine: usize) -> Vec<BlobId> {
        let length = self.disk_chunks();
        let disks = (self.chunks.count() / length.max(1)).max(1);
        let start = machine as u64 % disks * length;
        let content = (start..start + length).map(|number| self.chunks.id(number));
        content.collect()
    }

    fn name(machine: usize) -> String {
        format!("{}{:03}", SITES[machine % SITES.len()], machine)
    }

    /// Every tenth machine is a host whose folders plain restic has stored.
    fn is_foreign(machine: usize) -> bool {
        machine % 10 == 9
    }

    /// Stores the trees of all machines; gives their ids.
    pub(super) fn store_trees(&self) -> io::Result<Vec<BlobId>> {
        (0..self.count)
            .map(|machine| self.store_tree(machine))
            .collect()
    }

    fn store_tree(&self, machine: usize) -> io::Result<BlobId> {
        let content = self.content(machine);
        let mut root = Sha256::new();
        content.iter().for_each(|id| root.update(id.id().0));
        let root = lifeboat_model::Id(root.finalize().into());
        let manifest = self.manifest(machine, root.into()).encode();
        let disk = Node {
            size: self.disk_bytes(),
            content: Some(content),
            ..node("vda.raw", NodeKind::File)
        };
        let disks = self.store_nodes(vec![disk])?;
        let folder = Node {
            subtree: Some(disks),
            ..node("disks", NodeKind::Dir)
        };
        let manifest = Node {
            size: manifest.len() as u64,
            content: Some(vec![self.vault.put(BlobKind::Data, &manifest)?]),
            ..node(MANIFEST_NAME, NodeKind::File)
        };
        self.store_nodes(vec![folder, manifest])
    }

    fn store_nodes(&self, nodes: Vec<Node>) -> io::Result<BlobId> {
        let json = Tree { nodes }.encode().map_err(io::Error::other)?;
        self.vault.put(BlobKind::Tree, &json)
    }

    fn manifest(&self, machine: usize, root: BlobId) -> MachineManifest {
        let sizes = ChunkSizes::DEFAULT.for_disk(self.disk_bytes());
        let seed = self.vault.polynomial();
        let disk = DiskManifest {
            name: "vda".to_owned(),
            path: "disks/vda.raw".to_owned(),
            size: self.disk_bytes(),
            source_format: "raw".to_owned(),
            chunking: Chunking::new(sizes.min(), sizes.gap(), sizes.max(), seed),
            mode: "full".to_owned(),
            reason: "there is no earlier snapshot of this disk".to_owned(),
            parent: None,
            changed_bytes: None,
            read_bytes: self.disk_bytes(),
            checkpoint: None,
            root,
        };
        MachineManifest {
            version: 1,
            program: "lifeboat fleet".to_owned(),
            machine: MachineIdentity {
                platform: "image".to_owned(),
                id: None,
                name: Self::name(machine),
            },
            captured_at: last().into(),
            consistency: "crash".to_owned(),
            disks: vec![disk],
            files: Vec::new(),
            other: serde_json::Map::new(),
        }
    }

    /// Writes all snapshots, those of one machine upon each other, with all cores.
    pub(super) fn store_snapshots(&self, trees: &[BlobId]) -> io::Result<()> {
        let next = AtomicUsize::new(0);
        on_all_cores(|| {
            loop {
                let machine = next.fetch_add(1, Relaxed);
                let Some(tree) = trees.get(machine) else {
                    return Ok(());
                };
                self.store_chain(machine, *tree)?;
            }
        })
    }

    fn store_chain(&self, machine: usize, tree: BlobId) -> io::Result<()> {
        let before = machine * SNAPSHOTS_EACH;
        let count = self.fleet.snapshots.saturating_sub(before);
        let mut parent = None;
        for number in (0..count.min(SNAPSHOTS_EACH)).rev() {
            let mut snapshot = self.snapshot(machine, number)?;
            snapshot.tree = tree;
            snapshot.parent = parent;
            let id = self
                .vault
                .store_json(FileKind::Snapshot, &snapshot.encode())?;
            parent = Some(id.into());
        }
        Ok(())
    }

    /// The record of a machine, `number` snapshots before its last one.
    fn snapshot(&self, machine: usize, number: usize) -> io::Result<SnapshotFile> {
        let name = Self::name(machine);
        let minutes = number as i64 * 60 + machine as i64 % 60;
        let time = last() - SignedDuration::from_mins(minutes);
        let tags = TAGS[number % TAGS.len()].iter();
        let tags: Vec<String> = tags.map(|tag| (*tag).to_owned()).collect();
        let mut snapshot = if Self::is_foreign(machine) {
            SnapshotFile {
                paths: vec!["/etc".to_owned(), "/home".to_owned()],
                hostname: name,
                tags,
                program_version: "restic 0.19.1".to_owned(),
                ..SnapshotFile::new(time.into())
            }
        } else {
            label::of(&name.parse().map_err(io::Error::other)?, time.into(), &tags)
        };
        snapshot.username = "root".to_owned();
        let added = u64::from(self.chunks.mean_bytes()) * (number as u64 + 1);
        snapshot.summary = Some(Summary {
            backup_start: time.into(),
            backup_end: (time + SignedDuration::from_secs(90)).into(),
            files_new: 2,
            dirs_new: 2,
            data_blobs: number as u64 + 1,
            tree_blobs: 2,
            data_added: added,
            data_added_packed: added / 8 * 3,
            total_files_processed: 2,
            total_bytes_processed: self.disk_bytes(),
            ..Summary::default()
        });
        Ok(snapshot)
    }
}

fn last() -> Timestamp {
    Timestamp::from_second(LAST).unwrap_or_default()
}

fn node(name: &str, kind: NodeKind) -> Node {
    let mode = match kind {
        NodeKind::Dir => GO_DIR | 0o700,
        _ => 0o600,
    };
    let time = last().into();
    Node {
        mode,
        mtime: time,
        atime: time,
        ctime: time,
        ..Node::new(name.as_bytes(), kind)
    }
}
