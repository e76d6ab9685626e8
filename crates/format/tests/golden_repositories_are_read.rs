//! Everything in repositories that real restic made is read, and re-encodes to the same bytes.

use lifeboat_format::{
    BlobKind, ConfigFile, IndexFile, LockFile, SnapshotFile, Tree, decode_pack_header, pack_size,
};

use crate::sandbox::{Stored, name_of};

const GOLDEN: [(&str, u32); 3] = [
    ("restic-0.14", 2),
    ("restic-0.14-v1", 1),
    ("restic-0.19", 2),
];

#[test]
fn the_config_is_understood() {
    for (name, version) in GOLDEN {
        let stored = Stored::golden(name);
        let config = ConfigFile::decode(&stored.config(), &stored.key).unwrap();
        assert_eq!(config.version, version);
        assert_eq!(config.chunker_polynomial.ilog2(), 53);
        assert!(config.settings.is_none() && config.other.is_empty());
    }
}

#[test]
fn packs_and_indexes_agree() {
    for (name, _) in GOLDEN {
        let stored = Stored::golden(name);
        let mut listed = 0;
        for (id, bytes) in stored.packs() {
            assert_eq!(name_of(&bytes), id.id());
            let entries = decode_pack_header(&bytes, bytes.len() as u64, &stored.key).unwrap();
            let mut indexed: Vec<_> = stored.entries();
            indexed.retain(|(pack, _)| *pack == id);
            indexed.sort_by_key(|(_, entry)| entry.offset);
            assert!(
                indexed
                    .into_iter()
                    .map(|(_, entry)| entry)
                    .eq(entries.iter().copied())
            );
            assert_eq!(pack_size(&entries), bytes.len() as u64);
            listed += entries.len();
        }
        assert_eq!(listed, stored.entries().len());
        assert!(listed > 20, "{name} holds only {listed} blobs");
        assert!(!stored.blobs(BlobKind::Data).is_empty());
    }
}

#[test]
fn indexes_are_written_as_they_were() {
    for (name, _) in GOLDEN {
        for (id, json) in Stored::golden(name).unpacked("index") {
            let again = IndexFile::decode(&json).unwrap().encode();
            assert_eq!(
                text(&again).trim_end(),
                text(&json).trim_end(),
                "{name} {id}"
            );
        }
    }
}

#[test]
fn snapshots_and_locks_are_written_as_they_were() {
    for (name, _) in GOLDEN {
        let stored = Stored::golden(name);
        for (id, json) in stored.unpacked("snapshots") {
            let snapshot = SnapshotFile::decode(&json).unwrap();
            assert_eq!(text(&snapshot.encode()), text(&json), "{name} {id}");
            assert!(snapshot.other.is_empty());
            assert_eq!(snapshot.hostname, "gold<en>");
        }
        for (id, json) in stored.unpacked("locks") {
            let lock = LockFile::decode(&json).unwrap();
            assert_eq!(text(&lock.encode()), text(&json), "{name} {id}");
        }
    }
}

#[test]
fn trees_are_written_as_they_were() {
    for (name, _) in GOLDEN {
        let mut nodes = 0;
        for json in Stored::golden(name).blobs(BlobKind::Tree) {
            let decoded = Tree::decode_with_oddities(&json).unwrap();
            assert_eq!(text(&decoded.tree.encode().unwrap()), text(&json), "{name}");
            assert!(!decoded.is_unsorted && !decoded.has_unknown_parts);
            assert!(decoded.tree.nodes.iter().all(|node| node.name_is_safe()));
            nodes += decoded.tree.nodes.len();
        }
        assert!(nodes > 90, "{name} holds only {nodes} nodes");
    }
}

#[test]
fn the_names_are_the_files_own() {
    for (name, _) in GOLDEN {
        let trees = Stored::golden(name).blobs(BlobKind::Tree).into_iter();
        let trees: Vec<_> = trees.map(|json| Tree::decode(&json).unwrap()).collect();
        let find = |name: &[u8]| trees.iter().find_map(|tree| tree.find(name));
        for expected in [
            &b"bad\xffmiddle"[..],
            b"new\nline",
            b"back\\\\twice",
            b"quote\"d",
        ] {
            assert!(
                find(expected).is_some(),
                "{name} {}",
                expected.escape_ascii()
            );
        }
        assert!(find("line\u{2028}sep".as_bytes()).is_some());
        assert_eq!(find(b"0").unwrap().linktarget, "plain");
        assert!(find(b"attributes").unwrap().extended_attributes.len() >= 4);
        let lost = find(b"2").unwrap();
        let raw = (name == "restic-0.19").then(|| b"bad\xff\xfetarget".to_vec());
        assert_eq!(lost.linktarget_raw, raw);
        assert_eq!(lost.linktarget, "bad\u{fffd}\u{fffd}target");
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
