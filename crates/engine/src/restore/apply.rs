//! Doing what the plan says.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use lifeboat_disk::DiskWriter;
use lifeboat_model::Phase;
use lifeboat_repository::{Index, Repository};

use super::joined::Joined;
use super::{PackRead, RestorePlan, RestoreTarget};
use crate::error::Doing;
use crate::fetch::Fetcher;
use crate::{Error, Existing, PlacedChunk, Result};

/// While so many workers wait for the storage, the others compute.
const WAITING_WORKERS: usize = 2;

/// Longer chunks, which no usual writer makes, get no place before their length is proved.
const JOINED_CHUNK_MAX: usize = 16 << 20;

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
        let waiting = if writer.is_direct() {
            WAITING_WORKERS
        } else {
            0
        };
        let workers = repository.environment().threads + waiting;
        let workers = workers.clamp(1, plan.reads.len().max(1));
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
    fetcher: Fetcher<'a>,
    joined: Joined,
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
            fetcher: Fetcher::new(repository, index),
            joined: Joined::default(),
        }
    }

    fn bring(&mut self, read: &PackRead) -> Result<()> {
        if self.repository.environment().cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        let chunks = &self.plan.chunks[read.chunks.clone()];
        let Some(first) = chunks.first() else {
            return Ok(());
        };
        self.fetcher.load(first.location.pack, read)?;
        let mut groups: Vec<&[PlacedChunk]> = chunks
            .chunk_by(|a, b| a.location == b.location && a.id == b.id)
            .collect();
        groups.sort_unstable_by_key(|same| same[0].offset);
        for same in groups {
            self.bring_one(same)?;
        }
        self.write_joined()
    }

    /// Opens a chunk once, for all places where it belongs.
    fn bring_one(&mut self, same: &[PlacedChunk]) -> Result<()> {
        let first = &same[0];
        let doing = || {
            format!(
                "cannot restore the bytes at {}: run 'lifeboat verify', then \
                 'lifeboat repair packs'",
                first.offset
            )
        };
        let length = first.location.plaintext_length() as usize;
        if length > JOINED_CHUNK_MAX {
            let bytes = self.fetcher.open(&first.id, &first.location).doing(doing)?;
            return same
                .iter()
                .try_for_each(|chunk| put(self.repository, self.writer, chunk.offset, bytes));
        }
        if !self.joined.takes(first.offset, length) {
            self.write_joined()?;
        }
        let place = self.joined.add(first.offset, length);
        self.fetcher
            .open_to(&first.id, &first.location, place)
            .doing(doing)?;
        for again in &same[1..] {
            let bytes = self.joined.last(length);
            put(self.repository, self.writer, again.offset, bytes)?;
        }
        Ok(())
    }

    fn write_joined(&mut self) -> Result<()> {
        if let Some((offset, bytes)) = self.joined.stretch() {
            put(self.repository, self.writer, offset, bytes)?;
        }
        self.joined.clear();
        Ok(())
    }
}

fn put(repository: &Repository, writer: &dyn DiskWriter, offset: u64, bytes: &[u8]) -> Result<()> {
    writer
        .write_at(offset, bytes)
        .doing(|| format!("cannot write the target at {offset}"))?;
    let progress = &repository.environment().progress;
    progress.advance(bytes.len() as u64);
    progress.written.fetch_add(bytes.len() as u64, Relaxed);
    Ok(())
}
