//! One file's content, cut as disks are: by content on blocks, and at runs of zeros.

use lifeboat_chunker::{BLOCK_BYTES, Chunker, Cut, CutKind, zero_pieces};
use lifeboat_format::{BlobId, BlobKind, ZeroIds};
use lifeboat_model::ErrorKind;
use lifeboat_repository::{Bench, BlobWriter};

use crate::{Error, Result};

/// Zeros of a hole are handed over in stretches of as many bytes until they count as a run.
const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Takes the pieces of one file in ascending order; what lies between them are zeros.
pub struct FileWriter<'w, 'f> {
    pub(super) writer: &'f BlobWriter<'w>,
    pub(super) bench: &'f mut Bench,
    pub(super) zeros: &'f mut ZeroIds,
    pub(super) chunker: Chunker,
    pub(super) size: u64,
    /// Less than a block that waits for the rest of it.
    pub(super) partial: Vec<u8>,
    /// What was scanned and is in no cut yet, from `begin` on.
    pub(super) buffer: Vec<u8>,
    pub(super) begin: u64,
    pub(super) cuts: Vec<Cut>,
    pub(super) content: Vec<BlobId>,
    pub(super) read_bytes: u64,
}

impl FileWriter<'_, '_> {
    /// Takes a piece.
    ///
    /// Errors: `Invalid` for one that lies before the end of the last, or beyond the file's end;
    /// those of the repository.
    pub fn piece(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let position = self.position();
        let end = offset.checked_add(bytes.len() as u64);
        if offset < position || end.is_none_or(|end| end > self.size) {
            let doing = "a piece of a file lies outside of its turn";
            return Err(Error::new(ErrorKind::Invalid, doing));
        }
        self.hole(offset - position)?;
        self.read_bytes += bytes.len() as u64;
        self.bytes(bytes)
    }

    fn position(&self) -> u64 {
        self.chunker.offset() + self.partial.len() as u64
    }

    /// Cuts the rest; gives the chunks of the whole file.
    pub(super) fn finish(mut self) -> Result<(Vec<BlobId>, u64)> {
        self.hole(self.size - self.position())?;
        let rest = std::mem::take(&mut self.partial);
        self.scan(&rest)?;
        self.chunker.finish(&mut self.cuts);
        self.take_cuts()?;
        Ok((self.content, self.read_bytes))
    }

    fn bytes(&mut self, mut bytes: &[u8]) -> Result<()> {
        if !self.partial.is_empty() {
            let (first, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.partial.len()));
            self.partial.extend_from_slice(first);
            bytes = rest;
            if self.partial.len() < BLOCK_BYTES {
                return Ok(());
            }
            let block = std::mem::take(&mut self.partial);
            self.scan(&block)?;
        }
        let (blocks, rest) = bytes.split_at(bytes.len() / BLOCK_BYTES * BLOCK_BYTES);
        self.scan(blocks)?;
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn hole(&mut self, length: u64) -> Result<()> {
        let block = BLOCK_BYTES as u64;
        let mut rest = length;
        if !self.partial.is_empty() {
            let first = rest.min(block - self.partial.len() as u64);
            self.bytes(&ZEROS[..first as usize])?;
            rest -= first;
        }
        let whole = rest / block * block;
        let mut left = whole;
        while left > 0 {
            if self.chunker.takes_zeros(left) {
                self.chunker.zeros(left, &mut self.cuts);
                self.take_cuts()?;
                break;
            }
            self.scan(&ZEROS)?;
            left -= block;
        }
        self.bytes(&ZEROS[..(rest - whole) as usize])
    }

    /// Whole blocks, but for the file's last.
    fn scan(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.chunker.scan(bytes, &mut self.cuts);
        self.take_cuts()
    }

    fn take_cuts(&mut self) -> Result<()> {
        for cut in std::mem::take(&mut self.cuts) {
            match cut.kind {
                CutKind::Data => {
                    let start = (cut.start - self.begin) as usize;
                    let chunk = &self.buffer[start..start + cut.length as usize];
                    let id = BlobId::of(chunk);
                    self.writer.put(BlobKind::Data, &id, chunk, self.bench)?;
                    self.content.push(id);
                }
                CutKind::Zero => self.store_zeros(cut.length)?,
            }
        }
        self.forget_cut_bytes();
        Ok(())
    }

    fn store_zeros(&mut self, length: u64) -> Result<()> {
        for piece in zero_pieces(length) {
            let id = self.zeros.id(piece);
            if !self.writer.knows(BlobKind::Data, &id) {
                let zeros = vec![0; piece as usize];
                self.writer.put(BlobKind::Data, &id, &zeros, self.bench)?;
            }
            self.content.push(id);
        }
        Ok(())
    }

    /// Bytes of a run of zeros are not needed: its cut says all.
    fn forget_cut_bytes(&mut self) {
        if self.chunker.is_in_zero_run() {
            self.buffer.clear();
            self.begin = self.chunker.offset();
            return;
        }
        let cut = self.chunker.cut_offset();
        let done = (cut - self.begin).min(self.buffer.len() as u64);
        self.buffer.drain(..done as usize);
        self.begin = cut;
    }
}
