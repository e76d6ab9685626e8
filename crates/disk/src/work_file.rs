//! The file under which a target is written until it is complete.
//!
//! New and replaced files are written as `.<name>.lifeboat-part` beside their final place, made
//! durable and renamed. A file that is overwritten in place has a marker
//! `.<name>.lifeboat-restoring` beside it until it is complete.
//! Does not write content.
//!
//! Order: content durable, then rename (or marker removed), then directory durable.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_model::ErrorKind;
use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::host_file::flags;
use crate::lifecycle::Lifecycle;
use crate::{Error, Result};

/// What may be at the target's place already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetMode {
    /// Nothing: an existing file is an error, at the beginning and at `finish`.
    New,
    /// A regular file may be there and is kept until `finish` puts the new one in its place.
    /// The new one takes over its mode and, where permitted, its owner.
    Replace,
    /// A regular file is there and is overwritten; it is incomplete until `finish`.
    InPlace,
}

/// What happens to the work file that an interrupted writer left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leftover {
    /// Its content is thrown away.
    #[default]
    Discard,
    /// Its content is kept, to be read back and compared; the writer is then not blank.
    Keep,
}

/// Ends the name of the file that marks an incomplete target.
const MARKER_ENDING: &str = ".lifeboat-restoring";

/// Says whether the file is being overwritten in place, or was when that was interrupted.
pub fn is_being_restored(target: &Path) -> bool {
    sibling(target, MARKER_ENDING).is_ok_and(|marker| marker.exists())
}

#[derive(Debug)]
pub(crate) struct WorkFile {
    file: Arc<File>,
    /// Where the content is now; equals `target` in place.
    path: PathBuf,
    target: PathBuf,
    /// Exists while the target is being overwritten in place.
    marker: Option<PathBuf>,
    mode: TargetMode,
    life: Lifecycle,
    resumed: bool,
}

impl WorkFile {
    pub(crate) fn open(target: &Path, mode: TargetMode, leftover: Leftover) -> Result<Self> {
        refuse_unfit(target, mode)?;
        match mode {
            TargetMode::InPlace => Self::open_in_place(target),
            TargetMode::New | TargetMode::Replace => Self::open_part(target, mode, leftover),
        }
    }

    fn open_part(target: &Path, mode: TargetMode, leftover: Leftover) -> Result<Self> {
        let path = sibling(target, ".lifeboat-part")?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(&path)
            .map_err(|e| Error::io("creating", &path, e))?;
        refuse_foreign(&file, &path)?;
        let resumed = leftover == Leftover::Keep
            && file
                .metadata()
                .map_err(|e| Error::io("creating", &path, e))?
                .len()
                > 0;
        if !resumed {
            file.set_len(0)
                .map_err(|e| Error::io("emptying", &path, e))?;
        }
        Ok(Self {
            file: Arc::new(file),
            path,
            target: target.to_owned(),
            marker: None,
            mode,
            life: Lifecycle::default(),
            resumed,
        })
    }

    fn open_in_place(target: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(target)
            .map_err(|e| Error::io("opening", target, e))?;
        lock_against_qemu(&file, target)?;
        let marker = sibling(target, MARKER_ENDING)?;
        let resumed = marker.exists();
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(flags(OFlags::NOFOLLOW))
            .open(&marker)
            .and_then(|file| file.sync_all())
            .map_err(|e| Error::io("creating", &marker, e))?;
        sync_directory(target)?;
        Ok(Self {
            file: Arc::new(file),
            path: target.to_owned(),
            target: target.to_owned(),
            marker: Some(marker),
            mode: TargetMode::InPlace,
            life: Lifecycle::default(),
            resumed,
        })
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Says whether content of an interrupted writer is in the file.
    pub(crate) fn resumed(&self) -> bool {
        self.resumed
    }

    /// Says whether what is not written reads as zeros.
    pub(crate) fn is_blank(&self) -> bool {
        !self.resumed && self.mode != TargetMode::InPlace
    }

    pub(crate) fn refuse_closed(&self) -> Result<()> {
        self.life.refuse_closed(&self.target)
    }

    /// Forbids further writes; `publish` or nothing comes after.
    pub(crate) fn close(&self) -> Result<()> {
        self.life.close(&self.target)
    }

    /// Makes the content durable and gives it its final name; `close` comes before.
    pub(crate) fn publish(&self) -> Result<()> {
        if self.mode == TargetMode::Replace {
            self.take_over_owner()?;
        }
        self.file
            .sync_all()
            .map_err(|e| Error::io("making durable", &self.path, e))?;
        match &self.marker {
            Some(marker) => {
                std::fs::remove_file(marker).map_err(|e| Error::io("removing", marker, e))?;
            }
            None => self.rename()?,
        }
        sync_directory(&self.target)?;
        // Both kinds of lock: the target is free for readers and machines from now on.
        let _ = rustix::fs::fcntl_lock(&self.file, FlockOperation::NonBlockingUnlock);
        let _ = self.file.unlock();
        self.life.succeed();
        Ok(())
    }

    fn take_over_owner(&self) -> Result<()> {
        let failed = |e| Error::io("setting the mode of", &self.path, e);
        let Ok(old) = std::fs::symlink_metadata(&self.target) else {
            return Ok(());
        };
        // Only root may give files away; the mode must not open the file to a wrong owner.
        if std::os::unix::fs::fchown(&self.file, Some(old.uid()), Some(old.gid())).is_err() {
            return Ok(());
        }
        self.file.set_permissions(old.permissions()).map_err(failed)
    }

    fn rename(&self) -> Result<()> {
        let failed = |e: std::io::Error| Error::io("renaming", &self.path, e);
        if self.mode == TargetMode::Replace {
            return std::fs::rename(&self.path, &self.target).map_err(failed);
        }
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(CWD, &self.path, CWD, &self.target, flags) {
            Ok(()) => Ok(()),
            // File systems without this flag (NFS, some FUSE): the next best thing.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                refuse_unfit(&self.target, self.mode)?;
                std::fs::rename(&self.path, &self.target).map_err(failed)
            }
            Err(e) => Err(failed(e.into())),
        }
    }

