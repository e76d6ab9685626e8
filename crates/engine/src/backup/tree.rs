//! The folders around the disks.

use jiff::Timestamp;
use lifeboat_format::{BlobId, BlobKind, Node, NodeKind, Tree};
use lifeboat_repository::{Bench, BlobWriter};

use super::PlainFile;
use super::store::StoredDisk;
use crate::error::Doing;
use crate::{Error, Result};

/// Name of the folder that holds the disks.
pub(crate) const DISKS_FOLDER: &str = "disks";

/// A plain file is cut into pieces of this many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Stores the tree of a snapshot: `disks/*` and the plain files; gives its id.
pub(super) fn store<'a>(
    writer: &BlobWriter<'_>,
    time: Timestamp,
    disks: Vec<StoredDisk>,
    files: impl Iterator<Item = &'a PlainFile>,
) -> Result<BlobId> {
    let mut bench = writer.bench();
    let disks = disks.into_iter().map(|disk| {
        let name = disk.outcome.file_name;
        Node {
            size: disk.outcome.size,
            content: Some(disk.content),
            ..node(&name, NodeKind::File, time)
        }
    });
    let disks = store_tree(writer, disks.collect(), &mut bench)?;
    let mut nodes = vec![Node {
        subtree: Some(disks),
        ..node(DISKS_FOLDER, NodeKind::Dir, time)
    }];
    for file in files {
        nodes.push(store_file(writer, file, time, &mut bench)?);
    }
    store_tree(writer, nodes, &mut bench)
}

fn store_tree(writer: &BlobWriter<'_>, mut nodes: Vec<Node>, bench: &mut Bench) -> Result<BlobId> {
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = nodes.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let doing = format!(
            "two files of the snapshot are named \"{}\"",
            pair[0].shown_name()
        );
        return Err(Error::new(lifeboat_model::ErrorKind::Invalid, doing));
    }
    let json = Tree { nodes }
        .encode()
        .doing(|| "cannot encode a tree".to_owned())?;
    let id = BlobId::of(&json);
    writer.put(BlobKind::Tree, &id, &json, bench)?;
    Ok(id)
}

fn store_file(
    writer: &BlobWriter<'_>,
    file: &PlainFile,
    time: Timestamp,
    bench: &mut Bench,
) -> Result<Node> {
    let mut content = Vec::new();
    for piece in file.content.chunks(PIECE_BYTES) {
        let id = BlobId::of(piece);
        writer.put(BlobKind::Data, &id, piece, bench)?;
        content.push(id);
    }
    let size = file.content.len() as u64;
    Ok(Node {
        size,
        content: Some(content),
        ..node(&file.name, NodeKind::File, time)
    })
}

/// A node that only root may read: disks hold everybody's secrets.
fn node(name: &str, kind: NodeKind, time: Timestamp) -> Node {
    const GO_DIR: u32 = 1 << 31;
    let mode = if kind == NodeKind::Dir {
        GO_DIR | 0o700
    } else {
        0o600
    };
    let time = time.into();
    Node {
        mode,
        mtime: time,
        atime: time,
        ctime: time,
        ..Node::new(name.as_bytes(), kind)
    }
}
