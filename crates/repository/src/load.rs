//! Loading many small files with all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lifeboat_backend::{FileHandle, FileKind};
use lifeboat_format::{IndexFile, IndexId};
use lifeboat_model::{Id, Phase};

use crate::error::Doing;
use crate::{Repository, Result};

/// Runs `work` on every item with the repository's threads; stops at the first error.
///
/// `work` runs on several threads; items are taken in order.
pub fn each<T: Sync>(
    repository: &Repository,
    items: &[T],
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    each_with(repository, items, || (), |(), item| work(item))
}

/// As [`each`], with something for every thread that `make` makes and all its work uses.
pub fn each_with<T: Sync, S>(
    repository: &Repository,
    items: &[T],
    make: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let run = || {
        let mut own = make();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = repository
                .environment()
                .check_cancelled()
                .and_then(|()| work(&mut own, item));
            if let Err(error) = result {
                next.store(items.len(), Ordering::Relaxed);
                failed
                    .lock()
                    .unwrap_or_else(|poison| poison.into_inner())
                    .get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..repository.environment().threads.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    failed
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner())
        .map_or(Ok(()), Err)
}

/// Loads, opens and decodes every index file; `take` is called once per file, one at a time.
pub(crate) fn index_files(
    repository: &Repository,
    mut take: impl FnMut(IndexId, IndexFile) + Send,
) -> Result<()> {
    let files = repository.list(FileKind::Index)?;
    let progress = &repository.environment().progress;
    progress.begin(Phase::LoadIndex, files.iter().map(|file| file.size).sum());
    let take = Mutex::new(&mut take);
    each(repository, &files, |listed| {
        let file = index_file(repository, listed.id)?;
        progress.advance(listed.size);
        let mut take = take.lock().unwrap_or_else(|poison| poison.into_inner());
        take(listed.id.into(), file);
        Ok(())
    })
}

/// Loads one index file.
pub(crate) fn index_file(repository: &Repository, id: Id) -> Result<IndexFile> {
    let file = FileHandle {
        kind: FileKind::Index,
        id,
    };
    let json = repository.load_unpacked(file)?;
    IndexFile::decode(&json).doing(|| format!("cannot read {file}"))
}
