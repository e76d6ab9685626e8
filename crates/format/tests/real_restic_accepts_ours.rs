//! A repository made by this crate alone satisfies every restic at hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use lifeboat_format::{
    BlobId, BlobKind, Compressor, ConfigFile, GoTime, IndexFile, IndexPack, KeyFile, KeyOwner,
    LockFile, MasterKey, Node, NodeKind, PackEntry, ScryptCost, Settings, Summary, Tree,
    encode_pack_header, encode_unpacked, label, seal_blob,
};
use lifeboat_format::{NONCE_BYTES, SnapshotFile};
use lifeboat_model::{Entropy, Secret, SystemEntropy};

use crate::sandbox::{Stored, name_of, restics};

const PASSWORD: &str = "p\u{e4}ss w0rd";
const TIME: &str = "2026-01-02T03:04:05.000000006Z";

/// Writes a repository of one snapshot: a disk of three chunks, and files with odd names.
struct Writer<'a> {
    root: &'a Path,
    key: MasterKey,
    compressor: Compressor,
    packs: BTreeMap<BlobKind, (Vec<u8>, Vec<PackEntry>)>,
}

impl<'a> Writer<'a> {
    fn create(root: &'a Path) -> Self {
        let key = MasterKey::generate(&SystemEntropy);
        let compressor = Compressor::new(3);
        Self {
            root,
            key,
            compressor,
            packs: BTreeMap::new(),
        }
    }

    fn save(&self, path: &str, bytes: &[u8]) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn blob(&mut self, kind: BlobKind, plaintext: &[u8]) -> BlobId {
        let (bytes, entries) = self.packs.entry(kind).or_default();
        let id = BlobId::of(plaintext);
        if entries.iter().any(|entry| entry.id == id) {
            return id;
        }
        let offset = bytes.len() as u32;
        let mut nonce = [0; NONCE_BYTES];
        SystemEntropy.fill(&mut nonce);
        let compressor = Some(&mut self.compressor);
        let uncompressed_length =
            seal_blob(plaintext, compressor, &self.key, nonce, bytes).unwrap();
        let length = bytes.len() as u32 - offset;
        entries.push(PackEntry {
            kind,
            id,
            offset,
            length,
            uncompressed_length,
        });
        id
    }

    fn unpacked(&self, directory: &str, json: &[u8]) {
        let sealed = encode_unpacked(json, Some(3), &self.key, &SystemEntropy).unwrap();
        self.save(&format!("{directory}/{}", name_of(&sealed)), &sealed);
    }

    fn finish(mut self, snapshot: &SnapshotFile) {
        let mut index = IndexFile::default();
        for (bytes, entries) in std::mem::take(&mut self.packs).into_values() {
            let header = encode_pack_header(&entries, &self.key, &SystemEntropy).unwrap();
            let pack = [bytes, header].concat();
            let id = name_of(&pack);
            self.save(&format!("data/{}/{id}", &id.to_string()[..2]), &pack);
            let size = u32::try_from(pack.len()).ok();
            index.packs.push(IndexPack {
                id: id.into(),
                blobs: entries,
                time: Some(time().timestamp()),
                size,
            });
        }
        self.unpacked("index", &index.encode());
        self.unpacked("snapshots", &snapshot.encode());
        let settings = Settings {
            chunk_size_min: 1,
            chunk_size_gap: 2,
            chunk_size_max: 3,
            pack_size: 4,
        };
        let mut config = ConfigFile::create(&SystemEntropy);
        config.settings = Some(settings);
        self.save("config", &config.encode(&self.key, &SystemEntropy).unwrap());
        let owner = KeyOwner {
            username: "root".into(),
            hostname: "host".into(),
            created: time().timestamp(),
        };
        let password = Secret::new(PASSWORD.into());
        let cost = ScryptCost::default();
        let (_, json) =
            KeyFile::create(&password, &self.key, &owner, cost, &SystemEntropy).unwrap();
        self.save(&format!("keys/{}", name_of(&json)), &json);
        for directory in ["locks", "data", "index", "snapshots", "keys"] {
            std::fs::create_dir_all(self.root.join(directory)).unwrap();
        }
    }
}

fn time() -> GoTime {
    TIME.parse().unwrap()
}

fn disk() -> Vec<u8> {
    let text = (0..100_000u32).flat_map(|number| number.wrapping_mul(number).to_be_bytes());
    text.chain(std::iter::repeat_n(0, 1 << 19))
        .chain(*b"end")
        .collect()
}

const ODD_NAMES: [&[u8]; 8] = [
    b"\xff\xfe",
    b"a\\x41",
    b"a\nb",
    b"\"q\"",
    "\u{2028}<&>".as_bytes(),
    b" ",
    b"-rf",
    "\u{1f600}\u{e000}".as_bytes(),
];

fn node(name: &[u8], kind: NodeKind, mode: u32) -> Node {
    Node {
        mode,
        mtime: time(),
        atime: time(),
        ctime: time(),
        links: 1,
        ..Node::new(name, kind)
    }
}

fn file(name: &[u8], size: usize, content: Vec<BlobId>) -> Node {
    Node {
        size: size as u64,
        content: Some(content),
        ..node(name, NodeKind::File, 0o600)
    }
}

