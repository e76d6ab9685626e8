//! The store of a classic snapshot: which chunks its origin has overwritten since.
//!
//! Takes the store's bytes through a reading function; gives the chunks that its tables name.
//!
//! Order: the kernel makes an entry durable before it lets the origin's chunk be overwritten,
//! and never changes an entry: after a loss of power the store must be whole at any moment. So a
//! read at any time, also of a store in use, finds every chunk that was overwritten before the
//! read began, and perhaps later ones. The read must come from the storage: the kernel writes
//! past the page cache.
//!
//! Layout, in chunks: header, then areas of one table and as many data chunks as it has entries.
//! Header: magic, valid, version, sectors in a chunk (four 32-bit numbers). Entry: chunk of the
//! origin, chunk of the store (two 64-bit numbers); the first without a chunk of the store ends
//! the list. All little-endian.
//!
//! Source: Linux, drivers/md/dm-snap-persistent.c; checked against real stores in a guest.

use lifeboat_model::{Extent, ExtentSet};

/// "SnAp".
const MAGIC: u32 = 0x7041_6e53;
/// The only version of the layout.
const VERSION: u32 = 1;
/// Bytes of the unit that the kernel counts in.
const SECTOR: u64 = 512;
/// Limit: LVM makes chunks of 4 KiB to 512 KiB.
const CHUNK_BYTES_MAX: u64 = 1 << 20;
/// Smallest read, and what reads are multiples of.
const BLOCK: u64 = 4096;
/// Bytes of an entry.
const ENTRY: u64 = 16;

/// Gives the bytes at an offset; fewer at the store's end.
pub type ReadStore<'a> = &'a dyn Fn(u64, usize) -> Result<Vec<u8>, String>;

/// What a store's tables say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overwritten {
    /// Bytes of the origin that were overwritten since the snapshot.
    pub changed: ExtentSet,
    /// How many entries the tables have.
    pub entries: u64,
}

/// Reads a store's tables for an origin of `disk_size` bytes.
///
/// Errors: what is wrong with the store, for people.
pub fn read_store(read: ReadStore<'_>, disk_size: u64) -> Result<Overwritten, String> {
    let chunk = chunk_size(read)?;
    let per_area = chunk / ENTRY;
    let mut found = Overwritten::default();
    for area in 0.. {
        let table = 1 + area * (per_area + 1);
        let offset = table
            .checked_mul(chunk)
            .ok_or("a table lies beyond its end")?;
        let bytes = read(
            offset,
            usize::try_from(chunk).map_err(|_| "its chunks are too large")?,
        )?;
        // A store that is full ends with its last area.
        let is_last = area > 0 && bytes.is_empty();
        if is_last || !take_area(&bytes, chunk, disk_size, &mut found)? {
            break;
        }
    }
    // It may have overflowed while its tables were read.
    if chunk_size(read)? != chunk {
        return Err("its header changed while it was read".to_owned());
    }
    Ok(found)
}

/// Bytes of a chunk, by a header that says the store is valid.
fn chunk_size(read: ReadStore<'_>) -> Result<u64, String> {
    let header = read(0, 4096)?;
    let number = |at: usize| number_32(&header, at).ok_or("its header is cut off");
    if number(0)? != MAGIC {
        return Err("it has no header of a snapshot's store".to_owned());
    }
    if number(4)? != 1 {
        return Err("it overflowed: its header says invalid".to_owned());
    }
    if number(8)? != VERSION {
        return Err(format!("its layout has version {}", number(8)?));
    }
    let chunk = u64::from(number(12)?) * SECTOR;
    if chunk.is_power_of_two() && (BLOCK..=CHUNK_BYTES_MAX).contains(&chunk) {
        Ok(chunk)
    } else {
        Err(format!("its chunks have {chunk} bytes"))
    }
}

