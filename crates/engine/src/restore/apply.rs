//! Doing what the plan says.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use lifeboat_backend::{FileHandle, FileKind};
use lifeboat_disk::DiskWriter;
use lifeboat_format::{BlobKind, Sealed};
use lifeboat_model::{ErrorKind, Phase};
use lifeboat_repository::{BlobOpener, BlobReader, Index, Repository};

use super::{PackRead, RestorePlan, RestoreTarget};
use crate::error::Doing;
use crate::{Error, Existing, PlacedChunk, Result};

/// What a restore has done, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreResult {
    /// Data written to the target.
    pub written: u64,
    /// Zeros made on the target.
    pub zeros: u64,
    /// Left as it was, because it was equal.
    pub equal: u64,
    /// Sealed bytes read.
    pub read: u64,
    /// Time taken.
    pub duration: Duration,
}

/// Executes `plan` on `target` and makes it durable; only then the target has its name.
///
/// Errors: `Corrupt` if a chunk is damaged in every pack that holds it; the target stays
/// incomplete, and can be resumed.
pub fn apply(
    repository: &Repository,
    index: &Index,
    plan: &RestorePlan,
    target: RestoreTarget<'_>,
) -> Result<RestoreResult> {
    let environment = repository.environment();
    let start = environment.clock.monotonic();
    assert!(
        plan.size == target.writer.size(),
        "a plan is applied to a target of the disk's size"
    );
    environment
        .progress
        .begin(Phase::Restore, plan.write_bytes + plan.zeros.byte_count());
    write_zeros(repository, plan, target)?;
    let read = write_chunks(repository, index, plan, target.writer)?;
    target
        .writer
        .finish()
        .doing(|| "cannot complete the target".to_owned())?;
    Ok(RestoreResult {
        written: plan.write_bytes,
        zeros: plan.zeros.byte_count(),
        equal: plan.equal_bytes,
        read,
        duration: environment.clock.monotonic().saturating_sub(start),
    })
}

fn write_zeros(
    repository: &Repository,
    plan: &RestorePlan,
    target: RestoreTarget<'_>,
) -> Result<()> {
    let progress = &repository.environment().progress;
    if target.writer.is_blank() && target.existing == Existing::Ignore {
        progress.advance(plan.zeros.byte_count());
        return Ok(());
    }
    for zero in plan.zeros.iter() {
        if repository.environment().cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        target
            .writer
            .zero_at(zero.start(), zero.len())
            .doing(|| format!("cannot write zeros to the target at {}", zero.start()))?;
        progress.advance(zero.len());
    }
    Ok(())
}

fn write_chunks(
    repository: &Repository,
    index: &Index,
    plan: &RestorePlan,
    writer: &dyn DiskWriter,
) -> Result<u64> {
    let (next, read_bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let failed = Mutex::new(None);
    let work = || {
        let mut worker = Worker::new(repository, index, plan, writer);
        while let Some(read) = plan.reads.get(next.fetch_add(1, Relaxed)) {
            match worker.bring(read) {
                Ok(()) => drop(read_bytes.fetch_add(read.length, Relaxed)),
                Err(error) => {
                    next.store(plan.reads.len(), Relaxed);
                    let mut failed = failed.lock().unwrap_or_else(|poison| poison.into_inner());
                    failed.get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let workers = repository
            .environment()
            .threads
            .clamp(1, plan.reads.len().max(1));
        (1..workers).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let failed = failed
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    failed.map_or(Ok(read_bytes.into_inner()), Err)
}

struct Worker<'a> {
    repository: &'a Repository,
    plan: &'a RestorePlan,
    writer: &'a dyn DiskWriter,
    opener: BlobOpener<'a>,
    reader: BlobReader<'a>,
    sealed: Vec<u8>,
    plaintext: Vec<u8>,
}

impl<'a> Worker<'a> {
    fn new(
        repository: &'a Repository,
        index: &'a Index,
        plan: &'a RestorePlan,
        writer: &'a dyn DiskWriter,
    ) -> Self {
        Self {
            repository,
            plan,
            writer,
            opener: BlobOpener::new(repository),
            reader: BlobReader::new(repository, index),
            sealed: Vec::new(),
            plaintext: Vec::new(),
        }
    }

    fn bring(&mut self, read: &PackRead) -> Result<()> {
        if self.repository.environment().cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        let chunks = &self.plan.chunks[read.chunks.clone()];
        let is_loaded = self.load(read, chunks)?;
        for same in chunks.chunk_by(|a, b| a.location == b.location && a.id == b.id) {
            let first = &same[0];
            if !is_loaded || !self.open(read, first) {
                self.reload(first)?;
            }
            for chunk in same {
                self.place(chunk)?;
            }
        }
        Ok(())
    }

    /// Loads the request's range; `false` when it cannot be had and chunks go one by one.
    fn load(&mut self, read: &PackRead, chunks: &[PlacedChunk]) -> Result<bool> {
        let Some(first) = chunks.first() else {
            return Ok(false);
        };
        let file = FileHandle {
            kind: FileKind::Pack,
            id: first.location.pack.into(),
        };
        self.sealed.resize(read.length as usize, 0);
        let progress = &self.repository.environment().progress;
        progress.read.fetch_add(read.length, Relaxed);
        match self
            .repository
            .backend()
            .read(file, read.start, &mut self.sealed)
        {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                Ok(false)
            }
            Err(error) => {
                Err(Error::new(error.kind(), format!("cannot read {file}")).with_source(error))
            }
        }
    }

    fn open(&mut self, read: &PackRead, chunk: &PlacedChunk) -> bool {
        let location = chunk.location;
        let start = (u64::from(location.offset) - read.start) as usize;
        let sealed = Sealed {
            bytes: &mut self.sealed[start..start + location.length as usize],
            kind: BlobKind::Data,
            uncompressed_length: location.uncompressed_length,
        };
        self.opener
            .open(sealed, &chunk.id, &mut self.plaintext)
            .is_ok()
    }

    /// Reads a chunk by itself, once more and from every pack that holds it.
    fn reload(&mut self, chunk: &PlacedChunk) -> Result<()> {
        self.reader
            .get_into(BlobKind::Data, &chunk.id, &mut self.plaintext)
            .doing(|| {
                format!(
                    "cannot restore the bytes at {}: run 'lifeboat verify', \
                 then 'lifeboat repair packs'",
                    chunk.offset
                )
            })
    }

    fn place(&mut self, chunk: &PlacedChunk) -> Result<()> {
        let length = u64::from(chunk.location.plaintext_length());
        assert!(
            self.plaintext.len() as u64 == length,
            "a chunk has the length the plan counts on"
        );
        self.writer
            .write_at(chunk.offset, &self.plaintext)
            .doing(|| format!("cannot write the target at {}", chunk.offset))?;
        let progress = &self.repository.environment().progress;
        progress.advance(length);
        progress.written.fetch_add(length, Relaxed);
        Ok(())
    }
}
