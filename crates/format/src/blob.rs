//! Blobs: compressed, sealed, opened, and compared with their names.
//!
//! Source: restic's design document, "Pack Format"; restic-format 5.2.

mod proof;

use std::fmt;
use std::io::Cursor;
use std::num::NonZeroU32;

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_frame_content_size,
};

use crate::crypto::NONCE_BYTES;
use crate::{BlobId, Error, MasterKey, Result};

pub use proof::prove_blob;

/// Largest plaintext of a data blob that is accepted: ours are at most 16 MiB, restic's 8 MiB.
const DATA_BYTES_MAX: usize = 128 << 20;

/// Largest plaintext of a tree that is accepted: 16 million chunks in one file.
const TREE_BYTES_MAX: usize = 2 << 30;

/// A claimed plaintext up to this size is given its memory at once; more only as it comes.
const EAGER_BYTES_MAX: usize = 16 << 20;

/// Largest zstd window that is accepted: 128 MiB. restic's writers use 8 MiB at most.
const WINDOW_LOG_MAX: u32 = 27;

/// Window of the levels from 20 on, which would take more: 8 MiB.
const WRITER_WINDOW_LOG_MAX: u32 = 23;

/// The level whose tables are chosen here.
const USUAL_LEVEL: i32 = 3;

/// Tables of level 3 that stay near the processor: zstd's own choice for chunks of 64 KiB to
/// 1 MiB is up to eight times as large, 6 % slower and gives no smaller output (measured with
/// the chunks of an installed Debian system, docs/decisions/0007).
const USUAL_TABLES: [CParameter; 2] = [CParameter::HashLog(15), CParameter::ChainLog(13)];

/// Indexes and snapshots compress three to five times, lists of equal ids some hundred times.
const USUAL_RATIO_MAX: usize = 64;

/// What a blob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKind {
    /// A part of a file.
    Data,
    /// A folder.
    Tree,
}

impl fmt::Display for BlobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Data => "data",
            Self::Tree => "tree",
        })
    }
}

impl BlobKind {
    /// Largest plaintext that is accepted, in bytes.
    pub fn bytes_max(self) -> usize {
        match self {
            Self::Data => DATA_BYTES_MAX,
            Self::Tree => TREE_BYTES_MAX,
        }
    }
}

/// Compresses blobs; one per thread.
pub struct Compressor {
    context: CCtx<'static>,
}

impl Compressor {
    /// `level` is zstd's, from 1 to 19.
    pub fn new(level: i32) -> Self {
        let mut context = CCtx::create();
        let set = context.set_parameter(CParameter::CompressionLevel(level));
        assert!(set.is_ok(), "zstd takes every level, it clamps them");
        if level == USUAL_LEVEL {
            for table in USUAL_TABLES {
                let set = context.set_parameter(table);
                assert!(set.is_ok(), "zstd takes tables of 32 KiB and more");
            }
        }
        if level > 19 {
            let set = context.set_parameter(CParameter::WindowLog(WRITER_WINDOW_LOG_MAX));
            assert!(set.is_ok(), "zstd takes windows up to 128 MiB");
        }
        Self { context }
    }

    /// Appends the compressed form to `target`: one frame with its content's size.
    fn compress(&mut self, plaintext: &[u8], target: &mut Vec<u8>) -> Result<()> {
        let start = target.len();
        target.reserve(zstd::zstd_safe::compress_bound(plaintext.len()));
        let mut cursor = Cursor::new(std::mem::take(target));
        cursor.set_position(start as u64);
        let result = self.context.compress2(&mut cursor, plaintext);
        *target = cursor.into_inner();
        result.map(|_| ()).map_err(broken)
    }
}

/// Decompresses blobs; one per thread.
pub struct Decompressor {
    context: DCtx<'static>,
}

impl Default for Decompressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Decompressor {
    /// Makes one.
    pub fn new() -> Self {
        let mut context = DCtx::create();
        let set = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
        assert!(set.is_ok(), "zstd takes window limits up to 31");
        Self { context }
    }

