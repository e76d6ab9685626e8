//! One restore at a time in a folder.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use lifeboat_model::ErrorKind;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// A target folder that no other restore may use until this is dropped.
#[derive(Debug)]
pub struct Occupied {
    folder: PathBuf,
    is_new: bool,
    _held: OwnedFd,
}

/// Makes the folder if it is not there, and keeps other restores of files out of it: they share
/// names of work files. Taken before the plan, so that the plan stays true.
///
/// A folder that was made and stays empty is removed again. Where the file system knows no locks
/// on folders (NFS) nobody is kept out.
///
/// Errors: `Busy` if another restore is at work there.
pub fn occupy(folder: &Path) -> Result<Occupied> {
    let failed = |doing: &str, error: std::io::Error| {
        let doing = format!("cannot {doing} the folder {}: {error}", folder.display());
        Error::new(ErrorKind::of_io(&error), doing)
    };
    let is_new = folder.symlink_metadata().is_err();
    std::fs::create_dir_all(folder).map_err(|error| failed("make", error))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = rustix::fs::openat(CWD, folder, flags, Mode::empty())
        .map_err(|error| failed("open", error.into()))?;
    if let Err(Errno::WOULDBLOCK) =
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive)
    {
        let doing = format!(
            "another restore is writing to {}: wait for its end, or name another folder",
            folder.display()
        );
        return Err(Error::new(ErrorKind::Busy, doing));
    }
    Ok(Occupied {
        folder: folder.to_owned(),
        is_new,
        _held: held,
    })
}

impl Drop for Occupied {
    fn drop(&mut self) {
        if self.is_new {
            // Only an empty folder goes.
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}
