//! An index says which pack holds what, whoever wrote it.

use std::num::NonZeroU32;

use jiff::Timestamp;
use lifeboat_format::{BlobKind, IndexFile, IndexPack, MarkedPack, PackEntry};
use lifeboat_model::{ErrorKind, Id};
use proptest::prelude::*;

fn entries() -> impl Strategy<Value = PackEntry> {
    let kind = prop_oneof![Just(BlobKind::Data), Just(BlobKind::Tree)];
    let place = (0..1u32 << 31, 32..=128u32 << 20, 0..=128u32 << 20);
    (kind, any::<[u8; 32]>(), place).prop_map(|(kind, id, (offset, length, plain))| PackEntry {
        kind,
        id: Id(id).into(),
        offset,
        length,
        uncompressed_length: NonZeroU32::new(plain),
    })
}

fn packs() -> impl Strategy<Value = IndexPack> {
    let time = prop::option::of((-62_000_000_000i64..250_000_000_000, 0..1_000_000_000i32));
    let blobs = prop::collection::vec(entries(), 0..5);
    (
        any::<[u8; 32]>(),
        blobs,
        time,
        prop::option::of(any::<u32>()),
    )
        .prop_map(|(id, blobs, time, size)| {
            let time = time.map(|(seconds, rest)| {
                Timestamp::new(seconds, rest.min(i32::from(seconds > 0) * rest)).unwrap()
            });
            IndexPack {
                id: Id(id).into(),
                blobs,
                time,
                size,
            }
        })
}

proptest! {
    #[test]
    fn an_index_comes_back(
        packs in prop::collection::vec(packs(), 0..4),
        marked in prop::collection::vec(packs(), 0..3),
    ) {
        let mark = |pack: IndexPack| MarkedPack {
            id: pack.id,
            time: pack.time.unwrap_or(Timestamp::UNIX_EPOCH),
            blobs: pack.blobs,
            size: pack.size,
        };
        let packs_to_delete = marked.into_iter().map(mark).collect();
        let index = IndexFile { packs, packs_to_delete };
        prop_assert_eq!(IndexFile::decode(&index.encode()).unwrap(), index);
    }
}

#[test]
fn any_layout_is_read() {
    let (pack, blob) = ("ab".repeat(32), "cd".repeat(32));
    let text = format!(
        r#" {{ "supersedes": ["x", {{}}], "packs" : [ {{ "future": [[[{{"a":[1.5e3,true,null]}}]]],
        "blobs": [ {{ "uncompressed_length": 100, "length" : 50, "offset":0 , "type":"\u0074ree",
        "more":"\"]}}", "id":"{blob}" }} ], "time":"2026-01-02T03:04:05.6+02:00", "size":123,
        "id":"{pack}" }} ], "packs_to_delete": null }} "#
    );
    let index = IndexFile::decode(text.as_bytes()).unwrap();
    let [pack] = &index.packs[..] else {
        panic!("one pack")
    };
    assert_eq!(
        (pack.blobs[0].kind, pack.blobs[0].plaintext_length()),
        (BlobKind::Tree, 100)
    );
    assert_eq!(pack.time.unwrap().to_string(), "2026-01-02T01:04:05.6Z");
    assert_eq!(pack.size, Some(123));
    assert_eq!(IndexFile::decode(b"{}").unwrap(), IndexFile::default());
    assert_eq!(
        IndexFile::decode(br#"{"packs":null}"#).unwrap(),
        IndexFile::default()
    );
}

#[test]
fn entries_that_cannot_be_true_are_corrupt() {
    let (pack, blob) = ("ab".repeat(32), "cd".repeat(32));
    let entry = |fields: &str| {
        let text =
            format!(r#"{{"packs":[{{"id":"{pack}","blobs":[{{"id":"{blob}",{fields}}}]}}]}}"#);
        IndexFile::decode(text.as_bytes())
    };
    assert!(entry(r#""type":"data","offset":0,"length":32"#).is_ok());
    for fields in [
        r#""type":"data","offset":0,"length":31"#,
        r#""type":"blob","offset":0,"length":32"#,
        r#""type":"data","offset":4294967295,"length":32"#,
        r#""type":"data","offset":4294967296,"length":32"#,
        r#""type":"data","offset":-1,"length":32"#,
        r#""type":"data","offset":1.0,"length":32"#,
        r#""type":"data","offset":1e2,"length":32"#,
        r#""type":"data","offset":01,"length":32"#,
        r#""type":"data","offset":0,"length":99999999999999999999"#,
        r#""type":"data","length":32"#,
        r#""type":"data","offset":0,"length":32,"id":"AB""#,
    ] {
        assert_eq!(
            entry(fields).unwrap_err().kind(),
            ErrorKind::Corrupt,
            "{fields}"
        );
    }
}

#[test]
fn depth_and_garbage_do_no_harm() {
    for nested in ["[", "{\"a\":"] {
        let text = format!("{{\"x\":{}", nested.repeat(1_000_000));
        assert_eq!(
            IndexFile::decode(text.as_bytes()).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }
    for text in [
        "",
        "null",
        "[]",
        "{\"packs\":{}}",
        "{\"packs\":[{}]}",
        "{} {}",
        "{\"x\":\u{1}}",
    ] {
        assert!(IndexFile::decode(text.as_bytes()).is_err(), "{text}");
    }
}
