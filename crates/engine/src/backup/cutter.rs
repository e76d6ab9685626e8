//! The part of a backup that goes in turn: reading the source and cutting it.

use std::ops::Range;

use lifeboat_chunker::{ChunkSizes, Chunker, Cut, CutKind, zero_pieces};
use lifeboat_disk::DiskReader;
use lifeboat_format::{BlobId, NAMED_BYTES, ZeroIds};

use super::Change;
use super::source::{Step, Steps};
use crate::Result;
use crate::error::Doing;

/// Read and scanned at once: still in the nearest cache when the chunker looks at it.
const READ_BYTES: usize = 512 << 10;

/// The list of chunks has room for as many as the disk's size promises, up to this many.
const EXPECTED_CHUNKS_MAX: u64 = 2 << 20;

/// Chunks cut for one worker, as many as are named together, and their bytes.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    filled: usize,
    /// Where a chunk stands in the disk's list, and its bytes in the buffer.
    chunks: Vec<(usize, Range<usize>)>,
}

impl Batch {
    /// The chunks with their places in the disk's list.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.chunks
            .iter()
            .map(|(slot, range)| (*slot, &self.bytes[range.clone()]))
    }

    /// Makes room for `length` more bytes and gives that room.
    fn room(&mut self, length: usize) -> &mut [u8] {
        let end = self.filled + length;
        if self.bytes.len() < end {
            self.bytes.resize(end.next_multiple_of(READ_BYTES), 0);
        }
        &mut self.bytes[self.filled..end]
    }
}

/// What the cutter has counted, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) read: u64,
    pub(super) zero: u64,
    pub(super) reused: u64,
}

/// Cuts one disk; workers take turns with it.
pub(super) struct Cutter<'a> {
    source: &'a dyn DiskReader,
    steps: Steps<'a>,
    chunker: Chunker,
    zeros: ZeroIds,
    /// Bytes behind the last cut, for the next batch.
    carry: Vec<u8>,
    cuts: Vec<Cut>,
    content: Vec<BlobId>,
    counts: Counts,
    zero_pieces: Vec<u64>,
    is_done: bool,
    is_broken: bool,
}

/// Where the batch's buffer lies on the disk, from its last jump on.
struct Run {
    disk: u64,
    buffer: usize,
}

impl<'a> Cutter<'a> {
    pub(super) fn new(
        source: &'a dyn DiskReader,
        change: &'a Change,
        sizes: ChunkSizes,
        seed: u64,
    ) -> Self {
        let mean = u64::from(sizes.min()) + u64::from(sizes.gap());
        let expected = (source.size() / mean).min(EXPECTED_CHUNKS_MAX);
        Self {
            source,
            steps: Steps::new(source, change, sizes),
            chunker: Chunker::new(sizes, seed),
            zeros: ZeroIds::new(),
            carry: Vec::new(),
            cuts: Vec::new(),
            // As it grows it would leave as much behind; room that is not used takes no memory.
            content: Vec::with_capacity(expected as usize),
            counts: Counts::default(),
            zero_pieces: Vec::new(),
            is_done: false,
            is_broken: false,
        }
    }

    /// The disk's offset of the first byte that a batch holds: what is carried, or the next.
    fn next_byte(&self) -> u64 {
        if self.chunker.is_in_zero_run() {
            self.chunker.offset()
        } else {
            self.chunker.cut_offset()
        }
    }

    /// Fills `batch` with the next chunks; `false` when the disk has ended and none are left.
    pub(super) fn next_batch(&mut self, batch: &mut Batch) -> Result<bool> {
        batch.chunks.clear();
        batch.filled = 0;
        if self.is_broken {
            return Ok(false);
        }
        let mut run = Run {
            disk: self.next_byte(),
            buffer: 0,
        };
        let carried = std::mem::take(&mut self.carry);
        batch.room(carried.len()).copy_from_slice(&carried);
        batch.filled = carried.len();
        while !self.is_done && (batch.filled < NAMED_BYTES || batch.chunks.is_empty()) {
            if let Err(error) = self.step(batch, &mut run) {
                // Other workers come by before they hear of it: there is nothing left for them.
                (self.is_broken, batch.filled) = (true, 0);
                batch.chunks.clear();
                return Err(error);
            }
        }
        self.keep_tail(batch, &run, carried);
        Ok(!batch.chunks.is_empty())
    }

