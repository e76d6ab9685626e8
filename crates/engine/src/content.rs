//! The list of chunks of one file: where each lies on the disk and in the repository.

use lifeboat_format::{BlobId, BlobKind, Node, ZeroIds};
use lifeboat_model::{ErrorKind, Extent, ExtentSet};
use lifeboat_repository::{BlobLocation, Index};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// SHA-256 over the ids of all chunks in order.
pub fn content_root(content: &[BlobId]) -> BlobId {
    let mut hash = Sha256::new();
    content.iter().for_each(|id| hash.update(id.id().0));
    BlobId::from(lifeboat_model::Id(hash.finalize().into()))
}

/// One chunk of a file that must be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedChunk {
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Its name.
    pub id: BlobId,
    /// Where it lies.
    pub location: BlobLocation,
}

impl PlacedChunk {
    /// Its place in the file.
    pub fn extent(&self) -> Option<Extent> {
        Extent::at(self.offset, u64::from(self.location.plaintext_length()))
    }
}

/// A file's chunks, resolved against an index.
#[derive(Clone, Debug, Default)]
pub struct PlacedContent {
    /// Bytes of the file.
    pub size: u64,
    /// Chunks with data, in order of offset.
    pub chunks: Vec<PlacedChunk>,
    /// Ranges that are zero pieces.
    pub zeros: ExtentSet,
}

/// Resolves the content list of a file.
///
/// Errors: `Corrupt` if a chunk is missing or the lengths do not sum up to the node's size.
///
/// Cost: 88 bytes a chunk.
pub fn place(index: &Index, node: &Node) -> Result<PlacedContent> {
    let mut zeros = ZeroIds::new();
    let mut placed = PlacedContent {
        size: node.size,
        ..PlacedContent::default()
    };
    let mut offset = 0u64;
    for id in node.content_ids() {
        let Some(location) = index.find(BlobKind::Data, id) else {
            return Err(missing(node, *id, offset));
        };
        let length = u64::from(location.plaintext_length());
        if zeros.is_zero(id, length) {
            Extent::at(offset, length)
                .into_iter()
                .for_each(|zero| placed.zeros.insert(zero));
        } else {
            placed.chunks.push(PlacedChunk {
                offset,
                id: *id,
                location,
            });
        }
        offset = offset
            .checked_add(length)
            .ok_or_else(|| wrong_size(node, u64::MAX))?;
    }
    if offset == node.size {
        Ok(placed)
    } else {
        Err(wrong_size(node, offset))
    }
}

fn missing(node: &Node, id: BlobId, offset: u64) -> Error {
    let doing = format!(
        "\"{}\" misses the chunk {id} at offset {offset}: run 'lifeboat check', then \
         'lifeboat repair snapshots' to keep what is left",
        node.shown_name()
    );
    Error::new(ErrorKind::Corrupt, doing)
}

fn wrong_size(node: &Node, seen: u64) -> Error {
    let doing = format!(
        "\"{}\" claims {} bytes, its chunks have {seen}: the snapshot is damaged",
        node.shown_name(),
        node.size
    );
    Error::new(ErrorKind::Corrupt, doing)
}
