//! Carrying a disk into another image without a repository, and comparing two disks.
//!
//! Takes a reader and a blank writer, or two readers. The disk is cut into steps that all threads
//! share: reading, looking for zeros and compressing go side by side.
//!
//! Memory: threads x step.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lifeboat_disk::{DiskReader, DiskWriter, ExtentState};
use lifeboat_model::{Extent, Phase};
use lifeboat_repository::Environment;

use crate::error::Doing;
use crate::{Error, Result};

/// A thread takes so many bytes at a time.
const STEP_BYTES: u64 = 4 << 20;

/// Zeros are looked for in pieces of this many bytes: the clusters of a usual qcow2 image.
const GRAIN_BYTES: u64 = 64 << 10;

/// What a transfer did, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Read from the source.
    pub read: u64,
    /// Written to the target; the rest is zeros.
    pub written: u64,
}

/// Writes everything of `source` that is not zero to `target`, and finishes it.
///
/// Errors: those of both; then the target has not got its name.
pub fn transfer(
    environment: &Environment,
    source: &dyn DiskReader,
    target: &dyn DiskWriter,
) -> Result<Transferred> {
    assert!(
        target.is_blank() && target.size() == source.size(),
        "a transfer fills a blank target of the source's size"
    );
    let (read, written) = (AtomicU64::new(0), AtomicU64::new(0));
    each_step(
        environment,
        Phase::Transfer,
        source.size(),
        |step, buffer| {
            let mut at = step.start();
            while let Some(rest) = Extent::new(at, step.end()) {
                let Some(data) = next_data(source, rest)? else {
                    break;
                };
                let bytes = load(source, data, buffer)?;
                read.fetch_add(data.len(), Relaxed);
                written.fetch_add(store(target, data, bytes)?, Relaxed);
                at = data.end();
            }
            Ok(())
        },
    )?;
    environment.progress.begin(Phase::Record, 0);
    target
        .finish()
        .doing(|| "cannot complete the target".to_owned())?;
    Ok(Transferred {
        read: read.into_inner(),
        written: written.into_inner(),
    })
}

/// Where two disks differ first, to the step; nothing if they are equal.
pub fn differs(
    environment: &Environment,
    left: &dyn DiskReader,
    right: &dyn DiskReader,
) -> Result<Option<u64>> {
    let size = left.size().min(right.size());
    let first = AtomicU64::new(u64::MAX);
    each_step(environment, Phase::Verify, size, |step, buffer| {
        if next_data(left, step)?.is_none() && next_data(right, step)?.is_none() {
            return Ok(());
        }
        let mut other = Vec::new();
        if load(left, step, buffer)? != load(right, step, &mut other)? {
            first.fetch_min(step.start(), Relaxed);
        }
        Ok(())
    })?;
    let found = first.into_inner();
    let longer = (left.size() != right.size()).then_some(size);
    Ok((found != u64::MAX).then_some(found).or(longer))
}

/// The first stretch of whole grains in `range` that may hold data; `range` begins at a grain.
fn next_data(source: &dyn DiskReader, range: Extent) -> Result<Option<Extent>> {
    let mut at = range.start();
    while at < range.end() {
        let mapped = source
            .next_extent(at)
            .doing(|| format!("cannot map the source at {at}"))?;
        let end = mapped.extent.end().min(range.end());
        if mapped.state == ExtentState::Data {
            let end = end.next_multiple_of(GRAIN_BYTES).min(range.end());
            return Ok(Extent::new(at, end));
        }
        let whole = if end == range.end() {
            end
        } else {
            end - end % GRAIN_BYTES
        };
        if whole <= at {
            return Ok(Extent::new(at, (at + GRAIN_BYTES).min(range.end())));
        }
        at = whole;
    }
    Ok(None)
}

fn load<'a>(source: &dyn DiskReader, range: Extent, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    buffer.resize(range.len() as usize, 0);
    source
        .read_at(range.start(), buffer)
        .doing(|| format!("cannot read the source at {}", range.start()))?;
    Ok(buffer)
}

/// Writes the grains that are not zero, neighbours together; gives their bytes.
fn store(target: &dyn DiskWriter, range: Extent, bytes: &[u8]) -> Result<u64> {
    let (mut written, mut offset) = (0, 0);
    let is_zero = |grain: &&[u8]| grain.iter().all(|byte| *byte == 0);
    let grains: Vec<&[u8]> = bytes.chunks(GRAIN_BYTES as usize).collect();
    for run in grains.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
        let length = run.iter().map(|grain| grain.len()).sum::<usize>();
        if !run.first().is_some_and(is_zero) {
            let at = range.start() + offset as u64;
            target
                .write_at(at, &bytes[offset..offset + length])
                .doing(|| format!("cannot write the target at {at}"))?;
            written += length as u64;
        }
        offset += length;
    }
    Ok(written)
}

