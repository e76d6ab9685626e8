//! A blob is opened to the bytes its name stands for, or not at all.

use std::num::NonZeroU32;

use lifeboat_format::{
    BlobId, BlobKind, Compressor, Decompressor, PackEntry, Result, SEAL_OVERHEAD, Sealed, ZeroIds,
    prove_blob, seal_blob, unseal_blob, unseal_unnamed,
};
use lifeboat_model::ErrorKind;
use proptest::prelude::*;

use crate::sandbox::{Repeatable, key};

fn seal(plaintext: &[u8], level: i32) -> (Vec<u8>, PackEntry) {
    let mut sealed = b"before".to_vec();
    let mut compressor = Compressor::new(level);
    let uncompressed_length = seal_blob(
        plaintext,
        Some(&mut compressor),
        &key(),
        [7; 16],
        &mut sealed,
    )
    .unwrap();
    assert_eq!(sealed.drain(..6).as_slice(), b"before");
    let entry = PackEntry {
        kind: BlobKind::Data,
        id: BlobId::of(plaintext),
        offset: 0,
        length: sealed.len() as u32,
        uncompressed_length,
    };
    (sealed, entry)
}

/// Opens both ways, which must agree.
fn open(sealed: &[u8], entry: &PackEntry) -> Result<Vec<u8>> {
    let (mut bytes, mut plaintext) = (sealed.to_vec(), vec![1; 10]);
    let opened = Sealed {
        bytes: &mut bytes,
        kind: entry.kind,
        uncompressed_length: entry.uncompressed_length,
    };
    let mut decompressor = Decompressor::new();
    let opened = unseal_blob(opened, &entry.id, &key(), &mut decompressor, &mut plaintext);
    let mut target = vec![0; entry.plaintext_length() as usize];
    match open_unnamed(sealed, entry, &mut target) {
        Ok(()) if BlobId::of(&target) == entry.id => {
            assert!(opened.is_ok() && target == plaintext);
        }
        Ok(()) => assert!(opened.is_err(), "its name is wrong"),
        Err(error) => assert_eq!(opened.as_ref().map_err(|e| e.kind()), Err(error.kind())),
    }
    opened.map(|()| plaintext)
}

fn open_unnamed(sealed: &[u8], entry: &PackEntry, target: &mut [u8]) -> Result<()> {
    let sealed = Sealed {
        bytes: &mut sealed.to_vec(),
        kind: entry.kind,
        uncompressed_length: entry.uncompressed_length,
    };
    unseal_unnamed(sealed, &key(), &mut Decompressor::new(), target)
}

fn prove(sealed: &[u8], entry: &PackEntry) -> Result<()> {
    let mut decompressor = Decompressor::new();
    let length = entry.uncompressed_length;
    prove_blob(sealed, length, &entry.id, &key(), &mut decompressor)
}

#[test]
fn a_blob_is_proved_piece_by_piece_as_it_is_opened_whole() {
    let lists: Vec<u8> = (0..90_000u32)
        .flat_map(|number| BlobId::of(&number.to_le_bytes()).id().to_hex())
        .collect();
    for plaintext in [&[][..], b"short", &[7; 3 << 20], &lists, &lists[..131_072]] {
        for level in [1, 3] {
            let (sealed, entry) = seal(plaintext, level);
            let kept = sealed.clone();
            prove(&sealed, &entry).unwrap();
            assert!(sealed == kept, "it stays as it is");
            let mut damaged = sealed.clone();
            let middle = damaged.len() / 2;
            damaged[middle] ^= 1;
            let mut cut = sealed.clone();
            cut.truncate(middle);
            let other = PackEntry {
                id: BlobId::of(b"other"),
                ..entry
            };
            let longer = PackEntry {
                uncompressed_length: NonZeroU32::new(plaintext.len() as u32 + 1),
                ..entry
            };
            for (sealed, entry) in [
                (&damaged, &entry),
                (&cut, &entry),
                (&sealed, &other),
                (&sealed, &longer),
            ] {
                let error = prove(sealed, entry).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(open(sealed, entry).is_err());
            }
        }
    }
}

