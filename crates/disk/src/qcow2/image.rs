//! An open image file: its header, and what can be told without following names in it.

use std::path::Path;

use lifeboat_model::{ErrorKind, Extent};

use crate::host_file::HostFile;
use crate::port::{bytes, capped};
use crate::{Error, Result};

use super::fault::Checked;
use super::field::u64s;
use super::header::{self, Header, PROLOGUE_LENGTH};

/// A qcow2 file whose header was read; names in it are not followed.
#[derive(Debug)]
pub struct Qcow2Image {
    pub(crate) file: HostFile,
    pub(crate) header: Header,
}

/// Another file that an image states: its name as written, and its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedFile {
    /// Not checked: may be a path, or `json:` or a URL that only QEMU understands.
    pub name: Vec<u8>,
    /// Missing where the image does not say; never to be guessed.
    pub format: Option<String>,
}

impl Qcow2Image {
    /// Reads the header of the image at `path`.
    ///
    /// Errors: `Unsupported` for encryption, other versions and unknown features; `Corrupt`
    /// for an image that breaks the format or that QEMU has marked as corrupt.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(HostFile::open(path)?)
    }

    pub(crate) fn of(file: HostFile) -> Result<Self> {
        let mut first = vec![0; capped(file.length(), PROLOGUE_LENGTH)];
        file.read(0, &mut first)?;
        let faulty = |fault: super::fault::Fault| fault.of("opening", file.path());
        let bits = header::cluster_bits(&first).map_err(faulty)?;
        first.resize(capped(file.length(), 1 << bits), 0);
        file.read(0, &mut first)?;
        let header = Header::decode(&first).map_err(faulty)?;
        Ok(Self { file, header })
    }

    /// Bytes of the guest's view.
    pub fn size(&self) -> u64 {
        self.header.size
    }

    /// Bytes of a cluster.
    pub fn cluster_size(&self) -> u64 {
        self.header.geometry.cluster_size()
    }

    /// The backing file that the image states.
    pub fn backing(&self) -> Option<StatedFile> {
        let name = self.header.backing_name.clone()?;
        let format = self.header.backing_format.as_ref();
        let format = format.map(|format| String::from_utf8_lossy(format).into_owned());
        Some(StatedFile { name, format })
    }

    /// The external data file that the image states; always raw.
    pub fn data_file(&self) -> Option<StatedFile> {
        let name = self
            .header
            .has_external_data
            .then(|| self.header.data_file_name.clone());
        let format = Some("raw".to_owned());
        name.map(|name| StatedFile {
            name: name.unwrap_or_default(),
            format,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn checked<T>(&self, doing: &'static str, result: Checked<T>) -> Result<T> {
        result.map_err(|fault| fault.of(doing, self.path()))
    }

    pub(crate) fn corrupt(&self, doing: &'static str, at: u64, seen: &'static str) -> Error {
        Error::new(ErrorKind::Corrupt, doing, self.path())
            .at(at)
            .seen(seen)
    }

    /// Reads a table of 64-bit numbers that must lie within the file.
    pub(crate) fn read_table(&self, offset: u64, entries: u64) -> Result<Vec<u64>> {
        let mut table = vec![0; self.table_length(offset, entries)?];
        self.file.read(offset, &mut table)?;
        Ok(u64s(&table).collect())
    }

    /// Bytes of such a table, once it is certain that the file is at least that long.
    pub(crate) fn table_length(&self, offset: u64, entries: u64) -> Result<usize> {
        let outside = || self.corrupt("reading", offset, "a table lies outside the file");
        let length = entries.checked_mul(8).ok_or_else(outside)?;
        match Extent::at(offset, length) {
            Some(table) if table.end() > self.file.length() => Err(outside()),
            None if length > 0 => Err(outside()),
            _ => usize::try_from(length).map_err(|_| outside()),
        }
    }

    /// `Corrupt` unless `length` bytes at `offset` lie within the file.
    pub(crate) fn require_inside(&self, offset: u64, length: usize) -> Result<()> {
        match offset.checked_add(bytes(length)) {
            Some(end) if end <= self.file.length() => Ok(()),
            _ => Err(self.corrupt(
                "reading",
                offset,
                "what should be there lies outside the file",
            )),
        }
    }
}