/// Runs `work` for every step of a disk, with all threads; the order is free.
fn each_step(
    environment: &Environment,
    phase: Phase,
    size: u64,
    work: impl Fn(Extent, &mut Vec<u8>) -> Result<()> + Sync,
) -> Result<()> {
    environment.progress.begin(phase, size);
    let (next, failed) = (AtomicU64::new(0), Mutex::new(None));
    let steps = size.div_ceil(STEP_BYTES);
    let run = || {
        let mut buffer = Vec::new();
        loop {
            let start = next.fetch_add(1, Relaxed).min(steps) * STEP_BYTES;
            let Some(step) = Extent::new(start, (start + STEP_BYTES).min(size)) else {
                return;
            };
            let done = match environment.cancel.is_cancelled() {
                true => Err(Error::cancelled()),
                false => work(step, &mut buffer),
            };
            if let Err(error) = done {
                next.store(steps, Relaxed);
                let mut failed = failed.lock().unwrap_or_else(|poison| poison.into_inner());
                failed.get_or_insert(error);
            }
            environment.progress.advance(step.len());
        }
    };
    std::thread::scope(|scope| {
        (1..environment.threads.max(1)).for_each(|_| drop(scope.spawn(run)));
        run();
    });
    let failed = failed.into_inner();
    match failed.unwrap_or_else(|poison| poison.into_inner()) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lifeboat_disk::{RawDisk, RawWriter, RawWriterOptions};
    use lifeboat_model::{CancelToken, Progress};
    use lifeboat_repository::Owner;
    use lifeboat_testkit::{DiskPattern, ManualClock, SeededEntropy};

    use super::*;

    fn environment() -> Environment {
        Environment {
            clock: Arc::new(ManualClock::default()),
            entropy: Arc::new(SeededEntropy::new(1)),
            cancel: CancelToken::new(),
            progress: Arc::new(Progress::new()),
            owner: Owner {
                hostname: "host".to_owned(),
                username: "somebody".to_owned(),
                pid: 1,
                uid: 0,
                gid: 0,
                instance: "0".repeat(16),
                is_alive: |_| true,
            },
            threads: 3,
        }
    }

    #[test]
    fn a_disk_arrives_whole_and_differences_are_found() {
        let place = tempfile::tempdir().expect("a folder");
        let environment = environment();
        for size in [
            0,
            512,
            GRAIN_BYTES,
            STEP_BYTES + 512,
            3 * STEP_BYTES + 70_000,
        ] {
            let (source, target) = (place.path().join("source"), place.path().join("target"));
            let disk = DiskPattern::new(size, size).disk();
            let file = std::fs::File::create(&source).expect("a file");
            file.set_len(size).expect("a size");
            disk.write_to(&file).expect("room");
            let _ = std::fs::remove_file(&target);
            let reader = RawDisk::open(&source).expect("opens");
            let options = RawWriterOptions {
                mode: lifeboat_disk::TargetMode::New,
                leftover: lifeboat_disk::Leftover::Discard,
            };
            let writer = RawWriter::create(&target, size, options).expect("creates");
            let done = transfer(&environment, &reader, &writer).expect("transfers");
            assert!(done.written <= done.read && done.read <= size);
            let mut bytes = std::fs::read(&target).expect("reads");
            assert!(bytes == disk.bytes(), "{size}");
            let open = || RawDisk::open(&target).expect("opens");
            assert_eq!(
                differs(&environment, &reader, &open()).expect("reads"),
                None
            );
            let Some(last) = bytes.last_mut() else {
                continue;
            };
            *last ^= 1;
            std::fs::write(&target, &bytes).expect("room");
            let step = (size - 1) / STEP_BYTES * STEP_BYTES;
            let found = differs(&environment, &reader, &open()).expect("reads");
            assert_eq!(found, Some(step), "{size}");
            std::fs::write(&target, &bytes[..bytes.len() - 1]).expect("room");
            let found = differs(&environment, &reader, &open()).expect("reads");
            assert_eq!(found, Some(size - 1), "{size}");
        }
    }

    #[test]
    fn a_cancelled_transfer_gives_no_target() {
        let place = tempfile::tempdir().expect("a folder");
        let (source, target) = (place.path().join("source"), place.path().join("target"));
        std::fs::write(&source, vec![1; 1 << 20]).expect("room");
        let reader = RawDisk::open(&source).expect("opens");
        let options = RawWriterOptions {
            mode: lifeboat_disk::TargetMode::New,
            leftover: lifeboat_disk::Leftover::Discard,
        };
        let writer = RawWriter::create(&target, 1 << 20, options).expect("creates");
        let environment = environment();
        environment.cancel.cancel();
        let error = transfer(&environment, &reader, &writer).expect_err("was cancelled");
        assert_eq!(error.kind(), lifeboat_model::ErrorKind::Cancelled);
        assert!(!target.exists());
    }
}
