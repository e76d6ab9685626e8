//! Deciding what to read.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use lifeboat_format::{BlobId, PackId};
use lifeboat_model::Phase;
use lifeboat_repository::Repository;

use super::{Existing, RestorePlan, RestoreTarget};
use crate::error::Doing;
use crate::fetch::reads;
use crate::{Error, PlacedChunk, PlacedContent, Result};

/// Plans to bring `content` onto `target`.
///
/// With [`Existing::Compare`] the target is read once; equal chunks are left out of the plan.
pub fn plan(
    repository: &Repository,
    content: PlacedContent,
    target: RestoreTarget<'_>,
) -> Result<RestorePlan> {
    let mut plan = RestorePlan {
        size: content.size,
        zeros: content.zeros,
        ..Default::default()
    };
    let mut chunks = content.chunks;
    if target.existing == Existing::Compare {
        let before = chunks.len();
        let bytes: u64 = chunks.iter().map(length).sum();
        let equal = equal(repository, &chunks, target)?;
        let mut equal = equal.into_iter().map(AtomicBool::into_inner);
        chunks.retain(|_| !equal.next().unwrap_or(false));
        plan.equal_chunks = (before - chunks.len()) as u64;
        plan.equal_bytes = bytes - chunks.iter().map(length).sum::<u64>();
    }
    plan.write_bytes = chunks.iter().map(length).sum();
    sort_by_pack(&mut chunks);
    plan.reads = reads(chunks.len(), |number| chunks[number].location);
    plan.read_bytes = plan.reads.iter().map(|read| read.length).sum();
    plan.chunks = chunks;
    Ok(plan)
}

fn length(chunk: &PlacedChunk) -> u64 {
    u64::from(chunk.location.plaintext_length())
}

/// Orders chunks by pack; packs in the order in which the disk needs them first.
fn sort_by_pack(chunks: &mut [PlacedChunk]) {
    let mut first: HashMap<PackId, u64> = HashMap::new();
    for chunk in chunks.iter() {
        first.entry(chunk.location.pack).or_insert(chunk.offset);
    }
    chunks.sort_unstable_by_key(|chunk| {
        let location = chunk.location;
        (
            first.get(&location.pack).copied(),
            location.pack,
            location.offset,
            chunk.offset,
        )
    });
}

/// Reads the target with all threads and says of each chunk whether it holds it.
fn equal(
    repository: &Repository,
    chunks: &[PlacedChunk],
    target: RestoreTarget<'_>,
) -> Result<Vec<AtomicBool>> {
    let environment = repository.environment();
    environment
        .progress
        .begin(Phase::Verify, chunks.iter().map(length).sum());
    let next = AtomicUsize::new(0);
    let found: Vec<AtomicBool> = chunks.iter().map(|_| AtomicBool::new(false)).collect();
    let failed = Mutex::new(None);
    let pair = |at: usize| chunks.get(at).zip(found.get(at));
    let compare = || {
        let mut buffer = Vec::new();
        while let Some((chunk, found)) = pair(next.fetch_add(1, Relaxed)) {
            let equal = if environment.cancel.is_cancelled() {
                Err(Error::cancelled())
            } else {
                holds(target, chunk, &mut buffer)
            };
            match equal {
                Ok(is_equal) => found.store(is_equal, Relaxed),
                Err(error) => {
                    next.store(chunks.len(), Relaxed);
                    let mut failed = failed.lock().unwrap_or_else(|poison| poison.into_inner());
                    failed.get_or_insert(error);
                }
            }
            environment.progress.advance(length(chunk));
        }
    };
    std::thread::scope(|scope| {
        (1..environment.threads.max(1)).for_each(|_| drop(scope.spawn(compare)));
        compare();
    });
    match failed
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner())
    {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

fn holds(target: RestoreTarget<'_>, chunk: &PlacedChunk, buffer: &mut Vec<u8>) -> Result<bool> {
    buffer.resize(chunk.location.plaintext_length() as usize, 0);
    target
        .writer
        .read_back(chunk.offset, buffer)
        .doing(|| format!("cannot compare the target at {}", chunk.offset))?;
    Ok(BlobId::of(buffer) == chunk.id)
}
