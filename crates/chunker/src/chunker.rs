//! The cutting itself.

use xxhash_rust::const_xxh3::const_custom_default_secret;
use xxhash_rust::xxh3::xxh3_64_with_secret;

use crate::sizes::{BLOCK_BYTES, ChunkSizes};

/// What lies in a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutKind {
    /// One chunk of data.
    Data,
    /// A maximal run of zero blocks; see [`zero_pieces`](crate::zero_pieces).
    Zero,
}

/// A stretch of the disk between two cuts, in bytes from the disk's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Offset of the first byte.
    pub start: u64,
    /// Number of bytes; never zero.
    pub length: u64,
    /// Data or zeros.
    pub kind: CutKind,
}

/// Cuts one disk, from its first byte to its last.
///
/// A run of at least [`ChunkSizes::zero_run_min`] zero bytes, in whole blocks, is a cut of its own.
/// In the data between such runs a chunk ends after a block that brings it to at least `min` bytes
/// and whose keyed hash falls into one of `gap / 4096` classes, or at `max` bytes.
pub struct Chunker {
    sizes: ChunkSizes,
    secret: [u8; 192],
    threshold: u64,
    /// Start of the chunk under way; all before it has been given out.
    chunk_start: u64,
    /// Start of the zero run that ends at `offset`; equal to `offset` when there is none.
    zero_start: u64,
    /// Whether that run is long enough to be a cut of its own.
    is_zero_run: bool,
    offset: u64,
}

impl Chunker {
    /// Starts at offset 0; `seed` keeps cut positions from telling outsiders what is stored.
    pub fn new(sizes: ChunkSizes, seed: u64) -> Self {
        let classes = u64::from(sizes.gap()) / BLOCK_BYTES as u64;
        Self {
            sizes,
            secret: const_custom_default_secret(seed),
            threshold: u64::MAX / classes,
            chunk_start: 0,
            zero_start: 0,
            is_zero_run: false,
            offset: 0,
        }
    }

    /// Offset of the next byte to hand over.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Offset of the first byte that is in no cut yet.
    pub fn cut_offset(&self) -> u64 {
        self.chunk_start
    }

    /// Says whether a cut lies exactly here: nothing is under way.
    pub fn is_at_cut(&self) -> bool {
        self.chunk_start == self.offset
    }

    /// Says whether a zero run that is a cut of its own reaches up to here.
    pub fn is_in_zero_run(&self) -> bool {
        self.is_zero_run
    }

    /// Length of the zero run that reaches up to here.
    pub fn zero_run(&self) -> u64 {
        self.offset - self.zero_start
    }

    /// Says whether `length` further zeros would be part of a zero run for certain.
    pub fn takes_zeros(&self, length: u64) -> bool {
        self.is_zero_run || self.zero_run() + length >= self.sizes.zero_run_min()
    }

    /// Hands over the next bytes; whole blocks, but for the last of the disk.
    pub fn scan(&mut self, bytes: &[u8], cuts: &mut Vec<Cut>) {
        for block in bytes.chunks(BLOCK_BYTES) {
            if is_zero(block) {
                self.extend_zero_run(block.len() as u64, cuts);
            } else {
                self.take_data(block, cuts);
            }
        }
    }

    /// Hands over `length` zeros without their bytes; only when [`Self::takes_zeros`] says so.
    pub fn zeros(&mut self, length: u64, cuts: &mut Vec<Cut>) {
        assert!(
            self.takes_zeros(length),
            "a short zero run must be handed over as bytes"
        );
        self.extend_zero_run(length, cuts);
    }

    /// Ends the zero run that reaches up to here, because a data chunk is known to follow.
    pub fn end_zero_run(&mut self, cuts: &mut Vec<Cut>) {
        if self.is_zero_run {
            self.give(CutKind::Zero, self.offset, cuts);
            self.is_zero_run = false;
        }
    }

    /// Steps over a chunk that the caller took over from elsewhere; only at a cut.
    pub fn skip(&mut self, length: u64) {
        assert!(self.is_at_cut(), "a chunk can only be taken over at a cut");
        self.offset += length;
        self.chunk_start = self.offset;
        self.zero_start = self.offset;
    }

    /// Ends the disk: what is under way becomes the last cut.
    pub fn finish(&mut self, cuts: &mut Vec<Cut>) {
        self.end_zero_run(cuts);
        self.cut_at_max(cuts);
        if !self.is_at_cut() {
            self.give(CutKind::Data, self.offset, cuts);
        }
        self.zero_start = self.offset;
    }

    fn extend_zero_run(&mut self, length: u64, cuts: &mut Vec<Cut>) {
        self.offset += length;
        if !self.is_zero_run && self.zero_run() >= self.sizes.zero_run_min() {
            self.is_zero_run = true;
            self.cut_data_before_zero_run(cuts);
        }
    }

    fn cut_data_before_zero_run(&mut self, cuts: &mut Vec<Cut>) {
        if self.zero_start > self.chunk_start {
            self.give(CutKind::Data, self.zero_start, cuts);
        }
    }

    fn take_data(&mut self, block: &[u8], cuts: &mut Vec<Cut>) {
        self.end_zero_run(cuts);
        self.offset += block.len() as u64;
        self.zero_start = self.offset;
        self.cut_at_max(cuts);
        let length = self.offset - self.chunk_start;
        if length >= u64::from(self.sizes.min()) && self.is_border(block) {
            self.give(CutKind::Data, self.offset, cuts);
        }
    }

    /// Cuts whole chunks of the largest size off the front; a short zero run may have filled them.
    fn cut_at_max(&mut self, cuts: &mut Vec<Cut>) {
        let max = u64::from(self.sizes.max());
        while self.offset - self.chunk_start >= max {
            self.give(CutKind::Data, self.chunk_start + max, cuts);
        }
    }

    fn is_border(&self, block: &[u8]) -> bool {
        xxh3_64_with_secret(block, &self.secret) <= self.threshold
    }

    fn give(&mut self, kind: CutKind, end: u64, cuts: &mut Vec<Cut>) {
        cuts.push(Cut {
            start: self.chunk_start,
            length: end - self.chunk_start,
            kind,
        });
        self.chunk_start = end;
    }
}

/// Says whether all bytes are zero; leaves at the first 64 that are not.
fn is_zero(block: &[u8]) -> bool {
    let (lanes, rest) = block.as_chunks::<64>();
    lanes
        .iter()
        .all(|lane| lane.iter().fold(0, |sum, byte| sum | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}
