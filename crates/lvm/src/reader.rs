//! Reading a snapshot, with the reason where it cannot be read.

use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_disk::{DiskReader, Error, MappedExtent, Result};
use lifeboat_model::ErrorKind;

use crate::FullName;
use crate::capture::OVERFLOWED;
use crate::tools::Tools;

/// A snapshot's bytes. An input error of one that overflowed says so.
pub(crate) struct SnapshotReader {
    pub(crate) inner: Arc<dyn DiskReader>,
    pub(crate) tools: Tools,
    pub(crate) name: FullName,
    pub(crate) path: PathBuf,
}

impl DiskReader for SnapshotReader {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.inner.read_at(offset, buffer).map_err(|error| {
            let is_lost = error.kind() == ErrorKind::Io
                && self.tools.volume(&self.name).is_ok_and(|it| it.is_lost);
            if !is_lost {
                return error;
            }
            Error::new(ErrorKind::Full, "reading", &self.path)
                .at(offset)
                .seen(OVERFLOWED)
                .because(error)
        })
    }

    fn next_extent(&self, offset: u64) -> Result<MappedExtent> {
        self.inner.next_extent(offset)
    }
}