fn write_repository(root: &Path) {
    let mut writer = Writer::create(root);
    let disk = disk();
    let cuts = [0, 400_000, 400_000 + (1 << 19), disk.len()];
    let chunks = cuts
        .windows(2)
        .map(|cut| writer.blob(BlobKind::Data, &disk[cut[0]..cut[1]]));
    let content: Vec<_> = chunks.collect();
    let image = file(b"vda.raw", disk.len(), content);
    let disks = writer.blob(
        BlobKind::Tree,
        &Tree { nodes: vec![image] }.encode().unwrap(),
    );
    let mut nodes: Vec<_> = ODD_NAMES
        .map(|name| file(name, 7, vec![writer.blob(BlobKind::Data, b"content")]))
        .into();
    nodes.push(Node {
        subtree: Some(disks),
        ..node(b"disks", NodeKind::Dir, 1 << 31 | 0o700)
    });
    nodes.push(file(b"empty", 0, Vec::new()));
    nodes.sort_by(|left, right| left.name.cmp(&right.name));
    let tree = writer.blob(BlobKind::Tree, &Tree { nodes }.encode().unwrap());
    let mut snapshot = label::of(&"web & 01".parse().unwrap(), time(), &[]);
    snapshot.tree = tree;
    snapshot.summary = Some(Summary {
        total_bytes_processed: 5,
        ..Summary::default()
    });
    writer.finish(&snapshot);
}

/// Runs a restic command; gives what it printed, or nothing when it failed.
fn run(restic: &Path, root: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new(restic)
        .args(["-q", "--no-cache", "-r"])
        .arg(root)
        .args(arguments)
        .env("RESTIC_PASSWORD", PASSWORD)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    eprintln!(
        "{} {arguments:?}: {} {errors}",
        restic.display(),
        output.status
    );
    output.status.success().then_some(output.stdout)
}

#[test]
fn it_checks_lists_and_restores_what_we_wrote() {
    for restic in restics() {
        let directory = tempfile::tempdir().unwrap();
        write_repository(directory.path());
        let run = |arguments: &[&str]| run(&restic, directory.path(), arguments);
        run(&["check", "--read-data"]).expect("no errors");
        assert!(run(&["dump", "latest", "/disks/vda.raw"]).unwrap() == disk());
        let listed =
            String::from_utf8_lossy(&run(&["ls", "--long", "latest"]).unwrap()).into_owned();
        assert!(
            listed.contains("-rf") && listed.contains("vda.raw"),
            "{listed}"
        );
        let restored = tempfile::tempdir().unwrap();
        let target = restored.path().to_str().unwrap();
        run(&["restore", "latest", "--target", target]).expect("no errors");
        for name in ODD_NAMES {
            let name = std::os::unix::ffi::OsStrExt::from_bytes(name);
            let name: &std::ffi::OsStr = name;
            assert_eq!(
                std::fs::read(restored.path().join(name)).unwrap(),
                b"content"
            );
        }
        run(&["tag", "--add", "more", "latest"]).expect("no errors");
        let snapshots = Stored::open(directory.path(), PASSWORD).unpacked("snapshots");
        let snapshot = SnapshotFile::decode(snapshots.values().next().unwrap()).unwrap();
        assert_eq!(snapshot.tags, ["lifeboat", "more"]);
        assert!(snapshot.original.is_some());
    }
}

/// `rewrite` refuses a tree that it would write with other bytes.
#[test]
fn it_would_write_our_trees_with_the_same_bytes() {
    for restic in restics() {
        let directory = tempfile::tempdir().unwrap();
        write_repository(directory.path());
        let run = |arguments: &[&str]| run(&restic, directory.path(), arguments);
        if run(&["rewrite", "--help"]).is_none() {
            eprintln!("SKIPPED: {} cannot rewrite", restic.display());
            continue;
        }
        run(&["rewrite", "--exclude", "empty", "--forget", "latest"]).expect("no errors");
        let listed = String::from_utf8_lossy(&run(&["ls", "latest"]).unwrap()).into_owned();
        assert!(
            !listed.contains("empty") && listed.contains("vda.raw"),
            "{listed}"
        );
        run(&["prune"]).expect("no errors");
        run(&["check", "--read-data"]).expect("no errors");
    }
}

#[test]
fn it_respects_our_lock() {
    for restic in restics() {
        let directory = tempfile::tempdir().unwrap();
        write_repository(directory.path());
        let stored = Stored::open(directory.path(), PASSWORD);
        let lock = LockFile {
            time: jiff::Timestamp::now().into(),
            exclusive: false,
            hostname: "elsewhere".into(),
            username: "root".into(),
            pid: 1,
            uid: 0,
            gid: 0,
        };
        let sealed = encode_unpacked(&lock.encode(), Some(3), &stored.key, &SystemEntropy).unwrap();
        let name = format!("locks/{}", name_of(&sealed));
        std::fs::write(directory.path().join(name), sealed).unwrap();
        let run = |arguments: &[&str]| run(&restic, directory.path(), arguments);
        assert!(run(&["prune"]).is_none(), "prune must be refused");
        run(&["snapshots"]).expect("a shared lock harms no reader");
        run(&["unlock", "--remove-all"]).expect("no errors");
        run(&["prune"]).expect("nobody holds it now");
    }
}
