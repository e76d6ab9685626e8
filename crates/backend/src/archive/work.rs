//! The file under which an archive is written until it is complete.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lifeboat_model::ErrorKind;
use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags, flock, fsync, renameat_with};
use rustix::io::Errno;

use super::{error, io_error};
use crate::{Doing, Result};

/// `.<name>.lifeboat-part` beside the archive's place; removed when dropped before `publish`.
#[derive(Debug)]
pub(super) struct WorkFile {
    pub(super) file: File,
    path: PathBuf,
    target: PathBuf,
    is_published: bool,
}

impl WorkFile {
    /// Begins an empty work file; what an interrupted writer left is thrown away.
    ///
    /// Errors: `Exists` if there is something at `target`; `Busy` if another process is writing.
    pub(super) fn begin(target: &Path) -> Result<Self> {
        refuse_existing(target)?;
        let Some(name) = target.file_name() else {
            let error = error(ErrorKind::Invalid, Doing::Open, target);
            return Err(error.seen("it names no file"));
        };
        let mut work = OsString::from(".");
        work.push(name);
        work.push(".lifeboat-part");
        let path = target.with_file_name(work);
        let failed = |e| io_error(Doing::Open, &path, e);
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags)
            .open(&path)
            .map_err(failed)?;
        // Some network file systems keep no locks: other failures are passed over.
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let is_ours = || Ok(same_file(&file, &path)? && locked != Err(Errno::WOULDBLOCK));
        if !is_ours().map_err(failed)? {
            let seen = "another process is writing it";
            return Err(error(ErrorKind::Busy, Doing::Open, &path).seen(seen));
        }
        file.set_len(0).map_err(failed)?;
        Ok(Self {
            file,
            path,
            target: target.to_owned(),
            is_published: false,
        })
    }

    /// Makes the content durable, then gives the file its name.
    pub(super) fn publish(&mut self) -> Result<()> {
        let failed = |e| io_error(Doing::Finish, &self.target, e);
        fsync(&self.file).map_err(|e| failed(e.into()))?;
        let renamed = renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::NOREPLACE);
        match renamed {
            Err(Errno::EXIST) => return refuse_existing(&self.target),
            // Network file systems do not know the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                refuse_existing(&self.target)?;
                std::fs::rename(&self.path, &self.target).map_err(failed)?;
            }
            renamed => renamed.map_err(|e| failed(e.into()))?,
        }
        self.is_published = true;
        sync_directory(&self.target).map_err(failed)
    }
}

impl Drop for WorkFile {
    fn drop(&mut self) {
        if !self.is_published {
            // An archive cannot be continued; what stays is thrown away by the next writer.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Says whether `path` still names `file`: its writer may just have finished and renamed it.
fn same_file(file: &File, path: &Path) -> io::Result<bool> {
    let (ours, named) = (file.metadata()?, path.symlink_metadata());
    Ok(named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())))
}

fn refuse_existing(target: &Path) -> Result<()> {
    if target.symlink_metadata().is_err() {
        return Ok(());
    }
    let seen = "it exists already; remove it first or choose another name";
    Err(error(ErrorKind::Exists, Doing::Open, target).seen(seen))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match fsync(File::open(parent)?) {
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        synced => Ok(synced?),
    }
}