#[test]
fn frames_that_end_early_or_late_prove_nothing() {
    let frame = zstd::bulk::compress(&[5; 300_000], 3).unwrap();
    let length = NonZeroU32::new(300_000);
    let entry = |frame: &[u8]| {
        let sealed = key().seal(frame, &Repeatable::new(2));
        let id = BlobId::of(&[5; 300_000]);
        prove_blob(&sealed, length, &id, &key(), &mut Decompressor::new())
    };
    entry(&frame).unwrap();
    for broken in [
        &frame[..frame.len() - 1],
        &[&frame[..], b"more"].concat(),
        &[],
    ] {
        let error = entry(broken).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_place_of_another_length_is_not_filled() {
    for plaintext in [&b"never shrinks"[..], &[5; 5000]] {
        let (sealed, entry) = seal(plaintext, 3);
        for length in [0, 1, plaintext.len() - 1, plaintext.len() + 1] {
            let error = open_unnamed(&sealed, &entry, &mut vec![0; length]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{length}");
        }
    }
}

/// A blob whose frame is given.
fn framed(frame: &[u8], plaintext: &[u8], uncompressed_length: u32) -> Result<Vec<u8>> {
    let sealed = key().seal(frame, &Repeatable::new(2));
    let entry = PackEntry {
        kind: BlobKind::Data,
        id: BlobId::of(plaintext),
        offset: 0,
        length: sealed.len() as u32,
        uncompressed_length: NonZeroU32::new(uncompressed_length),
    };
    open(&sealed, &entry)
}

proptest! {
    #[test]
    fn any_content_comes_back(
        plaintext in prop::collection::vec(any::<u8>(), 0..3000),
        repeat in 1usize..50,
        level in -5i32..=6,
    ) {
        let plaintext = plaintext.repeat(repeat);
        let (sealed, entry) = seal(&plaintext, level);
        prop_assert_eq!(entry.plaintext_length() as usize, plaintext.len());
        prop_assert!(sealed.len() <= plaintext.len() + SEAL_OVERHEAD);
        prop_assert_eq!(open(&sealed, &entry).unwrap(), plaintext);
    }
}

#[test]
fn every_level_stays_readable_in_little_memory() {
    let plaintext: Vec<u8> = (0..20u32 << 18)
        .flat_map(|i| (i / 7).to_le_bytes())
        .collect();
    for level in [1, 3, 19, 22] {
        let (sealed, entry) = seal(&plaintext, level);
        assert!(open(&sealed, &entry).unwrap() == plaintext, "level {level}");
        let frame = key().unseal(&sealed).unwrap();
        assert!(window_log(&frame) <= 23, "level {level}");
    }
}

/// Window of a frame (2^log), 0 for one that is its own window: zstd then knows it is smaller.
fn window_log(frame: &[u8]) -> u32 {
    let is_single_segment = frame[4] & 0x20 != 0;
    let has_size = is_single_segment || frame[4] >> 6 != 0;
    assert!(has_size, "the content size is written");
    if is_single_segment {
        0
    } else {
        u32::from(frame[5] >> 3) + 10
    }
}

#[test]
fn what_does_not_shrink_is_stored_as_it_is() {
    let mut noise = vec![0; 5000];
    lifeboat_model::Entropy::fill(&Repeatable::new(3), &mut noise);
    for plaintext in [&b""[..], b"x", &noise] {
        let (sealed, entry) = seal(plaintext, 3);
        assert_eq!(entry.uncompressed_length, None);
        assert_eq!(sealed.len(), plaintext.len() + SEAL_OVERHEAD);
    }
}

#[test]
fn another_content_or_length_is_corrupt() {
    let plaintext = vec![7; 10_000];
    let (sealed, entry) = seal(&plaintext, 3);
    let with = |change: &dyn Fn(&mut PackEntry)| {
        let mut entry = entry;
        change(&mut entry);
        open(&sealed, &entry).unwrap_err().kind()
    };
    assert_eq!(
        with(&|entry| entry.id = BlobId::of(b"other")),
        ErrorKind::Corrupt
    );
    assert_eq!(
        with(&|entry| entry.uncompressed_length = None),
        ErrorKind::Corrupt
    );
    for wrong in [1, 9_999, 10_001, 256 << 20, u32::MAX] {
        let change = |entry: &mut PackEntry| entry.uncompressed_length = NonZeroU32::new(wrong);
        assert_eq!(with(&change), ErrorKind::Corrupt, "{wrong}");
    }
}

#[test]
fn other_writers_frames_are_read() {
    let plaintext: Vec<u8> = (0..40_000u32).flat_map(u32::to_le_bytes).collect();
    let length = plaintext.len() as u32;
    let streamed = zstd::stream::encode_all(&plaintext[..], 3).unwrap();
    assert_eq!(framed(&streamed, &plaintext, length).unwrap(), plaintext);
    let (first, second) = plaintext.split_at(1000);
    let mut frames = zstd::bulk::compress(first, 3).unwrap();
    frames.extend(zstd::bulk::compress(second, 1).unwrap());
    assert_eq!(framed(&frames, &plaintext, length).unwrap(), plaintext);
    for broken in [&b""[..], b"not zstd", &streamed[..streamed.len() - 1]] {
        let error = framed(broken, &plaintext, length).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn without_a_compressor_it_is_stored_as_it_is() {
    let mut sealed = Vec::new();
    let length = seal_blob(&[0; 1000], None, &key(), [7; 16], &mut sealed).unwrap();
    assert_eq!((length, sealed.len()), (None, 1000 + SEAL_OVERHEAD));
}

#[test]
fn runs_of_zeros_are_known_by_name() {
    let mut zeros = ZeroIds::new();
    for length in [0, 1, 4095, 4096, 4097, 65_536, 65_537, 524_288, 1 << 20] {
        let expected = BlobId::of(&vec![0; length as usize]);
        assert_eq!(zeros.id(length), expected, "{length}");
        assert!(zeros.is_zero(&expected, length));
        assert!(!zeros.is_zero(&expected, length + 1));
    }
}
