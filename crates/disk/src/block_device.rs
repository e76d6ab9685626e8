//! Writing block devices.
//!
//! Takes a device that nobody uses; gives a writer that leaves zeros where zeros belong.
//! Does not resize, partition or unmount anything.

mod claims;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lifeboat_model::{ErrorKind, Extent};
use rustix::fs::OFlags;

use crate::host_file::{device_size, flags};
use crate::lifecycle::Lifecycle;
use crate::port::{bytes, range_within};
use crate::zeros::{punch, write_zeros, zero_range};
use crate::{DiskWriter, Error, Result};

use claims::Claims;

/// A block device being overwritten.
///
/// It is incomplete until `finish`; nothing marks it as such.
#[derive(Debug)]
pub struct BlockDeviceWriter {
    file: File,
    path: PathBuf,
    size: u64,
    device_size: u64,
    /// Bytes of the device's smallest addressable unit.
    sector_size: u64,
    life: Lifecycle,
}

impl BlockDeviceWriter {
    /// Opens the device for a disk of `size` bytes; a larger device keeps what lies beyond.
    ///
    /// Errors: `Busy` if the device or a partition of it is mounted, is swap, has holders
    /// (LVM, device mapper, MD) or is open exclusively elsewhere; `Denied` if it is read-only;
    /// `Invalid` if it is too small or no block device.
    pub fn open(path: &Path, size: u64) -> Result<Self> {
        let failed = |e| Error::io("opening", path, e);
        let found = std::fs::metadata(path).map_err(failed)?;
        if !found.file_type().is_block_device() {
            return Err(
                Error::new(ErrorKind::Invalid, "opening", path).seen("it is not a block device")
            );
        }
        Claims::of_this_machine().refuse_claimed(path, found.rdev())?;
        let file = open_exclusively(path)?;
        // The name may have been given to another device since it was looked at.
        if file.metadata().map_err(failed)?.rdev() != found.rdev() {
            return Err(Error::new(ErrorKind::Busy, "opening", path)
                .seen("the device was exchanged while it was opened"));
        }
        let device_size = device_size(&file, path)?;
        if device_size < size {
            return Err(
                Error::new(ErrorKind::Invalid, "opening", path).seen(format!(
                    "the device has {device_size} bytes, the disk needs {size}"
                )),
            );
        }
        let sector_size = rustix::fs::ioctl_blksszget(&file)
            .map_err(|e| Error::io("asking the sector size of", path, e))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            size,
            device_size,
            sector_size: u64::from(sector_size).max(1),
            life: Lifecycle::default(),
        })
    }

    /// Bytes of the device; at least the disk's size.
    pub fn device_size(&self) -> u64 {
        self.device_size
    }

    /// The part of a range that consists of whole sectors.
    fn whole_sectors(&self, range: Extent) -> Option<Extent> {
        let start = range.start().next_multiple_of(self.sector_size);
        Extent::new(start, range.end() - range.end() % self.sector_size)
    }

    fn zero_sectors(&self, range: Extent) -> Result<()> {
        if punch(&self.file, &self.path, range)? || zero_range(&self.file, &self.path, range)? {
            return Ok(());
        }
        write_zeros(&self.file, &self.path, range)
    }
}

/// Exclusively: the kernel then refuses a device that is mounted or claimed, and nobody can
/// claim it while it is open.
fn open_exclusively(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags(OFlags::EXCL))
        .open(path)
        .map_err(|e| {
            let failed = Error::io("opening", path, e);
            if failed.kind() == ErrorKind::Busy {
                return failed.seen("something uses the device or a part of it exclusively");
            }
            failed
        })
}

impl DiskWriter for BlockDeviceWriter {
    fn size(&self) -> u64 {
        self.size
    }

    fn write_at(&self, offset: u64, content: &[u8]) -> Result<()> {
        self.life.refuse_closed(&self.path)?;
        range_within(
            (offset, bytes(content.len())),
            self.size,
            "writing",
            &self.path,
        )?;
        self.file
            .write_all_at(content, offset)
            .map_err(|e| Error::io("writing", &self.path, e).at(offset))
    }

    fn zero_at(&self, offset: u64, length: u64) -> Result<()> {
        self.life.refuse_closed(&self.path)?;
        let range = range_within((offset, length), self.size, "zeroing", &self.path)?;
        let Some(range) = range else { return Ok(()) };
        let Some(middle) = self.whole_sectors(range) else {
            return write_zeros(&self.file, &self.path, range);
        };
        let head = Extent::new(range.start(), middle.start());
        let tail = Extent::new(middle.end(), range.end());
        for edge in [head, tail].into_iter().flatten() {
            write_zeros(&self.file, &self.path, edge)?;
        }
        self.zero_sectors(middle)
    }

    fn finish(&self) -> Result<()> {
        self.life.close(&self.path)?;
        self.file
            .sync_all()
            .map_err(|e| Error::io("making durable", &self.path, e))?;
        self.life.succeed();
        Ok(())
    }

    fn read_back(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        range_within(
            (offset, bytes(buffer.len())),
            self.size,
            "reading back",
            &self.path,
        )?;
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|e| Error::io("reading back", &self.path, e).at(offset))
    }
}
