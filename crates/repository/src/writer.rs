//! Storing blobs: seal, pack, upload, index.
//!
//! Takes plaintext blobs from any number of threads and gives durable, indexed packs.
//! Does not cut, hash or read anything; does not write snapshots.
//!
//! Memory: two open packs, one pack per upload thread and one in its queue.

mod id_set;
mod ledger;
mod outbox;
mod packer;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lifeboat_format::{self as format, BlobId, BlobKind, Compressor, Decompressor, IndexId};
use lifeboat_model::ErrorKind;

use crate::error::Doing;
use crate::{Error, Index, Lock, Repository, Result};
use id_set::IdSet;
use ledger::Ledger;
use outbox::Outbox;
use packer::Packer;

/// How blobs are written.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// A pack is closed at this many bytes.
    pub pack_bytes: usize,
    /// zstd level; nothing stores blobs as they are.
    pub level: Option<i32>,
    /// Threads that upload packs.
    pub uploads: usize,
    /// Opens every sealed data blob again and compares it before it is packed; trees always are.
    pub is_rechecked: bool,
    /// Does everything but storing: blobs are sealed and counted, and dropped.
    pub is_dry_run: bool,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            pack_bytes: 32 << 20,
            level: Some(3),
            uploads: 2,
            is_rechecked: false,
            is_dry_run: false,
        }
    }
}

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was stored already.
    Known,
    /// It is new; this many sealed bytes.
    Stored(u32),
}

/// What a writer has added, in bytes and counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteTotals {
    /// New data blobs.
    pub data_blobs: u64,
    /// New tree blobs.
    pub tree_blobs: u64,
    /// Their plaintext bytes.
    pub added: u64,
    /// Their sealed bytes.
    pub added_packed: u64,
    /// Packs written.
    pub packs: u64,
}

/// Reusable buffers of one thread that puts blobs.
pub struct Bench {
    compressor: Option<Compressor>,
    decompressor: Decompressor,
    sealed: Vec<u8>,
    opened: Vec<u8>,
}

/// Stores blobs; shared by all threads of a run.
pub struct BlobWriter<'a> {
    repository: &'a Repository,
    index: &'a Index,
    options: WriteOptions,
    new: [Mutex<NewBlobs>; SHARDS],
    packers: [Packer; 2],
    outbox: Outbox<'a>,
    totals: Totals,
}

const SHARDS: usize = 64;

/// A blob of more plaintext is rechecked without a copy of it.
const COPY_BYTES_MAX: usize = 16 << 20;

/// What a run has stored or is about to.
#[derive(Default)]
struct NewBlobs {
    data: IdSet,
    trees: IdSet,
}

impl NewBlobs {
    fn of(&mut self, kind: BlobKind) -> &mut IdSet {
        match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.trees,
        }
    }
}

#[derive(Default)]
struct Totals {
    data_blobs: AtomicU64,
    tree_blobs: AtomicU64,
    added: AtomicU64,
    added_packed: AtomicU64,
}

