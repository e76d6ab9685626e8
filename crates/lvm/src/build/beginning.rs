//! The beginning of a device that is larger than its disk.

use std::sync::Arc;

use lifeboat_disk::{DiskReader, MappedExtent, Result};
use lifeboat_model::Extent;

/// The first `size` bytes of a disk that has at least as many: volumes are whole extents.
pub(super) struct Beginning {
    pub(super) inner: Arc<dyn DiskReader>,
    pub(super) size: u64,
}

impl DiskReader for Beginning {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.inner.read_at(offset, buffer)
    }

    fn next_extent(&self, offset: u64) -> Result<MappedExtent> {
        let mapped = self.inner.next_extent(offset)?;
        let end = mapped.extent.end().min(self.size);
        let extent = Extent::new(mapped.extent.start(), end);
        Ok(MappedExtent {
            extent: extent.unwrap_or(mapped.extent),
            ..mapped
        })
    }
}
