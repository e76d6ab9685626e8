//! The file under an overlay: what is asked of it, so that crashes can be simulated.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use crate::server::Zeroing;

/// A file whose writes are durable after a sync, and before it perhaps, in any order, in parts.
pub(super) trait Storage: Send + Sync {
    fn length(&self) -> io::Result<u64>;

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()>;

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes a range zeros; `Unsupported` where they must be written.
    fn zero(&self, at: u64, length: u64, zeroing: Zeroing) -> io::Result<()>;

    /// Makes everything durable whose write has returned.
    fn sync(&self) -> io::Result<()>;

    /// Where the next byte lies that is in no hole, and where the next hole begins.
    fn next_data(&self, at: u64) -> io::Result<u64>;

    fn next_hole(&self, at: u64) -> io::Result<u64>;
}

impl Storage for File {
    fn length(&self) -> io::Result<u64> {
        self.metadata().map(|it| it.len())
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, at)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn zero(&self, at: u64, length: u64, zeroing: Zeroing) -> io::Result<()> {
        let mode = match zeroing {
            Zeroing::MayFreeRoom => FallocateFlags::PUNCH_HOLE,
            Zeroing::KeepsRoom => FallocateFlags::ZERO_RANGE,
        };
        let mode = mode | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(self, mode, at, length)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn next_data(&self, at: u64) -> io::Result<u64> {
        seek(self, SeekFrom::Data(at))
    }

    fn next_hole(&self, at: u64) -> io::Result<u64> {
        seek(self, SeekFrom::Hole(at))
    }
}

fn seek(file: &File, to: SeekFrom) -> io::Result<u64> {
    match rustix::fs::seek(file, to) {
        // Behind the last data: all is a hole.
        Err(Errno::NXIO) => Ok(u64::MAX),
        found => Ok(found?),
    }
}
