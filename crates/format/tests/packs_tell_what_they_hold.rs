//! A pack's last bytes give its entries, and a pack that does not add up is refused.

use std::num::NonZeroU32;

use lifeboat_format::{
    BlobId, BlobKind, PackEntry, Result, decode_pack_header, encode_pack_header, pack_size,
    pack_tail_bytes,
};
use lifeboat_model::ErrorKind;
use proptest::prelude::*;

use crate::sandbox::{Repeatable, key};

fn entries(shapes: &[(bool, u32, u32)]) -> Vec<PackEntry> {
    let mut offset = 0;
    let entry = |(number, (is_tree, length, plain)): (usize, &(bool, u32, u32))| {
        let entry = PackEntry {
            kind: if *is_tree {
                BlobKind::Tree
            } else {
                BlobKind::Data
            },
            id: BlobId::of(&number.to_le_bytes()),
            offset,
            length: *length,
            uncompressed_length: NonZeroU32::new(*plain),
        };
        offset += length;
        entry
    };
    shapes.iter().enumerate().map(entry).collect()
}

fn header(entries: &[PackEntry]) -> Vec<u8> {
    encode_pack_header(entries, &key(), &Repeatable::new(4)).unwrap()
}

/// A header sealed by ourselves around any bytes.
fn sealed_header(plain: &[u8]) -> Vec<u8> {
    let mut header = key().seal(plain, &Repeatable::new(4));
    header.extend_from_slice(&(header.len() as u32).to_le_bytes());
    header
}

fn refused(tail: &[u8], size: u64) -> ErrorKind {
    decode_pack_header(tail, size, &key()).unwrap_err().kind()
}

proptest! {
    #[test]
    fn entries_come_back(
        shapes in prop::collection::vec((any::<bool>(), 32..100_000u32, 0..3u32), 1..200),
    ) {
        let entries = entries(&shapes);
        let header = header(&entries);
        let blobs: u64 = entries.iter().map(|entry| u64::from(entry.length)).sum();
        let size = pack_size(&entries);
        prop_assert_eq!(blobs + header.len() as u64, size);
        prop_assert_eq!(&decode_pack_header(&header, size, &key()).unwrap(), &entries);
        for read in [0, 3, 4, 100, header.len() - 1] {
            let tail = &header[header.len() - read.min(header.len() - 1)..];
            prop_assert!(decode_pack_header(tail, size, &key()).is_err());
            if tail.len() >= 4 {
                prop_assert_eq!(pack_tail_bytes(tail, size).unwrap(), header.len() as u64);
            }
        }
        let mut longer = vec![9; 500];
        longer.extend_from_slice(&header);
        prop_assert_eq!(decode_pack_header(&longer, size, &key()).unwrap(), entries);
        prop_assert_eq!(refused(&header, size + 1), ErrorKind::Corrupt);
        prop_assert_eq!(refused(&header, size - 1), ErrorKind::Corrupt);
    }
}

#[test]
fn a_header_that_cannot_be_is_refused() {
    let entries = entries(&[(false, 50, 0)]);
    let (header, size) = (header(&entries), pack_size(&entries));
    assert_eq!(size, 50 + 37 + 36);
    assert_eq!(refused(&header, 72), ErrorKind::Corrupt);
    for length in [0, 31, size as u32 - 3, (16 << 20) + 1, u32::MAX] {
        let mut tail = header.clone();
        let end = tail.len() - 4;
        tail[end..].copy_from_slice(&length.to_le_bytes());
        assert_eq!(refused(&tail, size), ErrorKind::Corrupt, "{length}");
    }
}

#[test]
fn entries_that_cannot_be_are_refused() {
    let id = [5; 32];
    let entry = |kind: u8, length: u32, plain: &[u8]| {
        [&[kind], &length.to_le_bytes()[..], plain, &id].concat()
    };
    let read = |plain: &[u8], size: u64| decode_pack_header(&sealed_header(plain), size, &key());
    let good = entry(0, 50, b"");
    assert!(read(&good, 50 + 73).is_ok());
    let kind = |result: Result<_>| result.map(|_: Vec<PackEntry>| ()).unwrap_err().kind();
    for short in 1..good.len() {
        assert_eq!(kind(read(&good[..short], 50 + 73)), ErrorKind::Corrupt);
    }
    assert_eq!(kind(read(&entry(4, 50, b""), 123)), ErrorKind::Unsupported);
    assert_eq!(kind(read(&entry(0, 31, b""), 104)), ErrorKind::Corrupt);
    assert_eq!(kind(read(&entry(2, 50, &[0; 4]), 127)), ErrorKind::Corrupt);
    assert_eq!(
        kind(read(&entry(0, u32::MAX, b""), 1 << 33)),
        ErrorKind::Corrupt
    );
    let far = entry(0, 128 << 20, b"").repeat(33);
    assert_eq!(kind(read(&far, 1 << 33)), ErrorKind::Unsupported);
}

#[test]
fn a_blob_may_come_twice_when_read() {
    let one = [&[0][..], &40u32.to_le_bytes(), &[5; 32]].concat();
    let header = sealed_header(&one.repeat(2));
    let entries = decode_pack_header(&header, 80 + 74 + 36, &key()).unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.offset).collect::<Vec<_>>(),
        [0, 40]
    );
}

#[test]
fn a_blob_is_never_written_twice() {
    let mut twice = entries(&[(false, 50, 0), (false, 50, 0)]);
    twice[1].id = twice[0].id;
    let error = encode_pack_header(&twice, &key(), &Repeatable::new(4)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    twice[1].kind = BlobKind::Tree;
    header(&twice);
}

#[test]
#[should_panic(expected = "side by side")]
fn a_gap_is_never_written() {
    let mut gap = entries(&[(false, 50, 0), (false, 50, 0)]);
    gap[1].offset += 1;
    header(&gap);
}
