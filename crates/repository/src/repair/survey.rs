//! Walking snapshots to find what they have lost. Changes nothing.

use std::collections::HashSet;

use lifeboat_format::{BlobId, NodeKind, Tree};
use lifeboat_model::ExtentSet;

use super::depth::require_depth;
use super::rules;
use super::sight::Sight;
use super::{LostRanges, Mended};
use crate::{Repository, Result, Snapshot};

/// Most findings that are listed of one snapshot: a small hostile tree that repeats itself can have
/// any number. Beyond it the rest of the snapshot is repaired without being listed.
const FINDINGS_MAX: usize = 10_000;

/// What was found so far.
pub(super) struct Survey<'a> {
    repository: &'a Repository,
    sight: &'a Sight,
    /// Trees below which nothing is to be done.
    sound: HashSet<BlobId>,
    lost: Vec<LostRanges>,
    mended: Vec<Mended>,
    /// As many findings as there may be at the end of the snapshot under way.
    count_max: usize,
}

impl<'a> Survey<'a> {
    pub(super) fn new(repository: &'a Repository, sight: &'a Sight) -> Self {
        Self {
            repository,
            sight,
            sound: HashSet::new(),
            lost: Vec::new(),
            mended: Vec::new(),
            count_max: FINDINGS_MAX,
        }
    }

    pub(super) fn finish(self) -> (Vec<LostRanges>, Vec<Mended>) {
        (self.lost, self.mended)
    }

    /// Says whether there is something to repair.
    pub(super) fn snapshot(&mut self, snapshot: &Snapshot) -> Result<bool> {
        let before = self.count();
        self.count_max = before + FINDINGS_MAX;
        self.tree(snapshot, &snapshot.file.tree, "", 0)?;
        Ok(self.count() > before)
    }

    fn count(&self) -> usize {
        self.lost.len() + self.mended.len()
    }

    fn tree(&mut self, snapshot: &Snapshot, id: &BlobId, path: &str, depth: u32) -> Result<()> {
        require_depth(depth, path)?;
        let before = self.count();
        if self.sound.contains(id) || before >= self.count_max {
            return Ok(());
        }
        match self.sight.tree(self.repository, id)? {
            Some(tree) => self.nodes(snapshot, tree, path, depth)?,
            None => self.lose(snapshot, format!("{path}/"), ExtentSet::new(), vec![*id]),
        }
        if self.count() == before && before < self.count_max {
            self.sound.insert(*id);
        }
        Ok(())
    }

    fn nodes(&mut self, snapshot: &Snapshot, mut tree: Tree, path: &str, depth: u32) -> Result<()> {
        for node in &tree.nodes {
            let name = node.shown_name();
            let below = format!("{path}/{name}");
            if let (NodeKind::Dir, Some(subtree)) = (node.kind, &node.subtree) {
                self.tree(snapshot, subtree, &below, depth + 1)?;
            } else if let Some(content) = self.sight.content(self.repository, node)? {
                self.lose(snapshot, below, content.lost, content.lost_blobs);
            } else if let Some(size) = self.sight.true_size(self.repository, node)? {
                let what = format!("its size is {size}, not {} bytes", node.size);
                self.mend(snapshot, path, &name, what);
            }
        }
        for done in rules::mend(&mut tree) {
            self.mend(snapshot, path, &done.name, done.what);
        }
        Ok(())
    }

    fn mend(&mut self, snapshot: &Snapshot, folder: &str, name: &str, what: String) {
        self.mended.push(Mended {
            snapshot: snapshot.id,
            host: snapshot.file.hostname.clone(),
            path: format!("{folder}/{name}"),
            what,
        });
    }

    fn lose(&mut self, snapshot: &Snapshot, path: String, ranges: ExtentSet, blobs: Vec<BlobId>) {
        self.lost.push(LostRanges {
            snapshot: snapshot.id,
            host: snapshot.file.hostname.clone(),
            path,
            ranges,
            blobs,
        });
    }
}
