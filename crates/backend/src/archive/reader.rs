//! An archive that is finished.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use lifeboat_model::ErrorKind;

use super::scan::{Table, scan};
use super::{Place, error, io_error, read_place};
use crate::{Backend, Call, Doing, Error, FileHandle, FileKind, Listed, Memory, Result};

/// Serves the files of an archive; takes nothing but locks, and those in memory.
///
/// Cost: one read of 512 bytes a member when opened; about 100 bytes of memory each.
#[derive(Debug)]
pub struct ArchiveReader {
    path: PathBuf,
    file: File,
    table: Table,
    locks: Memory,
}

impl ArchiveReader {
    /// Opens the archive at `path`.
    ///
    /// Members that are no files of a repository are passed over, locks too.
    ///
    /// Errors: `Invalid` if it is no archive; `Corrupt` if it was cut off or is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e| io_error(Doing::Open, path, e);
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            let seen = "it is no archive: not a regular file";
            return Err(error(ErrorKind::Invalid, Doing::Open, path).seen(seen));
        }
        let table = scan(&file, path)?;
        let locks = Memory::new();
        locks.create()?;
        Ok(Self {
            path: path.to_owned(),
            file,
            table,
            locks,
        })
    }

    fn error(&self, kind: ErrorKind, call: Call) -> Error {
        error(kind, Doing::Call(call), &self.path)
    }

    fn place(&self, call: Call, file: FileHandle) -> Result<Place> {
        let found = self.table.get(&file).copied();
        found.ok_or_else(|| {
            let error = self.error(ErrorKind::NotFound, call).on(file);
            error.seen("it is not in the archive")
        })
    }

    fn read_at(&self, call: Call, at: (FileHandle, u64), buffer: &mut [u8]) -> Result<()> {
        let (file, offset) = at;
        let place = self.place(call, file)?;
        read_place(&self.file, (place, offset), buffer).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                let seen = format!("the file ends before byte {offset} + {}", buffer.len());
                self.error(ErrorKind::Corrupt, call).on(file).seen(seen)
            }
            _ => io_error(Doing::Call(call), &self.path, e).on(file),
        })
    }

    fn read_only(&self, call: Call) -> Error {
        let error = self.error(ErrorKind::Unsupported, call);
        error.seen("an archive is not changed; import it into a repository")
    }
}

impl Backend for ArchiveReader {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn create(&self) -> Result<()> {
        Err(self.read_only(Call::Create))
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        if kind == FileKind::Lock {
            return self.locks.list(kind);
        }
        if !self.table.contains_key(&FileHandle::CONFIG) {
            let error = self.error(ErrorKind::NotFound, Call::List).listing(kind);
            return Err(error.seen("there is no repository in the archive"));
        }
        let files = self.table.iter().filter(|(file, _)| file.kind == kind);
        let listed = files.map(|(file, place)| Listed {
            id: file.id,
            size: place.size,
        });
        Ok(listed.collect())
    }

    fn size(&self, file: FileHandle) -> Result<u64> {
        match file.kind {
            FileKind::Lock => self.locks.size(file),
            _ => Ok(self.place(Call::Size, file)?.size),
        }
    }

    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        if file.kind == FileKind::Lock {
            return self.locks.load(file);
        }
        let place = self.place(Call::Load, file)?;
        let mut content = vec![0; usize::try_from(place.size).unwrap_or(0)];
        self.read_at(Call::Load, (file, 0), &mut content)?;
        Ok(content)
    }

    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        match file.kind {
            FileKind::Lock => self.locks.read(file, offset, buffer),
            _ => self.read_at(Call::Read, (file, offset), buffer),
        }
    }

    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        match file.kind {
            FileKind::Lock => self.locks.save(file, content),
            _ => Err(self.read_only(Call::Save).on(file)),
        }
    }

    fn remove(&self, file: FileHandle) -> Result<()> {
        match file.kind {
            FileKind::Lock => self.locks.remove(file),
            _ => Err(self.read_only(Call::Remove).on(file)),
        }
    }
}
