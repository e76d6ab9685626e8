//! What snapshots refer to.

mod room;

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lifeboat_format::{BlobId, BlobKind, Node, Tree};

use crate::check::{chain, is_damage};
use crate::{BlobReader, Error, Index, Repository, Result, load};

use room::Room;

/// JSON of trees that are read at the same time: two disks of a million chunks each.
const TREES_BYTES_MAX: u64 = 160 << 20;

/// Which rows of an index are referenced; one bit each, set from several threads.
pub struct UsedBlobs {
    bits: Vec<AtomicU64>,
}

impl UsedBlobs {
    /// None is used yet.
    pub fn new(index: &Index) -> Self {
        let words = index.blob_count().div_ceil(64);
        Self {
            bits: std::iter::repeat_with(|| AtomicU64::new(0))
                .take(words)
                .collect(),
        }
    }

    /// Marks all copies of a blob; `false` when the index does not know it.
    pub fn mark(&self, index: &Index, kind: BlobKind, id: &BlobId) -> bool {
        let mut is_known = false;
        for row in index.rows(kind, id) {
            self.bits[row / 64].fetch_or(1 << (row % 64), Relaxed);
            is_known = true;
        }
        is_known
    }

    /// Says whether the blob in that row (the order of [`Index::blobs`]) is used.
    pub fn is_used(&self, row: usize) -> bool {
        self.bits[row / 64].load(Relaxed) & 1 << (row % 64) != 0
    }
}

/// A place in a walk.
pub struct Visit<'a> {
    /// The tree.
    pub id: BlobId,
    /// Its content, or why it cannot be read.
    pub tree: std::result::Result<&'a Tree, &'a Error>,
}

/// Visits every tree below `roots` once, with all threads; the order is free.
///
/// A tree that cannot be read is visited with its error and has no children.
///
/// Memory: trees of [`TREES_BYTES_MAX`] of JSON at once, or a single larger one; twice that as a
/// rule, for they are sealed before and lists of ids afterwards.
pub fn trees(
    repository: &Repository,
    index: &Index,
    roots: impl IntoIterator<Item = BlobId>,
    visit: impl Fn(Visit<'_>) -> Result<()> + Sync,
) -> Result<()> {
    let room = Room::new(TREES_BYTES_MAX);
    let mut seen: HashSet<BlobId> = HashSet::new();
    let mut level: Vec<BlobId> = roots.into_iter().filter(|id| seen.insert(*id)).collect();
    while !level.is_empty() {
        let below = Mutex::new(Vec::new());
        load::each(repository, &level, |id| {
            let claimed = index.find(BlobKind::Tree, id);
            let _place = room.take(claimed.map_or(0, |at| at.plaintext_length().into()));
            let tree = BlobReader::new(repository, index).tree(id);
            visit(Visit {
                id: *id,
                tree: tree.as_ref(),
            })?;
            let children = tree
                .iter()
                .flat_map(|tree| &tree.nodes)
                .filter_map(|n| n.subtree);
            below
                .lock()
                .unwrap_or_else(|poison| poison.into_inner())
                .extend(children);
            Ok(())
        })?;
        level = below
            .into_inner()
            .unwrap_or_else(|poison| poison.into_inner());
        level.retain(|id| seen.insert(*id));
    }
    Ok(())
}

/// A blob that snapshots need and no index lists, or a tree that cannot be read.
#[derive(Clone, Debug)]
pub struct MissingBlob {
    /// Data or tree.
    pub kind: BlobKind,
    /// Its name.
    pub id: BlobId,
    /// What was seen.
    pub seen: String,
}

/// Marks everything that the trees below `roots` refer to; gives what is missing.
pub fn used(
    repository: &Repository,
    index: &Index,
    roots: impl IntoIterator<Item = BlobId>,
) -> Result<(UsedBlobs, Vec<MissingBlob>)> {
    let used = UsedBlobs::new(index);
    let missing = Mutex::new(Vec::new());
    let miss = |kind, id, seen: String| {
        let mut missing = missing.lock().unwrap_or_else(|poison| poison.into_inner());
        missing.push(MissingBlob { kind, id, seen });
    };
    trees(repository, index, roots, |at| {
        used.mark(index, BlobKind::Tree, &at.id);
        match at.tree {
            Err(error) if !is_damage(error) => return Err(Error::new(error.kind(), chain(error))),
            Err(error) => miss(BlobKind::Tree, at.id, error.to_string()),
            Ok(tree) => tree
                .nodes
                .iter()
                .flat_map(Node::content_ids)
                .for_each(|id| {
                    if !used.mark(index, BlobKind::Data, id) {
                        miss(BlobKind::Data, *id, "no index lists it".to_owned());
                    }
                }),
        }
        Ok(())
    })?;
    let missing = missing
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    Ok((used, missing))
}