    fn step(&mut self, batch: &mut Batch, run: &mut Run) -> Result<()> {
        match self.steps.next(&self.chunker, &mut self.zeros)? {
            Step::End => {
                self.chunker.finish(&mut self.cuts);
                self.take_cuts(batch, run);
                self.is_done = true;
            }
            Step::Reuse(id, length) => {
                self.chunker.end_zero_run(&mut self.cuts);
                self.take_cuts(batch, run);
                self.content.push(id);
                self.chunker.skip(length);
                self.counts.reused += length;
                self.jump(batch, run);
            }
            Step::Zeros(length) if self.chunker.takes_zeros(length) => {
                self.chunker.zeros(length, &mut self.cuts);
                self.take_cuts(batch, run);
                self.jump(batch, run);
            }
            Step::Zeros(length) => {
                let length = usize::try_from(length)
                    .unwrap_or(READ_BYTES)
                    .min(READ_BYTES);
                batch.room(length).fill(0);
                self.scan(batch, run, length);
            }
            Step::Read(length) => {
                let length = usize::try_from(length)
                    .unwrap_or(READ_BYTES)
                    .min(READ_BYTES);
                let offset = self.chunker.offset();
                self.source
                    .read_at(offset, batch.room(length))
                    .doing(|| format!("cannot read the source at {offset}"))?;
                self.counts.read += length as u64;
                self.scan(batch, run, length);
            }
        }
        Ok(())
    }

    fn scan(&mut self, batch: &mut Batch, run: &mut Run, length: usize) {
        let end = batch.filled + length;
        self.chunker
            .scan(&batch.bytes[batch.filled..end], &mut self.cuts);
        batch.filled = end;
        self.take_cuts(batch, run);
        if self.chunker.is_in_zero_run() {
            self.jump(batch, run);
        }
    }

    /// Everything in the buffer is cut or zero: what follows need not be its neighbour.
    fn jump(&mut self, batch: &mut Batch, run: &mut Run) {
        batch.filled = batch.chunks.last().map_or(0, |(_, range)| range.end);
        *run = Run {
            disk: self.chunker.offset(),
            buffer: batch.filled,
        };
    }

    fn take_cuts(&mut self, batch: &mut Batch, run: &Run) {
        for cut in self.cuts.drain(..) {
            match cut.kind {
                CutKind::Zero => {
                    self.counts.zero += cut.length;
                    for piece in zero_pieces(cut.length) {
                        self.content.push(self.zeros.id(piece));
                        if !self.zero_pieces.contains(&piece) {
                            self.zero_pieces.push(piece);
                        }
                    }
                }
                CutKind::Data => {
                    let start = run.buffer + (cut.start - run.disk) as usize;
                    batch
                        .chunks
                        .push((self.content.len(), start..start + cut.length as usize));
                    self.content.push(BlobId::default());
                }
            }
        }
    }

    /// Keeps what lies behind the last cut for whoever comes next.
    fn keep_tail(&mut self, batch: &Batch, run: &Run, mut spare: Vec<u8>) {
        spare.clear();
        if !self.chunker.is_in_zero_run() {
            let start = run.buffer + (self.chunker.cut_offset() - run.disk) as usize;
            spare.extend_from_slice(&batch.bytes[start..batch.filled]);
        }
        self.carry = spare;
    }

    /// Writes down the name of a chunk that a worker has hashed.
    pub(super) fn name(&mut self, slot: usize, id: BlobId) {
        self.content[slot] = id;
    }

    /// Bytes of the disk that have been cut or scanned.
    pub(super) fn offset(&self) -> u64 {
        self.chunker.offset()
    }

    /// Bytes read, skipped and reused so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// The chunks of the whole disk, and the lengths of zero pieces that occur.
    pub(super) fn finish(self) -> (Vec<BlobId>, Vec<u64>, Counts) {
        assert!(
            self.is_done,
            "a disk is finished when it has been cut to its end"
        );
        (self.content, self.zero_pieces, self.counts)
    }
}
