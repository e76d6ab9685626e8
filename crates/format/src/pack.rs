//! Packs: sealed blobs side by side, then a sealed header, then its length.
//!
//! Source: restic's design document, "Pack Format"; restic-format 5.3.

use std::num::NonZeroU32;

use lifeboat_model::{Entropy, ErrorKind};

use crate::{BlobId, BlobKind, Error, MasterKey, Result, SEAL_OVERHEAD};

/// Header entry of a blob that is stored as it is.
const PLAIN_ENTRY_BYTES: usize = 37;

/// Header entry of a compressed blob.
const COMPRESSED_ENTRY_BYTES: usize = 41;

/// Bytes of the header's length at the end of a pack.
const LENGTH_BYTES: usize = 4;

/// restic's limit for a sealed header.
const HEADER_BYTES_MAX: u64 = 16 << 20;

/// One blob of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackEntry {
    /// What it holds.
    pub kind: BlobKind,
    /// Its name.
    pub id: BlobId,
    /// First byte in the pack.
    pub offset: u32,
    /// Sealed bytes.
    pub length: u32,
    /// Plaintext bytes, if it is compressed.
    pub uncompressed_length: Option<NonZeroU32>,
}

impl PackEntry {
    /// Plaintext bytes; none for a length that is below the seal's own.
    pub fn plaintext_length(&self) -> u32 {
        match self.uncompressed_length {
            Some(length) => length.get(),
            None => self.length.saturating_sub(SEAL_OVERHEAD as u32),
        }
    }

    fn header_bytes(&self) -> usize {
        match self.uncompressed_length {
            Some(_) => COMPRESSED_ENTRY_BYTES,
            None => PLAIN_ENTRY_BYTES,
        }
    }

    /// Whether its lengths are such that it can be read: no memory is to be taken for others.
    pub(crate) fn has_sound_lengths(&self) -> bool {
        let bytes_max = self.kind.bytes_max();
        let stored = (SEAL_OVERHEAD..=SEAL_OVERHEAD + bytes_max).contains(&(self.length as usize));
        stored && self.plaintext_length() as usize <= bytes_max
    }

    /// One past its last byte in the pack.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.length)
    }
}

/// Bytes that a pack of these blobs has.
pub fn pack_size(entries: &[PackEntry]) -> u64 {
    let blobs: u64 = entries.iter().map(|entry| u64::from(entry.length)).sum();
    let header: usize = entries.iter().map(PackEntry::header_bytes).sum();
    blobs + (header + SEAL_OVERHEAD + LENGTH_BYTES) as u64
}

/// Says whether blobs, in order of offset, lie from the pack's start without gap or overlap.
pub fn is_contiguous(entries: &[PackEntry]) -> bool {
    let mut end = 0;
    entries.iter().all(|entry| {
        let follows = u64::from(entry.offset) == end;
        end = entry.end();
        follows
    })
}

/// The sealed header and its length, to be appended to the blobs.
///
/// Errors: `Unsupported` beyond restic's 16 MiB; `Invalid` for a blob that is there twice: such
/// packs made other programs lose data.
pub fn encode_pack_header(
    entries: &[PackEntry],
    key: &MasterKey,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>> {
    assert!(
        is_contiguous(entries),
        "blobs of a pack lie side by side from its start"
    );
    let mut names: Vec<_> = entries.iter().map(|entry| (entry.id, entry.kind)).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let doing = format!("a pack would hold blob {} twice", pair[0].0);
        return Err(Error::new(ErrorKind::Invalid, doing));
    }
    let mut header = Vec::with_capacity(entries.len() * COMPRESSED_ENTRY_BYTES);
    for entry in entries {
        let is_tree = u8::from(entry.kind == BlobKind::Tree);
        let is_compressed = u8::from(entry.uncompressed_length.is_some());
        header.push(is_tree | is_compressed << 1);
        header.extend_from_slice(&entry.length.to_le_bytes());
        if let Some(length) = entry.uncompressed_length {
            header.extend_from_slice(&length.get().to_le_bytes());
        }
        header.extend_from_slice(&entry.id.id().0);
    }
    let mut sealed = key.seal(&header, entropy);
    let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
    if u64::from(length) > HEADER_BYTES_MAX {
        let doing = "a pack header would be larger than 16 MiB";
        return Err(Error::new(ErrorKind::Unsupported, doing));
    }
    sealed.extend_from_slice(&length.to_le_bytes());
    Ok(sealed)
}

