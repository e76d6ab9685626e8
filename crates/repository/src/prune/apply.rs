//! Doing what the plan says.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use jiff::Timestamp;
use lifeboat_backend::{FileHandle, FileKind};
use lifeboat_format::{self as format, IndexFile, IndexId, IndexPack, MarkedPack, PackId};
use lifeboat_model::Phase;

use super::look::Lookout;
use super::{PrunePlan, Pruned, RepackedPack, SizedPack};
use crate::error::Doing;
use crate::{
    BlobOpener, BlobWriter, Index, Lock, Repository, Result, commit, load, reserve, writer,
};

/// restic's own limit for one index file.
const INDEX_BLOBS_MAX: usize = 50_000;

/// Index files with fewer blobs are merged when they are rewritten anyway.
const INDEX_BLOBS_SMALL: usize = 10_000;

/// Executes `plan`.
///
/// Order: what no index lists goes first, if it goes at once; copies of moved blobs are durable and
/// indexed; then the new index with the marks; then the snapshots are looked at again, and what
/// new ones need is listed again; then the old index files go; then the snapshots are looked at
/// once more; only then packs are removed, and then their marks.
pub fn apply(repository: &Repository, lock: &Lock<'_>, plan: &PrunePlan) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    reserve::sweep(repository, None);
    if plan.is_empty() {
        return Ok(pruned);
    }
    if plan.options.is_instant {
        lock.check_thoroughly()?;
        let unlisted = plan.unlisted.iter().map(|pack| pack.id);
        pruned.removed_packs = remove_packs(repository, lock, unlisted, &HashSet::new())?;
    }
    if !plan.repack.is_empty() {
        pruned.repacked_bytes = repack(repository, lock, plan)?;
    }
    lock.check_thoroughly()?;
    let rewritten = store_index(repository, lock, plan)?;
    let mut lookout = Lookout::new(repository, lock, plan);
    lookout.look()?;
    remove_old_index(repository, lock, &rewritten)?;
    lookout.look_at_last()?;
    let rescued = lookout.rescued;
    pruned.rescued_packs = rescued.len() as u64;
    let dropped = dropped(plan);
    if plan.options.is_instant {
        let gone: HashSet<_> = plan.unlisted.iter().map(|pack| pack.id).collect();
        let ids = dropped.iter().map(|pack| pack.id);
        let ids = ids.filter(|id| !gone.contains(id));
        let ids = ids.chain(plan.remove.iter().map(|m| m.id));
        pruned.removed_packs += remove_packs(repository, lock, ids, &rescued)?;
    } else {
        pruned.marked_packs = dropped.len() as u64;
        let ids = plan.remove.iter().map(|mark| mark.id);
        let settled = ids.clone().chain(rescued.iter().copied()).collect();
        pruned.removed_packs = remove_packs(repository, lock, ids, &rescued)?;
        commit::drop_marks(repository, lock, rewritten.marks.as_slice(), &settled)?;
    }
    Ok(pruned)
}

/// Packs that leave the index by this plan.
fn dropped(plan: &PrunePlan) -> Vec<SizedPack> {
    let repacked = plan.repack.iter().map(|repacked| repacked.pack);
    plan.mark
        .iter()
        .chain(&plan.unlisted)
        .copied()
        .chain(repacked)
        .collect()
}

/// Copies the live blobs of sparsely used packs into new packs; gives the sealed bytes written.
fn repack(repository: &Repository, lock: &Lock<'_>, plan: &PrunePlan) -> Result<u64> {
    let progress = &repository.environment().progress;
    progress.begin(Phase::Repack, plan.repack_bytes());
    // The old copies are in the index: an empty one makes the writer store every blob once.
    let empty = Index::default();
    let options = plan.options.write;
    let (_, totals, _) = writer::write(repository, &empty, lock, options, |writer| {
        let repacker = || Repacker::new(repository, writer);
        load::each_with(repository, &plan.repack, repacker, Repacker::repack)
    })?;
    Ok(totals.added_packed)
}

/// Copies sealed blobs as they are; one per thread, it reuses its buffers.
struct Repacker<'a> {
    repository: &'a Repository,
    writer: &'a BlobWriter<'a>,
    opener: BlobOpener<'a>,
    bytes: Vec<u8>,
    sealed: Vec<u8>,
    plaintext: Vec<u8>,
}

