//! Storing one disk with all workers.

use std::sync::{Mutex, MutexGuard};

use lifeboat_chunker::ChunkSizes;
use lifeboat_format::{BlobId, BlobKind};
use lifeboat_repository::{Bench, BlobWriter, Repository};

use super::cutter::{Batch, Counts, Cutter};
use super::{DiskOutcome, DiskTask};
use crate::{Error, Result};

/// A stored disk: its chunks and what became of it.
pub(super) struct StoredDisk {
    pub(super) content: Vec<BlobId>,
    pub(super) outcome: DiskOutcome,
}

/// Stores one disk.
pub(super) fn disk(
    repository: &Repository,
    writer: &BlobWriter<'_>,
    task: &DiskTask,
    sizes: ChunkSizes,
) -> Result<StoredDisk> {
    let size = task.source.size();
    let sizes = sizes.for_disk(size);
    let seed = repository.config().chunker_polynomial;
    let cutter = Mutex::new(Cutter::new(&*task.source, &task.change, sizes, seed));
    let workers = repository.environment().threads.max(1);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        let run = || {
            if let Err(error) = work(repository, writer, &cutter, &failed) {
                lock(&failed).get_or_insert(error);
            }
        };
        for _ in 1..workers {
            scope.spawn(run);
        }
        run();
    });
    if let Some(error) = lock(&failed).take() {
        return Err(name_source(error, task));
    }
    let cutter = cutter
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    let (content, zero_pieces, counts) = cutter.finish();
    store_zero_pieces(writer, &zero_pieces)?;
    let outcome = outcome(task, size, sizes, &content, counts);
    Ok(StoredDisk { content, outcome })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

fn work(
    repository: &Repository,
    writer: &BlobWriter<'_>,
    cutter: &Mutex<Cutter<'_>>,
    failed: &Mutex<Option<Error>>,
) -> Result<()> {
    let progress = &repository.environment().progress;
    let (mut batch, mut bench, mut names) = (Batch::default(), writer.bench(), Vec::new());
    loop {
        if repository.environment().cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        if lock(failed).is_some() {
            return Ok(());
        }
        let is_more = {
            let mut cutter = lock(cutter);
            names.drain(..).for_each(|(slot, id)| cutter.name(slot, id));
            let (offset, read) = (cutter.offset(), cutter.counts().read);
            let is_more = cutter.next_batch(&mut batch)?;
            progress.advance(cutter.offset() - offset);
            let read = cutter.counts().read - read;
            progress
                .read
                .fetch_add(read, std::sync::atomic::Ordering::Relaxed);
            is_more
        };
        if !is_more {
            return Ok(());
        }
        store_batch(writer, &batch, &mut bench, &mut names)?;
    }
}

fn store_batch(
    writer: &BlobWriter<'_>,
    batch: &Batch,
    bench: &mut Bench,
    names: &mut Vec<(usize, BlobId)>,
) -> Result<()> {
    let (slots, chunks): (Vec<usize>, Vec<&[u8]>) = batch.chunks().unzip();
    for ((slot, chunk), id) in slots.into_iter().zip(&chunks).zip(BlobId::of_all(&chunks)) {
        writer.put(BlobKind::Data, &id, chunk, bench)?;
        names.push((slot, id));
    }
    Ok(())
}

/// Zero pieces are blobs like any other: stock restic wants to read them.
fn store_zero_pieces(writer: &BlobWriter<'_>, lengths: &[u64]) -> Result<()> {
    let mut bench = writer.bench();
    for length in lengths {
        let zeros = vec![0; *length as usize];
        writer.put(BlobKind::Data, &BlobId::of(&zeros), &zeros, &mut bench)?;
    }
    Ok(())
}

fn outcome(
    task: &DiskTask,
    size: u64,
    sizes: ChunkSizes,
    content: &[BlobId],
    counts: Counts,
) -> DiskOutcome {
    DiskOutcome {
        file_name: task.file_name.clone(),
        size,
        read_bytes: counts.read,
        zero_bytes: counts.zero,
        reused_bytes: counts.reused,
        chunk_count: content.len() as u64,
        sizes,
        root: crate::content_root(content),
    }
}

fn name_source(error: Error, task: &DiskTask) -> Error {
    let doing = format!("cannot store disk {}", task.file_name);
    Error::new(error.kind(), doing).with_source(error)
}