    /// Replaces `plaintext` by the decompressed bytes, at most `bytes_max` and, if given, exactly
    /// `expected` of them.
    ///
    /// Without `expected` the frame's own claim is believed as far as JSON compresses; beyond, and
    /// beyond 16 MiB, the buffer grows step by step: nothing is allocated on a forged size.
    pub(crate) fn decompress(
        &mut self,
        compressed: &[u8],
        bytes_max: usize,
        expected: Option<usize>,
        plaintext: &mut Vec<u8>,
    ) -> Result<()> {
        match expected {
            Some(length) if length > bytes_max => Err(too_large()),
            Some(length) if length > EAGER_BYTES_MAX => {
                self.decompress_growing(compressed, length, plaintext)?;
                match plaintext.len() {
                    found if found == length => Ok(()),
                    found => Err(wrong_length(found as u64, length)),
                }
            }
            Some(length) => self.decompress_exactly(compressed, length, plaintext),
            None => {
                let claimed = claimed_length(compressed).filter(|length| *length <= bytes_max);
                // Several frames are more than the first one claims.
                let is_done = claimed.is_some_and(|length| {
                    let done = self.decompress_exactly(compressed, length, plaintext);
                    done.is_ok()
                });
                if is_done {
                    return Ok(());
                }
                self.decompress_growing(compressed, bytes_max, plaintext)
            }
        }
    }

    fn decompress_exactly(
        &mut self,
        compressed: &[u8],
        length: usize,
        plaintext: &mut Vec<u8>,
    ) -> Result<()> {
        refuse_longer(compressed, length)?;
        plaintext.clear();
        plaintext.reserve_exact(length);
        let written = self.context.decompress(plaintext, compressed);
        refuse_other(written.map_err(broken)?, length)
    }

    /// Fills `target` exactly.
    fn decompress_to(&mut self, compressed: &[u8], target: &mut [u8]) -> Result<()> {
        refuse_longer(compressed, target.len())?;
        let written = self.context.decompress(target, compressed);
        refuse_other(written.map_err(broken)?, target.len())
    }

    fn decompress_growing(
        &mut self,
        compressed: &[u8],
        bytes_max: usize,
        plaintext: &mut Vec<u8>,
    ) -> Result<()> {
        let reset = self.context.reset(ResetDirective::SessionOnly);
        reset.map_err(broken)?;
        let mut source = InBuffer::around(compressed);
        plaintext.clear();
        loop {
            let before = plaintext.len();
            if before == plaintext.capacity() {
                // One byte more than allowed: a frame that ends at the limit is seen to end.
                let left = bytes_max.saturating_add(1).saturating_sub(before);
                plaintext.reserve_exact(before.max(64 << 10).min(left));
            }
            let mut target = OutBuffer::around_pos(plaintext, before);
            let step = self.context.decompress_stream(&mut target, &mut source);
            let left = step.map_err(broken)?;
            if plaintext.len() > bytes_max {
                return Err(too_large());
            }
            let is_drained = source.pos == compressed.len();
            if left == 0 && is_drained {
                return Ok(());
            }
            if is_drained && plaintext.len() == before {
                return Err(Error::corrupt("a zstd frame ends early"));
            }
        }
    }
}

/// What a frame claims to hold, if that is no more than JSON of its size may hold.
fn claimed_length(compressed: &[u8]) -> Option<usize> {
    let claimed = get_frame_content_size(compressed).ok().flatten()?;
    let length = usize::try_from(claimed).ok()?;
    (length <= compressed.len().saturating_mul(USUAL_RATIO_MAX)).then_some(length)
}

/// Refuses a frame that claims more bytes than `length`.
fn refuse_longer(compressed: &[u8], length: usize) -> Result<()> {
    match get_frame_content_size(compressed) {
        Ok(Some(claimed)) if claimed > length as u64 => Err(wrong_length(claimed, length)),
        _ => Ok(()),
    }
}

fn refuse_other(written: usize, length: usize) -> Result<()> {
    if written == length {
        return Ok(());
    }
    Err(wrong_length(written as u64, length))
}