impl<'a> Repacker<'a> {
    fn new(repository: &'a Repository, writer: &'a BlobWriter<'a>) -> Self {
        Self {
            repository,
            writer,
            opener: BlobOpener::new(repository),
            bytes: Vec::new(),
            sealed: Vec::new(),
            plaintext: Vec::new(),
        }
    }

    fn repack(&mut self, repacked: &RepackedPack) -> Result<()> {
        let file = FileHandle {
            kind: FileKind::Pack,
            id: repacked.pack.id.into(),
        };
        for run in runs(&repacked.live) {
            let start = u64::from(run[0].offset);
            let length: u64 = run.iter().map(|blob| u64::from(blob.length)).sum();
            self.bytes.resize(length as usize, 0);
            let backend = self.repository.backend();
            backend
                .read(file, start, &mut self.bytes)
                .doing(|| format!("cannot repack {file}"))?;
            for blob in run {
                self.copy(blob, (u64::from(blob.offset) - start) as usize)?;
            }
        }
        Ok(())
    }

    /// Opens and hashes the blob at `at` of what was read; stores it only if it is sound.
    fn copy(&mut self, blob: &format::PackEntry, at: usize) -> Result<()> {
        let bytes = &mut self.bytes[at..at + blob.length as usize];
        self.sealed.clear();
        self.sealed.extend_from_slice(bytes);
        let opened = format::Sealed {
            bytes,
            kind: blob.kind,
            uncompressed_length: blob.uncompressed_length,
        };
        self.opener.open(opened, &blob.id, &mut self.plaintext)?;
        self.writer
            .put_sealed(blob, &self.sealed, self.plaintext.len())?;
        let progress = &self.repository.environment().progress;
        progress.advance(u64::from(blob.length));
        Ok(())
    }
}

/// Groups blobs that lie side by side, so that each group is one read.
fn runs(blobs: &[format::PackEntry]) -> impl Iterator<Item = &[format::PackEntry]> {
    blobs.chunk_by(|a, b| a.offset.checked_add(a.length) == Some(b.offset))
}

/// Index files before and after.
struct Rewritten {
    /// What the new ones replace.
    old: Vec<IndexId>,
    new: Vec<IndexId>,
    /// The new one that carries the marks.
    marks: Option<IndexId>,
}

/// Stores the index anew without the dropped packs and with the marks.
///
/// Only files that list an affected pack, carry marks or are small are rewritten.
fn store_index(repository: &Repository, lock: &Lock<'_>, plan: &PrunePlan) -> Result<Rewritten> {
    repository
        .environment()
        .progress
        .begin(Phase::Record, plan.index_files.len() as u64);
    let now = repository.environment().now();
    let mut rewrite = Rewrite::new(repository, lock, plan);
    rewrite
        .packs
        .extend(plan.unmark.iter().map(|mark| IndexPack {
            id: mark.id,
            blobs: mark.blobs.clone(),
            time: Some(now),
            size: None,
        }));
    for id in &plan.index_files {
        rewrite.take(*id)?;
        repository.environment().progress.advance(1);
    }
    let marks = marks(repository, plan, &rewrite.leaving, now)?;
    let marks = rewrite.finish(marks)?;
    Ok(Rewritten {
        old: rewrite.old,
        new: rewrite.new,
        marks,
    })
}

fn remove_old_index(repository: &Repository, lock: &Lock<'_>, rewritten: &Rewritten) -> Result<()> {
    lock.check_thoroughly()?;
    for id in &rewritten.old {
        // A plan that changes nothing in a file writes the very same file again.
        if !rewritten.new.contains(id) {
            lock.check()?;
            repository.remove(FileKind::Index, (*id).into())?;
        }
    }
    Ok(())
}

/// The marks that the new index carries: old ones in their grace, and new ones.
fn marks(
    repository: &Repository,
    plan: &PrunePlan,
    leaving: &HashMap<PackId, IndexPack>,
    now: Timestamp,
) -> Result<Vec<MarkedPack>> {
    let mut marks = plan.marked.clone();
    if plan.options.is_instant {
        return Ok(marks);
    }
    // Marks whose time is over stay until their pack is gone: a crash in between loses nothing.
    marks.extend(plan.remove.iter().cloned());
    for pack in dropped(plan) {
        let blobs = match leaving.get(&pack.id) {
            Some(listed) => listed.blobs.clone(),
            // The header of an interrupted upload may be unreadable: then it is marked without.
            None => crate::pack::read_header(repository, pack.id, pack.size).unwrap_or_default(),
        };
        marks.push(MarkedPack {
            id: pack.id,
            time: now,
            blobs,
            size: None,
        });
    }
    Ok(marks)
}

