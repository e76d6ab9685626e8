//! The snapshot records: list, find, save, remove.

use std::sync::Mutex;

use lifeboat_backend::{FileHandle, FileKind};
use lifeboat_format::{SnapshotFile, SnapshotId};
use lifeboat_model::ErrorKind;

use crate::check::is_damage;
use crate::error::Doing;
use crate::{Error, Repository, Result, load};

/// A snapshot and its name.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// What it records.
    pub file: SnapshotFile,
}

/// Loads one snapshot.
pub fn load(repository: &Repository, id: SnapshotId) -> Result<Snapshot> {
    let file = FileHandle {
        kind: FileKind::Snapshot,
        id: id.into(),
    };
    let json = repository.load_unpacked(file)?;
    let file = SnapshotFile::decode(&json).doing(|| format!("cannot read {file}"))?;
    Ok(Snapshot { id, file })
}

/// Loads all snapshots, oldest first.
///
/// One that vanishes meanwhile was forgotten beside us and is left out.
pub fn list(repository: &Repository) -> Result<Vec<Snapshot>> {
    let (snapshots, mut broken) = list_tolerant(repository)?;
    if broken.is_empty() {
        Ok(snapshots)
    } else {
        Err(broken.swap_remove(0).1)
    }
}

/// Snapshots that cannot be read, and why.
pub type Unreadable = Vec<(SnapshotId, Error)>;

/// Loads all readable snapshots, oldest first, and says which ones are not.
pub fn list_tolerant(repository: &Repository) -> Result<(Vec<Snapshot>, Unreadable)> {
    let files = repository.list(FileKind::Snapshot)?;
    let found = Mutex::new((Vec::with_capacity(files.len()), Vec::new()));
    load::each(repository, &files, |listed| {
        let result = load(repository, listed.id.into());
        let mut found = found.lock().unwrap_or_else(|poison| poison.into_inner());
        match result {
            Ok(snapshot) => found.0.push(snapshot),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if is_damage(&error) => found.1.push((listed.id.into(), error)),
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    let (mut snapshots, broken) = found
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    snapshots.sort_by(|a, b| {
        a.file
            .time
            .timestamp()
            .cmp(&b.file.time.timestamp())
            .then(a.id.cmp(&b.id))
    });
    Ok((snapshots, broken))
}

/// Stores a snapshot record: the commit point of a backup.
///
/// Order: everything it refers to is durable and indexed before.
pub fn save(repository: &Repository, file: &SnapshotFile) -> Result<SnapshotId> {
    let id = repository.save_unpacked(FileKind::Snapshot, &file.encode())?;
    Ok(id.into())
}

/// Removes a snapshot record; its data stays until a prune.
pub fn remove(repository: &Repository, id: SnapshotId) -> Result<()> {
    repository.remove(FileKind::Snapshot, id.into())
}

/// Replaces a snapshot record by a changed one; the new one is durable before the old one goes.
///
/// Keeps the first id in `original`, as restic does.
pub fn replace(repository: &Repository, old: &Snapshot, file: SnapshotFile) -> Result<SnapshotId> {
    let mut file = file;
    if file.original.is_none() {
        file.original = Some(old.id);
    }
    let new = save(repository, &file)?;
    if new != old.id {
        remove(repository, old.id)?;
    }
    Ok(new)
}

/// Finds the one snapshot whose id starts with `prefix`.
///
/// Errors: `NotFound`; `Invalid` when several match or `prefix` is not hexadecimal.
pub fn find_by_prefix<'a>(snapshots: &'a [Snapshot], prefix: &str) -> Result<&'a Snapshot> {
    let is_hex = prefix
        .bytes()
        .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    if prefix.is_empty() || prefix.len() > 64 || !is_hex {
        let doing = format!("\"{}\" is not a snapshot id", prefix.escape_debug());
        return Err(Error::new(ErrorKind::Invalid, doing));
    }
    let mut matches = snapshots.iter().filter(|s| s.id.id().starts_with(prefix));
    match (matches.next(), matches.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Error::new(
            ErrorKind::NotFound,
            format!("no snapshot starts with {prefix}: 'lifeboat snapshots' lists them"),
        )),
        (Some(_), Some(_)) => Err(Error::new(
            ErrorKind::Invalid,
            format!("several snapshots start with {prefix}: write more digits"),
        )),
    }
}
