//! Making snapshots readable again: lost data becomes zeros, lost folders become empty.

use std::collections::HashSet;

use lifeboat_backend::FileKind;
use lifeboat_format::{BlobId, BlobKind, PackId, SnapshotId};

use super::rewrite::Rewrite;
use super::sight::Sight;
use super::survey::Survey;
use super::{LostRanges, Mended};
use crate::{
    BlobReader, Lock, Repository, Result, Snapshot, WriteOptions, commit, snapshots, writer,
};

/// Which snapshots lose what.
pub struct SnapshotRepairPlan {
    /// Everything that is lost, by snapshot and path.
    pub lost: Vec<LostRanges>,
    /// What breaks a rule and loses nothing by being put right.
    pub mended: Vec<Mended>,
    /// The snapshots that will be replaced.
    pub snapshots: Vec<SnapshotId>,
    /// Blobs that lie in packs marked for removal only; they are stored again.
    pub rescued: Vec<(BlobKind, BlobId)>,
    damaged: Vec<Snapshot>,
    sight: Sight,
}

impl SnapshotRepairPlan {
    /// Says whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && self.rescued.is_empty()
    }
}

/// Tag of a snapshot that was repaired.
pub const REPAIRED_TAG: &str = "lifeboat-repaired";

/// Walks all snapshots and says which byte ranges of which files are lost.
///
/// A blob counts as lost when no index lists it, or only packs that are gone, and no pack that is
/// marked for removal holds a sound copy.
///
/// Errors: `Corrupt` when a pack that no index lists holds what seems to be lost, or when it cannot
/// be said what a file's size should be: another repair comes first then.
///
/// Cost: reads every tree once, and of data what only marked packs hold or sizes disagree about.
pub fn plan_snapshots(repository: &Repository) -> Result<SnapshotRepairPlan> {
    let listed = snapshots::list_tolerant(repository)?.0;
    let sight = Sight::new(repository)?;
    let mut survey = Survey::new(repository, &sight);
    let mut damaged = Vec::new();
    for snapshot in listed {
        repository.environment().check_cancelled()?;
        if survey.snapshot(&snapshot)? {
            damaged.push(snapshot);
        }
    }
    let (lost, mended) = survey.finish();
    let gone: HashSet<BlobId> = lost.iter().flat_map(|lost| &lost.blobs).copied().collect();
    sight.check_unlisted(repository, &gone)?;
    Ok(SnapshotRepairPlan {
        lost,
        mended,
        snapshots: damaged.iter().map(|snapshot| snapshot.id).collect(),
        rescued: sight.rescued(),
        damaged,
        sight,
    })
}

/// Replaces every damaged snapshot by a readable one; gives old and new names.
///
/// The new snapshot is tagged [`REPAIRED_TAG`]. `is_keeping` leaves the damaged one in place.
///
/// Order: what is rescued or new is durable and indexed, then a new snapshot, then the old one
/// goes.
pub fn apply_snapshots(
    repository: &Repository,
    lock: &Lock<'_>,
    plan: &SnapshotRepairPlan,
    is_keeping: bool,
    options: WriteOptions,
) -> Result<Vec<(SnapshotId, SnapshotId)>> {
    let sight = &plan.sight;
    // Blobs of packs that are gone must be stored again, whatever the index says.
    let present = super::packs::without(&sight.index, &sight.lost_packs);
    let (roots, _, files) = writer::write(repository, &present, lock, options, |writer| {
        rescue(repository, plan, writer)?;
        let mut rewrite = Rewrite::new(repository, sight, writer);
        plan.damaged
            .iter()
            .map(|s| rewrite.tree(&s.file.tree, 0))
            .collect::<Result<Vec<_>>>()
    })?;
    let seen: Vec<_> = sight.index.settled_files().chain(files).collect();
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

/// Stores again what only marked packs hold: a prune may remove those, and some are damaged.
fn rescue(
    repository: &Repository,
    plan: &SnapshotRepairPlan,
    writer: &crate::BlobWriter<'_>,
) -> Result<()> {
    let (mut bench, mut plaintext) = (writer.bench(), Vec::new());
    let mut reader = BlobReader::new(repository, &plan.sight.all);
    for (kind, id) in &plan.rescued {
        reader.get_into(*kind, id, &mut plaintext)?;
        writer.put(*kind, id, &plaintext, &mut bench)?;
    }
    Ok(())
}

/// Takes out the marks of packs that are gone: the lengths they kept are no longer needed.
fn drop_vanished(
    repository: &Repository,
    lock: &Lock<'_>,
    plan: &SnapshotRepairPlan,
) -> Result<()> {
    let index = &plan.sight.index;
    let mut gone: HashSet<PackId> = index.marked().iter().map(|mark| mark.id).collect();
    for listed in repository.list(FileKind::Pack)? {
        gone.remove(&listed.id.into());
    }
    commit::drop_marks(repository, lock, index.files(), &gone)
}
