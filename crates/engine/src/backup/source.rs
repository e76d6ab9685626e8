//! Where the next bytes of a disk come from: the source, the parent, or nowhere.

use lifeboat_chunker::{BLOCK_BYTES, ChunkSizes, Chunker};
use lifeboat_disk::{DiskReader, ExtentState, MappedExtent};
use lifeboat_format::{BlobId, ZeroIds};
use lifeboat_model::{Extent, ExtentSet};

use super::Change;
use super::parent::{ParentChunk, ParentCursor};
use crate::Result;
use crate::error::Doing;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// What to do at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Read up to so many bytes.
    Read(u64),
    /// So many bytes are zero.
    Zeros(u64),
    /// Take over a chunk of the parent: its id and length.
    Reuse(BlobId, u64),
    /// The disk ends here.
    End,
}

/// Decides, offset by offset and forwards only, what to do.
pub(super) struct Steps<'a> {
    source: &'a dyn DiskReader,
    size: u64,
    lookahead: u64,
    parent: Option<Parent<'a>>,
    mapped: Option<MappedExtent>,
}

struct Parent<'a> {
    cursor: ParentCursor<'a>,
    /// Changed bytes in whole blocks; everything where sizes differ counts as changed.
    changed: ExtentSet,
}

impl<'a> Steps<'a> {
    pub(super) fn new(source: &'a dyn DiskReader, change: &'a Change, sizes: ChunkSizes) -> Self {
        let size = source.size();
        let parent = match change {
            Change::Unknown => None,
            Change::Since { parent, changed } => {
                let mut changed = changed.clone();
                if parent.size() != size {
                    let smaller = parent.size().min(size);
                    let rest = Extent::new(smaller.saturating_sub(1), u64::MAX);
                    rest.into_iter().for_each(|rest| changed.insert(rest));
                }
                Some(Parent {
                    cursor: parent.cursor(),
                    changed: changed.aligned(BLOCK, u64::MAX),
                })
            }
        };
        Self {
            source,
            size,
            lookahead: sizes.zero_run_min(),
            parent,
            mapped: None,
        }
    }

    /// What to do where the chunker stands.
    pub(super) fn next(&mut self, chunker: &Chunker, zeros: &mut ZeroIds) -> Result<Step> {
        let offset = chunker.offset();
        if offset >= self.size {
            return Ok(Step::End);
        }
        let Some(parent) = &mut self.parent else {
            return self.of_source(offset, self.size);
        };
        let dirty = parent.changed.next_from(offset);
        let clean_end = dirty.map_or(u64::MAX, Extent::start);
        if clean_end <= offset {
            let dirty_end = dirty.map_or(self.size, Extent::end);
            return self.of_source(offset, dirty_end.min(self.size));
        }
        let Some(chunk) = parent.cursor.at(offset, zeros) else {
            return self.of_source(offset, self.size);
        };
        let clean_end = clean_end.min(self.size);
        if chunk.is_zero {
            return Ok(Step::Zeros(chunk.end().min(clean_end) - offset));
        }
        let reusable = chunk.start == offset && self.decides_alike(&chunk, clean_end);
        let parent = self.parent.as_ref().map(|parent| &parent.cursor);
        if reusable && parent.is_some_and(|cursor| meets(chunker, cursor, zeros)) {
            return Ok(Step::Reuse(chunk.id, chunk.length));
        }
        self.of_source(offset, chunk.end().min(clean_end))
    }

    /// Says whether nothing that decided the end of `chunk` has changed.
    fn decides_alike(&self, chunk: &ParentChunk, clean_end: u64) -> bool {
        let decided_by = (chunk.end() + self.lookahead).min(self.size);
        chunk.end() <= self.size && decided_by <= clean_end
    }

    /// The next stretch of the source, in whole blocks and not beyond `limit`.
    fn of_source(&mut self, offset: u64, limit: u64) -> Result<Step> {
        let mapped = self.mapped_at(offset)?;
        let end = mapped.extent.end().min(limit);
        let is_last = end >= self.size;
        let zero_end = if is_last { end } else { end - end % BLOCK };
        if mapped.state == ExtentState::Zero && zero_end > offset {
            return Ok(Step::Zeros(zero_end - offset));
        }
        let read_end = if mapped.state == ExtentState::Zero {
            offset + BLOCK
        } else {
            end
        };
        Ok(Step::Read(
            read_end.next_multiple_of(BLOCK).min(self.size) - offset,
        ))
    }

    fn mapped_at(&mut self, offset: u64) -> Result<MappedExtent> {
        let holds =
            |mapped: &MappedExtent| mapped.extent.start() <= offset && offset < mapped.extent.end();
        if let Some(mapped) = self.mapped.filter(holds) {
            return Ok(mapped);
        }
        let mapped = self
            .source
            .next_extent(offset)
            .doing(|| "cannot map the source".to_owned())?;
        assert!(
            holds(&mapped),
            "a source maps at least one byte at the offset asked for"
        );
        self.mapped = Some(mapped);
        Ok(mapped)
    }
}

/// Says whether a new cut and a cut of the parent lie here, with equal state behind them.
///
/// At the end of a zero run that is open in the new disk, the parent must have had one too:
/// else its next chunk might begin with zeros that belong to the run.
fn meets(chunker: &Chunker, parent: &ParentCursor<'_>, zeros: &mut ZeroIds) -> bool {
    chunker.is_at_cut() || chunker.is_in_zero_run() && parent.follows_zeros(zeros)
}
