//! Opening a disk for reading, by the format that the caller states.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_model::ErrorKind;

use crate::host_file::HostFile;
use crate::work_file::is_being_restored;
use crate::{DiskReader, Error, HolePolicy, ImageFormat, Qcow2Disk, RawDisk, Result};

/// What may be followed and trusted when a disk is opened. The default follows nothing.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Whether holes in host files are zeros.
    pub holes: HolePolicy,
    /// Whether an image may be read that a program such as QEMU has open for writing.
    pub in_use: InUsePolicy,
    /// Whether a qcow2 image may name a backing file.
    pub backing: BackingPolicy,
    /// Whether a qcow2 image may name an external data file.
    pub data_file: DataFilePolicy,
    /// The internal snapshot to be read instead of the present state: its id or its name.
    pub internal_snapshot: Option<String>,
}

/// Whether an image is read that is being written by another program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InUsePolicy {
    /// `Busy`: what would be read is no state that the disk ever had.
    #[default]
    Refuse,
    /// The caller keeps it still by other means.
    Allow,
}

/// Whether a backing file is opened because the image says so.
///
/// The name comes from the image: whoever could write the image could choose any file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BackingPolicy {
    /// An image with a backing file is refused.
    #[default]
    Refuse,
    /// Local files whose format is stated are opened.
    Allow {
        /// All of them must lie in this directory, after symbolic links.
        root: Option<PathBuf>,
        /// Longest chain below the image.
        depth_max: u32,
    },
}

/// Whether an external data file is opened because the image says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DataFilePolicy {
    /// An image with an external data file is refused.
    #[default]
    Refuse,
    /// A local file is opened as raw.
    Allow {
        /// It must lie in this directory, after symbolic links.
        root: Option<PathBuf>,
    },
}

/// Opens a disk for reading.
///
/// Errors: `Busy` if another program writes to it or a restore in place was interrupted;
/// `Denied` if it names files that may not be
/// followed; `Unsupported` and `Corrupt` as for [`Qcow2Disk`].
pub fn open_reader(
    path: &Path,
    format: ImageFormat,
    options: &OpenOptions,
) -> Result<Arc<dyn DiskReader>> {
    match format {
        ImageFormat::Qcow2 => Ok(Arc::new(Qcow2Disk::open(path, options)?)),
        ImageFormat::Raw => {
            if options.internal_snapshot.is_some() {
                return Err(Error::new(ErrorKind::Invalid, "opening", path)
                    .seen("a raw disk has no internal snapshots"));
            }
            let file = HostFile::open(path)?;
            refuse_in_use(&file, options.in_use)?;
            Ok(Arc::new(RawDisk::of(file, options.holes)))
        }
    }
}

/// The byte of an image on which QEMU holds a lock while it may write to it.
///
/// Source: QEMU block/file-posix.c, RAW_LOCK_PERM_BASE (100) + BLK_PERM_WRITE (bit 1).
const WRITE_PERMISSION_BYTE: u64 = 101;

/// `Busy` if a QEMU has the image open for writing, or a restore in place is not finished.
///
/// Best effort: sees locks of this kernel only, and none where QEMU runs without locking.
pub(crate) fn refuse_in_use(file: &HostFile, policy: InUsePolicy) -> Result<()> {
    if policy == InUsePolicy::Allow {
        return Ok(());
    }
    if is_being_restored(file.path()) {
        return Err(Error::new(ErrorKind::Busy, "opening", file.path())
            .seen("a restore in place is not finished; finish it or restore anew"));
    }
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let node = file.node()?;
    if !locks.lines().any(|line| locks_writing(line, &node)) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Busy, "opening", file.path())
        .seen("another program, such as a running QEMU, has it open for writing"))
}

/// Reads a line as in `1: OFDLCK ADVISORY READ -1 fe:00:1001 100 101`.
fn locks_writing(line: &str, node: &str) -> bool {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, kind, _, _, _, place, first, last] = fields.as_slice() else {
        return false;
    };
    let first = first.parse().unwrap_or(u64::MAX);
    let last = last.parse().unwrap_or(u64::MAX);
    matches!(*kind, "OFDLCK" | "POSIX")
        && *place == node
        && (first..=last).contains(&WRITE_PERMISSION_BYTE)
}
