//! Whether a disk holds exactly what a snapshot says.
//!
//! Takes resolved content and a reader; gives the ranges that differ. Reads every byte that is
//! not a hole and hashes it; reads nothing from the repository.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lifeboat_disk::{DiskReader, ExtentState};
use lifeboat_format::BlobId;
use lifeboat_model::{Extent, ExtentSet, Phase};
use lifeboat_repository::Environment;

use crate::error::Doing;
use crate::{Error, PlacedContent, Result};

/// Zeros are compared in steps of so many bytes.
const STEP_BYTES: u64 = 1 << 20;

/// Compares all bytes of `reader` with `content`; gives the ranges that differ.
///
/// A disk that is longer differs from the content's end on; a shorter one from its own end on.
pub fn compare(
    environment: &Environment,
    content: &PlacedContent,
    reader: &dyn DiskReader,
) -> Result<ExtentSet> {
    let pieces = pieces(content, reader.size());
    environment.progress.begin(Phase::Verify, content.size);
    let next = AtomicUsize::new(0);
    let (differing, failed) = (Mutex::new(ExtentSet::new()), Mutex::new(None));
    let work = || {
        let mut buffer = Vec::new();
        while let Some(piece) = pieces.get(next.fetch_add(1, Relaxed)) {
            let equal = if environment.cancel.is_cancelled() {
                Err(Error::cancelled())
            } else {
                piece.is_held_by(reader, &mut buffer)
            };
            match equal {
                Ok(true) => {}
                Ok(false) => locked(&differing).insert(piece.extent),
                Err(error) => {
                    next.store(pieces.len(), Relaxed);
                    locked(&failed).get_or_insert(error);
                }
            }
            environment.progress.advance(piece.extent.len());
        }
    };
    std::thread::scope(|scope| {
        (1..environment.threads.max(1)).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    if let Some(error) = failed
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner())
    {
        return Err(error);
    }
    let mut differing = differing
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    let (short, long) = (
        content.size.min(reader.size()),
        content.size.max(reader.size()),
    );
    Extent::new(short, long)
        .into_iter()
        .for_each(|rest| differing.insert(rest));
    Ok(differing)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// A stretch of the disk and what it must hold: that blob, or zeros.
struct Piece {
    extent: Extent,
    id: Option<BlobId>,
}

/// The content in order, as far as the disk reaches.
fn pieces(content: &PlacedContent, size: u64) -> Vec<Piece> {
    let chunks = content.chunks.iter().filter_map(|chunk| {
        let extent = chunk.extent().filter(|extent| extent.end() <= size)?;
        Some(Piece {
            extent,
            id: Some(chunk.id),
        })
    });
    let zeros = content.zeros.iter().flat_map(|zero| {
        let starts = (zero.start()..zero.end().min(size)).step_by(STEP_BYTES as usize);
        starts.filter_map(move |start| {
            let extent = Extent::new(start, (start + STEP_BYTES).min(zero.end()).min(size))?;
            Some(Piece { extent, id: None })
        })
    });
    let mut pieces: Vec<Piece> = chunks.chain(zeros).collect();
    pieces.sort_unstable_by_key(|piece| piece.extent);
    pieces
}

impl Piece {
    fn is_held_by(&self, reader: &dyn DiskReader, buffer: &mut Vec<u8>) -> Result<bool> {
        let extent = self.extent;
        let doing = || format!("cannot read what is compared at {}", extent.start());
        if self.id.is_none() {
            let mapped = reader.next_extent(extent.start()).doing(doing)?;
            if mapped.state == ExtentState::Zero && mapped.extent.end() >= extent.end() {
                return Ok(true);
            }
        }
        buffer.resize(extent.len() as usize, 0);
        reader.read_at(extent.start(), buffer).doing(doing)?;
        Ok(match self.id {
            Some(id) => BlobId::of(buffer) == id,
            None => buffer.iter().all(|byte| *byte == 0),
        })
    }
}
