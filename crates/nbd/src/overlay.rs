//! What is written to a disk that may not change: kept beside it, in a file.
//!
//! Blocks of 64 KiB: the first write to one takes the whole block over. The file holds the blocks
//! at their offsets, and two copies of a bitmap that says which are there.
//!
//! Order: a flush makes the blocks durable, then the first copy of the pages that name them, then
//! the second. So each bit on the storage stands for a block that is there, and of each page one
//! copy is whole at any moment: a crash loses nothing that was flushed. Pages that a crash tore
//! are found by their checksums and written anew when the file is opened. What was answered and
//! not flushed is noted behind the blocks, and survives the end of the process (`notes`).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use lifeboat_model::{ErrorKind, Extent, ExtentSet};
use rustix::fs::{CWD, FlockOperation, RenameFlags};

use crate::server::{Access, Allocation, BlockSizes, Export, Stated, Zeroing};
use crate::{Error, Result};

mod bitmap;
#[cfg(test)]
mod crashes;
mod header;
mod notes;
mod storage;

use bitmap::Bitmap;
use header::{BLOCK_BITS, Header, PAGE_BYTES, Page};
use notes::{Boot, Notes};
use storage::Storage;

/// Bytes of a block: what the first write to a place takes over.
pub const OVERLAY_BLOCK_BYTES: u64 = 1 << BLOCK_BITS;

const OPENING: &str = "opening the overlay";

/// Locks of blocks that are being taken over; a block's own is found by its number.
const TURNS: usize = 64;

/// A writable disk: the blocks of a file over another disk, which is only read.
pub struct Overlay {
    base: Arc<dyn Export>,
    header: Header,
    file: Box<dyn Storage>,
    path: PathBuf,
    bitmap: RwLock<Bitmap>,
    notes: Notes,
    turns: Vec<Mutex<()>>,
    /// Held for reading while a block is taken over, for writing while many become zeros.
    gate: RwLock<()>,
    flushing: Mutex<()>,
    /// Set by a failure after which nobody knows what is on the storage.
    has_failed: AtomicBool,
}

impl Overlay {
    /// Makes an empty overlay in a new file.
    ///
    /// `name` is kept to refuse any other base later, as a digest of what the base shows.
    ///
    /// Errors: `Exists` if the path is taken; `Invalid` for an empty disk; `Full`.
    pub fn create(path: &Path, base: Arc<dyn Export>, name: [u8; 32]) -> Result<Self> {
        const DOING: &str = "making the overlay";
        let failed = |cause| Error::io(DOING, path.display(), cause);
        let header = Header {
            size: base.size(),
            base: name,
        };
        Header::check(header.size)
            .map_err(|seen| Error::new(ErrorKind::Invalid, DOING, path.display()).seen(seen))?;
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let made = write_empty(&partial, &header).and_then(|()| {
            rustix::fs::renameat_with(CWD, &partial, CWD, path, RenameFlags::NOREPLACE)?;
            sync_folder(path)
        });
        if let Err(cause) = made {
            drop(std::fs::remove_file(&partial));
            return Err(failed(cause));
        }
        Self::open(path, base, name)
    }

