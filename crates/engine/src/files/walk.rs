//! Turning trees into folders and items.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use lifeboat_format::{BlobId, BlobKind, Node, NodeKind, TREE_DEPTH_MAX, Tree, ZeroIds};
use lifeboat_model::ErrorKind;
use lifeboat_repository::{BlobReader, Index, Repository, each};

use super::filter::{Judged, PathFilter, Positions};
use super::item::{
    Folder, Found, FoundFolder, Item, What, is_ours, mark_name, shown, shown_path, work_name,
};
use super::metadata::Metadata;
use super::{FilesPlan, FindingKind, Piece};
use crate::{Error, Result};

/// Most entries of one restore: a small hostile tree that repeats itself can have any number.
const ENTRIES_MAX: usize = 1 << 25;

/// Trees loaded at once.
const BATCH: usize = 64;

/// A folder whose tree is to be read.
struct Pending {
    folder: u32,
    tree: BlobId,
    positions: Positions,
}

/// Fills folders, items and pieces of a plan.
pub(super) fn fill(
    plan: &mut FilesPlan,
    repository: &Repository,
    index: &Index,
    root: &BlobId,
    filter: &PathFilter,
) -> Result<()> {
    let positions = filter.start();
    plan.folders.push(Folder {
        parent: 0,
        depth: 0,
        name: Box::default(),
        metadata: Metadata::default(),
        is_selected: false,
        is_wanted: true,
        found: FoundFolder::Nothing,
    });
    let mut walk = Walk {
        plan,
        index,
        filter,
        zeros: ZeroIds::new(),
        inodes: HashMap::new(),
    };
    let mut level = vec![Pending {
        folder: 0,
        tree: *root,
        positions,
    }];
    while !level.is_empty() {
        let mut below = Vec::new();
        for batch in level.chunks(BATCH) {
            let trees = load(repository, index, batch)?;
            for (pending, tree) in batch.iter().zip(trees) {
                walk.take(pending, tree, &mut below)?;
            }
        }
        level = below;
    }
    mark_wanted(plan);
    Ok(())
}

type Loaded = lifeboat_repository::Result<Tree>;

fn load(repository: &Repository, index: &Index, batch: &[Pending]) -> Result<Vec<Loaded>> {
    let slots: Vec<Mutex<Option<Loaded>>> = batch.iter().map(|_| Mutex::default()).collect();
    let numbers: Vec<usize> = (0..batch.len()).collect();
    each(repository, &numbers, |number| {
        let tree = BlobReader::new(repository, index).tree(&batch[*number].tree);
        *slots[*number].lock().unwrap_or_else(|p| p.into_inner()) = Some(tree);
        Ok(())
    })?;
    let trees = slots.into_iter().map(|slot| {
        let tree = slot.into_inner().unwrap_or_else(|p| p.into_inner());
        tree.ok_or_else(Error::cancelled)
    });
    trees.collect()
}

/// A folder is wanted when it is selected or something in it is wanted.
fn mark_wanted(plan: &mut FilesPlan) {
    for item in &plan.items {
        plan.folders[item.folder as usize].is_wanted = true;
    }
    for number in (1..plan.folders.len()).rev() {
        let parent = plan.folders[number].parent as usize;
        if plan.folders[number].is_wanted {
            plan.folders[parent].is_wanted = true;
        }
    }
}

struct Walk<'a> {
    plan: &'a mut FilesPlan,
    index: &'a Index,
    filter: &'a PathFilter,
    zeros: ZeroIds,
    /// First item of every file that has several names, by device and inode.
    inodes: HashMap<(u64, u64), u32>,
}

