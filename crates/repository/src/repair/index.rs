//! Building the index anew from the packs.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use lifeboat_backend::FileKind;
use lifeboat_format::{
    self as format, IndexFile, IndexId, IndexPack, MarkedPack, PackEntry, PackId,
};
use lifeboat_model::{ErrorKind, Phase};

use super::LostPack;
use crate::check::{self, Finding, chain};
use crate::{Index, Lock, Repository, Result, commit, load, pack};

const INDEX_BLOBS_MAX: usize = 50_000;

/// How the index will be repaired.
#[derive(Debug, Default)]
pub struct IndexRepairPlan {
    /// Index files that cannot be read; they are removed at the end.
    pub broken_files: Vec<Finding>,
    /// Packs that the index lists and that are gone: their entries are dropped.
    pub missing: Vec<PackId>,
    /// Packs that were read because the index did not list them, or not rightly.
    pub read: Vec<PackId>,
    /// Packs whose header cannot be read: what the index knows of their blobs is kept for a
    /// repair of packs.
    pub unreadable: Vec<LostPack>,
    /// Packs the new index lists.
    pub packs: usize,
    entries: Vec<IndexPack>,
    marked: Vec<MarkedPack>,
    old: Vec<IndexId>,
}

impl IndexRepairPlan {
    /// Says whether the index is right as it is.
    pub fn is_empty(&self) -> bool {
        self.broken_files.is_empty() && self.missing.is_empty() && self.read.is_empty()
    }
}

/// Compares index and packs; reads the header of every pack that is not listed rightly.
///
/// `is_thorough` reads the headers of all packs and trusts no index.
pub fn plan_index(repository: &Repository, is_thorough: bool) -> Result<IndexRepairPlan> {
    let mut plan = IndexRepairPlan::default();
    let index = check::read_index(repository, &mut plan.broken_files)?;
    plan.old = repository
        .list(FileKind::Index)?
        .iter()
        .map(|file| file.id.into())
        .collect();
    let sizes: HashMap<PackId, u64> = repository
        .list(FileKind::Pack)?
        .iter()
        .map(|f| (f.id.into(), f.size))
        .collect();
    let mut unknown: HashMap<PackId, u64> = sizes.clone();
    for (listed, blobs) in index.packs().iter().zip(index.by_pack()) {
        let Some(size) = sizes.get(&listed.id) else {
            plan.missing.push(listed.id);
            // A mark keeps the lengths of what is lost, until snapshots are repaired.
            plan.marked.push(MarkedPack {
                id: listed.id,
                time: repository.environment().now(),
                blobs,
                size: None,
            });
            continue;
        };
        let is_right = format::is_contiguous(&blobs) && format::pack_size(&blobs) == *size;
        if is_right && !is_thorough {
            unknown.remove(&listed.id);
            let (id, time) = (listed.id, listed.time);
            plan.entries.push(IndexPack {
                id,
                blobs,
                time,
                size: None,
            });
        }
    }
    for mark in index.marked() {
        unknown.remove(&mark.id);
        plan.marked.push(mark.clone());
    }
    read_headers(repository, unknown.into_iter().collect(), &mut plan)?;
    keep_unreadable(&index, &mut plan);
    plan.packs = plan.entries.len();
    Ok(plan)
}

/// Lists packs with an unreadable header as before: blobs in them may be sound, and nothing else
/// says where they lie.
fn keep_unreadable(index: &Index, plan: &mut IndexRepairPlan) {
    let lost: HashSet<PackId> = plan.unreadable.iter().map(|lost| lost.pack).collect();
    if lost.is_empty() {
        return;
    }
    let listed = index.packs().iter().zip(index.by_pack());
    let kept = listed.filter(|(pack, _)| lost.contains(&pack.id));
    plan.entries.extend(kept.map(|(pack, blobs)| IndexPack {
        id: pack.id,
        blobs,
        time: pack.time,
        size: None,
    }));
}

fn read_headers(
    repository: &Repository,
    mut packs: Vec<(PackId, u64)>,
    plan: &mut IndexRepairPlan,
) -> Result<()> {
    packs.sort_unstable();
    repository
        .environment()
        .progress
        .begin(Phase::LoadIndex, packs.len() as u64);
    let found = Mutex::new((Vec::<(PackId, Vec<PackEntry>)>::new(), Vec::new()));
    load::each(repository, &packs, |(id, size)| {
        let header = pack::read_header(repository, *id, *size);
        let mut found = found.lock().unwrap_or_else(|poison| poison.into_inner());
        match header {
            Ok(blobs) => found.0.push((*id, blobs)),
            // A header of a newer program is as good as none: its pack is told, the others count.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                found.1.push(LostPack {
                    pack: *id,
                    seen: chain(&error),
                });
            }
            Err(error) => return Err(error),
        }
        repository.environment().progress.advance(1);
        Ok(())
    })?;
    let (mut read, unreadable) = found
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    read.sort_unstable_by_key(|(id, _)| *id);
    plan.read = read.iter().map(|(id, _)| *id).collect();
    let packs = read.into_iter().map(|(id, blobs)| IndexPack {
        id,
        blobs,
        time: None,
        size: None,
    });
    plan.entries.extend(packs);
    plan.unreadable = unreadable;
    Ok(())
}

/// Writes the new index, then removes the old one.
pub fn apply_index(repository: &Repository, lock: &Lock<'_>, plan: &IndexRepairPlan) -> Result<()> {
    let mut new = Vec::new();
    let mut file = IndexFile {
        packs_to_delete: plan.marked.clone(),
        ..IndexFile::default()
    };
    let mut blobs = 0;
    for pack in &plan.entries {
        blobs += pack.blobs.len();
        file.packs.push(pack.clone());
        if blobs >= INDEX_BLOBS_MAX {
            new.push(commit::save_index(repository, lock, &file)?);
            (file, blobs) = (IndexFile::default(), 0);
        }
    }
    if !file.packs.is_empty() || !file.packs_to_delete.is_empty() {
        new.push(commit::save_index(repository, lock, &file)?);
    }
    lock.check_thoroughly()?;
    for old in plan.old.iter().filter(|old| !new.contains(*old)) {
        repository.remove(FileKind::Index, (*old).into())?;
    }
    Ok(())
}
