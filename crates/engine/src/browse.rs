//! A disk of a snapshot, read at any place without restoring it.
//!
//! Chunks are loaded when somebody asks for their bytes, several side by side with one request
//! where they lie side by side in a pack, and ahead of a reader that goes through the disk in
//! order. Chunks that were opened stay in a cache of bounded size, which several disks share:
//! what two machines have in common is loaded once.
//!
//! Every chunk is hashed on its way; a damaged one is an error, never other bytes.
//!
//! Memory: the cache's bound, and for each thread that reads, a request of 4 MiB with what it
//! unpacks to.

mod ahead;
mod cache;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lifeboat_disk::{DiskReader, ExtentState, MappedExtent};
use lifeboat_model::{ErrorKind, Extent};
use lifeboat_repository::{Index, Repository};

use crate::fetch::{Fetcher, reads};
use crate::{Error, PlacedChunk, PlacedContent, Result};
use ahead::Ahead;
pub use cache::ChunkCache;
use cache::{Bytes, Claim};

/// How far a reader in order is preceded, in bytes of the disk.
const AHEAD_BYTES: u64 = 8 << 20;
/// Reads that begin this close behind the last one's end count as in order.
const ORDER_BYTES_MAX: u64 = 1 << 20;

/// A disk of a snapshot.
pub struct SnapshotDisk {
    inner: Arc<Inner>,
    ahead: Ahead,
    /// Where the last read ended.
    last_end: AtomicU64,
    /// Up to where chunks were asked for ahead.
    asked_end: AtomicU64,
}

/// What readers and those who load ahead share.
struct Inner {
    repository: Arc<Repository>,
    index: Arc<Index>,
    content: PlacedContent,
    cache: Arc<ChunkCache>,
    /// For messages.
    name: PathBuf,
}

impl SnapshotDisk {
    /// Opens a disk whose chunks were resolved; `name` is for messages.
    pub fn new(
        repository: Arc<Repository>,
        index: Arc<Index>,
        content: PlacedContent,
        cache: Arc<ChunkCache>,
        name: &str,
    ) -> Self {
        let threads = repository.environment().threads;
        let inner = Arc::new(Inner {
            repository,
            index,
            content,
            cache,
            name: PathBuf::from(name),
        });
        Self {
            ahead: Ahead::start(&inner, threads),
            inner,
            last_end: AtomicU64::new(u64::MAX),
            asked_end: AtomicU64::new(0),
        }
    }

    /// Asks for what follows a read, if the reads are in order.
    fn look_ahead(&self, offset: u64, end: u64) {
        let last = self.last_end.swap(end, Relaxed);
        let is_in_order = offset >= last && offset - last <= ORDER_BYTES_MAX;
        if !is_in_order {
            self.asked_end.store(end, Relaxed);
            return;
        }
        let from = self.asked_end.load(Relaxed).max(end);
        let wanted = end.saturating_add(AHEAD_BYTES).min(self.inner.content.size);
        if wanted.saturating_sub(from) >= AHEAD_BYTES / 4 {
            self.asked_end.store(wanted, Relaxed);
            self.ahead.ask(self.inner.chunks_of(from, wanted));
        }
    }
}

impl Inner {
    /// Numbers of the chunks that have bytes between two offsets.
    fn chunks_of(&self, from: u64, to: u64) -> std::ops::Range<usize> {
        let chunks = &self.content.chunks;
        let first = chunks.partition_point(|chunk| end_of(chunk) <= from);
        let last = chunks.partition_point(|chunk| chunk.offset < to);
        first..last.max(first)
    }

    /// Fills the cache with these chunks; those that others are loading are left to them.
    fn load_ahead(&self, numbers: std::ops::Range<usize>) {
        let mut wanted = Vec::new();
        for chunk in self.content.chunks.get(numbers).unwrap_or_default() {
            if let Claim::Ours = self.cache.try_claim(&chunk.id) {
                wanted.push(*chunk);
            }
        }
        // Whoever reads the bytes meets the error again.
        let _ = self.load(wanted);
    }

