//! A writer of overlays that leaves out what the file below holds already.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lifeboat_disk::{DiskReader, DiskWriter, ExtentState, Result};
use lifeboat_model::Extent;

/// Content is compared in pieces of one cluster.
const CLUSTER_BYTES: u64 = 64 << 10;

/// Passes on only clusters that differ from the file below.
///
/// Chunks end where content says, not where the disk changed: without this an overlay would
/// hold unchanged bytes around every change.
pub(super) struct Sparing<'a> {
    inner: &'a dyn DiskWriter,
    /// Nothing for the full file of a chain: then everything is passed on.
    below: Option<Arc<dyn DiskReader>>,
    written: AtomicU64,
    zeros: AtomicU64,
}

impl<'a> Sparing<'a> {
    pub(super) fn new(inner: &'a dyn DiskWriter, below: Option<Arc<dyn DiskReader>>) -> Self {
        Self {
            inner,
            below,
            written: AtomicU64::new(0),
            zeros: AtomicU64::new(0),
        }
    }

    /// Bytes of data and of zeros that were passed on.
    pub(super) fn passed(&self) -> (u64, u64) {
        (self.written.load(Relaxed), self.zeros.load(Relaxed))
    }
}

/// The parts of a range, one for each cluster.
fn parts(range: Extent) -> impl Iterator<Item = Extent> {
    let first = range.start() - range.start() % CLUSTER_BYTES;
    let starts = (first..range.end()).step_by(CLUSTER_BYTES as usize);
    starts.filter_map(move |start| Extent::at(start, CLUSTER_BYTES)?.intersect(range))
}

/// What a disk holds there; behind its end it reads as zeros.
fn load(disk: &dyn DiskReader, range: Extent, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    buffer.resize(range.len() as usize, 0);
    match Extent::new(range.start(), range.end().min(disk.size())) {
        Some(inside) => disk.read_at(range.start(), &mut buffer[..inside.len() as usize]),
        None => Ok(()),
    }
}

impl DiskWriter for Sparing<'_> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let (Some(below), Some(range)) = (&self.below, Extent::at(offset, bytes.len() as u64))
        else {
            self.written.fetch_add(bytes.len() as u64, Relaxed);
            return self.inner.write_at(offset, bytes);
        };
        let (mut rest, mut buffer) = (bytes, Vec::new());
        for part in parts(range) {
            let (now, later) = rest.split_at(part.len() as usize);
            load(&**below, part, &mut buffer)?;
            if buffer != now {
                self.inner.write_at(part.start(), now)?;
                self.written.fetch_add(part.len(), Relaxed);
            }
            rest = later;
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, length: u64) -> Result<()> {
        let (Some(below), Some(range)) = (&self.below, Extent::at(offset, length)) else {
            self.zeros.fetch_add(length, Relaxed);
            return self.inner.zero_at(offset, length);
        };
        let (mut at, mut buffer) = (range.start(), Vec::new());
        let end = range.end().min(below.size());
        while at < end {
            let mapped = below.next_extent(at)?;
            let Some(extent) = mapped.extent.intersect(range) else {
                break;
            };
            if mapped.state == ExtentState::Data {
                for part in parts(extent) {
                    load(&**below, part, &mut buffer)?;
                    if buffer.iter().any(|byte| *byte != 0) {
                        self.inner.zero_at(part.start(), part.len())?;
                        self.zeros.fetch_add(part.len(), Relaxed);
                    }
                }
            }
            at = extent.end();
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        self.inner.finish()
    }

    fn is_blank(&self) -> bool {
        self.below.is_none() && self.inner.is_blank()
    }
}
