//! The disk as an earlier snapshot has it.

use std::fmt;

use lifeboat_chunker::BLOCK_BYTES;
use lifeboat_format::{BlobId, BlobKind, Node, ZeroIds};
use lifeboat_repository::Index;

/// Why a disk is read in full although a parent was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullReason {
    /// There is no earlier snapshot of this disk.
    NoParent,
    /// The earlier snapshot's list of chunks cannot be read.
    ParentUnreadable,
    /// Data of the earlier snapshot is missing from the repository.
    ParentIncomplete,
    /// The earlier snapshot was cut with other sizes or by another program.
    OtherChunking,
    /// Nothing says what has changed.
    NoChangedExtents,
    /// It was asked for.
    Forced,
}

impl fmt::Display for FullReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoParent => "there is no earlier snapshot of this disk",
            Self::ParentUnreadable => "the earlier snapshot cannot be read",
            Self::ParentIncomplete => "the earlier snapshot misses data",
            Self::OtherChunking => "the earlier snapshot was cut with other chunk sizes",
            Self::NoChangedExtents => "nothing says what has changed",
            Self::Forced => "a full read was asked for",
        })
    }
}

/// One chunk of a parent.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParentChunk {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) id: BlobId,
    pub(super) is_zero: bool,
}

impl ParentChunk {
    pub(super) fn end(&self) -> u64 {
        self.start + self.length
    }
}

/// The chunks of a disk in an earlier snapshot, whole and all stored.
pub struct ParentDisk {
    chunks: Vec<(BlobId, u32)>,
    size: u64,
}

impl ParentDisk {
    /// Takes the content list of `node`; every chunk must be in the index.
    ///
    /// Whoever calls knows that the same chunk sizes and seed made it.
    ///
    /// Errors: [`FullReason::ParentIncomplete`], or `OtherChunking` if chunks do not lie on blocks.
    pub fn new(node: &Node, index: &Index) -> std::result::Result<Self, FullReason> {
        let (mut chunks, mut size) = (Vec::with_capacity(node.content_ids().len()), 0u64);
        for id in node.content_ids() {
            let found = index
                .find(BlobKind::Data, id)
                .ok_or(FullReason::ParentIncomplete)?;
            if !size.is_multiple_of(BLOCK_BYTES as u64) {
                return Err(FullReason::OtherChunking);
            }
            chunks.push((*id, found.plaintext_length()));
            size += u64::from(found.plaintext_length());
        }
        if size == node.size {
            Ok(Self { chunks, size })
        } else {
            Err(FullReason::ParentIncomplete)
        }
    }

    /// Bytes of the disk.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn cursor(&self) -> ParentCursor<'_> {
        ParentCursor {
            chunks: &self.chunks,
            next: 0,
            start: 0,
        }
    }
}

/// Walks a parent's chunks in ascending order.
pub(super) struct ParentCursor<'a> {
    chunks: &'a [(BlobId, u32)],
    next: usize,
    start: u64,
}

impl ParentCursor<'_> {
    /// The chunk that holds the byte at `offset`; nothing beyond the end. Offsets must not go back.
    pub(super) fn at(&mut self, offset: u64, zeros: &mut ZeroIds) -> Option<ParentChunk> {
        loop {
            let (id, length) = *self.chunks.get(self.next)?;
            let length = u64::from(length);
            if offset < self.start + length {
                let is_zero = zeros.is_zero(&id, length);
                return Some(ParentChunk {
                    start: self.start,
                    length,
                    id,
                    is_zero,
                });
            }
            self.start += length;
            self.next += 1;
        }
    }

    /// Whether the chunk before the one last given is a zero piece; `false` at the disk's start.
    pub(super) fn follows_zeros(&self, zeros: &mut ZeroIds) -> bool {
        let before = self
            .next
            .checked_sub(1)
            .and_then(|before| self.chunks.get(before));
        before.is_some_and(|(id, length)| zeros.is_zero(id, u64::from(*length)))
    }
}
