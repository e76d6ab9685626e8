//! Stored packs that no index file lists yet.

use std::mem::take;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::packer::FilledPack;
use lifeboat_backend::{FileHandle, FileKind};
use lifeboat_format::{self as format, IndexFile, IndexId, IndexPack, PackId};
use lifeboat_model::ErrorKind;

use crate::error::Doing;
use crate::{Error, Lock, Repository, Result, commit};

/// restic's own limit for one index file.
const INDEX_BLOBS_MAX: usize = 50_000;

/// A killed run loses at most this much of its work.
const INDEX_EVERY: Duration = Duration::from_secs(60);

/// Stores packs and writes the index files that list them.
///
/// Order: a pack is durable before it is noted here; an index file lists only noted packs.
pub(super) struct Ledger<'a> {
    repository: &'a Repository,
    lock: &'a Lock<'a>,
    is_dry_run: bool,
    pending: Mutex<Pending>,
    failed: Mutex<Option<Error>>,
    is_failed: AtomicBool,
    packs: AtomicU64,
}

struct Pending {
    packs: Vec<IndexPack>,
    blobs: usize,
    written: Duration,
    files: Vec<IndexId>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(repository: &'a Repository, lock: &'a Lock<'a>, is_dry_run: bool) -> Self {
        let written = repository.environment().clock.monotonic();
        Self {
            repository,
            lock,
            is_dry_run,
            pending: Mutex::new(Pending {
                packs: Vec::new(),
                blobs: 0,
                written,
                files: vec![],
            }),
            failed: Mutex::new(None),
            is_failed: AtomicBool::new(false),
            packs: AtomicU64::new(0),
        }
    }

    pub(super) fn packs(&self) -> u64 {
        self.packs.load(Ordering::Relaxed)
    }

    /// Fails as soon as one upload has failed; [`Ledger::failure`] tells why.
    pub(super) fn check(&self) -> Result<()> {
        if self.is_failed.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::Cancelled,
                "stopped: an upload failed",
            ));
        }
        Ok(())
    }

    /// Why uploading failed; given once.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failed
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .take()
    }

    fn fail(&self, error: Error) {
        let mut failed = self
            .failed
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        if !self.is_failed.swap(true, Ordering::AcqRel) {
            *failed = Some(error);
        }
    }

    /// Stores a pack and notes it; gives its buffer back. After a failure nothing is stored.
    pub(super) fn store(&self, mut pack: FilledPack) -> Vec<u8> {
        if self.is_failed.load(Ordering::Acquire) {
            return pack.bytes;
        }
        if self.is_dry_run {
            self.packs.fetch_add(1, Ordering::Relaxed);
            return pack.bytes;
        }
        let stored = self
            .store_pack(&mut pack)
            .and_then(|id| self.note(id, take(&mut pack.entries)));
        if let Err(error) = stored {
            self.fail(error);
        }
        pack.bytes
    }

    fn store_pack(&self, pack: &mut FilledPack) -> Result<PackId> {
        let environment = self.repository.environment();
        let master = self.repository.master();
        let header = format::encode_pack_header(&pack.entries, master, &*environment.entropy)
            .doing(|| format!("cannot close a {} pack", pack.kind))?;
        pack.bytes.extend_from_slice(&header);
        let id = PackId::from(lifeboat_model::Id::from(format::BlobId::of(&pack.bytes)));
        self.lock.check()?;
        let file = FileHandle {
            kind: FileKind::Pack,
            id: id.into(),
        };
        self.repository
            .backend()
            .save(file, &pack.bytes)
            .doing(|| format!("cannot store {file}"))?;
        self.packs.fetch_add(1, Ordering::Relaxed);
        Ok(id)
    }

    fn note(&self, id: PackId, blobs: Vec<format::PackEntry>) -> Result<()> {
        let environment = self.repository.environment();
        let mut pending = self.pending();
        pending.blobs += blobs.len();
        pending.packs.push(IndexPack {
            id,
            blobs,
            time: Some(environment.now()),
            size: None,
        });
        let age = environment
            .clock
            .monotonic()
            .saturating_sub(pending.written);
        if pending.blobs >= INDEX_BLOBS_MAX || age >= INDEX_EVERY {
            self.flush(pending)?;
        }
        Ok(())
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    fn flush(&self, mut pending: MutexGuard<'_, Pending>) -> Result<()> {
        if pending.packs.is_empty() {
            return Ok(());
        }
        let mut file = IndexFile {
            packs: take(&mut pending.packs),
            ..IndexFile::default()
        };
        pending.blobs = 0;
        pending.written = self.repository.environment().clock.monotonic();
        drop(pending);
        let saved = commit::save_index(self.repository, self.lock, &file);
        let mut pending = self.pending();
        match saved {
            Ok(id) => pending.files.push(id),
            // They are durable: the last flush of the run tries to list them once more.
            Err(_) => pending.packs.append(&mut file.packs),
        }
        saved.map(|_| ())
    }

    /// Indexes the rest; gives the index files written.
    ///
    /// Also after a failed upload: what is durable is worth keeping.
    pub(super) fn close(&self) -> Result<Vec<IndexId>> {
        self.flush(self.pending())?;
        Ok(take(&mut self.pending().files))
    }
}
