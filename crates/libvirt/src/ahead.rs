//! Reading ahead of whoever goes through a disk in order.
//!
//! A backup computes between two reads; meanwhile threads ask the server for what comes next.
//! Only what is sure to be read is asked for: the rest of a disk that is read as a whole, or the
//! rest of a changed range. Reads elsewhere go straight to the disk.
//!
//! Memory: nine blocks of 1 MiB for each disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use lifeboat_disk::{DiskReader, ExtentState, MappedExtent, Result};
use lifeboat_model::ExtentSet;

const BLOCK_BYTES: u64 = 1 << 20;
/// Blocks that are loaded or being loaded.
const BLOCKS_MAX: usize = 8;
/// Requests under way.
const THREADS: usize = 2;

/// A disk whose next blocks are loaded while its reader computes.
pub(crate) struct AheadDisk {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    disk: Arc<dyn DiskReader>,
    /// What will be read; nothing for all of it.
    wanted: Option<ExtentSet>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By number.
    blocks: BTreeMap<u64, Block>,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
    /// The first block that nobody has asked for.
    next: u64,
    /// The first block that may not be asked for.
    end: u64,
    /// Where the last read ended, in bytes.
    last_end: u64,
    is_over: bool,
}

enum Block {
    Loading,
    Loaded(Vec<u8>),
}

impl AheadDisk {
    /// Reads ahead on `disk` where `wanted` says that it will be read; nothing for everywhere.
    pub(crate) fn begin(disk: Arc<dyn DiskReader>, wanted: Option<ExtentSet>) -> Self {
        let shared = Arc::new(Shared {
            disk,
            wanted,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let start = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.work())
        };
        Self {
            threads: (0..THREADS).map(start).collect(),
            shared,
        }
    }
}