/// Takes the entries of an area; says whether it is full, so that another follows.
fn take_area(
    bytes: &[u8],
    chunk: u64,
    disk_size: u64,
    found: &mut Overwritten,
) -> Result<bool, String> {
    if u64::try_from(bytes.len()).ok() != Some(chunk) {
        return Err("a table is cut off".to_owned());
    }
    for entry in bytes.chunks_exact(16) {
        let (old, new) = (number_64(entry, 0), number_64(entry, 8));
        let (Some(old), Some(new)) = (old, new) else {
            return Err("a table is cut off".to_owned());
        };
        if new == 0 {
            return Ok(false);
        }
        let start = old.checked_mul(chunk).filter(|start| *start < disk_size);
        let start = start.ok_or_else(|| format!("it names chunk {old} beyond the disk"))?;
        let end = start.saturating_add(chunk).min(disk_size);
        found.changed.extend(Extent::new(start, end));
        found.entries += 1;
    }
    Ok(true)
}

fn number_32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn number_64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// How many entries the kernel counts, by the status line of the snapshot's device.
///
/// `start length snapshot used/total metadata`, all in sectors; `chunk` in bytes.
/// Nothing if the snapshot is lost.
pub(crate) fn counted_entries(status: &str, chunk: u64) -> Option<u64> {
    let words: Vec<&str> = status.split_ascii_whitespace().collect();
    let [_, _, "snapshot", used, metadata] = words.as_slice() else {
        return None;
    };
    let used: u64 = used.split_once('/')?.0.parse().ok()?;
    let metadata: u64 = metadata.parse().ok()?;
    let sectors = used.checked_sub(metadata)?;
    sectors.checked_mul(SECTOR)?.checked_div(chunk)
}

/// Bytes of a chunk of a store that is in use.
pub(crate) fn chunk_bytes(read: ReadStore<'_>) -> Result<u64, String> {
    chunk_size(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 4096;

    /// A store with these chunks named, as the kernel lays it out.
    fn store(named: &[u64]) -> Vec<u8> {
        let areas = named.len() / 256 + 1;
        let mut bytes = vec![0; (1 + areas * 257) * CHUNK];
        for (at, value) in [(0, MAGIC), (4, 1), (8, 1), (12, 8)] {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        for (index, chunk) in named.iter().enumerate() {
            let at = (1 + index / 256 * 257) * CHUNK + index % 256 * 16;
            bytes[at..at + 8].copy_from_slice(&chunk.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&(index as u64 + 2).to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8], disk_size: u64) -> Result<Overwritten, String> {
        let read = |offset: u64, length: usize| {
            let from = bytes.len().min(offset as usize);
            Ok(bytes[from..bytes.len().min(from + length)].to_vec())
        };
        read_store(&read, disk_size)
    }

    #[test]
    fn every_named_chunk_is_changed_in_any_number_of_areas() {
        for count in [0, 1, 255, 256, 257, 512, 513] {
            let named: Vec<u64> = (0..count).map(|it| it * 2).collect();
            let found = read(&store(&named), 2000 * 4096 - 100).unwrap();
            assert_eq!(found.entries, count);
            assert_eq!(found.changed.byte_count(), count * 4096);
        }
        let last = read(&store(&[1]), 4096 + 10).unwrap();
        assert_eq!(last.changed.byte_count(), 10);
    }

    #[test]
    fn a_full_store_ends_with_its_last_area() {
        let mut bytes = store(&(0..256).collect::<Vec<_>>());
        bytes.truncate(258 * CHUNK);
        assert_eq!(read(&bytes, 1 << 30).unwrap().entries, 256);
    }

    #[test]
    fn a_store_in_doubt_is_refused() {
        let good = store(&[5]);
        assert!(
            read(&good, 4 * 4096)
                .unwrap_err()
                .contains("beyond the disk")
        );
        for (at, value) in [(0, 0_u32), (4, 0), (8, 2), (12, 7), (12, 1 << 20)] {
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert!(read(&bytes, 1 << 30).is_err(), "{at}");
        }
        assert!(read(&good[..100], 1 << 30).is_err());
        assert!(read(&good[..CHUNK + 100], 1 << 30).is_err());
    }

    #[test]
    fn the_kernel_counts_entries_without_its_tables() {
        let status = "0 32768 snapshot 4128/8192 32\n";
        assert_eq!(counted_entries(status, 4096), Some(512));
        assert_eq!(counted_entries("0 32768 snapshot Invalid\n", 4096), None);
        assert_eq!(counted_entries("0 8192 linear \n", 4096), None);
    }
}