    /// Loads claimed chunks into the cache, and gives every claim back.
    fn load(&self, mut wanted: Vec<PlacedChunk>) -> Result<()> {
        wanted.sort_by_key(|chunk| (chunk.location.pack, chunk.location.offset));
        let mut fetcher = Fetcher::new(&self.repository, &self.index);
        let mut failed = None;
        for read in reads(wanted.len(), |number| wanted[number].location) {
            let group = &wanted[read.chunks.clone()];
            let is_over = failed.is_some();
            let Some(first) = group.first().filter(|_| !is_over) else {
                group
                    .iter()
                    .for_each(|chunk| self.cache.give_back(&chunk.id));
                continue;
            };
            if let Err(error) = fetcher.load(first.location.pack, &read) {
                failed = Some(error);
            }
            for chunk in group {
                match self.open(&mut fetcher, chunk).filter(|_| failed.is_none()) {
                    Some(bytes) => self.cache.put(&chunk.id, bytes),
                    None => self.cache.give_back(&chunk.id),
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn open(&self, fetcher: &mut Fetcher<'_>, chunk: &PlacedChunk) -> Option<Bytes> {
        let bytes = fetcher.open(&chunk.id, &chunk.location).ok()?;
        Some(Arc::new(bytes.to_vec()))
    }

    /// The bytes of one chunk, from the cache or the repository.
    fn chunk(&self, number: usize) -> Result<Bytes> {
        let chunk = self
            .content
            .chunks
            .get(number)
            .ok_or_else(Error::cancelled)?;
        match self.cache.claim(&chunk.id) {
            Claim::Known(bytes) => Ok(bytes),
            Claim::Theirs | Claim::Ours => {
                let mut fetcher = Fetcher::new(&self.repository, &self.index);
                let opened = fetcher.open(&chunk.id, &chunk.location);
                let bytes = match opened {
                    Ok(bytes) => Arc::new(bytes.to_vec()),
                    Err(error) => {
                        self.cache.give_back(&chunk.id);
                        let doing = format!("cannot read the bytes at {}", chunk.offset);
                        return Err(Error::new(error.kind(), doing).with_source(error));
                    }
                };
                self.cache.put(&chunk.id, Arc::clone(&bytes));
                Ok(bytes)
            }
        }
    }

    /// Loads what a read of several chunks needs with as few requests as possible.
    fn prepare(&self, numbers: std::ops::Range<usize>) {
        if numbers.len() > 1 {
            self.load_ahead(numbers);
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset + buffer.len() as u64;
        buffer.fill(0);
        let numbers = self.chunks_of(offset, end);
        self.prepare(numbers.clone());
        for number in numbers {
            let bytes = self.chunk(number)?;
            let Some(chunk) = self.content.chunks.get(number) else {
                continue;
            };
            let from = offset.max(chunk.offset);
            let to = end.min(chunk.offset + bytes.len() as u64);
            let source = bytes.get((from - chunk.offset) as usize..(to - chunk.offset) as usize);
            let target = buffer.get_mut((from - offset) as usize..(to - offset) as usize);
            if let (Some(source), Some(target)) = (source, target) {
                target.copy_from_slice(source);
            }
        }
        Ok(())
    }

    fn invalid(&self, doing: &'static str, offset: u64) -> lifeboat_disk::Error {
        lifeboat_disk::Error::new(ErrorKind::Invalid, doing, &self.name)
            .at(offset)
            .seen("it is beyond the disk's end")
    }
}

fn end_of(chunk: &PlacedChunk) -> u64 {
    chunk.offset + u64::from(chunk.location.plaintext_length())
}

impl DiskReader for SnapshotDisk {
    fn size(&self) -> u64 {
        self.inner.content.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> lifeboat_disk::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        let Some(end) = end.filter(|end| *end <= self.inner.content.size) else {
            return Err(self.inner.invalid("reading", offset));
        };
        self.look_ahead(offset, end);
        self.inner.read(offset, buffer).map_err(|error| {
            let name: &Path = &self.inner.name;
            let begun = lifeboat_disk::Error::new(error.kind(), "reading", name);
            begun.at(offset).because(error)
        })
    }

    fn next_extent(&self, offset: u64) -> lifeboat_disk::Result<MappedExtent> {
        let content = &self.inner.content;
        if offset >= content.size {
            return Err(self.inner.invalid("mapping", offset));
        }
        let next = content
            .chunks
            .partition_point(|chunk| end_of(chunk) <= offset);
        let (end, state) = match content.chunks.get(next) {
            None => (content.size, ExtentState::Zero),
            Some(chunk) if chunk.offset > offset => (chunk.offset, ExtentState::Zero),
            Some(chunk) => (data_end(content, next, end_of(chunk)), ExtentState::Data),
        };
        let extent = Extent::new(offset, end);
        let extent = extent.ok_or_else(|| self.inner.invalid("mapping", offset))?;
        Ok(MappedExtent { extent, state })
    }
}

/// The end of the chunks that follow each other without a gap.
fn data_end(content: &PlacedContent, first: usize, mut end: u64) -> u64 {
    for chunk in content.chunks.get(first + 1..).unwrap_or_default() {
        if chunk.offset != end {
            break;
        }
        end = end_of(chunk);
    }
    end
}