struct Rewrite<'a> {
    repository: &'a Repository,
    lock: &'a Lock<'a>,
    plan: &'a PrunePlan,
    dropped: HashSet<PackId>,
    packs: Vec<IndexPack>,
    leaving: HashMap<PackId, IndexPack>,
    old: Vec<IndexId>,
    new: Vec<IndexId>,
}

impl<'a> Rewrite<'a> {
    fn new(repository: &'a Repository, lock: &'a Lock<'a>, plan: &'a PrunePlan) -> Self {
        let dropped = dropped(plan)
            .iter()
            .map(|pack| pack.id)
            .chain(plan.vanished.clone())
            .collect();
        let (packs, leaving, old, new) = (Vec::new(), HashMap::new(), Vec::new(), Vec::new());
        Self {
            repository,
            lock,
            plan,
            dropped,
            packs,
            leaving,
            old,
            new,
        }
    }

    /// Takes one index file in, if it is to be rewritten.
    fn take(&mut self, id: IndexId) -> Result<()> {
        let file = load::index_file(self.repository, id.into())?;
        let blobs: usize = file.packs.iter().map(|pack| pack.blobs.len()).sum();
        // Who marked a listed pack and was stopped before it removed this file may still do so.
        let doubtful = &self.plan.doubtful;
        let is_affected = file
            .packs
            .iter()
            .any(|pack| self.dropped.contains(&pack.id) || doubtful.contains(&pack.id));
        let has_marks = !file.packs_to_delete.is_empty();
        if !is_affected && !has_marks && blobs >= INDEX_BLOBS_SMALL {
            return Ok(());
        }
        self.old.push(id);
        for pack in file.packs {
            if self.dropped.contains(&pack.id) {
                self.leaving.insert(pack.id, pack);
            } else {
                self.packs.push(pack);
            }
        }
        self.flush(INDEX_BLOBS_MAX)
    }

    /// Writes full index files while there are at least `blobs_min` blobs waiting.
    fn flush(&mut self, blobs_min: usize) -> Result<()> {
        loop {
            let mut blobs = 0;
            let full = self.packs.iter().position(|pack| {
                blobs += pack.blobs.len();
                blobs >= INDEX_BLOBS_MAX
            });
            let count = full.map_or(self.packs.len(), |last| last + 1);
            if blobs < blobs_min || count == 0 {
                return Ok(());
            }
            let packs = self.packs.drain(..count).collect();
            self.save(&IndexFile {
                packs,
                ..IndexFile::default()
            })?;
        }
    }

    fn save(&mut self, file: &IndexFile) -> Result<IndexId> {
        let id = commit::save_index(self.repository, self.lock, file)?;
        self.new.push(id);
        Ok(id)
    }

    fn finish(&mut self, packs_to_delete: Vec<MarkedPack>) -> Result<Option<IndexId>> {
        self.flush(0)?;
        let marks = IndexFile {
            packs_to_delete,
            ..IndexFile::default()
        };
        let is_needed = !marks.packs_to_delete.is_empty();
        let file = is_needed.then(|| self.save(&marks)).transpose()?;
        let unmarked = self.plan.unmark.len();
        assert!(
            unmarked == 0 || !self.new.is_empty(),
            "packs that are needed must be listed"
        );
        Ok(file)
    }
}

fn remove_packs(
    repository: &Repository,
    lock: &Lock<'_>,
    packs: impl Iterator<Item = PackId>,
    rescued: &HashSet<PackId>,
) -> Result<u64> {
    let packs: Vec<PackId> = packs.filter(|id| !rescued.contains(id)).collect();
    repository
        .environment()
        .progress
        .begin(Phase::Remove, packs.len() as u64);
    let removed = Mutex::new(0);
    load::each(repository, &packs, |id| {
        lock.check()?;
        repository.remove(FileKind::Pack, (*id).into())?;
        repository.environment().progress.advance(1);
        *removed.lock().unwrap_or_else(|poison| poison.into_inner()) += 1;
        Ok(())
    })?;
    Ok(removed
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner()))
}
