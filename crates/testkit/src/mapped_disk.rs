//! A generated disk as a source, and a target in memory.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use lifeboat_disk::{DiskReader, DiskWriter, Error, ExtentState, MappedExtent, Result};
use lifeboat_model::{ErrorKind, Extent};

use crate::entropy::mix;
use crate::{Content, PatternDisk};

/// How much a source tells of its zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Holes are zeros; written zeros are data.
    Holes,
    /// Everything is data: a block device.
    AllData,
    /// Extents end at multiples of `grain`, which need not be aligned; of those that read as
    /// zeros some are told and some are not.
    Fickle {
        /// Decides which are told.
        seed: u64,
        /// Bytes of the longest extent.
        grain: u64,
    },
}

/// A generated disk behind the port of sources; counts what is read.
#[derive(Debug)]
pub struct MappedDisk {
    disk: PatternDisk,
    mapping: Mapping,
    read_bytes: AtomicU64,
    fails_at: Option<u64>,
}

impl MappedDisk {
    /// `disk` as `mapping` shows it.
    pub fn new(disk: PatternDisk, mapping: Mapping) -> Self {
        Self {
            disk,
            mapping,
            read_bytes: AtomicU64::new(0),
            fails_at: None,
        }
    }

    /// Every read of the byte at `offset` fails.
    pub fn failing_at(self, offset: u64) -> Self {
        Self {
            fails_at: Some(offset),
            ..self
        }
    }

    /// Bytes that were read so far.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Relaxed)
    }

    /// The zeros around `offset`: they end at its end or sooner.
    fn told(&self, offset: u64, area: Extent, content: Content) -> (u64, ExtentState) {
        let is_zero = matches!(content, Content::Hole | Content::Zeros);
        let (end, is_told) = match self.mapping {
            Mapping::Holes => (area.end(), content == Content::Hole),
            Mapping::AllData => (self.disk.size(), false),
            Mapping::Fickle { seed, grain } => {
                let number = offset / grain;
                let is_told = is_zero && mix(seed ^ number) & 1 == 0;
                (area.end().min((number + 1) * grain), is_told)
            }
        };
        let state = if is_told {
            ExtentState::Zero
        } else {
            ExtentState::Data
        };
        (end, state)
    }
}

fn fault(kind: ErrorKind, doing: &'static str, offset: u64) -> Error {
    Error::new(kind, doing, Path::new("a disk of a test")).at(offset)
}

impl DiskReader for MappedDisk {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(buffer.len() as u64);
        if end > self.disk.size() {
            return Err(fault(ErrorKind::Invalid, "reading", offset));
        }
        if self.fails_at.is_some_and(|at| (offset..end).contains(&at)) {
            return Err(fault(ErrorKind::Io, "reading", offset));
        }
        self.read_bytes.fetch_add(buffer.len() as u64, Relaxed);
        self.disk.read_at(offset, buffer);
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> Result<MappedExtent> {
        let outside = || fault(ErrorKind::Invalid, "mapping", offset);
        let inside = (offset < self.disk.size()).then_some(offset);
        let (area, content) = inside
            .and_then(|offset| self.disk.area(offset))
            .ok_or_else(outside)?;
        let (end, state) = self.told(offset, area, content);
        let extent = Extent::new(offset, end).ok_or_else(outside)?;
        Ok(MappedExtent { extent, state })
    }
}

/// A target in memory, full of rubbish at first.
#[derive(Debug)]
pub struct MemoryTarget {
    bytes: Mutex<Vec<u8>>,
    is_finished: Mutex<bool>,
}

impl MemoryTarget {
    /// A target that holds `bytes` now.
    pub fn holding(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Mutex::new(bytes),
            is_finished: Mutex::new(false),
        }
    }

    /// A target of `size` bytes that are not zero.
    pub fn of_rubbish(size: u64) -> Self {
        Self::holding(vec![0xa5; usize::try_from(size).expect("a small disk")])
    }

    /// What was written; panics when the writer was not finished.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes()
    }

    /// A copy of what was written; panics when the writer was not finished.
    pub fn bytes(&self) -> Vec<u8> {
        assert!(*locked(&self.is_finished), "a target is used when finished");
        locked(&self.bytes).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|p| p.into_inner())
}

/// The part of `bytes` that begins at `offset`.
fn part(bytes: &mut [u8], offset: u64, length: usize) -> Result<&mut [u8]> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    bytes
        .get_mut(start..start.saturating_add(length))
        .ok_or_else(|| fault(ErrorKind::Invalid, "writing", offset))
}

impl DiskWriter for MemoryTarget {
    fn size(&self) -> u64 {
        locked(&self.bytes).len() as u64
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        part(&mut locked(&self.bytes), offset, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn zero_at(&self, offset: u64, length: u64) -> Result<()> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        part(&mut locked(&self.bytes), offset, length)?.fill(0);
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        *locked(&self.is_finished) = true;
        Ok(())
    }

    fn read_back(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        buffer.copy_from_slice(part(&mut locked(&self.bytes), offset, buffer.len())?);
        Ok(())
    }
}