    /// Opens what an earlier process left, also after a crash.
    ///
    /// Errors: `Busy` while another process has it open; `Invalid` if it is for another base;
    /// `Corrupt` for a file that is no overlay or is damaged.
    pub fn open(path: &Path, base: Arc<dyn Export>, name: [u8; 32]) -> Result<Self> {
        let failed = |cause: io::Error| Error::io(OPENING, path.display(), cause);
        let refuse = |kind, seen| Error::new(kind, OPENING, path.display()).seen(seen);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(failed)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|cause| {
            match cause {
                rustix::io::Errno::WOULDBLOCK => refuse(ErrorKind::Busy, "it is open elsewhere"),
                _ => failed(cause.into()),
            }
        })?;
        let boot = notes::this_boot().map_err(failed)?;
        Self::over(Box::new(file), path, (base, name), boot)
    }

    fn over(
        file: Box<dyn Storage>,
        path: &Path,
        (base, name): (Arc<dyn Export>, [u8; 32]),
        boot: Boot,
    ) -> Result<Self> {
        let failed = |cause: io::Error| Error::io(OPENING, path.display(), cause);
        let refuse = |kind, seen| Error::new(kind, OPENING, path.display()).seen(seen);
        let file_of = &*file;
        let page = read_page(file_of, 0).map_err(failed)?;
        let header = Header::decode(&page).map_err(|seen| refuse(ErrorKind::Corrupt, seen))?;
        if header.size != base.size() || header.base != name {
            return Err(refuse(ErrorKind::Invalid, "it was made over another disk"));
        }
        if file.length().map_err(failed)? < header.file_length() {
            return Err(refuse(ErrorKind::Corrupt, "the file was cut"));
        }
        let bitmap = load(file_of, &header).and_then(|mut bitmap| {
            let notes = Notes::open(file_of, &header, boot, &mut bitmap)?;
            Ok((bitmap, notes))
        });
        let (bitmap, notes) = bitmap.map_err(|cause| match cause.kind() {
            io::ErrorKind::InvalidData => {
                refuse(ErrorKind::Corrupt, "its bitmap is damaged").because(cause)
            }
            _ => failed(cause),
        })?;
        Ok(Self {
            base,
            header,
            file,
            path: path.to_owned(),
            bitmap: RwLock::new(bitmap),
            notes,
            turns: (0..TURNS).map(|_| Mutex::default()).collect(),
            gate: RwLock::default(),
            flushing: Mutex::default(),
            has_failed: AtomicBool::new(false),
        })
    }

    /// The blocks that were written: what differs from the base, or may.
    pub fn changed(&self) -> ExtentSet {
        let bitmap = self.bitmap();
        let mut found = ExtentSet::new();
        let (mut block, end) = (0, self.header.block_count());
        while block < end {
            let next = bitmap.end_of_run(block, end);
            if bitmap.has(block) {
                found.extend(self.extent_of(block, next));
            }
            block = next;
        }
        found
    }

    fn bitmap(&self) -> RwLockReadGuard<'_, Bitmap> {
        self.bitmap.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of blocks, as far as they are on the disk.
    fn extent_of(&self, block: u64, end: u64) -> Option<Extent> {
        let end = (end << BLOCK_BITS).min(self.header.size);
        Extent::new(block << BLOCK_BITS, end)
    }

    /// The first part of a range that lies on one side, and whether that is this file.
    fn run(&self, range: Extent) -> (Extent, bool) {
        let bitmap = self.bitmap();
        let block = range.start() >> BLOCK_BITS;
        let end = bitmap.end_of_run(block, range.end().div_ceil(OVERLAY_BLOCK_BYTES));
        let run = Extent::new(range.start(), range.end().min(end << BLOCK_BITS));
        (run.unwrap_or(range), bitmap.has(block))
    }

    fn failed(&self, doing: &'static str, offset: u64, cause: io::Error) -> Error {
        Error::io(doing, self.path.display(), cause).at(offset)
    }

    fn check(&self, doing: &'static str) -> Result<()> {
        match self.has_failed.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Io, doing, self.path.display())
                .seen("a flush failed before: what it held may be lost")),
            false => Ok(()),
        }
    }

    /// Writes within one block; takes the block over before, if it is not there yet.
    fn write_block(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        const DOING: &str = "writing to the overlay";
        let block = offset >> BLOCK_BITS;
        let write = |offset: u64, bytes: &[u8]| {
            let written = self.file.write_at(self.header.data_at() + offset, bytes);
            written.map_err(|cause| self.failed(DOING, offset, cause))
        };
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        if self.bitmap().has(block) {
            return write(offset, bytes);
        }
        let _turn = self.turn(block);
        if self.bitmap().has(block) {
            return write(offset, bytes);
        }
        let Some(whole) = self.extent_of(block, block + 1) else {
            return Ok(());
        };
        if bytes.len() as u64 == whole.len() {
            write(offset, bytes)?;
        } else {
            let length = usize::try_from(whole.len()).unwrap_or(usize::MAX);
            let mut content = vec![0; length];
            self.base.read_at(whole.start(), &mut content)?;
            let start = usize::try_from(offset - whole.start()).unwrap_or(usize::MAX);
            let place = content.get_mut(start..start.saturating_add(bytes.len()));
            place.unwrap_or_default().copy_from_slice(bytes);
            write(whole.start(), &content)?;
        }
        // Order: the block is complete before anyone, a flush included, learns that it is there.
        self.take(block..block + 1)
            .map_err(|cause| self.failed(DOING, offset, cause))
    }

    /// Makes blocks this file's own, also for the process after this one.
    fn take(&self, blocks: Range<u64>) -> io::Result<()> {
        let mut bitmap = self.bitmap.write().unwrap_or_else(PoisonError::into_inner);
        let is_whole =
            bitmap.has(blocks.start) && bitmap.end_of_run(blocks.start, blocks.end) >= blocks.end;
        if !is_whole {
            self.notes.add(&*self.file, &blocks)?;
            blocks.for_each(|block| bitmap.set(block));
        }
        Ok(())
    }

    fn turn(&self, block: u64) -> Option<MutexGuard<'_, ()>> {
        let index = usize::try_from(block % TURNS as u64).unwrap_or(0);
        let turn = self.turns.get(index)?;
        Some(turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes whole blocks zeros.
    fn zero_blocks(&self, extent: Extent, zeroing: Zeroing) -> Result<()> {
        const DOING: &str = "writing zeros to the overlay";
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let at = self.header.data_at() + extent.start();
        match self.file.zero(at, extent.len(), zeroing) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::Unsupported => {
                self.write_zeros(at, extent.len())?;
            }
            Err(cause) => return Err(self.failed(DOING, extent.start(), cause)),
        }
        let end = extent.end().div_ceil(OVERLAY_BLOCK_BYTES);
        self.take(extent.start() >> BLOCK_BITS..end)
            .map_err(|cause| self.failed(DOING, extent.start(), cause))
    }

    fn write_zeros(&self, at: u64, length: u64) -> Result<()> {
        let zeros = vec![0; 1 << BLOCK_BITS];
        let mut done = 0;
        while done < length {
            let step = (length - done).min(OVERLAY_BLOCK_BYTES);
            let part = zeros.get(..usize::try_from(step).unwrap_or(0));
            self.file
                .write_at(at + done, part.unwrap_or_default())
                .map_err(|cause| self.failed("writing zeros to the overlay", at, cause))?;
            done += step;
        }
        Ok(())
    }

    /// The largest part of whole blocks in a range; the disk's last block ends with the disk.
    fn whole_blocks(&self, range: Extent) -> Option<Extent> {
        let start = range.start().next_multiple_of(OVERLAY_BLOCK_BYTES);
        let end = match range.end() == self.header.size {
            true => range.end(),
            false => range.end() >> BLOCK_BITS << BLOCK_BITS,
        };
        Extent::new(start, end)
    }

    /// What of this file's own part reads as zeros because it is a hole.
    fn own_state(&self, run: Extent) -> Result<Stated> {
        let data_at = self.header.data_at();
        let failed = |cause| self.failed("asking for extents of", run.start(), cause);
        let at = data_at + run.start();
        let data = self.file.next_data(at).map_err(failed)?;
        let data = data.saturating_sub(data_at);
        if let Some(extent) = Extent::new(run.start(), data.min(run.end())) {
            let allocation = Allocation::Hole;
            return Ok(Stated { extent, allocation });
        }
        let hole = self.file.next_hole(at).map_err(failed)?;
        let hole = hole.saturating_sub(data_at);
        let extent = Extent::new(run.start(), hole.min(run.end())).unwrap_or(run);
        let allocation = Allocation::Data;
        Ok(Stated { extent, allocation })
    }

    fn sync(&self, pages: &[(u64, Box<Page>)]) -> io::Result<()> {
        self.file.sync()?;
        if pages.is_empty() {
            return Ok(());
        }
        for copy in 0..2 {
            for (index, page) in pages {
                let at = self.header.page_at(copy, *index);
                self.file.write_at(at, &page[..])?;
            }
            self.file.sync()?;
        }
        Ok(())
    }
}

