//! Reading raw files and block devices.

use std::path::Path;

use lifeboat_model::{ErrorKind, Extent};

use crate::host_file::{HostFile, HostKind};
use crate::port::{bytes, range_within};
use crate::{DiskReader, Error, ExtentState, MappedExtent, Result};

/// Whether holes that the file system reports are taken as zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HolePolicy {
    /// Holes are zeros and need no reading.
    #[default]
    Trust,
    /// Everything is data: for file systems whose answers are in doubt (OpenZFS 2.1 to 2.2
    /// reported fresh data as holes).
    Ignore,
}

/// A raw disk: a regular file, whose holes are zeros, or a block device, all data.
#[derive(Debug)]
pub struct RawDisk {
    file: HostFile,
    holes: HolePolicy,
}

impl RawDisk {
    /// Opens a regular file or a block device; its size is fixed from now on.
    ///
    /// Errors: `Invalid` for anything else.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, HolePolicy::Trust)
    }

    /// Opens with a rule for holes.
    pub fn open_with(path: &Path, holes: HolePolicy) -> Result<Self> {
        Ok(Self::of(HostFile::open(path)?, holes))
    }

    pub(crate) fn of(file: HostFile, holes: HolePolicy) -> Self {
        Self { file, holes }
    }

    /// Says whether it is a block device, which cannot tell zeros from data.
    pub fn is_block_device(&self) -> bool {
        self.file.kind() == HostKind::BlockDevice
    }
}

impl DiskReader for RawDisk {
    fn size(&self) -> u64 {
        self.file.length()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let asked = (offset, bytes(buffer.len()));
        match range_within(asked, self.size(), "reading", self.file.path())? {
            Some(_) => self.file.read(offset, buffer),
            None => Ok(()),
        }
    }

    fn next_extent(&self, offset: u64) -> Result<MappedExtent> {
        let Some(rest) = Extent::new(offset, self.size()) else {
            return Err(beyond_the_end(self.file.path(), offset, self.size()));
        };
        match self.holes {
            HolePolicy::Trust => self.file.next_extent(rest),
            HolePolicy::Ignore => Ok(MappedExtent {
                extent: rest,
                state: ExtentState::Data,
            }),
        }
    }
}

pub(crate) fn beyond_the_end(path: &Path, offset: u64, size: u64) -> Error {
    Error::new(ErrorKind::Invalid, "mapping", path)
        .at(offset)
        .seen(format!("the disk has only {size} bytes"))
}
