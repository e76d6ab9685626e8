//! What several tests need: repeatable randomness, and directories as repositories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use lifeboat_format::{
    BlobId, BlobKind, Decompressor, IndexFile, KeyFile, MasterKey, PackEntry, PackId, Sealed,
    decode_unpacked, unseal_blob,
};
use lifeboat_model::{Entropy, Id, Secret};

/// A generator that gives the same bytes in every run.
#[derive(Debug)]
pub(crate) struct Repeatable(Mutex<u64>);

impl Repeatable {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Entropy for Repeatable {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.0.lock().unwrap();
        for byte in buffer {
            *state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            *byte = (*state >> 56) as u8;
        }
    }
}

pub(crate) fn key() -> MasterKey {
    MasterKey::generate(&Repeatable::new(7))
}

/// A repository in a directory.
pub(crate) struct Stored {
    path: PathBuf,
    pub(crate) key: MasterKey,
}

impl Stored {
    pub(crate) fn open(path: &Path, password: &str) -> Self {
        let (_, json) = files(&path.join("keys")).pop_first().unwrap();
        let key = KeyFile::decode(&json).unwrap();
        let key = key.open(&Secret::new(password.into())).unwrap();
        Self {
            path: path.to_owned(),
            key,
        }
    }

    pub(crate) fn golden(name: &str) -> Self {
        Self::open(&golden_path(name), "golden")
    }

    pub(crate) fn config(&self) -> Vec<u8> {
        std::fs::read(self.path.join("config")).unwrap()
    }

    /// Opened files of one sort by their name.
    pub(crate) fn unpacked(&self, directory: &str) -> BTreeMap<String, Vec<u8>> {
        let files = files(&self.path.join(directory)).into_iter();
        let open = |sealed: Vec<u8>| decode_unpacked(&sealed, &self.key, 64 << 20).unwrap();
        files.map(|(name, sealed)| (name, open(sealed))).collect()
    }

    pub(crate) fn packs(&self) -> BTreeMap<PackId, Vec<u8>> {
        let files = files(&self.path.join("data")).into_iter();
        files
            .map(|(name, bytes)| (name.parse().unwrap(), bytes))
            .collect()
    }

    /// All entries of all indexes, with their packs.
    pub(crate) fn entries(&self) -> Vec<(PackId, PackEntry)> {
        let indexes = self.unpacked("index").into_values();
        let packs = indexes.flat_map(|json| IndexFile::decode(&json).unwrap().packs);
        packs
            .flat_map(|pack| pack.blobs.into_iter().map(move |blob| (pack.id, blob)))
            .collect()
    }

    /// Plaintexts of all blobs of a kind.
    pub(crate) fn blobs(&self, kind: BlobKind) -> Vec<Vec<u8>> {
        let packs = self.packs();
        let mut decompressor = Decompressor::new();
        let entries = self
            .entries()
            .into_iter()
            .filter(|(_, entry)| entry.kind == kind);
        let mut open = |(pack, entry): (PackId, PackEntry)| {
            let range = entry.offset as usize..entry.end() as usize;
            let mut sealed = packs[&pack][range].to_vec();
            let sealed = Sealed {
                bytes: &mut sealed,
                kind: entry.kind,
                uncompressed_length: entry.uncompressed_length,
            };
            let mut plaintext = Vec::new();
            let key = &self.key;
            unseal_blob(sealed, &entry.id, key, &mut decompressor, &mut plaintext).unwrap();
            plaintext
        };
        entries.map(&mut open).collect()
    }
}

pub(crate) fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// Content of all files below a directory, by file name.
pub(crate) fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

/// The programs to judge us: stock restic, and a new one if there is one.
pub(crate) fn restics() -> Vec<PathBuf> {
    let names = ["restic", "restic-new"].into_iter();
    names.filter_map(lifeboat_testkit::tool).collect()
}

/// The name of a file with this content.
pub(crate) fn name_of(content: &[u8]) -> Id {
    BlobId::of(content).id()
}
