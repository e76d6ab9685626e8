//! A repository's files in memory, for tests and simulation.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use lifeboat_model::ErrorKind;

use crate::{Backend, Call, Doing, Error, FileHandle, FileKind, Listed, Result};

/// Keeps files in memory; as strict as the contract allows: nothing works before `create`.
#[derive(Debug, Default)]
pub struct Memory {
    state: RwLock<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    is_created: bool,
    files: BTreeMap<FileHandle, Arc<[u8]>>,
}

impl Memory {
    /// A place without a repository.
    pub fn new() -> Self {
        Self::default()
    }

    /// A second place with the same files, independent from now on.
    pub fn duplicate(&self) -> Self {
        Self {
            state: RwLock::new(self.reading().clone()),
        }
    }

    /// All files with their content, sorted by kind and name.
    pub fn files(&self) -> Vec<(FileHandle, Arc<[u8]>)> {
        let state = self.reading();
        state.files.iter().map(|(f, c)| (*f, c.clone())).collect()
    }

    /// Puts a content under a name, past all promises: as damage would.
    pub fn overwrite(&self, file: FileHandle, content: &[u8]) {
        self.writing().files.insert(file, content.into());
    }

    fn reading(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|p| p.into_inner())
    }

    fn writing(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(|p| p.into_inner())
    }

    fn content(&self, call: Call, file: FileHandle) -> Result<Arc<[u8]>> {
        let found = self.reading().files.get(&file).cloned();
        found.ok_or_else(|| self.error(ErrorKind::NotFound, call).on(file))
    }

    fn error(&self, kind: ErrorKind, call: Call) -> Error {
        Error::new(kind, Doing::Call(call), self.location())
    }
}

impl Backend for Memory {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn create(&self) -> Result<()> {
        let mut state = self.writing();
        if state.files.contains_key(&FileHandle::CONFIG) {
            return Err(self.error(ErrorKind::Exists, Call::Create));
        }
        state.is_created = true;
        Ok(())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        let state = self.reading();
        if !state.is_created {
            return Err(self.error(ErrorKind::NotFound, Call::List).listing(kind));
        }
        let files = state.files.iter().filter(|(file, _)| file.kind == kind);
        let listed = files.map(|(file, content)| Listed {
            id: file.id,
            size: content.len() as u64,
        });
        Ok(listed.collect())
    }

    fn size(&self, file: FileHandle) -> Result<u64> {
        Ok(self.content(Call::Size, file)?.len() as u64)
    }

    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        let content = self.content(Call::Load, file)?;
        if content.len() as u64 > file.kind.bytes_max() {
            return Err(self.error(ErrorKind::Corrupt, Call::Load).on(file));
        }
        Ok(content.to_vec())
    }

    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let content = self.content(Call::Read, file)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let range = start..start.saturating_add(buffer.len());
        match content.get(range) {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None if buffer.is_empty() => {}
            None => return Err(self.error(ErrorKind::Corrupt, Call::Read).on(file)),
        }
        Ok(())
    }

    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        let mut state = self.writing();
        if !state.is_created {
            return Err(self.error(ErrorKind::NotFound, Call::Save).on(file));
        }
        let stays = |old: &Arc<[u8]>| file.kind != FileKind::Config && old.len() == content.len();
        if !state.files.get(&file).is_some_and(stays) {
            state.files.insert(file, content.into());
        }
        Ok(())
    }

    fn remove(&self, file: FileHandle) -> Result<()> {
        match self.writing().files.remove(&file) {
            Some(_) => Ok(()),
            None => Err(self.error(ErrorKind::NotFound, Call::Remove).on(file)),
        }
    }
}
