//! Writing raw files.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::direct::{DirectFile, write_all_at};
use crate::host_file::HostFile;
use crate::port::{bytes, range_within};
use crate::work_file::WorkFile;
use crate::zeros::{punch, write_zeros};
use crate::{DiskReader, DiskWriter, Error, HolePolicy, Leftover, RawDisk, Result, TargetMode};

/// How a raw file is written.
#[derive(Clone, Copy, Debug)]
pub struct RawWriterOptions {
    /// What may be at the target's place.
    pub mode: TargetMode,
    /// What happens to an interrupted writer's work file; without meaning in place.
    pub leftover: Leftover,
}

impl RawWriterOptions {
    /// A new file; nothing of an earlier attempt is kept.
    pub fn new(mode: TargetMode) -> Self {
        Self {
            mode,
            leftover: Leftover::Discard,
        }
    }
}

/// A raw file being written, sparse where zeros are.
#[derive(Debug)]
pub struct RawWriter {
    work: WorkFile,
    direct: Option<DirectFile>,
    size: u64,
}

impl RawWriter {
    /// Begins a file of `size` bytes that will be at `path`.
    ///
    /// In place, what lies beyond `size` is cut off at once.
    ///
    /// Errors: `Exists` (mode `New`), `NotFound` (`InPlace`), `Busy` if another writer or a
    /// QEMU holds the file, `Invalid` for anything but a regular file.
    pub fn create(path: &Path, size: u64, options: RawWriterOptions) -> Result<Self> {
        let work = WorkFile::open(path, options.mode, options.leftover)?;
        work.file()
            .set_len(size)
            .map_err(|e| Error::io("sizing", work.path(), e))?;
        // In place, a second descriptor would end the lock against QEMU when it is closed.
        let direct = match options.mode {
            TargetMode::InPlace => None,
            TargetMode::New | TargetMode::Replace => DirectFile::of(work.file(), work.path()),
        };
        Ok(Self { work, direct, size })
    }

    /// Says whether content of an interrupted attempt is in the file.
    pub fn resumed(&self) -> bool {
        self.work.resumed()
    }

    /// Reads what is in the file now, to be compared with what should be there.
    pub fn reader(&self) -> Result<Arc<dyn DiskReader>> {
        let file = HostFile::of(Arc::clone(self.work.file()), self.work.path())?;
        Ok(Arc::new(RawDisk::of(file, HolePolicy::Trust)))
    }

    /// Gives up: the work file is removed. In place, the incomplete file and its marker stay.
    pub fn abort(&self) -> Result<()> {
        self.work.abort()
    }
}

impl DiskWriter for RawWriter {
    fn size(&self) -> u64 {
        self.size
    }

    fn write_at(&self, offset: u64, content: &[u8]) -> Result<()> {
        let path = self.work.path();
        self.work.refuse_closed()?;
        range_within((offset, bytes(content.len())), self.size, "writing", path)?;
        write_all_at(self.work.file(), self.direct.as_ref(), offset, content)
            .map_err(|e| Error::io("writing", path, e).at(offset))
    }

    fn zero_at(&self, offset: u64, length: u64) -> Result<()> {
        let path = self.work.path();
        self.work.refuse_closed()?;
        let Some(range) = range_within((offset, length), self.size, "zeroing", path)? else {
            return Ok(());
        };
        if punch(self.work.file(), path, range)? {
            return Ok(());
        }
        write_zeros(self.work.file(), path, range)
    }

    fn finish(&self) -> Result<()> {
        self.work.close()?;
        self.work.publish()
    }

    fn give_up(&self) -> Result<()> {
        self.work.give_up()
    }

    fn is_blank(&self) -> bool {
        self.work.is_blank()
    }

    fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    fn read_back(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let path = self.work.path();
        range_within(
            (offset, bytes(buffer.len())),
            self.size,
            "reading back",
            path,
        )?;
        self.work
            .file()
            .read_exact_at(buffer, offset)
            .map_err(|e| Error::io("reading back", path, e).at(offset))
    }
}
