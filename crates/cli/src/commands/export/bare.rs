//! Snapshots without metadata: disks only, nobody's.

use lifeboat_engine::copy::{CopyItem, MadeBlob};
use lifeboat_format::{BlobKind, Node, NodeKind, SnapshotFile, Tree};
use lifeboat_repository::{BlobReader, Snapshot};

use crate::error::Result;

/// Host of a snapshot without metadata.
const HOST: &str = "exported";

/// Path of a snapshot without metadata.
const PATH: &str = "/disks";

/// Folder of the disks.
pub(crate) const FOLDER: &str = "disks";

/// The snapshot with nothing but its disks and its time; nothing if it has no disks.
///
/// The disks' own folder is taken over as it is: content lists and their roots stay equal.
pub(super) fn strip(reader: &mut BlobReader<'_>, snapshot: &Snapshot) -> Result<Option<CopyItem>> {
    let Some(folder) = folder(reader, snapshot)? else {
        return Ok(None);
    };
    let Some(disks) = folder.subtree else {
        return Ok(None);
    };
    let tree = MadeBlob::new(
        BlobKind::Tree,
        Tree {
            nodes: vec![folder],
        }
        .encode()?,
    );
    let mut record = SnapshotFile::new(snapshot.file.time);
    record.hostname = HOST.to_owned();
    record.paths = vec![PATH.to_owned()];
    record.original = Some(snapshot.file.original.unwrap_or(snapshot.id));
    record.program_version = concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned();
    record.tree = tree.id;
    Ok(Some(CopyItem {
        source: snapshot.id,
        record,
        roots: vec![disks],
        made: vec![tree],
    }))
}

/// Whether a snapshot was exported without metadata.
pub(crate) fn is_bare(snapshot: &Snapshot) -> bool {
    let file = &snapshot.file;
    file.hostname == HOST && file.paths == [PATH] && file.tags.is_empty()
}

/// The folder of a snapshot's disks.
pub(crate) fn folder(reader: &mut BlobReader<'_>, snapshot: &Snapshot) -> Result<Option<Node>> {
    let root = reader.tree(&snapshot.file.tree)?;
    let found = root.find(FOLDER.as_bytes()).cloned();
    Ok(found.filter(|node| node.kind == NodeKind::Dir && node.subtree.is_some()))
}
