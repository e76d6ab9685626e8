//! Cuts the bytes of a disk into chunks, by content.
//!
//! Takes the disk's bytes in order, or the news that a stretch is zero, and gives cuts: data
//! chunks of bounded size and maximal zero runs. The cuts are a pure function of the content,
//! the sizes and the seed: they do not depend on how the bytes were handed over.
//! Does not hold the bytes, name chunks, or know what a disk image is.
//!
//! A cut depends only on what follows the cut before it and on at most
//! [`ChunkSizes::zero_run_min`] bytes behind it. So a reader that knows which bytes changed can
//! start at an old cut and stop as soon as old and new cuts meet again.
//!
//! Source: decision 0002 and the measurements it names.

mod chunker;
mod sizes;

pub use chunker::{Chunker, Cut, CutKind};
pub use sizes::{BLOCK_BYTES, ChunkSizes, ZERO_PIECE_FIRST, ZERO_PIECE_MAX, zero_pieces};
