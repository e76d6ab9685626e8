//! What the chunker promises.

use lifeboat_chunker::{BLOCK_BYTES, ChunkSizes, Chunker, Cut, CutKind, zero_pieces};
use proptest::prelude::*;

const SIZES: (u32, u32, u32) = (16 << 10, 16 << 10, 64 << 10);

fn sizes() -> ChunkSizes {
    ChunkSizes::new(SIZES.0, SIZES.1, SIZES.2).expect("valid sizes")
}

/// A disk as runs of blocks: zero runs and pseudo-random data.
fn disk(runs: &[(bool, u8)], tail: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut bytes = Vec::new();
    for (is_zero, blocks) in runs {
        for _ in 0..usize::from(*blocks) * BLOCK_BYTES {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            bytes.push(if *is_zero { 0 } else { (state >> 33) as u8 | 1 });
        }
    }
    bytes.extend(std::iter::repeat_n(7, tail));
    bytes
}

fn cut_whole(bytes: &[u8]) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut chunker = Chunker::new(sizes(), 42);
    chunker.scan(bytes, &mut cuts);
    chunker.finish(&mut cuts);
    cuts
}

fn runs() -> impl Strategy<Value = (Vec<(bool, u8)>, usize)> {
    (
        prop::collection::vec((any::<bool>(), 0u8..40), 0..12),
        0..BLOCK_BYTES,
    )
}

proptest! {
    #[test]
    fn cuts_cover_the_disk_within_their_bounds((runs, tail) in runs()) {
        let bytes = disk(&runs, tail);
        let cuts = cut_whole(&bytes);
        let mut offset = 0;
        for (index, cut) in cuts.iter().enumerate() {
            prop_assert_eq!(cut.start, offset);
            offset += cut.length;
            let content = &bytes[cut.start as usize..offset as usize];
            match cut.kind {
                CutKind::Zero => {
                    prop_assert!(cut.length >= sizes().zero_run_min());
                    prop_assert!(content.iter().all(|b| *b == 0));
                    prop_assert!(index == 0 || cuts[index - 1].kind == CutKind::Data);
                }
                CutKind::Data => prop_assert!(cut.length <= u64::from(SIZES.2)),
            }
        }
        prop_assert_eq!(offset, bytes.len() as u64);
    }

    #[test]
    fn cuts_do_not_depend_on_how_the_bytes_arrive(
        (runs, tail) in runs(), steps in prop::collection::vec(1usize..50, 1..50),
    ) {
        let bytes = disk(&runs, tail);
        let mut cuts = Vec::new();
        let mut chunker = Chunker::new(sizes(), 42);
        let mut rest = &bytes[..];
        for step in steps.iter().cycle() {
            let (now, later) = rest.split_at((step * BLOCK_BYTES).min(rest.len()));
            let zeros = now.iter().all(|b| *b == 0) && now.len() % BLOCK_BYTES == 0;
            if zeros && chunker.takes_zeros(now.len() as u64) {
                chunker.zeros(now.len() as u64, &mut cuts);
            } else {
                chunker.scan(now, &mut cuts);
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        chunker.finish(&mut cuts);
        prop_assert_eq!(cuts, cut_whole(&bytes));
    }

    #[test]
    fn zero_pieces_sum_up_and_start_with_the_piece_restic_looks_for(length in 1u64..1 << 26) {
        let pieces: Vec<u64> = zero_pieces(length).collect();
        prop_assert_eq!(pieces.iter().sum::<u64>(), length);
        if length >= 512 << 10 {
            prop_assert_eq!(pieces[0], 512 << 10);
        }
    }
}

#[test]
fn larger_disks_get_larger_chunks_but_no_more_of_them() {
    let default = ChunkSizes::DEFAULT;
    assert_eq!(default.for_disk(128 << 30), default);
    assert_eq!(default.for_disk((128 << 30) + 1).max(), 2 << 20);
    assert_eq!(default.for_disk(2 << 40).max(), 16 << 20);
    assert_eq!(default.for_disk(64 << 40).max(), 16 << 20);
}

#[test]
fn the_seed_moves_the_cuts() {
    let bytes = disk(&[(false, 255)], 0);
    let mut cuts = Vec::new();
    let mut chunker = Chunker::new(sizes(), 43);
    chunker.scan(&bytes, &mut cuts);
    chunker.finish(&mut cuts);
    assert_ne!(cuts, cut_whole(&bytes));
}