fn wrong_length(found: u64, length: usize) -> Error {
    Error::corrupt(format!("decompressed to {found} bytes instead of {length}"))
}

fn too_large() -> Error {
    Error::corrupt("a compressed object claims more bytes than are accepted")
}

fn broken(code: usize) -> Error {
    Error::corrupt(format!("zstd: {}", zstd::zstd_safe::get_error_name(code)))
}

/// Appends the sealed form of a blob to `target`.
///
/// Compresses if a compressor is given and it pays; then gives the plaintext's length. The nonce
/// must be fresh.
pub fn seal_blob(
    plaintext: &[u8],
    compressor: Option<&mut Compressor>,
    key: &MasterKey,
    nonce: [u8; NONCE_BYTES],
    target: &mut Vec<u8>,
) -> Result<Option<NonZeroU32>> {
    let start = target.len();
    target.extend_from_slice(&nonce);
    let length = u32::try_from(plaintext.len())
        .map_err(|_| Error::corrupt("a blob of 4 GiB or more cannot be stored"))?;
    let mut uncompressed_length = None;
    if let (Some(compressor), Some(length)) = (compressor, NonZeroU32::new(length)) {
        compressor.compress(plaintext, target)?;
        if target.len() - start - NONCE_BYTES < plaintext.len() {
            uncompressed_length = Some(length);
        } else {
            target.truncate(start + NONCE_BYTES);
        }
    }
    if uncompressed_length.is_none() {
        target.extend_from_slice(plaintext);
    }
    key.seal_from(target, start);
    Ok(uncompressed_length)
}

/// A sealed blob as it lies in a pack.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// Its bytes; decrypted in place.
    pub bytes: &'a mut [u8],
    /// What it holds.
    pub kind: BlobKind,
    /// Its plaintext's length, if it is compressed.
    pub uncompressed_length: Option<NonZeroU32>,
}

/// Opens a sealed blob into `plaintext`, replacing what is there, and compares it with its name.
///
/// Errors: `Corrupt`.
pub fn unseal_blob(
    sealed: Sealed<'_>,
    id: &BlobId,
    key: &MasterKey,
    decompressor: &mut Decompressor,
    plaintext: &mut Vec<u8>,
) -> Result<()> {
    let Sealed {
        bytes,
        kind,
        uncompressed_length,
    } = sealed;
    let content = key.unseal_in_place(bytes)?;
    match uncompressed_length {
        Some(length) => {
            let length = usize::try_from(length.get()).map_err(|_| too_large())?;
            let bytes_max = kind.bytes_max();
            decompressor.decompress(content, bytes_max, Some(length), plaintext)?;
        }
        None => {
            plaintext.clear();
            plaintext.extend_from_slice(content);
        }
    }
    compare_name(plaintext, id)
}

/// Opens a sealed blob into `target`, which is as long as its plaintext.
///
/// The caller compares it with its name: [`BlobId::of_all`] takes half the time for many.
///
/// Errors: `Corrupt`; the content of `target` is undefined then.
pub fn unseal_unnamed(
    sealed: Sealed<'_>,
    key: &MasterKey,
    decompressor: &mut Decompressor,
    target: &mut [u8],
) -> Result<()> {
    let Sealed {
        bytes,
        kind,
        uncompressed_length,
    } = sealed;
    let content = key.unseal_in_place(bytes)?;
    match uncompressed_length {
        Some(length) if length.get() as usize != target.len() => {
            Err(wrong_length(u64::from(length.get()), target.len()))
        }
        Some(_) if target.len() > kind.bytes_max() => Err(too_large()),
        Some(_) => decompressor.decompress_to(content, target),
        None if content.len() == target.len() => {
            target.copy_from_slice(content);
            Ok(())
        }
        None => {
            let doing = format!("has {} bytes instead of {}", content.len(), target.len());
            Err(Error::corrupt(doing))
        }
    }
}

fn compare_name(plaintext: &[u8], id: &BlobId) -> Result<()> {
    if BlobId::of(plaintext) == *id {
        return Ok(());
    }
    Err(Error::corrupt("the content does not hash to its name"))
}
