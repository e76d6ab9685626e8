//! Which path a file has.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::calls::Calls;
use crate::{FileHandle, FileKind};

/// Modes of new files while they are written, when complete, and of new directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Modes {
    pub(super) work: u32,
    pub(super) complete: u32,
    pub(super) directory: u32,
}

impl Modes {
    /// Group members get what they have on the config; others never get anything.
    pub(super) fn like(config: &Path) -> Self {
        let mode = std::fs::metadata(config).map_or(0, |found| found.permissions().mode());
        let group = mode & 0o040 != 0;
        Self {
            work: 0o600,
            complete: if group { 0o440 } else { 0o400 },
            directory: if group { 0o770 } else { 0o700 },
        }
    }
}

/// The directory of a kind, relative to the repository.
pub(super) fn directory(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Config => "",
        FileKind::Key => "keys",
        FileKind::Lock => "locks",
        FileKind::Snapshot => "snapshots",
        FileKind::Index => "index",
        FileKind::Pack => "data",
    }
}

/// The path of a file; packs lie in 256 directories by their first byte.
pub(super) fn path(root: &Path, file: FileHandle) -> PathBuf {
    let hex = file.id.to_string();
    match file.kind {
        FileKind::Config => root.join("config"),
        FileKind::Pack => root.join("data").join(&hex[..2]).join(&hex),
        kind => root.join(directory(kind)).join(&hex),
    }
}

/// The directory that holds `path`.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Says whether there is a repository, whatever is missing in it.
pub(super) fn has_config(root: &Path) -> bool {
    root.join("config").exists()
}

/// Makes all directories of an empty repository, durably.
pub(super) fn create(root: &Path, modes: Modes, calls: &dyn Calls) -> io::Result<()> {
    if has_config(root) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    create_with_parents(root, modes, calls)?;
    for kind in &FileKind::ALL[1..] {
        ensure(&root.join(directory(*kind)), modes, calls)?;
    }
    let data = root.join(directory(FileKind::Pack));
    for first in 0..=255u8 {
        ensure(&data.join(format!("{first:02x}")), modes, calls)?;
    }
    calls.sync_directory(&data)?;
    calls.sync_directory(root)
}

fn create_with_parents(path: &Path, modes: Modes, calls: &dyn Calls) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = parent(path);
    create_with_parents(above, modes, calls)?;
    ensure(path, modes, calls)?;
    calls.sync_directory(above)
}

/// Makes a directory unless it is there; the one above is not synced.
pub(super) fn ensure(path: &Path, modes: Modes, calls: &dyn Calls) -> io::Result<()> {
    match calls.create_directory(path, modes.directory) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            Err(io::ErrorKind::NotADirectory.into())
        }
        made => made,
    }
}
