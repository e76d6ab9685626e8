//! Small files: compressed and sealed JSON.
//!
//! In version 2 the plaintext starts with `2` and a zstd frame, or is JSON as it is.
//!
//! Source: restic's design document, "Unpacked Data Format"; restic-format 5.2.

use std::cell::RefCell;

use lifeboat_model::Entropy;

use crate::{Decompressor, Error, MasterKey, Result};

/// Marks compressed JSON.
const COMPRESSED: u8 = 2;

thread_local! {
    /// Lists are made of thousands of small files: making a decompressor costs more than using it.
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// Compresses (unless `level` is nothing) and seals JSON.
pub fn encode_unpacked(
    json: &[u8],
    level: Option<i32>,
    key: &MasterKey,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>> {
    let Some(level) = level else {
        return Ok(key.seal(json, entropy));
    };
    let compressed = zstd::bulk::compress(json, level)
        .map_err(|e| Error::corrupt(format!("zstd could not compress: {e}")))?;
    let mut plaintext = Vec::with_capacity(compressed.len() + 1);
    plaintext.push(COMPRESSED);
    plaintext.extend_from_slice(&compressed);
    Ok(key.seal(&plaintext, entropy))
}

/// Opens and decompresses a small file; refuses more than `bytes_max` bytes of JSON.
pub fn decode_unpacked(sealed: &[u8], key: &MasterKey, bytes_max: usize) -> Result<Vec<u8>> {
    let plaintext = key.unseal(sealed)?;
    match plaintext.first() {
        Some(b'{' | b'[') if plaintext.len() <= bytes_max => Ok(plaintext),
        Some(b'{' | b'[') => Err(Error::corrupt("a repository file is too large")),
        Some(&COMPRESSED) => {
            let mut json = Vec::new();
            DECOMPRESSOR.with_borrow_mut(|decompressor| {
                decompressor.decompress(&plaintext[1..], bytes_max, None, &mut json)
            })?;
            Ok(json)
        }
        Some(other) => Err(Error::corrupt(format!(
            "a repository file starts with byte {other}"
        ))),
        None => Err(Error::corrupt("a repository file is empty")),
    }
}
