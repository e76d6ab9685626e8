//! Snapshots that appear while a prune is at work.

use std::collections::HashSet;

use lifeboat_backend::FileKind;
use lifeboat_format::{BlobId, PackId, SnapshotId};
use lifeboat_model::ErrorKind;

use super::PrunePlan;
use crate::{Lock, Repository, Result, commit, snapshots, walk};

/// The list is taken again so often while snapshots vanish under it.
const LISTS_MAX: usize = 20;

/// Looks at the snapshots again, and lists packs that new ones need.
///
/// Order: after the marks are stored, before the old index files go: until then nothing has left
/// the index. A writer looks the other way round, see [`commit::commit`]. Once more when they are
/// gone: for a writer that was killed before it looked.
pub(super) struct Lookout<'a> {
    repository: &'a Repository,
    lock: &'a Lock<'a>,
    is_alone: bool,
    known: HashSet<SnapshotId>,
    /// Packs that stay after all.
    pub(super) rescued: HashSet<PackId>,
}

impl<'a> Lookout<'a> {
    pub(super) fn new(repository: &'a Repository, lock: &'a Lock<'a>, plan: &PrunePlan) -> Self {
        Self {
            repository,
            lock,
            is_alone: plan.options.is_instant,
            known: plan.snapshots.iter().copied().collect(),
            rescued: HashSet::new(),
        }
    }

    pub(super) fn look(&mut self) -> Result<()> {
        if self.is_alone {
            return Ok(());
        }
        let roots = self.fresh_roots()?;
        if roots.is_empty() {
            return Ok(());
        }
        let index = self.repository.load_index()?;
        let with_marked = commit::with_marked(&index);
        let (used, _) = walk::used(self.repository, &with_marked, roots)?;
        let marks = index.marked().iter().chain(index.doubtful());
        let at_risk = marks.map(|mark| mark.id).collect();
        let relisted = commit::relist(self.repository, self.lock, &with_marked, &at_risk, &used)?;
        self.rescued.extend(relisted.packs);
        Ok(())
    }

    /// The trees of snapshots that were not known.
    ///
    /// Starts over when one vanishes meanwhile: a change of tags stores a new record and removes
    /// the old one, and would otherwise be missed between the two.
    fn fresh_roots(&mut self) -> Result<Vec<BlobId>> {
        let mut roots = Vec::new();
        for _ in 0..LISTS_MAX {
            let mut is_complete = true;
            for listed in self.repository.list(FileKind::Snapshot)? {
                let id = listed.id.into();
                if self.known.contains(&id) {
                    continue;
                }
                match snapshots::load(self.repository, id) {
                    Ok(snapshot) => {
                        roots.push(snapshot.file.tree);
                        self.known.insert(id);
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound => is_complete = false,
                    Err(error) => return Err(error),
                }
            }
            if is_complete {
                break;
            }
        }
        Ok(roots)
    }
}