/// Runs `work` with a writer; when it returns, everything put is durable and indexed.
///
/// `work` may put blobs from several threads. When it fails or is cancelled, what was put so far
/// is still packed and indexed, so that the next run need not send it again.
pub fn write<T, E: From<Error>>(
    repository: &Repository,
    index: &Index,
    lock: &Lock<'_>,
    options: WriteOptions,
    work: impl FnOnce(&BlobWriter<'_>) -> std::result::Result<T, E>,
) -> std::result::Result<(T, WriteTotals, Vec<IndexId>), E> {
    let ledger = Ledger::new(repository, lock, options.is_dry_run);
    std::thread::scope(|scope| {
        let outbox = Outbox::open(scope, &ledger, options);
        let writer = BlobWriter::new(repository, index, outbox, options);
        let worked = work(&writer);
        let closed = writer.close();
        let flushed = ledger.close();
        if let Some(error) = ledger.failure() {
            return Err(error.into());
        }
        let (value, mut totals, files) = (worked?, closed?, flushed?);
        totals.packs = ledger.packs();
        Ok((value, totals, files))
    })
}

impl<'a> BlobWriter<'a> {
    fn new(
        repository: &'a Repository,
        index: &'a Index,
        outbox: Outbox<'a>,
        options: WriteOptions,
    ) -> Self {
        Self {
            repository,
            index,
            options,
            new: std::array::from_fn(|_| Mutex::default()),
            packers: [Packer::new(BlobKind::Data), Packer::new(BlobKind::Tree)],
            outbox,
            totals: Totals::default(),
        }
    }

    /// Buffers for one thread.
    pub fn bench(&self) -> Bench {
        let is_compressing = self.repository.config().version >= 2;
        Bench {
            compressor: self
                .options
                .level
                .filter(|_| is_compressing)
                .map(Compressor::new),
            decompressor: Decompressor::new(),
            sealed: Vec::new(),
            opened: Vec::new(),
        }
    }

    /// Stores a blob unless the repository has it or another thread is about to store it.
    ///
    /// `id` is the hash of `plaintext`; computing it is the caller's part.
    ///
    /// Errors: those of earlier uploads come out here too.
    pub fn put(
        &self,
        kind: BlobKind,
        id: &BlobId,
        plaintext: &[u8],
        bench: &mut Bench,
    ) -> Result<Put> {
        if self.index.contains(kind, id) || !self.claim(kind, id) {
            return Ok(Put::Known);
        }
        self.outbox.check()?;
        let uncompressed_length = self.seal(kind, id, plaintext, bench)?;
        let length = u32::try_from(bench.sealed.len()).map_err(|_| too_large(id))?;
        let entry = format::PackEntry {
            kind,
            id: *id,
            offset: 0,
            length,
            uncompressed_length,
        };
        self.pack(entry, &bench.sealed, plaintext.len())?;
        Ok(Put::Stored(length))
    }

    /// Stores a blob that is sealed already, with this repository's own master key.
    ///
    /// The caller has opened it and knows it to be sound; `plaintext_bytes` is for the totals.
    pub fn put_sealed(
        &self,
        entry: &format::PackEntry,
        sealed: &[u8],
        plaintext_bytes: usize,
    ) -> Result<Put> {
        if self.index.contains(entry.kind, &entry.id) || !self.claim(entry.kind, &entry.id) {
            return Ok(Put::Known);
        }
        self.outbox.check()?;
        self.pack(*entry, sealed, plaintext_bytes)?;
        Ok(Put::Stored(entry.length))
    }

    fn pack(&self, entry: format::PackEntry, sealed: &[u8], plaintext: usize) -> Result<()> {
        self.count(entry.kind, plaintext, sealed.len());
        let packer = &self.packers[usize::from(entry.kind == BlobKind::Tree)];
        match packer.add(entry, sealed, self.options.pack_bytes, &self.outbox) {
            Some(pack) => self.outbox.send(pack),
            None => Ok(()),
        }
    }

    /// Whether the blob is stored or about to be.
    pub fn knows(&self, kind: BlobKind, id: &BlobId) -> bool {
        self.index.contains(kind, id) || self.shard(id).of(kind).contains(id)
    }

    fn shard(&self, id: &BlobId) -> std::sync::MutexGuard<'_, NewBlobs> {
        let shard = &self.new[usize::from(id.id().0[0]) % SHARDS];
        shard.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Says whether this caller is the one to store the blob.
    fn claim(&self, kind: BlobKind, id: &BlobId) -> bool {
        self.shard(id).of(kind).insert(id)
    }

    fn seal(
        &self,
        kind: BlobKind,
        id: &BlobId,
        plaintext: &[u8],
        bench: &mut Bench,
    ) -> Result<Option<std::num::NonZeroU32>> {
        let mut nonce = [0; 16];
        self.repository.environment().entropy.fill(&mut nonce);
        bench.sealed.clear();
        let master = self.repository.master();
        let compressor = bench.compressor.as_mut();
        let uncompressed_length =
            format::seal_blob(plaintext, compressor, master, nonce, &mut bench.sealed)
                .doing(|| format!("cannot seal {kind} blob {id}"))?;
        // Trees are few, and what a lost one leads to is lost with it.
        if self.options.is_rechecked || kind == BlobKind::Tree {
            self.recheck(kind, id, uncompressed_length, bench)?;
        }
        Ok(uncompressed_length)
    }

    /// Opens what was just sealed: catches a broken compressor or memory before it is stored.
    fn recheck(
        &self,
        kind: BlobKind,
        id: &BlobId,
        uncompressed_length: Option<std::num::NonZeroU32>,
        bench: &mut Bench,
    ) -> Result<()> {
        let master = self.repository.master();
        let plaintext_bytes = uncompressed_length.map_or(0, |length| length.get() as usize);
        let proved = if bench.sealed.len().max(plaintext_bytes) > COPY_BYTES_MAX {
            let decompressor = &mut bench.decompressor;
            format::prove_blob(&bench.sealed, uncompressed_length, id, master, decompressor)
        } else {
            let mut copy = bench.sealed.clone();
            let sealed = format::Sealed {
                bytes: &mut copy,
                kind,
                uncompressed_length,
            };
            let (decompressor, opened) = (&mut bench.decompressor, &mut bench.opened);
            format::unseal_blob(sealed, id, master, decompressor, opened)
        };
        proved.doing(|| {
            format!(
                "{kind} blob {id} did not survive sealing; \
                     this machine's memory or processor is faulty: test it before going on"
            )
        })
    }

    fn count(&self, kind: BlobKind, plaintext: usize, sealed: usize) {
        let blobs = match kind {
            BlobKind::Data => &self.totals.data_blobs,
            BlobKind::Tree => &self.totals.tree_blobs,
        };
        blobs.fetch_add(1, Relaxed);
        self.totals.added.fetch_add(plaintext as u64, Relaxed);
        self.totals.added_packed.fetch_add(sealed as u64, Relaxed);
        self.repository
            .environment()
            .progress
            .written
            .fetch_add(sealed as u64, Relaxed);
    }

    /// Sends what is still open and waits for all uploads.
    fn close(self) -> Result<WriteTotals> {
        let mut rest = self.packers.iter().filter_map(Packer::take);
        let sent = rest.try_for_each(|pack| self.outbox.send(pack));
        // Also after a failure: what is under way shall be indexed.
        self.outbox.close()?;
        sent?;
        Ok(WriteTotals {
            data_blobs: self.totals.data_blobs.into_inner(),
            tree_blobs: self.totals.tree_blobs.into_inner(),
            added: self.totals.added.into_inner(),
            added_packed: self.totals.added_packed.into_inner(),
            packs: 0,
        })
    }
}

fn too_large(id: &BlobId) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("blob {id} is larger than 4 GiB"),
    )
}
