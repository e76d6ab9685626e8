//! Writing past the page cache.
//!
//! Takes a file that is open already and opens it once more with `O_DIRECT`. Large aligned writes
//! then go from the caller's memory to the storage: no copy, no pages to find, nothing left for
//! the final sync to write. Everything else is the caller's to write as usual; the kernel keeps
//! both ways coherent.
//!
//! Source: open(2), "O_DIRECT".

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::host_file::flags;
use crate::port::{bytes, capped};

/// Offsets, lengths and addresses are multiples of this; enough for every usual storage.
const ALIGNMENT: usize = 4096;

/// Smaller writes are left to the page cache, which joins neighbours before it writes.
const BYTES_MIN: usize = 256 << 10;

/// The second way into a file.
#[derive(Debug)]
pub(crate) struct DirectFile {
    file: File,
    /// The storage has refused; it is not asked again.
    is_refused: AtomicBool,
}

impl DirectFile {
    /// Opens what `file` is, found under `path`; nothing where that cannot be had.
    pub(crate) fn of(file: &File, path: &Path) -> Option<Self> {
        let direct = OpenOptions::new()
            .write(true)
            .custom_flags(flags(OFlags::DIRECT | OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(path)
            .ok()?;
        let (held, found) = (file.metadata().ok()?, direct.metadata().ok()?);
        let is_same = (held.dev(), held.ino()) == (found.dev(), found.ino());
        is_same.then_some(Self {
            file: direct,
            is_refused: AtomicBool::new(false),
        })
    }

    /// Writes as much of the beginning of `content` as can go this way; says how much.
    fn write_at(&self, offset: u64, content: &[u8]) -> io::Result<usize> {
        let length = content.len() - content.len() % ALIGNMENT;
        let is_aligned = offset.is_multiple_of(ALIGNMENT as u64)
            && content.as_ptr().addr().is_multiple_of(ALIGNMENT);
        if !is_aligned || length < BYTES_MIN || self.is_refused.load(Relaxed) {
            return Ok(0);
        }
        let (whole, _) = content.split_at(length);
        let mut done = 0;
        while let Some((_, rest)) = whole.split_at_checked(done).filter(|(_, r)| !r.is_empty()) {
            match self.file.write_at(rest, offset + bytes(done)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                // The next write would not be aligned.
                Ok(count) if !count.is_multiple_of(ALIGNMENT) => return Ok(done + count),
                Ok(count) => done += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_refusal(&e) => {
                    self.is_refused.store(true, Relaxed);
                    return Ok(done);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }
}

/// Writes all of `content` to `file`: past the page cache what can go past it.
pub(crate) fn write_all_at(
    file: &File,
    direct: Option<&DirectFile>,
    offset: u64,
    content: &[u8],
) -> io::Result<()> {
    let Some(direct) = direct.filter(|_| content.len() >= BYTES_MIN) else {
        return file.write_all_at(content, offset);
    };
    let odd = capped(offset % ALIGNMENT as u64, ALIGNMENT);
    let (head, rest) = content.split_at((ALIGNMENT - odd) % ALIGNMENT);
    file.write_all_at(head, offset)?;
    let offset = offset + bytes(head.len());
    let (_, tail) = rest.split_at(direct.write_at(offset, rest)?);
    file.write_all_at(tail, offset + bytes(rest.len() - tail.len()))
}

fn is_refusal(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(number, Some(Errno::INVAL | Errno::OPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of `memory` that begins at a multiple of the alignment.
    fn aligned(memory: &mut [u8], length: usize) -> &mut [u8] {
        let skip = memory.as_ptr().align_offset(ALIGNMENT);
        &mut memory[skip..skip + length]
    }

    #[test]
    fn only_what_is_aligned_and_large_goes_this_way() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let file = File::create(&path).unwrap();
        file.set_len(4 << 20).unwrap();
        let Some(direct) = DirectFile::of(&file, &path) else {
            return;
        };
        let mut memory = vec![7; (1 << 20) + ALIGNMENT];
        let content = aligned(&mut memory, 1 << 20);
        assert_eq!(direct.write_at(512, content).unwrap(), 0);
        assert_eq!(direct.write_at(0, &content[512..]).unwrap(), 0);
        assert_eq!(direct.write_at(0, &content[..ALIGNMENT]).unwrap(), 0);
        let done = direct.write_at(1 << 20, &content[..(1 << 20) - 1]).unwrap();
        let is_refused = direct.is_refused.load(Relaxed);
        assert_eq!(done, if is_refused { 0 } else { (1 << 20) - ALIGNMENT });
        let mut whole = vec![0; 4 << 20];
        whole[1 << 20..(1 << 20) + done].fill(7);
        assert!(std::fs::read(&path).unwrap() == whole);
    }

    #[test]
    fn every_byte_arrives_whatever_the_alignment() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let file = File::create(&path).unwrap();
        let direct = DirectFile::of(&file, &path);
        let mut memory: Vec<u8> = (0..(1 << 20)).map(|at: u32| (at / 511) as u8).collect();
        let content = aligned(&mut memory, (1 << 20) - ALIGNMENT);
        let odd = [0, 1, 512, 4095, 4096];
        for (at, skip) in odd.iter().flat_map(|at| odd.map(|skip| (*at, skip))) {
            for length in [0, 1, 5000, BYTES_MIN - 1, BYTES_MIN, 500_001] {
                let offset = (at + skip) as u64;
                let part = &content[skip..skip + length];
                file.set_len(0).unwrap();
                file.set_len(2 << 20).unwrap();
                write_all_at(&file, direct.as_ref(), offset, part).unwrap();
                let mut whole = vec![0; 2 << 20];
                whole[at + skip..at + skip + length].copy_from_slice(part);
                assert!(
                    std::fs::read(&path).unwrap() == whole,
                    "{at} {skip} {length}"
                );
            }
        }
    }

    #[test]
    fn another_file_under_the_name_is_not_written() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let file = File::create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(DirectFile::of(&file, &path).is_none());
        File::create(&path).unwrap();
        std::fs::write(place.path().join("other"), "").unwrap();
        let other = File::open(place.path().join("other")).unwrap();
        assert!(DirectFile::of(&other, &path).is_none());
    }
}
