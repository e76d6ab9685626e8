//! A whole small repository in memory, and any file of it sealed anew.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use lifeboat_backend::{Backend, FileHandle, FileKind, Memory};
use lifeboat_format::{
    BlobId, BlobKind, Compressor, ConfigFile, IndexFile, IndexPack, KeyFile, KeyOwner, LockFile,
    MasterKey, NONCE_BYTES, Node, NodeKind, PackEntry, ScryptCost, SnapshotFile, Tree,
    encode_pack_header, encode_unpacked, label, seal_blob,
};
use lifeboat_model::{CancelToken, Clock, Entropy, Progress, Secret};
use lifeboat_repository::{Environment, Owner};

/// When everything here happens, in seconds since 1970.
const NOW: i64 = 1_772_323_198;

/// Shows one moment; waiting takes no time.
#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}

/// Counts: equal runs give equal bytes.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            let number = self.0.fetch_add(1, Relaxed) + 1;
            let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            part.copy_from_slice(&spread[..part.len()]);
        }
    }
}

pub(crate) fn password() -> Secret {
    Secret::new(b"correct horse".to_vec())
}

pub(crate) fn environment() -> Environment {
    Environment {
        clock: Arc::new(StoppedClock),
        entropy: Arc::new(Counting::default()),
        cancel: CancelToken::new(),
        progress: Arc::new(Progress::new()),
        owner: Owner {
            hostname: "host".to_owned(),
            username: "root".to_owned(),
            pid: 1,
            uid: 0,
            gid: 0,
            instance: "00ff".to_owned(),
            is_alive: |pid| pid < 10_000,
        },
        threads: 1,
    }
}

/// The one key of all sites.
pub(crate) fn master() -> &'static MasterKey {
    static MASTER: OnceLock<MasterKey> = OnceLock::new();
    MASTER.get_or_init(|| MasterKey::generate(&Counting::default()))
}

/// A repository: two data blobs, a file of both in a folder, one snapshot, one lock.
pub(crate) struct Site {
    pub(crate) memory: Memory,
    entropy: Counting,
}

impl Site {
    /// A fresh copy.
    pub(crate) fn new() -> Self {
        static BASE: OnceLock<Mutex<Memory>> = OnceLock::new();
        let base = BASE.get_or_init(|| Mutex::new(build().memory));
        let base = base.lock().unwrap_or_else(|poison| poison.into_inner());
        Self {
            memory: base.duplicate(),
            entropy: Counting(AtomicU64::new(1 << 32)),
        }
    }

    /// Puts `content` under its own name; files of that kind that were there go.
    pub(crate) fn replace(&self, kind: FileKind, content: &[u8]) {
        for listed in self.memory.list(kind).unwrap_or_default() {
            drop(self.memory.remove(FileHandle::new(kind, listed.id)));
        }
        self.add(kind, content);
    }

    /// Puts `content` under its own name.
    pub(crate) fn add(&self, kind: FileKind, content: &[u8]) -> BlobId {
        let id = BlobId::of(content);
        let file = match kind {
            FileKind::Config => FileHandle::CONFIG,
            _ => FileHandle::new(kind, id.into()),
        };
        self.memory.overwrite(file, content);
        id
    }

