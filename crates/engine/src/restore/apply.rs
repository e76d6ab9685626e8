//! Doing what the plan says.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use lifeboat_disk::DiskWriter;
use lifeboat_model::Phase;
use lifeboat_repository::{Index, Repository};

use super::window::Window;
use super::{PackRead, RestorePlan, RestoreTarget};
use crate::error::Doing;
use crate::fetch::Fetcher;
use crate::{Error, Existing, PlacedChunk, Result};

/// While so many workers wait for the storage, the others compute.
pub(crate) const WAITING_WORKERS: usize = 2;

/// Longer chunks, which no usual writer makes, get no place before their length is proved.
const WINDOW_CHUNK_MAX: usize = 16 << 20;

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
    window: Window<'a>,
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
            window: Window::default(),
        }
    }

    fn bring(&mut self, read: &PackRead) -> Result<()> {
        if self.repository.environment().cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        let plan: &'a RestorePlan = self.plan;
        let chunks = &plan.chunks[read.chunks.clone()];
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
        self.write_window()
    }

    /// Opens a chunk once, for all places where it belongs.
    fn bring_one(&mut self, same: &'a [PlacedChunk]) -> Result<()> {
        let first = &same[0];
        let length = first.location.plaintext_length() as usize;
        if length > WINDOW_CHUNK_MAX {
            let bytes = self.fetcher.open(&first.id, &first.location);
            let bytes = bytes.doing(|| lost(first))?;
            return same
                .iter()
                .try_for_each(|chunk| put(self.repository, self.writer, chunk.offset, bytes));
        }
        if !self.window.has_room(length) {
            self.write_window()?;
        }
        let place = self.window.add(same, length);
        if self.fetcher.open_unnamed(&first.location, place) {
            return Ok(());
        }
        let read = self.fetcher.read_again(&first.id, place);
        read.doing(|| lost(first))
    }

    /// Names what is in the window, brings again what is not what it should be, and writes it.
    fn write_window(&mut self) -> Result<()> {
        for index in self.window.wrong() {
            let (chunk, place) = self.window.again(index);
            let read = self.fetcher.read_again(&chunk.id, place);
            read.doing(|| lost(chunk))?;
        }
        for (offset, bytes) in self.window.stretches() {
            put(self.repository, self.writer, offset, bytes)?;
        }
        self.window.clear();
        Ok(())
    }
}

fn lost(chunk: &PlacedChunk) -> String {
    format!(
        "cannot restore the bytes at {}: run 'lifeboat verify', then 'lifeboat repair packs'",
        chunk.offset
    )
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
