//! An archive that is being written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use lifeboat_model::{Clock, ErrorKind};

use super::header::{HEADER_BYTES, encode};
use super::work::WorkFile;
use super::{BLOCK, Place, error, io_error, names, read_place};
use crate::{Backend, Call, Doing, Error, FileHandle, FileKind, Listed, Memory, Result};

/// tar programs read and write in records of 20 blocks.
const RECORD: u64 = 20 * BLOCK;

/// Appends files to a new archive.
///
/// Other than [`Backend`] promises, nothing is durable before [`ArchiveWriter::finish`]; an
/// archive that is dropped before is removed. Only locks can be removed or replaced.
#[derive(Debug)]
pub struct ArchiveWriter {
    target: PathBuf,
    seconds: u64,
    locks: Memory,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    work: WorkFile,
    end: u64,
    is_created: bool,
    files: BTreeMap<FileHandle, Place>,
    folders: BTreeSet<String>,
    /// A failed write leaves a gap that no tar program can read over.
    is_broken: bool,
}

impl ArchiveWriter {
    /// Begins an archive that will be at `target`; its members get the time of `clock`.
    ///
    /// Errors: `Exists` if something is there; `Busy` if another process is writing it.
    pub fn create(target: &Path, clock: &dyn Clock) -> Result<Self> {
        let work = WorkFile::begin(target)?;
        let locks = Memory::new();
        locks.create()?;
        let state = State {
            work,
            end: 0,
            is_created: false,
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            is_broken: false,
        };
        Ok(Self {
            target: target.to_owned(),
            seconds: u64::try_from(clock.now().as_second()).unwrap_or(0),
            locks,
            state: Mutex::new(state),
        })
    }

    /// Ends the archive, makes it durable and gives it its name; gives its size in bytes.
    ///
    /// Errors: `Exists` if something took the name meanwhile; `Io` if an earlier save failed.
    pub fn finish(&self) -> Result<u64> {
        let mut state = self.state();
        if state.is_broken || !state.files.contains_key(&FileHandle::CONFIG) {
            let error = error(ErrorKind::Io, Doing::Finish, &self.target);
            return Err(error.seen("it is not complete: an earlier write failed"));
        }
        let end = (state.end + 2 * BLOCK).next_multiple_of(RECORD);
        let sized = state.work.file.set_len(end);
        sized.map_err(|e| io_error(Doing::Finish, &self.target, e))?;
        state.work.publish()?;
        // Nothing can be added to a finished archive.
        state.is_broken = true;
        Ok(end)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    fn error(&self, kind: ErrorKind, call: Call) -> Error {
        error(kind, Doing::Call(call), &self.target)
    }

    fn place(&self, call: Call, file: FileHandle) -> Result<Place> {
        let found = self.state().files.get(&file).copied();
        found.ok_or_else(|| {
            let error = self.error(ErrorKind::NotFound, call).on(file);
            error.seen("it is not in the archive")
        })
    }

    fn read_at(&self, call: Call, at: (FileHandle, u64), buffer: &mut [u8]) -> Result<()> {
        let (file, offset) = at;
        let place = self.place(call, file)?;
        let read = read_place(&self.state().work.file, (place, offset), buffer);
        read.map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                let seen = format!("the file ends before byte {offset} + {}", buffer.len());
                self.error(ErrorKind::Corrupt, call).on(file).seen(seen)
            }
            _ => io_error(Doing::Call(call), &self.target, e).on(file),
        })
    }
}

impl State {
    /// Appends a member; after a failure nothing more can be appended.
    fn append(&mut self, name: &str, content: &[u8], seconds: u64) -> io::Result<Place> {
        if self.is_broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        self.is_broken = true;
        let size = content.len() as u64;
        let place = Place {
            offset: self.end + HEADER_BYTES as u64,
            size,
        };
        let file = &self.work.file;
        file.write_all_at(&encode(name, size, seconds), self.end)?;
        file.write_all_at(content, place.offset)?;
        let end = (place.offset + size).next_multiple_of(BLOCK);
        let padding = [0; BLOCK as usize];
        let missing = usize::try_from(end - place.offset - size).unwrap_or(0);
        file.write_all_at(&padding[..missing], place.offset + size)?;
        self.end = end;
        self.is_broken = false;
        Ok(place)
    }

    fn append_folder(&mut self, name: String, seconds: u64) -> io::Result<()> {
        if !self.folders.contains(&name) {
            self.append(&name, &[], seconds)?;
            self.folders.insert(name);
        }
        Ok(())
    }
}

impl Backend for ArchiveWriter {
    fn location(&self) -> String {
        self.target.display().to_string()
    }

    fn create(&self) -> Result<()> {
        let mut state = self.state();
        if state.files.contains_key(&FileHandle::CONFIG) {
            return Err(self.error(ErrorKind::Exists, Call::Create));
        }
        for folder in names::FOLDERS {
            let made = state.append_folder(folder.to_owned(), self.seconds);
            made.map_err(|e| io_error(Doing::Call(Call::Create), &self.target, e))?;
        }
        state.is_created = true;
        Ok(())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        if kind == FileKind::Lock {
            return self.locks.list(kind);
        }
        let state = self.state();
        if !state.is_created {
            return Err(self.error(ErrorKind::NotFound, Call::List).listing(kind));
        }
        let files = state.files.iter().filter(|(file, _)| file.kind == kind);
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
        if file.kind == FileKind::Lock {
            return self.locks.save(file, content);
        }
        let mut state = self.state();
        if !state.is_created {
            return Err(self.error(ErrorKind::NotFound, Call::Save).on(file));
        }
        if let Some(place) = state.files.get(&file) {
            let is_same = file.kind != FileKind::Config && place.size == content.len() as u64;
            let refused = || {
                let error = self.error(ErrorKind::Unsupported, Call::Save).on(file);
                error.seen("an archive is only appended to, and has this file already")
            };
            return if is_same { Ok(()) } else { Err(refused()) };
        }
        let failed = |e| io_error(Doing::Call(Call::Save), &self.target, e).on(file);
        if file.kind == FileKind::Pack {
            let folder = names::pack_folder(file.id);
            state.append_folder(folder, self.seconds).map_err(failed)?;
        }
        let appended = state.append(&names::name(file), content, self.seconds);
        let place = appended.map_err(failed)?;
        state.files.insert(file, place);
        Ok(())
    }

    fn remove(&self, file: FileHandle) -> Result<()> {
        if file.kind == FileKind::Lock {
            return self.locks.remove(file);
        }
        self.place(Call::Remove, file)?;
        let error = self.error(ErrorKind::Unsupported, Call::Remove).on(file);
        Err(error.seen("nothing is removed from an archive"))
    }
}