impl Drop for AheadDisk {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to do either.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some((number, buffer)) = self.next_block() {
            let loaded = self.load(number, buffer);
            let mut state = self.lock();
            match (loaded, state.blocks.get_mut(&number)) {
                (Some(bytes), Some(block)) => *block = Block::Loaded(bytes),
                (Some(bytes), None) => state.spare.push(bytes),
                // Whoever reads it meets the error itself.
                (None, _) => drop(state.blocks.remove(&number)),
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits for the number of a block to load; nothing at the end.
    fn next_block(&self) -> Option<(u64, Vec<u8>)> {
        let mut state = self.lock();
        while !state.is_over {
            if state.next < state.end && state.blocks.len() < BLOCKS_MAX {
                let number = state.next;
                state.next += 1;
                state.blocks.insert(number, Block::Loading);
                return Some((number, state.spare.pop().unwrap_or_default()));
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// The bytes of a block; nothing for one that is zeros or cannot be read.
    fn load(&self, number: u64, mut buffer: Vec<u8>) -> Option<Vec<u8>> {
        let start = number * BLOCK_BYTES;
        let end = (start + BLOCK_BYTES).min(self.disk.size());
        let mapped = self.disk.next_extent(start).ok()?;
        if mapped.state == ExtentState::Zero && mapped.extent.end() >= end {
            let mut state = self.lock();
            state.next = state.next.max(mapped.extent.end() / BLOCK_BYTES);
            state.spare.push(buffer);
            return None;
        }
        buffer.resize(usize::try_from(end - start).ok()?, 0);
        self.disk.read_at(start, &mut buffer).ok()?;
        Some(buffer)
    }

    /// Learns where the reader is, and what will be wanted next.
    fn follow(&self, offset: u64, end: u64) {
        let (first, sure) = (offset / BLOCK_BYTES, self.sure_end(end));
        let mut state = self.lock();
        let is_onward = offset >= state.last_end;
        state.last_end = end;
        state.forget(|number| !is_onward || number < first);
        let behind = end.div_ceil(BLOCK_BYTES);
        state.next = if is_onward {
            state.next.max(behind)
        } else {
            behind
        };
        state.end = sure;
        drop(state);
        self.changed.notify_all();
    }

    /// The first block behind those that will be read after `end`.
    fn sure_end(&self, end: u64) -> u64 {
        let Some(wanted) = &self.wanted else {
            return self.disk.size().div_ceil(BLOCK_BYTES);
        };
        let extent = wanted.next_from(end.saturating_sub(1));
        let extent = extent.filter(|extent| extent.start() < end);
        extent.map_or(0, |extent| extent.end() / BLOCK_BYTES)
    }

    /// Fills `part` from a block, once that is loaded; says whether there is such a block.
    fn take(&self, number: u64, offset: u64, part: &mut [u8]) -> bool {
        let mut state = self.lock();
        loop {
            match state.blocks.get(&number) {
                None => return false,
                Some(Block::Loading) => {
                    let waited = self.changed.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
                Some(Block::Loaded(bytes)) => {
                    let start =
                        usize::try_from(offset - number * BLOCK_BYTES).unwrap_or(usize::MAX);
                    let found = bytes.get(start..start.saturating_add(part.len()));
                    found.inspect(|found| part.copy_from_slice(found));
                    return found.is_some();
                }
            }
        }
    }
}

impl State {
    /// Drops the blocks that are meant; what is being loaded is dropped when it comes.
    fn forget(&mut self, is_meant: impl Fn(u64) -> bool) {
        let numbers: Vec<_> = self.blocks.keys().copied().collect();
        for number in numbers.into_iter().filter(|number| is_meant(*number)) {
            if let Some(Block::Loaded(bytes)) = self.blocks.remove(&number) {
                self.spare.push(bytes);
            }
        }
        self.spare.truncate(1);
    }
}

impl DiskReader for AheadDisk {
    fn size(&self) -> u64 {
        self.shared.disk.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let shared = &self.shared;
        let end = offset.saturating_add(buffer.len() as u64);
        shared.follow(offset, end);
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let number = at / BLOCK_BYTES;
            let stop = end.min((number + 1) * BLOCK_BYTES);
            let length = usize::try_from(stop - at).unwrap_or(rest.len());
            let (part, later) = rest.split_at_mut(length.min(rest.len()));
            if !shared.take(number, at, part) {
                shared.disk.read_at(at, part)?;
            }
            (at, rest) = (stop, later);
        }
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Result<MappedExtent> {
        self.shared.disk.next_extent(offset)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lifeboat_model::{ErrorKind, Extent};

    use super::*;

    const SIZE: u64 = 5 * BLOCK_BYTES + 77;
    const HOLE: (u64, u64) = (2 * BLOCK_BYTES - 5, 4 * BLOCK_BYTES + 9);

    /// A disk with a hole and a place that cannot be read; notes what was read.
    #[derive(Default)]
    struct Pattern {
        reads: Mutex<Vec<(u64, usize)>>,
        broken: Option<u64>,
    }

    fn byte(at: u64) -> u8 {
        match (HOLE.0..HOLE.1).contains(&at) {
            true => 0,
            false => (at % 251) as u8 + 1,
        }
    }

    impl DiskReader for Pattern {
        fn size(&self) -> u64 {
            SIZE
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
            let end = offset + buffer.len() as u64;
            self.reads.lock().unwrap().push((offset, buffer.len()));
            if end > SIZE || self.broken.is_some_and(|at| (offset..end).contains(&at)) {
                let error = lifeboat_disk::Error::new(ErrorKind::Io, "reading", Path::new("disk"));
                return Err(error.at(offset));
            }
            for (at, byte_there) in (offset..end).zip(buffer) {
                *byte_there = byte(at);
            }
            Ok(())
        }

        fn next_extent(&self, offset: u64) -> Result<MappedExtent> {
            let (end, state) = match offset {
                at if at < HOLE.0 => (HOLE.0, ExtentState::Data),
                at if at < HOLE.1 => (HOLE.1, ExtentState::Zero),
                _ => (SIZE, ExtentState::Data),
            };
            let extent = Extent::new(offset, end).unwrap();
            Ok(MappedExtent { extent, state })
        }
    }

    fn assert_reads(disk: &AheadDisk, offset: u64, length: u64) {
        let mut buffer = vec![0xaa; length as usize];
        disk.read_at(offset, &mut buffer).unwrap();
        let expected: Vec<_> = (offset..offset + length).map(byte).collect();
        assert!(buffer == expected, "{length} bytes at {offset}");
    }

    #[test]
    fn every_way_through_a_disk_gives_its_bytes() {
        let disk = AheadDisk::begin(Arc::new(Pattern::default()), None);
        for step in [700_001, 512 << 10, 3 << 20] {
            let mut at = 0;
            while at < SIZE {
                let length = step.min(SIZE - at);
                assert_reads(&disk, at, length);
                at += length;
            }
        }
        for at in [4 * BLOCK_BYTES, 3, SIZE - 9, BLOCK_BYTES - 1, 0] {
            assert_reads(&disk, at, 9);
        }
    }

    #[test]
    fn a_block_that_cannot_be_read_is_an_error_where_it_is_read() {
        let broken = Some(BLOCK_BYTES + 4);
        let pattern = Pattern {
            broken,
            ..Pattern::default()
        };
        let disk = AheadDisk::begin(Arc::new(pattern), None);
        assert_reads(&disk, 0, BLOCK_BYTES + 4);
        let failed = disk.read_at(BLOCK_BYTES + 4, &mut [0; 8]);
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Io);
        assert_reads(&disk, BLOCK_BYTES + 5, 100);
    }

    #[test]
    fn beyond_the_changed_range_nothing_is_asked_for() {
        let pattern = Arc::new(Pattern::default());
        let mut wanted = ExtentSet::new();
        wanted.insert(Extent::new(0, 64 << 10).unwrap());
        wanted.insert(Extent::new(BLOCK_BYTES, BLOCK_BYTES + 4096).unwrap());
        let disk = AheadDisk::begin(Arc::clone(&pattern) as Arc<dyn DiskReader>, Some(wanted));
        assert_reads(&disk, 0, 64 << 10);
        assert_reads(&disk, BLOCK_BYTES, 4096);
        drop(disk);
        let asked = pattern.reads.lock().unwrap().clone();
        assert_eq!(asked, [(0, 64 << 10), (BLOCK_BYTES, 4096)]);
    }
}
