//! Writing large files past the page cache.
//!
//! A pack is written once and not read soon. Past the cache it costs one copy instead of a page
//! of memory per 4 KiB, the sync at its end has nothing left to wait for, and the guests of the
//! host keep their cache. Where the file system refuses (tmpfs of old kernels, some FUSE and
//! network mounts), the same bytes go through the cache.
//!
//! Source: open(2), O_DIRECT: addresses, offsets and lengths in whole blocks.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::calls::is_not_offered;

/// From this length on a file goes past the cache, in bytes.
const LENGTH_MIN: usize = 1 << 20;

/// Handed to the kernel at once, in bytes.
const PIECE_BYTES: usize = 4 << 20;

/// Every block device and file system of today takes addresses and lengths in such units.
const ALIGNMENT: usize = 4096;

thread_local! {
    /// Room for one piece at an aligned address; kept, because every pack needs it.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes `content` at the file's position, the start of a new file.
pub(super) fn write_all(mut file: &File, content: &[u8]) -> io::Result<()> {
    let mut written = 0;
    if content.len() >= LENGTH_MIN && set_direct(file, true).is_ok() {
        let whole = content.len() - content.len() % ALIGNMENT;
        let past_cache = write_past_cache(file, &content[..whole], &mut written);
        set_direct(file, false)?;
        match past_cache {
            Err(error) if is_not_offered(&error) => {}
            past_cache => past_cache?,
        }
    }
    file.write_all(&content[written..])
}

fn write_past_cache(mut file: &File, content: &[u8], written: &mut usize) -> io::Result<()> {
    ROOM.with_borrow_mut(|room| {
        room.resize(PIECE_BYTES + ALIGNMENT, 0);
        let start = room.as_ptr().align_offset(ALIGNMENT);
        let Some(room) = room.get_mut(start..start + PIECE_BYTES) else {
            return Err(Errno::INVAL.into());
        };
        while *written < content.len() {
            let piece = &content[*written..content.len().min(*written + PIECE_BYTES)];
            let room = &mut room[..piece.len()];
            room.copy_from_slice(piece);
            match file.write(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                // A short write may end inside a block: the cache takes the rest.
                Ok(length) if length % ALIGNMENT != 0 => {
                    *written += length;
                    return Err(Errno::INVAL.into());
                }
                wrote => *written += wrote?,
            }
        }
        Ok(())
    })
}

fn set_direct(file: &File, is_direct: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, is_direct);
    Ok(fcntl_setfl(file, flags)?)
}