impl Walk<'_> {
    fn take(&mut self, at: &Pending, tree: Loaded, below: &mut Vec<Pending>) -> Result<()> {
        let tree = match tree {
            Ok(tree) => tree,
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Unreachable) => {
                return Err(error.into());
            }
            Err(error) if at.folder == 0 => return Err(error.into()),
            Err(error) => {
                let folder = &self.plan.folders[at.folder as usize];
                let path = shown_path(&self.plan.folders, folder.parent, &folder.name);
                let seen = format!("nothing in this folder can be restored: {error}");
                self.plan.findings.add(FindingKind::Damaged, path, seen);
                return Ok(());
            }
        };
        let doubtful = doubtful_names(&tree);
        for node in &tree.nodes {
            let next = match self.filter.step(&at.positions, &node.name) {
                Judged::Out => continue,
                Judged::In(next) => next,
            };
            if let Some(seen) = refusal(node, &doubtful) {
                self.find(FindingKind::Refused, at.folder, node, seen);
                continue;
            }
            if self.plan.items.len() + self.plan.folders.len() >= ENTRIES_MAX {
                let doing = "the snapshot has more entries than one restore can take: \
                             restore it in parts";
                return Err(Error::new(ErrorKind::Unsupported, doing));
            }
            if node.kind == NodeKind::Dir {
                self.take_folder(at.folder, node, next, below);
            } else if next.is_selected() {
                self.take_item(at.folder, node);
            }
        }
        Ok(())
    }

    fn find(&mut self, kind: FindingKind, folder: u32, node: &Node, seen: impl Into<String>) {
        let path = shown_path(&self.plan.folders, folder, &node.name);
        self.plan.findings.add(kind, path, seen);
    }

    fn take_folder(
        &mut self,
        parent: u32,
        node: &Node,
        positions: Positions,
        below: &mut Vec<Pending>,
    ) {
        let depth = self.plan.folders[parent as usize].depth + 1;
        if depth > TREE_DEPTH_MAX {
            let seen = format!("nested deeper than {TREE_DEPTH_MAX} folders");
            return self.find(FindingKind::Refused, parent, node, seen);
        }
        let folder = self.plan.folders.len() as u32;
        let is_selected = positions.is_selected();
        self.plan.folders.push(Folder {
            parent,
            depth,
            name: node.name.clone().into_boxed_slice(),
            metadata: Metadata::of(node),
            is_selected,
            is_wanted: is_selected,
            found: FoundFolder::Nothing,
        });
        match node.subtree {
            Some(tree) => below.push(Pending {
                folder,
                tree,
                positions,
            }),
            None => self.find(FindingKind::Damaged, parent, node, "the folder has no tree"),
        }
    }

    fn take_item(&mut self, folder: u32, node: &Node) {
        let what = match node.kind {
            NodeKind::File => match self.file(folder, node) {
                Some(what) => what,
                None => return,
            },
            NodeKind::Symlink => {
                let raw = node.linktarget_raw.clone().filter(|raw| !raw.is_empty());
                let target = raw.unwrap_or_else(|| node.linktarget.clone().into_bytes());
                What::Symlink(target.into_boxed_slice())
            }
            NodeKind::Fifo => What::Fifo,
            NodeKind::BlockDevice => What::BlockDevice(node.device),
            NodeKind::CharDevice => What::CharDevice(node.device),
            NodeKind::Socket => {
                let seen = "a socket: it comes back when its program starts";
                return self.find(FindingKind::Note, folder, node, seen);
            }
            NodeKind::Dir | NodeKind::Irregular => {
                let seen = "of an unknown kind";
                return self.find(FindingKind::Refused, folder, node, seen);
            }
        };
        self.plan.items.push(Item {
            folder,
            name: node.name.clone().into_boxed_slice(),
            metadata: Metadata::of(node),
            what,
            found: Found::Nothing,
        });
    }

    /// Resolves a file's content; nothing if it cannot be restored at all.
    fn file(&mut self, folder: u32, node: &Node) -> Option<What> {
        let start = self.plan.pieces.len();
        let size = match self.place(node) {
            Ok(size) => size,
            Err(seen) => {
                self.plan.pieces.truncate(start);
                self.find(FindingKind::Damaged, folder, node, seen);
                return None;
            }
        };
        if size != node.size {
            let seen = format!(
                "the snapshot claims {} bytes and holds {size}: all that it holds is restored",
                node.size
            );
            self.find(FindingKind::Damaged, folder, node, seen);
        }
        if node.links > 1 && node.inode != 0 {
            let number = self.plan.items.len() as u32;
            let first = *self
                .inodes
                .entry((node.device_id, node.inode))
                .or_insert(number);
            if first != number && self.is_same(first, start, size) {
                self.plan.pieces.truncate(start);
                return Some(What::Link(first));
            }
        }
        let pieces = start as u32..self.plan.pieces.len() as u32;
        Some(What::File { size, pieces })
    }

    /// Whether an item has the content of the pieces from `start` on: a file that was changed
    /// while it was read may have two contents under one inode.
    fn is_same(&self, first: u32, start: usize, size: u64) -> bool {
        let item = &self.plan.items[first as usize];
        let key = |piece: &Piece| (piece.offset, piece.row);
        let (old, new) = (&self.plan.pieces[item.pieces()], &self.plan.pieces[start..]);
        matches!(&item.what, What::File { size: known, .. } if *known == size)
            && old.iter().map(key).eq(new.iter().map(key))
    }

    /// Adds the pieces of a file; gives its size.
    fn place(&mut self, node: &Node) -> std::result::Result<u64, String> {
        let item = self.plan.items.len() as u32;
        self.refuse_missing(node)?;
        let mut offset = 0u64;
        for id in node.content_ids() {
            let Some(row) = self.index.rows(BlobKind::Data, id).next() else {
                continue;
            };
            let length = u64::from(self.index.blob(row).location.plaintext_length());
            if !self.zeros.is_zero(id, length) {
                let row = u32::try_from(row).map_err(|_| "the index is too big".to_owned())?;
                self.plan.pieces.push(Piece { offset, row, item });
            }
            offset = offset
                .checked_add(length)
                .ok_or("its size is beyond all bounds")?;
        }
        if self.plan.pieces.len() > u32::MAX as usize {
            return Err("the restore has too many chunks: restore it in parts".to_owned());
        }
        Ok(offset)
    }

    /// An error if a chunk is in no index.
    fn refuse_missing(&self, node: &Node) -> std::result::Result<(), String> {
        let is_missing = |id: &&BlobId| !self.index.contains(BlobKind::Data, id);
        let count = node.content_ids().iter().filter(is_missing).count();
        match node.content_ids().iter().find(is_missing) {
            None => Ok(()),
            Some(id) => Err(format!(
                "not restored: {count} of its {} chunks are missing, the first is {id}; \
                 run 'lifeboat check', then 'lifeboat repair snapshots'",
                node.content_ids().len()
            )),
        }
    }
}

/// Names of a folder that cannot be told apart from others in it.
struct Doubtful<'a> {
    twice: HashSet<&'a [u8]>,
    /// Names that we need for our own files beside others.
    ours: HashSet<Vec<u8>>,
}

fn doubtful_names(tree: &Tree) -> Doubtful<'_> {
    let mut seen = HashSet::new();
    let names = tree.nodes.iter().map(|node| &node.name[..]);
    let twice = names.clone().filter(|name| !seen.insert(*name)).collect();
    let ours = if names.clone().any(is_ours) {
        names.flat_map(|n| [work_name(n), mark_name(n)]).collect()
    } else {
        HashSet::new()
    };
    Doubtful { twice, ours }
}

fn refusal(node: &Node, doubtful: &Doubtful<'_>) -> Option<String> {
    if !node.name_is_safe() {
        let name = shown(&node.name);
        Some(format!("\"{name}\" is no plain file name"))
    } else if doubtful.twice.contains(&node.name[..]) {
        Some("the folder has this name twice".to_owned())
    } else if doubtful.ours.contains(&node.name) {
        Some("this name is needed for the work on another file".to_owned())
    } else {
        None
    }
}