impl Export for Overlay {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn description(&self) -> String {
        self.base.description()
    }

    fn block_sizes(&self) -> BlockSizes {
        let base = self.base.block_sizes();
        let preferred = base.preferred.max(1 << BLOCK_BITS).min(base.most);
        BlockSizes { preferred, ..base }
    }

    fn access(&self) -> Access {
        Access::Writable
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut left = buffer;
        let mut at = offset;
        while let Some(range) = Extent::at(at, left.len() as u64) {
            let (run, is_ours) = self.run(range);
            let length = usize::try_from(run.len()).unwrap_or(usize::MAX);
            let (part, rest) = left.split_at_mut(length.min(left.len()));
            match is_ours {
                true => self
                    .file
                    .read_at(self.header.data_at() + at, part)
                    .map_err(|cause| self.failed("reading the overlay", at, cause))?,
                false => self.base.read_at(at, part)?,
            }
            left = rest;
            at = run.end();
        }
        Ok(())
    }

    fn extents<'a>(&'a self, range: Extent) -> Box<dyn Iterator<Item = Result<Stated>> + 'a> {
        let mut at = range.start();
        let mut base: Option<Box<dyn Iterator<Item = Result<Stated>> + 'a>> = None;
        Box::new(std::iter::from_fn(move || {
            let found = match base.as_mut().and_then(Iterator::next) {
                Some(found) => found,
                None => {
                    let (run, is_ours) = self.run(Extent::new(at, range.end())?);
                    match is_ours {
                        true => {
                            base = None;
                            self.own_state(run)
                        }
                        false => base.insert(self.base.extents(run)).next()?,
                    }
                }
            };
            at = found.as_ref().map_or(range.end(), |it| it.extent.end());
            Some(found)
        }))
    }

    fn prefetch(&self, range: Extent) -> Result<()> {
        self.base.prefetch(range)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check("writing to the overlay")?;
        let mut left = bytes;
        let mut at = offset;
        while !left.is_empty() {
            let room = OVERLAY_BLOCK_BYTES - at % OVERLAY_BLOCK_BYTES;
            let length = usize::try_from(room).unwrap_or(usize::MAX).min(left.len());
            let (part, rest) = left.split_at(length);
            self.write_block(at, part)?;
            left = rest;
            at += length as u64;
        }
        Ok(())
    }

    fn zero(&self, range: Extent, zeroing: Zeroing) -> Result<()> {
        self.check("writing zeros to the overlay")?;
        let whole = self.whole_blocks(range);
        if let Some(whole) = whole {
            self.zero_blocks(whole, zeroing)?;
        }
        let (head_end, tail_start) = match whole {
            Some(whole) => (whole.start(), whole.end()),
            None => (range.end(), range.end()),
        };
        let ends = [
            Extent::new(range.start(), head_end),
            Extent::new(tail_start, range.end()),
        ];
        for end in ends.into_iter().flatten() {
            // Less than two blocks.
            let zeros = vec![0; usize::try_from(end.len()).unwrap_or(0)];
            self.write_at(end.start(), &zeros)?;
        }
        Ok(())
    }

    fn trim(&self, range: Extent) -> Result<()> {
        self.check("trimming the overlay")?;
        match self.whole_blocks(range) {
            Some(whole) => self.zero_blocks(whole, Zeroing::MayFreeRoom),
            None => Ok(()),
        }
    }

    fn flush(&self) -> Result<()> {
        const DOING: &str = "flushing the overlay";
        let _one = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        self.check(DOING)?;
        // Order: the pages are taken first, so that the sync covers every block they name.
        let (pages, noted) = {
            let mut bitmap = self.bitmap.write().unwrap_or_else(PoisonError::into_inner);
            (bitmap.take_changed(), self.notes.count())
        };
        let flushed = self.sync(&pages);
        let flushed = flushed.and_then(|()| self.notes.forget(&*self.file, noted));
        flushed.map_err(|cause| {
            self.has_failed.store(true, Ordering::SeqCst);
            Error::io(DOING, self.path.display(), cause)
        })
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Overlay({})", self.path.display())
    }
}

