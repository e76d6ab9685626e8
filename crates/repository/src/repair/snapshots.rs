//! Making snapshots readable again: lost data becomes zeros, lost folders become empty.

use std::collections::{HashMap, HashSet};

use lifeboat_backend::FileKind;
use lifeboat_format::{BlobId, BlobKind, Node, NodeKind, PackId, SnapshotId, Tree};
use lifeboat_model::{ErrorKind, ExtentSet};

use super::LostRanges;
use super::content::{self, Known, Part, RepairedContent};
use crate::check::is_damage;
use crate::error::Doing;
use crate::{
    Bench, BlobReader, BlobWriter, Error, Index, Lock, Repository, Result, Snapshot, WriteOptions,
    commit, snapshots, writer,
};

/// Which snapshots lose what.
pub struct SnapshotRepairPlan {
    /// Everything that is lost, by snapshot and path.
    pub lost: Vec<LostRanges>,
    /// The snapshots that will be replaced.
    pub snapshots: Vec<SnapshotId>,
    damaged: Vec<Snapshot>,
    index: Index,
    /// Also blobs of marked packs: of damaged ones nothing else knows the length.
    lengths: Index,
    lost_packs: HashSet<PackId>,
}

/// Deepest nesting that is repaired: paths of more folders cannot be used anywhere.
const DEPTH_MAX: u32 = 1024;

/// Most losses that are listed of one snapshot: a small hostile tree that repeats itself can have
/// any number. Beyond it the rest of the snapshot is replaced without being listed.
const LOSSES_MAX: usize = 10_000;

/// Tag of a snapshot that was repaired.
pub const REPAIRED_TAG: &str = "lifeboat-repaired";

/// Walks all snapshots and says which byte ranges of which files are lost.
///
/// A blob counts as lost when no index lists it, or only packs that are gone.
pub fn plan_snapshots(repository: &Repository) -> Result<SnapshotRepairPlan> {
    let listed = snapshots::list_tolerant(repository)?.0;
    let index = repository.load_index()?;
    let present: HashSet<PackId> = repository
        .list(FileKind::Pack)?
        .iter()
        .map(|file| file.id.into())
        .collect();
    let packs = index.packs().iter().map(|pack| pack.id);
    let lost_packs = packs.filter(|id| !present.contains(id)).collect();
    let lengths = commit::with_marked(&index);
    let mut plan = SnapshotRepairPlan {
        lost: Vec::new(),
        snapshots: Vec::new(),
        damaged: Vec::new(),
        index,
        lengths,
        lost_packs,
    };
    let mut lost = Vec::new();
    let mut damaged = Vec::new();
    let mut sound = HashSet::new();
    for snapshot in listed {
        repository.environment().check_cancelled()?;
        let mut survey = Survey {
            repository,
            plan: &plan,
            snapshot: &snapshot,
            lost: vec![],
            sound: &mut sound,
        };
        survey.tree(&snapshot.file.tree, "", 0)?;
        if !survey.lost.is_empty() {
            lost.append(&mut survey.lost);
            damaged.push(snapshot);
        }
    }
    plan.lost = lost;
    plan.snapshots = damaged.iter().map(|snapshot| snapshot.id).collect();
    plan.damaged = damaged;
    Ok(plan)
}

impl SnapshotRepairPlan {
    fn is_lost(&self, kind: BlobKind, id: &BlobId) -> bool {
        self.index
            .copies(kind, id)
            .all(|location| self.lost_packs.contains(&location.pack))
    }

    fn content(&self, node: &Node) -> Option<RepairedContent> {
        let is_lost = |id: &BlobId| self.is_lost(BlobKind::Data, id);
        let known = Known {
            lengths: &self.lengths,
            is_lost: &is_lost,
        };
        content::repair(node.content_ids(), node.size, &known)
    }
}

/// Errors: `Unsupported` for a place that is nested too deeply.
fn require_depth(depth: u32, place: &str) -> Result<()> {
    if depth <= DEPTH_MAX {
        return Ok(());
    }
    let tail = place.char_indices().rev().nth(60).map_or(0, |(at, _)| at);
    let doing = format!(
        "cannot repair the snapshots: \"...{}\" is nested deeper than {DEPTH_MAX} folders; \
         forget the snapshot that holds it",
        &place[tail..]
    );
    Err(Error::new(ErrorKind::Unsupported, doing))
}

struct Survey<'a> {
    repository: &'a Repository,
    plan: &'a SnapshotRepairPlan,
    snapshot: &'a Snapshot,
    lost: Vec<LostRanges>,
    /// Trees below which nothing is lost: each is read once.
    sound: &'a mut HashSet<BlobId>,
}

impl Survey<'_> {
    fn tree(&mut self, id: &BlobId, path: &str, depth: u32) -> Result<()> {
        require_depth(depth, path)?;
        if self.sound.contains(id) || self.lost.len() >= LOSSES_MAX {
            return Ok(());
        }
        let before = self.lost.len();
        let tree = BlobReader::new(self.repository, &self.plan.index).tree(id);
        let tree = match tree {
            Ok(tree) => tree,
            Err(error) if !is_damage(&error) => return Err(error),
            Err(_) => {
                self.note(format!("{path}/"), ExtentSet::new(), vec![*id]);
                return Ok(());
            }
        };
        for node in &tree.nodes {
            let path = format!("{path}/{}", node.shown_name());
            if let (NodeKind::Dir, Some(subtree)) = (node.kind, &node.subtree) {
                self.tree(subtree, &path, depth + 1)?;
            } else if let Some(content) = self.plan.content(node) {
                self.note(path, content.lost, content.lost_blobs);
            }
        }
        if self.lost.len() == before && before < LOSSES_MAX {
            self.sound.insert(*id);
        }
        Ok(())
    }

    fn note(&mut self, path: String, ranges: ExtentSet, blobs: Vec<BlobId>) {
        let host = self.snapshot.file.hostname.clone();
        self.lost.push(LostRanges {
            snapshot: self.snapshot.id,
            host,
            path,
            ranges,
            blobs,
        });
    }
}

