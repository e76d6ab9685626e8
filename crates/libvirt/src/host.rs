//! The host on which libvirt and QEMU work: this one, or another one behind ssh.
//!
//! Everything that happens there beside libvirt's own calls goes through this door: folders of
//! runs, small files, sockets, images of machines that are off, and disks that are made.
//! Does not know machines, jobs or checkpoints.

mod local;
mod ssh;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_disk::{DiskReader, DiskWriter, ImageFormat};
use lifeboat_model::{Clock, ErrorKind, ExtentSet};
use lifeboat_platform::{Error, Result};

pub(crate) use local::LocalHost;
pub(crate) use ssh::{Ssh, SshAddress, without_questions};

/// Limit: images below one image.
const CHAIN_MAX: u32 = 64;
/// Why a bitmap of an image with others below it is of no use.
const SEVERAL_IMAGES: &str = "lies in several images on top of each other";

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Absent,
    Folder,
    Device,
    Other,
}

/// What a lock file says, and whether somebody holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenLock {
    pub(crate) text: String,
    pub(crate) is_held: bool,
}

/// A lock of ours, until it is dropped.
pub(crate) trait HeldLock: Send + Sync {
    /// Whether it is certainly still ours.
    fn is_held(&self) -> bool;
}

/// An image that nobody should write to.
pub(crate) trait Watched: Send {
    /// Whether nobody did.
    fn is_same(&self) -> Result<bool>;
}

/// An image that is being read.
pub(crate) struct OpenedImage {
    pub(crate) reader: Arc<dyn DiskReader>,
    /// What changed since the bitmap that was asked for began, or why that is not known;
    /// nothing if none was asked for.
    pub(crate) changed: Option<std::result::Result<ExtentSet, String>>,
}

/// An image of a machine that is off.
pub(crate) trait Image {
    /// Bytes of the machine's view.
    fn size(&self) -> u64;

    /// Opens it; `bitmap` names the bitmap whose bits are wanted.
    fn open(self: Box<Self>, bitmap: Option<&str>) -> Result<OpenedImage>;
}

/// Where a socket of the host can be reached from here, as long as this lives.
pub(crate) struct Reached {
    pub(crate) socket: PathBuf,
    /// What to say when reading over it fails.
    pub(crate) advice: &'static str,
    /// Keeps the way open.
    pub(crate) _way: Option<Box<dyn Send + Sync>>,
}

/// The door. Paths are those of the host; all of them are absolute.
pub(crate) trait Host: Send + Sync {
    /// Says whether the host can be reached at all.
    fn require(&self) -> Result<()> {
        Ok(())
    }

    /// Whether a socket of this process can be reached there.
    fn is_here(&self) -> bool {
        true
    }

    /// The folder that an environment variable names, else `usual` in the user's home.
    fn user_folder(&self, variable: &'static str, usual: &'static str) -> Result<PathBuf>;

    fn kind(&self, path: &Path) -> Result<FileKind>;

    /// Folders in `above` whose names begin so; none if it cannot be looked into.
    fn folders(&self, above: &Path, beginning: &str) -> Result<Vec<PathBuf>>;

    /// Makes `path` in `above`, which is made too if need be, for the owner of `above`.
    fn make_folder(&self, above: &Path, path: &Path) -> Result<()>;

    /// Makes a small new file, durable, for the owner of its folder.
    fn write_new(&self, path: &Path, content: &[u8]) -> Result<()>;

    /// Reads a small file.
    ///
    /// Errors: `Invalid` if it has more than `bytes_max`.
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>>;

    /// Gives a file to the owner of its folder: the user of a session's daemon.
    fn hand_over(&self, path: &Path) -> Result<()>;

    /// Removes a file, if it is there.
    fn remove_file(&self, path: &Path) -> Result<()>;

    /// Removes the folder of a run with all that is in it, and its socket, if that is one.
    fn remove_run(&self, folder: &Path, socket: Option<&Path>) -> Result<()>;

    /// Bytes that are free for everybody.
    fn free_bytes(&self, path: &Path) -> Result<u64>;

    /// Makes a lock file and holds it.
    fn hold(&self, path: &Path, text: &str) -> Result<Box<dyn HeldLock>>;

    /// Looks at a lock file; nothing if it is not there.
    fn look(&self, path: &Path) -> Result<Option<SeenLock>>;

    fn reach(&self, socket: &Path) -> Result<Reached>;

    /// What was complained on the way there; empty if nothing was.
    fn complaints(&self) -> String {
        String::new()
    }

    /// Between two looks at something that changes.
    fn pause(&self) -> Duration;

    /// Begins to watch whether somebody writes to an image.
    ///
    /// Errors: `Busy` if somebody writes right now.
    fn watch(&self, clock: &dyn Clock, path: &Path) -> Result<Box<dyn Watched>>;

    /// Looks at an image; files that it names are opened only below `backing`.
    ///
    /// Errors: `Busy` if a QEMU has it; `Denied` for names that may not be followed.
    fn image(&self, path: &Path, format: ImageFormat, backing: &Path) -> Result<Box<dyn Image>>;

    /// Makes a disk in a new file, which has its name only when it is finished.
    fn make_disk(&self, path: &Path, size: u64, format: ImageFormat)
    -> Result<Arc<dyn DiskWriter>>;

    /// Opens a device that nobody uses, to be overwritten.
    fn overwrite_device(&self, path: &Path, size: u64) -> Result<Arc<dyn DiskWriter>>;

    /// Reads a disk that was made.
    fn read_disk(&self, path: &Path, format: ImageFormat) -> Result<Arc<dyn DiskReader>>;
}

/// A small file that turned out not to be small is refused.
fn refuse_large(path: &Path, content: Vec<u8>, bytes_max: u64) -> Result<Vec<u8>> {
    if content.len() as u64 <= bytes_max {
        return Ok(content);
    }
    let error = Error::new(ErrorKind::Invalid, "reading", path.display().to_string());
    Err(error.seen("it is too large"))
}

/// The error of an image that somebody writes to.
pub(crate) fn written_meanwhile(path: &Path) -> Error {
    let error = Error::new(
        ErrorKind::Busy,
        "reading the disk",
        path.display().to_string(),
    );
    error.seen("somebody wrote to it meanwhile; run the backup again")
}
