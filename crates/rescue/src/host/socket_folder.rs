//! A private folder for sockets that goes with its owner, however that ends.
//!
//! Its owner holds a lock in it; whoever makes the next one removes those that nobody holds.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

const PREFIX: &str = "lifeboat-sockets-";
/// Locked by the owner.
const OWNER: &str = "owner";
/// Somebody who sweeps may take a folder away before it is locked; hardly ever twice.
const ATTEMPTS: u32 = 16;

/// A folder that only its owner's user can enter; it is removed when this is dropped.
#[derive(Debug)]
pub struct SocketFolder {
    folder: TempDir,
    _owner: File,
}

impl SocketFolder {
    /// Makes one among the host's temporary files, and removes those of owners that were killed.
    pub fn create() -> io::Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    fn create_in(above: &Path) -> io::Result<Self> {
        sweep(above);
        for _ in 0..ATTEMPTS {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(above)?;
            let path = folder.path().join(OWNER);
            let Ok(owner) = File::create_new(&path) else {
                continue;
            };
            let is_locked = flock(&owner, FlockOperation::NonBlockingLockExclusive).is_ok();
            let inode = owner.metadata()?.ino();
            if is_locked && fs::metadata(&path).is_ok_and(|it| it.ino() == inode) {
                return Ok(Self {
                    folder,
                    _owner: owner,
                });
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes folders of this user that nobody holds. What cannot be removed is gone already.
fn sweep(above: &Path) {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let name = entry.file_name();
        // Others may have put anything there under such a name.
        let is_ours = name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && entry
                .metadata()
                .is_ok_and(|it| it.is_dir() && it.uid() == user);
        let owner = is_ours.then(|| File::open(entry.path().join(OWNER)));
        let Some(Ok(owner)) = owner else {
            continue;
        };
        if flock(&owner, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_owners_that_were_killed_go_with_the_next() {
        let above = tempfile::tempdir().unwrap();
        let held = SocketFolder::create_in(above.path()).unwrap();
        let left = above.path().join("lifeboat-sockets-left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(OWNER), "").unwrap();
        fs::write(left.join("nbd"), "").unwrap();
        let other = above.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join(OWNER), "").unwrap();
        let next = SocketFolder::create_in(above.path()).unwrap();
        assert!(held.path().exists() && next.path().exists() && other.exists());
        assert!(!left.exists());
        drop((held, next));
        assert_eq!(fs::read_dir(above.path()).unwrap().count(), 1);
    }
}
