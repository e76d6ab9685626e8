//! Bringing the content of files, with all threads.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lifeboat_model::{ErrorKind, Extent};
use lifeboat_repository::IndexedBlob;
use rustix::fs::{AtFlags, FallocateFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::apply::Run;
use super::folders::OpenFolders;
use super::inspect::{is_our_part, open_file};
use super::item::{Found, Item, mark_name, work_name};
use super::metadata::Place;
use super::{ExistingFiles, FindingKind, Piece};
use crate::Result;
use crate::fetch::Fetcher;
use crate::restore::PackRead;

/// Files each thread holds open.
const OPEN_MAX: usize = 16;

/// More threads gain nothing here, and would hold too many files open.
const THREADS_MAX: usize = 16;

/// Zeros are left out in blocks of this many bytes.
const HOLE_BYTES: u64 = 4096;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Brings all pieces and completes all files.
pub(super) fn bring_all(run: &Run<'_>) -> Result<()> {
    let plan = run.plan;
    // Files that need no piece: empty, only zeros, or there already.
    let ready: Vec<u32> = (0..)
        .zip(&plan.items)
        .filter(|(number, item)| item.is_file() && run.state(*number).left == 0)
        .map(|(number, _)| number)
        .collect();
    let (next_ready, next_read) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = Mutex::new(None);
    let work = || {
        let mut worker = Worker::new(run);
        let mut step = || -> Result<bool> {
            run.check_cancelled()?;
            if let Some(number) = ready.get(next_ready.fetch_add(1, Relaxed)) {
                worker.complete(*number)?;
            } else if let Some(read) = plan.reads.get(next_read.fetch_add(1, Relaxed)) {
                worker.bring(read)?;
            } else {
                return Ok(false);
            }
            Ok(true)
        };
        loop {
            match step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    next_ready.store(ready.len(), Relaxed);
                    next_read.store(plan.reads.len(), Relaxed);
                    let mut failed = failed.lock().unwrap_or_else(|p| p.into_inner());
                    failed.get_or_insert(error);
                    return;
                }
            }
        }
    };
    let threads = run.repository.environment().threads.clamp(1, THREADS_MAX);
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let failed = failed.into_inner().unwrap_or_else(|p| p.into_inner());
    failed.map_or(Ok(()), Err)
}

struct Worker<'a> {
    run: &'a Run<'a>,
    fetcher: Fetcher<'a>,
    open: OpenFiles<'a>,
}

impl<'a> Worker<'a> {
    fn new(run: &'a Run<'a>) -> Self {
        Self {
            run,
            fetcher: Fetcher::new(run.repository, run.index),
            open: OpenFiles {
                run,
                folders: run.folders(),
                files: Vec::with_capacity(OPEN_MAX + 1),
            },
        }
    }

    fn bring(&mut self, read: &PackRead) -> Result<()> {
        let run = self.run;
        let numbers = &run.plan.wanted[read.chunks.clone()];
        let piece = |number: &u32| run.plan.pieces[*number as usize];
        let Some(first) = numbers.first() else {
            return Ok(());
        };
        let first = run.index.blob(piece(first).row as usize);
        match self.fetcher.load(first.location.pack, read) {
            Err(error) if is_fatal(error.kind()) => return Err(error),
            // Blobs are tried one by one then.
            Err(_) => {}
            Ok(()) => drop(run.read.fetch_add(read.length, Relaxed)),
        }
        for same in numbers.chunk_by(|a, b| piece(a).row == piece(b).row) {
            let blob = run.index.blob(piece(&same[0]).row as usize);
            match self.fetcher.open(&blob.id, &blob.location) {
                Ok(bytes) => {
                    for number in same {
                        self.open.put(piece(number), bytes)?;
                    }
                }
                Err(error) if is_fatal(error.kind()) => return Err(error.into()),
                Err(error) => miss(run, same.iter().map(piece), &blob, &error.to_string()),
            }
            for number in same {
                self.count(piece(number), &blob)?;
            }
        }
        Ok(())
    }

    /// One piece of the file less to do.
    fn count(&mut self, piece: Piece, blob: &IndexedBlob) -> Result<()> {
        let progress = &self.run.repository.environment().progress;
        progress.advance(u64::from(blob.location.plaintext_length()));
        let is_last = {
            let mut state = self.run.state(piece.item);
            state.left -= 1;
            state.left == 0
        };
        if is_last {
            self.complete(piece.item)
        } else {
            Ok(())
        }
    }

    /// Sets owner, mode and times of a file that has all its content.
    fn complete(&mut self, number: u32) -> Result<()> {
        let (run, item) = (self.run, self.run.item(number));
        if run.is_blocked(item) || run.state(number).is_lost() {
            return Ok(());
        }
        let is_left = match item.found {
            Found::Equal { is_single } => run.plan.existing == ExistingFiles::Refuse || !is_single,
            _ => false,
        };
        if is_left {
            return Ok(());
        }
        let Some(file) = self.open.get(number)? else {
            return Ok(());
        };
        let device = rustix::fs::fstat(&*file).map_or(0, |found| found.st_dev);
        for fault in item.metadata.set(Place::Open(file.as_fd())) {
            run.find(FindingKind::Metadata, item, fault);
        }
        self.open.forget(number);
        run.complete(number, device, &file)
    }
}

/// Failures that meet every file.
fn is_fatal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Cancelled | ErrorKind::Unreachable)
}

