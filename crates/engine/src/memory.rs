//! How much memory a command takes: a sum that is told before it is taken.
//!
//! Takes counts and gives bytes, part by part. The parts are what the modules state of themselves.

use std::fmt;

use lifeboat_chunker::ChunkSizes;
use lifeboat_format::NAMED_BYTES;
use lifeboat_model::ByteCount;
use lifeboat_repository::WriteOptions;

use crate::restore::WAITING_WORKERS;

/// The program, its threads' stacks, and what the allocator keeps.
const PROGRAM_BYTES: u64 = 40 << 20;

/// Deriving a key of ours from its password, with the program; given back before all else begins.
const KEY_BYTES: u64 = 80 << 20;

/// A row of the index; its table of prefixes and packs in front.
const INDEX_BLOB_BYTES: u64 = 52;

/// zstd's own state at the usual levels.
const COMPRESSOR_BYTES: u64 = 4 << 20;

/// Bytes of one chunk's id in a tree: as JSON, compressed and sealed, and again in its pack.
const TREE_CHUNK_BYTES: u64 = 67 + 2 * 39;

/// A chunk in the list of a disk that an increment is built upon.
const PARENT_CHUNK_BYTES: u64 = 36;

/// A chunk in the set of what a run has stored.
const NEW_CHUNK_BYTES: u64 = 64;

/// A chunk of a restore: its place and its id.
const PLACED_CHUNK_BYTES: u64 = 88 + 32;

/// Largest request to the repository.
const REQUEST_BYTES: u64 = 4 << 20;

/// Chunks that are named together, and the gaps between them.
const BATCH_BYTES: u64 = NAMED_BYTES as u64 + (1 << 20);

/// What an upload hands to the kernel at once.
const PIECE_BYTES: u64 = 4 << 20;

/// A disk as far as it decides memory.
#[derive(Clone, Copy, Debug)]
pub struct DiskShape {
    /// Bytes of the guest's view.
    pub size: u64,
    /// Whether it is built upon an earlier snapshot.
    pub has_parent: bool,
}

/// The most that a command takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBound {
    /// Program, index.
    pub index: u64,
    /// Packs that are filled, wait and travel.
    pub packs: u64,
    /// Buffers of all threads.
    pub workers: u64,
    /// Lists of chunks.
    pub lists: u64,
}

impl MemoryBound {
    /// Of a backup; `blobs` are those of the index.
    pub fn of_backup(
        blobs: usize,
        threads: usize,
        sizes: ChunkSizes,
        disks: &[DiskShape],
        write: &WriteOptions,
    ) -> Self {
        let chunks = |disk: &DiskShape| {
            let sizes = sizes.for_disk(disk.size);
            disk.size
                .div_ceil(u64::from(sizes.min()) + u64::from(sizes.gap()))
        };
        let lists = disks.iter().map(|disk| {
            let known = match disk.has_parent {
                true => PARENT_CHUNK_BYTES,
                false => NEW_CHUNK_BYTES,
            };
            chunks(disk) * (known + TREE_CHUNK_BYTES)
        });
        let largest = disks.iter().map(|disk| sizes.for_disk(disk.size).max());
        let chunk = u64::from(largest.max().unwrap_or(0));
        let threads = threads as u64;
        Self {
            index: PROGRAM_BYTES + blobs as u64 * INDEX_BLOB_BYTES,
            packs: (write.uploads as u64 + 3) * (write.pack_bytes as u64 + chunk)
                + write.uploads as u64 * PIECE_BYTES,
            workers: chunk + threads * (2 * chunk + BATCH_BYTES + COMPRESSOR_BYTES),
            lists: lists.sum(),
        }
    }

    /// Of restoring a disk of `chunks` chunks of at most `chunk_bytes`.
    pub fn of_restore(blobs: usize, threads: usize, chunks: usize, chunk_bytes: u32) -> Self {
        let chunk = u64::from(chunk_bytes);
        Self {
            index: PROGRAM_BYTES + blobs as u64 * INDEX_BLOB_BYTES,
            packs: 0,
            workers: (threads + WAITING_WORKERS) as u64
                * (REQUEST_BYTES + BATCH_BYTES + 2 * chunk + COMPRESSOR_BYTES),
            lists: chunks as u64 * (PLACED_CHUNK_BYTES + TREE_CHUNK_BYTES),
        }
    }

    /// All of it; not less than what opening the repository took before.
    pub fn total(&self) -> u64 {
        let parts = self.index + self.packs + self.workers + self.lists;
        parts.max(KEY_BYTES)
    }
}

impl fmt::Display for MemoryBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "at most {}: index {}, packs {}, workers {}, lists of chunks {}",
            ByteCount(self.total()),
            ByteCount(self.index),
            ByteCount(self.packs),
            ByteCount(self.workers),
            ByteCount(self.lists)
        )
    }
}
