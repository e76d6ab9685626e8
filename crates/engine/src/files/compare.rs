//! What a file of the target holds already.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use lifeboat_format::BlobId;
use lifeboat_model::{CancelToken, Extent, ExtentSet};
use lifeboat_repository::Index;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::Piece;

/// Zeros are looked for in steps of so many bytes.
const STEP_BYTES: u64 = 1 << 20;

/// Where a file is not as the snapshot says.
#[derive(Debug, Default)]
pub(super) struct Differing {
    /// Numbers of pieces, counted from the file's first.
    pub(super) pieces: Vec<u32>,
    /// Ranges that must be zeros and are not.
    pub(super) zeros: ExtentSet,
}

impl Differing {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.zeros.is_empty()
    }
}

/// Reads `file` and compares it with `pieces` and the zeros between them, up to `size`.
///
/// What lies behind the end of a shorter file differs where it is data.
pub(super) fn compare(
    file: &File,
    index: &Index,
    pieces: &[Piece],
    size: u64,
    cancel: &CancelToken,
) -> io::Result<Differing> {
    let mut differing = Differing::default();
    let mut buffer = Vec::new();
    let mut end = 0;
    for (number, piece) in (0..).zip(pieces) {
        if cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        zeros(file, end, piece.offset, &mut buffer, &mut differing.zeros)?;
        let blob = index.blob(piece.row as usize);
        buffer.resize(blob.location.plaintext_length() as usize, 0);
        if !read_at(file, piece.offset, &mut buffer)? || BlobId::of(&buffer) != blob.id {
            differing.pieces.push(number);
        }
        end = piece.offset + u64::from(blob.location.plaintext_length());
    }
    zeros(file, end, size, &mut buffer, &mut differing.zeros)?;
    Ok(differing)
}

/// Adds what is not zero in `start..end`.
fn zeros(
    file: &File,
    start: u64,
    end: u64,
    buffer: &mut Vec<u8>,
    found: &mut ExtentSet,
) -> io::Result<()> {
    let end = end.min(file.metadata()?.len());
    let mut at = start;
    while at < end {
        match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => at = at.max(data),
            Err(Errno::NXIO) => return Ok(()),
            // No holes on this file system.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(step) = Extent::new(at, end.min(at.saturating_add(STEP_BYTES))) else {
            return Ok(());
        };
        buffer.resize(step.len() as usize, 0);
        if !read_at(file, at, buffer)? || buffer.iter().any(|byte| *byte != 0) {
            found.insert(step);
        }
        at = step.end();
    }
    Ok(())
}

/// Fills the buffer; `false` when the file is shorter.
fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact_at(buffer, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
