//! Counts calls and bytes, for reports, limits of requests, and tests of cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Backend, Call, FileHandle, FileKind, Listed, Result, Upkeep};

/// Counts what reaches `inner`, failures included; bytes only when the call succeeded.
#[derive(Debug)]
pub struct Counted {
    inner: Arc<dyn Backend>,
    cells: [[Cell; FileKind::ALL.len()]; Call::ALL.len()],
}

#[derive(Debug, Default)]
struct Cell {
    calls: AtomicU64,
    bytes: AtomicU64,
}

impl Counted {
    /// Counts from zero.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self {
            inner,
            cells: Default::default(),
        }
    }

    /// How often `call` was made on files of `kind`; `create` counts as one on the config.
    pub fn calls(&self, call: Call, kind: FileKind) -> u64 {
        self.cell(call, kind).calls.load(Relaxed)
    }

    /// Bytes that `call` has moved for files of `kind`.
    pub fn bytes(&self, call: Call, kind: FileKind) -> u64 {
        self.cell(call, kind).bytes.load(Relaxed)
    }

    /// How often `call` was made.
    pub fn all_calls(&self, call: Call) -> u64 {
        FileKind::ALL
            .map(|kind| self.calls(call, kind))
            .iter()
            .sum()
    }

    /// Bytes that `call` has moved.
    pub fn all_bytes(&self, call: Call) -> u64 {
        FileKind::ALL
            .map(|kind| self.bytes(call, kind))
            .iter()
            .sum()
    }

    fn cell(&self, call: Call, kind: FileKind) -> &Cell {
        &self.cells[call as usize][kind as usize]
    }

    fn count<T>(
        &self,
        call: Call,
        kind: FileKind,
        result: Result<T>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Result<T> {
        let cell = self.cell(call, kind);
        cell.calls.fetch_add(1, Relaxed);
        let moved = result.as_ref().map_or(0, bytes);
        cell.bytes.fetch_add(moved as u64, Relaxed);
        result
    }
}

impl Backend for Counted {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn upkeep(&self) -> Option<&dyn Upkeep> {
        self.inner.upkeep()
    }

    fn create(&self) -> Result<()> {
        self.count(Call::Create, FileKind::Config, self.inner.create(), |()| 0)
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.count(Call::List, kind, self.inner.list(kind), |_| 0)
    }

    fn size(&self, file: FileHandle) -> Result<u64> {
        self.count(Call::Size, file.kind, self.inner.size(file), |_| 0)
    }

    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        self.count(Call::Load, file.kind, self.inner.load(file), Vec::len)
    }

    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let length = buffer.len();
        let read = self.inner.read(file, offset, buffer);
        self.count(Call::Read, file.kind, read, |()| length)
    }

    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        let saved = self.inner.save(file, content);
        self.count(Call::Save, file.kind, saved, |()| content.len())
    }

    fn remove(&self, file: FileHandle) -> Result<()> {
        self.count(Call::Remove, file.kind, self.inner.remove(file), |()| 0)
    }
}
