//! A repository in one file: an uncompressed tar that holds an ordinary restic repository.
//!
//! Takes a path; [`ArchiveWriter`] appends files to a new archive, [`ArchiveReader`] serves the
//! files of a finished one. `tar x` gives a folder that stock restic opens.
//! Does not replace, remove or compress anything in an archive.
//!
//! Locks exist in memory only: nobody shares an archive that is being written or read.
//!
//! Source: POSIX pax interchange format (ustar); GNU tar's manual, "Extensions".

mod header;
mod names;
mod reader;
mod scan;
mod work;
mod writer;

use std::io;
use std::path::Path;

use lifeboat_model::ErrorKind;

use crate::{Doing, Error};

pub use reader::ArchiveReader;
pub use writer::ArchiveWriter;

/// A tar consists of blocks of this many bytes.
const BLOCK: u64 = 512;

/// Where the content of a file lies in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: u64,
    size: u64,
}

fn error(kind: ErrorKind, doing: Doing, path: &Path) -> Error {
    Error::new(kind, doing, path.display().to_string())
}

fn io_error(doing: Doing, path: &Path, source: io::Error) -> Error {
    let kind = ErrorKind::of_io(&source);
    let seen = match kind {
        ErrorKind::Full => "no space left; make room on that file system".to_owned(),
        ErrorKind::Denied => "access denied".to_owned(),
        ErrorKind::NotFound => "it does not exist".to_owned(),
        _ => source.kind().to_string(),
    };
    error(kind, doing, path).seen(seen).caused_by(source)
}

/// Reads a part of a member, never beyond its end.
fn read_place(
    source: &std::fs::File,
    (place, offset): (Place, u64),
    buffer: &mut [u8],
) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let end = offset.checked_add(buffer.len() as u64);
    if end.is_none_or(|end| end > place.size) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    source.read_exact_at(buffer, place.offset + offset)
}
