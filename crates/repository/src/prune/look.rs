//! Snapshots that appear while a prune is at work.

use std::collections::{BTreeMap, HashSet};

use lifeboat_backend::FileKind;
use lifeboat_format::{BlobId, PackId, SnapshotId};
use lifeboat_model::ErrorKind;

use super::PrunePlan;
use crate::{Lock, Repository, Result, commit, snapshots, walk};

/// The list is taken again so often while snapshots vanish under it.
const LISTS_MAX: usize = 20;

/// So often is the last look tried while the place fails.
const LOOKS_MAX: usize = 5;

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

    /// Looks until a look ends: what the first one did not see hangs on this one alone.
    ///
    /// A place that answers again within [`LOOKS_MAX`] looks is as one that never failed.
    pub(super) fn look_at_last(&mut self) -> Result<()> {
        for _ in 1..LOOKS_MAX {
            match self.look() {
                Err(error) if matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Io) => {}
                ended => return ended,
            }
        }
        self.look()
    }

    pub(super) fn look(&mut self) -> Result<()> {
        if self.is_alone {
            return Ok(());
        }
        let fresh = self.fresh_roots()?;
        if fresh.is_empty() {
            return Ok(());
        }
        let roots: Vec<_> = fresh.values().copied().collect();
        let index = self.repository.load_index()?;
        let with_marked = commit::with_marked(&index);
        let (used, _) = walk::used(self.repository, &with_marked, roots)?;
        let marks = index.marked().iter().chain(index.doubtful());
        let at_risk = marks.map(|mark| mark.id).collect();
        let relisted = commit::relist(self.repository, self.lock, &with_marked, &at_risk, &used)?;
        self.rescued.extend(relisted.packs);
        self.known.extend(fresh.into_keys());
        Ok(())
    }

    /// The trees of snapshots that were not known.
    ///
    /// Starts over when one vanishes meanwhile: a change of tags stores a new record and removes
    /// the old one, and would otherwise be missed between the two.
    fn fresh_roots(&self) -> Result<BTreeMap<SnapshotId, BlobId>> {
        let mut roots = BTreeMap::new();
        for _ in 0..LISTS_MAX {
            let mut is_complete = true;
            for listed in self.repository.list(FileKind::Snapshot)? {
                let id = listed.id.into();
                if self.known.contains(&id) || roots.contains_key(&id) {
                    continue;
                }
                match snapshots::load(self.repository, id) {
                    Ok(snapshot) => {
                        roots.insert(id, snapshot.file.tree);
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
