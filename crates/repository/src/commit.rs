//! Making a snapshot visible, beside a prune that may run at the same moment.

use std::collections::{HashMap, HashSet};

use lifeboat_backend::FileKind;
use lifeboat_format::{
    IndexFile, IndexId, IndexPack, MarkedPack, PackEntry, PackId, SnapshotFile, SnapshotId,
};
use lifeboat_model::ErrorKind;

use crate::{BlobLocation, Error, Index, Lock, Repository, Result, load, prune, snapshots, walk};

/// Stores `file` as the last step of a run, and makes sure that what it needs stays.
///
/// `seen` are the index files the run relied on: [`Index::settled_files`] of what it loaded, and
/// those it wrote. When a prune has replaced some of them, or has stored marks since, packs that
/// this snapshot needs are listed again. Prune stores its marks, looks at the snapshots and takes
/// old index files away, in this order; we store the snapshot and look for marks: one of the two
/// always sees the other, before anything leaves the index or before this returns.
///
/// What is left: a whole prune between our first look and the record, and a kill before the
/// second one, leave a record whose packs are only marked until the next prune lists them.
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
    let mut ground = Ground {
        seen: seen.iter().copied().collect(),
        without_marks: HashSet::new(),
    };
    ground.secure(repository, lock, file)?;
    let id = snapshots::save(repository, file)?;
    let kept = lock
        .check()
        .and_then(|()| ground.secure(repository, lock, file));
    if let Err(error) = kept {
        snapshots::remove(repository, id)?;
        return Err(error);
    }
    Ok(id)
}

/// Index files that a run stands on.
struct Ground {
    seen: HashSet<IndexId>,
    /// Others that were looked into.
    without_marks: HashSet<IndexId>,
}

impl Ground {
    /// Lists packs again that are marked for removal and that `file` needs.
    ///
    /// Marks that are older than our lock by more than the allowance for clocks do not count: by
    /// the same rule a prune may be removing their packs at this moment.
    fn secure(
        &mut self,
        repository: &Repository,
        lock: &Lock<'_>,
        file: &SnapshotFile,
    ) -> Result<()> {
        if self.is_firm(repository, lock)? {
            return Ok(());
        }
        let index = repository.load_index()?;
        let counts = |mark: &MarkedPack| !prune::is_before_writer(mark, lock.start());
        let with_marked = with_marks(&index, counts);
        let (used, missing) = walk::used(repository, &with_marked, [file.tree])?;
        if let Some(blob) = missing.first() {
            let doing = format!(
                "a prune removed data this run relied on ({} blob {}): run it again",
                blob.kind, blob.id
            );
            return Err(Error::new(ErrorKind::Busy, doing));
        }
        let marks = index.marked().iter().chain(index.doubtful());
        let at_risk = marks.filter(|mark| counts(mark)).map(|mark| mark.id);
        let relisted = relist(repository, lock, &with_marked, &at_risk.collect(), &used)?;
        self.seen = index.files().iter().copied().collect();
        self.seen.extend(relisted.file);
        Ok(())
    }

    /// Whether all that was seen is still there and nothing new marks packs.
    fn is_firm(&mut self, repository: &Repository, lock: &Lock<'_>) -> Result<bool> {
        let listed = repository.list(FileKind::Index)?;
        let listed: HashSet<IndexId> = listed.iter().map(|file| file.id.into()).collect();
        if !self.seen.is_subset(&listed) {
            return Ok(false);
        }
        for id in listed.difference(&self.seen) {
            if self.without_marks.contains(id) {
                continue;
            }
            let other = match load::index_file(repository, (*id).into()) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                other => other?,
            };
            let marks = &other.packs_to_delete;
            if !marks
                .iter()
                .all(|mark| prune::is_before_writer(mark, lock.start()))
            {
                return Ok(false);
            }
            self.without_marks.insert(*id);
        }
        Ok(true)
    }
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
        let mut file = load::index_file(repository, (*id).into())?;
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

/// Packs that were listed again, and the index file that does so.
#[derive(Default)]
pub(crate) struct Relisted {
    pub(crate) packs: HashSet<PackId>,
    pub(crate) file: Option<IndexId>,
}

/// Lists packs of `at_risk` again that hold a used blob which lies in no other pack.
pub(crate) fn relist(
    repository: &Repository,
    lock: &Lock<'_>,
    with_marked: &Index,
    at_risk: &HashSet<PackId>,
    used: &walk::UsedBlobs,
) -> Result<Relisted> {
    let mut packs: HashMap<PackId, Vec<PackEntry>> = HashMap::new();
    for (row, blob) in with_marked.blobs().enumerate() {
        let is_safe = |place: BlobLocation| !at_risk.contains(&place.pack);
        let mut copies = with_marked.copies(blob.kind, &blob.id);
        if used.is_used(row) && at_risk.contains(&blob.location.pack) && !copies.any(is_safe) {
            packs.entry(blob.location.pack).or_default();
        }
    }
    if packs.is_empty() {
        return Ok(Relisted::default());
    }
    for blob in with_marked.blobs() {
        if let Some(blobs) = packs.get_mut(&blob.location.pack) {
            blobs.push(blob.entry());
        }
    }
    let time = Some(repository.environment().now());
    let ids = packs.keys().copied().collect();
    let listed = packs.into_iter().map(|(id, mut blobs)| {
        blobs.sort_unstable_by_key(|blob| blob.offset);
        IndexPack {
            id,
            blobs,
            time,
            size: None,
        }
    });
    let mut packs: Vec<IndexPack> = listed.collect();
    packs.sort_unstable_by_key(|pack| pack.id);
    let file = IndexFile {
        packs,
        ..IndexFile::default()
    };
    let file = save_index(repository, lock, &file)?;
    Ok(Relisted {
        packs: ids,
        file: Some(file),
    })
}
