//! The folder here with the sockets of one connection.
//!
//! It is held by a lock, so that one that a killed run left is removed by the next.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use lifeboat_platform::{Error, Result};
use rustix::fs::FlockOperation;
use tempfile::TempDir;

const BEGINNING: &str = "lifeboat-ssh-";
const LOCK: &str = "lock";
/// Limit: bytes of the folder above; names of sockets are short.
const ABOVE_BYTES_MAX: usize = 50;

/// A folder that only this user may enter; goes when it is dropped.
pub(crate) struct PrivateFolder {
    folder: TempDir,
    /// Locked as long as this is open.
    _lock: File,
}

impl PrivateFolder {
    pub(crate) fn new() -> Result<Self> {
        let above = above();
        let failed = |e| Error::io("making a folder in", above.display().to_string(), e);
        sweep(&above);
        let folder = tempfile::Builder::new()
            .prefix(BEGINNING)
            .tempdir_in(&above);
        let folder = folder.map_err(failed)?;
        // It has its name only when it is locked: nobody takes it for one that was left.
        let unlocked = folder.path().join("new");
        let lock = File::create(&unlocked).map_err(failed)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        fs::rename(unlocked, folder.path().join(LOCK)).map_err(failed)?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The usual place for such things, if ssh can use its path as it is.
fn above() -> PathBuf {
    let usual = std::env::temp_dir();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let fits = usual.to_str().is_some_and(|text| {
        text.starts_with('/') && text.len() <= ABOVE_BYTES_MAX && text.chars().all(is_plain)
    });
    match fits {
        true => usual,
        false => PathBuf::from("/tmp"),
    }
}

/// Removes what killed runs of this user left.
fn sweep(above: &Path) {
    let entries = fs::read_dir(above).into_iter().flatten().flatten();
    let ours = entries.filter(|it| it.file_name().to_string_lossy().starts_with(BEGINNING));
    for entry in ours {
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // What stays is found by the next one.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
