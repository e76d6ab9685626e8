//! The repository's files: sealed, named, and written without waiting for the medium.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::Timestamp;
use lifeboat_backend::FileKind;
use lifeboat_format::{
    self as format, BlobId, BlobKind, Compressor, ConfigFile, IndexFile, IndexPack, KeyFile,
    KeyOwner, MasterKey, PackEntry, ScryptCost,
};
use lifeboat_model::{Id, Secret};

use crate::SeededEntropy;

/// zstd level of everything.
const LEVEL: i32 = 3;

/// An open repository that is being made.
pub(super) struct Vault {
    folder: PathBuf,
    master: MasterKey,
    entropy: SeededEntropy,
    polynomial: u64,
    /// Trees and the small files in them: they are stored for real.
    open: [Mutex<OpenPack>; 2],
}

#[derive(Default)]
struct OpenPack {
    bytes: Vec<u8>,
    entries: Vec<PackEntry>,
}

impl Vault {
    pub(super) fn make(folder: &Path, password: &Secret, seed: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        if fs::read_dir(folder)?.next().is_some() {
            let taken = format!("{} is not empty", folder.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, taken));
        }
        for name in ["data", "index", "keys", "locks", "snapshots"] {
            fs::create_dir(folder.join(name))?;
        }
        for first in 0..=u8::MAX {
            fs::create_dir(folder.join(format!("data/{first:02x}")))?;
        }
        let entropy = SeededEntropy::new(seed);
        let master = MasterKey::generate(&entropy);
        let config = ConfigFile::create(&entropy);
        let vault = Self {
            folder: folder.to_owned(),
            polynomial: config.chunker_polynomial,
            master,
            entropy,
            open: Default::default(),
        };
        let owner = KeyOwner {
            created: Timestamp::UNIX_EPOCH,
            username: "root".to_owned(),
            hostname: "backup01".to_owned(),
        };
        let cost = ScryptCost::default();
        let key = KeyFile::create(password, &vault.master, &owner, cost, &vault.entropy);
        let (_, key) = key.map_err(io::Error::other)?;
        vault.store(FileKind::Key, &key)?;
        let config = config.encode(&vault.master, &vault.entropy);
        fs::write(folder.join("config"), config.map_err(io::Error::other)?)?;
        Ok(vault)
    }

    /// The seed of cuts.
    pub(super) fn polynomial(&self) -> u64 {
        self.polynomial
    }

    /// Seals and stores an index or a snapshot.
    pub(super) fn store_json(&self, kind: FileKind, json: &[u8]) -> io::Result<Id> {
        let sealed = format::encode_unpacked(json, Some(LEVEL), &self.master, &self.entropy);
        self.store(kind, &sealed.map_err(io::Error::other)?)
    }

    fn store(&self, kind: FileKind, bytes: &[u8]) -> io::Result<Id> {
        let id = Id::from(BlobId::of(bytes));
        let path = match kind {
            FileKind::Pack => format!("data/{}/{id}", &id.to_string()[..2]),
            FileKind::Key => format!("keys/{id}"),
            FileKind::Index => format!("index/{id}"),
            _ => format!("snapshots/{id}"),
        };
        fs::write(self.folder.join(path), bytes)?;
        Ok(id)
    }

    /// Makes a pack that is there and holds nothing.
    pub(super) fn store_hollow_pack(&self, id: Id) -> io::Result<()> {
        let path = format!("data/{}/{id}", &id.to_string()[..2]);
        fs::write(self.folder.join(path), [])
    }

    /// Adds a blob to the open pack of its kind, unless it is there; gives its name.
    pub(super) fn put(&self, kind: BlobKind, plaintext: &[u8]) -> io::Result<BlobId> {
        let id = BlobId::of(plaintext);
        let mut nonce = [0; format::NONCE_BYTES];
        lifeboat_model::Entropy::fill(&self.entropy, &mut nonce);
        let mut open = self.open_pack(kind);
        if open.entries.iter().any(|entry| entry.id == id) {
            return Ok(id);
        }
        let offset = open.bytes.len() as u32;
        let mut compressor = Compressor::new(LEVEL);
        let uncompressed_length = format::seal_blob(
            plaintext,
            Some(&mut compressor),
            &self.master,
            nonce,
            &mut open.bytes,
        );
        let entry = PackEntry {
            kind,
            id,
            offset,
            length: open.bytes.len() as u32 - offset,
            uncompressed_length: uncompressed_length.map_err(io::Error::other)?,
        };
        open.entries.push(entry);
        Ok(id)
    }

    fn open_pack(&self, kind: BlobKind) -> std::sync::MutexGuard<'_, OpenPack> {
        let open = &self.open[usize::from(kind == BlobKind::Tree)];
        open.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Stores the open packs and the index file that lists them; gives the number of blobs.
    pub(super) fn close_packs(&self) -> io::Result<u64> {
        let (mut file, mut blobs) = (IndexFile::default(), 0);
        for kind in [BlobKind::Data, BlobKind::Tree] {
            let OpenPack { mut bytes, entries } = std::mem::take(&mut *self.open_pack(kind));
            let header = format::encode_pack_header(&entries, &self.master, &self.entropy);
            bytes.extend(header.map_err(io::Error::other)?);
            blobs += entries.len() as u64;
            file.packs.push(IndexPack {
                id: self.store(FileKind::Pack, &bytes)?.into(),
                blobs: entries,
                time: None,
                size: None,
            });
        }
        self.store_json(FileKind::Index, &file.encode())?;
        Ok(blobs)
    }
}

/// Runs `work` once on every core; gives the first error.
pub(super) fn on_all_cores(work: impl Fn() -> io::Result<()> + Sync) -> io::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let failed = Mutex::new(None);
    let run = || {
        if let Err(error) = work() {
            let mut failed = failed.lock().unwrap_or_else(|poison| poison.into_inner());
            failed.get_or_insert(error);
        }
    };
    std::thread::scope(|scope| {
        (1..cores).for_each(|_| drop(scope.spawn(run)));
        run();
    });
    let failed = failed.into_inner();
    failed
        .unwrap_or_else(|poison| poison.into_inner())
        .map_or(Ok(()), Err)
}
