//! One disk: its journal, and the files that follow from it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::record::{Deed, RECORD_BYTES, Record};

const JOURNAL: &str = "journal";

/// A journal's records that are in order, and what follows them.
pub(crate) struct Read {
    pub(crate) records: Vec<Record>,
    /// The checksum of the last one.
    pub(crate) sum: u64,
    /// Bytes behind the last record that is in order.
    pub(crate) surplus: usize,
}

/// The name of a file.
pub(crate) fn name_of(file: u64) -> String {
    format!("file{file}")
}

/// The name that a new content has until it is durable.
pub(crate) fn new_name_of(file: u64) -> String {
    format!("file{file}.new")
}

/// Reads the journal in a folder; one that is not there is empty.
pub(crate) fn read(folder: &Path) -> io::Result<Read> {
    let bytes = match fs::read(folder.join(JOURNAL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let mut found = Read {
        records: Vec::new(),
        sum: 0,
        surplus: bytes.len(),
    };
    for piece in bytes.chunks(RECORD_BYTES) {
        let Some((record, sum)) = Record::decode(piece, found.sum) else {
            break;
        };
        found.records.push(record);
        found.sum = sum;
        found.surplus -= RECORD_BYTES;
    }
    Ok(found)
}

/// A disk that is written to; everything is durable when a call returns.
pub(crate) struct Disk {
    folder: PathBuf,
    journal: File,
    count: u64,
    last: Option<Record>,
    sum: u64,
}

impl Disk {
    /// Opens the journal, or begins one.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(JOURNAL);
        let journal = File::options().create(true).append(true).open(path)?;
        journal.sync_all()?;
        File::open(folder)?.sync_all()?;
        let read = read(folder)?;
        if read.surplus > 0 {
            return Err(io::Error::other("the journal's end is no record"));
        }
        Ok(Self {
            folder: folder.to_owned(),
            journal,
            count: read.records.len() as u64,
            last: read.records.last().copied(),
            sum: read.sum,
        })
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn last(&self) -> Option<Record> {
        self.last
    }

    /// Adds a record.
    pub(crate) fn append(&mut self, record: &Record) -> io::Result<()> {
        let (bytes, sum) = record.encode(self.sum);
        self.journal.write_all(&bytes)?;
        self.journal.sync_all()?;
        (self.count, self.last, self.sum) = (self.count + 1, Some(*record), sum);
        Ok(())
    }

    /// Does what a record orders.
    pub(crate) fn obey(&self, record: &Record) -> io::Result<()> {
        let path = self.folder.join(name_of(record.file));
        match record.deed {
            Deed::Overwrite => {
                let mut options = File::options();
                let file = options.create(true).truncate(false).write(true);
                let file = file.open(path)?;
                file.write_all_at(&record.content(), record.offset)?;
                file.sync_all()?;
            }
            Deed::Replace => {
                let new = self.folder.join(new_name_of(record.file));
                let mut file = File::create(&new)?;
                file.write_all(&record.content())?;
                file.sync_all()?;
                fs::rename(new, path)?;
            }
        }
        File::open(&self.folder)?.sync_all()
    }
}
