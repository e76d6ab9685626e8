//! Taking over what an interrupted run has stored.
//!
//! Takes packs that no index lists and gives an index that lists them. A run that was killed has
//! durable packs whose index was never written; the next run need not send them again.
//! Does not read blobs: each is hashed when it is read.

use std::collections::HashSet;
use std::sync::Mutex;

use lifeboat_backend::FileKind;
use lifeboat_format::{IndexFile, IndexPack, PackId};

use crate::{Index, Lock, Repository, Result, commit, load, pack};

/// Packs that were taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// How many.
    pub packs: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Lists every sound pack that `index` does not know; the caller loads the index again if any.
///
/// Packs that a prune has marked are left alone, and so are those whose header is damaged. A pack
/// of a backup that runs beside us is listed twice then, which is allowed.
///
/// Order: a pack is durable before it has its name, so whatever is found here may be listed.
///
/// Cost: one listing; one small read for each such pack.
pub fn adopt(repository: &Repository, lock: &Lock<'_>, index: &Index) -> Result<Adopted> {
    let listed: HashSet<PackId> = index.packs().iter().map(|pack| pack.id).collect();
    let marked: HashSet<PackId> = index.marked().iter().map(|mark| mark.id).collect();
    let mut found = repository.list(FileKind::Pack)?;
    found.retain(|file| {
        let id = file.id.into();
        !listed.contains(&id) && !marked.contains(&id)
    });
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
    })
}
