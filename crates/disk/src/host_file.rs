//! A file or block device of the host, read by position.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_model::{ErrorKind, Extent};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::{Error, ExtentState, MappedExtent, Result};

/// What kind of place a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostKind {
    Regular,
    BlockDevice,
}

/// An open file of known length. Shared: several threads read at once.
#[derive(Clone, Debug)]
pub(crate) struct HostFile {
    file: Arc<File>,
    path: PathBuf,
    kind: HostKind,
    length: u64,
}

/// Names the same file or device whatever path leads to it.
pub(crate) type Identity = (HostKind, u64, u64);

impl HostFile {
    /// Opens for reading.
    ///
    /// Errors: `Invalid` for anything but a regular file or a block device.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        // NONBLOCK: opening a FIFO by mistake must fail below and not wait for its writer.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags(OFlags::NONBLOCK | OFlags::CLOEXEC))
            .open(path)
            .map_err(|e| Error::io("opening", path, e))?;
        Self::of(Arc::new(file), path)
    }

    /// Takes a file that is open already.
    pub(crate) fn of(file: Arc<File>, path: &Path) -> Result<Self> {
        let kind = kind_of(&file, path)?;
        let length = match kind {
            HostKind::Regular => length_of(&file, path)?,
            HostKind::BlockDevice => device_size(&file, path)?,
        };
        Ok(Self {
            file,
            path: path.to_owned(),
            kind,
            length,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn kind(&self) -> HostKind {
        self.kind
    }

    /// Bytes at the time of opening.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn identity(&self) -> Result<Identity> {
        let meta = self
            .file
            .metadata()
            .map_err(|e| Error::io("opening", &self.path, e))?;
        Ok(match self.kind {
            HostKind::Regular => (self.kind, meta.dev(), meta.ino()),
            HostKind::BlockDevice => (self.kind, meta.rdev(), 0),
        })
    }

    /// Device and inode as `/proc/locks` writes them.
    pub(crate) fn node(&self) -> Result<String> {
        let meta = self
            .file
            .metadata()
            .map_err(|e| Error::io("opening", &self.path, e))?;
        let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
        Ok(format!("{major:02x}:{minor:02x}:{}", meta.ino()))
    }

    /// Fills the buffer; `Corrupt` if the file ends before.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|e| Error::io("reading", &self.path, e).at(offset))
    }

    /// Fills the buffer; bytes behind the end of the file are zeros.
    pub(crate) fn read_padded(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let present = self.length.saturating_sub(offset);
        let split = crate::port::capped(present, buffer.len());
        let (inside, outside) = buffer.split_at_mut(split);
        outside.fill(0);
        if inside.is_empty() {
            Ok(())
        } else {
            self.read(offset, inside)
        }
    }

    /// The state from `range.start()` on, at most to `range.end()`, by the file system's map.
    ///
    /// Bytes behind the end of the file are zeros.
    pub(crate) fn next_extent(&self, range: Extent) -> Result<MappedExtent> {
        let (start, end) = (range.start(), range.end());
        let until = |at: u64| Extent::new(start, at.min(end)).unwrap_or(range);
        let state = |extent, state| Ok(MappedExtent { extent, state });
        if start >= self.length {
            return state(range, ExtentState::Zero);
        }
        if self.kind == HostKind::BlockDevice {
            return state(until(self.length), ExtentState::Data);
        }
        match self.seek(rustix::fs::SeekFrom::Data(start))? {
            Place::At(found) if found > start => state(until(found), ExtentState::Zero),
            Place::At(_) => match self.seek(rustix::fs::SeekFrom::Hole(start))? {
                Place::At(hole) if hole > start => state(until(hole), ExtentState::Data),
                _ => state(until(self.length), ExtentState::Data),
            },
            Place::None => {
                self.refuse_shrunk()?;
                state(until(self.length), ExtentState::Zero)
            }
            Place::Unknown => state(until(self.length), ExtentState::Data),
        }
    }

    fn seek(&self, to: rustix::fs::SeekFrom) -> Result<Place> {
        match rustix::fs::seek(&self.file, to) {
            Ok(found) => Ok(Place::At(found)),
            Err(Errno::NXIO) => Ok(Place::None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Place::Unknown),
            Err(e) => Err(Error::io("mapping", &self.path, e)),
        }
    }

    /// "No data behind here" is also what a file says that was cut since it was opened.
    fn refuse_shrunk(&self) -> Result<()> {
        let now = length_of(&self.file, &self.path)?;
        if now >= self.length {
            return Ok(());
        }
        Err(
            Error::new(ErrorKind::Corrupt, "mapping", &self.path).seen(format!(
                "the file had {} bytes and now has {now}",
                self.length
            )),
        )
    }
}

/// Where a search for data or a hole ended.
enum Place {
    At(u64),
    None,
    Unknown,
}

/// Says whether the path leads to a block device; `false` if it leads nowhere.
pub fn is_block_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device())
}

pub(crate) fn kind_of(file: &File, path: &Path) -> Result<HostKind> {
    let kind = file
        .metadata()
        .map_err(|e| Error::io("opening", path, e))?
        .file_type();
    if kind.is_file() {
        Ok(HostKind::Regular)
    } else if kind.is_block_device() {
        Ok(HostKind::BlockDevice)
    } else {
        Err(Error::new(ErrorKind::Invalid, "opening", path)
            .seen("it is neither a regular file nor a block device"))
    }
}

pub(crate) fn length_of(file: &File, path: &Path) -> Result<u64> {
    Ok(file
        .metadata()
        .map_err(|e| Error::io("opening", path, e))?
        .len())
}

pub(crate) fn device_size(mut file: &File, path: &Path) -> Result<u64> {
    file.seek(SeekFrom::End(0))
        .map_err(|e| Error::io("asking the size of", path, e))
}

/// Flags in the form that the standard library takes.
pub(crate) fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}
