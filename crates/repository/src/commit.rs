//! Making a snapshot visible, beside a prune that may run at the same moment.

use std::collections::{HashMap, HashSet};

use lifeboat_backend::FileKind;
use lifeboat_format::{
    IndexFile, IndexId, IndexPack, MarkedPack, PackId, SnapshotFile, SnapshotId,
};
use lifeboat_model::ErrorKind;

use crate::{Error, Index, Lock, Repository, Result, prune, snapshots, walk};

/// Stores `file` as the last step of a run, and makes sure that what it needs stays.
///
/// `seen` are the index files the run relied on: those it loaded and those it wrote. When a prune
/// has replaced some of them, blobs that this snapshot needs may be marked for removal: their
/// packs are listed again. Prune looks at the snapshots after it has replaced the index, we look at
/// the index after we have stored the snapshot: one of the two always sees the other.
///
/// Errors: `Busy` if our lock was lost or needed data is gone already; then no snapshot remains.
///
/// Source: decision 0003.
pub fn commit(
    repository: &Repository,
    lock: &Lock<'_>,
    file: &SnapshotFile,
    seen: &[IndexId],
) -> Result<SnapshotId> {
    lock.check_thoroughly()?;
    rescue(repository, lock, file, seen)?;
    let id = snapshots::save(repository, file)?;
    let kept = lock
        .check()
        .and_then(|()| rescue(repository, lock, file, seen));
    if let Err(error) = kept {
        snapshots::remove(repository, id)?;
        return Err(error);
    }
    Ok(id)
}

/// Lists packs again that were marked for removal and that `file` needs.
///
/// Marks that are older than our lock by more than the allowance for clocks do not count: by the
/// same rule a prune may be removing their packs at this moment.
fn rescue(
    repository: &Repository,
    lock: &Lock<'_>,
    file: &SnapshotFile,
    seen: &[IndexId],
) -> Result<()> {
    let listed = repository.list(FileKind::Index)?;
    let exists = |id: &IndexId| {
        listed
            .binary_search_by_key(&id.id(), |file| file.id)
            .is_ok()
    };
    if seen.iter().all(exists) {
        return Ok(());
    }
    let index = repository.load_index()?;
    let with_marked = with_marks(&index, |mark| !prune::is_before_writer(mark, lock.start()));
    let (used, missing) = walk::used(repository, &with_marked, [file.tree])?;
    if let Some(blob) = missing.first() {
        let doing = format!(
            "a prune removed data this run relied on ({} blob {}): run it again",
            blob.kind, blob.id
        );
        return Err(Error::new(ErrorKind::Busy, doing));
    }
    relist(repository, lock, &index, &with_marked, &used).map(|_| ())
}

/// Stores an index file under a lock that holds before and after.
///
/// Who was stopped in between may have listed packs that others have removed meanwhile, and the
/// next backup would rely on them: the file is taken back.
pub(crate) fn save_index(
    repository: &Repository,
    lock: &Lock<'_>,
    file: &IndexFile,
) -> Result<IndexId> {
    lock.check()?;
    let id = repository.save_unpacked(FileKind::Index, &file.encode())?;
    if let Err(error) = lock.check() {
        repository.remove(FileKind::Index, id)?;
        return Err(error);
    }
    Ok(id.into())
}

/// The index together with the packs that are marked for removal: what [`commit`] can bring back.
pub fn with_marked(index: &Index) -> Index {
    with_marks(index, |_| true)
}

fn with_marks(index: &Index, counts: impl Fn(&MarkedPack) -> bool) -> Index {
    let mut builder = crate::IndexBuilder::new();
    for (pack, blobs) in index.packs().iter().zip(index.by_pack()) {
        builder.add_pack(pack.id, pack.time, &blobs);
    }
    for mark in index.marked().iter().filter(|mark| counts(mark)) {
        builder.add_pack(mark.id, None, &mark.blobs);
    }
    builder.build()
}

/// Takes the marks of packs that are gone out of `files`.
///
/// Other programs take a mark for the word that the pack is there.
pub(crate) fn drop_marks(
    repository: &Repository,
    lock: &Lock<'_>,
    files: &[IndexId],
    gone: &HashSet<PackId>,
) -> Result<()> {
    for id in files {
        let mut file = crate::load::index_file(repository, (*id).into())?;
        let before = file.packs_to_delete.len();
        file.packs_to_delete.retain(|mark| !gone.contains(&mark.id));
        if file.packs_to_delete.len() == before {
            continue;
        }
        lock.check()?;
        if !file.packs.is_empty() || !file.packs_to_delete.is_empty() {
            save_index(repository, lock, &file)?;
        }
        repository.remove(FileKind::Index, (*id).into())?;
    }
    Ok(())
}

/// Lists marked packs again that hold the only copy of a used blob; gives those packs.
pub(crate) fn relist(
    repository: &Repository,
    lock: &Lock<'_>,
    index: &Index,
    with_marked: &Index,
    used: &walk::UsedBlobs,
) -> Result<HashSet<PackId>> {
    let marked: HashMap<_, &MarkedPack> = index.marked().iter().map(|m| (m.id, m)).collect();
    let mut packs: Vec<IndexPack> = Vec::new();
    for (row, blob) in with_marked.blobs().enumerate() {
        let Some(mark) = marked
            .get(&blob.location.pack)
            .filter(|_| used.is_used(row))
        else {
            continue;
        };
        if index.contains(blob.kind, &blob.id) || packs.iter().any(|pack| pack.id == mark.id) {
            continue;
        }
        let time = Some(repository.environment().now());
        packs.push(IndexPack {
            id: mark.id,
            blobs: mark.blobs.clone(),
            time,
            size: None,
        });
    }
    let ids = packs.iter().map(|pack| pack.id).collect();
    if !packs.is_empty() {
        let file = IndexFile {
            packs,
            ..IndexFile::default()
        };
        save_index(repository, lock, &file)?;
    }
    Ok(ids)
}
