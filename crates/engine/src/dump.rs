//! A file's bytes in order, as a stream.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use lifeboat_format::BlobKind;
use lifeboat_model::{ErrorKind, Extent, Phase};
use lifeboat_repository::{BlobReader, Index, Repository};

use crate::error::Doing;
use crate::{Error, PlacedChunk, PlacedContent, Result};

/// Chunks each thread may have ready before they are written.
const READY_MAX: usize = 4;

/// Writes the bytes of `range` to `target`, in order.
///
/// Chunks are loaded by all threads ahead of the writing.
///
/// Memory: threads x 5 chunks.
pub fn dump(
    repository: &Repository,
    index: &Index,
    content: &PlacedContent,
    range: Extent,
    target: &mut dyn Write,
) -> Result<()> {
    let wanted: Vec<PlacedChunk> = content
        .chunks
        .iter()
        .filter(|chunk| chunk.extent().is_some_and(|e| e.intersect(range).is_some()))
        .copied()
        .collect();
    repository
        .environment()
        .progress
        .begin(Phase::Restore, range.len());
    let threads = repository
        .environment()
        .threads
        .clamp(1, wanted.len().max(1));
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..threads).map(|_| sync_channel(READY_MAX)).unzip();
    let is_over = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (number, sender) in senders.into_iter().enumerate() {
            let (wanted, is_over) = (&wanted, &is_over);
            scope.spawn(move || {
                let mine = wanted.iter().skip(number).step_by(threads);
                load(repository, index, mine, &sender, is_over);
            });
        }
        let written = write(repository, content, range, &wanted, &receivers, target);
        is_over.store(1, Relaxed);
        drop(receivers);
        written
    })
}

type Loaded = Result<Vec<u8>>;

fn load<'a>(
    repository: &Repository,
    index: &Index,
    chunks: impl Iterator<Item = &'a PlacedChunk>,
    ready: &SyncSender<Loaded>,
    is_over: &AtomicUsize,
) {
    let mut reader = BlobReader::new(repository, index);
    for chunk in chunks {
        let loaded = reader
            .get(BlobKind::Data, &chunk.id)
            .doing(|| format!("cannot read the bytes at {}", chunk.offset));
        let is_last = loaded.is_err() || is_over.load(Relaxed) != 0;
        if ready.send(loaded).is_err() || is_last {
            return;
        }
    }
}

fn write(
    repository: &Repository,
    content: &PlacedContent,
    range: Extent,
    wanted: &[PlacedChunk],
    ready: &[Receiver<Loaded>],
    target: &mut dyn Write,
) -> Result<()> {
    let mut offset = range.start();
    for (number, chunk) in wanted.iter().enumerate() {
        if repository.environment().cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        zeros(target, chunk.offset.max(offset) - offset)?;
        let loaded = ready[number % ready.len()]
            .recv()
            .map_err(|_| Error::cancelled())??;
        let from = (range.start().max(chunk.offset) - chunk.offset) as usize;
        let end = chunk.offset + loaded.len() as u64;
        let to = loaded.len() - (end - end.min(range.end())) as usize;
        put(target, &loaded[from..to])?;
        offset = end.min(range.end());
        let progress = &repository.environment().progress;
        progress.done.store(offset - range.start(), Relaxed);
    }
    let end = range.end().min(content.size);
    zeros(target, end.saturating_sub(offset))?;
    target.flush().map_err(|error| broken(&error))
}

fn zeros(target: &mut dyn Write, length: u64) -> Result<()> {
    let block = [0; 64 << 10];
    let mut rest = length;
    while rest > 0 {
        let now = rest.min(block.len() as u64);
        put(target, &block[..now as usize])?;
        rest -= now;
    }
    Ok(())
}

fn put(target: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    target.write_all(bytes).map_err(|error| broken(&error))
}

fn broken(error: &std::io::Error) -> Error {
    Error::new(
        ErrorKind::of_io(error),
        format!("cannot write the output: {error}"),
    )
}