/// Replaces every damaged snapshot by a readable one; gives old and new names.
///
/// The new snapshot is tagged [`REPAIRED_TAG`]. `is_keeping` leaves the damaged one in place.
pub fn apply_snapshots(
    repository: &Repository,
    lock: &Lock<'_>,
    plan: &SnapshotRepairPlan,
    is_keeping: bool,
    options: WriteOptions,
) -> Result<Vec<(SnapshotId, SnapshotId)>> {
    // Blobs of packs that are gone must be stored again, whatever the index says.
    let present = super::packs::without(&plan.index, &plan.lost_packs);
    let (roots, _, files) = writer::write(repository, &present, lock, options, |writer| {
        let mut rewrite = Rewrite {
            repository,
            plan,
            writer,
            bench: writer.bench(),
            done: HashMap::new(),
        };
        plan.damaged
            .iter()
            .map(|s| rewrite.tree(&s.file.tree, 0))
            .collect::<Result<Vec<_>>>()
    })?;
    let seen: Vec<_> = plan.index.files().iter().chain(&files).copied().collect();
    let mut replaced = Vec::new();
    for (snapshot, tree) in plan.damaged.iter().zip(roots) {
        let mut file = snapshot.file.clone();
        file.original.get_or_insert(snapshot.id);
        file.tree = tree;
        if !file.tags.iter().any(|tag| tag == REPAIRED_TAG) {
            file.tags.push(REPAIRED_TAG.to_owned());
        }
        let new = commit::commit(repository, lock, &file, &seen)?;
        if !is_keeping {
            snapshots::remove(repository, snapshot.id)?;
        }
        replaced.push((snapshot.id, new));
    }
    if !is_keeping {
        drop_vanished(repository, lock, plan)?;
    }
    Ok(replaced)
}

/// Takes out the marks of packs that are gone: the lengths they kept are no longer needed.
fn drop_vanished(
    repository: &Repository,
    lock: &Lock<'_>,
    plan: &SnapshotRepairPlan,
) -> Result<()> {
    let mut gone: HashSet<PackId> = plan.index.marked().iter().map(|mark| mark.id).collect();
    for listed in repository.list(FileKind::Pack)? {
        gone.remove(&listed.id.into());
    }
    commit::drop_marks(repository, lock, plan.index.files(), &gone)
}

struct Rewrite<'a> {
    repository: &'a Repository,
    plan: &'a SnapshotRepairPlan,
    writer: &'a BlobWriter<'a>,
    bench: Bench,
    done: HashMap<BlobId, BlobId>,
}

impl Rewrite<'_> {
    fn tree(&mut self, id: &BlobId, depth: u32) -> Result<BlobId> {
        require_depth(depth, &format!("tree {id}"))?;
        if let Some(new) = self.done.get(id) {
            return Ok(*new);
        }
        let read = BlobReader::new(self.repository, &self.plan.index).tree(id);
        let mut tree = match read {
            Ok(tree) => tree,
            Err(error) if !is_damage(&error) => return Err(error),
            Err(_) => Tree::default(),
        };
        for node in &mut tree.nodes {
            self.node(node, depth)?;
        }
        let json = tree
            .encode()
            .doing(|| format!("cannot rewrite tree {id}"))?;
        let new = BlobId::of(&json);
        self.writer
            .put(BlobKind::Tree, &new, &json, &mut self.bench)?;
        self.done.insert(*id, new);
        Ok(new)
    }

    fn node(&mut self, node: &mut Node, depth: u32) -> Result<()> {
        if let (NodeKind::Dir, Some(subtree)) = (node.kind, node.subtree) {
            node.subtree = Some(self.tree(&subtree, depth + 1)?);
        } else if let Some(content) = self.plan.content(node) {
            let mut ids = Vec::with_capacity(content.parts.len());
            for part in content.parts {
                match part {
                    Part::Kept(id) => ids.push(id),
                    Part::Zeros(length) => self.zeros(length, &mut ids)?,
                }
            }
            node.set_content(ids);
        }
        Ok(())
    }

    /// Stores zeros in pieces and adds their names; equal pieces are stored once.
    fn zeros(&mut self, length: u64, ids: &mut Vec<BlobId>) -> Result<()> {
        let whole = length / content::ZERO_PIECE;
        if whole > 0 {
            let id = self.zero_piece(content::ZERO_PIECE)?;
            ids.extend((0..whole).map(|_| id));
        }
        if !length.is_multiple_of(content::ZERO_PIECE) {
            ids.push(self.zero_piece(length % content::ZERO_PIECE)?);
        }
        Ok(())
    }

    /// `length` is at most [`content::ZERO_PIECE`].
    fn zero_piece(&mut self, length: u64) -> Result<BlobId> {
        let zeros = vec![0; length as usize];
        let id = BlobId::of(&zeros);
        self.writer
            .put(BlobKind::Data, &id, &zeros, &mut self.bench)?;
        Ok(id)
    }
}
