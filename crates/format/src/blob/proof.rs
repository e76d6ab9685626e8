//! Comparing a sealed blob with its name without memory for what it holds.

use std::num::NonZeroU32;

use sha2::{Digest, Sha256};
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, ResetDirective};

use super::{Decompressor, broken, wrong_length};
use crate::{BlobId, Error, MasterKey, Result};

/// Plaintext that is hashed at once.
const ROOM_BYTES: usize = 128 << 10;

/// Opens a sealed blob piece by piece and compares it with its name; it stays as it is.
///
/// Memory: the window of its compression, and a piece.
///
/// Errors: `Corrupt`.
pub fn prove_blob(
    sealed: &[u8],
    uncompressed_length: Option<NonZeroU32>,
    id: &BlobId,
    key: &MasterKey,
    decompressor: &mut Decompressor,
) -> Result<()> {
    let mut hash = Sha256::new();
    match uncompressed_length {
        None => key.unseal_by_pieces(sealed, |piece| {
            hash.update(piece);
            Ok(())
        })?,
        Some(length) => {
            let mut frame = Frame::open(decompressor)?;
            key.unseal_by_pieces(sealed, |piece| {
                frame.take(piece, |bytes| hash.update(bytes))
            })?;
            frame.end(length.get() as usize)?;
        }
    }
    if hash.finalize().as_slice() == id.id().0 {
        return Ok(());
    }
    Err(Error::corrupt("the content does not hash to its name"))
}

/// One zstd frame that comes in pieces.
struct Frame<'a> {
    context: &'a mut DCtx<'static>,
    room: Vec<u8>,
    found: usize,
    is_ended: bool,
}

impl<'a> Frame<'a> {
    fn open(decompressor: &'a mut Decompressor) -> Result<Self> {
        let context = &mut decompressor.context;
        let reset = context.reset(ResetDirective::SessionOnly);
        reset.map_err(broken)?;
        Ok(Self {
            context,
            room: vec![0; ROOM_BYTES],
            found: 0,
            is_ended: false,
        })
    }

    fn take(&mut self, piece: &[u8], mut give: impl FnMut(&[u8])) -> Result<()> {
        let mut source = InBuffer::around(piece);
        loop {
            if self.is_ended && source.pos < piece.len() {
                return Err(Error::corrupt("there are bytes behind a zstd frame"));
            }
            if self.is_ended {
                return Ok(());
            }
            let mut target = OutBuffer::around(self.room.as_mut_slice());
            let step = self.context.decompress_stream(&mut target, &mut source);
            self.is_ended = step.map_err(broken)? == 0;
            give(target.as_slice());
            let count = target.pos();
            self.found += count;
            if source.pos == piece.len() && count < ROOM_BYTES {
                return Ok(());
            }
        }
    }

    fn end(self, length: usize) -> Result<()> {
        match self.found {
            _ if !self.is_ended => Err(Error::corrupt("a zstd frame ends early")),
            found if found == length => Ok(()),
            found => Err(wrong_length(found as u64, length)),
        }
    }
}