    /// Like [`WorkFile::abort`] after a failure: also when closed, also when renamed already.
    pub(crate) fn give_up(&self) -> Result<()> {
        if self.marker.is_some() {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|e| Error::io("removing", &self.path, e)),
        }
    }

    /// Throws the work file away. A target that was overwritten in place keeps its marker.
    pub(crate) fn abort(&self) -> Result<()> {
        self.close()?;
        if self.marker.is_some() {
            return Ok(());
        }
        std::fs::remove_file(&self.path).map_err(|e| Error::io("removing", &self.path, e))
    }
}

impl Drop for WorkFile {
    /// A child process that was just started may still share the descriptor, and its lock.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// `.<name><ending>` in the directory of `target`.
fn sibling(target: &Path, ending: &str) -> Result<PathBuf> {
    let Some(name) = target.file_name() else {
        return Err(
            Error::new(ErrorKind::Invalid, "creating", target).seen("the path has no file name")
        );
    };
    let mut work = OsString::from(".");
    work.push(name);
    work.push(ending);
    Ok(target.with_file_name(work))
}

fn refuse_unfit(target: &Path, mode: TargetMode) -> Result<()> {
    let refuse = |kind, seen| Err(Error::new(kind, "creating", target).seen(seen));
    let found = match std::fs::symlink_metadata(target) {
        Ok(found) => found,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && mode != TargetMode::InPlace => {
            return Ok(());
        }
        Err(e) => return Err(Error::io("opening", target, e)),
    };
    match mode {
        TargetMode::New => refuse(ErrorKind::Exists, "it exists; choose to replace it"),
        _ if found.is_symlink() => refuse(
            ErrorKind::Invalid,
            "it is a symbolic link; name the file that it leads to",
        ),
        _ if !found.is_file() => refuse(ErrorKind::Invalid, "it is not a regular file"),
        _ => Ok(()),
    }
}

/// Refuses a work file that somebody else made or that another writer holds.
fn refuse_foreign(file: &File, path: &Path) -> Result<()> {
    let refuse = |kind, seen| Err(Error::new(kind, "creating", path).seen(seen));
    let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            return refuse(ErrorKind::Busy, "another writer is working on this target");
        }
        // Without locks on this file system two writers cannot be told apart.
        Err(std::fs::TryLockError::Error(_)) => {}
    }
    let held = file
        .metadata()
        .map_err(|e| Error::io("creating", path, e))?;
    let named = std::fs::symlink_metadata(path).map_err(|e| Error::io("creating", path, e))?;
    if !same(&held, &named) {
        return refuse(
            ErrorKind::Busy,
            "another writer has just finished this target",
        );
    }
    if !held.is_file() || held.nlink() != 1 || held.uid() != rustix::process::geteuid().as_raw() {
        return refuse(
            ErrorKind::Denied,
            "the work file there is not a plain file of ours; look at it and remove it",
        );
    }
    Ok(())
}

/// QEMU holds byte-range locks on every image that it has open; a lock of the whole file
/// conflicts with all of them and keeps QEMU away while we write.
///
/// The lock ends when any descriptor of the file in this process is closed: open it once.
fn lock_against_qemu(file: &File, path: &Path) -> Result<()> {
    match rustix::fs::fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::AGAIN | Errno::ACCESS) => Err(Error::new(ErrorKind::Busy, "opening", path)
            .seen("another program, such as a running QEMU, holds it; stop the machine first")),
        // Network file systems without a lock service.
        Ok(()) | Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(e) => Err(Error::io("locking", path, e)),
    }
}

/// Makes names in the directory of `target` durable.
fn sync_directory(target: &Path) -> Result<()> {
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |e| Error::io("making durable", directory, e);
    let open = File::open(directory).map_err(failed)?;
    match rustix::fs::fsync(&open) {
        // SMB and some FUSE file systems cannot sync directories; there is nothing better to do.
        Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        Err(e) => Err(failed(e.into())),
    }
}
