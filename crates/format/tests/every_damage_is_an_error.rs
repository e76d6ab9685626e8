//! Cut, flipped and random bytes give errors: no panic, no wrong value under a good seal.

use std::fmt::Debug;

use lifeboat_format::{
    BlobKind, ConfigFile, IndexFile, KeyFile, LockFile, MachineManifest, Result, SnapshotFile,
    Tree, decode_pack_header, decode_unpacked,
};
use lifeboat_model::{Entropy, ErrorKind};
use proptest::prelude::*;

use crate::sandbox::{Repeatable, Stored, files, golden_path, key};

type Decoder = fn(&[u8]) -> Result<()>;

const TEXT_DECODERS: [(&str, Decoder); 6] = [
    ("index", |text| IndexFile::decode(text).map(|_| ())),
    ("snapshot", |text| SnapshotFile::decode(text).map(|_| ())),
    ("lock", |text| LockFile::decode(text).map(|_| ())),
    ("tree", |text| Tree::decode(text).map(|_| ())),
    ("manifest", |text| MachineManifest::decode(text).map(|_| ())),
    ("key", |text| KeyFile::decode(text).map(|_| ())),
];

/// Texts of real files with the decoder of their sort.
fn texts() -> Vec<(&'static str, Decoder, Vec<u8>)> {
    let mut texts = Vec::new();
    for golden in ["restic-0.14", "restic-0.19"] {
        let stored = Stored::golden(golden);
        let mut sorts: Vec<Vec<Vec<u8>>> = ["index", "snapshots", "locks"]
            .map(|directory| stored.unpacked(directory).into_values().collect())
            .into();
        sorts.push(stored.blobs(BlobKind::Tree));
        sorts.push(Vec::new());
        sorts.push(
            files(&golden_path(golden).join("keys"))
                .into_values()
                .collect(),
        );
        for ((name, decoder), found) in TEXT_DECODERS.into_iter().zip(sorts) {
            texts.extend(found.into_iter().map(|text| (name, decoder, text)));
        }
    }
    texts
}

fn assert_damaged<T: Debug>(result: Result<T>, what: &str) {
    let kind = result.map(|_| ()).map_err(|error| error.kind());
    let expected = [
        ErrorKind::Corrupt,
        ErrorKind::Unsupported,
        ErrorKind::Denied,
    ];
    assert!(
        kind.is_err_and(|kind| expected.contains(&kind)),
        "{what}: {kind:?}"
    );
}

#[test]
fn every_text_cut_short_is_corrupt() {
    for (name, decode, text) in texts() {
        let text = text.trim_ascii_end();
        assert!(decode(text).is_ok());
        for end in 0..text.len() {
            assert_damaged(decode(&text[..end]), name);
        }
    }
}

#[test]
fn changed_texts_do_not_panic() {
    let entropy = Repeatable::new(11);
    for (_, decode, mut text) in texts() {
        for _ in 0..400 {
            let mut random = [0; 5];
            entropy.fill(&mut random);
            let at = u32::from_le_bytes([random[0], random[1], random[2], 0]) as usize % text.len();
            let before = text[at];
            text[at] = if random[3] < 128 {
                b"{}[]\",:\\0-u"[random[4] as usize % 11]
            } else {
                random[4]
            };
            let _ = decode(&text);
            text[at] = before;
        }
    }
}

#[test]
fn every_cut_and_flip_of_sealed_files_is_noticed() {
    for golden in ["restic-0.14", "restic-0.19"] {
        let stored = Stored::golden(golden);
        let config = stored.config();
        check_all(&config, |bytes| {
            ConfigFile::decode(bytes, &stored.key).map(|_| ())
        });
        for directory in ["locks", "snapshots", "index"] {
            for file in files(&golden_path(golden).join(directory)).into_values() {
                check_all(&file, |bytes| {
                    decode_unpacked(bytes, &stored.key, 1 << 20).map(|_| ())
                });
            }
        }
        for pack in stored
            .packs()
            .into_values()
            .filter(|pack| pack.len() < 3000)
        {
            let length = pack.len() - u32::from_le_bytes(*pack.last_chunk().unwrap()) as usize - 4;
            let size = pack.len() as u64;
            let tail = &pack[length..];
            check_all(tail, |bytes| {
                decode_pack_header(bytes, size, &stored.key).map(|_| ())
            });
        }
    }
}

fn check_all(file: &[u8], decode: impl Fn(&[u8]) -> Result<()>) {
    assert!(decode(file).is_ok());
    for end in 0..file.len() {
        assert_damaged(decode(&file[..end]), "cut");
    }
    let mut flipped = file.to_vec();
    for bit in 0..file.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_damaged(decode(&flipped), "flipped");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Pieces of JSON in any order.
const JSONLIKE: &str =
    r#"(\{"(nodes|packs|blobs|id|name|content)":|[\[\]{},:"]|null|1|\\u00|e){0,40}"#;

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for (_, decode) in TEXT_DECODERS {
            prop_assert!(decode(&bytes).is_err());
        }
        let sealed = key().seal(&bytes, &Repeatable::new(1));
        prop_assert!(ConfigFile::decode(&sealed, &key()).is_err());
        prop_assert!(decode_unpacked(&bytes, &key(), 1000).is_err());
        let size = bytes.len() as u64 + 500;
        if bytes.len() > 40 {
            prop_assert!(decode_pack_header(&bytes, size, &key()).is_err());
        }
    }

    #[test]
    fn jsonlike_texts_do_no_harm(text in JSONLIKE) {
        for (_, decode) in TEXT_DECODERS {
            let _ = decode(text.as_bytes());
        }
    }
}

#[test]
fn a_bomb_is_stopped_at_its_limit() {
    let zeros = vec![b' '; 64 << 20];
    let mut marked = vec![2];
    marked.extend(zstd::bulk::compress(&zeros, 3).unwrap());
    let sealed = key().seal(&marked, &Repeatable::new(1));
    assert!(sealed.len() < 10_000);
    let error = decode_unpacked(&sealed, &key(), 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(
        decode_unpacked(&sealed, &key(), 64 << 20).unwrap().len(),
        64 << 20
    );
    let plain = key().seal(&[&b"{"[..], &zeros].concat(), &Repeatable::new(1));
    assert!(decode_unpacked(&plain, &key(), 1 << 20).is_err());
    for mark in [&b""[..], b"3x"] {
        let sealed = key().seal(mark, &Repeatable::new(1));
        let error = decode_unpacked(&sealed, &key(), 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_text_of_exactly_the_limit_is_read() {
    for length in [1usize, 1000, 65_536, 65_537, 1 << 20] {
        let mut marked = vec![2];
        marked.extend(zstd::stream::encode_all(&vec![b' '; length][..], 3).unwrap());
        let sealed = key().seal(&marked, &Repeatable::new(1));
        assert_eq!(
            decode_unpacked(&sealed, &key(), length).unwrap().len(),
            length
        );
        assert!(decode_unpacked(&sealed, &key(), length - 1).is_err());
        let cut = key().seal(&marked[..marked.len() - 1], &Repeatable::new(1));
        assert!(decode_unpacked(&cut, &key(), length).is_err());
    }
}