fn read_page(file: &dyn Storage, at: u64) -> io::Result<Box<Page>> {
    let mut page = Box::new([0; PAGE_BYTES]);
    file.read_at(at, &mut page[..])?;
    Ok(page)
}

/// Order: the header is written last; without it the file is nothing.
fn write_empty(path: &Path, header: &Header) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.set_len(header.file_length())?;
    format(&file, header)?;
    file.sync_all()
}

fn format(file: &dyn Storage, header: &Header) -> io::Result<()> {
    let bitmap = Bitmap::new(header.page_count());
    for copy in 0..2 {
        for index in 0..header.page_count() {
            let page = bitmap.page(usize::try_from(index).unwrap_or(usize::MAX));
            file.write_at(header.page_at(copy, index), &page[..])?;
        }
    }
    file.sync()?;
    file.write_at(0, &header.encode())?;
    file.sync()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Reads all pages, and writes torn or older copies anew.
///
/// Order: this ends before anything else is written, so that of each page a whole copy stays.
fn load(file: &dyn Storage, header: &Header) -> io::Result<Bitmap> {
    let mut bitmap = Bitmap::new(header.page_count());
    let mut has_mended = false;
    for number in 0..header.page_count() {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let first = read_page(file, header.page_at(0, number))?;
        let second = read_page(file, header.page_at(1, number))?;
        let stale = bitmap
            .load(index, [&first, &second])
            .map_err(|seen| io::Error::new(io::ErrorKind::InvalidData, seen))?;
        for (copy, _) in (0..2).zip(stale).filter(|(_, is_stale)| *is_stale) {
            file.write_at(header.page_at(copy, number), &bitmap.page(index)[..])?;
            has_mended = true;
        }
    }
    if has_mended {
        file.sync()?;
    }
    Ok(bitmap)
}
