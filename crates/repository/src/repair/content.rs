//! The list of blobs of one file, with lost ones replaced by zeros of the same length.

use lifeboat_format::{BlobId, BlobKind};
use lifeboat_model::{Extent, ExtentSet};

use crate::Index;

/// Zeros that stand for lost data are cut into pieces of at most this many bytes.
pub(super) const ZERO_PIECE: u64 = 512 << 10;

/// One part of a repaired file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A blob that is there.
    Kept(BlobId),
    /// This many zeros, uncut.
    Zeros(u64),
}

/// A file whose lost parts are known.
#[derive(Clone, Debug, Default)]
pub(super) struct RepairedContent {
    pub(super) parts: Vec<Part>,
    /// Bytes of all parts.
    pub(super) size: u64,
    pub(super) lost: ExtentSet,
    pub(super) lost_blobs: Vec<BlobId>,
}

/// Which blobs can still be read, and how long blobs are or were.
pub(super) struct Known<'a> {
    pub(super) lengths: &'a Index,
    pub(super) is_lost: &'a dyn Fn(&BlobId) -> bool,
}

impl Known<'_> {
    fn length(&self, id: &BlobId) -> Option<u64> {
        let location = self.lengths.find(BlobKind::Data, id)?;
        Some(u64::from(location.plaintext_length()))
    }

    fn is_readable(&self, id: &BlobId) -> bool {
        self.length(id).is_some() && !(self.is_lost)(id)
    }
}

/// Replaces lost blobs so that everything else keeps its offset in a file of `size` bytes.
///
/// A lost blob of known length becomes so many zeros. Where lengths are unknown, what lies before
/// the first and behind the last such blob keeps its place; all between becomes zeros, but never
/// more than so many blobs can have held: a file's size may be forged.
///
/// Returns nothing when no blob is lost.
pub(super) fn repair(content: &[BlobId], size: u64, known: &Known<'_>) -> Option<RepairedContent> {
    if content.iter().all(|id| known.is_readable(id)) {
        return None;
    }
    let first = content.iter().position(|id| known.length(id).is_none());
    let last = content.iter().rposition(|id| known.length(id).is_none());
    let mut repaired = RepairedContent::default();
    let mut offset = 0;
    match first.zip(last) {
        None => repaired.keep(content, &mut offset, known),
        Some((first, last)) => {
            let (front, back) = (&content[..first], &content[last + 1..]);
            repaired.keep(front, &mut offset, known);
            let back_bytes: u64 = back.iter().filter_map(|id| known.length(id)).sum();
            let gap = size.saturating_sub(offset).saturating_sub(back_bytes);
            let lost = content.len() - front.len() - back.len();
            let held_max = (lost as u64).saturating_mul(BlobKind::Data.bytes_max() as u64);
            repaired.lose(gap.min(held_max), &mut offset);
            repaired.lost_blobs.extend(&content[first..=last]);
            repaired.keep(back, &mut offset, known);
        }
    }
    repaired.size = offset;
    Some(repaired)
}

impl RepairedContent {
    fn keep(&mut self, content: &[BlobId], offset: &mut u64, known: &Known<'_>) {
        for id in content {
            let length = known.length(id).unwrap_or(0);
            if known.is_readable(id) {
                self.parts.push(Part::Kept(*id));
                *offset += length;
            } else {
                self.lost_blobs.push(*id);
                self.lose(length, offset);
            }
        }
    }

    fn lose(&mut self, length: u64, offset: &mut u64) {
        if let Some(extent) = Extent::at(*offset, length) {
            self.lost.insert(extent);
        }
        if length > 0 {
            self.parts.push(Part::Zeros(length));
        }
        *offset += length;
    }
}
