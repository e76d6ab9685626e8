//! Writing a disk back: plan, show, apply.
//!
//! Takes a file of a snapshot and gives a [`RestorePlan`]; [`apply`] executes exactly it.
//! Does not know what the target is: a [`DiskWriter`] takes the bytes.
//!
//! Packs are read in the order in which the disk needs them first; what lies side by side is one
//! request, and chunks that are neighbours on the disk are one write. Every chunk is authenticated
//! and hashed before it is written.
//!
//! Memory: workers x (largest request + largest stretch or chunk), 88 bytes for each chunk of the
//! disk. There are two workers more than threads where writes wait for the storage.

mod apply;
mod plan;
mod window;

use lifeboat_disk::DiskWriter;
use lifeboat_model::ExtentSet;

pub(crate) use apply::WAITING_WORKERS;
pub use apply::{RestoreResult, apply};
pub use plan::plan;

use crate::PlacedChunk;

/// One request to the repository: chunks that lie side by side in one pack.
#[derive(Clone, Debug)]
pub struct PackRead {
    pub(crate) chunks: std::ops::Range<usize>,
    pub(crate) start: u64,
    pub(crate) length: u64,
}

/// What the target holds before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing worth looking at: everything is written.
    Ignore,
    /// Perhaps much of it already: what is equal is not read from the repository.
    Compare,
}

/// What a restore will read and write.
#[derive(Clone, Debug, Default)]
pub struct RestorePlan {
    /// Bytes of the disk.
    pub size: u64,
    /// Ranges that become zeros.
    pub zeros: ExtentSet,
    /// Chunks the target holds already.
    pub equal_chunks: u64,
    /// Bytes of those.
    pub equal_bytes: u64,
    /// Bytes that will be written.
    pub write_bytes: u64,
    /// Sealed bytes that will be read.
    pub read_bytes: u64,
    pub(crate) chunks: Vec<PlacedChunk>,
    pub(crate) reads: Vec<PackRead>,
}

impl RestorePlan {
    /// How many requests will be made.
    pub fn request_count(&self) -> usize {
        self.reads.len()
    }

    /// How many chunks will be written; one that occurs twice counts twice.
    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }
}

/// A target and what is to be thought of its content.
#[derive(Clone, Copy)]
pub struct RestoreTarget<'a> {
    /// Takes the bytes.
    pub writer: &'a dyn DiskWriter,
    /// What it holds before.
    pub existing: Existing,
}