/// How many bytes of a pack's end are needed to read its header; `tail` is the end as far as read.
///
/// Errors: `Corrupt` if the header cannot be as long as it claims.
pub fn pack_tail_bytes(tail: &[u8], pack_size: u64) -> Result<u64> {
    let Some((_, length)) = tail.split_last_chunk::<LENGTH_BYTES>() else {
        return Err(Error::corrupt("the pack is shorter than a header's length"));
    };
    let header = u64::from(u32::from_le_bytes(*length));
    let needed = header + LENGTH_BYTES as u64;
    let least = (SEAL_OVERHEAD + PLAIN_ENTRY_BYTES) as u64;
    if header < least || header > HEADER_BYTES_MAX || needed > pack_size {
        let doing = format!("its header claims {header} bytes in a pack of {pack_size}");
        return Err(Error::corrupt(doing));
    }
    Ok(needed)
}

/// Reads the header out of a pack's last bytes; blobs come in the order of the header.
///
/// A blob that comes twice is given twice.
///
/// Errors: `Corrupt` if it is damaged or does not account for every byte of the pack;
/// `Unsupported` for entries of a newer format and for packs from 4 GiB on.
pub fn decode_pack_header(tail: &[u8], size: u64, key: &MasterKey) -> Result<Vec<PackEntry>> {
    let needed = pack_tail_bytes(tail, size)?;
    let needed = usize::try_from(needed).unwrap_or(usize::MAX);
    let start = tail
        .len()
        .checked_sub(needed)
        .ok_or_else(|| Error::corrupt("too little of the pack was read for its header"))?;
    let header = key.unseal(&tail[start..tail.len() - LENGTH_BYTES])?;
    let mut entries = Vec::with_capacity(header.len() / PLAIN_ENTRY_BYTES);
    let (mut rest, mut offset) = (&header[..], 0);
    while !rest.is_empty() {
        let entry;
        (entry, rest) = decode_entry(rest, offset)?;
        let beyond = "its blobs reach beyond 4 GiB, which restic cannot read";
        offset =
            u32::try_from(entry.end()).map_err(|_| Error::new(ErrorKind::Unsupported, beyond))?;
        entries.push(entry);
    }
    if pack_size(&entries) == size {
        return Ok(entries);
    }
    let doing = format!(
        "its header accounts for {} of {size} bytes",
        pack_size(&entries)
    );
    Err(Error::corrupt(doing))
}

fn decode_entry(bytes: &[u8], offset: u32) -> Result<(PackEntry, &[u8])> {
    let short = || Error::corrupt("a header entry ends early");
    let (tag, rest) = bytes.split_first().ok_or_else(short)?;
    if *tag > 3 {
        let doing = format!("a header entry has the type {tag}: a newer program wrote it");
        return Err(Error::new(ErrorKind::Unsupported, doing));
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let (uncompressed_length, rest) = if tag & 2 == 0 {
        (None, rest)
    } else {
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let length = NonZeroU32::new(u32::from_le_bytes(*length));
        let empty = || Error::corrupt("a compressed blob has no plaintext length");
        (Some(length.ok_or_else(empty)?), rest)
    };
    let (id, rest) = rest.split_first_chunk::<32>().ok_or_else(short)?;
    let entry = PackEntry {
        kind: if tag & 1 == 0 {
            BlobKind::Data
        } else {
            BlobKind::Tree
        },
        id: lifeboat_model::Id(*id).into(),
        offset,
        length: u32::from_le_bytes(*length),
        uncompressed_length,
    };
    if u64::from(entry.length) < SEAL_OVERHEAD as u64 {
        return Err(Error::corrupt("a blob is shorter than its nonce and tag"));
    }
    if !entry.has_sound_lengths() {
        return Err(Error::corrupt("a blob is larger than any that is read"));
    }
    Ok((entry, rest))
}