    /// Seals the plaintext of a small file.
    pub(crate) fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        master().seal(plaintext, &self.entropy)
    }

    /// Compresses and seals the JSON of a small file.
    pub(crate) fn pack_up(&self, json: &[u8]) -> Vec<u8> {
        let sealed = encode_unpacked(json, Some(1), master(), &self.entropy);
        sealed.expect("any bytes can be compressed and sealed")
    }

    /// Stores blobs in a pack of their own.
    pub(crate) fn add_pack(&self, blobs: &[(BlobKind, &[u8])]) -> IndexPack {
        let mut compressor = Compressor::new(1);
        let (mut bytes, mut entries) = (Vec::new(), Vec::new());
        for (kind, plaintext) in blobs {
            let mut nonce = [0; NONCE_BYTES];
            self.entropy.fill(&mut nonce);
            let offset = bytes.len();
            let uncompressed_length = seal_blob(
                plaintext,
                Some(&mut compressor),
                master(),
                nonce,
                &mut bytes,
            )
            .expect("inputs are far below 4 GiB");
            entries.push(PackEntry {
                kind: *kind,
                id: BlobId::of(plaintext),
                offset: offset as u32,
                length: (bytes.len() - offset) as u32,
                uncompressed_length,
            });
        }
        let header = encode_pack_header(&entries, master(), &self.entropy);
        bytes.extend(header.expect("blobs lie side by side, each once"));
        IndexPack {
            id: lifeboat_model::Id::from(self.add(FileKind::Pack, &bytes)).into(),
            blobs: entries,
            time: None,
            size: None,
        }
    }

    /// A snapshot of this tree, and an index of all packs.
    pub(crate) fn record(&self, root: BlobId, packs: Vec<IndexPack>) {
        let index = IndexFile {
            packs,
            packs_to_delete: Vec::new(),
        };
        self.replace(FileKind::Index, &self.pack_up(&index.encode()));
        self.replace(FileKind::Snapshot, &self.pack_up(&snapshot(root).encode()));
    }
}

/// The record of a machine with that tree.
pub(crate) fn snapshot(root: BlobId) -> SnapshotFile {
    let machine = "web01".parse().expect("it is a name");
    let mut file = label::of(&machine, StoppedClock.now().into(), &["nightly".to_owned()]);
    file.tree = root;
    file
}

/// The contents of the two data blobs.
pub(crate) fn data() -> [Vec<u8>; 2] {
    let mut noise = vec![0; 700];
    Counting::default().fill(&mut noise);
    [noise, vec![0; 4096]]
}

/// The tree that holds the file.
pub(crate) fn tree() -> Vec<u8> {
    let mut file = Node::new(b"vda.raw", NodeKind::File);
    file.set_content(data().iter().map(|blob| BlobId::of(blob)).collect());
    file.size = data().iter().map(|blob| blob.len() as u64).sum();
    let tree = Tree { nodes: vec![file] };
    tree.encode().expect("the tree is plain")
}

/// A tree with one folder.
pub(crate) fn folder(subtree: BlobId) -> Vec<u8> {
    let mut folder = Node::new(b"disks", NodeKind::Dir);
    folder.subtree = Some(subtree);
    let tree = Tree {
        nodes: vec![folder],
    };
    tree.encode().expect("the tree is plain")
}

/// A lock as a living program would hold it.
pub(crate) fn lock() -> LockFile {
    LockFile {
        time: StoppedClock.now().into(),
        exclusive: false,
        hostname: "other".to_owned(),
        username: "root".to_owned(),
        pid: 7,
        uid: 0,
        gid: 0,
    }
}

fn build() -> Site {
    let site = Site {
        memory: Memory::new(),
        entropy: Counting::default(),
    };
    site.memory.create().expect("memory is empty");
    site.add(FileKind::Key, &key());
    let config = ConfigFile::create(&site.entropy).encode(master(), &site.entropy);
    site.add(FileKind::Config, &config.expect("a new configuration"));
    let [noise, zeros] = data();
    let of_data = site.add_pack(&[(BlobKind::Data, &noise), (BlobKind::Data, &zeros)]);
    let tree = tree();
    let root = folder(BlobId::of(&tree));
    let of_trees = site.add_pack(&[(BlobKind::Tree, &tree), (BlobKind::Tree, &root)]);
    site.record(BlobId::of(&root), vec![of_data, of_trees]);
    site.add(FileKind::Lock, &site.pack_up(&lock().encode()));
    site
}

/// A key file that opens with [`password`] at no cost.
pub(crate) fn key() -> Vec<u8> {
    let owner = KeyOwner {
        created: StoppedClock.now(),
        username: "root".to_owned(),
        hostname: "host".to_owned(),
    };
    let cost = ScryptCost { n: 2, r: 8, p: 1 };
    let made = KeyFile::create(&password(), master(), &owner, cost, &Counting::default());
    made.expect("a cheap key").1
}