fn miss(run: &Run<'_>, pieces: impl Iterator<Item = Piece>, blob: &IndexedBlob, cause: &str) {
    let length = u64::from(blob.location.plaintext_length());
    for piece in pieces {
        if let Some(range) = Extent::at(piece.offset, length) {
            run.miss(piece.item, range, cause);
        }
    }
}

/// Files that are being written; a file may be open in several threads.
struct OpenFiles<'a> {
    run: &'a Run<'a>,
    folders: OpenFolders<'a>,
    /// The last used first.
    files: Vec<(u32, Rc<File>)>,
}

impl OpenFiles<'_> {
    /// Writes one piece; a failure gives the file up.
    fn put(&mut self, piece: Piece, bytes: &[u8]) -> Result<()> {
        let (run, item) = (self.run, self.run.item(piece.item));
        let Some(file) = self.get(piece.item)? else {
            return Ok(());
        };
        let written = if item.found == Found::Nothing {
            write_around_holes(&file, piece.offset, bytes)
        } else {
            file.write_all_at(bytes, piece.offset)
        };
        match written {
            Ok(()) => {
                let count = bytes.len() as u64;
                run.written.fetch_add(count, Relaxed);
                run.repository
                    .environment()
                    .progress
                    .written
                    .fetch_add(count, Relaxed);
                Ok(())
            }
            Err(error) => {
                self.forget(piece.item);
                run.fail(piece.item, "cannot be written", &error)
            }
        }
    }

    /// The opened file; nothing if it is given up.
    fn get(&mut self, number: u32) -> Result<Option<Rc<File>>> {
        let (run, item) = (self.run, self.run.item(number));
        if let Some(at) = self.files.iter().position(|(open, _)| *open == number) {
            self.files[..=at].rotate_right(1);
            return Ok(Some(Rc::clone(&self.files[0].1)));
        }
        if run.is_blocked(item) {
            return Ok(None);
        }
        let opened = {
            let mut state = run.state(number);
            if state.is_failed {
                return Ok(None);
            }
            let opened = self.open(number, item, state.is_prepared);
            state.is_prepared |= opened.is_ok();
            opened
        };
        match opened {
            Ok(file) => {
                let file = Rc::new(file);
                self.files.insert(0, (number, Rc::clone(&file)));
                self.files.truncate(OPEN_MAX);
                Ok(Some(file))
            }
            Err(error) => {
                run.fail(number, "cannot be opened", &error)?;
                Ok(None)
            }
        }
    }

    fn forget(&mut self, number: u32) {
        self.files.retain(|(open, _)| *open != number);
    }

    fn open(&mut self, number: u32, item: &Item, is_prepared: bool) -> io::Result<File> {
        let folder = self.folders.get(item.folder)?;
        let folder = folder.as_fd();
        let is_new = item.found == Found::Nothing && !is_prepared;
        let file = match item.found {
            Found::Equal { .. } => return Ok(open_file(folder, &item.name)?),
            Found::InPlace => {
                if !is_prepared {
                    make_mark(folder, &mark_name(&item.name))?;
                }
                open_to_write(folder, &item.name)?
            }
            _ if is_new => make_work(folder, &work_name(&item.name))?,
            _ => open_to_write(folder, &work_name(&item.name))?,
        };
        if !is_prepared {
            file.set_len(item.size())?;
            if let Some(zeros) = self.run.plan.zeros.get(&number) {
                zeros
                    .iter()
                    .try_for_each(|range| make_zeros(&file, range))?;
            }
        }
        Ok(file)
    }
}

/// Makes a work file anew; what an earlier restore left is removed.
fn make_work(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(file.into())
}

/// Opens a file that has only this one name, so that no other place changes with it.
fn open_to_write(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    let found = rustix::fs::fstat(&file)?;
    let is_regular = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    let is_whole = is_regular && found.st_nlink == 1;
    if is_whole || is_our_part(&found) {
        Ok(file.into())
    } else {
        Err(io::Error::other("the file was exchanged meanwhile"))
    }
}

/// Marks a file as incomplete, durably, before it is changed.
fn make_mark(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mark = rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::fsync(&mark)?;
    match rustix::fs::fsync(folder) {
        // SMB and some FUSE file systems cannot sync folders; there is nothing better to do.
        Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn make_zeros(file: &File, range: Extent) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, flags, range.start(), range.len()) {
        Ok(()) => return Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    let mut at = range.start();
    while at < range.end() {
        let length = (range.end() - at).min(ZEROS.len() as u64);
        file.write_all_at(&ZEROS[..length as usize], at)?;
        at += length;
    }
    Ok(())
}

/// Writes into a file that reads as zeros; blocks of zeros stay holes.
fn write_around_holes(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let end = offset + bytes.len() as u64;
    let (mut from, mut at) = (offset, offset);
    while at < end {
        let next = (at / HOLE_BYTES + 1).saturating_mul(HOLE_BYTES).min(end);
        let block = &bytes[(at - offset) as usize..(next - offset) as usize];
        let is_hole = block.len() as u64 == HOLE_BYTES && block == &ZEROS[..block.len()];
        if is_hole {
            file.write_all_at(
                &bytes[(from - offset) as usize..(at - offset) as usize],
                from,
            )?;
            from = next;
        }
        at = next;
    }
    file.write_all_at(&bytes[(from - offset) as usize..], from)
}
