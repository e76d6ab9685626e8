//! Making a machine's snapshot out of bare disks.

use lifeboat_chunker::ChunkSizes;
use lifeboat_engine::content_root;
use lifeboat_engine::copy::{CopyItem, MadeBlob};
use lifeboat_format::{
    BlobKind, Chunking, DiskManifest, MANIFEST_NAME, MachineIdentity, MachineManifest, Node,
    NodeKind, Tree, label,
};
use lifeboat_model::{DiskName, ErrorKind, VmName};
use lifeboat_repository::{BlobReader, Index, Repository, Snapshot};

use crate::commands::export::bare;
use crate::error::{Error, Result};

/// Gives bare snapshots of an archive a machine.
pub(super) struct Adopter<'a> {
    archive: &'a Repository,
    index: &'a Index,
}

impl<'a> Adopter<'a> {
    pub(super) fn new(archive: &'a Repository, index: &'a Index) -> Self {
        Self { archive, index }
    }

    /// The snapshot with a label and a manifest.
    ///
    /// Equal for equal input, so that a second import finds the first one's.
    pub(super) fn adopt(&self, snapshot: &Snapshot, machine: &VmName) -> Result<CopyItem> {
        let mut reader = BlobReader::new(self.archive, self.index);
        let damaged = |seen: &str| {
            let message = format!("snapshot {} of the archive {seen}", snapshot.id.short());
            Error::new(ErrorKind::Corrupt, message)
        };
        let folder = bare::folder(&mut reader, snapshot)?;
        let folder = folder.ok_or_else(|| damaged("has no disks"))?;
        let subtree = folder.subtree.ok_or_else(|| damaged("has no disks"))?;
        let disks = reader.tree(&subtree)?.nodes;
        let disks: Vec<DiskManifest> = disks
            .iter()
            .map(|node| self.disk(node))
            .collect::<Result<_>>()?;
        let manifest = manifest(snapshot, machine, disks).encode();
        let file = manifest_node(&folder, &manifest);
        let mut nodes = vec![folder, file.0];
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let tree = MadeBlob::new(BlobKind::Tree, Tree { nodes }.encode()?);
        let mut record = label::of(machine, snapshot.file.time, &[]);
        record.original = Some(snapshot.file.original.unwrap_or(snapshot.id));
        record.tree = tree.id;
        Ok(CopyItem {
            source: snapshot.id,
            record,
            roots: vec![subtree],
            made: vec![tree, file.1],
        })
    }

    fn disk(&self, node: &Node) -> Result<DiskManifest> {
        let file_name = node.shown_name();
        let name = file_name.strip_suffix(".raw").unwrap_or(&file_name);
        if node.kind != NodeKind::File {
            let message = format!("\"{file_name}\" in the archive is no disk");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let name: DiskName = name.parse()?;
        let settings = self.archive.config().settings.as_ref();
        let sizes = settings
            .and_then(|s| ChunkSizes::new(s.chunk_size_min, s.chunk_size_gap, s.chunk_size_max))
            .unwrap_or(ChunkSizes::DEFAULT)
            .for_disk(node.size);
        let mut chunking = Chunking::new(sizes.min(), sizes.gap(), sizes.max(), 0);
        // Nobody knows how it was cut: the next backup reads all of it, once.
        chunking.seed = "unknown".to_owned();
        Ok(DiskManifest {
            name: name.to_string(),
            path: format!("{}/{file_name}", bare::FOLDER),
            size: node.size,
            source_format: "raw".to_owned(),
            chunking,
            mode: "full".to_owned(),
            reason: "imported from an archive without metadata".to_owned(),
            parent: None,
            changed_bytes: None,
            read_bytes: 0,
            checkpoint: None,
            root: content_root(node.content_ids()),
        })
    }
}

fn manifest(snapshot: &Snapshot, machine: &VmName, disks: Vec<DiskManifest>) -> MachineManifest {
    MachineManifest {
        version: 1,
        program: concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned(),
        machine: MachineIdentity {
            platform: "image".to_owned(),
            id: None,
            name: machine.to_string(),
        },
        captured_at: snapshot.file.time,
        consistency: "unknown".to_owned(),
        disks,
        files: Vec::new(),
        other: serde_json::Map::new(),
    }
}

/// The manifest as a file with the times and owner of the disks' folder.
fn manifest_node(folder: &Node, content: &[u8]) -> (Node, MadeBlob) {
    let blob = MadeBlob::new(BlobKind::Data, content.to_vec());
    let node = Node {
        mode: 0o600,
        mtime: folder.mtime,
        atime: folder.atime,
        ctime: folder.ctime,
        uid: folder.uid,
        gid: folder.gid,
        size: content.len() as u64,
        content: Some(vec![blob.id]),
        ..Node::new(MANIFEST_NAME.as_bytes(), NodeKind::File)
    };
    (node, blob)
}
