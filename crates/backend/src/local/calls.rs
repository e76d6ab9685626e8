//! The system calls that change a repository; a door so that tests can fail each of them.

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::io::Errno;

use super::direct;

/// What changes a directory tree durably; one method per system call.
pub(super) trait Calls: Send + Sync + Debug {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<File>;
    fn write_all(&self, file: &File, content: &[u8]) -> io::Result<()>;
    fn sync(&self, file: &File) -> io::Result<()>;
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()>;
    fn rename(&self, source: &Path, target: &Path) -> io::Result<()>;
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    fn unlink(&self, path: &Path) -> io::Result<()>;
    fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()>;
}

/// The kernel's own.
#[derive(Debug)]
pub(super) struct SystemCalls;

impl Calls for SystemCalls {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode).open(path)
    }

    fn write_all(&self, file: &File, content: &[u8]) -> io::Result<()> {
        direct::write_all(file, content)
    }

    /// One call, never a second: the kernel may mark pages clean after a failure, and then the
    /// second answer is a lie. (`File::sync_all` repeats when a signal interrupts it.)
    fn sync(&self, file: &File) -> io::Result<()> {
        Ok(rustix::fs::fsync(file)?)
    }

    /// Passes over file systems that keep no modes (SMB, FAT): the content is what matters.
    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        match file.set_permissions(Permissions::from_mode(mode)) {
            Err(e) if is_not_offered(&e) || e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            set => set,
        }
    }

    fn rename(&self, source: &Path, target: &Path) -> io::Result<()> {
        std::fs::rename(source, target)
    }

    /// Passes over file systems that cannot sync a directory (SMB): they order names themselves.
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        match rustix::fs::fsync(File::open(directory)?).map_err(io::Error::from) {
            Err(e) if is_not_offered(&e) => Ok(()),
            synced => synced,
        }
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        DirBuilder::new().mode(mode).create(path)?;
        if mode & 0o070 != 0 {
            // The umask may have taken the group's rights away.
            self.set_mode(&File::open(path)?, mode)?;
        }
        Ok(())
    }
}

/// Says whether the file system does not know the call at all.
pub(super) fn is_not_offered(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(number, Some(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS))
}
