//! The index in memory answers as a plain map of everything its files list would.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use jiff::Timestamp;
use lifeboat_format::{
    BlobId, BlobKind, IndexFile, IndexId, IndexPack, MarkedPack, PackEntry, PackId,
};
use lifeboat_model::Id;
use lifeboat_repository::IndexBuilder;
use proptest::prelude::*;

use crate::world::cases;

/// A small space of names, so that they meet; some share their first bytes.
fn id(number: u8) -> Id {
    let mut id = [7; 32];
    id[0] = number % 3;
    id[31] = number;
    Id(id)
}

type Row = (BlobKind, u8, u32, u32, u32);

fn entries(rows: &[Row]) -> Vec<PackEntry> {
    rows.iter()
        .map(|(kind, blob, offset, length, plain)| PackEntry {
            kind: *kind,
            id: BlobId::from(id(*blob)),
            offset: *offset,
            length: *length,
            uncompressed_length: NonZeroU32::new(*plain),
        })
        .collect()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let kind = prop_oneof![Just(BlobKind::Data), Just(BlobKind::Tree)];
    prop::collection::vec((kind, 0u8..12, 0u32..4, 40u32..42, 0u32..2), 0..6)
}

type File = (Vec<(u8, i64, Vec<Row>)>, Vec<(u8, i64, Vec<Row>)>);

fn files() -> impl Strategy<Value = Vec<File>> {
    let packs = || prop::collection::vec((0u8..5, 0i64..9, rows()), 0..4);
    prop::collection::vec((packs(), packs()), 0..4)
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(300), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn lookups_packs_and_marks(files in files()) {
        let (mut builder, mut to_read) = (IndexBuilder::new(), IndexBuilder::new());
        let mut only_marked: BTreeMap<(BlobKind, BlobId), BTreeSet<_>> = BTreeMap::new();
        let mut copies: BTreeMap<(BlobKind, BlobId), BTreeSet<_>> = BTreeMap::new();
        let (mut packs, mut marks) = (BTreeMap::new(), BTreeMap::new());
        for (number, (listed, marked)) in files.iter().enumerate() {
            let file = IndexFile {
                packs: listed.iter().map(|(pack, at, rows)| IndexPack {
                    id: PackId::from(id(*pack)),
                    blobs: entries(rows),
                    time: Some(time(*at)),
                    size: None,
                }).collect(),
                packs_to_delete: marked.iter().map(|(pack, at, rows)| MarkedPack {
                    id: PackId::from(id(*pack)),
                    blobs: entries(rows),
                    time: time(*at),
                    size: None,
                }).collect(),
            };
            for pack in &file.packs {
                let newest = packs.entry(pack.id).or_insert(pack.time);
                *newest = (*newest).max(pack.time);
                for blob in &pack.blobs {
                    let place = (pack.id, blob.offset, blob.length, blob.uncompressed_length);
                    copies.entry((blob.kind, blob.id)).or_default().insert(place);
                }
            }
            for mark in &file.packs_to_delete {
                let newest = marks.entry(mark.id).or_insert(mark.time);
                *newest = (*newest).max(mark.time);
                for blob in &mark.blobs {
                    let place = (mark.id, blob.offset, blob.length, blob.uncompressed_length);
                    only_marked.entry((blob.kind, blob.id)).or_default().insert(place);
                }
            }
            builder.add_file(IndexId::from(id(number as u8)), file.clone());
            to_read.add_file(IndexId::from(id(number as u8)), file);
        }
        let (index, to_read) = (builder.build(), to_read.build_to_read(1));
        for number in 0..14 {
            for kind in [BlobKind::Data, BlobKind::Tree] {
                let blob = BlobId::from(id(number));
                let found: BTreeSet<_> = index.copies(kind, &blob)
                    .map(|l| (l.pack, l.offset, l.length, l.uncompressed_length))
                    .collect();
                let expected = copies.get(&(kind, blob)).cloned().unwrap_or_default();
                prop_assert_eq!(index.contains(kind, &blob), !expected.is_empty());
                prop_assert_eq!(index.rows(kind, &blob).count(), expected.len());
                prop_assert_eq!(&found, &expected);
                let read: BTreeSet<_> = to_read.copies(kind, &blob)
                    .map(|l| (l.pack, l.offset, l.length, l.uncompressed_length))
                    .collect();
                let spare = only_marked.get(&(kind, blob)).cloned().unwrap_or_default();
                prop_assert_eq!(read, if expected.is_empty() { spare } else { expected });
            }
        }
        let total: usize = copies.values().map(BTreeSet::len).sum();
        prop_assert_eq!(index.blob_count(), total);
        prop_assert_eq!(index.by_pack().map(|blobs| blobs.len()).sum::<usize>(), total);
        let seen: BTreeMap<_, _> = index.packs().iter().map(|p| (p.id, p.time)).collect();
        prop_assert_eq!(&seen, &packs);
        marks.retain(|id, _| !packs.contains_key(id));
        let seen: BTreeMap<_, _> = index.marked().iter().map(|m| (m.id, m.time)).collect();
        prop_assert_eq!(seen, marks);
        prop_assert_eq!(index.files().len(), files.len());
    }
}
