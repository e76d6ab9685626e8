//! Taking over what an interrupted run has stored.
//!
//! Takes packs that no index lists and gives an index that lists them. A run that was killed has
//! durable packs whose index was never written; the next run need not send them again. What an
//! index lists and is gone is left out of it.
//! Does not read blobs: each is hashed when it is read.

use std::collections::HashSet;
use std::sync::Mutex;

use lifeboat_backend::{FileKind, Listed};
use lifeboat_format::{IndexFile, IndexPack, PackId};

use crate::{Index, Lock, Repository, Result, commit, load, pack};

/// What was not as the index says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Packs that were taken over.
    pub packs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that are listed and gone.
    pub lost: usize,
}

/// Lists every sound pack that `index` does not know, and gives the index that a run may rely on.
///
/// That one is loaded again if there were any, and does not hold what lies in packs that are gone:
/// such data is stored again. Who was stopped for a day before it stored an index file, and killed
/// right after, has listed what others have removed meanwhile.
///
/// Packs that a prune has marked are left alone, and so are those whose header is damaged. A pack
/// of a backup that runs beside us is listed twice then, which is allowed.
///
/// Order: a pack is durable before it has its name, so whatever is found here may be listed; the
/// index before the packs, so that what is missing is gone.
///
/// Cost: one listing; one small read for each such pack.
pub fn adopt(repository: &Repository, lock: &Lock<'_>, index: Index) -> Result<(Index, Adopted)> {
    let found = repository.list(FileKind::Pack)?;
    let mut adopted = list_unlisted(repository, lock, &index, &found)?;
    let (index, found) = if adopted.packs == 0 {
        (index, found)
    } else {
        (repository.load_index()?, repository.list(FileKind::Pack)?)
    };
    let is_there = |id: PackId| found.binary_search_by_key(&id.id(), |file| file.id).is_ok();
    let packs = index.packs().iter().map(|pack| pack.id);
    let lost: HashSet<PackId> = packs.filter(|id| !is_there(*id)).collect();
    adopted.lost = lost.len();
    let index = match lost.len() {
        0 => index,
        _ => index.without(&lost),
    };
    Ok((index, adopted))
}

fn list_unlisted(
    repository: &Repository,
    lock: &Lock<'_>,
    index: &Index,
    found: &[Listed],
) -> Result<Adopted> {
    let listed: HashSet<PackId> = index.packs().iter().map(|pack| pack.id).collect();
    let marked: HashSet<PackId> = index.marked().iter().map(|mark| mark.id).collect();
    let is_known = |id: PackId| listed.contains(&id) || marked.contains(&id);
    let unknown = found.iter().filter(|file| !is_known(file.id.into()));
    let found: Vec<Listed> = unknown.copied().collect();
    let time = Some(repository.environment().now());
    let adopted = Mutex::new((Vec::new(), 0));
    load::each(repository, &found, |file| {
        // A damaged header is what `check` and `prune` deal with.
        let Ok(blobs) = pack::read_header(repository, file.id.into(), file.size) else {
            return Ok(());
        };
        let id = file.id.into();
        let mut adopted = adopted.lock().unwrap_or_else(|poison| poison.into_inner());
        adopted.0.push(IndexPack {
            id,
            blobs,
            time,
            size: None,
        });
        adopted.1 += file.size;
        Ok(())
    })?;
    let (packs, bytes) = adopted
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    let count = packs.len();
    if count > 0 {
        let file = IndexFile {
            packs,
            ..IndexFile::default()
        };
        commit::save_index(repository, lock, &file)?;
    }
    Ok(Adopted {
        packs: count,
        bytes,
        lost: 0,
    })
}
