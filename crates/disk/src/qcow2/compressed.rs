//! Unpacking compressed clusters.

use std::sync::{Mutex, PoisonError};

use flate2::{Decompress, FlushDecompress};
use zstd::zstd_safe::{DCtx, find_frame_compressed_size};

use super::fault::{Checked, Fault};
use super::header::Compression;

/// Decoders that threads borrow and give back.
pub(crate) struct Unpackers {
    compression: Compression,
    idle: Mutex<Vec<Unpacker>>,
}

/// A decoder with its memory for packed bytes.
pub(crate) struct Unpacker {
    decoder: Decoder,
    pub(crate) packed: Vec<u8>,
}

enum Decoder {
    Zlib(Decompress),
    Zstd(DCtx<'static>),
}

impl Unpackers {
    pub(crate) fn new(compression: Compression) -> Self {
        Self {
            compression,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Runs `work` with a decoder of its own.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Unpacker) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let borrowed = idle().pop();
        let mut unpacker = borrowed.unwrap_or_else(|| Unpacker::new(self.compression));
        let result = work(&mut unpacker);
        idle().push(unpacker);
        result
    }
}

impl Unpacker {
    pub(crate) fn new(compression: Compression) -> Self {
        let decoder = match compression {
            // QEMU writes bare deflate streams, without the zlib header.
            Compression::Zlib => Decoder::Zlib(Decompress::new(false)),
            Compression::Zstd => Decoder::Zstd(DCtx::create()),
        };
        Self {
            decoder,
            packed: Vec::new(),
        }
    }

    /// Fills `cluster` from `packed`, which may be followed by bytes that belong to others.
    ///
    /// Decodes into the buffer directly: a stated size or window costs no memory.
    pub(crate) fn unpack(&mut self, cluster: &mut [u8]) -> Checked<()> {
        let whole = match &mut self.decoder {
            Decoder::Zlib(decoder) => inflate(decoder, &self.packed, cluster),
            Decoder::Zstd(decoder) => decode_frames(decoder, &self.packed, cluster),
        };
        if whole {
            return Ok(());
        }
        Err(Fault::corrupt(
            "a compressed cluster cannot be unpacked to the cluster size",
        ))
    }
}

fn inflate(decoder: &mut Decompress, packed: &[u8], cluster: &mut [u8]) -> bool {
    decoder.reset(false);
    let length = crate::port::bytes(cluster.len());
    decoder
        .decompress(packed, cluster, FlushDecompress::Finish)
        .is_ok()
        && decoder.total_out() == length
}

fn decode_frames(decoder: &mut DCtx<'_>, mut packed: &[u8], mut cluster: &mut [u8]) -> bool {
    while !cluster.is_empty() {
        let Some((frame, rest)) = find_frame_compressed_size(packed)
            .ok()
            .and_then(|length| packed.split_at_checked(length))
        else {
            return false;
        };
        match decoder.decompress(&mut *cluster, frame) {
            // A frame without content would be decoded for ever.
            Ok(0) | Err(_) => return false,
            Ok(length) => {
                let Some(left) = cluster.get_mut(length..) else {
                    return false;
                };
                cluster = left;
                packed = rest;
            }
        }
    }
    true
}
