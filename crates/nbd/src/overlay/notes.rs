//! Blocks that were taken over and not flushed yet, noted behind the disk's bytes.
//!
//! A machine goes on when the process that serves it dies, and asks the next one to flush what
//! the dead one had answered: those writes must be there. The kernel keeps them until the power
//! fails; so the blocks that they took over are noted in the file before they are answered, and
//! not synced. A note is worth something only until the computer starts anew: of an un-synced
//! block, a part may be missing then, and the machine that had not flushed it is gone too.
//!
//! Layout, little-endian: the boot's name (16 bytes), then of each run of blocks the first and
//! the one behind the last (8 bytes each). A note that a dying process wrote in part is none.

use std::fs;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::bitmap::Bitmap;
use super::header::Header;
use super::storage::Storage;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const BOOT_BYTES: usize = 16;
const NOTE_BYTES: usize = 16;
/// Notes that are read at once.
const NOTES_READ: u64 = 4096;

/// Names the time since the computer was started.
pub(super) type Boot = [u8; BOOT_BYTES];

/// The name of this boot, as the kernel gives it.
pub(super) fn this_boot() -> io::Result<Boot> {
    let text = fs::read_to_string(BOOT_ID)?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&digits, 16);
    let number = number.map_err(|e| io::Error::other(format!("{BOOT_ID}: {e}")))?;
    Ok(number.to_be_bytes())
}

/// The notes at the end of an overlay's file.
pub(super) struct Notes {
    boot: Boot,
    /// Where they begin.
    at: u64,
    count: Mutex<u64>,
}

impl Notes {
    /// Takes the blocks that are noted into `bitmap`; notes of an earlier boot are removed.
    pub(super) fn open(
        file: &dyn Storage,
        header: &Header,
        boot: Boot,
        bitmap: &mut Bitmap,
    ) -> io::Result<Self> {
        let at = header.file_length();
        let length = file.length()?.saturating_sub(at);
        let mut found = Boot::default();
        if length >= BOOT_BYTES as u64 {
            file.read_at(at, &mut found)?;
        }
        let mut count = 0;
        if found == boot {
            count = (length - BOOT_BYTES as u64) / NOTE_BYTES as u64;
            read(file, at + BOOT_BYTES as u64, count, header, bitmap)?;
        } else if length > 0 {
            file.set_length(at)?;
        }
        let count = Mutex::new(count);
        Ok(Self { boot, at, count })
    }

    /// Notes a run of blocks; they are known to whoever opens the file after this process.
    ///
    /// Order: before the bitmap has them, and while nobody takes its pages.
    pub(super) fn add(&self, file: &dyn Storage, blocks: &Range<u64>) -> io::Result<()> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let mut note = Vec::with_capacity(BOOT_BYTES + NOTE_BYTES);
        let mut at = self.at;
        match *count {
            0 => note.extend(self.boot),
            some => at += BOOT_BYTES as u64 + some * NOTE_BYTES as u64,
        }
        note.extend(blocks.start.to_le_bytes());
        note.extend(blocks.end.to_le_bytes());
        file.write_at(at, &note)?;
        *count += 1;
        Ok(())
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the notes once their blocks are flushed, if there are no more than `count`.
    ///
    /// Limit: one note for a block while writers leave no flush alone, 16 bytes for 64 KiB.
    pub(super) fn forget(&self, file: &dyn Storage, count: u64) -> io::Result<()> {
        let mut now = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if *now == count && count > 0 {
            file.set_length(self.at)?;
            *now = 0;
        }
        Ok(())
    }
}

fn read(
    file: &dyn Storage,
    mut at: u64,
    count: u64,
    header: &Header,
    bitmap: &mut Bitmap,
) -> io::Result<()> {
    let mut left = count;
    while left > 0 {
        let step = left.min(NOTES_READ);
        let mut bytes = vec![0; usize::try_from(step).unwrap_or(0) * NOTE_BYTES];
        file.read_at(at, &mut bytes)?;
        for note in bytes.chunks_exact(NOTE_BYTES) {
            let blocks = blocks_of(note).filter(|it| it.end <= header.block_count());
            let blocks = blocks.ok_or_else(|| {
                let seen = "it notes blocks that the disk does not have";
                io::Error::new(io::ErrorKind::InvalidData, seen)
            })?;
            blocks.for_each(|block| bitmap.set(block));
        }
        left -= step;
        at += step * NOTE_BYTES as u64;
    }
    Ok(())
}

fn blocks_of(note: &[u8]) -> Option<Range<u64>> {
    let (start, end) = note.split_first_chunk::<8>()?;
    let end = end.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*start)..u64::from_le_bytes(*end))
}
