//! The port: what every source and every target of a disk's bytes can do.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use lifeboat_model::{ErrorKind, Extent, ParseError};

use crate::{Error, Result};

/// What is known about a range of a disk without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtentState {
    /// Must be read; may hold zeros.
    Data,
    /// Certainly reads as zeros.
    Zero,
}

/// A range of a disk and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedExtent {
    /// The range, in bytes of the guest's view.
    pub extent: Extent,
    /// The state that all of it has.
    pub state: ExtentState,
}

/// A disk that can be read at any place, by several threads at once.
pub trait DiskReader: Send + Sync {
    /// Bytes of the guest's view; constant while the reader lives.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// Errors: `Invalid` if the range ends beyond `size`; `Corrupt` if the image breaks its
    /// format or has become shorter. After an error the buffer's content is undefined.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// The state of the disk from `offset` on: one extent that starts there.
    ///
    /// Never empty, ends at or before `size`. Neighbours may have the same state.
    ///
    /// Errors: `Invalid` if `offset` is not below `size`.
    fn next_extent(&self, offset: u64) -> Result<MappedExtent>;
}

/// A disk that is being written; positional, callable from several threads at once.
///
/// Writes that overlap and run at the same time leave either content.
/// A writer that is dropped without `finish` leaves the target as incomplete as it was.
pub trait DiskWriter: Send + Sync {
    /// Bytes of the guest's view.
    fn size(&self) -> u64;

    /// Writes `bytes` at `offset`.
    ///
    /// Errors: `Invalid` if the range ends beyond `size` or the writer is finished.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes `length` bytes at `offset` read as zeros, without occupying space where possible.
    fn zero_at(&self, offset: u64, length: u64) -> Result<()>;

    /// Makes everything durable; only on its success the target has its final name.
    ///
    /// To be called once, after all writes have returned. After a failure the writer refuses
    /// everything: what reached the disk is unknown.
    fn finish(&self) -> Result<()>;

    /// Frees the room of a target that will not be finished, where it has no final name yet.
    ///
    /// Allowed after a failure, also one of `finish`.
    fn give_up(&self) -> Result<()> {
        Ok(())
    }

    /// Says whether bytes that were not written yet will certainly read as zeros.
    ///
    /// If so, zero ranges need no `zero_at`.
    fn is_blank(&self) -> bool {
        false
    }

    /// Says whether large aligned writes wait for the storage itself.
    ///
    /// If so, more threads than processors keep both busy, and memory and offset of a write
    /// should be multiples of 4096.
    fn is_direct(&self) -> bool {
        false
    }

    /// Reads what the target holds now, so that equal content need not be written again.
    ///
    /// Errors: `Unsupported` where the target cannot be read while it is written.
    fn read_back(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let _ = (offset, buffer);
        Err(Error::new(
            ErrorKind::Unsupported,
            "reading back",
            Path::new("the target"),
        )
        .seen("this target cannot be read while it is written"))
    }
}

/// How a file holds a disk.
///
/// Never probed: a guest can write any header into a raw disk (CVE-2026-24708 and others).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// The disk's bytes as they are; also block devices.
    Raw,
    /// QEMU's copy-on-write format, versions 2 and 3.
    Qcow2,
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        })
    }
}

impl FromStr for ImageFormat {
    type Err = ParseError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseError> {
        match text {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            _ => Err(ParseError::new("image format", text, "write raw or qcow2")),
        }
    }
}

/// The range of `length` bytes at `offset`, or `Invalid` if it ends beyond `size`.
///
/// Gives nothing for a length of zero.
pub(crate) fn range_within(
    (offset, length): (u64, u64),
    size: u64,
    doing: &'static str,
    path: &Path,
) -> Result<Option<Extent>> {
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(Extent::new(offset, end)),
        _ => Err(Error::new(ErrorKind::Invalid, doing, path)
            .at(offset)
            .seen(format!(
                "{length} bytes there end beyond the disk's {size} bytes"
            ))),
    }
}

/// A count of bytes in memory as a count of bytes on disk.
pub(crate) fn bytes(length: usize) -> u64 {
    // A usize has at most 64 bits on every platform that Rust supports.
    length as u64
}

/// A count of bytes on disk, cut at `most`, as a count of bytes in memory.
pub(crate) fn capped(length: u64, most: usize) -> usize {
    usize::try_from(length).unwrap_or(most).min(most)
}
