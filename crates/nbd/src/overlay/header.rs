//! The first block of an overlay's file: what it is for, and where things lie.
//!
//! Numbers in the file are little-endian. A header is 4096 bytes: magic number, version, bits of
//! a block, bytes of the disk, name of the disk, zeros, checksum.

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of the header and of each page.
pub(super) const PAGE_BYTES: usize = 4096;
const MAGIC: [u8; 8] = *b"LBOATOVL";
const VERSION: u32 = 1;
/// Power of two of a block's bytes: what one bit stands for.
pub(super) const BLOCK_BITS: u32 = 16;
/// Where the checksum of a header or a page lies: it covers all before it.
pub(super) const SUM_AT: usize = PAGE_BYTES - 8;
/// Bits of one page, behind its number and its generation.
pub(super) const PAGE_BITS: u64 = (SUM_AT as u64 - 16) * 8;
/// Largest disk, in bytes: 1 PiB, whose bits take 2 GiB of memory.
const SIZE_MAX: u64 = 1 << 50;

pub(super) type Page = [u8; PAGE_BYTES];

/// What an overlay is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the disk.
    pub(super) size: u64,
    /// Names the disk below, so that no other is taken for it.
    pub(super) base: [u8; 32],
}

impl Header {
    pub(super) fn block_count(&self) -> u64 {
        self.size.div_ceil(1 << BLOCK_BITS)
    }

    pub(super) fn page_count(&self) -> u64 {
        self.block_count().div_ceil(PAGE_BITS)
    }

    /// Where a copy of a page lies; there are two, each behind all of the other.
    pub(super) fn page_at(&self, copy: u64, page: u64) -> u64 {
        (1 + copy * self.page_count() + page) * PAGE_BYTES as u64
    }

    /// Where the disk's first byte lies: at a whole block.
    pub(super) fn data_at(&self) -> u64 {
        self.page_at(2, 0).next_multiple_of(1 << BLOCK_BITS)
    }

    /// Bytes of the file.
    pub(super) fn file_length(&self) -> u64 {
        self.data_at() + self.size
    }

    pub(super) fn check(size: u64) -> Result<(), &'static str> {
        match size {
            1..=SIZE_MAX => Ok(()),
            _ => Err("an overlay is for a disk of 1 byte to 1 PiB"),
        }
    }

    pub(super) fn encode(&self) -> Page {
        let mut page = [0; PAGE_BYTES];
        let fields = [
            &MAGIC[..],
            &VERSION.to_le_bytes(),
            &BLOCK_BITS.to_le_bytes(),
            &self.size.to_le_bytes(),
            &self.base,
        ];
        put(&mut page, &fields.concat());
        sum_up(&mut page);
        page
    }

    pub(super) fn decode(page: &Page) -> Result<Self, &'static str> {
        let mut fields = Fields(page);
        if fields.take()? != MAGIC {
            return Err("this is no overlay");
        }
        if u32::from_le_bytes(fields.take()?) != VERSION {
            return Err("the overlay is of another version: use the program that made it");
        }
        if u32::from_le_bytes(fields.take()?) != BLOCK_BITS {
            return Err("the overlay has blocks of another size");
        }
        let size = u64::from_le_bytes(fields.take()?);
        let base = fields.take()?;
        Self::check(size)?;
        if !is_whole(page) {
            return Err("the header's checksum is wrong");
        }
        Ok(Self { size, base })
    }
}

/// Fields that were not taken yet.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("a page is too short")?;
        self.0 = rest;
        Ok(*taken)
    }
}

/// Puts bytes at the beginning of a page.
pub(super) fn put(page: &mut Page, bytes: &[u8]) {
    page.iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
}

fn sum_of(page: &Page) -> [u8; 8] {
    xxh3_64(page.get(..SUM_AT).unwrap_or_default()).to_le_bytes()
}

pub(super) fn sum_up(page: &mut Page) {
    let sum = sum_of(page);
    if let Some(place) = page.last_chunk_mut() {
        *place = sum;
    }
}

pub(super) fn is_whole(page: &Page) -> bool {
    page.last_chunk() == Some(&sum_of(page))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_reads_back_as_written(size in 1..=SIZE_MAX, base in any::<[u8; 32]>()) {
            let header = Header { size, base };
            prop_assert_eq!(Header::decode(&header.encode()).unwrap(), header);
            prop_assert!(header.page_at(1, header.page_count()) <= header.data_at());
            prop_assert!(header.page_count() * PAGE_BITS >= header.block_count());
        }

        #[test]
        fn a_changed_header_is_refused(at in 0..PAGE_BYTES, bit in 0u32..8) {
            let mut page = Header { size: 1 << 30, base: [7; 32] }.encode();
            page[at] ^= 1u8 << bit;
            prop_assert!(Header::decode(&page).is_err());
        }
    }
}
