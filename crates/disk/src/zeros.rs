//! Making ranges of a host file zero.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use lifeboat_model::Extent;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::port::{bytes, capped};
use crate::{Error, Result};

static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

/// Writes zeros as ordinary content.
pub(crate) fn write_zeros(file: &File, path: &Path, range: Extent) -> Result<()> {
    let mut offset = range.start();
    while offset < range.end() {
        let length = capped(range.end() - offset, ZEROS.len());
        let (piece, _) = ZEROS.split_at(length);
        file.write_all_at(piece, offset)
            .map_err(|e| Error::io("zeroing", path, e).at(offset))?;
        offset += bytes(length);
    }
    Ok(())
}

/// Makes a hole; says `false` if the file system or device cannot do that.
pub(crate) fn punch(file: &File, path: &Path, range: Extent) -> Result<bool> {
    allocate(
        file,
        path,
        range,
        FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
    )
}

/// Lets the device or file system write the zeros; says `false` if it cannot.
pub(crate) fn zero_range(file: &File, path: &Path, range: Extent) -> Result<bool> {
    allocate(
        file,
        path,
        range,
        FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
    )
}

fn allocate(file: &File, path: &Path, range: Extent, flags: FallocateFlags) -> Result<bool> {
    loop {
        match rustix::fs::fallocate(file, flags, range.start(), range.len()) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NOTTY) => {
                return Ok(false);
            }
            Err(e) => return Err(Error::io("zeroing", path, e).at(range.start())),
        }
    }
}
