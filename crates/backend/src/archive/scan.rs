//! Reading the table of an archive: all headers once, no content.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use lifeboat_model::ErrorKind;

use super::header::{Block, HEADER_BYTES, Header, MemberKind, decode};
use super::{BLOCK, Place, error, io_error, names};
use crate::{Doing, Error, FileHandle, FileKind, Result};

/// Limit: members of an archive; 128 TiB in packs of 32 MiB.
const MEMBERS_MAX: u64 = 4 << 20;

/// Limit: bytes of records or of a long name in front of a member.
const RECORDS_BYTES_MAX: u64 = 1 << 20;

/// The files of an archive and where they lie; locks are left out.
pub(super) type Table = BTreeMap<FileHandle, Place>;

/// Reads all headers.
///
/// Errors: `Invalid` if it is no archive at all; `Corrupt` if it was cut off, if a header is
/// broken, or if a file is there twice.
pub(super) fn scan(file: &File, path: &Path) -> Result<Table> {
    let length = file
        .metadata()
        .map_err(|e| io_error(Doing::Open, path, e))?;
    let mut scan = Scan {
        file,
        path,
        length: length.len(),
        offset: 0,
        stated: Stated::default(),
        table: Table::new(),
    };
    for _ in 0..MEMBERS_MAX {
        if !scan.step()? {
            return Ok(scan.table);
        }
    }
    Err(scan.corrupt(format!("it has more than {MEMBERS_MAX} members")))
}

/// What was said of the next member in front of it.
#[derive(Default)]
struct Stated {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

struct Scan<'a> {
    file: &'a File,
    path: &'a Path,
    length: u64,
    offset: u64,
    stated: Stated,
    table: Table,
}

impl Scan<'_> {
    /// Reads one header; `false` at the archive's end.
    fn step(&mut self) -> Result<bool> {
        let mut block = [0; HEADER_BYTES];
        self.read(self.offset, &mut block)?;
        match decode(&block) {
            Block::Header(header) => {
                self.member(header)?;
                Ok(true)
            }
            Block::Broken(_) | Block::Zeros if self.offset == 0 => {
                let seen = "it is no archive: it does not begin with a tar header";
                Err(error(ErrorKind::Invalid, Doing::Open, self.path).seen(seen))
            }
            Block::Broken(seen) => Err(self.corrupt(format!("{seen} at byte {}", self.offset))),
            Block::Zeros => {
                self.read(self.offset + BLOCK, &mut block)?;
                match decode(&block) {
                    Block::Zeros => Ok(false),
                    _ => Err(self.corrupt(format!("an empty block at byte {}", self.offset))),
                }
            }
        }
    }

    fn member(&mut self, header: Header) -> Result<()> {
        let content = self.offset + BLOCK;
        let is_about_next = matches!(header.kind, MemberKind::Records | MemberKind::LongName);
        let stated = if is_about_next {
            Stated::default()
        } else {
            std::mem::take(&mut self.stated)
        };
        let size = match header.kind {
            MemberKind::Folder => 0,
            _ => stated.size.unwrap_or(header.size),
        };
        let end = content
            .checked_add(size)
            .filter(|end| *end <= self.length)
            .ok_or_else(|| self.cut_off())?;
        let place = Place {
            offset: content,
            size,
        };
        match header.kind {
            MemberKind::Records => self.take_records(place)?,
            MemberKind::LongName => self.take_name(place)?,
            kind => self.take(&stated.name.unwrap_or(header.name), kind, place)?,
        }
        self.offset = end.next_multiple_of(BLOCK);
        Ok(())
    }

    fn take(&mut self, name: &[u8], kind: MemberKind, place: Place) -> Result<()> {
        let Some(file) = names::file(name) else {
            return Ok(());
        };
        if file.kind == FileKind::Lock {
            return Ok(());
        }
        if kind != MemberKind::File {
            return Err(self.corrupt("its content is not in the archive").on(file));
        }
        if place.size > file.kind.bytes_max() {
            let seen = format!("it has {} bytes, more than any sound one", place.size);
            return Err(self.corrupt(seen).on(file));
        }
        if self.table.insert(file, place).is_some() {
            return Err(self.corrupt("it is in the archive twice").on(file));
        }
        Ok(())
    }

    fn take_name(&mut self, place: Place) -> Result<()> {
        let mut name = self.load(place)?;
        name.truncate(
            name.iter()
                .position(|byte| *byte == 0)
                .unwrap_or(name.len()),
        );
        self.stated.name = Some(name);
        Ok(())
    }

    /// Takes `size` and `path` out of records like `20 size=8589934592\n`.
    fn take_records(&mut self, place: Place) -> Result<()> {
        let records = self.load(place)?;
        let mut rest = records.as_slice();
        while rest.first().is_some_and(|byte| *byte != 0) {
            let Some((key, value, later)) = record(rest) else {
                return Err(self.corrupt(format!("broken records at byte {}", place.offset)));
            };
            match key {
                b"path" => self.stated.name = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|t| t.parse().ok());
                    let broken = || self.corrupt("a record states an impossible size");
                    self.stated.size = Some(size.ok_or_else(broken)?);
                }
                _ => {}
            }
            rest = later;
        }
        Ok(())
    }

    fn load(&self, place: Place) -> Result<Vec<u8>> {
        if place.size > RECORDS_BYTES_MAX {
            return Err(self.corrupt(format!("over 1 MiB of records at byte {}", place.offset)));
        }
        let mut content = vec![0; usize::try_from(place.size).unwrap_or(0)];
        self.read(place.offset, &mut content)?;
        Ok(content)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        match self.file.read_exact_at(buffer, offset) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(self.cut_off()),
            read => read.map_err(|e| io_error(Doing::Open, self.path, e)),
        }
    }

    fn cut_off(&self) -> Error {
        if self.offset == 0 {
            let seen = "it is no archive: it is too short";
            return error(ErrorKind::Invalid, Doing::Open, self.path).seen(seen);
        }
        self.corrupt(format!(
            "the archive was cut off: it has {} bytes, and the member at byte {} goes on; \
             copy it again from where it was made",
            self.length, self.offset
        ))
    }

    fn corrupt(&self, seen: impl Into<String>) -> Error {
        error(ErrorKind::Corrupt, Doing::Open, self.path).seen(seen)
    }
}

/// The first record: key, value, and what follows.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let text = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=')?;
    Some((&text[..equals], &text[equals + 1..], &bytes[length..]))
}
