//! The front of a target that may be longer than the disk it holds.

use std::path::Path;
use std::sync::Arc;

use lifeboat_disk::{DiskReader, MappedExtent, Result, is_block_device};
use lifeboat_model::Extent;

/// qcow2 images have whole sectors.
const SECTOR_BYTES: u64 = 512;

/// The first bytes of a disk.
pub(crate) struct Front {
    reader: Arc<dyn DiskReader>,
    size: u64,
}

impl Front {
    /// The part of `reader` that holds a disk of `size` bytes.
    ///
    /// A device may be larger than the disk, and an image is rounded up to a sector; any other
    /// difference of sizes stays one.
    pub(crate) fn of(reader: Arc<dyn DiskReader>, size: u64, path: &Path) -> Self {
        let has_room =
            is_block_device(path) || reader.size() == size.next_multiple_of(SECTOR_BYTES);
        let size = if has_room {
            size.min(reader.size())
        } else {
            reader.size()
        };
        Self { reader, size }
    }
}

impl DiskReader for Front {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.reader.read_at(offset, buffer)
    }

    fn next_extent(&self, offset: u64) -> Result<MappedExtent> {
        let mapped = self.reader.next_extent(offset)?;
        let end = mapped.extent.end().min(self.size);
        let extent = Extent::new(offset, end).unwrap_or(mapped.extent);
        Ok(MappedExtent {
            extent,
            state: mapped.state,
        })
    }
}
